//! Waiting for many descriptors at once: `Poller` (epoll), `Waker` (eventfd) and `Timer` (timerfd). It knows descriptors
//! and numbers; what they stand for is the caller's business.

use super::sys::epoll::{self, RawEvent};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// What to wait for on a descriptor. Errors and hang-ups are always reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interest(u32);

impl Interest {
    /// Errors and hang-ups alone.
    pub const NONE: Interest = Interest(0);
    /// There is something to read, or the peer has stopped sending.
    pub const READ: Interest = Interest((libc::EPOLLIN | libc::EPOLLRDHUP) as u32);
    /// There is room to write.
    pub const WRITE: Interest = Interest(libc::EPOLLOUT as u32);
    /// Report a change once, instead of a state again and again.
    pub const EDGE: Interest = Interest(libc::EPOLLET as u32);

    /// Both.
    pub const fn and(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

/// Something happened to a descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// The number that the descriptor was added with.
    pub token: u64,
    bits: u32,
}

impl Event {
    /// Reading will not block; it may return data, the end, or an error.
    pub fn readable(&self) -> bool {
        self.has(libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// Writing will not block; it may fail.
    pub fn writable(&self) -> bool {
        self.has(libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// The peer sends no more, or the connection is broken: read until the end says which.
    pub fn closed(&self) -> bool {
        self.has(libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR)
    }

    fn has(&self, bits: i32) -> bool {
        self.bits & bits as u32 != 0
    }
}

/// Room for the events of one wait.
pub struct Events {
    raw: Vec<RawEvent>,
    count: usize,
}

impl Events {
    /// Room for up to `capacity` events a wait; at least one.
    pub fn with_capacity(capacity: usize) -> Events {
        Events { raw: vec![epoll::NO_EVENT; capacity.max(1)], count: 0 }
    }

    /// The events of the last wait.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.raw.iter().take(self.count).map(|raw| Event { token: raw.u64, bits: raw.events })
    }
}

/// A set of descriptors that can be waited for together. Closing a descriptor removes it.
pub struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    /// An empty set.
    pub fn new() -> io::Result<Poller> {
        Ok(Poller { epoll: epoll::epoll_create()? })
    }

    /// Waits for `interest` on a descriptor from now on; its events carry `token`.
    pub fn add(&self, target: &impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        epoll::epoll_ctl(self.epoll.as_fd(), libc::EPOLL_CTL_ADD, target.as_fd(), interest.0, token)
    }

    /// Changes what is waited for.
    pub fn modify(&self, target: &impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        epoll::epoll_ctl(self.epoll.as_fd(), libc::EPOLL_CTL_MOD, target.as_fd(), interest.0, token)
    }

    /// Waits for this descriptor no more.
    pub fn remove(&self, target: &impl AsFd) -> io::Result<()> {
        epoll::epoll_ctl(self.epoll.as_fd(), libc::EPOLL_CTL_DEL, target.as_fd(), 0, 0)
    }

    /// Waits until something happens or `timeout` (rounded up to a millisecond; `None`: no end) has passed, and returns
    /// how many events there are. A signal ends the wait early, with none.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        events.count = 0;
        events.count = match epoll::epoll_wait(self.epoll.as_fd(), &mut events.raw, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            result => result?,
        };
        Ok(events.count)
    }
}

impl AsFd for Poller {
    /// The set itself can be waited for: it is readable when an event is ready.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Wakes a poller from another thread. Add it with `READ.and(EDGE)`: each wake is then a new event and nothing has to be
/// read.
pub struct Waker {
    eventfd: File,
}

impl Waker {
    /// A waker that has woken nobody yet.
    pub fn new() -> io::Result<Waker> {
        Ok(Waker { eventfd: File::from(epoll::eventfd()?) })
    }

    /// Wakes the poller: now, or as soon as it waits.
    pub fn wake(&self) {
        // It fails only when the counter is full, and the poller has more than enough to see then.
        let _ = (&self.eventfd).write(&1u64.to_ne_bytes());
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}

/// Fires once after a delay. Add it with `READ.and(EDGE)`: arming it again makes a new event, and nothing has to be read.
pub struct Timer {
    timerfd: OwnedFd,
}

impl Timer {
    /// A timer that is not armed.
    pub fn new() -> io::Result<Timer> {
        Ok(Timer { timerfd: epoll::timerfd_create()? })
    }

    /// Fires once after `delay` from now, instead of whenever it would have.
    pub fn arm(&self, delay: Duration) -> io::Result<()> {
        epoll::timerfd_settime(self.timerfd.as_fd(), Some(delay))
    }

    /// Does not fire.
    pub fn disarm(&self) -> io::Result<()> {
        epoll::timerfd_settime(self.timerfd.as_fd(), None)
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timerfd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    const EDGE_READ: Interest = Interest::READ.and(Interest::EDGE);
    const NOW: Option<Duration> = Some(Duration::ZERO);

    fn wait(poller: &Poller, timeout: Option<Duration>) -> Vec<Event> {
        let mut events = Events::with_capacity(8);
        poller.wait(&mut events, timeout).unwrap();
        events.iter().collect()
    }

    #[test]
    fn sockets_report_what_was_asked() {
        let poller = Poller::new().unwrap();
        let (near, mut far) = UnixStream::pair().unwrap();
        poller.add(&near, 7, Interest::READ).unwrap();
        assert!(wait(&poller, NOW).is_empty());
        far.write_all(b"x").unwrap();
        let events = wait(&poller, NOW);
        assert_eq!((events.len(), events[0].token), (1, 7));
        assert!(events[0].readable() && !events[0].writable() && !events[0].closed());
        assert_eq!(wait(&poller, NOW).len(), 1, "a level is reported again");

        poller.modify(&near, 8, Interest::WRITE).unwrap();
        let events = wait(&poller, NOW);
        assert!(events[0].token == 8 && events[0].writable() && !events[0].readable());
        drop(far);
        assert!(wait(&poller, NOW)[0].closed());
        poller.remove(&near).unwrap();
        assert!(wait(&poller, NOW).is_empty());
    }

    #[test]
    fn an_edge_is_reported_once_and_the_set_itself_can_be_waited_for() {
        let (inner, outer) = (Poller::new().unwrap(), Poller::new().unwrap());
        let waker = Waker::new().unwrap();
        inner.add(&waker, 1, EDGE_READ).unwrap();
        outer.add(&inner, 2, Interest::READ).unwrap();
        for _ in 0..3 {
            waker.wake();
            assert_eq!(wait(&outer, NOW).len(), 1);
            assert_eq!(wait(&inner, NOW).len(), 1);
            assert!(wait(&inner, NOW).is_empty());
        }
    }

    #[test]
    fn a_waker_ends_a_wait_of_another_thread() {
        let poller = Poller::new().unwrap();
        let waker = Waker::new().unwrap();
        poller.add(&waker, 1, EDGE_READ).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| waker.wake());
            assert_eq!(wait(&poller, None).len(), 1);
        });
    }

    #[test]
    fn a_timer_fires_once_and_not_early() {
        let poller = Poller::new().unwrap();
        let timer = Timer::new().unwrap();
        poller.add(&timer, 3, EDGE_READ).unwrap();
        for _ in 0..2 {
            let start = Instant::now();
            timer.arm(Duration::from_millis(20)).unwrap();
            assert_eq!(wait(&poller, None)[0].token, 3);
            assert!(start.elapsed() >= Duration::from_millis(20));
            assert!(wait(&poller, NOW).is_empty());
        }
        timer.arm(Duration::ZERO).unwrap();
        assert_eq!(wait(&poller, Some(Duration::from_secs(5))).len(), 1);
        timer.arm(Duration::from_millis(5)).unwrap();
        timer.disarm().unwrap();
        assert!(wait(&poller, Some(Duration::from_millis(30))).is_empty());
    }
}
