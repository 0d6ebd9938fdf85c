//! The way of a crash that concerns one actor: it halted, and comes back from its checkpoint and log, or fails for good.
//! Also brings passive actors into memory, which is the same without the halt.

use std::sync::Arc;

use relive_replay::{Halt, Tape};
use relive_storage::limits::QUARANTINE_REASON_BYTES_MAX;
use relive_storage::record::Quarantine;
use relive_storage::{Rsn, Store};

use crate::activation::{Source, Unrestored};
use crate::active::Active;
use crate::core::Core;
use crate::error::{FailureCause, Refused};
use crate::limits::{QUARANTINED_BYTES_MAX, QUARANTINED_MAX};
use crate::slot::Slot;
use crate::supervision::{Verdict, judge};
use crate::timer::sleep;

/// Loads an actor that is passive. `None` when it has failed, or all has.
pub(crate) async fn activate(core: &Arc<Core>, slot: &Arc<Slot>) -> Option<Box<Active>> {
    match load(core, slot, None).await {
        Ok(active) => Some(active),
        Err(unrestored) => {
            could_not_be_loaded(core, slot, None, unrestored);
            None
        }
    }
}

/// Restarts an actor that halted, as often as its policy allows. `None` when it has failed, or all has.
pub(crate) async fn restart(
    core: &Arc<Core>,
    slot: &Arc<Slot>,
    halted: Box<Active>,
    halt: Halt,
) -> Option<Box<Active>> {
    let mut tried = halted.tried;
    let rsn = halt.rsn();
    // What was acknowledged in a life before is not left out in this one, which may run other code.
    let is_found = halted.suspects.as_ref().is_some_and(|suspects| suspects.may_have_handled(rsn, &halt));
    let was_owed = halted.backlog.first_sender().is_some_and(|sender| core.was_found(&slot.id, sender));
    let undecided = is_found || was_owed;
    let mut condemned = None;
    match judge(&core.config.restarts, &mut tried, &halt, !undecided) {
        Verdict::Retry { after } => {
            core.counters.restarted();
            tracing::warn!(actor = %slot.id, error = %halt, wait = ?after, "restarting from checkpoint and log");
            core.unless_stopped(sleep(after)).await.ok()?;
        }
        Verdict::LeaveOut { tries } if has_room(&halted) => {
            condemned = Some(Quarantine { rsn, tries, reason: reason(&halt) });
            tracing::error!(actor = %slot.id, error = %halt, tries, "the delivery goes into quarantine");
        }
        Verdict::LeaveOut { tries } | Verdict::Fail { tries } => {
            let cause = if undecided { FailureCause::Undecided } else { FailureCause::Delivery };
            give_up(slot, Some(halted), cause, halt, tries);
            return None;
        }
    }
    match load(core, slot, Some(rsn)).await {
        Ok(mut active) => {
            active.tried = tried;
            active.condemned = condemned;
            active.succeed(*halted);
            Some(active)
        }
        Err(unrestored) => {
            could_not_be_loaded(core, slot, Some(halted), unrestored);
            None
        }
    }
}

/// Whatever a running actor is loaded from it had handled, in this life or in one before: so a halt there is never a first
/// try. The actor stops, and nothing of it changes.
fn could_not_be_loaded(core: &Core, slot: &Slot, halted: Option<Box<Active>>, unrestored: Unrestored) {
    match unrestored {
        Unrestored::Halted(halt @ Halt::Corrupt { .. }) => {
            give_up(slot, halted, FailureCause::Damaged, halt, 1);
        }
        Unrestored::Halted(halt) => give_up(slot, halted, FailureCause::Replay, halt, 1),
        Unrestored::Store(error) if error.is_corrupt() => {
            // Damage to this actor's part of the store is no reason to stop the others.
            let (actor, what) = (slot.id.clone(), error.to_string());
            let halt = Halt::Corrupt { actor, rsn: Rsn::NONE, what };
            give_up(slot, halted, FailureCause::Damaged, halt, 1);
        }
        Unrestored::Store(error) => core.fail(Arc::new(error)),
        Unrestored::Over => {}
    }
}

/// Whether the actor may have one more delivery in quarantine.
fn has_room(active: &Active) -> bool {
    let entries = active.instance.quarantined();
    entries.len() < QUARANTINED_MAX
        && entries.map(|entry| entry.payload.len()).sum::<usize>() < QUARANTINED_BYTES_MAX
}

/// Why a delivery is left out, shortened to what a record holds.
fn reason(halt: &Halt) -> String {
    let mut reason = halt.to_string();
    let mut end = reason.len().min(QUARANTINE_REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    reason
}

fn give_up(slot: &Slot, halted: Option<Box<Active>>, cause: FailureCause, halt: Halt, tries: u32) {
    tracing::error!(actor = %slot.id, error = %halt, tries, ?cause, "the actor has failed");
    if let Some(suspects) = halted.as_ref().and_then(|halted| halted.suspects.as_ref()) {
        suspects.have_failed(&halt);
    }
    let failure = slot.fail(cause, halt, tries);
    let Some(halted) = halted else { return };
    for envelope in halted.backlog.into_envelopes() {
        envelope.waiter.refuse(Refused::Actor(Arc::clone(&failure)));
    }
    if let Some(request) = halted.request {
        request.tell(&Err(Refused::Actor(failure)));
    }
    slot.places.add_permits(halted.places as usize);
}

async fn load(core: &Arc<Core>, slot: &Arc<Slot>, before: Option<Rsn>) -> Result<Box<Active>, Unrestored> {
    let store = core.store().map_err(|_| Unrestored::Over)?;
    if slot.pins().needed().is_none() && !core.stored.may_have(&slot.id) {
        // Neither checkpoint nor log: it never received anything, and there is nothing to wait for.
        let source = source(core, slot, &*store);
        let activated = source.replay(None, Tape::after(Rsn::NONE), before)?;
        return Ok(Box::new(activated.active));
    }
    let (loading, slot) = (Arc::clone(core), Arc::clone(slot));
    let actor = slot.id.clone();
    let loaded = core.replayers.run(move || {
        let source = source(&loading, &slot, &*store);
        let span = tracing::info_span!("relive::replay", actor = %slot.id, replaying = true);
        let activated = span.in_scope(|| source.activate(before))?;
        loading.counters.replayed(activated.replayed);
        Ok(Box::new(activated.active))
    });
    loaded.await.unwrap_or_else(|panic| Err(Unrestored::Halted(Halt::Unwound { actor, panic })))
}

/// What an actor is loaded from, as it is now.
fn source<'a>(core: &Core, slot: &'a Slot, store: &'a dyn Store) -> Source<'a> {
    let (from, fallback_from) = {
        let pins = slot.pins();
        (pins.uncovered(), pins.needed())
    };
    let (store_id, to) = (core.store_id, core.committer.durable());
    Source { store, store_id, kind: &slot.kind, id: &slot.id, from, fallback_from, to }
}
