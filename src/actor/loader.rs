//! Brings a passive actor into memory, or an actor back to the state before its panic: from
//! checkpoint and log to an instance. Blocking.

use std::sync::Arc;
use std::time::Duration;

use relive_replay::{Halt, Kind, Outgoing, Owed, Reel, Tape, restore};
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
    /// How long the replies to requests with idempotency keys are kept.
    pub(crate) retention: Duration,
}

/// An actor in memory, and how it came there.
pub(crate) struct Activated {
    pub(crate) active: Activation,
    pub(crate) owed: Owed,
    /// What the first delivery ahead has sent, though it is not done.
    pub(crate) released: Vec<Outgoing>,
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
        tape.set_retention(self.retention);
        let restored = restore(self.kind, self.id, self.store_id, checkpoint, tape, before)?;
        let replayed = restored.replayed;
        let (owed, released) = (restored.owed.clone(), restored.released.clone());
        // Only after the replay: the caller needs the tape when that halts.
        let active =
            Activation::new(restored, std::mem::take(tape)).map_err(|corrupt| corrupt.of(self.id))?;
        Ok(Activated { active, owed, released, replayed })
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
    let (mut tape, mut reel) = (Tape::after(after), Reel::default());
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
                reel.push(&mut tape, frame);
            }
        }
        at = block.header().next();
    }
    reel.end().map_err(|corrupt| corrupt.of(id))?;
    Ok(tape)
}

/// Whether a replay needs the record.
pub(crate) fn is_determinant(record: &Record) -> bool {
    matches!(record, Record::Delivery(_) | Record::Event(_) | Record::Quarantine(_) | Record::Discharge(_))
}

#[cfg(test)]
mod tests {
    use relive_replay::KindBuilder;
    use relive_storage::record::Sender;
    use relive_storage::simulated_store::SimulatedDisk;
    use relive_storage::{Block, BlockHeader, Epoch, FrameWriter, Log, Name, Timestamp};

    use super::*;
    use crate::shared::testing::{Account, Deposit};

    fn id(key: &str) -> ActorId {
        ActorId::new("account", key).unwrap()
    }

    /// A log of blocks with a deposit for "alice" and one for "bob" each, on a disk.
    fn disk(blocks: u64) -> SimulatedDisk {
        let disk = SimulatedDisk::new(1);
        let (store, mut writer) = (disk.open(), FrameWriter::new());
        for block in 0..blocks {
            let mut bytes = Vec::new();
            Block::reserve_header(&mut bytes);
            for key in ["alice", "bob"] {
                let (rsn, message) = (Rsn::new(block + 1), Name::from_static("deposit"));
                let payload = relive_replay::payload::encode(&Deposit(1)).unwrap();
                writer.put_delivery(rsn, &Sender::Outside, false, &message, &payload);
                writer.finish(Some(&id(key)), Rsn::NONE, Rsn::NONE, &[]).append_to(&mut bytes);
            }
            let (first, clock) = (Lsn::new(block * 2), Timestamp::default());
            let header =
                BlockHeader { first, records: 2, durable: first, epoch: Epoch::new(1), clock, seed: block };
            store.append(&Block::seal(header, bytes)).unwrap();
            store.sync().unwrap();
        }
        disk
    }

    fn rsns(tape: &Tape) -> Vec<u64> {
        tape.deliveries().iter().map(|delivery| delivery.rsn.get()).collect()
    }

    /// A tape has the records of its own actor, from where it is read to where it was acknowledged.
    #[test]
    fn a_tape_has_what_the_actor_received() {
        let store = disk(3).open();
        let read = |from: u64, to: u64, after| {
            let tape = read_tape(&store, &id("bob"), Lsn::new(from), Lsn::new(to), Rsn::new(after));
            rsns(&tape.unwrap())
        };
        assert_eq!(read(0, 6, 0), [1, 2, 3]);
        assert_eq!(read(0, 6, 2), [3], "the checkpoint has the others");
        assert_eq!(read(2, 4, 1), [2]);
        assert_eq!(read(6, 6, 3), [0; 0]);
    }

    /// The opening has seen the whole log, so a part that is missing now is damage, and no end.
    #[test]
    fn a_log_that_misses_a_block_is_damaged() {
        let disk = disk(3);
        let store = disk.open();
        let read = |from, to| read_tape(&store, &id("alice"), Lsn::new(from), Lsn::new(to), Rsn::NONE);
        let is_damage = |read| matches!(read, Err(LoadError::Store(StoreError::CorruptLog { .. })));
        assert!(is_damage(read(0, 7)), "it ends early");
        assert!(disk.lose_block(Lsn::new(2)));
        assert!(is_damage(read(0, 6)), "it has a gap");
    }

    /// Without a pin the newest checkpoint holds everything, and the one before needs all of the
    /// log that there is.
    #[test]
    fn what_is_read_depends_on_the_checkpoint() {
        let (disk, id) = (disk(2), id("alice"));
        let (store, kind) =
            (disk.open(), KindBuilder::<Account>::new().handles::<Deposit>().build().unwrap());
        let store_id = store.extent().unwrap().store;
        let (from, fallback_from, to) = (None, None, Lsn::new(4));
        let retention = Duration::MAX;
        let source =
            Source { store: &store, store_id, kind: &kind, id: &id, from, fallback_from, to, retention };
        assert_eq!(rsns(&source.read(Rsn::new(2), Generation::Newest).unwrap()), [0; 0]);
        assert_eq!(rsns(&source.read(Rsn::new(1), Generation::Previous).unwrap()), [2]);
        let activated = Source { from: Some(Lsn::FIRST), ..source }.activate(Some(Rsn::new(2))).unwrap();
        assert_eq!((activated.replayed, activated.active.backlog.len()), (1, 1));
    }
}
