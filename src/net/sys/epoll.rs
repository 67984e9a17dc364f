//! epoll, eventfd and timerfd. Every descriptor is made non-blocking and close-on-exec, and is owned.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// What the kernel reports: the interest bits that hold, and the number the descriptor was added with.
pub type RawEvent = libc::epoll_event;

/// An event to be overwritten by [`epoll_wait`].
pub const NO_EVENT: RawEvent = RawEvent { events: 0, u64: 0 };

/// A new epoll set. Waiting on it blocks as long as the caller says; O_NONBLOCK is for hosts (Go's netpoller) that take
/// a descriptor for pollable only if it is set.
pub fn epoll_create() -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointer.
    let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: the calls take no pointer, and the descriptor is ours.
    unsafe {
        let flags = checked(libc::fcntl(epoll.as_raw_fd(), libc::F_GETFL))?;
        checked(libc::fcntl(epoll.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK))?;
    }
    Ok(epoll)
}

/// Adds (`EPOLL_CTL_ADD`), changes or removes a descriptor.
pub fn epoll_ctl(epoll: BorrowedFd, operation: i32, target: BorrowedFd, events: u32, token: u64) -> io::Result<()> {
    super::tally::add(1);
    let mut event = RawEvent { events, u64: token };
    // SAFETY: both descriptors are open, for they are borrowed; `event` lives across the call, which copies it.
    let result = unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, target.as_raw_fd(), &mut event) };
    checked(result).map(drop)
}

/// Waits for events and returns how many of `events` it overwrote. `None` waits without end; a signal ends it early
/// with `Interrupted`.
pub fn epoll_wait(epoll: BorrowedFd, events: &mut [RawEvent], timeout: Option<Duration>) -> io::Result<usize> {
    let capacity = i32::try_from(events.len()).unwrap_or(i32::MAX);
    let millis = timeout.map_or(-1, round_up_to_millis);
    // SAFETY: the descriptor is open, and the kernel writes at most `capacity` events, all inside the slice.
    let result = unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), capacity, millis) };
    checked(result).map(|count| count as usize)
}

/// A new eventfd, at zero.
pub fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointer.
    owned(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })
}

/// A new timerfd on the monotonic clock, disarmed.
pub fn timerfd_create() -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointer.
    owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) })
}

/// Arms a timer to fire once after `delay`; `None` disarms it. A delay of zero fires at once.
pub fn timerfd_settime(timer: BorrowedFd, delay: Option<Duration>) -> io::Result<()> {
    // A value of zero would disarm the timer.
    let delay = delay.map_or(Duration::ZERO, |delay| delay.max(Duration::from_nanos(1)));
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let value = libc::timespec {
        tv_sec: libc::time_t::try_from(delay.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: delay.subsec_nanos() as libc::c_long,
    };
    let spec = libc::itimerspec { it_interval: never, it_value: value };
    // SAFETY: the descriptor is open, `spec` lives across the call, and no old value is asked for.
    checked(unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &spec, std::ptr::null_mut()) }).map(drop)
}

/// Never shorter than asked, or a waiter would spin through its last millisecond.
fn round_up_to_millis(timeout: Duration) -> i32 {
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    i32::try_from(millis).unwrap_or(i32::MAX)
}

fn checked(result: i32) -> io::Result<i32> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

fn owned(result: i32) -> io::Result<OwnedFd> {
    let fd = checked(result)?;
    // SAFETY: the kernel has just made this descriptor for the caller of this function, and nobody else has its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
