//! Servers that come, go, die and hang while threads use them: nothing is lost, done twice or wrong, by calls that wait and
//! by queues. And what is sent again, and what never is.

mod common;

use bmemc::{bits, op_flags, Client, Command, Operation, Options, Queue, Status};
use common::fleet::{client, client_of, freeze, servers, thaw, Way, WAYS};
use common::oracle::{Sleeper, Watchdog};
use common::scripted::{right, Scripted, Step};
use common::Memcached;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Adds one to a counter, which begins at one.
fn count_up(key: &str) -> Operation<'_> {
    Operation { delta: 1, initial: 1, op_flags: op_flags::CREATE, ..Operation::new(Command::Increment, key.as_bytes()) }
}

/// How many connections a server has, but for the one that asks.
fn connections_to(server: &Memcached) -> u64 {
    let stats = common::client(server.address(), &[("connections", "1")]).stats(b"").unwrap();
    let text = |name: &str| stats.iter().find(|stat| stat.1 == name).unwrap().2.parse::<u64>().unwrap();
    text("curr_connections") - 1
}

#[test]
fn servers_come_and_go_under_load_and_every_operation_is_done_once() {
    let _watchdog = Watchdog::start("servers come and go", Duration::from_secs(120));
    let servers = servers(4);
    let client = client(&servers[..2], &[("protocol", "meta")]);
    let over = AtomicBool::new(false);
    let keys: Vec<String> = (0..50).map(|number| format!("count:{number}")).collect();
    let done: Vec<AtomicU64> = keys.iter().map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (client, keys, done, over) = (&client, &keys, &done, &over);
            scope.spawn(move || {
                let (way, queue) = (WAYS[thread % 2], Queue::new().unwrap());
                let mut round = thread;
                while !over.load(Ordering::Relaxed) {
                    let some = if round % 3 == 0 { 1 } else { keys.len() };
                    let operations: Vec<_> = keys.iter().take(some).map(|key| count_up(key)).collect();
                    for (got, done) in way.run_on(&queue, client, &operations).iter().zip(done) {
                        assert_eq!(got.status, Status::Ok, "{way:?}: {}", got.detail);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    round += 1;
                }
            });
        }
        for round in 0..40 {
            std::thread::sleep(Duration::from_millis(10));
            match round % 4 {
                0 => assert_eq!(client.add_server(servers[2].address(), "", 1).unwrap(), 2),
                1 => assert!(client.remove_server(servers[0].address()).unwrap()),
                2 => assert_eq!(client.add_server(servers[0].address(), "", 1).unwrap(), 0),
                _ => {
                    let mut options = Options::new();
                    [0, 1, 3].iter().for_each(|at| options.add_server(servers[*at].address(), "", 1).unwrap());
                    client.replace_servers(&options.servers).unwrap();
                    assert!(client.remove_server(servers[3].address()).unwrap());
                }
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let mut asked = 0;
    for (key, done) in keys.iter().zip(&done) {
        let value = |server: &Memcached| {
            let item = common::client(server.address(), &[]).get(key.as_bytes()).unwrap();
            item.map_or(0, |item| String::from_utf8(item.value).unwrap().trim().parse::<u64>().unwrap())
        };
        let there: u64 = servers.iter().map(value).sum();
        assert_eq!(there, done.load(Ordering::Relaxed), "{key}");
        asked += there;
    }
    assert!(asked > 1000, "{asked} operations are no load");
    assert_eq!(client.counters(None).unwrap().operations, asked, "removed servers still count");
    // Connections to those that were removed have ended.
    for gone in [&servers[2], &servers[3]] {
        let ended = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            connections_to(gone) == 0
        });
        assert!(ended, "{} connections are left", connections_to(gone));
    }
}

#[test]
fn a_server_keeps_its_index_and_what_it_was_asked_is_still_answered() {
    let servers = servers(3);
    let client = client(&servers[..2], &[]);
    let queue = Queue::new().unwrap();
    let names = || client.servers().into_iter().map(|(index, server)| (index, server.name)).collect::<Vec<_>>();
    let name = |server: usize| servers[server].address().to_string();
    assert_eq!(names(), [(0, name(0)), (1, name(1))]);
    let key = (0..).map(|n| format!("k{n}")).find(|key| client.server_for(key.as_bytes()).unwrap().0 == 0).unwrap();
    client.set(key.as_bytes(), b"v", 0, 0).unwrap();
    freeze(&servers[0]);
    queue.submit(&client, [(1, Operation::get(key.as_bytes()))]).1.unwrap();
    assert!(client.remove_server(&name(0)).unwrap());
    assert!(!client.remove_server(&name(0)).unwrap());
    assert_eq!((names(), client.server_for(key.as_bytes()).unwrap().0), (vec![(1, name(1))], 1));
    thaw(&servers[0]);
    let mut answers = Vec::new();
    while queue.fetch(&mut answers, 8, -1).unwrap() > 0 {}
    assert_eq!((answers.len(), answers[0].status, answers[0].value.as_slice()), (1, Status::Ok, &b"v"[..]));
    assert_eq!(client.add_server(&name(2), "", 1).unwrap(), 0, "an index that is free is given again");
    let twice = client.add_server("127.0.0.1:1", &name(2), 1).unwrap_err();
    assert!(twice.status() == Status::Argument && twice.message().contains(&name(2)), "{twice}");
    assert_eq!(names(), [(0, name(2)), (1, name(1))], "a failure changes nothing");
    assert!(client.remove_server(&name(1)).unwrap() && client.remove_server(&name(2)).unwrap());
    for way in WAYS {
        let none = way.one(&client, Operation::get(b"k"));
        assert_eq!((none.status, none.bits), (Status::Connection, bits::NOT_SENT), "{}", none.detail);
    }
    let single = common::client(&name(0), &[]);
    assert_eq!(single.add_server(&name(1), "", 1).unwrap_err().status(), Status::Unsupported);
}

// ---- Servers that die, hang and flap ----

/// Every value names its key: who reads another one has been lied to.
fn check(way: Way, queue: &Queue, client: &Client, keys: &[String]) -> HashMap<(u32, Status), u64> {
    let values: Vec<String> = keys.iter().map(|key| format!("value of {key}")).collect();
    let mut operations: Vec<_> = keys.iter().map(|key| Operation::get(key.as_bytes())).collect();
    operations.extend(keys.iter().zip(&values).map(|(key, value)| Operation::set(key.as_bytes(), value.as_bytes(), 0)));
    let mut seen = HashMap::new();
    for (at, got) in way.run_on(queue, client, &operations).into_iter().enumerate() {
        if at < keys.len() && got.status == Status::Ok {
            assert_eq!(got.value, values[at].as_bytes(), "{way:?}");
        }
        let key = &keys[at % keys.len()];
        assert_eq!(got.server, client.server_for(key.as_bytes()).unwrap().0, "{way:?}: {key}");
        *seen.entry((got.server, got.status)).or_insert(0) += 1;
    }
    seen
}

/// Eight threads while `trouble` goes on with the second of three servers; then all of them must get everything again.
fn among(trouble: impl FnOnce(&mut Memcached)) {
    let _watchdog = Watchdog::start("trouble with a server", Duration::from_secs(120));
    let mut servers = servers(3);
    let client = client(&servers, &[("timeout_ms", "250"), ("connect_timeout_ms", "200")]);
    let over = AtomicBool::new(false);
    let sleeper = Sleeper::start();
    let totals: Vec<HashMap<(u32, Status), u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let (client, over) = (&client, &over);
                scope.spawn(move || {
                    let (way, queue) = (WAYS[thread % 2], Queue::new().unwrap());
                    let keys: Vec<String> = (0..12).map(|number| format!("{thread}:{number}")).collect();
                    let mut total = HashMap::new();
                    while !over.load(Ordering::Relaxed) {
                        for (what, count) in check(way, &queue, client, &keys) {
                            *total.entry(what).or_insert(0) += count;
                        }
                    }
                    // It is well again: within a few attempts everything is, too.
                    let well = (0..100).any(|_| {
                        let seen = check(way, &queue, client, &keys);
                        let all = seen.keys().all(|(_, status)| matches!(status, Status::Ok | Status::NotFound));
                        if !all {
                            std::thread::sleep(Duration::from_millis(100));
                        }
                        all
                    });
                    assert!(well, "{way:?}: it does not recover");
                    total
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        trouble(&mut servers[1]);
        over.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let late = sleeper.lateness();
    let count = |wanted: &dyn Fn(u32, Status) -> bool| -> u64 {
        totals.iter().flatten().filter(|((server, status), _)| wanted(*server, *status)).map(|(_, count)| count).sum()
    };
    let troubled = count(&|server, status| server == 1 && status.is_failure());
    let others = count(&|server, status| server != 1 && status.is_failure());
    assert!(troubled > 0, "nothing went wrong, so nothing was shown");
    // Time-outs of well servers are this machine's, which is known to have been late then.
    assert!(others == 0 || late > Duration::from_millis(100), "{others} failures of servers that are well: {totals:?}");
}

#[test]
fn a_server_that_is_killed_and_started_again() {
    among(|server| {
        server.stop();
        std::thread::sleep(Duration::from_millis(700));
        server.start();
    });
}

#[test]
fn a_server_that_hangs_and_goes_on() {
    among(|server| {
        freeze(server);
        std::thread::sleep(Duration::from_millis(900));
        thaw(server);
    });
}

#[test]
fn a_server_that_flaps() {
    among(|server| {
        for _ in 0..5 {
            server.stop();
            std::thread::sleep(Duration::from_millis(100));
            server.start();
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}

// ---- Retries ----

/// A server that executes each request `executed` times counted, and drops the connection instead of answering the first
/// so many.
fn dropping(drops: u64) -> (Scripted, Arc<AtomicU64>) {
    let executed = Arc::new(AtomicU64::new(0));
    let counted = executed.clone();
    let server = Scripted::tcp(move |request, reply| {
        if request.key() != "k" {
            return right(request, reply);
        }
        match counted.fetch_add(1, Ordering::SeqCst) < drops {
            true => vec![Step::Close],
            false => right(request, reply),
        }
    });
    (server, executed)
}

#[test]
fn only_what_harms_nobody_twice_is_sent_twice() {
    let cases = [
        (Command::Get, 2),
        (Command::Set, 2),
        (Command::Delete, 2),
        (Command::Touch, 2),
        (Command::Add, 1),
        (Command::Append, 1),
        (Command::Prepend, 1),
        (Command::Replace, 1),
        (Command::Increment, 1),
        (Command::Decrement, 1),
    ];
    for way in WAYS {
        for (command, times) in cases {
            let (server, executed) = dropping(1);
            let settings = [("retries", "1"), ("retry_delay_ms", "1"), ("protocol", "text")];
            let client = client_of([server.address()], &settings);
            let stores =
                matches!(command, Command::Set | Command::Add | Command::Append | Command::Prepend | Command::Replace);
            let value: &[u8] = if stores { b"1" } else { b"" };
            let got = way.one(&client, Operation { value, delta: 1, ..Operation::new(command, b"k") });
            assert_eq!(executed.load(Ordering::SeqCst), times, "{command:?} {way:?}: {got:?}");
            match times {
                1 => {
                    assert_eq!(got.status, Status::Connection, "{command:?} {way:?}");
                    assert_ne!(got.bits & bits::UNKNOWN_OUTCOME, 0, "{command:?} {way:?}");
                }
                _ => assert_ne!(got.status, Status::Connection, "{command:?} {way:?}: {got:?}"),
            }
        }
        // A write with a cas is none of them either.
        let (server, executed) = dropping(1);
        let client = client_of([server.address()], &[("retries", "3"), ("protocol", "text")]);
        let got = way.one(&client, Operation { cas: 7, ..Operation::set(b"k", b"v", 0) });
        assert_eq!((got.status, executed.load(Ordering::SeqCst)), (Status::Connection, 1), "{way:?}");
    }
}

#[test]
fn what_was_never_sent_is_sent_again_whatever_it_is() {
    let mut server = servers(1);
    let settings = [("retries", "10"), ("retry_delay_ms", "60"), ("timeout_ms", "5000")];
    for way in WAYS {
        let client = client(&server, &settings);
        server[0].stop();
        let got = std::thread::scope(|scope| {
            let call = scope.spawn(|| way.one(&client, count_up("k")));
            std::thread::sleep(Duration::from_millis(150));
            server[0].start();
            call.join().unwrap()
        });
        assert_eq!((got.status, got.number), (Status::Ok, 1), "{way:?}: {got:?}");
    }
}

#[test]
fn retries_end_with_their_number_their_time_and_their_budget() {
    for way in WAYS {
        let (server, executed) = dropping(u64::MAX);
        let client = client_of([server.address()], &[("retries", "3"), ("retry_delay_ms", "1"), ("protocol", "text")]);
        assert_eq!(way.one(&client, Operation::get(b"k")).status, Status::Connection);
        assert_eq!(executed.load(Ordering::SeqCst), 4, "{way:?}: once and three times again");

        // The next attempt would come after the deadline: it is not waited for.
        let settings = [("retries", "3"), ("retry_delay_ms", "2000"), ("timeout_ms", "900"), ("protocol", "text")];
        let client = client_of([server.address()], &settings);
        let (begun, sleeper) = (Instant::now(), Sleeper::start());
        assert_eq!(way.one(&client, Operation::get(b"k")).status, Status::Connection);
        assert!(begun.elapsed() < Duration::from_millis(300) + sleeper.lateness(), "{way:?}: {:?}", begun.elapsed());

        // A server that always fails is not sent much more than it would have got.
        let (server, executed) = dropping(u64::MAX);
        let client = client_of([server.address()], &[("retries", "1"), ("retry_delay_ms", "0"), ("protocol", "text")]);
        let begun = Instant::now();
        for _ in 0..300 {
            way.one(&client, Operation::get(b"k"));
        }
        let (sent, seconds) = (executed.load(Ordering::SeqCst), begun.elapsed().as_secs_f64());
        let most = 300.0 * 1.1 + 10.0 + 10.0 + 10.0 * seconds;
        assert!(sent > 300 && sent as f64 <= most, "{way:?}: {sent} of 300 in {seconds} s, {most} at most");
    }
}

/// Clients whose calls fail in one moment do not come again in one: from half of `retry_delay_ms` to one and a half of it.
#[test]
fn retries_of_many_clients_are_spread() {
    for way in WAYS {
        let (server, _) = dropping(24);
        let settings = [("retries", "1"), ("retry_delay_ms", "400"), ("protocol", "text")];
        let clients: Vec<Client> = (0..24).map(|_| client_of([server.address()], &settings)).collect();
        let sleeper = Sleeper::start();
        let mut took: Vec<Duration> = std::thread::scope(|scope| {
            let call = |client| {
                let begun = Instant::now();
                assert!(!way.one(client, Operation::get(b"k")).status.is_failure());
                begun.elapsed()
            };
            let calls: Vec<_> = clients.iter().map(|client| scope.spawn(move || call(client))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        took.sort_unstable();
        let most = Duration::from_millis(600 + 50) + sleeper.lateness();
        assert!(took[0] >= Duration::from_millis(200) && took[23] <= most, "{way:?}: {took:?}");
        // Some come before the middle: none would without jitter, however late this machine is.
        assert!(took[1] < Duration::from_millis(400) && took[22] > Duration::from_millis(400), "{way:?}: {took:?}");
    }
}
