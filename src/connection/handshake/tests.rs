use super::*;
use crate::connection::login::{Credentials, Rules};
use crate::secret::Secret;
use std::sync::Arc;

const RULES: Rules = Rules { style: Style::Auto, mechanism: None, optional: false, allow_plaintext: false };
const PASSWORD: &str = "hunter2";

fn local() -> Address {
    Address::parse("127.0.0.1:1").unwrap()
}

fn remote() -> Address {
    Address::parse("192.0.2.1:1").unwrap()
}

fn login(rules: Rules) -> Option<Login> {
    let credentials = Credentials { username: "user".into(), password: Secret::new(PASSWORD) };
    Some(Login { credentials: Arc::new(credentials), generation: 0, rules, nonce: "NONCE".into() })
}

fn begin(choice: ProtocolChoice, login: Option<Login>, known: Known) -> Handshake {
    Handshake::begin(&local(), choice, login, known).unwrap()
}

fn reply(opcode: u8, code: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = frame::request(opcode, "", body).to_vec();
    frame[0] = RESPONSE;
    frame[6..8].copy_from_slice(&code.to_be_bytes());
    frame
}

/// What comes of these replies, each to one request; `None` for a lost connection.
fn play(mut handshake: Handshake, replies: &[Option<&[u8]>]) -> Result<Outcome> {
    for reply in replies {
        assert!(handshake.outcome().is_none() && !handshake.take_request().is_empty());
        match reply {
            Some(bytes) => handshake.receive(bytes)?,
            None => handshake.fail(Error::new(Status::Connection, "closed"))?,
        }
    }
    Ok(handshake.outcome().expect("more is asked"))
}

fn refusal(handshake: Handshake, replies: &[Option<&[u8]>]) -> Error {
    let error = play(handshake, replies).unwrap_err();
    assert!(!error.message().contains(PASSWORD), "{error}");
    assert_ne!(error.bits() & bits::NOT_SENT, 0, "{error}");
    error
}

const VERSION: Option<&[u8]> = Some(b"VERSION 1.6.18\r\n");
const VERSIONS: Option<&[u8]> = Some(b"VERSION 1.6.18\r\nVERSION 1.6.18\r\nVERSION 1.6.18\r\n");
const UNAUTHENTICATED: Option<&[u8]> = Some(b"CLIENT_ERROR unauthenticated\r\n");

#[test]
fn what_is_known_is_not_asked() {
    let known = |dialect| Known { dialect: Some(dialect), version: 5, ..Known::default() };
    let cases = [
        (ProtocolChoice::Text, Known::default(), Dialect::Text),
        (ProtocolChoice::Meta, known(Dialect::Text), Dialect::Meta),
        (ProtocolChoice::Binary, Known::default(), Dialect::Binary),
        (ProtocolChoice::Auto, known(Dialect::TextMeta), Dialect::TextMeta),
        (ProtocolChoice::Auto, known(Dialect::Binary), Dialect::Binary),
    ];
    for (choice, known, dialect) in cases {
        let outcome = play(begin(choice, None, known), &[]).unwrap();
        assert_eq!((outcome.dialect, outcome.reconnect), (dialect, false));
    }
}

#[test]
fn auto_finds_out() {
    let auto = |known| begin(ProtocolChoice::Auto, None, known);
    let answers: [(Option<&[u8]>, Dialect, bool); 4] = [
        (Some(b"MN\r\n"), Dialect::TextMeta, false),
        (Some(b"ERROR\r\n"), Dialect::Text, false),
        (Some(b"SERVER_ERROR what\r\n"), Dialect::Text, true),
        (None, Dialect::Text, true),
    ];
    for (line, dialect, reconnect) in answers {
        let outcome = play(auto(Known::default()), &[VERSIONS, line]).unwrap();
        assert_eq!((outcome.dialect, outcome.reconnect), (dialect, reconnect));
        assert_eq!(play(auto(outcome.known), &[]).unwrap().dialect, dialect, "learned");
    }
}

#[test]
fn a_server_that_hangs_up_on_text_is_asked_in_binary() {
    let auto = |known| begin(ProtocolChoice::Auto, None, known);
    let hung_up = play(auto(Known::default()), &[None]).unwrap();
    assert!(hung_up.reconnect);
    let version = reply(frame::VERSION, 0, b"1.6.18");
    let binary = play(auto(hung_up.known), &[Some(&version)]).unwrap();
    assert_eq!((binary.dialect, binary.reconnect), (Dialect::Binary, false));
    // One that hangs up on both is given up, and one that was binary is asked anew.
    assert_eq!(refusal(auto(hung_up.known), &[None]).status(), Status::Connection);
    let doubtful = Known { doubtful: true, ..binary.known };
    assert_eq!(play(auto(doubtful), &[Some(&version)]).unwrap().dialect, Dialect::Binary);
    for gone in [None, Some(&b"ERROR\r\n"[..])] {
        let again = play(auto(doubtful), &[gone]).unwrap();
        assert_eq!((again.reconnect, again.known), (true, Known::default()));
    }
}

#[test]
fn another_version_is_asked_again_what_it_knows() {
    let auto = |known| begin(ProtocolChoice::Auto, None, known);
    let known = play(auto(Known::default()), &[VERSIONS, Some(b"MN\r\n")]).unwrap().known;
    let doubtful = Known { doubtful: true, ..known };
    assert_eq!(play(auto(doubtful), &[VERSIONS]).unwrap().dialect, Dialect::TextMeta);
    let other: Option<&[u8]> = Some(b"VERSION 1.4.0\r\nVERSION 1.4.0\r\nVERSION 1.4.0\r\n");
    assert_eq!(play(auto(doubtful), &[other, Some(b"ERROR\r\n")]).unwrap().dialect, Dialect::Text);
}

#[test]
fn answers_come_in_pieces() {
    let mut handshake = begin(ProtocolChoice::Auto, None, Known::default());
    assert_eq!(&handshake.take_request()[..], b"version\r\n".repeat(3));
    for byte in VERSIONS.unwrap() {
        assert!(handshake.take_request().is_empty());
        handshake.receive(&[*byte]).unwrap();
    }
    assert_eq!(&handshake.take_request()[..], b"mn\r\n");
    assert!(handshake.receive(b"MN\r\nMN\r\n").is_err(), "more than was asked for");
}

#[test]
fn failures_are_told() {
    let auto = || begin(ProtocolChoice::Auto, None, Known::default());
    let mut silent = auto();
    let late = silent.fail(Error::new(Status::Timeout, "no answer in time")).unwrap_err();
    assert_eq!((late.status(), late.bits()), (Status::Timeout, bits::NOT_SENT));
    assert!(late.message().contains("127.0.0.1:1") && late.message().contains("protocol=binary"), "{late}");
    assert_eq!(refusal(auto(), &[Some(b"HTTP/1.1 400 Bad\r\n")]).status(), Status::Protocol);
    assert_eq!(refusal(auto(), &[Some(&[b'x'; 600])]).status(), Status::Protocol);
    assert_eq!(refusal(auto(), &[UNAUTHENTICATED]).status(), Status::Auth);
}

#[test]
fn a_full_server_is_understood_in_every_protocol() {
    use ProtocolChoice::{Auto, Binary, Meta, Text};
    for (choice, with_login) in [(Auto, false), (Auto, true), (Text, true), (Meta, true), (Binary, true)] {
        let handshake = begin(choice, login(RULES).filter(|_| with_login), Known::default());
        let error = refusal(handshake, &[Some(b"ERROR Too many open connections\r\n")]);
        assert_eq!(error.status(), Status::ServerError, "{choice:?}: {error}");
        assert!(error.message().contains("Too many open connections"), "{error}");
    }
}

#[test]
fn sasl_takes_the_best_that_both_have() {
    let offered = |list: &[u8], rules: Rules| {
        let mut handshake = begin(ProtocolChoice::Binary, login(rules), Known::default());
        handshake.take_request();
        handshake.receive(&reply(frame::LIST, 0, list)).map(|()| handshake.take_request()[24..].to_vec())
    };
    let all = b"PLAIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-512";
    assert!(offered(all, RULES).unwrap().starts_with(b"SCRAM-SHA-512n,,n=user,r=NONCE"));
    assert!(offered(b"PLAIN CRAM-MD5", RULES).unwrap().starts_with(b"CRAM-MD5"));
    assert_eq!(offered(b"PLAIN", RULES).unwrap(), b"PLAIN\0user\0hunter2");
    let only_plain = Rules { mechanism: Some(Mechanism::Plain), ..RULES };
    assert_eq!(offered(all, only_plain).unwrap(), b"PLAIN\0user\0hunter2");
    for (list, rules) in [(&b"ANONYMOUS"[..], RULES), (b"", RULES), (b"CRAM-MD5", only_plain)] {
        let error = offered(list, rules).unwrap_err();
        assert_eq!(error.status(), Status::Auth);
        assert!(error.message().contains("PLAIN"), "{error}");
    }
}

#[test]
fn sasl_ends_with_the_servers_word() {
    let binary = || begin(ProtocolChoice::Binary, login(RULES), Known::default());
    let list = reply(frame::LIST, 0, b"PLAIN CRAM-MD5");
    let (challenge, ok) = (reply(frame::AUTH, 0x21, b"<1@host>"), reply(frame::STEP, 0, b"Authenticated"));
    assert_eq!(play(binary(), &[Some(&list), Some(&challenge), Some(&ok)]).unwrap().dialect, Dialect::Binary);
    for code in [0x20, 0x08] {
        let refused = reply(frame::STEP, code, b"Auth failure.");
        let error = refusal(binary(), &[Some(&list), Some(&challenge), Some(&refused)]);
        assert_eq!(error.status(), Status::Auth);
        assert!(error.message().contains("\"user\"") && error.message().contains("Auth failure."), "{error}");
    }
    let busy = reply(frame::AUTH, 0x86, b"Temporary failure");
    assert_eq!(refusal(binary(), &[Some(&list), Some(&busy)]).status(), Status::ServerError);
    let endless = reply(frame::STEP, 0x21, b"<2@host>");
    assert_eq!(refusal(binary(), &[Some(&list), Some(&challenge), Some(&endless)]).status(), Status::Auth);
    let early = reply(frame::AUTH, 0, b"Authenticated");
    assert_eq!(refusal(binary(), &[Some(&list), Some(&early)]).status(), Status::Auth);
}

#[test]
fn replies_to_something_else_are_refused() {
    let mut wrong = Vec::new();
    let right = reply(frame::LIST, 0, b"PLAIN");
    for (at, byte) in [(0, 0x82), (1, frame::AUTH), (15, 0), (8, 0xff), (3, 200), (4, 200)] {
        let mut bad = right.clone();
        bad[at] = byte;
        wrong.push(bad);
    }
    wrong.push([&right[..], b"x"].concat());
    wrong.push(b"HTTP/1.1 400 hunter2\r\n".to_vec());
    for bytes in wrong {
        let error = refusal(begin(ProtocolChoice::Binary, login(RULES), Known::default()), &[Some(&bytes)]);
        assert_eq!(error.status(), Status::Protocol, "{error}");
    }
}

#[test]
fn a_server_without_authentication_is_an_error_unless_it_may_be() {
    use ProtocolChoice::{Auto, Binary, Text};
    let optional = Rules { optional: true, ..RULES };
    let unknown = reply(frame::LIST, 0x81, b"Unknown command");
    let reads_lines = Known { ascii: true, ..Known::default() };
    type Case<'a> = (ProtocolChoice, Known, &'a [Option<&'a [u8]>], Dialect);
    let cases: [Case<'_>; 4] = [
        (Binary, Known::default(), &[Some(&unknown)], Dialect::Binary),
        (Auto, Known::default(), &[Some(&unknown)], Dialect::Binary),
        (Auto, reads_lines, &[VERSION, Some(b"ERROR\r\n")], Dialect::Text),
        (Text, Known::default(), &[VERSION], Dialect::Text),
    ];
    for (choice, known, replies, dialect) in cases {
        let error = refusal(begin(choice, login(RULES), known), &replies[..1]);
        assert_eq!(error.status(), Status::Auth);
        assert!(error.message().contains("auth_optional"), "{error}");
        assert_eq!(play(begin(choice, login(optional), known), replies).unwrap().dialect, dialect);
    }
}

#[test]
fn an_ascii_login_is_said_only_to_who_asks_for_it() {
    for (choice, dialect) in [(ProtocolChoice::Text, Dialect::Text), (ProtocolChoice::Meta, Dialect::Meta)] {
        let mut handshake = begin(choice, login(RULES), Known::default());
        assert_eq!(&handshake.take_request()[..], b"version\r\n");
        handshake.receive(UNAUTHENTICATED.unwrap()).unwrap();
        assert_eq!(&handshake.take_request()[..], b"set auth 0 0 12\r\nuser hunter2\r\n");
        handshake.receive(b"STORED\r\n").unwrap();
        assert_eq!(handshake.outcome().unwrap().dialect, dialect);
        let wrong: Option<&[u8]> = Some(b"CLIENT_ERROR authentication failure\r\n");
        let error = refusal(begin(choice, login(RULES), Known::default()), &[UNAUTHENTICATED, wrong]);
        assert_eq!(error.status(), Status::Auth);
        let echo: Option<&[u8]> = Some(b"CLIENT_ERROR user hunter2\r\n");
        refusal(begin(choice, login(RULES), Known::default()), &[UNAUTHENTICATED, echo]);
    }
}

#[test]
fn auto_finds_the_login_that_a_server_wants() {
    let auto = |known| begin(ProtocolChoice::Auto, login(RULES), known);
    for answer in [None, UNAUTHENTICATED, Some(&b"ERROR\r\n"[..])] {
        let lines = play(auto(Known::default()), &[answer]).unwrap();
        assert!(lines.reconnect);
        let replies = [UNAUTHENTICATED, Some(&b"STORED\r\n"[..]), VERSION, Some(b"MN\r\n")];
        let learned = play(auto(lines.known), &replies).unwrap();
        assert_eq!(learned.dialect, Dialect::TextMeta);
        assert_eq!(play(auto(learned.known), &replies[..2]).unwrap().dialect, Dialect::TextMeta);
    }
}

#[test]
fn memcachiers_login_leaves_no_password_in_a_cache() {
    let rules = Rules { style: Style::Memcachier, ..RULES };
    let text = |rules| begin(ProtocolChoice::Text, login(rules), Known::default());
    let mut handshake = text(rules);
    assert_eq!(&handshake.take_request()[..], b"set user 0 0 7\r\nhunter2\r\n");
    handshake.receive(b"STORED\r\n").unwrap();
    assert_eq!(&handshake.take_request()[..], b"delete user\r\n");
    handshake.receive(b"NOT_FOUND\r\n").unwrap();
    assert_eq!(handshake.outcome().unwrap().dialect, Dialect::Text);
    let stored = [Some(&b"STORED\r\n"[..]), Some(b"DELETED\r\n")];
    assert_eq!(refusal(text(rules), &stored).status(), Status::Auth);
    assert!(play(text(Rules { optional: true, ..rules }), &stored).is_ok());
}

#[test]
fn a_password_is_shown_to_other_hosts_only_where_that_is_allowed() {
    let at_remote = |choice, rules| Handshake::begin(&remote(), choice, login(rules), Known::default());
    let allowed = Rules { allow_plaintext: true, ..RULES };
    let list = |names: &[u8]| reply(frame::LIST, 0, names);
    for (rules, ok) in [(RULES, false), (allowed, true)] {
        let mut plain = at_remote(ProtocolChoice::Binary, rules).unwrap();
        plain.take_request();
        assert_eq!(plain.receive(&list(b"PLAIN")).is_ok(), ok);
        let mut better = at_remote(ProtocolChoice::Binary, rules).unwrap();
        better.take_request();
        assert!(better.receive(&list(b"PLAIN CRAM-MD5")).is_ok(), "CRAM-MD5 does not show it");
        let mut ascii = at_remote(ProtocolChoice::Text, rules).unwrap();
        ascii.take_request();
        assert_eq!(ascii.receive(UNAUTHENTICATED.unwrap()).is_ok(), ok);
        let memcachier = at_remote(ProtocolChoice::Text, Rules { style: Style::Memcachier, ..rules });
        assert_eq!(memcachier.is_ok(), ok);
        if let Err(error) = memcachier {
            assert_eq!(error.status(), Status::Auth);
            assert!(error.message().contains("allow_plaintext_auth"), "{error}");
        }
    }
}

#[test]
fn names_that_would_end_the_request_are_refused() {
    let named = |username: &str, style| {
        let credentials = Credentials { username: username.into(), password: Secret::new(PASSWORD) };
        let login = Login {
            credentials: Arc::new(credentials),
            generation: 0,
            rules: Rules { style, ..RULES },
            nonce: String::new(),
        };
        login.ascii_request().map(|_| ())
    };
    for bad in ["a b", "a\r\nflush_all", "a:b"] {
        assert!(named(bad, Style::Ascii).is_err(), "{bad:?}");
    }
    for bad in ["a b", "a\r\nflush_all", "\u{e9}"] {
        assert!(named(bad, Style::Memcachier).is_err(), "{bad:?}");
    }
}
