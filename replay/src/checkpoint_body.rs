//! An instance as the body of a checkpoint, and back: the state, the channels, and the
//! unacknowledged messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use relive_storage::limits::{PAYLOAD_BYTES_MAX, POSITION_MAX};
use relive_storage::record::Sender;
use relive_storage::{
    ActorId, Checkpoint, CheckpointHeader, CheckpointNumber, Name, Rsn, Ssn, StoreId, check_name,
};
use serde::{Deserialize, Serialize};

use crate::channels::Channels;
use crate::guard::guarded;
use crate::payload::{CodecError, Expected, decode, encode_in_pieces};
use crate::quarantine::Quarantined;
use crate::{Instance, Kind, Outgoing};

#[derive(Serialize, Deserialize)]
struct Body {
    #[serde(with = "bytes_as_binary")]
    state: Vec<u8>,
    from_producers: BTreeMap<String, u64>,
    from_actors: BTreeMap<String, u64>,
    to_actors: BTreeMap<String, u64>,
    outbox: Vec<OwedMessage>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    quarantine: Vec<LeftOut>,
}

#[derive(Serialize, Deserialize)]
struct OwedMessage {
    to: String,
    ssn: u64,
    message: String,
    #[serde(with = "bytes_as_binary")]
    payload: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct LeftOut {
    rsn: u64,
    /// That of a retry; 0 for one that keeps its own number.
    #[serde(default, skip_serializing_if = "is_zero")]
    origin: u64,
    sender: SentBy,
    message: String,
    #[serde(with = "bytes_as_binary")]
    payload: Vec<u8>,
    tries: u32,
    reason: String,
}

#[derive(Serialize, Deserialize)]
enum SentBy {
    Outside,
    Producer { name: String, ssn: u64 },
    Actor { id: String, ssn: u64 },
}

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
    outbox: &[Outgoing],
    number: CheckpointNumber,
    pause: &dyn Fn(),
) -> Result<(Checkpoint, Expected), CodecError> {
    let Instance { id, channels, .. } = instance;
    assert_eq!(instance.handled, instance.received, "a checkpoint of {id} between two deliveries");
    assert!(instance.origins.is_empty(), "a checkpoint of {id} has no place for retries ahead");
    let last_left_out = instance.quarantine.last_key_value().map_or(Rsn::NONE, |(rsn, _)| *rsn);
    assert!(last_left_out <= instance.handled, "{id} left {last_left_out} out before its turn");
    let unsent = misplaced(outbox, &channels.to_actors);
    assert!(unsent.is_none(), "{id} owes what it did not send last: {unsent:?}");
    // The state's `Serialize` is users' code.
    let encoded = guarded(|| instance.state.encode(pause)).unwrap_or_else(|panic| Err(CodecError(panic)));
    let (state, expected) = encoded?;
    let body = Body {
        state,
        from_producers: channels
            .from_producers
            .iter()
            .map(|(name, ssn)| (name.to_string(), ssn.get()))
            .collect(),
        from_actors: numbers(&channels.from_actors),
        to_actors: numbers(&channels.to_actors),
        outbox: outbox.iter().map(owed).collect(),
        quarantine: instance.quarantined().map(LeftOut::of).collect(),
    };
    let header = CheckpointHeader {
        actor: instance.id.clone(),
        number,
        rsn: instance.handled,
        state_version: instance.kind.version(),
        restore_at_open: !outbox.is_empty() || !body.quarantine.is_empty(),
    };
    Ok((Checkpoint { header, body: encode_in_pieces(&body, pause)?.into() }, expected))
}

/// Makes an instance of a checkpoint, and returns its unacknowledged messages.
///
/// # Errors
/// [`CodecError`] when the body or the state does not decode, or the state's code panics.
pub fn revive(
    kind: &Arc<dyn Kind>,
    checkpoint: &Checkpoint,
    store: StoreId,
) -> Result<(Instance, Vec<Outgoing>), CodecError> {
    let body: Body = decode(&checkpoint.body)?;
    // Everything is checked as if somebody had made it up: a checksum shows accidents only.
    let channels = Channels {
        from_producers: body
            .from_producers
            .iter()
            .map(|(n, ssn)| Ok((Name::from(n.as_str()), number(*ssn)?)))
            .collect::<Result<_, CodecError>>()?,
        from_actors: positions(&body.from_actors)?,
        to_actors: positions(&body.to_actors)?,
    };
    let outbox = body.outbox.into_iter().map(OwedMessage::outgoing).collect::<Result<Vec<_>, _>>()?;
    // An outbox counts on with the actor's next message, so it must end where the channel does.
    if let Some(Outgoing { to, ssn, .. }) = misplaced(&outbox, &channels.to_actors) {
        return Err(CodecError(format!(
            "the message {ssn} that is owed to {to} is out of its channel's order"
        )));
    }
    let rsn: Rsn = checkpoint.header.rsn;
    let actor = &checkpoint.header.actor;
    let quarantine = body.quarantine.into_iter().map(|left_out| left_out.quarantined(actor, rsn));
    let quarantine = quarantine.map(|entry| entry.map(|entry| (entry.rsn, entry)));
    let instance = Instance {
        id: checkpoint.header.actor.clone(),
        store,
        kind: Arc::clone(kind),
        state: guarded(|| kind.restore(&body.state)).unwrap_or_else(|panic| Err(CodecError(panic)))?,
        handled: rsn,
        received: rsn,
        channels,
        quarantine: quarantine.collect::<Result<_, _>>()?,
        origins: BTreeMap::new(),
    };
    Ok((instance, outbox))
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

fn owed(outgoing: &Outgoing) -> OwedMessage {
    OwedMessage {
        to: outgoing.to.to_string(),
        ssn: outgoing.ssn.get(),
        message: outgoing.message.to_string(),
        payload: outgoing.payload.to_vec(),
    }
}

impl OwedMessage {
    /// The message, when it is one that could be logged by its receiver and read again.
    fn outgoing(self) -> Result<Outgoing, CodecError> {
        check_name("message type", &self.message).map_err(|error| CodecError(error.to_string()))?;
        if self.ssn == 0 || self.payload.len() > PAYLOAD_BYTES_MAX {
            let (bytes, ssn) = (self.payload.len(), self.ssn);
            return Err(CodecError(format!(
                "a message of {bytes} bytes is owed as number {ssn} of its channel"
            )));
        }
        Ok(Outgoing {
            to: parse(&self.to)?,
            ssn: number(self.ssn)?,
            message: self.message.into(),
            payload: Bytes::from(self.payload),
        })
    }
}

impl LeftOut {
    fn of(entry: &Quarantined) -> Self {
        let sender = match &entry.sender {
            Sender::Outside => SentBy::Outside,
            Sender::Producer { name, ssn } => SentBy::Producer { name: name.to_string(), ssn: ssn.get() },
            Sender::Actor { id, ssn } => SentBy::Actor { id: id.to_string(), ssn: ssn.get() },
        };
        Self {
            rsn: entry.rsn.get(),
            origin: if entry.origin == entry.rsn { 0 } else { entry.origin.get() },
            sender,
            message: entry.message.to_string(),
            payload: entry.payload.to_vec(),
            tries: entry.tries,
            reason: entry.reason.clone(),
        }
    }

    /// The delivery, when it is one that could have been logged by an actor that has come as far as
    /// `handled`.
    fn quarantined(self, actor: &ActorId, handled: Rsn) -> Result<Quarantined, CodecError> {
        check_name("message type", &self.message).map_err(|error| CodecError(error.to_string()))?;
        let origin = if self.origin == 0 { self.rsn } else { self.origin };
        if self.rsn == 0
            || self.rsn > handled.get()
            || origin > self.rsn
            || self.payload.len() > PAYLOAD_BYTES_MAX
        {
            let (bytes, rsn) = (self.payload.len(), self.rsn);
            return Err(CodecError(format!(
                "a delivery {rsn} of {bytes} bytes is in quarantine at {handled}"
            )));
        }
        let sender = match self.sender {
            SentBy::Outside => Sender::Outside,
            SentBy::Producer { name, ssn } => {
                check_name("producer name", &name).map_err(|error| CodecError(error.to_string()))?;
                Sender::Producer { name: name.into(), ssn: number(ssn)? }
            }
            SentBy::Actor { id, ssn } => Sender::Actor { id: parse(&id)?, ssn: number(ssn)? },
        };
        Ok(Quarantined {
            actor: actor.clone(),
            rsn: Rsn::new(self.rsn),
            origin: Rsn::new(origin),
            sender,
            message: self.message.into(),
            payload: Bytes::from(self.payload),
            tries: self.tries,
            reason: self.reason,
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn numbers(table: &BTreeMap<ActorId, Ssn>) -> BTreeMap<String, u64> {
    table.iter().map(|(id, ssn)| (id.to_string(), ssn.get())).collect()
}

fn positions(table: &BTreeMap<String, u64>) -> Result<BTreeMap<ActorId, Ssn>, CodecError> {
    table.iter().map(|(id, ssn)| Ok((parse(id)?, number(*ssn)?))).collect()
}

/// The number of a message, when counting on from it can't run out of its range.
fn number(ssn: u64) -> Result<Ssn, CodecError> {
    if ssn > POSITION_MAX {
        return Err(CodecError(format!("the message number {ssn} is out of range")));
    }
    Ok(Ssn::new(ssn))
}

fn parse(id: &str) -> Result<ActorId, CodecError> {
    ActorId::parse(id).map_err(|error| CodecError(error.to_string()))
}

/// Bytes as MessagePack's binary type, not as an array of numbers.
mod bytes_as_binary {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Binary;
        impl Visitor<'_> for Binary {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("binary data")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        deserializer.deserialize_bytes(Binary)
    }
}

#[cfg(test)]
#[path = "checkpoint_body_tests.rs"]
mod tests;
