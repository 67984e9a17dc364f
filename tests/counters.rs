//! Every counter is moved by a deed, and by so much as the deed is worth. The servers are real.

mod common;

use bmemc::{Client, Counters, Operation, Options, Queue, Status};
use common::Memcached;
use std::process::Command;
use std::time::{Duration, Instant};

const PROTOCOLS: [&str; 4] = ["auto", "text", "meta", "binary"];

fn client(server: &str, settings: &[(&str, &str)]) -> Client {
    let mut options = Options::new();
    options.add_server(server, "", 1).unwrap();
    // How each failure looks is the subject here, not what is remembered of it (tests/failover.rs).
    options.set("failover", "none").unwrap();
    for (name, value) in settings {
        options.set(name, value).unwrap();
    }
    Client::new(options).unwrap()
}

fn all(client: &Client) -> Counters {
    let all = client.counters(None).unwrap();
    assert_eq!(all, client.counters(Some(0)).unwrap(), "one server is all there is");
    all
}

/// What `deed` adds.
fn difference(client: &Client, deed: impl FnOnce()) -> Counters {
    let before = all(client);
    deed();
    let after = all(client);
    Counters {
        operations: after.operations - before.operations,
        hits: after.hits - before.hits,
        misses: after.misses - before.misses,
        failures: after.failures - before.failures,
        timeouts: after.timeouts - before.timeouts,
        quiet_failures: after.quiet_failures - before.quiet_failures,
        bytes_sent: after.bytes_sent - before.bytes_sent,
        bytes_received: after.bytes_received - before.bytes_received,
        batches: after.batches - before.batches,
        connects: after.connects - before.connects,
        disconnects: after.disconnects - before.disconnects,
        system_calls: after.system_calls - before.system_calls,
        breaker_opened: after.breaker_opened - before.breaker_opened,
        failed_fast: after.failed_fast - before.failed_fast,
    }
}

#[test]
fn a_get_is_one_operation_one_batch_and_two_system_calls() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let client = client(server.address(), &[("protocol", protocol)]);
        client.set(b"k", b"value", 0, 0).unwrap();
        let mut checked = 0;
        for _ in 0..200 {
            let begun = Instant::now();
            drop(client.get(b"k").unwrap());
            let hit = difference(&client, || drop(client.get(b"k").unwrap().unwrap()));
            if begun.elapsed() > Duration::from_millis(5) {
                continue; // A connection that was idle for 10 ms is looked at first.
            }
            checked += 1;
            let (sent, received) = (hit.bytes_sent, hit.bytes_received);
            let (batches, system_calls) = (1, 2);
            let expected = Counters {
                operations: 1,
                hits: 1,
                bytes_sent: sent,
                bytes_received: received,
                batches,
                system_calls,
                ..Counters::default()
            };
            assert_eq!(hit, expected, "{protocol}");
            if protocol == "text" {
                assert_eq!((sent, received), (7, 25), "get k, and VALUE k 0 5, value, END");
            }
            assert!(sent >= 6 && received > 5, "{protocol}");
        }
        assert!(checked >= 20, "{protocol}: {checked}");
        let miss = difference(&client, || assert_eq!(client.get(b"none").unwrap(), None));
        assert_eq!((miss.operations, miss.hits, miss.misses, miss.failures), (1, 0, 1, 0), "{protocol}");
        assert!(miss.batches == 1 && (2..=3).contains(&miss.system_calls), "{protocol}: {miss:?}");
    }
}

#[test]
fn a_write_is_no_hit_and_as_many_system_calls() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let client = client(server.address(), &[("protocol", protocol)]);
        client.set(b"k", b"value", 0, 0).unwrap();
        let deeds: [(&str, &dyn Fn()); 3] = [
            ("set", &|| client.set(b"k", b"value", 0, 0).unwrap()),
            ("touch", &|| assert!(client.touch(b"k", 60).unwrap())),
            ("delete of none", &|| assert!(!client.delete(b"none").unwrap())),
        ];
        for (name, deed) in deeds {
            let counted = (0..200).find_map(|_| {
                let begun = Instant::now();
                deed();
                let counted = difference(&client, deed);
                // A connection that was idle for 10 ms is looked at first.
                (begun.elapsed() < Duration::from_millis(5)).then_some(counted)
            });
            let counted = counted.expect("a machine that is less busy");
            let (sent, received) = (counted.bytes_sent, counted.bytes_received);
            let expected = Counters {
                operations: 1,
                bytes_sent: sent,
                bytes_received: received,
                batches: 1,
                system_calls: 2,
                ..Counters::default()
            };
            assert_eq!(counted, expected, "{protocol}: {name}");
            assert!(sent > 6 && received > 5, "{protocol}: {name}");
        }
    }
}

#[test]
fn many_operations_are_few_batches() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let client = client(server.address(), &[("protocol", protocol)]);
        client.set(b"key-7", b"value", 0, 0).unwrap();
        let keys: Vec<String> = (0..100).map(|number| format!("key-{number}")).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        let many = difference(&client, || drop(client.get_many(&keys).unwrap()));
        assert_eq!((many.operations, many.hits, many.misses, many.batches), (100, 1, 99, 1), "{protocol}");
        let large = vec![b'x'; 900_000];
        let write = difference(&client, || client.set(b"large", &large, 0, 0).unwrap());
        assert!((900_000..900_100).contains(&write.bytes_sent), "{protocol}: {write:?}");
        let read = difference(&client, || drop(client.get(b"large").unwrap()));
        assert!((900_000..900_100).contains(&read.bytes_received) && read.hits == 1, "{protocol}: {read:?}");
        assert!(read.system_calls >= 2, "{protocol}: {read:?}");
        assert!(client.delete(b"key-7").unwrap());
        let none = difference(&client, || assert!(!client.delete(b"key-7").unwrap()));
        assert_eq!((none.operations, none.misses), (1, 0), "{protocol}: only reads miss");
    }
}

#[test]
fn connections_come_and_go() {
    let mut server = Memcached::tcp(&[]);
    let client = client(server.address(), &[("protocol", "text")]);
    let opened = difference(&client, || client.set(b"k", b"v", 0, 0).unwrap());
    assert_eq!((opened.connects, opened.disconnects), (1, 0));
    let dropped = difference(&client, || client.disconnect_all());
    assert_eq!((dropped.connects, dropped.disconnects, dropped.system_calls), (0, 1, 2), "shutdown and close");
    assert_eq!(difference(&client, || drop(client.get(b"k").unwrap())).connects, 1);
    server.stop();
    let lost = difference(&client, || while client.get(b"k").is_ok() {});
    assert_eq!((lost.disconnects, lost.failures, lost.timeouts), (1, 1, 0));
    let refused = difference(&client, || drop(client.get(b"k").unwrap_err()));
    assert_eq!((refused.operations, refused.failures, refused.connects, refused.batches), (1, 1, 0, 0));
    assert!(refused.system_calls >= 3, "socket, connect, close: {refused:?}");
}

#[test]
fn an_idle_connection_is_closed_and_counted() {
    let server = Memcached::tcp(&[]);
    let client = client(server.address(), &[("connections_idle_ms", "50")]);
    client.set(b"k", b"v", 0, 0).unwrap();
    std::thread::sleep(Duration::from_millis(120));
    let idle = difference(&client, || drop(client.get(b"k").unwrap()));
    assert_eq!((idle.connects, idle.disconnects, idle.failures), (1, 1, 0));
}

#[test]
fn timeouts_are_failures_too() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let client = client(server.address(), &[("protocol", protocol), ("timeout_ms", "100")]);
        client.set(b"k", b"v", 0, 0).unwrap();
        let pid = server.pid().to_string();
        let signal = |name: &str| assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
        signal("-STOP");
        // The signal may take a moment.
        std::thread::sleep(Duration::from_millis(50));
        let alone = difference(&client, || assert_eq!(client.get(b"k").unwrap_err().status(), Status::Timeout));
        let eight = difference(&client, || {
            std::thread::scope(|scope| {
                (0..8).for_each(|_| {
                    scope.spawn(|| assert!(client.get(b"k").is_err()));
                });
            });
        });
        signal("-CONT");
        assert_eq!((alone.operations, alone.failures, alone.timeouts), (1, 1, 1), "{protocol}");
        assert_eq!((eight.operations, eight.failures), (8, 8), "{protocol}");
        assert!(eight.timeouts >= 1, "{protocol}: {eight:?}");
    }
}

#[test]
fn refusals_are_failures_that_nothing_is_sent_for() {
    let server = Memcached::tcp(&[]);
    let client = client(server.address(), &[("protocol", "text"), ("max_value_bytes", "1024")]);
    client.set(b"k", b"v", 0, 0).unwrap();
    let bad = difference(&client, || drop(client.get(b"a b").unwrap_err()));
    assert_eq!((bad.operations, bad.failures, bad.bytes_sent, bad.batches), (1, 1, 0, 0));
    let long = difference(&client, || drop(client.set(b"k", &[0; 2000], 0, 0).unwrap_err()));
    assert_eq!((long.operations, long.failures, long.bytes_sent), (1, 1, 0));
    client.close();
    let closed = difference(&client, || drop(client.get(b"k").unwrap_err()));
    assert_eq!((closed.operations, closed.failures), (1, 1));
}

#[test]
fn threads_together_count_as_much_as_alone() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        for connections in ["1", "2"] {
            let client = client(server.address(), &[("protocol", protocol), ("connections", connections)]);
            client.set(b"k", b"v", 0, 0).unwrap();
            let work = difference(&client, || {
                std::thread::scope(|scope| {
                    for _ in 0..8 {
                        scope.spawn(|| {
                            for _ in 0..250 {
                                assert!(client.get(b"k").unwrap().is_some());
                                assert!(client.get(b"none").unwrap().is_none());
                            }
                        });
                    }
                });
            });
            let what = format!("{protocol}, {connections} connections: {work:?}");
            assert_eq!((work.operations, work.hits, work.misses, work.failures), (4000, 2000, 2000, 0), "{what}");
            assert!((1..=4000).contains(&work.batches) && work.system_calls > 0, "{what}");
            // `get k` and `get none` are 17 bytes in text, alone or together, but for the words that they then share.
            assert!(work.bytes_sent > 4000 * 2 && work.bytes_received > 2000 * 5, "{what}");
        }
    }
}

#[test]
fn a_queue_counts_for_the_client() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let client = client(server.address(), &[("protocol", protocol), ("connections", "1")]);
        client.set(b"k", b"v", 0, 0).unwrap();
        let work = difference(&client, || {
            let queue = Queue::new().unwrap();
            for (tag, key) in [(1, &b"k"[..]), (2, b"none"), (3, b"k")] {
                assert_eq!(queue.submit(&client, [(tag, Operation::get(key))]).0, 1);
            }
            let (mut answers, mut got) = (Vec::new(), 0);
            while got < 3 {
                got += queue.fetch(&mut answers, 9, 1000).unwrap();
            }
        });
        assert_eq!((work.operations, work.hits, work.misses, work.failures), (3, 2, 1, 0), "{protocol}");
        assert!(work.connects == 1 && work.batches >= 1 && work.batches <= 3, "{protocol}: {work:?}");
        assert!(work.bytes_sent >= 12 && work.bytes_received >= 10 && work.system_calls > 4, "{protocol}: {work:?}");
    }
}

#[test]
fn a_server_that_there_is_not() {
    let error = client("127.0.0.1:1", &[]).counters(Some(1)).unwrap_err();
    assert_eq!(error.status(), Status::Argument);
    assert!(error.message().contains("server 1"), "{error}");
}
