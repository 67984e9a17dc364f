//! State: all that a queue has, under its lock: the clients that submitted, their lanes, the records of the operations and
//! their deadlines. It is driven by submit, fetch and cancel, and never blocks.

use super::lane::{Host, Lane};
use super::output::{Hands, Output};
use super::records::{Place, Records, NEVER};
use super::Io;
use crate::client::coding::is_decoded;
use crate::client::Core;
use crate::error::{bits, Error, Result, Status};
use crate::net::poller::Event as Readiness;
use crate::net::{clock, tally, Address};
use crate::operation::{Answer, Operation};
use crate::pool::{Event, Listener};
use std::sync::Arc;
use std::time::Duration;

/// So many fetches in a row may do without asking epoll, which alone tells of connections that end while idle.
const MAX_SKIPPED: u32 = 64;
/// Deadlines are looked through at most so often, in nanoseconds.
const EXPIRE_EACH: u64 = 1_000_000;
/// So many operations of a client have a connection to themselves at once.
const MAX_ASIDE: usize = 8;

/// See the module.
pub(super) struct State {
    members: Vec<Option<Member>>,
    records: Records,
    /// Lanes that have something to do.
    ready: Vec<Place>,
    /// Memory for the next list of them.
    scratch: Vec<Place>,
    /// Lanes that await replies.
    busy: Vec<Place>,
    /// How many lanes wait for something else.
    unsettled: usize,
    generation: u32,
    /// No deadline is earlier than this.
    earliest: u64,
    /// When the timer fires.
    armed: u64,
    skipped: u32,
    /// What happened, and who is to be told once the lock is free.
    pub events: Vec<(Listener, Event)>,
}

/// A client that has submitted, and the queue's connections to its servers.
struct Member {
    core: Arc<Core>,
    lanes: Vec<Lane>,
}

/// What a lane is told to do; answers whether it has more to do.
type Action<'a> = dyn FnMut(&mut Lane, &Host<'_>, &mut Hands<'_, '_>) -> Result<bool> + 'a;

impl State {
    pub fn new() -> State {
        State {
            members: Vec::new(),
            records: Records::default(),
            ready: Vec::new(),
            scratch: Vec::new(),
            busy: Vec::new(),
            unsettled: 0,
            generation: 0,
            earliest: NEVER,
            armed: NEVER,
            skipped: 0,
            events: Vec::new(),
        }
    }

    /// How many operations have no answer yet.
    pub fn live(&self) -> usize {
        self.records.live()
    }

    /// Whether some lane has something to do that no event will tell of.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    // ---- Submit ----

    /// Takes operations in until one cannot be; answers with how many were taken.
    pub fn submit<'o>(
        &mut self,
        io: &Io<'_>,
        core: &Arc<Core>,
        operations: impl Iterator<Item = Result<(u64, Operation<'o>)>>,
        output: &mut Output<'_>,
    ) -> (usize, Result<()>) {
        let shared = core.pool().shared();
        let member = shared.check_open().map(|()| self.member_of(core, io));
        // It may have been closed before it knew of this queue.
        let member = match member.and_then(|member| shared.check_open().map(|()| member)) {
            Ok(member) => member,
            Err(error) => return (0, Err(error)),
        };
        let place = self.choose(member);
        self.drive(io, place, output, &mut |lane, host, _| {
            lane.refresh(host);
            Ok(false)
        });
        let accepted = self.accept(io, place, operations, output);
        // Many operations take a while.
        let io = &Io { now: clock::now(), ..*io };
        self.drive(io, place, output, &mut |lane, host, hands| lane.proceed(host, hands).map(|()| false));
        self.drive_aside(io, member, output);
        self.arm(io);
        accepted
    }

    /// Puts operations into a lane until one cannot be.
    fn accept<'o>(
        &mut self,
        io: &Io<'_>,
        place: Place,
        operations: impl Iterator<Item = Result<(u64, Operation<'o>)>>,
        output: &mut Output<'_>,
    ) -> (usize, Result<()>) {
        let member = self.members.get_mut(place.member as usize).and_then(Option::as_mut);
        let Some(Member { core, lanes }) = member else { return (0, Ok(())) };
        let shared = core.pool().shared();
        let (usual, most) = (shared.settings.timeout_ms, shared.settings.max_waiting as usize);
        let mut under_way = lanes.iter().map(Lane::under_way).sum::<usize>();
        let mut accepted = 0;
        for next in operations {
            let (tag, operation) = match next {
                Ok(_) if under_way >= most => return (accepted, Err(busy(under_way, most, &shared.address))),
                Ok(next) => next,
                Err(error) => return (accepted, Err(error)),
            };
            let place = match operation.command.goes_aside() {
                true => match aside(lanes, place, &shared.address) {
                    Ok(place) => place,
                    Err(error) => return (accepted, Err(error)),
                },
                false => place,
            };
            let Some(lane) = lanes.get_mut(place.lane as usize) else { break };
            let timeout_ms = if operation.timeout_ms == 0 { usual } else { operation.timeout_ms };
            let deadline = io.now + u64::from(timeout_ms) * 1_000_000;
            lane.counted.operations += 1;
            let slot = self.records.add(tag, deadline, timeout_ms, place);
            if core.coder.is_some() {
                self.records.set_decoded(slot, is_decoded(&operation));
            }
            self.earliest = self.earliest.min(deadline);
            match lane.push(&mut self.records, slot, &operation, shared) {
                Ok(()) => under_way += 1,
                Err(error) => {
                    self.records.release(slot);
                    lane.counted.answered(error.status());
                    output.give(tag, Answer::failed(&error));
                }
            }
            accepted += 1;
        }
        (accepted, Ok(()))
    }

    fn member_of(&mut self, core: &Arc<Core>, io: &Io<'_>) -> u32 {
        let is_it = |member: &Option<Member>| member.as_ref().is_some_and(|member| Arc::ptr_eq(&member.core, core));
        let found = self.members.iter().position(is_it);
        let index = found.unwrap_or_else(|| {
            core.watch(io.kick);
            let lanes = (0..core.options.connections.max(1)).map(|_| Lane::default()).collect();
            let member = Some(Member { core: core.clone(), lanes });
            match self.members.iter().position(Option::is_none) {
                Some(free) => {
                    self.members[free] = member;
                    free
                }
                None => {
                    self.members.push(member);
                    self.members.len() - 1
                }
            }
        });
        index as u32
    }

    /// The lane that has least to do, the first of them.
    fn choose(&self, member: u32) -> Place {
        let lanes = self.members.get(member as usize).and_then(Option::as_ref).map(|member| member.lanes.as_slice());
        let lanes = lanes.unwrap_or_default().iter().zip(0..).filter(|(lane, _)| !lane.marks.aside);
        let lane = lanes.min_by_key(|(lane, _)| lane.under_way()).map_or(0, |(_, index)| index);
        Place { member, lane }
    }

    /// Lets the lanes that one operation has to itself go on.
    fn drive_aside(&mut self, io: &Io<'_>, member: u32, output: &mut Output<'_>) {
        let lanes = self.members.get(member as usize).and_then(Option::as_ref).map(|member| member.lanes.as_slice());
        // They stand behind the others, and most often there is none.
        let count = lanes.unwrap_or_default().iter().rev().take_while(|lane| lane.marks.aside).count();
        for at in 0..count {
            let lanes =
                self.members.get(member as usize).and_then(Option::as_ref).map_or(0, |member| member.lanes.len());
            let place = Place { member, lane: (lanes - 1 - at) as u32 };
            self.drive(io, place, output, &mut |lane, host, hands| lane.proceed(host, hands).map(|()| false));
        }
    }

    // ---- Driving ----

    /// Lets a lane do something. If that fails, so does all that it has.
    fn drive(&mut self, io: &Io<'_>, place: Place, output: &mut Output<'_>, action: &mut Action<'_>) {
        let member = self.members.get_mut(place.member as usize).and_then(Option::as_mut);
        let Some(Member { core, lanes }) = member else { return };
        let Some(lane) = lanes.get_mut(place.lane as usize) else { return };
        if lane.is_closed() {
            self.generation = self.generation.wrapping_add(1);
            lane.marks.generation = self.generation;
        }
        let (shared, token) = (core.pool().shared(), token(place, lane.marks.generation));
        let host = Host { poller: io.poller, waker: &io.kick.waker, shared, now: io.now, token };
        let mut hands = Hands::new(&mut self.records, output, core.coder.as_ref());
        let calls = tally::made();
        match action(lane, &host, &mut hands) {
            Ok(more) => {
                if more && !std::mem::replace(&mut lane.marks.listed, true) {
                    self.ready.push(place);
                }
            }
            Err(error) => {
                lane.note_end(&error, shared);
                lane.fail(&error, &mut hands);
            }
        }
        lane.counted.add(&hands.counted);
        lane.counted.system_calls += tally::made() - calls;
        if lane.counted.has_any() {
            core.pool().count(&std::mem::take(&mut lane.counted));
        }
        let listener = &shared.settings.listener;
        self.events.extend(lane.events.drain(..).map(|event| (listener.clone(), event)));
        self.earliest = self.earliest.min(lane.due());
        let (busy, unsettled) = (lane.is_busy(), lane.is_unsettled());
        if std::mem::replace(&mut lane.marks.unsettled, unsettled) != unsettled {
            self.unsettled = if unsettled { self.unsettled + 1 } else { self.unsettled - 1 };
        }
        if std::mem::replace(&mut lane.marks.busy, busy) != busy {
            match self.busy.iter().position(|other| *other == place) {
                Some(at) => drop(self.busy.swap_remove(at)),
                None => self.busy.push(place),
            }
        }
    }

    /// If replies are awaited on one connection alone, reads that without asking epoll. Answers whether that was enough.
    pub fn read_alone(&mut self, io: &Io<'_>, output: &mut Output<'_>) -> bool {
        let [place] = self.busy[..] else { return false };
        if self.unsettled > 0 || self.has_ready() || self.skipped >= MAX_SKIPPED {
            return false;
        }
        let room = output.room();
        self.drive(io, place, output, &mut |lane, host, hands| lane.read(host, hands));
        if output.room() == room && !output.has_backlog() {
            return false;
        }
        self.skipped += 1;
        self.finish_step(io, output);
        true
    }

    /// Takes events in and does all that is to be done.
    pub fn step(&mut self, io: &Io<'_>, events: impl Iterator<Item = Readiness>, output: &mut Output<'_>) {
        self.skipped = 0;
        for event in events {
            self.note(&event);
        }
        let mut ready = std::mem::take(&mut self.ready);
        self.ready = std::mem::take(&mut self.scratch);
        for place in ready.drain(..) {
            if let Some(lane) = self.lane(place) {
                lane.marks.listed = false;
            }
            self.drive(io, place, output, &mut |lane, host, hands| lane.read(host, hands));
        }
        self.scratch = ready;
        self.finish_step(io, output);
    }

    fn finish_step(&mut self, io: &Io<'_>, output: &mut Output<'_>) {
        if io.now >= self.earliest {
            self.expire(io, output);
        }
        self.arm(io);
    }

    fn note(&mut self, event: &Readiness) {
        let Some((place, generation)) = place_of(event.token) else {
            // Kicked, or the time is over: a lane may wait for a name that has been looked up.
            if self.unsettled > 0 {
                self.list_unsettled();
            }
            return;
        };
        let Some(lane) = self.lane(place).filter(|lane| lane.marks.generation == generation) else { return };
        lane.note(event);
        if !std::mem::replace(&mut lane.marks.listed, true) {
            self.ready.push(place);
        }
    }

    fn list_unsettled(&mut self) {
        for place in self.places() {
            let Some(lane) = self.lane(place).filter(|lane| lane.is_unsettled()) else { continue };
            if !std::mem::replace(&mut lane.marks.listed, true) {
                self.ready.push(place);
            }
        }
    }

    fn lane(&mut self, place: Place) -> Option<&mut Lane> {
        self.members.get_mut(place.member as usize)?.as_mut()?.lanes.get_mut(place.lane as usize)
    }

    /// Every lane there is.
    fn places(&self) -> Vec<Place> {
        let members = self.members.iter().zip(0..).filter_map(|(member, index)| Some((member.as_ref()?, index)));
        members
            .flat_map(|(member, index)| (0..member.lanes.len() as u32).map(move |lane| Place { member: index, lane }))
            .collect()
    }

    // ---- Ending operations ----

    /// Ends what belongs to clients that were closed.
    pub fn drop_closed(&mut self, io: &Io<'_>, output: &mut Output<'_>) {
        for place in self.places() {
            let closed = self.members[place.member as usize]
                .as_ref()
                .and_then(|member| member.core.pool().shared().check_open().err());
            if let Some(error) = closed {
                let error = Error::new(error.status(), error.message().to_string());
                self.drive(io, place, output, &mut |_, _, _| Err(error.clone()));
            }
        }
        for member in &mut self.members {
            if member.as_ref().is_some_and(|member| member.core.pool().shared().check_open().is_err()) {
                *member = None;
            }
        }
    }

    /// Answers all operations with this tag as cancelled; answers with how many there were.
    pub fn cancel(&mut self, io: &Io<'_>, tag: u64, output: &mut Output<'_>) -> usize {
        let found = self.records.find(|record| record.tag == tag);
        let error = Error::new(Status::Cancelled, "the operation was cancelled");
        for slot in &found {
            self.give_up(io, *slot, output, &mut |_, _, _| Ok(error.clone()));
        }
        found.len()
    }

    /// Ends operations and attempts to connect whose time is over.
    fn expire(&mut self, io: &Io<'_>, output: &mut Output<'_>) {
        let now = io.now;
        for place in self.places() {
            if self.lane(place).is_some_and(|lane| lane.due() <= now) {
                self.drive(io, place, output, &mut |lane, host, hands| lane.proceed(host, hands).map(|()| false));
            }
        }
        for slot in self.records.find(|record| record.deadline <= now) {
            self.give_up(io, slot, output, &mut |lane, host, timeout_ms| {
                let address = &host.shared.address;
                let error = Error::new(Status::Timeout, format!("{address} did not answer within {timeout_ms} ms"));
                if lane.is_hopeless(host) {
                    return Err(Error::new(Status::Timeout, format!("{}, connection given up", error.message())));
                }
                Ok(error)
            });
        }
        let due = self.places().into_iter().filter_map(|place| self.lane(place).map(|lane| lane.due())).min();
        let earliest = self.records.earliest().min(due.unwrap_or(NEVER));
        self.earliest = earliest.max(now + EXPIRE_EACH);
    }

    /// Answers an operation before its reply has come, as `why` says; if that fails, so does its connection.
    fn give_up(
        &mut self,
        io: &Io<'_>,
        slot: u32,
        output: &mut Output<'_>,
        why: &mut dyn FnMut(&mut Lane, &Host<'_>, u32) -> Result<Error>,
    ) {
        let Some(record) = self.records.get(slot) else { return };
        let (place, batch, timeout_ms) = (record.place, record.batch, record.timeout_ms);
        self.drive(io, place, output, &mut |lane, host, hands| {
            if hands.records.is_live(slot) {
                let error = why(lane, host, timeout_ms)?.with_bits(lane.fate(batch));
                if let Some(tag) = hands.records.abandon(slot).map(|record| record.tag) {
                    hands.give(tag, Answer::failed(&error));
                }
                // Its reply may never be known to have ended.
                if lane.marks.aside {
                    return Err(Error::new(error.status(), "closed behind an operation that was given up"));
                }
            }
            Ok(false)
        });
    }

    /// Sets the timer, where it would fire too late.
    fn arm(&mut self, io: &Io<'_>) {
        if io.now >= self.armed {
            self.armed = NEVER;
        }
        if self.earliest < self.armed
            && io.timer.arm(Duration::from_nanos(self.earliest.saturating_sub(io.now))).is_ok()
        {
            self.armed = self.earliest;
        }
    }
}

/// A lane for an operation that must have one to itself: one that is free, or a new one.
#[cold]
fn aside(lanes: &mut Vec<Lane>, beside: Place, address: &Address) -> Result<Place> {
    let free = lanes.iter().position(|lane| lane.marks.aside && lane.under_way() == 0);
    let at = match free {
        Some(at) => at,
        None if lanes.iter().filter(|lane| lane.marks.aside).count() >= MAX_ASIDE => {
            let words = format!("{MAX_ASIDE} operations with a connection to themselves are under way to {address}");
            return Err(Error::new(Status::Busy, words).with_bits(bits::NOT_SENT));
        }
        None => {
            lanes.push(Lane::default());
            lanes.len() - 1
        }
    };
    if let Some(lane) = lanes.get_mut(at) {
        lane.marks.aside = true;
    }
    Ok(Place { lane: at as u32, ..beside })
}

#[cold]
fn busy(under_way: usize, most: usize, address: &Address) -> Error {
    let words = format!("{under_way} operations are under way to {address}; max_waiting is {most}; fetch first");
    Error::new(Status::Busy, words).with_bits(bits::NOT_SENT)
}

/// Of descriptors that are not a lane's.
pub(super) const TIMER: u64 = u64::MAX;
pub(super) const KICK: u64 = u64::MAX - 1;
const LANE_BITS: u32 = 10;

/// What the events of a connection carry.
fn token(place: Place, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(place.member << LANE_BITS | place.lane)
}

/// The connection that an event is about, if it is about one.
fn place_of(token: u64) -> Option<(Place, u32)> {
    let place = token as u32;
    let lane = place & ((1 << LANE_BITS) - 1);
    (token != TIMER && token != KICK).then_some((Place { member: place >> LANE_BITS, lane }, (token >> 32) as u32))
}
