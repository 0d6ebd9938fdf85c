//! Class 27: other code, or code in other surroundings, replays what actors have handled. Whatever
//! it does, nothing acknowledged changes: an actor stops, alone and visibly, and goes on under code
//! that can handle its deliveries.

mod received;
mod till;

use std::path::Path;
use std::sync::PoisonError;

use relive::{
    Actor, AskError, Context, Durability, FailureCause, HaltReason, Handle, Message, NoAnswer, Refused,
    Unavailable,
};
use serde::{Deserialize, Serialize};

use crate::actors::happen;
use crate::medium;
use till::{
    ASSERTS, Add, Charge, DIFFERS, GOOD, Keys, NeedsSetting, Pass, SENT_PANICS, Sum, open, set, sum, till,
};

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

/// Opens with code that can't replay what alice has handled: she is stopped, and her callers learn
/// it. The others are unchanged.
async fn expect_alice_stopped<const V: u8>(path: &Path) {
    for _ in 0..2 {
        let runtime = open::<V>(path).await;
        let refused = loop {
            match till::<V>(&runtime, "alice").tell(Add { cents: 1 }).await {
                Err(error) => break error,
                // Alice tries live the deliveries that the opening could not judge, and takes
                // messages until then.
                Ok(_) => tokio::task::yield_now().await,
            }
        };
        let Some(Unavailable::Actor(failure)) = refused.reason.unavailable() else { panic!("{refused}") };
        assert!(matches!(failure.cause, FailureCause::Replay | FailureCause::Undecided), "{failure}");
        assert!(failure.to_string().contains("its history is untouched"), "{failure}");
        assert!(runtime.failed_actors().contains(failure));
        assert!(runtime.quarantined().is_empty(), "{:?}", runtime.quarantined());
        assert_eq!(sum::<V>(&runtime, "receiver").await, 502);
        runtime.crash().await;
    }
}

/// Whether the records tell that a delivery was handled or not, the actor does not leave it out,
/// and code that can handle it finds all of it.
#[tokio::test(flavor = "multi_thread")]
async fn class_27_code_that_panics_on_what_was_handled_stops_the_actor_alone() {
    for asked in [true, false] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        handle_some(&path, asked).await;
        // The later message is for the same actor, so that the log shows that the actor handled all
        // earlier ones.
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

/// A store opens whose receivers have more than their senders' code sends now. The sender stops.
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

/// The last message of a life has arrived, and no record of its sender says that the sender's
/// delivery was handled: the runtime stops the sender under code that no longer sends the message.
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
        let reason = &failed[0].halt.reason;
        assert!(matches!(reason, HaltReason::Divergence(d) if d.expected.contains("till/receiver")));
        assert_eq!(sum::<DIFFERS>(&runtime, "receiver").await, 7);
        runtime.crash().await;
    }
    let runtime = open::<GOOD>(&path).await;
    assert_eq!(sum::<GOOD>(&runtime, "alice").await, 7);
    assert_eq!(sum::<GOOD>(&runtime, "receiver").await, 7);
    runtime.shutdown().await.unwrap();
}

/// A shutdown leaves nothing to replay, so other code changes nothing of the past.
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
    // The actor tries a new message, which is poison like any other.
    let error = till::<ASSERTS>(&runtime, "alice").ask(Add { cents: 1 }).await.unwrap_err();
    assert!(matches!(error, AskError::Quarantined(_)), "{error}");
    runtime.shutdown().await.unwrap();
}

/// A restart replays what the actor handled in this very life, in surroundings that have changed
/// since: that is no first try.
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
    let AskError::Unknown { reason: NoAnswer::Unavailable(Unavailable::Actor(failure)) } = &error else {
        panic!("{error}")
    };
    assert_eq!(failure.cause, FailureCause::Replay);
    assert!(
        matches!(&failure.halt.reason, HaltReason::Panicked { panic, .. } if panic.contains("a setting")),
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

/// A retry of a quarantined delivery is the same delivery again, not another one: its side effects
/// have the same keys.
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
        // Once through the log, and once through a checkpoint.
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
    // The first delivery and both retries performed the side effect once each, since the log has
    // the outcomes, and all under one key.
    assert_eq!(happen(&format!("{test} {}", keys[0])), 4);
    runtime.crash().await;
    let runtime = open::<GOOD>(&path).await;
    assert_eq!(till::<GOOD>(&runtime, "alice").ask(Keys {}).await.unwrap(), keys);
    runtime.shutdown().await.unwrap();
}

/// The same till in a version whose reply has gained a field, and which no longer knows one
/// message.
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

/// Replay does not compare an old reply with the encoding of today's code.
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

/// A handled message that a checkpoint covers needs no handler any more.
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

/// The opening of a store reports a passive actor whose checkpoint is no state of the code.
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
        let reason = &failed[0].halt.reason;
        assert!(matches!(reason, HaltReason::Checkpoint { reason, .. } if reason.contains("sums")));
        let refused = runtime.actor::<Other>("alice").unwrap().ask(Sum {}).await.unwrap_err();
        assert!(
            matches!(
                &refused,
                AskError::NotAccepted { reason: Refused::Unavailable(Unavailable::Actor(_)), .. }
            ),
            "{refused}"
        );
        assert_eq!(runtime.actor::<Other>("bob").unwrap().ask(Sum {}).await.unwrap(), 0);
        runtime.shutdown().await.unwrap();
    }
    let runtime = open::<GOOD>(&path).await;
    assert_eq!(sum::<GOOD>(&runtime, "alice").await, 5);
    runtime.shutdown().await.unwrap();
}

/// A message that was unacknowledged at the opening of the store was sent in an earlier life: code
/// that can't handle it must not leave it out either.
#[tokio::test(flavor = "multi_thread")]
async fn class_27_what_was_owed_is_not_left_out_by_code_that_can_not_handle_it() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = open::<GOOD>(&path).await;
    // The receiver is stopped in this life, so that messages to it stay in the outbox.
    let test = "class_27_what_was_owed_is_not_left_out";
    let receiver = till::<GOOD>(&runtime, "receiver");
    receiver.ask(NeedsSetting { test: test.to_owned() }).await.unwrap();
    set(test, false);
    receiver.ask(Charge { test: test.to_owned(), fails: 1 }).await.unwrap_err();
    till::<GOOD>(&runtime, "alice").ask(Pass { cents: 5 }).await.unwrap();
    runtime.shutdown().await.unwrap();
    set(test, true);
    // Here the runtime delivers it for the first time, and the receiver can't handle it.
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
