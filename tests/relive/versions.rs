//! Class 27: what was handled is replayed by other code, or in other surroundings. Whatever these make of it, nothing that
//! was acknowledged changes: an actor stops, alone and visibly, and whoever can handle it goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use relive::{
    Actor, ActorRef, AskError, Context, Durability, FailureCause, Halt, Handle, Message, OpenError, Refused,
    Runtime,
};
use serde::{Deserialize, Serialize};

use crate::actors::happen;
use crate::medium;

/// What is around the actors, by the name of a test: whether a setting is there.
static SETTINGS: Mutex<BTreeMap<String, bool>> = Mutex::new(BTreeMap::new());

fn set(test: &str, there: bool) {
    SETTINGS.lock().unwrap_or_else(PoisonError::into_inner).insert(test.to_owned(), there);
}

fn is_set(test: &str) -> bool {
    *SETTINGS.lock().unwrap_or_else(PoisonError::into_inner).get(test).unwrap_or(&true)
}

/// Code that can do everything.
const GOOD: u8 = 1;
/// Code with an assertion that old messages break.
const ASSERTS: u8 = 2;
/// Code that computes something else, and sends nothing.
const DIFFERS: u8 = 3;

/// A till in one version of its code.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Till<const V: u8> {
    sum: u64,
    keys: Vec<String>,
}

impl<const V: u8> Actor for Till<V> {
    const KIND: &'static str = "till";
    fn create(_key: &str) -> Self {
        Self { sum: 0, keys: Vec::new() }
    }
}

impl<const V: u8> Till<V> {
    fn add(&mut self, cents: u64) {
        assert!(V != ASSERTS, "this code takes no such message");
        self.sum += if V == DIFFERS { cents - 1 } else { cents };
    }
}

macro_rules! message {
    ($type:ident $fields:tt, $name:literal, $reply:ty) => {
        #[derive(Serialize, Deserialize, Clone, Debug)]
        struct $type $fields

        impl Message for $type {
            const NAME: &'static str = $name;
            type Reply = $reply;
        }
    };
}

message!(Add { cents: u64 }, "add", u64);
message!(Pass { cents: u64 }, "pass", ());
message!(Charge { test: String, fails: u64 }, "charge", u64);
message!(NeedsSetting { test: String }, "needs-setting", u64);
message!(Sum {}, "sum", u64);
message!(Keys {}, "keys", Vec<String>);

impl<const V: u8> Handle<Add> for Till<V> {
    async fn handle(&mut self, message: Add, _cx: &mut Context<'_>) -> u64 {
        self.add(message.cents);
        self.sum
    }
}

impl<const V: u8> Handle<Pass> for Till<V> {
    async fn handle(&mut self, message: Pass, cx: &mut Context<'_>) {
        self.add(message.cents);
        if V != DIFFERS {
            cx.send::<Self, _>("receiver", Sent(message.cents)).unwrap();
        }
    }
}

#[derive(Serialize, Deserialize, Clone, Debug)]
struct Sent(u64);

impl Message for Sent {
    const NAME: &'static str = "sent";
    type Reply = ();
}

/// Whether five cents are more than a till takes.
static SENT_PANICS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

impl<const V: u8> Handle<Sent> for Till<V> {
    async fn handle(&mut self, message: Sent, _cx: &mut Context<'_>) {
        let panics = message.0 == 5 && !SENT_PANICS.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        assert!(!panics, "this code takes no such message");
        self.sum += message.0;
    }
}

impl<const V: u8> Handle<Charge> for Till<V> {
    /// Does something outside, and panics after that, as often as it is told.
    async fn handle(&mut self, message: Charge, cx: &mut Context<'_>) -> u64 {
        let key = cx.idempotency_key();
        let count = cx.side_effect("charge", || async { happen(&format!("{} {key}", message.test)) }).await;
        self.keys.push(key);
        assert!(happen(&message.test) > message.fails, "told to panic");
        count
    }
}

impl<const V: u8> Handle<NeedsSetting> for Till<V> {
    async fn handle(&mut self, message: NeedsSetting, _cx: &mut Context<'_>) -> u64 {
        assert!(is_set(&message.test), "a setting is missing");
        self.sum += 500;
        self.sum
    }
}

impl<const V: u8> Handle<Sum> for Till<V> {
    async fn handle(&mut self, _message: Sum, _cx: &mut Context<'_>) -> u64 {
        self.sum
    }
}

impl<const V: u8> Handle<Keys> for Till<V> {
    async fn handle(&mut self, _message: Keys, _cx: &mut Context<'_>) -> Vec<String> {
        self.keys.clone()
    }
}

async fn try_open<const V: u8>(path: &Path) -> Result<Runtime, OpenError> {
    let builder = medium::runtime().actor::<Till<V>>(|till| {
        let till = till.handles::<Add>().handles::<Pass>().handles::<Sent>().handles::<Charge>();
        till.handles::<NeedsSetting>().handles::<Sum>().handles::<Keys>()
    });
    builder.durability(Durability::ProcessCrash).open(path).await
}

async fn open<const V: u8>(path: &Path) -> Runtime {
    try_open::<V>(path).await.unwrap()
}

fn till<const V: u8>(runtime: &Runtime, key: &str) -> ActorRef<Till<V>> {
    runtime.actor(key).unwrap()
}

async fn sum<const V: u8>(runtime: &Runtime, key: &str) -> u64 {
    till::<V>(runtime, key).ask(Sum {}).await.unwrap()
}

/// Handles 2 and 500, told or asked, answered or not, and sends both on.
async fn handle_some(path: &Path, asked: bool) {
    let runtime = open::<GOOD>(path).await;
    let alice = till::<GOOD>(&runtime, "alice");
    for cents in [2, 500] {
        if asked {
            alice.ask(Add { cents }).await.unwrap();
            alice.ask(Pass { cents }).await.unwrap();
        } else {
            alice.tell(Add { cents }).await.unwrap().durable().await.unwrap();
            alice.tell(Pass { cents }).await.unwrap().durable().await.unwrap();
        }
    }
    assert_eq!(sum::<GOOD>(&runtime, "alice").await, 1004);
    while sum::<GOOD>(&runtime, "receiver").await != 502 {}
    till::<GOOD>(&runtime, "bystander").ask(Add { cents: 7 }).await.unwrap();
    runtime.crash().await;
}

/// Opens with code that can't replay what alice has handled: she is stopped, and told so; the others are as they were.
async fn expect_alice_stopped<const V: u8>(path: &Path) {
    for _ in 0..2 {
        let runtime = open::<V>(path).await;
        let refused = loop {
            match till::<V>(&runtime, "alice").tell(Add { cents: 1 }).await {
                Err(error) => break error,
                // Those that the opening could not judge are tried live, and she takes messages until then.
                Ok(_) => tokio::task::yield_now().await,
            }
        };
        let Refused::Actor(failure) = &refused.reason else { panic!("{refused}") };
        assert!(matches!(failure.cause, FailureCause::Replay | FailureCause::Undecided), "{failure}");
        assert!(failure.to_string().contains("its history is untouched"), "{failure}");
        assert!(runtime.failed_actors().contains(failure));
        assert!(runtime.quarantined().is_empty(), "{:?}", runtime.quarantined());
        assert_eq!(sum::<V>(&runtime, "receiver").await, 502);
        runtime.crash().await;
    }
}

/// Whether its records tell that it was handled or not, it is not left out, and nothing of it is gone for code that can
/// handle it.
#[tokio::test(flavor = "multi_thread")]
async fn class_27_code_that_panics_on_what_was_handled_stops_the_actor_alone() {
    for asked in [true, false] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        handle_some(&path, asked).await;
        // What comes after is for the same actor, so that the log shows that all before was handled.
        for certain in [false, true] {
            if certain {
                let runtime = open::<GOOD>(&path).await;
                till::<GOOD>(&runtime, "alice").ask(Sum {}).await.unwrap();
                runtime.crash().await;
            }
            let before = {
                let runtime = open::<GOOD>(&path).await;
                let before = sum::<GOOD>(&runtime, "alice").await;
                runtime.crash().await;
                before
            };
            let runtime = open::<ASSERTS>(&path).await;
            assert_eq!(sum::<ASSERTS>(&runtime, "receiver").await, 502);
            while runtime.failed_actors().iter().all(|failure| failure.actor.as_str() != "till/alice") {
                tokio::task::yield_now().await;
            }
            runtime.crash().await;
            let runtime = open::<GOOD>(&path).await;
            assert_eq!(sum::<GOOD>(&runtime, "alice").await, before, "asked {asked}, certain {certain}");
            assert!(runtime.failed_actors().is_empty() && runtime.quarantined().is_empty());
            runtime.crash().await;
        }
        expect_alice_stopped::<ASSERTS>(&path).await;
    }
}

/// A store whose receivers know more than their senders' code now sends opens; it is the sender that stops.
#[tokio::test(flavor = "multi_thread")]
async fn class_27_code_that_sends_otherwise_stops_the_sender_alone() {
    for asked in [true, false] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        handle_some(&path, asked).await;
        expect_alice_stopped::<DIFFERS>(&path).await;
        let runtime = open::<GOOD>(&path).await;
        assert_eq!(sum::<GOOD>(&runtime, "alice").await, 1004);
        assert_eq!(sum::<GOOD>(&runtime, "receiver").await, 502);
        runtime.shutdown().await.unwrap();
    }
}

/// The last message of a life has arrived, and no record of its sender says that it was handled: code that no longer sends
/// it is what is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn class_27_what_has_arrived_is_not_taken_for_a_lost_history() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = open::<GOOD>(&path).await;
    till::<GOOD>(&runtime, "alice").ask(Pass { cents: 7 }).await.unwrap();
    while sum::<GOOD>(&runtime, "receiver").await != 7 {}
    runtime.crash().await;
    for _ in 0..2 {
        let runtime = open::<DIFFERS>(&path).await;
        let failed = &runtime.recovery().failed;
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert!(matches!(&failed[0].halt, Halt::Divergence(d) if d.expected.contains("till/receiver")));
        assert_eq!(sum::<DIFFERS>(&runtime, "receiver").await, 7);
        runtime.crash().await;
    }
    let runtime = open::<GOOD>(&path).await;
    assert_eq!(sum::<GOOD>(&runtime, "alice").await, 7);
    assert_eq!(sum::<GOOD>(&runtime, "receiver").await, 7);
    runtime.shutdown().await.unwrap();
}

/// A shutdown leaves nothing to replay, so that other code changes nothing of what was.
#[tokio::test(flavor = "multi_thread")]
async fn class_27_after_a_shutdown_other_code_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    handle_some(&path, true).await;
    let runtime = open::<GOOD>(&path).await;
    assert_eq!(runtime.shutdown().await.unwrap().left, []);
    for _ in 0..2 {
        let runtime = open::<DIFFERS>(&path).await;
        assert_eq!(runtime.recovery().replayed, 0);
        assert_eq!(sum::<DIFFERS>(&runtime, "alice").await, 1004);
        assert_eq!(runtime.shutdown().await.unwrap().left, []);
    }
    let runtime = open::<ASSERTS>(&path).await;
    assert_eq!(sum::<ASSERTS>(&runtime, "alice").await, 1004);
    assert!(runtime.failed_actors().is_empty());
    // What is new is tried, and poison like any other.
    let error = till::<ASSERTS>(&runtime, "alice").ask(Add { cents: 1 }).await.unwrap_err();
    assert!(matches!(error.reason(), Some(Refused::Quarantined(_))), "{error}");
    runtime.shutdown().await.unwrap();
}

/// A restart replays what was handled in this very life, in surroundings that have changed since: that is no first try.
#[tokio::test(flavor = "multi_thread")]
async fn class_27_a_restart_that_can_not_replay_stops_the_actor() {
    let test = "class_27_a_restart_that_can_not_replay_stops_the_actor";
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = open::<GOOD>(&path).await;
    let alice = till::<GOOD>(&runtime, "alice");
    alice.ask(Add { cents: 2 }).await.unwrap();
    assert_eq!(alice.ask(NeedsSetting { test: test.to_owned() }).await.unwrap(), 502);
    set(test, false);
    let error = alice.ask(Charge { test: test.to_owned(), fails: 1 }).await.unwrap_err();
    let AskError::Unknown { reason: Refused::Actor(failure) } = &error else { panic!("{error}") };
    assert_eq!(failure.cause, FailureCause::Replay);
    assert!(
        matches!(&failure.halt, Halt::Panicked { panic, .. } if panic.contains("a setting")),
        "{failure}"
    );
    assert!(runtime.quarantined().is_empty());
    till::<GOOD>(&runtime, "bob").ask(Add { cents: 1 }).await.unwrap();
    runtime.shutdown().await.unwrap();
    for _ in 0..2 {
        let runtime = open::<GOOD>(&path).await;
        assert_eq!(runtime.recovery().failed.len(), 1, "{:?}", runtime.recovery());
        let left = runtime.shutdown().await.unwrap().left;
        assert_eq!(left.len(), 1);
        assert!(left[0].reason.contains("a setting is missing"), "{left:?}");
    }
    set(test, true);
    let runtime = open::<GOOD>(&path).await;
    let alice = till::<GOOD>(&runtime, "alice");
    assert_eq!(alice.ask(Sum {}).await.unwrap(), 502);
    assert_eq!(alice.ask(Keys {}).await.unwrap().len(), 1, "what it was in is done, too");
    runtime.shutdown().await.unwrap();
}

/// A retry of what is in quarantine is the same thing done again, not another one: outside it has the same key.
#[tokio::test(flavor = "multi_thread")]
async fn class_27_a_retry_keeps_its_idempotency_keys() {
    let test = "class_27_a_retry_keeps_its_idempotency_keys";
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let mut runtime = open::<GOOD>(&path).await;
    till::<GOOD>(&runtime, "alice").ask(Add { cents: 2 }).await.unwrap();
    let charge = Charge { test: test.to_owned(), fails: 7 };
    till::<GOOD>(&runtime, "alice").ask(charge).await.unwrap_err();
    let first = runtime.quarantined()[0].clone();
    for round in 0..2 {
        // Through the log once, and once through a checkpoint.
        if round == 1 {
            runtime.shutdown().await.unwrap();
        } else {
            runtime.crash().await;
        }
        runtime = open::<GOOD>(&path).await;
        let entry = runtime.quarantined()[0].clone();
        assert_eq!(entry.origin, first.rsn, "round {round}");
        runtime.retry_quarantined(&entry).await.unwrap();
        while runtime.quarantined().iter().any(|now| now.rsn == entry.rsn) {}
        till::<GOOD>(&runtime, "alice").ask(Sum {}).await.unwrap();
    }
    assert_eq!(runtime.quarantined(), []);
    let keys = till::<GOOD>(&runtime, "alice").ask(Keys {}).await.unwrap();
    assert_eq!(keys.len(), 1);
    assert!(keys[0].ends_with("/till/alice/2/0"), "{keys:?}");
    // The first delivery and both retries did it once each, since outcomes are logged, and all under one key.
    assert_eq!(happen(&format!("{test} {}", keys[0])), 4);
    runtime.crash().await;
    let runtime = open::<GOOD>(&path).await;
    assert_eq!(till::<GOOD>(&runtime, "alice").ask(Keys {}).await.unwrap(), keys);
    runtime.shutdown().await.unwrap();
}

/// The same till, of which a reply has gained a field, and a message is no longer known.
#[derive(Serialize, Deserialize)]
struct Newer {
    sum: u64,
    keys: Vec<String>,
}

impl Actor for Newer {
    const KIND: &'static str = "till";
    fn create(_key: &str) -> Self {
        Self { sum: 0, keys: Vec::new() }
    }
}

#[derive(Serialize, Deserialize)]
struct NewerAdd {
    cents: u64,
}

#[derive(Serialize, Deserialize)]
struct Added {
    sum: u64,
    note: String,
}

impl Message for NewerAdd {
    const NAME: &'static str = "add";
    type Reply = Added;
}

impl Handle<NewerAdd> for Newer {
    async fn handle(&mut self, message: NewerAdd, _cx: &mut Context<'_>) -> Added {
        self.sum += message.cents;
        Added { sum: self.sum, note: "new".to_owned() }
    }
}

/// A reply that was given is not compared with how the code of today would spell it.
#[tokio::test(flavor = "multi_thread")]
async fn class_27_a_reply_that_has_gained_a_field_is_no_divergence() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = open::<GOOD>(&path).await;
    for _ in 0..3 {
        till::<GOOD>(&runtime, "alice").ask(Add { cents: 5 }).await.unwrap();
    }
    runtime.crash().await;
    let builder = || medium::runtime().actor::<Newer>(|till| till.handles::<NewerAdd>());
    let runtime = builder().durability(Durability::ProcessCrash).open(&path).await.unwrap();
    assert!(runtime.recovery().failed.is_empty(), "{:?}", runtime.recovery().failed);
    let added = runtime.actor::<Newer>("alice").unwrap().ask(NewerAdd { cents: 1 }).await.unwrap();
    assert_eq!((added.sum, added.note.as_str()), (16, "new"));
    runtime.shutdown().await.unwrap();
}

/// A message that was handled and is covered by a checkpoint needs no handler any more.
#[tokio::test(flavor = "multi_thread")]
async fn class_27_messages_that_are_no_longer_sent_keep_no_store_from_opening() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = open::<GOOD>(&path).await;
    let alice = till::<GOOD>(&runtime, "alice");
    alice.ask(Add { cents: 5 }).await.unwrap();
    alice.ask(Sum {}).await.unwrap();
    runtime.shutdown().await.unwrap();
    let builder = || medium::runtime().actor::<Newer>(|till| till.handles::<NewerAdd>());
    let runtime = builder().durability(Durability::ProcessCrash).open(&path).await.unwrap();
    let added = runtime.actor::<Newer>("alice").unwrap().ask(NewerAdd { cents: 1 }).await.unwrap();
    assert_eq!(added.sum, 6);
    runtime.shutdown().await.unwrap();
}

/// A passive actor whose checkpoint is no state of the code is told of when the store is opened.
#[tokio::test(flavor = "multi_thread")]
async fn class_27_a_checkpoint_that_the_code_can_not_read_is_told_at_opening() {
    #[derive(Serialize, Deserialize)]
    struct Other {
        sums: Vec<u64>,
    }
    impl Actor for Other {
        const KIND: &'static str = "till";
        fn create(_key: &str) -> Self {
            Self { sums: Vec::new() }
        }
    }
    impl Handle<Sum> for Other {
        async fn handle(&mut self, _message: Sum, _cx: &mut Context<'_>) -> u64 {
            self.sums.iter().sum()
        }
    }
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = open::<GOOD>(&path).await;
    till::<GOOD>(&runtime, "alice").ask(Add { cents: 5 }).await.unwrap();
    runtime.shutdown().await.unwrap();
    for _ in 0..2 {
        let builder = medium::runtime().actor::<Other>(|till| till.handles::<Sum>());
        let runtime = builder.durability(Durability::ProcessCrash).open(&path).await.unwrap();
        let failed = &runtime.recovery().failed;
        assert_eq!(failed.len(), 1);
        assert!(matches!(&failed[0].halt, Halt::Checkpoint { reason, .. } if reason.contains("sums")));
        let refused = runtime.actor::<Other>("alice").unwrap().ask(Sum {}).await.unwrap_err();
        assert!(matches!(&refused, AskError::NotAccepted { reason: Refused::Actor(_), .. }), "{refused}");
        assert_eq!(runtime.actor::<Other>("bob").unwrap().ask(Sum {}).await.unwrap(), 0);
        runtime.shutdown().await.unwrap();
    }
    let runtime = open::<GOOD>(&path).await;
    assert_eq!(sum::<GOOD>(&runtime, "alice").await, 5);
    runtime.shutdown().await.unwrap();
}

/// A message that was owed when the store was opened was sent in a life before: code that can't handle it must not leave it
/// out either.
#[tokio::test(flavor = "multi_thread")]
async fn class_27_what_was_owed_is_not_left_out_by_code_that_can_not_handle_it() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = open::<GOOD>(&path).await;
    // The receiver is stopped in this life, so that what is sent to it stays owed.
    let test = "class_27_what_was_owed_is_not_left_out";
    let receiver = till::<GOOD>(&runtime, "receiver");
    receiver.ask(NeedsSetting { test: test.to_owned() }).await.unwrap();
    set(test, false);
    receiver.ask(Charge { test: test.to_owned(), fails: 1 }).await.unwrap_err();
    till::<GOOD>(&runtime, "alice").ask(Pass { cents: 5 }).await.unwrap();
    runtime.shutdown().await.unwrap();
    set(test, true);
    // Here it is delivered for the first time, and the receiver can't take it.
    let panics = SENT_PANICS.lock().unwrap_or_else(PoisonError::into_inner).insert("on".to_owned());
    assert!(panics);
    for _ in 0..2 {
        let runtime = open::<GOOD>(&path).await;
        while runtime.failed_actors().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(runtime.failed_actors()[0].cause, FailureCause::Undecided);
        assert!(runtime.quarantined().is_empty());
        runtime.crash().await;
    }
    SENT_PANICS.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let runtime = open::<GOOD>(&path).await;
    while sum::<GOOD>(&runtime, "receiver").await != 505 {}
    assert!(runtime.failed_actors().is_empty() && runtime.quarantined().is_empty());
    runtime.shutdown().await.unwrap();
}
