//! `profile=bmemcached` and `profile=pymemcache`: every default is that of the two Python clients, and what follows from it.

mod common;

use bmemc::{Profile, Status, TABLE};
use common::fleet::{client, servers, Way, WAYS};

/// What the constructor of bmemcached's Client has, and what its calls have as defaults, as the options say it.
const BMEMCACHED: [(&str, &str); 21] = [
    ("protocol", "binary"),
    // socket_timeout=3, for connecting too
    ("timeout_ms", "3000"),
    ("connect_timeout_ms", "3000"),
    // 5 seconds over TCP; none for Unix sockets: tests/connecting.rs
    ("reconnect_delay_ms", "5000"),
    // servers: all are written to, the first that has it is read; DistributedClient's ring
    ("mode", "replicated"),
    ("distribution", "bmemcached"),
    ("failover", "none"),
    // username=None, password=None
    ("username", ""),
    ("password", ""),
    // compression=None: zlib; over 128 bytes, which is the codec's
    ("codec", "bmemcached"),
    ("compression", "true"),
    ("compress_threshold", "0"),
    // incr and decr: default=0, time=1000000
    ("counter_create", "true"),
    ("counter_initial", "0"),
    ("counter_ttl", "1000000"),
    // a failed server is a miss, and there is no noreply
    ("failure_is_miss", "true"),
    ("no_reply", "false"),
    // none of its own: the system's
    ("no_delay", "false"),
    ("keepalive_s", "0"),
    ("connections_idle_ms", "0"),
    ("tls", "false"),
];

/// The same of pymemcache's Client, PooledClient and HashClient.
const PYMEMCACHE: [(&str, &str); 21] = [
    ("protocol", "text"),
    // timeout=None, connect_timeout=None: none; a day is the longest there is here
    ("timeout_ms", "86400000"),
    ("connect_timeout_ms", "86400000"),
    ("reconnect_delay_ms", "0"),
    ("no_delay", "false"),
    // ignore_exc=False
    ("failure_is_miss", "false"),
    // socket_keepalive=None; KeepaliveOpts(idle=1, intvl=1, cnt=5)
    ("keepalive_s", "0"),
    ("keepalive_interval_s", "1"),
    ("keepalive_count", "5"),
    ("key_prefix", ""),
    // default_noreply=True, but incr, decr and cas answer
    ("no_reply", "true"),
    // allow_unicode_keys=False, encoding='ascii'
    ("key_bytes", "ascii"),
    ("tls", "false"),
    // pool_idle_timeout=0
    ("connections_idle_ms", "0"),
    // hasher=RendezvousHash, retry_attempts=2, retry_timeout=1, dead_timeout=60
    ("distribution", "rendezvous"),
    ("failover", "pymemcache"),
    ("retry_attempts", "2"),
    ("retry_timeout_ms", "1000"),
    ("dead_timeout_ms", "60000"),
    // incr and decr create nothing; nothing is compressed
    ("counter_create", "false"),
    ("compression", "false"),
];

#[test]
fn every_default_is_that_of_the_python_client() {
    for (profile, expected) in [(Profile::Bmemcached, BMEMCACHED), (Profile::Pymemcache, PYMEMCACHE)] {
        for (name, value) in expected {
            let spec = TABLE.iter().find(|spec| spec.name == name).unwrap_or_else(|| panic!("no option {name}"));
            assert_eq!(spec.of_profile(profile), value, "{profile:?}: {name}");
        }
    }
}

#[test]
fn with_bmemcacheds_every_server_has_everything_and_the_first_that_has_it_is_read() {
    let servers = servers(2);
    let both = client(&servers, &[("profile", "bmemcached")]);
    both.set(b"k", b"v", 0, 60).unwrap();
    let each = [client(&servers[..1], &[]), client(&servers[1..], &[])];
    for one in &each {
        // bytes are flag 16 there
        assert_eq!(one.get(b"k").unwrap().map(|item| (item.value, item.flags)), Some((b"v".to_vec(), 16)));
    }
    assert!(each[0].delete(b"k").unwrap());
    assert_eq!(both.get(b"k").unwrap().unwrap().value, b"v");
    // incr makes what is missing, with its default and not with the delta.
    let counter = bmemc::Operation { delta: 5, ..bmemc::Operation::new(bmemc::Command::Increment, b"n") };
    for way in WAYS {
        let answer = way.one(&both, bmemc::Operation { key: format!("{way:?}").as_bytes(), ..counter });
        assert_eq!((answer.status, answer.number), (Status::Ok, 0), "{way:?}");
    }
    // Where no server is, reads are misses and writes are not done.
    let address = common::Memcached::tcp(&[]).address().to_string();
    let gone = common::fleet::client_of([address.as_str()], &[("profile", "bmemcached")]);
    assert_eq!(gone.get(b"k").unwrap(), None);
    assert_eq!(gone.set(b"k", b"v", 0, 0).unwrap_err().status(), Status::Connection);
}

/// bmemcached makes 0xFFFFFFFE of it, the year 2106: docs/seeds.md says why that is not so here.
#[test]
fn a_negative_ttl_is_over_at_once_in_every_profile() {
    let servers = servers(1);
    let meta = client(&servers, &[("protocol", "meta")]);
    for profile in ["none", "bmemcached", "pymemcache"] {
        let one = client(&servers, &[("profile", profile), ("no_reply", "false")]);
        for (ttl, lives) in [(-1, false), (i64::MIN, false), (0, true), (0xffff_fffe, true)] {
            for (number, way) in WAYS.into_iter().enumerate() {
                let key = format!("{profile}.{ttl}.{number}");
                let set = bmemc::Operation::set(key.as_bytes(), b"v", 0);
                assert_eq!(way.one(&one, bmemc::Operation { ttl, ..set }).status, Status::Ok, "{key}");
                assert_eq!(meta.get(key.as_bytes()).unwrap().is_some(), lives, "{key}");
                // Its counters too, which are made where there is none.
                let incr = bmemc::Operation { ttl, ..bmemc::Operation::new(bmemc::Command::Increment, key.as_bytes()) };
                if profile == "bmemcached" {
                    one.delete(key.as_bytes()).unwrap();
                    let create = bmemc::Operation { op_flags: bmemc::op_flags::CREATE, ..incr };
                    assert_eq!(way.one(&one, create).status, Status::Ok, "{key}");
                    assert_eq!(meta.get(key.as_bytes()).unwrap().is_some(), lives, "{key}: a counter");
                }
            }
        }
    }
}

#[test]
fn with_pymemcaches_writes_are_not_answered_and_failures_are_none() {
    let servers = servers(2);
    let hashed = client(&servers, &[("profile", "pymemcache")]);
    for number in 0..20 {
        hashed.set(format!("k{number}").as_bytes(), b"v", 0, 60).unwrap();
    }
    // Each key is on one server, as RendezvousHash says.
    let held = |index: usize| {
        let one = client(&servers[index..=index], &[]);
        (0..20).filter(|number| one.get(format!("k{number}").as_bytes()).unwrap().is_some()).count()
    };
    let all = (0..500).find(|_| held(0) + held(1) == 20);
    assert!(all.is_some() && held(0) > 0 && held(1) > 0, "{} {}", held(0), held(1));
    // Nobody is told that there was nothing to delete, but incr answers.
    assert!(hashed.delete(b"none").unwrap());
    assert_eq!(hashed.increment(b"none", 1).unwrap(), None);
    let one = Way::Blocking.one(&hashed, bmemc::Operation::get(b"none"));
    assert_eq!(one.status, Status::NotFound);
}
