//! Key hashes by name: libhashkit's by the names that it gives them, and those of other clients.

use super::libhashkit;
use super::murmur3::murmur3_32;
use md5::{Digest, Md5};
use xxhash_rust::xxh3::xxh3_64;

/// What makes a number of a key. The names that end in `Unsigned` are what libmemcached computes where C's `char` is
/// unsigned (ARM under Linux); it differs for keys with bytes from 0x80 on. All but `Xxh3` have 32 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum KeyHash {
    /// Jenkins' one-at-a-time: libmemcached's default.
    OneAtATime,
    /// The first four bytes of MD5, lowest first.
    Md5,
    /// Fifteen bits of CRC-32: bits 16 to 30.
    Crc,
    Fnv1_64,
    Fnv1a64,
    Fnv1_32,
    Fnv1a32,
    Hsieh,
    /// MurmurHash2.
    Murmur,
    /// MurmurHash3 x86_32, with a seed that depends on the length.
    Murmur3,
    /// lookup3.
    Jenkins,
    OneAtATimeUnsigned,
    Fnv1_64Unsigned,
    Fnv1a64Unsigned,
    Fnv1_32Unsigned,
    Fnv1a32Unsigned,
    HsiehUnsigned,
    /// CRC-32 as zlib computes it.
    Crc32,
    /// MurmurHash3 x86_32 with seed 0, as pymemcache calls it.
    Murmur3Zero,
    /// `String.hashCode` of Java, over UTF-16; bytes that are no UTF-8 are U+FFFD.
    Java,
    /// XXH3 of 64 bits: memcached's own proxy.
    Xxh3,
}

/// Every key hash with its name, in the order of the documentation.
const NAMED: [(KeyHash, &str); 21] = [
    (KeyHash::OneAtATime, "one_at_a_time"),
    (KeyHash::Md5, "md5"),
    (KeyHash::Crc, "crc"),
    (KeyHash::Fnv1_64, "fnv1_64"),
    (KeyHash::Fnv1a64, "fnv1a_64"),
    (KeyHash::Fnv1_32, "fnv1_32"),
    (KeyHash::Fnv1a32, "fnv1a_32"),
    (KeyHash::Hsieh, "hsieh"),
    (KeyHash::Murmur, "murmur"),
    (KeyHash::Murmur3, "murmur3"),
    (KeyHash::Jenkins, "jenkins"),
    (KeyHash::OneAtATimeUnsigned, "one_at_a_time_unsigned"),
    (KeyHash::Fnv1_64Unsigned, "fnv1_64_unsigned"),
    (KeyHash::Fnv1a64Unsigned, "fnv1a_64_unsigned"),
    (KeyHash::Fnv1_32Unsigned, "fnv1_32_unsigned"),
    (KeyHash::Fnv1a32Unsigned, "fnv1a_32_unsigned"),
    (KeyHash::HsiehUnsigned, "hsieh_unsigned"),
    (KeyHash::Crc32, "crc32"),
    (KeyHash::Murmur3Zero, "murmur3_32"),
    (KeyHash::Java, "java"),
    (KeyHash::Xxh3, "xxh3"),
];

impl KeyHash {
    /// What the option `key_hash` accepts: `auto`, which stands for the ring's own, every name, and `default`, which is
    /// libhashkit's other name of `one_at_a_time`.
    pub const NAMES: [&'static str; NAMED.len() + 2] = {
        let mut names = ["auto"; NAMED.len() + 2];
        let mut index = 0;
        while index < NAMED.len() {
            names[index + 1] = NAMED[index].1;
            index += 1;
        }
        names[NAMED.len() + 1] = "default";
        names
    };

    /// Every key hash.
    pub fn all() -> impl Iterator<Item = KeyHash> {
        NAMED.iter().map(|(hash, _)| *hash)
    }

    /// The key hash of this name.
    pub fn parse(name: &str) -> Option<KeyHash> {
        if name == "default" {
            return Some(KeyHash::OneAtATime);
        }
        NAMED.iter().find(|(_, known)| *known == name).map(|(hash, _)| *hash)
    }

    /// What the option `key_hash` calls it.
    pub fn name(self) -> &'static str {
        NAMED.iter().find(|(hash, _)| *hash == self).map_or("", |(_, name)| name)
    }

    /// The hash of a key, in 32 bits: the lower ones.
    pub fn of(self, key: &[u8]) -> u32 {
        match self {
            KeyHash::OneAtATime => libhashkit::one_at_a_time::<true>(key),
            KeyHash::Md5 => {
                let digest = Md5::digest(key);
                u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
            }
            KeyHash::Crc => crc32fast::hash(key) >> 16 & 0x7fff,
            KeyHash::Fnv1_64 => libhashkit::fnv1_64::<true>(key),
            KeyHash::Fnv1a64 => libhashkit::fnv1a_64::<true>(key),
            KeyHash::Fnv1_32 => libhashkit::fnv1_32::<true>(key),
            KeyHash::Fnv1a32 => libhashkit::fnv1a_32::<true>(key),
            KeyHash::Hsieh => libhashkit::hsieh::<true>(key),
            KeyHash::Murmur => libhashkit::murmur2(key),
            KeyHash::Murmur3 => murmur3_32(key, libhashkit::murmur_seed(key)),
            KeyHash::Jenkins => libhashkit::jenkins(key),
            KeyHash::OneAtATimeUnsigned => libhashkit::one_at_a_time::<false>(key),
            KeyHash::Fnv1_64Unsigned => libhashkit::fnv1_64::<false>(key),
            KeyHash::Fnv1a64Unsigned => libhashkit::fnv1a_64::<false>(key),
            KeyHash::Fnv1_32Unsigned => libhashkit::fnv1_32::<false>(key),
            KeyHash::Fnv1a32Unsigned => libhashkit::fnv1a_32::<false>(key),
            KeyHash::HsiehUnsigned => libhashkit::hsieh::<false>(key),
            KeyHash::Crc32 => crc32fast::hash(key),
            KeyHash::Murmur3Zero => murmur3_32(key, 0),
            KeyHash::Java => java(key),
            KeyHash::Xxh3 => xxh3_64(key) as u32,
        }
    }

    /// The hash of a key, in all the bits that it has.
    pub fn wide(self, key: &[u8]) -> u64 {
        match self {
            KeyHash::Xxh3 => xxh3_64(key),
            narrow => narrow.of(key).into(),
        }
    }
}

fn java(key: &[u8]) -> u32 {
    let step = |hash: u32, unit: u16| hash.wrapping_mul(31).wrapping_add(unit.into());
    let mut hash = 0;
    for chunk in key.utf8_chunks() {
        hash = chunk.valid().encode_utf16().fold(hash, step);
        if !chunk.invalid().is_empty() {
            hash = step(hash, 0xfffd);
        }
    }
    hash
}
