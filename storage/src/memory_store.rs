//! The backend of the tier `Volatile`: everything in memory, for tests and for actors that may
//! start over. It keeps the same contract as a disk, and distinguishes written data from synced
//! data.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::contract::append_rules::{Tail, admit_checkpoints};
use crate::contract::checkpoint_store::{CheckpointStore, Generation};
use crate::contract::durability::Durability;
use crate::contract::error::StoreError;
use crate::contract::log::{Extent, Log, StoredBlock};
use crate::format::block::Block;
use crate::format::checkpoint::{Checkpoint, CheckpointHeader};
use crate::id::actor_id::ActorId;
use crate::id::position::{CheckpointNumber, Epoch, Lsn, StoreId};

/// A store in memory. Clones are the same handle. The content lives until the last of them is
/// dropped.
///
/// [`MemoryStore::crash`] simulates a loss of power, [`MemoryStore::reopen`] a new opening. Both
/// end all handles that exist, as the end of their process would.
///
/// # Examples
/// ```
/// use relive_storage::{Log, MemoryStore};
///
/// let store = MemoryStore::new();
/// store.crash();
/// assert!(store.sync().is_err());
/// assert!(store.reopen().sync().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStore {
    media: Arc<Mutex<Media>>,
    opening: u64,
}

/// The simulated disk.
#[derive(Debug)]
struct Media {
    store: StoreId,
    /// The only opening that may use it.
    opening: u64,
    tail: Tail,
    start: Lsn,
    acknowledged: Lsn,
    epoch: Epoch,
    blocks: BTreeMap<Lsn, Block>,
    checkpoints: HashMap<ActorId, Kept>,
    highest: CheckpointNumber,
}

#[derive(Debug)]
struct Kept {
    header: CheckpointHeader,
    newest: Bytes,
    previous: Option<Bytes>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        let media = Media {
            store: StoreId::random(),
            opening: 0,
            tail: Tail::default(),
            start: Lsn::FIRST,
            acknowledged: Lsn::FIRST,
            epoch: Epoch::new(0),
            blocks: BTreeMap::new(),
            checkpoints: HashMap::new(),
            highest: CheckpointNumber::new(0),
        };
        Self { media: Arc::new(Mutex::new(media)), opening: 0 }
    }

    /// Opens the same content anew, as after the death of the process: what was appended is there,
    /// synced or not. Every earlier handle fails from now on.
    #[must_use]
    pub fn reopen(&self) -> Self {
        let mut media = self.lock();
        media.opening += 1;
        media.tail = Tail::default();
        let opening = media.opening;
        drop(media);
        Self { media: Arc::clone(&self.media), opening }
    }

    /// Drops what was not synced, as the loss of power would. Every handle fails from now on, until
    /// [`MemoryStore::reopen`].
    pub fn crash(&self) {
        let mut media = self.lock();
        let end = media.acknowledged;
        media.blocks.split_off(&end);
        media.opening += 1;
        media.tail = Tail::default();
    }

    fn lock(&self) -> MutexGuard<'_, Media> {
        // Every change of the content is one assignment after all checks, so a panic in between
        // leaves it whole.
        self.media.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> Result<MutexGuard<'_, Media>, StoreError> {
        let media = self.lock();
        if media.opening == self.opening {
            return Ok(media);
        }
        let reason = "this handle ended with a crash or a new opening".to_owned();
        Err(StoreError::Poisoned { reason })
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Log for MemoryStore {
    fn extent(&self) -> Result<Extent, StoreError> {
        let media = self.live()?;
        Ok(Extent {
            store: media.store,
            durability: Durability::Volatile,
            start: media.start,
            acknowledged: media.acknowledged,
            epoch: media.epoch,
        })
    }

    fn append(&self, block: &Block) -> Result<(), StoreError> {
        let mut media = self.live()?;
        let header = block.header();
        let start = media.start;
        let next = media.tail.admit(&header, media.acknowledged, |first| {
            let before = media.blocks.range(..first).next_back();
            Ok(before.map_or(start, |(_, block)| block.header().next()))
        })?;
        // What an earlier opening left unsynced at this place was never acknowledged.
        media.blocks.split_off(&header.first);
        media.blocks.insert(header.first, block.clone());
        media.epoch = media.epoch.max(header.epoch);
        media.tail.advance(next);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut media = self.live()?;
        media.acknowledged = media.tail.acknowledges(media.acknowledged);
        Ok(())
    }

    fn read(&self, from: Lsn) -> Result<Option<StoredBlock>, StoreError> {
        let media = self.live()?;
        let found = media.blocks.range(from.max(media.start)..).next();
        Ok(found.map(|(first, block)| StoredBlock { first: *first, block: Ok(block.clone()) }))
    }

    fn cut(&self, below: Lsn) -> Result<Lsn, StoreError> {
        let mut media = self.live()?;
        // Only a synced block may become the first, and a cut keeps the last synced one.
        let acknowledged = media.acknowledged;
        let synced = media.blocks.range(..acknowledged);
        let start = synced.map(|(first, _)| *first).take_while(|first| *first <= below).last();
        if let Some(start) = start {
            assert!(start >= media.start, "a cut never goes back: {start} before {}", media.start);
            media.blocks = media.blocks.split_off(&start);
            media.start = start;
        }
        Ok(media.start)
    }
}

impl CheckpointStore for MemoryStore {
    fn put(&self, checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        let mut media = self.live()?;
        let encoded = admit_checkpoints(checkpoints, media.highest)?;
        for (checkpoint, newest) in checkpoints.iter().zip(encoded) {
            let header = checkpoint.header.clone();
            let actor = header.actor.clone();
            media.highest = header.number;
            let before = media.checkpoints.remove(&actor);
            assert!(
                before.as_ref().is_none_or(|kept| kept.header.number < header.number),
                "the newest checkpoint of {actor} has the highest number"
            );
            media
                .checkpoints
                .insert(actor, Kept { header, newest, previous: before.map(|kept| kept.newest) });
        }
        Ok(())
    }

    fn get(&self, actor: &ActorId, generation: Generation) -> Result<Option<Checkpoint>, StoreError> {
        let media = self.live()?;
        let Some(kept) = media.checkpoints.get(actor) else {
            return Ok(None);
        };
        let bytes = match generation {
            Generation::Newest => Some(kept.newest.clone()),
            Generation::Previous => kept.previous.clone(),
        };
        let decoded = bytes.map(Checkpoint::decode).transpose();
        decoded.map_err(|malformed| StoreError::CorruptCheckpoint {
            actor: actor.clone(),
            number: kept.header.number,
            what: malformed.to_string(),
        })
    }

    fn list(&self, visit: &mut dyn FnMut(CheckpointHeader) -> ControlFlow<()>) -> Result<(), StoreError> {
        // Copied, because the visitor may take long, and calls of others must not wait for it.
        let headers: Vec<_> = {
            let media = self.live()?;
            media.checkpoints.values().map(|kept| kept.header.clone()).collect()
        };
        let _ = headers.into_iter().try_for_each(visit);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::conformance::{block, checkpoint, id};

    fn appended(store: &MemoryStore, blocks: std::ops::Range<u64>) {
        for first in blocks {
            store.append(&block(first, 1, first, 1)).unwrap();
        }
    }

    fn end(store: &MemoryStore) -> u64 {
        let last = (0..).map_while(|from| store.read(Lsn::new(from)).unwrap()).last();
        last.map_or(0, |stored| stored.block.unwrap().header().next().get())
    }

    /// A loss of power takes what was not synced, and the death of the process does not.
    #[test]
    fn a_crash_takes_what_was_not_synced() {
        let store = MemoryStore::new();
        appended(&store, 0..2);
        store.sync().unwrap();
        appended(&store, 2..4);
        let again = store.reopen();
        assert_eq!(end(&again), 4);
        again.crash();
        let after = again.reopen();
        assert_eq!((end(&after), after.extent().unwrap().acknowledged), (2, Lsn::new(2)));
        after.append(&block(2, 1, 2, 2)).unwrap();
    }

    /// Only the newest opening has the content; those before it fail in every call.
    #[test]
    fn a_handle_ends_with_a_crash_and_with_a_new_opening() {
        let store = MemoryStore::new();
        let second = store.reopen();
        let third = second.clone();
        assert!(matches!(store.sync(), Err(StoreError::Poisoned { .. })));
        assert!(second.sync().is_ok() && third.extent().is_ok());
        second.crash();
        assert!(second.extent().is_err());
        assert!(matches!(third.read(Lsn::FIRST), Err(StoreError::Poisoned { .. })));
        assert!(third.list(&mut |_| ControlFlow::Continue(())).is_err());
        store.reopen().sync().unwrap();
    }

    /// The first block of an opening replaces what an earlier one has left unsynced, and nothing
    /// acknowledged.
    #[test]
    fn a_new_opening_replaces_what_was_not_synced() {
        let store = MemoryStore::new();
        appended(&store, 0..2);
        store.sync().unwrap();
        appended(&store, 2..5);
        let again = store.reopen();
        assert!(matches!(again.append(&block(1, 1, 1, 2)), Err(StoreError::Misuse { .. })));
        again.append(&block(3, 1, 2, 2)).unwrap();
        assert_eq!(end(&again), 4, "the block at 4 is gone");
    }

    /// A cut keeps the last synced block, and the newest two checkpoints of an actor stay.
    #[test]
    fn a_cut_keeps_the_last_synced_block() {
        let store = MemoryStore::new();
        appended(&store, 0..3);
        store.sync().unwrap();
        appended(&store, 3..5);
        assert_eq!(store.cut(Lsn::new(9)).unwrap(), Lsn::new(2));
        assert_eq!(store.cut(Lsn::new(1)).unwrap(), Lsn::new(2), "a cut never goes back");
        for number in 1..=3 {
            store.put(&[checkpoint(&id("a"), number, 9)]).unwrap();
        }
        let number = |generation| store.get(&id("a"), generation).unwrap().unwrap().header.number.get();
        assert_eq!((number(Generation::Newest), number(Generation::Previous)), (3, 2));
    }

    /// No block is taken that no opening could read back.
    #[test]
    fn an_epoch_that_cannot_be_read_back_is_refused() {
        let store = MemoryStore::new();
        let epoch = crate::limits::POSITION_MAX;
        assert!(matches!(store.append(&block(0, 1, 0, epoch + 1)), Err(StoreError::Misuse { .. })));
        store.append(&block(0, 1, 0, epoch)).unwrap();
    }
}
