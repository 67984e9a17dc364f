//! Status and errors: how a call went, and why.

use super::guard::quietly;
use crate::error::{Error, Status};
use once_cell::sync::Lazy;
use std::ffi::{CStr, CString};
use std::os::raw::c_char;

/// How a call went. Zero: done. Positive: the server said no, and nothing is wrong. Negative: it
/// failed. The numbers never change; more may come, and bmemc_status_text() of the library that is
/// running knows them.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum bmemc_status {
    /// Done; for a read: a hit.
    BMEMC_OK = 0,
    /// A miss: there is no such key.
    BMEMC_NOT_FOUND = 1,
    /// The condition of add, replace, append or prepend did not hold.
    BMEMC_NOT_STORED = 2,
    /// The item has changed since the cas that a write or a delete names was read.
    BMEMC_EXISTS = 3,
    /// An argument or an option is NULL, missing, too long or out of range; the message names it.
    BMEMC_E_ARGUMENT = -1,
    /// The deadline passed; the bits tell whether the server may have done it.
    BMEMC_E_TIMEOUT = -2,
    /// The server's name could not be looked up.
    BMEMC_E_DNS = -3,
    /// No connection could be made, or it was lost.
    BMEMC_E_CONNECTION = -4,
    /// TLS could not be agreed on, or the certificate was refused.
    BMEMC_E_TLS = -5,
    /// The server wants authentication, or refused it.
    BMEMC_E_AUTH = -6,
    /// The server sent what the protocol does not allow, or an answer to another request.
    BMEMC_E_PROTOCOL = -7,
    /// The server answered CLIENT_ERROR: it found the request malformed.
    BMEMC_E_CLIENT_ERROR = -8,
    /// The server answered SERVER_ERROR: it could not do it now.
    BMEMC_E_SERVER_ERROR = -9,
    /// The server does not know the command.
    BMEMC_E_UNKNOWN_COMMAND = -10,
    /// The value is larger than the server or this client takes.
    BMEMC_E_TOO_LARGE = -11,
    /// The caller's buffer is smaller than the value.
    BMEMC_E_BUFFER = -12,
    /// Too many operations are waiting already (option max_waiting).
    BMEMC_E_BUSY = -13,
    /// The value was received but could not be decoded.
    BMEMC_E_DECODE = -14,
    /// The caller cancelled the operation.
    BMEMC_E_CANCELLED = -15,
    /// The client was closed.
    BMEMC_E_CLOSED = -16,
    /// The handle was made before a fork(), in the parent.
    BMEMC_E_FORKED = -17,
    /// A bug in this library. The handle can only be freed.
    BMEMC_E_BUG = -18,
    /// The library, this kind of client or this protocol does not have it.
    BMEMC_E_UNSUPPORTED = -19,
}

/// Bits of `bmemc_error.bits` and `bmemc_item.bits`; more may come.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(dead_code, reason = "names for C of numbers")]
pub enum bmemc_bit {
    /// The request left this process in full. Without it, it was certainly not executed.
    BMEMC_BIT_SENT = 1,
    /// Not one byte of the request was sent: sending it again is safe.
    BMEMC_BIT_NOT_SENT = 2,
    /// The request may or may not have been executed, or may still be.
    BMEMC_BIT_UNKNOWN_OUTCOME = 4,
    /// Meta protocol: the item is stale.
    BMEMC_BIT_STALE = 8,
    /// Meta protocol: this caller won the right to refill the item.
    BMEMC_BIT_WIN = 16,
    /// Meta protocol: another caller has won the right to refill the item.
    BMEMC_BIT_WON_BY_OTHER = 32,
    /// Several servers were asked, as with mode=replicated, and their answers were not the same; this
    /// is the one that counts.
    BMEMC_BIT_PARTLY = 64,
}

/// What went wrong, in words. It lives with the caller, needs no initialisation, and is written in
/// full, and only, by a call that returns a negative status. Every parameter of this type may be
/// NULL. One thread at a time.
#[repr(C)]
pub struct bmemc_error {
    /// A bmemc_status, always negative.
    pub status: i32,
    /// errno of the system call that failed, else zero.
    pub os_error: i32,
    /// Of bmemc_bit: whether the request was sent.
    pub bits: u32,
    /// UTF-8: the value at fault and what is accepted. Cut where it is too long; always ends with a
    /// zero byte.
    pub message: [c_char; 244],
}

/// The version of the library that is running, as "1.2.3". Never NULL, never freed; any thread.
#[no_mangle]
pub extern "C" fn bmemc_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// A few words for a status, such as "timed out"; "unknown status" for a number that the library
/// does not know. Never NULL, never freed; any thread.
#[no_mangle]
pub extern "C" fn bmemc_status_text(status: i32) -> *const c_char {
    quietly(UNKNOWN.as_ptr(), || words(status).map_or(UNKNOWN, |words| &words.text).as_ptr())
}

/// The name of a status as it is written here, such as "BMEMC_E_TIMEOUT"; "unknown status" for a
/// number that the library does not know. Never NULL, never freed; any thread.
#[no_mangle]
pub extern "C" fn bmemc_status_name(status: i32) -> *const c_char {
    quietly(UNKNOWN.as_ptr(), || words(status).map_or(UNKNOWN, |words| &words.name).as_ptr())
}

impl From<Status> for bmemc_status {
    fn from(status: Status) -> bmemc_status {
        use bmemc_status::*;
        match status {
            Status::Ok => BMEMC_OK,
            Status::NotFound => BMEMC_NOT_FOUND,
            Status::NotStored => BMEMC_NOT_STORED,
            Status::Exists => BMEMC_EXISTS,
            Status::Argument => BMEMC_E_ARGUMENT,
            Status::Timeout => BMEMC_E_TIMEOUT,
            Status::Dns => BMEMC_E_DNS,
            Status::Connection => BMEMC_E_CONNECTION,
            Status::Tls => BMEMC_E_TLS,
            Status::Auth => BMEMC_E_AUTH,
            Status::Protocol => BMEMC_E_PROTOCOL,
            Status::ClientError => BMEMC_E_CLIENT_ERROR,
            Status::ServerError => BMEMC_E_SERVER_ERROR,
            Status::UnknownCommand => BMEMC_E_UNKNOWN_COMMAND,
            Status::TooLarge => BMEMC_E_TOO_LARGE,
            Status::Buffer => BMEMC_E_BUFFER,
            Status::Busy => BMEMC_E_BUSY,
            Status::Decode => BMEMC_E_DECODE,
            Status::Cancelled => BMEMC_E_CANCELLED,
            Status::Closed => BMEMC_E_CLOSED,
            Status::Forked => BMEMC_E_FORKED,
            Status::Bug => BMEMC_E_BUG,
            Status::Unsupported => BMEMC_E_UNSUPPORTED,
        }
    }
}

const UNKNOWN: &CStr = c"unknown status";

/// A status as C reads it.
struct Words {
    status: Status,
    name: CString,
    text: CString,
}

/// The words for a status; made once, because C's strings end in a zero byte and Rust's do not.
fn words(status: i32) -> Option<&'static Words> {
    static WORDS: Lazy<Vec<Words>> = Lazy::new(|| {
        let words = |status: Status| {
            let name = format!("{:?}", bmemc_status::from(status));
            Words { status, name: c_string(&name), text: c_string(status.text()) }
        };
        Status::ALL.into_iter().map(words).collect()
    });
    WORDS.iter().find(|words| words.status.code() == status)
}

/// A string as C reads it: up to its first zero byte.
pub(super) fn c_string(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

impl bmemc_error {
    /// That nothing has gone wrong.
    pub(super) const NONE: bmemc_error = bmemc_error { status: 0, os_error: 0, bits: 0, message: [0; 244] };
}

impl From<&Error> for bmemc_error {
    fn from(error: &Error) -> bmemc_error {
        let mut message = [0; 244];
        let mut end = error.message().len().min(message.len() - 1);
        while !error.message().is_char_boundary(end) {
            end -= 1;
        }
        for (to, from) in message.iter_mut().zip(&error.message().as_bytes()[..end]) {
            *to = *from as c_char;
        }
        bmemc_error { status: error.status().code(), os_error: error.os_error(), bits: error.bits(), message }
    }
}

#[cfg(test)]
impl bmemc_error {
    pub(super) fn text(&self) -> String {
        let bytes = self.message.iter().take_while(|byte| **byte != 0).map(|byte| *byte as u8);
        String::from_utf8(bytes.collect()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::bits;

    fn read(text: *const c_char) -> &'static str {
        // SAFETY: never NULL, never freed, ends with a zero byte.
        unsafe { CStr::from_ptr(text) }.to_str().unwrap()
    }

    #[test]
    fn a_status_has_one_number_one_name_and_one_text() {
        for status in Status::ALL {
            assert_eq!(bmemc_status::from(status) as i32, status.code());
            assert_eq!(read(bmemc_status_text(status.code())), status.text());
            let name = read(bmemc_status_name(status.code())).replace("BMEMC_", "").replace("E_", "").replace('_', "");
            assert_eq!(name, format!("{status:?}").to_uppercase());
        }
        for unknown in [4, -20, i32::MIN, i32::MAX] {
            assert_eq!(
                (read(bmemc_status_text(unknown)), read(bmemc_status_name(unknown))),
                ("unknown status", "unknown status")
            );
        }
        assert_eq!(read(bmemc_version()), crate::VERSION);
    }

    #[test]
    fn bits_are_those_of_the_core() {
        use bmemc_bit::*;
        let here = [
            BMEMC_BIT_SENT,
            BMEMC_BIT_NOT_SENT,
            BMEMC_BIT_UNKNOWN_OUTCOME,
            BMEMC_BIT_STALE,
            BMEMC_BIT_WIN,
            BMEMC_BIT_WON_BY_OTHER,
            BMEMC_BIT_PARTLY,
        ];
        let core = [
            bits::SENT,
            bits::NOT_SENT,
            bits::UNKNOWN_OUTCOME,
            bits::STALE,
            bits::WIN,
            bits::WON_BY_OTHER,
            bits::PARTLY,
        ];
        assert_eq!(here.map(|bit| bit as u32), core);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let error = bmemc_error::from(&Error::argument("\u{e9}".repeat(200)).with_os_error(5).with_bits(2));
        assert_eq!((error.status, error.os_error, error.bits), (-1, 5, 2));
        assert_eq!(error.text(), "\u{e9}".repeat(121));
    }
}
