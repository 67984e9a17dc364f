//! Every system call of the library, each behind a function that is safe to call.

pub mod clock;
pub mod futex;
pub mod socket;
pub mod thread;
