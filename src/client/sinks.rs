//! Where the answers of the Rust client's own calls go.

use crate::answers::Item;
use crate::error::{bits, Error, Result, Status};
use crate::operation::{Answer, Room, Sink, Value};

fn unanswered() -> Error {
    Error::new(Status::Bug, "an operation got no answer")
}

/// The answer of a call with one operation.
#[derive(Default)]
pub(super) struct One {
    outcome: Option<Result<Status>>,
    item: Item,
}

impl One {
    /// How it went, and what came along.
    pub fn finish(self) -> Result<(Status, Item)> {
        let status = self.outcome.unwrap_or_else(|| Err(unanswered()))?;
        Ok((status, self.item))
    }
}

impl Sink for One {
    fn answer(&mut self, _index: usize, answer: Answer<'_>) {
        self.outcome = Some(answer.error().map_or(Ok(answer.status), Err));
        self.item.flags = answer.flags;
        self.item.value_type = answer.value_type;
        self.item.cas = answer.cas;
        self.item.number = answer.number;
        self.item.value = match answer.value {
            Value::Borrowed(bytes) => bytes.to_vec(),
            Value::Owned(bytes) => bytes,
            Value::Placed(_) | Value::Skipped(_) => Vec::new(),
        };
    }
}

/// The answer of a read into a buffer of the caller's.
pub(super) struct Place<'a> {
    buffer: &'a mut [u8],
    outcome: Option<Result<Status>>,
    len: usize,
    flags: u32,
}

impl<'a> Place<'a> {
    pub fn new(buffer: &'a mut [u8]) -> Place<'a> {
        Place { buffer, outcome: None, len: 0, flags: 0 }
    }

    /// Length and flags of a hit; `None` is a miss.
    pub fn finish(self) -> Result<Option<(usize, u32)>> {
        let status = self.outcome.unwrap_or_else(|| Err(unanswered()))?;
        let capacity = self.buffer.len();
        if status == Status::Ok && self.len > capacity {
            let words = format!("the value has {} bytes and the buffer {capacity}", self.len);
            return Err(Error::new(Status::Buffer, words).with_bits(bits::SENT));
        }
        Ok((status == Status::Ok).then_some((self.len, self.flags)))
    }
}

impl Sink for Place<'_> {
    fn room(&mut self, _index: usize, _flags: u32, len: usize) -> Room<'_> {
        self.buffer.get_mut(..len).map_or(Room::Skip, Room::Here)
    }

    fn answer(&mut self, _index: usize, answer: Answer<'_>) {
        self.outcome = Some(answer.error().map_or(Ok(answer.status), Err));
        (self.len, self.flags) = (answer.value.len(), answer.flags);
        let bytes = match &answer.value {
            Value::Borrowed(bytes) => bytes,
            Value::Owned(bytes) => bytes.as_slice(),
            Value::Placed(_) | Value::Skipped(_) => return,
        };
        if let Some(place) = self.buffer.get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}

/// Hands the answers of some operations of a call on by their indices in that call.
pub(super) struct Picked<'a> {
    pub sink: &'a mut dyn Sink,
    pub indices: &'a [usize],
}

impl Sink for Picked<'_> {
    fn room(&mut self, index: usize, flags: u32, len: usize) -> Room<'_> {
        self.indices.get(index).map_or(Room::Skip, |index| self.sink.room(*index, flags, len))
    }

    fn answer(&mut self, index: usize, answer: Answer<'_>) {
        if let Some(index) = self.indices.get(index) {
            self.sink.answer(*index, answer);
        }
    }
}
