//! What other clients choose now: tests/vectors/peers.json, which tests/vectors/generate makes by asking them.

use bmemc::ring::{Ring, RingServer, RingSettings};
use bmemc::{Options, Secret};
use serde_json::Value;

fn words(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_string()).collect()
}

/// The options of a case, written as `name=value name=value`, and whether it asks for successors.
fn options(case: &Value) -> (Options, RingSettings, bool) {
    let mut options = Options::new();
    let (mut user, mut password, mut successors) = (None, None, false);
    for word in case["options"].as_str().unwrap().split(' ') {
        match word.split_once('=') {
            Some(("username", name)) => user = Some(name.to_string()),
            Some(("password", secret)) => password = Some(Secret::new(secret)),
            Some((name, value)) => options.set(name, value).unwrap(),
            None => successors = word == "successors",
        }
    }
    let settings = RingSettings { credentials: user.zip(password), ..options.ring.clone() };
    (options, settings, successors)
}

fn servers(file: &Value, case: &Value) -> Vec<RingServer> {
    let list = &file["servers"][case["servers"].as_str().unwrap()];
    let weights = list["weights"].as_array().unwrap();
    let named = case["named"].as_bool().unwrap_or(false);
    let server = |(address, weight): (&String, &Value)| RingServer {
        name: if named { address.clone() } else { String::new() },
        address: address.clone(),
        weight: weight.as_u64().unwrap() as u32,
    };
    words(&list["addresses"]).iter().zip(weights).map(server).collect()
}

/// libmemcached's modulo does not look at weights, as memcached's other clients without weights do not.
fn without_weights(mut servers: Vec<RingServer>) -> Vec<RingServer> {
    servers.iter_mut().for_each(|server| server.weight = 1);
    servers
}

/// The first three: dalli's are different servers, spymemcached's may repeat themselves.
fn first_three(ring: &Ring, key: &str, different: bool) -> Vec<i64> {
    let mut found: Vec<i64> = Vec::new();
    for server in ring.successors(key.as_bytes()) {
        let server = server as i64;
        if found.len() < 3 && !(different && found.contains(&server)) {
            found.push(server);
        }
    }
    found
}

#[test]
fn every_ring_chooses_as_its_client_does_now() {
    let file: Value = serde_json::from_str(include_str!("../vectors/peers.json")).unwrap();
    let keys = words(&file["keys"]);
    let (mut rings, mut hashes, mut wrong) = (0, 0, Vec::new());
    for case in file["cases"].as_array().unwrap() {
        let what = format!("{} {} {}", case["peer"], case["options"], case["servers"]);
        let (options, settings, successors) = options(case);
        if !case["options"].as_str().unwrap().contains("distribution") {
            let chosen: Vec<u64> =
                case["chosen"].as_array().unwrap().iter().map(|hash| hash.as_u64().unwrap()).collect();
            let hash = settings.key_hash.unwrap();
            hashes += 1;
            if keys.iter().map(|key| hash.wide(key.as_bytes())).collect::<Vec<_>>() != chosen {
                wrong.push(what);
            }
            continue;
        }
        let chosen: Vec<i64> = case["chosen"].as_array().unwrap().iter().map(|index| index.as_i64().unwrap()).collect();
        let mut servers = servers(&file, case);
        if case["peer"] == "libmemcached" && options.distribution.name() == "modulo" {
            servers = without_weights(servers);
        }
        let ring = Ring::new(options.distribution, &servers, &settings).unwrap();
        rings += 1;
        let ours: Vec<i64> = if successors {
            keys.iter().flat_map(|key| first_three(&ring, key, case["peer"] == "dalli")).collect()
        } else {
            keys.iter().map(|key| ring.get(key.as_bytes()).unwrap() as i64).collect()
        };
        let differ = ours.iter().zip(&chosen).filter(|(ours, theirs)| ours != theirs && **theirs >= 0).count();
        if differ > 0 || ours.len() != chosen.len() {
            wrong.push(format!("{what}: {differ} of {}", chosen.len()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!((rings, hashes), (324, 12), "rings and key hashes that were compared");
}
