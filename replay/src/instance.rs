//! An actor in memory, in two parts: the process that handles deliveries, and what it has received.
//! They are apart, so that an actor takes messages in while its handler waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use relive_storage::record::{Delivery, Quarantine, Sender};
use relive_storage::{ActorId, Name, Rsn, Ssn, StoreId, Timestamp};

use crate::Kind;
use crate::inbound::{Admission, Inbound};
use crate::kind::State;
use crate::outbound::Outbound;
use crate::quarantine::{Quarantined, Quarantines};
use crate::requests::KeptReply;
use crate::timers::{DueTimer, Found, Timers};

/// An actor in memory.
pub struct Instance {
    pub(crate) process: Process,
    pub(crate) inbound: Inbound,
}

/// The piecewise deterministic part of an actor: its state, and what it has sent. A delivery
/// changes this part alone.
pub struct Process {
    pub(crate) id: ActorId,
    pub(crate) store: StoreId,
    pub(crate) kind: Arc<dyn Kind>,
    pub(crate) state: Box<dyn State>,
    pub(crate) handled: Rsn,
    pub(crate) outbound: Outbound,
    pub(crate) timers: Timers,
    pub(crate) quarantine: Quarantines,
    /// Deliveries ahead that are retries, with the delivery whose idempotency keys they keep.
    pub(crate) origins: BTreeMap<Rsn, Rsn>,
}

impl Instance {
    /// An actor that never received anything.
    #[must_use]
    pub fn create(kind: Arc<dyn Kind>, id: ActorId, store: StoreId) -> Self {
        let state = kind.create(id.key());
        let process = Process {
            id,
            store,
            kind,
            state,
            handled: Rsn::NONE,
            outbound: Outbound::default(),
            timers: Timers::default(),
            quarantine: Quarantines::default(),
            origins: BTreeMap::new(),
        };
        Self { process, inbound: Inbound::default() }
    }

    /// Its two parts, which change apart from each other.
    pub fn parts(&mut self) -> (&mut Process, &mut Inbound) {
        (&mut self.process, &mut self.inbound)
    }

    /// The part that handles deliveries.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The part that queries see.
    #[must_use]
    pub fn view(&self) -> &Process {
        &self.process
    }

    /// The name of the actor.
    #[must_use]
    pub fn id(&self) -> &ActorId {
        &self.process.id
    }

    /// The last delivery that it handled.
    #[must_use]
    pub fn handled(&self) -> Rsn {
        self.process.handled
    }

    /// The last delivery that it took in. Those after [`Instance::handled`] wait for the handler.
    #[must_use]
    pub fn received(&self) -> Rsn {
        self.inbound.received()
    }

    /// As [`Inbound::admit`].
    pub fn admit(&mut self, sender: &Sender) -> Admission {
        self.inbound.admit(sender)
    }

    /// As [`Inbound::admit_outside`].
    ///
    /// # Panics
    /// When there is none: then there is no first.
    pub fn admit_outside(&mut self, count: u32) -> Rsn {
        self.inbound.admit_outside(count)
    }

    /// Leaves the next delivery out, and keeps it in quarantine.
    ///
    /// # Panics
    /// When it is not the next, or the decision is about another one.
    pub fn skip(&mut self, delivery: &Delivery, decision: &Quarantine) {
        let (rsn, received) = (delivery.rsn, self.received());
        assert!(rsn <= received, "{rsn} of {} was never taken in", self.id());
        self.process.skip(delivery, decision);
        if let Sender::Keyed { .. } = delivery.sender {
            self.inbound.requests().left_out(delivery);
        }
    }

    /// Keeps the reply to a request with an idempotency key, and returns what is kept.
    ///
    /// # Panics
    /// When it is not the delivery that was handled last, or has no key.
    pub fn keep_reply(&mut self, delivery: &Delivery, reply: Bytes) -> KeptReply {
        let (rsn, handled) = (delivery.rsn, self.handled());
        assert_eq!(rsn, handled, "{} keeps the reply to what it has just handled", self.id());
        let kept = KeptReply::of(reply);
        self.inbound.requests().handled(delivery, kept.clone());
        kept
    }

    /// The delivery whose idempotency keys the one at `rsn` uses: itself, unless it is a retry.
    #[must_use]
    pub fn origin(&self, rsn: Rsn) -> Rsn {
        self.process.origin(rsn)
    }

    /// The delivery at `rsn` is a retry of one in quarantine, and keeps its keys.
    ///
    /// # Panics
    /// When the delivery at `rsn` is handled: its side effects have had other keys.
    pub fn redeliver(&mut self, rsn: Rsn, quarantined: Rsn) {
        let process = &mut self.process;
        assert!(rsn > process.handled, "{rsn} of {} gets its keys before it is handled", process.id);
        // A retry of a retry has the keys of the first, so that a service outside knows them.
        let origin = process.quarantine.get(&quarantined).map_or(quarantined, |entry| entry.origin);
        process.origins.insert(rsn, origin);
    }

    /// Takes a delivery out of quarantine; `None` when it is not there.
    pub fn discharge(&mut self, rsn: Rsn) -> Option<Quarantined> {
        let entry = self.process.quarantine.remove(&rsn)?;
        if let (Sender::Keyed { key }, Some(requests)) = (&entry.sender, &mut self.inbound.requests) {
            requests.discharged(key, rsn);
        }
        Some(entry)
    }

    /// The deliveries in quarantine, in their order.
    pub fn quarantined(&self) -> impl ExactSizeIterator<Item = &Quarantined> {
        self.process.quarantine.values()
    }

    /// The actors that it received from, with the last number of each.
    pub fn received_from(&self) -> impl Iterator<Item = (&ActorId, Ssn)> {
        self.inbound.from_actors.iter().map(|(id, ssn)| (id, *ssn))
    }

    /// The last number that it received from a producer; 0 when there was none.
    #[must_use]
    pub fn received_from_producer(&self, name: &Name) -> Ssn {
        self.inbound.from_producers.get(name).copied().unwrap_or(Ssn::NONE)
    }

    /// The last number that it sent to an actor; 0 when there was none.
    #[must_use]
    pub fn sent_to(&self, receiver: &ActorId) -> Ssn {
        self.process.outbound.last(receiver)
    }

    /// When the first of its timers is due; `None` when it has none.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.process.timers.next()
    }

    /// The firings of the timers that are due at `now`, in order of due time. Each counts when it
    /// is handled; a caller that logs one twice makes the second one be passed over.
    #[must_use]
    pub fn due_timers(&self, now: Timestamp) -> Vec<DueTimer> {
        self.process.timers.due(now)
    }

    /// The state itself, when it is of this type.
    #[must_use]
    pub fn state<A: crate::Actor>(&self) -> Option<&A> {
        self.process.state()
    }

    /// The state as MessagePack: for comparing and for showing.
    ///
    /// # Errors
    /// [`CodecError`](crate::payload::CodecError) when its `Serialize` fails.
    pub fn encode_state(&self) -> Result<Vec<u8>, crate::payload::CodecError> {
        self.process.state.encode(&|| ()).map(|(bytes, _)| bytes)
    }
}

impl Process {
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

    /// The last number that it sent to an actor; 0 when there was none.
    #[must_use]
    pub fn sent_to(&self, receiver: &ActorId) -> Ssn {
        self.outbound.last(receiver)
    }

    /// The state itself, when it is of this type.
    #[must_use]
    pub fn state<A: crate::Actor>(&self) -> Option<&A> {
        self.state.as_any().downcast_ref()
    }

    fn skip(&mut self, delivery: &Delivery, decision: &Quarantine) {
        assert_eq!(delivery.rsn, decision.rsn, "a decision of {} about another delivery", self.id);
        assert_eq!(delivery.rsn, self.handled.next(), "deliveries of {} are left out in order", self.id);
        // Before `now_handled`, which forgets the origin.
        let origin = self.origin(delivery.rsn);
        let entry = Quarantined::new(&self.id, delivery, origin, decision);
        let before = self.quarantine.insert(delivery.rsn, entry);
        assert!(before.is_none(), "{} of {} is left out once", delivery.rsn, self.id);
        // A firing that is left out has happened: its timer does not fire again for that.
        if let Found::Timer(fired) = self.timers.find(delivery) {
            self.timers.change(fired.name, fired.left);
        }
        self.now_handled(delivery.rsn);
    }

    /// The delivery at `rsn` is done.
    pub(crate) fn now_handled(&mut self, rsn: Rsn) {
        assert!(self.handled < rsn, "{} handled {rsn} out of order", self.id);
        self.handled = rsn;
        // Retries are rare, and this is on the way of each message.
        if !self.origins.is_empty() {
            self.origins.remove(&rsn);
        }
    }

    /// The delivery whose idempotency keys the one at `rsn` uses: itself, unless it is a retry.
    #[inline]
    pub(crate) fn origin(&self, rsn: Rsn) -> Rsn {
        self.origins.get(&rsn).copied().unwrap_or(rsn)
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
        let timer = Sender::Timer { name: "remind".into(), due: Default::default() };
        let keyed = Sender::Keyed { key: "order 17".into() };
        for (rsn, sender) in (6..).zip([&timer, &keyed, &timer, &keyed]) {
            assert_eq!(instance.admit(sender), Admission::Fresh(Rsn::new(rsn)), "{sender:?}");
        }
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
