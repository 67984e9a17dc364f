//! Hash tags: two characters that mark the part of a key that is hashed, so that keys which share it share a server.

/// Two characters; what stands between the first of them and the next of the second is hashed instead of the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HashTag {
    open: u8,
    close: u8,
}

impl HashTag {
    /// A tag written as its two ASCII characters, as `{}` or `$$`.
    pub fn parse(text: &str) -> Option<HashTag> {
        match text.as_bytes() {
            &[open, close] if open.is_ascii_graphic() && close.is_ascii_graphic() => Some(HashTag { open, close }),
            _ => None,
        }
    }

    /// The part of a key that is hashed: the whole key where the tag is missing or empty, as twemproxy does it.
    pub fn part_of(self, key: &[u8]) -> &[u8] {
        let part = || {
            let after = key.get(key.iter().position(|byte| *byte == self.open)? + 1..)?;
            after.get(..after.iter().position(|byte| *byte == self.close)?)
        };
        part().filter(|part| !part.is_empty()).unwrap_or(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_between_the_first_pair_is_hashed() {
        let braces = HashTag::parse("{}").unwrap();
        let cases =
            [("a{b}c", "b"), ("{b}{c}", "b"), ("}a{b}", "b"), ("a{}b", "a{}b"), ("a{b", "a{b"), ("{{b}}", "{b")];
        for (key, part) in cases {
            assert_eq!(braces.part_of(key.as_bytes()), part.as_bytes(), "{key}");
        }
        assert_eq!(HashTag::parse("$$").unwrap().part_of(b"a$b$c"), b"b");
        assert_eq!(["", "{", "{}}", "{ ", "\u{e9}"].map(HashTag::parse), [None; 5]);
    }
}
