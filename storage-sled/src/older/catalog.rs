//! The tree that says which checkpoints each actor has.
//!
//! ```text
//! key   := the actor's id as text
//! value := "RLVE" version:u32 newest:u64 rsn:u64 state_version:u32 restore_at_open:u32 previous:u64 at_last_cut:u64 removed:u64 crc:u32
//! ```
//! `crc` covers the key and everything else in the value; the number 0 stands for none.

use std::ops::Bound;

use bytes::Bytes;
use relive_storage::medium_support::Reader;
use relive_storage::{ActorId, CheckpointHeader, CheckpointNumber, Malformed, Rsn, StoreError};
use sled::Tree;

use crate::failures::backend;

/// The checkpoints of one actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The newest one.
    pub(super) newest: CheckpointHeader,
    /// The one before it, or none.
    pub(super) previous: CheckpointNumber,
    /// The one that was the newest at the last cut of the log, unless it is still the newest; or
    /// none.
    pub(super) at_last_cut: CheckpointNumber,
}

impl Entry {
    /// The newest checkpoint of the actor when the highest number was `at_last_cut`.
    pub(super) fn newest_at(&self, at_last_cut: CheckpointNumber) -> CheckpointNumber {
        if self.newest.number <= at_last_cut { self.newest.number } else { self.at_last_cut }
    }

    fn decode(key: &[u8], value: &Bytes) -> Result<Self, Malformed> {
        let actor = std::str::from_utf8(key).map_err(|_| Malformed("its name is not UTF-8"))?;
        let actor = ActorId::parse(actor).map_err(|_| Malformed("its name is not one of an actor"))?;
        let mut reader = Reader::new(value);
        if reader.u32()? != MAGIC {
            return Err(Malformed("it does not begin as it should"));
        }
        if reader.u32()? != VERSION {
            return Err(Malformed("it has an unknown version"));
        }
        let number = CheckpointNumber::new(reader.wide_counter()?);
        let rsn = Rsn::new(reader.wide_counter()?);
        let state_version = reader.u32()?;
        let restore_at_open = reader.u32()?;
        let [previous, at_last_cut, _removed] =
            [reader.wide_counter()?, reader.wide_counter()?, reader.wide_counter()?];
        let whole = value.get(..reader.position()).unwrap_or_default();
        if reader.u32()? != checksum(key, whole) || !reader.is_empty() {
            return Err(Malformed("its checksum does not match"));
        }
        let newest = CheckpointHeader {
            actor,
            number,
            rsn,
            state_version,
            restore_at_open: restore_at_open != 0,
            wake_at: None,
        };
        Ok(Self {
            newest,
            previous: CheckpointNumber::new(previous),
            at_last_cut: CheckpointNumber::new(at_last_cut),
        })
    }
}

/// The entry of an actor.
pub(super) fn get(tree: &Tree, actor: &ActorId) -> Result<Option<Entry>, StoreError> {
    let key = actor.as_str().as_bytes();
    let value = tree.get(key).map_err(backend("read the catalog"))?;
    value.map(|value| decode(key, &value)).transpose()
}

/// The next entries after an actor, as many as one step may read; empty at the end.
pub(super) fn page(tree: &Tree, after: Option<&ActorId>) -> Result<Vec<Entry>, StoreError> {
    let from = match after {
        Some(actor) => Bound::Excluded(actor.as_str().as_bytes()),
        None => Bound::Unbounded,
    };
    let pairs = tree.range::<&[u8], _>((from, Bound::Unbounded)).take(ENTRIES_PER_PAGE);
    let entries = pairs.map(|pair| {
        let (key, value) = pair.map_err(backend("read the catalog"))?;
        decode(&key, &value)
    });
    entries.collect()
}

fn decode(key: &[u8], value: &[u8]) -> Result<Entry, StoreError> {
    Entry::decode(key, &Bytes::copy_from_slice(value)).map_err(|malformed| StoreError::CorruptStore {
        what: format!("the catalog's entry of {:?} is damaged: {malformed}", String::from_utf8_lossy(key)),
    })
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key);
    crc.update(value);
    crc.finalize()
}

/// Checkpoints are numbered from 1.
pub(super) const NO_CHECKPOINT: CheckpointNumber = CheckpointNumber::new(0);
/// The most entries of the catalog read at once.
const ENTRIES_PER_PAGE: usize = 1024;
const MAGIC: u32 = u32::from_le_bytes(*b"RLVE");
const VERSION: u32 = 1;
