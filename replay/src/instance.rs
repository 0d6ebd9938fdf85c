//! An actor in memory: its state, and the sequence numbers that show duplicates and gaps.
//!
//! # Source
//! Receive and send sequence numbers (rsn, ssn), and the table of the last ssn of each sender:
//! Johnson and Zwaenepoel, *Sender-Based Message Logging*, FTCS-17, 1987.

use std::collections::BTreeMap;
use std::sync::Arc;

use relive_storage::record::{Delivery, Quarantine, Sender};
use relive_storage::{ActorId, Name, Rsn, Ssn, StoreId};

use crate::Kind;
use crate::channels::Channels;
use crate::kind::State;
use crate::quarantine::{Quarantined, Quarantines};

/// An actor in memory.
pub struct Instance {
    pub(crate) id: ActorId,
    pub(crate) store: StoreId,
    pub(crate) kind: Arc<dyn Kind>,
    pub(crate) state: Box<dyn State>,
    pub(crate) handled: Rsn,
    pub(crate) received: Rsn,
    pub(crate) channels: Channels,
    pub(crate) quarantine: Quarantines,
    /// Deliveries ahead that are retries, with the delivery whose idempotency keys they keep.
    pub(crate) origins: BTreeMap<Rsn, Rsn>,
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

impl Instance {
    /// An actor that never received anything.
    #[must_use]
    pub fn create(kind: Arc<dyn Kind>, id: ActorId, store: StoreId) -> Self {
        let state = kind.create(id.key());
        Self {
            id,
            store,
            kind,
            state,
            handled: Rsn::NONE,
            received: Rsn::NONE,
            channels: Channels::default(),
            quarantine: Quarantines::default(),
            origins: BTreeMap::new(),
        }
    }

    /// The name of the actor.
    #[must_use]
    pub fn id(&self) -> &ActorId {
        &self.id
    }

    /// The last delivery that it handled.
    #[must_use]
    pub fn handled(&self) -> Rsn {
        self.handled
    }

    /// The last delivery that it took in. Those after [`Instance::handled`] wait for the handler.
    #[must_use]
    pub fn received(&self) -> Rsn {
        self.received
    }

    /// Takes a message in: looks it up in the duplicate table, and gives it its position when it is
    /// new.
    pub fn admit(&mut self, sender: &Sender) -> Admission {
        let entry = match sender {
            Sender::Outside => None,
            Sender::Producer { name, ssn } => Some((self.channels.from_producers.get_mut(name), *ssn)),
            Sender::Actor { id, ssn } => Some((self.channels.from_actors.get_mut(id), *ssn)),
        };
        if let Some((last, ssn)) = entry {
            let known = last.as_deref().copied().unwrap_or(Ssn::NONE);
            // A channel is a queue, so one number says of all messages whether they have come.
            if ssn <= known {
                return Admission::Duplicate;
            }
            // Checked: the number comes from outside, and may be the last of its range.
            if known.checked_plus(1) != Some(ssn) {
                return Admission::Gap { expected: known.next(), found: ssn };
            }
            match (last, sender) {
                // The usual case copies no name.
                (Some(last), _) => *last = ssn,
                (None, Sender::Producer { name, .. }) => {
                    self.channels.from_producers.insert(name.clone(), ssn);
                }
                (None, Sender::Actor { id, .. }) => {
                    self.channels.from_actors.insert(id.clone(), ssn);
                }
                (None, Sender::Outside) => {}
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
    pub fn admit_outside(&mut self, count: u32) -> Rsn {
        assert!(count > 0, "{} takes in at least one message at a time", self.id);
        let first = self.received.next();
        self.received = self.received.plus(u64::from(count));
        first
    }

    /// Leaves the next delivery out, and keeps it in quarantine.
    ///
    /// # Panics
    /// When it is not the next, or the decision is about another one.
    pub fn skip(&mut self, delivery: &Delivery, decision: &Quarantine) {
        assert_eq!(delivery.rsn, decision.rsn, "a decision of {} about another delivery", self.id);
        assert_eq!(delivery.rsn, self.handled.next(), "deliveries of {} are left out in order", self.id);
        assert!(delivery.rsn <= self.received, "{} of {} was never taken in", delivery.rsn, self.id);
        // Before `now_handled`, which forgets the origin.
        let origin = self.origin(delivery.rsn);
        let entry = Quarantined::new(&self.id, delivery, origin, decision);
        let before = self.quarantine.insert(delivery.rsn, entry);
        assert!(before.is_none(), "{} of {} is left out once", delivery.rsn, self.id);
        self.now_handled(delivery.rsn);
    }

    /// The delivery at `rsn` is done.
    pub(crate) fn now_handled(&mut self, rsn: Rsn) {
        assert!(self.handled < rsn && rsn <= self.received, "{} handled {rsn} out of order", self.id);
        self.handled = rsn;
        // Retries are rare, and this is on the way of each message.
        if !self.origins.is_empty() {
            self.origins.remove(&rsn);
        }
    }

    /// The delivery whose idempotency keys the one at `rsn` uses: itself, unless it is a retry.
    #[must_use]
    pub fn origin(&self, rsn: Rsn) -> Rsn {
        self.origins.get(&rsn).copied().unwrap_or(rsn)
    }

    /// The delivery at `rsn` is a retry of one in quarantine, and keeps its keys.
    ///
    /// # Panics
    /// When the delivery at `rsn` is handled: its side effects have had other keys.
    pub fn redeliver(&mut self, rsn: Rsn, quarantined: Rsn) {
        assert!(rsn > self.handled, "{rsn} of {} gets its keys before it is handled", self.id);
        // A retry of a retry has the keys of the first, so that a service outside knows them.
        let origin = self.quarantine.get(&quarantined).map_or(quarantined, |entry| entry.origin);
        self.origins.insert(rsn, origin);
    }

    /// Takes a delivery out of quarantine; `None` when it is not there.
    pub fn discharge(&mut self, rsn: Rsn) -> Option<Quarantined> {
        self.quarantine.remove(&rsn)
    }

    /// The deliveries in quarantine, in their order.
    pub fn quarantined(&self) -> impl ExactSizeIterator<Item = &Quarantined> {
        self.quarantine.values()
    }

    /// The actors that it received from, with the last number of each.
    pub fn received_from(&self) -> impl Iterator<Item = (&ActorId, Ssn)> {
        self.channels.from_actors.iter().map(|(id, ssn)| (id, *ssn))
    }

    /// The last number that it received from a producer; 0 when there was none.
    #[must_use]
    pub fn received_from_producer(&self, name: &Name) -> Ssn {
        self.channels.from_producers.get(name).copied().unwrap_or(Ssn::NONE)
    }

    /// The last number that it sent to an actor; 0 when there was none.
    #[must_use]
    pub fn sent_to(&self, receiver: &ActorId) -> Ssn {
        self.channels.to_actors.get(receiver).copied().unwrap_or(Ssn::NONE)
    }

    /// The state itself, when it is of this type.
    #[must_use]
    pub fn state<A: crate::Actor>(&self) -> Option<&A> {
        self.state.as_any().downcast_ref()
    }

    /// The state as MessagePack: for comparing and for showing.
    ///
    /// # Errors
    /// [`CodecError`](crate::payload::CodecError) when its `Serialize` fails.
    pub fn encode_state(&self) -> Result<Vec<u8>, crate::payload::CodecError> {
        self.state.encode(&|| ()).map(|(bytes, _)| bytes)
    }
}
