//! What receivers have logged of the messages of one actor. An actor sends a message after it has
//! logged the delivery, and the receiver logs the message after that. So a logged message shows
//! that the sender had handled a delivery, where no record of the sender does.

use std::collections::{BTreeMap, VecDeque};

use relive_storage::{ActorId, Name, Rsn, Ssn};
use twox_hash::XxHash64;

use crate::{Divergence, Instance, Outgoing};

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
    content: u64,
    /// The last delivery of the sender that was logged before: this one, or one before it, sent the
    /// message.
    by: Rsn,
}

impl Receptions {
    /// Adds a message that its receiver logged after the sender's delivery at `by`.
    pub(crate) fn add(&mut self, receiver: ActorId, ssn: Ssn, (message, payload): (&Name, &[u8]), by: Rsn) {
        assert!(self.entries.back().is_none_or(|last| last.by <= by), "{receiver}: the log has one order");
        self.entries.push_back(Reception { receiver, ssn, content: content(message, payload), by });
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

    /// Whether one of them goes beyond the table of sent messages.
    pub(crate) fn go_beyond(&self, sent: &BTreeMap<ActorId, Ssn>) -> bool {
        self.entries.iter().any(|entry| sent.get(&entry.receiver).is_none_or(|sent| *sent < entry.ssn))
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

    /// Compares the sends of the last delivery, and whether all deliveries up to it sent enough.
    ///
    /// # Errors
    /// [`Divergence`] when a receiver has another message, or more messages.
    pub(crate) fn compare(&mut self, instance: &Instance, sends: &[Outgoing]) -> Result<(), Divergence> {
        // By content, not by the digest: no record of the sender has a digest of these deliveries.
        for Outgoing { to, ssn, message, payload } in sends {
            let received = self.contents.get(to).and_then(|channel| channel.get(ssn));
            let Some(received) = received else { continue };
            if *received != content(message, payload) {
                let expected = format!("another message as {ssn} to {to}, which has it");
                let found = format!("{message} of {} bytes", payload.len());
                return Err(Divergence { expected, found });
            }
        }
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

    /// The first of them that the actor has not sent.
    fn next(&mut self, instance: &Instance) -> Option<&Reception> {
        while self.left.front().is_some_and(|next| instance.sent_to(&next.receiver) >= next.ssn) {
            self.left.pop_front();
        }
        self.left.front()
    }
}

fn content(message: &Name, payload: &[u8]) -> u64 {
    // A hash takes the place of a payload of up to 1 MiB. The hash of the name is the seed, so that
    // the border between the two counts.
    XxHash64::oneshot(XxHash64::oneshot(0, message.as_bytes()), payload)
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
        receptions.add(id(receiver), Ssn::new(ssn), (&"pass".into(), b"7"), Rsn::new(by));
    }

    #[test]
    fn what_the_actors_own_records_tell_is_dropped() {
        let mut receptions = Receptions::default();
        add(&mut receptions, "a", 1, 2);
        add(&mut receptions, "a", 2, 2);
        add(&mut receptions, "b", 1, 3);
        assert!(receptions.go_beyond(&BTreeMap::new()));
        assert!(receptions.go_beyond(&sent("a", 2)));
        receptions.forget(Rsn::new(1));
        assert!(receptions.go_beyond(&sent("b", 1)));
        receptions.forget(Rsn::new(2));
        assert!(!receptions.go_beyond(&sent("b", 1)));
        receptions.forget(Rsn::new(3));
        assert!(!receptions.go_beyond(&BTreeMap::new()));
    }

    #[test]
    fn the_name_and_the_payload_are_the_content() {
        let name = Name::from("pass");
        assert_eq!(content(&name, b"7"), content(&name, b"7"));
        assert_ne!(content(&name, b"7"), content(&name, b"8"));
        assert_ne!(content(&Name::from("pas"), b"s7"), content(&name, b"7"));
    }

    #[test]
    #[should_panic(expected = "the log has one order")]
    fn they_come_in_the_order_of_the_log() {
        let mut receptions = Receptions::default();
        add(&mut receptions, "a", 1, 3);
        add(&mut receptions, "a", 2, 2);
    }
}
