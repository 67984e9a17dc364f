//! Words: what the callers of a line sleep on, and how they are woken: a word for each batch, by its number, and one for those
//! who wait to write. It counts the system calls that this takes.

use super::hands::Hands;
use super::link::WORDS;
use crate::net::{futex, Deadline};
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// See the module.
pub(super) struct Words {
    /// What callers sleep on, by the number of their batch.
    batches: [AtomicU32; WORDS],
    /// How many wait on each, and how many of them sleep or are about to, so that the kernel has to wake them.
    live: [AtomicU32; WORDS],
    asleep: [AtomicU32; WORDS],
    /// Changes when a writer is done, and how many wait for that.
    write_word: AtomicU32,
    writers: AtomicU32,
    /// Somebody was woken to read and has not begun to.
    reader_wanted: AtomicBool,
    /// System calls of callers that sleep, let others run, or wake them.
    calls: AtomicU64,
}

impl Words {
    /// Words that nobody waits on.
    pub fn new() -> Words {
        let words = || std::array::from_fn(|_| AtomicU32::new(0));
        Words {
            batches: words(),
            live: words(),
            asleep: words(),
            write_word: AtomicU32::new(0),
            writers: AtomicU32::new(0),
            reader_wanted: AtomicBool::new(false),
            calls: AtomicU64::new(0),
        }
    }

    /// System calls that were made so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// One more, that somebody else makes.
    pub fn count_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Sleeps until `word` is no longer what was seen, or the deadline.
    pub fn wait(&self, word: &AtomicU32, seen: u32, deadline: u64) {
        self.count_call();
        futex::wait(word, seen, deadline);
    }

    /// Wakes so many of those who sleep on a word.
    pub fn wake(&self, word: &AtomicU32, count: i32) {
        self.count_call();
        futex::wake(word, count);
    }

    /// Says that a caller is about to sleep for batch `sequence`.
    pub fn enlist(&self, sequence: u64) {
        self.live[index(sequence)].fetch_add(1, Ordering::Relaxed);
    }

    /// Takes that back; whether somebody may have been woken to read who has not begun to.
    pub fn delist(&self, sequence: u64) -> bool {
        self.live[index(sequence)].fetch_sub(1, Ordering::SeqCst);
        self.reader_wanted.load(Ordering::SeqCst)
    }

    /// Says that somebody must take the right to read: this caller, or, when it delists, another.
    pub fn want_reader(&self) {
        self.reader_wanted.store(true, Ordering::SeqCst);
    }

    /// Says that the right to read was taken.
    pub fn reader_found(&self) {
        self.reader_wanted.store(false, Ordering::Relaxed);
    }

    /// The word of batch `sequence`, as it is now.
    pub fn word(&self, sequence: u64) -> u32 {
        self.batches[index(sequence)].load(Ordering::Acquire)
    }

    /// Sleeps until something happens to batch `sequence`, or the deadline.
    pub fn sleep(&self, sequence: u64, seen: u32, deadline: Deadline) {
        let at = index(sequence);
        self.asleep[at].fetch_add(1, Ordering::SeqCst);
        // Either this caller sees the news, or who brings it sees this caller.
        if self.batches[at].load(Ordering::SeqCst) == seen {
            self.wait(&self.batches[at], seen, deadline.nanoseconds());
        }
        self.asleep[at].fetch_sub(1, Ordering::Relaxed);
    }

    /// Batch `sequence`, which is open, is left to those whose operations are in it: who has let others run sends it when it
    /// comes back, and of those who sleep one is woken for that.
    pub fn nudge(&self, sequence: u64) {
        let at = index(sequence);
        if self.change(at) {
            self.want_reader();
            self.wake(&self.batches[at], 1);
        }
    }

    /// Brings news to those who wait on a word; of those who sleep, `count` are woken.
    fn ring(&self, at: usize, count: i32) {
        if self.change(at) {
            self.wake(&self.batches[at], count);
        }
    }

    /// Changes a word; whether somebody sleeps on it.
    fn change(&self, at: usize) -> bool {
        self.batches[at].fetch_add(1, Ordering::SeqCst);
        self.asleep[at].load(Ordering::SeqCst) > 0
    }

    /// Wakes everybody who waits for a batch that `hands` has finished.
    pub fn wake_finished(&self, hands: &mut Hands<'_>) {
        for sequence in hands.finished.drain(..) {
            self.ring(index(sequence), i32::MAX);
        }
    }

    /// Wakes one caller that waits for batch `from` or a later one: the right to read is free.
    pub fn wake_reader(&self, from: u64) {
        self.want_reader();
        let first = index(from);
        let order = (first..WORDS).chain(0..first);
        if let Some(at) = order.into_iter().find(|at| self.live[*at].load(Ordering::SeqCst) > 0) {
            self.ring(at, 1);
        }
    }

    /// Sleeps until the writer is done; `seen` is from [`Words::write_word`], read under the lock.
    pub fn wait_for_writer(&self, seen: u32, deadline: Deadline) {
        self.wait(&self.write_word, seen, deadline.nanoseconds());
    }

    /// Says that one more caller waits to write.
    pub fn enlist_writer(&self) {
        self.writers.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether anybody waits to write.
    pub fn has_writers(&self) -> bool {
        self.writers.load(Ordering::Relaxed) > 0
    }

    /// Takes that back.
    pub fn delist_writer(&self) {
        self.writers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Changes when a writer is done.
    pub fn write_word(&self) -> u32 {
        self.write_word.load(Ordering::Acquire)
    }

    /// The writer is done: lets one that waits go on.
    pub fn wake_writer(&self) {
        if self.has_writers() {
            self.write_word.fetch_add(1, Ordering::Release);
            self.wake(&self.write_word, i32::MAX);
        }
    }
}

fn index(sequence: u64) -> usize {
    (sequence % WORDS as u64) as usize
}

#[cfg(all(test, bmemc_model))]
impl Words {
    /// Fails if anybody waits.
    pub fn check_rest(&self) {
        let live: Vec<u32> = self.live.iter().map(|live| live.load(Ordering::SeqCst)).collect();
        assert!(live.iter().all(|live| *live == 0), "callers that sleep: {live:?}");
        assert_eq!(self.writers.load(Ordering::SeqCst), 0, "callers that wait to write");
    }
}
