//! Outgoing: a batch on its way into the kernel, which may take it in pieces; large values go straight from the caller's
//! memory, between the batch's own bytes.

use crate::connection::Piece;
use crate::net::Socket;
use crate::operation::Operation;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// See the module. The kernel has taken the first `sent` bytes.
pub(super) struct Outgoing {
    out: Arc<Vec<u8>>,
    pieces: Vec<Piece>,
    sent: usize,
    pub total: usize,
    /// Its operations without reply, which are answered once all is sent.
    pub quiet: Vec<u32>,
}

impl Outgoing {
    pub fn new(operations: &[Operation<'_>], out: Arc<Vec<u8>>, pieces: Vec<Piece>) -> Outgoing {
        let total = out.len() + pieces.iter().map(|piece| value_of(operations, piece).len()).sum::<usize>();
        Outgoing { out, pieces, sent: 0, total, quiet: Vec::new() }
    }

    pub fn is_sent(&self) -> bool {
        self.sent >= self.total
    }

    /// The kernel has taken so much more.
    pub fn advance(&mut self, taken: usize) {
        self.sent += taken;
    }

    /// What is left.
    pub fn send(&self, operations: &[Operation<'_>], socket: &Socket) -> io::Result<usize> {
        match self.pieces.is_empty() {
            true => socket.send(&self.out[self.sent..]),
            false => socket.send_vectored(&self.slices(operations)),
        }
    }

    fn slices<'a>(&'a self, operations: &[Operation<'a>]) -> Vec<IoSlice<'a>> {
        let (mut slices, mut skip, mut from) = (Vec::with_capacity(self.pieces.len() * 2), self.sent, 0);
        for piece in &self.pieces {
            for part in [&self.out[from..piece.until], value_of(operations, piece)] {
                let done = skip.min(part.len());
                skip -= done;
                if done < part.len() {
                    slices.push(IoSlice::new(&part[done..]));
                }
            }
            from = piece.until;
        }
        slices
    }
}

fn value_of<'a>(operations: &[Operation<'a>], piece: &Piece) -> &'a [u8] {
    let operation = piece.value_of.and_then(|index| operations.get(index as usize));
    operation.map_or(b"", |operation| operation.value)
}
