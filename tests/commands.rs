//! Every command over every protocol, as tests/vectors/commands.txt has it: against memcached and the embedded server, by
//! execute and by queue.

mod common;

use bmemc::{bits, op_flags, Answer, Answers, Client, Command, Fetched, Operation, Queue, Status, Value};
use common::{client, Memcached};

const TABLE: &str = include_str!("vectors/commands.txt");

/// A line of the table.
struct Row {
    name: &'static str,
    before: Vec<&'static str>,
    operation: &'static str,
    /// Over text, meta and binary.
    expected: [&'static str; 3],
}

impl Row {
    /// Over a protocol, which has this column.
    fn expected(&self, protocol: &str, column: usize) -> &'static str {
        // With auto, plain reads are text, and meta is there for the rest.
        match protocol == "auto" && self.operation == "get k" {
            true => self.expected[0],
            false => self.expected[column],
        }
    }
}

fn rows() -> Vec<Row> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 6, "{line}");
            let same = |at: usize| if cells[at] == "=" { cells[at - 1] } else { cells[at] };
            let binary = if cells[5] == "=" { same(4) } else { cells[5] };
            let before = cells[1].split(';').map(str::trim).filter(|word| !word.is_empty()).collect();
            Row { name: cells[0], before, operation: cells[2], expected: [cells[3], same(4), binary] }
        })
        .collect()
}

/// A word as bytes: "x*5" is five times x, "-" nothing, "_" a space; `k` is the key of the row.
fn bytes(word: &str, key: &str) -> Vec<u8> {
    if let Some((unit, count)) = word.split_once('*') {
        return unit.repeat(count.parse().unwrap()).into_bytes();
    }
    match word {
        "-" => Vec::new(),
        "k" => key.into(),
        _ => {
            let word = word.replace('_', " ").replace("\\r", "\r").replace("\\n", "\n");
            let word = word.replace("get k", &format!("get {key}")).replace("VALUE k", &format!("VALUE {key}"));
            word.into_bytes()
        }
    }
}

/// An operation with the memory that it borrows from.
struct Owned {
    key: Vec<u8>,
    value: Vec<u8>,
    meta: Vec<u8>,
    rest: Operation<'static>,
}

impl Owned {
    fn operation(&self) -> Operation<'_> {
        Operation { key: &self.key, value: &self.value, meta_flags: &self.meta, ..self.rest }
    }
}

fn command(verb: &str) -> Command {
    Command::ALL.into_iter().find(|command| command.name() == verb).unwrap_or_else(|| panic!("no command {verb}"))
}

/// The cas that an item has.
fn cas_of(client: &Client, key: &[u8]) -> u64 {
    client.gets(key).unwrap().expect("an item with a cas").cas
}

/// The operation that `text` describes; `client` looks up what cas the item has.
fn parse(client: &Client, text: &str, key: &str) -> Owned {
    let mut words = text.split_whitespace();
    let rest = Operation::new(command(words.next().unwrap()), b"");
    let mut owned = Owned { key: Vec::new(), value: Vec::new(), meta: Vec::new(), rest };
    let mut place = 0;
    for word in words {
        let operation = &mut owned.rest;
        match word.split_once('=') {
            Some(("ttl", number)) => operation.ttl = number.parse().unwrap(),
            Some(("flags", number)) => operation.flags = number.parse().unwrap(),
            Some(("delta", number)) => operation.delta = number.parse().unwrap(),
            Some(("initial", number)) => operation.initial = number.parse().unwrap(),
            Some(("meta", flags)) => owned.meta = bytes(flags, key),
            Some(("cas", "@")) => operation.cas = cas_of(client, &owned.key),
            Some(("cas", "!")) => operation.cas = cas_of(client, &owned.key) + 1,
            Some(("cas", number)) => operation.cas = number.parse().unwrap(),
            _ if word == "want_cas" => operation.op_flags |= op_flags::WANT_CAS,
            _ if word == "create" => operation.op_flags |= op_flags::CREATE,
            _ => {
                *(if place == 0 { &mut owned.key } else { &mut owned.value }) = bytes(word, key);
                place += 1;
            }
        }
    }
    owned
}

/// What was answered, whichever way.
struct Seen {
    status: Status,
    flags: u32,
    bits: u32,
    cas: u64,
    number: u64,
    ttl: i64,
    size: u32,
    fetched: bool,
    key: Vec<u8>,
    value: Vec<u8>,
    detail: Vec<u8>,
}

fn seen(answer: Answer<'_>) -> Seen {
    let Value::Borrowed(value) = answer.value else { panic!() };
    Seen {
        status: answer.status,
        flags: answer.flags,
        bits: answer.bits,
        cas: answer.cas,
        number: answer.number,
        ttl: answer.ttl,
        size: answer.size,
        fetched: answer.fetched,
        key: answer.key.to_vec(),
        value: value.to_vec(),
        detail: answer.detail.to_vec(),
    }
}

fn seen_by_queue(answer: Fetched) -> Seen {
    Seen {
        status: answer.status,
        flags: answer.flags,
        bits: answer.bits,
        cas: answer.cas,
        number: answer.number,
        ttl: answer.ttl,
        size: answer.size,
        fetched: answer.fetched,
        key: answer.key,
        value: answer.value,
        detail: answer.detail,
    }
}

fn by_execute(client: &Client, operation: &Operation<'_>) -> Seen {
    all_by_execute(client, &[*operation]).remove(0)
}

fn by_queue(client: &Client, operation: &Operation<'_>) -> Seen {
    all_by_queue(client, &[*operation]).remove(0)
}

fn all_by_execute(client: &Client, operations: &[Operation<'_>]) -> Vec<Seen> {
    let mut answers = Answers::new(operations.len());
    client.execute(operations, &mut answers).unwrap();
    answers.iter().map(seen).collect()
}

fn all_by_queue(client: &Client, operations: &[Operation<'_>]) -> Vec<Seen> {
    let queue = Queue::new().unwrap();
    let (mut fetched, mut next) = (Vec::new(), 0);
    while fetched.len() < operations.len() {
        let rest = (next as u64..).zip(operations[next..].iter().copied());
        let (accepted, result) = queue.submit(client, rest);
        next += accepted;
        // So many raw commands and dumps at once are too many.
        assert!(next == operations.len() || result.unwrap_err().status() == Status::Busy);
        assert!(queue.fetch(&mut fetched, operations.len(), -1).unwrap() > 0);
    }
    fetched.sort_by_key(|answer| answer.tag);
    assert!((0..).zip(&fetched).all(|(tag, answer)| answer.tag == tag));
    fetched.into_iter().map(seen_by_queue).collect()
}

fn bits_named(names: &str) -> u32 {
    let bit = |name: &str| match name {
        "WIN" => bits::WIN,
        "STALE" => bits::STALE,
        "WON_BY_OTHER" => bits::WON_BY_OTHER,
        _ => panic!("no bit {name}"),
    };
    names.split(',').map(bit).sum()
}

/// What of `expected` does not hold.
fn wrong(answer: &Seen, expected: &str, key: &str) -> Option<String> {
    let mut words = expected.split_whitespace();
    let status = words.next().unwrap();
    if format!("{:?}", answer.status) != status {
        return Some(format!("{:?} \"{}\"", answer.status, answer.detail.escape_ascii()));
    }
    if answer.status.is_failure() && answer.detail.is_empty() {
        return Some("a failure without words".into());
    }
    let meta_bits = answer.bits & (bits::WIN | bits::STALE | bits::WON_BY_OTHER);
    let fields = [
        ("flags", u64::from(answer.flags)),
        ("cas", answer.cas),
        ("number", answer.number),
        ("ttl", answer.ttl as u64),
        ("size", answer.size.into()),
        ("fetched", answer.fetched.into()),
        ("bits", meta_bits.into()),
    ];
    words.find_map(|word| {
        let (name, wanted) = word.split_once('=').map_or((word, None), |(name, wanted)| (name, Some(wanted)));
        let shown = |bytes: &[u8]| bytes[..bytes.len().min(60)].escape_ascii().to_string();
        let found = match name {
            "value" => Some(&answer.value),
            "key" => Some(&answer.key),
            _ => None,
        };
        if let Some(found) = found {
            let right = wanted.map_or(!found.is_empty(), |wanted| *found == bytes(wanted, key));
            return (!right).then(|| format!("{name} is \"{}\"", shown(found)));
        }
        let number = fields.iter().find(|(field, _)| *field == name).unwrap_or_else(|| panic!("no field {name}")).1;
        let right = match (name, wanted) {
            (_, None) => number != 0,
            ("bits", Some(names)) => number == u64::from(bits_named(names)),
            (_, Some("-1")) => number as i64 == -1,
            (_, Some(wanted)) => number == wanted.parse::<u64>().unwrap(),
        };
        (!right).then(|| format!("{name} is {number}"))
    })
}

/// What is done before a row: an operation, or one of the meta states.
fn prepare(client: &Client, step: &str, key: &str) {
    let text = match step.split(' ').next().unwrap() {
        "vivify" => "get k meta=N30",
        "recache" => "get k meta=R30",
        "invalidate" => "delete k meta=I_T30",
        _ => step,
    };
    let status = by_execute(client, &parse(client, text, key).operation()).status;
    assert!(!status.is_failure(), "{step}: {status:?}");
}

/// A value, its flags and its ttl.
type Held = Option<(Vec<u8>, u32, i64)>;

/// What a key holds, over meta.
fn held(helper: &Client, key: &[u8]) -> Held {
    let text = Operation { meta_flags: b"t", ..Operation::get(key) };
    let seen = by_execute(helper, &text);
    (seen.status == Status::Ok).then_some((seen.value, seen.flags, seen.ttl))
}

/// What of an operation's effect does not hold: what it answered with success is done, and what it refused has changed
/// nothing.
fn undone(operation: &Operation<'_>, answer: &Seen, before: Held, after: Held) -> Option<String> {
    use Command::{Add, Append, Decrement, Delete, FlushAll, GetAndTouch, Increment, Prepend, Replace, Set, Touch};
    let ttl = |ttl: i64| if ttl == 0 { -1 } else { ttl };
    let old = before.clone();
    let expected = match operation.command {
        // Where a new value is too large for it, memcached drops what a set was to replace, and over meta what a replace was.
        Set if answer.status == Status::TooLarge => None,
        Replace if answer.status == Status::TooLarge => return None,
        _ if answer.status != Status::Ok => before,
        _ if !operation.meta_flags.is_empty() => return None,
        Set | Add | Replace => Some((operation.value.to_vec(), operation.flags, ttl(operation.ttl))),
        Append => old.map(|(value, flags, ttl)| ([&value, operation.value].concat(), flags, ttl)),
        Prepend => old.map(|(value, flags, ttl)| ([operation.value, &value].concat(), flags, ttl)),
        Delete => None,
        // Of a number that has become shorter spaces are left.
        Increment | Decrement => {
            let found = after.as_ref().map(|(value, ..)| value.trim_ascii_end().to_vec());
            let number = answer.number.to_string().into_bytes();
            return (found.as_ref() != Some(&number)).then(|| format!("the counter is {found:?}"));
        }
        Touch | GetAndTouch => old.map(|(value, flags, _)| (value, flags, ttl(operation.ttl))),
        FlushAll if operation.ttl <= 0 => None,
        _ => before,
    };
    let near = |one: i64, other: i64| one == other || (one > 0 && other > 0 && (one - other).abs() <= 20);
    let same = match (&expected, &after) {
        (Some(expected), Some(after)) => expected.0 == after.0 && expected.1 == after.1 && near(expected.2, after.2),
        (expected, after) => expected.is_none() && after.is_none(),
    };
    let shown = |held: &Held| {
        held.as_ref()
            .map(|(value, flags, ttl)| format!("{} {flags} {ttl}", value[..value.len().min(60)].escape_ascii()))
    };
    (!same).then(|| format!("then the key holds {:?}, not {:?}", shown(&after), shown(&expected)))
}

/// Runs the table against one server; answers with what is wrong.
fn run_table(address: &str, what: &str) -> Vec<String> {
    let mut failures = Vec::new();
    let helper = client(address, &[("protocol", "meta")]);
    for (protocol, column) in [("text", 0), ("meta", 1), ("binary", 2), ("auto", 1)] {
        let client = client(address, &[("protocol", protocol)]);
        for (number, row) in rows().iter().enumerate() {
            for way in ["execute", "queue"] {
                let key = format!("row{number}.{protocol}.{way}");
                row.before.iter().for_each(|step| prepare(&helper, step, &key));
                let expected = row.expected(protocol, column);
                let owned = parse(&helper, row.operation, &key);
                // Looking would make it read.
                let looks = owned.operation().command != Command::Meta && !row.name.starts_with("get: ");
                let before = looks.then(|| held(&helper, key.as_bytes())).flatten();
                let run = || match way {
                    "execute" => by_execute(&client, &owned.operation()),
                    _ => by_queue(&client, &owned.operation()),
                };
                let mut answer = run();
                // memcached crawls for one client at a time.
                let mut tries = 0..500;
                while answer.detail.starts_with(b"BUSY") && tries.next().is_some() {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                    answer = run();
                }
                if let Some(found) = wrong(&answer, expected, &key) {
                    failures.push(format!("{what}, {protocol}, {way}: {}: {found}, not {expected}", row.name));
                }
                let operation = Operation { key: key.as_bytes(), ..owned.operation() };
                if looks && owned.key == key.as_bytes() || operation.command == Command::FlushAll {
                    if let Some(found) = undone(&operation, &answer, before, held(&helper, key.as_bytes())) {
                        failures.push(format!("{what}, {protocol}, {way}: {}: {found}", row.name));
                    }
                }
            }
        }
    }
    failures
}

#[test]
fn the_table_holds_for_memcached() {
    let server = Memcached::tcp(&[]);
    let failures = run_table(server.address(), "memcached");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_table_holds_for_the_embedded_server() {
    let server = bmemc::server::Server::start(bmemc::server::Config::default()).unwrap();
    let failures = run_table(server.address(), "embedded");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// All rows at once, but for those that would meet: one call, one submit.
fn run_together(address: &str, what: &str) -> Vec<String> {
    let rows: Vec<Row> = rows().into_iter().filter(|row| !row.operation.starts_with("flush_all")).collect();
    let mut failures = Vec::new();
    let helper = client(address, &[("protocol", "meta")]);
    for (protocol, column) in [("text", 0), ("meta", 1), ("binary", 2), ("auto", 1)] {
        let client = client(address, &[("protocol", protocol)]);
        for way in ["execute", "queue"] {
            let keys: Vec<String> = (0..rows.len()).map(|number| format!("all{number}.{protocol}.{way}")).collect();
            for (row, key) in rows.iter().zip(&keys) {
                row.before.iter().for_each(|step| prepare(&helper, step, key));
            }
            let owned: Vec<Owned> =
                rows.iter().zip(&keys).map(|(row, key)| parse(&helper, row.operation, key)).collect();
            let operations: Vec<Operation<'_>> = owned.iter().map(Owned::operation).collect();
            let answers = match way {
                "execute" => all_by_execute(&client, &operations),
                _ => all_by_queue(&client, &operations),
            };
            for ((row, key), answer) in rows.iter().zip(&keys).zip(&answers) {
                // Among others, a plain read of auto's may go either way.
                let either = if row.operation == "get k" && protocol == "auto" { 1 } else { column };
                let expected = row.expected(protocol, column);
                let other = row.expected[either];
                let found = wrong(answer, expected, key).filter(|_| wrong(answer, other, key).is_some());
                // memcached crawls for one client at a time.
                let busy = answer.detail.starts_with(b"BUSY") || answer.status == Status::Busy;
                if let Some(found) = found.filter(|_| !busy) {
                    failures.push(format!("{what}, {protocol}, {way}: {}: {found}, not {expected}", row.name));
                }
            }
        }
    }
    failures
}

#[test]
fn the_table_holds_for_all_rows_in_one_call() {
    let memcached = Memcached::tcp(&[]);
    let embedded = bmemc::server::Server::start(bmemc::server::Config::default()).unwrap();
    let failures = [run_together(memcached.address(), "memcached"), run_together(embedded.address(), "embedded")];
    let failures = failures.concat();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Runs a test over every protocol, against memcached and the embedded server.
fn everywhere(test: impl Fn(&Client, &str)) {
    let memcached = Memcached::tcp(&[]);
    let embedded = bmemc::server::Server::start(bmemc::server::Config::default()).unwrap();
    for address in [memcached.address(), embedded.address()] {
        for protocol in ["auto", "text", "meta", "binary"] {
            test(&client(address, &[("protocol", protocol)]), protocol);
        }
    }
}

#[test]
fn a_method_for_each_command() {
    everywhere(|client, protocol| {
        assert_eq!(client.gets(b"m").unwrap(), None);
        assert!(client.add(b"m", b"one", 3, 60).unwrap() && !client.add(b"m", b"two", 0, 60).unwrap());
        assert!(client.replace(b"m", b"three", 3, 60).unwrap() && !client.replace(b"m-none", b"v", 0, 60).unwrap());
        assert!(client.append(b"m", b">").unwrap() && client.prepend(b"m", b"<").unwrap());
        assert!(!client.append(b"m-none", b"v").unwrap() && !client.prepend(b"m-none", b"v").unwrap());
        let item = client.gets(b"m").unwrap().unwrap();
        assert_eq!((item.value.as_slice(), item.flags), (&b"<three>"[..], 3), "{protocol}");
        assert_eq!(client.cas(b"m", b"v", 3, 60, item.cas + 1).unwrap(), Status::Exists);
        assert_eq!(client.cas(b"m", b"v", 3, 60, item.cas).unwrap(), Status::Ok);
        assert_eq!(client.cas(b"m-none", b"v", 3, 60, item.cas).unwrap(), Status::NotFound);
        assert_eq!(client.cas(b"m", b"v", 3, 60, 0).unwrap_err().status(), Status::Argument);
        assert_eq!(client.get_and_touch(b"m", 60).unwrap().unwrap().value, b"v");
        assert!(client.touch(b"m", -1).unwrap() && !client.touch(b"m", 60).unwrap());
        assert_eq!(client.increment(b"m", 1).unwrap(), None);
        client.set(b"m", b"41", 0, 60).unwrap();
        assert_eq!((client.increment(b"m", 9).unwrap(), client.decrement(b"m", 8).unwrap()), (Some(50), Some(42)));
        client.delete(b"m").unwrap();
        let created = client.increment_or_create(b"m", 5, 100, 60);
        let again = client.decrement_or_create(b"m", 1, 7, 60);
        match protocol {
            "text" => assert!([created, again].iter().all(|r| r.as_ref().unwrap_err().status() == Status::Unsupported)),
            _ => assert_eq!((created.unwrap(), again.unwrap()), (100, 99)),
        }
        client.noop().unwrap();
        client.flush_all(1000).unwrap();
        let stats = client.stats(b"").unwrap();
        assert!(stats.iter().any(|(server, name, value)| *server == 0 && name == "pid" && !value.is_empty()));
        let admin = [client.verbosity(0), client.cache_memlimit(64), client.raw(b"version", b"").map(drop)];
        for result in admin {
            match protocol {
                "binary" => assert_eq!(result.unwrap_err().status(), Status::Unsupported),
                _ => result.unwrap(),
            }
        }
        client.delete(b"m").unwrap();
    });
}

#[test]
fn many_writes_have_a_cas_and_an_answer_each() {
    everywhere(|client, protocol| {
        client.set(b"w1", b"old", 0, 60).unwrap();
        let cas = client.gets(b"w1").unwrap().unwrap().cas;
        client.delete(b"w4").unwrap();
        let large = vec![b'x'; 2_000_000];
        let items: [(&[u8], &[u8], u64); 6] = [
            (b"w0", b"zero", 0),
            (b"w1", b"one", cas),
            (b"w1", b"again", cas),
            (b"a b\r\n", b"v", 0),
            (b"w4", b"v", 9),
            (b"w5", &large, 0),
        ];
        let answers = client.set_many(&items, 3, 60).unwrap();
        let statuses: Vec<Status> = answers.iter().map(|answer| answer.status).collect();
        use Status::{Argument, Exists, NotFound, Ok, TooLarge};
        // Over binary any byte may stand in a key.
        let odd = if protocol == "binary" { Ok } else { Argument };
        assert_eq!(statuses, [Ok, Ok, Exists, odd, NotFound, TooLarge], "{protocol}");
        let got = client.gets_many(&[b"w0", b"w1", b"w-none"]).unwrap();
        let fresh: Vec<u64> = got.iter().map(|answer| answer.cas).collect();
        assert!(fresh[0] != 0 && fresh[1] != 0 && fresh[1] != cas && fresh[2] == 0, "{protocol} {fresh:?}");
        for (index, cas) in fresh.iter().take(2).enumerate() {
            let told = answers.get(index).unwrap().cas;
            assert_eq!(told, if protocol == "text" { 0 } else { *cas }, "{protocol} {index}");
        }
        let deleted = client.delete_many(&[b"w0", b"w1", b"w-none"]).unwrap();
        let statuses: Vec<Status> = deleted.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [Ok, Ok, NotFound], "{protocol}");
    });
}

#[test]
fn no_command_without_reply_harms_the_next_one() {
    everywhere(|client, protocol| {
        client.set(b"k", b"5", 0, 0).unwrap();
        for command in Command::ALL.into_iter().filter(|command| *command != Command::FlushAll) {
            let meta_flags: &[u8] = if command == Command::Meta { b"mg v" } else { b"" };
            let (key, value): (&[u8], &[u8]) = match command {
                Command::Raw => (b"", b"version"),
                _ if command.has_key() => (b"other", b"1"),
                _ => (b"", b""),
            };
            let op_flags = op_flags::NO_REPLY;
            let operation = Operation { value, meta_flags, op_flags, delta: 64, ..Operation::new(command, key) };
            for run in [by_execute, by_queue] {
                let status = run(client, &operation).status;
                let what = format!("{protocol} {}: {status:?}", command.name());
                // What asks for something is answered all the same.
                let expected =
                    [Status::Ok, Status::NotFound, Status::Unsupported, Status::Argument, Status::ServerError];
                assert!(expected.contains(&status), "{what}");
                let read = run(client, &Operation::get(b"k"));
                assert_eq!((read.status, read.value.as_slice()), (Status::Ok, &b"5"[..]), "{what}");
            }
        }
    });
}

#[test]
fn servers_that_keep_no_cas_or_forbid_a_flush() {
    let (no_cas, no_flush) = (Memcached::tcp(&["-C"]), Memcached::tcp(&["-F"]));
    for protocol in ["text", "meta", "binary", "auto"] {
        let plain = client(no_cas.address(), &[("protocol", protocol)]);
        plain.set(b"k", b"v", 0, 0).unwrap();
        assert_eq!(plain.gets(b"k").unwrap().unwrap().cas, 0, "{protocol}");
        let error = plain.cas(b"k", b"w", 0, 0, 0).unwrap_err();
        assert!(error.message().contains("-C"), "{error}");
        let kept = client(no_flush.address(), &[("protocol", protocol)]);
        kept.set(b"k", b"v", 0, 0).unwrap();
        let expected = if protocol == "binary" { Status::Auth } else { Status::ClientError };
        let error = kept.flush_all(0).unwrap_err();
        assert_eq!(error.status(), expected, "{protocol}: {error}");
        assert!(kept.get(b"k").unwrap().is_some(), "{protocol}");
    }
}

/// What a command about a key can be: a hit, a miss, a refusal and a bad argument; which of them there are.
#[test]
fn every_command_has_every_kind_of_outcome_in_the_table() {
    use Command::{Add, Append, Decrement, Delete, Get, GetAndTouch, Increment, Meta, Prepend, Replace, Set, Touch};
    let outcomes = |command: Command| {
        let (miss, refused): (&str, &[&str]) = match command {
            Get | GetAndTouch | Touch => ("NotFound", &[]),
            Set => ("NotFound", &["Exists", "TooLarge"]), // a miss with a cas
            Add => ("Ok", &["NotStored", "TooLarge"]),    // where there is none it is stored
            Replace => ("NotStored", &["Exists", "TooLarge"]),
            Append | Prepend => ("NotStored", &["Exists"]),
            Delete => ("NotFound", &["Exists"]),
            Increment | Decrement => ("NotFound", &["ClientError", "Exists"]),
            Meta => ("NotFound", &["NotStored", "Exists", "TooLarge", "ClientError"]),
            _ => return None,
        };
        Some([&["Ok", "Argument", miss], refused].concat())
    };
    for command in Command::ALL.into_iter().filter(|command| command.has_key()) {
        let wanted = outcomes(command).unwrap_or_else(|| panic!("{} has no outcomes", command.name()));
        let rows: Vec<Row> = rows().into_iter().filter(|row| row.operation.starts_with(command.name())).collect();
        for status in wanted {
            let told = |row: &Row| row.expected.iter().any(|cell| cell.split(' ').next() == Some(status));
            let verb = |row: &Row| row.operation.split(' ').next() == Some(command.name());
            assert!(rows.iter().any(|row| verb(row) && told(row)), "{}: no row is {status}", command.name());
        }
    }
}

#[test]
fn every_command_is_in_the_table() {
    let verbs: Vec<&str> = rows().iter().map(|row| row.operation.split(' ').next().unwrap()).collect();
    for command in Command::ALL {
        assert!(verbs.contains(&command.name()), "{}", command.name());
    }
    let statuses = [Status::Ok, Status::NotFound, Status::NotStored, Status::Exists, Status::ClientError];
    for status in statuses {
        let name = format!("{status:?}");
        assert!(rows().iter().any(|row| row.expected.iter().any(|cell| cell.starts_with(&name))), "{name}");
    }
}
