//! Bytes: how keys, values and words cross.

use super::guard::refused;
use crate::error::{Error, Result};

/// Bytes that are only looked at. As an argument: `len` readable bytes, which stay as they are
/// during the call and are not kept after it; `data` may be NULL only where `len` is zero. As a
/// result: `data` is never NULL but where it is said.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct bmemc_bytes {
    pub data: *const u8,
    pub len: usize,
}

impl bmemc_bytes {
    /// No bytes, at an address that C may hand to memcpy.
    pub const EMPTY: bmemc_bytes = bmemc_bytes { data: c"".as_ptr().cast(), len: 0 };

    /// Bytes that are borrowed from `bytes`.
    pub fn of(bytes: &[u8]) -> bmemc_bytes {
        if bytes.is_empty() {
            return bmemc_bytes::EMPTY;
        }
        bmemc_bytes { data: bytes.as_ptr(), len: bytes.len() }
    }

    /// The bytes; `name` is the parameter's.
    #[inline]
    pub fn slice(&self, name: &str) -> Result<&[u8]> {
        if self.len == 0 {
            return Ok(&[]);
        }
        if self.data.is_null() || self.len > isize::MAX as usize {
            return Err(self.wrong(name));
        }
        // SAFETY: the type's own contract: so many readable bytes, unchanged during the call; and `self` lives no longer.
        Ok(unsafe { std::slice::from_raw_parts(self.data, self.len) })
    }

    #[cold]
    fn wrong(&self, name: &str) -> Error {
        refused(match self.data.is_null() {
            true => format!("{name}: data is NULL and len is {}", self.len),
            false => format!("{name}: len is {}, more than memory holds", self.len),
        })
    }

    /// The bytes as text that no message may show.
    pub fn secret(&self, name: &str) -> Result<&str> {
        std::str::from_utf8(self.slice(name)?).map_err(|_| refused(format!("{name}: it is not UTF-8")))
    }

    /// The bytes as text.
    pub fn text(&self, name: &str) -> Result<&str> {
        let bytes = self.slice(name)?;
        std::str::from_utf8(bytes).map_err(|_| refused(format!("{name}: \"{}\" is not UTF-8", bytes.escape_ascii())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_allowed_where_there_are_no_bytes() {
        let null = |len| bmemc_bytes { data: std::ptr::null(), len };
        assert_eq!(null(0).slice("key").unwrap(), b"");
        assert_eq!(null(3).slice("key").unwrap_err().message(), "key: data is NULL and len is 3");
        let vast = bmemc_bytes { data: b"x".as_ptr(), len: usize::MAX };
        assert!(vast.slice("key").unwrap_err().message().contains("key: len is 18446744073709551615"));
        assert!(bmemc_bytes::of(b"\xff").text("name").unwrap_err().message().contains(r"\xff"));
        assert!(!bmemc_bytes::of(b"").data.is_null());
    }
}
