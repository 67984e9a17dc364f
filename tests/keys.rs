//! Keys: what stands before them, what becomes of long ones, which bytes they may have, and options that say how every
//! operation goes.

mod common;

use bmemc::{op_flags, Answers, Client, Command, DumpEntry, Operation, Queue, Status};
use common::{client, Memcached};

const PROTOCOLS: [&str; 4] = ["auto", "text", "meta", "binary"];

fn plain(server: &Memcached) -> Client {
    client(server.address(), &[("protocol", "binary")])
}

fn run(client: &Client, operations: &[Operation<'_>]) -> Answers {
    let mut answers = Answers::new(operations.len());
    client.execute(operations, &mut answers).unwrap();
    answers
}

#[test]
fn a_prefix_stands_before_every_key() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let client = client(server.address(), &[("protocol", protocol), ("key_prefix", "px:")]);
        client.set(b"k", protocol.as_bytes(), 3, 0).unwrap();
        assert_eq!(plain(&server).get(b"px:k").unwrap().unwrap().value, protocol.as_bytes());
        assert_eq!(client.get(b"k").unwrap().unwrap().value, protocol.as_bytes());
        assert_eq!(
            client.get_many(&[b"k", b"none"]).unwrap().iter().map(|a| a.status).collect::<Vec<_>>(),
            [Status::Ok, Status::NotFound]
        );
        // It counts for the length.
        client.set(&[b'x'; 247], b"v", 0, 0).unwrap();
        assert_eq!(client.set(&[b'x'; 248], b"v", 0, 0).unwrap_err().status(), Status::Argument);
        assert_eq!(client.get(b"").unwrap_err().status(), Status::Argument);
        let queue = Queue::new().unwrap();
        assert_eq!(queue.submit(&client, [(1, Operation::get(b"k"))]).0, 1);
        let mut answers = Vec::new();
        queue.fetch(&mut answers, 1, -1).unwrap();
        assert_eq!((answers[0].status, &answers[0].value[..]), (Status::Ok, protocol.as_bytes()), "{protocol}");
        assert!(client.delete(b"k").unwrap());
    }
}

#[test]
fn keys_that_come_back_have_no_prefix() {
    let server = Memcached::tcp(&[]);
    let client = client(server.address(), &[("protocol", "meta"), ("key_prefix", "px:")]);
    client.set(b"k", b"v", 0, 0).unwrap();
    let answers = run(&client, &[Operation { meta_flags: b"k", ..Operation::get(b"k") }]);
    assert_eq!(answers.get(0).unwrap().key, b"k");
    // Nor do those that went by base64, which the caller gets as they were.
    for (prefix, key) in [("", &b"a b\x00\xff"[..]), ("px:", b"a b\x00\xff")] {
        let settings = [("protocol", "meta"), ("key_prefix", prefix), ("key_bytes", "any")];
        let client = common::client(server.address(), &settings);
        client.set(key, b"v", 0, 0).unwrap();
        let answers = run(&client, &[Operation { meta_flags: b"k", ..Operation::get(key) }]);
        assert_eq!((answers.get(0).unwrap().status, answers.get(0).unwrap().key), (Status::Ok, key), "{prefix}");
    }
}

/// The lines of a dump that is collected, by execute or by queue.
fn collected(client: &Client, by_queue: bool) -> Vec<u8> {
    let operation = Operation { server: 1, ..Operation::new(Command::Metadump, b"") };
    if !by_queue {
        return run(client, &[operation]).get(0).unwrap().value.bytes().to_vec();
    }
    let queue = Queue::new().unwrap();
    assert_eq!(queue.submit(client, [(1, operation)]).0, 1);
    let mut answers = Vec::new();
    queue.fetch(&mut answers, 1, -1).unwrap();
    answers.remove(0).value
}

#[test]
fn a_dump_has_a_clients_own_keys_without_their_prefix() {
    let server = Memcached::tcp(&[]);
    plain(&server).set(b"px", b"v", 0, 0).unwrap();
    plain(&server).set(b"px:", b"v", 0, 0).unwrap();
    plain(&server).set(b"other", b"v", 0, 0).unwrap();
    let own: [&[u8]; 3] = [b"k", b"px:k", b"a%20b"];
    // memcached leaves out an item that somebody else holds at that moment, and dumps for one at a time.
    let eventually = |what: &str, look: &dyn Fn() -> Vec<Vec<u8>>| {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while look() != [own[2], own[0], own[1]] {
            assert!(std::time::Instant::now() < until, "{what}: {:?}", look());
        }
    };
    for mode in ["single", "hashed", "replicated"] {
        let settings = [("protocol", "text"), ("key_prefix", "px:"), ("mode", mode)];
        let client = of_servers(&[server.address()], &settings);
        own.iter().for_each(|key| client.set(key, b"v", 0, 0).unwrap());
        let sorted = |mut entries: Vec<DumpEntry>| {
            entries.sort_by(|one, other| one.key.cmp(&other.key));
            assert!(entries.iter().all(|entry| !entry.line.starts_with(b"key=px%3A") || entry.key == own[1]));
            entries.into_iter().map(|entry| entry.key).collect::<Vec<_>>()
        };
        eventually(mode, &|| sorted(client.metadump(b"").flatten().map(|(_, entry)| entry).collect()));
        for by_queue in [false, true] {
            let entries = || {
                let lines = collected(&client, by_queue);
                sorted(lines.split(|byte| *byte == b'\n').filter_map(DumpEntry::parse).collect())
            };
            eventually(&format!("{mode}, by queue: {by_queue}"), &entries);
        }
    }
}

#[test]
fn keys_of_a_queues_answers_have_no_prefix() {
    let servers = [Memcached::tcp(&[]), Memcached::tcp(&[])];
    for (count, mode) in [(1, "single"), (2, "hashed"), (2, "replicated")] {
        for codec in ["none", "pymemcache"] {
            let addresses: Vec<&str> = servers[..count].iter().map(|server| server.address()).collect();
            let settings = [("protocol", "meta"), ("key_prefix", "px:"), ("mode", mode), ("codec", codec)];
            let client = of_servers(&addresses, &settings);
            client.set(b"k", b"v", 0, 0).unwrap();
            let queue = Queue::new().unwrap();
            let get = Operation { meta_flags: b"k", ..Operation::get(b"k") };
            assert_eq!(queue.submit(&client, [(1, get)]).0, 1);
            let mut answers = Vec::new();
            queue.fetch(&mut answers, 1, -1).unwrap();
            assert_eq!((answers[0].status, &answers[0].key[..]), (Status::Ok, &b"k"[..]), "{mode} {codec}");
        }
    }
}

#[test]
fn long_keys_become_what_dalli_makes_of_them() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let (long, longer) = ([b'a'; 251], [&[b'a'; 251][..], b"b"].concat());
        let hashed = client(server.address(), &[("protocol", protocol), ("long_keys", "hash")]);
        hashed.set(&long, b"1", 0, 0).unwrap();
        hashed.set(&longer, b"2", 0, 0).unwrap();
        hashed.set(&[b'a'; 250], b"3", 0, 0).unwrap();
        // MD5 of 251 letters a, by md5sum.
        let made = [&[b'a'; 212][..], b":md5:21f5b107cda33036590a19419afd7fb6"].concat();
        assert_eq!(made.len(), 249);
        assert_eq!(plain(&server).get(&made).unwrap().map(|item| item.value), Some(b"1".to_vec()), "{protocol}");
        assert_eq!(hashed.get(&longer).unwrap().unwrap().value, b"2");
        assert_eq!(plain(&server).get(&[b'a'; 250]).unwrap().unwrap().value, b"3");
        assert_eq!(plain(&server).get(&long).unwrap_err().status(), Status::Argument);
        let settings = [("protocol", protocol), ("long_keys", "hash"), ("key_prefix", "ns:")];
        let prefixed = client(server.address(), &settings);
        prefixed.set(&[b'a'; 248], b"4", 0, 0).unwrap();
        // MD5 of ns: and 248 letters a.
        let made = [b"ns:", &[b'a'; 210][..], b":md5:39162a41bce5ed2634b59e014147693b"].concat();
        assert_eq!(made.len(), 250);
        assert_eq!(plain(&server).get(&made).unwrap().map(|item| item.value), Some(b"4".to_vec()), "{protocol}");
        plain(&server).delete(&made).unwrap();
    }
}

/// Where it is cut there may be half a character, and what goes as base64 has less room.
#[test]
fn long_keys_of_any_bytes_are_shortened_so_that_they_fit() {
    let server = Memcached::tcp(&[]);
    let keys = [
        "é".repeat(126).into_bytes(),
        "日".repeat(84).into_bytes(),
        ["x", &"日".repeat(84)].concat().into_bytes(),
        ["xx", &"\u{1f600}".repeat(90)].concat().into_bytes(),
        vec![b'a'; 4000],
    ];
    let others = [vec![0xff; 187], vec![1; 251], [&[b'a'; 186][..], b" "].concat(), vec![0; 3000]];
    for protocol in PROTOCOLS {
        for prefix in ["", "px:"] {
            let with = |bytes| {
                let settings =
                    [("protocol", protocol), ("key_prefix", prefix), ("key_bytes", bytes), ("long_keys", "hash")];
                client(server.address(), &settings)
            };
            let (utf8, any) = (with("utf8"), with("any"));
            for (number, key) in keys.iter().enumerate() {
                let value = format!("{protocol}{prefix}{number}");
                utf8.set(key, value.as_bytes(), 0, 0).unwrap_or_else(|error| panic!("{value}: {error}"));
                assert_eq!(any.get(key).unwrap().unwrap().value, value.as_bytes(), "the same item for all");
                utf8.check_key(key).unwrap();
            }
            for (number, key) in others.iter().enumerate() {
                let value = format!("{protocol}{prefix}{number}");
                // Of the third the space is cut off.
                if protocol == "text" && number != 2 {
                    assert_eq!(any.set(key, b"v", 0, 0).unwrap_err().status(), Status::Argument, "{value}");
                    continue;
                }
                any.set(key, value.as_bytes(), 0, 0).unwrap_or_else(|error| panic!("{value}: {error}"));
                assert_eq!(any.get(key).unwrap().unwrap().value, value.as_bytes(), "{value}");
                let binary =
                    [("key_prefix", prefix), ("key_bytes", "any"), ("long_keys", "hash"), ("protocol", "binary")];
                let other = client(server.address(), &binary).get(key).unwrap();
                assert_eq!(other.unwrap().value, value.as_bytes(), "{value}: the same item for all");
            }
        }
    }
}

#[test]
fn keys_have_the_bytes_that_are_allowed() {
    let server = Memcached::tcp(&[]);
    let (utf8, any, injection) = ("ключ-日本".as_bytes(), &b"\x00\xff \r\n"[..], &b"k\r\nflush_all\r\n"[..]);
    for protocol in PROTOCOLS {
        let with = |bytes| client(server.address(), &[("protocol", protocol), ("key_bytes", bytes)]);
        let status =
            |client: &Client, key: &[u8]| client.set(key, b"v", 7, 0).map_or_else(|e| e.status(), |()| Status::Ok);
        let binary = protocol == "binary";
        let refused = if binary { Status::Ok } else { Status::Argument };
        assert_eq!([utf8, any].map(|key| status(&with("ascii"), key)), [refused; 2], "{protocol}");
        assert_eq!([utf8, any].map(|key| status(&with("utf8"), key)), [Status::Ok, refused], "{protocol}");
        assert_eq!(status(&with("utf8"), " ключ".as_bytes()), refused, "{protocol}");
        let any_refused = if protocol == "text" { Status::Argument } else { Status::Ok };
        let most = with("any");
        assert_eq!([utf8, any, injection].map(|key| status(&most, key)), [Status::Ok, any_refused, any_refused]);
        assert_eq!(most.get(utf8).unwrap().unwrap().value, b"v");
        if protocol == "text" {
            continue;
        }
        assert_eq!(plain(&server).get(any).unwrap().unwrap().flags, 7, "{protocol}: the same item for all");
        let quiet = Operation { op_flags: op_flags::NO_REPLY, ..Operation::set(any, b"w", 0) };
        let calls = [quiet, Operation::get(any), Operation::get(b"plain"), Operation::delete(any), Operation::get(any)];
        let answers = run(&most, &calls);
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        let miss = Status::NotFound;
        assert_eq!(statuses, [Status::Ok, Status::Ok, miss, Status::Ok, miss], "{protocol}");
        let limit = if binary { 250 } else { 186 };
        assert_eq!(status(&most, &vec![1; limit]), Status::Ok, "{protocol}");
        assert_eq!(status(&most, &vec![1; limit + 1]), Status::Argument, "{protocol}");
    }
}

#[test]
fn no_reply_is_for_writes_that_nobody_has_to_know_of() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let client = client(server.address(), &[("protocol", protocol), ("no_reply", "true"), ("connections", "1")]);
        client.set(b"k", b"1", 0, 0).unwrap();
        let add = Operation { command: Command::Add, ..Operation::set(b"k", b"2", 0) };
        let loud = Operation { op_flags: op_flags::WANT_REPLY, ..add };
        let counter = Operation { delta: 4, ..Operation::new(Command::Increment, b"k") };
        let calls = [add, loud, counter, Operation::get(b"k")];
        let answers = run(&client, &calls);
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        let expected = [Status::Ok, Status::NotStored, Status::Ok, Status::Ok];
        assert_eq!(statuses, expected, "{protocol}");
        assert_eq!(answers.get(2).unwrap().number, 5, "{protocol}: pymemcache's incr answers too");
        // By a queue it is the same.
        let queue = Queue::new().unwrap();
        assert_eq!(queue.submit(&client, (0..).zip(calls)).0, calls.len());
        let mut answers = Vec::new();
        while answers.len() < calls.len() {
            assert!(queue.fetch(&mut answers, calls.len(), -1).unwrap() > 0);
        }
        answers.sort_by_key(|answer| answer.tag);
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), expected, "{protocol}");
        assert_eq!(answers[2].number, 9, "{protocol}");
        client.delete(b"k").unwrap();
    }
}

#[test]
fn profiles_are_as_the_clients_are() {
    let server = Memcached::tcp(&[]);
    let bmemcached = client(server.address(), &[("profile", "bmemcached")]);
    let counter = Operation { delta: 5, ..Operation::new(Command::Increment, b"n") };
    assert_eq!(run(&bmemcached, &[counter]).get(0).unwrap().number, 0, "made with its default, and not changed");
    assert_eq!(run(&bmemcached, &[counter]).get(0).unwrap().number, 5);
    let pymemcache = client(server.address(), &[("profile", "pymemcache")]);
    let none = Operation { key: b"none", ..counter };
    assert_eq!(run(&pymemcache, &[none]).get(0).unwrap().status, Status::NotFound);
    let delete = Operation::delete(b"none");
    assert_eq!(run(&pymemcache, &[delete]).get(0).unwrap().status, Status::Ok, "default_noreply");
    assert_eq!(run(&bmemcached, &[delete]).get(0).unwrap().status, Status::NotFound);
}

#[test]
fn failed_reads_are_misses_only_where_that_is_asked_for() {
    let address = Memcached::tcp(&[]).address().to_string();
    let strict = client(&address, &[]);
    assert_eq!(strict.get(b"k").unwrap_err().status(), Status::Connection);
    let lenient = client(&address, &[("failure_is_miss", "true")]);
    assert_eq!(lenient.get(b"k").unwrap(), None);
    assert_eq!(lenient.set(b"k", b"v", 0, 0).unwrap_err().status(), Status::Connection, "a write is no read");
}

/// What a queue answers to a get and a set.
fn queued(client: &Client) -> [Status; 2] {
    let queue = Queue::new().unwrap();
    let operations = [(0, Operation::get(b"k")), (1, Operation::set(b"k", b"v", 0))];
    assert_eq!(queue.submit(client, operations).0, 2);
    let (mut answers, mut statuses) = (Vec::new(), [Status::Bug; 2]);
    while answers.len() < 2 {
        assert!(queue.fetch(&mut answers, 2, -1).unwrap() > 0);
    }
    answers.iter().for_each(|answer| statuses[answer.tag as usize] = answer.status);
    statuses
}

fn of_servers(addresses: &[&str], settings: &[(&str, &str)]) -> Client {
    let mut options = bmemc::Options::new();
    addresses.iter().for_each(|address| options.add_server(address, "", 1).unwrap());
    options.set("failover", "none").unwrap();
    settings.iter().for_each(|(name, value)| options.set(name, value).unwrap());
    Client::new(options).unwrap()
}

#[test]
fn a_queues_failed_reads_are_misses_where_that_is_asked_for() {
    let gone: Vec<String> = (0..2).map(|_| Memcached::tcp(&[]).address().to_string()).collect();
    let (one, both) = (vec![gone[0].as_str()], vec![gone[0].as_str(), gone[1].as_str()]);
    let rest = ("protocol", "text");
    for codec in ["none", "pymemcache"] {
        for (addresses, mode) in [(&one, "single"), (&both, "hashed"), (&both, "replicated")] {
            let make = |lenient| {
                of_servers(addresses, &[("mode", mode), ("failure_is_miss", lenient), ("codec", codec), rest])
            };
            let (strict, lenient) = (make("false"), make("true"));
            assert_eq!(queued(&strict), [Status::Connection, Status::Connection], "{mode}");
            assert_eq!(queued(&lenient), [Status::NotFound, Status::Connection], "{mode}");
            // A fallback client does as the first of its clients.
            let older = of_servers(&one, &[rest]);
            for (first, read) in [(strict, Status::Connection), (lenient, Status::NotFound)] {
                let fallback = Client::new_fallback(&[first, older.clone()]).unwrap();
                assert_eq!(queued(&fallback)[0], read, "{mode}");
                assert_eq!(
                    fallback.get(b"k").map_or_else(|error| error.status(), |_| Status::NotFound),
                    read,
                    "{mode}"
                );
            }
        }
    }
}

#[test]
fn a_queues_read_that_times_out_is_a_miss_and_a_cancelled_one_is_not() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let lenient = of_servers(&[&address], &[("failure_is_miss", "true"), ("protocol", "text"), ("timeout_ms", "300")]);
    let queue = Queue::new().unwrap();
    assert_eq!(queue.submit(&lenient, [(1, Operation::get(b"k")), (2, Operation::get(b"k"))]).0, 2);
    assert!(queue.cancel(2).unwrap());
    let mut answers = Vec::new();
    while answers.len() < 2 {
        queue.fetch(&mut answers, 2, -1).unwrap();
    }
    let statuses: Vec<_> = answers.iter().map(|answer| (answer.tag, answer.status)).collect();
    assert_eq!(statuses, [(2, Status::Cancelled), (1, Status::NotFound)]);
    // Nor is a key that cannot be.
    let server = Memcached::tcp(&[]);
    let lenient = of_servers(&[server.address()], &[("failure_is_miss", "true")]);
    assert_eq!(queue.submit(&lenient, [(3, Operation::get(b"a b"))]).0, 1);
    answers.clear();
    queue.fetch(&mut answers, 1, -1).unwrap();
    assert_eq!(answers[0].status, Status::Argument);
}

#[test]
fn a_key_is_checked_as_it_would_go() {
    let check = |settings: &[(&str, &str)], key: &[u8]| client("127.0.0.1:1", settings).check_key(key).is_ok();
    let long = [b'x'; 249];
    assert!(check(&[], b"k") && !check(&[], b"") && !check(&[], b"a b") && check(&[], &long));
    assert!(check(&[("protocol", "binary")], b"a b"));
    assert!(!check(&[("key_prefix", "px")], &long) && check(&[("key_prefix", "px"), ("long_keys", "hash")], &long));
    assert!(!check(&[], "é".as_bytes()) && check(&[("key_bytes", "utf8")], "é".as_bytes()));
    let login = [("username", "u"), ("password", "p")];
    assert!(check(&login, b"a b") && !check(&login, b""));
    assert!(!check(&[login[0], login[1], ("auth", "ascii")], b"a b"));
    assert!(check(&[("key_bytes", "any")], b"\xff") && !check(&[("key_bytes", "any"), ("protocol", "text")], b"\xff"));
}

#[test]
fn a_routing_key_chooses_the_server() {
    let servers = [Memcached::tcp(&[]), Memcached::tcp(&[])];
    let mut options = bmemc::Options::new();
    servers.iter().for_each(|server| options.add_server(server.address(), "", 1).unwrap());
    options.set("key_prefix", "px:").unwrap();
    let (client, queue) = (Client::new(options).unwrap(), Queue::new().unwrap());
    for number in 0..50 {
        let (key, group) = (format!("key{number}"), format!("group{number}"));
        let set = Operation { routing_key: group.as_bytes(), ..Operation::set(key.as_bytes(), b"v", 0) };
        let owner = client.server_for(group.as_bytes()).unwrap().0;
        assert_eq!(run(&client, &[set]).get(0).unwrap().server, owner);
        let stored = || plain(&servers[owner as usize]).get(format!("px:{key}").as_bytes()).unwrap().is_some();
        assert!(stored());
        // By a queue too.
        let delete = Operation { routing_key: group.as_bytes(), ..Operation::delete(key.as_bytes()) };
        assert_eq!(queue.submit(&client, [(1, delete)]).0, 1);
        let mut answers = Vec::new();
        queue.fetch(&mut answers, 1, -1).unwrap();
        assert_eq!((answers[0].status, answers[0].server), (Status::Ok, owner));
        assert!(!stored());
        // Without one it is the key as the caller has it, without the prefix.
        let set = Operation::set(key.as_bytes(), b"v", 0);
        assert_eq!(run(&client, &[set]).get(0).unwrap().server, client.server_for(key.as_bytes()).unwrap().0);
    }
}
