//! SASL as memcached's binary protocol carries it: which mechanisms there are, and the client's side of an exchange. Bytes
//! in, bytes out: it knows no frame, no socket and no source of random numbers, and believes nothing that a server says.

pub mod frame;
mod scram;

use crate::secret::Secret;
use hmac::{KeyInit, Mac, SimpleHmac};
use md5::Md5;
pub use scram::Functions;
use scram::Scram;
use zeroize::Zeroizing;

/// What a message is made in, since it may have a password in it.
pub type Message = Zeroizing<Vec<u8>>;

/// A way to prove who one is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    ScramSha512,
    ScramSha256,
    ScramSha1,
    CramMd5,
    Plain,
}

impl Mechanism {
    /// Every one, the best first.
    pub const ALL: [Mechanism; 5] =
        [Mechanism::ScramSha512, Mechanism::ScramSha256, Mechanism::ScramSha1, Mechanism::CramMd5, Mechanism::Plain];

    /// The one of this name.
    pub fn named(name: &[u8]) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.name().as_bytes() == name)
    }

    /// As servers call it.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::CramMd5 => "CRAM-MD5",
            Mechanism::Plain => "PLAIN",
        }
    }

    /// Whether `list`, names with spaces between, has it.
    pub fn is_in(self, list: &[u8]) -> bool {
        list.split(u8::is_ascii_whitespace).any(|word| word.eq_ignore_ascii_case(self.name().as_bytes()))
    }

    /// Whether who listens on the way learns the password.
    pub fn shows_password(self) -> bool {
        self == Mechanism::Plain
    }
}

/// The client's side of one exchange.
pub struct Exchange {
    username: String,
    password: Secret,
    state: State,
}

enum State {
    /// All is said: the server has the word.
    Said,
    /// A challenge is to come.
    Challenge,
    Scram(Scram),
}

impl Exchange {
    /// Begins one; with it comes the first message. `nonce` is printable, has no comma, and was never used before.
    pub fn begin(mechanism: Mechanism, username: &str, password: &Secret, nonce: &str) -> (Exchange, Message) {
        let (state, first) = match mechanism {
            Mechanism::Plain => (State::Said, format!("\0{username}\0{}", password.expose())),
            Mechanism::CramMd5 => (State::Challenge, String::new()),
            _ => {
                let (scram, first) = Scram::begin(mechanism, username, nonce);
                (State::Scram(scram), first)
            }
        };
        let exchange = Exchange { username: username.into(), password: password.clone(), state };
        (exchange, Zeroizing::new(first.into_bytes()))
    }

    /// The answer to a challenge. A server that asks for what the mechanism does not have, or that shows that it does not
    /// know the password, is refused with a reason.
    pub fn answer(&mut self, challenge: &[u8]) -> Result<Message, String> {
        match &mut self.state {
            State::Said => Err("it asks for more after the last message".into()),
            State::Challenge => {
                self.state = State::Said;
                let digest = hex(&md5_mac(self.password.expose().as_bytes(), challenge));
                Ok(Zeroizing::new(format!("{} {digest}", self.username).into_bytes()))
            }
            State::Scram(scram) => scram.answer(&self.password, challenge),
        }
    }

    /// The server says that it is satisfied, with its last message or with other words. Now is the client to be.
    pub fn accept(&mut self, words: &[u8]) -> Result<(), String> {
        match &mut self.state {
            State::Said => Ok(()),
            State::Challenge => Err("it is satisfied without having asked for the password".into()),
            State::Scram(scram) => scram.accept(words),
        }
    }
}

/// HMAC-MD5.
pub fn md5_mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    // A key of any length is accepted.
    let Ok(mut mac) = SimpleHmac::<Md5>::new_from_slice(key) else { return Vec::new() };
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_are_found_by_their_whole_names() {
        assert!(Mechanism::Plain.is_in(b"CRAM-MD5 plain") && !Mechanism::Plain.is_in(b"PLAINER CRAM-MD5"));
        assert!(Mechanism::ScramSha1.is_in(b"SCRAM-SHA-1") && !Mechanism::ScramSha1.is_in(b"SCRAM-SHA-1-PLUS"));
    }

    #[test]
    fn plain_is_that_of_rfc_4616() {
        let (mut exchange, first) = Exchange::begin(Mechanism::Plain, "tim", &Secret::new("tanstaaftanstaaf"), "");
        assert_eq!(&first[..], b"\0tim\0tanstaaftanstaaf");
        assert!(exchange.accept(b"Authenticated").is_ok());
        assert!(exchange.answer(b"").is_err(), "nothing is left to say");
    }

    #[test]
    fn cram_md5_is_that_of_rfc_2195() {
        let (mut exchange, first) = Exchange::begin(Mechanism::CramMd5, "tim", &Secret::new("tanstaaftanstaaf"), "");
        assert!(first.is_empty());
        let answer = exchange.answer(b"<1896.697170952@postoffice.reston.mci.net>").unwrap();
        assert_eq!(std::str::from_utf8(&answer).unwrap(), "tim b913a602c7eda7a495b4e6e7334d3890");
        assert!(exchange.answer(b"<again>").is_err(), "one challenge is all there is");
        let (mut unasked, _) = Exchange::begin(Mechanism::CramMd5, "tim", &Secret::new("x"), "");
        assert!(unasked.accept(b"Authenticated").is_err());
    }
}
