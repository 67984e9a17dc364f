//! A server as a ring sees it: a name and a weight. Where the user gave no name, each client makes one of host and port in
//! a way of its own, and the rings that match it must make the same.

use crate::secret::Secret;
use std::fmt;

/// memcached's port, which some clients leave out of names.
const DEFAULT_PORT: &str = "11211";

/// A server as a ring sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RingServer {
    /// The name that the user gave; empty: the ring makes one of the address.
    pub name: String,
    /// Where it is, as it was written: `host`, `host:port`, `[v6]:port`, `v6`, `/path` or `unix:/path`.
    pub address: String,
    /// Its share of the keys, 1 or more.
    pub weight: u32,
}

impl RingServer {
    /// A server of weight 1 that goes by its address.
    pub fn new(address: &str) -> RingServer {
        RingServer { name: String::new(), address: address.into(), weight: 1 }
    }

    /// What it goes by: the name that was given, else the address as it was written.
    pub fn name(&self) -> &str {
        if self.name.is_empty() {
            &self.address
        } else {
            &self.name
        }
    }

    /// What the ring calls it where names are made like this.
    pub(super) fn name_as(&self, form: NameForm, credentials: Option<&(String, Secret)>) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        let place = self.place();
        match form {
            NameForm::HostPort => place.to_string(),
            NameForm::HostUnlessDefault => match place {
                Place::Host(host, DEFAULT_PORT) => host.into(),
                other => other.to_string(),
            },
            NameForm::Libmemcached => match place {
                Place::Host(host, DEFAULT_PORT) => host.into(),
                Place::Host(..) => place.to_string(),
                Place::Path(path) => format!("{path}:0"),
            },
            NameForm::Slash => match place {
                Place::Host(..) => format!("/{place}"),
                Place::Path(path) => format!("/{path}:0"),
            },
            NameForm::Bmemcached => match credentials {
                Some((user, password)) => [&self.address, "_", user, "_", password.expose()].concat(),
                None => format!("{}_None_None", self.address),
            },
        }
    }

    fn place(&self) -> Place<'_> {
        let text = self.address.as_str();
        let path = text.strip_prefix("unix:").filter(|path| path.starts_with('/')).unwrap_or(text);
        if path.starts_with('/') {
            return Place::Path(path);
        }
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, after)) => (host, after.strip_prefix(':').unwrap_or("")),
            None if text.matches(':').count() > 1 => (text, ""),
            None => text.split_once(':').unwrap_or((text, "")),
        };
        Place::Host(host, if port.is_empty() { DEFAULT_PORT } else { port })
    }
}

/// How a client makes a server's name of its address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NameForm {
    /// `host:port`, `v6:port` or the path.
    HostPort,
    /// The host alone where the port is memcached's usual one.
    HostUnlessDefault,
    /// The same, and a socket's path with port 0.
    Libmemcached,
    /// `/host:port`, the port always: 0 for a socket.
    Slash,
    /// The address as it was written, and `_user_password`.
    Bmemcached,
}

/// An address in its parts.
#[derive(Clone, Copy)]
enum Place<'a> {
    Host(&'a str, &'a str),
    Path(&'a str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Host(host, port) => write!(out, "{host}:{port}"),
            Place::Path(path) => out.write_str(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_as_each_client_makes_them() {
        use NameForm::*;
        let cases = [
            ("Cache.example", HostPort, "Cache.example:11211"),
            ("10.0.0.1:11212", HostPort, "10.0.0.1:11212"),
            ("[::1]:11213", HostPort, "::1:11213"),
            ("::1", HostPort, "::1:11211"),
            ("[::1]", HostUnlessDefault, "::1"),
            ("unix:/tmp/m.sock", HostPort, "/tmp/m.sock"),
            ("10.0.0.1:11211", HostUnlessDefault, "10.0.0.1"),
            ("10.0.0.1:", HostUnlessDefault, "10.0.0.1"),
            ("10.0.0.1:11212", HostUnlessDefault, "10.0.0.1:11212"),
            ("/tmp/m.sock", HostUnlessDefault, "/tmp/m.sock"),
            ("/tmp/m.sock", Libmemcached, "/tmp/m.sock:0"),
            ("10.0.0.1", Libmemcached, "10.0.0.1"),
            ("10.0.0.1", Slash, "/10.0.0.1:11211"),
            ("/tmp/m.sock", Slash, "//tmp/m.sock:0"),
            ("[::1]:11211", Bmemcached, "[::1]:11211_None_None"),
        ];
        for (address, form, name) in cases {
            assert_eq!(RingServer::new(address).name_as(form, None), name, "{address} {form:?}");
        }
        let named = RingServer { name: "cache-1".into(), ..RingServer::new("10.0.0.1") };
        assert_eq!(named.name_as(HostPort, None), "cache-1");
        let credentials = ("user".to_string(), Secret::new("secret"));
        assert_eq!(RingServer::new("h").name_as(Bmemcached, Some(&credentials)), "h_user_secret");
    }
}
