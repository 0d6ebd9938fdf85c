//! Gets through what an opening found unhandled. The process before may have ended in any of it, so the log is told when
//! the runtime is through. When it was not told the last time, it goes with care: one actor at a time, and ahead of
//! each try the log is told which, so that a delivery that ends the process again and again can be left out.

use std::sync::Arc;

use relive_storage::{ActorId, Epoch, FrameWriter, Lsn, Rsn, StoreError};
use tokio::task::JoinSet;

use crate::core::{Core, TurnGuard};
use crate::slot::Slot;
use crate::suspects::{Care, Watched};
use crate::turn::begin;

/// Sees to it that everything found is handled, and tells the log when it is. Counts as a turn, so that a shutdown in
/// good order comes after it: the next opening need not go with care.
pub(crate) async fn get_through(
    turn: TurnGuard,
    mut found: Vec<(Arc<Slot>, Watched)>,
    last_tried: Option<ActorId>,
    epoch: Epoch,
) {
    let core = turn.core();
    // The actor that was tried when the process ended comes first and alone: the others are tried when it has passed.
    found.sort_by_key(|(slot, _)| (last_tried.as_ref() != Some(&slot.id), slot.id.clone()));
    let mut survived = true;
    let mut at_once = JoinSet::new();
    for (slot, mut watched) in found {
        watched.permit();
        begin(core, slot.start());
        if watched.care == Care::None {
            at_once.spawn(async move { watched.survives().await });
        } else {
            survived &= core.unless_stopped(watched.survives()).await.unwrap_or(false);
        }
    }
    while let Ok(Some(outcome)) = core.unless_stopped(at_once.join_next()).await {
        survived &= outcome.unwrap_or(false);
    }
    if survived && core.stop_reason().is_none() {
        // Nobody waits for it: when it is lost, the next opening goes with care and comes to the same.
        drop(tell_settled(core, epoch));
    }
}

/// Tells the log that what was found is handled. It is told when everything below what this returns is stable.
pub(crate) fn tell_settled(core: &Core, epoch: Epoch) -> Result<Lsn, Arc<StoreError>> {
    let mut writer = FrameWriter::new();
    writer.put_settled(epoch);
    let frame = writer.finish(None, Rsn::NONE, Rsn::NONE, &[]);
    core.committer.append_now(frame).map(|appended| appended.end)
}
