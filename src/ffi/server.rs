//! Embedded server: a small memcached inside the process, for tests, examples and machines that
//! have none.

use super::bytes::bmemc_bytes;
use super::guard::{guard, not_yet, place, quietly};
use super::status::{bmemc_error, bmemc_status};
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::raw::c_char;
use std::ptr;

/// A server with a thread of its own. Any number of threads may look at its address; it may be
/// freed on any.
pub struct bmemc_server {
    address: CString,
}

/// Starts a server. `listen`: empty for the loopback address and a port of the system's choosing,
/// else "host:port" (port 0: of the system's choosing) or "/path" of a Unix socket. On BMEMC_OK it
/// accepts connections, and `*out` is the caller's, to be freed.
/// BMEMC_E_ARGUMENT: `listen` is none of these. BMEMC_E_CONNECTION: it cannot listen there;
/// `os_error` says why.
#[no_mangle]
pub extern "C" fn bmemc_server_start(
    listen: bmemc_bytes,
    out: Option<&mut MaybeUninit<*mut bmemc_server>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        place(out, "out")?;
        listen.text("listen")?;
        Err(not_yet("bmemc_server_start"))
    })
}

/// Where a server listens, as bmemc_options_add_server() takes it; ends with a zero byte; gone once
/// the server is freed. NULL for NULL.
#[no_mangle]
pub extern "C" fn bmemc_server_address(server: Option<&bmemc_server>) -> *const c_char {
    server.map_or(ptr::null(), |server| server.address.as_ptr())
}

/// Stops a server, closes its connections, joins its thread and frees it with all that it held.
#[no_mangle]
pub extern "C" fn bmemc_server_free(server: Option<Box<bmemc_server>>) {
    quietly((), || drop(server));
}
