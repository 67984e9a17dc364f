//! Rendezvous hashing (Thaler and Ravishankar, 1996) exactly as pymemcache's `RendezvousHash` does it: the server with the
//! highest score murmur3("name-key") has the key; of equals, the greater name. A lookup looks at every server.

use super::key_form;
use super::murmur3::Murmur3;
use super::settings::KeyForm;

/// A ring without points.
#[derive(Debug)]
pub struct Rendezvous {
    nodes: Vec<Node>,
    form: KeyForm,
}

/// A server: the hash of "name-", and its place among the names.
#[derive(Clone, Copy, Debug)]
struct Node {
    hash: Murmur3,
    rank: u32,
}

impl Rendezvous {
    /// A ring of servers by these names, which differ.
    pub fn new(names: &[String], form: KeyForm, seed: u32) -> Rendezvous {
        let nodes = names.iter().map(|name| {
            let mut hash = Murmur3::new(seed);
            key_form::low_bytes(name.as_bytes(), KeyForm::Text, &mut |piece| hash.update(piece));
            hash.update(b"-");
            // Python compares strings by code points, which is the order of UTF-8.
            let rank = names.iter().filter(|other| *other < name).count() as u32;
            Node { hash, rank }
        });
        Rendezvous { nodes: nodes.collect(), form }
    }

    /// The server with the highest score.
    #[inline(never)]
    pub fn get(&self, key: &[u8]) -> usize {
        self.below(key, u64::MAX).map_or(0, |(_, server)| server)
    }

    /// The server with the highest score below `limit`, with its score; no two servers have the same.
    pub fn below(&self, key: &[u8], limit: u64) -> Option<(u64, usize)> {
        let plain = self.form == KeyForm::Text && key.is_ascii();
        let mut best = None;
        for (server, node) in self.nodes.iter().enumerate() {
            let mut hash = node.hash;
            match plain {
                true => hash.update(key),
                false => key_form::low_bytes(key, self.form, &mut |piece| hash.update(piece)),
            }
            let score = u64::from(hash.finish()) << 32 | u64::from(node.rank);
            if score < limit && best.is_none_or(|(highest, _)| score > highest) {
                best = Some((score, server));
            }
        }
        best
    }
}
