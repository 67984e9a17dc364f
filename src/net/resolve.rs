//! Name lookup within a deadline. The system's resolver can be neither cancelled nor given a deadline, so it runs on a
//! short-lived thread; callers of one name share a lookup, and few run at once. Literal addresses never come here.

use super::poller::Waker;
use super::sys::fork::PerProcess;
use crate::error::{bits, Error, Result, Status};
use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Lookups under way at once; more are refused rather than piled up behind a resolver that does not answer.
const MAX_LOOKUPS: usize = 16;

type Found = std::result::Result<Vec<SocketAddr>, String>;

/// What all who wait for the same name share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Default)]
struct State {
    found: Option<Found>,
    wakers: Vec<Arc<Waker>>,
}

/// Lookups by name and port.
type Lookups = HashMap<(String, u16), Arc<Shared>>;

static UNDER_WAY: PerProcess<Mutex<Lookups>> = PerProcess::new();

fn under_way() -> MutexGuard<'static, Lookups> {
    lock(UNDER_WAY.get(|_| Mutex::default()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A lookup under way. Dropping it abandons it.
pub struct Lookup {
    name: String,
    shared: Arc<Shared>,
}

impl Lookup {
    /// Starts to look `name` up, or joins who does; `waker` is told when that is done.
    pub fn begin(name: &str, port: u16, waker: Option<&Arc<Waker>>) -> Result<Lookup> {
        let shared = join_or_start(name, port).map_err(|why| failed(name, &why))?;
        if let Some(waker) = waker {
            lock(&shared.state).wakers.push(waker.clone());
        }
        Ok(Lookup { name: name.to_string(), shared })
    }

    /// Every address, in the order of the system's resolver; `None` while it is under way.
    pub fn found(&self) -> Option<Result<Vec<SocketAddr>>> {
        let state = lock(&self.shared.state);
        state.found.as_ref().map(|found| found.clone().map_err(|why| failed(&self.name, &why)))
    }

    /// Blocks until it is done, or for so long.
    pub fn wait(&self, time: Duration) {
        let state = lock(&self.shared.state);
        drop(self.shared.done.wait_timeout_while(state, time, |state| state.found.is_none()));
    }

    /// The failure of who could not wait any longer.
    pub fn timed_out(&self) -> Error {
        Error::new(Status::Timeout, format!("looking up {:?} timed out", self.name)).with_bits(bits::NOT_SENT)
    }
}

fn failed(name: &str, why: &str) -> Error {
    Error::new(Status::Dns, format!("looking up {name:?}: {why}")).with_bits(bits::NOT_SENT)
}

fn join_or_start(name: &str, port: u16) -> std::result::Result<Arc<Shared>, String> {
    let mut under_way = under_way();
    let key = (name.to_string(), port);
    if let Some(shared) = under_way.get(&key) {
        return Ok(shared.clone());
    }
    if under_way.len() >= MAX_LOOKUPS {
        return Err(format!("{MAX_LOOKUPS} other lookups are under way"));
    }
    let shared = Arc::new(Shared::default());
    under_way.insert(key.clone(), shared.clone());
    let work = {
        let shared = shared.clone();
        move || {
            let found = resolve(&key.0, key.1);
            finish(&shared, &key, found);
        }
    };
    if let Err(error) = super::sys::thread::spawn_without_signals("bmemc-lookup", work) {
        under_way.remove(&(name.to_string(), port));
        return Err(format!("no thread for the lookup: {error}"));
    }
    Ok(shared)
}

/// Asks the system's resolver.
fn resolve(name: &str, port: u16) -> Found {
    #[cfg(test)]
    if let Some(found) = zone::find(name, port) {
        return Ok(found);
    }
    (name, port).to_socket_addrs().map(Iterator::collect).map_err(|error| error.to_string())
}

/// Names that a test of this crate gives addresses to, instead of the system's resolver.
#[cfg(test)]
pub(crate) mod zone {
    use super::*;
    use std::net::IpAddr;

    static ZONE: Mutex<Option<HashMap<String, Vec<IpAddr>>>> = Mutex::new(None);

    /// From now on these are the addresses of this name.
    pub fn put(name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        lock(&ZONE).get_or_insert_default().insert(name.into(), addresses);
    }

    pub(super) fn find(name: &str, port: u16) -> Option<Vec<SocketAddr>> {
        let zone = lock(&ZONE);
        Some(zone.as_ref()?.get(name)?.iter().map(|ip| SocketAddr::new(*ip, port)).collect())
    }
}

fn finish(shared: &Shared, key: &(String, u16), found: Found) {
    // Nobody joins it from here on, so every waker is told.
    under_way().remove(key);
    let mut state = lock(&shared.state);
    state.found = Some(found);
    let wakers = std::mem::take(&mut state.wakers);
    drop(state);
    shared.done.notify_all();
    wakers.iter().for_each(|waker| waker.wake());
}

#[cfg(test)]
mod tests {
    use super::super::poller::{Events, Interest, Poller};
    use super::*;

    fn lookup(name: &str) -> Result<Vec<SocketAddr>> {
        let lookup = Lookup::begin(name, 1, None).unwrap();
        lookup.wait(Duration::from_secs(10));
        lookup.found().expect("it is done within ten seconds")
    }

    #[test]
    fn localhost_has_an_address_and_nonsense_has_none() {
        assert!(lookup("localhost").unwrap().iter().all(|address| address.ip().is_loopback()));
        let error = lookup("nowhere.invalid").unwrap_err();
        assert_eq!(error.status(), Status::Dns);
        assert!(error.message().contains("nowhere.invalid"), "{error}");
    }

    #[test]
    fn a_waker_is_told() {
        let (poller, waker) = (Poller::new().unwrap(), Arc::new(Waker::new().unwrap()));
        poller.add(&*waker, 1, Interest::READ.and(Interest::EDGE)).unwrap();
        let lookup = Lookup::begin("localhost", 2, Some(&waker)).unwrap();
        let mut events = Events::with_capacity(1);
        assert_eq!(poller.wait(&mut events, Some(Duration::from_secs(10))).unwrap(), 1);
        assert!(lookup.found().unwrap().is_ok());
    }
}
