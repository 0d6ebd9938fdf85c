//! What is done beside the messages: cutting the log, checkpointing whoever holds the cut back or is due by time, taking
//! idle actors out of memory, and setting the gauges.

use std::sync::Arc;

use relive_storage::{ActorId, Lsn, Store, StoreError};

use crate::core::Core;
use crate::error::Refused;
use crate::limits::{CHECKPOINTS_ASKED_MAX, MAINTENANCE_INTERVAL};
use crate::patience::Patience;
use crate::slot::Slot;
use crate::stats::Counters;
use crate::timer::sleep;
use crate::turn::begin;

/// Runs until everything ends. When it does not come to its end, the tokio in which it runs is gone, or it has panicked:
/// then nobody looks after the log, and everything ends.
pub(crate) async fn maintain(core: Arc<Core>) {
    struct Watch(Arc<Core>);
    impl Drop for Watch {
        fn drop(&mut self) {
            self.0.stop(Refused::HostGone);
        }
    }
    let _watch = Watch(Arc::clone(&core));
    let retained = &core.committer.retained;
    let mut patience = Patience::default();
    let mut tick = Box::pin(sleep(MAINTENANCE_INTERVAL));
    loop {
        let by_time = tokio::select! {
            _ = core.stopped() => return,
            () = &mut tick => true,
            () = retained.grown() => false,
        };
        if by_time {
            tick = Box::pin(sleep(MAINTENANCE_INTERVAL));
        }
        if by_time {
            look_after_actors(&core);
        }
        if trim(&core).await.is_err() {
            // Somebody is about to end everything, and says why.
            core.stopped().await;
            return;
        }
        let needed = core.needs.front();
        if patience.has_hope(needed.as_ref()) {
            retained.let_grow(false);
        }
        if by_time {
            let actor = needed.as_ref().and_then(|(_, actor)| actor.as_ref());
            let slot = actor.and_then(|actor| core.slots.get(actor).map(|slot| Arc::clone(&slot)));
            let holder = slot.as_ref().map(|slot| slot.holder()).unwrap_or_default();
            if let Some(why) = patience.look(retained.is_over(), needed.clone(), holder)
                && retained.let_grow(true)
            {
                let (bytes, actor) =
                    (retained.bytes(), slot.as_ref().map(|slot| tracing::field::display(&slot.id)));
                tracing::warn!(actor, bytes, %why, "the log grows over its budget: an actor holds it back that can't be checkpointed");
            }
        }
    }
}

/// Cuts the log when it has reached half its budget, and asks for checkpoints of the actors that hold the cut back when
/// it has reached five eighths: as late as leaves time for them, since an actor has to be checkpointed the more often
/// the less log is kept.
async fn trim(core: &Arc<Core>) -> Result<(), Refused> {
    let (retained, budget) = (&core.committer.retained, core.config.log_bytes);
    if retained.bytes() > budget / 2 {
        let below = needed_by_all(core);
        // Each cut syncs, so it is to free something worth that.
        if retained.bytes_below(below) >= budget / 16 {
            core.checkpointer.cut(below).await?;
        }
    }
    if retained.bytes() > budget / 8 * 5 {
        checkpoint_laggards(core, retained.position_keeping(budget / 2)).await?;
    }
    Ok(())
}

/// Asks for checkpoints of the actors that need log from before `target`, each until it has two without. Of as many as
/// can be written soon: an actor that waits for its checkpoint to be taken does nothing else. The others' turn comes
/// when some of these are stable.
async fn checkpoint_laggards(core: &Arc<Core>, target: Lsn) -> Result<(), Refused> {
    wake_laggards(core, target).await?;
    for actor in core.needs.before(target, CHECKPOINTS_ASKED_MAX) {
        let slot = core.slots.get(&actor).map(|slot| Arc::clone(&slot));
        if let Some(slot) = slot.filter(|slot| !slot.pins().is_pending()) {
            request_checkpoint(core, &slot);
        }
    }
    Ok(())
}

/// Gives slots to actors that have had none since the opening and hold the cut back, so that they can be asked. Their names
/// are read where the log begins that they need.
async fn wake_laggards(core: &Arc<Core>, target: Lsn) -> Result<(), Refused> {
    while let Some(at) = core.needs.dormant_before(target, CHECKPOINTS_ASKED_MAX) {
        let (store, reading) = (core.store()?, Arc::clone(core));
        match core.replayers.run(move || wake_those_at(&reading, &*store, at)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.is_corrupt() => {
                tracing::error!(%error, "the log is kept for actors whose names can't be read");
                return Ok(());
            }
            Ok(Err(error)) => {
                core.fail(Arc::new(error));
                return Err(core.stopped().await);
            }
            Err(panic) => {
                tracing::error!(panic, "the log is kept for actors whose names can't be read");
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Gives slots to actors that need the log from the block at `at` on. Blocking.
fn wake_those_at(core: &Core, store: &dyn Store, at: Lsn) -> Result<(), StoreError> {
    let damaged = |what: String| StoreError::CorruptLog { at, what };
    let gone = || damaged("it ends before what is needed".to_owned());
    let block = store.read(at)?.ok_or_else(gone)?.block.map_err(damaged)?;
    let mut woken = 0;
    for head in block.heads() {
        let head = head.map_err(|malformed| damaged(malformed.to_string()))?;
        if let Some(name) = head.actor(block.bytes()).filter(|name| core.needs.is_dormant_at(name, at))
            && let Ok(actor) = ActorId::parse(name)
        {
            woken += usize::from(core.slot(&actor).is_some());
            if woken == CHECKPOINTS_ASKED_MAX {
                break;
            }
        }
    }
    if woken == 0 { Err(damaged("those who need it have no records there".to_owned())) } else { Ok(()) }
}

/// Cuts the log below everything that any actor needs. Gives where it begins then.
pub(crate) async fn cut(core: &Arc<Core>) -> Result<Lsn, Refused> {
    core.checkpointer.cut(needed_by_all(core)).await
}

fn needed_by_all(core: &Core) -> Lsn {
    // The end is read first: what is appended afterwards lies at or after it, what was appended before has its pin.
    let end = core.committer.end();
    core.needs.first().map_or(end, |first| first.min(end))
}

fn look_after_actors(core: &Arc<Core>) {
    let now = core.tick();
    let interval = MAINTENANCE_INTERVAL.as_millis();
    let idle_ticks = u64::try_from(core.config.passivate_after.as_millis() / interval).unwrap_or(u64::MAX);
    let mut waiting = 0;
    for slot in core.all_slots() {
        waiting += slot.waiting();
        let looked = slot.with_idle(|active, last_active| {
            let since = &active.since_checkpoint;
            let due = since.records > 0 && since.at.elapsed() >= core.config.checkpoints.age;
            (now.saturating_sub(last_active) > idle_ticks, due)
        });
        let (idle, due) = looked.unwrap_or_default();
        if idle {
            passivate(core, &slot);
        } else if due {
            request_checkpoint(core, &slot);
        }
    }
    core.slots.retain(|_, slot| Arc::strong_count(slot) > 1 || !slot.is_forgettable());
    Counters::queues(core.slots.len(), waiting, core.committer.waiting_bytes(), core.checkpointer.waiting());
}

/// Takes an idle actor out of memory once its newest checkpoint holds everything and it owes nothing.
fn passivate(core: &Arc<Core>, slot: &Arc<Slot>) {
    let (covered, pending) = {
        let pins = slot.pins();
        (pins.is_covered(), pins.is_pending())
    };
    if covered {
        if !slot.owes() && slot.passivate(|active| active.backlog.is_empty() && slot.pins().is_covered()) {
            tracing::debug!(actor = %slot.id, "passive");
        }
    } else if !pending {
        request_checkpoint(core, slot);
    }
}

fn request_checkpoint(core: &Arc<Core>, slot: &Arc<Slot>) {
    if let Some(wake) = slot.request_checkpoint(None) {
        begin(core, wake);
    }
}
