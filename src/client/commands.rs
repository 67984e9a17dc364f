//! The commands of the Rust client, a method for each. What cannot be told here is said by [`Client::execute`] with an
//! [`Operation`] of its own.

use super::stats::statistics;
use super::Client;
use crate::answers::{Answers, Item};
use crate::error::{bits, Error, Result, Status};
use crate::operation::{op_flags, Command, Operation, Value};

impl Client {
    /// Reads a value with its cas.
    pub fn gets(&self, key: &[u8]) -> Result<Option<Item>> {
        self.read(Operation { op_flags: op_flags::WANT_CAS, ..Operation::get(key) })
    }

    /// Reads a value and gives it `ttl` seconds more to live.
    pub fn get_and_touch(&self, key: &[u8], ttl: i64) -> Result<Option<Item>> {
        self.read(Operation { ttl, ..Operation::new(Command::GetAndTouch, key) })
    }

    fn read(&self, operation: Operation<'_>) -> Result<Option<Item>> {
        let (status, item) = self.one(&operation)?;
        Ok((status == Status::Ok).then_some(item))
    }

    /// Stores a value if there is none; `false` where there is one.
    pub fn add(&self, key: &[u8], value: &[u8], flags: u32, ttl: i64) -> Result<bool> {
        self.done(Operation { value, flags, ttl, ..Operation::new(Command::Add, key) })
    }

    /// Stores a value if there is one; `false` where there is none.
    pub fn replace(&self, key: &[u8], value: &[u8], flags: u32, ttl: i64) -> Result<bool> {
        self.done(Operation { value, flags, ttl, ..Operation::new(Command::Replace, key) })
    }

    /// Puts bytes behind a value; `false` where there is none.
    pub fn append(&self, key: &[u8], value: &[u8]) -> Result<bool> {
        self.done(Operation { value, ..Operation::new(Command::Append, key) })
    }

    /// Puts bytes before a value; `false` where there is none.
    pub fn prepend(&self, key: &[u8], value: &[u8]) -> Result<bool> {
        self.done(Operation { value, ..Operation::new(Command::Prepend, key) })
    }

    /// Stores a value if the item still has this cas. `Ok`: done; `Exists`: it has changed; `NotFound`: it is gone.
    pub fn cas(&self, key: &[u8], value: &[u8], flags: u32, ttl: i64, cas: u64) -> Result<Status> {
        if cas == 0 {
            let words =
                "cas is 0, which no item has; gets tells an item's, unless its server keeps none (memcached -C)";
            return Err(Error::argument(words).with_bits(bits::NOT_SENT));
        }
        Ok(self.one(&Operation { flags, cas, ..Operation::set(key, value, ttl) })?.0)
    }

    /// Gives an item `ttl` seconds to live; `false` where there is none.
    pub fn touch(&self, key: &[u8], ttl: i64) -> Result<bool> {
        self.done(Operation { ttl, ..Operation::new(Command::Touch, key) })
    }

    /// Adds to a counter; `None` where there is none. It wraps at 64 bits.
    pub fn increment(&self, key: &[u8], delta: u64) -> Result<Option<u64>> {
        self.count(Operation { delta, ..Operation::new(Command::Increment, key) })
    }

    /// Subtracts from a counter; `None` where there is none. It stops at zero.
    pub fn decrement(&self, key: &[u8], delta: u64) -> Result<Option<u64>> {
        self.count(Operation { delta, ..Operation::new(Command::Decrement, key) })
    }

    /// Adds to a counter, and makes a missing one with `initial`, to which `delta` is not applied, for `ttl` seconds. Not
    /// over the text protocol.
    pub fn increment_or_create(&self, key: &[u8], delta: u64, initial: u64, ttl: i64) -> Result<u64> {
        self.create(Operation { delta, initial, ttl, ..Operation::new(Command::Increment, key) })
    }

    /// Subtracts from a counter; else as [`Client::increment_or_create`].
    pub fn decrement_or_create(&self, key: &[u8], delta: u64, initial: u64, ttl: i64) -> Result<u64> {
        self.create(Operation { delta, initial, ttl, ..Operation::new(Command::Decrement, key) })
    }

    fn create(&self, operation: Operation<'_>) -> Result<u64> {
        let operation = Operation { op_flags: op_flags::CREATE, ..operation };
        self.count(operation)?.ok_or_else(|| Error::new(Status::Protocol, "a counter was not created"))
    }

    fn count(&self, operation: Operation<'_>) -> Result<Option<u64>> {
        let (status, item) = self.one(&operation)?;
        Ok((status == Status::Ok).then_some(item.number))
    }

    /// Whether an operation was done; `false`: the server said no.
    fn done(&self, operation: Operation<'_>) -> Result<bool> {
        Ok(self.one(&operation)?.0 == Status::Ok)
    }

    /// Drops every item of the servers, in `delay` seconds; 0: now.
    pub fn flush_all(&self, delay: i64) -> Result<()> {
        self.everywhere(&Operation { ttl: delay, ..Operation::new(Command::FlushAll, b"") }).map(drop)
    }

    /// Does nothing, in one round trip to each server.
    pub fn noop(&self) -> Result<()> {
        self.everywhere(&Operation::new(Command::Noop, b"")).map(drop)
    }

    /// Sets how much the servers log. Not over the binary protocol.
    pub fn verbosity(&self, level: u32) -> Result<()> {
        self.everywhere(&Operation { delta: level.into(), ..Operation::new(Command::Verbosity, b"") }).map(drop)
    }

    /// Sets the memory limit of the servers, in megabytes. Not over the binary protocol.
    pub fn cache_memlimit(&self, megabytes: u32) -> Result<()> {
        self.everywhere(&Operation { delta: megabytes.into(), ..Operation::new(Command::CacheMemlimit, b"") }).map(drop)
    }

    /// Shuts the servers down, where they allow that; `graceful`: they finish what is under way. Not over the binary
    /// protocol.
    pub fn shutdown(&self, graceful: bool) -> Result<()> {
        let mode: &[u8] = if graceful { b"graceful" } else { b"" };
        self.everywhere(&Operation::new(Command::Shutdown, mode)).map(drop)
    }

    /// Runs a meta command: its word, key, flags as they are written, and the value that `ms` stores. O and q are the
    /// library's.
    pub fn meta(&self, command: &str, key: &[u8], flags: &str, value: &[u8]) -> Result<Answers> {
        let meta_flags = format!("{command} {flags}");
        let operation = Operation { value, meta_flags: meta_flags.as_bytes(), ..Operation::new(Command::Meta, key) };
        let answers = self.many(&[operation])?;
        match answers.first_error() {
            Some(error) => Err(operation.explain(error)),
            None => Ok(answers),
        }
    }

    /// The statistics of all servers: index of the server, name and value. `argument` says which; empty: the general ones.
    pub fn stats(&self, argument: &[u8]) -> Result<Vec<(u32, String, String)>> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let answers = self.everywhere(&Operation::new(Command::Stats, argument))?;
        let mut found = Vec::new();
        for answer in answers.iter() {
            if let Value::Borrowed(value) = answer.value {
                found.extend(statistics(value).map(|(name, value)| (answer.server, text(name), text(value))));
            }
        }
        Ok(found)
    }

    /// Runs an operation on each server, whatever its key; fails if it fails on one. The answers say whose they are.
    pub(crate) fn everywhere(&self, operation: &Operation<'_>) -> Result<Answers> {
        let answers = self.execute_each(operation)?;
        match answers.first_error() {
            Some(error) => Err(operation.explain(error)),
            None => Ok(answers),
        }
    }

    /// Sends a line of the caller's own, on a connection that is opened for it, and answers with what comes back up to
    /// `end`, which is not in it; empty: up to the end of the line. `command` has more than one line only with an `end`.
    pub fn raw(&self, command: &[u8], end: &[u8]) -> Result<Vec<u8>> {
        let operation = Operation { value: command, ..Operation::new(Command::Raw, end) };
        Ok(self.one(&operation)?.1.value)
    }

    /// Stores many values in as few round trips as possible; item `i` is key, value and the cas that the item must still
    /// have (0: any). Each answer has a status of its own and, where the protocol tells it, the new cas.
    pub fn set_many(&self, items: &[(&[u8], &[u8], u64)], flags: u32, ttl: i64) -> Result<Answers> {
        let operations: Vec<Operation<'_>> = items
            .iter()
            .map(|(key, value, cas)| Operation {
                flags,
                cas: *cas,
                op_flags: op_flags::WANT_CAS,
                ..Operation::set(key, value, ttl)
            })
            .collect();
        self.many(&operations)
    }

    /// Reads many values with their cas; answer `i` is that of `keys[i]`.
    pub fn gets_many(&self, keys: &[&[u8]]) -> Result<Answers> {
        let operations: Vec<Operation<'_>> =
            keys.iter().map(|key| Operation { op_flags: op_flags::WANT_CAS, ..Operation::get(key) }).collect();
        self.many(&operations)
    }

    /// Deletes many keys; answer `i` is that of `keys[i]`.
    pub fn delete_many(&self, keys: &[&[u8]]) -> Result<Answers> {
        let operations: Vec<Operation<'_>> = keys.iter().map(|key| Operation::delete(key)).collect();
        self.many(&operations)
    }

    fn many(&self, operations: &[Operation<'_>]) -> Result<Answers> {
        let mut answers = Answers::new(operations.len());
        self.execute(operations, &mut answers)?;
        Ok(answers)
    }
}
