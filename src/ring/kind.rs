//! The kinds of rings there are: for each, its name, what it may be told, and how it calls servers.

use super::key_hash::KeyHash;
use super::server::NameForm;
use crate::error::{Error, Result};

/// How a ring distributes keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum RingKind {
    /// pymemcache's `RendezvousHash`; a lookup looks at every server.
    Rendezvous,
    /// libmemcached's weighted ketama, which most clients share.
    Ketama,
}

impl RingKind {
    /// Every kind.
    pub const ALL: [RingKind; 2] = [RingKind::Rendezvous, RingKind::Ketama];

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
        }
    }

    /// Whether servers of this ring can have weights other than 1.
    pub fn has_weights(self) -> bool {
        matches!(self, RingKind::Ketama)
    }

    /// The key hashes that this kind can have, its own one first.
    fn key_hashes(self) -> &'static [KeyHash] {
        match self {
            RingKind::Rendezvous => &[KeyHash::Murmur3Zero],
            RingKind::Ketama => &[KeyHash::Md5],
        }
    }

    /// The key hash that was chosen, or the kind's own.
    pub(super) fn key_hash(self, chosen: Option<KeyHash>) -> Result<KeyHash> {
        let choices = self.key_hashes();
        let hash = chosen.unwrap_or(choices[0]);
        if choices.contains(&hash) {
            return Ok(hash);
        }
        let names: Vec<&str> = choices.iter().map(|hash| hash.name()).collect();
        let (ring, hash, names) = (self.name(), hash.name(), names.join(", "));
        Err(Error::argument(format!("option key_hash: {hash:?} is not one that ring {ring} has: {names}")))
    }

    pub(super) fn name_form(self) -> NameForm {
        match self {
            RingKind::Rendezvous => NameForm::HostPort,
            RingKind::Ketama => NameForm::Libmemcached,
        }
    }
}
