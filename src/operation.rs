//! Operation and Answer: the one vocabulary that every layer speaks. An operation is all that a call can be told, an
//! answer all that it can answer; `Sink` is where answers go. No layer above adds a field of its own.

use crate::error::{bits, Error, Status};

/// What is asked of the server. The numbers are those of the C ABI (`bmemc_opcode`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(i32)]
pub enum Command {
    Get = 1,
    GetAndTouch = 2,
    Set = 3,
    Add = 4,
    Replace = 5,
    Append = 6,
    Prepend = 7,
    Delete = 8,
    Increment = 9,
    Decrement = 10,
    Touch = 11,
    FlushAll = 12,
    Stats = 13,
    Version = 14,
    Verbosity = 15,
    Noop = 16,
    CacheMemlimit = 17,
    Shutdown = 18,
    Metadump = 19,
    Meta = 20,
    Raw = 21,
}

impl Command {
    /// Every command, in the order of the ABI.
    pub const ALL: [Command; 21] = [
        Command::Get,
        Command::GetAndTouch,
        Command::Set,
        Command::Add,
        Command::Replace,
        Command::Append,
        Command::Prepend,
        Command::Delete,
        Command::Increment,
        Command::Decrement,
        Command::Touch,
        Command::FlushAll,
        Command::Stats,
        Command::Version,
        Command::Verbosity,
        Command::Noop,
        Command::CacheMemlimit,
        Command::Shutdown,
        Command::Metadump,
        Command::Meta,
        Command::Raw,
    ];

    /// The command with this number.
    pub fn from_code(code: i32) -> Option<Command> {
        let index = usize::try_from(code).ok()?.checked_sub(1)?;
        Command::ALL.get(index).copied()
    }

    /// The name that messages use.
    pub fn name(self) -> &'static str {
        match self {
            Command::Get => "get",
            Command::GetAndTouch => "gat",
            Command::Set => "set",
            Command::Add => "add",
            Command::Replace => "replace",
            Command::Append => "append",
            Command::Prepend => "prepend",
            Command::Delete => "delete",
            Command::Increment => "incr",
            Command::Decrement => "decr",
            Command::Touch => "touch",
            Command::FlushAll => "flush_all",
            Command::Stats => "stats",
            Command::Version => "version",
            Command::Verbosity => "verbosity",
            Command::Noop => "noop",
            Command::CacheMemlimit => "cache_memlimit",
            Command::Shutdown => "shutdown",
            Command::Metadump => "metadump",
            Command::Meta => "meta",
            Command::Raw => "raw",
        }
    }

    /// Whether the command may go without reply.
    pub fn may_be_quiet(self) -> bool {
        use Command::{Add, Append, Decrement, Delete, FlushAll, Increment, Prepend, Replace, Set, Touch};
        matches!(self, Set | Add | Replace | Append | Prepend | Delete | Increment | Decrement | Touch | FlushAll)
    }

    /// Whether the command is about one key.
    pub fn has_key(self) -> bool {
        (self as i32) <= (Command::Touch as i32) || self == Command::Meta
    }

    /// Whether the answer is an item's value.
    pub fn reads(self) -> bool {
        matches!(self, Command::Get | Command::GetAndTouch)
    }

    /// Whether it has a connection to itself: its reply has no form that others could be told from, or the connection
    /// ends with it.
    pub fn goes_aside(self) -> bool {
        matches!(self, Command::Shutdown | Command::Metadump | Command::Raw)
    }
}

/// Flags of an operation. The numbers are those of the C ABI.
pub mod op_flags {
    /// Writes, touch and flush_all: answer OK once the kernel has the request. What the server refuses is not told, what
    /// fails is counted (`quiet_failures`) and told of by the event `QuietFailure`. Other commands, and those with meta
    /// flags, take no notice of it.
    pub const NO_REPLY: u32 = 1;
    /// Answer with the item's cas.
    pub const WANT_CAS: u32 = 2;
    /// incr, decr: create a missing counter with `initial` and `ttl`.
    pub const CREATE: u32 = 4;
    /// Store `value` and `flags` as they are, read the value as it is stored: no codec, no compression.
    pub const EXPLICIT_FLAGS: u32 = 8;
    /// Wait for the reply though the client's option `no_reply` is on.
    pub const WANT_REPLY: u32 = 16;
    /// All that there are.
    pub const ALL: u32 = NO_REPLY | WANT_CAS | CREATE | EXPLICIT_FLAGS | WANT_REPLY;
    /// The client's `key_bytes` allows keys of UTF-8, or of any bytes.
    pub(crate) const UTF8_KEY: u32 = 1 << 30;
    pub(crate) const ANY_KEY: u32 = 1 << 31;
}

/// Everything that a call can be told. Fields that a command does not use are left as `new` made them.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    pub command: Command,
    pub key: &'a [u8],
    pub value: &'a [u8],
    /// Hashed instead of the key to choose the server; empty: the key.
    pub routing_key: &'a [u8],
    /// Raw flags of a meta command.
    pub meta_flags: &'a [u8],
    /// Zero: the server that the route chooses; else one more than the index of the server that is to be asked.
    pub server: u32,
    /// The item must still have this cas; zero: any.
    pub cas: u64,
    /// By how much incr and decr change the counter.
    pub delta: u64,
    /// What a counter starts with where `CREATE` is set.
    pub initial: u64,
    /// Seconds to live. Zero: until evicted; negative: gone at once; up to 999,999,999: from now, over 30 days too;
    /// from 1,000,000,000 on: a Unix time.
    pub ttl: i64,
    /// The item's flags, as other clients see them.
    pub flags: u32,
    /// What the value is, for the codec: 0 bytes, 1 text, 2 integer, 3 long, 4 object.
    pub value_type: u32,
    /// [`op_flags`].
    pub op_flags: u32,
    /// Milliseconds that the call may take; zero: the client's `timeout_ms`.
    pub timeout_ms: u32,
    /// Zero: the client's; 1 to 9: zlib's level; -1: do not compress.
    pub compress_level: i32,
}

impl<'a> Operation<'a> {
    /// An operation with nothing but a key.
    pub fn new(command: Command, key: &'a [u8]) -> Operation<'a> {
        Operation {
            command,
            key,
            value: b"",
            routing_key: b"",
            meta_flags: b"",
            server: 0,
            cas: 0,
            delta: 0,
            initial: 0,
            ttl: 0,
            flags: 0,
            value_type: 0,
            op_flags: 0,
            timeout_ms: 0,
            compress_level: 0,
        }
    }

    /// Reads a value.
    pub fn get(key: &'a [u8]) -> Operation<'a> {
        Operation::new(Command::Get, key)
    }

    /// Stores a value for `ttl` seconds (see the field).
    pub fn set(key: &'a [u8], value: &'a [u8], ttl: i64) -> Operation<'a> {
        Operation { value, ttl, ..Operation::new(Command::Set, key) }
    }

    /// Whether it goes without reply.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.op_flags & op_flags::NO_REPLY != 0 && self.command.may_be_quiet() && self.meta_flags.is_empty()
    }

    /// Whether it is a get of which nothing but the key, the time-out and the client's own options matter.
    #[inline(always)]
    fn is_plain_get(&self) -> bool {
        self.is_get_by_key() && self.op_flags & op_flags::WANT_CAS == 0
    }

    /// Whether it is a get of which nothing but the key, the time-out and the flags matter to a single server.
    #[inline(always)]
    pub(crate) fn is_get_by_key(&self) -> bool {
        self.command == Command::Get && self.meta_flags.is_empty() && self.server <= 1
    }

    /// Deletes a key.
    pub fn delete(key: &'a [u8]) -> Operation<'a> {
        Operation::new(Command::Delete, key)
    }

    /// Asks for the server's version.
    pub fn version() -> Operation<'static> {
        Operation::new(Command::Version, b"")
    }
}

/// Plain gets with one time-out: their keys are most often all that is needed of them.
pub trait Gets {
    /// How many they are.
    fn count(&self) -> usize;
    /// Their keys, in order.
    fn keys(&self) -> impl ExactSizeIterator<Item = &[u8]>;
    /// Hands over the operations that they are: a single one needs no memory from the heap.
    fn as_operations<R>(&self, act: impl FnOnce(&[Operation<'_>]) -> R) -> R;
}

impl Gets for [Operation<'_>] {
    fn count(&self) -> usize {
        self.len()
    }

    fn keys(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.iter().map(|operation| operation.key)
    }

    fn as_operations<R>(&self, act: impl FnOnce(&[Operation<'_>]) -> R) -> R {
        act(self)
    }
}

impl Gets for [&[u8]] {
    fn count(&self) -> usize {
        self.len()
    }

    fn keys(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.iter().copied()
    }

    fn as_operations<R>(&self, act: impl FnOnce(&[Operation<'_>]) -> R) -> R {
        match self {
            [key] => act(&[Operation::get(key)]),
            keys => act(&keys.iter().map(|key| Operation::get(key)).collect::<Vec<_>>()),
        }
    }
}

/// Whether these are plain gets with one and the same time-out: what most calls are made of. They need not be asked for
/// anything else on their way.
#[inline(always)]
pub fn are_plain_gets(operations: &[Operation<'_>]) -> bool {
    let Some(first) = operations.first() else { return false };
    operations.iter().all(|operation| operation.is_plain_get() && operation.timeout_ms == first.timeout_ms)
}

/// How much of a key a message shows.
const SHOWN_KEY: usize = 40;

impl Operation<'_> {
    /// The failure of this operation, alone in its call: what the server said gets to know what it was said to.
    #[cold]
    pub(crate) fn explain(&self, error: Error) -> Error {
        use Status::{ClientError, ServerError, TooLarge, UnknownCommand};
        let said = matches!(error.status(), ClientError | ServerError | TooLarge | UnknownCommand);
        if !said || error.bits() & bits::SENT == 0 {
            return error;
        }
        let shown = self.key[..self.key.len().min(SHOWN_KEY)].escape_ascii();
        let more = if self.key.len() > SHOWN_KEY { "..." } else { "" };
        let mut words = match self.key.is_empty() {
            true => self.command.name().to_string(),
            false => format!("{} \"{shown}{more}\"", self.command.name()),
        };
        if !self.value.is_empty() && self.command != Command::Raw {
            words += &format!(", a value of {} bytes", self.value.len());
        }
        words += &format!(": the server said \"{}\"", error.message());
        Error::new(error.status(), words).with_os_error(error.os_error()).with_bits(error.bits())
    }
}

/// Where the value of an answer is.
#[derive(Debug)]
pub enum Value<'a> {
    /// In a buffer that is valid during the call only.
    Borrowed(&'a [u8]),
    /// In memory that is given away.
    Owned(Vec<u8>),
    /// Already where [`Sink::room`] said, this many bytes of it.
    Placed(usize),
    /// Read and dropped, because `room` answered [`Room::Skip`]; it was this long.
    Skipped(usize),
}

impl Value<'_> {
    /// No value.
    pub const NONE: Value<'static> = Value::Borrowed(b"");

    /// Its bytes, where it has any at hand.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Value::Borrowed(bytes) => bytes,
            Value::Owned(bytes) => bytes,
            Value::Placed(_) | Value::Skipped(_) => b"",
        }
    }

    /// How long it is.
    pub fn len(&self) -> usize {
        match self {
            Value::Borrowed(bytes) => bytes.len(),
            Value::Owned(bytes) => bytes.len(),
            Value::Placed(len) | Value::Skipped(len) => *len,
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Everything that an operation can be answered.
#[derive(Debug)]
pub struct Answer<'a> {
    pub status: Status,
    /// errno of the system call that failed, else zero.
    pub os_error: i32,
    pub flags: u32,
    /// What the codec found the value to be, as [`Operation::value_type`]; bytes where there is no codec.
    pub value_type: u32,
    /// [`crate::error::bits`].
    pub bits: u32,
    /// Index of the server that answered.
    pub server: u32,
    /// Zero where the protocol gave none.
    pub cas: u64,
    /// The counter after incr or decr.
    pub number: u64,
    /// Seconds that are left, -1 for ever; zero where it was not asked for.
    pub ttl: i64,
    /// Bytes of the value, as meta flag `s` tells them.
    pub size: u32,
    /// Seconds since the item was last read, as meta flag `l` tells them.
    pub last_access: u32,
    /// Whether the item was read before, as meta flag `h` tells it.
    pub fetched: bool,
    /// The key, where the answer is about one that the operation did not name.
    pub key: &'a [u8],
    pub value: Value<'a>,
    /// The server's own words, or this library's where it failed.
    pub detail: &'a [u8],
}

impl<'a> Answer<'a> {
    /// An answer that is a status and nothing else.
    pub fn new(status: Status) -> Answer<'a> {
        Answer {
            status,
            os_error: 0,
            flags: 0,
            value_type: 0,
            bits: 0,
            server: 0,
            cas: 0,
            number: 0,
            ttl: 0,
            size: 0,
            last_access: 0,
            fetched: false,
            key: b"",
            value: Value::NONE,
            detail: b"",
        }
    }

    /// A hit.
    pub fn hit(flags: u32, cas: u64, value: &'a [u8]) -> Answer<'a> {
        let value = Value::Borrowed(value);
        Answer { flags, cas, value, bits: bits::SENT, ..Answer::new(Status::Ok) }
    }

    /// The answer that says that an operation failed.
    pub fn failed(error: &'a Error) -> Answer<'a> {
        Answer {
            os_error: error.os_error(),
            bits: error.bits(),
            detail: error.message().as_bytes(),
            ..Answer::new(error.status())
        }
    }

    /// The failure that this answer tells of, if it does.
    pub fn error(&self) -> Option<Error> {
        if !self.status.is_failure() {
            return None;
        }
        let words = String::from_utf8_lossy(self.detail).into_owned();
        Some(Error::new(self.status, words).with_os_error(self.os_error).with_bits(self.bits))
    }
}

/// Where a value that is about to be received is to go.
pub enum Room<'a> {
    /// Straight here; exactly as long as asked for.
    Here(&'a mut [u8]),
    /// Into memory of the engine's, which the answer then owns.
    Collect,
    /// Nowhere: it is read and dropped.
    Skip,
}

/// Where answers go: each operation of a call gets exactly one, by its index in the call, in any order.
pub trait Sink {
    /// Asked before a value that is too long for the receive buffer; `len` is its length on the wire. It may be asked
    /// again for the same value, and then answers with the same place, which still has what was received.
    fn room(&mut self, index: usize, flags: u32, len: usize) -> Room<'_> {
        let _ = (index, flags, len);
        Room::Collect
    }

    /// The answer of operation `index` where it is a hit whose value is at hand: what most answers are.
    fn hit(&mut self, index: usize, flags: u32, cas: u64, value: &[u8]) {
        self.answer(index, Answer::hit(flags, cas, value));
    }

    /// The answer of operation `index`. Must not block.
    fn answer(&mut self, index: usize, answer: Answer<'_>);
}

/// A sink as who has hits for it knows it: by its type, so that each hit is a plain call, or as any sink.
pub trait Hits {
    /// [`Sink::hit`].
    fn hit(&mut self, index: usize, flags: u32, cas: u64, value: &[u8]);
    /// The sink, for everything else.
    fn sink(&mut self) -> &mut dyn Sink;
}

impl<S: Sink> Hits for S {
    #[inline(always)]
    fn hit(&mut self, index: usize, flags: u32, cas: u64, value: &[u8]) {
        Sink::hit(self, index, flags, cas, value);
    }

    fn sink(&mut self) -> &mut dyn Sink {
        self
    }
}

impl<'a> Hits for &'a mut (dyn Sink + 'a) {
    #[inline(always)]
    fn hit(&mut self, index: usize, flags: u32, cas: u64, value: &[u8]) {
        Sink::hit(*self, index, flags, cas, value);
    }

    fn sink(&mut self) -> &mut dyn Sink {
        &mut **self
    }
}
