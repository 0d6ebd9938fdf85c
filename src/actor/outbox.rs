//! The messages that an actor has sent and that receivers have not logged yet. A checkpoint
//! contains them, so a crash in between loses nothing.

use std::collections::{BTreeMap, VecDeque};

use relive_replay::Outgoing;
use relive_storage::{ActorId, Ssn};

/// The messages that an actor sent and that their receivers have not acknowledged, by channel.
#[derive(Default)]
pub(crate) struct Outbox {
    channels: BTreeMap<ActorId, VecDeque<Outgoing>>,
    unacknowledged: usize,
}

impl Outbox {
    /// Adds a message that its receiver has not logged yet.
    ///
    /// # Panics
    /// When the messages of a channel are not in order.
    pub(crate) fn push(&mut self, outgoing: Outgoing) {
        let channel = self.channels.entry(outgoing.to.clone()).or_default();
        let in_order = channel.back().is_none_or(|last| last.ssn.next() == outgoing.ssn);
        assert!(in_order, "the messages to {} are sent in order, found {}", outgoing.to, outgoing.ssn);
        channel.push_back(outgoing);
        self.unacknowledged += 1;
    }

    /// The receiver has logged all messages of its channel up to `ssn`.
    pub(crate) fn acknowledge(&mut self, receiver: &ActorId, ssn: Ssn) {
        // A receiver acknowledges a duplicate again, and its channel may be empty by then.
        let Some(channel) = self.channels.get_mut(receiver) else {
            return;
        };
        while channel.front().is_some_and(|outgoing| outgoing.ssn <= ssn) {
            channel.pop_front();
            self.unacknowledged -= 1;
        }
        if channel.is_empty() {
            self.channels.remove(receiver);
        }
        let channels = self.channels.len();
        assert_eq!(channels == 0, self.unacknowledged == 0, "{} in {channels} channels", self.unacknowledged);
    }

    /// How many messages are unacknowledged.
    pub(crate) fn len(&self) -> usize {
        self.unacknowledged
    }

    /// All unacknowledged messages, in order within each channel.
    pub(crate) fn messages(&self) -> Vec<Outgoing> {
        self.channels.values().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(key: &str, ssn: u64) -> Outgoing {
        let to = ActorId::new("account", key).unwrap();
        Outgoing { to, ssn: Ssn::new(ssn), message: "credit".into(), payload: bytes::Bytes::new() }
    }

    /// Invariant: exactly-once inside. A message is kept until its receiver has logged it, and no
    /// longer.
    #[test]
    fn settling_is_by_channel_and_up_to_a_number() {
        let mut outbox = Outbox::default();
        for ssn in 4..8 {
            outbox.push(outgoing("a", ssn));
        }
        outbox.push(outgoing("b", 1));
        let a = ActorId::new("account", "a").unwrap();
        outbox.acknowledge(&a, Ssn::new(5));
        assert_eq!(outbox.len(), 3);
        outbox.acknowledge(&a, Ssn::new(5));
        assert_eq!(outbox.len(), 3);
        outbox.acknowledge(&a, Ssn::new(9));
        assert_eq!(outbox.messages(), vec![outgoing("b", 1)]);
    }
}
