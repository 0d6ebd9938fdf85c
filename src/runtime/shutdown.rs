//! The shutdown: drain, checkpoint every actor that has log, close. The code that opens the store
//! next has nothing to replay.

use std::sync::Arc;
use std::time::{Duration, Instant};

use relive_storage::ActorId;
use tokio::sync::oneshot;

use crate::actor::cell::ActorCell;
use crate::error::{CheckpointError, Ended, RuntimeFailure};
use crate::limits::{CHECKPOINTS_ASKED_MAX, CHECKPOINTS_GATHER_MAX};
use crate::shared::Core;
use crate::timer::within;
use crate::turn::dispatch::request_checkpoint;

/// The result of a shutdown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The actors that the next opening has to replay, because no checkpoint holds everything that
    /// they have received. The log holds it. Usually empty; make sure of that before you deploy
    /// other code.
    pub left: Vec<LeftForReplay>,
}

/// An actor that has log after its newest checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftForReplay {
    /// The actor.
    pub actor: ActorId,
    /// Why there is no checkpoint that holds everything.
    pub reason: String,
}

/// Ends the runtime with nothing left to replay, as far as it can.
pub(crate) async fn shut_down(core: &Arc<Core>) -> Result<ShutdownReport, RuntimeFailure> {
    core.lifecycle.close();
    let end_of_log = || core.services.end_of_log();
    let limit = core.services.config.shutdown_timeout;
    if within(limit, core.lifecycle.drained(end_of_log)).await.is_none() {
        tracing::warn!("actors are busy still: what they send from now on goes out after the next opening");
        // Two actors that answer each other never end. Without new mail they come to rest.
        core.lifecycle.keep_sends();
        let _ = within(limit / 4, core.lifecycle.drained(end_of_log)).await;
    }
    let left = checkpoint_all(core, limit).await;
    let closed = close(core, Ending::InOrder).await;
    // The last commit may have failed too, and nobody has waited for it.
    match core.lifecycle.stop_reason() {
        Some(Ended::Failed(failure)) => Err(failure),
        _ => closed.map(|()| ShutdownReport { left }),
    }
}

/// Takes checkpoints until each actor has one that holds everything, or can't have one.
async fn checkpoint_all(core: &Arc<Core>, limit: Duration) -> Vec<LeftForReplay> {
    let began = Instant::now();
    // What nobody waits for is in the log too, before anything is done beside it.
    let _ = within(limit, core.services.committer.until_durable(core.services.end_of_log())).await;
    let mut uncovered = core.actors.all();
    uncovered.retain(|cell| !cell.pins().is_covered());
    // Sorted, so that two runs of a test make the same calls to the store.
    uncovered.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let mut left = Vec::new();
    for cells in uncovered.chunks(CHECKPOINTS_ASKED_MAX) {
        // No more than the queue of the checkpointer takes: turns that wait for it would not rest.
        let held = core.services.checkpointer.hold().await;
        let mut waiting = Vec::new();
        for cell in cells {
            match ask(core, cell) {
                Ok(outcome) => waiting.push((Arc::clone(cell), outcome)),
                Err(reason) => left.push((Arc::clone(cell), reason)),
            }
        }
        // All that can be taken are in the queue now, and few syncs serve them.
        let _ = within(CHECKPOINTS_GATHER_MAX, core.lifecycle.quiet()).await;
        drop(held);
        for (cell, outcome) in waiting {
            let remaining = limit.saturating_sub(began.elapsed());
            let reason = match within(remaining, core.lifecycle.unless_stopped(outcome)).await {
                Some(Ok(Ok(Ok(_)))) => continue,
                Some(Ok(Ok(Err(reason)))) => reason.to_string(),
                Some(Err(ended)) => ended.to_string(),
                Some(Ok(Err(_))) => "its turn ended without one".to_owned(),
                None => "the time for it was up".to_owned(),
            };
            left.push((cell, reason));
        }
    }
    // A checkpoint that somebody else asked for may have come meanwhile.
    let left = left.into_iter().filter(|(cell, _)| !cell.pins().is_covered());
    left.map(|(cell, reason)| {
        tracing::warn!(actor = %cell.id, reason, "the next opening has to replay it");
        LeftForReplay { actor: cell.id.clone(), reason }
    })
    .collect()
}

type Outcome = oneshot::Receiver<Result<relive_storage::Rsn, CheckpointError>>;

/// Asks an actor for a checkpoint, unless it can't take one.
fn ask(core: &Arc<Core>, cell: &Arc<ActorCell>) -> Result<Outcome, String> {
    if let Some(failure) = cell.failure() {
        return Err(failure.to_string());
    }
    match cell.with_idle(|active, _| active.backlog.is_empty()) {
        Some(false) => return Err("it has deliveries ahead".to_owned()),
        None if cell.is_in_memory() => return Err("its handler has not ended".to_owned()),
        _ => {}
    }
    let (waiter, outcome) = oneshot::channel();
    request_checkpoint(core, cell, Some(waiter));
    Ok(outcome)
}

/// Ends the runtime like a crash.
#[cfg(feature = "test-support")]
pub(crate) async fn crash(core: Arc<Core>) {
    core.lifecycle.stop(Ended::Stopped);
    // A crash has nobody to tell.
    let _ = close(&core, Ending::Crash).await;
}

/// How everything ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// After a last commit of what has been appended; the store is closed.
    InOrder,
    /// As by a crash: what is not on stable storage is given up.
    Crash,
}

/// Ends the threads, and closes the store or gives it up. Needs no tokio.
pub(crate) async fn close(core: &Arc<Core>, ending: Ending) -> Result<(), RuntimeFailure> {
    let (done, closed) = oneshot::channel();
    let closing = Arc::clone(core);
    let body = move || {
        // In this order: the checkpointer marks its checkpoints through the committer. The reason
        // of the end comes last, since it makes both give up what waits.
        closing.services.checkpointer.stop();
        match ending {
            Ending::InOrder => closing.services.committer.stop(),
            Ending::Crash => closing.services.committer.abandon(),
        }
        closing.lifecycle.stop(Ended::Stopped);
        let _ = done.send(());
    };
    // A thread and no task of tokio: joining blocks, and tokio may be on its way out.
    if std::thread::Builder::new().name("relive-close".to_owned()).spawn(body).is_ok() {
        let _ = closed.await;
    }
    // Turns hold references to the store. A tokio runtime that is gone runs none to its end.
    if !matches!(core.lifecycle.stop_reason(), Some(Ended::Failed(RuntimeFailure::HostGone))) {
        core.lifecycle.quiet().await;
    }
    // `None` after an earlier call, or when the last clone was dropped meanwhile.
    let Some(store) = core.services.store.release() else { return Ok(()) };
    if ending == Ending::Crash {
        return Ok(());
    }
    let (done, closed) = oneshot::channel();
    let body = move || drop(done.send(store.close()));
    let _ = std::thread::Builder::new().name("relive-close".to_owned()).spawn(body);
    match closed.await {
        Ok(Err(error)) => Err(RuntimeFailure::Store(Arc::new(error))),
        _ => Ok(()),
    }
}
