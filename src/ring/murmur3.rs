//! MurmurHash3 x86_32 (Austin Appleby, public domain), which pymemcache's ring hashes with; fed piece by piece, so that
//! what is hashed need not be put together first.

/// The hash of some bytes.
pub fn murmur3_32(bytes: &[u8], seed: u32) -> u32 {
    let mut hash = Murmur3::new(seed);
    hash.update(bytes);
    hash.finish()
}

/// A hash under way.
#[derive(Clone, Copy, Debug)]
pub struct Murmur3 {
    state: u32,
    /// Bytes that do not yet fill a block, the first one lowest.
    pending: u32,
    len: u32,
}

impl Murmur3 {
    /// The hash of nothing.
    pub fn new(seed: u32) -> Murmur3 {
        Murmur3 { state: seed, pending: 0, len: 0 }
    }

    /// Takes in more bytes.
    #[inline]
    pub fn update(&mut self, bytes: &[u8]) {
        let shift = 8 * (self.len % 4);
        let mut blocks = bytes.chunks_exact(4);
        for block in &mut blocks {
            let block = block.first_chunk().map_or(0, |block| u32::from_le_bytes(*block));
            let wide = u64::from(block) << shift;
            self.take(self.pending | wide as u32);
            self.pending = (wide >> 32) as u32;
        }
        let rest = blocks.remainder();
        let wide = u64::from(self.pending) | u64::from(little_endian(rest)) << shift;
        self.pending = wide as u32;
        if shift as usize / 8 + rest.len() >= 4 {
            self.take(wide as u32);
            self.pending = (wide >> 32) as u32;
        }
        self.len = self.len.wrapping_add(bytes.len() as u32);
    }

    fn take(&mut self, block: u32) {
        self.state = (self.state ^ mix(block)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }

    /// The hash of all that was taken in.
    pub fn finish(&self) -> u32 {
        let mut hash = self.state;
        if self.len % 4 != 0 {
            hash ^= mix(self.pending);
        }
        hash ^= self.len;
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        hash ^ (hash >> 16)
    }
}

/// Up to three bytes, the first one lowest.
fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn mix(block: u32) -> u32 {
    block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pymemcache_computes() {
        let cases: [(&str, u32, u32); 11] = [
            ("", 0, 0),
            ("", 10, 3911517328),
            ("a", 0, 1009084850),
            ("a", 10, 3451434720),
            ("ab", 0, 2613040991),
            ("abc", 0, 3017643002),
            ("abcd", 0, 1139631978),
            ("abcde", 0, 3902511862),
            ("6666", 10, 2981722772),
            ("The quick brown fox jumps over the lazy dog", 0, 776992547),
            ("127.0.0.1:11211-foo", 0, 553244281),
        ];
        for (text, seed, hash) in cases {
            assert_eq!(murmur3_32(text.as_bytes(), seed), hash, "{text:?} {seed}");
        }
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        let whole = b"127.0.0.1:11211-some key";
        for cut in 0..whole.len() {
            let mut hash = Murmur3::new(7);
            hash.update(&whole[..cut]);
            hash.update(&whole[cut..]);
            assert_eq!(hash.finish(), murmur3_32(whole, 7), "{cut}");
            let mut hash = Murmur3::new(7);
            whole.iter().for_each(|byte| hash.update(&[*byte]));
            assert_eq!(hash.finish(), murmur3_32(whole, 7));
        }
    }

    #[test]
    fn pieces_of_every_length_hash_like_the_whole() {
        let bytes: Vec<u8> = (0..=255).collect();
        for (ahead, len) in (0..8).flat_map(|ahead| (0..40).map(move |len| (ahead, len))) {
            let mut hash = Murmur3::new(1);
            hash.update(&bytes[..ahead]);
            hash.update(&bytes[ahead..ahead + len]);
            assert_eq!(hash.finish(), murmur3_32(&bytes[..ahead + len], 1), "{ahead} {len}");
        }
    }
}
