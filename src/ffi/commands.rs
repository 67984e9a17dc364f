//! Commands: shorthands for what is wanted most, with the client's defaults. Each is one of chapter
//! 7's operations; what cannot be told here (cas, a deadline of its own, no reply ...) is said
//! there. Keys have 1 to 250 bytes; over the text and meta protocols without spaces and control
//! characters, over binary any bytes.

use super::bytes::bmemc_bytes;
use super::client::bmemc_client;
use super::guard::{array, guard, handle, null, number, place, refused};
use super::results::{bmemc_results, bmemc_value, result_of, unanswered, Many, One};
use super::status::{bmemc_error, bmemc_status};
use crate::client::Client;
use crate::error::{bits, Error, Result, Status};
use crate::operation::{Answer, Operation, Room, Sink, Value};
use std::mem::MaybeUninit;

/// Reads the value of a key. On BMEMC_OK `*out` is the caller's, to be freed. BMEMC_NOT_FOUND: a
/// miss, `*out` is NULL.
#[no_mangle]
pub extern "C" fn bmemc_get(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    out: Option<&mut MaybeUninit<*mut bmemc_value>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        let client = handle(client, "client")?;
        one(&client.client, Operation::get(key.slice("key")?), out)
    })
}

/// Reads the value of a key into `buffer`, of `capacity` bytes: nothing is allocated. `*len`
/// becomes the length of the value and `*flags` (which may be NULL) the item's flags; zero unless
/// the status is BMEMC_OK or BMEMC_E_BUFFER. `buffer` may be NULL where `capacity` is zero.
/// BMEMC_NOT_FOUND: a miss. BMEMC_E_BUFFER: `capacity` is less than `*len`; the buffer's content is
/// undefined, and the connection is kept. A codec decodes first (chapter 12): `*len` is what the
/// value has then, and memory is allocated for a compressed one.
#[no_mangle]
pub extern "C" fn bmemc_get_into(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    buffer: *mut u8,
    capacity: usize,
    len: Option<&mut MaybeUninit<usize>>,
    flags: Option<&mut MaybeUninit<u32>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let flags = flags.map(|flags| flags.write(0));
        let len = number(len, "len")?;
        let client = handle(client, "client")?;
        let mut sink = Into { buffer: writable(buffer, capacity)?, outcome: None, len: 0, flags: 0 };
        client.client.execute(&[Operation::get(key.slice("key")?)], &mut sink)?;
        let result = sink.finish();
        *len = sink.len;
        if let Some(flags) = flags {
            *flags = sink.flags;
        }
        result
    })
}

/// Reads many keys in as few round trips as possible. Item `i` answers `keys[i]`, a miss and a
/// failure too: each has its own status, and BMEMC_OK says only that there are results, which are
/// the caller's, to be freed. `keys` may be NULL where `count` is zero.
#[no_mangle]
pub extern "C" fn bmemc_get_many(
    client: Option<&bmemc_client>,
    keys: *const bmemc_bytes,
    count: usize,
    out: Option<&mut MaybeUninit<*mut bmemc_results>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        let client = handle(client, "client")?;
        // SAFETY: the function's contract: NULL or `count` keys, which stay as they are during the call.
        let keys = unsafe { array(keys, count, "keys") }?;
        many(&client.client, count, out, |index| Ok(Operation::get(keys[index].slice("key")?)))
    })
}

/// Stores a value, whatever was there before. `flags`: any number, which comes back with the value;
/// zero where the client has a codec, for which the value is bytes.
/// `ttl`: seconds to live; 0: until evicted; negative: gone at once; up to 999,999,999: from now
/// on, over 30 days too; from 1,000,000,000 on: a Unix time.
/// BMEMC_E_TOO_LARGE: the value is larger than the server takes (memcached's -I) or than option
/// max_value_bytes.
#[no_mangle]
pub extern "C" fn bmemc_set(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    value: bmemc_bytes,
    flags: u32,
    ttl: i64,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let client = handle(client, "client")?;
        let operation = Operation { flags, ..Operation::set(key.slice("key")?, value.slice("value")?, ttl) };
        outcome(&client.client, operation)
    })
}

/// Stores many values in as few round trips as possible, all with the same `flags` and `ttl` (as
/// bmemc_set()): `values[i]` under `keys[i]`. Results as those of bmemc_get_many(). Values with a
/// cas, or a ttl, of their own: bmemc_execute().
#[no_mangle]
pub extern "C" fn bmemc_set_many(
    client: Option<&bmemc_client>,
    keys: *const bmemc_bytes,
    values: *const bmemc_bytes,
    count: usize,
    flags: u32,
    ttl: i64,
    out: Option<&mut MaybeUninit<*mut bmemc_results>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        let client = handle(client, "client")?;
        // SAFETY: the function's contract: NULL or `count` of each, which stay as they are during the call.
        let (keys, values) = unsafe { (array(keys, count, "keys")?, array(values, count, "values")?) };
        many(&client.client, count, out, |index| {
            let (key, value) = (keys[index].slice("key")?, values[index].slice("value")?);
            Ok(Operation { flags, ..Operation::set(key, value, ttl) })
        })
    })
}

/// Deletes a key. BMEMC_NOT_FOUND: there was none.
#[no_mangle]
pub extern "C" fn bmemc_delete(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let client = handle(client, "client")?;
        outcome(&client.client, Operation::delete(key.slice("key")?))
    })
}

/// Deletes many keys in as few round trips as possible. Results as those of bmemc_get_many().
#[no_mangle]
pub extern "C" fn bmemc_delete_many(
    client: Option<&bmemc_client>,
    keys: *const bmemc_bytes,
    count: usize,
    out: Option<&mut MaybeUninit<*mut bmemc_results>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        let client = handle(client, "client")?;
        // SAFETY: the function's contract: NULL or `count` keys, which stay as they are during the call.
        let keys = unsafe { array(keys, count, "keys") }?;
        many(&client.client, count, out, |index| Ok(Operation::delete(keys[index].slice("key")?)))
    })
}

/// Asks the server for its version: the item's `value` is text such as "1.6.18". On BMEMC_OK `*out`
/// is the caller's, to be freed.
#[no_mangle]
pub extern "C" fn bmemc_client_version(
    client: Option<&bmemc_client>,
    out: Option<&mut MaybeUninit<*mut bmemc_value>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        one(&handle(client, "client")?.client, Operation::version(), out)
    })
}

/// Runs one operation whose value is wanted.
pub(super) fn one(client: &Client, operation: Operation<'_>, out: &mut *mut bmemc_value) -> Result<Status> {
    let mut sink = One::default();
    client.execute(&[operation], &mut sink)?;
    let (status, value) = sink.finish().map_err(|error| operation.explain(error))?;
    *out = value;
    Ok(status)
}

/// Runs one operation of which only the status is wanted.
fn outcome(client: &Client, operation: Operation<'_>) -> Result<Status> {
    let mut sink = Outcome { outcome: None };
    client.execute(&[operation], &mut sink)?;
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

/// Takes an answer's status.
struct Outcome {
    outcome: Option<Result<Status>>,
}

impl Sink for Outcome {
    fn answer(&mut self, _index: usize, answer: Answer<'_>) {
        self.outcome = Some(result_of(&answer));
    }
}

/// A buffer of the caller's.
fn writable<'a>(buffer: *mut u8, capacity: usize) -> Result<&'a mut [u8]> {
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
struct Into<'a> {
    buffer: &'a mut [u8],
    outcome: Option<Result<Status>>,
    len: usize,
    flags: u32,
}

impl Into<'_> {
    fn finish(&mut self) -> Result<Status> {
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
        let mut sink = Into { buffer: &mut buffer, outcome: None, len: 0, flags: 0 };
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
