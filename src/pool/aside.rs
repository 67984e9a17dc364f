//! Aside: operations that have a connection to themselves, since their replies have no form that others could be told
//! from, or since the connection ends with them. It is opened for them and closed behind them.

use super::line::Line;
use super::{opening, Home, Limit, Shared};
use crate::connection::Batch;
use crate::error::{bits, Error, Result, Status};
use crate::net::{clock, status_of, tally, Deadline, Ready, Socket, Wait, LOOK};
use crate::operation::{Answer, Operation, Room, Sink};
use crate::pool::Counters;
use crate::protocol::{text, What};
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

/// So many of them go on at once; further ones fail with `Busy`.
const ASIDE: usize = 8;

/// Room for lines that are received.
const CHUNK: usize = 16 * 1024;

/// The lines for them, each made when it is first needed.
#[derive(Default)]
pub(super) struct Lines([OnceLock<Box<Line>>; ASIDE]);

impl Lines {
    /// Those that there are.
    pub fn iter(&self) -> impl Iterator<Item = &Line> {
        self.0.iter().filter_map(|line| line.get().map(|line| &**line))
    }

    /// One that nobody has, claimed for the caller.
    fn claim(&self) -> Option<&Line> {
        let lines = self.0.iter().map(|line| &**line.get_or_init(|| Box::new(Line::new())));
        lines.into_iter().find(|line| line.claim())
    }
}

/// Runs operations of which some need a connection to themselves, in their order.
#[cold]
pub(super) fn run(home: &Home, shared: &Shared, operations: &[Operation<'_>], sink: &mut dyn Sink, limit: Limit) {
    let mut first = 0;
    for part in operations.chunk_by(|a, b| !a.command.goes_aside() && !b.command.goes_aside()) {
        let mut sink = From { sink, first };
        match part.iter().any(|operation| operation.command.goes_aside()) {
            true => run_alone(home, shared, part, &mut sink, limit),
            false => home.choose().run(shared, part, &mut sink, limit),
        }
        first += part.len();
    }
}

fn run_alone(home: &Home, shared: &Shared, part: &[Operation<'_>], sink: &mut dyn Sink, limit: Limit) {
    let Some(line) = home.aside.claim() else {
        let words = format!("{ASIDE} operations with a connection to themselves are under way to {}", shared.address);
        let error = Error::new(Status::Busy, words).with_bits(bits::NOT_SENT);
        home.count(&Counters { operations: 1, failures: 1, ..Counters::default() });
        return super::fail_all(part.len(), sink, &error);
    };
    line.run(shared, part, sink, limit);
    line.disconnect(shared, &Error::new(Status::Ok, "closed behind the one operation that it was for"));
    line.release();
}

/// The answers of a part of a call, which begins at operation `first`.
struct From<'a> {
    sink: &'a mut dyn Sink,
    first: usize,
}

impl Sink for From<'_> {
    fn room(&mut self, index: usize, flags: u32, len: usize) -> Room<'_> {
        self.sink.room(self.first + index, flags, len)
    }

    fn answer(&mut self, index: usize, answer: Answer<'_>) {
        self.sink.answer(self.first + index, answer);
    }
}

// ---- A dump, line by line ----

/// Runs an operation that is answered in lines, and hands each one to `each` as it comes, until that answers `false`. The
/// usual time-out is for each piece that comes, not for the whole.
pub(super) fn dump(
    shared: &Shared,
    operation: &Operation<'_>,
    counted: &mut Counters,
    each: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<()> {
    let timeout = Duration::from_millis(shared.settings.timeout_ms.into());
    let connect = Duration::from_millis(shared.settings.connect_timeout_ms.into());
    let begun = clock::now();
    let calls = tally::made();
    let opened = opening::connect(shared, Deadline::after(timeout).earlier(Deadline::after(connect)));
    counted.system_calls += tally::made() - calls;
    shared.tell_connected(begun, opened.as_ref().err());
    let (socket, dialect) = opened?;
    counted.connects += 1;
    let mut batch = Batch::<()>::default();
    let written = batch.writer(dialect).push(operation, 0, 0, usize::MAX);
    let dumped = written.and_then(|()| {
        send(&socket, &batch.out(), counted)?;
        read_lines(shared, &socket, operation, timeout, counted, each)
    });
    counted.disconnects += 1;
    counted.system_calls += 1;
    shared.tell_closed(&Error::new(Status::Ok, "closed behind the one operation that it was for"));
    dumped
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

fn read_lines(
    shared: &Shared,
    socket: &Socket,
    operation: &Operation<'_>,
    timeout: Duration,
    counted: &mut Counters,
    each: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    let (mut start, mut end) = (0, 0);
    loop {
        let decoded = text::decode(operation.command, &buffer[start..end]);
        let head = decoded.map_err(|violation| {
            shared
                .named(&Error::new(Status::Protocol, format!("the server sent {}", violation.0)))
                .with_bits(bits::SENT)
        })?;
        let Some(head) = head else {
            buffer.copy_within(start..end, 0);
            (start, end) = (0, end - start);
            end += receive(shared, socket, &mut buffer[end..], timeout, counted)?;
            continue;
        };
        match head.what {
            What::Line if !each(head.detail) => return Ok(()),
            What::Line | What::Part => start += head.len,
            _ if head.status.is_failure() => {
                let words = String::from_utf8_lossy(head.detail).into_owned();
                return Err(Error::new(head.status, words).with_bits(bits::SENT));
            }
            _ => return Ok(()),
        }
    }
}

/// Receives once, within `timeout` from now.
fn receive(
    shared: &Shared,
    socket: &Socket,
    room: &mut [u8],
    timeout: Duration,
    counted: &mut Counters,
) -> Result<usize> {
    let deadline = Deadline::after(timeout);
    loop {
        let left = deadline.left();
        shared.check_open()?;
        if left.is_zero() {
            let words = format!("{} sent nothing for {} ms", shared.address, timeout.as_millis());
            return Err(Error::new(Status::Timeout, words).with_bits(bits::SENT));
        }
        counted.system_calls += 1;
        let wanted = Ready { read: true, write: false };
        if !socket.poll(wanted, left.min(LOOK)).map_err(|error| lost("waiting failed", &error))?.read {
            continue;
        }
        counted.system_calls += 1;
        match socket.receive(room, &mut [], Wait::No) {
            Ok(0) => {
                let words = format!("{} closed the connection", shared.address);
                return Err(Error::new(Status::Connection, words).with_bits(bits::SENT));
            }
            Ok(came) => {
                counted.bytes_received += came as u64;
                return Ok(came);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(lost("receiving failed", &error)),
        }
    }
}

fn lost(what: &str, error: &io::Error) -> Error {
    Error::os(status_of(error), what, error).with_bits(bits::SENT)
}
