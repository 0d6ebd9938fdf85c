//! Time moves from one thing that waits to the next.

use std::time::Duration;

use relive::Timestamp;
use relive::testing::TestStore;

use super::actors::{Hop, Link, MINUTE, Remind, Sleep, Tick, World, builder};

/// What was noted, by minutes since a moment.
fn minutes(world: &World, since: Timestamp) -> Vec<(String, u64)> {
    let notes = world.notes().into_iter();
    notes.map(|(note, at)| (note, at.since(since).as_secs() / 60)).collect()
}

fn expected(notes: &[(&str, u64)]) -> Vec<(String, u64)> {
    notes.iter().map(|(note, minutes)| ((*note).to_owned(), *minutes)).collect()
}

fn remind(name: &str, minutes: u32, again: &[u32]) -> Remind {
    Remind { name: name.to_owned(), minutes, again: again.to_vec() }
}

/// Timers and sleeps of several actors come in the order of their times, each handler sees the time
/// that it waited for, and what it sets then comes within the same call.
#[tokio::test]
async fn everything_comes_in_its_order() {
    let (store, world) = (TestStore::new(), World::default());
    let runtime = store.open(builder(&world)).await.unwrap();
    let (began, link) = (runtime.now(), |key: &str| runtime.actor::<Link>(key).unwrap());
    link("a").ask(remind("late", 50, &[5])).await.unwrap();
    link("b").ask(remind("early", 10, &[20, 25])).await.unwrap();
    let _ = link("c").tell(Sleep(30)).await.unwrap();
    store.advance(MINUTE * 54).await.unwrap();
    let so_far = [("early", 10), ("slept 30", 30), ("early", 35), ("late", 50)];
    assert_eq!(minutes(&world, began), expected(&so_far));
    assert_eq!((runtime.now().since(began), world.handled()), (MINUTE * 54, 4));
    store.advance(MINUTE).await.unwrap();
    // The timers of two actors are due at once.
    let mut last = minutes(&world, began).split_off(4);
    last.sort_unstable();
    assert_eq!(last, expected(&[("early", 55), ("late", 55)]));
    store.advance(Duration::MAX).await.unwrap();
    assert_eq!(world.notes().len(), 6);
}

/// A step for each firing of a periodic timer, and one for all when the clock jumps.
#[tokio::test]
async fn a_periodic_timer_fires_each_time_or_once_after_a_jump() {
    let (store, world) = (TestStore::new(), World::default());
    let runtime = store.open(builder(&world)).await.unwrap();
    let began = runtime.now();
    runtime.actor::<Link>("a").unwrap().ask(Tick { fires: false }).await.unwrap();
    store.advance(MINUTE * 3).await.unwrap();
    assert_eq!(minutes(&world, began), expected(&[("missed 0", 1), ("missed 0", 2), ("missed 0", 3)]));
    store.clock().advance(MINUTE * 10);
    store.quiet().await.unwrap();
    assert_eq!(minutes(&world, began)[3..], expected(&[("missed 9", 13)]));
}

/// Many timers are due at once, more than are woken together.
#[tokio::test]
async fn all_timers_that_are_due_have_fired() {
    const ACTORS: usize = 600;
    let (store, world) = (TestStore::new(), World::default());
    let runtime = store.open(builder(&world)).await.unwrap();
    for key in 0..ACTORS {
        let link = runtime.actor::<Link>(&key.to_string()).unwrap();
        let _ = link.tell(remind("due", 1, &[])).await.unwrap();
    }
    store.quiet().await.unwrap();
    store.crash().await;
    store.open(builder(&world)).await.unwrap();
    store.quiet().await.unwrap();
    assert_eq!(world.notes().len(), 0);
    store.clock().advance(MINUTE);
    store.quiet().await.unwrap();
    assert_eq!(world.notes().len(), ACTORS);
}

/// The clock stands where it was when the runtime crashes, and goes on from there.
#[tokio::test]
async fn the_clock_survives_a_crash() {
    let (store, world) = (TestStore::new(), World::default());
    let runtime = store.open(builder(&world)).await.unwrap();
    let began = runtime.now();
    runtime.actor::<Link>("a").unwrap().ask(remind("due", 30, &[])).await.unwrap();
    store.advance(MINUTE * 20).await.unwrap();
    store.lose_power().await;
    store.clock().advance(MINUTE * 5);
    let runtime = store.open(builder(&world)).await.unwrap();
    assert_eq!(runtime.now().since(began), MINUTE * 25);
    store.advance(MINUTE * 5).await.unwrap();
    assert_eq!(minutes(&world, began), expected(&[("due", 30)]));
    assert_eq!(runtime.actor::<Link>("after").unwrap().ask(Hop(0)).await.unwrap(), 1);
}
