//! The parts of a checkpoint's body as they are stored, and what they stand for. Whatever comes
//! back is checked as if somebody had made it up: a checksum shows accidents only.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use relive_storage::limits::{PAYLOAD_BYTES_MAX, POSITION_MAX};
use relive_storage::record::Sender;
use relive_storage::{ActorId, Name, Rsn, Ssn, Timestamp, check_idempotency_key, check_name};
use serde::{Deserialize, Serialize};

use crate::payload::CodecError;
use crate::quarantine::Quarantined;
use crate::requests::{HandledRequest, KeptReply};
use crate::timers::{TIMER_BYTES_PER_ACTOR_MAX, TIMER_PERIOD_MIN, TIMERS_PER_ACTOR_MAX, Timer, Timers};
use crate::{Outgoing, OutgoingReply};

#[derive(Serialize, Deserialize)]
pub(crate) struct Body {
    #[serde(with = "crate::binary")]
    pub(crate) state: Vec<u8>,
    pub(crate) from_producers: BTreeMap<String, u64>,
    pub(crate) from_actors: BTreeMap<String, u64>,
    pub(crate) to_actors: BTreeMap<String, u64>,
    pub(crate) outbox: Vec<OwedMessage>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) quarantine: Vec<LeftOut>,
    /// Absent in checkpoints of a time when actors did not ask each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) replies: Vec<OwedReply>,
    /// Requests with idempotency keys that were handled, oldest first. Those in quarantine stand
    /// there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) requests: Vec<KeptRequest>,
    /// By name. Absent in checkpoints of actors without timers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) timers: BTreeMap<String, SetTimer>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct KeptRequest {
    pub(crate) key: String,
    pub(crate) rsn: u64,
    /// The hash of the message.
    pub(crate) content: u64,
    pub(crate) clock: Timestamp,
    #[serde(with = "crate::binary")]
    pub(crate) reply: Vec<u8>,
    /// The size of a reply that is over its limit and not kept; else 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) too_large: u64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct SetTimer {
    pub(crate) due: Timestamp,
    /// The period in microseconds; absent when it fires once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) every: u64,
    /// The actor that gets the message; absent when it is the owner.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) to: String,
    pub(crate) message: String,
    #[serde(with = "crate::binary")]
    pub(crate) payload: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct OwedMessage {
    pub(crate) to: String,
    pub(crate) ssn: u64,
    pub(crate) message: String,
    #[serde(with = "crate::binary")]
    pub(crate) payload: Vec<u8>,
    /// Whether the sender waits for the reply.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) asked: bool,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct OwedReply {
    pub(crate) to: String,
    pub(crate) ssn: u64,
    #[serde(with = "crate::binary")]
    pub(crate) outcome: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct LeftOut {
    pub(crate) rsn: u64,
    /// That of a retry; 0 for one that keeps its own number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) origin: u64,
    pub(crate) sender: SentBy,
    pub(crate) message: String,
    #[serde(with = "crate::binary")]
    pub(crate) payload: Vec<u8>,
    pub(crate) tries: u32,
    pub(crate) reason: String,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum SentBy {
    Outside,
    Producer { name: String, ssn: u64 },
    Actor { id: String, ssn: u64 },
    Timer { name: String, due: Timestamp },
    Keyed { key: String },
}

impl KeptRequest {
    pub(crate) fn of(request: HandledRequest) -> Self {
        let HandledRequest { key, rsn, content, clock, reply } = request;
        let (reply, too_large) = match reply {
            KeptReply::Encoded(reply) => (reply.to_vec(), 0),
            KeptReply::TooLarge { found } => (Vec::new(), found as u64),
        };
        Self { key: key.to_string(), rsn: rsn.get(), content, clock, reply, too_large }
    }

    /// The request, when it is one that could have been handled by an actor that has come as far as
    /// `handled`.
    pub(crate) fn handled(self, handled: Rsn) -> Result<HandledRequest, CodecError> {
        let Self { key, rsn, content, clock, reply, too_large } = self;
        check_idempotency_key(&key).map_err(|error| CodecError(error.to_string()))?;
        let (bytes, limit) = (reply.len(), PAYLOAD_BYTES_MAX);
        let is_kept = too_large == 0 && bytes <= limit || too_large > limit as u64 && bytes == 0;
        if rsn == 0 || rsn > handled.get() || !is_kept {
            return Err(CodecError(format!(
                "a request {rsn} is kept at {handled} with a reply of {bytes} bytes, or of {too_large}"
            )));
        }
        let reply = match usize::try_from(too_large) {
            Ok(0) => KeptReply::Encoded(Bytes::from(reply)),
            found => KeptReply::TooLarge { found: found.unwrap_or(usize::MAX) },
        };
        Ok(HandledRequest { key: key.into(), rsn: Rsn::new(rsn), content, clock, reply })
    }
}

impl OwedReply {
    pub(crate) fn of(reply: &OutgoingReply) -> Self {
        Self { to: reply.to.to_string(), ssn: reply.ssn.get(), outcome: reply.outcome.to_vec() }
    }

    /// The reply, when it is one that its asker could log.
    pub(crate) fn outgoing(self) -> Result<OutgoingReply, CodecError> {
        if self.ssn == 0 || self.outcome.len() > PAYLOAD_BYTES_MAX {
            let (bytes, ssn) = (self.outcome.len(), self.ssn);
            return Err(CodecError(format!("a reply of {bytes} bytes is owed to a message {ssn}")));
        }
        let (to, ssn) = (parse(&self.to)?, number(self.ssn)?);
        Ok(OutgoingReply { to, ssn, outcome: Bytes::from(self.outcome) })
    }
}

impl SetTimer {
    pub(crate) fn of(timer: &Timer) -> Self {
        let Timer { due, every, to, message, payload } = timer;
        Self {
            due: *due,
            every: every.map_or(0, |every| u64::try_from(every.as_micros()).unwrap_or(u64::MAX)),
            to: to.as_ref().map(ToString::to_string).unwrap_or_default(),
            message: message.to_string(),
            payload: payload.to_vec(),
        }
    }

    /// The timer, when it is one that a handler could have set.
    pub(crate) fn timer(self) -> Result<Timer, CodecError> {
        check_name("message type", &self.message).map_err(|error| CodecError(error.to_string()))?;
        let every = (self.every > 0).then(|| Duration::from_micros(self.every));
        if self.payload.len() > PAYLOAD_BYTES_MAX || every.is_some_and(|every| every < TIMER_PERIOD_MIN) {
            let bytes = self.payload.len();
            return Err(CodecError(format!("a timer of {bytes} bytes is due every {every:?}")));
        }
        let to = if self.to.is_empty() { None } else { Some(parse(&self.to)?) };
        let (message, payload) = (self.message.into(), Bytes::from(self.payload));
        Ok(Timer { due: self.due, every, to, message, payload })
    }
}

pub(crate) fn timers(set: BTreeMap<String, SetTimer>) -> Result<Timers, CodecError> {
    let (count, bytes) = (set.len(), set.values().map(|timer| timer.payload.len()).sum::<usize>());
    if count > TIMERS_PER_ACTOR_MAX || bytes > TIMER_BYTES_PER_ACTOR_MAX {
        return Err(CodecError(format!("it has {count} timers with {bytes} bytes of messages")));
    }
    let named = set.into_iter().map(|(name, timer)| {
        check_name("timer name", &name).map_err(|error| CodecError(error.to_string()))?;
        Ok((Name::from(name), timer.timer()?))
    });
    Ok(Timers::new(named.collect::<Result<_, CodecError>>()?))
}

pub(crate) fn owed(outgoing: &Outgoing) -> OwedMessage {
    OwedMessage {
        to: outgoing.to.to_string(),
        ssn: outgoing.ssn.get(),
        message: outgoing.message.to_string(),
        payload: outgoing.payload.to_vec(),
        asked: outgoing.asked,
    }
}

impl OwedMessage {
    /// The message, when it is one that could be logged by its receiver and read again.
    pub(crate) fn outgoing(self) -> Result<Outgoing, CodecError> {
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
            asked: self.asked,
        })
    }
}

impl LeftOut {
    pub(crate) fn of(entry: &Quarantined) -> Self {
        let sender = match &entry.sender {
            Sender::Outside => SentBy::Outside,
            Sender::Producer { name, ssn } => SentBy::Producer { name: name.to_string(), ssn: ssn.get() },
            Sender::Actor { id, ssn } => SentBy::Actor { id: id.to_string(), ssn: ssn.get() },
            Sender::Timer { name, due } => SentBy::Timer { name: name.to_string(), due: *due },
            Sender::Keyed { key } => SentBy::Keyed { key: key.to_string() },
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
    pub(crate) fn quarantined(self, actor: &ActorId, handled: Rsn) -> Result<Quarantined, CodecError> {
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
            SentBy::Timer { name, due } => {
                check_name("timer name", &name).map_err(|error| CodecError(error.to_string()))?;
                Sender::Timer { name: name.into(), due }
            }
            SentBy::Keyed { key } => {
                check_idempotency_key(&key).map_err(|error| CodecError(error.to_string()))?;
                Sender::Keyed { key: key.into() }
            }
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
pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
pub(crate) fn is_false(asked: &bool) -> bool {
    !asked
}

pub(crate) fn numbers(table: &BTreeMap<ActorId, Ssn>) -> BTreeMap<String, u64> {
    table.iter().map(|(id, ssn)| (id.to_string(), ssn.get())).collect()
}

pub(crate) fn positions(table: &BTreeMap<String, u64>) -> Result<BTreeMap<ActorId, Ssn>, CodecError> {
    table.iter().map(|(id, ssn)| Ok((parse(id)?, number(*ssn)?))).collect()
}

/// The number of a message, when counting on from it can't run out of its range.
pub(crate) fn number(ssn: u64) -> Result<Ssn, CodecError> {
    if ssn > POSITION_MAX {
        return Err(CodecError(format!("the message number {ssn} is out of range")));
    }
    Ok(Ssn::new(ssn))
}

pub(crate) fn parse(id: &str) -> Result<ActorId, CodecError> {
    ActorId::parse(id).map_err(|error| CodecError(error.to_string()))
}
