//! The server's clock: unix time in whole seconds, that runs with the monotonic clock and can be moved forward or held
//! still. Shared between the server's thread and the handle.

use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub struct Clock {
    state: Mutex<State>,
}

struct State {
    /// Unix time at `since`, with every advance.
    unix: i64,
    since: Instant,
    held: bool,
}

impl Clock {
    pub fn new() -> Clock {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
        Clock { state: Mutex::new(State { unix, since: Instant::now(), held: false }) }
    }

    /// Seconds since 1970.
    pub fn now(&self) -> i64 {
        self.with(|state| state.now())
    }

    pub fn advance(&self, seconds: u64) {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.with(|state| state.unix = state.unix.saturating_add(seconds));
    }

    /// The clock stands still until `resume`; it can still be advanced.
    pub fn hold(&self) {
        self.with(|state| {
            state.unix = state.now();
            state.held = true;
        });
    }

    pub fn resume(&self) {
        self.with(|state| {
            if state.held {
                state.since = Instant::now();
                state.held = false;
            }
        });
    }

    fn with<T>(&self, action: impl FnOnce(&mut State) -> T) -> T {
        // Nothing in here can panic half-way, so a poisoned lock guards a sound state.
        action(&mut self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

impl State {
    fn now(&self) -> i64 {
        let passed = if self.held { 0 } else { self.since.elapsed().as_secs() as i64 };
        self.unix.saturating_add(passed)
    }
}
