//! One client, many threads, and a server that errs at random: no wrong value, no wrong miss, one answer for each
//! operation, and nobody sleeps on. `BMEMC_LONG=1` makes it ten times as long.

mod common;

use bmemc::{Client, Operation, Status};
use common::oracle::{assert_right, client, run, scale, Outcome, Random, Watchdog};
use common::scripted::{hit, right, Request, Scripted, Step, Verb, Wire};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

const THREADS: u64 = 8;
/// Operations over each of the four protocols.
const OPERATIONS: u64 = 40_000;

/// Steps that do harm, chosen by `random`; the reply is right where nothing is chosen.
fn harm(random: &mut Random, request: &Request, reply: &[Vec<u8>]) -> Vec<Step> {
    let whole = reply.concat();
    let cut = random.below(whole.len() as u64 + 1) as usize;
    let pause = Duration::from_micros(random.below(3000));
    // No request that is under way has such an opaque or key.
    let nobody = request.opaque ^ (0x4000_0000 | random.below(0x1000_0000) as u32);
    let other = Request { keys: vec![b"hit.stray.9".to_vec()], opaque: nobody, ..request.clone() };
    let stray = hit(&other, b"STRAY\r\nEN");
    let same_key = Request { opaque: nobody, ..request.clone() };
    let poisoned_stray = if request.wire == Wire::Text { stray.clone() } else { hit(&same_key, b"WRONG") };
    match random.below(19) {
        0..=2 => vec![Step::Sleep(pause), Step::Send(whole)],
        3 => vec![Step::Send(whole[..cut].to_vec()), Step::Close],
        4 => vec![Step::Send(whole[..cut].to_vec()), Step::Reset],
        5 => vec![Step::Send(whole[..cut].to_vec()), Step::Sleep(pause), Step::Send(whole[cut..].to_vec())],
        6 => vec![Step::Close],
        7 => vec![Step::Send([whole, stray].concat())],
        8 => vec![Step::Send([poisoned_stray, whole].concat())],
        9 => vec![Step::Send(whole), Step::Sleep(pause), Step::Send(stray)],
        10 => {
            let mut bytes = whole;
            // The head of a reply: what it says of itself.
            let at = random.below(bytes.len().min(24) as u64) as usize;
            match (request.wire, bytes.get_mut(at)) {
                (Wire::Binary, Some(byte)) if matches!(at, 0 | 1 | 4 | 8 | 12) => *byte ^= 0x60,
                _ => bytes.insert(0, b'\n'),
            }
            vec![Step::Send(bytes)]
        }
        11 => vec![Step::Send(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())],
        12 => vec![Step::Send(b"ERROR Too many open connections\r\n".to_vec()), Step::Close],
        13 => vec![Step::Send(b"SERVER_ERROR out of memory\r\n".to_vec())],
        14 => vec![Step::Send(vec![0x81; 24])],
        15 if whole.len() < 300 => vec![Step::Dribble(whole, Duration::from_micros(20))],
        16 if random.permille(100) => vec![Step::Send(whole[..cut].to_vec()), Step::Mute],
        17 if random.permille(100) => vec![Step::Sleep(Duration::from_millis(80)), Step::Send(whole)],
        18 => reordered(request, reply),
        _ => vec![Step::Send(whole)],
    }
}

/// The parts of a text reply, or this frame and the next one, in another order.
fn reordered(request: &Request, reply: &[Vec<u8>]) -> Vec<Step> {
    if request.wire != Wire::Text {
        return vec![Step::Hold(reply.concat())];
    }
    let mut parts = reply.to_vec();
    let values = parts.len() - 1;
    parts[..values].reverse();
    vec![Step::Send(parts.concat())]
}

/// A server that does harm to so many replies in a thousand; answers with how many replies it chose.
fn chaotic(seed: u64, permille: u64) -> (Scripted, Arc<AtomicU64>) {
    let random = Mutex::new(Random::new(seed));
    let replies = Arc::new(AtomicU64::new(0));
    let counted = replies.clone();
    let server = Scripted::tcp(move |request, reply| {
        // A handshake that fails says little: most of them succeed.
        if matches!(request.verb, Verb::Version | Verb::Noop) && request.connection % 8 != 7 {
            return right(request, reply);
        }
        counted.fetch_add(request.keys.len().max(1) as u64, Ordering::Relaxed);
        let mut random = random.lock().unwrap();
        let mut own = Random::new(random.next());
        let harmful = random.permille(permille);
        drop(random);
        if harmful {
            harm(&mut own, request, reply)
        } else {
            right(request, reply)
        }
    });
    (server, replies)
}

/// A key: held ones of all lengths, most of them short, and others that are not held.
fn key(random: &mut Random) -> String {
    let number = random.below(300);
    if random.permille(300) {
        return format!("none.{number}");
    }
    let len = match random.below(100) {
        0..=69 => random.below(200),
        70..=97 => random.below(2000),
        98 => 16_000 + random.below(1000),
        _ => random.below(60_000),
    };
    format!("hit.{number}.{len}")
}

/// Random calls until so many operations are answered.
fn call_at_random(client: &Client, seed: u64, operations: u64, what: &str) -> Outcome {
    let mut random = Random::new(seed);
    let mut total = Outcome::default();
    let mut answered = 0;
    while answered < operations {
        let count = if random.permille(400) { 1 } else { 1 + random.below(30) };
        let keys: Vec<String> = (0..count).map(|_| key(&mut random)).collect();
        let value = vec![b'v'; random.below(300) as usize];
        let timeout_ms = if random.permille(200) { 1 + random.below(30) as u32 } else { 0 };
        let calls: Vec<Operation<'_>> = keys
            .iter()
            .map(|key| match random.below(10) {
                0 => Operation::set(key.as_bytes(), &value, 0),
                1 => Operation::delete(key.as_bytes()),
                _ => Operation::get(key.as_bytes()),
            })
            .map(|operation| Operation { timeout_ms, ..operation })
            .collect();
        let outcome = run(client, &calls);
        assert_right(&outcome, what);
        total.hits += outcome.hits;
        total.misses += outcome.misses;
        total.done += outcome.done;
        total.failures.extend(outcome.failures.iter().filter(|failure| failure.is_some()));
        answered += count;
    }
    total
}

fn chaos(protocol: &'static str, seed: u64) {
    let _watchdog = Watchdog::start("chaos", Duration::from_secs(300));
    let (server, replies) = chaotic(seed, 20);
    let settings = [("protocol", protocol), ("timeout_ms", "60"), ("connect_timeout_ms", "60")];
    let client = client(server.address(), &settings);
    let each = OPERATIONS * scale() / THREADS;
    let totals: Vec<Outcome> = std::thread::scope(|scope| {
        let calls = |thread| {
            let (client, what) = (&client, format!("{protocol} seed {seed} thread {thread}"));
            scope.spawn(move || call_at_random(client, seed * 1000 + thread, each, &what))
        };
        let threads: Vec<_> = (0..THREADS).map(calls).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let sum = |count: fn(&Outcome) -> u64| totals.iter().map(count).sum::<u64>();
    let (hits, misses, done, failed) =
        (sum(|t| t.hits), sum(|t| t.misses), sum(|t| t.done), sum(|t| t.failures.len() as u64));
    let sent = replies.load(Ordering::Relaxed);
    println!("{protocol}: {hits} hits, {misses} misses, {done} writes, {failed} failures, {sent} replies chosen");
    // `run` has checked that every operation has one answer; here, that none was lost in the counting.
    assert!(hits + misses + done + failed >= OPERATIONS * scale(), "{protocol}");
    assert!(hits > each && misses > each / 8 && failed > 0, "{protocol}: too one-sided to prove anything");
    // 100,000 over the four protocols.
    assert!(sent >= 25_000 * scale(), "{protocol}: {sent} replies");
}

#[test]
fn random_replies_over_text() {
    chaos("text", 1);
}

#[test]
fn random_replies_over_meta() {
    chaos("meta", 2);
}

#[test]
fn random_replies_over_binary() {
    chaos("binary", 3);
}

#[test]
fn random_replies_over_auto() {
    chaos("auto", 4);
}

/// Rounds in which some threads call once each and then wait for each other: nobody comes along later who would wake a
/// sleeper that was forgotten. Half of them have little time; the others have plenty, and must not run out of it.
fn rounds(protocol: &'static str, threads: u64, time: Duration) {
    let _watchdog = Watchdog::start("rounds", time + Duration::from_secs(60));
    let random = Mutex::new(Random::new(threads));
    let server = Scripted::tcp(move |request, reply| {
        let mut random = random.lock().unwrap();
        let pause = Duration::from_micros(random.below(4000));
        let sleeps = random.permille(200);
        drop(random);
        let mut steps = right(request, reply);
        if sleeps && !matches!(request.verb, Verb::Version | Verb::Noop) {
            steps.insert(0, Step::Sleep(pause));
        }
        steps
    });
    let client = client(server.address(), &[("protocol", protocol), ("timeout_ms", "8000")]);
    let (barrier, until) = (Barrier::new(threads as usize), Instant::now() + time);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let counts = Mutex::new((0u64, 0u64));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (client, barrier, counts, stop) = (&client, &barrier, &counts, &stop);
            scope.spawn(move || {
                let mut random = Random::new(thread + 77);
                let patient = thread % 2 == 0;
                let (mut calls, mut late) = (0, 0);
                loop {
                    if thread == 0 && Instant::now() > until {
                        stop.store(true, Ordering::SeqCst);
                    }
                    barrier.wait();
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let key = key(&mut random);
                    let timeout_ms = if patient { 0 } else { 1 + random.below(20) as u32 };
                    let begun = Instant::now();
                    let outcome = run(client, &[Operation { timeout_ms, ..Operation::get(key.as_bytes()) }]);
                    assert_right(&outcome, protocol);
                    calls += 1;
                    match outcome.only() {
                        None => {}
                        Some(Status::Timeout) if !patient => late += 1,
                        // The others wait at the barrier: end all of it.
                        Some(status) => {
                            let after = begun.elapsed();
                            eprintln!("{protocol}, {threads} threads: a patient caller: {status:?} after {after:?}");
                            std::process::exit(101);
                        }
                    }
                    barrier.wait();
                }
                let mut counts = counts.lock().unwrap();
                *counts = (counts.0 + calls, counts.1 + late);
            });
        }
    });
    let (calls, late) = *counts.lock().unwrap();
    println!("{protocol}, {threads} threads: {calls} calls, {late} timed out as they should");
    assert!(calls > 100, "{calls}");
}

/// Two connections and 2, 8 or 64 threads, a third of the time each.
fn forget_nobody(protocol: &'static str) {
    for threads in [2, 8, 64] {
        rounds(protocol, threads, Duration::from_millis(2000) * scale() as u32);
    }
}

#[test]
fn nobody_is_forgotten_over_text() {
    forget_nobody("text");
}

#[test]
fn nobody_is_forgotten_over_meta() {
    forget_nobody("meta");
}

#[test]
fn nobody_is_forgotten_over_binary() {
    forget_nobody("binary");
}
