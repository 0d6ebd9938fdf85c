//! The records of the log: what a delivery, an event and the other kinds consist of. Knows no
//! bytes.

use std::fmt;

use bytes::Bytes;

use crate::id::actor_id::ActorId;
use crate::id::name::Name;
use crate::id::position::{CheckpointNumber, Epoch, Lsn, Rsn, Ssn};
use crate::id::timestamp::Timestamp;

/// One entry of the log with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Positioned {
    /// Where it stands in the log.
    pub lsn: Lsn,
    /// What stands there.
    pub record: Record,
}

/// One entry of the log: a determinant, or a decision that replay must repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record {
    /// An actor took a message in.
    Delivery(Delivery),
    /// An actor met something nondeterministic while it handled a delivery.
    Event(Event),
    /// A checkpoint was written, synced and read back.
    CheckpointMark(CheckpointMark),
    /// The store was opened for writing once more; stands in a frame of its own, of no actor.
    Incarnation(Epoch),
    /// The incarnation has handled all that it found unhandled when it began; stands in a frame of
    /// no actor.
    RecoveryComplete(Epoch),
    /// The actor is about to try this delivery, and perhaps those after it, although the process
    /// may have ended in them before.
    Attempt(Rsn),
    /// The actor leaves out a delivery on which it kept failing.
    Quarantine(Quarantine),
    /// A delivery has left the quarantine: it was delivered anew, or given up.
    Discharge(Rsn),
    /// The frames that stand before were appended once more, all that the actor needs of the log.
    Carried(Carried),
    /// A message that a delivery had sent, and that had left its actor, when the frames were
    /// appended once more.
    Released(Released),
}

/// An actor took a message in, as the `rsn`-th of its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The position in the actor's life.
    pub rsn: Rsn,
    /// Who sent it.
    pub sender: Sender,
    /// Whether the sender waits for the reply.
    pub asked: bool,
    /// The name of the message type.
    pub message: Name,
    /// The encoded message.
    pub payload: Bytes,
    /// The wall clock when the delivery was logged.
    pub clock: Timestamp,
    /// The seed of all randomness of the delivery.
    pub seed: u64,
}

/// The sender of a message, and the number of the message in its channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A sender outside of the store that does not number its messages: relive can't detect
    /// duplicates.
    Outside,
    /// A named producer outside, which numbers what it sends.
    Producer {
        /// Its name.
        name: Name,
        /// The number of the message in the channel.
        ssn: Ssn,
    },
    /// Another actor of the store.
    Actor {
        /// Which.
        id: ActorId,
        /// The number of the message in the channel.
        ssn: Ssn,
    },
    /// A durable timer of the actor that receives the message.
    Timer {
        /// The name that the actor gave it.
        name: Name,
        /// When it was due. It tells apart the firings of one name.
        due: Timestamp,
    },
    /// A sender outside of the store that does not number its messages, but gave this request an
    /// idempotency key: a second request with the same key is the same request.
    Keyed {
        /// The key, of 1 to [`IDEMPOTENCY_KEY_BYTES_MAX`](crate::limits::IDEMPOTENCY_KEY_BYTES_MAX)
        /// bytes.
        key: Name,
    },
}

impl Sender {
    /// Whether the message comes from outside of the store, not from an actor or from a timer of
    /// one. Only such a sender waits for room in a mailbox: an actor that waited for it could wait
    /// for itself.
    #[must_use]
    pub fn is_from_outside(&self) -> bool {
        match self {
            Self::Outside | Self::Producer { .. } | Self::Keyed { .. } => true,
            Self::Actor { .. } | Self::Timer { .. } => false,
        }
    }
}

/// The outcome of a side effect, or of another nondeterministic thing that a handler waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The delivery that was handled.
    pub rsn: Rsn,
    /// The index of the event within its delivery, from 0.
    pub index: u32,
    /// What the handler waited for.
    pub kind: EventKind,
    /// The name that the handler gave it.
    pub name: Name,
    /// The encoded outcome.
    pub outcome: Bytes,
    /// The wall clock of its block. `None` when the event stands in a frame of version 1 or 2,
    /// since the handlers of that time did not see it.
    pub clock: Option<Timestamp>,
}

/// What an event is the outcome of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A side effect.
    SideEffect,
    /// An ask of this actor, with the reply of the receiver: its answer, or that it left the
    /// message out.
    Reply {
        /// Who answered.
        from: ActorId,
        /// The number of the request in the channel to it.
        ssn: Ssn,
    },
    /// An ask that ended without an answer of the receiver, which has failed, or could only have
    /// waited for the asker itself. The runtime of the asker decided it.
    AskFailed,
    /// A sleep that is over.
    Elapsed,
    /// A query of another actor, with its answer.
    Answer,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SideEffect => f.write_str("side effect"),
            Self::Reply { from, ssn } => write!(f, "reply of {from} to {ssn}"),
            Self::AskFailed => f.write_str("failed ask"),
            Self::Elapsed => f.write_str("sleep"),
            Self::Answer => f.write_str("answer to a query"),
        }
    }
}

/// Says that the checkpoint was synced before this record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointMark {
    /// The number of the checkpoint.
    pub number: CheckpointNumber,
    /// The last delivery that it contains.
    pub rsn: Rsn,
}

/// The decision to leave out a delivery: a replay leaves it out too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// The delivery that is left out.
    pub rsn: Rsn,
    /// How often it was tried.
    pub tries: u32,
    /// How it failed the last time; at most
    /// [`QUARANTINE_REASON_BYTES_MAX`](crate::limits::QUARANTINE_REASON_BYTES_MAX) bytes.
    pub reason: String,
}

/// Ends the frames of an actor whose handler waits that were appended to the log once more: the
/// part of the log in which they first stood may be cut from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The delivery whose handler waits.
    pub rsn: Rsn,
    /// An opening had completed its recovery, and had found the deliveries up to here.
    pub settled: Rsn,
}

/// A message that has left its actor while the handler of its delivery waits. The record of the
/// receiver says the same, but that may be cut when the receiver has a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// The delivery that sent it.
    pub rsn: Rsn,
    /// The receiver.
    pub to: ActorId,
    /// The number of the message in the channel to the receiver.
    pub ssn: Ssn,
    /// Whether the handler waits for the reply.
    pub asked: bool,
    /// A hash of the message: its name and its payload.
    pub content: u64,
}

/// A hash of what a delivery asked for. A replay compares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectDigest {
    /// The delivery.
    pub rsn: Rsn,
    /// The hash of its effects.
    pub digest: u64,
}
