//! Line: one place for a connection in the pool, and the lock, the [`Words`] and the counters that its callers share. The
//! lock is held for a few instructions at a time, never over a system call that waits.

use super::callers::Callers;
use super::counters::Counters;
use super::guest::{Guest, Stay};
use super::hands::Hands;
use super::link::{self, Link};
use super::lone::{Left, Lone, OneMeta, PlainGets, Went};
use super::opening::Opening;
use super::turn::Turn;
use super::words::Words;
use super::{Limit, Loss, Shared, PEEK_AFTER};
use crate::connection::Broken;
use crate::error::{bits, Error, Result, Status};
use crate::net::fork::Inheritable;
use crate::net::{clock, tally, Deadline, Socket};
use crate::operation::{Answer, Gets, Hits, Operation, Sink};
use crate::protocol::Dialect;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::{lock, Mutex, MutexGuard};
use std::os::fd::AsFd;
use std::sync::Arc;

/// See the module.
pub(super) struct Line {
    state: Mutex<State>,
    pub words: Words,
    /// Changes when an attempt to connect ends.
    connect_word: AtomicU32,
    /// Callers that use the line.
    users: AtomicU32,
    /// Replies that callers have given up may still be to come.
    owing: AtomicBool,
    callers: Arc<Callers>,
    /// The descriptor of the link.
    descriptor: Inheritable,
}

/// What the lock guards.
#[derive(Default)]
pub(super) struct State {
    pub link: Option<Box<Link>>,
    /// Why the last link was given up, for those who were on it.
    pub ended: Option<(u64, Broken)>,
    connecting: bool,
    attempts: u64,
    failure: Option<(u64, Error)>,
    generations: u64,
    sequence: u64,
    pub counters: Counters,
}

impl State {
    /// The link, if it is still the one with this generation.
    pub fn link_of(&mut self, generation: u64) -> Option<&mut Link> {
        self.link.as_deref_mut().filter(|link| link.generation == generation)
    }

    /// Why the link with this generation was given up, or is about to be.
    pub fn why_ended(&self, generation: u64) -> Option<&Broken> {
        match self.link.as_deref().filter(|link| link.generation == generation) {
            Some(link) => link.doomed.as_ref(),
            None => self.ended.as_ref().filter(|(ended, _)| *ended == generation).map(|(_, why)| why),
        }
    }

    /// The number of the next batch.
    pub fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}

/// How a caller comes to a link.
pub(super) enum Way<'a> {
    /// There is one: the lock that has it.
    Ready(MutexGuard<'a, State>),
    /// There is none, and this caller is the one to connect: it must bring the attempt to its end, and [`Line::arrive`].
    Opening(Box<Attempt>),
    /// Another caller connects; the word changes when that ends.
    Awaited(u32),
}

/// An attempt to connect that one caller makes for all.
pub(super) struct Attempt {
    pub opening: Opening,
    generation: u64,
    sequence: u64,
    /// How long it might have, if this call had more time.
    whole: Deadline,
    begun: u64,
    /// System calls.
    pub calls: u64,
}

impl Line {
    /// A line without a connection, of a server that these call.
    pub fn new(callers: &Arc<Callers>) -> Line {
        Line {
            state: Mutex::default(),
            words: Words::new(),
            connect_word: AtomicU32::new(0),
            users: AtomicU32::new(0),
            owing: AtomicBool::new(false),
            callers: callers.clone(),
            descriptor: Inheritable::new(),
        }
    }

    /// How many callers use it.
    pub fn users(&self) -> u32 {
        self.users.load(Ordering::Relaxed)
    }

    /// Whether no caller uses it.
    pub fn is_idle(&self) -> bool {
        self.users() == 0
    }

    /// Whether a caller has left before its replies have come, and they may still not be there.
    #[inline(always)]
    pub fn is_owing(&self) -> bool {
        self.owing.load(Ordering::Relaxed)
    }

    /// Says that, or that it is no longer so.
    pub fn set_owing(&self, owing: bool) {
        self.owing.store(owing, Ordering::Relaxed);
    }

    /// Takes the line for one caller alone; `false` where somebody uses it.
    pub fn claim(&self) -> bool {
        self.users.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Gives back what was claimed.
    pub fn release(&self) {
        self.users.fetch_sub(1, Ordering::Release);
    }

    /// Whether its connection is idle; `None`: it has none.
    pub fn is_link_free(&self) -> Option<bool> {
        let busy = !self.is_idle();
        self.lock().link.as_ref().map(|link| !busy && link.is_free())
    }

    #[inline(always)]
    pub fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Runs operations on this line.
    pub fn run(&self, shared: &Shared, operations: &[Operation<'_>], sink: &mut dyn Sink, limit: Limit) {
        self.join();
        self.run_joined(shared, operations, sink, limit);
        self.leave();
    }

    /// The same for who has joined: by the short way, if that is open.
    fn run_joined(&self, shared: &Shared, operations: &[Operation<'_>], sink: &mut dyn Sink, limit: Limit) {
        if let Some(errand) = OneMeta::of(shared, operations, &mut *sink) {
            match (Lone { line: self, shared, limit: &limit, errand }).run() {
                Went::ToItsEnd => return,
                Went::Astray(left) => return self.go_on(shared, operations, sink, limit, left),
                Went::Nowhere(state) => drop(state),
            }
        }
        self.run_turn(shared, operations, sink, limit);
    }

    /// The same for plain gets with one time-out: by a short way, if one is open.
    #[inline(always)]
    pub fn run_gets(&self, shared: &Shared, gets: &(impl Gets + ?Sized), sink: &mut impl Hits, limit: &Limit) {
        self.join();
        let errand = PlainGets { gets, sink: &mut *sink };
        match (Lone { line: self, shared, limit, errand }).run() {
            Went::ToItsEnd => {}
            Went::Nowhere(state) => self.run_gets_among_others(shared, gets, sink, limit, state),
            Went::Astray(left) => gets.as_operations(|gets| self.go_on(shared, gets, sink.sink(), *limit, left)),
        }
        self.leave();
    }

    #[inline(never)]
    fn run_gets_among_others<'a>(
        &'a self,
        shared: &'a Shared,
        gets: &(impl Gets + ?Sized),
        sink: &mut impl Hits,
        limit: &Limit,
        state: MutexGuard<'a, State>,
    ) {
        match (Guest { line: self, shared, limit, gets, sink: &mut *sink }).run(state) {
            Stay::Answered => {}
            Stay::Nowhere => gets.as_operations(|gets| self.run_joined(shared, gets, sink.sink(), *limit)),
            Stay::Longer(seat) => gets.as_operations(|gets| {
                Turn::new(self, shared, gets, sink.sink(), *limit).go_on_seated(seat);
            }),
        }
    }

    #[cold]
    fn go_on(&self, shared: &Shared, operations: &[Operation<'_>], sink: &mut dyn Sink, limit: Limit, left: Left<'_>) {
        Turn::new(self, shared, operations, sink, limit).go_on(left);
    }

    #[inline(never)]
    fn run_turn(&self, shared: &Shared, operations: &[Operation<'_>], sink: &mut dyn Sink, limit: Limit) {
        let ready = self.ready(shared, limit);
        let mut turn = Turn::new(self, shared, operations, sink, limit);
        match ready {
            Ok(state) => turn.run(state),
            Err(error) => turn.refuse_all(&error),
        }
    }

    /// Says that a caller uses it, until [`Line::leave`].
    pub fn join(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes that back.
    pub fn leave(&self) {
        self.users.fetch_sub(1, Ordering::Relaxed);
    }

    /// The lock, once there is a link that can be used: connects, or waits for who does.
    #[inline(always)]
    pub fn ready(&self, shared: &Shared, limit: Limit) -> Result<MutexGuard<'_, State>> {
        let mut seen = None;
        loop {
            match self.approach(shared, limit, &mut seen)? {
                Way::Ready(state) => return Ok(state),
                Way::Opening(attempt) => return self.connect(shared, attempt),
                Way::Awaited(word) => self.words.wait(&self.connect_word, word, limit.deadline.nanoseconds()),
            }
        }
    }

    /// How a caller comes to a link that can be used; `seen` is what it has seen of attempts that others make.
    #[inline(always)]
    pub fn approach(&self, shared: &Shared, limit: Limit, seen: &mut Option<u64>) -> Result<Way<'_>> {
        loop {
            shared.check_open()?;
            let word = self.connect_word.load(Ordering::Acquire);
            let mut state = self.lock();
            let State { link, counters, .. } = &mut *state;
            let Some(link) = link else { return self.approach_closed(shared, limit, seen, word, state) };
            match look(link, counters, shared, limit.begun) {
                Look::Good => return Ok(Way::Ready(state)),
                Look::Unread => {
                    self.catch_up(shared, limit, state);
                    continue;
                }
                Look::Stale => {}
            }
            let idle = self.take_link(&mut state);
            drop(state);
            shared.tell_closed(&why_stale(idle, shared, limit.begun));
        }
    }

    #[cold]
    fn approach_closed<'a>(
        &'a self,
        shared: &Shared,
        limit: Limit,
        seen: &mut Option<u64>,
        word: u32,
        mut state: MutexGuard<'a, State>,
    ) -> Result<Way<'a>> {
        // An attempt that began before this call and fails speaks for this call too.
        if let (Some((failed, error)), Some(seen)) = (&state.failure, *seen) {
            if *failed >= seen {
                return Err(error.clone());
            }
        }
        if state.connecting {
            seen.get_or_insert(state.attempts + 1);
            return match limit.deadline.is_over() {
                true => Err(limit.error(&shared.address).with_bits(bits::NOT_SENT)),
                false => Ok(Way::Awaited(word)),
            };
        }
        let begun = clock::now();
        shared.check_early(begun)?;
        state.connecting = true;
        state.generations += 1;
        let (generation, sequence) = (state.generations, state.next_sequence());
        let whole = Deadline::at(begun + u64::from(shared.settings.connect_timeout_ms) * 1_000_000);
        let opening = Opening::new(limit.deadline.earlier(whole));
        Ok(Way::Opening(Box::new(Attempt { opening, generation, sequence, whole, begun, calls: 0 })))
    }

    #[cold]
    fn connect(&self, shared: &Shared, mut attempt: Box<Attempt>) -> Result<MutexGuard<'_, State>> {
        let calls = tally::made();
        let opened = attempt.opening.finish(shared);
        attempt.calls += tally::made() - calls;
        self.arrive(shared, &attempt, opened)
    }

    /// An attempt has ended: the link is there for everybody, or who waits for it is told why it is not.
    pub fn arrive(
        &self,
        shared: &Shared,
        attempt: &Attempt,
        opened: Result<(Socket, Dialect)>,
    ) -> Result<MutexGuard<'_, State>> {
        shared.tell_connected(attempt.begun, opened.as_ref().err());
        // Cut short by this call's own deadline, it says no more than any call that was not answered.
        let is_cut_short =
            |error: &Error| error.status() == Status::Timeout && attempt.opening.deadline < attempt.whole;
        if let Err(error) = &opened {
            let loss = if is_cut_short(error) { Loss::Timeout } else { Loss::Connect };
            shared.lost(loss, error, &mut shared.teller());
        }
        let mut state = self.lock();
        state.connecting = false;
        state.attempts += 1;
        state.counters.system_calls += attempt.calls;
        state.counters.connects += u64::from(opened.is_ok());
        self.connect_word.fetch_add(1, Ordering::Release);
        let result = match opened.and_then(|opened| shared.check_open().map(|()| opened)) {
            Ok(opened) => {
                let link = Link::new(shared, attempt.generation, attempt.sequence, opened);
                self.descriptor.set(link.socket.as_fd());
                state.link = Some(Box::new(link));
                Ok(state)
            }
            // Nor does it say anything to calls that have more time.
            Err(error) if is_cut_short(&error) => Err(error),
            Err(error) => {
                shared.connect_failed();
                state.failure = Some((state.attempts, error.clone()));
                Err(error)
            }
        };
        self.words.wake(&self.connect_word, i32::MAX);
        result
    }

    /// Adds what somebody has counted.
    pub fn count(&self, counted: &Counters) {
        self.lock().counters.add(counted);
    }

    /// What was done on this line.
    pub fn counters(&self) -> Counters {
        let mut counters = self.lock().counters;
        counters.system_calls += self.words.calls();
        counters
    }

    /// Takes the link out; it is closed once nobody uses its socket any more.
    pub fn take_link(&self, state: &mut State) -> Option<Box<Link>> {
        self.descriptor.clear();
        let link = state.link.take()?;
        state.counters.disconnects += 1;
        // Its socket is closed when the link is dropped.
        state.counters.system_calls += 1;
        Some(link)
    }

    /// In the child of a fork: closes its copy of the parent's descriptor.
    pub fn close_copy(&self) {
        self.descriptor.close_copy();
    }

    /// Gives up the connection; whoever waits on it gets `why`. One that is being opened is let be.
    pub fn disconnect(&self, shared: &Shared, why: &Error) {
        let mut state = self.lock();
        if state.connecting {
            // Who waits for that looks again, as the client may be closed.
            self.connect_word.fetch_add(1, Ordering::Release);
            self.words.wake(&self.connect_word, i32::MAX);
        }
        let Some(link) = state.link.as_mut() else { return };
        let broken = Broken { status: why.status(), message: why.message().to_string() };
        let role = link.role.take();
        link.socket.shutdown();
        state.counters.system_calls += 1;
        let Some(link) = state.link.as_mut() else { return };
        let Some(mut role) = role else {
            // Whoever reads wakes up, finds this and does the rest.
            link.doomed.get_or_insert(broken);
            return;
        };
        let Some(mut link) = self.take_link(&mut state) else { return };
        state.ended = Some((link.generation, broken.clone()));
        drop(state);
        let mut nobody = Nobody;
        let mut hands = Hands::new(&mut nobody);
        link.fail(&mut role, &broken, None, &mut hands);
        self.words.wake_finished(&mut hands);
        self.words.wake_writer();
        shared.tell_closed(why);
        self.count(&hands.counted);
        hands.quiet.events(shared).into_iter().for_each(|event| shared.settings.listener.tell(|| event));
    }

    /// Says that a caller no longer waits for batch `sequence`. It may be this caller that is being woken to read, with its own answers there already: then it
    /// wakes another. (Either the waker no longer counts this caller, or this caller sees the wish.)
    pub fn delist(&self, sequence: u64) {
        if self.words.delist(sequence) {
            let wanted = self.lock().link.as_ref().is_some_and(|link| link.needs_caller());
            if wanted {
                self.words.wake_reader(sequence);
            }
        }
    }

    /// Whether it is worth a moment to let other threads run: replies come soon, and so does the processor.
    pub fn is_lively(&self, link: &Link, limit: &Limit) -> bool {
        link.is_short() && self.callers.may_step(limit.begun)
    }

    /// How many callers a batch is made of where they are many: two in three of those who use the line. The others make the
    /// next one while it is under way.
    pub fn company(&self) -> u32 {
        self.users().saturating_mul(2) / 3
    }

    /// Whether callers are so many that they go together.
    pub fn gathers(&self, link: &Link, limit: &Limit) -> bool {
        self.company() > 1 && self.is_lively(link, limit)
    }

    /// Whether the open batch has all callers that it waits for.
    pub fn is_due(&self, link: &Link, limit: &Limit) -> bool {
        link.joined() >= self.company() || !self.is_lively(link, limit)
    }

    /// Lets other threads run.
    pub fn step_back(&self) {
        self.words.count_call();
        self.callers.step();
    }
}

/// What a link is good for.
enum Look {
    Good,
    /// It must not be used again.
    Stale,
    /// Before it is known to be good, what has come for callers that have left is to be read.
    Unread,
}

/// Looks at a link before it is used. (Doomed: the last answer came before its reader saw that.)
fn look(link: &Link, counters: &mut Counters, shared: &Shared, now: u64) -> Look {
    let idle = now.saturating_sub(link.last_used);
    if !link.is_free() {
        return if idle >= PEEK_AFTER && link.is_left() { Look::Unread } else { Look::Good };
    }
    match link.doomed.is_some() || shared.is_stale(&link.socket, idle, counters) {
        true => Look::Stale,
        false => Look::Good,
    }
}

/// Why a link that was stale was closed.
#[cold]
fn why_stale(link: Option<Box<Link>>, shared: &Shared, now: u64) -> Error {
    let Some(mut link) = link else { return Error::new(Status::Connection, "the connection was lost") };
    if let Some(doomed) = link.doomed.take() {
        return Error::new(doomed.status, doomed.message);
    }
    let (idle, limit) = (now.saturating_sub(link.last_used) / 1_000_000, shared.settings.connections_idle_ms);
    match limit > 0 && idle >= u64::from(limit) {
        true => Error::new(Status::Ok, format!("idle for {idle} ms; connections_idle_ms is {limit}")),
        false => Error::new(Status::Connection, "the server closed an idle connection, or sent what nobody asked for"),
    }
}

impl Link {
    /// Answers all that the link has with a failure: what was sent may have been executed, what is open was not.
    pub fn fail(&mut self, role: &mut link::Role, broken: &Broken, to: Option<&Shared>, hands: &mut Hands<'_>) {
        let words = match to {
            Some(shared) => format!("{}: {}", shared.address, broken.message),
            None => broken.message.clone(),
        };
        let error = Error::new(broken.status, words);
        for batch in self.sealed.drain(..) {
            role.reader.push(batch);
        }
        role.reader.fail(&error.clone().with_bits(bits::SENT | bits::UNKNOWN_OUTCOME), hands);
        role.reader.push(std::mem::take(&mut self.open));
        role.reader.fail(&error.with_bits(bits::NOT_SENT), hands);
    }
}

/// A sink for answers that nobody waits for.
pub(super) struct Nobody;

impl Sink for Nobody {
    fn answer(&mut self, _index: usize, _answer: Answer<'_>) {}
}

#[cfg(all(test, bmemc_model))]
impl Line {
    /// Fails if something is under way that ends with its callers, though they have all ended. Without `empty`, replies
    /// may be: those that were given up, and the END of a text `get` whose values have come.
    pub fn check_rest(&self, empty: bool) {
        assert!(self.is_idle(), "callers that use the line");
        self.words.check_rest();
        let state = self.lock();
        assert!(!state.connecting, "somebody connects");
        let Some(link) = &state.link else { return };
        assert!(link.role.is_some(), "the right to read is lost");
        assert!(!link.writing, "somebody writes");
        assert!(link.doomed.is_none(), "nobody gave up a doomed link");
        assert!(!link.may_send(), "operations that nobody has sent");
        assert!(!empty || link.in_flight == 0, "{} batches in flight, awaited by nobody", link.in_flight);
        assert!(!empty || link.open.is_empty() && link.sealed.is_empty(), "operations that nobody awaits");
    }
}
