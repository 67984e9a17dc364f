//! The driving part of a turn: sending, reading, leading for all, and giving a connection up. A caller holds at most
//! one right to read, never sleeps on a word while it has it, and reads while a send would block.

use super::link::{Link, Owner, Role};
use super::outgoing::Outgoing;
use super::turn::{Guard, Stop, Turn};
use super::Loss;
use crate::connection::{Batch, Broken};
use crate::error::{bits, Error, Status};
use crate::net::{clock, Ready, Socket, Wait};
use std::io;
use std::mem;
use std::time::Duration;

/// A blocking receive, which waits for the whole time-out, may begin this long after the call did.
const LATE: u64 = 20_000_000;
/// So often a call whose deadline has passed receives what has come before that.
const MAX_LATE_LOOKS: u32 = 64;
/// How often a sender that cannot send looks whether it should read.
const LOOK: Duration = Duration::from_millis(5);

impl<'a> Turn<'a> {
    // ---- Sending ----

    /// Sends a batch, reading while the kernel takes no more; or keeps what is left, where it may not wait.
    pub(super) fn send(&mut self, socket: &Socket, mut outgoing: Outgoing) -> Result<(), Stop> {
        while !outgoing.is_sent() {
            self.hands.counted.system_calls += 1;
            match outgoing.send(self.operations, socket) {
                Ok(0) => return Err(Stop::lost("sending failed", &io::ErrorKind::WriteZero.into())),
                Ok(taken) => outgoing.advance(taken),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Err(Stop::lost("sending failed", &error));
                }
                Err(_) if !self.is_apart => self.wait_to_send(socket)?,
                Err(_) => {
                    if !self.make_room()? {
                        self.rest = Some(outgoing);
                        return Err(Stop::Later);
                    }
                }
            }
        }
        self.hands.counted.bytes_sent += outgoing.total as u64;
        Ok(())
    }

    fn wait_to_send(&mut self, socket: &Socket) -> Result<(), Stop> {
        self.at_once = false;
        let left = self.limit.deadline.left();
        if left.is_zero() {
            return Err(Stop::Timeout { torn: true });
        }
        let failed = |error: io::Error| Stop::lost("waiting to send failed", &error);
        self.hands.counted.system_calls += 1;
        if self.role.is_some() {
            let ready = socket.poll(Ready { read: true, write: true }, left).map_err(failed)?;
            return if ready.read { self.receive(Wait::No).map(drop) } else { Ok(()) };
        }
        let ready = socket.poll(Ready { read: false, write: true }, left.min(LOOK)).map_err(failed)?;
        if !ready.write {
            // Both sides may be stuck in sending if nobody reads.
            let mut state = self.line.lock();
            if let Some(link) = state.link_of(self.generation) {
                self.role = link.role.take();
            }
            self.account(&mut state);
        }
        Ok(())
    }

    /// As the writer, makes `batch` part of what is in flight and sends it.
    pub(super) fn launch(&mut self, mut state: Guard<'a>, mut batch: Box<Batch<Owner>>) -> Result<Guard<'a>, Stop> {
        let dialect = self.dialect;
        let now = self.limit.begun;
        if batch.is_empty() {
            return Ok(state);
        }
        let link = state.link_of(self.generation).ok_or_else(Stop::gone)?;
        batch.seal(dialect);
        let outgoing = Outgoing::new(self.operations, batch.out(), batch.take_pieces());
        link.begin_flight(now);
        self.hands.counted.batches += 1;
        match &mut self.role {
            Some(role) => role.reader.push(batch),
            None => link.sealed.push_back(batch),
        }
        let socket = link.socket.clone();
        drop(state);
        let sent = self.send(&socket, outgoing);
        sent.map(|()| self.line.lock())
    }

    /// Whether this caller is to send the open batch, now that somebody may: it waits for no more callers, or this one has
    /// let them come.
    pub(super) fn is_to_send(&self, link: &Link) -> bool {
        self.steps > 0 || self.line.is_due(link, &self.limit)
    }

    /// Sends the open batch, and the next one that has filled meanwhile, as long as nobody else writes and the window is
    /// open. Where callers are many the batch waits for more of them, and is left to those whose operations are in it. A
    /// caller that has no time left leaves all of that to others.
    pub(super) fn flush(&mut self, mut state: Guard<'a>) -> Result<Guard<'a>, Stop> {
        while !self.leaving {
            let sequence = state.next_sequence();
            let Some(link) = state.link_of(self.generation) else { return Ok(state) };
            if !link.may_send() {
                return Ok(state);
            }
            if !self.is_to_send(link) {
                self.line.words.nudge(link.open.sequence);
                return Ok(state);
            }
            self.steps = 0;
            link.writing = true;
            let batch = link.take_open(sequence);
            state = self.launch(state, batch)?;
            // Where sending would block it has read.
            self.account(&mut state);
            self.count(&mut state);
            if let Some(link) = state.link_of(self.generation) {
                link.writing = false;
                // Those whose operations these are sleep, and nobody may be reading.
                if link.role.is_some() {
                    self.line.words.want_reader();
                }
            }
            self.line.words.wake_writer();
        }
        Ok(state)
    }

    /// Lets others write, and sends what they have put into the open batch.
    pub(super) fn release_writer(&mut self) -> Result<(), Stop> {
        let mut state = self.line.lock();
        self.account(&mut state);
        if let Some(link) = state.link_of(self.generation) {
            link.writing = false;
        }
        self.line.words.wake_writer();
        self.flush(state).map(drop)
    }

    // ---- Reading ----

    /// Reads for all until this caller's own answers have come, then lets go of the right to read.
    pub(super) fn lead(&mut self) -> Result<(), Stop> {
        self.steps = 0;
        self.advance()?;
        while !self.is_done() {
            if self.hands.ended > 0 || self.is_reader_idle() {
                let mut state = self.line.lock();
                self.account(&mut state);
                drop(self.flush(state)?);
                self.line.words.wake_finished(&mut self.hands);
                self.advance()?;
                if self.is_done() || self.is_reader_idle() {
                    break;
                }
            }
            self.read()?;
        }
        self.hand_back()
    }

    pub(super) fn is_reader_idle(&self) -> bool {
        self.role.as_ref().is_none_or(|role| role.reader.is_idle())
    }

    /// Receives once, waiting until the deadline, and takes in what came.
    pub(super) fn read(&mut self) -> Result<(), Stop> {
        let early = self.at_once || clock::now_coarse().saturating_sub(self.limit.begun) < LATE;
        let deadline = self.patience.unwrap_or(self.limit.deadline);
        if self.limit.usual && early && self.patience.is_none() {
            if self.receive(Wait::All)? {
                return Ok(());
            }
        } else if self.patience.is_some() && self.receive(Wait::No)? {
            // It is often there already.
            return Ok(());
        } else {
            let left = deadline.left();
            if left.is_zero() {
                return self.look_late();
            }
            let Some(role) = self.role.as_ref() else { return Err(Stop::Timeout { torn: false }) };
            let wanted = Ready { read: true, write: false };
            self.hands.counted.system_calls += 1;
            let ready = role.socket.poll(wanted, left).map_err(|error| Stop::lost("waiting failed", &error))?;
            if ready.read {
                return self.receive(Wait::No).map(drop);
            }
        }
        match deadline.is_over() {
            true => Err(Stop::Timeout { torn: false }),
            false => Ok(()),
        }
    }

    /// The deadline has passed, perhaps while another server was waited for: what has come by then is still taken.
    #[cold]
    fn look_late(&mut self) -> Result<(), Stop> {
        self.late_looks += 1;
        match self.late_looks <= MAX_LATE_LOOKS && self.receive(Wait::No)? {
            true => Ok(()),
            false => Err(Stop::Timeout { torn: false }),
        }
    }

    /// Receives once and takes in what came; answers whether anything did.
    pub(super) fn receive(&mut self, wait: Wait) -> Result<bool, Stop> {
        let Some(role) = &mut self.role else { return Ok(false) };
        let Role { reader, socket, received_at, .. } = &mut **role;
        self.hands.counted.system_calls += 1;
        let came = reader.receive(&mut self.hands, &mut |first, second, exact| {
            let wait = if wait == Wait::All && !exact { Wait::Some } else { wait };
            socket.receive(first, second, wait)
        });
        match came {
            Ok(0) => Err(Stop::Broken(Broken {
                status: Status::Connection,
                message: "the server closed the connection".into(),
            })),
            Ok(came) => {
                self.hands.counted.bytes_received += came as u64;
                // The clock is not read for a call whose first reading brings its answer.
                *received_at = if mem::take(&mut self.at_once) { self.limit.begun } else { clock::now_coarse() };
                self.advance()?;
                if self.hands.ended > 0 && self.shared.is_suspect() {
                    self.shared.heard();
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.at_once = false;
                Ok(false)
            }
            Err(error) => Err(Stop::lost("receiving failed", &error)),
        }
    }

    pub(super) fn advance(&mut self) -> Result<(), Stop> {
        match &mut self.role {
            Some(role) => role.reader.advance(&mut self.hands).map_err(Stop::Broken),
            None => Ok(()),
        }
    }

    /// Brings the link up to date with what this caller has sent and read, and takes over what others have sent.
    pub(super) fn account(&mut self, state: &mut Guard<'a>) {
        let hands = &mut self.hands;
        let Some(link) = state.link_of(self.generation) else { return };
        for _ in 0..mem::take(&mut hands.begun) {
            link.begin_flight(self.limit.begun);
        }
        link.last_quiet = link.last_quiet.max(hands.last_quiet);
        link.end_flight(mem::take(&mut hands.ended));
        link.was_answered(hands.last_ended);
        if let Some(batch) = hands.spare.take() {
            link.keep_batch(batch);
        }
        if let Some(role) = &mut self.role {
            while let Some(batch) = link.sealed.pop_front() {
                role.reader.push(batch);
            }
        }
    }

    /// Adds up what this caller has counted.
    pub(super) fn count(&mut self, state: &mut Guard<'a>) {
        state.counters.add(&mem::take(&mut self.hands.counted));
    }

    /// Lets go of the right to read, and wakes one who needs it.
    pub(super) fn hand_back(&mut self) -> Result<(), Stop> {
        let mut state = self.line.lock();
        self.account(&mut state);
        // What others have sent may be answered already.
        if self.role.as_ref().is_some_and(|role| role.reader.has_bytes()) {
            drop(state);
            self.advance()?;
            state = self.line.lock();
            self.account(&mut state);
        }
        state = self.flush(state)?;
        self.count(&mut state);
        let Some(role) = self.role.take() else { return Ok(()) };
        if let Some(link) = state.link_of(self.generation) {
            if let Some(broken) = link.doomed.take() {
                drop(state);
                self.role = Some(role);
                return Err(Stop::Broken(broken));
            }
            if role.reader.is_idle() && role.reader.has_bytes() && link.in_flight == 0 {
                drop(state);
                self.role = Some(role);
                let message = "the server sent bytes that nobody asked for".to_string();
                return Err(Stop::Broken(Broken { status: Status::Protocol, message }));
            }
            let from = role.reader.next_sequence().unwrap_or(link.open.sequence);
            link.last_used = self.limit.begun;
            link.role = Some(role);
            // What is open is left to those whose it is, unless this caller has not looked at it.
            let wanted = link.may_read() || self.leaving && link.needs_caller();
            drop(state);
            self.line.words.wake_finished(&mut self.hands);
            if wanted {
                self.line.words.wake_reader(from);
            }
        }
        self.tell_quiet();
        Ok(())
    }

    // ---- Giving up ----

    /// Ends a turn that cannot go on.
    pub(super) fn stop(&mut self, stop: Stop) {
        // Whatever it looks like to those who wait, the reason is that.
        if let Err(error) = self.shared.check_open() {
            let message = error.message().to_string();
            return self.break_link(Broken { status: error.status(), message });
        }
        match stop {
            Stop::Timeout { torn } => self.time_out(torn),
            Stop::Broken(broken) => self.break_link(broken),
            Stop::Later => {}
        }
    }

    /// The deadline has passed. The connection is kept where replies have come lately and the rest can still be matched;
    /// else it is given up, so that a server that hangs costs one time-out and not one for each caller.
    fn time_out(&mut self, torn: bool) {
        let error = self.limit.error(&self.shared.address);
        self.failure = Some(error.clone().with_bits(bits::SENT | bits::UNKNOWN_OUTCOME));
        let mut state = self.line.lock();
        self.account(&mut state);
        let Some(link) = state.link_of(self.generation) else { return };
        let now = clock::now();
        let unsent = self.seat == Some(link.open.sequence) && link.leave();
        if unsent {
            self.failure = Some(error.clone().with_bits(bits::NOT_SENT));
        }
        let too_many = !unsent && link.lose_one(now);
        let received_at = self.role.as_ref().map_or(u64::MAX, |role| role.received_at);
        let silence = now.saturating_sub(received_at.max(link.sent_at));
        let stalled = silence / 1_000_000 + 10 >= u64::from(self.shared.settings.timeout_ms);
        let give_up = torn || stalled || too_many;
        let (from, needed) = (link.open.sequence, link.needs_caller());
        self.line.set_owing(!give_up);
        drop(state);
        if give_up {
            let words = format!("no answer within {} ms, connection given up", self.limit.timeout_ms);
            return self.break_link(Broken { status: Status::Timeout, message: words });
        }
        if let Some(role) = &mut self.role {
            let own = |owner: &Owner| matches!(owner, Owner::Own);
            let error = error.with_bits(bits::SENT | bits::UNKNOWN_OUTCOME);
            role.reader.abandon(own, || Owner::Gone, &error, &mut self.hands);
            self.hands.own_batches = 0;
            self.leaving = true;
            if let Err(stop) = self.hand_back() {
                self.stop(stop);
            }
        } else if needed {
            // It may have been this caller that was asked to read.
            self.line.words.wake_reader(from);
        }
    }

    /// Gives the connection up: all that is in flight or open fails. Where another caller reads, that one does it.
    fn break_link(&mut self, broken: Broken) {
        let broken = match self.shared.check_open() {
            // That the socket is down is how it shows.
            Err(closed) => Broken { status: closed.status(), message: closed.message().to_string() },
            Ok(()) => broken,
        };
        let mut state = self.line.lock();
        // Where somebody else gives it up, or has, the reason is theirs: that sending fails, say, is how it shows.
        let broken = state.why_ended(self.generation).cloned().unwrap_or(broken);
        let error = Error::new(broken.status, format!("{}: {}", self.shared.address, broken.message));
        self.failure.get_or_insert(error.with_bits(bits::SENT | bits::UNKNOWN_OUTCOME));
        let Some(link) = state.link_of(self.generation) else { return self.line.words.wake_writer() };
        let Some(mut role) = self.role.take().or_else(|| link.role.take()) else {
            link.doomed.get_or_insert(broken);
            link.socket.shutdown();
            state.counters.system_calls += 1;
            return;
        };
        let loss = match broken.status {
            Status::Timeout => Loss::Timeout,
            _ => Loss::Closed,
        };
        let Some(mut link) = self.line.take_link(&mut state) else { return };
        state.ended = Some((self.generation, broken.clone()));
        state.counters.system_calls += 1;
        drop(state);
        link.socket.shutdown();
        link.fail(&mut role, &broken, Some(self.shared), &mut self.hands);
        self.hands.own_batches = 0;
        self.line.words.wake_finished(&mut self.hands);
        self.line.words.wake_writer();
        let drops = link.drops;
        drop((link, role));
        let why = Error::new(broken.status, broken.message);
        self.shared.tell_closed(&why);
        if drops == self.shared.drops() {
            self.shared.lost(loss, &why, &mut self.shared.teller());
        }
        self.tell_quiet();
    }
}
