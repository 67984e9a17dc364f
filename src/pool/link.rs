//! Link: what the callers of one connection share under its lock: who writes, who reads, what is open and what is in
//! flight. And how a link comes to be: connect, and learn what the server speaks.

use super::call::Call;
use super::Shared;
use crate::connection::{Batch, Broken, Reader};
use crate::error::{bits, Error, Result, Status};
use crate::net::{clock, Deadline, Socket, SocketSettings, Wait};
use crate::protocol::{Dialect, ProtocolChoice};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Words that callers sleep on; the batch with number `n` has word `n % WORDS`.
pub(super) const WORDS: usize = 64;

/// Below this round trip, few batches in flight make larger ones; above the second, waiting for one would cost a round
/// trip more.
const SHORT_ROUND_TRIP: u64 = 50_000;
const LONG_ROUND_TRIP: u64 = 200_000;

/// How many emptied batches a link keeps.
const SPARES: usize = 3;

/// Who awaits the answers of some operations.
#[derive(Debug)]
pub(super) enum Owner {
    /// The caller that reads: answers go straight to its sink.
    Own,
    /// A caller that sleeps, or reads for others too.
    Shared(Arc<Call>),
    /// Nobody any more.
    Gone,
}

/// The right to read from a link: whoever has the box has it.
pub(super) struct Role {
    pub reader: Reader<Owner>,
    pub socket: Arc<Socket>,
    /// When bytes came last.
    pub received_at: u64,
}

/// See the module.
pub(super) struct Link {
    pub socket: Arc<Socket>,
    /// The right to read, while nobody has it.
    pub role: Option<Box<Role>>,
    /// Somebody sends, or is about to.
    pub writing: bool,
    /// Operations that wait to be sent together.
    pub open: Box<Batch<Owner>>,
    /// Batches that are being sent and that the reader has not taken over yet.
    pub sealed: VecDeque<Box<Batch<Owner>>>,
    /// Memory for the next batches, boxed as they are passed around.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Batch<Owner>>>,
    pub in_flight: u32,
    pub dialect: Dialect,
    pub generation: u64,
    pub opaque: u32,
    /// Why whoever reads is to give the link up.
    pub doomed: Option<Broken>,
    /// Smoothed minimum of the round trip, in nanoseconds.
    pub round_trip: u64,
    /// When it was opened: a call that began before has waited for that.
    pub opened_at: u64,
    pub last_used: u64,
    /// When a batch was last sent while none was in flight.
    pub sent_at: u64,
    /// Replies in flight that nobody awaits any more.
    pub gone: u32,
}

impl Link {
    /// Whether nothing at all goes on: a caller may take both roles and be alone.
    pub fn is_free(&self) -> bool {
        self.role.is_some() && !self.writing && self.in_flight == 0 && self.open.is_empty()
    }

    /// Whether one more batch may be in flight.
    pub fn is_window_open(&self) -> bool {
        let window = match self.round_trip {
            ..SHORT_ROUND_TRIP => 2,
            SHORT_ROUND_TRIP..LONG_ROUND_TRIP => 4,
            _ => WORDS as u32 / 2,
        };
        self.in_flight < window
    }

    /// Takes in a measured round trip: a shorter one at once, a longer one little by little.
    pub fn measured(&mut self, round_trip: u64) {
        self.round_trip = round_trip.min(self.round_trip + self.round_trip / 8);
    }

    /// An empty batch with this number.
    pub fn fresh_batch(&mut self, sequence: u64) -> Box<Batch<Owner>> {
        let mut batch = self.spare.pop().unwrap_or_default();
        batch.sequence = sequence;
        batch
    }

    /// Keeps the memory of an answered batch for the next one.
    pub fn keep_batch(&mut self, batch: Box<Batch<Owner>>) {
        if self.spare.len() < SPARES {
            self.spare.push(batch);
        }
    }

    /// Counts so many batches as answered.
    pub fn end_flight(&mut self, ended: u32) {
        self.in_flight = self.in_flight.saturating_sub(ended);
        if self.in_flight == 0 {
            self.gone = 0;
        }
    }

    /// Counts one more batch as in flight, from `now` on.
    pub fn begin_flight(&mut self, now: u64) {
        if self.in_flight == 0 {
            self.sent_at = now;
        }
        self.in_flight += 1;
    }
}

/// Opens a link within `deadline`.
pub(super) fn open(shared: &Shared, generation: u64, sequence: u64, deadline: Deadline) -> Result<Link> {
    let (socket, dialect, round_trip) = connect(shared, deadline)?;
    let socket = Arc::new(socket);
    let reader = Reader::new(usize::try_from(shared.settings.max_value_bytes).unwrap_or(usize::MAX));
    let now = clock::now_coarse();
    let mut open = Box::<Batch<Owner>>::default();
    open.sequence = sequence;
    let role = Role { reader, socket: socket.clone(), received_at: now };
    Ok(Link {
        socket,
        role: Some(Box::new(role)),
        writing: false,
        open,
        sealed: VecDeque::new(),
        spare: Vec::new(),
        in_flight: 0,
        dialect,
        generation,
        opaque: 0,
        doomed: None,
        round_trip,
        opened_at: now,
        last_used: now,
        sent_at: now,
        gone: 0,
    })
}

fn connect(shared: &Shared, deadline: Deadline) -> Result<(Socket, Dialect, u64)> {
    let receive_timeout = Duration::from_millis(shared.settings.timeout_ms.into());
    let settings = SocketSettings { no_delay: shared.settings.no_delay, receive_timeout };
    let begun = clock::now();
    let socket = Socket::connect(&shared.address, &settings, deadline)?;
    // The kernel's handshake is a round trip; the first measured one replaces it.
    let round_trip = clock::now() - begun;
    match (shared.settings.protocol, shared.learned()) {
        (ProtocolChoice::Text, _) => Ok((socket, Dialect::Text, round_trip)),
        (ProtocolChoice::Meta, _) => Ok((socket, Dialect::Meta, round_trip)),
        (ProtocolChoice::Binary, _) => Ok((socket, Dialect::Binary, round_trip)),
        (ProtocolChoice::Auto, Some(dialect)) => Ok((socket, dialect, round_trip)),
        (ProtocolChoice::Auto, None) => learn(shared, socket, &settings, deadline, round_trip),
    }
}

/// Finds out what the server speaks, on a connection without traffic: `version`, which every server and proxy answers,
/// then `mn`. One that does not know `mn`, or hangs up on it, gets the classic text protocol.
fn learn(
    shared: &Shared,
    socket: Socket,
    settings: &SocketSettings,
    deadline: Deadline,
    round_trip: u64,
) -> Result<(Socket, Dialect, u64)> {
    let version = ask(&socket, b"version\r\n", deadline).map_err(|error| {
        let hint = "it may speak the binary protocol alone (protocol=binary)";
        let words = format!("{} did not answer \"version\": {}; {hint}", shared.address, error.message());
        Error::new(error.status(), words).with_os_error(error.os_error()).with_bits(bits::NOT_SENT)
    })?;
    if !version.starts_with(b"VERSION ") {
        let words = format!("{} answered \"version\" with \"{}\"", shared.address, version.escape_ascii());
        let status = if version.starts_with(b"ERROR Too many") { Status::ServerError } else { Status::Protocol };
        return Err(Error::new(status, words).with_bits(bits::NOT_SENT));
    }
    let (socket, dialect) = match ask(&socket, b"mn\r\n", deadline) {
        Ok(line) if line == b"MN" => (socket, Dialect::TextMeta),
        Ok(line) if line == b"ERROR" => (socket, Dialect::Text),
        Err(error) if error.status() == Status::Timeout => return Err(error.with_bits(bits::NOT_SENT)),
        Ok(_) | Err(_) => (Socket::connect(&shared.address, settings, deadline)?, Dialect::Text),
    };
    shared.learn(dialect);
    Ok((socket, dialect, round_trip))
}

/// The longest line that the handshake reads.
const MAX_HANDSHAKE_LINE: usize = 512;

/// Sends a line and receives one, within `deadline`.
fn ask(socket: &Socket, request: &[u8], deadline: Deadline) -> Result<Vec<u8>> {
    let lost = |error: io::Error| Error::os(Status::Connection, "the connection was lost", &error);
    if socket.send(request).map_err(lost)? != request.len() {
        return Err(Error::new(Status::Connection, "the handshake could not be sent"));
    }
    let (mut line, mut chunk) = (Vec::new(), [0; MAX_HANDSHAKE_LINE]);
    while !line.ends_with(b"\n") {
        let left = deadline.left();
        if left.is_zero() {
            return Err(Error::new(Status::Timeout, "no answer in time"));
        }
        let wanted = crate::net::Ready { read: true, write: false };
        if !socket.poll(wanted, left).map_err(lost)?.read {
            continue;
        }
        match socket.receive(&mut chunk, &mut [], Wait::No) {
            Ok(0) => return Err(Error::new(Status::Connection, "the server closed the connection")),
            Ok(came) => line.extend_from_slice(&chunk[..came]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(lost(error)),
        }
        if line.len() > MAX_HANDSHAKE_LINE {
            return Err(Error::new(Status::Protocol, "the server sent a line without end"));
        }
    }
    Ok(line.trim_ascii_end().to_vec())
}
