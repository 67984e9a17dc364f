//! What a look-up costs, in instructions as callgrind counts them, which no other process on the machine changes: the ring's,
//! and that of what it cannot do without: the bare key hash and binary search; or the hash and the division (modulo's), Jump's
//! loop, Ch3's walk over the hash's bits, or a hash for each server (the rendezvous rings). These are written down here once
//! more as their authors have them, over the same hash functions.
//!
//!   cargo bench --bench rings         the table; ends with status 1 where a ratio is above 1.3

use bmemc::ring::{murmur3_32, KeyHash, Ring, RingKind, RingServer, RingSettings};
use std::hint::black_box;
use std::process::Command;

#[path = "../src/ring/murmur64.rs"]
mod murmur64;
#[allow(unused_imports, reason = "its tests are not built here")]
#[path = "../src/ring/spooky.rs"]
mod spooky;

use murmur64::{murmur64a, murmur64a_number};
use spooky::spooky_32;

const SERVERS: usize = 10;
const LOOKUPS: u64 = 10_000;
const MOST: f64 = 1.3;

/// What a ring's look-up is measured against.
enum Bare {
    Search(KeyHash, usize),
    Divide(KeyHash),
    Jump(KeyHash),
    Ch3 { weighted: bool },
    Rendezvous,
    McrouterRendezvous { weighted: bool },
}

fn bare(kind: RingKind) -> Bare {
    let hash = |name| KeyHash::parse(name).unwrap();
    match kind {
        RingKind::Ketama | RingKind::KetamaSpy | RingKind::Spymemcached | RingKind::Bmemcached => {
            Bare::Search(hash("md5"), 160)
        }
        RingKind::KetamaUnweighted => Bare::Search(hash("one_at_a_time"), 100),
        RingKind::Twemproxy => Bare::Search(hash("fnv1a_64"), 160),
        RingKind::Dalli => Bare::Search(hash("crc32"), 160),
        RingKind::Modulo => Bare::Divide(hash("one_at_a_time")),
        RingKind::Gomemcache | RingKind::McrouterCrc32 => Bare::Divide(hash("crc32")),
        RingKind::Memcachier => Bare::Divide(hash("fnv1a_32_unsigned")),
        RingKind::Memjs => Bare::Divide(hash("java")),
        RingKind::Jump => Bare::Jump(hash("xxh3")),
        RingKind::Ch3 => Bare::Ch3 { weighted: false },
        RingKind::WeightedCh3 => Bare::Ch3 { weighted: true },
        RingKind::Rendezvous => Bare::Rendezvous,
        RingKind::McrouterRendezvous => Bare::McrouterRendezvous { weighted: false },
        RingKind::McrouterWeightedRendezvous => Bare::McrouterRendezvous { weighted: true },
    }
}

/// The loop of the paper.
fn jump(mut key: u64, buckets: i32) -> i32 {
    let (mut bucket, mut next) = (-1i64, 0i64);
    while next < i64::from(buckets) {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1i64 << 31) as f64 / ((key >> 33) + 1) as f64)) as i64;
    }
    bucket as i32
}

const CH3_SEED: u64 = 4_193_360_111;

/// furc_hash, with its table of words.
fn furc_hash(key: &[u8], servers: u32) -> u32 {
    let (mut words, mut filled) = ([0u64; 24], 0);
    let mut bit = |at: u32| {
        let word = (at >> 6) as usize;
        while filled <= word {
            words[filled] = match filled {
                0 => murmur64a(key, CH3_SEED),
                next => murmur64a_number(words[next - 1], CH3_SEED),
            };
            filled += 1;
        }
        words[word] >> (at & 63) & 1
    };
    let mut depth = u32::BITS - (servers - 1).leading_zeros();
    let mut at = depth;
    for _ in 0..32 {
        while bit(at) == 0 {
            depth -= 1;
            if depth == 0 {
                return 0;
            }
            at = depth;
        }
        at += 23;
        let mut server = 1;
        for _ in 1..depth {
            server = server << 1 | bit(at) as u32;
            at += 23;
        }
        if server < servers {
            return server;
        }
    }
    0
}

/// CityHash's reduction of two numbers to one.
fn mixed(upper: u64, lower: u64) -> u64 {
    const MUL: u64 = 0x9ddf_ea08_eb38_2d69;
    let mixed = (lower ^ upper).wrapping_mul(MUL);
    let mixed = (upper ^ mixed ^ (mixed >> 47)).wrapping_mul(MUL);
    (mixed ^ (mixed >> 47)).wrapping_mul(MUL)
}

fn keys() -> Vec<Vec<u8>> {
    (0..1000u32).map(|at| format!("user:{:08}:profile", at.wrapping_mul(2_654_435_761)).into_bytes()).collect()
}

/// The only function that callgrind counts in.
#[inline(never)]
fn measured(mut look_up: impl FnMut(&[u8]) -> usize, keys: &[Vec<u8>]) {
    for at in 0..LOOKUPS as usize {
        black_box(look_up(black_box(&keys[at % keys.len()])));
    }
}

fn measure(kind: RingKind, what: &str) {
    let keys = keys();
    let servers: Vec<RingServer> = (0..SERVERS).map(|at| RingServer::new(&format!("10.0.0.{at}:11211"))).collect();
    if what == "ring" {
        let ring = Ring::new(kind, &servers, &RingSettings::default()).unwrap();
        return measured(|key| ring.get(key).unwrap(), &keys);
    }
    match bare(kind) {
        Bare::Search(hash, points) => {
            let count = (points * SERVERS) as u32;
            let points: Vec<u32> = (0..count).map(|at| at * (u32::MAX / count)).collect();
            let owners: Vec<u32> = (0..count).map(|at| at % SERVERS as u32).collect();
            let search = |key: &[u8]| {
                let hash = hash.of(key);
                let place = points.partition_point(|point| *point < hash);
                owners[if place == points.len() { 0 } else { place }] as usize
            };
            measured(search, &keys);
        }
        Bare::Divide(hash) => measured(|key| hash.of(key) as usize % black_box(SERVERS), &keys),
        Bare::Jump(hash) => measured(|key| jump(hash.wide(key), black_box(SERVERS as i32)) as usize, &keys),
        Bare::Ch3 { weighted: false } => measured(|key| furc_hash(key, black_box(SERVERS as u32)) as usize, &keys),
        Bare::Ch3 { weighted: true } => {
            let draw = |key: &[u8]| {
                let (server, draw) = (furc_hash(key, black_box(SERVERS as u32)), spooky_32(key, 0xface_2014));
                (server + u32::from(draw > black_box(u32::MAX - 1))) as usize
            };
            measured(draw, &keys);
        }
        Bare::Rendezvous => {
            // What pymemcache hashes, put together beforehand.
            let joined = |key: &Vec<u8>, server: &RingServer| [server.name().as_bytes(), b"-", key].concat();
            let all: Vec<Vec<Vec<u8>>> =
                keys.iter().map(|key| servers.iter().map(|server| joined(key, server)).collect()).collect();
            let mut round = all.iter().cycle();
            let highest = |_: &[u8]| {
                let (mut highest, mut best) = (0, 0);
                for (at, joined) in round.next().into_iter().flatten().enumerate() {
                    let score = murmur3_32(joined, 0);
                    if score >= highest {
                        (highest, best) = (score, at);
                    }
                }
                best
            };
            measured(highest, &keys);
        }
        Bare::McrouterRendezvous { weighted } => {
            let names: Vec<u64> = servers.iter().map(|server| murmur64a(server.name().as_bytes(), CH3_SEED)).collect();
            let highest = |key: &[u8]| {
                let key = murmur64a(key, 2_718_281_828);
                let (mut highest, mut best) = (0.0, 0);
                for (at, name) in names.iter().enumerate() {
                    let mixed = mixed(*name, key);
                    let uniform = (mixed & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64;
                    let score = if weighted { black_box(1.0) * (1.0 / -uniform.ln()) } else { mixed as f64 };
                    if score >= highest {
                        (highest, best) = (score, at);
                    }
                }
                best
            };
            measured(highest, &keys);
        }
    }
}

/// Instructions of one look-up.
fn instructions(kind: RingKind, what: &str) -> f64 {
    let program = std::env::current_exe().unwrap();
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*rings*measured*"])
        .arg(program)
        .args([kind.name(), what])
        .output()
        .expect("valgrind runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let collected = text.lines().find_map(|line| line.split("Collected : ").nth(1)).expect("callgrind collects");
    collected.trim().parse::<f64>().unwrap() / LOOKUPS as f64
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [kind, what] = arguments.as_slice() {
        return measure(RingKind::parse(kind).unwrap(), what);
    }
    let mut above = 0;
    println!("instructions of a look-up among {SERVERS} servers, keys of 21 bytes");
    println!("{:<28}{:>8}{:>8}{:>8}", "ring", "ring", "bare", "ratio");
    for kind in RingKind::ALL {
        let ring = instructions(kind, "ring");
        let bare = instructions(kind, "bare");
        let ratio = ring / bare;
        above += usize::from(ratio > MOST);
        println!("{:<28}{ring:>8.0}{bare:>8.0}{ratio:>8.2}", kind.name());
    }
    std::process::exit(i32::from(above > 0));
}
