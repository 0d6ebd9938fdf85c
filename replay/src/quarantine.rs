//! Deliveries that an actor was to leave out, because it kept failing on them. They are part of an instance, so that
//! each can be looked at, delivered anew or given up for as long as nobody has decided.

use std::collections::BTreeMap;

use bytes::Bytes;
use relive_storage::record::{Delivery, Quarantine, Sender};
use relive_storage::{ActorId, Name, Rsn};

/// A delivery that an actor left out. It has changed nothing: not the state, and nothing left the actor; a side effect
/// that it had begun may have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quarantined {
    /// Whose delivery.
    pub actor: ActorId,
    /// Which.
    pub rsn: Rsn,
    /// The delivery under which its side effects are known outside: itself, unless it was tried again before.
    pub origin: Rsn,
    /// Who sent it.
    pub sender: Sender,
    /// The name of the message type.
    pub message: Name,
    /// The encoded message.
    pub payload: Bytes,
    /// How often it was tried.
    pub tries: u32,
    /// How it failed the last time.
    pub reason: String,
}

/// What an actor left out, by position.
pub(crate) type Quarantines = BTreeMap<Rsn, Quarantined>;

impl Quarantined {
    /// What is kept of a delivery that is left out.
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
