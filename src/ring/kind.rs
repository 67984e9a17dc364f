//! The kinds of rings there are: for each, its name, what it may be told, and how it calls servers.

use super::key_hash::KeyHash;
use super::server::NameForm;
use crate::error::{Error, Result};

/// How a ring distributes keys: as the client that its name tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum RingKind {
    /// pymemcache's `RendezvousHash`; a lookup looks at every server.
    Rendezvous,
    /// libmemcached's weighted ketama, which most clients share.
    Ketama,
    /// libmemcached's ketama without weights.
    KetamaUnweighted,
    /// libmemcached's ketama for old spymemcached.
    KetamaSpy,
    /// spymemcached's ketama with its own names of points.
    Spymemcached,
    /// twemproxy's ketama.
    Twemproxy,
    /// libmemcached's default: a hash, modulo the number of servers; with weights, twemproxy's.
    Modulo,
    /// gomemcache: CRC-32, modulo the number of servers.
    Gomemcache,
    /// MemCachier's `mc` for Go: FNV-1a, modulo the number of servers.
    Memcachier,
    /// memjs: Java's hash, modulo the number of servers.
    Memjs,
    /// dalli's ring.
    Dalli,
    /// bmemcached's `DistributedClient`, and uhashring.
    Bmemcached,
    /// Jump consistent hash, as memcached's own proxy does it.
    Jump,
    /// mcrouter's default.
    Ch3,
    /// The same with weights.
    WeightedCh3,
    /// mcrouter's CRC-32.
    McrouterCrc32,
    /// mcrouter's rendezvous hashing; a lookup looks at every server.
    McrouterRendezvous,
    /// The same with weights.
    McrouterWeightedRendezvous,
}

impl RingKind {
    /// Every kind.
    pub const ALL: [RingKind; 18] = [
        RingKind::Rendezvous,
        RingKind::Ketama,
        RingKind::KetamaUnweighted,
        RingKind::KetamaSpy,
        RingKind::Spymemcached,
        RingKind::Twemproxy,
        RingKind::Modulo,
        RingKind::Gomemcache,
        RingKind::Memcachier,
        RingKind::Memjs,
        RingKind::Dalli,
        RingKind::Bmemcached,
        RingKind::Jump,
        RingKind::Ch3,
        RingKind::WeightedCh3,
        RingKind::McrouterCrc32,
        RingKind::McrouterRendezvous,
        RingKind::McrouterWeightedRendezvous,
    ];

    /// What the option `distribution` accepts.
    pub const NAMES: [&'static str; RingKind::ALL.len()] = {
        let mut names = [""; RingKind::ALL.len()];
        let mut index = 0;
        while index < names.len() {
            names[index] = RingKind::ALL[index].name();
            index += 1;
        }
        names
    };

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<RingKind> {
        RingKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What the option `distribution` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            RingKind::Rendezvous => "rendezvous",
            RingKind::Ketama => "ketama",
            RingKind::KetamaUnweighted => "ketama_unweighted",
            RingKind::KetamaSpy => "ketama_spy",
            RingKind::Spymemcached => "spymemcached",
            RingKind::Twemproxy => "twemproxy",
            RingKind::Modulo => "modulo",
            RingKind::Gomemcache => "gomemcache",
            RingKind::Memcachier => "memcachier",
            RingKind::Memjs => "memjs",
            RingKind::Dalli => "dalli",
            RingKind::Bmemcached => "bmemcached",
            RingKind::Jump => "jump",
            RingKind::Ch3 => "ch3",
            RingKind::WeightedCh3 => "weighted_ch3",
            RingKind::McrouterCrc32 => "mcrouter_crc32",
            RingKind::McrouterRendezvous => "mcrouter_rendezvous",
            RingKind::McrouterWeightedRendezvous => "mcrouter_weighted_rendezvous",
        }
    }

    /// Whether servers of this ring can have weights other than 1.
    pub fn has_weights(self) -> bool {
        use RingKind::*;
        matches!(
            self,
            Ketama
                | KetamaUnweighted
                | KetamaSpy
                | Spymemcached
                | Twemproxy
                | Modulo
                | Gomemcache
                | Dalli
                | WeightedCh3
                | McrouterWeightedRendezvous
        )
    }

    /// Whether one server less moves its own keys alone, nearly; where not, it moves most of them.
    pub fn is_consistent(self) -> bool {
        use RingKind::*;
        !matches!(self, Modulo | Gomemcache | Memcachier | Memjs | McrouterCrc32)
    }

    /// Whether servers are known by their place in the list, not by their names: then a ring stays consistent only where
    /// they come and go at the end of the list.
    pub fn goes_by_place(self) -> bool {
        matches!(self, RingKind::Jump | RingKind::Ch3 | RingKind::WeightedCh3) || !self.is_consistent()
    }

    /// Its own key hash, and whether another one may be chosen.
    fn own_key_hash(self) -> (KeyHash, bool) {
        match self {
            RingKind::Ketama | RingKind::KetamaSpy => (KeyHash::Md5, true),
            RingKind::KetamaUnweighted | RingKind::Modulo => (KeyHash::OneAtATime, true),
            RingKind::Twemproxy => (KeyHash::Fnv1a64, true),
            RingKind::Jump => (KeyHash::Xxh3, true),
            RingKind::Spymemcached | RingKind::Bmemcached => (KeyHash::Md5, false),
            RingKind::Gomemcache | RingKind::Dalli | RingKind::McrouterCrc32 => (KeyHash::Crc32, false),
            RingKind::Memcachier => (KeyHash::Fnv1a32Unsigned, false),
            RingKind::Memjs => (KeyHash::Java, false),
            // mcrouter's others hash with MurmurHash64A, which nobody else does.
            _ => (KeyHash::Murmur3Zero, false),
        }
    }

    /// The key hash that was chosen, or the kind's own.
    pub(super) fn key_hash(self, chosen: Option<KeyHash>) -> Result<KeyHash> {
        let (own, others) = self.own_key_hash();
        match chosen {
            Some(hash) if hash != own && !others => {
                let (hash, ring) = (hash.name(), self.name());
                Err(Error::argument(format!("option key_hash: {hash:?}; ring {ring} has a key hash of its own: auto")))
            }
            chosen => Ok(chosen.unwrap_or(own)),
        }
    }

    pub(super) fn name_form(self) -> NameForm {
        match self {
            RingKind::Ketama | RingKind::KetamaUnweighted => NameForm::Libmemcached,
            RingKind::Twemproxy => NameForm::HostUnlessDefault,
            RingKind::KetamaSpy => NameForm::Slash,
            RingKind::Bmemcached => NameForm::Bmemcached,
            _ => NameForm::HostPort,
        }
    }
}
