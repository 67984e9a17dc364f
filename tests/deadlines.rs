//! No call outlives its deadline, whatever the server does not do. Every call may return 50 ms late, and as much later as
//! a thread that only sleeps is late in the same run.

mod common;

use bmemc::{Client, Operation, Queue, Status};
use common::oracle::{assert_right, client, run, Sleeper, Watchdog, PROTOCOLS};
use common::scripted::{right, Request, Scripted, Step, Verb};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const GRACE: Duration = Duration::from_millis(50);

/// Remembers how late calls were.
struct Late<'a> {
    what: &'a str,
    sleeper: Sleeper,
    worst: Mutex<(Duration, String)>,
}

impl<'a> Late<'a> {
    fn new(what: &'a str) -> Late<'a> {
        Late { what, sleeper: Sleeper::start(), worst: Mutex::default() }
    }

    /// Runs a call that may take so long; answers with how it failed.
    fn call(&self, client: &Client, operation: Operation<'_>, timeout_ms: u32) -> Option<Status> {
        let begun = Instant::now();
        let outcome = run(client, &[Operation { timeout_ms, ..operation }]);
        let late = begun.elapsed().saturating_sub(Duration::from_millis(timeout_ms.into()));
        assert_right(&outcome, self.what);
        self.note(late, || format!("{} {timeout_ms} ms: {:?}", operation.command.name(), outcome.only()));
        outcome.only()
    }

    /// Notes that a call was so late.
    fn note(&self, late: Duration, call: impl Fn() -> String) {
        let mut worst = self.worst.lock().unwrap();
        if late > worst.0 {
            *worst = (late, call());
        }
    }

    /// Whether every call was in time.
    fn is_in_time(&self) -> bool {
        let (worst, call) = &*self.worst.lock().unwrap();
        let allowed = GRACE + self.sleeper.lateness();
        println!("{}: at most {worst:?} late ({call}), {allowed:?} allowed", self.what);
        *worst <= allowed
    }
}

/// How late sleepers are on a machine that is not overloaded.
const CALM: Duration = Duration::from_millis(10);

/// Runs a test and fails if a call was late. Where the machine was overloaded meanwhile, so that those who only slept
/// were late too, it is measured again.
fn measured(what: &str, test: impl Fn(&Late<'_>)) {
    for attempt in 1.. {
        let late = Late::new(what);
        test(&late);
        if late.is_in_time() {
            return;
        }
        assert!(attempt < 4 && late.sleeper.lateness() > CALM, "{what}: late, see above");
    }
}

fn timeout_client(server: &str, protocol: &str, timeout_ms: u32) -> Client {
    client(server, &[("protocol", protocol), ("timeout_ms", &timeout_ms.to_string()), ("connect_timeout_ms", "60000")])
}

fn is_handshake(request: &Request) -> bool {
    matches!(request.verb, Verb::Version | Verb::Noop)
}

/// The usual deadline of a client, then others than that, each on a client of its own and once more on the same.
fn each_deadline(late: &Late<'_>, server: &Scripted, protocol: &str, operation: Operation<'_>) {
    for (usual, own) in [(100, 100), (300, 300), (1000, 80), (50, 250), (20, 20)] {
        let client = timeout_client(server.address(), protocol, usual);
        for _ in 0..2 {
            let status = late.call(&client, operation, own);
            assert_eq!(status, Some(Status::Timeout), "{} {protocol} {own} ms", late.what);
        }
    }
}

/// A call that is to succeed, however busy the machine is.
fn patient(operation: Operation<'_>) -> Operation<'_> {
    Operation { timeout_ms: 5000, ..operation }
}

/// Each protocol at the same time.
fn everywhere(test: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for protocol in PROTOCOLS {
            let test = &test;
            scope.spawn(move || test(protocol));
        }
    });
}

#[test]
fn a_server_that_never_answers() {
    measured("never", |late| {
        everywhere(|protocol| {
            let server = Scripted::tcp(|request, reply| match is_handshake(request) {
                true => right(request, reply),
                false => vec![Step::Mute],
            });
            each_deadline(late, &server, protocol, Operation::get(b"hit.a.100"));
            each_deadline(late, &server, protocol, Operation::set(b"hit.a.100", b"v", 0));
        });
    });
}

#[test]
fn a_server_that_answers_byte_by_byte() {
    measured("byte by byte", |late| {
        everywhere(|protocol| {
            let server = Scripted::tcp(|request, reply| match is_handshake(request) {
                true => right(request, reply),
                false => vec![Step::Dribble(reply.concat(), Duration::from_millis(15))],
            });
            each_deadline(late, &server, protocol, Operation::get(b"hit.a.2000"));
            each_deadline(late, &server, protocol, Operation::get(b"hit.a.60000"));
        });
    });
}

#[test]
fn a_server_that_stops_within_a_long_value() {
    measured("half a value", |late| {
        everywhere(|protocol| {
            let server = Scripted::tcp(|request, reply| match is_handshake(request) {
                true => right(request, reply),
                false => vec![Step::Send(reply.concat()[..30_000].to_vec()), Step::Mute],
            });
            each_deadline(late, &server, protocol, Operation::get(b"hit.a.60000"));
        });
    });
}

/// Connecting takes its time, then the first reply never comes: both count.
#[test]
fn a_handshake_that_is_slow_or_never_ends() {
    measured("handshake", |late| {
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let never = Scripted::tcp(|_, _| vec![Step::Mute]);
                each_deadline(late, &never, "auto", Operation::get(b"hit.a.100"));
            });
            scope.spawn(move || {
                let dribbles = Scripted::tcp(|_, reply| vec![Step::Dribble(reply.concat(), Duration::from_millis(40))]);
                each_deadline(late, &dribbles, "auto", Operation::get(b"hit.a.100"));
            });
            scope.spawn(move || {
                let slow = Scripted::tcp(|request, reply| match request.verb {
                    Verb::Version => vec![Step::Sleep(Duration::from_millis(250)), Step::Send(reply.concat())],
                    Verb::Noop => right(request, reply),
                    _ if request.connection % 2 == 0 => vec![Step::Mute],
                    _ => right(request, reply),
                });
                for operation in [Operation::get(b"hit.a.100"), Operation::set(b"hit.a.100", b"v", 0)] {
                    let client = timeout_client(slow.address(), "auto", 400);
                    assert_eq!(late.call(&client, operation, 400), Some(Status::Timeout));
                    // A connection on which nothing ever came but the handshake is not waited for again.
                    let next = run(&client, &[patient(Operation::get(b"hit.a.100"))]);
                    assert_eq!(next.hits, 1, "{next:?}");
                }
            });
        });
    });
}

/// A listener that has no room for one more connection.
struct BlackHole {
    address: String,
    _listener: TcpListener,
    _fillers: Vec<TcpStream>,
}

fn black_hole() -> BlackHole {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY: no pointers; it shortens the queue of a socket that listens already.
    unsafe { libc::listen(listener.as_raw_fd(), 0) };
    let address = listener.local_addr().unwrap();
    let mut fillers = Vec::new();
    while let Ok(filler) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        fillers.push(filler);
        assert!(fillers.len() < 100, "the queue of the listener does not fill");
    }
    BlackHole { address: address.to_string(), _listener: listener, _fillers: fillers }
}

#[test]
fn a_connect_that_never_ends() {
    measured("connect", |late| {
        let hole = black_hole();
        std::thread::scope(|scope| {
            for (usual, own, connect) in [(200, 200, "60000"), (1000, 100, "60000"), (5000, 5000, "150")] {
                let settings = [("timeout_ms", usual.to_string()), ("connect_timeout_ms", connect.to_string())];
                let settings: Vec<(&str, &str)> =
                    settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let client = client(&hole.address, &settings);
                scope.spawn(move || {
                    // Several wait for the one that connects; some have less time than it.
                    std::thread::scope(|scope| {
                        for less in [0, 0, 30, 60, 90] {
                            let client = &client;
                            scope.spawn(move || {
                                let begun = Instant::now();
                                let status = late.call(client, Operation::get(b"hit.a.1"), own - less);
                                assert_eq!(status, Some(Status::Timeout));
                                // connect_timeout_ms ends it earlier.
                                let most = Duration::from_millis(if connect == "150" { 150 } else { own.into() });
                                late.note(begun.elapsed().saturating_sub(most), || format!("connect {most:?}"));
                            });
                        }
                    });
                });
            }
        });
    });
}

#[test]
fn a_unix_socket_whose_queue_is_full() {
    measured("unix connect", |late| {
        let path = std::env::temp_dir().join(format!("bmemc-full-{}.sock", std::process::id()));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        // SAFETY: no pointers; it shortens the queue of a socket that listens already.
        unsafe { libc::listen(listener.as_raw_fd(), 0) };
        let filler = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let client = timeout_client(&path.display().to_string(), "text", 150);
        let status = late.call(&client, Operation::get(b"hit.a.1"), 150);
        assert_eq!(status, Some(Status::Timeout));
        drop(filler);
        std::fs::remove_file(&path).unwrap();
    });
}

/// 8 MB to a server that does not read; then the client is used again.
#[test]
fn a_request_that_cannot_be_sent() {
    measured("full buffers", |late| {
        let _watchdog = Watchdog::start("full buffers", Duration::from_secs(60));
        everywhere(|protocol| {
            let server =
                Scripted::tcp(|request, reply| match request.connection == 0 && request.key() == "hit.stop.1" {
                    true => vec![Step::Freeze],
                    false => right(request, reply),
                });
            let client =
                client(server.address(), &[("protocol", protocol), ("timeout_ms", "200"), ("connections", "1")]);
            // The first request makes the server stop reading; the second is the one that is half sent.
            assert_eq!(late.call(&client, Operation::get(b"hit.stop.1"), 20), Some(Status::Timeout));
            let value = vec![b'x'; 8 << 20];
            std::thread::scope(|scope| {
                let (late, client, value) = (late, &client, &value);
                scope.spawn(move || {
                    let status = late.call(client, Operation::set(b"hit.big.1", value, 0), 400);
                    assert_eq!(status, Some(Status::Timeout), "{protocol}");
                });
                // Others find the connection busy: they wait no longer than they want.
                for timeout in [40, 80, 120] {
                    scope.spawn(move || {
                        std::thread::sleep(Duration::from_millis(20));
                        late.call(client, Operation::get(b"hit.small.10"), timeout);
                        late.call(client, Operation::set(b"hit.big.2", value, 0), timeout);
                    });
                }
            });
            // What was half sent is never gone on with.
            for _ in 0..3 {
                let next = run(&client, &[patient(Operation::get(b"hit.next.100"))]);
                assert_eq!((next.hits, next.failed()), (1, 0), "{protocol}: {next:?}");
            }
            let again = run(&client, &[patient(Operation::set(b"hit.big.1", &value, 0))]);
            assert_eq!(again.done, 1, "{protocol}: {again:?}");
        });
    });
}

/// Many threads on one connection that is stuck: those with less time than the one who reads, and those with more.
#[test]
fn threads_on_a_stuck_connection() {
    measured("stuck", |late| {
        let _watchdog = Watchdog::start("stuck", Duration::from_secs(60));
        everywhere(|protocol| {
            let server = Scripted::tcp(|request, reply| match request.key().starts_with("hit.stuck") {
                true => vec![Step::Mute],
                false => right(request, reply),
            });
            let client =
                client(server.address(), &[("protocol", protocol), ("timeout_ms", "300"), ("connections", "1")]);
            for _ in 0..3 {
                std::thread::scope(|scope| {
                    for thread in 0..12u32 {
                        let (late, client) = (late, &client);
                        scope.spawn(move || {
                            // The first leads, with the longest time or the shortest.
                            let timeout = [300, 20, 60, 100, 140, 299, 301, 150, 150, 150, 40, 250][thread as usize];
                            std::thread::sleep(Duration::from_millis(if thread == 0 { 0 } else { 3 }));
                            let status = late.call(client, Operation::get(b"hit.stuck.5"), timeout);
                            assert_eq!(status, Some(Status::Timeout), "{protocol} {timeout}");
                        });
                    }
                });
                let next = run(&client, &[patient(Operation::get(b"hit.fine.50"))]);
                assert_eq!(next.hits, 1, "{protocol}: {next:?}");
            }
        });
    });
}

/// A call with less time than most leaves its connection to the reply that is to come: those behind it have another one
/// meanwhile, and the first one again once the reply was there.
#[test]
fn who_comes_after_a_call_that_gave_up_has_another_connection() {
    everywhere(|protocol| {
        // The reply takes much longer than any call that is to succeed, however busy the machine is.
        let slow = Duration::from_millis(900);
        let server = Scripted::tcp(move |request, reply| match request.key() {
            "hit.slow.5" => [vec![Step::Sleep(slow)], right(request, reply)].concat(),
            "hit.mute.5" => vec![Step::Mute],
            _ => right(request, reply),
        });
        let settings = [("protocol", protocol), ("timeout_ms", "20000"), ("connections", "2")];
        let client = client(server.address(), &settings);
        let get = |key: &str, timeout_ms| run(&client, &[Operation { timeout_ms, ..Operation::get(key.as_bytes()) }]);
        let counts = || client.counters(None).unwrap();
        assert_eq!(get("hit.first.5", 20_000).hits, 1);
        let begun = Instant::now();
        assert_eq!(get("hit.slow.5", 20).only(), Some(Status::Timeout), "{protocol}");
        // One after the other, and several together, of which more go along on one connection than there are others.
        let several = || {
            std::thread::scope(|scope| {
                for _ in 0..12 {
                    scope.spawn(|| (0..4).for_each(|_| assert_eq!(get("hit.fine.5", 20_000).hits, 1)));
                }
            });
        };
        (0..20).for_each(|_| assert_eq!(get("hit.fine.5", 20_000).hits, 1, "{protocol}"));
        several();
        assert!(begun.elapsed() < slow, "{protocol}: they have waited for the reply, {:?}", begun.elapsed());
        assert_eq!(counts().connects, 2, "{protocol}");
        std::thread::sleep(slow.saturating_sub(begun.elapsed()) + Duration::from_millis(200));
        let used = || client.pool_figures(None).unwrap().used;
        let until = Instant::now() + Duration::from_secs(20);
        while used() > 0 && Instant::now() < until {
            assert_eq!(get("hit.fine.5", 20_000).hits, 1, "{protocol}");
        }
        assert_eq!((used(), counts().disconnects), (0, 0), "{protocol}: its late reply was taken in");
        // A reply that never comes is not waited for without end: after a second the connection is opened anew.
        assert_eq!(get("hit.mute.5", 20).only(), Some(Status::Timeout), "{protocol}");
        std::thread::sleep(Duration::from_millis(1100));
        several();
        assert_eq!((used(), counts().disconnects), (0, 1), "{protocol}: given up");
        assert_eq!(counts().failures, 2, "{protocol}: by nobody else's cost");
    });
}

/// A queue's operations go to the connection that has least to do, which is not the one with a reply that was given up.
#[test]
fn what_a_queue_is_given_after_a_time_out_has_another_connection() {
    everywhere(|protocol| {
        let slow = Duration::from_millis(900);
        let server = Scripted::tcp(move |request, reply| match request.key() {
            "hit.slow.5" => [vec![Step::Sleep(slow)], right(request, reply)].concat(),
            _ => right(request, reply),
        });
        let settings = [("protocol", protocol), ("timeout_ms", "20000"), ("connections", "2")];
        let (client, queue) = (client(server.address(), &settings), Queue::new().unwrap());
        let get = |key: &str, timeout_ms| {
            let operation = Operation { timeout_ms, ..Operation::get(key.as_bytes()) };
            queue.submit(&client, [(1, operation)]).1.unwrap();
            let mut answers = Vec::new();
            assert_eq!(queue.fetch(&mut answers, 1, -1).unwrap(), 1);
            answers.remove(0).status
        };
        assert_eq!(get("hit.first.5", 20_000), Status::Ok);
        let begun = Instant::now();
        assert_eq!(get("hit.slow.5", 20), Status::Timeout, "{protocol}");
        (0..20).for_each(|_| assert_eq!(get("hit.fine.5", 20_000), Status::Ok, "{protocol}"));
        assert!(begun.elapsed() < slow, "{protocol}: they have waited for the reply, {:?}", begun.elapsed());
        assert_eq!(client.counters(None).unwrap().disconnects, 0, "{protocol}");
    });
}

/// The same where there is no other connection: the next call waits for the reply; one that has not come in a second is
/// given up.
#[test]
fn who_comes_after_a_call_that_gave_up_waits_where_there_is_one_connection() {
    everywhere(|protocol| {
        let server = Scripted::tcp(|request, reply| match request.key() {
            "hit.slow.5" => [vec![Step::Sleep(Duration::from_millis(300))], right(request, reply)].concat(),
            "hit.mute.5" => vec![Step::Mute],
            _ => right(request, reply),
        });
        let client = client(server.address(), &[("protocol", protocol), ("timeout_ms", "20000"), ("connections", "1")]);
        let get = |key: &str, timeout_ms| run(&client, &[Operation { timeout_ms, ..Operation::get(key.as_bytes()) }]);
        assert_eq!(get("hit.first.5", 20_000).hits, 1);
        assert_eq!(get("hit.slow.5", 20).only(), Some(Status::Timeout), "{protocol}");
        assert_eq!(get("hit.fine.5", 20_000).hits, 1, "{protocol}");
        assert_eq!(client.counters(None).unwrap().connects, 1, "{protocol}");
        assert_eq!(get("hit.mute.5", 20).only(), Some(Status::Timeout), "{protocol}");
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(get("hit.fine.5", 20_000).hits, 1, "{protocol}");
        assert_eq!(client.counters(None).unwrap().connects, 2, "{protocol}");
    });
}
