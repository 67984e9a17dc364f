//! The binary protocol: frames in, frames out. A quiet request is answered only when there is something to tell: a hit,
//! or a failure. What memcached 1.6.18 does with a malformed request is done here, but for one thing: the body of an
//! unknown command is skipped whole.

use super::connection::{Core, Pending, Reply, Step};
use super::items::Id;
use super::stats::{self, Pairs};
use super::store::{Counted, Mode, NoRoom, Outcome, Write};
use super::text::KEY_MAX;

/// The first byte of a request.
pub const REQUEST: u8 = 0x80;
const RESPONSE: u8 = 0x81;
const HEADER: usize = 24;

/// A larger body ends the connection at once.
const BODY_MAX: usize = 1 << 30;

/// The opcodes. A quiet one means what its loud one does.
pub mod op {
    pub const GET: u8 = 0x00;
    pub const SET: u8 = 0x01;
    pub const ADD: u8 = 0x02;
    pub const REPLACE: u8 = 0x03;
    pub const DELETE: u8 = 0x04;
    pub const INCREMENT: u8 = 0x05;
    pub const DECREMENT: u8 = 0x06;
    pub const QUIT: u8 = 0x07;
    pub const FLUSH: u8 = 0x08;
    pub const GETQ: u8 = 0x09;
    pub const NOOP: u8 = 0x0a;
    pub const VERSION: u8 = 0x0b;
    pub const GETK: u8 = 0x0c;
    pub const GETKQ: u8 = 0x0d;
    pub const APPEND: u8 = 0x0e;
    pub const PREPEND: u8 = 0x0f;
    pub const STAT: u8 = 0x10;
    pub const SETQ: u8 = 0x11;
    pub const APPENDQ: u8 = 0x19;
    pub const PREPENDQ: u8 = 0x1a;
    pub const TOUCH: u8 = 0x1c;
    pub const GAT: u8 = 0x1d;
    pub const GATQ: u8 = 0x1e;
    pub const SASL_LIST: u8 = 0x20;
    pub const SASL_AUTH: u8 = 0x21;
    pub const SASL_STEP: u8 = 0x22;
    pub const GATK: u8 = 0x23;
    pub const GATKQ: u8 = 0x24;
}

/// A failure: its number, and its words where they are always the same.
#[derive(Clone, Copy)]
struct Refusal(u16, &'static str);

const NOT_FOUND: Refusal = Refusal(0x01, "Not found");
const EXISTS: Refusal = Refusal(0x02, "Data exists for key.");
const TOO_BIG: Refusal = Refusal(0x03, "Too large.");
const INVALID: Refusal = Refusal(0x04, "Invalid arguments");
const NOT_STORED: Refusal = Refusal(0x05, "Not stored.");
const BAD_DELTA: Refusal = Refusal(0x06, "Non-numeric server-side value for incr or decr");
const AUTH_ERROR: Refusal = Refusal(0x20, "Auth failure.");
const AUTH_CONTINUE: u16 = 0x21;
const INTERNAL_ERROR: u16 = 0x84;
const UNKNOWN: Refusal = Refusal(0x81, "Unknown command");
const NO_MEMORY: Refusal = Refusal(0x82, "Out of memory allocating item");

/// What of a request its reply needs, and its lengths.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    opcode: u8,
    key: usize,
    extras: usize,
    body: usize,
    opaque: [u8; 4],
    cas: u64,
}

/// A request without its value.
pub struct Request<'a> {
    header: Header,
    extras: &'a [u8],
    key: &'a [u8],
}

/// What the input begins with.
pub enum Frame<'a> {
    /// Less than a request up to its value.
    Short,
    /// No request: another magic.
    NoRequest,
    Request(Request<'a>),
}

impl Request<'_> {
    /// How many bytes it takes, its value not among them.
    pub fn size(&self) -> usize {
        HEADER + self.header.extras + self.header.key
    }

    pub fn header(&self) -> Header {
        self.header
    }

    pub fn opcode(&self) -> u8 {
        self.header.opcode
    }

    pub fn key(&self) -> &[u8] {
        self.key
    }

    pub fn value_len(&self) -> usize {
        self.header.value()
    }

    /// Whether it is about a login.
    pub fn is_login(&self) -> bool {
        matches!(self.header.opcode, op::SASL_LIST..=op::SASL_STEP)
    }

    /// The same in the text protocol, or the nearest to it.
    pub fn name(&self) -> &'static str {
        match self.header.loud() {
            op::GET | op::GETK => "get",
            op::SET => "set",
            op::ADD => "add",
            op::REPLACE => "replace",
            op::DELETE => "delete",
            op::INCREMENT => "incr",
            op::DECREMENT => "decr",
            op::QUIT => "quit",
            op::FLUSH => "flush_all",
            op::NOOP => "mn",
            op::VERSION => "version",
            op::APPEND => "append",
            op::PREPEND => "prepend",
            op::STAT => "stats",
            op::TOUCH => "touch",
            op::GAT | op::GATK => "gat",
            op::SASL_LIST..=op::SASL_STEP => "sasl",
            _ => "",
        }
    }

    /// A success with a value.
    pub fn answer(&self, value: &[u8], out: &mut Vec<u8>) -> Step {
        self.header.done(0, value, out)
    }

    /// A challenge of a login.
    pub fn challenge(&self, value: &[u8], out: &mut Vec<u8>) -> Step {
        self.header.reply(AUTH_CONTINUE, 0, [&[], &[], value], out);
        Step::Next
    }

    pub fn refuse_login(&self, out: &mut Vec<u8>) -> Step {
        self.header.refuse(AUTH_ERROR, out)
    }

    /// Four bytes of the extras.
    fn extra_u32(&self, place: usize) -> u32 {
        let bytes = self.extras.get(place..place + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_be_bytes)
    }

    fn extra_u64(&self, place: usize) -> u64 {
        u64::from(self.extra_u32(place)) << 32 | u64::from(self.extra_u32(place + 4))
    }
}

/// Reads the head of the input.
pub fn frame(input: &[u8]) -> Frame<'_> {
    let Some(bytes) = input.first_chunk::<HEADER>() else { return Frame::Short };
    if bytes[0] != REQUEST {
        return Frame::NoRequest;
    }
    let header = Header {
        opcode: bytes[1],
        key: usize::from(u16::from_be_bytes([bytes[2], bytes[3]])),
        extras: usize::from(bytes[4]),
        body: u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize,
        opaque: [bytes[12], bytes[13], bytes[14], bytes[15]],
        cas: u64::from_be_bytes([
            bytes[16], bytes[17], bytes[18], bytes[19], bytes[20], bytes[21], bytes[22], bytes[23],
        ]),
    };
    let key = HEADER + header.extras;
    match (input.get(HEADER..key), input.get(key..key + header.key)) {
        (Some(extras), Some(key)) => Frame::Request(Request { header, extras, key }),
        _ => Frame::Short,
    }
}

impl Header {
    /// The opcode that does the same aloud.
    fn loud(&self) -> u8 {
        match self.opcode {
            op::GETQ => op::GET,
            op::GETKQ => op::GETK,
            quiet @ op::SETQ..=0x18 => quiet - op::SETQ + op::SET,
            op::APPENDQ => op::APPEND,
            op::PREPENDQ => op::PREPEND,
            op::GATQ => op::GAT,
            op::GATKQ => op::GATK,
            loud => loud,
        }
    }

    fn quiet(&self) -> bool {
        self.loud() != self.opcode
    }

    /// What is left of the body after extras and key.
    fn value(&self) -> usize {
        self.body.saturating_sub(self.extras + self.key)
    }

    fn reply(&self, status: u16, cas: u64, parts: [&[u8]; 3], out: &mut Vec<u8>) {
        let [extras, key, value] = parts;
        let body = (extras.len() + key.len() + value.len()) as u32;
        out.extend_from_slice(&[RESPONSE, self.opcode]);
        out.extend_from_slice(&(key.len() as u16).to_be_bytes());
        out.extend_from_slice(&[extras.len() as u8, 0]);
        out.extend_from_slice(&status.to_be_bytes());
        out.extend_from_slice(&body.to_be_bytes());
        out.extend_from_slice(&self.opaque);
        out.extend_from_slice(&cas.to_be_bytes());
        out.extend_from_slice(extras);
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }

    /// A failure of the server's own, in these words.
    pub fn fail(&self, words: &str, out: &mut Vec<u8>) {
        self.reply(INTERNAL_ERROR, 0, [&[], &[], words.as_bytes()], out);
    }

    /// A success with nothing but a value; a quiet request does not hear of it.
    fn done(&self, cas: u64, value: &[u8], out: &mut Vec<u8>) -> Step {
        if !self.quiet() {
            self.reply(0, cas, [&[], &[], value], out);
        }
        Step::Next
    }

    /// A failure; a quiet request hears of it too.
    fn refuse(&self, why: Refusal, out: &mut Vec<u8>) -> Step {
        self.reply(why.0, 0, [&[], &[], why.1.as_bytes()], out);
        Step::Next
    }

    /// The request is malformed, and what follows cannot be trusted.
    fn refuse_and_finish(&self, why: Refusal, out: &mut Vec<u8>) -> Step {
        self.refuse(why, out);
        Step::Finish
    }
}

/// Executes a request. Its value, if it has one, is still to come.
pub fn command(request: &Request, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let header = &request.header;
    core.log(2, format_args!("< opcode {:#04x} key {}", header.opcode, request.key.escape_ascii()));
    if header.extras + header.key > header.body {
        return header.refuse_and_finish(UNKNOWN, out);
    }
    if header.key > KEY_MAX || header.body > BODY_MAX || !is_well_formed(header) {
        return header.refuse_and_finish(INVALID, out);
    }
    match header.loud() {
        op::GET | op::GETK => {
            let found = core.store.get(request.key);
            answer_get(request, found, core, out)
        }
        op::TOUCH | op::GAT | op::GATK => {
            let expires = core.store.expiry(i64::from(request.extra_u32(0)));
            let found = core.store.touch(request.key, expires);
            answer_get(request, found, core, out)
        }
        op::SET => update(Mode::Set, request, core, out),
        op::ADD => update(Mode::Add, request, core, out),
        op::REPLACE => update(Mode::Replace, request, core, out),
        op::APPEND => update(Mode::Append, request, core, out),
        op::PREPEND => update(Mode::Prepend, request, core, out),
        op::DELETE => delete(request, core, out),
        op::INCREMENT => count(true, request, core, out),
        op::DECREMENT => count(false, request, core, out),
        op::FLUSH => flush(request, core, out),
        op::NOOP => header.done(0, &[], out),
        op::VERSION => header.done(0, core.config.version.as_bytes(), out),
        op::STAT => stat(request, core, out),
        op::QUIT => {
            header.done(0, &[], out);
            Step::Finish
        }
        _ => {
            header.refuse(UNKNOWN, out);
            Step::Swallow(header.value() as u64)
        }
    }
}

/// Whether the lengths are those that the command has.
fn is_well_formed(header: &Header) -> bool {
    let (has_key, has_value) = (header.key > 0, header.value() > 0);
    match header.loud() {
        op::GET | op::GETK | op::DELETE => header.extras == 0 && has_key && !has_value,
        op::SET | op::ADD | op::REPLACE => header.extras == 8 && has_key,
        op::APPEND | op::PREPEND => header.extras == 0 && has_key,
        op::INCREMENT | op::DECREMENT => header.extras == 20 && has_key && !has_value,
        op::TOUCH | op::GAT | op::GATK => header.extras == 4 && has_key && !has_value,
        op::FLUSH => matches!(header.extras, 0 | 4) && !has_key && !has_value,
        op::NOOP | op::VERSION | op::QUIT | op::SASL_LIST => header.body == 0,
        op::SASL_AUTH | op::SASL_STEP => header.extras == 0 && has_key,
        op::STAT => header.extras == 0 && !has_value,
        _ => true,
    }
}

fn answer_get(request: &Request, found: Option<Id>, core: &Core, out: &mut Vec<u8>) -> Step {
    let header = &request.header;
    let loud = header.loud();
    let with_key = matches!(loud, op::GETK | op::GATK);
    let key = if with_key { request.key } else { &[] };
    match found {
        Some(id) => {
            let item = core.store.items.get(id);
            let value = if loud == op::TOUCH { &[] } else { &item.value[..] };
            header.reply(0, item.cas, [&item.flags.to_be_bytes(), key, value], out);
        }
        None if header.quiet() => {}
        // The key tells which miss it is, in place of words.
        None if with_key => header.reply(NOT_FOUND.0, 0, [&[], key, &[]], out),
        None => return header.refuse(NOT_FOUND, out),
    }
    Step::Next
}

fn update(mode: Mode, request: &Request, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let header = request.header;
    let length = header.value();
    let joins = matches!(mode, Mode::Append | Mode::Prepend);
    let flags = request.extra_u32(0);
    let expires = core.store.expiry(i64::from(request.extra_u32(4)));
    if let Err(why) = core.store.check_room(request.key.len(), flags, length) {
        if mode == Mode::Set {
            core.store.forget(request.key);
        }
        header.refuse(if why == NoRoom::TooLarge { TOO_BIG } else { NO_MEMORY }, out);
        return Step::Swallow(length as u64);
    }
    // Items without a cas cannot be compared, and nothing is.
    let compare = if core.config.cas { header.cas } else { 0 };
    let mode = if compare != 0 && !joins { Mode::Cas } else { mode };
    let write = Write {
        mode,
        key: request.key.to_vec(),
        value: Vec::new(),
        flags,
        expires,
        compare,
        new_cas: None,
        invalidate: false,
        vivify: false,
        key_binary: false,
    };
    Step::Value(Pending { write, length, reply: Reply::Binary(header) })
}

/// Stores a value that has arrived.
pub fn complete(write: Write, header: Header, core: &mut Core, out: &mut Vec<u8>) {
    core.counters().cmd_set += 1;
    let mode = write.mode;
    let why = match core.store.write(write) {
        Outcome::Stored(cas, _) => {
            header.done(cas, &[], out);
            return;
        }
        Outcome::NoMemory => NO_MEMORY,
        Outcome::Exists => EXISTS,
        Outcome::NotFound => NOT_FOUND,
        Outcome::NotStored => match mode {
            Mode::Add => EXISTS,
            Mode::Replace => NOT_FOUND,
            _ => NOT_STORED,
        },
    };
    header.refuse(why, out);
}

fn delete(request: &Request, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let header = &request.header;
    match core.store.delete(request.key, header.cas) {
        Ok(true) => header.done(0, &[], out),
        Ok(false) => header.refuse(NOT_FOUND, out),
        Err(()) => header.refuse(EXISTS, out),
    }
}

/// Extras: the delta, the initial value, and the expiration time; all ones in the last do not create the counter.
fn count(up: bool, request: &Request, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let header = &request.header;
    let (delta, initial, exptime) = (request.extra_u64(0), request.extra_u64(8), request.extra_u32(16));
    match core.store.count(request.key, up, delta, header.cas, None) {
        Counted::Value(id, value) => header.done(core.store.items.get(id).cas, &value.to_be_bytes(), out),
        Counted::NonNumeric => header.refuse(BAD_DELTA, out),
        Counted::Exists => header.refuse(EXISTS, out),
        Counted::NoMemory => header.refuse(Refusal(NO_MEMORY.0, "Out of memory incrementing value"), out),
        Counted::NotFound if exptime == u32::MAX => {
            core.store.count_missed(up);
            header.refuse(NOT_FOUND, out)
        }
        Counted::NotFound => start_counter(request, initial, exptime, core, out),
    }
}

fn start_counter(request: &Request, initial: u64, exptime: u32, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let header = &request.header;
    let write = Write {
        mode: Mode::Add,
        key: request.key.to_vec(),
        value: initial.to_string().into_bytes(),
        flags: 0,
        expires: core.store.expiry(i64::from(exptime)),
        compare: 0,
        new_cas: None,
        invalidate: false,
        vivify: false,
        key_binary: false,
    };
    match core.store.write(write) {
        Outcome::Stored(cas, _) => header.done(cas, &initial.to_be_bytes(), out),
        _ => header.refuse(Refusal(NO_MEMORY.0, "Out of memory allocating new item"), out),
    }
}

fn flush(request: &Request, core: &mut Core, out: &mut Vec<u8>) -> Step {
    if !core.config.flush {
        return request.header.refuse(AUTH_ERROR, out);
    }
    core.store.flush(i64::from(request.extra_u32(0)));
    request.header.done(0, &[], out)
}

/// One frame for each pair, and an empty one. memcached compares only the beginning of `reset` and `settings`.
fn stat(request: &Request, core: &mut Core, out: &mut Vec<u8>) -> Step {
    let header = &request.header;
    let pairs = match request.key {
        b"" => stats::general(core),
        key if key.starts_with(b"settings") => stats::settings(core),
        key if key.starts_with(b"reset") => {
            stats::reset(core);
            Pairs::new()
        }
        b"items" => stats::items(core),
        b"slabs" => stats::slabs(core),
        b"sizes" => vec![("sizes_status".into(), "disabled".into())],
        _ => return header.refuse(NOT_FOUND, out),
    };
    for (name, value) in &pairs {
        header.reply(0, 0, [&[], name.as_bytes(), value.as_bytes()], out);
    }
    header.reply(0, 0, [&[]; 3], out);
    Step::Next
}
