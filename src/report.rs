//! What an opening tells its caller: how far recovery has come, and what it found and did. Data only.

use std::sync::Arc;
use std::time::Duration;

use relive_replay::guard::guarded;
use relive_storage::{Durability, Epoch, StoreId};

use crate::error::ActorFailure;

/// How far recovery has come; given to the callback of the builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveryProgress {
    /// The log is being read and checked.
    Reading {
        /// Records read so far.
        records: u64,
        /// Bytes read so far.
        bytes: u64,
    },
    /// Actors are being restored.
    Replaying {
        /// Actors restored so far.
        actors: usize,
        /// Actors to restore.
        of: usize,
        /// Deliveries replayed so far.
        deliveries: u64,
    },
}

/// What recovery found and did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The store.
    pub store: StoreId,
    /// What it survives from now on.
    pub durability: Durability,
    /// How often it has been opened for writing, this time included.
    pub epoch: Epoch,
    /// Records read and checked.
    pub records: u64,
    /// Bytes of blocks read and checked.
    pub bytes: u64,
    /// Actors restored into memory.
    pub actors: usize,
    /// Deliveries replayed.
    pub replayed: u64,
    /// The opening before did not get through what it found: its process ended on the way. What it may have ended in is
    /// tried with care, one actor at a time, and is quarantined when it ends the process again and again.
    pub with_care: bool,
    /// Passive actors whose checkpoints were read as their states, to find those that this code can't read: up to 256 of
    /// each kind.
    pub passive_checked: usize,
    /// Actors that could not be restored; the others serve.
    pub failed: Vec<Arc<ActorFailure>>,
    /// The remains of a commit that was never acknowledged, if there were any; they are cut.
    pub torn_tail: Option<String>,
    /// The time from the call to the end of recovery.
    pub took: Duration,
}

/// The callback that is told how far recovery has come.
pub(crate) type Progress = dyn Fn(RecoveryProgress) + Send + Sync;

/// Tells the callback, which may panic.
pub(crate) fn tell(progress: &Progress, step: RecoveryProgress) {
    if let Err(panic) = guarded(|| progress(step)) {
        tracing::warn!(panic, "the callback that is told of the progress panicked");
    }
}
