//! Clients with a codec, against real memcached servers: what they store, what they read, and that a value that cannot be
//! decoded harms nobody.

mod common;

use bmemc::value::{Codec, Compressor, Output, ValueType};
use bmemc::{bits, op_flags, Answers, Client, Command, Fetched, Operation, Options, Queue, Status, Value};
use common::{client, Memcached};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

const PROTOCOLS: [&str; 4] = ["auto", "text", "meta", "binary"];

fn typed<'a>(key: &'a str, value: &'a [u8], value_type: ValueType) -> Operation<'a> {
    Operation { value_type: value_type.code(), ..Operation::set(key.as_bytes(), value, 0) }
}

fn execute(client: &Client, operations: &[Operation<'_>]) -> Answers {
    let mut answers = Answers::new(operations.len());
    client.execute(operations, &mut answers).unwrap();
    answers
}

/// Status and words of the only answer.
fn outcome(client: &Client, operation: Operation<'_>) -> (Status, String) {
    let answers = execute(client, &[operation]);
    let answer = answers.get(0).unwrap();
    (answer.status, String::from_utf8(answer.detail.to_vec()).unwrap())
}

fn bytes<'a>(value: &'a Value<'_>) -> &'a [u8] {
    match value {
        Value::Borrowed(bytes) => bytes,
        Value::Owned(bytes) => bytes,
        Value::Placed(_) | Value::Skipped(_) => panic!("the value is elsewhere"),
    }
}

/// Text of this length that compresses well.
fn text(len: usize) -> Vec<u8> {
    "A sentence that is not all the same. ".bytes().cycle().take(len).collect()
}

#[test]
fn every_type_of_every_codec_comes_back() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let plain = client(server.address(), &[("protocol", protocol)]);
        for codec in Codec::ALL.into_iter().skip(1) {
            let name = codec.name();
            let client = client(server.address(), &[("protocol", protocol), ("codec", name)]);
            for value_type in ValueType::ALL {
                for len in [1, 3, 17, 1000, 30_000, 900_000] {
                    let what = format!("{protocol} {name} {value_type:?} {len}");
                    // Its numbers have 64 bits; one digit is one byte there too.
                    let digits = if name == "spymemcached" { 1 } else { len };
                    let value = match value_type {
                        ValueType::Integer | ValueType::Long => vec![b'7'; digits],
                        _ => text(len),
                    };
                    let stored = execute(&client, &[typed("k", &value, value_type)]);
                    assert_eq!(stored.get(0).unwrap().status, Status::Ok, "{what}");
                    let item = client.get(b"k").unwrap().unwrap();
                    assert!(item.value == value, "{what}");
                    let on_server = plain.get(b"k").unwrap().unwrap();
                    let packed = codec.packing().filter(|packing| item.flags & packing.bit != 0);
                    assert_eq!(on_server.flags, item.flags, "{what}");
                    assert_eq!(item.flags, codec.flags(value_type) | packed.map_or(0, |packing| packing.bit), "{what}");
                    assert_eq!(codec.value_type(item.flags).unwrap().code(), item.value_type, "{what}");
                    let over = codec.packing().and_then(|packing| packing.over);
                    assert_eq!(packed.is_some(), over.is_some_and(|over| value.len() > over), "{what}");
                    assert_eq!(on_server.value.len() < value.len(), packed.is_some(), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_buffer_takes_the_value_that_was_decoded() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let settings = [("protocol", protocol), ("codec", "bmemcached"), ("connections", "1")];
        let client = client(server.address(), &settings);
        for (len, value_type) in [(1000, ValueType::Text), (100_000, ValueType::Bytes), (30, ValueType::Bytes)] {
            let value = text(len);
            execute(&client, &[typed("k", &value, value_type)]);
            let mut buffer = vec![0; len];
            let (got, _) = client.get_into(b"k", &mut buffer).unwrap().unwrap();
            assert!(got == len && buffer == value, "{protocol} {len}");
            let short = client.get_into(b"k", &mut buffer[..len - 1]).unwrap_err();
            assert_eq!(short.status(), Status::Buffer, "{protocol} {len}");
            assert!(short.message().contains(&format!("the value has {len} bytes")), "{short}");
        }
        // Noise is not compressed, and longer than the receive buffer: its body is read and dropped.
        let noise: Vec<u8> = (0..200_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let stored = Operation { compress_level: -1, ..typed("k", &noise, ValueType::Text) };
        assert_eq!(outcome(&client, stored).0, Status::Argument);
        let stored = Operation { compress_level: -1, ..typed("k", &noise, ValueType::Bytes) };
        assert_eq!(outcome(&client, stored).0, Status::Ok);
        assert_eq!(client.get_into(b"k", &mut [0; 10]).unwrap_err().status(), Status::Buffer, "{protocol}");
        assert!(client.get(b"k").unwrap().unwrap().value == noise, "{protocol}");
        assert_eq!(client.counters(None).unwrap().connects, 1, "{protocol}: the connection was not kept");
    }
}

#[test]
fn a_corrupt_value_is_neither_a_miss_nor_the_end_of_the_connection() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let plain = client(server.address(), &[("protocol", protocol)]);
        let settings = [("protocol", protocol), ("codec", "bmemcached"), ("connections", "1")];
        let client = client(server.address(), &settings);
        let cases: [(&[u8], u32, &str); 5] = [
            (b"no zlib", 8, "a compressed value of 7 bytes"),
            (b"x\x9c\x4b\x4c\x1c", 8, "a compressed value of 5 bytes: it is cut"),
            (b"caf\xe9", 0, "flags 0 say text, but the value of 4 bytes is not UTF-8 from byte 3 on"),
            (b"twelve", 2, "flags 2 say integer, but the value of 6 bytes is not decimal digits"),
            (b"", 4, "flags 4 say long"),
        ];
        for (value, flags, words) in cases {
            plain.set(b"k", value, flags, 0).unwrap();
            let error = client.get(b"k").unwrap_err();
            assert_eq!((error.status(), error.bits()), (Status::Decode, bits::SENT), "{protocol} {error}");
            assert!(error.message().contains(words), "{protocol} {error}");
            assert_eq!(client.get_into(b"k", &mut [0; 100]).unwrap_err().status(), Status::Decode, "{protocol}");
            let answers = client.get_many(&[b"k", b"none", b"k"]).unwrap();
            let statuses: Vec<Status> = answers.iter().map(|answer| answer.status).collect();
            assert_eq!(statuses, [Status::Decode, Status::NotFound, Status::Decode], "{protocol}");
            // As it is stored it can be read.
            let raw = Operation { op_flags: op_flags::EXPLICIT_FLAGS, ..Operation::get(b"k") };
            let answers = execute(&client, &[raw]);
            let answer = answers.get(0).unwrap();
            assert_eq!((answer.status, answer.flags, bytes(&answer.value)), (Status::Ok, flags, value), "{protocol}");
        }
        assert_eq!(client.counters(None).unwrap().connects, 1, "{protocol}: the connection was not kept");
    }
}

#[test]
fn counters_are_numbers_with_or_without_their_spaces() {
    let server = Memcached::tcp(&[]);
    let mut raw = TcpStream::connect(server.address()).unwrap();
    for protocol in PROTOCOLS {
        let client = client(server.address(), &[("protocol", protocol), ("codec", "pymemcache")]);
        execute(&client, &[typed("n", b"10", ValueType::Integer)]);
        raw.write_all(b"decr n 1\r\n").unwrap();
        let mut reply = [0; 3];
        raw.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"9\r\n", "{protocol}");
        let stored = Operation { op_flags: op_flags::EXPLICIT_FLAGS, ..Operation::get(b"n") };
        assert_eq!(bytes(&execute(&client, &[stored]).get(0).unwrap().value), b"9 ", "{protocol}");
        let item = client.get(b"n").unwrap().unwrap();
        assert_eq!((&item.value[..], item.value_type), (&b"9"[..], ValueType::Integer.code()), "{protocol}");
    }
}

#[test]
fn a_value_that_cannot_be_encoded_fails_alone_and_unsent() {
    let server = Memcached::tcp(&[]);
    let client = client(server.address(), &[("codec", "pymemcache")]);
    let long = text(5000);
    let operations = [
        typed("a", b"1", ValueType::Integer),
        typed("b", b"\xff", ValueType::Text),
        Operation { flags: 5, ..typed("c", b"c", ValueType::Bytes) },
        Operation::get(b"a"),
        Operation { value_type: 9, ..Operation::set(b"d", b"d", 0) },
        typed("e", &long, ValueType::Text),
        Operation::get(b"e"),
        Operation::new(Command::Version, b""),
        Operation { flags: 5, op_flags: op_flags::EXPLICIT_FLAGS, ..typed("f", &long, ValueType::Text) },
    ];
    let operations = operations.map(|operation| Operation { compress_level: 9, ..operation });
    let answers = execute(&client, &operations);
    let statuses: Vec<Status> = answers.iter().map(|answer| answer.status).collect();
    use Status::{Argument, Ok};
    assert_eq!(statuses, [Ok, Argument, Argument, Ok, Argument, Ok, Ok, Ok, Ok]);
    for (index, words) in [(1, "not UTF-8"), (2, "flags is 5, but codec pymemcache"), (4, "value_type is 9")] {
        let answer = answers.get(index).unwrap();
        assert!(String::from_utf8_lossy(answer.detail).contains(words), "{answer:?}");
        assert_eq!(answer.bits, bits::NOT_SENT);
    }
    assert_eq!(bytes(&answers.get(6).unwrap().value), text(5000));
    // With its flags said, the value is stored as it is.
    let plain = common::client(server.address(), &[]);
    let item = plain.get(b"f").unwrap().unwrap();
    assert_eq!((item.flags, item.value), (5, text(5000)));
    assert_eq!(plain.get(b"b").unwrap(), None);
    // The shorthands store bytes.
    client.set(b"g", b"bytes", 0, 0).unwrap();
    assert_eq!(client.set(b"g", b"bytes", 1, 0).unwrap_err().status(), Argument);
    assert_eq!(plain.get(b"g").unwrap().unwrap().flags, 0);
}

#[test]
fn reads_and_writes_of_different_time_outs_are_coded_too() {
    let server = Memcached::tcp(&[]);
    let client = client(server.address(), &[("codec", "bmemcached")]);
    let value = text(2000);
    let operations = [
        Operation { timeout_ms: 9000, ..typed("a", &value, ValueType::Text) },
        Operation { timeout_ms: 8000, ..typed("b", b"\xff", ValueType::Text) },
        Operation { timeout_ms: 9500, ..Operation::get(b"a") },
    ];
    let answers = execute(&client, &operations);
    assert_eq!(answers.get(1).unwrap().status, Status::Argument);
    let read = answers.get(2).unwrap();
    assert_eq!((bytes(&read.value), read.value_type), (&value[..], ValueType::Text.code()));
}

#[test]
fn values_are_encoded_and_decoded_without_a_server() {
    let client = client("127.0.0.1:1", &[("codec", "pymemcache")]);
    let encoded = client.encode_value(&typed("", "é".as_bytes(), ValueType::Text)).unwrap();
    assert_eq!((&encoded.value[..], encoded.flags), ("é".as_bytes(), 16));
    let decoded = client.decode_value(b"9 ", 2).unwrap();
    assert_eq!((&decoded.value[..], decoded.value_type), (&b"9"[..], ValueType::Integer));
    let plain = common::client("127.0.0.1:1", &[]);
    let encoded = plain.encode_value(&Operation { flags: 77, ..typed("", b"\xff", ValueType::Text) }).unwrap();
    assert_eq!((&encoded.value[..], encoded.flags), (&b"\xff"[..], 77));
    let decoded = plain.decode_value(b"\xff", 77).unwrap();
    assert_eq!((&decoded.value[..], decoded.value_type), (&b"\xff"[..], ValueType::Bytes));
}

/// Fetches until nothing is under way, a few answers at once.
fn fetch_all(queue: &Queue, slab: &mut [u8]) -> Vec<Fetched> {
    let mut answers = Vec::new();
    loop {
        let before = answers.len();
        queue.fetch_into(&mut answers, 3, slab, 20_000).unwrap();
        for answer in &mut answers[before..] {
            if let Some(place) = answer.placed.clone() {
                answer.value = slab[place].to_vec();
            }
        }
        if answers.len() == before {
            return answers;
        }
    }
}

#[test]
fn a_queue_encodes_and_decodes() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let queue = Queue::new().unwrap();
        let settings = [("protocol", protocol), ("codec", "bmemcached"), ("connections", "1")];
        let (coded, plain) = (client(server.address(), &settings), client(server.address(), &settings[..1]));
        let (large, mut slab) = (text(300_000), vec![0; 100_000]);
        let values = [(text(1000), 8), (large.clone(), 8), (b"short".to_vec(), 0)];
        for round in 0..3 {
            let writes = values.iter().zip(0..).map(|((value, _), tag)| (tag, typed("", value, ValueType::Text)));
            let keys = ["q-0", "q-1", "q-2"];
            let writes = writes.map(|(tag, write)| (tag, Operation { key: keys[tag as usize].as_bytes(), ..write }));
            assert_eq!(queue.submit(&coded, writes).0, 3);
            assert_eq!(fetch_all(&queue, &mut slab).len(), 3);
            let reads = keys.iter().zip(10..).map(|(key, tag)| (tag, Operation::get(key.as_bytes())));
            assert_eq!(queue.submit(&coded, reads.chain([(13, Operation::get(b"none"))])).0, 4);
            let answers = fetch_all(&queue, &mut slab);
            let tags: Vec<u64> = answers.iter().map(|answer| answer.tag).collect();
            assert_eq!(tags, [10, 11, 12, 13], "{protocol} {round}: not in the order in which they came");
            for (answer, (value, flags)) in answers.iter().zip(&values) {
                assert_eq!((answer.status, answer.flags), (Status::Ok, *flags), "{protocol} {round}");
                assert!(answer.value == *value && answer.value_type == ValueType::Text.code(), "{protocol} {round}");
                assert_eq!(answer.placed.is_some(), value.len() < slab.len(), "{protocol} {round}");
            }
            assert_eq!(answers[3].status, Status::NotFound);
            // Another client of the same queue has no codec.
            assert_eq!(queue.submit(&plain, [(20, Operation::get(b"q-0"))]).0, 1);
            let answers = fetch_all(&queue, &mut slab);
            assert!(answers[0].value.len() < 1000 && answers[0].value_type == 0, "{protocol} {round}");
            // Its records are used again.
            plain.set(b"q-bad", b"\xff", 0, 0).unwrap();
            let operations =
                [(1, Operation::get(b"q-bad")), (2, Operation::version()), (3, Operation::delete(b"q-bad"))];
            assert_eq!(queue.submit(&coded, operations).0, 3);
            let answers = fetch_all(&queue, &mut slab);
            let statuses: Vec<(u64, Status)> = answers.iter().map(|answer| (answer.tag, answer.status)).collect();
            assert_eq!(statuses, [(1, Status::Decode), (2, Status::Ok), (3, Status::Ok)], "{protocol} {round}");
            assert!(String::from_utf8_lossy(&answers[0].detail).contains("not UTF-8"), "{protocol} {round}");
        }
        let bad = [(1, typed("ok", b"ok", ValueType::Text)), (2, typed("bad", b"\xff", ValueType::Text))];
        let (accepted, stopped) = queue.submit(&coded, bad);
        assert_eq!((accepted, stopped.unwrap_err().status()), (1, Status::Argument));
        assert_eq!(fetch_all(&queue, &mut slab).len(), 1);
        assert_eq!(coded.counters(None).unwrap().hits, 12, "{protocol}");
    }
}

/// What a queue answers to gets of these keys, submitted together; each one's tag is its place.
fn fetched(queue: &Queue, client: &Client, keys: &[String], slab: &mut [u8]) -> Vec<Fetched> {
    let reads = keys.iter().map(|key| Operation::get(key.as_bytes()));
    assert_eq!(queue.submit(client, (0..).zip(reads)).0, keys.len());
    fetch_all(queue, slab)
}

#[test]
fn a_queue_keeps_the_order_of_values_that_need_work_and_of_those_that_need_none() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let settings = [("protocol", protocol), ("codec", "pymemcache"), ("connections", "1")];
        let (coded, queue) = (client(server.address(), &settings), Queue::new().unwrap());
        // In turns plain, compressed, a number, and one that cannot be read.
        let value = |i: usize| match i % 4 {
            0 => (text(50 + i), ValueType::Text),
            1 => (text(1000 + i), ValueType::Text),
            2 => (i.to_string().into_bytes(), ValueType::Integer),
            _ => (vec![0xff, i as u8], ValueType::Bytes),
        };
        let keys: Vec<String> = (0..40).map(|i| format!("mixed-{i}")).collect();
        for (i, key) in keys.iter().enumerate() {
            let (value, value_type) = value(i);
            let write = match i % 4 {
                3 => Operation {
                    op_flags: op_flags::EXPLICIT_FLAGS,
                    flags: 16,
                    ..Operation::set(key.as_bytes(), &value, 0)
                },
                _ => typed(key, &value, value_type),
            };
            assert_eq!(outcome(&coded, write).0, Status::Ok, "{protocol} {i}");
        }
        let answers = fetched(&queue, &coded, &keys, &mut [0; 100_000]);
        let tags: Vec<u64> = answers.iter().map(|answer| answer.tag).collect();
        assert_eq!(tags, (0..40).collect::<Vec<u64>>(), "{protocol}: not in the order in which they came");
        for (i, answer) in answers.iter().enumerate() {
            let (value, value_type) = value(i);
            if i % 4 == 3 {
                assert_eq!(answer.status, Status::Decode, "{protocol} {i}");
                continue;
            }
            assert!(answer.status == Status::Ok && answer.value == value, "{protocol} {i}");
            assert_eq!((answer.value_type, answer.flags & 8 != 0), (value_type.code(), i % 4 == 1), "{protocol} {i}");
        }
    }
}

#[test]
fn text_that_is_not_utf8_is_refused_by_a_queue_whatever_its_length() {
    let server = Memcached::tcp(&[]);
    for protocol in PROTOCOLS {
        let settings = [("protocol", protocol), ("codec", "pylibmc")];
        let (coded, plain) = (client(server.address(), &settings), client(server.address(), &settings[..1]));
        let queue = Queue::new().unwrap();
        let lengths = [1, 100, 16_383, 16_384, 16_385, 100_000];
        let keys: Vec<String> =
            lengths.iter().flat_map(|len| ["good", "bad"].map(|how| format!("{how}-{len}"))).collect();
        for len in lengths {
            let mut value = text(len);
            plain.set(format!("good-{len}").as_bytes(), &value, 16, 0).unwrap();
            value[len - 1] = 0xff;
            plain.set(format!("bad-{len}").as_bytes(), &value, 16, 0).unwrap();
        }
        let answers = fetched(&queue, &coded, &keys, &mut [0; 1 << 20]);
        assert_eq!(answers.len(), keys.len(), "{protocol}");
        for answer in &answers {
            let (len, key) = (lengths[answer.tag as usize / 2], &keys[answer.tag as usize]);
            if key.starts_with("good") {
                assert!(answer.status == Status::Ok && answer.value == text(len), "{protocol} {key}");
                continue;
            }
            let words = String::from_utf8_lossy(&answer.detail);
            assert_eq!(answer.status, Status::Decode, "{protocol} {key}");
            assert!(words.contains(&format!("not UTF-8 from byte {} on", len - 1)), "{protocol} {key}: {words}");
        }
    }
}

#[test]
fn what_a_queue_copies_into_the_first_of_several_clients_is_what_was_stored() {
    let servers = [Memcached::tcp(&[]), Memcached::tcp(&[])];
    let coded = |server: &Memcached, more: &[(&str, &str)]| {
        client(server.address(), &[&[("codec", "pymemcache")], more].concat())
    };
    let old = coded(&servers[1], &[]);
    let both = Client::new_fallback(&[coded(&servers[0], &[("fallback_copy_ttl", "100")]), old.clone()]).unwrap();
    // As memcached leaves a counter, as compressed text, and as it is.
    let values = [(b"9 ".to_vec(), 2, b"9".to_vec()), (b"text".to_vec(), 16, b"text".to_vec())];
    let long = text(1000);
    let packed = old.encode_value(&typed("", &long, ValueType::Text)).unwrap();
    let values = values.into_iter().chain([(packed.value.to_vec(), packed.flags, long.clone())]);
    for (i, (stored, flags, value)) in values.enumerate() {
        let key = format!("copied-{i}");
        client(servers[1].address(), &[]).set(key.as_bytes(), &stored, flags, 0).unwrap();
        let queue = Queue::new().unwrap();
        let answers = fetched(&queue, &both, std::slice::from_ref(&key), &mut [0; 10_000]);
        assert!(answers[0].status == Status::Ok && answers[0].value == value, "{key}");
        let first = client(servers[0].address(), &[]);
        let copy = (0..2000).find_map(|_| {
            queue.fetch(&mut Vec::new(), 1, 0).unwrap();
            thread::sleep(Duration::from_millis(5));
            first.get(key.as_bytes()).unwrap()
        });
        let copy = copy.expect("it is copied");
        assert_eq!((&copy.value[..], copy.flags), (&stored[..], flags), "{key}");
    }
}

/// What was called, and on which thread.
type Calls = Arc<Mutex<Vec<(String, ThreadId)>>>;
type Watch = Box<dyn Fn(&str) + Send + Sync>;

/// A compressor that tells when it is called, and by whom; a value becomes its first byte and its length.
struct Watched {
    threads: Calls,
    meanwhile: Watch,
}

impl Watched {
    fn note(&self, what: &str) {
        self.threads.lock().unwrap().push((what.to_string(), thread::current().id()));
        (self.meanwhile)(what);
    }
}

impl Compressor for Watched {
    fn compress(&self, value: &[u8], _level: u32, output: &mut Output) -> bool {
        self.note("compress");
        output.write(&[value[0]]) && output.write(value.len().to_string().as_bytes())
    }

    fn decompress(&self, packed: &[u8], output: &mut Output) -> bool {
        self.note("decompress");
        let len = std::str::from_utf8(&packed[1..]).unwrap().parse().unwrap();
        output.write(&vec![packed[0]; len])
    }
}

fn watched(server: &Memcached, meanwhile: Watch) -> (Client, Calls) {
    let mut options = Options::new();
    options.add_server(server.address(), "", 1).unwrap();
    for (name, value) in [("timeout_ms", "20000"), ("connections", "1"), ("codec", "pymemcache")] {
        options.set(name, value).unwrap();
    }
    let threads = Arc::new(Mutex::new(Vec::new()));
    options.set_compressor(Watched { threads: threads.clone(), meanwhile });
    (Client::new(options).unwrap(), threads)
}

#[test]
fn compressors_run_on_the_callers_thread_while_others_go_on() {
    let server = Memcached::tcp(&[]);
    // While one is inside the compressor, another thread gets answers over the only connection.
    let (jobs, work) = mpsc::channel::<mpsc::Sender<bool>>();
    let meanwhile = move |_: &str| {
        let (done, answer) = mpsc::channel();
        jobs.send(done).unwrap();
        assert!(answer.recv_timeout(Duration::from_secs(10)).unwrap(), "another caller had to wait");
    };
    let (client, threads) = watched(&server, Box::new(meanwhile));
    let other = client.clone();
    let helper = thread::spawn(move || {
        while let Ok(done) = work.recv_timeout(Duration::from_secs(10)) {
            done.send(other.version().is_ok()).unwrap();
        }
        drop(other);
    });
    let value = [b'v'; 5000];
    execute(&client, &[typed("k", &value, ValueType::Text)]);
    assert_eq!(client.get(b"k").unwrap().unwrap().value, value);
    assert_eq!(client.get_many(&[b"k", b"k"]).unwrap().len(), 2);
    let me = thread::current().id();
    let expected = ["compress", "decompress", "decompress", "decompress"].map(|what| (what.to_string(), me));
    assert_eq!(*threads.lock().unwrap(), expected);
    drop(client);
    drop(helper);
}

#[test]
fn compressors_of_a_queue_run_with_its_lock_free() {
    let server = Memcached::tcp(&[]);
    let (queue, cancels) = (Arc::new(Queue::new().unwrap()), Arc::new(AtomicUsize::new(0)));
    let meanwhile = {
        let (queue, cancels) = (queue.clone(), cancels.clone());
        // With the lock held this would wait for itself.
        move |_: &str| {
            assert!(!queue.cancel(999).unwrap());
            cancels.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (client, threads) = watched(&server, Box::new(meanwhile));
    let value = [b'q'; 5000];
    assert_eq!(queue.submit(&client, [(1, typed("k", &value, ValueType::Text)), (2, Operation::get(b"k"))]).0, 2);
    let fetching = {
        let queue = queue.clone();
        thread::spawn(move || (fetch_all(&queue, &mut [0; 6000]), thread::current().id()))
    };
    let (answers, thread) = fetching.join().unwrap();
    assert_eq!((answers.len(), answers[1].value.as_slice()), (2, &value[..]));
    assert_eq!(cancels.load(Ordering::Relaxed), 2);
    let expected = [("compress".to_string(), thread::current().id()), ("decompress".to_string(), thread)];
    assert_eq!(*threads.lock().unwrap(), expected);
}

#[test]
fn clients_of_several_servers_code_the_same() {
    let servers = [Memcached::tcp(&[]), Memcached::tcp(&[])];
    let of_both = |mode: &str| {
        let mut options = Options::new();
        servers.iter().for_each(|server| options.add_server(server.address(), "", 1).unwrap());
        for (name, value) in [("timeout_ms", "20000"), ("codec", "bmemcached"), ("mode", mode)] {
            options.set(name, value).unwrap();
        }
        Client::new(options).unwrap()
    };
    let single = client(servers[1].address(), &[("codec", "bmemcached")]);
    let fallback = Client::new_fallback(&[client(servers[0].address(), &[("codec", "bmemcached")]), single]).unwrap();
    for (what, client) in [("hashed", of_both("hashed")), ("replicated", of_both("replicated")), ("fallback", fallback)]
    {
        let values: Vec<Vec<u8>> = (0..40).map(|number| text(number * 500)).collect();
        let keys: Vec<String> = (0..40).map(|number| format!("{what}-{number}")).collect();
        let pairs = || keys.iter().zip(&values);
        let writes: Vec<Operation<'_>> = pairs().map(|(key, value)| typed(key, value, ValueType::Text)).collect();
        assert!(execute(&client, &writes).first_error().is_none(), "{what}");
        let reads: Vec<Operation<'_>> = keys.iter().map(|key| Operation::get(key.as_bytes())).collect();
        let answers = execute(&client, &reads);
        for (answer, value) in answers.iter().zip(&values) {
            assert!(answer.status == Status::Ok && bytes(&answer.value) == value, "{what}");
            assert_eq!((answer.value_type, answer.flags == 8), (ValueType::Text.code(), value.len() > 128), "{what}");
        }
        let queue = Queue::new().unwrap();
        assert_eq!(queue.submit(&client, (0..).zip(reads.iter().copied())).0, reads.len(), "{what}");
        for answer in fetch_all(&queue, &mut [0; 30_000]) {
            assert!(answer.status == Status::Ok && answer.value == values[answer.tag as usize], "{what}");
            assert_eq!(answer.value_type, ValueType::Text.code(), "{what}");
        }
    }
}
