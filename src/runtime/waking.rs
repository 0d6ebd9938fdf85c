//! Wakes actors whose timers are due. Waits for the next due time, takes the actors that are due in
//! their order, and begins their turns at a bounded pace. When the known due times end, lists the
//! checkpoints for the next ones.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use relive_storage::{StoreError, Timestamp};

use crate::error::Ended;
use crate::harness::Moving;
use crate::limits::{TIMERS_BATCH_MAX, TIMERS_PACE, TIMERS_PATIENCE, TIMERS_UNDER_WAY_MAX};
use crate::replayers::JobError;
use crate::shared::Core;
use crate::timers::window::Window;
use crate::turn::dispatch::{UnderWay, wake_for_timers};

/// Runs until the runtime takes nothing more from outside. When tokio drops it earlier, or it
/// panics, it stops the runtime: nothing else wakes actors for their timers.
pub(crate) async fn wake_in_time(core: Arc<Core>) {
    struct Watch(Arc<Core>);
    impl Drop for Watch {
        fn drop(&mut self) {
            // In order when the runtime is about to shut down: then nobody is woken any more.
            if self.0.lifecycle.intake().is_ok() {
                self.0.lifecycle.host_is_gone();
            }
        }
    }
    let watch = Watch(Arc::clone(&core));
    let due_times = &core.services.due_times;
    let under_way = UnderWay::default();
    // A shutdown waits for turns, and a timer that is due again at once would begin them for ever.
    while core.lifecycle.intake().is_ok() {
        let now = core.services.clock.now();
        if due_times.begin_listing(now)
            && let Err(ended) = list(&core).await
        {
            core.lifecycle.stop(ended);
            break;
        }
        let due = due_times.take_due(now, TIMERS_BATCH_MAX);
        if due.is_empty() {
            wait(&core).await;
            continue;
        }
        for actor in &due {
            wake_for_timers(&core, actor, &under_way);
        }
        // Others use the same threads. A turn may last for days, so the wait has an end.
        let mut waited = Duration::ZERO;
        loop {
            core.services.harness.pause(TIMERS_PACE).await;
            waited += TIMERS_PACE;
            if under_way.count() <= TIMERS_UNDER_WAY_MAX || waited >= TIMERS_PATIENCE {
                break;
            }
        }
    }
    drop(watch);
}

/// Waits until a timer may be due.
async fn wait(core: &Core) {
    let due_times = &core.services.due_times;
    let until = async |next: Option<Timestamp>| match next {
        Some(next) => core.services.clock.wait_until(next).await,
        None => std::future::pending().await,
    };
    tokio::select! {
        _ = core.lifecycle.stopped() => {}
        () = due_times.sooner() => {}
        () = until(due_times.next()) => {}
    }
}

/// Lists the checkpoints of passive actors for those whose timers are due next.
async fn list(core: &Arc<Core>) -> Result<(), Ended> {
    let store = core.services.store.get()?;
    let listing = Arc::clone(core);
    let _motion = core.services.harness.begin(|| Moving::Task("checkpoints are listed for timers"));
    let listed = core.services.replayers.run(move || {
        let mut window = Window::default();
        store.list(&mut |header| {
            // One in memory says itself when it is due, and its checkpoint may be older than that.
            if let Some(due) = header.wake_at
                && !listing.actors.get(&header.actor).is_some_and(|cell| cell.is_active())
            {
                window.add(&header.actor, due);
            }
            ControlFlow::Continue(())
        })?;
        Ok::<_, StoreError>(window)
    });
    let failed = |error: StoreError| {
        tracing::error!(%error, "the timers of passive actors could not be listed");
        Ended::from(Arc::new(error))
    };
    let window = match listed.await {
        Ok(listed) => listed.map_err(failed)?,
        Err(error @ (JobError::Panicked(_) | JobError::NoThread(_))) => {
            return Err(failed(StoreError::Backend { action: "list the timers", reason: error.to_string() }));
        }
    };
    core.services.due_times.listed(window);
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use relive_storage::{
        ActorId, Checkpoint, CheckpointHeader, CheckpointNumber, CheckpointStore, MemoryStore, Rsn,
    };

    use super::*;
    use crate::actor::cell::Wake;
    use crate::shared::testing::{account, core};

    /// The checkpoint of an actor in memory may be older than its timers, so a listing leaves the
    /// actor to say itself when it is due.
    #[tokio::test]
    async fn a_listing_finds_the_timers_of_passive_actors() {
        let (store, at) = (MemoryStore::new(), Timestamp::from_micros);
        let checkpoints = [("alice", Some(10)), ("bob", Some(20)), ("carol", None)].map(|(key, due)| {
            let actor = ActorId::new("account", key).unwrap();
            let (rsn, restore_at_open, wake_at) = (Rsn::new(1), false, due.map(at));
            let number = CheckpointNumber::new(due.unwrap_or(30));
            let header = CheckpointHeader { actor, number, rsn, state_version: 1, restore_at_open, wake_at };
            Checkpoint { header, body: Bytes::new() }
        });
        store.put(&checkpoints).unwrap();
        let core = core(Arc::new(store));
        let Wake::Start(start) = account(&core, "bob").start() else { panic!("nobody runs it") };
        let _bob = start.take();
        assert!(list(&core).await.is_ok());
        let due = core.services.due_times.take_due(at(100), 9);
        assert_eq!(due, [ActorId::new("account", "alice").unwrap()]);
    }
}
