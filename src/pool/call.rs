//! Call: where the answers of a caller that is not the leader are put, by whoever is. Leader and caller share it; the
//! caller may leave at any time, and what comes later is dropped.

use crate::answers::Answers;
use crate::error::Error;
use crate::operation::{Answer, Sink};
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
    answers: Answers,
    left: usize,
    gone: bool,
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
        let mut inner = call.lock();
        inner.answers.reset(count);
        inner.left = count;
        inner.gone = false;
        drop(inner);
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
        self.take_in(|answers| answers.answer(index as usize, answer));
    }

    /// The same, where it is a hit whose value is at hand.
    pub fn hit(&self, index: u32, flags: u32, cas: u64, value: &[u8]) {
        self.take_in(|answers| answers.hit(index as usize, flags, cas, value));
    }

    fn take_in(&self, put: impl FnOnce(&mut Answers)) {
        let mut inner = self.lock();
        if inner.gone {
            return;
        }
        put(&mut inner.answers);
        inner.left = inner.left.saturating_sub(1);
        if inner.left == 0 {
            self.done.store(true, Ordering::Release);
        }
    }

    /// Ends the call: `sink` gets every answer that has come, and `error` for each that has not.
    pub fn finish(self: Arc<Call>, sink: &mut dyn Sink, error: impl Fn() -> Error) {
        let mut inner = self.lock();
        inner.gone = true;
        inner.answers.hand_over(sink, |sink, index| sink.answer(index, Answer::failed(&error())));
        drop(inner);
        let _ = LAST.try_with(|last| last.set(Some(self)));
    }
}
