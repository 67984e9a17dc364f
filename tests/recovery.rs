//! How soon a server that is back is used again: with the first probe that begins after that, and by the very next operation.
//! Real memcacheds are killed, stopped and started again under eight threads, and no time is allowed but the one until the next
//! probe is due, as the client's own health says, and what this machine is late by.

mod common;

use bmemc::{Client, Condition, EventKind, Operation, Options, Queue, Secret, Status};
use common::fleet::{freeze, servers, thaw, Got, Way, WAYS};
use common::logins::{has, Cut, Guarded, Tap, PASSWORD, USER};
use common::oracle::{Sleeper, Watchdog};
use common::Memcached;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Between two operations of a thread. A probe takes as many of them as it has round trips.
const PAUSE: Duration = Duration::from_millis(1);
/// What a probe and the threads' turns take on a machine that is not late at all.
const STEPS: Duration = Duration::from_millis(25);
/// What was under way when the server came back has been accounted for after this.
const SETTLED: Duration = Duration::from_millis(30);

/// What happened to an operation on the server that comes and goes.
struct Seen {
    begun: Instant,
    got: Got,
}

/// A client of three servers, of which the second one comes and goes.
struct Stage {
    client: Client,
    servers: Vec<Memcached>,
    /// A key of each server.
    keys: Vec<String>,
    seen: Mutex<Vec<Seen>>,
    /// When the breaker closed.
    closed: Arc<Mutex<Vec<Instant>>>,
    over: AtomicBool,
}

impl Stage {
    fn new(protocol: &str) -> Stage {
        let servers = servers(3);
        let closed: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let mut options = Options::new();
        servers.iter().for_each(|server| options.add_server(server.address(), "", 1).unwrap());
        let settings =
            [("protocol", protocol), ("timeout_ms", "700"), ("connect_timeout_ms", "700"), ("probe_max_ms", "1000")];
        settings.into_iter().for_each(|(name, value)| options.set(name, value).unwrap());
        let told = closed.clone();
        options.on_event(move |event| {
            if event.kind == EventKind::BreakerClosed {
                assert_eq!(event.server, 1, "{}", event.message);
                told.lock().unwrap().push(Instant::now());
            }
        });
        let client = Client::new(options).unwrap();
        let owner = |key: &String| client.server_for(key.as_bytes()).unwrap().0;
        let key_of = |server| (0..).map(|at| format!("key:{at}")).find(|key| owner(key) == server).unwrap();
        let keys: Vec<String> = (0..3).map(key_of).collect();
        let (seen, over) = (Mutex::default(), AtomicBool::new(false));
        Stage { client, servers, keys, seen, closed, over }
    }

    /// What one thread does until all is over: the others' keys never fail, and no value is wrong.
    fn work(&self, way: Way) {
        let queue = Queue::new().unwrap();
        while !self.over.load(Ordering::Relaxed) {
            for (server, key) in self.keys.iter().enumerate() {
                let begun = Instant::now();
                let set = Operation::set(key.as_bytes(), key.as_bytes(), 0);
                for got in way.run_on(&queue, &self.client, &[set, Operation::get(key.as_bytes())]) {
                    assert!(got.value.is_empty() || got.value == key.as_bytes(), "{way:?}: {got:?}");
                    assert!(server == 1 || got.status == Status::Ok, "{way:?}: server {server}: {got:?}");
                    if server == 1 {
                        self.seen.lock().unwrap().push(Seen { begun, got });
                    }
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn condition(&self) -> Condition {
        self.client.health(1).unwrap().condition
    }

    fn wait_until_out(&self) {
        while self.condition() != Condition::Out {
            std::thread::sleep(PAUSE);
        }
    }

    /// The server is back by now. Every operation that begins once the breaker has closed goes there, and it closes with the
    /// first probe.
    fn check_return(&self, what: &str) {
        let (back, sleeper) = (Instant::now(), Sleeper::start());
        std::thread::sleep(SETTLED);
        let (asked, health) = (Instant::now(), self.client.health(1).unwrap());
        let closes_before = self.closed.lock().unwrap().iter().filter(|closed| **closed < back).count();
        let mut usable = asked;
        if health.condition == Condition::Out {
            let probe_in = Duration::from_millis(health.probe_in_ms);
            assert!(probe_in <= Duration::from_millis(1000), "{what}: {health:?}");
            let mut now = health.clone();
            while now.condition == Condition::Out {
                assert_eq!(now.failures, health.failures, "{what}: a probe failed though the server is back: {now:?}");
                std::thread::sleep(PAUSE / 2);
                now = self.client.health(1).unwrap();
            }
            // It is told of after that, by a queue once its lock is free.
            let told = || self.closed.lock().unwrap().get(closes_before).copied();
            usable = std::iter::repeat_with(told).find_map(|told| told).unwrap();
            let (took, late) = (usable - asked.min(usable), sleeper.lateness());
            assert!(took <= probe_in + STEPS + late, "{what}: {took:?}, probed in {probe_in:?}, late by {late:?}");
            eprintln!("{what}: back after {took:?}, the probe was due in {probe_in:?}; late by {late:?}");
        }
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(self.condition(), Condition::Up, "{what}");
        let seen = self.seen.lock().unwrap();
        let next = seen.iter().filter(|seen| seen.begun > usable);
        assert!(next.clone().count() > 16, "{what}: operations went on");
        for Seen { begun, got } in next {
            let later = *begun - usable;
            assert_eq!(got.status, Status::Ok, "{what}: {later:?} after it was usable: {got:?}");
        }
        drop(seen);
        self.seen.lock().unwrap().clear();
    }

    /// Runs `mishaps` beside eight threads, half of which have queues.
    fn play(mut self, mishaps: impl FnOnce(&Stage, &mut Memcached)) {
        let mut server = self.servers.remove(1);
        let stage = &self;
        std::thread::scope(|scope| {
            (0..8).for_each(|thread| drop(scope.spawn(move || stage.work(WAYS[thread % 2]))));
            std::thread::sleep(Duration::from_millis(100));
            // Also where a check fails: a scope waits for its threads.
            let end = End(&stage.over);
            mishaps(stage, &mut server);
            drop(end);
        });
    }
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const PROTOCOLS: [&str; 3] = ["auto", "text", "binary"];

#[test]
fn a_killed_server_is_used_again_with_the_first_probe() {
    let _watchdog = Watchdog::start("killed", Duration::from_secs(120));
    for protocol in PROTOCOLS {
        Stage::new(protocol).play(|stage, server| {
            for away in [50, 900] {
                server.stop();
                stage.wait_until_out();
                std::thread::sleep(Duration::from_millis(away));
                server.start();
                stage.check_return(&format!("{protocol}: killed for {away} ms"));
            }
        });
    }
}

#[test]
fn a_stopped_server_is_used_again_with_the_first_probe() {
    let _watchdog = Watchdog::start("stopped", Duration::from_secs(120));
    for protocol in PROTOCOLS {
        Stage::new(protocol).play(|stage, server| {
            for away in [50, 1500] {
                freeze(server);
                stage.wait_until_out();
                std::thread::sleep(Duration::from_millis(away));
                thaw(server);
                stage.check_return(&format!("{protocol}: stopped for {away} ms"));
            }
        });
    }
}

#[test]
fn a_server_that_is_restarted_or_flaps_is_used_again_with_the_first_probe() {
    let _watchdog = Watchdog::start("restarted", Duration::from_secs(120));
    for protocol in PROTOCOLS {
        Stage::new(protocol).play(|stage, server| {
            server.stop();
            server.start();
            stage.check_return(&format!("{protocol}: restarted"));
            for pause in [10, 40, 120, 250, 20, 90] {
                server.stop();
                std::thread::sleep(Duration::from_millis(pause));
                server.start();
                std::thread::sleep(Duration::from_millis(pause / 2));
            }
            stage.check_return(&format!("{protocol}: flapped"));
        });
    }
}

/// A program that calls now and then: the call that begins the probe fails still, and the next one goes through.
#[test]
fn rare_calls_lose_one_of_them_to_a_probe() {
    for (way, protocol) in WAYS.into_iter().flat_map(|way| PROTOCOLS.map(|protocol| (way, protocol))) {
        let mut server = Memcached::tcp(&[]);
        let settings = [("failover", "breaker"), ("protocol", protocol), ("probe_max_ms", "250")];
        let client = common::client(server.address(), &settings);
        let queue = Queue::new().unwrap();
        let get = || way.run_on(&queue, &client, &[Operation::get(b"k")]).remove(0);
        assert_eq!(get().status, Status::NotFound);
        server.stop();
        while client.health(0).unwrap().condition != Condition::Out {
            assert!(get().status.is_failure());
        }
        server.start();
        while client.health(0).unwrap().probe_in_ms > 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let failed = (0..10).take_while(|_| {
            std::thread::sleep(Duration::from_millis(100));
            get().status.is_failure()
        });
        // None, if the answer was there before the call that began the probe had gone on.
        let failed = failed.count();
        assert!(failed <= 1, "{way:?} {protocol}: {failed} calls failed");
    }
}

/// A server that was found again is connected to at once, however long `reconnect_delay_ms` is.
#[test]
fn an_answered_probe_ends_the_delay_of_reconnecting() {
    for way in WAYS {
        let mut server = Memcached::tcp(&[]);
        let settings = [("failover", "breaker"), ("reconnect_delay_ms", "60000"), ("probe_max_ms", "250")];
        let client = common::client(server.address(), &settings);
        server.stop();
        assert!(way.one(&client, Operation::get(b"k")).status.is_failure());
        assert_eq!(client.health(0).unwrap().condition, Condition::Out);
        server.start();
        let begun = Instant::now();
        while client.health(0).unwrap().condition == Condition::Out {
            let got = way.one(&client, Operation::get(b"k"));
            assert!(begun.elapsed() < Duration::from_secs(20), "{way:?}: {got:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(way.one(&client, Operation::get(b"k")).status, Status::NotFound, "{way:?}");
    }
}

/// Clients that lose a server in one moment do not probe it in one.
#[test]
fn probes_of_many_clients_are_spread() {
    let mut server = Memcached::tcp(&[]);
    let clients: Vec<Client> = (0..40)
        .map(|_| common::client(server.address(), &[("failover", "breaker"), ("probe_min_ms", "2000")]))
        .collect();
    server.stop();
    let mut due: Vec<u64> = Vec::new();
    for (at, client) in clients.iter().enumerate() {
        assert!(WAYS[at % 2].one(client, Operation::get(b"k")).status.is_failure());
        let health = client.health(0).unwrap();
        due.push(health.since_ms + health.probe_in_ms);
    }
    due.sort_unstable();
    // From half the time to all of it, by the millisecond that each is told in.
    assert!(due[0] >= 999 && due[39] <= 2001, "{due:?}");
    assert!(due[5] < 1500 && due[34] > 1500, "{due:?}");
    due.dedup();
    assert!(due.len() > 25, "{due:?}");
}

// ---- With a login ----

/// What a login has in it, and what is asked behind it.
type Said = (&'static [u8], &'static [u8]);
const SASL: Said = (b"PLAIN\0alice\0", b"\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\r\n\0\0\0\0\0\0\0\0");
const ASCII: Said = (b"\r\nalice ", b"\r\nversion\r\n");

/// Servers that want a login, by the protocol that their clients are set to.
fn guarded() -> Vec<(&'static str, Guarded, Said)> {
    let sasl = || Guarded::sasl(false, "plain");
    let ascii = || Guarded::ascii(false);
    vec![
        ("binary", sasl(), SASL),
        ("auto", sasl(), SASL),
        ("text", ascii(), ASCII),
        ("meta", ascii(), ASCII),
        ("auto", ascii(), ASCII),
    ]
}

/// A client behind a tap, whose server was there, and is out now.
fn logged_in_once(server: &mut Guarded, protocol: &str) -> (Tap, Client) {
    let tap = Tap::to(server.address(), Cut::Never);
    let settings = [
        ("protocol", protocol),
        ("username", USER),
        ("password", PASSWORD),
        ("failover", "breaker"),
        ("probe_min_ms", "100"),
        ("probe_max_ms", "100"),
    ];
    let client = common::client(tap.address(), &settings);
    assert_eq!(client.get(b"some-key").unwrap(), None);
    server.server.stop();
    while client.health(0).unwrap().condition != Condition::Out {
        assert!(client.get(b"some-key").is_err());
    }
    (tap, client)
}

/// Calls until the server is up again; the status of the last call, which the first answer to a probe has let through.
fn call_until_up(client: &Client, way: Way) -> Got {
    let begun = Instant::now();
    loop {
        std::thread::sleep(PAUSE);
        let got = way.one(client, Operation::get(b"some-key"));
        assert!(begun.elapsed() < Duration::from_secs(20), "{got:?}");
        if client.health(0).unwrap().condition != Condition::Out {
            return got;
        }
        assert!(got.detail.contains("is out since"), "{got:?}");
        assert!(!got.detail.contains(PASSWORD), "{got:?}");
    }
}

#[test]
fn a_probe_logs_in_and_asks_something() {
    for way in WAYS {
        for (protocol, mut server, (login, question)) in guarded() {
            let (tap, client) = logged_in_once(&mut server, protocol);
            server.server.start();
            let first = tap.connections();
            let got = call_until_up(&client, way);
            assert_eq!(got.status, Status::NotFound, "{way:?} {protocol}: {got:?}");
            let said = tap.said_since(first);
            let is_probe = |said: &&Vec<u8>| said.ends_with(question) && has(said, login) && !has(said, b"some-key");
            let texts = || said.iter().map(|said| said.escape_ascii().to_string()).collect::<Vec<_>>();
            assert_eq!(said.iter().filter(is_probe).count(), 1, "{way:?} {protocol}: {:?}", texts());
        }
    }
}

#[test]
fn a_login_that_is_refused_at_a_probe_is_an_answer_and_not_tried_again_at_once() {
    for way in WAYS {
        for (protocol, mut server, (login, _)) in guarded() {
            let (tap, client) = logged_in_once(&mut server, protocol);
            client.set_credentials(USER, &Secret::new("wrong-horse")).unwrap();
            server.server.start();
            let (first, begun) = (tap.connections(), Instant::now());
            let got = call_until_up(&client, way);
            assert_eq!(got.status, Status::Auth, "{way:?} {protocol}: {got:?}");
            (0..20).for_each(|_| assert_eq!(way.one(&client, Operation::get(b"some-key")).status, Status::Auth));
            let logins = tap.said_since(first).iter().filter(|said| has(said, login)).count();
            assert!(logins == 1 || begun.elapsed() > Duration::from_secs(5), "{way:?} {protocol}: {logins} logins");
            client.set_credentials(USER, &Secret::new(PASSWORD)).unwrap();
            assert_eq!(way.one(&client, Operation::get(b"some-key")).status, Status::NotFound, "{way:?} {protocol}");
        }
    }
}
