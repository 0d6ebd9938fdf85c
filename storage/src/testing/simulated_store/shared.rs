//! The state that a simulated device and its openings share. It counts and traces each call, and
//! lets it through, fails it, holds it or cuts it off as planned.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::device::Device;
use super::plan::{Call, Crash, Fault, Moment, Plan, Unsynced};
use super::trace::Step;
use crate::contract::append_rules::Tail;
use crate::contract::error::StoreError;
use crate::id::position::StoreId;
use crate::testing::draws::Draws;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) seed: u64,
    pub(super) store: StoreId,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) device: Device,
    pub(super) plan: Plan,
    pub(super) trace: Vec<Step>,
    /// The only opening that may use the device, until the power goes.
    pub(super) opening: u64,
    pub(super) powered: bool,
    pub(super) tail: Tail,
    /// Why this opening writes nothing any more.
    failed: Option<String>,
    hanging: u64,
    released: bool,
}

/// What a call does, whole or in the middle of it.
pub(super) trait Work<T> {
    /// Does it.
    fn whole(&self, state: &mut State) -> Result<T, StoreError>;

    /// Does the part of it that was done when the power went.
    fn torn(&self, _state: &mut State, _unsynced: Unsynced) {}
}

impl Shared {
    pub(super) fn new(seed: u64) -> Self {
        let mut draws = Draws::new(seed);
        let store = StoreId::new((u128::from(draws.bits()) << 64) | u128::from(draws.bits()));
        let state = State {
            device: Device::new(draws),
            plan: Plan::default(),
            trace: Vec::new(),
            opening: 0,
            powered: false,
            tail: Tail::default(),
            failed: None,
            hanging: 0,
            released: false,
        };
        Self { seed, store, state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No code of this module panics while it holds the lock, and a plan or a trace stays true
        // after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a new opening, which ends those before it.
    pub(super) fn open(&self) -> u64 {
        let mut state = self.lock();
        state.opening += 1;
        state.powered = true;
        state.tail = Tail::default();
        state.failed = None;
        state.device.flush();
        state.opening
    }

    /// Releases every call that hangs. No call hangs after this.
    pub(super) fn release(&self) {
        self.lock().released = true;
        self.changed.notify_all();
    }

    /// Waits until a call hangs.
    pub(super) fn wait_for_hang(&self) {
        let state = self.lock();
        let waited = self.changed.wait_while(state, |state| state.hanging == 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// One call of the backend by an opening.
    pub(super) fn call<T>(
        &self,
        opening: u64,
        call: Call,
        on: String,
        work: &dyn Work<T>,
    ) -> Result<T, StoreError> {
        let mut state = self.live(opening)?;
        let fault = state.plan.enter(call);
        let nth = state.plan.calls(Call::Any);
        if fault == Some(Fault::Hang) {
            state = self.hang(state);
            if state.opening != opening || !state.powered {
                return Err(ended());
            }
        }
        let outcome = state.perform(call, fault, work);
        let said = match &outcome {
            Ok(_) => "done".to_owned(),
            Err(StoreError::Poisoned { reason } | StoreError::Backend { reason, .. }) => reason.clone(),
            Err(error) => error.to_string(),
        };
        let (unsynced, marks) = (state.device.unsynced(), state.device.unsynced_marks());
        state.trace.push(Step { nth, call, on, outcome: said, unsynced, marks });
        outcome
    }

    fn live(&self, opening: u64) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.lock();
        if state.opening == opening && state.powered { Ok(state) } else { Err(ended()) }
    }

    fn hang<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.hanging += 1;
        self.changed.notify_all();
        let waited = self.changed.wait_while(state, |state| !state.released);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.hanging -= 1;
        state
    }
}

impl State {
    /// The power goes.
    pub(super) fn lose_power(&mut self, unsynced: Unsynced) {
        self.powered = false;
        self.device.lose_power(unsynced);
    }

    /// Stops all writes of this opening.
    pub(super) fn fail(&mut self, reason: &str) -> StoreError {
        self.failed.get_or_insert_with(|| reason.to_owned());
        StoreError::Backend { action: "write", reason: reason.to_owned() }
    }

    fn perform<T>(&mut self, call: Call, fault: Option<Fault>, work: &dyn Work<T>) -> Result<T, StoreError> {
        if let Some(reason) = self.failed.clone().filter(|_| call.writes()) {
            return Err(StoreError::Poisoned { reason });
        }
        match fault {
            None | Some(Fault::Hang) => work.whole(self),
            Some(Fault::Crash(crash)) => Err(self.crash(crash, work)),
            Some(Fault::Fail) => {
                if call == Call::Sync {
                    self.device.give_up();
                }
                Err(planned(call))
            }
            Some(Fault::FailForGood) => {
                if call == Call::Sync {
                    self.device.give_up();
                }
                self.fail("a fault was planned");
                Err(planned(call))
            }
        }
    }

    fn crash<T>(&mut self, crash: Crash, work: &dyn Work<T>) -> StoreError {
        match crash.moment {
            Moment::Before => {}
            Moment::Torn => work.torn(self, crash.unsynced),
            Moment::After => drop(work.whole(self)),
        }
        self.lose_power(crash.unsynced);
        ended()
    }
}

fn planned(call: Call) -> StoreError {
    StoreError::Backend { action: "do a call", reason: format!("a fault was planned for this {call:?}") }
}

fn ended() -> StoreError {
    let reason = "this opening ended with the loss of power or a new opening".to_owned();
    StoreError::Poisoned { reason }
}
