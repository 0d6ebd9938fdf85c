//! Brings a passive actor into memory, or an actor back to the state before its panic: from
//! checkpoint and log to an instance. Blocking.

use std::sync::Arc;

use relive_replay::{Halt, Kind, Tape, restore};
use relive_storage::record::Record;
use relive_storage::{ActorId, Checkpoint, Generation, Lsn, Rsn, Store, StoreError, StoreId};

use crate::actor::activation::Activation;

/// Why an actor did not come into memory.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// Its own records or handlers.
    Halted(Halt),
    /// The store.
    Store(StoreError),
}

impl From<Halt> for LoadError {
    fn from(halt: Halt) -> Self {
        Self::Halted(halt)
    }
}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The checkpoint and log from which an actor is restored.
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
    pub(crate) active: Activation,
    pub(crate) outbox: Vec<relive_replay::Outgoing>,
    pub(crate) replayed: u64,
}

impl Source<'_> {
    /// Restores the actor from its newest checkpoint, or from the one before when that is damaged;
    /// stops ahead of the delivery at `before`.
    pub(crate) fn activate(&self, before: Option<Rsn>) -> Result<Activated, LoadError> {
        let (checkpoint, generation) = newest_whole(self.store, self.id)?;
        let after = checkpoint.as_ref().map_or(Rsn::NONE, |checkpoint| checkpoint.header.rsn);
        let mut tape = self.read(after, generation)?;
        self.replay(checkpoint.as_ref(), &mut tape, before)
    }

    /// Reads the actor's own records after a checkpoint of this generation, which ends at `after`.
    pub(crate) fn read(&self, after: Rsn, generation: Generation) -> Result<Tape, LoadError> {
        let from = match generation {
            Generation::Newest => self.from,
            // Without a pin the log may hold all of it still; if not, the tape says what is gone.
            Generation::Previous => self.fallback_from.or(Some(Lsn::FIRST)),
        };
        match from {
            Some(from) => read_tape(self.store, self.id, from, self.to, after),
            None => Ok(Tape::after(after)),
        }
    }

    /// Replays a tape. The activation takes the tape over. After an error the tape stays with the
    /// caller, and shows how far the actor had certainly handled it.
    pub(crate) fn replay(
        &self,
        checkpoint: Option<&Checkpoint>,
        tape: &mut Tape,
        before: Option<Rsn>,
    ) -> Result<Activated, LoadError> {
        let restored = restore(self.kind, self.id, self.store_id, checkpoint, tape, before)?;
        let replayed = restored.replayed;
        let outbox = restored.outbox.clone();
        // Only after the replay: the caller needs the tape when that halts.
        let active =
            Activation::new(restored, std::mem::take(tape)).map_err(|corrupt| corrupt.of(self.id))?;
        Ok(Activated { active, outbox, replayed })
    }
}

/// The newest checkpoint that is whole, and its generation.
pub(crate) fn newest_whole(
    store: &dyn Store,
    id: &ActorId,
) -> Result<(Option<Checkpoint>, Generation), StoreError> {
    match store.get(id, Generation::Newest) {
        Ok(checkpoint) => Ok((checkpoint, Generation::Newest)),
        Err(error @ StoreError::CorruptCheckpoint { .. }) => {
            tracing::warn!(actor = %id, %error, "falling back to the checkpoint before");
            Ok((store.get(id, Generation::Previous)?, Generation::Previous))
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
) -> Result<Tape, LoadError> {
    let mut tape = Tape::after(after);
    let mut at = from;
    while at < to {
        // The opening has checked the whole log, so a block that is missing now is damage.
        let gap = |what: &str| StoreError::CorruptLog { at, what: what.to_owned() };
        let stored = store.read(at)?.ok_or_else(|| gap("it ends before what is acknowledged"))?;
        // From the first position on, the log begins wherever it was cut.
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
                tape.push(frame).map_err(|corrupt| corrupt.of(id))?;
            }
        }
        at = block.header().next();
    }
    Ok(tape)
}

/// Whether a replay needs the record.
pub(crate) fn is_determinant(record: &Record) -> bool {
    matches!(record, Record::Delivery(_) | Record::Event(_) | Record::Quarantine(_) | Record::Discharge(_))
}
