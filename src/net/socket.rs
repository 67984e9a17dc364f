//! One connected stream socket, and how it is connected: every address of a name in turn, within a deadline.

use super::sys::{clock, socket as sys};
use super::{resolve, Address, Deadline};
use crate::error::{bits, Error, Result, Status};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

pub use sys::{Ready, Wait};

/// The least time that an address gets before the next one of the same name is tried.
const ADDRESS_MIN: Duration = Duration::from_millis(20);

/// A connected stream socket, closed when dropped.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
}

/// How a socket is to be.
#[derive(Clone, Copy, Debug)]
pub struct SocketSettings {
    pub no_delay: bool,
    /// How long a blocking receive waits at most.
    pub receive_timeout: Duration,
}

impl Socket {
    /// Connects, trying every address that a name has, until `deadline`.
    pub fn connect(address: &Address, settings: &SocketSettings, deadline: Deadline) -> Result<Socket> {
        let failed = |error: Error| error.with_bits(bits::NOT_SENT);
        match address {
            Address::Unix(path) => loop {
                match sys::connect_unix(path) {
                    Ok(fd) => return Socket::finish(fd, address, settings, deadline).map_err(failed),
                    // The backlog is full; connect() on a Unix socket cannot be waited for.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if deadline.is_over() {
                            return Err(failed(timed_out(address)));
                        }
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Err(error) => return Err(failed(refused(address, &error))),
                }
            },
            Address::Ip(ip, port) => connect_any(&[SocketAddr::new(*ip, *port)], address, settings, deadline),
            Address::Name(name, port) => {
                let addresses = resolve::lookup(name, *port, deadline)?;
                connect_any(&addresses, address, settings, deadline)
            }
        }
    }

    fn finish(fd: OwnedFd, address: &Address, settings: &SocketSettings, deadline: Deadline) -> Result<Socket> {
        loop {
            let left = deadline.left();
            let ready = sys::poll(&fd, Ready { read: false, write: true }, left).map_err(|e| refused(address, &e))?;
            if ready.write {
                break;
            }
            if left.is_zero() {
                return Err(timed_out(address));
            }
        }
        sys::take_error(&fd).map_err(|error| refused(address, &error))?;
        let tune = || {
            if settings.no_delay && !matches!(address, Address::Unix(_)) {
                sys::set_no_delay(&fd)?;
            }
            sys::set_blocking(&fd)?;
            sys::set_receive_timeout(&fd, settings.receive_timeout)
        };
        tune().map_err(|error| Error::os(Status::Connection, format!("setting up {address}"), &error))?;
        Ok(Socket { fd })
    }

    /// Sends what the kernel takes without waiting.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        sys::send(&self.fd, bytes)
    }

    /// Sends what the kernel takes of several pieces, without waiting.
    pub fn send_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        sys::send_vectored(&self.fd, pieces)
    }

    /// Receives into `first` and, once it is full, into `second`. Zero: the peer has closed.
    pub fn receive(&self, first: &mut [u8], second: &mut [u8], wait: Wait) -> io::Result<usize> {
        if second.is_empty() {
            return sys::receive(&self.fd, first, wait);
        }
        sys::receive_both(&self.fd, first, second, wait)
    }

    /// Waits until the socket is ready for some of `wanted`, or for `timeout`.
    pub fn poll(&self, wanted: Ready, timeout: Duration) -> io::Result<Ready> {
        sys::poll(&self.fd, wanted, timeout)
    }

    /// Changes how long a blocking receive waits at most.
    pub fn set_receive_timeout(&self, timeout: Duration) -> io::Result<()> {
        sys::set_receive_timeout(&self.fd, timeout)
    }

    /// Whether nothing waits to be read and the peer has not closed.
    pub fn is_quiet(&self) -> bool {
        sys::is_quiet(&self.fd)
    }

    /// Ends both directions: whoever is blocked on the socket wakes up.
    pub fn shutdown(&self) {
        sys::shutdown(&self.fd);
    }
}

fn timed_out(address: &Address) -> Error {
    Error::new(Status::Timeout, format!("connecting to {address} timed out"))
}

fn refused(address: &Address, error: &io::Error) -> Error {
    Error::os(Status::Connection, format!("connecting to {address}"), error)
}

/// Tries each address; those still to come leave each other a share of the time.
fn connect_any(list: &[SocketAddr], to: &Address, settings: &SocketSettings, deadline: Deadline) -> Result<Socket> {
    let mut last = Error::new(Status::Dns, format!("{to} has no address"));
    for (tried, ip) in list.iter().enumerate() {
        if deadline.is_over() {
            break;
        }
        let share = (deadline.left() / (list.len() - tried) as u32).max(ADDRESS_MIN);
        let until = deadline.earlier(Deadline::at(clock::now() + share.as_nanos() as u64));
        let shown = Address::Ip(ip.ip(), ip.port());
        let result = sys::connect_ip(ip)
            .map_err(|error| refused(&shown, &error))
            .and_then(|fd| Socket::finish(fd, &shown, settings, until));
        match result {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    let named = matches!(to, Address::Name(..));
    let words = if named { format!("{to}: {}", last.message()) } else { last.message().to_string() };
    Err(Error::new(last.status(), words).with_os_error(last.os_error()).with_bits(bits::NOT_SENT))
}
