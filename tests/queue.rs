//! The completion queue against real memcached servers, by fetches that wait.

mod common;

use bmemc::{bits, op_flags, Client, Command, Operation, Queue, Status};
use common::queues::*;
use common::{client, Memcached};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[test]
fn any_mix_of_operations_is_answered() {
    everywhere(|queue, client, what| {
        let operations = [
            Operation { flags: 7, ..Operation::set(b"a", b"one\r\nEND\r\n", 0) },
            Operation::set(b"b", b"", 0),
            Operation::get(b"a"),
            Operation::get(b"missing"),
            Operation::get(b"b"),
            Operation { op_flags: op_flags::WANT_CAS, ..Operation::get(b"a") },
            Operation::delete(b"b"),
            Operation::delete(b"b"),
            Operation::get(b"b"),
            Operation::version(),
        ];
        for round in 0..3 {
            let answers = run(queue, client, (0..).zip(operations));
            use Status::{NotFound, Ok};
            let expected = [Ok, Ok, Ok, NotFound, Ok, Ok, Ok, NotFound, NotFound, Ok];
            assert_eq!(statuses(&answers), expected, "{what} {round}");
            assert_eq!((answers[&2].value.as_slice(), answers[&2].flags), (&b"one\r\nEND\r\n"[..], 7), "{what}");
            assert!(answers[&4].value.is_empty() && answers[&5].cas > 0, "{what}");
            assert!(answers[&9].value.starts_with(b"1."), "{what}");
            assert!(answers.values().all(|answer| answer.bits & bits::SENT != 0), "{what}");
        }
    });
}

#[test]
fn nothing_asked_nothing_answered() {
    let server = Memcached::tcp(&[]);
    let (queue, client) = (Queue::new().unwrap(), client(server.address(), &[]));
    for timeout_ms in [0, 1000, -1] {
        assert_eq!(queue.fetch(&mut Vec::new(), 10, timeout_ms).unwrap(), 0);
    }
    assert_eq!(submit(&queue, &client, []), 0);
    assert!(!queue.cancel(1).unwrap());
    submit(&queue, &client, [(1, Operation::get(b"k"))]);
    assert_eq!(queue.fetch(&mut Vec::new(), 0, -1).unwrap(), 0, "no room");
    assert_eq!(fetch_all(&queue).len(), 1);
}

#[test]
fn values_of_every_size_go_both_ways() {
    let server = Memcached::tcp(&["-I", "32m", "-m", "512"]);
    for protocol in PROTOCOLS {
        let client = client(server.address(), &[("protocol", protocol), ("timeout_ms", "20000")]);
        let queue = Queue::new().unwrap();
        let sizes = [0, 1, 100, 8191, 8192, 16_000, 16_384, 17_000, 100_000, 1_000_000, 20_000_000];
        let values: Vec<Vec<u8>> = sizes.iter().map(|len| (0..*len).map(|at| (at * 7 + len) as u8).collect()).collect();
        let keys: Vec<String> = sizes.iter().map(|len| format!("size-{len}")).collect();
        let sets = keys.iter().zip(&values).map(|(key, value)| Operation::set(key.as_bytes(), value, 0));
        let answers = run(&queue, &client, (0..).zip(sets));
        assert!(answers.values().all(|answer| answer.status == Status::Ok), "{protocol}");
        let gets = || (0..).zip(keys.iter().map(|key| Operation::get(key.as_bytes())));
        let answers = run(&queue, &client, gets());
        for (tag, value) in (0..).zip(&values) {
            assert!(answers[&tag].value == *value, "{protocol} {}", value.len());
        }
        // A slab of 2 MB takes all but the largest.
        submit(&queue, &client, gets());
        let (mut slab, mut answers) = (vec![0; 2_000_000], Vec::new());
        while answers.len() < sizes.len() {
            let from = answers.len();
            queue.fetch_into(&mut answers, 64, &mut slab, -1).unwrap();
            for answer in &answers[from..] {
                let value = &values[answer.tag as usize];
                match answer.placed.clone() {
                    Some(place) => assert!(slab[place] == **value, "{protocol} {}", value.len()),
                    None => assert!(value.len() == 20_000_000 && answer.value == *value, "{protocol} {}", value.len()),
                }
            }
        }
        let too_long = vec![0; 34_000_000];
        let refused =
            run(&queue, &client, [(0, Operation::set(b"long", &too_long, 0)), (1, Operation::get(b"size-1"))]);
        assert_eq!(refused[&0].status, Status::TooLarge, "{protocol}: {:?}", refused[&0]);
        assert!(matches!(refused[&1].status, Status::Ok | Status::Connection), "{protocol}");
    }
}

#[test]
fn much_that_comes_at_once_is_received_whole_and_in_order() {
    let server = Memcached::tcp(&["-m", "256"]);
    for protocol in PROTOCOLS {
        let client = client(server.address(), &[("protocol", protocol), ("timeout_ms", "20000"), ("connections", "1")]);
        let queue = Queue::new().unwrap();
        // Replies end everywhere in the buffers, and small ones stand between large ones.
        let len = |i: usize| [10_240, 3, 16_000 + i, 700, 16_384 + i, 40_000][i % 6];
        let value = |i: usize| -> Vec<u8> { (0..len(i)).map(|at| (at * 7 + i) as u8).collect() };
        let keys: Vec<String> = (0..300).map(|i| format!("much-{i}")).collect();
        for (i, key) in keys.iter().enumerate() {
            client.set(key.as_bytes(), &value(i), 0, 0).unwrap();
        }
        for round in 0..3 {
            submit(&queue, &client, (0..).zip(keys.iter().map(|key| Operation::get(key.as_bytes()))));
            let answers = fetch_all(&queue);
            assert_eq!(answers.len(), keys.len(), "{protocol} {round}");
            for (i, answer) in answers.iter().enumerate() {
                assert!(
                    answer.tag == i as u64 && answer.value == value(i),
                    "{protocol} {round} {i}: {:?}",
                    answer.status
                );
            }
        }
        assert_eq!(client.counters(None).unwrap().failures, 0, "{protocol}");
    }
}

#[test]
fn what_cannot_be_sent_is_answered_alone() {
    everywhere(|queue, client, what| {
        let long = [b'x'; 251];
        for round in 0..2 {
            let operations = [
                Operation::set(b"good", b"v", 0),
                Operation::get(&long),
                Operation::get(b""),
                Operation { cas: 7, ..Operation::new(Command::Add, b"good") },
                Operation::get(b"good"),
            ];
            let answers = run(queue, client, (0..).zip(operations));
            use Status::{Argument, Ok};
            assert_eq!(statuses(&answers), [Ok, Argument, Argument, Argument, Ok], "{what} {round}");
            assert!(
                (1..4).all(|tag| answers[&tag].bits == bits::NOT_SENT && !answers[&tag].detail.is_empty()),
                "{what}"
            );
        }
    });
}

#[test]
fn gets_in_a_row_are_each_what_they_say() {
    everywhere(|queue, client, what| {
        let long = [b'k'; 300];
        let (plain, missing) = (Operation::get(b"plain"), Operation::get(b"missing"));
        let with_cas = Operation { op_flags: op_flags::WANT_CAS, ..plain };
        let as_stored = Operation { op_flags: op_flags::EXPLICIT_FLAGS, ..plain };
        let patient = Operation { timeout_ms: 5000, ..plain };
        let (nothing, too_long) = (Operation::get(b""), Operation::get(&long));
        run(queue, client, [(0, Operation { flags: 3, ..Operation::set(b"plain", b"value", 0) })]);
        use Status::{Argument, NotFound, Ok};
        let row = [plain, plain, missing, with_cas, with_cas, nothing, as_stored, patient, too_long, missing, plain];
        let expected = [Ok, Ok, NotFound, Ok, Ok, Argument, Ok, Ok, Argument, NotFound, Ok];
        // Twice: the first connection may still be on its way.
        for round in 0..2 {
            let answers = run(queue, client, (0..).zip(row));
            assert_eq!(statuses(&answers), expected, "{what} {round}");
            for answer in answers.values().filter(|answer| answer.status == Ok) {
                assert_eq!((answer.value.as_slice(), answer.flags), (&b"value"[..], 3), "{what} {round}");
            }
            assert!(answers[&3].cas > 0 && answers[&3].cas == answers[&4].cas, "{what} {round}");
        }
        // More than a line of gets holds, and more than a batch.
        let keys: Vec<String> = (0..6000).map(|n| format!("row-of-{n:0>20}")).collect();
        let gets = keys.iter().map(|key| Operation::get(key.as_bytes()));
        let with_one: Vec<_> = gets.chain([plain]).collect();
        let answers = run(queue, client, (0..).zip(with_one));
        let misses = answers.values().filter(|answer| answer.status == NotFound).count();
        assert_eq!((misses, answers[&6000].status), (6000, Ok), "{what}");
    });
}

#[test]
fn what_was_refused_while_connecting_takes_no_room() {
    let server = Memcached::tcp(&[]);
    let client = client(server.address(), &[("max_waiting", "4"), ("connections", "1")]);
    let queue = Queue::new().unwrap();
    let refused = run(&queue, &client, (0..4).map(|tag| (tag, Operation::get(b""))));
    assert_eq!(statuses(&refused), [Status::Argument; 4]);
    let answers = run(&queue, &client, (0..4).map(|tag| (tag, Operation::set(b"k", b"v", 0))));
    assert_eq!(statuses(&answers), [Status::Ok; 4]);
}

#[test]
fn four_threads_submit_while_one_fetches() {
    const EACH: u64 = 25_000;
    everywhere(|queue, client, what| {
        let (mut answered, mut wrong) = (vec![false; 4 * EACH as usize], 0);
        let done = &AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for first in (thread * EACH..(thread + 1) * EACH).step_by(50) {
                        let keys: Vec<String> = (first..first + 50).map(|tag| format!("key-{}", tag % 5000)).collect();
                        let operations = keys.iter().zip(first..).map(|(key, tag)| match tag % 3 {
                            0 => (tag, Operation::set(key.as_bytes(), key.as_bytes(), 0)),
                            _ => (tag, Operation::get(key.as_bytes())),
                        });
                        submit(queue, client, operations);
                        done.fetch_add(50, Ordering::Release);
                    }
                });
            }
            let mut count = 0;
            let until = Instant::now() + Duration::from_secs(60);
            while count < 4 * EACH {
                assert!(Instant::now() < until, "{what}: {count} answers, {done:?} submitted");
                let mut answers = Vec::new();
                count += queue.fetch(&mut answers, 128, 100).unwrap() as u64;
                for answer in answers {
                    assert!(!std::mem::replace(&mut answered[answer.tag as usize], true), "{what}: answered twice");
                    let key = format!("key-{}", answer.tag % 5000);
                    let value = answer.value == key.as_bytes();
                    wrong += u64::from(match (answer.tag % 3, answer.status) {
                        (0, Status::Ok) => false,
                        (_, Status::Ok) => !value,
                        (_, Status::NotFound) => false,
                        _ => true,
                    });
                }
            }
        });
        assert_eq!((wrong, fetch_all(queue).len()), (0, 0), "{what}");
    });
}

/// Who fetches waits in a receive on the only connection, without the lock, while others use that connection.
#[test]
fn others_submit_and_cancel_while_one_waits_in_a_receive() {
    const EACH: u64 = 3000;
    let values: Vec<Vec<u8>> = [0usize, 10, 5000, 16_000, 40_000].iter().map(|size| vec![b'v'; *size]).collect();
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let settings = [("protocol", protocol), ("connections", "1"), ("timeout_ms", "20000")];
        let (queue, client) = (&Queue::new().unwrap(), &client(server.address(), &settings));
        let keys: Vec<String> = (0..values.len()).map(|index| format!("lone-{index}")).collect();
        let sets = keys.iter().zip(&values).zip(0..);
        run(queue, client, sets.map(|((key, value), tag)| (tag, Operation::set(key.as_bytes(), value, 0))));
        let of = |tag: u64| (tag as usize * 7 / 3) % keys.len();
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let keys = &keys;
                scope.spawn(move || {
                    for tag in thread * EACH..(thread + 1) * EACH {
                        submit(queue, client, [(tag, Operation::get(keys[of(tag)].as_bytes()))]);
                        if tag % 5 == 0 {
                            queue.cancel(tag).unwrap();
                        }
                        if tag % 64 == 0 {
                            std::thread::sleep(Duration::from_millis(1)); // so that one is under way alone
                        }
                    }
                });
            }
            let (mut seen, mut answers) = (vec![false; 2 * EACH as usize], Vec::new());
            while seen.iter().any(|seen| !seen) {
                queue.fetch(&mut answers, 1, 1000).unwrap();
                for answer in answers.drain(..) {
                    assert!(!std::mem::replace(&mut seen[answer.tag as usize], true), "{protocol}: answered twice");
                    let cancelled = answer.tag % 5 == 0 && answer.status == Status::Cancelled;
                    assert!(cancelled || answer.value == values[of(answer.tag)], "{protocol}: {}", answer.tag);
                }
            }
        });
    }
}

#[test]
fn several_clients_share_a_queue() {
    let servers: Vec<Memcached> = (0..3).map(|_| Memcached::tcp(&[])).collect();
    let clients: Vec<Client> = servers.iter().map(|server| client(server.address(), &[])).collect();
    let queue = Queue::new().unwrap();
    let values = [b"zero", b"one ", b"two "];
    for (client, value) in clients.iter().zip(values) {
        submit(&queue, client, [(0, Operation::set(b"where", value, 0))]);
    }
    assert!(fetch_all(&queue).iter().all(|answer| answer.status == Status::Ok));
    for tag in 0..3000 {
        submit(&queue, &clients[tag % 3], [(tag as u64, Operation::get(b"where"))]);
    }
    let answers = by_tag(fetch_all(&queue));
    assert_eq!(answers.len(), 3000);
    assert!(answers.values().all(|answer| answer.value == values[answer.tag as usize % 3]));
    drop(clients);
    drop(queue);
}

#[test]
fn an_operation_of_its_own_deadline_does_not_harm_the_others() {
    everywhere_stopped(|queue, client, server, what| {
        let brief = Operation { timeout_ms: 60, ..Operation::get(b"k") };
        let begun = Instant::now();
        submit(queue, client, [(0, brief), (1, Operation::get(b"other")), (2, brief), (3, Operation::get(b"k"))]);
        let mut answers = Vec::new();
        while answers.len() < 2 {
            queue.fetch(&mut answers, 9, -1).unwrap();
        }
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(59) && took < Duration::from_millis(60) + LATE, "{what}: {took:?}");
        assert!(answers.iter().all(|answer| answer.tag % 2 == 0 && answer.status == Status::Timeout), "{what}");
        assert!(answers.iter().all(|answer| answer.bits == bits::SENT | bits::UNKNOWN_OUTCOME), "{what}: {answers:?}");
        signal(server, "-CONT");
        let answers = by_tag(fetch_all(queue));
        let got = |tag: u64| (answers[&tag].status, answers[&tag].value.as_slice());
        assert_eq!((got(1), got(3)), ((Status::Ok, &b"O"[..]), (Status::Ok, &b"K"[..])), "{what}");
    });
}

#[test]
fn a_server_that_hangs_costs_one_time_out() {
    everywhere_stopped(|queue, client, server, what| {
        let begun = Instant::now();
        for tag in 0..200 {
            submit(queue, client, [(tag, Operation::get(b"k"))]);
        }
        let answers = fetch_all(queue);
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(399) && took < Duration::from_millis(400) + LATE, "{what}: {took:?}");
        assert_eq!(answers.len(), 200, "{what}");
        assert!(answers.iter().all(|answer| answer.status == Status::Timeout), "{what}: {answers:?}");
        let unsent = answers.iter().filter(|answer| answer.bits == bits::NOT_SENT).count();
        let sent = answers.iter().filter(|answer| answer.bits & bits::UNKNOWN_OUTCOME != 0).count();
        assert!(unsent + sent == 200 && sent > 0, "{what}: {unsent} {sent}");
        signal(server, "-CONT");
        assert_eq!(run(queue, client, [(0, Operation::get(b"k"))])[&0].value, b"K", "{what}");
    });
}

#[test]
fn cancelled_operations_are_answered_at_once_and_their_replies_dropped() {
    everywhere_stopped(|queue, client, server, what| {
        let operations = [(5, Operation::get(b"k")), (6, Operation::get(b"other")), (5, Operation::get(b"missing"))];
        submit(queue, client, operations);
        let cancel = |tag| queue.cancel(tag).unwrap();
        assert!(cancel(5) && !cancel(5) && !cancel(4), "{what}");
        let mut answers = Vec::new();
        assert_eq!(queue.fetch(&mut answers, 9, 0).unwrap(), 2, "{what}");
        assert!(answers.iter().all(|answer| (answer.tag, answer.status) == (5, Status::Cancelled)), "{what}");
        assert!(answers.iter().all(|answer| answer.bits & bits::UNKNOWN_OUTCOME != 0), "{what}");
        signal(server, "-CONT");
        let rest = fetch_all(queue);
        assert_eq!((rest.len(), rest[0].tag, rest[0].value.as_slice()), (1, 6, &b"O"[..]), "{what}");
        let answers = run(queue, client, (0..100).map(|tag| (tag, Operation::get(b"k"))));
        assert!(answers.values().all(|answer| answer.value == b"K"), "{what}");
    });
}

#[test]
fn a_wait_ends_with_a_cancel_of_another_thread() {
    everywhere_stopped(|queue, client, server, what| {
        submit(queue, client, [(1, Operation::get(b"k"))]);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(30));
                assert!(queue.cancel(1).unwrap(), "{what}");
            });
            let mut answers = Vec::new();
            assert_eq!(queue.fetch(&mut answers, 9, -1).unwrap(), 1, "{what}");
            assert_eq!(answers[0].status, Status::Cancelled, "{what}");
        });
        assert!(begun.elapsed() < Duration::from_millis(30) + LATE, "{what}");
        signal(server, "-CONT");
    });
}

#[test]
fn a_server_that_is_killed_is_a_failure_and_comes_back() {
    for protocol in PROTOCOLS {
        let mut server = Memcached::tcp(&[]);
        let (queue, client) = (Queue::new().unwrap(), client(server.address(), &[("protocol", protocol)]));
        run(&queue, &client, [(0, Operation::set(b"k", b"K", 0))]);
        signal(&server, "-STOP");
        submit(&queue, &client, (0..100).map(|tag| (tag, Operation::get(b"k"))));
        server.stop();
        let lost = by_tag(fetch_all(&queue));
        assert_eq!(lost.len(), 100);
        for answer in lost.values() {
            assert_eq!(answer.status, Status::Connection, "{protocol}");
            assert_eq!(answer.bits, bits::SENT | bits::UNKNOWN_OUTCOME, "{protocol}");
            assert!(String::from_utf8_lossy(&answer.detail).contains(server.address()), "{protocol}: {answer:?}");
        }
        let refused = &run(&queue, &client, [(0, Operation::get(b"k"))])[&0];
        assert_eq!((refused.status, refused.bits), (Status::Connection, bits::NOT_SENT), "{protocol}: {refused:?}");
        server.start();
        assert_eq!(run(&queue, &client, [(0, Operation::get(b"k"))])[&0].status, Status::NotFound, "{protocol}");
    }
}

#[test]
fn a_server_that_never_was_fails_within_the_deadline() {
    for address in ["127.0.0.1:1", "/nonexistent/socket", "nowhere.invalid:1", "10.255.255.1:1"] {
        let (queue, client) =
            (Queue::new().unwrap(), client(address, &[("connect_timeout_ms", "200"), ("timeout_ms", "3000")]));
        let begun = Instant::now();
        let answers = run(&queue, &client, (0..5).map(|tag| (tag, Operation::get(b"k"))));
        assert_eq!(answers.len(), 5);
        for answer in answers.values() {
            assert!(answer.status.is_failure() && answer.bits == bits::NOT_SENT, "{answer:?}");
            assert!(String::from_utf8_lossy(&answer.detail).contains(address.trim_end_matches(":1")), "{answer:?}");
        }
        assert!(begun.elapsed() < Duration::from_millis(200) + LATE, "{address}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_name_is_looked_up_without_blocking() {
    let server = Memcached::tcp(&[]);
    let address = server.address().replace("127.0.0.1", "localhost");
    let (queue, client) = (Queue::new().unwrap(), client(&address, &[]));
    let begun = Instant::now();
    submit(&queue, &client, [(0, Operation::set(b"k", b"K", 0)), (1, Operation::get(b"k"))]);
    assert!(begun.elapsed() < Duration::from_millis(50));
    assert_eq!(by_tag(fetch_all(&queue))[&1].value, b"K");
}

#[test]
fn a_closed_client_answers_closed() {
    everywhere_stopped(|queue, client, server, what| {
        submit(queue, client, (0..100).map(|tag| (tag, Operation::get(b"k"))));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(20));
                client.close();
            });
            let answers = by_tag(fetch_all(queue));
            assert_eq!(answers.len(), 100, "{what}");
            assert!(answers.values().all(|answer| answer.status == Status::Closed), "{what}: {answers:?}");
        });
        let (accepted, stopped) = queue.submit(client, [(1, Operation::get(b"k"))]);
        assert_eq!((accepted, stopped.unwrap_err().status()), (0, Status::Closed), "{what}");
        signal(server, "-CONT");
        let other = self::client(server.address(), &[]);
        assert_eq!(run(queue, &other, [(0, Operation::get(b"k"))])[&0].value, b"K", "{what}");
    });
}

#[test]
fn queues_and_clients_go_in_any_order_with_work_in_flight() {
    let server = Memcached::tcp(&[]);
    for queue_first in [true, false] {
        let (queue, client) = (Queue::new().unwrap(), client(server.address(), &[]));
        let large = vec![b'x'; 500_000];
        submit(&queue, &client, (0..50).map(|tag| (tag, Operation::set(b"large", &large, 0))));
        if queue_first {
            drop(queue);
            drop(client);
        } else {
            // A handle that is dropped without close leaves the operations under way.
            drop(client);
            assert_eq!(fetch_all(&queue).len(), 50);
        }
    }
}

#[test]
fn no_more_than_max_waiting_are_taken() {
    let server = Memcached::tcp(&[]);
    let (queue, client) = (Queue::new().unwrap(), client(server.address(), &[("max_waiting", "10")]));
    for _ in 0..3 {
        let (accepted, stopped) = queue.submit(&client, (0..25).map(|tag| (tag, Operation::get(b"k"))));
        let error = stopped.unwrap_err();
        assert_eq!((accepted, error.status()), (10, Status::Busy));
        assert!(error.message().contains("max_waiting is 10"), "{error}");
        assert_eq!(by_tag(fetch_all(&queue)).len(), 10);
    }
}

#[test]
fn one_thread_at_a_time_fetches() {
    everywhere_stopped(|queue, client, server, what| {
        submit(queue, client, [(1, Operation::get(b"k"))]);
        let is_busy =
            |fetched: &Result<usize, bmemc::Error>| matches!(fetched, Err(error) if error.status() == Status::Busy);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let fetch = || Some(queue.fetch(&mut Vec::new(), 1, -1)).filter(|fetched| !is_busy(fetched));
                let fetched = std::iter::repeat_with(fetch).flatten().next();
                assert_eq!(fetched.unwrap().unwrap(), 1, "{what}");
            });
            // The server is stopped: from some time on the other thread waits in its fetch.
            let deadline = Instant::now() + Duration::from_secs(20);
            while !is_busy(&queue.fetch(&mut Vec::new(), 1, 0)) {
                assert!(Instant::now() < deadline, "{what}");
                std::thread::sleep(Duration::from_millis(1));
            }
            signal(server, "-CONT");
        });
    });
}

#[test]
fn full_buffers_on_both_sides_do_not_stop_it() {
    let server = Memcached::tcp(&["-m", "512"]);
    for protocol in PROTOCOLS {
        let settings = [("protocol", protocol), ("max_waiting", "1000000"), ("timeout_ms", "60000")];
        let (queue, client) = (Queue::new().unwrap(), client(server.address(), &settings));
        let value = vec![b'v'; 4096];
        let keys: Vec<String> = (0..20_000).map(|number| format!("key-{number}")).collect();
        let key = |number: u64| keys[number as usize % keys.len()].as_bytes();
        submit(&queue, &client, (0..20_000).map(|tag| (tag, Operation::set(key(tag), &value, 0))));
        submit(&queue, &client, (20_000..220_000).map(|tag| (tag, Operation::get(key(tag)))));
        let (mut slab, mut answers, mut count) = (vec![0; 64 * 4096], Vec::new(), 0);
        loop {
            answers.clear();
            let came = queue.fetch_into(&mut answers, 64, &mut slab, -1).unwrap();
            for answer in &answers {
                let whole = || slab.get(answer.placed.clone().unwrap()) == Some(&value);
                let right = answer.status == Status::Ok && (answer.tag < 20_000 || whole());
                assert!(right || answer.status == Status::NotFound, "{protocol}: {answer:?}");
            }
            count += came;
            if came == 0 {
                break;
            }
        }
        assert_eq!(count, 220_000, "{protocol}");
    }
}
