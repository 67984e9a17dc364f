//! Call: where the answers of a caller that is not the leader are put, by whoever is. Leader and caller share it; the
//! caller may leave at any time, and what comes later is dropped.

use crate::answers::Answers;
use crate::error::Error;
use crate::operation::{Answer, Hits, Sink};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{lock, thread_local, Mutex, MutexGuard};
use std::cell::Cell;
use std::sync::Arc;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Call {
    /// Every answer has come.
    done: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    count: usize,
    left: usize,
    gone: bool,
    /// The answer of the only operation, where it is a hit whose value was at hand …
    hit: Option<Hit>,
    /// … and that value.
    value: Vec<u8>,
    /// All others. (Of a call of one operation it has none until there is one.)
    answers: Answers,
}

#[derive(Clone, Copy, Debug)]
struct Hit {
    flags: u32,
    cas: u64,
}

impl Inner {
    /// Makes it as good as new, for `count` answers.
    #[inline(always)]
    fn begin(&mut self, count: usize) {
        (self.count, self.left, self.gone, self.hit) = (count, count, false, None);
        self.answers.reset(if count == 1 { 0 } else { count });
    }

    fn answers(&mut self) -> &mut Answers {
        if self.answers.len() < self.count {
            self.answers.reset(self.count);
        }
        &mut self.answers
    }
}

thread_local! {
    /// The call that this thread used last: most often nobody else holds it any more, and it is used again.
    static LAST: Cell<Option<Arc<Call>>> = const { Cell::new(None) };
}

impl Call {
    /// A call that awaits `count` answers.
    pub fn new(count: usize) -> Arc<Call> {
        let mut call = LAST.try_with(Cell::take).ok().flatten().unwrap_or_default();
        if Arc::get_mut(&mut call).is_none() {
            call = Arc::default();
        }
        call.done.store(count == 0, Ordering::Relaxed);
        call.lock().begin(count);
        call
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Whether every answer has come.
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// Takes in the answer of operation `index`.
    pub fn answer(&self, index: u32, answer: Answer<'_>) {
        self.take_in(|inner| inner.answers().answer(index as usize, answer));
    }

    /// The same, where it is a hit whose value is at hand.
    pub fn hit(&self, index: u32, flags: u32, cas: u64, value: &[u8]) {
        self.take_in(|inner| match inner.count {
            1 => {
                inner.hit = Some(Hit { flags, cas });
                inner.value.clear();
                inner.value.extend_from_slice(value);
            }
            _ => Sink::hit(inner.answers(), index as usize, flags, cas, value),
        });
    }

    #[inline(always)]
    fn take_in(&self, put: impl FnOnce(&mut Inner)) {
        let mut inner = self.lock();
        if inner.gone {
            return;
        }
        put(&mut inner);
        inner.left = inner.left.saturating_sub(1);
        if inner.left == 0 {
            self.done.store(true, Ordering::Release);
        }
    }

    /// Ends the call of one operation if its answer has come and is a hit whose value was at hand: `sink` gets it. Else it is
    /// given back.
    #[inline(always)]
    pub fn take_hit(self: Arc<Call>, sink: &mut impl Hits) -> Result<(), Arc<Call>> {
        let mut inner = self.lock();
        let Some(hit) = inner.hit.take() else {
            drop(inner);
            return Err(self);
        };
        inner.gone = true;
        sink.hit(0, hit.flags, hit.cas, &inner.value);
        drop(inner);
        self.keep();
        Ok(())
    }

    /// Ends the call: `sink` gets every answer that has come, and `error` for each that has not.
    pub fn finish(self: Arc<Call>, sink: &mut dyn Sink, error: impl Fn() -> Error) {
        let mut inner = self.lock();
        inner.gone = true;
        match inner.hit.take() {
            Some(hit) => sink.hit(0, hit.flags, hit.cas, &inner.value),
            None => inner.answers().hand_over(sink, |sink, index| sink.answer(index, Answer::failed(&error()))),
        }
        drop(inner);
        self.keep();
    }

    fn keep(self: Arc<Call>) {
        let _ = LAST.try_with(|last| last.set(Some(self)));
    }
}
