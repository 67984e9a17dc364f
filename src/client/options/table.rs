//! The table of options: each one's name, type, range, default and line of documentation, and the field that it sets.

use super::super::front::KeyBytes;
use super::super::profile::Profile;
use super::tls::MAX_PEM;
use super::{DiscoveryKind, FailoverKind, Options};
use crate::connection::{Style, MAX_PASSWORD, MAX_USERNAME};
use crate::protocol::sasl::Mechanism;
use crate::protocol::{ProtocolChoice, MAX_KEY};
use crate::ring::{HashTag, KeyForm, KeyHash, RingKind, WEIGHT_MAX};
use crate::route::Mode;
use crate::secret::Secret;
use crate::value::Codec;

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

    pub(super) fn parse<'a>(&self, text: &'a str) -> Option<Setting<'a>> {
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
pub(super) enum Setting<'a> {
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
    pub(super) apply: fn(&mut Options, Setting<'_>),
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

/// A row of text without a zero byte for TLS.
macro_rules! tls_text {
    ($field:ident, $what:expr, $about:expr) => {
        Spec {
            name: concat!("tls_", stringify!($field)),
            kind: Kind::Text(concat!($what, ", without a zero byte"), |value| fits(value, MAX_PEM)),
            default: "",
            about: $about,
            apply: |options, setting| {
                if let Setting::Text(text) = setting {
                    options.tls.$field = text.into();
                }
            },
        }
    };
}

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
        "Milliseconds after a failed attempt to connect in which calls fail at once instead of trying again; 0: none. A profile's is not for Unix sockets"
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
        about: "Keys of over 250 bytes with key_prefix, or of 186 that go by base64; hash: their first 212 bytes (213 with a prefix; 148 and 149 by base64; no UTF-8 character is cut), :md5: and the MD5 of the whole, as dalli",
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
    switch!(failure_is_miss, "false", "A read that failed is answered as a miss, by calls and queues; not a bad argument, nor what was cancelled"),
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
        "PLAIN and ASCII logins show the password on the way: allow them to other hosts than this one; not needed with tls and tls_verify=full"
    ),
    Spec {
        name: "tls",
        kind: Kind::Switch,
        default: "false",
        about: "Connections are encrypted, and servers show certificates (docs/tls.md); for TCP alone",
        apply: |options, setting| {
            if let Setting::Switch(on) = setting {
                options.tls.on = on;
            }
        },
    },
    tls_text!(ca_file, "path", "File of the authorities that sign servers' certificates, in PEM; empty: those that the system trusts"),
    tls_text!(ca, "PEM text", "The same as text"),
    tls_text!(cert_file, "path", "File of the client's certificate, in PEM, with those that lead to its authority; needs a key; empty: it shows none"),
    tls_text!(key_file, "path", "File of the key of that certificate, in PEM, without a password"),
    tls_text!(cert, "PEM text", "The client's certificate as text"),
    Spec {
        name: "tls_key",
        kind: Kind::Secret(MAX_PEM),
        default: "",
        about: "The key of the client's certificate as text",
        apply: |options, setting| {
            if let Setting::Text(text) = setting {
                options.tls.key = Secret::new(text);
            }
        },
    },
    tls_text!(server_name, "host name or IP address", "The name that servers' certificates must be for; empty: the host of the server's address"),
    Spec {
        name: "tls_verify",
        kind: Kind::Choice(&["full", "none"]),
        default: "full",
        about: "Whether a server's certificate is looked at; none: not at all, which is unsafe, since anybody on the way can be the server",
        apply: |options, setting| {
            if let Setting::Choice(index) = setting {
                options.tls.verify_none = index == 1;
            }
        },
    },
    Spec {
        name: "tls_min_version",
        kind: Kind::Choice(&["1.2", "1.3"]),
        default: "1.2",
        about: "The oldest version of TLS that is spoken",
        apply: |options, setting| {
            if let Setting::Choice(index) = setting {
                options.tls.only_13 = index == 1;
            }
        },
    },
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
        name: "discovery",
        kind: Kind::Choice(&["none", "elasticache", "dns"]),
        default: "none",
        about: "Servers are found (docs/discovery.md): elasticache, by asking the configuration endpoint that was added as the server; dns, one for each address of the name that was",
        apply: |options, setting| {
            if let Setting::Choice(index) = setting {
                options.discovery = [DiscoveryKind::None, DiscoveryKind::Elasticache, DiscoveryKind::Dns][index];
            }
        },
    },
    number!(discovery_interval_ms, 10, DAY_MS, "60000", "Milliseconds between two looks of discovery, while there are calls"),
    Spec {
        name: "discovery_names",
        kind: Kind::Choice(&["host", "ip"]),
        default: "host",
        about: "With discovery=elasticache: what the servers are connected to and called on the ring, host:port or, as pymemcache's use_vpc, ip:port; where a node has only one of them, that one",
        apply: |options, setting| {
            if let Setting::Choice(index) = setting {
                options.discovery_by_ip = index == 1;
            }
        },
    },
    Spec {
        name: "failover",
        kind: Kind::Choice(&["breaker", "pymemcache", "none"]),
        default: "breaker",
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
