//! Guest: a plain get of one key, by a caller that finds others at work. It puts its key into their open batch and lets them
//! run, and most often it is answered then, without the bookkeeping of a turn. Whatever else happens makes a [`Turn`] of it.

use super::call::Call;
use super::callers::STEPS;
use super::line::Line;
use super::link::{Link, Owner};
use super::turn::{Guard, Turn};
use super::{Limit, Shared, PEEK_AFTER};
use crate::operation::{Gets, Hits, Operation};
use crate::protocol::Dialect;
use std::sync::Arc;

/// Such a call.
pub(super) struct Guest<'a, 'c, G: ?Sized, S> {
    pub line: &'a Line,
    pub shared: &'a Shared,
    pub limit: &'c Limit,
    pub gets: &'c G,
    pub sink: &'c mut S,
}

/// How such a call went.
pub(super) enum Stay<'a> {
    /// Nothing was done, as this way is not open.
    Nowhere,
    Answered,
    /// It is to go on as a turn.
    Longer(Seat<'a>),
}

/// A caller whose key is in the open batch of others, or was, and who is enlisted for it.
pub(super) struct Seat<'a> {
    generation: u64,
    dialect: Dialect,
    opaque: u32,
    call: Arc<Call>,
    sequence: u64,
    steps: u32,
    /// The lock, where nobody else is about to send the batch, or to read.
    state: Option<Guard<'a>>,
}

impl<'a, G: Gets + ?Sized, S: Hits> Guest<'a, '_, G, S> {
    /// Runs it, with the lock of the line.
    #[inline(always)]
    pub fn run(self, mut state: Guard<'a>) -> Stay<'a> {
        let Some(link) = state.link.as_deref_mut().filter(|link| self.is_open_on(link)) else { return Stay::Nowhere };
        let Some(key) = self.gets.keys().next() else { return Stay::Nowhere };
        let (generation, dialect, opaque) = (link.generation, link.dialect, link.reserve(1));
        if link.open.writer(dialect).push(&Operation::get(key), 0, opaque, usize::MAX).is_err() {
            // What is refused is so once more, and said, by the long way.
            return Stay::Nowhere;
        }
        let (call, sequence) = (Call::new(1), link.open.sequence);
        link.open.assign(Owner::Shared(call.clone()));
        link.join();
        self.line.words.enlist(sequence);
        let is_awaited = link.may_read() || link.may_send() && self.line.is_due(link, self.limit);
        state.counters.operations += 1;
        let mut seat = Seat { generation, dialect, opaque, call, sequence, steps: 0, state: None };
        if is_awaited {
            seat.state = Some(state);
            return Stay::Longer(seat);
        }
        drop(state);
        while seat.steps < STEPS && !seat.call.is_done() {
            self.line.step_back();
            seat.steps += 1;
            if !seat.call.is_done() && self.is_awaited(generation) {
                break;
            }
        }
        match seat.call.take_hit(self.sink) {
            Ok(()) => {
                self.line.delist(sequence);
                Stay::Answered
            }
            Err(call) => Stay::Longer(Seat { call, ..seat }),
        }
    }

    /// Whether somebody has to send or to read.
    fn is_awaited(&self, generation: u64) -> bool {
        self.line.lock().link_of(generation).is_none_or(|link| link.may_read() || link.may_send())
    }

    /// Whether a link is as this way wants it: used a moment ago by others, who are soon answered.
    #[inline(always)]
    fn is_open_on(&self, link: &Link) -> bool {
        let fresh = self.limit.begun.saturating_sub(link.last_used) < PEEK_AFTER && link.doomed.is_none();
        let fresh = fresh && self.shared.is_open() && !self.shared.is_suspect();
        let suits = self.gets.count() == 1 && matches!(link.dialect, Dialect::Text | Dialect::TextMeta);
        let in_company = !link.is_free() || self.line.company() > 1;
        suits && fresh && in_company && self.line.is_lively(link, self.limit)
    }
}

impl<'a> Turn<'a> {
    /// Goes on for a guest that has to stay longer.
    #[inline(never)]
    pub fn go_on_seated(mut self, seat: Seat<'a>) {
        (self.generation, self.dialect, self.opaque) = (seat.generation, seat.dialect, seat.opaque);
        self.next = self.operations.len();
        (self.call, self.steps) = (Some(seat.call), seat.steps);
        (self.awaited, self.seat) = (Some(seat.sequence), Some(seat.sequence));
        if let Some(state) = seat.state {
            let sent = self.flush(state).map(drop);
            self.begin_waiting(sent);
        }
        self.wait_among_others();
        self.finish();
    }
}
