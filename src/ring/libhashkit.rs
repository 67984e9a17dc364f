//! The key hashes of libmemcached's libhashkit, bit for bit: their authors' algorithms with the seeds, cuts and slips that
//! libhashkit gave them. Where C's `char` is signed, as on x86, some of them take a byte from 0x80 on for a negative
//! number: `SIGNED` says so; where it is not, as on ARM under Linux, the same library computes another hash.

/// A byte as C widens a `char`.
fn widened<const SIGNED: bool>(byte: u8) -> u32 {
    if SIGNED {
        i32::from(byte as i8) as u32
    } else {
        byte.into()
    }
}

/// Jenkins' one-at-a-time, which libmemcached hashes with where nothing else was asked for.
pub fn one_at_a_time<const SIGNED: bool>(key: &[u8]) -> u32 {
    let mut hash = 0u32;
    for byte in key {
        hash = hash.wrapping_add(widened::<SIGNED>(*byte));
        hash = hash.wrapping_add(hash << 10);
        hash ^= hash >> 6;
    }
    hash = hash.wrapping_add(hash << 3);
    hash ^= hash >> 11;
    hash.wrapping_add(hash << 15)
}

const FNV_32: (u32, u32) = (0x811c_9dc5, 0x0100_0193);
const FNV_64: (u64, u64) = (0xcbf2_9ce4_8422_2325, 0x0000_0100_0000_01b3);

/// FNV-1 of 32 bits.
pub fn fnv1_32<const SIGNED: bool>(key: &[u8]) -> u32 {
    key.iter().fold(FNV_32.0, |hash, byte| hash.wrapping_mul(FNV_32.1) ^ widened::<SIGNED>(*byte))
}

/// FNV-1a of 32 bits.
pub fn fnv1a_32<const SIGNED: bool>(key: &[u8]) -> u32 {
    key.iter().fold(FNV_32.0, |hash, byte| (hash ^ widened::<SIGNED>(*byte)).wrapping_mul(FNV_32.1))
}

/// FNV-1 of 64 bits, the lower half of it.
pub fn fnv1_64<const SIGNED: bool>(key: &[u8]) -> u32 {
    // A negative `char` fills the upper half with ones; they never reach the lower one.
    key.iter().fold(FNV_64.0, |hash, byte| hash.wrapping_mul(FNV_64.1) ^ u64::from(widened::<SIGNED>(*byte))) as u32
}

/// What libhashkit calls FNV-1a of 64 bits: it has 32, with the lower halves of the constants.
pub fn fnv1a_64<const SIGNED: bool>(key: &[u8]) -> u32 {
    let (start, prime) = (FNV_64.0 as u32, FNV_64.1 as u32);
    key.iter().fold(start, |hash, byte| (hash ^ widened::<SIGNED>(*byte)).wrapping_mul(prime))
}

/// Hsieh's SuperFastHash.
pub fn hsieh<const SIGNED: bool>(key: &[u8]) -> u32 {
    let half = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]));
    let mut hash = 0u32;
    let mut blocks = key.chunks_exact(4);
    for block in &mut blocks {
        if let &[a, b, c, d] = block {
            hash = hash.wrapping_add(half(a, b));
            hash = (hash << 16) ^ (half(c, d) << 11) ^ hash;
            hash = hash.wrapping_add(hash >> 11);
        }
    }
    match *blocks.remainder() {
        [a, b, c] => {
            hash = hash.wrapping_add(half(a, b));
            hash ^= hash << 16;
            hash ^= widened::<SIGNED>(c) << 18;
            hash = hash.wrapping_add(hash >> 11);
        }
        [a, b] => {
            hash = hash.wrapping_add(half(a, b));
            hash ^= hash << 11;
            hash = hash.wrapping_add(hash >> 17);
        }
        [a] => {
            hash = hash.wrapping_add(a.into());
            hash ^= hash << 10;
            hash = hash.wrapping_add(hash >> 1);
        }
        _ => (),
    }
    hash ^= hash << 3;
    hash = hash.wrapping_add(hash >> 5);
    hash ^= hash << 4;
    hash = hash.wrapping_add(hash >> 17);
    hash ^= hash << 25;
    hash.wrapping_add(hash >> 6)
}

/// The seed of libhashkit's murmur hashes.
pub fn murmur_seed(key: &[u8]) -> u32 {
    0xdead_beef_u32.wrapping_mul(key.len() as u32)
}

/// MurmurHash2 (Austin Appleby, public domain).
pub fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = murmur_seed(key) ^ key.len() as u32;
    let mut blocks = key.chunks_exact(4);
    for block in &mut blocks {
        let mixed = little_endian(block).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (mixed ^ (mixed >> 24)).wrapping_mul(M);
    }
    if !blocks.remainder().is_empty() {
        hash = (hash ^ little_endian(blocks.remainder())).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// Jenkins' lookup3 (public domain), with libhashkit's seed of 13.
pub fn jenkins(key: &[u8]) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(key.len() as u32).wrapping_add(13);
    let mut state = [start; 3];
    let mut rest = key;
    while let Some((block, after)) = rest.split_at_checked(12).filter(|(_, after)| !after.is_empty()) {
        add_words(&mut state, block);
        jenkins_mix(&mut state);
        rest = after;
    }
    if !rest.is_empty() {
        add_words(&mut state, rest);
        jenkins_final(&mut state);
    }
    state[2]
}

/// Up to four bytes, lowest first.
fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn add_words(state: &mut [u32; 3], block: &[u8]) {
    for (number, word) in state.iter_mut().zip(block.chunks(4)) {
        *number = number.wrapping_add(little_endian(word));
    }
}

fn jenkins_mix(state: &mut [u32; 3]) {
    let [mut a, mut b, mut c] = *state;
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    *state = [a, b, c];
}

fn jenkins_final(state: &mut [u32; 3]) {
    let [mut a, mut b, mut c] = *state;
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    *state = [a, b, c];
}
