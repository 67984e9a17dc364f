//! The kernel of one execution, and the memcached at the other end of its sockets: who sleeps on what, until when, and
//! who is woken. The server is the embedded one, run by a thread of the model's that takes and gives a few bytes at a time.

use super::memory::{self, Late};
use super::socket::Wire;
use crate::server::{Config, Core, ModelClock};
use shuttle::current::TaskId;
use shuttle::rand::{thread_rng, Rng};
use shuttle::sync::atomic::AtomicBool;
use shuttle::thread::{self, JoinHandle, Thread};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How the world is to be in one execution.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Whether deadlines are ever reached. Without it, whoever is not woken sleeps for ever, which shuttle reports.
    pub time_passes: bool,
    /// How many connections the server closes in the middle.
    pub closes: u32,
    /// How many bytes a socket holds on the way to the server; and back, before the server takes no more.
    pub capacity: usize,
    /// How long connecting takes, in nanoseconds: by this the pool chooses how many batches may be in flight.
    pub round_trip: u64,
}

/// What is slept on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum On {
    Word(usize),
    /// By its place in [`Kernel::wires`].
    Wire(usize),
    Server,
}

struct Sleeper {
    ticket: u64,
    on: On,
    deadline: u64,
    thread: Thread,
    awake: bool,
}

/// See the module.
pub struct Kernel {
    pub world: World,
    now: u64,
    /// In the order in which they were made, and never fewer: the numbers of descriptors depend on what else the process does.
    pub wires: Vec<Wire>,
    core: Core,
    sleepers: Vec<Sleeper>,
    tickets: u64,
    late: BTreeMap<usize, Vec<Late>>,
    pulse: Arc<AtomicBool>,
    over: bool,
}

std::thread_local!(static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) });

/// The kernel of this execution. No other thread of the model runs meanwhile, so `action` must not let one.
pub fn with<T>(action: impl FnOnce(&mut Kernel) -> T) -> T {
    KERNEL.with(|kernel| action(kernel.borrow_mut().as_mut().expect("an execution begins with boot()")))
}

/// A new world: a server without items, and a clock; answers with the threads that [`halt`] ends.
pub fn boot(world: World) -> Vec<JoinHandle<()>> {
    let kernel = Kernel {
        world,
        now: 1_000_000_000,
        wires: Vec::new(),
        core: Core::new(Config::default(), Arc::default(), Arc::new(ModelClock::new()), 11211),
        sleepers: Vec::new(),
        tickets: 0,
        late: BTreeMap::new(),
        pulse: Arc::new(AtomicBool::new(false)),
        over: false,
    };
    let time_passes = kernel.world.time_passes;
    KERNEL.with(|old| *old.borrow_mut() = Some(kernel));
    let mut threads = vec![thread::spawn(serve)];
    if time_passes {
        threads.push(thread::spawn(pass_time));
    }
    threads
}

/// Ends the server and the clock.
pub fn halt(threads: Vec<JoinHandle<()>>) {
    with(|kernel| kernel.over = true);
    wake(On::Server, 1);
    threads.into_iter().for_each(|thread| thread.join().expect("the model's own thread"));
}

/// Sleeps on `on` until woken or until `deadline`, unless `is_ready` says that there is no need; answers whether the
/// deadline was not what ended it. Between the look and the sleep nobody else runs.
pub fn sleep(on: On, deadline: u64, is_ready: impl FnOnce(&mut Kernel) -> bool) -> bool {
    let thread = thread::current();
    let ticket = with(|kernel| {
        if is_ready(kernel) {
            return Some(None);
        }
        (kernel.now < deadline).then(|| Some(kernel.enlist(on, deadline, thread)))
    });
    let Some(ticket) = ticket else { return false };
    let Some(ticket) = ticket else { return true };
    while !with(|kernel| kernel.delist(ticket)) {
        thread::park();
    }
    with(|kernel| kernel.now < deadline)
}

/// Wakes up to `count` of those who sleep on `on`, whichever the model likes.
pub fn wake(on: On, count: usize) {
    let pick = thread_rng().gen_range(0..64usize);
    let woken = with(|kernel| {
        let mut found: Vec<_> = kernel.sleepers.iter_mut().filter(|s| s.on == on && !s.awake).collect();
        let first = pick % found.len().max(1);
        found.rotate_left(first);
        found.into_iter().take(count).map(Sleeper::wake).collect::<Vec<_>>()
    });
    woken.iter().for_each(Thread::unpark);
}

/// The clock's thread: now and then the deadline of a sleeper is reached.
fn pass_time() {
    loop {
        for _ in 0..thread_rng().gen_range(0..40) {
            thread::yield_now();
        }
        let pick = thread_rng().gen_range(0..64usize);
        let Some(woken) = with(|kernel| (!kernel.over).then(|| kernel.leap(pick))) else { return };
        woken.iter().for_each(Thread::unpark);
    }
}

/// The server's thread.
fn serve() {
    loop {
        memory::point();
        let (pick, part, close) = {
            let mut rng = thread_rng();
            (rng.gen_range(0..64), rng.gen_range(0..=16), rng.gen_range(0..8) == 0)
        };
        match with(|kernel| kernel.serve(pick, part, close)) {
            Some(at) => wake(On::Wire(at), usize::MAX),
            None if with(|kernel| kernel.over) => return,
            None => {
                sleep(On::Server, u64::MAX, |kernel| kernel.over || kernel.work().next().is_some());
            }
        }
    }
}

impl Sleeper {
    fn wake(&mut self) -> Thread {
        self.awake = true;
        self.thread.clone()
    }
}

impl Kernel {
    pub fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    pub fn leap_by(&mut self, nanoseconds: u64) {
        self.now += nanoseconds;
    }

    /// The place of the connection with this descriptor: the last one that had it.
    pub fn place(&self, fd: i32) -> usize {
        self.wires.iter().rposition(|wire| wire.fd == fd).expect("a socket of this execution")
    }

    pub fn pulse(&self) -> Arc<AtomicBool> {
        self.pulse.clone()
    }

    pub(super) fn late(&mut self) -> &mut Vec<Late> {
        let me: TaskId = shuttle::current::me();
        self.late.entry(me.into()).or_default()
    }

    fn enlist(&mut self, on: On, deadline: u64, thread: Thread) -> u64 {
        self.tickets += 1;
        self.sleepers.push(Sleeper { ticket: self.tickets, on, deadline, thread, awake: false });
        self.tickets
    }

    /// Forgets the sleeper if it is awake, and answers whether it is.
    fn delist(&mut self, ticket: u64) -> bool {
        let Some(at) = self.sleepers.iter().position(|s| s.ticket == ticket && s.awake) else { return false };
        self.sleepers.remove(at);
        true
    }

    fn leap(&mut self, pick: usize) -> Vec<Thread> {
        let deadlines: Vec<u64> = self.sleepers.iter().map(|s| s.deadline).filter(|d| *d < u64::MAX).collect();
        let Some(deadline) = deadlines.get(pick % deadlines.len().max(1)).filter(|_| self.world.time_passes) else {
            return Vec::new();
        };
        self.now = self.now.max(*deadline);
        let now = self.now;
        self.sleepers.iter_mut().filter(|s| s.deadline <= now && !s.awake).map(Sleeper::wake).collect()
    }

    /// The connections that the server has something to do for.
    fn work(&self) -> impl Iterator<Item = usize> + '_ {
        let capacity = self.world.capacity;
        (0..).zip(&self.wires).filter(move |(_, wire)| wire.has_work(capacity)).map(|(at, _)| at)
    }

    /// The server takes some of what has arrived on a connection and answers what is complete, or closes it.
    fn serve(&mut self, pick: usize, part: usize, close: bool) -> Option<usize> {
        let work: Vec<usize> = self.work().collect();
        let at = *work.get(pick % work.len().max(1))?;
        let wire = &mut self.wires[at];
        if close && self.world.closes > 0 {
            self.world.closes -= 1;
            wire.close(part);
        } else {
            wire.serve(&mut self.core, part);
        }
        Some(at)
    }
}
