//! The determinants of a handler that runs live: nothing is on record, except what was before a crash; what happens is
//! logged, and the handler goes on when it is stable.

use relive_replay::determinants::Stable;
use relive_replay::{Determinants, Halt, Recorded, Tape};
use relive_storage::record::Event;
use relive_storage::{ActorId, Rsn};

use crate::active::finish_frame;
use crate::core::Core;
use crate::encoder::Encoder;
use crate::slot::Slot;

/// Determinants that happen now.
pub(crate) struct Live<'a> {
    pub(crate) core: &'a Core,
    pub(crate) slot: &'a Slot,
    pub(crate) tape: &'a mut Tape,
    /// Somebody waits for the reply.
    pub(crate) wants_reply: bool,
    /// Events logged by this step, and the bytes of their frames.
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

impl Determinants for Live<'_> {
    fn recorded(&mut self, actor: &ActorId, rsn: Rsn, index: u32, name: &str) -> Result<Recorded, Halt> {
        self.tape.recorded(actor, rsn, index, name)
    }

    fn stabilize(&mut self, actor: &ActorId, event: Event) -> Stable<'_> {
        let actor = actor.clone();
        Box::pin(async move {
            let rsn = event.rsn;
            let not_logged = |reason: String| Halt::NotLogged { actor: actor.clone(), rsn, reason };
            let mut encoder = Encoder::borrow();
            encoder.put_event(&event);
            let handled = Rsn::new(rsn.get() - 1);
            let frame = finish_frame(self.tape, &actor, handled, &mut encoder);
            self.events += 1;
            self.bytes += frame.len() as u64;
            let placed = |block| self.slot.change_pins(|pins| pins.placed(block));
            let appended = self.core.committer.append(frame, placed).await;
            let appended = appended.map_err(|error| not_logged(error.to_string()))?;
            drop(encoder);
            self.core.committer.stable(appended.end).await.map_err(|error| not_logged(error.to_string()))
        })
    }

    fn wants_reply(&self) -> bool {
        self.wants_reply
    }

    fn checks_values(&self) -> bool {
        true
    }

    fn finish(&mut self, actor: &ActorId, rsn: Rsn, events: u32, digest: Option<u64>) -> Result<(), Halt> {
        self.tape.finish(actor, rsn, events, digest)
    }
}
