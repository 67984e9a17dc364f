//! Locks, atomics and what else threads share, as `pool` uses them: the standard library's, or, where the pool is being
//! model-checked, the model's, which decides who runs next.

#[cfg(not(all(test, bmemc_model)))]
mod real {
    pub(crate) use crate::net::lock::{Guard as MutexGuard, Lock as Mutex};
    pub(crate) use std::sync::atomic;
    pub(crate) use std::thread::yield_now;
    pub(crate) use std::thread_local;

    /// Takes a lock.
    #[inline(always)]
    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock()
    }

    use atomic::{AtomicUsize, Ordering};

    /// A small number that a thread keeps.
    pub(crate) fn thread_number() -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed));
        NUMBER.try_with(|number| *number).unwrap_or(0)
    }
}

#[cfg(not(all(test, bmemc_model)))]
pub(crate) use real::{atomic, lock, thread_local, thread_number, yield_now, Mutex, MutexGuard};

#[cfg(all(test, bmemc_model))]
pub(crate) use crate::model::{
    memory as atomic,
    memory::{lock, Mutex, MutexGuard},
    thread_number,
};
#[cfg(all(test, bmemc_model))]
pub(crate) use shuttle::{thread::yield_now, thread_local};
