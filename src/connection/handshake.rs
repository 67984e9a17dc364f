//! Handshake: what is said on a fresh connection before its first operation: who the client is, and, for `protocol=auto`,
//! what the server understands. It is fed what came and says what is to be sent, until the dialect is known; it knows no
//! socket and no clock, and a server that lies can make it fail and nothing else.

use super::known::{hash_of, Known};
use super::login::{Login, Style};
use crate::error::{bits, Error, Result, Status};
use crate::net::Address;
use crate::protocol::binary::{code, RESPONSE};
use crate::protocol::sasl::{frame, Exchange, Mechanism, Message};
use crate::protocol::{Dialect, ProtocolChoice, Violation};
use std::mem;

#[cfg(test)]
mod tests;

/// The longest line that the handshake reads.
const MAX_LINE: usize = 512;

/// `version` so often fills a binary header, so that a server that waits for one finds that this is none, and hangs up.
const VERSIONS: u8 = 3;
/// The same in one line, for a server that may answer it once however often it is asked: memcached before a login.
const LONG_VERSION: &[u8] = b"version                \r\n";

/// How a handshake ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    pub dialect: Dialect,
    /// What is known of the server now.
    pub known: Known,
    /// This connection is of no use any more; the next one begins with what is known.
    pub reconnect: bool,
}

/// What was asked last.
enum Step {
    /// `version`, and how many answers are to come.
    Version(u8),
    /// The same as a binary frame.
    BinaryVersion,
    MetaNoop,
    AsciiLogin,
    /// Whether the password of MemCachier's login was stored as an item.
    Unstore,
    SaslList,
    Sasl(Box<Exchange>, Mechanism, u8),
    Done(Outcome),
}

/// See the module.
pub struct Handshake {
    address: Address,
    choice: ProtocolChoice,
    login: Option<Login>,
    known: Known,
    /// The server has accepted an ASCII login, or wants none.
    admitted: bool,
    step: Step,
    request: Message,
    input: Message,
}

impl Handshake {
    /// The handshake with the server at `address`, of which `known` was found out before. Fails where the password must
    /// not be said there.
    ///
    /// What `protocol=auto` does not know it finds out on a connection without traffic. With credentials it asks for
    /// SASL's mechanisms first. Else, and where the server reads lines, it asks for `version`, which every server and
    /// proxy answers, then `mn`: one that does not know it, or hangs up on it, gets the classic text protocol. A server
    /// that hangs up on `version` speaks binary.
    pub fn begin(address: &Address, choice: ProtocolChoice, login: Option<Login>, known: Known) -> Result<Handshake> {
        let mut handshake = Handshake {
            address: address.clone(),
            choice,
            admitted: login.is_none(),
            login,
            known,
            step: Step::MetaNoop,
            request: Message::default(),
            input: Message::default(),
        };
        handshake.start()?;
        Ok(handshake)
    }

    fn start(&mut self) -> Result<()> {
        let sure = self.known.dialect.filter(|_| !self.known.doubtful);
        match (self.choice, self.login.as_ref().map(|login| login.rules.style)) {
            (ProtocolChoice::Auto, None) => match (sure, self.known.dialect) {
                (Some(dialect), _) => self.done(dialect),
                (None, Some(Dialect::Binary)) => self.ask(Step::BinaryVersion, frame::request(frame::VERSION, "", b"")),
                _ => self.ask_version(VERSIONS),
            },
            (ProtocolChoice::Auto, Some(Style::Auto | Style::Sasl)) if self.known.ascii && !self.known.doubtful => {
                self.ask(Step::Version(1), Message::new(LONG_VERSION.to_vec()))
            }
            (ProtocolChoice::Auto, Some(Style::Auto | Style::Sasl)) | (ProtocolChoice::Binary, Some(_)) => {
                self.ask(Step::SaslList, frame::request(frame::LIST, "", b""))
            }
            (_, Some(Style::Memcachier)) => self.log_in(),
            (_, Some(_)) => self.ask_version(1),
            (ProtocolChoice::Binary, None) => self.done(Dialect::Binary),
            (ProtocolChoice::Text, None) => self.done(Dialect::Text),
            (ProtocolChoice::Meta, None) => self.done(Dialect::Meta),
        }
    }

    /// Of the credentials that it logs in with.
    pub fn generation(&self) -> Option<u64> {
        self.login.as_ref().map(|login| login.generation)
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.step {
            Step::Done(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Whether the server has said its version, so that somebody is there.
    pub fn knows_version(&self) -> bool {
        self.known.version != 0
    }

    /// What is to be sent now; empty where an answer is awaited.
    pub fn take_request(&mut self) -> Message {
        mem::take(&mut self.request)
    }

    /// Takes in what the server has sent.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<()> {
        self.input.extend_from_slice(bytes);
        match self.step {
            Step::SaslList | Step::Sasl(..) | Step::BinaryVersion => self.receive_frame()?,
            _ => self.receive_lines()?,
        }
        match self.outcome() {
            Some(outcome) if !outcome.reconnect && !self.input.is_empty() => {
                let violation = Violation::quoting("bytes that nobody asked for", &self.input);
                Err(self.violated(&violation))
            }
            _ => Ok(()),
        }
    }

    /// The connection was lost, or no answer came in time: either that ends the handshake, or it fails with it.
    pub fn fail(&mut self, error: Error) -> Result<()> {
        let lost = !matches!(error.status(), Status::Timeout | Status::Tls);
        let auto = self.choice == ProtocolChoice::Auto;
        let (asked, hint) = match self.step {
            Step::Done(_) => return Ok(()),
            Step::MetaNoop if lost => return self.fall_back_to_text(),
            // That it is gone says nothing where it has been asked so already.
            Step::Version(_) if lost && auto && self.login.is_none() => return self.reconnect(BINARY_PERHAPS),
            Step::BinaryVersion if lost && self.known.version != 0 => return self.reconnect(Known::default()),
            Step::SaslList if lost && auto => return self.reconnect(READS_LINES),
            Step::Version(_) => ("\"version\"", "; it may speak the binary protocol alone (protocol=binary)"),
            Step::BinaryVersion => ("\"version\", in text or binary", ""),
            Step::MetaNoop => ("\"mn\"", ""),
            Step::AsciiLogin | Step::Unstore => ("the login", ""),
            Step::SaslList => ("the question for SASL mechanisms", "; it may not speak the binary protocol"),
            Step::Sasl(..) => ("the SASL login", ""),
        };
        let words = format!("{} did not answer {asked}: {}{hint}", self.address, error.message());
        Err(Error::new(error.status(), words).with_os_error(error.os_error()).with_bits(bits::NOT_SENT))
    }

    // ---- What is asked, and how it ends ----

    fn ask(&mut self, step: Step, request: Message) -> Result<()> {
        self.step = step;
        self.request = request;
        Ok(())
    }

    fn ask_version(&mut self, times: u8) -> Result<()> {
        self.ask(Step::Version(times), Message::new(b"version\r\n".repeat(times.into())))
    }

    fn log_in(&mut self) -> Result<()> {
        let Some(login) = &self.login else { return Ok(()) };
        login.check_plaintext(&self.address, "an ASCII login").map_err(|error| error.with_bits(bits::NOT_SENT))?;
        let request = login.ascii_request().map_err(|error| error.with_bits(bits::NOT_SENT))?;
        self.ask(Step::AsciiLogin, request)
    }

    fn done(&mut self, dialect: Dialect) -> Result<()> {
        let known = Known { dialect: Some(dialect), doubtful: false, ..self.known };
        self.step = Step::Done(Outcome { dialect, known, reconnect: false });
        Ok(())
    }

    fn reconnect(&mut self, known: Known) -> Result<()> {
        let dialect = known.dialect.unwrap_or(Dialect::Text);
        self.step = Step::Done(Outcome { dialect, known, reconnect: true });
        Ok(())
    }

    fn fall_back_to_text(&mut self) -> Result<()> {
        self.reconnect(Known { dialect: Some(Dialect::Text), doubtful: false, ..self.known })
    }

    /// The server takes commands now. What it understands may be known.
    fn admit(&mut self) -> Result<()> {
        self.admitted = true;
        match (self.choice, self.known.dialect) {
            (ProtocolChoice::Meta, _) => self.done(Dialect::Meta),
            (ProtocolChoice::Text | ProtocolChoice::Binary, _) => self.done(Dialect::Text),
            (ProtocolChoice::Auto, Some(dialect)) if !self.known.doubtful && self.known.version != 0 => {
                self.done(dialect)
            }
            (ProtocolChoice::Auto, _) => self.ask_version(1),
        }
    }

    // ---- Lines ----

    fn receive_lines(&mut self) -> Result<()> {
        while self.outcome().is_none() {
            let Some(end) = self.input.iter().position(|byte| *byte == b'\n') else {
                let endless = self.input.len() > MAX_LINE;
                return if endless {
                    Err(self.violated(&Violation::quoting("a line without end", &self.input)))
                } else {
                    Ok(())
                };
            };
            let line = Message::new(self.input.drain(..=end).collect());
            self.receive_line(line.trim_ascii_end())?;
        }
        Ok(())
    }

    fn receive_line(&mut self, line: &[u8]) -> Result<()> {
        self.check_welcome(line)?;
        match self.step {
            Step::Version(left) => self.answer_to_version(line, left),
            Step::MetaNoop => match line {
                b"MN" => self.done(Dialect::TextMeta),
                b"ERROR" => self.done(Dialect::Text),
                _ => self.fall_back_to_text(),
            },
            Step::AsciiLogin => self.answer_to_login(line),
            Step::Unstore => match line {
                b"DELETED" => self.check_optional().and_then(|()| self.admit()),
                _ => self.admit(),
            },
            _ => Ok(()),
        }
    }

    /// A server that is full says so unasked, and hangs up.
    fn check_welcome(&self, line: &[u8]) -> Result<()> {
        match line.strip_prefix(b"ERROR ") {
            Some(words) => Err(self.error(Status::ServerError, &format!("does not serve: {}", self.quote(words)))),
            None => Ok(()),
        }
    }

    fn answer_to_version(&mut self, line: &[u8], left: u8) -> Result<()> {
        if let Some(version) = line.strip_prefix(b"VERSION ") {
            if left > 1 {
                self.step = Step::Version(left - 1);
                return Ok(());
            }
            if !self.admitted {
                self.check_optional()?;
            }
            return self.version_is(hash_of(version));
        }
        if line.starts_with(b"CLIENT_ERROR ") && !self.admitted {
            return self.log_in();
        }
        let words = self.quote(line);
        match line.starts_with(b"CLIENT_ERROR ") {
            true => Err(self.error(Status::Auth, &format!("wants a login, and no username is set: {words}"))),
            false => Err(self.error(Status::Protocol, &format!("answered \"version\" with {words}"))),
        }
    }

    fn version_is(&mut self, version: u32) -> Result<()> {
        self.admitted = true;
        let same = self.known.version == version;
        self.known.version = version;
        match (self.choice, self.known.dialect) {
            (ProtocolChoice::Auto, Some(dialect)) if same && dialect != Dialect::Binary => self.done(dialect),
            (ProtocolChoice::Auto, _) => self.ask(Step::MetaNoop, Message::new(b"mn\r\n".to_vec())),
            _ => self.admit(),
        }
    }

    fn answer_to_login(&mut self, line: &[u8]) -> Result<()> {
        let Some(login) = &self.login else { return Ok(()) };
        if line == b"STORED" {
            if login.rules.style == Style::Memcachier {
                let request = format!("delete {}\r\n", login.credentials.username);
                return self.ask(Step::Unstore, Message::new(request.into_bytes()));
            }
            return self.admit();
        }
        let words = self.quote(line);
        match line.starts_with(b"CLIENT_ERROR") || line == b"ERROR" {
            true => Err(self.refused(&words)),
            false => Err(self.error(Status::Protocol, &format!("answered the login with {words}"))),
        }
    }

    // ---- Frames ----

    fn receive_frame(&mut self) -> Result<()> {
        if self.input.first().is_some_and(|first| *first != RESPONSE) {
            return self.receive_no_frame();
        }
        let opcode = match self.step {
            Step::SaslList => frame::LIST,
            Step::Sasl(.., opcode) => opcode,
            _ => frame::VERSION,
        };
        let input = mem::take(&mut self.input);
        match frame::reply(opcode, &input) {
            Err(violation) => Err(self.violated(&violation)),
            Ok(None) => {
                self.input = input;
                Ok(())
            }
            Ok(Some(reply)) => match mem::replace(&mut self.step, Step::SaslList) {
                Step::SaslList => self.answer_to_list(&reply),
                Step::Sasl(exchange, mechanism, _) => self.answer_to_sasl(exchange, mechanism, &reply),
                _ => {
                    self.known.version = hash_of(reply.body);
                    self.done(Dialect::Binary)
                }
            },
        }
    }

    /// A server that speaks in lines where a frame was asked for.
    fn receive_no_frame(&mut self) -> Result<()> {
        let Some(end) = self.input.iter().position(|byte| *byte == b'\n') else {
            let endless = self.input.len() > MAX_LINE;
            return if endless { Err(self.violated(&Violation::quoting("no reply", &self.input))) } else { Ok(()) };
        };
        let line = Message::new(self.input.drain(..=end).collect());
        let line = line.trim_ascii_end();
        self.check_welcome(line)?;
        match self.step {
            Step::SaslList if self.choice == ProtocolChoice::Auto => self.reconnect(READS_LINES),
            Step::BinaryVersion if self.known.version != 0 => self.reconnect(Known::default()),
            _ => {
                let words = format!("answered a binary request with {}; it may not speak binary", self.quote(line));
                Err(self.error(Status::Protocol, &words))
            }
        }
    }

    fn answer_to_list(&mut self, reply: &frame::Reply<'_>) -> Result<()> {
        match reply.code {
            code::OK => self.begin_sasl(reply.body),
            code::UNKNOWN_COMMAND => self.check_optional().and_then(|()| self.done(Dialect::Binary)),
            code => Err(self.coded(code, reply.body)),
        }
    }

    fn begin_sasl(&mut self, offered: &[u8]) -> Result<()> {
        let Some(login) = &self.login else { return Ok(()) };
        let shown_ok = login.may_show_password(&self.address);
        let wanted = |mechanism: &Mechanism| login.rules.mechanism.is_none_or(|only| only == *mechanism);
        let mut usable = Mechanism::ALL.into_iter().filter(wanted).filter(|mechanism| mechanism.is_in(offered));
        match usable.clone().find(|mechanism| shown_ok || !mechanism.shows_password()) {
            Some(mechanism) => {
                let credentials = &login.credentials;
                let (exchange, first) =
                    Exchange::begin(mechanism, &credentials.username, &credentials.password, &login.nonce);
                let request = frame::request(frame::AUTH, mechanism.name(), &first);
                self.ask(Step::Sasl(Box::new(exchange), mechanism, frame::AUTH), request)
            }
            None if usable.next().is_some() => login
                .check_plaintext(&self.address, "PLAIN, all it offers,")
                .map_err(|error| error.with_bits(bits::NOT_SENT)),
            None => {
                let names =
                    Mechanism::ALL.into_iter().filter(wanted).map(Mechanism::name).collect::<Vec<_>>().join(" ");
                let words = format!("offers the SASL mechanisms {}; wanted is one of {names}", self.quote(offered));
                Err(self.error(Status::Auth, &words))
            }
        }
    }

    fn answer_to_sasl(
        &mut self,
        mut exchange: Box<Exchange>,
        mechanism: Mechanism,
        reply: &frame::Reply<'_>,
    ) -> Result<()> {
        let distrusted = |this: &Handshake, why: String| {
            Err(this.error(Status::Auth, &format!("cannot be trusted with {}: {why}", mechanism.name())))
        };
        match reply.code {
            code::OK => match exchange.accept(reply.body) {
                Ok(()) => self.done(Dialect::Binary),
                Err(why) => distrusted(self, why),
            },
            code::AUTH_CONTINUE => match exchange.answer(reply.body) {
                Ok(answer) => {
                    let request = frame::request(frame::STEP, mechanism.name(), &answer);
                    self.ask(Step::Sasl(exchange, mechanism, frame::STEP), request)
                }
                Err(why) => distrusted(self, why),
            },
            code => Err(self.coded(code, reply.body)),
        }
    }

    // ---- Failures ----

    fn error(&self, status: Status, words: &str) -> Error {
        Error::new(status, format!("{} {words}", self.address)).with_bits(bits::NOT_SENT)
    }

    fn violated(&self, violation: &Violation) -> Error {
        match &self.login {
            // What it sent may have the password in it.
            Some(_) => self.error(Status::Protocol, "sent what is no answer to the login"),
            None => self.error(Status::Protocol, &format!("sent {}", violation.0)),
        }
    }

    fn quote(&self, words: &[u8]) -> String {
        match &self.login {
            Some(login) => login.quote(words),
            None => format!("\"{}\"", words[..words.len().min(100)].escape_ascii()),
        }
    }

    fn refused(&self, words: &str) -> Error {
        let username = self.login.as_ref().map_or("", |login| &login.credentials.username);
        self.error(Status::Auth, &format!("refused user {username:?}: {words}"))
    }

    /// A login that a status code of the binary protocol ended. (The second is in the protocol's older descriptions.)
    fn coded(&self, code: u16, words: &[u8]) -> Error {
        let words = self.quote(words);
        match code {
            code::AUTH_ERROR | OLD_AUTH_ERROR => self.refused(&words),
            _ => self.error(Status::ServerError, &format!("ended the login with status {code:#04x}: {words}")),
        }
    }

    /// The server has turned out to want no login.
    fn check_optional(&mut self) -> Result<()> {
        match &self.login {
            Some(login) if !login.rules.optional => {
                let words = "has no authentication, and credentials are set; auth_optional=true goes on without";
                Err(self.error(Status::Auth, words))
            }
            _ => Ok(()),
        }
    }
}

const OLD_AUTH_ERROR: u16 = 0x08;

/// A server that hung up on `version`: to be tried in binary.
const BINARY_PERHAPS: Known = Known { dialect: Some(Dialect::Binary), ascii: false, doubtful: true, version: 0 };
/// A server that does not answer in binary.
const READS_LINES: Known = Known { dialect: None, ascii: true, doubtful: false, version: 0 };
