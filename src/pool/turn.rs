//! Turn: one caller's way through a line. Alone it writes and reads by itself. Where others are at work it joins the open
//! batch, or sends a batch of its own if that is large, and then sleeps until its answers have come, or until it is
//! asked to read for all.

use super::call::Call;
use super::callers::STEPS;
use super::hands::Hands;
use super::line::{Line, State};
use super::link::{Owner, Role};
use super::outgoing::Outgoing;
use super::{Limit, Shared};
use crate::connection::{Batch, Broken};
use crate::error::{bits, Error, Status};
use crate::net::{status_of, Deadline};
use crate::operation::{Answer, Operation, Sink};
use crate::protocol::Dialect;
use crate::sync::MutexGuard;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// One batch takes so many operations and bytes of one caller's; the rest goes in further ones. (A send takes at most
/// 1024 pieces, and a value that is not copied is two.)
const CHUNK_OPERATIONS: usize = 500;
const CHUNK_BYTES: usize = 64 * 1024;
/// So many batches of a caller that is alone are in flight before it reads.
const CHUNKS_AHEAD: usize = 8;
/// Values from here on are sent from the caller's memory.
const SPLICE: usize = 8 * 1024;
/// From here on a call does not join the batch of others.
const LARGE_CALL_BYTES: usize = 64 * 1024;

/// Why a caller cannot go on.
pub(super) enum Stop {
    /// Its deadline has passed; with `torn`, in the middle of a request.
    Timeout {
        torn: bool,
    },
    Broken(Broken),
    /// It may not wait: it goes on later.
    Later,
}

impl Stop {
    pub fn lost(what: &str, error: &io::Error) -> Stop {
        Stop::Broken(Broken { status: status_of(error), message: format!("{what}: {error}") })
    }

    /// Somebody else has given up the connection.
    pub fn gone() -> Stop {
        Stop::Broken(Broken { status: Status::Connection, message: "the connection was lost".into() })
    }
}

/// What was put into a batch.
#[derive(Default)]
pub(super) struct Filled {
    /// Some operation awaits its reply.
    awaited: bool,
    /// The operations without reply.
    quiet: Vec<u32>,
}

pub(super) type Guard<'a> = MutexGuard<'a, State>;

/// See the module.
pub(super) struct Turn<'a> {
    pub(super) line: &'a Line,
    pub(super) shared: &'a Shared,
    pub(super) operations: &'a [Operation<'a>],
    pub(super) limit: Limit,
    pub(super) hands: Hands<'a>,
    /// The number of the batch that it has joined while that was open.
    pub(super) seat: Option<u64>,
    /// How often it has let others run since its operations are in the open batch: what these would add to it is there.
    pub(super) steps: u32,
    /// Until when it waits at the most before it looks elsewhere.
    pub(super) patience: Option<Deadline>,
    /// Nothing has been waited for since the call began.
    pub(super) at_once: bool,
    /// The deadline has passed: this caller sends nothing more for others.
    pub(super) leaving: bool,
    /// It goes on over other servers too, and must not wait for this one.
    pub(super) is_apart: bool,
    /// What it has begun to send, as the one who writes.
    pub(super) rest: Option<Outgoing>,
    /// It may leave before its replies have come.
    pub(super) quiet: bool,
    /// The first operation that is in no batch yet.
    pub(super) next: usize,
    /// The right to read, while this caller has it.
    pub(super) role: Option<Box<Role>>,
    pub(super) generation: u64,
    pub(super) dialect: Dialect,
    /// Opaque of the first operation.
    pub(super) opaque: u32,
    /// Where the answers come if this caller is not the one that began the reading.
    pub(super) call: Option<Arc<Call>>,
    /// Among others: the number of the last batch with operations of this caller's.
    pub(super) awaited: Option<u64>,
    /// How often it has looked for what had come when its deadline passed.
    pub(super) late_looks: u32,
    /// The failure of what has no answer in the end.
    pub(super) failure: Option<Error>,
}

impl<'a> Turn<'a> {
    pub fn new(
        line: &'a Line,
        shared: &'a Shared,
        operations: &'a [Operation<'a>],
        sink: &'a mut dyn Sink,
        limit: Limit,
    ) -> Turn<'a> {
        Turn {
            line,
            shared,
            operations,
            limit,
            hands: Hands::new(sink),
            seat: None,
            steps: 0,
            patience: None,
            at_once: false,
            leaving: false,
            is_apart: false,
            rest: None,
            quiet: false,
            next: 0,
            role: None,
            generation: 0,
            dialect: Dialect::Text,
            opaque: 0,
            call: None,
            awaited: None,
            late_looks: 0,
            failure: None,
        }
    }

    /// Runs the whole call, with the lock of a line that has a connection.
    pub fn run(&mut self, state: Guard<'a>) {
        let Some(mut state) = self.enter(state) else { return };
        let Some(link) = state.link.as_mut() else { return };
        let joins = self.line.gathers(link, &self.limit) && !self.is_large() && !self.has_quiet();
        if link.is_free() && !joins {
            // A call that has waited for the connection has less time left than the socket would give it.
            self.at_once = link.opened_at < self.limit.begun;
            self.alone(state);
        } else {
            self.send_among_others(state);
            self.wait_among_others();
        }
        self.finish();
    }

    /// Answers all operations with the reason why there is no connection.
    #[cold]
    pub fn refuse_all(&mut self, error: &Error) {
        self.hands.counted.operations = self.operations.len() as u64;
        self.give_unsent(0..self.operations.len(), error);
        self.line.count(&std::mem::take(&mut self.hands.counted));
        self.next = self.operations.len();
    }

    /// Takes its place on the connection.
    #[inline(always)]
    pub(super) fn enter(&mut self, mut state: Guard<'a>) -> Option<Guard<'a>> {
        state.counters.operations += self.operations.len() as u64;
        let link = state.link.as_mut()?;
        self.generation = link.generation;
        self.dialect = link.dialect;
        self.opaque = link.reserve(self.operations.len());
        Some(state)
    }

    /// Answers what has no answer yet.
    #[inline(always)]
    pub(super) fn finish(&mut self) {
        let left = self.next..self.operations.len();
        if self.call.is_some() || !left.is_empty() {
            self.answer_rest(left);
        }
        if self.hands.counted.has_any() {
            self.line.count(&self.hands.counted);
        }
    }

    fn answer_rest(&mut self, left: Range<usize>) {
        let error = self.failure.take().unwrap_or_else(|| Error::new(Status::Bug, "an operation got no answer"));
        let Some(call) = self.call.take() else { return self.give_unsent(left, &error.with_bits(bits::NOT_SENT)) };
        for index in left {
            if let Some(refusal) = self.shared.refusal(&self.operations[index]) {
                call.answer(index as u32, Answer::failed(&refusal));
            }
        }
        call.finish(&mut self.hands, || error.clone());
    }

    /// Answers operations that were not sent.
    fn give_unsent(&mut self, indices: Range<usize>, error: &Error) {
        for index in indices {
            let error = self.shared.unsent(&self.operations[index], error);
            self.hands.give(index, Answer::failed(&error));
        }
    }

    fn is_large(&self) -> bool {
        let bytes = self.operations.iter().fold(0usize, |sum, op| sum.saturating_add(op.value.len() + op.key.len()));
        self.operations.len() > CHUNK_OPERATIONS || bytes >= LARGE_CALL_BYTES
    }

    // ---- Alone: both roles, answers straight to the sink ----

    fn alone(&mut self, mut state: Guard<'a>) {
        let Some(link) = state.link.as_mut() else { return };
        self.role = link.role.take();
        link.writing = true;
        self.go_on_alone(state);
    }

    /// With both roles, sends all operations and reads until they are answered.
    pub(super) fn go_on_alone(&mut self, mut state: Guard<'a>) {
        let sequence = state.next_sequence();
        let Some(link) = state.link.as_mut() else { return };
        self.quiet = self.is_quiet();
        if !self.quiet {
            link.time(sequence);
        }
        let batch = link.fresh_batch(sequence);
        drop(state);
        let sent = self.send_all_own(batch);
        if let Err(Stop::Timeout { torn: false }) = &sent {
            // Between two batches: the connection may be kept, and others must be able to write.
            if let Some(link) = self.line.lock().link_of(self.generation) {
                link.writing = false;
            }
            self.line.words.wake_writer();
        }
        let led = sent.and_then(|()| self.release_writer()).and_then(|()| self.lead());
        if let Err(stop) = led {
            self.stop(stop);
        }
    }

    /// Sends all operations, in as many batches as it takes, reading where too much is in flight.
    fn send_all_own(&mut self, mut batch: Box<Batch<Owner>>) -> Result<(), Stop> {
        loop {
            self.send_own(batch)?;
            if self.next >= self.operations.len() {
                return Ok(());
            }
            while self.hands.own_batches >= CHUNKS_AHEAD {
                self.read()?;
            }
            let mut state = self.line.lock();
            self.account(&mut state);
            batch = self.fresh_batch(&mut state)?;
        }
    }

    /// Fills a batch with this caller's next operations and sends it.
    fn send_own(&mut self, mut batch: Box<Batch<Owner>>) -> Result<(), Stop> {
        let filled = self.fill(&mut batch, SPLICE, CHUNK_BYTES);
        batch.assign(if filled.awaited { Owner::Own } else { Owner::Gone });
        let Some(role) = self.role.as_mut().filter(|_| !batch.is_empty()) else { return Ok(()) };
        batch.seal(self.dialect);
        let outgoing = Outgoing::new(self.operations, batch.out(), batch.take_pieces());
        if self.quiet {
            self.hands.last_quiet = batch.sequence;
        }
        role.reader.push(batch);
        self.hands.own_batches += usize::from(filled.awaited);
        self.hands.begun += 1;
        self.hands.counted.batches += 1;
        let socket = role.socket.clone();
        let sent = self.send(&socket, outgoing);
        self.answer_quiet(filled.quiet, &sent);
        match filled.awaited {
            true => sent,
            false => sent.and_then(|()| self.thin_out()),
        }
    }

    fn fresh_batch(&mut self, state: &mut Guard<'a>) -> Result<Box<Batch<Owner>>, Stop> {
        let sequence = state.next_sequence();
        let link = state.link_of(self.generation).ok_or_else(Stop::gone)?;
        Ok(link.fresh_batch(sequence))
    }

    /// Puts operations into the batch until it is full or they are all in. What is refused is answered at once.
    pub(super) fn fill(&mut self, batch: &mut Batch<Owner>, splice: usize, most: usize) -> Filled {
        let begun = self.next;
        let mut filled = Filled::default();
        let mut bytes = 0usize;
        let mut writer = batch.writer(self.dialect);
        while let Some(operation) = self.operations.get(self.next) {
            bytes = bytes.saturating_add(operation.key.len() + operation.value.len());
            if self.next > begun && (self.next - begun >= CHUNK_OPERATIONS || bytes > most) {
                break;
            }
            let index = self.next as u32;
            self.next += 1;
            let fits = self.shared.settings.check_size(operation);
            let opaque = self.opaque.wrapping_add(index);
            match fits.and_then(|()| writer.push(operation, index, opaque, splice)) {
                Ok(()) if operation.is_quiet() => filled.quiet.push(index),
                Ok(()) => filled.awaited = true,
                Err(error) => self.refuse(index, &error),
            }
        }
        filled
    }

    fn refuse(&mut self, index: u32, error: &Error) {
        match &self.call {
            Some(call) => call.answer(index, Answer::failed(error)),
            None => self.hands.give(index as usize, Answer::failed(error)),
        }
    }

    // ---- Among others: answers by way of a call ----

    /// Sends the operations, or leaves that to who writes; the caller is enlisted for what is awaited then.
    fn send_among_others(&mut self, state: Guard<'a>) {
        self.call = Some(Call::new(self.operations.len()));
        self.quiet = self.has_quiet();
        let sent = self.send_first(state);
        self.begin_waiting(sent);
    }

    /// What was to be sent is, or the caller waits for nothing any more.
    pub(super) fn begin_waiting(&mut self, sent: Result<(), Stop>) {
        if let Err(stop) = sent {
            self.awaited.take().into_iter().for_each(|sequence| self.line.delist(sequence));
            self.stop(stop);
        }
    }

    pub(super) fn send_first(&mut self, state: Guard<'a>) -> Result<(), Stop> {
        match self.quiet || self.is_large() {
            true => self.send_large(state),
            false => self.join(state),
        }
    }

    /// Waits for the answers of what was sent. The caller is enlisted for it, and is not any more afterwards.
    pub(super) fn wait_among_others(&mut self) {
        let Some(sequence) = self.awaited.take() else { return };
        let followed = match self.quiet && self.is_done() {
            true => self.thin_out().and_then(|()| self.hand_back()),
            false => self.follow(sequence),
        };
        self.line.delist(sequence);
        if let Err(stop) = followed {
            self.stop(stop);
        }
    }

    /// Joins the open batch, and sends it if nobody else is about to.
    fn join(&mut self, mut state: Guard<'a>) -> Result<(), Stop> {
        let Some(link) = state.link.as_mut() else { return Ok(()) };
        let open = &mut link.open;
        self.fill(open, usize::MAX, usize::MAX);
        if let Some(call) = &self.call {
            open.assign(Owner::Shared(call.clone()));
        }
        (self.awaited, self.seat) = (Some(open.sequence), Some(open.sequence));
        self.line.words.enlist(open.sequence);
        match self.is_apart {
            true => link.hurry(),
            false => link.join(),
        }
        self.flush(state).map(drop)
    }

    /// Sends batches of its own, straight from the caller's memory, whenever nobody else writes.
    pub(super) fn send_large(&mut self, mut state: Guard<'a>) -> Result<(), Stop> {
        while self.next < self.operations.len() {
            state = self.become_writer(state)?;
            self.send_shared(state)?;
            state = self.line.lock();
        }
        Ok(())
    }

    fn become_writer(&mut self, mut state: Guard<'a>) -> Result<Guard<'a>, Stop> {
        loop {
            let link = state.link_of(self.generation).ok_or_else(Stop::gone)?;
            if !link.writing {
                link.writing = true;
                return Ok(state);
            }
            if self.is_apart {
                return Err(Stop::Later);
            }
            if self.role.is_some() {
                // Nobody sleeps with the right to read.
                drop(state);
                self.hand_back()?;
                state = self.line.lock();
                continue;
            }
            let seen = self.line.words.write_word();
            self.line.words.enlist_writer();
            drop(state);
            if !self.limit.deadline.is_over() {
                self.line.words.wait_for_writer(seen, self.limit.deadline);
            }
            self.line.words.delist_writer();
            if self.limit.deadline.is_over() {
                return Err(Stop::Timeout { torn: false });
            }
            state = self.line.lock();
        }
    }

    /// As the writer, sends the next batch of this caller's, for which it is enlisted then, and lets others write.
    fn send_shared(&mut self, mut state: Guard<'a>) -> Result<(), Stop> {
        let mut batch = self.fresh_batch(&mut state)?;
        drop(state);
        let filled = self.fill(&mut batch, SPLICE, CHUNK_BYTES);
        let awaited = self.call.as_ref().filter(|_| filled.awaited);
        batch.assign(awaited.map_or(Owner::Gone, |call| Owner::Shared(call.clone())));
        self.await_batch(&batch);
        let mut state = self.line.lock();
        self.account(&mut state);
        let launched = self.launch(state, batch).map(drop);
        if let Some(rest) = &mut self.rest {
            rest.quiet = filled.quiet;
            return launched;
        }
        self.answer_quiet(filled.quiet, &launched);
        let sent = launched.and_then(|()| {
            let mut state = self.line.lock();
            if let Some(link) = state.link_of(self.generation) {
                link.writing = false;
            }
            self.flush(state).map(drop)
        });
        self.line.words.wake_writer();
        sent
    }

    /// Enlists this caller for the batch that it is about to send. One that stays empty is not sent, and does not take the
    /// place of one that was.
    fn await_batch(&mut self, batch: &Batch<Owner>) {
        if self.quiet && !batch.is_empty() {
            self.hands.last_quiet = batch.sequence;
        }
        if self.awaited.is_none() || !batch.is_empty() {
            self.line.words.enlist(batch.sequence);
            let before = self.awaited.replace(batch.sequence);
            before.into_iter().for_each(|sequence| self.line.delist(sequence));
        }
    }

    /// Waits for the answers of batch `sequence`, reading for all when nobody else does.
    pub(super) fn follow(&mut self, sequence: u64) -> Result<(), Stop> {
        loop {
            let seen = self.line.words.word(sequence);
            if self.role.is_some() {
                self.lead()?;
            }
            if self.is_done() {
                return Ok(());
            }
            let (mut state, mut is_lively) = (self.line.lock(), false);
            if let Some(link) = state.link_of(self.generation) {
                if link.may_send() && self.is_to_send(link) {
                    drop(self.flush(state)?);
                    continue;
                }
                if link.may_read() {
                    self.role = link.role.take();
                    self.line.words.reader_found();
                    continue;
                }
                is_lively = self.line.is_lively(link, &self.limit);
            }
            drop(state);
            let deadline = self.patience.unwrap_or(self.limit.deadline);
            if deadline.is_over() {
                return Err(Stop::Timeout { torn: false });
            }
            if is_lively && self.steps < STEPS {
                self.line.step_back();
                self.steps += 1;
            } else {
                self.line.words.sleep(sequence, seen, deadline);
                // Nobody is waited for any more.
                self.steps = STEPS;
            }
        }
    }

    /// Whether this caller has nothing more to wait for.
    pub(super) fn is_done(&self) -> bool {
        match &self.call {
            Some(call) => call.is_done(),
            None => self.hands.own_batches == 0,
        }
    }
}
