//! Journey: what happens next with one operation, decided from its answers: whether they are what it is answered with, or
//! whether it goes on to another server, to an older client, or again to the same one. Written once for all who drive it,
//! it has no clock and does no I/O, and its state is a few numbers.

use super::fleet::{is_read, Fleet, Mode, Targets, Topology};
use super::retry::Retry;
use crate::error::{bits, Error, Result, Status};
use crate::operation::{Answer, Command, Operation};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// Where an operation is on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    /// Which of the clients is being asked, of those that a fallback client has.
    tier: u8,
    /// Answers that have not come.
    awaited: u32,
    /// How often it was sent again.
    retries: u32,
    join: Join,
    /// What counts so far of several answers.
    best: Option<Best>,
    /// Something was given out already.
    answered: bool,
    /// A read: a server of this client has said that there is no such key.
    missed: bool,
    /// A read: no server of some earlier client could say.
    unknown: bool,
    /// A failure is kept.
    kept: bool,
}

/// How the answers of several servers become one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Join {
    /// There is one at a time.
    One,
    /// The best of all: it is done if one has done it.
    Best,
    /// The worst of all: it is done if all have done it.
    Worst,
    /// The first hit.
    Hit,
}

/// The answer that counts so far, of several.
#[derive(Clone, Copy, Debug)]
struct Best {
    status: Status,
    server: u32,
    number: u64,
    ttl: i64,
    bits: u32,
    /// They were not all the same.
    differ: bool,
}

/// What happens next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Other answers are to come. `keep`: this failure may be what it is answered with in the end.
    Wait { keep: bool },
    /// This answer is the one.
    Done,
    /// The answer is what the state says: [`State::joined`].
    Joined,
    /// The failure that was kept is the answer.
    Kept,
    /// It is answered already.
    Over,
    /// It is sent again: to this server, or, where there is none, to whom `tier` gives the key, and not before so many
    /// monotonic nanoseconds.
    Again { tier: u8, to: Option<u32>, not_before: u64, keep: bool },
}

/// The time as the driver knows it, in monotonic nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct When {
    pub now: u64,
    pub deadline: u64,
}

/// What decides: the clients that are asked one after the other, and the retries.
pub(crate) struct Policy {
    pub tiers: Box<[Arc<Fleet>]>,
    pub retry: Retry,
    /// Of a fallback client: for so many seconds what an older client had is put into the first; 0: it is not.
    pub copy_ttl: i64,
    /// Of a fallback client, whose servers are others' too: whether it was closed.
    pub closed: Option<AtomicBool>,
}

impl State {
    /// The state of an operation that goes to these servers of the first client.
    pub fn new(operation: &Operation<'_>, targets: Targets, topology: &Topology) -> State {
        let (awaited, join) = match (targets, operation.command) {
            (Targets::One(_), _) => (1, Join::One),
            (Targets::All, Command::GetAndTouch) => (topology.count(), Join::Hit),
            (Targets::All, command) if command.has_key() => (topology.count(), Join::Best),
            (Targets::All, _) => (topology.count(), Join::Worst),
        };
        let awaited = u32::try_from(awaited).unwrap_or(u32::MAX);
        let (best, answered, missed, unknown, kept) = (None, false, false, false, false);
        State { tier: 0, awaited, retries: 0, join, best, answered, missed, unknown, kept }
    }

    /// Whether all answers have come, so that it can be forgotten.
    pub fn is_over(&self) -> bool {
        self.awaited == 0
    }

    /// Whether one answer is all that there will be.
    pub fn is_alone(&self) -> bool {
        self.join == Join::One
    }

    /// The answer that several became.
    pub fn joined(&self) -> Answer<'static> {
        let Some(best) = self.best else { return Answer::new(Status::NotFound) };
        let partly = if best.differ { bits::PARTLY } else { 0 };
        let (server, number, ttl, bits) = (best.server, best.number, best.ttl, best.bits | partly);
        Answer { server, number, ttl, bits, ..Answer::new(best.status) }
    }

    fn keep(&mut self, failed: bool) -> bool {
        let keep = failed && !self.kept;
        self.kept |= failed;
        keep
    }

    /// One of several answers, the best or the worst of which counts.
    fn take(&mut self, from: u32, answer: &Answer<'_>) -> Next {
        let new = Best { server: from, ..Best::of(answer) };
        let merged = self.best.map_or(new, |best| best.join(new, self.join == Join::Worst));
        let is_this = merged.server == from;
        self.best = Some(merged);
        let failed = answer.status.is_failure();
        match (self.awaited, merged.status.is_failure()) {
            (1.., _) => Next::Wait { keep: self.keep(failed) },
            (0, false) => Next::Joined,
            (0, true) if is_this || !self.kept => Next::Done,
            (0, true) => Next::Kept,
        }
    }

    /// One of several answers, the first hit of which counts.
    fn take_hit(&mut self, answer: &Answer<'_>) -> Next {
        let failed = answer.status.is_failure();
        self.missed |= answer.status == Status::NotFound;
        match (self.answered, answer.status, self.awaited) {
            (true, ..) => Next::Over,
            (false, Status::Ok, _) => {
                self.answered = true;
                Next::Done
            }
            (false, _, 1..) => Next::Wait { keep: self.keep(failed) },
            (false, _, 0) if failed && self.missed => Next::Joined,
            (false, ..) => Next::Done,
        }
    }
}

impl Best {
    fn of(answer: &Answer<'_>) -> Best {
        let Answer { status, server, number, ttl, bits, .. } = *answer;
        Best { status, server, number, ttl, bits, differ: false }
    }

    /// The one of two answers that counts: the better one or the worse, and among equals that of the first server.
    fn join(self, other: Best, worst: bool) -> Best {
        let rank = |best: &Best| {
            let refused = u8::from(best.status != Status::Ok) + u8::from(best.status.is_failure());
            (if worst { 2 - refused } else { refused }, best.server)
        };
        let differ = self.differ || other.differ || (self.status, self.number) != (other.status, other.number);
        let winner = if rank(&other) < rank(&self) { other } else { self };
        Best { differ, ..winner }
    }
}

impl Policy {
    /// Fails once the client is closed.
    pub fn check_open(&self) -> Result<()> {
        if self.closed.as_ref().is_some_and(|closed| closed.load(Ordering::Acquire)) {
            return Err(Error::new(Status::Closed, "the client is closed").with_bits(bits::NOT_SENT));
        }
        let topology = self.tiers[0].load();
        let first = topology.members().next();
        first.map_or(Ok(()), |(_, member)| member.pool.shared().check_open())
    }

    /// Whether what `state` tells of is to be put into the first client, an older one having had it.
    pub fn is_copied(&self, state: &State, answer: &Answer<'_>) -> bool {
        self.copy_ttl != 0 && state.tier > 0 && answer.status == Status::Ok
    }

    /// How it is put there: not over what has come meanwhile.
    pub fn copy<'a>(&self, key: &'a [u8], routing_key: &'a [u8], flags: u32, value: &'a [u8]) -> Operation<'a> {
        Operation { routing_key, flags, value, ttl: self.copy_ttl, ..Operation::new(Command::Add, key) }
    }

    /// Whether there is nothing to decide once an operation has gone to one server.
    pub fn is_plain(&self) -> bool {
        self.closed.is_none() && !self.retry.is_on() && self.tiers[0].mode() != Mode::Replicated
    }

    /// Whether an operation may be sent again, so that what it refers to must be kept.
    pub fn may_resend(&self, operation: &Operation<'_>, topology: &Topology) -> bool {
        let falls_back = is_read(operation) && (self.tiers.len() > 1 || topology.mode() == Mode::Replicated);
        self.retry.is_on() || falls_back
    }

    /// Server `from` of the client that is being asked has given `answer`: what now?
    pub fn after(
        &self,
        state: &mut State,
        operation: &Operation<'_>,
        from: u32,
        answer: &Answer<'_>,
        when: When,
    ) -> Next {
        if let Some(not_before) = self.retry.again(operation, answer, state.retries, when) {
            state.retries += 1;
            let to = (state.join != Join::One || operation.server != 0).then_some(from);
            return Next::Again { tier: state.tier, to, not_before, keep: false };
        }
        state.awaited = state.awaited.saturating_sub(1);
        match state.join {
            Join::One if is_read(operation) && operation.server == 0 => self.after_read(state, from, answer, when),
            Join::One => Next::Done,
            Join::Hit => state.take_hit(answer),
            Join::Best | Join::Worst => state.take(from, answer),
        }
    }

    /// A read that brought no value goes on to the next replica, and then to the next client. Where one of several
    /// replicas says that there is no such key, that is the answer of them all; where none can say, it is not known.
    fn after_read(&self, state: &mut State, from: u32, answer: &Answer<'_>, when: When) -> Next {
        if answer.status == Status::Ok || is_final(answer.status) {
            return Next::Done;
        }
        let failed = answer.status.is_failure();
        state.missed |= !failed;
        let next = self.tiers.get(usize::from(state.tier)).and_then(|fleet| {
            let topology = fleet.load();
            (topology.mode() == Mode::Replicated).then(|| topology.first_from(from.saturating_add(1))).flatten()
        });
        let again = |state: &mut State, to| {
            state.awaited = 1;
            Next::Again { tier: state.tier, to, not_before: when.now, keep: state.keep(failed) }
        };
        if next.is_some() {
            return again(state, next);
        }
        if usize::from(state.tier) + 1 < self.tiers.len() {
            let next = again(state, None);
            state.tier += 1;
            // What a replica failed to say another one has said.
            state.kept &= state.unknown || !state.missed;
            state.unknown |= !std::mem::take(&mut state.missed);
            return match next {
                Next::Again { to, not_before, keep, .. } => Next::Again { tier: state.tier, to, not_before, keep },
                other => other,
            };
        }
        match (state.unknown, state.missed, failed) {
            (true, ..) => Next::Kept,
            (false, true, true) => Next::Joined,
            (false, true, false) | (false, false, _) => Next::Done,
        }
    }
}

/// Whether another server could say nothing else.
fn is_final(status: Status) -> bool {
    matches!(status, Status::Argument | Status::Unsupported | Status::Cancelled | Status::Forked | Status::Bug)
}
