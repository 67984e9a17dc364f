//! Aside: operations that have a connection to themselves, since their replies have no form that others could be told
//! from, or since the connection ends with them. It is opened for them and closed behind them.

use super::callers::Callers;
use super::line::Line;
use super::{Home, Limit, Shared};
use crate::error::{bits, Error, Status};
use crate::operation::{Answer, Operation, Room, Sink};
use crate::pool::Counters;
use std::sync::{Arc, OnceLock};

/// So many of them go on at once; further ones fail with `Busy`.
const ASIDE: usize = 8;

/// The lines for them, each made when it is first needed.
#[derive(Default)]
pub(super) struct Lines([OnceLock<Box<Line>>; ASIDE]);

impl Lines {
    /// Those that there are.
    pub fn iter(&self) -> impl Iterator<Item = &Line> {
        self.0.iter().filter_map(|line| line.get().map(|line| &**line))
    }

    /// One that nobody has, claimed for the caller.
    fn claim(&self, callers: &Arc<Callers>) -> Option<&Line> {
        let lines = self.0.iter().map(|line| &**line.get_or_init(|| Box::new(Line::new(callers))));
        lines.into_iter().find(|line| line.claim())
    }
}

/// Runs operations of which some need a connection to themselves, in their order.
#[cold]
pub(super) fn run(home: &Home, shared: &Shared, operations: &[Operation<'_>], sink: &mut dyn Sink, limit: Limit) {
    let mut first = 0;
    for part in operations.chunk_by(|a, b| !a.command.goes_aside() && !b.command.goes_aside()) {
        let mut sink = From { sink, first };
        match part.iter().any(|operation| operation.command.goes_aside()) {
            true => run_alone(home, shared, part, &mut sink, limit),
            false => home.choose(shared, &limit).run(shared, part, &mut sink, limit),
        }
        first += part.len();
    }
}

fn run_alone(home: &Home, shared: &Shared, part: &[Operation<'_>], sink: &mut dyn Sink, limit: Limit) {
    if let Some(line) = claim(home, shared, part, sink) {
        line.run(shared, part, sink, limit);
        give_back(line, shared);
    }
}

/// A line for one operation; where all are taken, the operation is answered so.
pub(super) fn claim<'a>(
    home: &'a Home,
    shared: &Shared,
    operations: &[Operation<'_>],
    sink: &mut dyn Sink,
) -> Option<&'a Line> {
    let line = home.aside.claim(&home.callers);
    if line.is_none() {
        let words = format!("{ASIDE} operations with a connection to themselves are under way to {}", shared.address);
        let error = Error::new(Status::Busy, words).with_bits(bits::NOT_SENT);
        home.count(&Counters { operations: 1, failures: 1, ..Counters::default() });
        super::fail_all(shared, operations, sink, &error);
    }
    line
}

/// The operation is at its end.
pub(super) fn give_back(line: &Line, shared: &Shared) {
    line.disconnect(shared, &Error::new(Status::Ok, "closed behind the one operation that it was for"));
    line.release();
}

/// The answers of a part of a call, which begins at operation `first`.
struct From<'a> {
    sink: &'a mut dyn Sink,
    first: usize,
}

impl Sink for From<'_> {
    fn room(&mut self, index: usize, flags: u32, len: usize) -> Room<'_> {
        self.sink.room(self.first + index, flags, len)
    }

    fn answer(&mut self, index: usize, answer: Answer<'_>) {
        self.sink.answer(self.first + index, answer);
    }
}
