//! The checkpoints' half of the seam.

use std::sync::PoisonError;

use super::gathering::{Piece, Small};
use super::packer::Packer;
use super::places::Place;
use super::reading::read;
use super::store::LayeredStore;
use crate::admission::admit_checkpoints;
use crate::checkpoint_store::{CheckpointStore, Generation};
use crate::position::CheckpointNumber;
use crate::worker::{reads, writes};
use crate::{ActorId, Checkpoint, CheckpointHeader, StoreError, boundary};

impl CheckpointStore for LayeredStore {
    fn put(&self, checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        let _alone = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = self.shared.superblock().highest;
        let encoded = admit_checkpoints(checkpoints, highest)?;
        if encoded.is_empty() {
            return Ok(());
        }
        boundary!("checkpoint.begin");
        let put = encoded.iter().map(|bytes| bytes.len() as u64).sum();
        let (mut small, mut step) = (Small::default(), Vec::new());
        for (checkpoint, encoded) in checkpoints.iter().zip(encoded) {
            for piece in small.add(&checkpoint.header, &encoded) {
                step.push(piece);
                if step.iter().map(|piece: &Piece| piece.value.len()).sum::<usize>() >= STEP_BYTES {
                    self.write_pieces(std::mem::take(&mut step))?;
                }
            }
        }
        step.extend(small.finish());
        self.write_pieces(step)?;
        self.packer.call(writes("put"), Packer::finish)?;
        self.packer.call(writes("put"), move |packer| packer.tidy(put))
    }

    fn get(&self, actor: &ActorId, generation: Generation) -> Result<Option<Checkpoint>, StoreError> {
        let mut failed: Option<(Place, String)> = None;
        loop {
            let Some(place) = self.shared.places().get(actor, generation) else { return Ok(None) };
            if let Some((before, what)) = failed.take()
                && before == place
            {
                let wanted = actor.clone();
                let number = self.packer.call(reads("get"), move |packer| packer.number_at(&wanted, place));
                let number = number.ok().flatten().unwrap_or(CheckpointNumber::new(0));
                return Err(StoreError::CorruptCheckpoint { actor: actor.clone(), number, what });
            }
            let wanted = actor.clone();
            let read = self.reader.call(reads("get"), move |shared| read(&*shared.medium, &wanted, place))?;
            match read.and_then(|bytes| Checkpoint::decode(bytes).map_err(|malformed| malformed.to_string()))
            {
                Ok(checkpoint) if checkpoint.header.actor == *actor => return Ok(Some(checkpoint)),
                Ok(other) => failed = Some((place, format!("it is one of {}", other.header.actor))),
                // It may have been moved or replaced while it was read. When it still is there, it is damaged.
                Err(what) => failed = Some((place, what)),
            }
        }
    }

    fn list(
        &self,
        visit: &mut dyn FnMut(CheckpointHeader) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let _alone = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = |after: u32| self.packer.begin(reads("list"), move |packer| packer.page(after));
        let mut next = begin(0);
        let mut listed = 0;
        while let Some((stream, headers)) = next.wait()? {
            // The next pack is read while this one is looked at.
            next = begin(stream);
            listed += headers.len();
            headers.into_iter().try_for_each(&mut *visit)?;
        }
        let actors = self.shared.places().actors();
        if listed == actors {
            return Ok(());
        }
        let what = format!("{listed} checkpoints are listed of {actors} actors");
        Err(StoreError::CorruptStore { what })
    }
}

impl LayeredStore {
    fn write_pieces(&self, step: Vec<Piece>) -> Result<(), StoreError> {
        self.packer.call(writes("put"), move |packer| packer.append(step))
    }
}

/// How many bytes are appended at once, so that no call takes long.
const STEP_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{block, checkpoint, id};
    use crate::simulated_medium::{Left, SimulatedMedium};
    use crate::{LayeredOptions, Log, Lsn};

    fn open(device: &SimulatedMedium) -> LayeredStore {
        let device = device.clone();
        LayeredStore::open(move || Ok(Box::new(device.open())), &LayeredOptions::default()).unwrap()
    }

    /// Invariant: checkpoint-covers-log. A cut comes, and makes the superblock stable, while checkpoints are being written to a
    /// new pack: when the power goes after they were put, the pack is not taken for one that was removed.
    #[test]
    fn a_pack_that_is_begun_while_the_log_is_cut_stays() {
        let device = SimulatedMedium::new(1);
        let store = open(&device);
        for first in 0..3 {
            store.append(&block(first, 1, first, 1)).unwrap();
            store.sync().unwrap();
        }
        let alice = checkpoint(&id("alice"), 1, 900);
        let mut small = Small::default();
        small.add(&alice.header, &alice.encode().unwrap());
        store.write_pieces(small.finish()).unwrap();
        assert_eq!(store.cut(Lsn::new(2)).unwrap(), Lsn::new(2));
        store.packer.call(writes("put"), Packer::finish).unwrap();
        device.lose_power(Left::Nothing);
        drop(store);
        let store = open(&device);
        assert_eq!(store.get(&id("alice"), Generation::Newest).unwrap(), Some(alice));
        // And not with the first put of the next opening, which removes what was left.
        store.put(&[checkpoint(&id("bob"), 2, 9)]).unwrap();
        assert!(store.get(&id("alice"), Generation::Newest).unwrap().is_some());
    }

    /// Invariant: checkpoint-covers-log. What does not read back as it was written ends the opening.
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
}
