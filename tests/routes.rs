//! Many servers: each key goes to its own, whatever is said is said to all at once, and everything is the same by calls that
//! wait and by queues. The servers are real.

mod common;

use bmemc::{bits, op_flags, Answers, Client, Command, Operation, Options, Queue, Status};
use common::fleet::{client, client_of, delay_proxy, freeze, servers, thaw, Way, WAYS};
use common::oracle::Sleeper;
use common::Memcached;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("key:{number}")).collect()
}

fn gets(keys: &[String]) -> Vec<Operation<'_>> {
    keys.iter().map(|key| Operation::get(key.as_bytes())).collect()
}

fn sets(keys: &[String]) -> Vec<Operation<'_>> {
    keys.iter().map(|key| Operation::set(key.as_bytes(), key.as_bytes(), 0)).collect()
}

/// What the server itself says of a key.
fn held_by(server: &Memcached, key: &str) -> bool {
    common::client(server.address(), &[]).get(key.as_bytes()).unwrap().is_some()
}

#[test]
fn each_key_is_on_its_own_server_and_its_answer_says_so() {
    for protocol in ["auto", "text", "meta", "binary"] {
        let servers = servers(3);
        let client = client(&servers, &[("protocol", protocol)]);
        let keys = keys(60);
        for way in WAYS {
            let stored = way.run(&client, &sets(&keys));
            let read = way.run(&client, &gets(&keys));
            let mut seen = BTreeSet::new();
            for ((key, set), get) in keys.iter().zip(stored).zip(read) {
                let (owner, server) = client.server_for(key.as_bytes()).unwrap();
                let at = format!("{key} {way:?} {protocol}");
                assert_eq!((set.status, set.server), (Status::Ok, owner), "{at}: {}", set.detail);
                assert_eq!((get.status, get.server, get.value.as_slice()), (Status::Ok, owner, key.as_bytes()), "{at}");
                assert_eq!(server.name, servers[owner as usize].address());
                seen.insert(owner);
            }
            assert_eq!(seen.len(), 3, "all servers have keys");
        }
        for key in keys.iter().take(6) {
            let owner = client.server_for(key.as_bytes()).unwrap().0 as usize;
            for (index, server) in servers.iter().enumerate() {
                assert_eq!(held_by(server, key), index == owner, "{key}");
            }
        }
    }
}

#[test]
fn single_operations_name_their_server_too() {
    let servers = servers(3);
    let client = client(&servers, &[]);
    for key in keys(20) {
        let owner = client.server_for(key.as_bytes()).unwrap().0;
        for way in WAYS {
            let miss = way.one(&client, Operation::get(b"nothing here"));
            assert_eq!(miss.status, Status::Argument, "a key with a space");
            let set = way.one(&client, Operation::set(key.as_bytes(), b"v", 0));
            let get = way.one(&client, Operation::get(key.as_bytes()));
            let delete = way.one(&client, Operation::delete(key.as_bytes()));
            let miss = way.one(&client, Operation::get(key.as_bytes()));
            let got = [&set, &get, &delete, &miss].map(|got| (got.status, got.server));
            assert_eq!(got[..3], [(Status::Ok, owner); 3], "{key} {way:?}");
            assert_eq!(got[3], (Status::NotFound, owner), "{key} {way:?}");
        }
    }
}

#[test]
fn a_routing_key_and_a_server_choose_for_the_key() {
    let servers = servers(3);
    let client = client(&servers, &[]);
    let keys = keys(30);
    for way in WAYS {
        let home = client.server_for(b"home").unwrap().0;
        let at_home: Vec<_> = sets(&keys).iter().map(|set| Operation { routing_key: b"home", ..*set }).collect();
        assert!(way.run(&client, &at_home).iter().all(|got| (got.status, got.server) == (Status::Ok, home)));
        for server in 0..3 {
            let there: Vec<_> = gets(&keys).iter().map(|get| Operation { server: server + 1, ..*get }).collect();
            let wanted = if server == home { Status::Ok } else { Status::NotFound };
            assert!(way.run(&client, &there).iter().all(|got| (got.status, got.server) == (wanted, server)));
        }
        let nowhere = way.one(&client, Operation { server: 4, ..Operation::get(b"k") });
        assert_eq!(nowhere.status, Status::Argument);
        assert_eq!(nowhere.detail, "server 3: the client has 0, 1, 2");
        assert!(way.run(&client, &[Operation { server: 1, ..Operation::version() }])[0].server == 0);
        let clean: Vec<_> =
            keys.iter().map(|key| Operation { server: home + 1, ..Operation::delete(key.as_bytes()) }).collect();
        way.run(&client, &clean);
    }
}

/// A client whose keys `1:…` go to server 1, and so on; and for others it chooses none, or panics.
fn routed(servers: &[Memcached]) -> Client {
    let mut options = Options::new();
    servers.iter().for_each(|server| options.add_server(server.address(), "", 1).unwrap());
    common::USUAL.iter().for_each(|(name, value)| options.set(name, value).unwrap());
    options.on_route(|key, count| match key.split(|byte| *byte == b':').next() {
        Some(b"none") => count,
        Some(b"far") => usize::MAX,
        Some(b"panics") => panic!("the function cannot say"),
        Some(index) => std::str::from_utf8(index).unwrap().parse().unwrap(),
        None => 0,
    });
    Client::new(options).unwrap()
}

#[test]
fn a_function_of_the_users_says_where_each_key_goes() {
    let servers = servers(3);
    let client = routed(&servers);
    let keys: Vec<String> = (0..60).map(|number| format!("{}:{number}", number % 3)).collect();
    for way in WAYS {
        assert!(way.run(&client, &sets(&keys)).iter().all(|got| got.status == Status::Ok), "{way:?}");
        for (got, key) in way.run(&client, &gets(&keys)).iter().zip(&keys) {
            let index = usize::from(key.as_bytes()[0] - b'0');
            assert_eq!((got.value.as_slice(), got.server as usize), (key.as_bytes(), index), "{key} {way:?}");
            let holders: Vec<usize> = (0..3).filter(|server| held_by(&servers[*server], key)).collect();
            assert_eq!(holders, [index], "{key} {way:?}");
            assert_eq!(client.server_for(key.as_bytes()).unwrap().0 as usize, index);
            let delete = way.one(&client, Operation::delete(key.as_bytes()));
            assert_eq!((delete.status, delete.server as usize), (Status::Ok, index), "{key} {way:?}");
        }
        // What groups keys is what it is asked about.
        let grouped = Operation { routing_key: b"2:", ..Operation::set(b"0:grouped", b"v", 0) };
        assert_eq!(way.one(&client, grouped).server, 2, "{way:?}");
    }
}

#[test]
fn a_function_that_chooses_no_server_costs_that_key_and_no_other() {
    let servers = servers(2);
    let client = routed(&servers);
    for way in WAYS {
        for none in ["none:1", "far:1", "panics:1"] {
            let keys = ["0:a", none, "1:b"].map(String::from);
            let sets = way.run(&client, &sets(&keys));
            assert_eq!(
                sets.iter().map(|got| got.status).collect::<Vec<_>>(),
                [Status::Ok, Status::Connection, Status::Ok]
            );
            assert!(sets[1].detail.contains("the function that chooses chose none"), "{way:?}: {}", sets[1].detail);
            assert_eq!(sets[1].bits, bits::NOT_SENT, "{way:?}");
            let got = way.run(&client, &gets(&keys));
            assert_eq!(got[1].status, Status::Connection, "{way:?}: no miss");
            assert_eq!((got[0].value.as_slice(), got[2].value.as_slice()), (&b"0:a"[..], &b"1:b"[..]), "{way:?}");
        }
    }
    assert_eq!(client.server_for(b"none:").unwrap_err().status(), Status::Connection);
}

#[test]
fn a_client_of_one_server_refuses_the_index_of_another() {
    let server = Memcached::tcp(&[]);
    for protocol in ["text", "meta", "binary"] {
        let client = common::client(server.address(), &[("protocol", protocol)]);
        client.set(b"k", b"K", 0, 0).unwrap();
        for way in WAYS {
            let get = |server| Operation { server, ..Operation::get(b"k") };
            let got = way.run(&client, &[get(0), get(2), get(1), get(u32::MAX), get(0)]);
            for index in [0, 2, 4] {
                assert_eq!((got[index].status, got[index].value.as_slice()), (Status::Ok, b"K".as_slice()), "{index}");
            }
            for (index, named) in [(1, 1), (3, u32::MAX - 1)] {
                assert_eq!(got[index].status, Status::Argument);
                assert_eq!(got[index].detail, format!("server {named}: the client has 0"));
                assert_eq!(got[index].bits, bmemc::bits::NOT_SENT);
            }
        }
    }
}

/// The shortest of some attempts, which is not longer for what else the machine does.
fn shortest(attempts: usize, mut attempt: impl FnMut()) -> Duration {
    let timed = (0..attempts).map(|_| {
        let begun = Instant::now();
        attempt();
        begun.elapsed()
    });
    timed.min().unwrap()
}

#[test]
fn a_hundred_keys_over_four_servers_take_one_round_trip() {
    let servers = servers(4);
    let proxies: Vec<String> =
        servers.iter().map(|server| delay_proxy(server.address(), Duration::from_millis(10))).collect();
    let client = client_of(proxies.iter().map(String::as_str), &[]);
    let keys = keys(100);
    let queue = Queue::new().unwrap();
    for way in WAYS {
        for (what, operations) in [("sets", sets(&keys)), ("gets", gets(&keys))] {
            let run = || assert!(way.run_on(&queue, &client, &operations).iter().all(|got| got.status == Status::Ok));
            run();
            let batches = || (0..4).map(|server| client.counters(Some(server)).unwrap().batches).collect::<Vec<_>>();
            let before = batches();
            let sleeper = Sleeper::start();
            let rounds = 5;
            let took = shortest(rounds, run);
            let late = sleeper.lateness();
            assert!(took >= Duration::from_millis(20), "{what} {way:?}: {took:?} is less than a round trip");
            let limit = Duration::from_millis(30) + late;
            assert!(took < limit, "{what} {way:?}: {took:?}, a sleeper was {late:?} late");
            for (before, after) in before.iter().zip(batches()) {
                assert_eq!(after - before, rounds as u64, "{what} {way:?}: one batch a server and a call");
            }
        }
    }
    // The control: one server after the other is four round trips.
    let one_each: Vec<&String> = (0..4)
        .map(|server| keys.iter().find(|key| client.server_for(key.as_bytes()).unwrap().0 == server).unwrap())
        .collect();
    let serial = shortest(2, || one_each.iter().for_each(|key| assert!(client.get(key.as_bytes()).unwrap().is_some())));
    assert!(serial >= Duration::from_millis(80), "four calls took {serial:?}");
}

#[test]
fn values_of_every_size_come_from_all_servers() {
    let servers = servers(3);
    let client = client(&servers, &[]);
    let keys = keys(24);
    let sizes = [0, 1, 100, 8_000, 9_000, 70_000, 300_000, 1_000_000];
    let values: Vec<Vec<u8>> = keys
        .iter()
        .enumerate()
        .map(|(index, key)| key.bytes().cycle().take(sizes[index % sizes.len()]).collect())
        .collect();
    for way in WAYS {
        let sets: Vec<_> =
            keys.iter().zip(&values).map(|(key, value)| Operation::set(key.as_bytes(), value, 0)).collect();
        for got in way.run(&client, &sets) {
            assert_eq!(got.status, Status::Ok, "{way:?}: {}", got.detail);
        }
        for (got, value) in way.run(&client, &gets(&keys)).iter().zip(&values) {
            assert!(got.status == Status::Ok && got.value == *value, "{way:?}: {:?} {}", got.status, got.detail);
        }
    }
}

#[test]
fn many_threads_share_several_servers() {
    let servers = servers(3);
    let client = client(&servers, &[]);
    std::thread::scope(|scope| {
        for thread in 0..8usize {
            let client = &client;
            scope.spawn(move || {
                let way = WAYS[thread % 2];
                let queue = Queue::new().unwrap();
                let keys: Vec<String> = (0..40).map(|number| format!("{thread}:{number}")).collect();
                for round in 0..60 {
                    let values: Vec<String> = keys.iter().map(|key| format!("{key}={round}")).collect();
                    let sets: Vec<_> = keys
                        .iter()
                        .zip(&values)
                        .map(|(key, value)| Operation::set(key.as_bytes(), value.as_bytes(), 0))
                        .collect();
                    assert!(way.run_on(&queue, client, &sets).iter().all(|got| got.status == Status::Ok));
                    let read = way.run_on(&queue, client, &gets(&keys));
                    assert!(read.iter().zip(&values).all(|(got, value)| got.value == value.as_bytes()));
                    let key = &keys[round % keys.len()];
                    let one = client.get(key.as_bytes()).unwrap().unwrap();
                    assert_eq!(one.value, format!("{key}={round}").as_bytes());
                }
            });
        }
    });
}

#[test]
fn only_keys_of_a_dead_server_fail() {
    let mut servers = servers(3);
    let client = client(&servers, &[("timeout_ms", "2000"), ("connect_timeout_ms", "500")]);
    let keys = keys(60);
    for way in WAYS {
        way.run(&client, &sets(&keys));
        servers[1].stop();
        for _ in 0..3 {
            for (key, got) in keys.iter().zip(way.run(&client, &gets(&keys))) {
                let owner = client.server_for(key.as_bytes()).unwrap().0;
                assert_eq!(got.server, owner, "{key}");
                match owner {
                    1 => assert_eq!(got.status, Status::Connection, "{key} {way:?}"),
                    _ => assert_eq!((got.status, got.value.as_slice()), (Status::Ok, key.as_bytes()), "{key} {way:?}"),
                }
            }
        }
        servers[1].start();
        let recovered = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            way.run(&client, &sets(&keys)).iter().all(|got| got.status == Status::Ok)
        });
        assert!(recovered, "{way:?}");
    }
}

#[test]
fn set_many_tells_of_every_key_that_was_not_stored() {
    for failover in ["breaker", "pymemcache", "none"] {
        let mut servers = servers(3);
        let client = client(&servers, &[("connect_timeout_ms", "500"), ("failover", failover)]);
        let keys = keys(60);
        let items: Vec<(&[u8], &[u8], u64)> = keys.iter().map(|key| (key.as_bytes(), key.as_bytes(), 0)).collect();
        assert!(client.set_many(&items, 0, 0).unwrap().first_error().is_none());
        servers[1].stop();
        // The first call finds out, the others fail at once; all say the same.
        for round in 0..3 {
            let answers = client.set_many(&items, 0, 0).unwrap();
            let unstored = |(key, answer): (&String, bmemc::Answer<'_>)| {
                assert!(answer.status == Status::Ok || answer.status.is_failure(), "{key}: {:?}", answer.status);
                (answer.status != Status::Ok).then(|| key.clone())
            };
            let unstored: Vec<String> = keys.iter().zip(answers.iter()).filter_map(unstored).collect();
            let of_it = |key: &&String| client.server_for(key.as_bytes()).unwrap().0 == 1;
            let expected: Vec<String> = keys.iter().filter(of_it).cloned().collect();
            assert!(!expected.is_empty() && unstored == expected, "{failover} {round}: {unstored:?}, not {expected:?}");
            let queued = Way::Queued.run(&client, &sets(&keys)).into_iter().zip(&keys);
            let unstored: Vec<String> = queued.filter(|it| it.0.status.is_failure()).map(|it| it.1.clone()).collect();
            assert_eq!(unstored, expected, "{failover} {round}: by a queue");
        }
    }
}

#[test]
fn a_server_that_hangs_costs_its_own_keys_and_no_others() {
    let servers = servers(3);
    let client = client(&servers, &[("timeout_ms", "400")]);
    let keys = keys(60);
    for (hung, server) in servers.iter().enumerate() {
        for way in WAYS {
            let all = |got: Vec<common::fleet::Got>| got.iter().all(|got| got.status == Status::Ok);
            assert!((0..20).any(|_| all(way.run(&client, &sets(&keys)))), "{way:?}");
            freeze(server);
            let begun = Instant::now();
            let sleeper = Sleeper::start();
            let read = way.run(&client, &gets(&keys));
            let took = begun.elapsed();
            thaw(server);
            for (key, got) in keys.iter().zip(read) {
                let owner = client.server_for(key.as_bytes()).unwrap().0;
                match owner as usize == hung {
                    true => assert_eq!(got.status, Status::Timeout, "{key} {way:?} {}", got.detail),
                    false => {
                        assert_eq!((got.status, got.value.as_slice()), (Status::Ok, key.as_bytes()), "{key} {way:?}")
                    }
                }
            }
            let limit = Duration::from_millis(550) + sleeper.lateness();
            assert!(took < limit, "{way:?}: {took:?}");
        }
    }
}

#[test]
fn commands_without_a_key_go_where_the_documentation_says() {
    let servers = servers(3);
    let client = client(&servers, &[]);
    for way in WAYS {
        let keys = keys(30);
        assert!(way.run(&client, &sets(&keys)).iter().all(|got| got.status == Status::Ok));
        let version = way.one(&client, Operation::version());
        assert_eq!((version.status, version.server), (Status::Ok, 0));
        assert!(version.value.starts_with(b"1."), "{:?}", version.value);
        for command in [Command::Shutdown, Command::Metadump, Command::Raw] {
            let value = if command == Command::Raw { &b"version"[..] } else { b"" };
            let refused = way.one(&client, Operation { value, ..Operation::new(command, b"") });
            assert_eq!(refused.status, Status::Argument, "{command:?}");
            assert!(refused.detail.contains("3 servers") && refused.detail.contains("server"), "{}", refused.detail);
        }
    }
}

#[test]
fn counters_and_events_name_the_server() {
    let mut servers = servers(3);
    let mut options = Options::new();
    servers.iter().for_each(|server| options.add_server(server.address(), "", 1).unwrap());
    let events = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = events.clone();
    options.on_event(move |event| told.lock().unwrap().push((event.server, event.message.clone())));
    let client = Client::new(options).unwrap();
    let keys = keys(60);
    let mut expected = [0u64; 3];
    for way in WAYS {
        assert!(way.run(&client, &sets(&keys)).iter().all(|got| got.status == Status::Ok));
        for key in &keys {
            expected[client.server_for(key.as_bytes()).unwrap().0 as usize] += 1;
        }
    }
    for (server, expected) in expected.iter().enumerate() {
        assert_eq!(client.counters(Some(server)).unwrap().operations, *expected);
    }
    assert_eq!(client.counters(None).unwrap().operations, 120);
    assert_eq!(client.counters(Some(3)).unwrap_err().status(), Status::Argument);
    servers[2].stop();
    for way in WAYS {
        way.run(&client, &gets(&keys));
    }
    let events = events.lock().unwrap();
    for (server, message) in events.iter() {
        assert!(message.contains(servers[*server as usize].address()), "{server}: {message}");
    }
    assert!((0..3).all(|server| events.iter().any(|event| event.0 == server)), "{events:?}");
}

#[test]
fn what_a_client_of_several_servers_is_made_of() {
    let two = |settings: &[(&str, &str)]| {
        let mut options = Options::new();
        options.add_server("127.0.0.1:1", "a", 1).unwrap();
        options.add_server("127.0.0.1:2", "b", 1).unwrap();
        settings.iter().for_each(|(name, value)| options.set(name, value).unwrap());
        Client::new(options)
    };
    assert_eq!(two(&[]).unwrap().servers().len(), 2);
    let single = two(&[("mode", "single")]).map(drop).unwrap_err();
    assert!(single.message().contains("mode=single, and 2 servers"), "{single}");
    let mut options = Options::new();
    options.add_server("127.0.0.1:1", "same", 1).unwrap();
    options.add_server("127.0.0.1:2", "same", 1).unwrap();
    let twice = Client::new(options).map(drop).unwrap_err();
    assert!(twice.message().contains("\"same\""), "{twice}");
}

#[test]
fn the_cas_of_a_key_comes_from_its_server() {
    let servers = servers(3);
    let client = client(&servers, &[]);
    for way in WAYS {
        for key in keys(10) {
            way.one(&client, Operation::set(key.as_bytes(), b"1", 0));
            let get = Operation { op_flags: op_flags::WANT_CAS, ..Operation::get(key.as_bytes()) };
            let cas = way.one(&client, get).cas;
            assert_ne!(cas, 0);
            let swap = |cas| Operation { cas, ..Operation::set(key.as_bytes(), b"2", 0) };
            assert_eq!(way.one(&client, swap(cas)).status, Status::Ok, "{way:?}");
            assert_eq!(way.one(&client, swap(cas)).status, Status::Exists, "{way:?}");
        }
    }
    let mut answers = Answers::new(0);
    client.execute(&[], &mut answers).unwrap();
}
