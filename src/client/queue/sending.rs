//! Sending: a batch on its way out, which the kernel may take in several parts. It owns its large values: a server may
//! answer, and the operation be forgotten, before all of one is sent.

use super::records::Records;
use crate::connection::Piece;
use crate::net::Socket;
use crate::pool::Counters;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// See the module.
pub(super) struct Sending {
    out: Arc<Vec<u8>>,
    /// Up to where the bytes of `out` go before a value.
    parts: Vec<(usize, Vec<u8>)>,
    sent: usize,
    total: usize,
}

impl Sending {
    /// The bytes of a batch, of which so many are sent, and its large values, which the records have had until now.
    pub fn new(out: Arc<Vec<u8>>, sent: usize, pieces: &[Piece], records: &mut Records) -> Sending {
        let mut value_of = |piece: &Piece| piece.value_of.map(|slot| records.take_value(slot)).unwrap_or_default();
        let parts: Vec<_> = pieces.iter().map(|piece| (piece.until, value_of(piece))).collect();
        let total = out.len() + parts.iter().map(|(_, value)| value.len()).sum::<usize>();
        Sending { out, parts, sent, total }
    }

    /// Sends until all is sent (true) or the kernel takes no more (false).
    pub fn go_on(&mut self, socket: &Socket, counted: &mut Counters) -> io::Result<bool> {
        while self.sent < self.total {
            let taken = match self.parts.is_empty() {
                true => send_some(socket, self.out.get(self.sent..).unwrap_or_default(), counted)?,
                false => taken(socket.send_vectored(&self.left()), counted)?,
            };
            if taken == 0 {
                return Ok(false);
            }
            self.sent += taken;
        }
        Ok(true)
    }

    /// What of the bytes and values is not sent yet.
    fn left(&self) -> Vec<IoSlice<'_>> {
        let (mut slices, mut skip, mut from) = (Vec::with_capacity(self.parts.len() * 2), self.sent, 0);
        for (until, value) in &self.parts {
            for part in [self.out.get(from..*until).unwrap_or_default(), value.as_slice()] {
                let done = skip.min(part.len());
                skip -= done;
                if done < part.len() {
                    slices.push(IoSlice::new(&part[done..]));
                }
            }
            from = *until;
        }
        slices
    }
}

/// Sends what the kernel takes of some bytes without waiting; answers with how many that were.
pub(super) fn send_some(socket: &Socket, bytes: &[u8], counted: &mut Counters) -> io::Result<usize> {
    taken(socket.send(bytes), counted)
}

/// How many bytes a send took. (It never takes none of some without an error.)
fn taken(sent: io::Result<usize>, counted: &mut Counters) -> io::Result<usize> {
    counted.system_calls += 1;
    match sent {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Ok(taken) => {
            counted.bytes_sent += taken as u64;
            Ok(taken)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error),
    }
}
