//! Queue: operations in, answers out, for event loops, schedulers and whoever keeps many under way
//! at once. Nothing blocks but a fetch that is told to wait, and the library needs no thread. In
//! this version bmemc_queue_new() answers BMEMC_E_UNSUPPORTED; what is written here is what it will
//! do.

use super::client::bmemc_client;
use super::guard::{array, guard, handle, not_yet, null, number, place, quietly, refused};
use super::operation::bmemc_op;
use super::results::{bmemc_item, bmemc_value};
use super::status::{bmemc_error, bmemc_status};
use crate::error::Result;
use std::mem::MaybeUninit;
use std::os::raw::c_int;

/// Operations under way, and answers that wait to be fetched. Any number of threads and clients may
/// submit and cancel; one thread at a time fetches. In the child of a fork() every call on it
/// answers BMEMC_E_FORKED; it can be freed there.
pub struct bmemc_queue {
    _room: u64,
}

/// One answer.
#[repr(C)]
pub struct bmemc_answer {
    /// The operation's.
    pub tag: u64,
    /// What it was answered; where its status is negative, `item.detail` has the words.
    pub item: bmemc_item,
    /// What the item's bytes belong to: the caller's, to be freed. NULL where it has none, or where
    /// they are in the slab.
    pub owner: *mut bmemc_value,
    /// bmemc_queue_fetch_into(): where in the slab the value begins; SIZE_MAX where it is not
    /// there, but with `owner`.
    pub offset: usize,
    /// Zero.
    pub reserved: [u32; 4],
}

/// Makes a queue. On BMEMC_OK `*out` is the caller's, to be freed. BMEMC_E_UNSUPPORTED now.
#[no_mangle]
pub extern "C" fn bmemc_queue_new(
    out: Option<&mut MaybeUninit<*mut bmemc_queue>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        place(out, "out")?;
        Err(not_yet("bmemc_queue_new"))
    })
}

/// Frees a queue, what is under way on it and the answers that were not fetched. No other thread
/// may be inside a call with it.
#[no_mangle]
pub extern "C" fn bmemc_queue_free(queue: Option<Box<bmemc_queue>>) {
    quietly((), || drop(queue));
}

/// A descriptor that is readable when bmemc_queue_fetch() has something to do. Poll it, level- or
/// edge-triggered; one fetch for each wake-up is enough. Do not read it or close it: it is the
/// queue's. -1 for NULL, and where there is none.
#[no_mangle]
pub extern "C" fn bmemc_queue_fd(queue: Option<&bmemc_queue>) -> c_int {
    let _ = queue;
    -1
}

/// Submits operations, without blocking: keys and values are copied before it returns, and sent at
/// once where the connection takes them. `*accepted` says how many were taken, from the first on.
/// Each of these is answered exactly once, by a failure too; the others never. Less than `count`:
/// `error` says why the next one was not taken (BMEMC_E_BUSY: fetch first; BMEMC_E_ARGUMENT: it is
/// wrong in itself), and its status is returned. `ops` may be NULL where `count` is zero.
#[no_mangle]
pub extern "C" fn bmemc_queue_submit(
    queue: Option<&bmemc_queue>,
    client: Option<&bmemc_client>,
    ops: *const bmemc_op,
    count: usize,
    accepted: Option<&mut MaybeUninit<usize>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        number(accepted, "accepted")?;
        handle(queue, "queue")?;
        handle(client, "client")?;
        // SAFETY: the function's contract: NULL or `count` operations, which stay as they are during the call.
        unsafe { array(ops, count, "ops") }?;
        Err(not_yet("bmemc_queue_submit"))
    })
}

/// Receives what has come, on the caller's thread, and writes up to `capacity` answers in the order
/// in which they came; `*count` says how many. It waits for the first one for up to `timeout_ms`
/// milliseconds (0: not at all; negative: as long as something is under way), and returns at once
/// with none where nothing is under way. BMEMC_OK says only that `*count` is right.
#[no_mangle]
pub extern "C" fn bmemc_queue_fetch(
    queue: Option<&bmemc_queue>,
    answers: *mut bmemc_answer,
    capacity: usize,
    timeout_ms: i32,
    count: Option<&mut MaybeUninit<usize>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let _ = timeout_ms;
        number(count, "count")?;
        handle(queue, "queue")?;
        check_room(answers, capacity, "answers")?;
        Err(not_yet("bmemc_queue_fetch"))
    })
}

/// As bmemc_queue_fetch(), but values are written into `slab`, of `slab_size` bytes, and nothing is
/// allocated for them: `offset` says where a value begins and `item.value.len` how long it is;
/// `item.value.data` is NULL, so that the slab may move in memory. What does not fit comes as
/// bmemc_queue_fetch() gives it, with an `owner` and offset SIZE_MAX. Keys and details always come
/// with an `owner`. `slab` may be NULL where `slab_size` is zero.
#[no_mangle]
pub extern "C" fn bmemc_queue_fetch_into(
    queue: Option<&bmemc_queue>,
    answers: *mut bmemc_answer,
    capacity: usize,
    slab: *mut u8,
    slab_size: usize,
    timeout_ms: i32,
    count: Option<&mut MaybeUninit<usize>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let _ = timeout_ms;
        number(count, "count")?;
        handle(queue, "queue")?;
        check_room(answers, capacity, "answers")?;
        check_room(slab, slab_size, "slab")?;
        Err(not_yet("bmemc_queue_fetch_into"))
    })
}

/// Cancels all that is under way with this tag: each is still answered once, by BMEMC_E_CANCELLED
/// (or by its answer, if that was there already); the bits tell whether the server may have done
/// it. BMEMC_NOT_FOUND: there is none.
#[no_mangle]
pub extern "C" fn bmemc_queue_cancel(
    queue: Option<&bmemc_queue>,
    tag: u64,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let _ = tag;
        handle(queue, "queue")?;
        Err(not_yet("bmemc_queue_cancel"))
    })
}

/// Whether there can be `capacity` of them at `place`.
fn check_room<T>(place: *mut T, capacity: usize, name: &str) -> Result<()> {
    if place.is_null() && capacity != 0 {
        return Err(null(name));
    }
    if capacity > isize::MAX as usize / size_of::<T>() {
        return Err(refused(format!("{name}: no memory holds {capacity} of them")));
    }
    Ok(())
}
