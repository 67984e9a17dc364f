//! Commands: shorthands for what is wanted most, with the client's defaults. Each is one of chapter
//! 7's operations; what cannot be told here (cas, a deadline of its own, no reply ...) is said
//! there. Keys have 1 to 250 bytes; over the text and meta protocols without spaces and control
//! characters, over binary any bytes.
//! A call blocks its own thread alone, for up to option timeout_ms. What any of them can answer, and
//! is not said again: BMEMC_E_ARGUMENT (a bad key; nothing is sent), BMEMC_E_BUSY (option max_waiting)
//! and BMEMC_E_CLOSED; and what the servers and the way to them do: BMEMC_E_TIMEOUT, DNS, CONNECTION,
//! TLS, AUTH, PROTOCOL and SERVER_ERROR, whose bits tell whether it may have been done.

use super::bytes::bmemc_bytes;
use super::calls::{counted, get_many, many, one, outcome, writable, Into};
use super::client::bmemc_client;
use super::guard::{array, guard, handle, number, place, refused, ErrorOut};
use super::results::{bmemc_results, bmemc_value};
use super::status::{bmemc_error, bmemc_status};
use crate::error::{Result, Status};
use crate::operation::{op_flags, Command, Operation};
use std::mem::MaybeUninit;

/// A read whose value is wanted.
#[inline(always)]
fn read<'a>(
    client: Option<&bmemc_client>,
    out: Option<&mut MaybeUninit<*mut bmemc_value>>,
    error: ErrorOut<'_>,
    operation: impl FnOnce() -> Result<Operation<'a>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        let client = handle(client, "client")?;
        one(&client.client, operation()?, out)
    })
}

/// A write of which only the status is wanted.
#[inline(always)]
fn write<'a>(
    client: Option<&bmemc_client>,
    error: ErrorOut<'_>,
    operation: impl FnOnce() -> Result<Operation<'a>>,
) -> bmemc_status {
    guard(error, || {
        let client = handle(client, "client")?;
        outcome(&client.client, operation()?)
    })
}

/// An operation that stores a value.
fn storing<'a>(command: Command, key: &'a bmemc_bytes, value: &'a bmemc_bytes) -> Result<Operation<'a>> {
    let (key, value) = (key.slice("key")?, value.slice("value")?);
    Ok(Operation { value, ..Operation::new(command, key) })
}

/// A change of a counter, whose new number is wanted.
fn count(
    client: Option<&bmemc_client>,
    command: Command,
    (key, delta): (bmemc_bytes, u64),
    out: Option<&mut MaybeUninit<u64>>,
    error: ErrorOut<'_>,
) -> bmemc_status {
    guard(error, || {
        let number = number(out, "out")?;
        let client = handle(client, "client")?;
        counted(&client.client, Operation { delta, ..Operation::new(command, key.slice("key")?) }, number)
    })
}

/// Reads the value of a key. On BMEMC_OK `*out` is the caller's, to be freed. BMEMC_NOT_FOUND: a
/// miss, `*out` is NULL.
#[no_mangle]
pub extern "C" fn bmemc_get(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    out: Option<&mut MaybeUninit<*mut bmemc_value>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    read(client, out, error, || Ok(Operation::get(key.slice("key")?)))
}

/// Reads the value of a key with its cas, for bmemc_cas(). Else as bmemc_get().
#[no_mangle]
pub extern "C" fn bmemc_gets(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    out: Option<&mut MaybeUninit<*mut bmemc_value>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    read(client, out, error, || Ok(Operation { op_flags: op_flags::WANT_CAS, ..Operation::get(key.slice("key")?) }))
}

/// Reads the value of a key and gives the item a new `ttl` (as bmemc_set()). Else as bmemc_get().
#[no_mangle]
pub extern "C" fn bmemc_get_and_touch(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    ttl: i64,
    out: Option<&mut MaybeUninit<*mut bmemc_value>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    read(client, out, error, || Ok(Operation { ttl, ..Operation::new(Command::GetAndTouch, key.slice("key")?) }))
}

/// Reads the value of a key into `buffer`, of `capacity` bytes: nothing is allocated. `*len`
/// becomes the length of the value and `*flags` (which may be NULL) the item's flags; zero unless
/// the status is BMEMC_OK or BMEMC_E_BUFFER. `buffer` may be NULL where `capacity` is zero.
/// BMEMC_NOT_FOUND: a miss. BMEMC_E_BUFFER: `capacity` is less than `*len`; the buffer's content is
/// undefined, and the connection is kept. A codec decodes first (chapter 13): `*len` is what the
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
        let mut sink = Into::new(writable(buffer, capacity)?);
        client.client.run_gets(&[key.slice("key")?], &mut sink)?;
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
        get_many(&client.client, keys, out)
    })
}

/// Stores a value, whatever was there before. `flags`: any number, which comes back with the value;
/// zero where the client has a codec, for which the value is bytes.
/// `ttl`: seconds to live; 0: until evicted; negative: gone at once; up to 999,999,999: from now
/// on, over 30 days too; from 1,000,000,000 on: a Unix time.
/// BMEMC_E_TOO_LARGE: the value is larger than the server takes (memcached's -I), which then drops
/// what the key had, too, so that nobody reads what is out of date; or than option max_value_bytes.
#[no_mangle]
pub extern "C" fn bmemc_set(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    value: bmemc_bytes,
    flags: u32,
    ttl: i64,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    write(client, error, || Ok(Operation { flags, ..Operation::set(key.slice("key")?, value.slice("value")?, ttl) }))
}

/// Stores a value if there is none; else as bmemc_set(). BMEMC_NOT_STORED: there is one.
#[no_mangle]
pub extern "C" fn bmemc_add(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    value: bmemc_bytes,
    flags: u32,
    ttl: i64,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    write(client, error, || Ok(Operation { flags, ttl, ..storing(Command::Add, &key, &value)? }))
}

/// Stores a value if there is one; else as bmemc_set(). BMEMC_NOT_STORED: there is none.
#[no_mangle]
pub extern "C" fn bmemc_replace(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    value: bmemc_bytes,
    flags: u32,
    ttl: i64,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    write(client, error, || Ok(Operation { flags, ttl, ..storing(Command::Replace, &key, &value)? }))
}

/// Stores a value if the item still has this cas, which bmemc_gets() tells; else as bmemc_set().
/// BMEMC_EXISTS: it has changed. BMEMC_NOT_FOUND: it is gone. BMEMC_E_ARGUMENT: `cas` is 0, which no
/// item has.
#[no_mangle]
pub extern "C" fn bmemc_cas(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    value: bmemc_bytes,
    flags: u32,
    ttl: i64,
    cas: u64,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    write(client, error, || {
        let (key, value, cas) = (key.slice("key")?, value.slice("value")?, given(cas)?);
        Ok(Operation { flags, cas, ..Operation::set(key, value, ttl) })
    })
}

/// Puts bytes behind a value; its flags and ttl stay. BMEMC_NOT_STORED: there is none, or both
/// together are larger than the server takes.
#[no_mangle]
pub extern "C" fn bmemc_append(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    value: bmemc_bytes,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    write(client, error, || storing(Command::Append, &key, &value))
}

/// Puts bytes before a value; else as bmemc_append().
#[no_mangle]
pub extern "C" fn bmemc_prepend(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    value: bmemc_bytes,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    write(client, error, || storing(Command::Prepend, &key, &value))
}

/// Stores many values in as few round trips as possible, all with the same `flags` and `ttl` (as
/// bmemc_set()): `values[i]` under `keys[i]`. Results as those of bmemc_get_many(). Each with its
/// cas: bmemc_cas_many(); with a ttl of its own, or some with a cas: bmemc_execute().
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

/// Stores many values in as few round trips as possible, `values[i]` under `keys[i]` if the item still
/// has `cas[i]`, as bmemc_cas() does with one. Results as those of bmemc_get_many(): the `status` of
/// item `i` is that of bmemc_cas(), and its `cas` the new one; 0 over text, which does
/// not tell it.
#[no_mangle]
pub extern "C" fn bmemc_cas_many(
    client: Option<&bmemc_client>,
    keys: *const bmemc_bytes,
    values: *const bmemc_bytes,
    cas: *const u64,
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
        let (keys, values, cas) =
            unsafe { (array(keys, count, "keys")?, array(values, count, "values")?, array(cas, count, "cas")?) };
        many(&client.client, count, out, |index| {
            let (key, value) = (keys[index].slice("key")?, values[index].slice("value")?);
            let (cas, op_flags) = (given(cas[index])?, op_flags::WANT_CAS);
            Ok(Operation { flags, cas, op_flags, ..Operation::set(key, value, ttl) })
        })
    })
}

/// A cas that an item can have.
fn given(cas: u64) -> Result<u64> {
    let words = "cas is 0, which no item has; bmemc_gets() tells an item's, but for memcached -C";
    (cas != 0).then_some(cas).ok_or_else(|| refused(words.into()))
}

/// Deletes a key. BMEMC_NOT_FOUND: there was none.
#[no_mangle]
pub extern "C" fn bmemc_delete(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    write(client, error, || Ok(Operation::delete(key.slice("key")?)))
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

/// Gives an item a new `ttl` (as bmemc_set()). BMEMC_NOT_FOUND: there is none.
#[no_mangle]
pub extern "C" fn bmemc_touch(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    ttl: i64,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    write(client, error, || Ok(Operation { ttl, ..Operation::new(Command::Touch, key.slice("key")?) }))
}

/// Adds `delta` to a counter, a value of decimal digits; it wraps at 64 bits. `*out` becomes the new
/// number, zero on anything but BMEMC_OK. BMEMC_NOT_FOUND: there is none, and none is made (see
/// BMEMC_FLAG_CREATE). BMEMC_E_CLIENT_ERROR: the value is no number.
#[no_mangle]
pub extern "C" fn bmemc_increment(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    delta: u64,
    out: Option<&mut MaybeUninit<u64>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    count(client, Command::Increment, (key, delta), out, error)
}

/// Subtracts `delta` from a counter; it stops at zero. Else as bmemc_increment().
#[no_mangle]
pub extern "C" fn bmemc_decrement(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    delta: u64,
    out: Option<&mut MaybeUninit<u64>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    count(client, Command::Decrement, (key, delta), out, error)
}

/// Asks the first server for its version (bmemc_execute_each(): all of them): the item's `value` is
/// text such as "1.6.18". On BMEMC_OK `*out` is the caller's, to be freed.
#[no_mangle]
pub extern "C" fn bmemc_client_version(
    client: Option<&bmemc_client>,
    out: Option<&mut MaybeUninit<*mut bmemc_value>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    read(client, out, error, || Ok(Operation::version()))
}

/// Drops every item of every server, in `delay` seconds (as the `ttl` of bmemc_set()); 0 or less: now.
#[no_mangle]
pub extern "C" fn bmemc_flush_all(
    client: Option<&bmemc_client>,
    delay: i64,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let client = handle(client, "client")?;
        client.client.flush_all(delay)?;
        Ok(Status::Ok)
    })
}

/// Asks every server for nothing, in one round trip: whether they answer.
#[no_mangle]
pub extern "C" fn bmemc_noop(
    client: Option<&bmemc_client>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let client = handle(client, "client")?;
        client.client.noop()?;
        Ok(Status::Ok)
    })
}
