//! What a server may do wrong, one thing at a time, over every protocol: the call fails (which is no miss) or its value is
//! right; the connection is not used again; the next call works.

mod common;

use bmemc::{Operation, Status};
use common::oracle::{assert_right, client, get, run, Outcome, Watchdog, PROTOCOLS};
use common::scripted::{frame, hit, right, text_value, Request, Scripted, Step, Verb, Wire};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a fault does instead of the right reply; `None` where it does not apply to the request.
type Make = fn(&Request, &[Vec<u8>]) -> Option<Vec<Step>>;

/// What the call must come to.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Must {
    Fail,
    BeRight,
    /// Right where nothing else was asked for in the same call; else as below.
    BeRightAlone,
    /// Either, but nothing else.
    NotBeWrong,
}

struct Fault {
    name: &'static str,
    wires: &'static [Wire],
    must: Must,
    /// The connection is in doubt afterwards: it must be closed, and not be used.
    poisons: bool,
    /// The call fails only when its time is up; the others fail by what came, before that.
    waits: bool,
    /// How many of the calls after it may time out.
    patience: u32,
    make: Make,
}

const ALL: &[Wire] = &[Wire::Text, Wire::Meta, Wire::Binary];
const TEXT: &[Wire] = &[Wire::Text];
const META: &[Wire] = &[Wire::Meta];
const BINARY: &[Wire] = &[Wire::Binary];
const ASCII: &[Wire] = &[Wire::Text, Wire::Meta];

const fn fault(name: &'static str, wires: &'static [Wire], must: Must, poisons: bool, make: Make) -> Fault {
    Fault { name, wires, must, poisons, waits: false, patience: 0, make }
}

impl Fault {
    const fn waits(mut self) -> Fault {
        self.waits = true;
        self
    }

    const fn patience(mut self, patience: u32) -> Fault {
        self.patience = patience;
        self
    }
}

/// For calls whose time is to be up, and for those that end by themselves.
const TIMEOUT: &str = "300";
const PLENTY: &str = "10000";
const LATE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(150);

fn half(parts: &[Vec<u8>]) -> Vec<u8> {
    let whole = parts.concat();
    whole[..whole.len() / 2].to_vec()
}

fn send(bytes: impl Into<Vec<u8>>) -> Option<Vec<Step>> {
    Some(vec![Step::Send(bytes.into())])
}

/// The reply with one byte of its first frame replaced.
fn with_byte(parts: &[Vec<u8>], at: usize, byte: u8) -> Option<Vec<Step>> {
    let mut bytes = parts.first()?.clone();
    *bytes.get_mut(at)? = byte;
    send(bytes)
}

/// A binary reply with these lengths in its header.
fn with_lengths(request: &Request, key: u16, extras: u8, body: u32) -> Option<Vec<Step>> {
    let mut bytes = hit(request, b"0123456789");
    bytes[2..4].copy_from_slice(&key.to_be_bytes());
    bytes[4] = extras;
    bytes[8..12].copy_from_slice(&body.to_be_bytes());
    send(bytes)
}

/// A VALUE or VA line whose length is this text, for a read of one key.
fn with_length(request: &Request, length: &str) -> Option<Vec<Step>> {
    let one = request.verb == Verb::Get && request.keys.len() == 1;
    let line = match request.wire {
        Wire::Text => format!("VALUE {} 0 {length}\r\n0123456789\r\nEND\r\n", request.key()),
        _ => format!("VA {length} f0 O{}\r\n0123456789\r\n", request.opaque),
    };
    one.then(|| send(line)).flatten()
}

/// A hit for a key that nobody asks for, whole and well formed.
fn stray(request: &Request) -> Vec<u8> {
    let other =
        Request { keys: vec![b"hit.stray.5".to_vec()], opaque: request.opaque ^ 0x4000_0000, ..request.clone() };
    hit(&other, b"STRAY")
}

fn is_read_of_one(request: &Request) -> bool {
    request.verb == Verb::Get && request.keys.len() == 1
}

fn faults() -> Vec<Fault> {
    use Must::{BeRight, BeRightAlone, Fail, NotBeWrong};
    vec![
        fault("late", ALL, Fail, false, |_, parts| Some(vec![Step::Sleep(LATE), Step::Send(parts.concat())])).waits(),
        fault("never", ALL, Fail, false, |_, _| Some(vec![Step::Mute])).waits(),
        fault("frozen", ALL, Fail, false, |_, _| Some(vec![Step::Freeze])).waits(),
        fault("closed", ALL, Fail, false, |_, _| Some(vec![Step::Close])),
        fault("reset", ALL, Fail, false, |_, _| Some(vec![Step::Reset])),
        fault("half, closed", ALL, Fail, false, |_, parts| Some(vec![Step::Send(half(parts)), Step::Close])),
        fault("half, reset", ALL, Fail, false, |_, parts| Some(vec![Step::Send(half(parts)), Step::Reset])),
        fault("half, never", ALL, Fail, true, |_, parts| Some(vec![Step::Send(half(parts)), Step::Mute]))
            .waits()
            .patience(3),
        fault("closed after the reply", ALL, BeRightAlone, false, |_, parts| {
            Some(vec![Step::Send(parts.concat()), Step::Close])
        }),
        fault("byte by byte", ALL, BeRight, false, |_, parts| {
            let bytes = parts.concat();
            (bytes.len() < 200).then(|| vec![Step::Dribble(bytes, Duration::from_micros(100))])
        }),
        fault("slow byte by byte", ALL, Fail, false, |_, parts| {
            let bytes = parts.concat();
            (bytes.len() < 60).then(|| vec![Step::Dribble(bytes, PAUSE), Step::Mute])
        })
        .waits()
        .patience(30),
        fault("stray in the same packet", ALL, NotBeWrong, true, |request, parts| {
            send([parts.concat(), stray(request)].concat())
        }),
        fault("stray later", ALL, BeRightAlone, true, |request, parts| {
            Some(vec![Step::Send(parts.concat()), Step::Sleep(Duration::from_millis(5)), Step::Send(stray(request))])
        }),
        fault("stray before", ALL, Fail, true, |request, parts| send([stray(request), parts.concat()].concat())),
        fault("HTTP", ALL, Fail, true, |_, _| send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")),
        fault("empty line", ALL, Fail, true, |_, parts| send([b"\r\n".to_vec(), parts.concat()].concat())),
        fault("OK", ALL, Fail, true, |_, _| send("OK\r\n")),
        fault("zeroes", ALL, Fail, true, |_, _| send([0; 5000])),
        fault("endless line", ALL, Fail, true, |_, _| Some(vec![Step::Poison, Step::Flood(vec![b'V'; 65536])])),
        fault("too many connections", ALL, Fail, false, |_, _| {
            Some(vec![Step::Send(b"ERROR Too many open connections\r\n".to_vec()), Step::Close])
        }),
        fault("too many connections, kept", ALL, Fail, true, |_, _| send("ERROR Too many open connections\r\n")),
        fault("ERROR", ASCII, Fail, false, |_, _| send("ERROR\r\n")),
        fault("CLIENT_ERROR", ASCII, Fail, false, |_, _| send("CLIENT_ERROR bad command line format\r\n")),
        fault("SERVER_ERROR", ASCII, Fail, false, |_, _| send("SERVER_ERROR out of memory\r\n")),
        fault("ERROR, then the reply", ASCII, Fail, true, |_, parts| {
            send([b"ERROR\r\n".to_vec(), parts.concat()].concat())
        }),
        fault("text in binary", BINARY, Fail, true, |_, _| send("SERVER_ERROR out of memory\r\n")),
        fault("binary in text", ASCII, Fail, true, |request, _| {
            send(frame(0, 0, request.opaque, &[0; 4], b"", b"0123456789"))
        }),
        fault("answer to another command", ASCII, Fail, true, |request, _| match (request.wire, request.verb) {
            (Wire::Text, Verb::Get) => send("STORED\r\n"),
            (Wire::Text, _) => send("END\r\n"),
            (_, Verb::Get) => send(format!("NF O{}\r\n", request.opaque)),
            _ => send(format!("EN O{}\r\n", request.opaque)),
        }),
        fault("a hit without its value", META, Fail, true, |request, _| {
            is_read_of_one(request).then(|| send(format!("HD O{}\r\n", request.opaque))).flatten()
        }),
        fault("a value for a write", META, Fail, true, |request, _| {
            (request.verb != Verb::Get).then(|| send(format!("VA 2 O{}\r\nab\r\n", request.opaque))).flatten()
        }),
        fault("wrong opaque", META, Fail, true, |request, parts| {
            let wrong = format!("O{}", request.opaque ^ 0x4000_0000);
            let text = parts.concat();
            let at = text.windows(2).position(|pair| pair == b" O")? + 1;
            let end = at + text[at..].iter().position(|byte| *byte == b'\r')?;
            send([&text[..at], wrong.as_bytes(), &text[end..]].concat())
        }),
        fault("no opaque", META, Fail, true, |request, _| match request.verb {
            Verb::Get => send("EN\r\n"),
            _ => send("HD\r\n"),
        }),
        fault("wrong opaque", BINARY, Fail, true, |_, parts| with_byte(parts, 12, 0x40)),
        fault("wrong opcode", BINARY, Fail, true, |_, parts| with_byte(parts, 1, 0x05)),
        fault("magic of a request", BINARY, Fail, true, |_, parts| with_byte(parts, 0, 0x80)),
        fault("magic zero", BINARY, Fail, true, |_, parts| with_byte(parts, 0, 0)),
        fault("unknown status", BINARY, Fail, false, |request, _| {
            send(frame(request.opcode, 0x86, request.opaque, b"", b"", b"busy"))
        }),
        fault("status of another command", BINARY, Fail, false, |request, _| {
            let status = if request.verb == Verb::Get { 2 } else { 5 };
            (request.verb != Verb::Set)
                .then(|| send(frame(request.opcode, status, request.opaque, b"", b"", b"")))
                .flatten()
        }),
        fault("not stored, for a read", BINARY, Fail, false, |request, _| {
            is_read_of_one(request).then(|| send(frame(request.opcode, 5, request.opaque, b"", b"", b""))).flatten()
        }),
        fault("auth error", BINARY, Fail, true, |request, _| {
            send(frame(request.opcode, 0x20, request.opaque, b"", b"", b"Auth failure."))
        }),
        fault("a hit without flags", BINARY, Fail, true, |request, _| {
            is_read_of_one(request).then(|| send(frame(request.opcode, 0, request.opaque, b"", b"", b""))).flatten()
        }),
        fault("a value with another key", BINARY, Fail, true, |request, _| {
            let bytes = frame(request.opcode, 0, request.opaque, &[0; 4], b"hit.stray.5", b"STRAY");
            is_read_of_one(request).then(|| send(bytes)).flatten()
        }),
        fault("a body of 4 GB", BINARY, Fail, true, |request, _| with_lengths(request, 0, 4, u32::MAX)),
        fault("extras longer than the body", BINARY, Fail, true, |request, _| with_lengths(request, 0, 20, 5)),
        fault("key of 251 bytes", BINARY, Fail, true, |request, _| with_lengths(request, 251, 4, 1000)),
        fault("extras of 21 bytes", BINARY, Fail, true, |request, _| with_lengths(request, 0, 21, 1000)),
        fault("length -5", ASCII, Fail, true, |request, _| with_length(request, "-5")),
        fault("length 2^63", ASCII, Fail, true, |request, _| with_length(request, "9223372036854775808")),
        fault("length 2^64 - 1", ASCII, Fail, true, |request, _| with_length(request, "18446744073709551615")),
        fault("length 2^64", ASCII, Fail, true, |request, _| with_length(request, "18446744073709551616")),
        fault("length 4294967280", ASCII, Fail, true, |request, _| with_length(request, "4294967280")),
        fault("length in words", ASCII, Fail, true, |request, _| with_length(request, "ten")),
        fault("no length", ASCII, Fail, true, |request, _| with_length(request, "")),
        fault("length too short", ASCII, Fail, true, |request, _| with_length(request, "7")),
        fault("length too long", TEXT, Fail, true, |request, _| with_length(request, "13")),
        // There is no END behind it.
        fault("length too long", META, Fail, true, |request, _| with_length(request, "13")).waits(),
        fault("value for another key", TEXT, Fail, true, |request, _| {
            is_read_of_one(request)
                .then(|| send([&text_value(b"hit.other.5", 0, b"OTHER")[..], b"END\r\n"].concat()))
                .flatten()
        }),
        fault("one more value, of another key", TEXT, NotBeWrong, true, |request, parts| {
            let (end, values) = parts.split_last()?;
            let more = text_value(b"hit.other.5", 0, b"OTHER");
            (request.verb == Verb::Get).then(|| send([values.concat(), more, end.clone()].concat())).flatten()
        }),
        fault("the value twice", TEXT, NotBeWrong, true, |request, parts| {
            let value = parts.first().filter(|part| part.starts_with(b"VALUE"))?.clone();
            (request.verb == Verb::Get).then(|| send([value, parts.concat()].concat())).flatten()
        }),
        fault("END missing", TEXT, NotBeWrong, true, |request, parts| {
            let (_, values) = parts.split_last().filter(|_| request.verb == Verb::Get)?;
            Some(vec![Step::Send(values.concat()), Step::Mute])
        })
        .waits()
        .patience(3),
        fault("END misspelt", TEXT, NotBeWrong, true, |request, parts| {
            let (_, values) = parts.split_last().filter(|_| request.verb == Verb::Get)?;
            send([values.concat(), b"ENDE\r\n".to_vec()].concat())
        }),
        fault("SERVER_ERROR instead of END", TEXT, NotBeWrong, false, |request, parts| {
            let (_, values) = parts.split_last().filter(|_| request.verb == Verb::Get)?;
            send([values.concat(), b"SERVER_ERROR out of memory writing get response\r\n".to_vec()].concat())
        }),
        fault("values in reverse order", TEXT, NotBeWrong, false, |request, parts| {
            let (end, values) = parts.split_last().filter(|_| request.verb == Verb::Get && parts.len() > 2)?;
            let values: Vec<Vec<u8>> = values.iter().rev().cloned().collect();
            send([values.concat(), end.clone()].concat())
        }),
        fault("replies in another order", &[Wire::Meta, Wire::Binary], NotBeWrong, false, |request, parts| {
            request.key().contains(".swap.").then(|| Some(vec![Step::Hold(parts.concat())])).flatten()
        }),
        fault("a quiet success that is told", BINARY, BeRight, false, |request, _| {
            let (status, words) = match request.verb {
                Verb::Get if request.key().starts_with("none") => (1, &b"Not found"[..]),
                Verb::Set => (0, &b""[..]),
                _ => return None,
            };
            request.is_quiet().then(|| send(frame(request.opcode, status, request.opaque, b"", b"", words))).flatten()
        }),
    ]
}

/// The calls that meet the fault: it befalls every key with this word in it.
fn calls() -> Vec<(&'static str, Vec<Operation<'static>>)> {
    vec![
        ("a hit", vec![Operation::get(b"hit.fault.100")]),
        ("a long hit", vec![Operation::get(b"hit.fault.40000")]),
        ("a miss", vec![Operation::get(b"none.fault")]),
        ("a set", vec![Operation::set(b"hit.fault.1", b"v", 0)]),
        ("a delete", vec![Operation::delete(b"hit.fault.1")]),
        ("version", vec![Operation::get(b"hit.a.9"), Operation::version(), Operation::delete(b"none.fault")]),
        (
            "several",
            vec![
                Operation::get(b"hit.before.40"),
                Operation::get(b"hit.fault.swap.300"),
                Operation::get(b"none.fault"),
                Operation::get(b"hit.after.50"),
                Operation::set(b"hit.fault.1", b"v", 0),
                Operation::get(b"hit.last.60"),
            ],
        ),
    ]
}

/// One call over one protocol meets the fault; answers with the wire that it met it on.
fn meet(fault: &Fault, protocol: &str, what: &str, operations: &[Operation<'_>]) -> BTreeSet<String> {
    let met: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let (seen, make, poisons, wires) = (met.clone(), fault.make, fault.poisons, fault.wires);
    let poisoning = Arc::new(AtomicBool::new(false));
    let will_poison = poisoning.clone();
    let server = Scripted::tcp(move |request, reply| {
        let faulty = request.keys.iter().any(|key| key.windows(5).any(|word| word == b"fault"));
        let faulty = faulty && request.connection == 0 && wires.contains(&request.wire);
        let steps = if faulty { make(request, reply) } else { None };
        let Some(mut steps) = steps else { return right(request, reply) };
        seen.lock().unwrap().insert(format!("{:?}", request.wire));
        if poisons && !steps.iter().any(|step| matches!(step, Step::Poison | Step::Mute)) {
            steps.push(Step::Poison);
        }
        let poison = steps.iter().any(|step| matches!(step, Step::Poison));
        will_poison.fetch_or(poison, Ordering::SeqCst);
        steps
    });
    let what = format!("{}, {what}, {protocol}", fault.name);
    let timeout = if fault.waits { TIMEOUT } else { PLENTY };
    let settings =
        [("protocol", protocol), ("connections", "1"), ("timeout_ms", timeout), ("connect_timeout_ms", PLENTY)];
    let client = client(server.address(), &settings);
    let patiently =
        |key: &'static str| run(&client, &[Operation { timeout_ms: 10_000, ..Operation::get(key.as_bytes()) }]);
    if fault.waits {
        // The time is to be up for the fault, not for the connection.
        assert_eq!(patiently("hit.first.1").hits, 1, "{what}");
    }
    let outcome = run(&client, operations);
    assert_right(&outcome, &what);
    let timed_out = outcome.failures.contains(&Some(Status::Timeout));
    assert!(fault.waits || !timed_out, "{what}: waited, {outcome:?}");
    let met = met.lock().unwrap().clone();
    if met.is_empty() {
        assert_eq!(outcome.failed(), 0, "{what}: {outcome:?}");
        return met;
    }
    match fault.must {
        Must::Fail => assert!(outcome.failed() > 0, "{what}: {outcome:?}"),
        Must::BeRightAlone if operations.len() > 1 => {}
        Must::BeRight | Must::BeRightAlone => assert_eq!(outcome.failed(), 0, "{what}: {outcome:?}"),
        Must::NotBeWrong => {}
    }
    // What the server does unasked is noticed when it is done, and the connection has been idle for a moment.
    let until = Instant::now() + Duration::from_secs(2);
    while poisoning.load(Ordering::SeqCst)
        && server.log().poisoned.load(Ordering::SeqCst) == 0
        && Instant::now() < until
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(30));
    let call = |key: &'static str| match fault.patience > 0 {
        true => get(&client, key),
        false => patiently(key),
    };
    let calls = || [call("hit.next.100"), call("none.next"), call("hit.next.20000")];
    let mut next = calls();
    // A server that stopped in the middle of a reply a moment ago may still go on: it is waited for, but not for long.
    for _ in 0..fault.patience {
        if next.iter().any(|outcome| outcome.only() == Some(Status::Timeout)) {
            next = calls();
        }
    }
    let good = [(1, 0), (0, 1), (1, 0)].map(|(hits, misses)| (hits, misses, Vec::<String>::new()));
    let found = next.map(|Outcome { hits, misses, wrong, .. }| (hits, misses, wrong));
    assert_eq!(found, good, "{what}: the next calls (the first: {outcome:?})");
    server.check_poisoned(&what);
    met
}

/// Runs one protocol's share of the matrix.
fn matrix(protocol: &str) {
    let _watchdog = Watchdog::start("matrix", Duration::from_secs(120));
    let faults = faults();
    let next = AtomicUsize::new(0);
    let failures: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(fault) = faults.get(index) else { return };
                let mut met = BTreeSet::new();
                for (what, operations) in calls() {
                    let once = std::panic::AssertUnwindSafe(|| meet(fault, protocol, what, &operations));
                    match std::panic::catch_unwind(once) {
                        Ok(wires) => met.extend(wires),
                        Err(panic) => {
                            let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                            failures.lock().unwrap().push(words);
                        }
                    }
                }
                let can: &[Wire] = match protocol {
                    "text" => TEXT,
                    "meta" => META,
                    "binary" => BINARY,
                    _ => ASCII,
                };
                // A fault that befell nothing would prove nothing.
                for wire in fault.wires.iter().filter(|wire| can.contains(wire) && protocol != "auto") {
                    if !met.contains(&format!("{wire:?}")) {
                        failures.lock().unwrap().push(format!("{}: not met over {wire:?}", fault.name));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn whatever_a_server_does_wrong_over_text() {
    matrix("text");
}

#[test]
fn whatever_a_server_does_wrong_over_meta() {
    matrix("meta");
}

#[test]
fn whatever_a_server_does_wrong_over_binary() {
    matrix("binary");
}

#[test]
fn whatever_a_server_does_wrong_over_auto() {
    matrix("auto");
}

/// `cut.N` in a key: its reply ends after N bytes.
fn cut_of(request: &Request) -> Option<usize> {
    let key = request.keys.iter().find(|key| key.windows(4).any(|word| word == b"cut-"))?;
    let text = std::str::from_utf8(key).ok()?;
    text.split("cut-").nth(1)?.split('.').next()?.parse().ok()
}

/// Cuts every golden reply at every byte, and then ends the connection as `ends` says.
fn truncate(protocol: &'static str, ends: fn() -> Step, timeout: &'static str, threads: usize) {
    // Keys whose replies were cut.
    let short: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let noted = short.clone();
    let server = Scripted::tcp(move |request, reply| match cut_of(request) {
        Some(at) => {
            let whole = reply.concat();
            if at >= whole.len() {
                return vec![Step::Send(whole)];
            }
            let keys = request.keys.iter().map(|key| String::from_utf8_lossy(key).into_owned());
            noted.lock().unwrap().extend(keys);
            vec![Step::Send(whole[..at].to_vec()), ends()]
        }
        None => right(request, reply),
    });
    // The kinds of golden reply; each N is tried until the reply is whole.
    let kinds = ["hit", "miss", "set", "delete", "several"];
    let next = AtomicUsize::new(0);
    let cuts: Mutex<BTreeSet<(usize, usize)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let settings = [("protocol", protocol), ("connections", "1"), ("timeout_ms", timeout)];
                let client = client(server.address(), &settings);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let (kind, cut) = (number % kinds.len(), number / kinds.len());
                    if cut > 150 {
                        return;
                    }
                    let held = if kind == 1 { "none" } else { "hit" };
                    let key = format!("{held}.{}.cut-{cut}.20", kinds[kind]);
                    let operations = match kinds[kind] {
                        "set" => vec![Operation::set(key.as_bytes(), b"v", 0)],
                        "delete" => vec![Operation::delete(key.as_bytes())],
                        "several" => vec![
                            Operation::get(b"none.a"),
                            Operation::get(b"hit.b.5"),
                            Operation::get(key.as_bytes()),
                            Operation::get(b"none.c"),
                        ],
                        _ => vec![Operation::get(key.as_bytes())],
                    };
                    // On a busy machine, the time may have been up before the server came to it.
                    let cut_short = || short.lock().unwrap().contains(&key);
                    let mut outcome = run(&client, &operations);
                    for _ in 0..50 {
                        if outcome.failed() > 0 && !cut_short() {
                            outcome = run(&client, &operations);
                        }
                    }
                    let what = format!("{protocol} {} cut at {cut}: {outcome:?}", kinds[kind]);
                    assert_right(&outcome, &what);
                    if outcome.failed() > 0 {
                        assert!(cut_short(), "{what}: its reply was whole");
                        cuts.lock().unwrap().insert((kind, cut));
                        let status = outcome.failures.iter().flatten().next().copied();
                        assert!(matches!(status, Some(Status::Connection | Status::Timeout)), "{what}");
                        // On a busy machine, the time may have been up before the stop could be noticed.
                        let mut after = get(&client, "hit.after.50");
                        for _ in 0..20 {
                            if after.only() == Some(Status::Timeout) {
                                after = get(&client, "hit.after.50");
                            }
                        }
                        assert_eq!(after.hits, 1, "{what}: the next call {after:?}");
                    }
                }
            });
        }
    });
    // Every proper prefix of a reply to one operation is a failure; the last byte or the END of a text `get` whose value
    // has come may be missing.
    let cuts = cuts.into_inner().unwrap();
    for (kind, name) in kinds.iter().enumerate().take(4) {
        let failed: Vec<usize> = cuts.iter().filter(|(k, _)| *k == kind).map(|(_, cut)| *cut).collect();
        let last = failed.last().copied().unwrap_or(0);
        assert_eq!(failed, (0..=last).collect::<Vec<_>>(), "{protocol} {name}");
        assert!(last >= 3, "{protocol} {name}: {last}");
    }
}

#[test]
fn a_reply_that_is_cut_anywhere_is_a_failure() {
    let _watchdog = Watchdog::start("truncation", Duration::from_secs(120));
    for protocol in PROTOCOLS {
        truncate(protocol, || Step::Close, "5000", 2);
    }
}

#[test]
fn a_reply_that_stops_anywhere_is_a_failure() {
    let _watchdog = Watchdog::start("truncation", Duration::from_secs(120));
    for protocol in PROTOCOLS {
        truncate(protocol, || Step::Mute, "60", 32);
    }
}

#[test]
fn the_same_holds_over_a_unix_socket() {
    for protocol in PROTOCOLS {
        let server = Scripted::unix(|request, reply| match request.key() {
            "hit.cut.300" => vec![Step::Send(half(reply)), Step::Close],
            "hit.never.300" => vec![Step::Send(half(reply)), Step::Mute],
            _ => right(request, reply),
        });
        let client = client(server.address(), &[("protocol", protocol), ("timeout_ms", TIMEOUT)]);
        let run = |key: &str, timeout_ms| run(&client, &[Operation { timeout_ms, ..Operation::get(key.as_bytes()) }]);
        for (key, status, timeout_ms) in
            [("hit.cut.300", Status::Connection, 10_000), ("hit.never.300", Status::Timeout, 0)]
        {
            let outcome = run(key, timeout_ms);
            assert_right(&outcome, protocol);
            assert_eq!(outcome.only(), Some(status), "{protocol} {key}");
            let next = run("hit.next.100", 10_000);
            assert_eq!(next.hits, 1, "{protocol} {key}: {next:?}");
        }
    }
}
