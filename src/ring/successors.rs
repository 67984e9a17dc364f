//! Where a key goes when its server is out: each kind of ring has an order of its own.

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
    /// The server that has the key comes next, or nothing where there is no server.
    Start,
    /// Around the circle: the place of the next point, how many points are left, and whose point was the last.
    Around { place: usize, left: usize, last: usize },
    /// From the highest score to the lowest: what the next one must be below.
    Down { below: u64 },
    /// The rest, so that every server has come: in the order of the list, from this one on.
    Listed { next: usize },
}

impl<'a> Successors<'a> {
    pub(super) fn new(ring: &'a Ring, key: &'a [u8]) -> Successors<'a> {
        Successors { ring, key, walk: Walk::Start }
    }

    fn start(&mut self) -> Option<usize> {
        let Ring { count, map, .. } = self.ring;
        if *count < 2 {
            self.walk = Walk::Listed { next: 0 };
            return self.next();
        }
        self.walk = match map {
            Map::Circle(circle) => {
                Walk::Around { place: circle.position(self.key), left: circle.points(), last: usize::MAX }
            }
            Map::Rendezvous(_) => Walk::Down { below: u64::MAX },
        };
        self.next()
    }
}

impl Iterator for Successors<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match (&mut self.walk, &self.ring.map) {
            (Walk::Start, _) => self.start(),
            (Walk::Around { place, left, last }, Map::Circle(circle)) => {
                while *left > 0 {
                    let owner = circle.owner(*place)?;
                    *place = if *place + 1 == circle.points() { 0 } else { *place + 1 };
                    *left -= 1;
                    if owner != *last {
                        *last = owner;
                        return Some(owner);
                    }
                }
                self.walk = Walk::Listed { next: 0 };
                self.next()
            }
            (Walk::Down { below }, Map::Rendezvous(ring)) => {
                let (score, server) = ring.below(self.key, *below)?;
                *below = score;
                Some(server)
            }
            (Walk::Listed { next }, _) => {
                *next += 1;
                Some(*next - 1).filter(|server| *server < self.ring.count)
            }
            _ => None,
        }
    }
}
