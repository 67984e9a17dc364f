//! Random numbers of the system's, and times that are spread by chance.

use std::io;

/// Fills `out` with what nobody can guess. Fails only where the kernel has none, which it says at once.
pub fn fill(out: &mut [u8; 18]) -> io::Result<()> {
    // SAFETY: `out` is ours to write during the call. (So few bytes always come whole, once the kernel has any.)
    let filled = unsafe { libc::getrandom(out.as_mut_ptr().cast(), out.len(), 0) };
    match usize::try_from(filled) {
        Ok(filled) if filled == out.len() => Ok(()),
        Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// A number from `least` to `most`, the same for the same `seed`, which may be the time: neighbours are far apart (SplitMix64).
pub fn between(least: u64, most: u64, seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    least + (mixed ^ (mixed >> 31)) % most.saturating_sub(least).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn neighbouring_seeds_are_spread_evenly() {
        let mut counts = [0; 10];
        (0..10_000u64).for_each(|seed| counts[between(500, 599, seed * 1000) as usize / 10 - 50] += 1);
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
        assert_eq!((between(7, 7, 1), between(0, 0, 2), between(9, 3, 3)), (7, 0, 9));
        assert!((0..100).all(|seed| between(u64::MAX - 1, u64::MAX, seed) >= u64::MAX - 1));
    }

    #[test]
    fn no_two_are_the_same() {
        let (mut one, mut other) = ([0; 18], [0; 18]);
        super::fill(&mut one).unwrap();
        super::fill(&mut other).unwrap();
        assert!(one != other && one != [0; 18]);
    }
}
