//! Compressed values that unpack to far more than they are take neither the memory nor the time of what they would unpack
//! to. Alone in its program, since it counts what the process allocates.

mod common;

use bmemc::value::{compress, decompress, Codec, Coder, Format};
use bmemc::{Operation, Queue, Status};
use common::{client, Memcached};
use flate2::{Compress, Compression, FlushCompress};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The system's allocator, with what is allocated now, and the most that was.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: it is the system's allocator; counting changes nothing about what it hands out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most memory that `what` had at a time, more than there was before.
fn peak_of<T>(what: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = what();
    (result, PEAK.load(Relaxed) - before)
}

/// So many MiB of zeros as deflate packs them best, to about a thousandth; it lacks its end. Made of one MiB, many times,
/// which is faster than to pack them all.
fn bomb(mib: usize, format: Format) -> Vec<u8> {
    let (mut zlib, header) = match format {
        Format::Zlib => (Compress::new(Compression::best(), true), 2),
        Format::Gzip => (Compress::new_gzip(Compression::best(), 15), 10),
    };
    let mut packed = Vec::with_capacity(4096);
    // What follows a full flush does not refer to what is before it, and begins with a byte of its own.
    zlib.compress_vec(&vec![0; 1 << 20], &mut packed, FlushCompress::Full).unwrap();
    let piece = packed.split_off(header);
    (0..mib).for_each(|_| packed.extend_from_slice(&piece));
    packed
}

/// All in one test: others would count too.
#[test]
fn a_bomb_ends_early_and_small() {
    let max = 1 << 20;
    for format in [Format::Zlib, Format::Gzip] {
        let bomb = bomb(1024, format);
        assert!(bomb.len() < 1_100_000, "{}", bomb.len());
        // Both a limit of its own and the usual one.
        for max in if format == Format::Zlib { vec![max, 64 << 20] } else { vec![max] } {
            let (result, peak) = peak_of(|| decompress(&bomb, format, max));
            let error = result.unwrap_err();
            assert_eq!(error.status(), Status::Decode);
            assert!(error.message().contains(&format!("more than {max} bytes")), "{error}");
            // A vector that grows is there twice for a moment, and zlib has a window.
            assert!(peak < 2 * max + (1 << 20), "{format:?}: {peak} bytes for a limit of {max}");
        }
    }
    // One of a length that is just allowed is a value.
    let packed = compress(&vec![0; max], Format::Zlib, 9).unwrap();
    assert_eq!(decompress(&packed, Format::Zlib, max).unwrap().len(), max);
    assert_eq!(Coder::new(Codec::Bmemcached).max, 64 << 20);
    through_a_client(&bomb(1024, Format::Zlib), max);
}

/// The same from a server: the client answers DECODE, keeps the connection and its memory.
fn through_a_client(bomb: &[u8], max: usize) {
    let server = Memcached::tcp(&["-I", "4m"]);
    let settings = [("codec", "bmemcached"), ("max_decompressed_bytes", "1048576"), ("connections", "1")];
    let (plain, coded) = (client(server.address(), &[]), client(server.address(), &settings));
    plain.set(b"bomb", bomb, 8, 0).unwrap();
    assert_eq!(coded.get(b"none").unwrap(), None);
    let began = Instant::now();
    let (results, peak) = peak_of(|| {
        let buffer = &mut [0; 100];
        [coded.get(b"bomb").map(|_| ()), coded.get_into(b"bomb", buffer).map(|_| ())]
    });
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.status(), Status::Decode, "{error}");
        assert!(error.message().contains("max_decompressed_bytes"), "{error}");
    }
    assert!(peak < 2 * max + 2 * bomb.len() + (1 << 20), "{peak} bytes");
    assert!(began.elapsed() < Duration::from_secs(20));
    let queue = Queue::new().unwrap();
    let keys = [&b"bomb"[..], b"none"];
    assert_eq!(queue.submit(&coded, keys.map(|key| (key.len() as u64, Operation::get(key)))).0, 2);
    let mut answers = Vec::new();
    while answers.len() < 2 {
        assert!(queue.fetch(&mut answers, 2, 20_000).unwrap() > 0);
    }
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [Status::Decode, Status::NotFound]);
    assert_eq!(coded.counters(None).unwrap().disconnects, 0);
}
