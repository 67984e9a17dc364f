//! Operations without reply: how a request says that its success need not be told, the fence that is sent behind such
//! requests, and how their failures are told apart from the fence's reply. What is in flight is not known here.

use super::binary::{HEADER, REQUEST};
use super::{line, parse_number, Dialect, Violation};

/// NOOP of the binary protocol.
pub const NOOP: u8 = 0x0a;

/// Makes a text request, which was just written up to its line end, one without reply.
pub fn silence_text(out: &mut Vec<u8>) {
    end_line_with(out, b" noreply\r\n");
}

/// The same for a meta request: its errors are still told, and whatever is no error line names its opaque.
pub fn silence_meta(out: &mut Vec<u8>) {
    end_line_with(out, b" q\r\n");
}

/// Puts another end to the line that was just written.
pub fn end_line_with(out: &mut Vec<u8>, end: &[u8]) {
    out.truncate(out.len().saturating_sub(2));
    out.extend_from_slice(end);
}

/// Writes the request whose reply says that the server is done with all before it.
pub fn push_fence(out: &mut Vec<u8>, dialect: Dialect, opaque: u32) {
    match dialect {
        Dialect::Text => out.extend_from_slice(b"version\r\n"),
        Dialect::TextMeta | Dialect::Meta => out.extend_from_slice(b"mn\r\n"),
        Dialect::Binary => {
            let mut header = [0; HEADER];
            (header[0], header[1]) = (REQUEST, NOOP);
            header[12..16].copy_from_slice(&opaque.to_be_bytes());
            out.extend_from_slice(&header);
        }
    }
}

/// A line that comes while requests without reply, or their fence, are in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line {
    /// The reply of the fence, of so many bytes.
    Fence(usize),
    /// About the request with this opaque.
    Named(u32),
    /// An error, of one of them.
    Unnamed,
}

/// What the line at the start of `bytes` is; `None` while its end is not there.
pub fn read(bytes: &[u8]) -> Result<Option<Line>, Violation> {
    let Some((text, len)) = line(bytes)? else { return Ok(None) };
    if text == b"MN" || text.starts_with(b"VERSION ") {
        return Ok(Some(Line::Fence(len)));
    }
    let mut words = text.split(|byte| *byte == b' ');
    // Replies of two letters have flags; error lines have words.
    let flags = words.next().is_some_and(|code| code.len() == 2);
    let opaque = words.filter(|_| flags).find_map(|word| parse_number(word.strip_prefix(b"O")?));
    Ok(Some(opaque.and_then(|opaque| u32::try_from(opaque).ok()).map_or(Line::Unnamed, Line::Named)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let mut out = b"set k 0 0 1\r\n".to_vec();
        silence_text(&mut out);
        assert_eq!(out, b"set k 0 0 1 noreply\r\n");
        let mut out = b"ms k 1 O7\r\n".to_vec();
        silence_meta(&mut out);
        assert_eq!(out, b"ms k 1 O7 q\r\n");
        for (dialect, bytes) in [
            (Dialect::Text, &b"version\r\n"[..]),
            (Dialect::TextMeta, b"mn\r\n"),
            (Dialect::Meta, b"mn\r\n"),
            (Dialect::Binary, b"\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\0"),
        ] {
            let mut out = Vec::new();
            push_fence(&mut out, dialect, 0x102);
            assert_eq!(out, bytes, "{dialect:?}");
        }
    }

    #[test]
    fn lines() {
        let cases = [
            ("MN\r\nVA", Some(Line::Fence(4))),
            ("VERSION 1.6.18\r\n", Some(Line::Fence(16))),
            ("NS O12\r\n", Some(Line::Named(12))),
            ("NF k O4294967295\r\n", Some(Line::Named(u32::MAX))),
            ("NF O4294967296\r\n", Some(Line::Unnamed)),
            ("SERVER_ERROR O1\r\n", Some(Line::Unnamed)),
            ("ERROR\r\n", Some(Line::Unnamed)),
            ("\r\n", Some(Line::Unnamed)),
            ("MN\r", None),
            ("", None),
        ];
        for (bytes, wanted) in cases {
            assert_eq!(read(bytes.as_bytes()).unwrap(), wanted, "{bytes:?}");
        }
        assert!(read(&[b'x'; 4000]).is_err());
    }
}
