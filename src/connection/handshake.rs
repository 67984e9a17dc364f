//! Handshake: what is said on a fresh connection before its first operation. It is fed what came and says what is to be
//! sent, until the dialect is known; it knows no socket and no clock. Steps that a connection needs later (a login, for
//! one) have their place here.

use crate::error::{bits, Error, Result, Status};
use crate::net::Address;
use crate::protocol::{Dialect, ProtocolChoice};
use std::mem;

/// The longest line that the handshake reads.
const MAX_LINE: usize = 512;

/// How a handshake ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    pub dialect: Dialect,
    /// This connection is of no use any more; on the next one the dialect is known.
    pub reconnect: bool,
}

/// What was asked last.
enum Step {
    Version,
    MetaNoop,
    Done(Outcome),
}

/// See the module.
pub struct Handshake {
    address: Address,
    step: Step,
    request: Vec<u8>,
    line: Vec<u8>,
}

impl Handshake {
    /// The handshake with the server at `address`; `learned` is what `protocol=auto` has found it to speak.
    ///
    /// What is not known is found out on a connection without traffic: `version`, which every server and proxy answers,
    /// then `mn`. One that does not know `mn`, or hangs up on it, gets the classic text protocol.
    pub fn new(address: &Address, choice: ProtocolChoice, learned: Option<Dialect>) -> Handshake {
        let known = match choice {
            ProtocolChoice::Text => Some(Dialect::Text),
            ProtocolChoice::Meta => Some(Dialect::Meta),
            ProtocolChoice::Binary => Some(Dialect::Binary),
            ProtocolChoice::Auto => learned,
        };
        let mut handshake =
            Handshake { address: address.clone(), step: Step::Version, request: Vec::new(), line: Vec::new() };
        match known {
            Some(dialect) => handshake.done(dialect, false),
            None => handshake.ask(Step::Version, b"version\r\n"),
        }
        handshake
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.step {
            Step::Done(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// What is to be sent now; empty where an answer is awaited.
    pub fn take_request(&mut self) -> Vec<u8> {
        mem::take(&mut self.request)
    }

    /// Takes in what the server has sent.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<()> {
        self.line.extend_from_slice(bytes);
        if self.line.len() > MAX_LINE {
            return self.fail(Error::new(Status::Protocol, "the server sent a line without end"));
        }
        if !self.line.ends_with(b"\n") {
            return Ok(());
        }
        let line = mem::take(&mut self.line);
        let line = line.trim_ascii_end();
        match self.step {
            Step::Version => self.answer_to_version(line)?,
            Step::MetaNoop => match line {
                b"MN" => self.done(Dialect::TextMeta, false),
                b"ERROR" => self.done(Dialect::Text, false),
                _ => self.done(Dialect::Text, true),
            },
            Step::Done(_) => {}
        }
        Ok(())
    }

    /// The connection was lost, or no answer came in time: either that ends the handshake, or it fails with it.
    pub fn fail(&mut self, error: Error) -> Result<()> {
        match self.step {
            Step::Version => {
                let hint = "it may speak the binary protocol alone (protocol=binary)";
                let words = format!("{} did not answer \"version\": {}; {hint}", self.address, error.message());
                Err(Error::new(error.status(), words).with_os_error(error.os_error()).with_bits(bits::NOT_SENT))
            }
            Step::MetaNoop if error.status() == Status::Timeout => Err(error.with_bits(bits::NOT_SENT)),
            Step::MetaNoop => {
                self.done(Dialect::Text, true);
                Ok(())
            }
            Step::Done(_) => Ok(()),
        }
    }

    fn ask(&mut self, step: Step, request: &[u8]) {
        self.step = step;
        self.request = request.to_vec();
    }

    fn done(&mut self, dialect: Dialect, reconnect: bool) {
        self.step = Step::Done(Outcome { dialect, reconnect });
    }

    fn answer_to_version(&mut self, line: &[u8]) -> Result<()> {
        if !line.starts_with(b"VERSION ") {
            let words = format!("{} answered \"version\" with \"{}\"", self.address, line.escape_ascii());
            let status = if line.starts_with(b"ERROR Too many") { Status::ServerError } else { Status::Protocol };
            return Err(Error::new(status, words).with_bits(bits::NOT_SENT));
        }
        self.ask(Step::MetaNoop, b"mn\r\n");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auto() -> Handshake {
        Handshake::new(&Address::parse("host:1").unwrap(), ProtocolChoice::Auto, None)
    }

    /// A handshake that has got its version.
    fn asked_mn() -> Handshake {
        let mut handshake = auto();
        assert_eq!(handshake.take_request(), b"version\r\n");
        assert!(handshake.take_request().is_empty());
        handshake.receive(b"VERSION 1.6").unwrap();
        assert!(handshake.take_request().is_empty(), "the line has no end yet");
        handshake.receive(b".18\r\n").unwrap();
        assert_eq!(handshake.take_request(), b"mn\r\n");
        handshake
    }

    #[test]
    fn what_is_known_is_not_asked() {
        let address = Address::parse("host:1").unwrap();
        let known = [
            (ProtocolChoice::Text, None, Dialect::Text),
            (ProtocolChoice::Meta, Some(Dialect::Text), Dialect::Meta),
            (ProtocolChoice::Binary, None, Dialect::Binary),
            (ProtocolChoice::Auto, Some(Dialect::TextMeta), Dialect::TextMeta),
        ];
        for (choice, learned, dialect) in known {
            let mut handshake = Handshake::new(&address, choice, learned);
            assert!(handshake.take_request().is_empty());
            assert_eq!(handshake.outcome(), Some(Outcome { dialect, reconnect: false }));
        }
    }

    #[test]
    fn auto_finds_out() {
        let answers: [(&[u8], Dialect, bool); 3] = [
            (b"MN\r\n", Dialect::TextMeta, false),
            (b"ERROR\r\n", Dialect::Text, false),
            (b"SERVER_ERROR what\r\n", Dialect::Text, true),
        ];
        for (line, dialect, reconnect) in answers {
            let mut handshake = asked_mn();
            handshake.receive(line).unwrap();
            assert_eq!(handshake.outcome(), Some(Outcome { dialect, reconnect }));
        }
        let mut hung_up = asked_mn();
        hung_up.fail(Error::new(Status::Connection, "closed")).unwrap();
        assert_eq!(hung_up.outcome(), Some(Outcome { dialect: Dialect::Text, reconnect: true }));
    }

    #[test]
    fn failures_are_told() {
        let late = asked_mn().fail(Error::new(Status::Timeout, "no answer in time")).unwrap_err();
        assert_eq!((late.status(), late.bits()), (Status::Timeout, bits::NOT_SENT));
        let lost = auto().fail(Error::new(Status::Connection, "closed")).unwrap_err();
        assert!(lost.message().contains("host:1") && lost.message().contains("protocol=binary"), "{lost}");
        assert_eq!(auto().receive(b"ERROR Too many open connections\r\n").unwrap_err().status(), Status::ServerError);
        assert_eq!(auto().receive(b"HTTP/1.1 400 Bad\r\n").unwrap_err().status(), Status::Protocol);
        assert_eq!(auto().receive(&[b'x'; 600]).unwrap_err().status(), Status::Protocol);
    }
}
