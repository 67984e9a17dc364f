//! The one deadline of a call, on the monotonic clock.

use super::sys::clock;
use std::time::Duration;

/// A moment on the monotonic clock, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Deadline(u64);

impl Deadline {
    /// The moment `nanoseconds` on the monotonic clock.
    pub fn at(nanoseconds: u64) -> Deadline {
        Deadline(nanoseconds)
    }

    /// So long from now.
    pub fn after(time: Duration) -> Deadline {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Deadline(clock::now().saturating_add(nanoseconds))
    }

    /// As nanoseconds on the monotonic clock.
    pub fn nanoseconds(self) -> u64 {
        self.0
    }

    /// What is left of it; zero when it is over.
    pub fn left(self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(clock::now()))
    }

    /// Whether it has passed.
    pub fn is_over(self) -> bool {
        clock::now() >= self.0
    }

    /// The earlier of two.
    pub fn earlier(self, other: Deadline) -> Deadline {
        self.min(other)
    }
}
