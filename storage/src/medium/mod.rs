//! What a disk does for a store, and nothing more: streams of opaque values, and a small superblock. Knows no block, no
//! checkpoint and no actor; what the values mean, whether what is there is whole, and what may be removed is judged above.

pub mod memory;
pub mod segments;
pub mod sled;
mod superblock_file;

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use crate::position::StoreId;
use crate::{Durability, StoreError};

/// The number of a stream. Whoever uses a medium chooses it, and never uses the number of a removed stream again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// The most bytes of a value.
pub const VALUE_BYTES_MAX: usize = 64 << 20;

/// The most bytes of a superblock.
pub const SUPERBLOCK_BYTES_MAX: usize = 64 << 10;

/// A medium: what a disk, or what stands for one, keeps for one store.
///
/// Values stand in *streams*, each a sequence without gaps: the first has the position that it is given, each other one the
/// position after the one before. A stream begins to be there with its first value; when that is lost and a later one is
/// not, the stream begins with it all the same. Values are appended at the end, and
/// removed from the front, from the end, or all together.
///
/// A medium judges nothing that is above it: it gives back what is there, or says that a value is damaged. It knows its own
/// damage though: no value is given back that was not appended to that stream at that position. It is opened by one process
/// at a time, and has made stable, as far as its tier promises, what it finds when it opens.
///
/// Calls block. They may come from several threads at once: appends to one stream come from one thread at a time, and a
/// value is read only after its append has returned.
///
/// After an error of a call that writes, every later one fails with [`StoreError::Poisoned`] (fail-stop): what was being
/// written is *unknown*, and only a new opening tells. No sync is tried again.
pub trait Medium: Send + Sync {
    /// Which store this is.
    fn store(&self) -> StoreId;

    /// The tier of this opening: what [`Medium::sync`] makes values survive.
    fn durability(&self) -> Durability;

    /// The streams that there are, each with the positions of its values. A value in the middle may be damaged, and the last
    /// ones may be what is left of appends that were never synced.
    ///
    /// # Errors
    /// The medium's.
    fn streams(&self) -> Result<BTreeMap<StreamId, Range<u64>>, StoreError>;

    /// Appends a value at the end of a stream. It counts only after [`Medium::sync`].
    ///
    /// # Errors
    /// [`StoreError::Misuse`] when `position` is not the one after the last of the stream, or the value is over
    /// [`VALUE_BYTES_MAX`], after which nothing has changed; the medium's.
    fn append(&self, stream: StreamId, position: u64, value: &[u8]) -> Result<(), StoreError>;

    /// Makes stable, as far as the tier promises, all that was appended to a stream before.
    ///
    /// # Errors
    /// The medium's. Nothing appended to it since the last good sync may be relied on.
    fn sync(&self, stream: StreamId) -> Result<(), StoreError>;

    /// The value at a position; `None` where there is none. The inner error says what is damaged.
    ///
    /// # Errors
    /// The medium's.
    fn read(&self, stream: StreamId, position: u64) -> Result<Option<Result<Bytes, String>>, StoreError>;

    /// Removes the values of a stream below a position, all or, where that is cheaper, fewer of them, never one at or above
    /// it. The stream stays, and goes on where it ended, also when nothing is left of it. A crash in the middle leaves a
    /// stream that lacks some of them from the front.
    ///
    /// # Errors
    /// The medium's.
    fn remove_below(&self, stream: StreamId, position: u64) -> Result<(), StoreError>;

    /// Removes the values of a stream from a position on, stable, so that none of them comes back: what is appended next has
    /// this position. For the remains of appends that nobody relies on.
    ///
    /// # Errors
    /// The medium's.
    fn remove_from(&self, stream: StreamId, position: u64) -> Result<(), StoreError>;

    /// Removes a stream. A crash in the middle leaves any of its values.
    ///
    /// # Errors
    /// The medium's.
    fn remove(&self, stream: StreamId) -> Result<(), StoreError>;

    /// The superblock that was written last, or one that was written since the last stable one; empty in a new store.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::CorruptStore`]; the medium's.
    fn superblock(&self) -> Result<Bytes, StoreError>;

    /// Replaces the superblock, as a whole. Made stable only when told so: else it survives the process, and a loss of power
    /// may bring the stable one back, or any after that.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] when it is over [`SUPERBLOCK_BYTES_MAX`], after which nothing has changed; the medium's.
    fn write_superblock(&self, bytes: &[u8], stable: bool) -> Result<(), StoreError>;

    /// Ends the handle in good order; nothing is called after it. Dropping it does the same, but can't tell what failed.
    ///
    /// # Errors
    /// The medium's. What was made stable is there all the same.
    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
