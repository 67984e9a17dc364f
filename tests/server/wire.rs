//! What the tests need: a socket that is compared byte for byte, binary frames, folders, a random generator.

use bmemc::server::{Config, Server};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longer than any answer takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

trait Stream: Read + Write + Send {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

/// A client's end of a connection.
pub struct Wire {
    stream: Box<dyn Stream>,
}

impl Wire {
    /// Connects to a server string: `127.0.0.1:1` or `/path`.
    pub fn connect(address: &str) -> Wire {
        Wire::try_connect(address).unwrap_or_else(|error| panic!("connect to {address}: {error}"))
    }

    pub fn try_connect(address: &str) -> std::io::Result<Wire> {
        if address.starts_with('/') {
            let stream = UnixStream::connect(address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            return Ok(Wire { stream: Box::new(stream) });
        }
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream: Box::new(stream) })
    }

    pub fn to(server: &Server) -> Wire {
        Wire::connect(server.address())
    }

    /// Sends what it can: a server may have closed already.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// The next answer must be these bytes.
    #[track_caller]
    pub fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut got = vec![0; expected.len()];
        let mut filled = 0;
        while filled < got.len() {
            match self.stream.read(&mut got[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error} after {:?}, expected {:?}", show(&got[..filled]), show(expected)),
            }
        }
        assert_eq!(show(&got[..filled]), show(expected));
    }

    /// Sends a request, and the answer must be these bytes.
    #[track_caller]
    pub fn ask(&mut self, request: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
        self.send(request);
        self.expect(expected);
    }

    /// Whatever comes until the server closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut got = Vec::new();
        match self.stream.read_to_end(&mut got) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("not closed after {:?}", show(&got)),
            // A reset is an end too: the server closed with our bytes unread.
            _ => got,
        }
    }

    #[track_caller]
    pub fn expect_end(&mut self) {
        assert_eq!(show(&self.rest()), "");
    }

    /// Reads until the answer ends so, or the server closes.
    pub fn until(&mut self, done: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut got = Vec::new();
        let mut buffer = [0; 65536];
        while !done(&got) {
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => got.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{error} after {:?}", show(&got)),
            }
        }
        got
    }
}

/// Bytes for people.
pub fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

pub fn start() -> Server {
    start_with(Config::default())
}

pub fn start_with(config: Config) -> Server {
    Server::start(config).expect("the server starts")
}

/// Requests and their answers, one after the other on one connection; nothing else may come.
#[track_caller]
pub fn converse(server: &Server, exchanges: &[(&str, &str)]) {
    let mut wire = Wire::to(server);
    for (request, answer) in exchanges {
        wire.ask(request, answer);
    }
    wire.ask("mn\r\n", "MN\r\n");
}

/// A binary frame. `kind` is 0x80 for requests and 0x81 for answers, `status` the vbucket of a request.
pub struct Frame {
    pub kind: u8,
    pub opcode: u8,
    pub status: u16,
    pub opaque: u32,
    pub cas: u64,
    pub extras: Vec<u8>,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

pub const OPAQUE: u32 = 0xdead_beef;

pub fn request(opcode: u8, extras: &[u8], key: &str, value: &str) -> Frame {
    let (extras, key, value) = (extras.to_vec(), key.into(), value.into());
    Frame { kind: 0x80, opcode, status: 0, opaque: OPAQUE, cas: 0, extras, key, value }
}

pub fn reply(opcode: u8, extras: &[u8], key: &str, value: &str) -> Frame {
    Frame { kind: 0x81, ..request(opcode, extras, key, value) }
}

impl Frame {
    pub fn cas(self, cas: u64) -> Frame {
        Frame { cas, ..self }
    }

    pub fn status(self, status: u16) -> Frame {
        Frame { status, ..self }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let body = self.extras.len() + self.key.len() + self.value.len();
        let mut bytes = vec![self.kind, self.opcode];
        bytes.extend((self.key.len() as u16).to_be_bytes());
        bytes.extend([self.extras.len() as u8, 0]);
        bytes.extend(self.status.to_be_bytes());
        bytes.extend((body as u32).to_be_bytes());
        bytes.extend(self.opaque.to_be_bytes());
        bytes.extend(self.cas.to_be_bytes());
        bytes.extend(&self.extras);
        bytes.extend(&self.key);
        bytes.extend(&self.value);
        bytes
    }
}

/// A folder of the test's own, removed with everything in it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bmemc-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a folder for the test");
        Folder(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("the temporary folder has a name in UTF-8").to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The same numbers from the same seed, for ever (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 to `end`, which is not reached.
    pub fn below(&mut self, end: usize) -> usize {
        ((self.next() >> 32) as usize) % end
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}
