//! Commands that are about servers: statistics, dumps, raw commands, shutdown, and servers that are full. Against
//! memcached where it has them, against a scripted server where it has to misbehave.

mod common;

use bmemc::server::{Config, Server};
use bmemc::{Answers, Client, Command, DumpEntry, Operation, Queue, Status, Value};
use common::oracle::{Sleeper, Watchdog};
use common::scripted::{right, Scripted, Step, Verb};
use common::{client, Memcached};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// One operation by execute: its status, its value and its words.
fn execute(client: &Client, operation: Operation<'_>) -> (Status, Vec<u8>, String) {
    let mut answers = Answers::new(1);
    client.execute(&[operation], &mut answers).unwrap();
    let answer = answers.get(0).unwrap();
    let Value::Borrowed(value) = answer.value else { panic!() };
    (answer.status, value.to_vec(), String::from_utf8_lossy(answer.detail).into_owned())
}

/// The same by queue.
fn submit(client: &Client, operation: Operation<'_>) -> (Status, Vec<u8>, String) {
    let queue = Queue::new().unwrap();
    queue.submit(client, [(1, operation)]).1.unwrap();
    let mut fetched = Vec::new();
    assert_eq!(queue.fetch(&mut fetched, 1, -1).unwrap(), 1);
    let answer = fetched.remove(0);
    (answer.status, answer.value, String::from_utf8_lossy(&answer.detail).into_owned())
}

type Way = fn(&Client, Operation<'_>) -> (Status, Vec<u8>, String);
const WAYS: [(&str, Way); 2] = [("execute", execute), ("queue", submit)];

// ---- Statistics ----

#[test]
fn statistics_are_the_same_over_every_protocol() {
    let memcached = Memcached::tcp(&[]);
    let embedded = Server::start(Config::default()).unwrap();
    for address in [memcached.address(), embedded.address()] {
        for which in ["", "settings", "items", "slabs", "sizes"] {
            let mut seen: Vec<Vec<String>> = Vec::new();
            for protocol in ["text", "meta", "binary", "auto"] {
                let client = client(address, &[("protocol", protocol)]);
                client.set(b"k", b"v", 0, 0).unwrap();
                let stats = client.stats(which.as_bytes()).unwrap();
                assert!(!stats.is_empty(), "{address} {protocol} {which}");
                assert!(stats.iter().all(|(server, name, _)| *server == 0 && !name.is_empty()), "{protocol} {which}");
                seen.push(stats.into_iter().map(|(_, name, _)| name).collect());
            }
            assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{address} {which}: {seen:?}");
        }
    }
}

#[test]
fn every_kind_of_statistics() {
    // cachedump looks at one of the lists of a class alone: here there is but one.
    let server = Memcached::tcp(&["-o", "no_lru_maintainer"]);
    let text = client(server.address(), &[("protocol", "text")]);
    let binary = client(server.address(), &[("protocol", "binary")]);
    text.set(b"k", b"seven b", 0, 0).unwrap();
    assert_eq!(text.stats(b"detail on").unwrap(), []);
    text.get(b"prefix:k").unwrap();
    let detail = text.stats(b"detail dump").unwrap();
    assert!(detail.iter().any(|(_, name, value)| name == "prefix" && value.starts_with("get 1")), "{detail:?}");
    assert_eq!(text.stats(b"detail off").unwrap(), []);
    let class = text.stats(b"items").unwrap()[0].1.split(':').nth(1).unwrap().to_string();
    let dump = text.stats(format!("cachedump {class} 10").as_bytes()).unwrap();
    assert!(dump.iter().any(|(_, name, value)| name == "k" && value.starts_with("[7 b;")), "{dump:?}");
    assert!(text
        .stats(b"conns")
        .unwrap()
        .iter()
        .any(|(_, name, value)| name.ends_with(":addr") && value.contains(':')));
    for client in [&text, &binary] {
        client.get(b"k").unwrap();
        assert_eq!(client.stats(b"reset").unwrap(), []);
        let reset: BTreeMap<String, String> = client.stats(b"").unwrap().into_iter().map(|(_, n, v)| (n, v)).collect();
        assert_eq!(reset["get_hits"], "0");
    }
    // What only text has is refused at once, not waited for.
    for which in [&b"conns"[..], b"cachedump 1 1", b"bogus"] {
        let begun = Instant::now();
        let error = binary.stats(which).unwrap_err();
        assert_eq!(error.status(), Status::UnknownCommand, "{error}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
    assert_eq!(text.stats(b"bogus").unwrap_err().status(), Status::UnknownCommand);
}

/// What memcached 1.6 answers to `stats` with this argument: names that are among those that come, over text and over binary;
/// `None`: it does not know it there, and says so at once.
const STATISTICS: [(&str, Option<&str>, Option<&str>); 10] = [
    ("", Some("pid"), Some("pid")),
    ("settings", Some("maxbytes"), Some("maxbytes")),
    ("items", Some("items:"), Some("items:")),
    ("slabs", Some("active_slabs"), Some("active_slabs")),
    ("sizes", Some("sizes_status"), Some("sizes_status")),
    ("conns", Some(":addr"), None),
    ("detail on", Some(""), Some("")),
    // Over binary the whole text is the value of one name.
    ("detail dump", Some("prefix"), Some("detailed")),
    ("detail off", Some(""), Some("")),
    ("bogus", None, None),
];

#[test]
fn each_kind_of_statistics_is_answered_or_refused_at_once() {
    let server = Memcached::tcp(&[]);
    for protocol in ["auto", "text", "meta", "binary"] {
        let client = client(server.address(), &[("protocol", protocol)]);
        client.set(b"prefix:k", b"v", 0, 0).unwrap();
        for (which, text, binary) in STATISTICS {
            let begun = Instant::now();
            let answer = client.stats(which.as_bytes());
            match if protocol == "binary" { binary } else { text } {
                None => assert_eq!(answer.unwrap_err().status(), Status::UnknownCommand, "{protocol}: {which}"),
                Some("") => assert_eq!(answer.unwrap(), [], "{protocol}: {which}"),
                Some(name) => {
                    let answer = answer.unwrap();
                    assert!(answer.iter().any(|(_, found, _)| found.contains(name)), "{protocol}: {which}: {answer:?}");
                }
            }
            assert!(begun.elapsed() < Duration::from_secs(5), "{protocol}: {which}: {:?}", begun.elapsed());
            assert_eq!(client.get(b"prefix:k").unwrap().unwrap().value, b"v", "{protocol}: behind {which}");
        }
    }
}

#[test]
fn statistics_that_come_in_pieces_or_without_end() {
    for (protocol, pieces) in [("text", true), ("text", false)] {
        let server = Scripted::tcp(move |request, reply| match request.verb {
            Verb::Other if pieces => {
                vec![Step::Dribble(b"STAT a 1\r\nSTAT b 2 3\r\nEND\r\n".to_vec(), Duration::from_millis(1))]
            }
            Verb::Other => vec![Step::Flood(b"STAT name value\r\n".repeat(1000))],
            _ => right(request, reply),
        });
        let client = client(server.address(), &[("protocol", protocol), ("max_value_bytes", "100000")]);
        for (way, run) in WAYS {
            let (status, value, words) = run(&client, Operation::new(Command::Stats, b""));
            match pieces {
                true => assert_eq!((status, value.as_slice()), (Status::Ok, &b"a 1\nb 2 3\n"[..]), "{way}"),
                false => assert!(status == Status::TooLarge && words.contains("100000"), "{way}: {status:?} {words}"),
            }
        }
    }
}

// ---- Dumps ----

/// Takes the items of a dump until `each` answers `false`.
fn dump(client: &Client, classes: &[u8], mut each: impl FnMut(u32, DumpEntry) -> bool) -> bmemc::Result<()> {
    for dumped in client.metadump(classes) {
        let (server, entry) = dumped?;
        if !each(server, entry) {
            break;
        }
    }
    Ok(())
}

/// memcached crawls for one at a time, and a while longer than whoever asked for it listens.
fn while_busy<T>(mut run: impl FnMut() -> T, is_busy: impl Fn(&T) -> bool) -> T {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let result = run();
        if !is_busy(&result) || Instant::now() > until {
            return result;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn dump_of(client: &Client) -> BTreeMap<Vec<u8>, DumpEntry> {
    let mut found = BTreeMap::new();
    let dump = || dump(client, b"", |_, entry| found.insert(entry.key.clone(), entry).is_none());
    while_busy(dump, |result| result.as_ref().is_err_and(|error| error.message().contains("BUSY"))).unwrap();
    found
}

#[test]
fn a_dump_lists_every_item() {
    let memcached = Memcached::tcp(&[]);
    let embedded = Server::start(Config::default()).unwrap();
    for address in [memcached.address(), embedded.address()] {
        let binary = client(address, &[("protocol", "binary")]);
        let odd: [&[u8]; 5] = [b"a b", b"\r\nflush_all\r\n", b"\0\x7f\xff", b"100%41", b"k=v&x"];
        for key in odd {
            binary.set(key, b"v", 0, 1000).unwrap();
        }
        let keys: Vec<String> = (0..5000).map(|n| format!("dumped-{n}")).collect();
        let items: Vec<(&[u8], &[u8], u64)> = keys.iter().map(|key| (key.as_bytes(), &b"value"[..], 0)).collect();
        assert!(binary.set_many(&items, 0, 0).unwrap().first_error().is_none());
        binary.get(b"a b").unwrap();
        for protocol in ["text", "meta", "auto"] {
            let client = client(address, &[("protocol", protocol)]);
            // memcached leaves out an item that somebody else holds at that moment, its own threads too.
            let found = while_busy(|| dump_of(&client), |found| found.len() < 5005);
            assert_eq!(found.len(), 5005, "{address} {protocol}");
            assert!(odd.iter().all(|key| found.contains_key(*key)), "{address} {protocol}");
            let entry = &found[&b"a b"[..]];
            assert!((990..=1000).contains(&entry.ttl) && entry.cas != 0 && entry.fetched, "{entry:?}");
            let entry = &found[&b"dumped-7"[..]];
            assert!(entry.ttl == -1 && !entry.fetched && entry.size > 40 && entry.last_access < 100, "{entry:?}");
            for (way, run) in WAYS {
                let dump = || run(&client, Operation::new(Command::Metadump, b"all"));
                let count = |value: &[u8]| value.iter().filter(|byte| **byte == b'\n').count();
                let again =
                    |(_, value, words): &(Status, Vec<u8>, String)| words.starts_with("BUSY") || count(value) < 5005;
                let (status, value, _) = while_busy(dump, again);
                let lines: Vec<&[u8]> = value.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
                assert_eq!((status, lines.len()), (Status::Ok, 5005), "{address} {protocol} {way}");
                assert!(lines.iter().all(|line| DumpEntry::parse(line).is_some()), "{address} {protocol} {way}");
            }
            let mut seen = 0;
            let some = || {
                dump(&client, b"", |_, _| {
                    seen += 1;
                    seen < 10
                })
            };
            while_busy(some, |result| result.as_ref().is_err_and(|error| error.message().contains("BUSY"))).unwrap();
            assert_eq!(seen, 10);
        }
        let refused = dump(&binary, b"", |_, _| true).unwrap_err();
        assert_eq!(refused.status(), Status::Unsupported, "{refused}");
        assert!(refused.message().contains("text"), "{refused}");
    }
}

#[test]
fn a_second_dump_is_told_that_the_server_is_busy() {
    let server = Memcached::tcp(&[]);
    let client = client(server.address(), &[("protocol", "text")]);
    let keys: Vec<String> = (0..150_000).map(|n| format!("{:0>80}", n)).collect();
    let items: Vec<(&[u8], &[u8], u64)> = keys.iter().map(|key| (key.as_bytes(), &b""[..], 0)).collect();
    assert!(client.set_many(&items, 0, 0).unwrap().first_error().is_none());
    // One that asks and does not read: more is to come than the sockets hold.
    let mut stuck = TcpStream::connect(server.address()).unwrap();
    stuck.write_all(b"lru_crawler metadump all\r\n").unwrap();
    stuck.read_exact(&mut [0; 4]).unwrap();
    let error = dump(&client, b"", |_, _| true).unwrap_err();
    assert_eq!(error.status(), Status::ServerError, "{error}");
    assert!(error.message().contains("BUSY"), "{error}");
    for (way, run) in WAYS {
        let (status, _, words) = run(&client, Operation::new(Command::Metadump, b""));
        assert_eq!(status, Status::ServerError, "{way}: {words}");
        assert!(words.contains("BUSY"), "{way}: {words}");
    }
    assert!(client.get(keys[0].as_bytes()).unwrap().is_some());
}

const ENTRY: &[u8] = b"key=k exp=-1 la=1 cas=1 fetch=no cls=1 size=60\n";

/// A server that answers a dump like this.
fn dumping(steps: fn() -> Vec<Step>) -> Scripted {
    Scripted::tcp(move |request, reply| match request.verb {
        Verb::Other => steps(),
        _ => right(request, reply),
    })
}

#[test]
fn a_dump_may_take_longer_than_the_time_out_but_not_pause_for_it() {
    let slow = dumping(|| {
        let mut steps: Vec<Step> =
            (0..8).flat_map(|_| [Step::Send(ENTRY.to_vec()), Step::Sleep(Duration::from_millis(150))]).collect();
        steps.push(Step::Send(b"END\r\n".to_vec()));
        steps
    });
    let timeout = [("protocol", "text"), ("timeout_ms", "1000")];
    let (begun, mut seen) = (Instant::now(), 0);
    dump(&client(slow.address(), &timeout), b"", |_, _| {
        seen += 1;
        true
    })
    .unwrap();
    assert!(seen == 8 && begun.elapsed() > Duration::from_millis(1100), "{seen} {:?}", begun.elapsed());
    let stuck = dumping(|| vec![Step::Send(ENTRY.to_vec()), Step::Mute]);
    let (sleeper, begun, mut seen) = (Sleeper::start(), Instant::now(), 0);
    let error = dump(&client(stuck.address(), &[("protocol", "text"), ("timeout_ms", "300")]), b"", |_, _| {
        seen += 1;
        true
    })
    .unwrap_err();
    let took = begun.elapsed();
    assert_eq!((error.status(), seen), (Status::Timeout, 1), "{error}");
    let most = Duration::from_millis(900) + sleeper.lateness();
    assert!(took >= Duration::from_millis(250) && took < most, "{took:?}");
    assert!(error.message().contains("300 ms"), "{error}");
}

#[test]
fn a_dump_from_a_server_that_misbehaves_ends() {
    let _watchdog = Watchdog::start("a dump", Duration::from_secs(60));
    type Case = (fn() -> Vec<Step>, Status, &'static str);
    let cases: [Case; 5] = [
        (|| vec![Step::Flood(vec![b'x'; 100_000])], Status::Protocol, "without end"),
        (|| vec![Step::Send(b"STORED\r\n".to_vec())], Status::Protocol, "STORED"),
        (|| vec![Step::Send([ENTRY, b"key=half"].concat()), Step::Close], Status::Connection, "closed"),
        (|| vec![Step::Send(ENTRY.to_vec()), Step::Reset], Status::Connection, "receiving"),
        (|| vec![Step::Send(b"SERVER_ERROR no\r\n".to_vec())], Status::ServerError, "no"),
    ];
    for (steps, status, word) in cases {
        let server = dumping(steps);
        let error = dump(&client(server.address(), &[("protocol", "text")]), b"", |_, _| true).unwrap_err();
        assert_eq!(error.status(), status, "{error}");
        assert!(error.message().contains(word), "{word}: {error}");
    }
    // Odd lines of a dump are passed over: what has no key is no item.
    let odd = dumping(|| vec![Step::Send(b"key=%zz exp=1\nkey=good\nEND\r\n".to_vec())]);
    let mut keys = Vec::new();
    dump(&client(odd.address(), &[("protocol", "text")]), b"", |_, entry| {
        keys.push(entry.key);
        true
    })
    .unwrap();
    assert_eq!(keys, [b"good"]);
    // Memory is bounded: collected, a dump without end is too large; streamed, it goes on until the caller has enough.
    let endless = dumping(|| vec![Step::Flood(ENTRY.repeat(1000))]);
    let client = client(endless.address(), &[("protocol", "text"), ("max_value_bytes", "1000000")]);
    for (way, run) in WAYS {
        assert_eq!(run(&client, Operation::new(Command::Metadump, b"")).0, Status::TooLarge, "{way}");
    }
    let mut seen = 0;
    dump(&client, b"", |_, _| {
        seen += 1;
        seen < 100_000
    })
    .unwrap();
    assert_eq!(seen, 100_000);
}

#[test]
fn close_ends_a_dump() {
    let server = dumping(|| vec![Step::Send(ENTRY.to_vec()), Step::Mute]);
    let client = client(server.address(), &[("protocol", "text")]);
    let seen = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let dump = scope.spawn(|| {
            dump(&client, b"", |_, _| {
                seen.store(true, Ordering::SeqCst);
                true
            })
        });
        while !seen.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        client.close();
        assert_eq!(dump.join().unwrap().unwrap_err().status(), Status::Closed);
    });
    assert_eq!(dump(&client, b"", |_, _| true).unwrap_err().status(), Status::Closed);
}

#[test]
fn every_server_of_a_client_is_asked() {
    let servers: Vec<Memcached> = (0..3).map(|_| Memcached::tcp(&[])).collect();
    let mut options = bmemc::Options::new();
    for server in &servers {
        options.add_server(server.address(), "", 1).unwrap();
    }
    for (name, value) in [("mode", "hashed"), ("timeout_ms", "20000")] {
        options.set(name, value).unwrap();
    }
    let client = Client::new(options).unwrap();
    let keys: Vec<String> = (0..300).map(|n| format!("key-{n}")).collect();
    for key in &keys {
        client.set(key.as_bytes(), b"v", 0, 0).unwrap();
    }
    let stats = client.stats(b"").unwrap();
    let counts: Vec<u64> = (0..3)
        .map(|index| {
            let is_it = |(server, name, _): &&(u32, String, String)| *server == index && name == "curr_items";
            stats.iter().find(is_it).unwrap().2.parse().unwrap()
        })
        .collect();
    assert!(counts.iter().sum::<u64>() == 300 && counts.iter().all(|count| *count > 50), "{counts:?}");
    let mut dumped = [0; 3];
    dump(&client, b"", |server, _| {
        dumped[server as usize] += 1;
        true
    })
    .unwrap();
    assert_eq!(dumped.to_vec(), counts);
    let mut seen = 0;
    let some = || {
        dump(&client, b"", |_, _| {
            seen += 1;
            seen < 5
        })
    };
    while_busy(some, |result| result.as_ref().is_err_and(|error| error.message().contains("BUSY"))).unwrap();
    assert_eq!(seen, 5);
    client.noop().unwrap();
    client.flush_all(0).unwrap();
    assert!(keys.iter().all(|key| client.get(key.as_bytes()).unwrap().is_none()));
}

// ---- Raw commands ----

fn raw<'a>(line: &'a [u8], end: &'a [u8]) -> Operation<'a> {
    Operation { value: line, ..Operation::new(Command::Raw, end) }
}

#[test]
fn a_raw_reply_of_any_length_comes_whole() {
    let memcached = Memcached::tcp(&[]);
    let embedded = Server::start(Config::default()).unwrap();
    for address in [memcached.address(), embedded.address()] {
        for protocol in ["text", "meta", "auto"] {
            let client = client(address, &[("protocol", protocol)]);
            for len in [1, 16_000, 16_384, 20_000, 900_000] {
                let value = vec![b'x'; len];
                client.set(b"raw", &value, 0, 0).unwrap();
                let expected = [format!("VALUE raw 0 {len}\r\n").as_bytes(), &value, b"\r\n"].concat();
                for (way, run) in WAYS {
                    let (status, got, words) = run(&client, raw(b"get raw", b"END\r\n"));
                    assert!(status == Status::Ok && got == expected, "{address} {protocol} {way} {len}: {words}");
                }
            }
            assert_eq!(client.raw(b"set raw2 0 0 3\r\nabc", b"STORED\r\n").unwrap(), b"");
            assert_eq!(client.get(b"raw2").unwrap().unwrap().value, b"abc");
        }
    }
}

#[test]
fn a_raw_command_disturbs_nobody() {
    let server = Memcached::tcp(&[]);
    let client = client(server.address(), &[("connections", "1")]);
    client.set(b"k", b"value", 0, 0).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0;
                    while !stop.load(Ordering::Relaxed) {
                        assert_eq!(client.get(b"k").unwrap().unwrap().value, b"value");
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for _ in 0..30 {
            // More comes than its end says, or less than was hoped for.
            assert_eq!(client.raw(b"get k", b"VALUE").unwrap(), b"");
            let late = Operation { timeout_ms: 30, ..raw(b"get k", b"never") };
            assert_eq!(execute(&client, late).0, Status::Timeout);
            let late = Operation { timeout_ms: 30, ..raw(b"get k", b"never") };
            assert_eq!(submit(&client, late).0, Status::Timeout);
            assert_eq!(submit(&client, raw(b"get k", b"VALUE")).0, Status::Ok);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(readers.into_iter().all(|reader| reader.join().unwrap() > 0));
    });
    let counters = client.counters(None).unwrap();
    assert!(counters.connects > 60 && counters.connects - counters.disconnects == 1, "{counters:?}");
}

/// memcached 1.6.18 says nothing to a length beyond 2^31, and takes whatever comes for that value. No set has such a length,
/// but a raw command may.
#[test]
fn a_length_that_the_server_is_silent_about_ends_with_the_deadline() {
    let (memcached, embedded) = (Memcached::tcp(&[]), Server::start(Config::default()).unwrap());
    for server in [memcached.address(), embedded.address()] {
        let client = client(server, &[("connections", "1")]);
        client.set(b"k", b"value", 0, 0).unwrap();
        for line in [&b"set long 0 0 99999999999"[..], b"ms long 99999999999"] {
            let endless = || Operation { timeout_ms: 200, ..raw(line, b"") };
            for (status, _, words) in [execute(&client, endless()), submit(&client, endless())] {
                // Newer ones refuse it.
                assert!(matches!(status, Status::Timeout | Status::ClientError), "{server}: {status:?} {words:?}");
            }
            assert_eq!(client.get(b"k").unwrap().unwrap().value, b"value", "{server}");
        }
        let mut options = bmemc::Options::new();
        assert!(options.set("max_value_bytes", "2147483648").is_err(), "no value that long is sent");
    }
}

#[test]
fn so_many_raw_commands_at_once_are_too_many() {
    let server = dumping(|| vec![Step::Mute]);
    let client = client(server.address(), &[("protocol", "text"), ("timeout_ms", "400")]);
    let statuses: Vec<Status> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..20).map(|_| scope.spawn(|| execute(&client, raw(b"bogus", b"")).0)).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|status| matches!(status, Status::Timeout | Status::Busy)), "{statuses:?}");
    let late = statuses.iter().filter(|status| **status == Status::Timeout).count();
    assert!(late >= 8, "{statuses:?}");
    let queue = Queue::new().unwrap();
    let (accepted, result) = queue.submit(&client, (0..20).map(|tag| (tag, raw(b"bogus", b""))));
    assert_eq!((accepted, result.unwrap_err().status()), (8, Status::Busy));
    let mut fetched = Vec::new();
    while fetched.len() < 8 {
        queue.fetch(&mut fetched, 8, -1).unwrap();
    }
    assert!(fetched.iter().all(|answer| answer.status == Status::Timeout));
    // They have let go of their places.
    assert_eq!(queue.submit(&client, [(1, raw(b"bogus", b""))]).0, 1);
    assert!(queue.cancel(1).unwrap());
    queue.fetch(&mut fetched, 8, -1).unwrap();
    assert_eq!(fetched[8].status, Status::Cancelled);
    assert_eq!(queue.submit(&client, (0..20).map(|tag| (tag, raw(b"bogus", b"")))).0, 8);
}

// ---- Shutdown ----

#[test]
fn a_server_that_allows_it_is_shut_down() {
    for protocol in ["text", "meta", "auto"] {
        for (way, run) in WAYS {
            for mode in [&b""[..], b"graceful"] {
                let mut memcached = Memcached::tcp(&["-A"]);
                let client = client(memcached.address(), &[("protocol", protocol)]);
                client.set(b"k", b"v", 0, 0).unwrap();
                let (status, _, words) = run(&client, Operation::new(Command::Shutdown, mode));
                assert_eq!(status, Status::Ok, "{protocol} {way}: {words}");
                assert!(ended(&client), "{protocol} {way}");
                memcached.stop();
                let embedded = Server::start(Config { shutdown: true, ..Config::default() }).unwrap();
                let client = common::client(embedded.address(), &[("protocol", protocol)]);
                assert_eq!(run(&client, Operation::new(Command::Shutdown, mode)).0, Status::Ok, "{protocol} {way}");
                assert!(ended(&client), "{protocol} {way}, embedded");
            }
        }
    }
}

/// Whether the server of this client soon answers no more.
fn ended(client: &Client) -> bool {
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        if client.noop().is_err_and(|error| error.status() == Status::Connection) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

#[test]
fn a_lost_connection_is_no_shutdown_before_it_was_asked_for() {
    let server = Scripted::tcp(|_, _| vec![Step::Close]);
    let client = client(server.address(), &[("protocol", "auto")]);
    for (way, run) in WAYS {
        let (status, _, words) = run(&client, Operation::new(Command::Shutdown, b""));
        assert_eq!(status, Status::Connection, "{way}: {words}");
    }
    let gone = Memcached::tcp(&[]).address().to_string();
    let client = common::client(&gone, &[("protocol", "text")]);
    assert_eq!(client.shutdown(false).unwrap_err().status(), Status::Connection);
}

// ---- A full server ----

#[test]
fn a_server_that_is_full_says_so_in_every_protocol() {
    let memcached = Memcached::tcp(&["-c", "64"]);
    let embedded = Server::start(Config { max_connections: 64, ..Config::default() }).unwrap();
    for address in [memcached.address(), embedded.address()] {
        let others = fill(address);
        for protocol in ["text", "meta", "binary", "auto"] {
            for (way, run) in WAYS {
                let client = client(address, &[("protocol", protocol)]);
                for operation in [Operation::get(b"k"), Operation::set(b"k", b"v", 0), Operation::version()] {
                    let what = format!("{address} {protocol} {way} {}", operation.command.name());
                    // It hangs up behind its words, which are lost where the request comes too late: never are they all.
                    let said = (0..50).any(|_| {
                        let (status, _, words) = run(&client, operation);
                        let known = matches!(status, Status::ServerError | Status::Connection);
                        assert!(known, "{what}: {status:?} {words}");
                        status == Status::ServerError && words.contains("Too many open connections")
                    });
                    assert!(said, "{what}");
                }
            }
        }
        drop(others);
    }
}

/// As many connections as the server takes, and some more.
fn fill(address: &str) -> Vec<TcpStream> {
    let mut streams: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut refused = 0;
    // It takes them one by one, and those who have gone, such as who looked whether it runs, leave their places late.
    while refused < 30 {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut word = [0; 8];
        refused = if stream.read_exact(&mut word).is_ok() && &word == b"ERROR To" { refused + 1 } else { 0 };
        streams.push(stream);
        std::thread::sleep(Duration::from_millis(5));
    }
    streams
}
