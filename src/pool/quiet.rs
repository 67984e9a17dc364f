//! Operations without reply: their callers leave once the kernel has the requests. The reply of the fence behind them is read
//! by whoever uses the connection next; nobody may pile up too many, nor lose them by closing the connection.
//! Replies that callers have given up are read, or given up for good, in the same way.

use super::line::{Line, Nobody};
use super::link::{Link, MAX_GONE_TIME};
use super::turn::{Guard, Stop, Turn};
use super::{Event, EventKind, Limit, Shared};
use crate::connection::Broken;
use crate::error::{bits, Error, Status};
use crate::net::Wait;
use crate::operation::{Answer, Operation};
use std::mem;

/// So many batches may be in flight when a caller leaves without its replies.
const MAX_AHEAD: u32 = 16;
/// So many different failures are told of at once; what comes then is told as more of the last one.
const MAX_TOLD: usize = 64;

/// Failures of operations without reply that nobody was told of yet.
#[derive(Default)]
pub(crate) struct QuietFailures(Option<Box<List>>);

#[derive(Default)]
struct List {
    failures: Vec<(u64, Error)>,
}

impl QuietFailures {
    /// Takes in a failure, and answers with how many that makes: what was never sent is its caller's to know.
    #[cold]
    pub fn take_in(&mut self, answer: &Answer<'_>) -> u64 {
        let Some(error) = answer.error().filter(|error| error.bits() & bits::NOT_SENT == 0) else { return 0 };
        let failures = &mut self.0.get_or_insert_default().failures;
        let full = failures.len() >= MAX_TOLD;
        match failures.last_mut() {
            Some((count, last)) if full || is_same(last, &error) => *count += 1,
            _ => failures.push((1, error)),
        }
        1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The events that tell of them.
    pub fn events(&mut self, shared: &Shared) -> Vec<Event> {
        let list = self.0.take().map(|list| list.failures).unwrap_or_default();
        let event = |(count, error): (u64, Error)| {
            let plural = if count == 1 { "" } else { "s" };
            let words = format!("{count} operation{plural} without reply: {}", error.message());
            Event::failure(EventKind::QuietFailure, 0, &shared.named(&Error::new(error.status(), words)))
        };
        list.into_iter().map(event).collect()
    }
}

impl Turn<'_> {
    /// Whether some operation goes without reply.
    pub(super) fn has_quiet(&self) -> bool {
        self.operations.iter().any(Operation::is_quiet)
    }

    /// Whether all do.
    pub(super) fn is_quiet(&self) -> bool {
        self.operations.iter().all(Operation::is_quiet)
    }

    /// The operations without reply among those that `fill` has put into a batch were sent, or not.
    pub(super) fn answer_quiet(&mut self, quiet: Vec<u32>, sent: &Result<(), Stop>) {
        if quiet.is_empty() {
            return;
        }
        let error = sent.as_ref().err().map(|stop| self.error_of(stop));
        for index in quiet {
            let answer = match &error {
                None => Answer { bits: bits::SENT, ..Answer::new(Status::Ok) },
                Some(error) => Answer::failed(error),
            };
            match &self.call {
                Some(call) => call.answer(index, answer),
                None => self.hands.give(index as usize, answer),
            }
        }
    }

    fn error_of(&self, stop: &Stop) -> Error {
        let error = match (self.shared.check_open(), stop) {
            // Whatever it looks like, the reason is that.
            (Err(closed), _) => Error::new(closed.status(), closed.message().to_string()),
            (Ok(()), Stop::Timeout { .. } | Stop::Later) => self.limit.error(&self.shared.address),
            (Ok(()), Stop::Broken(broken)) => self.shared.named(&Error::new(broken.status, broken.message.clone())),
        };
        error.with_bits(bits::SENT | bits::UNKNOWN_OUTCOME)
    }

    /// Before a caller leaves without its replies: if too many are in flight it waits, and reads if nobody else does.
    /// Its last batch is the one that it is enlisted for, if there is any.
    pub(super) fn thin_out(&mut self) -> Result<(), Stop> {
        self.read_until(self.hands.last_quiet, MAX_AHEAD)
    }

    /// Whether it would have to wait for that.
    pub(super) fn is_to_thin_out(&self) -> bool {
        let mut state = self.line.lock();
        let link = state.link_of(self.generation).filter(|_| self.quiet);
        link.is_some_and(|link| link.in_flight > MAX_AHEAD && !link.is_answered(self.hands.last_quiet))
    }

    /// Waits until batch `sequence` is answered, or no more than `most` are in flight. It is enlisted for that batch, by
    /// whose end it is woken, or has the right to read.
    fn read_until(&mut self, sequence: u64, most: u32) -> Result<(), Stop> {
        loop {
            let seen = self.line.words.word(sequence);
            let mut state = self.line.lock();
            self.account(&mut state);
            let Some(link) = state.link_of(self.generation) else { return Ok(()) };
            if link.is_answered(sequence) || link.in_flight <= most {
                return Ok(());
            }
            if self.role.is_none() {
                self.role = link.role.take();
                self.role.iter().for_each(|_| self.line.words.reader_found());
            }
            if self.role.is_some() {
                drop(self.flush(state)?);
                self.line.words.wake_finished(&mut self.hands);
                // What others have sent may be answered already, by bytes that came before it was known here.
                self.advance()?;
                if self.hands.ended == 0 && !self.is_reader_idle() {
                    self.read()?;
                }
                continue;
            }
            drop(state);
            if self.limit.deadline.is_over() {
                return Err(Stop::Timeout { torn: false });
            } else {
                self.line.words.sleep(sequence, seen, self.limit.deadline);
            }
        }
    }

    /// Counts and tells of operations without reply that have failed. Nothing is held.
    pub(super) fn tell_quiet(&mut self) {
        if self.hands.quiet.is_empty() {
            return;
        }
        self.line.count(&mem::take(&mut self.hands.counted));
        let events = self.hands.quiet.events(self.shared);
        events.into_iter().for_each(|event| self.shared.settings.listener.tell(|| event));
    }
}

fn is_same(one: &Error, other: &Error) -> bool {
    one.status() == other.status() && one.message() == other.message()
}

impl Line {
    /// Before the connection is closed: waits, until the deadline, for the fences of the operations without reply that were
    /// sent before, without which the server might never see some of them. (Who closes while bytes wait to be read resets
    /// the connection.)
    pub fn await_fences(&self, shared: &Shared, limit: Limit) {
        let mut state = self.lock();
        let Some(link) = state.link.as_mut().filter(|link| link.owes_fence()) else { return };
        let sequence = link.last_quiet;
        let mut nobody = Nobody;
        let mut turn = Turn::of_nobody(self, shared, link, &mut nobody, limit);
        self.words.enlist(sequence);
        drop(state);
        let read = turn.read_until(sequence, 0);
        turn.leave(read);
        self.delist(sequence);
    }

    /// Takes in what has come of replies that callers have given up; whether there is nothing left of them to wait for.
    #[cold]
    pub fn settle(&self, shared: &Shared, limit: &Limit) -> bool {
        self.join();
        let state = self.lock();
        if state.link.as_ref().is_some_and(|link| link.gone > 0 && link.is_left()) {
            self.catch_up(shared, *limit, state);
        } else {
            drop(state);
        }
        let owing = self.lock().link.as_ref().is_some_and(|link| link.gone > 0);
        self.set_owing(owing);
        self.leave();
        !owing
    }

    /// Takes in what has come on a connection that was idle, for operations whose callers have left.
    #[cold]
    pub fn catch_up(&self, shared: &Shared, limit: Limit, mut state: Guard<'_>) {
        let Some(link) = state.link.as_mut() else { return };
        let mut nobody = Nobody;
        let mut turn = Turn::of_nobody(self, shared, link, &mut nobody, limit);
        turn.role = link.role.take();
        drop(state);
        let read = turn.receive_all().and_then(|()| turn.check_overdue());
        turn.leave(read);
    }
}

impl<'a> Turn<'a> {
    fn of_nobody(line: &'a Line, shared: &'a Shared, link: &Link, nobody: &'a mut Nobody, limit: Limit) -> Turn<'a> {
        let mut turn = Turn::new(line, shared, &[], nobody, limit);
        (turn.generation, turn.dialect) = (link.generation, link.dialect);
        turn
    }

    /// Receives until nothing more is there, or nobody is known who it is for.
    fn receive_all(&mut self) -> Result<(), Stop> {
        loop {
            self.account(&mut self.line.lock());
            self.advance()?;
            let stray = self.role.as_ref().is_none_or(|role| role.reader.is_idle() && role.reader.has_bytes());
            if stray || !self.receive(Wait::No)? {
                return Ok(());
            }
        }
    }

    /// Fails where nothing has come for a long time of what callers have given up, and nobody else waits for anything.
    fn check_overdue(&mut self) -> Result<(), Stop> {
        let received_at = self.role.as_ref().map_or(u64::MAX, |role| role.received_at);
        let silent = self.limit.begun.saturating_sub(received_at) > MAX_GONE_TIME && self.line.users() <= 1;
        let mut state = self.line.lock();
        match state.link_of(self.generation).filter(|link| silent && link.is_overdue(self.limit.begun)) {
            None => Ok(()),
            Some(_) => {
                let message = "what was given up has not come since, connection given up".to_string();
                Err(Stop::Broken(Broken { status: Status::Timeout, message }))
            }
        }
    }

    fn leave(&mut self, read: Result<(), Stop>) {
        if let Err(stop) = read.and_then(|()| self.hand_back()) {
            self.stop(stop);
        }
        self.finish();
    }
}
