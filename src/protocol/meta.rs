//! The meta commands mg, ms, md and mn, each with an opaque, which every reply but an error line brings back.

use super::{error_line, exptime, has_payload, leading_number, line, parse_number, push_number, unsupported};
use super::{Decoded, Head, Violation, What};
use crate::error::{bits, Result, Status};
use crate::operation::{op_flags, Command, Operation};

/// Writes the command line. A value and its line end are the caller's to add.
pub fn encode(out: &mut Vec<u8>, operation: &Operation<'_>, opaque: u32) -> Result<()> {
    let verb: &[u8] = match operation.command {
        Command::Get => b"mg ",
        command if has_payload(command) => b"ms ",
        Command::Delete => b"md ",
        _ => return Err(unsupported(operation, "meta")),
    };
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
    if operation.op_flags & op_flags::WANT_CAS != 0 {
        out.extend_from_slice(b" c");
    }
    if operation.cas != 0 && operation.command != Command::Get {
        out.extend_from_slice(b" C");
        push_number(out, operation.cas);
    }
    out.extend_from_slice(b" O");
    push_number(out, opaque.into());
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn push_set_flags(out: &mut Vec<u8>, operation: &Operation<'_>) {
    if operation.flags != 0 {
        out.extend_from_slice(b" F");
        push_number(out, operation.flags.into());
    }
    if operation.ttl != 0 {
        out.extend_from_slice(b" T");
        push_number(out, exptime(operation.ttl, i32::MAX.into()).unsigned_abs());
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

/// Reads a reply with the flags that are always asked for, which is what most often comes. Anything else, good or bad, is
/// for [`decode`].
fn decode_plain(command: Command, bytes: &[u8]) -> Option<Head<'_>> {
    let (code, mut rest) = bytes.split_first_chunk::<2>()?;
    let mut head = Head::new(0, What::Answer, Status::Ok);
    match code {
        b"HD" if command != Command::Get => {}
        b"NF" if command == Command::Delete => head.status = Status::NotFound,
        b"VA" if command == Command::Get => {
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

/// Reads the reply to `command`.
pub fn decode(command: Command, bytes: &[u8]) -> Decoded<'_> {
    if let Some(head) = decode_plain(command, bytes) {
        return Ok(Some(head));
    }
    let Some((text, len)) = line(bytes)? else { return Ok(None) };
    let unexpected = || Violation::quoting(&format!("an unexpected reply to meta {}", command.name()), text);
    let mut words = text.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let code = words.next().unwrap_or_default();
    let payload = has_payload(command);
    let status = match code {
        // A read always asks for the value, a write never does.
        b"VA" if command == Command::Get => Status::Ok,
        b"HD" if command != Command::Get => Status::Ok,
        b"EN" if command == Command::Get => Status::NotFound,
        b"NF" if command != Command::Get => Status::NotFound,
        b"NS" if payload => Status::NotStored,
        b"EX" if command != Command::Get => Status::Exists,
        _ => return error_line(text, len, payload, true).map(Some).ok_or_else(unexpected),
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
    Ok(Some(head))
}

/// Takes in one return flag; those that were not asked for are passed over.
fn read_flag<'a>(head: &mut Head<'a>, word: &'a [u8]) -> Option<()> {
    let (flag, token) = word.split_first()?;
    match flag {
        b'O' => head.opaque = Some(u32::try_from(parse_number(token)?).ok()?),
        b'f' => head.flags = u32::try_from(parse_number(token)?).ok()?,
        b'c' => head.cas = parse_number(token)?,
        b'k' => head.key = token,
        b't' if token == b"-1" => head.ttl = -1,
        b't' => head.ttl = i64::try_from(parse_number(token)?).ok()?,
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
    fn requests() {
        let set = Operation { flags: 5, ..Operation::set(b"k", b"value", 100) };
        assert_eq!(encoded(Operation::get(b"k")), "mg k v f O7\r\n");
        assert_eq!(encoded(set), "ms k 5 F5 T100 O7\r\n");
        assert_eq!(encoded(Operation { cas: 9, flags: 0, ttl: 0, ..set }), "ms k 5 C9 O7\r\n");
        let add = Operation { command: Command::Add, op_flags: op_flags::WANT_CAS, ..Operation::set(b"k", b"", 0) };
        assert_eq!(encoded(add), "ms k 0 ME c O7\r\n");
        assert_eq!(encoded(Operation::delete(b"k")), "md k O7\r\n");
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
