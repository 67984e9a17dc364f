//! Callers: how many calls are under way to a server, and whether it pays to let others of them run first. A caller that
//! would sleep, or whose batch waits for more callers, steps back: while threads have something to do on its processor that
//! costs half of what sleeping and being woken does, and else next to nothing; but not beside a thread that computes, who
//! takes a slice of time with each step.

use crate::net::clock;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::yield_now;
use crossbeam::utils::CachePadded;

/// So often a caller lets others run before it sleeps. (Measured with 32 threads on one processor, when senders waited for all
/// others: once leaves two in three to sleep, twice one in fifteen, four times no fewer.)
pub(super) const STEPS: u32 = 2;

/// A step that took so long, in nanoseconds, tells that somebody computes on this processor: for a while callers do
/// without. (Measured beside a thread that computes: a step takes 2 to 4 ms, and of the calls of 8 threads 1 in 20 is
/// left; among 32 threads that only call, a step takes 0.1 ms and hardly ever 1 ms.)
const LONG_STEP: u64 = 1_500_000;
const WHILE: u64 = 100_000_000;

/// Unless a call has ended in each so many nanoseconds of it: then it was callers who had the processor. Who has slept comes
/// before who steps back, so while some still sleep a step may take as long, and to stay for that would keep them asleep.
/// (Measured with 32 and 64 threads: beside one that computes a call ends in 50 to 100 us, among themselves in 3 to 15.
/// Without this rule, one long step left them at a quarter of their speed for good.)
const ENDED_EACH: u64 = 40_000;

/// One call that has ended, in the word that has those under way below it.
const ENDED: u64 = 1 << 32;

/// See the module.
pub(super) struct Callers {
    /// How many calls are under way, and above them how many have ended: one word, as each call changes it twice.
    calls: CachePadded<AtomicU64>,
    stay_until: AtomicU64,
    /// When somebody last came back from a step …
    stepped_at: AtomicU64,
    /// … and whether the next step is to be timed by itself: measured from there, it took long.
    in_doubt: AtomicBool,
}

impl Callers {
    pub fn new() -> Callers {
        Callers {
            calls: CachePadded::new(AtomicU64::new(0)),
            stay_until: AtomicU64::new(0),
            stepped_at: AtomicU64::new(0),
            in_doubt: AtomicBool::new(false),
        }
    }

    /// A call begins; how many were under way.
    #[inline(always)]
    pub fn begin(&self) -> usize {
        under_way(self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// A call that had begun has ended.
    #[inline(always)]
    pub fn end(&self) {
        self.calls.fetch_add(ENDED - 1, Ordering::Relaxed);
    }

    /// How many calls are under way.
    pub fn count(&self) -> usize {
        under_way(self.calls.load(Ordering::Relaxed))
    }

    /// Whether a call that began at `begun` may step back.
    pub fn may_step(&self, begun: u64) -> bool {
        begun >= self.stay_until.load(Ordering::Relaxed)
    }

    /// Lets other threads run. (A step begins where the one before ended, most often: that saves a look at the clock.)
    pub fn step(&self) {
        let (exact, before) = (self.in_doubt.load(Ordering::Relaxed), self.calls.load(Ordering::Relaxed));
        let begun = if exact { clock::now() } else { self.stepped_at.load(Ordering::Relaxed) };
        yield_now();
        let now = clock::now();
        self.stepped_at.store(now, Ordering::Relaxed);
        let took = now.saturating_sub(begun);
        if exact || took > LONG_STEP {
            self.judge(took, before, exact, now);
        }
    }

    #[cold]
    fn judge(&self, took: u64, before: u64, exact: bool, now: u64) {
        let long = took > LONG_STEP && !self.went_on_since(before, took);
        self.in_doubt.store(long && !exact, Ordering::Relaxed);
        if long && exact {
            self.stay_until.store(now + WHILE, Ordering::Relaxed);
        }
    }

    /// Whether calls have come and gone in these nanoseconds, since there were so many.
    fn went_on_since(&self, before: u64, took: u64) -> bool {
        let ended = self.calls.load(Ordering::Relaxed).wrapping_sub(before) / ENDED;
        ended >= took / ENDED_EACH
    }
}

fn under_way(calls: u64) -> usize {
    (calls % ENDED) as usize
}

#[cfg(all(test, not(bmemc_model)))]
mod tests {
    use super::*;
    use std::hint;
    use std::thread;
    use std::time::{Duration, Instant};

    #[test]
    fn calls_are_counted_in_and_out() {
        let callers = Callers::new();
        assert_eq!([callers.begin(), callers.begin(), callers.count()], [0, 1, 2]);
        callers.end();
        assert_eq!([callers.count(), callers.begin()], [1, 1]);
    }

    #[test]
    fn callers_tell_themselves_from_who_computes() {
        let callers = Callers::new();
        (0..4).for_each(|_| assert!(callers.begin() < 4));
        let before = callers.calls.load(Ordering::Relaxed);
        let went_on = || {
            callers.end();
            callers.begin();
            callers.went_on_since(before, 12 * ENDED_EACH)
        };
        let answers: Vec<bool> = (0..13).map(|_| went_on()).collect();
        assert_eq!(answers.iter().position(|answer| *answer), Some(11), "a call for each part of the step");
    }

    #[test]
    fn beside_threads_that_compute_callers_stay_for_a_while() {
        let (callers, done) = (Callers::new(), AtomicBool::new(false));
        callers.begin();
        assert!(callers.may_step(clock::now()));
        thread::scope(|scope| {
            // So many that each processor has somebody who takes what a step gives away.
            for _ in 0..2 * thread::available_parallelism().map_or(8, |count| count.get()) {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        hint::spin_loop();
                    }
                });
            }
            let begun = Instant::now();
            while callers.may_step(clock::now()) && begun.elapsed() < Duration::from_secs(20) {
                callers.step();
            }
            done.store(true, Ordering::Relaxed);
        });
        let now = clock::now();
        let until = callers.stay_until.load(Ordering::Relaxed);
        assert!(until > 0, "no step took long");
        assert!(!callers.may_step(until - 1) && callers.may_step(until), "until then, and no longer");
        assert!(until <= now + WHILE, "a tenth of a second");
    }
}
