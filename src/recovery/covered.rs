//! The actors whose newest checkpoint contains everything that the log has of them. There may be
//! millions, so an opening keeps of each what it must check and which log the fallback needs, but
//! no name.

use std::sync::Arc;

use relive_replay::halt::CorruptRecords;
use relive_storage::record::{Positioned, Record};
use relive_storage::scan::follow;
use relive_storage::{ActorId, Lsn, Rsn, Store, StoreError};

use crate::actor::loader::is_determinant;
use crate::error::OpenError;
use crate::retention::actor_index::{ActorIndex, ActorIndexBuilder};
use crate::retention::passive_pins::PassivePins;

/// The actors that have a checkpoint, by number.
pub(crate) struct Covered {
    names: Arc<ActorIndex>,
    reached: Vec<Reached>,
    passive_pins: PassivePins,
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
    /// The listed actors, before the opening reads the log.
    pub(crate) fn new(listing: ActorIndexBuilder) -> Self {
        let (names, reached) = ActorIndex::list(listing, |floor| Reached { floor, logged: Rsn::NONE });
        let names = Arc::new(names);
        let passive_pins = PassivePins::new(Arc::clone(&names));
        Self { names, reached, passive_pins }
    }

    /// The number of an actor; `None` when it has no checkpoint.
    pub(crate) fn find(&self, actor: &str) -> Option<usize> {
        self.names.find(actor)
    }

    /// The last delivery that the actor's newest checkpoint contains.
    pub(crate) fn floor(&self, number: usize) -> Rsn {
        self.reached[number].floor
    }

    /// Adds the records of the actor's next frame, when its checkpoint contains them all. Returns
    /// `false` otherwise: the caller keeps the actor's records from this frame on.
    ///
    /// # Errors
    /// [`StoreError::CorruptLog`] when deliveries are missing.
    pub(crate) fn add(
        &mut self,
        number: usize,
        actor: &str,
        block: Lsn,
        (carried, handled): (bool, Rsn),
        records: &[Positioned],
    ) -> Result<bool, StoreError> {
        let floor = self.floor(number);
        if handled > floor || !records.iter().all(|positioned| is_contained(&positioned.record, floor)) {
            return Ok(false);
        }
        // What is carried stands behind what came after it.
        if !carried {
            let logged = &mut self.reached[number].logged;
            follow(logged, actor, records)?;
            assert!(*logged <= floor, "a checkpoint at {floor} contains all up to {logged}");
        }
        if records.iter().any(|positioned| is_determinant(&positioned.record)) {
            self.passive_pins.pin(number, block);
        }
        Ok(true)
    }

    /// Hands an actor over to the caller: the first block with its records, and its last delivery
    /// there.
    pub(crate) fn take(&mut self, number: usize) -> (Option<Lsn>, Rsn) {
        // From now on `check` must not look at the actor: its caller goes on with this number.
        let logged = std::mem::replace(&mut self.reached[number].logged, Rsn::NONE);
        (self.passive_pins.take_number(number), logged)
    }

    /// Checks that the deliveries of each actor in the log reach as far as its checkpoint. Reads a
    /// name from the store only for an error.
    pub(crate) fn check(&self, store: &dyn Store) -> Result<(), OpenError> {
        for (number, Reached { floor, logged }) in self.reached.iter().enumerate() {
            // Without a pin the log has no delivery of the actor, so there is nothing to compare.
            if let Some(block) = self.passive_pins.pinned(number) {
                let name = || self.name(number, block, store);
                check_reaches(name, *logged, *floor)?;
            }
        }
        Ok(())
    }

    /// The name of an actor that has records in a block.
    fn name(&self, number: usize, block: Lsn, store: &dyn Store) -> Result<ActorId, StoreError> {
        // Read again: a name for each of millions of actors would fill the memory.
        let gone = || StoreError::CorruptLog { at: block, what: "it is gone while it is read".to_owned() };
        let block = store.read(block)?.and_then(|stored| stored.block.ok()).ok_or_else(gone)?;
        let heads = block.heads().filter_map(Result::ok);
        let mut names = heads.filter_map(|head| head.actor(block.bytes()));
        let name = names.find(|name| self.find(name) == Some(number));
        name.and_then(|name| ActorId::parse(name).ok()).ok_or_else(gone)
    }

    /// The names, and the log that the remaining actors need.
    pub(crate) fn finish(self) -> (Arc<ActorIndex>, PassivePins) {
        (self.names, self.passive_pins)
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
        Record::Carried(carried) => carried.rsn <= floor,
        Record::Released(released) => released.rsn <= floor,
        // A discharge: the checkpoint may contain the delivery and still have it in quarantine.
        _ => false,
    }
}

/// A cut drops only the beginning of the log, and a checkpoint contains only deliveries on stable
/// storage. So when an actor has deliveries in the log, they reach at least to its checkpoint.
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
    Err(OpenError::Records(CorruptRecords { rsn, what }.of(&actor)))
}
