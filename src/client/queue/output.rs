//! Output: where the answers of a queue go. While somebody fetches and has room they are handed out at once, straight from
//! the receive buffer; else they are copied and wait for the next fetch. So do those whose values take time to decode, such as
//! compressed ones, and what comes behind them: whoever fetches does that once the lock is free.

use super::journeys::Journeys;
use super::records::{Asker, Records, NONE};
use crate::client::coding;
use crate::client::front::{self, Front};
use crate::connection::{Batch, Deliver};
use crate::error::Status;
use crate::operation::{Answer, Room, Value};
use crate::pool::{Counters, QuietFailures};
use crate::value::Coder;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// An answer that was fetched, with the tag of its operation. The fields are those of [`Answer`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    pub tag: u64,
    pub status: Status,
    pub os_error: i32,
    pub flags: u32,
    pub value_type: u32,
    pub bits: u32,
    pub server: u32,
    pub cas: u64,
    pub number: u64,
    pub ttl: i64,
    pub size: u32,
    pub last_access: u32,
    pub fetched: bool,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    /// Where in the slab of `fetch_into` the value is; `value` is empty then.
    pub placed: Option<Range<usize>>,
    pub detail: Vec<u8>,
}

impl Fetched {
    pub(super) fn new(tag: u64, answer: Answer<'_>) -> Fetched {
        Fetched {
            tag,
            status: answer.status,
            os_error: answer.os_error,
            flags: answer.flags,
            value_type: answer.value_type,
            bits: answer.bits,
            server: answer.server,
            cas: answer.cas,
            number: answer.number,
            ttl: answer.ttl,
            size: answer.size,
            last_access: answer.last_access,
            fetched: answer.fetched,
            key: answer.key.to_vec(),
            value: match answer.value {
                Value::Borrowed(bytes) => bytes.to_vec(),
                Value::Owned(bytes) => bytes,
                Value::Placed(_) | Value::Skipped(_) => Vec::new(),
            },
            placed: None,
            detail: answer.detail.to_vec(),
        }
    }

    fn hand_out(self, take: &mut dyn Take) {
        let answer = Answer {
            status: self.status,
            os_error: self.os_error,
            flags: self.flags,
            value_type: self.value_type,
            bits: self.bits,
            server: self.server,
            cas: self.cas,
            number: self.number,
            ttl: self.ttl,
            size: self.size,
            last_access: self.last_access,
            fetched: self.fetched,
            key: &self.key,
            value: Value::Owned(self.value),
            detail: &self.detail,
        };
        take.answer(self.tag, answer);
    }
}

/// An answer that waits, and how its value is to be decoded.
pub(super) struct Waiting {
    fetched: Fetched,
    coder: Option<Arc<Coder>>,
}

impl Waiting {
    /// Hands the answer out, decoded.
    pub fn hand_out(self, take: &mut dyn Take) {
        let Waiting { fetched, coder } = self;
        match coder {
            None => fetched.hand_out(take),
            Some(coder) => {
                let mut decode = |tag: u64, answer: Answer<'_>| {
                    coding::decode(&coder, answer, |answer| take.answer(tag, answer));
                };
                fetched.hand_out(&mut decode);
            }
        }
    }
}

/// A hit whose value is at hand. The fields are those of [`Answer`].
pub(crate) struct Hit<'a> {
    pub server: u32,
    pub value_type: u32,
    pub flags: u32,
    pub cas: u64,
    pub value: &'a [u8],
}

impl<'a> Hit<'a> {
    pub fn answer(&self) -> Answer<'a> {
        let Hit { server, value_type, flags, cas, value } = *self;
        Answer { server, value_type, ..Answer::hit(flags, cas, value) }
    }
}

/// Who takes answers, each with its tag. It is called under the queue's lock: it copies and no more.
pub(crate) trait Take {
    /// The answer where it is a hit whose value is at hand: what most answers are.
    fn hit(&mut self, tag: u64, hit: Hit<'_>) {
        self.answer(tag, hit.answer());
    }

    /// The answer of the operation with this tag.
    fn answer(&mut self, tag: u64, answer: Answer<'_>);
}

impl<F: FnMut(u64, Answer<'_>)> Take for F {
    fn answer(&mut self, tag: u64, answer: Answer<'_>) {
        self(tag, answer);
    }
}

/// See the module.
pub(super) struct Output<'a> {
    take: Option<&'a mut dyn Take>,
    room: usize,
    backlog: &'a mut VecDeque<Waiting>,
}

impl<'a> Output<'a> {
    /// An output for somebody who fetches and has room for so many answers.
    pub fn new(take: &'a mut dyn Take, room: usize, backlog: &'a mut VecDeque<Waiting>) -> Output<'a> {
        let mut output = Output { take: Some(take), room, backlog };
        output.drain();
        output
    }

    /// An output while nobody fetches: all answers wait.
    pub fn waiting(backlog: &'a mut VecDeque<Waiting>) -> Output<'a> {
        Output { take: None, room: 0, backlog }
    }

    /// How many answers there is room for.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Whether answers wait for the next fetch.
    pub fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Gives an answer out.
    #[inline]
    pub fn give(&mut self, tag: u64, answer: Answer<'_>) {
        match &mut self.take {
            Some(take) if self.room > 0 => {
                self.room -= 1;
                take.answer(tag, answer);
            }
            _ => self.keep(tag, answer, None),
        }
    }

    /// Gives out an answer whose value is to be decoded: at once where that takes no time, else as soon as nothing is held.
    #[cold]
    pub fn give_coded(&mut self, tag: u64, answer: Answer<'_>, coder: &Arc<Coder>) {
        match coder.glance(answer.value.bytes(), answer.flags) {
            Some((value_type, value)) if value.len() == answer.value.len() => {
                self.give(tag, Answer { value_type: value_type.code(), ..answer })
            }
            _ => self.keep(tag, answer, Some(coder.clone())),
        }
    }

    fn keep(&mut self, tag: u64, answer: Answer<'_>, coder: Option<Arc<Coder>>) {
        // What comes behind it is handed out behind it.
        self.take = None;
        self.backlog.push_back(Waiting { fetched: Fetched::new(tag, answer), coder });
    }

    /// Gives out an answer that is a hit.
    #[inline]
    pub fn give_hit(&mut self, tag: u64, hit: Hit<'_>) {
        match &mut self.take {
            Some(take) if self.room > 0 => {
                self.room -= 1;
                take.hit(tag, hit);
            }
            _ => self.keep(tag, hit.answer(), None),
        }
    }

    fn drain(&mut self) {
        let Some(take) = &mut self.take else { return };
        while self.room > 0 {
            match self.backlog.front() {
                None => return,
                Some(waiting) if waiting.coder.is_some() => break,
                Some(_) => {}
            }
            if let Some(waiting) = self.backlog.pop_front() {
                waiting.hand_out(*take);
                self.room -= 1;
            }
        }
        // What comes now waits behind those that are left.
        if !self.backlog.is_empty() {
            self.take = None;
        }
    }
}

/// What reads a connection for a queue: gives the answers out, and counts what the connection has to know.
pub(super) struct Hands<'a, 'b> {
    pub records: &'a mut Records,
    pub journeys: &'a mut Journeys,
    pub output: &'a mut Output<'b>,
    /// The queue's larger memory, for a connection that has much to be received; empty until one has had.
    pub large: &'a mut Vec<u8>,
    /// Of the client, where it has a codec.
    coder: Option<&'a Arc<Coder>>,
    /// Of the client, where its options change operations.
    front: Option<&'a Arc<Front>>,
    /// The index of the server.
    server: u32,
    now: u64,
    /// Operations whose replies have come, but for those whose values were there at once …
    pub released: usize,
    /// … which are counted here.
    pub hits: usize,
    /// Of these, the ones that nobody waited for any more.
    pub late: u32,
    /// What was done.
    pub counted: Counters,
    /// Batches that were answered.
    pub ended: u32,
    /// Their memory, with that of others of the connection.
    #[allow(clippy::vec_box, reason = "they go from hand to hand in their boxes")]
    pub spare: Vec<Box<Batch<()>>>,
    /// What operations without reply have failed of.
    pub quiet: QuietFailures,
}

impl<'a, 'b> Hands<'a, 'b> {
    pub fn new(
        records: &'a mut Records,
        journeys: &'a mut Journeys,
        output: &'a mut Output<'b>,
        large: &'a mut Vec<u8>,
        site: (Option<&'a Arc<Coder>>, Option<&'a Arc<Front>>),
        server: u32,
        now: u64,
    ) -> Hands<'a, 'b> {
        let (coder, front) = site;
        let (counted, spare, quiet) = (Counters::default(), Vec::new(), QuietFailures::default());
        Hands {
            records,
            journeys,
            output,
            large,
            coder,
            front,
            server,
            now,
            released: 0,
            hits: 0,
            late: 0,
            counted,
            ended: 0,
            spare,
            quiet,
        }
    }
}

impl<'a> Hands<'a, '_> {
    /// Gives an answer out, or, where it may not be the last one, to its journey.
    pub fn give(&mut self, asker: Asker, answer: Answer<'_>) {
        self.counted.answered(answer.status);
        let answer = Answer { server: self.server, ..answer };
        match asker.journey {
            NONE => self.output.give(asker.tag, front::finish(self.front, asker.command, answer)),
            journey => self.journeys.take(journey, answer, self.now, self.output),
        }
    }

    /// How the value of this operation's answer is to be decoded, if it is.
    #[inline]
    fn coder_of(&self, index: u32) -> Option<&'a Arc<Coder>> {
        self.coder.and_then(|coder| self.is_decoded(index).then_some(coder))
    }

    #[cold]
    fn is_decoded(&self, index: u32) -> bool {
        self.records.get(index).is_some_and(|record| record.decoded)
    }

    /// Takes a hit whose value is to be decoded.
    #[inline(never)]
    fn hit_coded(&mut self, index: u32, flags: u32, cas: u64, value: &[u8], coder: &Arc<Coder>) {
        self.released += 1;
        self.counted.hits += 1;
        let (server, stored) = (self.server, Answer::hit(flags, cas, value));
        match self.records.release(index) {
            Some(Asker { tag, journey: NONE, .. }) => match coder.glance(value, flags) {
                Some((value_type, value)) => {
                    self.output.give_hit(tag, Hit { server, value_type: value_type.code(), flags, cas, value })
                }
                None => self.output.give_coded(tag, Answer { server, ..stored }, coder),
            },
            Some(asker) => self.give(asker, stored),
            None => self.late += 1,
        }
    }

    /// Takes an answer whose value is to be decoded.
    #[cold]
    fn answer_coded(&mut self, index: u32, answer: Answer<'_>, coder: &Arc<Coder>) {
        self.released += 1;
        match self.records.release(index) {
            Some(Asker { tag, journey: NONE, command }) => {
                self.counted.answered(answer.status);
                let answer = front::finish(self.front, command, Answer { server: self.server, ..answer });
                self.output.give_coded(tag, answer, coder);
            }
            Some(asker) => self.give(asker, answer),
            None => self.late += 1,
        }
    }
}

impl Deliver<()> for Hands<'_, '_> {
    fn room(&mut self, _owner: &(), index: u32, _flags: u32, _len: usize) -> Room<'_> {
        // The room of a fetch is gone when it returns, and the value may take several.
        if self.records.is_live(index) {
            Room::Collect
        } else {
            Room::Skip
        }
    }

    #[inline]
    fn hit(&mut self, _owner: &(), index: u32, flags: u32, cas: u64, value: &[u8]) {
        if let Some(coder) = self.coder_of(index) {
            return self.hit_coded(index, flags, cas, value, coder);
        }
        self.hits = self.hits.wrapping_add(1);
        let hit = Hit { server: self.server, value_type: 0, flags, cas, value };
        match self.records.release(index) {
            Some(Asker { tag, journey: NONE, .. }) => self.output.give_hit(tag, hit),
            Some(asker) => self.give(asker, hit.answer()),
            None => self.late += 1,
        }
    }

    #[inline]
    fn answer(&mut self, _owner: &(), index: u32, answer: Answer<'_>) {
        if let Some(coder) = self.coder_of(index).filter(|_| answer.status == Status::Ok) {
            return self.answer_coded(index, answer, coder);
        }
        self.released += 1;
        match self.records.release(index) {
            Some(asker) => self.give(asker, answer),
            None => self.late += 1,
        }
    }

    fn quiet_failure(&mut self, answer: &Answer<'_>) {
        self.counted.quiet_failures += self.quiet.take_in(answer);
    }

    fn read(&mut self, found: bool) {
        self.counted.read(found);
    }

    fn batch_done(&mut self, mut batch: Box<Batch<()>>) {
        self.ended += 1;
        batch.clear();
        self.spare.push(batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_waits_in_order() {
        let mut backlog = VecDeque::new();
        let mut taken = Vec::new();
        for room in [2, 0, 1, 9] {
            let mut take = |tag, answer: Answer<'_>| taken.push((tag, answer.value.len()));
            let mut output = Output::new(&mut take, room, &mut backlog);
            if room == 2 {
                for tag in 1..=5 {
                    let value = Value::Borrowed(&b"abcde"[..tag as usize]);
                    output.give(tag, Answer { value, ..Answer::new(Status::Ok) });
                }
            }
            assert_eq!(output.has_backlog(), room != 9);
        }
        assert_eq!(taken, [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]);
    }
}
