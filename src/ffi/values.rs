//! Values that other clients can read. With option codec, a client writes values and flags as
//! another client does (docs/values.md says which codec for which), and reads them back: bmemc_op
//! tells by `value_type` what a value is, bmemc_item tells what it was found to be. Long values are
//! compressed on the way (options compression, compress_threshold, compress_level), and unpacked up
//! to option max_decompressed_bytes. A value that is corrupt, or not what its flags say, is
//! BMEMC_E_DECODE, never a miss; BMEMC_FLAG_EXPLICIT_FLAGS reads it as it is stored.

use super::bytes::bmemc_bytes;
use super::client::bmemc_client;
use super::guard::{guard, handle, null, place, quietly};
use super::operation::bmemc_op;
use super::options::bmemc_options;
use super::results::{bmemc_value, value_of};
use super::status::{bmemc_error, bmemc_status};
use crate::error::{Error, Status};
use crate::operation::{Answer, Command, Value};
use crate::value::{Compressor, Output, StatType};
use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::os::raw::{c_int, c_void};

/// How a statistic's value is to be read, for those who want it typed; more may come.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum bmemc_stat_type {
    /// A whole number in decimal digits, or text where it is none.
    BMEMC_STAT_INTEGER = 0,
    /// Text, whatever it looks like.
    BMEMC_STAT_TEXT = 1,
    /// A number with a fraction.
    BMEMC_STAT_FLOAT = 2,
    /// Seconds with a fraction, in which old servers write a colon for the point.
    BMEMC_STAT_SECONDS = 3,
    /// A whole number that is a truth: zero is false.
    BMEMC_STAT_SWITCH = 4,
    /// The word "yes" is true; anything else is false.
    BMEMC_STAT_YES_NO = 5,
    /// A whole number in octal digits.
    BMEMC_STAT_OCTAL = 6,
}

/// What a compressor writes to. It lives during the call of the compressor; one thread at a time.
pub struct bmemc_output {
    output: Output,
}

/// A compressor, or its reverse: writes what it makes of `value` to `output` by
/// bmemc_output_write(), in as many pieces as it likes, and returns 0. `level` is 1 (fast) to 9
/// (small), and 0 when decompressing. `context` is what bmemc_options_set_compressor() was given.
/// It must not keep `value` or `output`, nor use the client.
pub type bmemc_compressor = Option<
    unsafe extern "C" fn(value: bmemc_bytes, level: i32, output: *mut bmemc_output, context: *mut c_void) -> c_int,
>;

/// Has values compressed by `compress` and unpacked by `decompress` instead of the codec's own zlib
/// or gzip, by the clients that are made of these options and have a codec that compresses. When to
/// compress and the bit of the flags stay the codec's. They run on the thread that makes the call,
/// submits or fetches, with no lock held; they and `context`, which may be NULL, must outlive these
/// clients and be fit for every thread that uses them. Both NULL: the codec's own again.
/// `compress`: anything but 0, or more bytes than the value has: it is stored as it is.
/// `decompress`: anything but 0, or more bytes than option max_decompressed_bytes: the operation
/// fails with BMEMC_E_DECODE.
/// BMEMC_E_ARGUMENT: one of the two is NULL.
#[no_mangle]
pub extern "C" fn bmemc_options_set_compressor(
    options: Option<&mut bmemc_options>,
    compress: bmemc_compressor,
    decompress: bmemc_compressor,
    context: *mut c_void,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let options = options.ok_or_else(|| null("options"))?;
        match (compress, decompress) {
            (Some(compress), Some(decompress)) => {
                options.options.set_compressor(Callbacks { compress, decompress, context });
            }
            (None, None) => options.options.compressor = Default::default(),
            (None, _) => return Err(null("compress")),
            (_, None) => return Err(null("decompress")),
        }
        Ok(Status::Ok)
    })
}

/// Appends bytes, which are copied. BMEMC_E_TOO_LARGE: that is more than is allowed, or than there
/// is memory; what was written is of no use then, and the compressor should return.
#[no_mangle]
pub extern "C" fn bmemc_output_write(output: Option<&mut bmemc_output>, bytes: bmemc_bytes) -> bmemc_status {
    guard(None, || {
        let output = output.ok_or_else(|| null("output"))?;
        match output.output.write(bytes.slice("bytes")?) {
            true => Ok(Status::Ok),
            false => Err(Error::new(Status::TooLarge, "more than the output takes")),
        }
    })
}

/// Makes of `op` what the client would store, without a server: the item has the bytes as `value`,
/// and the flags. Of `op` the value, value_type, flags, op_flags and compress_level count. On
/// BMEMC_OK `*out` is the caller's, to be freed. BMEMC_E_ARGUMENT: the value is not of its type, or
/// flags are given although the client has a codec.
#[no_mangle]
pub extern "C" fn bmemc_value_encode(
    client: Option<&bmemc_client>,
    op: Option<&bmemc_op>,
    out: Option<&mut MaybeUninit<*mut bmemc_value>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        let client = handle(client, "client")?;
        let op = bmemc_op { opcode: Command::Set as i32, ..*handle(op, "op")? };
        let operation = op.operation()?;
        let encoded = client.client.encode_value(&operation)?;
        let answer = Answer { flags: encoded.flags, value_type: operation.value_type, ..Answer::new(Status::Ok) };
        *out = value_of(Answer { value: into_value(encoded.value), ..answer });
        Ok(Status::Ok)
    })
}

/// Makes of bytes and flags that are stored what the client would read, without a server: the item
/// has `value`, `value_type` and `flags`. On BMEMC_OK `*out` is the caller's, to be freed.
/// BMEMC_E_DECODE: they do not fit together.
#[no_mangle]
pub extern "C" fn bmemc_value_decode(
    client: Option<&bmemc_client>,
    value: bmemc_bytes,
    flags: u32,
    out: Option<&mut MaybeUninit<*mut bmemc_value>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        let client = handle(client, "client")?;
        let decoded = client.client.decode_value(value.slice("value")?, flags)?;
        let answer = Answer { flags, value_type: decoded.value_type.code(), ..Answer::new(Status::Ok) };
        *out = value_of(Answer { value: into_value(decoded.value), ..answer });
        Ok(Status::Ok)
    })
}

/// How the value of the statistic of this name is to be read: BMEMC_STAT_INTEGER for a name that is
/// not known, and for bytes that are none. Any thread.
#[no_mangle]
pub extern "C" fn bmemc_stat_type_of(name: bmemc_bytes) -> bmemc_stat_type {
    quietly(bmemc_stat_type::BMEMC_STAT_INTEGER, || StatType::of(name.slice("name").unwrap_or_default()).into())
}

impl From<StatType> for bmemc_stat_type {
    fn from(from: StatType) -> bmemc_stat_type {
        use bmemc_stat_type::*;
        match from {
            StatType::Integer => BMEMC_STAT_INTEGER,
            StatType::Text => BMEMC_STAT_TEXT,
            StatType::Float => BMEMC_STAT_FLOAT,
            StatType::Seconds => BMEMC_STAT_SECONDS,
            StatType::Switch => BMEMC_STAT_SWITCH,
            StatType::YesNo => BMEMC_STAT_YES_NO,
            StatType::Octal => BMEMC_STAT_OCTAL,
        }
    }
}

fn into_value(bytes: Cow<'_, [u8]>) -> Value<'_> {
    match bytes {
        Cow::Borrowed(bytes) => Value::Borrowed(bytes),
        Cow::Owned(bytes) => Value::Owned(bytes),
    }
}

type Callback =
    unsafe extern "C" fn(value: bmemc_bytes, level: i32, output: *mut bmemc_output, context: *mut c_void) -> c_int;

/// Two functions of the caller's and what they are to be given.
struct Callbacks {
    compress: Callback,
    decompress: Callback,
    context: *mut c_void,
}

// SAFETY: bmemc_options_set_compressor() demands that all are fit for every thread; `context` is handed on, never followed.
unsafe impl Send for Callbacks {}
// SAFETY: as above.
unsafe impl Sync for Callbacks {}

impl Callbacks {
    /// Calls one of the two with an output that has the place of `output` meanwhile.
    fn call(&self, function: Callback, value: &[u8], level: i32, output: &mut Output) -> bool {
        let mut lent = bmemc_output { output: std::mem::take(output) };
        // SAFETY: bmemc_options_set_compressor() demands that function and context live as long as the client; value and
        // output live during the call.
        let status = unsafe { function(bmemc_bytes::of(value), level, &mut lent, self.context) };
        *output = lent.output;
        status == 0
    }
}

impl Compressor for Callbacks {
    fn compress(&self, value: &[u8], level: u32, output: &mut Output) -> bool {
        self.call(self.compress, value, level as i32, output)
    }

    fn decompress(&self, packed: &[u8], output: &mut Output) -> bool {
        self.call(self.decompress, packed, 0, output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::ValueType;

    #[test]
    fn types_and_statistics_are_those_of_the_core() {
        for (number, value_type) in ValueType::ALL.into_iter().enumerate() {
            assert_eq!(value_type.code() as usize, number);
        }
        for name in ["version", "umask", "growth_factor", "rusage_user", "cas_enabled", "auth_enabled_sasl", "uptime"] {
            let (here, core) = (bmemc_stat_type_of(bmemc_bytes::of(name.as_bytes())), StatType::of(name.as_bytes()));
            assert_eq!(here as i32, core as i32, "{name}");
            let plain = format!("{here:?}").replace("BMEMC_STAT_", "").replace('_', "");
            assert_eq!(plain, format!("{core:?}").to_uppercase());
        }
    }
}
