//! The same commands to the real memcached and to the embedded server: the answers must be the same bytes, cas and all.
//! The commands are made up at random, from a seed that is the same each time; BMEMC_DIFFERENTIAL sets how many there are
//! of each protocol. BMEMC_MEMCACHED names the program, else PATH has it.
//!
//! Not compared, because the two differ for a reason: the rest of a lifetime (their seconds do not begin together) is
//! masked, as is memcached's age of an item (it is bumped once a minute there); and not asked for is what memcached 1.6.18
//! lacks (the flags E and x, C of mg, s and N of ms) or does to its own harm (an unknown binary command with a body, see
//! `binary`; base64 keys of items that it makes or grows itself, whose mark it forgets; T of ma, which it gives to the old
//! item when the number grows; an opaque that is too long, which it notices after some flags took effect; lengths that wrap).

use crate::program::Running;
use crate::wire::{reply, request, show, start_with, Folder, Frame, Random, Wire};
use bmemc::server::{Config, Server};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A command, and what may go with it in one write.
struct Request {
    bytes: Vec<u8>,
    place: Place,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Anywhere,
    /// It counts. While an answer with the counter waits to be sent, memcached writes the new number elsewhere, and does
    /// not pad it; so nothing may wait.
    Alone,
    /// The connection ends with it, and answers that wait may be lost.
    End,
}

fn anywhere(bytes: impl Into<Vec<u8>>) -> Request {
    Request { bytes: bytes.into(), place: Place::Anywhere }
}

fn alone(bytes: impl Into<Vec<u8>>) -> Request {
    Request { bytes: bytes.into(), place: Place::Alone }
}

struct Pair {
    real: Wire,
    ours: Wire,
    real_address: String,
    server: Server,
    _memcached: Running,
    _folder: Folder,
}

impl Pair {
    fn start() -> Pair {
        let folder = Folder::new();
        let real_address = folder.path("memcached");
        let program = std::env::var("BMEMC_MEMCACHED").unwrap_or("memcached".into());
        // -u is needed by root, and ignored by all others. With the newer LRU a thread of memcached's own holds items now
        // and then, and a counter is not padded while it does.
        let arguments = ["-u", "root", "-t", "1", "-U", "0", "-o", "no_modern", "-s", &real_address];
        let child = Command::new(&program).args(arguments).stderr(Stdio::null()).spawn();
        let child =
            child.unwrap_or_else(|error| panic!("{program}: {error}; install memcached or set BMEMC_MEMCACHED"));
        let memcached = Running(child);
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut real = loop {
            match Wire::try_connect(&real_address) {
                Ok(wire) => break wire,
                Err(error) => assert!(Instant::now() < deadline, "{program} does not listen: {error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        real.send("version\r\n");
        let version = String::from_utf8(real.until(|got| got.ends_with(b"\r\n"))).unwrap();
        let version = version.trim_end().strip_prefix("VERSION ").expect("a version").to_string();
        let server = start_with(Config { version, ..Config::default() });
        let (real, ours) = (Wire::connect(&real_address), Wire::to(&server));
        Pair { real, ours, real_address, server, _memcached: memcached, _folder: folder }
    }

    /// Sends the same to both; what they answer, `mask`ed, must be the same.
    fn compare(
        &mut self,
        requests: &[Request],
        fence: &[u8],
        fenced: &[u8],
        mask: impl Fn(Vec<u8>) -> Vec<u8>,
    ) -> Vec<u8> {
        let ends = requests.last().is_some_and(|request| request.place == Place::End);
        let mut bytes: Vec<u8> = requests.iter().flat_map(|request| request.bytes.clone()).collect();
        if !ends {
            bytes.extend_from_slice(fence);
        }
        let answers = [&mut self.real, &mut self.ours].map(|wire| {
            wire.send(&bytes);
            if ends {
                wire.rest()
            } else {
                wire.until(|got| got.ends_with(fenced))
            }
        });
        if ends {
            (self.real, self.ours) = (Wire::connect(&self.real_address), Wire::to(&self.server));
        }
        let [real, ours] = answers.map(mask);
        assert_eq!(show(&ours), show(&real), "ours, then memcached's, to {}", show(&bytes));
        real
    }
}

/// A number that the environment may set.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Sends made-up commands, some of them together.
fn run(
    seed: u64,
    make: impl Fn(&mut Random, u64) -> Request,
    fence: (Vec<u8>, Vec<u8>),
    last_cas: impl Fn(&[u8]) -> u64,
) {
    let mut pair = Pair::start();
    let mut random = Random::new(seed + 1000 * setting("BMEMC_SEED", 0));
    let commands = setting("BMEMC_DIFFERENTIAL", 20_000) as usize;
    let (mut count, mut cas) = (0, 0);
    while count < commands {
        let size = 1 + random.below(6);
        let made: Vec<Request> = (0..size).map(|_| make(&mut random, cas)).collect();
        count += made.len();
        let (together, alone): (Vec<_>, Vec<_>) =
            made.into_iter().partition(|request| request.place == Place::Anywhere);
        for batch in std::iter::once(together).chain(alone.into_iter().map(|request| vec![request])) {
            let answer = pair.compare(&batch, &fence.0, &fence.1, mask_times);
            cas = last_cas(&answer).max(cas);
        }
    }
}

/// ` t99` and ` l1` of the meta protocol lose their number, as do exp, la and cls of `me`.
fn mask_times(answer: Vec<u8>) -> Vec<u8> {
    let is_meta = |line: &[u8]| [&b"HD"[..], b"VA", b"ME"].iter().any(|code| line.starts_with(code));
    let lines = answer.split_inclusive(|byte| *byte == b'\n').map(|line| match is_meta(line) {
        true => mask_line(line),
        false => line.to_vec(),
    });
    lines.flatten().collect()
}

fn mask_line(line: &[u8]) -> Vec<u8> {
    let words = line.split(|byte| *byte == b' ').map(|word| {
        let end = if word.ends_with(b"\r\n") { &b"\r\n"[..] } else { b"" };
        let name = match word {
            [b't', b'0'..=b'9', ..] => &b"t#"[..],
            [b'l', b'0'..=b'9', ..] => b"l#",
            word if word.starts_with(b"exp=") => b"exp=#",
            word if word.starts_with(b"la=") => b"la=#",
            word if word.starts_with(b"cls=") => b"cls=#",
            word => return word.to_vec(),
        };
        [name, end].concat()
    });
    words.collect::<Vec<_>>().join(&b' ')
}

const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "\u{e9}", "k\tk", "%20"];
const TIMES: [&str; 9] = ["0", "0", "0", "100", "-1", "2592001", "4294967295", "x", "9999999999"];
const NUMBERS: [&str; 12] = [
    "0",
    "1",
    "7",
    "10",
    "99",
    "18446744073709551615",
    "18446744073709551616",
    "-1",
    "-18446744073709551615",
    "x",
    "+3",
    "1x",
];
/// None has a minus sign: memcached searches numbers of 2^63 and more for one, and beyond their end, where older values are.
const VALUES: [&str; 14] = [
    "",
    "0",
    "1",
    "9",
    "10",
    "99",
    " 5",
    "10 ",
    "+5",
    "18446744073709551615",
    "184467440737095516160",
    "text",
    "two\r\nlines",
    "1 2",
];

fn key(random: &mut Random) -> String {
    match random.below(40) {
        0 => "k".repeat(250),
        1 => "k".repeat(251),
        _ => random.pick(&KEYS).to_string(),
    }
}

fn good_key(random: &mut Random) -> String {
    random.pick(&KEYS).to_string()
}

fn cas(random: &mut Random, last: u64) -> String {
    match random.below(8) {
        0 => random.pick(&NUMBERS).to_string(),
        back => last.saturating_sub(back as u64 / 2).to_string(),
    }
}

fn value(random: &mut Random) -> String {
    match random.below(20) {
        0 => "v".repeat(random.below(5000)),
        _ => random.pick(&VALUES).to_string(),
    }
}

fn text_request(random: &mut Random, last_cas: u64) -> Request {
    let noreply = if random.one_in(6) { " noreply" } else { "" };
    let (key, time, number) = (key(random), random.pick(&TIMES), random.pick(&NUMBERS));
    let line = match random.below(22) {
        0..=2 => return text_get(random),
        3..=8 => return text_store(random, last_cas),
        9 => format!("delete {key}{}{noreply}", random.pick(&["", "", "", " 0", " 5"])),
        10 | 11 => format!("incr {key} {number}{noreply}"),
        12 | 13 => format!("decr {key} {number}{noreply}"),
        14 => format!("touch {key} {time}{noreply}"),
        15 if random.one_in(8) => format!("flush_all{}{noreply}", random.pick(&["", " 0", " -1", " x"])),
        16 => format!("verbosity {}{noreply}", random.pick(&["0", "x", ""])),
        17 => format!("cache_memlimit {}{noreply}", random.pick(&["64", "5", "x", ""])),
        18 => random
            .pick(&["version", "shutdown", "stats bogus", "stats cachedump", "stats cachedump 99 0", "mx a"])
            .into(),
        19 => random.pick(&["", "x", "bogus", "get", "set a", "  ", "noreply", "\tget a", "GET a"]).into(),
        20 if random.one_in(4) => return Request { bytes: b"quit\r\n".to_vec(), place: Place::End },
        20 => random.pick(&["mg", "ms", "md", "ma", "me", "delete", "incr", "decr a", "touch a", "cas a 0 0 1"]).into(),
        _ => format!("incr {}\0rest {number}", random.pick(&KEYS)),
    };
    let end = if random.one_in(8) { "\n" } else { "\r\n" };
    let counts = line.starts_with("incr") || line.starts_with("decr");
    (if counts { alone } else { anywhere })(line + end)
}

fn text_get(random: &mut Random) -> Request {
    let verb = match random.below(6) {
        0 => format!("gat {}", random.pick(&TIMES)),
        1 => format!("gats {}", random.pick(&TIMES)),
        2 => "gets".to_string(),
        _ => "get".to_string(),
    };
    // A key that is too long costs memcached every answer that it has not sent yet: only of this command, if it is alone.
    let keys: Vec<String> = (0..random.below(40)).map(|_| good_key(random)).collect();
    anywhere(format!("{verb} {}\r\n", keys.join(random.pick(&[" ", "  "]))))
}

fn text_store(random: &mut Random, last_cas: u64) -> Request {
    let verb = random.pick(&["set", "set", "set", "add", "replace", "append", "prepend", "cas", "cas"]);
    let (key, value) = (key(random), value(random));
    let flags = random.pick(&["0", "0", "0", "5", "4294967295", "4294967297", "-1", "x"]);
    let time = random.pick(&TIMES);
    let compare = if verb == "cas" { format!(" {}", cas(random, last_cas)) } else { String::new() };
    let noreply = if random.one_in(6) { " noreply" } else { "" };
    // Some more than announced is executed as a command, and must not begin one.
    let more = if random.one_in(20) { "!!" } else { "" };
    let length = if random.one_in(30) { random.pick(&["x", "-1", ""]).into() } else { value.len().to_string() };
    anywhere(format!("{verb} {key} {flags} {time} {length}{compare}{noreply}\r\n{value}{more}\r\n"))
}

/// The largest cas in VALUE lines of gets.
fn last_text_cas(answer: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(answer);
    let lines = text.lines().filter(|line| line.starts_with("VALUE "));
    lines.filter_map(|line| line.split(' ').nth(4)?.parse().ok()).max().unwrap_or(0)
}

#[test]
fn text_is_memcacheds() {
    run(1, text_request, (b"mn\r\n".to_vec(), b"MN\r\n".to_vec()), last_text_cas);
}

#[test]
fn a_long_key_spoils_a_get() {
    let mut pair = Pair::start();
    pair.compare(&[anywhere("set a 0 0 1\r\nx\r\n")], b"mn\r\n", b"MN\r\n", |answer| answer);
    let long = "k".repeat(251);
    for line in [format!("get {long}\r\n"), format!("get a a {long} a\r\n"), format!("gats 0 a {long}\r\n")] {
        pair.compare(&[anywhere(line)], b"mn\r\n", b"MN\r\n", |answer| answer);
    }
}

fn meta_request(random: &mut Random, last_cas: u64) -> Request {
    let verb = random.pick(&["mg", "mg", "mg", "ms", "ms", "md", "ma", "ma", "me"]);
    if random.one_in(12) {
        return base64_request(random);
    }
    let key = key(random);
    if verb == "me" {
        return anywhere(format!("me {key}\r\n"));
    }
    let flags = meta_flags(random, verb, last_cas);
    if verb == "ma" {
        return alone(format!("ma {key}{flags}\r\n"));
    }
    if verb != "ms" {
        return anywhere(format!("{verb} {key}{flags}\r\n"));
    }
    let value = value(random);
    let more = if random.one_in(20) { "!!" } else { "" };
    let length = if random.one_in(30) { random.pick(&["x", "-1", ""]).into() } else { value.len().to_string() };
    anywhere(format!("ms {key} {length}{flags}\r\n{value}{more}\r\n"))
}

fn meta_flags(random: &mut Random, verb: &str, last_cas: u64) -> String {
    let mut flags = String::new();
    let count = if random.one_in(40) { 21 } else { random.below(6) };
    for _ in 0..count {
        let flag = match (verb, random.below(24)) {
            (_, 0 | 1) => "k".to_string(),
            (_, 2 | 3) => format!("O{}", "o".repeat(random.below(32))),
            (_, 4) => "q".to_string(),
            (_, 5 | 6) => "c".to_string(),
            (_, 7) if random.one_in(3) => random.pick(&["!", "Z", "S2", "W", "\u{e9}"]).to_string(),
            ("mg", 8..=10) => "v".to_string(),
            ("mg", 11..=14) => random.pick(&["t", "f", "s", "h", "l", "u"]).to_string(),
            ("mg", 15 | 16) => format!("N{}", random.pick(&TIMES)),
            ("mg", 17 | 18) => format!("R{}", random.pick(&["30", "200", "-1", "x"])),
            ("mg" | "ms", 19 | 20) => format!("T{}", random.pick(&TIMES)),
            ("ms", 8..=12) => format!("M{}", random.pick(&["S", "E", "A", "P", "R", "Z", "SS", ""])),
            ("ms", 13) => format!("F{}", random.pick(&["0", "5", "4294967297", "x", "-1"])),
            ("ms" | "md", 14..=16) => "I".to_string(),
            ("ms" | "md" | "ma", 17 | 18) => format!("C{}", cas(random, last_cas)),
            ("md", 8 | 9) => format!("T{}", random.pick(&TIMES)),
            ("ma", 8..=10) => "v".to_string(),
            ("ma", 11) => "t".to_string(),
            ("ma", 12 | 13) => format!("N{}", random.pick(&TIMES)),
            ("ma", 14) => format!("J{}", random.pick(&NUMBERS)),
            ("ma", 15) => format!("D{}", random.pick(&NUMBERS)),
            ("ma", 16) => format!("M{}", random.pick(&["I", "D", "+", "-", "x", "++"])),
            _ => random.pick(&["P", "L1", "k"]).to_string(),
        };
        flags += &format!(" {flag}");
    }
    flags
}

/// Keys in base64, on items of their own.
fn base64_request(random: &mut Random) -> Request {
    let key = random.pick(&["QUJD", "QUI=", "QQ==", "AA0K", "QU-JD", "Q", "====", "!"]);
    anywhere(match random.below(4) {
        0 => format!("ms {key} 2 b k O1\r\nhi\r\n"),
        1 => format!("md {key} k b\r\n"),
        2 => format!("me {key} b\r\n"),
        _ => format!("mg {key} b k s v O2\r\n"),
    })
}

/// The largest cas that was asked for.
fn last_meta_cas(answer: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(answer);
    let words = text.split([' ', '\r']).filter_map(|word| word.strip_prefix('c')?.parse().ok());
    words.max().unwrap_or(0)
}

#[test]
fn meta_is_memcacheds() {
    run(2, meta_request, (b"mn\r\n".to_vec(), b"MN\r\n".to_vec()), last_meta_cas);
}

fn binary_request(random: &mut Random, last_cas: u64) -> Request {
    let frame = |opcode: u8, extras: &[u8], key: &str, value: &str| request(opcode, extras, key, value);
    let key = good_key(random);
    let time = [0u32, 0, 100, 1000, 0x8000_0000, u32::MAX][random.below(6)].to_be_bytes();
    let compare = if random.one_in(3) { last_cas.saturating_sub(random.below(3) as u64) } else { 0 };
    let pick = |random: &mut Random, opcodes: &[u8]| opcodes[random.below(opcodes.len())];
    let made = match random.below(20) {
        0..=3 => frame(pick(random, &[0x00, 0x09, 0x0c, 0x0d]), &[], &key, ""),
        4 | 5 => frame(pick(random, &[0x1c, 0x1d, 0x1e, 0x23, 0x24]), &time, &key, ""),
        6..=10 => {
            let extras = [&(random.below(2) as u32).to_be_bytes()[..], &time].concat();
            let opcode = pick(random, &[0x01, 0x11, 0x01, 0x11, 0x02, 0x12, 0x03, 0x13]);
            frame(opcode, &extras, &key, &value(random)).cas(compare)
        }
        11 | 12 => frame(pick(random, &[0x0e, 0x0f, 0x19, 0x1a]), &[], &key, &value(random)).cas(compare),
        13 => frame(pick(random, &[0x04, 0x14]), &[], &key, "").cas(compare),
        14..=16 => return alone(binary_count(random, &key).cas(compare).bytes()),
        17 => frame(pick(random, &[0x0a, 0x0b]), &[], "", ""),
        18 if random.one_in(8) => frame(pick(random, &[0x08, 0x18]), &[0; 4][..4 * random.below(2)], "", ""),
        18 => frame(pick(random, &[0x1b, 0x20, 0x30, 0xff]), &[], "", ""),
        _ if random.one_in(4) => return binary_end(random),
        _ => frame(0x10, &[], random.pick(&["bogus", "reset", "conns", "resetting"]), ""),
    };
    anywhere(Frame { opaque: random.next() as u32, ..made }.bytes())
}

fn binary_count(random: &mut Random, key: &str) -> Frame {
    let delta = [0, 1, 5, 100, u64::MAX][random.below(5)];
    let initial = [0, 1, 99, u64::MAX][random.below(4)];
    let exptime = [0, 100, u32::MAX][random.below(3)];
    let extras = [&delta.to_be_bytes()[..], &initial.to_be_bytes(), &exptime.to_be_bytes()].concat();
    request([0x05, 0x15, 0x06, 0x16][random.below(4)], &extras, key, "")
}

/// Requests that end the connection.
fn binary_end(random: &mut Random) -> Request {
    let long = "k".repeat(251);
    let frame = match random.below(9) {
        0 => request(0x07, &[], "", ""),
        1 => request(0x17, &[], "", ""),
        2 => request(0x00, &[], &long, ""),
        3 => request(0x00, &[], "", ""),
        4 => request(0x01, &[0; 4], "a", "x"),
        5 => request(0x08, &[], "a", ""),
        6 => request(0x0a, &[], "a", ""),
        7 => request(0x05, &[0; 8], "a", ""),
        _ => {
            let mut bytes = request(0x00, &[], "a", "").bytes();
            bytes[11] = 0;
            return Request { bytes, place: Place::End };
        }
    };
    Request { bytes: frame.bytes(), place: Place::End }
}

/// The largest cas of the frames.
fn last_binary_cas(mut answer: &[u8]) -> u64 {
    let mut last = 0;
    while let Some(header) = answer.first_chunk::<24>() {
        let body = u32::from_be_bytes(header[8..12].try_into().unwrap()) as usize;
        last = last.max(u64::from_be_bytes(header[16..].try_into().unwrap()));
        answer = &answer[24 + body..];
    }
    last
}

#[test]
fn binary_is_memcacheds() {
    let fence = Frame { opaque: 0x0fe0_ce0f, ..request(0x0a, &[], "", "") };
    let fenced = Frame { opaque: 0x0fe0_ce0f, ..reply(0x0a, &[], "", "") };
    run(3, binary_request, (fence.bytes(), fenced.bytes()), last_binary_cas);
}
