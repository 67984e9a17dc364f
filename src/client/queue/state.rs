//! State: all that a queue has, under its lock: the servers that were submitted to, their lanes, the records of the
//! operations and their deadlines. It is driven by submit (in a file of its own), fetch and cancel, and never blocks.

use super::journeys::Journeys;
use super::lane::{Host, Lane};
use super::output::{Hands, Output};
use super::records::{Place, Records, NEVER};
use super::Io;
use crate::client::front::Front;
use crate::client::Core;
use crate::error::{bits, Error, Result, Status};
use crate::net::poller::Event as Readiness;
use crate::net::{tally, Socket};
use crate::operation::Answer;
use crate::pool::{Event, Listener, Pool};
use crate::value::Coder;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// So many fetches in a row may do without asking epoll, which alone tells of connections that end while idle.
const MAX_SKIPPED: u32 = 64;
/// Behind a look in vain, the next one comes after so many fetches.
const LOOK_EACH: u32 = 32;
/// Deadlines are looked through at most so often, in nanoseconds.
const EXPIRE_EACH: u64 = 1_000_000;

/// See the module.
pub(super) struct State {
    pub(super) sites: Vec<Option<Site>>,
    pub(super) records: Records,
    pub(super) journeys: Journeys,
    /// Lanes that have something to do.
    ready: Vec<Place>,
    /// Memory for the next list of them.
    scratch: Vec<Place>,
    /// Memory for lanes that have much to receive, one after the other.
    large: Vec<u8>,
    /// Lanes that await replies.
    busy: Vec<Place>,
    /// How many lanes wait for something else.
    unsettled: usize,
    generation: u32,
    /// Some site's server was removed, and is to be forgotten once it has answered all.
    draining: bool,
    /// No deadline is earlier than this.
    pub(super) earliest: u64,
    /// When the timer fires.
    armed: u64,
    skipped: u32,
    /// So many fetches that wait do not look first whether something has come.
    in_vain: u32,
    /// What happened, and who is to be told once the lock is free.
    pub events: Vec<(Listener, Event)>,
}

/// A server that was submitted to, and the queue's connections to it.
pub(super) struct Site {
    pub pool: Arc<Pool>,
    /// Of the client, where it has a codec.
    pub coder: Option<Arc<Coder>>,
    /// Of the client, where its options change operations.
    pub front: Option<Arc<Front>>,
    pub lanes: Vec<Lane>,
}

impl Site {
    /// A fallback client has the servers of others, but a codec and a front of its own.
    fn is_of(&self, pool: &Arc<Pool>, core: &Core) -> bool {
        Arc::ptr_eq(&self.pool, pool) && is_same(&self.coder, &core.coder) && is_same(&self.front, &core.front)
    }
}

fn is_same<T>(one: &Option<Arc<T>>, other: &Option<Arc<T>>) -> bool {
    one.as_ref().map(Arc::as_ptr) == other.as_ref().map(Arc::as_ptr)
}

/// The one connection that replies are to come from.
pub(super) struct Lone {
    place: Place,
    pub socket: Arc<Socket>,
}

/// What a lane is told to do; answers whether it has more to do.
type Action<'a> = dyn FnMut(&mut Lane, &Host<'_>, &mut Hands<'_, '_>) -> Result<bool> + 'a;

impl State {
    pub fn new() -> State {
        State {
            sites: Vec::new(),
            records: Records::default(),
            journeys: Journeys::default(),
            ready: Vec::new(),
            scratch: Vec::new(),
            large: Vec::new(),
            busy: Vec::new(),
            unsettled: 0,
            generation: 0,
            draining: false,
            earliest: NEVER,
            armed: NEVER,
            skipped: 0,
            in_vain: 0,
            events: Vec::new(),
        }
    }

    /// How many operations have no answer yet.
    pub fn live(&self) -> usize {
        self.records.live() + self.journeys.waiting()
    }

    /// Whether some lane has something to do that no event will tell of.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    // ---- Sites ----

    /// The site of a server.
    pub(super) fn site_of(&mut self, pool: &Arc<Pool>, core: &Core, io: &Io<'_>) -> u32 {
        let is_it = |site: &Option<Site>| site.as_ref().is_some_and(|site| site.is_of(pool, core));
        let found = self.sites.iter().position(is_it);
        let index = found.unwrap_or_else(|| {
            let kick = Arc::downgrade(io.kick);
            pool.watch(kick);
            let lanes = (0..pool.shared().settings.connections.max(1)).map(|_| Lane::default()).collect();
            let (coder, front) = (core.coder.clone(), core.front.clone());
            let site = Some(Site { pool: pool.clone(), coder, front, lanes });
            match self.sites.iter().position(Option::is_none) {
                Some(free) => {
                    self.sites[free] = site;
                    free
                }
                None => {
                    self.sites.push(site);
                    self.sites.len() - 1
                }
            }
        });
        index as u32
    }

    pub(super) fn site(&mut self, site: u32) -> Option<&mut Site> {
        self.sites.get_mut(site as usize)?.as_mut()
    }

    /// The lane that has least to do, the first of them.
    pub(super) fn choose(&self, site: u32) -> Place {
        let lanes = self.sites.get(site as usize).and_then(Option::as_ref).map(|site| site.lanes.as_slice());
        let lanes = lanes.unwrap_or_default().iter().zip(0..).filter(|(lane, _)| !lane.marks.aside);
        let lane = lanes.min_by_key(|(lane, _)| lane.under_way()).map_or(0, |(_, index)| index);
        Place { site, lane }
    }

    // ---- Driving ----

    /// Lets a lane do something. If that fails, so does all that it has.
    pub(super) fn drive(&mut self, io: &Io<'_>, place: Place, output: &mut Output<'_>, action: &mut Action<'_>) {
        let site = self.sites.get_mut(place.site as usize).and_then(Option::as_mut);
        let Some(Site { pool, coder, front, lanes }) = site else { return };
        let Some(lane) = lanes.get_mut(place.lane as usize) else { return };
        if lane.is_closed() {
            self.generation = self.generation.wrapping_add(1);
            lane.marks.generation = self.generation;
        }
        let (shared, token) = (pool.shared(), token(place, lane.marks.generation));
        let host = Host { poller: io.poller, waker: &io.kick.waker, shared, now: io.now, token };
        let (of_client, server) = ((coder.as_ref(), front.as_ref()), shared.server);
        let mut hands =
            Hands::new(&mut self.records, &mut self.journeys, output, &mut self.large, of_client, server, io.now);
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
        if hands.counted.has_any() {
            lane.counted.add(&hands.counted);
        }
        lane.counted.system_calls += tally::made() - calls;
        if lane.counted.has_any() {
            pool.count(&std::mem::take(&mut lane.counted));
        }
        if !hands.quiet.is_empty() {
            lane.events.extend(hands.quiet.events(shared));
        }
        if !lane.events.is_empty() {
            let listener = &shared.settings.listener;
            self.events.extend(lane.events.drain(..).map(|event| (listener.clone(), event)));
        }
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

    /// If replies are awaited on one or two connections alone, reads those without asking epoll. One who `waits` if nothing
    /// has come pays for that look in vain, and so looks only now and then unless the last look was worth it. Answers
    /// whether that was enough.
    pub fn read_few(&mut self, io: &Io<'_>, waits: bool, output: &mut Output<'_>) -> bool {
        if self.unsettled > 0 || self.has_ready() || self.skipped >= MAX_SKIPPED {
            return false;
        }
        if waits && self.in_vain > 0 {
            self.in_vain -= 1;
            return false;
        }
        let (first, second) = match self.busy[..] {
            [first] => (first, None),
            [first, second] => (first, Some(second)),
            _ => return false,
        };
        let room = output.room();
        self.drive(io, first, output, &mut |lane, host, hands| lane.read(host, hands));
        if let Some(second) = second {
            self.drive(io, second, output, &mut |lane, host, hands| lane.read(host, hands));
        }
        // An answer may lead to another request, which nobody else would send.
        self.finish_step(io, output);
        let came = output.room() < room || output.has_backlog();
        if waits && !came {
            self.in_vain = LOOK_EACH;
        }
        self.skipped += u32::from(came);
        came
    }

    /// The one connection that replies are awaited on, if it may be received from without the lock for a while: until
    /// `until` nothing else is to be done, and the last time was worth it.
    pub fn lone(&self, until: u64) -> Option<Lone> {
        let [place] = self.busy[..] else { return None };
        let is_quiet = self.unsettled == 0 && !self.has_ready() && self.earliest > until && self.live() > 0;
        if !is_quiet || self.in_vain > 0 || self.skipped >= MAX_SKIPPED {
            return None;
        }
        let site = self.sites.get(place.site as usize)?.as_ref()?;
        let socket = site.lanes.get(place.lane as usize)?.lone_socket()?;
        Some(Lone { place, socket })
    }

    /// Takes in what was received from that one.
    pub fn read_lone(
        &mut self,
        io: &Io<'_>,
        lone: &Lone,
        early: (io::Result<usize>, &mut Vec<u8>),
        output: &mut Output<'_>,
    ) {
        use io::ErrorKind::{Interrupted, WouldBlock};
        if matches!(&early.0, Err(error) if matches!(error.kind(), Interrupted | WouldBlock)) {
            self.in_vain = LOOK_EACH;
            return;
        }
        let mut early = Some(early);
        self.drive(io, lone.place, output, &mut |lane, host, hands| {
            lane.read_lent(host, hands, &lone.socket, early.take())
        });
        self.finish_step(io, output);
        self.skipped += 1;
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
        if self.journeys.has_any() {
            self.resend(io, output);
        }
        if self.draining {
            self.drop_ended(io, output);
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

    pub(super) fn lane(&mut self, place: Place) -> Option<&mut Lane> {
        self.sites.get_mut(place.site as usize)?.as_mut()?.lanes.get_mut(place.lane as usize)
    }

    /// Every lane there is.
    fn places(&self) -> Vec<Place> {
        let sites = self.sites.iter().zip(0..).filter_map(|(site, index)| Some((site.as_ref()?, index)));
        sites
            .flat_map(|(site, index)| (0..site.lanes.len() as u32).map(move |lane| Place { site: index, lane }))
            .collect()
    }

    // ---- Ending operations ----

    /// Ends what belongs to clients that were closed or have dropped their connections, and what is left of servers that
    /// were removed. A connection may have to stay for what was sent without reply.
    pub fn drop_ended(&mut self, io: &Io<'_>, output: &mut Output<'_>) {
        self.draining = false;
        for index in 0..self.sites.len() as u32 {
            let Some(site) = self.site(index) else { continue };
            let busy = site.lanes.iter().any(|lane| lane.under_way() > 0);
            let error = match site.pool.shared().check_open() {
                Err(closed) => Error::new(closed.status(), closed.message().to_string()),
                Ok(()) if !site.pool.shared().is_retired() => {
                    self.drop_disconnected(io, index, output);
                    continue;
                }
                Ok(()) if busy => {
                    self.draining = true;
                    continue;
                }
                Ok(()) => Error::new(Status::Ok, "the server was removed"),
            };
            for lane in 0..site.lanes.len() as u32 {
                self.part(io, Place { site: index, lane }, &error, output);
            }
            match self.site(index).is_some_and(|site| !site.lanes.iter().all(Lane::is_closed)) {
                true => self.draining = true,
                false => self.sites[index as usize] = None,
            }
        }
    }

    /// Ends the connections of a site that disconnect_all() has dropped.
    fn drop_disconnected(&mut self, io: &Io<'_>, index: u32, output: &mut Output<'_>) {
        let Some(site) = self.site(index) else { return };
        let dropped = |lane: &Lane| lane.check_dropped(site.pool.shared()).err();
        let dropped: Vec<(u32, Error)> =
            (0..).zip(&site.lanes).filter_map(|(place, lane)| Some((place, dropped(lane)?))).collect();
        for (lane, error) in dropped {
            let place = Place { site: index, lane };
            self.part(io, place, &error, output);
            self.draining |= self.lane(place).is_some_and(|lane| lane.owes_fence());
        }
    }

    fn part(&mut self, io: &Io<'_>, place: Place, why: &Error, output: &mut Output<'_>) {
        if self.lane(place).is_some_and(|lane| lane.owes_fence()) {
            for slot in self.records.find(|record| record.place == place) {
                self.give_up(io, slot, output, &mut |_, _, _| Ok(why.clone()));
            }
        }
        self.drive(io, place, output, &mut |lane, host, hands| lane.part(host, why, hands));
    }

    /// How long the calls of its clients may take.
    pub fn patience(&self) -> Duration {
        let sites = self.sites.iter().flatten();
        let longest = sites.map(|site| site.pool.shared().settings.timeout_ms).max();
        Duration::from_millis(longest.unwrap_or(0).into())
    }

    /// Whether the fence of some operation without reply is still to come.
    pub fn owes_fence(&self) -> bool {
        self.sites.iter().flatten().flat_map(|site| &site.lanes).any(Lane::owes_fence)
    }

    /// Answers all operations with this tag as cancelled; answers with how many there were.
    pub fn cancel(&mut self, io: &Io<'_>, tag: u64, output: &mut Output<'_>) -> usize {
        let found = self.records.find(|record| record.asker.tag == tag);
        let error = Error::new(Status::Cancelled, "the operation was cancelled");
        let waiting = self.journeys.cancel(tag, &error.clone().with_bits(bits::NOT_SENT), output);
        for slot in &found {
            self.give_up(io, *slot, output, &mut |_, _, _| Ok(error.clone()));
        }
        found.len() + waiting
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
        let again = self.journeys.earliest().unwrap_or(NEVER);
        let earliest = self.records.earliest().min(due.unwrap_or(NEVER)).min(again);
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
                let refusal = lane.refusal(slot).filter(|_| error.status() == Status::Timeout && batch == 0);
                let error = refusal.cloned().unwrap_or(error);
                if let Some(asker) = hands.records.abandon(slot).map(|record| record.asker) {
                    hands.give(asker, Answer::failed(&error));
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
    pub(super) fn arm(&mut self, io: &Io<'_>) {
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

/// Of descriptors that are not a lane's.
pub(super) const TIMER: u64 = u64::MAX;
pub(super) const KICK: u64 = u64::MAX - 1;
const LANE_BITS: u32 = 10;

/// What the events of a connection carry.
fn token(place: Place, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(place.site << LANE_BITS | place.lane)
}

/// The connection that an event is about, if it is about one.
fn place_of(token: u64) -> Option<(Place, u32)> {
    let place = token as u32;
    let lane = place & ((1 << LANE_BITS) - 1);
    (token != TIMER && token != KICK).then_some((Place { site: place >> LANE_BITS, lane }, (token >> 32) as u32))
}
