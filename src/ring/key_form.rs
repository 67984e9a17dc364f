//! Keys as Python clients put them into what they hash, fed to a hash piece by piece so that nothing is allocated.

use super::settings::KeyForm;

/// Feeds a key to `sink` as Python formats it, in UTF-8.
pub fn utf8(key: &[u8], form: KeyForm, sink: &mut impl FnMut(&[u8])) {
    match form {
        KeyForm::Text => sink(key),
        KeyForm::Bytes => python_bytes(key, sink),
    }
}

/// Feeds a key to `sink` as Python formats it, as pymemcache's murmur3 reads it: of each character only the low byte of
/// its code point. Bytes that are no UTF-8 are taken as they are.
pub fn low_bytes(key: &[u8], form: KeyForm, sink: &mut impl FnMut(&[u8])) {
    if form == KeyForm::Bytes {
        return python_bytes(key, sink);
    }
    if key.is_ascii() {
        return sink(key);
    }
    for chunk in key.utf8_chunks() {
        for character in chunk.valid().chars() {
            sink(&[u32::from(character) as u8]);
        }
        sink(chunk.invalid());
    }
}

/// Feeds bytes to `sink` as Python writes a bytes object: `b'…'`.
fn python_bytes(bytes: &[u8], sink: &mut impl FnMut(&[u8])) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { b'"' } else { b'\'' };
    sink(&[b'b', quote]);
    for byte in bytes {
        match *byte {
            b'\t' => sink(b"\\t"),
            b'\n' => sink(b"\\n"),
            b'\r' => sink(b"\\r"),
            escaped if escaped == quote || escaped == b'\\' => sink(&[b'\\', escaped]),
            plain @ 0x20..=0x7e => sink(&[plain]),
            other => sink(&[b'\\', b'x', DIGITS[usize::from(other >> 4)], DIGITS[usize::from(other & 15)]]),
        }
    }
    sink(&[quote]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(feed: impl Fn(&mut dyn FnMut(&[u8]))) -> Vec<u8> {
        let mut bytes = Vec::new();
        feed(&mut |piece: &[u8]| bytes.extend_from_slice(piece));
        bytes
    }

    #[test]
    fn bytes_are_written_as_python_writes_them() {
        let cases: [(&[u8], &str); 6] = [
            (b"key", "b'key'"),
            (b"it's", "b\"it's\""),
            (b"\"'", "b'\"\\''"),
            (b"a\\b\t\n\r", "b'a\\\\b\\t\\n\\r'"),
            (b"\x00\x1f\x7f\xff ~", "b'\\x00\\x1f\\x7f\\xff ~'"),
            (b"", "b''"),
        ];
        for (bytes, written) in cases {
            assert_eq!(fed(|mut sink| utf8(bytes, KeyForm::Bytes, &mut sink)), written.as_bytes());
        }
    }

    #[test]
    fn text_is_read_by_the_low_byte_of_each_character() {
        let low = |key: &[u8]| fed(|mut sink| low_bytes(key, KeyForm::Text, &mut sink));
        assert_eq!(low("aé日".as_bytes()), [b'a', 0xe9, 0xe5]);
        assert_eq!(low(b"a\xffb"), b"a\xffb");
    }
}
