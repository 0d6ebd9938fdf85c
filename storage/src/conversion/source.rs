//! What a conversion reads: a store from its beginning to its end, in the order in which another one can be written. Writes
//! nothing, and repairs nothing: whatever is damaged is an error.

use std::path::Path;
use std::sync::Arc;

use crate::choice::open_directory;
use crate::log::Extent;
use crate::old_sled::{self, OldSled};
use crate::position::CheckpointNumber;
use crate::scan::scan_checked;
use crate::{ActorId, Block, Checkpoint, Generation, Store, StoreError, StoreOptions};

/// A store that is read whole. Its directory is locked for as long as it is there.
pub(super) struct Source(pub(super) Arc<dyn Store>);

impl Source {
    /// Opens the store of a directory to be read, whatever its format.
    pub(super) fn open(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        if old_sled::is_old(path)? {
            return Ok(Self(Arc::new(OldSled::open(path)?)));
        }
        Ok(Self(Arc::new(open_directory(path.to_owned(), options)?)))
    }

    /// What it remembers of itself.
    pub(super) fn extent(&self) -> Result<Extent, StoreError> {
        self.0.extent()
    }

    /// Shows the blocks of the log in order, up to its end or to what a commit has left that nobody was told about.
    ///
    /// # Errors
    /// Those of [`crate::scan()`]; the visitor's.
    pub(super) fn blocks(
        &self,
        visit: &mut dyn FnMut(&Block) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let scanned = scan_checked(&*self.0, visit)?;
        if let Some(torn) = scanned.torn {
            tracing::info!(end = %scanned.next, torn, "the log ends in what nobody was told about, which is left out");
        }
        Ok(())
    }

    /// Shows both checkpoints of each actor, all in the order of their numbers.
    ///
    /// # Errors
    /// [`StoreError::CorruptCheckpoint`] and [`StoreError::CorruptStore`]; the visitor's.
    pub(super) fn checkpoints(
        &self,
        visit: &mut dyn FnMut(&Checkpoint) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut before = CheckpointNumber::new(0);
        for (number, actor, generation) in self.in_order()? {
            if number <= before {
                let what = format!("{number} of {actor} is not the only one of that number");
                return Err(StoreError::CorruptStore { what });
            }
            before = number;
            let found = self.0.get(&actor, generation)?;
            let found = found.filter(|checkpoint| checkpoint.header.number == number);
            let gone = || StoreError::CorruptStore { what: format!("{number} of {actor} is gone") };
            visit(&found.ok_or_else(gone)?)?;
        }
        Ok(())
    }

    /// Ends it in good order; nothing is called after it.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        self.0.close()
    }

    /// Which checkpoints there are, in the order of their numbers. Of one that is not the newest only reading it tells the
    /// number.
    fn in_order(&self) -> Result<Vec<(CheckpointNumber, ActorId, Generation)>, StoreError> {
        let mut all = Vec::new();
        self.0.list(&mut |header| {
            all.push((header.number, header.actor, Generation::Newest));
            Ok(())
        })?;
        for at in 0..all.len() {
            let (newest, actor, _) = &all[at];
            let Some(previous) = self.0.get(actor, Generation::Previous)? else { continue };
            let (number, actor) = (previous.header.number, actor.clone());
            if number >= *newest {
                let what = format!("it is kept as the one before {newest}");
                return Err(StoreError::CorruptCheckpoint { actor, number, what });
            }
            all.push((number, actor, Generation::Previous));
        }
        all.sort_unstable_by_key(|(number, _, _)| *number);
        Ok(all)
    }
}
