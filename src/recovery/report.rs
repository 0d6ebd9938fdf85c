//! What an opening reports to its caller: the progress of the recovery, and its result. Data only.

use std::sync::Arc;
use std::time::Duration;

use relive_replay::guard::guarded;
use relive_storage::{Durability, Epoch, StoreId};

use crate::error::ActorFailure;

/// The progress of a recovery; the opening passes it to the callback of
/// [`Builder::on_progress`](crate::Builder::on_progress).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveryProgress {
    /// The opening reads and checks the log.
    Reading {
        /// Records read so far.
        records: u64,
        /// Bytes read so far.
        bytes: u64,
    },
    /// The opening restores actors.
    Replaying {
        /// Actors restored so far.
        actors: usize,
        /// Actors to restore.
        of: usize,
        /// Deliveries replayed so far.
        deliveries: u64,
    },
}

/// What a recovery found and did; [`Runtime::recovery`](crate::Runtime::recovery) returns it.
///
/// # Examples
/// ```no_run
/// # fn example(runtime: relive::Runtime) {
/// let report = runtime.recovery();
/// println!("replayed {} deliveries of {} actors", report.replayed, report.actors);
/// for failure in &report.failed {
///     eprintln!("{failure}"); // this actor stands still, the others serve
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The store.
    pub store: StoreId,
    /// Which failures it survives from now on.
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
    /// The previous recovery crashed before it was complete. The runtime tries the actors in which
    /// it may have crashed one at a time, and leaves a delivery out that ends the process again and
    /// again. See [`RestartPolicy`](crate::RestartPolicy).
    pub in_probation: bool,
    /// Passive actors whose checkpoints the opening decoded, to find states that this code can't
    /// read: up to 256 of each kind.
    pub passive_checked: usize,
    /// Actors that could not be restored; the others serve.
    pub failed: Vec<Arc<ActorFailure>>,
    /// What the opening found of a last commit that was never acknowledged, if anything; it cuts
    /// it.
    pub torn_tail: Option<String>,
    /// The time from the call to the end of recovery.
    pub elapsed: Duration,
}

/// The callback for the progress of the recovery.
pub(crate) type Progress = dyn Fn(RecoveryProgress) + Send + Sync;

/// Calls the callback, which may panic.
pub(crate) fn tell(progress: &Progress, step: RecoveryProgress) {
    if let Err(panic) = guarded(|| progress(step)) {
        tracing::warn!(panic, "the callback that is told of the progress panicked");
    }
}

/// When the callback hears of the log: for each mebibyte, or each 10,000 records.
#[derive(Default)]
pub(crate) struct ReadingSteps {
    records: u64,
    bytes: u64,
}

impl ReadingSteps {
    pub(crate) fn are_due(&mut self, records: u64, bytes: u64) -> bool {
        assert!(self.records <= records && self.bytes <= bytes, "an opening reads on, never back");
        let due = records >= self.records + TOLD_RECORDS || bytes >= self.bytes + TOLD_BYTES;
        if due {
            *self = Self { records, bytes };
        }
        due
    }
}

/// Whether the callback hears of this number of restored actors: each hundredth of them, and the
/// last.
pub(crate) fn is_told(actors: usize, of: usize) -> bool {
    assert!(actors <= of, "{actors} of {of} actors are restored");
    actors == of || actors.is_multiple_of((of / 100).max(1))
}

const TOLD_RECORDS: u64 = 10_000;
const TOLD_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callback_is_told_now_and_then() {
        let mut steps = ReadingSteps::default();
        let told = (0..100_000).filter(|records| steps.are_due(*records, 0)).count();
        assert_eq!(told, 9);
        let mut steps = ReadingSteps::default();
        let told = (0..10_000).filter(|records| steps.are_due(*records, records * 1_024)).count();
        assert_eq!(told, 9);
        for (of, expected) in [(1, 1), (3, 3), (100, 100), (250, 125), (1_000_000, 100)] {
            assert_eq!((1..=of).filter(|actors| is_told(*actors, of)).count(), expected, "of {of}");
        }
    }
}
