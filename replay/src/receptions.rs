//! What receivers have logged of the messages of one actor. An actor sends a message after it has
//! logged the delivery, and the receiver logs the message after that. So a logged message shows
//! that the sender had handled a delivery, where no record of the sender does.

use std::collections::{BTreeMap, VecDeque};

use relive_storage::record::{Delivery, Record, Released};
use relive_storage::{ActorId, Rsn, Ssn};

use crate::effects::content;
use crate::{Divergence, Instance, Outgoing};

/// What a tape knows from the records of others. Reading the actor's own records does not find it.
#[derive(Clone, Debug)]
pub struct SeenByOthers {
    pub(crate) settled: Rsn,
    pub(crate) answered: Rsn,
    pub(crate) attempts: BTreeMap<Rsn, u32>,
    pub(crate) receptions: Receptions,
}

/// What the messages show that receivers have and that the sender's checkpoint does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// There are none.
    Nothing,
    /// The original run had begun the delivery after the checkpoint.
    Begun,
    /// It had handled that delivery to its end.
    Handled,
}

/// What receivers have logged of the messages of one actor, in the order of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receptions {
    entries: VecDeque<Reception>,
}

/// A message that its receiver has logged.
#[derive(Clone, Debug)]
struct Reception {
    receiver: ActorId,
    ssn: Ssn,
    asked: bool,
    content: u64,
    /// The last delivery of the sender that was logged before: this one, or one before it, sent the
    /// message.
    by: Rsn,
}

impl Receptions {
    /// Adds a message that its receiver logged after the sender's delivery at `by`.
    pub(crate) fn add(&mut self, receiver: ActorId, ssn: Ssn, delivery: &Delivery, by: Rsn) {
        assert!(self.entries.back().is_none_or(|last| last.by <= by), "{receiver}: the log has one order");
        let Delivery { message, payload, asked, .. } = delivery;
        let (asked, content) = (*asked, content(message, payload));
        self.entries.push_back(Reception { receiver, ssn, asked, content, by });
    }

    /// Adds a message that the sender's own record shows as released.
    pub(crate) fn add_released(&mut self, released: &Released) {
        let Released { rsn: by, to, ssn, asked, content } = released.clone();
        // The deliveries behind that one may have been logged before, and with them what receivers
        // have logged.
        let at = self.entries.partition_point(|entry| entry.by <= by);
        self.entries.insert(at, Reception { receiver: to, ssn, asked, content, by });
    }

    /// Drops messages of deliveries up to `known`: the sender's own records say what these did.
    pub(crate) fn forget(&mut self, known: Rsn) {
        while self.entries.front().is_some_and(|first| first.by <= known) {
            self.entries.pop_front();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What those show that go beyond the table of sent messages.
    pub(crate) fn beyond(&self, sent: &BTreeMap<ActorId, Ssn>) -> Beyond {
        let is_sent = |entry: &Reception| sent.get(&entry.receiver).is_some_and(|sent| *sent >= entry.ssn);
        let mut beyond = self.entries.iter().filter(|entry| !is_sent(entry)).peekable();
        if beyond.peek().is_none() {
            return Beyond::Nothing;
        }
        // A request leaves while its handler waits, and what was sent before it leaves with it.
        if beyond.any(|entry| entry.asked) { Beyond::Begun } else { Beyond::Handled }
    }

    /// Begins to compare a replay with them.
    pub(crate) fn check(&self) -> Check {
        let mut contents = BTreeMap::<ActorId, BTreeMap<Ssn, u64>>::new();
        for Reception { receiver, ssn, content, .. } in &self.entries {
            contents.entry(receiver.clone()).or_default().insert(*ssn, *content);
        }
        Check { contents, left: self.entries.clone() }
    }
}

/// The progress of a replay against the messages that receivers have.
pub(crate) struct Check {
    contents: BTreeMap<ActorId, BTreeMap<Ssn, u64>>,
    left: VecDeque<Reception>,
}

impl Check {
    /// Whether a receiver has a message that the actor has not sent yet. Then the original run had
    /// handled the next delivery: that one sent the message, or a later one did.
    pub(crate) fn is_behind(&mut self, instance: &Instance) -> bool {
        self.next(instance).is_some()
    }

    /// Whether a receiver has one of these messages.
    pub(crate) fn have(&self, sends: &[Outgoing]) -> bool {
        let has = |to, ssn| self.contents.get(to).is_some_and(|channel| channel.contains_key(ssn));
        sends.iter().any(|Outgoing { to, ssn, .. }| has(to, ssn))
    }

    /// Compares the sends of the last delivery, and whether all deliveries up to it sent enough.
    ///
    /// # Errors
    /// [`Divergence`] when a receiver has another message, or more messages.
    pub(crate) fn compare(&mut self, instance: &Instance, sends: &[Outgoing]) -> Result<(), Divergence> {
        self.compare_contents(sends)?;
        // Which delivery sent it is not known, but it was none after `by`: the receiver logged the
        // message before the sender logged those.
        match self.next(instance) {
            Some(Reception { receiver, ssn, by, .. }) if *by <= instance.handled() => {
                let expected = format!("messages up to {ssn} to {receiver}, which has them");
                let found = format!("messages up to {}", instance.sent_to(receiver));
                Err(Divergence { expected, found })
            }
            _ => Ok(()),
        }
    }

    /// Compares what receivers have with the messages of a delivery whose records end in its
    /// middle, up to its last request: `released`. The delivery before is the instance's last.
    ///
    /// # Errors
    /// [`Divergence`] when a receiver has another message, or more messages: then the original run
    /// had come further.
    pub(crate) fn compare_released(
        &mut self,
        instance: &Instance,
        released: &[Outgoing],
    ) -> Result<(), Divergence> {
        self.compare_contents(released)?;
        let sent = |receiver: &ActorId| {
            let last = released.iter().rev().find(|outgoing| outgoing.to == *receiver);
            last.map_or_else(|| instance.sent_to(receiver), |outgoing| outgoing.ssn)
        };
        match self.left.iter().find(|left| sent(&left.receiver) < left.ssn) {
            Some(Reception { receiver, ssn, .. }) => {
                let expected = format!("messages up to {ssn} to {receiver}, which has them");
                let found = format!("messages up to {}, and a wait that is not on record", sent(receiver));
                Err(Divergence { expected, found })
            }
            None => Ok(()),
        }
    }

    fn compare_contents(&self, sends: &[Outgoing]) -> Result<(), Divergence> {
        // By content, not by the digest: no record of the sender has a digest of these deliveries.
        for Outgoing { to, ssn, message, payload, .. } in sends {
            let received = self.contents.get(to).and_then(|channel| channel.get(ssn));
            let Some(received) = received else { continue };
            if *received != content(message, payload) {
                let expected = format!("another message as {ssn} to {to}, which has it");
                let found = format!("{message} of {} bytes", payload.len());
                return Err(Divergence { expected, found });
            }
        }
        Ok(())
    }

    /// The first of them that the actor has not sent.
    fn next(&mut self, instance: &Instance) -> Option<&Reception> {
        while self.left.front().is_some_and(|next| instance.sent_to(&next.receiver) >= next.ssn) {
            self.left.pop_front();
        }
        self.left.front()
    }
}

/// The earlier delivery to which a record refers, and what the record says of it.
pub(crate) fn refers_to(record: &Record) -> Option<(Rsn, &'static str)> {
    match record {
        Record::Event(event) => Some((event.rsn, "it has an event")),
        Record::CheckpointMark(mark) => Some((mark.rsn, "a checkpoint contains it")),
        Record::Attempt(rsn) => Some((*rsn, "it was tried")),
        Record::Quarantine(decision) => Some((decision.rsn, "it is left out")),
        Record::Discharge(rsn) => Some((*rsn, "it is out of quarantine")),
        Record::Carried(carried) => Some((carried.rsn, "its handler waits")),
        Record::Released(released) => Some((released.rsn, "it has sent a message")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(key: &str) -> ActorId {
        ActorId::new("till", key).unwrap()
    }

    fn sent(receiver: &str, ssn: u64) -> BTreeMap<ActorId, Ssn> {
        [(id(receiver), Ssn::new(ssn))].into()
    }

    fn add(receptions: &mut Receptions, receiver: &str, ssn: u64, by: u64) {
        add_as(receptions, receiver, (ssn, false), by);
    }

    fn add_as(receptions: &mut Receptions, receiver: &str, (ssn, asked): (u64, bool), by: u64) {
        let (message, payload, clock) = ("pass".into(), bytes::Bytes::from_static(b"7"), Default::default());
        let sender = relive_storage::record::Sender::Outside;
        let delivery = Delivery { rsn: Rsn::new(1), sender, asked, message, payload, clock, seed: 0 };
        receptions.add(id(receiver), Ssn::new(ssn), &delivery, Rsn::new(by));
    }

    #[test]
    fn what_the_actors_own_records_tell_is_dropped() {
        let mut receptions = Receptions::default();
        add(&mut receptions, "a", 1, 2);
        add(&mut receptions, "a", 2, 2);
        add(&mut receptions, "b", 1, 3);
        assert_eq!(receptions.beyond(&BTreeMap::new()), Beyond::Handled);
        assert_eq!(receptions.beyond(&sent("a", 2)), Beyond::Handled);
        receptions.forget(Rsn::new(1));
        assert_eq!(receptions.beyond(&sent("b", 1)), Beyond::Handled);
        receptions.forget(Rsn::new(2));
        assert_eq!(receptions.beyond(&sent("b", 1)), Beyond::Nothing);
        receptions.forget(Rsn::new(3));
        assert_eq!(receptions.beyond(&BTreeMap::new()), Beyond::Nothing);
    }

    /// A request leaves its actor in the middle of a delivery, so it shows less.
    #[test]
    fn a_request_shows_only_that_its_delivery_has_begun() {
        let mut receptions = Receptions::default();
        add(&mut receptions, "a", 1, 2);
        add_as(&mut receptions, "b", (1, true), 2);
        assert_eq!(receptions.beyond(&BTreeMap::new()), Beyond::Begun);
        assert_eq!(receptions.beyond(&sent("b", 1)), Beyond::Handled);
    }

    #[test]
    #[should_panic(expected = "the log has one order")]
    fn they_come_in_the_order_of_the_log() {
        let mut receptions = Receptions::default();
        add(&mut receptions, "a", 1, 3);
        add(&mut receptions, "a", 2, 2);
    }
}
