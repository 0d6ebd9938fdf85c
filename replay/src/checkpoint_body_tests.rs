//! What a checkpoint gives back, and which bytes it refuses to be.

use std::time::Duration;

use bytes::Bytes;
use relive_storage::Timestamp;
use relive_storage::limits::{PAYLOAD_BYTES_MAX, POSITION_MAX};
use relive_storage::record::{Delivery, Quarantine};
use serde::{Deserialize, Serialize};

use super::*;
use crate::checkpoint_parts::SentBy;
use crate::payload::encode;
use crate::requests::KeptReply;
use crate::timers::{TIMERS_PER_ACTOR_MAX, Timer};
use crate::{Actor, KindBuilder, Known};

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Account {
    cents: u64,
}

impl Actor for Account {
    const KIND: &'static str = "account";

    fn create(_: &str) -> Self {
        Self { cents: 7 }
    }
}

const STORE: StoreId = StoreId::new(1);

fn kind() -> Arc<dyn Kind> {
    KindBuilder::<Account>::new().build().unwrap()
}

fn id(key: &str) -> ActorId {
    ActorId::new("account", key).unwrap()
}

fn outgoing(to: &str, ssn: u64) -> Outgoing {
    Outgoing {
        to: id(to),
        ssn: Ssn::new(ssn),
        message: "deposit".into(),
        payload: Bytes::from_static(b"\x01"),
        asked: ssn == 3,
    }
}

/// An actor that has received from all kinds of senders, left deliveries out, and sent messages.
fn instance() -> Instance {
    let mut instance = Instance::create(kind(), id("alice"), STORE);
    let senders = [
        Sender::Outside,
        Sender::Producer { name: "till".into(), ssn: Ssn::new(1) },
        Sender::Actor { id: id("bob"), ssn: Ssn::new(1) },
        Sender::Timer { name: "remind".into(), due: Timestamp::from_micros(u64::MAX) },
        Sender::Keyed { key: "order 17".into() },
    ];
    for (rsn, sender) in (1..).map(Rsn::new).zip(senders) {
        instance.admit(&sender);
        let (message, payload, clock) = ("deposit".into(), Bytes::from_static(b"\x02"), Default::default());
        let delivery = Delivery { rsn, sender, asked: false, message, payload, clock, seed: 0 };
        instance.skip(&delivery, &Quarantine { rsn, tries: 3, reason: "it panicked".to_owned() });
    }
    for (name, timer) in timers_set() {
        instance.process.timers.change(name, Some(timer));
    }
    let numbers = [("bob", 3), ("carol", 1)].map(|(to, ssn)| (id(to), Ssn::new(ssn)));
    instance.process.outbound = Outbound::from(BTreeMap::from(numbers));
    instance
}

/// One that fires once, and a periodic one for another actor, which is due first.
fn timers_set() -> [(Name, Timer); 2] {
    let timer = |due, every, to| {
        let (due, message, payload) =
            (Timestamp::from_micros(due), "deposit".into(), Bytes::from_static(b"\x04"));
        Timer { due, every, to, message, payload }
    };
    let daily = timer(70, Some(Duration::from_secs(86_400)), Some(id("bob")));
    [("once".into(), timer(90, None, None)), ("daily".into(), daily)]
}

/// The last messages of each channel, of which receivers have the ones before.
fn outbox() -> Vec<Outgoing> {
    vec![outgoing("bob", 2), outgoing("carol", 1), outgoing("bob", 3)]
}

/// The outbox, and a reply to an actor that has asked.
fn owed() -> Owed {
    let outcome = Bytes::from_static(b"\x03");
    Owed { messages: outbox(), replies: vec![OutgoingReply { to: id("bob"), ssn: Ssn::new(1), outcome }] }
}

fn captured() -> Checkpoint {
    capture(&instance(), &owed(), CheckpointNumber::new(5), &|| ()).unwrap().0
}

/// What a checkpoint with a changed body is revived as.
fn revived(change: impl FnOnce(&mut Body)) -> Result<(Instance, Owed), CodecError> {
    let mut checkpoint = captured();
    let mut body: Body = decode(&checkpoint.body).unwrap();
    change(&mut body);
    checkpoint.body = encode(&body).unwrap().into();
    revive(&kind(), &checkpoint, STORE)
}

/// Invariant: checkpoint-covers-log. Nothing of the actor is lost on the way.
#[test]
fn an_actor_comes_back_as_it_was() {
    let (before, checkpoint) = (instance(), captured());
    let header = &checkpoint.header;
    assert_eq!((&header.actor, header.rsn, header.number.get()), (&id("alice"), Rsn::new(5), 5));
    assert!(header.restore_at_open, "it owes messages");
    let (after, back) = revive(&kind(), &checkpoint, STORE).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(back, owed());
    assert_eq!((after.handled(), after.received()), (Rsn::new(5), Rsn::new(5)));
    assert_eq!(after.state::<Account>(), Some(&Account { cents: 7 }));
    assert_eq!(after.inbound, before.inbound);
    let (after, before) = (after.process, before.process);
    assert!(after.outbound == before.outbound && after.quarantine == before.quarantine);
    assert_eq!((after.timers, header.wake_at), (before.timers, Some(Timestamp::from_micros(70))));
    assert_eq!(sent(&checkpoint).unwrap(), *before.outbound.numbers());
}

/// As [`instance`], with two more requests under keys, which were handled.
fn with_requests() -> Instance {
    let mut instance = instance();
    for (rsn, key, bytes) in [(6, "order 18", 3), (7, "order 19", PAYLOAD_BYTES_MAX + 1)] {
        let sender = Sender::Keyed { key: key.into() };
        instance.admit(&sender);
        let (rsn, message, payload) = (Rsn::new(rsn), "deposit".into(), Bytes::from_static(b"\x05"));
        let clock = Timestamp::from_micros(rsn.get());
        let delivery = Delivery { rsn, sender, asked: true, message, payload, clock, seed: 0 };
        instance.process.now_handled(rsn);
        instance.keep_reply(&delivery, vec![4; bytes].into());
    }
    instance
}

/// As [`revived`], of an actor with requests.
fn revived_requests(change: impl FnOnce(&mut Body)) -> Result<(Instance, Owed), CodecError> {
    let (mut checkpoint, _) =
        capture(&with_requests(), &Owed::default(), CheckpointNumber::new(5), &|| ()).unwrap();
    let mut body: Body = decode(&checkpoint.body).unwrap();
    change(&mut body);
    checkpoint.body = encode(&body).unwrap().into();
    revive(&kind(), &checkpoint, STORE)
}

/// Invariant: exactly-once inside. An actor knows after a checkpoint what it knew of requests:
/// those that were handled, and those in quarantine.
#[test]
fn requests_come_back_with_their_replies() {
    let Ok((after, _)) = revived_requests(|_| ()) else { panic!("it does not come back") };
    assert_eq!(after.inbound, with_requests().inbound);
    let request = |key: &str, payload| after.inbound.request(&key.into(), &"deposit".into(), payload);
    let kept = KeptReply::Encoded(Bytes::from_static(b"\x04\x04\x04"));
    assert_eq!(request("order 18", b"\x05"), Known::Handled(kept));
    assert_eq!(request("order 18", b"\x06"), Known::Other);
    let too_large = KeptReply::TooLarge { found: PAYLOAD_BYTES_MAX + 1 };
    assert_eq!(request("order 19", b"\x05"), Known::Handled(too_large));
    assert_eq!(request("order 17", b"\x02"), Known::LeftOut(Rsn::new(5)));
    assert_eq!(request("order 16", b"\x02"), Known::Nothing);
}

/// An actor without requests has a checkpoint as before there were any.
#[test]
fn requests_take_no_room_when_there_are_none() {
    let fresh = Instance::create(kind(), id("alice"), STORE);
    let (checkpoint, _) = capture(&fresh, &Owed::default(), CheckpointNumber::new(1), &|| ()).unwrap();
    assert!(!checkpoint.body.windows(8).any(|window| window == b"requests"));
    let Ok((after, _)) = revive(&kind(), &checkpoint, STORE) else { panic!("it does not come back") };
    assert!(after.inbound.requests.is_none());
}

/// What no actor could have kept is refused.
#[test]
fn requests_that_could_not_have_been_handled_are_refused() {
    for change in [
        |body: &mut Body| body.requests[0].rsn = 0,
        |body: &mut Body| body.requests[1].rsn = 8,
        |body: &mut Body| body.requests[1].rsn = 6,
        |body: &mut Body| body.requests[0].key = String::new(),
        |body: &mut Body| body.requests[0].key = "x".repeat(257),
        |body: &mut Body| body.requests[0].key = "order 19".to_owned(),
        |body: &mut Body| body.requests[0].reply = vec![0; PAYLOAD_BYTES_MAX + 1],
        |body: &mut Body| body.requests[0].too_large = 1,
        |body: &mut Body| body.requests[1].too_large = PAYLOAD_BYTES_MAX as u64,
        |body: &mut Body| body.requests[1].reply = vec![0],
    ] {
        assert!(revived_requests(change).is_err());
    }
    assert!(revived_requests(|body| body.requests[0].key = "x".repeat(256)).is_ok());
}

#[test]
#[should_panic(expected = "is ahead between two deliveries")]
fn a_request_without_an_outcome_in_a_checkpoint_is_a_bug() {
    let mut instance = with_requests();
    let (rsn, message, payload) = (Rsn::new(7), "deposit".into(), Bytes::new());
    let (sender, clock) = (Sender::Keyed { key: "order 20".into() }, Timestamp::default());
    let delivery = Delivery { rsn, sender, asked: true, message, payload, clock, seed: 0 };
    instance.inbound.expect_request(&delivery);
    let _ = capture(&instance, &Owed::default(), CheckpointNumber::new(1), &|| ());
}

/// Without messages and quarantine nobody needs the actor at an opening.
#[test]
fn an_actor_that_owes_nothing_stays_passive() {
    let fresh = Instance::create(kind(), id("alice"), STORE);
    let (checkpoint, _) = capture(&fresh, &Owed::default(), CheckpointNumber::new(1), &|| ()).unwrap();
    assert!(!checkpoint.header.restore_at_open);
    assert_eq!(checkpoint.header.wake_at, None);
}

/// An actor that has nothing but a timer stays passive until it is due, so its header says when.
#[test]
fn a_timer_is_in_the_header() {
    let mut fresh = Instance::create(kind(), id("alice"), STORE);
    let [_, (name, timer)] = timers_set();
    fresh.process.timers.change(name, Some(timer));
    let (checkpoint, _) = capture(&fresh, &Owed::default(), CheckpointNumber::new(1), &|| ()).unwrap();
    let CheckpointHeader { restore_at_open, wake_at, .. } = checkpoint.header.clone();
    assert_eq!((restore_at_open, wake_at), (false, Some(Timestamp::from_micros(70))));
    for wake_at in [None, Some(Timestamp::from_micros(90))] {
        let header = CheckpointHeader { wake_at, ..checkpoint.header.clone() };
        assert!(revive(&kind(), &Checkpoint { header, ..checkpoint.clone() }, STORE).is_err());
    }
}

/// The names of a timer's fields in a checkpoint, which is stored: they do not change.
#[test]
fn a_timer_is_stored_under_names_that_stay() {
    let body = captured().body;
    let holds = |text: &str| body.windows(text.len()).any(|window| window == text.as_bytes());
    for name in ["timers", "once", "daily", "due", "every", "to", "message", "payload"] {
        assert!(holds(name), "{name}");
    }
    let fresh = Instance::create(kind(), id("alice"), STORE);
    let (checkpoint, _) = capture(&fresh, &Owed::default(), CheckpointNumber::new(1), &|| ()).unwrap();
    let is_absent = !checkpoint.body.windows(6).any(|window| window == b"timers");
    assert!(is_absent, "an actor without timers has the checkpoint that it had before there were any");
}

/// An actor's next message follows on its outbox, so an outbox that its channels do not go on from
/// is damage, whatever its checksum says.
#[test]
fn an_outbox_out_of_order_is_refused() {
    for change in [
        |body: &mut Body| drop(body.outbox.remove(2)),
        |body: &mut Body| body.outbox.swap(0, 2),
        |body: &mut Body| body.outbox[0].ssn = 1,
        |body: &mut Body| body.outbox[2].ssn = 0,
        |body: &mut Body| body.outbox[2].ssn = POSITION_MAX,
        |body: &mut Body| body.outbox[1].to = "account/dora".to_owned(),
        |body: &mut Body| _ = body.to_actors.remove("account/carol"),
        |body: &mut Body| _ = body.to_actors.insert("account/bob".to_owned(), 4),
    ] {
        assert!(revived(change).is_err());
    }
    assert!(revived(|body| drop(body.outbox.remove(0))).is_ok(), "a receiver has logged the first");
    assert!(revived(|body| body.outbox.clear()).is_ok(), "or all");
}

fn timer(body: &mut Body) -> &mut SetTimer {
    body.timers.get_mut("once").unwrap()
}

/// What no actor could have written is refused, and nothing of it is taken for a position or name.
#[test]
fn what_could_not_have_been_logged_is_refused() {
    for change in [
        |body: &mut Body| body.quarantine[0].rsn = 0,
        |body: &mut Body| body.quarantine[4].rsn = 6,
        |body: &mut Body| body.quarantine[1].origin = 3,
        |body: &mut Body| body.quarantine[0].message = String::new(),
        |body: &mut Body| body.quarantine[0].payload = vec![0; PAYLOAD_BYTES_MAX + 1],
        |body: &mut Body| body.quarantine[1].sender = SentBy::Producer { name: String::new(), ssn: 1 },
        |body: &mut Body| body.quarantine[1].sender = SentBy::Actor { id: "bob".to_owned(), ssn: 1 },
        |body: &mut Body| {
            body.quarantine[3].sender = SentBy::Timer { name: String::new(), due: Timestamp::default() };
        },
        |body: &mut Body| body.quarantine[4].sender = SentBy::Keyed { key: String::new() },
        |body: &mut Body| body.quarantine[4].sender = SentBy::Keyed { key: "x".repeat(257) },
        |body: &mut Body| body.outbox[0].payload = vec![0; PAYLOAD_BYTES_MAX + 1],
        |body: &mut Body| body.outbox[0].message = "x".repeat(65),
        |body: &mut Body| body.replies[0].ssn = 0,
        |body: &mut Body| body.replies[0].ssn = 2,
        |body: &mut Body| body.replies[0].to = "account/carol".to_owned(),
        |body: &mut Body| body.replies[0].outcome = vec![0; PAYLOAD_BYTES_MAX + 1],
        |body: &mut Body| timer(body).message = String::new(),
        |body: &mut Body| timer(body).payload = vec![0; PAYLOAD_BYTES_MAX + 1],
        |body: &mut Body| timer(body).every = 999,
        |body: &mut Body| timer(body).to = "bob".to_owned(),
        |body: &mut Body| timer(body).due = Timestamp::from_micros(5),
        |body: &mut Body| {
            let timer = body.timers.remove("once").unwrap();
            body.timers.insert(String::new(), timer);
        },
        |body: &mut Body| {
            for number in 0..TIMERS_PER_ACTOR_MAX {
                body.timers.insert(number.to_string(), SetTimer::of(&timers_set()[0].1));
            }
        },
        |body: &mut Body| _ = body.from_producers.insert("till".to_owned(), u64::MAX),
        |body: &mut Body| _ = body.from_actors.insert("nobody".to_owned(), 1),
        |body: &mut Body| body.state.truncate(1),
    ] {
        assert!(revived(change).is_err());
    }
    assert!(revived(|body| body.quarantine[1].origin = 1).is_ok(), "a retry of an earlier one");
}

/// Another value than the one that was captured is found before it counts.
#[test]
fn a_state_that_is_another_does_not_count() {
    let (checkpoint, expected) =
        capture(&instance(), &Owed::default(), CheckpointNumber::new(5), &|| ()).unwrap();
    assert_eq!(verify(&kind(), &checkpoint, &expected), Ok(()));
    let mut body: Body = decode(&checkpoint.body).unwrap();
    body.state = encode(&Account { cents: 8 }).unwrap();
    let other = Checkpoint { body: encode(&body).unwrap().into(), ..checkpoint };
    assert!(verify(&kind(), &other, &expected).is_err());
}

#[test]
#[should_panic(expected = "between two deliveries")]
fn a_checkpoint_in_the_middle_of_a_delivery_is_a_bug() {
    let mut instance = instance();
    instance.admit(&Sender::Outside);
    let _ = capture(&instance, &Owed::default(), CheckpointNumber::new(1), &|| ());
}

#[test]
#[should_panic(expected = "owes what it did not send last")]
fn an_outbox_of_what_was_not_sent_is_a_bug() {
    let owed = Owed { messages: vec![outgoing("bob", 2)], replies: Vec::new() };
    let _ = capture(&instance(), &owed, CheckpointNumber::new(1), &|| ());
}

#[test]
#[should_panic(expected = "owes a reply to what it did not receive")]
fn a_reply_to_what_was_not_asked_is_a_bug() {
    let mut owed = owed();
    owed.replies[0].ssn = Ssn::new(2);
    let _ = capture(&instance(), &owed, CheckpointNumber::new(1), &|| ());
}
