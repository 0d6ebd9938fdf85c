//! The determinants of a handler that runs live. Only events from before a crash have a record. New
//! events go to the log, and the handler continues when they are on stable storage.
//!
//! # Source
//! Output commit: Strom and Yemini, *Optimistic Recovery in Distributed Systems*, ACM TOCS 3(3),
//! 1985; Elnozahy, Alvisi, Wang and Johnson, *A Survey of Rollback-Recovery Protocols in
//! Message-Passing Systems*, ACM Computing Surveys 34(3), 2002.

use relive_replay::determinants::{NoOutcome, UntilDurable};
use relive_replay::{Determinants, Divergence, Recorded, Tape};
use relive_storage::Rsn;
use relive_storage::record::Event;

use crate::actor::activation::finish_frame;
use crate::actor::cell::ActorCell;
use crate::log::committer::Committer;
use crate::log::frame_pool::PooledFrameWriter;

/// Determinants that happen now.
pub(crate) struct Live<'a> {
    pub(crate) committer: &'a Committer,
    pub(crate) cell: &'a ActorCell,
    pub(crate) tape: &'a mut Tape,
    /// An asker waits for the reply.
    pub(crate) wants_reply: bool,
    /// Events logged by this step, and the bytes of their frames.
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

impl Determinants for Live<'_> {
    fn recorded(&mut self, rsn: Rsn, index: u32, name: &str) -> Result<Recorded, Divergence> {
        self.tape.recorded(rsn, index, name)
    }

    fn make_durable(&mut self, event: Event) -> UntilDurable<'_> {
        Box::pin(async move {
            let mut encoder = PooledFrameWriter::borrow();
            encoder.put_event(&event);
            // The delivery is under way, so the frame says that the one before is handled.
            let handled = event.rsn.prev();
            let frame = finish_frame(self.tape, &self.cell.id, handled, &mut encoder);
            self.events += 1;
            self.bytes += frame.len() as u64;
            let placed = |block| self.cell.change_pins(|pins| pins.placed(block));
            let appended = self.committer.append(frame, placed).await;
            let appended = appended.map_err(|_| NoOutcome)?;
            // Back to the thread before the wait, which may end on another one.
            drop(encoder);
            self.committer.until_durable(appended.end).await.map_err(|_| NoOutcome)
        })
    }

    fn wants_reply(&self) -> bool {
        self.wants_reply
    }

    fn checks_values(&self) -> bool {
        true
    }

    fn finish(&mut self, rsn: Rsn, events: u32, digest: Option<u64>) -> Result<(), Divergence> {
        self.tape.finish(rsn, events, digest)
    }
}
