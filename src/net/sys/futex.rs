//! Sleeping on a word in memory, and waking who sleeps there.

use std::sync::atomic::AtomicU32;

/// Sleeps while `*word == seen`, until woken or until `deadline` (monotonic nanoseconds). Returns early for any reason:
/// the caller looks again.
pub fn wait(word: &AtomicU32, seen: u32, deadline: u64) {
    let time = libc::timespec {
        tv_sec: (deadline / 1_000_000_000) as libc::time_t,
        tv_nsec: (deadline % 1_000_000_000) as libc::c_long,
    };
    let op = libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: `word` outlives the call and is four aligned bytes; `time` is a valid timespec; the bitset form reads
    // an absolute monotonic time. The kernel writes to neither.
    unsafe {
        let any = libc::FUTEX_BITSET_MATCH_ANY;
        libc::syscall(libc::SYS_futex, word.as_ptr(), op, seen, &time, std::ptr::null::<u32>(), any);
    }
}

/// Wakes up to `count` sleepers.
pub fn wake(word: &AtomicU32, count: i32) {
    let op = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: only the address of `word` is used.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, count) };
}
