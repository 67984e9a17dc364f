//! Gets: the short way into a queue of what most operations are. A get of which nothing but the key matters goes on in the
//! `get` line that is being written; whatever else comes is made an [`Operation`] of and takes the usual way.

use super::records::Place;
use crate::error::Result;
use crate::operation::{op_flags, Operation};
use std::iter::Peekable;

/// A get of which nothing but this matters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Get<'a> {
    pub tag: u64,
    pub key: &'a [u8],
    /// Milliseconds; zero: the client's.
    pub timeout_ms: u32,
    /// [`op_flags`]: those of [`Get::FLAGS`].
    pub op_flags: u32,
}

impl Get<'_> {
    /// The flags that it may have.
    pub const FLAGS: u32 = op_flags::WANT_CAS | op_flags::EXPLICIT_FLAGS;
}

/// What all gets of one submit have in common.
pub(super) struct Terms {
    pub place: Place,
    /// In monotonic nanoseconds.
    pub now: u64,
    /// Milliseconds that one may take which says nothing of its own.
    pub timeout_ms: u32,
    /// The client has a codec.
    pub decodes: bool,
}

/// Operations to be submitted, in order, each with its tag.
pub(crate) trait Submitted<'a>: Iterator<Item = Result<(u64, Operation<'a>)>> {
    /// The one that comes next, if it is such a get; it still comes next.
    fn peek_get(&mut self) -> Option<Get<'a>>;

    /// Passes over the one that comes next.
    fn skip_get(&mut self);
}

/// Operations that stand in an array and are looked at one by one.
impl<'a, I: Iterator<Item = Result<(u64, Operation<'a>)>>> Submitted<'a> for Peekable<I> {
    #[inline]
    fn peek_get(&mut self) -> Option<Get<'a>> {
        let Some(Ok((tag, operation))) = self.peek() else { return None };
        let Operation { key, timeout_ms, op_flags, .. } = *operation;
        let is_get = operation.is_get_by_key() && op_flags & !Get::FLAGS == 0;
        is_get.then_some(Get { tag: *tag, key, timeout_ms, op_flags })
    }

    #[inline]
    fn skip_get(&mut self) {
        self.next();
    }
}
