//! How connections come to be and what is known of them: keepalive, the delay before the next attempt, the callback that
//! sees new sockets, what is open, and dropping it all.

mod common;

use bmemc::net::ConnectStage;
use bmemc::server::{Config, Server};
use bmemc::{bits, Client, Fetched, Operation, Options, PoolFigures, Queue, Status};
use common::oracle::Watchdog;
use common::Memcached;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PROTOCOLS: [&str; 4] = ["auto", "text", "meta", "binary"];

fn options(server: &str, settings: &[(&str, &str)]) -> Options {
    let mut options = Options::new();
    options.add_server(server, "", 1).unwrap();
    // How each failure looks is the subject here, not what is remembered of it (tests/failover.rs).
    options.set("failover", "none").unwrap();
    for (name, value) in [("timeout_ms", "20000"), ("connect_timeout_ms", "20000")].iter().chain(settings) {
        options.set(name, value).unwrap();
    }
    options
}

fn fetch(queue: &Queue, count: usize) -> Vec<Fetched> {
    let mut answers = Vec::new();
    while answers.len() < count {
        queue.fetch(&mut answers, count, 20_000).unwrap();
    }
    answers
}

fn queued(client: &Client) -> Status {
    let queue = Queue::new().unwrap();
    queue.submit(client, [(1, Operation::get(b"k"))]).1.unwrap();
    fetch(&queue, 1)[0].status
}

fn option_of(fd: i32, level: i32, name: i32) -> i32 {
    let (mut value, mut len) = (0i32, 4 as libc::socklen_t);
    // SAFETY: `value` is four bytes that the kernel may write.
    let result = unsafe { libc::getsockopt(fd, level, name, (&mut value as *mut i32).cast(), &mut len) };
    assert_eq!(result, 0, "getsockopt {level} {name}");
    value
}

// ---- keepalive ----

/// SO_KEEPALIVE and its three numbers as a connected socket of this client's has them, and TCP_NODELAY.
fn keepalive_of(settings: &[(&str, &str)]) -> [i32; 5] {
    let server = Memcached::tcp(&[]);
    let mut options = options(server.address(), settings);
    let seen: Arc<Mutex<Vec<i32>>> = Arc::default();
    let notes = seen.clone();
    options.on_connect(move |fd, stage, _| {
        if stage == ConnectStage::Connected {
            notes.lock().unwrap().push(fd.as_raw_fd());
        }
        0
    });
    let client = Client::new(options).unwrap();
    assert!(client.get(b"k").unwrap().is_none());
    let fd = *seen.lock().unwrap().last().unwrap();
    let tcp = |name| option_of(fd, libc::IPPROTO_TCP, name);
    [
        option_of(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE),
        tcp(libc::TCP_KEEPIDLE),
        tcp(libc::TCP_KEEPINTVL),
        tcp(libc::TCP_KEEPCNT),
        tcp(libc::TCP_NODELAY),
    ]
}

#[test]
fn keepalive_and_no_delay_are_the_sockets() {
    assert_eq!(keepalive_of(&[])[0], 0);
    assert_eq!(keepalive_of(&[("keepalive_s", "60")]), [1, 60, 1, 5, 1]);
    let all = [("keepalive_s", "7"), ("keepalive_interval_s", "3"), ("keepalive_count", "4"), ("no_delay", "false")];
    assert_eq!(keepalive_of(&all), [1, 7, 3, 4, 0]);
    // A Unix socket has none, and works all the same.
    let server = Memcached::unix(&[]);
    assert!(common::client(server.address(), &all).get(b"k").unwrap().is_none());
}

// ---- reconnect_delay_ms ----

#[test]
fn after_a_failed_attempt_calls_fail_at_once_until_the_delay_is_over() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (delay, through_queue) in [("60000", false), ("60000", true), ("0", false), ("0", true)] {
        let mut options = options(&closed.to_string(), &[("reconnect_delay_ms", delay), ("connections", "1")]);
        attempts.store(0, Ordering::SeqCst);
        let count = attempts.clone();
        options.on_connect(move |_, _, _| {
            count.fetch_add(1, Ordering::SeqCst);
            0
        });
        let client = Client::new(options).unwrap();
        for _ in 0..5 {
            match through_queue {
                true => assert_eq!(queued(&client), Status::Connection),
                false => assert_eq!(client.get(b"k").unwrap_err().status(), Status::Connection),
            }
        }
        let expected = if delay == "0" { 5 } else { 1 };
        assert_eq!(attempts.load(Ordering::SeqCst), expected, "{delay} {through_queue}");
        if delay != "0" && !through_queue {
            let error = client.get(b"k").unwrap_err();
            assert!(error.message().contains("reconnect_delay_ms is 60000"), "{error}");
            assert!(error.message().contains(&closed.to_string()), "{error}");
            assert_ne!(error.bits() & bits::NOT_SENT, 0);
        }
    }
}

/// bmemcached waits five seconds for a server over TCP, and no time for a Unix socket; what is set counts for both.
#[test]
fn the_profiles_delay_is_not_for_unix_sockets() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let nowhere = std::env::temp_dir().join(format!("bmemc-no-socket-{}", std::process::id())).display().to_string();
    let profile = ("profile", "bmemcached");
    // A read that failed is a miss with this profile: a write tells.
    let waits = |client: &Client| {
        let error = client.set(b"k", b"v", 0, 0).unwrap_err();
        assert_eq!(error.status(), Status::Connection, "{error}");
        error.message().contains("reconnect_delay_ms is")
    };
    for (address, settings, expected) in [
        (&closed, &[profile][..], true),
        (&nowhere, &[profile], false),
        (&nowhere, &[profile, ("reconnect_delay_ms", "5000")], true),
        (&closed, &[profile, ("reconnect_delay_ms", "0")], false),
    ] {
        let client = Client::new(options(address, settings)).unwrap();
        assert!(!waits(&client), "{address}: the first one tries");
        assert_eq!(waits(&client), expected, "{address} {settings:?}");
        // enable_retry_delay(True) and (False) are for all servers.
        client.set_option("reconnect_delay_ms", "5000").unwrap();
        assert!(waits(&client), "{address}");
        client.set_option("reconnect_delay_ms", "0").unwrap();
        assert!(!waits(&client), "{address}");
    }
}

#[test]
fn the_delay_is_changed_while_the_client_is_in_use() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(options(&closed.to_string(), &[])).unwrap();
    let waits = || client.get(b"k").unwrap_err().message().contains("reconnect_delay_ms is 60000");
    assert!(!waits() && !waits());
    client.set_option("reconnect_delay_ms", "60000").unwrap();
    assert!(waits(), "the attempt before has failed just now");
    client.set_option("reconnect_delay_ms", "0").unwrap();
    assert!(!waits());
    client.set_option("reconnect_delay_ms", "60000").unwrap();
    assert!(waits() && queued(&client) == Status::Connection);
    let _server = Server::start(Config { port: closed.port(), ..Config::default() }).unwrap();
    assert!(waits());
    client.set_option("reconnect_delay_ms", "0").unwrap();
    assert!(client.get(b"k").unwrap().is_none());
    for (name, value, status, words) in [
        ("reconnect_delay_ms", "soon", Status::Argument, "whole number"),
        ("reconnect_delay_ms", "", Status::Argument, "whole number"),
        ("retry_delay", "1", Status::Argument, "unknown option"),
        ("timeout_ms", "1", Status::Unsupported, "reconnect_delay_ms alone"),
        ("password", "secret", Status::Unsupported, "set_credentials"),
    ] {
        let error = client.set_option(name, value).unwrap_err();
        assert!(error.status() == status && error.message().contains(words), "{error}");
        assert!(!error.message().contains("secret"));
    }
}

#[test]
fn when_the_delay_is_over_the_next_call_connects() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(options(&closed.to_string(), &[("reconnect_delay_ms", "300")])).unwrap();
    let begun = Instant::now();
    assert!(client.get(b"k").is_err());
    let server = Server::start(Config { port: closed.port(), ..Config::default() }).unwrap();
    while client.get(b"k").is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is not tried again");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(begun.elapsed() >= Duration::from_millis(290), "it was tried too early: {:?}", begun.elapsed());
    // An established connection that breaks starts no delay.
    client.disconnect_all();
    assert!(client.get(b"k").unwrap().is_none());
    drop(server);
}

// ---- The callback ----

#[test]
fn the_callback_sees_every_socket_before_and_after_it_connects() {
    for unix in [false, true] {
        let server = if unix { Memcached::unix(&[]) } else { Memcached::tcp(&[]) };
        let seen: Arc<Mutex<Vec<(ConnectStage, String)>>> = Arc::default();
        let mut options = options(server.address(), &[("connections", "1"), ("protocol", "text")]);
        let notes = seen.clone();
        options.on_connect(move |fd, stage, address| {
            assert!(fd.as_raw_fd() > 0);
            notes.lock().unwrap().push((stage, address.to_string()));
            0
        });
        let client = Client::new(options).unwrap();
        assert!(client.get(b"k").unwrap().is_none());
        assert!(client.get(b"k").unwrap().is_none());
        assert_eq!(queued(&client), Status::NotFound);
        let seen = seen.lock().unwrap();
        let expected = [ConnectStage::Opened, ConnectStage::Connected, ConnectStage::Opened, ConnectStage::Connected];
        assert_eq!(seen.iter().map(|(stage, _)| *stage).collect::<Vec<_>>(), expected);
        assert!(seen.iter().all(|(_, address)| address == server.address()), "{seen:?}");
    }
}

#[test]
fn a_socket_that_the_callback_refuses_is_not_used() {
    let server = Memcached::tcp(&[]);
    for stage in [ConnectStage::Opened, ConnectStage::Connected] {
        let refuse = Arc::new(AtomicI32::new(7));
        let answer = refuse.clone();
        let mut options = options(server.address(), &[]);
        options.on_connect(move |_, at, _| if at == stage { answer.load(Ordering::SeqCst) } else { 0 });
        let client = Client::new(options).unwrap();
        for _ in 0..3 {
            let error = client.get(b"k").unwrap_err();
            assert_eq!(error.status(), Status::Connection, "{error}");
            assert!(error.message().contains("refused it (7)"), "{error}");
            assert_eq!(queued(&client), Status::Connection);
        }
        assert_eq!(client.pool_figures(None).unwrap().open(), 0);
        refuse.store(0, Ordering::SeqCst);
        assert!(client.get(b"k").unwrap().is_none());
    }
}

// ---- What is open ----

#[test]
fn the_pool_says_what_is_used_free_and_waited_for() {
    let _watchdog = Watchdog::start("the pool's figures", Duration::from_secs(60));
    let server = Server::start(Config::default()).unwrap();
    let client = Client::new(options(server.address(), &[("connections", "2")])).unwrap();
    let figures = || client.pool_figures(None).unwrap();
    assert_eq!(figures(), PoolFigures::default());
    assert!(client.get(b"k").unwrap().is_none());
    assert_eq!((figures().used, figures().free, figures().waiting), (0, 1, 0));
    let queue = Queue::new().unwrap();
    queue.submit(&client, [(1, Operation::get(b"k"))]).1.unwrap();
    fetch(&queue, 1);
    assert_eq!((figures().used, figures().free, figures().open()), (0, 2, 2));

    server.set("fault", "command=get delay=400").unwrap();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| client.get(b"k").unwrap());
        let begun = Instant::now();
        while figures().waiting == 0 || figures().used == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20) && !call.is_finished(), "{:?}", figures());
        }
        assert_eq!((figures().used, figures().free, figures().waiting), (1, 1, 1));
        assert!(call.join().unwrap().is_none());
    });
    queue.submit(&client, [(2, Operation::get(b"k"))]).1.unwrap();
    assert_eq!((figures().used, figures().free), (1, 1));
    fetch(&queue, 1);
    assert_eq!((figures().used, figures().free), (0, 2));
    drop(queue);
    assert_eq!(figures().open(), 1, "a queue's connections end with it");
    assert_eq!(client.pool_figures(Some(0)).unwrap().open(), 1);
    assert_eq!(client.pool_figures(Some(1)).unwrap_err().status(), Status::Argument);
}

/// Whether a queue's descriptor says that it wants to be fetched from.
fn is_readable(queue: &Queue) -> bool {
    let mut entry = libc::pollfd { fd: queue.fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd of ours.
    unsafe { libc::poll(&mut entry, 1, 0) == 1 }
}

#[test]
fn disconnect_all_drops_the_connections_of_queues_too() {
    let _watchdog = Watchdog::start("disconnect_all", Duration::from_secs(60));
    for protocol in PROTOCOLS {
        let server = Server::start(Config::default()).unwrap();
        let client = Client::new(options(server.address(), &[("protocol", protocol)])).unwrap();
        let queue = Queue::new().unwrap();
        assert!(client.get(b"k").unwrap().is_none());
        queue.submit(&client, [(1, Operation::get(b"k"))]).1.unwrap();
        assert_eq!(fetch(&queue, 1)[0].status, Status::NotFound);
        client.disconnect_all();
        // A queue does its part when it is next used, and says to its host that there is something to do.
        assert_eq!(client.pool_figures(None).unwrap().open(), 1, "{protocol}");
        assert!(is_readable(&queue), "{protocol}");
        queue.fetch(&mut Vec::new(), 1, 0).unwrap();
        assert_eq!(client.pool_figures(None).unwrap().open(), 0, "{protocol}");
        assert!(!is_readable(&queue), "{protocol}");
        // What awaits an answer fails, and a fetch that sleeps is woken for it.
        let stalled = Client::new(options(server.address(), &[("protocol", "binary")])).unwrap();
        server.set("fault", "stall").unwrap();
        queue.submit(&stalled, [(2, Operation::get(b"k"))]).1.unwrap();
        let woken = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(100));
                woken.store(true, Ordering::SeqCst);
                stalled.disconnect_all();
            });
            let answers = fetch(&queue, 1);
            assert_eq!((answers[0].tag, answers[0].status), (2, Status::Connection));
            assert!(woken.load(Ordering::SeqCst));
        });
        server.set("fault", "").unwrap();
        queue.submit(&client, [(3, Operation::get(b"k"))]).1.unwrap();
        assert_eq!(fetch(&queue, 1)[0].status, Status::NotFound);
        assert!(client.get(b"k").unwrap().is_none());
    }
}

#[test]
fn keys_are_checked_as_a_call_would() {
    let long = vec![b'x'; 251];
    for protocol in PROTOCOLS {
        let client = Client::new(options("127.0.0.1:1", &[("protocol", protocol)])).unwrap();
        client.check_key(b"good").unwrap();
        for bad in [&b""[..], &long] {
            let error = client.check_key(bad).unwrap_err();
            assert_eq!((error.status(), error.bits()), (Status::Argument, bits::NOT_SENT), "{protocol}");
        }
        assert_eq!(client.check_key(b"with space").is_ok(), protocol == "binary");
    }
}

// ---- The embedded server's side ----

#[test]
fn faults_hit_the_commands_that_they_name() {
    for protocol in PROTOCOLS {
        let server = Server::start(Config::default()).unwrap();
        let settings = [("protocol", protocol), ("timeout_ms", "400"), ("connections", "1")];
        let client = Client::new(options(server.address(), &settings)).unwrap();
        client.set(b"k", b"value", 0, 0).unwrap();
        let hit = || client.get(b"k").unwrap().unwrap().value == b"value";
        let fault = |text: &str| {
            // Plain reads are `get` or `mg`.
            let command = if protocol == "meta" { "mg" } else { "get" };
            server.set("fault", &format!("command={command} {text}")).unwrap();
        };
        let failure = || client.get(b"k").unwrap_err();
        assert!(hit());
        fault("count=1 close");
        assert_eq!(failure().status(), Status::Connection, "{protocol}");
        assert!(hit());
        fault("count=1 garbage");
        assert_eq!(failure().status(), Status::Protocol, "{protocol}");
        assert!(hit());
        fault("count=1 error=SERVER_ERROR out of order");
        let error = failure();
        assert_eq!(error.status(), Status::ServerError, "{protocol}: {error}");
        assert!(error.message().contains("out of order"), "{error}");
        fault("skip=1 count=1 close");
        assert!(hit());
        assert!(client.get(b"k").is_err());
        fault("count=1 stall");
        assert_eq!(failure().status(), Status::Timeout, "{protocol}");
        fault("count=1 delay=150");
        let begun = Instant::now();
        assert!(hit());
        assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
        server.set("fault", "").unwrap();
        assert!(hit());
    }
    let server = Server::start(Config::default()).unwrap();
    for (name, value) in [("fault", "explode"), ("weather", "sunny"), ("auth", "maybe"), ("advance_seconds", "-1")] {
        let error = server.set(name, value).unwrap_err();
        assert_eq!(error.status(), Status::Argument);
        assert!(error.message().contains(name), "{error}");
    }
    assert!(!server.set("users", "alice:secret\nbob secret").unwrap_err().message().contains("secret"));
}

#[test]
fn idle_connections_are_closed_by_the_servers_clock() {
    let server = Server::start(Config { idle_timeout: 60, ..Config::default() }).unwrap();
    let client = Client::new(options(server.address(), &[])).unwrap();
    client.set(b"k", b"v", 0, 1000).unwrap();
    let closed = |client: &Client| client.counters(None).unwrap().disconnects;
    server.set("advance_seconds", "50").unwrap();
    assert!(client.get(b"k").unwrap().is_some());
    assert_eq!(closed(&client), 0);
    server.set("advance_seconds", "61").unwrap();
    // The server's thread does it when it wakes.
    let begun = Instant::now();
    while closed(&client) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is not closed");
        std::thread::sleep(Duration::from_millis(20));
        let _ = client.get(b"k");
    }
    assert!(client.get(b"k").unwrap().is_some());
    server.set("advance_seconds", "1000").unwrap();
    let _ = client.get(b"k");
    assert!(client.get(b"k").unwrap().is_none(), "the item has expired");
}
