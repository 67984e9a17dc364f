//! Dump: an operation that is answered in lines, taken as they come, however many there are. It has a connection to itself,
//! which ends with it; who takes no more lines holds the server up, and memory stays as it is.

use super::{opening, Pool};
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
    socket: Socket,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    counted: Counters,
}

impl Dump {
    /// Asks a server for the lines that `operation` is answered in.
    pub fn begin(pool: &Arc<Pool>, operation: &Operation<'_>) -> Result<Dump> {
        let mut counted = Counters { operations: 1, ..Counters::default() };
        let opened = pool.shared.check_open().and_then(|()| open(pool, operation, &mut counted));
        match opened {
            Ok(socket) => Ok(Dump { pool: pool.clone(), socket, buffer: vec![0; CHUNK], start: 0, end: 0, counted }),
            Err(error) => {
                counted.answered(error.status());
                pool.count(&counted);
                Err(error)
            }
        }
    }

    /// Hands the lines that have come to `each`, after waiting for one if there is none; whether more may come. The usual
    /// time-out is for each piece that comes, not for the whole.
    pub fn take(&mut self, operation: &Operation<'_>, each: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let taken = self.take_lines(operation, each);
        match &taken {
            Ok(true) => {}
            Ok(false) => self.counted.answered(Status::Ok),
            Err(error) => self.counted.answered(error.status()),
        }
        taken
    }

    fn take_lines(&mut self, operation: &Operation<'_>, each: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let mut any = false;
        loop {
            let decoded = text::decode(operation.command, &self.buffer[self.start..self.end]);
            let head = decoded.map_err(|violation| {
                let error = Error::new(Status::Protocol, format!("the server sent {}", violation.0));
                self.pool.shared.named(&error).with_bits(bits::SENT)
            })?;
            match head {
                None if any => return Ok(true),
                None => self.receive()?,
                Some(head) => match head.what {
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
                    _ => return Ok(false),
                },
            }
        }
    }

    /// Receives once, within the usual time-out from now.
    fn receive(&mut self) -> Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let shared = &self.pool.shared;
        let timeout = Duration::from_millis(shared.settings.timeout_ms.into());
        let deadline = Deadline::after(timeout);
        loop {
            let left = deadline.left();
            shared.check_open()?;
            if left.is_zero() {
                let words = format!("{} sent nothing for {} ms", shared.address, timeout.as_millis());
                return Err(Error::new(Status::Timeout, words).with_bits(bits::SENT));
            }
            self.counted.system_calls += 1;
            let wanted = Ready { read: true, write: false };
            if !self.socket.poll(wanted, left.min(LOOK)).map_err(|error| lost("waiting failed", &error))?.read {
                continue;
            }
            self.counted.system_calls += 1;
            match self.socket.receive(&mut self.buffer[self.end..], &mut [], Wait::No) {
                Ok(0) => {
                    let words = format!("{} closed the connection", shared.address);
                    return Err(Error::new(Status::Connection, words).with_bits(bits::SENT));
                }
                Ok(came) => {
                    self.counted.bytes_received += came as u64;
                    self.end += came;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(lost("receiving failed", &error)),
            }
        }
    }
}

impl Drop for Dump {
    fn drop(&mut self) {
        note_closed(&self.pool, &mut self.counted);
        self.pool.count(&self.counted);
    }
}

/// Opens a connection and sends the request.
fn open(pool: &Pool, operation: &Operation<'_>, counted: &mut Counters) -> Result<Socket> {
    let shared = &pool.shared;
    let [timeout, connect] = [shared.settings.timeout_ms, shared.settings.connect_timeout_ms]
        .map(|milliseconds| Deadline::after(Duration::from_millis(milliseconds.into())));
    let (begun, calls) = (clock::now(), tally::made());
    let opened = opening::connect(shared, timeout.earlier(connect));
    counted.system_calls += tally::made() - calls;
    shared.tell_connected(begun, opened.as_ref().err());
    let (socket, dialect) = opened?;
    counted.connects += 1;
    let mut batch = Batch::<()>::default();
    let written = batch.writer(dialect).push(operation, 0, 0, usize::MAX);
    let sent = written.and_then(|()| send(&socket, &batch.out(), counted));
    match sent {
        Ok(()) => Ok(socket),
        Err(error) => {
            note_closed(pool, counted);
            Err(error)
        }
    }
}

fn note_closed(pool: &Pool, counted: &mut Counters) {
    counted.disconnects += 1;
    counted.system_calls += 1;
    pool.shared.tell_closed(&Error::new(Status::Ok, "closed behind the one operation that it was for"));
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
