//! Jump consistent hash (Lamping and Veach, 2014), over XXH3 as memcached's own proxy does it unless another key hash is
//! asked for. It knows servers by their place in the list: they are added and removed at its end alone.

use super::key_hash::KeyHash;

/// A number of servers, and what hashes keys.
#[derive(Debug)]
pub struct Jump {
    servers: usize,
    key_hash: KeyHash,
}

impl Jump {
    /// A ring of so many servers.
    pub fn new(servers: usize, key_hash: KeyHash) -> Jump {
        Jump { servers, key_hash }
    }

    /// The server that has the key.
    #[inline(never)]
    pub fn get(&self, key: &[u8]) -> usize {
        jump(self.key_hash.wide(key), self.servers)
    }
}

fn jump(mut hash: u64, servers: usize) -> usize {
    let (mut server, mut next) = (0, 0i64);
    while next < servers as i64 {
        server = next;
        hash = hash.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((server + 1) as f64 * ((1u64 << 31) as f64 / ((hash >> 33) + 1) as f64)) as i64;
    }
    server as usize
}
