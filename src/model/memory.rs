//! Memory as weak as the language allows it to be where it matters to `pool`: what a thread writes to an atomic becomes
//! visible to others late, in order, and at the latest when the thread locks, unlocks or calls the kernel, or, where the
//! write is SeqCst, makes a SeqCst load. So a write that must come before a load of something else, but is not ordered
//! so, is found. (shuttle alone takes every access for SeqCst. Writes do not overtake each other here, and loads see
//! nothing old but for that: what only breaks by those is not found.)

use super::kernel;
use shuttle::rand::{thread_rng, Rng};
pub use std::sync::atomic::Ordering;
use std::sync::atomic::{self, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};

/// What a thread has written and others do not see yet.
pub(super) struct Late {
    word: Arc<atomic::AtomicU64>,
    change: Change,
    /// Written with SeqCst.
    strong: bool,
}

#[derive(Clone, Copy)]
enum Change {
    Set(u64),
    Add(u64),
}

impl Change {
    fn of(self, value: u64) -> u64 {
        match self {
            Change::Set(new) => new,
            Change::Add(more) => value.wrapping_add(more),
        }
    }
}

impl Late {
    fn commit(self) {
        self.word.store(self.change.of(self.word.load(Relaxed)), Relaxed);
    }
}

/// Another thread may run here.
pub fn point() {
    kernel::with(|kernel| kernel.pulse()).load(Ordering::SeqCst);
}

/// Makes visible all that this thread has written.
pub fn settle() {
    kernel::with(|kernel| kernel.late().drain(..).for_each(Late::commit));
}

/// The same for its SeqCst writes, and what it has written before them.
fn settle_strong() {
    kernel::with(|kernel| {
        let late = kernel.late();
        let count = late.iter().rposition(|late| late.strong).map_or(0, |last| last + 1);
        late.drain(..count).for_each(Late::commit);
    });
}

#[derive(Debug, Default)]
struct Word(Arc<atomic::AtomicU64>);

impl Word {
    fn load(&self, order: Ordering) -> u64 {
        point();
        if order == Ordering::SeqCst {
            settle_strong();
        }
        self.seen()
    }

    /// The value as this thread sees it, some of whose writes may have become visible meanwhile.
    fn seen(&self) -> u64 {
        let some = if thread_rng().gen_range(0..8) == 0 { usize::MAX } else { 0 };
        kernel::with(|kernel| {
            let late = kernel.late();
            late.drain(..late.len().min(some)).for_each(Late::commit);
            let own = late.iter().filter(|late| Arc::ptr_eq(&late.word, &self.0));
            own.fold(self.0.load(Relaxed), |value, late| late.change.of(value))
        })
    }

    /// Answers with the value before; where other threads write too, that is what it may have been.
    fn change(&self, change: Change, order: Ordering) -> u64 {
        point();
        let before = self.seen();
        kernel::with(|kernel| {
            kernel.late().push(Late { word: self.0.clone(), change, strong: order == Ordering::SeqCst })
        });
        before
    }

    fn exchange(&self, current: Option<u64>, new: u64) -> Result<u64, u64> {
        point();
        settle();
        let before = self.0.load(Relaxed);
        if current.is_some_and(|current| current != before) {
            return Err(before);
        }
        self.0.store(new, Relaxed);
        Ok(before)
    }
}

macro_rules! atomics {
    ($($name:ident $type:ty, $from:expr;)*) => {$(
        #[derive(Debug, Default)]
        pub struct $name(Word);

        #[allow(dead_code)]
        impl $name {
            pub fn new(value: $type) -> $name {
                $name(Word(Arc::new(atomic::AtomicU64::new(value as u64))))
            }

            pub fn load(&self, order: Ordering) -> $type {
                $from(self.0.load(order))
            }

            pub fn store(&self, value: $type, order: Ordering) {
                self.0.change(Change::Set(value as u64), order);
            }

            pub fn fetch_add(&self, value: $type, order: Ordering) -> $type {
                $from(self.0.change(Change::Add(value as u64), order))
            }

            pub fn fetch_sub(&self, value: $type, order: Ordering) -> $type {
                $from(self.0.change(Change::Add((value as u64).wrapping_neg()), order))
            }

            pub fn swap(&self, value: $type, _order: Ordering) -> $type {
                $from(self.0.exchange(None, value as u64).unwrap_or_else(|before| before))
            }

            pub fn compare_exchange(&self, old: $type, new: $type, _: Ordering, _: Ordering) -> Result<$type, $type> {
                self.0.exchange(Some(old as u64), new as u64).map($from).map_err($from)
            }

            /// Where it is.
            pub fn id(&self) -> usize {
                Arc::as_ptr(&self.0 .0) as usize
            }

            /// What the kernel sees.
            pub fn committed(&self) -> $type {
                $from(self.0 .0.load(Relaxed))
            }
        }
    )*};
}

atomics! {
    AtomicBool bool, |value: u64| value != 0;
    AtomicU8 u8, |value: u64| value as u8;
    AtomicU32 u32, |value: u64| value as u32;
    AtomicU64 u64, |value: u64| value;
    AtomicUsize usize, |value: u64| value as usize;
}

/// shuttle's, but that it makes visible what was written, when it is locked and unlocked.
#[derive(Debug, Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

pub struct MutexGuard<'a, T>(shuttle::sync::MutexGuard<'a, T>);

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    settle();
    MutexGuard(mutex.0.lock().unwrap_or_else(PoisonError::into_inner))
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        settle();
    }
}

impl<T> std::ops::Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> std::ops::DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
