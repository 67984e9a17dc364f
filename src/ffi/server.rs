//! Embedded server: a small memcached inside the process, for tests, examples and machines that
//! have none.

use super::bytes::bmemc_bytes;
use super::guard::{guard, handle, place, quietly};
use super::status::{bmemc_error, bmemc_status, c_string};
use crate::error::{Result, Status};
use crate::net::Address;
use crate::server::{Config, Server};
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::raw::c_char;
use std::ptr;

/// A server with a thread of its own. Any number of threads may use it at once; it may be freed on
/// any.
pub struct bmemc_server {
    address: CString,
    server: Server,
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
        let out = place(out, "out")?;
        let server = Server::start(config(listen.text("listen")?)?)?;
        *out = Box::into_raw(Box::new(bmemc_server { address: c_string(server.address()), server }));
        Ok(Status::Ok)
    })
}

/// Where a server listens, as bmemc_options_add_server() takes it; ends with a zero byte; gone once
/// the server is freed. NULL for NULL.
#[no_mangle]
pub extern "C" fn bmemc_server_address(server: Option<&bmemc_server>) -> *const c_char {
    server.map_or(ptr::null(), |server| server.address.as_ptr())
}

/// Changes something of a running server, by name; requests that arrive after this call meet it.
/// Any thread.
///   "advance_seconds"  moves the server's clock forward by so many seconds: items expire
///   "auth"             "none", "sasl" (binary alone), "ascii" (memcached's -Y, text alone) or
///                      "memcachier": who may use it
///   "cluster"          what "config get cluster" answers, as an ElastiCache endpoint: a version, a new
///                      line, and nodes host|ip|port with spaces between; empty: no such command
///   "users"            a line "name:password" for each
///   "mechanisms"       the SASL mechanisms that are offered, with spaces between
///   "idle_timeout"     seconds after which an idle connection is closed; 0: never
///   "max_connections"  the most connections at a time; more are told so, and closed
///   "version"          what the version command says
///   "fault"            what goes wrong from now on; empty: nothing
/// A fault is "[command=NAME] [skip=N] [count=N] HARM": of the commands of this name (as in text and
/// meta; binary ones go by the same names; without it: of all) it lets N be, and then hits N, or all.
/// HARM is "delay=MILLISECONDS" (the reply comes late), "close" (the connection ends instead),
/// "stall" (it never answers again), "garbage" (instead of the reply), or "error=LINE", a line to the
/// end of the value, which in binary becomes a frame of status 0x84.
/// BMEMC_E_ARGUMENT: there is no such name, or it does not accept the value; the message says what
/// it accepts. BMEMC_E_FORKED: the server is the parent's.
#[no_mangle]
pub extern "C" fn bmemc_server_set(
    server: Option<&bmemc_server>,
    name: bmemc_bytes,
    value: bmemc_bytes,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let server = handle(server, "server")?;
        server.server.set(name.text("name")?, value.secret("value")?)?;
        Ok(Status::Ok)
    })
}

/// Stops a server, closes its connections, joins its thread and frees it with all that it held.
#[no_mangle]
pub extern "C" fn bmemc_server_free(server: Option<Box<bmemc_server>>) {
    quietly((), || drop(server));
}

/// The default configuration, listening there.
fn config(listen: &str) -> Result<Config> {
    if listen.is_empty() {
        return Ok(Config::default());
    }
    let (address, any_port) = match (Address::parse(listen), listen.strip_suffix(":0")) {
        // A client's address has no port 0, a server's may.
        (Err(error), Some(host)) => (Address::parse(&format!("{host}:1")).map_err(|_| error)?, true),
        (parsed, _) => (parsed?, false),
    };
    let port = |port| if any_port { 0 } else { port };
    Ok(match address {
        Address::Ip(ip, given) => Config { listen: ip.to_string(), port: port(given), ..Config::default() },
        Address::Name(name, given) => Config { listen: name, port: port(given), ..Config::default() },
        Address::Unix(path) => Config { unix: Some(path), ..Config::default() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_strings() {
        let cases = [
            ("", "127.0.0.1", 0),
            ("127.0.0.1:0", "127.0.0.1", 0),
            ("[::1]:0", "::1", 0),
            ("localhost:0", "localhost", 0),
            ("localhost:5000", "localhost", 5000),
            ("0.0.0.0", "0.0.0.0", 11211),
            ("::0", "::", 11211),
        ];
        for (text, host, port) in cases {
            let config = config(text).unwrap();
            assert_eq!((config.listen.as_str(), config.port, config.unix), (host, port, None), "{text}");
        }
        assert_eq!(config("/run/x.sock").unwrap().unix, Some("/run/x.sock".into()));
        for bad in [":0", "host:1:0", "a b:0", "host:x", "[::1:0"] {
            let error = config(bad).unwrap_err();
            assert!(error.message().contains(&format!("{bad:?}")), "{bad}: {error}");
        }
    }
}
