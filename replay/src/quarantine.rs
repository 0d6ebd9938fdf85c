//! Deliveries that an actor left out, because it kept failing on them. They are part of an
//! instance, so that the owner can inspect, retry or drop each one later.

use std::collections::BTreeMap;

use bytes::Bytes;
use relive_storage::record::{Delivery, Quarantine, Sender};
use relive_storage::{ActorId, Name, Rsn};

/// A delivery that an actor left out. It has not changed the state, and nothing has left the actor.
/// A side effect that the handler had begun may have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quarantined {
    /// The actor that left it out.
    pub actor: ActorId,
    /// The position of the delivery.
    pub rsn: Rsn,
    /// The delivery whose idempotency keys its side effects use: itself, or the original delivery
    /// when this one is a retry.
    pub origin: Rsn,
    /// Who sent it.
    pub sender: Sender,
    /// The name of the message type.
    pub message: Name,
    /// The encoded message.
    pub payload: Bytes,
    /// How often the actor tried it.
    pub tries: u32,
    /// How it failed the last time.
    pub reason: String,
}

/// The deliveries that an actor left out, by position.
pub(crate) type Quarantines = BTreeMap<Rsn, Quarantined>;

impl Quarantined {
    /// The entry of a delivery that its actor leaves out.
    #[must_use]
    pub fn new(actor: &ActorId, delivery: &Delivery, origin: Rsn, decision: &Quarantine) -> Self {
        Self {
            actor: actor.clone(),
            rsn: delivery.rsn,
            origin,
            sender: delivery.sender.clone(),
            message: delivery.message.clone(),
            payload: delivery.payload.clone(),
            tries: decision.tries,
            reason: decision.reason.clone(),
        }
    }
}
