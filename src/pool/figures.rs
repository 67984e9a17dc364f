//! Figures: how many connections to a server there are and what they do, of the pool's and of queues'. They are a look at
//! what goes on, each right for its moment.

use super::{Pool, Shared};
use crate::net::fork::PerProcess;
use crate::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// Connections to a server, or to all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PoolFigures {
    /// Connections with a call or with replies to come.
    pub used: u64,
    /// Connections that are open and idle.
    pub free: u64,
    /// Calls that are under way, each on its caller's thread.
    pub waiting: u64,
}

impl PoolFigures {
    /// All that are open.
    pub fn open(&self) -> u64 {
        self.used + self.free
    }

    /// Adds those of another server.
    pub fn add(&mut self, other: &PoolFigures) {
        self.used += other.used;
        self.free += other.free;
        self.waiting += other.waiting;
    }
}

/// The connections that queues have.
pub(crate) struct Lanes(PerProcess<Arc<Counts>>);

#[derive(Default)]
struct Counts {
    open: AtomicU64,
    busy: AtomicU64,
}

impl Lanes {
    pub fn new() -> Lanes {
        Lanes(PerProcess::new())
    }

    fn counts(&self) -> &Arc<Counts> {
        self.0.get(|_| Arc::default())
    }
}

/// One connection of a queue's, counted until it is dropped.
pub(crate) struct Counted {
    counts: Arc<Counts>,
    busy: bool,
}

impl Counted {
    /// Whether replies are to come.
    pub fn set_busy(&mut self, busy: bool) {
        match (std::mem::replace(&mut self.busy, busy), busy) {
            (false, true) => drop(self.counts.busy.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.counts.busy.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.set_busy(false);
        self.counts.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// Counts a connection of a queue's.
    pub fn count_lane(&self) -> Counted {
        let counts = self.lanes.counts().clone();
        counts.open.fetch_add(1, Ordering::Relaxed);
        Counted { counts, busy: false }
    }
}

impl Pool {
    /// What its connections do.
    pub fn figures(&self) -> PoolFigures {
        let home = self.home();
        let counts = self.shared.lanes.counts();
        let used = counts.busy.load(Ordering::Relaxed);
        let free = counts.open.load(Ordering::Relaxed).saturating_sub(used);
        let mut figures = PoolFigures { used, free, waiting: home.callers.count() as u64 };
        for is_free in home.all_lines().filter_map(|line| line.is_link_free()) {
            match is_free {
                true => figures.free += 1,
                false => figures.used += 1,
            }
        }
        figures
    }
}
