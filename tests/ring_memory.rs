//! A look-up allocates nothing: counted, on a ring of every kind, by an allocator of this test's own.

use bmemc::ring::{HashTag, KeyForm, KeyHash, Ring, RingKind, RingServer, RingSettings};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is the system's; counting touches a number of this thread that needs no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(body: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    body();
    ALLOCATIONS.get() - before
}

#[test]
fn a_lookup_and_its_successors_allocate_nothing() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1u8]))), 1, "the allocator counts");
    let keys: Vec<Vec<u8>> = (1..=250usize).map(|len| (0..len).map(|at| b'!' + (at % 94) as u8).collect()).collect();
    let odd: [&[u8]; 4] = ["日本語".as_bytes(), b"\xff\xfe", b"it's \"\\", b""];
    let mut made = 0;
    for kind in RingKind::ALL {
        let weighted = |index: u32| if kind.has_weights() { index + 1 } else { 1 };
        let servers: Vec<RingServer> = (0..20)
            .map(|index| RingServer { weight: weighted(index), ..RingServer::new(&format!("10.0.0.{index}:11211")) })
            .collect();
        let forms = KeyForm::NAMES.map(|form| {
            let key_form = KeyForm::parse(form).unwrap();
            (format!("keys as {form}"), RingSettings { key_form, ..RingSettings::default() })
        });
        // Those that a ring does not take are left out below.
        let hashes = KeyHash::NAMES.iter().filter_map(|name| Some((*name, KeyHash::parse(name)?)));
        let hashes = hashes.map(|(name, hash)| {
            let hash_tag = HashTag::parse("!}");
            (
                format!("{name} and a hash tag"),
                RingSettings { key_hash: Some(hash), hash_tag, ..RingSettings::default() },
            )
        });
        for (what, settings) in forms.into_iter().chain(hashes) {
            let Ok(ring) = Ring::new(kind, &servers, &settings) else {
                assert!(settings.key_hash.is_some(), "{kind:?}, {what}");
                continue;
            };
            made += 1;
            let count = allocations(|| {
                for key in keys.iter().map(Vec::as_slice).chain(odd) {
                    assert!(ring.get(key).is_some());
                    assert!(ring.successors(key).take(40).all(|server| server < 20));
                }
            });
            assert_eq!(count, 0, "{kind:?}, {what}");
        }
    }
    assert!(made > RingKind::ALL.len() * KeyForm::NAMES.len() + 50, "{made} rings");
}
