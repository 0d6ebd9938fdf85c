//! Reads the old store of a conversion from its beginning to its end, in the order in which the new
//! one takes it. Writes nothing, and repairs nothing: any damage is an error.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::contract::checkpoint_store::{Generation, Store};
use crate::contract::error::StoreError;
use crate::contract::log::Extent;
use crate::format::block::Block;
use crate::format::checkpoint::Checkpoint;
use crate::id::actor_id::ActorId;
use crate::id::position::CheckpointNumber;
use crate::opening::choice::open_directory;
use crate::opening::directory_medium::{Media, of_older_format};
use crate::opening::options::StoreOptions;
use crate::scan::scan_checked;

/// The store to read. It locks its directory until it is dropped.
pub(super) struct Source(pub(super) Arc<dyn Store>);

impl Source {
    /// Opens the store of a directory for reading, in any format.
    pub(super) fn open(path: &Path, options: &StoreOptions, media: Media) -> Result<Self, StoreError> {
        if let Some(medium) = of_older_format(media, path)? {
            return Ok(Self(Arc::from(medium.open_older_format(path)?)));
        }
        Ok(Self(Arc::new(open_directory(path.to_owned(), options, media)?)))
    }

    /// The extent of the store.
    pub(super) fn extent(&self) -> Result<Extent, StoreError> {
        self.0.extent()
    }

    /// Shows the blocks of the log in order, up to its end or to the remains of an unacknowledged
    /// commit.
    ///
    /// # Errors
    /// Those of [`crate::scan()`]; the visitor's.
    pub(super) fn blocks(
        &self,
        visit: &mut dyn FnMut(&Block) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let scanned = scan_checked(&*self.0, visit)?;
        if let Some(torn) = scanned.torn {
            tracing::info!(end = %scanned.next, torn, "the log ends in an unacknowledged commit, which is left out");
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

    /// Closes it; call nothing after it.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        self.0.close()
    }

    /// Which checkpoints there are, in the order of their numbers. Only a read says the number of
    /// one that is not the newest.
    fn in_order(&self) -> Result<Vec<(CheckpointNumber, ActorId, Generation)>, StoreError> {
        let mut all = Vec::new();
        self.0.list(&mut |header| {
            all.push((header.number, header.actor, Generation::Newest));
            ControlFlow::Continue(())
        })?;
        // The length of before: what is found here is added behind.
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
        // By number, not by actor: the numbers of puts rise over the whole store.
        all.sort_unstable_by_key(|(number, _, _)| *number);
        Ok(all)
    }
}
