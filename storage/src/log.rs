//! The first half of the seam to a backend: the log. Blocking; called from the committer's own thread, except for
//! reads.

use crate::position::{Epoch, Lsn, StoreId};
use crate::{Block, Durability, StoreError};

/// The log of a store: an append-only sequence of blocks, one for all its actors.
///
/// A backend keeps what it is told and tells what it has: it judges nothing. Whether what it has is whole is found
/// by [`crate::scan()`], which treats its answers as untrusted. An opening makes stable what it finds, as far as the
/// tier promises, before it is read: whatever is appended next is built on it, and says that it was durable.
///
/// After any error of [`Log::append`] or [`Log::sync`] every later call of them fails (fail-stop): what was being
/// written is *unknown*, and only a new opening of the store tells.
pub trait Log: Send + Sync {
    /// What the store remembers of itself, apart from its blocks.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] or [`StoreError::Hung`].
    fn extent(&self) -> Result<Extent, StoreError>;

    /// Writes a block. It counts only after [`Log::sync`]; whatever is stored at or after its first position, the
    /// remains of an append that nobody was told about, is replaced. Before that it may not be there to be read.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] when the block begins below what was acknowledged or appended; any other error is of
    /// the medium, which may come as late as that of the next sync.
    fn append(&self, block: &Block) -> Result<(), StoreError>;

    /// Makes stable, as far as the tier of the store promises, all that was appended before, and remembers that it
    /// is acknowledged from now on.
    ///
    /// # Errors
    /// The medium's. Nothing appended since the last good sync may be acknowledged, and no sync is tried again.
    fn sync(&self) -> Result<(), StoreError>;

    /// The first block stored that begins at or after `from`; `None` when there is none.
    ///
    /// # Errors
    /// The medium's. A block that is there but not whole is not an error but [`StoredBlock::damage`].
    fn read(&self, from: Lsn) -> Result<Option<StoredBlock>, StoreError>;

    /// Removes the blocks that lie wholly below `below`, after making that decision stable, in steps that let
    /// appends pass between them; a little may be left for the next cut. Returns where the log begins now. A crash in
    /// the middle leaves a log that begins there.
    ///
    /// # Errors
    /// The medium's.
    fn cut(&self, below: Lsn) -> Result<Lsn, StoreError>;

    /// Ends the handle in good order; nothing is called after it. Dropping a handle does the same, but can't tell what
    /// failed. A backend that has nothing to do then leaves it as it is.
    ///
    /// # Errors
    /// The medium's. What was acknowledged is stable all the same.
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
    /// The log begins with the block that begins here; everything below was cut.
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
