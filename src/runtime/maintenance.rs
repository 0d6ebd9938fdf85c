//! The work beside the messages: has the log cut, checkpoints actors that are due by time, takes
//! idle actors out of memory, and sets the gauges.

use std::sync::Arc;

use crate::actor::activation::Activation;
use crate::actor::cell::ActorCell;
use crate::actor::patience::Patience;
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
            self.0.lifecycle.host_is_gone();
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
            // A new interval from here, so that slow work makes ticks late and never piles them up.
            tick = Box::pin(sleep(MAINTENANCE_INTERVAL));
            look_after_actors(&core);
            log_budget.backpressure().look();
        }
        if trim(&core).await.is_err() {
            // Somebody is about to end everything, and says why.
            core.lifecycle.stopped().await;
            return;
        }
        // After the cut: who holds it back now.
        let needed = core.actors.pin_index().front();
        // At each growth of the log too: senders that can wait again should do so soon.
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
        // An actor with a turn is not idle, and its turn knows when a checkpoint is due by size.
        let looked = cell.with_idle(|active, last_active| {
            let due = active.since_checkpoint.is_due(core.services.config.checkpoints.age);
            (now.saturating_sub(last_active) > idle_ticks, due)
        });
        if looked.is_none() {
            cell.look_later();
        }
        let (idle, due) = looked.unwrap_or_default();
        if idle {
            passivate(core, &cell);
        } else if due {
            request_checkpoint(core, &cell, None);
        }
    }
    // After the loop, which refers to each cell.
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
        // Looks at the pins once more, under the cell's lock: a turn may have come and gone since.
        let may = |active: &Activation| {
            let may = active.backlog.is_empty() && cell.pins().is_covered();
            if may {
                // Here, where nobody can bring it back before.
                core.services.due_times.left_memory(&cell.id);
            }
            may
        };
        if !cell.has_unacknowledged() && cell.passivate(may) {
            tracing::debug!(actor = %cell.id, "passive");
        }
    } else if !pending {
        request_checkpoint(core, cell, None);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::task::Poll;
    use std::time::Duration;

    use relive_replay::Outgoing;
    use relive_storage::Ssn;

    use super::*;
    use crate::config::{CheckpointPolicy, Config};
    use crate::error::{Ended, RuntimeFailure};
    use crate::recovery::testing::{Deposit, id};
    use crate::runtime::testing::{account, at_rest, cell, runtime};

    /// A runtime whose actors are idle after this many intervals, and due after that time.
    fn config(idle_intervals: u32, age: Duration) -> Config {
        Config {
            passivate_after: MAINTENANCE_INTERVAL * idle_intervals,
            checkpoints: CheckpointPolicy::default().age(age),
            ..Config::default()
        }
    }

    /// An actor that did nothing for longer than the time for it leaves memory, with its state in a
    /// checkpoint first.
    #[tokio::test]
    async fn an_idle_actor_is_checkpointed_and_leaves_memory() {
        let (core, _) = runtime(config(2, Duration::MAX));
        account(&core, "alice").ask(Deposit(5)).await.unwrap();
        at_rest(&core).await;
        for _ in 0..2 {
            look_after_actors(&core);
            at_rest(&core).await;
            assert!(!cell(&core, "alice").pins().is_covered(), "it is not idle for long enough");
        }
        look_after_actors(&core);
        at_rest(&core).await;
        assert!(cell(&core, "alice").pins().is_covered() && cell(&core, "alice").is_in_memory());
        look_after_actors(&core);
        assert!(!cell(&core, "alice").is_in_memory());
        assert_eq!(
            account(&core, "alice").ask(Deposit(1)).await.unwrap(),
            6,
            "its next message brings it back"
        );
    }

    /// A message begins the time anew.
    #[tokio::test]
    async fn an_actor_that_receives_something_stays() {
        let (core, _) = runtime(config(1, Duration::MAX));
        for _ in 0..4 {
            account(&core, "alice").ask(Deposit(1)).await.unwrap();
            account(&core, "alice").checkpoint().await.unwrap();
            at_rest(&core).await;
            look_after_actors(&core);
            assert!(cell(&core, "alice").is_in_memory());
        }
    }

    /// Who owes messages stays: its outbox is in memory, and receivers acknowledge there.
    #[tokio::test]
    async fn an_actor_with_unacknowledged_messages_stays() {
        let (core, _) = runtime(config(0, Duration::MAX));
        account(&core, "alice").ask(Deposit(1)).await.unwrap();
        account(&core, "alice").checkpoint().await.unwrap();
        at_rest(&core).await;
        let owed = Outgoing {
            to: id("bob"),
            ssn: Ssn::new(1),
            message: "deposit".into(),
            payload: Default::default(),
            asked: false,
        };
        cell(&core, "alice").keep_until_acknowledged(&[owed]);
        look_after_actors(&core);
        assert!(cell(&core, "alice").is_in_memory());
        crate::actor::envelope::OutboxOwner::acknowledge(&*cell(&core, "alice"), &id("bob"), Ssn::new(1));
        look_after_actors(&core);
        assert!(!cell(&core, "alice").is_in_memory());
    }

    /// The bound in time counts for actors that received anything since their checkpoint.
    #[tokio::test]
    async fn an_actor_that_is_due_by_time_takes_one_checkpoint() {
        let (core, _) = runtime(config(1_000, Duration::ZERO));
        account(&core, "alice").ask(Deposit(1)).await.unwrap();
        at_rest(&core).await;
        for _ in 0..3 {
            look_after_actors(&core);
            at_rest(&core).await;
            assert_eq!(core.services.counters.snapshot().checkpoints, 1);
        }
    }

    /// Nothing else cuts the log, so a runtime that has lost its maintenance stops.
    #[tokio::test]
    async fn a_maintenance_that_is_dropped_stops_the_runtime() {
        let (core, _) = runtime(Config::default());
        {
            let mut maintaining = pin!(maintain(Arc::clone(&core)));
            poll_fn(|task| {
                assert!(maintaining.as_mut().poll(task).is_pending());
                Poll::Ready(())
            })
            .await;
            assert!(core.lifecycle.stop_reason().is_none());
        }
        assert!(matches!(core.lifecycle.stop_reason(), Some(Ended::Failed(RuntimeFailure::HostGone))));
    }

    #[tokio::test]
    async fn the_maintenance_ends_with_the_runtime() {
        let (core, _) = runtime(Config::default());
        core.lifecycle.stop(Ended::Stopped);
        maintain(Arc::clone(&core)).await;
        assert!(matches!(core.lifecycle.stop_reason(), Some(Ended::Stopped)), "the first reason counts");
    }
}
