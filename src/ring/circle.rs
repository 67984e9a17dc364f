//! Rings of 32-bit points: ketama (Richard Jones, 2007), and what became of it in libmemcached, twemproxy, spymemcached and
//! dalli. They differ in the points' names and number, in the key hash, and in where a key goes when its server is out.

use super::key_hash::KeyHash;
use super::points::Points;
use md5::{Digest, Md5};
use sha1::Sha1;

/// Points of a server of mean weight; ketama takes four from each digest.
const POINTS: usize = 160;

/// Points of a server of libmemcached's ring without weights.
const POINTS_UNWEIGHTED: usize = 100;

/// The points of all servers, and what hashes keys.
#[derive(Debug)]
pub struct Circle {
    points: Points<u32>,
    key_hash: KeyHash,
    style: Style,
}

/// Which way round a key looks for its point, and where it goes after that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// To the first point at or after the hash, then to those that follow.
    Ketama,
    /// The same at first, then wherever further hashes lead.
    Spymemcached,
    /// To the last point at or before the hash, then wherever further hashes lead.
    Dalli,
}

impl Circle {
    /// Ketama of MD5 digests: libmemcached's weighted one, twemproxy's, spymemcached's.
    pub fn ketama(names: &[String], weights: &[u32], key_hash: KeyHash, style: Style) -> Circle {
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        // spymemcached has no weights until it is given some, and then libmemcached's formula.
        let plain = style == Style::Spymemcached && weights.iter().all(|weight| *weight == 1);
        let mut points = Vec::new();
        for (server, (name, weight)) in (0u32..).zip(names.iter().zip(weights)) {
            let count = if plain { POINTS / 4 } else { digests(*weight, total, names.len()) };
            for index in 0..count {
                let digest = Md5::digest(format!("{name}-{index}"));
                points.extend(words(&digest.into()).map(|point| (point, server)));
            }
        }
        if style == Style::Spymemcached {
            keep_last(&mut points);
        }
        Circle { points: Points::new(points), key_hash, style }
    }

    /// libmemcached's ketama without weights, whose points are made by the key hash; one weight other than 1 turns the
    /// points into those of the weighted one, and leaves the key hash.
    pub fn unweighted(names: &[String], weights: &[u32], key_hash: KeyHash) -> Circle {
        if weights.iter().any(|weight| *weight != 1) {
            return Circle::ketama(names, weights, key_hash, Style::Ketama);
        }
        let mut points = Vec::new();
        for (server, name) in (0u32..).zip(names) {
            points.extend(
                (0..POINTS_UNWEIGHTED).map(|index| (key_hash.of(format!("{name}-{index}").as_bytes()), server)),
            );
        }
        Circle { points: Points::new(points), key_hash, style: Style::Ketama }
    }

    /// dalli's ring of SHA-1 points.
    pub fn dalli(names: &[String], weights: &[u32]) -> Circle {
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut points = Vec::new();
        for (server, (name, weight)) in (0u32..).zip(names.iter().zip(weights)) {
            let count = (names.len() * POINTS) as u64 * u64::from(*weight) / total;
            points.extend((0..count).map(|index| {
                let digest = Sha1::digest(format!("{name}:{index}"));
                (u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]), server)
            }));
        }
        Circle { points: Points::new(points), key_hash: KeyHash::Crc32, style: Style::Dalli }
    }

    /// The server that has the key.
    #[inline(never)]
    pub fn get(&self, key: &[u8]) -> usize {
        self.points.owner(self.place(self.key_hash.of(key)))
    }

    /// How it goes on where a server is out.
    pub fn style(&self) -> Style {
        self.style
    }

    /// The points.
    pub fn points(&self) -> &Points<u32> {
        &self.points
    }

    /// The place of the key's point.
    pub fn first_place(&self, key: &[u8]) -> usize {
        self.place(self.key_hash.of(key))
    }

    /// The hash of the key alone.
    pub fn hash(&self, key: &[u8]) -> u32 {
        self.key_hash.of(key)
    }

    /// The hash of the key behind a number in decimal: how spymemcached and dalli try again.
    pub fn hash_of_try(&self, number: u8, key: &[u8]) -> u32 {
        let digits = [b'0' + number / 10 % 10, b'0' + number % 10];
        let digits = if number < 10 { &digits[1..] } else { &digits[..] };
        match self.style {
            Style::Dalli => {
                let mut hash = crc32fast::Hasher::new();
                hash.update(digits);
                hash.update(key);
                hash.finalize()
            }
            _ => {
                let digest = Md5::new().chain_update(digits).chain_update(key).finalize();
                u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
            }
        }
    }

    /// The server that has a hash.
    pub fn owner_of(&self, hash: u32) -> usize {
        self.points.owner(self.place(hash))
    }

    fn place(&self, hash: u32) -> usize {
        match self.style {
            Style::Dalli => self.points.at_or_before(hash),
            _ => self.points.at_or_after(hash),
        }
    }
}

/// How many digests make a server's points: libmemcached's formula, in its float arithmetic, so that it rounds alike.
fn digests(weight: u32, total: u64, servers: usize) -> usize {
    let share = weight as f32 / total as f32;
    (share * POINTS as f32 / 4.0 * servers as f32 + 0.000_000_000_1).floor() as usize
}

/// The four points in a digest: each is four bytes, lowest first.
fn words(digest: &[u8; 16]) -> [u32; 4] {
    [0, 4, 8, 12].map(|at| u32::from_le_bytes([digest[at], digest[at + 1], digest[at + 2], digest[at + 3]]))
}

/// Of equal points only the one that was put last stays, as in a map.
fn keep_last(points: &mut Vec<(u32, u32)>) {
    points.sort_unstable_by_key(|(point, server)| (*point, std::cmp::Reverse(*server)));
    points.dedup_by_key(|(point, _)| *point);
}
