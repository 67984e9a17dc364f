//! Options: how a client is to be. They are set by name, with values written as in a configuration
//! file; docs/options.md lists them, and bmemc_option_at() does so for programs.

use super::bytes::bmemc_bytes;
use super::guard::{guard, null, quietly};
use super::status::{bmemc_error, bmemc_status, c_string};
use crate::client::{Options, TABLE};
use crate::error::Status;
use once_cell::sync::Lazy;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::raw::c_char;
use std::ptr;

/// How a client is to be: its servers and its options. One thread at a time.
pub struct bmemc_options {
    pub(super) options: Options,
}

/// One option there is. Everything in it is text that ends with a zero byte, is never NULL and is
/// never freed.
#[repr(C)]
pub struct bmemc_option {
    /// What bmemc_options_set() calls it, as "timeout_ms".
    pub name: *const c_char,
    /// Its value where none is set, as "1000".
    pub default_value: *const c_char,
    /// What values it accepts, as "a whole number from 1 to 86400000".
    pub accepts: *const c_char,
    /// What it does, in one line, with its unit.
    pub about: *const c_char,
}

/// Makes options: no server, everything at its default. Never NULL; the caller's, to be freed.
#[no_mangle]
pub extern "C" fn bmemc_options_new() -> *mut bmemc_options {
    quietly(ptr::null_mut(), || Box::into_raw(Box::new(bmemc_options { options: Options::new() })))
}

/// Frees options. A client that was made from them stays as it is.
#[no_mangle]
pub extern "C" fn bmemc_options_free(options: Option<Box<bmemc_options>>) {
    quietly((), || drop(options));
}

/// Sets an option: "timeout_ms" to "500", "protocol" to "binary". The last value counts.
/// BMEMC_E_ARGUMENT: there is no such option, or it does not accept the value; the message names
/// both, with what is accepted.
#[no_mangle]
pub extern "C" fn bmemc_options_set(
    options: Option<&mut bmemc_options>,
    name: bmemc_bytes,
    value: bmemc_bytes,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let options = options.ok_or_else(|| null("options"))?;
        let name = name.text("name")?;
        let secret = TABLE.iter().any(|spec| spec.name == name && spec.is_secret());
        let value = if secret { value.secret(name) } else { value.text("value") };
        options.options.set(name, value?)?;
        Ok(Status::Ok)
    })
}

/// Adds a server: `address` is "host", "host:port", "1.2.3.4:port", "[::1]:port", "::1" or
/// "/path/of/socket"; the port is 11211 where none is given. `name` is what a hash ring knows it
/// by; empty: the address as it is written. `weight` is its share of the keys, from 1 to 1000000;
/// bmemc_client_new() refuses one that the distribution does not have. A host name is looked up when
/// it is first needed, not here.
/// BMEMC_E_ARGUMENT: the address is none of these, or the weight is 0; the message quotes it.
#[no_mangle]
pub extern "C" fn bmemc_options_add_server(
    options: Option<&mut bmemc_options>,
    address: bmemc_bytes,
    name: bmemc_bytes,
    weight: u32,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let options = options.ok_or_else(|| null("options"))?;
        options.options.add_server(address.text("address")?, name.text("name")?, weight)?;
        Ok(Status::Ok)
    })
}

/// Option `index` of all there are, in the order of docs/options.md; NULL past the last one. Any
/// thread.
#[no_mangle]
pub extern "C" fn bmemc_option_at(index: usize) -> *const bmemc_option {
    quietly(ptr::null(), || ROWS.get(index).map_or(ptr::null(), |row| ptr::from_ref(&row.option)))
}

/// A row of the table as C reads it.
struct Row {
    option: bmemc_option,
    _words: [CString; 4],
}

// SAFETY: `option` points to `_words`, which nobody changes and which live as long.
unsafe impl Send for Row {}
// SAFETY: as above.
unsafe impl Sync for Row {}

static ROWS: Lazy<Vec<Row>> = Lazy::new(|| {
    let row = |spec: &crate::client::Spec| {
        let words = [spec.name, spec.default, &spec.kind.accepts(), spec.about].map(c_string);
        let [name, default_value, accepts, about] = words.each_ref().map(|word| word.as_ptr());
        Row { option: bmemc_option { name, default_value, accepts, about }, _words: words }
    };
    TABLE.iter().map(row).collect()
});
