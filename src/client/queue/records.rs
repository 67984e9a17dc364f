//! Records: what a queue remembers of each operation until its reply has come. One array, in which free places are used
//! again, so that nothing is allocated for an operation once the array is large enough.

use crate::operation::Command;

/// A moment that never comes.
pub(super) const NEVER: u64 = u64::MAX;

/// Which connection to which server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub site: u32,
    pub lane: u32,
}

/// Whom an answer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asker {
    pub tag: u64,
    /// The number of its journey, where more than one answer may come before it has its own; else `NONE`.
    pub journey: u32,
    /// What was asked, on which depends what the client makes of an answer.
    pub command: Command,
}

/// No journey, and no place.
pub(super) const NONE: u32 = u32::MAX;

/// See the module.
#[derive(Debug)]
pub(super) struct Record {
    pub asker: Asker,
    /// In monotonic nanoseconds; `NEVER` once nobody waits for the answer.
    pub deadline: u64,
    pub place: Place,
    /// The number of its batch; zero: it is in none yet.
    pub batch: u64,
    /// Milliseconds that it may take.
    pub timeout_ms: u32,
    /// The value of its answer is to be decoded. Set, and asked for, where the client has a codec, and nowhere else.
    pub decoded: bool,
    state: State,
    /// The next free place, where this one is free.
    next: u32,
    /// The value to be sent, where it is not copied into the batch.
    value: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Its place is free.
    Free,
    /// It has no answer yet.
    Live,
    /// It was answered before its reply came, which is to be dropped.
    Gone,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Records {
    list: Vec<Record>,
    /// The first free place; `NONE`: all are taken.
    free: u32,
    live: usize,
}

impl Default for Records {
    fn default() -> Records {
        Records { list: Vec::new(), free: NONE, live: 0 }
    }
}

impl Records {
    /// How many operations have no answer yet.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Remembers an operation; answers with its number.
    pub fn add(&mut self, asker: Asker, deadline: u64, timeout_ms: u32, place: Place) -> u32 {
        self.add_to(0, asker, deadline, timeout_ms, place)
    }

    /// The same of one that is in the batch with this number.
    #[inline(always)]
    pub fn add_to(&mut self, batch: u64, asker: Asker, deadline: u64, timeout_ms: u32, place: Place) -> u32 {
        self.live = self.live.wrapping_add(1);
        let Some(record) = self.list.get_mut(self.free as usize) else {
            return self.add_place(batch, asker, deadline, timeout_ms, place);
        };
        let slot = std::mem::replace(&mut self.free, record.next);
        // Field by field: as a whole they would go by way of the stack, and the processor waits for what is read in other pieces.
        (record.asker.tag, record.asker.journey, record.asker.command) = (asker.tag, asker.journey, asker.command);
        (record.deadline, record.place) = (deadline, place);
        (record.batch, record.timeout_ms, record.state) = (batch, timeout_ms, State::Live);
        slot
    }

    #[cold]
    fn add_place(&mut self, batch: u64, asker: Asker, deadline: u64, timeout_ms: u32, place: Place) -> u32 {
        let (decoded, state, next, value) = (false, State::Live, NONE, Vec::new());
        self.list.push(Record { asker, deadline, place, batch, timeout_ms, decoded, state, next, value });
        (self.list.len() - 1) as u32
    }

    /// What is remembered of an operation.
    pub fn get(&self, slot: u32) -> Option<&Record> {
        self.list.get(slot as usize)
    }

    /// The operation is in the batch with this number.
    #[inline]
    pub fn set_batch(&mut self, slot: u32, batch: u64) {
        if let Some(record) = self.list.get_mut(slot as usize) {
            record.batch = batch;
        }
    }

    /// Whether the value of an operation's answer is to be decoded.
    pub fn set_decoded(&mut self, slot: u32, decoded: bool) {
        if let Some(record) = self.list.get_mut(slot as usize) {
            record.decoded = decoded;
        }
    }

    /// Keeps the value of an operation that is not copied into its batch.
    pub fn keep_value(&mut self, slot: u32, value: Vec<u8>) {
        if let Some(record) = self.list.get_mut(slot as usize) {
            record.value = value;
        }
    }

    /// The value of an operation that is not copied into its batch, which is about to be sent.
    pub fn take_value(&mut self, slot: u32) -> Vec<u8> {
        self.list.get_mut(slot as usize).map(|record| std::mem::take(&mut record.value)).unwrap_or_default()
    }

    /// Whether an operation has no answer yet.
    pub fn is_live(&self, slot: u32) -> bool {
        self.list.get(slot as usize).is_some_and(|record| record.state == State::Live)
    }

    /// Forgets an operation, whose reply has come; answers with who waits for that, if somebody does.
    #[inline]
    pub fn release(&mut self, slot: u32) -> Option<Asker> {
        let record = self.list.get_mut(slot as usize)?;
        let was = std::mem::replace(&mut record.state, State::Free);
        (record.deadline, record.next) = (NEVER, self.free);
        if !record.value.is_empty() {
            record.value = Vec::new();
        }
        self.free = slot;
        let live = was == State::Live;
        self.live = self.live.wrapping_sub(usize::from(live));
        live.then_some(record.asker)
    }

    /// Nobody waits for the answer any more: the reply is to be dropped when it comes. Answers with the record.
    pub fn abandon(&mut self, slot: u32) -> Option<&Record> {
        let record = self.list.get_mut(slot as usize).filter(|record| record.state == State::Live)?;
        record.state = State::Gone;
        record.deadline = NEVER;
        self.live -= 1;
        Some(record)
    }

    /// The operations without an answer that `wanted` names.
    pub fn find(&self, wanted: impl Fn(&Record) -> bool) -> Vec<u32> {
        let live = |record: &Record| record.state == State::Live && wanted(record);
        self.list.iter().zip(0u32..).filter(|(record, _)| live(record)).map(|(_, slot)| slot).collect()
    }

    /// The earliest deadline of all that have no answer.
    pub fn earliest(&self) -> u64 {
        self.list.iter().map(|record| record.deadline).min().unwrap_or(NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place { site: 0, lane: 0 };

    fn of(tag: u64) -> Asker {
        Asker { tag, journey: NONE, command: Command::Set }
    }

    #[test]
    fn places_are_used_again_and_answers_given_once() {
        let mut records = Records::default();
        let slots: Vec<u32> = (0..4).map(|tag| records.add(of(tag), 100 + tag, 1, HERE)).collect();
        assert_eq!((records.live(), records.earliest()), (4, 100));
        assert_eq!(records.release(slots[0]), Some(of(0)));
        assert_eq!(records.abandon(slots[1]).map(|record| record.asker), Some(of(1)));
        assert!(records.abandon(slots[1]).is_none() && !records.is_live(slots[1]));
        assert_eq!((records.live(), records.earliest()), (2, 102));
        assert_eq!(records.find(|record| record.asker.tag != 2), [slots[3]]);
        assert_eq!(records.release(slots[1]), None);
        let again = [records.add(of(9), 50, 1, HERE), records.add(of(10), 60, 1, HERE)];
        assert_eq!(again, [slots[1], slots[0]]);
        assert_eq!((records.live(), records.earliest()), (4, 50));
    }
}
