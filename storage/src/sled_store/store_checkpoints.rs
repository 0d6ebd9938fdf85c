//! The checkpoints' half of the seam, in steps that let commits pass between them.

use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;

use super::catalog::{self, Entry, NO_CHECKPOINT};
use super::census::Census;
use super::checkpoints::{self, Reading};
use super::mark::Seal;
use super::part::Key;
use super::shape::VALUES_PER_STEP;
use super::store::{Counted, SledStore};
use super::writer::Listed;
use crate::admission::admit_checkpoints;
use crate::checkpoint_store::{CheckpointStore, Generation};
use crate::position::CheckpointNumber;
use crate::{ActorId, Checkpoint, CheckpointHeader, StoreError, boundary};

impl CheckpointStore for SledStore {
    fn put(&self, checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        self.poison.check()?;
        let mut counted = self.counted();
        let seal = self.count(&mut counted)?;
        let highest = seal.highest;
        let encoded = admit_checkpoints(checkpoints, highest)?;
        if !counted.cleared {
            // A checkpoint whose writing was interrupted has a number above the highest.
            while self.writer.call("put", move |writer| writer.clear_step(highest))? {}
            counted.cleared = true;
        }
        boundary!("checkpoint.begin");
        let numbers = checkpoints.iter().map(|checkpoint| checkpoint.header.number);
        self.write_values(
            numbers.zip(&encoded).flat_map(|(number, bytes)| checkpoints::split(number, bytes)),
        )?;
        let headers: Vec<_> = checkpoints.iter().map(|checkpoint| checkpoint.header.clone()).collect();
        let Listed { seal, entries, doomed } =
            self.writer.call("put", move |writer| writer.put_entries(headers, seal))?;
        for (entry, bytes) in entries.iter().zip(&encoded) {
            self.verify(entry, bytes)?;
        }
        boundary!("checkpoint.verified");
        counted.seal = Some(seal);
        self.remove(doomed)?;
        boundary!("checkpoint.removed");
        Ok(())
    }

    fn get(&self, actor: &ActorId, generation: Generation) -> Result<Option<Checkpoint>, StoreError> {
        let mut entry = self.entry(actor)?;
        loop {
            let found = self.get_listed(actor, generation, entry.as_ref());
            if !matches!(found, Err(StoreError::CorruptCheckpoint { .. })) {
                return found;
            }
            // Two checkpoints may have been put while this one was read, and have removed it.
            let again = self.entry(actor)?;
            if again == entry {
                return found;
            }
            entry = again;
        }
    }

    fn list(
        &self,
        visit: &mut dyn FnMut(CheckpointHeader) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut counted = self.counted();
        let seal = self.walk(visit)?;
        counted.seal = Some(seal);
        Ok(())
    }
}

impl SledStore {
    fn entry(&self, actor: &ActorId) -> Result<Option<Entry>, StoreError> {
        let key = actor.clone();
        self.reader.call("get", move |reader| catalog::get(&reader.engine.catalog, &key))
    }

    /// Reads a checkpoint that an entry tells of.
    fn get_listed(
        &self,
        actor: &ActorId,
        generation: Generation,
        entry: Option<&Entry>,
    ) -> Result<Option<Checkpoint>, StoreError> {
        let number = match (entry, generation) {
            (None, _) => NO_CHECKPOINT,
            (Some(entry), Generation::Newest) => entry.newest.number,
            (Some(entry), Generation::Previous) => entry.previous,
        };
        if number == NO_CHECKPOINT {
            return Ok(None);
        }
        let corrupt = |what: String| corrupt(actor, number, what);
        let bytes = self.read_values(actor, number)?;
        let checkpoint = Checkpoint::decode(bytes).map_err(|malformed| corrupt(malformed.to_string()))?;
        let found = &checkpoint.header;
        if found.actor != *actor || found.number != number {
            return Err(corrupt(format!("it says that it is {} of {}", found.number, found.actor)));
        }
        match entry {
            Some(entry) if generation == Generation::Newest && entry.newest != *found => {
                Err(corrupt("it is not the one that the catalog describes".to_owned()))
            }
            _ => Ok(Some(checkpoint)),
        }
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        // The count is replaced as a whole after everything else, so a panic of a visitor leaves it true.
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The count of the newest checkpoints; walks the catalog the first time.
    pub(super) fn count(&self, counted: &mut Counted) -> Result<Seal, StoreError> {
        if let Some(seal) = counted.seal {
            return Ok(seal);
        }
        let seal = self.walk(&mut |_| Ok(()))?;
        counted.seal = Some(seal);
        Ok(seal)
    }

    fn walk(
        &self,
        visit: &mut dyn FnMut(CheckpointHeader) -> Result<(), StoreError>,
    ) -> Result<Seal, StoreError> {
        let mark = self.status.get();
        let mut census = Census::new(&mark.seal);
        let mut last = None;
        loop {
            let after = last.clone();
            let page = self
                .reader
                .call("list", move |reader| catalog::page(&reader.engine.catalog, after.as_ref()))?;
            if page.is_empty() {
                return census.finish(&mark.seal, &mark.latest);
            }
            for entry in page {
                census.add(&entry);
                last = Some(entry.newest.actor.clone());
                visit(entry.newest)?;
            }
        }
    }

    fn write_values(&self, mut values: impl Iterator<Item = (Key, Vec<u8>)>) -> Result<(), StoreError> {
        loop {
            let step: Vec<(Key, Vec<u8>)> = values.by_ref().take(VALUES_PER_STEP).collect();
            if step.is_empty() {
                return Ok(());
            }
            self.writer.call("put", move |writer| writer.put_step(step))?;
        }
    }

    /// Removes checkpoints that do not count any more, some in each step.
    fn remove(&self, mut numbers: Vec<CheckpointNumber>) -> Result<(), StoreError> {
        while !numbers.is_empty() {
            numbers = self.writer.call("put", move |writer| writer.remove_step(numbers))?;
        }
        Ok(())
    }

    fn read_values(&self, actor: &ActorId, number: CheckpointNumber) -> Result<Bytes, StoreError> {
        let mut reading = Reading::new(number);
        while reading.wants() {
            let read = self.reader.call("get", move |reader| reading.step(&reader.engine.checkpoints));
            reading = read?.map_err(|what| corrupt(actor, number, what))?;
        }
        Ok(reading.finish())
    }

    /// Reads a checkpoint back that was just made stable. One that is not there as it was written means that the
    /// medium can't be trusted: nothing more is written to it.
    fn verify(&self, entry: &Entry, bytes: &Bytes) -> Result<(), StoreError> {
        let actor = &entry.newest.actor;
        let number = entry.newest.number;
        let listed = self.entry(actor)?;
        let stored = self.read_values(actor, number);
        let error = match stored {
            Ok(stored) if stored == *bytes && listed.as_ref() == Some(entry) => return Ok(()),
            Ok(_) => corrupt(actor, number, "it did not read back as it was written".to_owned()),
            Err(error) => error,
        };
        self.poison.set(&error);
        Err(error)
    }
}

fn corrupt(actor: &ActorId, number: CheckpointNumber, what: String) -> StoreError {
    StoreError::CorruptCheckpoint { actor: actor.clone(), number, what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{checkpoint, id};
    use crate::{SledOptions, StoreError};

    /// Invariant: checkpoint-covers-log. A medium that says "written" and has something else is found out before
    /// anything is cut in trust of it.
    #[test]
    fn a_checkpoint_that_does_not_read_back_is_an_error_and_poisons() {
        let root = tempfile::tempdir().unwrap();
        let store = SledStore::open(root.path(), &SledOptions::default()).unwrap();
        store.put(&[checkpoint(&id("alice"), 1, 900)]).unwrap();
        // Done on the reader's thread, so before the checkpoint is read back there; the writer's is not held up.
        let alice = id("alice");
        store.reader.post("put", move |reader| {
            let listed = || catalog::get(&reader.engine.catalog, &alice);
            while listed()?.is_none_or(|entry| entry.newest.number.get() < 2) {
                std::thread::yield_now();
            }
            let values = reader.engine.checkpoints.iter().filter_map(Result::ok);
            let (key, mut value) = values.filter(|(_, value)| !value.is_empty()).last().unwrap();
            let last = value.len() - 1;
            value[last] ^= 1;
            reader.engine.checkpoints.insert(key, value).unwrap();
            Ok(())
        });
        let put = store.put(&[checkpoint(&id("alice"), 2, 900)]);
        assert!(
            matches!(&put, Err(StoreError::CorruptCheckpoint { number, .. }) if number.get() == 2),
            "{put:?}"
        );
        let again = store.put(&[checkpoint(&id("alice"), 3, 900)]);
        assert!(matches!(again, Err(StoreError::Poisoned { .. })), "{again:?}");
    }
}
