//! Handlers that ask, sleep and wait for several things at once: what they learn, once and for
//! ever, whatever crashes when.

use std::time::Duration;

use relive::{AskFailure, Durability, Medium, RestartPolicy, Runtime};
use relive_storage::MemoryStore;

use crate::actors;
use crate::programs::{Op, Run, ask, builder, count, counted, node, outside, show, until_counted};

fn effect(name: &str, number: u64) -> Op {
    Op::Effect(name.to_owned(), number)
}

fn awaits(name: &str) -> Op {
    Op::Await(name.to_owned())
}

async fn open(store: &MemoryStore) -> Runtime {
    let restarts = RestartPolicy::default().backoff(Duration::ZERO);
    builder().restarts(restarts).open_on(std::sync::Arc::new(store.clone())).await.unwrap()
}

/// Crashes a runtime, and opens it anew on the synced part of its store, which `store` is then.
async fn crash(runtime: Runtime, store: &mut MemoryStore) -> Runtime {
    actors::crash(runtime, store).await;
    open(store).await
}

/// Invariant: exactly-once inside. On both media, a reply comes once, and a crash after it changes
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_ask_is_answered_once_on_both_media() {
    for medium in [Medium::Sled, Medium::SegmentFiles] {
        let directory = tempfile::tempdir().unwrap();
        let open = || builder().durability(Durability::ProcessCrash).medium(medium).open(directory.path());
        let runtime = open().await.unwrap();
        let program = vec![ask("b", vec![Op::Give(5), ask("c", vec![Op::Give(7)])]), Op::Give(1)];
        assert_eq!(node(&runtime, "a").ask(Run(program)).await.unwrap(), 13);
        runtime.crash().await;
        let runtime = open().await.unwrap();
        for (key, learned) in [("a", vec![12, 1]), ("b", vec![5, 7]), ("c", vec![7])] {
            assert_eq!(show(&runtime, key).await.learned, learned, "{key} on {medium}");
        }
        assert_eq!(node(&runtime, "a").ask(Run(vec![ask("b", vec![Op::Give(2)])])).await.unwrap(), 2);
        runtime.shutdown().await.unwrap();
        let runtime = open().await.unwrap();
        assert_eq!(runtime.recovery().replayed, 0, "nothing is left to replay");
        assert_eq!(show(&runtime, "a").await.learned, [12, 1, 2]);
        runtime.shutdown().await.unwrap();
    }
}

/// Invariant: exactly-once inside. The receiver does not answer before the crash, so the asker goes
/// on waiting after it, and gets the reply once.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_a_handler_waits_for_a_reply() {
    let mut store = MemoryStore::new();
    let runtime = open(&store).await;
    let (ahead, marked) = ("crash_while_waiting.ahead", "crash_while_waiting.marked");
    let behind = "crash_while_waiting.behind";
    let inner = vec![effect(ahead, 5), effect(marked, 0), awaits(behind)];
    let program = vec![effect(ahead, 3), ask("b", inner), Op::Give(1)];
    drop(node(&runtime, "a").tell(Run(program)).await.unwrap());
    // It begins when the effects before are on stable storage.
    until_counted(marked).await;
    let runtime = crash(runtime, &mut store).await;
    count(behind);
    // Behind the one that waits.
    assert_eq!(node(&runtime, "a").ask(Run(vec![Op::Give(9)])).await.unwrap(), 9);
    assert_eq!(show(&runtime, "a").await.learned, [3, 5, 1, 9]);
    assert_eq!(show(&runtime, "b").await.learned, [5, 0, 0]);
    assert_eq!(counted(ahead), 2, "what is on record does not happen again");
}

/// A reply that the asker's log has comes again after a crash, when the delivery that it belongs to
/// is not handled yet. The asker acknowledges it with the last thing that it does, so the receiver
/// does not keep it for ever: after a shutdown nobody is needed in memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_comes_again_is_acknowledged_before_the_asker_rests() {
    let directory = tempfile::tempdir().unwrap();
    let open = || builder().durability(Durability::ProcessCrash).open(directory.path());
    let runtime = open().await.unwrap();
    let (learned, end) = ("comes_again.learned", "comes_again.end");
    let program = vec![ask("b", vec![Op::Give(5)]), effect(learned, 0), awaits(end)];
    drop(node(&runtime, "a").tell(Run(program)).await.unwrap());
    until_counted(learned).await;
    runtime.crash().await;
    let runtime = open().await.unwrap();
    count(end);
    runtime.shutdown().await.unwrap();
    let runtime = open().await.unwrap();
    assert_eq!((runtime.recovery().replayed, runtime.recovery().actors), (0, 0));
    assert_eq!(show(&runtime, "a").await.learned, [5, 0, 0]);
    runtime.shutdown().await.unwrap();
}

/// What comes while a handler waits is logged at once: its receipt does not wait for the handler.
#[tokio::test(flavor = "multi_thread")]
async fn receipts_do_not_wait_for_a_handler_that_waits() {
    let mut store = MemoryStore::new();
    let runtime = open(&store).await;
    let (begun, end) = ("receipts.begun", "receipts.end");
    let waits = node(&runtime, "a").tell(Run(vec![effect(begun, 1), awaits(end)])).await.unwrap();
    until_counted(begun).await;
    waits.durable().await.unwrap();
    for number in 2..5 {
        let told = node(&runtime, "a").tell(Run(vec![Op::Give(number)])).await.unwrap();
        told.durable().await.unwrap();
    }
    let runtime = crash(runtime, &mut store).await;
    count(end);
    assert_eq!(show(&runtime, "a").await.learned, [1, 0, 2, 3, 4], "in their order");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ask_that_closes_a_cycle_fails() {
    let runtime = open(&MemoryStore::new()).await;
    let inner = vec![ask("c", vec![ask("a", vec![Op::Give(1)])])];
    let asked = node(&runtime, "a").ask(Run(vec![ask("b", inner)])).await.unwrap();
    assert_eq!(asked, 1_000_000);
    let failures = show(&runtime, "c").await.failures;
    let [AskFailure::Deadlock { cycle }] = &*failures else { panic!("{failures:?}") };
    assert_eq!(cycle, &["node/c", "node/a", "node/b", "node/c"]);
    assert_eq!(show(&runtime, "a").await.learned, [1_000_000, 1], "the request was handled all the same");
    let own = node(&runtime, "d").ask(Run(vec![ask("d", vec![])])).await.unwrap();
    assert_eq!(own, 1_000_000);
    let failures = show(&runtime, "d").await.failures;
    assert!(matches!(&*failures, [AskFailure::Deadlock { cycle }] if cycle == &["node/d", "node/d"]));
}

/// A handler holds a reference to an actor, and asks it from outside. The cycle is found too,
/// whichever of the calls closes it.
#[tokio::test(flavor = "multi_thread")]
async fn an_ask_from_outside_within_a_handler_closes_a_cycle_too() {
    let runtime = open(&MemoryStore::new()).await;
    for (name, key) in [("cycle.a", "a"), ("cycle.b", "b"), ("cycle.e", "e")] {
        outside().insert(name.to_owned(), node(&runtime, key));
    }
    let from_outside = |name: &str, program| Op::Outside(name.to_owned(), program);
    // The inner ask closes it.
    let inner = vec![ask("a", vec![Op::Give(1)])];
    let asked = node(&runtime, "a").ask(Run(vec![from_outside("cycle.b", inner)])).await.unwrap();
    assert_eq!(asked, 1_000_000);
    let failures = show(&runtime, "b").await.failures;
    assert!(matches!(&*failures, [AskFailure::Deadlock { cycle }] if cycle.len() == 3), "{failures:?}");
    // The ask from outside closes it.
    let inner = vec![from_outside("cycle.e", vec![Op::Give(1)])];
    assert_eq!(node(&runtime, "e").ask(Run(vec![ask("f", inner)])).await.unwrap(), 3_000_000);
    // Nobody waits for somebody who waits: no cycle.
    let inner = vec![from_outside("cycle.a", vec![Op::Give(5)])];
    assert_eq!(node(&runtime, "g").ask(Run(vec![ask("h", inner)])).await.unwrap(), 5);
    outside().retain(|name, _| !name.starts_with("cycle."));
}

/// A receiver that stops fails those who wait for it, and those who ask it later.
#[tokio::test(flavor = "multi_thread")]
async fn an_ask_of_an_actor_that_stops_fails() {
    let store = MemoryStore::new();
    let runtime = open(&store).await;
    let panics = Op::Panic("asks.stops".to_owned(), u64::MAX);
    // It has asked, so it is not left out: it stops.
    let stops = vec![ask("c", vec![Op::Give(2)]), panics];
    let asked = node(&runtime, "a").ask(Run(vec![ask("b", stops), ask("b", vec![])])).await.unwrap();
    assert_eq!(asked, 2_000_000);
    let failures = show(&runtime, "a").await.failures;
    assert!(failures.iter().all(|failure| matches!(failure, AskFailure::Stopped { .. })), "{failures:?}");
    assert_eq!(show(&runtime, "c").await.learned, [2], "however often b was tried");
}

/// A receiver that leaves a request out says so, also after a crash.
#[tokio::test(flavor = "multi_thread")]
async fn an_ask_that_is_left_out_fails() {
    let mut store = MemoryStore::new();
    let runtime = open(&store).await;
    let panics = vec![Op::Panic("asks.left_out".to_owned(), u64::MAX)];
    assert_eq!(node(&runtime, "a").ask(Run(vec![ask("b", panics)])).await.unwrap(), 1_000_000);
    let runtime = crash(runtime, &mut store).await;
    let failures = show(&runtime, "a").await.failures;
    assert!(matches!(&*failures, [AskFailure::Quarantined { tries: 3, .. }]), "{failures:?}");
}

/// Which of two came first is on record: a crash in the middle of what follows changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_race_has_one_winner_for_ever() {
    let mut store = MemoryStore::new();
    let mut runtime = open(&store).await;
    let never = || awaits("race.never");
    let race = |a: Op, b: Op| Op::Race(Box::new(a), Box::new(b));
    let program = vec![
        race(Op::Sleep(5), never()),
        race(never(), ask("b", vec![Op::Give(3)])),
        race(ask("c", vec![never()]), effect("race.effect", 2)),
        Op::Any(vec![never(), never(), Op::Give(4)]),
        Op::Join(Box::new(effect("race.effect", 3)), Box::new(ask("b", vec![Op::Give(4)]))),
        Op::All(vec![Op::Sleep(1), effect("race.effect", 1), ask("b", vec![Op::Give(1)])]),
        effect("race.marked", 0),
        awaits("race.end"),
    ];
    drop(node(&runtime, "a").tell(Run(program)).await.unwrap());
    until_counted("race.marked").await;
    for _ in 0..3 {
        runtime = crash(runtime, &mut store).await;
    }
    count("race.end");
    let learned = show(&runtime, "a").await.learned;
    assert_eq!((learned[1], learned[2], learned[3], learned[4]), (21, 14, 6, 13), "{learned:?}");
    assert_eq!(counted("race.effect"), 3);
    assert_eq!(show(&runtime, "b").await.learned, [3, 4, 1]);
}

/// A limit in time is a value, and what comes too late changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_ask_with_a_limit_in_time_fails() {
    let mut store = MemoryStore::new();
    let runtime = open(&store).await;
    let (begun, end) = ("limit.begun", "limit.end");
    let late = vec![effect(begun, 1), awaits(end)];
    let program = vec![Op::AskWithin("b".to_owned(), late, 1), Op::Give(1)];
    assert_eq!(node(&runtime, "a").ask(Run(program)).await.unwrap(), 1_000_001);
    count(end);
    let again = vec![ask("b", vec![Op::Give(6)])];
    assert_eq!(node(&runtime, "a").ask(Run(again)).await.unwrap(), 6, "the reply of this one");
    let runtime = crash(runtime, &mut store).await;
    let a = show(&runtime, "a").await;
    assert_eq!((a.learned, a.failures), (vec![1_000_000, 1, 6], vec![AskFailure::TimedOut { millis: 1 }]));
    assert_eq!(show(&runtime, "b").await.learned, [1, 0, 6]);
}

/// Invariant: fifo. What a handler has sent before an ask arrives before it.
#[tokio::test(flavor = "multi_thread")]
async fn an_ask_does_not_overtake_what_was_sent_before() {
    let runtime = open(&MemoryStore::new()).await;
    let tell = |number| Op::Tell("b".to_owned(), vec![Op::Give(number)]);
    let program =
        vec![tell(1), tell(2), ask("b", vec![Op::Give(3)]), tell(4), ask("b", vec![Op::Give(5)]), tell(6)];
    node(&runtime, "a").ask(Run(program)).await.unwrap();
    while show(&runtime, "b").await.learned.len() < 6 {}
    assert_eq!(show(&runtime, "b").await.learned, [1, 2, 3, 4, 5, 6]);
}

/// A panic after an ask: the try after it asks nothing again, and the reply is the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_after_an_ask_goes_on() {
    let runtime = open(&MemoryStore::new()).await;
    let panics = Op::Panic("asks.panics".to_owned(), 2);
    let program = vec![ask("b", vec![Op::Give(3)]), panics, ask("b", vec![Op::Give(4)])];
    assert_eq!(node(&runtime, "a").ask(Run(program)).await.unwrap(), 7);
    assert_eq!(show(&runtime, "b").await.learned, [3, 4]);
    assert_eq!(runtime.stats().restarts, 2);
}
