//! The binary protocol.

use crate::wire::{reply, request, start, start_with, Frame, Wire};
use bmemc::server::{Config, Server};

pub const SET_EXTRAS: [u8; 8] = [0, 0, 0, 5, 0, 0, 0, 0];
const FLAGS: [u8; 4] = [0, 0, 0, 5];
const MISS: &str = "Not found";
const INVALID: &str = "Invalid arguments";

/// Requests and their answers; nothing else may come.
#[track_caller]
fn converse(server: &Server, exchanges: Vec<(Frame, Vec<Frame>)>) {
    let mut wire = Wire::to(server);
    for (request, replies) in exchanges {
        let replies: Vec<u8> = replies.iter().flat_map(Frame::bytes).collect();
        wire.ask(request.bytes(), replies);
    }
    wire.ask(request(0x0a, &[], "", "").bytes(), reply(0x0a, &[], "", "").bytes());
}

fn set(opcode: u8, key: &str, value: &str) -> Frame {
    request(opcode, &SET_EXTRAS, key, value)
}

fn count(opcode: u8, key: &str, delta: u64, initial: u64, exptime: u32) -> Frame {
    let extras = [&delta.to_be_bytes()[..], &initial.to_be_bytes(), &exptime.to_be_bytes()].concat();
    request(opcode, &extras, key, "")
}

fn number(opcode: u8, value: u64) -> Frame {
    Frame { value: value.to_be_bytes().to_vec(), ..reply(opcode, &[], "", "") }
}

fn refused(opcode: u8, status: u16, words: &str) -> Frame {
    reply(opcode, &[], "", words).status(status)
}

#[test]
fn reading_in_every_way() {
    let exptime = [0, 0, 0, 0];
    converse(
        &start(),
        vec![
            (set(0x01, "a", "abc"), vec![reply(0x01, &[], "", "").cas(1)]),
            (request(0x00, &[], "a", ""), vec![reply(0x00, &FLAGS, "", "abc").cas(1)]),
            (request(0x0c, &[], "a", ""), vec![reply(0x0c, &FLAGS, "a", "abc").cas(1)]),
            (request(0x09, &[], "a", ""), vec![reply(0x09, &FLAGS, "", "abc").cas(1)]),
            (request(0x0d, &[], "a", ""), vec![reply(0x0d, &FLAGS, "a", "abc").cas(1)]),
            (request(0x1c, &exptime, "a", ""), vec![reply(0x1c, &FLAGS, "", "").cas(1)]),
            (request(0x1d, &exptime, "a", ""), vec![reply(0x1d, &FLAGS, "", "abc").cas(1)]),
            (request(0x1e, &exptime, "a", ""), vec![reply(0x1e, &FLAGS, "", "abc").cas(1)]),
            (request(0x23, &exptime, "a", ""), vec![reply(0x23, &FLAGS, "a", "abc").cas(1)]),
            (request(0x24, &exptime, "a", ""), vec![reply(0x24, &FLAGS, "a", "abc").cas(1)]),
            (request(0x00, &[], "b", ""), vec![refused(0x00, 1, MISS)]),
            (request(0x0c, &[], "b", ""), vec![reply(0x0c, &[], "b", "").status(1)]),
            (request(0x1c, &exptime, "b", ""), vec![refused(0x1c, 1, MISS)]),
            (request(0x1d, &exptime, "b", ""), vec![refused(0x1d, 1, MISS)]),
            (request(0x23, &exptime, "b", ""), vec![reply(0x23, &[], "b", "").status(1)]),
            (request(0x09, &[], "b", ""), vec![]),
            (request(0x0d, &[], "b", ""), vec![]),
            (request(0x1e, &exptime, "b", ""), vec![]),
            (request(0x24, &exptime, "b", ""), vec![]),
        ],
    );
}

#[test]
fn storing_aloud() {
    converse(
        &start(),
        vec![
            (set(0x02, "a", "1"), vec![reply(0x02, &[], "", "").cas(1)]),
            (set(0x02, "a", "2"), vec![refused(0x02, 2, "Data exists for key.")]),
            (set(0x03, "a", "3"), vec![reply(0x03, &[], "", "").cas(2)]),
            (set(0x03, "b", "3"), vec![refused(0x03, 1, MISS)]),
            (set(0x01, "a", "4").cas(9), vec![refused(0x01, 2, "Data exists for key.")]),
            (set(0x01, "a", "4").cas(2), vec![reply(0x01, &[], "", "").cas(3)]),
            (set(0x01, "b", "4").cas(2), vec![refused(0x01, 1, MISS)]),
            (set(0x02, "b", "4").cas(2), vec![refused(0x02, 1, MISS)]),
            (request(0x0e, &[], "a", "5"), vec![reply(0x0e, &[], "", "").cas(4)]),
            (request(0x0f, &[], "a", "3"), vec![reply(0x0f, &[], "", "").cas(5)]),
            (request(0x0e, &[], "a", "x").cas(1), vec![refused(0x0e, 2, "Data exists for key.")]),
            (request(0x0e, &[], "b", "x"), vec![refused(0x0e, 5, "Not stored.")]),
            (request(0x00, &[], "a", ""), vec![reply(0x00, &FLAGS, "", "345").cas(5)]),
            (request(0x04, &[], "a", "").cas(1), vec![refused(0x04, 2, "Data exists for key.")]),
            (request(0x04, &[], "a", "").cas(5), vec![reply(0x04, &[], "", "")]),
            (request(0x04, &[], "a", ""), vec![refused(0x04, 1, MISS)]),
        ],
    );
}

#[test]
fn storing_quietly_tells_only_of_failures() {
    converse(
        &start(),
        vec![
            (set(0x11, "a", "1"), vec![]),
            (set(0x12, "a", "2"), vec![refused(0x12, 2, "Data exists for key.")]),
            (set(0x12, "b", "2"), vec![]),
            (set(0x13, "c", "3"), vec![refused(0x13, 1, MISS)]),
            (set(0x13, "b", "3"), vec![]),
            (request(0x19, &[], "a", "0"), vec![]),
            (request(0x1a, &[], "c", "x"), vec![refused(0x1a, 5, "Not stored.")]),
            (count(0x15, "a", 5, 0, 0), vec![]),
            (count(0x16, "c", 5, 0, u32::MAX), vec![refused(0x16, 1, MISS)]),
            (request(0x00, &[], "a", ""), vec![reply(0x00, &FLAGS, "", "15").cas(5)]),
            (request(0x14, &[], "a", ""), vec![]),
            (request(0x14, &[], "a", ""), vec![refused(0x14, 1, MISS)]),
            (request(0x18, &[], "", ""), vec![]),
            (request(0x00, &[], "b", ""), vec![refused(0x00, 1, MISS)]),
        ],
    );
}

#[test]
fn counting() {
    let bad = "Non-numeric server-side value for incr or decr";
    converse(
        &start(),
        vec![
            (count(0x05, "a", 1, 5, u32::MAX), vec![refused(0x05, 1, MISS)]),
            (count(0x05, "a", 1, 5, 0), vec![number(0x05, 5).cas(1)]),
            (count(0x05, "a", 3, 5, 0), vec![number(0x05, 8).cas(2)]),
            (count(0x06, "a", 10, 5, 0), vec![number(0x06, 0).cas(3)]),
            (count(0x05, "a", u64::MAX, 5, 0), vec![number(0x05, u64::MAX).cas(4)]),
            (count(0x05, "a", 2, 5, 0), vec![number(0x05, 1).cas(5)]),
            (count(0x05, "a", 2, 5, 0).cas(1), vec![refused(0x05, 2, "Data exists for key.")]),
            (set(0x01, "a", "x"), vec![reply(0x01, &[], "", "").cas(6)]),
            (count(0x06, "a", 2, 5, 0), vec![refused(0x06, 6, bad)]),
        ],
    );
}

#[test]
fn expiration_times_are_unsigned() {
    let server = start();
    for (place, exptime) in [0u32, 100, 0x8000_0000, 0xffff_fffe, 0xffff_ffff].into_iter().enumerate() {
        let extras = [&[0; 4][..], &exptime.to_be_bytes()].concat();
        let cas = place as u64 + 1;
        converse(
            &server,
            vec![
                (request(0x01, &extras, "a", "x"), vec![reply(0x01, &[], "", "").cas(cas)]),
                (request(0x00, &[], "a", ""), vec![reply(0x00, &[0; 4], "", "x").cas(cas)]),
            ],
        );
    }
    let mut wire = Wire::to(&server);
    wire.ask(set(0x01, "a", "x").bytes(), reply(0x01, &[], "", "").cas(6).bytes());
    server.advance(std::time::Duration::from_secs(1000));
    wire.ask(request(0x00, &[], "a", "").bytes(), reply(0x00, &FLAGS, "", "x").cas(6).bytes());
}

#[test]
fn running_the_server() {
    let server = start_with(Config { version: "9.8.7".into(), ..Config::default() });
    converse(
        &server,
        vec![
            (request(0x0b, &[], "", ""), vec![reply(0x0b, &[], "", "9.8.7")]),
            (request(0x08, &[0; 4], "", ""), vec![reply(0x08, &[], "", "")]),
            (request(0x10, &[], "bogus", ""), vec![refused(0x10, 1, MISS)]),
            (request(0x10, &[], "reset", ""), vec![reply(0x10, &[], "", "")]),
            (
                request(0x10, &[], "sizes", ""),
                vec![reply(0x10, &[], "sizes_status", "disabled"), reply(0x10, &[], "", "")],
            ),
        ],
    );
    let mut wire = Wire::to(&server);
    wire.send(request(0x10, &[], "", "").bytes());
    let end = reply(0x10, &[], "", "").bytes();
    let stats = wire.until(|got| got.ends_with(&end));
    assert!(stats.starts_with(&reply(0x10, &[], "pid", &std::process::id().to_string()).bytes()));
    let version = reply(0x10, &[], "version", "9.8.7").bytes();
    assert!(stats.windows(version.len()).any(|window| window == version));

    wire.ask(request(0x07, &[], "", "").bytes(), reply(0x07, &[], "", "").bytes());
    wire.expect_end();
    let mut wire = Wire::to(&server);
    wire.send(request(0x17, &[], "", "").bytes());
    wire.expect_end();
}

#[test]
fn a_forbidden_flush_is_refused_and_the_connection_stays() {
    let server = start_with(Config { flush: false, ..Config::default() });
    converse(
        &server,
        vec![
            (request(0x08, &[], "", ""), vec![refused(0x08, 0x20, "Auth failure.")]),
            (request(0x18, &[], "", ""), vec![refused(0x18, 0x20, "Auth failure.")]),
        ],
    );
}

#[test]
fn without_cas_nothing_is_compared() {
    converse(
        &start_with(Config { cas: false, ..Config::default() }),
        vec![
            (set(0x01, "a", "x").cas(77), vec![reply(0x01, &[], "", "")]),
            (request(0x00, &[], "a", ""), vec![reply(0x00, &FLAGS, "", "x")]),
        ],
    );
}

#[test]
fn a_value_that_is_too_large_is_swallowed_and_the_old_one_is_gone_after_a_set() {
    let server = start_with(Config { item_max: 2048, ..Config::default() });
    let big = "x".repeat(3000);
    converse(
        &server,
        vec![
            (set(0x01, "a", "1"), vec![reply(0x01, &[], "", "").cas(1)]),
            (set(0x02, "a", &big), vec![refused(0x02, 3, "Too large.")]),
            (request(0x0e, &[], "a", &big), vec![refused(0x0e, 3, "Too large.")]),
            (request(0x00, &[], "a", ""), vec![reply(0x00, &FLAGS, "", "1").cas(1)]),
            (set(0x11, "a", &big), vec![refused(0x11, 3, "Too large.")]),
            (request(0x00, &[], "a", ""), vec![refused(0x00, 1, MISS)]),
            (set(0x01, "a", &"x".repeat(1900)), vec![reply(0x01, &[], "", "").cas(2)]),
            (request(0x0e, &[], "a", &"x".repeat(200)), vec![refused(0x0e, 5, "Not stored.")]),
        ],
    );
}

#[test]
fn an_unknown_command_is_skipped_with_its_body() {
    let unknown = "Unknown command";
    converse(
        &start(),
        vec![
            (request(0x1b, &[0; 4], "", ""), vec![refused(0x1b, 0x81, unknown)]),
            (request(0x50, &[], "key", "value"), vec![refused(0x50, 0x81, unknown)]),
            (request(0xff, &[1; 255], "key", ""), vec![refused(0xff, 0x81, unknown)]),
            (request(0x20, &[], "", ""), vec![refused(0x20, 0x81, unknown)]),
            (request(0x21, &[], "PLAIN", "\0user\0word"), vec![refused(0x21, 0x81, unknown)]),
        ],
    );
}

#[test]
fn a_malformed_request_is_answered_and_ends_the_connection() {
    let server = start();
    let long = "k".repeat(251);
    let malformed = [
        request(0x00, &[], "", ""),
        request(0x00, &[], &long, ""),
        request(0x00, &[0; 4], "a", ""),
        request(0x00, &[], "a", "value"),
        request(0x01, &[0; 4], "a", "x"),
        request(0x01, &SET_EXTRAS, "", "x"),
        request(0x04, &[], "a", "x"),
        request(0x05, &[0; 8], "a", ""),
        request(0x08, &[], "a", ""),
        request(0x08, &[0; 2], "", ""),
        request(0x0a, &[], "a", ""),
        request(0x0b, &[], "a", ""),
        request(0x0e, &[0; 8], "a", "x"),
        request(0x1c, &[], "a", ""),
        request(0x1d, &[0; 4], "", ""),
        request(0x10, &[0; 4], "a", ""),
    ];
    for frame in malformed {
        let mut wire = Wire::to(&server);
        wire.ask(frame.bytes(), refused(frame.opcode, 4, INVALID).bytes());
        wire.expect_end();
    }
    // Extras and key longer than the body.
    let mut wire = Wire::to(&server);
    let mut bytes = request(0x00, &[], "a", "").bytes();
    bytes[11] = 0;
    wire.ask(bytes, refused(0x00, 0x81, "Unknown command").bytes());
    wire.expect_end();
    // Another magic in mid-stream.
    let mut wire = Wire::to(&server);
    wire.ask(request(0x0a, &[], "", "").bytes(), reply(0x0a, &[], "", "").bytes());
    wire.send("version, please, in text\r\n");
    wire.expect_end();
}

#[test]
fn any_bytes_can_be_a_key_and_the_unused_header_fields_are_ignored() {
    let server = start();
    let key = "\0 \r\n\u{7f}";
    let mut wire = Wire::to(&server);
    let mut bytes = set(0x01, key, "x").status(0xffff).bytes();
    bytes[5] = 0x77;
    wire.ask(bytes, reply(0x01, &[], "", "").cas(1).bytes());
    wire.ask(request(0x0c, &[], key, "").bytes(), reply(0x0c, &FLAGS, key, "x").cas(1).bytes());
}
