//! Events from records alone: a replay. Nothing ever happens.

use std::task::{Context, Poll};

use relive_storage::Rsn;
use relive_storage::record::Event;

use crate::determinants::{Determinants, Happened, Logging, NoOutcome, Recorded};
use crate::waits::Wait;
use crate::{Divergence, Outgoing, Tape};

/// Determinants from the tape alone: no event ever happens.
#[derive(Debug)]
pub struct TapeOnly<'t>(pub &'t mut Tape);

impl Determinants for TapeOnly<'_> {
    fn recorded(&mut self, rsn: Rsn, waits: &[Wait]) -> Result<Recorded, Divergence> {
        // What is not on record may have happened or not, so it must not happen here.
        Ok(self.0.next_event(rsn, waits)?.map_or(Recorded::End, Recorded::Event))
    }

    fn release(&mut self, _: &[Outgoing]) {}

    fn poll_happened(&mut self, _: &[Wait], _: &mut Context<'_>) -> Poll<Happened> {
        Poll::Pending
    }

    fn log(&mut self, _: Event) -> Logging<'_> {
        Box::pin(std::future::ready(Err(NoOutcome)))
    }

    fn finish(&mut self, rsn: Rsn, digest: Option<u64>) -> Result<(), Divergence> {
        self.0.finish(rsn, digest)
    }
}
