//! Lone: the commonest call of all, a text `get` of a key or of some, by a caller that is alone on its connection, without
//! the bookkeeping that only sharing needs: no batch, no accounting, just bytes out and whole values back. Whatever else
//! happens (others come, a value is missing or not all there) makes a [`Turn`] of what is left, which goes on as any
//! other.

use super::counters::Counters;
use super::line::Line;
use super::link::{Link, Owner, Role};
use super::turn::{Guard, Stop, Turn};
use super::{Limit, Shared, PEEK_AFTER};
use crate::connection::Broken;
use crate::error::Status;
use crate::net::{clock, Wait};
use crate::operation::{Operation, Sink};
use crate::protocol::{text, Dialect, MAX_KEY};

/// Requests of more keys or bytes are batches: a `get` line is not to grow without end.
const MOST_KEYS: usize = 256;
const MOST_BYTES: usize = 8 * 1024;
/// Room for the request of one key.
const ONE_KEY: usize = MAX_KEY + b"get \r\n".len();

/// A call of plain gets.
pub(super) struct Lone<'a> {
    pub line: &'a Line,
    pub shared: &'a Shared,
    pub operations: &'a [Operation<'a>],
    pub sink: &'a mut dyn Sink,
    pub limit: &'a Limit,
}

impl<'a> Lone<'a> {
    /// Runs it; `false`: nothing was done, as this way is not open.
    #[inline(always)]
    pub fn run(self) -> bool {
        let mut state = self.line.lock();
        let Some(link) = state.link.as_deref_mut().filter(|link| self.is_open_on(link)) else { return false };
        let Some(mut role) = link.role.take() else { return false };
        let (generation, dialect) = (link.generation, link.dialect);
        link.writing = true;
        let timed = link.time_call();
        drop(state);
        let (sent, sent_bytes) = self.send(&mut role);
        let turn = |lone: Lone<'a>, role| Turn::resume(lone, generation, dialect, role);
        let mut state = self.line.lock();
        if sent != Sent::All {
            turn(self, role).begin_anew(state, sent == Sent::Torn);
            return true;
        }
        let Some(link) = state.link_of(generation) else { return true };
        if !link.open.is_empty() || self.line.has_writers() {
            drop(state);
            turn(self, role).counting(1, sent_bytes, 0, 0).go_on_sent(0, true);
            return true;
        }
        link.writing = false;
        link.begin_flight(self.limit.begun);
        drop(state);
        let Role { reader, socket, .. } = &mut *role;
        let Ok(came) = socket.receive_one(reader.spare(), Wait::Some) else {
            turn(self, role).counting(2, sent_bytes, 0, 0).go_on_sent(0, false);
            return true;
        };
        reader.received(came);
        role.received_at = self.limit.begun;
        let keys = self.operations.iter().map(|operation| operation.key);
        let sink = &mut *self.sink;
        let taken = role.reader.take_hits(keys, |index, hit| sink.hit(index, hit.flags, hit.cas, hit.value));
        if taken < self.operations.len() {
            turn(self, role).counting(2, sent_bytes, came, taken).go_on_sent(taken, false);
            return true;
        }
        let mut state = self.line.lock();
        state.counters.add_lone(taken, sent_bytes, came);
        let Some(link) = state.link_of(generation) else { return true };
        if let Some(sent_at) = timed {
            link.measured(clock::now().saturating_sub(sent_at));
        }
        link.end_flight(1);
        if link.in_flight == 0 && link.open.is_empty() && link.doomed.is_none() && !role.reader.has_bytes() {
            link.last_used = self.limit.begun;
            link.role = Some(role);
            return true;
        }
        drop(state);
        turn(self, role).rejoin();
        true
    }

    /// Whether a link is as this way wants it: free, text, and used a moment ago. (A call that has waited for the connection
    /// has less time left than the socket would give it.)
    #[inline(always)]
    fn is_open_on(&self, link: &Link) -> bool {
        let now = self.limit.begun;
        let at_once = self.limit.usual && link.opened_at < now && self.operations.len() <= MOST_KEYS;
        let fresh = now.saturating_sub(link.last_used) < PEEK_AFTER && link.doomed.is_none() && self.shared.is_open();
        let text = matches!(link.dialect, Dialect::Text | Dialect::TextMeta);
        at_once && fresh && text && link.is_free()
    }

    /// Sends the request; answers with its length too.
    #[inline(always)]
    fn send(&self, role: &mut Role) -> (Sent, usize) {
        let room = if self.operations.len() == 1 { ONE_KEY } else { MOST_BYTES };
        if role.request.len() < room {
            role.request.resize(room, 0);
        }
        let keys = self.operations.iter().map(|operation| operation.key);
        let written = text::write_get(&mut role.request, keys).unwrap_or(0);
        let sent = match role.request.get(..written) {
            None | Some([]) => Sent::Nothing,
            Some(request) => match role.socket.send(request) {
                Ok(sent) if sent == written => Sent::All,
                // What is wrong shows when it is tried again.
                Ok(0) | Err(_) => Sent::Nothing,
                Ok(_) => Sent::Torn,
            },
        };
        (sent, written)
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
    fn resume(lone: Lone<'a>, generation: u64, dialect: Dialect, role: Box<Role>) -> Turn<'a> {
        let mut turn = Turn::new(lone.line, lone.shared, lone.operations, lone.sink, *lone.limit);
        (turn.generation, turn.dialect) = (generation, dialect);
        turn.role = Some(role);
        turn
    }

    /// Takes over what it has done.
    #[cold]
    fn counting(mut self, system_calls: u64, bytes_sent: usize, bytes_received: usize, hits: usize) -> Turn<'a> {
        let (bytes_sent, bytes_received, hits) = (bytes_sent as u64, bytes_received as u64, hits as u64);
        let operations = self.operations.len() as u64;
        self.hands.counted =
            Counters { operations, system_calls, bytes_sent, bytes_received, hits, ..Counters::default() };
        self
    }

    /// Nothing of the request was sent, or with `torn` some of it.
    #[cold]
    fn begin_anew(mut self, mut state: Guard<'a>, torn: bool) {
        state.counters.operations += self.operations.len() as u64;
        if let Some(link) = state.link_of(self.generation) {
            self.opaque = link.reserve(self.operations.len());
        }
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
        self.opaque = link.reserve(self.operations.len());
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
