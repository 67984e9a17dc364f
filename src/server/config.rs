//! What a server can be told when it starts; the names and defaults are those of memcached's command line where it has
//! them.

use crate::error::{Error, Result};
use crate::protocol::sasl::Mechanism;
use crate::secret::Secret;
use std::path::PathBuf;

/// Which protocols a connection may speak (`-B`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// The first byte of a connection decides.
    Auto,
    /// Text and meta alone.
    Ascii,
    /// Binary alone.
    Binary,
}

/// Who may use a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Auth {
    /// Everybody.
    None,
    /// Users who log in by SASL, over binary alone (`-S`).
    Sasl,
    /// Users who log in by a `set` of "name password", over text and meta alone (`-Y`).
    Ascii,
    /// Users who log in by a `set` of the password under their name, over text and meta alone, as at MemCachier.
    Memcachier,
}

/// Somebody who may use a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    pub name: String,
    pub password: Secret,
}

impl User {
    /// Users as memcached's `-Y` file has them: a line `name:password` each.
    pub fn list(text: &str) -> Result<Vec<User>> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
        let user = |(number, line): (usize, &str)| match line.split_once(':') {
            Some((name, password)) if !name.is_empty() => {
                Ok(User { name: name.into(), password: Secret::new(password) })
            }
            // The line may have a password in it.
            _ => Err(Error::argument(format!("users: line {} is not name:password", number + 1))),
        };
        lines.map(user).collect()
    }
}

/// How a server is to run. `Config::default()` serves all protocols on a free port of 127.0.0.1.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address or host name to listen on (`-l`). Default: 127.0.0.1.
    pub listen: String,
    /// The TCP port (`-p`); 0, the default, lets the system choose.
    pub port: u16,
    /// The path of a Unix socket to listen on instead of TCP (`-s`). A socket that is in the way is replaced.
    pub unix: Option<PathBuf>,
    /// The largest item, key and header included, in bytes (`-I`): 1 KiB to 1 GiB. Default: 1 MiB.
    pub item_max: usize,
    /// The memory for items, in bytes (`-m`, there in MiB): 1 MiB or more. Default: 64 MiB.
    pub memory_limit: usize,
    /// Whether old items make room for new ones; without it (`-M`) a full server refuses. Default: true.
    pub evict: bool,
    /// The most connections at a time (`-c`): 1 or more. Default: 1024.
    pub max_connections: usize,
    /// Whether items have a cas (off: `-C`). Default: true.
    pub cas: bool,
    /// Whether flush_all works (off: `-F`). Default: true.
    pub flush: bool,
    /// Which protocols to speak (`-B`). Default: `Auto`.
    pub protocol: Protocol,
    /// Whether the `shutdown` command works (`-A`). Default: false.
    pub shutdown: bool,
    /// Whether the `debugtime` command works: `debugtime SECONDS` moves the clock, `debugtime p` stops it, `debugtime r`
    /// lets it go on. Default: false.
    pub debug_time: bool,
    /// What to write on stderr (`-v`): 0 nothing, 1 connections that come and go, 2 commands too. Default: 0.
    pub verbose: u32,
    /// What the `version` command says; clients choose features by it. Default: "1.6.18".
    pub version: String,
    /// Who may use it. Default: everybody.
    pub auth: Auth,
    /// The users, where not everybody is one. Default: none.
    pub users: Vec<User>,
    /// The SASL mechanisms that are offered. Default: PLAIN, CRAM-MD5, SCRAM-SHA-1, SCRAM-SHA-256, SCRAM-SHA-512.
    pub mechanisms: Vec<String>,
    /// A connection that is idle for more than so many seconds of the server's clock is closed (`-o idle_timeout`);
    /// 0, the default: none is.
    pub idle_timeout: u64,
    /// What `config get cluster` answers, as an ElastiCache configuration endpoint: a version, a new line, and the nodes as
    /// `host|ip|port` with spaces between. It is not looked at. Default: empty, there is no such command.
    pub cluster: String,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: "127.0.0.1".into(),
            port: 0,
            unix: None,
            item_max: 1 << 20,
            memory_limit: 64 << 20,
            evict: true,
            max_connections: 1024,
            cas: true,
            flush: true,
            protocol: Protocol::Auto,
            shutdown: false,
            debug_time: false,
            verbose: 0,
            version: "1.6.18".into(),
            auth: Auth::None,
            users: Vec::new(),
            mechanisms: Mechanism::ALL.iter().rev().map(|mechanism| mechanism.name().into()).collect(),
            idle_timeout: 0,
            cluster: String::new(),
        }
    }
}

/// What can be changed by name, also while the server runs.
const CHANGES: &str = "auth, cluster, users, mechanisms, fault, idle_timeout, max_connections, version";

impl Config {
    /// The defaults, listening on `host:port` (port 0: of the system's choosing) or `/path` of a Unix socket; empty is
    /// a free port of 127.0.0.1.
    pub fn listening_on(address: &str) -> Result<Config> {
        if address.is_empty() {
            return Ok(Config::default());
        }
        if address.starts_with('/') {
            return Ok(Config { unix: Some(address.into()), ..Config::default() });
        }
        let parts = address.rsplit_once(':').and_then(|(host, port)| Some((unbracketed(host)?, port.parse().ok()?)));
        let Some((host, port)) = parts else {
            let accepted = "host:port, [::1]:port (port 0: any) or /path/of/socket";
            return Err(Error::argument(format!("{address:?} cannot be listened on; accepted is {accepted}")));
        };
        Ok(Config { listen: host.into(), port, ..Config::default() })
    }

    /// Changes what has this name: see [`super::Server::set`].
    pub(super) fn change(&mut self, name: &str, value: &str) -> Result<()> {
        let wrong = |accepted: &str| Error::argument(format!("{name}: {value:?} is not {accepted}"));
        match name {
            "auth" => {
                self.auth = match value {
                    "none" => Auth::None,
                    "sasl" => Auth::Sasl,
                    "ascii" => Auth::Ascii,
                    "memcachier" => Auth::Memcachier,
                    _ => return Err(wrong("one of none, sasl, ascii, memcachier")),
                }
            }
            "cluster" => self.cluster = value.into(),
            "users" => self.users = User::list(value)?,
            "mechanisms" => {
                let names: Vec<String> = value.split_whitespace().map(String::from).collect();
                if names.iter().any(|name| Mechanism::named(name.as_bytes()).is_none()) {
                    let known = Mechanism::ALL.map(Mechanism::name).join(" ");
                    return Err(wrong(&format!("a list of some of {known}")));
                }
                self.mechanisms = names;
            }
            "idle_timeout" => self.idle_timeout = value.parse().map_err(|_| wrong("a number of seconds"))?,
            "max_connections" => {
                let number = value.parse().ok().filter(|number| *number > 0);
                self.max_connections = number.ok_or_else(|| wrong("a number from 1 on"))?;
            }
            "version" => {
                let before = std::mem::replace(&mut self.version, value.into());
                if let Err(error) = self.check() {
                    self.version = before;
                    return Err(error);
                }
            }
            _ => return Err(Error::argument(format!("{name:?} cannot be set; there are advance_seconds, {CHANGES}"))),
        }
        Ok(())
    }

    pub(super) fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::argument(what));
        if !(1 << 10..=1 << 30).contains(&self.item_max) {
            return wrong(format!("item_max {} is not from 1024 to 1073741824 bytes", self.item_max));
        }
        if self.memory_limit < 1 << 20 {
            return wrong(format!("memory_limit {} is less than 1048576 bytes", self.memory_limit));
        }
        match (self.auth, self.protocol) {
            (Auth::Sasl, Protocol::Ascii) => return wrong("auth sasl needs the binary protocol".into()),
            (Auth::Ascii | Auth::Memcachier, Protocol::Binary) => {
                return wrong("auth ascii and memcachier need the text protocol".into());
            }
            _ => {}
        }
        if self.max_connections == 0 {
            return wrong("max_connections 0 is less than 1".into());
        }
        if self.version.is_empty() || !self.version.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong(format!("version {:?} is not one word of printable ASCII", self.version));
        }
        Ok(())
    }
}

/// A host without the brackets of an IPv6 address, which must have them before a port.
fn unbracketed(host: &str) -> Option<&str> {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|host| !host.is_empty()),
        None => (!host.is_empty() && !host.contains(':')).then_some(host),
    }
}
