//! What a server can be told when it starts; the names and defaults are those of memcached's command line where it has
//! them.

use crate::error::{Error, Result};
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
        }
    }
}

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

    pub(super) fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::argument(what));
        if !(1 << 10..=1 << 30).contains(&self.item_max) {
            return wrong(format!("item_max {} is not from 1024 to 1073741824 bytes", self.item_max));
        }
        if self.memory_limit < 1 << 20 {
            return wrong(format!("memory_limit {} is less than 1048576 bytes", self.memory_limit));
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
