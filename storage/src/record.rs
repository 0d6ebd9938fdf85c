//! The records of the log: what a delivery, an event and the other kinds consist of. Knows no bytes.

use bytes::Bytes;

use crate::position::{CheckpointNumber, Epoch, Rsn, Ssn, Timestamp};
use crate::{ActorId, Lsn, Name};

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
    /// The incarnation has handled all that it found unhandled when it began; stands in a frame of no actor.
    Settled(Epoch),
    /// The actor is about to try this delivery, and perhaps those after it, although the process may have ended in them
    /// before.
    Attempt(Rsn),
    /// The actor was to leave out a delivery on which it kept failing.
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
    /// What all randomness of the delivery is drawn from.
    pub seed: u64,
}

/// Who sent a message, and as which of its channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Somebody outside who does not number messages: nothing is known of duplicates.
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
    /// The how-manieth event of that delivery, from 0.
    pub index: u32,
    /// The name that the handler gave it.
    pub name: Name,
    /// The encoded outcome.
    pub outcome: Bytes,
}

/// Says that the checkpoint was stable before this record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointMark {
    /// Which checkpoint.
    pub number: CheckpointNumber,
    /// The last delivery that it contains.
    pub rsn: Rsn,
}

/// The decision to leave out a delivery: whoever replays leaves it out too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// The delivery that is left out.
    pub rsn: Rsn,
    /// How often it was tried.
    pub tries: u32,
    /// How it failed the last time; at most [`QUARANTINE_REASON_BYTES_MAX`](crate::limits::QUARANTINE_REASON_BYTES_MAX)
    /// bytes.
    pub reason: String,
}

/// What a delivery asked for, as a hash: compared on replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectDigest {
    /// The delivery.
    pub rsn: Rsn,
    /// The hash of its effects.
    pub digest: u64,
}
