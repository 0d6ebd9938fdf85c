//! Puts messages and requests into cells, and starts the turns that follow from that. No code
//! outside of this folder starts turns, so none can fill a cell and forget to run its actor.

use std::sync::Arc;

use relive_replay::{Outgoing, OutgoingReply};
use relive_storage::record::Sender;
use relive_storage::{ActorId, Rsn, Ssn};
use tokio::sync::oneshot;

use crate::actor::cell::{ActorCell, Wake};
use crate::actor::envelope::{DischargeRequest, OutboxOwner, Waiter};
use crate::actor::mailbox::Mail;
use crate::actor::replies::ArrivedReply;
use crate::error::{CheckpointError, Unavailable};
use crate::harness::Moving;
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

/// The turns under way that were begun for timers. All clones count the same ones.
#[derive(Clone, Default)]
pub(crate) struct UnderWay(Arc<()>);

impl UnderWay {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

/// Has an actor fire the timers that are due. The turn that this begins counts until it ends.
pub(crate) fn wake_for_timers(core: &Arc<Core>, actor: &ActorId, under_way: &UnderWay) {
    let Some(cell) = core.actors.get_or_insert(actor) else {
        tracing::error!(%actor, "a timer is due, the kind of its actor is not registered");
        return;
    };
    let Wake::Start(start) = cell.wake_for_timers(core.lifecycle.now()) else { return };
    let (cell, active) = start.take();
    let what = moving(core, &cell);
    let (turn, counts) = (Custody::new(core, cell).run(active), under_way.clone());
    let turn = async move {
        turn.await;
        drop(counts);
    };
    core.services.tokio.spawn(core.services.harness.track(what, turn));
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
        let owed = cell.owed();
        for outgoing in owed.messages {
            wakes.extend(deliver(core, cell, outgoing));
        }
        for reply in owed.replies {
            wakes.extend(bring(core, cell, reply));
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

/// Keeps the reply of an actor to another one's request, and brings it there.
pub(crate) fn reply(core: &Arc<Core>, from: &Arc<ActorCell>, reply: OutgoingReply) {
    // Kept before it leaves: the asker may acknowledge it at once.
    from.keep_reply(reply.clone());
    if core.lifecycle.keeps_sends() {
        return;
    }
    if let Some(wake) = bring(core, from, reply) {
        begin(core, wake);
    }
}

/// The asker has the reply on stable storage, or needs it no more: who answered drops its copy.
pub(crate) fn acknowledge_reply(core: &Core, asker: &ActorCell, from: &ActorId, ssn: Ssn) {
    // A cell that owes a reply is in the table.
    if let Some(from) = core.actors.get(from) {
        from.acknowledge_reply(&asker.id, ssn);
    }
}

/// Brings a reply to its asker, and returns what the caller must do then. One that can't be brought
/// now stays with the actor that answered.
fn bring(core: &Core, from: &Arc<ActorCell>, reply: OutgoingReply) -> Option<Wake> {
    let OutgoingReply { to, ssn, outcome } = reply;
    let Some(asker) = core.actors.get_or_insert(&to) else {
        tracing::error!(from = %from.id, %to, "a reply is kept, the kind of its asker is not registered");
        return None;
    };
    let reply = ArrivedReply { from: from.id.clone(), ssn, outcome };
    // In one step: who looks for a deadlock finds the reply, or the handler waiting for it; and
    // what the handler waits for after the reply stays there.
    let brought = core.actors.wait_graph().news_for(&to, || asker.push_reply(reply));
    match brought {
        Ok((wake, handler)) => {
            // Without the lock: a waker is foreign code.
            if let Some(handler) = handler {
                handler.wake();
            }
            Some(wake)
        }
        Err(reason) => {
            tracing::debug!(from = %from.id, %to, %ssn, %reason, "a reply is kept");
            None
        }
    }
}

/// Starts a turn if `wake` says so.
pub(super) fn begin(core: &Arc<Core>, wake: Wake) {
    let Wake::Start(start) = wake else { return };
    let (cell, active) = start.take();
    let what = moving(core, &cell);
    let turn = Custody::new(core, cell).run(active);
    core.services.tokio.spawn(core.services.harness.track(what, turn));
}

/// What a turn is called under a test kit.
fn moving(core: &Core, cell: &ActorCell) -> impl FnOnce() -> Moving + use<> {
    let id = core.services.harness.is_kept().then(|| cell.id.clone());
    || id.map_or(Moving::Task("a turn"), Moving::Turn)
}

/// Puts one message from an actor's outbox into its receiver's mailbox, and returns what the caller
/// must do then. A message that can't be delivered now stays in the outbox.
fn deliver(core: &Core, from: &Arc<ActorCell>, outgoing: Outgoing) -> Option<Wake> {
    let Some(to) = core.actors.get_or_insert(&outgoing.to) else {
        let (from, to) = (&from.id, &outgoing.to);
        tracing::error!(%from, %to, "a message stays in the outbox, the kind of its receiver is not registered");
        return None;
    };
    let Outgoing { ssn, message, payload, asked, .. } = outgoing;
    let sender = Sender::Actor { id: from.id.clone(), ssn };
    let debtor = Arc::clone(from) as Arc<dyn OutboxOwner>;
    let waiter = if asked { Waiter::AskingActor(debtor) } else { Waiter::Actor(debtor) };
    // No places: an actor that waits for room in another's mailbox could wait for itself. Its full
    // outbox holds it back instead.
    let mail = Mail { sender, message, payload: &payload, waiter, taken: None };
    match to.push(mail, core.lifecycle.now()) {
        Ok((_, wake)) => Some(wake),
        Err(reason) => {
            tracing::warn!(from = %from.id, to = %to.id, %ssn, %reason, "a message stays in the outbox");
            None
        }
    }
}
