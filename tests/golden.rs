//! Golden bytes: what a client says on the wire, call by call, is what tests/vectors/wire.txt says; a memcached behind a
//! proxy that takes notes answers it.

mod common;

use bmemc::{op_flags, Answers, Client, Command, Operation};
use common::fleet::client_of;
use common::Memcached;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const VECTORS: &str = include_str!("vectors/wire.txt");

/// A request for the version over binary.
const VERSION: &str = "800b00000000000000000000000000000000000000000000";

/// What clients have said since it was last taken.
type Heard = Arc<Mutex<Vec<u8>>>;

/// Hands every byte on to a server and back, and notes what goes there. It lives as long as the test's process.
fn note_taker(server: &str) -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, server, heard) = (listener.local_addr().unwrap().to_string(), server.to_string(), Heard::default());
    let notes = heard.clone();
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let (mut near, mut far) = (near.unwrap(), TcpStream::connect(&server).unwrap());
            let (mut back, mut from) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            let notes = notes.clone();
            std::thread::spawn(move || std::io::copy(&mut from, &mut back));
            std::thread::spawn(move || {
                let mut chunk = [0; 65536];
                while let Ok(came @ 1..) = near.read(&mut chunk) {
                    notes.lock().unwrap().extend(&chunk[..came]);
                    far.write_all(&chunk[..came]).unwrap();
                }
            });
        }
    });
    (address, heard)
}

/// One operation as a line of the vectors describes it: `set k v ttl=100`.
fn operation(text: &'static str) -> Operation<'static> {
    let mut words = text.split_whitespace();
    let verb = words.next().unwrap();
    let command = Command::ALL.into_iter().find(|command| command.name() == verb);
    let mut made = Operation::new(command.unwrap_or_else(|| panic!("no command {verb}")), b"");
    let mut place = 0;
    for word in words {
        match word.split_once('=') {
            Some(("ttl", number)) => made.ttl = number.parse().unwrap(),
            Some(("flags", number)) => made.flags = number.parse().unwrap(),
            Some(("delta", number)) => made.delta = number.parse().unwrap(),
            Some(("initial", number)) => made.initial = number.parse().unwrap(),
            Some(("cas", number)) => made.cas = number.parse().unwrap(),
            _ if word == "want_cas" => made.op_flags |= op_flags::WANT_CAS,
            _ if word == "create" => made.op_flags |= op_flags::CREATE,
            _ if word == "-" => place += 1,
            _ if word == "no_reply" => made.op_flags |= op_flags::NO_REPLY,
            _ if word.starts_with("+") => made.meta_flags = word[1..].replace('~', " ").leak().as_bytes(),
            _ => {
                let word = word.replace('~', " ").leak().as_bytes();
                *(if place == 0 { &mut made.key } else { &mut made.value }) = word;
                place += 1;
            }
        }
    }
    made
}

/// Bytes as the vectors write them: hexadecimal over binary, else text with \r and \n, where O? is any opaque.
fn shown(protocol: &str, heard: &[u8]) -> String {
    if protocol == "binary" {
        // Which opaques there are is the client's affair.
        let mut rest = heard.to_vec();
        let mut at = 0;
        while at + 24 <= rest.len() {
            rest[at + 12..at + 16].fill(0);
            at += 24 + u32::from_be_bytes(rest[at + 8..at + 12].try_into().unwrap()) as usize;
        }
        return rest.iter().map(|byte| format!("{byte:02x}")).collect();
    }
    let text = heard.escape_ascii().to_string();
    let words: Vec<&str> = text.split(' ').collect();
    let is_opaque = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let masked = words.iter().map(|word| match word.strip_prefix('O') {
        Some(rest) if is_opaque(rest.split('\\').next().unwrap()) => {
            format!("O?{}", &rest[rest.find('\\').unwrap_or(rest.len())..])
        }
        _ => word.to_string(),
    });
    masked.collect::<Vec<_>>().join(" ")
}

fn said(client: &Client, heard: &Heard, protocol: &str, operations: &[Operation<'_>]) -> String {
    heard.lock().unwrap().clear();
    client.execute(operations, &mut Answers::new(operations.len())).unwrap();
    // What goes without reply is there once something behind it was answered.
    client.version().unwrap();
    let all = shown(protocol, &heard.lock().unwrap());
    let version = if protocol == "binary" { VERSION } else { "version\\r\\n" };
    all.strip_suffix(version).unwrap_or_else(|| panic!("no version at the end: {all}")).to_string()
}

#[test]
fn every_call_is_said_as_the_vectors_have_it() {
    let server = Memcached::tcp(&[]);
    let (address, heard) = note_taker(server.address());
    let (mut client, mut protocol, mut count, mut failures) = (None, "", 0, Vec::new());
    for line in VECTORS.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if let Some(rest) = line.strip_prefix("== ") {
            let (name, others) = rest.split_once(' ').unwrap_or((rest, ""));
            protocol = name;
            let others = others.split_whitespace().map(|option| option.split_once('=').expect(line));
            let settings: Vec<_> = [("protocol", name), ("connections", "1")].into_iter().chain(others).collect();
            let made = client_of([address.as_str()], &settings);
            made.version().unwrap(); // whatever a new connection has to say
            client = Some(made);
            continue;
        }
        let (call, expected) = line.split_once(" -> ").unwrap_or_else(|| panic!("{line}"));
        let operations: Vec<Operation<'_>> = call.split(';').map(|text| operation(text.trim())).collect();
        let expected = if protocol == "binary" { expected.replace(' ', "") } else { expected.trim().to_string() };
        let found = said(client.as_ref().unwrap(), &heard, protocol, &operations);
        if found != expected {
            failures.push(format!("{protocol}: {}\n     {found}\n not {expected}", call.trim()));
        }
        count += 1;
    }
    assert!(count > 130, "{count} calls");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// The greeting of a new connection, which logs in.
#[test]
fn logins_are_said_as_they_should_be() {
    use bmemc::server::{Auth, Config, Server, User};
    let users = || vec![User { name: "user".into(), password: bmemc::Secret::new("password") }];
    let login = [("username", "user"), ("password", "password"), ("connections", "1")];
    let start = |auth| Server::start(Config { auth, users: users(), ..Config::default() }).unwrap();
    let (sasl, ascii, memcachier) = (start(Auth::Sasl), start(Auth::Ascii), start(Auth::Memcachier));
    // What a client with these options says before its own question.
    let greeting = |server: &Server, settings: &[(&str, &str)]| {
        let (address, heard) = note_taker(server.address());
        client_of([address.as_str()], &[&login[..], settings].concat()).version().unwrap();
        let protocol = settings[0].1;
        let all = shown(protocol, &heard.lock().unwrap());
        let version = if protocol == "binary" { VERSION } else { "version\\r\\n" };
        all.strip_suffix(version).unwrap_or_else(|| panic!("no version at the end: {all}")).to_string()
    };
    // bmemcached's: which mechanisms there are, and PLAIN with "\0user\0password".
    let list = "802000000000000000000000000000000000000000000000";
    let plain = "802100050000000000000013000000000000000000000000504c41494e00757365720070617373776f7264";
    let said = greeting(&sasl, &[("protocol", "binary"), ("sasl_mechanism", "PLAIN")]);
    assert_eq!(said.strip_prefix(list), Some(plain), "{said}");
    // CRAM-MD5 begins with nothing, and answers the challenge with the name and 32 digits.
    let said = greeting(&sasl, &[("protocol", "binary"), ("sasl_mechanism", "CRAM-MD5")]);
    let begin = "80210008000000000000000800000000000000000000000043 52414d2d4d4435".replace(' ', "");
    let step = "80220008000000000000002d00000000000000000000000043 52414d2d4d4435 7573657220".replace(' ', "");
    let rest = said.strip_prefix(list).and_then(|said| said.strip_prefix(&begin)).unwrap_or_else(|| panic!("{said}"));
    assert_eq!(rest.strip_prefix(&step).map(str::len), Some(64), "{said}");
    // memcached -Y: the first line is a set of any key, with name and password as its value. What any other server would
    // store is said only where a login was asked for.
    for protocol in ["text", "meta"] {
        let said = greeting(&ascii, &[("protocol", protocol)]);
        assert_eq!(said, "version\\r\\nset auth 0 0 13\\r\\nuser password\\r\\n", "{protocol}");
        // MemCachier's has the name as its key.
        let said = greeting(&memcachier, &[("protocol", protocol), ("auth", "memcachier")]);
        assert_eq!(said, "set user 0 0 8\\r\\npassword\\r\\ndelete user\\r\\n", "{protocol}");
    }
}
