//! Events: what happened to a server's connections and calls, told to a function of the user's, of which logs are made. It
//! is called on the thread that noticed, with no lock held and no right to read, and never on the way of a call that goes
//! well.

use crate::error::{Error, Status};
use std::fmt;
use std::sync::Arc;

/// Kinds of events. The numbers are those of the C ABI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// A connection was opened.
    Connected = 1,
    /// A connection was closed; status and message say why.
    Closed = 2,
    /// A call took longer than option `slow_ms`.
    Slow = 3,
    /// Operations without reply failed; status and message say of what.
    QuietFailure = 4,
    /// A server is out: calls to it fail at once. Status and message say why.
    BreakerOpened = 5,
    /// A server that was out answers again.
    BreakerClosed = 6,
    /// A connection could not be opened; status and message say why.
    ConnectFailed = 7,
    /// Nobody could be asked which servers there are, or the answer was no use: those that are known stay. Status and
    /// message say why.
    DiscoveryFailed = 8,
    /// Discovery has found other servers; the message says which came (`+`) and went (`-`).
    ServersChanged = 9,
}

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    pub kind: EventKind,
    /// Index of the server that it is about; zero for what discovery tells.
    pub server: u32,
    /// Why; `Ok` where there is no failure.
    pub status: Status,
    /// errno of the system call that failed, else zero.
    pub os_error: i32,
    /// How long it took, in microseconds: connecting, or the call; zero for the others.
    pub elapsed_us: u64,
    /// The same in words, with the server's address.
    pub message: String,
}

impl Event {
    /// An event that is no failure.
    pub(crate) fn new(kind: EventKind, elapsed: u64, message: String) -> Event {
        Event { kind, server: 0, status: Status::Ok, os_error: 0, elapsed_us: elapsed / 1000, message }
    }

    /// An event that a failure is the reason of.
    pub(crate) fn failure(kind: EventKind, elapsed: u64, error: &Error) -> Event {
        let message = error.message().to_string();
        Event { status: error.status(), os_error: error.os_error(), ..Event::new(kind, elapsed, message) }
    }

    /// The same of the server with this index.
    pub(crate) fn of(self, server: u32) -> Event {
        Event { server, ..self }
    }
}

/// Who is told of events, if anybody.
#[derive(Clone, Default)]
pub struct Listener(Option<Arc<Tell>>);

type Tell = dyn Fn(&Event) + Send + Sync;

impl Listener {
    /// A function that is told.
    pub fn new(tell: impl Fn(&Event) + Send + Sync + 'static) -> Listener {
        Listener(Some(Arc::new(tell)))
    }

    /// Tells of an event, which is made only where somebody listens.
    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        if let Some(tell) = &self.0 {
            tell(&event());
        }
    }

    /// Whether somebody listens.
    pub(crate) fn is_there(&self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.is_there() { "Listener(a function)" } else { "Listener(nobody)" })
    }
}
