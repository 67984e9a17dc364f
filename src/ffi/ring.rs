//! Rings: which of several servers a key belongs to, without a client; key hashes; and a ring of the
//! caller's own for a client. docs/rings.md tells which ring shares a cache with which client.

use super::bytes::bmemc_bytes;
use super::guard::{guard, handle, null, number, place, quietly, refused};
use super::options::bmemc_options;
use super::results::{bmemc_results, Many};
use super::status::{bmemc_error, bmemc_status};
use crate::error::{Error, Result, Status};
use crate::net::Address;
use crate::operation::{Answer, Sink, Value};
use crate::ring::{Chooser, KeyHash, Ring, RingKind, RingServer, RingSettings};
use once_cell::sync::OnceCell;
use std::mem::MaybeUninit;
use std::os::raw::c_void;

/// A ring. Any number of threads may look keys up at once while none of them changes it.
pub struct bmemc_ring {
    kind: RingKind,
    settings: RingSettings,
    servers: Vec<RingServer>,
    /// Made when a key is first looked up after a change.
    made: OnceCell<Ring>,
}

impl bmemc_ring {
    fn ring(&self) -> Result<&Ring> {
        self.made.get_or_try_init(|| Ring::new(self.kind, &self.servers, &self.settings))
    }

    /// Takes other servers, where a ring of them is possible.
    fn change(&mut self, servers: Vec<RingServer>) -> Result<()> {
        Ring::check(self.kind, &servers, &self.settings)?;
        self.servers = servers;
        self.made = OnceCell::new();
        Ok(())
    }
}

/// Chooses a server: the index, from 0 on, of the one among `count` that has the key; anything from
/// `count` on: none, and the operation fails. `context` is what bmemc_options_on_route() was given.
pub type bmemc_route_callback =
    Option<unsafe extern "C" fn(key: bmemc_bytes, count: usize, context: *mut c_void) -> usize>;

/// Makes a ring of the servers that the options have, in their order, as the options "distribution",
/// "key_hash", "hash_tag", "key_form", "hash_seed" and "weight_unit" say; for "bmemcached" the credentials
/// are a part of the names that the ring makes. There may be no server yet.
/// On BMEMC_OK `*out` is the caller's, to be freed. BMEMC_E_ARGUMENT: two servers go by one name, or
/// the distribution does not have the key hash or a weight.
#[no_mangle]
pub extern "C" fn bmemc_ring_new(
    options: Option<&bmemc_options>,
    out: Option<&mut MaybeUninit<*mut bmemc_ring>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        let options = &handle(options, "options")?.options;
        let (kind, settings) = (options.distribution, options.ring_settings());
        let servers = options.servers.iter().map(|server| server.ring.clone()).collect();
        let mut ring = bmemc_ring { kind, settings, servers: Vec::new(), made: OnceCell::new() };
        ring.change(servers)?;
        *out = Box::into_raw(Box::new(ring));
        Ok(Status::Ok)
    })
}

/// Frees a ring.
#[no_mangle]
pub extern "C" fn bmemc_ring_free(ring: Option<Box<bmemc_ring>>) {
    quietly((), || drop(ring));
}

/// Adds a server at the end of the list. `address` is written as for bmemc_options_add_server();
/// `name` is what the ring hashes, whatever text it may be, and with a name the address may be empty.
/// With an empty name the ring makes one of the address, as the client that it matches does. `weight`
/// is its share of the keys, from 1 to 1000000; not every distribution has weights other than 1.
/// BMEMC_E_ARGUMENT: there is neither name nor address, the address is none, a server goes by this name
/// already, or there is no such weight; the message quotes it, and the ring stays as it was.
#[no_mangle]
pub extern "C" fn bmemc_ring_add(
    ring: Option<&mut bmemc_ring>,
    address: bmemc_bytes,
    name: bmemc_bytes,
    weight: u32,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let ring = ring.ok_or_else(|| null("ring"))?;
        let (address, name) = (address.text("address")?, name.text("name")?);
        if !address.is_empty() {
            Address::parse(address)?;
        }
        let server = RingServer { name: name.into(), address: address.into(), weight };
        ring.change([ring.servers.as_slice(), &[server]].concat())?;
        Ok(Status::Ok)
    })
}

/// Removes the server that goes by this name: the one that it was given, else its address as it was
/// written. Those after it in the list move up by one.
/// BMEMC_NOT_FOUND: there is none of this name.
#[no_mangle]
pub extern "C" fn bmemc_ring_remove(
    ring: Option<&mut bmemc_ring>,
    name: bmemc_bytes,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let ring = ring.ok_or_else(|| null("ring"))?;
        let name = name.text("name")?;
        let Some(index) = ring.servers.iter().position(|server| server.name() == name) else {
            return Ok(Status::NotFound);
        };
        let mut servers = ring.servers.clone();
        servers.remove(index);
        ring.change(servers)?;
        Ok(Status::Ok)
    })
}

/// Writes the index, in the list of servers, of the one that has the key. The first look-up after a
/// change builds the ring; the others allocate nothing.
/// BMEMC_NOT_FOUND: the ring has no server, or its callback chose one that there is not.
#[no_mangle]
pub extern "C" fn bmemc_ring_get(
    ring: Option<&bmemc_ring>,
    key: bmemc_bytes,
    server: Option<&mut MaybeUninit<u32>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let server = number(server, "server")?;
        match handle(ring, "ring")?.ring()?.get(key.slice("key")?) {
            Some(index) => *server = index as u32,
            None => return Ok(Status::NotFound),
        }
        Ok(Status::Ok)
    })
}

/// Writes up to `capacity` indices of servers to `servers`, and to `*count` how many: first the one
/// that has the key, then those that the key should try when that one is out, each server once.
/// BMEMC_NOT_FOUND: the ring has no server, or its callback chose one that there is not.
#[no_mangle]
pub extern "C" fn bmemc_ring_successors(
    ring: Option<&bmemc_ring>,
    key: bmemc_bytes,
    servers: *mut u32,
    capacity: usize,
    count: Option<&mut MaybeUninit<usize>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let count = number(count, "count")?;
        let ring = handle(ring, "ring")?.ring()?;
        let key = key.slice("key")?;
        if servers.is_null() && capacity > 0 {
            return Err(null("servers"));
        }
        if capacity > isize::MAX as usize / size_of::<u32>() {
            return Err(refused(format!("capacity is {capacity}, more than memory holds")));
        }
        let found = distinct(ring, key, capacity);
        for (at, server) in found.iter().enumerate() {
            // SAFETY: not NULL, and the caller's promise that `capacity` of them can be written; there are no more.
            unsafe { servers.add(at).write(*server) };
        }
        *count = found.len();
        Ok(if ring.get(key).is_some() { Status::Ok } else { Status::NotFound })
    })
}

/// The first so many servers of a key's order, each once.
fn distinct(ring: &Ring, key: &[u8], most: usize) -> Vec<u32> {
    let mut seen = vec![false; ring.len()];
    let fresh = ring.successors(key).filter(|server| !std::mem::replace(&mut seen[*server], true));
    fresh.take(most).map(|server| server as u32).collect()
}

/// Lists a ring's servers as bmemc_client_servers() does those of a client. On BMEMC_OK `*out` is the
/// caller's, to be freed.
#[no_mangle]
pub extern "C" fn bmemc_ring_servers(
    ring: Option<&bmemc_ring>,
    out: Option<&mut MaybeUninit<*mut bmemc_results>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        let servers = &handle(ring, "ring")?.servers;
        let mut list = Many::new(servers.len());
        for (index, server) in servers.iter().enumerate() {
            list.accept(index);
            let answer = Answer {
                key: server.name().as_bytes(),
                value: Value::Borrowed(server.address.as_bytes()),
                number: server.weight.into(),
                server: index as u32,
                ..Answer::new(Status::Ok)
            };
            list.answer(index, answer);
        }
        *out = list.into_results();
        Ok(Status::Ok)
    })
}

/// Writes the hash of a key: `name` is one that option "key_hash" accepts, but "auto". All have 32
/// bits, but xxh3 64. Any thread.
/// BMEMC_E_ARGUMENT: there is no such key hash; the message lists those that there are.
#[no_mangle]
pub extern "C" fn bmemc_key_hash(
    name: bmemc_bytes,
    key: bmemc_bytes,
    hash: Option<&mut MaybeUninit<u64>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let hash = number(hash, "hash")?;
        let name = name.text("name")?;
        let found = KeyHash::parse(name).ok_or_else(|| {
            let names: Vec<&str> = KeyHash::all().map(KeyHash::name).collect();
            Error::argument(format!("name: there is no key hash {name:?}; there are {}", names.join(", ")))
        })?;
        *hash = found.wide(key.slice("key")?);
        Ok(Status::Ok)
    })
}

/// Has `callback(key, count, context)` choose the server for each key of the clients and rings that
/// are made of these options, instead of what "distribution" says; NULL: that again. It is called on
/// the thread of the call, for the same key it must always give the same index, and it must not
/// block. The callback and its `context`, which may be NULL, must outlive these clients and rings and
/// be fit for every thread that uses them.
#[no_mangle]
pub extern "C" fn bmemc_options_on_route(
    options: Option<&mut bmemc_options>,
    callback: bmemc_route_callback,
    context: *mut c_void,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let options = options.ok_or_else(|| null("options"))?;
        options.options.ring.chooser = callback.map(|function| {
            let route = Route { function, context };
            Chooser::new(move |key, count| route.choose(key, count))
        });
        Ok(Status::Ok)
    })
}

/// A function of the caller's and what it is to be given.
struct Route {
    function: unsafe extern "C" fn(key: bmemc_bytes, count: usize, context: *mut c_void) -> usize,
    context: *mut c_void,
}

// SAFETY: bmemc_options_on_route() demands that both are fit for every thread; `context` is handed on and never followed.
unsafe impl Send for Route {}
// SAFETY: as above.
unsafe impl Sync for Route {}

impl Route {
    fn choose(&self, key: &[u8], count: usize) -> usize {
        // SAFETY: bmemc_options_on_route() demands that the function and its context live as long as who calls them; the key
        // lives during the call.
        unsafe { (self.function)(bmemc_bytes::of(key), count, self.context) }
    }
}
