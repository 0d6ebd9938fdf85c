//! A message on its way to an actor, before it is logged, with the caller or sender that waits for
//! the outcome.

use std::sync::Arc;

use bytes::Bytes;
use relive_replay::Quarantined;
use relive_storage::record::{Delivery, Sender};
use relive_storage::{ActorId, Name, Rsn, Ssn};
use tokio::sync::oneshot;

use crate::actor::places::HeldPlaces;
use crate::error::{CheckpointError, QuarantineError, ReceiptError, Unavailable};
use crate::limits::MAILBOX_PLACE_BYTES;

/// The way back to an asker: what came of the message, or why nothing does.
pub(crate) type ReplyTo = oneshot::Sender<Result<Answer, Unavailable>>;

/// What came of a message that was asked.
pub(crate) enum Answer {
    /// The encoded reply.
    Reply(Bytes),
    /// The actor was to leave it out.
    LeftOut(Arc<Quarantined>),
}

/// The way back to a producer.
pub(crate) type ReceiptTo = oneshot::Sender<Result<Receipted, ReceiptError>>;

/// What a receiver did with a producer's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Receipted {
    /// The message is new and on stable storage, as this delivery of its receiver.
    Logged(Rsn),
    /// The receiver has dropped the message, because it has it on stable storage from before.
    Duplicate,
}

/// A message on its way to an actor, and through it.
pub(crate) struct Envelope {
    /// The intake sets its position, the append to the log its clock and seed.
    pub(crate) delivery: Delivery,
    pub(crate) waiter: Waiter,
}

impl Envelope {
    pub(crate) fn new(sender: Sender, message: Name, payload: Bytes, waiter: Waiter) -> Self {
        let asked = matches!(waiter, Waiter::Asker(_));
        let (rsn, clock, seed) = Default::default();
        Self { delivery: Delivery { rsn, sender, asked, message, payload, clock, seed }, waiter }
    }

    /// How many places of the bounded mailbox it holds: only what comes from outside holds any.
    pub(crate) fn places(&self) -> u32 {
        if matches!(self.delivery.sender, Sender::Actor { .. }) {
            0
        } else {
            places_of(&self.delivery.payload)
        }
    }

    /// Whether an asker waits for the reply.
    pub(crate) fn has_asker(&self) -> bool {
        matches!(self.waiter, Waiter::Asker(_))
    }

    /// Takes the asker that waits for the reply.
    pub(crate) fn take_asker(&mut self) -> Option<ReplyTo> {
        match std::mem::replace(&mut self.waiter, Waiter::Nobody) {
            Waiter::Asker(asker) => Some(asker),
            other => {
                self.waiter = other;
                None
            }
        }
    }
}

impl From<Delivery> for Envelope {
    /// A delivery out of the log: its asker is gone.
    fn from(delivery: Delivery) -> Self {
        Self { delivery, waiter: Waiter::Nobody }
    }
}

/// How many places of a mailbox a message from outside takes.
pub(crate) fn places_of(payload: &[u8]) -> u32 {
    places_of_bytes(payload.len())
}

/// The same for a payload of so many bytes.
pub(crate) fn places_of_bytes(bytes: usize) -> u32 {
    u32::try_from(1 + bytes / MAILBOX_PLACE_BYTES).unwrap_or(u32::MAX)
}

/// Who waits for the outcome of a message.
pub(crate) enum Waiter {
    /// A tell: nobody.
    Nobody,
    /// An asker, for the reply.
    Asker(ReplyTo),
    /// A producer, for the receipt.
    Producer(ReceiptTo),
    /// The sending actor, which keeps the message until it is logged.
    Actor(Arc<dyn OutboxOwner>),
}

/// The sending actor, as its messages know it.
pub(crate) trait OutboxOwner: Send + Sync {
    /// A receiver has logged what the actor sent it, up to `ssn`.
    fn acknowledge(&self, receiver: &ActorId, ssn: Ssn);
}

impl Waiter {
    /// Tells the waiter why nothing comes.
    pub(crate) fn refuse(self, reason: Unavailable) {
        match self {
            Self::Asker(reply) => drop(reply.send(Err(reason))),
            Self::Producer(receipt) => drop(receipt.send(Err(reason.into()))),
            Self::Nobody | Self::Actor(_) => {}
        }
    }
}

/// A caller wants a delivery out of quarantine.
pub(crate) struct DischargeRequest {
    pub(crate) rsn: Rsn,
    /// The places of the mailbox that it holds when the caller wants it delivered again; `None`
    /// when the caller gives it up.
    pub(crate) anew: Option<HeldPlaces>,
    /// Learns the new delivery, or the one given up, when the decision is on stable storage.
    pub(crate) done: oneshot::Sender<Result<Rsn, QuarantineError>>,
}

/// A request for a checkpoint of an actor; its waiters learn when the checkpoint is on stable
/// storage.
#[derive(Default)]
pub(crate) struct CheckpointRequest {
    pub(crate) waiters: Vec<oneshot::Sender<Result<Rsn, CheckpointError>>>,
}

impl CheckpointRequest {
    /// Tells every waiter how it ended.
    pub(crate) fn tell(self, outcome: &Result<Rsn, CheckpointError>) {
        for waiter in self.waiters {
            let _ = waiter.send(outcome.clone());
        }
    }
}
