//! The replies that have come to an actor and that its turn has not taken yet. They pass the
//! deliveries ahead of it, since its handler may wait for them.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::Bytes;
use relive_storage::{ActorId, Ssn};

/// A reply that has come to its asker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArrivedReply {
    /// Who has answered.
    pub(crate) from: ActorId,
    /// The number of the request in the channel to it.
    pub(crate) ssn: Ssn,
    pub(crate) outcome: Bytes,
}

/// The replies that have come to an actor, and the handler that waits for them.
#[derive(Default)]
pub(crate) struct Arrivals {
    replies: VecDeque<ArrivedReply>,
    waiting: Option<Waker>,
}

impl Arrivals {
    /// Adds a reply. Returns the waker of the handler that waits for replies.
    pub(crate) fn push(&mut self, reply: ArrivedReply) -> Option<Waker> {
        self.replies.push_back(reply);
        self.waiting.take()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    /// Takes what has come. With a waker, the handler waits for more.
    pub(crate) fn take(&mut self, waiting: Option<&Waker>) -> VecDeque<ArrivedReply> {
        self.waiting = waiting.cloned();
        std::mem::take(&mut self.replies)
    }
}

/// The replies that a turn has taken and that no handler has learned, in the order in which they
/// came.
#[derive(Default)]
pub(crate) struct Unlearned(VecDeque<ArrivedReply>);

impl Unlearned {
    pub(crate) fn extend(&mut self, arrived: VecDeque<ArrivedReply>) {
        self.0.extend(arrived);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the first reply that somebody waits for, with what `waits` says of it.
    pub(crate) fn take_first<T>(
        &mut self,
        waits: impl Fn(&ArrivedReply) -> Option<T>,
    ) -> Option<(T, ArrivedReply)> {
        let (at, wait) = self.0.iter().enumerate().find_map(|(at, reply)| Some((at, waits(reply)?)))?;
        self.0.remove(at).map(|reply| (wait, reply))
    }

    /// Takes the replies to requests up to those that were `sent` last: nobody waits for them any
    /// more. A later one answers a request of a delivery that is going to be tried again.
    pub(crate) fn take_late(&mut self, sent: impl Fn(&ActorId) -> Ssn) -> Vec<ArrivedReply> {
        let is_late = |reply: &ArrivedReply| reply.ssn <= sent(&reply.from);
        let late = self.0.iter().filter(|reply| is_late(reply)).cloned().collect();
        self.0.retain(|reply| !is_late(reply));
        late
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn reply(from: &str, ssn: u64) -> ArrivedReply {
        let from = ActorId::new("account", from).unwrap();
        ArrivedReply { from, ssn: Ssn::new(ssn), outcome: Bytes::new() }
    }

    #[test]
    fn a_reply_wakes_the_handler_that_waits_once() {
        let mut arrivals = Arrivals::default();
        assert!(arrivals.push(reply("a", 1)).is_none(), "nobody waits");
        assert_eq!(arrivals.take(Some(Waker::noop())), [reply("a", 1)]);
        assert!(arrivals.push(reply("a", 2)).is_some());
        assert!(arrivals.push(reply("a", 3)).is_none(), "it is woken already");
        assert_eq!(arrivals.take(None).len(), 2);
        assert!(arrivals.is_empty());
    }

    /// A reply that comes while its asker is restarted waits until the ask is made again.
    #[test]
    fn a_reply_is_late_when_its_request_was_sent_and_nobody_waits() {
        let mut unlearned = Unlearned::default();
        unlearned.extend([reply("a", 1), reply("b", 7), reply("a", 2)].into());
        let taken = unlearned.take_first(|reply| (reply.ssn == Ssn::new(2)).then_some(5));
        assert_eq!(taken, Some((5, reply("a", 2))));
        let late = unlearned.take_late(|_| Ssn::new(6));
        assert_eq!(late, [reply("a", 1)]);
        assert!(!unlearned.is_empty());
        assert_eq!(unlearned.take_late(|_| Ssn::new(7)), [reply("b", 7)]);
    }
}
