//! Lone: the commonest call of all, a text `get` of a key or of some, by a caller that is alone on its connection, without
//! the bookkeeping that only sharing needs: no batch, no accounting, just bytes out and whole values back. Whatever else
//! happens (others come, a value is missing or not all there) makes a [`Turn`] of what is left, which goes on as any
//! other.

use super::counters::Counters;
use super::line::Line;
use super::link::{Link, Owner, Role};
use super::turn::{Guard, Stop, Turn};
use super::{Limit, Shared, PEEK_AFTER};
use crate::connection::{Broken, Reader};
use crate::error::Status;
use crate::net::{clock, Wait};
use crate::operation::{Gets, Hits};
use crate::protocol::{text, Dialect, MAX_KEY};

/// Requests of more keys or bytes are batches: a `get` line is not to grow without end.
const MOST_KEYS: usize = 256;
const MOST_BYTES: usize = 8 * 1024;
/// Room for the request of one key.
const ONE_KEY: usize = MAX_KEY + b"get \r\n".len();

/// A call of plain gets.
pub(super) struct Lone<'a, 's, G: ?Sized, S> {
    pub line: &'a Line,
    pub shared: &'a Shared,
    pub gets: &'a G,
    pub sink: &'s mut S,
    pub limit: &'a Limit,
}

/// How such a call went.
pub(super) enum Went<'a> {
    /// Nothing was done, as this way is not open.
    Nowhere,
    ToItsEnd,
    /// What is left is to go on as a turn.
    Astray(Left<'a>),
}

/// A call of which something is left, and what it has.
pub(super) struct Left<'a> {
    generation: u64,
    dialect: Dialect,
    role: Box<Role>,
    counted: Counters,
    stage: Stage<'a>,
}

enum Stage<'a> {
    /// Nothing of the request was sent, or some of it.
    Unsent { state: Guard<'a>, torn: bool },
    /// It was sent, and so many operations are answered.
    Sent { answered: usize, writing: bool },
    /// Every operation is answered, and somebody else has come meanwhile.
    Answered,
}

impl<'a, G: Gets + ?Sized, S: Hits> Lone<'a, '_, G, S> {
    /// Runs it.
    #[inline(always)]
    pub fn run(self) -> Went<'a> {
        let mut state = self.line.lock();
        let Some(link) = state.link.as_deref_mut().filter(|link| self.is_open_on(link)) else { return Went::Nowhere };
        let Some(mut role) = link.role.take() else { return Went::Nowhere };
        let (generation, dialect) = (link.generation, link.dialect);
        link.writing = true;
        let timed = link.time_call();
        drop(state);
        let (sent, sent_bytes) = self.send(&mut role);
        let count = self.gets.count();
        let astray = |role, stage, counted| Went::Astray(Left { generation, dialect, role, counted, stage });
        let mut state = self.line.lock();
        if sent != Sent::All {
            let stage = Stage::Unsent { state, torn: sent == Sent::Torn };
            return astray(role, stage, counters(count, 0, 0, 0, 0));
        }
        let Some(link) = state.link_of(generation) else { return Went::ToItsEnd };
        if !link.open.is_empty() || self.line.has_writers() {
            drop(state);
            let stage = Stage::Sent { answered: 0, writing: true };
            return astray(role, stage, counters(count, 1, sent_bytes, 0, 0));
        }
        link.writing = false;
        link.begin_flight(self.limit.begun);
        drop(state);
        let Role { reader, socket, received_at, .. } = &mut *role;
        let Ok(came) = socket.receive_one(reader.spare(), Wait::Some) else {
            let stage = Stage::Sent { answered: 0, writing: false };
            return astray(role, stage, counters(count, 2, sent_bytes, 0, 0));
        };
        reader.received(came);
        *received_at = self.limit.begun;
        let taken = match count {
            1 => take(reader, self.gets, self.sink),
            _ => take_many(reader, self.gets, self.sink),
        };
        if taken < count {
            let stage = Stage::Sent { answered: taken, writing: false };
            return astray(role, stage, counters(count, 2, sent_bytes, came, taken));
        }
        let mut state = self.line.lock();
        state.counters.add_lone(taken, sent_bytes, came);
        let Some(link) = state.link_of(generation) else { return Went::ToItsEnd };
        if let Some(sent_at) = timed {
            link.measured(clock::now().saturating_sub(sent_at));
        }
        link.end_flight(1);
        if link.in_flight == 0 && link.open.is_empty() && link.doomed.is_none() && !role.reader.has_bytes() {
            link.last_used = self.limit.begun;
            link.role = Some(role);
            return Went::ToItsEnd;
        }
        drop(state);
        astray(role, Stage::Answered, Counters::default())
    }

    /// Whether a link is as this way wants it: free, text, and used a moment ago. (A call that has waited for the connection
    /// has less time left than the socket would give it.)
    #[inline(always)]
    fn is_open_on(&self, link: &Link) -> bool {
        let now = self.limit.begun;
        let at_once = self.limit.usual && link.opened_at < now && self.gets.count() <= MOST_KEYS;
        let fresh = now.saturating_sub(link.last_used) < PEEK_AFTER && link.doomed.is_none() && self.shared.is_open();
        let text = matches!(link.dialect, Dialect::Text | Dialect::TextMeta);
        at_once && fresh && text && link.is_free() && !self.line.gathers(link, self.limit)
    }

    /// Sends the request; answers with its length too.
    #[inline(always)]
    fn send(&self, role: &mut Role) -> (Sent, usize) {
        let one = self.gets.count() == 1;
        let room = if one { ONE_KEY } else { MOST_BYTES };
        if role.request.len() < room {
            role.request.resize(room, 0);
        }
        let written = match one {
            true => text::write_get(&mut role.request, self.gets.keys()),
            false => write_many(&mut role.request, self.gets),
        };
        let written = written.unwrap_or(0);
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

/// Out of line, since a loop of its own has all registers for itself.
#[inline(never)]
fn write_many(request: &mut [u8], gets: &(impl Gets + ?Sized)) -> Option<usize> {
    text::write_get(request, gets.keys())
}

/// Hands out the values that have come; how many.
#[inline(always)]
fn take(reader: &mut Reader<Owner>, gets: &(impl Gets + ?Sized), sink: &mut impl Hits) -> usize {
    reader.take_hits(gets.keys(), |index, hit| sink.hit(index, hit.flags, hit.cas, hit.value))
}

/// The same out of line, as above.
#[inline(never)]
fn take_many(reader: &mut Reader<Owner>, gets: &(impl Gets + ?Sized), sink: &mut impl Hits) -> usize {
    take(reader, gets, sink)
}

/// How much of a request went out.
#[derive(PartialEq, Eq)]
enum Sent {
    All,
    Nothing,
    /// Some of it: the stream is broken in the middle of a command.
    Torn,
}

/// What such a call has done by now.
#[cold]
fn counters(operations: usize, system_calls: u64, bytes_sent: usize, bytes_received: usize, hits: usize) -> Counters {
    let (operations, hits) = (operations as u64, hits as u64);
    let (bytes_sent, bytes_received) = (bytes_sent as u64, bytes_received as u64);
    Counters { operations, system_calls, bytes_sent, bytes_received, hits, ..Counters::default() }
}

impl<'a> Turn<'a> {
    /// Goes on with what a lone call has left.
    #[cold]
    pub fn go_on(mut self, left: Left<'a>) {
        (self.generation, self.dialect) = (left.generation, left.dialect);
        self.role = Some(left.role);
        self.hands.counted = left.counted;
        match left.stage {
            Stage::Unsent { state, torn } => self.begin_anew(state, torn),
            Stage::Sent { answered, writing } => self.go_on_sent(answered, writing),
            Stage::Answered => self.rejoin(),
        }
    }

    /// Nothing of the request was sent, or with `torn` some of it.
    fn begin_anew(mut self, mut state: Guard<'a>, torn: bool) {
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
    fn rejoin(mut self) {
        self.next = self.operations.len();
        if let Err(stop) = self.hand_back() {
            self.stop(stop);
        }
        self.finish();
    }
}
