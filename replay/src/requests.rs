//! The requests with an idempotency key that an actor has received, and what came of each. Knows
//! keys, positions and encoded replies; no state, no handler, and nobody who waits.
//!
//! A replay takes each request in that the log has, whatever stands in this table: it was new when
//! the runtime logged it. Only the intake of a running actor judges by the table.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use relive_storage::limits::{IDEMPOTENCY_KEYS_MAX, IDEMPOTENCY_REPLIES_BYTES_MAX, PAYLOAD_BYTES_MAX};
use relive_storage::record::{Delivery, Sender};
use relive_storage::{Name, Rsn, Timestamp};

use crate::effects::content;

/// What an actor keeps as the reply to a request with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptReply {
    /// The encoded reply.
    Encoded(Bytes),
    /// The encoded reply was larger than 1 MiB, and is not kept.
    TooLarge {
        /// Its size in bytes.
        found: usize,
    },
}

impl KeptReply {
    /// What is kept of an encoded reply.
    #[must_use]
    pub fn of(reply: Bytes) -> Self {
        match reply.len() {
            found if found > PAYLOAD_BYTES_MAX => Self::TooLarge { found },
            _ => Self::Encoded(reply),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Encoded(reply) => reply.len(),
            Self::TooLarge { .. } => 0,
        }
    }
}

/// What the table says about a request that comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// No request is known under its key.
    Nothing,
    /// No request is known under its key, and the table has no room for one more: what is in it
    /// must be kept for longer.
    Full,
    /// Its key belongs to a request with another message.
    Other,
    /// The same request was taken in at this position, and is not handled yet.
    Ahead(Rsn),
    /// The same request was handled, with this reply.
    Handled(KeptReply),
    /// The actor has left the same request out at this position.
    LeftOut(Rsn),
}

/// The requests of an actor, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    by_key: BTreeMap<Name, Request>,
    /// The keys of those that were handled, oldest first.
    handled: BTreeMap<Rsn, Name>,
    /// What their replies have together.
    reply_bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    rsn: Rsn,
    /// A hash of the message's name and payload.
    content: u64,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Ahead,
    Handled(Timestamp, KeptReply),
    LeftOut,
}

/// A request that was handled, as a checkpoint keeps it.
pub(crate) struct HandledRequest {
    pub(crate) key: Name,
    pub(crate) rsn: Rsn,
    pub(crate) content: u64,
    pub(crate) clock: Timestamp,
    pub(crate) reply: KeptReply,
}

impl Requests {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// What is known about a request.
    pub(crate) fn look_up(&self, key: &Name, message: &Name, payload: &[u8]) -> Known {
        let Some(known) = self.by_key.get(key) else {
            let is_full = self.by_key.len() >= IDEMPOTENCY_KEYS_MAX
                || self.reply_bytes >= IDEMPOTENCY_REPLIES_BYTES_MAX;
            return if is_full { Known::Full } else { Known::Nothing };
        };
        if known.content != content(message, payload) {
            return Known::Other;
        }
        match &known.outcome {
            Outcome::Ahead => Known::Ahead(known.rsn),
            Outcome::Handled(_, reply) => Known::Handled(reply.clone()),
            Outcome::LeftOut => Known::LeftOut(known.rsn),
        }
    }

    /// Drops what was handled and is older than `retention`, the oldest first. A request that is
    /// ahead or in quarantine stays.
    pub(crate) fn forget(&mut self, now: Timestamp, retention: Duration) {
        while let Some((_, key)) = self.handled.first_key_value() {
            let key = key.clone();
            let known = self.by_key.get(&key).map(|known| &known.outcome);
            let Some(Outcome::Handled(clock, _)) = known else {
                unreachable!("{key:?} stands among those that were handled")
            };
            if now.since(*clock) <= retention {
                break;
            }
            self.remove(&key);
        }
    }

    /// The request at `delivery` is taken in. One that was known under its key is older, and was
    /// forgotten when the log took this one in.
    pub(crate) fn expect(&mut self, delivery: &Delivery) {
        self.put(delivery, Outcome::Ahead);
    }

    /// The request at `delivery` is handled.
    pub(crate) fn handled(&mut self, delivery: &Delivery, reply: KeptReply) {
        self.put(delivery, Outcome::Handled(delivery.clock, reply));
    }

    /// The request at `delivery` is in quarantine.
    pub(crate) fn left_out(&mut self, delivery: &Delivery) {
        self.put(delivery, Outcome::LeftOut);
    }

    /// The request at `rsn` leaves the quarantine. Its key is free, unless a retry has it.
    pub(crate) fn discharged(&mut self, key: &Name, rsn: Rsn) {
        let is_left_out = |known: &&Request| known.rsn == rsn && known.outcome == Outcome::LeftOut;
        if self.by_key.get(key).filter(is_left_out).is_some() {
            self.remove(key);
        }
    }

    fn put(&mut self, delivery: &Delivery, outcome: Outcome) {
        let Sender::Keyed { key } = &delivery.sender else {
            unreachable!("{} has no idempotency key", delivery.rsn)
        };
        let (rsn, content) = (delivery.rsn, content(&delivery.message, &delivery.payload));
        self.replace(key, Request { rsn, content, outcome });
    }

    fn replace(&mut self, key: &Name, request: Request) {
        // A later request is known under the key, so this one is forgotten already.
        if self.by_key.get(key).is_some_and(|known| known.rsn > request.rsn) {
            return;
        }
        self.remove(key);
        self.insert(key.clone(), request);
    }

    fn insert(&mut self, key: Name, request: Request) {
        if let Outcome::Handled(_, reply) = &request.outcome {
            self.reply_bytes += reply.bytes();
            self.handled.insert(request.rsn, key.clone());
        }
        self.by_key.insert(key, request);
    }

    fn remove(&mut self, key: &Name) {
        let Some(Request { rsn, outcome, .. }) = self.by_key.remove(key) else { return };
        if let Outcome::Handled(_, reply) = outcome {
            self.reply_bytes -= reply.bytes();
            let handled = self.handled.remove(&rsn);
            assert_eq!(handled.as_ref(), Some(key), "the request at {rsn} has one key");
        }
    }

    /// Those that were handled, oldest first.
    ///
    /// # Panics
    /// When one is ahead.
    pub(crate) fn all_handled(&self) -> impl Iterator<Item = HandledRequest> {
        self.by_key.iter().for_each(|(key, known)| {
            assert!(known.outcome != Outcome::Ahead, "the request {key:?} is ahead between two deliveries");
        });
        self.handled.values().filter_map(|key| {
            let Request { rsn, content, outcome } = self.by_key.get(key)?;
            let Outcome::Handled(clock, reply) = outcome else { return None };
            let (key, rsn, content, clock) = (key.clone(), *rsn, *content, *clock);
            Some(HandledRequest { key, rsn, content, clock, reply: reply.clone() })
        })
    }

    /// Adds what a checkpoint kept. `false` when its key or its position is taken.
    #[must_use]
    pub(crate) fn revive(&mut self, kept: HandledRequest) -> bool {
        let HandledRequest { key, rsn, content, clock, reply } = kept;
        if self.by_key.contains_key(&key) || self.handled.contains_key(&rsn) {
            return false;
        }
        self.insert(key, Request { rsn, content, outcome: Outcome::Handled(clock, reply) });
        true
    }

    /// Adds a request that a checkpoint has in quarantine.
    pub(crate) fn revive_left_out(&mut self, key: &Name, rsn: Rsn, message: &Name, payload: &[u8]) {
        let content = content(message, payload);
        self.replace(key, Request { rsn, content, outcome: Outcome::LeftOut });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(key: &str, rsn: u64) -> Delivery {
        let sender = Sender::Keyed { key: key.into() };
        let (message, payload, clock) = ("deposit".into(), Bytes::from_static(b"\x05"), at(rsn));
        Delivery { rsn: Rsn::new(rsn), sender, asked: true, message, payload, clock, seed: 0 }
    }

    /// The delivery at `rsn` has the clock `rsn` seconds.
    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn reply(bytes: usize) -> KeptReply {
        KeptReply::of(vec![7; bytes].into())
    }

    fn known(requests: &Requests, key: &str) -> Known {
        requests.look_up(&key.into(), &"deposit".into(), b"\x05")
    }

    /// Requests with the keys 1, 2, …, of which the first `count` were handled, with replies of so
    /// many bytes.
    fn handled(count: u64, bytes: usize) -> Requests {
        let mut requests = Requests::default();
        for rsn in 1..=count {
            requests.handled(&delivery(&rsn.to_string(), rsn), reply(bytes));
        }
        requests
    }

    #[test]
    fn a_request_is_known_by_its_key_and_its_message() {
        let mut requests = Requests::default();
        assert_eq!(known(&requests, "a"), Known::Nothing);
        requests.expect(&delivery("a", 1));
        assert_eq!(known(&requests, "a"), Known::Ahead(Rsn::new(1)));
        requests.handled(&delivery("a", 1), reply(3));
        assert_eq!(known(&requests, "a"), Known::Handled(reply(3)));
        assert_eq!(known(&requests, "b"), Known::Nothing);
        assert_eq!(requests.look_up(&"a".into(), &"deposit".into(), b"\x06"), Known::Other);
        assert_eq!(requests.look_up(&"a".into(), &"deposi".into(), b"t\x05"), Known::Other);
        assert_eq!(requests.reply_bytes, 3);
    }

    /// What is promised to be kept is kept; what is older goes, the oldest first.
    #[test]
    fn what_is_older_than_the_retention_is_forgotten() {
        let mut requests = handled(3, 2);
        requests.expect(&delivery("4", 4));
        let retention = Duration::from_secs(10);
        requests.forget(at(11), retention);
        assert_eq!(known(&requests, "1"), Known::Handled(reply(2)), "it is not older than that");
        requests.forget(at(12), retention);
        assert_eq!(known(&requests, "1"), Known::Nothing);
        assert_eq!((known(&requests, "2"), requests.reply_bytes), (Known::Handled(reply(2)), 4));
        requests.forget(at(1_000), retention);
        assert_eq!((known(&requests, "3"), requests.reply_bytes), (Known::Nothing, 0));
        assert_eq!(known(&requests, "4"), Known::Ahead(Rsn::new(4)), "nobody has its reply yet");
    }

    /// A clock that goes back forgets nothing early.
    #[test]
    fn a_clock_that_goes_back_forgets_nothing() {
        let mut requests = handled(2, 2);
        requests.forget(at(0), Duration::ZERO);
        assert_eq!(known(&requests, "1"), Known::Handled(reply(2)));
        requests.forget(at(2), Duration::ZERO);
        assert_eq!(
            (known(&requests, "1"), known(&requests, "2")),
            (Known::Nothing, Known::Handled(reply(2)))
        );
    }

    /// Invariant: bounded. The table is in each checkpoint, so it has a bound in both.
    #[test]
    fn a_table_is_full_by_number_and_by_bytes() {
        let mut requests = handled(IDEMPOTENCY_KEYS_MAX as u64 - 1, 1);
        assert_eq!(known(&requests, "new"), Known::Nothing);
        requests.expect(&delivery("last", IDEMPOTENCY_KEYS_MAX as u64));
        assert_eq!(known(&requests, "new"), Known::Full);
        assert_eq!(known(&requests, "last"), Known::Ahead(Rsn::new(IDEMPOTENCY_KEYS_MAX as u64)));
        let bytes = IDEMPOTENCY_REPLIES_BYTES_MAX / 16;
        assert_eq!(known(&handled(15, bytes), "new"), Known::Nothing);
        assert_eq!(known(&handled(16, bytes), "new"), Known::Full);
    }

    /// A reply over its limit is not kept, and what became of the request is.
    #[test]
    fn a_reply_over_its_limit_is_known_by_its_size() {
        let requests = handled(1, PAYLOAD_BYTES_MAX + 1);
        assert_eq!(
            known(&requests, "1"),
            Known::Handled(KeptReply::TooLarge { found: PAYLOAD_BYTES_MAX + 1 })
        );
        assert_eq!(requests.reply_bytes, 0);
        assert_eq!(handled(1, PAYLOAD_BYTES_MAX).reply_bytes, PAYLOAD_BYTES_MAX);
    }

    /// A request keeps its key while it is in quarantine. Dropped, it frees the key; a retry has
    /// it.
    #[test]
    fn a_request_in_quarantine_keeps_its_key() {
        let mut requests = Requests::default();
        requests.expect(&delivery("a", 1));
        requests.left_out(&delivery("a", 1));
        requests.forget(at(1_000), Duration::ZERO);
        assert_eq!(known(&requests, "a"), Known::LeftOut(Rsn::new(1)));
        let mut dropped = requests.clone();
        dropped.discharged(&"a".into(), Rsn::new(1));
        assert_eq!((known(&dropped, "a"), dropped.is_empty()), (Known::Nothing, true));
        requests.expect(&delivery("a", 2));
        requests.discharged(&"a".into(), Rsn::new(1));
        assert_eq!(known(&requests, "a"), Known::Ahead(Rsn::new(2)));
    }

    /// The log took the second request under a key in, so the first was forgotten, though a replay
    /// may come to its end later.
    #[test]
    fn the_last_request_under_a_key_counts() {
        let mut requests = handled(1, 2);
        requests.expect(&delivery("1", 9));
        assert_eq!((known(&requests, "1"), requests.reply_bytes), (Known::Ahead(Rsn::new(9)), 0));
        requests.handled(&delivery("1", 1), reply(2));
        assert_eq!(known(&requests, "1"), Known::Ahead(Rsn::new(9)));
        requests.handled(&delivery("1", 9), reply(4));
        assert_eq!((known(&requests, "1"), requests.reply_bytes), (Known::Handled(reply(4)), 4));
    }
}
