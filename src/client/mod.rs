//! What a user of the Rust API meets: `Client`, a method for each command, and `Options`. A client turns arguments into
//! operations, hands them to the route and the pool, and knows no protocol.

mod options;

pub use options::{Kind, Options, Server, Spec, TABLE};

pub use crate::protocol::ProtocolChoice;

use crate::answers::{Answers, Item};
use crate::error::{Error, Result, Status};
use crate::operation::{Answer, Operation, Room, Sink, Value};
use crate::pool::{Limit, Pool, Settings};
use std::sync::Arc;

/// A client of one or more memcached servers. Any number of threads may use it at once; connections are opened when
/// they are first needed. A clone is another handle of the same client.
#[derive(Clone)]
pub struct Client {
    core: Arc<Core>,
}

/// What all handles of a client share.
struct Core {
    options: Options,
    pool: Pool,
}

impl Client {
    /// Makes a client; no connection is opened yet.
    pub fn new(options: Options) -> Result<Client> {
        if options.servers.is_empty() {
            return Err(Error::argument("a client needs a server: add one with add_server"));
        }
        if options.servers.len() > 1 {
            return Err(Error::new(Status::Unsupported, "not supported yet: more than one server"));
        }
        let pool = Pool::new(options.servers[0].address.clone(), settings(&options));
        Ok(Client { core: Arc::new(Core { options, pool }) })
    }

    /// The options that it was made with.
    pub fn options(&self) -> &Options {
        &self.core.options
    }

    /// Runs any mix of operations in as few round trips as possible; `sink` gets one answer for each, failures too.
    /// Fails as a whole only where no operation could be tried: then `sink` got nothing.
    pub fn execute(&self, operations: &[Operation<'_>], sink: &mut dyn Sink) -> Result<()> {
        let own = operations.first().map_or(0, |operation| operation.timeout_ms);
        let usual = own == 0 || own == self.core.options.timeout_ms;
        let limit = Limit::new(if usual { self.core.options.timeout_ms } else { own }, usual);
        self.core.pool.run(operations, sink, limit);
        Ok(())
    }

    /// Runs one operation.
    fn call(&self, operation: Operation<'_>, sink: &mut dyn Sink) -> Result<()> {
        self.execute(std::slice::from_ref(&operation), sink)
    }

    /// Reads a value; `None` is a miss, never a failure.
    pub fn get(&self, key: &[u8]) -> Result<Option<Item>> {
        let mut one = One::default();
        self.call(Operation::get(key), &mut one)?;
        Ok(if one.status()? == Status::Ok { Some(one.item) } else { None })
    }

    /// Reads a value into `buffer` and says how long it is and what its flags are; `None` is a miss. A value longer
    /// than the buffer is the failure `Buffer`, whose message tells the length.
    pub fn get_into(&self, key: &[u8], buffer: &mut [u8]) -> Result<Option<(usize, u32)>> {
        let mut into = Into::new(buffer);
        self.call(Operation::get(key), &mut into)?;
        let status = into.status()?;
        Ok((status == Status::Ok).then_some((into.len, into.flags)))
    }

    /// Reads many values in as few round trips as possible; answer `i` is that of `keys[i]`, misses and failures too.
    pub fn get_many(&self, keys: &[&[u8]]) -> Result<Answers> {
        let operations: Vec<Operation<'_>> = keys.iter().map(|key| Operation::get(key)).collect();
        let mut answers = Answers::new(keys.len());
        self.execute(&operations, &mut answers)?;
        Ok(answers)
    }

    /// Stores a value for `ttl` seconds; zero: until evicted ([`Operation::ttl`] has every form).
    pub fn set(&self, key: &[u8], value: &[u8], flags: u32, ttl: i64) -> Result<()> {
        let mut one = One::default();
        self.call(Operation { flags, ..Operation::set(key, value, ttl) }, &mut one)?;
        match one.status()? {
            Status::Ok => Ok(()),
            other => Err(Error::new(Status::Protocol, format!("set was answered with {}", other.text()))),
        }
    }

    /// Deletes a key; `false` where there was none.
    pub fn delete(&self, key: &[u8]) -> Result<bool> {
        let mut one = One::default();
        self.call(Operation::delete(key), &mut one)?;
        Ok(one.status()? == Status::Ok)
    }

    /// The server's version, as it writes it.
    pub fn version(&self) -> Result<String> {
        let mut one = One::default();
        self.call(Operation::version(), &mut one)?;
        one.status()?;
        Ok(String::from_utf8_lossy(&one.item.value).into_owned())
    }

    /// Ends the client: whoever waits and whoever calls later gets `Closed`. From any thread, any number of times.
    pub fn close(&self) {
        self.core.pool.close();
    }
}

fn settings(options: &Options) -> Settings {
    Settings {
        protocol: options.protocol,
        timeout_ms: options.timeout_ms,
        connect_timeout_ms: options.connect_timeout_ms,
        connections: options.connections,
        connections_idle_ms: options.connections_idle_ms,
        max_waiting: options.max_waiting,
        max_value_bytes: options.max_value_bytes,
        no_delay: options.no_delay,
    }
}

/// The answer of a call with one operation.
#[derive(Default)]
struct One {
    outcome: Option<Result<Status>>,
    item: Item,
}

impl One {
    fn status(&mut self) -> Result<Status> {
        self.outcome.take().unwrap_or_else(|| Err(Error::new(Status::Bug, "an operation got no answer")))
    }
}

impl Sink for One {
    fn answer(&mut self, _index: usize, answer: Answer<'_>) {
        self.outcome = Some(answer.error().map_or(Ok(answer.status), Err));
        self.item.flags = answer.flags;
        self.item.cas = answer.cas;
        self.item.value = match answer.value {
            Value::Borrowed(bytes) => bytes.to_vec(),
            Value::Owned(bytes) => bytes,
            Value::Placed(_) | Value::Skipped(_) => Vec::new(),
        };
    }
}

/// The answer of a read into a buffer of the caller's.
struct Into<'a> {
    buffer: &'a mut [u8],
    outcome: Option<Result<Status>>,
    len: usize,
    flags: u32,
}

impl<'a> Into<'a> {
    fn new(buffer: &'a mut [u8]) -> Into<'a> {
        Into { buffer, outcome: None, len: 0, flags: 0 }
    }

    fn status(&mut self) -> Result<Status> {
        let status =
            self.outcome.take().unwrap_or_else(|| Err(Error::new(Status::Bug, "an operation got no answer")))?;
        let capacity = self.buffer.len();
        if status == Status::Ok && self.len > capacity {
            let words = format!("the value has {} bytes and the buffer {capacity}", self.len);
            return Err(Error::new(Status::Buffer, words).with_bits(crate::error::bits::SENT));
        }
        Ok(status)
    }
}

impl Sink for Into<'_> {
    fn room(&mut self, _index: usize, _flags: u32, len: usize) -> Room<'_> {
        match self.buffer.get_mut(..len) {
            Some(place) => Room::Here(place),
            None => Room::Skip,
        }
    }

    fn answer(&mut self, _index: usize, answer: Answer<'_>) {
        self.outcome = Some(answer.error().map_or(Ok(answer.status), Err));
        self.len = answer.value.len();
        self.flags = answer.flags;
        let bytes = match &answer.value {
            Value::Borrowed(bytes) => bytes,
            Value::Owned(bytes) => bytes.as_slice(),
            Value::Placed(_) | Value::Skipped(_) => return,
        };
        if let Some(place) = self.buffer.get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}
