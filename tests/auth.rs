//! Logins, against memcached with SASL and with `-Y`, against the embedded server, and against servers that do it wrong.

mod common;

use bmemc::server::{Auth, Config, User};
use bmemc::{bits, Client, Error, Event, Operation, Options, Queue, Secret, Status};
use common::logins::{Cut, Guarded, Tap, MECHANISMS, PASSWORD, USER};
use common::oracle::{Sleeper, Watchdog};
use common::Memcached;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Settings<'a> = &'a [(&'a str, &'a str)];

const CREDENTIALS: [(&str, &str); 2] = [("username", USER), ("password", PASSWORD)];

fn options(server: &str, settings: Settings<'_>) -> Options {
    let mut options = Options::new();
    options.add_server(server, "", 1).unwrap();
    // Logins, whatever was remembered of the server (tests/failover.rs).
    options.set("failover", "none").unwrap();
    let patient = [("timeout_ms", "20000"), ("connect_timeout_ms", "20000")];
    for (name, value) in patient.iter().chain(&CREDENTIALS).chain(settings) {
        options.set(name, value).unwrap();
    }
    options
}

fn client(server: &str, settings: Settings<'_>) -> Client {
    Client::new(options(server, settings)).unwrap()
}

/// What is said of a failure never has the password in it.
fn hidden(error: Error) -> Error {
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error}");
    error
}

fn refused(client: &Client) -> Error {
    let error = hidden(client.get(b"k").unwrap_err());
    assert_ne!(error.bits() & bits::NOT_SENT, 0, "{error}");
    error
}

fn works(client: &Client, what: &str) {
    client.set(b"auth-key", what.as_bytes(), 0, 60).unwrap_or_else(|error| panic!("{what}: {error}"));
    let item = client.get(b"auth-key").unwrap().unwrap_or_else(|| panic!("{what}: a miss"));
    assert_eq!(item.value, what.as_bytes());
}

/// One read by way of a queue.
fn queued(client: &Client) -> bmemc::Result<Option<Vec<u8>>> {
    let queue = Queue::new().unwrap();
    let (taken, result) = queue.submit(client, [(7, Operation::get(b"auth-key"))]);
    result?;
    assert_eq!(taken, 1);
    let mut answers = Vec::new();
    while answers.is_empty() {
        queue.fetch(&mut answers, 8, 20_000)?;
    }
    let answer = &answers[0];
    match answer.status {
        Status::Ok => Ok(Some(answer.value.to_vec())),
        Status::NotFound => Ok(None),
        status => Err(Error::new(status, String::from_utf8_lossy(&answer.detail).into_owned())),
    }
}

fn embedded(auth: Auth) -> bmemc::server::Server {
    let users = vec![User { name: USER.into(), password: Secret::new(PASSWORD) }];
    bmemc::server::Server::start(Config { auth, users, ..Config::default() }).unwrap()
}

// ---- SASL ----

#[test]
fn every_mechanism_works_with_memcached_over_tcp_and_unix() {
    for unix in [false, true] {
        let server = Guarded::sasl(unix, &MECHANISMS.join(" "));
        for mechanism in MECHANISMS {
            for protocol in ["binary", "auto"] {
                let client = client(server.address(), &[("sasl_mechanism", mechanism), ("protocol", protocol)]);
                works(&client, &format!("{mechanism} {protocol}"));
                assert_eq!(queued(&client).unwrap().unwrap(), format!("{mechanism} {protocol}").as_bytes());
            }
        }
    }
}

#[test]
fn every_mechanism_works_with_the_embedded_server() {
    let server = embedded(Auth::Sasl);
    for mechanism in MECHANISMS {
        works(&client(server.address(), &[("sasl_mechanism", mechanism)]), mechanism);
        let wrong = client(server.address(), &[("sasl_mechanism", mechanism), ("password", "wrong")]);
        assert_eq!(refused(&wrong).status(), Status::Auth, "{mechanism}");
        let nobody = client(server.address(), &[("sasl_mechanism", mechanism), ("username", "nobody")]);
        assert_eq!(refused(&nobody).status(), Status::Auth, "{mechanism}");
    }
}

#[test]
fn the_best_mechanism_is_taken_and_only_plain_shows_the_password() {
    let server = Guarded::sasl(false, &MECHANISMS.join(" "));
    for (forced, said) in [("auto", "SCRAM-SHA-512"), ("CRAM-MD5", "CRAM-MD5"), ("PLAIN", "PLAIN")] {
        let tap = Tap::to(server.address(), Cut::Never);
        works(&client(tap.address(), &[("sasl_mechanism", forced)]), forced);
        assert!(tap.has_said(said), "{forced}");
        assert_eq!(tap.has_said(PASSWORD), forced == "PLAIN", "{forced}");
    }
}

#[test]
fn a_mechanism_that_is_not_offered_is_named() {
    let server = Guarded::sasl(false, "plain");
    works(&client(server.address(), &[]), "the one that is offered");
    let error = refused(&client(server.address(), &[("sasl_mechanism", "CRAM-MD5")]));
    assert_eq!(error.status(), Status::Auth);
    assert!(error.message().contains("\"PLAIN\"") && error.message().contains("CRAM-MD5"), "{error}");
}

#[test]
fn without_credentials_a_guarded_server_answers_auth() {
    let nobody = [("username", ""), ("password", "")];
    let (sasl, ascii) = (Guarded::sasl(false, "plain"), Guarded::ascii(false));
    for (server, protocol) in [(&sasl, "binary"), (&sasl, "auto"), (&ascii, "auto")] {
        let client = client(server.address(), &[nobody[0], nobody[1], ("protocol", protocol)]);
        assert_eq!(client.get(b"k").unwrap_err().status(), Status::Auth, "{protocol}");
    }
}

#[test]
fn without_credentials_every_command_of_a_text_client_answers_auth() {
    let (server, own) = (Guarded::ascii(false), embedded(Auth::Ascii));
    for (address, protocol) in
        [server.address(), own.address()].into_iter().flat_map(|address| ["text", "meta"].map(|p| (address, p)))
    {
        let client = client(address, &[("username", ""), ("password", ""), ("protocol", protocol)]);
        let set = |value| client.set(b"k", value, 0, 0).map(|_| ());
        // A set is a login to such a server, and two words are a user and a password.
        let results = [
            client.get(b"k").map(|_| ()),
            client.delete(b"k").map(|_| ()),
            set(b"v"),
            set(b"two words"),
            queued(&client).map(|_| ()),
        ];
        for (index, result) in results.into_iter().enumerate() {
            let error = result.unwrap_err();
            assert_eq!(error.status(), Status::Auth, "{address} {protocol} {index}: {error}");
        }
    }
}

/// A password that is wrong, for every kind of server, its driver and its words.
#[test]
fn a_wrong_password_is_tried_once_and_not_again_until_it_is_changed() {
    let (sasl, ascii) = (Guarded::sasl(false, "plain cram-md5"), Guarded::ascii(false));
    for (server, settings) in
        [(&sasl, ("protocol", "binary")), (&sasl, ("sasl_mechanism", "PLAIN")), (&ascii, ("protocol", "text"))]
    {
        let tap = Tap::to(server.address(), Cut::Never);
        let client = client(tap.address(), &[("password", "wrong-horse"), settings]);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let error = refused(&client);
                        assert_eq!(error.status(), Status::Auth, "{error}");
                        assert!(!error.message().contains("wrong-horse"), "{error}");
                    }
                });
            }
        });
        for _ in 0..20 {
            assert_eq!(queued(&client).unwrap_err().status(), Status::Auth);
        }
        // One for each place of the pool and of a queue, again after each five seconds.
        let rounds = begun.elapsed().as_secs() as usize / 5 + 1;
        assert!(tap.connections() <= 3 * rounds, "{} connections in {:?}", tap.connections(), begun.elapsed());
        let before = tap.connections();
        client.set_credentials(USER, &Secret::new(PASSWORD)).unwrap();
        works(&client, "changed");
        assert_eq!(queued(&client).unwrap().unwrap(), b"changed");
        assert!(tap.connections() > before);
    }
}

#[test]
fn new_connections_use_new_credentials_and_open_ones_stay() {
    let server = Guarded::sasl(false, "plain");
    let client = client(server.address(), &[]);
    works(&client, "first");
    server.set_password("another-one");
    works(&client, "still logged in");
    client.disconnect_all();
    assert_eq!(refused(&client).status(), Status::Auth);
    client.set_credentials(USER, &Secret::new("another-one")).unwrap();
    works(&client, "again");
    for (username, password) in [("x", ""), ("", "x"), ("a\0b", "x"), ("x", "a\0b"), (&"u".repeat(251), "x")] {
        let error = client.set_credentials(username, &Secret::new(password)).unwrap_err();
        assert_eq!((error.status(), error.bits()), (Status::Argument, bits::NOT_SENT), "{error}");
    }
    works(&client, "as before");
}

#[test]
fn a_server_that_comes_back_is_logged_in_to_again() {
    let mut server = Guarded::sasl(false, "plain cram-md5");
    let client = client(server.address(), &[]);
    works(&client, "before");
    server.server.stop();
    assert!(client.get(b"k").is_err());
    server.server.start();
    // The first call may still find what is left of the old connection.
    let _ = client.get(b"k");
    works(&client, "after");
}

// ---- ASCII ----

#[test]
fn the_ascii_login_works_with_memcached_over_tcp_and_unix() {
    for unix in [false, true] {
        let server = Guarded::ascii(unix);
        for settings in [("protocol", "text"), ("protocol", "meta"), ("protocol", "auto"), ("auth", "ascii")] {
            let client = client(server.address(), &[settings]);
            works(&client, settings.1);
            assert_eq!(queued(&client).unwrap().unwrap(), settings.1.as_bytes());
            let wrong = common::logins::USER;
            let refused = refused(&self::client(server.address(), &[settings, ("password", wrong)]));
            assert_eq!(refused.status(), Status::Auth, "{refused}");
        }
    }
}

#[test]
fn the_ascii_login_works_with_the_embedded_server() {
    let server = embedded(Auth::Ascii);
    for protocol in ["text", "meta", "auto"] {
        works(&client(server.address(), &[("protocol", protocol)]), protocol);
        let wrong = refused(&client(server.address(), &[("protocol", protocol), ("password", "wrong")]));
        assert_eq!(wrong.status(), Status::Auth, "{wrong}");
    }
}

#[test]
fn memcachiers_form_works_and_leaves_no_password_where_it_is_not_known() {
    let server = embedded(Auth::Memcachier);
    for protocol in ["text", "meta", "auto"] {
        let settings = [("protocol", protocol), ("auth", "memcachier")];
        works(&client(server.address(), &settings), protocol);
        let wrong = refused(&client(server.address(), &[settings[0], settings[1], ("password", "wrong")]));
        assert_eq!(wrong.status(), Status::Auth, "{wrong}");
        let plain = Memcached::tcp(&[]);
        assert_eq!(refused(&client(plain.address(), &settings)).status(), Status::Auth);
        assert!(common::client(plain.address(), &[]).get(USER.as_bytes()).unwrap().is_none());
    }
}

// ---- Servers without authentication ----

#[test]
fn a_server_without_authentication_is_an_error_unless_it_may_be() {
    let servers = [Memcached::tcp(&[]), Memcached::tcp(&["-B", "ascii"]), Memcached::tcp(&["-B", "binary"])];
    let embedded = bmemc::server::Server::start(Config::default()).unwrap();
    let cases = [
        (servers[0].address(), ["text", "meta", "auto", "binary"].as_slice()),
        (servers[1].address(), &["text", "meta", "auto"]),
        (servers[2].address(), &["auto", "binary"]),
        (embedded.address(), &["text", "meta", "auto", "binary"]),
    ];
    for (address, protocols) in cases {
        for protocol in protocols {
            let error = refused(&client(address, &[("protocol", protocol)]));
            assert_eq!(error.status(), Status::Auth, "{protocol}: {error}");
            assert!(error.message().contains("auth_optional"), "{error}");
            let client = client(address, &[("protocol", protocol), ("auth_optional", "true")]);
            works(&client, protocol);
            client.disconnect_all();
            works(&client, "on another connection");
            assert_eq!(queued(&client).unwrap().unwrap(), b"on another connection");
        }
    }
}

#[test]
fn a_password_is_never_stored_as_an_item() {
    let plain = Memcached::tcp(&[]);
    for protocol in ["text", "meta", "auto"] {
        let tap = Tap::to(plain.address(), Cut::Never);
        refused(&client(tap.address(), &[("protocol", protocol)]));
        works(&client(tap.address(), &[("protocol", protocol), ("auth_optional", "true")]), protocol);
        assert!(!tap.has_said(PASSWORD), "{protocol}");
    }
}

// ---- Where the password may be said ----

/// An address of this machine's that is not the loopback one.
fn own_address() -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    match socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()) {
        Ok(address) => address.ip().to_string(),
        // Without any network a name must do: what it stands for is not believed to be this machine either.
        Err(_) => std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_string(),
    }
}

#[test]
fn a_password_goes_to_other_hosts_only_where_that_is_allowed() {
    let host = own_address();
    let (sasl, ascii, memcachier) =
        (embedded_at(&host, Auth::Sasl), embedded_at(&host, Auth::Ascii), embedded_at(&host, Auth::Memcachier));
    let cases: [(&bmemc::server::Server, Settings<'_>); 4] = [
        (&sasl, &[("sasl_mechanism", "PLAIN")]),
        (&ascii, &[("protocol", "text")]),
        (&ascii, &[]),
        (&memcachier, &[("auth", "memcachier")]),
    ];
    for (server, settings) in cases {
        let port = server.address().rsplit(':').next().unwrap();
        let address = format!("{host}:{port}");
        let error = refused(&client(&address, settings));
        assert_eq!(error.status(), Status::Auth, "{error}");
        assert!(error.message().contains("allow_plaintext_auth"), "{error}");
        works(&client(&address, &[settings, &[("allow_plaintext_auth", "true")]].concat()), "allowed");
    }
    // What does not show it may go anywhere.
    let address = format!("{host}:{}", sasl.address().rsplit(':').next().unwrap());
    works(&client(&address, &[("sasl_mechanism", "SCRAM-SHA-1")]), "SCRAM");
    works(&client(&address, &[("sasl_mechanism", "CRAM-MD5")]), "CRAM-MD5");
}

fn embedded_at(host: &str, auth: Auth) -> bmemc::server::Server {
    let users = vec![User { name: USER.into(), password: Secret::new(PASSWORD) }];
    bmemc::server::Server::start(Config { auth, users, listen: host.into(), ..Config::default() }).unwrap()
}

#[test]
fn options_that_contradict_each_other_are_named() {
    let cases: [Settings<'_>; 5] = [
        &[("auth", "ascii"), ("protocol", "binary")],
        &[("auth", "memcachier"), ("protocol", "binary")],
        &[("auth", "sasl"), ("protocol", "text")],
        &[("password", "")],
        &[("username", "")],
    ];
    for settings in cases {
        let error = hidden(Client::new(options("127.0.0.1", settings)).err().unwrap());
        assert_eq!(error.status(), Status::Argument, "{error}");
    }
}

#[test]
fn the_password_is_in_no_error_event_or_debug() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let server = Guarded::sasl(false, "plain");
    let echo = FrameServer::start(|opcode, _, value| frame(opcode, 0x20, &[b"no: ", value].concat()));
    let listing = FrameServer::start(|opcode, _, value| match opcode {
        0x20 => frame(opcode, 0, b"PLAIN"),
        _ => frame(opcode, 0x20, &[b"no: ", value].concat()),
    });
    let ascii = Guarded::ascii(false);
    for (address, protocol) in
        [(server.address(), "auto"), (echo.address(), "auto"), (listing.address(), "binary"), (ascii.address(), "text")]
    {
        let mut options = options(address, &[("username", "somebody"), ("protocol", protocol)]);
        let events = seen.clone();
        options.on_event(move |event: &Event| events.lock().unwrap().push(format!("{event:?}")));
        seen.lock().unwrap().push(format!("{options:?}"));
        let client = Client::new(options).unwrap();
        let error = client.get(b"k").unwrap_err();
        seen.lock().unwrap().push(format!("{error} {error:?} {:?}", client.options()));
        let error = queued(&client).unwrap_err();
        seen.lock().unwrap().push(format!("{error} {error:?}"));
    }
    let seen = seen.lock().unwrap();
    assert!(seen.len() > 12 && seen.iter().any(|line| line.contains("somebody")), "{seen:#?}");
    for line in seen.iter() {
        assert!(!line.contains(PASSWORD), "{line}");
    }
}

// ---- Servers that do it wrong ----

fn frame(opcode: u8, status: u16, body: &[u8]) -> Vec<u8> {
    common::scripted::frame(opcode, status, u32::from_be_bytes(*b"\0\0\r\n"), b"", b"", body)
}

/// A server that answers each frame as it is told to; whatever comes of it.
struct FrameServer(String);

impl FrameServer {
    fn start(answer: impl Fn(u8, &[u8], &[u8]) -> Vec<u8> + Send + Sync + 'static) -> FrameServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let answer = answer.clone();
                std::thread::spawn(move || {
                    let mut header = [0; 24];
                    while stream.read_exact(&mut header).is_ok() {
                        let len = u32::from_be_bytes(header[8..12].try_into().unwrap()) as usize;
                        let key = usize::from(u16::from_be_bytes([header[2], header[3]]));
                        let mut body = vec![0; len];
                        let come = stream.read_exact(&mut body).is_ok();
                        if !come || stream.write_all(&answer(header[1], &body[..key], &body[key..])).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        FrameServer(address)
    }

    fn address(&self) -> &str {
        &self.0
    }
}

/// A server that offers one mechanism and answers what is said in it like that.
fn offers(mechanism: &'static str, answer: impl Fn(u8, &[u8]) -> Vec<u8> + Send + Sync + 'static) -> FrameServer {
    FrameServer::start(move |opcode, _, value| match opcode {
        0x20 => frame(opcode, 0, mechanism.as_bytes()),
        _ => answer(opcode, value),
    })
}

/// The nonce of a SCRAM client's first message.
fn nonce(first: &[u8]) -> String {
    String::from_utf8_lossy(first).rsplit("r=").next().unwrap().to_string()
}

/// memcached says 0x20; bmemcached looks for 0x08, and there are servers that say it.
#[test]
fn a_refusal_of_either_number_is_auth_and_no_loop() {
    for code in [0x20, 0x08] {
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = asked.clone();
        let server = offers("PLAIN", move |opcode, _| {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            frame(opcode, code, b"Auth failure.")
        });
        let client = client(server.address(), &[("protocol", "binary"), ("connections", "1")]);
        for _ in 0..5 {
            let error = refused(&client);
            assert_eq!(error.status(), Status::Auth, "{code:#x}: {error}");
        }
        let error = hidden(client.set(b"k", b"v", 0, 0).unwrap_err());
        assert_eq!(error.status(), Status::Auth, "{code:#x}: {error}");
        assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1, "{code:#x}: the password was said once");
    }
}

#[test]
fn a_server_that_lies_is_refused() {
    let _watchdog = Watchdog::start("a server that lies", Duration::from_secs(120));
    let challenge = |value: &[u8], count: &str| format!("r={}server,s=c2FsdA==,i={count}", nonce(value)).into_bytes();
    let servers = [
        ("an endless CRAM-MD5", offers("CRAM-MD5", |opcode, _| frame(opcode, 0x21, b"<challenge>"))),
        ("an endless PLAIN", offers("PLAIN", |opcode, _| frame(opcode, 0x21, b"more"))),
        ("an endless SCRAM", offers("SCRAM-SHA-1", |opcode, _| frame(opcode, 0x21, b"more"))),
        ("success unasked", offers("SCRAM-SHA-256", |opcode, _| frame(opcode, 0, b"Authenticated"))),
        (
            "2^31 iterations",
            offers("SCRAM-SHA-512", move |opcode, value| frame(opcode, 0x21, &challenge(value, "2147483648"))),
        ),
        ("one iteration", offers("SCRAM-SHA-512", move |opcode, value| frame(opcode, 0x21, &challenge(value, "1")))),
        (
            "a wrong signature",
            offers("SCRAM-SHA-1", move |opcode, value| match opcode {
                0x21 => frame(opcode, 0x21, &challenge(value, "4096")),
                _ if value.is_empty() => frame(opcode, 0, b"Authenticated"),
                _ => frame(opcode, 0x21, b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            }),
        ),
        (
            "no signature",
            offers("SCRAM-SHA-1", move |opcode, value| match opcode {
                0x21 => frame(opcode, 0x21, &challenge(value, "4096")),
                _ => frame(opcode, 0, b"Authenticated"),
            }),
        ),
    ];
    for (what, server) in &servers {
        let begun = Instant::now();
        for through_queue in [false, true] {
            let client = client(server.address(), &[]);
            let error = match through_queue {
                false => refused(&client),
                true => hidden(queued(&client).unwrap_err()),
            };
            assert_eq!(error.status(), Status::Auth, "{what}: {error}");
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: {:?}", begun.elapsed());
    }
}

#[test]
fn garbage_in_a_login_is_a_failure() {
    let _watchdog = Watchdog::start("garbage in a login", Duration::from_secs(120));
    let mut lying_length = frame(0x20, 0, b"PLAIN");
    lying_length[8] = 0xff;
    let mut other_opcode = frame(0x21, 0, b"PLAIN");
    let mut garbage = vec![
        lying_length,
        other_opcode.clone(),
        b"\x81".repeat(5000),
        vec![b'x'; 5000],
        b"HTTP/1.1 400 Bad\r\n\r\n".to_vec(),
    ];
    other_opcode[1] = 0x20;
    other_opcode[15] = 1;
    garbage.push(other_opcode);
    garbage.push([frame(0x20, 0, b"PLAIN"), frame(0x20, 0, b"PLAIN")].concat());
    for bytes in garbage {
        let sent = bytes.clone();
        let server = FrameServer::start(move |_, _, _| sent.clone());
        for protocol in ["binary", "auto"] {
            let client = client(
                server.address(),
                &[("protocol", protocol), ("timeout_ms", "500"), ("connect_timeout_ms", "500")],
            );
            let shown = bytes[..bytes.len().min(40)].escape_ascii().to_string();
            let error = refused(&client);
            assert!(
                matches!(error.status(), Status::Protocol | Status::Timeout | Status::Connection),
                "{shown}: {error}"
            );
            let error = hidden(queued(&client).unwrap_err());
            assert!(error.status().is_failure(), "{shown}: {error}");
        }
    }
}

/// How many bytes a server sends until the answer to the first read is there.
fn whole_exchange(address: &str, settings: Settings<'_>) -> usize {
    let tap = Tap::to(address, Cut::Never);
    assert!(client(tap.address(), settings).get(b"missing").unwrap().is_none());
    tap.heard()
}

#[test]
fn a_login_that_is_cut_at_any_byte_is_a_failure() {
    let _watchdog = Watchdog::start("a login that is cut", Duration::from_secs(240));
    let (sasl, ascii) = (embedded(Auth::Sasl), embedded(Auth::Ascii));
    let cases: [(&bmemc::server::Server, Settings<'_>); 4] = [
        (&sasl, &[("sasl_mechanism", "CRAM-MD5"), ("protocol", "binary")]),
        (&sasl, &[("sasl_mechanism", "PLAIN"), ("protocol", "auto")]),
        (&ascii, &[("protocol", "text")]),
        (&ascii, &[("protocol", "auto"), ("auth", "ascii")]),
    ];
    for (server, settings) in cases {
        client(server.address(), settings).set(b"held", b"value", 0, 0).unwrap();
        let whole = whole_exchange(server.address(), settings);
        assert!(whole > 30, "{whole}");
        // A server that hangs up on `mn` is one that does not know it: then the answer has to be right.
        let may_work = settings.contains(&("auth", "ascii"));
        let mut failures = 0;
        for at in 1..whole {
            let tap = Tap::to(server.address(), Cut::Close(at));
            match client(tap.address(), settings).get(b"held") {
                Err(error) => failures += usize::from(hidden(error).status().is_failure()),
                Ok(Some(item)) if may_work => assert_eq!(item.value, b"value"),
                Ok(found) => panic!("cut at {at} of {whole}: an answer: {found:?}"),
            }
            assert!(tap.connections() <= 5, "cut at {at}: {} connections", tap.connections());
        }
        assert!(failures > whole / 2, "{failures} failures of {whole}");
    }
}

#[test]
fn a_login_that_stalls_ends_with_the_deadline() {
    let _watchdog = Watchdog::start("a login that stalls", Duration::from_secs(240));
    let sleeper = Sleeper::start();
    let sasl = embedded(Auth::Sasl);
    let settings = [("sasl_mechanism", "CRAM-MD5"), ("timeout_ms", "150"), ("connect_timeout_ms", "150")];
    let whole = whole_exchange(sasl.address(), &settings[..1]);
    for at in (1..whole).step_by(13) {
        let tap = Tap::to(sasl.address(), Cut::Stall(at));
        let client = client(tap.address(), &settings);
        let begun = Instant::now();
        let error = hidden(client.get(b"missing").unwrap_err());
        let took = begun.elapsed();
        assert_eq!(error.status(), Status::Timeout, "{error}");
        assert!(took < Duration::from_millis(200) + 3 * sleeper.lateness(), "{at}: {took:?}");
        let error = hidden(queued(&client).unwrap_err());
        assert_eq!(error.status(), Status::Timeout, "{error}");
    }
}
