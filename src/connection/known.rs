//! Known: what handshakes have found a server to be, so that the next one need not ask. It is one number, which all
//! connections of a server share without a lock.

use crate::protocol::Dialect;

/// What is known of a server; at first nothing. Only `protocol=auto` remembers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// `Text`, `TextMeta` or `Binary`.
    pub dialect: Option<Dialect>,
    /// It reads lines, and so has no SASL.
    pub ascii: bool,
    /// A connection to it has ended since: it may be another server now.
    pub doubtful: bool,
    /// A hash of its version; zero: not asked.
    pub version: u32,
}

const ASCII: u64 = 1 << 2;
const DOUBTFUL: u64 = 1 << 3;

impl Known {
    pub fn to_number(self) -> u64 {
        let dialect = match self.dialect {
            None => 0,
            Some(Dialect::Text) => 1,
            Some(Dialect::TextMeta | Dialect::Meta) => 2,
            Some(Dialect::Binary) => 3,
        };
        let ascii = if self.ascii { ASCII } else { 0 };
        let doubtful = if self.doubtful { DOUBTFUL } else { 0 };
        dialect | ascii | doubtful | u64::from(self.version) << 32
    }

    pub fn from_number(number: u64) -> Known {
        let dialect = match number & 3 {
            0 => None,
            1 => Some(Dialect::Text),
            2 => Some(Dialect::TextMeta),
            _ => Some(Dialect::Binary),
        };
        Known { dialect, ascii: number & ASCII != 0, doubtful: number & DOUBTFUL != 0, version: (number >> 32) as u32 }
    }

    /// The number that makes this knowledge doubtful, if there is any.
    pub fn doubt(number: u64) -> u64 {
        if number == 0 {
            0
        } else {
            number | DOUBTFUL
        }
    }
}

/// A hash of a version, never zero (FNV-1a).
pub fn hash_of(version: &[u8]) -> u32 {
    version.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knowledge_is_a_number_and_back() {
        assert_eq!(Known::default().to_number(), 0);
        for dialect in [None, Some(Dialect::Text), Some(Dialect::TextMeta), Some(Dialect::Binary)] {
            for (ascii, doubtful, version) in [(false, false, 0), (true, false, 7), (false, true, u32::MAX)] {
                let known = Known { dialect, ascii, doubtful, version };
                assert_eq!(Known::from_number(known.to_number()), known);
            }
        }
        assert_ne!(hash_of(b"1.6.18"), hash_of(b"1.6.19"));
    }
}
