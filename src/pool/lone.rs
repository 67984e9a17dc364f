//! Lone: the commonest call of all, a text `get` of a key or of some, by a caller that is alone on its connection, without
//! the bookkeeping that only sharing needs: no batch, no accounting, just bytes out and whole values back. Whatever else
//! happens (others come, a value is missing or not all there) makes a [`Turn`] of what is left, which goes on as any
//! other.

use super::counters::Counters;
use super::line::Line;
use super::link::{Link, Owner, Role};
use super::turn::{Guard, Stop, Turn};
use super::{Limit, Shared};
use crate::connection::Broken;
use crate::error::Status;
use crate::net::Wait;
use crate::operation::{op_flags, Command, Operation, Sink};
use crate::protocol::{check_key, text, Dialect};

/// Requests of more keys or bytes are batches: a `get` line is not to grow without end.
const MOST_KEYS: usize = 256;
const MOST_BYTES: usize = 8 * 1024;

/// Whether a call on this link goes this way, if it has nothing but plain gets.
#[inline]
pub(super) fn is_lone(link: &Link, operations: &[Operation<'_>], limit: &Limit) -> bool {
    // A call that has waited for the connection has less time left than the socket would give it.
    let at_once = limit.usual && link.opened_at < limit.begun && operations.len() <= MOST_KEYS;
    let text = matches!(link.dialect, Dialect::Text | Dialect::TextMeta);
    link.is_free() && at_once && text && link.is_measured() && operations.first().is_some_and(is_plain)
}

#[inline]
fn is_plain(op: &Operation<'_>) -> bool {
    op.command == Command::Get && op.op_flags & op_flags::WANT_CAS == 0 && op.meta_flags.is_empty()
}

/// Such a call.
pub(super) struct Lone<'a> {
    pub line: &'a Line,
    pub shared: &'a Shared,
    pub operations: &'a [Operation<'a>],
    pub sink: &'a mut dyn Sink,
    pub limit: Limit,
}

impl<'a> Lone<'a> {
    /// Runs it.
    pub fn run(self, mut state: Guard<'a>) {
        let Some(link) = state.link.as_mut() else { return };
        let (generation, dialect, opaque) = (link.generation, link.dialect, link.reserve(self.operations.len()));
        let Some(mut role) = link.role.take() else { return };
        link.writing = true;
        drop(state);
        let sent = self.send(&mut role);
        let sent_bytes = role.request.len();
        let turn = |lone: Lone<'a>, role| Turn::resume(lone, generation, dialect, opaque, role);
        let mut state = self.line.lock();
        state.counters.operations += self.operations.len() as u64;
        if sent != Sent::All {
            return turn(self, role).begin_anew(state, sent == Sent::Torn);
        }
        let Some(link) = state.link_of(generation) else { return };
        if !link.open.is_empty() || self.line.has_writers() {
            drop(state);
            return turn(self, role).counting(1, sent_bytes, 0, 0).go_on_sent(0, true);
        }
        link.writing = false;
        link.begin_flight(self.limit.begun);
        drop(state);
        let came = role.reader.receive_some(|buffer| role.socket.receive(buffer, &mut [], Wait::Some));
        let Ok(came) = came else { return turn(self, role).counting(2, sent_bytes, 0, 0).go_on_sent(0, false) };
        role.received_at = self.limit.begun;
        let keys = self.operations.iter().map(|operation| operation.key);
        let sink = &mut *self.sink;
        let taken = role.reader.take_hits(keys, |index, hit| sink.hit(index, hit.flags, hit.cas, hit.value));
        if taken < self.operations.len() {
            return turn(self, role).counting(2, sent_bytes, came, taken).go_on_sent(taken, false);
        }
        let mut state = self.line.lock();
        state.counters.add_lone(taken, sent_bytes, came);
        let Some(link) = state.link_of(generation) else { return };
        link.end_flight(1);
        if link.in_flight == 0 && link.open.is_empty() && link.doomed.is_none() && !role.reader.has_bytes() {
            link.last_used = self.limit.begun;
            link.role = Some(role);
            return;
        }
        drop(state);
        turn(self, role).rejoin();
    }

    fn send(&self, role: &mut Role) -> Sent {
        let request = &mut role.request;
        request.clear();
        text::begin_get(request, false);
        for operation in self.operations {
            let fits = is_plain(operation) && check_key(Dialect::Text, operation.key).is_ok();
            if !fits || request.len() > MOST_BYTES {
                return Sent::Nothing;
            }
            text::push_key(request, operation.key);
        }
        text::end_line(request);
        match role.socket.send(request) {
            Ok(sent) if sent == request.len() => Sent::All,
            // What is wrong shows when it is tried again.
            Ok(0) | Err(_) => Sent::Nothing,
            Ok(_) => Sent::Torn,
        }
    }
}

/// How much of a request went out.
#[derive(PartialEq, Eq)]
enum Sent {
    All,
    Nothing,
    /// Some of it: the stream is broken in the middle of a command.
    Torn,
}

impl<'a> Turn<'a> {
    /// Takes over what a lone call has reserved.
    #[cold]
    fn resume(lone: Lone<'a>, generation: u64, dialect: Dialect, opaque: u32, role: Box<Role>) -> Turn<'a> {
        let mut turn = Turn::new(lone.line, lone.shared, lone.operations, lone.sink, lone.limit);
        (turn.generation, turn.dialect, turn.opaque) = (generation, dialect, opaque);
        turn.role = Some(role);
        turn
    }

    /// Takes over what it has done.
    #[cold]
    fn counting(mut self, system_calls: u64, bytes_sent: usize, bytes_received: usize, hits: usize) -> Turn<'a> {
        let (bytes_sent, bytes_received, hits) = (bytes_sent as u64, bytes_received as u64, hits as u64);
        self.hands.counted = Counters { system_calls, bytes_sent, bytes_received, hits, ..Counters::default() };
        self
    }

    /// Nothing of the request was sent, or with `torn` some of it.
    #[cold]
    fn begin_anew(mut self, state: Guard<'a>, torn: bool) {
        if torn {
            drop(state);
            let message = "a request was sent in part".into();
            self.stop(Stop::Broken(Broken { status: Status::Connection, message }));
        } else {
            self.at_once = true;
            self.go_on_alone(state);
        }
        self.finish();
    }

    /// The request is sent, and the first `answered` operations are answered; from here on it is a batch like any other,
    /// which this caller reads for. `writing` says that this caller is still the one that writes.
    #[cold]
    fn go_on_sent(mut self, answered: usize, writing: bool) {
        let mut state = self.line.lock();
        // What others have sent behind it has lower numbers than it could get now; it goes without one.
        let sequence = if writing { state.next_sequence() } else { 0 };
        let Some(link) = state.link_of(self.generation) else { return };
        let mut batch = link.fresh_batch(sequence);
        if writing {
            link.begin_flight(self.limit.begun);
        }
        drop(state);
        self.next = answered;
        self.fill(&mut batch, usize::MAX, usize::MAX);
        batch.assign(Owner::Own);
        batch.seal(self.dialect);
        self.hands.own_batches += 1;
        self.hands.counted.batches += 1;
        if let Some(role) = &mut self.role {
            role.reader.push(batch);
        }
        let released = if writing { self.release_writer() } else { Ok(()) };
        if let Err(stop) = released.and_then(|()| self.lead()) {
            self.stop(stop);
        }
        self.finish();
    }

    /// Every operation is answered, and somebody else has come meanwhile.
    #[cold]
    fn rejoin(mut self) {
        self.next = self.operations.len();
        if let Err(stop) = self.hand_back() {
            self.stop(stop);
        }
        self.finish();
    }
}
