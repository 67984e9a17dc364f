//! Name lookup within a deadline. The system's resolver can be neither cancelled nor given a deadline, so it runs on a
//! short-lived thread; callers of one name share a lookup, and few run at once. Literal addresses never come here.

use super::Deadline;
use crate::error::{bits, Error, Result, Status};
use once_cell::sync::Lazy;
use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Lookups under way at once; more are refused rather than piled up behind a resolver that does not answer.
const MAX_LOOKUPS: usize = 16;

type Found = std::result::Result<Vec<SocketAddr>, String>;

/// One lookup, shared by all who wait for the same name.
#[derive(Default)]
struct Lookup {
    found: Mutex<Option<Found>>,
    done: Condvar,
}

/// Lookups by name and port.
type Lookups = HashMap<(String, u16), Arc<Lookup>>;

static UNDER_WAY: Lazy<Mutex<Lookups>> = Lazy::new(Mutex::default);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every address of `name`, in the order of the system's resolver.
pub fn lookup(name: &str, port: u16, deadline: Deadline) -> Result<Vec<SocketAddr>> {
    let failed = |why: &str| Error::new(Status::Dns, format!("looking up {name:?}: {why}")).with_bits(bits::NOT_SENT);
    let lookup = join_or_start(name, port).map_err(|why| failed(&why))?;
    let mut found = lock(&lookup.found);
    loop {
        if let Some(found) = &*found {
            return found.clone().map_err(|why| failed(&why));
        }
        let left = deadline.left();
        if left.is_zero() {
            let words = format!("looking up {name:?} timed out");
            return Err(Error::new(Status::Timeout, words).with_bits(bits::NOT_SENT));
        }
        found = lookup.done.wait_timeout(found, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn join_or_start(name: &str, port: u16) -> std::result::Result<Arc<Lookup>, String> {
    let mut under_way = lock(&UNDER_WAY);
    let key = (name.to_string(), port);
    if let Some(lookup) = under_way.get(&key) {
        return Ok(lookup.clone());
    }
    if under_way.len() >= MAX_LOOKUPS {
        return Err(format!("{MAX_LOOKUPS} other lookups are under way"));
    }
    let lookup = Arc::new(Lookup::default());
    under_way.insert(key.clone(), lookup.clone());
    let shared = lookup.clone();
    let work = move || {
        let found = (key.0.as_str(), key.1).to_socket_addrs();
        *lock(&shared.found) = Some(found.map(Iterator::collect).map_err(|error| error.to_string()));
        lock(&UNDER_WAY).remove(&key);
        shared.done.notify_all();
    };
    if let Err(error) = super::sys::thread::spawn_without_signals("bmemc-lookup", work) {
        under_way.remove(&(name.to_string(), port));
        return Err(format!("no thread for the lookup: {error}"));
    }
    Ok(lookup)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn localhost_has_an_address_and_nonsense_has_none() {
        let soon = Deadline::after(Duration::from_secs(10));
        assert!(lookup("localhost", 1, soon).unwrap().iter().all(|address| address.ip().is_loopback()));
        let error = lookup("nowhere.invalid", 1, soon).unwrap_err();
        assert_eq!(error.status(), Status::Dns);
        assert!(error.message().contains("nowhere.invalid"), "{error}");
    }
}
