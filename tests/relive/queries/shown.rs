//! What an answer shows: deliveries that are on stable storage and handled, whole, and nothing
//! else.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::Poll;

use relive::QueryError;
use relive_storage::simulated_store::{Call, Fault, SimulatedDisk, Unsynced};

use super::teller::{
    Audit, Balance, Bomb, LONG, MEDIA, OtherBalance, Panics, Pay, balance, builder, hold, open, teller,
};
use crate::actors::happen;

async fn is_pending(future: impl Future) -> bool {
    let mut future = pin!(future);
    poll_fn(|task| Poll::Ready(future.as_mut().poll(task).is_pending())).await
}

/// What was asked before is in the answer, in the same life and in the next one.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_shows_what_its_caller_has_asked_for() {
    for medium in MEDIA {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        let mut expected = 0;
        for life in 0..4 {
            let runtime = open(medium, &path).await;
            let alice = teller(&runtime, "alice");
            assert_eq!(balance(&alice).await, expected, "{medium}, life {life}");
            for cents in 1..50 {
                expected += cents;
                assert_eq!(alice.ask(Pay { cents }).await.unwrap(), expected);
                assert_eq!(balance(&alice).await, expected, "{medium}, life {life}");
            }
            if life % 2 == 0 {
                runtime.crash().await;
            } else {
                assert!(runtime.shutdown().await.unwrap().left.is_empty());
            }
        }
    }
}

/// Nothing of a query is in the log: a life of queries leaves what it found.
#[tokio::test(flavor = "multi_thread")]
async fn queries_are_not_logged() {
    for medium in MEDIA {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        let runtime = open(medium, &path).await;
        let alice = teller(&runtime, "alice");
        alice.ask(Pay { cents: 5 }).await.unwrap();
        let (before, log) = (runtime.stats(), runtime.log_bytes());
        for _ in 0..1_000 {
            assert_eq!(balance(&alice).await, 5);
            assert_eq!(balance(&teller(&runtime, "bob")).await, 0);
        }
        assert_eq!((runtime.stats(), runtime.log_bytes()), (before, log), "{medium}");
        assert_eq!(alice.ask(Pay { cents: 1 }).await.unwrap(), 6);
        runtime.crash().await;
        let runtime = open(medium, &path).await;
        assert_eq!(runtime.stats().replayed, 2, "{medium}");
        runtime.shutdown().await.unwrap();
    }
}

/// Invariant: log-before-handle. An actor whose messages are on their way to a disk that stands
/// still answers at once, and shows none of them. One that rests answers too.
#[tokio::test(flavor = "multi_thread")]
async fn no_query_waits_for_the_disk_or_shows_what_is_not_on_it() {
    let disk = SimulatedDisk::new(1);
    let runtime = builder().open_on(Arc::new(disk.open())).await.unwrap();
    let (alice, bob) = (teller(&runtime, "alice"), teller(&runtime, "bob"));
    alice.ask(Pay { cents: 5 }).await.unwrap();
    bob.ask(Pay { cents: 7 }).await.unwrap();
    disk.plan_next(Fault::Hang, Call::Sync);
    let receipt = bob.tell(Pay { cents: 100 }).await.unwrap();
    let waiting = disk.clone();
    tokio::task::spawn_blocking(move || waiting.wait_for_hang()).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..200 {
        seen.push((balance(&alice).await, balance(&bob).await));
    }
    let is_durable = !is_pending(receipt.durable()).await;
    disk.release();
    assert_eq!(seen, [(5, 7); 200]);
    assert!(!is_durable, "the disk has gone on");
    receipt.durable().await.unwrap();
    assert_eq!(bob.ask(Pay { cents: 0 }).await.unwrap(), 107);
    assert_eq!(balance(&bob).await, 107);
    runtime.shutdown().await.unwrap();
}

/// Invariant: no-orphan. Whatever a query has shown is there after a loss of power.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_crash_takes_back_what_a_query_has_shown() {
    for seed in 0..30 {
        let disk = SimulatedDisk::new(seed);
        let runtime = builder().open_on(Arc::new(disk.open())).await.unwrap();
        let (alice, shown) = (teller(&runtime, "alice"), Arc::new(AtomicI64::new(0)));
        let tells = tokio::spawn({
            let alice = alice.clone();
            async move { while alice.tell(Pay { cents: 1 }).await.is_ok() {} }
        });
        let queries = tokio::spawn({
            let (alice, shown) = (alice.clone(), Arc::clone(&shown));
            async move {
                while let Ok(cents) = alice.query(Balance {}).await {
                    let before = shown.fetch_max(cents, Ordering::SeqCst);
                    assert!(before <= cents, "the state went back from {before} to {cents}");
                }
            }
        });
        while shown.load(Ordering::SeqCst) < 50 {
            tokio::task::yield_now().await;
        }
        disk.plan_next(Fault::FailForGood, Call::Any);
        tells.await.unwrap();
        queries.await.unwrap();
        runtime.crash().await;
        disk.plan_nothing();
        disk.lose_power(Unsynced::Drawn);
        let runtime = builder().open_on(Arc::new(disk.open())).await.unwrap();
        let (shown, found) = (shown.load(Ordering::SeqCst), balance(&teller(&runtime, "alice")).await);
        assert!(shown <= found, "seed {seed}: a query has shown {shown}, the log has {found}");
        runtime.shutdown().await.unwrap();
    }
}

/// A query sees the state before a delivery or after it, never one in the middle, and waits for the
/// one that is under way.
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_shows_half_a_delivery() {
    for medium in MEDIA {
        let root = tempfile::tempdir().unwrap();
        let runtime = open(medium, &root.path().join("store")).await;
        let (alice, until) = (teller(&runtime, "alice"), format!("queries: half a delivery, {medium}"));
        hold(&alice, &until).await;
        let asking = tokio::spawn({
            let alice = alice.clone();
            async move { balance(&alice).await }
        });
        assert!(is_pending(alice.query(Balance {}).into_future()).await);
        // What comes behind the handler is handled behind the query.
        for _ in 0..100 {
            drop(alice.tell(Pay { cents: 10 }).await.unwrap());
        }
        let late = alice.query(Balance {}).timeout(std::time::Duration::from_millis(20)).await;
        assert!(matches!(late, Err(QueryError::Timeout)), "{late:?}");
        assert!(!asking.is_finished());
        happen(&until);
        assert_eq!(asking.await.unwrap(), 2, "{medium}");
        assert_eq!(alice.ask(Pay { cents: 0 }).await.unwrap(), 1_002);
        runtime.shutdown().await.unwrap();
    }
}

/// A query that nobody registered is refused, and brings no actor into memory.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_registered_is_named() {
    let root = tempfile::tempdir().unwrap();
    let runtime = open(MEDIA[0], &root.path().join("store")).await;
    let refused = teller(&runtime, "alice").query(Audit {}).await.unwrap_err();
    assert!(matches!(&refused, QueryError::Unanswered { query, .. } if &**query == "audit"), "{refused}");
    assert_eq!(refused.kind(), relive::ErrorKind::Input);
    // Another type has this name.
    let refused = teller(&runtime, "alice").query(OtherBalance {}).await.unwrap_err();
    assert!(matches!(&refused, QueryError::Unanswered { query, .. } if &**query == "pay"), "{refused}");
    assert_eq!(runtime.actors_in_memory(), 0);
    runtime.shutdown().await.unwrap();
}

/// Users' code that panics in an answer harms nobody, whichever thread it runs on.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_an_answer_reaches_its_caller_alone() {
    for medium in MEDIA {
        let root = tempfile::tempdir().unwrap();
        let runtime = open(medium, &root.path().join("store")).await;
        let alice = teller(&runtime, "alice");
        alice.ask(Pay { cents: 5 }).await.unwrap();
        let told = |error: Result<(), QueryError>, text: &str| match error.unwrap_err() {
            QueryError::Panicked { actor, panic, .. } => assert_eq!((actor.key(), &*panic), ("alice", text)),
            other => panic!("{other}"),
        };
        told(alice.query(Panics {}).await, "told to");
        told(alice.query(Bomb {}).await, "a query is dropped");
        // The same in a turn.
        let until = format!("queries: a panic, {medium}");
        hold(&alice, &until).await;
        let asking = [alice.clone(), alice.clone()].map(|alice| {
            tokio::spawn(async move {
                (alice.query(Panics {}).timeout(LONG).await, alice.query(Bomb {}).timeout(LONG).await)
            })
        });
        let abandoned = tokio::spawn({
            let alice = alice.clone();
            async move { alice.query(Bomb {}).timeout(std::time::Duration::from_millis(20)).await }
        });
        assert!(matches!(abandoned.await.unwrap(), Err(QueryError::Timeout)));
        happen(&until);
        for asked in asking {
            let (panics, bomb) = asked.await.unwrap();
            told(panics, "told to");
            told(bomb, "a query is dropped");
        }
        assert_eq!(balance(&alice).await, 7);
        let stats = runtime.stats();
        assert_eq!((stats.restarts, stats.quarantined), (0, 0), "{medium}");
        assert!(runtime.failed_actors().is_empty());
        runtime.shutdown().await.unwrap();
    }
}

/// Callers that query in a loop let the actors run, also on the only thread.
#[tokio::test]
async fn a_loop_of_queries_lets_others_run() {
    let root = tempfile::tempdir().unwrap();
    let runtime = open(MEDIA[0], &root.path().join("store")).await;
    let (alice, bob) = (teller(&runtime, "alice"), teller(&runtime, "bob"));
    balance(&alice).await;
    let stops = Arc::new(AtomicBool::new(false));
    let asks = tokio::spawn({
        let stops = Arc::clone(&stops);
        async move {
            for _ in 0..20 {
                bob.ask(Pay { cents: 1 }).await.unwrap();
            }
            stops.store(true, Ordering::Relaxed);
        }
    });
    while !stops.load(Ordering::Relaxed) {
        balance(&alice).await;
    }
    asks.await.unwrap();
    runtime.shutdown().await.unwrap();
}
