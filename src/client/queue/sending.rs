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
    /// The bytes of a batch, and its large values, which the records have had until now.
    pub fn new(out: Arc<Vec<u8>>, pieces: &[Piece], records: &mut Records) -> Sending {
        let mut value_of = |piece: &Piece| piece.value_of.map(|slot| records.take_value(slot)).unwrap_or_default();
        let parts: Vec<_> = pieces.iter().map(|piece| (piece.until, value_of(piece))).collect();
        let total = out.len() + parts.iter().map(|(_, value)| value.len()).sum::<usize>();
        Sending { out, parts, sent: 0, total }
    }

    /// Sends until all is sent (true) or the kernel takes no more (false).
    pub fn go_on(&mut self, socket: &Socket, counted: &mut Counters) -> io::Result<bool> {
        while self.sent < self.total {
            counted.system_calls += 1;
            let taken = match self.parts.is_empty() {
                true => socket.send(self.out.get(self.sent..).unwrap_or_default()),
                false => socket.send_vectored(&self.left()),
            };
            match taken {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    self.sent += taken;
                    counted.bytes_sent += taken as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
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
