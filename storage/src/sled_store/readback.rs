//! Reads checkpoints back that were just put, and compares them with what was written. Called on the reader's thread.

use bytes::Bytes;

use super::catalog::{self, Entry};
use super::checkpoints::{Budget, Reading};
use super::engine::Engine;
use super::seek::Ends;
use crate::StoreError;

/// Checkpoints that stand side by side, in the order of their numbers.
pub(super) struct Readback {
    /// Their entries in the catalog, and what was written.
    written: std::vec::IntoIter<(Entry, Bytes)>,
    /// The next of them, and what is read of it.
    next: Option<(Entry, Bytes, Reading)>,
}

impl Readback {
    /// Nothing is read yet.
    pub(super) fn new(written: Vec<(Entry, Bytes)>) -> Self {
        let mut written = written.into_iter();
        let next = written.next();
        let next = next.map(|(entry, bytes)| {
            let reading = Reading::new(entry.newest.number);
            (entry, bytes, reading)
        });
        Self { written, next }
    }

    /// Whether there is more to read.
    pub(super) fn wants(&self) -> bool {
        self.next.is_some()
    }

    /// Reads the next values, and compares each checkpoint that is complete. One that is not there as it was written
    /// is an error.
    pub(super) fn step(mut self, engine: &Engine, ends: &mut Ends) -> Result<Self, StoreError> {
        let mut budget = Budget::step();
        let mut values = match &self.next {
            Some((_, _, reading)) => reading.values(&engine.checkpoints, ends)?,
            None => return Ok(self),
        };
        while budget.is_left()
            && let Some((entry, bytes, mut reading)) = self.next.take()
        {
            reading.step(&mut values, &mut budget)?.map_err(|what| corrupt(&entry, what))?;
            if reading.wants() {
                self.next = Some((entry, bytes, reading));
                continue;
            }
            self.next = self.written.next().map(|(entry, bytes)| {
                let reading = reading.following(entry.newest.number);
                (entry, bytes, reading)
            });
            let listed = catalog::get(&engine.catalog, &entry.newest.actor)?;
            if reading.finish() != bytes || listed.as_ref() != Some(&entry) {
                return Err(corrupt(&entry, "it did not read back as it was written".to_owned()));
            }
        }
        Ok(self)
    }
}

fn corrupt(entry: &Entry, what: String) -> StoreError {
    StoreError::CorruptCheckpoint { actor: entry.newest.actor.clone(), number: entry.newest.number, what }
}
