//! A message on its way to an actor, before it is logged, with the caller or sender that waits for
//! the outcome.

use std::sync::Arc;

use bytes::Bytes;
use relive_replay::{KeptReply, Quarantined};
use relive_storage::record::{Delivery, Sender};
use relive_storage::{ActorId, Name, Rsn, Ssn};
use tokio::sync::oneshot;

use crate::actor::places::HeldPlaces;
use crate::error::{CheckpointError, QuarantineError, ReceiptError, Refused, Unavailable};
use crate::limits::MAILBOX_PLACE_BYTES;

/// The way back to an asker: what came of the message, or why nothing does.
pub(crate) type ReplyTo = oneshot::Sender<Result<Answer, Unavailable>>;

/// What came of a message that was asked.
#[derive(Clone)]
pub(crate) enum Answer {
    /// The encoded reply.
    Reply(Bytes),
    /// The encoded reply of this size is over the limit of those that are kept.
    TooLarge(usize),
    /// The actor has not taken it in. Boxed, so that each answer stays small.
    Refused(Box<Refused>),
    /// The actor was to leave it out.
    LeftOut(Arc<Quarantined>),
}

impl From<KeptReply> for Answer {
    fn from(kept: KeptReply) -> Self {
        match kept {
            KeptReply::Encoded(reply) => Self::Reply(reply),
            KeptReply::TooLarge { found } => Self::TooLarge(found),
        }
    }
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
        let asked = matches!(waiter, Waiter::Asker(_) | Waiter::AskingActor(_));
        let (rsn, clock, seed) = Default::default();
        Self { delivery: Delivery { rsn, sender, asked, message, payload, clock, seed }, waiter }
    }

    /// The message of a delivery in quarantine, to be tried once more. A request keeps its key, so
    /// that who sends it again gets the reply of the retry.
    pub(crate) fn retry(sender: Sender, message: Name, payload: Bytes) -> Self {
        let (sender, asked) = match sender {
            Sender::Keyed { .. } => (sender, true),
            _ => (Sender::Outside, false),
        };
        let mut envelope = Self::new(sender, message, payload, Waiter::Nobody);
        envelope.delivery.asked = asked;
        envelope
    }

    /// How many places of the bounded mailbox it holds: only what comes from outside holds any.
    pub(crate) fn places(&self) -> u32 {
        let delivery = &self.delivery;
        if delivery.sender.is_from_outside() { places_of(&delivery.payload) } else { 0 }
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
    /// The same, for a request: the reply goes to the actor by its name.
    AskingActor(Arc<dyn OutboxOwner>),
}

/// The sending actor, as its messages know it.
pub(crate) trait OutboxOwner: Send + Sync {
    /// A receiver has logged what the actor sent it, up to `ssn`.
    fn acknowledge(&self, receiver: &ActorId, ssn: Ssn);

    /// An asker has logged the actor's reply, or needs it no more.
    fn acknowledge_reply(&self, asker: &ActorId, ssn: Ssn);
}

impl Waiter {
    /// Tells the waiter why nothing comes.
    pub(crate) fn refuse(self, reason: Unavailable) {
        match self {
            Self::Asker(reply) => drop(reply.send(Err(reason))),
            Self::Producer(receipt) => drop(receipt.send(Err(reason.into()))),
            // An actor that waits sees that its receiver has stopped.
            Self::Nobody | Self::Actor(_) | Self::AskingActor(_) => {}
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
