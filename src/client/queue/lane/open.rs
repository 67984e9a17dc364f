//! The part of a lane that is its open connection: batches are launched on it and sent as far as the kernel takes them, and
//! what has come is read and handed out.

use super::super::output::Hands;
use super::super::records::Records;
use super::super::sending::{send_some, Sending};
use super::{watching_failed, Host, READ};
use crate::connection::{window, Batch, Broken, Reader, CAPACITY};
use crate::error::{Result, Status};
use crate::net::poller::Interest;
use crate::net::{status_of, Socket, Wait};
use crate::pool::{Counted, Counters};
use crate::protocol::Dialect;
use std::io;
use std::sync::Arc;

/// So many bytes are received from a lane before another one has its turn.
const FAIR_SHARE: usize = 1024 * 1024;
/// Bytes that are received at once while there are more than the receive buffer takes.
const MANY: usize = 4 * CAPACITY;
/// Of so many batches, one has the round trip asked for.
const MEASURE_EACH: u64 = 4096;

/// Writability is asked for only while a send waits for it: a socket that can be written to would else be ready always,
/// and whoever polls the queue's descriptor would be woken for nothing after each fetch that did not ask epoll.
const READ_AND_WRITE: Interest = READ.and(Interest::WRITE);

/// A connection that is ready for operations.
pub(super) struct Open {
    /// Who fetches may have it too, and wait in a receive on it; nobody else receives then.
    pub socket: Arc<Socket>,
    pub reader: Reader<()>,
    pub dialect: Dialect,
    round_trip: u64,
    pub in_flight: u32,
    /// What of the last batch is not sent yet.
    pub sending: Option<Sending>,
    /// The kernel took not all of it, and has not said that it takes more.
    pub blocked: bool,
    /// Writability is asked for.
    pub watching: bool,
    pub hung_up: bool,
    pub last_used: u64,
    pub sent_at: u64,
    pub received_at: u64,
    /// How often all connections had been dropped when it was opened.
    pub drops: u64,
    pub presence: Counted,
}

impl Open {
    pub fn new(socket: Socket, dialect: Dialect, host: &Host<'_>) -> Open {
        let max_value = usize::try_from(host.shared.settings.max_value_bytes).unwrap_or(usize::MAX);
        Open {
            round_trip: socket.round_trip(),
            socket: Arc::new(socket),
            reader: Reader::new(max_value),
            dialect,
            in_flight: 0,
            sending: None,
            blocked: false,
            watching: false,
            hung_up: false,
            last_used: host.now,
            sent_at: host.now,
            received_at: 0,
            drops: host.shared.drops(),
            presence: host.shared.count_lane(),
        }
    }

    /// Whether one batch more may be in flight.
    pub fn has_window(&self) -> bool {
        self.in_flight < window(self.round_trip)
    }

    /// Sends a batch as far as the kernel takes it.
    pub fn launch(
        &mut self,
        mut batch: Box<Batch<()>>,
        now: u64,
        records: &mut Records,
        counted: &mut Counters,
    ) -> io::Result<()> {
        batch.assign(());
        batch.seal(self.dialect);
        if batch.sequence % MEASURE_EACH == 0 {
            self.round_trip = self.socket.round_trip();
        }
        if self.in_flight == 0 {
            self.sent_at = now;
        }
        self.last_used = now;
        self.in_flight += 1;
        self.presence.set_busy(true);
        let pieces = batch.take_pieces();
        // Most batches are their bytes alone, and the kernel takes them at once.
        let sent = match pieces.is_empty() {
            true => send_some(&self.socket, batch.bytes(), counted),
            false => Ok(0),
        };
        if !pieces.is_empty() || !matches!(sent, Ok(sent) if sent == batch.size()) {
            let sent = *sent.as_ref().unwrap_or(&0);
            self.sending = Some(Sending::new(batch.out(), sent, &pieces, records));
        }
        self.reader.push(batch);
        sent.map(drop)
    }

    /// Goes on with what is not sent yet; answers whether all is now.
    pub fn send_rest(&mut self, counted: &mut Counters) -> io::Result<bool> {
        let Some(sending) = &mut self.sending else { return Ok(true) };
        let all = sending.go_on(&self.socket, counted)?;
        if all {
            self.sending = None;
        }
        Ok(all)
    }

    /// Asks for an edge when the kernel takes more, or no longer does.
    pub fn watch_writing(&mut self, host: &Host<'_>, blocked: bool) -> Result<()> {
        self.blocked = blocked;
        if self.watching == blocked {
            return Ok(());
        }
        self.watching = blocked;
        let watched = host.poller.modify(&self.socket, host.token, if blocked { READ_AND_WRITE } else { READ });
        watched.map_err(|error| watching_failed(host.shared, &error))
    }

    /// The socket, where the next bytes are the first of a reply and may be received by somebody who has not the lock.
    pub fn lone_socket(&self) -> Option<&Arc<Socket>> {
        let is_clear = self.reader.is_clear() && self.sending.is_none() && self.socket.is_plain();
        is_clear.then_some(&self.socket)
    }

    /// Receives until nothing is left, nothing is awaited, or it is another one's turn. What was received before is taken
    /// in first. Answers whether there may be more.
    pub fn read(&mut self, now: u64, hands: &mut Hands<'_, '_>, early: Early<'_>) -> std::result::Result<bool, Broken> {
        let mut is_large = false;
        let read = self.read_all(now, hands, early, &mut is_large);
        if is_large {
            self.reader.exchange_memory(hands.large);
        }
        read
    }

    /// The same. If much comes, the queue's larger memory takes the receive buffer's place: then it `is_large`.
    fn read_all(
        &mut self,
        now: u64,
        hands: &mut Hands<'_, '_>,
        mut early: Early<'_>,
        is_large: &mut bool,
    ) -> std::result::Result<bool, Broken> {
        let (mut share, mut received) = (FAIR_SHARE, false);
        while share > 0 && hands.output.room() > 0 || early.is_some() {
            if received && self.reader.is_idle() && !self.hung_up {
                return self.check_quiet().map(|()| false);
            }
            let Open { reader, socket, .. } = self;
            let (mut asked, room) = (0, hands.output.room());
            hands.counted.system_calls += 1;
            let mut early = early.take().map(|(came, memory)| {
                reader.exchange_memory(memory);
                came
            });
            let came = reader.receive(hands, &mut |first, second, _| {
                asked = first.len() + second.len();
                early.take().unwrap_or_else(|| socket.receive(first, second, Wait::No))
            });
            match came {
                Ok(0) => return Err(broken("the server closed the connection".into())),
                Ok(came) => {
                    hands.counted.bytes_received += came as u64;
                    (self.received_at, self.last_used, received) = (now, now, true);
                    share = share.saturating_sub(came);
                    self.reader.advance(hands)?;
                    // Less than there was room for: nothing is left, and what comes now makes a new edge.
                    if came < asked && !self.hung_up {
                        return self.check_quiet().map(|()| false);
                    }
                    // More is there. What finds no room is copied, so that it must not be more answers than there is room for.
                    let answers = room - hands.output.room();
                    if !*is_large && hands.output.room() / (MANY / CAPACITY) > answers {
                        hands.large.resize(MANY, 0); // nothing to be done from the second time on
                        self.reader.exchange_memory(hands.large);
                        *is_large = true;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => {
                    let message = format!("receiving failed: {error}");
                    return Err(Broken { status: status_of(&error), message });
                }
            }
        }
        Ok(true)
    }

    /// Bytes that answer nothing poison the connection.
    fn check_quiet(&self) -> std::result::Result<(), Broken> {
        match self.reader.is_idle() && self.reader.has_bytes() {
            true => {
                let message = "the server sent bytes that nobody asked for".to_string();
                Err(Broken { status: Status::Protocol, message })
            }
            false => Ok(()),
        }
    }
}

/// What was received for a lane while nobody had the lock, if anything was: how much, and the memory that it is in.
pub(super) type Early<'a> = Option<(io::Result<usize>, &'a mut Vec<u8>)>;

fn broken(message: String) -> Broken {
    Broken { status: Status::Connection, message }
}
