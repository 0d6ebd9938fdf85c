//! A message on its way to an actor, before it is logged, with whoever waits for what becomes of it.

use std::sync::Arc;

use bytes::Bytes;
use relive_storage::record::{Delivery, Sender};
use relive_storage::{ActorId, Name, Rsn, Ssn};
use tokio::sync::oneshot;

use crate::error::Refused;
use crate::limits::MAILBOX_PLACE_BYTES;

/// The way back to an asker: the encoded reply, or why there is none.
pub(crate) type ReplyTo = oneshot::Sender<Result<Bytes, Refused>>;

/// The way back to a producer.
pub(crate) type ReceiptTo = oneshot::Sender<Result<Receipted, Refused>>;

/// What became of a producer's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Receipted {
    /// It is on stable storage, as this delivery of its receiver.
    Logged(Rsn),
    /// It had been received before, was dropped, and is on stable storage since then.
    Duplicate,
}

/// A message on its way to an actor, and through it.
pub(crate) struct Envelope {
    /// Its position is given when it is taken in, its clock and seed when it is appended to the log.
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

    /// Whether somebody waits for the reply.
    pub(crate) fn has_asker(&self) -> bool {
        matches!(self.waiter, Waiter::Asker(_))
    }

    /// Who waits for the reply; from then on nobody does.
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
    /// A delivery out of the log, for which nobody waits any more.
    fn from(delivery: Delivery) -> Self {
        Self { delivery, waiter: Waiter::Nobody }
    }
}

/// How many places of a mailbox a message from outside takes.
pub(crate) fn places_of(payload: &[u8]) -> u32 {
    u32::try_from(1 + payload.len() / MAILBOX_PLACE_BYTES).unwrap_or(u32::MAX)
}

/// Who waits for what becomes of a message.
pub(crate) enum Waiter {
    /// Nobody by name: a tell.
    Nobody,
    /// An asker, for the reply.
    Asker(ReplyTo),
    /// A producer, for the receipt.
    Producer(ReceiptTo),
    /// The sending actor, which owes the message until it is logged.
    Actor(Arc<dyn Debtor>),
}

/// The sending actor, as its messages know it.
pub(crate) trait Debtor: Send + Sync {
    /// A receiver has logged what the actor sent it, up to `ssn`.
    fn settle(&self, receiver: &ActorId, ssn: Ssn);
}

impl Waiter {
    /// Tells whoever waits that nothing comes.
    pub(crate) fn refuse(self, reason: Refused) {
        match self {
            Self::Asker(reply) => drop(reply.send(Err(reason))),
            Self::Producer(receipt) => drop(receipt.send(Err(reason))),
            Self::Nobody | Self::Actor(_) => {}
        }
    }
}

/// Somebody wants a delivery out of quarantine.
pub(crate) struct DischargeRequest {
    pub(crate) rsn: Rsn,
    /// The places of the mailbox that it holds when it is to be delivered anew; `None` when it is given up.
    pub(crate) anew: Option<u32>,
    /// Told of the new delivery, or of the one given up, when the decision is stable.
    pub(crate) done: oneshot::Sender<Result<Rsn, Refused>>,
}

/// Somebody wants a checkpoint of an actor; those who wait for it are told when it is stable.
#[derive(Default)]
pub(crate) struct CheckpointRequest {
    pub(crate) waiters: Vec<oneshot::Sender<Result<Rsn, Refused>>>,
}

impl CheckpointRequest {
    /// Tells everybody who waits how it ended.
    pub(crate) fn tell(self, outcome: &Result<Rsn, Refused>) {
        for waiter in self.waiters {
            let _ = waiter.send(outcome.clone());
        }
    }
}
