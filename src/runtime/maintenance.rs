//! The work beside the messages: has the log cut, checkpoints actors that are due by time, takes
//! idle actors out of memory, and sets the gauges.

use std::sync::Arc;

use crate::actor::cell::ActorCell;
use crate::actor::patience::Patience;
use crate::error::RuntimeFailure;
use crate::limits::MAINTENANCE_INTERVAL;
use crate::runtime::truncation::trim;
use crate::shared::Core;
use crate::stats::Counters;
use crate::timer::sleep;
use crate::turn::dispatch::request_checkpoint;

/// Runs until the runtime stops. When tokio drops it earlier, or it panics, it stops the runtime:
/// nothing else cuts the log.
pub(crate) async fn maintain(core: Arc<Core>) {
    struct Watch(Arc<Core>);
    impl Drop for Watch {
        fn drop(&mut self) {
            self.0.lifecycle.stop(RuntimeFailure::HostGone.into());
        }
    }
    let _watch = Watch(Arc::clone(&core));
    let log_budget = &core.services.log_budget;
    let mut patience = Patience::default();
    let mut tick = Box::pin(sleep(MAINTENANCE_INTERVAL));
    loop {
        let by_time = tokio::select! {
            _ = core.lifecycle.stopped() => return,
            () = &mut tick => true,
            () = log_budget.grown() => false,
        };
        if by_time {
            tick = Box::pin(sleep(MAINTENANCE_INTERVAL));
        }
        if by_time {
            look_after_actors(&core);
            log_budget.backpressure().look();
        }
        if trim(&core).await.is_err() {
            // Somebody is about to end everything, and says why.
            core.lifecycle.stopped().await;
            return;
        }
        let needed = core.actors.pin_index().front();
        if patience.has_hope(needed.as_ref()) {
            log_budget.hold_to_budget();
        }
        if by_time {
            let actor = needed.as_ref().and_then(|(_, actor)| actor.as_ref());
            let cell = actor.and_then(|actor| core.actors.get(actor));
            let holder = cell.as_ref().map(|cell| cell.holder()).unwrap_or_default();
            let holds_back = needed.clone().filter(|_| log_budget.is_over());
            if let Some(why) = patience.look(holds_back, holder)
                && log_budget.let_grow()
            {
                let (bytes, actor) =
                    (log_budget.bytes(), cell.as_ref().map(|cell| tracing::field::display(&cell.id)));
                tracing::warn!(actor, bytes, %why, "the log grows over its budget: an actor holds it back that can't be checkpointed");
            }
        }
    }
}

fn look_after_actors(core: &Arc<Core>) {
    let now = core.lifecycle.tick();
    let interval = MAINTENANCE_INTERVAL.as_millis();
    let idle_ticks =
        u64::try_from(core.services.config.passivate_after.as_millis() / interval).unwrap_or(u64::MAX);
    let mut waiting = 0;
    for cell in core.actors.all() {
        waiting += cell.waiting();
        let looked = cell.with_idle(|active, last_active| {
            let since = &active.since_checkpoint;
            let due = since.records > 0 && since.at.elapsed() >= core.services.config.checkpoints.age;
            (now.saturating_sub(last_active) > idle_ticks, due)
        });
        let (idle, due) = looked.unwrap_or_default();
        if idle {
            passivate(core, &cell);
        } else if due {
            request_checkpoint(core, &cell, None);
        }
    }
    core.actors.forget_unused();
    Counters::queues(
        core.actors.len(),
        waiting,
        core.services.committer.waiting_bytes(),
        core.services.checkpointer.waiting(),
    );
}

/// Takes an idle actor out of memory once its newest checkpoint holds everything and all it sent is
/// acknowledged.
fn passivate(core: &Arc<Core>, cell: &Arc<ActorCell>) {
    let (covered, pending) = {
        let pins = cell.pins();
        (pins.is_covered(), pins.is_pending())
    };
    if covered {
        if !cell.has_unacknowledged()
            && cell.passivate(|active| active.backlog.is_empty() && cell.pins().is_covered())
        {
            tracing::debug!(actor = %cell.id, "passive");
        }
    } else if !pending {
        request_checkpoint(core, cell, None);
    }
}
