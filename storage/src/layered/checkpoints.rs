//! The checkpoints' half of the backend.

use std::ops::ControlFlow;
use std::sync::PoisonError;

use super::checkpoint_index::Location;
use super::packer::Packer;
use super::reading::read;
use super::store::LayeredStore;
use super::value_builder::{PackValue, ValueBuilder};
use crate::boundary;
use crate::contract::append_rules::admit_checkpoints;
use crate::contract::checkpoint_store::{CheckpointStore, Generation};
use crate::contract::error::StoreError;
use crate::format::checkpoint::{Checkpoint, CheckpointHeader};
use crate::id::actor_id::ActorId;
use crate::id::position::CheckpointNumber;
use crate::threads::worker::{reads, writes};

impl CheckpointStore for LayeredStore {
    fn put(&self, checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        let _alone = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = self.shared.superblock().highest;
        // All of them are encoded before the first is written: one that is too large changes
        // nothing.
        let encoded = admit_checkpoints(checkpoints, highest)?;
        if encoded.is_empty() {
            return Ok(());
        }
        boundary!("checkpoint.begin");
        let put = encoded.iter().map(|bytes| bytes.len() as u64).sum();
        let (mut small, mut step) = (ValueBuilder::default(), Vec::new());
        for (checkpoint, encoded) in checkpoints.iter().zip(encoded) {
            for value in small.add(&checkpoint.header, &encoded) {
                step.push(value);
                if step.iter().map(|value: &PackValue| value.value.len()).sum::<usize>() >= STEP_BYTES {
                    self.write_values(std::mem::take(&mut step))?;
                }
            }
        }
        step.extend(small.finish());
        self.write_values(step)?;
        self.packer.call(writes("put"), Packer::finish)?;
        self.packer.call(writes("put"), move |packer| packer.tidy(put))
    }

    fn get(&self, actor: &ActorId, generation: Generation) -> Result<Option<Checkpoint>, StoreError> {
        let mut failed: Option<(Location, String)> = None;
        loop {
            let Some(location) = self.shared.checkpoints().get(actor, generation) else { return Ok(None) };
            if let Some((before, what)) = failed.take()
                && before == location
            {
                let wanted = actor.clone();
                let number =
                    self.packer.call(reads("get"), move |packer| packer.number_at(&wanted, location));
                let number = number.ok().flatten().unwrap_or(CheckpointNumber::new(0));
                return Err(StoreError::CorruptCheckpoint { actor: actor.clone(), number, what });
            }
            let wanted = actor.clone();
            let read =
                self.reader.call(reads("get"), move |shared| read(&*shared.medium, &wanted, location))?;
            match read.and_then(|bytes| Checkpoint::decode(bytes).map_err(|malformed| malformed.to_string()))
            {
                Ok(checkpoint) if checkpoint.header.actor == *actor => return Ok(Some(checkpoint)),
                // A location is found by a hash of the name, so the name itself is compared.
                Ok(other) => failed = Some((location, format!("it is one of {}", other.header.actor))),
                // Another thread may have moved or replaced it during the read. When it still
                // stands there, it is damaged.
                Err(what) => failed = Some((location, what)),
            }
        }
    }

    fn list(&self, visit: &mut dyn FnMut(CheckpointHeader) -> ControlFlow<()>) -> Result<(), StoreError> {
        let _alone = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = |after: u32| self.packer.begin(reads("list"), move |packer| packer.page(after));
        let mut next = begin(0);
        let mut listed = 0;
        while let Some((stream, headers)) = next.wait()? {
            // The reader reads the next pack while the visitor looks at this one.
            next = begin(stream);
            listed += headers.len();
            if headers.into_iter().try_for_each(&mut *visit).is_break() {
                return Ok(());
            }
        }
        let actors = self.shared.checkpoints().actors();
        // Each pack was whole, and still one may lack an entry: an actor without its checkpoint
        // would start over.
        if listed == actors {
            return Ok(());
        }
        let what = format!("{listed} checkpoints are listed of {actors} actors");
        Err(StoreError::CorruptStore { what })
    }
}

impl LayeredStore {
    fn write_values(&self, step: Vec<PackValue>) -> Result<(), StoreError> {
        self.packer.call(writes("put"), move |packer| packer.append(step))
    }
}

/// How many bytes one call appends, so that no call takes long.
const STEP_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::log::Log;
    use crate::id::position::Lsn;
    use crate::layered::LayeredOptions;
    use crate::medium::{Medium, StreamId};
    use crate::testing::conformance::{block, checkpoint, id};
    use crate::testing::simulated_medium::{Left, SimulatedMedium};

    fn open(device: &SimulatedMedium) -> LayeredStore {
        let device = device.clone();
        LayeredStore::open(move || Ok(Box::new(device.open())), &LayeredOptions::default()).unwrap()
    }

    /// Invariant: checkpoint-covers-log. A cut comes, and syncs the superblock, while checkpoints
    /// are being written to a new pack: when the power goes after the put, an opening does not take
    /// the pack for a removed one.
    #[test]
    fn a_pack_that_is_begun_while_the_log_is_cut_stays() {
        let device = SimulatedMedium::new(1);
        let store = open(&device);
        for first in 0..3 {
            store.append(&block(first, 1, first, 1)).unwrap();
            store.sync().unwrap();
        }
        let alice = checkpoint(&id("alice"), 1, 900);
        let mut small = ValueBuilder::default();
        small.add(&alice.header, &alice.encode().unwrap());
        store.write_values(small.finish()).unwrap();
        assert_eq!(store.cut(Lsn::new(2)).unwrap(), Lsn::new(2));
        store.packer.call(writes("put"), Packer::finish).unwrap();
        device.lose_power(Left::Nothing);
        drop(store);
        let store = open(&device);
        assert_eq!(store.get(&id("alice"), Generation::Newest).unwrap(), Some(alice));
        // The first put of the next opening, which removes remains, does not remove it either.
        store.put(&[checkpoint(&id("bob"), 2, 9)]).unwrap();
        assert!(store.get(&id("alice"), Generation::Newest).unwrap().is_some());
    }

    /// Invariant: checkpoint-covers-log. A checkpoint that does not read back as written ends the
    /// opening.
    #[test]
    fn a_checkpoint_that_does_not_read_back_is_an_error_and_poisons() {
        let device = SimulatedMedium::new(1);
        let store = open(&device);
        store.put(&[checkpoint(&id("alice"), 1, 900)]).unwrap();
        device.turn_a_byte_of_the_next_value();
        let put = store.put(&[checkpoint(&id("alice"), 2, 900)]);
        assert!(
            matches!(&put, Err(StoreError::CorruptCheckpoint { number, .. }) if number.get() == 2),
            "{put:?}"
        );
        assert!(store.put(&[checkpoint(&id("alice"), 3, 900)]).is_err());
    }

    /// Invariant: checkpoint-covers-log. A stream in the place of a pack, with as many values, does
    /// not pass for the pack.
    #[test]
    fn another_pack_in_the_place_of_one_is_damage() {
        let with = |bytes: usize| {
            let device = SimulatedMedium::new(1);
            open(&device).put(&[checkpoint(&id("alice"), 1, bytes)]).unwrap();
            let pack = device.open().read(StreamId(1), 0).unwrap().unwrap().unwrap();
            (device, pack)
        };
        let (device, _) = with(900);
        let (_, other) = with(901);
        let medium = device.open();
        medium.remove_from(StreamId(1), 0).unwrap();
        medium.append(StreamId(1), 0, &other).unwrap();
        medium.sync(StreamId(1)).unwrap();
        let opened = LayeredStore::open(move || Ok(Box::new(medium)), &LayeredOptions::default());
        let error = opened.map(drop).unwrap_err();
        assert!(error.is_corrupt() && error.to_string().contains("is another"), "{error}");
    }

    /// A later opening completes a removal that a crash cut off, so that no remains stay for ever.
    #[test]
    fn what_is_left_of_a_removed_pack_goes_with_the_next_put() {
        let device = SimulatedMedium::new(1);
        let small = || {
            let device = device.clone();
            let options = LayeredOptions::default().pack_bytes(1);
            LayeredStore::open(move || Ok(Box::new(device.open())), &options).unwrap()
        };
        let store = small();
        for number in 1..9 {
            store.put(&[checkpoint(&id("alice"), number, 900)]).unwrap();
        }
        drop(store);
        let medium = device.open();
        assert!(!medium.streams().unwrap().contains_key(&StreamId(1)), "its checkpoints count no more");
        medium.append(StreamId(1), 7, b"left").unwrap();
        medium.sync(StreamId(1)).unwrap();
        let store = small();
        assert!(store.get(&id("alice"), Generation::Previous).unwrap().is_some());
        store.put(&[checkpoint(&id("alice"), 9, 900)]).unwrap();
        drop(store);
        assert!(!device.open().streams().unwrap().contains_key(&StreamId(1)));
    }
}
