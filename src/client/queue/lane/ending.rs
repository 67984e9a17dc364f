//! The part of a lane that is about ends: of operations that have timed out or were cancelled, and of the connection, with
//! all that is on it.

use super::super::output::Hands;
use super::{answer, Host, Lane, Stage, Waiting, MAX_LATE};
use crate::error::{bits, Error, Status};
use crate::pool::{Loss, Shared};
use std::mem;

impl Lane {
    /// An operation that has timed out or was cancelled: what is known of its outcome.
    pub fn fate(&self, batch: u64) -> u32 {
        match &self.stage {
            Stage::Open(open) if batch > 0 => {
                let being_sent = batch == self.launched && open.sending.is_some();
                let sent = batch <= self.launched && !being_sent;
                bits::UNKNOWN_OUTCOME | if sent { bits::SENT } else { 0 }
            }
            _ => bits::NOT_SENT,
        }
    }

    /// What is wrong with an operation that waits for the connection in vain.
    pub fn refusal(&self, slot: u32) -> Option<&Error> {
        let waiting = if self.doubtful { Some(&self.waiting) } else { None };
        waiting?.iter().find(|waiting| waiting.slot == slot)?.refusal.as_deref()
    }

    /// Counts an operation that has timed out. Answers whether the connection is to be given up: nothing has come for as
    /// long as an operation may take, or too many replies are late.
    pub fn is_hopeless(&mut self, host: &Host<'_>) -> bool {
        let Stage::Open(open) = &self.stage else { return false };
        if open.in_flight == 0 {
            return false;
        }
        self.late += 1;
        let silence = host.now.saturating_sub(open.received_at.max(open.sent_at));
        silence / 1_000_000 + 10 >= u64::from(host.shared.settings.timeout_ms) || self.late > MAX_LATE
    }

    /// Notes for who is told of events, and for the server's health, that the connection, or the attempt at one, ends.
    pub fn note_end(&mut self, why: &Error, shared: &Shared) {
        if why.status() != Status::Ok {
            self.note_loss(why, shared);
        }
        match self.stage {
            Stage::Open(_) if why.status() != Status::Ok => shared.doubt(),
            Stage::Connecting { .. } | Stage::Greeting { .. } => shared.connect_failed(),
            _ => {}
        }
        if !shared.settings.listener.is_there() {
            return;
        }
        match self.stage {
            Stage::Closed => {}
            Stage::Connecting { .. } | Stage::Greeting { .. } => {
                self.events.push(shared.connected(self.begun, Some(why)))
            }
            Stage::Open(_) => self.events.push(shared.closed(why)),
        }
    }

    #[cold]
    fn note_loss(&mut self, why: &Error, shared: &Shared) {
        let loss = match &self.stage {
            Stage::Open(open) if open.drops != shared.drops() => return,
            Stage::Open(_) if why.status() == Status::Timeout => Loss::Timeout,
            Stage::Open(open) if open.in_flight == 0 => return,
            Stage::Open(_) => Loss::Closed,
            Stage::Closed | Stage::Connecting { .. } | Stage::Greeting { .. } => Loss::Connect,
        };
        shared.lost(loss, why, &mut |event| self.events.push(event));
    }

    pub(super) fn count_disconnect(&mut self) {
        self.counted.disconnects += 1;
        self.counted.system_calls += 1;
    }

    /// Closes the connection: all operations are answered by this failure.
    pub fn fail(&mut self, error: &Error, hands: &mut Hands<'_, '_>) {
        let unsent = error.clone().with_bits(bits::NOT_SENT);
        if let Stage::Open(mut open) = mem::take(&mut self.stage) {
            self.count_disconnect();
            open.reader.fail(&error.clone().with_bits(bits::SENT | bits::UNKNOWN_OUTCOME), hands);
        }
        self.fail_unsent(error, hands);
        for Waiting { slot, refusal, .. } in mem::take(&mut self.waiting) {
            let refusal = refusal.filter(|_| error.status() != Status::Closed);
            answer(hands, slot, refusal.as_deref().unwrap_or(&unsent));
        }
        hands.ended = 0;
        (self.late, self.leaving, self.doubtful) = (0, None, false);
        self.account(hands);
    }
}
