//! The interface of a disk to a store, and nothing more: streams of opaque values, and a small
//! superblock. Knows no block, no checkpoint and no actor. The layer above knows what the values
//! mean, and judges whether they are whole and which of them it may remove.

pub mod memory;
pub mod segments;

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use crate::contract::durability::Durability;
use crate::contract::error::StoreError;
use crate::id::position::StoreId;
pub use crate::limits::{SUPERBLOCK_BYTES_MAX, VALUE_BYTES_MAX};

/// The number of a stream. The user of a medium chooses it, and never uses the number of a removed
/// stream again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// A medium: the storage of one store on a disk, or on a stand-in for one.
///
/// Values stand in *streams*, each a sequence without gaps: the caller gives the position of the
/// first value, and each other value has the position after the one before. A stream exists from
/// its first value on; when that value is lost and a later one is not, the stream still begins with
/// the first one. A caller appends values at the end, and removes them from the front, from the
/// end, or all together.
///
/// A medium does not judge what values mean: it gives back the values that are there, or says that
/// one is damaged. It detects its own damage: it never gives back a value that was not appended to
/// that stream at that position. One process at a time opens it. An opening syncs what it finds, as
/// far as its tier promises.
///
/// Calls block. They may come from several threads at once: appends to one stream come from one
/// thread at a time, and a value is read only after its append has returned.
///
/// After an error of a call that writes, every later one fails with [`StoreError::Poisoned`]
/// (fail-stop): the state of the last writes is *unknown*, and only a new opening finds it out.
/// [`StoreError::Misuse`] is no such error: it refuses a call that has written nothing. A medium
/// never tries a failed sync again.
pub trait Medium: Send + Sync {
    /// The id of the store.
    fn store(&self) -> StoreId;

    /// The tier of this opening: the failures that values survive after [`Medium::sync`].
    fn durability(&self) -> Durability;

    /// All streams, each with the positions of its values. A value in the middle may be damaged,
    /// and the last ones may be the remains of appends that were never synced.
    ///
    /// # Errors
    /// [`StoreError`].
    fn streams(&self) -> Result<BTreeMap<StreamId, Range<u64>>, StoreError>;

    /// Appends a value at the end of a stream. It counts only after [`Medium::sync`].
    ///
    /// # Errors
    /// [`StoreError::Misuse`] when `position` is not the one after the last of the stream, or the
    /// value is over [`VALUE_BYTES_MAX`], after which nothing has changed; the medium's.
    fn append(&self, stream: StreamId, position: u64, value: &[u8]) -> Result<(), StoreError>;

    /// Syncs, as far as the tier promises, all that was appended to a stream before.
    ///
    /// # Errors
    /// [`StoreError`]. Do not rely on anything appended to it since the last good sync.
    fn sync(&self, stream: StreamId) -> Result<(), StoreError>;

    /// The value at a position; `None` where there is none. The inner error says what is damaged.
    ///
    /// # Errors
    /// [`StoreError`].
    fn read(&self, stream: StreamId, position: u64) -> Result<Option<Result<Bytes, String>>, StoreError>;

    /// Removes the values of a stream below a position: all of them or, where that is cheaper,
    /// fewer, and never one at or above it. The stream stays, and goes on where it ended, even when
    /// no value is left. A crash in the middle leaves a stream that lacks some of them from the
    /// front.
    ///
    /// # Errors
    /// [`StoreError`].
    fn remove_below(&self, stream: StreamId, position: u64) -> Result<(), StoreError>;

    /// Removes the values of a stream from a position on, and syncs that, so that none of them
    /// comes back. The next value has this position. For the remains of unacknowledged appends.
    ///
    /// # Errors
    /// [`StoreError`].
    fn remove_from(&self, stream: StreamId, position: u64) -> Result<(), StoreError>;

    /// Removes a stream. A crash in the middle leaves any of its values.
    ///
    /// # Errors
    /// [`StoreError`].
    fn remove(&self, stream: StreamId) -> Result<(), StoreError>;

    /// The superblock that was written last, or one that was written since the last synced one;
    /// empty in a new store.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::CorruptStore`]; the medium's.
    fn superblock(&self) -> Result<Bytes, StoreError>;

    /// Replaces the superblock as a whole. It syncs the new one only when `sync` is set: without it
    /// the new one survives the end of the process, and a loss of power may bring back the synced
    /// one, or any one after that.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] when it is over [`SUPERBLOCK_BYTES_MAX`], after which nothing has
    /// changed; the medium's.
    fn write_superblock(&self, bytes: &[u8], sync: bool) -> Result<(), StoreError>;

    /// Closes the handle; call nothing after it. Dropping it does the same, but can't return an
    /// error.
    ///
    /// # Errors
    /// [`StoreError`]. Synced values are there all the same.
    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
