//! Truncation of the log: cuts what no actor needs any more, and asks the actors that hold the cut
//! back for checkpoints. Knows the budget; must not know when it is called.

use std::sync::Arc;

use relive_storage::{ActorId, Lsn, Store, StoreError};

use crate::actor::table::ActorTable;
use crate::error::Ended;
use crate::limits::{CHECKPOINTS_ASKED_MAX, checkpoints_from_bytes, cut_from_bytes, cut_worth_bytes};
use crate::shared::Core;
use crate::turn::dispatch::request_checkpoint;

/// Cuts the log when it has reached half its budget. Asks for checkpoints of the actors that hold
/// the cut back when it has reached five eighths. That is as late as possible while it leaves time
/// for them: the less log the store keeps, the more often actors need a checkpoint.
pub(crate) async fn trim(core: &Arc<Core>) -> Result<(), Ended> {
    let (log_budget, budget) = (&core.services.log_budget, core.services.config.log_bytes);
    if log_budget.bytes() > cut_from_bytes(budget) {
        let below = needed_by_all(core);
        // Each cut syncs, so it must free enough to be worth that.
        if log_budget.bytes_below(below) >= cut_worth_bytes(budget) {
            core.services.checkpointer.cut(below).await?;
        }
    }
    if log_budget.bytes() > checkpoints_from_bytes(budget) {
        checkpoint_laggards(core, log_budget.position_keeping(cut_from_bytes(budget))).await?;
    }
    Ok(())
}

/// Asks for checkpoints of the actors that need log from before `target`, until neither of an
/// actor's two checkpoints needs any. Asks only as many as the checkpointer can write soon, since
/// an actor does nothing else while it waits to take its checkpoint. The others follow when some of
/// these are stable.
async fn checkpoint_laggards(core: &Arc<Core>, target: Lsn) -> Result<(), Ended> {
    wake_laggards(core, target).await?;
    for actor in core.actors.pin_index().before(target, CHECKPOINTS_ASKED_MAX) {
        if let Some(cell) = core.actors.get(&actor).filter(|cell| !cell.pins().is_pending()) {
            request_checkpoint(core, &cell, None);
        }
    }
    Ok(())
}

/// Gives cells to passive actors that hold the cut back, so that they can take a checkpoint. Reads
/// their names in the block where the log begins that they need.
async fn wake_laggards(core: &Arc<Core>, target: Lsn) -> Result<(), Ended> {
    while let Some(at) = core.actors.pin_index().passive_before(target, CHECKPOINTS_ASKED_MAX) {
        let (store, reading) = (core.services.store.get()?, Arc::clone(core));
        match core.services.replayers.run(move || wake_those_at(&reading.actors, &*store, at)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.is_corrupt() => {
                tracing::error!(%error, "the log is kept for actors whose names can't be read");
                return Ok(());
            }
            Ok(Err(error)) => {
                core.lifecycle.stop(Ended::from(Arc::new(error)));
                return Err(core.lifecycle.stopped().await);
            }
            Err(error) => {
                tracing::error!(%error, "the log is kept for actors whose names can't be read");
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Gives cells to actors that need the log from the block at `at` on. Blocking.
fn wake_those_at(actors: &ActorTable, store: &dyn Store, at: Lsn) -> Result<(), StoreError> {
    let damaged = |what: String| StoreError::CorruptLog { at, what };
    let gone = || damaged("it ends before what is needed".to_owned());
    let block = store.read(at)?.ok_or_else(gone)?.block.map_err(damaged)?;
    let mut woken = 0;
    for head in block.heads() {
        let head = head.map_err(|malformed| damaged(malformed.to_string()))?;
        if let Some(name) =
            head.actor(block.bytes()).filter(|name| actors.pin_index().is_passive_at(name, at))
            && let Ok(actor) = ActorId::parse(name)
        {
            woken += usize::from(actors.get_or_insert(&actor).is_some());
            if woken == CHECKPOINTS_ASKED_MAX {
                break;
            }
        }
    }
    if woken == 0 { Err(damaged("those who need it have no records there".to_owned())) } else { Ok(()) }
}

/// Cuts the log below everything that any actor needs. Returns the new beginning.
pub(crate) async fn cut(core: &Arc<Core>) -> Result<Lsn, Ended> {
    core.services.checkpointer.cut(needed_by_all(core)).await
}

fn needed_by_all(core: &Core) -> Lsn {
    // The end is read first: what is appended afterwards lies at or after it, what was appended
    // before has its pin.
    let end = core.services.end_of_log();
    core.actors.pin_index().first().map_or(end, |first| first.min(end))
}
