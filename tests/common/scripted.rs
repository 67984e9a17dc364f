//! A scripted server: it understands enough of the text, meta and binary protocol to answer rightly, by a parser of its
//! own, and a script decides what becomes of each reply. It keeps no items: a key says by itself what is stored under it
//! (`oracle`), so that every answer can be checked without asking anybody.

use super::oracle;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wire {
    Text,
    Meta,
    Binary,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Get,
    Set,
    Delete,
    Version,
    Noop,
    Other,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub wire: Wire,
    pub verb: Verb,
    pub keys: Vec<Vec<u8>>,
    pub opaque: u32,
    pub opcode: u8,
    /// The client asked for silence where nothing went wrong.
    pub quiet: bool,
    /// The number of its connection, from zero, and its own on that connection.
    pub connection: usize,
    pub number: usize,
}

impl Request {
    /// The first key as text.
    pub fn key(&self) -> &str {
        self.keys.first().map_or("", |key| std::str::from_utf8(key).unwrap_or(""))
    }

    /// Whether the client asked for silence where nothing went wrong.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }
}

/// What the server does for a request, in order.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    /// One byte at a time, with a pause behind each.
    Dribble(Vec<u8>, Duration),
    Sleep(Duration),
    /// Sent behind the next reply.
    Hold(Vec<u8>),
    /// Sends this again and again until the client has had enough.
    Flood(Vec<u8>),
    Close,
    /// Close with a TCP reset.
    Reset,
    /// Reads on, but never answers again on this connection.
    Mute,
    /// Neither reads nor writes any more on this connection.
    Freeze,
    /// From here on the client must not use this connection.
    Poison,
}

/// What has been seen.
#[derive(Default, Debug)]
pub struct Log {
    pub connections: AtomicUsize,
    pub requests: AtomicU64,
    /// Connections that were poisoned, those of them that the client closed, and requests that came on one.
    pub poisoned: AtomicUsize,
    pub closed: AtomicUsize,
    pub misused: AtomicUsize,
}

impl Log {
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// What becomes of a request; the second argument is the right reply in its parts: every VALUE of a text `get` and its
/// END, a frame, a line, or nothing where silence is right.
pub type Script = dyn Fn(&Request, &[Vec<u8>]) -> Vec<Step> + Send + Sync;

/// A server that answers rightly.
pub fn right(_: &Request, reply: &[Vec<u8>]) -> Vec<Step> {
    vec![Step::Send(reply.concat())]
}

/// A running scripted server; it ends with its handle.
pub struct Scripted {
    address: String,
    path: Option<PathBuf>,
    log: Arc<Log>,
    stop: Arc<AtomicBool>,
    sockets: Arc<Mutex<Vec<File>>>,
}

impl Scripted {
    pub fn tcp(script: impl Fn(&Request, &[Vec<u8>]) -> Vec<Step> + Send + Sync + 'static) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accept = move || listener.accept().map(|(stream, _)| (stream.set_nodelay(true), OwnedFd::from(stream)).1);
        Scripted::start(address, None, accept, Arc::new(script))
    }

    pub fn unix(script: impl Fn(&Request, &[Vec<u8>]) -> Vec<Step> + Send + Sync + 'static) -> Scripted {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("bmemc-scripted-{}-{number}.sock", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let accept = move || listener.accept().map(|(stream, _)| OwnedFd::from(stream));
        Scripted::start(path.display().to_string(), Some(path), accept, Arc::new(script))
    }

    fn start(
        address: String,
        path: Option<PathBuf>,
        accept: impl Fn() -> std::io::Result<OwnedFd> + Send + 'static,
        script: Arc<Script>,
    ) -> Scripted {
        let server = Scripted { address, path, log: Arc::default(), stop: Arc::default(), sockets: Arc::default() };
        let (log, stop, sockets) = (server.log.clone(), server.stop.clone(), server.sockets.clone());
        std::thread::spawn(move || {
            while let Ok(fd) = accept() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let stream = File::from(fd);
                sockets.lock().unwrap().push(stream.try_clone().unwrap());
                let id = log.connections.fetch_add(1, Ordering::SeqCst);
                let mut session = Session::new(stream, id, log.clone(), script.clone());
                std::thread::spawn(move || session.serve());
            }
        });
        server
    }

    /// As a client's server string.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Waits until the client has closed every poisoned connection, and fails if it does not or used one again.
    pub fn check_poisoned(&self, what: &str) {
        let until = std::time::Instant::now() + Duration::from_secs(5);
        let counts = || (self.log.poisoned.load(Ordering::SeqCst), self.log.closed.load(Ordering::SeqCst));
        while counts().0 != counts().1 {
            assert!(std::time::Instant::now() < until, "{what}: poisoned, closed: {:?}", counts());
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(self.log.misused.load(Ordering::SeqCst), 0, "{what}: requests on a connection in doubt");
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for socket in self.sockets.lock().unwrap().drain(..) {
            shutdown(&socket);
        }
        match &self.path {
            Some(path) => {
                let _ = std::os::unix::net::UnixStream::connect(path);
                let _ = std::fs::remove_file(path);
            }
            None => drop(std::net::TcpStream::connect(&self.address)),
        }
    }
}

fn shutdown(socket: &File) {
    // SAFETY: no pointers; the descriptor is open as long as `socket` is.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) };
}

fn set_linger_zero(socket: &File) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let len = std::mem::size_of_val(&linger) as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes of `linger`.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&linger as *const libc::linger).cast(),
            len,
        );
    }
}

/// One connection.
struct Session {
    stream: File,
    id: usize,
    log: Arc<Log>,
    script: Arc<Script>,
    input: Vec<u8>,
    out: Vec<u8>,
    held: Vec<u8>,
    muted: bool,
    poisoned: bool,
}

/// The connection is over.
struct Over;

impl Session {
    fn new(stream: File, id: usize, log: Arc<Log>, script: Arc<Script>) -> Session {
        let (input, out, held) = (Vec::new(), Vec::new(), Vec::new());
        Session { stream, id, log, script, input, out, held, muted: false, poisoned: false }
    }

    fn serve(&mut self) {
        let _ = self.run();
        if self.poisoned {
            self.log.closed.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn run(&mut self) -> Result<(), Over> {
        let (mut chunk, mut number) = (vec![0; 64 * 1024], 0);
        loop {
            // What came together with the request that was answered badly was sent before the client could know.
            let poisoned_before = self.poisoned;
            let mut taken = 0;
            while let Some((mut request, used)) = parse(&self.input[taken..]) {
                taken += used;
                (request.connection, request.number) = (self.id, number);
                number += 1;
                self.log.requests.fetch_add(1, Ordering::SeqCst);
                if poisoned_before {
                    self.log.misused.fetch_add(1, Ordering::SeqCst);
                }
                if !self.muted {
                    self.answer(&request)?;
                }
            }
            self.input.drain(..taken);
            self.flush()?;
            match self.stream.read(&mut chunk) {
                Ok(0) | Err(_) => return Err(Over),
                Ok(came) => self.input.extend_from_slice(&chunk[..came]),
            }
        }
    }

    fn answer(&mut self, request: &Request) -> Result<(), Over> {
        let script = self.script.clone();
        let mut sent = false;
        for step in script(request, &reply(request)) {
            match step {
                Step::Send(bytes) => {
                    // Behind the reply that ends a batch, what was held would say that nothing was to be said.
                    if !request.is_quiet() && request.wire == Wire::Binary {
                        self.out.append(&mut self.held);
                    }
                    self.out.extend_from_slice(&bytes);
                    sent |= !bytes.is_empty();
                }
                Step::Hold(bytes) => {
                    self.held.extend_from_slice(&bytes);
                    return Ok(());
                }
                Step::Dribble(bytes, pause) => {
                    self.flush()?;
                    for byte in bytes {
                        self.stream.write_all(&[byte]).map_err(|_| Over)?;
                        std::thread::sleep(pause);
                    }
                }
                Step::Sleep(time) => {
                    self.flush()?;
                    std::thread::sleep(time);
                }
                Step::Flood(bytes) => loop {
                    self.stream.write_all(&bytes).map_err(|_| Over)?;
                },
                Step::Close => {
                    self.flush()?;
                    shutdown(&self.stream);
                    return Err(Over);
                }
                Step::Reset => {
                    self.flush()?;
                    set_linger_zero(&self.stream);
                    // The handle that ends the server holds the socket too: a disconnect resets it all the same.
                    disconnect(&self.stream);
                    return Err(Over);
                }
                Step::Mute => {
                    self.muted = true;
                    return Ok(());
                }
                Step::Freeze => {
                    self.flush()?;
                    self.freeze();
                    return Err(Over);
                }
                Step::Poison => {
                    self.flush()?;
                    let again = std::mem::replace(&mut self.poisoned, true);
                    self.log.poisoned.fetch_add(usize::from(!again), Ordering::SeqCst);
                }
            }
        }
        // Only now: in the middle of a reply, or behind a part of one, it would make another's value of it.
        if sent {
            self.out.append(&mut self.held);
        }
        Ok(())
    }

    /// Waits for the end of the connection without reading from it.
    fn freeze(&self) {
        let mut entry = libc::pollfd { fd: self.stream.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
        // SAFETY: one pollfd of ours.
        unsafe { libc::poll(&mut entry, 1, 60_000) };
    }

    fn flush(&mut self) -> Result<(), Over> {
        let out = std::mem::take(&mut self.out);
        self.stream.write_all(&out).map_err(|_| Over)
    }
}

/// Aborts a TCP connection, whoever else holds the socket.
fn disconnect(socket: &File) {
    // SAFETY: all zeroes is a valid sockaddr, of family AF_UNSPEC, which means "disconnect".
    unsafe {
        let nobody: libc::sockaddr = std::mem::zeroed();
        libc::connect(socket.as_raw_fd(), &nobody, std::mem::size_of_val(&nobody) as libc::socklen_t);
    }
    shutdown(socket);
}

// ---- Requests ----

/// The request at the start of `input`, and its length.
fn parse(input: &[u8]) -> Option<(Request, usize)> {
    match input.first()? {
        0x80 => parse_binary(input),
        _ => parse_line(input),
    }
}

fn request(wire: Wire, verb: Verb) -> Request {
    Request { wire, verb, keys: Vec::new(), opaque: 0, opcode: 0, quiet: false, connection: 0, number: 0 }
}

fn parse_line(input: &[u8]) -> Option<(Request, usize)> {
    let at = input.windows(2).position(|pair| pair == b"\r\n")?;
    let words: Vec<&[u8]> = input[..at].split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
    let (wire, verb) = match words.first().copied().unwrap_or_default() {
        b"get" | b"gets" => (Wire::Text, Verb::Get),
        b"set" | b"add" | b"replace" | b"append" | b"prepend" => (Wire::Text, Verb::Set),
        b"delete" => (Wire::Text, Verb::Delete),
        b"version" => (Wire::Text, Verb::Version),
        b"mn" => (Wire::Meta, Verb::Noop),
        b"mg" => (Wire::Meta, Verb::Get),
        b"ms" => (Wire::Meta, Verb::Set),
        b"md" => (Wire::Meta, Verb::Delete),
        b"ma" => (Wire::Meta, Verb::Other),
        _ => (Wire::Text, Verb::Other),
    };
    let mut request = request(wire, verb);
    let keys = if (wire, verb) == (Wire::Text, Verb::Get) { words.len() } else { 2 };
    request.keys = words.iter().take(keys).skip(1).map(|word| word.to_vec()).collect();
    let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<usize>().ok();
    if wire == Wire::Meta {
        let opaque = words.iter().find_map(|word| word.strip_prefix(b"O")).and_then(number);
        request.opaque = opaque.unwrap_or(0) as u32;
    }
    request.quiet = match wire {
        Wire::Meta => words.iter().skip(2).any(|word| *word == b"q"),
        _ => words.last().is_some_and(|word| *word == b"noreply"),
    };
    let body = match (wire, verb) {
        (Wire::Text, Verb::Set) => number(words.get(4)?)? + 2,
        (Wire::Meta, Verb::Set) => number(words.get(2)?)? + 2,
        _ => 0,
    };
    let whole = at + 2 + body;
    (input.len() >= whole).then_some((request, whole))
}

fn parse_binary(input: &[u8]) -> Option<(Request, usize)> {
    let u32_at = |at: usize| u32::from_be_bytes(input[at..at + 4].try_into().unwrap());
    if input.len() < 24 || input.len() < 24 + u32_at(8) as usize {
        return None;
    }
    let opcode = input[1];
    let verb = match opcode {
        0x00 | 0x09 => Verb::Get,
        0x01 | 0x11 => Verb::Set,
        0x04 | 0x14 => Verb::Delete,
        0x0a => Verb::Noop,
        0x0b => Verb::Version,
        _ => Verb::Other,
    };
    let mut request = request(Wire::Binary, verb);
    (request.opcode, request.opaque) = (opcode, u32_at(12));
    request.quiet = matches!(opcode, 0x09 | 0x11 | 0x14);
    let key_at = 24 + usize::from(input[4]);
    let key_len = usize::from(u16::from_be_bytes([input[2], input[3]]));
    if key_len > 0 {
        request.keys.push(input[key_at..key_at + key_len].to_vec());
    }
    Some((request, 24 + u32_at(8) as usize))
}

// ---- Right replies ----

/// A binary frame.
pub fn frame(opcode: u8, status: u16, opaque: u32, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = vec![0x81, opcode];
    out.extend_from_slice(&(key.len() as u16).to_be_bytes());
    out.extend_from_slice(&[extras.len() as u8, 0]);
    out.extend_from_slice(&status.to_be_bytes());
    out.extend_from_slice(&((extras.len() + key.len() + value.len()) as u32).to_be_bytes());
    out.extend_from_slice(&opaque.to_be_bytes());
    out.extend_from_slice(&[0; 8]);
    [&out[..], extras, key, value].concat()
}

/// A VALUE of the text protocol.
pub fn text_value(key: &[u8], flags: u32, value: &[u8]) -> Vec<u8> {
    let head = format!("VALUE {} {flags} {}\r\n", String::from_utf8_lossy(key), value.len());
    [head.as_bytes(), value, b"\r\n"].concat()
}

/// A hit for `request` with this value.
pub fn hit(request: &Request, value: &[u8]) -> Vec<u8> {
    let key = request.keys.first().map(Vec::as_slice).unwrap_or_default();
    let flags = oracle::flags(key);
    match request.wire {
        Wire::Text => [&text_value(key, flags, value)[..], b"END\r\n"].concat(),
        Wire::Meta => {
            let head = format!("VA {} f{flags} O{}\r\n", value.len(), request.opaque);
            [head.as_bytes(), value, b"\r\n"].concat()
        }
        Wire::Binary => frame(request.opcode, 0, request.opaque, &flags.to_be_bytes(), b"", value),
    }
}

fn reply(request: &Request) -> Vec<Vec<u8>> {
    match request.wire {
        Wire::Text => reply_text(request),
        Wire::Meta => vec![reply_meta(request)],
        Wire::Binary => reply_binary(request).into_iter().collect(),
    }
}

fn reply_text(request: &Request) -> Vec<Vec<u8>> {
    let key = request.keys.first().map(Vec::as_slice).unwrap_or_default();
    let line: &[u8] = match request.verb {
        Verb::Get => {
            let held = request.keys.iter().filter(|key| oracle::is_held(key));
            let values = held.map(|key| text_value(key, oracle::flags(key), &oracle::value(key)));
            return values.chain([b"END\r\n".to_vec()]).collect();
        }
        Verb::Set | Verb::Delete if request.is_quiet() => b"",
        Verb::Set => b"STORED\r\n",
        Verb::Delete if oracle::is_held(key) => b"DELETED\r\n",
        Verb::Delete => b"NOT_FOUND\r\n",
        Verb::Version => b"VERSION 1.6.18\r\n",
        Verb::Noop | Verb::Other => b"ERROR\r\n",
    };
    vec![line.to_vec()]
}

fn reply_meta(request: &Request) -> Vec<u8> {
    let held = request.keys.first().is_some_and(|key| oracle::is_held(key));
    match request.verb {
        Verb::Noop => b"MN\r\n".to_vec(),
        Verb::Get if held => hit(request, &oracle::value(&request.keys[0])),
        Verb::Get => format!("EN O{}\r\n", request.opaque).into_bytes(),
        Verb::Delete if !held => format!("NF O{}\r\n", request.opaque).into_bytes(),
        _ if request.is_quiet() => Vec::new(),
        _ => format!("HD O{}\r\n", request.opaque).into_bytes(),
    }
}

fn reply_binary(request: &Request) -> Option<Vec<u8>> {
    let held = request.keys.first().is_some_and(|key| oracle::is_held(key));
    let plain = |status: u16, words: &[u8]| frame(request.opcode, status, request.opaque, b"", b"", words);
    let quiet = request.is_quiet();
    match request.verb {
        Verb::Get if held => Some(hit(request, &oracle::value(&request.keys[0]))),
        Verb::Get => (!quiet).then(|| plain(1, b"Not found")),
        Verb::Delete if !held => Some(plain(1, b"Not found")),
        Verb::Set | Verb::Delete => (!quiet).then(|| plain(0, b"")),
        Verb::Version => Some(plain(0, b"1.6.18")),
        Verb::Noop => Some(plain(0, b"")),
        Verb::Other => Some(plain(0x81, b"Unknown command")),
    }
}
