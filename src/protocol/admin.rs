//! The lines of the text protocol that are about the server rather than an item: stats, flush_all, version and the like,
//! and a command of the caller's own. The meta dialects use them too, as meta has none of its own.

use super::{delay, push_number, unsupported, Head, Violation, What};
use crate::error::{Error, Result, Status};
use crate::operation::{Command, Operation};

/// The longest argument and the longest end of a raw reply.
const LONGEST: usize = 250;

/// Writes the line without its end.
pub fn encode(out: &mut Vec<u8>, operation: &Operation<'_>) -> Result<()> {
    match operation.command {
        // Version is what every server and proxy answers.
        Command::Version | Command::Noop => out.extend_from_slice(b"version"),
        Command::FlushAll => {
            out.extend_from_slice(b"flush_all");
            push_argument(out, delay(operation).into(), operation.ttl > 0);
        }
        Command::Verbosity => {
            out.extend_from_slice(b"verbosity");
            push_argument(out, u64::from(small(operation, "a level")?), true);
        }
        Command::CacheMemlimit => {
            out.extend_from_slice(b"cache_memlimit");
            push_argument(out, u64::from(small(operation, "a number of megabytes")?), true);
        }
        Command::Stats => push_words(out, b"stats", check_argument(operation, b" ")?),
        Command::Shutdown => push_words(out, b"shutdown", check_argument(operation, b"")?),
        Command::Metadump => {
            let classes = check_argument(operation, b"")?;
            push_words(out, b"lru_crawler metadump", if classes.is_empty() { b"all" } else { classes });
        }
        Command::Raw => out.extend_from_slice(raw_line(operation)?),
        _ => return Err(unsupported(operation.command.name(), "text", "another may")),
    }
    Ok(())
}

fn push_argument(out: &mut Vec<u8>, number: u64, wanted: bool) {
    if wanted {
        out.push(b' ');
        push_number(out, number);
    }
}

fn push_words(out: &mut Vec<u8>, verb: &[u8], argument: &[u8]) {
    out.extend_from_slice(verb);
    if !argument.is_empty() {
        out.push(b' ');
        out.extend_from_slice(argument);
    }
}

/// `delta`, which the server would cut to 32 bits.
fn small(operation: &Operation<'_>, what: &str) -> Result<u32> {
    u32::try_from(operation.delta).map_err(|_| {
        let (name, max) = (operation.command.name(), u32::MAX);
        Error::argument(format!("delta is {}; {name} takes {what} from 0 to {max}", operation.delta))
    })
}

/// The argument of a command, which is in `key`: printable ASCII, and what `more` has.
pub fn check_argument<'a>(operation: &Operation<'a>, more: &[u8]) -> Result<&'a [u8]> {
    let argument = operation.key;
    if argument.len() <= LONGEST && argument.iter().all(|byte| byte.is_ascii_graphic() || more.contains(byte)) {
        return Ok(argument);
    }
    let (name, len) = (operation.command.name(), argument.len());
    let shown = argument[..len.min(LONGEST)].escape_ascii();
    let accepted = if more.is_empty() { "printable ASCII" } else { "printable ASCII and spaces" };
    Err(Error::argument(format!(
        "the argument of {name} has {len} bytes, \"{shown}\"; it takes up to {LONGEST}, {accepted}"
    )))
}

/// The line of a raw command without its end. More than one line is sent only if the caller knows how the reply ends.
fn raw_line<'a>(operation: &Operation<'a>) -> Result<&'a [u8]> {
    let line = operation.value.strip_suffix(b"\n").unwrap_or(operation.value);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(Error::argument("the value of a raw command is empty; it takes a line"));
    }
    if operation.key.is_empty() && line.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        let words = "the value of a raw command has more than one line; then `key` must say with what the reply ends";
        return Err(Error::argument(words));
    }
    if operation.key.len() > LONGEST {
        let words = format!("the end of a raw reply has {} bytes; it takes up to {LONGEST}", operation.key.len());
        return Err(Error::argument(words));
    }
    Ok(line)
}

/// Reads a line of the reply to `command`; `None` where it is none of those that the command is answered with.
pub fn decode(command: Command, text: &[u8], len: usize) -> Option<Head<'_>> {
    let answer = |status: Status, detail| Some(Head { detail, ..Head::new(len, What::Answer, status) });
    let kept = |detail| Some(Head { detail, ..Head::new(len, What::Line, Status::Ok) });
    match command {
        Command::Noop if text == b"MN" => answer(Status::Ok, b""),
        Command::Version | Command::Noop => answer(Status::Ok, text.strip_prefix(b"VERSION ")?),
        Command::Stats => match text {
            b"END" | b"RESET" | b"OK" => answer(Status::Ok, b""),
            _ => kept([&b"STAT "[..], b"ITEM ", b"PREFIX "].iter().find_map(|prefix| text.strip_prefix(*prefix))?),
        },
        Command::Metadump => match text {
            b"END" => answer(Status::Ok, b""),
            // Since 1.6.43 this comes first.
            b"OK" => Some(Head::new(len, What::Part, Status::Ok)),
            _ if text.starts_with(b"key=") => kept(text),
            _ if text.starts_with(b"BADCLASS") => answer(Status::ClientError, text),
            _ if text.starts_with(b"BUSY") || text.starts_with(b"NOTSTARTED") => answer(Status::ServerError, text),
            _ => None,
        },
        Command::CacheMemlimit if text.starts_with(b"MEMLIMIT_") => answer(Status::ClientError, text),
        Command::FlushAll | Command::Verbosity | Command::CacheMemlimit | Command::Shutdown => {
            (text == b"OK").then(|| Head::new(len, What::Answer, Status::Ok))
        }
        Command::Meta => match text {
            b"MN" => answer(Status::Ok, b""),
            b"EN" => answer(Status::NotFound, b""),
            _ => answer(Status::Ok, text.strip_prefix(b"ME ")?),
        },
        _ => None,
    }
}

/// Reads the reply to a raw command, which ends with `end`: parts of it while the end is not there. `window` is how many
/// bytes there can be.
pub fn decode_raw<'a>(end: &[u8], bytes: &'a [u8], window: usize, begun: bool) -> super::Decoded<'a> {
    let end = if end.is_empty() { b"\r\n" } else { end };
    let found = bytes.windows(end.len()).position(|candidate| candidate == end);
    if !begun {
        if let Some(head) = raw_error(bytes, end == b"\r\n") {
            return Ok(Some(head));
        }
    }
    match found {
        Some(at) => {
            let detail = &bytes[..at];
            Ok(Some(Head { detail, ..Head::new(at + end.len(), What::Answer, Status::Ok) }))
        }
        None if bytes.len() < window => Ok(None),
        None => match bytes.len().checked_sub(end.len()) {
            Some(len) if len > 0 => Ok(Some(Head { detail: &bytes[..len], ..Head::new(len, What::Part, Status::Ok) })),
            _ => Err(Violation::quoting("a reply that does not end", bytes)),
        },
    }
}

/// A line that says that the raw command failed, instead of its reply. `alone`: the reply is a line anyway.
fn raw_error(bytes: &[u8], alone: bool) -> Option<Head<'_>> {
    let (text, len) = super::line(bytes).ok()??;
    let head = super::error_line(text, len, true, false)?;
    Some(Head { close: head.close || !alone, ..head })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(operation: Operation<'_>) -> Result<String> {
        let mut out = Vec::new();
        encode(&mut out, &operation).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn requests() {
        let line = |command, key: &'static str, delta, ttl| {
            encoded(Operation { delta, ttl, ..Operation::new(command, key.as_bytes()) }).unwrap()
        };
        assert_eq!(line(Command::FlushAll, "", 0, 0), "flush_all");
        assert_eq!(line(Command::FlushAll, "", 0, 10), "flush_all 10");
        assert_eq!(line(Command::FlushAll, "", 0, -10), "flush_all");
        assert_eq!(line(Command::Stats, "", 0, 0), "stats");
        assert_eq!(line(Command::Stats, "cachedump 1 1", 0, 0), "stats cachedump 1 1");
        assert_eq!(line(Command::Verbosity, "", 2, 0), "verbosity 2");
        assert_eq!(line(Command::CacheMemlimit, "", 8, 0), "cache_memlimit 8");
        assert_eq!(line(Command::Shutdown, "", 0, 0), "shutdown");
        assert_eq!(line(Command::Shutdown, "graceful", 0, 0), "shutdown graceful");
        assert_eq!(line(Command::Metadump, "", 0, 0), "lru_crawler metadump all");
        assert_eq!(line(Command::Metadump, "1,2", 0, 0), "lru_crawler metadump 1,2");
        assert_eq!(line(Command::Noop, "", 0, 0), "version");
    }

    #[test]
    fn arguments_cannot_begin_another_command() {
        let long = [b'x'; 251];
        for bad in [&b"a\r\nflush_all"[..], b"\n", b"a\0", b"caf\xc3\xa9", &long] {
            for command in [Command::Stats, Command::Shutdown, Command::Metadump] {
                let error = encoded(Operation::new(command, bad)).unwrap_err();
                assert_eq!(error.status(), Status::Argument, "{error}");
            }
        }
        assert!(encoded(Operation::new(Command::Metadump, b"all all")).is_err());
        let over = Operation { delta: 1 << 32, ..Operation::new(Command::Verbosity, b"") };
        assert!(encoded(over).unwrap_err().message().contains("4294967296"));
    }

    #[test]
    fn a_raw_command_is_one_line_unless_its_end_is_known() {
        let raw = |value: &'static str, key: &'static str| {
            encoded(Operation { value: value.as_bytes(), ..Operation::new(Command::Raw, key.as_bytes()) })
        };
        for line in ["version", "version\r\n", "version\n"] {
            assert_eq!(raw(line, "").unwrap(), "version");
        }
        for bad in ["", "\r\n", "a\r\nb", "a\nb\r\n", "a\rb"] {
            assert_eq!(raw(bad, "").unwrap_err().status(), Status::Argument, "{bad:?}");
        }
        assert_eq!(raw("set k 0 0 1\r\nv", "STORED\r\n").unwrap(), "set k 0 0 1\r\nv");
    }

    #[test]
    fn a_raw_reply_ends_where_the_caller_says() {
        let all = |end: &[u8], bytes: &'static [u8]| {
            let head = decode_raw(end, bytes, 64, false).unwrap()?;
            Some((head.what, head.status, head.len, head.detail))
        };
        assert_eq!(all(b"", b"VERSION 1\r\n"), Some((What::Answer, Status::Ok, 11, &b"VERSION 1"[..])));
        assert_eq!(all(b"END\r\n", b"VALUE k 0 1\r\nv\r\nEN"), None);
        assert_eq!(all(b"END\r\n", b"a\r\nEND\r\n"), Some((What::Answer, Status::Ok, 8, &b"a\r\n"[..])));
        assert_eq!(all(b"END\r\n", b"ERROR\r\n"), Some((What::Answer, Status::UnknownCommand, 7, &b"ERROR"[..])));
        assert_eq!(all(b"", b"CLIENT_ERROR no\r\n"), Some((What::Answer, Status::ClientError, 17, &b"no"[..])));
        assert_eq!(all(b"", &[b'x'; 64]), Some((What::Part, Status::Ok, 62, &[b'x'; 62][..])));
        assert!(decode_raw(&[b'e'; 100], &[b'x'; 64], 64, false).is_err());
    }

    #[test]
    fn replies() {
        let case = |command, text: &'static str| {
            let head = decode(command, text.as_bytes(), text.len() + 2)?;
            Some((head.what, head.status, std::str::from_utf8(head.detail).unwrap()))
        };
        let answer = |status| Some((What::Answer, status, ""));
        assert_eq!(case(Command::Stats, "STAT 22:addr tcp:1 2"), Some((What::Line, Status::Ok, "22:addr tcp:1 2")));
        assert_eq!(case(Command::Stats, "ITEM k [7 b; 0 s]"), Some((What::Line, Status::Ok, "k [7 b; 0 s]")));
        assert_eq!(case(Command::Stats, "END"), answer(Status::Ok));
        assert_eq!(case(Command::Stats, "RESET"), answer(Status::Ok));
        assert_eq!(case(Command::Stats, "STORED"), None);
        assert_eq!(case(Command::Metadump, "OK"), Some((What::Part, Status::Ok, "")));
        assert_eq!(case(Command::Metadump, "BUSY currently").unwrap().1, Status::ServerError);
        assert_eq!(case(Command::Metadump, "BADCLASS no").unwrap().1, Status::ClientError);
        assert_eq!(case(Command::CacheMemlimit, "MEMLIMIT_TOO_SMALL x").unwrap().1, Status::ClientError);
        assert_eq!(case(Command::FlushAll, "OK"), answer(Status::Ok));
        assert_eq!(case(Command::FlushAll, "STORED"), None);
        assert_eq!(case(Command::Meta, "ME k exp=-1").unwrap().2, "k exp=-1");
    }
}
