//! Options: how a client is to be, set by name from one table. The table is all that the bindings, `docs/options.md` and
//! the error messages know of an option; a new one is a row here and nothing in the ABI.

use super::front::KeyBytes;
use super::profile::Profile;
use crate::connection::{Credentials, Rules, Style, MAX_PASSWORD, MAX_USERNAME};
use crate::error::{Error, Result};
use crate::net::{Address, ConnectHook, ConnectStage, Keepalive};
use crate::pool::{Event, Failover, Listener};
use crate::protocol::sasl::Mechanism;
use crate::protocol::{ProtocolChoice, MAX_KEY};
use crate::ring::{Chooser, HashTag, KeyForm, KeyHash, RingKind, RingSettings, WEIGHT_MAX};
use crate::route::{Ejects, Mode, Server};
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

/// What an option accepts.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number from the first to the second.
    Number(u64, u64),
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text that the function accepts; the words say which.
    Text(&'static str, fn(&str) -> bool),
    /// Text of up to so many bytes, taken as it is, that no message ever shows.
    Secret(usize),
}

impl Kind {
    /// What is accepted, in words.
    pub fn accepts(&self) -> String {
        match self {
            Kind::Number(from, to) => format!("a whole number from {from} to {to}"),
            Kind::Switch => "true or false".into(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
            Kind::Text(words, _) => (*words).into(),
            Kind::Secret(most) => format!("text of up to {most} bytes, without a zero byte; it is shown nowhere"),
        }
    }

    fn parse<'a>(&self, text: &'a str) -> Option<Setting<'a>> {
        let value = text.trim();
        match self {
            Kind::Secret(most) => fits(text, *most).then_some(Setting::Text(text)),
            Kind::Number(from, to) => {
                let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                let number = digits.then(|| value.parse::<u64>().ok()).flatten()?;
                (*from..=*to).contains(&number).then_some(Setting::Number(number))
            }
            Kind::Switch => match value {
                "true" => Some(Setting::Switch(true)),
                "false" => Some(Setting::Switch(false)),
                _ => None,
            },
            Kind::Choice(words) => words.iter().position(|word| *word == value).map(Setting::Choice),
            Kind::Text(_, fits) => fits(value).then_some(Setting::Text(value)),
        }
    }
}

/// A value that an option accepts: a choice by its place in the list of words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Setting<'a> {
    Number(u64),
    Switch(bool),
    Choice(usize),
    Text(&'a str),
}

/// A row of the table.
pub struct Spec {
    pub name: &'static str,
    pub kind: Kind,
    pub default: &'static str,
    /// One line, with the unit.
    pub about: &'static str,
    apply: fn(&mut Options, Setting<'_>),
}

impl Spec {
    /// The value that it has in a profile.
    pub fn of_profile(&self, profile: Profile) -> &'static str {
        profile.value_of(self.name).unwrap_or(self.default)
    }

    /// Whether no message may show its value.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret(_))
    }
}

const PROTOCOLS: &[(&str, ProtocolChoice)] = &[
    ("auto", ProtocolChoice::Auto),
    ("text", ProtocolChoice::Text),
    ("meta", ProtocolChoice::Meta),
    ("binary", ProtocolChoice::Binary),
];

fn fits(text: &str, most: usize) -> bool {
    text.len() <= most && !text.contains('\0')
}

const STYLES: [Style; 4] = [Style::Auto, Style::Sasl, Style::Ascii, Style::Memcachier];

/// A row whose value is a number that fits the field.
macro_rules! number {
    ($field:ident, $from:expr, $to:expr, $default:expr, $about:expr) => {
        Spec {
            name: stringify!($field),
            kind: Kind::Number($from, $to),
            default: $default,
            about: $about,
            apply: |options, setting| {
                if let Setting::Number(number) = setting {
                    options.$field = number.try_into().unwrap_or(options.$field);
                }
            },
        }
    };
}

/// A row whose value is true or false.
macro_rules! switch {
    ($field:ident, $default:expr, $about:expr) => {
        Spec {
            name: stringify!($field),
            kind: Kind::Switch,
            default: $default,
            about: $about,
            apply: |options, setting| {
                if let Setting::Switch(on) = setting {
                    options.$field = on;
                }
            },
        }
    };
}

const MODES: [(&str, Option<Mode>); 4] = [
    ("auto", None),
    ("single", Some(Mode::Single)),
    ("hashed", Some(Mode::Hashed)),
    ("replicated", Some(Mode::Replicated)),
];

const DAY_MS: u64 = 86_400_000;

/// Every option there is, in the order of the documentation.
pub const TABLE: &[Spec] = &[
    Spec {
        name: "profile",
        kind: Kind::Choice(&["none", "bmemcached", "pymemcache"]),
        default: "none",
        about: "Defaults as those of this Python client, for all that is not set, before or after",
        apply: |options, setting| {
            if let Setting::Choice(index) = setting {
                options.use_profile([Profile::None, Profile::Bmemcached, Profile::Pymemcache][index]);
            }
        },
    },
    Spec {
        name: "protocol",
        kind: Kind::Choice(&["auto", "text", "meta", "binary"]),
        default: "auto",
        about: "Wire protocol; auto: what the server is found to understand best",
        apply: |options, setting| {
            if let Setting::Choice(index) = setting {
                options.protocol = PROTOCOLS[index].1;
            }
        },
    },
    number!(
        timeout_ms,
        1,
        DAY_MS,
        "1000",
        "Milliseconds that a call may take in all, from name lookup to the last byte of the answer"
    ),
    number!(
        connect_timeout_ms,
        1,
        DAY_MS,
        "500",
        "Milliseconds of a call that opening a connection may take: lookup, every address, handshake"
    ),
    number!(connections, 1, 1024, "2", "Connections to each server at most; opened when they are first needed"),
    number!(
        connections_idle_ms,
        0,
        DAY_MS,
        "60000",
        "Milliseconds after which an unused connection is closed instead of used; 0: never"
    ),
    number!(
        max_waiting,
        1,
        1_000_000,
        "100000",
        "Calls that may be under way to one server at once; the next one fails with BUSY"
    ),
    number!(
        max_value_bytes,
        1024,
        1 << 30,
        "134217728",
        "Longest value that is accepted from a server or sent to it, in bytes as they are on the wire"
    ),
    switch!(no_delay, "true", "TCP_NODELAY: small requests are sent at once"),
    number!(
        keepalive_s,
        0,
        32_767,
        "0",
        "Seconds of silence on a TCP connection after which the kernel asks whether the server is still there; 0: never"
    ),
    number!(keepalive_interval_s, 1, 32_767, "1", "Seconds after which `keepalive_s` asks again"),
    number!(keepalive_count, 1, 127, "5", "Questions of `keepalive_s` without an answer that end the connection"),
    number!(
        reconnect_delay_ms,
        0,
        DAY_MS,
        "0",
        "Milliseconds after a failed attempt to connect in which calls fail at once instead of trying again; 0: none"
    ),
    number!(slow_ms, 0, DAY_MS, "0", "Milliseconds from which on a call is told of by the event `slow`; 0: none is"),
    Spec {
        name: "key_prefix",
        kind: Kind::Text("text of up to 249 bytes, without spaces and control characters", |value| {
            value.len() < MAX_KEY && !value.bytes().any(|byte| byte <= b' ' || byte == 0x7f)
        }),
        default: "",
        about: "Put before every key, and taken off keys that come back; the ring hashes the key without it, but for distribution dalli",
        apply: |options, setting| {
            if let Setting::Text(text) = setting {
                options.key_prefix = text.into();
            }
        },
    },
    Spec {
        name: "long_keys",
        kind: Kind::Choice(&["error", "hash"]),
        default: "error",
        about: "Keys of over 250 bytes with key_prefix; hash: their first 212 bytes (213 with a prefix), :md5: and the MD5 of the whole, as dalli",
        apply: |options, setting| {
            if let Setting::Choice(index) = setting {
                options.long_keys_hash = index == 1;
            }
        },
    },
    Spec {
        name: "key_bytes",
        kind: Kind::Choice(&["ascii", "utf8", "any"]),
        default: "ascii",
        about: "What keys may have over text and meta, never spaces or control characters over text; any: over meta by base64, up to 186 bytes",
        apply: |options, setting| {
            if let Setting::Choice(index) = setting {
                options.key_bytes = [KeyBytes::Ascii, KeyBytes::Utf8, KeyBytes::Any][index];
            }
        },
    },
    switch!(
        no_reply,
        "false",
        "Writes, touch and flush_all go without reply, but for incr, decr and those that name or want a cas, or the reply"
    ),
    switch!(counter_create, "false", "incr and decr create a missing counter, with counter_initial and counter_ttl"),
    number!(counter_initial, 0, u64::MAX, "0", "What a counter begins with that counter_create creates"),
    number!(counter_ttl, 0, u32::MAX as u64, "0", "Seconds that such a counter lives; 0: until evicted"),
    switch!(failure_is_miss, "false", "A read that failed is answered as a miss; calls only, not queues"),
    Spec {
        name: "username",
        kind: Kind::Text("text of up to 250 bytes, without a zero byte", |value| fits(value, MAX_USERNAME)),
        default: "",
        about: "User that new connections log in as; needs `password`; empty: they do not log in",
        apply: |options, setting| {
            if let Setting::Text(text) = setting {
                options.username = text.into();
            }
        },
    },
    Spec {
        name: "password",
        kind: Kind::Secret(MAX_PASSWORD),
        default: "",
        about: "Password of `username`",
        apply: |options, setting| {
            if let Setting::Text(text) = setting {
                options.password = Secret::new(text);
            }
        },
    },
    Spec {
        name: "auth",
        kind: Kind::Choice(&["auto", "sasl", "ascii", "memcachier"]),
        default: "auto",
        about: "How to log in; auto: SASL over binary, memcached's -Y over text and meta; the others force SASL, -Y or MemCachier's form",
        apply: |options, setting| {
            if let Setting::Choice(index) = setting {
                options.auth = STYLES[index];
            }
        },
    },
    Spec {
        name: "sasl_mechanism",
        kind: Kind::Choice(&["auto", "SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN"]),
        default: "auto",
        about: "SASL mechanism; auto: the first of this list that the server offers",
        apply: |options, setting| {
            if let Setting::Choice(index) = setting {
                options.sasl_mechanism = index.checked_sub(1).map(|index| Mechanism::ALL[index]);
            }
        },
    },
    switch!(auth_optional, "false", "A server without authentication is used as well where credentials are set"),
    switch!(
        allow_plaintext_auth,
        "false",
        "PLAIN and ASCII logins show the password on the way: allow them to other hosts than this one"
    ),
    Spec {
        name: "mode",
        kind: Kind::Choice(&["auto", "single", "hashed", "replicated"]),
        default: "auto",
        about: "What several servers are for: hashed, each key is on one of them; replicated, all have all keys; auto: single for one, hashed for several",
        apply: |options, setting| {
            if let Setting::Choice(index) = setting {
                options.mode = MODES[index].1;
            }
        },
    },
    Spec {
        name: "failover",
        kind: Kind::Choice(&["breaker", "pymemcache", "none"]),
        default: "none",
        about: "What is done about a server that fails (docs/failover.md): calls to it fail at once, until a probe is answered; the same in pymemcache's steps; or nothing",
        apply: |options, setting| {
            if let Setting::Choice(index) = setting {
                options.failover = [FailoverKind::Breaker, FailoverKind::Pymemcache, FailoverKind::None][index];
            }
        },
    },
    switch!(
        eject,
        "false",
        "With failover=breaker and mode=hashed: the keys of a server that is out go to the next one on the ring, unless more than half are out"
    ),
    number!(
        breaker_timeouts,
        1,
        1000,
        "3",
        "With failover=breaker: connections given up by a time-out, in a row, after which a server is out; one that cannot be made is enough"
    ),
    number!(
        probe_min_ms,
        1,
        DAY_MS,
        "250",
        "With failover=breaker: milliseconds until the first probe, less up to half of them by chance; each further one comes twice as late"
    ),
    number!(probe_max_ms, 1, DAY_MS, "10000", "With failover=breaker: milliseconds between two probes at most"),
    number!(
        retry_attempts,
        0,
        1000,
        "2",
        "With failover=pymemcache: probes that must fail before a server is dead and its keys go to others; 0: it is at once"
    ),
    number!(retry_timeout_ms, 0, DAY_MS, "1000", "With failover=pymemcache: milliseconds before each of these probes"),
    number!(
        dead_timeout_ms,
        0,
        DAY_MS,
        "60000",
        "With failover=pymemcache: milliseconds before each probe of a server that is dead"
    ),
    Spec {
        name: "distribution",
        kind: Kind::Choice(&RingKind::NAMES),
        default: "rendezvous",
        about: "Which of several servers has a key: as the client of this name decides it (docs/rings.md)",
        apply: |options, setting| {
            if let Setting::Choice(index) = setting {
                options.distribution = RingKind::ALL[index];
            }
        },
    },
    Spec {
        name: "key_hash",
        kind: Kind::Choice(&KeyHash::NAMES),
        default: "auto",
        about: "How the ring hashes keys, where its kind has a choice; auto: as it usually does",
        apply: |options, setting| {
            if let Setting::Choice(index) = setting {
                options.ring.key_hash = KeyHash::parse(KeyHash::NAMES[index]);
            }
        },
    },
    Spec {
        name: "hash_tag",
        kind: Kind::Text("two ASCII characters, as {}, or nothing", |value| {
            value.is_empty() || HashTag::parse(value).is_some()
        }),
        default: "",
        about: "Two characters; the ring hashes only what stands between them, where a key has both",
        apply: |options, setting| {
            if let Setting::Text(text) = setting {
                options.ring.hash_tag = HashTag::parse(text);
            }
        },
    },
    Spec {
        name: "key_form",
        kind: Kind::Choice(&KeyForm::NAMES),
        default: "text",
        about: "For rings of Python clients: whether keys were str or bytes there, which hash differently",
        apply: |options, setting| {
            if let Setting::Choice(index) = setting {
                options.ring.key_form = KeyForm::parse(KeyForm::NAMES[index]).unwrap_or_default();
            }
        },
    },
    Spec {
        name: "hash_seed",
        kind: Kind::Number(0, u32::MAX as u64),
        default: "0",
        about: "The seed that pymemcache's RendezvousHash was made with, for distribution rendezvous",
        apply: |options, setting| {
            if let Setting::Number(number) = setting {
                options.ring.seed = number as u32;
            }
        },
    },
    Spec {
        name: "weight_unit",
        kind: Kind::Number(0, WEIGHT_MAX as u64),
        default: "0",
        about: "The weight that stands for mcrouter's 1.0, for distribution weighted_ch3; 0: the largest one",
        apply: |options, setting| {
            if let Setting::Number(number) = setting {
                options.ring.weight_unit = number as u32;
            }
        },
    },
    Spec {
        name: "codec",
        kind: Kind::Choice(&Codec::NAMES),
        default: "none",
        about: "Whose values and flags are written and read (docs/values.md); none: bytes, and the caller's flags",
        apply: |options, setting| {
            if let Setting::Choice(index) = setting {
                options.codec = Codec::ALL[index];
            }
        },
    },
    switch!(
        compression,
        "true",
        "Whether a codec compresses long values; those that are compressed are read in any case"
    ),
    number!(
        compress_threshold,
        0,
        1 << 30,
        "0",
        "Bytes of which a value must have more to be compressed; 0: as the codec's client does by default"
    ),
    number!(compress_level, 1, 9, "6", "How hard a codec compresses, from 1 (fast) to 9 (small)"),
    number!(
        max_decompressed_bytes,
        1024,
        1 << 30,
        "67108864",
        "Bytes to which a compressed value may unpack; a longer one is the failure DECODE"
    ),
    number!(
        retries,
        0,
        10,
        "0",
        "How often an operation that failed is sent again within its time: only one that was not sent, or harms nobody when it is done twice"
    ),
    number!(
        retry_delay_ms,
        0,
        60_000,
        "10",
        "Milliseconds before an operation is sent again, from half as many to one and a half times as many"
    ),
    number!(
        fallback_copy_ttl,
        0,
        999_999_999,
        "0",
        "Seconds that what a fallback client has found in an older client lives in the first, where it is put; 0: it is not put there"
    ),
];

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
            allow_plaintext: self.allow_plaintext_auth,
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

    /// Has `choose(key, servers)` say which server, from 0 on, has a key, instead of the ring that `distribution` names.
    pub fn on_route(&mut self, choose: impl Fn(&[u8], usize) -> usize + Send + Sync + 'static) {
        self.ring.chooser = Some(Chooser::new(choose));
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
