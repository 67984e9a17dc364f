//! Retry: whether and when an operation that failed is sent again. Only what certainly was not executed, or does no harm if
//! it is executed twice, ever is; and a budget keeps a server that fails from being sent much more than it would have got.

use super::journey::When;
use crate::error::{bits, Status};
use crate::net::random;
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
    random::between(delay / 2, delay.saturating_add(delay / 2), seed)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::collections::BTreeSet;

    const MS: u64 = 1_000_000;
    /// Long after the clock has begun.
    const NOW: u64 = 3_600_000 * MS;

    /// When a get that was lost at `now` is sent again.
    fn again(retry: &Retry, done: u32, now: u64, deadline: u64) -> Option<u64> {
        let lost = Error::new(Status::Connection, "lost").with_bits(bits::SENT | bits::UNKNOWN_OUTCOME);
        retry.again(&Operation::get(b"k"), &Answer::failed(&lost), done, When { now, deadline })
    }

    #[test]
    fn delays_are_spread_from_half_to_one_and_a_half() {
        let retry = Retry::new(1, 100);
        // One each 150 ms is what the budget always has.
        let delays = (0..1000).map(|at| NOW + at * 150 * MS).map(|now| again(&retry, 0, now, u64::MAX).unwrap() - now);
        let delays: BTreeSet<u64> = delays.collect();
        assert!(delays.len() > 990, "{} different ones", delays.len());
        let (first, last) = (*delays.first().unwrap(), *delays.last().unwrap());
        assert!((50 * MS..53 * MS).contains(&first) && (147 * MS..=150 * MS).contains(&last), "{first} to {last}");
        let below = delays.iter().filter(|delay| **delay < 100 * MS).count();
        assert!((430..570).contains(&below), "{below} of 1000 are below the delay");
        // Clients that fail in one moment differ too, by the nanosecond.
        let moment: BTreeSet<u64> =
            (0..10).map(|at| again(&Retry::new(1, 100), 0, NOW + at, u64::MAX).unwrap()).collect();
        assert!(moment.last().unwrap() - moment.first().unwrap() > 30 * MS, "{moment:?}");
        assert_eq!(again(&Retry::new(1, 0), 0, NOW, u64::MAX), Some(NOW), "no delay");
        assert_eq!(again(&Retry::new(1, 100), 0, NOW, NOW + 50 * MS), None, "the deadline comes first");
    }

    #[test]
    fn the_budget_bounds_what_is_sent_again() {
        let retries = |retry: &Retry, failures: u64, now: u64| {
            (0..failures).filter(|_| again(retry, 0, now, u64::MAX).is_some()).count()
        };
        let retry = Retry::new(1, 10);
        // What it begins with and is given at first, and one for ten of these operations.
        assert_eq!(retries(&retry, 1000, NOW), 10 + 10 + 100);
        assert_eq!(retries(&retry, 1000, NOW), 100, "in the same moment one for ten operations");
        assert_eq!(retries(&retry, 1, NOW + 100 * MS), 1, "and one for each tenth of a second");
        assert_eq!(retries(&retry, 1, NOW + 150 * MS), 0);
        // However long nothing fails, a hundred at once are the most, and those that these earn.
        (0..100_000).for_each(|_| retry.put(EARNED));
        assert_eq!(retries(&retry, 1000, NOW + 150 * MS), 100 + 99);
    }
}
