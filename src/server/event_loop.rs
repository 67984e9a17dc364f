//! The server's thread: it accepts, reads, lets connections execute, and writes. What arrives with one read is answered
//! with one write. It knows sockets and descriptors, and no command.

use super::clock::Clock;
use super::config::Config;
use super::connection::{Connection, Core};
use super::control::Control;
use crate::error::{Error, Result, Status};
use crate::net::poller::{Events, Interest, Poller, Waker};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

const WAKER: u64 = 0;
const LISTENER: u64 = 1;
const FIRST_CONNECTION: u64 = 2;

/// How much is read at a time from one connection, before others have their turn.
const READ_SIZE: usize = 64 << 10;

/// How long no connection is accepted after the system had no descriptor left for one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How the handle ends the thread.
pub struct Remote {
    stop: AtomicBool,
    waker: Waker,
}

impl Remote {
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Has the thread look at what has changed.
    pub fn wake(&self) {
        self.waker.wake();
    }
}

/// A failure of the system's.
pub fn failed(what: impl std::fmt::Display, error: &io::Error) -> Error {
    Error::os(Status::Connection, what, error)
}

/// A server that is bound, with its connections once it runs.
pub struct EventLoop {
    config: Config,
    control: Arc<Control>,
    clock: Arc<Clock>,
    remote: Arc<Remote>,
    poller: Poller,
    listener: Listener,
    address: String,
    port: u16,
}

impl EventLoop {
    pub fn bind(config: Config, clock: Arc<Clock>, control: Arc<Control>) -> Result<EventLoop> {
        let setup = |error: io::Error| failed("cannot set the server up", &error);
        let (listener, address, port) = match &config.unix {
            Some(path) => bind_unix(path)?,
            None => bind_tcp(&config.listen, config.port)?,
        };
        let poller = Poller::new().map_err(setup)?;
        let waker = Waker::new().map_err(setup)?;
        listener.set_nonblocking().map_err(setup)?;
        poller.add(&waker, WAKER, Interest::READ.and(Interest::EDGE)).map_err(setup)?;
        poller.add(&listener, LISTENER, Interest::READ).map_err(setup)?;
        let remote = Arc::new(Remote { stop: AtomicBool::new(false), waker });
        Ok(EventLoop { config, control, clock, remote, poller, listener, address, port })
    }

    pub fn address(&self) -> String {
        self.address.clone()
    }

    pub fn remote(&self) -> Arc<Remote> {
        self.remote.clone()
    }

    /// Serves until it is told to stop.
    pub fn run(self) {
        let EventLoop { config, control, clock, remote, poller, listener, .. } = self;
        let core = Core::new(config, control, clock, self.port);
        let mut running = Running {
            poller,
            listener,
            core,
            peers: HashMap::new(),
            next_token: FIRST_CONNECTION,
            paused: false,
            delayed: Vec::new(),
            swept: 0,
            buffer: vec![0; READ_SIZE],
        };
        let mut events = Events::with_capacity(256);
        while !remote.stop.load(Ordering::Acquire) && !running.core.stopping {
            if let Err(error) = running.turn(&mut events) {
                running.core.log(1, format_args!("the server ends: {error}"));
                break;
            }
        }
    }
}

/// A connection and its socket.
struct Peer {
    socket: Socket,
    connection: Connection,
    interest: Interest,
    /// When something arrived last, by the server's clock.
    active: i64,
}

struct Running {
    poller: Poller,
    listener: Listener,
    core: Core,
    peers: HashMap<u64, Peer>,
    next_token: u64,
    /// No connection is accepted for a moment.
    paused: bool,
    /// Connections with replies that wait: [`Connection::due`].
    delayed: Vec<u64>,
    /// When idle connections were last looked for.
    swept: i64,
    buffer: Vec<u8>,
}

impl Running {
    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        self.poller.wait(events, self.patience())?;
        self.core.refresh();
        self.core.store.set_now(self.core.clock.now());
        if self.paused {
            self.paused = false;
            self.poller.modify(&self.listener, LISTENER, Interest::READ)?;
        }
        for event in events.iter() {
            match event.token {
                WAKER => {}
                LISTENER => self.accept_all()?,
                token => self.serve(token, event.readable()),
            }
        }
        self.serve_delayed();
        self.close_idle();
        Ok(())
    }

    /// How long nothing may happen before there is something to do.
    fn patience(&self) -> Option<Duration> {
        let pause = self.paused.then_some(ACCEPT_PAUSE);
        let sweep = (self.core.config.idle_timeout > 0).then_some(Duration::from_secs(1));
        let due = self.delayed.iter().filter_map(|token| self.peers.get(token)?.connection.due()).min();
        let due = due.map(|due| due.saturating_duration_since(Instant::now()));
        [pause, sweep, due].into_iter().flatten().min()
    }

    fn serve_delayed(&mut self) {
        let now = Instant::now();
        for token in std::mem::take(&mut self.delayed) {
            match self.peers.get(&token).and_then(|peer| peer.connection.due()) {
                Some(due) if due > now => self.delayed.push(token),
                Some(_) => self.serve(token, false),
                None => {}
            }
        }
    }

    fn close_idle(&mut self) {
        let (now, limit) = (self.core.clock.now(), self.core.config.idle_timeout);
        if limit == 0 || now == std::mem::replace(&mut self.swept, now) {
            return;
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.peers.retain(|_, peer| now.saturating_sub(peer.active) <= limit);
        self.core.open_connections = self.peers.len();
    }

    fn accept_all(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok(socket) => self.admit(socket),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The client has gone again, or a signal came: there may be others.
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(_) => {
                    // No descriptor or memory. The listener stays readable, and would be reported without end.
                    self.paused = true;
                    return self.poller.modify(&self.listener, LISTENER, Interest::NONE);
                }
            }
        }
    }

    fn admit(&mut self, mut socket: Socket) {
        self.core.counters().total_connections += 1;
        if self.peers.len() >= self.core.config.max_connections {
            self.core.counters().rejected_connections += 1;
            // Whether it can be told or not, it is not served.
            let _ = socket.write(b"ERROR Too many open connections\r\n");
            return;
        }
        let token = self.next_token;
        self.next_token += 1;
        let interest = Interest::READ;
        if socket.prepare().and_then(|()| self.poller.add(&socket, token, interest)).is_err() {
            return;
        }
        self.core.log(1, format_args!("connection {token} begins"));
        let connection = Connection::new(self.core.config.protocol);
        let active = self.core.clock.now();
        self.peers.insert(token, Peer { socket, connection, interest, active });
        self.core.open_connections = self.peers.len();
    }

    fn serve(&mut self, token: u64, readable: bool) {
        let Some(peer) = self.peers.get_mut(&token) else { return };
        let alive = peer.serve(readable, &mut self.core, &mut self.buffer).unwrap_or(false);
        let kept = alive && peer.wait(token, &self.poller).is_ok();
        if peer.connection.due().is_some() && !self.delayed.contains(&token) {
            self.delayed.push(token);
        }
        if !kept {
            self.peers.remove(&token);
            self.core.open_connections = self.peers.len();
            self.core.log(1, format_args!("connection {token} ends"));
        }
    }
}

impl Peer {
    /// Reads, executes and writes as far as it goes without waiting; false once the connection is at its end.
    fn serve(&mut self, readable: bool, core: &mut Core, buffer: &mut [u8]) -> io::Result<bool> {
        self.flush(core)?;
        if readable && self.connection.may_go_on() {
            self.read(core, buffer)?;
        }
        self.connection.run(core);
        self.flush(core)?;
        Ok(!self.connection.is_over() || !self.connection.output().is_empty())
    }

    fn read(&mut self, core: &mut Core, buffer: &mut [u8]) -> io::Result<()> {
        match self.socket.read(buffer) {
            Ok(0) => {
                self.connection.run(core);
                self.connection.end();
            }
            Ok(count) => {
                core.counters().bytes_read += count as u64;
                self.active = core.store.now();
                self.connection.receive(buffer.get(..count).unwrap_or_default());
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn flush(&mut self, core: &mut Core) -> io::Result<()> {
        while !self.connection.output().is_empty() {
            match self.socket.write(self.connection.output()) {
                Ok(count) => {
                    core.counters().bytes_written += count as u64;
                    self.connection.sent(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for what the connection needs to go on.
    fn wait(&mut self, token: u64, poller: &Poller) -> io::Result<()> {
        let reads = if self.connection.may_go_on() { Interest::READ } else { Interest::NONE };
        let writes = !self.connection.output().is_empty() || self.connection.is_stalled();
        let interest = if writes { reads.and(Interest::WRITE) } else { reads };
        if interest != self.interest {
            poller.modify(&self.socket, token, interest)?;
            self.interest = interest;
        }
        Ok(())
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn prepare(&self) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.set_nodelay(true).and_then(|()| socket.set_nonblocking(true)),
            Socket::Unix(socket) => socket.set_nonblocking(true),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.read(buffer),
            Socket::Unix(socket) => socket.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.write(bytes),
            Socket::Unix(socket) => socket.write(bytes),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => listener.set_nonblocking(true),
            Listener::Unix(listener, _) => listener.set_nonblocking(true),
        }
    }

    fn accept(&self) -> io::Result<Socket> {
        match self {
            Listener::Tcp(listener) => listener.accept().map(|(socket, _)| Socket::Tcp(socket)),
            Listener::Unix(listener, _) => listener.accept().map(|(socket, _)| Socket::Unix(socket)),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener, _) => listener.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            // A socket that nobody listens on is in the way of the next server; it may be gone already.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn bind_tcp(host: &str, port: u16) -> Result<(Listener, String, u16)> {
    let what = |error: io::Error| failed(format!("cannot listen on {host:?} port {port}"), &error);
    let addresses: Vec<_> = (host, port).to_socket_addrs().map_err(what)?.collect();
    let listener = TcpListener::bind(&addresses[..]).map_err(what)?;
    let address = listener.local_addr().map_err(what)?;
    Ok((Listener::Tcp(listener), address.to_string(), address.port()))
}

fn bind_unix(path: &Path) -> Result<(Listener, String, u16)> {
    let what = |error: io::Error| failed(format!("cannot listen on {path:?}"), &error);
    let text = path.to_str().filter(|text| text.starts_with('/'));
    let Some(text) = text else {
        return Err(Error::argument(format!("{path:?} is not the absolute path of a socket, in UTF-8")));
    };
    // As memcached does: a socket in the way is taken for that of a server that is gone.
    if std::fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket()) {
        std::fs::remove_file(path).map_err(what)?;
    }
    let listener = UnixListener::bind(path).map_err(what)?;
    Ok((Listener::Unix(listener, path.to_path_buf()), text.to_string(), 0))
}
