//! What every key of the tests with a scripted server stands for, and who checks that answers say just that. A key
//! `hit.NAME.LEN` is held, with a value of LEN bytes that follows from the key; any other key is not.

use bmemc::{bits, Answer, Client, Operation, Options, Room, Sink, Status, Value};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const PROTOCOLS: [&str; 4] = ["auto", "text", "meta", "binary"];

/// A client of one server.
pub fn client(server: &str, settings: &[(&str, &str)]) -> Client {
    let mut options = Options::new();
    options.add_server(server, "", 1).unwrap();
    // Each call is to meet the server itself, whatever it did to the ones before: tests/failover.rs has the rest.
    options.set("failover", "none").unwrap();
    for (name, value) in settings {
        options.set(name, value).unwrap();
    }
    Client::new(options).unwrap()
}

/// Whether the long variants are asked for: `BMEMC_LONG=1` runs each random test about ten times as long.
pub fn scale() -> u64 {
    if std::env::var_os("BMEMC_LONG").is_some_and(|value| value == "1") {
        10
    } else {
        1
    }
}

fn hash(key: &[u8]) -> u64 {
    key.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

pub fn is_held(key: &[u8]) -> bool {
    key.starts_with(b"hit.")
}

pub fn flags(key: &[u8]) -> u32 {
    (hash(key) >> 20) as u32
}

/// The longest value that a key may ask for.
const LONGEST: usize = 4 << 20;

/// The value of a key: every byte depends on the key.
pub fn value(key: &[u8]) -> Vec<u8> {
    let len: Option<usize> =
        key.rsplit(|byte| *byte == b'.').next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
    let len = len.map_or(0, |len| len.min(LONGEST));
    let mut random = Random::new(hash(key));
    let mut bytes: Vec<u8> = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A sequence of numbers that follows from its seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end.max(1)
    }

    /// Whether an event of so many in a thousand happens.
    pub fn permille(&mut self, share: u64) -> bool {
        self.below(1000) < share
    }
}

/// How the operations of a call went, each checked against the oracle as its answer came.
#[derive(Default, Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub hits: u64,
    pub misses: u64,
    pub done: u64,
    /// Failures by operation.
    pub failures: Vec<Option<Status>>,
    /// What no answer may ever be.
    pub wrong: Vec<String>,
}

impl Outcome {
    pub fn failed(&self) -> u64 {
        self.failures.iter().flatten().count() as u64
    }

    pub fn only(&self) -> Option<Status> {
        self.failures.first().copied().flatten()
    }
}

struct Checker<'a> {
    operations: &'a [Operation<'a>],
    came: Vec<u32>,
    outcome: Outcome,
}

impl Sink for Checker<'_> {
    fn room(&mut self, _: usize, _: u32, _: usize) -> Room<'_> {
        Room::Collect
    }

    fn answer(&mut self, index: usize, answer: Answer<'_>) {
        let Some(operation) = self.operations.get(index) else {
            return self.outcome.wrong.push(format!("an answer to operation {index}"));
        };
        self.came[index] += 1;
        let key = operation.key.escape_ascii().to_string();
        let held = is_held(operation.key);
        use bmemc::Command::{Delete, Get, Set, Version};
        match (operation.command, answer.status) {
            (_, Status::Bug) => self.outcome.wrong.push(format!("{key}: {:?}", answer.error())),
            (_, status) if status.is_failure() => {
                let known = answer.bits & (bits::SENT | bits::NOT_SENT);
                if known == bits::SENT | bits::NOT_SENT {
                    self.outcome.wrong.push(format!("{key}: sent and not sent: {:?}", answer.error()));
                }
                self.outcome.failures[index] = Some(status);
            }
            (Get, Status::Ok) => {
                let bytes = match &answer.value {
                    Value::Borrowed(bytes) => bytes,
                    Value::Owned(bytes) => bytes.as_slice(),
                    other => return self.outcome.wrong.push(format!("{key}: {other:?}")),
                };
                if !held || bytes != value(operation.key) || answer.flags != flags(operation.key) {
                    self.outcome.wrong.push(format!("{key}: a wrong value of {} bytes", bytes.len()));
                }
                self.outcome.hits += 1;
            }
            (Get | Delete, Status::NotFound) if !held => self.outcome.misses += 1,
            (Delete, Status::Ok) if held => self.outcome.done += 1,
            (Set | Version, Status::Ok) => self.outcome.done += 1,
            (command, status) => self.outcome.wrong.push(format!("{} {key}: {}", command.name(), status.text())),
        }
    }
}

/// Runs operations and checks every answer.
pub fn run(client: &Client, operations: &[Operation<'_>]) -> Outcome {
    let outcome = Outcome { failures: vec![None; operations.len()], ..Outcome::default() };
    let mut checker = Checker { operations, came: vec![0; operations.len()], outcome };
    client.execute(operations, &mut checker).unwrap();
    for (index, came) in checker.came.iter().enumerate().filter(|(_, came)| **came != 1) {
        checker.outcome.wrong.push(format!("operation {index} was answered {came} times"));
    }
    checker.outcome
}

/// Reads one key.
pub fn get(client: &Client, key: &str) -> Outcome {
    run(client, &[Operation::get(key.as_bytes())])
}

/// Fails if anything was answered that may never be.
pub fn assert_right(outcome: &Outcome, what: &str) {
    assert!(outcome.wrong.is_empty(), "{what}: {:#?}", outcome.wrong);
}

/// Threads that do nothing but sleep: how late they wake says how late anybody would.
pub struct Sleeper {
    stop: Arc<AtomicBool>,
    latest: Arc<AtomicU64>,
    /// How often each has slept.
    naps: Arc<[AtomicU64; 8]>,
}

impl Sleeper {
    /// As many sleepers as a test has callers: the latest of many is later than one.
    pub fn start() -> Sleeper {
        let sleeper = Sleeper { stop: Arc::default(), latest: Arc::default(), naps: Arc::default() };
        for number in 0..8 {
            let (stop, latest, naps) = (sleeper.stop.clone(), sleeper.latest.clone(), sleeper.naps.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let (begun, nap) = (Instant::now(), Duration::from_millis(20 + number));
                    std::thread::sleep(nap);
                    latest.fetch_max((begun.elapsed() - nap).as_micros() as u64, Ordering::SeqCst);
                    naps[number as usize].fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        sleeper
    }

    /// How late the latest has been; those who sleep now are waited for, since they may be late already.
    pub fn lateness(&self) -> Duration {
        let naps = || self.naps.iter().map(|naps| naps.load(Ordering::SeqCst)).collect::<Vec<_>>();
        let before = naps();
        while naps().iter().zip(&before).any(|(now, before)| now == before) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Duration::from_micros(self.latest.load(Ordering::SeqCst))
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Ends the whole test program if it is not dropped in time: a hang is a failure, not a wait.
pub struct Watchdog(Arc<AtomicBool>);

impl Watchdog {
    pub fn start(what: &'static str, time: Duration) -> Watchdog {
        let over = Arc::new(AtomicBool::new(false));
        let (seen, until) = (over.clone(), Instant::now() + time);
        std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                if Instant::now() > until {
                    eprintln!("{what}: hangs after {time:?}");
                    std::process::exit(101);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Watchdog(over)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
