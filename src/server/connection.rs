//! One connection without its socket: bytes in, commands executed, bytes out. It decides which protocol is spoken, cuts
//! the stream into requests and values, and bounds what a client can make the server hold; the protocols' own files
//! know the commands.

use super::auth::Session;
use super::config::{Auth, Config, Protocol};
use super::control::Control;
use super::fault::{Fault, Harm, GARBAGE};
use super::stats::Counters;
use super::store::{Limits, Store, Write};
use super::{binary, clock::Clock, meta, text};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

/// A line may be this long, unless it is a `get`.
const LINE_MAX: usize = 2048;

/// memcached does not bound a `get`; here this is the end.
const GET_LINE_MAX: usize = 16 << 20;

/// With more than this to send, a connection neither reads nor executes.
pub const OUTPUT_HIGH: usize = 4 << 20;

/// An idle connection keeps no buffer larger than this.
const BUFFER_KEPT: usize = 256 << 10;

/// How much of a value gets memory before it arrives.
const VALUE_AHEAD: usize = 64 << 10;

/// What all connections share.
pub struct Core {
    pub config: Config,
    pub control: Arc<Control>,
    pub fault: Option<Fault>,
    pub store: Store,
    pub clock: Arc<Clock>,
    pub started: i64,
    pub port: u16,
    pub open_connections: usize,
    /// The `shutdown` command was given.
    pub stopping: bool,
}

impl Core {
    pub fn new(config: Config, control: Arc<Control>, clock: Arc<Clock>, port: u16) -> Core {
        let limits =
            Limits { item_max: config.item_max, memory: config.memory_limit, evict: config.evict, cas: config.cas };
        let started = clock.now();
        let store = Store::new(limits, started);
        Core { config, control, fault: None, store, clock, started, port, open_connections: 0, stopping: false }
    }

    /// Makes the changes that the handle has asked for.
    pub fn refresh(&mut self) {
        self.control.apply(&mut self.config, &mut self.fault);
    }

    /// Writes a line on stderr, if so much was asked for.
    pub fn log(&self, level: u32, line: std::fmt::Arguments) {
        if self.config.verbose >= level {
            // Nobody may be reading; that is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    pub fn counters(&mut self) -> &mut Counters {
        &mut self.store.counters
    }
}

/// What follows after a command.
pub enum Step {
    /// The next command.
    Next,
    /// Its value.
    Value(Pending),
    /// A value that is refused.
    Swallow(u64),
    /// The value of a login.
    Login(usize),
    /// More of its answer, once some of it is sent.
    Fetch(text::Fetch),
    /// The end of the connection, without the replies that are not sent yet.
    Drop,
    /// The end of the connection, after the replies.
    Finish,
}

/// A value that is being received.
pub struct Pending {
    pub write: Write,
    /// How long it is to be.
    pub length: usize,
    pub reply: Reply,
}

/// How to answer when the value is there.
pub enum Reply {
    Text { quiet: bool },
    Meta(meta::SetReply),
    Binary(binary::Header),
}

impl Wrong {
    /// A command begins: whether it meets a fault.
    fn tempt(&mut self, core: &mut Core, name: &[u8], frame: Option<binary::Header>) {
        let Some(fault) = core.fault.as_mut() else {
            self.harm = None;
            return;
        };
        self.harm = fault.hits(&String::from_utf8_lossy(name)).then(|| fault.harm.clone());
        (self.done, self.frame) = (false, frame);
    }
}

enum State {
    Command,
    Value(Pending),
    Swallow(u64),
    Login(usize),
    Fetch(text::Fetch),
    /// Reads on and answers nothing.
    Stalled,
    /// To be closed when all is sent.
    Finished,
    /// To be closed now.
    Dropped,
}

pub struct Connection {
    protocol: Protocol,
    session: Session,
    state: State,
    input: Input,
    output: Vec<u8>,
    sent: usize,
    wrong: Wrong,
}

/// What a fault does to the command that is being executed.
#[derive(Default)]
struct Wrong {
    harm: Option<Harm>,
    /// Its replies have been replaced; there are no more.
    done: bool,
    /// The command, where it is a binary one.
    frame: Option<binary::Header>,
    /// Replies that wait, and for when.
    held: Vec<u8>,
    due: Option<Instant>,
}

impl Connection {
    pub fn new(protocol: Protocol) -> Connection {
        Connection {
            protocol,
            session: Session::new(),
            state: State::Command,
            input: Input::default(),
            output: Vec::new(),
            sent: 0,
            wrong: Wrong::default(),
        }
    }

    /// Takes what has arrived. Nothing is executed before `run`.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.bytes.extend_from_slice(bytes);
    }

    /// The client sends no more: what is left over is half a request.
    pub fn end(&mut self) {
        if !matches!(self.state, State::Dropped) {
            self.state = State::Finished;
        }
    }

    /// Executes what has arrived, until it is short of input or has much to send.
    pub fn run(&mut self, core: &mut Core) {
        core.refresh();
        self.release();
        loop {
            let before = self.output.len();
            let went_on = self.may_go_on() && self.step(core);
            self.harm(before);
            if !went_on {
                break;
            }
        }
        self.input.compact();
    }

    /// When replies that wait are due.
    pub fn due(&self) -> Option<Instant> {
        self.wrong.due
    }

    /// Sends replies that were due.
    fn release(&mut self) {
        if self.wrong.due.is_some_and(|due| due <= Instant::now()) {
            self.wrong.due = None;
            self.output.append(&mut self.wrong.held);
        }
    }

    /// Does to the replies behind `before` what the fault of their command says.
    fn harm(&mut self, before: usize) {
        let Some(harm) = &self.wrong.harm else { return };
        if self.output.len() <= before {
            return;
        }
        if let Harm::Delay(time) = harm {
            self.wrong.held = self.output.split_off(before);
            self.wrong.due = Some(Instant::now() + *time);
            return;
        }
        self.output.truncate(before);
        if std::mem::replace(&mut self.wrong.done, true) {
            return;
        }
        match harm {
            Harm::Delay(_) => {}
            Harm::Close => self.state = State::Finished,
            Harm::Stall => self.state = State::Stalled,
            Harm::Garbage => self.output.extend_from_slice(GARBAGE),
            Harm::Error(line) => match &self.wrong.frame {
                Some(header) => header.fail(line, &mut self.output),
                None => drop(text::say(&mut self.output, false, line)),
            },
        }
    }

    /// Whether it could execute or take more, as far as its output goes.
    pub fn may_go_on(&self) -> bool {
        match self.state {
            State::Finished | State::Dropped => false,
            _ if self.wrong.due.is_some() => false,
            // Its reply waits for the end of the value, as memcached's does; so it must come to that end.
            State::Swallow(_) => true,
            // What is sent already counts until all is: so much memory at most, and no moving about within it.
            _ => self.output.len() < OUTPUT_HIGH,
        }
    }

    /// Whether it has work left that needs no input: it stopped because of its output.
    pub fn is_stalled(&self) -> bool {
        let held = self.wrong.due.is_some();
        let stopped = !self.may_go_on() && !self.is_over() && !self.input.rest().is_empty();
        !held && (matches!(self.state, State::Fetch(_)) || stopped)
    }

    /// Whether no more input is wanted, for good.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Finished | State::Dropped)
    }

    /// What is to be sent.
    pub fn output(&self) -> &[u8] {
        match self.state {
            State::Swallow(_) | State::Dropped => &[],
            _ => self.output.get(self.sent..).unwrap_or_default(),
        }
    }

    /// So much of it was sent.
    pub fn sent(&mut self, count: usize) {
        self.sent += count;
        if self.sent >= self.output.len() {
            self.sent = 0;
            clear(&mut self.output);
        }
    }

    /// One command, or one piece of one; false if there is not enough input.
    fn step(&mut self, core: &mut Core) -> bool {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Command => self.read_command(core),
            State::Value(pending) => self.read_value(pending, core),
            State::Login(length) => self.read_login(length, core),
            State::Stalled => {
                self.state = State::Stalled;
                let count = self.input.rest().len();
                self.input.consume(count);
                false
            }
            State::Swallow(left) => {
                let count = self.input.rest().len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.input.consume(count);
                self.swallow(left - count as u64)
            }
            State::Fetch(fetch) => {
                let step = text::fetch(fetch, core, &mut self.output);
                self.apply(step)
            }
            over @ (State::Finished | State::Dropped) => {
                self.state = over;
                false
            }
        }
    }

    fn apply(&mut self, step: Step) -> bool {
        match step {
            Step::Next => return true,
            Step::Value(mut pending) => {
                pending.write.value.reserve(pending.length.min(VALUE_AHEAD) + 2);
                self.state = State::Value(pending);
            }
            Step::Swallow(count) => return self.swallow(count),
            Step::Login(length) => self.state = State::Login(length),
            Step::Fetch(fetch) => self.state = State::Fetch(fetch),
            Step::Drop => self.state = State::Dropped,
            Step::Finish => self.state = State::Finished,
        }
        true
    }

    fn swallow(&mut self, left: u64) -> bool {
        if left > 0 {
            self.state = State::Swallow(left);
        }
        left == 0 || !self.input.rest().is_empty()
    }

    fn read_command(&mut self, core: &mut Core) -> bool {
        let Some(first) = self.input.rest().first() else { return false };
        if self.protocol == Protocol::Auto {
            self.protocol = match core.config.auth {
                Auth::Sasl => Protocol::Binary,
                Auth::None if *first == binary::REQUEST => Protocol::Binary,
                _ => Protocol::Ascii,
            };
        }
        match self.protocol {
            Protocol::Binary => self.read_frame(core),
            _ => self.read_line(core),
        }
    }

    fn read_line(&mut self, core: &mut Core) -> bool {
        let rest = self.input.rest();
        let Some(end) = self.input.find_newline() else {
            let limit = if is_get(rest) { GET_LINE_MAX } else { LINE_MAX };
            if rest.len() > limit {
                self.state = State::Dropped;
            }
            return false;
        };
        let line = rest.get(..end).unwrap_or_default();
        // An empty line keeps its CR in memcached, and is no command either way.
        let line = if end > 1 { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
        self.wrong.tempt(core, line.split(|byte| *byte == b' ').next().unwrap_or_default(), None);
        let step = match core.config.auth {
            Auth::Ascii | Auth::Memcachier if !self.session.admitted => self.session.line(line, &mut self.output),
            _ => text::command(line, core, &mut self.output),
        };
        self.input.consume(end + 1);
        self.apply(step)
    }

    fn read_login(&mut self, length: usize, core: &mut Core) -> bool {
        let Some(value) = self.input.rest().get(..length + 2) else {
            self.state = State::Login(length);
            return false;
        };
        let step = self.session.value(value, core, &mut self.output);
        self.input.consume(length + 2);
        self.apply(step)
    }

    fn read_frame(&mut self, core: &mut Core) -> bool {
        let (used, step) = match binary::frame(self.input.rest()) {
            binary::Frame::Short => return false,
            binary::Frame::NoRequest => (0, Step::Drop),
            binary::Frame::Request(request) => {
                self.wrong.tempt(core, request.name().as_bytes(), Some(request.header()));
                let login = core.config.auth == Auth::Sasl && (request.is_login() || !self.session.admitted);
                match login {
                    true => match self.session.frame(&request, self.input.rest(), core, &mut self.output) {
                        Some(done) => done,
                        None => return false,
                    },
                    false => (request.size(), binary::command(&request, core, &mut self.output)),
                }
            }
        };
        self.input.consume(used);
        self.apply(step)
    }

    fn read_value(&mut self, mut pending: Pending, core: &mut Core) -> bool {
        let ending = if matches!(pending.reply, Reply::Binary(_)) { 0 } else { 2 };
        let value = &mut pending.write.value;
        let missing = pending.length + ending - value.len();
        let rest = self.input.rest();
        let arrived = rest.get(..missing).unwrap_or(rest);
        value.extend_from_slice(arrived);
        let count = arrived.len();
        self.input.consume(count);
        if count < missing {
            self.state = State::Value(pending);
            return false;
        }
        let whole = ending == 0 || value.ends_with(b"\r\n");
        value.truncate(pending.length);
        let (write, out) = (pending.write, &mut self.output);
        match pending.reply {
            Reply::Text { quiet } => text::complete(write, quiet, whole, core, out),
            Reply::Meta(reply) => meta::complete(write, reply, whole, core, out),
            Reply::Binary(header) => binary::complete(write, header, core, out),
        }
        true
    }
}

/// Whether a line that has no end yet may be a long `get`.
fn is_get(line: &[u8]) -> bool {
    let spaces = line.iter().take_while(|byte| **byte == b' ').count();
    let line = line.get(spaces..).unwrap_or_default();
    spaces <= 100 && (line.starts_with(b"get ") || line.starts_with(b"gets "))
}

fn clear(buffer: &mut Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > BUFFER_KEPT {
        *buffer = Vec::new();
    }
}

/// Bytes that have arrived; those before `start` are used up.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    start: usize,
    /// Up to here there is no newline.
    searched: std::cell::Cell<usize>,
}

impl Input {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        self.searched.set(self.start);
    }

    /// Where the first newline is in `rest`. What was searched in vain is not searched again.
    fn find_newline(&self) -> Option<usize> {
        let from = self.searched.get().max(self.start);
        let found = self.bytes.get(from..).unwrap_or_default().iter().position(|byte| *byte == b'\n');
        self.searched.set(found.map_or(self.bytes.len(), |place| from + place));
        found.map(|place| from + place - self.start)
    }

    fn compact(&mut self) {
        if self.start >= self.bytes.len() {
            clear(&mut self.bytes);
        } else if self.start > 0 {
            self.bytes.drain(..self.start);
        }
        self.searched.set(self.searched.get().saturating_sub(self.start).min(self.bytes.len()));
        self.start = 0;
    }
}
