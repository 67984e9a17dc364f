//! What a client cannot do to the server: cut its requests anywhere, announce what it does not send, ask for more than it
//! reads, come too often.

use crate::binary::SET_EXTRAS;
use crate::program::{self, Running};
use crate::wire::{reply, request, start, start_with, Folder, Wire};
use bmemc::server::{Config, Server};
use std::time::Duration;

const MIB: usize = 1 << 20;
const EADDRINUSE: i32 = 98;

/// Waits until the server has dealt with all that was sent to it so far: it looks at every connection between two
/// answers on another one.
fn settle(other: &mut Wire) {
    for _ in 0..2 {
        other.ask("mn\r\n", "MN\r\n");
    }
}

/// Each request of the conversation is cut at every byte, and its two parts arrive one after the other.
fn cut_everywhere(requests: &[u8], replies: &[u8]) {
    for cut in 0..=requests.len() {
        let server = start();
        let (mut wire, mut other) = (Wire::to(&server), Wire::to(&server));
        wire.send(&requests[..cut]);
        settle(&mut other);
        wire.send(&requests[cut..]);
        wire.expect(replies);
    }
}

const TEXT: (&str, &str) = (
    "set a 5 0 3\r\nabc\r\nget a b\r\ncas a 0 0 0 1\r\n\r\ngets a\r\ndelete a noreply\r\nincr a 1\r\nbogus\r\nmn\r\n",
    "STORED\r\nVALUE a 5 3\r\nabc\r\nEND\r\nSTORED\r\nVALUE a 0 0 2\r\n\r\nEND\r\nNOT_FOUND\r\nERROR\r\nMN\r\n",
);

const META: (&str, &str) = (
    "ms a 4 T60 O1 k\r\n\r\n\r\n\r\nmg a v t q\r\nmg b q\r\nma c N0 J7 v\r\nmd a q\r\nmg YQ== b k\r\nms a 2 !\r\nhi\r\nmn\r\n",
    "HD O1 ka\r\nVA 4 t60\r\n\r\n\r\n\r\nVA 1\r\n7\r\nEN kYQ== b\r\nCLIENT_ERROR invalid flag\r\nMN\r\n",
);

fn binary() -> (Vec<u8>, Vec<u8>) {
    let requests = [
        request(0x11, &SET_EXTRAS, "a", "abc"),
        request(0x0d, &[], "b", ""),
        request(0x0d, &[], "a", ""),
        request(0x50, &[1, 2], "key", "value"),
        request(0x04, &[], "b", ""),
        request(0x0a, &[], "", ""),
    ];
    let replies = [
        reply(0x0d, &[0, 0, 0, 5], "a", "abc").cas(1),
        reply(0x50, &[], "", "Unknown command").status(0x81),
        reply(0x04, &[], "", "Not found").status(1),
        reply(0x0a, &[], "", ""),
    ];
    (
        requests.iter().flat_map(|frame| frame.bytes()).collect(),
        replies.iter().flat_map(|frame| frame.bytes()).collect(),
    )
}

#[test]
fn text_may_be_cut_anywhere() {
    cut_everywhere(TEXT.0.as_bytes(), TEXT.1.as_bytes());
}

#[test]
fn meta_may_be_cut_anywhere() {
    cut_everywhere(META.0.as_bytes(), META.1.as_bytes());
}

#[test]
fn binary_may_be_cut_anywhere() {
    let (requests, replies) = binary();
    cut_everywhere(&requests, &replies);
}

#[test]
fn requests_may_come_a_byte_at_a_time() {
    let (requests, replies) = binary();
    for (requests, replies) in
        [(TEXT.0.as_bytes(), TEXT.1.as_bytes()), (META.0.as_bytes(), META.1.as_bytes()), (&requests, &replies)]
    {
        let server = start();
        let (mut wire, mut other) = (Wire::to(&server), Wire::to(&server));
        for byte in requests {
            wire.send([*byte]);
            settle(&mut other);
        }
        wire.expect(replies);
    }
}

#[test]
fn ten_thousand_requests_in_one_write() {
    let server = start();
    let mut wire = Wire::to(&server);
    wire.ask("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    wire.send("get a\r\n".repeat(10_000) + "mg a v\r\n".repeat(10_000).as_str());
    wire.expect("VALUE a 0 1\r\nx\r\nEND\r\n".repeat(10_000));
    wire.expect("VA 1\r\nx\r\n".repeat(10_000));
}

/// The memory of a process, in bytes. The server is one of its own here, for other tests run in this one.
fn resident(program: &Running) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/statm", program.0.id())).unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn an_announced_length_takes_no_memory() {
    let (program, address) = program::start(&["-p", "0", "-I", "1024m", "-m", "1024"]);
    let before = resident(&program);
    let mut wires = Vec::new();
    for _ in 0..50 {
        let mut wire = Wire::connect(&address);
        wire.send("set a 0 0 1000000000\r\nx");
        wires.push(wire);
        let mut wire = Wire::connect(&address);
        let mut frame = request(0x01, &SET_EXTRAS, "a", "").bytes();
        frame[8..12].copy_from_slice(&1_000_000_000u32.to_be_bytes());
        wire.send(frame);
        wires.push(wire);
    }
    settle(&mut Wire::connect(&address));
    let grown = resident(&program).saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes for a hundred values of 1 GB that never came");
}

#[test]
fn lengths_that_make_no_sense() {
    let server = start();
    for (length, status, words) in [(u32::MAX, 4, "Invalid arguments"), ((1 << 30) + 1, 4, "Invalid arguments")] {
        let mut wire = Wire::to(&server);
        let mut frame = request(0x01, &SET_EXTRAS, "a", "").bytes();
        frame[8..12].copy_from_slice(&length.to_be_bytes());
        wire.ask(frame, reply(0x01, &[], "", words).status(status).bytes());
        wire.expect_end();
    }
    let mut wire = Wire::to(&server);
    for length in ["-5", "9223372036854775808", "18446744073709551616", "2147483647", "1e3", ""] {
        wire.send(format!("set a 0 0 {length}\r\n"));
        let expected = if length.is_empty() { "ERROR\r\n" } else { "CLIENT_ERROR bad command line format\r\n" };
        wire.expect(expected);
    }
    wire.ask("mn\r\n", "MN\r\n");
}

#[test]
fn a_line_without_end_is_cut_off_and_a_long_get_is_not() {
    let server = start();
    let mut wire = Wire::to(&server);
    wire.send("x".repeat(4000));
    wire.expect_end();
    let mut wire = Wire::to(&server);
    wire.ask("set k 0 0 1\r\nx\r\n", "STORED\r\n");
    // A complete line may be longer, as in memcached; an incomplete one is a get or it is garbage.
    let keys = " missing".repeat(20_000) + " k";
    wire.ask(format!("get{keys}\r\n"), "VALUE k 0 1\r\nx\r\nEND\r\n");
    let mut wire = Wire::to(&server);
    wire.send("get ");
    for _ in 0..17 {
        wire.send("y ".repeat(MIB / 2));
    }
    wire.expect_end();
}

#[test]
fn a_client_that_does_not_read_holds_little_memory_and_gets_everything_in_the_end() {
    let (program, address) = program::start(&["-p", "0"]);
    let mut wire = Wire::connect(&address);
    let value = "v".repeat(1_000_000);
    wire.ask(format!("set a 0 0 1000000\r\n{value}\r\n"), "STORED\r\n");
    let before = resident(&program);
    // Nearly a GB of answers to one line, and more behind it.
    wire.send(format!("get{}\r\n", " a".repeat(900)));
    wire.send("get a\r\n".repeat(100));
    std::thread::sleep(Duration::from_millis(300));
    settle(&mut Wire::connect(&address));
    let grown = resident(&program).saturating_sub(before);
    assert!(grown < 32 * MIB, "{grown} bytes are held for a client that does not read");
    let hit = format!("VALUE a 0 1000000\r\n{value}\r\n");
    for _ in 0..900 {
        wire.expect(&hit);
    }
    wire.expect("END\r\n");
    for _ in 0..100 {
        wire.expect(format!("{hit}END\r\n"));
    }
}

#[test]
fn a_client_that_does_not_read_keeps_nobody_waiting() {
    let server = start();
    let mut greedy = Wire::to(&server);
    greedy.ask(format!("set a 0 0 1000000\r\n{}\r\n", "v".repeat(1_000_000)), "STORED\r\n");
    greedy.send(format!("get{}\r\n", " a".repeat(1000)));
    let mut other = Wire::to(&server);
    for _ in 0..100 {
        other.ask("get b\r\n", "END\r\n");
    }
    drop(greedy);
    other.ask("mn\r\n", "MN\r\n");
}

#[test]
fn one_connection_too_many_is_told_so() {
    let server = start_with(Config { max_connections: 2, ..Config::default() });
    let (mut first, mut second) = (Wire::to(&server), Wire::to(&server));
    first.ask("mn\r\n", "MN\r\n");
    second.ask("mn\r\n", "MN\r\n");
    let mut third = Wire::to(&server);
    third.expect("ERROR Too many open connections\r\n");
    third.expect_end();
    first.send("quit\r\n");
    first.expect_end();
    settle(&mut second);
    let mut fourth = Wire::to(&server);
    fourth.ask("mn\r\n", "MN\r\n");
}

#[test]
fn the_oldest_items_make_room() {
    let server = start_with(Config { memory_limit: MIB, ..Config::default() });
    let mut wire = Wire::to(&server);
    let value = "v".repeat(10_000);
    for place in 0..200 {
        wire.ask(format!("set k{place} 0 0 10000\r\n{value}\r\n"), "STORED\r\n");
        wire.ask("touch k0 0\r\n", "TOUCHED\r\n");
    }
    wire.ask("mg k0\r\nmg k1\r\nmg k199\r\n", "HD\r\nEN\r\nHD\r\n");
    let stats = {
        wire.send("stats\r\n");
        String::from_utf8(wire.until(|got| got.ends_with(b"END\r\n"))).unwrap()
    };
    let number = |name: &str| -> usize {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} "))).unwrap();
        line.parse().unwrap()
    };
    assert!(number("bytes") <= MIB && number("bytes") > MIB - 20_000, "{} bytes", number("bytes"));
    assert_eq!(number("curr_items") + number("evictions"), 200);
}

#[test]
fn a_full_server_without_eviction_refuses() {
    let server = start_with(Config { memory_limit: MIB, evict: false, ..Config::default() });
    let mut wire = Wire::to(&server);
    let value = "v".repeat(400_000);
    wire.ask(format!("set a 0 0 400000\r\n{value}\r\n"), "STORED\r\n");
    wire.ask(format!("set b 0 0 400000\r\n{value}\r\n"), "STORED\r\n");
    let refused = "SERVER_ERROR out of memory storing object\r\n";
    wire.ask(format!("set c 0 0 400000\r\n{value}\r\n"), refused);
    wire.ask(format!("ms c 400000 q\r\n{value}\r\n"), refused);
    wire.ask("mg a\r\nmg b\r\nmg c\r\n", "HD\r\nHD\r\nEN\r\n");
    let mut wire = Wire::to(&server);
    let oom = reply(0x11, &[], "", "Out of memory allocating item").status(0x82);
    wire.ask(request(0x11, &SET_EXTRAS, "c", &value).bytes(), oom.bytes());
}

#[test]
fn a_unix_socket_is_served_replaced_and_removed() {
    let folder = Folder::new();
    let path = folder.path("socket");
    let config = || Config { unix: Some(path.clone().into()), ..Config::default() };
    let mut server = start_with(config());
    assert_eq!(server.address(), path);
    Wire::to(&server).ask("mn\r\n", "MN\r\n");
    server.stop();
    server.stop();
    assert!(!server.is_running() && Wire::try_connect(&path).is_err() && !folder.0.join("socket").exists());
    // What a killed server leaves behind is in nobody's way; another file is left alone.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    drop(start_with(config()));
    std::fs::write(&path, "precious").unwrap();
    let error = Server::start(config()).err().expect("a file is in the way");
    assert!(error.message().contains(&path) && error.os_error() != 0, "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn wrong_configurations_are_named() {
    let wrong = [
        (Config { item_max: 1023, ..Config::default() }, "item_max 1023"),
        (Config { item_max: (1 << 30) + 1, ..Config::default() }, "item_max 1073741825"),
        (Config { memory_limit: 1, ..Config::default() }, "memory_limit 1"),
        (Config { max_connections: 0, ..Config::default() }, "max_connections 0"),
        (Config { version: "a b".into(), ..Config::default() }, "\"a b\""),
        (Config { listen: "no such host".into(), ..Config::default() }, "\"no such host\""),
        (Config { unix: Some("relative".into()), ..Config::default() }, "\"relative\""),
    ];
    for (config, words) in wrong {
        let error = Server::start(config).err().expect(words);
        assert!(error.message().contains(words), "{error}");
    }
    let server = start();
    let port: u16 = server.address().rsplit(':').next().unwrap().parse().unwrap();
    let error = Server::start(Config { port, ..Config::default() }).err().expect("the port is taken");
    assert!(error.message().contains(&port.to_string()) && error.os_error() == EADDRINUSE, "{error}");
}

#[test]
fn an_address_says_where_to_listen() {
    let folder = Folder::new();
    for (address, begins) in [
        ("", "127.0.0.1:"),
        ("127.0.0.1:0", "127.0.0.1:"),
        ("localhost:0", ""),
        ("[::1]:0", "[::1]:"),
        (&folder.path("s"), &folder.path("s")),
    ] {
        let server = start_with(Config::listening_on(address).unwrap());
        assert!(server.address().starts_with(begins), "{address}: {}", server.address());
        Wire::to(&server).ask("mn\r\n", "MN\r\n");
    }
    for wrong in ["x", "host:", ":1", "::1", "::1:5", "[::1]", "[]:1", "host:65536", "host:-1", "unix:/x"] {
        let error = Config::listening_on(wrong).expect_err(wrong);
        assert!(error.message().contains(&format!("{wrong:?}")) && error.message().contains("host:port"), "{error}");
    }
}

#[test]
fn ipv6_is_served() {
    let server = start_with(Config { listen: "::1".into(), ..Config::default() });
    assert!(server.address().starts_with("[::1]:"), "{}", server.address());
    Wire::to(&server).ask("mn\r\n", "MN\r\n");
}

#[test]
fn random_bytes_do_no_harm() {
    let server = start();
    let mut random = crate::wire::Random::new(7);
    let words =
        ["get ", "set a 0 0 5\r\n", "ms a 3 k", "mg ", " b", "\r\n", "\n", "\0", " ", "noreply", "-1", "cas a 0 0 0 "];
    for round in 0..3000 {
        let mut bytes = Vec::new();
        if random.one_in(2) {
            bytes.extend([0x80, random.below(0x40) as u8, 0, random.below(4) as u8, random.below(24) as u8]);
        }
        for _ in 0..random.below(30) {
            match random.one_in(2) {
                true => bytes.extend(random.pick(&words).as_bytes()),
                false => bytes.extend(random.next().to_be_bytes()),
            }
        }
        Wire::to(&server).send(&bytes);
        if round % 100 == 0 {
            Wire::to(&server).ask("mn\r\n", "MN\r\n");
        }
    }
    Wire::to(&server).ask("mn\r\n", "MN\r\n");
}
