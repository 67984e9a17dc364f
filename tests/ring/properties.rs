//! What holds for every ring, whichever client it matches.

use bmemc::ring::{Ring, RingKind, RingServer, RingSettings, SERVERS_MAX};
use bmemc::Secret;

fn ring(kind: RingKind, names: &[String]) -> Ring {
    let servers: Vec<RingServer> = names.iter().map(|name| RingServer::new(name)).collect();
    Ring::new(kind, &servers, &RingSettings::default()).unwrap()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("10.0.{}.{}:11211", index / 250, index % 250)).collect()
}

fn keys(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|index| format!("user:{index}:{:x}", index.wrapping_mul(0x9e37_79b9)))
}

/// The name of each key's server.
fn owners<'a>(ring: &Ring, names: &'a [String], count: usize) -> Vec<&'a str> {
    keys(count).map(|key| names[ring.get(key.as_bytes()).unwrap()].as_str()).collect()
}

#[test]
fn one_server_less_or_more_moves_its_share_at_most() {
    use RingKind::*;
    const KEYS: usize = 4_000;
    for kind in RingKind::ALL.into_iter().filter(|kind| kind.is_consistent()) {
        // libmemcached's float arithmetic gives a server 156 points instead of 160 at some numbers of servers, so that
        // points of servers that stay come and go.
        let rounds = if matches!(kind, Ketama | KetamaSpy | Twemproxy) { KEYS / 30 } else { 0 };
        for count in [2, 3, 10, 50] {
            let all = names(count);
            let mut fewer = all.clone();
            // A ring that goes by place stays consistent at its end only.
            let gone = fewer.remove(if kind.goes_by_place() { count - 1 } else { count / 2 });
            let before = owners(&ring(kind, &all), &all, KEYS);
            let after = owners(&ring(kind, &fewer), &fewer, KEYS);
            let moved = before.iter().zip(&after).filter(|(was, is)| was != is).count();
            let others = before.iter().zip(&after).filter(|(was, is)| was != is && **was != gone).count();
            assert!(others <= rounds, "{kind:?}: {others} keys of {count} servers that stay move");
            // Points fall unevenly; libmemcached's default key hash spreads the points of its 100 worse than MD5 does.
            let share = KEYS / count;
            let most = share + share / 4 + 40 + rounds + if kind == KetamaUnweighted { share / 2 } else { 0 };
            assert!(moved <= most, "{kind:?}: 1 of {count} less moves {moved} of {KEYS} keys, {most} at most");
            assert!(moved >= share / 3, "{kind:?}: 1 of {count} less moves {moved} of {KEYS} keys only");
        }
    }
}

#[test]
fn weights_are_honoured() {
    const KEYS: usize = 8_000;
    let weights = [1, 2, 3, 10];
    for kind in RingKind::ALL.into_iter().filter(|kind| kind.has_weights()) {
        let servers: Vec<RingServer> =
            names(4).iter().zip(weights).map(|(name, weight)| RingServer { weight, ..RingServer::new(name) }).collect();
        let ring = Ring::new(kind, &servers, &RingSettings::default()).unwrap();
        let mut counts = [0usize; 4];
        keys(KEYS).for_each(|key| counts[ring.get(key.as_bytes()).unwrap()] += 1);
        for (count, weight) in counts.into_iter().zip(weights) {
            let (got, due) = (count as f64 / KEYS as f64, f64::from(weight) / 16.0);
            assert!((got - due).abs() < 0.35 * due, "{kind:?}: weight {weight} has {got:.3} of the keys, due {due:.3}");
        }
    }
}

#[test]
fn no_server_one_server_and_very_many() {
    for kind in RingKind::ALL {
        let none = ring(kind, &[]);
        assert_eq!((none.get(b"key"), none.successors(b"key").count(), none.is_empty()), (None, 0, true), "{kind:?}");
        let one = ring(kind, &names(1));
        assert_eq!((one.get(b"key"), one.successors(b"key").collect::<Vec<_>>()), (Some(0), vec![0]), "{kind:?}");
        let many = ring(kind, &names(1000));
        let mut used = vec![false; 1000];
        keys(8_000).for_each(|key| used[many.get(key.as_bytes()).unwrap()] = true);
        let idle = used.iter().filter(|used| !**used).count();
        assert!(idle < 300, "{kind:?}: {idle} of 1000 servers have none of 8,000 keys");
    }
}

#[test]
fn keys_of_any_length_and_any_bytes_have_a_server() {
    let every_byte: Vec<u8> = (0..=255).collect();
    for kind in RingKind::ALL {
        let ring = ring(kind, &names(7));
        for len in (0..400).chain([4096, 100_000]) {
            let key: Vec<u8> = every_byte.iter().cycle().take(len).copied().collect();
            assert!(ring.get(&key).unwrap() < 7, "{kind:?} {len}");
        }
    }
}

#[test]
fn successors_begin_with_the_owner_and_leave_nobody_out() {
    for kind in RingKind::ALL {
        let all = names(12);
        let ring = ring(kind, &all);
        for key in keys(200) {
            let mut order: Vec<usize> = ring.successors(key.as_bytes()).collect();
            assert_eq!(Some(order[0]), ring.get(key.as_bytes()), "{kind:?}");
            order.sort_unstable();
            order.dedup();
            assert_eq!(order, (0..12).collect::<Vec<_>>(), "{kind:?}");
        }
    }
}

/// On a consistent ring the second choice is who has the key when the first one is gone.
#[test]
fn the_second_choice_is_the_owner_without_the_first() {
    use RingKind::*;
    let kinds = [Rendezvous, Ketama, KetamaUnweighted, KetamaSpy, Twemproxy, Bmemcached, McrouterRendezvous];
    for kind in kinds {
        let all = names(8);
        let whole = ring(kind, &all);
        for key in keys(300) {
            let mut order = whole.successors(key.as_bytes());
            let first = order.next().unwrap();
            let second = order.find(|server| *server != first).unwrap();
            let mut fewer = all.clone();
            fewer.remove(first);
            let owner = ring(kind, &fewer).get(key.as_bytes()).unwrap();
            assert_eq!(fewer[owner], all[second], "{kind:?} {key}");
        }
    }
}

#[test]
fn what_a_ring_does_not_take_is_refused_by_name() {
    let refused = |kind, servers: &[RingServer], settings: &RingSettings| {
        Ring::new(kind, servers, settings).unwrap_err().message().to_string()
    };
    let usual = RingSettings::default();
    let twice = ["10.0.0.1", "10.0.0.2", "10.0.0.1"].map(RingServer::new);
    for kind in RingKind::ALL {
        let words = refused(kind, &twice, &usual);
        assert!(words.contains("have one name") && words.contains("10.0.0.1"), "{kind:?}: {words}");
    }
    let credentials = Some(("user".to_string(), Secret::new("hunter2")));
    let words = refused(RingKind::Bmemcached, &twice, &RingSettings { credentials, ..usual.clone() });
    assert!(!words.contains("hunter2"), "{words}");
    // The same, written in two ways: the ring gives both one name.
    let words = refused(RingKind::Ketama, &["10.0.0.1", "10.0.0.1:11211"].map(RingServer::new), &usual);
    assert!(words.contains("servers \"10.0.0.1\" and \"10.0.0.1:11211\" have one name"), "{words}");
    let heavy = [RingServer { weight: 2, ..RingServer::new("10.0.0.1") }];
    let words = refused(RingKind::Jump, &heavy, &usual);
    assert!(words.contains("10.0.0.1") && words.contains("jump") && words.contains("no weights"), "{words}");
    for weight in [0, 1_000_001] {
        let wrong = [RingServer { weight, ..RingServer::new("10.0.0.1") }];
        assert!(refused(RingKind::Ketama, &wrong, &usual).contains("from 1 to 1000000"));
    }
    let nameless = [RingServer::new("")];
    assert!(refused(RingKind::Ketama, &nameless, &usual).contains("without a name"));
    let hashed = RingSettings { key_hash: bmemc::ring::KeyHash::parse("crc"), ..usual.clone() };
    let words = refused(RingKind::Dalli, &[], &hashed);
    assert!(words.contains("key_hash") && words.contains("\"crc\"") && words.contains("dalli"), "{words}");
    let many: Vec<RingServer> = names(SERVERS_MAX + 1).iter().map(|name| RingServer::new(name)).collect();
    assert!(refused(RingKind::Jump, &many, &usual).contains("10001 servers"));
}

#[test]
fn a_hash_tag_keeps_keys_together() {
    let servers: Vec<RingServer> = names(9).iter().map(|name| RingServer::new(name)).collect();
    let settings = RingSettings { hash_tag: bmemc::ring::HashTag::parse("{}"), ..RingSettings::default() };
    for kind in RingKind::ALL {
        let (tagged, plain) = (Ring::new(kind, &servers, &settings).unwrap(), ring(kind, &names(9)));
        for key in keys(50) {
            let (one, two) = (format!("a:{{{key}}}:1"), format!("{{{key}}}:2"));
            let owner = plain.get(key.as_bytes());
            assert_eq!([tagged.get(one.as_bytes()), tagged.get(two.as_bytes())], [owner; 2], "{kind:?}");
            assert_eq!(tagged.successors(one.as_bytes()).next(), owner, "{kind:?}");
        }
    }
}
