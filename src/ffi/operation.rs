//! Every operation: all that a call can be told is a field of bmemc_op, all that it can answer a
//! field of bmemc_item.

use super::bytes::bmemc_bytes;
use super::calls::{many, one};
use super::client::bmemc_client;
use super::guard::{array, guard, handle, place, refused};
use super::results::{bmemc_results, bmemc_value};
use super::status::{bmemc_error, bmemc_status};
use crate::client::Get;
use crate::error::{Error, Result};
use crate::operation::{op_flags, Command, Operation};
use std::mem::MaybeUninit;

/// What is asked of the server: `bmemc_op.opcode`. In brackets the fields that it uses beside
/// `key`; the numbers never change. What the protocol spoken does not have answers
/// BMEMC_E_UNSUPPORTED, and the message says which one has it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(dead_code, reason = "names for C of numbers")]
pub enum bmemc_opcode {
    /// Reads a value.
    BMEMC_OP_GET = 1,
    /// Reads a value and gives it a new ttl. [ttl]
    BMEMC_OP_GET_AND_TOUCH = 2,
    /// Stores a value, whatever was there; with a cas, only if the item still has it. [value,
    /// flags, ttl, cas]
    BMEMC_OP_SET = 3,
    /// Stores a value if there is none. [value, flags, ttl]
    BMEMC_OP_ADD = 4,
    /// Stores a value if there is one. [value, flags, ttl, cas]
    BMEMC_OP_REPLACE = 5,
    /// Puts bytes behind a value. [value, cas]
    BMEMC_OP_APPEND = 6,
    /// Puts bytes before a value. [value, cas]
    BMEMC_OP_PREPEND = 7,
    /// Deletes a key. [cas]
    BMEMC_OP_DELETE = 8,
    /// Adds to a counter, a value of decimal digits; it wraps at 64 bits. The item's `number` is the
    /// new one. With BMEMC_FLAG_CREATE a missing counter is made with `initial` (`delta` is not
    /// applied) and `ttl`: not over text, where it is an add and then an increment. [delta, cas;
    /// initial and ttl with BMEMC_FLAG_CREATE]
    BMEMC_OP_INCREMENT = 9,
    /// Subtracts from a counter; it stops at zero. [as increment]
    BMEMC_OP_DECREMENT = 10,
    /// Gives an item a new ttl. [ttl]
    BMEMC_OP_TOUCH = 11,
    /// Drops every item of the server. No key. [ttl: in so many seconds]
    BMEMC_OP_FLUSH_ALL = 12,
    /// Asks for statistics: `value` has a line "NAME VALUE" for each, which bmemc_stats_items()
    /// takes apart. [key: which; empty: the general ones]
    BMEMC_OP_STATS = 13,
    /// Asks for the server's version. No key.
    BMEMC_OP_VERSION = 14,
    /// Sets how much the server logs. No key. Not over binary. [delta: the level]
    BMEMC_OP_VERBOSITY = 15,
    /// Does nothing, in one round trip. No key.
    BMEMC_OP_NOOP = 16,
    /// Sets the server's memory limit. No key. Not over binary. [delta: megabytes]
    BMEMC_OP_CACHE_MEMLIMIT = 17,
    /// Shuts the server down, where it allows that (memcached's -A). Not over binary. [key: empty,
    /// or "graceful"]
    BMEMC_OP_SHUTDOWN = 18,
    /// Lists what the server holds: `value` has its lines, up to option max_value_bytes;
    /// bmemc_metadump_items() takes them apart, and bmemc_dump_new() gets them as they come. Not
    /// over binary. It has a connection to itself. [key: "all" or empty, "hash", or slab classes
    /// such as "1,2"]
    BMEMC_OP_METADUMP = 19,
    /// A meta command: `meta_flags` is its word and its flags, as "mg v t"; see bmemc_meta(). Not
    /// over text and binary. [value, meta_flags]
    BMEMC_OP_META = 20,
    /// A line of the caller's own, CR LF is added: `value` is what comes back up to the end, which
    /// is not in it. More than one line only where the end is given. ERROR, CLIENT_ERROR and
    /// SERVER_ERROR are failures. Not over binary. It has a connection to itself. [value; key: with
    /// what the reply ends, up to 250 bytes; empty: CR LF]
    BMEMC_OP_RAW = 21,
}

/// Bits of `bmemc_op.op_flags`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(dead_code, reason = "names for C of numbers")]
pub enum bmemc_op_flag {
    /// Set, add, replace, append, prepend, delete, increment, decrement, touch, flush_all: answer
    /// once the kernel has the request. BMEMC_OK says no more than that: what the server refuses
    /// is not told, what fails is counted (`quiet_failures`) and told of by
    /// BMEMC_EVENT_QUIET_FAILURE, and never the answer of another call. Over protocol=text the
    /// server is silent about most failures: a value that is too large for it is lost, and the one
    /// that the key had with it. A call over another connection may overtake it (option
    /// connections). Other commands take no notice of this flag.
    BMEMC_FLAG_NO_REPLY = 1,
    /// Answer with the item's cas.
    BMEMC_FLAG_WANT_CAS = 2,
    /// Increment, decrement: create a missing counter with `initial` and `ttl`. Classic text has no
    /// such command: BMEMC_E_UNSUPPORTED over protocol=text.
    BMEMC_FLAG_CREATE = 4,
    /// As if there were no codec: store `value` and `flags` as they are; read the value as it is
    /// stored.
    BMEMC_FLAG_EXPLICIT_FLAGS = 8,
    /// Wait for the reply though option no_reply is on.
    BMEMC_FLAG_WANT_REPLY = 16,
}

/// What a value is, for the client's codec: `value_type` of bmemc_op and bmemc_item.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(dead_code, reason = "names for C of numbers")]
pub enum bmemc_value_type {
    /// Bytes as they are; what every value is where the client has no codec.
    BMEMC_TYPE_BYTES = 0,
    /// UTF-8.
    BMEMC_TYPE_TEXT = 1,
    /// A whole number, in decimal digits.
    BMEMC_TYPE_INTEGER = 2,
    /// A long of Python 2, in decimal digits.
    BMEMC_TYPE_LONG = 3,
    /// Something that a language serialised, or has a type of its own for; the flags tell.
    BMEMC_TYPE_OBJECT = 4,
}

/// One operation. Zero it first, then fill in what it needs: zero is every field's default, but the
/// opcode's.
#[repr(C)]
pub struct bmemc_op {
    /// Comes back with the answer of a queue; the library does not look at it.
    pub tag: u64,
    /// 1 to 250 bytes (see chapter 6).
    pub key: bmemc_bytes,
    pub value: bmemc_bytes,
    /// Hashed instead of the key to choose the server; empty: the key.
    pub routing_key: bmemc_bytes,
    /// Flags of meta commands, separated by spaces, which are added to those of the operation:
    /// "t l h s" to a get, "I T30" to a delete, "N30" to an append. Not over text and binary.
    pub meta_flags: bmemc_bytes,
    /// The item must still have this cas, else BMEMC_EXISTS; zero: any.
    pub cas: u64,
    /// By how much a counter changes.
    pub delta: u64,
    /// What a counter starts with, with BMEMC_FLAG_CREATE.
    pub initial: u64,
    /// Seconds to live, as bmemc_set() has it.
    pub ttl: i64,
    /// A bmemc_opcode.
    pub opcode: i32,
    /// The item's flags; must be zero where the client's codec makes them (chapter 13).
    pub flags: u32,
    /// A bmemc_value_type: what the codec is told. Without a codec it says nothing.
    pub value_type: u32,
    /// Of bmemc_op_flag.
    pub op_flags: u32,
    /// Milliseconds that the operation may take, any number; zero: option timeout_ms.
    pub timeout_ms: u32,
    /// 0: the client's option; 1 (fast) to 9 (small): zlib's level; -1: do not compress.
    pub compress_level: i32,
    /// 0: the servers that have the key, as the client's mode says. What has no key goes to all servers
    /// (FLUSH_ALL, NOOP, VERBOSITY, CACHE_MEMLIMIT) or to the first; a server must be named for SHUTDOWN,
    /// METADUMP and RAW where there are several. Else one more than the index of the server to be
    /// asked, whatever the key and the mode: `bmemc_item.server` + 1. An index that no server has is
    /// BMEMC_E_ARGUMENT. Of a fallback client it is one of the first client's.
    pub server: u32,
    /// Must be zero.
    pub reserved: [u32; 7],
}

/// Runs one operation and returns its status; where that is a failure, `error` has the answer's
/// words.
/// On BMEMC_OK `*answer` is the caller's, to be freed; it is there for a write, too, with the cas
/// or the number.
#[no_mangle]
pub extern "C" fn bmemc_call(
    client: Option<&bmemc_client>,
    op: Option<&bmemc_op>,
    answer: Option<&mut MaybeUninit<*mut bmemc_value>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let answer = place(answer, "answer")?;
        let client = handle(client, "client")?;
        one(&client.client, handle(op, "op")?.operation()?, answer)
    })
}

/// Runs any mix of operations in as few round trips as possible: item `i` answers `ops[i]`, and
/// operations on one key keep their order. An operation that is wrong in itself fails alone,
/// unsent. BMEMC_OK says only that there are answers, which are the caller's, to be freed. `ops`
/// may be NULL where `count` is zero.
#[no_mangle]
pub extern "C" fn bmemc_execute(
    client: Option<&bmemc_client>,
    ops: *const bmemc_op,
    count: usize,
    answers: Option<&mut MaybeUninit<*mut bmemc_results>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let answers = place(answers, "answers")?;
        let client = handle(client, "client")?;
        // SAFETY: the function's contract: NULL or `count` operations, which stay as they are during the call.
        let ops = unsafe { array(ops, count, "ops") }?;
        many(&client.client, count, answers, |index| ops[index].operation())
    })
}

/// Runs one operation on each server of the client at once, whatever its key: an item for each, in the
/// order of bmemc_client_servers(), with the server's index as `server`. Of a client that knows no server,
/// as discovery has found none, there is one item, which says why. BMEMC_OK says only that there are
/// answers, which are the caller's, to be freed.
#[no_mangle]
pub extern "C" fn bmemc_execute_each(
    client: Option<&bmemc_client>,
    op: Option<&bmemc_op>,
    answers: Option<&mut MaybeUninit<*mut bmemc_results>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let answers = place(answers, "answers")?;
        let client = handle(client, "client")?;
        let operation = handle(op, "op")?.operation()?;
        let operations = client.client.on_each(&operation);
        many(&client.client, operations.len(), answers, |index| Ok(operations[index]))
    })
}

const MOST_VALUE_TYPE: u32 = bmemc_value_type::BMEMC_TYPE_OBJECT as u32;

impl bmemc_op {
    /// The same in the core's words.
    #[inline(always)]
    pub(super) fn operation(&self) -> Result<Operation<'_>> {
        self.check()?;
        let command = Command::from_code(self.opcode).ok_or_else(|| self.unknown_opcode())?;
        Ok(Operation {
            command,
            key: self.key.slice("key")?,
            value: self.value.slice("value")?,
            routing_key: self.routing_key.slice("routing_key")?,
            meta_flags: self.meta_flags.slice("meta_flags")?,
            server: self.server,
            cas: self.cas,
            delta: self.delta,
            initial: self.initial,
            ttl: self.ttl,
            flags: self.flags,
            value_type: self.value_type,
            op_flags: self.op_flags,
            timeout_ms: self.timeout_ms,
            compress_level: self.compress_level,
        })
    }

    /// The same, if it is a get of which nothing but this matters: what most operations are.
    #[inline(always)]
    pub(super) fn get(&self) -> Option<Get<'_>> {
        let sizes = self.value.len | self.routing_key.len | self.meta_flags.len;
        let numbers = self.cas | self.delta | self.initial | self.ttl as u64;
        let words = self.flags | self.value_type | self.server | self.compress_level as u32;
        let words = self.reserved.iter().fold(words | self.op_flags & !Get::FLAGS, |found, word| found | word);
        if self.opcode != Command::Get as i32 || sizes as u64 | numbers | u64::from(words) != 0 {
            return None;
        }
        let key = self.key.slice("key").ok()?;
        Some(Get { tag: self.tag, key, timeout_ms: self.timeout_ms, op_flags: self.op_flags })
    }

    #[inline]
    fn check(&self) -> Result<()> {
        let unknown = self.reserved.iter().fold(self.op_flags & !op_flags::ALL, |found, word| found | word);
        let levels = -1..=9;
        match unknown == 0 && self.value_type <= MOST_VALUE_TYPE && levels.contains(&self.compress_level) {
            true => Ok(()),
            false => Err(self.wrong()),
        }
    }

    /// Which field is wrong, of one that has one.
    #[cold]
    fn wrong(&self) -> Error {
        let unknown = self.op_flags & !op_flags::ALL;
        refused(if self.reserved != [0; 7] {
            format!("reserved is {:?}; zero the bmemc_op first", self.reserved)
        } else if unknown != 0 {
            let given = self.op_flags;
            format!("op_flags is {given:#x}, of which {unknown:#x} is unknown; there are {:#x}", op_flags::ALL)
        } else if self.value_type > MOST_VALUE_TYPE {
            format!("value_type is {}; it is 0 to {MOST_VALUE_TYPE}", self.value_type)
        } else {
            format!("compress_level is {}; it is -1 to 9", self.compress_level)
        })
    }

    #[cold]
    fn unknown_opcode(&self) -> Error {
        let last = Command::ALL.len();
        refused(format!("opcode is {}; it is 1 (BMEMC_OP_GET) to {last} (BMEMC_OP_RAW)", self.opcode))
    }
}

#[cfg(test)]
mod tests {
    use super::{bmemc_op_flag::*, bmemc_opcode::*, *};

    /// `GetAndTouch` as `GET_AND_TOUCH`.
    fn screaming(camel: &str) -> String {
        let word = |ch: char| if ch.is_uppercase() { format!("_{ch}") } else { ch.to_ascii_uppercase().to_string() };
        camel.chars().map(word).collect::<String>().trim_start_matches('_').to_string()
    }

    #[test]
    fn opcodes_are_the_commands_of_the_core() {
        let opcodes = [
            BMEMC_OP_GET,
            BMEMC_OP_GET_AND_TOUCH,
            BMEMC_OP_SET,
            BMEMC_OP_ADD,
            BMEMC_OP_REPLACE,
            BMEMC_OP_APPEND,
            BMEMC_OP_PREPEND,
            BMEMC_OP_DELETE,
            BMEMC_OP_INCREMENT,
            BMEMC_OP_DECREMENT,
            BMEMC_OP_TOUCH,
            BMEMC_OP_FLUSH_ALL,
            BMEMC_OP_STATS,
            BMEMC_OP_VERSION,
            BMEMC_OP_VERBOSITY,
            BMEMC_OP_NOOP,
            BMEMC_OP_CACHE_MEMLIMIT,
            BMEMC_OP_SHUTDOWN,
            BMEMC_OP_METADUMP,
            BMEMC_OP_META,
            BMEMC_OP_RAW,
        ];
        for (opcode, command) in opcodes.into_iter().zip(Command::ALL) {
            assert_eq!(format!("{opcode:?}"), format!("BMEMC_OP_{}", screaming(&format!("{command:?}"))));
            assert_eq!(opcode as i32, command as i32);
        }
        assert_eq!(opcodes.len(), Command::ALL.len());
    }

    #[test]
    fn op_flags_are_those_of_the_core() {
        let here = [
            BMEMC_FLAG_NO_REPLY,
            BMEMC_FLAG_WANT_CAS,
            BMEMC_FLAG_CREATE,
            BMEMC_FLAG_EXPLICIT_FLAGS,
            BMEMC_FLAG_WANT_REPLY,
        ];
        let core =
            [op_flags::NO_REPLY, op_flags::WANT_CAS, op_flags::CREATE, op_flags::EXPLICIT_FLAGS, op_flags::WANT_REPLY];
        assert_eq!(here.map(|flag| flag as u32), core);
        assert_eq!(core.iter().sum::<u32>(), op_flags::ALL);
    }
}
