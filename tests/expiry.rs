//! A ttl means the same over every protocol and in every command: what memcached says that an item has left.

mod common;

use bmemc::server::{Config, Server};
use bmemc::{op_flags, Answers, Client, Command, Operation, Status};
use common::{client, Memcached};
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 24 * 3600;
/// January 2038: later than that no time can be told over text and meta, nor is it over binary.
const LATEST: i64 = i32::MAX as i64;

/// What an item with this ttl has left: `None`, it is gone; -1, for ever.
fn left(ttl: i64, now: i64) -> Option<i64> {
    match ttl {
        0 => Some(-1),
        ..=-1 => None,
        1..=999_999_999 => Some(ttl.min(LATEST - now)),
        _ => (ttl > now).then_some(ttl.min(LATEST) - now),
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

fn run(client: &Client, operation: Operation<'_>) -> Status {
    let mut answers = Answers::new(1);
    client.execute(&[operation], &mut answers).unwrap();
    answers.get(0).unwrap().status
}

/// What the server says that a key has left.
fn asked(meta: &Client, key: &[u8]) -> Option<i64> {
    let answers = meta.meta("mg", key, "t", b"").unwrap();
    let answer = answers.get(0).unwrap();
    (answer.status == Status::Ok).then_some(answer.ttl)
}

/// The commands that give an item a ttl.
const GIVE: [Command; 7] = [
    Command::Set,
    Command::Add,
    Command::Replace,
    Command::Touch,
    Command::GetAndTouch,
    Command::Increment,
    Command::Decrement,
];

fn give(client: &Client, helper: &Client, command: Command, key: &[u8], ttl: i64) -> Status {
    helper.delete(key).unwrap();
    if !matches!(command, Command::Add | Command::Set | Command::Increment | Command::Decrement) {
        helper.set(key, b"old", 0, 50).unwrap();
    }
    run(client, Operation { ttl, value: b"v", op_flags: op_flags::CREATE, ..Operation::new(command, key) })
}

#[test]
fn a_ttl_means_the_same_over_every_protocol() {
    let memcached = Memcached::tcp(&[]);
    let embedded = Server::start(Config::default()).unwrap();
    let begun = now();
    let ttls = [
        0,
        100,
        30 * DAY,
        30 * DAY + 1,
        40 * DAY,
        300 * DAY,
        999_999_999,
        1_000_000_000,
        begun - 10,
        begun + 500,
        begun + 60 * DAY,
        LATEST,
        LATEST + 1,
        -1,
        -DAY,
        0xffff_fffe,
        0xffff_ffff,
        i64::MIN,
        i64::MAX,
    ];
    for address in [memcached.address(), embedded.address()] {
        let helper = client(address, &[("protocol", "meta")]);
        for protocol in ["text", "meta", "binary", "auto"] {
            let client = client(address, &[("protocol", protocol)]);
            for command in GIVE {
                for ttl in ttls {
                    let counter = matches!(command, Command::Increment | Command::Decrement);
                    if counter && protocol == "text" {
                        continue;
                    }
                    let what = format!("{address} {protocol} {} {ttl}", command.name());
                    let status = give(&client, &helper, command, b"key", ttl);
                    assert_eq!(status, Status::Ok, "{what}");
                    let (found, expected) = (asked(&helper, b"key"), left(ttl, now()));
                    let same = match (found, expected) {
                        // The server's clock has whole seconds, and the machine may be slow.
                        (Some(found), Some(expected)) if expected > 0 => (found - expected).abs() <= 3,
                        _ => found == expected,
                    };
                    assert!(same, "{what}: {found:?}, not {expected:?}");
                }
            }
        }
    }
}

#[test]
fn a_second_is_over_after_two() {
    let memcached = Memcached::tcp(&[]);
    let clients: Vec<Client> =
        ["text", "meta", "binary"].iter().map(|name| client(memcached.address(), &[("protocol", *name)])).collect();
    for (number, client) in clients.iter().enumerate() {
        client.set(format!("short{number}").as_bytes(), b"v", 0, 1).unwrap();
        client.set(format!("long{number}").as_bytes(), b"v", 0, 1000).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(2500));
    for number in 0..clients.len() {
        for client in &clients {
            assert_eq!(client.get(format!("short{number}").as_bytes()).unwrap(), None);
            assert!(client.get(format!("long{number}").as_bytes()).unwrap().is_some());
        }
    }
}

#[test]
fn a_delayed_flush_is_the_same_over_every_protocol() {
    for protocol in ["text", "meta", "binary"] {
        let memcached = Memcached::tcp(&[]);
        let client = client(memcached.address(), &[("protocol", protocol)]);
        client.set(b"k", b"v", 0, 0).unwrap();
        client.flush_all(1000).unwrap();
        assert!(client.get(b"k").unwrap().is_some(), "{protocol}");
        client.flush_all(now() + 1000).unwrap();
        client.flush_all(5).unwrap();
        assert!(client.get(b"k").unwrap().is_some(), "{protocol}");
        std::thread::sleep(std::time::Duration::from_millis(5500));
        assert!(client.get(b"k").unwrap().is_none(), "{protocol}");
        client.set(b"k", b"v", 0, 0).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1100));
        client.flush_all(-5).unwrap();
        assert!(client.get(b"k").unwrap().is_none(), "{protocol}");
    }
}
