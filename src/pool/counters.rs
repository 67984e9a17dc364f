//! Counters: what was done with a server, for metrics. They are plain numbers: who works counts for himself, and adds that
//! up under a lock that he takes anyway.

use crate::error::Status;

/// What a client has done, with one server or with all. The numbers only grow; the child of a fork begins at zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Operations that were begun, whatever became of them.
    pub operations: u64,
    /// Reads that the server answered with a value, even if too late for their callers.
    pub hits: u64,
    /// Reads that the server answered with none.
    pub misses: u64,
    /// Operations that failed, time-outs among them.
    pub failures: u64,
    /// Operations that failed with `Timeout`.
    pub timeouts: u64,
    /// Operations with `NO_REPLY` that failed after they were sent: the server said so, or their connection was lost
    /// before it had said that they were done.
    pub quiet_failures: u64,
    /// Bytes of requests.
    pub bytes_sent: u64,
    /// Bytes of replies.
    pub bytes_received: u64,
    /// Groups of operations that were sent together.
    pub batches: u64,
    /// Connections that were opened.
    pub connects: u64,
    /// Connections that were closed, for whatever reason.
    pub disconnects: u64,
    /// System calls on connections, and of callers that waited for each other.
    pub system_calls: u64,
    /// How often the server was found to be out (`failover`).
    pub breaker_opened: u64,
    /// Calls that failed at once because it was.
    pub failed_fast: u64,
}

impl Counters {
    /// Adds what another has counted.
    #[inline]
    pub fn add(&mut self, other: &Counters) {
        let add = |to: &mut u64, more: u64| *to = to.wrapping_add(more);
        add(&mut self.operations, other.operations);
        add(&mut self.hits, other.hits);
        add(&mut self.misses, other.misses);
        add(&mut self.failures, other.failures);
        add(&mut self.timeouts, other.timeouts);
        add(&mut self.quiet_failures, other.quiet_failures);
        add(&mut self.bytes_sent, other.bytes_sent);
        add(&mut self.bytes_received, other.bytes_received);
        add(&mut self.batches, other.batches);
        add(&mut self.connects, other.connects);
        add(&mut self.disconnects, other.disconnects);
        add(&mut self.system_calls, other.system_calls);
        add(&mut self.breaker_opened, other.breaker_opened);
        add(&mut self.failed_fast, other.failed_fast);
    }

    /// Adds a lone call, which has done nothing else than to send once and to receive once; cheaper than to add everything.
    #[inline]
    pub(crate) fn add_lone(&mut self, operations: usize, hits: usize, bytes_sent: usize, bytes_received: usize) {
        let add = |to: &mut u64, more: u64| *to = to.wrapping_add(more);
        add(&mut self.operations, operations as u64);
        add(&mut self.hits, hits as u64);
        add(&mut self.batches, 1);
        add(&mut self.bytes_sent, bytes_sent as u64);
        add(&mut self.bytes_received, bytes_received as u64);
        add(&mut self.system_calls, 2);
    }

    /// Counts an answer of this status, if it is a failure.
    #[inline]
    pub(crate) fn answered(&mut self, status: Status) {
        if status.is_failure() {
            self.failures += 1;
            self.timeouts += u64::from(status == Status::Timeout);
        }
    }

    /// Counts a read that the server answered.
    #[inline]
    pub(crate) fn read(&mut self, found: bool) {
        match found {
            true => self.hits += 1,
            false => self.misses += 1,
        }
    }

    /// Whether something was counted that is not added up yet. (No byte moves without a system call.)
    #[inline]
    pub(crate) fn has_any(&self) -> bool {
        let answers = self.operations | self.hits | self.misses | self.failures;
        (answers | self.batches | self.connects | self.disconnects | self.system_calls) != 0
    }
}
