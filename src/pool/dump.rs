//! Dump: an operation that is answered in lines, taken as they come, however many there are. It has a connection to itself,
//! which ends with it; who takes no more lines holds the server up, and memory stays as it is.

use super::opening::Opening;
use super::Pool;
use crate::connection::Batch;
use crate::error::{bits, Error, Result, Status};
use crate::net::{clock, status_of, tally, Deadline, Ready, Socket, Wait, LOOK};
use crate::operation::Operation;
use crate::pool::Counters;
use crate::protocol::{text, What};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Room for lines that are received.
const CHUNK: usize = 16 * 1024;

/// See the module.
pub(crate) struct Dump {
    pool: Arc<Pool>,
    stage: Stage,
    /// How long each piece may take.
    timeout_ms: u32,
    /// When the piece that is awaited must have come.
    due: Deadline,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    counted: Counters,
}

enum Stage {
    /// With when it began.
    Opening(Opening, u64),
    Asked(Socket),
}

/// How far a dump has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// There are lines, and more may come.
    More,
    /// Nothing has come yet.
    Nothing,
    Over,
}

impl Dump {
    /// A dump of this server, which is not asked yet. `timeout_ms` is for each piece that comes; zero: the usual.
    pub fn of(pool: &Arc<Pool>, timeout_ms: u32) -> Dump {
        let settings = &pool.shared.settings;
        let timeout_ms = if timeout_ms == 0 { settings.timeout_ms } else { timeout_ms };
        let connect = timeout_ms.min(settings.connect_timeout_ms);
        let due = Deadline::after(Duration::from_millis(connect.into()));
        let stage = Stage::Opening(Opening::new(due), clock::now());
        let counted = Counters { operations: 1, ..Counters::default() };
        Dump { pool: pool.clone(), stage, timeout_ms, due, buffer: Vec::new(), start: 0, end: 0, counted }
    }

    /// Hands the lines that have come to `each`, after waiting for one until `until` if there is none.
    pub fn take(
        &mut self,
        operation: &Operation<'_>,
        until: Deadline,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<Progress> {
        let taken = self.proceed(operation, until, each);
        match &taken {
            Ok(Progress::More | Progress::Nothing) => {}
            Ok(Progress::Over) => self.counted.answered(Status::Ok),
            Err(error) => self.counted.answered(error.status()),
        }
        taken
    }

    fn proceed(&mut self, operation: &Operation<'_>, until: Deadline, each: &mut dyn FnMut(&[u8])) -> Result<Progress> {
        let mut any = false;
        loop {
            if matches!(self.stage, Stage::Opening(..)) {
                if !self.open(operation, until)? {
                    return Ok(Progress::Nothing);
                }
                continue;
            }
            let decoded = text::decode(operation.command, &self.buffer[self.start..self.end]);
            let head = decoded.map_err(|violation| {
                let error = Error::new(Status::Protocol, format!("the server sent {}", violation.0));
                self.pool.shared.named(&error).with_bits(bits::SENT)
            })?;
            let Some(head) = head else {
                if any || !self.receive(until)? {
                    return Ok(if any { Progress::More } else { Progress::Nothing });
                }
                continue;
            };
            match head.what {
                What::Line | What::Part => {
                    if head.what == What::Line {
                        each(head.detail);
                        any = true;
                    }
                    self.start += head.len;
                }
                _ if head.status.is_failure() => {
                    let words = String::from_utf8_lossy(head.detail).into_owned();
                    return Err(Error::new(head.status, words).with_bits(bits::SENT));
                }
                _ => return Ok(Progress::Over),
            }
        }
    }

    /// Goes on with the connection, and sends the request once it is open; whether it is.
    fn open(&mut self, operation: &Operation<'_>, until: Deadline) -> Result<bool> {
        let Stage::Opening(opening, begun) = &mut self.stage else { return Ok(true) };
        let (shared, begun, calls) = (&self.pool.shared, *begun, tally::made());
        let opened = shared.check_open().and_then(|()| opening.go_on(shared, until));
        self.counted.system_calls += tally::made() - calls;
        if !matches!(opened, Ok(None)) {
            shared.tell_connected(begun, opened.as_ref().err());
        }
        let opened = opened.map_err(|error| shared.unsent(operation, &error))?;
        let Some((socket, dialect)) = opened else { return Ok(false) };
        self.counted.connects += 1;
        let mut batch = Batch::<()>::default();
        let written = batch.writer(dialect).push(operation, 0, 0, usize::MAX);
        let sent = written.and_then(|()| send(&socket, &batch.out(), &mut self.counted));
        self.stage = Stage::Asked(socket);
        self.buffer.resize(CHUNK, 0);
        self.due = self.next_due();
        sent.map(|()| true)
    }

    fn next_due(&self) -> Deadline {
        Deadline::after(Duration::from_millis(self.timeout_ms.into()))
    }

    /// Receives once, if something comes until `until`; whether something has.
    fn receive(&mut self, until: Deadline) -> Result<bool> {
        let Stage::Asked(socket) = &self.stage else { return Ok(false) };
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let shared = &self.pool.shared;
        loop {
            shared.check_open()?;
            self.counted.system_calls += 1;
            let (wanted, time) = (Ready { read: true, write: false }, self.due.earlier(until).left().min(LOOK));
            if !socket.poll(wanted, time).map_err(|error| lost("waiting failed", &error))?.read {
                if self.due.is_over() {
                    let words = format!("{} sent nothing for {} ms", shared.address, self.timeout_ms);
                    return Err(Error::new(Status::Timeout, words).with_bits(bits::SENT));
                }
                if until.is_over() {
                    return Ok(false);
                }
                continue;
            }
            self.counted.system_calls += 1;
            match socket.receive(&mut self.buffer[self.end..], &mut [], Wait::No) {
                Ok(0) => {
                    let words = format!("{} closed the connection", shared.address);
                    return Err(Error::new(Status::Connection, words).with_bits(bits::SENT));
                }
                Ok(came) => {
                    self.counted.bytes_received += came as u64;
                    self.end += came;
                    self.due = self.next_due();
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(lost("receiving failed", &error)),
            }
        }
    }
}

impl Drop for Dump {
    fn drop(&mut self) {
        if let Stage::Asked(_) = self.stage {
            self.counted.disconnects += 1;
            self.counted.system_calls += 1;
            let why = Error::new(Status::Ok, "closed behind the one operation that it was for");
            self.pool.shared.tell_closed(&why);
        }
        self.pool.count(&self.counted);
    }
}

fn send(socket: &Socket, request: &[u8], counted: &mut Counters) -> Result<()> {
    counted.system_calls += 1;
    // A line is taken whole by a socket that is new.
    let sent = socket.send(request).map_err(|error| lost("sending failed", &error))?;
    counted.bytes_sent += sent as u64;
    match sent == request.len() {
        true => Ok(()),
        false => Err(Error::new(Status::Connection, "a request was sent in part")),
    }
}

fn lost(what: &str, error: &io::Error) -> Error {
    Error::os(status_of(error), what, error).with_bits(bits::SENT)
}
