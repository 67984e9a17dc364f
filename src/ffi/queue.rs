//! Queue: operations in, answers out, for event loops, schedulers and whoever keeps many under way
//! at once. Nothing blocks but a fetch that is told to wait, and the library needs no thread. A
//! queue opens connections of its own for each client, up to option connections a server.

use super::bytes::bmemc_bytes;
use super::client::bmemc_client;
use super::guard::{array, guard, handle, null, number, place, quietly, refused};
use super::operation::bmemc_op;
use super::results::{bmemc_item, bmemc_value, item_and_owner};
use super::status::{bmemc_error, bmemc_status};
use crate::client::{place as place_value, place_bytes, Get, Hit, Queue, Submitted, Take};
use crate::error::{Error, Result, Status};
use crate::operation::{Answer, Operation, Value};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::raw::{c_int, c_void};

/// Operations under way, and answers that wait to be fetched. Any number of threads and clients may
/// submit and cancel; one thread at a time fetches. In the child of a fork() every call on it
/// answers BMEMC_E_FORKED; it can be freed there.
pub struct bmemc_queue {
    queue: Queue,
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

/// Makes a queue. On BMEMC_OK `*out` is the caller's, to be freed. BMEMC_E_CONNECTION: the process
/// has no descriptor left; a queue takes three, and one for each connection.
#[no_mangle]
pub extern "C" fn bmemc_queue_new(
    out: Option<&mut MaybeUninit<*mut bmemc_queue>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        *out = Box::into_raw(Box::new(bmemc_queue { queue: Queue::new()? }));
        Ok(Status::Ok)
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
/// queue's. -1 for NULL, and in the child of a fork().
#[no_mangle]
pub extern "C" fn bmemc_queue_fd(queue: Option<&bmemc_queue>) -> c_int {
    let queue = queue.map(|queue| &queue.queue).filter(|queue| queue.is_of_this_process());
    quietly(-1, || queue.map_or(-1, |queue| queue.fd().as_raw_fd()))
}

/// Submits operations, without blocking: keys and values are copied before it returns, and sent at
/// once where the connection takes them; what waits goes out with a later fetch. `*accepted` says
/// how many were taken, from the first on. Each of these is answered exactly once, by a failure too
/// (a key that the protocol cannot carry, say); the others never. Less than `count`: `error` says
/// why the next one was not taken, and its status is returned: BMEMC_E_BUSY (option max_waiting:
/// fetch first), BMEMC_E_CLOSED, or BMEMC_E_ARGUMENT (a field of the bmemc_op is wrong in itself).
/// What one call submits reaches the server in its order. `ops` may be NULL where `count` is zero.
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
        let accepted = number(accepted, "accepted")?;
        let queue = handle(queue, "queue")?;
        let client = handle(client, "client")?;
        // SAFETY: the function's contract: NULL or `count` operations, which stay as they are during the call.
        let ops = unsafe { array(ops, count, "ops") }?;
        let (taken, stopped) = queue.queue.submit_checked(&client.client, Ops(ops.iter()));
        *accepted = taken;
        stopped.map(|()| Status::Ok)
    })
}

/// Receives what has come, on the caller's thread, and writes up to `capacity` answers in the order
/// in which they came; `*count` says how many. It waits for the first one for up to `timeout_ms`
/// milliseconds (0: not at all; negative: as long as something is under way), and returns at once
/// with none where nothing is under way. BMEMC_OK says only that `*count` is right. BMEMC_E_BUSY:
/// another thread is fetching.
#[no_mangle]
pub extern "C" fn bmemc_queue_fetch(
    queue: Option<&bmemc_queue>,
    answers: *mut bmemc_answer,
    capacity: usize,
    timeout_ms: i32,
    count: Option<&mut MaybeUninit<usize>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    fetch(queue, answers, capacity, timeout_ms, count, error, |mut room| {
        Ok(move |tag: u64, answer: Answer<'_>| {
            let (item, owner) = item_and_owner(answer);
            room.put(|| bmemc_answer { tag, item, owner, offset: usize::MAX, reserved: [0; 4] });
        })
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
    fetch(queue, answers, capacity, timeout_ms, count, error, |room| {
        Ok(Slab { room, slab: writable(slab, slab_size)?, used: 0 })
    })
}

/// Says where a value of `len` bytes is to go: room for as many, which is written during the fetch;
/// or NULL. `context` is what bmemc_queue_fetch_to() was given. It is called on the thread that
/// fetches, and must neither block nor use a client or a queue.
pub type bmemc_place_callback = Option<unsafe extern "C" fn(len: usize, context: *mut c_void) -> *mut u8>;

/// As bmemc_queue_fetch(), but `place` is asked where each value that is not empty is to go:
/// `item.value` is there then, and the answer has no `owner` unless it has a key or a detail. Where
/// it says NULL the value comes as bmemc_queue_fetch() gives it. For hosts whose memory comes in
/// pieces of their own.
#[no_mangle]
pub extern "C" fn bmemc_queue_fetch_to(
    queue: Option<&bmemc_queue>,
    answers: *mut bmemc_answer,
    capacity: usize,
    place: bmemc_place_callback,
    context: *mut c_void,
    timeout_ms: i32,
    count: Option<&mut MaybeUninit<usize>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    fetch(queue, answers, capacity, timeout_ms, count, error, |room| {
        Ok(Places { room, place: place.ok_or_else(|| null("place"))?, context })
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
    guard(error, || match handle(queue, "queue")?.queue.cancel(tag)? {
        true => Ok(Status::Ok),
        false => Ok(Status::NotFound),
    })
}

/// Every way to fetch; `take` makes what takes the answers, of the room for them.
#[inline(always)]
fn fetch<T: Take>(
    queue: Option<&bmemc_queue>,
    answers: *mut bmemc_answer,
    capacity: usize,
    timeout_ms: i32,
    count: Option<&mut MaybeUninit<usize>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
    take: impl FnOnce(Room) -> Result<T>,
) -> bmemc_status {
    guard(error, || {
        let count = number(count, "count")?;
        let queue = handle(queue, "queue")?;
        let mut take = take(Room::new(answers, capacity)?)?;
        *count = queue.queue.fetch_with(capacity, timeout_ms, &mut take)?;
        Ok(Status::Ok)
    })
}

/// The caller's operations, each with its tag.
#[derive(Clone)]
struct Ops<'a>(std::slice::Iter<'a, bmemc_op>);

impl<'a> Submitted<'a> for Ops<'a> {
    #[inline(always)]
    fn peek_get(&mut self) -> Option<Get<'a>> {
        self.0.as_slice().first()?.get()
    }

    #[inline(always)]
    fn skip_get(&mut self) {
        self.0.next();
    }
}

impl<'a> Iterator for Ops<'a> {
    type Item = Result<(u64, Operation<'a>)>;

    #[inline(always)]
    fn next(&mut self) -> Option<Result<(u64, Operation<'a>)>> {
        let op = self.0.next()?;
        Some(op.operation().map(|operation| (op.tag, operation)))
    }
}

/// The caller's array of answers, and how far it is filled.
struct Room {
    next: *mut bmemc_answer,
    left: usize,
}

impl Room {
    fn new(answers: *mut bmemc_answer, capacity: usize) -> Result<Room> {
        check_room(answers, capacity, "answers")?;
        Ok(Room { next: answers, left: capacity })
    }

    #[inline(always)]
    fn put(&mut self, answer: impl FnOnce() -> bmemc_answer) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        // SAFETY: the functions' contract: room for `capacity` answers, of which `left` are not written yet; none of it
        // is read.
        unsafe {
            self.next.write(answer());
            self.next = self.next.add(1);
        }
    }
}

/// Takes answers whose values go into the caller's slab as long as they fit.
struct Slab<'a> {
    room: Room,
    slab: &'a mut [u8],
    used: usize,
}

impl Slab<'_> {
    /// A hit whose value the slab has no room for.
    #[cold]
    fn hit_outside(&mut self, tag: u64, hit: Hit<'_>) {
        self.answer(tag, hit.answer());
    }
}

impl Take for Slab<'_> {
    fn hit(&mut self, tag: u64, hit: Hit<'_>) {
        let Some(place) = place_bytes(hit.value, self.slab, &mut self.used) else { return self.hit_outside(tag, hit) };
        self.room.put(|| bmemc_answer {
            tag,
            item: bmemc_item::of_hit(&hit, bmemc_bytes { data: std::ptr::null(), len: place.len() }),
            owner: std::ptr::null_mut(),
            offset: place.start,
            reserved: [0; 4],
        });
    }

    fn answer(&mut self, tag: u64, mut answer: Answer<'_>) {
        let place = place_value(&mut answer, self.slab, &mut self.used);
        let (mut item, owner) = item_and_owner(answer);
        if let Some(place) = &place {
            item.value = bmemc_bytes { data: std::ptr::null(), len: place.len() };
        }
        let offset = place.map_or(usize::MAX, |place| place.start);
        self.room.put(|| bmemc_answer { tag, item, owner, offset, reserved: [0; 4] });
    }
}

/// Takes answers whose values go where the caller says.
struct Places {
    room: Room,
    place: unsafe extern "C" fn(len: usize, context: *mut c_void) -> *mut u8,
    context: *mut c_void,
}

impl Places {
    /// Copies bytes to where they are to go; answers with where that is.
    #[inline]
    fn put(&self, bytes: &[u8]) -> Option<bmemc_bytes> {
        if bytes.is_empty() {
            return None;
        }
        // SAFETY: the function's contract: `place` may be called with its context during the call.
        let place = unsafe { (self.place)(bytes.len(), self.context) };
        if place.is_null() {
            return None;
        }
        // SAFETY: the callback's contract: room for so many bytes, which nobody else touches; none of it is read.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
        Some(bmemc_bytes { data: place, len: bytes.len() })
    }

    /// A hit whose value the caller has no place for.
    #[cold]
    fn hit_elsewhere(&mut self, tag: u64, hit: Hit<'_>) {
        self.give(tag, hit.answer(), None);
    }

    /// Gives out an answer; `placed` is where its value is, if it is not with the answer.
    fn give(&mut self, tag: u64, answer: Answer<'_>, placed: Option<bmemc_bytes>) {
        let (mut item, owner) = item_and_owner(answer);
        item.value = placed.unwrap_or(item.value);
        self.room.put(|| bmemc_answer { tag, item, owner, offset: usize::MAX, reserved: [0; 4] });
    }
}

impl Take for Places {
    fn hit(&mut self, tag: u64, hit: Hit<'_>) {
        let Some(value) = self.put(hit.value) else { return self.hit_elsewhere(tag, hit) };
        let (owner, offset) = (std::ptr::null_mut(), usize::MAX);
        self.room.put(|| bmemc_answer { tag, item: bmemc_item::of_hit(&hit, value), owner, offset, reserved: [0; 4] });
    }

    fn answer(&mut self, tag: u64, mut answer: Answer<'_>) {
        let placed = self.put(answer.value.bytes());
        if placed.is_some() {
            answer.value = Value::NONE;
        }
        self.give(tag, answer, placed);
    }
}

/// The caller's slab.
fn writable<'a>(slab: *mut u8, size: usize) -> Result<&'a mut [u8]> {
    check_room(slab, size, "slab")?;
    if size == 0 {
        return Ok(&mut []);
    }
    // SAFETY: the function's contract: `size` writable bytes, which nobody else touches during the call; the engine
    // writes them and reads none.
    Ok(unsafe { std::slice::from_raw_parts_mut(slab, size) })
}

/// Whether there can be `capacity` of them at `place`.
fn check_room<T>(place: *mut T, capacity: usize, name: &str) -> Result<()> {
    if place.is_null() && capacity != 0 {
        return Err(null(name));
    }
    if capacity > isize::MAX as usize / size_of::<T>() {
        return Err(too_many(name, capacity));
    }
    Ok(())
}

#[cold]
fn too_many(name: &str, capacity: usize) -> Error {
    refused(format!("{name}: no memory holds {capacity} of them"))
}
