//! The model that the blocking driver is checked in: shuttle decides which thread runs next, and this stands in for all
//! that is outside of `pool`: memory that is written late (`memory`), a kernel with futexes, a clock and sockets, and a
//! memcached behind them (`kernel`). Compiled for tests with `--cfg bmemc_model` alone; the tests are `pool::model`.

pub(crate) mod kernel;
pub(crate) mod memory;
pub(crate) mod socket;

/// Stands in for `net::sys::clock`. It goes on by a nanosecond with each look at it, and leaps when a time-out fires.
pub(crate) mod clock {
    use super::kernel;

    pub fn now() -> u64 {
        kernel::with(|kernel| kernel.tick())
    }

    pub fn now_coarse() -> u64 {
        now()
    }
}

/// Stands in for `net::sys::futex`: a waker wakes whom the model likes, and nobody wakes up without a reason.
pub(crate) mod futex {
    use super::kernel::{self, On};
    use super::memory::{self, AtomicU32};

    pub fn wait(word: &AtomicU32, seen: u32, deadline: u64) {
        memory::settle();
        memory::point();
        kernel::sleep(On::Word(word.id()), deadline, |_| word.committed() != seen);
    }

    pub fn wake(word: &AtomicU32, count: i32) {
        memory::settle();
        memory::point();
        kernel::wake(On::Word(word.id()), usize::try_from(count).unwrap_or(0));
    }
}

/// A small number that a thread keeps.
pub(crate) fn thread_number() -> usize {
    shuttle::current::me().into()
}
