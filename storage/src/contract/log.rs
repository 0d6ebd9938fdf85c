//! The first half of the interface of a backend: the log. The calls block. The committer calls them
//! from its own thread, except for reads.

use crate::contract::durability::Durability;
use crate::contract::error::StoreError;
use crate::format::block::Block;
use crate::id::position::{Epoch, Lsn, StoreId};

/// The log of a store: an append-only sequence of blocks, one for all its actors.
///
/// A backend stores blocks and gives back the stored ones; it judges nothing. [`crate::scan()`]
/// treats its answers as untrusted, and decides whether the log is whole. An opening syncs what it
/// finds, as far as the tier promises, before anyone reads it: the next block follows on it, and
/// says that it was durable.
///
/// After an error of [`Log::append`] or [`Log::sync`] while something was written, every later call
/// of them fails (fail-stop): the state of the last writes is *unknown*, and only a new opening of
/// the store finds it out. An error from before the first write, such as [`StoreError::Misuse`],
/// has changed nothing, and the store takes the next call.
pub trait Log: Send + Sync {
    /// What the store remembers of itself, apart from its blocks.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] or [`StoreError::Hung`].
    fn extent(&self) -> Result<Extent, StoreError>;

    /// Writes a block. It counts only after [`Log::sync`], and a read before that may not find it.
    /// It replaces what is stored at or after its first position: the remains of an unacknowledged
    /// append.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] when the block begins below what was acknowledged or appended; any
    /// other error is the medium's, and may come as late as the next sync.
    fn append(&self, block: &Block) -> Result<(), StoreError>;

    /// Syncs, as far as the tier of the store promises, all that was appended before, and
    /// remembers that it is acknowledged from now on.
    ///
    /// # Errors
    /// Those of [`StoreError`] that a medium gives. Acknowledge nothing appended since the last
    /// good sync, and do not try the sync again: close the store and open it.
    fn sync(&self) -> Result<(), StoreError>;

    /// The first block stored that begins at or after `from`; `None` when there is none.
    ///
    /// # Errors
    /// Those of [`StoreError`] that a medium gives. A block that is there but not whole is no
    /// error: it comes with a [`StoredBlock::damage`].
    fn read(&self, from: Lsn) -> Result<Option<StoredBlock>, StoreError>;

    /// Removes the blocks that lie wholly below `below`, after syncing that decision, in
    /// steps that let appends pass between them; a little may be left for the next cut. Returns
    /// where the log begins now. A crash in the middle leaves a log that begins there.
    ///
    /// # Errors
    /// Those of [`StoreError`] that a medium gives.
    fn cut(&self, below: Lsn) -> Result<Lsn, StoreError>;

    /// Closes the handle; call nothing after it. Dropping a handle does the same, but can't return
    /// an error. The default does nothing.
    ///
    /// # Errors
    /// Those of [`StoreError`] that a medium gives. Everything acknowledged is synced all the same.
    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What a store remembers of itself, apart from its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The store.
    pub store: StoreId,
    /// Its tier in this opening.
    pub durability: Durability,
    /// The position of the first block. A cut has removed everything below.
    pub start: Lsn,
    /// Everything below was acknowledged.
    pub acknowledged: Lsn,
    /// The newest incarnation that wrote.
    pub epoch: Epoch,
}

/// A block as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlock {
    /// Where it begins, or says that it does.
    pub first: Lsn,
    /// The block, or what is wrong with it.
    pub block: Result<Block, String>,
}

impl StoredBlock {
    /// What is wrong with it, if anything.
    #[must_use]
    pub fn damage(&self) -> Option<&str> {
        self.block.as_ref().err().map(String::as_str)
    }
}
