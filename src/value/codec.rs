//! Codecs: how other clients mark in an item's flags what its value is, and whether it is compressed. Each is the rule of
//! one client and says what that client would; nothing here looks at a value, nor guesses whose it is.

use super::compress::Format;

/// What a value is. The numbers are those of the C ABI (`bmemc_value_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
#[repr(u32)]
pub enum ValueType {
    #[default]
    Bytes = 0,
    /// UTF-8.
    Text = 1,
    /// A whole number, in decimal digits.
    Integer = 2,
    /// A number that the other language keeps in another type than `Integer`, in decimal digits.
    Long = 3,
    /// Something that a language serialised, or keeps in a type of its own.
    Object = 4,
}

impl ValueType {
    /// Every type, in the order of the ABI.
    pub const ALL: [ValueType; 5] =
        [ValueType::Bytes, ValueType::Text, ValueType::Integer, ValueType::Long, ValueType::Object];

    /// The type with this number.
    pub fn from_code(code: u32) -> Option<ValueType> {
        ValueType::ALL.get(usize::try_from(code).ok()?).copied()
    }

    /// The number that the C ABI uses.
    pub fn code(self) -> u32 {
        self as u32
    }

    /// The name that messages use.
    pub fn name(self) -> &'static str {
        match self {
            ValueType::Bytes => "bytes",
            ValueType::Text => "text",
            ValueType::Integer => "integer",
            ValueType::Long => "long",
            ValueType::Object => "object",
        }
    }
}

/// Whose rules hold for values and flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub enum Codec {
    /// Nobody's: values are bytes, and flags the caller's.
    #[default]
    None,
    /// python-binary-memcached.
    Bmemcached,
    /// pymemcache with its `compressed_serde`, and python-memcached.
    Pymemcache,
    Pylibmc,
    /// The Java client, with its SerializingTranscoder.
    Spymemcached,
    /// The Ruby client.
    Dalli,
    /// The Node client.
    Memjs,
}

/// How a codec marks a compressed value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packing {
    /// The bit of the flags.
    pub bit: u32,
    pub format: Format,
    /// The client itself compresses values of more bytes than this; `None`: none, unless it is told to.
    pub over: Option<usize>,
}

// python-memcached's bits, which the other Python clients took over; 16 alone they read in two ways.
const PICKLE: u32 = 1;
const INTEGER: u32 = 2;
const LONG: u32 = 4;
const ZLIB: u32 = 8;
const SIXTEEN: u32 = 16;

// spymemcached's: two bits, and a number in the second byte.
const SPY_SERIALIZED: u32 = 1;
const SPY_GZIP: u32 = 2;
const SPY_TYPE: u32 = 0xff00;
const SPY_BOOLEAN: u32 = 1 << 8;
const SPY_INTEGER: u32 = 2 << 8;
const SPY_LONG: u32 = 3 << 8;
const SPY_DATE: u32 = 4 << 8;
const SPY_DOUBLE: u32 = 7 << 8;
const SPY_BYTES: u32 = 8 << 8;

// dalli's.
const DALLI_MARSHAL: u32 = 1;
const DALLI_ZLIB: u32 = 2;
const DALLI_UTF8: u32 = 4;

impl Codec {
    /// Every codec, in the order of the documentation, and what option `codec` calls them.
    pub const ALL: [Codec; 7] = [
        Codec::None,
        Codec::Bmemcached,
        Codec::Pymemcache,
        Codec::Pylibmc,
        Codec::Spymemcached,
        Codec::Dalli,
        Codec::Memjs,
    ];
    pub const NAMES: [&'static str; 7] =
        ["none", "bmemcached", "pymemcache", "pylibmc", "spymemcached", "dalli", "memjs"];

    /// What option `codec` calls it.
    pub fn name(self) -> &'static str {
        Codec::NAMES[self as usize]
    }

    /// The flags of an uncompressed value of this type.
    pub fn flags(self, value_type: ValueType) -> u32 {
        use ValueType::*;
        match (self, value_type) {
            (Codec::None | Codec::Memjs, _) => 0,
            (Codec::Bmemcached, Bytes) => SIXTEEN,
            (Codec::Bmemcached, Text) => 0,
            (Codec::Pymemcache | Codec::Pylibmc, Bytes) => 0,
            (Codec::Pymemcache | Codec::Pylibmc, Text) => SIXTEEN,
            (Codec::Bmemcached | Codec::Pymemcache | Codec::Pylibmc, Integer) => INTEGER,
            (Codec::Bmemcached | Codec::Pymemcache | Codec::Pylibmc, Long) => LONG,
            (Codec::Bmemcached | Codec::Pymemcache | Codec::Pylibmc, Object) => PICKLE,
            (Codec::Spymemcached, Bytes) => SPY_BYTES,
            (Codec::Spymemcached, Text) => 0,
            (Codec::Spymemcached, Integer) => SPY_INTEGER,
            (Codec::Spymemcached, Long) => SPY_LONG,
            (Codec::Spymemcached, Object) => SPY_SERIALIZED,
            (Codec::Dalli, Bytes | Integer | Long) => 0,
            (Codec::Dalli, Text) => DALLI_UTF8,
            (Codec::Dalli, Object) => DALLI_MARSHAL,
        }
    }

    /// What a value with these flags is; `None` where the client would not know either.
    pub fn value_type(self, flags: u32) -> Option<ValueType> {
        let has = |bit: u32| flags & bit != 0;
        Some(match self {
            Codec::None | Codec::Memjs => ValueType::Bytes,
            Codec::Bmemcached if has(SIXTEEN) => ValueType::Bytes,
            Codec::Pymemcache if has(SIXTEEN) => ValueType::Text,
            Codec::Bmemcached | Codec::Pymemcache if has(INTEGER) => ValueType::Integer,
            Codec::Bmemcached | Codec::Pymemcache if has(LONG) => ValueType::Long,
            Codec::Bmemcached | Codec::Pymemcache if has(PICKLE) => ValueType::Object,
            Codec::Bmemcached => ValueType::Text,
            Codec::Pymemcache => ValueType::Bytes,
            Codec::Pylibmc => match flags & (PICKLE | INTEGER | LONG | SIXTEEN) {
                0 => ValueType::Bytes,
                PICKLE => ValueType::Object,
                INTEGER => ValueType::Integer,
                LONG => ValueType::Long,
                SIXTEEN => ValueType::Text,
                _ => return None,
            },
            Codec::Spymemcached if has(SPY_SERIALIZED) => ValueType::Object,
            Codec::Spymemcached => match flags & SPY_TYPE {
                0 => ValueType::Text,
                SPY_INTEGER => ValueType::Integer,
                SPY_LONG => ValueType::Long,
                SPY_BYTES => ValueType::Bytes,
                SPY_BOOLEAN | SPY_DATE..=SPY_DOUBLE => ValueType::Object,
                _ => return None,
            },
            Codec::Dalli if has(DALLI_MARSHAL) => ValueType::Object,
            Codec::Dalli if has(DALLI_UTF8) => ValueType::Text,
            Codec::Dalli => ValueType::Bytes,
        })
    }

    /// How it marks a compressed value, if it has such.
    pub fn packing(self) -> Option<Packing> {
        let (bit, format, over) = match self {
            Codec::None | Codec::Memjs => return None,
            Codec::Bmemcached => (ZLIB, Format::Zlib, Some(128)),
            Codec::Pymemcache => (ZLIB, Format::Zlib, Some(400)),
            Codec::Pylibmc => (ZLIB, Format::Zlib, None),
            Codec::Spymemcached => (SPY_GZIP, Format::Gzip, Some(16384)),
            Codec::Dalli => (DALLI_ZLIB, Format::Zlib, Some(4095)),
        };
        Some(Packing { bit, format, over })
    }

    /// Whether it keeps numbers as bytes, most significant first and without leading zeros, instead of decimal digits.
    pub(super) fn has_binary_numbers(self) -> bool {
        self == Codec::Spymemcached
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ValueType::*;

    #[test]
    fn what_a_codec_writes_it_reads_as_the_same() {
        for codec in Codec::ALL {
            for value_type in ValueType::ALL {
                let read = codec.value_type(codec.flags(value_type));
                let kept = match codec {
                    // They have no flag for it.
                    Codec::None | Codec::Memjs => Bytes,
                    Codec::Dalli if matches!(value_type, Integer | Long) => Bytes,
                    _ => value_type,
                };
                assert_eq!(read, Some(kept), "{codec:?} {value_type:?}");
            }
        }
    }

    #[test]
    fn bytes_and_text_are_swapped_between_the_two_seeds() {
        assert_eq!([Bytes, Text].map(|kind| Codec::Bmemcached.flags(kind)), [16, 0]);
        assert_eq!([Bytes, Text].map(|kind| Codec::Pymemcache.flags(kind)), [0, 16]);
        assert_eq!([0, 16].map(|flags| Codec::Bmemcached.value_type(flags)), [Some(Text), Some(Bytes)]);
        assert_eq!([0, 16].map(|flags| Codec::Pymemcache.value_type(flags)), [Some(Bytes), Some(Text)]);
    }

    #[test]
    fn of_several_bits_the_one_counts_that_the_client_looks_at_first() {
        let bmemcached = [(3, Integer), (5, Long), (6, Integer), (18, Bytes), (24, Bytes), (8, Text), (32, Text)];
        let pymemcache = [(3, Integer), (5, Long), (6, Integer), (18, Text), (24, Text), (8, Bytes), (32, Bytes)];
        for ((flags, bmemcached), (_, pymemcache)) in bmemcached.into_iter().zip(pymemcache) {
            assert_eq!(Codec::Bmemcached.value_type(flags), Some(bmemcached), "{flags}");
            assert_eq!(Codec::Pymemcache.value_type(flags), Some(pymemcache), "{flags}");
        }
        assert_eq!(
            [3, 18, 32, 40].map(|flags| Codec::Pylibmc.value_type(flags)),
            [None, None, Some(Bytes), Some(Bytes)]
        );
        let spy = [1, 2, 0x100, 0x202, 0x300, 0x400, 0x700, 0x802, 0x900, 0x201];
        let types = [Some(Object), Some(Text), Some(Object), Some(Integer), Some(Long), Some(Object), Some(Object)];
        assert_eq!(spy.map(|flags| Codec::Spymemcached.value_type(flags))[..7], types);
        assert_eq!(spy.map(|flags| Codec::Spymemcached.value_type(flags))[7..], [Some(Bytes), None, Some(Object)]);
        assert_eq!([5, 6, 2, 8].map(|flags| Codec::Dalli.value_type(flags)), [Object, Text, Bytes, Bytes].map(Some));
    }

    #[test]
    fn names_and_numbers_go_both_ways() {
        for (codec, name) in Codec::ALL.into_iter().zip(Codec::NAMES) {
            assert_eq!((codec.name(), format!("{codec:?}").to_lowercase()), (name, name.to_string()));
        }
        for value_type in ValueType::ALL {
            assert_eq!(ValueType::from_code(value_type.code()), Some(value_type));
        }
        assert_eq!(ValueType::from_code(5), None);
        assert_eq!(ValueType::from_code(u32::MAX), None);
    }
}
