//! Stream sockets: the calls behind `net::Socket`. No signal is ever raised (MSG_NOSIGNAL), EINTR is tried again.

use super::tally;
use std::io::{self, IoSlice};
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// Turns the -1 of a system call into the error behind it.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// Repeats a call that a signal interrupted.
#[inline(always)]
fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        let result = call();
        if result >= 0 {
            return Ok(result as usize);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// What is done to a new socket before it connects; if that fails, so does the connection.
pub type Prepare<'a> = &'a dyn Fn(&OwnedFd) -> io::Result<()>;

/// A new non-blocking stream socket.
fn open(family: libc::c_int, prepare: Prepare<'_>) -> io::Result<OwnedFd> {
    tally::add(1);
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers; a descriptor that is returned is ours alone.
    let fd = unsafe { OwnedFd::from_raw_fd(check(libc::socket(family, kind, 0))?) };
    // A failure closes it.
    prepare(&fd).inspect_err(|_| tally::add(1))?;
    Ok(fd)
}

/// Starts a connect; `WouldBlock` is no error here: it goes on in the background.
fn start_connect<T>(fd: OwnedFd, address: &T, len: usize) -> io::Result<OwnedFd> {
    tally::add(1);
    let pointer = (address as *const T).cast::<libc::sockaddr>();
    // SAFETY: `address` is a socket address of one of the two forms below, at least `len` bytes of it.
    let result = check(unsafe { libc::connect(fd.as_raw_fd(), pointer, len as libc::socklen_t) });
    match result {
        Ok(_) => Ok(fd),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(fd),
        Err(error) => {
            // The close of the socket, here and not there.
            tally::add(1);
            Err(error)
        }
    }
}

/// A non-blocking TCP socket that is connecting to `address`.
pub fn connect_ip(address: &SocketAddr, prepare: Prepare<'_>) -> io::Result<OwnedFd> {
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: all zeroes is a valid sockaddr_in.
            let mut raw: libc::sockaddr_in = unsafe { mem::zeroed() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            start_connect(open(libc::AF_INET, prepare)?, &raw, mem::size_of_val(&raw))
        }
        SocketAddr::V6(v6) => {
            // SAFETY: all zeroes is a valid sockaddr_in6.
            let mut raw: libc::sockaddr_in6 = unsafe { mem::zeroed() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = v6.port().to_be();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            raw.sin6_scope_id = v6.scope_id();
            start_connect(open(libc::AF_INET6, prepare)?, &raw, mem::size_of_val(&raw))
        }
    }
}

/// A non-blocking Unix socket that is connecting to `path`. `WouldBlock` says that the server's backlog is full.
pub fn connect_unix(path: &Path, prepare: Prepare<'_>) -> io::Result<OwnedFd> {
    // SAFETY: all zeroes is a valid sockaddr_un.
    let mut raw: libc::sockaddr_un = unsafe { mem::zeroed() };
    raw.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() >= raw.sun_path.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (to, from) in raw.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    start_connect(open(libc::AF_UNIX, prepare)?, &raw, mem::size_of_val(&raw))
}

fn set_option<T>(fd: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    tally::add(1);
    let pointer = (value as *const T).cast::<libc::c_void>();
    // SAFETY: `value` is `size_of::<T>()` bytes that the kernel only reads.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, pointer, mem::size_of::<T>() as u32) };
    check(result).map(drop)
}

/// TCP_NODELAY.
pub fn set_no_delay(fd: &OwnedFd) -> io::Result<()> {
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &(1 as libc::c_int))
}

/// SO_KEEPALIVE: after so many seconds of silence the kernel asks, again after each interval, and gives the connection up
/// after so many questions without an answer.
pub fn set_keepalive(fd: &OwnedFd, idle: u32, interval: u32, count: u32) -> io::Result<()> {
    let number = |value: u32| libc::c_int::try_from(value).unwrap_or(libc::c_int::MAX);
    set_option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &(1 as libc::c_int))?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, &number(idle))?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, &number(interval))?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, &number(count))
}

/// How long a blocking receive waits at most; it then fails with `WouldBlock`.
pub fn set_receive_timeout(fd: &OwnedFd, timeout: Duration) -> io::Result<()> {
    let time = libc::timeval {
        tv_sec: timeout.as_secs().min(i32::MAX as u64) as libc::time_t,
        tv_usec: timeout.subsec_micros() as libc::suseconds_t,
    };
    set_option(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &time)
}

/// Makes the socket blocking.
pub fn set_blocking(fd: &OwnedFd) -> io::Result<()> {
    tally::add(2);
    // SAFETY: no pointers.
    unsafe {
        let flags = check(libc::fcntl(fd.as_raw_fd(), libc::F_GETFL))?;
        check(libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK)).map(drop)
    }
}

/// The error that a connect in the background ended with.
pub fn take_error(fd: &OwnedFd) -> io::Result<()> {
    tally::add(1);
    let mut error: libc::c_int = 0;
    let mut len = mem::size_of::<libc::c_int>() as libc::socklen_t;
    let pointer = (&mut error as *mut libc::c_int).cast::<libc::c_void>();
    // SAFETY: `error` is `len` bytes that the kernel may write.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ERROR, pointer, &mut len) })?;
    match error {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// The least round trip of a TCP connection in the last minutes, in nanoseconds.
pub fn round_trip(fd: &OwnedFd) -> io::Result<u64> {
    tally::add(1);
    // tcp_info in 32-bit words. libc's ends before tcpi_min_rtt, which kernels have since 4.6; tcpi_rtt is the smoothed one.
    const RTT: usize = 17;
    const MIN_RTT: usize = 37;
    let mut info = [0u32; 64];
    let mut len = mem::size_of_val(&info) as libc::socklen_t;
    let pointer = info.as_mut_ptr().cast::<libc::c_void>();
    // SAFETY: `info` is `len` bytes that the kernel may write.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, pointer, &mut len) })?;
    let microseconds = if len as usize / 4 > MIN_RTT { info[MIN_RTT] } else { info[RTT] };
    Ok(u64::from(microseconds) * 1000)
}

/// Ends both directions: whoever is blocked on the socket wakes up.
pub fn shutdown(fd: &OwnedFd) {
    // SAFETY: no pointers; a failure says that it is down already.
    unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_RDWR) };
}

/// Sends what the kernel takes without waiting.
#[inline]
pub fn send(fd: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: `bytes` is only read, and only during the call.
    retry(|| unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) })
}

/// Sends what the kernel takes of several pieces, without waiting.
pub fn send_vectored(fd: &OwnedFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: all zeroes is a valid msghdr.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    // IoSlice has the layout of iovec; sendmsg writes to neither the array nor the pieces.
    message.msg_iov = pieces.as_ptr().cast_mut().cast();
    message.msg_iovlen = pieces.len();
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the pieces outlive the call.
    retry(|| unsafe { libc::sendmsg(fd.as_raw_fd(), &message, flags) })
}

/// How a receive waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Not at all: `WouldBlock`.
    No,
    /// For the first byte, up to the receive timeout.
    Some,
    /// The same, but a signal ends it too: `Interrupted`.
    Once,
    /// For all that there is room for, up to the receive timeout.
    All,
}

impl Wait {
    fn flags(self) -> libc::c_int {
        match self {
            Wait::No => libc::MSG_DONTWAIT,
            Wait::Some | Wait::Once => 0,
            Wait::All => libc::MSG_WAITALL,
        }
    }
}

/// Receives into `buffer`. Zero: the peer has closed. (Inlined whoever calls: where `wait` is known, little of it is left.)
#[inline(always)]
pub fn receive(fd: &OwnedFd, buffer: &mut [u8], wait: Wait) -> io::Result<usize> {
    let mut receive = || {
        // SAFETY: `buffer` is ours to write during the call.
        unsafe { libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), wait.flags()) }
    };
    match wait {
        Wait::Once => usize::try_from(receive()).map_err(|_| io::Error::last_os_error()),
        _ => retry(receive),
    }
}

/// Receives into `first` and, once it is full, into `second`.
pub fn receive_both(fd: &OwnedFd, first: &mut [u8], second: &mut [u8], wait: Wait) -> io::Result<usize> {
    let mut pieces = [
        libc::iovec { iov_base: first.as_mut_ptr().cast(), iov_len: first.len() },
        libc::iovec { iov_base: second.as_mut_ptr().cast(), iov_len: second.len() },
    ];
    // SAFETY: all zeroes is a valid msghdr.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = pieces.as_mut_ptr();
    message.msg_iovlen = pieces.len();
    // SAFETY: both pieces are ours to write during the call.
    retry(|| unsafe { libc::recvmsg(fd.as_raw_fd(), &mut message, wait.flags()) })
}

/// Whether nothing waits to be read and the peer has not closed.
pub fn is_quiet(fd: &OwnedFd) -> bool {
    let mut byte = 0u8;
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: one byte of ours to write.
    let result = retry(|| unsafe { libc::recv(fd.as_raw_fd(), (&mut byte as *mut u8).cast(), 1, flags) });
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// What a socket is waited for, and what it is ready for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ready {
    pub read: bool,
    pub write: bool,
}

/// Waits until the socket is ready for some of `wanted`; none of it: the time is over. An error or a hang-up counts as
/// ready for all.
pub fn poll(fd: &OwnedFd, wanted: Ready, timeout: Duration) -> io::Result<Ready> {
    let mut entry = [entry(fd.as_fd(), wanted)];
    poll_entries(&mut entry, timeout)?;
    let [libc::pollfd { revents, .. }] = entry;
    let broken = revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0;
    Ok(Ready { read: revents & libc::POLLIN != 0 || broken, write: revents & libc::POLLOUT != 0 || broken })
}

/// Waits until any of the sockets is ready for some of what is wanted of it, or for `timeout`.
pub fn poll_any(sockets: &[(BorrowedFd<'_>, Ready)], timeout: Duration) -> io::Result<()> {
    let mut entries: Vec<_> = sockets.iter().map(|(fd, wanted)| entry(*fd, *wanted)).collect();
    poll_entries(&mut entries, timeout)
}

fn entry(fd: BorrowedFd<'_>, wanted: Ready) -> libc::pollfd {
    let read = if wanted.read { libc::POLLIN } else { 0 };
    let write = if wanted.write { libc::POLLOUT } else { 0 };
    libc::pollfd { fd: fd.as_raw_fd(), events: read | write, revents: 0 }
}

fn poll_entries(entries: &mut [libc::pollfd], timeout: Duration) -> io::Result<()> {
    tally::add(1);
    let time = libc::timespec {
        tv_sec: timeout.as_secs().min(i32::MAX as u64) as libc::time_t,
        tv_nsec: timeout.subsec_nanos() as libc::c_long,
    };
    // SAFETY: so many pollfds and one timespec of ours, which live until the call ends; no signal mask.
    let result =
        check(unsafe { libc::ppoll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, &time, std::ptr::null()) });
    match result {
        // Nothing is ready then, as far as is known: who waits looks again.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            entries.iter_mut().for_each(|entry| entry.revents = 0);
            Ok(())
        }
        result => result.map(drop),
    }
}
