//! The classic text protocol.

use crate::wire::{converse, start, start_with, Wire};
use bmemc::server::{Config, Protocol};
use std::time::Duration;

const BAD: &str = "CLIENT_ERROR bad command line format\r\n";

#[test]
fn storing_and_reading() {
    converse(
        &start(),
        &[
            ("get a\r\n", "END\r\n"),
            ("set a 5 0 3\r\nabc\r\n", "STORED\r\n"),
            ("get a\r\n", "VALUE a 5 3\r\nabc\r\nEND\r\n"),
            ("gets a\r\n", "VALUE a 5 3 1\r\nabc\r\nEND\r\n"),
            ("add a 0 0 1\r\nx\r\n", "NOT_STORED\r\n"),
            ("add b 0 0 0\r\n\r\n", "STORED\r\n"),
            ("replace c 0 0 1\r\nx\r\n", "NOT_STORED\r\n"),
            ("replace b 7 0 2\r\nyz\r\n", "STORED\r\n"),
            ("append c 0 0 1\r\nx\r\n", "NOT_STORED\r\n"),
            ("append a 9 9 2\r\nde\r\n", "STORED\r\n"),
            ("prepend a 9 9 1\r\n-\r\n", "STORED\r\n"),
            ("get b x a\r\n", "VALUE b 7 2\r\nyz\r\nVALUE a 5 6\r\n-abcde\r\nEND\r\n"),
            ("set a 4294967297 0 1\r\nz\r\n", "STORED\r\n"),
            ("get a\r\n", "VALUE a 1 1\r\nz\r\nEND\r\n"),
            ("set a 4294967295 0 2\r\n\r\n\r\n", "STORED\r\n"),
            ("get a\r\n", "VALUE a 4294967295 2\r\n\r\n\r\nEND\r\n"),
            ("delete a\r\n", "DELETED\r\n"),
            ("delete a\r\n", "NOT_FOUND\r\n"),
            ("delete b 0\r\n", "DELETED\r\n"),
        ],
    );
}

#[test]
fn cas_compares() {
    converse(
        &start(),
        &[
            ("cas a 0 0 1 1\r\nx\r\n", "NOT_FOUND\r\n"),
            ("set a 0 0 1\r\nx\r\n", "STORED\r\n"),
            ("cas a 0 0 1 2\r\ny\r\n", "EXISTS\r\n"),
            ("cas a 0 0 1 1\r\ny\r\n", "STORED\r\n"),
            ("gets a\r\n", "VALUE a 0 1 2\r\ny\r\nEND\r\n"),
            ("cas a 0 0 1 x\r\nmn\r\n", &[BAD, "MN\r\n"].concat()),
        ],
    );
}

#[test]
fn without_cas_every_comparison_fails() {
    converse(
        &start_with(Config { cas: false, ..Config::default() }),
        &[
            ("set a 0 0 1\r\nx\r\n", "STORED\r\n"),
            ("gets a\r\n", "VALUE a 0 1 0\r\nx\r\nEND\r\n"),
            ("cas a 0 0 1 1\r\ny\r\n", "EXISTS\r\n"),
            ("cas a 0 0 1 0\r\ny\r\n", "EXISTS\r\n"),
            ("mg a c\r\n", "HD c0\r\n"),
        ],
    );
}

#[test]
fn counting() {
    let not_a_number = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
    converse(
        &start(),
        &[
            ("incr a 1\r\n", "NOT_FOUND\r\n"),
            ("set a 0 0 2\r\n10\r\n", "STORED\r\n"),
            ("incr a 5\r\n", "15\r\n"),
            ("decr a 6\r\n", "9\r\n"),
            ("get a\r\n", "VALUE a 0 2\r\n9 \r\nEND\r\n"),
            ("incr a 1\r\n", "10\r\n"),
            ("decr a 99\r\n", "0\r\n"),
            ("incr a 18446744073709551615\r\n", "18446744073709551615\r\n"),
            ("incr a 1\r\n", "0\r\n"),
            ("get a\r\n", "VALUE a 0 20\r\n0                   \r\nEND\r\n"),
            ("incr a x\r\n", "CLIENT_ERROR invalid numeric delta argument\r\n"),
            ("incr a 18446744073709551616\r\n", "CLIENT_ERROR invalid numeric delta argument\r\n"),
            ("set a 0 0 2\r\n 5\r\n", "STORED\r\n"),
            ("incr a 1\r\n", "6\r\n"),
            ("set a 0 0 2\r\n-5\r\n", "STORED\r\n"),
            ("incr a 1\r\n", not_a_number),
            ("set a 0 0 0\r\n\r\n", "STORED\r\n"),
            ("incr a 1\r\n", not_a_number),
            ("set a 0 0 21\r\n184467440737095516160\r\n", "STORED\r\n"),
            ("incr a 1\r\n", not_a_number),
        ],
    );
}

#[test]
fn noreply_silences_successes_and_errors_of_the_line() {
    converse(
        &start(),
        &[
            ("set a 0 0 1 noreply\r\n1\r\nget a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n"),
            ("add a 0 0 1 noreply\r\n2\r\nget a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n"),
            ("replace a 0 0 1 noreply\r\n3\r\nget a\r\n", "VALUE a 0 1\r\n3\r\nEND\r\n"),
            (
                "append a 0 0 1 noreply\r\n4\r\nprepend a 0 0 1 noreply\r\n2\r\nget a\r\n",
                "VALUE a 0 3\r\n234\r\nEND\r\n",
            ),
            ("incr a 1 noreply\r\ndecr a 2 noreply\r\ntouch a 0 noreply\r\nget a\r\n", "VALUE a 0 3\r\n233\r\nEND\r\n"),
            ("cas a 0 0 1 99999 noreply\r\n5\r\ndelete a noreply\r\nget a\r\n", "END\r\n"),
            (
                "incr a x noreply\r\ndelete a 0 noreply\r\nflush_all noreply\r\nflush_all 0 noreply\r\nget a\r\n",
                "END\r\n",
            ),
            ("verbosity 0 noreply\r\ncache_memlimit 64 noreply\r\nget a\r\n", "END\r\n"),
        ],
    );
}

#[test]
fn wrong_lines_are_refused_in_memcacheds_words() {
    let long = "k".repeat(251);
    let usage = "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n";
    let cases = [
        ("\r\n".to_string(), "ERROR\r\n"),
        ("\n".to_string(), "ERROR\r\n"),
        ("x\r\n".to_string(), "ERROR\r\n"),
        ("bogus\r\n".to_string(), "ERROR\r\n"),
        ("get\r\n".to_string(), "ERROR\r\n"),
        ("set a 0 0\r\n".to_string(), "ERROR\r\n"),
        ("incr a\r\n".to_string(), "ERROR\r\n"),
        ("touch a\r\n".to_string(), "ERROR\r\n"),
        ("touch a x\r\n".to_string(), "CLIENT_ERROR invalid exptime argument\r\n"),
        ("gat x a\r\n".to_string(), "CLIENT_ERROR invalid exptime argument\r\n"),
        ("gat 0\r\n".to_string(), "END\r\n"),
        (format!("get {long}\r\n"), BAD),
        (format!("get a {long}\r\n"), BAD),
        (format!("delete {long}\r\n"), BAD),
        (format!("incr {long} 1\r\n"), BAD),
        (format!("touch {long} 1\r\n"), BAD),
        ("delete a 5\r\n".to_string(), usage),
        ("delete a 0 x\r\n".to_string(), usage),
        ("set a x 0 1\r\n".to_string(), BAD),
        ("set a 0 x 1\r\n".to_string(), BAD),
        ("set a 0 0 x\r\n".to_string(), BAD),
        ("set a 0 0 -1\r\n".to_string(), BAD),
        ("set a 0 0 99999999999\r\n".to_string(), BAD),
        (format!("set {long} 0 0 1\r\n"), BAD),
        ("flush_all x\r\n".to_string(), "CLIENT_ERROR invalid exptime argument\r\n"),
        ("verbosity\r\n".to_string(), "ERROR\r\n"),
        ("shutdown\r\n".to_string(), "ERROR: shutdown not enabled\r\n"),
    ];
    let exchanges: Vec<_> = cases.iter().map(|(request, answer)| (request.as_str(), *answer)).collect();
    converse(&start(), &exchanges);
}

#[test]
fn a_refused_value_is_swallowed_or_executed_as_memcached_does() {
    let server = start_with(Config { item_max: 2048, ..Config::default() });
    let big = "x".repeat(3000);
    converse(
        &server,
        &[
            // Swallowed, and the old value is gone after a set.
            ("set a 0 0 1\r\n1\r\n", "STORED\r\n"),
            (&format!("add a 0 0 3000\r\n{big}\r\n"), "SERVER_ERROR object too large for cache\r\n"),
            ("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n"),
            (&format!("set a 0 0 3000\r\n{big}\r\n"), "SERVER_ERROR object too large for cache\r\n"),
            ("get a\r\n", "END\r\n"),
            // An append past the limit is only not stored.
            (&format!("set a 0 0 1900\r\n{}\r\n", "x".repeat(1900)), "STORED\r\n"),
            (&format!("append a 0 0 200\r\n{}\r\n", "x".repeat(200)), "NOT_STORED\r\n"),
            // Executed: the line was wrong, or the value's end was not where it should be.
            ("set b abc 0 3\r\nmn\r\n", &[BAD, "MN\r\n"].concat()),
            ("set b 0 0 3\r\nabcde\r\nmn\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\nMN\r\n"),
            ("get b\r\n", "END\r\n"),
        ],
    );
}

#[test]
fn expiry_by_a_clock_that_the_test_moves() {
    let server = start();
    let mut wire = Wire::to(&server);
    let day = 24 * 60 * 60;
    for (key, exptime) in [("never", "0"), ("ten", "10"), ("month", "2592000"), ("past", "-1"), ("old", "2592001")] {
        wire.ask(format!("set {key} 0 {exptime} 1\r\nx\r\n"), "STORED\r\n");
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    wire.ask(format!("set date 0 {} 1\r\nx\r\n", now + 40 * day), "STORED\r\n");
    wire.ask("set wraps 0 4294967295 1\r\nx\r\n", "STORED\r\n");
    let alive = |server: &bmemc::server::Server, seconds: u64, expected: &[&str]| {
        server.advance(Duration::from_secs(seconds));
        let mut wire = Wire::to(server);
        for key in ["never", "ten", "month", "past", "old", "date", "wraps"] {
            let hit = format!("VALUE {key} 0 1\r\nx\r\nEND\r\n");
            wire.ask(format!("get {key}\r\n"), if expected.contains(&key) { &hit } else { "END\r\n" });
        }
    };
    alive(&server, 0, &["never", "ten", "month", "date"]);
    alive(&server, 8, &["never", "ten", "month", "date"]);
    alive(&server, 2, &["never", "month", "date"]);
    alive(&server, 30 * day - 15, &["never", "month", "date"]);
    alive(&server, 5, &["never", "date"]);
    alive(&server, 11 * day, &["never"]);
}

#[test]
fn touch_and_gat_give_another_time() {
    let server = start();
    let mut wire = Wire::to(&server);
    wire.ask("touch a 10\r\n", "NOT_FOUND\r\n");
    wire.ask("gat 10 a b\r\n", "END\r\n");
    wire.ask("set a 3 10 1\r\nx\r\nset b 0 10 1\r\ny\r\n", "STORED\r\nSTORED\r\n");
    wire.ask("touch a 100\r\n", "TOUCHED\r\n");
    wire.ask("gats 200 b\r\n", "VALUE b 0 1 2\r\ny\r\nEND\r\n");
    server.advance(Duration::from_secs(50));
    wire.ask("gat 0 a b\r\n", "VALUE a 3 1\r\nx\r\nVALUE b 0 1\r\ny\r\nEND\r\n");
    server.advance(Duration::from_secs(5000));
    wire.ask("get a b\r\n", "VALUE a 3 1\r\nx\r\nVALUE b 0 1\r\ny\r\nEND\r\n");
    wire.ask("touch a -1\r\n", "TOUCHED\r\n");
    wire.ask("get a\r\n", "END\r\n");
}

#[test]
fn flush_all_now_and_later() {
    let server = start();
    let mut wire = Wire::to(&server);
    wire.ask("set a 0 0 1\r\nx\r\nflush_all\r\nget a\r\n", "STORED\r\nOK\r\nEND\r\n");
    wire.ask("set a 0 0 1\r\nx\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    wire.ask("flush_all 100\r\nget a\r\n", "OK\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    server.advance(Duration::from_secs(50));
    wire.ask("set b 0 0 1\r\nx\r\n", "STORED\r\n");
    server.advance(Duration::from_secs(50));
    wire.ask("get a b\r\n", "END\r\n");
    wire.ask("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    server.advance(Duration::from_secs(1));
    wire.ask("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
    // A later flush takes the place of one that waits.
    wire.ask("flush_all 10\r\nflush_all 1000\r\n", "OK\r\nOK\r\n");
    server.advance(Duration::from_secs(20));
    wire.ask("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
    let refusing = start_with(Config { flush: false, ..Config::default() });
    converse(&refusing, &[("flush_all\r\n", "CLIENT_ERROR flush_all not allowed\r\n")]);
}

#[test]
fn the_clock_can_be_moved_over_the_wire_where_that_is_allowed() {
    converse(&start(), &[("debugtime 10\r\n", "ERROR\r\n")]);
    converse(
        &start_with(Config { debug_time: true, ..Config::default() }),
        &[
            ("debugtime p\r\n", "OK\r\n"),
            ("set a 0 10 1\r\nx\r\nmg a t\r\n", "STORED\r\nHD t10\r\n"),
            ("debugtime 9\r\nmg a t\r\n", "OK\r\nHD t1\r\n"),
            ("debugtime 1\r\nmg a t\r\n", "OK\r\nEN\r\n"),
            ("debugtime r\r\ndebugtime x\r\n", "OK\r\nERROR\r\n"),
        ],
    );
}

#[test]
fn running_the_server() {
    let server = start_with(Config { version: "9.8.7".into(), ..Config::default() });
    converse(
        &server,
        &[
            ("version\r\n", "VERSION 9.8.7\r\n"),
            ("verbosity 0\r\n", "OK\r\n"),
            ("cache_memlimit 7\r\n", "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"),
            ("cache_memlimit 100\r\n", "OK\r\n"),
            ("stats bogus\r\n", "ERROR\r\n"),
            ("stats reset\r\n", "RESET\r\n"),
        ],
    );
    let mut wire = Wire::to(&server);
    wire.ask("version\r\nquit\r\nversion\r\n", "VERSION 9.8.7\r\n");
    wire.expect_end();
    let mut wire = Wire::to(&server);
    wire.ask("GET / HTTP/1.1\r\n\r\n", "");
    wire.expect_end();
}

#[test]
fn shutdown_ends_a_server_that_allows_it() {
    let server = start_with(Config { shutdown: true, ..Config::default() });
    let mut wire = Wire::to(&server);
    wire.ask("shutdown now\r\n", "CLIENT_ERROR invalid shutdown mode\r\n");
    wire.send("shutdown\r\n");
    wire.expect_end();
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    while server.is_running() {
        assert!(std::time::Instant::now() < patience, "still running");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn stats(wire: &mut Wire, command: &str) -> std::collections::HashMap<String, String> {
    wire.send(format!("{command}\r\n"));
    let text = String::from_utf8(wire.until(|got| got.ends_with(b"END\r\n"))).unwrap();
    let pairs = text.lines().filter_map(|line| line.strip_prefix("STAT ")?.split_once(' '));
    pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

#[test]
fn stats_count_what_was_done() {
    let server = start();
    let mut wire = Wire::to(&server);
    wire.send("set a 1 0 1\r\n1\r\nget a b\r\nincr a 1\r\nincr b 1\r\ndecr a 1\r\ndelete b\r\ntouch a 0\r\n");
    wire.send("cas a 0 0 1 9\r\nx\r\ndelete a\r\nset a 0 0 2000000\r\n");
    wire.send([b'x'; 2_000_002]);
    wire.send("set c 0 0 1\r\nx\r\nflush_all\r\nget c\r\nset d 5 0 1\r\nx\r\nmn\r\n");
    wire.until(|got| got.ends_with(b"MN\r\n"));
    let general = stats(&mut wire, "stats");
    let expected = [
        ("cmd_get", 3),
        ("get_hits", 1),
        ("get_misses", 2),
        ("get_flushed", 1),
        ("cmd_set", 4),
        ("incr_hits", 1),
        ("incr_misses", 1),
        ("decr_hits", 1),
        ("delete_hits", 1),
        ("delete_misses", 1),
        ("cmd_touch", 1),
        ("touch_hits", 1),
        ("cas_badval", 1),
        ("store_too_large", 1),
        ("cmd_flush", 1),
        ("curr_items", 1),
        ("total_items", 3),
        ("bytes", 65),
        ("curr_connections", 1),
        ("total_connections", 1),
    ];
    for (name, value) in expected {
        assert_eq!(general.get(name), Some(&value.to_string()), "{name}");
    }
    assert_eq!(stats(&mut wire, "stats settings")["item_size_max"], "1048576");
    assert_eq!(stats(&mut wire, "stats items")["items:1:number"], "1");
    assert_eq!(stats(&mut wire, "stats slabs")["active_slabs"], "1");
    wire.ask("stats reset\r\n", "RESET\r\n");
    assert_eq!(stats(&mut wire, "stats")["cmd_get"], "0");
}

#[test]
fn dumps_list_every_item() {
    let server = start();
    let mut wire = Wire::to(&server);
    wire.ask("set a%b 0 0 2\r\nxx\r\n", "STORED\r\n");
    wire.send("lru_crawler metadump all\r\n");
    let dump = String::from_utf8(wire.until(|got| got.ends_with(b"END\r\n"))).unwrap();
    assert!(dump.starts_with("key=a%25b exp=-1 la=") && dump.contains(" cas=1 fetch=no cls=1 size=64\nEND"), "{dump}");
    wire.ask("stats cachedump 1 0\r\n", "ITEM a%b [2 b; 0 s]\r\nEND\r\n");
    wire.ask("stats cachedump 2 0\r\n", "END\r\n");
    wire.ask("lru_crawler metadump x\r\n", "BADCLASS invalid class id\r\n");
}

#[test]
fn only_the_chosen_protocol_is_spoken() {
    let ascii = start_with(Config { protocol: Protocol::Ascii, ..Config::default() });
    let mut wire = Wire::to(&ascii);
    wire.ask(b"\x80\n", "ERROR\r\n");
    let binary = start_with(Config { protocol: Protocol::Binary, ..Config::default() });
    let mut wire = Wire::to(&binary);
    wire.send("version                         \r\n");
    wire.expect_end();
}
