//! The handle of a medium of plain files: the calls of [`Medium`], each for the stream or the file
//! that it is about.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::chain::{Chain, LOG};
use super::file::Source;
use super::names::STREAM;
use super::opening;
use super::options::SegmentOptions;
use super::part::{Part, Parts};
use super::preparer::Preparer;
use super::stream::{Stream, lock};
use super::value::FileHead;
use crate::boundary;
use crate::contract::durability::Durability;
use crate::contract::error::StoreError;
use crate::directory::{IDENTITY_FILE, Lock, SuperblockFile, io_error, mixed};
use crate::id::position::StoreId;
use crate::limits::POSITION_MAX;
use crate::medium::{Medium, StreamId, VALUE_BYTES_MAX};
use crate::threads::poison::Poison;

/// A medium in a directory of plain files: stream 0 in segments that are filled with zeros ahead of
/// time and used again, each other stream in a file of its own.
///
/// After [`Medium::sync`] has returned, the values survive the loss of power in the tier
/// `PowerLoss`, and the death of the process in `ProcessCrash`. The superblock written last
/// survives the death of the process too, unless that tears the write: then the last synced one is
/// there. After a call that writes has failed, every call fails.
///
/// A stream without a whole value has no positions, and goes on where it begins.
///
/// Dropping it closes it as [`Medium::close`] does, and only logs what goes wrong.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use relive_storage::medium::{Medium, StreamId};
/// use relive_storage::{SegmentFiles, SegmentOptions};
///
/// let directory = tempfile::tempdir()?;
/// let options = SegmentOptions::default().segment_bytes(64 << 10);
/// let medium = SegmentFiles::open(directory.path().join("data"), &options)?;
/// medium.append(StreamId(0), 0, b"first")?;
/// medium.sync(StreamId(0))?;
/// medium.close()?;
/// # Ok(())
/// # }
/// ```
pub struct SegmentFiles {
    store: StoreId,
    durability: Durability,
    directory: PathBuf,
    poison: Arc<Poison>,
    closed: AtomicBool,
    superblock: SuperblockFile,
    streams: Mutex<BTreeMap<StreamId, Arc<Stream>>>,
    /// Held while a call removes a part of the log.
    removing: Mutex<()>,
    chain: Arc<Chain>,
    preparer: Preparer,
    lock: Mutex<Option<Lock>>,
}

impl SegmentFiles {
    /// Opens the medium of a directory; creates one in a directory that is missing or empty.
    ///
    /// A relative path starts at the working directory of this moment.
    ///
    /// # Errors
    /// Nothing was changed: [`StoreError::Locked`] (another process or handle has it open),
    /// [`StoreError::NotAStore`] (the directory holds something else), [`StoreError::OtherMedium`]
    /// (a store on sled), [`StoreError::NewerFormat`], [`StoreError::Missing`],
    /// [`StoreError::Mixed`] and [`StoreError::CorruptStore`] (restore the files),
    /// [`StoreError::Misuse`] (the tier `Volatile`, which is that of
    /// [`crate::medium::memory::MemoryMedium`]). Otherwise: [`StoreError::Io`].
    pub fn open(path: impl AsRef<Path>, options: &SegmentOptions) -> Result<Self, StoreError> {
        Self::open_or_create(path.as_ref(), options, None)
    }

    /// As [`SegmentFiles::open`]; a new medium gets this store's id, and a medium of another store
    /// is [`StoreError::Mixed`].
    pub(crate) fn create_as(
        path: &Path,
        options: &SegmentOptions,
        store: StoreId,
    ) -> Result<Self, StoreError> {
        let medium = Self::open_or_create(path, options, Some(store))?;
        if medium.store != store {
            return Err(mixed(&medium.directory.join(IDENTITY_FILE), store, medium.store));
        }
        Ok(medium)
    }

    fn open_or_create(
        path: &Path,
        options: &SegmentOptions,
        store: Option<StoreId>,
    ) -> Result<Self, StoreError> {
        // An absolute path, because the process may change its working directory later.
        let directory = std::path::absolute(path).map_err(io_error("find", path))?;
        let SegmentOptions { durability, segment_bytes } = *options;
        let durable = match durability {
            Durability::PowerLoss => true,
            Durability::ProcessCrash => false,
            Durability::Volatile => {
                let what =
                    "a medium in a directory was asked to be volatile, as only one in memory is".to_owned();
                return Err(StoreError::Misuse { what });
            }
        };
        let segment_bytes = segment_bytes.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX).next_multiple_of(8);
        let poison = Arc::new(Poison::default());
        let opened = opening::open(&directory, durable, segment_bytes, store, &poison)?;
        let opening::Opened { lock, store, superblock, chain, ready, streams } = opened;
        let chain = Arc::new(chain);
        let preparer = Preparer::start(Arc::clone(&chain), Arc::clone(&poison), ready, segment_bytes)?;
        tracing::info!(path = %directory.display(), tier = %durability, %store, "opened the medium");
        Ok(Self {
            store,
            durability,
            directory,
            poison,
            closed: AtomicBool::new(false),
            superblock,
            streams: Mutex::new(streams),
            removing: Mutex::default(),
            chain,
            preparer,
            lock: Mutex::new(Some(lock)),
        })
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Misuse { what: "a medium was used after it was closed".to_owned() });
        }
        self.poison.check()
    }

    fn durable(&self) -> bool {
        self.durability == Durability::PowerLoss
    }

    fn stream(&self, stream: StreamId) -> Option<Arc<Stream>> {
        lock(&self.streams).get(&stream).cloned()
    }

    fn stream_path(&self, stream: StreamId) -> PathBuf {
        self.directory.join(format!("{STREAM}{}", stream.0))
    }

    /// Remembers a failure of a call that writes.
    fn noted<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &outcome {
            self.poison.note(error);
        }
        outcome
    }

    fn append_to(&self, id: StreamId, position: u64, value: &[u8]) -> Result<(), StoreError> {
        let more = |bytes| self.preparer.take(bytes);
        let stream = match self.stream(id) {
            Some(stream) => stream,
            None => Arc::new(self.begin(id, position)?),
        };
        stream.append(position, value, &more)?;
        // Listed only with a value in it: a stream exists from its first value on.
        lock(&self.streams).entry(id).or_insert_with(|| Arc::clone(&stream));
        if id == LOG && stream.is_half_full() {
            self.preparer.prepare();
        }
        Ok(())
    }

    /// Makes the first file of a stream.
    fn begin(&self, id: StreamId, first: u64) -> Result<Stream, StoreError> {
        let poison = Arc::clone(&self.poison);
        if id == LOG {
            let source = self.preparer.take(0)?;
            // Before the first value: an opening knows the positions of the log from the manifest
            // alone.
            self.chain.begin(first)?;
            let parts = Parts([Part::new(source, first)].into());
            return Ok(Stream::new(parts, poison, self.durable()));
        }
        let head = FileHead { store: self.store, stream: id, number: id.0, generation: 0, first };
        let source = Source::create(self.stream_path(id), &head)?;
        Ok(Stream::begin(first, source, head.encode(), poison, self.durable()))
    }

    fn remove_log_below(&self, position: u64) -> Result<(), StoreError> {
        let _removing = lock(&self.removing);
        let Some(stream) = self.stream(LOG) else { return Ok(()) };
        let Some((kept, first)) = stream.first_at(position) else { return Ok(()) };
        boundary!("medium.remove.begin");
        // A reader of one of these files learns that its value is gone before the file gets another
        // use.
        stream.forget_before(&kept);
        self.chain.drop_before(&kept, first)?;
        boundary!("medium.remove.end");
        Ok(())
    }

    fn remove_stream(&self, id: StreamId) -> Result<(), StoreError> {
        let _removing = lock(&self.removing);
        boundary!("medium.remove.begin");
        // Out of the map first, so that no call finds the stream while its files go.
        let known = lock(&self.streams).remove(&id);
        if id == LOG {
            if let Some(stream) = known {
                stream.forget();
                self.preparer.clear()?;
            }
        } else {
            let path = self.stream_path(id);
            match std::fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(io_error("remove", &path)(error)),
            }
        }
        boundary!("medium.remove.end");
        Ok(())
    }

    /// Closes the medium, once.
    fn shut(&self) -> Result<(), StoreError> {
        // A swap, because a close and the drop both come here, and only the first does the work.
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // The thread goes before the lock, since it writes files.
        self.preparer.stop();
        let outcome = self.poison.check().and_then(|()| {
            let streams: Vec<_> = lock(&self.streams).values().cloned().collect();
            streams.iter().try_for_each(|stream| stream.sync())
        });
        // The lock goes last, because the next handle may open the directory from here on.
        drop(lock(&self.lock).take());
        outcome
    }
}

impl Medium for SegmentFiles {
    fn store(&self) -> StoreId {
        self.store
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn streams(&self) -> Result<BTreeMap<StreamId, Range<u64>>, StoreError> {
        self.check()?;
        Ok(lock(&self.streams).iter().map(|(id, stream)| (*id, stream.positions())).collect())
    }

    fn append(&self, stream: StreamId, position: u64, value: &[u8]) -> Result<(), StoreError> {
        self.check()?;
        if value.len() > VALUE_BYTES_MAX || position > POSITION_MAX {
            let what = format!("a value of {} bytes at position {position}", value.len());
            return Err(StoreError::Misuse { what });
        }
        self.noted(self.append_to(stream, position, value))
    }

    fn sync(&self, stream: StreamId) -> Result<(), StoreError> {
        self.check()?;
        self.noted(self.stream(stream).map_or(Ok(()), |stream| stream.sync()))
    }

    fn read(&self, stream: StreamId, position: u64) -> Result<Option<Result<Bytes, String>>, StoreError> {
        self.check()?;
        self.stream(stream).map_or(Ok(None), |stream| stream.read(position))
    }

    fn remove_below(&self, stream: StreamId, position: u64) -> Result<(), StoreError> {
        self.check()?;
        // Every other stream is in one file, which can't shrink from the front.
        if stream == LOG { self.noted(self.remove_log_below(position)) } else { Ok(()) }
    }

    fn remove_from(&self, stream: StreamId, position: u64) -> Result<(), StoreError> {
        self.check()?;
        let _removing = lock(&self.removing);
        let Some(found) = self.stream(stream) else { return Ok(()) };
        boundary!("medium.remove.begin");
        self.noted(found.remove_from(position, &|emptied| self.preparer.give_back(emptied)))?;
        boundary!("medium.remove.end");
        Ok(())
    }

    fn remove(&self, stream: StreamId) -> Result<(), StoreError> {
        self.check()?;
        self.noted(self.remove_stream(stream))
    }

    fn superblock(&self) -> Result<Bytes, StoreError> {
        self.check()?;
        Ok(self.superblock.newest())
    }

    fn write_superblock(&self, bytes: &[u8], sync: bool) -> Result<(), StoreError> {
        self.check()?;
        self.noted(self.superblock.write(bytes, sync))
    }

    fn close(&self) -> Result<(), StoreError> {
        self.shut()
    }
}

impl Drop for SegmentFiles {
    fn drop(&mut self) {
        if let Err(error) = self.shut() {
            let (path, reason) = (self.directory.display(), error.cause());
            tracing::warn!(%path, reason, "the medium was not closed cleanly");
        }
    }
}

impl std::fmt::Debug for SegmentFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentFiles")
            .field("directory", &self.directory)
            .field("store", &self.store)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

const SEGMENT_BYTES_MIN: u64 = 4 << 10;
const SEGMENT_BYTES_MAX: u64 = 1 << 40;
