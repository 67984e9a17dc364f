//! Values of 1 KB and more, encoded and decoded, alone and in whole calls; benches/run-values runs it beside its peers.
//!
//!     values bare LEN COUNT            so many times: flate2 alone, at level 6, into memory of the right size
//!     values coded LEN COUNT           so many times: Coder::encode and Coder::decode
//!     values text LEN                  prints the text that is used
//!     values calls SERVER CODEC LEN SECONDS      set and get, one after the other; prints their microseconds

use bmemc::value::{Codec, Coder, ValueType};
use bmemc::{Answers, Client, Operation, Options};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::hint::black_box;
use std::time::{Duration, Instant};

const LEVEL: u32 = 6;

/// Text that compresses about as text does: words in an order that does not repeat.
fn text(len: usize) -> Vec<u8> {
    let words = ["value", "of", "the", "cache", "that", "a", "client", "reads", "once", "more", "and", "keeps"];
    let mut state = 1u32;
    let mut text = String::with_capacity(len + 16);
    while text.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text += words[(state >> 16) as usize % words.len()];
        text += if (state >> 28) == 0 { "\n" } else { " " };
    }
    text.truncate(len);
    text.into_bytes()
}

fn bare(value: &[u8]) {
    let mut packed = Vec::with_capacity(value.len());
    let mut zlib = Compress::new(Compression::new(LEVEL), true);
    zlib.compress_vec(black_box(value), &mut packed, FlushCompress::Finish).unwrap();
    let mut unpacked = Vec::with_capacity(value.len());
    let mut zlib = Decompress::new(true);
    zlib.decompress_vec(black_box(&packed), &mut unpacked, FlushDecompress::Finish).unwrap();
    assert_eq!(black_box(unpacked).len(), value.len());
}

fn coded(coder: &Coder, value: &[u8]) {
    let encoded = coder.encode(black_box(value), ValueType::Text.code(), 0).unwrap();
    assert_eq!(encoded.flags, 8);
    let decoded = coder.decode(black_box(encoded.value), encoded.flags).unwrap();
    assert_eq!(black_box(decoded.value).len(), value.len());
}

fn client(server: &str, codec: &str) -> Client {
    let mut options = Options::new();
    options.add_server(server, "", 1).unwrap();
    options.set("codec", codec).unwrap();
    Client::new(options).unwrap()
}

fn set(client: &Client, value: &[u8]) {
    let operation = Operation { value_type: ValueType::Text.code(), ..Operation::set(b"bench", value, 0) };
    let mut answers = Answers::new(1);
    client.execute(&[operation], &mut answers).unwrap();
    assert!(answers.first_error().is_none(), "{:?}", answers.first_error());
}

fn get(client: &Client, value: &[u8]) {
    let item = client.get(b"bench").unwrap().unwrap();
    assert_eq!(item.value.len(), value.len());
}

/// Microseconds that a call takes, over so many seconds.
fn timed(time: Duration, call: impl Fn()) -> f64 {
    (0..20).for_each(|_| call());
    let (began, mut count) = (Instant::now(), 0u32);
    while began.elapsed() < time {
        (0..10).for_each(|_| call());
        count += 10;
    }
    began.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["bare", len, count] => {
            let value = text(len.parse().unwrap());
            (0..count.parse().unwrap()).for_each(|_: u32| bare(&value));
        }
        ["coded", len, count] => {
            let (coder, value) = (Coder::new(Codec::Bmemcached), text(len.parse().unwrap()));
            (0..count.parse().unwrap()).for_each(|_: u32| coded(&coder, &value));
        }
        ["text", len] => print!("{}", String::from_utf8(text(len.parse().unwrap())).unwrap()),
        ["calls", server, codec, len, seconds] => {
            let (client, value) = (client(server, codec), text(len.parse().unwrap()));
            let time = Duration::from_secs_f64(seconds.parse().unwrap());
            let set = timed(time, || set(&client, &value));
            println!("{set} {}", timed(time, || get(&client, &value)));
        }
        _ => println!("values: bare LEN COUNT | coded LEN COUNT | text LEN | calls SERVER CODEC LEN SECONDS"),
    }
}
