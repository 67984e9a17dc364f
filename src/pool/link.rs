//! Link: what the callers of one connection share under its lock: who writes, who reads, what is open and what is in
//! flight.

use super::call::Call;
use super::Shared;
use crate::connection::{self, Batch, Broken, Reader};
use crate::net::{clock, Socket};
use crate::protocol::Dialect;
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

/// Words that callers sleep on; the batch with number `n` has word `n % WORDS`.
pub(super) const WORDS: usize = 2 * connection::WIDEST as usize;

/// How many emptied batches a link keeps.
const SPARES: usize = 3;

/// See [`Link::hurry`].
const HASTE: u32 = u32::MAX;

/// So many replies may come for nobody, and for so long, before a connection is given up.
const MAX_GONE: u32 = 64;
pub(super) const MAX_GONE_TIME: u64 = 1_000_000_000;

/// Of so many batches that are sent while nothing else is in flight, one has its round trip measured, and so has one of
/// so many calls that go without a batch.
const MEASURE_EACH: u64 = 8;
const MEASURE_EACH_CALL: u32 = 64;

/// Who awaits the answers of some operations.
#[derive(Debug)]
pub(super) enum Owner {
    /// The caller that reads: answers go straight to its sink.
    Own,
    /// A caller that sleeps, or reads for others too.
    Shared(Arc<Call>),
    /// Nobody any more.
    Gone,
}

/// The right to read from a link: whoever has the box has it.
pub(super) struct Role {
    pub reader: Reader<Owner>,
    pub socket: Arc<Socket>,
    /// When bytes came last; the handshake's do not count.
    pub received_at: u64,
    /// Where a request that goes alone is written (`lone`).
    pub request: Vec<u8>,
}

/// See the module.
pub(super) struct Link {
    pub socket: Arc<Socket>,
    /// The right to read, while nobody has it.
    pub role: Option<Box<Role>>,
    /// Somebody sends, or is about to.
    pub writing: bool,
    /// Operations that wait to be sent together.
    pub open: Box<Batch<Owner>>,
    /// Batches that are being sent and that the reader has not taken over yet.
    pub sealed: VecDeque<Box<Batch<Owner>>>,
    /// How many callers have joined the open batch. (`HASTE`: it does not wait for more.)
    joined: u32,
    /// Memory for the next batches, boxed as they are passed around.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Batch<Owner>>>,
    pub in_flight: u32,
    pub dialect: Dialect,
    pub generation: u64,
    /// How often all connections had been dropped when it was opened.
    pub drops: u64,
    /// Of the next operation.
    opaque: u32,
    /// How many calls have gone without a batch.
    calls: u32,
    /// Why whoever reads is to give the link up.
    pub doomed: Option<Broken>,
    /// Smoothed minimum of the round trip in nanoseconds, from sending to the answer; zero: not measured yet. (What the
    /// kernel knows of it ends at the next proxy.)
    pub round_trip: u64,
    /// A batch whose round trip is being measured, and when it was sent.
    pub timed: Option<(u64, u64)>,
    /// When it was opened: a call that began before has waited for that.
    pub opened_at: u64,
    pub last_used: u64,
    /// When a batch was last sent while none was in flight.
    pub sent_at: u64,
    /// The number of the last batch that was answered, and of the last one with operations without reply.
    answered: u64,
    pub last_quiet: u64,
    /// Replies in flight that nobody awaits any more, and since when there are any.
    pub gone: u32,
    pub gone_since: u64,
}

impl Link {
    /// A link over a connection that has just been opened.
    pub fn new(shared: &Shared, generation: u64, sequence: u64, (socket, dialect): (Socket, Dialect)) -> Link {
        let socket = Arc::new(socket);
        let reader = Reader::new(usize::try_from(shared.settings.max_value_bytes).unwrap_or(usize::MAX));
        let now = clock::now_coarse();
        let mut open = Box::<Batch<Owner>>::default();
        open.sequence = sequence;
        let role = Role { reader, socket: socket.clone(), received_at: 0, request: Vec::new() };
        Link {
            socket,
            role: Some(Box::new(role)),
            writing: false,
            open,
            sealed: VecDeque::new(),
            joined: 0,
            spare: Vec::new(),
            in_flight: 0,
            dialect,
            generation,
            drops: shared.drops(),
            opaque: 0,
            calls: 0,
            doomed: None,
            round_trip: 0,
            timed: None,
            opened_at: now,
            last_used: now,
            sent_at: now,
            answered: 0,
            last_quiet: 0,
            gone: 0,
            gone_since: 0,
        }
    }

    /// Whether nothing at all goes on: a caller may take both roles and be alone.
    pub fn is_free(&self) -> bool {
        self.role.is_some() && !self.writing && self.in_flight == 0 && self.open.is_empty()
    }

    /// Whether nobody uses it, and callers have left it with replies to come: of fences, or of what took too long.
    pub fn is_left(&self) -> bool {
        let owes = self.gone > 0 || self.owes_fence();
        self.role.is_some() && !self.writing && self.open.is_empty() && owes
    }

    /// Whether somebody who waits has to come and read, or send what is open.
    pub fn needs_caller(&self) -> bool {
        self.role.is_some() && (self.in_flight > 0 || (!self.open.is_empty() && !self.writing))
    }

    /// Whether a caller who comes may send what is open.
    #[inline(always)]
    pub fn may_send(&self) -> bool {
        !self.writing && !self.open.is_empty() && self.is_window_open()
    }

    /// Whether a caller who comes may read what is in flight.
    #[inline(always)]
    pub fn may_read(&self) -> bool {
        self.in_flight > 0 && self.role.is_some()
    }

    /// Counts one more reply that will come for nobody; whether these are too many, or awaited for too long.
    pub fn lose_one(&mut self, now: u64) -> bool {
        if self.gone == 0 {
            self.gone_since = now;
        }
        self.gone += 1;
        self.gone > MAX_GONE || self.is_overdue(now)
    }

    /// Whether replies that nobody awaits any more have been to come for too long.
    pub fn is_overdue(&self, now: u64) -> bool {
        self.gone > 0 && now.saturating_sub(self.gone_since) > MAX_GONE_TIME
    }

    /// The opaque of the first of so many operations of a call.
    pub fn reserve(&mut self, operations: usize) -> u32 {
        let first = self.opaque;
        self.opaque = first.wrapping_add(operations as u32);
        first
    }

    /// A call is about to be sent without a batch: now and then its round trip is measured, from the moment that this
    /// answers with.
    pub fn time_call(&mut self) -> Option<u64> {
        self.calls = self.calls.wrapping_add(1);
        (self.round_trip == 0 || self.calls % MEASURE_EACH_CALL == 0).then(clock::now)
    }

    /// Batch `sequence` is about to be sent: now and then its round trip is measured, if nothing else is in flight.
    pub fn time(&mut self, sequence: u64) {
        if self.in_flight == 0 && (self.round_trip == 0 || sequence % MEASURE_EACH == 0) {
            self.timed = Some((sequence, clock::now()));
        }
    }

    /// Batch `sequence` is answered.
    pub fn was_answered(&mut self, sequence: u64) {
        self.answered = self.answered.max(sequence);
        match self.timed {
            Some((timed, sent_at)) if timed == sequence => {
                self.timed = None;
                self.measured(clock::now() - sent_at);
            }
            _ => {}
        }
    }

    /// Whether the fence of some operation without reply is still to come.
    pub fn owes_fence(&self) -> bool {
        !self.is_answered(self.last_quiet)
    }

    /// Whether batch `sequence`, which was sent, is answered. (Of batches that somebody waits for in this way the numbers
    /// go up in the order in which they are sent; an open batch may have a lower one than what was sent before it.)
    pub fn is_answered(&self, sequence: u64) -> bool {
        self.answered >= sequence
    }

    /// Takes in a measured round trip: a shorter one at once, a longer one little by little.
    pub fn measured(&mut self, round_trip: u64) {
        self.round_trip = match self.round_trip {
            0 => round_trip,
            before => round_trip.min(before + before / 8),
        };
    }

    /// Whether one more batch may be in flight.
    pub fn is_window_open(&self) -> bool {
        self.in_flight < connection::window(self.round_trip)
    }

    /// One more caller has joined the open batch, and comes back to send it.
    pub fn join(&mut self) {
        self.joined = self.joined.saturating_add(1);
    }

    /// One of those who have joined the open batch leaves before it is sent. Where that was the last it is not sent any more,
    /// and answers `true`: what nobody waits for is not to be executed at some later time.
    pub fn leave(&mut self) -> bool {
        if self.joined < HASTE {
            self.joined = self.joined.saturating_sub(1);
        }
        if self.joined == 0 {
            self.open.clear();
        }
        self.joined == 0
    }

    /// Somebody has put operations into the open batch who may not come back to send it: it does not wait for others.
    pub fn hurry(&mut self) {
        self.joined = HASTE;
    }

    /// How many callers have joined the open batch; more than there can be, if it does not wait for others.
    pub fn joined(&self) -> u32 {
        self.joined
    }

    /// Takes the open batch out to be sent, and puts an empty one with this number in its place.
    pub fn take_open(&mut self, sequence: u64) -> Box<Batch<Owner>> {
        self.joined = 0;
        let next = self.fresh_batch(sequence);
        mem::replace(&mut self.open, next)
    }

    /// Whether replies come soon.
    pub fn is_short(&self) -> bool {
        connection::is_short(self.round_trip)
    }

    /// An empty batch with this number.
    pub fn fresh_batch(&mut self, sequence: u64) -> Box<Batch<Owner>> {
        let mut batch = self.spare.pop().unwrap_or_default();
        batch.sequence = sequence;
        batch
    }

    /// Keeps the memory of an answered batch for the next one.
    pub fn keep_batch(&mut self, batch: Box<Batch<Owner>>) {
        if self.spare.len() < SPARES {
            self.spare.push(batch);
        }
    }

    /// Counts so many batches as answered.
    pub fn end_flight(&mut self, ended: u32) {
        self.in_flight = self.in_flight.saturating_sub(ended);
        if self.in_flight == 0 {
            self.gone = 0;
        }
    }

    /// Counts one more batch as in flight, from `now` on.
    pub fn begin_flight(&mut self, now: u64) {
        if self.in_flight == 0 {
            self.sent_at = now;
        }
        self.in_flight += 1;
    }
}
