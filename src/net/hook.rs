//! Hook: a function of the user's that sees every new socket before it connects and once it has, to set what this library
//! has no option for, or to refuse it.

use super::Address;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// When a hook is called. The numbers are those of the C ABI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectStage {
    /// The socket is there, and connects next.
    Opened = 1,
    /// It is connected, and nothing was said yet.
    Connected = 2,
}

type See = dyn Fn(BorrowedFd<'_>, ConnectStage, &Address) -> i32 + Send + Sync;

/// See the module.
#[derive(Clone, Default)]
pub struct ConnectHook(Option<Arc<See>>);

impl ConnectHook {
    /// A function that is called with each socket; anything but zero refuses it.
    pub fn new(see: impl Fn(BorrowedFd<'_>, ConnectStage, &Address) -> i32 + Send + Sync + 'static) -> ConnectHook {
        ConnectHook(Some(Arc::new(see)))
    }

    pub(super) fn call(&self, fd: BorrowedFd<'_>, stage: ConnectStage, address: &Address) -> io::Result<()> {
        match self.0.as_ref().map_or(0, |see| see(fd, stage, address)) {
            0 => Ok(()),
            refused => Err(io::Error::other(format!("the connect callback refused it ({refused})"))),
        }
    }
}

impl fmt::Debug for ConnectHook {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_some() { "ConnectHook(a function)" } else { "ConnectHook(none)" })
    }
}
