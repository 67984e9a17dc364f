//! What is about servers rather than one key: statistics and lists of keys, taken apart; and meta
//! commands.

use super::bytes::bmemc_bytes;
use super::calls::one;
use super::client::bmemc_client;
use super::guard::{guard, handle, null, place, quietly, refused};
use super::operation::bmemc_op;
use super::results::{bmemc_item, bmemc_results, bmemc_value, Many};
use super::status::{bmemc_error, bmemc_status};
use crate::client::{statistics, Dump, DumpEntry};
use crate::error::{Result, Status};
use crate::net::Deadline;
use crate::operation::{Answer, Command, Operation, Sink, Value};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::time::Duration;

/// Asks every server for its statistics: an item for each, with the name as `key`, the value as
/// `value` and the server's index as `server`. `argument`: which ("settings", "items", "slabs",
/// "cachedump 1 10" ...); empty: the general ones; "reset" sets them back and has none. On
/// BMEMC_OK `*out` is the caller's, to be freed. BMEMC_E_UNKNOWN_COMMAND: the server does not have
/// these (over binary it has fewer).
#[no_mangle]
pub extern "C" fn bmemc_client_stats(
    client: Option<&bmemc_client>,
    argument: bmemc_bytes,
    out: Option<&mut MaybeUninit<*mut bmemc_results>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        let client = handle(client, "client")?;
        let answers = client.client.everywhere(&Operation::new(Command::Stats, argument.slice("argument")?))?;
        let all = answers.iter().flat_map(|answer| {
            let text = match answer.value {
                Value::Borrowed(text) => text,
                _ => b"",
            };
            statistics(text).map(move |(name, value)| (answer.server, name, value))
        });
        *out = items(all);
        Ok(Status::Ok)
    })
}

/// Takes the value of a BMEMC_OP_STATS answer apart, which has a line "NAME VALUE" for each
/// statistic: items as bmemc_client_stats() has them. `*out` is the caller's, to be freed.
#[no_mangle]
pub extern "C" fn bmemc_stats_items(
    text: bmemc_bytes,
    out: Option<&mut MaybeUninit<*mut bmemc_results>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        *out = items(statistics(text.slice("text")?).map(|(name, value)| (0, name, value)));
        Ok(Status::Ok)
    })
}

fn items<'a>(all: impl Iterator<Item = (u32, &'a [u8], &'a [u8])>) -> *mut bmemc_results {
    let all: Vec<_> = all.collect();
    results(all.into_iter().map(|(server, key, value)| {
        let value = Value::Borrowed(value);
        Answer { server, key, value, ..Answer::new(Status::Ok) }
    }))
}

fn results<'a>(answers: impl ExactSizeIterator<Item = Answer<'a>>) -> *mut bmemc_results {
    let mut list = Many::new(answers.len());
    for (index, answer) in answers.enumerate() {
        list.accept(index);
        list.answer(index, answer);
    }
    list.into_results()
}

/// Called for each item of a dump, on the thread that called bmemc_metadump(); `item` is borrowed
/// and gone when the callback returns. `context` is what bmemc_metadump() was given. 0: go on;
/// anything else ends the dump.
pub type bmemc_metadump_callback = Option<unsafe extern "C" fn(item: *const bmemc_item, context: *mut c_void) -> i32>;

/// Lists what the servers hold, without values: calls `callback(item, context)` for each item as it
/// comes, however many there are. `classes`: "all" or empty, "hash", or numbers of slab classes
/// such as "1,2". An item has `key`, `ttl`, `last_access`, `cas`, `fetched`, `size` (as the server
/// stores it), `flags` where the server tells them, its slab class as `number`, its `server`, and
/// the server's line as `detail`. A client with a key_prefix sees its own keys alone, `key` and
/// `detail` without the prefix; a key that long_keys=hash has shortened is what became of it. An
/// item that several servers hold, as with mode=replicated, comes from each of them. It takes a
/// connection of its own; option timeout_ms is for each piece that comes, not for the whole. Not
/// over the binary protocol: BMEMC_E_UNSUPPORTED. BMEMC_E_SERVER_ERROR: "BUSY ...", another dump is
/// under way.
#[no_mangle]
pub extern "C" fn bmemc_metadump(
    client: Option<&bmemc_client>,
    classes: bmemc_bytes,
    callback: bmemc_metadump_callback,
    context: *mut c_void,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let client = handle(client, "client")?;
        let function = callback.ok_or_else(|| null("callback"))?;
        for dumped in client.client.metadump(classes.slice("classes")?) {
            let (server, entry) = dumped?;
            let item = bmemc_item::borrowed(&entry.answer(server));
            // SAFETY: bmemc_metadump() demands a function that takes these; the item and its bytes live during the call.
            if unsafe { function(&item, context) } != 0 {
                break;
            }
        }
        Ok(Status::Ok)
    })
}

/// A dump that is taken piece by piece. One thread at a time may use it.
pub struct bmemc_dump {
    dump: Dump,
}

/// Begins a dump as bmemc_metadump() has it, whose items are asked for by bmemc_dump_next(): for
/// loops of the caller's own, and for languages that do not like callbacks. Nothing is sent yet. On
/// BMEMC_OK `*out` is the caller's, to be freed; the client may be freed before, and the next call
/// is BMEMC_E_CLOSED then.
#[no_mangle]
pub extern "C" fn bmemc_dump_new(
    client: Option<&bmemc_client>,
    classes: bmemc_bytes,
    out: Option<&mut MaybeUninit<*mut bmemc_dump>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        let dump = handle(client, "client")?.client.metadump(classes.slice("classes")?);
        *out = Box::into_raw(Box::new(bmemc_dump { dump }));
        Ok(Status::Ok)
    })
}

/// Begins a dump as an operation says it: `op` is a BMEMC_OP_METADUMP, of which `key` (the classes),
/// `server` (zero: all of them) and `timeout_ms` (for each piece that comes) count. Else as
/// bmemc_dump_new(). BMEMC_E_ARGUMENT: it is another operation; a server that the client does not
/// have is told by bmemc_dump_next().
#[no_mangle]
pub extern "C" fn bmemc_dump_of(
    client: Option<&bmemc_client>,
    op: Option<&bmemc_op>,
    out: Option<&mut MaybeUninit<*mut bmemc_dump>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        let client = handle(client, "client")?;
        let dump = client.client.dump_of(&handle(op, "op")?.operation()?)?;
        *out = Box::into_raw(Box::new(bmemc_dump { dump }));
        Ok(Status::Ok)
    })
}

/// The items that have come, some hundred at most, after waiting for some for up to `timeout_ms`
/// milliseconds if there are none (0: not at all, for event loops; negative: as long as it takes,
/// within option timeout_ms for each piece). BMEMC_OK: `*out` is the caller's, to be freed, and has
/// no items where none came in time. BMEMC_NOT_FOUND: there are no more. Failures are those of
/// bmemc_metadump(), and BMEMC_E_FORKED in the child of a fork; nothing comes after one.
#[no_mangle]
pub extern "C" fn bmemc_dump_next(
    dump: Option<&mut bmemc_dump>,
    timeout_ms: i32,
    out: Option<&mut MaybeUninit<*mut bmemc_results>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        let until = match u64::try_from(timeout_ms) {
            Ok(wait) => Deadline::after(Duration::from_millis(wait)),
            Err(_) => Deadline::at(u64::MAX),
        };
        let (came, over) = dump.ok_or_else(|| null("dump"))?.dump.piece(until)?;
        if came.is_empty() && over {
            return Ok(Status::NotFound);
        }
        *out = results(came.iter().map(|(server, entry)| entry.answer(*server)));
        Ok(Status::Ok)
    })
}

/// Ends a dump, early or not, and closes its connection.
#[no_mangle]
pub extern "C" fn bmemc_dump_free(dump: Option<Box<bmemc_dump>>) {
    quietly((), || drop(dump));
}

/// Takes the value of a BMEMC_OP_METADUMP answer apart, which has a line for each item, of the
/// client's own keys without its key_prefix: items as bmemc_metadump() has them, all of server 0.
/// `*out` is the caller's, to be freed.
#[no_mangle]
pub extern "C" fn bmemc_metadump_items(
    text: bmemc_bytes,
    out: Option<&mut MaybeUninit<*mut bmemc_results>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let out = place(out, "out")?;
        let lines = text.slice("text")?.split(|byte| *byte == b'\n');
        let entries: Vec<_> = lines.filter_map(DumpEntry::parse).collect();
        *out = results(entries.iter().map(|entry| entry.answer(0)));
        Ok(Status::Ok)
    })
}

/// Runs a meta command: `command` is "mg", "ms", "md", "ma", "me" or "mn", `flags` are its flags as
/// they are written, separated by spaces; "ms" stores `value`. O and q are the library's and are
/// refused. In the item: `value` (with flag v; of "me" the line), `flags` (f), `cas` (c), `ttl`
/// (t), `size` (s), `last_access` (l), `fetched` (h), `key` (k), and the bits of W, X and Z.
/// HD and VA are BMEMC_OK, EN and NF BMEMC_NOT_FOUND, NS BMEMC_NOT_STORED, EX BMEMC_EXISTS. On
/// BMEMC_OK `*answer` is the caller's, to be freed. BMEMC_E_UNSUPPORTED: another protocol is
/// spoken.
#[no_mangle]
pub extern "C" fn bmemc_meta(
    client: Option<&bmemc_client>,
    command: bmemc_bytes,
    key: bmemc_bytes,
    flags: bmemc_bytes,
    value: bmemc_bytes,
    answer: Option<&mut MaybeUninit<*mut bmemc_value>>,
    error: Option<&mut MaybeUninit<bmemc_error>>,
) -> bmemc_status {
    guard(error, || {
        let answer = place(answer, "answer")?;
        let client = handle(client, "client")?;
        let meta_flags = joined(command.slice("command")?, flags.slice("flags")?)?;
        let (key, value) = (key.slice("key")?, value.slice("value")?);
        one(&client.client, Operation { value, meta_flags: &meta_flags, ..Operation::new(Command::Meta, key) }, answer)
    })
}

/// A meta command as `meta_flags` has it.
fn joined(command: &[u8], flags: &[u8]) -> Result<Vec<u8>> {
    if command.len() != 2 {
        let shown = command[..command.len().min(20)].escape_ascii();
        return Err(refused(format!("command is \"{shown}\"; it is mg, ms, md, ma, me or mn")));
    }
    Ok([command, b" ", flags].concat())
}
