//! Several: one call over several servers. It sends to all of them first and then collects their answers, so that the
//! round trips go on at the same time. While it sends to one server it has no right to read from another, and nobody
//! counts on it there: two such calls can never wait for each other.

use super::line::{Attempt, State, Way};
use super::opening::{wait_for_any, GLANCE};
use super::turn::Turn;
use super::{aside, Limit, Line, Pool};
use crate::error::Result;
use crate::net::{clock, tally, Deadline, LOOK};
use crate::operation::{Operation, Sink};
use crate::sync::MutexGuard;

/// So long, in nanoseconds, a call waits for all its servers one after the other; then some may hang.
const PATIENCE: u64 = 1_000_000;

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
    /// The line is for this operation alone.
    is_aside: bool,
    /// The connection that this call opens for it.
    attempt: Option<Box<Attempt>>,
    /// What was seen of attempts that others make.
    seen: Option<u64>,
    /// Its operations are sent, or refused.
    is_sent: bool,
}

/// Runs all parts. Each is sent as soon as its server is connected; those that are not are connected at the same time.
pub(crate) fn run_several(parts: Vec<Part<'_>>, limit: Limit) {
    let (mixed, parts): (Vec<_>, Vec<_>) = parts.into_iter().partition(Part::is_mixed);
    let mut begun: Vec<_> = parts.into_iter().filter_map(|part| Begun::admit(part, limit)).collect();
    begun.iter_mut().for_each(|part| part.set_out(limit));
    if begun.iter().all(|part| part.is_sent) && begun.iter().any(Begun::has_company) {
        // Who waits for one after the other is woken for each, which is quicker than to look around.
        let patience = limit.deadline.earlier(Deadline::at(clock::now() + PATIENCE));
        begun = begun.into_iter().filter_map(|part| part.wait_until(patience, limit)).collect();
    }
    loop {
        // Where nobody else is it waits for one after the other: what comes meanwhile holds nobody up.
        let has_company = begun.len() > 1 && !limit.deadline.is_over() && begun.iter().any(Begun::has_company);
        if !has_company && begun.iter().all(|part| part.is_sent) {
            break;
        }
        wait(&mut begun);
        begun = begun.into_iter().filter_map(|part| part.go_on(limit)).collect();
    }
    begun.into_iter().for_each(|part| part.end(limit));
    mixed.into_iter().for_each(|part| part.pool.run_far(part.operations, part.sink, limit));
}

/// Waits until one of the parts may go on.
fn wait(begun: &mut [Begun<'_>]) {
    let calls = tally::made();
    let (cold, sent): (Vec<&Begun<'_>>, Vec<_>) = begun.iter().partition(|part| !part.is_sent);
    let attempts = cold.iter().filter_map(|part| part.attempt.as_deref());
    let shared: Vec<_> = sent.iter().filter(|part| part.has_company()).map(|part| part.turn.unread()).collect();
    // Of what another caller opens or reads nothing is heard: it is looked after.
    let hears = !cold.is_empty() && cold.iter().all(|part| part.attempt.is_some()) && shared.is_empty();
    let sockets: Vec<_> = shared.into_iter().flatten().collect();
    // Where it fails, what is next to be done does too, or the deadline ends it.
    let _ = wait_for_any(attempts.map(|attempt| &attempt.opening), &sockets, if hears { LOOK } else { GLANCE });
    if let Some(attempt) = begun.iter_mut().find_map(|part| part.attempt.as_deref_mut()) {
        attempt.calls += tally::made() - calls;
    }
}

impl Part<'_> {
    /// Whether some of it has a connection to itself.
    fn goes_aside(&self) -> bool {
        self.operations.iter().any(|operation| operation.command.goes_aside())
    }

    /// Whether it takes several connections one after the other.
    fn is_mixed(&self) -> bool {
        self.operations.len() > 1 && self.goes_aside()
    }
}

impl<'a> Begun<'a> {
    fn admit(part: Part<'a>, limit: Limit) -> Option<Begun<'a>> {
        let is_aside = part.goes_aside();
        let Part { pool, operations, sink } = part;
        let home = pool.home();
        if operations.is_empty() || !pool.admit(home, operations, || &mut *sink) {
            return None;
        }
        let line = match is_aside {
            false => Some(home.choose()).inspect(|line| line.join()),
            true => aside::claim(home, &pool.shared, operations, sink),
        };
        let Some(line) = line else {
            pool.dismiss(home, 1, &limit);
            return None;
        };
        let turn = Turn::new(line, &pool.shared, operations, sink, limit);
        Some(Begun { pool, line, turn, is_aside, attempt: None, seen: None, is_sent: false })
    }

    /// Whether others use the connection too: nobody else may be reading what is for them.
    fn has_company(&self) -> bool {
        self.line.users() > 1
    }

    /// Goes on as far as it can without waiting; `None`: to its end.
    fn go_on(mut self, limit: Limit) -> Option<Begun<'a>> {
        if !self.is_sent {
            self.set_out(limit);
        } else if self.has_company() && self.turn.tend() {
            self.end(limit);
            return None;
        }
        Some(self)
    }

    /// Waits for its answers, but not beyond `patience`; `None`: it is at its end.
    fn wait_until(mut self, patience: Deadline, limit: Limit) -> Option<Begun<'a>> {
        if !self.turn.wait_until(patience) {
            return Some(self);
        }
        self.end(limit);
        None
    }

    /// Goes on until its operations are sent, or refused, as far as it can without waiting.
    fn set_out(&mut self, limit: Limit) {
        self.is_sent = self.try_set_out(limit);
    }

    fn try_set_out(&mut self, limit: Limit) -> bool {
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
        match self.is_aside {
            true => aside::give_back(self.line, &self.pool.shared),
            false => self.line.leave(),
        }
        self.pool.dismiss(self.pool.home(), self.turn.operations.len(), &limit);
    }
}
