//! Queue: operations in, answers out, for event loops, schedulers and whoever keeps many under way at once. It is an
//! engine of its own over the sans-I/O connections: submit sends what the kernel takes, fetch does the rest on its
//! caller's thread, and nothing blocks but a fetch that is told to wait. A queue has connections of its own; what is
//! known of a server and its settings it shares with the client's pool.

mod gets;
mod held;
mod journeys;
mod lane;
mod output;
mod records;
mod sending;
mod state;
mod submit;

pub(crate) use gets::{Get, Submitted};
pub use output::Fetched;
pub(crate) use output::{Hit, Take};

use super::front::Front;
use super::{coding, Client};
use crate::connection::CAPACITY;
use crate::error::{bits, Error, Result, Status};
use crate::net::clock;
use crate::net::fork::OfProcess;
use crate::net::poller::{Events, Interest, Poller, Timer, Waker};
use crate::net::{Deadline, Wait};
use crate::operation::{Answer, Operation, Value};
use crate::pool::Watch;
use crate::value::Coder;
use output::{Output, Waiting};
use state::{Lone, State};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// Events that are taken in at once.
const EVENTS: usize = 64;
/// Who waits for so many milliseconds or more may do so in a receive, which the kernel ends within eight of them where it has
/// 250 ticks a second.
const LONG_ENOUGH_MS: i32 = 10;

/// Operations under way, and answers that wait to be fetched. Any number of threads and clients may submit and cancel;
/// one thread at a time fetches.
pub struct Queue {
    poller: Poller,
    timer: Timer,
    kick: Arc<Kick>,
    inner: OfProcess<Mutex<Inner>>,
    /// The one who fetches waits for the lock: those who submit in a loop let him have it.
    wanted: AtomicBool,
    /// Whoever fetches has this.
    turn: Mutex<Turn>,
}

/// What a fetch needs for itself.
struct Turn {
    events: Events,
    /// For what is received without the lock.
    memory: Vec<u8>,
}

/// What the lock guards.
struct Inner {
    state: State,
    backlog: VecDeque<Waiting>,
}

/// How others tell a queue that there is something to do.
pub(super) struct Kick {
    waker: Arc<Waker>,
    /// A client was closed, or a server removed from one.
    ended: AtomicBool,
}

impl Watch for Kick {
    fn pool_ended(&self) {
        self.ended.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// What the state needs for its I/O.
struct Io<'a> {
    poller: &'a Poller,
    timer: &'a Timer,
    kick: &'a Arc<Kick>,
    now: u64,
}

impl Queue {
    /// An empty queue.
    pub fn new() -> Result<Queue> {
        let failed = |error| Error::os(Status::Connection, "making the queue's descriptors", &error);
        Queue::open().map_err(failed)
    }

    fn open() -> std::io::Result<Queue> {
        let (poller, timer, waker) = (Poller::new()?, Timer::new()?, Waker::new()?);
        let edges = Interest::READ.and(Interest::EDGE);
        poller.add(&timer, state::TIMER, edges)?;
        poller.add(&waker, state::KICK, edges)?;
        let kick = Arc::new(Kick { waker: Arc::new(waker), ended: AtomicBool::new(false) });
        let inner = OfProcess::new(Mutex::new(Inner { state: State::new(), backlog: VecDeque::new() }));
        let turn = Mutex::new(Turn { events: Events::with_capacity(EVENTS), memory: Vec::new() });
        let wanted = AtomicBool::new(false);
        Ok(Queue { poller, timer, kick, inner, wanted, turn })
    }

    /// Readable when a fetch has something to do, for hosts that poll, level- or edge-triggered: one fetch for each
    /// wake-up is enough. It is not to be read.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }

    /// Whether it was made in this process, and not in one that this is the child of: there all that is done with it fails
    /// with `Forked`, and it may be dropped.
    pub fn is_of_this_process(&self) -> bool {
        self.inner.get().is_some()
    }

    /// Submits operations, each with a tag that its answer will carry; nothing blocks, and nothing is kept of what they
    /// refer to. Answers with how many were taken, from the first on: each of these gets exactly one answer, failures
    /// too. If that are not all, the failure says why the next one was not taken. Operations of one submit reach the
    /// server in their order.
    pub fn submit<'a>(
        &self,
        client: &Client,
        operations: impl IntoIterator<Item = (u64, Operation<'a>)>,
    ) -> (usize, Result<()>) {
        if client.core.front.is_none() && client.core.coder.is_none() {
            return self.submit_stored(client, operations.into_iter().map(Ok).peekable());
        }
        let operations: Vec<_> = operations.into_iter().collect();
        self.submit_checked(client, operations.iter().copied().map(Ok).peekable())
    }

    /// The same, where it may turn out that there is no operation. They may be gone through twice.
    pub(crate) fn submit_checked<'a>(
        &self,
        client: &Client,
        operations: impl Submitted<'a> + Clone,
    ) -> (usize, Result<()>) {
        match &client.core.front {
            None => self.submit_as_is(client, operations),
            Some(front) => self.submit_behind(client, front, operations),
        }
    }

    /// Submits operations for a client whose options change them.
    #[cold]
    fn submit_behind<'a>(
        &self,
        client: &Client,
        front: &Front,
        operations: impl Iterator<Item = Result<(u64, Operation<'a>)>>,
    ) -> (usize, Result<()>) {
        let with_key = |next: Result<(u64, Operation<'a>)>| {
            next.map(|(tag, operation)| (tag, operation, front.wire_key(&operation)))
        };
        let taken: Vec<_> = operations.map(with_key).collect();
        let made = taken.iter().map(|next| match next {
            Ok((tag, operation, key)) => Ok((*tag, front.apply(operation, key.as_deref()))),
            Err(error) => Err(error.clone()),
        });
        self.submit_as_is(client, made.peekable())
    }

    fn submit_as_is<'a>(&self, client: &Client, operations: impl Submitted<'a> + Clone) -> (usize, Result<()>) {
        if let Some(coder) = &client.core.coder {
            let is_encoded = |next| matches!(next, Ok((_, operation)) if coding::is_encoded(&operation));
            if operations.clone().any(is_encoded) {
                return self.submit_encoded(client, coder, operations);
            }
        }
        self.submit_stored(client, operations)
    }

    /// Submits operations for a client with a codec: their values are encoded before the lock is taken.
    fn submit_encoded<'a>(
        &self,
        client: &Client,
        coder: &Coder,
        operations: impl Iterator<Item = Result<(u64, Operation<'a>)>>,
    ) -> (usize, Result<()>) {
        let (mut encoded, mut stopped) = (Vec::with_capacity(operations.size_hint().0), None);
        for next in operations {
            let next = next.and_then(|(tag, operation)| Ok((tag, operation, coding::encode(coder, &operation)?)));
            match next {
                Ok(next) => encoded.push(next),
                Err(error) => {
                    stopped = Some(Err(error));
                    break;
                }
            }
        }
        let going = encoded.iter().map(|(tag, operation, encoded)| {
            Ok((*tag, Operation { value: &encoded.value, flags: encoded.flags, ..*operation }))
        });
        self.submit_stored(client, going.chain(stopped).peekable())
    }

    /// Submits operations whose values are as they are stored.
    fn submit_stored<'a>(&self, client: &Client, operations: impl Submitted<'a>) -> (usize, Result<()>) {
        match self.inner() {
            Ok(inner) => self.change(inner, |state, io, output| state.submit(io, &client.core, operations, output)),
            Err(error) => (0, Err(error.with_bits(bits::NOT_SENT))),
        }
    }

    /// Cancels all operations with this tag: each is answered once, by `Cancelled` or by the answer that was there
    /// already. Answers whether there were any.
    pub fn cancel(&self, tag: u64) -> Result<bool> {
        let inner = self.inner()?;
        Ok(self.change(inner, |state, io, output| state.cancel(io, tag, output)) > 0)
    }

    /// Appends up to `capacity` answers to `answers`, in the order in which they came, and answers with how many. It
    /// waits for the first one for up to `timeout_ms` milliseconds (0: not at all; negative: as long as something is under
    /// way), and returns at once where nothing is. While another thread fetches it fails with `Busy`.
    pub fn fetch(&self, answers: &mut Vec<Fetched>, capacity: usize, timeout_ms: i32) -> Result<usize> {
        self.fetch_with(capacity, timeout_ms, &mut |tag: u64, answer: Answer<'_>| {
            answers.push(Fetched::new(tag, answer))
        })
    }

    /// The same, but values go into `slab` as long as they fit.
    pub fn fetch_into(
        &self,
        answers: &mut Vec<Fetched>,
        capacity: usize,
        slab: &mut [u8],
        timeout_ms: i32,
    ) -> Result<usize> {
        let mut used = 0;
        self.fetch_with(capacity, timeout_ms, &mut |tag: u64, mut answer: Answer<'_>| {
            let placed = place(&mut answer, slab, &mut used);
            answers.push(Fetched { placed, ..Fetched::new(tag, answer) });
        })
    }

    /// The same, with each answer given to `take`, which must not use the queue.
    pub(crate) fn fetch_with(&self, capacity: usize, timeout_ms: i32, take: &mut dyn Take) -> Result<usize> {
        let inner = self.inner()?;
        let mut turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(Status::Busy, "another thread fetches from the queue"));
            }
        };
        if capacity == 0 {
            return Ok(0);
        }
        let Turn { events, memory } = &mut *turn;
        let patience = Patience::new(timeout_ms);
        let mut guard = self.lock_to_fetch(inner);
        let is_long = !(0..LONG_ENOUGH_MS).contains(&timeout_ms);
        let lone = if is_long { self.lone(&guard) } else { None };
        let (mut room, mut enough) = match lone {
            None => self.begin(&mut guard, capacity, patience, take),
            Some(lone) => {
                drop(guard);
                memory.resize(CAPACITY, 0);
                let came = lone.socket.receive_one(memory, Wait::Once);
                guard = self.lock_to_fetch(inner);
                self.take_in(&mut guard, capacity, &lone, (came, memory), take)
            }
        };
        let mut more = false;
        while !enough {
            let some = room < capacity || !guard.backlog.is_empty();
            let wait = match some || guard.state.live() == 0 || guard.state.has_ready() {
                true => Some(Duration::ZERO),
                false => patience.left(),
            };
            drop(guard);
            let count = self.poller.wait(events, wait);
            let failed = |error| Error::os(Status::Connection, "waiting for the queue's connections", &error);
            more = count.map_err(failed)? == EVENTS;
            guard = self.lock_to_fetch(inner);
            room = self.step(&mut guard, events, room, take);
            let some = room < capacity || !guard.backlog.is_empty();
            enough = some || guard.state.live() == 0 || patience.is_over();
        }
        // Those that are left although there is room are decoded once the lock is free.
        let count = guard.backlog.len().min(room);
        let coded = if count > 0 { guard.backlog.drain(..count).collect() } else { Vec::new() };
        // One fetch for a wake-up is enough: what is left announces itself anew.
        if more || guard.state.has_ready() || !guard.backlog.is_empty() {
            self.kick.waker.wake();
        }
        tell(guard);
        coded.into_iter().for_each(|waiting| waiting.hand_out(take));
        Ok(capacity - room + count)
    }

    /// The beginning of a fetch: what has waited for it and, where that can be done without asking epoll, what has come.
    /// Answers with the room that is left, and whether that was all.
    fn begin(&self, guard: &mut Guard<'_>, room: usize, patience: Patience, take: &mut dyn Take) -> (usize, bool) {
        let Inner { state, backlog } = &mut **guard;
        let mut output = Output::new(take, room, backlog);
        let none = output.room() == room;
        let enough = none
            && !self.kick.ended.load(Ordering::Acquire)
            && state.read_few(&self.io(), !patience.is_none(), &mut output);
        (output.room(), enough)
    }

    /// The one connection that there is something to wait for on, if that can be done without epoll.
    fn lone(&self, guard: &Guard<'_>) -> Option<Lone> {
        let is_free = guard.backlog.is_empty() && !self.kick.ended.load(Ordering::Acquire);
        is_free.then(|| guard.state.lone(clock::now() + LONG_ENOUGH_MS as u64 * 1_000_000)).flatten()
    }

    /// Takes in what was received from it, as `begin` does.
    fn take_in(
        &self,
        guard: &mut Guard<'_>,
        room: usize,
        lone: &Lone,
        early: (io::Result<usize>, &mut Vec<u8>),
        take: &mut dyn Take,
    ) -> (usize, bool) {
        let Inner { state, backlog } = &mut **guard;
        let mut output = Output::new(take, room, backlog);
        state.read_lone(&self.io(), lone, early, &mut output);
        let some = output.room() < room || output.has_backlog();
        (output.room(), some && !self.kick.ended.load(Ordering::Acquire))
    }

    fn step(&self, guard: &mut Guard<'_>, events: &Events, room: usize, take: &mut dyn Take) -> usize {
        let Inner { state, backlog } = &mut **guard;
        let mut output = Output::new(take, room, backlog);
        let io = self.io();
        if self.kick.ended.swap(false, Ordering::AcqRel) {
            state.drop_ended(&io, &mut output);
        }
        state.step(&io, events.iter(), &mut output);
        output.room()
    }

    /// Changes the state while nobody fetches with it; answers that come of that are announced.
    fn change<T>(&self, inner: &Mutex<Inner>, change: impl FnOnce(&mut State, &Io<'_>, &mut Output<'_>) -> T) -> T {
        if self.wanted.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        let mut guard = lock(inner);
        let Inner { state, backlog } = &mut *guard;
        let announced = !backlog.is_empty();
        let mut output = Output::waiting(backlog);
        let result = change(state, &self.io(), &mut output);
        if !announced && output.has_backlog() {
            self.kick.waker.wake();
        }
        tell(guard);
        result
    }

    /// Waits for the fences of what was sent without reply, since a connection that is closed with bytes to be read resets
    /// it: the server might never see some of it.
    fn await_fences(&self, inner: &Mutex<Inner>) {
        let mut events = Events::with_capacity(EVENTS);
        let mut guard = lock(inner);
        let deadline = Deadline::after(guard.state.patience());
        while guard.state.owes_fence() && !deadline.is_over() {
            if self.poller.wait(&mut events, Some(deadline.left())).is_err() {
                return;
            }
            self.step(&mut guard, &events, usize::MAX, &mut |_: u64, _: Answer<'_>| {});
        }
        tell(guard);
    }

    fn io(&self) -> Io<'_> {
        Io { poller: &self.poller, timer: &self.timer, kick: &self.kick, now: clock::now() }
    }

    fn lock_to_fetch<'a>(&self, inner: &'a Mutex<Inner>) -> Guard<'a> {
        self.wanted.store(true, Ordering::Relaxed);
        let guard = lock(inner);
        self.wanted.store(false, Ordering::Relaxed);
        guard
    }

    /// What is behind the lock, which a child of the process must not touch.
    fn inner(&self) -> Result<&Mutex<Inner>> {
        self.inner.get().ok_or_else(|| Error::new(Status::Forked, "the queue was made before a fork, in the parent"))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.get() {
            self.await_fences(inner);
        }
    }
}

/// Lets the lock go, and then tells of what happened under it.
fn tell(mut guard: Guard<'_>) {
    if guard.state.events.is_empty() {
        return;
    }
    let events = std::mem::take(&mut guard.state.events);
    drop(guard);
    events.into_iter().for_each(|(listener, event)| listener.tell(|| event));
}

fn lock(inner: &Mutex<Inner>) -> Guard<'_> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

type Guard<'a> = MutexGuard<'a, Inner>;

/// How long a fetch waits.
#[derive(Clone, Copy)]
enum Patience {
    None,
    Until(Deadline),
    Endless,
}

impl Patience {
    fn new(timeout_ms: i32) -> Patience {
        match u64::try_from(timeout_ms) {
            Err(_) => Patience::Endless,
            Ok(0) => Patience::None,
            Ok(timeout_ms) => Patience::Until(Deadline::after(Duration::from_millis(timeout_ms))),
        }
    }

    fn is_none(self) -> bool {
        matches!(self, Patience::None)
    }

    fn left(self) -> Option<Duration> {
        match self {
            Patience::None => Some(Duration::ZERO),
            Patience::Until(deadline) => Some(deadline.left()),
            Patience::Endless => None,
        }
    }

    fn is_over(self) -> bool {
        match self {
            Patience::None => true,
            Patience::Until(deadline) => deadline.is_over(),
            Patience::Endless => false,
        }
    }
}

/// Copies the value of an answer into `slab`, of which `used` bytes are taken, if it fits; answers with where it is.
pub(crate) fn place(answer: &mut Answer<'_>, slab: &mut [u8], used: &mut usize) -> Option<std::ops::Range<usize>> {
    let range = match &answer.value {
        Value::Borrowed(bytes) => place_bytes(bytes, slab, used),
        Value::Owned(bytes) => place_bytes(bytes, slab, used),
        Value::Placed(_) | Value::Skipped(_) => None,
    }?;
    answer.value = Value::NONE;
    Some(range)
}

/// The same for bytes.
#[inline]
pub(crate) fn place_bytes(bytes: &[u8], slab: &mut [u8], used: &mut usize) -> Option<std::ops::Range<usize>> {
    let range = *used..used.checked_add(bytes.len())?;
    slab.get_mut(range.clone())?.copy_from_slice(bytes);
    *used = range.end;
    Some(range)
}
