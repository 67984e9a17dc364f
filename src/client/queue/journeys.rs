//! Journeys: the operations of a queue that more than one answer may come for: those that go to several servers, and those
//! that may go on to another one. The route decides, and this remembers for it.

use super::held::Held;
use super::output::Output;
use crate::client::coding::is_decoded;
use crate::client::front;
use crate::client::Core;
use crate::error::{Error, Status};
use crate::operation::{Answer, Operation};
use crate::route::{Next, Route, State, When};
use std::sync::Arc;

/// What a queue knows of an operation beside what it is.
#[derive(Clone, Copy)]
pub(super) struct Task {
    pub tag: u64,
    pub deadline: u64,
    pub timeout_ms: u32,
}

/// One of them.
pub(super) struct Journey {
    core: Arc<Core>,
    task: Task,
    state: State,
    /// The operation; without its bytes where it is never sent again.
    held: Arc<Held>,
    /// The failure that may be its answer in the end, and whose it is.
    kept: Option<(u32, Error)>,
}

/// One that is to be sent again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Again {
    pub journey: u32,
    pub tier: u8,
    pub to: Option<u32>,
    not_before: u64,
}

/// The same with all that sending takes.
pub(super) struct Due {
    pub again: Again,
    pub core: Arc<Core>,
    pub task: Task,
    pub held: Arc<Held>,
}

/// An operation that has not set out: its client does not know its servers yet.
pub(super) struct Early {
    pub core: Arc<Core>,
    pub task: Task,
    pub held: Held,
}

/// See the module.
#[derive(Default)]
pub(super) struct Journeys {
    list: Vec<Option<Journey>>,
    free: Vec<u32>,
    again: Vec<Again>,
    /// What is to be put into the first of several clients.
    copies: Vec<(Arc<Core>, Held)>,
    early: Vec<Early>,
    /// When to see to these.
    early_at: u64,
}

impl Journey {
    /// The journey of an operation that is under way; it is kept whole where it `may_resend`.
    pub fn new(core: &Arc<Core>, task: Task, operation: &Operation<'_>, state: State, may_resend: bool) -> Journey {
        let bare = Operation { key: b"", value: b"", routing_key: b"", meta_flags: b"", ..*operation };
        let held = Arc::new(Held::new(if may_resend { operation } else { &bare }));
        Journey { core: core.clone(), task, state, held, kept: None }
    }
}

impl Journey {
    /// Gives an answer out as the client expects it, decoded where it has a codec.
    fn give(&self, answer: Answer<'_>, output: &mut Output<'_>) {
        let answer = front::finish(self.core.front.as_ref(), self.held.operation().command, answer);
        match &self.core.coder {
            Some(coder) if answer.status == Status::Ok && is_decoded(&self.held.operation()) => {
                output.give_coded(self.task.tag, answer, coder)
            }
            _ => output.give(self.task.tag, answer),
        }
    }
}

impl Journeys {
    /// Remembers one; answers with its number.
    pub fn add(&mut self, journey: Journey) -> u32 {
        match self.free.pop() {
            Some(free) => {
                self.list[free as usize] = Some(journey);
                free
            }
            None => {
                self.list.push(Some(journey));
                (self.list.len() - 1) as u32
            }
        }
    }

    /// Whether something is to be sent.
    pub fn has_any(&self) -> bool {
        !self.again.is_empty() || !self.copies.is_empty() || !self.early.is_empty()
    }

    /// Keeps operations until it is known which servers there are; they are seen to again at `when`.
    pub fn keep_early(&mut self, early: Early, when: u64) {
        self.early.push(early);
        self.early_at = when;
    }

    /// Those that are to be seen to by now.
    pub fn take_early(&mut self, now: u64) -> Vec<Early> {
        if now < self.early_at {
            return Vec::new();
        }
        std::mem::take(&mut self.early)
    }

    /// Something that is to be put into the first of several clients.
    pub fn copy(&mut self) -> Option<(Arc<Core>, Held)> {
        self.copies.pop()
    }

    /// How many wait to be sent again.
    pub fn waiting(&self) -> usize {
        self.again.len() + self.early.len()
    }

    /// When the first of these is to be.
    pub fn earliest(&self) -> Option<u64> {
        let early = (!self.early.is_empty()).then_some(self.early_at);
        self.again.iter().map(|again| again.not_before).chain(early).min()
    }

    /// One whose time has come.
    pub fn due(&mut self, now: u64) -> Option<Due> {
        let at = self.again.iter().position(|again| again.not_before <= now)?;
        let again = self.again.swap_remove(at);
        let journey = self.list.get(again.journey as usize)?.as_ref()?;
        Some(Due { again, core: journey.core.clone(), task: journey.task, held: journey.held.clone() })
    }

    /// It is not to be sent before then.
    pub fn put_off(&mut self, again: Again, not_before: u64) {
        self.again.push(Again { not_before, ..again });
    }

    /// Ends those with this tag that wait to be sent again; answers with how many there were.
    pub fn cancel(&mut self, tag: u64, error: &Error, output: &mut Output<'_>) -> usize {
        let list = &self.list;
        let is_it =
            |again: &Again| list[again.journey as usize].as_ref().is_some_and(|journey| journey.task.tag == tag);
        let found: Vec<u32> = self.again.iter().filter(|again| is_it(again)).map(|again| again.journey).collect();
        self.again.retain(|again| !found.contains(&again.journey));
        found.iter().for_each(|number| self.take(*number, Answer::failed(error), 0, output));
        let before = self.early.len();
        self.early.retain(|early| early.task.tag != tag);
        let early = before - self.early.len();
        (0..early).for_each(|_| output.give(tag, Answer::failed(error)));
        found.len() + early
    }

    /// Takes in an answer.
    pub fn take(&mut self, number: u32, answer: Answer<'_>, now: u64, output: &mut Output<'_>) {
        let Some(Some(journey)) = self.list.get_mut(number as usize) else { return };
        let Route::Many(policy) = &journey.core.route else { return };
        let when = When { now, deadline: journey.task.deadline };
        let server = answer.server;
        let next = policy.after(&mut journey.state, &journey.held.operation(), server, &answer, when);
        let mut keep_it = |keep: bool| {
            if let Some(error) = answer.error().filter(|_| keep) {
                journey.kept = Some((server, error));
            }
        };
        match next {
            Next::Over => {}
            Next::Wait { keep } => keep_it(keep),
            Next::Done => {
                if policy.is_copied(&journey.state, &answer) {
                    let Operation { key, routing_key, .. } = journey.held.operation();
                    let copy = policy.copy(key, routing_key, answer.flags, answer.value.bytes());
                    self.copies.push((journey.core.clone(), Held::new(&copy)));
                }
                journey.give(answer, output)
            }
            Next::Joined => journey.give(journey.state.joined(), output),
            Next::Kept => match journey.kept.take() {
                Some((server, error)) => journey.give(Answer { server, ..Answer::failed(&error) }, output),
                None => journey.give(answer, output),
            },
            Next::Again { tier, to, not_before, keep } => {
                keep_it(keep);
                self.again.push(Again { journey: number, tier, to, not_before });
            }
        }
        if journey.state.is_over() {
            self.list[number as usize] = None;
            self.free.push(number);
        }
    }
}
