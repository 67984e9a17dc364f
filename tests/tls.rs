//! TLS, against memcached that speaks it, and against servers that do it wrong.

mod common;

use bmemc::{bits, Client, Error, Operation, Options, Queue, Status};
use common::logins::{Cut, Tap};
use common::tls::{file, memcached, text, Peer, Scripted};
use common::Memcached;
use rustls::version::{TLS12, TLS13};
use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const PROTOCOLS: [&str; 4] = ["auto", "text", "meta", "binary"];

type Settings<'a> = &'a [(&'a str, &'a str)];

fn options(server: &str, settings: Settings<'_>) -> Options {
    let mut options = Options::new();
    options.add_server(server, "", 1).unwrap();
    let ca = file("ca.pem");
    for (name, value) in common::USUAL.iter().chain(&[("tls", "true"), ("tls_ca_file", &ca)]).chain(settings) {
        options.set(name, value).unwrap();
    }
    options
}

fn client(server: &str, settings: Settings<'_>) -> Client {
    Client::new(options(server, settings)).unwrap()
}

fn works(client: &Client, what: &str) {
    client.set(b"tls-key", what.as_bytes(), 0, 60).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(client.get(b"tls-key").unwrap().expect("a hit").value, what.as_bytes());
}

/// A read by way of a queue.
fn queued(client: &Client, key: &[u8]) -> bmemc::Result<Vec<u8>> {
    let queue = Queue::new().unwrap();
    queue.submit(client, [(7, Operation::get(key))]).1?;
    let mut answers = Vec::new();
    while answers.is_empty() {
        queue.fetch(&mut answers, 8, 20_000)?;
    }
    match answers[0].status {
        Status::Ok => Ok(answers[0].value.to_vec()),
        status => Err(Error::new(status, String::from_utf8_lossy(&answers[0].detail).into_owned())),
    }
}

/// The same failure by a call and by a queue: this status, and these words, among them the server's address.
fn refused(server: &str, settings: Settings<'_>, status: Status, words: &str) {
    let client = client(server, settings);
    for error in [client.get(b"k").unwrap_err(), queued(&client, b"k").unwrap_err()] {
        assert_eq!(error.status(), status, "{error}");
        assert!(error.message().contains(words) && error.message().contains(server), "{error}");
    }
}

fn long(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251 + seed * 17) as u8).collect()
}

// ---- What works ----

#[test]
fn every_protocol_works_by_calls_and_queues() {
    let server = memcached("server", &["-I", "8m"]);
    for protocol in PROTOCOLS {
        let client = client(server.address(), &[("protocol", protocol), ("connections", "1")]);
        works(&client, protocol);
        assert_eq!(queued(&client, b"tls-key").unwrap(), protocol.as_bytes());
        for len in [0, 1, 16_383, 16_384, 16_385, 100_000, 5_000_000] {
            let value = long(len, len);
            client.set(b"tls-long", &value, 0, 60).unwrap();
            assert!(client.get(b"tls-long").unwrap().unwrap().value == value, "{protocol}: {len} bytes");
            assert!(queued(&client, b"tls-long").unwrap() == value, "{protocol}: {len} bytes, by a queue");
        }
        let keys: Vec<String> = (0..500).map(|number| format!("tls-{number}")).collect();
        for key in &keys {
            client.set(key.as_bytes(), key.as_bytes(), 0, 60).unwrap();
        }
        let names: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        let answers = client.get_many(&names).unwrap();
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(answers.get(number).unwrap().value.bytes(), key.as_bytes());
        }
        assert!(client.version().unwrap().starts_with("1."));
    }
}

#[test]
fn both_versions_are_spoken_and_1_3_alone_where_that_is_wanted() {
    let serve = |peer: &mut Peer| {
        while let Some(line) = peer.line() {
            assert_eq!(line, "get k");
            peer.say(&[HELLO]);
        }
    };
    for (version, name) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
        let server = Scripted::start(&[version], serve);
        let client = client(&server.address, &[("protocol", "text"), ("tls_min_version", name)]);
        assert_eq!(client.get(b"k").unwrap().unwrap().value, b"hello", "{name}");
        assert_eq!(queued(&client, b"k").unwrap(), b"hello", "{name}");
    }
    let old = Scripted::start(&[&TLS12], serve);
    refused(&old.address, &[("protocol", "text"), ("tls_min_version", "1.3")], Status::Tls, "ProtocolVersion");
}

#[test]
fn names_are_those_of_the_address_or_the_option() {
    let server = memcached("server", &[]);
    let by_name = server.address().replace("127.0.0.1", "localhost");
    works(&client(&by_name, &[]), "by name");
    works(&client(server.address(), &[("tls_server_name", "localhost")]), "by option");
    refused(server.address(), &[("tls_server_name", "elsewhere.example")], Status::Tls, "elsewhere.example");
    let elsewhere = memcached("name", &[]);
    refused(elsewhere.address(), &[], Status::Tls, "not valid for name");
    works(&client(elsewhere.address(), &[("tls_server_name", "elsewhere.example")]), "the certificate's name");
}

#[test]
fn a_client_certificate_is_shown_from_files_or_text() {
    let ca = format!("ssl_ca_cert={}", file("ca.pem"));
    let server = memcached("server", &["-o", "ssl_verify_mode=2", "-o", &ca]);
    let (cert, key) = (file("client.pem"), file("client.key"));
    works(&client(server.address(), &[("tls_cert_file", &cert), ("tls_key_file", &key)]), "files");
    let (cert_text, key_text, ca_text) = (text("client.pem"), text("client.key"), text("ca.pem"));
    let texts = [("tls_cert", cert_text.as_str()), ("tls_key", &key_text), ("tls_ca_file", ""), ("tls_ca", &ca_text)];
    works(&client(server.address(), &texts), "texts");
    for protocol in PROTOCOLS {
        refused(server.address(), &[("protocol", protocol)], Status::Tls, "tls_cert_file");
    }
}

#[test]
fn who_trusts_the_system_uses_what_it_has() {
    let server = memcached("server", &[]);
    // The system's authorities have not signed for it.
    refused(server.address(), &[("tls_ca_file", "")], Status::Tls, "UnknownIssuer");
}

#[test]
fn idle_connections_stay_whatever_tls_says_meanwhile() {
    let server = memcached("server", &[]);
    let client = client(server.address(), &[("connections", "1")]);
    for round in 0..5 {
        works(&client, "idle");
        assert_eq!(queued(&client, b"tls-key").unwrap(), b"idle");
        std::thread::sleep(Duration::from_millis(15));
        assert_eq!(client.counters(None).unwrap().connects, 2 + round, "one of its own, and one of each queue");
    }
    // New keys while the connection is idle are no bytes that nobody asked for.
    let server = Scripted::start(&[&TLS13], |peer| {
        while peer.line().is_some() {
            peer.say(&[HELLO]);
            peer.tls.refresh_traffic_keys().unwrap();
            peer.flush();
        }
    });
    let client = self::client(&server.address, &[("protocol", "text"), ("connections", "1")]);
    for _ in 0..5 {
        assert_eq!(client.get(b"k").unwrap().unwrap().value, b"hello");
        std::thread::sleep(Duration::from_millis(15));
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn bytes_that_nobody_asked_for_end_an_idle_connection() {
    let server = Scripted::start(&[&TLS13], |peer| {
        while peer.line().is_some() {
            peer.say(&[HELLO]);
            if peer.number == 0 {
                std::thread::sleep(Duration::from_millis(5));
                peer.say(&[HELLO]);
            }
        }
    });
    let client = client(&server.address, &[("protocol", "text"), ("connections", "1")]);
    for _ in 0..3 {
        assert_eq!(client.get(b"k").unwrap().unwrap().value, b"hello");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

#[test]
fn replies_in_many_small_records_are_put_together() {
    let server = Scripted::start(&[&TLS13], |peer| {
        while peer.line().is_some() {
            let bytes: Vec<&[u8]> = HELLO.chunks(1).collect();
            peer.say(&bytes);
        }
    });
    let client = client(&server.address, &[("protocol", "text")]);
    for _ in 0..20 {
        assert_eq!(client.get(b"k").unwrap().unwrap().value, b"hello");
    }
    assert_eq!(queued(&client, b"k").unwrap(), b"hello");
}

/// Both directions are full at once, on one connection that is shared.
#[test]
fn many_threads_share_a_connection_with_long_values() {
    let server = memcached("server", &["-I", "4m", "-m", "256"]);
    for protocol in ["text", "meta", "binary"] {
        let client = client(server.address(), &[("protocol", protocol), ("connections", "1")]);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let client = &client;
                scope.spawn(move || {
                    for round in 0..6 {
                        let (key, value) =
                            (format!("tls-{thread}"), long(thread * 7 + round, 300_000 * (thread % 4) + 9));
                        client.set(key.as_bytes(), &value, 0, 60).unwrap();
                        assert!(client.get(key.as_bytes()).unwrap().unwrap().value == value, "{protocol} {thread}");
                    }
                });
            }
        });
        let counters = client.counters(None).unwrap();
        assert_eq!((counters.connects, counters.failures), (1, 0), "{protocol}");
    }
}

/// Batches of many records, which memcached reads in parts.
#[test]
fn a_queue_has_much_under_way() {
    let server = memcached("server", &["-I", "4m", "-m", "512"]);
    for (count, len) in [(40, 700_000), (3000, 100), (3000, 7), (300, 7000), (200, 16_300), (100, 20_000)] {
        for protocol in ["text", "meta", "binary"] {
            let client = client(server.address(), &[("protocol", protocol)]);
            let queue = Queue::new().unwrap();
            let keys: Vec<String> = (0..count).map(|number| format!("tls-queue-{number}")).collect();
            let values: Vec<Vec<u8>> = (0..count).map(|number| long(number, len)).collect();
            let sets = keys.iter().zip(&values).map(|(key, value)| Operation::set(key.as_bytes(), value, 60));
            let gets = keys.iter().map(|key| Operation::get(key.as_bytes()));
            let all = sets.chain(gets).enumerate().map(|(number, operation)| (number as u64, operation));
            let (taken, result) = queue.submit(&client, all);
            result.unwrap();
            assert_eq!(taken, 2 * count);
            let mut come = 0;
            while come < 2 * count {
                let mut answers = Vec::new();
                queue.fetch(&mut answers, 100, 20_000).unwrap();
                for answer in &answers {
                    assert_eq!(answer.status, Status::Ok, "{protocol}, {count} of {len} bytes");
                    let number = answer.tag as usize;
                    assert!(number < count || answer.value[..] == values[number - count][..], "{protocol} {number}");
                }
                come += answers.len();
            }
        }
    }
}

#[test]
fn writes_without_reply_arrive() {
    let server = memcached("server", &[]);
    for protocol in PROTOCOLS {
        let client = client(server.address(), &[("protocol", protocol), ("no_reply", "true"), ("connections", "1")]);
        for number in 0..200 {
            client.set(format!("quiet-{number}").as_bytes(), protocol.as_bytes(), 0, 60).unwrap();
        }
        for number in 0..200 {
            assert_eq!(client.get(format!("quiet-{number}").as_bytes()).unwrap().unwrap().value, protocol.as_bytes());
        }
    }
}

#[test]
fn a_probe_finds_a_server_that_is_back() {
    let mut server = memcached("server", &[]);
    let client = client(server.address(), &[("failover", "breaker"), ("probe_min_ms", "20"), ("probe_max_ms", "50")]);
    works(&client, "before");
    server.stop();
    let until = Instant::now() + Duration::from_secs(20);
    while client.get(b"tls-key").is_ok() {
        assert!(Instant::now() < until);
    }
    server.start();
    while client.get(b"tls-key").is_err() {
        assert!(Instant::now() < until, "{}", client.get(b"tls-key").unwrap_err());
        std::thread::sleep(Duration::from_millis(5));
    }
}

// ---- Logins ----

/// An address of this machine that is not its loopback: passwords are not shown there.
fn outer() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback()).then(|| ip.to_string())
}

#[test]
fn a_plain_login_needs_no_leave_where_the_server_is_known() {
    use common::logins::{PASSWORD, USER};
    let Some(ip) = outer() else { return eprintln!("this machine has no address but its loopback") };
    let users = file("users");
    std::fs::write(&users, format!("{USER}:{PASSWORD}\n")).unwrap();
    let server = memcached("server", &["-Y", &users, "-l", &ip]);
    let address = server.address().replace("127.0.0.1", &ip);
    let login = [("username", USER), ("password", PASSWORD), ("protocol", "text"), ("tls_server_name", "localhost")];
    works(&client(&address, &login), "a login");
    let error = client(&address, &[&login[..], &[("tls_verify", "none")]].concat()).get(b"k").unwrap_err();
    assert!(error.status() == Status::Auth && error.message().contains("allow_plaintext_auth"), "{error}");
}

#[test]
fn sasl_works_over_tls() {
    use common::logins::{Guarded, MECHANISMS, PASSWORD, USER};
    let (chain, key) = (format!("ssl_chain_cert={}", file("server.pem")), format!("ssl_key={}", file("server.key")));
    let server = Guarded::sasl_with(&MECHANISMS.join(" "), &["-Z", "-o", &chain, "-o", &key]);
    for mechanism in MECHANISMS {
        let login = [("username", USER), ("password", PASSWORD), ("sasl_mechanism", mechanism)];
        let client = client(server.address(), &login);
        works(&client, mechanism);
        assert_eq!(queued(&client, b"tls-key").unwrap(), mechanism.as_bytes());
    }
    refused(server.address(), &[("username", USER), ("password", "wrong")], Status::Auth, "");
}

// ---- What is refused ----

#[test]
fn certificates_that_are_not_good_are_refused_and_named() {
    let expired = memcached("expired", &[]);
    refused(expired.address(), &[], Status::Tls, "expired");
    let server = memcached("server", &[]);
    let other = file("other-ca.pem");
    refused(server.address(), &[("tls_ca_file", &other)], Status::Tls, "UnknownIssuer; tls_ca_file");
    for address in [expired.address(), server.address()] {
        works(&client(address, &[("tls_ca_file", &other), ("tls_verify", "none")]), "nobody is asked");
    }
    let error = client(server.address(), &[("tls_ca_file", &other)]).get(b"k").unwrap_err();
    assert_ne!(error.bits() & bits::NOT_SENT, 0, "{error}");
}

#[test]
fn servers_that_speak_no_tls_and_clients_that_speak_none() {
    let plain = Memcached::tcp(&[]);
    let begun = Instant::now();
    let client = client(plain.address(), &[("connect_timeout_ms", "300")]);
    for error in [client.get(b"k").unwrap_err(), queued(&client, b"k").unwrap_err()] {
        // What it says depends on whether there is a line end in the client's random bytes.
        assert!(matches!(error.status(), Status::Tls | Status::Timeout), "{error}");
        assert!(error.message().contains("may not speak TLS") && error.message().contains(plain.address()), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    let secure = memcached("server", &[]);
    for protocol in PROTOCOLS {
        let error = common::client(secure.address(), &[("protocol", protocol)]).get(b"k").unwrap_err();
        assert!(matches!(error.status(), Status::Connection | Status::Protocol), "{error}");
        assert!(error.message().contains(secure.address()), "{error}");
    }
}

const HELLO: &[u8] = b"VALUE k 0 5\r\nhello\r\nEND\r\n";

#[test]
fn connections_that_end_or_break_amid_a_reply() {
    type Break = fn(&mut Peer);
    let ways: [(Break, Status, &str); 4] = [
        (|_| {}, Status::Connection, "closed the connection"),
        (
            |peer| {
                peer.tls.send_close_notify();
                peer.flush();
                // Only the words of TLS say so: the socket stays open.
                peer.line();
            },
            Status::Connection,
            "closed the connection",
        ),
        (
            |peer| {
                peer.stream.write_all(b"what is this, and how did it come here?").unwrap();
                peer.line();
            },
            Status::Tls,
            "TLS failed",
        ),
        (
            |peer| {
                // A record of 65535 bytes.
                peer.stream.write_all(&[&[0x17, 3, 3, 0xff, 0xff][..], &[7; 65_535]].concat()).unwrap();
                peer.line();
            },
            Status::Tls,
            "TLS failed",
        ),
    ];
    for (number, (end, status, words)) in ways.into_iter().enumerate() {
        let server = Scripted::start(&[&TLS13], move |peer| {
            if peer.line().is_some() {
                peer.say(&[&HELLO[..15]]);
                std::thread::sleep(Duration::from_millis(20));
                end(peer);
            }
        });
        let begun = Instant::now();
        refused(&server.address, &[("protocol", "text"), ("timeout_ms", "10000")], status, words);
        assert!(begun.elapsed() < Duration::from_secs(9), "way {number}");
    }
}

/// The server's first words are cut after each of their bytes.
#[test]
fn handshakes_that_are_cut_at_any_byte_end_in_time() {
    let server = memcached("server", &[]);
    let mut worked = 0;
    for cut in 0..1600 {
        let tap = Tap::to(server.address(), Cut::Close(cut));
        let client = client(tap.address(), &[("timeout_ms", "10000")]);
        let begun = Instant::now();
        match client.get(b"missing") {
            Ok(_) => worked += 1,
            Err(error) => assert!(matches!(error.status(), Status::Tls | Status::Connection), "{cut}: {error}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(9), "{cut}");
    }
    assert!(worked > 0 && worked < 1500, "{worked} of 1600 were not cut");
    for cut in (0..900).step_by(97) {
        let tap = Tap::to(server.address(), Cut::Stall(cut));
        let client = client(tap.address(), &[("connect_timeout_ms", "100"), ("timeout_ms", "200")]);
        let begun = Instant::now();
        for error in [client.get(b"missing").unwrap_err(), queued(&client, b"missing").unwrap_err()] {
            assert_eq!(error.status(), Status::Timeout, "{cut}: {error}");
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{cut}");
    }
}

#[test]
fn servers_that_send_anything_are_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for (round, stream) in listener.incoming().flatten().enumerate() {
            let mut stream = stream;
            let mut bytes = long(round * 977, 3000);
            let headers: [&[u8]; 6] = [
                b"",
                &[0x16, 3, 3, 0x40, 0],
                &[0x16, 3, 3, 0, 0],
                &[0x15, 3, 3, 0, 2, 2, 40],
                &[0x14, 3, 3, 0, 1, 1],
                &[0x17, 3, 3, 1, 0],
            ];
            let header = headers[round % headers.len()];
            bytes[..header.len()].copy_from_slice(header);
            let _ = stream.write_all(&bytes);
        }
    });
    for _ in 0..60 {
        let client = client(&address, &[("connect_timeout_ms", "5000")]);
        let error = client.get(b"k").unwrap_err();
        assert!(matches!(error.status(), Status::Tls | Status::Connection), "{error}");
    }
}

// ---- Options ----

#[test]
fn options_that_cannot_be_used_are_errors_of_the_client() {
    let (cert, key, ca) = (file("client.pem"), file("client.key"), file("ca.pem"));
    let (server_key, ca_text, empty) = (file("server.key"), text("ca.pem"), file("empty"));
    std::fs::write(&empty, "").unwrap();
    let bad: [(Settings<'_>, &str); 11] = [
        (&[("tls", "false")], "tls_ca_file is set, but tls is false"),
        (&[("tls_ca_file", "/nowhere/ca.pem")], "\"/nowhere/ca.pem\" cannot be read"),
        (&[("tls_ca_file", &empty)], "tls_ca_file has no certificate"),
        (&[("tls_ca_file", ""), ("tls_ca", "hello")], "tls_ca has no certificate"),
        (&[("tls_ca_file", ""), ("tls_ca", "-----BEGIN CERTIFICATE-----\nhello")], "tls_ca is not PEM text"),
        (&[("tls_ca_file", &ca), ("tls_ca", &ca_text)], "tls_ca_file and tls_ca are both set"),
        (&[("tls_cert_file", &cert)], "tls_cert_file needs tls_key_file or tls_key"),
        (&[("tls_key_file", &key)], "tls_key_file needs tls_cert_file or tls_cert"),
        (&[("tls_cert_file", &cert), ("tls_key_file", &cert)], "tls_key_file has no private key"),
        (&[("tls_cert_file", &cert), ("tls_key_file", &server_key)], "certificate and key cannot be used"),
        (&[("tls_server_name", "a b")], "tls_server_name \"a b\""),
    ];
    for (settings, words) in bad {
        let Err(error) = Client::new(options("127.0.0.1", settings)) else { panic!("{words}") };
        assert_eq!(error.status(), Status::Argument, "{error}");
        assert!(error.message().contains(words), "{error}");
    }
    let Err(error) = Client::new(options("/tmp/memcached.sock", &[])) else { panic!("a Unix socket") };
    assert!(error.message().contains("/tmp/memcached.sock") && error.message().contains("Unix"), "{error}");
    let mut options = Options::new();
    for (name, value, accepted) in
        [("tls", "on", "true or false"), ("tls_verify", "off", "full, none"), ("tls_min_version", "1.1", "1.2, 1.3")]
    {
        let error = options.set(name, value).unwrap_err();
        assert!(error.message().contains(accepted), "{error}");
    }
    let error = options.set("tls_key", "secret\0").unwrap_err();
    assert!(!error.message().contains("secret"), "{error}");
}
