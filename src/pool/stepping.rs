//! Stepping back: a caller that would sleep, or send for a connection that others share, lets other threads run first.
//! While threads have something to do on its processor that costs half of what sleeping and being woken does, and else
//! next to nothing; but not beside a thread that computes, who takes a slice of time with each step.

use crate::net::clock;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::yield_now;

/// So often a caller lets others run before it sleeps. (Measured with 32 threads on one processor: once leaves two in
/// three to sleep, twice one in fifteen, four times no fewer.)
pub(super) const STEPS: u32 = 2;

/// A step that took so long, in nanoseconds, tells that somebody computes on this processor: for a while callers do
/// without. (Measured beside a thread that computes: a step takes 2 to 4 ms, and of the calls of 8 threads 1 in 20 is
/// left; among 32 threads that only call, a step takes 0.1 ms and hardly ever 1 ms.)
const LONG_STEP: u64 = 1_500_000;
const WHILE: u64 = 100_000_000;

/// See the module.
pub(super) struct Stepping {
    stay_until: AtomicU64,
}

impl Stepping {
    pub fn new() -> Stepping {
        Stepping { stay_until: AtomicU64::new(0) }
    }

    /// Whether a call that began at `begun` may step back.
    pub fn is_worth_it(&self, begun: u64) -> bool {
        begun >= self.stay_until.load(Ordering::Relaxed)
    }

    /// Lets other threads run.
    pub fn step(&self) {
        let begun = clock::now();
        yield_now();
        let now = clock::now();
        if now - begun > LONG_STEP {
            self.stay_until.store(now + WHILE, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(bmemc_model)))]
mod tests {
    use super::*;
    use std::hint;
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::{Duration, Instant};

    #[test]
    fn beside_threads_that_compute_callers_stay_for_a_while() {
        let (stepping, done) = (Stepping::new(), AtomicBool::new(false));
        assert!(stepping.is_worth_it(clock::now()));
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
            while stepping.is_worth_it(clock::now()) && begun.elapsed() < Duration::from_secs(20) {
                stepping.step();
            }
            done.store(true, Ordering::Relaxed);
        });
        let now = clock::now();
        let until = stepping.stay_until.load(Ordering::Relaxed);
        assert!(until > 0, "no step took long");
        assert!(!stepping.is_worth_it(until - 1) && stepping.is_worth_it(until), "until then, and no longer");
        assert!(until <= now + WHILE, "a tenth of a second");
    }
}
