//! An instance as the body of a checkpoint, and back: the state, the channels, the timers, and the
//! unacknowledged messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use relive_storage::record::Sender;
use relive_storage::{ActorId, Checkpoint, CheckpointHeader, CheckpointNumber, Name, Rsn, Ssn, StoreId};

use crate::checkpoint_parts::{
    Body, KeptRequest, LeftOut, OwedMessage, OwedReply, SetTimer, number, numbers, owed, positions, timers,
};
use crate::guard::guarded;
use crate::inbound::Inbound;
use crate::instance::Process;
use crate::outbound::Outbound;
use crate::payload::{CodecError, Expected, decode, encode_in_pieces};
use crate::quarantine::{Quarantined, Quarantines};
use crate::requests::Requests;
use crate::{Instance, Kind, Outgoing, OutgoingReply, Owed};

/// Makes a checkpoint of an instance between two deliveries, with its unacknowledged messages.
/// Calls `pause` after each piece of a large state. The checkpoint counts only after [`verify`] has
/// read it back, with the [`Expected`] from here.
///
/// # Errors
/// [`CodecError`] when the state does not encode, or its code panics.
///
/// # Panics
/// When the instance has admitted a delivery and not handled it: a restore from the checkpoint
/// would take that delivery for a duplicate.
pub fn capture(
    instance: &Instance,
    owed_by_it: &Owed,
    number: CheckpointNumber,
    pause: &dyn Fn(),
) -> Result<(Checkpoint, Expected), CodecError> {
    let Instance { process, inbound } = instance;
    let (id, handled) = (&process.id, process.handled);
    assert_eq!(handled, inbound.received, "a checkpoint of {id} between two deliveries");
    assert!(process.origins.is_empty(), "a checkpoint of {id} has no place for retries ahead");
    let last_left_out = process.quarantine.last_key_value().map_or(Rsn::NONE, |(rsn, _)| *rsn);
    assert!(last_left_out <= handled, "{id} left {last_left_out} out before its turn");
    let unsent = misplaced(&owed_by_it.messages, process.outbound.numbers());
    assert!(unsent.is_none(), "{id} owes what it did not send last: {unsent:?}");
    let unasked = unasked(&owed_by_it.replies, &inbound.from_actors);
    assert!(unasked.is_none(), "{id} owes a reply to what it did not receive: {unasked:?}");
    // The state's `Serialize` is users' code.
    let encoded = guarded(|| process.state.encode(pause)).unwrap_or_else(|panic| Err(CodecError(panic)));
    let (state, expected) = encoded?;
    let body = Body {
        state,
        from_producers: inbound
            .from_producers
            .iter()
            .map(|(name, ssn)| (name.to_string(), ssn.get()))
            .collect(),
        from_actors: numbers(&inbound.from_actors),
        to_actors: numbers(process.outbound.numbers()),
        outbox: owed_by_it.messages.iter().map(owed).collect(),
        quarantine: instance.quarantined().map(LeftOut::of).collect(),
        replies: owed_by_it.replies.iter().map(OwedReply::of).collect(),
        requests: handled_requests(inbound),
        timers: process.timers.iter().map(|(name, timer)| (name.to_string(), SetTimer::of(timer))).collect(),
    };
    let header = CheckpointHeader {
        actor: id.clone(),
        number,
        rsn: handled,
        state_version: process.kind.version(),
        restore_at_open: !owed_by_it.is_empty() || !body.quarantine.is_empty(),
        wake_at: process.timers.next(),
    };
    Ok((Checkpoint { header, body: encode_in_pieces(&body, pause)?.into() }, expected))
}

/// Makes an instance of a checkpoint, and returns what it owes.
///
/// # Errors
/// [`CodecError`] when the body or the state does not decode, or the state's code panics.
pub fn revive(
    kind: &Arc<dyn Kind>,
    checkpoint: &Checkpoint,
    store: StoreId,
) -> Result<(Instance, Owed), CodecError> {
    let body: Body = decode(&checkpoint.body)?;
    // Everything is checked as if somebody had made it up: a checksum shows accidents only.
    let outbound = Outbound::from(positions(&body.to_actors)?);
    let messages = body.outbox.into_iter().map(OwedMessage::outgoing).collect::<Result<Vec<_>, _>>()?;
    // An outbox counts on with the actor's next message, so it must end where the channel does.
    if let Some(Outgoing { to, ssn, .. }) = misplaced(&messages, outbound.numbers()) {
        return Err(CodecError(format!(
            "the message {ssn} that is owed to {to} is out of its channel's order"
        )));
    }
    let rsn: Rsn = checkpoint.header.rsn;
    let actor = &checkpoint.header.actor;
    let quarantine = body.quarantine.into_iter().map(|left_out| left_out.quarantined(actor, rsn));
    let quarantine = quarantine.map(|entry| entry.map(|entry| (entry.rsn, entry)));
    let quarantine = quarantine.collect::<Result<Quarantines, _>>()?;
    let requests = requests(body.requests, &quarantine, rsn)?;
    let from_producers = body
        .from_producers
        .iter()
        .map(|(n, ssn)| Ok((Name::from(n.as_str()), number(*ssn)?)))
        .collect::<Result<_, CodecError>>()?;
    let from_actors = positions(&body.from_actors)?;
    let inbound = Inbound { received: rsn, from_producers, from_actors, requests };
    let replies = body.replies.into_iter().map(OwedReply::outgoing).collect::<Result<Vec<_>, _>>()?;
    if let Some(OutgoingReply { to, ssn, .. }) = unasked(&replies, &inbound.from_actors) {
        return Err(CodecError(format!("a reply to the message {ssn} of {to} is owed, which has not come")));
    }
    let timers = timers(body.timers)?;
    // The header wakes a passive actor, so one that says less would keep it asleep.
    if checkpoint.header.wake_at != timers.next() {
        let (found, next) = (checkpoint.header.wake_at, timers.next());
        return Err(CodecError(format!("its first timer is due at {next:?}, its header says {found:?}")));
    }
    let process = Process {
        id: checkpoint.header.actor.clone(),
        store,
        kind: Arc::clone(kind),
        state: guarded(|| kind.restore(&body.state)).unwrap_or_else(|panic| Err(CodecError(panic)))?,
        handled: rsn,
        outbound,
        timers,
        quarantine,
        origins: BTreeMap::new(),
    };
    Ok((Instance { process, inbound }, Owed { messages, replies }))
}

/// The last message that the actor of a checkpoint had sent to each receiver. Runs no code of the
/// actor's.
///
/// # Errors
/// [`CodecError`] when the body does not decode.
pub fn sent(checkpoint: &Checkpoint) -> Result<BTreeMap<ActorId, Ssn>, CodecError> {
    let body: Body = decode(&checkpoint.body)?;
    positions(&body.to_actors)
}

/// Reads a checkpoint that was just captured, as [`revive`] would.
///
/// # Errors
/// [`CodecError`] when the state does not decode, its code panics, or it comes back as another
/// value.
pub fn verify(kind: &Arc<dyn Kind>, checkpoint: &Checkpoint, expected: &Expected) -> Result<(), CodecError> {
    let body: Body = decode(&checkpoint.body)?;
    guarded(|| kind.verify(&body.state, expected)).unwrap_or_else(|panic| Err(CodecError(panic)))
}

/// The first message of an outbox that is out of order. What an actor owes to a receiver is what it
/// has sent there last, without a gap, since receivers acknowledge in order.
fn misplaced<'o>(outbox: &'o [Outgoing], sent: &BTreeMap<ActorId, Ssn>) -> Option<&'o Outgoing> {
    let mut owed = BTreeMap::<&ActorId, u64>::new();
    outbox.iter().for_each(|outgoing| *owed.entry(&outgoing.to).or_default() += 1);
    outbox.iter().find(|outgoing| {
        let last = sent.get(&outgoing.to).copied().unwrap_or(Ssn::NONE);
        let behind = owed.get_mut(&outgoing.to).map_or(0, |left| {
            *left -= 1;
            *left
        });
        outgoing.ssn.checked_plus(behind) != Some(last)
    })
}

/// The first reply to a message that has not come.
fn unasked<'o>(replies: &'o [OutgoingReply], received: &BTreeMap<ActorId, Ssn>) -> Option<&'o OutgoingReply> {
    replies.iter().find(|reply| received.get(&reply.to).is_none_or(|last| *last < reply.ssn))
}

fn handled_requests(inbound: &Inbound) -> Vec<KeptRequest> {
    let requests = inbound.requests.as_ref();
    requests.map_or_else(Vec::new, |requests| requests.all_handled().map(KeptRequest::of).collect())
}

/// The requests with idempotency keys of an actor that has come as far as `handled`.
fn requests(
    kept: Vec<KeptRequest>,
    quarantine: &Quarantines,
    handled: Rsn,
) -> Result<Option<Box<Requests>>, CodecError> {
    let mut requests = Box::<Requests>::default();
    for kept in kept {
        let kept = kept.handled(handled)?;
        let (key, rsn) = (kept.key.clone(), kept.rsn);
        if !requests.revive(kept) {
            return Err(CodecError(format!("the request {key:?} at {rsn} is kept twice")));
        }
    }
    for Quarantined { rsn, sender, message, payload, .. } in quarantine.values() {
        if let Sender::Keyed { key } = sender {
            requests.revive_left_out(key, *rsn, message, payload);
        }
    }
    Ok((!requests.is_empty()).then_some(requests))
}

#[cfg(test)]
#[path = "checkpoint_body_tests.rs"]
mod tests;
