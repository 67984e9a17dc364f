//! Cold calls over several servers: connections are opened at the same time, and a server that cannot be connected to, or
//! says nothing, costs its own keys and no others.

mod common;

use bmemc::{Client, Command, Operation, Queue, Status};
use common::fleet::{client, client_of, delay_proxy, freeze, servers, thaw, Got, Way, WAYS};
use common::oracle::Sleeper;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

fn keys() -> Vec<String> {
    (0..100).map(|number| format!("key:{number}")).collect()
}

fn set_all(way: Way, client: &Client, keys: &[String]) -> Vec<Got> {
    let sets: Vec<Operation<'_>> = keys.iter().map(|key| Operation::set(key.as_bytes(), b"v", 0)).collect();
    way.run_on(&Queue::new().unwrap(), client, &sets)
}

/// How long a new client's first call takes, in the best of some attempts.
fn cold(way: Way, addresses: &[String], protocol: &str) -> Duration {
    let attempts = (0..3).map(|_| {
        let client = client_of(addresses.iter().map(String::as_str), &[("protocol", protocol)]);
        let begun = Instant::now();
        let got = set_all(way, &client, &keys());
        let took = begun.elapsed();
        assert!(got.iter().all(|got| got.status == Status::Ok), "{way:?} {protocol}");
        let connects: Vec<u64> = (0..addresses.len()).map(|at| client.counters(Some(at)).unwrap().connects).collect();
        assert!(connects.iter().all(|count| (1..=2).contains(count)), "{way:?} {protocol}: {connects:?}");
        took
    });
    attempts.min().unwrap()
}

#[test]
fn four_servers_are_connected_to_in_the_time_of_one() {
    let servers = servers(4);
    let proxies: Vec<String> =
        servers.iter().map(|server| delay_proxy(server.address(), Duration::from_millis(10))).collect();
    for protocol in ["auto", "text", "binary"] {
        for way in WAYS {
            let sleeper = Sleeper::start();
            let (one, four) = (cold(way, &proxies[..1], protocol), cold(way, &proxies, protocol));
            let late = sleeper.lateness();
            assert!(one >= Duration::from_millis(20), "{way:?} {protocol}: {one:?} is less than a round trip");
            // What is said before the first operation costs round trips: each of them once, and not once a server.
            assert!(four < one * 3 / 2 + late, "{way:?} {protocol}: {four:?}, and one alone {one:?}; {late:?} late");
        }
    }
}

#[test]
fn what_is_asked_of_each_server_takes_the_time_of_one() {
    let servers = servers(4);
    let proxies: Vec<String> =
        servers.iter().map(|server| delay_proxy(server.address(), Duration::from_millis(10))).collect();
    let time = |addresses: &[String], operation: Operation<'_>, protocol: &str| {
        let client = client_of(addresses.iter().map(String::as_str), &[("protocol", protocol)]);
        let attempts = (0..4).map(|_| {
            let begun = Instant::now();
            let answers = client.execute_each(&operation).unwrap();
            let took = begun.elapsed();
            let servers: Vec<(u32, Status)> = answers.iter().map(|answer| (answer.server, answer.status)).collect();
            let expected: Vec<(u32, Status)> = (0..addresses.len() as u32).map(|at| (at, Status::Ok)).collect();
            assert_eq!(servers, expected, "{operation:?} {protocol}");
            took
        });
        attempts.min().unwrap()
    };
    // A dump has a connection to itself, and binary has none.
    let common = [(Command::Stats, ""), (Command::Version, ""), (Command::FlushAll, "")];
    let with_dump = [&common[..], &[(Command::Metadump, "all")]].concat();
    for (protocol, commands) in [("text", &with_dump[..]), ("binary", &common[..])] {
        for (command, argument) in commands {
            let (sleeper, operation) = (Sleeper::start(), Operation::new(*command, argument.as_bytes()));
            let (one, four) = (time(&proxies[..1], operation, protocol), time(&proxies, operation, protocol));
            let late = sleeper.lateness();
            assert!(
                four < one * 3 / 2 + late,
                "{command:?} {protocol}: {four:?}, and one alone {one:?}; {late:?} late"
            );
        }
    }
}

/// A server whose queue of connections is full: nothing answers there.
fn hole() -> (TcpListener, Vec<TcpStream>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut fillers = Vec::new();
    while let Ok(filler) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        fillers.push(filler);
        assert!(fillers.len() < 10_000, "the queue never fills");
    }
    (listener, fillers, address.to_string())
}

/// Calls of many threads over servers of which the first says nothing, by a client that `make` makes. Where they go wrong
/// while this machine is late it is done again.
fn calls_cost_its_own_keys(make: impl Fn() -> Client, way: Way, threads: usize) {
    for attempt in 0..5 {
        let (client, sleeper) = (make(), Sleeper::start());
        let (wrong, took) = call_many(&client, way, threads);
        let late = sleeper.lateness();
        if wrong.is_none() && took < Duration::from_millis(600) + late {
            return;
        }
        let was_late = late > Duration::from_millis(100) && attempt < 4;
        assert!(was_late, "{way:?} {threads}: {took:?}, {wrong:?}; {late:?} late");
    }
}

/// An answer that is wrong, if there is one, and how long all took.
fn call_many(client: &Client, way: Way, threads: usize) -> (Option<String>, Duration) {
    let (keys, begun) = (keys(), Instant::now());
    let call = || set_all(way, client, &keys);
    let all: Vec<Vec<Got>> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..threads).map(|_| scope.spawn(call)).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let took = begun.elapsed();
    let wrong = all.iter().flat_map(|all| keys.iter().zip(all)).find_map(|(key, got)| {
        let owner = client.server_for(key.as_bytes()).unwrap().0;
        let expected = if owner == 0 { Status::Timeout } else { Status::Ok };
        ((got.status, got.server) != (expected, owner)).then(|| format!("{key} of {owner}: {got:?}"))
    });
    (wrong, took)
}

const SETTINGS: [(&str, &str); 3] = [("timeout_ms", "400"), ("connect_timeout_ms", "10000"), ("failover", "none")];

/// New clients of servers of which the first is `address`.
fn costs_its_own_keys(address: &str) {
    let servers = servers(2);
    let addresses = [address, servers[0].address(), servers[1].address()];
    for (way, threads) in [(Way::Blocking, 1), (Way::Queued, 1), (Way::Blocking, 2), (Way::Blocking, 12)] {
        for connections in ["1", "2"] {
            let settings = [&SETTINGS[..], &[("connections", connections)]].concat();
            calls_cost_its_own_keys(|| client_of(addresses, &settings), way, threads);
        }
    }
}

#[test]
fn a_server_that_takes_no_connection_costs_its_own_keys() {
    let (_listener, _fillers, address) = hole();
    costs_its_own_keys(&address);
}

#[test]
fn a_server_that_says_nothing_costs_its_own_keys() {
    // The kernel takes connections, and nobody reads what comes.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    costs_its_own_keys(&address);
}

#[test]
fn a_server_that_hangs_costs_its_own_keys() {
    for (way, threads) in [(Way::Blocking, 1), (Way::Queued, 1), (Way::Blocking, 2), (Way::Blocking, 12)] {
        let servers = servers(3);
        let make = || {
            thaw(&servers[0]);
            let client = client(&servers, &[&SETTINGS[..], &[("connections", "1")]].concat());
            let is_warm = |_| set_all(way, &client, &keys()).iter().all(|got| got.status == Status::Ok);
            assert!((0..20).any(is_warm), "{way:?}");
            freeze(&servers[0]);
            client
        };
        calls_cost_its_own_keys(make, way, threads);
        thaw(&servers[0]);
    }
}
