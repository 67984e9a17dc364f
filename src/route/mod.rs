//! Which server an operation goes to, and what happens next. What is decided stands in `journey`, once for all who drive
//! it: `blocking` for callers that wait, the queue for those that do not. It knows operations, answers and pools, and
//! nothing of protocols. One server without retries is left alone: its calls go straight to its pool.

mod blocking;
mod discovery;
mod fleet;
mod journey;
mod retry;

pub use discovery::Finder;
pub(crate) use discovery::{Plan, Source, LOOK_EACH};
pub(crate) use fleet::{Ejects, Sharing, Targets, Topology};
pub use fleet::{Mode, Server};
pub(crate) use journey::{Next, Policy, State, When};
pub(crate) use retry::Retry;

use crate::error::{Error, Result, Status};
use crate::net::Deadline;
use crate::operation::{Operation, Sink};
use crate::pool::{Counters, Health, Limit, Pool, PoolFigures, Settings};
use fleet::Fleet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// Servers' pools, each with the index of its server.
pub type Pools = Vec<(u32, Arc<Pool>)>;

/// So many clients a fallback client has at most, those of fallback clients among them counted by their own.
const MAX_TIERS: usize = 16;

/// The way of a client's operations.
pub(crate) enum Route {
    /// To the one server there is.
    Single(Arc<Pool>, Server),
    /// As the policy says.
    Many(Box<Policy>),
}

impl Route {
    /// The route of a client with these servers, or with those that are found by asking them.
    pub fn new(
        sharing: Sharing,
        servers: &[Server],
        settings: &Settings,
        retry: Retry,
        plan: Option<Plan>,
    ) -> Result<Route> {
        if let Some(plan) = plan {
            if sharing.mode == Mode::Single {
                return Err(Error::argument("mode=single, and discovery may find several servers"));
            }
            let fleet = Arc::new(Fleet::discovered(sharing, servers, settings, plan)?);
            return Ok(Route::Many(Box::new(Policy { tiers: Box::new([fleet]), retry, copy_ttl: 0, closed: None })));
        }
        let fleet = match (servers, sharing.mode) {
            ([], _) => return Err(Error::argument("a client needs a server: add one with add_server")),
            ([server], Mode::Single) if !retry.is_on() => {
                let pool = Arc::new(Pool::new(server.address.clone(), 0, settings.clone()));
                return Ok(Route::Single(pool, server.clone()));
            }
            ([_, _, ..], Mode::Single) => {
                let words = format!("mode=single, and {} servers; hashed and replicated take several", servers.len());
                return Err(Error::argument(words));
            }
            _ => Arc::new(Fleet::new(sharing, servers, settings)?),
        };
        Ok(Route::Many(Box::new(Policy { tiers: Box::new([fleet]), retry, copy_ttl: 0, closed: None })))
    }

    /// The route of a client that reads from several others, one after the other, and writes to the first.
    pub fn fallback(routes: &[&Route], retry: Retry, copy_ttl: i64) -> Result<Route> {
        if !(1..=MAX_TIERS).contains(&routes.len()) {
            let words = format!("{} clients; a fallback client takes 1 to {MAX_TIERS}", routes.len());
            return Err(Error::argument(words));
        }
        let fleets = |route: &&Route| match route {
            Route::Single(pool, server) => vec![Arc::new(Fleet::of(pool, server))],
            Route::Many(policy) => policy.tiers.to_vec(),
        };
        let tiers: Box<[Arc<Fleet>]> = routes.iter().flat_map(fleets).collect();
        let closed = Some(AtomicBool::new(false));
        Ok(Route::Many(Box::new(Policy { tiers, retry, copy_ttl, closed })))
    }

    /// Ends the client of a route whose servers are others' too.
    pub fn close_alone(&self) {
        let Route::Many(policy) = self else { return };
        if let Some(closed) = &policy.closed {
            closed.store(true, Ordering::Release);
        }
    }

    /// Runs operations, each of which `sink` gets one answer for.
    pub fn run(&self, operations: &[Operation<'_>], sink: &mut dyn Sink, limit: Limit) {
        match self {
            Route::Single(pool, server) if operations.iter().any(|operation| operation.server > 1) => {
                run_named(pool, server, operations, sink, limit);
            }
            Route::Single(pool, _) => pool.run(operations, sink, limit),
            Route::Many(policy) => policy.run(operations, sink, limit),
        }
    }

    /// The same for what [`crate::operation::are_plain_gets`] says yes to.
    #[inline(always)]
    pub fn run_gets(&self, operations: &[Operation<'_>], sink: &mut dyn Sink, limit: &Limit) {
        match self {
            Route::Single(pool, _) => pool.run_gets(operations, &mut { sink }, limit),
            Route::Many(policy) => policy.run(operations, sink, *limit),
        }
    }

    /// The servers as they are now, with their indices.
    pub fn servers(&self) -> Vec<(u32, Server)> {
        match self {
            Route::Single(_, server) => vec![(0, server.clone())],
            Route::Many(policy) => {
                let servers = |fleet: &Arc<Fleet>| fleet.load().servers();
                policy.tiers.first().map(servers).unwrap_or_default()
            }
        }
    }

    /// Takes discovery a step further, if it is due; a client that knows no server waits for it until `deadline`.
    pub fn discover(&self, deadline: Deadline) {
        if let Route::Many(policy) = self {
            policy.tiers.iter().for_each(|fleet| fleet.discover(deadline));
        }
    }

    /// The pools of the servers, after waiting until `deadline` where discovery is to find them; `None`: nobody knows yet. An
    /// error: there are none, and why.
    pub fn pools(&self, deadline: Deadline) -> Option<Result<Pools>> {
        match self {
            Route::Single(pool, _) => Some(Ok(vec![(0, pool.clone())])),
            Route::Many(policy) => policy.tiers.first()?.pools(deadline),
        }
    }

    /// The failure of an operation that was not sent because of `error`: what is wrong with it in itself comes first.
    pub fn unsent(&self, operation: &Operation<'_>, error: &Error) -> Error {
        match self {
            Route::Single(pool, _) => pool.shared().unsent(operation, error),
            Route::Many(policy) => policy.tiers[0].unsent(operation, error),
        }
    }

    /// The servers, where they can be changed.
    fn fleet(&self) -> Result<&Fleet> {
        match self {
            Route::Many(policy) if policy.tiers[0].is_discovered() => {
                Err(Error::new(Status::Unsupported, "the servers of this client are those that discovery finds"))
            }
            Route::Many(policy) if policy.closed.is_none() && policy.tiers[0].load().mode() != Mode::Single => {
                Ok(&policy.tiers[0])
            }
            _ => {
                let words = "the servers of this client stay as they are; with mode=hashed or mode=replicated they can be changed";
                Err(Error::new(Status::Unsupported, words))
            }
        }
    }

    /// Adds a server; answers with its index.
    pub fn add(&self, server: &Server) -> Result<u32> {
        self.fleet()?.add(server)
    }

    /// Removes the server of this name; whether there was one.
    pub fn remove(&self, name: &str) -> Result<bool> {
        self.fleet()?.remove(name)
    }

    /// Makes these the servers.
    pub fn replace(&self, servers: &[Server]) -> Result<()> {
        self.fleet()?.replace(servers)
    }

    /// The server that has this key; of replicas, the first.
    pub fn owner(&self, key: &[u8]) -> Result<(u32, Server)> {
        match self {
            Route::Single(_, server) => Ok((0, server.clone())),
            Route::Many(policy) => {
                let topology = policy.tiers[0].load();
                let index = match topology.mode() {
                    Mode::Hashed => topology.owner(key)?,
                    Mode::Single | Mode::Replicated => topology.first_from(0).ok_or_else(|| gone(0))?,
                };
                topology.member(index).map(|member| (index, member.server.clone())).ok_or_else(|| gone(index))
            }
        }
    }

    /// What was done with the server of this index, or with all.
    pub fn counters(&self, server: Option<usize>) -> Result<Counters> {
        match (self, server) {
            (_, Some(index)) => Ok(self.pool(index)?.counters()),
            (Route::Single(pool, _), None) => Ok(pool.counters()),
            (Route::Many(policy), None) => {
                let mut sum = Counters::default();
                policy.tiers.iter().for_each(|fleet| sum.add(&fleet.counters()));
                Ok(sum)
            }
        }
    }

    /// The pool of the server of this index.
    fn pool(&self, server: usize) -> Result<Arc<Pool>> {
        match self {
            Route::Single(pool, _) if server == 0 => Ok(pool.clone()),
            Route::Single(..) => Err(Error::argument(format!("server {server}: the client has 1, counted from 0"))),
            Route::Many(policy) => policy.tiers[0].load().pool(server).cloned(),
        }
    }

    /// What is known of the health of the server of this index.
    pub fn health(&self, server: usize) -> Result<Health> {
        Ok(self.pool(server)?.health())
    }

    /// What the connections to the server of this index do, or to all.
    pub fn figures(&self, server: Option<usize>) -> Result<PoolFigures> {
        match (self, server) {
            (_, Some(index)) => Ok(self.pool(index)?.figures()),
            (Route::Single(pool, _), None) => Ok(pool.figures()),
            (Route::Many(policy), None) => {
                let mut sum = PoolFigures::default();
                let fleets = policy.tiers.iter().map(|fleet| fleet.load());
                fleets.for_each(|now| now.members().for_each(|(_, member)| sum.add(&member.pool.figures())));
                Ok(sum)
            }
        }
    }

    /// Drops all connections, and forgets failures: the next call opens new ones.
    pub fn start_over(&self) {
        match self {
            Route::Single(pool, _) => pool.start_over(),
            Route::Many(policy) => policy.tiers.iter().for_each(|fleet| fleet.start_over()),
        }
    }

    /// Ends all connections; whoever waits gets `Closed`.
    pub fn close(&self) {
        match self {
            Route::Single(pool, _) => pool.close(),
            Route::Many(policy) => policy.tiers.iter().for_each(|fleet| fleet.close()),
        }
    }
}

/// Runs operations of which some name a server that a client of one has not: the way of several servers refuses these and
/// runs the others.
#[cold]
fn run_named(pool: &Arc<Pool>, server: &Server, operations: &[Operation<'_>], sink: &mut dyn Sink, limit: Limit) {
    let tiers: Box<[Arc<Fleet>]> = Box::new([Arc::new(Fleet::of(pool, server))]);
    Policy { tiers, retry: Retry::new(0, 0), copy_ttl: 0, closed: None }.run(operations, sink, limit);
}

/// The failure of who names a server by its index at a client of one server.
#[cold]
pub(crate) fn no_other(index: u32) -> Error {
    Error::argument(format!("server {index}: the client has 0")).with_bits(crate::error::bits::NOT_SENT)
}

/// What a server answers to a call that comes too late: it was removed.
#[cold]
pub(crate) fn gone(server: u32) -> Error {
    let words = format!("server {server} was removed");
    Error::new(Status::Connection, words).with_bits(crate::error::bits::NOT_SENT)
}
