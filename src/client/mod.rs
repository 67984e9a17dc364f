//! What a user of the Rust API meets: `Client`, a method for each command, and `Options`. A client turns arguments into
//! operations, hands them to the route and the pool, and knows no protocol.

mod coding;
mod commands;
mod dump;
mod front;
#[cfg(test)]
mod names;
mod options;
mod profile;
mod queue;
mod sinks;
pub(crate) mod stats;

pub use dump::Dump;
pub use front::KeyBytes;
pub use options::{DiscoveryKind, FailoverKind, Kind, Options, Spec, TABLE};
pub use profile::Profile;
pub(crate) use queue::{place, place_bytes, Get, Hit, Submitted, Take};
pub use queue::{Fetched, Queue};
pub use stats::{statistics, DumpEntry};

pub use crate::protocol::ProtocolChoice;

use crate::answers::{Answers, Item};
use crate::connection::Credentials;
use crate::error::{bits, Error, Result, Status};
use crate::operation::{are_plain_gets, Command, Gets, Operation, Sink};
use crate::pool::{Account, Ledger, Limit, Settings};
pub use crate::pool::{Condition, Counters, Event, EventKind, Health, Listener, PoolFigures};
pub use crate::route::{Finder, Mode, Server};
use crate::route::{Retry, Route, Sharing};
use crate::secret::Secret;
use crate::value::{Coder, Decoded, Encoded, ValueType};
use front::Front;
use sinks::{One, Picked, Place};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// A client of one or more memcached servers. Any number of threads may use it at once; connections are opened when
/// they are first needed. A clone is another handle of the same client.
#[derive(Clone)]
pub struct Client {
    core: Arc<Core>,
}

/// What all handles of a client share.
struct Core {
    options: Options,
    /// Of a client with a codec.
    coder: Option<Arc<Coder>>,
    /// Of a client whose options change operations.
    front: Option<Arc<Front>>,
    account: Arc<Account>,
    route: Route,
    /// Of a fallback client: those that it reads from.
    clients: Vec<Arc<Core>>,
    /// How many fallback clients read from this one.
    readers: AtomicUsize,
}

impl Drop for Core {
    fn drop(&mut self) {
        for core in &self.clients {
            core.readers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Client {
    /// Makes a client; no connection is opened yet.
    pub fn new(options: Options) -> Result<Client> {
        let delay = options.reconnect_delay_ms;
        let unix_delay = if options.explicit.contains("reconnect_delay_ms") { delay } else { 0 };
        let account = Arc::new(Account::new(options.credentials()?, delay, unix_delay));
        let retry = Retry::new(options.retries, options.retry_delay_ms);
        let settings = settings(&options, &account)?;
        let route = Route::new(sharing(&options), &options.servers, &settings, retry, options.plan()?)?;
        let coder = coding::coder(&options).map(Arc::new);
        Ok(Client::of(options, coder, account, route, Vec::new()))
    }

    /// Makes a client that reads a key from the first of `clients` that has it, and writes to the first alone. Each key goes
    /// on by itself; with option `fallback_copy_ttl` of the first, what an older one had is put into the first. Its other
    /// options and its codec are the first one's too. It holds references of its own: the others may be dropped.
    pub fn new_fallback(clients: &[Client]) -> Result<Client> {
        let routes: Vec<&Route> = clients.iter().map(|client| &client.core.route).collect();
        let Some(first) = clients.first() else { return Err(Error::argument("a fallback client needs a client")) };
        let (options, coder, account) =
            (first.core.options.clone(), first.core.coder.clone(), first.core.account.clone());
        let retry = Retry::new(options.retries, options.retry_delay_ms);
        let route = Route::fallback(&routes, retry, options.fallback_copy_ttl.into())?;
        let clients: Vec<Arc<Core>> = clients.iter().map(|client| client.core.clone()).collect();
        for core in &clients {
            core.readers.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Client::of(options, coder, account, route, clients))
    }

    fn of(
        options: Options,
        coder: Option<Arc<Coder>>,
        account: Arc<Account>,
        route: Route,
        clients: Vec<Arc<Core>>,
    ) -> Client {
        let (front, readers) = (Front::new(&options).map(Arc::new), AtomicUsize::new(0));
        Client { core: Arc::new(Core { front, options, coder, account, route, clients, readers }) }
    }

    /// The options that it was made with.
    pub fn options(&self) -> &Options {
        &self.core.options
    }

    /// Runs any mix of operations in as few round trips as possible; `sink` gets one answer for each, failures too.
    /// Fails as a whole only where no operation could be tried: then `sink` got nothing.
    pub fn execute(&self, operations: &[Operation<'_>], sink: &mut dyn Sink) -> Result<()> {
        match &self.core.coder {
            None => self.run(operations, sink),
            Some(coder) => coding::execute(self, coder, operations, sink),
        }
        Ok(())
    }

    /// Reads the values of these keys, as [`Client::execute`] does with a get of each; for a sink whose type is known.
    #[inline]
    pub(crate) fn run_gets(&self, keys: &[&[u8]], sink: &mut impl Sink) -> Result<()> {
        let core = &*self.core;
        match (&core.route, &core.coder, &core.front) {
            (Route::Single(pool, _), None, None) if !keys.is_empty() => pool.run_gets(keys, sink, &self.limit(0)),
            _ => keys.as_operations(|operations| self.execute(operations, sink))?,
        }
        Ok(())
    }

    /// Runs an operation on each server, whatever its key, at once; one answer for each server, which says whose it is, in
    /// the order of [`Client::servers`].
    pub fn execute_each(&self, operation: &Operation<'_>) -> Result<Answers> {
        let operations = self.on_each(operation);
        let mut answers = Answers::new(operations.len());
        self.execute(&operations, &mut answers)?;
        Ok(answers)
    }

    /// An operation for each server, once it is known which there are; where there is none, one that fails and says why.
    pub(crate) fn on_each<'a>(&self, operation: &Operation<'a>) -> Vec<Operation<'a>> {
        self.core.route.discover(self.limit(operation.timeout_ms).deadline);
        let on = |server: u32| Operation { server: server + 1, ..*operation };
        match self.servers() {
            none if none.is_empty() => vec![*operation],
            servers => servers.iter().map(|(index, _)| on(*index)).collect(),
        }
    }

    /// Runs operations with their values as they are.
    #[inline(always)]
    fn run(&self, operations: &[Operation<'_>], sink: &mut dyn Sink) {
        match &self.core.front {
            None => self.run_as_is(operations, sink),
            Some(front) => front::run(self, front, operations, sink),
        }
    }

    #[inline(always)]
    fn run_as_is(&self, operations: &[Operation<'_>], sink: &mut dyn Sink) {
        let first = operations.first().map_or(0, |operation| operation.timeout_ms);
        if are_plain_gets(operations) {
            self.core.route.run_gets(operations, sink, &self.limit(first));
        } else if operations.iter().all(|operation| operation.timeout_ms == first) {
            self.core.route.run(operations, sink, self.limit(first));
        } else {
            self.execute_by_timeout(operations, sink);
        }
    }

    #[inline(always)]
    fn limit(&self, timeout_ms: u32) -> Limit {
        let (usual, exact) = (self.core.options.timeout_ms, self.core.options.slow_ms != 0);
        match timeout_ms {
            0 => Limit::new(usual, true, exact),
            own => Limit::new(own, own == usual, exact),
        }
    }

    /// Operations with different time-outs go one time-out after the other, the shortest first, each measured from now:
    /// one that does not answer in its time does not take the others with it.
    fn execute_by_timeout(&self, operations: &[Operation<'_>], sink: &mut dyn Sink) {
        let limits: Vec<Limit> = operations.iter().map(|operation| self.limit(operation.timeout_ms)).collect();
        let mut order: Vec<usize> = (0..operations.len()).collect();
        order.sort_by_key(|index| limits[*index].timeout_ms);
        for group in order.chunk_by(|a, b| limits[*a].timeout_ms == limits[*b].timeout_ms) {
            let picked: Vec<Operation<'_>> = group.iter().map(|index| operations[*index]).collect();
            self.core.route.run(&picked, &mut Picked { sink, indices: group }, limits[group[0]]);
        }
    }

    /// Runs one operation whose answer is a status and perhaps a value.
    fn one(&self, operation: &Operation<'_>) -> Result<(Status, Item)> {
        let mut one = One::default();
        self.execute(std::slice::from_ref(operation), &mut one)?;
        one.finish().map_err(|error| operation.explain(error))
    }

    /// Reads a value; `None` is a miss, never a failure.
    pub fn get(&self, key: &[u8]) -> Result<Option<Item>> {
        let (status, item) = self.one(&Operation::get(key))?;
        Ok((status == Status::Ok).then_some(item))
    }

    /// Reads a value into `buffer` and says how long it is and what its flags are; `None` is a miss. A value longer
    /// than the buffer is the failure `Buffer`, whose message tells the length.
    pub fn get_into(&self, key: &[u8], buffer: &mut [u8]) -> Result<Option<(usize, u32)>> {
        let operation = Operation::get(key);
        let mut place = Place::new(buffer);
        self.execute(std::slice::from_ref(&operation), &mut place)?;
        place.finish().map_err(|error| operation.explain(error))
    }

    /// Reads many values in as few round trips as possible; answer `i` is that of `keys[i]`, misses and failures too.
    pub fn get_many(&self, keys: &[&[u8]]) -> Result<Answers> {
        let mut answers = Answers::new(keys.len());
        self.run_gets(keys, &mut answers)?;
        Ok(answers)
    }

    /// Stores a value for `ttl` seconds; zero: until evicted ([`Operation::ttl`] has every form).
    pub fn set(&self, key: &[u8], value: &[u8], flags: u32, ttl: i64) -> Result<()> {
        match self.one(&Operation { flags, ..Operation::set(key, value, ttl) })?.0 {
            Status::Ok => Ok(()),
            other => Err(Error::new(Status::Protocol, format!("set was answered with {}", other.text()))),
        }
    }

    /// Deletes a key; `false` where there was none.
    pub fn delete(&self, key: &[u8]) -> Result<bool> {
        Ok(self.one(&Operation::delete(key))?.0 == Status::Ok)
    }

    /// The server's version, as it writes it.
    pub fn version(&self) -> Result<String> {
        let (_, item) = self.one(&Operation::version())?;
        Ok(String::from_utf8_lossy(&item.value).into_owned())
    }

    /// The value and the flags that the client would store for `operation`, of which `value`, `value_type`, `flags`,
    /// `op_flags` and `compress_level` count.
    pub fn encode_value<'a>(&self, operation: &Operation<'a>) -> Result<Encoded<'a>> {
        let operation = Operation { command: Command::Set, ..*operation };
        match &self.core.coder {
            None => Ok(Encoded { value: operation.value.into(), flags: operation.flags }),
            Some(coder) => coding::encode(coder, &operation),
        }
    }

    /// What the client would read where these bytes are stored with these flags.
    pub fn decode_value<'a>(&self, value: &'a [u8], flags: u32) -> Result<Decoded<'a>> {
        match &self.core.coder {
            None => Ok(Decoded { value: value.into(), value_type: ValueType::Bytes }),
            Some(coder) => coder.decode(value.into(), flags),
        }
    }

    /// The servers as they are now, each with the index by which answers, events and counters call it. A server keeps its
    /// index; one that is added later may get that of one that was removed.
    pub fn servers(&self) -> Vec<(u32, Server)> {
        self.core.route.servers()
    }

    /// Adds a server, as [`Options::add_server`]; answers with its index. Calls that have begun do not know of it.
    pub fn add_server(&self, address: &str, name: &str, weight: u32) -> Result<u32> {
        self.core.route.add(&Server::parse(address, name, weight)?)
    }

    /// Removes the server of this name; whether there was one. What it was asked already is still answered, and its
    /// connections end with that.
    pub fn remove_server(&self, name: &str) -> Result<bool> {
        self.core.route.remove(name)
    }

    /// Makes these the servers, in one step: those of a name and address that there are already keep index and
    /// connections.
    pub fn replace_servers(&self, servers: &[Server]) -> Result<()> {
        self.core.route.replace(servers)
    }

    /// The server that the ring gives this key to, with its index; the first one where the servers are replicas.
    pub fn server_for(&self, key: &[u8]) -> Result<(u32, Server)> {
        self.core.route.owner(key)
    }

    /// What the client has done with the server of this index ([`Client::servers`]), or with all, those that were removed
    /// too.
    pub fn counters(&self, server: Option<usize>) -> Result<Counters> {
        self.core.route.counters(server).map_err(|error| error.with_bits(bits::NOT_SENT))
    }

    /// Changes whom new connections log in as, those of queues too; both empty: they do not log in. Connections that are
    /// open stay as they are: [`Client::disconnect_all`] ends them.
    pub fn set_credentials(&self, username: &str, password: &Secret) -> Result<()> {
        let credentials = Credentials::new(username, password);
        self.core.account.set(credentials.map_err(|error| error.with_bits(bits::NOT_SENT))?);
        Ok(())
    }

    /// Changes an option while the client is in use: `reconnect_delay_ms`, which then counts for attempts that have failed
    /// already as well, so that 0 ends a wait. Of a fallback client it is the first one's. The others are fixed when a client
    /// is made, and the failure says so.
    pub fn set_option(&self, name: &str, value: &str) -> Result<()> {
        let mut options = Options::new();
        options.set(name, value).map_err(|error| error.with_bits(bits::NOT_SENT))?;
        if name == "reconnect_delay_ms" {
            self.core.account.set_reconnect_delay_ms(options.reconnect_delay_ms);
            return Ok(());
        }
        let instead = match name {
            "username" | "password" => "credentials are changed both at once, by set_credentials",
            _ => "of a client in use reconnect_delay_ms alone can be changed",
        };
        let words = format!("option {name} is fixed when the client is made; {instead}");
        Err(Error::new(Status::Unsupported, words).with_bits(bits::NOT_SENT))
    }

    /// Drops all connections, those of queues too, and forgets which servers have failed: the next call opens new ones.
    /// Who waits for an answer gets `Connection`. Nothing is said to the servers: the end of a connection says it all. A
    /// queue closes its connections at its next fetch, for which its descriptor becomes readable.
    pub fn disconnect_all(&self) {
        self.core.route.start_over();
    }

    /// How the server of this index is, as far as the calls of this client have shown; nothing is sent. Of a fallback
    /// client: of the first one's.
    pub fn health(&self, server: usize) -> Result<Health> {
        self.core.route.health(server).map_err(|error| error.with_bits(bits::NOT_SENT))
    }

    /// What the connections to the server of this index do, or to all: [`Client::counters`].
    pub fn pool_figures(&self, server: Option<usize>) -> Result<PoolFigures> {
        self.core.route.figures(server).map_err(|error| error.with_bits(bits::NOT_SENT))
    }

    /// Ends the client: whoever waits and whoever calls later gets `Closed`. From any thread, any number of times. Who waits
    /// inside a fallback client shares connections with its clients, and is answered unless these are closed too.
    pub fn close(&self) {
        match self.core.clients.is_empty() {
            true => self.core.route.close(),
            false => self.core.route.close_alone(),
        }
    }

    /// The same, unless a fallback client reads from it: then it ends with that one.
    pub(crate) fn let_go(&self) {
        if self.core.readers.load(Ordering::Relaxed) == 0 {
            self.close();
        }
    }
}

fn sharing(options: &Options) -> Sharing {
    let several = options.servers.len() > 1 || options.is_discovered();
    let mode = options.mode.unwrap_or(if several { Mode::Hashed } else { Mode::Single });
    Sharing { mode, distribution: options.distribution, ring: options.ring_settings(), ejects: options.ejects() }
}

fn settings(options: &Options, account: &Arc<Account>) -> Result<Settings> {
    Ok(Settings {
        protocol: options.protocol,
        timeout_ms: options.timeout_ms,
        connect_timeout_ms: options.connect_timeout_ms,
        connections: options.connections,
        connections_idle_ms: options.connections_idle_ms,
        max_waiting: options.max_waiting,
        failover: options.failover_rules(),
        max_value_bytes: options.max_value_bytes,
        no_delay: options.no_delay,
        keepalive: options.keepalive(),
        on_connect: options.on_connect.clone(),
        tls: options.tls()?,
        slow_ms: options.slow_ms,
        listener: options.listener.clone(),
        ledger: Ledger::default(),
        account: account.clone(),
        login: options.login_rules(),
    })
}
