//! One opening of a simulated device: the backend. Each call has its whole effect and its effects
//! in the middle side by side.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::plan::{Call, Unsynced};
use super::shared::{Shared, State, Work};
use crate::contract::append_rules::admit_checkpoints;
use crate::contract::checkpoint_store::{CheckpointStore, Generation};
use crate::contract::durability::Durability;
use crate::contract::error::StoreError;
use crate::contract::log::{Extent, Log, StoredBlock};
use crate::format::block::Block;
use crate::format::checkpoint::{Checkpoint, CheckpointHeader};
use crate::id::actor_id::ActorId;
use crate::id::position::Lsn;

/// One opening of a [`super::SimulatedDisk`]. Keeps the contract of a backend until a fault is due.
/// Clones are the same opening.
#[derive(Clone, Debug)]
pub struct SimulatedStore {
    shared: Arc<Shared>,
    opening: u64,
}

impl SimulatedStore {
    pub(super) fn new(shared: Arc<Shared>, opening: u64) -> Self {
        Self { shared, opening }
    }

    fn call<T>(&self, call: Call, on: String, work: &dyn Work<T>) -> Result<T, StoreError> {
        self.shared.call(self.opening, call, on, work)
    }

    /// A call that changes nothing, and so has no middle.
    fn look<T>(
        &self,
        call: Call,
        on: String,
        look: impl Fn(&State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.call(call, on, &Look(look))
    }
}

impl Log for SimulatedStore {
    fn extent(&self) -> Result<Extent, StoreError> {
        let store = self.shared.store;
        self.look(Call::Extent, String::new(), |state| {
            let mark = &state.device.cached.mark;
            Ok(Extent {
                store,
                durability: Durability::PowerLoss,
                start: mark.start,
                acknowledged: mark.acknowledged,
                epoch: mark.epoch,
            })
        })
    }

    fn append(&self, block: &Block) -> Result<(), StoreError> {
        let header = block.header();
        let on = format!("{}, {} records, {}", header.first, header.records, header.epoch);
        self.call(Call::Append, on, &Append(block))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.call(Call::Sync, String::new(), &Sync)
    }

    fn read(&self, from: Lsn) -> Result<Option<StoredBlock>, StoreError> {
        self.look(Call::Read, from.to_string(), |state| Ok(state.device.cached.read(from)))
    }

    fn cut(&self, below: Lsn) -> Result<Lsn, StoreError> {
        self.call(Call::Cut, below.to_string(), &Cut(below))
    }
}

impl CheckpointStore for SimulatedStore {
    fn put(&self, checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        let on = checkpoints
            .iter()
            .map(|c| format!("{} of {} at {}", c.header.number, c.header.actor, c.header.rsn));
        self.call(Call::Put, on.collect::<Vec<_>>().join(", "), &Put(checkpoints))
    }

    fn get(&self, actor: &ActorId, generation: Generation) -> Result<Option<Checkpoint>, StoreError> {
        self.look(Call::Get, format!("{generation:?} of {actor}"), |state| {
            let Some(kept) = state.device.cached.checkpoints.get(actor) else { return Ok(None) };
            let bytes = match generation {
                Generation::Newest => Some(kept.newest.clone()),
                Generation::Previous => kept.previous.clone(),
            };
            let (actor, number) = (actor.clone(), kept.header.number);
            bytes.map(Checkpoint::decode).transpose().map_err(|malformed| StoreError::CorruptCheckpoint {
                actor,
                number,
                what: malformed.to_string(),
            })
        })
    }

    fn list(&self, visit: &mut dyn FnMut(CheckpointHeader) -> ControlFlow<()>) -> Result<(), StoreError> {
        let (headers, counted) = self.look(Call::List, String::new(), |state| {
            let kept = state.device.cached.checkpoints.values();
            Ok((kept.map(|kept| kept.header.clone()).collect::<Vec<_>>(), state.device.cached.count()))
        })?;
        match headers.into_iter().try_for_each(visit) {
            ControlFlow::Continue(()) => counted,
            ControlFlow::Break(()) => Ok(()),
        }
    }
}

struct Look<F>(F);

impl<T, F: Fn(&State) -> Result<T, StoreError>> Work<T> for Look<F> {
    fn whole(&self, state: &mut State) -> Result<T, StoreError> {
        (self.0)(state)
    }
}

struct Append<'a>(&'a Block);

impl Append<'_> {
    fn admit(&self, state: &State) -> Result<Lsn, StoreError> {
        let cached = &state.device.cached;
        state.tail.admit(&self.0.header(), cached.mark.acknowledged, |first| cached.end_before(first))
    }
}

impl Work<()> for Append<'_> {
    fn whole(&self, state: &mut State) -> Result<(), StoreError> {
        let next = self.admit(state)?;
        let fresh = state.tail.is_fresh();
        if !state.device.has_room_for(self.0.bytes().len()) {
            state.device.append_torn(self.0, fresh);
            return Err(state.fail("no space is left on the device"));
        }
        state.device.append(self.0, fresh);
        state.tail.advance(next);
        Ok(())
    }

    fn torn(&self, state: &mut State, _unsynced: Unsynced) {
        if self.admit(state).is_ok() {
            let fresh = state.tail.is_fresh();
            state.device.append_torn(self.0, fresh);
        }
    }
}

struct Sync;

impl Work<()> for Sync {
    fn whole(&self, state: &mut State) -> Result<(), StoreError> {
        let acknowledged = state.tail.acknowledges(state.device.cached.mark.acknowledged);
        state.device.sync(acknowledged);
        Ok(())
    }

    // A sync cut off in the middle leaves what the loss of power leaves of the writes, so there is
    // nothing more to do.
}

struct Cut(Lsn);

impl Work<Lsn> for Cut {
    fn whole(&self, state: &mut State) -> Result<Lsn, StoreError> {
        let start = state.device.cached.beginnings(self.0).pop();
        state.device.cut(start);
        Ok(state.device.cached.mark.start)
    }

    fn torn(&self, state: &mut State, unsynced: Unsynced) {
        let beginnings = state.device.cached.beginnings(self.0);
        state.device.cut_torn(&beginnings, unsynced);
    }
}

struct Put<'a>(&'a [Checkpoint]);

impl Put<'_> {
    fn admit(&self, state: &State) -> Result<Vec<Bytes>, StoreError> {
        admit_checkpoints(self.0, state.device.cached.highest)
    }
}

impl Work<()> for Put<'_> {
    fn whole(&self, state: &mut State) -> Result<(), StoreError> {
        let encoded = self.admit(state)?;
        if !state.device.has_room_for(encoded.iter().map(Bytes::len).sum()) {
            return Err(state.fail("no space is left on the device"));
        }
        state.device.put(self.0.iter().zip(encoded));
        Ok(())
    }

    fn torn(&self, state: &mut State, unsynced: Unsynced) {
        if let Ok(encoded) = self.admit(state) {
            state.device.put_torn(self.0.iter().zip(encoded), unsynced);
        }
    }
}
