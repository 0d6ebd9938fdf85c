//! What an opening has read in the log of actors whose newest checkpoint contains all of it. There may be millions of them:
//! of each is kept what must be checked, and which log its fallback needs, and no name.

use std::sync::Arc;

use relive_replay::Halt;
use relive_storage::record::{Positioned, Record};
use relive_storage::scan::follow;
use relive_storage::{ActorId, Lsn, Rsn, Store, StoreError};

use crate::activation::is_determinant;
use crate::dormant::Dormant;
use crate::error::OpenError;
use crate::hashes::{Hashes, Listing};

/// The actors that have a checkpoint, by number.
pub(crate) struct Covered {
    names: Arc<Hashes>,
    reached: Vec<Reached>,
    dormant: Dormant,
}

/// How far the deliveries of an actor reach.
#[derive(Clone, Copy)]
struct Reached {
    /// The last that its newest checkpoint contains.
    floor: Rsn,
    /// The last in the log.
    logged: Rsn,
}

impl Covered {
    /// Those that were listed; nothing is read yet.
    pub(crate) fn new(listing: Listing) -> Self {
        let (names, reached) = Hashes::list(listing, |floor| Reached { floor, logged: Rsn::NONE });
        let names = Arc::new(names);
        let dormant = Dormant::new(Arc::clone(&names));
        Self { names, reached, dormant }
    }

    /// The number of an actor; `None` when it has no checkpoint.
    pub(crate) fn find(&self, actor: &str) -> Option<usize> {
        self.names.find(actor)
    }

    /// The last delivery that the actor's newest checkpoint contains.
    pub(crate) fn floor(&self, number: usize) -> Rsn {
        self.reached[number].floor
    }

    /// Adds the records of the actor's next frame, when its checkpoint contains them all: `false` when more is to be kept
    /// of the actor from this frame on.
    ///
    /// # Errors
    /// [`StoreError::CorruptLog`] when deliveries are missing.
    pub(crate) fn add(
        &mut self,
        number: usize,
        actor: &str,
        block: Lsn,
        handled: Rsn,
        records: &[Positioned],
    ) -> Result<bool, StoreError> {
        let floor = self.floor(number);
        if handled > floor || !records.iter().all(|positioned| is_contained(&positioned.record, floor)) {
            return Ok(false);
        }
        follow(&mut self.reached[number].logged, actor, records)?;
        if records.iter().any(|positioned| is_determinant(&positioned.record)) {
            self.dormant.pin(number, block);
        }
        Ok(true)
    }

    /// What was added of an actor, for one who keeps it from now on: the first block with its records, and its last
    /// delivery there.
    pub(crate) fn take(&mut self, number: usize) -> (Option<Lsn>, Rsn) {
        let logged = std::mem::replace(&mut self.reached[number].logged, Rsn::NONE);
        (self.dormant.take_number(number), logged)
    }

    /// Checks that the deliveries of each actor in the log reach as far as its checkpoint. Looks names up in the store, if
    /// one is to be told.
    pub(crate) fn check(&self, store: &dyn Store) -> Result<(), OpenError> {
        for (number, Reached { floor, logged }) in self.reached.iter().enumerate() {
            if let Some(block) = self.dormant.pinned(number) {
                let name = || self.name(number, block, store);
                check_reaches(name, *logged, *floor)?;
            }
        }
        Ok(())
    }

    /// The name of an actor that has records in a block.
    fn name(&self, number: usize, block: Lsn, store: &dyn Store) -> Result<ActorId, StoreError> {
        let gone = || StoreError::CorruptLog { at: block, what: "it is gone while it is read".to_owned() };
        let block = store.read(block)?.and_then(|stored| stored.block.ok()).ok_or_else(gone)?;
        let heads = block.heads().filter_map(Result::ok);
        let mut names = heads.filter_map(|head| head.actor(block.bytes()));
        let name = names.find(|name| self.find(name) == Some(number));
        name.and_then(|name| ActorId::parse(name).ok()).ok_or_else(gone)
    }

    /// The names, and the log that those need of whom nothing was taken.
    pub(crate) fn finish(self) -> (Arc<Hashes>, Dormant) {
        (self.names, self.dormant)
    }
}

/// Whether nothing is left of a record once the deliveries up to `floor` are in a checkpoint.
fn is_contained(record: &Record, floor: Rsn) -> bool {
    match record {
        Record::Delivery(delivery) => delivery.rsn <= floor,
        Record::Event(event) => event.rsn <= floor,
        Record::CheckpointMark(mark) => mark.rsn <= floor,
        Record::Attempt(rsn) => *rsn <= floor,
        Record::Quarantine(decision) => decision.rsn <= floor,
        // The delivery may be one that the checkpoint contains, but that does not know that it is discharged.
        _ => false,
    }
}

/// The log is cut at its beginning only, and no delivery comes into a checkpoint before it is stable: an actor that has
/// deliveries in the log has all those there that its checkpoint contains from them on.
pub(crate) fn check_reaches(
    actor: impl FnOnce() -> Result<ActorId, StoreError>,
    logged: Rsn,
    floor: Rsn,
) -> Result<(), OpenError> {
    if logged == Rsn::NONE || logged >= floor {
        return Ok(());
    }
    let (actor, rsn) = (actor()?, logged.next());
    let what = format!("its checkpoint ends at {floor}, its deliveries in the log at {logged}");
    Err(OpenError::Records(Halt::Corrupt { actor, rsn, what }))
}
