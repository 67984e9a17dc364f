//! Lane: one connection of a queue to a server, driven without ever blocking. It goes through connect and handshake while
//! operations wait, sends batches as far as the window and the kernel allow, and hands out replies as they come. What it
//! holds is lost with it: every operation is then answered by a failure.

mod ending;
mod open;
mod quiet;

use super::gets::{Submitted, Terms};
use super::held::Held;
use super::output::Hands;
use super::records::{Asker, Records, NEVER, NONE};
use crate::connection::{Batch, Handshake, Outcome};
use crate::error::{Error, Result, Status};
use crate::net::poller::{Event as Readiness, Interest, Poller, Waker};
use crate::net::{status_of, Connecting, Deadline, Socket, SocketSettings};
use crate::operation::{op_flags, Answer, Command, Operation};
use crate::pool::{exchange, Counters, Event, Shared, PEEK_AFTER};
use crate::protocol::{carries_value, Dialect};
use open::{Early, Open};
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// Values from here on are not copied into a batch.
const SPLICE: usize = 8 * 1024;
/// A batch that has grown to this is closed. (A send takes at most 1024 pieces, and a value of its own is two.)
const MAX_BATCH_BYTES: usize = 64 * 1024;
const MAX_BATCH_PIECES: usize = 500;
/// Replies to operations that timed out may come so many before the connection is given up.
const MAX_LATE: u32 = 64;
/// How long who fetches may wait in a receive: the shortest time that the kernel knows, of which it makes up to twice its own
/// tick.
const MOMENT: Duration = Duration::from_millis(1);
/// How many emptied batches are kept.
const SPARES: usize = 3;

const READ: Interest = Interest::READ.and(Interest::EDGE);
/// TLS's handshake waits for both.
const CONNECT: Interest = READ.and(Interest::WRITE);

/// What a lane needs of the queue that it belongs to.
pub(super) struct Host<'a> {
    pub poller: &'a Poller,
    pub waker: &'a Arc<Waker>,
    pub shared: &'a Shared,
    pub now: u64,
    pub token: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Lane {
    stage: Stage,
    /// Operations that wait for the connection.
    waiting: VecDeque<Waiting>,
    /// There may be a refusal among them.
    doubtful: bool,
    /// The batch that is being filled, and those that are full; none is sent yet.
    open: Box<Batch<()>>,
    full: VecDeque<Box<Batch<()>>>,
    /// Operations whose replies have not come.
    under_way: usize,
    /// Operations without reply, by the numbers of their batches, that are answered once these are sent; and the number
    /// of the last batch that was sent with one.
    quiet: VecDeque<(u64, u32)>,
    last_quiet: u64,
    /// The client is closed, and so is the connection when its fences have come, or at this moment.
    leaving: Option<u64>,
    /// Replies that are to come for operations that have timed out.
    late: u32,
    /// The number of the last batch that was begun, and of the last one that was sent or is being sent.
    made: u64,
    launched: u64,
    /// Memory for the next batches.
    #[allow(clippy::vec_box, reason = "they go from hand to hand in their boxes")]
    spare: Vec<Box<Batch<()>>>,
    /// What was done and is not added up yet.
    pub counted: Counters,
    /// What happened and is not told yet.
    pub events: Vec<Event>,
    /// When the last attempt to connect began.
    begun: u64,
    pub marks: Marks,
}

/// An operation that waits for the connection.
struct Waiting {
    /// The number of its record.
    slot: u32,
    held: Held,
    /// What is wrong with it, unless the server turns out to speak another dialect than is likely.
    refusal: Option<Box<Error>>,
}

/// What the queue notes about a lane.
#[derive(Default)]
pub(super) struct Marks {
    /// Of the connection, so that events of an older one are told apart.
    pub generation: u32,
    /// It is on the list of those that have something to do.
    pub listed: bool,
    pub busy: bool,
    pub unsettled: bool,
    /// One operation at a time has it to itself, and its connection ends with that.
    pub aside: bool,
}

#[derive(Default)]
enum Stage {
    #[default]
    Closed,
    Connecting {
        connecting: Box<Connecting>,
        deadline: Deadline,
        /// The number of the socket that is registered.
        registered: u32,
    },
    Greeting {
        socket: Socket,
        handshake: Box<Handshake>,
        deadline: Deadline,
    },
    Open(Box<Open>),
}

impl Lane {
    /// How many operations it has.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Whether there is no connection, nor one on its way.
    pub fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed)
    }

    /// Whether there is a connection that is ready for operations.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// The socket that the next bytes of a reply come from, where they may be received by who has not the lock.
    pub fn lone_socket(&self) -> Option<Arc<Socket>> {
        match &self.stage {
            Stage::Open(open) => open.lone_socket().cloned(),
            _ => None,
        }
    }

    /// Whether somebody who has not the lock is about to receive from this lane.
    fn is_lent(&self) -> bool {
        matches!(&self.stage, Stage::Open(open) if Arc::strong_count(&open.socket) > 1)
    }

    /// Whether replies are to come.
    pub fn is_busy(&self) -> bool {
        matches!(&self.stage, Stage::Open(open) if open.in_flight > 0)
    }

    /// Whether it waits for something else than replies.
    pub fn is_unsettled(&self) -> bool {
        match &self.stage {
            Stage::Closed => false,
            Stage::Connecting { .. } | Stage::Greeting { .. } => true,
            Stage::Open(open) => open.watching,
        }
    }

    /// When it wants to be driven at the latest.
    pub fn due(&self) -> u64 {
        match &self.stage {
            Stage::Connecting { connecting, .. } => connecting.due().nanoseconds(),
            Stage::Greeting { deadline, .. } => deadline.nanoseconds(),
            Stage::Open(_) => self.leaving.unwrap_or(NEVER),
            Stage::Closed => NEVER,
        }
    }

    /// Fails where all connections were dropped since this one was opened.
    pub fn check_dropped(&self, shared: &Shared) -> Result<()> {
        match &self.stage {
            Stage::Open(open) if open.drops != shared.drops() => {
                Err(Error::new(Status::Connection, "disconnect_all was called"))
            }
            _ => Ok(()),
        }
    }

    /// Whether its connection was used a moment ago, and so needs no look before it is used again.
    #[inline]
    pub fn is_fresh(&self, host: &Shared, now: u64) -> bool {
        match &self.stage {
            Stage::Open(open) => open.drops == host.drops() && now.saturating_sub(open.last_used) < PEEK_AFTER,
            _ => false,
        }
    }

    /// Closes a connection without traffic that must not be used again.
    pub fn refresh(&mut self, host: &Host<'_>, hands: &mut Hands<'_, '_>) -> Result<()> {
        if self.is_left_unread(host) && !self.is_lent() {
            self.read(host, hands)?;
        }
        let stale = match &self.stage {
            Stage::Open(open) if open.in_flight == 0 && open.sending.is_none() => {
                host.shared.is_stale(&open.socket, host.now.saturating_sub(open.last_used), &mut self.counted)
            }
            _ => false,
        };
        if stale {
            self.note_end(&Error::new(Status::Ok, "an idle connection was closed"), host.shared);
            self.stage = Stage::Closed;
            self.count_disconnect();
        }
        Ok(())
    }

    /// Closes the connection behind the one operation that it was for; answers whether it did.
    fn leave_if_aside(&mut self, shared: &Shared) -> bool {
        let leaves = self.marks.aside && self.under_way == 0 && !self.is_closed();
        if leaves {
            self.note_end(&Error::new(Status::Ok, "closed behind the one operation that it was for"), shared);
            self.stage = Stage::Closed;
            self.count_disconnect();
        }
        leaves
    }

    // ---- Taking operations in ----

    /// Takes an operation in, which `slot` of the records is about. On failure it has nothing of it.
    #[inline(always)]
    pub fn push(&mut self, records: &mut Records, slot: u32, operation: &Operation<'_>, shared: &Shared) -> Result<()> {
        shared.settings.check_size(operation)?;
        match &self.stage {
            Stage::Open(open) => {
                let dialect = open.dialect;
                self.encode(records, slot, operation, dialect)?;
                if is_spliced(operation) {
                    records.keep_value(slot, operation.value.to_vec());
                }
            }
            _ => self.hold(slot, operation, shared)?,
        }
        self.under_way += 1;
        Ok(())
    }

    /// Takes in the gets that come next, as long as they go on in the `get` line that is being written, and up to `most`.
    /// Answers with how many, and with the earliest of their deadlines. (In a function of its own the loop has the registers that
    /// it needs.)
    #[inline(never)]
    pub fn push_gets<'o>(
        &mut self,
        records: &mut Records,
        operations: &mut impl Submitted<'o>,
        most: usize,
        terms: &Terms,
    ) -> (usize, u64) {
        let (mut count, mut earliest) = (0usize, NEVER);
        let Stage::Open(open) = &self.stage else { return (count, earliest) };
        let batch = self.open.sequence;
        let mut writer = self.open.writer(open.dialect);
        let Some(mut line) = writer.get_line() else { return (count, earliest) };
        while count < most {
            let Some(get) = operations.peek_get() else { break };
            let timeout_ms = if get.timeout_ms == 0 { terms.timeout_ms } else { get.timeout_ms };
            let deadline = terms.now + u64::from(timeout_ms) * 1_000_000;
            let asker = Asker { tag: get.tag, journey: NONE, command: Command::Get };
            let slot = records.add_to(batch, asker, deadline, timeout_ms, terms.place);
            if !line.push(get.key, get.op_flags & op_flags::WANT_CAS != 0, slot, slot) {
                records.release(slot);
                break;
            }
            if terms.decodes {
                records.set_decoded(slot, get.op_flags & op_flags::EXPLICIT_FLAGS == 0);
            }
            operations.skip_get();
            earliest = earliest.min(deadline);
            count = count.wrapping_add(1);
        }
        self.under_way += count;
        self.counted.operations += count as u64;
        if self.open.size() >= MAX_BATCH_BYTES {
            self.close_batch();
        }
        (count, earliest)
    }

    /// Keeps an operation until there is a connection.
    #[cold]
    fn hold(&mut self, slot: u32, operation: &Operation<'_>, shared: &Shared) -> Result<()> {
        let refusal = match shared.refusal(operation) {
            Some(error) if shared.is_refusal_sure() => return Err(error),
            refusal => refusal.map(Box::new),
        };
        self.doubtful |= refusal.is_some();
        self.waiting.push_back(Waiting { slot, held: Held::new(operation), refusal });
        Ok(())
    }

    /// Adds an operation to the open batch.
    #[inline(always)]
    fn encode(&mut self, records: &mut Records, slot: u32, operation: &Operation<'_>, dialect: Dialect) -> Result<()> {
        if self.open.is_empty() {
            self.made += 1;
            self.open.sequence = self.made;
        }
        self.open.writer(dialect).push(operation, slot, slot, SPLICE)?;
        records.set_batch(slot, self.open.sequence);
        if operation.is_quiet() {
            self.quiet.push_back((self.open.sequence, slot));
        }
        if self.open.size() >= MAX_BATCH_BYTES || self.open.spliced() >= MAX_BATCH_PIECES {
            self.close_batch();
        }
        Ok(())
    }

    #[cold]
    fn close_batch(&mut self) {
        let next = self.spare.pop().unwrap_or_default();
        self.full.push_back(mem::replace(&mut self.open, next));
    }

    /// Puts what has waited for the connection into batches. What cannot be said is answered at once.
    fn encode_waiting(&mut self, dialect: Dialect, hands: &mut Hands<'_, '_>) {
        while let Some(Waiting { slot, held, .. }) = self.waiting.pop_front() {
            if !hands.records.is_live(slot) {
                hands.records.release(slot);
                hands.released += 1;
                continue;
            }
            let operation = held.operation();
            let encoded = self.encode(hands.records, slot, &operation, dialect);
            match encoded {
                Ok(()) if is_spliced(&operation) => hands.records.keep_value(slot, held.into_value()),
                Ok(()) => {}
                Err(error) => answer(hands, slot, &error),
            }
        }
        self.doubtful = false;
    }

    // ---- Driving ----

    /// Goes on as far as it can without waiting: connects, greets, sends.
    pub fn proceed(&mut self, host: &Host<'_>, hands: &mut Hands<'_, '_>) -> Result<()> {
        loop {
            match &self.stage {
                Stage::Closed if self.waiting.is_empty() => return Ok(()),
                Stage::Closed => self.connect(host)?,
                Stage::Connecting { .. } => {
                    if !self.advance_connect(host)? {
                        return Ok(());
                    }
                }
                Stage::Greeting { .. } => {
                    if !self.greet(host, hands)? {
                        return Ok(());
                    }
                }
                Stage::Open(_) => return self.flush(host, hands),
            }
        }
    }

    fn connect(&mut self, host: &Host<'_>) -> Result<()> {
        self.begun = host.now;
        host.shared.check_early(host.now)?;
        let deadline = connect_deadline(host);
        let settings = SocketSettings { receive_timeout: MOMENT, ..host.shared.socket_settings() };
        let connecting = Connecting::begin(&host.shared.address, &settings, deadline, Some(host.waker))?;
        self.stage = Stage::Connecting { connecting: Box::new(connecting), deadline, registered: 0 };
        Ok(())
    }

    /// Answers whether it is connected.
    fn advance_connect(&mut self, host: &Host<'_>) -> Result<bool> {
        let Stage::Connecting { connecting, deadline, registered } = &mut self.stage else { return Ok(false) };
        let failed = |error| watching_failed(host.shared, &error);
        let Some(socket) = connecting.advance()? else {
            if let Some(descriptor) = connecting.descriptor().filter(|_| connecting.sockets() != *registered) {
                host.poller.add(&descriptor, host.token, CONNECT).map_err(failed)?;
                *registered = connecting.sockets();
            }
            return Ok(false);
        };
        if connecting.sockets() == *registered {
            host.poller.modify(&socket, host.token, READ).map_err(failed)?;
        } else {
            host.poller.add(&socket, host.token, READ).map_err(failed)?;
        }
        let handshake = Box::new(host.shared.handshake()?);
        let deadline = extended(*deadline, host);
        self.stage = Stage::Greeting { socket, handshake, deadline };
        Ok(true)
    }

    /// Answers whether the handshake is done.
    fn greet(&mut self, host: &Host<'_>, hands: &mut Hands<'_, '_>) -> Result<bool> {
        let Stage::Greeting { socket, handshake, deadline } = &mut self.stage else { return Ok(false) };
        let greeted = converse(socket, handshake, deadline, host);
        let failed = |error: &Error| host.shared.greeting_failed(handshake, error);
        let Some(outcome) = greeted.inspect_err(failed)? else { return Ok(false) };
        host.shared.learn(&outcome);
        let Stage::Greeting { socket, .. } = mem::take(&mut self.stage) else { return Ok(false) };
        if !outcome.reconnect {
            self.counted.connects += 1;
            if host.shared.settings.listener.is_there() {
                self.events.push(host.shared.connected(self.begun, None));
            }
            self.stage = Stage::Open(Box::new(Open::new(socket, outcome.dialect, host)));
            self.encode_waiting(outcome.dialect, hands);
            self.account(hands);
            self.leave_if_aside(host.shared);
        }
        Ok(true)
    }

    /// Something has happened to the socket.
    pub fn note(&mut self, event: &Readiness) {
        if let Stage::Open(open) = &mut self.stage {
            open.hung_up |= event.closed();
            open.blocked &= !event.writable();
        }
    }

    /// Takes in what has come, and sends what may be sent then. Answers whether there may be more to read.
    pub fn read(&mut self, host: &Host<'_>, hands: &mut Hands<'_, '_>) -> Result<bool> {
        self.read_behind(host, hands, None)
    }

    /// The same behind what was received from this socket by somebody who had not the lock.
    pub fn read_lent(
        &mut self,
        host: &Host<'_>,
        hands: &mut Hands<'_, '_>,
        from: &Arc<Socket>,
        early: Early<'_>,
    ) -> Result<bool> {
        let is_its = matches!(&self.stage, Stage::Open(open) if Arc::ptr_eq(&open.socket, from));
        self.read_behind(host, hands, early.filter(|_| is_its))
    }

    fn read_behind(&mut self, host: &Host<'_>, hands: &mut Hands<'_, '_>, early: Early<'_>) -> Result<bool> {
        let Stage::Open(open) = &mut self.stage else { return self.proceed(host, hands).map(|()| false) };
        hands.spare = mem::take(&mut self.spare);
        let read = open.read(host.now, hands, early);
        if hands.ended > 0 && host.shared.is_suspect() {
            host.shared.heard();
        }
        self.account(hands);
        let more = read.map_err(|broken| failure(host.shared, broken.status, &broken.message))?;
        self.flush(host, hands)?;
        let left = self.leave_if_aside(host.shared);
        Ok(more && !left)
    }

    /// Takes over what `hands` have counted.
    fn account(&mut self, hands: &mut Hands<'_, '_>) {
        let hits = mem::take(&mut hands.hits);
        hands.counted.hits += hits as u64;
        self.under_way = self.under_way.saturating_sub(mem::take(&mut hands.released) + hits);
        self.late = self.late.saturating_sub(mem::take(&mut hands.late));
        if !hands.spare.is_empty() {
            self.spare = mem::take(&mut hands.spare);
            self.spare.truncate(SPARES);
        }
        if let Stage::Open(open) = &mut self.stage {
            open.in_flight = open.in_flight.saturating_sub(mem::take(&mut hands.ended));
            if open.in_flight == 0 {
                open.presence.set_busy(false);
                self.late = 0;
            }
        }
    }

    /// Sends batches while the window is open and the kernel takes them.
    fn flush(&mut self, host: &Host<'_>, hands: &mut Hands<'_, '_>) -> Result<()> {
        let flushed = self.send(host, hands.records);
        if !self.quiet.is_empty() {
            self.answer_sent(hands);
        }
        flushed
    }

    fn send(&mut self, host: &Host<'_>, records: &mut Records) -> Result<()> {
        let Stage::Open(open) = &mut self.stage else { return Ok(()) };
        let failed = |error: io::Error| failure(host.shared, status_of(&error), &format!("sending failed: {error}"));
        while !open.blocked {
            if !open.send_rest(&mut self.counted).map_err(failed)? {
                return open.watch_writing(host, true);
            }
            if self.open.is_empty() && self.full.is_empty() || !open.has_window() {
                break;
            }
            let batch = match self.full.pop_front() {
                Some(batch) => batch,
                None => mem::replace(&mut self.open, self.spare.pop().unwrap_or_default()),
            };
            self.launched = batch.sequence;
            self.counted.batches += 1;
            open.launch(batch, host.now, records, &mut self.counted).map_err(failed)?;
        }
        open.watch_writing(host, open.blocked)
    }
}

fn connect_deadline(host: &Host<'_>) -> Deadline {
    Deadline::at(host.now + u64::from(host.shared.settings.connect_timeout_ms) * 1_000_000)
}

/// A deadline that has passed while the server did its part was missed by whoever fetches: it begins anew.
fn extended(deadline: Deadline, host: &Host<'_>) -> Deadline {
    match deadline.nanoseconds() <= host.now {
        true => connect_deadline(host),
        false => deadline,
    }
}

/// Goes on with a handshake as far as it can without waiting; `None`: not to its end.
fn converse(
    socket: &Socket,
    handshake: &mut Handshake,
    deadline: &mut Deadline,
    host: &Host<'_>,
) -> Result<Option<Outcome>> {
    loop {
        if let Some(outcome) = handshake.outcome() {
            return Ok(Some(outcome));
        }
        match exchange(socket, &handshake.take_request()) {
            Ok(Some(bytes)) => {
                *deadline = extended(*deadline, host);
                handshake.receive(&bytes)?;
            }
            Ok(None) if deadline.nanoseconds() > host.now => return Ok(None),
            Ok(None) => handshake.fail(Error::new(Status::Timeout, "no answer in time"))?,
            Err(error) => handshake.fail(error)?,
        }
    }
}

/// Whether the value of an operation is not copied into its batch.
fn is_spliced(operation: &Operation<'_>) -> bool {
    operation.value.len() >= SPLICE && carries_value(operation)
}

/// Answers an operation that the reader does not know of.
fn answer(hands: &mut Hands<'_, '_>, slot: u32, error: &Error) {
    hands.released += 1;
    if let Some(asker) = hands.records.release(slot) {
        hands.give(asker, Answer::failed(error));
    }
}

fn failure(shared: &Shared, status: Status, message: &str) -> Error {
    Error::new(status, format!("{}: {message}", shared.address))
}

fn watching_failed(shared: &Shared, error: &io::Error) -> Error {
    Error::os(Status::Connection, format!("watching the connection to {}", shared.address), error)
}
