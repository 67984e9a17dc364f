//! What a server announces takes no memory until it comes. Alone in its program, since it measures the process.

mod common;

use bmemc::Operation;
use common::oracle::{assert_right, client, get, run};
use common::scripted::{right, Request, Scripted, Step, Wire};
use std::time::Duration;

/// The most memory that this process has ever had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A reply that announces this many bytes and brings ten.
fn announce(request: &Request, len: u64) -> Vec<u8> {
    match request.wire {
        Wire::Text => format!("VALUE {} 0 {len}\r\n0123456789", request.key()).into_bytes(),
        Wire::Meta => format!("VA {len} f0 O{}\r\n0123456789", request.opaque).into_bytes(),
        Wire::Binary => {
            let mut bytes = vec![0x81, request.opcode, 0, 0, 4, 0, 0, 0];
            bytes.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(&request.opaque.to_be_bytes());
            bytes.extend_from_slice(&[0; 12]);
            bytes.extend_from_slice(b"0123456789");
            bytes
        }
    }
}

/// The length that a key `hit.announce-LEN.0` asks for.
fn announced(request: &Request) -> Option<u64> {
    request.key().strip_prefix("hit.announce-")?.strip_suffix(".0")?.parse().ok()
}

#[test]
fn what_is_announced_takes_no_memory() {
    let server = Scripted::tcp(|request, reply| match (announced(request), request.key()) {
        (Some(len), _) => vec![Step::Send(announce(request, len)), Step::Mute],
        (_, "hit.endless") => vec![Step::Flood(vec![b'V'; 65536])],
        (_, "hit.endless-binary") => vec![Step::Flood(vec![0x81; 65536])],
        (_, "hit.error") => vec![Step::Send([&b"SERVER_ERROR "[..], &[b'x'; 1900], b"\r\n"].concat()), Step::Close],
        _ => right(request, reply),
    });
    let lengths = [1u64 << 20, 100 << 20, (128 << 20) + 1, (1 << 32) - 1, 1 << 32, 1 << 62, (1 << 63) - 1, u64::MAX];
    for protocol in ["text", "meta", "binary"] {
        let settings = [("protocol", protocol), ("timeout_ms", "40"), ("connections", "1")];
        let client = client(server.address(), &settings);
        assert_eq!(get(&client, "hit.warm.100000").hits, 1);
        let before = peak();
        for len in lengths {
            let key = format!("hit.announce-{len}.0");
            for _ in 0..3 {
                let outcome = get(&client, &key);
                assert_right(&outcome, &key);
                assert_eq!(outcome.failed(), 1, "{protocol} {key}");
            }
            let error = client.get_into(key.as_bytes(), &mut [0; 100]).unwrap_err();
            assert!(error.status().is_failure(), "{protocol} {key}: {error}");
        }
        for key in ["hit.endless", "hit.endless-binary", "hit.error"] {
            let outcome = get(&client, key);
            assert_right(&outcome, key);
            assert_eq!(outcome.failed(), 1, "{protocol} {key}");
        }
        // The server's words are the client's to keep, but not without end.
        let error = client.get(b"hit.error").unwrap_err();
        assert!(error.message().len() < 4096, "{}", error.message().len());
        let grown = peak() - before;
        println!("{protocol}: {grown} KiB");
        assert!(grown < 4096, "{protocol}: {grown} KiB more");
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(run(&client, &[Operation::get(b"hit.next.100")]).hits, 1, "{protocol}");
    }
}
