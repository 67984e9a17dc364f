//! Probe: one attempt to find out whether a server answers again, on a connection of its own, as far as it goes without
//! waiting. It connects and asks for the version; where there are credentials it logs in, and then sends NOOP, or `version` to
//! a server that reads lines. That an answer comes back is all it wants.

use super::Shared;
use crate::connection::{Handshake, Known, Outcome};
use crate::error::{Error, Result, Status};
use crate::net::{status_of, tally, Connecting, Deadline, Socket, Wait};
use crate::protocol::binary::code;
use crate::protocol::sasl::{frame, Message};
use crate::protocol::{Dialect, ProtocolChoice};
use std::{io, mem};

/// The longest line that an answer may have.
const MAX_LINE: usize = 512;

/// See the module.
pub(super) struct Probe {
    stage: Stage,
    /// What was found out by an attempt that the server has ended.
    known: Known,
    /// What is asked behind a login.
    question: Option<Question>,
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
        let (stage, known) = (connect(shared, deadline)?, Known { dialect, doubtful: true, ..Known::default() });
        Ok(Probe { stage, known, question: None, deadline })
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
                    let greeted = converse(socket, handshake, self.deadline);
                    let failed = |error: &Error| shared.greeting_failed(handshake, error);
                    let logs_in = handshake.generation().is_some();
                    let Some(outcome) = greeted.inspect_err(failed)? else {
                        // What else it understands may be found out by those who need it.
                        return Ok(!logs_in && handshake.knows_version());
                    };
                    if outcome.reconnect {
                        self.known = outcome.known;
                        self.stage = connect(shared, self.deadline)?;
                        continue;
                    }
                    let question = || Question::to(outcome.dialect);
                    return match logs_in {
                        true => self.question.get_or_insert_with(question).ask(socket, self.deadline),
                        false => Ok(true),
                    };
                }
            }
        }
    }

    /// Whatever protocol was chosen, the server must say something: without a login, its version.
    fn greeting(&self, shared: &Shared) -> Result<Handshake> {
        let login = shared.login()?;
        let choice = if login.is_some() { shared.settings.protocol } else { ProtocolChoice::Auto };
        Handshake::begin(&shared.address, choice, login, self.known)
    }
}

/// A command that every server answers who lets the client in.
struct Question {
    is_binary: bool,
    request: Message,
    answer: Vec<u8>,
}

impl Question {
    fn to(dialect: Dialect) -> Question {
        let is_binary = dialect == Dialect::Binary;
        let request = match is_binary {
            true => frame::request(frame::NOOP, "", b""),
            false => Message::new(b"version\r\n".to_vec()),
        };
        Question { is_binary, request, answer: Vec::new() }
    }

    /// Goes on as far as it can without waiting; whether it is answered.
    fn ask(&mut self, socket: &Socket, deadline: Deadline) -> Result<bool> {
        while !self.is_answered()? {
            match exchange(socket, &mem::take(&mut self.request))? {
                Some(bytes) => self.answer.extend_from_slice(&bytes),
                None if !deadline.is_over() => return Ok(false),
                None => return Err(Error::new(Status::Timeout, "no answer in time")),
            }
        }
        Ok(true)
    }

    fn is_answered(&self) -> Result<bool> {
        let answer = match self.is_binary {
            true => frame::reply(frame::NOOP, &self.answer).map(|reply| reply.map(|reply| reply.code == code::OK)),
            false => Ok(self.answer.contains(&b'\n').then(|| self.answer.starts_with(b"VERSION "))),
        };
        match answer {
            Ok(None) if self.answer.len() <= MAX_LINE => Ok(false),
            Ok(Some(true)) => Ok(true),
            // What it sent may have the password in it.
            _ => Err(Error::new(Status::Protocol, "the server sent what is no answer to a probe")),
        }
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
