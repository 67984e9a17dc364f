//! The completion queue against real memcached servers: by fetches that wait, and by event loops that poll its descriptor.

mod common;

use bmemc::net::poller::{Events, Interest, Poller};
use bmemc::{bits, op_flags, Client, Command, Fetched, Operation, Queue, Status};
use common::{client, Memcached};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PROTOCOLS: [&str; 4] = ["auto", "text", "meta", "binary"];
/// Deadlines are kept to this, on a machine that does other things too.
const LATE: Duration = Duration::from_millis(150);

/// Runs a test over every protocol and both kinds of socket.
fn everywhere(test: impl Fn(&Queue, &Client, &str)) {
    let servers = [Memcached::tcp(&["-m", "256"]), Memcached::unix(&["-m", "256"])];
    for server in &servers {
        for protocol in PROTOCOLS {
            let what = format!("{protocol} {}", server.address());
            let settings = [("protocol", protocol), ("timeout_ms", "20000")];
            test(&Queue::new().unwrap(), &client(server.address(), &settings), &what);
        }
    }
}

fn submit<'a>(queue: &Queue, client: &Client, operations: impl IntoIterator<Item = (u64, Operation<'a>)>) -> usize {
    let (accepted, stopped) = queue.submit(client, operations);
    stopped.unwrap();
    accepted
}

/// Fetches until nothing is under way.
fn fetch_all(queue: &Queue) -> Vec<Fetched> {
    let mut answers = Vec::new();
    while queue.fetch(&mut answers, 64, -1).unwrap() > 0 {}
    answers
}

/// The answers by their tags, each of which came once.
fn by_tag(answers: Vec<Fetched>) -> HashMap<u64, Fetched> {
    let count = answers.len();
    let map: HashMap<u64, Fetched> = answers.into_iter().map(|answer| (answer.tag, answer)).collect();
    assert_eq!(map.len(), count, "each operation is answered once");
    map
}

fn run<'a>(
    queue: &Queue,
    client: &Client,
    operations: impl IntoIterator<Item = (u64, Operation<'a>)>,
) -> HashMap<u64, Fetched> {
    submit(queue, client, operations);
    by_tag(fetch_all(queue))
}

fn statuses(answers: &HashMap<u64, Fetched>) -> Vec<Status> {
    (0..answers.len() as u64).map(|tag| answers[&tag].status).collect()
}

/// Sends a signal to a server.
fn signal(server: &Memcached, name: &str) {
    let status = process::Command::new("kill").args([name, &server.pid().to_string()]).status();
    assert!(status.unwrap().success());
    while name == "-STOP" && !server.is_stopped() {
        std::thread::yield_now();
    }
}

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

/// Runs a test over every protocol with a server that was stopped after the connection was used, "k" being K and "other"
/// O; operations may take 400 ms.
fn everywhere_stopped(test: impl Fn(&Queue, &Client, &Memcached, &str)) {
    for protocol in PROTOCOLS {
        for unix in [false, true] {
            let server = if unix { Memcached::unix(&[]) } else { Memcached::tcp(&[]) };
            let client = client(server.address(), &[("protocol", protocol), ("timeout_ms", "400")]);
            let queue = Queue::new().unwrap();
            run(&queue, &client, [(0, Operation::set(b"k", b"K", 0)), (1, Operation::set(b"other", b"O", 0))]);
            signal(&server, "-STOP");
            test(&queue, &client, &server, &format!("{protocol} {}", server.address()));
            signal(&server, "-CONT");
        }
    }
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
        let begun = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                begun.store(true, Ordering::Release);
                assert_eq!(fetch_all(queue).len(), 1, "{what}");
            });
            while !begun.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(200));
            assert_eq!(queue.fetch(&mut Vec::new(), 1, 0).unwrap_err().status(), Status::Busy, "{what}");
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

/// An event loop that takes one event at a time from an outer epoll and answers each with one fetch; how many wake-ups it
/// took. It keeps `at_once` operations under way until there were `total`, and looks for a wake-up that is lost.
fn host(queue: &Queue, client: &Client, edge: Interest, capacity: usize, at_once: u64, total: u64) -> u64 {
    let outer = Poller::new().unwrap();
    outer.add(&queue.fd(), 1, Interest::READ.and(edge)).unwrap();
    let (mut next, mut done, mut wakes, mut answers) = (0, 0, 0, Vec::new());
    let mut events = Events::with_capacity(1);
    let more = |next: &mut u64, count: u64| {
        let until = (*next + count).min(total);
        let keys: Vec<String> = (*next..until).map(|tag| format!("host-{}", tag % 100)).collect();
        submit(queue, client, keys.iter().zip(*next..until).map(|(key, tag)| (tag, Operation::get(key.as_bytes()))));
        *next = until;
    };
    more(&mut next, at_once);
    while done < total {
        let ready = outer.wait(&mut events, Some(Duration::from_secs(3))).unwrap();
        assert_eq!(ready, 1, "a wake-up was lost after {done} answers of {next}");
        wakes += 1;
        answers.clear();
        let came = queue.fetch(&mut answers, capacity, 0).unwrap() as u64;
        assert!(answers.iter().all(|answer| matches!(answer.status, Status::Ok | Status::NotFound)), "{answers:?}");
        done += came;
        more(&mut next, came);
    }
    wakes
}

#[test]
fn a_host_that_fetches_once_for_an_event_loses_none() {
    everywhere(|queue, client, what| {
        for (at_once, capacity) in [(1, 1), (64, 1), (64, 5), (300, 64)] {
            for edge in [Interest::EDGE, Interest::NONE] {
                let wakes = host(queue, client, edge, capacity, at_once, 4000);
                assert!(wakes >= 4000 / capacity as u64, "{what}");
            }
        }
    });
}

#[test]
fn several_servers_lose_no_event_either() {
    let servers: Vec<Memcached> = (0..4).map(|_| Memcached::tcp(&[])).collect();
    let clients: Vec<Client> = servers.iter().map(|server| client(server.address(), &[])).collect();
    let queue = Queue::new().unwrap();
    let mut done = 0;
    std::thread::scope(|scope| {
        for client in &clients {
            let queue = &queue;
            scope.spawn(move || {
                for _ in 0..2000 {
                    submit(queue, client, (0..3).map(|tag| (tag, Operation::get(b"k"))));
                }
            });
        }
        let outer = Poller::new().unwrap();
        outer.add(&queue.fd(), 1, Interest::READ.and(Interest::EDGE)).unwrap();
        let (mut events, mut answers) = (Events::with_capacity(1), Vec::new());
        while done < 4 * 2000 * 3 {
            let ready = outer.wait(&mut events, Some(Duration::from_secs(3))).unwrap();
            assert_eq!(ready, 1, "a wake-up was lost after {done} answers");
            done += queue.fetch(&mut answers, 2, 0).unwrap();
        }
    });
    assert_eq!(fetch_all(&queue).len(), 0);
}

#[test]
fn a_host_is_not_woken_for_nothing() {
    everywhere(|queue, client, what| {
        host(queue, client, Interest::NONE, 64, 1, 100);
        let wakes = host(queue, client, Interest::NONE, 64, 1, 2000);
        assert!(wakes < 2100, "{what}: {wakes} wake-ups for 2000 operations, one at a time");
    });
}

/// Polls the queue's descriptor, fetching once for each wake-up, until there is an answer.
fn wait_for_answer(queue: &Queue, edge: Interest) -> Fetched {
    let outer = Poller::new().unwrap();
    outer.add(&queue.fd(), 1, Interest::READ.and(edge)).unwrap();
    let (mut events, mut answers) = (Events::with_capacity(1), Vec::new());
    while answers.is_empty() {
        assert_eq!(outer.wait(&mut events, Some(Duration::from_secs(5))).unwrap(), 1, "a wake-up was lost");
        queue.fetch(&mut answers, 1, 0).unwrap();
    }
    answers.remove(0)
}

#[test]
fn a_host_is_woken_for_all_that_ends_an_operation() {
    for edge in [Interest::EDGE, Interest::NONE] {
        everywhere_stopped(|queue, client, server, what| {
            let begun = Instant::now();
            submit(queue, client, [(1, Operation { timeout_ms: 50, ..Operation::get(b"k") })]);
            assert_eq!(wait_for_answer(queue, edge).status, Status::Timeout, "{what}");
            let took = begun.elapsed();
            assert!(took >= Duration::from_millis(49) && took < Duration::from_millis(50) + LATE, "{what}: {took:?}");
            submit(queue, client, [(2, Operation::get(b"k"))]);
            queue.cancel(2).unwrap();
            assert_eq!(wait_for_answer(queue, edge).status, Status::Cancelled, "{what}");
            submit(queue, client, [(3, Operation::get(b"k"))]);
            client.close();
            assert_eq!(wait_for_answer(queue, edge).status, Status::Closed, "{what}");
            let other = self::client(server.address(), &[]);
            submit(queue, &other, [(4, Operation::get(b""))]);
            signal(server, "-CONT");
            assert_eq!(wait_for_answer(queue, edge).status, Status::Argument, "{what}");
        });
        let queue = Queue::new().unwrap();
        for address in ["127.0.0.1:1", "nowhere.invalid:1"] {
            let nobody = client(address, &[]);
            submit(&queue, &nobody, [(1, Operation::get(b"k"))]);
            assert!(matches!(wait_for_answer(&queue, edge).status, Status::Connection | Status::Dns), "{address}");
        }
    }
}

// ---- Servers that misbehave ----

/// A server that answers each line of a connection as `answer(connection, line)` says; `None` hangs up.
fn scripted(answer: impl Fn(usize, &str) -> Option<&'static str> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for line in lines.map_while(Result::ok) {
                let Some(words) = answer(number, &line) else { break };
                if stream.write_all(words.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    address
}

#[test]
fn a_server_that_hangs_up_on_mn_gets_classic_text() {
    let address = scripted(|connection, line| match line {
        "version" => Some("VERSION 1.4\r\n"),
        "get k" => Some("VALUE k 0 1\r\nK\r\nEND\r\n"),
        "mn" if connection == 0 => None,
        other => panic!("{other}"),
    });
    let (queue, client) = (Queue::new().unwrap(), client(&address, &[("connections", "1")]));
    let answers = run(&queue, &client, [(0, Operation::get(b"k"))]);
    assert_eq!((answers[&0].status, answers[&0].value.as_slice()), (Status::Ok, &b"K"[..]));
}

#[test]
fn a_server_that_does_not_greet_costs_the_connect_time_out() {
    let address = scripted(|_, _| Some(""));
    let settings = [("connect_timeout_ms", "100"), ("timeout_ms", "5000")];
    let (queue, client) = (Queue::new().unwrap(), client(&address, &settings));
    let begun = Instant::now();
    let answers = run(&queue, &client, (0..3).map(|tag| (tag, Operation::get(b"k"))));
    assert!(answers.values().all(|a| (a.status, a.bits) == (Status::Timeout, bits::NOT_SENT)), "{answers:?}");
    assert!(begun.elapsed() < Duration::from_millis(100) + LATE, "{:?}", begun.elapsed());
}

#[test]
fn replies_that_do_not_belong_break_the_connection() {
    for (reply, status) in [
        ("VALUE other 0 1\r\nX\r\nEND\r\n", Status::Protocol),
        ("VALUE k 0 1\r\nX\r\nEND\r\nEND\r\n", Status::Protocol),
        ("STORED\r\n", Status::Protocol),
        ("VALUE k 0 999999999999\r\n", Status::TooLarge),
    ] {
        let address = scripted(move |connection, _| if connection == 0 { Some(reply) } else { Some("END\r\n") });
        let settings = [("protocol", "text"), ("connections", "1")];
        let (queue, client) = (Queue::new().unwrap(), client(&address, &settings));
        let first = run(&queue, &client, [(0, Operation::get(b"k"))]).remove(&0).unwrap();
        if first.status == Status::Ok {
            assert_eq!(first.value, b"X", "a reply that is right counts, whatever follows it");
        } else {
            assert_eq!((first.status, first.bits), (status, bits::SENT | bits::UNKNOWN_OUTCOME), "{reply:?}");
        }
        assert_eq!(run(&queue, &client, [(0, Operation::get(b"k"))])[&0].status, Status::NotFound, "{reply:?}");
    }
}

#[test]
fn a_connection_that_is_for_one_operation_ends_with_it() {
    let server = Memcached::tcp(&[]);
    let (client, queue) = (client(server.address(), &[("protocol", "text")]), Queue::new().unwrap());
    for round in 1..=3 {
        let raw = Operation { value: b"mn", ..Operation::new(Command::Raw, b"") };
        let answers = run(&queue, &client, [(1, raw)]);
        assert_eq!(
            (answers[&1].status, &answers[&1].value[..]),
            (Status::Ok, &b"MN"[..]),
            "{round}: {:?}",
            answers[&1]
        );
        let counted = client.counters(None).unwrap();
        assert_eq!((counted.connects, counted.disconnects), (round, round), "{round}");
        // Nothing is left that it could drop.
        client.disconnect_all();
    }
}

#[test]
fn a_queue_at_rest_is_quiet() {
    let mut server = Memcached::tcp(&[]);
    let (queue, client) = (Queue::new().unwrap(), client(server.address(), &[("timeout_ms", "100")]));
    run(&queue, &client, (0..100).map(|tag| (tag, Operation::get(b"k"))));
    let outer = Poller::new().unwrap();
    outer.add(&queue.fd(), 1, Interest::READ).unwrap();
    let mut events = Events::with_capacity(1);
    let mut wakes_within = |time: Duration| {
        let (until, mut wakes) = (Instant::now() + time, 0);
        while Instant::now() < until {
            wakes += outer.wait(&mut events, Some(Duration::from_millis(20))).unwrap();
            assert_eq!(queue.fetch(&mut Vec::new(), 9, 0).unwrap(), 0);
        }
        wakes
    };
    let wakes = wakes_within(Duration::from_millis(300));
    assert!(wakes <= 2, "{wakes} wake-ups: the timer's and no more");
    server.stop();
    let wakes = wakes_within(Duration::from_millis(300));
    assert!(wakes <= 3, "{wakes} wake-ups after the server ended");
}

// ---- Threads and system calls: counted in a process of their own ----

const CHILD: &str = "BMEMC_QUEUE_CHILD";

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// What the child does: "SERVER HOW ROUNDS".
#[test]
fn child() {
    let Ok(order) = std::env::var(CHILD) else { return };
    let words: Vec<&str> = order.split(' ').collect();
    let (server, rounds) = (words[0], words[2].parse::<u64>().unwrap());
    let before = threads();
    let (queue, client) = (Queue::new().unwrap(), client(server, &[]));
    if words[1] == "host" {
        host(&queue, &client, Interest::EDGE, 64, 1, rounds);
    } else {
        let mut answers = Vec::new();
        for _ in 0..rounds {
            submit(&queue, &client, (0..64).map(|tag| (tag, Operation::get(b"k"))));
            let mut count = 0;
            while count < 64 {
                answers.clear();
                count += queue.fetch(&mut answers, 64, -1).unwrap();
            }
        }
    }
    assert_eq!(threads(), before);
}

/// How many system calls the child makes.
fn calls(server: &str, how: &str, rounds: u64) -> u64 {
    let name = format!("bmemc-strace-{}-{how}-{rounds}", process::id());
    let table = std::env::temp_dir().join(name);
    let mut strace = process::Command::new("strace");
    strace.args(["-f", "-c", "-o"]).arg(&table).arg(std::env::current_exe().unwrap());
    strace.args(["--exact", "child", "--test-threads=1"]).env(CHILD, format!("{server} {how} {rounds}"));
    let output = strace.output().unwrap_or_else(|error| panic!("cannot run strace: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let text = std::fs::read_to_string(&table).unwrap();
    std::fs::remove_file(&table).unwrap();
    let total = text.lines().find(|line| line.ends_with(" total")).unwrap_or_else(|| panic!("no total in {text}"));
    total.split_whitespace().nth(3).and_then(|calls| calls.parse().ok()).unwrap_or_else(|| panic!("{total}"))
}

#[test]
fn few_system_calls_and_no_thread() {
    let server = Memcached::tcp(&[]);
    let of = |how: &str, from: u64, to: u64| calls(server.address(), how, to) - calls(server.address(), how, from);
    let each = of("fetch", 100, 1100) as f64 / 64_000.0;
    assert!((0.03..=0.05).contains(&each), "{each} system calls an operation with 64 under way");
    // Submit sends, the host waits, fetch receives.
    let each = of("host", 100, 2100) as f64 / 2000.0;
    assert!((2.9..=3.05).contains(&each), "{each} system calls an operation, one at a time");
}
