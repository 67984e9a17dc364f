//! What happens is told, once, on the thread that noticed it, in a place where the listener may take its time.

mod common;

use bmemc::{Client, Event, EventKind, Operation, Options, Queue, Status};
use common::Memcached;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

type Log = Arc<Mutex<Vec<(Event, ThreadId)>>>;

/// A client and what it tells.
fn client(server: &str, settings: &[(&str, &str)]) -> (Client, Log) {
    let mut options = Options::new();
    options.add_server(server, "", 1).unwrap();
    // How each failure looks is the subject here, not what is remembered of it (tests/failover.rs).
    options.set("failover", "none").unwrap();
    for (name, value) in settings {
        options.set(name, value).unwrap();
    }
    let log = Log::default();
    let told = log.clone();
    options.on_event(move |event| told.lock().unwrap().push((event.clone(), std::thread::current().id())));
    (Client::new(options).unwrap(), log)
}

/// The events since the last look; every one names the server and came on this thread.
fn take(log: &Log, server: &str) -> Vec<Event> {
    let events = std::mem::take(&mut *log.lock().unwrap());
    for (event, thread) in &events {
        assert!(event.message.contains(server), "{event:?}");
        assert_eq!((event.server, *thread), (0, std::thread::current().id()), "{event:?}");
    }
    events.into_iter().map(|(event, _)| event).collect()
}

fn kinds(events: &[Event]) -> Vec<(EventKind, Status)> {
    events.iter().map(|event| (event.kind, event.status)).collect()
}

fn signal(server: &Memcached, name: &str) {
    assert!(Command::new("kill").args([name, &server.pid().to_string()]).status().unwrap().success());
    std::thread::sleep(Duration::from_millis(50));
}

#[test]
fn connections_that_open_and_close() {
    let mut server = Memcached::tcp(&[]);
    let at = server.address().to_string();
    let (client, log) = client(&at, &[]);
    client.set(b"k", b"v", 0, 0).unwrap();
    client.get(b"k").unwrap();
    let events = take(&log, &at);
    assert_eq!(kinds(&events), [(EventKind::Connected, Status::Ok)]);
    assert!(events[0].elapsed_us > 0 && events[0].elapsed_us < 500_000, "{events:?}");

    client.disconnect_all();
    let events = take(&log, &at);
    assert_eq!(kinds(&events), [(EventKind::Closed, Status::Connection)]);
    assert!(events[0].message.contains("disconnect_all"), "{events:?}");

    client.get(b"k").unwrap();
    server.stop();
    while client.get(b"k").is_ok() {}
    let events = take(&log, &at);
    let opened_and_lost = [(EventKind::Connected, Status::Ok), (EventKind::Closed, Status::Connection)];
    assert_eq!(kinds(&events)[..2], opened_and_lost, "{events:?}");

    client.get(b"k").unwrap_err();
    let refused = take(&log, &at).pop().unwrap();
    assert_eq!((refused.kind, refused.status), (EventKind::ConnectFailed, Status::Connection));
    assert!(refused.os_error != 0 && refused.message.contains("refused"), "{refused:?}");

    server.start();
    client.get(b"k").unwrap();
    client.close();
    let events = take(&log, &at);
    assert_eq!(kinds(&events), [(EventKind::Connected, Status::Ok), (EventKind::Closed, Status::Closed)]);
    client.close();
    assert!(take(&log, &at).is_empty());
}

#[test]
fn an_idle_connection_and_one_that_the_server_closed() {
    let mut server = Memcached::tcp(&[]);
    let at = server.address().to_string();
    let (client, log) = client(&at, &[("connections_idle_ms", "60")]);
    client.set(b"k", b"v", 0, 0).unwrap();
    take(&log, &at);
    std::thread::sleep(Duration::from_millis(150));
    client.get(b"k").unwrap();
    let events = take(&log, &at);
    assert_eq!(kinds(&events), [(EventKind::Closed, Status::Ok), (EventKind::Connected, Status::Ok)]);
    assert!(events[0].message.contains("connections_idle_ms is 60"), "{events:?}");
    server.stop();
    std::thread::sleep(Duration::from_millis(20));
    client.get(b"k").unwrap_err();
    let events = take(&log, &at);
    assert_eq!(events[0].kind, EventKind::Closed, "{events:?}");
    assert_eq!(events.last().unwrap().kind, EventKind::ConnectFailed, "{events:?}");
}

#[test]
fn a_slow_call_is_told_of_and_a_fast_one_not() {
    let server = Memcached::tcp(&[]);
    let at = server.address().to_string();
    let (client, log) = client(&at, &[("slow_ms", "400"), ("timeout_ms", "600")]);
    client.set(b"k", b"v", 0, 0).unwrap();
    take(&log, &at);
    signal(&server, "-STOP");
    client.get_many(&[b"k", b"l"]).unwrap();
    let events = take(&log, &at);
    signal(&server, "-CONT");
    let slow: Vec<&Event> = events.iter().filter(|event| event.kind == EventKind::Slow).collect();
    assert_eq!(slow.len(), 1, "{events:?}");
    assert!((590_000..5_000_000).contains(&slow[0].elapsed_us), "{slow:?}");
    assert!(slow[0].message.contains("2 operations took"), "{slow:?}");
    assert!(
        events.iter().any(|event| (event.kind, event.status) == (EventKind::Closed, Status::Timeout)),
        "{events:?}"
    );
    client.get(b"k").unwrap();
    assert_eq!(kinds(&take(&log, &at)), [(EventKind::Connected, Status::Ok)]);
}

#[test]
fn nobody_is_held_up_by_a_listener() {
    // While one thread's listener takes its time, another thread opens and uses the second connection.
    let server = Memcached::tcp(&[]);
    let mut options = Options::new();
    options.add_server(server.address(), "", 1).unwrap();
    let gate = Arc::new(Mutex::new(()));
    let (held, waits) = (gate.clone(), gate.lock().unwrap());
    options.on_event(move |event| {
        if event.kind == EventKind::Closed {
            drop(held.lock().unwrap());
        }
    });
    let client = Client::new(options).unwrap();
    client.set(b"k", b"v", 0, 0).unwrap();
    std::thread::scope(|scope| {
        let dropping = scope.spawn(|| client.disconnect_all());
        std::thread::sleep(Duration::from_millis(50));
        for _ in 0..100 {
            assert_eq!(client.get(b"k").unwrap().unwrap().value, b"v");
        }
        assert!(!dropping.is_finished());
        drop(waits);
    });
}

#[test]
fn connections_of_a_queue() {
    let mut server = Memcached::tcp(&[]);
    let at = server.address().to_string();
    let (client, log) = client(&at, &[("connections", "1")]);
    let queue = Queue::new().unwrap();
    let one = || {
        let mut answers = Vec::new();
        assert_eq!(queue.submit(&client, [(1, Operation::get(b"k"))]).0, 1);
        while queue.fetch(&mut answers, 9, 1000).unwrap() == 0 {}
    };
    one();
    assert_eq!(kinds(&take(&log, &at)), [(EventKind::Connected, Status::Ok)]);
    server.stop();
    std::thread::sleep(Duration::from_millis(20));
    one();
    one();
    let events = take(&log, &at);
    assert_eq!(events[0].kind, EventKind::Closed, "{events:?}");
    assert_eq!(events.last().unwrap().kind, EventKind::ConnectFailed, "{events:?}");
}
