//! The classic text protocol. Replies carry no opaque: they are matched by position, and a VALUE by its key too.

use super::{admin, copy_key, error_line, exptime, has_payload, is_same, is_text_key, leading_number, line};
use super::{parse_number, push_number, short_number, unsupported};
use super::{Decoded, Head, Hit, Violation, What};
use crate::error::{Result, Status};
use crate::operation::{op_flags, Command, Operation};

/// Begins a `get` (or `gets`) line; keys follow, then [`end_line`].
pub fn begin_get(out: &mut Vec<u8>, with_cas: bool) {
    out.extend_from_slice(if with_cas { b"gets" } else { b"get" });
}

/// Writes a whole `get` line; its length, or `None` where it does not fit or a key cannot stand in it.
#[inline(always)]
pub fn write_get<'k>(out: &mut [u8], keys: impl Iterator<Item = &'k [u8]>) -> Option<usize> {
    let room = out.len();
    let (verb, mut rest) = out.split_first_chunk_mut::<3>()?;
    *verb = *b"get";
    for key in keys {
        let (space, behind) = rest.split_first_mut()?;
        let (place, behind) = behind.split_at_mut_checked(key.len())?;
        *space = b' ';
        if !copy_key(key, place) {
            return None;
        }
        rest = behind;
    }
    let (end, behind) = rest.split_first_chunk_mut::<2>()?;
    *end = *b"\r\n";
    Some(room - behind.len())
}

/// One more key of a `get` line.
pub fn push_key(out: &mut Vec<u8>, key: &[u8]) {
    out.push(b' ');
    out.extend_from_slice(key);
}

/// The same with a key that is not checked yet: where it cannot stand in a line it adds nothing and answers `false`.
#[inline(always)]
pub fn push_unchecked_key(out: &mut Vec<u8>, key: &[u8]) -> bool {
    let good = is_text_key(key);
    if good {
        push_key(out, key);
    }
    good
}

/// Ends a line.
pub fn end_line(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Writes the command line of anything but a get. A value and its line end are the caller's to add.
pub fn encode(out: &mut Vec<u8>, operation: &Operation<'_>) -> Result<()> {
    match operation.command {
        command if has_payload(command) => {
            check_cas(operation)?;
            let verb = if operation.cas != 0 { "cas" } else { command.name() };
            out.extend_from_slice(verb.as_bytes());
            push_key(out, operation.key);
            out.push(b' ');
            push_number(out, operation.flags.into());
            out.push(b' ');
            push_exptime(out, operation.ttl);
            out.push(b' ');
            push_number(out, operation.value.len() as u64);
            if operation.cas != 0 {
                out.push(b' ');
                push_number(out, operation.cas);
            }
        }
        _ => return encode_other(out, operation),
    }
    end_line(out);
    Ok(())
}

/// Everything but the storage commands.
fn encode_other(out: &mut Vec<u8>, operation: &Operation<'_>) -> Result<()> {
    check_cas(operation)?;
    match operation.command {
        Command::GetAndTouch => {
            let with_cas = operation.op_flags & op_flags::WANT_CAS != 0;
            out.extend_from_slice(if with_cas { b"gats " } else { b"gat " });
            push_exptime(out, operation.ttl);
            push_key(out, operation.key);
        }
        Command::Delete => {
            out.extend_from_slice(b"delete");
            push_key(out, operation.key);
        }
        Command::Increment | Command::Decrement => {
            if operation.op_flags & op_flags::CREATE != 0 {
                let words = "incr or decr that creates the counter";
                return Err(unsupported(
                    words,
                    "text",
                    "meta and binary have: use add, then incr, or another protocol",
                ));
            }
            out.extend_from_slice(operation.command.name().as_bytes());
            push_key(out, operation.key);
            out.push(b' ');
            push_number(out, operation.delta);
        }
        Command::Touch => {
            out.extend_from_slice(b"touch");
            push_key(out, operation.key);
            out.push(b' ');
            push_exptime(out, operation.ttl);
        }
        _ => admin::encode(out, operation)?,
    }
    end_line(out);
    Ok(())
}

/// Only `cas`, which is a set, can name a cas here.
fn check_cas(operation: &Operation<'_>) -> Result<()> {
    if operation.cas == 0 || operation.command == Command::Set {
        return Ok(());
    }
    Err(unsupported(&format!("{} with a cas", operation.command.name()), "text", "meta and binary have"))
}

/// Writes an exptime; the server reads a signed 32-bit number.
fn push_exptime(out: &mut Vec<u8>, ttl: i64) {
    push_number(out, exptime(ttl).into());
}

/// Reads a whole value of `key`, which is what most often comes next, perhaps `WITH_CAS`; with what is behind it. Anything
/// else, good or bad, is for [`decode`].
#[inline(always)]
pub fn decode_hit<'a, const WITH_CAS: bool>(key: &[u8], bytes: &'a [u8]) -> Option<(Hit<'a>, &'a [u8])> {
    // As one word; there is a key behind it, and more.
    if u64::from_le_bytes(*bytes.first_chunk::<8>()?) << 16 != u64::from_le_bytes(*b"\0\0VALUE ") {
        return None;
    }
    let (name, rest) = bytes.get(b"VALUE ".len()..)?.split_at_checked(key.len())?;
    if !is_same(name, key) {
        return None;
    }
    let (flags, rest) = match rest {
        [b' ', digit @ b'0'..=b'9', b' ', rest @ ..] => (u32::from(*digit & 0xf), rest),
        _ => long_flags(rest)?,
    };
    let (len, end, mut rest) = short_number(rest)?;
    let mut cas = 0;
    if end != b'\r' {
        (cas, rest) = leading_number(if WITH_CAS && end == b' ' { rest } else { return None })?;
        rest = rest.strip_prefix(b"\r")?;
    }
    let (value, rest) = rest.strip_prefix(b"\n")?.split_at_checked(usize::try_from(len).ok()?)?;
    Some((Hit { flags, cas, value }, rest.strip_prefix(b"\r\n")?))
}

/// Flags of more than one digit, between spaces; with what is behind.
#[inline(never)]
fn long_flags(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (flags, rest) = leading_number(bytes.strip_prefix(b" ")?)?;
    Some((u32::try_from(flags).ok()?, rest.strip_prefix(b" ")?))
}

/// Reads the reply to `command`.
pub fn decode(command: Command, bytes: &[u8]) -> Decoded<'_> {
    let Some((text, len)) = line(bytes)? else { return Ok(None) };
    if command.reads() {
        if let Some(rest) = text.strip_prefix(b"VALUE ") {
            return decode_value(rest, len).map(Some).ok_or_else(|| Violation::quoting("a bad VALUE line", text));
        }
        if text == b"END" {
            return Ok(Some(Head::new(len, What::End, Status::NotFound)));
        }
    }
    if let Some(head) = decode_line(command, text, len) {
        return Ok(Some(head));
    }
    let payload = has_payload(command);
    // Some servers put an empty line behind the error of a get.
    let keep_client_error = !payload && !command.reads();
    match error_line(text, len, payload, keep_client_error) {
        Some(head) => Ok(Some(head)),
        None => Err(Violation::quoting(&format!("an unexpected reply to {}", command.name()), text)),
    }
}

/// The rest of `VALUE key flags bytes[ cas]`.
fn decode_value(rest: &[u8], len: usize) -> Option<Head<'_>> {
    let mut words = rest.split(|byte| *byte == b' ');
    let key = words.next()?;
    let flags = u32::try_from(parse_number(words.next()?)?).ok()?;
    let body = usize::try_from(parse_number(words.next()?)?).ok()?;
    let cas = match words.next() {
        Some(cas) => parse_number(cas)?,
        None => 0,
    };
    if words.next().is_some() {
        return None;
    }
    Some(Head { body, tail: 2, key, flags, cas, ..Head::new(len, What::Item, Status::Ok) })
}

fn decode_line(command: Command, text: &[u8], len: usize) -> Option<Head<'_>> {
    let storage = has_payload(command);
    let status = match text {
        b"STORED" if storage => Status::Ok,
        b"NOT_STORED" if storage => Status::NotStored,
        b"EXISTS" if storage => Status::Exists,
        b"NOT_FOUND" if storage || command.has_key() => Status::NotFound,
        b"DELETED" if command == Command::Delete => Status::Ok,
        b"TOUCHED" if command == Command::Touch => Status::Ok,
        _ if matches!(command, Command::Increment | Command::Decrement) => {
            let number = parse_number(text.trim_ascii_end())?;
            return Some(Head { number, ..Head::new(len, What::Answer, Status::Ok) });
        }
        _ => return admin::decode(command, text, len),
    };
    Some(Head::new(len, What::Answer, status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(operation: Operation<'_>) -> String {
        let mut out = Vec::new();
        encode(&mut out, &operation).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn requests() {
        let set = Operation { flags: 5, ..Operation::set(b"k", b"value", 100) };
        assert_eq!(encoded(set), "set k 5 100 5\r\n");
        assert_eq!(encoded(Operation { cas: 10, ..set }), "cas k 5 100 5 10\r\n");
        assert_eq!(encoded(Operation { ttl: -5, ..set }), "set k 5 2592001 5\r\n");
        assert_eq!(encoded(Operation { ttl: 0xffff_fffe, ..set }), "set k 5 2147483647 5\r\n");
        assert_eq!(encoded(Operation::delete(b"k")), "delete k\r\n");
        assert_eq!(encoded(Operation::version()), "version\r\n");
    }

    #[test]
    fn a_get_line_is_written_whole_or_not_at_all() {
        let mut room = [0; 600];
        let (long, vast) = ([b'x'; 250], [b'x'; 251]);
        for keys in [vec![&b"k"[..]], vec![b"exactly8"], vec![b"a", b"key:of:seventeen", b"0123456789abcdef", &long]] {
            let len = write_get(&mut room, keys.iter().copied()).unwrap();
            let mut expected = b"get".to_vec();
            keys.iter().for_each(|key| push_key(&mut expected, key));
            end_line(&mut expected);
            assert_eq!(room[..len], expected);
            assert_eq!(write_get(&mut room[..len], keys.iter().copied()), Some(len));
            assert_eq!(write_get(&mut room[..len - 1], keys.iter().copied()), None, "there is no room");
            let mut added = b"get".to_vec();
            assert!(keys.iter().all(|key| push_unchecked_key(&mut added, key)));
            end_line(&mut added);
            assert_eq!(added, expected);
        }
        for bad in
            [&b""[..], b" ", b"a b", b"k\r\n", b"seventeen bytes.", b"0123456789abcde\x7f", b"\0bcdefghijkl", &vast]
        {
            assert_eq!(write_get(&mut room, [&b"k"[..], bad].into_iter()), None);
            let mut out = b"get".to_vec();
            assert!(!push_unchecked_key(&mut out, bad));
            assert_eq!(out, b"get");
        }
    }

    #[test]
    fn requests_of_pymemcache() {
        let op = |command| Operation { value: b"v", delta: 1, ttl: 60, ..Operation::new(command, b"k") };
        assert_eq!(encoded(Operation { flags: 5, ttl: 100, ..op(Command::Set) }), "set k 5 100 1\r\n");
        assert_eq!(encoded(Operation { cas: 10, ttl: 0, ..op(Command::Set) }), "cas k 0 0 1 10\r\n");
        assert_eq!(encoded(Operation { ttl: 0, ..op(Command::Append) }), "append k 0 0 1\r\n");
        assert_eq!(encoded(op(Command::GetAndTouch)), "gat 60 k\r\n");
        let gats = Operation { op_flags: op_flags::WANT_CAS, ..op(Command::GetAndTouch) };
        assert_eq!(encoded(gats), "gats 60 k\r\n");
        assert_eq!(encoded(op(Command::Increment)), "incr k 1\r\n");
        assert_eq!(encoded(op(Command::Decrement)), "decr k 1\r\n");
        assert_eq!(encoded(Operation { ttl: 5, ..op(Command::Touch) }), "touch k 5\r\n");
        let key = |command, key: &'static [u8]| Operation { ttl: 10, delta: 8, ..Operation::new(command, key) };
        assert_eq!(encoded(key(Command::FlushAll, b"")), "flush_all 10\r\n");
        assert_eq!(encoded(key(Command::Stats, b"items")), "stats items\r\n");
        assert_eq!(encoded(key(Command::Stats, b"cachedump 1 1")), "stats cachedump 1 1\r\n");
        assert_eq!(encoded(key(Command::CacheMemlimit, b"")), "cache_memlimit 8\r\n");
        assert_eq!(encoded(key(Command::Shutdown, b"graceful")), "shutdown graceful\r\n");
    }

    #[test]
    fn what_text_has_not() {
        let cas = |command| Operation { cas: 7, value: b"v", ..Operation::new(command, b"k") };
        let create = Operation { op_flags: op_flags::CREATE, ..Operation::new(Command::Increment, b"k") };
        let others = [Command::Replace, Command::Append, Command::Prepend, Command::Delete, Command::Decrement];
        for operation in others.map(cas).into_iter().chain([create]) {
            let error = encode(&mut Vec::new(), &operation).unwrap_err();
            assert_eq!(error.status(), Status::Unsupported);
            let name = if operation.cas == 0 { "incr" } else { operation.command.name() };
            assert!(error.message().contains(name) && error.message().contains("binary"), "{error}");
        }
    }

    #[test]
    fn values_and_lines() {
        let head = decode(Command::Get, b"VALUE k 7 3 99\r\nabc\r\n").unwrap().unwrap();
        assert_eq!((head.key, head.flags, head.body, head.cas, head.len), (&b"k"[..], 7, 3, 99, 16));
        let (hit, rest) = decode_hit::<true>(b"k", b"VALUE k 7 3 99\r\nabc\r\nEND").unwrap();
        assert_eq!((hit.flags, hit.cas, hit.value, rest), (7, 99, &b"abc"[..], &b"END"[..]));
        let others = [
            "VALUE k2 7 3\r\nabc\r\n",
            "VALUE k 7 3\r\nabc\r",
            "VALUE k 7 3\r\nabcd\n",
            "VALUE k 7 -3\r\nabc\r\n",
            "VALUE k  7 3\r\nabc\r\n",
            "VALUE j 7 3\r\nabc\r\n",
            "VALUE k 7 99999999999999999999\r\nabc\r\n",
            "VALUE k 4294967296 3\r\nabc\r\n",
            "END\r\n",
            "VALUE ",
        ];
        for other in others {
            assert!(decode_hit::<true>(b"k", other.as_bytes()).is_none(), "{other}");
        }
        assert_eq!(decode(Command::Get, b"END\r\n").unwrap().unwrap().what, What::End);
        assert!(decode(Command::Get, b"VALUE k 7 3").unwrap().is_none());
        let bad_values: [&[u8]; 7] = [
            b"VALUE k 7 -5\r\n",
            b"VALUE k 7\r\n",
            b"VALUE k 7 3 9 9\r\n",
            b"VALUE k 4294967296 3\r\n",
            b"VALUE k 7 99999999999999999999\r\n",
            b"STORED\r\n",
            b"\r\n",
        ];
        for bad in bad_values {
            assert!(decode(Command::Get, bad).is_err(), "{}", bad.escape_ascii());
        }
        assert!(decode(Command::Get, &[b'V'; 4000]).is_err());
        assert_eq!(decode(Command::Set, b"STORED\r\n").unwrap().unwrap().status, Status::Ok);
        assert_eq!(decode(Command::Delete, b"NOT_FOUND\r\n").unwrap().unwrap().status, Status::NotFound);
        assert!(decode(Command::Delete, b"STORED\r\n").is_err());
        assert_eq!(decode(Command::Version, b"VERSION 1.6.18\r\n").unwrap().unwrap().detail, b"1.6.18");
    }

    #[test]
    fn errors_keep_the_connection_only_where_the_stream_is_known() {
        let case = |command, text: &'static [u8]| {
            let head = decode(command, text).unwrap().unwrap();
            (head.status, head.close, head.detail)
        };
        let large = case(Command::Set, b"SERVER_ERROR object too large for cache\r\n");
        assert_eq!(large, (Status::TooLarge, false, &b"object too large for cache"[..]));
        assert_eq!(case(Command::Set, b"CLIENT_ERROR bad data chunk\r\n").0, Status::ClientError);
        assert!(case(Command::Set, b"CLIENT_ERROR bad data chunk\r\n").1);
        assert!(!case(Command::Delete, b"CLIENT_ERROR bad\r\n").1);
        assert!(case(Command::Get, b"CLIENT_ERROR bad\r\n").1);
        assert_eq!(case(Command::Version, b"ERROR\r\n"), (Status::UnknownCommand, false, &b"ERROR"[..]));
        let full = case(Command::Get, b"ERROR Too many open connections\r\n");
        assert_eq!(full, (Status::ServerError, true, &b"Too many open connections"[..]));
    }
}
