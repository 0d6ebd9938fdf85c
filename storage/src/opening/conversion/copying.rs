//! Reads a whole store, writes what it reads into another, and sums up what it saw, so that a
//! caller can compare two readings. Knows no medium and no directory.

use std::collections::HashSet;

use crc32fast::Hasher;

use super::source::Source;
use crate::boundary;
use crate::contract::checkpoint_store::Store;
use crate::contract::error::StoreError;
use crate::format::block::Block;
use crate::format::checkpoint::Checkpoint;
use crate::id::position::{CheckpointNumber, Epoch, Lsn, StoreId};
use crate::limits::CHECKPOINT_BYTES_MAX;

/// What a reading of a whole store saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    store: StoreId,
    start: Lsn,
    /// Where the log ends.
    next: Lsn,
    epoch: Epoch,
    blocks: u64,
    blocks_sum: u32,
    checkpoints: u64,
    highest: CheckpointNumber,
    checkpoints_sum: u32,
}

/// Reads a store, and shows all that it keeps: the blocks, then the checkpoints.
fn read(
    source: &Source,
    on_block: &mut dyn FnMut(&Block) -> Result<(), StoreError>,
    on_checkpoint: &mut dyn FnMut(&Checkpoint) -> Result<(), StoreError>,
) -> Result<Seen, StoreError> {
    let extent = source.extent()?;
    let mut seen = Seen {
        store: extent.store,
        start: extent.start,
        next: extent.start,
        epoch: extent.epoch,
        blocks: 0,
        blocks_sum: 0,
        checkpoints: 0,
        highest: CheckpointNumber::new(0),
        checkpoints_sum: 0,
    };
    let mut sum = Hasher::new();
    source.blocks(&mut |block| {
        sum.update(block.bytes());
        seen.blocks += 1;
        seen.next = block.header().next();
        seen.epoch = seen.epoch.max(block.header().epoch);
        on_block(block)
    })?;
    seen.blocks_sum = sum.finalize();
    // A sum of its own, so that a difference says in which half it is.
    let mut sum = Hasher::new();
    source.checkpoints(&mut |checkpoint| {
        let encoded = checkpoint.encode().map_err(|found| StoreError::TooLarge {
            what: format!("the checkpoint of {}", checkpoint.header.actor),
            found,
            limit: CHECKPOINT_BYTES_MAX,
        })?;
        sum.update(&encoded);
        seen.checkpoints += 1;
        seen.highest = checkpoint.header.number;
        on_checkpoint(checkpoint)
    })?;
    seen.checkpoints_sum = sum.finalize();
    Ok(seen)
}

/// Reads a store only to see what it keeps.
pub(super) fn look(source: &Source) -> Result<Seen, StoreError> {
    read(source, &mut |_| Ok(()), &mut |_| Ok(()))
}

/// Reads a store, and writes all that it keeps into another that begins where it does. A failure in
/// the new one is no damage of a store: nobody relies on it yet.
pub(super) fn copy(source: &Source, target: &dyn Store) -> Result<Seen, StoreError> {
    let mut unsynced = 0;
    let mut group = Group::default();
    let seen = read(
        source,
        &mut |block| {
            target.append(block).map_err(of_target)?;
            unsynced += block.bytes().len();
            if unsynced >= LOG_STEP_BYTES {
                target.sync().map_err(of_target)?;
                boundary!("convert.block");
                unsynced = 0;
            }
            Ok(())
        },
        &mut |checkpoint| group.add(checkpoint, target),
    )?;
    group.put(target)?;
    target.sync().map_err(of_target)?;
    boundary!("convert.copied");
    Ok(seen)
}

/// The checkpoints of one put.
#[derive(Default)]
struct Group {
    checkpoints: Vec<Checkpoint>,
    actors: HashSet<crate::id::actor_id::ActorId>,
    bytes: usize,
}

impl Group {
    /// Adds the next one; puts the others first when there is no room for it.
    fn add(&mut self, checkpoint: &Checkpoint, target: &dyn Store) -> Result<(), StoreError> {
        let actor = &checkpoint.header.actor;
        assert!(
            self.checkpoints.last().is_none_or(|last| last.header.number < checkpoint.header.number),
            "the checkpoints of a put come in the order of their numbers"
        );
        let full = self.bytes >= GROUP_BYTES || self.checkpoints.len() >= GROUP;
        // One put can't take both checkpoints of an actor.
        if full || self.actors.contains(actor) {
            self.put(target)?;
        }
        self.actors.insert(actor.clone());
        self.bytes += checkpoint.body.len();
        self.checkpoints.push(checkpoint.clone());
        Ok(())
    }

    fn put(&mut self, target: &dyn Store) -> Result<(), StoreError> {
        if !self.checkpoints.is_empty() {
            target.put(&self.checkpoints).map_err(of_target)?;
            boundary!("convert.checkpoints");
        }
        *self = Self::default();
        Ok(())
    }
}

/// Damage in the new store does no harm to the old one.
pub(super) fn of_target(error: StoreError) -> StoreError {
    if error.is_corrupt() {
        return StoreError::Backend { action: "keep the converted copy", reason: error.cause() };
    }
    error
}

/// The copy syncs the log after this many bytes.
const LOG_STEP_BYTES: usize = 2 << 20;
/// The most bytes, and the most checkpoints, of one put.
const GROUP_BYTES: usize = 4 << 20;
const GROUP: usize = 1024;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::contract::checkpoint_store::CheckpointStore;
    use crate::contract::log::Log;
    use crate::layered::{LayeredOptions, LayeredStore};
    use crate::memory_store::MemoryStore;
    use crate::testing::conformance::{block, checkpoint, id};
    use crate::testing::simulated_medium::SimulatedMedium;

    fn target() -> (SimulatedMedium, Arc<LayeredStore>) {
        let device = SimulatedMedium::new(1);
        let opened = device.clone();
        let open = move || Ok(Box::new(opened.open()) as Box<dyn crate::medium::Medium>);
        (device, Arc::new(LayeredStore::open(open, &LayeredOptions::default()).unwrap()))
    }

    fn source() -> Source {
        let store = MemoryStore::new();
        for first in 0..5 {
            store.append(&block(first, 1, first, 1)).unwrap();
        }
        store.sync().unwrap();
        for number in 1..4 {
            store.put(&[checkpoint(&id("alice"), number, 90)]).unwrap();
        }
        Source(Arc::new(store))
    }

    #[test]
    fn a_copy_is_seen_as_what_it_was_made_of_and_a_change_of_it_is_not() {
        let (source, (_, target)) = (source(), target());
        let copied = copy(&source, &*target).unwrap();
        let seen = look(&Source(Arc::clone(&target) as Arc<dyn Store>)).unwrap();
        assert_eq!((seen.blocks, seen.checkpoints, seen.highest.get()), (5, 2, 3));
        assert_eq!(Seen { store: copied.store, ..seen }, copied);
        target.put(&[checkpoint(&id("alice"), 4, 90)]).unwrap();
        let seen = look(&Source(target as Arc<dyn Store>)).unwrap();
        assert_ne!(Seen { store: copied.store, ..seen }, copied);
    }

    /// The old store is whole, and no error may call it damaged.
    #[test]
    fn a_copy_that_does_not_read_back_is_no_damage_of_the_store() {
        let (source, (device, target)) = (source(), target());
        device.turn_a_byte_of_the_next_value();
        let error = copy(&source, &*target)
            .and_then(|_| look(&Source(Arc::clone(&target) as Arc<dyn Store>)).map_err(of_target).map(drop));
        assert!(matches!(error, Err(StoreError::Backend { .. })), "{error:?}");
    }
}
