//! Coder: a codec with a client's settings for it, which turns values into what is stored and back. It holds no state
//! between two values, and whatever the bytes and flags are, the outcome is a value or a failure.

use super::codec::{Codec, Packing, ValueType};
use super::compress::{compress, decompress, DEFAULT_MAX};
use super::compressor::{CustomCompressor, Output};
use crate::error::{bits, Error, Result, Status};
use std::borrow::Cow;

/// Longer values are not looked through while others wait for that.
const GLANCE: usize = 16 << 10;

/// See the module.
#[derive(Clone, Debug)]
pub struct Coder {
    pub codec: Codec,
    /// Whether values are compressed; those that are get unpacked in any case.
    pub compression: bool,
    /// Values of more bytes than this are compressed; 0: as the codec's own client does.
    pub threshold: usize,
    /// 1 to 9.
    pub level: u32,
    /// No value unpacks to more bytes.
    pub max: usize,
    pub compressor: CustomCompressor,
}

/// A value as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encoded<'a> {
    pub value: Cow<'a, [u8]>,
    pub flags: u32,
}

/// A value as it was before it was stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decoded<'a> {
    pub value: Cow<'a, [u8]>,
    pub value_type: ValueType,
}

impl Coder {
    /// A codec with the settings that its own client has.
    pub fn new(codec: Codec) -> Coder {
        let compressor = CustomCompressor::default();
        Coder { codec, compression: true, threshold: 0, level: 6, max: DEFAULT_MAX, compressor }
    }

    /// How this value is stored. `level`: 0 the coder's, 1 to 9, or -1 for not compressed. Text that is not UTF-8, and a
    /// number that is none, are the failure `Argument`: whoever reads them would fail.
    pub fn encode<'a>(&self, value: &'a [u8], value_type: u32, level: i32) -> Result<Encoded<'a>> {
        let Some(value_type) = ValueType::from_code(value_type) else {
            let most = ValueType::ALL.len() - 1;
            return Err(unfit(format!("value_type is {value_type}; it is 0 to {most}")));
        };
        let (value, value_type) = self.stored(value, value_type).map_err(|why| {
            unfit(format!("value_type is {}, but the value of {} bytes {why}", value_type.name(), value.len()))
        })?;
        let flags = self.codec.flags(value_type);
        Ok(match self.pack(&value, level) {
            Some((packed, bit)) => Encoded { value: Cow::Owned(packed), flags: flags | bit },
            None => Encoded { value, flags },
        })
    }

    /// Whether a value with these flags is, as it is stored, already what `decode` would make of it.
    pub fn is_plain(&self, flags: u32) -> Option<ValueType> {
        let value_type = self.codec.value_type(flags)?;
        let is_packed = self.codec.packing().is_some_and(|packing| flags & packing.bit != 0);
        (!is_packed && matches!(value_type, ValueType::Bytes | ValueType::Object)).then_some(value_type)
    }

    /// What `decode` would make of a value, where that is a part of it and found as quickly as it is copied. `None`: it has
    /// to be decoded, which may fail.
    pub fn glance<'a>(&self, value: &'a [u8], flags: u32) -> Option<(ValueType, &'a [u8])> {
        if let Some(value_type) = self.is_plain(flags) {
            return Some((value_type, value));
        }
        if value.len() > GLANCE || self.codec.packing().is_some_and(|packing| flags & packing.bit != 0) {
            return None;
        }
        let value_type = self.codec.value_type(flags)?;
        match self.read(Cow::Borrowed(value), value_type) {
            Ok(Cow::Borrowed(value)) => Some((value_type, value)),
            _ => None,
        }
    }

    /// The value that is stored so. What its flags do not fit is the failure `Decode`.
    pub fn decode<'a>(&self, value: Cow<'a, [u8]>, flags: u32) -> Result<Decoded<'a>> {
        let packing = self.codec.packing().filter(|packing| flags & packing.bit != 0);
        let Some(value_type) = self.codec.value_type(flags) else {
            return Err(self.undecodable(flags, &format!("are none of {}'s", self.codec.name())));
        };
        let value = match packing {
            Some(packing) => Cow::Owned(self.unpack(&value, packing)?),
            None => value,
        };
        let len = value.len();
        let value = self.read(value, value_type).map_err(|why| {
            self.undecodable(flags, &format!("say {}, but the value of {len} bytes {why}", value_type.name()))
        })?;
        Ok(Decoded { value, value_type })
    }

    #[cold]
    fn undecodable(&self, flags: u32, why: &str) -> Error {
        Error::new(Status::Decode, format!("codec {}: flags {flags} {why}", self.codec.name())).with_bits(bits::SENT)
    }

    /// A value as the codec stores it, but for compression, and the type that it has there.
    fn stored<'a>(
        &self,
        value: &'a [u8],
        value_type: ValueType,
    ) -> std::result::Result<(Cow<'a, [u8]>, ValueType), String> {
        match value_type {
            ValueType::Bytes | ValueType::Object => {}
            ValueType::Text => check_text(value)?,
            ValueType::Integer | ValueType::Long if !is_number(value) => return Err("is not decimal digits".into()),
            ValueType::Integer | ValueType::Long if !self.codec.has_binary_numbers() => {}
            ValueType::Integer | ValueType::Long => {
                let digits = std::str::from_utf8(value).unwrap_or_default();
                let number: i64 = digits.parse().map_err(|_| "is a number of more than 64 bits".to_string())?;
                let small = i32::try_from(number).ok().filter(|_| value_type == ValueType::Integer);
                return Ok(match small {
                    Some(small) => (without_zeros(&small.to_be_bytes()), ValueType::Integer),
                    None => (without_zeros(&number.to_be_bytes()), ValueType::Long),
                });
            }
        }
        Ok((Cow::Borrowed(value), value_type))
    }

    /// The reverse of `stored`.
    fn read<'a>(&self, value: Cow<'a, [u8]>, value_type: ValueType) -> std::result::Result<Cow<'a, [u8]>, String> {
        match value_type {
            ValueType::Bytes | ValueType::Object => Ok(value),
            ValueType::Text => check_text(&value).map(|()| value),
            ValueType::Integer if self.codec.has_binary_numbers() => match number::<4>(&value) {
                Some(bytes) => Ok(Cow::Owned(i32::from_be_bytes(bytes).to_string().into_bytes())),
                None => Err("is more than 4 bytes".into()),
            },
            ValueType::Long if self.codec.has_binary_numbers() => match number::<8>(&value) {
                Some(bytes) => Ok(Cow::Owned(i64::from_be_bytes(bytes).to_string().into_bytes())),
                None => Err("is more than 8 bytes".into()),
            },
            // memcached keeps the length of a counter that it decrements: "10" becomes "9 ".
            ValueType::Integer | ValueType::Long => match trimmed(value) {
                digits if is_number(&digits) => Ok(digits),
                _ => Err("is not decimal digits".into()),
            },
        }
    }

    /// The value compressed, and the bit that tells so; `None` where it is to stay as it is.
    fn pack(&self, value: &[u8], level: i32) -> Option<(Vec<u8>, u32)> {
        let packing = self.codec.packing()?;
        let over = if self.threshold > 0 { Some(self.threshold) } else { packing.over };
        // What this client would not unpack again is better not packed.
        if !self.compression || level < 0 || over.is_none_or(|over| value.len() <= over) || value.len() > self.max {
            return None;
        }
        let level = u32::try_from(level).ok().filter(|level| *level > 0).unwrap_or(self.level);
        let packed = match self.compressor.get() {
            None => compress(value, packing.format, level)?,
            Some(compressor) => {
                let mut output = Output::new(value.len().saturating_sub(1));
                let done = compressor.compress(value, level.clamp(1, 9), &mut output);
                output.finish().filter(|packed| done && !packed.is_empty())?
            }
        };
        Some((packed, packing.bit))
    }

    fn unpack(&self, packed: &[u8], packing: Packing) -> Result<Vec<u8>> {
        let Some(compressor) = self.compressor.get() else {
            return decompress(packed, packing.format, self.max).map_err(|error| error.with_bits(bits::SENT));
        };
        let mut output = Output::new(self.max);
        let done = compressor.decompress(packed, &mut output);
        let why = match (done, output.finish()) {
            (true, Some(value)) => return Ok(value),
            (_, None) => format!("it unpacks to more than {} bytes (option max_decompressed_bytes)", self.max),
            (false, Some(_)) => "the decompressor that was set refused it".into(),
        };
        let words = format!("a compressed value of {} bytes: {why}", packed.len());
        Err(Error::new(Status::Decode, words).with_bits(bits::SENT))
    }
}

#[cold]
fn unfit(words: String) -> Error {
    Error::argument(words).with_bits(bits::NOT_SENT)
}

fn check_text(value: &[u8]) -> std::result::Result<(), String> {
    match std::str::from_utf8(value) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("is not UTF-8 from byte {} on", error.valid_up_to())),
    }
}

/// Whether these are decimal digits, perhaps behind a minus.
fn is_number(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

fn trimmed(value: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match value {
        Cow::Borrowed(value) => Cow::Borrowed(value.trim_ascii()),
        Cow::Owned(value) if value.trim_ascii().len() == value.len() => Cow::Owned(value),
        Cow::Owned(value) => Cow::Owned(value.trim_ascii().to_vec()),
    }
}

fn without_zeros(bytes: &[u8]) -> Cow<'static, [u8]> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Cow::Owned(bytes[zeros..].to_vec())
}

/// Bytes as a number of `N`, the most significant first.
fn number<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    bytes.get_mut(N.checked_sub(value.len())?..)?.copy_from_slice(value);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Compressor;
    use ValueType::*;

    const CODED: [Codec; 6] =
        [Codec::Bmemcached, Codec::Pymemcache, Codec::Pylibmc, Codec::Spymemcached, Codec::Dalli, Codec::Memjs];

    fn encoded(codec: Codec, value: &[u8], value_type: ValueType) -> (u32, Vec<u8>) {
        let encoded = Coder::new(codec).encode(value, value_type.code(), 0).unwrap();
        (encoded.flags, encoded.value.into_owned())
    }

    fn decoded(codec: Codec, value: &[u8], flags: u32) -> Result<(ValueType, Vec<u8>)> {
        let decoded = Coder::new(codec).decode(value.into(), flags)?;
        Ok((decoded.value_type, decoded.value.into_owned()))
    }

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// Numbers without end, the same in each run.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }

        fn below(&mut self, end: u64) -> u64 {
            self.next() % end
        }

        /// A value of the type, short or long, easy or hard to compress.
        fn value(&mut self, value_type: ValueType) -> Vec<u8> {
            let len = 1 << self.below(15);
            let (len, few) = (self.below(len), 1 + self.below(200));
            match value_type {
                Bytes | Object => (0..len).map(|_| self.below(few) as u8).collect(),
                Text => (0..len).filter_map(|_| char::from_u32(self.below(few * 40) as u32)).collect::<String>().into(),
                Integer | Long => {
                    let number = self.next() as i64 >> self.below(64);
                    number.to_string().into()
                }
            }
        }
    }

    /// How often random things are tried.
    fn times(usual: u64) -> u64 {
        if std::env::var_os("BMEMC_LONG").is_some() {
            return usual * 10;
        }
        usual
    }

    #[test]
    fn flags_and_bytes_are_those_of_the_python_clients() {
        let (seeds, both) = ([Codec::Bmemcached, Codec::Pymemcache], |flags| [flags, flags]);
        let cases: [(&[u8], ValueType, [u32; 2]); 6] = [
            (b"test", Text, [0, 16]),
            (b"\xc3\xa9", Text, [0, 16]),
            (b"\x01z\x7f\x00\x80\xfe\xff\x00", Bytes, [16, 0]),
            (b"1180591620717411303424", Integer, both(2)),
            (b"(dp0\nVa\np1\nI1\ns.", Object, both(1)),
            (b"N.", Object, both(1)),
        ];
        for (value, value_type, flags) in cases {
            for (codec, flags) in seeds.into_iter().zip(flags) {
                assert_eq!(encoded(codec, value, value_type), (flags, value.to_vec()), "{codec:?}");
                assert_eq!(decoded(codec, value, flags).unwrap(), (value_type, value.to_vec()), "{codec:?}");
            }
        }
        assert_eq!(decoded(Codec::Bmemcached, b"5", 4).unwrap(), (Long, b"5".to_vec()));
    }

    #[test]
    fn values_are_compressed_from_the_threshold_on_and_only_if_that_helps() {
        let noise: Vec<u8> = (0..129u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert_eq!(encoded(Codec::Bmemcached, &noise, Bytes), (16, noise));
        let thresholds = [(Codec::Bmemcached, 128, 0, 8), (Codec::Pymemcache, 400, 16, 8), (Codec::Dalli, 4095, 4, 2)];
        for (codec, most, flags, bit) in thresholds.into_iter().chain([(Codec::Spymemcached, 16384, 0, 2)]) {
            let value = vec![b'a'; most + 1];
            assert_eq!(encoded(codec, &value[..most], Text), (flags, value[..most].to_vec()), "{codec:?}");
            let (got, packed) = encoded(codec, &value, Text);
            assert_eq!(got, flags | bit, "{codec:?}");
            assert!(packed.len() < most / 2, "{codec:?}");
            assert_eq!(decoded(codec, &packed, got).unwrap(), (Text, value), "{codec:?}");
        }
        // These compress only where they are told to, or never.
        let long = vec![b'a'; 100_000];
        assert_eq!(encoded(Codec::Pylibmc, &long, Text), (16, long.clone()));
        let told = Coder { threshold: 1000, ..Coder::new(Codec::Pylibmc) };
        assert_eq!(told.encode(&long, Text.code(), 0).unwrap().flags, 24);
        assert_eq!(told.encode(&long[..1000], Text.code(), 0).unwrap().flags, 16);
        assert_eq!(Coder { codec: Codec::Memjs, ..told }.encode(&long, Text.code(), 0).unwrap().flags, 0);
    }

    #[test]
    fn level_and_switch_decide_what_is_compressed() {
        let text = "Values of more bytes than so many are compressed. ".repeat(100);
        let coder = Coder::new(Codec::Bmemcached);
        let len = |coder: &Coder, level| coder.encode(text.as_bytes(), Text.code(), level).unwrap().value.len();
        assert_eq!(len(&coder, -1), text.len());
        assert!(len(&coder, 9) <= len(&coder, 1));
        assert_eq!(len(&coder, 0), len(&coder, 6));
        assert_eq!(len(&Coder { level: 9, ..coder.clone() }, 0), len(&coder, 9));
        let off = Coder { compression: false, ..coder.clone() };
        assert_eq!((len(&off, 0), len(&off, 9)), (text.len(), text.len()));
        let packed = coder.encode(text.as_bytes(), Text.code(), 0).unwrap();
        assert_eq!(off.decode(packed.value, packed.flags).unwrap().value, text.as_bytes());
        // What it would not unpack again it does not pack.
        assert_eq!(len(&Coder { max: text.len() - 1, ..coder.clone() }, 0), text.len());
        assert!(len(&Coder { max: text.len(), ..coder }, 0) < text.len());
    }

    #[test]
    fn values_of_the_python_clients_unpack() {
        let a129 = unhex("789c4b4c1c6000006a5630e2");
        assert_eq!(decoded(Codec::Bmemcached, &a129, 8).unwrap(), (Text, vec![b'a'; 129]));
        assert_eq!(decoded(Codec::Bmemcached, &a129, 24).unwrap(), (Bytes, vec![b'a'; 129]));
        let x401 = unhex("789caba81805830a00009fe6bbf9");
        assert_eq!(decoded(Codec::Pymemcache, &x401, 8).unwrap(), (Bytes, vec![b'x'; 401]));
        assert_eq!(decoded(Codec::Pymemcache, &x401, 24).unwrap(), (Text, vec![b'x'; 401]));
    }

    #[test]
    fn numbers_are_read_with_the_spaces_that_memcached_leaves() {
        for codec in [Codec::Bmemcached, Codec::Pymemcache, Codec::Pylibmc] {
            for (stored, digits) in [("9 ", "9"), ("9", "9"), ("-12 ", "-12"), ("007", "007"), ("99   ", "99")] {
                assert_eq!(decoded(codec, stored.as_bytes(), 2).unwrap(), (Integer, digits.into()));
                assert_eq!(decoded(codec, stored.as_bytes(), 4).unwrap(), (Long, digits.into()));
            }
            for bad in ["", " ", "-", "1 2", "0x1", "1.5", "--1", "12a", "\u{0663}"] {
                let error = decoded(codec, bad.as_bytes(), 2).unwrap_err();
                assert_eq!((error.status(), error.bits()), (Status::Decode, bits::SENT), "{bad:?}");
                assert!(error.message().contains("flags 2 say integer") && error.message().contains(codec.name()));
                let error = Coder::new(codec).encode(bad.as_bytes(), Integer.code(), 0).unwrap_err();
                assert_eq!((error.status(), error.bits()), (Status::Argument, bits::NOT_SENT), "{bad:?}");
                assert!(error.message().contains("value_type is integer"), "{error}");
            }
        }
    }

    #[test]
    fn numbers_of_the_java_client_are_bytes() {
        let cases: [(&str, ValueType, u32, &[u8]); 9] = [
            ("0", Integer, 0x200, b""),
            ("1", Integer, 0x200, b"\x01"),
            ("-1", Integer, 0x200, b"\xff\xff\xff\xff"),
            ("65536", Integer, 0x200, b"\x01\x00\x00"),
            ("2147483647", Integer, 0x200, b"\x7f\xff\xff\xff"),
            ("2147483648", Long, 0x300, b"\x80\x00\x00\x00"),
            ("0", Long, 0x300, b""),
            ("-2", Long, 0x300, b"\xff\xff\xff\xff\xff\xff\xff\xfe"),
            ("9223372036854775807", Long, 0x300, b"\x7f\xff\xff\xff\xff\xff\xff\xff"),
        ];
        for (digits, value_type, flags, stored) in cases {
            let codec = Codec::Spymemcached;
            assert_eq!(encoded(codec, digits.as_bytes(), value_type), (flags, stored.to_vec()), "{digits}");
            assert_eq!(decoded(codec, stored, flags).unwrap(), (value_type, digits.into()), "{digits}");
        }
        // What does not fit an int is a long.
        assert_eq!(encoded(Codec::Spymemcached, b"2147483648", Integer).0, 0x300);
        let vast = Coder::new(Codec::Spymemcached).encode(b"9223372036854775808", Integer.code(), 0).unwrap_err();
        assert!(vast.message().contains("more than 64 bits"), "{vast}");
        assert_eq!(decoded(Codec::Spymemcached, b"12345", 0x200).unwrap_err().status(), Status::Decode);
        assert_eq!(decoded(Codec::Spymemcached, b"123456789", 0x300).unwrap_err().status(), Status::Decode);
        assert_eq!(decoded(Codec::Spymemcached, b"12", 0x900).unwrap_err().status(), Status::Decode);
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_and_never_read() {
        let error = Coder::new(Codec::Bmemcached).encode(b"caf\xe9", Text.code(), 0).unwrap_err();
        assert_eq!(error.status(), Status::Argument);
        assert!(error.message().contains("not UTF-8 from byte 3 on"), "{error}");
        let error = decoded(Codec::Bmemcached, b"caf\xe9", 0).unwrap_err();
        assert_eq!(error.status(), Status::Decode);
        assert!(error.message().contains("flags 0 say text") && error.message().contains("byte 3"), "{error}");
        assert_eq!(decoded(Codec::Bmemcached, b"caf\xe9", 16).unwrap(), (Bytes, b"caf\xe9".to_vec()));
        let unknown = Coder::new(Codec::Bmemcached).encode(b"", 5, 0).unwrap_err();
        assert!(unknown.message().contains("value_type is 5; it is 0 to 4"), "{unknown}");
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let mut random = Random(1);
        for round in 0..times(200) {
            for codec in CODED {
                let value_type = ValueType::ALL[random.below(5) as usize];
                let value = random.value(value_type);
                let threshold = random.below(300) as usize;
                let coder = Coder { threshold, compression: random.below(8) > 0, ..Coder::new(codec) };
                let level = random.below(11) as i32 - 1;
                let what = format!("round {round}: {codec:?} {value_type:?} {} bytes, level {level}", value.len());
                let encoded = coder.encode(&value, value_type.code(), level).unwrap();
                assert!(codec.has_binary_numbers() || encoded.value.len() <= value.len(), "{what}");
                let plain = coder.is_plain(encoded.flags).map(|value_type| (value_type, encoded.value.clone()));
                let decoded = coder.decode(encoded.value, encoded.flags).unwrap();
                assert!(decoded.value == value, "{what}");
                assert!(plain.is_none_or(|plain| plain == (decoded.value_type, decoded.value.clone())), "{what}");
                let expected = match (codec, value_type) {
                    (Codec::Memjs, _) | (Codec::Dalli, Integer | Long) => Bytes,
                    (Codec::Spymemcached, Integer) if decoded.value_type == Long => Long,
                    _ => value_type,
                };
                assert_eq!(decoded.value_type, expected, "{what}");
            }
        }
    }

    #[test]
    fn garbage_with_any_flags_is_a_value_or_a_failure() {
        let (mut random, mut refused, mut read, mut glances) = (Random(2), 0, 0, 0);
        for _ in 0..times(6) {
            for codec in CODED {
                for flags in (0..64).chain((0..16).flat_map(|kind| (0..4).map(move |low| kind << 8 | low))).chain([!0])
                {
                    let mut value = random.value(Bytes);
                    match random.below(4) {
                        // One that begins well.
                        0 => value = compress(&random.value(Text), super::super::Format::Zlib, 1).unwrap_or(value),
                        1 => value = compress(&random.value(Text), super::super::Format::Gzip, 1).unwrap_or(value),
                        2 => value.truncate(9),
                        _ => {}
                    }
                    for _ in 0..random.below(3) {
                        let at = random.below(value.len().max(1) as u64) as usize;
                        value.get_mut(at).map(|byte| *byte ^= 1 << random.below(8)).unwrap_or_default();
                    }
                    let coder = Coder { max: 1 << random.below(20), ..Coder::new(codec) };
                    let glanced = coder.glance(&value, flags).map(|(value_type, value)| (value_type, value.to_vec()));
                    let decoded = coder.decode(value.into(), flags);
                    if let Some((value_type, value)) = glanced {
                        glances += 1;
                        assert_eq!(decoded.as_ref().unwrap(), &Decoded { value: value.into(), value_type });
                    }
                    match decoded {
                        Ok(decoded) => {
                            read += 1;
                            let text = decoded.value_type == Text;
                            assert!(!text || std::str::from_utf8(&decoded.value).is_ok());
                        }
                        Err(error) => {
                            refused += 1;
                            assert_eq!((error.status(), error.bits()), (Status::Decode, bits::SENT), "{error}");
                        }
                    }
                }
            }
        }
        assert!(read > 500 && refused > 500, "{read} read, {refused} refused");
        assert!((300..read).contains(&glances), "{glances} of {read} at a glance");
    }

    #[test]
    fn a_glance_finds_what_needs_no_work_and_leaves_the_rest() {
        let coder = Coder::new(Codec::Pymemcache);
        let found = |value: &[u8], flags| coder.glance(value, flags).map(|(kind, value)| (kind, value.to_vec()));
        assert_eq!(found(b"text", 16), Some((Text, b"text".to_vec())));
        assert_eq!(found(b"9 ", 2), Some((Integer, b"9".to_vec())), "without the space that memcached leaves");
        assert_eq!(found(b"", 16), Some((Text, Vec::new())));
        assert_eq!(found(b"\xff", 16), None, "to be refused");
        assert_eq!(found(b"9x", 2), None, "to be refused");
        assert_eq!(found(b"packed", 8), None);
        let long = vec![b'a'; GLANCE + 1];
        assert_eq!(found(&long[1..], 16).map(|(kind, value)| (kind, value.len())), Some((Text, GLANCE)));
        assert_eq!(found(&long, 16), None, "it takes time to look through");
        assert_eq!(found(&long, 0), Some((Bytes, long.clone())), "nothing to look through");
        assert_eq!(Coder::new(Codec::Spymemcached).glance(b"\x05", 2 << 8), None, "no part of the value");
    }

    /// Runs of a byte as the byte and their length.
    struct RunLength;

    impl Compressor for RunLength {
        fn compress(&self, value: &[u8], level: u32, output: &mut Output) -> bool {
            output.write(&[level as u8])
                && value.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(255)).all(|run| {
                    let run = [run[0], run.len() as u8];
                    output.write(&run)
                })
        }

        fn decompress(&self, packed: &[u8], output: &mut Output) -> bool {
            packed.len() % 2 == 1 && packed[1..].chunks(2).all(|run| output.write(&vec![run[0]; run[1].into()]))
        }
    }

    #[test]
    fn a_compressor_of_the_users_takes_the_place_of_zlib() {
        let compressor = CustomCompressor::new(RunLength);
        let coder = Coder { compressor, max: 5000, ..Coder::new(Codec::Pymemcache) };
        let value = [b'a'; 1000];
        let encoded = coder.encode(&value, Bytes.code(), 3).unwrap();
        assert_eq!((encoded.flags, &encoded.value[..]), (8, &[3, b'a', 255, b'a', 255, b'a', 255, b'a', 235][..]));
        assert_eq!(coder.decode(encoded.value, 8).unwrap().value, &value[..]);
        // What grows is stored as it is.
        let noise: Vec<u8> = (0..1000).map(|at| at as u8).collect();
        assert_eq!(coder.encode(&noise, Bytes.code(), 0).unwrap().flags, 0);
        let refused = coder.decode(b"even".as_slice().into(), 8).unwrap_err();
        assert!(refused.status() == Status::Decode && refused.message().contains("refused"), "{refused}");
        let bomb = coder.decode(vec![b'a'; 199].into(), 8).unwrap_err();
        assert!(bomb.status() == Status::Decode && bomb.message().contains("more than 5000 bytes"), "{bomb}");
    }
}
