//! An actor in memory, with what its turns carry from one to the next.

use std::collections::BTreeMap;
use std::time::Instant;

use relive_replay::{Instance, Restored, Tape, engine};
use relive_storage::record::Quarantine;
use relive_storage::{ActorId, FrameBytes, FrameWriter, Rsn};

use crate::backlog::Backlog;
use crate::envelope::{CheckpointRequest, Envelope, Waiter};
use crate::suspects::Suspects;

/// An actor in memory.
pub(crate) struct Active {
    pub(crate) instance: Instance,
    /// Events of deliveries that were begun before a crash, and digests that are still to be logged.
    pub(crate) tape: Tape,
    /// Deliveries that are logged and not handled yet, with those who wait for replies to them.
    pub(crate) backlog: Backlog,
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
        let mut backlog = Backlog::default();
        while let Some(delivery) = tape.next_delivery() {
            engine::admit(&mut instance, &delivery.sender, delivery.rsn)?;
            backlog.push(Envelope::from(delivery));
        }
        let records = tape.deliveries().len() as u64;
        let bytes = tape.deliveries().iter().map(|delivery| delivery.payload.len() as u64).sum();
        tape.forget(instance.handled());
        Ok(Self {
            instance,
            tape,
            backlog,
            places: 0,
            request: None,
            tried: None,
            condemned: None,
            suspects: None,
            since_checkpoint: SinceCheckpoint { records, bytes, ..SinceCheckpoint::none() },
        })
    }

    /// Closes what was put into `writer` to a frame, with what the deliveries since the last frame did.
    pub(crate) fn finish_frame<'w>(&mut self, writer: &'w mut FrameWriter) -> FrameBytes<'w> {
        finish_frame(&mut self.tape, self.instance.id(), self.instance.handled(), writer)
    }

    /// Goes on where the actor halted: with what it was given to do, and those who wait for it.
    pub(crate) fn succeed(&mut self, halted: Self) {
        self.suspects = halted.suspects;
        self.request = halted.request;
        self.places = halted.places;
        let waiting =
            halted.backlog.into_envelopes().map(|envelope| (envelope.delivery.rsn, envelope.waiter));
        let mut waiting: BTreeMap<Rsn, Waiter> = waiting.collect();
        for envelope in self.backlog.envelopes_mut() {
            if let Some(waiter) = waiting.remove(&envelope.delivery.rsn) {
                envelope.waiter = waiter;
            }
        }
    }
}

/// As [`Active::finish_frame`], for a handler that is in the middle of a delivery.
pub(crate) fn finish_frame<'w>(
    tape: &mut Tape,
    actor: &ActorId,
    handled: Rsn,
    writer: &'w mut FrameWriter,
) -> FrameBytes<'w> {
    let since = tape.covered().min(handled);
    let digests = tape.take_pending();
    let frame = writer.finish(Some(actor), since, handled, &digests);
    tape.logged(handled);
    frame
}
