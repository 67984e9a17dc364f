//! Every system call of the library, each behind a function that is safe to call.

pub mod clock;
pub mod epoll;
pub mod fork;
pub mod futex;
pub mod signal;
pub mod socket;
pub mod tally;
pub mod thread;
