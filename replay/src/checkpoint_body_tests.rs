//! What a checkpoint gives back, and which bytes it refuses to be.

use relive_storage::record::{Delivery, Quarantine};

use super::*;
use crate::payload::encode;
use crate::{Actor, KindBuilder};

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
    }
}

/// An actor that has received from all kinds of senders, left deliveries out, and sent messages.
fn instance() -> Instance {
    let mut instance = Instance::create(kind(), id("alice"), STORE);
    let senders = [
        Sender::Outside,
        Sender::Producer { name: "till".into(), ssn: Ssn::new(1) },
        Sender::Actor { id: id("bob"), ssn: Ssn::new(1) },
    ];
    for (rsn, sender) in (1..).map(Rsn::new).zip(senders) {
        instance.admit(&sender);
        let (message, payload, clock) = ("deposit".into(), Bytes::from_static(b"\x02"), Default::default());
        let delivery = Delivery { rsn, sender, asked: false, message, payload, clock, seed: 0 };
        instance.skip(&delivery, &Quarantine { rsn, tries: 3, reason: "it panicked".to_owned() });
    }
    for (to, ssn) in [("bob", 3), ("carol", 1)] {
        instance.channels.to_actors.insert(id(to), Ssn::new(ssn));
    }
    instance
}

/// The last messages of each channel, of which receivers have the ones before.
fn outbox() -> Vec<Outgoing> {
    vec![outgoing("bob", 2), outgoing("carol", 1), outgoing("bob", 3)]
}

fn captured() -> Checkpoint {
    capture(&instance(), &outbox(), CheckpointNumber::new(5), &|| ()).unwrap().0
}

/// What a checkpoint with a changed body is revived as.
fn revived(change: impl FnOnce(&mut Body)) -> Result<(Instance, Vec<Outgoing>), CodecError> {
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
    assert_eq!((&header.actor, header.rsn, header.number.get()), (&id("alice"), Rsn::new(3), 5));
    assert!(header.restore_at_open, "it owes messages");
    let (after, owed) = revive(&kind(), &checkpoint, STORE).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(owed, outbox());
    assert_eq!((after.handled(), after.received()), (Rsn::new(3), Rsn::new(3)));
    assert_eq!(after.state::<Account>(), Some(&Account { cents: 7 }));
    assert!(after.channels == before.channels && after.quarantine == before.quarantine);
    assert_eq!(sent(&checkpoint).unwrap(), before.channels.to_actors);
}

/// Without messages and quarantine nobody needs the actor at an opening.
#[test]
fn an_actor_that_owes_nothing_stays_passive() {
    let fresh = Instance::create(kind(), id("alice"), STORE);
    let (checkpoint, _) = capture(&fresh, &[], CheckpointNumber::new(1), &|| ()).unwrap();
    assert!(!checkpoint.header.restore_at_open);
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

/// What no actor could have written is refused, and nothing of it is taken for a position or name.
#[test]
fn what_could_not_have_been_logged_is_refused() {
    for change in [
        |body: &mut Body| body.quarantine[0].rsn = 0,
        |body: &mut Body| body.quarantine[2].rsn = 4,
        |body: &mut Body| body.quarantine[1].origin = 3,
        |body: &mut Body| body.quarantine[0].message = String::new(),
        |body: &mut Body| body.quarantine[0].payload = vec![0; PAYLOAD_BYTES_MAX + 1],
        |body: &mut Body| body.quarantine[1].sender = SentBy::Producer { name: String::new(), ssn: 1 },
        |body: &mut Body| body.quarantine[1].sender = SentBy::Actor { id: "bob".to_owned(), ssn: 1 },
        |body: &mut Body| body.outbox[0].payload = vec![0; PAYLOAD_BYTES_MAX + 1],
        |body: &mut Body| body.outbox[0].message = "x".repeat(65),
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
    let (checkpoint, expected) = capture(&instance(), &[], CheckpointNumber::new(5), &|| ()).unwrap();
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
    let _ = capture(&instance, &[], CheckpointNumber::new(1), &|| ());
}

#[test]
#[should_panic(expected = "owes what it did not send last")]
fn an_outbox_of_what_was_not_sent_is_a_bug() {
    let _ = capture(&instance(), &[outgoing("bob", 2)], CheckpointNumber::new(1), &|| ());
}
