//! The state that the threads of an opening share. The superblock has one writer at a time; a
//! thread locks a map only for a moment.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::checkpoint_index::CheckpointIndex;
use super::log_index::LogIndex;
use super::superblock::Superblock;
use crate::contract::durability::Durability;
use crate::contract::error::StoreError;
use crate::medium::Medium;
use crate::threads::poison::Poison;

/// One opening of a store.
pub(super) struct Shared {
    pub(super) medium: Box<dyn Medium>,
    pub(super) poison: Arc<Poison>,
    superblock: Mutex<Superblock>,
    /// Held while a thread writes the superblock. It is not the lock above, which a thread holds
    /// only for a moment: callers who read take that one on their own threads, which nothing can
    /// give up, so a write that never ends must not hold it.
    writing: Mutex<()>,
    index: Mutex<LogIndex>,
    checkpoints: Mutex<CheckpointIndex>,
}

impl Shared {
    pub(super) fn new(
        medium: Box<dyn Medium>,
        poison: Arc<Poison>,
        superblock: Superblock,
        checkpoints: CheckpointIndex,
    ) -> Self {
        let index = LogIndex::new(superblock.start, superblock.first);
        Self {
            medium,
            poison,
            superblock: Mutex::new(superblock),
            writing: Mutex::default(),
            index: Mutex::new(index),
            checkpoints: Mutex::new(checkpoints),
        }
    }

    /// What the superblock says now, or will say after its next write.
    pub(super) fn superblock(&self) -> MutexGuard<'_, Superblock> {
        // Each change sets a few numbers after all checks, so a panic elsewhere leaves no half
        // change.
        self.superblock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the superblock and writes it; syncs it when `sync` is set and the tier is
    /// `PowerLoss`. It counts from then on. `change` runs twice: on the copy that is written, and
    /// then on the one in memory, so that no reader sees what a failed write did not store.
    pub(super) fn write(&self, sync: bool, change: impl Fn(&mut Superblock)) -> Result<(), StoreError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = self.superblock().clone();
        let before = changed.numbers();
        change(&mut changed);
        assert!(
            before.iter().zip(changed.numbers()).all(|(before, after)| *before <= after),
            "no number of the superblock goes back: {before:?}, and then {changed:?}"
        );
        let sync = sync && self.medium.durability() == Durability::PowerLoss;
        let encoded = changed.encode();
        // The next opening decodes these bytes, and refuses a superblock that contradicts itself.
        debug_assert!(Superblock::decode(&encoded.clone().into()).is_ok(), "{changed:?}");
        self.medium.write_superblock(&encoded, sync)?;
        // Not a copy of what was written: another thread may have changed other parts meanwhile.
        change(&mut self.superblock());
        Ok(())
    }

    pub(super) fn index(&self) -> MutexGuard<'_, LogIndex> {
        // A panic leaves no half entry: the index takes a block in one step, and reads a missing
        // one again.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn checkpoints(&self) -> MutexGuard<'_, CheckpointIndex> {
        self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
