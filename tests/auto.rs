//! `protocol=auto`: what it finds servers and proxies to speak, that it falls back safely, and that it asks again when
//! the server is another one.

mod common;

use bmemc::server::{Config, Protocol, Server};
use bmemc::{Client, Operation, Queue, Status};
use common::logins::Folder;
use common::oracle::Watchdog;
use common::scripted::{right, Scripted, Step, Verb, Wire};
use common::Memcached;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn works(client: &Client, what: &str) {
    client.set(b"auto-key", what.as_bytes(), 5, 60).unwrap_or_else(|error| panic!("{what}: {error}"));
    let item = client.get(b"auto-key").unwrap().unwrap_or_else(|| panic!("{what}: a miss"));
    assert_eq!((item.value.as_slice(), item.flags), (what.as_bytes(), 5));
    assert!(client.delete(b"auto-key").unwrap());
    assert!(client.get(b"auto-key").unwrap().is_none());
}

fn works_queued(client: &Client, what: &str) {
    let queue = Queue::new().unwrap();
    let operations = [Operation::set(b"auto-q", what.as_bytes(), 60), Operation::get(b"auto-q")];
    queue.submit(client, operations.into_iter().enumerate().map(|(tag, operation)| (tag as u64, operation))).1.unwrap();
    let mut answers = Vec::new();
    while answers.len() < 2 {
        queue.fetch(&mut answers, 2, 20_000).unwrap();
    }
    answers.sort_by_key(|answer| answer.tag);
    assert_eq!((answers[0].status, answers[1].status), (Status::Ok, Status::Ok), "{what}: {answers:?}");
    assert_eq!(answers[1].value, what.as_bytes());
}

fn auto(address: &str) -> Client {
    common::client(address, &[("protocol", "auto")])
}

#[test]
fn it_works_with_memcached_whatever_it_speaks() {
    for arguments in [&[][..], &["-B", "ascii"], &["-B", "binary"]] {
        for unix in [false, true] {
            let server = if unix { Memcached::unix(arguments) } else { Memcached::tcp(arguments) };
            let client = auto(server.address());
            works(&client, "first");
            client.disconnect_all();
            works(&client, "again");
            works_queued(&client, "queued");
            works_queued(&auto(server.address()), "queued first");
        }
    }
}

#[test]
fn it_works_with_the_embedded_server_whatever_it_speaks() {
    for protocol in [Protocol::Auto, Protocol::Ascii, Protocol::Binary] {
        let server = Server::start(Config { protocol, ..Config::default() }).unwrap();
        let client = auto(server.address());
        works(&client, "first");
        client.disconnect_all();
        works(&client, "again");
        works_queued(&auto(server.address()), "queued");
    }
}

/// twemproxy in front of a memcached.
struct Twemproxy {
    address: String,
    child: Child,
    _folder: Folder,
}

impl Twemproxy {
    fn start(server: &str) -> Twemproxy {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (address, stats, folder) = (free(), free(), Folder::new());
        let config = format!(
            "pool:\n  listen: {address}\n  hash: fnv1a_64\n  distribution: ketama\n  servers:\n   - {server}:1\n"
        );
        let file = folder.0.join("nutcracker.yml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("nutcracker");
        command.arg("-c").arg(&file).args(["-s", &stats.port().to_string(), "-a", "127.0.0.1"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("nutcracker starts");
        let proxy = Twemproxy { address: address.to_string(), child, _folder: folder };
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(&proxy.address).is_err() {
            assert!(Instant::now() < until, "nutcracker does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        proxy
    }
}

impl Drop for Twemproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_proxy_that_hangs_up_on_what_it_does_not_know_gets_text() {
    let server = Memcached::tcp(&[]);
    let proxy = Twemproxy::start(server.address());
    let client = auto(&proxy.address);
    works(&client, "first");
    client.disconnect_all();
    works(&client, "again");
    works_queued(&client, "queued");
    works_queued(&auto(&proxy.address), "queued first");
    // With credentials it is asked for SASL first, which it hangs up on too.
    let credentials = [("username", "u"), ("password", "p")];
    let error = common::client(&proxy.address, &credentials).get(b"k").unwrap_err();
    assert_eq!(error.status(), Status::Auth, "{error}");
    let optional = common::client(&proxy.address, &[credentials[0], credentials[1], ("auth_optional", "true")]);
    works(&optional, "without a login");
    // Forced, the other protocols fail, and clearly.
    for protocol in ["meta", "binary"] {
        let error = common::client(&proxy.address, &[("protocol", protocol)]).get(b"k").unwrap_err();
        assert_eq!(error.status(), Status::Connection, "{protocol}: {error}");
    }
}

/// Every command that a proxy passes on does what it does without one; what it does not know is a failure of that call alone.
#[test]
fn every_command_goes_through_a_proxy_or_says_so() {
    let server = Memcached::tcp(&[]);
    let proxy = Twemproxy::start(server.address());
    let client = common::client(&proxy.address, &[("protocol", "auto"), ("connections", "1")]);
    let get = |key: &[u8]| client.get(key).unwrap().map(|item| item.value);
    client.set(b"a", b"1", 5, 60).unwrap();
    let item = client.gets(b"a").unwrap().unwrap();
    assert_eq!((item.flags, &item.value[..]), (5, &b"1"[..]));
    assert!(item.cas > 0);
    let run = |operation: Operation<'_>| {
        let mut answers = bmemc::Answers::new(1);
        client.execute(&[operation], &mut answers).unwrap();
        let answer = answers.get(0).unwrap();
        (answer.status, answer.number)
    };
    let make = |command, value| Operation { command, ..Operation::set(b"a", value, 60) };
    use bmemc::Command::*;
    assert_eq!(run(Operation { cas: item.cas, ..make(Set, b"2") }).0, Status::Ok);
    assert_eq!(run(Operation { cas: item.cas, ..make(Set, b"3") }).0, Status::Exists);
    assert_eq!(run(make(Add, b"3")).0, Status::NotStored);
    assert_eq!(run(make(Replace, b"10")).0, Status::Ok);
    assert_eq!(run(make(Append, b"0")).0, Status::Ok);
    assert_eq!(run(make(Prepend, b"2")).0, Status::Ok);
    assert_eq!(get(b"a"), Some(b"2100".to_vec()));
    assert_eq!(run(Operation { delta: 5, ..Operation::new(Increment, b"a") }), (Status::Ok, 2105));
    assert_eq!(run(Operation { delta: 5, ..Operation::new(Decrement, b"a") }), (Status::Ok, 2100));
    assert_eq!(run(Operation { delta: 5, ..Operation::new(Increment, b"none") }).0, Status::NotFound);
    assert_eq!(run(Operation { ttl: 60, ..Operation::new(Touch, b"a") }).0, Status::Ok);
    let keys: Vec<String> = (0..300).map(|number| format!("key{number}")).collect();
    let pairs: Vec<(&[u8], &[u8])> = keys.iter().map(|key| (key.as_bytes(), key.as_bytes())).collect();
    let sets: Vec<Operation<'_>> = pairs.iter().map(|(key, value)| Operation::set(key, value, 60)).collect();
    let mut answers = bmemc::Answers::new(sets.len());
    client.execute(&sets, &mut answers).unwrap();
    assert!(answers.iter().all(|answer| answer.status == Status::Ok));
    let all: Vec<&[u8]> = pairs.iter().map(|(key, _)| *key).chain([&b"missing"[..]]).collect();
    let found = client.get_many(&all).unwrap();
    assert!(found.iter().zip(&pairs).all(|(answer, (_, value))| answer.value.bytes() == *value));
    assert_eq!(found.get(300).unwrap().status, Status::NotFound);
    let quiet = Operation { op_flags: bmemc::op_flags::NO_REPLY, ..make(Set, b"quiet") };
    assert_eq!(run(quiet).0, Status::Ok);
    assert_eq!(get(b"a"), Some(b"quiet".to_vec()));
    assert_eq!(run(Operation::version()).0, Status::Ok);
    assert_eq!(run(Operation::new(Noop, b"")).0, Status::Ok);
    let counters = client.counters(None).unwrap();
    assert_eq!((counters.connects, counters.failures, counters.quiet_failures), (1, 0, 0));
    // The proxy hangs up on these.
    let get_and_touch = Operation { ttl: 60, ..Operation::new(GetAndTouch, b"a") };
    let others = [get_and_touch, Operation::new(FlushAll, b""), Operation::new(Stats, b"")];
    for operation in others {
        assert_eq!(run(operation).0, Status::Connection, "{}", operation.command.name());
        assert_eq!(get(b"a"), Some(b"quiet".to_vec()), "{}", operation.command.name());
    }
}

/// What a scripted server was asked, in order.
type Asked = Arc<Mutex<Vec<(Wire, Verb, usize)>>>;

#[test]
fn what_is_learned_is_not_asked_again_and_a_fallback_is_remembered() {
    let asked: Asked = Arc::default();
    let notes = asked.clone();
    let server = Scripted::tcp(move |request, reply| {
        notes.lock().unwrap().push((request.wire, request.verb, request.connection));
        match (request.wire, request.verb) {
            (Wire::Meta, _) => vec![Step::Close],
            _ => right(request, reply),
        }
    });
    let client = auto(server.address());
    for _ in 0..3 {
        works_with_oracle(&client);
        client.disconnect_all();
    }
    let asked = asked.lock().unwrap();
    let meta = asked.iter().filter(|(wire, ..)| *wire == Wire::Meta).count();
    assert_eq!(meta, 1, "{asked:?}");
}

fn works_with_oracle(client: &Client) {
    let outcome = common::oracle::get(client, "hit.a.10");
    assert_eq!((outcome.hits, outcome.failed()), (1, 0), "{outcome:?}");
}

#[test]
fn another_version_is_asked_anew_and_the_same_one_is_not() {
    let asked: Asked = Arc::default();
    let notes = asked.clone();
    let version: Arc<Mutex<&str>> = Arc::new(Mutex::new("1.6.18"));
    let says = version.clone();
    let server = Scripted::tcp(move |request, reply| {
        notes.lock().unwrap().push((request.wire, request.verb, request.connection));
        match (request.wire, request.verb) {
            (Wire::Text, Verb::Version) => {
                vec![Step::Send(format!("VERSION {}\r\n", says.lock().unwrap()).into_bytes())]
            }
            (Wire::Meta, _) if *says.lock().unwrap() == "1.4.0" => vec![Step::Send(b"ERROR\r\n".to_vec())],
            _ => right(request, reply),
        }
    });
    let noops =
        || asked.lock().unwrap().iter().filter(|(wire, verb, _)| (*wire, *verb) == (Wire::Meta, Verb::Noop)).count();
    let client = auto(server.address());
    works_with_oracle(&client);
    assert_eq!(noops(), 1);
    client.disconnect_all();
    works_with_oracle(&client);
    assert_eq!(noops(), 1, "the version is the same");
    *version.lock().unwrap() = "1.4.0";
    client.disconnect_all();
    works_with_oracle(&client);
    assert_eq!(noops(), 2, "the version is another one");
    // What it was found to speak now is used: no meta for writes either.
    client.set(b"hit.a.10", &common::oracle::value(b"hit.a.10"), 0, 0).unwrap();
    assert!(asked.lock().unwrap().iter().rev().take(1).all(|(wire, ..)| *wire == Wire::Text));
}

#[test]
fn a_server_that_becomes_another_one_is_learned_again() {
    let mut old = Memcached::tcp(&["-B", "binary"]);
    let address = old.address().to_string();
    let client = auto(&address);
    works(&client, "binary");
    for protocol in [Protocol::Ascii, Protocol::Binary, Protocol::Auto] {
        old.stop();
        let port = address.rsplit(':').next().unwrap().parse().unwrap();
        let new = Server::start(Config { protocol, port, ..Config::default() }).unwrap();
        // The first call may find the old connection's end.
        let _ = client.get(b"k");
        works(&client, "another");
        works_queued(&client, "another");
        drop(new);
    }
}

#[test]
fn a_server_that_hangs_up_on_everything_is_a_failure_and_no_loop() {
    let _watchdog = Watchdog::start("a server that hangs up", Duration::from_secs(60));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let accepted = count.clone();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            accepted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            drop(stream);
        }
    });
    let credentials = [("username", "u"), ("password", "p")];
    for settings in [&[][..], &credentials] {
        let before = count.load(std::sync::atomic::Ordering::SeqCst);
        let error = common::client(&address, settings).get(b"k").unwrap_err();
        assert_eq!(error.status(), Status::Connection, "{error}");
        let tries = count.load(std::sync::atomic::Ordering::SeqCst) - before;
        assert!(tries <= 3, "{tries} connections");
    }
}
