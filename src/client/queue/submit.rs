//! Submit: how operations get into a queue's lanes: those of a client with one server straight into one lane, those of
//! others by way of the route; and those that the route sends again.

use super::gets::{Submitted, Terms};
use super::held::Held;
use super::journeys::{Due, Early, Journey, Task};
use super::lane::{Host, Lane};
use super::output::{Hands, Output};
use super::records::{Asker, Place, NEVER, NONE};
use super::state::{Site, State};
use super::Io;
use crate::client::coding::is_decoded;
use crate::client::front;
use crate::client::Core;
use crate::error::{bits, Error, Result, Status};
use crate::net::{clock, Address};
use crate::operation::{Answer, Operation};
use crate::pool::{Counters, Event, Listener, Pool, Shared};
use crate::route::{gone, no_other, Policy, Route, State as Way, Targets, Topology, LOOK_EACH};
use std::sync::Arc;

/// So many operations of a client have a connection to themselves at once.
const MAX_ASIDE: usize = 8;

/// So few operations are taken in before the clock has moved on.
const FEW: usize = 64;

/// The lane that a submit has chosen for a server.
struct Choice {
    server: u32,
    place: Place,
}

impl State {
    /// Takes operations in until one cannot be; answers with how many were taken.
    pub fn submit<'o>(
        &mut self,
        io: &Io<'_>,
        core: &Arc<Core>,
        operations: impl Submitted<'o>,
        output: &mut Output<'_>,
    ) -> (usize, Result<()>) {
        match &core.route {
            Route::Single(pool, _) => self.submit_to(io, pool, core, operations, output),
            Route::Many(policy) => self.submit_by(io, core, policy, operations, output),
        }
    }

    // ---- One server ----

    fn submit_to<'o>(
        &mut self,
        io: &Io<'_>,
        pool: &Arc<Pool>,
        core: &Core,
        operations: impl Submitted<'o>,
        output: &mut Output<'_>,
    ) -> (usize, Result<()>) {
        let place = match self.open_lane(io, pool, core, output) {
            Ok(place) => place,
            Err(error) => return (0, Err(error)),
        };
        let accepted = self.accept(io, place, operations, output);
        // Many operations take a while.
        let now = if accepted.0 > FEW { clock::now() } else { io.now };
        let io = &Io { now, ..*io };
        self.proceed(io, place, output);
        self.arm(io);
        accepted
    }

    /// Puts operations into a lane until one cannot be.
    fn accept<'o>(
        &mut self,
        io: &Io<'_>,
        place: Place,
        mut operations: impl Submitted<'o>,
        output: &mut Output<'_>,
    ) -> (usize, Result<()>) {
        let Some(Site { pool, coder, front, lanes }) = self.sites.get_mut(place.site as usize).and_then(Option::as_mut)
        else {
            return (0, Ok(()));
        };
        let shared = pool.shared();
        let (usual, most) = (shared.settings.timeout_ms, shared.settings.max_waiting as usize);
        let barred = bar(shared, &mut self.events);
        let usual_deadline = io.now + u64::from(usual) * 1_000_000;
        let mut under_way = lanes.iter().map(Lane::under_way).sum::<usize>();
        let mut accepted = 0;
        let terms = Terms { place, now: io.now, timeout_ms: usual, decodes: coder.is_some() };
        loop {
            // What most operations are goes a short way.
            if let (None, Some(lane)) = (&barred, lanes.get_mut(place.lane as usize)) {
                let (taken, earliest) =
                    lane.push_gets(&mut self.records, &mut operations, most.saturating_sub(under_way), &terms);
                self.earliest = self.earliest.min(earliest);
                (accepted, under_way) = (accepted + taken, under_way + taken);
            }
            let (tag, operation) = match operations.next() {
                Some(Ok(next)) => next,
                Some(Err(error)) => return (accepted, Err(error)),
                None => return (accepted, Ok(())),
            };
            let (mut place, command) = (place, operation.command);
            let hurdle = match &barred {
                _ if operation.server > 1 => Some(no_other(operation.server - 1)),
                Some(error) => Some(shared.unsent(&operation, error)),
                None if under_way >= most => Some(shared.unsent(&operation, &busy(under_way, most, &shared.address))),
                None if command.goes_aside() => match aside(lanes, place, &shared.address) {
                    Ok(own) => {
                        place = own;
                        None
                    }
                    Err(error) => Some(shared.unsent(&operation, &error)),
                },
                None => None,
            };
            if let Some(error) = hurdle {
                if error.status() == Status::Busy {
                    return (accepted, Err(error));
                }
                pool.count(&Counters { operations: 1, failures: 1, ..Counters::default() });
                output.give(tag, front::finish(front.as_ref(), command, Answer::failed(&error)));
                accepted += 1;
                continue;
            }
            let Some(lane) = lanes.get_mut(place.lane as usize) else { return (accepted, Ok(())) };
            let (deadline, timeout_ms) = match operation.timeout_ms {
                0 => (usual_deadline, usual),
                own => (io.now + u64::from(own) * 1_000_000, own),
            };
            lane.counted.operations += 1;
            let slot = self.records.add(Asker { tag, journey: NONE, command }, deadline, timeout_ms, place);
            if coder.is_some() {
                self.records.set_decoded(slot, is_decoded(&operation));
            }
            self.earliest = self.earliest.min(deadline);
            match lane.push(&mut self.records, slot, &operation, shared) {
                Ok(()) => under_way += 1,
                Err(error) => {
                    self.records.release(slot);
                    lane.counted.answered(error.status());
                    output.give(tag, front::finish(front.as_ref(), command, Answer::failed(&error)));
                }
            }
            accepted += 1;
        }
    }

    // ---- Several servers ----

    fn submit_by<'o>(
        &mut self,
        io: &Io<'_>,
        core: &Arc<Core>,
        policy: &Policy,
        operations: impl Submitted<'o>,
        output: &mut Output<'_>,
    ) -> (usize, Result<()>) {
        if let Err(error) = policy.check_open() {
            return (0, Err(error));
        }
        self.events.extend(policy.tiers.iter().filter_map(|fleet| fleet.discover_now(io.now)));
        let early = policy.tiers[0].is_awaited();
        let topology = policy.tiers[0].load();
        let (mut accepted, mut choices, mut stopped) = (0, Vec::new(), Ok(()));
        for next in operations {
            let (tag, operation) = match next {
                Ok(next) => next,
                Err(error) => {
                    stopped = Err(error);
                    break;
                }
            };
            if early && self.journeys.waiting() >= core.options.max_waiting as usize {
                let words = "max_waiting operations wait until it is known which servers there are; fetch first";
                let error = Error::new(Status::Busy, words).with_bits(bits::NOT_SENT);
                let error = policy.tiers[0].unsent(&operation, &error);
                if error.status() == Status::Busy {
                    stopped = Err(error);
                    break;
                }
                output.give(tag, front::finish(core.front.as_ref(), operation.command, Answer::failed(&error)));
                accepted += 1;
                continue;
            }
            let task = task(io, tag, &operation, core.options.timeout_ms);
            accepted += 1;
            if early {
                let held = Held::new(&operation);
                self.journeys.keep_early(Early { core: core.clone(), task, held }, io.now + LOOK_EACH);
                continue;
            }
            self.take_in(io, core, policy, &topology, task, &operation, &mut choices, output);
        }
        let io = &Io { now: clock::now(), ..*io };
        choices.iter().for_each(|choice| self.proceed(io, choice.place, output));
        if self.journeys.has_any() {
            self.resend(io, output);
        }
        self.arm(io);
        (accepted, stopped)
    }

    /// Takes one operation in, and sends it on the way that the route says.
    #[allow(clippy::too_many_arguments, reason = "what a submit knows once, and what it is about")]
    fn take_in(
        &mut self,
        io: &Io<'_>,
        core: &Arc<Core>,
        policy: &Policy,
        topology: &Topology,
        task: Task,
        operation: &Operation<'_>,
        choices: &mut Vec<Choice>,
        output: &mut Output<'_>,
    ) {
        let targets = match topology.aim(operation) {
            Ok(targets) => targets,
            Err(error) => {
                let error = policy.tiers[0].unsent(operation, &error);
                let answer = front::finish(core.front.as_ref(), operation.command, Answer::failed(&error));
                return output.give(task.tag, answer);
            }
        };
        let way = Way::new(operation, targets, topology);
        let journey = match policy.is_plain() && way.is_alone() {
            true => NONE,
            false => {
                let may_resend = policy.may_resend(operation, topology);
                self.journeys.add(Journey::new(core, task, operation, way, may_resend))
            }
        };
        let asker = Asker { tag: task.tag, journey, command: operation.command };
        match targets {
            Targets::One(server) => self.put(io, core, topology, server, asker, task, operation, choices, output),
            Targets::All => topology
                .members()
                .for_each(|(server, _)| self.put(io, core, topology, server, asker, task, operation, choices, output)),
        }
    }

    /// Puts an operation into the lane of one server.
    #[allow(clippy::too_many_arguments, reason = "as above")]
    fn put(
        &mut self,
        io: &Io<'_>,
        core: &Arc<Core>,
        topology: &Topology,
        server: u32,
        asker: Asker,
        task: Task,
        operation: &Operation<'_>,
        choices: &mut Vec<Choice>,
        output: &mut Output<'_>,
    ) {
        let chosen = choices.iter().find(|choice| choice.server == server).map(|choice| choice.place);
        let place = chosen.map_or_else(
            || {
                let member = topology.member(server).ok_or_else(|| gone(server))?;
                let place = self.open_lane(io, &member.pool, core, output)?;
                choices.push(Choice { server, place });
                Ok(place)
            },
            Ok,
        );
        let failure = match place {
            Ok(place) => self.push(place, asker, task, operation).err(),
            Err(error) => Some(error),
        };
        if let Some(error) = failure {
            let answer = Answer { server, ..Answer::failed(&error) };
            match asker.journey {
                NONE => output.give(asker.tag, front::finish(core.front.as_ref(), asker.command, answer)),
                journey => self.journeys.take(journey, answer, io.now, output),
            }
        }
    }

    /// Puts an operation into a lane, unless too many are under way there.
    fn push(&mut self, place: Place, asker: Asker, task: Task, operation: &Operation<'_>) -> Result<()> {
        let site = self.sites.get_mut(place.site as usize).and_then(Option::as_mut);
        let Some(Site { pool, coder, lanes, .. }) = site else { return Err(gone(0)) };
        let shared = pool.shared();
        let (under_way, most) =
            (lanes.iter().map(Lane::under_way).sum::<usize>(), shared.settings.max_waiting as usize);
        let place = match operation.command.goes_aside() {
            true => aside(lanes, place, &shared.address).map_err(|error| shared.unsent(operation, &error))?,
            false => place,
        };
        let Some(lane) = lanes.get_mut(place.lane as usize) else { return Err(gone(shared.server)) };
        lane.counted.operations += 1;
        let pushed = match (under_way < most, bar(shared, &mut self.events)) {
            (_, Some(error)) => Err(shared.unsent(operation, &error)),
            (true, None) => {
                let slot = self.records.add(asker, task.deadline, task.timeout_ms, place);
                if coder.is_some() {
                    self.records.set_decoded(slot, is_decoded(operation));
                }
                let pushed = lane.push(&mut self.records, slot, operation, shared);
                if pushed.is_err() {
                    self.records.release(slot);
                }
                pushed
            }
            (false, None) => Err(shared.unsent(operation, &busy(under_way, most, &shared.address))),
        };
        self.earliest = self.earliest.min(task.deadline);
        pushed.inspect_err(|error| lane.counted.answered(error.status()))
    }

    /// Sends what had to wait until it was known which servers there are; what still has to waits on.
    fn send_early(&mut self, io: &Io<'_>, output: &mut Output<'_>) {
        for Early { core, task, held } in self.journeys.take_early(io.now) {
            let Route::Many(policy) = &core.route else { continue };
            self.events.extend(policy.tiers.iter().filter_map(|fleet| fleet.discover_now(io.now)));
            if policy.tiers[0].is_awaited() && io.now < task.deadline {
                self.journeys.keep_early(Early { core: core.clone(), task, held }, io.now + LOOK_EACH);
                continue;
            }
            let (topology, mut choices) = (policy.tiers[0].load(), Vec::new());
            self.take_in(io, &core, policy, &topology, task, &held.operation(), &mut choices, output);
            choices.iter().for_each(|choice| self.proceed(io, choice.place, output));
        }
    }

    /// Sends again what the route wants to be sent again by now.
    pub(super) fn resend(&mut self, io: &Io<'_>, output: &mut Output<'_>) {
        self.send_early(io, output);
        while let Some(Due { again, core, task, held }) = self.journeys.due(io.now) {
            let Route::Many(policy) = &core.route else { continue };
            let Some(fleet) = policy.tiers.get(usize::from(again.tier)) else { continue };
            self.events.extend(fleet.discover_now(io.now));
            if fleet.is_awaited() && io.now < task.deadline {
                self.journeys.put_off(again, io.now + LOOK_EACH);
                continue;
            }
            let (topology, operation) = (fleet.load(), held.operation());
            let asker = Asker { tag: task.tag, journey: again.journey, command: operation.command };
            let mut choices = Vec::new();
            match again.to.map_or_else(|| topology.aim(&operation), |server| Ok(Targets::One(server))) {
                Ok(Targets::One(server)) => {
                    self.put(io, &core, &topology, server, asker, task, &operation, &mut choices, output)
                }
                Ok(Targets::All) => {
                    let words = "a read was aimed at several servers";
                    let error = Error::new(Status::Bug, words);
                    self.journeys.take(again.journey, Answer::failed(&error), io.now, output);
                }
                Err(error) => self.journeys.take(again.journey, Answer::failed(&error), io.now, output),
            }
            choices.iter().for_each(|choice| self.proceed(io, choice.place, output));
        }
        while let Some((core, held)) = self.journeys.copy() {
            self.send_copy(io, &core, &held.operation(), output);
        }
        self.earliest = self.earliest.min(self.journeys.earliest().unwrap_or(u64::MAX));
    }

    /// Puts what an older client had into the first one, if there is a connection. Nobody waits for the answer.
    fn send_copy(&mut self, io: &Io<'_>, core: &Arc<Core>, operation: &Operation<'_>, output: &mut Output<'_>) {
        let Route::Many(policy) = &core.route else { return };
        let topology = policy.tiers[0].load();
        let Ok(targets) = topology.aim(operation) else { return };
        for (server, member) in topology.members() {
            if targets != Targets::All && targets != Targets::One(server) {
                continue;
            }
            let Ok(place) = self.open_lane(io, &member.pool, core, output) else { continue };
            let asker = Asker { tag: 0, journey: NONE, command: operation.command };
            let slot = self.records.add(asker, NEVER, 0, place);
            let Some(Site { pool, lanes, .. }) = self.sites.get_mut(place.site as usize).and_then(Option::as_mut)
            else {
                continue;
            };
            let Some(lane) = lanes.get_mut(place.lane as usize).filter(|lane| lane.is_open()) else {
                self.records.release(slot);
                continue;
            };
            lane.counted.operations += 1;
            let _ = match lane.push(&mut self.records, slot, operation, pool.shared()) {
                Ok(()) => self.records.abandon(slot).map(|_| ()),
                Err(_) => self.records.release(slot).map(|_| ()),
            };
            self.proceed(io, place, output);
        }
    }

    // ---- Lanes ----

    /// The lane to be used for a server, after a look whether its connection still stands.
    fn open_lane(&mut self, io: &Io<'_>, pool: &Arc<Pool>, core: &Core, output: &mut Output<'_>) -> Result<Place> {
        pool.shared().check_open()?;
        let site = self.site_of(pool, core, io);
        // It may have been closed before it knew of this queue.
        pool.shared().check_open()?;
        let place = self.choose(site);
        if self.lane(place).is_some_and(|lane| lane.is_fresh(pool.shared(), io.now)) {
            return Ok(place);
        }
        self.drive(io, place, output, &mut |lane, host, hands| {
            lane.refresh(host, hands)?;
            // One that owes a fence goes on until that has come.
            if lane.owes_fence() {
                return Ok(false);
            }
            lane.check_dropped(host.shared).map(|()| false)
        });
        Ok(place)
    }

    /// Lets a lane go on, and those of its site that one operation has to itself.
    fn proceed(&mut self, io: &Io<'_>, place: Place, output: &mut Output<'_>) {
        let mut proceed = |lane: &mut Lane, host: &Host<'_>, hands: &mut Hands<'_, '_>| {
            lane.proceed(host, hands)?;
            Ok(false)
        };
        self.drive(io, place, output, &mut proceed);
        // They stand behind the others, and most often there is none.
        let Some(Site { lanes, .. }) = self.site(place.site) else { return };
        let end = lanes.len();
        let count = lanes.iter().rev().take_while(|lane| lane.marks.aside).count();
        for lane in end - count..end {
            self.drive(io, Place { lane: lane as u32, ..place }, output, &mut proceed);
        }
    }
}

fn task(io: &Io<'_>, tag: u64, operation: &Operation<'_>, usual: u32) -> Task {
    let timeout_ms = if operation.timeout_ms == 0 { usual } else { operation.timeout_ms };
    Task { tag, deadline: io.now + u64::from(timeout_ms) * 1_000_000, timeout_ms }
}

#[cold]
fn busy(under_way: usize, most: usize, address: &Address) -> Error {
    let words = format!("{under_way} operations are under way to {address}; max_waiting is {most}; fetch first");
    Error::new(Status::Busy, words).with_bits(bits::NOT_SENT)
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

/// Why operations for a server are to fail at once, if they are.
fn bar(shared: &Shared, events: &mut Vec<(Listener, Event)>) -> Option<Error> {
    if shared.bound() > 0 {
        return None;
    }
    shared.bar(&mut |event| events.push((shared.settings.listener.clone(), event)))
}
