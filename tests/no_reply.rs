//! Operations without reply: they are done, their failures are counted and told of, and no other call ever sees one.

mod common;

use bmemc::server::{Config, Server};
use bmemc::{op_flags, Client, Command, Event, EventKind, Operation, Options, Queue, Sink, Status, Value};
use common::oracle::{Random, Watchdog};
use common::scripted::{right, Scripted, Step};
use common::{client, Memcached};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PROTOCOLS: [&str; 4] = ["auto", "text", "meta", "binary"];
/// More than a server takes.
const TOO_LARGE: usize = 2 << 20;

fn quiet<'a>(operation: Operation<'a>) -> Operation<'a> {
    Operation { op_flags: operation.op_flags | op_flags::NO_REPLY, ..operation }
}

fn set<'a>(key: &'a [u8], value: &'a [u8]) -> Operation<'a> {
    quiet(Operation::set(key, value, 0))
}

/// The statuses of a call, in order; all that is answered is answered once.
struct Statuses(Vec<Option<(Status, Vec<u8>)>>);

impl Sink for Statuses {
    fn answer(&mut self, index: usize, answer: bmemc::Answer<'_>) {
        let value = match answer.value {
            Value::Borrowed(bytes) => bytes.to_vec(),
            Value::Owned(bytes) => bytes,
            other => panic!("{other:?}"),
        };
        assert!(self.0[index].replace((answer.status, value)).is_none(), "a second answer for {index}");
    }
}

fn answers(client: &Client, operations: &[Operation<'_>]) -> Vec<(Status, Vec<u8>)> {
    let mut statuses = Statuses(vec![None; operations.len()]);
    client.execute(operations, &mut statuses).unwrap();
    statuses.0.into_iter().map(|answer| answer.expect("an answer")).collect()
}

fn statuses(client: &Client, operations: &[Operation<'_>]) -> Vec<Status> {
    answers(client, operations).into_iter().map(|(status, _)| status).collect()
}

fn quiet_failures(client: &Client) -> u64 {
    client.counters(None).unwrap().quiet_failures
}

/// A client of one connection, and the failures that it told of.
fn telling(server: &str, settings: &[(&str, &str)]) -> (Client, Arc<Mutex<Vec<Event>>>) {
    let mut options = Options::new();
    options.add_server(server, "", 1).unwrap();
    // Servers are started anew here, and the next call is to find them: tests/failover.rs has the rest.
    options.set("failover", "none").unwrap();
    for (name, value) in [("timeout_ms", "20000"), ("connect_timeout_ms", "20000")].iter().chain(settings) {
        options.set(name, value).unwrap();
    }
    let told = Arc::<Mutex<Vec<Event>>>::default();
    let log = told.clone();
    options.on_event(move |event| {
        if event.kind == EventKind::QuietFailure {
            log.lock().unwrap().push(event.clone());
        }
    });
    (Client::new(options).unwrap(), told)
}

fn embedded() -> Server {
    Server::start(Config::default()).unwrap()
}

#[test]
fn what_was_sent_without_reply_is_done() {
    let (memcached, embedded) = (Memcached::tcp(&[]), embedded());
    for (server, protocol) in [memcached.address(), embedded.address()]
        .iter()
        .flat_map(|server| PROTOCOLS.map(|protocol| (*server, protocol)))
    {
        let what = format!("{server} {protocol}");
        let client = client(server, &[("protocol", protocol), ("connections", "1")]);
        let get = |key: &[u8]| client.get(key).unwrap().map(|item| item.value);
        assert_eq!(statuses(&client, &[set(b"a", b"1"), set(b"b", b"2")]), [Status::Ok; 2], "{what}");
        assert_eq!((get(b"a"), get(b"b")), (Some(b"1".to_vec()), Some(b"2".to_vec())), "{what}");
        let other = |command, key, value| Operation { command, ..set(key, value) };
        let all = [
            other(Command::Add, b"c", b"3"),
            other(Command::Replace, b"a", b"4"),
            other(Command::Append, b"a", b"5"),
            other(Command::Prepend, b"a", b"6"),
            quiet(Operation::delete(b"b")),
            // What the server refuses is no failure.
            other(Command::Add, b"c", b"no"),
            other(Command::Replace, b"none", b"no"),
            other(Command::Append, b"none", b"no"),
            quiet(Operation::delete(b"none")),
            Operation { cas: 1, ..set(b"a", b"no") },
            Operation { cas: 1, ..set(b"none", b"no") },
        ];
        assert_eq!(statuses(&client, &all), [Status::Ok; 11], "{what}");
        assert_eq!((get(b"a"), get(b"b"), get(b"c")), (Some(b"645".to_vec()), None, Some(b"3".to_vec())), "{what}");
        assert_eq!(get(b"none"), None, "{what}");
        client.set(b"n", b"10", 0, 0).unwrap();
        let counter = |command, delta| Operation { command, delta, ..quiet(Operation::get(b"n")) };
        let all = [
            counter(Command::Increment, 5),
            counter(Command::Decrement, 3),
            Operation { key: b"none", ..counter(Command::Increment, 1) },
            Operation { ttl: -1, ..quiet(Operation::new(Command::Touch, b"c")) },
            Operation { ttl: 60, ..quiet(Operation::new(Command::Touch, b"none")) },
        ];
        assert_eq!(statuses(&client, &all), [Status::Ok; 5], "{what}");
        assert_eq!((get(b"n"), get(b"c"), get(b"none")), (Some(b"12".to_vec()), None, None), "{what}");
        assert_eq!(statuses(&client, &[quiet(Operation::new(Command::FlushAll, b""))]), [Status::Ok], "{what}");
        assert_eq!((get(b"n"), get(b"a")), (None, None), "{what}");
        assert_eq!((quiet_failures(&client), client.counters(None).unwrap().connects), (0, 1), "{what}");
    }
}

#[test]
fn operations_with_and_without_reply_keep_their_order_in_a_call() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let client = client(server.address(), &[("protocol", protocol)]);
        let operations = [
            Operation::get(b"x"),
            set(b"x", b"1"),
            Operation::get(b"x"),
            quiet(Operation::delete(b"x")),
            Operation::get(b"x"),
            set(b"x", b"2"),
            Operation::set(b"y", b"3", 0),
            quiet(Operation::get(b"x")),
            Operation::delete(b"y"),
            quiet(Operation::delete(b"x")),
        ];
        let (ok, miss) = (|value: &[u8]| (Status::Ok, value.to_vec()), (Status::NotFound, Vec::new()));
        let wanted =
            [miss.clone(), ok(b""), ok(b"1"), ok(b""), miss.clone(), ok(b""), ok(b""), ok(b"2"), ok(b""), ok(b"")];
        for _ in 0..20 {
            assert_eq!(answers(&client, &operations), wanted, "{protocol}");
        }
        assert_eq!(quiet_failures(&client), 0);
    }
}

#[test]
fn who_goes_without_reply_does_not_wait() {
    for protocol in ["text", "meta", "binary"] {
        let server = Scripted::tcp(|_, _| vec![Step::Mute]);
        let client = client(server.address(), &[("protocol", protocol), ("timeout_ms", "60000")]);
        let _watch = Watchdog::start("a call without reply", Duration::from_secs(30));
        assert_eq!(statuses(&client, &[set(b"k", b"v")]), [Status::Ok], "{protocol}");
        assert_eq!(statuses(&client, &[set(b"k", b"v"), quiet(Operation::delete(b"k"))]), [Status::Ok; 2]);
        std::mem::forget(client);
    }
}

#[test]
fn a_failure_is_counted_and_told_and_no_other_call_sees_it() {
    let (memcached, embedded) = (Memcached::tcp(&[]), embedded());
    let large = vec![b'x'; TOO_LARGE];
    for server in [memcached.address(), embedded.address()] {
        for protocol in ["auto", "meta", "binary"] {
            let (client, told) = telling(server, &[("protocol", protocol), ("connections", "1")]);
            client.set(b"here", b"there", 0, 0).unwrap();
            let calls = [set(b"a", b"1"), set(b"large", &large), set(b"b", b"2")];
            assert_eq!(statuses(&client, &calls), [Status::Ok; 3], "{server} {protocol}");
            assert_eq!(client.get(b"here").unwrap().unwrap().value, b"there");
            assert_eq!(client.get(b"b").unwrap().unwrap().value, b"2");
            assert_eq!(client.get(b"large").unwrap(), None);
            let counters = client.counters(None).unwrap();
            assert_eq!((counters.quiet_failures, counters.failures, counters.disconnects), (1, 0, 0));
            let told = std::mem::take(&mut *told.lock().unwrap());
            assert_eq!(told.len(), 1, "{told:?}");
            assert_eq!(told[0].status, Status::TooLarge);
            assert!(told[0].message.contains(server), "{told:?}");
            assert!(told[0].message.to_lowercase().contains("too large"), "{told:?}");
        }
        // Over text the server drops such a value in silence: nobody can know.
        let (client, told) = telling(server, &[("protocol", "text"), ("connections", "1")]);
        client.set(b"here", b"there", 0, 0).unwrap();
        assert_eq!(statuses(&client, &[set(b"large", &large)]), [Status::Ok]);
        assert_eq!(client.get(b"here").unwrap().unwrap().value, b"there");
        assert_eq!((quiet_failures(&client), told.lock().unwrap().len()), (0, 0));
    }
}

/// A server that answers requests without reply for keys that begin with "bad" by `line`, and all else rightly.
fn failing(line: &'static [u8]) -> Scripted {
    Scripted::tcp(move |request, reply| match request.is_quiet() && request.key().starts_with("bad") {
        true => vec![Step::Send(line.to_vec())],
        false => right(request, reply),
    })
}

#[test]
fn lines_of_errors_are_those_of_operations_without_reply() {
    for protocol in ["text", "meta"] {
        let server = failing(b"SERVER_ERROR out of memory storing object\r\n");
        let (client, told) = telling(server.address(), &[("protocol", protocol), ("connections", "1")]);
        for round in 1..=20 {
            let calls =
                [set(b"bad.1", b"v"), set(b"good", b"v"), quiet(Operation::delete(b"bad.2")), set(b"good", b"v")];
            assert_eq!(statuses(&client, &calls), [Status::Ok; 4]);
            assert_eq!(client.get(b"hit.1.10").unwrap().unwrap().value, common::oracle::value(b"hit.1.10"));
            client.set(b"hit.2.2", b"v", 0, 0).unwrap();
            assert_eq!(quiet_failures(&client), 2 * round, "{protocol}");
        }
        assert_eq!(client.counters(None).unwrap().disconnects, 0);
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 20, "those of a call are told of together");
        assert!(told[0].message.contains("2 operations without reply: out of memory"), "{told:?}");
    }
}

#[test]
fn a_stream_that_is_in_doubt_is_left() {
    // What follows the error may be part of the value, taken for commands.
    let lines: [&[u8]; 4] = [b"CLIENT_ERROR bad data chunk\r\n", b"ERROR\r\n", b"STORED\r\n", b"HTTP/1.1 400\r\n"];
    for line in lines {
        let server = failing(line);
        let client = client(server.address(), &[("protocol", "text"), ("connections", "1")]);
        assert_eq!(statuses(&client, &[set(b"bad", b"v")]), [Status::Ok]);
        // Whoever reads it learns that the connection was lost, and no more.
        let status = statuses(&client, &[Operation::get(b"hit.1.1")])[0];
        assert!(matches!(status, Status::Connection | Status::Protocol), "{status:?}");
        assert_eq!(client.get(b"hit.1.1").unwrap().unwrap().value, common::oracle::value(b"hit.1.1"));
        let counters = client.counters(None).unwrap();
        assert_eq!((counters.quiet_failures, counters.disconnects), (1, 1), "{}", line.escape_ascii());
    }
}

#[test]
fn replies_that_wait_are_no_stray_bytes() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let client = client(server.address(), &[("protocol", protocol), ("connections", "1")]);
        for round in 0..3 {
            assert_eq!(statuses(&client, &[set(b"k", b"v")]), [Status::Ok]);
            // Long enough for the connection to be looked at before it is used again.
            std::thread::sleep(Duration::from_millis(30));
            if round == 1 {
                assert_eq!(statuses(&client, &[set(b"k", b"w")]), [Status::Ok]);
                std::thread::sleep(Duration::from_millis(30));
            }
            assert_eq!(client.get(b"k").unwrap().unwrap().value, if round == 1 { b"w" } else { b"v" });
        }
        let counters = client.counters(None).unwrap();
        assert_eq!((counters.connects, counters.disconnects, counters.failures), (1, 0, 0), "{protocol}");
    }
}

#[test]
fn a_connection_that_died_behind_its_replies_is_not_used() {
    let mut server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let client = client(server.address(), &[("protocol", protocol), ("connections", "1")]);
        assert_eq!(statuses(&client, &[set(b"k", b"v")]), [Status::Ok]);
        std::thread::sleep(Duration::from_millis(20));
        server.stop();
        server.start();
        assert_eq!(client.get(b"k").unwrap(), None, "{protocol}: on a new connection");
        assert_eq!(quiet_failures(&client), 0, "its fence had come");
    }
}

#[test]
fn what_is_lost_with_its_server_is_counted() {
    for protocol in PROTOCOLS {
        let mut server = Memcached::tcp(&[]);
        let (client, told) = telling(server.address(), &[("protocol", protocol), ("connections", "1")]);
        client.set(b"k", b"v", 0, 0).unwrap();
        let pid = server.pid().to_string();
        assert!(std::process::Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
        while !server.is_stopped() {
            std::thread::yield_now();
        }
        for _ in 0..5 {
            assert_eq!(statuses(&client, &[set(b"a", b"1"), set(b"b", b"2")]), [Status::Ok; 2]);
        }
        server.stop();
        server.start();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(client.get(b"k").unwrap(), None, "{protocol}");
        assert_eq!(quiet_failures(&client), 10, "{protocol}");
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].status == Status::Connection && told[0].message.contains("10 operations"), "{told:?}");
    }
}

#[test]
fn what_was_never_sent_is_told_to_its_caller() {
    let address = Memcached::tcp(&[]).address().to_string();
    let client = client(&address, &[]);
    assert_eq!(statuses(&client, &[set(b"k", b"v")]), [Status::Connection], "nobody listens any more");
    let server = Memcached::tcp(&[]);
    let client = common::client(server.address(), &[("max_value_bytes", "1024")]);
    let calls = [set(b"", b"v"), set(b"k", &[0; 1025]), set(b"k", b"v")];
    assert_eq!(statuses(&client, &calls), [Status::Argument, Status::TooLarge, Status::Ok]);
    assert_eq!(quiet_failures(&client), 0);
}

#[test]
fn closing_waits_for_what_was_sent() {
    let server = Memcached::tcp(&[]);
    let reader = client(server.address(), &[]);
    let value = vec![b'v'; 4000];
    let ends: [fn(&Client); 3] = [|client| client.close(), |client| client.disconnect_all(), |_| {}];
    for (round, end) in ends.iter().enumerate() {
        for protocol in PROTOCOLS {
            let keys: Vec<String> = (0..3000).map(|number| format!("{round}.{protocol}.{number}")).collect();
            let client = client(server.address(), &[("protocol", protocol)]);
            let operations: Vec<_> = keys.iter().map(|key| set(key.as_bytes(), &value)).collect();
            assert!(statuses(&client, &operations).iter().all(|status| *status == Status::Ok));
            end(&client);
            drop(client);
            let all: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
            let found = reader.get_many(&all).unwrap();
            assert!(found.iter().all(|answer| answer.status == Status::Ok), "{protocol}: some were lost");
        }
    }
}

#[test]
fn closing_waits_no_longer_than_the_deadline() {
    let server = Scripted::tcp(|_, _| vec![Step::Mute]);
    let ends: [fn(&Client); 3] = [|client| client.close(), |client| client.disconnect_all(), |_| {}];
    for end in ends {
        let client = client(server.address(), &[("protocol", "meta"), ("timeout_ms", "300")]);
        assert_eq!(statuses(&client, &[set(b"k", b"v")]), [Status::Ok]);
        let begun = Instant::now();
        end(&client);
        drop(client);
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(20), "{took:?}");
    }
}

#[test]
fn any_number_in_a_row_comes_through() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let _watch = Watchdog::start("operations without reply in a row", Duration::from_secs(240));
        let client = client(server.address(), &[("protocol", protocol), ("connections", "1")]);
        for number in 0..30_000u32 {
            let value = number.to_string();
            assert_eq!(statuses(&client, &[set(b"k", value.as_bytes())]), [Status::Ok], "{protocol}");
        }
        assert_eq!(client.get(b"k").unwrap().unwrap().value, b"29999", "{protocol}");
        let many: Vec<_> = (0..50_000).map(|_| set(b"m", b"v")).collect();
        assert!(statuses(&client, &many).iter().all(|status| *status == Status::Ok), "{protocol}");
        assert_eq!(client.get(b"m").unwrap().unwrap().value, b"v", "{protocol}");
        assert_eq!(quiet_failures(&client), 0, "{protocol}");
    }
}

#[test]
fn a_server_that_never_answers_holds_up_who_goes_on() {
    for protocol in ["text", "meta", "binary"] {
        let server = Scripted::tcp(|_, _| vec![Step::Mute]);
        let settings = [("protocol", protocol), ("timeout_ms", "200"), ("connections", "1")];
        let (client, told) = telling(server.address(), &settings);
        let mut sent = 0;
        while client.counters(None).unwrap().disconnects == 0 {
            assert_eq!(statuses(&client, &[set(b"k", b"v")]), [Status::Ok], "{protocol}");
            sent += 1;
            assert!(sent <= 1000, "{protocol}: fences are not bounded");
        }
        assert_eq!(quiet_failures(&client), sent, "{protocol}: all of it is lost");
        assert_eq!(told.lock().unwrap().len(), 1);
    }
}

#[test]
fn among_gets_of_others() {
    let (memcached, embedded) = (Memcached::tcp(&["-m", "256"]), embedded());
    for server in [memcached.address(), embedded.address()] {
        for protocol in ["text", "meta", "binary"] {
            storm(server, protocol, 17_000);
        }
    }
}

const THREADS: u64 = 8;

/// Threads that set without reply, some of it too large, and get; each knows what its own keys may hold.
fn storm(server: &str, protocol: &str, operations: u64) {
    let what = format!("{server} {protocol}");
    let _watch = Watchdog::start("a storm without reply", Duration::from_secs(300));
    let (client, told) = telling(server, &[("protocol", protocol), ("connections", "3")]);
    let (provoked, large) = (AtomicU64::new(0), vec![b'x'; TOO_LARGE]);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (client, provoked, large, what) = (&client, &provoked, &large, &what);
            scope.spawn(move || {
                let mut random = Random::new(thread + 1);
                for number in 0..operations / THREADS {
                    let key = format!("{thread}.{}", random.below(50));
                    let stored = format!("{key}={number}");
                    match random.below(100) {
                        0 => {
                            provoked.fetch_add(1, Ordering::Relaxed);
                            let key = format!("{thread}.large");
                            assert_eq!(statuses(client, &[set(key.as_bytes(), large)]), [Status::Ok], "{what}");
                        }
                        1..=45 => {
                            assert_eq!(statuses(client, &[set(key.as_bytes(), stored.as_bytes())]), [Status::Ok]);
                        }
                        46..=50 => {
                            assert_eq!(statuses(client, &[quiet(Operation::delete(key.as_bytes()))]), [Status::Ok]);
                        }
                        51..=55 => client.set(key.as_bytes(), stored.as_bytes(), 0, 0).expect(what),
                        56..=60 => {
                            let other = format!("{thread}.{}", random.below(50));
                            let calls = [set(key.as_bytes(), stored.as_bytes()), Operation::get(other.as_bytes())];
                            let got = answers(client, &calls);
                            check(&other, &got[1], what);
                        }
                        _ => check(&key, &answers(client, &[Operation::get(key.as_bytes())])[0], what),
                    }
                }
            });
        }
    });
    client.disconnect_all();
    let counters = client.counters(None).unwrap();
    // Over text the server does not tell.
    let wanted = if protocol == "text" { 0 } else { provoked.into_inner() };
    let other: Vec<_> = told.lock().unwrap().iter().filter(|event| event.status != Status::TooLarge).cloned().collect();
    assert!(other.is_empty(), "{what}: {other:?}");
    assert_eq!((counters.quiet_failures, counters.failures), (wanted, 0), "{what}");
    assert!(protocol == "text" || wanted > 50, "{what}");
}

fn check(key: &str, (status, value): &(Status, Vec<u8>), what: &str) {
    match status {
        Status::NotFound => {}
        Status::Ok => assert!(value.starts_with(format!("{key}=").as_bytes()), "{what}: {key} {value:?}"),
        other => panic!("{what}: {key} ended in {other:?}: {}", String::from_utf8_lossy(value)),
    }
}

// ---- By a queue ----

/// Fetches until so many answers have come.
fn fetch(queue: &Queue, count: usize) -> Vec<(u64, Status)> {
    let mut answers = Vec::new();
    while answers.len() < count {
        assert!(queue.fetch(&mut answers, 64, -1).unwrap() > 0, "{} of {count}", answers.len());
    }
    answers.into_iter().map(|answer| (answer.tag, answer.status)).collect()
}

fn submit<'a>(queue: &Queue, client: &Client, operations: impl IntoIterator<Item = Operation<'a>>) -> usize {
    let (accepted, stopped) = queue.submit(client, (0..).zip(operations));
    stopped.unwrap();
    accepted
}

#[test]
fn a_queue_answers_once_the_kernel_has_it() {
    let memcached = Memcached::tcp(&[]);
    for protocol in ["text", "meta", "binary"] {
        let queue = Queue::new().unwrap();
        let silent = Scripted::tcp(|_, _| vec![Step::Mute]);
        let client = common::client(silent.address(), &[("protocol", protocol), ("timeout_ms", "200")]);
        let count = submit(&queue, &client, [set(b"a", b"1"), set(b"b", &[b'x'; 20_000])]);
        let mut answers = fetch(&queue, count);
        answers.sort_unstable_by_key(|(tag, _)| *tag);
        assert_eq!(answers, [(0, Status::Ok), (1, Status::Ok)], "{protocol}");
        client.close();

        let client = common::client(memcached.address(), &[("protocol", protocol), ("connections", "1")]);
        let large = vec![b'x'; 20_000];
        for round in 0..50 {
            let operations = [
                set(b"k", b"v"),
                Operation::get(b"k"),
                set(b"k", &large),
                Operation::get(b"k"),
                quiet(Operation::delete(b"k")),
            ];
            let count = submit(&queue, &client, operations);
            assert!(fetch(&queue, count).iter().all(|(_, status)| *status == Status::Ok), "{protocol}");
            if round % 10 == 0 {
                std::thread::sleep(Duration::from_millis(15));
            }
        }
        let counters = client.counters(None).unwrap();
        assert_eq!((counters.connects, counters.disconnects, counters.quiet_failures), (1, 0, 0), "{protocol}");
    }
}

#[test]
fn a_queue_counts_and_tells_of_failures() {
    let server = Memcached::tcp(&[]);
    let large = vec![b'x'; TOO_LARGE];
    for protocol in ["auto", "meta", "binary"] {
        let (client, told) = telling(server.address(), &[("protocol", protocol), ("connections", "1")]);
        client.set(b"here", b"there", 0, 0).unwrap();
        let queue = Queue::new().unwrap();
        let count = submit(&queue, &client, [set(b"large", &large), Operation::get(b"here"), set(b"large", &large)]);
        assert!(fetch(&queue, count).iter().all(|(_, status)| *status == Status::Ok), "{protocol}");
        // The second one's failure comes behind its answer.
        let until = Instant::now() + Duration::from_secs(20);
        while quiet_failures(&client) < 2 && Instant::now() < until {
            queue.fetch(&mut Vec::new(), 1, 0).unwrap();
        }
        assert_eq!((quiet_failures(&client), client.counters(None).unwrap().failures), (2, 0), "{protocol}");
        let told = told.lock().unwrap();
        assert!(!told.is_empty() && told.iter().all(|event| event.status == Status::TooLarge), "{told:?}");
    }
}

#[test]
fn what_a_queue_could_not_send_is_told() {
    let address = Memcached::tcp(&[]).address().to_string();
    let (queue, client) = (Queue::new().unwrap(), client(&address, &[]));
    let count = submit(&queue, &client, [set(b"k", b"v")]);
    assert_eq!(fetch(&queue, count), [(0, Status::Connection)]);
    assert_eq!(quiet_failures(&client), 0);

    // The window is open for so many batches; what waits behind them times out, and is lost with the connection.
    let server = Scripted::tcp(|_, _| vec![Step::Mute]);
    let client = common::client(server.address(), &[("protocol", "meta"), ("timeout_ms", "300"), ("connections", "1")]);
    let mut count = 0;
    for _ in 0..100 {
        count += submit(&queue, &client, [set(b"k", b"v")]);
    }
    let statuses = fetch(&queue, count);
    let sent = statuses.iter().filter(|(_, status)| *status == Status::Ok).count();
    let late = statuses.iter().filter(|(_, status)| *status == Status::Timeout).count();
    assert!(sent > 0 && late > 0 && sent + late == count, "{sent} {late}");
    assert_eq!(quiet_failures(&client), sent as u64);
}

#[test]
fn a_queue_parts_when_all_has_arrived() {
    let server = Memcached::tcp(&[]);
    let reader = client(server.address(), &[]);
    let value = vec![b'v'; 4000];
    for (round, protocol) in [0, 1, 2].into_iter().flat_map(|round| PROTOCOLS.map(|protocol| (round, protocol))) {
        let keys: Vec<String> = (0..3000).map(|number| format!("{round}.{protocol}.{number}")).collect();
        let client = client(server.address(), &[("protocol", protocol)]);
        let queue = Queue::new().unwrap();
        let count = submit(&queue, &client, keys.iter().map(|key| set(key.as_bytes(), &value)));
        assert!(fetch(&queue, count).iter().all(|(_, status)| *status == Status::Ok));
        match round {
            0 => drop(queue),
            _ => {
                client.close();
                let until = Instant::now() + Duration::from_secs(20);
                while client.counters(None).unwrap().disconnects == 0 && Instant::now() < until {
                    queue.fetch(&mut Vec::new(), 1, 0).unwrap();
                }
            }
        }
        let all: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        let found = reader.get_many(&all).unwrap();
        let lost = found.iter().filter(|answer| answer.status != Status::Ok).count();
        assert_eq!(lost, 0, "{round} {protocol}");
    }
    // No longer than the deadline, where the server does not answer.
    let server = Scripted::tcp(|_, _| vec![Step::Mute]);
    let client = common::client(server.address(), &[("protocol", "meta"), ("timeout_ms", "300")]);
    let queue = Queue::new().unwrap();
    let count = submit(&queue, &client, [set(b"k", b"v")]);
    assert_eq!(fetch(&queue, count), [(0, Status::Ok)]);
    let begun = Instant::now();
    drop(queue);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(20), "{took:?}");
}
