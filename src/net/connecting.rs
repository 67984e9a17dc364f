//! Connecting: a connection on its way, as a state machine that never blocks. Every address that a name has is tried in
//! turn, within one deadline; those still to come leave each other a share of the time. With TLS its handshake is part of
//! the attempt.

use super::poller::Waker;
use super::resolve::Lookup;
use super::socket::{Socket, SocketSettings};
use super::sys::{clock, socket as sys, tally};
use super::tls::status_of;
use super::{Address, Deadline, Ready};
use crate::error::{bits, Error, Result, Status};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The least time that an address gets before the next one of the same name is tried.
const ADDRESS_MIN: Duration = Duration::from_millis(20);
/// How long a Unix socket whose backlog is full is left alone.
const BACKLOG_PAUSE: Duration = Duration::from_millis(1);

/// See the module.
pub struct Connecting {
    address: Address,
    settings: SocketSettings,
    deadline: Deadline,
    lookup: Option<Lookup>,
    /// Where to try, and how many of them were.
    targets: Vec<Target>,
    tried: usize,
    attempt: Option<Attempt>,
    /// Nothing is to be tried before this.
    pause: Option<Deadline>,
    /// How many sockets there have been.
    sockets: u32,
    last: Option<Error>,
}

/// Somewhere a socket can connect to.
enum Target {
    Ip(SocketAddr),
    Unix(PathBuf),
}

/// One socket on its way.
struct Attempt {
    stage: Stage,
    to: Address,
    until: Deadline,
}

enum Stage {
    Connecting(OwnedFd),
    /// Connected, and in TLS's handshake.
    Greeting(Socket),
}

impl Connecting {
    /// Starts on the way to `address`, which ends at `deadline`. A name is looked up meanwhile; `waker` is told when that
    /// is done.
    pub fn begin(
        address: &Address,
        settings: &SocketSettings,
        deadline: Deadline,
        waker: Option<&Arc<Waker>>,
    ) -> Result<Connecting> {
        let (mut lookup, mut targets) = (None, Vec::new());
        match address {
            Address::Unix(path) => targets.push(Target::Unix(path.clone())),
            Address::Ip(ip, port) => targets.push(Target::Ip(SocketAddr::new(*ip, *port))),
            Address::Name(name, port) => lookup = Some(Lookup::begin(name, *port, waker)?),
        }
        let (address, settings) = (address.clone(), settings.clone());
        let (attempt, pause, last) = (None, None, None);
        Ok(Connecting { address, settings, deadline, lookup, targets, tried: 0, attempt, pause, sockets: 0, last })
    }

    /// Goes on as far as it can without waiting; `None`: not connected yet.
    pub fn advance(&mut self) -> Result<Option<Socket>> {
        self.proceed().map_err(|error| error.with_bits(bits::NOT_SENT))
    }

    /// What is being connected now, to be waited for until it can be written to or, with TLS, read from; `None`: nothing is.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.attempt.as_ref().map(Attempt::descriptor)
    }

    /// What is to be waited for there.
    pub fn awaits(&self) -> Ready {
        self.attempt.as_ref().map_or_else(Ready::default, Attempt::awaits)
    }

    /// Changes with the descriptor.
    pub fn sockets(&self) -> u32 {
        self.sockets
    }

    /// When to go on at the latest.
    pub fn due(&self) -> Deadline {
        let until = self.attempt.as_ref().map(|attempt| attempt.until);
        until.or(self.pause).map_or(self.deadline, |until| until.earlier(self.deadline))
    }

    /// Blocks until it may go on, or for `most`.
    pub fn wait(&self, most: Duration) -> io::Result<()> {
        let left = self.due().left().min(most);
        match (&self.attempt, &self.lookup) {
            (Some(attempt), _) => sys::poll_any(&[(attempt.descriptor(), attempt.awaits())], left),
            (None, Some(lookup)) => {
                lookup.wait(left);
                Ok(())
            }
            (None, None) => {
                std::thread::sleep(left);
                Ok(())
            }
        }
    }

    fn proceed(&mut self) -> Result<Option<Socket>> {
        if let Some(lookup) = &self.lookup {
            match lookup.found() {
                Some(found) => self.targets = found?.into_iter().map(Target::Ip).collect(),
                None if self.deadline.is_over() => return Err(lookup.timed_out()),
                None => return Ok(None),
            }
            self.lookup = None;
        }
        loop {
            if let Some(attempt) = self.attempt.take() {
                match attempt.advance(&self.settings, &self.address) {
                    Ok(Progress::Done(socket)) => return Ok(Some(socket)),
                    Ok(Progress::Waits(attempt)) if !attempt.until.is_over() => {
                        self.attempt = Some(attempt);
                        return Ok(None);
                    }
                    Ok(Progress::Waits(attempt)) => self.last = Some(attempt.timed_out()),
                    Err(error) => self.last = Some(error),
                }
                // The close of its socket.
                tally::add(1);
            }
            if self.pause.is_some_and(|pause| !pause.is_over()) {
                return Ok(None);
            }
            self.pause = None;
            self.try_next()?;
        }
    }

    /// Starts on the next address.
    fn try_next(&mut self) -> Result<()> {
        let over = self.deadline.is_over();
        let Some(target) = self.targets.get(self.tried).filter(|_| !over) else { return Err(self.failure()) };
        let left = (self.targets.len() - self.tried) as u32;
        let to = match target {
            Target::Ip(ip) => Address::Ip(ip.ip(), ip.port()),
            Target::Unix(_) => self.address.clone(),
        };
        let prepare = |fd: &OwnedFd| Socket::prepare(fd, &self.settings, &to);
        let started = match target {
            Target::Ip(ip) => sys::connect_ip(ip, &prepare),
            Target::Unix(path) => sys::connect_unix(path, &prepare),
        };
        match started {
            Ok(fd) => {
                let share = (self.deadline.left() / left).max(ADDRESS_MIN);
                let until = self.deadline.earlier(Deadline::at(clock::now() + share.as_nanos() as u64));
                self.attempt = Some(Attempt { stage: Stage::Connecting(fd), to, until });
                self.sockets += 1;
            }
            // The backlog is full; connect() on a Unix socket cannot be waited for.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.last = Some(timed_out(&to));
                self.pause = Some(Deadline::after(BACKLOG_PAUSE));
                return Ok(());
            }
            Err(error) => self.last = Some(refused(&to, &error)),
        }
        self.tried += 1;
        Ok(())
    }

    fn failure(&mut self) -> Error {
        let Some(last) = self.last.take() else {
            return match self.deadline.is_over() {
                true => timed_out(&self.address),
                false => Error::new(Status::Dns, format!("{} has no address", self.address)),
            };
        };
        match self.address {
            Address::Name(..) => Error::new(last.status(), format!("{}: {}", self.address, last.message()))
                .with_os_error(last.os_error()),
            _ => last,
        }
    }
}

/// How far an attempt has come.
enum Progress {
    Done(Socket),
    Waits(Attempt),
}

impl Attempt {
    /// Goes on as far as it can without waiting. `host` is what has this address.
    fn advance(self, settings: &SocketSettings, host: &Address) -> Result<Progress> {
        let Attempt { stage, to, until } = self;
        let socket = match stage {
            Stage::Greeting(socket) => socket,
            Stage::Connecting(fd) => match is_connected(&fd).map_err(|error| refused(&to, &error))? {
                false => return Ok(Progress::Waits(Attempt { stage: Stage::Connecting(fd), to, until })),
                true => {
                    let failed = |error| Error::os(status_of(&error), format!("setting up {to}"), &error);
                    Socket::set_up(fd, settings, &to, host).map_err(failed)?
                }
            },
        };
        match socket.handshake().map_err(|error| refused(&to, &error))? {
            true => Ok(Progress::Done(socket)),
            false => Ok(Progress::Waits(Attempt { stage: Stage::Greeting(socket), to, until })),
        }
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.stage {
            Stage::Connecting(fd) => fd.as_fd(),
            Stage::Greeting(socket) => socket.as_fd(),
        }
    }

    fn awaits(&self) -> Ready {
        match &self.stage {
            Stage::Connecting(_) => Ready { read: false, write: true },
            Stage::Greeting(socket) => socket.handshake_awaits(),
        }
    }

    fn timed_out(&self) -> Error {
        match self.stage {
            Stage::Connecting(_) => timed_out(&self.to),
            Stage::Greeting(_) => {
                let words = format!("TLS's handshake with {} timed out; the server may not speak TLS", self.to);
                Error::new(Status::Timeout, words)
            }
        }
    }
}

fn is_connected(fd: &OwnedFd) -> io::Result<bool> {
    let ready = sys::poll(fd, Ready { read: false, write: true }, Duration::ZERO)?;
    if ready.write {
        sys::take_error(fd)?;
    }
    Ok(ready.write)
}

fn timed_out(address: &Address) -> Error {
    Error::new(Status::Timeout, format!("connecting to {address} timed out"))
}

fn refused(address: &Address, error: &io::Error) -> Error {
    Error::os(status_of(error), format!("connecting to {address}"), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::ConnectHook;
    use std::net::{TcpListener, TcpStream};

    /// A name's addresses are these; connects or fails as it would for the name.
    fn connect(addresses: &[SocketAddr], time: Duration) -> Result<SocketAddr> {
        let settings = SocketSettings {
            no_delay: true,
            keepalive: None,
            on_connect: ConnectHook::default(),
            tls: None,
            receive_timeout: time,
        };
        let nowhere = Address::Name("several".into(), 1);
        let deadline = Deadline::after(time);
        let targets = addresses.iter().copied().map(Target::Ip).collect();
        let (lookup, attempt, pause, last) = (None, None, None, None);
        let mut connecting = Connecting {
            address: nowhere,
            settings,
            deadline,
            lookup,
            targets,
            tried: 0,
            attempt,
            pause,
            sockets: 0,
            last,
        };
        loop {
            if connecting.advance()?.is_some() {
                return Ok(addresses[connecting.tried - 1]);
            }
            connecting.wait(Duration::from_secs(1)).unwrap();
        }
    }

    fn listener(address: &str) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[test]
    fn every_address_of_a_name_is_tried() {
        let closed = listener("127.0.0.1:0").1;
        let (_open, open) = listener("127.0.0.1:0");
        let patient = Duration::from_secs(20);
        assert_eq!(connect(&[closed, open], patient).unwrap(), open);
        assert_eq!(connect(&[closed, closed, open, closed], patient).unwrap(), open);
        if let Ok((_v6, v6)) = TcpListener::bind("[::1]:0").map(|it| {
            let at = it.local_addr().unwrap();
            (it, at)
        }) {
            assert_eq!(connect(&[closed, v6], patient).unwrap(), v6);
        }
        let error = connect(&[closed, closed], patient).unwrap_err();
        assert_eq!((error.status(), error.bits()), (Status::Connection, bits::NOT_SENT));
        assert!(error.message().contains("several:1") && error.message().contains(&closed.to_string()), "{error}");
    }

    #[test]
    fn an_address_that_does_not_answer_leaves_the_next_one_its_share() {
        // A listener whose queue is full drops what comes: nothing answers there.
        let (hole, silent) = listener("127.0.0.1:0");
        let soon = Duration::from_millis(100);
        let mut fillers = Vec::new();
        while let Ok(filler) = TcpStream::connect_timeout(&silent, soon) {
            fillers.push(filler);
            assert!(fillers.len() < 10_000, "the queue never fills");
        }
        let (_open, open) = listener("127.0.0.1:0");
        assert_eq!(connect(&[silent, open], Duration::from_secs(4)).unwrap(), open);
        let error = connect(&[silent, silent], Duration::from_millis(200)).unwrap_err();
        assert_eq!(error.status(), Status::Timeout, "{error}");
        drop(hole);
    }
}
