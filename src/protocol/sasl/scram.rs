//! SCRAM (RFC 5802, 7677): neither the password nor what would do in its place goes over the wire, and the server has to
//! prove that it knows it too. Without channel binding, which memcached's SASL has not.

use super::{Mechanism, Message};
use crate::secret::Secret;
use base64::prelude::{Engine, BASE64_STANDARD};
use hmac::{EagerHash, KeyInit, Mac, SimpleHmac};
use sha1::Sha1;
use sha2::digest::Digest;
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

/// How often a server may have the password hashed: fewer would let who listens guess it at leisure (the least that RFC
/// 7677 allows), more would let the server burn this process's time. 4096 is Cyrus SASL's default.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=100_000;

/// `n,,` in base64: no channel binding, no other identity.
const NO_BINDING: &str = "biws";

/// The functions of one hash.
#[derive(Clone, Copy)]
pub struct Functions {
    pub hash: fn(&[u8]) -> Vec<u8>,
    pub mac: fn(&[u8], &[u8]) -> Vec<u8>,
    /// Password, salt, iterations.
    pub salted: fn(&[u8], &[u8], u32) -> Message,
}

impl Functions {
    /// Those of a SCRAM mechanism.
    pub fn of(mechanism: Mechanism) -> Functions {
        match mechanism {
            Mechanism::ScramSha512 => Functions { hash: hash::<Sha512>, mac: mac::<Sha512>, salted: salted::<Sha512> },
            Mechanism::ScramSha256 => Functions { hash: hash::<Sha256>, mac: mac::<Sha256>, salted: salted::<Sha256> },
            _ => Functions { hash: hash::<Sha1>, mac: mac::<Sha1>, salted: salted::<Sha1> },
        }
    }
}

fn hash<D: Digest>(bytes: &[u8]) -> Vec<u8> {
    D::digest(bytes).to_vec()
}

fn mac<D: EagerHash + Digest>(key: &[u8], message: &[u8]) -> Vec<u8> {
    // A key of any length is accepted.
    let Ok(mut mac) = SimpleHmac::<D>::new_from_slice(key) else { return Vec::new() };
    Mac::update(&mut mac, message);
    mac.finalize().into_bytes().to_vec()
}

fn salted<D: EagerHash<Core: Sync> + Digest>(password: &[u8], salt: &[u8], iterations: u32) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(vec![0; <D as Digest>::output_size()]);
    pbkdf2::pbkdf2_hmac::<D>(password, salt, iterations, &mut out);
    out
}

/// The client's side.
pub(super) struct Scram {
    functions: Functions,
    state: State,
}

enum State {
    /// The client's first message, without its head, and its nonce.
    First { bare: String, nonce: String },
    /// What the server must be able to make.
    Proof(Vec<u8>),
    /// It was.
    Proven,
}

impl Scram {
    pub fn begin(mechanism: Mechanism, username: &str, nonce: &str) -> (Scram, String) {
        let bare = format!("n={},r={nonce}", username.replace('=', "=3D").replace(',', "=2C"));
        let first = format!("n,,{bare}");
        let state = State::First { bare, nonce: nonce.to_string() };
        (Scram { functions: Functions::of(mechanism), state }, first)
    }

    pub fn answer(&mut self, password: &Secret, challenge: &[u8]) -> Result<Message, String> {
        match &self.state {
            State::First { bare, nonce } => {
                let (proof, last) = self.prove(password, bare, nonce, challenge)?;
                self.state = State::Proof(proof);
                Ok(last)
            }
            // The server's last message comes as a challenge where a server has nothing to say with its success.
            State::Proof(_) => self.verify(challenge).map(|()| Message::default()),
            State::Proven => Err("it asks for more after the last message".into()),
        }
    }

    pub fn accept(&mut self, words: &[u8]) -> Result<(), String> {
        match self.state {
            State::Proven => Ok(()),
            _ => self.verify(words),
        }
    }

    /// Whether `last` proves that the server knows the password.
    fn verify(&mut self, last: &[u8]) -> Result<(), String> {
        let State::Proof(expected) = &self.state else {
            return Err("it has not shown that it knows the password".into());
        };
        let shown = field(last, b"v=").and_then(|text| BASE64_STANDARD.decode(text).ok());
        if shown.as_deref() != Some(expected) {
            return Err("it has not shown that it knows the password".into());
        }
        self.state = State::Proven;
        Ok(())
    }

    /// What the server must be able to make, and the client's last message.
    fn prove(
        &self,
        password: &Secret,
        bare: &str,
        nonce: &str,
        challenge: &[u8],
    ) -> Result<(Vec<u8>, Message), String> {
        let first = std::str::from_utf8(challenge).map_err(|_| "its challenge is not UTF-8".to_string())?;
        let bytes = first.as_bytes();
        let both = field(bytes, b"r=").filter(|both| both.len() > nonce.len() && both.starts_with(nonce.as_bytes()));
        let salt = field(bytes, b"s=").and_then(|text| BASE64_STANDARD.decode(text).ok());
        let count = field(bytes, b"i=").and_then(|text| std::str::from_utf8(text).ok()?.parse::<u32>().ok());
        // An extension that must be understood is not.
        let plain = field(bytes, b"m=").is_none();
        let (true, Some(both), Some(salt), Some(count)) = (plain, both, salt, count) else {
            return Err("its challenge is not SCRAM's".into());
        };
        if !ITERATIONS.contains(&count) {
            let (least, most) = (ITERATIONS.start(), ITERATIONS.end());
            return Err(format!("it asks for {count} iterations; accepted are {least} to {most}"));
        }
        let Functions { hash, mac, salted } = self.functions;
        let salted = salted(password.expose().as_bytes(), &salt, count);
        let last = format!("c={NO_BINDING},r={}", String::from_utf8_lossy(both));
        let all = format!("{bare},{first},{last}");
        let key = Zeroizing::new(mac(&salted, b"Client Key"));
        let signature = mac(&hash(&key), all.as_bytes());
        let proof: Vec<u8> = key.iter().zip(&signature).map(|(left, right)| left ^ right).collect();
        let expected = mac(&mac(&salted, b"Server Key"), all.as_bytes());
        let last = format!("{last},p={}", BASE64_STANDARD.encode(proof));
        Ok((expected, Zeroizing::new(last.into_bytes())))
    }
}

/// The text behind a name such as `r=`, of fields with commas between.
fn field<'a>(message: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    message.split(|byte| *byte == b',').find_map(|field| field.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An exchange of an RFC: user "user", password "pencil".
    struct Published {
        mechanism: Mechanism,
        nonce: &'static str,
        challenge: &'static str,
        last: &'static str,
        verifier: &'static str,
    }

    const PUBLISHED: [Published; 2] = [
        Published {
            mechanism: Mechanism::ScramSha1,
            nonce: "fyko+d2lbbFgONRv9qkxdawL",
            challenge: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            last: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            verifier: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        },
        Published {
            mechanism: Mechanism::ScramSha256,
            nonce: "rOprNGfwEbeRWgbNEkqO",
            challenge: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            last: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                   p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            verifier: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        },
    ];

    fn begun(published: &Published) -> Scram {
        let (scram, first) = Scram::begin(published.mechanism, "user", published.nonce);
        assert_eq!(first, format!("n,,n=user,r={}", published.nonce));
        scram
    }

    fn answered(published: &Published) -> Scram {
        let mut scram = begun(published);
        let last = scram.answer(&Secret::new("pencil"), published.challenge.as_bytes()).unwrap();
        assert_eq!(std::str::from_utf8(&last).unwrap(), published.last);
        scram
    }

    #[test]
    fn exchanges_are_those_of_rfc_5802_and_7677() {
        for published in &PUBLISHED {
            let mut scram = answered(published);
            assert!(scram.answer(&Secret::new("pencil"), published.verifier.as_bytes()).unwrap().is_empty());
            assert!(scram.accept(b"Authenticated").is_ok());
            assert!(scram.answer(&Secret::new("pencil"), b"").is_err(), "nothing is left to say");
            // The same where the proof comes with the success.
            assert!(answered(published).accept(published.verifier.as_bytes()).is_ok());
        }
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_refused() {
        for published in &PUBLISHED {
            for bad in ["", "Authenticated", "v=", "v=rmF9pqV8S7suAoZWja4dJRkFsKR=", "e=other-error", "v=!"] {
                assert!(answered(published).accept(bad.as_bytes()).is_err(), "{bad}");
                assert!(answered(published).answer(&Secret::new("pencil"), bad.as_bytes()).is_err(), "{bad}");
            }
            assert!(begun(published).accept(b"Authenticated").is_err(), "before any challenge");
        }
    }

    #[test]
    fn challenges_are_not_believed() {
        let published = &PUBLISHED[0];
        let bad = [
            "",
            "r=other,s=QSXCR+Q6sek8bf92,i=4096",
            "r=fyko+d2lbbFgONRv9qkxdawL,s=QSXCR+Q6sek8bf92,i=4096",
            "r=fyko+d2lbbFgONRv9qkxdawLx,s=?,i=4096",
            "m=new,r=fyko+d2lbbFgONRv9qkxdawLx,s=QSXCR+Q6sek8bf92,i=4096",
            "r=fyko+d2lbbFgONRv9qkxdawLx,s=QSXCR+Q6sek8bf92",
            "r=fyko+d2lbbFgONRv9qkxdawLx,s=QSXCR+Q6sek8bf92,i=2147483648",
            "r=fyko+d2lbbFgONRv9qkxdawLx,s=QSXCR+Q6sek8bf92,i=99999999999",
            "r=fyko+d2lbbFgONRv9qkxdawLx,s=QSXCR+Q6sek8bf92,i=100001",
            "r=fyko+d2lbbFgONRv9qkxdawLx,s=QSXCR+Q6sek8bf92,i=1",
            "r=fyko+d2lbbFgONRv9qkxdawLx,s=QSXCR+Q6sek8bf92,i=-1",
        ];
        for challenge in bad {
            assert!(begun(published).answer(&Secret::new("pencil"), challenge.as_bytes()).is_err(), "{challenge}");
        }
        assert!(begun(published).answer(&Secret::new("pencil"), b"\xff").is_err());
    }

    #[test]
    fn a_name_cannot_end_its_field() {
        let (_, first) = Scram::begin(Mechanism::ScramSha1, "a,b=c", "N");
        assert_eq!(first, "n,,n=a=2Cb=3Dc,r=N");
    }
}
