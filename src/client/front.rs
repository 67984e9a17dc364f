//! What options say about every operation of a client before it is routed: how its key goes on the wire, whether it goes
//! without reply, how counters are made; and that a read that failed is a miss. A client without such options never
//! comes here.

use super::options::Options;
use super::stats::without_prefix;
use super::Client;
use crate::error::{bits, Result, Status};
use crate::operation::{op_flags, Answer, Command, Operation, Room, Sink, Value};
use crate::protocol::{check_key_for, is_utf8_key, MAX_BINARY_KEY, MAX_KEY};
use crate::ring::RingKind;
use md5::{Digest, Md5};
use std::borrow::Cow;
use std::sync::Arc;

/// Which bytes a key may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyBytes {
    /// Printable ASCII over text and meta; any over binary.
    Ascii,
    /// Over text and meta UTF-8 as well, without spaces and control characters.
    Utf8,
    /// Over meta any bytes, by base64, and then up to 186.
    Any,
}

/// See the module.
pub(super) struct Front {
    prefix: Vec<u8>,
    hash_long: bool,
    key_bytes: KeyBytes,
    no_reply: bool,
    counter: Option<(u64, i64)>,
    failure_is_miss: bool,
    /// The ring hashes what goes on the wire.
    routes_by_wire: bool,
}

impl Front {
    /// What these options say, if they say anything.
    pub fn new(options: &Options) -> Option<Front> {
        let front = Front {
            prefix: options.key_prefix.clone().into_bytes(),
            hash_long: options.long_keys_hash,
            key_bytes: options.key_bytes,
            no_reply: options.no_reply,
            counter: options.counter_create.then_some((options.counter_initial, options.counter_ttl.into())),
            failure_is_miss: options.failure_is_miss,
            routes_by_wire: options.distribution == RingKind::Dalli,
        };
        let plain = front.prefix.is_empty() && !front.hash_long && front.key_bytes == KeyBytes::Ascii;
        let usual = !front.no_reply && front.counter.is_none() && !front.failure_is_miss;
        (!plain || !usual).then_some(front)
    }

    /// The key as it goes on the wire, where it is another one.
    pub fn wire_key(&self, operation: &Operation<'_>) -> Option<Vec<u8>> {
        let key = operation.key;
        let may_be_long = self.hash_long && self.prefix.len() + key.len() > MAX_BINARY_KEY;
        if !operation.command.has_key() || key.is_empty() || (self.prefix.is_empty() && !may_be_long) {
            return None;
        }
        let whole = [&self.prefix, key].concat();
        Some(if may_be_long { self.shortened(whole) } else { whole })
    }

    /// A key that is too long as dalli makes it short enough: the beginning, and the MD5 of the whole. It ends between two
    /// characters of UTF-8. Of bytes that meta has by base64 there may be fewer.
    fn shortened(&self, key: Vec<u8>) -> Vec<u8> {
        let by_base64 = self.key_bytes == KeyBytes::Any && !is_utf8_key(&key);
        let most = if by_base64 { MAX_BINARY_KEY } else { MAX_KEY };
        if key.len() <= most {
            return key;
        }
        let kept = most - if self.prefix.is_empty() { 38 } else { 37 };
        let kept = std::str::from_utf8(&key)
            .map_or(kept, |text| (0..=kept).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
        let digest: String = Md5::digest(&key).iter().map(|byte| format!("{byte:02x}")).collect();
        [&key[..kept], b":md5:", digest.as_bytes()].concat()
    }

    /// The operation as it is routed; `key` is what [`Front::wire_key`] has made of its key.
    pub fn apply<'a>(&self, operation: &Operation<'a>, key: Option<&'a [u8]>) -> Operation<'a> {
        let mut made = *operation;
        if let Some(key) = key {
            made.key = key;
            if made.routing_key.is_empty() && !self.routes_by_wire {
                made.routing_key = operation.key;
            }
        }
        made.op_flags |= match self.key_bytes {
            KeyBytes::Ascii => 0,
            KeyBytes::Utf8 => op_flags::UTF8_KEY,
            KeyBytes::Any => op_flags::UTF8_KEY | op_flags::ANY_KEY,
        };
        let counts = matches!(made.command, Command::Increment | Command::Decrement);
        let answers = counts || made.cas != 0 || made.op_flags & (op_flags::WANT_CAS | op_flags::WANT_REPLY) != 0;
        if self.no_reply && !answers && made.command.may_be_quiet() {
            made.op_flags |= op_flags::NO_REPLY;
        }
        if let (Some((initial, ttl)), true, 0) = (self.counter, counts, made.op_flags & op_flags::CREATE) {
            (made.initial, made.ttl, made.op_flags) = (initial, ttl, made.op_flags | op_flags::CREATE);
        }
        made
    }

    /// The lines of a whole dump, as [`own_line`] has them.
    fn own_lines(&self, text: &[u8]) -> Vec<u8> {
        let lines = text.split(|byte| *byte == b'\n').filter_map(|line| without_prefix(line, &self.prefix));
        lines.flat_map(|line| [line, b"\n".to_vec()].concat()).collect()
    }

    /// The answer to a command as the caller expects it. What was cancelled stays so: whoever did that waits for its word.
    pub fn finish<'a>(&self, command: Command, answer: Answer<'a>) -> Answer<'a> {
        let told = matches!(answer.status, Status::Argument | Status::Cancelled);
        if self.failure_is_miss && command.reads() && answer.status.is_failure() && !told {
            let (bits, server) = (answer.bits, answer.server);
            return Answer { bits, server, ..Answer::new(Status::NotFound) };
        }
        if command == Command::Metadump && !self.prefix.is_empty() {
            let value = Value::Owned(self.own_lines(answer.value.bytes()));
            return Answer { value, ..answer };
        }
        let key = answer.key.strip_prefix(self.prefix.as_slice()).unwrap_or(answer.key);
        Answer { key, ..answer }
    }
}

/// What [`Front::finish`] makes of an answer, where the client has one.
#[inline]
pub(super) fn finish<'a>(front: Option<&Arc<Front>>, command: Command, answer: Answer<'a>) -> Answer<'a> {
    match front {
        None => answer,
        Some(front) => front.finish(command, answer),
    }
}

/// A line of a dump as the caller is to see it: its key without the client's prefix; `None` where it has another one.
pub(super) fn own_line<'a>(front: Option<&Front>, line: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    match front.filter(|front| !front.prefix.is_empty()) {
        None => Some(Cow::Borrowed(line)),
        Some(front) => without_prefix(line, &front.prefix).map(Cow::Owned),
    }
}

impl Client {
    /// Whether this client could send such a key, with its prefix; with `protocol=auto`, to a server that knows meta, or, with
    /// SASL's credentials, binary. Nothing is sent.
    pub fn check_key(&self, key: &[u8]) -> Result<()> {
        let operation = Operation::get(key);
        let front = self.core.front.as_deref();
        let wire_key = front.and_then(|front| front.wire_key(&operation));
        let made = front.map_or(operation, |front| front.apply(&operation, wire_key.as_deref()));
        let options = &self.core.options;
        let dialect = self.core.account.likely_dialect(options.protocol, options.login_rules().style);
        check_key_for(dialect, &made).map_err(|error| error.with_bits(bits::NOT_SENT))
    }
}

/// Runs operations as `Client::run` does.
#[cold]
pub(super) fn run(client: &Client, front: &Front, operations: &[Operation<'_>], sink: &mut dyn Sink) {
    let keys: Vec<Option<Vec<u8>>> = operations.iter().map(|operation| front.wire_key(operation)).collect();
    let made: Vec<Operation<'_>> =
        operations.iter().zip(&keys).map(|(operation, key)| front.apply(operation, key.as_deref())).collect();
    client.run_as_is(&made, &mut Behind { front, operations, sink });
}

/// Makes of the answers what the caller expects.
struct Behind<'a> {
    front: &'a Front,
    operations: &'a [Operation<'a>],
    sink: &'a mut dyn Sink,
}

impl Sink for Behind<'_> {
    fn room(&mut self, index: usize, flags: u32, len: usize) -> Room<'_> {
        self.sink.room(index, flags, len)
    }

    fn answer(&mut self, index: usize, answer: Answer<'_>) {
        let command = self.operations.get(index).map_or(Command::Noop, |operation| operation.command);
        self.sink.answer(index, self.front.finish(command, answer));
    }
}
