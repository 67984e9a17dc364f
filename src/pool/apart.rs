//! Apart: the turn of a call that goes on over other servers meanwhile. It waits for none of them: what the kernel does not
//! take at once it keeps, with the right to write, until there is room. Between its steps it has no right to read and is on
//! nobody's list of those who may be woken for it, so that two such calls never wait for each other.

use super::call::Call;
use super::link::Link;
use super::turn::{Guard, Stop, Turn};
use crate::net::{Deadline, Ready, Socket, Wait};
use std::sync::Arc;

/// So often in a row a caller reads for others, while it waits for other servers too.
const MOST_GLANCES: usize = 16;

impl<'a> Turn<'a> {
    /// The first step, with the lock of a line that has a connection: sends as far as the kernel takes it.
    pub fn begin(&mut self, state: Guard<'a>) {
        let Some(mut state) = self.enter(state) else { return };
        let Some(link) = state.link.as_mut() else { return };
        if link.is_free() && !self.has_quiet() {
            let sequence = link.open.sequence;
            link.time(sequence);
        }
        self.is_apart = true;
        self.call = Some(Call::new(self.operations.len()));
        self.quiet = self.has_quiet();
        self.step(|turn| turn.send_first(state));
    }

    /// Whether all is sent that is to be, also of others' for whom it has begun to send.
    pub fn is_sent(&self) -> bool {
        let all = self.rest.is_none() && self.next >= self.operations.len();
        all || self.call.is_none() || self.failure.is_some()
    }

    /// Whether it has nothing more to wait for.
    pub fn is_over(&self) -> bool {
        self.is_sent() && (self.awaited.is_none() || self.is_done() && !self.is_to_thin_out())
    }

    /// Goes on with sending or, when that is done, reads what has come, for whomever it is; neither waits.
    pub fn proceed(&mut self) {
        match self.is_sent() {
            true => self.step(Turn::glance),
            false => self.step(Turn::send_on),
        }
    }

    /// Waits for the answers until then at the most.
    pub fn wait_until(&mut self, patience: Deadline) {
        let Some(sequence) = self.awaited else { return };
        self.patience = Some(patience);
        self.step(|turn| match turn.follow(sequence) {
            Err(Stop::Timeout { torn: false }) => Ok(()),
            followed => followed,
        });
        (self.patience, self.late_looks) = (None, 0);
    }

    /// The last step, for which no other server has to wait: collects the answers and hands them over.
    pub fn end(&mut self) {
        self.is_apart = false;
        self.awaited.into_iter().for_each(|sequence| self.line.words.enlist(sequence));
        self.wait_among_others();
        self.finish();
    }

    /// The socket that has news for it, and which; `None`: it is for others to bring them.
    pub fn awaits(&self) -> Option<(Arc<Socket>, Ready)> {
        let mut state = self.line.lock();
        let link = state.link_of(self.generation)?;
        let ready = Ready { read: link.role.is_some(), write: self.rest.is_some() };
        (ready != Ready::default()).then(|| (link.socket.clone(), ready))
    }

    /// Does something while it counts as one who may be woken for it. Afterwards it has no right to read, and if it cannot go
    /// on it has nothing more to wait for.
    fn step(&mut self, act: impl FnOnce(&mut Self) -> Result<(), Stop>) {
        self.awaited.into_iter().for_each(|sequence| self.line.words.enlist(sequence));
        let mut acted = act(self);
        // To give the right to read back may be to begin sending, but only once.
        for _ in 0..2 {
            acted = match acted {
                Ok(()) | Err(Stop::Later) if self.role.is_some() => self.hand_back(),
                acted => acted,
            };
        }
        self.awaited.into_iter().for_each(|sequence| self.line.delist(sequence));
        let stop = match acted {
            Ok(()) | Err(Stop::Later) if self.is_sent() || !self.limit.deadline.is_over() => return,
            Ok(()) | Err(Stop::Later) => Stop::Timeout { torn: self.rest.is_some() },
            Err(stop) => stop,
        };
        (self.awaited, self.rest) = (None, None);
        self.stop(stop);
    }

    fn send_on(&mut self) -> Result<(), Stop> {
        if let Some(mut outgoing) = self.rest.take() {
            let socket = self.line.lock().link_of(self.generation).map(|link| link.socket.clone());
            let quiet = std::mem::take(&mut outgoing.quiet);
            let sent = socket.ok_or_else(Stop::gone).and_then(|socket| self.send(&socket, outgoing));
            if let Some(outgoing) = &mut self.rest {
                outgoing.quiet = quiet;
                return sent;
            }
            self.answer_quiet(quiet, &sent);
            sent?;
            self.line.words.want_reader();
            self.release_writer()?;
        }
        self.send_large(self.line.lock())
    }

    /// Reads what has come.
    fn glance(&mut self) -> Result<(), Stop> {
        self.take_role(Link::needs_caller);
        if self.role.is_none() {
            return Ok(());
        }
        self.advance()?;
        for _ in 0..MOST_GLANCES {
            if self.is_reader_idle() || !self.receive(Wait::No)? {
                break;
            }
        }
        Ok(())
    }

    /// The kernel takes no more: reads what has come, as both sides may be stuck in sending. Whether something had.
    pub(super) fn make_room(&mut self) -> Result<bool, Stop> {
        self.take_role(|_| true);
        Ok(self.role.is_some() && self.receive(Wait::No)?)
    }

    /// Takes the right to read if nobody has it and `is_wanted` says so.
    fn take_role(&mut self, is_wanted: impl FnOnce(&Link) -> bool) {
        let mut state = self.line.lock();
        let Some(link) = state.link_of(self.generation).filter(|link| link.role.is_some() && is_wanted(link)) else {
            return;
        };
        self.role = link.role.take();
        self.line.words.reader_found();
        self.account(&mut state);
    }
}
