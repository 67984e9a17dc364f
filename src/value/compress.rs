//! zlib and gzip, as other clients use them: a value is kept compressed only if that makes it smaller, and a value that
//! would unpack to more than is allowed is refused before it has.

use crate::error::{Error, Result, Status};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// The longest value that is unpacked unless the caller says otherwise: 64 MiB.
pub const DEFAULT_MAX: usize = 64 << 20;

/// A value that is unpacked gets at least so much memory at once.
const STEP: usize = 4096;
/// Of deflate's windows the largest, 32 KiB: zlib's own choice.
const WINDOW_BITS: u8 = 15;

/// What stands around the deflated bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Zlib,
    Gzip,
}

/// Compresses at zlib's `level`, 1 (fast) to 9 (small); `None` where the result would not be smaller.
pub fn compress(bytes: &[u8], format: Format, level: u32) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    // Room for a result that is smaller by one byte, and for no other.
    out.try_reserve_exact(bytes.len().saturating_sub(1)).ok()?;
    let level = Compression::new(level.clamp(1, 9));
    let mut zlib = match format {
        Format::Zlib => Compress::new(level, true),
        Format::Gzip => Compress::new_gzip(level, WINDOW_BITS),
    };
    let status = zlib.compress_vec(bytes, &mut out, FlushCompress::Finish).ok()?;
    (status == flate2::Status::StreamEnd).then_some(out)
}

/// Unpacks a value of at most `max` bytes, in memory of hardly more. What is not of this format, is cut or goes on behind
/// its end is the failure `Decode`.
pub fn decompress(bytes: &[u8], format: Format, max: usize) -> Result<Vec<u8>> {
    let corrupt = |why: &str| Error::new(Status::Decode, format!("a compressed value of {} bytes: {why}", bytes.len()));
    let too_long = || corrupt(&format!("it unpacks to more than {max} bytes (option max_decompressed_bytes)"));
    let mut zlib = match format {
        Format::Zlib => Decompress::new(true),
        Format::Gzip => Decompress::new_gzip(WINDOW_BITS),
    };
    let mut out = Vec::new();
    let mut room = bytes.len().saturating_mul(4).max(STEP);
    loop {
        if out.len() == out.capacity() {
            if out.len() > max {
                return Err(too_long());
            }
            // One byte more than is allowed tells that there are more.
            let more = room.max(out.len()).min(max.saturating_add(1) - out.len());
            out.try_reserve_exact(more).map_err(|_| corrupt("there is no memory to unpack it"))?;
            room = STEP;
        }
        let taken = usize::try_from(zlib.total_in()).unwrap_or(bytes.len());
        let rest = bytes.get(taken..).unwrap_or_default();
        // Told that this is all, zlib does without a window of its own wherever it can.
        let status = zlib
            .decompress_vec(rest, &mut out, FlushDecompress::Finish)
            .map_err(|error| corrupt(&error.to_string()))?;
        match status {
            flate2::Status::StreamEnd if zlib.total_in() == bytes.len() as u64 => break,
            flate2::Status::StreamEnd => return Err(corrupt("there is more behind its end")),
            _ if out.len() < out.capacity() => return Err(corrupt("it is cut")),
            _ => {}
        }
    }
    if out.len() > max {
        return Err(too_long());
    }
    // The caller may keep it for long.
    if out.capacity() - out.len() > out.len() / 4 {
        out.shrink_to_fit();
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::Format::*;
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn what_was_compressed_comes_back() {
        for len in [100, 1000, 100_000, 1_000_000] {
            let bytes: Vec<u8> = (0..len).map(|at| (at / 7 % 50) as u8).collect();
            for (format, level) in [(Zlib, 1), (Zlib, 6), (Zlib, 9), (Gzip, 1), (Gzip, 6), (Gzip, 9)] {
                let packed = compress(&bytes, format, level).unwrap();
                assert!(packed.len() < bytes.len());
                assert!(decompress(&packed, format, len).unwrap() == bytes);
                assert_eq!(decompress(&packed, format, len - 1).unwrap_err().status(), Status::Decode);
            }
        }
    }

    #[test]
    fn what_does_not_shrink_is_left_as_it_is() {
        let noise: Vec<u8> = (0..129u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for bytes in [&b""[..], b"a", b"short", &noise] {
            assert_eq!(compress(bytes, Zlib, 6), None, "{bytes:?}");
        }
    }

    #[test]
    fn values_of_the_python_clients_unpack() {
        assert_eq!(decompress(&unhex("789c4b4c1c6000006a5630e2"), Zlib, 200).unwrap(), [b'a'; 129]);
        let text = "this is test data. ".repeat(32);
        let packed = unhex("789c2bc9c82c5600a292d4e2128594c492443d859251a151216a09010025c4d381");
        assert_eq!(decompress(&packed, Zlib, DEFAULT_MAX).unwrap(), text.as_bytes());
        assert_eq!(decompress(&unhex("789caba81805830a00009fe6bbf9"), Zlib, 401).unwrap(), [b'x'; 401]);
    }

    #[test]
    fn corrupt_values_and_bombs_are_decode_failures() {
        let packed = compress(&[0; 10_000_000], Zlib, 9).unwrap();
        let fails = |bytes: &[u8], max| decompress(bytes, Zlib, max).unwrap_err();
        let bomb = fails(&packed, 1_000_000);
        assert_eq!(bomb.status(), Status::Decode);
        assert!(bomb.message().contains("1000000"), "{bomb}");
        for cut in [0, 1, 2, 10, packed.len() - 1] {
            assert_eq!(fails(&packed[..cut], DEFAULT_MAX).status(), Status::Decode, "{cut}");
        }
        for at in (0..packed.len()).step_by(997) {
            let mut broken = packed.clone();
            broken[at] ^= 0x55;
            let _ = decompress(&broken, Zlib, 100_000);
        }
        let behind = [&packed[..], b"more"].concat();
        assert!(fails(&behind, DEFAULT_MAX).message().contains("behind its end"));
        assert_eq!(fails(b"no zlib at all", DEFAULT_MAX).status(), Status::Decode);
    }
}
