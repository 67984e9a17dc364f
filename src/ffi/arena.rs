//! An arena: bytes that stay where they are until it is dropped, in few allocations. It knows
//! nothing of what they are.

use super::bytes::bmemc_bytes;

/// No block is larger because of small pieces alone.
const LARGEST: usize = 1 << 20;
/// Pieces of this size and up get a block of their own, so that they waste no rest of another.
const OWN_BLOCK: usize = 32 * 1024;

/// Blocks, of which `open` takes the next small piece. No block ever grows past its capacity, so none ever moves.
pub struct Arena {
    open: Vec<u8>,
    full: Vec<Vec<u8>>,
    next: usize,
}

impl Arena {
    /// An arena whose first block will have about `expected` bytes; nothing is allocated before there is a piece.
    pub fn new(expected: usize) -> Arena {
        Arena { open: Vec::new(), full: Vec::new(), next: expected.clamp(256, LARGEST) }
    }

    /// Keeps a copy of these bytes.
    #[inline]
    pub fn copy(&mut self, bytes: &[u8]) -> bmemc_bytes {
        let start = self.open.len();
        if self.open.capacity().wrapping_sub(start) < bytes.len() {
            return self.copy_elsewhere(bytes);
        }
        self.open.extend_from_slice(bytes);
        bmemc_bytes::of(self.open.get(start..).unwrap_or_default())
    }

    /// Keeps a copy of bytes for which the open block has no room.
    #[cold]
    fn copy_elsewhere(&mut self, bytes: &[u8]) -> bmemc_bytes {
        if bytes.len() >= OWN_BLOCK {
            return self.take(bytes.to_vec());
        }
        let another = Vec::with_capacity(self.next.max(bytes.len()));
        self.full.push(std::mem::replace(&mut self.open, another));
        self.next = (self.next * 2).min(LARGEST);
        self.open.extend_from_slice(bytes);
        bmemc_bytes::of(&self.open)
    }

    /// Keeps these bytes themselves.
    pub fn take(&mut self, bytes: Vec<u8>) -> bmemc_bytes {
        let kept = bmemc_bytes::of(&bytes);
        self.full.push(bytes);
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_and_nothing_is_lost() {
        let mut arena = Arena::new(0);
        let mut kept = Vec::new();
        for len in (0..2000).chain([OWN_BLOCK - 1, OWN_BLOCK, 100_000, LARGEST + 1]) {
            let bytes: Vec<u8> = (0..len).map(|at| (at * 7 + len) as u8).collect();
            let placed = if len % 2 == 0 { arena.copy(&bytes) } else { arena.take(bytes.clone()) };
            kept.push((bytes, placed));
        }
        for (bytes, placed) in kept {
            assert_eq!(placed.slice("kept").unwrap(), bytes);
        }
        let (large, small) = (2000 / 2 + 4, 20);
        assert!(arena.full.len() < large + small, "{} blocks", arena.full.len());
    }
}
