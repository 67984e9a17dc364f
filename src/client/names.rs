//! Names whose addresses change while a client uses them. The resolver alone is not the system's; the servers are embedded
//! ones, at several addresses of this machine with one port.

use crate::client::{Client, Options};
use crate::error::Status;
use crate::net::zone;
use crate::operation::Operation;
use crate::server::{Config, Server};
use crate::Queue;
use std::time::{Duration, Instant};

/// Servers at these addresses of this machine, with one port.
fn servers(hosts: &[&str]) -> (Vec<Server>, u16) {
    for _ in 0..100 {
        let first = Server::start(Config { listen: hosts[0].into(), ..Config::default() }).unwrap();
        let port = first.address().rsplit_once(':').unwrap().1.parse().unwrap();
        let start = |host: &&str| Server::start(Config { listen: (*host).into(), port, ..Config::default() }).ok();
        if let Some(others) = hosts[1..].iter().map(start).collect::<Option<Vec<_>>>() {
            return (std::iter::once(first).chain(others).collect(), port);
        }
    }
    panic!("no port is free at all of {hosts:?}");
}

fn client(servers: &[&str], settings: &[(&str, &str)]) -> Client {
    let mut options = Options::new();
    servers.iter().for_each(|server| options.add_server(server, "", 1).unwrap());
    settings.iter().for_each(|(name, value)| options.set(name, value).unwrap());
    Client::new(options).unwrap()
}

/// Sets a key, by a call that waits or by a queue; what went wrong, if anything.
fn store(client: &Client, queue: Option<&Queue>, key: &str) -> Status {
    let operation = Operation::set(key.as_bytes(), b"value", 0);
    let Some(queue) = queue else {
        return client.set(key.as_bytes(), b"value", 0, 0).map_or_else(|error| error.status(), |()| Status::Ok);
    };
    queue.submit(client, [(1, operation)]).1.unwrap();
    let mut answers = Vec::new();
    queue.fetch(&mut answers, 1, -1).unwrap();
    answers[0].status
}

#[test]
fn a_name_is_looked_up_again_when_its_server_is_lost_and_no_key_moves() {
    for queued in [false, true] {
        let (queue, name) = (queued.then(|| Queue::new().unwrap()), format!("moving-{queued}.test"));
        zone::put(&name, &["127.0.0.1"]);
        zone::put("staying.test", &["127.0.0.3"]);
        let (mut servers, port) = servers(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
        let client = client(&[&format!("{name}:{port}"), &format!("staying.test:{port}")], &[("failover", "none")]);
        let keys: Vec<String> = (0..100).map(|number| format!("key:{number}")).collect();
        let owners = || keys.iter().map(|key| client.server_for(key.as_bytes()).unwrap().0).collect::<Vec<_>>();
        let before = owners();
        assert!(keys.iter().all(|key| store(&client, queue.as_ref(), key) == Status::Ok));

        zone::put(&name, &["127.0.0.2"]);
        servers.remove(0);
        let begun = Instant::now();
        while !keys.iter().all(|key| store(&client, queue.as_ref(), key) == Status::Ok) {
            assert!(begun.elapsed() < Duration::from_secs(30));
        }
        assert_eq!(owners(), before);
        let moved = self::client(&[&format!("127.0.0.2:{port}")], &[]);
        for (key, owner) in keys.iter().zip(before) {
            assert_eq!(moved.get(key.as_bytes()).unwrap().is_some(), owner == 0, "{key}");
        }
    }
}

#[test]
fn discovery_follows_the_addresses_of_a_name() {
    for queued in [false, true] {
        let (queue, name) = (queued.then(|| Queue::new().unwrap()), format!("found-{queued}.test"));
        zone::put(&name, &["127.0.0.2", "127.0.0.1"]);
        let (_servers, port) = servers(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
        let settings = [("discovery", "dns"), ("discovery_interval_ms", "10")];
        let client = client(&[&format!("{name}:{port}")], &settings);
        let at = |hosts: &[&str]| hosts.iter().map(|host| format!("{host}:{port}")).collect::<Vec<_>>();
        let names = || {
            let mut names: Vec<String> = client.servers().into_iter().map(|(_, server)| server.name).collect();
            names.sort();
            names
        };
        let until = |hosts: &[&str]| {
            let begun = Instant::now();
            while names() != at(hosts) {
                assert_eq!(store(&client, queue.as_ref(), "key"), Status::Ok);
                assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", names());
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        until(&["127.0.0.1", "127.0.0.2"]);
        zone::put(&name, &["127.0.0.3", "127.0.0.1"]);
        until(&["127.0.0.1", "127.0.0.3"]);
        // A name that has no address any more keeps those that it had.
        zone::put(&name, &[]);
        for _ in 0..50 {
            assert_eq!(store(&client, queue.as_ref(), "key"), Status::Ok);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(names(), at(&["127.0.0.1", "127.0.0.3"]));
    }
}
