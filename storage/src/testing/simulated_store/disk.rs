//! The simulated device as a test holds it: opens it, plans what goes wrong, takes the power away,
//! reads the trace.

use std::fmt;
use std::sync::Arc;

use super::device::Lie;
use super::plan::{Call, Fault, Unsynced};
use super::shared::Shared;
use super::store::SimulatedStore;
use super::trace::Step;
use crate::id::position::Lsn;

/// A device that loses writes that were not synced, and fails as planned. Clones are the same
/// device.
///
/// All chance in it comes from its seed: the same calls with the same plan leave the same content
/// and the same trace. It displays as seed and plan, which repeat a failure.
///
/// # Examples
/// ```
/// use relive_storage::Log;
/// use relive_storage::simulated_store::{Call, Fault, SimulatedDisk};
///
/// let disk = SimulatedDisk::new(7);
/// disk.plan(Fault::FailForGood, Call::Sync, 2);
/// let store = disk.open();
/// assert!(store.sync().is_ok());
/// assert!(store.sync().is_err());
/// assert!(store.sync().is_err());
/// assert_eq!(disk.calls(Call::Sync), 3);
/// assert_eq!(disk.to_string(), "seed 7, FailForGood at Sync 2");
/// assert!(disk.open().sync().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct SimulatedDisk(Arc<Shared>);

impl SimulatedDisk {
    /// An empty device.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Shared::new(seed)))
    }

    /// Opens it, and syncs its content. When only the process died and the power stayed, all writes
    /// are there. Every earlier opening fails from now on.
    #[must_use]
    pub fn open(&self) -> SimulatedStore {
        SimulatedStore::new(Arc::clone(&self.0), self.0.open())
    }

    /// Lets a fault happen at the `nth` call of a method, counted from 1 since the device was made
    /// and over all its openings. With [`Call::Any`] all methods are counted together, with
    /// [`Call::AnyWrite`] all that change the device.
    pub fn plan(&self, fault: Fault, call: Call, nth: u64) {
        self.0.lock().plan.add(fault, call, nth);
    }

    /// Lets a fault happen at the next call of a method.
    pub fn plan_next(&self, fault: Fault, call: Call) {
        let mut state = self.0.lock();
        let next = state.plan.calls(call) + 1;
        state.plan.add(fault, call, next);
    }

    /// Cancels planned faults that have not happened.
    pub fn plan_nothing(&self) {
        self.0.lock().plan.clear();
    }

    /// How often a method was called. Failed calls count; calls of an opening that had ended do
    /// not.
    #[must_use]
    pub fn calls(&self, call: Call) -> u64 {
        self.0.lock().plan.calls(call)
    }

    /// Takes the power away, outside of any call. Every opening fails from now on, until
    /// [`SimulatedDisk::open`].
    pub fn lose_power(&self, unsynced: Unsynced) {
        self.0.lock().lose_power(unsynced);
    }

    /// Whether it is open and has not lost its power since.
    #[must_use]
    pub fn has_power(&self) -> bool {
        self.0.lock().powered
    }

    /// Sets how many bytes of blocks and checkpoints it holds at most. A write past that fails,
    /// half done, and so does every later one of its opening.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().device.capacity = bytes;
    }

    /// How many bytes of blocks and checkpoints it holds.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.lock().device.cached.bytes()
    }

    /// Makes it lie from now on, or be honest again.
    pub fn set_lie(&self, lie: Option<Lie>) {
        self.0.lock().device.lie = lie;
    }

    /// Loses a synced block silently. Returns whether there was one.
    pub fn lose_block(&self, at: Lsn) -> bool {
        self.0.lock().device.lose_block(at)
    }

    /// Releases every call that hangs. No call hangs after this.
    pub fn release(&self) {
        self.0.release();
    }

    /// Waits until a call hangs.
    pub fn wait_for_hang(&self) {
        self.0.wait_for_hang();
    }

    /// All calls so far, without those of openings that had ended.
    #[must_use]
    pub fn trace(&self) -> Vec<Step> {
        self.0.lock().trace.clone()
    }
}

impl fmt::Display for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, {}", self.0.seed, self.0.lock().plan)
    }
}
