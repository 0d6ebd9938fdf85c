//! An actor in memory, with what its turns carry from one to the next.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use relive_replay::{Instance, Restored, Tape, engine};
use relive_storage::record::{Delivery, Quarantine};
use relive_storage::{ActorId, FrameWriter, Rsn};

use crate::envelope::{CheckpointRequest, ReplyTo};
use crate::suspects::Suspects;

/// An actor in memory.
pub(crate) struct Active {
    pub(crate) instance: Instance,
    /// Events of deliveries that were begun before a crash, and digests that are still to be logged.
    pub(crate) tape: Tape,
    /// Deliveries that are logged and not handled yet.
    pub(crate) backlog: VecDeque<Delivery>,
    /// Who waits for the replies to them.
    pub(crate) askers: BTreeMap<Rsn, ReplyTo>,
    /// How many places of the mailbox they hold.
    pub(crate) places: u32,
    /// Somebody wants a checkpoint that is not taken yet.
    pub(crate) request: Option<CheckpointRequest>,
    /// The delivery that panicked last, and how often.
    pub(crate) tried: Option<(Rsn, u32)>,
    /// The delivery that is to be left out.
    pub(crate) condemned: Option<Quarantine>,
    /// What the opening found that is not handled yet.
    pub(crate) suspects: Option<Suspects>,
    pub(crate) since_checkpoint: SinceCheckpoint,
}

/// What happened since the actor's newest checkpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SinceCheckpoint {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) at: Instant,
}

impl SinceCheckpoint {
    pub(crate) fn none() -> Self {
        Self { records: 0, bytes: 0, at: Instant::now() }
    }
}

impl Active {
    /// An actor as recovery or activation found it. Deliveries of the tape that were not replayed become its backlog.
    ///
    /// # Errors
    /// [`relive_replay::Halt::Corrupt`] when they don't pass the duplicate table as they did when they were logged.
    pub(crate) fn new(restored: Restored, mut tape: Tape) -> Result<Self, relive_replay::Halt> {
        let mut instance = restored.instance;
        let mut backlog = VecDeque::new();
        while let Some(delivery) = tape.next_delivery() {
            engine::admit(&mut instance, &delivery.sender, delivery.rsn)?;
            backlog.push_back(delivery);
        }
        let records = tape.deliveries().len() as u64;
        let bytes = tape.deliveries().iter().map(|delivery| delivery.payload.len() as u64).sum();
        tape.forget(instance.handled());
        Ok(Self {
            instance,
            tape,
            backlog,
            askers: BTreeMap::new(),
            places: 0,
            request: None,
            tried: None,
            condemned: None,
            suspects: None,
            since_checkpoint: SinceCheckpoint { records, bytes, ..SinceCheckpoint::none() },
        })
    }

    /// Closes what was put into `writer` to a frame, with what the deliveries since the last frame did.
    pub(crate) fn finish_frame(&mut self, writer: &mut FrameWriter, frame: &mut Vec<u8>) {
        finish_frame(&mut self.tape, self.instance.id(), self.instance.handled(), writer, frame);
    }
}

/// As [`Active::finish_frame`], for a handler that is in the middle of a delivery.
pub(crate) fn finish_frame(
    tape: &mut Tape,
    actor: &ActorId,
    handled: Rsn,
    writer: &mut FrameWriter,
    frame: &mut Vec<u8>,
) {
    let since = tape.covered().min(handled);
    let digests = tape.take_pending();
    frame.clear();
    writer.finish(Some(actor), since, handled, &digests, frame);
    tape.logged(handled);
}
