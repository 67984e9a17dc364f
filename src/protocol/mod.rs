//! The wire: codecs that turn operations into bytes and bytes into the heads of replies, for the text, the meta and the
//! binary protocol. No I/O, no state: what is in flight and what matches what is `connection`'s business.

pub mod admin;
pub mod binary;
pub mod meta;
pub mod quiet;
pub mod sasl;
pub mod text;

use crate::error::{Error, Result, Status};
use crate::operation::{op_flags, Command, Operation};
use std::time::{SystemTime, UNIX_EPOCH};

/// Which protocol a user wants spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtocolChoice {
    /// What the server is found to understand best.
    Auto,
    Text,
    Meta,
    Binary,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// The classic text protocol alone: any server, any proxy.
    Text,
    /// Text for plain reads and meta for the rest: one ASCII family, where the server knows both.
    TextMeta,
    /// Meta commands wherever there is one.
    Meta,
    Binary,
}

/// The longest line that a server may send before its end is known; the longest true one is a VALUE line.
pub const MAX_LINE: usize = 2048;

/// The longest key.
pub const MAX_KEY: usize = 250;

/// What a reply turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// A whole answer.
    Answer,
    /// Text: one VALUE of a get; more may follow.
    Item,
    /// Text: the END of a get.
    End,
    /// Part of a long answer, to be kept with a line end behind it: a statistic, an entry of a dump.
    Line,
    /// Part of a long answer, to be kept as it is.
    Part,
}

/// The head of a reply: all of it but the value, which follows in the stream.
#[derive(Debug)]
pub struct Head<'a> {
    /// Bytes of the head.
    pub len: usize,
    /// Bytes of value that follow it.
    pub body: usize,
    /// Bytes of line end that follow the value.
    pub tail: usize,
    pub what: What,
    pub status: Status,
    /// Where the protocol has one.
    pub opaque: Option<u32>,
    pub key: &'a [u8],
    /// The key is there by base64.
    pub by_base64: bool,
    pub flags: u32,
    pub bits: u32,
    pub cas: u64,
    pub number: u64,
    pub ttl: i64,
    pub size: u32,
    pub last_access: u32,
    pub fetched: bool,
    /// The server's own words; of a `Line` or a `Part`, what is to be kept.
    pub detail: &'a [u8],
    /// The value is the server's own words.
    pub body_is_detail: bool,
    /// After this reply the stream cannot be trusted, or the server hangs up.
    pub close: bool,
}

/// A value with all that belongs to it, where a reply is whole and says no more than that.
#[derive(Debug, PartialEq, Eq)]
pub struct Hit<'a> {
    pub flags: u32,
    pub cas: u64,
    pub value: &'a [u8],
}

impl Head<'_> {
    /// A head that is a status and nothing else.
    pub fn new(len: usize, what: What, status: Status) -> Head<'static> {
        Head {
            len,
            body: 0,
            tail: 0,
            what,
            status,
            opaque: None,
            key: b"",
            by_base64: false,
            flags: 0,
            bits: 0,
            cas: 0,
            number: 0,
            ttl: 0,
            size: 0,
            last_access: 0,
            fetched: false,
            detail: b"",
            body_is_detail: false,
            close: false,
        }
    }
}

/// What a decoder says of the bytes so far: `None` means that the head is not complete; an error that no server may
/// send them.
pub type Decoded<'a> = std::result::Result<Option<Head<'a>>, Violation>;

/// Bytes that the protocol does not allow here.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl Violation {
    /// A violation that quotes the first bytes at fault.
    pub fn quoting(what: &str, bytes: &[u8]) -> Violation {
        let shown = &bytes[..bytes.len().min(48)];
        Violation(format!("{what}: \"{}\"", shown.escape_ascii()))
    }
}

/// Refuses a key that the dialect cannot carry.
pub fn check_key(dialect: Dialect, key: &[u8]) -> Result<()> {
    let good = if dialect == Dialect::Binary { (1..=MAX_KEY).contains(&key.len()) } else { is_text_key(key) };
    if good {
        return Ok(());
    }
    Err(bad_key(key))
}

/// Whether text and meta can carry a key as it is.
#[inline(always)]
fn is_text_key(key: &[u8]) -> bool {
    (1..=MAX_KEY).contains(&key.len()) && is_printable(key)
}

/// How an operation's key stands on the wire where it is no plain key of the dialect: as it is, or by base64 (true). Only a
/// client's option `key_bytes` allows that.
#[cold]
pub fn allow_key(dialect: Dialect, operation: &Operation<'_>, error: Error) -> Result<bool> {
    let (key, flags) = (operation.key, operation.op_flags);
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(error);
    }
    if flags & op_flags::UTF8_KEY != 0 && is_utf8_key(key) {
        return Ok(false);
    }
    match flags & op_flags::ANY_KEY != 0 && matches!(dialect, Dialect::Meta | Dialect::TextMeta) {
        true if key.len() <= MAX_BINARY_KEY => Ok(true),
        true => Err(Error::argument(format!(
            "the key has {} bytes, not all of them text; by base64, as meta has it, a key has up to {MAX_BINARY_KEY}",
            key.len()
        ))),
        false => Err(error),
    }
}

/// Refuses an operation whose key the dialect cannot carry, by base64 either.
pub fn check_key_for(dialect: Dialect, operation: &Operation<'_>) -> Result<()> {
    check_key(dialect, operation.key).or_else(|error| allow_key(dialect, operation, error).map(drop))
}

/// The longest key whose base64 is a key.
pub const MAX_BINARY_KEY: usize = 186;

/// Whether a key is UTF-8 that can stand in a line.
pub fn is_utf8_key(key: &[u8]) -> bool {
    let fits = |key: &str| !key.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
    std::str::from_utf8(key).is_ok_and(fits)
}

/// Whether all bytes are from 0x21 to 0x7e.
#[inline(always)]
fn is_printable(key: &[u8]) -> bool {
    let Some(last) = key.last_chunk::<8>() else { return key.iter().all(|byte| (0x21..=0x7e).contains(byte)) };
    // The last eight bytes may overlap those before them.
    words(key).all(is_printable_word) && is_printable_word(*last)
}

/// The bytes eight by eight, without those that are left.
#[inline(always)]
fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 8]> + '_ {
    bytes.chunks_exact(8).filter_map(|word| word.try_into().ok())
}

/// The same for eight bytes at once. Of the first byte that is wrong one of the two terms has the high bit set: the one if
/// it is below 0x21 or 0xff, the other if it is 0x7f or above.
#[inline(always)]
fn is_printable_word(word: [u8; 8]) -> bool {
    let word = u64::from_le_bytes(word);
    (word.wrapping_sub(ONES * 0x21) | word.wrapping_add(ONES)) & (ONES * 0x80) == 0
}

/// One in each byte of a word.
const ONES: u64 = u64::from_le_bytes([1; 8]);

/// Copies a key to a place of its length, unless text cannot carry it: then it answers `false`.
#[inline(always)]
fn copy_key(key: &[u8], place: &mut [u8]) -> bool {
    let (Some(last), Some(place_of_last)) = (key.last_chunk::<8>(), place.last_chunk_mut::<8>()) else {
        return copy_short_key(key, place);
    };
    *place_of_last = *last;
    for (word, to) in words(key).zip(place.chunks_exact_mut(8)) {
        if !is_printable_word(word) {
            return false;
        }
        to.copy_from_slice(&word);
    }
    is_printable_word(*last) && key.len() <= MAX_KEY
}

/// The same for less than eight bytes.
#[inline(never)]
fn copy_short_key(key: &[u8], place: &mut [u8]) -> bool {
    place.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    !key.is_empty() && is_printable(key)
}

/// Whether two pieces of bytes are the same; as short as keys are, that is cheaper than to call memcmp.
#[inline(always)]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let (Some(one_end), Some(other_end)) = (one.last_chunk::<8>(), other.last_chunk::<8>()) else {
        return one == other;
    };
    let (mut one, mut other, same_len) = (one, other, one.len() == other.len());
    while let (Some((a, one_behind)), Some((b, other_behind))) =
        (one.split_first_chunk::<8>(), other.split_first_chunk::<8>())
    {
        if a != b {
            return false;
        }
        (one, other) = (one_behind, other_behind);
    }
    same_len && one_end == other_end
}

#[cold]
fn bad_key(key: &[u8]) -> Error {
    if key.is_empty() {
        return Error::argument("the key is empty; a key has 1 to 250 bytes");
    }
    if key.len() > MAX_KEY {
        return Error::argument(format!("the key has {} bytes; a key has 1 to {MAX_KEY}", key.len()));
    }
    let bad = key.iter().copied().find(|byte| !(0x21..=0x7e).contains(byte)).unwrap_or(0);
    let shown = key.escape_ascii();
    Error::argument(format!(
        "key \"{shown}\": byte 0x{bad:02x} cannot stand in a key of the text protocol, which accepts 0x21 to 0x7e; \
         the binary protocol takes any"
    ))
}

/// The longest time that the server takes as "from now".
const RELATIVE_MAX: i64 = 30 * 24 * 3600;
/// From here on a ttl is a Unix time (September 2001); below it, seconds from now.
const ABSOLUTE_MIN: i64 = 1_000_000_000;
/// A Unix time that has long passed, for protocols that have no negative time.
const LONG_AGO: i64 = RELATIVE_MAX + 1;

/// The latest time that all protocols can say: text and meta have a signed number of 32 bits (January 2038).
const LATEST: i64 = i32::MAX as i64;

/// The exptime that gives an item the life that [`Operation::ttl`] promises, the same over every protocol.
fn exptime(ttl: i64) -> u32 {
    let exptime = match ttl {
        0..=RELATIVE_MAX => ttl,
        ..=-1 => LONG_AGO,
        ABSOLUTE_MIN.. => ttl.min(LATEST),
        _ => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            i64::try_from(now).unwrap_or(LATEST).saturating_add(ttl).min(LATEST)
        }
    };
    exptime as u32
}

/// When flush_all is to take effect: a negative delay is none.
fn delay(operation: &Operation<'_>) -> u32 {
    exptime(operation.ttl.max(0))
}

/// Writes a number in decimal.
fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Reads a decimal number that takes up all of `text`.
fn parse_number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    let mut number: u64 = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(digit.into())?;
    }
    Some(number)
}

/// A number of up to seven digits at the start of `bytes`, where eight bytes are there, the byte that ends it, and what is
/// behind that. All digits are read at once.
#[inline(always)]
fn short_number(bytes: &[u8]) -> Option<(u64, u8, &[u8])> {
    let word = u64::from_le_bytes(*bytes.first_chunk::<8>()?) ^ (ONES * 0x30);
    // The first byte that is no digit has the high bit set here, and some behind it.
    let others = (word.wrapping_add(ONES * 0x76) | word) & (ONES * 0x80);
    let bits = others.trailing_zeros() & !7;
    if !(8..64).contains(&bits) {
        return None;
    }
    let (end, rest) = bytes.get(bits as usize / 8..)?.split_first()?;
    // The digits move to the top, with zeroes before them; then pairs of them, of pairs, and of those are added up.
    let ones = word << (64 - bits);
    let pairs = (ones.wrapping_mul(10 << 8 | 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_ffff_0000_ffff;
    Some((fours.wrapping_mul(10_000 << 32 | 1) >> 32, *end, rest))
}

/// The decimal number at the start of `bytes`, and what follows it.
#[inline(always)]
fn leading_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut number, mut rest) = (0u64, bytes);
    while let [digit @ b'0'..=b'9', behind @ ..] = rest {
        number = number.wrapping_mul(10).wrapping_add(u64::from(*digit & 0xf));
        rest = behind;
    }
    // Up to 19 digits always fit.
    match bytes.len().wrapping_sub(rest.len()) {
        0 => None,
        1..=19 => Some((number, rest)),
        _ => long_number(bytes),
    }
}

/// The same, where there are 20 digits or more.
#[cold]
fn long_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    Some((parse_number(&bytes[..digits])?, &bytes[digits..]))
}

/// The line at the start of `bytes` without its end, and its length with it; `None` while the end is not there. What can
/// begin no line of a reply (a frame of the binary protocol, or of TLS) is not waited for: its line end may never come.
fn line(bytes: &[u8]) -> std::result::Result<Option<(&[u8], usize)>, Violation> {
    let window = &bytes[..bytes.len().min(MAX_LINE)];
    match window.iter().position(|byte| *byte == b'\n') {
        Some(at) => Ok(Some((window[..at].strip_suffix(b"\r").unwrap_or(&window[..at]), at + 1))),
        None if bytes.len() >= MAX_LINE => Err(Violation::quoting("a line without end", bytes)),
        None => match bytes.first() {
            Some(first) if !first.is_ascii_graphic() => Err(Violation::quoting("what begins no reply", bytes)),
            _ => Ok(None),
        },
    }
}

/// The error lines that text and meta share. `payload` says that the command carried data after its line: then only
/// SERVER_ERROR proves that the server took the data for data.
fn error_line(text: &[u8], len: usize, payload: bool, keep_client_error: bool) -> Option<Head<'_>> {
    // "ERROR: shutdown not enabled": a colon is as good as a space.
    let words = |prefix: &[u8]| text.strip_prefix(prefix).filter(|rest| matches!(rest, [] | [b' ' | b':', ..]));
    let (status, detail, close) = if let Some(rest) = words(b"SERVER_ERROR") {
        let status = if rest.starts_with(b" object too large") { Status::TooLarge } else { Status::ServerError };
        (status, rest, false)
    } else if let Some(rest) = words(b"CLIENT_ERROR") {
        // A server that wants a login says so to a client that has none, and takes its sets for logins.
        let login: [&[u8]; 3] = [b" unauthenticated", b" authentication failure", b" bad authentication token format"];
        let status = if login.contains(&rest) { Status::Auth } else { Status::ClientError };
        (status, rest, !keep_client_error || rest == b" bad data chunk")
    } else if let Some(rest) = words(b"ERROR") {
        match rest.is_empty() {
            true => (Status::UnknownCommand, rest, payload),
            // "ERROR Too many open connections" comes unasked, whatever was sent, and the server hangs up.
            false => (Status::ServerError, rest, true),
        }
    } else {
        return None;
    };
    let detail = detail.strip_prefix(b":").unwrap_or(detail).trim_ascii();
    let detail = if detail.is_empty() { text } else { detail };
    Some(Head { detail, close, ..Head::new(len, What::Answer, status) })
}

/// Whether the command stores a value.
pub fn has_payload(command: Command) -> bool {
    matches!(command, Command::Set | Command::Add | Command::Replace | Command::Append | Command::Prepend)
}

/// Whether the request carries a value, behind its line or its header.
pub fn carries_value(operation: &Operation<'_>) -> bool {
    has_payload(operation.command) || (operation.command == Command::Meta && meta::stores(operation))
}

/// The failure of an operation that the protocol spoken cannot say.
#[cold]
pub fn unsupported(what: &str, protocol: &str, others: &str) -> Error {
    Error::new(Status::Unsupported, format!("the {protocol} protocol has no {what}; {others} (option protocol)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_out_and_come_back() {
        for number in [0, 1, 9, 10, 99, 100, 12345, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
            assert_eq!(parse_number(&out), Some(number));
        }
        for bad in ["", "-1", "+1", " 1", "1 ", "18446744073709551616", "000000000000000000001", "x"] {
            assert_eq!(parse_number(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn short_numbers_tell_what_ends_them() {
        for number in (0..3000).chain([9999, 10_000, 12_345, 99_999, 654_321, 999_999, 1_000_000, 9_876_543, 9_999_999])
        {
            let text = format!("{number} behind it");
            assert_eq!(short_number(text.as_bytes()), Some((number, b' ', &b"behind it"[..])));
        }
        for end in (0..=255).filter(|end: &u8| !end.is_ascii_digit()) {
            assert_eq!(short_number(&[b'4', b'2', end, 0xff, b'9', 0, 0xd0, b':']).map(|found| found.0), Some(42));
            assert_eq!(short_number(&[end, b'4', b'2', b' ', b' ', b' ', b' ', b' ']), None, "{end}");
        }
        for other in ["", "7", "1234567", "12345678", "12345678 ", "99999999999999999999 ", "x       ", "-1      "] {
            assert_eq!(short_number(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn leading_numbers_end_where_their_digits_do() {
        assert_eq!(leading_number(b"12 x"), Some((12, &b" x"[..])));
        assert_eq!(leading_number(b"18446744073709551615\r"), Some((u64::MAX, &b"\r"[..])));
        for bad in ["", "x", "-1", "18446744073709551616", "99999999999999999999999"] {
            assert_eq!(leading_number(bad.as_bytes()), None, "{bad}");
        }
    }

    /// Bytes that are nearly replies.
    fn mutated(seed: &mut u64) -> Vec<u8> {
        let mut next = |end: usize| {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*seed >> 33) as usize % end.max(1)
        };
        let replies: [&[u8]; 12] = [
            b"VALUE k 5 3 9\r\nabc\r\nEND\r\n",
            b"VA 3 f5 c9 t-1 s3 l2 h1 W X Z kk O7\r\nabc\r\n",
            b"VA 2 O7\r\n42\r\n",
            b"HD O7\r\n",
            b"STAT pid 12\r\nITEM k [1 b; 0 s]\r\nEND\r\n",
            b"key=k exp=-1 la=1 cas=1 fetch=no cls=1 size=60\n",
            b"SERVER_ERROR: no\r\n",
            b"18446744073709551615\r\n",
            b"\x81\x05\0\0\0\0\0\0\0\0\0\x08\0\0\0\x07\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x01",
            b"\x81\x10\0\x03\0\0\0\0\0\0\0\x05\0\0\0\x07\0\0\0\0\0\0\0\x09pid12",
            b"\x81\0\0\0\x04\0\0\0\0\0\0\x07\0\0\0\x07\0\0\0\0\0\0\0\x09\0\0\0\x05abc",
            b"ME k exp=-1\r\nMN\r\n",
        ];
        let mut bytes = replies[next(replies.len())].to_vec();
        for _ in 0..next(4) {
            let at = next(bytes.len());
            match next(4) {
                0 => bytes[at] = next(256) as u8,
                1 => bytes.truncate(at + 1),
                2 => bytes.insert(at, b"0 \r\n9"[next(5)]),
                _ => drop(bytes.remove(at)),
            }
            if bytes.is_empty() {
                bytes.push(b' ');
            }
        }
        bytes
    }

    #[test]
    fn no_bytes_make_a_decoder_panic_or_read_past_them() {
        let mut seed = 42;
        for _ in 0..10_000 {
            let bytes = mutated(&mut seed);
            for command in Command::ALL {
                let raw = admin::decode_raw(b"END\r\n", &bytes, bytes.len() + 1, seed & 1 == 0);
                for head in [
                    text::decode(command, &bytes),
                    meta::decode(command, &bytes),
                    meta::decode_any(command, &bytes),
                    binary::decode(command, &bytes),
                    raw,
                ] {
                    if let Ok(Some(head)) = head {
                        assert!(head.len <= bytes.len(), "{command:?} {}", bytes.escape_ascii());
                    }
                }
            }
        }
    }

    #[test]
    fn what_can_begin_no_line_is_not_waited_for() {
        for first in (0..=255u8).filter(|first| *first != b'\n') {
            let begins = (0x21..=0x7e).contains(&first);
            assert_eq!(line(&[first, b'x']).is_ok(), begins, "{first:#x}");
        }
        assert_eq!(line(b""), Ok(None));
        assert_eq!(line(b"VALUE caf\xc3\xa9 0"), Ok(None));
        assert_eq!(line(b"\r\n"), Ok(Some((&b""[..], 2))), "a whole line is the decoder's to judge");
        let frame = b"\x81\0\0\0\x04\0\0\0";
        for decode in [text::decode, meta::decode, meta::decode_any] {
            let refused = decode(Command::Get, frame).unwrap_err();
            assert!(refused.0.starts_with("what begins no reply: \"\\x81"), "{refused:?}");
        }
        assert!(quiet::read(frame).is_err());
    }

    #[test]
    fn a_ttl_has_one_meaning() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        assert_eq!(exptime(0), 0);
        assert_eq!(exptime(60), 60);
        assert_eq!(exptime(RELATIVE_MAX), RELATIVE_MAX as u32);
        assert_eq!(exptime(-1), LONG_AGO as u32);
        assert_eq!(exptime(i64::MIN), LONG_AGO as u32);
        let later = i64::from(exptime(RELATIVE_MAX + 1)) - now - RELATIVE_MAX - 1;
        assert!((0..=2).contains(&later), "{later}");
        assert_eq!(exptime(1_900_000_000), 1_900_000_000);
        assert_eq!(exptime(0xffff_fffe), i32::MAX as u32);
        assert_eq!(exptime(i64::MAX), i32::MAX as u32);
        assert_eq!(delay(&Operation { ttl: -5, ..Operation::new(Command::FlushAll, b"") }), 0);
    }

    #[test]
    fn every_byte_at_every_place_of_a_key_is_checked() {
        for len in 1..=17 {
            for at in 0..len {
                for byte in 0..=255u8 {
                    let mut key = vec![b'k'; len];
                    key[at] = byte;
                    assert_eq!(is_printable(&key), (0x21..=0x7e).contains(&byte), "{byte:#x} at {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn keys_are_checked_for_the_dialect_that_carries_them() {
        for good in [&b"k"[..], &[b'x'; 250]] {
            assert!(check_key(Dialect::Text, good).is_ok());
        }
        for bad in [&b""[..], &[b'x'; 251]] {
            assert!(check_key(Dialect::Text, bad).is_err() && check_key(Dialect::Binary, bad).is_err());
        }
        for odd in [&b"a b"[..], b"a\r\nb", b"\0", b"\x7f", b"\t", b"caf\xc3\xa9"] {
            let error = check_key(Dialect::Meta, odd).unwrap_err();
            assert!(error.message().contains("0x"), "{error}");
            assert!(check_key(Dialect::Binary, odd).is_ok());
        }
    }
}
