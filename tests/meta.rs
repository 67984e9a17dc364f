//! What meta alone can do, beyond the rows of tests/vectors/commands.txt: against memcached and the embedded server.

mod common;

use bmemc::{bits, Answers, Command, Operation, Queue};
use common::{client, Memcached};

/// Time left, time since the last read, read before, size: with a get and with a meta command, by a call and by a queue.
#[test]
fn what_meta_tells_of_an_item() {
    let memcached = Memcached::tcp(&[]);
    let embedded = bmemc::server::Server::start(bmemc::server::Config::default()).unwrap();
    for address in [memcached.address(), embedded.address()] {
        let client = client(address, &[("protocol", "meta")]);
        let keys = ["told.get.call", "told.get.queue", "told.meta.call", "told.meta.queue"];
        keys.iter().for_each(|key| client.set(key.as_bytes(), b"value", 0, 100).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(2200));
        for key in keys {
            let operation = match key.contains("get") {
                true => Operation { meta_flags: b"t l h s", ..Operation::get(key.as_bytes()) },
                false => Operation { meta_flags: b"mg v t l h s", ..Operation::new(Command::Meta, key.as_bytes()) },
            };
            let (answers, queue) = (&mut Answers::new(1), Queue::new().unwrap());
            let mut ask = || match key.ends_with("call") {
                true => {
                    *answers = Answers::new(1);
                    client.execute(&[operation], answers).unwrap();
                    let answer = answers.get(0).unwrap();
                    (answer.ttl, answer.last_access, answer.fetched, answer.size, answer.value.bytes().to_vec())
                }
                false => {
                    let mut fetched = Vec::new();
                    queue.submit(&client, [(1, operation)]).1.unwrap();
                    queue.fetch(&mut fetched, 1, -1).unwrap();
                    let answer = fetched.remove(0);
                    (answer.ttl, answer.last_access, answer.fetched, answer.size, answer.value)
                }
            };
            let (ttl, last_access, fetched, size, value) = ask();
            let what = format!("{address} {key}: {ttl} {last_access} {fetched} {size}");
            assert!((80..99).contains(&ttl) && (1..20).contains(&last_access), "{what}");
            assert!(!fetched && size == 5 && value == b"value", "{what}");
            let (_, _, again, ..) = ask();
            assert!(again, "{what}: it was read");
        }
    }
}

/// What a client is told when many ask at once for an item that has to be made anew.
#[test]
fn one_of_many_wins_the_right_to_refill() {
    let memcached = Memcached::tcp(&[]);
    let embedded = bmemc::server::Server::start(bmemc::server::Config::default()).unwrap();
    for address in [memcached.address(), embedded.address()] {
        for (round, before) in ["", "invalidate"].iter().enumerate() {
            let key = format!("wanted{round}");
            let helper = client(address, &[("protocol", "meta")]);
            if !before.is_empty() {
                helper.set(key.as_bytes(), b"old", 0, 0).unwrap();
                let invalidate = Operation { meta_flags: b"I T30", ..Operation::delete(key.as_bytes()) };
                helper.execute(&[invalidate], &mut Answers::new(1)).unwrap();
            }
            let ask = |_| {
                let client = client(address, &[("protocol", "meta"), ("connections", "1")]);
                let mut answers = Answers::new(1);
                let get = Operation { meta_flags: b"N30", ..Operation::get(key.as_bytes()) };
                client.execute(&[get], &mut answers).unwrap();
                let answer = answers.get(0).unwrap();
                (answer.bits, answer.value.bytes().to_vec())
            };
            let answers: Vec<(u32, Vec<u8>)> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..30).map(|number| scope.spawn(move || ask(number))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let with = |bit: u32| answers.iter().filter(|(bits, _)| bits & bit != 0).count();
            assert_eq!((with(bits::WIN), with(bits::WON_BY_OTHER)), (1, 29), "{address} {before}");
            assert_eq!(with(bits::STALE), if before.is_empty() { 0 } else { 30 }, "{address} {before}");
            helper.set(key.as_bytes(), b"new", 0, 0).unwrap();
            let after = ask(0);
            assert_eq!(after, (bits::SENT, b"new".to_vec()), "{address} {before}");
        }
    }
}
