//! The messages that an actor has sent and that receivers have not logged yet, and the replies that
//! its askers have not. A checkpoint contains them, so a crash in between loses nothing.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use relive_replay::{Outgoing, OutgoingReply, Owed};
use relive_storage::{ActorId, Ssn};

/// The messages that an actor sent and that their receivers have not acknowledged, by channel.
#[derive(Default)]
pub(crate) struct Outbox {
    channels: BTreeMap<ActorId, VecDeque<Outgoing>>,
    unacknowledged: usize,
    /// Replies by who asked, and the number of the request.
    replies: BTreeMap<(ActorId, Ssn), Bytes>,
}

impl Outbox {
    /// Adds a message that its receiver has not logged yet. A delivery that is tried again sends
    /// again what it has sent: what is there stays, and what was acknowledged before it is not
    /// added.
    ///
    /// # Panics
    /// When the messages of a channel are not in order.
    pub(crate) fn push(&mut self, outgoing: Outgoing) {
        let channel = self.channels.entry(outgoing.to.clone()).or_default();
        if channel.front().is_some_and(|first| outgoing.ssn < first.ssn) {
            return;
        }
        if let Some(same) = channel.iter().rev().find(|kept| kept.ssn <= outgoing.ssn)
            && same.ssn == outgoing.ssn
        {
            assert_eq!(*same, outgoing, "a delivery sends the same when it is tried again");
            return;
        }
        let in_order = channel.back().is_none_or(|last| last.ssn.next() == outgoing.ssn);
        assert!(in_order, "the messages to {} are sent in order, found {}", outgoing.to, outgoing.ssn);
        channel.push_back(outgoing);
        self.unacknowledged += 1;
    }

    /// Adds a reply that its asker has not logged yet.
    pub(crate) fn push_reply(&mut self, reply: OutgoingReply) {
        self.replies.insert((reply.to, reply.ssn), reply.outcome);
    }

    /// The asker has logged the reply, or needs it no more.
    pub(crate) fn acknowledge_reply(&mut self, asker: &ActorId, ssn: Ssn) {
        self.replies.remove(&(asker.clone(), ssn));
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

    /// Whether neither a message nor a reply is unacknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        self.unacknowledged == 0 && self.replies.is_empty()
    }

    /// All unacknowledged messages, in order within each channel, and all such replies.
    pub(crate) fn owed(&self) -> Owed {
        let replies = self.replies.iter().map(|((to, ssn), outcome)| {
            let (to, outcome) = (to.clone(), outcome.clone());
            OutgoingReply { to, ssn: *ssn, outcome }
        });
        Owed { messages: self.channels.values().flatten().cloned().collect(), replies: replies.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(key: &str, ssn: u64) -> Outgoing {
        let to = ActorId::new("account", key).unwrap();
        Outgoing { to, ssn: Ssn::new(ssn), message: "credit".into(), payload: Bytes::new(), asked: false }
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
        assert_eq!(outbox.owed().messages, vec![outgoing("b", 1)]);
    }

    /// A delivery that is tried again after it has asked sends again what it has sent.
    #[test]
    fn what_is_kept_is_not_kept_twice() {
        let mut outbox = Outbox::default();
        for ssn in [4, 5, 4, 5, 6] {
            outbox.push(outgoing("a", ssn));
        }
        assert_eq!(outbox.len(), 3);
    }

    /// The same when its receiver has logged the first of these meanwhile, or all of them.
    #[test]
    fn what_was_acknowledged_is_not_kept_before_what_was_not() {
        let mut outbox = Outbox::default();
        let a = ActorId::new("account", "a").unwrap();
        for acknowledged in [4, 6] {
            (4..=6).for_each(|ssn| outbox.push(outgoing("a", ssn)));
            outbox.acknowledge(&a, Ssn::new(acknowledged));
            let kept = outbox.owed().messages;
            (4..=6).for_each(|ssn| outbox.push(outgoing("a", ssn)));
            assert!(outbox.owed().messages.ends_with(&kept));
        }
        outbox.acknowledge(&a, Ssn::new(6));
        assert!(outbox.is_empty());
    }

    /// Invariant: exactly-once inside. A reply is kept until its asker has it, whatever others
    /// have.
    #[test]
    fn replies_are_acknowledged_one_by_one() {
        let mut outbox = Outbox::default();
        let to = ActorId::new("account", "a").unwrap();
        let reply = |ssn| OutgoingReply { to: to.clone(), ssn: Ssn::new(ssn), outcome: Bytes::new() };
        (1..=3).for_each(|ssn| outbox.push_reply(reply(ssn)));
        outbox.acknowledge_reply(&to, Ssn::new(2));
        assert_eq!(outbox.owed().replies, [reply(1), reply(3)]);
        outbox.acknowledge_reply(&to, Ssn::new(1));
        outbox.acknowledge_reply(&to, Ssn::new(3));
        outbox.acknowledge_reply(&to, Ssn::new(3));
        assert!(outbox.is_empty());
    }
}
