//! The part of a lane that is about operations without reply: they are answered when the kernel has them, their fences are
//! read by whoever reads next, and a connection is not closed before these have come.

use super::super::output::Hands;
use super::{answer, Host, Lane, Stage};
use crate::connection::Reader;
use crate::error::{bits, Error, Result, Status};
use crate::operation::Answer;
use crate::pool::PEEK_AFTER;
use std::mem;

impl Lane {
    /// Answers the operations without reply that the kernel has.
    pub(super) fn answer_sent(&mut self, hands: &mut Hands<'_, '_>) {
        let Stage::Open(open) = &self.stage else { return };
        let first_unsent = if open.sending.is_some() { self.launched } else { self.launched + 1 };
        while let Some((_, slot)) = self.quiet.front().copied().filter(|(batch, _)| *batch < first_unsent) {
            self.quiet.pop_front();
            self.last_quiet = self.launched;
            hands.released += 1;
            if let Some(tag) = hands.records.release(slot) {
                hands.give(tag, Answer { bits: bits::SENT, ..Answer::new(Status::Ok) });
            }
        }
        self.account(hands);
    }

    /// Whether the replies that are to come are for nobody, and nobody has looked for them for a while.
    pub(super) fn is_left_unread(&self, host: &Host<'_>) -> bool {
        let Stage::Open(open) = &self.stage else { return false };
        let idle = host.now.saturating_sub(open.last_used);
        self.under_way == 0 && open.in_flight > 0 && open.sending.is_none() && idle >= PEEK_AFTER
    }

    /// Whether the fence of some operation without reply is still to come.
    pub fn owes_fence(&self) -> bool {
        match &self.stage {
            Stage::Open(open) => open.reader.next_sequence().is_some_and(|next| next <= self.last_quiet),
            _ => false,
        }
    }

    /// The client is closed, and nobody waits for an answer any more. Fails, which closes the connection, once what was sent
    /// without reply has arrived, or has had its time for that.
    pub fn part(&mut self, host: &Host<'_>, why: &Error, hands: &mut Hands<'_, '_>) -> Result<bool> {
        if !self.owes_fence() {
            return Err(why.clone());
        }
        let usual = u64::from(host.shared.settings.timeout_ms) * 1_000_000;
        let until = *self.leaving.get_or_insert(host.now + usual);
        self.fail_unsent(why, hands);
        self.account(hands);
        match host.now < until {
            true => Ok(false),
            false => Err(Error::new(Status::Timeout, format!("{} did not answer in time", host.shared.address))),
        }
    }

    /// Answers what was not sent, or only in part, by a failure.
    pub(super) fn fail_unsent(&mut self, error: &Error, hands: &mut Hands<'_, '_>) {
        let unsent = error.clone().with_bits(bits::NOT_SENT);
        let mut reader = Reader::new(0);
        self.full.push_back(mem::take(&mut self.open));
        for mut batch in self.full.drain(..) {
            batch.assign(());
            reader.push(batch);
        }
        reader.fail(&unsent, hands);
        for (batch, slot) in mem::take(&mut self.quiet) {
            let torn = error.clone().with_bits(bits::SENT | bits::UNKNOWN_OUTCOME);
            answer(hands, slot, if batch > self.launched { &unsent } else { &torn });
        }
    }
}
