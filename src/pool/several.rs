//! Several: one call over several servers. It sends to all of them first and then collects their answers, so that the
//! round trips go on at the same time. While it sends to one server it has no right to read from another, and nobody
//! counts on it there: two such calls can never wait for each other.

use super::line::{Attempt, State, Way};
use super::opening::{wait_for_any, GLANCE};
use super::turn::Turn;
use super::{Limit, Line, Pool};
use crate::error::Result;
use crate::net::{tally, LOOK};
use crate::operation::{Operation, Sink};
use crate::sync::MutexGuard;

/// What a call has for one server; answers come by their index among these operations.
pub(crate) struct Part<'a> {
    pub pool: &'a Pool,
    pub operations: &'a [Operation<'a>],
    pub sink: &'a mut dyn Sink,
}

/// A part that was let in.
struct Begun<'a> {
    pool: &'a Pool,
    line: &'a Line,
    turn: Turn<'a>,
    /// The connection that this call opens for it.
    attempt: Option<Box<Attempt>>,
    /// What was seen of attempts that others make.
    seen: Option<u64>,
}

/// Runs all parts. Each is sent as soon as its server is connected; those that are not are connected at the same time.
pub(crate) fn run_several(parts: Vec<Part<'_>>, limit: Limit) {
    let (aside, parts): (Vec<_>, Vec<_>) = parts.into_iter().partition(Part::goes_aside);
    let mut begun: Vec<_> = parts.into_iter().filter_map(|part| Begun::admit(part, limit)).collect();
    let mut cold: Vec<_> = begun.iter_mut().filter_map(|part| (!part.set_out(limit)).then_some(part)).collect();
    while !cold.is_empty() {
        wait(&mut cold);
        cold.retain_mut(|part| !part.set_out(limit));
    }
    begun.into_iter().for_each(|part| part.end(limit));
    aside.into_iter().for_each(|part| part.pool.run_far(part.operations, part.sink, limit));
}

/// Waits until one of the connections may go on.
fn wait(cold: &mut [&mut Begun<'_>]) {
    let calls = tally::made();
    let attempts = cold.iter().filter_map(|part| part.attempt.as_deref());
    // Of a connection that another caller opens nothing is heard: it is looked after.
    let most = if cold.iter().all(|part| part.attempt.is_some()) { LOOK } else { GLANCE };
    // Where it fails, what is next to be done does too, or the deadline ends it.
    let _ = wait_for_any(attempts.map(|attempt| &attempt.opening), most);
    if let Some(attempt) = cold.iter_mut().find_map(|part| part.attempt.as_deref_mut()) {
        attempt.calls += tally::made() - calls;
    }
}

impl Part<'_> {
    /// Whether some of it has a connection to itself.
    fn goes_aside(&self) -> bool {
        self.operations.iter().any(|operation| operation.command.goes_aside())
    }
}

impl<'a> Begun<'a> {
    fn admit(part: Part<'a>, limit: Limit) -> Option<Begun<'a>> {
        let Part { pool, operations, sink } = part;
        let home = pool.home();
        if operations.is_empty() || !pool.admit(home, operations.len(), || &mut *sink) {
            return None;
        }
        let line = home.choose();
        line.join();
        let turn = Turn::new(line, &pool.shared, operations, sink, limit);
        Some(Begun { pool, line, turn, attempt: None, seen: None })
    }

    /// Goes on as far as it can without waiting; whether its operations are sent, or refused.
    fn set_out(&mut self, limit: Limit) -> bool {
        let shared = &self.pool.shared;
        if self.attempt.is_none() {
            match self.line.approach(shared, limit, &mut self.seen) {
                Ok(Way::Opening(attempt)) => self.attempt = Some(attempt),
                Ok(Way::Awaited(_)) => return false,
                Ok(Way::Ready(state)) => return self.begin(Ok(state)),
                Err(error) => return self.begin(Err(error)),
            }
        }
        let Some(attempt) = &mut self.attempt else { return false };
        let calls = tally::made();
        let opened = attempt.opening.advance(shared).transpose();
        attempt.calls += tally::made() - calls;
        let Some(opened) = opened else { return false };
        let arrived = self.line.arrive(shared, attempt, opened);
        self.attempt = None;
        self.begin(arrived)
    }

    fn begin(&mut self, ready: Result<MutexGuard<'a, State>>) -> bool {
        match ready {
            Ok(state) => self.turn.begin(state),
            Err(error) => self.turn.refuse_all(&error),
        }
        true
    }

    fn end(mut self, limit: Limit) {
        self.turn.end();
        self.line.leave();
        self.pool.dismiss(self.pool.home(), self.turn.operations.len(), &limit);
    }
}
