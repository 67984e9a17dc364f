//! Real memcached servers for tests: each on a port or socket of its own, ended with its handle.

// No test program uses all of it.
#![allow(dead_code)]

pub mod fleet;
pub mod logins;
pub mod oracle;
pub mod queues;
pub mod scripted;
pub mod tls;

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A running memcached.
pub struct Memcached {
    address: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    socket: Option<PathBuf>,
    /// Keeps its port from other tests.
    claim: Option<UnixListener>,
}

impl Memcached {
    /// One that listens on a loopback port of the system's choosing.
    pub fn tcp(extra: &[&str]) -> Memcached {
        Memcached::tcp_in(&[], extra)
    }

    /// The same, with these variables in its environment.
    pub fn tcp_in(environment: &[(&str, &str)], extra: &[&str]) -> Memcached {
        let (port, claim) = free_port();
        let port = port.to_string();
        let arguments = [&["-l", "127.0.0.1", "-p", &port], extra].concat();
        let mut server = Memcached::launch(format!("127.0.0.1:{port}"), environment, &arguments, None);
        server.claim = Some(claim);
        server
    }

    /// One that listens on a Unix socket.
    #[allow(dead_code)]
    pub fn unix(extra: &[&str]) -> Memcached {
        Memcached::unix_in(&[], extra)
    }

    /// The same, with these variables in its environment.
    pub fn unix_in(environment: &[(&str, &str)], extra: &[&str]) -> Memcached {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let socket = std::env::temp_dir().join(format!("bmemc-test-{}-{number}.sock", std::process::id()));
        let path = socket.display().to_string();
        let arguments = [&["-s", &path], extra].concat();
        Memcached::launch(path.clone(), environment, &arguments, Some(socket))
    }

    fn launch(address: String, environment: &[(&str, &str)], arguments: &[&str], socket: Option<PathBuf>) -> Memcached {
        let arguments = arguments.iter().map(|argument| argument.to_string()).collect();
        let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let mut server = Memcached { address, arguments, environment, child: None, socket, claim: None };
        server.start();
        server
    }

    /// As a client's server string.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether all its threads have stopped, as SIGSTOP has them do sooner or later.
    pub fn is_stopped(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
        stats.into_iter().all(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
    }

    /// The process, to send signals to.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Starts it again at the same address.
    pub fn start(&mut self) {
        let program = std::env::var("BMEMC_MEMCACHED").unwrap_or_else(|_| "memcached".into());
        let mut command = Command::new(&program);
        command.args(&self.arguments).args(["-U", "0", "-t", "1", "-u", "root"]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
        let until = Instant::now() + Duration::from_secs(10);
        while !self.answers() {
            if let Ok(Some(status)) = child.try_wait() {
                let words: Vec<_> = child.stderr.take().map(BufReader::new).unwrap().lines().collect();
                panic!("{program} ended with {status}: {words:?}");
            }
            assert!(Instant::now() < until, "{program} does not listen on {}", self.address);
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child = Some(child);
    }

    fn answers(&self) -> bool {
        match &self.socket {
            Some(path) => UnixStream::connect(path).is_ok(),
            None => TcpStream::connect(&self.address).is_ok(),
        }
    }

    /// Kills it, as a crash would.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(path) = &self.socket {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A port below those that the system gives to others: a server that is restarted finds it free again. It is no other
/// test's, in whatever process, as long as what is returned with it lives: the name of a socket that has no file.
fn free_port() -> (u16, UnixListener) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let seed = std::process::id().wrapping_mul(7919).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    let time = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.subsec_micros());
    (0..1000)
        .map(|attempt: u32| {
            12_000 + (seed.wrapping_mul(31).wrapping_add(time).wrapping_add(attempt * 17) % 20_000) as u16
        })
        .find_map(|port| {
            let name = SocketAddr::from_abstract_name(format!("bmemc-test-port-{port}")).ok()?;
            let claim = UnixListener::bind_addr(&name).ok()?;
            TcpListener::bind(("127.0.0.1", port)).is_ok().then_some((port, claim))
        })
        .expect("no free port")
}

impl Drop for Memcached {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Plenty of time, and nothing is remembered of a server that fails: each call shows what it does by itself. tests/failover.rs
/// shows the rest.
pub const USUAL: [(&str, &str); 3] = [("timeout_ms", "20000"), ("connect_timeout_ms", "20000"), ("failover", "none")];

/// A client of one server with plenty of time, since how busy the machine is is not what is tested; then as `settings`
/// say.
#[allow(dead_code)]
pub fn client(server: &str, settings: &[(&str, &str)]) -> bmemc::Client {
    let mut options = bmemc::Options::new();
    options.add_server(server, "", 1).unwrap();
    for (name, value) in USUAL.iter().chain(settings) {
        options.set(name, value).unwrap();
    }
    bmemc::Client::new(options).unwrap()
}
