//! The way of a crash of one actor: it halted, and comes back from its checkpoint and log, or fails
//! for good. Also brings passive actors into memory, by the same steps without the halt.

use std::sync::Arc;

use relive_replay::reason::shortened;
use relive_replay::{Divergence, Halt, HaltReason, Tape};
use relive_storage::limits::QUARANTINE_REASON_BYTES_MAX;
use relive_storage::record::Quarantine;
use relive_storage::{Rsn, Store};

use crate::actor::activation::Activation;
use crate::actor::cell::ActorCell;
use crate::actor::loader::{LoadError, Source};
use crate::error::{Ended, FailureCause, Unavailable};
use crate::harness::Moving;
use crate::limits::{QUARANTINED_BYTES_MAX, QUARANTINED_MAX};
use crate::replayers::JobError;
use crate::shared::Core;
use crate::supervision::policy::{Known, Verdict, judge};

/// Loads a passive actor. `None` when it has failed, or the runtime has stopped.
pub(crate) async fn activate(core: &Arc<Core>, cell: &Arc<ActorCell>) -> Option<Box<Activation>> {
    match load(core, cell, None).await {
        // A passive actor had handled all that it had received.
        Ok(Some(active)) if !active.backlog.is_empty() => {
            could_not_be_loaded(core, cell, None, ended_early(&active).into());
            None
        }
        Ok(active) => active,
        Err(unrestored) => {
            could_not_be_loaded(core, cell, None, unrestored);
            None
        }
    }
}

/// Restarts an actor that halted, as often as its policy allows. `None` when it has failed, or the
/// runtime has stopped.
pub(crate) async fn restart(
    core: &Arc<Core>,
    cell: &Arc<ActorCell>,
    halted: Box<Activation>,
    halt: Halt,
) -> Option<Box<Activation>> {
    let mut tried = halted.tried;
    let (rsn, handled) = (halt.rsn, halted.instance.handled());
    assert!(handled < rsn, "{} halted on {rsn}, but had handled {handled}", cell.id);
    // This life may run other code than the one that acknowledged the delivery, so it does not
    // leave such a delivery out.
    let is_found =
        halted.probation.as_ref().is_some_and(|probation| probation.may_have_handled(rsn, &halt.reason));
    let was_owed =
        halted.backlog.first_sender().is_some_and(|sender| core.actors.was_found(&cell.id, sender));
    // Nor is a delivery left out that has asked: others have what it sent, and count on it.
    let has_released = halted.released == Some(rsn);
    let known = if is_found || was_owed || has_released { Known::Undecided } else { Known::Unhandled };
    let mut pending_quarantine = None;
    match judge(&core.services.config.restarts, &mut tried, &halt, known) {
        Verdict::Retry { after } => {
            core.services.counters.restarted();
            tracing::warn!(actor = %cell.id, error = %halt, wait = ?after, "restarting from checkpoint and log");
            core.lifecycle.unless_stopped(core.services.harness.pause(after)).await.ok()?;
        }
        Verdict::LeaveOut { tries } if has_room(&halted) => {
            // Logged by the turn when it comes to the delivery, as all that the actor does.
            pending_quarantine = Some(Quarantine {
                rsn,
                tries,
                reason: shortened(halt.reason.to_string(), QUARANTINE_REASON_BYTES_MAX),
            });
            tracing::error!(actor = %cell.id, error = %halt, tries, "the delivery goes into quarantine");
        }
        Verdict::LeaveOut { tries } | Verdict::Fail { tries } => {
            let cause = match known {
                Known::Undecided => FailureCause::Undecided,
                Known::Unhandled => FailureCause::Delivery,
            };
            give_up(core, cell, Some(halted), cause, halt, tries);
            return None;
        }
    }
    match load(core, cell, Some(rsn)).await {
        Ok(None) => None,
        Ok(Some(active)) if active.instance.handled() < handled => {
            could_not_be_loaded(core, cell, Some(halted), ended_early(&active).into());
            None
        }
        Ok(Some(mut active)) => {
            assert_eq!(active.instance.handled(), handled, "{} comes back where it was", cell.id);
            active.tried = tried;
            active.pending_quarantine = pending_quarantine;
            active.inherit_waiters(*halted);
            Some(active)
        }
        Err(unrestored) => {
            could_not_be_loaded(core, cell, Some(halted), unrestored);
            None
        }
    }
}

/// Why a replay of handled deliveries came to an end before all of them: a handler began something
/// that it had not done before. What comes after it must not be handled twice, since others have
/// what it sent.
fn ended_early(active: &Activation) -> Halt {
    let next = active.instance.handled().next();
    let expected = format!("all of {next} without a side effect that is not on record");
    let divergence = Divergence::new(expected, "one more side effect".to_owned());
    Halt::new(active.instance.id().clone(), next, divergence.into())
}

/// A running actor had handled everything that it is loaded from, in this life or an earlier one.
/// So a halt here is never a first try: the actor stops, and its records stay as they are.
fn could_not_be_loaded(
    core: &Core,
    cell: &ActorCell,
    halted: Option<Box<Activation>>,
    unrestored: LoadError,
) {
    match unrestored {
        LoadError::Halted(halt) if matches!(halt.reason, HaltReason::Corrupt { .. }) => {
            give_up(core, cell, halted, FailureCause::Damaged, halt, 1);
        }
        LoadError::Halted(halt) => give_up(core, cell, halted, FailureCause::Replay, halt, 1),
        LoadError::Store(error) if error.is_corrupt() => {
            // Damage to this actor's part of the store is no reason to stop the others.
            let reason = HaltReason::Corrupt { what: error.to_string() };
            let halt = Halt::new(cell.id.clone(), Rsn::NONE, reason);
            give_up(core, cell, halted, FailureCause::Damaged, halt, 1);
        }
        LoadError::Store(error) => core.lifecycle.stop(Ended::from(Arc::new(error))),
    }
}

/// Whether the actor may have one more delivery in quarantine.
fn has_room(active: &Activation) -> bool {
    let entries = active.instance.quarantined();
    entries.len() < QUARANTINED_MAX
        && entries.map(|entry| entry.payload.len()).sum::<usize>() < QUARANTINED_BYTES_MAX
}

fn give_up(
    core: &Core,
    cell: &ActorCell,
    halted: Option<Box<Activation>>,
    cause: FailureCause,
    halt: Halt,
    tries: u32,
) {
    tracing::error!(actor = %cell.id, error = %halt, tries, ?cause, "the actor has failed");
    // While the activation is there: when it is dropped, its watcher takes all as handled.
    if let Some(probation) = halted.as_ref().and_then(|halted| halted.probation.as_ref()) {
        probation.actor_failed(&halt.reason);
    }
    // Before the waiters of the backlog are told: who hears of it and sends again must find it.
    let failure = cell.fail(cause, halt, tries);
    core.actors.wait_graph().stopped(&cell.id);
    let Some(halted) = halted else { return };
    for envelope in halted.backlog.into_envelopes() {
        envelope.waiter.refuse(Unavailable::Actor(Arc::clone(&failure)));
    }
    halted.repeats.refuse(&Unavailable::Actor(Arc::clone(&failure)));
    if let Some(request) = halted.request {
        request.tell(&Err(Unavailable::Actor(failure).into()));
    }
}

/// Brings an actor into memory. `None` when the runtime has stopped.
async fn load(
    core: &Arc<Core>,
    cell: &Arc<ActorCell>,
    before: Option<Rsn>,
) -> Result<Option<Box<Activation>>, LoadError> {
    let Ok(store) = core.services.store.get() else { return Ok(None) };
    if cell.pins().needed().is_none() && !core.services.stored.may_have(&cell.id) {
        // Neither checkpoint nor log: the actor never received anything, and needs no thread to
        // restore it.
        let source = source(core, cell, &*store);
        let activated = source.replay(None, &mut Tape::after(Rsn::NONE), before)?;
        return Ok(Some(Box::new(activated.active)));
    }
    let (loading, cell) = (Arc::clone(core), Arc::clone(cell));
    let actor = cell.id.clone();
    let _motion = core.services.harness.begin(|| Moving::Task("an actor is restored"));
    let loaded = core.services.replayers.run(move || {
        let source = source(&loading, &cell, &*store);
        let span = tracing::info_span!("relive::replay", actor = %cell.id, replaying = true);
        let activated = span.in_scope(|| source.activate(before))?;
        loading.services.counters.replayed(activated.replayed);
        Ok(Some(Box::new(activated.active)))
    });
    loaded.await.unwrap_or_else(|error| {
        let reason = match error {
            JobError::Panicked(panic) => HaltReason::Unwound { panic },
            JobError::NoThread(reason) => HaltReason::NoThread { reason },
        };
        Err(LoadError::Halted(Halt::new(actor, Rsn::NONE, reason)))
    })
}

/// The checkpoint and log from which an actor is loaded now.
fn source<'a>(core: &Core, cell: &'a ActorCell, store: &'a dyn Store) -> Source<'a> {
    let (from, fallback_from) = {
        let pins = cell.pins();
        (pins.uncovered(), pins.needed())
    };
    // Not the end of the log: what is not durable yet was not handled either.
    let (store_id, to) = (core.services.store.id(), core.services.committer.durable());
    let retention = core.services.config.idempotency_retention;
    Source { store, store_id, kind: &cell.kind, id: &cell.id, from, fallback_from, to, retention }
}

#[cfg(test)]
mod tests {
    use relive_replay::{Actor, Instance, Message, Restored};
    use relive_storage::record::{Delivery, Sender};
    use relive_storage::{Lsn, StoreError, StoreId};

    use super::*;
    use crate::config::{Config, RestartPolicy};
    use crate::error::AskError;
    use crate::recovery::testing::{
        Account, Boom, BoomOnce, Deposit, Hold, TestLog, Waver, happen, happened, id, kind,
    };
    use crate::runtime::testing::{account, at_rest, cell, runtime, runtime_on};

    /// No wait between the tries.
    fn config() -> Config {
        Config { restarts: RestartPolicy::default().backoff(Default::default()), ..Config::default() }
    }

    /// An actor with so many deliveries of so many bytes in quarantine.
    fn with_quarantined(count: u64, bytes: usize) -> Activation {
        let mut instance = Instance::create(kind(), id("alice"), StoreId::new(1));
        for rsn in (1..=count).map(Rsn::new) {
            instance.admit(&Sender::Outside);
            let (clock, message) = (Default::default(), Deposit::NAME.into());
            let payload = vec![0; bytes].into();
            let delivery =
                Delivery { rsn, sender: Sender::Outside, asked: false, message, payload, clock, seed: 0 };
            instance.skip(&delivery, &Quarantine { rsn, tries: 3, reason: String::new() });
        }
        let restored = Restored {
            instance,
            owed: Default::default(),
            released: Vec::new(),
            replayed: 0,
            unfinished: None,
        };
        Activation::new(restored, Tape::after(Rsn::new(count))).unwrap()
    }

    /// Invariant: bounded. The quarantine is in each checkpoint, so it has a bound in both.
    #[test]
    fn a_quarantine_is_full_by_number_and_by_bytes() {
        assert!(has_room(&with_quarantined(QUARANTINED_MAX as u64 - 1, 1)));
        assert!(!has_room(&with_quarantined(QUARANTINED_MAX as u64, 1)));
        assert!(has_room(&with_quarantined(15, QUARANTINED_BYTES_MAX / 16)));
        assert!(!has_room(&with_quarantined(16, QUARANTINED_BYTES_MAX / 16)));
    }

    /// A panic may pass on the next try, and then nothing else has happened.
    #[tokio::test]
    async fn a_panic_that_passes_changes_nothing() {
        let (core, _) = runtime(config());
        account(&core, "alice").ask(Deposit(5)).await.unwrap();
        account(&core, "alice").ask(BoomOnce("restart passes".to_owned())).await.unwrap();
        assert_eq!(account(&core, "alice").ask(Deposit(1)).await.unwrap(), 6);
        assert_eq!(core.services.counters.snapshot().restarts, 1);
    }

    /// After its tries a delivery is left out, and the state is as if it had never come.
    #[tokio::test]
    async fn a_panic_that_stays_is_left_out() {
        let (core, _) = runtime(config());
        account(&core, "alice").ask(Deposit(5)).await.unwrap();
        let refused = account(&core, "alice").ask(Boom()).await.unwrap_err();
        let AskError::Quarantined(entry) = refused else { panic!("{refused}") };
        assert_eq!((entry.rsn, entry.tries), (Rsn::new(2), 3));
        assert_eq!(account(&core, "alice").ask(Deposit(1)).await.unwrap(), 6);
    }

    /// Invariant: divergence-stops. A handler that does more in the replay than it did ends the
    /// replay early. The actor must not handle again what it had handled: others may know of it.
    #[tokio::test]
    async fn a_replay_that_ends_before_what_was_handled_stops_the_actor() {
        let (core, _) = runtime(config());
        let alice = account(&core, "alice");
        // What comes while it waits goes into one frame, which names none of it as handled.
        let holding = tokio::spawn({
            let alice = alice.clone();
            async move { alice.ask(Hold("restart holds".to_owned())).await }
        });
        while cell(&core, "alice").pins().needed().is_none() {
            tokio::task::yield_now().await;
        }
        drop(alice.tell(Waver("restart wavers".to_owned())).await.unwrap());
        drop(alice.tell(Boom()).await.unwrap());
        happen("restart holds");
        holding.await.unwrap().unwrap();
        core.lifecycle.quiet().await;
        let failure = cell(&core, "alice").failure().expect("it is stopped");
        assert_eq!((failure.cause, failure.halt.rsn), (FailureCause::Replay, Rsn::new(2)), "{failure}");
        assert!(matches!(failure.halt.reason, HaltReason::Divergence(_)), "{failure}");
        assert_eq!(happened("wavered"), 0, "it is not handled again");
    }

    /// Invariant: divergence-stops. The same of a passive actor that comes back: it had handled all
    /// that it had received.
    #[tokio::test]
    async fn an_activation_that_ends_before_what_was_received_stops_the_actor() {
        let mut log = TestLog::default();
        let name = "activation wavers".to_owned();
        happen(&name);
        let first = log.received(&id("alice"), 1, &Sender::Outside, &Waver(name));
        let (core, _) = runtime_on(log.store.clone(), config());
        let alice = cell(&core, "alice");
        alice.change_pins(|pins| pins.placed(first));
        assert!(activate(&core, &alice).await.is_none());
        let failure = alice.failure().expect("it is stopped");
        assert_eq!((failure.cause, failure.halt.rsn), (FailureCause::Replay, Rsn::new(1)), "{failure}");
    }

    /// What an actor is loaded from was handled: why it can't be loaded says what became of it.
    #[tokio::test]
    async fn why_an_actor_could_not_be_loaded_is_told() {
        let (core, _) = runtime(config());
        let halt = |reason| LoadError::Halted(Halt::new(id("alice"), Rsn::new(1), reason));
        let what = || "w".to_owned();
        for (number, (unrestored, cause)) in [
            (halt(HaltReason::Corrupt { what: what() }), FailureCause::Damaged),
            (halt(HaltReason::ForeignAwait { message: what(), beside: None }), FailureCause::Replay),
            (halt(HaltReason::NotCreated { panic: what() }), FailureCause::Replay),
            (
                LoadError::Store(StoreError::CorruptLog { at: Lsn::FIRST, what: what() }),
                FailureCause::Damaged,
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let cell = cell(&core, &number.to_string());
            could_not_be_loaded(&core, &cell, None, unrestored);
            assert_eq!(cell.failure().map(|failure| failure.cause), Some(cause));
        }
        assert!(core.lifecycle.stop_reason().is_none(), "the others are served");
        let broken = StoreError::Backend { action: "read", reason: what() };
        could_not_be_loaded(&core, &cell(&core, "alice"), None, LoadError::Store(broken));
        assert!(cell(&core, "alice").failure().is_none());
        assert!(
            matches!(core.lifecycle.stop_reason(), Some(Ended::Failed(_))),
            "a store that fails ends all"
        );
    }

    /// An actor that never received anything has nothing to be loaded from, and each one exists.
    #[tokio::test]
    async fn an_actor_begins_as_its_type_says() {
        let (core, _) = runtime(config());
        let active = activate(&core, &cell(&core, "alice")).await.expect("it exists");
        assert_eq!(active.instance.state::<Account>(), Some(&Account::create("alice")));
        assert!(active.backlog.is_empty());
        at_rest(&core).await;
        drop(core.services.store.release());
        assert!(activate(&core, &cell(&core, "bob")).await.is_none(), "the runtime has ended");
    }
}
