//! Numbers as memcached reads them, with C's strtol and its kin: leading white space and a sign are fine, the number ends
//! at white space or at the end. Flags and times wrap to 32 bits without a word.

/// An unsigned number: cas, delta, a counter's value.
pub fn u64(text: &[u8]) -> Option<u64> {
    let (negative, magnitude) = integer(text)?;
    let value = if negative { magnitude.wrapping_neg() } else { magnitude };
    // memcached looks for a minus sign only where the number would be negative as a signed one.
    let refused = value as i64 <= -1 && text.contains(&b'-');
    (!refused).then_some(value)
}

/// A signed number.
pub fn i64(text: &[u8]) -> Option<i64> {
    let (negative, magnitude) = integer(text)?;
    let value = if negative { -i128::from(magnitude) } else { i128::from(magnitude) };
    i64::try_from(value).ok()
}

/// Client flags.
pub fn wrapped_u32(text: &[u8]) -> Option<u32> {
    u64(text).map(|value| value as u32)
}

/// An expiration time: 4294967295 is -1.
pub fn wrapped_i32(text: &[u8]) -> Option<i32> {
    i64(text).map(|value| value as i32)
}

/// The length of a value that is to follow. It must not wrap: the rest of the stream depends on it.
pub fn length(text: &[u8]) -> Option<usize> {
    i64(text).filter(|length| *length <= i64::from(i32::MAX - 2)).and_then(|length| usize::try_from(length).ok())
}

fn integer(text: &[u8]) -> Option<(bool, u64)> {
    let start = text.iter().position(|byte| !is_space(*byte))?;
    let text = text.get(start..)?;
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    let ended = rest.first().is_none_or(|byte| is_space(*byte) || *byte == 0);
    if digits.is_empty() || !ended {
        return None;
    }
    let step = |value: u64, digit: &u8| value.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    digits.iter().try_fold(0, step).map(|magnitude| (negative, magnitude))
}

/// White space in C's own locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        assert_eq!(u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(u64(b"18446744073709551616"), None);
        assert_eq!(u64(b" \t10 rest"), Some(10));
        assert_eq!(u64(b"+7"), Some(7));
        for bad in [&b""[..], b" ", b"-", b"x", b"1x", b"-5", b"0x10", b"1-"] {
            assert_eq!(u64(bad), None, "{bad:?}");
        }
        assert_eq!(u64(b"-18446744073709551615"), Some(1));
        assert_eq!(wrapped_u32(b"4294967301"), Some(5));
        assert_eq!(wrapped_i32(b"4294967295"), Some(-1));
        assert_eq!(i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(i64(b"9223372036854775808"), None);
        assert_eq!(
            (length(b"5"), length(b"-1"), length(b"4294967297"), length(b"2147483646")),
            (Some(5), None, None, None)
        );
    }
}
