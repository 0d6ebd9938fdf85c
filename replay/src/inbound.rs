//! What an actor has received: the last position that it gave, and the duplicate table. Knows no
//! state and no handler, so that an actor takes messages in while its handler waits.
//!
//! # Source
//! Receive and send sequence numbers (rsn, ssn), and the table of the last ssn of each sender:
//! Johnson and Zwaenepoel, *Sender-Based Message Logging*, FTCS-17, 1987.

use std::collections::BTreeMap;
use std::time::Duration;

use relive_storage::record::{Delivery, Sender};
use relive_storage::{ActorId, Name, Rsn, Ssn, Timestamp};

use crate::requests::{Known, Requests};

/// What an actor has received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inbound {
    pub(crate) received: Rsn,
    /// The duplicate table: the last message received from each numbered sender.
    pub(crate) from_producers: BTreeMap<Name, Ssn>,
    pub(crate) from_actors: BTreeMap<ActorId, Ssn>,
    /// The requests with idempotency keys. Boxed, since most actors have none.
    pub(crate) requests: Option<Box<Requests>>,
}

/// What the duplicate table says about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is new, and now has this position.
    Fresh(Rsn),
    /// The actor has received it before. Its effect is there, so the caller drops it.
    Duplicate,
    /// Earlier messages of its channel are missing.
    Gap {
        /// The next number of the channel.
        expected: Ssn,
        /// The number of the message.
        found: Ssn,
    },
}

impl Inbound {
    /// The last delivery that the actor took in.
    #[must_use]
    pub fn received(&self) -> Rsn {
        self.received
    }

    /// Takes a message in: looks it up in the duplicate table, and gives it its position when it is
    /// new.
    pub fn admit(&mut self, sender: &Sender) -> Admission {
        let entry = match sender {
            // Nothing in the duplicate table: the sender does not number them.
            Sender::Outside | Sender::Timer { .. } | Sender::Keyed { .. } => None,
            Sender::Producer { name, ssn } => Some((self.from_producers.get_mut(name), *ssn)),
            Sender::Actor { id, ssn } => Some((self.from_actors.get_mut(id), *ssn)),
        };
        if let Some((last, ssn)) = entry {
            let known = last.as_deref().copied().unwrap_or(Ssn::NONE);
            // A channel is a queue, so one number says of all messages whether they have come.
            if ssn <= known {
                return Admission::Duplicate;
            }
            if known.checked_plus(1) != Some(ssn) {
                return Admission::Gap { expected: known.next(), found: ssn };
            }
            match (last, sender) {
                // The usual case copies no name.
                (Some(last), _) => *last = ssn,
                (None, Sender::Producer { name, .. }) => {
                    self.from_producers.insert(name.clone(), ssn);
                }
                (None, Sender::Actor { id, .. }) => {
                    self.from_actors.insert(id.clone(), ssn);
                }
                (None, Sender::Outside | Sender::Timer { .. } | Sender::Keyed { .. }) => {}
            }
        }
        self.received = self.received.next();
        Admission::Fresh(self.received)
    }

    /// Admits `count` unnumbered messages from outside, which the duplicate table can't know.
    /// Returns the position of the first.
    ///
    /// # Panics
    /// When there is none: then there is no first.
    #[inline]
    pub fn admit_outside(&mut self, count: u32) -> Rsn {
        assert!(count > 0, "an actor takes in at least one message at a time");
        let first = self.received.next();
        self.received = self.received.plus(u64::from(count));
        first
    }

    /// What is known about a request with an idempotency key that comes in.
    #[must_use]
    pub fn request(&self, key: &Name, message: &Name, payload: &[u8]) -> Known {
        self.requests.as_ref().map_or(Known::Nothing, |requests| requests.look_up(key, message, payload))
    }

    /// A request with an idempotency key is ahead at its position.
    ///
    /// # Panics
    /// When the delivery has no key.
    pub fn expect_request(&mut self, delivery: &Delivery) {
        self.requests().expect(delivery);
    }

    /// Forgets the requests that were handled longer ago than `retention`.
    pub fn forget_requests(&mut self, now: Timestamp, retention: Duration) {
        let Some(requests) = &mut self.requests else { return };
        requests.forget(now, retention);
        if requests.is_empty() {
            self.requests = None;
        }
    }

    pub(crate) fn requests(&mut self) -> &mut Requests {
        self.requests.get_or_insert_default()
    }
}
