//! Sockets: addresses, name lookup, connecting, and every system call the library makes. All of it is safe to call;
//! `sys` holds the `unsafe`. Nothing here knows of memcached.

mod address;
mod connecting;
mod deadline;
mod hook;
pub mod poller;
mod resolve;
mod socket;
mod tls;
// The one place below ffi that talks to the kernel.
#[allow(unsafe_code)]
pub(crate) mod sys;

pub use address::{Address, DEFAULT_PORT};
pub use connecting::Connecting;
pub use deadline::Deadline;
pub use hook::{ConnectHook, ConnectStage};
#[cfg(test)]
pub(crate) use resolve::zone;
pub use resolve::Lookup;
pub(crate) use socket::LOOK;
pub use socket::{Keepalive, Ready, Socket, SocketSettings, Wait};
#[cfg(not(all(test, bmemc_model)))]
pub(crate) use sys::lock;
pub use sys::signal;
pub(crate) use sys::socket::poll_any;
pub(crate) use sys::{clock, fork, futex, random, tally};
pub(crate) use tls::{certificates, private_key, status_of};
pub use tls::{Identity, Tls, Trust};
