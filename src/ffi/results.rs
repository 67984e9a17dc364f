//! Values and results: what was answered. An item is always reached by a pointer, so that it can
//! grow.

use super::arena::Arena;
use super::bytes::bmemc_bytes;
use super::guard::quietly;
use crate::client::Hit;
use crate::error::{bits, Error, Result, Status};
use crate::operation::{Answer, Room, Sink, Value};
use std::mem::MaybeUninit;
use std::ptr;

/// Everything that an operation can be answered; what it was not is zero or empty. Borrowed from
/// the bmemc_value or the bmemc_results that it belongs to, and never written to.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bmemc_item {
    /// A bmemc_status. Where it is negative, `detail` tells why, `os_error` and `bits` are as in
    /// bmemc_error.
    pub status: i32,
    /// errno of the system call that failed, else zero.
    pub os_error: i32,
    /// The flags that the item was stored with.
    pub flags: u32,
    /// A bmemc_value_type: what the codec found the value to be (chapter 13); bytes where the client
    /// has no codec.
    pub value_type: u32,
    /// Index of the server that answered, from zero.
    pub server: u32,
    /// Of bmemc_bit.
    pub bits: u32,
    /// The item's version, for compare-and-swap; zero where the protocol gave none (ask with
    /// BMEMC_FLAG_WANT_CAS; text tells it with reads alone), or the server keeps none.
    pub cas: u64,
    /// The counter after increment or decrement.
    pub number: u64,
    /// Seconds that the item has left, -1 for ever; zero where it was not asked for (meta flag `t`).
    pub ttl: i64,
    /// The key, where the answer is about one that the operation did not name.
    pub key: bmemc_bytes,
    pub value: bmemc_bytes,
    /// The server's own words; this library's where it failed.
    pub detail: bmemc_bytes,
    /// Bytes of the value; zero where meta flag `s` did not ask for it.
    pub size: u32,
    /// Seconds since the item was last read; zero where meta flag `l` did not ask for it.
    pub last_access: u32,
    /// 1: the item was read before; zero where meta flag `h` did not ask for it, too.
    pub fetched: u32,
    /// Zero.
    pub reserved: [u32; 3],
}

/// One item and its bytes. Any number of threads may look at it; any one may free it.
pub struct bmemc_value {
    item: bmemc_item,
    _bytes: Vec<u8>,
}

/// Items and their bytes. Any number of threads may look at it; any one may free it.
pub struct bmemc_results {
    items: Vec<bmemc_item>,
    _bytes: Arena,
}

/// The item of a value, borrowed from it: gone once the value is freed. NULL for NULL.
#[no_mangle]
pub extern "C" fn bmemc_value_item(value: Option<&bmemc_value>) -> *const bmemc_item {
    value.map_or(ptr::null(), |value| &value.item)
}

/// Frees a value, its item and its bytes. It does not need its client any more.
#[no_mangle]
pub extern "C" fn bmemc_value_free(value: Option<Box<bmemc_value>>) {
    quietly((), || drop(value));
}

/// The items in the order of what was asked, `*count` of them, borrowed from the results: gone once
/// they are freed. NULL and a count of zero for NULL; `count` may not be NULL: then the answer is
/// NULL.
#[no_mangle]
pub extern "C" fn bmemc_results_items(
    results: Option<&bmemc_results>,
    count: Option<&mut MaybeUninit<usize>>,
) -> *const bmemc_item {
    let Some(count) = count else { return ptr::null() };
    let Some(results) = results else {
        count.write(0);
        return ptr::null();
    };
    count.write(results.items.len());
    results.items.as_ptr()
}

/// Frees results, their items and their bytes. They do not need their client any more.
#[no_mangle]
pub extern "C" fn bmemc_results_free(results: Option<Box<bmemc_results>>) {
    quietly((), || drop(results));
}

// SAFETY: the item points to `_bytes`, which move with it and which nobody changes; it may be freed on any thread.
unsafe impl Send for bmemc_value {}
// SAFETY: as above: shared, it is only read.
unsafe impl Sync for bmemc_value {}
// SAFETY: the items point to `_bytes`, which move with them and which nobody changes; they may be freed on any thread.
unsafe impl Send for bmemc_results {}
// SAFETY: as above: shared, they are only read.
unsafe impl Sync for bmemc_results {}

impl bmemc_item {
    /// An item with all of an answer but its bytes, and with these.
    #[inline]
    fn new(answer: &Answer<'_>, key: bmemc_bytes, detail: bmemc_bytes) -> bmemc_item {
        bmemc_item {
            status: answer.status.code(),
            os_error: answer.os_error,
            flags: answer.flags,
            value_type: answer.value_type,
            server: answer.server,
            bits: answer.bits,
            cas: answer.cas,
            number: answer.number,
            ttl: answer.ttl,
            key,
            value: bmemc_bytes::EMPTY,
            detail,
            size: answer.size,
            last_access: answer.last_access,
            fetched: answer.fetched.into(),
            reserved: [0; 3],
        }
    }
}

impl bmemc_item {
    /// An item whose bytes are the answer's; it has no value.
    pub(super) fn borrowed(answer: &Answer<'_>) -> bmemc_item {
        bmemc_item::new(answer, bmemc_bytes::of(answer.key), bmemc_bytes::of(answer.detail))
    }

    /// The item of a hit whose value is there.
    #[inline(always)]
    pub(super) fn of_hit(hit: &Hit<'_>, value: bmemc_bytes) -> bmemc_item {
        bmemc_item {
            status: Status::Ok.code(),
            os_error: 0,
            flags: hit.flags,
            value_type: hit.value_type,
            server: hit.server,
            bits: bits::SENT,
            cas: hit.cas,
            number: 0,
            ttl: 0,
            key: bmemc_bytes::EMPTY,
            value,
            detail: bmemc_bytes::EMPTY,
            size: 0,
            last_access: 0,
            fetched: 0,
            reserved: [0; 3],
        }
    }
}

impl bmemc_value {
    /// An answer, with `bytes` for its value.
    fn new(answer: &Answer<'_>, mut bytes: Vec<u8>) -> Box<bmemc_value> {
        let mut item = bmemc_item::new(answer, bmemc_bytes::EMPTY, bmemc_bytes::EMPTY);
        let value = bytes.len();
        bytes.extend_from_slice(answer.key);
        bytes.extend_from_slice(answer.detail);
        let (value, rest) = bytes.split_at(value);
        let (key, detail) = rest.split_at(answer.key.len());
        (item.value, item.key, item.detail) = (bmemc_bytes::of(value), bmemc_bytes::of(key), bmemc_bytes::of(detail));
        Box::new(bmemc_value { item, _bytes: bytes })
    }
}

/// An answer that is a value of the caller's.
pub(super) fn value_of(mut answer: Answer<'_>) -> *mut bmemc_value {
    let bytes = bytes_of(std::mem::replace(&mut answer.value, Value::NONE));
    Box::into_raw(bmemc_value::new(&answer, bytes))
}

fn bytes_of(value: Value<'_>) -> Vec<u8> {
    match value {
        Value::Borrowed(value) => value.to_vec(),
        Value::Owned(value) => value,
        Value::Placed(_) | Value::Skipped(_) => Vec::new(),
    }
}

/// The item of an answer, and the value that owns its bytes; NULL where it has none.
pub(super) fn item_and_owner(mut answer: Answer<'_>) -> (bmemc_item, *mut bmemc_value) {
    let bytes = bytes_of(std::mem::replace(&mut answer.value, Value::NONE));
    if bytes.is_empty() && answer.key.is_empty() && answer.detail.is_empty() {
        return (bmemc_item::new(&answer, bmemc_bytes::EMPTY, bmemc_bytes::EMPTY), ptr::null_mut());
    }
    let owner = bmemc_value::new(&answer, bytes);
    (owner.item, Box::into_raw(owner))
}

const UNANSWERED: &str = "a bug in libbmemc: an operation got no answer";

/// The failure of an operation that the engine forgot.
pub(super) fn unanswered() -> Error {
    Error::new(Status::Bug, UNANSWERED)
}

/// The status of an answer, or the failure that it tells of.
#[inline]
pub(super) fn result_of(answer: &Answer<'_>) -> Result<Status> {
    match answer.error() {
        Some(error) => Err(error),
        None => Ok(answer.status),
    }
}

/// Takes the answer of one operation and makes a bmemc_value of it.
#[derive(Default)]
pub(super) struct One {
    outcome: Option<Result<Status>>,
    bytes: Vec<u8>,
    value: Option<Box<bmemc_value>>,
}

impl One {
    /// How the operation went, and the value if there is one.
    pub(super) fn finish(self) -> Result<(Status, *mut bmemc_value)> {
        let status = self.outcome.unwrap_or_else(|| Err(unanswered()))?;
        Ok((status, self.value.map_or(ptr::null_mut(), Box::into_raw)))
    }

    fn keep(&mut self, mut answer: Answer<'_>) {
        let bytes = match std::mem::replace(&mut answer.value, Value::NONE) {
            Value::Borrowed(value) => value.to_vec(),
            Value::Owned(value) => value,
            Value::Placed(len) => {
                self.bytes.truncate(len);
                std::mem::take(&mut self.bytes)
            }
            Value::Skipped(_) => Vec::new(),
        };
        self.value = Some(bmemc_value::new(&answer, bytes));
    }
}

impl Sink for One {
    fn room(&mut self, _index: usize, _flags: u32, len: usize) -> Room<'_> {
        if self.bytes.len() != len {
            self.bytes = vec![0; len];
        }
        Room::Here(&mut self.bytes)
    }

    fn answer(&mut self, _index: usize, answer: Answer<'_>) {
        self.value = None;
        self.outcome = Some(result_of(&answer));
        if answer.status == Status::Ok {
            self.keep(answer);
        }
    }
}

/// Takes the answers of many operations and makes bmemc_results of them: one pass, and every
/// pointer is final at once.
pub(super) struct Many {
    items: Vec<bmemc_item>,
    arena: Arena,
    /// The item of each operation that the engine was given; empty while that is the one of the same index.
    places: Vec<usize>,
    /// How many operations the engine was given.
    accepted: usize,
    /// Values that are being received, by their operations.
    rooms: Vec<(usize, Vec<u8>)>,
}

impl Many {
    /// Room for `count` items, each of which is a failure until its answer comes.
    pub(super) fn new(count: usize) -> Many {
        let words = bmemc_bytes::of(UNANSWERED.as_bytes());
        let item = bmemc_item::new(&Answer::new(Status::Bug), bmemc_bytes::EMPTY, words);
        let arena = Arena::new(count.saturating_mul(128));
        Many { items: vec![item; count], arena, places: Vec::new(), accepted: 0, rooms: Vec::new() }
    }

    /// The next operation that the engine is given is that of item `index`.
    #[inline]
    pub(super) fn accept(&mut self, index: usize) {
        if index != self.accepted {
            self.accept_behind_refused(index);
        }
        self.accepted += 1;
    }

    /// The engine is given the operation of each item.
    pub(super) fn accept_all(&mut self) {
        self.accepted = self.items.len();
    }

    #[cold]
    fn accept_behind_refused(&mut self, index: usize) {
        if self.places.is_empty() {
            self.places.extend(0..self.accepted);
        }
        self.places.push(index);
    }

    /// The item of an operation that the engine was given.
    #[inline]
    fn place(&self, operation: usize) -> Option<usize> {
        match self.places.is_empty() {
            true => Some(operation),
            false => self.places.get(operation).copied(),
        }
    }

    /// The operation of item `index` cannot be given to the engine.
    pub(super) fn refuse(&mut self, index: usize, error: &Error) {
        self.fill(index, Answer::failed(error));
    }

    pub(super) fn into_results(self) -> *mut bmemc_results {
        Box::into_raw(Box::new(bmemc_results { items: self.items, _bytes: self.arena }))
    }

    fn fill(&mut self, index: usize, answer: Answer<'_>) {
        let Some(item) = self.items.get_mut(index) else { return };
        *item = bmemc_item::new(&answer, self.arena.copy(answer.key), self.arena.copy(answer.detail));
        item.value = match answer.value {
            Value::Borrowed(bytes) => self.arena.copy(bytes),
            Value::Owned(bytes) => self.arena.take(bytes),
            Value::Placed(_) | Value::Skipped(_) => bmemc_bytes::EMPTY,
        };
    }
}

impl Sink for Many {
    fn room(&mut self, index: usize, _flags: u32, len: usize) -> Room<'_> {
        if index >= self.accepted {
            return Room::Skip;
        }
        let at = self.rooms.iter().position(|(asked, _)| *asked == index).unwrap_or_else(|| {
            self.rooms.push((index, vec![0; len]));
            self.rooms.len() - 1
        });
        Room::Here(&mut self.rooms[at].1)
    }

    fn hit(&mut self, index: usize, flags: u32, cas: u64, value: &[u8]) {
        let Some(item) = self.place(index).and_then(|place| self.items.get_mut(place)) else { return };
        (item.status, item.flags, item.cas, item.bits) = (Status::Ok.code(), flags, cas, bits::SENT);
        (item.value, item.detail) = (self.arena.copy(value), bmemc_bytes::EMPTY);
    }

    fn answer(&mut self, index: usize, answer: Answer<'_>) {
        let Some(place) = self.place(index) else { return };
        let room = self.rooms.iter().position(|(asked, _)| *asked == index).map(|at| self.rooms.swap_remove(at).1);
        match (room, &answer.value) {
            (Some(bytes), Value::Placed(_)) => self.fill(place, Answer { value: Value::Owned(bytes), ..answer }),
            _ => self.fill(place, answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::guard::refused;
    use super::*;
    use crate::error::bits;

    fn hit(value: Value<'_>) -> Answer<'_> {
        Answer { flags: 7, cas: 9, server: 2, key: b"key", value, detail: b"words", ..Answer::new(Status::Ok) }
    }

    fn check_hit(item: &bmemc_item, value: &[u8]) {
        assert_eq!((item.status, item.flags, item.cas, item.server, item.reserved), (0, 7, 9, 2, [0; 3]));
        assert_eq!(item.value.slice("value").unwrap(), value);
        assert_eq!(item.key.slice("key").unwrap(), b"key");
        assert_eq!(item.detail.slice("detail").unwrap(), b"words");
    }

    fn place(sink: &mut dyn Sink, index: usize, bytes: &[u8]) {
        let Room::Here(room) = sink.room(index, 0, bytes.len()) else { panic!("no room") };
        room.copy_from_slice(bytes);
    }

    fn finished(sink: One) -> Box<bmemc_value> {
        let (status, value) = sink.finish().unwrap();
        assert_eq!(status, Status::Ok);
        // SAFETY: it was made just now, and is freed here alone.
        unsafe { Box::from_raw(value) }
    }

    #[test]
    fn one_keeps_its_bytes_wherever_they_came_from() {
        let large = vec![b'x'; 100_000];
        for value in [&b""[..], b"v", &large] {
            let (mut borrowed, mut owned, mut placed) = (One::default(), One::default(), One::default());
            borrowed.answer(0, hit(Value::Borrowed(value)));
            owned.answer(0, hit(Value::Owned(value.to_vec())));
            place(&mut placed, 0, value);
            placed.answer(0, hit(Value::Placed(value.len())));
            for sink in [borrowed, owned, placed] {
                check_hit(&finished(sink).item, value);
            }
        }
    }

    #[test]
    fn one_without_a_value_has_none() {
        let mut miss = One::default();
        miss.answer(0, Answer::new(Status::NotFound));
        assert!(matches!(miss.finish(), Ok((Status::NotFound, value)) if value.is_null()));
        let mut lost = One::default();
        place(&mut lost, 0, b"half a val");
        let error = Error::new(Status::Connection, "127.0.0.1:1: lost").with_os_error(104).with_bits(bits::SENT);
        lost.answer(0, Answer::failed(&error));
        let got = lost.finish().unwrap_err();
        assert_eq!(
            (got.status(), got.os_error(), got.bits(), got.message()),
            (Status::Connection, 104, 1, error.message())
        );
        assert_eq!(One::default().finish().unwrap_err().status(), Status::Bug);
    }

    #[test]
    fn many_answers_find_their_items() {
        let large = vec![b'y'; 100_000];
        let mut sink = Many::new(7);
        sink.refuse(1, &refused("opcode is 99".into()));
        for index in [0, 2, 3, 4, 5, 6] {
            sink.accept(index);
        }
        place(&mut sink, 2, b"placed");
        place(&mut sink, 4, b"half a val");
        sink.answer(4, Answer::failed(&Error::new(Status::Timeout, "too late")));
        sink.answer(3, hit(Value::Owned(large.clone())));
        sink.answer(1, hit(Value::Borrowed(b"borrowed")));
        sink.answer(2, hit(Value::Placed(6)));
        sink.answer(0, Answer::new(Status::NotFound));
        sink.answer(99, hit(Value::NONE));
        // SAFETY: they were made just now, and are freed here alone.
        let results = unsafe { Box::from_raw(sink.into_results()) };
        let items = &results.items;
        let status: Vec<i32> = items.iter().map(|item| item.status).collect();
        assert_eq!(status, [1, -1, 0, 0, 0, -2, -18]);
        check_hit(&items[2], b"borrowed");
        check_hit(&items[3], b"placed");
        check_hit(&items[4], &large);
        for (index, words) in [(1, "opcode is 99"), (5, "too late"), (6, UNANSWERED)] {
            assert_eq!(items[index].detail.slice("detail").unwrap(), words.as_bytes());
            assert_eq!(items[index].value.slice("value").unwrap(), b"");
        }
        assert_eq!(items[1].bits, bits::NOT_SENT);
    }
}
