//! The text commands that run the server rather than touch one item: flush_all, stats, version and the like.

use super::connection::{Core, Step};
use super::stats::{self, Pairs};
use super::text::{say, Words, BAD_EXPTIME, BAD_FORMAT};
use super::{items::Item, number};

const MIB: usize = 1 << 20;

pub fn command(words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let count = words.len();
    match words.at(0) {
        b"flush_all" if matches!(count, 1..=3) => flush_all(words, core, out),
        b"version" => say(out, false, &format!("VERSION {}", core.config.version)),
        b"quit" => Step::Finish,
        b"stats" => stats(words, core, out),
        b"verbosity" if matches!(count, 2 | 3) => verbosity(words, core, out),
        b"cache_memlimit" if matches!(count, 2 | 3) => memory_limit(words, core, out),
        b"shutdown" => shutdown(words, core, out),
        b"config" if count == 3 && !core.config.cluster.is_empty() => cluster(words, core, out),
        b"lru_crawler" if count == 3 => crawl(words, core, out),
        b"debugtime" if count == 2 && core.config.debug_time => debug_time(words.at(1), core, out),
        // A browser is sent away, as memcached does: its headers would each be an error.
        verb if !is_checked_first(verb) && words.at(count - 1).starts_with(b"HTTP/") => Step::Drop,
        _ => say(out, false, "ERROR"),
    }
}

/// memcached looks for a browser only where no command begins with this letter.
fn is_checked_first(verb: &[u8]) -> bool {
    verb.first().is_some_and(|letter| b"gsacidt".contains(letter))
}

fn flush_all(words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let quiet = words.quiet();
    if !core.config.flush {
        core.counters().cmd_flush += 1;
        return say(out, quiet, "CLIENT_ERROR flush_all not allowed");
    }
    let has_delay = words.len() != if quiet { 2 } else { 1 };
    let delay = if has_delay { number::wrapped_i32(words.at(1)) } else { Some(0) };
    let Some(delay) = delay else { return say(out, quiet, BAD_EXPTIME) };
    core.store.flush(i64::from(delay));
    say(out, quiet, "OK")
}

/// As an ElastiCache configuration endpoint answers.
fn cluster(words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    if words.at(1) != b"get" || words.at(2) != b"cluster" {
        return say(out, false, BAD_FORMAT);
    }
    let text = core.config.cluster.trim_end_matches('\n');
    let reply = format!("CONFIG cluster 0 {}\r\n{text}\n\r\nEND", text.len() + 1);
    say(out, false, &reply)
}

fn verbosity(words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let Some(level) = number::wrapped_u32(words.at(1)) else { return say(out, words.quiet(), BAD_FORMAT) };
    core.config.verbose = level.min(2);
    say(out, words.quiet(), "OK")
}

fn memory_limit(words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let line = match number::wrapped_u32(words.at(1)) {
        None => "ERROR",
        Some(0..=7) => "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m",
        Some(1_000_000_001..) => "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes",
        Some(limit) => {
            core.store.set_memory_limit(limit as usize * MIB);
            "OK"
        }
    };
    say(out, words.quiet(), line)
}

fn shutdown(words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    if !core.config.shutdown {
        return say(out, false, "ERROR: shutdown not enabled");
    }
    let graceful = words.len() == 2 && words.at(1) == b"graceful";
    if words.len() > 1 && !graceful {
        return say(out, false, "CLIENT_ERROR invalid shutdown mode");
    }
    core.stopping = true;
    Step::Drop
}

/// `debugtime p|r|SECONDS`, as memcached-debug has it.
fn debug_time(word: &[u8], core: &mut Core, out: &mut Vec<u8>) -> Step {
    match (word, number::i64(word).and_then(|seconds| u64::try_from(seconds).ok())) {
        (b"p", _) => core.clock.hold(),
        (b"r", _) => core.clock.resume(),
        (_, Some(seconds)) => core.clock.advance(seconds),
        _ => return say(out, false, "ERROR"),
    }
    core.store.set_now(core.clock.now());
    say(out, false, "OK")
}

/// `lru_crawler metadump all|hash`: a line for each item, the oldest last.
fn crawl(words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    if words.at(1) != b"metadump" {
        return say(out, false, "ERROR");
    }
    if !matches!(words.at(2), b"all" | b"hash" | b"1") {
        return say(out, false, "BADCLASS invalid class id");
    }
    if !out.is_empty() {
        return say(out, false, "ERROR cannot pipeline other commands before metadump");
    }
    for item in core.store.items.iter() {
        dump(item, core, out);
    }
    say(out, false, "END")
}

fn dump(item: &Item, core: &Core, out: &mut Vec<u8>) {
    out.extend_from_slice(b"key=");
    for byte in item.key.iter() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(*byte),
            byte => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    let expires = if item.expires == 0 { -1 } else { item.expires };
    let fetched = if item.fetched { "yes" } else { "no" };
    let size = core.store.items.size(item.key.len(), item.flags, item.value.len());
    let rest = format!(" exp={expires} la={} cas={} fetch={fetched} cls=1 size={size}\n", item.time, item.cas);
    out.extend_from_slice(rest.as_bytes());
}

fn stats(words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let pairs = match words.at(1) {
        b"" => stats::general(core),
        b"items" => stats::items(core),
        b"slabs" => stats::slabs(core),
        b"settings" => stats::settings(core),
        b"sizes" => vec![("sizes_status".into(), "disabled".into())],
        b"reset" => {
            stats::reset(core);
            return say(out, false, "RESET");
        }
        b"cachedump" => return cachedump(words, core, out),
        _ => return say(out, false, "ERROR"),
    };
    write_pairs(&pairs, out);
    say(out, false, "END")
}

fn write_pairs(pairs: &Pairs, out: &mut Vec<u8>) {
    for (name, value) in pairs {
        say(out, false, &format!("STAT {name} {value}"));
    }
}

/// `stats cachedump CLASS COUNT`; every item is of class 1, and a count of 0 is all.
fn cachedump(words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    if words.len() < 4 {
        return say(out, false, "CLIENT_ERROR bad command line");
    }
    let (Some(class), Some(count)) = (number::wrapped_u32(words.at(2)), number::wrapped_u32(words.at(3))) else {
        return say(out, false, BAD_FORMAT);
    };
    if class >= 64 {
        return say(out, false, "CLIENT_ERROR Illegal slab id");
    }
    let count = if count == 0 { usize::MAX } else { count as usize };
    for item in core.store.items.iter().take(if class == 1 { count } else { 0 }) {
        out.extend_from_slice(b"ITEM ");
        out.extend_from_slice(&item.key);
        say(out, false, &format!(" [{} b; {} s]", item.value.len(), item.expires));
    }
    say(out, false, "END")
}
