//! The tree of checkpoints: a checkpoint is some values with its number. Which of them count is said by the catalog.
//! Called on the workers' threads.

use std::ops::Bound;

use bytes::Bytes;
use sled::Tree;

use super::engine::backend;
use super::fenced::{Fenced, Place, seek, values};
use super::part::{self, Assembly, Key};
use super::shape::VALUES_PER_STEP;
use crate::StoreError;
use crate::limits::CHECKPOINT_BYTES_MAX;
use crate::position::CheckpointNumber;

/// The keys and values of an encoded checkpoint.
pub(super) fn split(number: CheckpointNumber, whole: &[u8]) -> impl Iterator<Item = (Key, Vec<u8>)> {
    part::split(KIND, number.get(), whole)
}

/// Writes some of them.
pub(super) fn insert(tree: &mut Fenced, values: Vec<(Key, Vec<u8>)>) -> Result<(), StoreError> {
    for (key, value) in values {
        tree.insert(key, value).map_err(backend("write a checkpoint"))?;
    }
    Ok(())
}

/// A checkpoint that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    assembly: Assembly,
    /// Where its last value was found.
    last: Option<Place>,
}

impl Reading {
    /// Of a checkpoint of which nothing is read yet.
    pub(super) fn new(number: CheckpointNumber) -> Self {
        Self {
            assembly: Assembly::new(KIND, number.get(), CHECKPOINT_BYTES_MAX + HEADER_BYTES_MAX),
            last: None,
        }
    }

    /// Whether there is more to read.
    pub(super) fn wants(&self) -> bool {
        self.assembly.wants().is_some()
    }

    /// The checkpoint, once there is no more to read.
    pub(super) fn finish(self) -> Bytes {
        self.assembly.finish()
    }

    /// Reads the next values, as many as one step may. The inner error says what is damaged.
    pub(super) fn step(mut self, tree: &Tree) -> Result<Result<Self, String>, StoreError> {
        let first = match (&self.last, self.assembly.wants()) {
            (None, Some(wanted)) => seek(tree, wanted.number)?,
            _ => None,
        };
        let from = match (&self.last, &first) {
            (Some(last), _) => Bound::Excluded(last),
            (None, Some(first)) => Bound::Included(first),
            (None, None) => return Ok(Err("nothing is there".to_owned())),
        };
        let mut values = values(tree, from);
        for _ in 0..VALUES_PER_STEP {
            let Some(wanted) = self.assembly.wants() else {
                break;
            };
            let found = values.next().transpose()?;
            let Some((place, value)) = found.filter(|(place, _)| place.key() == Some(wanted)) else {
                return Ok(Err(format!("value {} is missing", wanted.part)));
            };
            if let Err(what) = self.assembly.push(&value) {
                return Ok(Err(what));
            }
            self.last = Some(place);
        }
        Ok(Ok(self))
    }
}

/// Removes some values of one checkpoint. Returns whether there may be more.
pub(super) fn remove_step(tree: &Fenced, number: CheckpointNumber) -> Result<bool, StoreError> {
    tree.remove_step(number.get(), number.get())
}

/// Removes some values of the checkpoints above a number: remains of one that was never finished. Returns whether
/// there may be more.
pub(super) fn remove_above_step(tree: &Fenced, number: CheckpointNumber) -> Result<bool, StoreError> {
    match number.get().checked_add(1) {
        Some(first) => tree.remove_step(first, u64::MAX),
        None => Ok(false),
    }
}

const KIND: u32 = u32::from_le_bytes(*b"RLCP");
/// More than stands before the content of an encoded checkpoint.
const HEADER_BYTES_MAX: usize = 64;
