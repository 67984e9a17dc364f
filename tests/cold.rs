//! Cold calls over several servers: connections are opened at the same time, and a server that cannot be connected to, or
//! says nothing, costs its own keys and no others.

mod common;

use bmemc::{Client, Command, Operation, Queue, Status};
use common::fleet::{client, client_of, delay_proxy, freeze, servers, thaw, Got, Way, WAYS};
use common::oracle::Sleeper;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("key:{number}")).collect()
}

fn set_all(way: Way, client: &Client, keys: &[String], value: &[u8]) -> Vec<Got> {
    let sets: Vec<Operation<'_>> = keys.iter().map(|key| Operation::set(key.as_bytes(), value, 0)).collect();
    way.run_on(&Queue::new().unwrap(), client, &sets)
}

/// How long a new client's first call takes, in the best of some attempts.
fn cold(way: Way, addresses: &[String], protocol: &str) -> Duration {
    let attempts = (0..3).map(|_| {
        let client = client_of(addresses.iter().map(String::as_str), &[("protocol", protocol)]);
        let begun = Instant::now();
        let got = set_all(way, &client, &keys(100), b"v");
        let took = begun.elapsed();
        assert!(got.iter().all(|got| got.status == Status::Ok), "{way:?} {protocol}");
        let connects: Vec<u64> = (0..addresses.len()).map(|at| client.counters(Some(at)).unwrap().connects).collect();
        assert!(connects.iter().all(|count| (1..=2).contains(count)), "{way:?} {protocol}: {connects:?}");
        took
    });
    attempts.min().unwrap()
}

/// Four servers take no longer than one and a half times one alone, where one after the other would take four times as
/// long. A machine that is busy is given some attempts.
fn takes_the_time_of_one(what: &str, least: Duration, proxies: &[String], mut time: impl FnMut(&[String]) -> Duration) {
    for attempt in 0..5 {
        let sleeper = Sleeper::start();
        let (one, four) = (time(&proxies[..1]), time(proxies));
        let late = sleeper.lateness();
        assert!(one >= least, "{what}: {one:?} is less than a round trip");
        if four < one * 3 / 2 + late {
            return;
        }
        assert!(attempt < 4, "{what}: {four:?}, and one alone {one:?}; {late:?} late");
    }
}

const ROUND_TRIP: Duration = Duration::from_millis(20);

#[test]
fn four_servers_are_connected_to_in_the_time_of_one() {
    let servers = servers(4);
    let proxies: Vec<String> =
        servers.iter().map(|server| delay_proxy(server.address(), Duration::from_millis(10))).collect();
    for protocol in ["auto", "text", "binary"] {
        for way in WAYS {
            // What is said before the first operation costs round trips: each of them once, and not once a server.
            let what = format!("{way:?} {protocol}");
            takes_the_time_of_one(&what, ROUND_TRIP, &proxies, |servers| cold(way, servers, protocol));
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
            let operation = Operation::new(*command, argument.as_bytes());
            let what = format!("{command:?} {protocol}");
            takes_the_time_of_one(&what, ROUND_TRIP, &proxies, |servers| time(servers, operation, protocol));
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
    let keys = keys(100);
    cost_its_own_keys(make, 400, threads, |client| set_all(way, client, &keys, b"v"), &keys);
}

/// The same of calls that do `call`, which answers for `keys`, with a time-out of so many milliseconds.
fn cost_its_own_keys(
    make: impl Fn() -> Client,
    timeout_ms: u64,
    threads: usize,
    call: impl Fn(&Client) -> Vec<Got> + Sync,
    keys: &[String],
) {
    for attempt in 0..5 {
        let (client, sleeper) = (make(), Sleeper::start());
        let (wrong, took) = call_many(&client, threads, &call, keys);
        let late = sleeper.lateness();
        if wrong.is_none() && took < Duration::from_millis(timeout_ms * 3 / 2) + late {
            return;
        }
        let was_late = late > Duration::from_millis(100) && attempt < 4;
        assert!(was_late, "{threads} threads: {took:?}, {wrong:?}; {late:?} late");
    }
}

/// An answer that is wrong, if there is one, and how long all took.
fn call_many(
    client: &Client,
    threads: usize,
    call: &(impl Fn(&Client) -> Vec<Got> + Sync),
    keys: &[String],
) -> (Option<String>, Duration) {
    let begun = Instant::now();
    let all: Vec<Vec<Got>> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..threads).map(|_| scope.spawn(|| call(client))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let took = begun.elapsed();
    let wrong = all.iter().flat_map(|all| keys.iter().zip(all)).find_map(|(key, got)| {
        let owner = client.server_for(key.as_bytes()).unwrap().0;
        // The first of many whose time is over gives the connection up for the others too.
        let is_right = match got.status {
            Status::Ok => owner != 0,
            Status::Timeout => owner == 0,
            status => owner == 0 && status == Status::Connection && threads > 1,
        };
        let words = || format!("{key} of {owner}: {:?} by {}, {}", got.status, got.server, got.detail);
        (!is_right || got.server != owner).then(words)
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
            let is_warm = |_| set_all(way, &client, &keys(100), b"v").iter().all(|got| got.status == Status::Ok);
            assert!((0..20).any(is_warm), "{way:?}");
            freeze(&servers[0]);
            client
        };
        calls_cost_its_own_keys(make, way, threads);
        thaw(&servers[0]);
    }
}

const COMPANIES: [(Way, usize); 4] = [(Way::Blocking, 1), (Way::Queued, 1), (Way::Blocking, 2), (Way::Blocking, 4)];

/// So many keys of each of three servers, those of the first in front.
fn keys_in_order(client: &Client, count: usize) -> Vec<String> {
    let owner = |key: &String| client.server_for(key.as_bytes()).unwrap().0;
    let of =
        |server: u32| keys(1000).into_iter().filter(move |key| owner(key) == server).take(count).collect::<Vec<_>>();
    (0..3).flat_map(of).collect()
}

/// More than the buffers of the sockets in between take.
static LARGE: [u8; 900_000] = [b'v'; 900_000];

#[test]
fn large_values_to_a_server_that_hangs_cost_its_own_keys() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (hung, servers) = (listener.local_addr().unwrap().to_string(), servers(2));
    let addresses = [&hung, servers[0].address(), servers[1].address()];
    for (way, threads) in COMPANIES {
        for connections in ["1", "2"] {
            let settings =
                [&SETTINGS[1..], &[("timeout_ms", "2000"), ("connections", connections), ("protocol", "text")]]
                    .concat();
            let make = || client_of(addresses, &settings);
            let keys = keys_in_order(&make(), 10);
            cost_its_own_keys(make, 2000, threads, |client| set_all(way, client, &keys, &LARGE), &keys);
        }
    }
}

/// Hands on what a server says no faster than 64 KB a millisecond, and what it is told at once.
fn slow_proxy(server: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, server) = (listener.local_addr().unwrap().to_string(), server.to_string());
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let (mut near, mut far) = (near.unwrap(), TcpStream::connect(&server).unwrap());
            let (mut told, mut teller) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut teller, &mut told));
            std::thread::spawn(move || {
                let mut chunk = vec![0; 65536];
                while let Ok(came @ 1..) = far.read(&mut chunk) {
                    std::thread::sleep(Duration::from_millis(1));
                    if near.write_all(&chunk[..came]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// What comes has to be read all the time: it is more than fits into the buffers, and comes more slowly than it is read.
#[test]
fn large_answers_come_beside_a_server_that_hangs() {
    for way in WAYS {
        let servers = servers(3);
        let slow = [&servers[1], &servers[2]].map(|server| slow_proxy(server.address()));
        let addresses = [servers[0].address(), &slow[0], &slow[1]];
        let settings = [&SETTINGS[1..], &[("timeout_ms", "3000"), ("connections", "1")]].concat();
        let keys = keys_in_order(&client_of(addresses, &settings), 17);
        let gets: Vec<Operation<'_>> = keys.iter().map(|key| Operation::get(key.as_bytes())).collect();
        let make = || {
            thaw(&servers[0]);
            let client = client_of(addresses, &settings);
            let is_warm = |_| set_all(way, &client, &keys, &LARGE).iter().all(|got| got.status == Status::Ok);
            assert!((0..20).any(is_warm), "{way:?}");
            freeze(&servers[0]);
            client
        };
        cost_its_own_keys(make, 3000, 1, |client| way.run_on(&Queue::new().unwrap(), client, &gets), &keys);
        thaw(&servers[0]);
    }
}

/// Several operations for each server, some of which have a connection to themselves and others wait for that.
#[test]
fn operations_with_connections_of_their_own_take_the_time_of_one_server() {
    let servers = servers(4);
    let proxies: Vec<String> =
        servers.iter().map(|server| delay_proxy(server.address(), Duration::from_millis(10))).collect();
    let raw = |server| Operation { server, value: b"version", ..Operation::new(Command::Raw, b"\r\n") };
    for way in WAYS {
        let time = |addresses: &[String]| {
            let client = client_of(addresses.iter().map(String::as_str), &[("protocol", "text")]);
            let queue = Queue::new().unwrap();
            let of = |server| [raw(server), Operation { server, ..Operation::version() }];
            let all: Vec<_> =
                (1..=addresses.len() as u32).flat_map(|server| [of(server), of(server)].concat()).collect();
            let attempts = (0..4).map(|_| {
                let begun = Instant::now();
                let answers = way.run_on(&queue, &client, &all);
                let took = begun.elapsed();
                for (operation, got) in all.iter().zip(answers) {
                    assert_eq!((got.status, got.server + 1), (Status::Ok, operation.server), "{way:?} {}", got.detail);
                    let said = String::from_utf8(got.value).unwrap();
                    assert!(said.contains("1."), "{way:?} {said:?}");
                }
                took
            });
            attempts.min().unwrap()
        };
        takes_the_time_of_one(&format!("{way:?}"), ROUND_TRIP, &proxies, time);
    }
}
