//! Options: how a client is to be, set by name from one table ([`table`]). The table is all that the bindings,
//! `docs/options.md` and the error messages know of an option; a new one is a row there and nothing in the ABI.

mod table;
mod tls;

pub use table::{Kind, Spec, TABLE};
pub use tls::TlsOptions;

use super::front::KeyBytes;
use super::profile::Profile;
use crate::connection::{Credentials, Rules, Style};
use crate::error::{Error, Result};
use crate::net::{Address, ConnectHook, ConnectStage, Keepalive};
use crate::pool::{Event, Failover, Listener};
use crate::protocol::sasl::Mechanism;
use crate::protocol::ProtocolChoice;
use crate::ring::{Chooser, RingKind, RingSettings};
use crate::route::{Ejects, Finder, Mode, Plan, Server, Source};
use crate::secret::Secret;
use crate::value::{Codec, Compressor, CustomCompressor};
use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;

/// How a client is to be. Fields are the rows of [`TABLE`]; see there for units, ranges and defaults.
#[derive(Clone, Debug)]
pub struct Options {
    pub servers: Vec<Server>,
    pub protocol: ProtocolChoice,
    pub timeout_ms: u32,
    pub connect_timeout_ms: u32,
    pub connections: u32,
    pub connections_idle_ms: u32,
    pub max_waiting: u32,
    pub max_value_bytes: u64,
    pub no_delay: bool,
    pub keepalive_s: u32,
    pub keepalive_interval_s: u32,
    pub keepalive_count: u32,
    pub reconnect_delay_ms: u32,
    pub slow_ms: u32,
    pub key_prefix: String,
    pub long_keys_hash: bool,
    pub key_bytes: KeyBytes,
    pub no_reply: bool,
    pub counter_create: bool,
    pub counter_initial: u64,
    pub counter_ttl: u32,
    pub failure_is_miss: bool,
    /// The names of the options that were set, and of the profile.
    pub(super) explicit: BTreeSet<&'static str>,
    /// How the servers share the keys; `None`: as their number says.
    pub mode: Option<Mode>,
    pub retries: u32,
    pub retry_delay_ms: u32,
    pub fallback_copy_ttl: u32,
    /// How the servers are found; those of the options are whom to ask.
    pub discovery: DiscoveryKind,
    pub discovery_interval_ms: u32,
    /// A cluster's servers are called by their IP addresses.
    pub discovery_by_ip: bool,
    /// Who finds them instead: [`Options::on_discover`].
    pub finder: Option<Finder>,
    pub failover: FailoverKind,
    pub eject: bool,
    pub breaker_timeouts: u32,
    pub probe_min_ms: u32,
    pub probe_max_ms: u32,
    pub retry_attempts: u32,
    pub retry_timeout_ms: u32,
    pub dead_timeout_ms: u32,
    pub distribution: RingKind,
    /// What the ring is told: `key_hash` and the rows after it.
    pub ring: RingSettings,
    pub codec: Codec,
    pub compression: bool,
    pub compress_threshold: usize,
    pub compress_level: u32,
    pub max_decompressed_bytes: usize,
    /// Used instead of zlib: [`Options::set_compressor`].
    pub compressor: CustomCompressor,
    pub username: String,
    pub password: Secret,
    pub(crate) auth: Style,
    pub(crate) sasl_mechanism: Option<Mechanism>,
    pub auth_optional: bool,
    pub allow_plaintext_auth: bool,
    pub tls: TlsOptions,
    /// Who is told of events: [`Options::on_event`].
    pub listener: Listener,
    /// Who sees new sockets: [`Options::on_connect`].
    pub on_connect: ConnectHook,
}

/// What is done about servers that fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailoverKind {
    Breaker,
    Pymemcache,
    None,
}

/// How the servers of a client are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiscoveryKind {
    None,
    Elasticache,
    Dns,
}

impl Default for Options {
    fn default() -> Options {
        let mut options = Options {
            servers: Vec::new(),
            protocol: ProtocolChoice::Auto,
            timeout_ms: 0,
            connect_timeout_ms: 0,
            connections: 0,
            connections_idle_ms: 0,
            max_waiting: 0,
            max_value_bytes: 0,
            no_delay: false,
            keepalive_s: 0,
            keepalive_interval_s: 0,
            keepalive_count: 0,
            reconnect_delay_ms: 0,
            slow_ms: 0,
            key_prefix: String::new(),
            long_keys_hash: false,
            key_bytes: KeyBytes::Ascii,
            no_reply: false,
            counter_create: false,
            counter_initial: 0,
            counter_ttl: 0,
            failure_is_miss: false,
            explicit: BTreeSet::new(),
            mode: None,
            retries: 0,
            retry_delay_ms: 0,
            fallback_copy_ttl: 0,
            discovery: DiscoveryKind::None,
            discovery_interval_ms: 0,
            discovery_by_ip: false,
            finder: None,
            failover: FailoverKind::Breaker,
            eject: false,
            breaker_timeouts: 0,
            probe_min_ms: 0,
            probe_max_ms: 0,
            retry_attempts: 0,
            retry_timeout_ms: 0,
            dead_timeout_ms: 0,
            distribution: RingKind::Rendezvous,
            ring: RingSettings::default(),
            codec: Codec::None,
            compression: false,
            compress_threshold: 0,
            compress_level: 0,
            max_decompressed_bytes: 0,
            compressor: CustomCompressor::default(),
            username: String::new(),
            password: Secret::default(),
            auth: Style::Auto,
            sasl_mechanism: None,
            auth_optional: false,
            allow_plaintext_auth: false,
            tls: TlsOptions::default(),
            listener: Listener::default(),
            on_connect: ConnectHook::default(),
        };
        for spec in TABLE {
            if let Some(setting) = spec.kind.parse(spec.default) {
                (spec.apply)(&mut options, setting);
            }
        }
        options
    }
}

impl Options {
    /// Every option at its default, and no server.
    pub fn new() -> Options {
        Options::default()
    }

    /// Sets an option by its name; `value` is written as in a configuration file.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let Some(spec) = TABLE.iter().find(|spec| spec.name == name) else {
            let names: Vec<&str> = TABLE.iter().map(|spec| spec.name).collect();
            return Err(Error::argument(format!("unknown option {name:?}; there are {}", names.join(", "))));
        };
        let Some(setting) = spec.kind.parse(value) else {
            let shown = if spec.is_secret() { "the value".into() } else { format!("{value:?}") };
            return Err(Error::argument(format!("option {name}: {shown} is not {}", spec.kind.accepts())));
        };
        (spec.apply)(self, setting);
        self.explicit.insert(spec.name);
        Ok(())
    }

    /// Sets what nobody has set to the values that a profile has for it.
    pub(super) fn use_profile(&mut self, profile: Profile) {
        for spec in TABLE.iter().filter(|spec| spec.name != "profile") {
            let value = spec.of_profile(profile);
            if let Some(setting) = spec.kind.parse(value).filter(|_| !self.explicit.contains(spec.name)) {
                (spec.apply)(self, setting);
            }
        }
    }

    /// The credentials, if there are any. Fails where they are none, or cannot be used with this protocol.
    pub(crate) fn credentials(&self) -> Result<Option<Credentials>> {
        let ascii = matches!(self.auth, Style::Ascii | Style::Memcachier);
        match self.protocol {
            ProtocolChoice::Binary if ascii => {
                Err(Error::argument("auth=ascii and memcachier need protocol auto, text or meta"))
            }
            ProtocolChoice::Text | ProtocolChoice::Meta if self.auth == Style::Sasl => {
                Err(Error::argument("auth=sasl needs protocol auto or binary"))
            }
            _ => Credentials::new(&self.username, &self.password),
        }
    }

    /// What the ring is told; bmemcached's has the credentials in its servers' names.
    pub(crate) fn ring_settings(&self) -> RingSettings {
        let in_names = self.distribution == RingKind::Bmemcached && !self.username.is_empty();
        let credentials = in_names.then(|| (self.username.clone(), self.password.clone()));
        RingSettings { credentials, ..self.ring.clone() }
    }

    pub(crate) fn keepalive(&self) -> Option<Keepalive> {
        let (interval, count) = (self.keepalive_interval_s, self.keepalive_count);
        (self.keepalive_s > 0).then_some(Keepalive { idle: self.keepalive_s, interval, count })
    }

    /// Has `see` called with every new socket of the clients made of these options, before it connects and once it has;
    /// anything but zero refuses it. It is called on the thread that needs the connection, with the address that is
    /// connected to; it must not block, keep or close the socket, nor use the same client or a queue.
    pub fn on_connect(&mut self, see: impl Fn(BorrowedFd<'_>, ConnectStage, &Address) -> i32 + Send + Sync + 'static) {
        self.on_connect = ConnectHook::new(see);
    }

    pub(crate) fn failover_rules(&self) -> Failover {
        let ns = |ms: u32| u64::from(ms) * 1_000_000;
        match self.failover {
            FailoverKind::None => Failover::None,
            FailoverKind::Breaker => Failover::Breaker {
                timeouts: self.breaker_timeouts,
                probe_min: ns(self.probe_min_ms),
                probe_max: ns(self.probe_max_ms.max(self.probe_min_ms)),
            },
            FailoverKind::Pymemcache => Failover::Pymemcache {
                attempts: self.retry_attempts,
                retry: ns(self.retry_timeout_ms),
                dead: ns(self.dead_timeout_ms),
            },
        }
    }

    /// Whether keys of a server that is out go to others.
    pub(crate) fn ejects(&self) -> Ejects {
        match self.failover {
            FailoverKind::Pymemcache => Ejects::Always,
            FailoverKind::Breaker if self.eject => Ejects::UnlessMost,
            FailoverKind::Breaker | FailoverKind::None => Ejects::Never,
        }
    }

    /// The rules of a login.
    pub(crate) fn login_rules(&self) -> Rules {
        Rules {
            style: self.auth,
            mechanism: self.sasl_mechanism,
            optional: self.auth_optional,
            allow_plaintext: self.allow_plaintext_auth || self.tls.is_private(),
        }
    }

    /// Has `tell` called for each event of the clients made of these options, on the thread that noticed it. It must not
    /// block, nor use the same client.
    pub fn on_event(&mut self, tell: impl Fn(&Event) + Send + Sync + 'static) {
        self.listener = Listener::new(tell);
    }

    /// Has a compressor of the caller's used instead of the codec's own zlib or gzip.
    pub fn set_compressor(&mut self, compressor: impl Compressor + 'static) {
        self.compressor = CustomCompressor::new(compressor);
    }

    /// Has `choose(key, servers)` say which server, from 0 on, has a key, instead of the ring that `distribution` names. An
    /// operation on a key for which it chooses none, or panics, fails alone.
    pub fn on_route(&mut self, choose: impl Fn(&[u8], usize) -> usize + Send + Sync + 'static) {
        self.ring.chooser = Some(Chooser::new(choose));
    }

    /// Has `find` say which servers there are, every `discovery_interval_ms`, before the call that finds it due. It is called
    /// on the thread of that call, must not block, and must not use the client or a queue.
    pub fn on_discover(&mut self, find: impl Fn() -> Result<Vec<Server>> + Send + Sync + 'static) {
        self.finder = Some(Finder::new(find));
    }

    /// Whether the servers are found.
    pub(super) fn is_discovered(&self) -> bool {
        self.finder.is_some() || self.discovery != DiscoveryKind::None
    }

    /// How they are.
    pub(super) fn plan(&self) -> Result<Option<Plan>> {
        let source = match (self.discovery, &self.finder) {
            (DiscoveryKind::None, None) => return Ok(None),
            (DiscoveryKind::None, Some(finder)) => Source::Function(finder.clone()),
            (_, Some(_)) => return Err(Error::argument("option discovery and a discovery callback: there can be one")),
            (DiscoveryKind::Elasticache, None) => Source::Cluster,
            (DiscoveryKind::Dns, None) => Source::Names,
        };
        let interval = u64::from(self.discovery_interval_ms) * 1_000_000;
        Ok(Some(Plan { source, interval, by_ip: self.discovery_by_ip }))
    }

    /// Adds a server: `host`, `host:port`, `1.2.3.4:port`, `[::1]:port`, `::1` or `/path/of/socket`. An empty `name`
    /// is the address as it is written; `weight` is 1 or more.
    pub fn add_server(&mut self, address: &str, name: &str, weight: u32) -> Result<()> {
        self.servers.push(Server::parse(address, name, weight)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_accepted_and_applied() {
        for spec in TABLE {
            assert!(spec.kind.parse(spec.default).is_some(), "{}", spec.name);
        }
        let options = Options::new();
        assert_eq!((options.timeout_ms, options.connections, options.no_delay), (1000, 2, true));
    }

    #[test]
    fn bad_options_are_named_with_what_is_accepted() {
        let mut options = Options::new();
        let message = |result: Result<()>| result.unwrap_err().message().to_string();
        let unknown = message(options.set("tiemout_ms", "5"));
        assert!(unknown.contains("\"tiemout_ms\"") && unknown.contains("connect_timeout_ms"), "{unknown}");
        for bad in ["0", "-1", "", "5s", "+5", "99999999999999999999999"] {
            let words = message(options.set("timeout_ms", bad));
            assert!(words.contains("timeout_ms") && words.contains("from 1 to 86400000"), "{words}");
        }
        assert!(message(options.set("protocol", "ascii")).contains("auto, text, meta, binary"));
        assert!(message(options.set("no_delay", "yes")).contains("true or false"));
        for bad in ["hunter2\0", &"hunter2".repeat(1000)] {
            let words = message(options.set("password", bad));
            assert!(words.contains("password") && words.contains("4096") && !words.contains("hunter2"), "{words}");
        }
        assert!(message(options.set("sasl_mechanism", "LOGIN")).contains("SCRAM-SHA-512"));
        options.set("password", " hunter2 ").unwrap();
        assert_eq!(options.password.expose(), " hunter2 ");
        assert!(!format!("{options:?}").contains("hunter2"));
        options.set("timeout_ms", " 250 ").unwrap();
        assert_eq!(options.timeout_ms, 250);
    }
}
