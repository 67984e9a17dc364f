//! The binary protocol: 24 bytes of header, then extras, key and value. Every reply brings its request's opaque and
//! opcode back, errors of quiet requests too.

use super::{admin, delay, error_line, exptime, has_payload, line, unsupported};
use super::{Decoded, Head, Hit, Violation, What, MAX_KEY};
use crate::error::{Error, Result, Status};
use crate::operation::{op_flags, Command, Operation};

/// Bytes of a header.
pub const HEADER: usize = 24;
/// The first byte of a request.
pub const REQUEST: u8 = 0x80;
/// The first byte of a reply.
pub const RESPONSE: u8 = 0x81;

/// The exptime of a counter that is not to be created.
const DO_NOT_CREATE: u32 = u32::MAX;
/// The longest statistic.
const MAX_STATISTIC: usize = 8 * 1024;

/// Opcodes, as the server numbers them.
pub mod opcode {
    pub const GET: u8 = 0x00;
    pub const SET: u8 = 0x01;
    pub const ADD: u8 = 0x02;
    pub const REPLACE: u8 = 0x03;
    pub const DELETE: u8 = 0x04;
    pub const INCREMENT: u8 = 0x05;
    pub const DECREMENT: u8 = 0x06;
    pub const FLUSH: u8 = 0x08;
    pub const GETQ: u8 = 0x09;
    pub const NOOP: u8 = 0x0a;
    pub const VERSION: u8 = 0x0b;
    pub const APPEND: u8 = 0x0e;
    pub const PREPEND: u8 = 0x0f;
    pub const STAT: u8 = 0x10;
    pub const SETQ: u8 = 0x11;
    pub const ADDQ: u8 = 0x12;
    pub const REPLACEQ: u8 = 0x13;
    pub const DELETEQ: u8 = 0x14;
    pub const APPENDQ: u8 = 0x19;
    pub const PREPENDQ: u8 = 0x1a;
    pub const TOUCH: u8 = 0x1c;
    pub const GAT: u8 = 0x1d;
    pub const GATQ: u8 = 0x1e;
}

/// Status codes, as the server numbers them.
pub mod code {
    pub const OK: u16 = 0x00;
    pub const NOT_FOUND: u16 = 0x01;
    pub const EXISTS: u16 = 0x02;
    pub const TOO_LARGE: u16 = 0x03;
    pub const INVALID: u16 = 0x04;
    pub const NOT_STORED: u16 = 0x05;
    pub const NOT_NUMERIC: u16 = 0x06;
    pub const AUTH_ERROR: u16 = 0x20;
    pub const AUTH_CONTINUE: u16 = 0x21;
    pub const UNKNOWN_COMMAND: u16 = 0x81;
}

/// The opcode of a command: the one that answers always, and the quiet one, where the protocol has it.
pub fn opcodes(command: Command) -> Option<(u8, u8)> {
    Some(match command {
        Command::Get => (opcode::GET, opcode::GETQ),
        Command::Set => (opcode::SET, opcode::SETQ),
        Command::Add => (opcode::ADD, opcode::ADDQ),
        Command::Replace => (opcode::REPLACE, opcode::REPLACEQ),
        Command::Delete => (opcode::DELETE, opcode::DELETEQ),
        Command::Append => (opcode::APPEND, opcode::APPENDQ),
        Command::Prepend => (opcode::PREPEND, opcode::PREPENDQ),
        Command::GetAndTouch => (opcode::GAT, opcode::GATQ),
        // A quiet counter would not tell its number; the others have no quiet form, or nobody needs it.
        Command::Increment => (opcode::INCREMENT, opcode::INCREMENT),
        Command::Decrement => (opcode::DECREMENT, opcode::DECREMENT),
        Command::Touch => (opcode::TOUCH, opcode::TOUCH),
        Command::FlushAll => (opcode::FLUSH, opcode::FLUSH),
        Command::Stats => (opcode::STAT, opcode::STAT),
        Command::Version => (opcode::VERSION, opcode::VERSION),
        Command::Noop => (opcode::NOOP, opcode::NOOP),
        Command::Verbosity
        | Command::CacheMemlimit
        | Command::Shutdown
        | Command::Metadump
        | Command::Meta
        | Command::Raw => return None,
    })
}

/// Whether the command has a form that is silent where there is nothing to tell.
pub fn has_quiet(command: Command) -> bool {
    opcodes(command).is_some_and(|(loud, quiet)| loud != quiet)
}

/// Writes header, extras and key, and answers with the opcode. The value is the caller's to add.
pub fn encode(out: &mut Vec<u8>, operation: &Operation<'_>, opaque: u32, quiet: bool) -> Result<u8> {
    let Some((loud, silent)) = opcodes(operation.command) else { return Err(missing(operation)) };
    let opcode = if quiet { silent } else { loud };
    let mut extras = [0u8; 20];
    let extras = match operation.command {
        Command::Set | Command::Add | Command::Replace => {
            extras[..4].copy_from_slice(&operation.flags.to_be_bytes());
            extras[4..8].copy_from_slice(&exptime(operation.ttl).to_be_bytes());
            &extras[..8]
        }
        Command::Get | Command::Delete | Command::Append | Command::Prepend => &extras[..0],
        _ => other_extras(operation, &mut extras)?,
    };
    let value = if has_payload(operation.command) { operation.value.len() } else { 0 };
    let keyed = operation.command.has_key() || operation.command == Command::Stats;
    let key = if keyed { operation.key } else { b"" };
    let body = extras.len() + key.len() + value;
    let mut header = [0u8; HEADER];
    header[0] = REQUEST;
    header[1] = opcode;
    header[2..4].copy_from_slice(&(key.len() as u16).to_be_bytes());
    header[4] = extras.len() as u8;
    header[8..12].copy_from_slice(&(body as u32).to_be_bytes());
    header[12..16].copy_from_slice(&opaque.to_be_bytes());
    header[16..24].copy_from_slice(&operation.cas.to_be_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(extras);
    out.extend_from_slice(key);
    Ok(opcode)
}

/// The extras of the commands that are not used most.
fn other_extras<'a>(operation: &Operation<'_>, extras: &'a mut [u8; 20]) -> Result<&'a [u8]> {
    match operation.command {
        Command::GetAndTouch | Command::Touch => {
            extras[..4].copy_from_slice(&exptime(operation.ttl).to_be_bytes());
            Ok(&extras[..4])
        }
        Command::FlushAll => {
            extras[..4].copy_from_slice(&delay(operation).to_be_bytes());
            Ok(&extras[..4])
        }
        Command::Increment | Command::Decrement => {
            let create = operation.op_flags & op_flags::CREATE != 0;
            let exptime = if create { exptime(operation.ttl) } else { DO_NOT_CREATE };
            extras[..8].copy_from_slice(&operation.delta.to_be_bytes());
            extras[8..16].copy_from_slice(&(if create { operation.initial } else { 0 }).to_be_bytes());
            extras[16..].copy_from_slice(&exptime.to_be_bytes());
            Ok(&extras[..])
        }
        Command::Stats => admin::check_argument(operation, b" ").map(|_| &extras[..0]),
        _ => Ok(&extras[..0]),
    }
}

#[cold]
fn missing(operation: &Operation<'_>) -> Error {
    let others = match operation.command {
        Command::Meta => "meta has: use meta or auto",
        _ => "text has: use text, meta or auto",
    };
    unsupported(operation.command.name(), "binary", others)
}

/// Makes the request whose header is at `at` answer always, by its opcode alone.
pub fn make_loud(out: &mut [u8], at: usize, command: Command) {
    if let (Some(byte), Some((loud, _))) = (out.get_mut(at + 1), opcodes(command)) {
        *byte = loud;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The opcode and the opaque of the reply at the start of `bytes`, once its header is there and is one.
pub fn peek(bytes: &[u8]) -> Option<(u8, u32)> {
    (bytes.len() >= HEADER && bytes[0] == RESPONSE).then(|| (bytes[1], u32_at(bytes, 12)))
}

/// Reads a whole value that answers this opcode and opaque, which is what most often comes next; with what is behind it.
/// Anything else, good or bad, is for [`decode`].
#[inline(always)]
pub fn decode_hit(opcode: u8, opaque: u32, bytes: &[u8]) -> Option<(Hit<'_>, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<{ HEADER + 4 }>()?;
    // A hit has four bytes of flags, no key, and status zero.
    let usual = head[..8] == [RESPONSE, opcode, 0, 0, 4, head[5], 0, 0] && u32_at(head, 12) == opaque;
    let len = usize::try_from(u32_at(head, 8)).ok()?.checked_sub(4)?;
    let (value, rest) = rest.split_at_checked(len)?;
    let cas = (u64::from(u32_at(head, 16)) << 32) | u64::from(u32_at(head, 20));
    usual.then_some((Hit { flags: u32_at(head, HEADER), cas, value }, rest))
}

/// Reads a reply's header, extras and key. Which request it answers is the caller's to check, by opaque and opcode.
pub fn decode(command: Command, bytes: &[u8]) -> Decoded<'_> {
    match bytes.first() {
        None => return Ok(None),
        Some(&RESPONSE) => {}
        Some(_) => return decode_foreign(bytes),
    }
    if bytes.len() < HEADER {
        return Ok(None);
    }
    let key_len = usize::from(u16_at(bytes, 2));
    let extras_len = usize::from(bytes[4]);
    let total = u32_at(bytes, 8) as usize;
    if key_len > MAX_KEY || extras_len > 20 || extras_len + key_len > total {
        return Err(Violation::quoting("a reply header with impossible lengths", bytes));
    }
    let len = HEADER + extras_len + key_len;
    if bytes.len() < len {
        return Ok(None);
    }
    let code = u16_at(bytes, 6);
    let mut head = Head::new(len, What::Answer, status_of(command, code));
    head.body = total - extras_len - key_len;
    head.opaque = Some(u32_at(bytes, 12));
    head.cas = (u64::from(u32_at(bytes, 16)) << 32) | u64::from(u32_at(bytes, 20));
    head.key = &bytes[HEADER + extras_len..len];
    head.body_is_detail = code != code::OK;
    head.close = matches!(code, code::INVALID | code::AUTH_ERROR | code::AUTH_CONTINUE)
        || (code == code::UNKNOWN_COMMAND && command != Command::Version);
    if code != code::OK {
        return Ok(Some(head));
    }
    if command.reads() {
        // A hit without its four bytes of flags is what a server that restarts has been seen to send.
        if extras_len != 4 {
            return Err(Violation::quoting("a hit without flags", &bytes[..HEADER]));
        }
        if key_len != 0 {
            return Err(Violation::quoting("a hit with a key that was not asked for", head.key));
        }
        head.flags = u32_at(bytes, HEADER);
    }
    match command {
        Command::Increment | Command::Decrement => take_number(head, bytes),
        Command::Stats => take_statistic(head, bytes),
        _ => Ok(Some(head)),
    }
}

/// Makes the eight bytes of a counter part of its head.
fn take_number<'a>(head: Head<'a>, bytes: &'a [u8]) -> Decoded<'a> {
    if head.body != 8 {
        return Err(Violation::quoting("a counter that has not eight bytes", &bytes[..HEADER]));
    }
    let at = head.len;
    if bytes.len() < at + 8 {
        return Ok(None);
    }
    let number = (u64::from(u32_at(bytes, at)) << 32) | u64::from(u32_at(bytes, at + 4));
    Ok(Some(Head { number, len: at + 8, body: 0, ..head }))
}

/// A name and a value; neither: that was all.
fn take_statistic<'a>(head: Head<'a>, bytes: &'a [u8]) -> Decoded<'a> {
    if head.key.is_empty() && head.body == 0 {
        return Ok(Some(head));
    }
    if head.key.is_empty() || head.body > MAX_STATISTIC {
        return Err(Violation::quoting("a bad statistic", &bytes[..HEADER]));
    }
    let whole = head.len + head.body;
    match bytes.get(head.len..whole) {
        Some(detail) => Ok(Some(Head { what: What::Line, detail, len: whole, body: 0, ..head })),
        None => Ok(None),
    }
}

/// Bytes that are no reply: at its limit of connections the server writes a line of text, whatever the protocol.
fn decode_foreign(bytes: &[u8]) -> Decoded<'_> {
    if !bytes[0].is_ascii_uppercase() {
        return Err(Violation::quoting("no reply of the binary protocol", bytes));
    }
    let Some((text, len)) = line(bytes)? else { return Ok(None) };
    match error_line(text, len, true, false) {
        Some(head) => Ok(Some(Head { close: true, ..head })),
        None => Err(Violation::quoting("no reply of the binary protocol", text)),
    }
}

/// What a status means for a command: the same answer as over the text protocol.
fn status_of(command: Command, code: u16) -> Status {
    match code {
        code::OK => Status::Ok,
        code::NOT_FOUND if command == Command::Replace => Status::NotStored,
        // The text protocol's ERROR.
        code::NOT_FOUND if command == Command::Stats => Status::UnknownCommand,
        code::NOT_FOUND => Status::NotFound,
        code::EXISTS if command == Command::Add => Status::NotStored,
        // What cannot be said of the command is a failure, and no refusal or miss.
        code::EXISTS if command.reads() => Status::Protocol,
        code::EXISTS => Status::Exists,
        code::TOO_LARGE => Status::TooLarge,
        code::INVALID | code::NOT_NUMERIC => Status::ClientError,
        code::NOT_STORED if has_payload(command) => Status::NotStored,
        code::NOT_STORED => Status::Protocol,
        code::AUTH_ERROR | code::AUTH_CONTINUE => Status::Auth,
        code::UNKNOWN_COMMAND => Status::UnknownCommand,
        _ => Status::ServerError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn encoded(operation: Operation<'_>) -> String {
        let mut out = Vec::new();
        encode(&mut out, &operation, 0, false).unwrap();
        out.extend_from_slice(operation.value);
        hex(&out)
    }

    #[test]
    fn requests_of_python_binary_memcached() {
        assert_eq!(
            encoded(Operation::get(b"test_key")),
            "800000080000000000000008000000000000000000000000746573745f6b6579"
        );
        assert_eq!(
            encoded(Operation::set(b"k", b"v", 0)),
            "80010001080000000000000a00000000000000000000000000000000000000006b76"
        );
        assert_eq!(
            encoded(Operation { flags: 16, ..Operation::set(b"k", b"v", 100) }),
            "80010001080000000000000a00000000000000000000000000000010000000646b76"
        );
        assert_eq!(
            encoded(Operation { cas: 7, ..Operation::set(b"k", b"v", 0) }),
            "80010001080000000000000a00000000000000000000000700000000000000006b76"
        );
        // A value that the command does not carry is not announced.
        let mut out = Vec::new();
        encode(&mut out, &Operation { value: b"v", ..Operation::get(b"k") }, 0, false).unwrap();
        assert_eq!(hex(&out), "8000000100000000000000010000000000000000000000006b");
        assert_eq!(encoded(Operation::delete(b"k")), "8004000100000000000000010000000000000000000000006b");
        assert_eq!(
            encoded(Operation { cas: 7, ..Operation::delete(b"k") }),
            "8004000100000000000000010000000000000000000000076b"
        );
        let op = |command, key: &'static [u8]| Operation::new(command, key);
        let create = Operation { delta: 1, ttl: 1_000_000, op_flags: op_flags::CREATE, ..op(Command::Increment, b"k") };
        assert_eq!(
            encoded(create),
            "80050001140000000000001500000000000000000000000000000000000000010000000000000000\
             000f42406b"
        );
        assert_eq!(encoded(op(Command::FlushAll, b"")), "80080000040000000000000400000000000000000000000000000000");
        assert_eq!(
            encoded(Operation { ttl: 10, ..op(Command::FlushAll, b"") }),
            "8008000004000000000000040000000000000000000000000000000a"
        );
        assert_eq!(encoded(op(Command::Stats, b"")), "801000000000000000000000000000000000000000000000");
        assert_eq!(
            encoded(op(Command::Stats, b"settings")),
            "80100008000000000000000800000000000000000000000073657474696e6773"
        );
        assert_eq!(encoded(op(Command::Noop, b"")), "800a00000000000000000000000000000000000000000000");
    }

    #[test]
    fn requests_that_python_binary_memcached_has_not() {
        let op = |command| Operation { ttl: 60, delta: 2, initial: 7, ..Operation::new(command, b"k") };
        let zeroes = "0".repeat(24);
        assert_eq!(encoded(op(Command::GetAndTouch)), format!("801d00010400000000000005{zeroes}0000003c6b"));
        assert_eq!(encoded(op(Command::Touch)), format!("801c00010400000000000005{zeroes}0000003c6b"));
        let counter = encoded(op(Command::Decrement));
        assert_eq!(counter, format!("800600011400000000000015{zeroes}00000000000000020000000000000000ffffffff6b"));
        for command in [Command::Verbosity, Command::Raw, Command::Meta, Command::Metadump, Command::CacheMemlimit] {
            let error = encode(&mut Vec::new(), &op(command), 0, false).unwrap_err();
            assert_eq!(error.status(), Status::Unsupported);
            assert!(error.message().contains(command.name()) && error.message().contains("meta"), "{error}");
        }
    }

    #[test]
    fn counters_and_statistics() {
        let counter = reply(5, 0, b"", b"", &[0, 0, 0, 1, 0, 0, 0, 2]);
        let head = decode(Command::Increment, &counter).unwrap().unwrap();
        assert_eq!((head.number, head.body, head.len), (1 << 32 | 2, 0, counter.len()));
        assert!(decode(Command::Increment, &counter[..counter.len() - 1]).unwrap().is_none());
        assert!(decode(Command::Increment, &reply(5, 0, b"", b"", b"12")).is_err());
        let statistic = reply(0x10, 0, b"", b"pid", b"12");
        let head = decode(Command::Stats, &statistic).unwrap().unwrap();
        assert_eq!((head.what, head.key, head.detail), (What::Line, &b"pid"[..], &b"12"[..]));
        assert_eq!(decode(Command::Stats, &reply(0x10, 0, b"", b"", b"")).unwrap().unwrap().what, What::Answer);
        assert!(decode(Command::Stats, &reply(0x10, 0, b"", b"", b"12")).is_err());
        let bogus = reply(0x10, code::NOT_FOUND, b"", b"", b"Not found");
        assert_eq!(decode(Command::Stats, &bogus).unwrap().unwrap().status, Status::UnknownCommand);
        let touched = reply(0x1c, 0, &[0; 4], b"", b"");
        let touched = decode(Command::Touch, &touched).unwrap().unwrap();
        assert_eq!((touched.status, touched.body), (Status::Ok, 0));
    }

    fn reply(opcode: u8, status: u16, extras: &[u8], key: &[u8], body: &[u8]) -> Vec<u8> {
        let mut out = vec![RESPONSE, opcode, 0, key.len() as u8, extras.len() as u8, 0];
        out.extend_from_slice(&status.to_be_bytes());
        out.extend_from_slice(&((extras.len() + key.len() + body.len()) as u32).to_be_bytes());
        out.extend_from_slice(&[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9]);
        for part in [extras, key, body] {
            out.extend_from_slice(part);
        }
        out
    }

    #[test]
    fn replies() {
        let hit = reply(0, 0, &[0, 0, 0, 5], b"", b"abc");
        let head = decode(Command::Get, &hit).unwrap().unwrap();
        assert_eq!((head.len, head.body, head.flags, head.cas, head.opaque), (28, 3, 5, 9, Some(7)));
        let whole = Hit { flags: 5, cas: 9, value: b"abc" };
        assert_eq!(decode_hit(0, 7, &[&hit[..], b"more"].concat()), Some((whole, &b"more"[..])));
        for other in [&hit[..30], &hit[1..], &reply(0, 1, &[0; 4], b"", b"abc"), &reply(0, 0, &[0; 4], b"k", b"abc")] {
            assert_eq!(decode_hit(0, 7, other), None);
        }
        assert!(decode_hit(0, 8, &hit).is_none() && decode_hit(9, 7, &hit).is_none(), "another request's");
        assert!(decode_hit(0, 7, &reply(0, 0, b"", b"", b"abcdef")).is_none(), "it has no flags");
        for cut in 0..28 {
            assert!(decode(Command::Get, &hit[..cut]).unwrap().is_none(), "{cut}");
        }
        let miss = reply(0, code::NOT_FOUND, b"", b"", b"Not found");
        let head = decode(Command::Get, &miss).unwrap().unwrap();
        assert_eq!((head.status, head.body, head.body_is_detail), (Status::NotFound, 9, true));
        assert!(decode(Command::Get, &reply(0, 0, b"", b"", b"")).is_err(), "a hit needs its flags");
        assert!(decode(Command::Set, &reply(1, code::INVALID, b"", b"", b"x")).unwrap().unwrap().close);
        assert!(!decode(Command::Set, &reply(1, code::TOO_LARGE, b"", b"", b"x")).unwrap().unwrap().close);
    }

    #[test]
    fn what_is_no_reply() {
        let mut wrong = reply(0, 0, &[0; 4], b"", b"");
        wrong[11] = 3;
        assert!(decode(Command::Get, &wrong).is_err(), "extras longer than the body");
        assert!(decode(Command::Get, b"\x80aaaaaaaaaaaaaaaaaaaaaaaaaaaa").is_err());
        assert!(decode(Command::Get, b"HTTP/1.1 400 Bad Request\r\n").is_err());
        let full = decode(Command::Get, b"ERROR Too many open connections\r\n").unwrap().unwrap();
        assert_eq!((full.status, full.close), (Status::ServerError, true));
    }
}
