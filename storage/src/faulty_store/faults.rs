//! The plan of a [`super::FaultyStore`]: which call fails how, and how often each was made. Knows no store.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::StoreError;

/// A method of the seam, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// Every method.
    Any,
    /// `Log::extent`.
    Extent,
    /// `Log::append`.
    Append,
    /// `Log::sync`.
    Sync,
    /// `Log::read`.
    Read,
    /// `Log::cut`.
    Cut,
    /// `CheckpointStore::put`.
    Put,
    /// `CheckpointStore::get`.
    Get,
    /// `CheckpointStore::list`.
    List,
}

impl Call {
    fn writes(self) -> bool {
        matches!(self, Self::Append | Self::Sync | Self::Cut | Self::Put)
    }
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It fails and does nothing; the next one goes through. No backend does that to a write, but one may to a read.
    Fail,
    /// It fails and does nothing, and so does every later write, as after a full disk. Reads go on.
    FailForGood,
    /// It does nothing until [`Faults::release`], and then goes through.
    Hang,
    /// The power goes: the call and all later ones fail, and what was not synced is lost.
    Forget,
}

/// What is planned for a [`super::FaultyStore`], and what was called. Clones are the same plan.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    counts: HashMap<Call, u64>,
    planned: Vec<(Fault, Call, u64)>,
    /// Calls that hang now.
    hanging: u64,
    released: bool,
    writes_fail: bool,
    dead: bool,
}

impl Faults {
    /// Lets a fault happen at the `nth` call of a method, counted from 1 since the store was made. With [`Call::Any`]
    /// all methods are counted together.
    pub fn plan(&self, fault: Fault, call: Call, nth: u64) {
        self.lock().planned.push((fault, call, nth));
    }

    /// How often a method was called, failed calls included.
    #[must_use]
    pub fn calls(&self, call: Call) -> u64 {
        self.lock().counts.get(&call).copied().unwrap_or_default()
    }

    /// Lets go on whatever hangs, and lets nothing hang any more.
    pub fn release(&self) {
        self.lock().released = true;
        self.0.changed.notify_all();
    }

    /// Waits until a call hangs.
    pub fn wait_for_hang(&self) {
        let state = self.lock();
        let waited = self.0.changed.wait_while(state, |state| state.hanging == 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts a call and does to it what is planned.
    pub(super) fn enter(&self, call: Call) -> Result<(), StoreError> {
        let mut state = self.lock();
        let mut due = None;
        for counted in [Call::Any, call] {
            let count = state.counts.entry(counted).or_default();
            *count += 1;
            let now = *count;
            let planned = state.planned.iter();
            let planned = planned.filter(|(_, call, nth)| (*call, *nth) == (counted, now));
            due = planned.map(|(fault, _, _)| *fault).next_back().or(due);
        }
        if state.dead {
            return Err(poisoned("the power is gone"));
        }
        if state.writes_fail && call.writes() {
            return Err(poisoned("a fault was planned"));
        }
        match due {
            None => return Ok(()),
            Some(Fault::Fail) => {}
            Some(Fault::FailForGood) => state.writes_fail = true,
            Some(Fault::Forget) => state.dead = true,
            Some(Fault::Hang) => {
                self.hang(state);
                return Ok(());
            }
        }
        Err(StoreError::Backend {
            action: "do a call",
            reason: format!("a fault was planned for this call of {call:?}"),
        })
    }

    fn hang(&self, mut state: MutexGuard<'_, State>) {
        state.hanging += 1;
        self.0.changed.notify_all();
        let waited = self.0.changed.wait_while(state, |state| !state.released);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.hanging -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Counters and flags: a panic elsewhere leaves them as true as before.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn poisoned(reason: &str) -> StoreError {
    StoreError::Poisoned { reason: reason.to_owned() }
}
