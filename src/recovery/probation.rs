//! Drives the deliveries that an opening found unhandled. The previous process may have ended in
//! any of them, so a record says when all are handled. If the last opening left no such record,
//! this one is in probation: it handles one actor at a time, and logs each attempt first, so that a
//! delivery that ends the process again and again can be left out.

use std::sync::Arc;

use relive_storage::{ActorId, Epoch};
use tokio::task::JoinSet;

use crate::actor::cell::ActorCell;
use crate::actor::probation::{ProbeMode, Watched};
use crate::harness::Moving;
use crate::lifecycle::TurnGuard;
use crate::recovery::notes::log_recovery_complete;
use crate::shared::Core;
use crate::turn::dispatch::resume;

/// Starts the actors that have unhandled deliveries, and logs when all are handled. Counts as a
/// turn, so that a shutdown waits for it and the next opening need not be in probation.
pub(crate) async fn drive_probation(
    turn: TurnGuard<Core>,
    mut found: Vec<(Arc<ActorCell>, Watched)>,
    last_tried: Option<ActorId>,
    epoch: Epoch,
) {
    let core = turn.within();
    // The actor that was tried when the process ended comes first and alone: the others are tried
    // when it has passed.
    found.sort_by_key(|(cell, _)| (last_tried.as_ref() != Some(&cell.id), cell.id.clone()));
    let mut survived = true;
    let mut at_once = JoinSet::new();
    for (cell, mut watched) in found {
        watched.permit();
        resume(core, &cell);
        if watched.mode == ProbeMode::None {
            let harness = core.services.harness.clone();
            let what = || Moving::Task("an actor is watched that was found with work");
            let survives = core.services.harness.track(what, async move { watched.survives(&harness).await });
            at_once.spawn(survives);
        } else {
            // Before the next actor begins: when the process ends, only this one can be to blame.
            survived &= core
                .lifecycle
                .unless_stopped(watched.survives(&core.services.harness))
                .await
                .unwrap_or(false);
        }
    }
    while let Ok(Some(outcome)) = core.lifecycle.unless_stopped(at_once.join_next()).await {
        survived &= outcome.unwrap_or(false);
    }
    // When the record is lost, the next opening handles one actor at a time, and ends with the same
    // states.
    if survived && core.lifecycle.stop_reason().is_none() {
        let _ = log_recovery_complete(&core.services.committer, epoch).await;
    }
}
