//! Takes a checkpoint and a tape to a state, by the same step as live. Knows no runtime: also for inspecting a dead
//! system.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};

use relive_storage::record::Delivery;
use relive_storage::{ActorId, Checkpoint, Rsn, StoreId};

use crate::checkpoint_body::revive;
use crate::guard::guarded;
use crate::step::step;
use crate::{Admission, Halt, Instance, Kind, Outgoing, Tape, TapeOnly};

/// An actor as it was, as far as its records tell.
pub struct Restored {
    /// The actor after its last complete delivery.
    pub instance: Instance,
    /// The messages that it had sent and that their receivers may not have, in order: those of the checkpoint, then
    /// those of the replay.
    pub outbox: Vec<Outgoing>,
    /// How many deliveries were replayed.
    pub replayed: u64,
    /// The first delivery on the tape that is not complete: it and those after it are to be handled live, from the
    /// tape on. `None` when all were.
    pub unfinished: Option<Rsn>,
}

/// Restores an actor from a checkpoint, or from nothing, and its records after that.
///
/// With `before`, stops ahead of that delivery even when its records are complete.
///
/// The tape is left at the first delivery that was not applied.
///
/// # Errors
/// [`Halt`]: where and why replay could not go on. Nothing was released.
pub fn restore(
    kind: &Arc<dyn Kind>,
    id: &ActorId,
    store: StoreId,
    checkpoint: Option<&Checkpoint>,
    tape: &mut Tape,
    before: Option<Rsn>,
) -> Result<Restored, Halt> {
    match attempt(kind, id, store, checkpoint, tape, before) {
        // The crash came in the middle of this delivery. Its half changed state is thrown away and the deliveries
        // before it are replayed once more, which gives the same: so no state is ever copied ahead of a delivery.
        Err(Halt::EndOfTape { rsn, .. }) => attempt(kind, id, store, checkpoint, tape, Some(rsn)),
        outcome => outcome,
    }
}

fn attempt(
    kind: &Arc<dyn Kind>,
    id: &ActorId,
    store: StoreId,
    checkpoint: Option<&Checkpoint>,
    tape: &mut Tape,
    before: Option<Rsn>,
) -> Result<Restored, Halt> {
    tape.rewind();
    let (mut instance, mut outbox) = match checkpoint {
        Some(checkpoint) => {
            let revived = revive(kind, checkpoint, store);
            let rsn = checkpoint.header.rsn;
            revived.map_err(|error| Halt::Checkpoint { actor: id.clone(), rsn, reason: error.0 })?
        }
        None => {
            let created = guarded(|| Instance::create(Arc::clone(kind), id.clone(), store));
            (created.map_err(|panic| Halt::NotCreated { actor: id.clone(), panic })?, Vec::new())
        }
    };
    if tape.start() != instance.handled() {
        let what = format!(
            "the records begin after {}, the checkpoint ends at {}",
            tape.start(),
            instance.handled()
        );
        return Err(Halt::Corrupt { actor: id.clone(), rsn: tape.start(), what });
    }
    let (deliveries, mut taken) = tape.lend();
    let mut outcome = Ok(());
    while let Some(delivery) = deliveries.get(taken)
        && before != Some(instance.received().next())
        && outcome.is_ok()
    {
        taken += 1;
        outcome = apply(id, &mut instance, delivery, tape).map(|sends| outbox.extend(sends));
    }
    tape.give_back(deliveries, taken);
    outcome?;
    let replayed = taken as u64;
    // Those ahead are known as retries before what they retry is gone.
    for delivery in &tape.deliveries()[taken..] {
        if let Some(quarantined) = tape.redelivered(delivery.rsn) {
            instance.redeliver(delivery.rsn, quarantined);
        }
    }
    for rsn in tape.discharged() {
        instance.discharge(rsn);
    }
    let unfinished = (tape.remaining() > 0).then(|| instance.received().next());
    Ok(Restored { instance, outbox, replayed, unfinished })
}

/// Applies a recorded delivery. Gives what it sent.
fn apply(
    id: &ActorId,
    instance: &mut Instance,
    delivery: &Delivery,
    tape: &mut Tape,
) -> Result<Vec<Outgoing>, Halt> {
    admit(instance, &delivery.sender, delivery.rsn)?;
    if let Some(quarantined) = tape.redelivered(delivery.rsn) {
        instance.redeliver(delivery.rsn, quarantined);
    }
    if let Some(decision) = tape.left_out(delivery.rsn) {
        instance.skip(delivery, decision);
        return Ok(Vec::new());
    }
    let effects = now_or_never(step(instance, delivery, &mut TapeOnly(tape)), || Halt::ForeignAwait {
        actor: id.clone(),
        rsn: delivery.rsn,
        message: delivery.message.to_string(),
    })?;
    Ok(effects.sends)
}

/// A recorded delivery passes the duplicate table as it did when it was logged; anything else is damage.
///
/// # Errors
/// [`Halt::Corrupt`] for a duplicate, a gap in the channel, or another position than recorded.
pub fn admit(instance: &mut Instance, sender: &relive_storage::record::Sender, rsn: Rsn) -> Result<(), Halt> {
    let what = match instance.admit(sender) {
        Admission::Fresh(given) if given == rsn => return Ok(()),
        Admission::Fresh(given) => format!("the next delivery would be {given}"),
        Admission::Duplicate => format!("its message was delivered before: {sender:?}"),
        Admission::Gap { expected, found } => {
            format!("its channel goes on with {expected}, not with {found}")
        }
    };
    Err(Halt::Corrupt { actor: instance.id().clone(), rsn, what })
}

/// With all outcomes on the tape a step never waits: one poll drives it to its end.
fn now_or_never<T>(
    future: impl Future<Output = Result<T, Halt>>,
    foreign: impl FnOnce() -> Halt,
) -> Result<T, Halt> {
    match pin!(future).poll(&mut std::task::Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(foreign()),
    }
}
