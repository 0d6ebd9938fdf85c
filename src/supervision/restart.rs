//! The way of a crash of one actor: it halted, and comes back from its checkpoint and log, or fails
//! for good. Also brings passive actors into memory, by the same steps without the halt.

use std::sync::Arc;

use relive_replay::{Halt, HaltReason, Tape};
use relive_storage::limits::QUARANTINE_REASON_BYTES_MAX;
use relive_storage::record::Quarantine;
use relive_storage::{Rsn, Store};

use crate::actor::activation::Activation;
use crate::actor::cell::ActorCell;
use crate::actor::loader::{LoadError, Source};
use crate::error::{Ended, FailureCause, Unavailable};
use crate::limits::{QUARANTINED_BYTES_MAX, QUARANTINED_MAX};
use crate::replayers::JobError;
use crate::shared::Core;
use crate::supervision::policy::{Known, Verdict, judge};
use crate::timer::sleep;

/// Loads a passive actor. `None` when it has failed, or the runtime has stopped.
pub(crate) async fn activate(core: &Arc<Core>, cell: &Arc<ActorCell>) -> Option<Box<Activation>> {
    match load(core, cell, None).await {
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
    let rsn = halt.rsn;
    // This life may run other code than the one that acknowledged the delivery, so it does not
    // leave such a delivery out.
    let is_found =
        halted.probation.as_ref().is_some_and(|probation| probation.may_have_handled(rsn, &halt.reason));
    let was_owed =
        halted.backlog.first_sender().is_some_and(|sender| core.actors.was_found(&cell.id, sender));
    let known = if is_found || was_owed { Known::Undecided } else { Known::Unhandled };
    let mut pending_quarantine = None;
    match judge(&core.services.config.restarts, &mut tried, &halt, known) {
        Verdict::Retry { after } => {
            core.services.counters.restarted();
            tracing::warn!(actor = %cell.id, error = %halt, wait = ?after, "restarting from checkpoint and log");
            core.lifecycle.unless_stopped(sleep(after)).await.ok()?;
        }
        Verdict::LeaveOut { tries } if has_room(&halted) => {
            pending_quarantine = Some(Quarantine { rsn, tries, reason: shortened(&halt.reason) });
            tracing::error!(actor = %cell.id, error = %halt, tries, "the delivery goes into quarantine");
        }
        Verdict::LeaveOut { tries } | Verdict::Fail { tries } => {
            let cause = match known {
                Known::Undecided => FailureCause::Undecided,
                Known::Unhandled => FailureCause::Delivery,
            };
            give_up(cell, Some(halted), cause, halt, tries);
            return None;
        }
    }
    match load(core, cell, Some(rsn)).await {
        Ok(None) => None,
        Ok(Some(mut active)) => {
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
            give_up(cell, halted, FailureCause::Damaged, halt, 1);
        }
        LoadError::Halted(halt) => give_up(cell, halted, FailureCause::Replay, halt, 1),
        LoadError::Store(error) if error.is_corrupt() => {
            // Damage to this actor's part of the store is no reason to stop the others.
            let reason = HaltReason::Corrupt { what: error.to_string() };
            let halt = Halt::new(cell.id.clone(), Rsn::NONE, reason);
            give_up(cell, halted, FailureCause::Damaged, halt, 1);
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

/// Why a delivery is left out, shortened to the limit of its record.
fn shortened(reason: &HaltReason) -> String {
    let mut reason = reason.to_string();
    let mut end = reason.len().min(QUARANTINE_REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    reason
}

fn give_up(cell: &ActorCell, halted: Option<Box<Activation>>, cause: FailureCause, halt: Halt, tries: u32) {
    tracing::error!(actor = %cell.id, error = %halt, tries, ?cause, "the actor has failed");
    if let Some(probation) = halted.as_ref().and_then(|halted| halted.probation.as_ref()) {
        probation.actor_failed(&halt.reason);
    }
    let failure = cell.fail(cause, halt, tries);
    let Some(halted) = halted else { return };
    for envelope in halted.backlog.into_envelopes() {
        envelope.waiter.refuse(Unavailable::Actor(Arc::clone(&failure)));
    }
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
    let (store_id, to) = (core.services.store.id(), core.services.committer.durable());
    Source { store, store_id, kind: &cell.kind, id: &cell.id, from, fallback_from, to }
}
