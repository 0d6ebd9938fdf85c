//! The shutdown: drain, checkpoint every actor that has log, close. The code that opens the store
//! next has nothing to replay.

use std::sync::Arc;
use std::time::Duration;

use relive_storage::threads::start_detached;
use relive_storage::{ActorId, Rsn};
use tokio::sync::oneshot;

use crate::actor::cell::ActorCell;
use crate::error::{CheckpointError, Ended, RuntimeFailure};
use crate::limits::{CHECKPOINTS_ASKED_MAX, CHECKPOINTS_GATHER_MAX};
use crate::runtime::shutdown_time::{Part, PartTime, ShutdownTime};
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
    /// The actors whose handlers still waited for something outside at the end, by name. Each is in
    /// `left` too. The log has their deliveries, and what these have met so far: after the next
    /// opening the handlers run again, with the recorded outcomes and under the same idempotency
    /// keys.
    pub waiting: Vec<StillWaiting>,
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

/// An actor whose handler waited when its runtime ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StillWaiting {
    /// The actor.
    pub actor: ActorId,
    /// The delivery that the handler had not ended.
    pub rsn: Rsn,
    /// The message type of the delivery.
    pub message: String,
    /// How long the handler had waited.
    pub waited: Duration,
    /// How many messages waited in the actor's mailbox that the log does not have. Those from other
    /// actors stay with their senders, which send them again. Those from outside were accepted and
    /// never acknowledged: they are gone, and who waits for a receipt or a reply hears of the end.
    pub unlogged: usize,
}

/// Ends the runtime with nothing left to replay, as far as it can in that time.
pub(crate) async fn shut_down(
    core: &Arc<Core>,
    time: &ShutdownTime,
) -> Result<ShutdownReport, RuntimeFailure> {
    core.lifecycle.close();
    let end_of_log = || core.services.end_of_log();
    if time.begin(Part::Messages).within(core.lifecycle.drained(end_of_log)).await.is_none() {
        tracing::warn!("actors are busy still: what they send from now on goes out after the next opening");
        // Two actors that answer each other never end. Without new mail they come to rest.
        core.lifecycle.keep_sends();
        let _ = time.begin(Part::Handlers).within(core.lifecycle.drained(end_of_log)).await;
    }
    let left = checkpoint_all(core, &time.begin(Part::Checkpoints)).await;
    let waiting = still_waiting(core);
    let closed = close(core, Ending::InOrder, time).await;
    // The last commit may have failed too, and nobody has waited for it.
    match core.lifecycle.stop_reason() {
        Some(Ended::Failed(failure)) => Err(failure),
        _ => closed.map(|()| ShutdownReport { left, waiting }),
    }
}

/// Takes checkpoints until each actor has one that holds everything, or can't have one.
async fn checkpoint_all(core: &Arc<Core>, time: &PartTime<'_>) -> Vec<LeftForReplay> {
    // What nobody waits for is in the log too, before anything is done beside it.
    let _ = time.within(core.services.committer.until_durable(core.services.end_of_log())).await;
    let mut uncovered = core.actors.all();
    uncovered.retain(|cell| !cell.pins().is_covered());
    // Sorted, so that two runs of a test make the same calls to the store.
    uncovered.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let mut left = Vec::new();
    // Turns that are under way by now end only with the runtime, as those whose handlers wait.
    let stay = core.lifecycle.turns();
    for cells in uncovered.chunks(CHECKPOINTS_ASKED_MAX) {
        if time.is_up() {
            let reason = |cell| why_not(cell).unwrap_or_else(|| OUT_OF_TIME.to_owned());
            left.extend(cells.iter().map(|cell| (Arc::clone(cell), reason(cell))));
            continue;
        }
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
        let gathered = within(CHECKPOINTS_GATHER_MAX, core.lifecycle.quiet_except(stay));
        let _ = time.within(gathered).await;
        drop(held);
        for (cell, outcome) in waiting {
            let reason = match time.within(core.lifecycle.unless_stopped(outcome)).await {
                Some(Ok(Ok(Ok(_)))) => continue,
                Some(Ok(Ok(Err(reason)))) => reason.to_string(),
                Some(Err(ended)) => ended.to_string(),
                Some(Ok(Err(_))) => "its turn ended without one".to_owned(),
                None => OUT_OF_TIME.to_owned(),
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

/// Why an actor has no checkpoint that was due.
const OUT_OF_TIME: &str = "the time for it was up";

/// Asks an actor for a checkpoint, unless it can't take one.
fn ask(core: &Arc<Core>, cell: &Arc<ActorCell>) -> Result<Outcome, String> {
    if let Some(reason) = why_not(cell) {
        return Err(reason);
    }
    let (waiter, outcome) = oneshot::channel();
    request_checkpoint(core, cell, Some(waiter));
    Ok(outcome)
}

/// Why an actor can't take a checkpoint, if it can't.
fn why_not(cell: &ActorCell) -> Option<String> {
    if let Some(failure) = cell.failure() {
        return Some(failure.to_string());
    }
    if let Some((wait, _)) = cell.handler_wait() {
        return Some(format!("its handler waits in {}, {:?}", wait.rsn, &*wait.message));
    }
    match cell.with_idle(|active, _| active.backlog.is_empty()) {
        Some(false) => Some("it has deliveries ahead".to_owned()),
        // A query may have it as well: it takes the checkpoint after that.
        None if cell.is_running() => Some("its handler has not ended".to_owned()),
        _ => None,
    }
}

/// The actors whose handlers wait. The end drops these handlers.
fn still_waiting(core: &Core) -> Vec<StillWaiting> {
    let waiting = core.actors.all().into_iter().filter_map(|cell| {
        let (wait, unlogged) = cell.handler_wait()?;
        let (rsn, message, waited) = (wait.rsn, wait.message.to_string(), wait.since.elapsed());
        tracing::warn!(actor = %cell.id, %rsn, message, ?waited, unlogged, "its handler is given up, and runs again after the next opening");
        Some(StillWaiting { actor: cell.id.clone(), rsn, message, waited, unlogged })
    });
    let mut waiting: Vec<_> = waiting.collect();
    waiting.sort_unstable_by(|a, b| a.actor.cmp(&b.actor));
    waiting
}

/// Ends the runtime like a crash.
#[cfg(feature = "test-support")]
pub(crate) async fn crash(core: Arc<Core>) {
    core.lifecycle.stop(Ended::Stopped);
    let time = ShutdownTime::new();
    time.limit_each(core.services.config.shutdown_timeout);
    // A crash has nobody to tell.
    let _ = close(&core, Ending::Crash, &time).await;
}

/// How everything ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// After a last commit of what has been appended; the store is closed.
    InOrder,
    /// As by a crash: what is not on stable storage is given up.
    Crash,
}

/// Ends the threads, and closes the store or gives it up. Needs no tokio. Takes as long as the
/// store's last calls, but waits for turns only within the time: what runs users' code may never
/// end.
pub(crate) async fn close(
    core: &Arc<Core>,
    ending: Ending,
    time: &ShutdownTime,
) -> Result<(), RuntimeFailure> {
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
    if start_detached(closing_thread(), body).is_ok() {
        let _ = closed.await;
    }
    // Turns hold references to the store. A tokio runtime that is gone runs none to its end.
    if !matches!(core.lifecycle.stop_reason(), Some(Ended::Failed(RuntimeFailure::HostGone)))
        && time.begin(Part::Turns).within(core.lifecycle.quiet()).await.is_none()
    {
        let turns = core.lifecycle.turns();
        tracing::warn!(
            turns,
            "handlers run still, and are left to themselves: the log takes nothing more of them"
        );
    }
    // `None` after an earlier call, or when the last clone was dropped meanwhile.
    let Some(store) = core.services.store.release() else { return Ok(()) };
    if ending == Ending::Crash {
        return Ok(());
    }
    let (done, closed) = oneshot::channel();
    let body = move || drop(done.send(store.close()));
    let _ = start_detached(closing_thread(), body);
    match closed.await {
        Ok(Err(error)) => Err(RuntimeFailure::Store(Arc::new(error))),
        _ => Ok(()),
    }
}

fn closing_thread() -> std::thread::Builder {
    std::thread::Builder::new().name("relive-close".to_owned())
}
