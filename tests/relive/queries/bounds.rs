//! Queries and messages of one actor side by side, and queries and memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use relive::{CheckpointPolicy, Runtime};
use tokio::task::JoinSet;

use super::teller::{Balance, Counted, LONG, MEDIA, Pay, Takes, balance, builder, hold, open, teller};
use crate::actors::{happen, happened};

/// Lets tasks query one actor without a pause, until the flag is set.
fn crowd(runtime: &Runtime, clients: usize, stops: &Arc<AtomicBool>) -> JoinSet<u64> {
    let mut crowd = JoinSet::new();
    for _ in 0..clients {
        let (alice, stops) = (teller(runtime, "alice"), Arc::clone(stops));
        crowd.spawn(async move {
            let mut queries = 0;
            while !stops.load(Ordering::Relaxed) {
                alice.query(Balance {}).await.unwrap();
                queries += 1;
            }
            queries
        });
    }
    crowd
}

/// An actor that is queried without a pause still handles its messages, and one that always has
/// messages still answers.
#[tokio::test(flavor = "multi_thread")]
async fn neither_queries_nor_messages_starve() {
    for medium in MEDIA {
        let root = tempfile::tempdir().unwrap();
        let runtime = open(medium, &root.path().join("store")).await;
        let (alice, stops) = (teller(&runtime, "alice"), Arc::new(AtomicBool::new(false)));
        let queries = crowd(&runtime, 16, &stops);
        let mut tells = JoinSet::new();
        for _ in 0..4 {
            let (alice, stops) = (alice.clone(), Arc::clone(&stops));
            tells.spawn(async move {
                while !stops.load(Ordering::Relaxed) {
                    drop(alice.tell(Pay { cents: 1 }).await.unwrap());
                }
            });
        }
        let (mut before, began) = (0, Instant::now());
        while before < 5_000 {
            let (asked, shown) = (alice.ask(Pay { cents: 0 }).await.unwrap(), balance(&alice).await);
            assert!(before <= asked && asked <= shown, "{before}, {asked}, {shown}");
            assert!(began.elapsed() < LONG, "{medium}: only {shown} messages were handled");
            before = shown;
        }
        stops.store(true, Ordering::Relaxed);
        tells.join_all().await;
        let queries = queries.join_all().await;
        assert!(queries.iter().all(|queries| *queries > 10), "{medium}: {queries:?}");
        assert!(runtime.shutdown().await.unwrap().left.is_empty());
    }
}

/// Invariant: bounded. More queries than have places wait, take none from messages, and are all
/// answered.
#[tokio::test(flavor = "multi_thread")]
async fn queries_wait_in_any_number_and_take_no_place_of_messages() {
    let root = tempfile::tempdir().unwrap();
    let runtime = open(MEDIA[1], &root.path().join("store")).await;
    let (alice, until) = (teller(&runtime, "alice"), "queries: any number");
    hold(&alice, until).await;
    let mut asking = JoinSet::new();
    for _ in 0..500 {
        let alice = alice.clone();
        asking.spawn(async move { balance(&alice).await });
    }
    // As many as the mailbox has places, beside the one that is handled.
    for _ in 0..2_047 {
        drop(alice.tell(Pay { cents: 1 }).timeout(LONG).await.unwrap());
    }
    assert!(asking.try_join_next().is_none(), "the handler waits");
    happen(until);
    let answers = asking.join_all().await;
    assert_eq!(answers.len(), 500);
    assert!(answers.iter().all(|cents| *cents >= 2), "none is from the middle of the delivery");
    assert_eq!(alice.ask(Pay { cents: 0 }).await.unwrap(), 2_049);
    runtime.shutdown().await.unwrap();
}

/// The answer to a query that was given up is not computed.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_was_given_up_is_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let runtime = open(MEDIA[0], &root.path().join("store")).await;
    let (alice, until) = (teller(&runtime, "alice"), "queries: given up");
    hold(&alice, until).await;
    let what = "queries: given up, and answered";
    for _ in 0..70 {
        let query = Counted { what: what.to_owned() };
        assert!(alice.query(query).timeout(Duration::ZERO).await.is_err());
    }
    happen(until);
    assert_eq!(alice.ask(Pay { cents: 0 }).await.unwrap(), 2);
    assert_eq!((balance(&alice).await, happened(what)), (2, 0));
    runtime.shutdown().await.unwrap();
}

async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LONG, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A query is activity: it brings an actor into memory, and keeps it there. The actor leaves memory
/// again without one more checkpoint.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_keeps_its_actor_in_memory_and_takes_no_checkpoint() {
    for medium in MEDIA {
        let root = tempfile::tempdir().unwrap();
        let idle = Duration::from_secs(1);
        let runtime = builder().medium(medium).passivate_after(idle).open(root.path().join("store"));
        let runtime = runtime.await.unwrap();
        let alice = teller(&runtime, "alice");
        alice.ask(Pay { cents: 5 }).await.unwrap();
        wait_until("it goes passive", || runtime.actors_in_memory() == 0).await;
        let before = runtime.stats();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(3_200) {
            // One that has received nothing yet, too.
            assert_eq!((balance(&alice).await, balance(&teller(&runtime, "bob")).await), (5, 0));
            assert_eq!(runtime.actors_in_memory(), 2, "{medium}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        wait_until("it goes passive again", || runtime.actors_in_memory() == 0).await;
        assert_eq!(runtime.stats(), before, "{medium}");
        runtime.shutdown().await.unwrap();
    }
}

/// Invariant: bounded. An actor that is queried without a pause takes the checkpoints that are due
/// by time.
#[tokio::test(flavor = "multi_thread")]
async fn queries_keep_no_actor_from_its_checkpoints() {
    let root = tempfile::tempdir().unwrap();
    let policy = CheckpointPolicy::default().age(Duration::from_millis(100));
    let runtime = builder().checkpoints(policy).open(root.path().join("store")).await.unwrap();
    for (round, clients) in [1, 8].into_iter().enumerate() {
        let alice = teller(&runtime, "alice");
        alice.ask(Pay { cents: 1 }).await.unwrap();
        let stops = Arc::new(AtomicBool::new(false));
        let mut crowd = JoinSet::new();
        for _ in 0..clients {
            let (alice, stops) = (alice.clone(), Arc::clone(&stops));
            crowd.spawn(async move {
                while !stops.load(Ordering::Relaxed) {
                    alice.query(Takes { time: Duration::from_millis(20) }).await.unwrap();
                }
            });
        }
        wait_until("it is checkpointed", || runtime.stats().checkpoints > round as u64).await;
        stops.store(true, Ordering::Relaxed);
        crowd.join_all().await;
    }
    runtime.shutdown().await.unwrap();
}
