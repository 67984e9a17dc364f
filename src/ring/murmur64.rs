//! MurmurHash64A (Austin Appleby, public domain), which mcrouter hashes with.

const M: u64 = 0xc6a4_a793_5bd1_e995;

/// The hash of some bytes.
pub fn murmur64a(bytes: &[u8], seed: u64) -> u64 {
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(M);
    let mut blocks = bytes.chunks_exact(8);
    for block in &mut blocks {
        hash = take(hash, block.first_chunk().map_or(0, |block| u64::from_le_bytes(*block)));
    }
    if !blocks.remainder().is_empty() {
        hash = (hash ^ little_endian(blocks.remainder())).wrapping_mul(M);
    }
    finish(hash)
}

/// The same of a number, as of its eight bytes.
pub fn murmur64a_number(number: u64, seed: u64) -> u64 {
    finish(take(seed ^ M.wrapping_mul(8), number))
}

fn take(hash: u64, block: u64) -> u64 {
    let block = block.wrapping_mul(M);
    (hash ^ (block ^ (block >> 47)).wrapping_mul(M)).wrapping_mul(M)
}

fn finish(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 47)).wrapping_mul(M);
    hash ^ (hash >> 47)
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
