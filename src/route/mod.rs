//! Which server an operation goes to, and what happens next: so far there is one server and nothing next. Rings, fallback,
//! replication and retry are further routes of this enum; they are written over operations and answers alone.

use crate::error::{Error, Result, Status};
use crate::operation::{Operation, Sink};
use crate::pool::{Limit, Pool};

/// The way of a client's operations.
pub(crate) enum Route {
    /// To the one server there is.
    Single(Pool),
}

impl Route {
    /// The route of a client with these servers.
    pub fn new(mut pools: Vec<Pool>) -> Result<Route> {
        match (pools.pop(), pools.is_empty()) {
            (Some(pool), true) => Ok(Route::Single(pool)),
            (None, _) => Err(Error::argument("a client needs a server: add one with add_server")),
            (Some(_), false) => Err(Error::new(Status::Unsupported, "not supported yet: more than one server")),
        }
    }

    /// Runs operations, each of which `sink` gets one answer for.
    pub fn run(&self, operations: &[Operation<'_>], sink: &mut dyn Sink, limit: Limit) {
        match self {
            Route::Single(pool) => pool.run(operations, sink, limit),
        }
    }

    /// The pool of the one server.
    pub fn pool(&self) -> &Pool {
        match self {
            Route::Single(pool) => pool,
        }
    }
}
