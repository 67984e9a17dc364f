//! The meta protocol.

use crate::wire::{converse, start, start_with, Wire};
use bmemc::server::Config;
use std::time::Duration;

#[test]
fn values_and_what_is_known_of_them() {
    converse(
        &start(),
        &[
            ("mn\r\n", "MN\r\n"),
            ("mg a v\r\n", "EN\r\n"),
            ("mg a v k O123 q\r\nmn\r\n", "MN\r\n"),
            ("mg a k O123\r\n", "EN ka O123\r\n"),
            ("ms a 2 F5 T100\r\nhi\r\n", "HD\r\n"),
            ("mg a\r\n", "HD\r\n"),
            ("mg a v\r\n", "VA 2\r\nhi\r\n"),
            ("mg a s v t f c k O9 h l\r\n", "VA 2 s2 t100 f5 c1 ka O9 h1 l0\r\nhi\r\n"),
            ("mg a q v\r\n", "VA 2\r\nhi\r\n"),
            ("mg a T0 t\r\n", "HD t-1\r\n"),
            ("mg a t T30\r\nmg a t\r\n", "HD t-1\r\nHD t30\r\n"),
            ("ms b 0\r\n\r\nmg b v\r\n", "HD\r\nVA 0\r\n\r\n"),
            ("ms b 1 k O7 c s F1\r\nx\r\n", "HD kb O7 c3 s1\r\n"),
        ],
    );
}

#[test]
fn modes_of_storing() {
    converse(
        &start(),
        &[
            ("ms a 1 MR k\r\nx\r\n", "NS ka\r\n"),
            ("ms a 1 ma\r\nx\r\nmn\r\n", "CLIENT_ERROR invalid flag\r\nMN\r\n"),
            ("ms a 1 ME\r\n1\r\n", "HD\r\n"),
            ("ms a 1 ME q c\r\n2\r\n", "NS c0\r\n"),
            ("ms a 1 MA s\r\n2\r\n", "HD s2\r\n"),
            ("ms a 1 MP s\r\n0\r\n", "HD s3\r\n"),
            ("mg a v\r\n", "VA 3\r\n012\r\n"),
            ("ms a 1 MR q\r\n9\r\nmn\r\n", "MN\r\n"),
            ("ms b 1 MA\r\nx\r\n", "NS\r\n"),
            ("ms b 1 MA N60\r\nx\r\nmg b v t\r\n", "HD\r\nVA 1 t60\r\nx\r\n"),
            ("ms a 1 MZ\r\nx\r\nmn\r\n", "CLIENT_ERROR invalid mode for ms M token\r\nMN\r\n"),
            ("ms a 1 MSS\r\nx\r\nmn\r\n", "CLIENT_ERROR incorrect length for M token\r\nMN\r\n"),
        ],
    );
}

#[test]
fn cas_compares_and_can_be_set() {
    converse(
        &start(),
        &[
            ("ms a 1 C5\r\nx\r\n", "NF\r\n"),
            ("ms a 1 c\r\nx\r\n", "HD c1\r\n"),
            ("ms a 1 C5 c\r\nx\r\n", "EX c0\r\n"),
            ("ms a 1 C1 c\r\nx\r\n", "HD c2\r\n"),
            ("ms a 1 E1000 c\r\n5\r\n", "HD c1000\r\n"),
            ("ma a E2000 c\r\n", "HD c2000\r\n"),
            ("ma a C1\r\n", "EX\r\n"),
            ("mg a c v C2000\r\n", "HD c2000\r\n"),
            ("mg a c v C1\r\n", "VA 1 c2000\r\n6\r\n"),
            ("md a C1 q\r\n", "EX\r\n"),
            ("md a C2000 q\r\nmn\r\n", "MN\r\n"),
            ("md a q\r\n", "NF\r\n"),
        ],
    );
}

#[test]
fn counting() {
    converse(
        &start(),
        &[
            ("ma a\r\n", "NF\r\n"),
            ("ma a k O1 q\r\n", "NF ka O1\r\n"),
            ("ma a N60 J13 D5 v t\r\n", "VA 2 t60\r\n13\r\n"),
            ("ma a D5 v\r\n", "VA 2\r\n18\r\n"),
            ("ma a MD v k\r\n", "VA 2 ka\r\n17\r\n"),
            ("ma a M- D100 v\r\n", "VA 1\r\n0\r\n"),
            ("mg a v\r\n", "VA 2\r\n0 \r\n"),
            ("ma a MI q\r\nma a M+ T20 t v\r\n", "VA 1 t20\r\n2\r\n"),
            ("ma a Mx\r\n", "CLIENT_ERROR invalid mode for ma M token\r\n"),
            ("ma a Dx\r\n", "CLIENT_ERROR invalid or duplicate flag\r\n"),
            ("ms b 1\r\nx\r\nma b q\r\n", "HD\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
        ],
    );
}

#[test]
fn one_client_wins_the_right_to_fill_a_missing_item() {
    converse(
        &start(),
        &[
            ("mg a N30 v t\r\n", "VA 0 t30 W\r\n\r\n"),
            ("mg a N30 v\r\n", "VA 0 Z\r\n\r\n"),
            ("mg a v\r\n", "VA 0 Z\r\n\r\n"),
            ("ms a 1 T100\r\nx\r\n", "HD\r\n"),
            ("mg a N30 v\r\n", "VA 1\r\nx\r\n"),
        ],
    );
}

#[test]
fn one_client_wins_the_right_to_renew_an_item_before_it_ends() {
    converse(
        &start(),
        &[
            ("ms a 1 T20\r\nx\r\n", "HD\r\n"),
            ("mg a R10 v\r\n", "VA 1\r\nx\r\n"),
            ("mg a R30 v\r\n", "VA 1 W\r\nx\r\n"),
            ("mg a R30 v\r\n", "VA 1 Z\r\nx\r\n"),
            ("ms a 1 T0\r\nx\r\n", "HD\r\n"),
            ("mg a R30 v\r\n", "VA 1\r\nx\r\n"),
        ],
    );
}

#[test]
fn a_stale_item_is_served_until_its_winner_has_filled_it() {
    converse(
        &start(),
        &[
            ("ms a 1 T90\r\nx\r\n", "HD\r\n"),
            ("md a I T30 q\r\nmn\r\n", "MN\r\n"),
            ("mg a v t c\r\n", "VA 1 t30 c2 X W\r\nx\r\n"),
            ("mg a v\r\n", "VA 1 Z X\r\nx\r\n"),
            // A value of before the invalidation is stored, and stays stale.
            ("ms a 1 C1 I T999\r\ny\r\n", "HD\r\n"),
            ("mg a v t\r\n", "VA 1 t30 Z X\r\ny\r\n"),
            ("ms a 1 T50\r\nz\r\n", "HD\r\n"),
            ("mg a v t\r\n", "VA 1 t50\r\nz\r\n"),
            ("md a x\r\nmg a v t f\r\n", "HD\r\nVA 0 t-1 f0\r\n\r\n"),
            ("md a x I T40\r\nmg a v t\r\n", "HD\r\nVA 0 t40 X W\r\n\r\n"),
        ],
    );
}

#[test]
fn keys_in_base64() {
    let raw = "QUJD"; // ABC
    let long = "QUJD".repeat(62); // 248 characters, 186 bytes
    let too_long = format!("{long}QUJD");
    converse(
        &start(),
        &[
            (&format!("ms {raw} 1 b k O1\r\nx\r\n"), "HD kQUJD b O1\r\n"),
            (&format!("mg {raw} b k v\r\n"), "VA 1 kQUJD b\r\nx\r\n"),
            ("get ABC\r\n", "VALUE ABC 0 1\r\nx\r\nEND\r\n"),
            ("mg ABC k\r\n", "HD kQUJD b\r\n"),
            ("mg QUJE b k\r\n", "EN kQUJE b\r\n"),
            ("mg Q b\r\n", "CLIENT_ERROR error decoding key\r\n"),
            (&format!("ms {long} 1 b\r\nx\r\nmg {long} b\r\n"), "HD\r\nHD\r\n"),
            (&format!("mg {too_long} b\r\n"), "CLIENT_ERROR bad command line format\r\n"),
            (&format!("md {raw} b k q\r\nmd {raw} b k\r\n"), "NF kQUJD b\r\n"),
        ],
    );
}

#[test]
fn wrong_flags_swallow_the_value_and_a_wrong_length_does_not() {
    let opaque = format!("O{}", "1".repeat(31));
    let long = "CLIENT_ERROR opaque token too long\r\n";
    let many: String = "abcdefghijklmnopqrstuvwxyz".chars().map(|letter| format!(" {letter}")).collect();
    converse(
        &start(),
        &[
            (&format!("mg a {opaque}\r\n"), &format!("EN {opaque}\r\n")),
            (&format!("mg a {opaque}1\r\n"), long),
            (&format!("md a {opaque}1\r\n"), long),
            (&format!("ma a {opaque}1\r\n"), long),
            (&format!("ms a 2 {opaque}1\r\nmn\r\nmn\r\n"), &format!("{long}MN\r\n")),
            ("ms a 2 k k\r\nmn\r\nmn\r\n", "CLIENT_ERROR duplicate flag\r\nMN\r\n"),
            ("ms a 2 !\r\nmn\r\nmn\r\n", "CLIENT_ERROR invalid flag\r\nMN\r\n"),
            ("ms a 2 Tx\r\nmn\r\nmn\r\n", "CLIENT_ERROR bad token in command line format\r\nMN\r\n"),
            ("ms a 2 Fx\r\nmn\r\nmn\r\n", "CLIENT_ERROR bad command line format\r\nMN\r\n"),
            ("ms a x\r\nmn\r\n", "CLIENT_ERROR bad command line format\r\nMN\r\n"),
            ("ms a -1\r\nmn\r\n", "CLIENT_ERROR bad command line format\r\nMN\r\n"),
            ("ms a\r\n", "CLIENT_ERROR bad command line format\r\n"),
            ("ms a 2\r\nhiya\r\nmn\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\nMN\r\n"),
            (&format!("mg a{many}\r\n"), "CLIENT_ERROR options flags are too long\r\n"),
            (&format!("md a{many}\r\n"), "CLIENT_ERROR options flags too long\r\n"),
            ("mg\r\n", "ERROR\r\n"),
            ("mg a \u{e9}\r\n", "CLIENT_ERROR duplicate flag\r\n"),
            ("md a !\r\n", "CLIENT_ERROR invalid or duplicate flag\r\n"),
            ("mx a\r\n", "ERROR\r\n"),
        ],
    );
}

#[test]
fn too_large_removes_the_old_value() {
    let server = start_with(Config { item_max: 2048, ..Config::default() });
    let big = format!("ms a 3000 q\r\n{}\r\n", "x".repeat(3000));
    converse(
        &server,
        &[("ms a 1\r\nx\r\n", "HD\r\n"), (&big, "SERVER_ERROR object too large for cache\r\n"), ("mg a\r\n", "EN\r\n")],
    );
}

#[test]
fn hits_and_ages() {
    let server = start();
    let mut wire = Wire::to(&server);
    wire.ask("ms a 1\r\nx\r\nmg a h u\r\nmg a h\r\nmg a h\r\n", "HD\r\nHD h0\r\nHD h0\r\nHD h1\r\n");
    server.advance(Duration::from_secs(7));
    wire.send("mg a l u\r\nmg a l\r\nmg a l\r\n");
    let got = String::from_utf8(wire.until(|got| got.iter().filter(|byte| **byte == b'\n').count() == 3)).unwrap();
    // The clock's own second may have passed meanwhile.
    assert!(["HD l7\r\nHD l7\r\nHD l0\r\n", "HD l8\r\nHD l8\r\nHD l0\r\n"].contains(&got.as_str()), "{got}");
    wire.ask("me b\r\n", "EN\r\n");
    wire.ask("ms c 3 T0\r\nxyz\r\nme c\r\n", "HD\r\nME c exp=-1 la=0 cas=2 fetch=no cls=1 size=63\r\n");
}
