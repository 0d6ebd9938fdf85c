//! What the threads of an opening share. The superblock has one writer at a time; the maps are locked for a moment each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::log_index::LogIndex;
use super::places::Places;
use super::superblock::Superblock;
use crate::medium::Medium;
use crate::poison::Poison;
use crate::{Durability, StoreError};

/// One opening of a store.
pub(super) struct Shared {
    pub(super) medium: Box<dyn Medium>,
    pub(super) poison: Arc<Poison>,
    superblock: Mutex<Superblock>,
    /// Held by whoever writes it. Apart from the above, which is locked for a moment only: a write that never ends must not
    /// hold up those who read, who are no threads that can be given up.
    writing: Mutex<()>,
    index: Mutex<LogIndex>,
    places: Mutex<Places>,
}

impl Shared {
    pub(super) fn new(
        medium: Box<dyn Medium>,
        poison: Arc<Poison>,
        superblock: Superblock,
        places: Places,
    ) -> Self {
        let index = LogIndex::new(superblock.start, superblock.first);
        Self {
            medium,
            poison,
            superblock: Mutex::new(superblock),
            writing: Mutex::default(),
            index: Mutex::new(index),
            places: Mutex::new(places),
        }
    }

    /// What the superblock says now, or will when it is written next.
    pub(super) fn superblock(&self) -> MutexGuard<'_, Superblock> {
        // Each change is of a few numbers, after all checks, so a panic elsewhere leaves no half of one.
        self.superblock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the superblock and writes it, stable when the tier asks for that at all. What it says counts from then on.
    /// `change` is made twice, to what is written and to what is in memory then.
    pub(super) fn write(&self, stable: bool, change: impl Fn(&mut Superblock)) -> Result<(), StoreError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = self.superblock().clone();
        change(&mut changed);
        let stable = stable && self.medium.durability() == Durability::PowerLoss;
        self.medium.write_superblock(&changed.encode(), stable)?;
        change(&mut self.superblock());
        Ok(())
    }

    pub(super) fn index(&self) -> MutexGuard<'_, LogIndex> {
        // What was half learnt is learnt again: a block is remembered in one step.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
