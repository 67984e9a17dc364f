//! What is in flight: the batches that were sent, in order, and how far they are answered.

use super::batch::{Audience, Batch, Expected, Wire};
use crate::error::{bits, Error, Status};
use crate::operation::{Answer, Command, Room};
use std::collections::VecDeque;

/// Where a reader hands its answers to.
pub trait Deliver<O> {
    /// See [`crate::operation::Sink::room`].
    fn room(&mut self, owner: &O, index: u32, flags: u32, len: usize) -> Room<'_>;
    /// The same, where it is a hit whose value is at hand.
    fn hit(&mut self, owner: &O, index: u32, flags: u32, cas: u64, value: &[u8]);
    /// The answer of an operation of `owner`'s.
    fn answer(&mut self, owner: &O, index: u32, answer: Answer<'_>);
    /// An operation without reply has failed.
    fn quiet_failure(&mut self, answer: &Answer<'_>);
    /// The server has answered a read; called before `answer`, and not for a `hit`.
    fn read(&mut self, found: bool);
    /// Every answer of the batch was handed out.
    fn batch_done(&mut self, batch: Box<Batch<O>>);
}

/// Delivers what the server has answered.
fn hand_out<O>(owner: &O, expected: &Expected, answer: Answer<'_>, deliver: &mut impl Deliver<O>) {
    if expected.audience != Audience::Owner {
        if expected.audience == Audience::Nobody && answer.status.is_failure() {
            deliver.quiet_failure(&answer);
        }
        return;
    }
    if expected.command.reads() && !answer.status.is_failure() {
        deliver.read(answer.status == Status::Ok);
    }
    deliver.answer(owner, expected.index, answer);
}

/// See the module.
pub(super) struct Flight<O> {
    batches: VecDeque<Box<Batch<O>>>,
    /// The next expected reply in the first batch, and its group.
    next: usize,
    group: usize,
    /// Operations of the first batch, with their groups, that a later one was answered before: what their silence means
    /// is not certain until the server has said that it is done.
    passed: Vec<(usize, usize)>,
}

impl<O> Flight<O> {
    pub fn new() -> Flight<O> {
        Flight { batches: VecDeque::new(), next: 0, group: 0, passed: Vec::new() }
    }

    pub fn push(&mut self, batch: Box<Batch<O>>) {
        if !batch.is_empty() {
            self.batches.push_back(batch);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// The number of the first batch.
    pub fn next_sequence(&self) -> Option<u64> {
        self.batches.front().map(|batch| batch.sequence)
    }

    /// The next reply that is to come.
    pub fn current(&self) -> Option<Expected> {
        self.ahead().first().copied()
    }

    /// The replies of the first batch that are still to come.
    pub fn ahead(&self) -> &[Expected] {
        self.batches.front().and_then(|batch| batch.expected().get(self.next..)).unwrap_or_default()
    }

    /// Whether one reply alone is still to come.
    pub fn is_last(&self) -> bool {
        self.batches.len() == 1 && self.ahead().len() == 1
    }

    /// The key that an expected reply of the first batch is about.
    pub fn key(&self, expected: &Expected) -> &[u8] {
        self.batches.front().map(|batch| batch.key(expected)).unwrap_or_default()
    }

    /// With what the reply to the raw command of the first batch ends.
    pub fn raw_end(&self) -> &[u8] {
        self.batches.front().map(|batch| batch.raw_end()).unwrap_or_default()
    }

    /// Whose the next reply is.
    pub fn owner(&self) -> Option<&O> {
        Some(&self.batches.front()?.groups.get(self.group)?.owner)
    }

    /// Hands out the answer of the operation that comes next, which still counts as to come.
    pub fn answer(&self, answer: Answer<'_>, deliver: &mut impl Deliver<O>) {
        if let (Some(expected), Some(owner)) = (self.current(), self.owner()) {
            hand_out(owner, &expected, answer, deliver);
        }
    }

    /// Before the reply to `expected`, so many operations have got none. That is final where the server could not be
    /// silent; else their replies may still come, if it does not keep the order.
    pub fn pass(&mut self, expected: &Expected, silent: usize, deliver: &mut impl Deliver<O>) {
        match expected.quiet || expected.wire == Wire::TextGet {
            true => self.pass_over(silent, deliver),
            false => self.answer_silent(silent, deliver),
        }
    }

    fn pass_over(&mut self, count: usize, deliver: &mut impl Deliver<O>) {
        for _ in 0..count {
            self.passed.push((self.next, self.group));
            self.pop(deliver);
        }
    }

    pub fn has_passed(&self) -> bool {
        !self.passed.is_empty()
    }

    /// Answers the operations that were passed over.
    pub fn settle<'a>(&mut self, answer: impl Fn(Command) -> Answer<'a>, deliver: &mut impl Deliver<O>) {
        let Some(batch) = self.batches.front() else { return };
        for (next, group) in self.passed.drain(..) {
            if let (Some(expected), Some(group)) = (batch.expected().get(next), batch.groups.get(group)) {
                hand_out(&group.owner, expected, answer(expected.command), deliver);
            }
        }
    }

    /// The server is done with all up to the next `count` operations: those without a reply have what silence means.
    pub fn answer_silent(&mut self, count: usize, deliver: &mut impl Deliver<O>) {
        self.settle(silence, deliver);
        for _ in 0..count {
            let Some(expected) = self.current() else { return };
            self.answer(silence(expected.command), deliver);
            self.pop(deliver);
        }
    }

    /// Answers with `error` all that is to come for the owners that `is_own` names, and makes them `gone`. With
    /// `skip_first`, the next operation has its answer already.
    pub fn abandon(
        &mut self,
        mut skip_first: bool,
        is_own: impl Fn(&O) -> bool,
        gone: impl Fn() -> O,
        error: &Error,
        deliver: &mut impl Deliver<O>,
    ) {
        if let Some(batch) = self.batches.front() {
            for (next, group) in &self.passed {
                let (Some(expected), Some(group)) = (batch.expected().get(*next), batch.groups.get(*group)) else {
                    continue;
                };
                if is_own(&group.owner) && expected.audience == Audience::Owner {
                    deliver.answer(&group.owner, expected.index, Answer::failed(error));
                }
            }
        }
        let mut cursor = (self.next, self.group);
        for batch in &mut self.batches {
            let (mut next, group) = std::mem::take(&mut cursor);
            for group in batch.groups.iter().skip(group) {
                for expected in batch.expected().get(next..group.end).unwrap_or_default() {
                    let awaited = is_own(&group.owner) && expected.audience == Audience::Owner;
                    if awaited && !std::mem::take(&mut skip_first) {
                        deliver.answer(&group.owner, expected.index, Answer::failed(error));
                    }
                    skip_first = false;
                }
                next = group.end;
            }
            for owner in batch.owners_mut().filter(|owner| is_own(owner)) {
                *owner = gone();
            }
        }
    }

    /// The first batch.
    pub fn first(&self) -> Option<&Batch<O>> {
        self.batches.front().map(|batch| &**batch)
    }

    /// Which of its replies comes next, and to which of its groups that one belongs.
    pub fn place(&self) -> (usize, usize) {
        (self.next, self.group)
    }

    /// Goes on to the next reply.
    pub fn pop(&mut self, deliver: &mut impl Deliver<O>) {
        self.pop_some(1, deliver);
    }

    /// Goes past so many replies of the first batch.
    pub fn pop_some(&mut self, count: usize, deliver: &mut impl Deliver<O>) {
        let Some(batch) = self.batches.front() else { return };
        self.next += count;
        while batch.groups.get(self.group).is_some_and(|group| group.end <= self.next) {
            self.group += 1;
        }
        if self.next >= batch.len() {
            (self.next, self.group) = (0, 0);
            if let Some(batch) = self.batches.pop_front() {
                deliver.batch_done(batch);
            }
        }
    }
}

/// What it means that a quiet operation, or a key of a `get`, has no reply: a miss of a read, the success of a write.
fn silence(command: Command) -> Answer<'static> {
    let status = if command.reads() { Status::NotFound } else { Status::Ok };
    Answer { bits: bits::SENT, ..Answer::new(status) }
}
