//! A thread that takes no signal of its host's.

use std::{io, mem, ptr, thread};

/// Starts a thread with every signal blocked, so that the host's handlers never run on it.
pub fn spawn_without_signals(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<thread::JoinHandle<()>> {
    // SAFETY: all zeroes is storage for a sigset_t; sigfillset makes it a valid one.
    let mut all: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: as above.
    let mut before: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: both sets are ours. The mask of this thread is changed for the time of the spawn alone: a new thread
    // inherits the mask of the one that makes it.
    unsafe {
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
    }
    let spawned = thread::Builder::new().name(name.into()).spawn(work);
    // SAFETY: `before` is what the call above wrote.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut()) };
    spawned
}
