//! Several: one call over several servers. It sends to all of them first and then collects their answers, so that the
//! round trips go on at the same time. While it sends to one server it has no right to read from another, and nobody
//! counts on it there: two such calls can never wait for each other.

use super::turn::Turn;
use super::{Limit, Line, Pool};
use crate::operation::{Operation, Sink};

/// What a call has for one server; answers come by their index among these operations.
pub(crate) struct Part<'a> {
    pub pool: &'a Pool,
    pub operations: &'a [Operation<'a>],
    pub sink: &'a mut dyn Sink,
}

/// A part whose operations are on their way.
struct Begun<'a> {
    pool: &'a Pool,
    line: &'a Line,
    turn: Turn<'a>,
}

/// Runs all parts. Those whose servers are connected go first: that another one has to be connected does not hold them up.
pub(crate) fn run_several(parts: Vec<Part<'_>>, limit: Limit) {
    let (aside, parts): (Vec<_>, Vec<_>) = parts.into_iter().partition(Part::goes_aside);
    let admitted = parts.into_iter().filter_map(|part| Begun::admit(part, limit));
    let (mut begun, cold): (Vec<_>, Vec<_>) = admitted.partition(|part| part.line.is_connected());
    begun.iter_mut().for_each(|part| part.turn.begin());
    for mut part in cold {
        part.turn.begin();
        begun.push(part);
    }
    begun.into_iter().for_each(|part| part.end(limit));
    aside.into_iter().for_each(|part| part.pool.run_far(part.operations, part.sink, limit));
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
        Some(Begun { pool, line, turn: Turn::new(line, &pool.shared, operations, sink, limit) })
    }

    fn end(mut self, limit: Limit) {
        self.turn.end();
        self.line.leave();
        self.pool.dismiss(self.pool.home(), self.turn.operations.len(), &limit);
    }
}
