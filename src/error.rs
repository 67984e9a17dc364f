//! How a call went: `Status`, the one list of outcomes that every layer and every language shares, and `Error`, a failure
//! with its words. Nothing here knows of sockets or protocols.

use std::borrow::Cow;

/// How an operation went. Zero: done. Positive: the server said no, and nothing is wrong. Negative: it failed.
/// The numbers are those of the C ABI and never change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(i32)]
pub enum Status {
    /// Done; for a read: a hit.
    Ok = 0,
    /// A miss: there is no such key.
    NotFound = 1,
    /// The condition of add, replace, append or prepend did not hold.
    NotStored = 2,
    /// The item has changed since the cas that a write or a delete names was read.
    Exists = 3,
    /// An argument or an option is missing, too long or out of range.
    Argument = -1,
    /// The deadline passed.
    Timeout = -2,
    /// The server's name could not be looked up.
    Dns = -3,
    /// No connection could be made, or it was lost.
    Connection = -4,
    /// TLS could not be agreed on, or the certificate was refused.
    Tls = -5,
    /// The server wants authentication, or refused it.
    Auth = -6,
    /// The server sent what the protocol does not allow, or an answer to another request.
    Protocol = -7,
    /// The server answered CLIENT_ERROR: it found the request malformed.
    ClientError = -8,
    /// The server answered SERVER_ERROR: it could not do it now.
    ServerError = -9,
    /// The server does not know the command.
    UnknownCommand = -10,
    /// The value is larger than the server or this client takes.
    TooLarge = -11,
    /// The caller's buffer is smaller than the value.
    Buffer = -12,
    /// Too many operations are waiting already.
    Busy = -13,
    /// The value was received but could not be decoded.
    Decode = -14,
    /// The caller cancelled the operation.
    Cancelled = -15,
    /// The client was closed.
    Closed = -16,
    /// The handle was made before a fork(), in the parent.
    Forked = -17,
    /// A bug in this library.
    Bug = -18,
    /// The library, this kind of client or this protocol does not have it.
    Unsupported = -19,
}

impl Status {
    /// Every status, in the order of the ABI.
    pub const ALL: [Status; 23] = [
        Status::Ok,
        Status::NotFound,
        Status::NotStored,
        Status::Exists,
        Status::Argument,
        Status::Timeout,
        Status::Dns,
        Status::Connection,
        Status::Tls,
        Status::Auth,
        Status::Protocol,
        Status::ClientError,
        Status::ServerError,
        Status::UnknownCommand,
        Status::TooLarge,
        Status::Buffer,
        Status::Busy,
        Status::Decode,
        Status::Cancelled,
        Status::Closed,
        Status::Forked,
        Status::Bug,
        Status::Unsupported,
    ];

    /// The status with this number.
    pub fn from_code(code: i32) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.code() == code)
    }

    /// The number that the C ABI uses.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// Whether the operation failed. A miss or a refusal is no failure.
    pub fn is_failure(self) -> bool {
        self.code() < 0
    }

    /// A few words for people.
    pub fn text(self) -> &'static str {
        match self {
            Status::Ok => "done",
            Status::NotFound => "not found",
            Status::NotStored => "not stored",
            Status::Exists => "exists",
            Status::Argument => "bad argument",
            Status::Timeout => "timed out",
            Status::Dns => "name lookup failed",
            Status::Connection => "connection failed",
            Status::Tls => "TLS failed",
            Status::Auth => "authentication failed",
            Status::Protocol => "protocol violated",
            Status::ClientError => "client error",
            Status::ServerError => "server error",
            Status::UnknownCommand => "unknown command",
            Status::TooLarge => "too large",
            Status::Buffer => "buffer too small",
            Status::Busy => "too busy",
            Status::Decode => "value cannot be decoded",
            Status::Cancelled => "cancelled",
            Status::Closed => "closed",
            Status::Forked => "forked",
            Status::Bug => "a bug in libbmemc",
            Status::Unsupported => "not supported",
        }
    }
}

/// Bits that tell more about an answer or a failure. The numbers are those of the C ABI.
pub mod bits {
    /// The request left this process in full. Without it, it was certainly not executed.
    pub const SENT: u32 = 1;
    /// Not one byte of the request was sent: sending it again is safe.
    pub const NOT_SENT: u32 = 2;
    /// The request may or may not have been executed, or may still be.
    pub const UNKNOWN_OUTCOME: u32 = 4;
    /// Meta: the item is stale.
    pub const STALE: u32 = 8;
    /// Meta: this caller won the right to refill the item.
    pub const WIN: u32 = 16;
    /// Meta: another caller has won the right to refill the item.
    pub const WON_BY_OTHER: u32 = 32;
    /// Several servers were asked, and their answers were not the same; this is the one that counts.
    pub const PARTLY: u32 = 64;
}

/// A failure, in words that name the value at fault and what is accepted.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    status: Status,
    os_error: i32,
    bits: u32,
    message: Cow<'static, str>,
}

/// What most calls return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure with a message.
    pub fn new(status: Status, message: impl Into<Cow<'static, str>>) -> Error {
        let message = message.into();
        Error { status, os_error: 0, bits: 0, message }
    }

    /// A bad argument.
    pub fn argument(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(Status::Argument, message)
    }

    /// A failed system call: the message ends in the system's own words.
    pub fn os(status: Status, what: impl std::fmt::Display, error: &std::io::Error) -> Error {
        let os_error = error.raw_os_error().unwrap_or(0);
        Error::new(status, format!("{what}: {error}")).with_os_error(os_error)
    }

    /// The same failure with an errno.
    pub fn with_os_error(mut self, os_error: i32) -> Error {
        self.os_error = os_error;
        self
    }

    /// The same failure with more `bits`.
    pub fn with_bits(mut self, bits: u32) -> Error {
        self.bits |= bits;
        self
    }

    /// The kind of failure; never `Ok` or a refusal.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The errno of the system call that failed, else zero.
    pub fn os_error(&self) -> i32 {
        self.os_error
    }

    /// What is known of the outcome: [`bits`].
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// What went wrong, in words.
    pub fn message(&self) -> &str {
        &self.message
    }
}
