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

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::{Actor, KindBuilder};

    #[derive(Serialize, Deserialize)]
    struct Account;

    impl Actor for Account {
        const KIND: &'static str = "account";

        fn create(_: &str) -> Self {
            Self
        }
    }

    fn instance() -> Instance {
        let kind = KindBuilder::<Account>::new().build().unwrap();
        Instance::create(kind, ActorId::new("account", "alice").unwrap(), StoreId::new(1))
    }

    fn delivery(rsn: u64) -> Delivery {
        let (rsn, message, clock) = (Rsn::new(rsn), "deposit".into(), Default::default());
        Delivery {
            rsn,
            sender: Sender::Outside,
            asked: false,
            message,
            payload: Default::default(),
            clock,
            seed: 0,
        }
    }

    fn decision(rsn: u64) -> Quarantine {
        Quarantine { rsn: Rsn::new(rsn), tries: 3, reason: "it panicked".to_owned() }
    }

    /// Invariant: exactly-once inside. Each channel takes each number once and in order, whatever
    /// comes in others.
    #[test]
    fn a_channel_takes_each_number_once_and_in_order() {
        let producer = |ssn| Sender::Producer { name: "till".into(), ssn: Ssn::new(ssn) };
        let actor = |ssn| Sender::Actor { id: ActorId::new("till", "one").unwrap(), ssn: Ssn::new(ssn) };
        let mut instance = instance();
        let gap = |expected, found| Admission::Gap { expected: Ssn::new(expected), found: Ssn::new(found) };
        for (round, sender) in [producer, actor].iter().enumerate() {
            let before = 2 * round as u64;
            for (ssn, admission) in [
                (2, gap(1, 2)),
                (1, Admission::Fresh(Rsn::new(before + 1))),
                (1, Admission::Duplicate),
                (u64::MAX, gap(2, u64::MAX)),
                (2, Admission::Fresh(Rsn::new(before + 2))),
                (1, Admission::Duplicate),
                (0, Admission::Duplicate),
            ] {
                assert_eq!(instance.admit(&sender(ssn)), admission, "{:?}", sender(ssn));
            }
        }
        assert_eq!(instance.received(), Rsn::new(4), "what is no news has no position");
        assert_eq!(instance.received_from_producer(&"till".into()), Ssn::new(2));
        assert_eq!(instance.received_from().map(|(_, ssn)| ssn.get()).collect::<Vec<_>>(), [2]);
    }

    /// Nothing is known of what has no number, so nothing of it is a duplicate.
    #[test]
    fn messages_from_outside_are_always_new() {
        let mut instance = instance();
        assert_eq!(instance.admit(&Sender::Outside), Admission::Fresh(Rsn::new(1)));
        assert_eq!(instance.admit_outside(3), Rsn::new(2), "the position of the first");
        assert_eq!(instance.admit(&Sender::Outside), Admission::Fresh(Rsn::new(5)));
    }

    #[test]
    #[should_panic(expected = "at least one message at a time")]
    fn no_message_has_no_position() {
        instance().admit_outside(0);
    }

    /// A service outside knows the keys of the first try, so each retry has them, and nothing else.
    #[test]
    fn a_retry_keeps_the_keys_of_the_first_delivery() {
        let mut instance = instance();
        instance.admit_outside(4);
        instance.skip(&delivery(1), &decision(1));
        instance.redeliver(Rsn::new(2), Rsn::new(1));
        instance.discharge(Rsn::new(1)).unwrap();
        assert_eq!(instance.origin(Rsn::new(2)), Rsn::new(1));
        instance.skip(&delivery(2), &decision(2));
        let origins: Vec<_> =
            instance.quarantined().map(|entry| (entry.rsn.get(), entry.origin.get())).collect();
        assert_eq!(origins, [(2, 1)]);
        instance.redeliver(Rsn::new(4), Rsn::new(2));
        assert_eq!(instance.origin(Rsn::new(4)), Rsn::new(1), "a retry of a retry too");
        assert_eq!(instance.origin(Rsn::new(3)), Rsn::new(3), "it is none");
        assert!(instance.discharge(Rsn::new(1)).is_none(), "it has left");
    }

    #[test]
    #[should_panic(expected = "are left out in order")]
    fn a_delivery_is_not_passed_over() {
        let mut instance = instance();
        instance.admit_outside(2);
        instance.skip(&delivery(2), &decision(2));
    }

    #[test]
    #[should_panic(expected = "gets its keys before it is handled")]
    fn a_delivery_that_was_handled_gets_no_other_keys() {
        let mut instance = instance();
        instance.admit_outside(1);
        instance.skip(&delivery(1), &decision(1));
        instance.redeliver(Rsn::new(1), Rsn::new(1));
    }
}
