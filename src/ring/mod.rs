//! Key hashes and rings: which of several servers a key belongs to. A ring knows names and keys, not servers; it does no
//! I/O and a lookup allocates nothing.

mod murmur3;
mod rendezvous;

pub use murmur3::{murmur3_32, Murmur3};
pub use rendezvous::Rendezvous;
