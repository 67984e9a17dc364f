//! The cluster configuration that an ElastiCache or Memorystore endpoint answers with: a version, and the nodes as
//! `host|ip|port`. It is read with bounds, and whatever does not fit is a failure that says what it was.

use crate::error::{Error, Result, Status};
use crate::route::Server;

/// What is asked, and what older engines are asked instead.
pub const QUESTION: &[u8] = b"config get cluster\r\n";
pub const OLD_QUESTION: &[u8] = b"get AmazonElastiCache:cluster\r\n";

/// The longest first line, and the longest configuration: a thousand nodes are some 150 KB.
const MAX_LINE: usize = 512;
const MAX_CONFIGURATION: usize = 256 << 10;
const MAX_NODES: usize = 1000;

/// What stands behind a configuration, after the ends of its lines; and so many bytes of these at most.
const TAIL: &[u8] = b"END\r\n";
const MAX_BLANK: usize = 4;

/// What an endpoint has said.
#[derive(PartialEq, Eq, Debug)]
pub enum Reply {
    /// It does not know the question.
    Unknown,
    Cluster(Cluster),
}

/// See the module.
#[derive(PartialEq, Eq, Debug)]
pub struct Cluster {
    pub version: u64,
    pub servers: Vec<Server>,
}

/// Reads what has come so far; `None`: more is to come. `by_ip`: the servers are called by their IP addresses.
pub fn read(bytes: &[u8], by_ip: bool) -> Result<Option<Reply>> {
    let Some(end) = bytes.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
        return if bytes.len() < MAX_LINE { Ok(None) } else { Err(malformed("its first line does not end")) };
    };
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    if line == b"ERROR" {
        return Ok(Some(Reply::Unknown));
    }
    let len = length(line)?;
    let rest = &bytes[end + 1..];
    let Some((configuration, tail)) = rest.split_at_checked(len) else { return Ok(None) };
    match ends(tail) {
        Some(true) => parse(configuration, by_ip).map(|cluster| Some(Reply::Cluster(cluster))),
        Some(false) => Err(malformed("it does not end where it says")),
        None => Ok(None),
    }
}

/// Whether this is the end; `None`: it may be. ElastiCache counts the end of the last line and then ends another; Memorystore's
/// manual counts "the next two lines" and shows one end, so whether that is counted is left to the server.
fn ends(tail: &[u8]) -> Option<bool> {
    let blank = tail.iter().take(MAX_BLANK).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let word = &tail[blank..];
    (word.len() >= TAIL.len() || !TAIL.starts_with(word)).then(|| word == TAIL)
}

/// The length that the first line announces: `CONFIG cluster 0 147`, or `VALUE AmazonElastiCache:cluster 0 147`.
fn length(line: &[u8]) -> Result<usize> {
    let text = String::from_utf8_lossy(line);
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    match words[..] {
        ["CONFIG", "cluster", _, len] | ["VALUE", "AmazonElastiCache:cluster", _, len] => {
            let len = len.parse().ok().filter(|len| *len <= MAX_CONFIGURATION);
            len.ok_or_else(|| malformed(&format!("{text:?} has no length of up to {MAX_CONFIGURATION}")))
        }
        ["END"] => Err(Error::new(Status::Protocol, "it has no cluster configuration")),
        _ => Err(malformed(&format!("it said {:?}", text.chars().take(100).collect::<String>()))),
    }
}

fn parse(configuration: &[u8], by_ip: bool) -> Result<Cluster> {
    let text = std::str::from_utf8(configuration).map_err(|_| malformed("the configuration is not UTF-8"))?;
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let version = first.trim().parse();
    let version = version.map_err(|_| malformed(&format!("{:?} is no version", shown(first))))?;
    let nodes: Vec<&str> = rest.split_ascii_whitespace().collect();
    if nodes.len() > MAX_NODES {
        return Err(malformed(&format!("it has {} nodes, and up to {MAX_NODES} are accepted", nodes.len())));
    }
    let servers = nodes.iter().map(|node| server(node, by_ip)).collect::<Result<_>>()?;
    Ok(Cluster { version, servers })
}

fn server(node: &str, by_ip: bool) -> Result<Server> {
    let wrong = || malformed(&format!("node {:?} is not host|ip|port", shown(node)));
    let parts: Vec<&str> = node.split('|').collect();
    let [host, ip, port] = parts[..] else { return Err(wrong()) };
    let (first, second) = if by_ip { (ip, host) } else { (host, ip) };
    let name = if first.is_empty() { second } else { first };
    if name.starts_with('/') || port.is_empty() {
        return Err(wrong());
    }
    let address = if name.contains(':') { format!("[{name}]:{port}") } else { format!("{name}:{port}") };
    Server::parse(&address, "", 1).map_err(|_| wrong())
}

/// As much of a text as a message may have.
fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

fn malformed(what: &str) -> Error {
    Error::new(Status::Protocol, format!("the answer is no cluster configuration: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(first: &str, configuration: &str) -> Vec<u8> {
        format!("{first} 0 {}\r\n{configuration}\r\nEND\r\n", configuration.len()).into_bytes()
    }

    fn names(bytes: &[u8], by_ip: bool) -> (u64, Vec<String>) {
        match read(bytes, by_ip).unwrap().unwrap() {
            Reply::Cluster(cluster) => (cluster.version, cluster.servers.into_iter().map(|it| it.name).collect()),
            Reply::Unknown => panic!("it is known"),
        }
    }

    #[test]
    fn both_answers_are_read_and_cut_anywhere_are_not_complete() {
        let nodes = "12\na.example.com|10.0.0.1|11211 b.example.com||11212 |10.0.0.3|11213 |::1|11214\n";
        for first in ["CONFIG cluster", "VALUE AmazonElastiCache:cluster"] {
            let bytes = reply(first, nodes);
            let by_name = ["a.example.com:11211", "b.example.com:11212", "10.0.0.3:11213", "[::1]:11214"];
            assert_eq!(names(&bytes, false), (12, by_name.map(String::from).to_vec()));
            let by_ip = ["10.0.0.1:11211", "b.example.com:11212", "10.0.0.3:11213", "[::1]:11214"];
            assert_eq!(names(&bytes, true), (12, by_ip.map(String::from).to_vec()));
            for end in 0..bytes.len() {
                assert_eq!(read(&bytes[..end], false).unwrap(), None, "{end}");
            }
        }
        assert_eq!(read(b"ERROR\r\n", false).unwrap(), Some(Reply::Unknown));
        assert_eq!(names(&reply("CONFIG cluster", "3\n\n"), false), (3, vec![]));
    }

    /// Memorystore's nodes have addresses and no names; what its manual leaves open is taken either way.
    #[test]
    fn memorystores_answer_is_read_however_its_lines_end() {
        let nodes = ["10.0.0.3:11211", "10.0.0.4:11211"].map(String::from).to_vec();
        let list = "10.0.0.3|10.0.0.3|11211 10.0.0.4|10.0.0.4|11211";
        for line in ["\n", "\r\n"] {
            let counted = format!("9{line}{list}").len();
            for (behind, extra) in
                [("\n\r\n", 0), ("\n\r\n", 1), ("\r\n", 0), ("\r\n", 2), ("\r\n\r\n", 2), (" \r\n", 1)]
            {
                let bytes =
                    format!("CONFIG cluster 0 {}\r\n9{line}{list}{behind}END\r\n", counted + extra).into_bytes();
                for by_ip in [false, true] {
                    assert_eq!(names(&bytes, by_ip), (9, nodes.clone()), "{}", bytes.escape_ascii());
                }
                for end in 0..bytes.len() {
                    assert_eq!(read(&bytes[..end], false).unwrap(), None, "{end} of {}", bytes.escape_ascii());
                }
            }
        }
        // One that goes on behind its length is none: a node would be cut.
        let error = read(format!("CONFIG cluster 0 20\r\n9\n{list}\n\r\nEND\r\n").as_bytes(), false).unwrap_err();
        assert!(error.message().contains("does not end where it says"), "{error}");
    }

    #[test]
    fn what_is_no_configuration_is_a_failure_that_says_so() {
        let many = format!("1\n{}", "a||1 ".repeat(MAX_NODES + 1));
        let odd = [
            "",
            "x\na||1",
            "-1\na||1",
            "1\na|1",
            "1\na|b|c|1",
            "1\na||0",
            "1\na||99999",
            "1\na||",
            "1\n||1",
            "1\n/x||1",
            &many,
        ];
        for configuration in odd {
            let error = read(&reply("CONFIG cluster", configuration), false).unwrap_err();
            assert_eq!(error.status(), Status::Protocol, "{configuration:?}: {error}");
            assert!(error.message().len() < 300, "{error}");
        }
        let lines: [&[u8]; 8] = [
            b"END\r\n",
            b"SERVER_ERROR out of memory\r\n",
            b"CONFIG cluster 0 999999999\r\n",
            b"CONFIG cluster 0 -1\r\n",
            b"VALUE other 0 1\r\n1\r\nEND\r\n",
            b"CONFIG cluster 0 1\r\n12\r\nEND\r\n",
            b"\r\n",
            &[b'x'; 600],
        ];
        for line in lines {
            assert_eq!(read(line, false).unwrap_err().status(), Status::Protocol, "{}", line.escape_ascii());
        }
    }
}
