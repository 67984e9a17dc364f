//! Dump: the items that the servers of a client hold, without their values: one server after the other, as they come. It
//! holds a connection while it goes on, and no more of the dump than came at once.

use super::front;
use super::stats::DumpEntry;
use super::{Client, Core};
use crate::error::{Error, Result, Status};
use crate::net::fork::OfProcess;
use crate::operation::{Command, Operation};
use crate::pool::{self, Pool};
use std::collections::VecDeque;
use std::sync::Arc;

/// The items of a dump, each with the index of its server; a failure is the last. Dropped, it ends early.
pub struct Dump {
    core: Arc<Core>,
    classes: Vec<u8>,
    servers: std::vec::IntoIter<(u32, Arc<Pool>)>,
    /// The server that is being asked. A child of a fork must not read what the parent awaits.
    current: Option<(u32, OfProcess<pool::Dump>)>,
    ready: VecDeque<(u32, DumpEntry)>,
    failure: Option<Error>,
}

impl Client {
    /// The items of the servers, without their values. `classes`: "all" or empty, "hash", or numbers of slab classes such as
    /// "1,2". A client with a `key_prefix` sees its own keys, without it. Items are taken as they come, on a connection that
    /// is opened for it; the time-out is for each piece that comes, not for the whole. Not over the binary protocol.
    pub fn metadump(&self, classes: &[u8]) -> Dump {
        Dump {
            core: self.core.clone(),
            classes: classes.to_vec(),
            servers: self.core.route.pools().into_iter(),
            current: None,
            ready: VecDeque::new(),
            failure: None,
        }
    }
}

impl Dump {
    /// The items that have come, after waiting for some if there are none; empty: there are no more.
    pub(crate) fn piece(&mut self) -> Result<VecDeque<(u32, DumpEntry)>> {
        self.await_some()?;
        Ok(std::mem::take(&mut self.ready))
    }

    /// Receives until there is an item, or until there are none left.
    fn await_some(&mut self) -> Result<()> {
        while self.ready.is_empty() {
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            let Some((server, mut dump)) = self.server()? else { return Ok(()) };
            let (front, ready) = (self.core.front.as_deref(), &mut self.ready);
            let taken = dump.take(&Operation::new(Command::Metadump, &self.classes), &mut |line| {
                let own = front::own_line(front, line);
                ready.extend(own.and_then(|line| DumpEntry::parse(&line)).map(|entry| (server, entry)));
            });
            match taken {
                Ok(true) => self.current = Some((server, OfProcess::new(dump))),
                Ok(false) => {}
                Err(error) => self.failure = Some(self.fail(error)),
            }
        }
        Ok(())
    }

    /// The server that is being asked, or the next one; `None`: all were.
    fn server(&mut self) -> Result<Option<(u32, pool::Dump)>> {
        if let Some((server, dump)) = self.current.take() {
            let forked = || Error::new(Status::Forked, "the dump was begun before a fork, in the parent");
            return match dump.into_inner() {
                Some(dump) => Ok(Some((server, dump))),
                None => Err(self.fail(forked())),
            };
        }
        let Some((server, pool)) = self.servers.next() else { return Ok(None) };
        let operation = Operation::new(Command::Metadump, &self.classes);
        match pool::Dump::begin(&pool, &operation) {
            Ok(dump) => Ok(Some((server, dump))),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Nothing comes after a failure.
    fn fail(&mut self, error: Error) -> Error {
        self.servers = Vec::new().into_iter();
        Operation::new(Command::Metadump, &self.classes).explain(error)
    }
}

impl Iterator for Dump {
    type Item = Result<(u32, DumpEntry)>;

    fn next(&mut self) -> Option<Result<(u32, DumpEntry)>> {
        match self.await_some() {
            Ok(()) => self.ready.pop_front().map(Ok),
            Err(error) => Some(Err(error)),
        }
    }
}
