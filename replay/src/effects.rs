//! The effects that a handler asked for in one delivery: data, until the runtime releases them.

use std::hash::Hasher;

use bytes::Bytes;
use relive_storage::record::Released;
use relive_storage::{ActorId, Name, Rsn, Ssn, Timestamp};
use twox_hash::XxHash64;

use crate::timers::Timer;

/// A message to another actor that is not released yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The receiver.
    pub to: ActorId,
    /// Its number in the channel to that receiver.
    pub ssn: Ssn,
    /// The name of the message type.
    pub message: Name,
    /// The encoded message.
    pub payload: Bytes,
    /// Whether the sender waits for the reply.
    pub asked: bool,
}

impl Outgoing {
    /// What the log says of it once it has left, in the middle of the delivery at `rsn`.
    #[must_use]
    pub fn released(&self, rsn: Rsn) -> Released {
        let Self { to, ssn, message, payload, asked } = self;
        Released { rsn, to: to.clone(), ssn: *ssn, asked: *asked, content: content(message, payload) }
    }
}

/// A reply of an actor to a request of another one, or of its own: kept until the asker has it on
/// stable storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingReply {
    /// Who asked.
    pub to: ActorId,
    /// The number of the request in the channel from it.
    pub ssn: Ssn,
    /// The encoded [outcome](crate::ask::Answered).
    pub outcome: Bytes,
}

/// What an actor has sent and others may not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// Messages, in order within each channel.
    pub messages: Vec<Outgoing>,
    /// Replies to requests of other actors.
    pub replies: Vec<OutgoingReply>,
}

impl Owed {
    /// Whether nothing is owed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.replies.is_empty()
    }
}

/// The effects that one delivery asked for, in order.
#[derive(Debug, Default)]
pub struct Effects {
    /// Messages to other actors.
    pub sends: Vec<Outgoing>,
    /// The encoded reply, when a caller outside waits for it.
    pub reply: Option<Bytes>,
    /// The reply to another actor's request. Boxed, since few deliveries have one.
    pub answer: Option<Box<OutgoingReply>>,
    digest: Option<u64>,
}

/// The effects that a handler has asked for so far.
#[derive(Default)]
pub(crate) struct EffectsBuilder {
    pub(crate) sends: Vec<Outgoing>,
    hasher: Option<XxHash64>,
}

impl std::fmt::Debug for EffectsBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EffectsBuilder").field("sends", &self.sends).field("digest", &self.digest()).finish()
    }
}

/// A draw that is the same on replay because it comes from the delivery's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    Now = 1,
    Random = 2,
    IdempotencyKey = 3,
}

const TAG_DRAW: u8 = 1;
const TAG_SEND: u8 = 2;
const TAG_SIDE_EFFECT: u8 = 3;
const TAG_ASK: u8 = 4;
const TAG_SLEEP: u8 = 5;
const TAG_SET_TIMER: u8 = 6;
const TAG_CANCEL_TIMER: u8 = 7;
const TAG_QUERY: u8 = 8;

impl Effects {
    /// The hash of the sends, queries, timers, side effects and draws; `None` when there were none.
    /// The log stores it, so it never changes within a format version.
    ///
    /// It leaves the reply out: the caller has the reply already, and a reply type that gains a
    /// field does not change the behaviour.
    ///
    /// # Source
    /// XXH64 with seed 0: Collet, *xxHash fast digest algorithm*, specification, 2014 and later.
    #[must_use]
    pub fn digest(&self) -> Option<u64> {
        self.digest
    }

    /// The messages after the last request.
    pub(crate) fn last_sends(&self) -> &[Outgoing] {
        at_last_request(&self.sends).1
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { sends, reply, answer, digest } = self;
        sends.is_empty() && reply.is_none() && answer.is_none() && digest.is_none()
    }
}

/// The messages up to the last request, and those after it.
fn at_last_request(sends: &[Outgoing]) -> (&[Outgoing], &[Outgoing]) {
    sends.split_at(sends.iter().rposition(|outgoing| outgoing.asked).map_or(0, |at| at + 1))
}

impl EffectsBuilder {
    /// The handler is done: what it has asked for goes to its effects.
    pub(crate) fn complete(self, effects: &mut Effects) {
        effects.digest = self.digest();
        effects.sends = self.sends;
    }

    fn digest(&self) -> Option<u64> {
        self.hasher.as_ref().map(Hasher::finish)
    }

    /// The messages up to the last request. They leave the actor while the handler waits.
    pub(crate) fn released(&self) -> &[Outgoing] {
        at_last_request(&self.sends).0
    }

    /// The messages after the last request. They leave the actor when the handler is done.
    pub(crate) fn last_sends(&self) -> &[Outgoing] {
        at_last_request(&self.sends).1
    }

    /// Gives the messages after the last request up. The digest keeps them: the handler has asked
    /// for them.
    pub(crate) fn take_back_last_sends(&mut self) {
        self.sends.truncate(self.released().len());
    }

    pub(crate) fn draw(&mut self, draw: Draw, index: u32) {
        // The index alone, not the value: the value comes from the record and can't differ.
        let hasher = self.hasher();
        hasher.write(&[TAG_DRAW, draw as u8]);
        hasher.write(&index.to_le_bytes());
    }

    pub(crate) fn send(&mut self, outgoing: Outgoing) {
        self.hasher().write(&[TAG_SEND]);
        self.message(outgoing);
    }

    /// A request, which is a message whose reply is an event of this index.
    pub(crate) fn ask(&mut self, index: u32, outgoing: Outgoing) {
        let hasher = self.hasher();
        hasher.write(&[TAG_ASK]);
        hasher.write(&index.to_le_bytes());
        self.message(outgoing);
    }

    fn message(&mut self, outgoing: Outgoing) {
        let hasher = self.hasher();
        write_text(hasher, outgoing.to.as_str().as_bytes());
        write_text(hasher, outgoing.message.as_bytes());
        write_text(hasher, &outgoing.payload);
        // Without the ssn: it follows from the sends before, and the digest holds those.
        self.sends.push(outgoing);
    }

    pub(crate) fn side_effect(&mut self, index: u32, name: &str) {
        let hasher = self.hasher();
        hasher.write(&[TAG_SIDE_EFFECT]);
        hasher.write(&index.to_le_bytes());
        write_text(hasher, name.as_bytes());
    }

    /// A query. Nothing of it leaves the actor for good, but a replay that asks something else must
    /// not take the answer to this.
    pub(crate) fn query(&mut self, index: u32, to: &ActorId, query: &str, payload: &[u8]) {
        let hasher = self.hasher();
        hasher.write(&[TAG_QUERY]);
        hasher.write(&index.to_le_bytes());
        write_text(hasher, to.as_str().as_bytes());
        write_text(hasher, query.as_bytes());
        write_text(hasher, payload);
    }

    pub(crate) fn sleep(&mut self, index: u32, until: Timestamp) {
        let hasher = self.hasher();
        hasher.write(&[TAG_SLEEP]);
        hasher.write(&index.to_le_bytes());
        hasher.write(&until.as_micros().to_le_bytes());
    }

    pub(crate) fn set_timer(&mut self, name: &str, timer: &Timer) {
        let Timer { due, every, to, message, payload } = timer;
        let hasher = self.hasher();
        hasher.write(&[TAG_SET_TIMER]);
        write_text(hasher, name.as_bytes());
        hasher.write(&due.as_micros().to_le_bytes());
        // No period is 0: a period is never that short.
        hasher.write(&every.map_or(0, |every| every.as_micros()).to_le_bytes());
        // Nor has an actor an empty name.
        write_text(hasher, to.as_ref().map_or("", ActorId::as_str).as_bytes());
        write_text(hasher, message.as_bytes());
        write_text(hasher, payload);
    }

    pub(crate) fn cancel_timer(&mut self, name: &str) {
        let hasher = self.hasher();
        hasher.write(&[TAG_CANCEL_TIMER]);
        write_text(hasher, name.as_bytes());
    }

    fn hasher(&mut self) -> &mut XxHash64 {
        self.hasher.get_or_insert_with(|| XxHash64::with_seed(0))
    }
}

fn write_text(hasher: &mut XxHash64, bytes: &[u8]) {
    // The length first, so that two texts side by side can't be taken for two others.
    hasher.write(&(bytes.len() as u64).to_le_bytes());
    hasher.write(bytes);
}

/// A hash in the place of a message of up to 1 MiB. Checkpoints store it, so it never changes.
pub(crate) fn content(message: &Name, payload: &[u8]) -> u64 {
    // The hash of the name is the seed, so that the border between the two counts.
    XxHash64::oneshot(XxHash64::oneshot(0, message.as_bytes()), payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(message: &str, payload: &'static [u8]) -> Outgoing {
        let to = ActorId::new("account", "bob").unwrap();
        let payload = Bytes::from_static(payload);
        Outgoing { to, ssn: Ssn::new(1), message: message.into(), payload, asked: false }
    }

    /// Invariant: divergence-stops. The digest is stored, so its value must not change.
    #[test]
    fn the_digest_is_stable_and_depends_on_everything() {
        let digest = |fill: &dyn Fn(&mut EffectsBuilder)| {
            let mut effects = EffectsBuilder::default();
            fill(&mut effects);
            effects.digest()
        };
        assert_eq!(digest(&|_| {}), None);
        let send = digest(&|e| e.send(outgoing("credit", b"5")));
        assert_eq!(send, Some(0x79ef_33c1_987a_d764));
        assert_ne!(send, digest(&|e| e.send(outgoing("credit", b"6"))));
        assert_ne!(send, digest(&|e| e.send(outgoing("debit", b"5"))));
        assert_ne!(digest(&|e| e.draw(Draw::Now, 0)), digest(&|e| e.draw(Draw::Random, 0)));
        assert_ne!(digest(&|e| e.draw(Draw::Now, 0)), digest(&|e| e.draw(Draw::Now, 1)));
        assert_ne!(digest(&|e| e.side_effect(0, "a")), digest(&|e| e.side_effect(0, "b")));
        let query = |index, key: &str, name: &str, payload: &[u8]| {
            digest(&|e| e.query(index, &ActorId::new("account", key).unwrap(), name, payload))
        };
        assert_eq!(query(0, "bob", "total", b"5"), Some(0x3554_7827_ad70_0aef));
        let others = [(1, "bob", "total", b"5"), (0, "eve", "total", b"5"), (0, "bob", "sum", b"5")];
        for (index, key, name, payload) in others.into_iter().chain([(0, "bob", "total", b"6")]) {
            assert_ne!(query(index, key, name, payload), query(0, "bob", "total", b"5"));
        }
    }

    #[test]
    fn the_name_and_the_payload_are_the_content() {
        let name = Name::from("pass");
        assert_eq!(content(&name, b"7"), content(&name, b"7"));
        assert_ne!(content(&name, b"7"), content(&name, b"8"));
        assert_ne!(content(&Name::from("pas"), b"s7"), content(&name, b"7"));
        assert_eq!(content(&name, b"7"), 17_530_923_019_696_596_125, "checkpoints have it");
    }

    /// Invariant: divergence-stops. The digest of a timer is stored too, and holds all of it.
    #[test]
    fn the_digest_of_a_timer_depends_on_all_of_it() {
        let digest = |fill: &dyn Fn(&mut EffectsBuilder)| {
            let mut effects = EffectsBuilder::default();
            fill(&mut effects);
            effects.digest().unwrap()
        };
        let set = |name: &str, change: fn(&mut Timer)| {
            let (due, payload) = (Timestamp::from_micros(70), Bytes::from_static(b"5"));
            let mut timer = Timer { due, every: None, to: None, message: "credit".into(), payload };
            change(&mut timer);
            digest(&|e| e.set_timer(name, &timer))
        };
        let all = [
            set("a", |_| ()),
            set("b", |_| ()),
            set("a", |timer| timer.due = Timestamp::from_micros(71)),
            set("a", |timer| timer.every = Some(std::time::Duration::from_secs(1))),
            set("a", |timer| timer.to = ActorId::new("account", "bob").ok()),
            set("a", |timer| timer.message = "debit".into()),
            set("a", |timer| timer.payload = Bytes::from_static(b"6")),
            digest(&|e| e.cancel_timer("a")),
            digest(&|e| e.cancel_timer("b")),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(all[0], 0x3452_3aa2_d30d_100e);
    }
}
