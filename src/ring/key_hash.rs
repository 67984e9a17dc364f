//! Key hashes by the names that libhashkit gives them.

use super::murmur3::murmur3_32;
use md5::{Digest, Md5};

/// What makes a number of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum KeyHash {
    /// The first four bytes of MD5, lowest first.
    Md5,
    /// MurmurHash3 x86_32 with seed 0, as pymemcache calls it.
    Murmur3Zero,
}

impl KeyHash {
    /// Every key hash.
    pub const ALL: [KeyHash; 2] = [KeyHash::Md5, KeyHash::Murmur3Zero];

    /// What the option `key_hash` accepts: `auto`, which stands for the ring's own, and every name.
    pub const NAMES: [&'static str; KeyHash::ALL.len() + 1] = {
        let mut names = ["auto"; KeyHash::ALL.len() + 1];
        let mut index = 0;
        while index < KeyHash::ALL.len() {
            names[index + 1] = KeyHash::ALL[index].name();
            index += 1;
        }
        names
    };

    /// The key hash of this name.
    pub fn parse(name: &str) -> Option<KeyHash> {
        KeyHash::ALL.into_iter().find(|hash| hash.name() == name)
    }

    /// What the option `key_hash` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            KeyHash::Md5 => "md5",
            KeyHash::Murmur3Zero => "murmur3_32",
        }
    }

    /// The hash of a key.
    pub fn of(self, key: &[u8]) -> u32 {
        match self {
            KeyHash::Md5 => {
                let digest = Md5::digest(key);
                u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
            }
            KeyHash::Murmur3Zero => murmur3_32(key, 0),
        }
    }
}
