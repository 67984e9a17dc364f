//! Dump: the items that the servers of a client hold, without their values: one server after the other, as they come. It
//! holds a connection while it goes on, and no more of the dump than came at once.

use super::front;
use super::stats::DumpEntry;
use super::{Client, Core};
use crate::error::{bits, Error, Result, Status};
use crate::net::fork::OfProcess;
use crate::net::Deadline;
use crate::operation::{Command, Operation};
use crate::pool::{self, Progress};
use crate::route::Pools;
use std::collections::VecDeque;
use std::sync::Arc;

/// The items of a dump, each with the index of its server; a failure is the last. Dropped, it ends early.
pub struct Dump {
    core: Arc<Core>,
    classes: Vec<u8>,
    /// As an operation has them.
    server: u32,
    timeout_ms: u32,
    /// Those to be asked yet; `None`: it is not known which there are.
    servers: Option<<Pools as IntoIterator>::IntoIter>,
    /// Until when that is waited for.
    patience: Deadline,
    /// The server that is being asked. A child of a fork must not read what the parent awaits.
    current: Option<(u32, OfProcess<pool::Dump>)>,
    ready: VecDeque<(u32, DumpEntry)>,
    failure: Option<Error>,
}

impl Client {
    /// The items of the servers, without their values. `classes`: "all" or empty, "hash", or numbers of slab classes such as
    /// "1,2". A client with a `key_prefix` sees its own keys, without it. Items are taken as they come, on a connection that
    /// is opened for it; the time-out is for each piece that comes, not for the whole. What several servers hold, as with
    /// `mode=replicated`, comes from each. Not over the binary protocol.
    pub fn metadump(&self, classes: &[u8]) -> Dump {
        Dump {
            core: self.core.clone(),
            classes: classes.to_vec(),
            server: 0,
            timeout_ms: 0,
            servers: None,
            patience: self.limit(0).deadline,
            current: None,
            ready: VecDeque::new(),
            failure: None,
        }
    }

    /// The same as a [`Command::Metadump`] says it: its key is the classes, and its server and its time-out count.
    pub fn dump_of(&self, operation: &Operation<'_>) -> Result<Dump> {
        if operation.command != Command::Metadump {
            let words = format!("a dump of {}; metadump is the one command that lists items", operation.command.name());
            return Err(Error::argument(words).with_bits(bits::NOT_SENT));
        }
        let (server, timeout_ms, patience) =
            (operation.server, operation.timeout_ms, self.limit(operation.timeout_ms).deadline);
        Ok(Dump { server, timeout_ms, patience, ..self.metadump(operation.key) })
    }
}

impl Dump {
    /// The items that have come, after waiting for some until `until` if there are none; and whether there are no more.
    pub(crate) fn piece(&mut self, until: Deadline) -> Result<(VecDeque<(u32, DumpEntry)>, bool)> {
        let over = self.await_some(until)?;
        Ok((std::mem::take(&mut self.ready), over))
    }

    /// Receives until there is an item; whether none is left.
    fn await_some(&mut self, until: Deadline) -> Result<bool> {
        while self.ready.is_empty() {
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            if !self.find_servers(until)? {
                return Ok(false);
            }
            let Some((server, mut dump)) = self.server()? else { return Ok(true) };
            let (front, ready) = (self.core.front.as_deref(), &mut self.ready);
            let taken = dump.take(&Operation::new(Command::Metadump, &self.classes), until, &mut |line| {
                let own = front::own_line(front, line);
                ready.extend(own.and_then(|line| DumpEntry::parse(&line)).map(|entry| (server, entry)));
            });
            match taken {
                Ok(Progress::Over) => {}
                Ok(progress) => {
                    self.current = Some((server, OfProcess::new(dump)));
                    // What came may all be other clients'.
                    if progress == Progress::Nothing || until.is_over() {
                        break;
                    }
                }
                Err(error) => self.failure = Some(self.fail(error)),
            }
        }
        Ok(false)
    }

    /// Finds the servers, waiting for discovery until `until` at the most; whether it is known which there are.
    fn find_servers(&mut self, until: Deadline) -> Result<bool> {
        if self.servers.is_some() {
            return Ok(true);
        }
        let found = match self.core.route.pools(self.patience.earlier(until)) {
            Some(found) => found,
            None if self.patience.is_over() => Err(Error::new(Status::Timeout, "no server is known yet")),
            None => return Ok(false),
        };
        let operation = Operation::new(Command::Metadump, &self.classes);
        let found = found.map_err(|error| self.core.route.unsent(&operation, &error));
        let found = found.map_err(|error| self.fail(error))?;
        let there: Vec<String> = found.iter().map(|(index, _)| index.to_string()).collect();
        let wanted = |index: u32| self.server == 0 || self.server - 1 == index;
        let asked: Pools = found.into_iter().filter(|(index, _)| wanted(*index)).collect();
        if asked.is_empty() {
            let words = format!("server {}: the client has {}", self.server.wrapping_sub(1), there.join(", "));
            return Err(self.fail(Error::argument(words).with_bits(bits::NOT_SENT)));
        }
        self.servers = Some(asked.into_iter());
        Ok(true)
    }

    /// The server that is being asked, or the next one; `None`: all were.
    fn server(&mut self) -> Result<Option<(u32, pool::Dump)>> {
        let Some((server, dump)) = self.current.take() else {
            let next = self.servers.as_mut().and_then(Iterator::next);
            return Ok(next.map(|(server, pool)| (server, pool::Dump::of(&pool, self.timeout_ms))));
        };
        match dump.into_inner() {
            Some(dump) => Ok(Some((server, dump))),
            None => {
                let error = Error::new(Status::Forked, "the dump was begun before a fork, in the parent");
                Err(self.fail(error))
            }
        }
    }

    /// Nothing comes after a failure.
    fn fail(&mut self, error: Error) -> Error {
        self.servers = Some(Vec::new().into_iter());
        Operation::new(Command::Metadump, &self.classes).explain(error)
    }
}

impl Iterator for Dump {
    type Item = Result<(u32, DumpEntry)>;

    fn next(&mut self) -> Option<Result<(u32, DumpEntry)>> {
        match self.await_some(Deadline::at(u64::MAX)) {
            Ok(_) => self.ready.pop_front().map(Ok),
            Err(error) => Some(Err(error)),
        }
    }
}
