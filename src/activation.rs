//! A passive actor into memory, or an actor that panicked back to before it did: checkpoint and log to instance.
//! Blocking.

use std::sync::Arc;

use relive_replay::{Halt, Kind, Tape, restore};
use relive_storage::record::Record;
use relive_storage::{ActorId, Checkpoint, Generation, Lsn, Rsn, Store, StoreError, StoreId};

use crate::active::Active;

/// Why an actor did not come into memory.
#[derive(Debug)]
pub(crate) enum Unrestored {
    /// Its own records or handlers.
    Halted(Halt),
    /// The store.
    Store(StoreError),
    /// All is over.
    Over,
}

impl From<Halt> for Unrestored {
    fn from(halt: Halt) -> Self {
        Self::Halted(halt)
    }
}

impl From<StoreError> for Unrestored {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What an actor is restored from.
pub(crate) struct Source<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) store_id: StoreId,
    pub(crate) kind: &'a Arc<dyn Kind>,
    pub(crate) id: &'a ActorId,
    /// Where its records after its newest checkpoint begin; `None` when that holds everything.
    pub(crate) from: Option<Lsn>,
    /// The same for the checkpoint before.
    pub(crate) fallback_from: Option<Lsn>,
    /// Where the log ends for it.
    pub(crate) to: Lsn,
}

/// An actor in memory, and how it came there.
pub(crate) struct Activated {
    pub(crate) active: Active,
    pub(crate) outbox: Vec<relive_replay::Outgoing>,
    pub(crate) replayed: u64,
}

impl Source<'_> {
    /// Restores the actor from its newest checkpoint, or from the one before when that is damaged; stops ahead of the
    /// delivery at `before`.
    pub(crate) fn activate(&self, before: Option<Rsn>) -> Result<Activated, Unrestored> {
        let (checkpoint, fell_back) = newest_whole(self.store, self.id)?;
        let from = if fell_back { self.fallback_from.or(Some(Lsn::FIRST)) } else { self.from };
        let after = checkpoint.as_ref().map_or(Rsn::NONE, |checkpoint| checkpoint.header.rsn);
        let tape = match from {
            Some(from) => read_tape(self.store, self.id, from, self.to, after)?,
            None => Tape::after(after),
        };
        self.replay(checkpoint.as_ref(), tape, before)
    }

    /// Replays a tape that was read already.
    pub(crate) fn replay(
        &self,
        checkpoint: Option<&Checkpoint>,
        mut tape: Tape,
        before: Option<Rsn>,
    ) -> Result<Activated, Unrestored> {
        let restored = restore(self.kind, self.id, self.store_id, checkpoint, &mut tape, before)?;
        let replayed = restored.replayed;
        let outbox = restored.outbox.clone();
        let active = Active::new(restored, tape)?;
        Ok(Activated { active, outbox, replayed })
    }
}

/// The newest checkpoint that is whole, and whether it is not the newest.
pub(crate) fn newest_whole(
    store: &dyn Store,
    id: &ActorId,
) -> Result<(Option<Checkpoint>, bool), StoreError> {
    match store.get(id, Generation::Newest) {
        Ok(checkpoint) => Ok((checkpoint, false)),
        Err(error @ StoreError::CorruptCheckpoint { .. }) => {
            tracing::warn!(actor = %id, %error, "falling back to the checkpoint before");
            Ok((store.get(id, Generation::Previous)?, true))
        }
        Err(error) => Err(error),
    }
}

/// The records of one actor out of the blocks in `from..to`.
pub(crate) fn read_tape(
    store: &dyn Store,
    id: &ActorId,
    from: Lsn,
    to: Lsn,
    after: Rsn,
) -> Result<Tape, Unrestored> {
    let mut tape = Tape::after(after);
    let mut at = from;
    while at < to {
        // The whole log was judged at open; what is read of it later must still be there.
        let gap = |what: &str| StoreError::CorruptLog { at, what: what.to_owned() };
        let stored = store.read(at)?.ok_or_else(|| gap("it ends before what is acknowledged"))?;
        if stored.first != at && at != Lsn::FIRST {
            return Err(gap("a block is missing").into());
        }
        let block = stored.block.map_err(|what| StoreError::CorruptLog { at: stored.first, what })?;
        for frame in block.frames() {
            let corrupt = |m: relive_storage::Malformed| StoreError::CorruptLog {
                at: stored.first,
                what: m.to_string(),
            };
            let frame = frame.map_err(corrupt)?;
            if frame.actor.as_ref() == Some(id) {
                tape.push(id, frame)?;
            }
        }
        at = block.header().next();
    }
    Ok(tape)
}

/// Whether a frame says anything that a replay needs.
pub(crate) fn is_determinant(record: &Record) -> bool {
    matches!(record, Record::Delivery(_) | Record::Event(_) | Record::Quarantine(_) | Record::Discharge(_))
}
