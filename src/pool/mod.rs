//! One server: its shared connections and the blocking driver. The caller's own thread does the I/O: alone it sends and
//! receives by itself; callers that come meanwhile put their operations into the open batch and sleep, and whoever
//! reads takes them along (leader/follower). Connections are opened when they are first needed.

mod account;
mod apart;
mod aside;
mod call;
mod callers;
mod counters;
mod drive;
mod dump;
mod events;
mod figures;
mod gate;
mod guest;
mod hands;
mod health;
mod line;
mod link;
mod lone;
#[cfg(all(test, bmemc_model))]
mod model;
mod opening;
mod outgoing;
mod probe;
mod quiet;
mod several;
mod turn;
mod unsent;
mod words;

pub(crate) use account::Account;
pub use counters::Counters;
pub(crate) use dump::{Dump, Progress};
pub use events::{Event, EventKind, Listener};
pub use figures::PoolFigures;
pub(crate) use figures::{Counted, Lanes};
pub use health::{Condition, Health};
pub(crate) use health::{Failover, Loss};
pub(crate) use probe::exchange;
pub(crate) use quiet::QuietFailures;
pub(crate) use several::{run_several, Part};

use crate::connection::{Handshake, Known, Login, Outcome, Rules};
use crate::error::{bits, Error, Result, Status};
use crate::net::fork::PerProcess;
use crate::net::{clock, random, Address, ConnectHook, Deadline, Keepalive, Socket, SocketSettings, Tls};
use crate::operation::{are_plain_gets, Answer, Gets, Hits, Operation, Sink};
use crate::protocol::ProtocolChoice;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{lock, thread_number, Mutex, MutexGuard};
use base64::prelude::{Engine, BASE64_STANDARD};
use callers::Callers;
use crossbeam::utils::CachePadded;
use gate::Gate;
use line::Line;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A connection that was idle for longer is looked at before it is used.
pub(crate) const PEEK_AFTER: u64 = 10_000_000;

/// How the connections of a server are to be; the client's options of the same names.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub protocol: ProtocolChoice,
    pub timeout_ms: u32,
    pub connect_timeout_ms: u32,
    pub connections: u32,
    pub connections_idle_ms: u32,
    pub max_waiting: u32,
    pub max_value_bytes: u64,
    pub no_delay: bool,
    pub keepalive: Option<Keepalive>,
    pub on_connect: ConnectHook,
    pub tls: Option<Tls>,
    /// Calls that take longer are told of; 0: none.
    pub slow_ms: u32,
    pub listener: Listener,
    /// What was counted by pools that are gone.
    pub ledger: Ledger,
    pub account: Arc<Account>,
    pub login: Rules,
    pub failover: Failover,
}

impl Settings {
    /// How a new connection's socket is to be.
    pub fn socket_settings(&self) -> SocketSettings {
        let receive_timeout = Duration::from_millis(self.timeout_ms.into());
        let on_connect = self.on_connect.clone();
        SocketSettings {
            no_delay: self.no_delay,
            keepalive: self.keepalive,
            on_connect,
            tls: self.tls.clone(),
            receive_timeout,
        }
    }
}

/// So long after a server has refused a login the same credentials are not tried there again, in nanoseconds: servers
/// lock out who tries too often, and a wrong password does not get right by itself.
const REFUSED_FOR: u64 = 5_000_000_000;

/// Counters that outlive their pools.
pub(crate) type Ledger = Arc<std::sync::Mutex<Counters>>;

/// Why a login has failed, of which credentials, and until when they are not tried again.
struct Refusal {
    generation: u64,
    until: u64,
    why: String,
}

/// What all connections of a server share.
pub(crate) struct Shared {
    pub address: Address,
    /// The index by which answers, events and counters call it.
    pub server: u32,
    pub settings: Settings,
    closed: AtomicBool,
    /// It was taken out of its client: what is under way is still answered, and nothing more comes.
    retired: AtomicBool,
    /// What handshakes have found out: [`Known`].
    known: AtomicU64,
    /// The last login that has failed.
    refused: PerProcess<Mutex<Option<Refusal>>>,
    /// When the last attempt to connect has failed, if it has; for a while none is made then.
    failed_at: AtomicU64,
    /// What queues have open, and how often all connections were dropped: a queue's older ones are to be.
    lanes: Lanes,
    drops: AtomicU64,
    gate: Gate,
}

impl Shared {
    /// Fails where it is too early to connect again: `reconnect_delay_ms`, or the server has just refused the login.
    pub fn check_early(&self, now: u64) -> Result<()> {
        let failed_at = self.failed_at.load(Ordering::Acquire);
        let delay = if failed_at == 0 { 0 } else { self.settings.account.reconnect_delay_ms(&self.address) };
        let retry_at = failed_at.saturating_add(u64::from(delay) * 1_000_000);
        if delay > 0 && now < retry_at {
            let left = (retry_at - now) / 1_000_000 + 1;
            let words = format!(
                "{} could not be connected to; it is tried again in {left} ms (reconnect_delay_ms is {delay})",
                self.address
            );
            return Err(Error::new(Status::Connection, words).with_bits(bits::NOT_SENT));
        }
        match &*lock(self.refused.get(|_| Mutex::default())) {
            Some(refusal) if now < refusal.until && refusal.generation == self.settings.account.get().1 => {
                let left = (refusal.until - now) / 1_000_000 + 1;
                let why = &refusal.why;
                let words = format!("{why} (not tried again for {left} ms, unless the credentials are changed)");
                Err(Error::new(Status::Auth, words).with_bits(bits::NOT_SENT))
            }
            _ => Ok(()),
        }
    }

    /// The handshake of a new connection.
    pub fn handshake(&self) -> Result<Handshake> {
        let known = Known::from_number(self.known.load(Ordering::Relaxed));
        Handshake::begin(&self.address, self.settings.protocol, self.login()?, known)
    }

    fn login(&self) -> Result<Option<Login>> {
        let (Some(credentials), generation) = self.settings.account.get() else { return Ok(None) };
        let mut nonce = [0; 18];
        let failed = |error| Error::os(Status::Auth, "the system has no random numbers", &error);
        random::fill(&mut nonce).map_err(failed)?;
        let (rules, nonce) = (self.settings.login, BASE64_STANDARD.encode(nonce));
        Ok(Some(Login { credentials, generation, rules, nonce }))
    }

    /// Remembers what a handshake has found.
    pub fn learn(&self, outcome: &Outcome) {
        self.failed_at.store(0, Ordering::Release);
        if self.settings.protocol == ProtocolChoice::Auto {
            self.known.store(outcome.known.to_number(), Ordering::Relaxed);
        }
    }

    /// No connection could be opened: for a while none is tried.
    pub fn connect_failed(&self) {
        self.failed_at.store(clock::now(), Ordering::Release);
    }

    /// A handshake has failed: what was known is to be found out anew, and credentials that were refused are let be.
    pub fn greeting_failed(&self, handshake: &Handshake, error: &Error) {
        self.known.store(0, Ordering::Relaxed);
        if let (Status::Auth, Some(generation)) = (error.status(), handshake.generation()) {
            let (until, why) = (clock::now() + REFUSED_FOR, self.named(error).message().to_string());
            *lock(self.refused.get(|_| Mutex::default())) = Some(Refusal { generation, until, why });
        }
    }

    /// A connection has ended, other than by being idle: at its place may be another server now.
    pub fn doubt(&self) {
        let known = self.known.load(Ordering::Relaxed);
        self.known.store(Known::doubt(known), Ordering::Relaxed);
    }

    /// How a new connection's socket is to be.
    pub fn socket_settings(&self) -> SocketSettings {
        self.settings.socket_settings()
    }

    /// Whether a connection without traffic that was last used `idle` nanoseconds ago must not be used again: it was
    /// idle for too long, or has something to read that nobody asked for.
    pub fn is_stale(&self, socket: &Socket, idle: u64, counters: &mut Counters) -> bool {
        let limit = u64::from(self.settings.connections_idle_ms) * 1_000_000;
        let mut is_quiet = || {
            counters.system_calls += 1;
            socket.is_quiet()
        };
        idle >= PEEK_AFTER && ((limit > 0 && idle > limit) || !is_quiet())
    }

    /// Tells of a connection that was closed, and why.
    pub fn tell_closed(&self, why: &Error) {
        if why.status() != Status::Ok {
            self.doubt();
        }
        self.settings.listener.tell(|| self.closed(why));
    }

    /// What [`Shared::tell_closed`] tells.
    pub fn closed(&self, why: &Error) -> Event {
        Event::failure(EventKind::Closed, 0, &self.named(why)).of(self.server)
    }

    /// Tells how an attempt to connect ended, which began at `begun`.
    pub fn tell_connected(&self, begun: u64, failure: Option<&Error>) {
        self.settings.listener.tell(|| self.connected(begun, failure));
    }

    /// What [`Shared::tell_connected`] tells.
    pub fn connected(&self, begun: u64, failure: Option<&Error>) -> Event {
        let elapsed = clock::now().saturating_sub(begun);
        let event = match failure {
            None => Event::new(EventKind::Connected, elapsed, format!("{}: connected", self.address)),
            Some(error) => Event::failure(EventKind::ConnectFailed, elapsed, &self.named(error)),
        };
        event.of(self.server)
    }

    /// A failure whose words name the server.
    pub fn named(&self, error: &Error) -> Error {
        let address = self.address.to_string();
        match error.message().contains(&address) {
            true => error.clone(),
            false => {
                Error::new(error.status(), format!("{address}: {}", error.message())).with_os_error(error.os_error())
            }
        }
    }

    /// Tells of a call that has ended, if it was slow.
    #[cold]
    fn tell_if_slow(&self, operations: usize, begun: u64) {
        let elapsed = clock::now().saturating_sub(begun);
        if elapsed >= u64::from(self.settings.slow_ms) * 1_000_000 {
            let plural = if operations == 1 { "" } else { "s" };
            let words = || format!("{}: {operations} operation{plural} took {} ms", self.address, elapsed / 1_000_000);
            self.settings.listener.tell(|| Event::new(EventKind::Slow, elapsed, words()).of(self.server));
        }
    }

    /// Whether the server was taken out of its client.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Whether the time of each call is taken.
    pub fn is_timed(&self) -> bool {
        self.settings.slow_ms != 0
    }

    /// How often all connections were dropped.
    pub fn drops(&self) -> u64 {
        self.drops.load(Ordering::Acquire)
    }

    /// Whether the client is not closed.
    #[inline]
    pub fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// Fails once the client is closed.
    pub fn check_open(&self) -> Result<()> {
        match self.is_open() {
            true => Ok(()),
            false => Err(Error::new(Status::Closed, "the client is closed").with_bits(bits::NOT_SENT)),
        }
    }
}

/// How long a call may take.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// When it began, in monotonic nanoseconds.
    pub begun: u64,
    pub deadline: Deadline,
    /// The deadline is the client's usual one, which the sockets know.
    pub usual: bool,
    pub timeout_ms: u32,
}

/// So many callers share one connection before they are spread over all. (Measured with 12, 16 and 32 threads: one connection
/// is 9 to 18 % faster than two; with 64, two of 32 are as fast as one.)
const COMPANY: u32 = 32;

/// Below this a time-out is measured by the exact clock.
const COARSE_FROM_MS: u32 = 100;

impl Limit {
    /// A limit of so many milliseconds from now; `exact`: which will be measured.
    #[inline(always)]
    pub fn new(timeout_ms: u32, usual: bool, exact: bool) -> Limit {
        let begun = if timeout_ms >= COARSE_FROM_MS && !exact { clock::now_coarse() } else { clock::now() };
        let deadline = Deadline::at(begun + u64::from(timeout_ms) * 1_000_000);
        Limit { begun, deadline, usual, timeout_ms }
    }

    /// The failure of an operation that the deadline overtook.
    pub fn error(&self, address: &Address) -> Error {
        Error::new(Status::Timeout, format!("{address} did not answer within {} ms", self.timeout_ms))
    }
}

/// Who has connections of its own to a pool's server, to be told when the pool is closed or retired.
pub(crate) trait Watch: Send + Sync {
    fn pool_ended(&self);
}

/// One server and its connections.
pub(crate) struct Pool {
    shared: Shared,
    home: PerProcess<Home>,
    watchers: PerProcess<Mutex<Vec<Weak<dyn Watch>>>>,
}

/// What a fork leaves in an unknown state, and each process therefore has for itself.
struct Home {
    lines: Box<[CachePadded<Line>]>,
    /// Those that one operation at a time has to itself.
    aside: aside::Lines,
    callers: Arc<Callers>,
    /// What was counted by queues, and where no line was used.
    elsewhere: Mutex<Counters>,
}

impl Pool {
    /// A pool for the server at `address`, of the index `server` in its client; no connection is opened yet.
    pub fn new(address: Address, server: u32, settings: Settings) -> Pool {
        let (closed, retired, known) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
        let (refused, failed_at) = (PerProcess::new(), AtomicU64::new(0));
        let (lanes, drops) = (Lanes::new(), AtomicU64::new(0));
        let gate = Gate::new(settings.max_waiting as usize);
        let shared =
            Shared { gate, address, server, settings, closed, retired, known, refused, failed_at, lanes, drops };
        Pool { shared, home: PerProcess::new(), watchers: PerProcess::new() }
    }

    /// The connections of this process. A child's are its own; of its parent's it closes its copies, which says nothing
    /// to the server.
    #[inline]
    fn home(&self) -> &Home {
        self.home.get(|parents| {
            let inherited = parents.into_iter().flat_map(Home::all_lines);
            inherited.for_each(Line::close_copy);
            Home::new(self.shared.settings.connections)
        })
    }

    /// Whether its keys may go to others; on the way, it is probed if that is due.
    pub fn is_out(&self) -> bool {
        if self.shared.bound() > 0 {
            return false;
        }
        self.shared.look_after(&mut self.shared.teller());
        self.shared.is_out()
    }

    /// What its connections share; those of queues do too.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The same as [`Pool::run`], out of line.
    #[inline(never)]
    pub fn run_far(&self, operations: &[Operation<'_>], sink: &mut dyn Sink, limit: Limit) {
        self.run(operations, sink, limit);
    }

    /// Runs operations, each of which `sink` gets one answer for.
    #[inline(always)]
    pub fn run(&self, operations: &[Operation<'_>], sink: &mut dyn Sink, limit: Limit) {
        if operations.is_empty() {
            return;
        }
        if are_plain_gets(operations) {
            return self.run_gets(operations, &mut { sink }, &limit);
        }
        let home = self.home();
        if self.admit(home, operations, || &mut *sink) {
            match operations.iter().any(|operation| operation.command.goes_aside()) {
                true => aside::run(home, &self.shared, operations, sink, limit),
                false => home.choose(&self.shared, &limit).run(&self.shared, operations, sink, limit),
            }
            self.dismiss(home, operations.len(), &limit);
        }
    }

    /// The same for what [`are_plain_gets`] says yes to.
    #[inline(always)]
    pub fn run_gets(&self, gets: &(impl Gets + ?Sized), sink: &mut impl Hits, limit: &Limit) {
        let home = self.home();
        if self.admit(home, gets, || sink.sink()) {
            home.choose(&self.shared, limit).run_gets(&self.shared, gets, sink, limit);
            self.dismiss(home, gets.count(), limit);
        }
    }

    /// Counts a call in, unless too many are under way: then its operations are answered so.
    #[inline(always)]
    fn admit<'s>(&self, home: &Home, gets: &(impl Gets + ?Sized), sink: impl FnOnce() -> &'s mut dyn Sink) -> bool {
        let waiting = home.callers.begin();
        waiting < self.shared.bound()
            || gets.as_operations(|operations| self.admit_late(home, waiting, operations, sink()))
    }

    /// There are too many, or the server is out; or it no longer is.
    #[cold]
    fn admit_late(&self, home: &Home, waiting: usize, operations: &[Operation<'_>], sink: &mut dyn Sink) -> bool {
        let max_waiting = self.shared.settings.max_waiting;
        let error = match self.shared.check_open().err().or_else(|| self.shared.bar(&mut self.shared.teller())) {
            Some(error) => error,
            None if waiting < max_waiting as usize => return true,
            None => {
                let words = format!("{waiting} calls wait for {}; max_waiting is {max_waiting}", self.shared.address);
                Error::new(Status::Busy, words).with_bits(bits::NOT_SENT)
            }
        };
        home.callers.end();
        fail_all(&self.shared, operations, sink, &error);
        let count = operations.len() as u64;
        self.count(&Counters { operations: count, failures: count, ..Counters::default() });
        false
    }

    /// Counts a call out.
    #[inline(always)]
    fn dismiss(&self, home: &Home, operations: usize, limit: &Limit) {
        home.callers.end();
        if self.shared.is_timed() {
            self.shared.tell_if_slow(operations, limit.begun);
        }
    }

    /// Adds what was counted without a line.
    pub fn count(&self, counted: &Counters) {
        self.home().count(counted);
    }

    /// What was done with this server.
    pub fn counters(&self) -> Counters {
        let home = self.home();
        let mut sum = *lock(&home.elsewhere);
        home.all_lines().for_each(|line| sum.add(&line.counters()));
        (sum.breaker_opened, sum.failed_fast) = self.shared.gate_counts();
        sum
    }

    /// Ends all connections; whoever waits gets `Closed`.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.disconnect(&Error::new(Status::Closed, "the client is closed"));
    }

    /// The server was taken out of its client: connections end with what is under way, when the last call drops the pool.
    pub fn retire(&self) {
        self.shared.retired.store(true, Ordering::Release);
        self.tell_watchers();
    }

    /// Has `watcher` told when the pool is closed or retired.
    pub fn watch(&self, watcher: Weak<dyn Watch>) {
        let mut watchers = self.watchers();
        watchers.retain(|other| other.strong_count() > 0);
        watchers.push(watcher);
    }

    fn watchers(&self) -> MutexGuard<'_, Vec<Weak<dyn Watch>>> {
        lock(self.watchers.get(|_| Mutex::default()))
    }

    fn tell_watchers(&self) {
        let watchers: Vec<Arc<dyn Watch>> = self.watchers().iter().filter_map(Weak::upgrade).collect();
        watchers.iter().for_each(|watcher| watcher.pool_ended());
    }

    /// Drops all connections, and forgets that the server has failed: the next call opens new ones.
    pub fn start_over(&self) {
        self.disconnect(&Error::new(Status::Connection, "disconnect_all was called"));
        self.shared.forgive(&mut self.shared.teller());
    }

    /// What is known of the server's health.
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Drops all connections, once what went without reply has arrived.
    fn disconnect(&self, why: &Error) {
        self.await_fences();
        self.shared.drops.fetch_add(1, Ordering::AcqRel);
        self.home().all_lines().for_each(|line| line.disconnect(&self.shared, why));
        self.tell_watchers();
    }

    fn await_fences(&self) {
        let limit = Limit::new(self.shared.settings.timeout_ms, true, true);
        self.home().lines.iter().for_each(|line| line.await_fences(&self.shared, limit));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // A child that has not used it yet still has copies of its parent's descriptors to close.
        self.await_fences();
        let counters = self.counters();
        // Another thread's lock may have been copied by a fork.
        if let Ok(mut ledger) = self.shared.settings.ledger.try_lock() {
            ledger.add(&counters);
        }
    }
}

impl Home {
    fn new(connections: u32) -> Home {
        let callers = Arc::new(Callers::new());
        let lines = (0..connections.max(1)).map(|_| CachePadded::new(Line::new(&callers))).collect();
        Home { lines, aside: aside::Lines::default(), callers, elsewhere: Mutex::default() }
    }

    fn all_lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().map(|line| &**line).chain(self.aside.iter())
    }

    fn count(&self, counted: &Counters) {
        lock(&self.elsewhere).add(counted);
    }

    /// An idle connection, as long as none is shared; else one with few callers, so that they go together; else callers
    /// stick to one each, by their thread.
    fn choose(&self, shared: &Shared, limit: &Limit) -> &Line {
        let in_company = self.lines.iter().any(|line| line.users() > 1);
        let most = if in_company { COMPANY } else { 1 };
        let line = match self.lines.iter().find(|line| line.users() < most) {
            Some(line) => line,
            None => &self.lines[thread_number() % self.lines.len()],
        };
        match line.is_owing() {
            false => line,
            true => self.choose_another(line, shared, limit),
        }
    }

    /// Instead of a line whose server owes replies that somebody has waited for in vain: one that may be quicker, if there is
    /// any.
    #[cold]
    fn choose_another<'a>(&'a self, line: &'a Line, shared: &Shared, limit: &Limit) -> &'a Line {
        let others = self.lines.iter().map(|line| &**line).filter(|other| !other.is_owing());
        match line.settle(shared, limit) {
            true => line,
            false => others.min_by_key(|other| other.users()).unwrap_or(line),
        }
    }
}

/// Answers all operations, none of which was sent, with a failure.
fn fail_all(shared: &Shared, operations: &[Operation<'_>], sink: &mut dyn Sink, error: &Error) {
    for (index, operation) in operations.iter().enumerate() {
        sink.answer(index, Answer::failed(&shared.unsent(operation, error)));
    }
}
