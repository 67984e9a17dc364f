//! How the functions that C calls run their operations: one whose value is wanted, one whose status
//! is, many, and one whose value goes into a buffer of the caller's.

use super::bytes::bmemc_bytes;
use super::guard::{null, refused};
use super::results::{bmemc_results, bmemc_value, result_of, unanswered, Many, One};
use crate::client::Client;
use crate::error::{bits, Error, Result, Status};
use crate::operation::{Answer, Operation, Room, Sink, Value};

/// Runs one operation whose value is wanted.
pub(super) fn one(client: &Client, operation: Operation<'_>, out: &mut *mut bmemc_value) -> Result<Status> {
    let mut sink = One::default();
    client.execute(&[operation], &mut sink)?;
    let (status, value) = sink.finish().map_err(|error| operation.explain(error))?;
    *out = value;
    Ok(status)
}

/// Runs one operation of which only the status is wanted.
pub(super) fn outcome(client: &Client, operation: Operation<'_>) -> Result<Status> {
    let mut sink = Outcome { outcome: None };
    client.execute(&[operation], &mut sink)?;
    sink.outcome.unwrap_or_else(|| Err(unanswered())).map_err(|error| operation.explain(error))
}

/// Runs one operation of which only the counter is wanted.
pub(super) fn counted(client: &Client, operation: Operation<'_>, number: &mut u64) -> Result<Status> {
    let mut sink = Counted::default();
    client.execute(&[operation], &mut sink)?;
    *number = sink.number;
    sink.outcome.unwrap_or_else(|| Err(unanswered())).map_err(|error| operation.explain(error))
}

/// Runs many operations. One that cannot be made out of what C gave fails alone.
pub(super) fn many<'a>(
    client: &Client,
    count: usize,
    out: &mut *mut bmemc_results,
    operation: impl Fn(usize) -> Result<Operation<'a>>,
) -> Result<Status> {
    let mut answers = Many::new(count);
    let mut operations = Vec::with_capacity(count);
    for index in 0..count {
        match operation(index) {
            Ok(operation) => {
                answers.accept(index);
                operations.push(operation);
            }
            Err(error) => answers.refuse(index, &error),
        }
    }
    if !operations.is_empty() {
        client.execute(&operations, &mut answers)?;
    }
    *out = answers.into_results();
    Ok(Status::Ok)
}

/// Reads many keys.
pub(super) fn get_many(client: &Client, keys: &[bmemc_bytes], out: &mut *mut bmemc_results) -> Result<Status> {
    let Some(good) = slices(keys) else {
        // One of them fails alone.
        return many(client, keys.len(), out, |index| Ok(Operation::get(keys[index].slice("key")?)));
    };
    let mut answers = Many::new(keys.len());
    answers.accept_all();
    client.run_gets(&good, &mut answers)?;
    *out = answers.into_results();
    Ok(Status::Ok)
}

/// The keys, if each can be one.
#[inline(never)]
fn slices(keys: &[bmemc_bytes]) -> Option<Vec<&[u8]>> {
    // Filled first, which is cheaper than to look for each whether there is room.
    let mut slices: Vec<&[u8]> = vec![&[]; keys.len()];
    for (slice, key) in slices.iter_mut().zip(keys) {
        *slice = key.slice("key").ok()?;
    }
    Some(slices)
}

/// Takes an answer's status.
struct Outcome {
    outcome: Option<Result<Status>>,
}

impl Sink for Outcome {
    fn answer(&mut self, _index: usize, answer: Answer<'_>) {
        self.outcome = Some(result_of(&answer));
    }
}

/// Takes an answer's status and its number.
#[derive(Default)]
struct Counted {
    outcome: Option<Result<Status>>,
    number: u64,
}

impl Sink for Counted {
    fn answer(&mut self, _index: usize, answer: Answer<'_>) {
        self.outcome = Some(result_of(&answer));
        self.number = answer.number;
    }
}

/// A buffer of the caller's.
pub(super) fn writable<'a>(buffer: *mut u8, capacity: usize) -> Result<&'a mut [u8]> {
    if capacity == 0 {
        return Ok(&mut []);
    }
    if buffer.is_null() {
        return Err(null("buffer"));
    }
    if capacity > isize::MAX as usize {
        return Err(refused(format!("capacity is {capacity}, more than memory holds")));
    }
    // SAFETY: the contract of bmemc_get_into: so many bytes, the callee's during the call. They are only written.
    Ok(unsafe { std::slice::from_raw_parts_mut(buffer, capacity) })
}

/// Takes an answer into a buffer of the caller's.
pub(super) struct Into<'a> {
    buffer: &'a mut [u8],
    outcome: Option<Result<Status>>,
    pub len: usize,
    pub flags: u32,
}

impl<'a> Into<'a> {
    pub(super) fn new(buffer: &'a mut [u8]) -> Into<'a> {
        Into { buffer, outcome: None, len: 0, flags: 0 }
    }

    /// How it went; a value that is longer than the buffer is a failure.
    pub(super) fn finish(&mut self) -> Result<Status> {
        let status = self.outcome.take().unwrap_or_else(|| Err(unanswered()))?;
        if self.len > self.buffer.len() {
            let words = format!("the value has {} bytes and the buffer {}", self.len, self.buffer.len());
            return Err(Error::new(Status::Buffer, words).with_bits(bits::SENT));
        }
        Ok(status)
    }
}

impl Sink for Into<'_> {
    fn room(&mut self, _index: usize, _flags: u32, len: usize) -> Room<'_> {
        self.buffer.get_mut(..len).map_or(Room::Skip, Room::Here)
    }

    fn hit(&mut self, _index: usize, flags: u32, _cas: u64, value: &[u8]) {
        self.outcome = Some(Ok(Status::Ok));
        (self.len, self.flags) = (value.len(), flags);
        if let Some(place) = self.buffer.get_mut(..value.len()) {
            place.copy_from_slice(value);
        }
    }

    fn answer(&mut self, _index: usize, answer: Answer<'_>) {
        self.outcome = Some(result_of(&answer));
        if answer.status != Status::Ok {
            return;
        }
        (self.len, self.flags) = (answer.value.len(), answer.flags);
        let bytes = match &answer.value {
            Value::Borrowed(bytes) => *bytes,
            Value::Owned(bytes) => bytes.as_slice(),
            Value::Placed(_) | Value::Skipped(_) => return,
        };
        if let Some(place) = self.buffer.get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn into(capacity: usize, answer: impl FnOnce(&mut Into<'_>)) -> (Result<Status>, usize, u32, Vec<u8>) {
        let mut buffer = vec![b'.'; capacity];
        let mut sink = Into::new(&mut buffer);
        answer(&mut sink);
        let result = (sink.finish(), sink.len, sink.flags);
        (result.0, result.1, result.2, buffer)
    }

    fn hit(value: Value<'_>) -> Answer<'_> {
        Answer { flags: 7, value, ..Answer::new(Status::Ok) }
    }

    #[test]
    fn a_value_lands_in_the_buffer_from_wherever_it_came() {
        let (status, len, flags, buffer) = into(8, |sink| sink.answer(0, hit(Value::Borrowed(b"value"))));
        assert_eq!((status.unwrap(), len, flags, &buffer[..]), (Status::Ok, 5, 7, &b"value..."[..]));
        let (_, len, _, buffer) = into(5, |sink| sink.answer(0, hit(Value::Owned(b"value".to_vec()))));
        assert_eq!((len, &buffer[..]), (5, &b"value"[..]));
        let (_, len, _, buffer) = into(6, |sink| {
            let Room::Here(room) = sink.room(0, 7, 5) else { panic!("no room") };
            room.copy_from_slice(b"value");
            sink.answer(0, hit(Value::Placed(5)));
        });
        assert_eq!((len, &buffer[..]), (5, &b"value."[..]));
    }

    #[test]
    fn a_buffer_that_is_too_small_is_not_touched() {
        for (capacity, value) in
            [(4, Value::Borrowed(b"value")), (0, Value::Owned(b"value".to_vec())), (4, Value::Skipped(5))]
        {
            let (status, len, flags, buffer) = into(capacity, |sink| {
                assert!(matches!(sink.room(0, 7, 5), Room::Skip));
                sink.answer(0, hit(value));
            });
            let error = status.unwrap_err();
            assert_eq!((error.status(), len, flags, error.bits()), (Status::Buffer, 5, 7, bits::SENT));
            assert_eq!(error.message(), format!("the value has 5 bytes and the buffer {capacity}"));
            assert_eq!(buffer, vec![b'.'; capacity]);
        }
    }

    #[test]
    fn a_miss_and_a_failure_leave_length_and_flags_zero() {
        let (status, len, flags, _) = into(4, |sink| sink.answer(0, Answer::new(Status::NotFound)));
        assert_eq!((status.unwrap(), len, flags), (Status::NotFound, 0, 0));
        let late = Error::new(Status::Timeout, "too late");
        let (status, len, flags, _) = into(4, |sink| sink.answer(0, Answer::failed(&late)));
        assert_eq!((status.unwrap_err().status(), len, flags), (Status::Timeout, 0, 0));
        assert_eq!(into(4, |_| ()).0.unwrap_err().status(), Status::Bug);
    }
}
