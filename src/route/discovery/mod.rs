//! Discovery: a client's servers found out while it runs, by asking a cluster's configuration endpoint, by looking names up
//! again, or by a function of the user's. Whoever calls when it is due takes it one step further and goes on without waiting;
//! only a client that knows no server yet waits for it, within the deadline of its call.

mod cluster;
mod poll;

use super::fleet::Fleet;
use super::retry::jittered;
use super::Server;
use crate::error::{bits, Error, Result, Status};
use crate::net::fork::PerProcess;
use crate::net::{clock, Address, Deadline};
use crate::pool::{Event, EventKind, Settings};
use poll::{Found, Poll};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// How often a poll that is under way is looked at, in nanoseconds.
pub(crate) const LOOK_EACH: u64 = 1_000_000;
/// After a failure the next poll comes after so many nanoseconds, twice as many each time, and these at most.
const AGAIN_MIN: u64 = 250_000_000;
const AGAIN_MAX: u64 = 10_000_000_000;

type Find = dyn Fn() -> Result<Vec<Server>> + Send + Sync;

/// A function that says which servers there are.
#[derive(Clone)]
pub struct Finder(Arc<Find>);

impl Finder {
    /// A finder of this function.
    pub fn new(find: impl Fn() -> Result<Vec<Server>> + Send + Sync + 'static) -> Finder {
        Finder(Arc::new(find))
    }

    fn find(&self) -> Result<Vec<Server>> {
        (self.0)()
    }
}

impl fmt::Debug for Finder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Finder(a function)")
    }
}

/// Whom to ask.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The endpoint of a cluster.
    Cluster,
    /// The names themselves.
    Names,
    Function(Finder),
}

/// How servers are to be found.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub source: Source,
    /// Nanoseconds from one poll to the next.
    pub interval: u64,
    /// A cluster's servers are called by their IP addresses, not by their names.
    pub by_ip: bool,
}

/// See the module.
pub(super) struct Discovery {
    plan: Plan,
    endpoints: Vec<Server>,
    settings: Settings,
    /// When there is something to do.
    due: AtomicU64,
    /// Calls wait for it: no server is known, and whoever is asked has not answered yet.
    awaited: AtomicBool,
    closed: AtomicBool,
    /// A child asks on a connection of its own.
    state: PerProcess<Mutex<State>>,
}

#[derive(Default)]
struct State {
    poll: Option<Poll>,
    begun: u64,
    version: Option<u64>,
    /// Polls that failed, since the last one that did not.
    failures: u32,
    /// The endpoint that is asked, and how many of them have failed in this poll.
    endpoint: usize,
    tried: usize,
}

impl Discovery {
    pub fn new(plan: Plan, endpoints: &[Server], settings: &Settings) -> Result<Discovery> {
        let wrong = endpoints.iter().find(|endpoint| !matches!(endpoint.address, Address::Name(..)));
        match (&plan.source, wrong) {
            (Source::Cluster | Source::Names, _) if endpoints.is_empty() => {
                return Err(Error::argument("discovery needs an address to ask: add it with add_server"));
            }
            (Source::Names, Some(wrong)) => {
                let words = format!("discovery=dns looks names up, and {:?} is none", wrong.name);
                return Err(Error::argument(words));
            }
            _ => {}
        }
        let (endpoints, settings) = (endpoints.to_vec(), settings.clone());
        let (due, awaited, closed) = (AtomicU64::new(0), AtomicBool::new(true), AtomicBool::new(false));
        Ok(Discovery { plan, endpoints, settings, due, awaited, closed, state: PerProcess::new() })
    }

    /// Why there is no server before anybody has answered.
    pub fn silence(&self) -> Error {
        self.explain(&Error::new(Status::Timeout, "no answer yet"))
    }

    /// Whether calls wait for it.
    pub fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Acquire)
    }

    /// Does what is due, and waits until `deadline` where no server is known.
    pub fn await_first(&self, fleet: &Fleet, deadline: Deadline) {
        self.settle(fleet, clock::now_coarse());
        while self.is_awaited() && !deadline.is_over() {
            std::thread::sleep(deadline.left().min(Duration::from_nanos(LOOK_EACH)));
            self.settle(fleet, clock::now());
        }
    }

    fn settle(&self, fleet: &Fleet, now: u64) {
        if let Some(event) = self.proceed(fleet, now) {
            self.settings.listener.tell(|| event);
        }
    }

    /// Does what is due without waiting. What is to be told is told by the caller, who may hold a lock.
    #[inline]
    pub fn proceed(&self, fleet: &Fleet, now: u64) -> Option<Event> {
        (now >= self.due.load(Ordering::Relaxed)).then(|| self.step(fleet)).flatten()
    }

    #[cold]
    fn step(&self, fleet: &Fleet) -> Option<Event> {
        let mut state = self.try_state()?;
        let now = clock::now();
        // Somebody else may have done it meanwhile.
        if now < self.due.load(Ordering::Relaxed) {
            return None;
        }
        if self.closed.load(Ordering::Acquire) {
            self.end(&mut state);
            return None;
        }
        let result = match self.advance(&mut state, fleet, now) {
            Ok(None) => {
                self.due.store(now + LOOK_EACH, Ordering::Relaxed);
                return None;
            }
            Ok(Some(found)) => self.take(&mut state, fleet, found),
            Err(error) => Err(error),
        };
        state.poll = None;
        let event = match result {
            Ok(event) => {
                state.failures = 0;
                self.due.store(state.begun + self.plan.interval, Ordering::Relaxed);
                event
            }
            Err(error) => {
                let error = self.explain(&error);
                fleet.note_lack(&error);
                self.due.store(now + self.pause(&state, now), Ordering::Relaxed);
                state.failures = state.failures.saturating_add(1);
                Some(Event::failure(EventKind::DiscoveryFailed, 0, &error))
            }
        };
        self.awaited.store(false, Ordering::Release);
        event
    }

    /// Takes a poll further, a new one if there is none; one that fails goes on with the next endpoint.
    fn advance(&self, state: &mut State, fleet: &Fleet, now: u64) -> Result<Option<Found>> {
        if state.poll.is_none() {
            (state.begun, state.tried) = (now, 0);
            if fleet.load().count() == 0 {
                self.awaited.store(true, Ordering::Release);
            }
        }
        loop {
            match self.try_advance(state) {
                Err(_) if state.tried + 1 < self.endpoints.len() && matches!(self.plan.source, Source::Cluster) => {
                    (state.poll, state.tried, state.endpoint) = (None, state.tried + 1, state.endpoint + 1);
                }
                other => return other,
            }
        }
    }

    fn try_advance(&self, state: &mut State) -> Result<Option<Found>> {
        if state.poll.is_none() {
            let time = Duration::from_millis(self.settings.connect_timeout_ms.into());
            let order = self.endpoints.iter().cycle().skip(state.endpoint % self.endpoints.len().max(1));
            let order: Vec<&Server> = order.take(self.endpoints.len()).collect();
            let poll = Poll::begin(&self.plan, &order, &self.settings.socket_settings(), Deadline::after(time))?;
            state.poll = Some(poll);
        }
        state.poll.as_mut().map_or(Ok(None), |poll| poll.advance(&self.plan))
    }

    /// Makes what was found the servers; what changes is told.
    fn take(&self, state: &mut State, fleet: &Fleet, found: Found) -> Result<Option<Event>> {
        if let (Some(version), Some(before)) = (found.version, state.version) {
            if version < before {
                let words = format!("version {version} is older than {before}, and was ignored");
                return Err(Error::new(Status::Protocol, words));
            }
            if version == before {
                return Ok(None);
            }
        }
        if found.servers.is_empty() {
            return Err(Error::new(Status::Protocol, "the list of servers is empty, and was ignored"));
        }
        let names = |servers: Vec<(u32, Server)>| servers.into_iter().map(|(_, server)| server).collect::<Vec<_>>();
        let before = names(fleet.load().servers());
        let is_in = |list: &[Server], server: &Server| {
            list.iter().any(|other| other.name == server.name && other.address == server.address)
        };
        let list = |sign: &str, of: &[Server], other: &[Server]| {
            let differ = of.iter().filter(|server| !is_in(other, server));
            differ.map(|server| format!(" {sign}{}", server.name)).collect::<String>()
        };
        let changes = list("+", &found.servers, &before) + &list("-", &before, &found.servers);
        fleet.replace(&found.servers)?;
        state.version = found.version;
        let words = format!("{}:{changes}", self.asked());
        Ok((!changes.is_empty()).then(|| Event::new(EventKind::ServersChanged, 0, words)))
    }

    /// How long after a failure it is tried again.
    fn pause(&self, state: &State, seed: u64) -> u64 {
        let doubled = AGAIN_MIN << state.failures.min(6);
        jittered(doubled.min(AGAIN_MAX).min(self.plan.interval), seed)
    }

    fn explain(&self, error: &Error) -> Error {
        let words = format!("{}: {}", self.asked(), error.message());
        Error::new(error.status(), words).with_os_error(error.os_error()).with_bits(bits::NOT_SENT)
    }

    fn asked(&self) -> String {
        let names: Vec<&str> = self.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
        match self.plan.source {
            Source::Cluster => format!("discovery=elasticache at {}", names.join(", ")),
            Source::Names => format!("discovery=dns of {}", names.join(", ")),
            Source::Function(_) => "the discovery callback".into(),
        }
    }

    /// Nothing is asked any more, and nobody waits.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.due.store(0, Ordering::Relaxed);
        if let Some(mut state) = self.try_state() {
            self.end(&mut state);
        }
        self.awaited.store(false, Ordering::Release);
    }

    fn end(&self, state: &mut State) {
        state.poll = None;
        self.due.store(u64::MAX, Ordering::Relaxed);
        self.awaited.store(false, Ordering::Release);
    }

    /// The state, unless somebody else is at it.
    fn try_state(&self) -> Option<MutexGuard<'_, State>> {
        match self.state.get(|_| Mutex::default()).try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(poisoned)) => Some(PoisonError::into_inner(poisoned)),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
