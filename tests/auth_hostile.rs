//! Logins at servers that do it wrong: that lie, babble, stop or hang up, and that try to learn the password.

mod common;

use bmemc::server::Auth;
use bmemc::{Client, Event, Status};
use common::logins::{client, embedded, hidden, options, queued, refused, Cut, Guarded, Settings, Tap, PASSWORD};
use common::oracle::{Sleeper, Watchdog};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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
        let count = || asked.load(std::sync::atomic::Ordering::SeqCst);
        let settings = [("protocol", "binary"), ("connections", "1")];
        let by_call = client(server.address(), &settings);
        for _ in 0..5 {
            let error = refused(&by_call);
            assert_eq!(error.status(), Status::Auth, "{code:#x}: {error}");
        }
        let error = hidden(by_call.set(b"k", b"v", 0, 0).unwrap_err());
        assert_eq!(error.status(), Status::Auth, "{code:#x}: {error}");
        assert_eq!(count(), 1, "{code:#x}: the password was said once");
        let by_queue = client(server.address(), &settings);
        for _ in 0..5 {
            let error = hidden(queued(&by_queue).unwrap_err());
            assert_eq!(error.status(), Status::Auth, "{code:#x}: {error}");
        }
        assert_eq!(count(), 2, "{code:#x}: and once by queue");
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
