//! A lock that is held for a few instructions at a time. It is the standard library's without poison: who panics with it
//! in hand lets it go, and nobody asks, each time that it is taken and let go, whether a thread panics.

use super::futex;
use std::cell::UnsafeCell;
use std::hint;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Somebody may sleep until it is free.
const AWAITED: u32 = 2;

/// Who finds it held looks so often before sleeping.
const LOOKS: u32 = 100;

/// See the module.
#[derive(Default)]
pub struct Lock<T> {
    word: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by the one thread that holds the lock, which may be any.
unsafe impl<T: Send> Send for Lock<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// Takes the lock, which the guard lets go.
    #[inline(always)]
    pub fn lock(&self) -> Guard<'_, T> {
        if self.word.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.wait();
        }
        Guard { lock: self }
    }

    /// Takes a lock that was held a moment ago.
    #[cold]
    fn wait(&self) {
        for _ in 0..LOOKS {
            let seen = self.word.load(Ordering::Relaxed);
            if seen == FREE && self.word.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return;
            }
            if seen == AWAITED {
                break;
            }
            hint::spin_loop();
        }
        while self.word.swap(AWAITED, Ordering::Acquire) != FREE {
            futex::wait(&self.word, AWAITED, u64::MAX);
        }
    }

    #[cold]
    fn wake(&self) {
        futex::wake(&self.word, 1);
    }
}

impl<T> std::fmt::Debug for Lock<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Lock")
    }
}

/// A lock that is held.
pub struct Guard<'a, T> {
    lock: &'a Lock<T>,
}

// SAFETY: two threads with references to one guard have references to the value, as with any other owner of it. (It is
// Send where a reference to the lock is, since any thread may let the lock go.)
unsafe impl<T: Sync> Sync for Guard<'_, T> {}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: this guard holds the lock, and there is no other.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.lock.word.swap(FREE, Ordering::Release) == AWAITED {
            self.lock.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_it() {
        let lock = Lock::<(u64, u64)>::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for turn in 0..50_000 {
                        let mut pair = lock.lock();
                        assert_eq!(pair.0, pair.1);
                        pair.0 += 1;
                        if turn % 1000 == 0 {
                            // The others fall asleep.
                            std::thread::sleep(std::time::Duration::from_micros(200));
                        }
                        pair.1 += 1;
                    }
                });
            }
        });
        assert_eq!(*lock.lock(), (200_000, 200_000));
    }

    #[test]
    fn who_panics_lets_it_go() {
        let lock = Lock::<u32>::default();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut held = lock.lock();
            *held = 7;
            panic!("with the lock in hand");
        }));
        assert!(panicked.is_err());
        assert_eq!(*lock.lock(), 7);
    }
}
