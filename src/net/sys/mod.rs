//! Every system call of the library, each behind a function that is safe to call.

#[cfg(not(all(test, bmemc_model)))]
pub mod clock;
pub mod epoll;
pub mod fork;
#[cfg(not(all(test, bmemc_model)))]
pub mod futex;
#[cfg(not(all(test, bmemc_model)))]
pub mod lock;
pub mod random;
pub mod signal;
#[cfg(not(all(test, bmemc_model)))]
pub mod socket;
pub mod tally;
pub mod thread;

#[cfg(all(test, bmemc_model))]
pub(crate) use crate::model::{clock, futex, socket};
