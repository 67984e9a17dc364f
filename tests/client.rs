//! The Rust client against real memcached servers.

mod common;

use bmemc::{bits, Client, Operation, Status};
use common::{client, Memcached};
use std::time::Duration;

const PROTOCOLS: [&str; 4] = ["auto", "text", "meta", "binary"];

/// Runs a test over every protocol and both kinds of socket.
fn everywhere(test: impl Fn(&Client, &str)) {
    let servers = [Memcached::tcp(&[]), Memcached::unix(&[])];
    for server in &servers {
        for protocol in PROTOCOLS {
            let what = format!("{protocol} {}", server.address());
            test(&client(server.address(), &[("protocol", protocol)]), &what);
        }
    }
}

#[test]
fn a_value_comes_back_as_it_was_stored() {
    everywhere(|client, what| {
        client.delete(b"k").unwrap();
        assert_eq!(client.get(b"k").unwrap(), None, "{what}");
        client.set(b"k", b"a value\r\nEND\r\n", 7, 0).unwrap();
        let item = client.get(b"k").unwrap().unwrap();
        assert_eq!((item.value.as_slice(), item.flags), (&b"a value\r\nEND\r\n"[..], 7), "{what}");
        client.set(b"empty", b"", 0, 0).unwrap();
        assert_eq!(client.get(b"empty").unwrap().unwrap().value, b"", "{what}");
        assert!(client.delete(b"k").unwrap(), "{what}");
        assert!(!client.delete(b"k").unwrap(), "{what}");
        assert!(client.version().unwrap().starts_with("1."), "{what}");
    });
}

#[test]
fn values_of_every_size_come_back() {
    everywhere(|client, what| {
        for len in [1, 100, 1000, 8191, 8192, 16_000, 16_384, 17_000, 100_000, 1_000_000] {
            let value: Vec<u8> = (0..len).map(|at| (at * 7 + len) as u8).collect();
            client.set(b"sized", &value, 1, 0).unwrap();
            assert!(client.get(b"sized").unwrap().unwrap().value == value, "{what} {len}");
            let mut buffer = vec![0; len + 1];
            assert_eq!(client.get_into(b"sized", &mut buffer).unwrap(), Some((len, 1)), "{what} {len}");
            assert!(buffer[..len] == value, "{what} {len}");
            let short = client.get_into(b"sized", &mut buffer[..len - 1]).unwrap_err();
            assert_eq!(short.status(), Status::Buffer, "{what} {len}: {short}");
            assert!(short.message().contains(&len.to_string()), "{short}");
        }
    });
}

#[test]
fn many_keys_in_one_call() {
    everywhere(|client, what| {
        let keys: Vec<String> = (0..2500).map(|n| format!("many-{n}")).collect();
        for key in keys.iter().step_by(3) {
            client.set(key.as_bytes(), format!("value of {key}").as_bytes(), 3, 0).unwrap();
        }
        let asked: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        let answers = client.get_many(&asked).unwrap();
        assert_eq!(answers.len(), keys.len(), "{what}");
        for (index, answer) in answers.iter().enumerate() {
            let stored = index % 3 == 0;
            assert_eq!(answer.status == Status::Ok, stored, "{what} {index}");
            if stored {
                let bmemc::Value::Borrowed(value) = answer.value else { panic!("{what}") };
                assert_eq!(value, format!("value of many-{index}").as_bytes(), "{what}");
            }
        }
    });
}

#[test]
fn a_mix_of_operations_answers_in_order() {
    everywhere(|client, what| {
        let big = vec![b'x'; 50_000];
        let operations = [
            Operation::set(b"mix1", b"one", 0),
            Operation::get(b"mix1"),
            Operation::get(b"bad key\r\n"),
            Operation::set(b"mix2", &big, 0),
            Operation::get(b"mix2"),
            Operation::get(b"mix-none"),
            Operation::delete(b"mix1"),
            Operation::get(b"mix1"),
            Operation::version(),
        ];
        let mut answers = bmemc::Answers::new(operations.len());
        client.execute(&operations, &mut answers).unwrap();
        let statuses: Vec<Status> = answers.iter().map(|answer| answer.status).collect();
        let bad = if what.starts_with("binary") { Status::NotFound } else { Status::Argument };
        use Status::{NotFound, Ok};
        assert_eq!(statuses, [Ok, Ok, bad, Ok, Ok, NotFound, Ok, NotFound, Ok], "{what}");
        assert_eq!(answers.get(4).unwrap().value.len(), 50_000, "{what}");
        if bad == Status::Argument {
            assert_eq!(answers.get(2).unwrap().bits, bits::NOT_SENT);
        }
    });
}

#[test]
fn an_expired_item_is_a_miss() {
    everywhere(|client, what| {
        client.set(b"gone", b"v", 0, -1).unwrap();
        assert_eq!(client.get(b"gone").unwrap(), None, "{what}");
        client.set(b"stays", b"v", 0, 31 * 24 * 3600).unwrap();
        assert!(client.get(b"stays").unwrap().is_some(), "{what}");
    });
}

#[test]
fn a_value_over_the_servers_limit_is_too_large_and_the_connection_lives() {
    everywhere(|client, what| {
        let error = client.set(b"huge", &vec![0; 2_000_000], 0, 0).unwrap_err();
        assert_eq!(error.status(), Status::TooLarge, "{what}: {error}");
        client.set(b"k", b"v", 0, 0).unwrap();
    });
}

#[test]
fn nobody_listens() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [free.to_string(), "/nonexistent/socket".to_string()] {
        let error = client(&address, &[]).get(b"k").unwrap_err();
        assert_eq!(error.status(), Status::Connection);
        assert!(error.message().contains(&address), "{error}");
        assert_ne!(error.bits() & bits::NOT_SENT, 0);
        assert_ne!(error.os_error(), 0);
    }
}

#[test]
fn names_with_several_addresses_are_each_tried() {
    let server = Memcached::tcp(&[]);
    let port = server.address().rsplit(':').next().unwrap();
    assert_eq!(client(&format!("localhost:{port}"), &[]).get(b"none").unwrap(), None);
    let error = client("no-such-host.invalid", &[]).get(b"k").unwrap_err();
    assert!(matches!(error.status(), Status::Dns | Status::Timeout), "{error}");
}

#[test]
fn a_server_that_restarts_is_found_again() {
    let mut server = Memcached::tcp(&[]);
    let client = client(server.address(), &[]);
    client.set(b"k", b"v", 0, 0).unwrap();
    server.stop();
    std::thread::sleep(Duration::from_millis(30));
    assert!(client.get(b"k").unwrap_err().status().is_failure());
    server.start();
    assert_eq!(client.get(b"k").unwrap(), None);
}

#[test]
fn a_closed_client_answers_closed() {
    let server = Memcached::tcp(&[]);
    let client = client(server.address(), &[]);
    client.set(b"k", b"v", 0, 0).unwrap();
    client.close();
    client.close();
    assert_eq!(client.get(b"k").unwrap_err().status(), Status::Closed);
}

#[test]
fn threads_share_a_client() {
    everywhere(|client, what| {
        std::thread::scope(|scope| {
            for thread in 0..16u32 {
                scope.spawn(move || {
                    for round in 0..300 {
                        let key = format!("thread-{thread}-{}", round % 7);
                        let value = format!("{key}={round}").repeat(1 + round % 50 * (thread as usize % 3));
                        client.set(key.as_bytes(), value.as_bytes(), thread, 0).unwrap();
                        let item = client.get(key.as_bytes()).unwrap().unwrap();
                        assert!(item.value == value.as_bytes() && item.flags == thread, "{what} {key}");
                        let keys = [key.as_bytes(), b"thread-none"];
                        let answers = client.get_many(&keys).unwrap();
                        assert_eq!(answers.get(0).unwrap().value.len(), value.len(), "{what}");
                        assert_eq!(answers.get(1).unwrap().status, Status::NotFound, "{what}");
                    }
                });
            }
        });
    });
}

#[test]
fn single_gets_of_many_threads_are_each_what_they_say() {
    // These join batches of each other's: hits, misses, a key that is refused, and a value that is longer than the buffer.
    everywhere(|client, what| {
        let large = vec![b'l'; 40_000];
        client.set(b"single-large", &large, 5, 0).unwrap();
        (0..8u32).for_each(|n| client.set(format!("single-{n}").as_bytes(), &n.to_be_bytes(), n, 0).unwrap());
        std::thread::scope(|scope| {
            for thread in 0..24u32 {
                let large = &large;
                scope.spawn(move || {
                    for round in 0..400 {
                        match (thread + round) % 40 {
                            n @ 0..8 => {
                                let item = client.get(format!("single-{n}").as_bytes()).unwrap().unwrap();
                                assert_eq!((item.value.as_slice(), item.flags), (&n.to_be_bytes()[..], n), "{what}");
                            }
                            8 => assert!(client.get(b"single-large").unwrap().unwrap().value == *large, "{what}"),
                            9 => {
                                let refused = client.get(&[b'k'; 300]).unwrap_err();
                                assert_eq!((refused.status(), refused.bits()), (Status::Argument, bits::NOT_SENT));
                            }
                            _ => assert_eq!(client.get(b"single-none").unwrap(), None, "{what}"),
                        }
                    }
                });
            }
        });
    });
}

#[test]
fn no_wake_up_is_lost() {
    // Each round is a fresh client: the moments at which callers meet on a connection differ every time. A call whose
    // wake-up is lost runs into its deadline.
    let server = Memcached::tcp(&[]);
    for round in 0..30 {
        for connections in ["1", "2"] {
            let protocol = PROTOCOLS[round % PROTOCOLS.len()];
            let settings = [("protocol", protocol), ("connections", connections)];
            let client = client(server.address(), &settings);
            std::thread::scope(|scope| {
                for thread in 0..8 {
                    let client = &client;
                    scope.spawn(move || {
                        let key = format!("wake-{thread}");
                        for count in 0..100u32 {
                            client.set(key.as_bytes(), &count.to_be_bytes(), 0, 60).unwrap();
                            assert_eq!(client.get(key.as_bytes()).unwrap().unwrap().value, count.to_be_bytes());
                        }
                    });
                }
            });
        }
    }
}
