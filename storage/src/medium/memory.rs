//! A medium in memory: its content ends with the last of its handles. For tests, and for actors
//! that may start over.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Medium, SUPERBLOCK_BYTES_MAX, StreamId, VALUE_BYTES_MAX};
use crate::contract::durability::Durability;
use crate::contract::error::StoreError;
use crate::id::position::StoreId;

/// A medium in memory. A clone is another handle of the same medium, as after another opening.
#[derive(Clone)]
pub struct MemoryMedium {
    store: StoreId,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    streams: BTreeMap<StreamId, Stream>,
    superblock: Bytes,
}

#[derive(Default)]
struct Stream {
    first: u64,
    values: VecDeque<Bytes>,
}

impl Stream {
    fn end(&self) -> u64 {
        self.first + self.values.len() as u64
    }

    fn index(&self, position: u64) -> usize {
        // A removal may name any position, and takes what is there.
        let position = position.clamp(self.first, self.end());
        usize::try_from(position - self.first).expect("it is in memory")
    }
}

impl MemoryMedium {
    /// An empty medium.
    #[must_use]
    pub fn new() -> Self {
        Self { store: StoreId::random(), kept: Arc::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Each change is one step, so a panic elsewhere leaves no half change.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryMedium {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for MemoryMedium {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryMedium").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Medium for MemoryMedium {
    fn store(&self) -> StoreId {
        self.store
    }

    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    fn streams(&self) -> Result<BTreeMap<StreamId, Range<u64>>, StoreError> {
        Ok(self.kept().streams.iter().map(|(id, stream)| (*id, stream.first..stream.end())).collect())
    }

    fn append(&self, stream: StreamId, position: u64, value: &[u8]) -> Result<(), StoreError> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(StoreError::Misuse { what: format!("a value of {} bytes", value.len()) });
        }
        let mut kept = self.kept();
        let fresh = Stream { first: position, values: VecDeque::new() };
        let values = kept.streams.entry(stream).or_insert(fresh);
        if position != values.end() {
            let what = format!("position {position} of {stream:?} was appended after {}", values.end());
            return Err(StoreError::Misuse { what });
        }
        values.values.push_back(Bytes::copy_from_slice(value));
        Ok(())
    }

    fn sync(&self, _stream: StreamId) -> Result<(), StoreError> {
        Ok(())
    }

    fn read(&self, stream: StreamId, position: u64) -> Result<Option<Result<Bytes, String>>, StoreError> {
        let kept = self.kept();
        let Some(stream) = kept.streams.get(&stream) else { return Ok(None) };
        if !(stream.first..stream.end()).contains(&position) {
            return Ok(None);
        }
        Ok(stream.values.get(stream.index(position)).cloned().map(Ok))
    }

    fn remove_below(&self, stream: StreamId, position: u64) -> Result<(), StoreError> {
        if let Some(stream) = self.kept().streams.get_mut(&stream) {
            let count = stream.index(position);
            stream.values.drain(..count);
            stream.first += count as u64;
        }
        Ok(())
    }

    fn remove_from(&self, stream: StreamId, position: u64) -> Result<(), StoreError> {
        if let Some(stream) = self.kept().streams.get_mut(&stream) {
            let count = stream.index(position);
            stream.values.truncate(count);
        }
        Ok(())
    }

    fn remove(&self, stream: StreamId) -> Result<(), StoreError> {
        self.kept().streams.remove(&stream);
        Ok(())
    }

    fn superblock(&self) -> Result<Bytes, StoreError> {
        Ok(self.kept().superblock.clone())
    }

    fn write_superblock(&self, bytes: &[u8], _stable: bool) -> Result<(), StoreError> {
        if bytes.len() > SUPERBLOCK_BYTES_MAX {
            return Err(StoreError::Misuse { what: format!("a superblock of {} bytes", bytes.len()) });
        }
        self.kept().superblock = Bytes::copy_from_slice(bytes);
        Ok(())
    }
}
