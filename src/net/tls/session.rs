//! Session: TLS on one socket, with the calls that a plain socket has and the same meaning. One thread may send while
//! another receives; the state is locked while it is worked on, and never over a system call that waits.
//!
//! No close_notify is ever sent: a reply says where it ends, so that nobody can cut one short unnoticed, and a child that
//! closes its copy of a socket must say nothing on its parent's connection.

use super::super::sys::socket::{self as sys, Ready, Wait};
use super::super::sys::tally;
use rustls::client::{ClientConfig, ClientConnection};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, InvalidMessage};
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a record has at most.
const RECORD: usize = 16 * 1024;
/// So much is received at once: some records of the largest size are two.
const INBOUND: usize = 32 * 1024;
/// So often in a row may that bring nothing but TLS's own words: a server that goes on and on holds nobody up.
const MOST_WORDS: usize = 8;

/// See the module.
pub struct Session(Mutex<State>);

struct State {
    tls: ClientConnection,
    /// What was received and not deciphered yet: `from..to` of it.
    inbound: Vec<u8>,
    from: usize,
    to: usize,
    /// How many bytes were deciphered and not handed out.
    plain: usize,
    /// The last byte that was to be sent is ciphertext on its way, and whoever sends does not know: it asks again.
    owed: bool,
    /// What was to be sent last was not sent whole: what is sent next goes on with it.
    torn: bool,
    /// The server sends nothing more.
    ended: bool,
    failed: Option<rustls::Error>,
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Session")
    }
}

impl Session {
    pub(super) fn new(config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Session> {
        let tls = ClientConnection::new(config, name).map_err(|error| invalid(&error))?;
        let inbound = vec![0; INBOUND];
        let (owed, torn, ended, failed) = (false, false, false, None);
        Ok(Session(Mutex::new(State { tls, inbound, from: 0, to: 0, plain: 0, owed, torn, ended, failed })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with TLS's handshake as far as it can without waiting; answers whether it is done.
    pub fn handshake(&self, fd: &OwnedFd) -> io::Result<bool> {
        let mut state = self.lock();
        loop {
            tally::add(u64::from(state.tls.wants_write()));
            let flushed = state.flush(fd);
            if !flushed.map_err(|error| state.last_words(fd, error))? || !state.tls.is_handshaking() {
                return Ok(!state.tls.wants_write());
            }
            if state.from == state.to {
                tally::add(1);
                match state.fill(fd) {
                    Ok(0) => return Err(io::Error::new(ErrorKind::InvalidData, HUNG_UP)),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            state.decipher(fd)?;
        }
    }

    /// What the handshake waits for.
    pub fn awaits(&self) -> Ready {
        Ready { read: true, write: self.lock().tls.wants_write() }
    }

    /// Sends what the kernel takes without waiting. Ciphertext cannot be taken back: where not all of it went, all but one
    /// byte is said to be sent, and that one when the rest has gone.
    ///
    /// What needs several records has its last byte in a record of its own. memcached (1.6.18) reads a record in parts where
    /// it has no room for all of it, and then waits for the socket, though the rest is with its TLS library; while the last
    /// record is not read it is woken, and of one byte nothing is left.
    pub fn send(&self, fd: &OwnedFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.lock();
        state.check()?;
        let sent = state.send(fd, pieces);
        sent.map_err(|error| state.last_words(fd, error))
    }

    /// Receives into `first` and, once it is full, into `second`; zero: the peer has closed. It waits in one system call at
    /// most, behind which there may be nothing yet (`WouldBlock`). Without waiting it leaves nothing in the kernel that
    /// there is room for.
    pub fn receive(&self, fd: &OwnedFd, first: &mut [u8], second: &mut [u8], wait: Wait) -> io::Result<usize> {
        let room = first.len() + second.len();
        let (mut came, mut wait, mut dry, mut words) = (0, wait, false, 0);
        loop {
            let mut state = self.lock();
            let before = came;
            let taken = state.take(fd, first, second, &mut came);
            let enough = came == room || dry || (came > 0 && wait != Wait::No);
            match taken {
                // It fails again, or ends again, when this is used up.
                _ if came > 0 && (enough || taken.is_err() || state.ended) => return Ok(came),
                Err(error) => return Err(error),
                Ok(()) if state.ended || room == 0 => return Ok(0),
                Ok(()) if dry => return Err(ErrorKind::WouldBlock.into()),
                Ok(()) => {}
            }
            words = if came > before { 0 } else { words + 1 };
            if words > MOST_WORDS {
                return Err(ErrorKind::WouldBlock.into());
            }
            // Nobody else receives: the memory can be away while this waits.
            let mut inbound = mem::take(&mut state.inbound);
            drop(state);
            let received = sys::receive(fd, &mut inbound, if wait == Wait::No { Wait::No } else { Wait::Some });
            let mut state = self.lock();
            state.inbound = inbound;
            match state.note_received(received) {
                Ok(received) => dry = wait != Wait::No || received < INBOUND,
                Err(_) if came > 0 => return Ok(came),
                Err(error) => return Err(error),
            }
            wait = Wait::No;
        }
    }

    /// As of the socket below, but that it is ready to be read from where there is something here already.
    pub fn poll(&self, fd: &OwnedFd, wanted: Ready, timeout: Duration) -> io::Result<Ready> {
        match wanted.read && self.lock().has_something() {
            true => Ok(Ready { read: true, write: false }),
            false => sys::poll(fd, wanted, timeout),
        }
    }

    /// Whether nothing waits to be read and the peer has not closed. Tickets and other words of TLS are nothing.
    pub fn is_quiet(&self, fd: &OwnedFd) -> bool {
        let mut state = self.lock();
        for _ in 0..MOST_WORDS {
            while state.from < state.to && state.plain == 0 && !state.ended {
                if state.decipher(fd).is_err() {
                    return false;
                }
            }
            if state.has_something() {
                return false;
            }
            match state.fill(fd) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        false
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        self.failed.as_ref().map_or(Ok(()), |error| Err(invalid(error)))
    }

    fn has_something(&self) -> bool {
        self.plain > 0 || self.from < self.to || self.ended || self.failed.is_some()
    }

    /// As of the session.
    fn send(&mut self, fd: &OwnedFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let total = pieces.iter().map(|piece| piece.len()).sum();
        if total == 0 {
            return Ok(0);
        }
        if !self.flush(fd)? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut sent = usize::from(mem::take(&mut self.owed));
        let is_long = mem::take(&mut self.torn) || total > RECORD;
        while sent < total {
            let until = if is_long && sent + 1 < total { total - 1 } else { total };
            sent += self.tls.writer().write_vectored(&between(pieces, sent, until))?;
            if !self.flush(fd)? {
                (self.owed, self.torn) = (true, true);
                return if sent == 1 { Err(ErrorKind::WouldBlock.into()) } else { Ok(sent - 1) };
            }
        }
        Ok(sent)
    }

    /// Why nothing can be sent: a server that has hung up may have said it in TLS's words. They are not looked for while
    /// somebody receives, who then has the memory for it: it hears them.
    fn last_words(&mut self, fd: &OwnedFd, error: io::Error) -> io::Error {
        if error.kind() == ErrorKind::WouldBlock || self.inbound.is_empty() {
            return error;
        }
        while self.from < self.to || matches!(self.fill(fd), Ok(1..)) {
            match self.decipher(fd) {
                Err(why) if why.kind() == ErrorKind::InvalidData => return why,
                Err(_) => return error,
                Ok(()) => {}
            }
        }
        error
    }

    /// Sends the ciphertext that is ready, without waiting; answers whether all has gone.
    fn flush(&mut self, fd: &OwnedFd) -> io::Result<bool> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Outlet(fd)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Receives ciphertext, without waiting, where all that came before is deciphered.
    fn fill(&mut self, fd: &OwnedFd) -> io::Result<usize> {
        let received = sys::receive(fd, &mut self.inbound, Wait::No);
        self.note_received(received)
    }

    fn note_received(&mut self, received: io::Result<usize>) -> io::Result<usize> {
        (self.from, self.to) = (0, *received.as_ref().unwrap_or(&0));
        self.ended |= matches!(received, Ok(0));
        received
    }

    /// Deciphers some of what was received.
    fn decipher(&mut self, fd: &OwnedFd) -> io::Result<()> {
        self.check()?;
        let taken = self.tls.read_tls(&mut &self.inbound[self.from..self.to])?;
        self.from += taken;
        let done = self.tls.process_new_packets();
        // An alert, or the answer to a new key: who sends next finds what the kernel does not take now.
        let _ = self.flush(fd);
        match done {
            Ok(done) => {
                self.plain = done.plaintext_bytes_to_read();
                self.ended |= done.peer_has_closed();
                Ok(())
            }
            Err(error) => {
                let invalid = invalid(&error);
                self.failed = Some(error);
                Err(invalid)
            }
        }
    }

    /// Hands out what there is room for, and deciphers what that needs. `came` bytes are there already.
    fn take(&mut self, fd: &OwnedFd, first: &mut [u8], second: &mut [u8], came: &mut usize) -> io::Result<()> {
        loop {
            while self.plain > 0 {
                let place = match came.checked_sub(first.len()) {
                    None => &mut first[*came..],
                    Some(of_second) => &mut second[of_second..],
                };
                if place.is_empty() {
                    return Ok(());
                }
                let read = self.tls.reader().read(place)?;
                self.plain = self.plain.saturating_sub(read);
                *came += read;
            }
            if self.from == self.to || self.ended {
                return self.check();
            }
            self.decipher(fd)?;
        }
    }
}

/// The socket, as rustls writes to it.
struct Outlet<'a>(&'a OwnedFd);

impl Write for Outlet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        sys::send(self.0, bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        sys::send_vectored(self.0, pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The bytes of `pieces` with these numbers.
fn between<'a>(pieces: &'a [IoSlice<'_>], from: usize, until: usize) -> Vec<IoSlice<'a>> {
    let (mut some, mut begin) = (Vec::with_capacity(pieces.len()), 0);
    for piece in pieces {
        let end = begin + piece.len();
        if from.max(begin) < until.min(end) {
            some.push(IoSlice::new(&piece[from.max(begin) - begin..until.min(end) - begin]));
        }
        begin = end;
    }
    some
}

const HUNG_UP: &str = "the server closed the connection in the handshake; it may not speak TLS";

/// What broke TLS's rules, with a hint where it is likely what to do.
fn invalid(error: &rustls::Error) -> io::Error {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage as Invalid};
    let hint = match error {
        InvalidCertificate(CertificateError::UnknownIssuer) => "; tls_ca_file names the authority to be trusted",
        Invalid(InvalidMessage::InvalidContentType) => "; the server may not speak TLS",
        AlertReceived(AlertDescription::CertificateRequired) => "; tls_cert_file and tls_key_file are the client's",
        _ => "",
    };
    io::Error::new(ErrorKind::InvalidData, format!("TLS failed: {error}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::super::{Tls, Trust};
    use super::*;
    use crate::net::Address;
    use std::net::{TcpListener, TcpStream};

    /// A session whose server has sent `words` and reset the connection.
    fn reset_behind(words: &'static [u8]) -> (OwnedFd, Session) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        stream.write_all(b"bytes that nobody reads make a reset of a close").unwrap();
        server.peek(&mut [0]).unwrap();
        server.write_all(words).unwrap();
        stream.peek(&mut [0]).unwrap();
        drop(server);
        let tls = Tls::new(Trust::Anybody, None, "", false).unwrap();
        (stream.into(), tls.begin(&Address::Ip([127, 0, 0, 1].into(), 0)).unwrap())
    }

    #[test]
    fn a_server_that_has_hung_up_is_heard_before_a_send_fails() {
        // A fatal alert: handshake_failure.
        let (fd, session) = reset_behind(b"\x15\x03\x03\x00\x02\x02\x28");
        let error = session.handshake(&fd).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidData && error.to_string().contains("HandshakeFailure"), "{error}");
        let error = session.send(&fd, &[IoSlice::new(b"get k\r\n")]).unwrap_err();
        assert!(error.to_string().contains("HandshakeFailure"), "{error}");
    }

    #[test]
    fn a_server_that_has_said_nothing_of_tls_has_hung_up() {
        // A record that is not all there.
        let (fd, session) = reset_behind(b"\x15\x03\x03\x00");
        let error = session.handshake(&fd).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    }
}
