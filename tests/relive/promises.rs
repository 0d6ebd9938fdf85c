//! The promises that hold when nothing but a crash goes wrong.

use relive::{Durability, Receipted, Rsn, Ssn};
use relive_storage::MemoryStore;
use relive_storage::simulated_store::{Call, Fault, SimulatedDisk, Unsynced};
use relive_storage_sled::open_store;

use crate::actors::{
    Account, Charge, ChargeTwice, Deposit, Draw, Flood, Show, Transfer, account, builder, crash_and_reopen,
    happened, open_on, show,
};

/// Invariant: prefix. Everything acknowledged is there after a crash, on the real backend in both
/// of its tiers.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_messages_survive_a_crash() {
    for durability in [Durability::PowerLoss, Durability::ProcessCrash] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let open = || builder().durability(durability).open(&path);
        let runtime = open().await.unwrap();
        assert_eq!(runtime.recovery().durability, durability);
        assert_eq!(account(&runtime, "alice").ask(Deposit { cents: 5 }).await.unwrap(), 5);
        account(&runtime, "alice").tell(Deposit { cents: 7 }).await.unwrap().durable().await.unwrap();
        runtime.crash().await;

        let runtime = open().await.unwrap();
        assert_eq!(show(&runtime, "alice").await.history, [5, 7]);
        assert_eq!((runtime.recovery().actors, runtime.recovery().replayed), (1, 2));
        account(&runtime, "alice").checkpoint().await.unwrap();
        runtime.shutdown().await.unwrap();

        let runtime = open().await.unwrap();
        assert_eq!(runtime.recovery().replayed, 0, "the checkpoint holds everything");
        assert_eq!(show(&runtime, "alice").await.history, [5, 7]);
        assert_eq!(runtime.recovery().epoch.get(), 3);
        runtime.shutdown().await.unwrap();
    }
}

/// Invariant: exactly-once inside. Money that goes from actor to actor neither gets lost nor
/// doubles, wherever a crash cuts in.
#[tokio::test(flavor = "multi_thread")]
async fn messages_between_actors_arrive_once_over_many_crashes() {
    let mut store = MemoryStore::new();
    let mut runtime = open_on(store.clone()).await;
    let mut transfers = 0;
    for round in 0..20_i64 {
        for step in 0..25_i64 {
            let to = format!("receiver-{}", step % 3);
            let receipt = account(&runtime, "sender").tell(Transfer { to, cents: 1 + round }).await.unwrap();
            if step == 24 {
                receipt.durable().await.unwrap();
            }
            transfers += 1;
        }
        (runtime, store) = crash_and_reopen(runtime, &store).await;
    }
    let sender = show(&runtime, "sender").await;
    assert_eq!(sender.history.len(), transfers);
    runtime.shutdown().await.unwrap();
    let runtime = open_on(store.reopen()).await;
    let mut received = 0;
    for key in ["receiver-0", "receiver-1", "receiver-2"] {
        received += show(&runtime, key).await.cents;
    }
    assert_eq!(received, -sender.cents);
    runtime.shutdown().await.unwrap();
}

/// Invariant: exactly-once inside. A message that exists only in the sender's checkpoint still
/// arrives, although no message wakes the sender.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_carries_what_is_owed() {
    let disk = SimulatedDisk::new(1);
    let runtime = open_on(disk.open()).await;
    // The sync that would log the deposit at its receiver hangs until the power goes.
    disk.plan(Fault::Hang, Call::Sync, disk.calls(Call::Sync) + 2);
    account(&runtime, "sender").ask(Transfer { to: "receiver".into(), cents: 3 }).await.unwrap();
    let waiting = disk.clone();
    tokio::task::spawn_blocking(move || waiting.wait_for_hang()).await.unwrap();
    let sender = account(&runtime, "sender");
    assert_eq!(sender.checkpoint().await.unwrap(), Rsn::new(1));
    disk.lose_power(Unsynced::Dropped);
    disk.release();
    runtime.crash().await;
    let runtime = open_on(disk.open()).await;
    assert_eq!(runtime.recovery().replayed, 0);
    assert_eq!(show(&runtime, "sender").await.cents, -3);
    assert_eq!(show(&runtime, "receiver").await.cents, 3);
    runtime.shutdown().await.unwrap();
}

/// Invariant: fifo.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_one_sender_arrive_in_order() {
    let store = MemoryStore::new();
    let runtime = open_on(store.clone()).await;
    let alice = account(&runtime, "alice");
    for cents in 0..5_000 {
        drop(alice.tell(Deposit { cents }).await.unwrap());
    }
    for cents in 5_000..6_000 {
        drop(account(&runtime, "bob").tell(Transfer { to: "alice".into(), cents }).await.unwrap());
    }
    show(&runtime, "bob").await;
    runtime.shutdown().await.unwrap();
    let runtime = open_on(store.reopen()).await;
    assert_eq!(show(&runtime, "alice").await.history, (0..6_000).collect::<Vec<_>>());
    runtime.shutdown().await.unwrap();
}

/// Invariant: exactly-once inside. A producer that sends everything again after a crash changes
/// nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_producer_may_send_everything_again() {
    let mut store = MemoryStore::new();
    let mut runtime = open_on(store.clone()).await;
    for life in 1..6_i64 {
        let mut producer = runtime.producer("feed").unwrap();
        let mut receipts = Vec::new();
        for cents in 0..life * 10 {
            for key in ["a", "b"] {
                receipts.push(producer.tell(&account(&runtime, key), Deposit { cents }).await.unwrap());
            }
        }
        assert_eq!(producer.last(&account(&runtime, "a")), Ssn::new(u64::try_from(life * 10).unwrap()));
        let mut fresh = 0;
        for receipt in receipts {
            fresh += i64::from(matches!(receipt.durable().await.unwrap(), Receipted::Logged(_)));
        }
        assert_eq!(fresh, 20, "in life {life}");
        assert_eq!(runtime.stats().duplicates, u64::try_from((life - 1) * 20).unwrap());
        (runtime, store) = crash_and_reopen(runtime, &store).await;
        assert_eq!(show(&runtime, "a").await.history, (0..life * 10).collect::<Vec<_>>());
    }
    runtime.shutdown().await.unwrap();
}

/// Invariant: exactly-once inside. The receiver refuses a message that skips ahead, and drops one
/// that goes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_skips_is_refused_before_logging() {
    let runtime = open_on(MemoryStore::new()).await;
    let alice = account(&runtime, "alice");
    let mut producer = runtime.producer("feed").unwrap();
    producer.resume(&alice, Ssn::new(4));
    let receipt = producer.tell(&alice, Deposit { cents: 5 }).await.unwrap();
    let refused = receipt.durable().await.unwrap_err();
    assert!(
        matches!(refused, relive::ReceiptError::Gap { expected, found, .. }
        if expected == Ssn::new(1) && found == Ssn::new(5)),
        "{refused}"
    );
    assert_eq!(refused.kind(), relive::ErrorKind::Input);
    assert_eq!(show(&runtime, "alice").await.history, Vec::<i64>::new());
    runtime.shutdown().await.unwrap();
}

/// Invariant: exactly-once inside. Replay does not run a recorded side effect again, and draws the
/// same random numbers.
#[tokio::test(flavor = "multi_thread")]
async fn replay_repeats_outcomes_without_doing_anything() {
    let what = "replay_repeats_outcomes_without_doing_anything";
    let store = MemoryStore::new();
    let runtime = open_on(store.clone()).await;
    let alice = account(&runtime, "alice");
    for _ in 0..3 {
        alice.ask(Charge { what: what.to_owned() }).await.unwrap();
        alice.ask(Draw {}).await.unwrap();
    }
    let before = show(&runtime, "alice").await;
    let (runtime, _store) = crash_and_reopen(runtime, &store).await;
    assert!(runtime.recovery().replayed >= 6);
    assert_eq!(show(&runtime, "alice").await, before);
    assert_eq!(happened(what), 3);
    runtime.shutdown().await.unwrap();
}

/// Invariant: one-step. A delivery that a crash interrupted goes on live after its recorded part.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_cut_off_between_two_side_effects_goes_on_there() {
    let what = "stuck-between";
    let store = MemoryStore::new();
    let runtime = open_on(store.clone()).await;
    let alice = account(&runtime, "alice");
    alice.ask(Deposit { cents: 1 }).await.unwrap();
    let stuck = alice.clone();
    let asking = tokio::spawn(async move { stuck.ask(ChargeTwice { what: what.to_owned() }).await });
    while happened("stuck-between-second") == 0 {
        tokio::task::yield_now().await;
    }
    drop(alice.tell(Deposit { cents: 2 }).await.unwrap());
    let (runtime, _store) = crash_and_reopen(runtime, &store).await;
    assert!(asking.await.unwrap().is_err());
    let alice = show(&runtime, "alice").await;
    assert_eq!(happened("stuck-between-first"), 1, "the recorded one is not run again");
    assert_eq!(happened("stuck-between-second"), 2, "the other one runs at least once");
    assert_eq!(alice.drawn, [1, 2]);
    assert_eq!(alice.history[0], 1);
    runtime.shutdown().await.unwrap();
}

/// Invariant: bounded. Actors go on that flood each other with more messages than their outboxes
/// hold.
#[tokio::test(flavor = "multi_thread")]
async fn actors_that_owe_each_other_too_much_go_on() {
    let runtime = open_on(MemoryStore::new()).await;
    for (from, to) in [("a", "b"), ("b", "a")] {
        for _ in 0..12 {
            let flood = Flood { to: to.into(), messages: 1_000, hops: 2 };
            drop(account(&runtime, from).tell(flood).await.unwrap());
        }
    }
    let expected = 12 + 2 * 12_000;
    loop {
        let (a, b) = (show(&runtime, "a").await, show(&runtime, "b").await);
        if a.cents == expected && b.cents == expected {
            break;
        }
    }
    runtime.shutdown().await.unwrap();
}

/// Dropping the future of a request at any point leaves everything consistent: the runtime accepted
/// the message or did not.
#[tokio::test(flavor = "multi_thread")]
async fn dropped_requests_leave_all_consistent() {
    let disk = SimulatedDisk::new(1);
    let runtime = open_on(disk.open()).await;
    let alice = account(&runtime, "alice");
    disk.plan_next(Fault::Hang, Call::Sync);
    let mut accepted = 0;
    // The mailbox fills while the sync hangs. From then on tells wait, and the test drops them
    // while they wait.
    for _ in 0..3_000 {
        // Without tokio's budget for the task: once that is used up, the tell would wait for the
        // next poll although places are free.
        let tell = tokio::task::unconstrained(alice.tell(Deposit { cents: 1 }).into_future());
        let tell = std::pin::pin!(tell);
        accepted += i64::from(futures_ready(tell).is_some());
    }
    assert!((1..3_000).contains(&accepted), "{accepted} accepted");
    let ask = std::pin::pin!(alice.ask(Deposit { cents: 1 }).into_future());
    assert!(futures_ready(ask).is_none());
    let timeout = alice.tell(Deposit { cents: 1 }).timeout(std::time::Duration::ZERO).await.unwrap_err();
    assert!(matches!(timeout.reason, relive::Refused::Timeout));
    assert_eq!(timeout.message, Deposit { cents: 1 });
    disk.release();
    let after: Account = alice.ask(Show {}).await.unwrap();
    assert_eq!(after.cents, accepted);
    runtime.shutdown().await.unwrap();
}

/// Polls a future once.
fn futures_ready<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

/// During a shutdown actors handle the messages accepted before, and those that they send each
/// other.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_drains() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let runtime = builder().open(&path).await.unwrap();
    for _ in 0..500 {
        drop(account(&runtime, "a").tell(Transfer { to: "b".into(), cents: 1 }).await.unwrap());
    }
    let forgotten = account(&runtime, "a");
    runtime.shutdown().await.unwrap();
    let refused = forgotten.tell(Deposit { cents: 1 }).await.unwrap_err();
    assert!(matches!(refused.reason, relive::Refused::Unavailable(relive::Unavailable::Stopped)));
    let store = open_store(&path, &Default::default()).unwrap();
    let runtime = open_on(store).await;
    assert_eq!((show(&runtime, "a").await.cents, show(&runtime, "b").await.cents), (-500, 500));
    assert!(runtime.recovery().replayed < 500, "what is worth it was checkpointed");
    runtime.shutdown().await.unwrap();
}
