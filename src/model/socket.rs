//! Stands in for `net::sys::socket`: connections to the model's memcached, that take and give as few bytes at a time as
//! the model likes. A descriptor is one of /dev/null, for its number and its end.

use super::kernel::{self, On};
use super::memory;
use crate::server::{Connection, Core, Protocol};
use shuttle::rand::{thread_rng, Rng};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    No,
    Some,
    Once,
    All,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ready {
    pub read: bool,
    pub write: bool,
}

/// Waits that are shorter than this are a look, and no deadline.
const LOOK: Duration = Duration::from_millis(10);

/// One connection: what is on its way in both directions, and the server's end of it.
pub struct Wire {
    pub(super) fd: i32,
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    server: Connection,
    /// By the server.
    closed: bool,
    /// By the client.
    shut: bool,
    receive_timeout: u64,
}

impl Wire {
    pub(super) fn has_work(&self, capacity: usize) -> bool {
        !self.closed && self.to_client.len() < capacity && (!self.to_server.is_empty() || self.server.is_stalled())
    }

    /// The server takes `part` sixteenths of what has arrived, but at least a byte.
    pub(super) fn serve(&mut self, core: &mut Core, part: usize) {
        let some = (self.to_server.len() * part / 16).max(1).min(self.to_server.len());
        let bytes: Vec<u8> = self.to_server.drain(..some).collect();
        self.server.receive(&bytes);
        self.server.run(core);
        let output = self.server.output();
        let count = output.len();
        self.to_client.extend(output);
        self.server.sent(count);
        self.closed |= self.server.is_over();
    }

    /// The server closes; of what is on its way, `part` sixteenths arrive.
    pub(super) fn close(&mut self, part: usize) {
        self.closed = true;
        self.to_client.truncate(self.to_client.len() * part / 16);
        self.to_server.clear();
    }

    fn is_readable(&self) -> bool {
        !self.to_client.is_empty() || self.closed || self.shut
    }

    fn is_writable(&self, capacity: usize) -> bool {
        self.to_server.len() < capacity || self.closed || self.shut
    }
}

fn on_wire<T>(fd: &OwnedFd, action: impl FnOnce(&mut Wire) -> T) -> T {
    kernel::with(|kernel| {
        let at = kernel.place(fd.as_raw_fd());
        action(&mut kernel.wires[at])
    })
}

pub type Prepare<'a> = &'a dyn Fn(&OwnedFd) -> io::Result<()>;

pub fn connect_ip(_address: &SocketAddr, _prepare: Prepare<'_>) -> io::Result<OwnedFd> {
    memory::settle();
    memory::point();
    let fd = OwnedFd::from(File::open("/dev/null")?);
    let wire = Wire {
        fd: fd.as_raw_fd(),
        to_server: VecDeque::new(),
        to_client: VecDeque::new(),
        server: Connection::new(Protocol::Auto),
        closed: false,
        shut: false,
        receive_timeout: u64::MAX,
    };
    kernel::with(|kernel| {
        kernel.wires.push(wire);
        kernel.leap_by(kernel.world.round_trip);
    });
    Ok(fd)
}

pub fn connect_unix(_path: &Path, _prepare: Prepare<'_>) -> io::Result<OwnedFd> {
    Err(ErrorKind::Unsupported.into())
}

pub fn take_error(_fd: &OwnedFd) -> io::Result<()> {
    Ok(())
}

pub fn set_no_delay(_fd: &OwnedFd) -> io::Result<()> {
    Ok(())
}

pub fn set_keepalive(_fd: &OwnedFd, _idle: u32, _interval: u32, _count: u32) -> io::Result<()> {
    Ok(())
}

pub fn set_blocking(_fd: &OwnedFd) -> io::Result<()> {
    Ok(())
}

pub fn set_receive_timeout(fd: &OwnedFd, timeout: Duration) -> io::Result<()> {
    on_wire(fd, |wire| wire.receive_timeout = timeout.as_nanos() as u64);
    Ok(())
}

pub fn round_trip(_fd: &OwnedFd) -> io::Result<u64> {
    kernel::with(|kernel| Ok(kernel.world.round_trip))
}

pub fn shutdown(fd: &OwnedFd) {
    memory::settle();
    memory::point();
    on_wire(fd, |wire| wire.shut = true);
    kernel::wake(On::Wire(kernel::with(|kernel| kernel.place(fd.as_raw_fd()))), usize::MAX);
}

pub fn send(fd: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    send_vectored(fd, &[IoSlice::new(bytes)])
}

pub fn send_vectored(fd: &OwnedFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    memory::settle();
    memory::point();
    let all: usize = pieces.iter().map(|piece| piece.len()).sum();
    let part = part_of(all);
    let capacity = kernel::with(|kernel| kernel.world.capacity);
    let sent = on_wire(fd, |wire| {
        if wire.shut || wire.closed {
            return Err(io::Error::from(ErrorKind::BrokenPipe));
        }
        // As kernels do, it takes all that there is room for, unless it is busy with what came before.
        let wanted = if wire.to_server.is_empty() { all } else { part };
        let count = wanted.min(capacity.saturating_sub(wire.to_server.len()));
        wire.to_server.extend(pieces.iter().flat_map(|piece| piece.iter()).take(count));
        if count > 0 {
            Ok(count)
        } else {
            Err(io::Error::from(ErrorKind::WouldBlock))
        }
    })?;
    kernel::wake(On::Server, 1);
    Ok(sent)
}

pub fn receive(fd: &OwnedFd, buffer: &mut [u8], wait: Wait) -> io::Result<usize> {
    receive_both(fd, buffer, &mut [], wait)
}

pub fn receive_both(fd: &OwnedFd, first: &mut [u8], second: &mut [u8], wait: Wait) -> io::Result<usize> {
    memory::settle();
    memory::point();
    let room = first.len() + second.len();
    let deadline = kernel::with(|kernel| kernel.tick()).saturating_add(on_wire(fd, |wire| wire.receive_timeout));
    let mut came = 0;
    loop {
        let part = part_of(room - came);
        let (count, ended) = on_wire(fd, |wire| {
            let count = part.min(wire.to_client.len());
            for (at, byte) in (came..).zip(wire.to_client.drain(..count)) {
                match at.checked_sub(first.len()) {
                    None => first[at] = byte,
                    Some(at) => second[at] = byte,
                }
            }
            (count, (wire.shut || wire.closed) && wire.to_client.is_empty())
        });
        came += count;
        if count > 0 {
            kernel::wake(On::Server, 1);
        }
        let enough = came == room || came > 0 && wait != Wait::All;
        if enough || ended {
            return Ok(came);
        }
        if wait == Wait::No || !wait_for(fd.as_raw_fd(), deadline, Wire::is_readable) {
            return if came > 0 { Ok(came) } else { Err(ErrorKind::WouldBlock.into()) };
        }
    }
}

pub fn is_quiet(fd: &OwnedFd) -> bool {
    memory::point();
    on_wire(fd, |wire| !wire.is_readable())
}

pub fn poll(fd: &OwnedFd, wanted: Ready, timeout: Duration) -> io::Result<Ready> {
    memory::settle();
    let (now, capacity) = kernel::with(|kernel| (kernel.tick(), kernel.world.capacity));
    let ready = |wire: &Wire| Ready {
        read: wanted.read && wire.is_readable(),
        write: wanted.write && wire.is_writable(capacity),
    };
    if timeout < LOOK {
        shuttle::thread::yield_now();
    } else {
        memory::point();
        wait_for(fd.as_raw_fd(), now.saturating_add(timeout.as_nanos() as u64), |wire| ready(wire) != Ready::default());
    }
    Ok(on_wire(fd, |wire| ready(wire)))
}

/// Whether any is ready or not, it lets others run and returns: who asks looks for more than sockets, and again.
pub fn poll_any(_: &[(BorrowedFd<'_>, Ready)], _: Duration) -> io::Result<()> {
    memory::settle();
    memory::point();
    shuttle::thread::yield_now();
    Ok(())
}

/// Waits until the connection is as `is_ready` wants it to be, or until `deadline`; answers whether it is.
fn wait_for(fd: RawFd, deadline: u64, is_ready: impl Fn(&Wire) -> bool) -> bool {
    let at = kernel::with(|kernel| kernel.place(fd));
    let look = |kernel: &mut kernel::Kernel| is_ready(&kernel.wires[at]);
    while kernel::sleep(On::Wire(at), deadline, look) {
        if kernel::with(look) {
            return true;
        }
    }
    kernel::with(look)
}

/// All of it, or any part of it but nothing.
fn part_of(all: usize) -> usize {
    let mut rng = thread_rng();
    if all < 2 || rng.gen_range(0..2) == 0 {
        all
    } else {
        rng.gen_range(1..=all)
    }
}
