//! How many system calls a thread has made for connections that are not open yet, and for the seldom needed rest. Sending
//! and receiving are not in it: who sends and receives counts that, at less cost.

use std::cell::Cell;

thread_local!(static MADE: Cell<u64> = const { Cell::new(0) });

/// So many more were made.
pub fn add(count: u64) {
    MADE.with(|made| made.set(made.get() + count));
}

/// How many this thread has made in all.
pub fn made() -> u64 {
    MADE.with(Cell::get)
}
