//! Closing a client, and dropping its connections, while other threads are in the middle of calls.

mod common;

use bmemc::{Client, Options, Status};
use common::Memcached;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const THREADS: usize = 16;
/// Waiting calls must be told within this.
const PROMPT: Duration = Duration::from_millis(500);

fn client(server: &str, settings: &[(&str, &str)]) -> Client {
    let mut options = Options::new();
    options.add_server(server, "", 1).unwrap();
    for (name, value) in settings {
        options.set(name, value).unwrap();
    }
    Client::new(options).unwrap()
}

/// A server whose process is stopped as long as this lives: the kernel answers for it, it does not.
struct Stopped<'a>(&'a Memcached);

impl<'a> Stopped<'a> {
    fn new(server: &'a Memcached) -> Stopped<'a> {
        signal(server, "-STOP");
        while !server.is_stopped() {
            std::thread::yield_now();
        }
        Stopped(server)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        signal(self.0, "-CONT");
    }
}

fn signal(server: &Memcached, name: &str) {
    assert!(Command::new("kill").args([name, &server.pid().to_string()]).status().unwrap().success());
}

/// Has threads begin calls that cannot end by themselves, does `act`, and answers with how each call ended and how long
/// after that.
fn while_they_wait(client: &Client, act: impl Fn(&Client)) -> Vec<(Status, Duration)> {
    let (ended, endings) = mpsc::channel();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let ended = ended.clone();
            scope.spawn(move || {
                let key = format!("close-{thread}");
                let large = vec![b'x'; 900_000];
                let status = match thread % 4 {
                    0 => client.get(key.as_bytes()).map(drop),
                    1 => client.set(key.as_bytes(), b"v", 0, 0),
                    2 => client.get_many(&[key.as_bytes(), b"b"]).and_then(|all| all.first_error().map_or(Ok(()), Err)),
                    _ => client.set(key.as_bytes(), &large, 0, 0),
                };
                ended.send((status.map_or_else(|error| error.status(), |()| Status::Ok), Instant::now())).unwrap();
            });
        }
        std::thread::sleep(Duration::from_millis(200));
        if let Ok((status, _)) = endings.try_recv() {
            panic!("a call ended by itself, with {status:?}: the test tests nothing");
        }
        let begun = Instant::now();
        act(client);
        (0..THREADS).map(|_| endings.recv().unwrap()).map(|(status, at)| (status, at - begun)).collect()
    })
}

fn expect(what: &str, wanted: Status, endings: &[(Status, Duration)]) {
    for (status, late) in endings {
        assert_eq!(*status, wanted, "{what}");
        assert!(*late < PROMPT, "{what}: {late:?} after the deed");
    }
}

const LONG: [(&str, &str); 2] = [("timeout_ms", "20000"), ("connect_timeout_ms", "20000")];

fn close(client: &Client) {
    client.close();
    client.close();
}

#[test]
fn calls_that_wait_for_answers_end_with_closed() {
    for protocol in ["text", "meta", "binary"] {
        for connections in ["1", "2"] {
            let server = Memcached::tcp(&[]);
            let settings = [&LONG[..], &[("protocol", protocol), ("connections", connections)]].concat();
            let client = client(server.address(), &settings);
            client.set(b"k", b"v", 0, 0).unwrap();
            let _stopped = Stopped::new(&server);
            let what = format!("{protocol}, {connections} connections");
            expect(&what, Status::Closed, &while_they_wait(&client, close));
            assert_eq!(client.get(b"k").unwrap_err().status(), Status::Closed, "{what}");
        }
    }
}

#[test]
fn calls_in_the_middle_of_a_handshake_end_with_closed() {
    let server = Memcached::tcp(&[]);
    let client = client(server.address(), &LONG);
    let _stopped = Stopped::new(&server);
    expect("handshake", Status::Closed, &while_they_wait(&client, close));
}

#[test]
fn calls_that_connect_end_with_closed() {
    let server = Memcached::tcp(&["-b", "1"]);
    let client = client(server.address(), &LONG);
    let _stopped = Stopped::new(&server);
    // The backlog fills up; then the kernel does not answer any more either.
    let address: SocketAddr = server.address().parse().unwrap();
    let filling = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
    let held: Vec<TcpStream> = std::iter::from_fn(filling).take(100).collect();
    assert!(held.len() < 100, "the backlog has no end");
    expect("connecting", Status::Closed, &while_they_wait(&client, close));
}

#[test]
fn closing_from_many_threads_is_closing_once() {
    let server = Memcached::tcp(&[]);
    let client = client(server.address(), &LONG);
    client.set(b"k", b"v", 0, 0).unwrap();
    let _stopped = Stopped::new(&server);
    let from_many = |client: &Client| {
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(|| client.close()))));
    };
    expect("many closers", Status::Closed, &while_they_wait(&client, from_many));
}

#[test]
fn dropping_connections_fails_who_waits_and_nobody_later() {
    let server = Memcached::tcp(&[]);
    let client = client(server.address(), &LONG);
    client.set(b"k", b"v", 0, 0).unwrap();
    let stopped = Stopped::new(&server);
    expect("disconnect_all", Status::Connection, &while_they_wait(&client, Client::disconnect_all));
    drop(stopped);
    assert_eq!(client.get(b"k").unwrap().unwrap().value, b"v");
    for _ in 0..100 {
        client.disconnect_all();
        assert_eq!(client.get(b"k").unwrap().unwrap().value, b"v");
    }
}
