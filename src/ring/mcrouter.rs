//! mcrouter's hashes of a pool: Ch3, furc_hash inside, which knows servers by their place in the list; the same with
//! weights; and rendezvous hashing over the servers' names, with and without weights.

use super::murmur64::{murmur64a, murmur64a_number};
use super::spooky::spooky_32;

/// How often Ch3 and its weighted form try before they take what there is.
const TRIES: usize = 32;

/// Between a bit that Ch3 looks at and the next; it also bounds the number of servers, at two to this power.
const SHIFT: u32 = 23;

const SEED: u64 = 4_193_360_111;
const RENDEZVOUS_KEY_SEED: u64 = 2_718_281_828;
const CHANCE_SEED: u32 = 0xface_2014;

/// Ch3: the server of a key among so many. It walks down a binary tree whose turns are bits of the key's hash.
#[inline(never)]
pub fn ch3(key: &[u8], servers: usize) -> usize {
    if servers < 2 {
        return 0;
    }
    let mut bits = Bits::new(key);
    let mut depth = usize::BITS - (servers - 1).leading_zeros();
    let mut at = depth;
    for _ in 0..TRIES {
        while !bits.get(at) {
            depth -= 1;
            if depth == 0 {
                return 0;
            }
            at = depth;
        }
        at += SHIFT;
        let mut server = 1;
        for _ in 1..depth {
            server = server << 1 | usize::from(bits.get(at));
            at += SHIFT;
        }
        if server < servers {
            return server;
        }
    }
    0
}

/// The bits of a key's hash, then those of the hash's own hash, and so on.
struct Bits {
    first: u64,
    word: u64,
    index: u32,
}

impl Bits {
    fn new(key: &[u8]) -> Bits {
        let first = murmur64a(key, SEED);
        Bits { first, word: first, index: 0 }
    }

    fn get(&mut self, at: u32) -> bool {
        let index = at / u64::BITS;
        if index < self.index {
            (self.word, self.index) = (self.first, 0);
        }
        while self.index < index {
            self.word = murmur64a_number(self.word, SEED);
            self.index += 1;
        }
        self.word >> (at % u64::BITS) & 1 == 1
    }
}

/// Ch3 where each server accepts a key with a chance of its own, else the key goes on with a salt behind it.
#[derive(Debug)]
pub struct WeightedCh3 {
    /// What a server's draw must be below, of 2³².
    chances: Vec<u64>,
}

impl WeightedCh3 {
    /// Servers with these weights, of which `unit` (0: the largest one) is mcrouter's 1.0; what is above it is 1.0 too.
    pub fn new(weights: &[u32], unit: u32) -> WeightedCh3 {
        let largest = weights.iter().copied().max().unwrap_or(1);
        let unit = if unit == 0 { largest } else { unit };
        let chance = |weight: &u32| (share(*weight, unit) * f64::from(u32::MAX)) as u64;
        WeightedCh3 { chances: weights.iter().map(chance).collect() }
    }

    /// The server that has the key.
    #[inline(never)]
    pub fn get(&self, key: &[u8]) -> usize {
        let mut salted = Salted::new(key);
        let mut server = 0;
        for salt in 0..TRIES {
            let key = salted.bytes();
            server = ch3(key, self.chances.len());
            let draw = u64::from(spooky_32(key, CHANCE_SEED));
            if self.chances.get(server).is_some_and(|chance| draw < *chance) {
                return server;
            }
            salted.salt(salt);
        }
        server
    }
}

/// A weight as mcrouter has it: from 0 to 1.
fn share(weight: u32, unit: u32) -> f64 {
    (f64::from(weight) / f64::from(unit)).min(1.0)
}

/// A key with a number behind it, its lowest digit first. Keys as memcached takes them are copied onto the stack.
struct Salted<'a> {
    key: &'a [u8],
    short: [u8; Salted::SHORT],
    long: Vec<u8>,
    len: usize,
}

impl<'a> Salted<'a> {
    const SHORT: usize = 256;

    fn new(key: &'a [u8]) -> Salted<'a> {
        Salted { key, short: [0; Salted::SHORT], long: Vec::new(), len: 0 }
    }

    fn bytes(&self) -> &[u8] {
        match self.len {
            0 => self.key,
            len if len <= Salted::SHORT => &self.short[..len],
            _ => &self.long,
        }
    }

    fn salt(&mut self, number: usize) {
        let digits = [number % 10, number / 10].map(|digit| b'0' + digit as u8);
        let digits = if number < 10 { &digits[..1] } else { &digits[..] };
        self.len = self.key.len() + digits.len();
        if self.len <= Salted::SHORT {
            self.short[..self.key.len()].copy_from_slice(self.key);
            self.short[self.key.len()..self.len].copy_from_slice(digits);
        } else {
            self.long = [self.key, digits].concat();
        }
    }
}

/// Rendezvous hashing over the servers' names. A lookup looks at every server.
#[derive(Debug)]
pub struct McrouterRendezvous {
    /// The hash of each server's name, and its weight where there are weights.
    servers: Vec<(u64, f64)>,
    weighted: bool,
}

impl McrouterRendezvous {
    /// Servers by these names, all alike.
    pub fn new(names: &[String]) -> McrouterRendezvous {
        McrouterRendezvous { servers: hashes(names).map(|hash| (hash, 1.0)).collect(), weighted: false }
    }

    /// Servers with weights; only how they compare to each other counts.
    pub fn weighted(names: &[String], weights: &[u32]) -> McrouterRendezvous {
        let weights = weights.iter().map(|weight| f64::from(*weight));
        McrouterRendezvous { servers: hashes(names).zip(weights).collect(), weighted: true }
    }

    /// The server with the highest score; of equals, the last one.
    #[inline(never)]
    pub fn get(&self, key: &[u8]) -> usize {
        let (mut highest, mut best) = (0, 0);
        self.each_score(key, |score, server| {
            if score >= highest {
                (highest, best) = (score, server);
            }
        });
        best
    }

    /// The server with the highest score below `limit`, with its score; no two servers have the same.
    pub fn below(&self, key: &[u8], limit: Score) -> Option<(Score, usize)> {
        let mut best = None;
        self.each_score(key, |score, server| {
            best = best.max(Some((score, server)).filter(|score| *score < limit));
        });
        best.map(|score| (score, score.1))
    }

    /// Calls `tell` with the score of each server and its place.
    #[inline(always)]
    fn each_score(&self, key: &[u8], mut tell: impl FnMut(u64, usize)) {
        let key = murmur64a(key, RENDEZVOUS_KEY_SEED);
        for ((name, weight), server) in self.servers.iter().zip(0..) {
            let mixed = hash_128_to_64(*name, key);
            let score = if self.weighted { weighted_score(mixed, *weight) } else { mixed as f64 };
            // Not negative: its bits are in the order of the numbers.
            tell(score.to_bits(), server);
        }
    }
}

/// A score and, for equals, the server's place.
pub type Score = (u64, usize);

/// Above every score.
pub const NO_LIMIT: Score = (u64::MAX, usize::MAX);

fn hashes(names: &[String]) -> impl Iterator<Item = u64> + '_ {
    names.iter().map(|name| murmur64a(name.as_bytes(), SEED))
}

fn weighted_score(mixed: u64, weight: f64) -> f64 {
    let uniform = (mixed & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64;
    weight * (1.0 / -uniform.ln())
}

/// CityHash's reduction of two numbers to one (Google, MIT).
fn hash_128_to_64(upper: u64, lower: u64) -> u64 {
    const MUL: u64 = 0x9ddf_ea08_eb38_2d69;
    let mixed = (lower ^ upper).wrapping_mul(MUL);
    let mixed = (upper ^ mixed ^ (mixed >> 47)).wrapping_mul(MUL);
    (mixed ^ (mixed >> 47)).wrapping_mul(MUL)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What mcrouter's own tests expect of pools larger than our rings take, and of keys of every byte.
    #[test]
    fn ch3_chooses_as_mcrouter_does_in_large_pools() {
        let mut every_byte: Vec<u8> = (0..=255u8).map(|byte| byte ^ 0x80).collect();
        assert_eq!((ch3(b"sample", 100), ch3(b"", 100), ch3(b"sample", 1)), (97, 72, 0));
        assert_eq!((ch3(b"sample", 1 << SHIFT), ch3(b"", 1 << SHIFT)), (5_167_780, 6_173_600));
        assert_eq!(ch3(&every_byte, 99_999), 31_015);
        every_byte.reverse();
        assert_eq!(ch3(&every_byte, 99_999), 67_101);
    }

    #[test]
    fn a_salt_is_the_number_with_its_lowest_digit_first() {
        let long = vec![b'k'; 255];
        for key in [b"key".as_slice(), &long] {
            let mut salted = Salted::new(key);
            assert_eq!(salted.bytes(), key);
            for (number, digits) in [(0, "0"), (9, "9"), (10, "01"), (31, "13")] {
                salted.salt(number);
                assert_eq!(salted.bytes(), [key, digits.as_bytes()].concat());
            }
        }
    }

    #[test]
    fn nobody_accepts_and_the_last_try_counts() {
        let nobody = WeightedCh3 { chances: vec![0; 100] };
        assert_eq!((nobody.get(b"sample"), nobody.get(b"")), (59, 45));
    }
}
