//! The completion queue in event loops that poll its descriptor, with servers that misbehave, and what it costs: threads
//! and system calls.

mod common;

use bmemc::net::poller::{Events, Interest, Poller};
use bmemc::{bits, Client, Command, Fetched, Operation, Queue, Status};
use common::queues::*;
use common::{client, Memcached};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::process;
use std::time::{Duration, Instant};

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
        let (mut answers, at_once) = (Vec::new(), if words[1] == "alone" { 1 } else { 64 });
        for _ in 0..rounds {
            submit(&queue, &client, (0..at_once).map(|tag| (tag, Operation::get(b"k"))));
            let mut count = 0;
            while count < at_once as usize {
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

/// System calls an operation. A server that has to wait for a processor answers late, which takes more of them: so the
/// first of five runs that is as it should be counts, or the last.
fn calls_each(server: &Memcached, how: &str, rounds: u64, at_once: u64, expected: RangeInclusive<f64>) -> f64 {
    let of = |rounds| calls(server.address(), how, rounds) as f64;
    let mut each = 0.0;
    for _ in 0..5 {
        each = (of(100 + rounds) - of(100)) / (rounds * at_once) as f64;
        if expected.contains(&each) {
            break;
        }
    }
    each
}

#[test]
fn few_system_calls_and_no_thread() {
    let server = Memcached::tcp(&[]);
    // Submit sends, and fetch waits in the receive; now and then it asks epoll how the other connections are. A host waits
    // by itself.
    for (how, rounds, at_once, expected) in
        [("fetch", 1000, 64, 0.03..=0.05), ("alone", 2000, 1, 2.0..=2.1), ("host", 2000, 1, 2.9..=3.05)]
    {
        let each = calls_each(&server, how, rounds, at_once, expected.clone());
        assert!(expected.contains(&each), "{how}: {each} system calls an operation with {at_once} under way");
    }
}
