//! Probe: one attempt to find out whether a server answers again, on a connection of its own, as far as it goes without
//! waiting. It connects, logs in where there are credentials, and asks for the version; what comes back is all it wants.

use super::Shared;
use crate::connection::{Handshake, Known, Outcome};
use crate::error::{Error, Result, Status};
use crate::net::{status_of, tally, Connecting, Deadline, Socket, Wait};
use crate::protocol::{Dialect, ProtocolChoice};
use std::io;

/// See the module.
pub(super) struct Probe {
    stage: Stage,
    /// What was found out by an attempt that the server has ended.
    known: Known,
    deadline: Deadline,
}

enum Stage {
    Connecting(Box<Connecting>),
    Greeting(Socket, Box<Handshake>),
}

impl Probe {
    /// Starts one at `now`.
    pub fn begin(shared: &Shared, now: u64) -> Result<Probe> {
        let deadline = Deadline::at(now + u64::from(shared.settings.connect_timeout_ms) * 1_000_000);
        let dialect = (shared.settings.protocol == ProtocolChoice::Binary).then_some(Dialect::Binary);
        Ok(Probe { stage: connect(shared, deadline)?, known: Known { dialect, ..Known::default() }, deadline })
    }

    /// Goes on as far as it can; `false`: there is no answer yet.
    pub fn advance(&mut self, shared: &Shared) -> Result<bool> {
        loop {
            match &mut self.stage {
                Stage::Connecting(connecting) => {
                    let Some(socket) = connecting.advance()? else { return Ok(false) };
                    self.stage = Stage::Greeting(socket, Box::new(self.greeting(shared)?));
                }
                Stage::Greeting(socket, handshake) => {
                    let Some(outcome) = converse(socket, handshake, self.deadline)? else { return Ok(false) };
                    if !outcome.reconnect {
                        return Ok(true);
                    }
                    self.known = outcome.known;
                    self.stage = connect(shared, self.deadline)?;
                }
            }
        }
    }

    /// Whatever protocol was chosen, the server must say something.
    fn greeting(&self, shared: &Shared) -> Result<Handshake> {
        let login = shared.login()?;
        let choice = if login.is_some() { shared.settings.protocol } else { ProtocolChoice::Auto };
        Handshake::begin(&shared.address, choice, login, Known { doubtful: true, ..self.known })
    }
}

fn connect(shared: &Shared, deadline: Deadline) -> Result<Stage> {
    let connecting = Connecting::begin(&shared.address, &shared.socket_settings(), deadline, None)?;
    Ok(Stage::Connecting(Box::new(connecting)))
}

/// Goes on with a handshake as far as it can without waiting; `None`: not to its end.
pub(super) fn converse(socket: &Socket, handshake: &mut Handshake, deadline: Deadline) -> Result<Option<Outcome>> {
    loop {
        if let Some(outcome) = handshake.outcome() {
            return Ok(Some(outcome));
        }
        match exchange(socket, &handshake.take_request()) {
            Ok(Some(bytes)) => handshake.receive(&bytes)?,
            Ok(None) if !deadline.is_over() => return Ok(None),
            Ok(None) => handshake.fail(Error::new(Status::Timeout, "no answer in time"))?,
            Err(error) => handshake.fail(error)?,
        }
    }
}

/// Sends a request of a handshake and receives what is there; `None`: nothing yet.
pub(crate) fn exchange(socket: &Socket, request: &[u8]) -> Result<Option<Vec<u8>>> {
    tally::add(1 + u64::from(!request.is_empty()));
    let lost = |error: io::Error| Error::os(status_of(&error), "the connection was lost", &error);
    let said = match request.is_empty() {
        true => Ok(0),
        false => socket.send(request).map_err(lost),
    };
    if said.as_ref().is_ok_and(|sent| *sent != request.len()) {
        return Err(Error::new(Status::Connection, "the handshake could not be sent"));
    }
    let mut chunk = [0; 512];
    let came = socket.receive(&mut chunk, &mut [], Wait::No);
    if !matches!(came, Ok(1..)) {
        // A server that has hung up may have said why; if not, this is what is known.
        said?;
    }
    match came {
        Ok(0) => Err(Error::new(Status::Connection, "the server closed the connection")),
        Ok(came) => Ok(Some(chunk[..came].to_vec())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(lost(error)),
    }
}
