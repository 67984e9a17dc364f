//! What a look-up costs, in instructions as callgrind counts them, which no other process on the machine changes: the ring's,
//! and that of the bare key hash and binary search (modulo's: the hash and the division) that it cannot do without.
//!
//!   cargo bench --bench rings         the table; ends with status 1 where a ratio is above 1.3

use bmemc::ring::{KeyHash, Ring, RingKind, RingServer, RingSettings};
use std::hint::black_box;
use std::process::Command;

const SERVERS: usize = 10;
const LOOKUPS: u64 = 10_000;
const MOST: f64 = 1.3;

/// What a ring's look-up is measured against.
enum Bare {
    Search(KeyHash, usize),
    Divide(KeyHash),
    /// Nothing simpler does it.
    Nothing,
}

fn bare(kind: RingKind) -> Bare {
    let hash = |name| KeyHash::parse(name).unwrap();
    match kind.name() {
        "ketama" | "ketama_spy" | "spymemcached" | "bmemcached" => Bare::Search(hash("md5"), 160),
        "ketama_unweighted" => Bare::Search(hash("one_at_a_time"), 100),
        "twemproxy" => Bare::Search(hash("fnv1a_64"), 160),
        "dalli" => Bare::Search(hash("crc32"), 160),
        "modulo" => Bare::Divide(hash("one_at_a_time")),
        "gomemcache" | "mcrouter_crc32" => Bare::Divide(hash("crc32")),
        "memcachier" => Bare::Divide(hash("fnv1a_32_unsigned")),
        "memjs" => Bare::Divide(hash("java")),
        _ => Bare::Nothing,
    }
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
        Bare::Nothing => (),
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
        if matches!(bare(kind), Bare::Nothing) {
            println!("{:<28}{ring:>8.0}{:>8}{:>8}", kind.name(), "-", "-");
            continue;
        }
        let bare = instructions(kind, "bare");
        let ratio = ring / bare;
        above += usize::from(ratio > MOST);
        println!("{:<28}{ring:>8.0}{bare:>8.0}{ratio:>8.2}", kind.name());
    }
    std::process::exit(i32::from(above > 0));
}
