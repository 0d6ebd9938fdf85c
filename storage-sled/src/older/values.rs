//! Reads the values of blocks and checkpoints from a tree of an old store. Keys were
//!
//! ```text
//! fence := group:u64 index:u8                     big-endian; no value
//! value := group:u64 255:u8 number:u64 part:u16
//! ```
//! in ascending order of (number, part), however they were grouped. A value has the header of a
//! part in today's format ([`Assembly`]), with one magic for blocks and one for checkpoints, and a
//! checksum over number and part in place of the whole key.

use std::ops::Bound;

use bytes::Bytes;
use relive_storage::StoreError;
use sled::{IVec, Tree};

use crate::failures::backend;
use crate::tree::value::Assembly;

/// A value as it was found.
pub(super) struct Found {
    key: IVec,
    value: IVec,
}

impl Found {
    /// The position of its block, or the number of its checkpoint.
    pub(super) fn number(&self) -> u64 {
        number(&self.key)
    }

    /// The bytes that the checksum covers beside the value itself: number and part.
    fn checked_key(&self) -> &[u8] {
        self.key.get(9..).unwrap_or_default()
    }

    fn part(&self) -> u16 {
        self.key.get(17..).and_then(|part| part.try_into().ok()).map_or(u16::MAX, u16::from_be_bytes)
    }
}

/// The entries of a tree from a key on.
pub(super) fn from(tree: &Tree, key: Bound<IVec>) -> impl Iterator<Item = Result<Found, StoreError>> {
    let all = tree.range::<IVec, _>((key, Bound::Unbounded));
    all.map(|found| found.map_err(backend("read")).map(|(key, value)| Found { key, value }))
        // Fences have shorter keys.
        .filter(|found| found.as_ref().map_or(true, |found| found.key.len() == VALUE_KEY_BYTES))
}

/// One block or checkpoint: where the last of its values stands, and its bytes or what is wrong
/// with them.
pub(super) struct Whole {
    pub(super) number: u64,
    pub(super) last: IVec,
    pub(super) bytes: Result<Bytes, String>,
}

/// Reads the block or checkpoint that begins with the first of some values; `None` when there are
/// none.
pub(super) fn read(
    values: &mut impl Iterator<Item = Result<Found, StoreError>>,
    kind: u32,
    limit: usize,
) -> Result<Option<Whole>, StoreError> {
    let Some(mut found) = values.next().transpose()? else { return Ok(None) };
    let number = found.number();
    let mut assembly = Assembly::new(kind, limit);
    loop {
        let Some(wanted) = assembly.wants() else {
            return Ok(Some(Whole { number, last: found.key, bytes: Ok(assembly.finish()) }));
        };
        if wanted > 0 {
            let Some(next) = values.next().transpose()? else {
                let what = Err(format!("part {wanted} is missing"));
                return Ok(Some(Whole { number, last: found.key, bytes: what }));
            };
            found = next;
        }
        let pushed = if (found.number(), found.part()) == (number, wanted) {
            assembly.push(found.checked_key(), &found.value)
        } else {
            Err(format!("part {wanted} is missing"))
        };
        if let Err(what) = pushed {
            return Ok(Some(Whole { number, last: found.key, bytes: Err(what) }));
        }
    }
}

/// Where each block or checkpoint begins, ascending by number.
pub(super) fn index(tree: &Tree) -> Result<Vec<(u64, u64)>, StoreError> {
    let mut index = Vec::new();
    for found in from(tree, Bound::Unbounded) {
        let found = found?;
        if found.part() == 0 {
            index.push((found.number(), u64_at(&found.key, 0)));
        }
    }
    // A reader looks a number up by halves.
    if index.is_sorted() { Ok(index) } else { Err(StoreError::CorruptStore { what: NO_ORDER.to_owned() }) }
}

/// The key of the first value of a block or checkpoint.
pub(super) fn key(group: u64, number: u64) -> IVec {
    let mut key = [0; VALUE_KEY_BYTES];
    key[..8].copy_from_slice(&group.to_be_bytes());
    key[8] = u8::MAX;
    key[9..17].copy_from_slice(&number.to_be_bytes());
    IVec::from(&key)
}

fn number(key: &[u8]) -> u64 {
    u64_at(key, 9)
}

fn u64_at(key: &[u8], at: usize) -> u64 {
    key.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

const VALUE_KEY_BYTES: usize = 19;
const NO_ORDER: &str = "the checkpoints do not stand in the order of their numbers";
