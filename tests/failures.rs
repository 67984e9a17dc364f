//! Real memcached servers that are killed, stopped, restarted, full, and busy. Values follow from their keys, so that
//! every answer can be checked. `BMEMC_LONG=1` makes the random parts ten times as long.

mod common;

use bmemc::{Answer, Answers, Client, Operation, Sink, Status, Value};
use common::oracle::{client, scale, value, Sleeper, Watchdog, PROTOCOLS};
use common::Memcached;
use std::io::Read;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const GRACE: Duration = Duration::from_millis(50);

fn signal(server: &Memcached, name: &str) {
    let done = Command::new("kill").args([name, &server.pid().to_string()]).status().unwrap();
    assert!(done.success(), "kill {name}");
    // A process with threads takes a moment to stop.
    let stat = format!("/proc/{}/stat", server.pid());
    while name == "-STOP" && !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What is stored under a key of these tests: held or not, the value is the same.
fn stored(key: &str) -> Vec<u8> {
    value(key.as_bytes())
}

/// A read whose value is right, a miss, or a failure; fails on anything else.
fn read(client: &Client, key: &str) -> Option<Status> {
    match client.get(key.as_bytes()) {
        Ok(Some(item)) => {
            assert!(item.value == stored(key), "a wrong value for {key}");
            None
        }
        Ok(None) => Some(Status::NotFound),
        Err(error) => {
            assert!(error.status().is_failure(), "{error}");
            assert_ne!(error.status(), Status::Bug, "{error}");
            Some(error.status())
        }
    }
}

fn keys(count: usize, len: usize) -> Vec<String> {
    (0..count).map(|n| format!("{n}.{len}")).collect()
}

/// Ends the loops of other threads, also where this one panics.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Eight threads read while `harm` is done to the server; answers with how many reads failed and how many did not.
fn under_load(client: &Client, held: &[String], misses_allowed: bool, harm: impl FnOnce()) -> (u64, u64) {
    let (stop, failed, hits) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8usize {
            let (stop, failed, hits) = (&stop, &failed, &hits);
            scope.spawn(move || {
                let mut at = thread * 31;
                while !stop.load(Ordering::Relaxed) {
                    at += 7;
                    match read(client, &held[at % held.len()]) {
                        None => hits.fetch_add(1, Ordering::Relaxed),
                        Some(Status::NotFound) => {
                            // Memcached has not lost the item: a miss would be a failure in disguise.
                            assert!(misses_allowed, "a wrong miss of {}", held[at % held.len()]);
                            0
                        }
                        Some(_) => {
                            // A server that is gone refuses at once: do not spin.
                            std::thread::sleep(Duration::from_millis(1));
                            failed.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            });
        }
        let _stop = StopAtEnd(&stop);
        harm();
    });
    (failed.into_inner(), hits.into_inner())
}

fn store(client: &Client, keys: &[String]) {
    for key in keys {
        client.set(key.as_bytes(), &stored(key), 0, 0).unwrap();
    }
}

fn recovers(client: &Client, what: &str) {
    let begun = Instant::now();
    while let Err(error) = client.version() {
        assert!(begun.elapsed() < Duration::from_secs(3), "{what}: {error}");
    }
}

#[test]
fn killed_and_restarted_under_load() {
    let _watchdog = Watchdog::start("killed", Duration::from_secs(120));
    for protocol in PROTOCOLS {
        let mut server = Memcached::tcp(&[]);
        let address = server.address().to_string();
        let client = client(&address, &[("protocol", protocol), ("timeout_ms", "300")]);
        let mut held = keys(100, 700);
        held.push("large.100000".into());
        store(&client, &held);
        for _ in 0..2 * scale() {
            // A restarted memcached holds nothing: then a miss is right.
            let (failed, hits) = under_load(&client, &held, false, || {
                std::thread::sleep(Duration::from_millis(50));
                signal(&server, "-KILL");
                std::thread::sleep(Duration::from_millis(50));
            });
            assert!(failed > 0 && hits > 0, "{protocol}: {failed} failed, {hits} did not");
            server.stop();
            let (failed, hits) = under_load(&client, &held, true, || {
                server.start();
                recovers(&client, protocol);
                store(&client, &held);
                std::thread::sleep(Duration::from_millis(50));
            });
            assert!(hits > 0, "{protocol}: {failed} failed, {hits} did not");
            recovers(&client, protocol);
        }
    }
}

#[test]
fn stopped_and_continued_under_load() {
    let _watchdog = Watchdog::start("stopped", Duration::from_secs(120));
    for protocol in PROTOCOLS {
        let server = Memcached::tcp(&[]);
        let client = client(server.address(), &[("protocol", protocol), ("timeout_ms", "60")]);
        let held = keys(100, 700);
        store(&client, &held);
        let sleeper = Sleeper::start();
        let (failed, hits) = under_load(&client, &held, false, || {
            let (mut in_time, mut rounds) = (0, 0);
            while in_time < 3 * scale() {
                std::thread::sleep(Duration::from_millis(30));
                signal(&server, "-STOP");
                std::thread::sleep(Duration::from_millis(90));
                let begun = Instant::now();
                let error = client.get(b"0.700").map(|item| item.is_some()).unwrap_err();
                let took = begun.elapsed();
                assert!(matches!(error.status(), Status::Timeout | Status::Connection), "{protocol}: {error}");
                signal(&server, "-CONT");
                // On a machine where sleepers are late too it is measured again.
                let (allowed, lateness) = (Duration::from_millis(60) + GRACE + sleeper.lateness(), sleeper.lateness());
                in_time += u64::from(took <= allowed);
                rounds += 1;
                let excused = lateness > Duration::from_millis(10) && rounds < 20 * scale();
                assert!(took <= allowed || excused, "{protocol}: {took:?}, allowed {allowed:?}");
            }
            recovers(&client, protocol);
        });
        assert!(failed > 0 && hits > 0, "{protocol}: {failed} failed, {hits} did not");
        for key in &held {
            assert_eq!(read(&client, key), None, "{protocol} {key}");
        }
    }
}

/// A call that waits for a stopped server, of each kind that there is.
fn wait_somehow(client: &Client, kind: usize, big: &[u8]) -> Vec<Status> {
    let only = |result: bmemc::Result<()>| vec![result.map_or_else(|error| error.status(), |()| Status::Ok)];
    match kind % 5 {
        0 => only(client.get(b"k").map(drop)),
        1 => only(client.set(b"k", b"v", 0, 0)),
        2 => only(client.set(b"big", big, 0, 0)),
        3 => {
            let names = keys(3000, 1);
            let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
            client.get_many(&names).unwrap().iter().map(|answer| answer.status).collect()
        }
        _ => only(client.set(b"middling", &big[..30_000], 0, 0)),
    }
}

#[test]
fn closed_while_many_threads_wait() {
    let _watchdog = Watchdog::start("closed", Duration::from_secs(120));
    let big = vec![b'x'; 900_000];
    for connections in ["1", "2", "8"] {
        for protocol in PROTOCOLS {
            let server = Memcached::tcp(&[]);
            let settings = [("protocol", protocol), ("timeout_ms", "20000"), ("connections", connections)];
            let client = client(server.address(), &settings);
            client.set(b"k", b"v", 0, 0).unwrap();
            signal(&server, "-STOP");
            let sleeper = Sleeper::start();
            std::thread::scope(|scope| {
                let waiting: Vec<_> = (0..16)
                    .map(|kind| {
                        let (client, big) = (&client, &big);
                        scope.spawn(move || (wait_somehow(client, kind, big), Instant::now()))
                    })
                    .collect();
                std::thread::sleep(Duration::from_millis(60));
                let begun = Instant::now();
                client.close();
                let what = format!("{protocol}, {connections} connections");
                assert!(begun.elapsed() < Duration::from_millis(200) + sleeper.lateness(), "{what}: close waits");
                for (kind, waiting) in waiting.into_iter().enumerate() {
                    let (statuses, ended) = waiting.join().unwrap();
                    let took = ended.saturating_duration_since(begun);
                    // Of 20 s that it might wait; a busy machine takes its time to fail thousands of operations.
                    let allowed = Duration::from_secs(2) + sleeper.lateness();
                    assert!(took < allowed, "{what}: kind {} took {took:?}", kind % 5);
                    let other = statuses.iter().find(|status| **status != Status::Closed);
                    assert_eq!(other, None, "{what}: kind {}", kind % 5);
                }
            });
            assert_eq!(client.get(b"k").unwrap_err().status(), Status::Closed);
            signal(&server, "-CONT");
        }
    }
}

fn bytes_of<'a>(value: &'a Value<'_>) -> &'a [u8] {
    match value {
        Value::Borrowed(bytes) => bytes,
        Value::Owned(bytes) => bytes,
        Value::Placed(_) | Value::Skipped(_) => &[],
    }
}

/// The 4 KB under key `n`: neighbours differ in every byte.
fn value_number(bytes: &[u8], n: usize) -> &[u8] {
    &bytes[n % 1009..n % 1009 + 4096]
}

/// Checks that all answers are the same status, and each value that of its operation.
struct Uniform<'a> {
    operations: &'a [Operation<'a>],
    expected: Status,
    answered: Vec<u8>,
    values: &'a [u8],
    what: &'a str,
}

impl Sink for Uniform<'_> {
    fn answer(&mut self, index: usize, answer: Answer<'_>) {
        self.answered[index] += 1;
        let Uniform { what, expected, .. } = self;
        assert_eq!(answer.status, *expected, "{what}: {index}: {:?}", answer.error());
        if self.operations[index].command == bmemc::Command::Get && answer.status == Status::Ok {
            let right = value_number(self.values, index);
            assert!(bytes_of(&answer.value) == right, "{what}: a wrong value for {index}");
        }
    }
}

/// Calls of as many operations as there are names.
struct Huge<'a> {
    client: &'a Client,
    names: &'a [String],
    values: &'a [u8],
    what: &'a str,
}

impl<'a> Huge<'a> {
    /// Every operation must be answered once, with this status.
    fn run(&self, operation: impl Fn(usize) -> Operation<'a>, expected: Status) {
        let operations: Vec<Operation<'_>> = (0..self.names.len()).map(operation).collect();
        let Huge { values, what, .. } = *self;
        let answered = vec![0; operations.len()];
        let mut checker = Uniform { operations: &operations, expected, answered, values, what };
        self.client.execute(&operations, &mut checker).unwrap();
        assert!(checker.answered.iter().all(|count| *count == 1), "{what}: not one answer each");
    }
}

/// 200,000 operations of each kind in one call.
fn huge_calls(protocol: &str, company: usize) {
    const COUNT: usize = 200_000;
    let server = Memcached::tcp(&["-m", "2048"]);
    let settings = [("protocol", protocol), ("timeout_ms", "60000")];
    let client = client(server.address(), &settings);
    let values = value(b"huge.5105");
    let names: Vec<String> = (0..COUNT).map(|n| format!("huge-{n}")).collect();
    let what = format!("{protocol}, {company} others");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        for thread in 0..company {
            let (client, stop, what) = (&client, &stop, &what);
            scope.spawn(move || {
                let key = format!("other-{thread}.{}", [10, 5000, 90_000][thread % 3]);
                while !stop.load(Ordering::Relaxed) {
                    client.set(key.as_bytes(), &stored(&key), 0, 0).unwrap_or_else(|error| panic!("{what}: {error}"));
                    assert_eq!(read(client, &key), None, "{what} {key}");
                }
            });
        }
        let huge = Huge { client: &client, names: &names, values: &values, what: &what };
        huge.run(|n| Operation::set(names[n].as_bytes(), value_number(&values, n), 0), Status::Ok);
        huge.run(|n| Operation::get(names[n].as_bytes()), Status::Ok);
        huge.run(|n| Operation::delete(names[n].as_bytes()), Status::Ok);
        huge.run(|n| Operation::get(names[n].as_bytes()), Status::NotFound);
    });
}

#[test]
fn calls_of_200_000_keys_alone() {
    let _watchdog = Watchdog::start("huge calls", Duration::from_secs(240));
    for protocol in ["text", "meta", "binary"] {
        huge_calls(protocol, 0);
    }
}

#[test]
fn calls_of_200_000_keys_among_others() {
    let _watchdog = Watchdog::start("huge calls among others", Duration::from_secs(240));
    for protocol in ["text", "meta", "binary"] {
        huge_calls(protocol, 4);
    }
}

/// A large call that runs out of time half way must leave the client as good as new.
#[test]
fn a_large_call_that_runs_out_of_time() {
    let _watchdog = Watchdog::start("out of time", Duration::from_secs(120));
    for protocol in PROTOCOLS {
        let server = Memcached::tcp(&["-m", "1024"]);
        let settings = [("protocol", protocol), ("timeout_ms", "20000"), ("connections", "1")];
        let client = client(server.address(), &settings);
        let value = vec![b'v'; 4096];
        let names = keys(20_000, 1);
        let sets: Vec<_> = names.iter().map(|name| Operation::set(name.as_bytes(), &value, 0)).collect();
        let mut answers = Answers::new(sets.len());
        client.execute(&sets, &mut answers).unwrap();
        assert_eq!(answers.first_error().map(|error| error.to_string()), None, "{protocol}");
        for timeout_ms in [1, 3, 10, 20, 40] {
            let operation = |name| Operation { timeout_ms, ..Operation::get(name) };
            let gets: Vec<_> = names.iter().map(|name: &String| operation(name.as_bytes())).collect();
            let mut answers = Answers::new(gets.len());
            client.execute(&gets, &mut answers).unwrap();
            let what = format!("{protocol} {timeout_ms} ms");
            for answer in answers.iter() {
                assert!(matches!(answer.status, Status::Ok | Status::Timeout), "{what}: {:?}", answer.error());
                assert!(answer.status != Status::Ok || bytes_of(&answer.value) == value, "{what}");
            }
            let begun = Instant::now();
            let next = client.get(b"0.1").unwrap_or_else(|error| panic!("{what}: the next call: {error}"));
            assert!(next.unwrap().value == value, "{what}");
            assert!(begun.elapsed() < Duration::from_secs(3), "{what}: {:?}", begun.elapsed());
        }
    }
}

#[test]
fn large_and_small_values_together() {
    let _watchdog = Watchdog::start("large and small", Duration::from_secs(120));
    for connections in ["1", "2", "8"] {
        for protocol in PROTOCOLS {
            let server = Memcached::tcp(&["-m", "512"]);
            let settings = [("protocol", protocol), ("timeout_ms", "20000"), ("connections", connections)];
            let client = client(server.address(), &settings);
            std::thread::scope(|scope| {
                for thread in 0..8usize {
                    let client = &client;
                    scope.spawn(move || {
                        let len = [5, 100, 9000, 17_000, 70_000, 1_000_000, 30, 400_000][thread];
                        for round in 0..if len > 100_000 { 6 } else { 60 } {
                            let key = format!("{thread}-{}.{len}", round % 5);
                            client.set(key.as_bytes(), &stored(&key), 0, 0).unwrap();
                            assert_eq!(read(client, &key), None, "{protocol} {key}");
                            let mut buffer = vec![0; len];
                            assert_eq!(client.get_into(key.as_bytes(), &mut buffer).unwrap(), Some((len, 0)));
                            assert!(buffer == stored(&key), "{protocol} {key}");
                        }
                    });
                }
            });
        }
    }
}

#[test]
fn a_connection_that_the_server_closed_is_not_used() {
    let server = Memcached::tcp(&["-o", "idle_timeout=1"]);
    let clients: Vec<Client> =
        PROTOCOLS.map(|protocol| client(server.address(), &[("protocol", protocol)])).into_iter().collect();
    for round in 0..2 {
        for client in &clients {
            client.set(b"k", b"v", 0, 0).unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert_eq!(client.get(b"k").unwrap().unwrap().value, b"v");
        }
        // Memcached looks for idle connections once a second or so.
        std::thread::sleep(Duration::from_millis(if round == 0 { 5000 } else { 0 }));
    }
}

#[test]
fn a_server_with_too_many_connections_says_so() {
    let server = Memcached::tcp(&["-c", "24"]);
    let mut fillers = Vec::new();
    // More than once: the server still counts connections for a moment after they were closed.
    for _ in 0..3 {
        fillers.extend((0..40).map(|_| std::net::TcpStream::connect(server.address()).unwrap()));
        std::thread::sleep(Duration::from_millis(100));
    }
    // It takes them in one by one; it is full once it turns a newcomer away.
    let turned_away = || {
        let mut words = String::new();
        let newcomer = std::net::TcpStream::connect(server.address()).unwrap();
        newcomer.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let _ = { newcomer }.read_to_string(&mut words);
        words.contains("Too many")
    };
    assert!((0..100).any(|_| turned_away()));
    for protocol in PROTOCOLS {
        let client = client(server.address(), &[("protocol", protocol), ("timeout_ms", "500")]);
        let error = client.get(b"k").map(|item| item.is_some()).unwrap_err();
        // What the server says may be lost when it closes with our request unread.
        assert!(matches!(error.status(), Status::ServerError | Status::Connection), "{protocol}: {error}");
        let told = (0..20).any(|_| client.get(b"k").unwrap_err().message().contains("Too many open connections"));
        assert!(told, "{protocol}: {error}");
    }
    fillers.clear();
    std::thread::sleep(Duration::from_millis(100));
    for protocol in PROTOCOLS {
        let client = client(server.address(), &[("protocol", protocol)]);
        assert_eq!(client.get(b"k").unwrap(), None, "{protocol}");
    }
}

#[test]
fn more_calls_than_may_wait_are_busy() {
    let server = Memcached::tcp(&[]);
    let settings = [("timeout_ms", "400"), ("max_waiting", "4"), ("protocol", "text")];
    let client = client(server.address(), &settings);
    client.set(b"k", b"v", 0, 0).unwrap();
    signal(&server, "-STOP");
    let outcomes: Vec<(Status, Duration)> = std::thread::scope(|scope| {
        let call = || {
            let begun = Instant::now();
            (client.get(b"k").unwrap_err().status(), begun.elapsed())
        };
        let threads: Vec<_> = (0..12).map(|_| scope.spawn(call)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let count = |wanted: Status| outcomes.iter().filter(|(status, _)| *status == wanted).count();
    assert_eq!((count(Status::Busy), count(Status::Timeout)), (8, 4), "{outcomes:?}");
    let slow = outcomes.iter().filter(|(status, took)| *status == Status::Busy && *took > Duration::from_millis(200));
    assert_eq!(slow.count(), 0, "{outcomes:?}");
    signal(&server, "-CONT");
    assert_eq!(client.get(b"k").unwrap().unwrap().value, b"v");
}

/// A connection that is given up as nothing comes in time ends all that is on it, and each hears the reason: also who was
/// sending meanwhile, and finds that the socket is closed.
#[test]
fn who_shares_a_connection_that_hangs_hears_of_the_time_out() {
    let value = vec![b'v'; 16_000_000];
    for protocol in PROTOCOLS {
        let server = Memcached::tcp(&["-m", "128", "-I", "64m"]);
        let settings = [("protocol", protocol), ("timeout_ms", "400"), ("connections", "1")];
        let client = client(server.address(), &settings);
        client.set(b"k", b"v", 0, 0).unwrap();
        signal(&server, "-STOP");
        std::thread::scope(|scope| {
            let first = scope.spawn(|| client.get(b"k").unwrap_err());
            std::thread::sleep(Duration::from_millis(100));
            // It waits for room to send; its own deadline is far away.
            let large = Operation { timeout_ms: 20_000, ..Operation::set(b"large", &value, 0) };
            let small = Operation { timeout_ms: 20_000, ..Operation::get(b"k") };
            let others = [large, small].map(|operation| {
                let client = &client;
                scope.spawn(move || {
                    let mut answers = Answers::new(1);
                    client.execute(&[operation], &mut answers).unwrap();
                    let error = answers.iter().find_map(|answer| answer.error());
                    error.unwrap()
                })
            });
            assert_eq!(first.join().unwrap().status(), Status::Timeout, "{protocol}");
            for error in others.map(|other| other.join().unwrap()) {
                assert_eq!(error.status(), Status::Timeout, "{protocol}: {error}");
                assert!(
                    error.message().contains("no answer within 400 ms, connection given up"),
                    "{protocol}: {error}"
                );
            }
        });
        signal(&server, "-CONT");
    }
}
