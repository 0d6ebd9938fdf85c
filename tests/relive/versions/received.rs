//! The log of a receiver tells what its sender had handled, where the sender's own records don't.

use std::path::Path;

use relive::{ActorRef, AskError, FailureCause, Refused, Runtime, Unavailable};

use super::till::{
    DIFFERS, GOOD, Hold, NeedsSetting, Pass, SENDS_ELSEWHERE, SENDS_MORE, Sum, Till, gate, open, set, sum,
    till,
};

/// Makes alice handle two messages that the log gets together. The first sends seven cents on;
/// waits until these have arrived.
async fn pass_and(runtime: &Runtime, test: &str, second: impl AsyncFnOnce(&ActorRef<Till<GOOD>>)) {
    let alice = till::<GOOD>(runtime, "alice");
    alice.tell(Hold { test: test.to_owned() }).await.unwrap().durable().await.unwrap();
    // By now she waits, or she takes the messages in together with it.
    let _ = alice.tell(Pass { cents: 7 }).await.unwrap();
    second(&alice).await;
    gate(test).add_permits(1);
    while sum::<GOOD>(runtime, "receiver").await != 7 {}
}

/// Checks that alice is stopped, says so, and accepts nothing; no other actor has received
/// anything.
async fn expect_stopped<const V: u8>(path: &Path, expected: &str) {
    let runtime = open::<V>(path).await;
    for _ in 0..3 {
        let refused = till::<V>(&runtime, "alice").ask(Sum {}).await.unwrap_err();
        let AskError::NotAccepted { reason: Refused::Unavailable(Unavailable::Actor(failure)), .. } =
            &refused
        else {
            panic!("{refused}")
        };
        assert_eq!(failure.cause, FailureCause::Replay, "{failure}");
        assert!(failure.to_string().contains(expected), "{failure}");
    }
    assert_eq!(sum::<V>(&runtime, "receiver").await, 7);
    assert_eq!(sum::<V>(&runtime, "elsewhere").await, 0);
    assert!(runtime.quarantined().is_empty());
    runtime.crash().await;
}

/// Checks that for code that can handle it everything is unchanged, and goes on.
async fn expect_whole(path: &Path, alice: u64) {
    let runtime = open::<GOOD>(path).await;
    assert_eq!(sum::<GOOD>(&runtime, "alice").await, alice);
    till::<GOOD>(&runtime, "alice").ask(Pass { cents: 1 }).await.unwrap();
    while sum::<GOOD>(&runtime, "receiver").await != 8 {}
    runtime.shutdown().await.unwrap();
}

/// A delivery that the actor tries live stops the actor while the log has later deliveries, and is
/// not the last one in the next life. Neither it nor an earlier delivery may then release anything.
#[tokio::test(flavor = "multi_thread")]
async fn class_27_nothing_leaves_that_contradicts_what_has_arrived() {
    let test = "class_27_nothing_leaves_that_contradicts_what_has_arrived";
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = open::<GOOD>(&path).await;
    let needs = NeedsSetting { test: test.to_owned() };
    pass_and(&runtime, test, async |alice| drop(alice.tell(needs).await.unwrap())).await;
    runtime.crash().await;
    for there in [false, true, false] {
        set(test, there);
        let expected = if there { "till/receiver, which has them" } else { "a setting is missing" };
        expect_stopped::<SENDS_ELSEWHERE>(&path, expected).await;
    }
    set(test, true);
    expect_whole(&path, 507).await;
}

/// A receiver knows more of a message than its number.
#[tokio::test(flavor = "multi_thread")]
async fn class_27_another_message_under_the_same_number_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = open::<GOOD>(&path).await;
    till::<GOOD>(&runtime, "alice").ask(Pass { cents: 7 }).await.unwrap();
    while sum::<GOOD>(&runtime, "receiver").await != 7 {}
    runtime.crash().await;
    for _ in 0..2 {
        expect_stopped::<SENDS_MORE>(&path, "another message as ssn 1 to till/receiver").await;
    }
    expect_whole(&path, 7).await;
}

/// A receiver without a replay still has everything that it received.
#[tokio::test(flavor = "multi_thread")]
async fn class_27_a_receiver_whose_checkpoint_holds_everything_counts() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = open::<GOOD>(&path).await;
    till::<GOOD>(&runtime, "alice").ask(Pass { cents: 7 }).await.unwrap();
    while sum::<GOOD>(&runtime, "receiver").await != 7 {}
    till::<GOOD>(&runtime, "receiver").checkpoint().await.unwrap();
    runtime.crash().await;
    for _ in 0..2 {
        expect_stopped::<DIFFERS>(&path, "till/receiver, which has them").await;
        expect_stopped::<SENDS_ELSEWHERE>(&path, "till/receiver, which has them").await;
    }
    expect_whole(&path, 7).await;
}

/// In probation too the opening replays what was handled according to a receiver; that is no try.
#[tokio::test(flavor = "multi_thread")]
async fn class_27_with_care_what_has_arrived_is_replayed() {
    let test = "class_27_with_care_what_has_arrived_is_replayed";
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let mut runtime = open::<GOOD>(&path).await;
    let hold = Hold { test: test.to_owned() };
    pass_and(&runtime, test, async |alice| drop(alice.tell(hold).await.unwrap())).await;
    for _ in 0..3 {
        runtime.crash().await;
        expect_stopped::<SENDS_MORE>(&path, "another message").await;
        // Ends before it completes what it tries, so that the next opening is in probation.
        runtime = open::<GOOD>(&path).await;
        assert!(runtime.recovery().replayed >= 2, "{:?}", runtime.recovery());
        assert_eq!(runtime.failed_actors(), []);
    }
    gate(test).add_permits(1);
    assert_eq!(sum::<GOOD>(&runtime, "alice").await, 7);
    runtime.crash().await;
    expect_whole(&path, 7).await;
}
