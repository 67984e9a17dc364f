//! Health: whether a server is worth a call. A state machine over failures, successes and the time, which the caller
//! brings; it does no I/O, knows no connection, and is only asked where something has failed. docs/failover.md says what
//! it promises, step by step.

use crate::error::Error;
use crate::net::random;

/// What is done about servers that fail; the client's option `failover`, with times in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failover {
    /// Nothing: each call finds out for itself.
    None,
    /// After a failure to connect, or so many time-outs in a row, calls fail at once until a probe is answered. Probes come
    /// after `probe_min`, then each time twice as late, up to `probe_max`.
    Breaker { timeouts: u32, probe_min: u64, probe_max: u64 },
    /// pymemcache's: after a failure, calls fail at once, with a probe each `retry`; when `attempts` probes have failed the
    /// server is dead: others have its keys, and there is a probe each `dead`.
    Pymemcache { attempts: u32, retry: u64, dead: u64 },
}

/// A failure that may say something of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Loss {
    /// No connection could be made.
    Connect,
    /// A connection with operations was lost.
    Closed,
    /// Nothing came in time.
    Timeout,
}

/// How a server is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// It has answered since it last failed, if it ever did.
    Up,
    /// It has failed since it last answered; calls go to it.
    Suspect,
    /// Calls to it fail at once, until a probe is answered.
    Out,
    /// So they do, and others have its keys: `failover=pymemcache` only.
    Dead,
}

/// What a client knows of a server's health.
#[derive(Clone, Debug)]
pub struct Health {
    pub condition: Condition,
    /// Connections that could not be made, were lost or were given up, and probes that failed, since it last answered.
    pub failures: u32,
    /// For how long it has been up, has been failing, or has been out.
    pub since_ms: u64,
    /// Of a server that is out or dead: when the next probe is due. Zero: with the next call, or it is under way.
    pub probe_in_ms: u64,
    /// The last failure, also of a server that is up again.
    pub why: Option<Error>,
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    rules: Failover,
    state: State,
    /// Failures and time-outs since the last answer.
    failures: u32,
    timeouts: u32,
    /// Since when it is up, or has been failing.
    since: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Well,
    /// Calls fail at once; the next probe is due then.
    Out {
        since: u64,
        due: u64,
        how: How,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    /// The breaker is open; so long was waited for the last probe.
    Open { delay: u64 },
    /// pymemcache: so many probes have failed.
    Failed { attempts: u32 },
    /// pymemcache: others have its keys.
    Dead,
}

impl Machine {
    /// A server that nothing bad is known of, from `now` on.
    pub fn new(rules: Failover, now: u64) -> Machine {
        Machine { rules, state: State::Well, failures: 0, timeouts: 0, since: now }
    }

    /// A failure, of which `chance` is any number; whether calls fail at once from now on, and did not before.
    pub fn lost(&mut self, loss: Loss, now: u64, chance: u64) -> bool {
        if self.failures == 0 {
            self.since = now;
        }
        self.failures = self.failures.saturating_add(1);
        self.timeouts = self.timeouts.saturating_add(u32::from(loss == Loss::Timeout));
        if self.state != State::Well {
            return false;
        }
        let rules = self.rules;
        let (delay, how) = match rules {
            Failover::None => return false,
            Failover::Breaker { timeouts, .. } if !self.is_enough(loss, timeouts) => return false,
            Failover::Breaker { probe_min, .. } => (jittered(probe_min, chance), How::Open { delay: probe_min }),
            Failover::Pymemcache { attempts: 0, dead, .. } => (dead, How::Dead),
            Failover::Pymemcache { retry, .. } => (retry, How::Failed { attempts: 0 }),
        };
        self.state = State::Out { since: now, due: now + delay, how };
        true
    }

    /// Whether a breaker opens. A connection that was closed says nothing: the next one will.
    fn is_enough(&self, loss: Loss, most: u32) -> bool {
        match loss {
            Loss::Connect => true,
            Loss::Closed => false,
            Loss::Timeout => self.timeouts >= most,
        }
    }

    /// How it is.
    pub fn condition(&self) -> Condition {
        match self.state {
            State::Well if self.failures == 0 => Condition::Up,
            State::Well => Condition::Suspect,
            State::Out { how: How::Dead, .. } => Condition::Dead,
            State::Out { .. } => Condition::Out,
        }
    }

    /// Since when it has been so (out and dead are one), and how many failures there were since the last answer.
    pub fn history(&self) -> (u64, u32) {
        match self.state {
            State::Well => (self.since, self.failures),
            State::Out { since, .. } => (since, self.failures),
        }
    }

    /// A call was answered. Of a server that is out only a probe counts: what comes late may have been sent long ago.
    pub fn was_heard(&mut self, now: u64) {
        if self.condition() == Condition::Suspect {
            *self = Machine::new(self.rules, now);
        }
    }

    /// Since when calls fail at once, and when the next probe is due; `None`: they do not.
    pub fn is_barred(&self) -> Option<(u64, u64)> {
        match self.state {
            State::Well => None,
            State::Out { since, due, .. } => Some((since, due)),
        }
    }

    /// Whether it is time for a probe.
    pub fn is_due(&self, now: u64) -> bool {
        self.is_barred().is_some_and(|(_, due)| now >= due)
    }

    /// A probe was answered, or what was known is to be forgotten; whether calls failed at once until now.
    pub fn is_well_again(&mut self, now: u64) -> bool {
        let was_out = self.state != State::Well;
        *self = Machine::new(self.rules, now);
        was_out
    }

    /// A probe has failed; whether that says anything still.
    pub fn is_still_out(&mut self, now: u64, chance: u64) -> bool {
        let State::Out { since, how, .. } = self.state else { return false };
        self.failures = self.failures.saturating_add(1);
        let (delay, how) = match (how, self.rules) {
            (How::Open { delay }, Failover::Breaker { probe_max, .. }) => {
                let delay = delay.saturating_mul(2).min(probe_max);
                (jittered(delay, chance), How::Open { delay })
            }
            (How::Failed { attempts }, Failover::Pymemcache { attempts: most, retry, .. }) if attempts + 1 < most => {
                (retry, How::Failed { attempts: attempts + 1 })
            }
            (_, Failover::Pymemcache { dead, .. }) => (dead, How::Dead),
            _ => return true,
        };
        self.state = State::Out { since, due: now + delay, how };
        true
    }

    /// Whether its keys may go to others.
    pub fn is_out(&self) -> bool {
        matches!(self.state, State::Out { how: How::Open { .. } | How::Dead, .. })
    }
}

/// From half of it to all of it, so that clients do not come all at once.
fn jittered(delay: u64, chance: u64) -> u64 {
    random::between(delay / 2, delay, chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const BREAKER: Failover = Failover::Breaker { timeouts: 3, probe_min: 250 * MS, probe_max: 10_000 * MS };

    fn pymemcache(attempts: u32) -> Failover {
        Failover::Pymemcache { attempts, retry: 1000 * MS, dead: 60_000 * MS }
    }

    fn due(machine: &Machine) -> u64 {
        machine.is_barred().expect("calls fail at once").1
    }

    #[test]
    fn a_refused_connection_opens_the_breaker_and_an_answered_probe_closes_it() {
        let mut machine = Machine::new(BREAKER, 0);
        assert_eq!(machine.is_barred(), None);
        assert!(machine.lost(Loss::Connect, 5 * MS, 1) && !machine.lost(Loss::Connect, 6 * MS, 1));
        let (since, due) = machine.is_barred().unwrap();
        assert_eq!(since, 5 * MS);
        assert!((130 * MS..=255 * MS).contains(&due) && machine.is_out());
        assert!(!machine.is_due(due - 1) && machine.is_due(due));
        assert_eq!((machine.condition(), machine.history()), (Condition::Out, (5 * MS, 2)));
        assert!(machine.is_still_out(due, 1));
        assert_eq!((machine.condition(), machine.history()), (Condition::Out, (5 * MS, 3)));
        assert!(machine.is_well_again(999 * MS) && !machine.is_well_again(1000 * MS));
        assert_eq!((machine.is_barred(), machine.is_out()), (None, false));
        assert_eq!((machine.condition(), machine.history()), (Condition::Up, (1000 * MS, 0)));
        assert!(!machine.is_still_out(1001 * MS, 1), "a probe that comes too late says nothing");
        assert_eq!(machine.condition(), Condition::Up);
    }

    #[test]
    fn three_time_outs_in_a_row_open_it_and_an_answer_between_them_does_not() {
        let mut machine = Machine::new(BREAKER, 0);
        assert!(!machine.lost(Loss::Timeout, 1000 * MS, 1) && !machine.lost(Loss::Timeout, 2000 * MS, 1));
        assert_eq!((machine.condition(), machine.history()), (Condition::Suspect, (1000 * MS, 2)));
        machine.was_heard(2500 * MS);
        assert_eq!((machine.condition(), machine.history()), (Condition::Up, (2500 * MS, 0)));
        assert!(!machine.lost(Loss::Timeout, 3000 * MS, 1) && !machine.lost(Loss::Closed, 3500 * MS, 1));
        assert!(!machine.lost(Loss::Timeout, 4000 * MS, 1) && machine.lost(Loss::Timeout, 5000 * MS, 1));
        // What was sent before may still be answered.
        machine.was_heard(5100 * MS);
        assert_eq!((machine.condition(), machine.history()), (Condition::Out, (5000 * MS, 4)));
        assert!(machine.is_barred().is_some());
    }

    #[test]
    fn a_closed_connection_does_not_open_it() {
        let mut machine = Machine::new(BREAKER, 0);
        assert!((0..100).all(|at| !machine.lost(Loss::Closed, at * MS, at)));
    }

    #[test]
    fn probes_come_ever_later_and_never_later_than_the_most() {
        let mut machine = Machine::new(BREAKER, 0);
        machine.lost(Loss::Connect, 0, 1);
        let mut now = 0;
        for round in 0..12u32 {
            let delay = ((250 * MS) << round).min(10_000 * MS);
            let waited = due(&machine) - now;
            assert!((delay / 2..=delay).contains(&waited), "round {round}: {} ms", waited / MS);
            now = due(&machine);
            machine.is_still_out(now, u64::from(round));
        }
    }

    #[test]
    fn jitter_spreads_probes() {
        let delays: std::collections::BTreeSet<u64> = (0..100).map(|chance| jittered(250 * MS, chance)).collect();
        assert!(delays.len() > 95 && delays.iter().all(|delay| (125 * MS..=250 * MS).contains(delay)));
    }

    /// retry_attempts=2, retry_timeout=1, dead_timeout=60, as pymemcache's trace has it.
    #[test]
    fn pymemcaches_steps() {
        let mut machine = Machine::new(pymemcache(2), 0);
        assert!(machine.lost(Loss::Connect, 0, 1));
        assert_eq!((due(&machine), machine.is_out()), (1000 * MS, false));
        machine.is_still_out(1100 * MS, 1);
        assert_eq!((due(&machine), machine.is_out()), (2100 * MS, false));
        machine.is_still_out(2200 * MS, 1);
        assert_eq!((due(&machine), machine.is_out()), (62_200 * MS, true));
        assert_eq!((machine.condition(), machine.history()), (Condition::Dead, (0, 3)));
        // A server that was found dead stays out until it has answered.
        machine.is_still_out(62_300 * MS, 1);
        assert_eq!((due(&machine), machine.is_out()), (122_300 * MS, true));
        assert!(machine.is_well_again(122_300 * MS) && machine.is_barred().is_none() && !machine.is_out());
        // What it is allowed begins anew.
        assert!(machine.lost(Loss::Closed, 130_000 * MS, 1) && !machine.is_out());
    }

    #[test]
    fn pymemcache_counts_time_outs_and_closed_connections_and_no_attempts_are_death_at_once() {
        for loss in [Loss::Connect, Loss::Closed, Loss::Timeout] {
            assert!(Machine::new(pymemcache(2), 0).lost(loss, MS, 1), "{loss:?}");
            let mut machine = Machine::new(pymemcache(0), 0);
            assert!(machine.lost(loss, MS, 1) && machine.is_out(), "{loss:?}");
            assert_eq!(due(&machine), 60_001 * MS);
        }
    }

    #[test]
    fn none_never_stops_a_call() {
        let mut machine = Machine::new(Failover::None, 0);
        assert!((0..100).all(|at| !machine.lost(Loss::Connect, at, at) && machine.is_barred().is_none()));
        assert_eq!((machine.condition(), machine.history()), (Condition::Suspect, (0, 100)));
    }
}
