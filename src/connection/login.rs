//! Login: who a client says it is, and the rules by which it says so. The steps themselves are the handshake's.

use crate::error::{Error, Result, Status};
use crate::net::Address;
use crate::protocol::sasl::{Mechanism, Message};
use crate::secret::Secret;
use std::sync::Arc;

/// The longest user name and password, in bytes.
pub const MAX_USERNAME: usize = 250;
pub const MAX_PASSWORD: usize = 4096;

/// A user name and a password.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    pub username: String,
    pub password: Secret,
}

impl Credentials {
    /// Credentials as a user gives them; both empty: none.
    pub fn new(username: &str, password: &Secret) -> Result<Option<Credentials>> {
        let wrong = |words: String| Err(Error::argument(words));
        let secret = password.expose();
        match (username.is_empty(), secret.is_empty()) {
            (true, true) => return Ok(None),
            (true, false) => return wrong("username is empty and password is not; both are needed".into()),
            (false, true) => return wrong("password is empty and username is not; both are needed".into()),
            (false, false) => {}
        }
        if username.len() > MAX_USERNAME || username.contains('\0') {
            let len = username.len();
            return wrong(format!("username has {len} bytes; it has up to {MAX_USERNAME}, and no zero byte"));
        }
        if secret.len() > MAX_PASSWORD || secret.contains('\0') {
            let len = secret.len();
            return wrong(format!("password has {len} bytes; it has up to {MAX_PASSWORD}, and no zero byte"));
        }
        Ok(Some(Credentials { username: username.into(), password: password.clone() }))
    }
}

/// How a login is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// As the protocol has it.
    Auto,
    /// SASL over the binary protocol.
    Sasl,
    /// memcached's `-Y`: a `set` whose value is "user password".
    Ascii,
    /// MemCachier's: a `set` of the password under the user's name.
    Memcachier,
}

/// The rules of a login; the client's options of these names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    pub style: Style,
    /// The one mechanism that may be used, where one is named.
    pub mechanism: Option<Mechanism>,
    pub optional: bool,
    pub allow_plaintext: bool,
}

/// What a handshake needs to log in.
#[derive(Clone)]
pub struct Login {
    pub credentials: Arc<Credentials>,
    /// Changes when the credentials do.
    pub generation: u64,
    pub rules: Rules,
    /// Random, for the mechanisms that want it.
    pub nonce: String,
}

impl Login {
    /// Whether the password may be said so that whoever listens on the way to `address` learns it.
    pub fn may_show_password(&self, address: &Address) -> bool {
        self.rules.allow_plaintext || address.is_local()
    }

    /// Fails where the password may not be said like that.
    pub fn check_plaintext(&self, address: &Address, how: &str) -> Result<()> {
        match self.may_show_password(address) {
            true => Ok(()),
            false => {
                let words = format!("{address}: {how} shows the password to whoever listens on the way; allow_plaintext_auth=true allows it");
                Err(Error::new(Status::Auth, words))
            }
        }
    }

    /// What a server said, for an error message: nothing where it repeats the password.
    pub fn quote(&self, words: &[u8]) -> String {
        let secret = self.credentials.password.expose().as_bytes();
        match words.windows(secret.len().max(1)).any(|window| window == secret) {
            true => "words with the password in them".into(),
            false => format!("\"{}\"", words[..words.len().min(100)].escape_ascii()),
        }
    }

    /// The request of an ASCII login.
    pub fn ascii_request(&self) -> Result<Message> {
        let Credentials { username, password } = &*self.credentials;
        let wrong = |what: &str| Err(Error::argument(format!("username {username:?}: {what}")));
        let secret = password.expose();
        match self.rules.style {
            Style::Memcachier if !username.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) => {
                wrong("MemCachier's login takes printable ASCII without spaces")
            }
            Style::Memcachier => Ok(message(format!("set {username} 0 0 {}\r\n{secret}\r\n", secret.len()))),
            _ if username.contains([' ', ':', '\r', '\n']) => wrong("an ASCII login takes no space, colon or line end"),
            _ => {
                let len = username.len() + 1 + secret.len();
                Ok(message(format!("set auth 0 0 {len}\r\n{username} {secret}\r\n")))
            }
        }
    }
}

fn message(text: String) -> Message {
    Message::new(text.into_bytes())
}
