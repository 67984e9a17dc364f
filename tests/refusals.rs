//! Refusals: what is wrong with an operation in itself is ARGUMENT, or TOO_LARGE, whatever the state of the servers: dead,
//! hung, out, or not found; its neighbours fail for that state.

mod common;

use bmemc::{bits, op_flags, Client, Command, Operation, Status};
use common::fleet::{client_of, freeze, thaw, WAYS};
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
