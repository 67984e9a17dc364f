//! Servers that are out: real memcacheds that are killed, stopped and started again, and what docs/failover.md promises of
//! each setting of `failover`, for calls that wait and for queues.

mod common;

use bmemc::{bits, Client, Condition, EventKind, Health, Operation, Options, Queue, Status};
use common::fleet::{client, freeze, servers, thaw, Way, WAYS};
use common::Memcached;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A key of each server.
fn keys(client: &Client, count: usize) -> Vec<String> {
    let owner = |key: &String| client.server_for(key.as_bytes()).unwrap().0;
    (0..count as u32).map(|server| (0..).map(|at| format!("k{at}")).find(|key| owner(key) == server).unwrap()).collect()
}

fn get(way: Way, queue: &Queue, client: &Client, key: &str) -> common::fleet::Got {
    way.run_on(queue, client, &[Operation::get(key.as_bytes())]).remove(0)
}

/// Asks until the answer is as wished; the longest that took, and how often it was asked.
fn until(limit: Duration, mut ask: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !ask() {
        assert!(begun.elapsed() < limit, "not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    begun.elapsed()
}

#[test]
fn a_killed_server_costs_one_failure_then_nothing_until_a_probe_is_answered() {
    for way in WAYS {
        let mut servers = servers(3);
        let events = Arc::new(Mutex::new(Vec::new()));
        let mut options = Options::new();
        servers.iter().for_each(|server| options.add_server(server.address(), "", 1).unwrap());
        for (name, value) in [("timeout_ms", "20000"), ("failover", "breaker"), ("probe_max_ms", "400")] {
            options.set(name, value).unwrap();
        }
        let told = events.clone();
        options.on_event(move |event| told.lock().unwrap().push((event.kind, event.server)));
        let (client, queue) = (Client::new(options).unwrap(), Queue::new().unwrap());
        let keys = keys(&client, 3);
        for key in &keys {
            assert_eq!(way.one(&client, Operation::set(key.as_bytes(), key.as_bytes(), 0)).status, Status::Ok);
        }
        servers[1].stop();
        // A connection that was open says so first; then one cannot be made.
        until(Duration::from_secs(10), || {
            assert!(get(way, &queue, &client, &keys[1]).status.is_failure());
            client.counters(Some(1)).unwrap().breaker_opened == 1
        });
        let connects = client.counters(Some(1)).unwrap().connects;
        for _ in 0..200 {
            let got = get(way, &queue, &client, &keys[1]);
            assert_eq!((got.status, got.bits & bits::NOT_SENT), (Status::Connection, bits::NOT_SENT), "{got:?}");
            assert!(got.detail.contains(servers[1].address()) && got.detail.contains("is out since"), "{got:?}");
            for server in [0, 2] {
                let got = get(way, &queue, &client, &keys[server]);
                assert_eq!((got.status, got.value), (Status::Ok, keys[server].clone().into_bytes()), "{way:?}");
            }
        }
        let counters = client.counters(Some(1)).unwrap();
        assert!(counters.failed_fast >= 200 && counters.connects == connects, "{way:?}: {counters:?}");
        servers[1].start();
        // The longest time between two probes, and what this machine takes for one.
        until(Duration::from_secs(20), || !get(way, &queue, &client, &keys[1]).status.is_failure());
        let kinds = events.lock().unwrap().clone();
        let of = |kind| kinds.iter().filter(|(other, server)| *other == kind && *server == 1).count();
        assert_eq!((of(EventKind::BreakerOpened), of(EventKind::BreakerClosed)), (1, 1), "{way:?}");
    }
}

#[test]
fn a_server_that_hangs_costs_few_time_outs() {
    for way in WAYS {
        let servers = servers(2);
        let settings = [
            ("failover", "breaker"),
            ("timeout_ms", "200"),
            ("connect_timeout_ms", "200"),
            ("connections", "1"),
            ("probe_max_ms", "300"),
        ];
        let (client, queue) = (client(&servers, &settings), Queue::new().unwrap());
        let keys = keys(&client, 2);
        until(Duration::from_secs(10), || get(way, &queue, &client, &keys[1]).status == Status::NotFound);
        freeze(&servers[1]);
        let mut slow = 0;
        for _ in 0..100 {
            let begun = Instant::now();
            assert!(get(way, &queue, &client, &keys[1]).status.is_failure());
            slow += usize::from(begun.elapsed() > Duration::from_millis(150));
            if client.counters(Some(1)).unwrap().breaker_opened > 0 {
                break;
            }
        }
        assert!((1..=3).contains(&slow), "{way:?}: {slow} calls took the time-out");
        let before = client.counters(Some(1)).unwrap().failed_fast;
        (0..100).for_each(|_| assert!(get(way, &queue, &client, &keys[1]).status.is_failure()));
        assert_eq!(client.counters(Some(1)).unwrap().failed_fast, before + 100, "{way:?}: each failed at once");
        thaw(&servers[1]);
        until(Duration::from_secs(20), || get(way, &queue, &client, &keys[1]).status == Status::NotFound);
    }
}

fn set_and_get(way: Way, client: &Client, key: &str) -> (Status, u32) {
    let set = way.one(client, Operation::set(key.as_bytes(), key.as_bytes(), 0));
    let got = way.one(client, Operation::get(key.as_bytes()));
    assert!(got.status != Status::Ok || got.value == key.as_bytes(), "{got:?}");
    (set.status, set.server)
}

#[test]
fn with_eject_the_keys_of_a_server_that_is_out_go_to_the_next_and_come_back() {
    for way in WAYS {
        let mut servers = servers(3);
        let client = client(
            &servers,
            &[("failover", "breaker"), ("eject", "true"), ("probe_max_ms", "300"), ("distribution", "ketama")],
        );
        let keys = keys(&client, 3);
        servers[1].stop();
        until(Duration::from_secs(10), || set_and_get(way, &client, &keys[1]).0 == Status::Ok);
        let (status, next) = set_and_get(way, &client, &keys[1]);
        assert!(status == Status::Ok && next != 1, "{way:?}: {next}");
        assert_eq!(
            [0, 2].map(|server| set_and_get(way, &client, &keys[server as usize])),
            [(Status::Ok, 0), (Status::Ok, 2)]
        );
        // More than half are out: something else is wrong, and nobody gets their keys.
        servers[2].stop();
        until(Duration::from_secs(10), || {
            (set_and_get(way, &client, &keys[2]).0, set_and_get(way, &client, &keys[1]).0)
                == (Status::Connection, Status::Connection)
        });
        assert_eq!(set_and_get(way, &client, &keys[0]), (Status::Ok, 0));
        servers[1].start();
        servers[2].start();
        until(Duration::from_secs(20), || {
            [1, 2].iter().all(|server| set_and_get(way, &client, &keys[*server as usize]) == (Status::Ok, *server))
        });
    }
}

#[test]
fn pymemcaches_way_step_by_step() {
    for way in WAYS {
        let mut servers = servers(2);
        let settings = [
            ("failover", "pymemcache"),
            ("retry_attempts", "2"),
            ("retry_timeout_ms", "150"),
            ("dead_timeout_ms", "600"),
            ("connections", "1"),
        ];
        let client = client(&servers, &settings);
        let keys = keys(&client, 2);
        servers[1].stop();
        // The first failure; then calls fail at once, and the key stays where it is.
        assert_eq!(set_and_get(way, &client, &keys[1]).0, Status::Connection);
        let fast = way.one(&client, Operation::get(keys[1].as_bytes()));
        assert!(fast.detail.contains("is out since") && fast.server == 1, "{way:?}: {fast:?}");
        // Two probes fail: it is dead, and the other one has its keys.
        let took = until(Duration::from_secs(10), || set_and_get(way, &client, &keys[1]) == (Status::Ok, 0));
        assert!(took > Duration::from_millis(200), "{way:?}: dead after {took:?}");
        servers[1].start();
        assert_eq!(set_and_get(way, &client, &keys[1]), (Status::Ok, 0), "it stays dead for its time");
        until(Duration::from_secs(20), || set_and_get(way, &client, &keys[1]) == (Status::Ok, 1));
        // One that is taken out while it is dead does not come back by itself.
        servers[1].stop();
        until(Duration::from_secs(10), || set_and_get(way, &client, &keys[1]) == (Status::Ok, 0));
        assert!(client.remove_server(servers[1].address()).unwrap());
        servers[1].start();
        std::thread::sleep(Duration::from_millis(700));
        (0..5).for_each(|_| assert_eq!(set_and_get(way, &client, &keys[1]), (Status::Ok, 0), "{way:?}"));
        assert_eq!(client.servers().len(), 1, "{way:?}: a removed server stays removed");
    }
}

/// pymemcache's `ignore_exc`: within the retry window a read is a miss where that was asked for, a write fails all the same.
#[test]
fn within_the_retry_window_a_read_is_a_miss_where_failures_are() {
    for (failover, lenient) in [("pymemcache", true), ("pymemcache", false), ("breaker", true), ("breaker", false)] {
        let mut servers = servers(2);
        let long = [("retry_timeout_ms", "60000"), ("probe_min_ms", "60000"), ("probe_max_ms", "60000")];
        let own = [("failover", failover), ("failure_is_miss", if lenient { "true" } else { "false" })];
        let client = client(&servers, &[&long[..], &own].concat());
        let keys = keys(&client, 2);
        servers[1].stop();
        for way in WAYS {
            let read = Operation::get(keys[1].as_bytes());
            let _ = way.one(&client, read);
            let failed_fast = client.counters(Some(1)).unwrap().failed_fast;
            let got = way.one(&client, read);
            let wanted = if lenient { Status::NotFound } else { Status::Connection };
            assert_eq!(got.status, wanted, "{failover} {way:?}: {}", got.detail);
            assert!(lenient || got.detail.contains("is out since"), "{failover} {way:?}: {}", got.detail);
            let write = way.one(&client, Operation::set(keys[1].as_bytes(), b"v", 0));
            assert_eq!((write.status, write.bits), (Status::Connection, bits::NOT_SENT), "{failover} {way:?}");
            assert!(write.detail.contains("is out since"), "{failover} {way:?}: {}", write.detail);
            let counted = client.counters(Some(1)).unwrap().failed_fast - failed_fast;
            assert_eq!(counted, 2, "{failover} {way:?}: both failed at once");
        }
    }
}

#[test]
fn with_none_each_call_finds_out_for_itself() {
    for way in WAYS {
        let mut server = Memcached::tcp(&[]);
        let client = common::client(server.address(), &[("failover", "none")]);
        server.stop();
        (0..20).for_each(|_| assert!(way.one(&client, Operation::get(b"k")).status.is_failure()));
        server.start();
        assert_eq!(way.one(&client, Operation::get(b"k")).status, Status::NotFound, "{way:?}");
        assert_eq!(client.counters(None).unwrap().failed_fast, 0);
    }
}

/// One server is enough for a breaker, whatever it speaks.
#[test]
fn one_server_and_every_protocol() {
    for protocol in ["auto", "text", "meta", "binary"] {
        let mut server = Memcached::tcp(&[]);
        let client = common::client(
            server.address(),
            &[("failover", "breaker"), ("protocol", protocol), ("probe_max_ms", "300")],
        );
        assert!(client.get(b"k").unwrap().is_none());
        server.stop();
        until(Duration::from_secs(10), || {
            let error = client.get(b"k").unwrap_err();
            error.message().contains("is out since")
        });
        server.start();
        until(Duration::from_secs(20), || client.get(b"k").is_ok());
        assert_eq!(client.counters(None).unwrap().breaker_opened, 1, "{protocol}");
    }
}

/// Threads, half of which wait and half of which have queues, while a server comes and goes: whatever has an answer has the
/// right one, and the others' keys never fail.
#[test]
fn a_server_that_flaps_harms_its_own_keys_alone_and_for_no_longer_than_a_probe() {
    let mut servers = servers(3);
    let settings = [("failover", "breaker"), ("probe_max_ms", "300"), ("connect_timeout_ms", "5000")];
    let client = client(&servers, &settings);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (client, over) = (&client, &over);
            scope.spawn(move || {
                let (way, queue) = (WAYS[thread % 2], Queue::new().unwrap());
                let mut round = 0u64;
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    round += 1;
                    let key = format!("{thread}:{}", round % 50);
                    let (owner, _) = client.server_for(key.as_bytes()).unwrap();
                    let set = Operation::set(key.as_bytes(), key.as_bytes(), 0);
                    let answers = way.run_on(&queue, client, &[set, Operation::get(key.as_bytes())]);
                    for got in answers {
                        assert!(owner == 1 || !got.status.is_failure(), "{way:?} {key} {got:?}");
                        assert!(got.value.is_empty() || got.value == key.as_bytes(), "{way:?} {key} {got:?}");
                    }
                }
            });
        }
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(300));
            servers[1].stop();
            std::thread::sleep(Duration::from_millis(300));
            servers[1].start();
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let key = &keys(&client, 3)[1];
    until(Duration::from_secs(20), || client.get(key.as_bytes()).is_ok());
}

/// What a server's health is, without the times.
fn health(client: &Client, server: usize) -> (Condition, u32, Option<Status>) {
    let Health { condition, failures, why, .. } = client.health(server).unwrap();
    (condition, failures, why.map(|why| why.status()))
}

#[test]
fn the_health_of_each_server_is_there_to_be_read() {
    for way in WAYS {
        let mut servers = servers(2);
        let settings = [("timeout_ms", "150"), ("connections", "1"), ("probe_max_ms", "300"), ("mode", "hashed")];
        let (client, queue) =
            (client(&servers, &[&settings[..], &[("failover", "breaker")]].concat()), Queue::new().unwrap());
        let keys = keys(&client, 2);
        assert_eq!(health(&client, 1), (Condition::Up, 0, None));
        until(Duration::from_secs(10), || get(way, &queue, &client, &keys[1]).status == Status::NotFound);
        let begun = Instant::now();
        freeze(&servers[1]);
        // Suspect, then out; what it was is said, and the other one is as it was.
        assert_eq!(get(way, &queue, &client, &keys[1]).status, Status::Timeout);
        assert_eq!(health(&client, 1), (Condition::Suspect, 1, Some(Status::Timeout)), "{way:?}");
        assert!(client.health(1).unwrap().since_ms <= begun.elapsed().as_millis() as u64);
        thaw(&servers[1]);
        until(Duration::from_secs(10), || get(way, &queue, &client, &keys[1]).status == Status::NotFound);
        assert_eq!(health(&client, 1), (Condition::Up, 0, Some(Status::Timeout)), "{way:?}: an answer ends it");
        servers[1].stop();
        until(Duration::from_secs(10), || {
            assert!(get(way, &queue, &client, &keys[1]).status.is_failure());
            client.health(1).unwrap().condition == Condition::Out
        });
        let found = client.health(1).unwrap();
        let why = found.why.unwrap();
        assert_eq!(why.status(), Status::Connection, "{way:?}: {why}");
        assert!(why.message().contains(servers[1].address()) && found.probe_in_ms <= 250, "{way:?}: {why}");
        // Probes that fail are counted, and the next one is announced.
        until(Duration::from_secs(20), || {
            assert!(get(way, &queue, &client, &keys[1]).status.is_failure());
            let now = client.health(1).unwrap();
            assert!(now.condition == Condition::Out && now.probe_in_ms <= 300, "{now:?}");
            now.failures >= found.failures + 2 && now.since_ms >= 100
        });
        assert_eq!(health(&client, 0), (Condition::Up, 0, None));
        servers[1].start();
        until(Duration::from_secs(20), || get(way, &queue, &client, &keys[1]).status == Status::NotFound);
        let (condition, failures, _) = health(&client, 1);
        assert_eq!((condition, failures, client.health(1).unwrap().probe_in_ms), (Condition::Up, 0, 0));
        let error = client.health(2).unwrap_err();
        assert_eq!((error.status(), error.message()), (Status::Argument, "server 2: the client has 0, 1"));
    }
}

#[test]
fn health_without_failover_and_with_pymemcaches() {
    for way in WAYS {
        let mut servers = servers(1);
        let plain = client(&servers, &[("failover", "none"), ("protocol", "text")]);
        let quick = [
            ("failover", "pymemcache"),
            ("retry_attempts", "1"),
            ("retry_timeout_ms", "50"),
            ("dead_timeout_ms", "100"),
        ];
        let pymemcache = client(&servers, &quick);
        let queue = Queue::new().unwrap();
        for client in [&plain, &pymemcache] {
            assert_eq!(get(way, &queue, client, "k").status, Status::NotFound);
        }
        servers[0].stop();
        for at in 1..=3 {
            assert!(get(way, &queue, &plain, "k").status.is_failure());
            let (condition, failures, _) = health(&plain, 0);
            assert!(condition == Condition::Suspect && failures >= at - 1, "{way:?}: {failures}");
        }
        assert!(get(way, &queue, &pymemcache, "k").status.is_failure());
        assert_eq!(health(&pymemcache, 0).0, Condition::Out, "{way:?}");
        until(Duration::from_secs(10), || {
            assert!(get(way, &queue, &pymemcache, "k").status.is_failure());
            health(&pymemcache, 0).0 == Condition::Dead
        });
        servers[0].start();
        for client in [&plain, &pymemcache] {
            until(Duration::from_secs(10), || get(way, &queue, client, "k").status == Status::NotFound);
            assert_eq!((health(client, 0).0, health(client, 0).1), (Condition::Up, 0), "{way:?}");
        }
    }
}

#[test]
fn disconnect_all_forgets_failures_and_is_none() {
    for way in WAYS {
        let mut servers = servers(1);
        let settings = [("failover", "breaker"), ("probe_min_ms", "60000"), ("probe_max_ms", "60000")];
        let delay = ("reconnect_delay_ms", "60000");
        for settings in [&settings[..], &[("failover", "none"), delay]] {
            let (client, queue) = (client(&servers, settings), Queue::new().unwrap());
            servers[0].stop();
            (0..2).for_each(|_| assert!(get(way, &queue, &client, "k").status.is_failure()));
            servers[0].start();
            let got = get(way, &queue, &client, "k");
            assert_eq!(
                (got.status, got.bits & bits::NOT_SENT),
                (Status::Connection, bits::NOT_SENT),
                "{way:?}: {got:?}"
            );
            client.disconnect_all();
            assert_eq!(health(&client, 0).0, Condition::Up);
            assert_eq!(get(way, &queue, &client, "k").status, Status::NotFound, "{way:?} {settings:?}");
        }
        // It ends what is under way, which says nothing of the server.
        let client = client(&servers, &[("failover", "pymemcache"), ("timeout_ms", "20000")]);
        assert_eq!(way.one(&client, Operation::get(b"k")).status, Status::NotFound);
        freeze(&servers[0]);
        let ended = std::thread::scope(|scope| {
            let call = scope.spawn(|| way.one(&client, Operation::get(b"k")));
            std::thread::sleep(Duration::from_millis(100));
            client.disconnect_all();
            call.join().unwrap()
        });
        assert_eq!(ended.status, Status::Connection, "{way:?}: {ended:?}");
        assert_eq!(health(&client, 0), (Condition::Up, 0, None), "{way:?}");
        thaw(&servers[0]);
        assert_eq!(way.one(&client, Operation::get(b"k")).status, Status::NotFound);
    }
}

#[test]
fn what_the_callback_for_sockets_refuses_is_a_connection_that_cannot_be_made() {
    for way in WAYS {
        let servers = servers(1);
        let refuses = Arc::new(AtomicBool::new(true));
        let answer = refuses.clone();
        let mut options = Options::new();
        options.add_server(servers[0].address(), "", 1).unwrap();
        for (name, value) in [("failover", "breaker"), ("probe_min_ms", "100"), ("probe_max_ms", "200")] {
            options.set(name, value).unwrap();
        }
        options.on_connect(move |_, _, _| if answer.load(Ordering::SeqCst) { 7 } else { 0 });
        let (client, queue) = (Client::new(options).unwrap(), Queue::new().unwrap());
        let first = get(way, &queue, &client, "k");
        assert!(first.status == Status::Connection && first.detail.contains("refused it (7)"), "{way:?}: {first:?}");
        assert_eq!(health(&client, 0), (Condition::Out, 1, Some(Status::Connection)), "{way:?}");
        let next = get(way, &queue, &client, "k");
        assert!(next.detail.contains("is out since") && next.detail.contains("refused it (7)"), "{way:?}: {next:?}");
        // Probes are connections too: the callback refuses them as well, and lets one through in the end.
        until(Duration::from_secs(10), || {
            assert_eq!(get(way, &queue, &client, "k").status, Status::Connection);
            health(&client, 0).1 >= 2
        });
        assert_eq!(client.counters(None).unwrap().connects, 0);
        refuses.store(false, Ordering::SeqCst);
        until(Duration::from_secs(10), || get(way, &queue, &client, "k").status == Status::NotFound);
        assert_eq!(client.counters(None).unwrap().breaker_opened, 1, "{way:?}");
    }
}
