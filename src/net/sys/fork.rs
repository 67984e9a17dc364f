//! Knowing, without a system call, that this process is the child of a fork(): the kernel wipes one page there. And what
//! to do about it: a fork copies locks that other threads held, and data that they were changing, so a child must not
//! touch what it inherited; [`OfProcess`] and [`PerProcess`] keep it away.

use once_cell::race::OnceBox;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};

/// The number of this process, in a page that is zero after a fork; null until it is first asked for.
static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());
/// Where the number is on a kernel that cannot wipe (before 4.14); a handler of libc's does it then.
static WIPED_BY_HANDLER: AtomicU64 = AtomicU64::new(0);
/// The last number that was given out, in this process or one that it descends from.
static LAST: AtomicU64 = AtomicU64::new(0);

/// A number that this process shares with no process that it descends from; never zero.
#[inline]
pub fn generation() -> u64 {
    let page = PAGE.load(Ordering::Acquire);
    if !page.is_null() {
        // SAFETY: once set, it points to an aligned AtomicU64 in memory that is never given back.
        let number = unsafe { &*page }.load(Ordering::Relaxed);
        if number != 0 {
            return number;
        }
    }
    first_generation()
}

/// The number of a process that has none yet.
#[cold]
fn first_generation() -> u64 {
    let page = page();
    let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    match page.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => number,
        Err(other) => other,
    }
}

/// The page. Nothing here takes a lock, since another thread may fork meanwhile.
fn page() -> &'static AtomicU64 {
    let mut page = PAGE.load(Ordering::Acquire);
    if page.is_null() {
        let (fresh, len) = (wiped_page(), size_of::<AtomicU64>());
        match PAGE.compare_exchange(ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => page = fresh,
            Err(other) => {
                page = other;
                if !ptr::eq(fresh, &WIPED_BY_HANDLER) {
                    // SAFETY: it was mapped just now, and nobody else has seen it.
                    unsafe { libc::munmap(fresh.cast(), len) };
                }
            }
        }
    }
    // SAFETY: as in `generation`.
    unsafe { &*page }
}

fn wiped_page() -> *mut AtomicU64 {
    let len = size_of::<AtomicU64>();
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new memory, of zeroes and aligned to a page, which nobody else knows; the advice is about it alone.
    unsafe {
        let page = libc::mmap(ptr::null_mut(), len, access, kind, -1, 0);
        if page != libc::MAP_FAILED {
            if libc::madvise(page, len, libc::MADV_WIPEONFORK) == 0 {
                return page.cast();
            }
            libc::munmap(page, len);
        }
        libc::pthread_atfork(None, None, Some(wipe));
    }
    ptr::from_ref(&WIPED_BY_HANDLER).cast_mut()
}

extern "C" fn wipe() {
    WIPED_BY_HANDLER.store(0, Ordering::Relaxed);
}

/// Something that belongs to the process that made it: its children cannot reach it, and do not drop it.
pub struct OfProcess<T> {
    generation: u64,
    value: ManuallyDrop<T>,
}

impl<T> OfProcess<T> {
    pub fn new(value: T) -> OfProcess<T> {
        OfProcess { generation: generation(), value: ManuallyDrop::new(value) }
    }

    /// It, unless a fork has come between.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        (self.generation == generation()).then_some(&*self.value)
    }

    /// Gives it away, unless a fork has come between.
    pub fn into_inner(self) -> Option<T> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is neither used nor dropped after that.
        (this.generation == generation()).then(|| unsafe { ManuallyDrop::take(&mut this.value) })
    }
}

impl<T> Drop for OfProcess<T> {
    fn drop(&mut self) {
        if self.generation == generation() {
            // SAFETY: it is dropped here and nowhere else.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

/// Something that each process has for itself: a child makes its own when it first asks, and leaves the parent's alone.
pub struct PerProcess<T> {
    first: OnceBox<Node<T>>,
}

struct Node<T> {
    value: OfProcess<T>,
    next: OnceBox<Node<T>>,
}

impl<T> PerProcess<T> {
    pub const fn new() -> PerProcess<T> {
        PerProcess { first: OnceBox::new() }
    }

    /// This process's own. If there is none, `make` makes it, perhaps on several threads, of which one wins; it is given
    /// the parent's, of which it may use nothing that was behind a lock.
    #[inline]
    pub fn get(&self, make: impl Fn(Option<&T>) -> T) -> &T {
        match self.first.get().and_then(|node| node.value.get()) {
            Some(value) => value,
            None => self.find(&make),
        }
    }

    #[cold]
    fn find(&self, make: &impl Fn(Option<&T>) -> T) -> &T {
        let node = |before: Option<&T>| Box::new(Node { value: OfProcess::new(make(before)), next: OnceBox::new() });
        let mut at = self.first.get_or_init(|| node(None));
        loop {
            if let Some(value) = at.value.get() {
                return value;
            }
            at = at.next.get_or_init(|| node(Some(&at.value.value)));
        }
    }
}

/// The number of an open descriptor, where a child finds it without a lock.
pub struct Inheritable(AtomicI32);

const NONE: i32 = -1;

impl Inheritable {
    pub const fn new() -> Inheritable {
        Inheritable(AtomicI32::new(NONE))
    }

    /// The descriptor is open from now on.
    pub fn set(&self, descriptor: BorrowedFd<'_>) {
        self.0.store(descriptor.as_raw_fd(), Ordering::Release);
    }

    /// It is about to be closed.
    pub fn clear(&self) {
        self.0.store(NONE, Ordering::SeqCst);
    }

    /// In a child: closes its copy, once; the connection itself is the parent's and stays as it is.
    pub fn close_copy(&self) {
        let descriptor = self.0.swap(NONE, Ordering::AcqRel);
        if descriptor != NONE {
            // SAFETY: the parent had it open when it forked, as it is cleared before it is closed; its owner is memory
            // that the child never touches again, so nobody closes it twice.
            unsafe { libc::close(descriptor) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::sync::Mutex;

    /// Runs `work` in a child and answers with its exit status; 101 for a panic.
    fn in_child(work: impl FnOnce() -> i32) -> i32 {
        // SAFETY: the child runs `work`, which takes no lock that another thread of the tests may hold, and ends without
        // running handlers of the parent's.
        unsafe {
            match libc::fork() {
                0 => {
                    let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                    libc::_exit(status.unwrap_or(101))
                }
                child => {
                    let mut status = 0;
                    assert_eq!(libc::waitpid(child, &mut status, 0), child);
                    libc::WEXITSTATUS(status)
                }
            }
        }
    }

    #[test]
    fn every_process_has_a_number_of_its_own() {
        let parent = generation();
        assert_eq!(parent, generation());
        let both = in_child(|| {
            let child = generation();
            let grandchild = in_child(|| generation() as i32);
            i32::from(child == parent || grandchild as u64 == child || grandchild as u64 == parent)
        });
        assert_eq!(both, 0);
        assert_eq!(generation(), parent);
    }

    #[test]
    fn a_child_makes_its_own_and_leaves_a_held_lock_alone() {
        let each = PerProcess::new();
        let make = |before: Option<&Mutex<u32>>| Mutex::new(if before.is_some() { 2 } else { 1 });
        let owned = OfProcess::new(Mutex::new(1));
        let (held, also_held) = (each.get(make).lock().unwrap(), owned.get().map(|mutex| mutex.lock().unwrap()));
        let seen = in_child(|| {
            let mine = *each.get(make).lock().unwrap();
            mine as i32 + if owned.get().is_some() { 10 } else { 0 }
        });
        assert_eq!((seen, *held, also_held.is_some()), (2, 1, true));
    }

    #[test]
    fn a_child_does_not_drop_what_is_its_parents() {
        struct Flag<'a>(&'a AtomicBool);
        impl Drop for Flag<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let dropped = AtomicBool::new(false);
        let owned = OfProcess::new(Flag(&dropped));
        let in_child = in_child(|| {
            // SAFETY: the child ends before the parent's copy of `owned` would be dropped in it.
            drop(unsafe { ptr::read(&owned) });
            i32::from(dropped.load(Ordering::Relaxed))
        });
        assert_eq!(in_child, 0);
        drop(owned);
        assert!(dropped.load(Ordering::Relaxed));
    }
}
