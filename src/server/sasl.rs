//! The server's side of SASL, with a parser of its own: PLAIN, CRAM-MD5 and SCRAM, as Cyrus SASL behaves behind memcached.
//! It knows users and passwords, and neither frames nor sockets.

use super::config::User;
use crate::net::random;
use crate::protocol::sasl::{md5_mac, Functions, Mechanism};
use base64::prelude::{Engine, BASE64_STANDARD};

/// How often a password is hashed: Cyrus SASL's default.
const ITERATIONS: u32 = 4096;

/// What the server answers.
pub enum Reply {
    /// A challenge: the client is to go on.
    Continue(Vec<u8>),
    Welcome,
    Refused,
}

/// One login, as far as it has come.
pub enum Login {
    /// None is under way.
    Idle,
    /// CRAM-MD5: the challenge.
    Cram(String),
    Scram(Box<Scram>),
    /// SCRAM: all is proven, and the client has the last, empty word.
    Last,
}

/// SCRAM after the first two messages.
pub struct Scram {
    functions: Functions,
    password: String,
    salt: Vec<u8>,
    nonce: String,
    /// The client's first message without its head, and the server's.
    said: String,
}

impl Login {
    /// The client begins, with a mechanism and its first message.
    pub fn begin(&mut self, mechanism: Mechanism, first: &[u8], users: &[User]) -> Reply {
        *self = Login::Idle;
        match mechanism {
            Mechanism::Plain => plain(first, users),
            Mechanism::CramMd5 => {
                let challenge = format!("<{}@bmemc-server>", random_text());
                *self = Login::Cram(challenge.clone());
                Reply::Continue(challenge.into_bytes())
            }
            _ => match begin_scram(Functions::of(mechanism), first, users) {
                Some((scram, challenge)) => {
                    *self = Login::Scram(Box::new(scram));
                    Reply::Continue(challenge.into_bytes())
                }
                None => Reply::Refused,
            },
        }
    }

    /// The client goes on.
    pub fn go_on(&mut self, message: &[u8], users: &[User]) -> Reply {
        match std::mem::replace(self, Login::Idle) {
            Login::Idle => Reply::Refused,
            Login::Cram(challenge) => cram(&challenge, message, users),
            Login::Scram(scram) => match scram.verify(message) {
                Some(last) => {
                    *self = Login::Last;
                    Reply::Continue(last.into_bytes())
                }
                None => Reply::Refused,
            },
            Login::Last if message.is_empty() => Reply::Welcome,
            Login::Last => Reply::Refused,
        }
    }
}

fn password_of<'a>(name: &str, users: &'a [User]) -> Option<&'a str> {
    users.iter().find(|user| user.name == name).map(|user| user.password.expose())
}

/// Authorization identity, name and password, with zero bytes between.
fn plain(message: &[u8], users: &[User]) -> Reply {
    let parts: Vec<&[u8]> = message.split(|byte| *byte == 0).collect();
    let [_, name, password] = parts[..] else { return Reply::Refused };
    let expected = std::str::from_utf8(name).ok().and_then(|name| password_of(name, users));
    match expected.is_some_and(|expected| expected.as_bytes() == password) {
        true => Reply::Welcome,
        false => Reply::Refused,
    }
}

fn cram(challenge: &str, message: &[u8], users: &[User]) -> Reply {
    let text = std::str::from_utf8(message).unwrap_or_default();
    let Some((name, digest)) = text.rsplit_once(' ') else { return Reply::Refused };
    let Some(password) = password_of(name, users) else { return Reply::Refused };
    let expected = md5_mac(password.as_bytes(), challenge.as_bytes());
    let expected: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
    match expected == digest {
        true => Reply::Welcome,
        false => Reply::Refused,
    }
}

fn begin_scram(functions: Functions, first: &[u8], users: &[User]) -> Option<(Scram, String)> {
    let bare = std::str::from_utf8(first).ok()?.strip_prefix("n,,")?;
    let (name, nonce) = bare.strip_prefix("n=")?.split_once(",r=")?;
    let name = name.replace("=2C", ",").replace("=3D", "=");
    let password = password_of(&name, users)?.to_string();
    let (salt, nonce) = (random_text().into_bytes(), format!("{nonce}{}", random_text()));
    let challenge = format!("r={nonce},s={},i={ITERATIONS}", BASE64_STANDARD.encode(&salt));
    let said = format!("{bare},{challenge}");
    Some((Scram { functions, password, salt, nonce, said }, challenge))
}

impl Scram {
    /// The server's last message, if the client's proves that it knows the password.
    fn verify(&self, message: &[u8]) -> Option<String> {
        let (without_proof, proof) = std::str::from_utf8(message).ok()?.rsplit_once(",p=")?;
        if without_proof != format!("c=biws,r={}", self.nonce) {
            return None;
        }
        let Functions { hash, mac, salted } = self.functions;
        let all = format!("{},{without_proof}", self.said);
        let salted = salted(self.password.as_bytes(), &self.salt, ITERATIONS);
        let key = hash(&mac(&salted, b"Client Key"));
        let signature = mac(&key, all.as_bytes());
        let proof = BASE64_STANDARD.decode(proof).ok().filter(|proof| proof.len() == signature.len())?;
        let shown: Vec<u8> = proof.iter().zip(&signature).map(|(left, right)| left ^ right).collect();
        let verifier = mac(&mac(&salted, b"Server Key"), all.as_bytes());
        (hash(&shown) == key).then(|| format!("v={}", BASE64_STANDARD.encode(verifier)))
    }
}

fn random_text() -> String {
    let mut bytes = [0; 18];
    // A server of tests: without random numbers, its challenges can be guessed, and that is all.
    let _ = random::fill(&mut bytes);
    BASE64_STANDARD.encode(bytes)
}
