//! Sockets: addresses, name lookup, connecting, and every system call the library makes. All of it is safe to call;
//! `sys` holds the `unsafe`. Nothing here knows of memcached.

mod address;

pub use address::{Address, DEFAULT_PORT};
