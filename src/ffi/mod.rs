//! bmemc.h: a memcached client for C, and for every language that can call C.
//!
//! Chapters, from simple to expert; stop reading where you have what you need:
//!   1 status and errors    2 bytes    3 options    4 client    5 values and results    6 commands
//!   7 every operation    8 statistics, lists of keys, meta    9 servers of a client in use
//!   10 queue    11 counters and events    12 embedded server
//!   13 values that other clients can read    14 rings    15 connections    16 discovery
//!
//! What holds everywhere:
//! - Bytes in, bytes out: keys and values are a pointer and a length; no zero byte ends them.
//! - A status tells how a call went: 0 done; positive: the server said no (a miss, say); negative:
//!   it failed. A failure is never a miss.
//! - The last parameter of a call that can fail is a bmemc_error of the caller's, or NULL. It is
//!   written on failure only.
//! - `T **out` is the caller's on BMEMC_OK, to be freed with T's own ..._free(), and is set to NULL
//!   on anything else. A `const T *` that is returned is borrowed: it lives as long as what it came
//!   from. Freeing NULL does nothing.
//! - NULL for any other pointer is BMEMC_E_ARGUMENT, and the message names the parameter; where NULL
//!   is allowed, it is said. A handle must be one that the library made and that was not freed.
//! - Each type says which threads may use it. The library has no threads of its own but for name
//!   lookups and embedded servers.
//! - bmemc_op must be zeroed before it is filled in: a field that an operation does not use must be
//!   zero, so that it can get a meaning later; a reserved one that is not is BMEMC_E_ARGUMENT.
//! - Enums may grow, and reserved fields get names; nothing that is here changes its meaning.
//! - What a protocol or a kind of client does not have answers BMEMC_E_UNSUPPORTED, with what has it.

// The text above opens include/bmemc.h, and the text at the head of each file below opens its chapter there; the order
// of the `mod` lines is the order of the chapters (tests/header.rs). This layer turns C's arguments into the Rust API's
// and answers into structs; it knows nothing of memcached, and no layer knows of it. All `unsafe` of the ABI is here.

#![allow(non_camel_case_types)]

mod arena;
mod calls;
mod guard;

mod status;

mod bytes;

mod options;

mod client;

mod results;

mod commands;

mod operation;

mod admin;

mod servers;

mod queue;

mod events;

mod server;

mod values;

mod ring;

mod connections;

mod discovery;

/// What any number of threads may use or look at at once.
const fn shared<T: Send + Sync>() {}
/// What may go from thread to thread, one at a time.
const fn sent<T: Send>() {}

const _: () = {
    sent::<options::bmemc_options>();
    sent::<admin::bmemc_dump>();
    shared::<client::bmemc_client>();
    shared::<results::bmemc_value>();
    shared::<results::bmemc_results>();
    shared::<queue::bmemc_queue>();
    shared::<server::bmemc_server>();
    shared::<ring::bmemc_ring>();
};
