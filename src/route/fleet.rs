//! Fleet: the servers of a client and the ring over them, as they are now. Who looks gets a picture that stays as it is,
//! while servers are added, removed and replaced by making another one. It knows pools and names, and sends nothing.

use super::discovery::{Discovery, Plan};
use super::Pools;
use crate::error::{bits, Error, Result, Status};
use crate::net::{Address, Deadline};
use crate::operation::{Command, Operation};
use crate::pool::{Counters, Event, Ledger, Listener, Pool, Settings};
use crate::ring::{Ring, RingKind, RingServer, RingSettings};
use arc_swap::{ArcSwap, Guard};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// One server: where it is, what the ring calls it, and its share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    pub address: Address,
    /// What a ring hashes; the address as it was written where no name was given.
    pub name: String,
    pub weight: u32,
    /// The same as a ring sees it.
    pub ring: RingServer,
}

impl Server {
    /// A server at `address`, as [`Address::parse`] reads it; an empty `name` is the address as it is written; `weight` is 1
    /// or more.
    pub fn parse(address: &str, name: &str, weight: u32) -> Result<Server> {
        if weight == 0 {
            return Err(Error::argument(format!("server {address:?}: weight 0; a weight is 1 or more")));
        }
        let parsed = Address::parse(address)?;
        let ring = RingServer { name: name.into(), address: address.into(), weight };
        let name = if name.is_empty() { address } else { name };
        Ok(Server { address: parsed, name: name.into(), weight, ring })
    }
}

/// How the servers of a client share its keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// There is one server.
    Single,
    /// Each key has one of them, as the ring says.
    Hashed,
    /// Each of them has all keys.
    Replicated,
}

/// Whether the keys of a server that is out go to the next one on the ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ejects {
    Never,
    /// Unless more than half of the servers are out: then something else is wrong.
    UnlessMost,
    Always,
}

/// How the servers of a client share its keys, with what the ring is to be.
#[derive(Clone, Debug)]
pub(crate) struct Sharing {
    pub mode: Mode,
    pub distribution: RingKind,
    pub ring: RingSettings,
    /// Keys of a server that is out go to others.
    pub ejects: Ejects,
}

/// Which servers an operation goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Targets {
    One(u32),
    All,
}

/// A server and its connections.
#[derive(Clone)]
pub(crate) struct Member {
    pub server: Server,
    pub pool: Arc<Pool>,
}

/// The servers at one time, each at its index. An index stays with its server; once that is removed, a server that is
/// added later may get it.
pub(crate) struct Topology {
    mode: Mode,
    ejects: Ejects,
    members: Vec<Option<Member>>,
    /// Where keys are shared by one.
    ring: Option<Ring>,
    /// The index of each server of the ring.
    places: Vec<u32>,
    /// Why there is no server, where there is none.
    lack: Option<Error>,
}

impl Topology {
    fn new(sharing: &Sharing, members: Vec<Option<Member>>) -> Result<Topology> {
        let there = || (0..).zip(&members).filter_map(|(index, member)| Some((index, member.as_ref()?)));
        let places = there().map(|(index, _)| index).collect();
        let servers: Vec<RingServer> = there().map(|(_, member)| member.server.ring.clone()).collect();
        let ring = match sharing.mode {
            Mode::Hashed => Some(Ring::new(sharing.distribution, &servers, &sharing.ring)?),
            Mode::Single | Mode::Replicated => None,
        };
        Ok(Topology { mode: sharing.mode, ejects: sharing.ejects, members, ring, places, lack: None })
    }

    /// How keys are shared.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The servers, with their indices.
    pub fn members(&self) -> impl Iterator<Item = (u32, &Member)> {
        (0..).zip(&self.members).filter_map(|(index, member)| Some((index, member.as_ref()?)))
    }

    /// The servers, with their indices, without their pools.
    pub fn servers(&self) -> Vec<(u32, Server)> {
        self.members().map(|(index, member)| (index, member.server.clone())).collect()
    }

    /// The pool of the server of this index.
    pub fn pool(&self, index: usize) -> Result<&Arc<Pool>> {
        let member = u32::try_from(index).ok().and_then(|index| self.member(index));
        member.map(|member| &member.pool).ok_or_else(|| self.unknown(index))
    }

    /// The server with this index.
    pub fn member(&self, index: u32) -> Option<&Member> {
        self.members.get(index as usize)?.as_ref()
    }

    /// The first server from this index on.
    pub fn first_from(&self, index: u32) -> Option<u32> {
        self.members().map(|(index, _)| index).find(|candidate| *candidate >= index)
    }

    /// How many servers there are.
    pub fn count(&self) -> usize {
        self.members().count()
    }

    /// The server that has this key now: the ring's, or, where the keys of a server that is out go to others, the next.
    pub fn owner(&self, key: &[u8]) -> Result<u32> {
        let place = self.ring.as_ref().and_then(|ring| ring.get(key)).and_then(|place| self.places.get(place));
        let owner = place.copied().ok_or_else(|| self.no_server())?;
        match self.ejects != Ejects::Never && self.is_out(owner) {
            true => self.next_owner(key, owner),
            false => Ok(owner),
        }
    }

    fn is_out(&self, server: u32) -> bool {
        self.member(server).is_some_and(|member| member.pool.is_out())
    }

    #[cold]
    fn next_owner(&self, key: &[u8], owner: u32) -> Result<u32> {
        let out = self.members().filter(|(_, member)| member.pool.is_out()).count();
        if self.ejects == Ejects::UnlessMost && out * 2 > self.count() {
            return Ok(owner);
        }
        let order = self.ring.iter().flat_map(|ring| ring.successors(key));
        let mut servers = order.filter_map(|place| self.places.get(place).copied());
        servers.find(|server| !self.is_out(*server)).ok_or_else(|| {
            let words = format!("all {out} servers of the client are out");
            Error::new(Status::Connection, words).with_bits(bits::NOT_SENT)
        })
    }

    /// Where an operation goes first.
    pub fn aim(&self, operation: &Operation<'_>) -> Result<Targets> {
        if operation.server != 0 {
            return self.named(operation.server - 1);
        }
        let key = if operation.routing_key.is_empty() { operation.key } else { operation.routing_key };
        if operation.command.has_key() || !operation.routing_key.is_empty() {
            return match self.mode {
                Mode::Hashed => self.owner(key).map(Targets::One),
                Mode::Replicated if !is_read(operation) => self.aim_write(operation),
                Mode::Replicated | Mode::Single => self.first(),
            };
        }
        match operation.command {
            Command::FlushAll | Command::Noop | Command::Verbosity | Command::CacheMemlimit => self.all(),
            Command::Shutdown | Command::Metadump | Command::Raw if self.count() > 1 => {
                let name = operation.command.name();
                let words =
                    format!("{name}: the client has {} servers; say which one with the field server", self.count());
                Err(Error::argument(words).with_bits(bits::NOT_SENT))
            }
            _ => self.first(),
        }
    }

    fn first(&self) -> Result<Targets> {
        self.first_from(0).map(Targets::One).ok_or_else(|| self.no_server())
    }

    fn all(&self) -> Result<Targets> {
        self.first().map(|_| Targets::All)
    }

    #[cold]
    fn no_server(&self) -> Error {
        let words = "no server has this key: all were removed, or the function that chooses chose none";
        self.lack.clone().unwrap_or_else(|| Error::new(Status::Connection, words).with_bits(bits::NOT_SENT))
    }

    fn named(&self, index: u32) -> Result<Targets> {
        match self.member(index) {
            Some(_) => Ok(Targets::One(index)),
            None => Err(self.unknown(index as usize).with_bits(bits::NOT_SENT)),
        }
    }

    /// The failure of who names a server by an index that none has.
    pub fn unknown(&self, index: usize) -> Error {
        let there: Vec<String> = self.members().map(|(index, _)| index.to_string()).collect();
        Error::argument(format!("server {index}: the client has {}", there.join(", ")))
    }

    /// Replicas have different cas numbers for one item: a write that depends on one, or asks for one, would leave them
    /// different.
    fn aim_write(&self, operation: &Operation<'_>) -> Result<Targets> {
        let wants_cas = operation.op_flags & crate::operation::op_flags::WANT_CAS != 0;
        if (operation.cas != 0 || wants_cas || names_cas(operation.meta_flags)) && self.count() > 1 {
            let words = format!(
                "{} with a cas: mode=replicated has {} servers, each with cas numbers of its own",
                operation.command.name(),
                self.count()
            );
            return Err(Error::new(Status::Unsupported, words).with_bits(bits::NOT_SENT));
        }
        self.all()
    }
}

/// Whether an operation reads a value, and changes nothing.
pub(crate) fn is_read(operation: &Operation<'_>) -> bool {
    match operation.command {
        Command::Get => true,
        Command::Meta => {
            let words = operation.meta_flags.trim_ascii_start();
            words.starts_with(b"mg") || words.starts_with(b"me")
        }
        _ => false,
    }
}

/// Whether flags of a meta command compare a cas, or ask for one.
fn names_cas(meta_flags: &[u8]) -> bool {
    let mut words = meta_flags.split(u8::is_ascii_whitespace);
    words.any(|word| word == b"c" || word.first() == Some(&b'C'))
}

/// See the module.
pub(crate) struct Fleet {
    topology: ArcSwap<Topology>,
    /// Held while the servers are being changed.
    changing: Mutex<Past>,
    sharing: Sharing,
    settings: Settings,
    /// Who finds out which servers there are.
    discovery: Option<Discovery>,
}

/// Servers that were removed.
#[derive(Default)]
struct Past {
    /// Those that may have calls under way, which still count; what the others have counted is in the ledger.
    retired: Vec<Weak<Pool>>,
    /// Those that are being removed.
    leaving: Vec<Arc<Pool>>,
    closed: bool,
}

impl Past {
    /// Servers were taken out: their connections end with the calls that have seen them.
    fn retire(&mut self) {
        self.retired.retain(|pool| pool.strong_count() > 0);
        for pool in self.leaving.drain(..) {
            pool.retire();
            self.retired.push(Arc::downgrade(&pool));
        }
    }
}

impl Fleet {
    /// A fleet of these servers, each at its place in the list.
    pub fn new(sharing: Sharing, servers: &[Server], settings: &Settings) -> Result<Fleet> {
        let settings = Settings { ledger: Ledger::default(), ..settings.clone() };
        let mut members = Vec::with_capacity(servers.len());
        for (index, server) in (0..).zip(servers) {
            check_name(&members, server)?;
            let pool = Arc::new(Pool::new(server.address.clone(), index, settings.clone()));
            members.push(Some(Member { server: server.clone(), pool }));
        }
        let topology = ArcSwap::from_pointee(Topology::new(&sharing, members)?);
        Ok(Fleet { topology, changing: Mutex::default(), sharing, settings, discovery: None })
    }

    /// A fleet whose servers are found by asking `endpoints`.
    pub fn discovered(sharing: Sharing, endpoints: &[Server], settings: &Settings, plan: Plan) -> Result<Fleet> {
        let discovery = Discovery::new(plan, endpoints, settings)?;
        let lack = discovery.silence();
        let fleet = Fleet { discovery: Some(discovery), ..Fleet::new(sharing, &[], settings)? };
        fleet.note_lack(&lack);
        Ok(fleet)
    }

    /// The failure of an operation that no server was found for because of `error`.
    pub fn unsent(&self, operation: &Operation<'_>, error: &Error) -> Error {
        self.settings.unsent(None, operation, error)
    }

    /// Whether its servers are found, and not to be changed by others.
    pub fn is_discovered(&self) -> bool {
        self.discovery.is_some()
    }

    /// Takes discovery a step further, if it is due; a client that knows no server waits for it until `deadline`.
    #[inline]
    pub fn discover(&self, deadline: Deadline) {
        if let Some(discovery) = &self.discovery {
            discovery.await_first(self, deadline);
        }
    }

    /// The same without waiting; what is to be told, and to whom.
    #[inline]
    pub fn discover_now(&self, now: u64) -> Option<(Listener, Event)> {
        let event = self.discovery.as_ref()?.proceed(self, now)?;
        Some((self.settings.listener.clone(), event))
    }

    /// Whether operations have to wait until it is known which servers there are.
    pub fn is_awaited(&self) -> bool {
        self.discovery.as_ref().is_some_and(Discovery::is_awaited)
    }

    /// See [`super::Route::pools`].
    pub fn pools(&self, deadline: Deadline) -> Option<Result<Pools>> {
        self.discover(deadline);
        let topology = self.load();
        let pools: Pools = topology.members().map(|(index, member)| (index, member.pool.clone())).collect();
        match pools.is_empty() {
            true if self.is_awaited() => None,
            true => Some(Err(topology.no_server())),
            false => Some(Ok(pools)),
        }
    }

    /// Notes why there is no server, if there is none.
    pub(super) fn note_lack(&self, why: &Error) {
        let _past = self.change();
        if self.load().count() > 0 {
            return;
        }
        if let Ok(topology) = Topology::new(&self.sharing, Vec::new()) {
            self.topology.store(Arc::new(Topology { lack: Some(why.clone()), ..topology }));
        }
    }

    /// A fleet of the one server that a client has.
    pub fn of(pool: &Arc<Pool>, server: &Server) -> Fleet {
        let sharing = Sharing {
            mode: Mode::Single,
            distribution: RingKind::Rendezvous,
            ring: RingSettings::default(),
            ejects: Ejects::Never,
        };
        let member = Member { server: server.clone(), pool: pool.clone() };
        let topology = Topology {
            mode: Mode::Single,
            ejects: Ejects::Never,
            members: vec![Some(member)],
            ring: None,
            places: vec![0],
            lack: None,
        };
        let settings = pool.shared().settings.clone();
        Fleet {
            topology: ArcSwap::from_pointee(topology),
            changing: Mutex::default(),
            sharing,
            settings,
            discovery: None,
        }
    }

    /// How keys are shared.
    pub fn mode(&self) -> Mode {
        self.sharing.mode
    }

    /// The servers as they are now.
    pub fn load(&self) -> Guard<Arc<Topology>> {
        self.topology.load()
    }

    fn change(&self) -> MutexGuard<'_, Past> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was done with all servers, those that are gone too.
    pub fn counters(&self) -> Counters {
        let retired: Vec<Arc<Pool>> = self.change().retired.iter().filter_map(Weak::upgrade).collect();
        let mut sum = *self.settings.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        retired.iter().for_each(|pool| sum.add(&pool.counters()));
        self.load().members().for_each(|(_, member)| sum.add(&member.pool.counters()));
        sum
    }

    /// Adds a server, at the first index that is free; answers with that.
    pub fn add(&self, server: &Server) -> Result<u32> {
        self.update(|past, members| {
            check_name(members, server)?;
            Ok(self.put(past, members, server))
        })
    }

    /// Removes the server of this name; whether there was one. What it was asked already is still answered.
    pub fn remove(&self, name: &str) -> Result<bool> {
        self.update(|past, members| {
            let member = members.iter_mut().find(|member| member.as_ref().is_some_and(|m| m.server.name == name));
            let Some(member) = member.and_then(Option::take) else { return Ok(false) };
            past.leaving.push(member.pool);
            Ok(true)
        })
    }

    /// Makes these the servers: those of the same name and address stay as they are, with their connections.
    pub fn replace(&self, servers: &[Server]) -> Result<()> {
        let mut wanted: Vec<&Server> = Vec::with_capacity(servers.len());
        for server in servers {
            if let Some(other) = wanted.iter().find(|other| other.name == server.name) {
                return Err(same_name(other, server));
            }
            wanted.push(server);
        }
        self.update(|past, members| {
            for member in members.iter_mut() {
                let stays = member.as_ref().is_some_and(|member| {
                    servers.iter().any(|s| s.name == member.server.name && s.address == member.server.address)
                });
                if !stays {
                    past.leaving.extend(member.take().map(|member| member.pool));
                }
            }
            for server in servers {
                match members.iter_mut().flatten().find(|member| member.server.name == server.name) {
                    Some(member) => member.server = server.clone(),
                    None => drop(self.put(past, members, server)),
                }
            }
            Ok(())
        })
    }

    /// Puts a server at the first index that is free.
    fn put(&self, past: &Past, members: &mut Vec<Option<Member>>, server: &Server) -> u32 {
        let index = members.iter().position(Option::is_none).unwrap_or(members.len());
        let pool = Arc::new(Pool::new(server.address.clone(), index as u32, self.settings.clone()));
        if past.closed {
            pool.close();
        }
        if index == members.len() {
            members.push(None);
        }
        members[index] = Some(Member { server: server.clone(), pool });
        index as u32
    }

    /// Makes another picture out of the one that there is. Who has seen the old one goes on with that.
    fn update<T>(&self, change: impl FnOnce(&mut Past, &mut Vec<Option<Member>>) -> Result<T>) -> Result<T> {
        let mut past = self.change();
        past.leaving.clear();
        let mut members = self.load().members.clone();
        let result = change(&mut past, &mut members)?;
        self.topology.store(Arc::new(Topology::new(&self.sharing, members)?));
        past.retire();
        Ok(result)
    }

    /// Ends all connections; whoever waits gets `Closed`.
    pub fn close(&self) {
        if let Some(discovery) = &self.discovery {
            discovery.close();
            self.note_lack(&Error::new(Status::Closed, "the client is closed").with_bits(bits::NOT_SENT));
        }
        let mut past = self.change();
        past.closed = true;
        self.load().members().for_each(|(_, member)| member.pool.close());
        past.retired.drain(..).filter_map(|pool| pool.upgrade()).for_each(|pool| pool.close());
    }

    /// Drops all connections, and forgets failures.
    pub fn start_over(&self) {
        self.load().members().for_each(|(_, member)| member.pool.start_over());
    }
}

fn check_name(members: &[Option<Member>], server: &Server) -> Result<()> {
    match members.iter().flatten().find(|member| member.server.name == server.name) {
        Some(other) => Err(same_name(&other.server, server)),
        None => Ok(()),
    }
}

fn same_name(one: &Server, other: &Server) -> Error {
    Error::argument(format!("two servers are called {:?}: {} and {}", one.name, one.address, other.address))
}
