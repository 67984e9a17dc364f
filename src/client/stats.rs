//! What the statistics and the dump of a server say, taken apart: lines in, names and values out. The lines are the same
//! over every protocol.

use crate::error::Status;
use crate::operation::{Answer, Value};
use std::time::{SystemTime, UNIX_EPOCH};

/// The statistics in the value of a `stats` answer, which has a line "NAME VALUE" for each.
pub fn statistics(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        // A statistic may be blank.
        None => (line, &b""[..]),
    })
}

/// One item of a dump.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DumpEntry {
    pub key: Vec<u8>,
    /// Seconds that it has left, -1 for ever; by the clock of this machine.
    pub ttl: i64,
    /// Seconds since it was last read; by the clock of this machine.
    pub last_access: u32,
    pub cas: u64,
    pub flags: u32,
    /// Whether it was read since it was stored.
    pub fetched: bool,
    /// Its slab class.
    pub class: u64,
    /// Bytes that it takes in the server, key and header included.
    pub size: u32,
    /// The server's own line.
    pub line: Vec<u8>,
}

impl DumpEntry {
    /// Reads a line of a dump: "key=... exp=... la=... cas=... fetch=... cls=... size=...". What is missing or odd is
    /// zero; `None` where there is no key.
    pub fn parse(line: &[u8]) -> Option<DumpEntry> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let mut entry = DumpEntry { line: line.to_vec(), ..DumpEntry::default() };
        let mut has_key = false;
        for word in line.split(|byte| *byte == b' ') {
            let Some(at) = word.iter().position(|byte| *byte == b'=') else { continue };
            let (name, value) = (&word[..at], &word[at + 1..]);
            match name {
                b"key" => (entry.key, has_key) = (unescaped(value)?, true),
                b"exp" => entry.ttl = number(value).map_or(0, |exp: i64| if exp < 0 { -1 } else { (exp - now).max(0) }),
                b"la" => entry.last_access = number(value).map_or(0, |la: i64| seconds(now.saturating_sub(la))),
                b"cas" => entry.cas = number(value).unwrap_or(0),
                b"flags" => entry.flags = number(value).unwrap_or(0),
                b"fetch" => entry.fetched = value == b"yes",
                b"cls" => entry.class = number(value).unwrap_or(0),
                b"size" => entry.size = number(value).unwrap_or(0),
                _ => {}
            }
        }
        has_key.then_some(entry)
    }

    /// The same as an answer.
    pub(crate) fn answer(&self, server: u32) -> Answer<'_> {
        Answer {
            server,
            flags: self.flags,
            cas: self.cas,
            number: self.class,
            ttl: self.ttl,
            size: self.size,
            last_access: self.last_access,
            fetched: self.fetched,
            key: &self.key,
            value: Value::NONE,
            detail: &self.line,
            ..Answer::new(Status::Ok)
        }
    }
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn seconds(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
}

/// A key with its %XX turned into bytes.
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut key = Vec::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (byte, after) = escaped_byte(rest)?;
        key.push(byte);
        rest = after;
    }
    Some(key)
}

/// The first byte of a key that is written with %XX, and what follows it.
fn escaped_byte(text: &[u8]) -> Option<(u8, &[u8])> {
    let (byte, rest) = text.split_first()?;
    if *byte != b'%' {
        return Some((*byte, rest));
    }
    let (digits, rest) = rest.split_at_checked(2)?;
    Some((u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?, rest))
}

/// A line of a dump without the prefix of its key; `None` where the key is another one, or the prefix is all of it.
pub(super) fn without_prefix(line: &[u8], prefix: &[u8]) -> Option<Vec<u8>> {
    let mut rest = line.strip_prefix(b"key=")?;
    for wanted in prefix {
        let (byte, after) = escaped_byte(rest)?;
        rest = (byte == *wanted).then_some(after)?;
    }
    let is_key = rest.first().is_some_and(|byte| *byte != b' ');
    is_key.then(|| [b"key=", rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_names_and_values() {
        let text = b"pid 12\n22:addr tcp:127.0.0.1:11211 idle\nblank \nbare\n";
        let found: Vec<(&[u8], &[u8])> = statistics(text).collect();
        let expected: [(&[u8], &[u8]); 4] =
            [(b"pid", b"12"), (b"22:addr", b"tcp:127.0.0.1:11211 idle"), (b"blank", b""), (b"bare", b"")];
        assert_eq!(found, expected);
        assert_eq!(statistics(b"").count(), 0);
    }

    #[test]
    fn lines_of_a_dump_lose_their_prefix() {
        let line = |line: &str, prefix: &str| {
            without_prefix(line.as_bytes(), prefix.as_bytes()).map(|line| String::from_utf8(line).unwrap())
        };
        assert_eq!(line("key=ns%3Aa%20b exp=-1", "ns:").as_deref(), Some("key=a%20b exp=-1"));
        assert_eq!(line("key=ns:a", "ns:").as_deref(), Some("key=a"));
        assert_eq!(line("key=%25k exp=1", "%").as_deref(), Some("key=k exp=1"));
        for other in ["key=other exp=1", "key=ns%3A exp=1", "key=ns", "key=ns%3", "exp=1 key=ns:a", "", "key=n%zz:a"] {
            assert_eq!(line(other, "ns:"), None, "{other}");
        }
    }

    #[test]
    fn dump_lines_are_items() {
        let line = b"key=a%20b%00 exp=-1 la=1500000000 cas=7 fetch=yes cls=2 size=70 flags=5";
        let entry = DumpEntry::parse(line).unwrap();
        assert_eq!((entry.key.as_slice(), entry.ttl, entry.cas, entry.flags), (&b"a b\0"[..], -1, 7, 5));
        assert_eq!((entry.fetched, entry.class, entry.size, entry.line.as_slice()), (true, 2, 70, &line[..]));
        assert!(entry.last_access > 200_000_000, "{}", entry.last_access);
        let past = DumpEntry::parse(b"key=k exp=1500000000 fetch=no").unwrap();
        assert_eq!((past.ttl, past.fetched, past.size), (0, false, 0));
        for odd in [&b"exp=1"[..], b"", b"key=%zz", b"key=%0"] {
            assert_eq!(DumpEntry::parse(odd), None, "{}", odd.escape_ascii());
        }
        assert_eq!(DumpEntry::parse(b"key=k exp=99999999999999999999").unwrap().ttl, 0);
    }
}
