//! It is quiet when nothing moves, and not before.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use relive::testing::{QuietError, TestStore};
use relive::{Ended, Runtime};

use super::actors::{AskToSleep, Call, Fail, Hop, Link, MINUTE, PingPong, Quick, Sleep, World, builder};

async fn open() -> (TestStore, Runtime, World) {
    let (store, world) = (TestStore::new(), World::default());
    let runtime = store.open(builder(&world)).await.unwrap();
    (store, runtime, world)
}

/// Whether a future is ready at its first poll.
async fn is_ready<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|task| match future.as_mut().poll(task) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// A message goes through many actors, each of which commits before it handles. All of that is
/// over, and the receipt is there, whether its actors wait for the disk or for their outputs.
async fn a_chain() {
    const LINKS: u64 = 20;
    let (store, runtime, world) = open().await;
    let (link, quick) = (runtime.actor::<Link>("first").unwrap(), runtime.actor::<Quick>("first").unwrap());
    for round in 1..=5 {
        let receipts = [link.tell(Hop(LINKS)).await.unwrap(), quick.tell(Hop(LINKS)).await.unwrap()];
        store.quiet().await.unwrap();
        assert_eq!(world.handled(), round * 2 * (LINKS + 1));
        assert_eq!(store.moving(), [""; 0]);
        for receipt in receipts {
            is_ready(receipt.durable()).await.expect("it is on stable storage").unwrap();
        }
    }
    store.crash().await;
}

#[tokio::test]
async fn a_chain_of_messages_is_over() {
    a_chain().await;
}

/// On several threads too. A wait that ended too early would miss a link in one of the rounds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_chain_of_messages_is_over_on_several_threads() {
    for _ in 0..20 {
        a_chain().await;
    }
}

/// What a task of the test sends before it waits itself counts.
#[tokio::test]
async fn what_a_spawned_task_sends_at_once_counts() {
    let (store, runtime, world) = open().await;
    let link = runtime.actor::<Link>("first").unwrap();
    tokio::spawn(async move { link.tell(Hop(2)).await.map(drop) });
    store.quiet().await.unwrap();
    assert_eq!(world.handled(), 3);
}

#[tokio::test]
async fn a_handler_that_waits_for_time_is_quiet_and_so_is_who_waits_for_it() {
    let (store, runtime, world) = open().await;
    let _ = runtime.actor::<Link>("asker").unwrap().tell(AskToSleep).await.unwrap();
    store.quiet().await.unwrap();
    assert!(world.notes().is_empty());
    store.clock().advance(MINUTE * 9);
    store.quiet().await.unwrap();
    assert!(world.notes().is_empty());
    store.clock().advance(MINUTE);
    store.quiet().await.unwrap();
    let notes: Vec<_> = world.notes().into_iter().map(|(note, _)| note).collect();
    assert_eq!((notes, world.handled()), (vec!["slept 10".to_owned(), "heard".to_owned()], 4));
}

/// A side effect under way is waited for, and what follows from it too. What moves has its name.
#[tokio::test]
async fn a_side_effect_is_not_quiet() {
    let (store, runtime, world) = open().await;
    runtime.actor::<Link>("a").unwrap().tell(Call).await.unwrap().durable().await.unwrap();
    let mut quiet = pin!(store.quiet());
    for _ in 0..100 {
        assert!(is_ready(quiet.as_mut()).await.is_none());
        tokio::task::yield_now().await;
    }
    while store.moving() != ["link/a waits for a side effect"] {
        tokio::task::yield_now().await;
    }
    world.gate.0.add_permits(1);
    quiet.await.unwrap();
    assert_eq!(world.handled(), 4, "also what the handler has sent after it");
    // Others are not kept from their commits meanwhile.
    runtime.actor::<Link>("a").unwrap().tell(Call).await.unwrap().durable().await.unwrap();
    runtime.actor::<Link>("b").unwrap().ask(Hop(0)).await.unwrap();
}

/// The waits between its tries count as moving, and take no time under the kit.
#[tokio::test]
async fn a_handler_that_keeps_panicking_is_left_out() {
    let (store, runtime, _) = open().await;
    let _ = runtime.actor::<Link>("a").unwrap().tell(Fail).await.unwrap();
    store.quiet().await.unwrap();
    assert_eq!(runtime.quarantined().len(), 1, "all its tries are over");
}

#[tokio::test]
async fn actors_that_move_for_ever_are_named() {
    let (store, runtime, _) = open().await;
    let _ = runtime.actor::<Link>("ping").unwrap().tell(PingPong).await.unwrap();
    let error = store.quiet_within(500).await.unwrap_err();
    let QuietError::Restless { rounds: 500, moving } = &error else { panic!("{error}") };
    assert!(moving.iter().any(|what| what.contains("ng runs") || what == "a commit"), "{error}");
}

/// Nothing is waited for in a runtime that is over.
#[tokio::test]
async fn a_runtime_that_has_ended_is_an_error() {
    let ended = |error| matches!(error, Err(QuietError::Ended(Ended::Stopped)));
    let store = TestStore::new();
    assert!(ended(store.quiet().await));
    let runtime = store.open(builder(&World::default())).await.unwrap();
    runtime.actor::<Link>("a").unwrap().tell(Call).await.unwrap().durable().await.unwrap();
    {
        let mut quiet = pin!(store.quiet());
        assert!(is_ready(quiet.as_mut()).await.is_none());
        tokio::task::yield_now().await;
        store.crash().await;
        assert!(ended(quiet.await));
    }
    assert!(ended(store.quiet().await));
    let runtime = store.open(builder(&World::default())).await.unwrap();
    runtime.shutdown_within(MINUTE / 600).await.unwrap();
    assert!(ended(store.quiet().await));
}

/// A handler that sleeps goes on after a reopening, and the wait for quiet does not wait for real
/// time, though an opening looks at what its handlers do for a second.
#[tokio::test]
async fn a_reopening_with_a_handler_that_waits_is_quiet_at_once() {
    let (store, runtime, world) = open().await;
    let _ = runtime.actor::<Link>("a").unwrap().tell(Sleep(10)).await.unwrap();
    store.advance(MINUTE * 4).await.unwrap();
    let began = std::time::Instant::now();
    for _ in 0..3 {
        store.crash().await;
        store.open(builder(&world)).await.unwrap();
        store.quiet().await.unwrap();
    }
    assert!(began.elapsed() < MINUTE / 60, "{:?}", began.elapsed());
    store.advance(MINUTE * 6).await.unwrap();
    assert_eq!((world.notes().len(), world.handled()), (1, 4));
}
