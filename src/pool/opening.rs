//! Opening: a connection on its way until the server is known to speak what is expected of it: connect, then handshake, and
//! both again where the handshake has learned that another one is wanted. It never blocks, so that one thread can open
//! many at the same time; who wants one alone drives it to its end.

use super::probe::converse;
use super::Shared;
use crate::connection::Handshake;
use crate::error::{Error, Result};
use crate::net::{poll_any, status_of, tally, Connecting, Deadline, Ready, Socket, LOOK};
use crate::protocol::Dialect;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

/// How long who waits for several looks away from one that has no socket to wait for: its name is looked up, or it pauses.
pub(super) const GLANCE: Duration = Duration::from_millis(1);

/// See the module.
pub(super) struct Opening {
    stage: Stage,
    pub deadline: Deadline,
}

enum Stage {
    Begun,
    Connecting(Box<Connecting>, Box<Handshake>),
    Greeting(Socket, Box<Handshake>),
}

impl Opening {
    pub fn new(deadline: Deadline) -> Opening {
        Opening { stage: Stage::Begun, deadline }
    }

    /// Goes on as far as it can without waiting; `None`: it is not open yet. Fails once the client is closed.
    pub fn advance(&mut self, shared: &Shared) -> Result<Option<(Socket, Dialect)>> {
        loop {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Begun) {
                Stage::Begun => {
                    // Before the socket: it may be that nothing is to be said there.
                    let handshake = Box::new(shared.handshake()?);
                    let settings = shared.socket_settings();
                    let connecting = Connecting::begin(&shared.address, &settings, self.deadline, None)?;
                    Stage::Connecting(Box::new(connecting), handshake)
                }
                Stage::Connecting(mut connecting, handshake) => match connecting.advance()? {
                    Some(socket) => Stage::Greeting(socket, handshake),
                    None => return self.wait_in(Stage::Connecting(connecting, handshake), shared),
                },
                Stage::Greeting(socket, mut handshake) => {
                    // An error, or another try: the close of this socket.
                    let outcome = converse(&socket, &mut handshake, self.deadline).inspect_err(|error| {
                        shared.greeting_failed(&handshake, error);
                        tally::add(1);
                    })?;
                    let Some(outcome) = outcome else {
                        return self.wait_in(Stage::Greeting(socket, handshake), shared);
                    };
                    shared.learn(&outcome);
                    if !outcome.reconnect {
                        return Ok(Some((socket, outcome.dialect)));
                    }
                    tally::add(1);
                    Stage::Begun
                }
            }
        }
    }

    fn wait_in(&mut self, stage: Stage, shared: &Shared) -> Result<Option<(Socket, Dialect)>> {
        self.stage = stage;
        shared.check_open().map(|()| None)
    }

    /// Goes through all of it.
    pub fn finish(&mut self, shared: &Shared) -> Result<(Socket, Dialect)> {
        loop {
            if let Some(opened) = self.go_on(shared, Deadline::at(u64::MAX))? {
                return Ok(opened);
            }
        }
    }

    /// Goes on, waiting where it has to, but not beyond `until`; `None`: it is not open by then.
    pub fn go_on(&mut self, shared: &Shared, until: Deadline) -> Result<Option<(Socket, Dialect)>> {
        loop {
            let opened = self.advance(shared)?;
            if opened.is_some() || until.is_over() {
                return Ok(opened);
            }
            self.wait(LOOK.min(until.left()))?;
        }
    }

    /// Blocks until it may go on, or for `most`.
    fn wait(&self, most: Duration) -> Result<()> {
        match &self.stage {
            Stage::Connecting(connecting, _) => connecting.wait(most).map_err(waiting_failed),
            _ => wait_for_any(std::iter::once(self), &[], most),
        }
    }

    /// What it waits for at which socket; `None`: there is no socket.
    fn awaits(&self) -> Option<(BorrowedFd<'_>, Ready)> {
        match &self.stage {
            Stage::Begun => None,
            Stage::Connecting(connecting, _) => connecting.descriptor().map(|fd| (fd, connecting.awaits())),
            Stage::Greeting(socket, _) => Some((socket.as_fd(), Ready { read: true, write: false })),
        }
    }

    /// When to go on at the latest.
    fn due(&self) -> Deadline {
        match &self.stage {
            Stage::Connecting(connecting, _) => connecting.due(),
            _ => self.deadline,
        }
    }
}

/// Blocks until one of them may go on, one of the sockets is ready, or for `most`.
pub(super) fn wait_for_any<'a>(
    openings: impl Iterator<Item = &'a Opening>,
    sockets: &'a [(Arc<Socket>, Ready)],
    most: Duration,
) -> Result<()> {
    let mut awaited: Vec<_> = sockets.iter().map(|(socket, ready)| (socket.as_fd(), *ready)).collect();
    let mut most = most;
    for opening in openings {
        most = most.min(opening.due().left());
        match opening.awaits() {
            Some(awaits) => awaited.push(awaits),
            None => most = most.min(GLANCE),
        }
    }
    poll_any(&awaited, most).map_err(waiting_failed)
}

fn waiting_failed(error: std::io::Error) -> Error {
    Error::os(status_of(&error), "waiting for a connection failed", &error)
}
