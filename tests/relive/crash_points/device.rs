//! The device under a run: a simulated store, whose calls are those of the `Store` interface, or
//! the store over a simulated medium, whose calls are those that write to the medium. Either loses
//! power at the planned call.

use std::sync::Arc;

use relive_storage::simulated_medium::{Left, SimulatedMedium};
use relive_storage::simulated_store::{Call, Fault, Lie, Moment, SimulatedDisk, Step, Unsynced};
use relive_storage::{LayeredOptions, LayeredStore, Lsn, Store, StoreError};

use super::words::{At, Point};

pub(crate) enum Device {
    Store(SimulatedDisk),
    Medium(SimulatedMedium),
}

impl Device {
    /// Opens the device with everything written. Every earlier opening fails from now on.
    pub(crate) fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        match self {
            Self::Store(disk) => Ok(Arc::new(disk.open())),
            Self::Medium(medium) => {
                let medium = medium.clone();
                // Each pack is full at once, so that these runs close and remove packs too.
                let options = LayeredOptions::default().pack_bytes(1);
                Ok(Arc::new(LayeredStore::open(move || Ok(Box::new(medium.open())), &options)?))
            }
        }
    }

    /// Plans a loss of power at a later point. A medium has one such plan at a time.
    pub(crate) fn plan(&self, point: &Point) {
        let At::Call(nth) = point.at else { return };
        match self {
            Self::Store(disk) => disk.plan(Fault::Crash(point.crash), Call::Any, nth),
            Self::Medium(medium) => {
                let after = point.crash.moment == Moment::After;
                medium.plan(nth - medium.calls(), after, left(point.crash.unsynced));
            }
        }
    }

    /// Cancels planned losses of power that have not come. A medium keeps its plan.
    pub(crate) fn plan_nothing(&self) {
        if let Self::Store(disk) = self {
            disk.plan_nothing();
        }
    }

    pub(crate) fn lose_power(&self, unsynced: Unsynced) {
        match self {
            Self::Store(disk) => disk.lose_power(unsynced),
            Self::Medium(medium) => medium.lose_power(left(unsynced)),
        }
    }

    pub(crate) fn has_power(&self) -> bool {
        match self {
            Self::Store(disk) => disk.has_power(),
            Self::Medium(medium) => medium.has_power(),
        }
    }

    /// Makes the device lie, or be honest again. A medium that began to lie goes on lying: it has
    /// lost its first write by then.
    pub(crate) fn set_lie(&self, lie: Option<Lie>) {
        match (self, lie) {
            (Self::Store(disk), lie) => disk.set_lie(lie),
            (Self::Medium(medium), Some(_)) => medium.lie(),
            (Self::Medium(_), None) => {}
        }
    }

    /// The number of calls so far.
    pub(crate) fn calls(&self) -> usize {
        match self {
            Self::Store(disk) => disk.trace().len(),
            Self::Medium(medium) => usize::try_from(medium.calls()).unwrap(),
        }
    }

    /// The calls so far; none for a medium, which keeps no trace.
    pub(crate) fn trace(&self) -> Vec<Step> {
        match self {
            Self::Store(disk) => disk.trace(),
            Self::Medium(_) => Vec::new(),
        }
    }

    /// Silently loses a block that is on stable storage. Returns whether there was one.
    pub(crate) fn lose_block(&self, at: Lsn) -> bool {
        match self {
            Self::Store(disk) => disk.lose_block(at),
            Self::Medium(_) => false,
        }
    }
}

fn left(unsynced: Unsynced) -> Left {
    match unsynced {
        Unsynced::Kept => Left::All,
        Unsynced::Drawn => Left::Drawn,
        _ => Left::Nothing,
    }
}
