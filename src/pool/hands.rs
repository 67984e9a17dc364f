//! Hands: what a caller that reads for all does with the answers: its own go to its sink, those of others to their
//! calls; and what it has to account for when it next holds the lock.

use super::call::Call;
use super::counters::Counters;
use super::link::Owner;
use super::quiet::QuietFailures;
use crate::connection::{Batch, Deliver};
use crate::operation::{Answer, Room, Sink};

/// See the module.
pub(super) struct Hands<'a> {
    pub sink: &'a mut dyn Sink,
    /// Batches of this caller's own that are not finished.
    pub own_batches: usize,
    /// Finished batches of which others wait: their numbers.
    pub finished: Vec<u64>,
    /// How many batches were finished since the last accounting.
    pub ended: u32,
    /// The highest number that a finished batch had.
    pub last_ended: u64,
    /// Batches of this caller's that were sent since the last accounting.
    pub begun: u32,
    /// The number of the last of them with operations without reply; zero: there is none.
    pub last_quiet: u64,
    /// What was done since the last accounting.
    pub counted: Counters,
    /// The memory of a finished batch.
    pub spare: Option<Box<Batch<Owner>>>,
    /// What operations without reply have failed of, and nobody was told of yet.
    pub quiet: QuietFailures,
}

impl<'a> Hands<'a> {
    pub fn new(sink: &'a mut dyn Sink) -> Hands<'a> {
        Hands {
            sink,
            own_batches: 0,
            finished: Vec::new(),
            ended: 0,
            last_ended: 0,
            begun: 0,
            last_quiet: 0,
            counted: Counters::default(),
            spare: None,
            quiet: QuietFailures::default(),
        }
    }
}

impl Hands<'_> {
    /// Answers an operation of this caller's own.
    pub fn give(&mut self, index: usize, answer: Answer<'_>) {
        self.counted.answered(answer.status);
        self.sink.answer(index, answer);
    }
}

/// What comes by way of a call is counted when it is handed over.
impl Sink for Hands<'_> {
    fn hit(&mut self, index: usize, flags: u32, cas: u64, value: &[u8]) {
        self.sink.hit(index, flags, cas, value);
    }

    fn answer(&mut self, index: usize, answer: Answer<'_>) {
        self.give(index, answer);
    }
}

impl Deliver<Owner> for Hands<'_> {
    fn room(&mut self, owner: &Owner, index: u32, flags: u32, len: usize) -> Room<'_> {
        match owner {
            Owner::Own => self.sink.room(index as usize, flags, len),
            // Its caller may leave at any time, and take its memory along.
            Owner::Shared(_) => Room::Collect,
            Owner::Gone => Room::Skip,
        }
    }

    fn hit(&mut self, owner: &Owner, index: u32, flags: u32, cas: u64, value: &[u8]) {
        self.counted.hits += 1;
        match owner {
            Owner::Own => self.sink.hit(index as usize, flags, cas, value),
            Owner::Shared(call) => call.hit(index, flags, cas, value),
            Owner::Gone => {}
        }
    }

    fn answer(&mut self, owner: &Owner, index: u32, answer: Answer<'_>) {
        match owner {
            Owner::Own => self.give(index as usize, answer),
            Owner::Shared(call) => Call::answer(call, index, answer),
            Owner::Gone => {}
        }
    }

    fn quiet_failure(&mut self, answer: &Answer<'_>) {
        self.counted.quiet_failures += self.quiet.take_in(answer);
    }

    fn read(&mut self, found: bool) {
        self.counted.read(found);
    }

    fn batch_done(&mut self, mut batch: Box<Batch<Owner>>) {
        self.ended += 1;
        self.last_ended = self.last_ended.max(batch.sequence);
        if batch.owners().any(|owner| matches!(owner, Owner::Own)) {
            self.own_batches = self.own_batches.saturating_sub(1);
        }
        // Somebody may wait for a batch without replies too: until it has arrived.
        if batch.owners().any(|owner| matches!(owner, Owner::Shared(_) | Owner::Gone)) {
            self.finished.push(batch.sequence);
        }
        batch.clear();
        self.spare = Some(batch);
    }
}
