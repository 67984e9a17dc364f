//! Connections: what a client has open, how its servers are, a callback that sees every new socket, and checks of
//! addresses and keys as the client itself makes them.

use super::bytes::bmemc_bytes;
use super::client::bmemc_client;
use super::guard::{guard, handle, null};
use super::options::bmemc_options;
use super::status::{bmemc_error, bmemc_status};
use crate::client::{Condition, Health, PoolFigures};
use crate::error::Status;
use crate::net::{Address, ConnectHook, ConnectStage};
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::raw::{c_char, c_void};

/// What the connections of a client do just now, those of its queues too.
#[repr(C)]
#[derive(Default)]
pub struct bmemc_pool {
    /// Connections with a call, or with replies to come.
    pub used: u64,
    /// Connections that are open and idle.
    pub free: u64,
    /// All that are open: both.
    pub open: u64,
    /// Calls that are under way, each on its caller's thread; option max_waiting bounds them.
    pub waiting: u64,
    /// Zero.
    pub reserved: [u64; 4],
}

impl From<PoolFigures> for bmemc_pool {
    fn from(from: PoolFigures) -> bmemc_pool {
        let PoolFigures { used, free, waiting } = from;
        bmemc_pool { used, free, open: from.open(), waiting, reserved: [0; 4] }
    }
}

/// Writes what the connections to server `server` (as in `bmemc_item.server`) do, or with -1 those
/// to all servers. Any thread. bmemc_disconnect_all() closes them, a queue's at its next fetch.
/// BMEMC_E_ARGUMENT: the client has no such server.
#[no_mangle]
pub extern "C" fn bmemc_client_pool(
    client: Option<&bmemc_client>,
    server: i32,
    out: Option<&mut MaybeUninit<bmemc_pool>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = out.ok_or_else(|| null("out"))?;
        out.write(bmemc_pool::default());
        let server = match server {
            -1 => None,
            _ => Some(usize::try_from(server).unwrap_or(usize::MAX)),
        };
        out.write(handle(client, "client")?.client.pool_figures(server)?.into());
        Ok(Status::Ok)
    })
}

/// How a server is. More may come.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(dead_code, reason = "names for C of numbers")]
pub enum bmemc_health_state {
    /// It has answered since it last failed; or nothing was asked of it yet.
    BMEMC_HEALTH_UP = 0,
    /// It has failed since it last answered. Calls go to it.
    BMEMC_HEALTH_SUSPECT = 1,
    /// Calls to it fail at once until a probe is answered: the breaker is open, or failover=pymemcache
    /// retries it. With eject=true its keys go to others.
    BMEMC_HEALTH_OUT = 2,
    /// The same with failover=pymemcache, once `retry_attempts` probes have failed: its keys go to others.
    BMEMC_HEALTH_DEAD = 3,
}

/// What a client knows of a server's health.
#[repr(C)]
pub struct bmemc_health {
    /// A bmemc_health_state.
    pub state: i32,
    /// Connections that could not be made, were lost or were given up, and probes that failed, since
    /// the server last answered.
    pub failures: u32,
    /// For how many milliseconds it has been up, has been failing, or has been out; from out to dead it
    /// goes on.
    pub since_ms: u64,
    /// Out or dead: in how many milliseconds the next probe is due; 0: the next call begins it, or it
    /// is under way. Else 0.
    pub probe_in_ms: u64,
    /// Zero.
    pub reserved: [u64; 5],
    /// The last failure, also of a server that is up again; its status is BMEMC_OK if there was none.
    pub why: bmemc_error,
}

impl From<Health> for bmemc_health {
    fn from(from: Health) -> bmemc_health {
        let Health { condition, failures, since_ms, probe_in_ms, why } = from;
        let state = match condition {
            Condition::Up => bmemc_health_state::BMEMC_HEALTH_UP,
            Condition::Suspect => bmemc_health_state::BMEMC_HEALTH_SUSPECT,
            Condition::Out => bmemc_health_state::BMEMC_HEALTH_OUT,
            Condition::Dead => bmemc_health_state::BMEMC_HEALTH_DEAD,
        };
        let why = why.map_or(bmemc_error::NONE, |why| bmemc_error { bits: 0, ..bmemc_error::from(&why) });
        bmemc_health { state: state as i32, failures, since_ms, probe_in_ms, reserved: [0; 5], why }
    }
}

/// Writes how server `server` (as in `bmemc_item.server`) is, as far as this client's calls and queues
/// have shown: nothing is sent, and a server that nobody calls is not probed. Any thread.
/// bmemc_disconnect_all() makes all servers BMEMC_HEALTH_UP.
/// BMEMC_E_ARGUMENT: the client has no such server.
#[no_mangle]
pub extern "C" fn bmemc_client_health(
    client: Option<&bmemc_client>,
    server: u32,
    out: Option<&mut MaybeUninit<bmemc_health>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = out.ok_or_else(|| null("out"))?;
        out.write(bmemc_health {
            state: 0,
            failures: 0,
            since_ms: 0,
            probe_in_ms: 0,
            reserved: [0; 5],
            why: bmemc_error::NONE,
        });
        out.write(handle(client, "client")?.client.health(server as usize)?.into());
        Ok(Status::Ok)
    })
}

/// When a connect callback is called.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(dead_code, reason = "names for C of numbers")]
pub enum bmemc_connect_stage {
    /// The socket is there, and connects next.
    BMEMC_CONNECT_OPENED = 1,
    /// It is connected, and nothing was said yet.
    BMEMC_CONNECT_CONNECTED = 2,
}

/// Called with each new socket, twice: `stage` is a bmemc_connect_stage, and `address` is where it
/// connects to, "1.2.3.4:11211", "[::1]:11211" or "/path", borrowed. Anything but 0 refuses the socket:
/// it is closed, and where no other address of the server's name is left, calls fail with
/// BMEMC_E_CONNECTION. It is called on a thread that is inside a call with the client, or submits to
/// or fetches from a queue. It must not block, keep or close the socket, or use the client or a queue.
pub type bmemc_connect_callback =
    Option<unsafe extern "C" fn(fd: i32, stage: i32, address: bmemc_bytes, context: *mut c_void) -> i32>;

/// Has `callback` called with the new sockets of the clients that are made of these options; NULL:
/// none. The callback and its `context`, which may be NULL, must outlive these clients and be fit for
/// every thread that uses them.
#[no_mangle]
pub extern "C" fn bmemc_options_on_connect(
    options: Option<&mut bmemc_options>,
    callback: bmemc_connect_callback,
    context: *mut c_void,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let options = options.ok_or_else(|| null("options"))?;
        options.options.on_connect = callback.map_or_else(ConnectHook::default, |function| {
            let callback = Callback { function, context };
            ConnectHook::new(move |fd, stage, address| callback.call(fd, stage, address))
        });
        Ok(Status::Ok)
    })
}

/// A function of the caller's and what it is to be given.
struct Callback {
    function: unsafe extern "C" fn(fd: i32, stage: i32, address: bmemc_bytes, context: *mut c_void) -> i32,
    context: *mut c_void,
}

// SAFETY: bmemc_options_on_connect() demands that both are fit for every thread; `context` is handed on and never followed.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

impl Callback {
    fn call(&self, fd: BorrowedFd<'_>, stage: ConnectStage, address: &Address) -> i32 {
        let address = address.to_string();
        let address = bmemc_bytes::of(address.as_bytes());
        // SAFETY: bmemc_options_on_connect() demands that the function and its context live as long as the client; the
        // address lives during the call.
        unsafe { (self.function)(fd.as_raw_fd(), stage as i32, address, self.context) }
    }
}

/// Kinds of addresses.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(dead_code, reason = "names for C of numbers")]
pub enum bmemc_address_kind {
    /// A name that has to be looked up.
    BMEMC_ADDRESS_NAME = 0,
    BMEMC_ADDRESS_IPV4 = 1,
    BMEMC_ADDRESS_IPV6 = 2,
    /// The path of a Unix socket.
    BMEMC_ADDRESS_UNIX = 3,
}

/// A server string taken apart.
#[repr(C)]
pub struct bmemc_address {
    /// A bmemc_address_kind.
    pub kind: i32,
    /// The port, 11211 where none is given; 0 for a Unix socket.
    pub port: u32,
    /// The name in lower case, the address without brackets, or the path; ends with a zero byte.
    pub host: [c_char; 256],
}

/// Takes a server string apart, as bmemc_options_add_server() does; nothing is looked up.
/// BMEMC_E_ARGUMENT: it is none; the message quotes it and says what is accepted.
#[no_mangle]
pub extern "C" fn bmemc_address_parse(
    text: bmemc_bytes,
    out: Option<&mut MaybeUninit<bmemc_address>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = out.ok_or_else(|| null("out"))?;
        out.write(bmemc_address { kind: 0, port: 0, host: [0; 256] });
        let (kind, port, host) = match Address::parse(text.text("text")?)? {
            Address::Name(name, port) => (bmemc_address_kind::BMEMC_ADDRESS_NAME, port, name),
            Address::Ip(ip @ IpAddr::V4(_), port) => (bmemc_address_kind::BMEMC_ADDRESS_IPV4, port, ip.to_string()),
            Address::Ip(ip, port) => (bmemc_address_kind::BMEMC_ADDRESS_IPV6, port, ip.to_string()),
            Address::Unix(path) => (bmemc_address_kind::BMEMC_ADDRESS_UNIX, 0, path.display().to_string()),
        };
        let mut address = bmemc_address { kind: kind as i32, port: port.into(), host: [0; 256] };
        // A name has up to 253 bytes and a path up to 107: the last byte stays zero.
        for (to, from) in address.host[..255].iter_mut().zip(host.bytes()) {
            *to = from as c_char;
        }
        out.write(address);
        Ok(Status::Ok)
    })
}

/// Whether a key can be used with a client: BMEMC_OK, or BMEMC_E_ARGUMENT with the words that a call
/// with it would fail with, its key_prefix with it. Nothing is sent. With protocol=auto: to a server
/// that knows meta, or, with SASL's credentials, binary.
#[no_mangle]
pub extern "C" fn bmemc_check_key(
    client: Option<&bmemc_client>,
    key: bmemc_bytes,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        handle(client, "client")?.client.check_key(key.slice("key")?)?;
        Ok(Status::Ok)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_those_of_the_core() {
        assert_eq!(ConnectStage::Opened as i32, bmemc_connect_stage::BMEMC_CONNECT_OPENED as i32);
        assert_eq!(ConnectStage::Connected as i32, bmemc_connect_stage::BMEMC_CONNECT_CONNECTED as i32);
    }
}
