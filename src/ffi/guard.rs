//! The way in: every function that C calls runs its body in `guard` or `quietly`, so that no panic
//! leaves the library and a failure is written where the caller asked for it. The other helpers
//! here turn C's pointers into Rust's references.

use super::status::{bmemc_error, bmemc_status};
use crate::error::{bits, Error, Result, Status};
use std::any::Any;
use std::mem::MaybeUninit;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;

/// The `error` parameter: perhaps NULL, and not initialised.
pub type ErrorOut<'a> = Option<&'a mut MaybeUninit<bmemc_error>>;

/// Runs the body of a function that can fail.
pub fn guard(error: ErrorOut<'_>, body: impl FnOnce() -> Result<Status>) -> bmemc_status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(status)) => status.into(),
        Ok(Err(failure)) => fail(error, &failure),
        Err(panic) => fail(error, &bug(panic)),
    }
}

/// Runs the body of a function that cannot fail; after a panic, which is a bug, the answer is
/// `otherwise`.
pub fn quietly<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

#[cold]
fn fail(error: ErrorOut<'_>, failure: &Error) -> bmemc_status {
    if let Some(error) = error {
        error.write(bmemc_error::from(failure));
    }
    failure.status().into()
}

fn bug(panic: Box<dyn Any + Send>) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic");
    Error::new(Status::Bug, format!("a bug in libbmemc: {text}"))
}

/// An argument that is wrong in itself: nothing was sent.
#[cold]
pub fn refused(words: String) -> Error {
    Error::argument(words).with_bits(bits::NOT_SENT)
}

/// Says that a parameter must not be NULL.
#[cold]
pub fn null(name: &str) -> Error {
    refused(format!("{name} is NULL"))
}

/// A handle that must be there.
pub fn handle<'a, T>(handle: Option<&'a T>, name: &str) -> Result<&'a T> {
    handle.ok_or_else(|| null(name))
}

/// A place for a handle, which is NULL from now on until the call has succeeded.
pub fn place<'a, T>(out: Option<&'a mut MaybeUninit<*mut T>>, name: &str) -> Result<&'a mut *mut T> {
    out.map(|out| out.write(ptr::null_mut())).ok_or_else(|| null(name))
}

/// A place for a number, which is zero from now on until the call has succeeded.
pub fn number<'a, T: Default>(out: Option<&'a mut MaybeUninit<T>>, name: &str) -> Result<&'a mut T> {
    out.map(|out| out.write(T::default())).ok_or_else(|| null(name))
}

/// An array of the caller's.
///
/// # Safety
/// `data` is NULL or points to `count` of them, which nobody changes during `'a`.
pub unsafe fn array<'a, T>(data: *const T, count: usize, name: &str) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(null(name));
    }
    if count > isize::MAX as usize / size_of::<T>() {
        return Err(refused(format!("{name}: no memory holds {count} of them")));
    }
    // SAFETY: the caller's promise; not NULL, and no longer than a slice may be.
    Ok(unsafe { std::slice::from_raw_parts(data, count) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_bug_with_its_words() {
        let mut error = MaybeUninit::uninit();
        let status = guard(Some(&mut error), || panic!("number {}", 7));
        assert_eq!(status, bmemc_status::BMEMC_E_BUG);
        // SAFETY: a failure was written.
        let error = unsafe { error.assume_init() };
        assert_eq!((error.status, error.text()), (-18, "a bug in libbmemc: number 7".to_string()));
        assert_eq!(quietly(5, || panic!("quiet")), 5);
    }

    #[test]
    fn an_array_is_checked_before_it_is_touched() {
        let one = 1u64;
        // SAFETY: only the first call makes a slice of it, of one number.
        let (good, null, vast) = unsafe {
            (array(&one, 1, "keys"), array::<u64>(ptr::null(), 1, "keys"), array(&one, usize::MAX / 8, "keys"))
        };
        assert_eq!(good.unwrap(), [1]);
        assert!(null.unwrap_err().message().contains("keys is NULL"));
        assert!(vast.unwrap_err().message().contains("keys: no memory holds"));
    }
}
