//! A store in memory that outlives its runtimes.

use relive::testing::{ManualClock, TestStore};
use relive::{AskError, Timestamp};

use super::actors::{Call, Draw, Hop, Link, MINUTE, Sleep, World, builder};

/// What was acknowledged is there after a crash of either kind and after a shutdown, and a handler
/// that waits goes on.
#[tokio::test]
async fn what_was_acknowledged_survives() {
    let (store, world) = (TestStore::new(), World::default());
    for round in 1..=6 {
        let runtime = store.open(builder(&world)).await.unwrap();
        assert_eq!(runtime.actor::<Link>("a").unwrap().ask(Hop(0)).await.unwrap(), round);
        match round % 3 {
            0 => store.crash().await,
            1 => store.lose_power().await,
            _ => drop(runtime.shutdown().await.unwrap()),
        }
    }
}

/// A crash ends handlers in a side effect and in a sleep. Both go on after it.
#[tokio::test]
async fn a_crash_comes_while_handlers_wait() {
    let (store, world) = (TestStore::new(), World::default());
    let runtime = store.open(builder(&world)).await.unwrap();
    runtime.actor::<Link>("calls").unwrap().tell(Call).await.unwrap().durable().await.unwrap();
    runtime.actor::<Link>("sleeps").unwrap().tell(Sleep(5)).await.unwrap().durable().await.unwrap();
    store.crash().await;
    let refused = runtime.actor::<Link>("calls").unwrap().ask(Hop(0)).await;
    assert!(matches!(refused, Err(AskError::NotAccepted { .. })), "it is over");
    store.open(builder(&world)).await.unwrap();
    world.gate.0.add_permits(1);
    store.advance(MINUTE * 5).await.unwrap();
    assert_eq!((world.notes().len(), world.handled()), (1, 8));
}

/// One runtime at a time: the next opening ends the one before. One that was dropped goes on.
#[tokio::test]
async fn an_opening_ends_the_runtime_before() {
    let (store, world) = (TestStore::new(), World::default());
    let first = store.open(builder(&world)).await.unwrap();
    first.actor::<Link>("a").unwrap().ask(Hop(0)).await.unwrap();
    let second = store.open(builder(&world)).await.unwrap();
    assert!(first.actor::<Link>("a").unwrap().ask(Hop(0)).await.is_err());
    assert_eq!(second.actor::<Link>("a").unwrap().ask(Hop(0)).await.unwrap(), 2);
    let _ = second.actor::<Link>("a").unwrap().tell(Hop(0)).await.unwrap();
    drop((first, second));
    store.quiet().await.unwrap();
    let third = store.clone().open(builder(&world)).await.unwrap();
    assert_eq!(third.actor::<Link>("a").unwrap().ask(Hop(0)).await.unwrap(), 4);
}

/// Two stores with the same run draw the same and have the same keys; one store never draws the
/// same twice, also after a crash.
#[tokio::test]
async fn what_handlers_draw_is_the_same_in_each_run() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (store, world, mut drawn) = (TestStore::new(), World::default(), Vec::new());
        for _ in 0..3 {
            let runtime = store.open(builder(&world)).await.unwrap();
            for _ in 0..3 {
                drawn.push(runtime.actor::<Link>("a").unwrap().ask(Draw).await.unwrap());
            }
            store.crash().await;
        }
        runs.push(drawn);
    }
    assert_eq!(runs[0], runs[1]);
    let mut drawn = runs.remove(0);
    drawn.sort_unstable();
    drawn.dedup_by_key(|(random, _)| *random);
    assert_eq!(drawn.len(), 9);
}

/// What a crash finds under way does not move any more, though the test has the runtime still.
#[tokio::test]
async fn what_was_under_way_in_a_crash_is_over() {
    let (store, world) = (TestStore::new(), World::default());
    let runtime = store.open(builder(&world)).await.unwrap();
    for key in 0..100 {
        let _ = runtime.actor::<Link>(&key.to_string()).unwrap().tell(Hop(3)).await.unwrap();
        tokio::task::yield_now().await;
    }
    store.crash().await;
    assert_eq!(store.moving(), [""; 0]);
    store.open(builder(&world)).await.unwrap();
    store.quiet().await.unwrap();
    drop(runtime);
}

#[tokio::test]
async fn a_builder_keeps_a_clock_of_its_own() {
    let (store, own) = (TestStore::new(), ManualClock::new(Timestamp::from_micros(5)));
    let runtime = store.open(builder(&World::default()).clock(own)).await.unwrap();
    store.advance(MINUTE).await.unwrap();
    assert_eq!(runtime.now(), Timestamp::from_micros(5));
}
