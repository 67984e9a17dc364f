//! Rings proper: each server has points on a circle of 32-bit numbers, and a key belongs to the server of the first point
//! at or after its hash. Ketama (Richard Jones, 2007) and what became of it in other clients.

use super::key_hash::KeyHash;
use md5::{Digest, Md5};

/// Points of a ketama server of mean weight; four come of one MD5 digest.
const POINTS: usize = 160;

/// The points of all servers, and what hashes keys.
#[derive(Debug)]
pub struct Circle {
    /// In ascending order.
    points: Vec<u32>,
    /// The server of each point.
    owners: Vec<u32>,
    key_hash: KeyHash,
}

impl Circle {
    /// libmemcached's weighted ketama.
    pub fn ketama(names: &[String], weights: &[u32], key_hash: KeyHash) -> Circle {
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut points = Vec::new();
        for (server, (name, weight)) in (0u32..).zip(names.iter().zip(weights)) {
            for index in 0..digests(*weight, total, names.len()) {
                let digest = Md5::digest(format!("{name}-{index}"));
                points.extend(words(&digest.into()).map(|point| (point, server)));
            }
        }
        points.sort_unstable();
        Circle::of(points, key_hash)
    }

    fn of(points: Vec<(u32, u32)>, key_hash: KeyHash) -> Circle {
        let (points, owners) = points.into_iter().unzip();
        Circle { points, owners, key_hash }
    }

    /// The server that has the key.
    pub fn get(&self, key: &[u8]) -> usize {
        self.owner(self.position(key)).unwrap_or(0)
    }

    /// The place of the first point at or after the key's hash.
    pub fn position(&self, key: &[u8]) -> usize {
        let hash = self.key_hash.of(key);
        let place = self.points.partition_point(|point| *point < hash);
        if place == self.points.len() {
            0
        } else {
            place
        }
    }

    /// How many points there are.
    pub fn points(&self) -> usize {
        self.points.len()
    }

    /// The server of a point.
    pub fn owner(&self, place: usize) -> Option<usize> {
        self.owners.get(place).map(|owner| *owner as usize)
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
