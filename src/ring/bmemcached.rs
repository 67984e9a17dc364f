//! The ring of bmemcached's `DistributedClient`: uhashring's own, with 160 points of 128 bits for each server.

use super::key_form;
use super::points::Points;
use super::settings::KeyForm;
use md5::{Digest, Md5};

const POINTS: usize = 160;

/// The points of all servers, and how keys are written.
#[derive(Debug)]
pub struct Bmemcached {
    points: Points<u128>,
    form: KeyForm,
}

impl Bmemcached {
    /// The ring of servers by these names.
    pub fn new(names: &[String], form: KeyForm) -> Bmemcached {
        let mut points = Vec::new();
        for (server, name) in (0u32..).zip(names) {
            let name = Md5::new_with_prefix(name);
            points.extend((0..POINTS).map(|index| (number(name.clone().chain_update(format!("-{index}"))), server)));
        }
        Bmemcached { points: Points::new(points), form }
    }

    /// The server that has the key.
    #[inline(never)]
    pub fn get(&self, key: &[u8]) -> usize {
        self.points.owner(self.first_place(key))
    }

    /// The place of the key's point: the first one after its hash.
    pub fn first_place(&self, key: &[u8]) -> usize {
        let mut hash = Md5::new();
        key_form::utf8(key, self.form, &mut |piece| hash.update(piece));
        self.points.after(number(hash))
    }

    /// The points.
    pub fn points(&self) -> &Points<u128> {
        &self.points
    }
}

fn number(hash: Md5) -> u128 {
    u128::from_be_bytes(hash.finalize().into())
}
