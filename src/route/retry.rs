//! Retry: whether and when an operation that failed is sent again. Only what certainly was not executed, or does no harm if
//! it is executed twice, ever is; and a budget keeps a server that fails from being sent much more than it would have got.

use super::journey::When;
use crate::error::{bits, Status};
use crate::operation::{Answer, Command, Operation};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What an operation adds to the budget, and what a retry takes.
const EARNED: u32 = 1;
const COST: u32 = 10;
/// The most that the budget holds: a hundred retries at once.
const MOST: u32 = 100 * COST;
/// For so many nanoseconds there is one retry more, however few operations there are.
const GIFT_EACH: u64 = 100_000_000;

/// See the module.
pub(crate) struct Retry {
    most: u32,
    /// In nanoseconds.
    delay: u64,
    budget: AtomicU32,
    /// When the budget was last given something for the time that had passed.
    given_at: AtomicU64,
}

impl Retry {
    /// Up to `most` times, about `delay_ms` milliseconds after each failure.
    pub fn new(most: u32, delay_ms: u32) -> Retry {
        let (budget, given_at) = (AtomicU32::new(10 * COST), AtomicU64::new(0));
        Retry { most, delay: u64::from(delay_ms) * 1_000_000, budget, given_at }
    }

    /// Whether anything is ever sent again.
    pub fn is_on(&self) -> bool {
        self.most > 0
    }

    /// When to send an operation again that was sent again `done` times already, if it is to be.
    pub fn again(&self, operation: &Operation<'_>, answer: &Answer<'_>, done: u32, when: When) -> Option<u64> {
        if self.most == 0 {
            return None;
        }
        if done == 0 {
            self.put(EARNED);
        }
        if done >= self.most || !is_lost(answer.status) || !is_safe(operation, answer.bits) {
            return None;
        }
        let not_before = when.now.saturating_add(jittered(self.delay, when.now));
        (not_before < when.deadline && self.take(when.now)).then_some(not_before)
    }

    fn put(&self, more: u32) {
        let add = |have: u32| (have < MOST).then(|| have.saturating_add(more).min(MOST));
        let _ = self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    fn take(&self, now: u64) -> bool {
        let before = self.given_at.load(Ordering::Relaxed);
        let gifts = (now.saturating_sub(before) / GIFT_EACH).min(10) as u32;
        if gifts > 0 && self.given_at.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.put(gifts * COST);
        }
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |have| have.checked_sub(COST)).is_ok()
    }
}

/// From half the delay to one and a half.
pub(super) fn jittered(delay: u64, seed: u64) -> u64 {
    if delay == 0 {
        return 0;
    }
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    delay / 2 + (mixed ^ (mixed >> 31)) % delay.saturating_add(1)
}

/// Whether the answer was lost, and the next attempt may find another connection.
fn is_lost(status: Status) -> bool {
    matches!(status, Status::Connection | Status::Timeout | Status::Dns)
}

/// Whether nothing happens twice if it is sent again.
fn is_safe(operation: &Operation<'_>, answer_bits: u32) -> bool {
    let idempotent = match operation.command {
        Command::Get | Command::GetAndTouch | Command::Touch => true,
        Command::Set | Command::Delete => operation.cas == 0,
        Command::Version | Command::Noop | Command::Stats => true,
        _ => false,
    };
    idempotent || answer_bits & bits::NOT_SENT != 0
}
