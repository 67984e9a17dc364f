//! What mcrouter's own tests expect of its hashes: counts over thousands of keys.

use bmemc::ring::{Ring, RingKind, RingServer, RingSettings};

/// Servers as those tests name them, with weights in thousandths of mcrouter's 1.0.
fn ring(kind: RingKind, weights: &[u32]) -> Ring {
    let name = |index: usize| format!("xxx.{index}.yy");
    let servers: Vec<RingServer> = weights
        .iter()
        .enumerate()
        .map(|(index, weight)| RingServer { name: name(index), address: String::new(), weight: *weight })
        .collect();
    Ring::new(kind, &servers, &RingSettings { weight_unit: 1000, ..RingSettings::default() }).unwrap()
}

fn counts(ring: &Ring, prefix: &str, keys: usize) -> Vec<usize> {
    let mut counts = vec![0; ring.len()];
    (0..keys).for_each(|key| counts[ring.get(format!("{prefix}{key}").as_bytes()).unwrap()] += 1);
    counts
}

#[test]
fn ch3_counts() {
    assert_eq!(counts(&ring(RingKind::Ch3, &[1; 3]), "", 1000), [307, 342, 351]);
    let ten = [995, 955, 1046, 968, 1032, 972, 1016, 1038, 1010, 968];
    assert_eq!(counts(&ring(RingKind::Ch3, &[1; 10]), "", 10_000), ten);
}

#[test]
fn weighted_ch3_counts() {
    assert_eq!(counts(&ring(RingKind::WeightedCh3, &[1000; 3]), "", 1000), [307, 342, 351]);
    assert_eq!(counts(&ring(RingKind::WeightedCh3, &[1000, 1000, 700]), "", 1000), [341, 371, 288]);
    let weights = [429, 541, 117, 998, 283, 65, 109, 42, 676, 943];
    let ten = [1016, 1252, 288, 2354, 661, 195, 247, 122, 1668, 2197];
    assert_eq!(counts(&ring(RingKind::WeightedCh3, &weights), "", 10_000), ten);
}

#[test]
fn rendezvous_counts() {
    let every_byte: Vec<u8> = (0..=255u8).map(|byte| byte ^ 0x80).collect();
    let chosen = |ring: &Ring| [every_byte.as_slice(), b"sample", b"", b"mykey"].map(|key| ring.get(key).unwrap());
    assert_eq!(chosen(&ring(RingKind::McrouterRendezvous, &[1; 343])), [183, 45, 291, 132]);
    assert_eq!(counts(&ring(RingKind::McrouterRendezvous, &[1; 3]), "mykey:", 1000), [337, 353, 310]);
    assert_eq!(chosen(&ring(RingKind::McrouterWeightedRendezvous, &[1; 343])), [142, 115, 279, 302]);
    let weighted = |weights: &[u32]| counts(&ring(RingKind::McrouterWeightedRendezvous, weights), "mykey:", 10_000);
    assert_eq!(weighted(&[1; 3]), [3409, 3360, 3231]);
    assert_eq!(weighted(&[10, 5, 1]), [6292, 3118, 590]);
    let ten = [1381, 1299, 1283, 1359, 1296, 667, 669, 665, 672, 709];
    assert_eq!(weighted(&[2, 2, 2, 2, 2, 1, 1, 1, 1, 1]), ten);
}
