//! Server strings: `host`, `host:port`, IPv4, `[v6]:port`, bare IPv6, `/path` and `unix:/path` of a socket. The
//! rules are those of the newest python-binary-memcached, and `unix:` of pymemcache.

use crate::error::{Error, Result};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

/// The port of a server that names none.
pub const DEFAULT_PORT: u16 = 11211;

/// The longest path that a Unix socket can have on Linux.
const PATH_MAX: usize = 107;

/// Where a server is.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Address {
    /// A literal address.
    Ip(IpAddr, u16),
    /// A name that has to be looked up, in lower case.
    Name(String, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Reads a server string. The error quotes it and says what is accepted.
    pub fn parse(text: &str) -> Result<Address> {
        let parsed = match text.strip_prefix("unix:").filter(|path| path.starts_with('/')).unwrap_or(text) {
            path if path.starts_with('/') => parse_path(path),
            host => parse_host(host),
        };
        parsed.map_err(|why| {
            let accepted = "host, host:port, 1.2.3.4:port, ::1, [::1]:port or /path/of/socket";
            Error::argument(format!("server {text:?}: {why}; a server is written as {accepted}"))
        })
    }

    /// Whether the way there stays within this machine. That of a name is taken to leave it.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Ip(ip, _) => ip.to_canonical().is_loopback(),
            Address::Name(name, _) => name == "localhost",
            Address::Unix(_) => true,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(IpAddr::V4(ip), port) => write!(out, "{ip}:{port}"),
            Address::Ip(IpAddr::V6(ip), port) => write!(out, "[{ip}]:{port}"),
            Address::Name(name, port) => write!(out, "{name}:{port}"),
            Address::Unix(path) => write!(out, "{}", path.display()),
        }
    }
}

fn parse_path(path: &str) -> std::result::Result<Address, String> {
    if path.len() > PATH_MAX {
        return Err(format!("the path has {} bytes, and a socket's can have {PATH_MAX}", path.len()));
    }
    if path.contains('\0') {
        return Err("the path has a zero byte".into());
    }
    Ok(Address::Unix(PathBuf::from(path)))
}

fn parse_host(text: &str) -> std::result::Result<Address, String> {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((host, after)) = rest.split_once(']') else { return Err("the ']' is missing".into()) };
        let ip: Ipv6Addr = host.parse().map_err(|_| format!("{host:?} is not an IPv6 address"))?;
        let port = match after.strip_prefix(':') {
            Some(port) => parse_port(port)?,
            None if after.is_empty() => DEFAULT_PORT,
            None => return Err(format!("{after:?} after the ']' is not a port")),
        };
        return Ok(Address::Ip(ip.into(), port));
    }
    if text.matches(':').count() > 1 {
        let ip: Ipv6Addr = text.parse().map_err(|_| "it is not an IPv6 address".to_string())?;
        return Ok(Address::Ip(ip.into(), DEFAULT_PORT));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, parse_port(port)?),
        None => (text, DEFAULT_PORT),
    };
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(Address::Ip(ip, port));
    }
    check_name(host)?;
    Ok(Address::Name(host.to_ascii_lowercase(), port))
}

/// An empty port is the default one, as in `host:`.
fn parse_port(text: &str) -> std::result::Result<u16, String> {
    if text.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.then(|| text.parse::<u16>().ok()).flatten().filter(|port| *port != 0);
    port.ok_or_else(|| format!("port {text:?} is not a number from 1 to 65535"))
}

fn check_name(host: &str) -> std::result::Result<(), String> {
    if host.is_empty() {
        return Err("the host is missing".into());
    }
    if host.len() > 253 {
        return Err(format!("the name has {} bytes, and a host's can have 253", host.len()));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if let Some(bad) = host.chars().find(|ch| !ch.is_ascii() || !allowed(*ch as u8)) {
        return Err(format!("{bad:?} cannot stand in a host name"));
    }
    if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(format!("{host:?} is not an IPv4 address"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_strings_of_the_seeds() {
        let cases = [
            ("127.0.0.1", "127.0.0.1:11211"),
            ("host", "host:11211"),
            ("host:", "host:11211"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("::1", "[::1]:11211"),
            ("[::1]", "[::1]:11211"),
            ("[::1]:5000", "[::1]:5000"),
            ("2001:db8::2:8080", "[2001:db8::2:8080]:11211"),
            ("LocalHost:5000", "localhost:5000"),
            ("/tmp/x.sock", "/tmp/x.sock"),
            ("unix:/tmp/x", "/tmp/x"),
            ("my_host-1.example.com", "my_host-1.example.com:11211"),
        ];
        for (text, expected) in cases {
            assert_eq!(Address::parse(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn bad_server_strings_are_quoted() {
        let long = format!("/{}", "x".repeat(107));
        let bad = [
            "",
            ":5000",
            "host:blah",
            "host:-1",
            "host:99999",
            "host:0",
            "[::1",
            "[bad]",
            "[::1]:blah",
            "[::1]x",
            "unix:x",
            "a b",
            "user@host:1",
            "1.2.3.4.5",
            "host:1:2",
            "h\u{f6}st",
            "a\nb",
            &long,
        ];
        for text in bad {
            let error = Address::parse(text).unwrap_err();
            assert!(error.message().contains(&format!("{text:?}")), "{text}: {error}");
            assert!(error.message().contains("[::1]:port"), "{text}: {error}");
        }
    }
}
