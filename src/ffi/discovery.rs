//! Discovery by a function of the caller's.

use super::guard::{guard, null};
use super::options::bmemc_options;
use super::status::{bmemc_error, bmemc_status};
use crate::client::{Finder, Options, Server};
use crate::error::{Error, Result, Status};
use std::mem::MaybeUninit;
use std::os::raw::c_void;

/// Says which servers there are: it adds each of them to `servers`, which are empty options, with
/// bmemc_options_add_server(), and returns 0. Anything else, or no server: it could not say, and
/// those that are known stay. `servers` is gone when it returns. It is called on a thread that is
/// inside a call with the client, or submits to or fetches from a queue; it must not block, or use
/// the client or a queue.
pub type bmemc_discover_callback =
    Option<unsafe extern "C" fn(servers: *mut bmemc_options, context: *mut c_void) -> i32>;

/// Has `callback` say which servers the clients that are made of these options have, when they are
/// first used and then every discovery_interval_ms; NULL: none. By difference: servers of the same
/// name and address keep their connections. The option discovery must be none then. The callback and
/// its `context`, which may be NULL, must outlive these clients and be fit for every thread that uses
/// them.
#[no_mangle]
pub extern "C" fn bmemc_options_on_discover(
    options: Option<&mut bmemc_options>,
    callback: bmemc_discover_callback,
    context: *mut c_void,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let options = options.ok_or_else(|| null("options"))?;
        options.options.finder = callback.map(|function| {
            let callback = Callback { function, context };
            Finder::new(move || callback.call())
        });
        Ok(Status::Ok)
    })
}

/// A function of the caller's and what it is to be given.
struct Callback {
    function: unsafe extern "C" fn(servers: *mut bmemc_options, context: *mut c_void) -> i32,
    context: *mut c_void,
}

// SAFETY: bmemc_options_on_discover() demands that both are fit for every thread; `context` is handed on and never followed.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

impl Callback {
    fn call(&self) -> Result<Vec<Server>> {
        let mut servers = bmemc_options { options: Options::new() };
        // SAFETY: bmemc_options_on_discover() demands that the function and its context live as long as the client; the
        // options live during the call.
        match unsafe { (self.function)(&mut servers, self.context) } {
            0 => Ok(servers.options.servers),
            other => Err(Error::new(Status::Connection, format!("it failed ({other})"))),
        }
    }
}
