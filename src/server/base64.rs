//! Base64 as memcached has it, for meta keys: padded, and forgiving of characters that are none of its own.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends `bytes` to `out`, encoded.
pub fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = (group >> (18 - 6 * place)) as usize & 63;
            out.push(if place <= chunk.len() { ALPHABET[digit] } else { b'=' });
        }
    }
}

/// The bytes, or `None` if there are none or the text is not whole.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let symbols: Vec<u8> = text.iter().copied().filter(|byte| *byte == b'=' || digit(*byte).is_some()).collect();
    if symbols.len() % 4 != 0 {
        return None;
    }
    let mut bytes = Vec::with_capacity(symbols.len() / 4 * 3);
    for symbols in symbols.chunks(4) {
        let group = symbols.iter().fold(0u32, |group, byte| group << 6 | u32::from(digit(*byte).unwrap_or(0)));
        let padding = symbols.iter().filter(|byte| **byte == b'=').count();
        let [_, decoded @ ..] = group.to_be_bytes();
        bytes.extend_from_slice(decoded.get(..3usize.checked_sub(padding).filter(|left| *left > 0)?)?);
        if padding > 0 {
            break;
        }
    }
    (!bytes.is_empty()).then_some(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_pairs_both_ways() {
        for (plain, coded) in [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            let mut out = Vec::new();
            encode(plain.as_bytes(), &mut out);
            assert_eq!(out, coded.as_bytes());
            assert_eq!(decode(coded.as_bytes()).as_deref(), Some(plain.as_bytes()));
        }
        for length in 1..100u8 {
            let plain: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37)).collect();
            let mut out = Vec::new();
            encode(&plain, &mut out);
            assert_eq!(decode(&out), Some(plain));
        }
    }

    #[test]
    fn broken_text_has_no_bytes() {
        for bad in ["", "Z", "Zg", "Zm8", "====", "Z===", "!!!!"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(decode(b"Zm-9v").as_deref(), Some(&b"foo"[..]), "foreign characters are skipped");
    }
}
