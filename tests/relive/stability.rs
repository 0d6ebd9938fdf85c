//! Invariant: log-before-handle. Until the store has something on stable storage, the runtime tells
//! no caller that it is there, and builds nothing on it. The disk hangs in the middle of a sync,
//! and the test lets everything run that can run then.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use relive::{ActorRef, RuntimeFailure, Unavailable};
use relive_storage::simulated_store::{Call, Fault, SimulatedDisk};

use crate::actors::{Account, Charge, ChargeTwice, Deposit, account, happened, open_on, show};

/// Waits until the disk hangs, and then until every task waits for it.
async fn settle(disk: &SimulatedDisk) {
    let waiting = disk.clone();
    tokio::task::spawn_blocking(move || waiting.wait_for_hang()).await.unwrap();
    // One thread runs all tasks, so each gets its turns here.
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Lets the runtime log everything that it logs of its own accord, so that the next sync is for a
/// message.
async fn rest(alice: &ActorRef<Account>) {
    for _ in 0..5 {
        alice.ask(Deposit { cents: 1 }).await.unwrap();
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }
}

async fn is_pending(future: impl Future) -> bool {
    let mut future = pin!(future);
    poll_fn(|task| Poll::Ready(future.as_mut().poll(task).is_pending())).await
}

#[tokio::test]
async fn a_delivery_is_handled_and_acknowledged_after_its_sync() {
    let what = "a_delivery_is_handled_and_acknowledged_after_its_sync";
    let disk = SimulatedDisk::new(1);
    let runtime = open_on(disk.open()).await;
    let alice = account(&runtime, "alice");
    rest(&alice).await;
    disk.plan_next(Fault::Hang, Call::Sync);
    let receipt = alice.tell(Charge { what: what.into() }).await.unwrap();
    let what_is_asked = format!("{what}-asked");
    let asking = tokio::spawn({
        let (alice, what) = (alice.clone(), what_is_asked.clone());
        async move { alice.ask(Charge { what }).await.unwrap() }
    });
    settle(&disk).await;
    let (unacknowledged, handled) = (is_pending(receipt.durable()).await, happened(what));
    let (unanswered, asked) = (!asking.is_finished(), happened(&what_is_asked));
    disk.release();
    assert!(unacknowledged && unanswered, "it was acknowledged before it was durable");
    assert_eq!((handled, asked), (0, 0), "it was handled before it was durable");
    receipt.durable().await.unwrap();
    assert_eq!(asking.await.unwrap(), 1);
    assert_eq!(show(&runtime, "alice").await.drawn, [1, 1]);
    runtime.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_handler_goes_on_after_the_outcome_that_it_met_is_stable() {
    let what = "a_handler_goes_on_after_the_outcome_that_it_met_is_stable";
    let (first, second) = (format!("{what}-first"), format!("{what}-second"));
    let disk = SimulatedDisk::new(1);
    let runtime = open_on(disk.open()).await;
    let alice = account(&runtime, "alice");
    rest(&alice).await;
    // The sync for the delivery comes before that.
    disk.plan(Fault::Hang, Call::Sync, disk.calls(Call::Sync) + 2);
    let receipt = alice.tell(ChargeTwice { what: what.into() }).await.unwrap();
    receipt.durable().await.unwrap();
    settle(&disk).await;
    let went = (happened(&first), happened(&second));
    disk.release();
    assert_eq!(went, (1, 0), "it went on before the outcome was durable");
    assert_eq!(show(&runtime, "alice").await.drawn, [1, 1]);
    runtime.shutdown().await.unwrap();
}

/// Invariant: fail-stop. Every waiting caller learns of the failure, and every later one.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_ends_the_runtime_for_everybody() {
    let disk = SimulatedDisk::new(1);
    let runtime = open_on(disk.open()).await;
    disk.plan_next(Fault::Fail, Call::Sync);
    for key in ["alice", "bob"] {
        let asked = account(&runtime, key).ask(Deposit { cents: 1 }).timeout(Duration::from_secs(20)).await;
        let error = asked.unwrap_err();
        assert!(
            matches!(error.unavailable(), Some(Unavailable::Failed(RuntimeFailure::Store(_)))),
            "{key}: {error}"
        );
    }
    runtime.crash().await;
}
