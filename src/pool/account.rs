//! Account: who a client says it is, to all its servers and from all its queues, and what may be changed while it is in
//! use. Connections that are open stay as they are.

use crate::connection::Credentials;
use crate::net::fork::PerProcess;
use crate::net::Address;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module.
pub(crate) struct Account {
    initial: Current,
    /// The lock is held for a moment only.
    current: PerProcess<Mutex<Current>>,
    /// Option `reconnect_delay_ms`; and what it is for Unix sockets, to which a profile's does not apply.
    reconnect_delay_ms: AtomicU32,
    unix_delay_ms: AtomicU32,
}

/// The credentials, and how often they were changed.
#[derive(Clone)]
struct Current {
    credentials: Option<Arc<Credentials>>,
    generation: u64,
}

impl Account {
    pub fn new(credentials: Option<Credentials>, reconnect_delay_ms: u32, unix_delay_ms: u32) -> Account {
        let initial = Current { credentials: credentials.map(Arc::new), generation: 0 };
        let (reconnect_delay_ms, unix_delay_ms) = (reconnect_delay_ms.into(), unix_delay_ms.into());
        Account { initial, current: PerProcess::new(), reconnect_delay_ms, unix_delay_ms }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        // A child goes on with its parent's, unless some thread was at them just when it was forked: then with the first.
        let inherit = |parents: Option<&Mutex<Current>>| {
            let parents = parents.and_then(|parents| parents.try_lock().ok().map(|current| current.clone()));
            Mutex::new(parents.unwrap_or_else(|| self.initial.clone()))
        };
        self.current.get(inherit).lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long nobody connects there after an attempt that failed; 0: no time.
    pub fn reconnect_delay_ms(&self, address: &Address) -> u32 {
        let delay = if matches!(address, Address::Unix(_)) { &self.unix_delay_ms } else { &self.reconnect_delay_ms };
        delay.load(Ordering::Relaxed)
    }

    /// Changes that, for attempts that have failed already as well.
    pub fn set_reconnect_delay_ms(&self, delay: u32) {
        self.reconnect_delay_ms.store(delay, Ordering::Relaxed);
        self.unix_delay_ms.store(delay, Ordering::Relaxed);
    }

    /// From now on these are used, for new connections.
    pub fn set(&self, credentials: Option<Credentials>) {
        let mut current = self.lock();
        current.credentials = credentials.map(Arc::new);
        current.generation += 1;
    }

    /// The credentials, if there are any, with a number that changes when they do.
    pub fn get(&self) -> (Option<Arc<Credentials>>, u64) {
        let current = self.lock();
        (current.credentials.clone(), current.generation)
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Account")
    }
}
