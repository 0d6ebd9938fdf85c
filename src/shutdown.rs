//! The end in good order: drain, checkpoint everything that has log, close. So that whatever code opens the store next has
//! nothing to replay.

use std::sync::Arc;
use std::time::{Duration, Instant};

use relive_storage::ActorId;
use tokio::sync::oneshot;

use crate::core::Core;
use crate::error::Refused;
use crate::limits::CHECKPOINTS_ASKED_MAX;
use crate::slot::Slot;
use crate::timer::within;
use crate::turn::begin;

/// What a shutdown came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The actors that the next opening has to replay, because no checkpoint holds all that they have received. Their log
    /// does. Empty as a rule.
    pub left: Vec<LeftForReplay>,
}

/// An actor that has log after its newest checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftForReplay {
    /// Which.
    pub actor: ActorId,
    /// Why there is no checkpoint that holds everything.
    pub reason: String,
}

/// Ends everything in good order.
pub(crate) async fn shut_down(core: &Arc<Core>) -> Result<ShutdownReport, Refused> {
    core.close();
    let limit = core.config.shutdown_timeout;
    if within(limit, core.drained()).await.is_none() {
        tracing::warn!("actors are busy still: what they send from now on goes out after the next opening");
        core.keep_sends();
        let _ = within(limit / 4, core.drained()).await;
    }
    let left = checkpoint_all(core, limit).await;
    let closed = close(core, true).await;
    // The last commit, of what nobody waits for, may have failed too.
    match core.stop_reason() {
        Some(reason @ (Refused::Failed(_) | Refused::HostGone)) => Err(reason),
        _ => closed.map(|()| ShutdownReport { left }),
    }
}

/// Takes checkpoints until no actor has log after its newest one, or can't have one.
async fn checkpoint_all(core: &Arc<Core>, limit: Duration) -> Vec<LeftForReplay> {
    let began = Instant::now();
    // What nobody waits for is in the log too, before anything is done beside it.
    let _ = within(limit, core.committer.stable(core.committer.end())).await;
    let mut uncovered = core.all_slots();
    uncovered.retain(|slot| !slot.pins().is_covered());
    uncovered.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let mut left = Vec::new();
    for slots in uncovered.chunks(CHECKPOINTS_ASKED_MAX) {
        let held = core.checkpointer.hold().await;
        let mut waiting = Vec::new();
        for slot in slots {
            match ask(core, slot) {
                Ok(outcome) => waiting.push((Arc::clone(slot), outcome)),
                Err(reason) => left.push((Arc::clone(slot), reason)),
            }
        }
        // All that can be taken are in the queue now, and few syncs serve them.
        let _ = within(GATHERED, core.quiet()).await;
        drop(held);
        for (slot, outcome) in waiting {
            let remaining = limit.saturating_sub(began.elapsed());
            let reason = match within(remaining, core.unless_stopped(outcome)).await {
                Some(Ok(Ok(Ok(_)))) => continue,
                Some(Ok(Ok(Err(reason))) | Err(reason)) => reason.to_string(),
                Some(Ok(Err(_))) => "its turn ended without one".to_owned(),
                None => "the time for it was up".to_owned(),
            };
            left.push((slot, reason));
        }
    }
    let left = left.into_iter().filter(|(slot, _)| !slot.pins().is_covered());
    left.map(|(slot, reason)| {
        tracing::warn!(actor = %slot.id, reason, "the next opening has to replay it");
        LeftForReplay { actor: slot.id.clone(), reason }
    })
    .collect()
}

/// For so long at most checkpoints that are asked for together are waited for, before any of them is written.
const GATHERED: Duration = Duration::from_millis(100);

type Outcome = oneshot::Receiver<Result<relive_storage::Rsn, Refused>>;

/// Asks an actor for a checkpoint, unless it can't take one.
fn ask(core: &Arc<Core>, slot: &Arc<Slot>) -> Result<Outcome, String> {
    if let Some(failure) = slot.failure() {
        return Err(failure.to_string());
    }
    match slot.with_idle(|active, _| active.backlog.is_empty()) {
        Some(false) => return Err("it has deliveries ahead".to_owned()),
        None if slot.is_in_memory() => return Err("its handler has not ended".to_owned()),
        _ => {}
    }
    let (waiter, outcome) = oneshot::channel();
    if let Some(wake) = slot.request_checkpoint(Some(waiter)) {
        begin(core, wake);
    }
    Ok(outcome)
}

/// Ends the threads, and closes the store; tells whether that went well. Needs no tokio.
pub(crate) async fn close(core: &Arc<Core>, drain: bool) -> Result<(), Refused> {
    let (done, closed) = oneshot::channel();
    let closing = Arc::clone(core);
    let body = move || {
        closing.checkpointer.stop();
        closing.committer.stop(drain);
        closing.stop(Refused::Stopped);
        let _ = done.send(());
    };
    if std::thread::Builder::new().name("relive-close".to_owned()).spawn(body).is_ok() {
        let _ = closed.await;
    }
    if core.stop_reason().is_none_or(|reason| !matches!(reason, Refused::HostGone)) {
        core.quiet().await;
    }
    let Some(store) = core.release_store() else { return Ok(()) };
    if !drain {
        return Ok(());
    }
    let (done, closed) = oneshot::channel();
    let body = move || drop(done.send(store.close()));
    let _ = std::thread::Builder::new().name("relive-close".to_owned()).spawn(body);
    match closed.await {
        Ok(Err(error)) => Err(Refused::Failed(Arc::new(error))),
        _ => Ok(()),
    }
}
