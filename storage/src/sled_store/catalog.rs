//! The tree that says which checkpoints each actor has. Called on the workers' threads.
//!
//! ```text
//! key   := the actor's id as text
//! value := "RLVE" version:u32 newest:u64 rsn:u64 state_version:u32 owes:u32 previous:u64 sealed:u64 doomed:u64 crc:u32
//! ```
//! `crc` is over the key and everything else in the value; the number 0 stands for none.

use std::ops::Bound;

use bytes::Bytes;
use sled::Tree;

use super::answers::backend;
use super::shape::{ENTRIES_PER_PAGE, never_a_blob};
use crate::actor_id::ACTOR_ID_BYTES_MAX;
use crate::position::{CheckpointNumber, Rsn};
use crate::wire::{Malformed, Reader};
use crate::{ActorId, CheckpointHeader, StoreError};

/// What is known of the checkpoints of one actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The newest one.
    pub(super) newest: CheckpointHeader,
    /// The one before it, or none.
    pub(super) previous: CheckpointNumber,
    /// The one that was the newest when the catalog was last sealed, when that is not the newest now; or none.
    pub(super) sealed: CheckpointNumber,
    /// One that is being removed, or was: of a removal that was interrupted the rest is removed with the next.
    pub(super) doomed: CheckpointNumber,
}

impl Entry {
    /// The entry of an actor's new checkpoint, where `before` is what there was and `sealed` the highest number when
    /// the catalog was last sealed.
    pub(super) fn follow(newest: CheckpointHeader, before: Option<&Self>, sealed: CheckpointNumber) -> Self {
        Self {
            newest,
            previous: before.map_or(NO_CHECKPOINT, |before| before.newest.number),
            sealed: before.map_or(NO_CHECKPOINT, |before| before.newest_at(sealed)),
            doomed: before.map_or(NO_CHECKPOINT, |before| before.previous),
        }
    }

    /// The newest checkpoint of the actor when the highest number was `sealed`.
    pub(super) fn newest_at(&self, sealed: CheckpointNumber) -> CheckpointNumber {
        if self.newest.number <= sealed { self.newest.number } else { self.sealed }
    }

    fn encode(&self) -> Vec<u8> {
        let newest = &self.newest;
        let mut bytes = Vec::with_capacity(ENTRY_BYTES);
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&newest.number.get().to_le_bytes());
        bytes.extend_from_slice(&newest.rsn.get().to_le_bytes());
        bytes.extend_from_slice(&newest.state_version.to_le_bytes());
        bytes.extend_from_slice(&u32::from(newest.owes).to_le_bytes());
        for number in [self.previous, self.sealed, self.doomed] {
            bytes.extend_from_slice(&number.get().to_le_bytes());
        }
        let crc = checksum(newest.actor.as_str().as_bytes(), &bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
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
        let owes = reader.u32()?;
        let [previous, sealed, doomed] =
            [reader.wide_counter()?, reader.wide_counter()?, reader.wide_counter()?];
        let whole = value.get(..reader.position()).unwrap_or_default();
        if reader.u32()? != checksum(key, whole) || !reader.is_empty() {
            return Err(Malformed("its checksum does not match"));
        }
        let newest = CheckpointHeader { actor, number, rsn, state_version, owes: owes != 0 };
        Ok(Self {
            newest,
            previous: CheckpointNumber::new(previous),
            sealed: CheckpointNumber::new(sealed),
            doomed: CheckpointNumber::new(doomed),
        })
    }
}

/// The entry of an actor.
pub(super) fn get(tree: &Tree, actor: &ActorId) -> Result<Option<Entry>, StoreError> {
    let key = actor.as_str().as_bytes();
    let value = tree.get(key).map_err(backend("read the catalog"))?;
    value.map(|value| decode(key, &value)).transpose()
}

/// Replaces the entry of an actor.
pub(super) fn put(tree: &Tree, entry: &Entry) -> Result<(), StoreError> {
    let key = entry.newest.actor.as_str().as_bytes();
    let replaced = tree.insert(key, entry.encode());
    replaced.map_err(backend("write the catalog")).map(drop)
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
/// The size of a value.
const ENTRY_BYTES: usize = 4 + 4 + 8 + 8 + 4 + 4 + 3 * 8 + 4;

const _: () = assert!(never_a_blob(ACTOR_ID_BYTES_MAX + ENTRY_BYTES));
const MAGIC: u32 = u32::from_le_bytes(*b"RLVE");
const VERSION: u32 = 1;
