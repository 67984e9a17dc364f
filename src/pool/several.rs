//! Several: one call over several servers. It sends to all of them first and then collects their answers, so that the
//! round trips go on at the same time. It waits for none of them alone while others have something to do: one that hangs
//! holds nobody up, and two such calls can never wait for each other.

use super::line::{Attempt, State, Way};
use super::opening::{wait_for_any, GLANCE};
use super::turn::Turn;
use super::{aside, Limit, Line, Pool};
use crate::error::Result;
use crate::net::{clock, tally, Deadline, LOOK};
use crate::operation::{Operation, Sink};
use crate::sync::MutexGuard;
use std::time::Duration;

/// So long, in nanoseconds, a call waits for all its servers one after the other; then some may hang.
const PATIENCE: u64 = 1_000_000;

/// What only others hear of is looked after each time that this part of the time so far has passed: so late it may be seen.
const GLANCE_PART: u32 = 16;
const SHORTEST_GLANCE: Duration = Duration::from_micros(50);

/// What a call has for one server; answers come by their index among these operations. An operation that has a connection
/// to itself is a part of its own.
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
    /// It has a connection, or will get none.
    has_set_out: bool,
}

/// A call on its way.
struct Course<'a> {
    limit: Limit,
    since: u64,
    begun: Vec<Begun<'a>>,
    /// Parts that wait for another one of their server.
    later: Vec<Part<'a>>,
}

/// Runs all parts: those for one server in their order, those for several at the same time. Each is sent as soon as its
/// server is connected; those that are not are connected at the same time.
pub(crate) fn run_several(parts: Vec<Part<'_>>, limit: Limit) {
    let mut course = Course { limit, since: clock::now(), begun: Vec::with_capacity(parts.len()), later: Vec::new() };
    for part in parts {
        match course.begun.iter().any(|begun| std::ptr::eq(begun.pool, part.pool)) {
            true => course.later.push(part),
            false => course.begun.extend(Begun::admit(part, limit)),
        }
    }
    course.begun.iter_mut().for_each(|part| part.set_out(limit));
    course.run();
}

impl<'a> Course<'a> {
    fn run(&mut self) {
        self.sweep(|_| ());
        if self.begun.len() > 1 && self.is_sent() {
            // Who waits for one after the other is woken for each, which is quicker than to look around.
            let patience = self.limit.deadline.earlier(Deadline::at(clock::now() + PATIENCE));
            self.sweep(|part| part.turn.wait_until(patience));
        }
        while !self.begun.is_empty() {
            while !self.is_sent() || self.begun.len() > 1 && !self.limit.deadline.is_over() {
                self.wait();
                let limit = self.limit;
                self.sweep(|part| part.go_on(limit));
            }
            // One alone is waited for; after the deadline, what has come is still taken.
            (0..self.begun.len()).for_each(|_| self.end(0));
        }
    }

    fn is_sent(&self) -> bool {
        self.begun.iter().all(Begun::is_sent)
    }

    /// Has each part act, and ends those that are over then.
    fn sweep(&mut self, mut act: impl FnMut(&mut Begun<'a>)) {
        let mut at = 0;
        while let Some(part) = self.begun.get_mut(at) {
            act(part);
            match part.is_over() {
                true => self.end(at),
                false => at += 1,
            }
        }
    }

    /// Ends a part, and sets out with the next one for its server.
    fn end(&mut self, at: usize) {
        let pool = self.begun[at].pool;
        self.begun.remove(at).end(self.limit);
        while let Some(next) = self.later.iter().position(|part| std::ptr::eq(part.pool, pool)) {
            if let Some(mut begun) = Begun::admit(self.later.remove(next), self.limit) {
                begun.set_out(self.limit);
                return self.begun.push(begun);
            }
        }
    }

    fn glance(&self) -> Duration {
        let so_far = Duration::from_nanos(clock::now().saturating_sub(self.since));
        (so_far / GLANCE_PART).clamp(SHORTEST_GLANCE, GLANCE)
    }

    /// Waits until one of the parts may go on.
    fn wait(&mut self) {
        let calls = tally::made();
        let attempts: Vec<_> = self.begun.iter().filter_map(|part| part.attempt.as_deref()).collect();
        let sockets: Vec<_> =
            self.begun.iter().filter(|part| part.has_set_out).map(|part| part.turn.awaits()).collect();
        // Of what another caller opens, reads or writes nothing is heard: it is looked after.
        let hears = attempts.len() + sockets.iter().flatten().count() == self.begun.len();
        let most = self.limit.deadline.left().min(if hears { LOOK } else { self.glance() });
        let sockets: Vec<_> = sockets.into_iter().flatten().collect();
        // Where it fails, what is next to be done does too, or the deadline ends it.
        let _ = wait_for_any(attempts.into_iter().map(|attempt| &attempt.opening), &sockets, most);
        if let Some(attempt) = self.begun.iter_mut().find_map(|part| part.attempt.as_deref_mut()) {
            attempt.calls += tally::made() - calls;
        }
    }
}

impl<'a> Begun<'a> {
    fn admit(part: Part<'a>, limit: Limit) -> Option<Begun<'a>> {
        let is_aside = part.operations.iter().any(|operation| operation.command.goes_aside());
        let Part { pool, operations, sink } = part;
        let home = pool.home();
        if operations.is_empty() || !pool.admit(home, operations, || &mut *sink) {
            return None;
        }
        let line = match is_aside {
            false => Some(home.choose(&pool.shared, &limit)).inspect(|line| line.join()),
            true => aside::claim(home, &pool.shared, operations, sink),
        };
        let Some(line) = line else {
            pool.dismiss(home, 1, &limit);
            return None;
        };
        let turn = Turn::new(line, &pool.shared, operations, sink, limit);
        Some(Begun { pool, line, turn, is_aside, attempt: None, seen: None, has_set_out: false })
    }

    fn is_sent(&self) -> bool {
        self.has_set_out && self.turn.is_sent()
    }

    fn is_over(&self) -> bool {
        self.has_set_out && self.turn.is_over()
    }

    /// Goes on as far as it can without waiting.
    fn go_on(&mut self, limit: Limit) {
        match self.has_set_out {
            true => self.turn.proceed(),
            false => self.set_out(limit),
        }
    }

    /// Goes on until it has a connection, and sends what the kernel takes.
    fn set_out(&mut self, limit: Limit) {
        self.has_set_out = self.try_set_out(limit);
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
