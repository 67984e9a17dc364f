//! Replicas and fallback: every command in every state that the servers can be in, by calls that wait and by queues. The
//! servers are real.

mod common;

use bmemc::{bits, op_flags, Client, Command, Operation, Queue, Status};
use common::fleet::{client, freeze, servers, thaw, Got, Way, WAYS};
use common::Memcached;
use std::time::{Duration, Instant};

const QUICK: [(&str, &str); 3] = [("mode", "replicated"), ("timeout_ms", "3000"), ("connect_timeout_ms", "1000")];

/// What one server alone says of a key.
fn value_at(server: &Memcached, key: &[u8]) -> Option<Vec<u8>> {
    common::client(server.address(), &[]).get(key).unwrap().map(|item| item.value)
}

fn put(server: &Memcached, key: &[u8], value: &[u8]) {
    common::client(server.address(), &[]).set(key, value, 0, 0).unwrap();
}

/// What is at the two servers before, and what an operation leaves: `-` is nothing.
struct Row {
    command: Command,
    before: [&'static str; 2],
    status: Status,
    /// The counter, or the value's number.
    number: u64,
    after: [&'static str; 2],
    /// The answers were not the same.
    partly: bool,
}

const fn row(
    command: Command,
    before: [&'static str; 2],
    status: Status,
    number: u64,
    after: [&'static str; 2],
    partly: bool,
) -> Row {
    Row { command, before, status, number, after, partly }
}

/// bmemcached's Client over two servers: writes to all, any success is one; reads from the first that has it.
const TABLE: &[Row] = &[
    row(Command::Get, ["1", "2"], Status::Ok, 1, ["1", "2"], false),
    row(Command::Get, ["-", "2"], Status::Ok, 2, ["-", "2"], false),
    row(Command::Get, ["1", "-"], Status::Ok, 1, ["1", "-"], false),
    row(Command::Get, ["-", "-"], Status::NotFound, 0, ["-", "-"], false),
    row(Command::GetAndTouch, ["-", "2"], Status::Ok, 2, ["-", "2"], false),
    row(Command::GetAndTouch, ["-", "-"], Status::NotFound, 0, ["-", "-"], false),
    row(Command::Set, ["1", "-"], Status::Ok, 0, ["7", "7"], false),
    row(Command::Add, ["-", "-"], Status::Ok, 0, ["7", "7"], false),
    row(Command::Add, ["1", "-"], Status::Ok, 0, ["1", "7"], true),
    row(Command::Add, ["1", "2"], Status::NotStored, 0, ["1", "2"], false),
    row(Command::Replace, ["1", "2"], Status::Ok, 0, ["7", "7"], false),
    row(Command::Replace, ["-", "2"], Status::Ok, 0, ["-", "7"], true),
    row(Command::Replace, ["-", "-"], Status::NotStored, 0, ["-", "-"], false),
    row(Command::Append, ["1", "2"], Status::Ok, 0, ["17", "27"], false),
    row(Command::Prepend, ["1", "-"], Status::Ok, 0, ["71", "-"], true),
    row(Command::Delete, ["1", "2"], Status::Ok, 0, ["-", "-"], false),
    row(Command::Delete, ["-", "2"], Status::Ok, 0, ["-", "-"], true),
    row(Command::Delete, ["-", "-"], Status::NotFound, 0, ["-", "-"], false),
    row(Command::Increment, ["1", "1"], Status::Ok, 6, ["6", "6"], false),
    row(Command::Increment, ["1", "8"], Status::Ok, 6, ["6", "13"], true),
    row(Command::Increment, ["-", "8"], Status::Ok, 13, ["-", "13"], true),
    row(Command::Increment, ["-", "-"], Status::NotFound, 0, ["-", "-"], false),
    row(Command::Increment, ["x", "8"], Status::Ok, 13, ["x", "13"], true),
    row(Command::Increment, ["8", "-"], Status::Ok, 13, ["13", "-"], true),
    row(Command::Decrement, ["9", "-"], Status::Ok, 4, ["4", "-"], true),
    row(Command::Decrement, ["-", "-"], Status::NotFound, 0, ["-", "-"], false),
    row(Command::Append, ["-", "2"], Status::Ok, 0, ["-", "27"], true),
    row(Command::Append, ["-", "-"], Status::NotStored, 0, ["-", "-"], false),
    row(Command::Prepend, ["1", "2"], Status::Ok, 0, ["71", "72"], false),
    row(Command::Set, ["-", "-"], Status::Ok, 0, ["7", "7"], false),
    row(Command::GetAndTouch, ["1", "-"], Status::Ok, 1, ["1", "-"], false),
    row(Command::Decrement, ["9", "9"], Status::Ok, 4, ["4", "4"], false),
    row(Command::Touch, ["1", "2"], Status::Ok, 0, ["1", "2"], false),
    row(Command::Touch, ["-", "2"], Status::Ok, 0, ["-", "2"], true),
    row(Command::Touch, ["-", "-"], Status::NotFound, 0, ["-", "-"], false),
];

fn operation(command: Command, key: &[u8]) -> Operation<'_> {
    let stores = matches!(command, Command::Set | Command::Add | Command::Replace | Command::Append | Command::Prepend);
    let value: &[u8] = if stores { b"7" } else { b"" };
    Operation {
        value,
        delta: 5,
        ttl: if command == Command::GetAndTouch { 100 } else { 0 },
        ..Operation::new(command, key)
    }
}

fn number_of(got: &Got) -> u64 {
    match got.value.is_empty() {
        true => got.number,
        false => String::from_utf8_lossy(&got.value).parse().unwrap(),
    }
}

#[test]
fn every_command_over_replicas_is_answered_as_its_table_says() {
    let servers = servers(2);
    for protocol in ["text", "meta", "binary"] {
        let client = client(&servers, &[&QUICK[..], &[("protocol", protocol)]].concat());
        for (at, row) in TABLE.iter().enumerate() {
            for way in WAYS {
                let key = format!("{protocol}:{at}:{way:?}");
                for (server, before) in servers.iter().zip(row.before) {
                    if before != "-" {
                        put(server, key.as_bytes(), before.as_bytes());
                    }
                }
                let got = way.one(&client, operation(row.command, key.as_bytes()));
                let what = format!("{:?} of {:?}, {way:?} {protocol}: {got:?}", row.command, row.before);
                assert_eq!((got.status, number_of(&got)), (row.status, row.number), "{what}");
                assert_eq!(got.bits & bits::PARTLY != 0, row.partly, "{what}");
                for (server, after) in servers.iter().zip(row.after) {
                    let after = (after != "-").then(|| after.as_bytes().to_vec());
                    let now = value_at(server, key.as_bytes());
                    assert_eq!(now.map(|value| value.trim_ascii_end().to_vec()), after, "{what}");
                }
            }
        }
    }
}

/// bmemcached's incr makes a counter that is not there, on each replica that lacks it: counts differ then, and bit PARTLY
/// says so.
#[test]
fn what_increment_creates_it_creates_on_every_replica_that_lacks_it() {
    let servers = servers(2);
    let rows: [([&str; 2], u64, [&str; 2], bool); 5] = [
        (["-", "-"], 3, ["3", "3"], false),
        (["-", "8"], 3, ["3", "13"], true),
        (["8", "-"], 13, ["13", "3"], true),
        (["8", "8"], 13, ["13", "13"], false),
        (["x", "8"], 13, ["x", "13"], true),
    ];
    for protocol in ["text", "meta", "binary"] {
        let client = client(&servers, &[&QUICK[..], &[("protocol", protocol)]].concat());
        for (at, (before, number, after, partly)) in rows.into_iter().enumerate() {
            for way in WAYS {
                let key = format!("creates:{protocol}:{at}:{way:?}");
                for (server, before) in servers.iter().zip(before).filter(|it| it.1 != "-") {
                    put(server, key.as_bytes(), before.as_bytes());
                }
                let creates = Operation {
                    initial: 3,
                    op_flags: op_flags::CREATE,
                    ..operation(Command::Increment, key.as_bytes())
                };
                let got = way.one(&client, creates);
                let held = |server: &Memcached| value_at(server, key.as_bytes()).map(|it| it.trim_ascii_end().to_vec());
                let now: Vec<_> = servers.iter().map(held).collect();
                let wanted = |values: [&str; 2]| values.map(|it| (it != "-").then(|| it.as_bytes().to_vec()));
                if protocol == "text" {
                    assert_eq!((got.status, now), (Status::Unsupported, wanted(before).to_vec()), "{before:?} {way:?}");
                    continue;
                }
                assert_eq!((got.status, got.number), (Status::Ok, number), "{before:?} {way:?} {protocol}");
                assert_eq!(got.bits & bits::PARTLY != 0, partly, "{before:?} {way:?} {protocol}");
                assert_eq!(now, wanted(after), "{before:?} {way:?} {protocol}");
            }
        }
    }
}

#[test]
fn a_replica_that_is_down_keeps_nobody_from_the_others() {
    let mut servers = servers(2);
    let client = client(&servers, &QUICK);
    for way in WAYS {
        for dead in [0, 1] {
            servers.iter().for_each(|server| put(server, b"there", b"1"));
            servers[dead].stop();
            let live = 1 - dead as u32;
            let get = way.one(&client, Operation::get(b"there"));
            assert_eq!((get.status, get.value.as_slice(), get.server), (Status::Ok, &b"1"[..], live), "{way:?} {dead}");
            let miss = way.one(&client, Operation::get(b"nowhere"));
            assert_eq!(miss.status, Status::NotFound, "{way:?} {dead}: a replica has said so");
            let set = way.one(&client, Operation::set(b"there", b"2", 0));
            assert_eq!((set.status, set.bits & bits::PARTLY), (Status::Ok, bits::PARTLY), "{way:?} {dead}: {set:?}");
            let incr = way.one(&client, operation(Command::Increment, b"there"));
            assert_eq!((incr.status, incr.number), (Status::Ok, 7), "{way:?} {dead}");
            let delete = way.one(&client, Operation::delete(b"there"));
            assert_eq!(delete.status, Status::Ok, "{way:?} {dead}");
            let many: Vec<_> = [&b"a"[..], b"b", b"c"].iter().map(|key| Operation::set(key, b"x", 0)).collect();
            assert!(way.run(&client, &many).iter().all(|got| got.status == Status::Ok));
            // A command without a key has failed unless all have done it.
            let flush = way.one(&client, Operation::new(Command::FlushAll, b""));
            assert_eq!(flush.status, Status::Connection, "{way:?} {dead}: {flush:?}");
            servers[dead].start();
        }
        servers.iter_mut().for_each(Memcached::stop);
        for command in [Command::Get, Command::Set, Command::Delete, Command::Increment, Command::GetAndTouch] {
            let got = way.one(&client, operation(command, b"k"));
            assert_eq!(got.status, Status::Connection, "{command:?} {way:?}: a failure is no miss: {got:?}");
            assert!(!got.detail.is_empty());
        }
        servers.iter_mut().for_each(Memcached::start);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// An item that several servers hold comes from each of them; who wants it once asks one.
#[test]
fn a_dump_has_what_every_replica_holds() {
    let servers = servers(2);
    let both = client(&servers, &[("mode", "replicated"), ("protocol", "text")]);
    let keys: Vec<String> = (0..20).map(|number| format!("copied{number}")).collect();
    keys.iter().for_each(|key| both.set(key.as_bytes(), b"v", 0, 0).unwrap());
    let wanted = |servers: &[u32]| {
        let pairs = servers.iter().flat_map(|server| keys.iter().map(|key| (*server, key.clone())));
        pairs.collect::<std::collections::BTreeSet<_>>()
    };
    let found = |server: u32| -> std::collections::BTreeSet<(u32, String)> {
        let operation = Operation { server, timeout_ms: 20_000, ..Operation::new(Command::Metadump, b"all") };
        let items = both.dump_of(&operation).unwrap().flatten();
        items.map(|(server, entry)| (server, String::from_utf8(entry.key).unwrap())).collect()
    };
    for (server, expected) in [(0, wanted(&[0, 1])), (1, wanted(&[0])), (2, wanted(&[1]))] {
        // memcached leaves out an item that somebody else holds at that moment, and dumps for one at a time.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while found(server) != expected {
            assert!(std::time::Instant::now() < until, "{server}: {:?}", found(server));
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
    let error = both.dump_of(&Operation { server: 3, ..Operation::new(Command::Metadump, b"") }).unwrap().next();
    let error = error.unwrap().unwrap_err();
    assert!(error.status() == Status::Argument && error.message().contains("the client has 0, 1"), "{error}");
    assert_eq!(both.dump_of(&Operation::get(b"k")).err().unwrap().status(), Status::Argument);
}

#[test]
fn what_would_leave_replicas_different_is_refused() {
    let servers = servers(2);
    let client = client(&servers, &QUICK);
    for way in WAYS {
        put(&servers[0], b"k", b"1");
        put(&servers[1], b"k", b"1");
        let with_cas = Operation { op_flags: op_flags::WANT_CAS, ..Operation::get(b"k") };
        let cas = way.one(&client, with_cas).cas;
        assert_ne!(cas, 0, "{way:?}: the cas of the one that was read");
        for refused in [
            Operation { cas, ..Operation::set(b"k", b"2", 0) },
            Operation { cas, ..Operation::delete(b"k") },
            Operation { op_flags: op_flags::WANT_CAS, ..Operation::set(b"k", b"2", 0) },
            Operation { cas, ..operation(Command::Increment, b"k") },
            Operation { cas, ..operation(Command::Append, b"k") },
            Operation { op_flags: op_flags::WANT_CAS, ..operation(Command::Decrement, b"k") },
            // In the words of the meta protocol too.
            Operation { meta_flags: b"T9 C5", ..Operation::set(b"k", b"2", 0) },
            Operation { meta_flags: b"c", ..Operation::delete(b"k") },
            Operation { meta_flags: b" ms C5", value: b"2", ..Operation::new(Command::Meta, b"k") },
            Operation { meta_flags: b"ma c", ..Operation::new(Command::Meta, b"k") },
        ] {
            let got = way.one(&client, refused);
            assert_eq!((got.status, got.bits), (Status::Unsupported, bits::NOT_SENT), "{way:?}: {refused:?}");
            assert!(got.detail.contains("mode=replicated has 2 servers"), "{}", got.detail);
        }
        assert!(servers.iter().all(|server| value_at(server, b"k").unwrap() == b"1"), "{way:?}");
        // A read may ask for the cas of the one that has it, and what has none goes to all.
        let read = Operation { meta_flags: b" mg v c", ..Operation::new(Command::Meta, b"k") };
        let got = way.one(&client, read);
        assert_eq!((got.status, got.value.as_slice()), (Status::Ok, &b"1"[..]), "{way:?}: {got:?}");
        let write = Operation { meta_flags: b"ms T0", value: b"1", ..Operation::new(Command::Meta, b"k") };
        assert_eq!(way.one(&client, write).status, Status::Ok, "{way:?}");
        let of_first = Operation { server: 1, op_flags: op_flags::WANT_CAS, ..Operation::get(b"k") };
        assert_ne!(way.one(&client, of_first).cas, cas, "{way:?}: it was written");
        // Of one server, that is what is asked for.
        let of_first =
            way.one(&client, Operation { server: 1, op_flags: op_flags::WANT_CAS, ..Operation::get(b"k") }).cas;
        let swap = Operation { server: 1, cas: of_first, ..Operation::set(b"k", b"2", 0) };
        assert_eq!(way.one(&client, swap).status, Status::Ok, "{way:?}");
    }
}

/// One operation for each server: together by a call that waits, by a queue as one operation that names each.
fn on_each(way: Way, client: &Client, operation: Operation<'_>) -> Vec<(u32, Status, Vec<u8>)> {
    let got = match way {
        Way::Blocking => client.execute_each(&operation).unwrap().iter().map(Got::from_answer).collect(),
        Way::Queued => {
            let named = client.servers().into_iter().map(|(index, _)| Operation { server: index + 1, ..operation });
            way.run(client, &named.collect::<Vec<_>>())
        }
    };
    got.into_iter().map(|got| (got.server, got.status, got.value)).collect()
}

#[test]
fn each_replica_tells_its_own_result_where_that_is_asked_for() {
    let none = Vec::new;
    for way in WAYS {
        let mut servers = servers(3);
        let client = client(&servers, &QUICK);
        put(&servers[1], b"k", b"x");
        let get = on_each(way, &client, Operation::get(b"k"));
        let missed = |server| (server, Status::NotFound, none());
        assert_eq!(get, [missed(0), (1, Status::Ok, b"x".to_vec()), missed(2)], "{way:?}: not the first that has it");
        let delete = on_each(way, &client, Operation::delete(b"k"));
        assert_eq!(delete, [missed(0), (1, Status::Ok, none()), missed(2)], "{way:?}");
        // What replicas refuse together, each of them does alone: each has a cas of its own.
        let set = Operation { op_flags: op_flags::WANT_CAS, ..Operation::set(b"k", b"1", 0) };
        let stored = on_each(way, &client, set);
        assert_eq!(stored, [0, 1, 2].map(|server| (server, Status::Ok, none())), "{way:?}");
        servers[2].stop();
        let delete = on_each(way, &client, Operation::delete(b"k"));
        let status: Vec<_> = delete.iter().map(|(server, status, _)| (*server, *status)).collect();
        assert_eq!(status, [(0, Status::Ok), (1, Status::Ok), (2, Status::Connection)], "{way:?}");
    }
}

// ---- Fallback ----

fn two_tiers(settings: &[(&str, &str)]) -> (Vec<Memcached>, Client, [Client; 2]) {
    let servers = servers(3);
    let quick = [("timeout_ms", "3000"), ("connect_timeout_ms", "1000")];
    // The old one has two servers, the new one has one.
    let new = client(&servers[..1], &[&quick, settings].concat());
    let old = client(&servers[1..], &quick);
    let fallback = Client::new_fallback(&[new.clone(), old.clone()]).unwrap();
    (servers, fallback, [new, old])
}

fn set(client: &Client, key: &str, value: &str) {
    client.set(key.as_bytes(), value.as_bytes(), 0, 0).unwrap();
}

fn get(client: &Client, key: &str) -> Option<String> {
    client.get(key.as_bytes()).unwrap().map(|item| String::from_utf8(item.value).unwrap())
}

#[test]
fn a_fallback_client_reads_each_key_where_it_is_and_writes_to_the_first() {
    let (_servers, fallback, [new, old]) = two_tiers(&[]);
    for way in WAYS {
        let name = |number: usize| format!("{way:?}:{number}");
        let keys: Vec<String> = (0..40).map(name).collect();
        for (number, key) in keys.iter().enumerate() {
            if number % 4 == 0 || number % 4 == 3 {
                set(&new, key, "new");
            }
            if number % 4 == 1 || number % 4 == 3 {
                set(&old, key, "old");
            }
        }
        let with_cas = |key: &'_ String| -> bool { key.len() % 2 == 0 };
        let gets: Vec<_> = keys
            .iter()
            .map(|key| Operation {
                op_flags: if with_cas(key) { op_flags::WANT_CAS } else { 0 },
                ..Operation::get(key.as_bytes())
            })
            .collect();
        for (number, got) in way.run(&fallback, &gets).into_iter().enumerate() {
            let (status, value): (Status, &[u8]) = match number % 4 {
                0 | 3 => (Status::Ok, b"new"),
                1 => (Status::Ok, b"old"),
                _ => (Status::NotFound, b""),
            };
            assert_eq!((got.status, got.value.as_slice()), (status, value), "{number} {way:?}");
            assert_eq!(
                got.cas != 0,
                with_cas(&keys[number]) && status == Status::Ok,
                "gets fall back too: {number} {way:?}"
            );
        }
        assert_eq!(get(&new, &keys[1]), None, "nothing is copied that was not asked for");
        // Writes go to the first, whatever the old one has.
        let key = &keys[1];
        for (command, status) in [
            (Command::Replace, Status::NotStored),
            (Command::Append, Status::NotStored),
            (Command::Increment, Status::NotFound),
            (Command::Touch, Status::NotFound),
            (Command::Delete, Status::NotFound),
            (Command::GetAndTouch, Status::NotFound),
            (Command::Add, Status::Ok),
        ] {
            let got = way.one(&fallback, operation(command, key.as_bytes()));
            assert_eq!(got.status, status, "{command:?} {way:?}");
        }
        assert_eq!((get(&new, key).unwrap(), get(&old, key).unwrap()), ("7".into(), "old".into()), "{way:?}");
        let flush = way.one(&fallback, Operation::new(Command::FlushAll, b""));
        assert_eq!(flush.status, Status::Ok);
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!((get(&new, key), get(&old, key).as_deref()), (None, Some("old")), "{way:?}");
    }
}

#[test]
fn what_an_older_client_had_is_put_into_the_first_where_that_is_wanted() {
    let (_servers, fallback, [new, old]) = two_tiers(&[("fallback_copy_ttl", "100")]);
    for way in WAYS {
        let key = format!("copied:{way:?}");
        old.set(key.as_bytes(), b"value", 77, 0).unwrap();
        set(&new, "other", "new");
        assert_eq!(way.one(&fallback, Operation::get(key.as_bytes())).value, b"value");
        let found = (0..200).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            new.get(key.as_bytes()).unwrap()
        });
        let item = found.unwrap_or_else(|| panic!("{way:?}: nothing was put into the first"));
        assert_eq!((item.value.as_slice(), item.flags), (&b"value"[..], 77), "{way:?}");
        let meta = Operation { meta_flags: b"mg t", ..Operation::new(Command::Meta, key.as_bytes()) };
        let mut answers = bmemc::Answers::new(1);
        new.execute(&[meta], &mut answers).unwrap();
        let ttl = answers.get(0).unwrap().ttl;
        assert!((1..=100).contains(&ttl), "{way:?}: {ttl}");
        assert_eq!(way.one(&fallback, Operation::get(key.as_bytes())).value, b"value");
    }
}

#[test]
fn a_client_that_fails_does_not_hide_the_next_and_is_no_miss() {
    let (mut servers, fallback, [_new, old]) = two_tiers(&[]);
    set(&old, "there", "old");
    servers[0].stop();
    for way in WAYS {
        let there = way.one(&fallback, Operation::get(b"there"));
        assert_eq!((there.status, there.value.as_slice()), (Status::Ok, &b"old"[..]), "{way:?}");
        let nowhere = way.one(&fallback, Operation::get(b"nowhere"));
        assert_eq!(nowhere.status, Status::Connection, "{way:?}: the new one may have it");
        assert!(nowhere.detail.contains(servers[0].address()), "{way:?}: {}", nowhere.detail);
        let write = way.one(&fallback, Operation::set(b"there", b"x", 0));
        assert_eq!(write.status, Status::Connection, "{way:?}");
    }
    servers[0].start();
    servers[1].stop();
    servers[2].stop();
    for way in WAYS {
        let nowhere = way.one(&fallback, Operation::get(b"nowhere"));
        assert_eq!(nowhere.status, Status::Connection, "{way:?}: the old one may have it");
    }
}

#[test]
fn a_fallback_client_holds_its_clients_and_ends_alone() {
    let (_servers, fallback, [new, old]) = two_tiers(&[]);
    set(&old, "k", "old");
    drop((new, old.clone()));
    for way in WAYS {
        assert_eq!(way.one(&fallback, Operation::get(b"k")).value, b"old", "{way:?}");
    }
    fallback.close();
    assert_eq!(fallback.get(b"k").unwrap_err().status(), Status::Closed);
    assert_eq!(Way::Blocking.one(&old, Operation::get(b"k")).value, b"old", "its clients go on");
    let queue = bmemc::Queue::new().unwrap();
    let (accepted, stopped) = queue.submit(&fallback, [(1, Operation::get(b"k"))]);
    assert_eq!((accepted, stopped.unwrap_err().status()), (0, Status::Closed));
    assert_eq!(Client::new_fallback(&[]).map(drop).unwrap_err().status(), Status::Argument);
}

#[test]
fn a_client_that_is_closed_ends_what_a_fallback_client_asks_of_it() {
    for way in WAYS {
        for closed in 0..3 {
            let servers = servers(2);
            let clients: Vec<Client> = servers.iter().map(|one| client(std::slice::from_ref(one), &[])).collect();
            let fallback = Client::new_fallback(&clients).unwrap();
            let all = [&clients[0], &clients[1], &fallback];
            set(&clients[0], "new", "new");
            set(&clients[1], "k", "old");
            assert_eq!(way.one(&fallback, Operation::get(b"k")).value, b"old");
            // A read of what neither has waits for the one that hangs, be it the first or the older one.
            let hangs = closed % 2;
            freeze(&servers[hangs]);
            let (answers, took) = std::thread::scope(|scope| {
                let gets: Vec<_> = (0..20).map(|_| Operation::get(b"none")).collect();
                let fallback = &fallback;
                let call = scope.spawn(move || way.run(fallback, &gets));
                std::thread::sleep(Duration::from_millis(100));
                let begun = Instant::now();
                all[closed].close();
                if closed == 2 {
                    // Connections that its clients have too are theirs: what waits there is still answered.
                    thaw(&servers[hangs]);
                }
                (call.join().unwrap(), begun.elapsed())
            });
            thaw(&servers[hangs]);
            let ends = |got: &Got| got.status == Status::Closed || closed == 2 && got.status == Status::NotFound;
            assert!(answers.len() == 20 && answers.iter().all(ends), "{way:?} {closed}: {answers:?}");
            assert!(took < Duration::from_secs(3), "{way:?} {closed}: {took:?}");
            if closed < 2 {
                // What the first one has is still read where the older one alone was closed.
                let status = |key: &[u8]| match way {
                    Way::Blocking => way.one(&fallback, Operation::get(key)).status,
                    Way::Queued => {
                        let (queue, mut fetched) = (Queue::new().unwrap(), Vec::new());
                        // Where it cannot set out it is not taken.
                        match queue.submit(&fallback, [(1, Operation::get(key))]).1 {
                            Err(refused) => refused.status(),
                            Ok(()) => queue.fetch(&mut fetched, 1, -1).map(|_| fetched[0].status).unwrap(),
                        }
                    }
                };
                let (new, old) = (status(b"new"), status(b"k"));
                assert_eq!(new, if closed == 1 { Status::Ok } else { Status::Closed }, "{way:?} {closed}");
                assert_eq!(old, Status::Closed, "{way:?} {closed}: no miss, and no hang");
            }
            all.iter().for_each(|client| client.close());
            let open = |client: &&Client| client.pool_figures(None).unwrap().open();
            assert_eq!(all.iter().map(open).sum::<u64>(), 0, "{way:?} {closed}: connections are left");
        }
    }
}
