//! Logins, against memcached with SASL and with `-Y` and against the embedded server; tests/auth_hostile.rs has servers that
//! do it wrong.

mod common;

use bmemc::server::{Auth, Server};
use bmemc::{bits, Client, Secret, Status};
use common::logins::{
    client, embedded, embedded_at, embedded_on, hidden, options, queued, refused, works, Cut, Folder, Guarded,
    Settings, Tap, MECHANISMS, PASSWORD, USER,
};
use common::Memcached;
use std::net::UdpSocket;
use std::time::Instant;

// ---- SASL ----

/// Wrong names and passwords of such a server's: each is refused, by a call and by a queue.
fn refuses_others(address: &str, settings: Settings<'_>) {
    for other in [("password", "wrong"), ("username", "nobody")] {
        let others = [settings, &[other]].concat();
        let error = refused(&client(address, &others));
        assert_eq!(error.status(), Status::Auth, "{others:?}: {error}");
        let error = hidden(queued(&client(address, &others)).unwrap_err());
        assert_eq!(error.status(), Status::Auth, "{others:?}: {error}");
    }
}

#[test]
fn every_mechanism_works_with_memcached_over_tcp_and_unix() {
    for unix in [false, true] {
        let server = Guarded::sasl(unix, &MECHANISMS.join(" "));
        for mechanism in MECHANISMS {
            for chosen in [("protocol", "binary"), ("protocol", "auto"), ("auth", "sasl")] {
                let settings = [("sasl_mechanism", mechanism), chosen];
                let client = client(server.address(), &settings);
                works(&client, &format!("{settings:?}"));
                assert_eq!(queued(&client).unwrap().unwrap(), format!("{settings:?}").as_bytes());
                if chosen.1 == "binary" {
                    refuses_others(server.address(), &settings);
                }
            }
        }
    }
}

#[test]
fn every_mechanism_works_with_the_embedded_server_over_tcp_and_unix() {
    let folder = Folder::new();
    for server in [embedded(Auth::Sasl), embedded_on(&folder, Auth::Sasl)] {
        for mechanism in MECHANISMS {
            for chosen in [("protocol", "binary"), ("protocol", "auto"), ("auth", "sasl")] {
                let settings = [("sasl_mechanism", mechanism), chosen];
                let client = client(server.address(), &settings);
                works(&client, &format!("{settings:?}"));
                assert_eq!(queued(&client).unwrap().unwrap(), format!("{settings:?}").as_bytes());
                if chosen.1 == "binary" {
                    refuses_others(server.address(), &settings);
                }
            }
        }
    }
}

#[test]
fn the_best_mechanism_is_taken_and_only_plain_shows_the_password() {
    let server = Guarded::sasl(false, &MECHANISMS.join(" "));
    for forced in [&["auto"], &MECHANISMS[..]].concat() {
        let said = if forced == "auto" { "SCRAM-SHA-512" } else { forced };
        let tap = Tap::to(server.address(), Cut::Never);
        works(&client(tap.address(), &[("sasl_mechanism", forced)]), forced);
        for mechanism in MECHANISMS {
            assert_eq!(tap.has_said(mechanism), mechanism == said, "{forced}: {mechanism}");
        }
        assert_eq!(tap.has_said(PASSWORD), forced == "PLAIN", "{forced}");
    }
    // Of those that are offered.
    for (offered, best) in [
        ("PLAIN SCRAM-SHA-1 CRAM-MD5", "SCRAM-SHA-1"),
        ("SCRAM-SHA-256 SCRAM-SHA-1", "SCRAM-SHA-256"),
        ("PLAIN CRAM-MD5", "CRAM-MD5"),
        ("PLAIN", "PLAIN"),
    ] {
        let server = Guarded::sasl(false, offered);
        let tap = Tap::to(server.address(), Cut::Never);
        works(&client(tap.address(), &[]), offered);
        assert!(tap.has_said(best), "{offered}");
        assert_eq!(tap.has_said(PASSWORD), best == "PLAIN", "{offered}");
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
    let (sasl, ascii) = (Guarded::sasl(false, "plain cram-md5 scram-sha-256"), Guarded::ascii(false));
    let memcachier = embedded(Auth::Memcachier);
    let (sasl, ascii, memcachier) = (sasl.address(), ascii.address(), memcachier.address());
    for (server, settings) in [
        (sasl, ("protocol", "binary")),
        (sasl, ("sasl_mechanism", "PLAIN")),
        (sasl, ("sasl_mechanism", "CRAM-MD5")),
        (ascii, ("protocol", "text")),
        (ascii, ("protocol", "meta")),
        (ascii, ("auth", "ascii")),
        (memcachier, ("auth", "memcachier")),
    ] {
        let tap = Tap::to(server, Cut::Never);
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
            refuses_others(server.address(), &[settings]);
        }
    }
}

#[test]
fn the_ascii_login_works_with_the_embedded_server_over_tcp_and_unix() {
    let folder = Folder::new();
    for server in [embedded(Auth::Ascii), embedded_on(&folder, Auth::Ascii)] {
        for settings in [("protocol", "text"), ("protocol", "meta"), ("protocol", "auto"), ("auth", "ascii")] {
            let client = client(server.address(), &[settings]);
            works(&client, settings.1);
            assert_eq!(queued(&client).unwrap().unwrap(), settings.1.as_bytes());
            refuses_others(server.address(), &[settings]);
        }
    }
}

#[test]
fn memcachiers_form_works_and_leaves_no_password_where_it_is_not_known() {
    let folder = Folder::new();
    let plain = [Memcached::tcp(&[]), Memcached::unix(&[])];
    let servers = [embedded(Auth::Memcachier), embedded_on(&folder, Auth::Memcachier)];
    for (server, plain) in servers.iter().zip(&plain) {
        for protocol in ["text", "meta", "auto"] {
            let settings = [("protocol", protocol), ("auth", "memcachier")];
            let client = client(server.address(), &settings);
            works(&client, protocol);
            assert_eq!(queued(&client).unwrap().unwrap(), protocol.as_bytes());
            refuses_others(server.address(), &settings);
            let error = refused(&self::client(plain.address(), &settings));
            assert_eq!(error.status(), Status::Auth, "{error}");
            assert!(error.message().contains("auth_optional"), "{error}");
            let item = || common::client(plain.address(), &[]).get(USER.as_bytes()).unwrap();
            assert!(item().is_none());
            works(&self::client(plain.address(), &[&settings[..], &[("auth_optional", "true")]].concat()), protocol);
            assert!(item().is_none());
        }
    }
}

// ---- Servers without authentication ----

#[test]
fn a_server_without_authentication_is_an_error_unless_it_may_be() {
    let servers = [Memcached::tcp(&[]), Memcached::tcp(&["-B", "ascii"]), Memcached::tcp(&["-B", "binary"])];
    let unix = Memcached::unix(&[]);
    let (folder, any) = (Folder::new(), ["text", "meta", "auto", "binary"].as_slice());
    let embedded = [embedded(Auth::None), embedded_on(&folder, Auth::None)];
    let cases = [
        (servers[0].address(), any),
        (servers[1].address(), &["text", "meta", "auto"]),
        (servers[2].address(), &["auto", "binary"]),
        (unix.address(), any),
        (embedded[0].address(), any),
        (embedded[1].address(), any),
    ];
    for (address, protocols) in cases {
        for protocol in protocols {
            let strict = client(address, &[("protocol", protocol)]);
            for error in [refused(&strict), hidden(queued(&strict).unwrap_err())] {
                assert_eq!(error.status(), Status::Auth, "{protocol}: {error}");
                assert!(error.message().contains("auth_optional"), "{error}");
            }
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
    let cases: [(&Server, Settings<'_>); 6] = [
        (&sasl, &[("sasl_mechanism", "PLAIN")]),
        (&sasl, &[("sasl_mechanism", "PLAIN"), ("protocol", "binary")]),
        (&ascii, &[("protocol", "text")]),
        (&ascii, &[("protocol", "meta")]),
        (&ascii, &[]),
        (&memcachier, &[("auth", "memcachier")]),
    ];
    for (server, settings) in cases {
        let tap = Tap::at(&host, server.address(), Cut::Never);
        let strict = client(tap.address(), settings);
        for error in [refused(&strict), hidden(queued(&strict).unwrap_err())] {
            assert_eq!(error.status(), Status::Auth, "{error}");
            assert!(error.message().contains("allow_plaintext_auth"), "{error}");
        }
        assert!(!tap.has_said(PASSWORD), "{settings:?}");
        let allowed = client(tap.address(), &[settings, &[("allow_plaintext_auth", "true")]].concat());
        works(&allowed, "allowed");
        assert_eq!(queued(&allowed).unwrap().unwrap(), b"allowed");
        assert!(tap.has_said(PASSWORD), "{settings:?}");
    }
    // What does not show it may go anywhere.
    for mechanism in MECHANISMS.into_iter().filter(|mechanism| *mechanism != "PLAIN").chain(["auto"]) {
        works(&client(sasl.address(), &[("sasl_mechanism", mechanism)]), mechanism);
    }
}

/// Loopback addresses however they are written; Unix sockets are above.
#[test]
fn a_password_goes_to_this_host_without_leave() {
    for listen in ["127.0.0.1", "127.0.0.2", "::1"] {
        let servers = [Auth::Sasl, Auth::Ascii, Auth::Memcachier].map(|auth| embedded_at(listen, auth));
        let written = match listen {
            "127.0.0.1" => vec!["127.0.0.1", "localhost", "LocalHost", "[::ffff:127.0.0.1]"],
            "::1" => vec!["[::1]"],
            other => vec![other],
        };
        for host in written {
            let settings: [Settings<'_>; 3] = [&[("sasl_mechanism", "PLAIN")], &[], &[("auth", "memcachier")]];
            for (server, settings) in servers.iter().zip(settings) {
                let port = server.address().rsplit(':').next().unwrap();
                works(&client(&format!("{host}:{port}"), settings), host);
            }
        }
    }
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
