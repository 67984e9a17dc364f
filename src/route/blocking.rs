//! The way of a call that waits: in rounds, each of which sends to all servers first and then collects. What a round
//! leaves to be done (a miss that another server may know, a failure that is tried again) is the next round.

use super::fleet::{Targets, Topology};
use super::gone;
use super::journey::{Next, Policy, State, When};
use crate::error::Error;
use crate::net::{clock, Deadline};
use crate::operation::{Answer, Operation, Room, Sink};
use crate::pool::{run_several, Limit, Part, Pool};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

impl Policy {
    /// Runs operations, each of which `sink` gets one answer for.
    pub fn run(&self, operations: &[Operation<'_>], sink: &mut dyn Sink, limit: Limit) {
        self.tiers[0].discover(limit.deadline);
        // What only an older client may know is waited for when it is its turn.
        self.tiers[1..].iter().for_each(|fleet| fleet.discover(Deadline::at(0)));
        let [operation] = operations else { return self.run_rounds(operations, sink, limit) };
        if !self.is_plain() {
            return self.run_rounds(operations, sink, limit);
        }
        let topology = self.tiers[0].load();
        match topology.aim(operation) {
            Ok(Targets::One(server)) => match topology.member(server) {
                Some(member) => member.pool.run_far(operations, &mut Tagged { sink, server }, limit),
                None => sink.answer(0, Answer::failed(&gone(server))),
            },
            _ => self.run_rounds(operations, sink, limit),
        }
    }

    fn run_rounds(&self, operations: &[Operation<'_>], sink: &mut dyn Sink, limit: Limit) {
        if let Err(error) = self.check_open() {
            return (0..operations.len()).for_each(|index| sink.answer(index, Answer::failed(&error)));
        }
        let mut call = Call::new(self, operations, sink, limit);
        call.begin();
        while let Some(steps) = call.due() {
            call.round(steps);
        }
        call.copy();
    }
}

/// Names the server of each answer.
struct Tagged<'a> {
    sink: &'a mut dyn Sink,
    server: u32,
}

impl Sink for Tagged<'_> {
    fn room(&mut self, index: usize, flags: u32, len: usize) -> Room<'_> {
        self.sink.room(index, flags, len)
    }

    fn hit(&mut self, index: usize, flags: u32, cas: u64, value: &[u8]) {
        match self.server {
            0 => self.sink.hit(index, flags, cas, value),
            server => self.sink.answer(index, Answer { server, ..Answer::hit(flags, cas, value) }),
        }
    }

    fn answer(&mut self, index: usize, answer: Answer<'_>) {
        self.sink.answer(index, Answer { server: self.server, ..answer });
    }
}

/// One operation that is to be sent.
#[derive(Clone, Copy)]
struct Step {
    index: usize,
    tier: u8,
    /// The server; `None`: as the client of this tier says.
    to: Option<u32>,
    not_before: u64,
}

/// A call on its way.
struct Call<'a> {
    policy: &'a Policy,
    operations: &'a [Operation<'a>],
    limit: Limit,
    progress: RefCell<Progress<'a>>,
}

/// What its answers change.
struct Progress<'a> {
    sink: &'a mut dyn Sink,
    states: Vec<Option<State>>,
    /// Failures that may be the answer in the end.
    kept: Vec<(usize, u32, Error)>,
    steps: Vec<Step>,
    /// What is to be put into the first of several clients: by the operation that has found it, flags and value.
    copies: Vec<(usize, u32, Vec<u8>)>,
}

/// The operations of a round that go to one server over one connection.
struct Group<'a> {
    pool: Arc<Pool>,
    tier: u8,
    server: u32,
    indices: Vec<usize>,
    operations: Vec<Operation<'a>>,
}

impl<'a> Call<'a> {
    fn new(policy: &'a Policy, operations: &'a [Operation<'a>], sink: &'a mut dyn Sink, limit: Limit) -> Call<'a> {
        let (states, steps) = (vec![None; operations.len()], Vec::with_capacity(operations.len()));
        let progress = Progress { sink, states, kept: Vec::new(), steps, copies: Vec::new() };
        Call { policy, operations, limit, progress: RefCell::new(progress) }
    }

    /// Every operation is to be sent.
    fn begin(&mut self) {
        let first = |index| Step { index, tier: 0, to: None, not_before: 0 };
        self.progress.get_mut().steps.extend((0..self.operations.len()).map(first));
    }

    /// The next operations to be sent, once it is time for them; `None`: there are none left.
    fn due(&mut self) -> Option<Vec<Step>> {
        let steps = &mut self.progress.get_mut().steps;
        let earliest = steps.iter().map(|step| step.not_before).min()?;
        if earliest > 0 {
            let until = earliest.min(self.limit.deadline.nanoseconds());
            std::thread::sleep(Duration::from_nanos(until.saturating_sub(clock::now())));
        }
        let (due, later) = std::mem::take(steps).into_iter().partition(|step| step.not_before <= earliest);
        *steps = later;
        Some(due)
    }

    /// Sends them, and takes in all their answers.
    fn round(&self, steps: Vec<Step>) {
        let groups = self.group(steps);
        let mut sinks: Vec<Share<'_, 'a>> =
            groups.iter().map(|group| Share { call: self, indices: &group.indices, server: group.server }).collect();
        if let ([group], [sink]) = (groups.as_slice(), sinks.as_mut_slice()) {
            return group.pool.run_far(&group.operations, sink, self.limit);
        }
        let parts = groups.iter().zip(&mut sinks);
        let parts = parts.map(|(group, sink)| Part { pool: &group.pool, operations: &group.operations, sink });
        run_several(parts.collect(), self.limit);
    }

    /// Puts what older clients had into the first one. How that goes is nobody's business.
    fn copy(&self) {
        let copies = std::mem::take(&mut self.progress.borrow_mut().copies);
        if copies.is_empty() {
            return;
        }
        let adds: Vec<Operation<'_>> = copies
            .iter()
            .map(|(index, flags, value)| {
                let Operation { key, routing_key, .. } = self.operations[*index];
                self.policy.copy(key, routing_key, *flags, value)
            })
            .collect();
        let mut nobody = Nobody;
        let mut call = Call::new(self.policy, &adds, &mut nobody, self.limit);
        call.begin();
        while let Some(steps) = call.due() {
            call.round(steps);
        }
    }

    /// What goes to which server, as the servers are now: all of a round sees the same ones.
    fn group(&self, steps: Vec<Step>) -> Vec<Group<'a>> {
        let mut groups: Vec<Group<'a>> = Vec::new();
        let older = steps.iter().map(|step| usize::from(step.tier)).filter(|tier| *tier > 0);
        older.for_each(|tier| self.policy.tiers[tier].discover(self.limit.deadline));
        let seen: Vec<_> = self.policy.tiers.iter().map(|fleet| fleet.load()).collect();
        for step in steps {
            let (topology, operation) = (&seen[usize::from(step.tier)], &self.operations[step.index]);
            match step.to.map_or_else(|| topology.aim(operation), |server| Ok(Targets::One(server))) {
                Ok(targets) => {
                    self.note_targets(step.index, operation, targets, topology);
                    match targets {
                        Targets::One(server) => self.put(&mut groups, topology, step, server),
                        Targets::All => {
                            topology.members().for_each(|(server, _)| self.put(&mut groups, topology, step, server))
                        }
                    }
                }
                Err(error) => {
                    let error = self.policy.tiers[usize::from(step.tier)].unsent(operation, &error);
                    self.note_targets(step.index, operation, Targets::One(0), topology);
                    self.answered(step.index, 0, Answer::failed(&error));
                }
            }
        }
        groups
    }

    /// An operation sets out: how many answers are awaited for it.
    fn note_targets(&self, index: usize, operation: &Operation<'_>, targets: Targets, topology: &Topology) {
        let mut progress = self.progress.borrow_mut();
        if let Some(state) = progress.states.get_mut(index) {
            state.get_or_insert_with(|| State::new(operation, targets, topology));
        }
    }

    fn put(&self, groups: &mut Vec<Group<'a>>, topology: &Topology, step: Step, server: u32) {
        let Some(member) = topology.member(server) else {
            return self.answered(step.index, server, Answer::failed(&gone(server)));
        };
        let operation = self.operations[step.index];
        let goes_aside = |operation: &Operation<'_>| operation.command.goes_aside();
        let last = groups.iter().rposition(|group| group.server == server && group.tier == step.tier);
        // What has a connection to itself is alone, and what comes behind it waits for it.
        let joins = |at: &usize| !goes_aside(&operation) && !groups[*at].operations.first().is_some_and(goes_aside);
        let at = last.filter(joins).unwrap_or_else(|| {
            let (indices, operations) = (Vec::new(), Vec::new());
            groups.push(Group { pool: member.pool.clone(), tier: step.tier, server, indices, operations });
            groups.len() - 1
        });
        groups[at].indices.push(step.index);
        groups[at].operations.push(operation);
    }

    /// Takes in an answer.
    fn answered(&self, index: usize, server: u32, answer: Answer<'_>) {
        let mut progress = self.progress.borrow_mut();
        let Progress { sink, states, kept, steps, copies } = &mut *progress;
        let (Some(state), Some(operation)) = (states.get_mut(index), self.operations.get(index)) else { return };
        let Some(state) = state else { return };
        let answer = Answer { server, ..answer };
        if self.policy.is_plain() && state.is_alone() {
            return sink.answer(index, answer);
        }
        let when = When { now: clock::now(), deadline: self.limit.deadline.nanoseconds() };
        let mut keep_it = |keep: bool| {
            if let Some(error) = answer.error().filter(|_| keep) {
                kept.retain(|(other, ..)| *other != index);
                kept.push((index, server, error));
            }
        };
        match self.policy.after(state, operation, server, &answer, when) {
            Next::Over => {}
            Next::Wait { keep } => keep_it(keep),
            Next::Done => {
                if self.policy.is_copied(state, &answer) {
                    copies.push((index, answer.flags, answer.value.bytes().to_vec()));
                }
                sink.answer(index, answer)
            }
            Next::Joined => sink.answer(index, state.joined()),
            Next::Kept => {
                let at = kept.iter().position(|(other, ..)| *other == index);
                let Some((_, server, error)) = at.map(|at| kept.swap_remove(at)) else {
                    return sink.answer(index, answer);
                };
                sink.answer(index, Answer { server, ..Answer::failed(&error) });
            }
            Next::Again { tier, to, not_before, keep } => {
                keep_it(keep);
                steps.push(Step { index, tier, to, not_before });
            }
        }
    }
}

/// Wants no answers.
struct Nobody;

impl Sink for Nobody {
    fn answer(&mut self, _index: usize, _answer: Answer<'_>) {}
}

/// Takes the answers of one server.
struct Share<'c, 'a> {
    call: &'c Call<'a>,
    indices: &'c [usize],
    server: u32,
}

impl Sink for Share<'_, '_> {
    fn answer(&mut self, index: usize, answer: Answer<'_>) {
        if let Some(index) = self.indices.get(index) {
            self.call.answered(*index, self.server, answer);
        }
    }
}
