//! The way of a crash that concerns one actor: it halted, and comes back from its checkpoint and log, or fails for good.
//! Also brings passive actors into memory, which is the same without the halt.

use std::sync::Arc;

use relive_replay::{Halt, Tape};
use relive_storage::limits::QUARANTINE_REASON_BYTES_MAX;
use relive_storage::record::Quarantine;
use relive_storage::{Rsn, Store, StoreError};

use crate::activation::{Source, Unrestored};
use crate::active::Active;
use crate::core::Core;
use crate::error::Refused;
use crate::limits::{QUARANTINED_BYTES_MAX, QUARANTINED_MAX};
use crate::slot::Slot;
use crate::supervision::{Verdict, judge};

/// Loads an actor, or restarts one that halted, as often as its policy allows. `None` when it has failed, or all has.
pub(crate) async fn bring_back(
    core: &Arc<Core>,
    slot: &Arc<Slot>,
    mut halted: Option<Box<Active>>,
    mut halt: Option<Halt>,
) -> Option<Box<Active>> {
    let mut condemned = None;
    let mut tried = halted.as_ref().and_then(|active| active.tried);
    loop {
        let mut before = None;
        if let Some(halt) = halt.take() {
            match judge(&core.config.restarts, &mut tried, &halt) {
                Verdict::Retry { after } => {
                    before = Some(halt.rsn());
                    core.counters.restarted();
                    tracing::warn!(actor = %slot.id, error = %halt, wait = ?after, "restarting from checkpoint and log");
                    core.unless_stopped(tokio::time::sleep(after)).await.ok()?;
                }
                Verdict::LeaveOut { tries } if halted.as_ref().is_none_or(|active| has_room(active)) => {
                    before = Some(halt.rsn());
                    condemned = Some(Quarantine { rsn: halt.rsn(), tries, reason: reason(&halt) });
                    tracing::error!(actor = %slot.id, error = %halt, tries, "the delivery goes into quarantine");
                }
                Verdict::LeaveOut { tries } | Verdict::Fail { tries } => {
                    give_up(slot, halted, halt, tries);
                    return None;
                }
            }
        }
        match load(core, slot, before).await {
            Ok(mut active) => {
                active.tried = tried;
                active.condemned = condemned;
                if let Some(halted) = halted.take() {
                    active.succeed(*halted);
                }
                return Some(active);
            }
            Err(Unrestored::Halted(again)) => {
                // Another delivery, ahead of the one that halted before: the next try stops ahead of that one.
                halt = Some(again);
            }
            Err(Unrestored::Store(error)) if error.is_corrupt() => {
                // Damage to this actor's part of the store is no reason to stop the others.
                let (actor, rsn) = (slot.id.clone(), before.unwrap_or_default());
                give_up(slot, halted, Halt::Corrupt { actor, rsn, what: error.to_string() }, 1);
                return None;
            }
            Err(Unrestored::Store(error)) => {
                core.fail(Arc::new(error));
                return None;
            }
        }
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

fn give_up(slot: &Slot, halted: Option<Box<Active>>, halt: Halt, tries: u32) {
    tracing::error!(actor = %slot.id, error = %halt, tries, "the actor has failed");
    let failure = slot.fail(halt, tries);
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
    let stopped = |reason: Refused| Unrestored::Store(StoreError::Poisoned { reason: reason.to_string() });
    let store = core.store().map_err(stopped)?;
    if slot.pins().needed().is_none() && !core.stored.may_have(&slot.id) {
        // Neither checkpoint nor log: it never received anything, and there is nothing to wait for.
        let source = source(core, slot, &*store);
        let activated = source.replay(None, Tape::after(Rsn::NONE), before)?;
        return Ok(Box::new(activated.active));
    }
    let (core, slot) = (Arc::clone(core), Arc::clone(slot));
    let loading = tokio::task::spawn_blocking(move || {
        let source = source(&core, &slot, &*store);
        let span = tracing::info_span!("relive::replay", actor = %slot.id, replaying = true);
        let activated = span.in_scope(|| source.activate(before))?;
        core.counters.replayed(activated.replayed);
        Ok(Box::new(activated.active))
    });
    loading
        .await
        .unwrap_or_else(|error| Err(stopped(Refused::Stopped)).inspect_err(|_| tracing::error!(%error)))
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
