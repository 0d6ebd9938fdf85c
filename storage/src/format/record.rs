//! The records of the log: what a delivery, an event and the other kinds consist of. Knows no
//! bytes.

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
}

/// The outcome of a side effect, or of another nondeterministic thing that a handler waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The delivery that was handled.
    pub rsn: Rsn,
    /// The index of the event within its delivery, from 0.
    pub index: u32,
    /// The name that the handler gave it.
    pub name: Name,
    /// The encoded outcome.
    pub outcome: Bytes,
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

/// A hash of what a delivery asked for. A replay compares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectDigest {
    /// The delivery.
    pub rsn: Rsn,
    /// The hash of its effects.
    pub digest: u64,
}
