//! A memcached client: clients, a pool, hash rings and one I/O engine, behind this Rust API and behind the C ABI of
//! `include/bmemc.h`. The caller's own thread does the I/O; a failure is never a miss; no call outlives its deadline.
//!
//! Start with [`Options`] and [`Client`].

#![deny(unsafe_code)]

mod answers;
mod client;
mod connection;
mod error;
#[cfg(all(test, bmemc_model))]
mod model;
pub mod net;
mod operation;
mod pool;
mod protocol;
pub mod ring;
mod route;
mod secret;
pub mod server;
mod sync;
pub mod value;

// ffi and net::sys alone talk to C and to the kernel.
#[allow(unsafe_code)]
mod ffi;

pub use answers::{Answers, Item};
pub use client::{
    statistics, Client, Condition, Counters, DiscoveryKind, Dump, DumpEntry, Event, EventKind, FailoverKind, Fetched,
    Finder, Health, KeyBytes, Kind, Listener, Options, PoolFigures, Profile, ProtocolChoice, Queue, Server, Spec,
    TABLE,
};
pub use error::{bits, Error, Result, Status};
pub use operation::{op_flags, Answer, Command, Operation, Room, Sink, Value};
pub use secret::Secret;

/// The version of this library, as "1.2.3".
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
