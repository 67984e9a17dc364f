//! A ring of the user's own: a function that chooses.

use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

type Choose = dyn Fn(&[u8], usize) -> usize + Send + Sync;

/// A function that says which of so many servers has a key, from 0 on; what is beyond them stands for no server.
#[derive(Clone)]
pub struct Chooser(Arc<Choose>);

impl Chooser {
    /// A ring of this function. It must answer the same for the same key and number of servers, and must not block.
    pub fn new(choose: impl Fn(&[u8], usize) -> usize + Send + Sync + 'static) -> Chooser {
        Chooser(Arc::new(choose))
    }

    /// One that panics has chosen none: its key fails, and whoever asks beside it must not be left in the middle of a batch.
    pub(super) fn choose(&self, key: &[u8], servers: usize) -> Option<usize> {
        let chosen = catch_unwind(AssertUnwindSafe(|| (self.0)(key, servers)));
        chosen.ok().filter(|server| *server < servers)
    }
}

impl fmt::Debug for Chooser {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Chooser(a function)")
    }
}
