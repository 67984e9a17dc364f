//! Signals of a program that ends when it is told to: they are blocked, and waited for.

use std::io;
use std::mem::MaybeUninit;

/// The calling thread receives no signal any more, nor do threads that it starts later.
pub fn block_all() {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set that it is given; pthread_sigmask only reads it, and changes the mask of the
    // calling thread alone. Neither can fail with these arguments.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// Waits until SIGINT or SIGTERM arrives, and returns its number. Every thread of the process must have both blocked.
pub fn wait_for_termination() -> io::Result<i32> {
    let mut set = MaybeUninit::uninit();
    let mut signal = 0;
    // SAFETY: sigemptyset initialises the set before the others use it, and `signal` lives across the call.
    let error = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        libc::sigwait(set.as_ptr(), &mut signal)
    };
    match error {
        0 => Ok(signal),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
