//! The blocking driver, model-checked: some threads make some calls over one or two connections, in every order that the
//! model comes upon. Each execution draws what they do, how the network behaves, and what goes wrong.
//!
//! A failure prints the seed, the number of the execution and what was drawn; the same seed goes the same way again.
//! `BMEMC_MODEL_SEED` and `BMEMC_MODEL_ITERATIONS` change them.

mod two;

use super::*;
use crate::connection::{Rules, Style};
use crate::model::kernel::{self, World};
use crate::model::memory;
use crate::net::Address;
use crate::operation::{op_flags, Value};
use shuttle::rand::{thread_rng, Rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::Arc;

/// From here on a call does not join the batch of others, and values go straight from and to the caller's memory.
const LARGE: usize = 66_000;

/// What may go wrong.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Trouble {
    /// Nothing: every call succeeds, and nobody is ever woken by the clock.
    None,
    TimeOuts,
    /// The server closes connections.
    Closes,
    Disconnect,
    Close,
}

/// What one execution does.
#[derive(Clone, Debug)]
struct Plan {
    connections: u32,
    protocol: ProtocolChoice,
    world: World,
    trouble: Trouble,
    threads: Vec<Vec<Call>>,
}

/// One call: what it does, and its time-out.
#[derive(Clone, Debug)]
struct Call {
    steps: Vec<Step>,
    timeout_ms: u32,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Stores a value of so many bytes, at least.
    Set(usize),
    /// The same without reply.
    SetQuiet(usize),
    /// Reads what this thread has stored.
    Get,
    /// Reads a key that all threads write.
    GetShared,
    SetShared,
}

impl Plan {
    fn draw(trouble: Trouble) -> Plan {
        let mut rng = thread_rng();
        let large = rng.gen_range(0..3) == 0;
        // The smallest takes no whole request at once.
        let capacities = if large { [1 << 20, 1 << 14, 1 << 14] } else { [1 << 20, 64, 16] };
        let world = World {
            time_passes: trouble == Trouble::TimeOuts,
            closes: if trouble == Trouble::Closes { rng.gen_range(1..3) } else { 0 },
            capacity: capacities[rng.gen_range(0..3)],
            round_trip: [10_000, 100_000, 1_000_000][rng.gen_range(0..3)],
        };
        let protocol = [ProtocolChoice::Text, ProtocolChoice::Meta, ProtocolChoice::Binary][rng.gen_range(0..3)];
        let mut call = || Call {
            steps: (0..[1, 1, 2, 3][rng.gen_range(0..4)]).map(|_| Step::draw(&mut rng, large)).collect(),
            timeout_ms: [1000, 1000, 300][rng.gen_range(0..3)],
        };
        let threads = (0..[2, 2, 3, 4][thread_rng().gen_range(0..4)])
            .map(|_| (0..thread_rng().gen_range(1..4)).map(|_| call()).collect())
            .collect();
        Plan { connections: thread_rng().gen_range(1..3), protocol, world, trouble, threads }
    }
}

impl Step {
    fn draw(rng: &mut impl Rng, large: bool) -> Step {
        match rng.gen_range(0..8) {
            0 | 1 => Step::Set(0),
            2 if large => Step::Set(LARGE),
            2 if rng.gen_range(0..2) == 0 => Step::SetQuiet(if large { LARGE } else { 0 }),
            3 => Step::SetShared,
            4 | 5 => Step::GetShared,
            _ => Step::Get,
        }
    }
}

// ---- One thread ----

/// The key of a thread and its versions; each value names both.
struct Caller {
    key: Vec<u8>,
    versions: u32,
    /// What the key may hold: `None` is a miss.
    may_be: BTreeSet<Option<u32>>,
    /// What was stored without reply: it may be overtaken by what is done over another connection.
    quiet: BTreeSet<Option<u32>>,
    trouble: Trouble,
}

const SHARED_KEY: &[u8] = b"shared";

fn value_of(key: &[u8], version: u32, len: usize) -> Vec<u8> {
    let mut value = [key, b"=", version.to_string().as_bytes(), b";"].concat();
    value.resize(value.len().max(len), b'.');
    value
}

fn version_in(key: &[u8], value: &[u8]) -> Option<u32> {
    let rest = value.strip_prefix(key)?.strip_prefix(b"=")?;
    let end = rest.iter().position(|byte| *byte == b';')?;
    let padded = rest.get(end + 1..)?.iter().all(|byte| *byte == b'.');
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok().filter(|_| padded)
}

/// What came for each operation of a call.
struct Answered(Vec<Option<(Status, Vec<u8>, String)>>);

impl Sink for Answered {
    fn answer(&mut self, index: usize, answer: Answer<'_>) {
        let value = match &answer.value {
            Value::Borrowed(bytes) => bytes.to_vec(),
            Value::Owned(bytes) => bytes.clone(),
            other => panic!("operation {index} got {other:?}"),
        };
        let words = String::from_utf8_lossy(answer.detail).into_owned();
        let before = self.0[index].replace((answer.status, value, words));
        assert!(before.is_none(), "operation {index} got a second answer: {:?}, before {before:?}", answer.status);
    }
}

impl Caller {
    fn new(number: usize, trouble: Trouble) -> Caller {
        let (key, may_be, quiet) = (format!("own-{number}").into_bytes(), BTreeSet::from([None]), BTreeSet::new());
        Caller { key, versions: 0, may_be, quiet, trouble }
    }

    fn run(&mut self, pool: &Pool, call: &Call) {
        let first = self.versions;
        self.versions += call.steps.len() as u32;
        let key = self.key.clone();
        let values: Vec<_> = (first..).zip(&call.steps).map(|(version, step)| step.value(&key, version)).collect();
        let operations: Vec<_> =
            call.steps.iter().zip(&values).map(|(step, value)| step.operation(&key, value)).collect();
        let mut answered = Answered(vec![None; operations.len()]);
        let usual = call.timeout_ms == 1000;
        pool.run(&operations, &mut answered, Limit::new(call.timeout_ms, usual, false));
        for (index, (step, answer)) in call.steps.iter().zip(answered.0).enumerate() {
            let Some((status, value, words)) = answer else { panic!("operation {index} of {call:?} got no answer") };
            self.check(*step, first + index as u32, status, &value, &words);
        }
    }

    fn check(&mut self, step: Step, version: u32, status: Status, value: &[u8], words: &str) {
        assert!(self.is_allowed(status), "{step:?} ended in {status:?}: {words}");
        match (step, status) {
            (Step::Set(_), Status::Ok) if self.trouble == Trouble::None => {
                self.may_be = [Some(version)].into();
                self.may_be.extend(&self.quiet);
            }
            // What was sent in vain may still be executed later.
            (Step::Set(_), Status::Ok) => {
                self.may_be.remove(&None);
                self.may_be.insert(Some(version));
            }
            (Step::Set(_), _) => {
                self.may_be.insert(Some(version));
            }
            (Step::SetQuiet(_), _) => {
                self.may_be.insert(Some(version));
                self.quiet.insert(Some(version));
            }
            (Step::Get, Status::Ok) => {
                let found = version_in(&self.key, value);
                assert!(found.is_some() && self.may_be.contains(&found), "got {found:?} of {:?}", self.may_be);
            }
            (Step::Get, Status::NotFound) => {
                assert!(self.may_be.contains(&None), "a miss, where it is one of {:?}", self.may_be);
            }
            (Step::GetShared, Status::Ok) => assert!(version_in(SHARED_KEY, value).is_some(), "not the shared value"),
            _ => {}
        }
    }

    fn is_allowed(&self, status: Status) -> bool {
        matches!(status, Status::Ok | Status::NotFound)
            || match self.trouble {
                Trouble::None => false,
                Trouble::TimeOuts => matches!(status, Status::Timeout | Status::Connection),
                Trouble::Closes | Trouble::Disconnect => status == Status::Connection,
                Trouble::Close => status == Status::Closed,
            }
    }
}

impl Step {
    fn value(self, key: &[u8], version: u32) -> Vec<u8> {
        match self {
            Step::Set(len) | Step::SetQuiet(len) => value_of(key, version, len),
            Step::SetShared => value_of(SHARED_KEY, version, 0),
            Step::Get | Step::GetShared => Vec::new(),
        }
    }

    fn operation<'a>(self, key: &'a [u8], value: &'a [u8]) -> Operation<'a> {
        match self {
            Step::Set(_) => Operation::set(key, value, 0),
            Step::SetQuiet(_) => Operation { op_flags: op_flags::NO_REPLY, ..Operation::set(key, value, 0) },
            Step::Get => Operation::get(key),
            Step::GetShared => Operation::get(SHARED_KEY),
            Step::SetShared => Operation::set(SHARED_KEY, value, 0),
        }
    }
}

// ---- One execution ----

fn execute(plan: &Plan) {
    let own = kernel::boot(plan.world.clone());
    let pool = Arc::new(Pool::new(Address::parse("127.0.0.1").expect("an address"), 0, settings(plan)));
    let callers: Vec<_> =
        (0..).zip(plan.threads.clone()).map(|(number, calls)| start(&pool, number, plan, calls)).collect();
    match plan.trouble {
        Trouble::Close => pool.close(),
        Trouble::Disconnect => pool.disconnect(&Error::new(Status::Connection, "disconnected")),
        Trouble::None | Trouble::TimeOuts | Trouble::Closes => {}
    }
    memory::settle();
    for caller in callers {
        caller.join().expect("a caller");
    }
    check_rest(&pool, false);
    kernel::with(|kernel| {
        kernel.world.time_passes = false;
        kernel.world.closes = 0;
    });
    check_afterwards(&pool, plan.trouble);
    check_rest(&pool, true);
    let lost = pool.counters().quiet_failures;
    assert!(plan.trouble != Trouble::None || lost == 0, "{lost} operations without reply have failed");
    kernel::halt(own);
}

fn start(pool: &Arc<Pool>, number: usize, plan: &Plan, calls: Vec<Call>) -> thread::JoinHandle<()> {
    let (pool, trouble) = (pool.clone(), plan.trouble);
    thread::spawn(move || {
        let mut caller = Caller::new(number, trouble);
        calls.iter().for_each(|call| caller.run(&pool, call));
        memory::settle();
    })
}

fn settings(plan: &Plan) -> Settings {
    Settings {
        protocol: plan.protocol,
        timeout_ms: 1000,
        connect_timeout_ms: 1000,
        connections: plan.connections,
        connections_idle_ms: 0,
        max_waiting: 1000,
        failover: super::Failover::None,
        keepalive: None,
        on_connect: Default::default(),
        tls: None,
        max_value_bytes: 1 << 20,
        no_delay: true,
        slow_ms: 0,
        account: Arc::new(Account::new(None, 0, 0)),
        login: Rules { style: Style::Sasl, mechanism: None, optional: false, allow_plaintext: false },
        listener: Listener::default(),
        ledger: Ledger::default(),
    }
}

/// Nobody uses the pool: nothing may be under way; without `empty`, replies that nobody awaits may be.
fn check_rest(pool: &Pool, empty: bool) {
    assert_eq!(pool.home().callers.count(), 0, "calls that wait");
    pool.home().lines.iter().for_each(|line| line.check_rest(empty));
}

/// After all that went wrong, a call works on each connection.
fn check_afterwards(pool: &Pool, trouble: Trouble) {
    for line in &pool.home().lines {
        // That a connection was closed may show only to who reads for operations without reply.
        let owes_fence = line.lock().link.as_ref().is_some_and(|link| link.owes_fence());
        let mut answered = call_afterwards(pool, line);
        if owes_fence
            && trouble == Trouble::Closes
            && answered.0[0].as_ref().expect("an answer").0 == Status::Connection
        {
            answered = call_afterwards(pool, line);
        }
        let status = answered.0[0].as_ref().expect("an answer").0;
        let wanted = if trouble == Trouble::Close { Status::Closed } else { Status::NotFound };
        assert_eq!(status, wanted, "the call afterwards: {:?}", answered.0);
    }
}

fn call_afterwards(pool: &Pool, line: &Line) -> Answered {
    let mut answered = Answered(vec![None]);
    line.run(&pool.shared, &[Operation::get(b"afterwards")], &mut answered, Limit::new(1000, true, false));
    answered
}

// ---- All executions ----

fn number_in(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// How many executions each scheduler gets, of each test: so many, with `BMEMC_LONG=1` ten times as many.
const EXECUTIONS: u64 = 2_000;

fn executions() -> u64 {
    let usual = if number_in("BMEMC_LONG", 0) == 1 { 10 * EXECUTIONS } else { EXECUTIONS };
    number_in("BMEMC_MODEL_ITERATIONS", usual)
}

const SEED: u64 = 0x6d63;

fn explore(name: &'static str, draw: impl Fn() -> Plan + Clone + Send + Sync + 'static) {
    let seed = number_in("BMEMC_MODEL_SEED", SEED);
    let executions = executions() as usize;
    run("random", name, seed, RandomScheduler::new_from_seed(seed, executions), draw.clone(), execute);
    run("PCT", name, seed, PctScheduler::new_from_seed(seed, 4, executions), draw, execute);
}

/// One caller leaves while the right to read is offered, maybe to it: the other one must take it.
fn offer(plan: &Plan) {
    let own = kernel::boot(World { capacity: 1 << 20, ..World::default() });
    let pool = Arc::new(Pool::new(Address::parse("127.0.0.1").expect("an address"), 0, settings(plan)));
    let mut state = pool.home().lines[0].ready(&pool.shared, Limit::new(1000, true, false)).expect("a connection");
    let link = state.link.as_mut().expect("a connection");
    let role = link.role.take();
    link.in_flight = 1;
    (1..3).for_each(|sequence| pool.home().lines[0].words.enlist(sequence));
    drop(state);
    let with_pool = |action: fn(&Line)| {
        let pool = pool.clone();
        thread::spawn(move || {
            action(&pool.home().lines[0]);
            memory::point();
            memory::settle();
        })
    };
    let callers = [with_pool(|line| line.delist(1)), with_pool(take_role)];
    pool.home().lines[0].lock().link.as_mut().expect("a connection").role = role;
    pool.home().lines[0].words.wake_reader(1);
    memory::settle();
    callers.into_iter().for_each(|caller| caller.join().expect("a caller"));
    kernel::halt(own);
}

/// What a caller with batch 2 does until it may read.
fn take_role(line: &Line) {
    let limit = Limit::new(1000, true, false);
    loop {
        let seen = line.words.word(2);
        if line.lock().link.as_mut().expect("a connection").role.take().is_some() {
            return line.words.reader_found();
        }
        line.words.sleep(2, seen, limit.deadline);
    }
}

fn config() -> shuttle::Config {
    let mut config = shuttle::Config::new();
    config.stack_size = 256 * 1024;
    config.silence_warnings = true;
    config.failure_persistence = shuttle::FailurePersistence::None;
    config.max_steps = shuttle::MaxSteps::FailAfter(300_000);
    config
}

fn run(
    how: &'static str,
    name: &'static str,
    seed: u64,
    scheduler: impl Scheduler + 'static,
    draw: impl Fn() -> Plan + Send + Sync + 'static,
    execute: fn(&Plan),
) {
    let last = Arc::new((AtomicU64::new(0), std::sync::Mutex::new(None)));
    let _told = Told { how, name, seed, last: last.clone() };
    shuttle::Runner::new(scheduler, config()).run(move || {
        let plan = draw();
        last.0.fetch_add(1, Ordering::Relaxed);
        *last.1.lock().expect("the plan") = Some(plan.clone());
        execute(&plan);
    });
}

/// Tells what failed, when a test unwinds.
struct Told {
    how: &'static str,
    name: &'static str,
    seed: u64,
    last: Arc<(AtomicU64, std::sync::Mutex<Option<Plan>>)>,
}

impl Drop for Told {
    fn drop(&mut self) {
        let Told { how, name, seed, last } = self;
        let count = last.0.load(Ordering::Relaxed);
        let outcome = if std::thread::panicking() { "FAILED in" } else { "held for" };
        println!("{name}, {how}: {outcome} execution {count}, BMEMC_MODEL_SEED={seed}");
        if std::thread::panicking() {
            println!("{:?}", last.1.lock().map(|plan| plan.clone()));
        }
    }
}

#[test]
fn who_leaves_does_not_take_the_offer_along() {
    let (name, seed) = ("who_leaves_does_not_take_the_offer_along", number_in("BMEMC_MODEL_SEED", SEED));
    let count = executions() as usize;
    let draw = || Plan::draw(Trouble::None);
    run("random", name, seed, RandomScheduler::new_from_seed(seed, count), draw, offer);
    run("PCT", name, seed, PctScheduler::new_from_seed(seed, 4, count), draw, offer);
}

/// What a failure prints would else be of no use. (Other tests open and close descriptors meanwhile, as a thread does here.)
#[test]
fn the_same_seed_goes_the_same_way() {
    let over = AtomicBool::new(false);
    let opens = || {
        while !over.load(Ordering::Relaxed) {
            drop(std::fs::File::open("/dev/null"));
        }
    };
    let (once, again) = std::thread::scope(|scope| {
        let once = ticks();
        scope.spawn(opens);
        let again = ticks();
        over.store(true, Ordering::Relaxed);
        (once, again)
    });
    assert_eq!(once, again);
}

/// How many ticks some executions take.
fn ticks() -> Vec<u64> {
    let ticks = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (seed, seen) = (number_in("BMEMC_MODEL_SEED", SEED), ticks.clone());
    shuttle::Runner::new(PctScheduler::new_from_seed(seed, 4, 2000), config()).run(move || {
        execute(&Plan::draw(Trouble::Disconnect));
        seen.lock().expect("ticks").push(kernel::with(|kernel| kernel.tick()));
    });
    let ticks = std::mem::take(&mut *ticks.lock().expect("ticks"));
    ticks
}

#[test]
fn every_call_is_answered() {
    explore("every_call_is_answered", || Plan::draw(Trouble::None));
}

#[test]
fn every_call_is_answered_among_time_outs() {
    explore("every_call_is_answered_among_time_outs", || Plan::draw(Trouble::TimeOuts));
}

#[test]
fn every_call_is_answered_when_the_server_closes() {
    explore("every_call_is_answered_when_the_server_closes", || Plan::draw(Trouble::Closes));
}

#[test]
fn every_call_is_answered_when_all_is_disconnected() {
    explore("every_call_is_answered_when_all_is_disconnected", || Plan::draw(Trouble::Disconnect));
}

/// Fences are awaited while others leave more of them behind.
#[test]
fn fences_are_awaited_while_more_come() {
    use Step::{Get, Set, SetQuiet};
    explore("fences_are_awaited_while_more_come", || {
        let call = |steps: &[Step]| Call { steps: steps.to_vec(), timeout_ms: 1000 };
        let threads = vec![
            vec![call(&[Set(0), SetQuiet(0)]), call(&[SetQuiet(0)])],
            vec![call(&[SetQuiet(0)]), call(&[Get])],
            vec![call(&[SetQuiet(0), SetQuiet(0)]), call(&[SetQuiet(0)])],
        ];
        Plan { connections: 1, threads, ..Plan::draw(Trouble::Disconnect) }
    });
}

#[test]
fn every_call_is_answered_when_the_pool_is_closed() {
    explore("every_call_is_answered_when_the_pool_is_closed", || Plan::draw(Trouble::Close));
}
