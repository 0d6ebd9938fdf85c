//! Rebuilds a state from a checkpoint and a tape, by the same step as live. Knows no runtime, so
//! tools can inspect a dead system with it.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};

use relive_storage::record::{Delivery, Quarantine, Sender};
use relive_storage::{ActorId, Checkpoint, Rsn, StoreId};

use crate::ask::{Answered, AskFailure};
use crate::checkpoint_body::revive;
use crate::guard::guarded;
use crate::halt::CorruptRecords;
use crate::receptions::Check;
use crate::step::{StepError, step};
use crate::{
    Admission, Divergence, Effects, Halt, HaltReason, Instance, Kind, Outgoing, OutgoingReply, Owed, Tape,
    TapeOnly,
};

/// An actor as it was, as far as its records show.
pub struct Restored {
    /// The actor after its last complete delivery.
    pub instance: Instance,
    /// What it had sent and others may not have, in order: that of the checkpoint, then that of the
    /// replay.
    pub owed: Owed,
    /// What the unfinished delivery had sent up to its last request. It may have left the actor,
    /// and is sent again when the delivery goes on.
    pub released: Vec<Outgoing>,
    /// How many deliveries the replay applied.
    pub replayed: u64,
    /// The first delivery on the tape that is not complete. The caller handles it and those after
    /// it live, with the events on the tape. `None` when the replay applied all.
    pub unfinished: Option<Rsn>,
}

/// Restores an actor from a checkpoint, or from nothing, and its records after that.
///
/// With `before`, it stops ahead of that delivery even when its records are complete. It does not
/// stop while a receiver has a message that the replay has not sent yet: then the original run had
/// handled the delivery.
///
/// Afterwards the tape is at the first delivery that was not applied.
///
/// # Errors
/// [`Halt`]: where and why the replay could not continue. Nothing was released. [`Tape::certain`]
/// says whether the original run had handled the delivery on which it halted.
pub fn restore(
    kind: &Arc<dyn Kind>,
    id: &ActorId,
    store: StoreId,
    checkpoint: Option<&Checkpoint>,
    tape: &mut Tape,
    before: Option<Rsn>,
) -> Result<Restored, Halt> {
    let (rsn, released) = match attempt(kind, id, store, checkpoint, tape, before.map(Before::Unknown))? {
        Attempt::Restored(restored) => return Ok(*restored),
        Attempt::EndOfTape(rsn, released) => (rsn, released),
    };
    assert!(rsn > tape.certain(), "{id}: the records of {rsn} end, but it was handled");
    // The crash came in the middle of this delivery. Throws its half changed state away and replays
    // the deliveries before it once more, which gives the same state. The alternative would copy
    // the state ahead of every delivery, live too.
    match attempt(kind, id, store, checkpoint, tape, Some(Before::Again(rsn)))? {
        Attempt::Restored(restored) => Ok(Restored { released, ..*restored }),
        Attempt::EndOfTape(earlier, _) => {
            let expected = format!("what is on record of it, by a replay up to {rsn}");
            let found = "a wait that is not on record".to_owned();
            Err(Halt::new(id.clone(), earlier, Divergence { expected, found }.into()))
        }
    }
}

/// How far a replay came.
enum Attempt {
    Restored(Box<Restored>),
    /// The records end in the middle of this delivery, which had sent these messages up to its last
    /// request.
    EndOfTape(Rsn, Vec<Outgoing>),
}

/// Where a replay stops.
#[derive(Clone, Copy)]
enum Before {
    /// Ahead of this delivery, unless receivers have what it sent.
    Unknown(Rsn),
    /// Ahead of this delivery, whose records end in its middle.
    Again(Rsn),
}

fn attempt(
    kind: &Arc<dyn Kind>,
    id: &ActorId,
    store: StoreId,
    checkpoint: Option<&Checkpoint>,
    tape: &mut Tape,
    before: Option<Before>,
) -> Result<Attempt, Halt> {
    tape.rewind();
    let halt = |rsn, reason| Halt::new(id.clone(), rsn, reason);
    let (mut instance, mut owed) = begin(kind, id, store, checkpoint)?;
    if tape.start() != instance.handled() {
        let what = format!(
            "the records begin after {}, the checkpoint ends at {}",
            tape.start(),
            instance.handled()
        );
        return Err(halt(tape.start(), HaltReason::Corrupt { what }));
    }
    let mut receptions = tape.check();
    // Lent, since the handlers need the tape while the loop reads a delivery of it.
    let (deliveries, mut taken) = tape.lend();
    let mut outcome = Ok(());
    while let Some(delivery) = deliveries.get(taken)
        && outcome.is_ok()
        && !stops(before, delivery.rsn, &mut receptions, &instance)
    {
        if receptions.is_behind(&instance) {
            // Ahead of the step: nothing that it does is a first try any more.
            tape.was_begun(delivery.rsn);
        }
        taken += 1;
        let applied = apply(id, &mut instance, delivery, tape).and_then(|effects| {
            if receptions.have(effects.last_sends()) {
                tape.was_handled(delivery.rsn);
            }
            let compared = receptions.compare(&instance, &effects.sends);
            compared.map_err(|divergence| halt(delivery.rsn, divergence.into()))?;
            owed.messages.extend(effects.sends);
            owed.replies.extend(effects.answer.map(|answer| *answer));
            Ok(())
        });
        outcome = applied.map_err(|error| (delivery.rsn, error));
    }
    // Before any return: after an error too, the caller asks the tape what is certain.
    tape.give_back(deliveries, taken);
    match outcome {
        Ok(()) => {}
        Err((_, StepError::Halted(halt))) => return Err(*halt),
        Err((rsn, StepError::NoOutcome { released })) => {
            let compared = receptions.compare_released(&instance, &released);
            compared.map_err(|divergence| halt(rsn, divergence.into()))?;
            return Ok(Attempt::EndOfTape(rsn, released));
        }
    }
    let replayed = taken as u64;
    let came_to = tape.start().plus(replayed);
    assert_eq!(instance.handled(), came_to, "{id} has handled each delivery that it took, once");
    assert_eq!(instance.received(), came_to, "{id} has taken in nothing that it did not handle");
    // Before the discharges below: `redeliver` takes the keys from the entry in quarantine.
    for delivery in &tape.deliveries()[taken..] {
        if let Some(quarantined) = tape.redelivered(delivery.rsn) {
            instance.redeliver(delivery.rsn, quarantined);
        }
    }
    for rsn in tape.discharged() {
        instance.discharge(rsn);
    }
    let unfinished = (tape.remaining() > 0).then(|| instance.received().next());
    let released = Vec::new();
    Ok(Attempt::Restored(Box::new(Restored { instance, owed, released, replayed, unfinished })))
}

/// Whether a replay ends ahead of the delivery at `rsn`.
fn stops(before: Option<Before>, rsn: Rsn, receptions: &mut Check, instance: &Instance) -> bool {
    match before {
        None => false,
        Some(Before::Again(before)) => before <= rsn,
        Some(Before::Unknown(before)) => before <= rsn && !receptions.is_behind(instance),
    }
}

/// The actor as its checkpoint has it, or as it begins, with what it had not seen acknowledged.
fn begin(
    kind: &Arc<dyn Kind>,
    id: &ActorId,
    store: StoreId,
    checkpoint: Option<&Checkpoint>,
) -> Result<(Instance, Owed), Halt> {
    let Some(checkpoint) = checkpoint else {
        let created = guarded(|| Instance::create(Arc::clone(kind), id.clone(), store));
        let not_created = |panic| Halt::new(id.clone(), Rsn::NONE, HaltReason::NotCreated { panic });
        return Ok((created.map_err(not_created)?, Owed::default()));
    };
    revive(kind, checkpoint, store).map_err(|error| {
        let reason = HaltReason::Checkpoint { reason: error.0 };
        Halt::new(id.clone(), checkpoint.header.rsn, reason)
    })
}

/// Applies a recorded delivery, and returns its effects.
fn apply(
    id: &ActorId,
    instance: &mut Instance,
    delivery: &Delivery,
    tape: &mut Tape,
) -> Result<Effects, StepError> {
    admit(instance, &delivery.sender, delivery.rsn).map_err(|corrupt| corrupt.of(id))?;
    // Also for one that is left out: its entry in quarantine keeps the keys of the original.
    if let Some(quarantined) = tape.redelivered(delivery.rsn) {
        instance.redeliver(delivery.rsn, quarantined);
    }
    if let Some(decision) = tape.left_out(delivery.rsn) {
        instance.skip(delivery, decision);
        let mut effects = Effects::default();
        effects.answer = left_out(id, delivery, decision).map(Box::new);
        return Ok(effects);
    }
    let mut effects = Effects::default();
    let stepped = now_or_never(step(instance.process(), delivery, &mut TapeOnly(tape), &mut effects));
    stepped.unwrap_or_else(|| {
        let reason = HaltReason::ForeignAwait { message: delivery.message.to_string(), beside: None };
        Err(Halt::new(id.clone(), delivery.rsn, reason).into())
    })?;
    if let (Sender::Keyed { .. }, Some(reply)) = (&delivery.sender, effects.reply.take()) {
        // What is older was of no use to anybody when the log took this one in. Without this a
        // replay would keep more than the actor ever had.
        if let Some(retention) = tape.retention() {
            instance.inbound.forget_requests(delivery.clock, retention);
        }
        instance.keep_reply(delivery, reply);
    }
    Ok(effects)
}

/// The reply to a request of another actor that is left out; `None` for what no actor has asked.
#[must_use]
pub fn left_out(id: &ActorId, delivery: &Delivery, decision: &Quarantine) -> Option<OutgoingReply> {
    let (true, Sender::Actor { id: to, ssn }) = (delivery.asked, &delivery.sender) else { return None };
    let (receiver, tries, reason) = (id.to_string(), decision.tries, decision.reason.clone());
    let outcome = Answered::failure(AskFailure::Quarantined { receiver, tries, reason });
    Some(OutgoingReply { to: to.clone(), ssn: *ssn, outcome })
}

/// Admits a recorded delivery. It must pass the duplicate table as it did when the runtime logged
/// it; anything else is damage.
///
/// # Errors
/// [`CorruptRecords`] for a duplicate, a gap in the channel, or another position than recorded.
pub fn admit(instance: &mut Instance, sender: &Sender, rsn: Rsn) -> Result<(), CorruptRecords> {
    let what = match instance.admit(sender) {
        Admission::Fresh(given) if given == rsn => return Ok(()),
        Admission::Fresh(given) => format!("the next delivery would be {given}"),
        Admission::Duplicate => format!("its message was delivered before: {sender:?}"),
        Admission::Gap { expected, found } => {
            format!("its channel goes on with {expected}, not with {found}")
        }
    };
    Err(CorruptRecords { rsn, what })
}

/// With all outcomes on the tape a step never waits, so one poll drives it to its end.
fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut std::task::Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}
