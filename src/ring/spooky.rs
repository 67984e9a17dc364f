//! SpookyHash V2 (Bob Jenkins, public domain), which mcrouter's weighted hash draws its chances from: only its 32-bit
//! answer, for keys as memcached has them.

const FILLER: u64 = 0xdead_beef_dead_beef;
const BLOCK: usize = 96;

/// SpookyHash V2 of some bytes, of which the lower 32 bits.
pub fn spooky_32(bytes: &[u8], seed: u32) -> u32 {
    let seed = u64::from(seed);
    if bytes.len() < 2 * BLOCK {
        short(bytes, seed)
    } else {
        long(bytes, seed)
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut words = [0; N];
    words.iter_mut().zip(bytes.chunks(8)).for_each(|(to, from)| *to = word(from));
    words
}

fn short(bytes: &[u8], seed: u64) -> u32 {
    let mut state = [seed, seed, FILLER, FILLER];
    let mut rest = bytes;
    while let Some((block, after)) = rest.split_at_checked(32) {
        let [c, d, a, b] = words(block);
        state[2] = state[2].wrapping_add(c);
        state[3] = state[3].wrapping_add(d);
        short_mix(&mut state);
        state[0] = state[0].wrapping_add(a);
        state[1] = state[1].wrapping_add(b);
        rest = after;
    }
    if let Some((block, after)) = rest.split_at_checked(16) {
        let [c, d] = words(block);
        state[2] = state[2].wrapping_add(c);
        state[3] = state[3].wrapping_add(d);
        short_mix(&mut state);
        rest = after;
    }
    let length = (bytes.len() as u64) << 56;
    let [c, d] = if rest.is_empty() { [FILLER; 2] } else { words(rest) };
    state[2] = state[2].wrapping_add(c);
    state[3] = state[3].wrapping_add(d).wrapping_add(length);
    short_end(&mut state);
    state[0] as u32
}

fn short_mix(state: &mut [u64; 4]) {
    for (at, bits) in [50, 52, 30, 41, 54, 48, 38, 37, 62, 34, 5, 36].into_iter().enumerate() {
        let (x, y, z) = ((at + 2) % 4, (at + 3) % 4, at % 4);
        state[x] = state[x].rotate_left(bits).wrapping_add(state[y]);
        state[z] ^= state[x];
    }
}

fn short_end(state: &mut [u64; 4]) {
    for (at, bits) in [15, 52, 26, 51, 28, 9, 47, 54, 32, 25, 63].into_iter().enumerate() {
        let (x, y) = ((at + 3) % 4, (at + 2) % 4);
        state[x] ^= state[y];
        state[y] = state[y].rotate_left(bits);
        state[x] = state[x].wrapping_add(state[y]);
    }
}

fn long(bytes: &[u8], seed: u64) -> u32 {
    let mut state = [seed, seed, FILLER, seed, seed, FILLER, seed, seed, FILLER, seed, seed, FILLER];
    let mut blocks = bytes.chunks_exact(BLOCK);
    for block in &mut blocks {
        mix(&mut state, words(block));
    }
    let mut last = [0; BLOCK];
    let rest = blocks.remainder();
    last[..rest.len()].copy_from_slice(rest);
    last[BLOCK - 1] = rest.len() as u8;
    for (number, more) in state.iter_mut().zip(words::<12>(&last)) {
        *number = number.wrapping_add(more);
    }
    for _ in 0..3 {
        end_part(&mut state);
    }
    state[0] as u32
}

fn mix(state: &mut [u64; 12], data: [u64; 12]) {
    for (at, bits) in [11, 32, 43, 31, 17, 28, 39, 57, 55, 54, 22, 46].into_iter().enumerate() {
        state[at] = state[at].wrapping_add(data[at]);
        state[(at + 2) % 12] ^= state[(at + 10) % 12];
        state[(at + 11) % 12] ^= state[at];
        state[at] = state[at].rotate_left(bits);
        state[(at + 11) % 12] = state[(at + 11) % 12].wrapping_add(state[(at + 1) % 12]);
    }
}

fn end_part(state: &mut [u64; 12]) {
    for (at, bits) in [44, 15, 34, 21, 38, 33, 10, 13, 38, 53, 42, 54].into_iter().enumerate() {
        let (x, y, z) = ((at + 11) % 12, (at + 1) % 12, (at + 2) % 12);
        state[x] = state[x].wrapping_add(state[y]);
        state[z] ^= state[x];
        state[y] = state[y].rotate_left(bits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the library of that name computes (tests/vectors/generate), for keys of 1 to 250 bytes.
    #[test]
    fn what_spookyhash_computes() {
        let file: serde_json::Value = serde_json::from_str(include_str!("../../tests/vectors/peers.json")).unwrap();
        let (keys, hashes) = (file["keys"].as_array().unwrap(), file["spooky"].as_array().unwrap());
        assert!(keys.len() > 100 && keys.len() == hashes.len());
        for (key, hash) in keys.iter().zip(hashes) {
            let key = key.as_str().unwrap();
            assert_eq!(u64::from(spooky_32(key.as_bytes(), 0xface_2014)), hash.as_u64().unwrap(), "{key}");
        }
    }
}
