//! Control: what the handle of a running server changes, by name, on its way to the server's thread.

use super::config::Config;
use super::fault::Fault;
use crate::error::Result;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// See the module.
#[derive(Default)]
pub struct Control {
    changed: AtomicBool,
    pending: Mutex<Vec<(String, String)>>,
}

impl Control {
    /// Checks a change, and leaves it for the server's thread.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        change(&mut Config::default(), &mut None, name, value)?;
        self.pending().push((name.into(), value.into()));
        self.changed.store(true, Ordering::Release);
        Ok(())
    }

    /// On the server's thread, before a command: makes the changes that have come.
    pub fn apply(&self, config: &mut Config, fault: &mut Option<Fault>) {
        if !self.changed.load(Ordering::Acquire) || !self.changed.swap(false, Ordering::AcqRel) {
            return;
        }
        for (name, value) in self.pending().drain(..) {
            // It was accepted when it was set.
            let _ = change(config, fault, &name, &value);
        }
    }

    fn pending(&self) -> MutexGuard<'_, Vec<(String, String)>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn change(config: &mut Config, fault: &mut Option<Fault>, name: &str, value: &str) -> Result<()> {
    match name {
        "fault" => *fault = Fault::parse(value)?,
        _ => config.change(name, value)?,
    }
    Ok(())
}
