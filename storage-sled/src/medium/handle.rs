//! The handle of a medium on sled: the calls of [`Medium`], each guarded against what sled may do.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use relive_storage::limits::POSITION_MAX;
use relive_storage::medium::{Medium, StreamId, VALUE_BYTES_MAX};
use relive_storage::medium_support::{IDENTITY_FILE, Poison, io_error, mixed};
use relive_storage::{Durability, StoreError, StoreId, boundary};

use super::opening::{self, Opened};
use crate::failures::{reading, writing};
use crate::tree::value::{count, split};
use crate::tuning::{PARTS_PER_REMOVAL_MIN, UNFENCED_BYTES_MAX, UNSYNCED_BYTES_MAX};

/// A medium in a directory, on sled 0.34.
///
/// After [`Medium::sync`] has returned, the values survive the loss of power in the tier
/// `PowerLoss`, and the death of the process in `ProcessCrash`. A sync covers all streams. After a
/// call that writes has failed, and after a panic of sled, every call that writes fails.
///
/// A stream whose last value [`Medium::remove_from`] has removed does not exist after the next
/// opening. [`Medium::remove_below`] keeps the last value of a stream.
///
/// Dropping it closes it as [`Medium::close`] does, and only logs what goes wrong.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use relive_storage::medium::{Medium, StreamId};
/// use relive_storage::Durability;
/// use relive_storage_sled::SledMedium;
///
/// let directory = tempfile::tempdir()?;
/// let medium = SledMedium::open(directory.path().join("data"), Durability::PowerLoss)?;
/// medium.append(StreamId(0), 0, b"first")?;
/// medium.sync(StreamId(0))?;
/// medium.close()?;
/// # Ok(())
/// # }
/// ```
pub struct SledMedium {
    store: StoreId,
    durability: Durability,
    directory: PathBuf,
    poison: Poison,
    /// Held during a sync of all streams, until every caller can see its failure.
    syncing: Mutex<()>,
    /// The bytes written to streams other than the first since the last sync. Relaxed accesses
    /// suffice: it only decides when to sync early, and orders no other data.
    unsynced: AtomicUsize,
    /// `None` after the close.
    opened: RwLock<Option<Arc<Opened>>>,
}

impl SledMedium {
    /// Opens the medium of a directory; creates one in a directory that is missing or empty.
    ///
    /// A relative path starts at the working directory of this moment.
    ///
    /// # Errors
    /// None of its values was changed: [`StoreError::Locked`] (another process or handle has it
    /// open), [`StoreError::NotAStore`] (the directory holds something else),
    /// [`StoreError::OtherMedium`], [`StoreError::NewerFormat`], [`StoreError::Missing`],
    /// [`StoreError::Mixed`] and [`StoreError::CorruptStore`] (restore the files; whatever sled
    /// refuses or panics over while it opens, unless a call of the system failed),
    /// [`StoreError::Misuse`] (the tier `Volatile`, which is that of
    /// [`relive_storage::medium::memory::MemoryMedium`]; a store of the formats 1 and 2, which
    /// [`crate::open_store`] converts). Otherwise: [`StoreError::Io`], [`StoreError::Backend`].
    pub fn open(path: impl AsRef<Path>, durability: Durability) -> Result<Self, StoreError> {
        Self::open_or_create(path.as_ref(), durability, None)
    }

    /// As [`SledMedium::open`]; a new medium gets this store's id, and a medium of another store is
    /// [`StoreError::Mixed`].
    pub(crate) fn create_as(path: &Path, durability: Durability, store: StoreId) -> Result<Self, StoreError> {
        let medium = Self::open_or_create(path, durability, Some(store))?;
        if medium.store != store {
            return Err(mixed(&medium.directory.join(IDENTITY_FILE), store, medium.store));
        }
        Ok(medium)
    }

    fn open_or_create(
        path: &Path,
        durability: Durability,
        store: Option<StoreId>,
    ) -> Result<Self, StoreError> {
        // An absolute path, because the process may change its working directory later.
        let directory = std::path::absolute(path).map_err(io_error("find", path))?;
        if durability == Durability::Volatile {
            let what =
                "a medium in a directory was asked to be volatile, as only one in memory is".to_owned();
            return Err(StoreError::Misuse { what });
        }
        let poison = Poison::default();
        let opened = reading(&poison, "open", || opening::open(&directory, durability, store))?;
        let store = opened.store;
        tracing::info!(path = %directory.display(), tier = %durability, %store, "opened the medium");
        let opened = RwLock::new(Some(Arc::new(opened)));
        let (syncing, unsynced) = (Mutex::default(), AtomicUsize::new(0));
        Ok(Self { store, durability, directory, poison, syncing, unsynced, opened })
    }

    fn opened(&self) -> Result<Arc<Opened>, StoreError> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        let closed = || StoreError::Misuse { what: "a medium was used after it was closed".to_owned() };
        opened.clone().ok_or_else(closed)
    }

    /// Makes a call that changes stored data, unless an earlier one has failed.
    fn change<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Opened) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.poison.check()?;
        let opened = self.opened()?;
        writing(&self.poison, action, || work(&opened))
    }

    fn sync_all(&self, opened: &Opened) -> Result<(), StoreError> {
        let _alone = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        // The sync that held the lock before may have failed. The system reports a failed write
        // only once, so this sync would succeed without the lost pages.
        self.poison.check()?;
        // Before the sync: what is written meanwhile may be in it or not, and counts for the next
        // one.
        self.unsynced.store(0, Ordering::Relaxed);
        writing(&self.poison, "sync", || opened.syncer.sync(&opened.db))
    }

    fn append_to(
        &self,
        opened: &Opened,
        stream: StreamId,
        position: u64,
        value: &[u8],
    ) -> Result<(), StoreError> {
        let mut span = opened.streams.admit(stream, position)?;
        // The fences first, and those of the next values with them: a leaf must split while it
        // holds nothing but keys.
        if value.len() <= UNFENCED_BYTES_MAX {
            span.fences.pass();
        } else {
            for (ahead, part) in span.fences.advance(count(value.len())) {
                opened.values.fence(stream, position.saturating_add(ahead), part)?;
            }
        }
        for (key, part) in split(stream, position, value) {
            // The first stream is the log, and its writer syncs it soon.
            if stream != StreamId(0)
                && self.unsynced.fetch_add(part.len(), Ordering::Relaxed) > UNSYNCED_BYTES_MAX
            {
                self.sync_all(opened)?;
            }
            opened.values.insert(key, part)?;
        }
        // Only now: a reader asks for no position before all of its parts are there.
        opened.streams.appended(stream, span);
        Ok(())
    }

    /// Closes the medium, once.
    fn shut(&self) -> Result<(), StoreError> {
        let opened = self.opened.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(opened) = opened else { return Ok(()) };
        let outcome = self.sync_all(&opened);
        // sled ends with its last handle, and may panic then.
        outcome.and(writing(&self.poison, "close", move || {
            drop(opened);
            Ok(())
        }))
    }
}

impl Medium for SledMedium {
    fn store(&self) -> StoreId {
        self.store
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn streams(&self) -> Result<BTreeMap<StreamId, Range<u64>>, StoreError> {
        Ok(self.opened()?.streams.all())
    }

    fn append(&self, stream: StreamId, position: u64, value: &[u8]) -> Result<(), StoreError> {
        if value.len() > VALUE_BYTES_MAX || position > POSITION_MAX {
            let what = format!("a value of {} bytes at position {position}", value.len());
            return Err(StoreError::Misuse { what });
        }
        self.change("append", |opened| self.append_to(opened, stream, position, value))
    }

    fn sync(&self, _stream: StreamId) -> Result<(), StoreError> {
        self.change("sync", |opened| self.sync_all(opened))
    }

    fn read(&self, stream: StreamId, position: u64) -> Result<Option<Result<Bytes, String>>, StoreError> {
        let opened = self.opened()?;
        if !opened.streams.has(stream, position) {
            return Ok(None);
        }
        let value = reading(&self.poison, "read", || opened.values.read(stream, position))?;
        // A value that was removed meanwhile is not damaged.
        Ok(if value.is_err() && !opened.streams.has(stream, position) { None } else { Some(value) })
    }

    fn remove_below(&self, stream: StreamId, position: u64) -> Result<(), StoreError> {
        self.change("remove", |opened| {
            let Some(span) = opened.streams.get(stream) else { return Ok(()) };
            // The last value says where the stream goes on.
            let end = position.min(span.end.saturating_sub(1));
            while let Some(front) = opened.values.front(stream, end, PARTS_PER_REMOVAL_MIN)? {
                // Ahead of the removal: a reader that misses a part then knows that it is gone.
                opened.streams.begins(stream, front.below);
                opened.values.remove_front(front)?;
                boundary!("medium.remove.step");
            }
            Ok(())
        })
    }

    fn remove_from(&self, stream: StreamId, position: u64) -> Result<(), StoreError> {
        self.change("remove", |opened| {
            let Some(span) = opened.streams.get(stream).filter(|span| position < span.end) else {
                return Ok(());
            };
            opened.streams.ends(stream, position);
            // Synced by this call: a loss of power must not bring back what the next value
            // replaces.
            opened.values.remove_values(stream, position..span.end)?;
            self.sync_all(opened)
        })
    }

    fn remove(&self, stream: StreamId) -> Result<(), StoreError> {
        self.change("remove", |opened| {
            opened.streams.forget(stream);
            opened.values.remove_all(stream)
        })
    }

    fn superblock(&self) -> Result<Bytes, StoreError> {
        Ok(self.opened()?.superblock.newest())
    }

    fn write_superblock(&self, bytes: &[u8], sync: bool) -> Result<(), StoreError> {
        self.change("write", |opened| opened.superblock.write(bytes, sync))
    }

    fn close(&self) -> Result<(), StoreError> {
        self.shut()
    }
}

impl Drop for SledMedium {
    fn drop(&mut self) {
        if let Err(error) = self.shut() {
            let (path, reason) = (self.directory.display(), error.cause());
            tracing::warn!(%path, reason, "the medium was not closed cleanly");
        }
    }
}

impl std::fmt::Debug for SledMedium {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledMedium")
            .field("directory", &self.directory)
            .field("store", &self.store)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}
