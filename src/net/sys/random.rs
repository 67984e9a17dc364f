//! Random numbers of the system's.

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

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_are_the_same() {
        let (mut one, mut other) = ([0; 18], [0; 18]);
        super::fill(&mut one).unwrap();
        super::fill(&mut other).unwrap();
        assert!(one != other && one != [0; 18]);
    }
}
