//! A compressor of the user's, instead of the codec's own zlib or gzip. It writes into an `Output`, which takes no more
//! than is allowed: what it makes can be as wrong as any value from outside.

use std::fmt;
use std::sync::Arc;

/// A compressor of the user's. It is called on the thread that makes the call or fetches, with no lock held, for several
/// values at once if several threads use the client. It must not use that client.
pub trait Compressor: Send + Sync {
    /// Writes `value` compressed. `level` is 1 (fast) to 9 (small), as the call or the option `compress_level` says.
    /// `false`: it cannot, or does not want to, and the value is stored as it is.
    fn compress(&self, value: &[u8], level: u32, output: &mut Output) -> bool;

    /// Writes what `compress` was given. `false`: these bytes are none of its own.
    fn decompress(&self, packed: &[u8], output: &mut Output) -> bool;
}

/// Takes what a compressor writes, up to a limit.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    max: usize,
    is_over: bool,
}

impl Output {
    /// Room for `max` bytes.
    pub(super) fn new(max: usize) -> Output {
        Output { bytes: Vec::new(), max, is_over: false }
    }

    /// Appends these bytes. `false` where that would be more than is allowed, or there is no memory: then what was written
    /// is of no use any more, and the compressor should return.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        let fits =
            !self.is_over && bytes.len() <= self.max - self.bytes.len() && self.bytes.try_reserve(bytes.len()).is_ok();
        match fits {
            true => self.bytes.extend_from_slice(bytes),
            false => self.is_over = true,
        }
        fits
    }

    /// What was written; `None` if it was too much.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        (!self.is_over).then_some(self.bytes)
    }
}

/// The user's compressor, if there is one.
#[derive(Clone, Default)]
pub struct CustomCompressor(Option<Arc<dyn Compressor>>);

impl CustomCompressor {
    /// This one.
    pub fn new(compressor: impl Compressor + 'static) -> CustomCompressor {
        CustomCompressor(Some(Arc::new(compressor)))
    }

    pub(super) fn get(&self) -> Option<&dyn Compressor> {
        self.0.as_deref()
    }
}

impl fmt::Debug for CustomCompressor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_some() { "CustomCompressor(the user's)" } else { "CustomCompressor(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_takes_no_more_than_is_allowed() {
        let mut output = Output::new(5);
        assert!(output.write(b"abc") && output.write(b"") && output.write(b"de") && output.write(b""));
        assert_eq!(output.finish().unwrap(), b"abcde");
        let mut output = Output::new(5);
        assert!(output.write(b"abc") && !output.write(b"def"));
        assert!(!output.write(b""), "nothing is put behind what is missing");
        assert_eq!(output.finish(), None);
    }
}
