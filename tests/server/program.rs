//! The program `bmemc-server`, and libmemcached's `memccapable` against it.

use crate::wire::{Folder, Wire};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

/// A running program, killed when it is dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bmemc-server"))
}

/// Starts it, and returns where it says that it listens.
pub fn start(arguments: &[&str]) -> (Running, String) {
    let mut child = program().args(arguments).stdout(Stdio::piped()).spawn().expect("bmemc-server starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let running = Running(child);
    let address = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("it printed {line:?}"));
    (running, address.to_string())
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).stdin(Stdio::null()).output().expect("bmemc-server runs")
}

fn send_signal(running: &Running, signal: &str) {
    let sent = Command::new("kill").args([signal, &running.0.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn it_serves_and_ends_cleanly_on_a_signal() {
    for signal in ["-INT", "-TERM"] {
        let folder = Folder::new();
        let path = folder.path("socket");
        let (mut running, address) = start(&["-s", &path]);
        assert_eq!(address, path);
        Wire::connect(&address).ask("set a 0 0 1\r\nx\r\n", "STORED\r\n");
        send_signal(&running, signal);
        assert!(running.0.wait().unwrap().success());
        assert!(!folder.0.join("socket").exists(), "the socket is left behind");
    }
}

#[test]
fn its_options_are_memcacheds() {
    let options =
        ["-p", "0", "-m", "8", "-c", "10", "-I", "2k", "-CF", "-B", "ascii", "-A", "-t4", "-U0", "--user=nobody"];
    let (mut running, address) = start(&options);
    let mut wire = Wire::connect(&address);
    wire.send("stats settings\r\n");
    let settings = String::from_utf8(wire.until(|got| got.ends_with(b"END\r\n"))).unwrap();
    for line in [
        "maxbytes 8388608",
        "maxconns 10",
        "item_size_max 2048",
        "cas_enabled no",
        "flush_enabled no",
        "binding_protocol ascii",
        "shutdown_command yes",
    ] {
        assert!(settings.contains(&format!("STAT {line}\r\n")), "{line} in {settings}");
    }
    wire.send("shutdown\r\n");
    assert!(running.0.wait().unwrap().success());
}

#[test]
fn wrong_options_are_named_with_what_is_accepted() {
    let wrong: [(&[&str], &[&str]); 15] = [
        (&["-p", "70000"], &["-p \"70000\"", "0 to 65535"]),
        (&["-p", "x"], &["-p \"x\"", "0 to 65535"]),
        (&["-p"], &["-p needs a value"]),
        (&["-m", "0"], &["-m \"0\"", "from 1"]),
        (&["-c", "0"], &["-c \"0\"", "from 1"]),
        (&["-I", "12x"], &["-I \"12x\"", "1k to 1024m"]),
        (&["-I", "2g"], &["-I \"2g\"", "1k to 1024m"]),
        (&["-I", "1025m"], &["-I \"1025m\"", "1k to 1024m"]),
        (&["-B", "meta"], &["-B \"meta\"", "auto, ascii or binary"]),
        (&["-U", "11211"], &["-U \"11211\"", "only value"]),
        (&["-Q"], &["-Q in \"-Q\" is not an option", "-h"]),
        (&["--bogus"], &["\"--bogus\" is not an option"]),
        (&["--port"], &["--port needs a value"]),
        (&["--verbose=3"], &["--verbose takes no value", "\"3\""]),
        (&["11211"], &["\"11211\" is not an option"]),
    ];
    for (arguments, words) in wrong {
        let output = run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{arguments:?}: {word:?} in {said:?}");
        }
    }
    let taken = run(&["-s", "/"]);
    assert_eq!(taken.status.code(), Some(1));
    assert!(String::from_utf8(taken.stderr).unwrap().contains("cannot listen on \"/\""));
}

#[test]
fn help_lists_every_option_and_version_is_the_crates() {
    let help = run(&["-h"]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success());
    for letter in "pslmMcICFBAvtUuVh".chars() {
        assert!(text.contains(&format!("\n  -{letter}, --")), "-{letter} in {text}");
    }
    let version = run(&["--version"]);
    assert_eq!(version.stdout, format!("bmemc-server {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
}

/// Debian calls it memccapable, and libmemcached's own build memcapable.
#[test]
fn libmemcacheds_protocol_check_passes() {
    let found = ["memccapable", "memcapable"].iter().find(|name| Command::new(name).arg("-V").output().is_ok());
    let name = found.expect("neither memccapable nor memcapable is in PATH: install libmemcached-tools");
    let (_running, address) = start(&["-p", "0"]);
    let port = address.rsplit(':').next().unwrap();
    let output = Command::new(name).args(["-h", "127.0.0.1", "-p", port, "-t", "10"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let passed = text.lines().filter(|line| line.ends_with("[pass]")).count();
    assert!(output.status.success() && text.contains("All tests passed"), "{text}");
    assert_eq!(passed, 54, "{text}");
}
