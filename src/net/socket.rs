//! One connected stream socket.

use super::connecting::Connecting;
use super::sys::socket as sys;
use super::tls::{Session, Tls};
use super::{Address, ConnectHook, ConnectStage, Deadline};
use crate::error::{bits, Error, Result, Status};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

pub use sys::{Ready, Wait};

/// How often who waits for a connection looks whether it is still wanted.
pub const LOOK: Duration = Duration::from_millis(20);

/// A connected stream socket, closed when dropped.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    session: Option<Box<Session>>,
}

/// How the kernel looks after a silent TCP connection: after `idle` seconds it asks, again after each `interval` seconds,
/// and gives up after `count` questions without an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    pub idle: u32,
    pub interval: u32,
    pub count: u32,
}

/// How a socket is to be.
#[derive(Clone, Debug)]
pub struct SocketSettings {
    pub no_delay: bool,
    pub keepalive: Option<Keepalive>,
    pub on_connect: ConnectHook,
    /// `None`: plain.
    pub tls: Option<Tls>,
    /// How long a blocking receive waits at most.
    pub receive_timeout: Duration,
}

impl Socket {
    /// Connects, trying every address that a name has, until `deadline`, or until `go_on`, which is asked now and then,
    /// fails.
    pub fn connect(
        address: &Address,
        settings: &SocketSettings,
        deadline: Deadline,
        go_on: impl Fn() -> Result<()>,
    ) -> Result<Socket> {
        let mut connecting = Connecting::begin(address, settings, deadline, None)?;
        loop {
            if let Some(socket) = connecting.advance()? {
                return Ok(socket);
            }
            go_on()?;
            let failed = |error| Error::os(Status::Connection, format!("connecting to {address}"), &error);
            connecting.wait(LOOK).map_err(|error| failed(error).with_bits(bits::NOT_SENT))?;
        }
    }

    /// Before a socket connects.
    pub(super) fn prepare(fd: &OwnedFd, settings: &SocketSettings, to: &Address) -> io::Result<()> {
        if let (Some(Keepalive { idle, interval, count }), false) = (settings.keepalive, is_unix(to)) {
            sys::set_keepalive(fd, idle, interval, count)?;
        }
        settings.on_connect.call(fd.as_fd(), ConnectStage::Opened, to)
    }

    /// A socket that has just been connected to `to`, which is one of `host`'s addresses.
    pub(super) fn set_up(fd: OwnedFd, settings: &SocketSettings, to: &Address, host: &Address) -> io::Result<Socket> {
        settings.on_connect.call(fd.as_fd(), ConnectStage::Connected, to)?;
        if settings.no_delay && !is_unix(to) {
            sys::set_no_delay(&fd)?;
        }
        sys::set_blocking(&fd)?;
        sys::set_receive_timeout(&fd, settings.receive_timeout)?;
        let session = settings.tls.as_ref().map(|tls| tls.begin(host)).transpose()?;
        Ok(Socket { fd, session: session.map(Box::new) })
    }

    /// Goes on with TLS's handshake as far as it can without waiting; answers whether the socket is ready for use.
    pub(super) fn handshake(&self) -> io::Result<bool> {
        self.session.as_ref().map_or(Ok(true), |session| session.handshake(&self.fd))
    }

    /// What TLS's handshake waits for.
    pub(super) fn handshake_awaits(&self) -> Ready {
        self.session.as_ref().map_or_else(Ready::default, |session| session.awaits())
    }

    /// Whether what is received is what the peer has sent: there is no TLS.
    pub fn is_plain(&self) -> bool {
        self.session.is_none()
    }

    /// Sends what the kernel takes without waiting.
    #[inline(always)]
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.session {
            None => sys::send(&self.fd, bytes),
            Some(session) => session.send(&self.fd, &[IoSlice::new(bytes)]),
        }
    }

    /// Sends what the kernel takes of several pieces, without waiting.
    pub fn send_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.session {
            None => sys::send_vectored(&self.fd, pieces),
            Some(session) => session.send(&self.fd, pieces),
        }
    }

    /// Receives into `buffer`. Zero: the peer has closed.
    #[inline(always)]
    pub fn receive_one(&self, buffer: &mut [u8], wait: Wait) -> io::Result<usize> {
        match &self.session {
            None => sys::receive(&self.fd, buffer, wait),
            Some(session) => session.receive(&self.fd, buffer, &mut [], wait),
        }
    }

    /// Receives into `first` and, once it is full, into `second`. Zero: the peer has closed.
    pub fn receive(&self, first: &mut [u8], second: &mut [u8], wait: Wait) -> io::Result<usize> {
        if second.is_empty() {
            return self.receive_one(first, wait);
        }
        match &self.session {
            None => sys::receive_both(&self.fd, first, second, wait),
            Some(session) => session.receive(&self.fd, first, second, wait),
        }
    }

    /// Waits until the socket is ready for some of `wanted`, or for `timeout`.
    pub fn poll(&self, wanted: Ready, timeout: Duration) -> io::Result<Ready> {
        match &self.session {
            None => sys::poll(&self.fd, wanted, timeout),
            Some(session) => session.poll(&self.fd, wanted, timeout),
        }
    }

    /// Changes how long a blocking receive waits at most.
    pub fn set_receive_timeout(&self, timeout: Duration) -> io::Result<()> {
        sys::set_receive_timeout(&self.fd, timeout)
    }

    /// How long a round trip takes at least, in nanoseconds, as the kernel has measured it; zero where it does not measure.
    pub fn round_trip(&self) -> u64 {
        sys::round_trip(&self.fd).unwrap_or(0)
    }

    /// Whether nothing waits to be read and the peer has not closed.
    pub fn is_quiet(&self) -> bool {
        match &self.session {
            None => sys::is_quiet(&self.fd),
            Some(session) => session.is_quiet(&self.fd),
        }
    }

    /// Ends both directions: whoever is blocked on the socket wakes up.
    pub fn shutdown(&self) {
        sys::shutdown(&self.fd);
    }
}

fn is_unix(address: &Address) -> bool {
    matches!(address, Address::Unix(_))
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
