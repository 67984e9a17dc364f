//! Rings that are none: a hash of the key, modulo the number of servers. One server more or less moves nearly every key.

use super::key_hash::KeyHash;

/// gomemcache hashes no more of a key than this.
const GOMEMCACHE_MAX: usize = 256;

/// The servers, each as often as its weight says, and what hashes keys.
#[derive(Debug)]
pub struct Modulo {
    /// For each server, how often it and those before it stand in the list.
    ends: Vec<u64>,
    total: u64,
    key_hash: KeyHash,
    style: Style,
}

/// What is done with the hash first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Nothing.
    Plain,
    /// gomemcache's: nothing, but it looks at the first 256 bytes of a key only.
    Gomemcache,
    /// memjs': its absolute value as a signed number.
    Memjs,
    /// mcrouter's: its highest bit is cleared.
    Mcrouter,
}

impl Modulo {
    /// Servers in the order of the list, each as often as its weight says.
    pub fn new(weights: &[u32], key_hash: KeyHash, style: Style) -> Modulo {
        let sum = |total: &mut u64, weight: &u32| {
            *total += u64::from(*weight);
            Some(*total)
        };
        let ends: Vec<u64> = weights.iter().scan(0, sum).collect();
        Modulo { total: ends.last().copied().unwrap_or(1), ends, key_hash, style }
    }

    /// The server that has the key.
    #[inline(never)]
    pub fn get(&self, key: &[u8]) -> usize {
        let hash = match self.style {
            Style::Plain => self.key_hash.of(key),
            Style::Gomemcache => self.key_hash.of(&key[..key.len().min(GOMEMCACHE_MAX)]),
            Style::Memjs => (self.key_hash.of(key) as i32).unsigned_abs(),
            Style::Mcrouter => self.key_hash.of(key) & 0x7fff_ffff,
        };
        let slot = u64::from(hash) % self.total;
        if self.total == self.ends.len() as u64 {
            return slot as usize;
        }
        self.ends.partition_point(|end| *end <= slot)
    }
}
