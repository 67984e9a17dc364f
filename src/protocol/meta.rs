//! The meta commands mg, ms, md, ma, mn and me. All but the last two carry an opaque, which every reply but an error line
//! brings back.

use super::{error_line, exptime, has_payload, leading_number, line, parse_number, push_number};
use super::{Decoded, Head, Hit, Violation, What};
use crate::error::{bits, Error, Result, Status};
use crate::operation::{op_flags, Command, Operation};

/// The server takes so many words in a line.
const MAX_WORDS: usize = 18;
/// And so many bytes, before it would read the rest as another one.
const MAX_REQUEST: usize = 1024;

/// How the reply to a request looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// As the command has it, with the opaque.
    Plain,
    /// With the opaque, and any code, as raw flags may have it.
    Any,
    /// A line of text without an opaque.
    Line,
}

/// Whether there is a meta command for it.
pub fn has(command: Command) -> bool {
    command.has_key() || command == Command::Noop
}

/// Writes the command line. A value and its line end are the caller's to add.
pub fn encode(out: &mut Vec<u8>, operation: &Operation<'_>, opaque: u32) -> Result<Reply> {
    let verb: &[u8] = match operation.command {
        Command::Get => b"mg ",
        command if has_payload(command) => b"ms ",
        Command::Delete => b"md ",
        _ => return encode_other(out, operation, opaque),
    };
    let begin = out.len();
    out.extend_from_slice(verb);
    out.extend_from_slice(operation.key);
    if has_payload(operation.command) {
        out.push(b' ');
        push_number(out, operation.value.len() as u64);
        push_set_flags(out, operation);
    }
    if operation.command == Command::Get {
        out.extend_from_slice(b" v f");
    }
    push_cas_flags(out, operation);
    finish(out, begin, operation, operation.meta_flags, opaque)
}

/// The commands that are not used most.
fn encode_other(out: &mut Vec<u8>, operation: &Operation<'_>, opaque: u32) -> Result<Reply> {
    let begin = out.len();
    let verb: &[u8] = match operation.command {
        Command::GetAndTouch | Command::Touch => b"mg ",
        Command::Increment | Command::Decrement => b"ma ",
        Command::Noop => b"mn\r\n",
        _ => return encode_meta(out, operation, opaque),
    };
    out.extend_from_slice(verb);
    if operation.command == Command::Noop {
        return Ok(Reply::Line);
    }
    out.extend_from_slice(operation.key);
    match operation.command {
        Command::Touch => push_flag(out, b'T', exptime(operation.ttl).into()),
        Command::GetAndTouch => {
            out.extend_from_slice(b" v f");
            push_flag(out, b'T', exptime(operation.ttl).into());
        }
        _ => push_counter_flags(out, operation),
    }
    push_cas_flags(out, operation);
    finish(out, begin, operation, operation.meta_flags, opaque)
}

fn push_flag(out: &mut Vec<u8>, flag: u8, number: u64) {
    out.extend_from_slice(&[b' ', flag]);
    push_number(out, number);
}

fn push_counter_flags(out: &mut Vec<u8>, operation: &Operation<'_>) {
    out.extend_from_slice(b" v");
    if operation.command == Command::Decrement {
        out.extend_from_slice(b" MD");
    }
    push_flag(out, b'D', operation.delta);
    if operation.op_flags & op_flags::CREATE != 0 {
        push_flag(out, b'N', exptime(operation.ttl).into());
        push_flag(out, b'J', operation.initial);
    }
}

fn push_cas_flags(out: &mut Vec<u8>, operation: &Operation<'_>) {
    if operation.op_flags & op_flags::WANT_CAS != 0 {
        out.extend_from_slice(b" c");
    }
    let compares = !operation.command.reads() && operation.command != Command::Touch;
    if operation.cas != 0 && compares {
        push_flag(out, b'C', operation.cas);
    }
}

/// Ends the line that begins at `begin` with the flags of the caller's own and the opaque.
fn finish(out: &mut Vec<u8>, begin: usize, operation: &Operation<'_>, raw: &[u8], opaque: u32) -> Result<Reply> {
    let mut reply = Reply::Plain;
    if !operation.meta_flags.is_empty() {
        push_raw_flags(out, begin, raw)?;
        reply = Reply::Any;
    }
    out.extend_from_slice(b" O");
    push_number(out, opaque.into());
    out.extend_from_slice(b"\r\n");
    Ok(reply)
}

// ---- Flags and commands of the caller's own ----

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}

/// The word that a raw meta command begins with.
fn verb<'a>(operation: &Operation<'a>) -> &'a [u8] {
    words(operation.meta_flags).next().unwrap_or_default()
}

/// Whether a raw meta command stores a value.
pub fn stores(operation: &Operation<'_>) -> bool {
    verb(operation) == b"ms"
}

/// Whether a raw meta command is about no key.
pub fn is_keyless(operation: &Operation<'_>) -> bool {
    operation.command == Command::Meta && verb(operation) == b"mn"
}

/// A raw meta command: `meta_flags` is its verb and its flags.
fn encode_meta(out: &mut Vec<u8>, operation: &Operation<'_>, opaque: u32) -> Result<Reply> {
    let begin = out.len();
    let verb = verb(operation);
    let flags = operation.meta_flags.trim_ascii_start().get(verb.len()..).unwrap_or_default();
    if !matches!(verb, b"mg" | b"ms" | b"md" | b"ma" | b"mn" | b"me") {
        let shown = verb[..verb.len().min(20)].escape_ascii();
        let words = format!("meta_flags begins with \"{shown}\"; it begins with mg, ms, md, ma, me or mn");
        return Err(Error::argument(words));
    }
    out.extend_from_slice(verb);
    if verb == b"mn" {
        push_raw_flags(out, begin, flags)?;
        out.extend_from_slice(b"\r\n");
        return Ok(Reply::Line);
    }
    out.push(b' ');
    out.extend_from_slice(operation.key);
    if verb == b"me" {
        push_raw_flags(out, begin, flags)?;
        out.extend_from_slice(b"\r\n");
        return Ok(Reply::Line);
    }
    if verb == b"ms" {
        out.push(b' ');
        push_number(out, operation.value.len() as u64);
    }
    finish(out, begin, operation, flags, opaque)
}

/// Adds flags of the caller's own. What could keep a reply from being matched, or end the line, is refused.
#[cold]
fn push_raw_flags(out: &mut Vec<u8>, begin: usize, flags: &[u8]) -> Result<()> {
    for flag in words(flags) {
        let refuse = |why: &str| {
            let shown = flag[..flag.len().min(40)].escape_ascii();
            Err(Error::argument(format!("meta flag \"{shown}\": {why}")))
        };
        if !flag.iter().all(u8::is_ascii_graphic) {
            return refuse("a flag is printable ASCII");
        }
        if matches!(flag[0], b'O' | b'q') {
            return refuse("O (opaque) and q (quiet) are the library's, which matches replies by them");
        }
        if words(&out[begin..]).skip(2).any(|word| word[0] == flag[0]) {
            return refuse("it is given already, by the operation or twice");
        }
        out.push(b' ');
        out.extend_from_slice(flag);
    }
    let (count, len) = (words(&out[begin..]).count(), out.len() - begin);
    if count >= MAX_WORDS || len > MAX_REQUEST {
        let words = format!("meta_flags: the line would have {count} words and {len} bytes");
        return Err(Error::argument(format!("{words}; it has less than {MAX_WORDS}, and up to {MAX_REQUEST} bytes")));
    }
    Ok(())
}

fn push_set_flags(out: &mut Vec<u8>, operation: &Operation<'_>) {
    if operation.flags != 0 {
        out.extend_from_slice(b" F");
        push_number(out, operation.flags.into());
    }
    if operation.ttl != 0 {
        out.extend_from_slice(b" T");
        push_number(out, exptime(operation.ttl).into());
    }
    let mode: &[u8] = match operation.command {
        Command::Add => b" ME",
        Command::Append => b" MA",
        Command::Prepend => b" MP",
        Command::Replace => b" MR",
        _ => b"",
    };
    out.extend_from_slice(mode);
}

/// Reads a whole value that names `opaque`, which is what most often comes next; with what is behind it. Anything else,
/// good or bad, is for [`decode`].
#[inline(always)]
pub fn decode_hit(opaque: u32, bytes: &[u8]) -> Option<(Hit<'_>, &[u8])> {
    let (len, rest) = leading_number(bytes.strip_prefix(b"VA ")?)?;
    let (flags, cas, rest) = decode_flags(opaque, rest)?;
    let (value, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    Some((Hit { flags, cas, value }, rest.strip_prefix(b"\r\n")?))
}

/// The same where no value is asked for: the cas, if it says one, and what is behind the reply.
#[inline(always)]
pub fn decode_done(command: Command, opaque: u32, bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (_, cas, rest) = decode_flags(opaque, bytes.strip_prefix(b"HD")?)?;
    (!asks_value(command)).then_some((cas, rest))
}

/// The flags of a reply that are always asked for, the opaque among them, and what is behind the line.
#[inline(always)]
fn decode_flags(opaque: u32, mut rest: &[u8]) -> Option<(u32, u64, &[u8])> {
    let (mut flags, mut cas, mut named) = (0, 0, false);
    while let [b' ', flag, token @ ..] = rest {
        let (number, behind) = leading_number(token)?;
        match flag {
            b'O' => named = number == u64::from(opaque),
            b'f' => flags = u32::try_from(number).ok()?,
            b'c' => cas = number,
            _ => return None,
        }
        rest = behind;
    }
    let rest = rest.strip_prefix(b"\r\n")?;
    named.then_some((flags, cas, rest))
}

/// Reads a reply with the flags that are always asked for, which is what most often comes. Anything else, good or bad, is
/// for [`decode`].
fn decode_plain(command: Command, bytes: &[u8]) -> Option<Head<'_>> {
    let (code, mut rest) = bytes.split_first_chunk::<2>()?;
    let mut head = Head::new(0, What::Answer, Status::Ok);
    match code {
        b"HD" if !asks_value(command) => {}
        b"NF" if command == Command::Delete => head.status = Status::NotFound,
        b"VA" if command.reads() => {
            let (body, after) = leading_number(rest.strip_prefix(b" ")?)?;
            (head.body, head.tail, rest) = (usize::try_from(body).ok()?, 2, after);
        }
        _ => return None,
    }
    while let [b' ', flag, token @ ..] = rest {
        let (number, after) = leading_number(token)?;
        match flag {
            b'O' => head.opaque = Some(u32::try_from(number).ok()?),
            b'f' => head.flags = u32::try_from(number).ok()?,
            b'c' => head.cas = number,
            _ => return None,
        }
        rest = after;
    }
    head.len = bytes.len() - rest.strip_prefix(b"\r\n")?.len();
    Some(head)
}

/// Whether the request asks for a value: then a success brings one, else never.
fn asks_value(command: Command) -> bool {
    command.reads() || counts(command)
}

fn counts(command: Command) -> bool {
    matches!(command, Command::Increment | Command::Decrement)
}

/// Reads the reply to `command`.
pub fn decode(command: Command, bytes: &[u8]) -> Decoded<'_> {
    match decode_plain(command, bytes) {
        Some(head) => Ok(Some(head)),
        None => decode_line(command, false, bytes),
    }
}

/// Reads the reply to a request with raw flags, which may be of any form.
pub fn decode_any(command: Command, bytes: &[u8]) -> Decoded<'_> {
    decode_line(command, true, bytes)
}

fn decode_line(command: Command, any: bool, bytes: &[u8]) -> Decoded<'_> {
    let Some((text, len)) = line(bytes)? else { return Ok(None) };
    let unexpected = || Violation::quoting(&format!("an unexpected reply to meta {}", command.name()), text);
    let mut words = words(text);
    let code = words.next().unwrap_or_default();
    let Some(status) = status_of(command, any, code) else {
        let payload = has_payload(command) || command == Command::Meta;
        return error_line(text, len, payload, true).map(Some).ok_or_else(unexpected);
    };
    let mut head = Head::new(len, What::Answer, status);
    if code == b"VA" {
        let size = words.next().and_then(parse_number).and_then(|size| usize::try_from(size).ok());
        head.body = size.ok_or_else(unexpected)?;
        head.tail = 2;
    }
    for word in words {
        read_flag(&mut head, word).ok_or_else(unexpected)?;
    }
    match counts(command) && status == Status::Ok {
        true => take_number(head, bytes),
        false => Ok(Some(head)),
    }
}

/// What a code means for a command: the same answer as over the text protocol.
fn status_of(command: Command, any: bool, code: &[u8]) -> Option<Status> {
    let reads = command.reads() || command == Command::Touch;
    let status = match code {
        b"VA" if any || asks_value(command) => Status::Ok,
        b"HD" if any || !asks_value(command) => Status::Ok,
        b"EN" if any || reads => Status::NotFound,
        // With a cas, a replace is one that finds no item.
        b"NF" if command == Command::Replace => Status::NotStored,
        b"NF" if any || !reads => Status::NotFound,
        b"NS" if any || has_payload(command) => Status::NotStored,
        b"EX" if any || !reads => Status::Exists,
        _ => return None,
    };
    Some(status)
}

/// Makes the value of a counter, which is short, part of its head.
fn take_number<'a>(head: Head<'a>, bytes: &'a [u8]) -> Decoded<'a> {
    let wrong = || Violation::quoting("a counter that is no number", &bytes[..bytes.len().min(head.len + 32)]);
    if head.body > 20 || head.tail == 0 {
        return Err(wrong());
    }
    let whole = head.len + head.body + head.tail;
    let Some(value) = bytes.get(head.len..whole) else { return Ok(None) };
    let digits = value.strip_suffix(b"\r\n").ok_or_else(wrong)?.trim_ascii_end();
    let number = parse_number(digits).ok_or_else(wrong)?;
    Ok(Some(Head { number, len: whole, body: 0, tail: 0, ..head }))
}

/// Takes in one return flag; those that were not asked for are passed over.
fn read_flag<'a>(head: &mut Head<'a>, word: &'a [u8]) -> Option<()> {
    let (flag, token) = word.split_first()?;
    match flag {
        b'O' => head.opaque = Some(u32::try_from(parse_number(token)?).ok()?),
        b'f' => head.flags = u32::try_from(parse_number(token)?).ok()?,
        b'c' => head.cas = parse_number(token)?,
        b'k' => head.key = token,
        b'b' => head.by_base64 = true,
        b't' if token == b"-1" => head.ttl = -1,
        b't' => head.ttl = i64::try_from(parse_number(token)?).ok()?,
        b's' => head.size = u32::try_from(parse_number(token)?).ok()?,
        b'l' => head.last_access = u32::try_from(parse_number(token)?).unwrap_or(u32::MAX),
        b'h' => head.fetched = token == b"1",
        b'W' => head.bits |= bits::WIN,
        b'X' => head.bits |= bits::STALE,
        b'Z' => head.bits |= bits::WON_BY_OTHER,
        _ => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(operation: Operation<'_>) -> String {
        let mut out = Vec::new();
        encode(&mut out, &operation, 7).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_short_way_takes_what_decode_takes() {
        let hit = Hit { flags: 5, cas: 9, value: b"abc" };
        assert_eq!(decode_hit(7, b"VA 3 f5 c9 O7\r\nabc\r\nHD"), Some((hit, &b"HD"[..])));
        let others = [
            "VA 3 f5 O8\r\nabc\r\n",
            "VA 3 f5\r\nabc\r\n",
            "VA 3 f5 O7\r\nabc\r",
            "VA 3 f5 O7\r\nabcd\n",
            "VA 3 t5 O7\r\nabc\r\n",
            "VA 3 f4294967296 O7\r\nabc\r\n",
            "VA -3 O7\r\nabc\r\n",
            "HD O7\r\n",
            "EN\r\n",
        ];
        for other in others {
            assert_eq!(decode_hit(7, other.as_bytes()), None, "{other}");
        }
        assert_eq!(decode_done(Command::Set, 7, b"HD O7\r\nHD"), Some((0, &b"HD"[..])));
        assert_eq!(decode_done(Command::Delete, 7, b"HD c9 O7\r\n"), Some((9, &b""[..])));
        for other in ["HD O8\r\n", "HD\r\n", "HD O7\r", "HD O7 W\r\n", "NS O7\r\n", "HDO7\r\n", "HD O7O7\r\n"] {
            assert_eq!(decode_done(Command::Set, 7, other.as_bytes()), None, "{other}");
        }
        for command in [Command::Get, Command::Increment] {
            assert_eq!(decode_done(command, 7, b"HD O7\r\n"), None, "it asks for a value");
        }
    }

    #[test]
    fn requests() {
        let set = Operation { flags: 5, ..Operation::set(b"k", b"value", 100) };
        assert_eq!(encoded(Operation::get(b"k")), "mg k v f O7\r\n");
        assert_eq!(encoded(set), "ms k 5 F5 T100 O7\r\n");
        assert_eq!(encoded(Operation { cas: 9, flags: 0, ttl: 0, ..set }), "ms k 5 C9 O7\r\n");
        let add = Operation { command: Command::Add, op_flags: op_flags::WANT_CAS, ..Operation::set(b"k", b"", 0) };
        assert_eq!(encoded(add), "ms k 0 ME c O7\r\n");
        assert_eq!(encoded(Operation::delete(b"k")), "md k O7\r\n");
        let op = |command| Operation { ttl: 60, delta: 5, cas: 9, ..Operation::new(command, b"k") };
        assert_eq!(encoded(op(Command::GetAndTouch)), "mg k v f T60 O7\r\n");
        assert_eq!(encoded(op(Command::Touch)), "mg k T60 O7\r\n");
        assert_eq!(encoded(op(Command::Increment)), "ma k v D5 C9 O7\r\n");
        let create = op_flags::CREATE | op_flags::WANT_CAS;
        let decrement = Operation { op_flags: create, initial: 3, cas: 0, ..op(Command::Decrement) };
        assert_eq!(encoded(decrement), "ma k v MD D5 N60 J3 c O7\r\n");
        assert_eq!(encoded(op(Command::Noop)), "mn\r\n");
    }

    fn raw(command: Command, meta_flags: &str) -> Result<(String, Reply)> {
        let mut out = Vec::new();
        let operation = Operation { meta_flags: meta_flags.as_bytes(), ..Operation::new(command, b"k") };
        encode(&mut out, &operation, 7).map(|reply| (String::from_utf8(out).unwrap(), reply))
    }

    #[test]
    fn flags_of_the_callers_own() {
        assert_eq!(raw(Command::Get, "t  l h s").unwrap(), ("mg k v f t l h s O7\r\n".into(), Reply::Any));
        assert_eq!(raw(Command::Delete, "I T30").unwrap().0, "md k I T30 O7\r\n");
        assert_eq!(raw(Command::Meta, "mg s v N30").unwrap(), ("mg k s v N30 O7\r\n".into(), Reply::Any));
        assert_eq!(raw(Command::Meta, " ms T5").unwrap().0, "ms k 0 T5 O7\r\n");
        assert_eq!(raw(Command::Meta, "me").unwrap(), ("me k\r\n".into(), Reply::Line));
        assert_eq!(raw(Command::Meta, "mn").unwrap(), ("mn\r\n".into(), Reply::Line));
        let many = "a b c d e f g h i j k l m n o p r s t u w";
        for (command, flags, word) in [
            (Command::Get, "O5", "opaque"),
            (Command::Get, "q", "quiet"),
            (Command::Meta, "mg v q", "quiet"),
            (Command::Get, "t v", "already"),
            (Command::Get, "t t", "already"),
            (Command::Get, "t\r\nflush_all", "printable"),
            (Command::Meta, "ms\r\n", "begins with"),
            (Command::Meta, "", "begins with"),
            (Command::Meta, "get", "begins with"),
            (Command::Delete, many, "words"),
        ] {
            let error = raw(command, flags).unwrap_err();
            assert!(error.message().contains(word), "{flags}: {error}");
            assert_eq!(error.status(), Status::Argument);
        }
    }

    #[test]
    fn counters_and_figures() {
        let head = decode(Command::Increment, b"VA 2 c5 O7\r\n42\r\n").unwrap().unwrap();
        assert_eq!((head.number, head.cas, head.len, head.body, head.tail), (42, 5, 16, 0, 0));
        assert!(decode(Command::Increment, b"VA 2 O7\r\n42\r").unwrap().is_none());
        assert_eq!(decode(Command::Decrement, b"VA 2 O7\r\n9 \r\n").unwrap().unwrap().number, 9);
        for bad in ["VA 2 O7\r\nab\r\n", "VA 21 O7\r\n", "HD O7\r\n", "VA 2 O7\r\n421\r\n", "NS O7\r\n"] {
            assert!(decode(Command::Increment, bad.as_bytes()).is_err(), "{bad}");
        }
        let head = decode_any(Command::Get, b"HD t90 l3 h1 s5 O7 kk\r\n").unwrap().unwrap();
        assert_eq!((head.ttl, head.last_access, head.fetched, head.size, head.key), (90, 3, true, 5, &b"k"[..]));
        for (code, status) in [("EN", Status::NotFound), ("NS", Status::NotStored), ("EX", Status::Exists)] {
            let reply = format!("{code} O7\r\n");
            assert_eq!(decode_any(Command::Meta, reply.as_bytes()).unwrap().unwrap().status, status);
        }
        assert_eq!(decode(Command::Replace, b"NF O7\r\n").unwrap().unwrap().status, Status::NotStored);
        assert_eq!(decode(Command::Touch, b"EN O7\r\n").unwrap().unwrap().status, Status::NotFound);
        let chunk = decode(Command::Set, b"CLIENT_ERROR bad data chunk\r\n").unwrap().unwrap();
        assert!(chunk.close, "what follows may have been taken for commands");
    }

    #[test]
    fn replies() {
        let head = decode(Command::Get, b"VA 3 f5 c9 O7\r\nabc\r\n").unwrap().unwrap();
        assert_eq!((head.body, head.tail, head.flags, head.cas, head.opaque), (3, 2, 5, 9, Some(7)));
        let win = decode(Command::Get, b"VA 0  W O7 t-1\r\n").unwrap().unwrap();
        assert_eq!((win.bits, win.ttl), (bits::WIN, -1));
        let cases = [
            (Command::Get, "EN\r\n", Status::NotFound),
            (Command::Set, "HD O7\r\n", Status::Ok),
            (Command::Set, "NS O7\r\n", Status::NotStored),
            (Command::Set, "EX O7\r\n", Status::Exists),
            (Command::Delete, "NF O7\r\n", Status::NotFound),
            (Command::Set, "SERVER_ERROR object too large for cache\r\n", Status::TooLarge),
        ];
        for (command, text, status) in cases {
            assert_eq!(decode(command, text.as_bytes()).unwrap().unwrap().status, status, "{text}");
        }
        for bad in [
            "VA x\r\n",
            "VA\r\n",
            "EN O99999999999\r\n",
            "VALUE k 0 1\r\n",
            "NS\r\n",
            "\r\n",
            "VA 1 fx\r\n",
            "HD O7\r\n",
        ] {
            assert!(decode(Command::Get, bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
