//! Refusals: what is wrong with an operation in itself is ARGUMENT, or TOO_LARGE, whatever the state of the servers: dead,
//! hung, out, or not found; its neighbours fail for that state.

mod common;

use bmemc::{bits, op_flags, Client, Command, Operation, Queue, Status};
use common::fleet::{client_of, freeze, thaw, Way, WAYS};
use common::Memcached;

const LARGE: &[u8] = &[b'v'; 2000];

/// Operations that no server could be sent, each with what it is answered, over text and meta; then those that could.
fn operations(binary: bool) -> Vec<(Operation<'static>, Option<Status>)> {
    let bad = Some(Status::Argument);
    let spaced = if binary { None } else { bad };
    let create = Operation { op_flags: op_flags::CREATE, delta: 1, ..Operation::new(Command::Increment, b"") };
    vec![
        (Operation::get(b""), bad),
        (Operation::get(&[b'k'; 251]), bad),
        (Operation::get(b"good"), None),
        (Operation::get(b"a b"), spaced),
        (Operation::set(b"k\r\nflush_all", b"v", 0), spaced),
        (Operation::set(b"", b"v", 0), bad),
        (Operation { op_flags: op_flags::WANT_CAS, ..Operation::get(b"") }, bad),
        (create, bad),
        (Operation::delete(&[b'k'; 300]), bad),
        (Operation::set(b"large", LARGE, 0), Some(Status::TooLarge)),
        (Operation { server: 1, ..Operation::new(Command::Stats, b"a\r\nflush_all") }, bad),
        (Operation::set(b"good", b"v", 0), None),
    ]
}

/// Runs all of them together, each alone, and plain gets alone.
fn check(client: &Client, protocol: &str, states: &[Status], what: &str) {
    let all = operations(protocol == "binary");
    let list: Vec<Operation<'_>> = all.iter().map(|(operation, _)| *operation).collect();
    for way in WAYS {
        let alone = |range: std::ops::Range<usize>| range.map(|index| way.one(client, list[index]));
        let gets = way.run(client, &list[..4]);
        let answers = way.run(client, &list).into_iter().chain(alone(0..3)).chain(gets);
        for (answer, index) in answers.zip((0..list.len()).chain(0..3).chain(0..4)) {
            let words = format!("{what} {protocol} {way:?} {index}: {:?} {}", answer.status, answer.detail);
            match all[index].1 {
                Some(status) => {
                    assert_eq!(answer.status, status, "{words}");
                    assert_eq!(answer.bits, bits::NOT_SENT, "{words}");
                }
                None => assert!(states.contains(&answer.status), "{words}"),
            }
        }
    }
}

fn each_protocol(mut test: impl FnMut(&str)) {
    ["auto", "text", "meta", "binary"].into_iter().for_each(&mut test);
}

fn with<'a>(protocol: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("protocol", protocol), ("max_value_bytes", "1024"), ("timeout_ms", "200")], more].concat()
}

fn gone() -> String {
    Memcached::tcp(&[]).address().to_string()
}

#[test]
fn at_a_dead_server() {
    let gone = [gone(), gone()];
    let addresses = || gone.iter().map(String::as_str);
    each_protocol(|protocol| {
        for failover in ["none", "breaker", "pymemcache"] {
            let client = client_of(addresses().take(1), &with(protocol, &[("failover", failover)]));
            // Again once the breaker is open.
            (0..3).for_each(|_| check(&client, protocol, &[Status::Connection], failover));
            for mode in ["hashed", "replicated"] {
                let client = client_of(addresses(), &with(protocol, &[("failover", failover), ("mode", mode)]));
                (0..3).for_each(|_| check(&client, protocol, &[Status::Connection], mode));
                let fallback = Client::new_fallback(&[client.clone(), client.clone()]).unwrap();
                check(&fallback, protocol, &[Status::Connection], "fallback");
            }
        }
        let settings = with(protocol, &[("key_prefix", "px:"), ("no_reply", "true")]);
        check(&client_of(addresses().take(1), &settings), protocol, &[Status::Connection], "options");
        let retrying = with(protocol, &[("retries", "2"), ("retry_delay_ms", "1")]);
        check(&client_of(addresses().take(1), &retrying), protocol, &[Status::Connection], "retries");
    });
}

#[test]
fn at_a_server_that_hangs() {
    let server = Memcached::tcp(&[]);
    each_protocol(|protocol| {
        let met = client_of([server.address()], &with(protocol, &[("failover", "none"), ("timeout_ms", "10000")]));
        assert!(met.get(b"k").unwrap().is_none());
        let unmet = client_of([server.address()], &with(protocol, &[("failover", "none")]));
        freeze(&server);
        check(&unmet, protocol, &[Status::Timeout, Status::Connection], "hung");
        thaw(&server);
        // One that is well again.
        let all = operations(protocol == "binary");
        for way in WAYS {
            for (operation, status) in &all {
                let answer = way.one(&met, *operation);
                assert!(status.is_none_or(|status| status == answer.status), "{protocol} {way:?} {}", answer.detail);
            }
        }
    });
}

#[test]
fn while_no_server_is_known() {
    let gone = gone();
    each_protocol(|protocol| {
        let settings = with(protocol, &[("discovery", "elasticache")]);
        let client = client_of([gone.as_str()], &settings);
        check(&client, protocol, &[Status::Connection, Status::Timeout], "discovery");
    });
}

/// A queue that is full is BUSY only for what a server could be sent; what is wrong in itself is told, and taken.
#[test]
fn at_a_queue_that_is_full() {
    let (servers, hung) = ([Memcached::tcp(&[]), Memcached::tcp(&[])], Memcached::tcp(&[]));
    freeze(&hung);
    let alive = || servers.iter().map(Memcached::address);
    each_protocol(|protocol| {
        let more = |more| with(protocol, &[("max_waiting", "2"), ("timeout_ms", "700"), ("connections", "1"), more]);
        let single = client_of(alive().take(1), &more(("mode", "single")));
        let unknown = client_of([hung.address()], &more(("discovery", "elasticache")));
        for client in [single, unknown] {
            let queue = Queue::new().unwrap();
            let usual = || Operation::get(b"good");
            assert_eq!(queue.submit(&client, [(0, usual()), (1, usual())]).0, 2);
            let list = operations(protocol == "binary");
            for (tag, (operation, status)) in (2..).zip(list) {
                let (accepted, stopped) = queue.submit(&client, [(tag, operation), (tag, usual())]);
                assert_eq!(stopped.unwrap_err().status(), Status::Busy, "{protocol} {operation:?}");
                assert_eq!(accepted, usize::from(status.is_some()), "{protocol} {operation:?}");
            }
            let mut answers = Vec::new();
            while queue.fetch(&mut answers, 64, -1).unwrap() > 0 {}
            for (tag, (operation, status)) in (2..).zip(operations(protocol == "binary")) {
                let told = answers.iter().filter(|answer| answer.tag == tag).map(|answer| answer.status);
                assert_eq!(told.collect::<Vec<_>>(), Vec::from_iter(status), "{protocol} {operation:?}");
            }
        }
        // Of several servers each has its own bound, and BUSY is an answer.
        let hashed = client_of(alive(), &with(protocol, &[("max_waiting", "1"), ("timeout_ms", "5000")]));
        let mut list = vec![(Operation::get(b"good"), None); 8];
        list.extend(operations(protocol == "binary"));
        let wanted: Vec<Operation<'_>> = list.iter().map(|(operation, _)| *operation).collect();
        let answers = Way::Queued.run(&hashed, &wanted);
        assert!(answers.iter().any(|answer| answer.status == Status::Busy), "{protocol}");
        for (answer, (operation, status)) in answers.iter().zip(list) {
            assert!(status.is_none_or(|status| status == answer.status), "{protocol} {operation:?} {}", answer.detail);
        }
    });
}

/// So is a server that all its connections for one operation alone are taken from.
#[test]
fn where_all_connections_for_one_operation_are_taken() {
    let server = Memcached::tcp(&[]);
    let addresses = [server.address(), server.address()];
    for (count, mode) in [(1, "single"), (2, "hashed")] {
        let names = ["one", "two"];
        let mut options = bmemc::Options::new();
        for (address, name) in addresses.iter().zip(names).take(count) {
            options.add_server(address, name, 1).unwrap();
        }
        for (name, value) in with("text", &[("mode", mode), ("timeout_ms", "5000")]) {
            options.set(name, value).unwrap();
        }
        let (queue, client) = (Queue::new().unwrap(), Client::new(options).unwrap());
        freeze(&server);
        let raw = |line| Operation { value: line, server: 1, ..Operation::new(Command::Raw, b"") };
        let (accepted, stopped) = queue.submit(&client, (0..8).map(|tag| (tag, raw(b"version"))));
        stopped.unwrap();
        assert_eq!(accepted, 8);
        let (accepted, stopped) = queue.submit(&client, [(8, raw(b"one\r\ntwo"))]);
        stopped.unwrap();
        assert_eq!(accepted, 1);
        let busy = queue.submit(&client, [(9, raw(b"version"))]);
        thaw(&server);
        let mut answers = Vec::new();
        while queue.fetch(&mut answers, 64, -1).unwrap() > 0 {}
        let status = |tag| answers.iter().find(|answer| answer.tag == tag).map(|answer| answer.status);
        assert_eq!(status(8), Some(Status::Argument), "{mode}");
        // One server refuses to take it, of several it is an answer.
        let refused = busy.1.err().map(|error| error.status()).or(status(9));
        assert_eq!(refused, Some(Status::Busy), "{mode}");
        assert!((0..8).all(|tag| status(tag) == Some(Status::Ok)), "{mode} {answers:?}");
    }
}

#[test]
fn with_credentials_a_server_that_was_never_met_may_take_any_key() {
    let gone = gone();
    let login = [("username", "u"), ("password", "p")];
    let sasl = client_of([gone.as_str()], &with("auto", &login));
    let ascii = client_of([gone.as_str()], &with("auto", &[login[0], login[1], ("auth", "ascii")]));
    for way in WAYS {
        assert_eq!(way.one(&sasl, Operation::get(b"a b")).status, Status::Connection, "{way:?}");
        assert_eq!(way.one(&sasl, Operation::get(b"")).status, Status::Argument, "{way:?}");
        assert_eq!(way.one(&ascii, Operation::get(b"a b")).status, Status::Argument, "{way:?}");
    }
}

#[test]
fn a_closed_client_is_closed_for_everything() {
    let client = client_of([gone().as_str()], &with("text", &[]));
    client.close();
    assert_eq!(client.get(b"").unwrap_err().status(), Status::Closed);
}
