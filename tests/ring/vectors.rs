//! What other clients choose, as they chose it themselves: tests/vectors/rings.json.

use bmemc::ring::{Ring, RingKind, RingServer, RingSettings};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/rings.json")).unwrap()
}

fn numbers(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect()
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_string()).collect()
}

/// The ring `kind` of the servers of the file, with their weights or all of weight 1.
fn ring(file: &Value, kind: RingKind, weighted: bool, settings: &RingSettings) -> Ring {
    let weights = numbers(&file["weights"]);
    let servers: Vec<RingServer> = words(&file["servers"])
        .iter()
        .zip(weights)
        .map(|(address, weight)| RingServer {
            weight: if weighted { weight as u32 } else { 1 },
            ..RingServer::new(address)
        })
        .collect();
    Ring::new(kind, &servers, settings).unwrap()
}

#[test]
fn every_ring_chooses_as_its_client_does() {
    let file = vectors();
    let usual = RingSettings::default();
    let cases = [
        ("pymemcache_rendezvous", RingKind::Rendezvous, false, usual.clone()),
        ("libmemcached_ketama_weighted", RingKind::Ketama, true, usual.clone()),
        ("libmemcached_ketama_weighted_equal", RingKind::Ketama, false, usual.clone()),
    ];
    for (name, kind, weighted, settings) in cases {
        let ring = ring(&file, kind, weighted, &settings);
        let chosen: Vec<u64> =
            words(&file["keys"]).iter().map(|key| ring.get(key.as_bytes()).unwrap() as u64).collect();
        assert_eq!(chosen, numbers(&file["ring"][name]), "{name}");
    }
}
