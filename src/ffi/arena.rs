//! An arena: bytes that stay where they are until it is dropped, in few allocations. It knows
//! nothing of what they are.

use super::bytes::bmemc_bytes;

/// No block is larger because of small pieces alone.
const LARGEST: usize = 1 << 20;
/// Pieces of this size and up get a block of their own, so that they waste no rest of another.
const OWN_BLOCK: usize = 32 * 1024;

/// Blocks, of which the last takes the next small piece. No block ever grows past its capacity, so
/// none ever moves.
pub struct Arena {
    blocks: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    next: usize,
}

impl Arena {
    /// An arena whose first block will have about `expected` bytes; nothing is allocated before
    /// there is a piece.
    pub fn new(expected: usize) -> Arena {
        Arena { blocks: Vec::new(), large: Vec::new(), next: expected.clamp(256, LARGEST) }
    }

    /// Keeps a copy of these bytes.
    pub fn copy(&mut self, bytes: &[u8]) -> bmemc_bytes {
        if bytes.is_empty() {
            return bmemc_bytes::EMPTY;
        }
        if bytes.len() >= OWN_BLOCK {
            return self.take(bytes.to_vec());
        }
        let block = self.block(bytes.len());
        let start = block.len();
        block.extend_from_slice(bytes);
        bmemc_bytes::of(&block[start..])
    }

    /// Keeps these bytes themselves.
    pub fn take(&mut self, bytes: Vec<u8>) -> bmemc_bytes {
        let kept = bmemc_bytes::of(&bytes);
        self.large.push(bytes);
        kept
    }

    /// A place for `len` bytes that are to be written.
    pub fn room(&mut self, len: usize) -> &mut [u8] {
        if len >= OWN_BLOCK {
            self.large.push(vec![0; len]);
            return self.large.last_mut().map_or(&mut [], Vec::as_mut_slice);
        }
        let block = self.block(len);
        let start = block.len();
        block.resize(start + len, 0);
        &mut block[start..]
    }

    /// A block in which `len` more bytes fit.
    fn block(&mut self, len: usize) -> &mut Vec<u8> {
        let fits = self.blocks.last().is_some_and(|block| block.capacity() - block.len() >= len);
        if !fits {
            self.blocks.push(Vec::with_capacity(self.next.max(len)));
            self.next = (self.next * 2).min(LARGEST);
        }
        let last = self.blocks.len() - 1;
        &mut self.blocks[last]
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
            let placed = match len % 3 {
                0 => arena.copy(&bytes),
                1 => arena.take(bytes.clone()),
                _ => {
                    let room = arena.room(len);
                    room.copy_from_slice(&bytes);
                    bmemc_bytes::of(room)
                }
            };
            kept.push((bytes, placed));
        }
        for (bytes, placed) in kept {
            assert_eq!(placed.slice("kept").unwrap(), bytes);
        }
        assert!(arena.blocks.len() < 20, "{} blocks", arena.blocks.len());
    }
}
