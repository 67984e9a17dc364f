//! Frames of the binary protocol before a connection is used: few, one at a time, and small.

use super::Message;
use crate::protocol::binary::{HEADER, REQUEST, RESPONSE};
use crate::protocol::Violation;

/// Opcodes, as the server numbers them.
pub const NOOP: u8 = 0x0a;
pub const VERSION: u8 = 0x0b;
pub const LIST: u8 = 0x20;
pub const AUTH: u8 = 0x21;
pub const STEP: u8 = 0x22;

/// Every request's opaque ends a line: a server that reads lines answers too, and at once, instead of waiting for the end
/// of this one.
const OPAQUE: [u8; 4] = *b"\0\0\r\n";

/// The longest body that a server may send; a challenge has about a hundred bytes.
const MAX_BODY: usize = 4096;

/// A request.
pub fn request(opcode: u8, key: &str, value: &[u8]) -> Message {
    let mut out = Message::new(Vec::with_capacity(HEADER + key.len() + value.len()));
    out.extend_from_slice(&[REQUEST, opcode]);
    out.extend_from_slice(&(key.len() as u16).to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&((key.len() + value.len()) as u32).to_be_bytes());
    out.extend_from_slice(&OPAQUE);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(value);
    out
}

/// A reply.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    pub code: u16,
    pub body: &'a [u8],
}

/// Reads the reply to the request with this opcode, which is all that `bytes` may have; `None` while it is not whole.
pub fn reply(opcode: u8, bytes: &[u8]) -> Result<Option<Reply<'_>>, Violation> {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    let body = u32::from_be_bytes([header[8], header[9], header[10], header[11]]) as usize;
    let fixed = usize::from(u16::from_be_bytes([header[2], header[3]])) + usize::from(header[4]);
    if header[0] != RESPONSE || header[1] != opcode || header[12..16] != OPAQUE {
        return Err(Violation::quoting("a reply that answers something else", bytes));
    }
    if body > MAX_BODY || fixed > body {
        return Err(Violation::quoting("a reply of impossible length", bytes));
    }
    match bytes.len() - HEADER {
        came if came < body => Ok(None),
        came if came > body => Err(Violation::quoting("more than was asked for", bytes)),
        _ => {
            let code = u16::from_be_bytes([header[6], header[7]]);
            Ok(Some(Reply { code, body: &bytes[HEADER + fixed..] }))
        }
    }
}
