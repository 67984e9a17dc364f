//! Answers: where the answers of a call of many operations are kept: one array of records, and one block of memory for
//! all small values. Large values keep the memory that they were received into.

use crate::error::{Error, Status};
use crate::operation::{Answer, Sink, Value};

/// Values longer than this are not copied into the shared block.
const OWN_MEMORY: usize = 16 * 1024;

/// A value that was read, with what came along.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Item {
    pub value: Vec<u8>,
    /// The flags that it was stored with.
    pub flags: u32,
    /// What the codec found it to be ([`crate::value::ValueType`]); zero, bytes, where the client has no codec.
    pub value_type: u32,
    /// Its version; zero where it was not asked for.
    pub cas: u64,
    /// The counter after incr or decr.
    pub number: u64,
}

/// Where in `Answers` some bytes are.
#[derive(Clone, Copy, Debug)]
enum Place {
    Block { start: usize, len: usize },
    Own(usize),
}

impl Place {
    const NONE: Place = Place::Block { start: 0, len: 0 };
}

#[derive(Debug)]
struct Record {
    came: bool,
    status: Status,
    os_error: i32,
    flags: u32,
    value_type: u32,
    bits: u32,
    server: u32,
    cas: u64,
    number: u64,
    ttl: i64,
    size: u32,
    last_access: u32,
    fetched: bool,
    key: Place,
    value: Place,
    detail: Place,
}

impl Default for Record {
    fn default() -> Record {
        Record {
            came: false,
            status: Status::Bug,
            os_error: 0,
            flags: 0,
            value_type: 0,
            bits: 0,
            server: 0,
            cas: 0,
            number: 0,
            ttl: 0,
            size: 0,
            last_access: 0,
            fetched: false,
            key: Place::NONE,
            value: Place::NONE,
            detail: Place::NONE,
        }
    }
}

/// The answers of a call, in the order of its operations.
#[derive(Debug, Default)]
pub struct Answers {
    records: Vec<Record>,
    block: Vec<u8>,
    own: Vec<Vec<u8>>,
}

impl Answers {
    /// Room for `count` answers, each of which is a failure until it comes.
    pub fn new(count: usize) -> Answers {
        let mut answers = Answers { records: Vec::with_capacity(count), ..Answers::default() };
        answers.records.resize_with(count, Record::default);
        answers
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The answer of operation `index`, if there is such an operation.
    pub fn get(&self, index: usize) -> Option<Answer<'_>> {
        let record = self.records.get(index)?;
        Some(Answer {
            status: record.status,
            os_error: record.os_error,
            flags: record.flags,
            value_type: record.value_type,
            bits: record.bits,
            server: record.server,
            cas: record.cas,
            number: record.number,
            ttl: record.ttl,
            size: record.size,
            last_access: record.last_access,
            fetched: record.fetched,
            key: self.bytes(record.key),
            value: Value::Borrowed(self.bytes(record.value)),
            detail: self.bytes(record.detail),
        })
    }

    /// The answers in order.
    pub fn iter(&self) -> impl Iterator<Item = Answer<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Forgets all answers and makes room for `count` new ones, keeping its memory.
    pub(crate) fn reset(&mut self, count: usize) {
        self.records.clear();
        self.block.clear();
        self.own.clear();
        self.records.resize_with(count, Record::default);
    }

    /// Hands all answers that have come to `sink`, in order, and to `missing` the index of each that has not.
    pub(crate) fn hand_over(&mut self, sink: &mut dyn Sink, mut missing: impl FnMut(&mut dyn Sink, usize)) {
        let mut own = std::mem::take(&mut self.own);
        for (index, record) in self.records.iter().enumerate() {
            let Some(mut answer) = self.get(index).filter(|_| record.came) else {
                missing(sink, index);
                continue;
            };
            if let Place::Own(at) = record.value {
                answer.value = Value::Owned(own.get_mut(at).map(std::mem::take).unwrap_or_default());
            }
            sink.answer(index, answer);
        }
    }

    /// The first failure among them.
    pub fn first_error(&self) -> Option<Error> {
        self.iter().find_map(|answer| answer.error())
    }

    fn bytes(&self, place: Place) -> &[u8] {
        match place {
            Place::Block { start, len } => self.block.get(start..start + len).unwrap_or_default(),
            Place::Own(index) => self.own.get(index).map(Vec::as_slice).unwrap_or_default(),
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Place {
        let start = self.block.len();
        self.block.extend_from_slice(bytes);
        Place::Block { start, len: bytes.len() }
    }

    fn keep_value(&mut self, value: Value<'_>) -> Place {
        match value {
            Value::Borrowed(bytes) if bytes.len() <= OWN_MEMORY => self.keep(bytes),
            Value::Borrowed(bytes) => self.keep_own(bytes.to_vec()),
            Value::Owned(bytes) => self.keep_own(bytes),
            Value::Placed(_) | Value::Skipped(_) => Place::NONE,
        }
    }

    fn keep_own(&mut self, bytes: Vec<u8>) -> Place {
        self.own.push(bytes);
        Place::Own(self.own.len() - 1)
    }
}

impl Sink for Answers {
    fn answer(&mut self, index: usize, answer: Answer<'_>) {
        if index >= self.records.len() {
            return;
        }
        let (key, detail) = (self.keep(answer.key), self.keep(answer.detail));
        let value = self.keep_value(answer.value);
        self.records[index] = Record {
            came: true,
            status: answer.status,
            os_error: answer.os_error,
            flags: answer.flags,
            value_type: answer.value_type,
            bits: answer.bits,
            server: answer.server,
            cas: answer.cas,
            number: answer.number,
            ttl: answer.ttl,
            size: answer.size,
            last_access: answer.last_access,
            fetched: answer.fetched,
            key,
            value,
            detail,
        };
    }
}
