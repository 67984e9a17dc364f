//! Key hashes and rings: which of several servers a key belongs to, exactly as eleven other clients decide it. A ring knows
//! names, weights and keys, not connections; it does no I/O, and a lookup neither allocates nor fails.

mod bmemcached;
mod chooser;
mod circle;
mod hash_tag;
mod jump;
mod key_form;
mod key_hash;
mod kind;
mod libhashkit;
mod mcrouter;
mod modulo;
mod murmur3;
mod murmur64;
mod points;
mod rendezvous;
mod server;
mod settings;
mod spooky;
mod successors;

pub use chooser::Chooser;
pub use hash_tag::HashTag;
pub use key_hash::KeyHash;
pub use kind::RingKind;
pub use murmur3::{murmur3_32, Murmur3};
pub use server::RingServer;
pub use settings::{KeyForm, RingSettings};
pub use successors::Successors;

use crate::error::{Error, Result};
use bmemcached::Bmemcached;
use circle::Circle;
use jump::Jump;
use mcrouter::{ch3, McrouterRendezvous, WeightedCh3};
use modulo::Modulo;
use rendezvous::Rendezvous;
use std::collections::HashMap;
use zeroize::Zeroizing;

/// The most servers that a ring takes.
pub const SERVERS_MAX: usize = 10_000;

/// The largest weight that a ring takes.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// Which of several servers a key belongs to. A ring does not change: for other servers, make another one. Any number of
/// threads may look keys up at once.
#[derive(Debug)]
pub struct Ring {
    kind: RingKind,
    count: usize,
    hash_tag: Option<HashTag>,
    map: Map,
}

/// How a kind of ring finds a server; there are two servers at least when it is asked.
#[derive(Debug)]
enum Map {
    Rendezvous(Rendezvous),
    Circle(Circle),
    Bmemcached(Bmemcached),
    Modulo(Modulo),
    Jump(Jump),
    Ch3(usize),
    WeightedCh3(WeightedCh3),
    McrouterRendezvous(McrouterRendezvous),
    Custom(Chooser),
}

impl Ring {
    /// A ring of these servers, which it calls by their index here. Fails where two servers go by one name, where a weight
    /// or a setting is one that this kind of ring does not have, and beyond [`SERVERS_MAX`] and [`WEIGHT_MAX`].
    pub fn new(kind: RingKind, servers: &[RingServer], settings: &RingSettings) -> Result<Ring> {
        Ring::check(kind, servers, settings)?;
        let key_hash = kind.key_hash(settings.key_hash)?;
        let names = names(kind, servers, settings);
        let weights: Vec<u32> = servers.iter().map(|server| server.weight).collect();
        let map = match &settings.chooser {
            Some(chooser) => Map::Custom(chooser.clone()),
            None => Map::new(kind, &names, &weights, key_hash, settings),
        };
        Ok(Ring { kind, count: servers.len(), hash_tag: settings.hash_tag, map })
    }

    /// Whether there can be a ring of these: cheaper than making one.
    pub fn check(kind: RingKind, servers: &[RingServer], settings: &RingSettings) -> Result<()> {
        check_servers(kind, servers)?;
        kind.key_hash(settings.key_hash)?;
        check_names(servers, &names(kind, servers, settings))
    }

    /// How it distributes keys.
    pub fn kind(&self) -> RingKind {
        self.kind
    }

    /// How many servers it has.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it has no server.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The server that has the key; `None` where there is no server, or a function of the user's chose one that there
    /// is not.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<usize> {
        match (&self.map, self.count) {
            (_, 0) => None,
            (Map::Custom(chooser), count) => chooser.choose(key, count),
            (_, 1) => Some(0),
            (map, _) => Some(map.get(self.hashed_part(key))),
        }
    }

    /// The servers in the order in which the key should try them: first the one that [`Ring::get`] says, then the one that
    /// would have the key if that one were gone (or that the client which this ring matches goes to then), and so on.
    /// Every server comes at least once; one may come again. Nothing is allocated.
    pub fn successors<'a>(&'a self, key: &'a [u8]) -> Successors<'a> {
        Successors::new(self, self.hashed_part(key))
    }

    fn hashed_part<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        self.hash_tag.map_or(key, |tag| tag.part_of(key))
    }
}

impl Map {
    fn new(kind: RingKind, names: &[String], weights: &[u32], key_hash: KeyHash, settings: &RingSettings) -> Map {
        let ketama = |style| Map::Circle(Circle::ketama(names, weights, key_hash, style));
        let modulo = |style| Map::Modulo(Modulo::new(weights, key_hash, style));
        match kind {
            RingKind::Rendezvous => Map::Rendezvous(Rendezvous::new(names, settings.key_form, settings.seed)),
            RingKind::Ketama | RingKind::KetamaSpy | RingKind::Twemproxy => ketama(circle::Style::Ketama),
            RingKind::Spymemcached => ketama(circle::Style::Spymemcached),
            RingKind::KetamaUnweighted => Map::Circle(Circle::unweighted(names, weights, key_hash)),
            RingKind::Dalli => Map::Circle(Circle::dalli(names, weights)),
            RingKind::Bmemcached => Map::Bmemcached(Bmemcached::new(names, settings.key_form)),
            RingKind::Modulo | RingKind::Memcachier => modulo(modulo::Style::Plain),
            RingKind::Gomemcache => modulo(modulo::Style::Gomemcache),
            RingKind::Memjs => modulo(modulo::Style::Memjs),
            RingKind::McrouterCrc32 => modulo(modulo::Style::Mcrouter),
            RingKind::Jump => Map::Jump(Jump::new(names.len(), key_hash)),
            RingKind::Ch3 => Map::Ch3(names.len()),
            RingKind::WeightedCh3 => Map::WeightedCh3(WeightedCh3::new(weights, settings.weight_unit)),
            RingKind::McrouterRendezvous => Map::McrouterRendezvous(McrouterRendezvous::new(names)),
            RingKind::McrouterWeightedRendezvous => {
                Map::McrouterRendezvous(McrouterRendezvous::weighted(names, weights))
            }
        }
    }

    /// Each kind's own is out of line: a short one need not save the registers that a long one takes.
    fn get(&self, key: &[u8]) -> usize {
        match self {
            Map::Rendezvous(ring) => ring.get(key),
            Map::Circle(circle) => circle.get(key),
            Map::Bmemcached(ring) => ring.get(key),
            Map::Modulo(modulo) => modulo.get(key),
            Map::Jump(jump) => jump.get(key),
            Map::Ch3(servers) => ch3(key, *servers),
            Map::WeightedCh3(ring) => ring.get(key),
            Map::McrouterRendezvous(ring) => ring.get(key),
            // Ring::get asks the function itself: it alone may have no answer.
            Map::Custom(_) => 0,
        }
    }
}

fn names(kind: RingKind, servers: &[RingServer], settings: &RingSettings) -> Zeroizing<Vec<String>> {
    let name = |server: &RingServer| server.name_as(kind.name_form(), settings.credentials.as_ref());
    Zeroizing::new(servers.iter().map(name).collect())
}

fn check_servers(kind: RingKind, servers: &[RingServer]) -> Result<()> {
    if servers.len() > SERVERS_MAX {
        return Err(Error::argument(format!("{} servers; a ring takes {SERVERS_MAX} at most", servers.len())));
    }
    for server in servers {
        let (called, weight) = (server.name(), &server.weight);
        if called.is_empty() {
            return Err(Error::argument("a server without a name and without an address"));
        }
        if !(1..=WEIGHT_MAX).contains(weight) {
            return Err(Error::argument(format!("server {called:?}: weight {weight} is not from 1 to {WEIGHT_MAX}")));
        }
        if *weight != 1 && !kind.has_weights() {
            let kind = kind.name();
            return Err(Error::argument(format!("server {called:?}: weight {weight}; ring {kind} has no weights: 1")));
        }
    }
    Ok(())
}

/// The names themselves are not told: a password may be a part of them.
fn check_names(servers: &[RingServer], names: &[String]) -> Result<()> {
    let mut seen = HashMap::new();
    for (server, name) in servers.iter().zip(names) {
        if let Some(other) = seen.insert(name.as_str(), server) {
            let (one, two) = (other.name(), server.name());
            return Err(Error::argument(format!("servers {one:?} and {two:?} have one name on the ring")));
        }
    }
    Ok(())
}
