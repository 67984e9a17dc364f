//! Discovery: servers that are found out by asking a cluster's configuration endpoint, which is an embedded server here, or
//! by looking names up, or by a function. The nodes are real memcacheds. Everything by calls that wait and by queues.

mod common;

use bmemc::server::{Config, Server as Embedded};
use bmemc::{op_flags, Client, Command, Error, Event, EventKind, Operation, Options, Queue, Server, Status};
use common::fleet::{servers, Got, Way, WAYS};
use common::oracle::Watchdog;
use common::{Memcached, USUAL};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Told = Arc<Mutex<Vec<Event>>>;

fn endpoint() -> Embedded {
    Embedded::start(Config::default()).unwrap()
}

/// The nodes as the endpoint lists them: with a name and an address.
fn list(version: i64, nodes: &[&Memcached]) -> String {
    let node = |node: &&Memcached| node.address().replace("127.0.0.1:", "127.0.0.1|127.0.0.1|");
    format!("{version}\n{}", nodes.iter().map(node).collect::<Vec<_>>().join(" "))
}

/// A client that asks this endpoint, and what it is told of discovery.
fn client(endpoint: &str, settings: &[(&str, &str)]) -> (Client, Told) {
    let (mut options, told) = (Options::new(), Told::default());
    let tell = told.clone();
    options.on_event(move |event| {
        if matches!(event.kind, EventKind::DiscoveryFailed | EventKind::ServersChanged) {
            tell.lock().unwrap().push(event.clone());
        }
    });
    options.add_server(endpoint, "", 1).unwrap();
    let usual = USUAL.iter().chain(&[("discovery", "elasticache"), ("discovery_interval_ms", "20")]);
    for (name, value) in usual.chain(settings) {
        options.set(name, value).unwrap();
    }
    (Client::new(options).unwrap(), told)
}

fn names(client: &Client) -> Vec<String> {
    let mut names: Vec<String> = client.servers().into_iter().map(|(_, server)| server.name).collect();
    names.sort();
    names
}

fn addresses(nodes: &[&Memcached]) -> Vec<String> {
    let mut names: Vec<String> = nodes.iter().map(|node| node.address().to_string()).collect();
    names.sort();
    names
}

fn stores(way: Way, client: &Client, key: &str) -> Got {
    way.one(client, Operation::set(key.as_bytes(), key.as_bytes(), 0))
}

/// Calls until it is so: discovery goes on with calls alone.
fn until(way: Way, client: &Client, what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: {:?}", client.servers());
        let got = stores(way, client, "key");
        assert_eq!(got.status, Status::Ok, "{what}: {}", got.detail);
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn count(told: &Told, kind: EventKind, words: &str) -> usize {
    told.lock().unwrap().iter().filter(|event| event.kind == kind && event.message.contains(words)).count()
}

#[test]
fn the_servers_are_those_of_the_newest_version() {
    let _watchdog = Watchdog::start("newest version", Duration::from_secs(120));
    let nodes = servers(3);
    for way in WAYS {
        let endpoint = endpoint();
        endpoint.set("cluster", &list(7, &[&nodes[0], &nodes[1]])).unwrap();
        let (client, told) = client(endpoint.address(), &[]);
        // The first call waits for them.
        assert_eq!(names(&client), [""; 0]);
        let got = stores(way, &client, "first");
        assert_eq!(got.status, Status::Ok, "{way:?}: {}", got.detail);
        assert_eq!(names(&client), addresses(&[&nodes[0], &nodes[1]]));
        assert_eq!(count(&told, EventKind::ServersChanged, &format!("+{}", nodes[1].address())), 1);

        let known = client.servers();
        endpoint.set("cluster", &list(8, &[&nodes[1], &nodes[2]])).unwrap();
        until(way, &client, "version 8", || names(&client) == addresses(&[&nodes[1], &nodes[2]]));
        let index = |servers: &[(u32, Server)]| servers.iter().find(|it| it.1.name == nodes[1].address()).unwrap().0;
        assert_eq!(index(&client.servers()), index(&known), "a server that stays keeps its index");
        assert_eq!(count(&told, EventKind::ServersChanged, &format!("-{}", nodes[0].address())), 1);

        // Nothing else changes them: not the same version, an older one, an empty list, or what is no list.
        let odd = [
            (list(7, &[&nodes[0]]), "version 7 is older than 8"),
            ("9\n".into(), "empty"),
            ("9\n127.0.0.1|x".into(), "is not host|ip|port"),
            ("nine\na|b|1".into(), "is no version"),
            (format!("9\n{}", "a|b|1 ".repeat(2000)), "2000 nodes"),
            (format!("9\n{}", "x".repeat(300_000)), "no length"),
        ];
        for (text, words) in odd {
            endpoint.set("cluster", &text).unwrap();
            until(way, &client, words, || count(&told, EventKind::DiscoveryFailed, words) > 0);
            endpoint.set("cluster", &list(8, &[&nodes[0]])).unwrap();
        }
        // That same version has other nodes now: it is asked for again and again, and changes nothing.
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(300) {
            assert_eq!(stores(way, &client, "key").status, Status::Ok);
            assert_eq!(names(&client), addresses(&[&nodes[1], &nodes[2]]), "{way:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(count(&told, EventKind::DiscoveryFailed, endpoint.address()) >= 6, "the endpoint is named");
        endpoint.set("cluster", &list(10, &[&nodes[0]])).unwrap();
        until(way, &client, "version 10", || names(&client) == addresses(&[&nodes[0]]));
        client.close();
        assert_eq!(client.get(b"key").unwrap_err().status(), Status::Closed);
    }
}

/// Google's Memorystore: an endpoint that is no node and is asked for nothing else, nodes that have an address where others
/// have a name, and ends of lines that its manual leaves open.
#[test]
fn memorystores_endpoint_is_asked_as_it_wants_to_be() {
    let _watchdog = Watchdog::start("Memorystore", Duration::from_secs(120));
    let nodes = servers(3);
    for way in WAYS {
        let endpoint = endpoint();
        let known = list(9, &[&nodes[0], &nodes[1]]);
        endpoint.set("cluster", &known.replace('\n', "\r\n")).unwrap();
        for by in ["host", "ip"] {
            let (client, told) = client(endpoint.address(), &[("discovery_names", by), ("distribution", "ketama")]);
            assert_eq!(stores(way, &client, "first").status, Status::Ok, "{way:?} {by}");
            assert_eq!(names(&client), addresses(&[&nodes[0], &nodes[1]]), "{way:?} {by}: names are addresses");
            let owner = |client: &Client, key: &str| client.server_for(key.as_bytes()).unwrap().1.name;
            let listed = common::fleet::client(&nodes[..2], &[("distribution", "ketama")]);
            let keys: Vec<String> = (0..100).map(|number| format!("key:{number}")).collect();
            assert!(keys.iter().all(|key| owner(&client, key) == owner(&listed, key)), "{way:?} {by}");
            // It scales out, and is asked again by what goes to the nodes.
            endpoint.set("cluster", &list(10, &[&nodes[0], &nodes[1], &nodes[2]])).unwrap();
            until(way, &client, "version 10", || names(&client).len() == 3);
            assert_eq!(count(&told, EventKind::ServersChanged, &format!("+{}", nodes[2].address())), 1);
            // For a while it may know less than before: it is eventually consistent.
            endpoint.set("cluster", &known).unwrap();
            until(way, &client, "version 9", || count(&told, EventKind::DiscoveryFailed, "version 9 is older") > 0);
            assert_eq!(names(&client).len(), 3, "{way:?} {by}");
        }
        // No key was looked for there, and nothing was stored.
        let asked = common::client(endpoint.address(), &[]);
        let stats = asked.stats(b"").unwrap();
        for name in ["cmd_get", "cmd_set", "curr_items"] {
            let value = stats.iter().find(|stat| stat.1 == name).map(|stat| stat.2.as_str());
            assert_eq!(value, Some("0"), "{way:?}: {name}");
        }
    }
}

#[test]
fn what_goes_to_each_server_waits_for_the_first_answer_too() {
    let (endpoint, nodes) = (endpoint(), servers(3));
    endpoint.set("cluster", &list(1, &[&nodes[0], &nodes[1], &nodes[2]])).unwrap();
    let (client, _told) = self::client(endpoint.address(), &[]);
    let mut owners: Vec<u32> = client.stats(b"").unwrap().into_iter().map(|(server, ..)| server).collect();
    owners.dedup();
    assert_eq!(owners, [0, 1, 2]);
    let (client, _told) = self::client(endpoint.address(), &[]);
    let versions = client.execute_each(&Operation::version()).unwrap();
    assert_eq!(
        versions.iter().map(|answer| (answer.server, answer.status)).collect::<Vec<_>>(),
        [(0, Status::Ok), (1, Status::Ok), (2, Status::Ok)]
    );
    // Where there is no server it is a failure, and not nothing.
    let (client, _told) = self::client("127.0.0.1:1", &[]);
    let answers = client.execute_each(&Operation::version()).unwrap();
    let words = String::from_utf8_lossy(answers.get(0).unwrap().detail).into_owned();
    assert!(answers.len() == 1 && words.contains("discovery=elasticache at 127.0.0.1:1"), "{words}");
    assert_eq!(client.stats(b"").unwrap_err().status(), Status::Connection);
    let (client, _told) = self::client("127.0.0.1:1", &[]);
    let mut dump = client.metadump(b"");
    let error = dump.next().unwrap().unwrap_err();
    assert!(error.status() == Status::Connection && error.to_string().contains("127.0.0.1:1"), "{error}");
    assert!(dump.next().is_none(), "nothing comes after a failure");
    // The very first call may be a dump.
    for node in &nodes {
        common::fleet::client(std::slice::from_ref(node), &[]).set(b"key", b"value", 0, 0).unwrap();
    }
    let (client, _told) = self::client(endpoint.address(), &[]);
    assert_eq!(client.metadump(b"").map(|item| item.unwrap().0).collect::<BTreeSet<_>>(), BTreeSet::from([0, 1, 2]));
}

#[test]
fn a_fallback_client_waits_for_an_older_ones_servers_only_where_it_needs_them() {
    let (endpoint, nodes) = (endpoint(), servers(3));
    let new = common::fleet::client(&nodes[..1], &[]);
    new.set(b"new", b"new", 0, 0).unwrap();
    for node in &nodes[1..] {
        common::fleet::client(std::slice::from_ref(node), &[]).set(b"old", b"old", 0, 0).unwrap();
    }
    for way in WAYS {
        let get = |client: &Client, key: &str| way.one(client, Operation::get(key.as_bytes()));
        endpoint.set("cluster", &list(1, &[&nodes[1], &nodes[2]])).unwrap();
        let (old, _told) = self::client(endpoint.address(), &[]);
        let both = Client::new_fallback(&[new.clone(), old.clone()]).unwrap();
        // The very first call goes on to a client that knows no server yet.
        assert_eq!(get(&both, "old").value, b"old", "{way:?}");
        assert_eq!((get(&both, "new").value, get(&both, "none").status), (b"new".to_vec(), Status::NotFound));
        // The older one's servers change while the fallback client alone is used.
        endpoint.set("cluster", &list(2, &[&nodes[1]])).unwrap();
        let begun = Instant::now();
        while names(&old) != addresses(&[&nodes[1]]) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{way:?}");
            assert_eq!(get(&both, "old").value, b"old", "{way:?}");
        }
        // One whose endpoint is silent costs those that need it their time, and others nothing.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = [("timeout_ms", "400"), ("connect_timeout_ms", "60000")];
        let (old, _told) = self::client(&silent.local_addr().unwrap().to_string(), &settings);
        let new = common::fleet::client(&nodes[..1], &settings);
        let both = Client::new_fallback(&[new, old]).unwrap();
        let begun = Instant::now();
        assert_eq!(get(&both, "new").value, b"new", "{way:?}");
        assert!(begun.elapsed() < Duration::from_millis(350), "{way:?}: {:?}", begun.elapsed());
        let none = get(&both, "none");
        assert_eq!(none.status, Status::Timeout, "{way:?}: {}", none.detail);
        assert!(none.detail.contains("discovery=elasticache"), "{way:?}: {}", none.detail);
    }
}

#[test]
fn an_older_engine_is_asked_by_get() {
    let nodes = servers(2);
    let endpoint = Memcached::tcp(&[]);
    let cluster = list(3, &[&nodes[0], &nodes[1]]) + "\n";
    common::client(endpoint.address(), &[]).set(b"AmazonElastiCache:cluster", cluster.as_bytes(), 0, 0).unwrap();
    for way in WAYS {
        let (client, _) = client(endpoint.address(), &[]);
        assert_eq!(stores(way, &client, "key").status, Status::Ok);
        assert_eq!(names(&client), addresses(&[&nodes[0], &nodes[1]]));
    }
}

#[test]
fn keys_are_where_a_client_of_these_names_has_them() {
    let nodes = servers(2);
    let endpoint = endpoint();
    let text = list(1, &[&nodes[0], &nodes[1]]).replace("127.0.0.1|127.0.0.1|", "localhost|127.0.0.1|");
    endpoint.set("cluster", &text).unwrap();
    for (by, host) in [("host", "localhost"), ("ip", "127.0.0.1")] {
        let (found, _) = client(endpoint.address(), &[("distribution", "ketama"), ("discovery_names", by)]);
        assert_eq!(stores(Way::Blocking, &found, "key").status, Status::Ok);
        let mut options = Options::new();
        options.set("distribution", "ketama").unwrap();
        for node in &nodes {
            options.add_server(&node.address().replace("127.0.0.1", host), "", 1).unwrap();
        }
        let listed = Client::new(options).unwrap();
        for number in 0..200 {
            let key = format!("key:{number}");
            let name = |client: &Client| client.server_for(key.as_bytes()).unwrap().1.name;
            assert_eq!(name(&found), name(&listed), "{key} by {by}");
        }
    }
}

#[test]
fn the_first_failure_names_the_endpoint_and_passes() {
    let _watchdog = Watchdog::start("first failure", Duration::from_secs(120));
    let nodes = servers(1);
    for way in WAYS {
        let mut endpoint = Memcached::tcp(&[]);
        endpoint.stop();
        let (client, told) = client(endpoint.address(), &[]);
        let got = stores(way, &client, "key");
        assert_eq!(got.status, Status::Connection, "{}", got.detail);
        assert!(got.detail.contains(&format!("discovery=elasticache at {}", endpoint.address())), "{}", got.detail);
        assert_eq!(count(&told, EventKind::DiscoveryFailed, endpoint.address()), 1);
        endpoint.start();
        let words = "it has no cluster configuration";
        let begun = Instant::now();
        while !stores(way, &client, "key").detail.contains(words) {
            assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", told.lock().unwrap());
            std::thread::sleep(Duration::from_millis(1));
        }
        let cluster = list(1, &[&nodes[0]]) + "\n";
        common::client(endpoint.address(), &[]).set(b"AmazonElastiCache:cluster", cluster.as_bytes(), 0, 0).unwrap();
        while stores(way, &client, "key").status != Status::Ok {
            assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", told.lock().unwrap());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn an_endpoint_that_is_silent_costs_the_first_call_its_deadline_and_the_others_nothing() {
    let _watchdog = Watchdog::start("silent endpoint", Duration::from_secs(120));
    let nodes = servers(1);
    for way in WAYS {
        let endpoint = endpoint();
        endpoint.set("cluster", &list(1, &[&nodes[0]])).unwrap();
        endpoint.set("fault", "command=config stall").unwrap();
        let (client, told) = client(endpoint.address(), &[("connect_timeout_ms", "60000")]);
        let get = Operation { timeout_ms: 200, ..Operation::get(b"key") };
        let begun = Instant::now();
        let got = way.one(&client, get);
        assert_eq!(got.status, Status::Timeout, "{}", got.detail);
        assert!(got.detail.contains(endpoint.address()), "{}", got.detail);
        assert!(begun.elapsed() >= Duration::from_millis(190), "{:?}", begun.elapsed());
        client.close();
        assert_eq!(client.get(b"key").unwrap_err().status(), Status::Closed, "closed while it asks");

        // One that knows its servers does not wait: many calls are done while the next poll gets no answer.
        let (known, told_too) = self::client(endpoint.address(), &[("connect_timeout_ms", "300")]);
        endpoint.set("fault", "").unwrap();
        assert_eq!(stores(way, &known, "key").status, Status::Ok);
        endpoint.set("fault", "command=config stall").unwrap();
        let mut done = 0;
        while count(&told_too, EventKind::DiscoveryFailed, "no answer in time") == 0 {
            assert_eq!(stores(way, &known, "key").status, Status::Ok);
            done += 1;
        }
        assert!(done > 10, "{done} calls while one poll of 300 ms went on");
        assert_eq!(told.lock().unwrap().len(), 0, "a client that was closed has nothing to tell");
    }
}

/// Adds one to a counter, which begins at one.
fn count_up(key: &str) -> Operation<'_> {
    Operation { delta: 1, initial: 1, op_flags: op_flags::CREATE, ..Operation::new(Command::Increment, key.as_bytes()) }
}

#[test]
fn nodes_come_and_go_under_load_and_every_operation_is_done_once() {
    let _watchdog = Watchdog::start("nodes come and go", Duration::from_secs(120));
    let nodes = servers(3);
    let endpoint = endpoint();
    endpoint.set("cluster", &list(1, &[&nodes[0], &nodes[1]])).unwrap();
    let (client, told) = client(endpoint.address(), &[("protocol", "meta")]);
    assert_eq!(stores(Way::Blocking, &client, "first").status, Status::Ok);
    let over = AtomicBool::new(false);
    let keys: Vec<String> = (0..50).map(|number| format!("count:{number}")).collect();
    let done: Vec<AtomicU64> = keys.iter().map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (client, keys, done, over) = (&client, &keys, &done, &over);
            scope.spawn(move || {
                let (way, queue) = (WAYS[thread % 2], Queue::new().unwrap());
                while !over.load(Ordering::Relaxed) {
                    let operations: Vec<_> = keys.iter().map(|key| count_up(key)).collect();
                    for (got, done) in way.run_on(&queue, client, &operations).iter().zip(done) {
                        assert_eq!(got.status, Status::Ok, "{way:?}: {}", got.detail);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for version in 2..20 {
            let some: &[&Memcached] = match version % 3 {
                0 => &[&nodes[0], &nodes[1]],
                1 => &[&nodes[1], &nodes[2]],
                _ => &[&nodes[0], &nodes[1], &nodes[2]],
            };
            endpoint.set("cluster", &list(version, some)).unwrap();
            while names(&client) != addresses(some) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(count(&told, EventKind::ServersChanged, ""), 19, "{:?}", told.lock().unwrap());
    let held = |key: &str| -> u64 {
        let read = |node: &Memcached| common::client(node.address(), &[]).get(key.as_bytes()).unwrap();
        let number = |value: Vec<u8>| String::from_utf8(value).unwrap().trim().parse::<u64>().unwrap();
        nodes.iter().filter_map(|node| Some(number(read(node)?.value))).sum()
    };
    for (key, done) in keys.iter().zip(&done) {
        assert_eq!(held(key), done.load(Ordering::Relaxed), "{key}");
    }
}

#[test]
fn a_function_says_which_servers_there_are() {
    let nodes = servers(2);
    for way in WAYS {
        let (asked, calls) = (Arc::new(AtomicUsize::new(0)), nodes.iter().map(|it| it.address().to_string()));
        let (addresses, count): (Vec<String>, _) = (calls.collect(), asked.clone());
        let mut options = Options::new();
        options.set("discovery_interval_ms", "10").unwrap();
        options.on_discover(move || match count.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(vec![Server::parse(&addresses[0], "one", 1)?]),
            1 => Err(Error::argument("the list is being written")),
            _ => Ok(vec![Server::parse(&addresses[0], "one", 1)?, Server::parse(&addresses[1], "two", 1)?]),
        });
        let client = Client::new(options).unwrap();
        assert_eq!(stores(way, &client, "key").status, Status::Ok);
        assert_eq!(names(&client), ["one"]);
        until(way, &client, "two", || names(&client) == ["one", "two"]);
        assert!(asked.load(Ordering::Relaxed) >= 3);
    }
}

#[test]
fn a_name_is_looked_up_into_a_server_for_each_address() {
    let nodes = servers(1);
    let port = nodes[0].address().rsplit_once(':').unwrap().1;
    for way in WAYS {
        let (client, _) = client(&format!("localhost:{port}"), &[("discovery", "dns")]);
        // localhost may be ::1 too, where nobody listens.
        let keys: Vec<String> = (0..100).map(|number| format!("key:{number}")).collect();
        assert!(keys.iter().any(|key| stores(way, &client, key).status == Status::Ok));
        assert!(names(&client).contains(&format!("127.0.0.1:{port}")), "{:?}", names(&client));
    }
    let (lost, _) = client("nowhere.invalid:1", &[("discovery", "dns")]);
    for way in WAYS {
        let got = stores(way, &lost, "key");
        assert_eq!(got.status, Status::Dns, "{}", got.detail);
        assert!(got.detail.contains("discovery=dns of nowhere.invalid:1"), "{}", got.detail);
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let made = |servers: &[&str], settings: &[(&str, &str)], finder: bool| {
        let mut options = Options::new();
        servers.iter().for_each(|server| options.add_server(server, "", 1).unwrap());
        settings.iter().for_each(|(name, value)| options.set(name, value).unwrap());
        if finder {
            options.on_discover(|| Ok(Vec::new()));
        }
        Client::new(options)
    };
    let words = |made: bmemc::Result<Client>| made.err().expect("it is refused").message().to_string();
    assert!(words(made(&[], &[("discovery", "elasticache")], false)).contains("add it with add_server"));
    assert!(words(made(&["127.0.0.1:1"], &[("discovery", "dns")], false)).contains("127.0.0.1:1"));
    assert!(words(made(&["a:1"], &[("discovery", "dns"), ("mode", "single")], false)).contains("mode=single"));
    assert!(words(made(&["a:1"], &[("discovery", "dns")], true)).contains("there can be one"));
    let client = made(&[], &[], true).unwrap();
    for way in WAYS {
        let got = stores(way, &client, "key");
        assert!(got.detail.contains("the discovery callback: the list of servers is empty"), "{}", got.detail);
    }
    assert_eq!(client.add_server("127.0.0.1:1", "", 1).unwrap_err().status(), Status::Unsupported);
    let answers = client.execute_each(&Operation::version()).unwrap();
    assert_eq!((answers.len(), answers.get(0).unwrap().status), (1, Status::Protocol));
}
