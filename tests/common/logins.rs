//! Servers that want a login, for tests: memcached with SASL and a user database of its own, with `-Y`, and a way there
//! that counts connections and remembers what the client said.

use super::Memcached;
use bmemc::server::{Auth, Config, Server, User};
use bmemc::{bits, Client, Error, Operation, Options, Queue, Secret, Status};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

pub const USER: &str = "alice";
/// No message may ever have it in it.
pub const PASSWORD: &str = "correct-horse-battery";

pub const MECHANISMS: [&str; 5] = ["PLAIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// A folder that is removed with its handle.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("bmemc-login-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A memcached that wants a login, with its files.
pub struct Guarded {
    pub server: Memcached,
    folder: Folder,
}

impl Guarded {
    pub fn address(&self) -> &str {
        self.server.address()
    }

    /// `memcached -S` that offers these mechanisms to one user.
    pub fn sasl(unix: bool, mechanisms: &str) -> Guarded {
        Guarded::start(unix, mechanisms, &[])
    }

    /// The same over TCP, with more arguments.
    pub fn sasl_with(mechanisms: &str, extra: &[&str]) -> Guarded {
        Guarded::start(false, mechanisms, extra)
    }

    fn start(unix: bool, mechanisms: &str, extra: &[&str]) -> Guarded {
        let folder = Folder::new();
        let base = folder.0.join("sasldb").display().to_string();
        let config =
            format!("mech_list: {mechanisms}\npwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {base}\n");
        folder.write("memcached.conf", &config);
        set_password(&base, PASSWORD);
        let place = folder.0.display().to_string();
        let environment = [("SASL_CONF_PATH", place.as_str())];
        let server = match unix {
            true => Memcached::unix_in(&environment, &[&["-S"], extra].concat()),
            false => Memcached::tcp_in(&environment, &[&["-S"], extra].concat()),
        };
        Guarded { server, folder }
    }

    /// `memcached -Y` with one user.
    pub fn ascii(unix: bool) -> Guarded {
        let folder = Folder::new();
        let file = folder.write("users", &format!("bob:other\n{USER}:{PASSWORD}\n"));
        let arguments = ["-Y", &file];
        let server = if unix { Memcached::unix(&arguments) } else { Memcached::tcp(&arguments) };
        Guarded { server, folder }
    }

    /// Changes the user's password, for logins from now on.
    pub fn set_password(&self, password: &str) {
        set_password(&self.folder.0.join("sasldb").display().to_string(), password);
    }
}

fn set_password(base: &str, password: &str) {
    let realm = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let arguments = ["-p", "-c", "-f", base, "-a", "memcached", "-u", realm.trim(), USER];
    // Not on the path of those who are not root.
    let program = ["/usr/sbin/saslpasswd2", "saslpasswd2"]
        .into_iter()
        .find(|name| !name.starts_with('/') || std::path::Path::new(name).exists());
    let mut child =
        Command::new(program.unwrap()).args(arguments).stdin(Stdio::piped()).spawn().expect("saslpasswd2 starts");
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "saslpasswd2");
}

pub type Settings<'a> = &'a [(&'a str, &'a str)];

pub const CREDENTIALS: [(&str, &str); 2] = [("username", USER), ("password", PASSWORD)];

pub fn options(server: &str, settings: Settings<'_>) -> Options {
    let mut options = Options::new();
    options.add_server(server, "", 1).unwrap();
    // Logins, whatever was remembered of the server (tests/failover.rs).
    options.set("failover", "none").unwrap();
    let patient = [("timeout_ms", "20000"), ("connect_timeout_ms", "20000")];
    for (name, value) in patient.iter().chain(&CREDENTIALS).chain(settings) {
        options.set(name, value).unwrap();
    }
    options
}

pub fn client(server: &str, settings: Settings<'_>) -> Client {
    Client::new(options(server, settings)).unwrap()
}

/// What is said of a failure never has the password in it.
pub fn hidden(error: Error) -> Error {
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error}");
    error
}

pub fn refused(client: &Client) -> Error {
    let error = hidden(client.get(b"k").unwrap_err());
    assert_ne!(error.bits() & bits::NOT_SENT, 0, "{error}");
    error
}

pub fn works(client: &Client, what: &str) {
    client.set(b"auth-key", what.as_bytes(), 0, 60).unwrap_or_else(|error| panic!("{what}: {error}"));
    let item = client.get(b"auth-key").unwrap().unwrap_or_else(|| panic!("{what}: a miss"));
    assert_eq!(item.value, what.as_bytes());
}

/// One read by way of a queue.
pub fn queued(client: &Client) -> bmemc::Result<Option<Vec<u8>>> {
    let queue = Queue::new().unwrap();
    let (taken, result) = queue.submit(client, [(7, Operation::get(b"auth-key"))]);
    result?;
    assert_eq!(taken, 1);
    let mut answers = Vec::new();
    while answers.is_empty() {
        queue.fetch(&mut answers, 8, 20_000)?;
    }
    let answer = &answers[0];
    match answer.status {
        Status::Ok => Ok(Some(answer.value.to_vec())),
        Status::NotFound => Ok(None),
        status => Err(Error::new(status, String::from_utf8_lossy(&answer.detail).into_owned())),
    }
}

/// An embedded server that wants a login.
pub fn embedded(auth: Auth) -> Server {
    start(Config { auth, ..Config::default() })
}

/// The same at this address.
pub fn embedded_at(host: &str, auth: Auth) -> Server {
    start(Config { auth, listen: host.into(), ..Config::default() })
}

/// The same on a Unix socket in this folder.
pub fn embedded_on(folder: &Folder, auth: Auth) -> Server {
    start(Config { auth, unix: Some(folder.0.join(format!("{auth:?}"))), ..Config::default() })
}

fn start(config: Config) -> Server {
    let users = vec![User { name: USER.into(), password: Secret::new(PASSWORD) }];
    Server::start(Config { users, ..config }).unwrap()
}

/// What becomes of the bytes that the server sends.
#[derive(Clone, Copy)]
pub enum Cut {
    Never,
    /// After so many of each connection, it ends.
    Close(usize),
    /// After so many of each connection, no more come.
    Stall(usize),
}

/// A way to a server over TCP that counts connections and remembers what the client said.
pub struct Tap {
    address: String,
    /// What the client said on each connection.
    said: Arc<Mutex<Vec<Vec<u8>>>>,
    heard: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Tap {
    pub fn to(server: &str, cut: Cut) -> Tap {
        Tap::at("127.0.0.1", server, cut)
    }

    /// One that listens at this address of this machine's.
    pub fn at(host: &str, server: &str, cut: Cut) -> Tap {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let tap = Tap {
            address: format!("{host}:{}", listener.local_addr().unwrap().port()),
            said: Arc::default(),
            heard: Arc::default(),
            stop: Arc::default(),
        };
        let (said, heard, stop) = (tap.said.clone(), tap.heard.clone(), tap.stop.clone());
        let server = server.to_string();
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let number = said.lock().unwrap().len();
                said.lock().unwrap().push(Vec::new());
                let Ok(to_server) = TcpStream::connect(&server) else { continue };
                let (from_client, from_server) = (client.try_clone().unwrap(), to_server.try_clone().unwrap());
                let (said, heard) = (said.clone(), heard.clone());
                let listen = move |bytes: &[u8]| {
                    said.lock().unwrap()[number].extend_from_slice(bytes);
                    (bytes.len(), true)
                };
                std::thread::spawn(move || forward(from_client, to_server, listen));
                let mut left = match cut {
                    Cut::Never => usize::MAX,
                    Cut::Close(left) | Cut::Stall(left) => left,
                };
                let share = move |bytes: &[u8]| {
                    let passed = bytes.len().min(left);
                    left -= passed;
                    heard.fetch_add(passed, Ordering::SeqCst);
                    (passed, left > 0 || matches!(cut, Cut::Stall(_)))
                };
                std::thread::spawn(move || forward(from_server, client, share));
            }
        });
        tap
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn connections(&self) -> usize {
        self.said.lock().unwrap().len()
    }

    /// How many bytes have come from the server.
    pub fn heard(&self) -> usize {
        self.heard.load(Ordering::SeqCst)
    }

    /// Whether the client has said this.
    pub fn has_said(&self, words: &str) -> bool {
        self.said_since(0).iter().any(|said| has(said, words.as_bytes()))
    }

    /// What the client said on each connection from this one on.
    pub fn said_since(&self, first: usize) -> Vec<Vec<u8>> {
        self.said.lock().unwrap()[first..].to_vec()
    }
}

/// Whether some bytes have these among them.
pub fn has(bytes: &[u8], some: &[u8]) -> bool {
    bytes.windows(some.len()).any(|window| window == some)
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(&self.address));
    }
}

/// Copies until either side ends; `pass` says how many bytes go on, and whether more may.
fn forward(mut from: TcpStream, mut to: TcpStream, mut pass: impl FnMut(&[u8]) -> (usize, bool)) {
    let mut chunk = [0; 4096];
    while let Ok(came @ 1..) = from.read(&mut chunk) {
        let (passed, more) = pass(&chunk[..came]);
        if to.write_all(&chunk[..passed]).is_err() || !more {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
