//! Several servers, a client of them, and the two ways of running operations: by a call that waits, and by a queue.

use super::{Memcached, USUAL};
use bmemc::{Answer, Answers, Client, Fetched, Operation, Options, Queue, Status, Value};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What an operation was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Got {
    pub status: Status,
    pub value: Vec<u8>,
    pub server: u32,
    pub number: u64,
    pub cas: u64,
    pub bits: u32,
    pub detail: String,
}

/// How operations are run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    Blocking,
    Queued,
}

pub const WAYS: [Way; 2] = [Way::Blocking, Way::Queued];

impl Way {
    /// Runs operations; answer `i` is that of operation `i`, and each has one.
    pub fn run(self, client: &Client, operations: &[Operation<'_>]) -> Vec<Got> {
        match self {
            Way::Blocking => {
                let mut answers = Answers::new(operations.len());
                client.execute(operations, &mut answers).unwrap();
                answers.iter().map(Got::from_answer).collect()
            }
            Way::Queued => self.run_on(&Queue::new().unwrap(), client, operations),
        }
    }

    /// The same, over this queue's connections.
    pub fn run_on(self, queue: &Queue, client: &Client, operations: &[Operation<'_>]) -> Vec<Got> {
        if self == Way::Blocking {
            return self.run(client, operations);
        }
        let (accepted, stopped) = queue.submit(client, (0..).zip(operations.iter().copied()));
        stopped.unwrap();
        assert_eq!(accepted, operations.len());
        let mut fetched = Vec::new();
        while queue.fetch(&mut fetched, 64, -1).unwrap() > 0 {}
        assert_eq!(fetched.len(), operations.len(), "each operation is answered once: {fetched:?}");
        fetched.sort_by_key(|answer| answer.tag);
        assert!(fetched.iter().zip(0..).all(|(answer, tag)| answer.tag == tag), "each operation is answered once");
        fetched.into_iter().map(Got::from_fetched).collect()
    }

    /// The same with one operation.
    pub fn one(self, client: &Client, operation: Operation<'_>) -> Got {
        self.run(client, &[operation]).remove(0)
    }
}

impl Got {
    pub fn from_answer(answer: Answer<'_>) -> Got {
        let Value::Borrowed(value) = answer.value else { panic!("answers that are kept are borrowed from") };
        Got {
            status: answer.status,
            value: value.to_vec(),
            server: answer.server,
            number: answer.number,
            cas: answer.cas,
            bits: answer.bits,
            detail: String::from_utf8_lossy(answer.detail).into_owned(),
        }
    }

    pub fn from_fetched(answer: Fetched) -> Got {
        Got {
            status: answer.status,
            value: answer.value,
            server: answer.server,
            number: answer.number,
            cas: answer.cas,
            bits: answer.bits,
            detail: String::from_utf8_lossy(&answer.detail).into_owned(),
        }
    }
}

/// So many memcacheds.
pub fn servers(count: usize) -> Vec<Memcached> {
    (0..count).map(|_| Memcached::tcp(&["-m", "64"])).collect()
}

/// A client of servers at these addresses with plenty of time; then as `settings` say.
pub fn client_of<'a>(addresses: impl IntoIterator<Item = &'a str>, settings: &[(&str, &str)]) -> Client {
    let mut options = Options::new();
    for address in addresses {
        options.add_server(address, "", 1).unwrap();
    }
    for (name, value) in USUAL.iter().chain(settings) {
        options.set(name, value).unwrap();
    }
    Client::new(options).unwrap()
}

/// The same of memcacheds.
pub fn client(servers: &[Memcached], settings: &[(&str, &str)]) -> Client {
    client_of(servers.iter().map(Memcached::address), settings)
}

/// Hands every byte on after a delay, to a server and back. It lives as long as the test's process.
pub fn delay_proxy(server: &str, delay: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, server) = (listener.local_addr().unwrap().to_string(), server.to_string());
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let (near, far) = (near.unwrap(), TcpStream::connect(&server).unwrap());
            for stream in [&near, &far] {
                stream.set_nodelay(true).unwrap();
            }
            carry(near.try_clone().unwrap(), far.try_clone().unwrap(), delay);
            carry(far, near, delay);
        }
    });
    address
}

fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        for (due, bytes) in receiver {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    std::thread::spawn(move || {
        let mut chunk = vec![0; 65536];
        while let Ok(came @ 1..) = from.read(&mut chunk) {
            if sender.send((Instant::now() + delay, chunk[..came].to_vec())).is_err() {
                return;
            }
        }
    });
}

/// Stops a server where it is, as SIGSTOP does, and waits until it has.
pub fn freeze(server: &Memcached) {
    signal(server, "STOP");
    let tasks = || std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().map(|task| task.unwrap().path());
    let stopped = |stat: String| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T"));
    while !tasks().all(|task| stopped(std::fs::read_to_string(task.join("stat")).unwrap())) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Lets it go on.
pub fn thaw(server: &Memcached) {
    signal(server, "CONT");
}

fn signal(server: &Memcached, name: &str) {
    let sent = std::process::Command::new("kill").args([&format!("-{name}"), &server.pid().to_string()]).status();
    assert!(sent.unwrap().success());
}
