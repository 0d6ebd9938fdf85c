//! The checkpoints' half of the seam, in steps that let commits pass between them.

use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;

use super::catalog::{self, Entry, NO_CHECKPOINT};
use super::census::Census;
use super::checkpoints::{self, Budget, Reading};
use super::mark::Seal;
use super::part::Key;
use super::readback::Readback;
use super::store::{Counted, Reader, SledStore};
use super::writer::Listed;
use crate::admission::admit_checkpoints;
use crate::checkpoint_store::{CheckpointStore, Generation};
use crate::position::CheckpointNumber;
use crate::worker::{reads, writes};
use crate::{ActorId, Checkpoint, CheckpointHeader, StoreError, boundary};

impl CheckpointStore for SledStore {
    fn put(&self, checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        self.poison.check()?;
        let mut counted = self.counted();
        let seal = self.count(&mut counted)?;
        let highest = seal.highest;
        let encoded = admit_checkpoints(checkpoints, highest)?;
        // Until it has gone well: remains of one that failed are removed before the next.
        let cleared = match counted.cleared.take() {
            Some(cleared) => cleared,
            None => {
                // A checkpoint whose writing was interrupted has a number above the highest.
                while self.writer.call(writes("put"), move |writer| writer.clear_step(highest))? {}
                highest
            }
        };
        boundary!("checkpoint.begin");
        let numbers = checkpoints.iter().map(|checkpoint| checkpoint.header.number);
        self.write_values(
            numbers.zip(&encoded).flat_map(|(number, bytes)| checkpoints::split(number, bytes)),
        )?;
        let headers: Vec<_> = checkpoints.iter().map(|checkpoint| checkpoint.header.clone()).collect();
        let Listed { seal, entries, doomed } =
            self.writer.call(writes("put"), move |writer| writer.put_entries(headers, seal, cleared))?;
        self.verify(entries, encoded)?;
        boundary!("checkpoint.verified");
        counted.seal = Some(seal);
        self.remove(doomed)?;
        counted.cleared = Some(cleared);
        boundary!("checkpoint.removed");
        Ok(())
    }

    fn get(&self, actor: &ActorId, generation: Generation) -> Result<Option<Checkpoint>, StoreError> {
        let mut failed = None;
        loop {
            let key = actor.clone();
            let begun = self.reader.call(reads("get"), move |reader| begin(reader, &key, generation))?;
            let Some(Begun { entry, number, read }) = begun else {
                return Ok(None);
            };
            match failed {
                // Two checkpoints may have been put while one was read, and have removed it. These have not.
                Some((before, error)) if before == entry => return Err(error),
                _ => {}
            }
            let found = self.read_rest(read).and_then(|bytes| {
                let bytes = bytes.map_err(|what| corrupt(actor, number, what))?;
                decode(bytes, &entry, number)
            });
            match found {
                Err(error @ StoreError::CorruptCheckpoint { .. }) => failed = Some((entry, error)),
                found => return found.map(Some),
            }
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
        // sled is opened on the writer's thread, and has memory to use again there. It takes longer to read a page than to
        // look at it, so the next one is read meanwhile.
        let begin = |after: Option<ActorId>| {
            self.writer.begin(reads("list"), move |writer| writer.page(after.as_ref()))
        };
        let mut next = begin(None);
        loop {
            let page = next.wait()?;
            let Some(last) = page.last() else { break };
            next = begin(Some(last.newest.actor.clone()));
            for entry in page {
                census.add(&entry);
                visit(entry.newest)?;
            }
        }
        census.finish(&mark.seal, &mark.latest)
    }

    fn write_values(&self, values: impl Iterator<Item = (Key, Vec<u8>)>) -> Result<(), StoreError> {
        let mut values = values.peekable();
        while values.peek().is_some() {
            let (mut step, mut budget) = (Vec::new(), Budget::step());
            while budget.is_left()
                && let Some((key, value)) = values.next()
            {
                budget.spend(value.len());
                step.push((key, value));
            }
            self.writer.call(writes("put"), move |writer| writer.put_step(step))?;
        }
        Ok(())
    }

    /// Removes checkpoints that do not count any more, some in each step. Their numbers descend.
    fn remove(&self, mut numbers: Vec<u64>) -> Result<(), StoreError> {
        while !numbers.is_empty() {
            numbers = self.writer.call(writes("put"), move |writer| writer.remove_step(numbers))?;
        }
        Ok(())
    }

    /// Reads the rest of a checkpoint. The inner error says what is damaged.
    fn read_rest(&self, mut read: Result<Reading, String>) -> Result<Result<Bytes, String>, StoreError> {
        loop {
            match read {
                Ok(reading) if reading.wants() => {
                    read = self.reader.call(reads("get"), move |reader| read_step(reader, reading))?;
                }
                read => return Ok(read.map(Reading::finish)),
            }
        }
    }

    /// Reads checkpoints back that were just made stable. One that is not there as it was written means that the
    /// medium can't be trusted: nothing more is written to it.
    fn verify(&self, entries: Vec<Entry>, encoded: Vec<Bytes>) -> Result<(), StoreError> {
        let mut left = Readback::new(entries.into_iter().zip(encoded).collect());
        while left.wants() {
            let read =
                self.reader.call(reads("get"), move |reader| left.step(&reader.engine, &mut reader.ends));
            left = read.inspect_err(|error| self.poison.set(error))?;
        }
        Ok(())
    }
}

/// A checkpoint that is being read.
struct Begun {
    entry: Entry,
    number: CheckpointNumber,
    /// What is read so far, or what is damaged.
    read: Result<Reading, String>,
}

/// Looks an actor up, and reads the first values of its checkpoint.
fn begin(reader: &mut Reader, actor: &ActorId, generation: Generation) -> Result<Option<Begun>, StoreError> {
    let Some(entry) = catalog::get(&reader.engine.catalog, actor)? else {
        return Ok(None);
    };
    let number = match generation {
        Generation::Newest => entry.newest.number,
        Generation::Previous => entry.previous,
    };
    if number == NO_CHECKPOINT {
        return Ok(None);
    }
    let read = read_step(reader, Reading::new(number))?;
    Ok(Some(Begun { entry, number, read }))
}

fn read_step(reader: &mut Reader, mut reading: Reading) -> Result<Result<Reading, String>, StoreError> {
    let mut values = reading.values(&reader.engine.checkpoints, &mut reader.ends)?;
    let read = reading.step(&mut values, &mut Budget::step())?;
    Ok(read.map(|()| reading))
}

/// Decodes the checkpoint with a number that an entry tells of.
fn decode(bytes: Bytes, entry: &Entry, number: CheckpointNumber) -> Result<Checkpoint, StoreError> {
    let actor = &entry.newest.actor;
    let corrupt = |what: String| corrupt(actor, number, what);
    let checkpoint = Checkpoint::decode(bytes).map_err(|malformed| corrupt(malformed.to_string()))?;
    let found = &checkpoint.header;
    if found.actor != *actor || found.number != number {
        return Err(corrupt(format!("it says that it is {} of {}", found.number, found.actor)));
    }
    if number == entry.newest.number && entry.newest != *found {
        return Err(corrupt("it is not the one that the catalog describes".to_owned()));
    }
    Ok(checkpoint)
}

fn corrupt(actor: &ActorId, number: CheckpointNumber, what: String) -> StoreError {
    StoreError::CorruptCheckpoint { actor: actor.clone(), number, what }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, VecDeque};
    use std::ops::Bound;

    use super::*;
    use crate::conformance::{checkpoint, id};
    use crate::sled_store::seek::{Ends, Values};
    use crate::{Durability, SledOptions, StoreError};

    /// Invariant: checkpoint-covers-log. A medium that says "written" and has something else is found out before
    /// anything is cut in trust of it.
    #[test]
    fn a_checkpoint_that_does_not_read_back_is_an_error_and_poisons() {
        let root = tempfile::tempdir().unwrap();
        let store = SledStore::open(root.path(), &SledOptions::default()).unwrap();
        store.put(&[checkpoint(&id("alice"), 1, 900)]).unwrap();
        // Done on the reader's thread, so before the checkpoint is read back there; the writer's is not held up.
        let alice = id("alice");
        store.reader.post(writes("put"), move |reader| {
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
    /// What the tree holds of checkpoints, as numbers with parts.
    fn values(store: &SledStore) -> Vec<(u64, u16)> {
        let found = store.reader.call(reads("read"), |reader| {
            let values = Values::from(&reader.engine.checkpoints, Bound::Unbounded);
            values.map(|found| found.map(|(place, _)| place.key().unwrap())).collect::<Result<Vec<_>, _>>()
        });
        found.unwrap().into_iter().map(|key| (key.number, key.part)).collect()
    }

    /// Invariant: checkpoint-covers-log. Of many small ones and some large ones, in many steps.
    #[test]
    fn of_any_group_what_does_not_read_back_is_found() {
        let sizes = |nth: u64| if nth % 50 == 49 { 150_000 } else { 100 };
        for damaged in [1, 2, 49, 50, 77, 100, 120] {
            let root = tempfile::tempdir().unwrap();
            let options = SledOptions::default().durability(Durability::ProcessCrash);
            let store = SledStore::open(root.path(), &options).unwrap();
            // Counts them, so that the reader is not needed before.
            store.list(&mut |_| Ok(())).unwrap();
            store.reader.post(writes("put"), move |reader| {
                let listed = || catalog::get(&reader.engine.catalog, &id("120"));
                while listed()?.is_none() {
                    std::thread::yield_now();
                }
                let mut found = Ends::default().seek(&reader.engine.checkpoints, damaged)?;
                let (place, mut value) = found.next().unwrap()?;
                let last = value.len() - 1;
                value[last] ^= 1;
                reader.engine.checkpoints.insert(place.bytes(), value).unwrap();
                Ok(())
            });
            let group: Vec<_> =
                (1..=120).map(|nth| checkpoint(&id(&nth.to_string()), nth, sizes(nth - 1))).collect();
            let put = store.put(&group);
            assert!(
                matches!(&put, Err(StoreError::CorruptCheckpoint { number, .. }) if number.get() == damaged),
                "{damaged}: {put:?}"
            );
            let again = store.put(&[checkpoint(&id("alice"), 200, 900)]);
            assert!(matches!(again, Err(StoreError::Poisoned { .. })), "{again:?}");
        }
    }

    #[test]
    fn two_of_each_actor_stay() {
        let root = tempfile::tempdir().unwrap();
        let options = SledOptions::default().durability(Durability::ProcessCrash);
        let mut store = SledStore::open(root.path(), &options).unwrap();
        let sizes = [0, 100, 100, 16_000, 100, 150_000, 900];
        let mut kept: BTreeMap<u64, VecDeque<u64>> = BTreeMap::new();
        let mut number = 0;
        for round in 0..12 {
            // Others in each round, in another order.
            let actors =
                (0..139_u64).map(|nth| nth * (2 * round + 1) % 139).filter(|nth| (nth + round) % 3 > 0);
            let group = actors.map(|actor| {
                number += 1;
                let of = kept.entry(actor).or_default();
                of.push_front(number);
                of.truncate(2);
                checkpoint(
                    &id(&actor.to_string()),
                    number,
                    sizes[usize::try_from(number).unwrap() % sizes.len()],
                )
            });
            store.put(&group.collect::<Vec<_>>()).unwrap();
            if round % 5 == 4 {
                store.close().unwrap();
                store = SledStore::open(root.path(), &options).unwrap();
            }
        }
        for (actor, numbers) in &kept {
            for (number, generation) in numbers.iter().zip([Generation::Newest, Generation::Previous]) {
                let found = store.get(&id(&actor.to_string()), generation).unwrap().unwrap();
                let size = sizes[usize::try_from(*number).unwrap() % sizes.len()];
                assert_eq!(found, checkpoint(&id(&actor.to_string()), *number, size));
            }
        }
        let left: BTreeSet<_> = values(&store).into_iter().map(|(number, _)| number).collect();
        assert_eq!(left, kept.values().flatten().copied().collect());
    }

    /// What a process did not get to remove goes with the next checkpoint of the actor.
    #[test]
    fn an_interrupted_removal_is_made_up_for() {
        let root = tempfile::tempdir().unwrap();
        let options = SledOptions::default().durability(Durability::ProcessCrash);
        let store = SledStore::open(root.path(), &options).unwrap();
        for number in 1..=2 {
            store.put(&[checkpoint(&id("alice"), number, 150_000)]).unwrap();
        }
        // The third without its last step.
        let third = checkpoint(&id("alice"), 3, 100);
        let encoded = third.encode().unwrap();
        store.write_values(checkpoints::split(third.header.number, &encoded)).unwrap();
        let seal = store.counted().seal.unwrap();
        let (headers, cleared) = (vec![third.header], CheckpointNumber::new(0));
        let listed = store
            .writer
            .call(writes("put"), move |writer| writer.put_entries(headers, seal, cleared))
            .unwrap();
        store.counted().seal = Some(listed.seal);
        assert_eq!(values(&store)[0], (1, 0));
        drop(store);
        let store = SledStore::open(root.path(), &options).unwrap();
        store.put(&[checkpoint(&id("alice"), 4, 100)]).unwrap();
        assert_eq!(values(&store), [(3, 0), (4, 0)]);
    }
}
