//! The meta commands mg, ms, md, ma and me: flags of one letter each, answers that repeat what was asked for, and the
//! stale-and-win rules. They are memcached 1.6.18's, with the later E, x, C of mg, and s and N of ms.

use super::base64;
use super::connection::{Core, Pending, Reply, Step};
use super::items::Id;
use super::number;
use super::store::{Counted, Mode, Outcome, Write};
use super::text::{expiry, refusal, say, Words, BAD_CHUNK, BAD_FORMAT, KEY_MAX, NON_NUMERIC, NO_MEMORY};

/// The most words of a command.
const WORDS_MAX: usize = 19;

/// The longest opaque, its O included.
const OPAQUE_MAX: usize = 32;

const BAD_TOKEN: &str = "CLIENT_ERROR bad token in command line format";
const BAD_FLAGS: &str = "CLIENT_ERROR invalid or duplicate flag";
const LONG_OPAQUE: &str = "CLIENT_ERROR opaque token too long";

/// What the flags of a command say.
struct Flags<'a> {
    list: &'a [&'a [u8]],
    key: Vec<u8>,
    key_binary: bool,
    value: bool,
    quiet: bool,
    no_bump: bool,
    invalidate: bool,
    remove_value: bool,
    mode: u8,
    client_flags: u32,
    delta: u64,
    initial: u64,
    compare: Option<u64>,
    new_cas: Option<u64>,
    ttl: Option<i64>,
    vivify: Option<i64>,
    recache: Option<i64>,
}

impl<'a> Flags<'a> {
    /// Reads the words from `first` on. A wrong value is reported after all flags are read, an unknown or doubled flag at
    /// once.
    fn parse(words: &'a Words<'a>, first: usize, core: &Core) -> Result<Flags<'a>, &'static str> {
        let mut flags = Flags::none(words, first);
        let mut seen = [false; 127];
        let mut wrong = None;
        for word in flags.list {
            let Some((letter, value)) = word.split_first() else { continue };
            match seen.get_mut(usize::from(*letter)) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err("CLIENT_ERROR duplicate flag"),
            }
            match flags.take(*letter, value, core) {
                None => return Err("CLIENT_ERROR invalid flag"),
                // Wrong client flags have no words of their own.
                Some(Err("")) => wrong = wrong.or(Some(BAD_FORMAT)),
                Some(Err(why)) => wrong = Some(why),
                Some(Ok(())) => {}
            }
        }
        wrong.map_or(Ok(flags), Err)
    }

    fn none(words: &'a Words<'a>, first: usize) -> Flags<'a> {
        Flags {
            list: words.from(first),
            key: words.at(1).to_vec(),
            key_binary: false,
            value: false,
            quiet: false,
            no_bump: false,
            invalidate: false,
            remove_value: false,
            mode: 0,
            client_flags: 0,
            delta: 1,
            initial: 0,
            compare: None,
            new_cas: None,
            ttl: None,
            vivify: None,
            recache: None,
        }
    }

    /// Takes one flag; `None` if there is no such flag.
    fn take(&mut self, letter: u8, value: &[u8], core: &Core) -> Option<Result<(), &'static str>> {
        let time = || number::wrapped_i32(value).map(|exptime| expiry(exptime, core)).ok_or(BAD_TOKEN);
        let cas = || number::u64(value).ok_or(BAD_TOKEN);
        let taken = match letter {
            b'k' | b's' | b't' | b'c' | b'f' | b'l' | b'h' | b'O' | b'P' | b'L' => Ok(()),
            b'v' => turn_on(&mut self.value),
            b'q' => turn_on(&mut self.quiet),
            b'u' => turn_on(&mut self.no_bump),
            b'I' => turn_on(&mut self.invalidate),
            b'x' => turn_on(&mut self.remove_value),
            b'b' => {
                self.key_binary = true;
                base64::decode(&self.key).map(|key| self.key = key).ok_or("CLIENT_ERROR error decoding key")
            }
            b'N' => time().map(|time| self.vivify = Some(time)),
            b'T' => time().map(|time| self.ttl = Some(time)),
            b'R' => time().map(|time| self.recache = Some(time)),
            b'C' => cas().map(|cas| self.compare = Some(cas)),
            b'E' => cas().map(|cas| self.new_cas = Some(cas)),
            b'F' => number::wrapped_u32(value).map(|flags| self.client_flags = flags).ok_or(""),
            b'M' => match value {
                [mode] => {
                    self.mode = *mode;
                    Ok(())
                }
                _ => Err("CLIENT_ERROR incorrect length for M token"),
            },
            b'J' => number::u64(value)
                .map(|initial| self.initial = initial)
                .ok_or("CLIENT_ERROR invalid numeric initial value"),
            b'D' => {
                number::u64(value).map(|delta| self.delta = delta).ok_or("CLIENT_ERROR invalid numeric delta value")
            }
            _ => return None,
        };
        Some(taken)
    }

    /// Appends the opaque and the key, where they were asked for.
    fn echo(&self, line: &mut Vec<u8>) -> Result<(), &'static str> {
        for word in self.list {
            match word.first() {
                Some(b'O') => echo_opaque(word, line)?,
                Some(b'k') => echo_key(&self.key, self.key_binary, line),
                _ => {}
            }
        }
        Ok(())
    }
}

fn turn_on(flag: &mut bool) -> Result<(), &'static str> {
    *flag = true;
    Ok(())
}

fn echo_opaque(word: &[u8], line: &mut Vec<u8>) -> Result<(), &'static str> {
    if word.len() > OPAQUE_MAX {
        return Err(LONG_OPAQUE);
    }
    line.push(b' ');
    line.extend_from_slice(word);
    Ok(())
}

fn echo_key(key: &[u8], binary: bool, line: &mut Vec<u8>) {
    line.extend_from_slice(b" k");
    if binary {
        base64::encode(key, line);
        line.extend_from_slice(b" b");
    } else {
        line.extend_from_slice(key);
    }
}

fn add(line: &mut Vec<u8>, letter: char, number: impl std::fmt::Display) {
    line.extend_from_slice(format!(" {letter}{number}").as_bytes());
}

/// What is wrong with a command before its flags are looked at.
fn check(words: &Words, too_long: &'static str) -> Result<(), &'static str> {
    if words.len() < 2 {
        return Err("ERROR");
    }
    if words.at(1).len() > KEY_MAX {
        return Err(BAD_FORMAT);
    }
    if words.len() > WORDS_MAX {
        return Err(too_long);
    }
    Ok(())
}

/// `mg key flags*`
pub fn get(words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let checked = check(words, "CLIENT_ERROR options flags are too long");
    let answer = checked.and_then(|()| Flags::parse(words, 2, core)).and_then(|flags| get_item(&flags, core, out));
    match answer {
        Ok(()) => Step::Next,
        Err(why) => say(out, false, why),
    }
}

fn get_item(flags: &Flags, core: &mut Core, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let found = core.store.peek(&flags.key);
    let created = found.is_none() && flags.vivify.is_some();
    let id = if created { vivify(flags, core) } else { found };
    let Some(id) = id else {
        let mut line = b"EN".to_vec();
        flags.echo(&mut line)?;
        let counters = core.counters();
        counters.cmd_get += 1;
        counters.get_misses += 1;
        finish(line, flags.quiet, out);
        return Ok(());
    };
    let line = get_line(flags, id, created, core)?;
    let item = core.store.items.get(id);
    let with_value = sends_value(flags, item.cas);
    out.extend_from_slice(&line);
    if with_value {
        out.extend_from_slice(&item.value);
        out.extend_from_slice(b"\r\n");
    }
    if !flags.no_bump {
        core.store.bump(id);
    }
    let counters = core.counters();
    match flags.ttl {
        Some(_) => (counters.cmd_touch, counters.touch_hits) = (counters.cmd_touch + 1, counters.touch_hits + 1),
        None => (counters.cmd_get, counters.get_hits) = (counters.cmd_get + 1, counters.get_hits + 1),
    }
    Ok(())
}

/// With `C`, a value that the client has already is not sent again.
fn sends_value(flags: &Flags, cas: u64) -> bool {
    flags.value && flags.compare != Some(cas)
}

/// Makes an empty item for the client that is to fill it.
fn vivify(flags: &Flags, core: &mut Core) -> Option<Id> {
    core.store.write(Write { flags: 0, ..write(flags, Mode::Add, 0) });
    core.store.items.find(&flags.key)
}

/// The answer to a hit; flags take effect in their order, so that `t` after `T` is the new time.
fn get_line(flags: &Flags, id: Id, created: bool, core: &mut Core) -> Result<Vec<u8>, &'static str> {
    let now = core.store.now();
    let item = core.store.items.get(id);
    let mut line =
        if sends_value(flags, item.cas) { format!("VA {}", item.value.len()).into_bytes() } else { b"HD".to_vec() };
    let mut wins = created;
    for word in flags.list {
        let ttl = core.store.ttl(id);
        let item = core.store.items.get_mut(id);
        match word.first() {
            Some(b'T') => item.expires = flags.ttl.unwrap_or(0),
            Some(b'N') if created => item.expires = flags.vivify.unwrap_or(0),
            Some(b'R') => {
                let late = item.expires != 0 && flags.recache.is_some_and(|limit| item.expires < limit);
                wins |= !item.won && !created && late;
            }
            Some(b's') => add(&mut line, 's', item.value.len()),
            Some(b't') => add(&mut line, 't', ttl),
            Some(b'c') => add(&mut line, 'c', item.cas),
            Some(b'f') => add(&mut line, 'f', item.flags),
            Some(b'l') => add(&mut line, 'l', now - item.time),
            Some(b'h') => add(&mut line, 'h', u8::from(item.fetched)),
            Some(b'O') => echo_opaque(word, &mut line)?,
            Some(b'k') => echo_key(&item.key, item.key_binary, &mut line),
            _ => {}
        }
    }
    let item = core.store.items.get_mut(id);
    if item.won {
        line.extend_from_slice(b" Z");
    }
    if item.stale {
        line.extend_from_slice(b" X");
        wins |= !item.won;
    }
    if wins {
        line.extend_from_slice(b" W");
        item.won = true;
    }
    line.extend_from_slice(b"\r\n");
    Ok(line)
}

fn finish(mut line: Vec<u8>, quiet: bool, out: &mut Vec<u8>) {
    if !quiet {
        line.extend_from_slice(b"\r\n");
        out.append(&mut line);
    }
}

/// A write as the flags say it, still without its value.
fn write(flags: &Flags, mode: Mode, expires: i64) -> Write {
    Write {
        mode,
        key: flags.key.clone(),
        value: Vec::new(),
        flags: flags.client_flags,
        expires,
        compare: flags.compare.unwrap_or(0),
        new_cas: flags.new_cas,
        invalidate: flags.invalidate,
        vivify: flags.vivify.is_some(),
        key_binary: flags.key_binary,
    }
}

/// What the answer to an ms is to say, until its value has arrived.
pub struct SetReply {
    quiet: bool,
    parts: Vec<Part>,
}

enum Part {
    Opaque(Vec<u8>),
    Key(Vec<u8>, bool),
    Cas,
    Size,
}

/// `ms key length flags*`, and the value
pub fn set(words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let too_long = "CLIENT_ERROR options flags too long";
    let checked = check(words, too_long);
    let checked = if words.len() == 2 && checked.is_ok() { Err(BAD_FORMAT) } else { checked };
    if let Err(why) = checked {
        return say(out, false, why);
    }
    let Some(length) = number::length(words.at(2)) else { return say(out, false, BAD_FORMAT) };
    match Flags::parse(words, 3, core).and_then(|flags| set_flags(&flags, length, core)) {
        Ok(pending) => Step::Value(pending),
        Err(why) => {
            say(out, false, why);
            Step::Swallow(length as u64 + 2)
        }
    }
}

fn set_flags(flags: &Flags, length: usize, core: &mut Core) -> Result<Pending, &'static str> {
    let mode = match (flags.mode, flags.compare.is_some()) {
        (0 | b'S' | b'R', true) => Mode::Cas,
        (0 | b'S', false) => Mode::Set,
        (b'R', false) => Mode::Replace,
        (b'E', _) => Mode::Add,
        (b'A', _) => Mode::Append,
        (b'P', _) => Mode::Prepend,
        _ => return Err("CLIENT_ERROR invalid mode for ms M token"),
    };
    let parts = parts(flags)?;
    if let Err(why) = core.store.check_room(flags.key.len(), flags.client_flags, length) {
        core.store.forget(&flags.key);
        return Err(refusal(why));
    }
    let joins = matches!(mode, Mode::Append | Mode::Prepend);
    let expires = if joins { flags.vivify.or(flags.ttl) } else { flags.ttl };
    let reply = SetReply { quiet: flags.quiet, parts };
    Ok(Pending { write: write(flags, mode, expires.unwrap_or(0)), length, reply: Reply::Meta(reply) })
}

fn parts(flags: &Flags) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    for word in flags.list {
        match word.first() {
            Some(b'O') if word.len() > OPAQUE_MAX => return Err(LONG_OPAQUE),
            Some(b'O') => parts.push(Part::Opaque(word.to_vec())),
            Some(b'k') => parts.push(Part::Key(flags.key.clone(), flags.key_binary)),
            Some(b'c') => parts.push(Part::Cas),
            Some(b's') => parts.push(Part::Size),
            _ => {}
        }
    }
    Ok(parts)
}

/// Stores a value that has arrived; `whole` says that its end was where it should be.
pub fn complete(write: Write, reply: SetReply, whole: bool, core: &mut Core, out: &mut Vec<u8>) {
    if !whole {
        say(out, false, BAD_CHUNK);
        return;
    }
    let sent = write.value.len();
    core.counters().cmd_set += 1;
    let (code, cas, size) = match core.store.write(write) {
        Outcome::Stored(cas, size) => ("HD", cas, size),
        Outcome::NotStored => ("NS", 0, sent),
        Outcome::Exists => ("EX", 0, sent),
        Outcome::NotFound => ("NF", 0, sent),
        Outcome::NoMemory => {
            say(out, false, NO_MEMORY);
            return;
        }
    };
    let mut line = code.as_bytes().to_vec();
    for part in &reply.parts {
        match part {
            Part::Opaque(word) => {
                line.push(b' ');
                line.extend_from_slice(word);
            }
            Part::Key(key, binary) => echo_key(key, *binary, &mut line),
            Part::Cas => add(&mut line, 'c', cas),
            Part::Size => add(&mut line, 's', size),
        }
    }
    finish(line, reply.quiet && code == "HD", out);
}

/// `md key flags*`
pub fn delete(words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    if let Err(why) = check(words, "CLIENT_ERROR options flags too long") {
        return say(out, false, why);
    }
    let Ok(flags) = Flags::parse(words, 2, core) else { return say(out, false, BAD_FLAGS) };
    let mut tail = Vec::new();
    if let Err(why) = flags.echo(&mut tail) {
        return say(out, false, why);
    }
    let code = delete_item(&flags, core);
    finish([code.as_bytes(), &tail].concat(), flags.quiet && code == "HD", out);
    Step::Next
}

fn delete_item(flags: &Flags, core: &mut Core) -> &'static str {
    let Some(id) = core.store.peek(&flags.key) else {
        core.counters().delete_misses += 1;
        return "NF";
    };
    if flags.compare.is_some_and(|cas| cas != core.store.items.get(id).cas) {
        core.counters().delete_misses += 1;
        return "EX";
    }
    if !flags.remove_value && !flags.invalidate {
        // The item was there a line ago.
        let _ = core.store.delete(&flags.key, 0);
        return "HD";
    }
    if flags.remove_value {
        core.store.items.set_value(id, Vec::new());
        core.store.items.set_flags(id, flags.client_flags);
        let item = core.store.items.get_mut(id);
        item.expires = flags.ttl.unwrap_or(0);
        item.cas = flags.new_cas.unwrap_or(item.cas);
        (item.stale, item.won, item.fetched) = (false, false, false);
    }
    if flags.invalidate {
        let cas = core.store.next_cas(flags.new_cas);
        let item = core.store.items.get_mut(id);
        item.expires = flags.ttl.unwrap_or(item.expires);
        (item.stale, item.won, item.cas) = (true, false, cas);
    }
    "HD"
}

/// `ma key flags*`
pub fn arithmetic(words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    if let Err(why) = check(words, "CLIENT_ERROR options flags too long") {
        return say(out, false, why);
    }
    let Ok(flags) = Flags::parse(words, 2, core) else { return say(out, false, BAD_FLAGS) };
    let up = match flags.mode {
        0 | b'I' | b'+' => true,
        b'D' | b'-' => false,
        _ => return say(out, false, "CLIENT_ERROR invalid mode for ma M token"),
    };
    match count(&flags, up, core, out) {
        Ok(()) => Step::Next,
        Err(why) => say(out, false, why),
    }
}

fn count(flags: &Flags, up: bool, core: &mut Core, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let compare = flags.compare.unwrap_or(0);
    let refused = match core.store.count(&flags.key, up, flags.delta, compare, flags.new_cas) {
        Counted::Value(id, value) => return count_answer(flags, id, value, false, core, out),
        Counted::NonNumeric => return Err(NON_NUMERIC),
        Counted::NoMemory => return Err("SERVER_ERROR out of memory"),
        Counted::Exists => "EX",
        Counted::NotFound => match flags.vivify {
            Some(_) => return count_from_initial(flags, core, out),
            None => "NF",
        },
    };
    if refused == "NF" {
        core.store.count_missed(up);
    }
    let mut line = refused.as_bytes().to_vec();
    flags.echo(&mut line)?;
    finish(line, false, out);
    Ok(())
}

/// A counter that did not exist starts at its initial value, and the delta is not applied.
fn count_from_initial(flags: &Flags, core: &mut Core, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let value = flags.initial.to_string().into_bytes();
    core.store.write(Write { value, flags: 0, ..write(flags, Mode::Add, 0) });
    let id = core.store.items.find(&flags.key).ok_or("SERVER_ERROR Out of memory allocating new item")?;
    count_answer(flags, id, flags.initial, true, core, out)
}

fn count_answer(
    flags: &Flags,
    id: Id,
    value: u64,
    created: bool,
    core: &mut Core,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let digits = value.to_string();
    let mut line = if flags.value { format!("VA {}", digits.len()).into_bytes() } else { b"HD".to_vec() };
    for word in flags.list {
        match word.first() {
            Some(b'T') => core.store.items.get_mut(id).expires = flags.ttl.unwrap_or(0),
            Some(b'N') if created => core.store.items.get_mut(id).expires = flags.vivify.unwrap_or(0),
            Some(b't') => add(&mut line, 't', core.store.ttl(id)),
            Some(b'c') => add(&mut line, 'c', core.store.items.get(id).cas),
            Some(b'O') => echo_opaque(word, &mut line)?,
            Some(b'k') => echo_key(&flags.key, flags.key_binary, &mut line),
            _ => {}
        }
    }
    if flags.value {
        line.extend_from_slice(b"\r\n");
        line.extend_from_slice(digits.as_bytes());
    }
    finish(line, flags.quiet && !created, out);
    Ok(())
}

/// `me key [b]`
pub fn debug(words: &Words, core: &mut Core, out: &mut Vec<u8>) -> Step {
    if words.len() < 2 || words.at(1).len() > KEY_MAX {
        return say(out, false, BAD_FORMAT);
    }
    let decoded = if words.at(2) == b"b" { base64::decode(words.at(1)) } else { Some(words.at(1).to_vec()) };
    let Some(key) = decoded else { return say(out, false, BAD_FORMAT) };
    core.counters().cmd_meta += 1;
    let Some(id) = core.store.peek(&key) else { return say(out, false, "EN") };
    let (item, store) = (core.store.items.get(id), &core.store);
    out.extend_from_slice(b"ME ");
    match item.key_binary {
        true => base64::encode(&item.key, out),
        false => out.extend_from_slice(&item.key),
    }
    let fetched = if item.fetched { "yes" } else { "no" };
    let size = store.items.size(item.key.len(), item.flags, item.value.len());
    let (ttl, age, cas) = (store.ttl(id), store.now() - item.time, item.cas);
    say(out, false, &format!(" exp={ttl} la={age} cas={cas} fetch={fetched} cls=1 size={size}"))
}
