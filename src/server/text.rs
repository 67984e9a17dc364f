//! The classic text commands that touch items, and where a text line goes. The wording of every answer is memcached
//! 1.6.18's.

use super::connection::{Core, Pending, Reply, Step, OUTPUT_HIGH};
use super::store::{Counted, Mode, NoRoom, Outcome, Write};
use super::{admin, meta, number};

pub const KEY_MAX: usize = 250;
pub const BAD_FORMAT: &str = "CLIENT_ERROR bad command line format";
pub const BAD_CHUNK: &str = "CLIENT_ERROR bad data chunk";
pub const BAD_EXPTIME: &str = "CLIENT_ERROR invalid exptime argument";
pub const NON_NUMERIC: &str = "CLIENT_ERROR cannot increment or decrement non-numeric value";
pub const TOO_LARGE: &str = "SERVER_ERROR object too large for cache";
pub const NO_MEMORY: &str = "SERVER_ERROR out of memory storing object";

/// memcached cuts a line into so many words at a time; only `get` goes on with the rest.
const WORDS_MAX: usize = 23;

/// The words of a line.
pub struct Words<'a> {
    list: [&'a [u8]; WORDS_MAX],
    count: usize,
}

impl<'a> Words<'a> {
    fn new(line: &'a [u8]) -> Words<'a> {
        let mut words = Words { list: [&[]; WORDS_MAX], count: 0 };
        for (place, word) in words.list.iter_mut().zip(split(line)) {
            *place = word;
            words.count += 1;
        }
        words
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// The word at a place, empty if there is none.
    pub fn at(&self, place: usize) -> &'a [u8] {
        self.list.get(place).copied().unwrap_or_default()
    }

    pub fn from(&self, place: usize) -> &[&'a [u8]] {
        self.list.get(place..self.count).unwrap_or_default()
    }

    /// Whether the last word is `noreply`.
    pub fn quiet(&self) -> bool {
        self.count > 0 && self.at(self.count - 1) == b"noreply"
    }
}

fn split(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}

/// Writes an answer of one line, unless it is not wanted.
pub fn say(out: &mut Vec<u8>, quiet: bool, line: &str) -> Step {
    if !quiet {
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    Step::Next
}

/// What the text protocol's `exptime` means: negative is in the past.
pub fn expiry(exptime: i32, core: &Core) -> i64 {
    let past = i64::from(60 * 60 * 24 * 30 + 1);
    core.store.expiry(if exptime < 0 { past } else { i64::from(exptime) })
}

/// Executes a line, which comes without its end.
pub fn command(line: &[u8], core: &mut Core, out: &mut Vec<u8>) -> Step {
    // A zero byte ends memcached's lines.
    let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
    core.log(2, format_args!("< {}", line.escape_ascii()));
    let words = Words::new(line);
    let count = words.len();
    match words.at(0) {
        verb if verb.len() < 2 => say(out, false, "ERROR"),
        b"get" | b"bget" if count >= 2 => get(line, false, core, out),
        b"gets" if count >= 2 => get(line, true, core, out),
        b"gat" if count >= 2 => get_and_touch(line, &words, false, core, out),
        b"gats" if count >= 2 => get_and_touch(line, &words, true, core, out),
        b"mg" => meta::get(&words, core, out),
        b"ms" => meta::set(&words, core, out),
        b"md" => meta::delete(&words, core, out),
        b"ma" => meta::arithmetic(&words, core, out),
        b"mn" => say(out, false, "MN"),
        b"me" => meta::debug(&words, core, out),
        b"set" if matches!(count, 5 | 6) => update(Mode::Set, &words, core, out),
        b"add" if matches!(count, 5 | 6) => update(Mode::Add, &words, core, out),
        b"replace" if matches!(count, 5 | 6) => update(Mode::Replace, &words, core, out),
        b"append" if matches!(count, 5 | 6) => update(Mode::Append, &words, core, out),
        b"prepend" if matches!(count, 5 | 6) => update(Mode::Prepend, &words, core, out),
        b"cas" if matches!(count, 6 | 7) => update(Mode::Cas, &words, core, out),
        b"incr" if matches!(count, 3 | 4) => count_by(true, &words, core, out),
        b"decr" if matches!(count, 3 | 4) => count_by(false, &words, core, out),
        b"touch" if matches!(count, 3 | 4) => touch(&words, core, out),
        b"delete" if matches!(count, 2..=4) => delete(&words, core, out),
        _ => admin::command(&words, core, out),
    }
}

/// The keys of a `get` that are not looked up yet.
pub struct Fetch {
    keys: Vec<u8>,
    with_cas: bool,
    touch: Option<i64>,
}

fn get(line: &[u8], with_cas: bool, core: &mut Core, out: &mut Vec<u8>) -> Step {
    fetch_keys(after_words(line, 1), with_cas, None, core, out)
}

fn get_and_touch(line: &[u8], words: &Words, with_cas: bool, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let Some(exptime) = number::wrapped_i32(words.at(1)) else { return say(out, false, BAD_EXPTIME) };
    let expires = expiry(exptime, core);
    fetch_keys(after_words(line, 2), with_cas, Some(expires), core, out)
}

/// What is left of a line after some words.
fn after_words(mut line: &[u8], count: usize) -> &[u8] {
    for _ in 0..count {
        let start = line.iter().position(|byte| *byte != b' ').unwrap_or(line.len());
        line = line.get(start..).unwrap_or_default();
        let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        line = line.get(end..).unwrap_or_default();
    }
    line
}

fn fetch_keys(keys: &[u8], with_cas: bool, touch: Option<i64>, core: &mut Core, out: &mut Vec<u8>) -> Step {
    // One bad key spoils the whole answer.
    if split(keys).any(|key| key.len() > KEY_MAX) {
        return say(out, false, BAD_FORMAT);
    }
    match fetch_some(keys, with_cas, touch, core, out) {
        Some(rest) => Step::Fetch(Fetch { keys: rest.to_vec(), with_cas, touch }),
        None => Step::Next,
    }
}

/// Goes on with a `get` whose answer was long.
pub fn fetch(mut fetch: Fetch, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let left = fetch_some(&fetch.keys, fetch.with_cas, fetch.touch, core, out).map(<[u8]>::len);
    match left {
        Some(left) => {
            fetch.keys.drain(..fetch.keys.len() - left);
            Step::Fetch(fetch)
        }
        None => Step::Next,
    }
}

/// Answers keys until there is much to send; the rest of the keys is returned then.
fn fetch_some<'k>(
    keys: &'k [u8],
    with_cas: bool,
    touch: Option<i64>,
    core: &mut Core,
    out: &mut Vec<u8>,
) -> Option<&'k [u8]> {
    let mut rest = keys;
    while let Some(key) = split(rest).next() {
        if out.len() >= OUTPUT_HIGH {
            return Some(rest);
        }
        rest = after_words(rest, 1);
        let found = match touch {
            Some(expires) => core.store.touch(key, expires),
            None => core.store.get(key),
        };
        let Some(id) = found else { continue };
        let item = core.store.items.get(id);
        out.extend_from_slice(b"VALUE ");
        out.extend_from_slice(key);
        let head = format!(" {} {}", item.flags, item.value.len());
        out.extend_from_slice(head.as_bytes());
        if with_cas {
            out.extend_from_slice(format!(" {}", item.cas).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&item.value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"END\r\n");
    None
}

fn update(mode: Mode, words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let quiet = words.quiet();
    let key = words.at(1);
    let flags = number::wrapped_u32(words.at(2));
    let exptime = number::wrapped_i32(words.at(3));
    let length = number::length(words.at(4));
    let compare = if mode == Mode::Cas { number::u64(words.at(5)) } else { Some(0) };
    let (Some(flags), Some(exptime), Some(length), Some(compare)) = (flags, exptime, length, compare) else {
        return say(out, quiet, BAD_FORMAT);
    };
    if key.len() > KEY_MAX {
        return say(out, quiet, BAD_FORMAT);
    }
    if let Err(why) = core.store.check_room(key.len(), flags, length) {
        if mode == Mode::Set {
            core.store.forget(key);
        }
        say(out, quiet, refusal(why));
        return Step::Swallow(length as u64 + 2);
    }
    let write = Write {
        mode,
        key: key.to_vec(),
        value: Vec::new(),
        flags,
        expires: expiry(exptime, core),
        compare,
        new_cas: None,
        invalidate: false,
        vivify: false,
        key_binary: false,
    };
    Step::Value(Pending { write, length, reply: Reply::Text { quiet } })
}

pub fn refusal(why: NoRoom) -> &'static str {
    match why {
        NoRoom::TooLarge => TOO_LARGE,
        NoRoom::NoMemory => NO_MEMORY,
    }
}

/// Stores a value that has arrived; `whole` says that its end was where it should be.
pub fn complete(write: Write, quiet: bool, whole: bool, core: &mut Core, out: &mut Vec<u8>) {
    core.counters().cmd_set += 1;
    let line = match whole.then(|| core.store.write(write)) {
        None => BAD_CHUNK,
        Some(Outcome::Stored(..)) => "STORED",
        Some(Outcome::NotStored) => "NOT_STORED",
        Some(Outcome::Exists) => "EXISTS",
        Some(Outcome::NotFound) => "NOT_FOUND",
        Some(Outcome::NoMemory) => NO_MEMORY,
    };
    say(out, quiet, line);
}

fn count_by(up: bool, words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let quiet = words.quiet();
    let key = words.at(1);
    if key.len() > KEY_MAX {
        return say(out, quiet, BAD_FORMAT);
    }
    let Some(delta) = number::u64(words.at(2)) else {
        return say(out, quiet, "CLIENT_ERROR invalid numeric delta argument");
    };
    match core.store.count(key, up, delta, 0, None) {
        Counted::Value(_, value) => say(out, quiet, &value.to_string()),
        Counted::NonNumeric => say(out, quiet, NON_NUMERIC),
        Counted::NoMemory => say(out, quiet, "SERVER_ERROR out of memory"),
        Counted::NotFound | Counted::Exists => {
            core.store.count_missed(up);
            say(out, quiet, "NOT_FOUND")
        }
    }
}

fn touch(words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let quiet = words.quiet();
    let key = words.at(1);
    if key.len() > KEY_MAX {
        return say(out, quiet, BAD_FORMAT);
    }
    let Some(exptime) = number::wrapped_i32(words.at(2)) else { return say(out, quiet, BAD_EXPTIME) };
    let expires = expiry(exptime, core);
    match core.store.touch(key, expires) {
        Some(_) => say(out, quiet, "TOUCHED"),
        None => say(out, quiet, "NOT_FOUND"),
    }
}

/// `delete key [0] [noreply]`: the zero is an old time-out that still may be sent.
fn delete(words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let key = words.at(1);
    let quiet = words.len() > 2 && words.quiet();
    let zero = words.at(2) == b"0";
    let valid = match words.len() {
        3 => zero || quiet,
        4 => zero && quiet,
        _ => true,
    };
    if !valid {
        return say(out, quiet, "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]");
    }
    if key.len() > KEY_MAX {
        return say(out, quiet, BAD_FORMAT);
    }
    match core.store.delete(key, 0) {
        Ok(true) => say(out, quiet, "DELETED"),
        _ => say(out, quiet, "NOT_FOUND"),
    }
}
