//! Puts messages and requests into cells, and starts the turns that follow from that. No other code
//! starts turns, so none can fill a cell and forget to run its actor.

use std::sync::Arc;

use relive_replay::Outgoing;
use relive_storage::Rsn;
use relive_storage::record::Sender;
use tokio::sync::oneshot;

use crate::actor::cell::{ActorCell, Wake};
use crate::actor::envelope::{DischargeRequest, OutboxOwner, Waiter};
use crate::actor::mailbox::Mail;
use crate::error::{CheckpointError, Unavailable};
use crate::shared::Core;
use crate::turn::Custody;

/// Puts a message into an actor's mailbox, and starts a turn for it unless one is under way.
pub(crate) fn post(core: &Arc<Core>, cell: &Arc<ActorCell>, mail: Mail<'_>) -> Result<u64, Unavailable> {
    let (number, wake) = cell.push(mail, core.lifecycle.now())?;
    begin(core, wake);
    Ok(number)
}

/// Asks an actor for a checkpoint. `waiter` learns when it is on stable storage.
pub(crate) fn request_checkpoint(
    core: &Arc<Core>,
    cell: &Arc<ActorCell>,
    waiter: Option<oneshot::Sender<Result<Rsn, CheckpointError>>>,
) {
    if let Some(wake) = cell.request_checkpoint(waiter) {
        begin(core, wake);
    }
}

/// Asks an actor to take a delivery out of quarantine.
pub(crate) fn request_discharge(
    core: &Arc<Core>,
    cell: &Arc<ActorCell>,
    request: DischargeRequest,
) -> Result<(), Unavailable> {
    begin(core, cell.request_discharge(request)?);
    Ok(())
}

/// Starts a turn for an actor that rests.
pub(crate) fn resume(core: &Arc<Core>, cell: &Arc<ActorCell>) {
    begin(core, cell.start());
}

/// Puts all unacknowledged messages of restored actors into the mailboxes of their receivers, then
/// starts turns for the actors that have work. No turn starts earlier, so what an actor sends from
/// now on comes after what it sent in an earlier life.
pub(crate) fn resume_all(core: &Arc<Core>, cells: &[Arc<ActorCell>]) {
    let mut wakes = Vec::new();
    for cell in cells {
        for outgoing in cell.unacknowledged() {
            wakes.extend(deliver(core, cell, outgoing));
        }
    }
    for cell in cells {
        if cell.with_idle(|active, _| !active.backlog.is_empty()) == Some(true) {
            wakes.push(cell.start());
        }
    }
    for wake in wakes {
        begin(core, wake);
    }
}

/// Puts the messages that an actor sent into its receivers' mailboxes. They stay in the outbox
/// until the receivers have logged them.
pub(crate) fn release(core: &Arc<Core>, from: &Arc<ActorCell>, messages: Vec<Outgoing>) {
    // They are in the outbox, from which the next opening sends them.
    if core.lifecycle.keeps_sends() {
        return;
    }
    for outgoing in messages {
        if let Some(wake) = deliver(core, from, outgoing) {
            begin(core, wake);
        }
    }
}

/// Starts a turn if `wake` says so.
fn begin(core: &Arc<Core>, wake: Wake) {
    let Wake::Start(start) = wake else { return };
    let (cell, active) = start.take();
    core.services.tokio.spawn(Custody::new(core, cell).run(active));
}

/// Puts one message from an actor's outbox into its receiver's mailbox, and returns what the caller
/// must do then. A message that can't be delivered now stays in the outbox.
fn deliver(core: &Core, from: &Arc<ActorCell>, outgoing: Outgoing) -> Option<Wake> {
    let Some(to) = core.actors.get_or_insert(&outgoing.to) else {
        let (from, to) = (&from.id, &outgoing.to);
        tracing::error!(%from, %to, "a message stays in the outbox, the kind of its receiver is not registered");
        return None;
    };
    let Outgoing { ssn, message, payload, .. } = outgoing;
    let sender = Sender::Actor { id: from.id.clone(), ssn };
    let debtor = Arc::clone(from) as Arc<dyn OutboxOwner>;
    // No places: an actor that waits for room in another's mailbox could wait for itself. Its full
    // outbox holds it back instead.
    let mail = Mail { sender, message, payload: &payload, waiter: Waiter::Actor(debtor), taken: None };
    match to.push(mail, core.lifecycle.now()) {
        Ok((_, wake)) => Some(wake),
        Err(reason) => {
            tracing::warn!(from = %from.id, to = %to.id, %ssn, %reason, "a message stays in the outbox");
            None
        }
    }
}
