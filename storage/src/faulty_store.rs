//! A store around another one that fails, hangs or loses power at a chosen call. For tests of whoever uses a store.
//!
//! Nothing in it waits for time to pass: a call that hangs does so until it is released.

mod faults;

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::admission::Tail;
use crate::checkpoint_store::{CheckpointStore, Generation};
use crate::log::{Extent, Log, StoredBlock};
use crate::position::Lsn;
use crate::{ActorId, Block, Checkpoint, CheckpointHeader, Store, StoreError};

pub use faults::{Call, Fault, Faults};

/// A store that does what `S` does, until a fault is due.
///
/// Blocks that are appended reach the inner store with the next sync, so that [`Fault::Forget`] can lose them.
///
/// # Examples
/// ```
/// use relive_storage::faulty_store::{Call, Fault, FaultyStore};
/// use relive_storage::{Log, MemoryStore};
///
/// let store = FaultyStore::new(MemoryStore::new());
/// let faults = store.faults();
/// faults.plan(Fault::FailForGood, Call::Sync, 2);
/// assert!(store.sync().is_ok());
/// assert!(store.sync().is_err());
/// assert!(store.sync().is_err());
/// assert_eq!(faults.calls(Call::Sync), 3);
/// ```
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: S,
    faults: Faults,
    unsynced: Mutex<Unsynced>,
}

/// What was appended and would be lost with the power.
#[derive(Debug, Default)]
struct Unsynced {
    tail: Tail,
    blocks: Vec<Block>,
}

impl<S: Store> FaultyStore<S> {
    /// Wraps a store, without any fault so far.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self { inner, faults: Faults::default(), unsynced: Mutex::default() }
    }

    /// What is planned and what was called; stays valid when the store is given away.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// The store inside, without what was not synced: what a new opening finds after the loss of power.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn unsynced(&self) -> MutexGuard<'_, Unsynced> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the last block of the inner store ends that begins before `first`.
    fn stored_end(&self, first: Lsn) -> Result<Lsn, StoreError> {
        let mut end = self.inner.extent()?.start;
        while let Some(stored) = self.inner.read(end)? {
            match stored.block {
                Ok(block) if stored.first < first => end = block.header().next(),
                _ => break,
            }
        }
        Ok(end)
    }
}

impl<S: Store> Log for FaultyStore<S> {
    fn extent(&self) -> Result<Extent, StoreError> {
        self.faults.enter(Call::Extent)?;
        let mut extent = self.inner.extent()?;
        for block in &self.unsynced().blocks {
            extent.epoch = extent.epoch.max(block.header().epoch);
        }
        Ok(extent)
    }

    fn append(&self, block: &Block) -> Result<(), StoreError> {
        self.faults.enter(Call::Append)?;
        let acknowledged = self.inner.extent()?.acknowledged;
        let mut unsynced = self.unsynced();
        let stored_end = |first| self.stored_end(first);
        let next = unsynced.tail.admit(&block.header(), acknowledged, stored_end)?;
        unsynced.tail.advance(next);
        unsynced.blocks.push(block.clone());
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.faults.enter(Call::Sync)?;
        let mut unsynced = self.unsynced();
        for block in unsynced.blocks.drain(..) {
            self.inner.append(&block)?;
        }
        self.inner.sync()
    }

    fn read(&self, from: Lsn) -> Result<Option<StoredBlock>, StoreError> {
        self.faults.enter(Call::Read)?;
        let unsynced = self.unsynced();
        // The first append of an opening replaces all that is stored at and after it.
        let replaced = unsynced.blocks.first().map(|block| block.header().first);
        let stored = self.inner.read(from)?;
        let stored = stored.filter(|stored| replaced.is_none_or(|replaced| stored.first < replaced));
        Ok(stored.or_else(|| {
            let mut blocks = unsynced.blocks.iter();
            let block = blocks.find(|block| block.header().first >= from)?;
            Some(StoredBlock { first: block.header().first, block: Ok(block.clone()) })
        }))
    }

    fn cut(&self, below: Lsn) -> Result<Lsn, StoreError> {
        self.faults.enter(Call::Cut)?;
        self.inner.cut(below)
    }
}

impl<S: Store> CheckpointStore for FaultyStore<S> {
    fn put(&self, checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        self.faults.enter(Call::Put)?;
        self.inner.put(checkpoints)
    }

    fn get(&self, actor: &ActorId, generation: Generation) -> Result<Option<Checkpoint>, StoreError> {
        self.faults.enter(Call::Get)?;
        self.inner.get(actor, generation)
    }

    fn list(
        &self,
        visit: &mut dyn FnMut(CheckpointHeader) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.faults.enter(Call::List)?;
        self.inner.list(visit)
    }
}
