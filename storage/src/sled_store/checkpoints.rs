//! The tree of checkpoints: a checkpoint is some values with its number. Which of them count is said by the catalog.
//! Called on the workers' threads.

use std::ops::Bound;

use bytes::Bytes;
use sled::Tree;

use super::answers::backend;
use super::fenced::Fenced;
use super::part::{self, Assembly, Key};
use super::place::Place;
use super::seek::{Ends, Values};
use super::shape::{BYTES_PER_STEP, VALUES_PER_STEP};
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

/// What is left of what one step may write, or read.
#[derive(Debug)]
pub(super) struct Budget {
    values: usize,
    bytes: usize,
}

impl Budget {
    /// That of a whole step.
    pub(super) fn step() -> Self {
        Self { values: VALUES_PER_STEP, bytes: BYTES_PER_STEP }
    }

    /// Whether another value may come, of any size.
    pub(super) fn is_left(&self) -> bool {
        self.values > 0 && self.bytes > 0
    }

    /// Counts a value.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.values = self.values.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// A checkpoint that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    assembly: Assembly,
    /// Where the last value was found, or that of the checkpoint before it, when it is known that it follows.
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

    /// Of the checkpoint that was put after one that is read.
    pub(super) fn following(&self, number: CheckpointNumber) -> Self {
        Self { last: self.last.clone(), ..Self::new(number) }
    }

    /// Whether there is more to read.
    pub(super) fn wants(&self) -> bool {
        self.assembly.wants().is_some()
    }

    /// The checkpoint, once there is no more to read.
    pub(super) fn finish(self) -> Bytes {
        self.assembly.finish()
    }

    /// Where reading goes on.
    pub(super) fn values(&self, tree: &Tree, ends: &mut Ends) -> Result<Values, StoreError> {
        match (&self.last, self.assembly.wants()) {
            (None, Some(wanted)) => ends.seek(tree, wanted.number),
            (last, _) => Ok(Values::from(tree, last.as_ref().map_or(Bound::Unbounded, Bound::Excluded))),
        }
    }

    /// Reads the next values, as many as the step may. The inner error says what is damaged.
    pub(super) fn step(
        &mut self,
        values: &mut Values,
        budget: &mut Budget,
    ) -> Result<Result<(), String>, StoreError> {
        while budget.is_left()
            && let Some(wanted) = self.assembly.wants()
        {
            let found = values.next().transpose()?;
            let Some((place, value)) = found.filter(|(place, _)| place.key() == Some(wanted)) else {
                return Ok(Err(format!("value {} is missing", wanted.part)));
            };
            budget.spend(value.len());
            if let Err(what) = self.assembly.push(&value) {
                return Ok(Err(what));
            }
            self.last = Some(place);
        }
        Ok(Ok(()))
    }
}

/// Removes some values of checkpoints whose numbers descend, the last of them first. Takes off those that are gone.
pub(super) fn remove_step(tree: &mut Fenced, numbers: &mut Vec<u64>) -> Result<(), StoreError> {
    tree.remove_numbers_step(numbers)
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
