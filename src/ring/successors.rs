//! Where a key goes when its server is out. Each kind of ring has an order of its own: that of the points on a circle, of
//! the scores, of further hashes as spymemcached and dalli make them, or of the list.

use super::circle::{Circle, Style};
use super::mcrouter::{Score, NO_LIMIT};
use super::points::Points;
use super::{Map, Ring};

/// The servers in the order in which a key should try them: [`Ring::successors`].
#[derive(Clone, Debug)]
pub struct Successors<'a> {
    ring: &'a Ring,
    key: &'a [u8],
    walk: Walk,
}

/// How far the walk has come.
#[derive(Clone, Debug)]
enum Walk {
    Start,
    /// Around a circle: the place of the next point, how many are left, and whose point was the last.
    Around {
        place: usize,
        left: usize,
        last: usize,
    },
    /// From the highest score to the lowest: what the next one must be below.
    Down {
        below: u64,
    },
    McrouterDown {
        below: Score,
    },
    /// By further hashes: the one that was used last, and how many were.
    Rehashed {
        hash: u32,
        tries: u8,
    },
    /// In the order of the list: the next one, and how many are left. Every walk that may leave servers out ends so.
    Listed {
        next: usize,
        left: usize,
    },
}

/// How many servers spymemcached and dalli try.
const SPYMEMCACHED_TRIES: u8 = 7;
const DALLI_TRIES: u8 = 20;

impl<'a> Successors<'a> {
    pub(super) fn new(ring: &'a Ring, key: &'a [u8]) -> Successors<'a> {
        Successors { ring, key, walk: Walk::Start }
    }

    fn begin(&self) -> Walk {
        let around = |place, left| Walk::Around { place, left, last: usize::MAX };
        match &self.ring.map {
            Map::Custom(_) if self.ring.count == 0 => Walk::Listed { next: 0, left: 0 },
            _ if self.ring.count < 2 => Walk::Listed { next: 0, left: self.ring.count },
            Map::Circle(circle) if circle.style() == Style::Ketama => {
                around(circle.first_place(self.key), circle.points().len())
            }
            Map::Circle(circle) => Walk::Rehashed { hash: circle.hash(self.key), tries: 0 },
            Map::Bmemcached(ring) => around(ring.first_place(self.key), ring.points().len()),
            Map::Rendezvous(_) => Walk::Down { below: u64::MAX },
            Map::McrouterRendezvous(_) => Walk::McrouterDown { below: NO_LIMIT },
            Map::Custom(chooser) => match chooser.choose(self.key, self.ring.count) {
                Some(next) => Walk::Listed { next, left: self.ring.count },
                None => Walk::Listed { next: 0, left: 0 },
            },
            listed => Walk::Listed { next: listed.get(self.key), left: self.ring.count },
        }
    }

    fn list(&mut self) -> Option<usize> {
        self.walk = Walk::Listed { next: 0, left: self.ring.count };
        self.next()
    }
}

impl Iterator for Successors<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let found = match (&mut self.walk, &self.ring.map) {
            (Walk::Start, _) => {
                self.walk = self.begin();
                return self.next();
            }
            (Walk::Around { place, left, last }, Map::Circle(circle)) => around(circle.points(), place, left, last),
            (Walk::Around { place, left, last }, Map::Bmemcached(ring)) => around(ring.points(), place, left, last),
            (Walk::Rehashed { hash, tries }, Map::Circle(circle)) => rehashed(circle, self.key, hash, tries),
            (Walk::Down { below }, Map::Rendezvous(ring)) => {
                let (score, server) = ring.below(self.key, *below)?;
                *below = score;
                return Some(server);
            }
            (Walk::McrouterDown { below }, Map::McrouterRendezvous(ring)) => {
                let (score, server) = ring.below(self.key, *below)?;
                *below = score;
                return Some(server);
            }
            (Walk::Listed { next, left }, _) => {
                *left = left.checked_sub(1)?;
                let server = *next;
                *next = if server + 1 == self.ring.count { 0 } else { server + 1 };
                return Some(server);
            }
            _ => None,
        };
        found.or_else(|| self.list())
    }
}

/// The owner of the next point that is not the last owner's.
fn around<T: Ord + Copy>(points: &Points<T>, place: &mut usize, left: &mut usize, last: &mut usize) -> Option<usize> {
    while *left > 0 {
        let owner = points.owner(*place);
        *place = points.next(*place);
        *left -= 1;
        if owner != *last {
            *last = owner;
            return Some(owner);
        }
    }
    None
}

/// The owner of the hash, and the hash to go on with.
fn rehashed(circle: &Circle, key: &[u8], hash: &mut u32, tries: &mut u8) -> Option<usize> {
    let owner = circle.owner_of(*hash);
    let again = circle.hash_of_try(*tries, key);
    let most = match circle.style() {
        Style::Dalli => {
            *hash = again;
            DALLI_TRIES
        }
        _ => {
            // Java's `(int) (h ^ (h >>> 32))` of a number that has 32 bits is the number.
            *hash = hash.wrapping_add(again);
            SPYMEMCACHED_TRIES
        }
    };
    *tries += 1;
    (*tries <= most).then_some(owner)
}
