//! Lone: the commonest calls of all, a text `get` of a key or of some and one meta command, by a caller that is alone on its
//! connection, without the bookkeeping that only sharing needs: no batch, no accounting, just bytes out and whole answers
//! back. Whatever else happens (others come, an answer is not the usual one or not all there) makes a [`Turn`] of what is
//! left, which goes on as any other.

use super::counters::Counters;
use super::line::Line;
use super::link::{Link, Owner, Role};
use super::outgoing::Outgoing;
use super::turn::{Guard, Stop, Turn};
use super::{Limit, Shared, PEEK_AFTER};
use crate::connection::Reader;
use crate::net::{clock, Wait};
use crate::operation::{Command, Gets, Hits, Operation, Sink};
use crate::protocol::{check_key, has_payload, meta, text, Dialect, ProtocolChoice, MAX_KEY};
use std::ops::Range;
use std::sync::Arc;

/// Requests of more keys or bytes are batches: a `get` line is not to grow without end.
const MOST_KEYS: usize = 256;
const MOST_BYTES: usize = 8 * 1024;
/// Room for the request of one key.
const ONE_KEY: usize = MAX_KEY + b"get \r\n".len();
/// A value that is copied into its request has no more bytes.
const MOST_VALUE: usize = 4 * 1024;

/// Such a call.
pub(super) struct Lone<'a, E> {
    pub line: &'a Line,
    pub shared: &'a Shared,
    pub limit: &'a Limit,
    pub errand: E,
}

/// What such a call asks for.
pub(super) trait Errand {
    /// How many operations it is.
    fn count(&self) -> usize;
    /// Whether it reads values.
    fn reads(&self) -> bool;
    /// Whether it can be said so.
    fn suits(&self, dialect: Dialect) -> bool;
    /// Writes the request to the beginning of `request`; how long it is, or zero: it cannot be written.
    fn write(&self, opaque: u32, request: &mut Vec<u8>) -> usize;
    /// Hands out the answers that have come, in order and whole; how many.
    fn take(&mut self, opaque: u32, reader: &mut Reader<Owner>) -> usize;
}

/// How such a call went.
pub(super) enum Went<'a> {
    /// Nothing was done, as this way is not open: the lock of the line.
    Nowhere(Guard<'a>),
    ToItsEnd,
    /// What is left is to go on as a turn.
    Astray(Left<'a>),
}

/// A call of which something is left, and what it has.
pub(super) struct Left<'a> {
    generation: u64,
    dialect: Dialect,
    opaque: u32,
    role: Box<Role>,
    counted: Counters,
    stage: Stage<'a>,
}

enum Stage<'a> {
    /// Nothing of the request was sent.
    Unsent { state: Guard<'a> },
    /// Some of it was: the rest of it.
    Torn { rest: Range<usize> },
    /// It was sent, and so many operations are answered.
    Sent { answered: usize, writing: bool },
    /// Every operation is answered, and somebody else has come meanwhile.
    Answered,
}

impl<'a, E: Errand> Lone<'a, E> {
    /// Runs it.
    #[inline(always)]
    pub fn run(mut self) -> Went<'a> {
        let mut state = self.line.lock();
        let link = state.link.as_deref_mut().filter(|link| self.is_open_on(link));
        let Some((link, mut role)) = link.and_then(|link| link.role.take().map(|role| (link, role))) else {
            return Went::Nowhere(state);
        };
        let (generation, dialect) = (link.generation, link.dialect);
        link.writing = true;
        let (timed, count) = (link.time_call(), self.errand.count());
        let opaque = link.reserve(count);
        drop(state);
        let (sent_bytes, written) = self.send(opaque, &mut role);
        let astray = |role, stage, counted| Went::Astray(Left { generation, dialect, opaque, role, counted, stage });
        let mut state = self.line.lock();
        if sent_bytes != written || sent_bytes == 0 {
            let stage = match sent_bytes {
                0 => Stage::Unsent { state },
                _ => Stage::Torn { rest: sent_bytes..written },
            };
            let calls = u64::from(sent_bytes > 0);
            return astray(role, stage, counters(count, calls, sent_bytes, 0, 0));
        }
        let Some(link) = state.link_of(generation) else { return Went::ToItsEnd };
        if !link.open.is_empty() || self.line.words.has_writers() {
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
        let taken = self.errand.take(opaque, reader);
        let hits = if self.errand.reads() { taken } else { 0 };
        if taken < count {
            let stage = Stage::Sent { answered: taken, writing: false };
            return astray(role, stage, counters(count, 2, sent_bytes, came, hits));
        }
        let mut state = self.line.lock();
        state.counters.add_lone(taken, hits, sent_bytes, came);
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

    /// Whether a link is as this way wants it: free, understood, and used a moment ago. (A call that has waited for the connection
    /// has less time left than the socket would give it.)
    #[inline(always)]
    fn is_open_on(&self, link: &Link) -> bool {
        let now = self.limit.begun;
        let at_once = self.limit.usual && link.opened_at < now && self.errand.count() <= MOST_KEYS;
        let fresh = now.saturating_sub(link.last_used) < PEEK_AFTER && link.doomed.is_none() && self.shared.is_open();
        let fresh = fresh && !self.shared.is_suspect();
        let suits = self.errand.suits(link.dialect);
        at_once && fresh && suits && link.is_free() && !self.line.gathers(link, self.limit)
    }

    /// Sends the request: how much of it the kernel took, and how long it is.
    #[inline(always)]
    fn send(&self, opaque: u32, role: &mut Role) -> (usize, usize) {
        let written = self.errand.write(opaque, &mut role.request);
        let sent = match role.request.get(..written) {
            None | Some([]) => 0,
            // What is wrong shows when it is tried again.
            Some(request) => role.socket.send(request).unwrap_or(0),
        };
        (sent, written)
    }
}

/// Plain gets, as one text `get`.
pub(super) struct PlainGets<'a, 's, G: ?Sized, S> {
    pub gets: &'a G,
    pub sink: &'s mut S,
}

impl<G: Gets + ?Sized, S: Hits> Errand for PlainGets<'_, '_, G, S> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.gets.count()
    }

    fn reads(&self) -> bool {
        true
    }

    #[inline(always)]
    fn suits(&self, dialect: Dialect) -> bool {
        matches!(dialect, Dialect::Text | Dialect::TextMeta)
    }

    #[inline(always)]
    fn write(&self, _opaque: u32, request: &mut Vec<u8>) -> usize {
        let one = self.gets.count() == 1;
        let room = if one { ONE_KEY } else { MOST_BYTES };
        if request.len() < room {
            request.resize(room, 0);
        }
        let written = match one {
            true => text::write_get(request, self.gets.keys()),
            false => write_many(request, self.gets),
        };
        written.unwrap_or(0)
    }

    #[inline(always)]
    fn take(&mut self, _opaque: u32, reader: &mut Reader<Owner>) -> usize {
        match self.gets.count() {
            1 => take(reader, self.gets, self.sink),
            _ => take_many(reader, self.gets, self.sink),
        }
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

/// One operation, as a meta command.
pub(super) struct OneMeta<'a, 's> {
    pub operation: &'a Operation<'a>,
    pub sink: &'s mut dyn Sink,
}

impl<'a, 's> OneMeta<'a, 's> {
    /// The operation, if there is one alone, of a kind that comes often. (A get that is sent alone is a meta command only
    /// where that was asked for.)
    #[inline(always)]
    pub fn of(shared: &Shared, operations: &'a [Operation<'a>], sink: &'s mut dyn Sink) -> Option<OneMeta<'a, 's>> {
        let [operation] = operations else { return None };
        let len = operation.value.len();
        let is_short = len <= MOST_VALUE && len as u64 <= shared.settings.max_value_bytes;
        let is_meta = operation.command != Command::Get || shared.settings.protocol == ProtocolChoice::Meta;
        let is_usual = is_meta && is_short && operation.meta_flags.is_empty() && !operation.is_quiet();
        (is_usual && is_frequent(operation)).then_some(OneMeta { operation, sink })
    }
}

/// Whether its answer is most often a value or a word.
#[inline(always)]
fn is_frequent(operation: &Operation<'_>) -> bool {
    match operation.command {
        Command::Get | Command::GetAndTouch | Command::Delete | Command::Touch => true,
        Command::Add => operation.cas == 0,
        command => has_payload(command),
    }
}

impl Errand for OneMeta<'_, '_> {
    #[inline(always)]
    fn count(&self) -> usize {
        1
    }

    fn reads(&self) -> bool {
        self.operation.command.reads()
    }

    #[inline(always)]
    fn suits(&self, dialect: Dialect) -> bool {
        matches!(dialect, Dialect::Meta | Dialect::TextMeta)
    }

    #[inline(always)]
    fn write(&self, opaque: u32, request: &mut Vec<u8>) -> usize {
        request.clear();
        // What is refused is so once more, and said, when it is tried again.
        if check_key(Dialect::Meta, self.operation.key).is_err()
            || meta::encode(request, self.operation, opaque).is_err()
        {
            return 0;
        }
        if has_payload(self.operation.command) {
            request.extend_from_slice(self.operation.value);
            request.extend_from_slice(b"\r\n");
        }
        request.len()
    }

    #[inline(always)]
    fn take(&mut self, opaque: u32, reader: &mut Reader<Owner>) -> usize {
        usize::from(reader.take_meta(self.operation.command, opaque, self.sink))
    }
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
        (self.generation, self.dialect, self.opaque) = (left.generation, left.dialect, left.opaque);
        self.role = Some(left.role);
        self.hands.counted = left.counted;
        match left.stage {
            Stage::Unsent { state } => self.begin_anew(state),
            Stage::Torn { rest } => self.go_on_sent(0, Some(rest), true),
            Stage::Sent { answered, writing } => self.go_on_sent(answered, None, writing),
            Stage::Answered => self.rejoin(),
        }
    }

    fn begin_anew(mut self, state: Guard<'a>) {
        self.at_once = true;
        self.go_on_alone(state);
        self.finish();
    }

    /// The request is sent but for the `rest` of it, and the first `answered` operations are answered; from here on it is a
    /// batch like any other, which this caller reads for. `writing` says that this caller is still the one that writes.
    fn go_on_sent(mut self, answered: usize, rest: Option<Range<usize>>, writing: bool) {
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
        let sent = rest.map_or(Ok(()), |rest| self.send_rest(rest));
        let released = sent.and_then(|()| if writing { self.release_writer() } else { Ok(()) });
        if let Err(stop) = released.and_then(|()| self.lead()) {
            self.stop(stop);
        }
        self.finish();
    }

    /// Sends what the kernel has not taken of a request.
    fn send_rest(&mut self, rest: Range<usize>) -> Result<(), Stop> {
        let Some(role) = &mut self.role else { return Ok(()) };
        let (request, socket) = (std::mem::take(&mut role.request), role.socket.clone());
        self.send(&socket, Outgoing::new(&[], Arc::new(request[rest].to_vec()), Vec::new()))
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
