//! A value that is longer than the receive buffer, on its way to where it belongs.

use super::buffer::Buffer;
use crate::operation::{Answer, Room, Value};
use crate::protocol::Head;
use std::io;

/// A collected value grows from here as it comes, so that a length that was only announced takes no memory.
const STEP: usize = 1024 * 1024;

/// Where the bytes go.
enum Target {
    /// Where the owner says; it is asked each time, since it may leave.
    Place,
    Collect(Vec<u8>),
    Skip,
}

/// See the module.
pub(super) struct Body {
    /// The answer but for its value and its key.
    answer: Answer<'static>,
    /// The key that came with it, where it was asked for.
    pub key: Vec<u8>,
    /// Bytes of line end that follow the value.
    pub tail: usize,
    pub close: bool,
    is_detail: bool,
    len: usize,
    filled: usize,
    target: Target,
}

/// One system call's worth of receiving: into the first part, then the second; the flag says that just so many bytes are
/// certain to come.
pub type Receive<'a> = &'a mut dyn FnMut(&mut [u8], &mut [u8], bool) -> io::Result<usize>;

impl Body {
    /// The value whose head this is; `answer` is what else it says, `room` where its owner wants it.
    pub fn new(head: &Head<'_>, answer: Answer<'static>, room: Room<'_>) -> Body {
        let target = match room {
            _ if head.body_is_detail => Target::Collect(Vec::new()),
            Room::Here(_) => Target::Place,
            Room::Collect => Target::Collect(Vec::new()),
            Room::Skip => Target::Skip,
        };
        Body {
            answer,
            key: Vec::new(),
            tail: head.tail,
            close: head.close,
            is_detail: head.body_is_detail,
            len: head.body,
            filled: 0,
            target,
        }
    }

    pub fn is_complete(&self) -> bool {
        self.filled == self.len
    }

    pub fn flags(&self) -> u32 {
        self.answer.flags
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Takes over the part of the value that is in the buffer already.
    pub fn take(&mut self, buffer: &mut Buffer, room: Room<'_>) {
        let there = (self.len - self.filled).min(buffer.len());
        let bytes = &buffer.bytes()[..there];
        match (&mut self.target, room) {
            (Target::Place, Room::Here(place)) if place.len() == self.len => {
                place[self.filled..self.filled + there].copy_from_slice(bytes);
            }
            (Target::Collect(kept), _) => kept.extend_from_slice(bytes),
            (target, _) => *target = Target::Skip,
        }
        self.filled += there;
        buffer.consume(there);
    }

    /// Receives more of the value straight to where it goes, and into the buffer what comes behind it. `after` bytes
    /// must follow it before anything else may; where `alone`, nothing else is awaited.
    pub fn receive(
        &mut self,
        buffer: &mut Buffer,
        room: Room<'_>,
        after: usize,
        alone: bool,
        receive: Receive<'_>,
    ) -> io::Result<usize> {
        let rest = self.len - self.filled;
        let spare = buffer.spare();
        let behind = if alone { after.min(spare.len()) } else { spare.len() };
        let came = match (&mut self.target, room) {
            (Target::Place, Room::Here(place)) if place.len() == self.len => {
                receive(&mut place[self.filled..], &mut spare[..behind], alone)?
            }
            (Target::Collect(kept), _) => {
                let step = rest.min(STEP.max(self.filled));
                kept.try_reserve_exact(step).map_err(|_| io::ErrorKind::OutOfMemory)?;
                kept.resize(self.filled + step, 0);
                let behind = if step == rest { behind } else { 0 };
                let came = receive(&mut kept[self.filled..], &mut spare[..behind], alone);
                kept.truncate(self.filled + came.as_ref().map_or(0, |came| step.min(*came)));
                came?
            }
            (target, _) => {
                *target = Target::Skip;
                let came = receive(spare, &mut [], false)?;
                buffer.received(came);
                return Ok(came);
            }
        };
        self.filled += came.min(rest);
        buffer.received(came.saturating_sub(rest));
        Ok(came)
    }

    /// The answer, complete.
    pub fn finish(self, hand_out: impl FnOnce(Answer<'_>)) {
        let answer = Answer { key: &self.key, ..self.answer };
        match (self.target, self.is_detail) {
            (Target::Collect(words), true) => hand_out(Answer { detail: &words, ..answer }),
            (Target::Collect(bytes), false) => hand_out(Answer { value: Value::Owned(bytes), ..answer }),
            (Target::Place, _) => hand_out(Answer { value: Value::Placed(self.len), ..answer }),
            (Target::Skip, _) => hand_out(Answer { value: Value::Skipped(self.len), ..answer }),
        }
    }
}
