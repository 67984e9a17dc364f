//! Who may use a connection: logins by SASL frames, by memcached's `-Y` and by MemCachier's `set`, with memcached 1.6.18's
//! answers. Before one has succeeded nothing else is executed.

use super::binary::{self, Request};
use super::config::{Auth, User};
use super::connection::{Core, Step};
use super::sasl;
use super::text::say;
use crate::protocol::sasl::Mechanism;

/// A longer login is not waited for.
const MESSAGE_MAX: usize = 16384;

/// What a connection knows of its user.
pub struct Session {
    pub admitted: bool,
    login: sasl::Login,
    /// MemCachier's: the user's name, whose password is to come.
    name: Vec<u8>,
}

impl Session {
    pub fn new() -> Session {
        Session { admitted: false, login: sasl::Login::Idle, name: Vec::new() }
    }

    // ---- Lines ----

    /// A line before the login: it can only begin one.
    pub fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Step {
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
        let length = words.get(4).and_then(|word| std::str::from_utf8(word).ok()?.parse::<usize>().ok());
        match (words.first(), length) {
            (Some(&b"set"), Some(length)) if length <= MESSAGE_MAX => {
                self.name = words.get(1).copied().unwrap_or_default().to_vec();
                Step::Login(length)
            }
            _ => say(out, false, "CLIENT_ERROR unauthenticated"),
        }
    }

    /// What the login's `set` carries has arrived, with its line end.
    pub fn value(&mut self, value: &[u8], core: &Core, out: &mut Vec<u8>) -> Step {
        let Some(value) = value.strip_suffix(b"\r\n") else {
            return say(out, false, "CLIENT_ERROR bad command line termination");
        };
        let is = |user: &User, name: &[u8], password: &[u8]| {
            user.name.as_bytes() == name && user.password.expose().as_bytes() == password
        };
        let known = if core.config.auth == Auth::Memcachier {
            core.config.users.iter().any(|user| is(user, &self.name, value))
        } else {
            // memcached cuts it at every space, so no password has one.
            let mut words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
            let (Some(name), Some(password)) = (words.next(), words.next()) else {
                return say(out, false, "CLIENT_ERROR bad authentication token format");
            };
            core.config.users.iter().any(|user| is(user, name, password))
        };
        self.admitted = known;
        say(out, false, if known { "STORED" } else { "CLIENT_ERROR authentication failure" })
    }

    // ---- Frames ----

    /// A frame that is about a login, or comes before there is one; `None` while it is not whole.
    pub fn frame(
        &mut self,
        request: &Request<'_>,
        input: &[u8],
        core: &mut Core,
        out: &mut Vec<u8>,
    ) -> Option<(usize, Step)> {
        let whole = request.size() + request.value_len();
        if request.value_len() > MESSAGE_MAX {
            return Some((0, Step::Drop));
        }
        let value = input.get(request.size()..whole)?;
        let step = match request.opcode() {
            binary::op::VERSION => return Some((request.size(), binary::command(request, core, out))),
            binary::op::SASL_LIST => request.answer(core.config.mechanisms.join(" ").as_bytes(), out),
            binary::op::SASL_AUTH => {
                self.admitted = false;
                let offered = core.config.mechanisms.iter().any(|name| name.as_bytes() == request.key());
                match Mechanism::named(request.key()).filter(|_| offered) {
                    Some(mechanism) => {
                        let reply = self.login.begin(mechanism, value, &core.config.users);
                        self.reply(reply, request, out)
                    }
                    None => request.refuse_login(out),
                }
            }
            binary::op::SASL_STEP => {
                let reply = self.login.go_on(value, &core.config.users);
                self.reply(reply, request, out)
            }
            _ => {
                request.refuse_login(out);
                Step::Finish
            }
        };
        Some((whole, step))
    }

    fn reply(&mut self, reply: sasl::Reply, request: &Request<'_>, out: &mut Vec<u8>) -> Step {
        match reply {
            sasl::Reply::Continue(challenge) => request.challenge(&challenge, out),
            sasl::Reply::Refused => request.refuse_login(out),
            sasl::Reply::Welcome => {
                self.admitted = true;
                request.answer(b"Authenticated", out)
            }
        }
    }
}
