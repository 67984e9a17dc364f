//! What tests of the queue share: every protocol and kind of socket, and submits and fetches that wait for all.

use super::{client, Memcached};
use bmemc::{Client, Fetched, Operation, Queue, Status};
use std::collections::HashMap;
use std::process;
use std::time::Duration;

pub const PROTOCOLS: [&str; 4] = ["auto", "text", "meta", "binary"];
/// Deadlines are kept to this, on a machine that does other things too.
pub const LATE: Duration = Duration::from_millis(150);

/// Runs a test over every protocol and both kinds of socket.
pub fn everywhere(test: impl Fn(&Queue, &Client, &str)) {
    let servers = [Memcached::tcp(&["-m", "256"]), Memcached::unix(&["-m", "256"])];
    for server in &servers {
        for protocol in PROTOCOLS {
            let what = format!("{protocol} {}", server.address());
            let settings = [("protocol", protocol), ("timeout_ms", "20000")];
            test(&Queue::new().unwrap(), &client(server.address(), &settings), &what);
        }
    }
}

pub fn submit<'a>(queue: &Queue, client: &Client, operations: impl IntoIterator<Item = (u64, Operation<'a>)>) -> usize {
    let (accepted, stopped) = queue.submit(client, operations);
    stopped.unwrap();
    accepted
}

/// Fetches until nothing is under way.
pub fn fetch_all(queue: &Queue) -> Vec<Fetched> {
    let mut answers = Vec::new();
    while queue.fetch(&mut answers, 64, -1).unwrap() > 0 {}
    answers
}

/// The answers by their tags, each of which came once.
pub fn by_tag(answers: Vec<Fetched>) -> HashMap<u64, Fetched> {
    let count = answers.len();
    let map: HashMap<u64, Fetched> = answers.into_iter().map(|answer| (answer.tag, answer)).collect();
    assert_eq!(map.len(), count, "each operation is answered once");
    map
}

pub fn run<'a>(
    queue: &Queue,
    client: &Client,
    operations: impl IntoIterator<Item = (u64, Operation<'a>)>,
) -> HashMap<u64, Fetched> {
    submit(queue, client, operations);
    by_tag(fetch_all(queue))
}

pub fn statuses(answers: &HashMap<u64, Fetched>) -> Vec<Status> {
    (0..answers.len() as u64).map(|tag| answers[&tag].status).collect()
}

/// Sends a signal to a server.
pub fn signal(server: &Memcached, name: &str) {
    let status = process::Command::new("kill").args([name, &server.pid().to_string()]).status();
    assert!(status.unwrap().success());
    while name == "-STOP" && !server.is_stopped() {
        std::thread::yield_now();
    }
}

/// Runs a test over every protocol with a server that was stopped after the connection was used, "k" being K and "other"
/// O; operations may take 400 ms.
pub fn everywhere_stopped(test: impl Fn(&Queue, &Client, &Memcached, &str)) {
    for protocol in PROTOCOLS {
        for unix in [false, true] {
            let server = if unix { Memcached::unix(&[]) } else { Memcached::tcp(&[]) };
            let client = client(server.address(), &[("protocol", protocol), ("timeout_ms", "400")]);
            let queue = Queue::new().unwrap();
            run(&queue, &client, [(0, Operation::set(b"k", b"K", 0)), (1, Operation::set(b"other", b"O", 0))]);
            signal(&server, "-STOP");
            test(&queue, &client, &server, &format!("{protocol} {}", server.address()));
            signal(&server, "-CONT");
        }
    }
}
