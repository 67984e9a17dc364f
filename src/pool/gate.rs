//! Gate: lets calls to a server in, or fails them at once while its health says so. Who calls goes through one comparison
//! that bounds how many may wait; a server that is out has a bound of zero, so that a healthy one costs nothing more. A call
//! that is failed looks after the probe on its way: nothing here ever waits.

use super::health::{Condition, Health, Loss, Machine};
use super::probe::Probe;
use super::{Event, EventKind, Shared};
use crate::error::{bits, Error, Status};
use crate::net::clock;
use crate::net::fork::PerProcess;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::PoisonError;
use std::sync::{Mutex, MutexGuard};

/// See the module. Its locks are the standard library's where the pool is model-checked too: a model has no server that
/// is out.
pub(super) struct Gate {
    /// How many calls may be under way; zero: the server is out.
    bound: AtomicUsize,
    /// It has failed and has not answered since, and calls go to it: who hears an answer says so.
    suspect: AtomicBool,
    /// When it was made.
    since: u64,
    /// A fork leaves locks in an unknown state.
    watch: PerProcess<Watch>,
}

struct Watch {
    patient: Mutex<Patient>,
    /// The one probe there is at a time; who finds it locked leaves it to the other.
    probe: Mutex<Option<Box<Probe>>>,
    opened: AtomicU64,
    failed_fast: AtomicU64,
}

struct Patient {
    machine: Machine,
    /// The last failure.
    why: Option<Error>,
}

impl Gate {
    pub fn new(max_waiting: usize) -> Gate {
        let (bound, suspect) = (AtomicUsize::new(max_waiting), AtomicBool::new(false));
        Gate { bound, suspect, since: clock::now(), watch: PerProcess::new() }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// How many calls may be under way now.
    #[inline]
    pub fn bound(&self) -> usize {
        self.gate.bound.load(Ordering::Relaxed)
    }

    fn watch(&self) -> &Watch {
        self.gate.watch.get(|_| Watch {
            patient: Mutex::new(Patient { machine: Machine::new(self.settings.failover, self.gate.since), why: None }),
            probe: Mutex::new(None),
            opened: AtomicU64::new(0),
            failed_fast: AtomicU64::new(0),
        })
    }

    /// A connection could not be made, or was lost with operations on it. What is to be told is told by `tell`.
    #[cold]
    pub fn lost(&self, loss: Loss, error: &Error, tell: &mut dyn FnMut(Event)) {
        let counts = matches!(
            error.status(),
            Status::Connection | Status::Tls | Status::Timeout | Status::Dns | Status::Protocol
        );
        if !counts || self.is_retired() || self.check_open().is_err() {
            return;
        }
        let (watch, now) = (self.watch(), clock::now());
        let why = self.named(error);
        let mut patient = locked(&watch.patient);
        let closes = patient.machine.lost(loss, now, now ^ u64::from(self.server));
        patient.why = Some(why.clone());
        self.note_suspicion(&patient);
        if !closes {
            return;
        }
        self.gate.bound.store(0, Ordering::Relaxed);
        drop(patient);
        watch.opened.fetch_add(1, Ordering::Relaxed);
        tell(Event::failure(EventKind::BreakerOpened, 0, &why).of(self.server));
    }

    /// Whether an answer is news.
    #[inline]
    pub fn is_suspect(&self) -> bool {
        self.gate.suspect.load(Ordering::Relaxed)
    }

    /// An answer has come from a server that had failed.
    #[cold]
    pub fn heard(&self) {
        let mut patient = locked(&self.watch().patient);
        patient.machine.was_heard(clock::now());
        self.note_suspicion(&patient);
    }

    fn note_suspicion(&self, patient: &Patient) {
        self.gate.suspect.store(patient.machine.condition() == Condition::Suspect, Ordering::Relaxed);
    }

    /// What is known of the server's health.
    pub fn health(&self) -> Health {
        let patient = locked(&self.watch().patient);
        let (now, machine) = (clock::now(), &patient.machine);
        let (since, failures) = machine.history();
        let due = machine.is_barred().map_or(0, |(_, due)| due);
        Health {
            condition: machine.condition(),
            failures,
            since_ms: now.saturating_sub(since) / 1_000_000,
            probe_in_ms: due.saturating_sub(now).div_ceil(1_000_000),
            why: patient.why.clone(),
        }
    }

    /// Forgets what has failed: the next call tries.
    pub fn forgive(&self, tell: &mut dyn FnMut(Event)) {
        self.is_well(self.watch(), "it is tried again, as disconnect_all was called", tell);
    }

    /// Why calls are to fail at once; `None`: they may go on, as the server is well, or has just become so.
    #[cold]
    pub fn bar(&self, tell: &mut dyn FnMut(Event)) -> Option<Error> {
        self.look_after(tell);
        let (watch, now) = (self.watch(), clock::now());
        let patient = locked(&watch.patient);
        let Some((since, due)) = patient.machine.is_barred() else {
            // In the child of a fork nothing bad is known yet.
            self.gate.bound.store(self.settings.max_waiting as usize, Ordering::Relaxed);
            return None;
        };
        watch.failed_fast.fetch_add(1, Ordering::Relaxed);
        let ago = now.saturating_sub(since) / 1_000_000;
        let next = match due.saturating_sub(now) / 1_000_000 {
            0 => "is being probed".to_string(),
            left => format!("is probed in {left} ms"),
        };
        let why = patient.why.as_ref().map_or("it failed", Error::message);
        let words = format!("{} is out since {ago} ms and {next}: {why}", self.address);
        let status = patient.why.as_ref().map_or(Status::Connection, Error::status);
        let status = if status == Status::Timeout { Status::Connection } else { status };
        let os_error = patient.why.as_ref().map_or(0, Error::os_error);
        Some(Error::new(status, words).with_os_error(os_error).with_bits(bits::NOT_SENT))
    }

    /// Whether the server's keys may go to others.
    pub fn is_out(&self) -> bool {
        self.bound() == 0 && locked(&self.watch().patient).machine.is_out()
    }

    /// Begins the probe that is due, or goes on with the one that is under way.
    #[cold]
    pub fn look_after(&self, tell: &mut dyn FnMut(Event)) {
        let (watch, now) = (self.watch(), clock::now());
        let Ok(mut probe) = watch.probe.try_lock() else { return };
        if probe.is_none() {
            if !locked(&watch.patient).machine.is_due(now) {
                return;
            }
            *probe = match Probe::begin(self, now) {
                Ok(begun) => Some(Box::new(begun)),
                Err(error) => return self.probed(watch, Err(error), tell),
            };
        }
        let Some(advanced) = probe.as_mut().map(|probe| probe.advance(self)) else { return };
        if let Ok(false) = advanced {
            return;
        }
        *probe = None;
        drop(probe);
        self.probed(watch, advanced.map(drop), tell);
    }

    /// A probe has ended. That the server refuses a login is an answer.
    fn probed(&self, watch: &Watch, ended: Result<(), Error>, tell: &mut dyn FnMut(Event)) {
        match ended {
            Err(error) if error.status() != Status::Auth => {
                let (why, now) = (self.named(&error), clock::now());
                let mut patient = locked(&watch.patient);
                if patient.machine.is_still_out(now, now ^ u64::from(self.server)) {
                    patient.why = Some(why);
                }
            }
            _ => self.is_well(watch, "answers again", tell),
        }
    }

    /// Lets calls in, and has the next one connect, however short a time ago that has failed.
    fn is_well(&self, watch: &Watch, how: &str, tell: &mut dyn FnMut(Event)) {
        self.failed_at.store(0, Ordering::Release);
        let mut patient = locked(&watch.patient);
        let news = patient.machine.is_well_again(clock::now());
        self.gate.bound.store(self.settings.max_waiting as usize, Ordering::Relaxed);
        self.note_suspicion(&patient);
        drop(patient);
        if news {
            let words = format!("{}: {how}", self.address);
            tell(Event::new(EventKind::BreakerClosed, 0, words).of(self.server));
        }
    }

    /// Tells whoever listens; for those who hold no lock.
    pub fn teller(&self) -> impl FnMut(Event) + '_ {
        |event| self.settings.listener.tell(|| event)
    }

    /// How often the gate was closed, and how many calls were failed at once.
    pub fn gate_counts(&self) -> (u64, u64) {
        let watch = self.watch();
        (watch.opened.load(Ordering::Relaxed), watch.failed_fast.load(Ordering::Relaxed))
    }
}
