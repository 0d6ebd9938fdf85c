//! Queries of handlers: what a handler learns is on record, once and for ever; failures are values;
//! no cycle waits for ever.

use std::sync::Arc;
use std::time::Duration;

use relive::{Discipline, QueryFailure, Runtime};
use relive_storage::MemoryStore;
use relive_storage::simulated_store::{Call, Fault, SimulatedDisk, Unsynced};

use super::desk::{Look, Want, balance, builder, desk, look, open, with_lost};
use super::teller::{Boom, LONG, MEDIA, Pay, hold, is_waited_for, teller};
use crate::actors::{happen, happened};
use crate::programs::{self, HowMuch, Op, Run, ask, builder_with, node, show};

/// A query that waits until its teller has gone on.
fn until(what: &str) -> Want {
    Want::Until(what.to_owned())
}

/// A replay takes the recorded answer, whatever the actor would answer by then, and asks nobody.
/// The actor that answers has no record of the query.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_keeps_the_answer_that_it_has_learned() {
    for medium in MEDIA {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        let runtime = open(medium, &path).await;
        let [asked, end] = ["asked", "end"].map(|what| format!("queries: keeps, {what}, {medium}"));
        teller(&runtime, "bob").ask(Pay { cents: 5 }).await.unwrap();
        drop(desk(&runtime, "a").tell(Look(vec![balance("bob", &asked), until(&end)])).await.unwrap());
        is_waited_for(&end).await;
        teller(&runtime, "bob").ask(Pay { cents: 100 }).await.unwrap();
        runtime.crash().await;
        let runtime = open(medium, &path).await;
        happen(&end);
        assert_eq!(look(&runtime, "a", vec![balance("bob", &asked)]).await, [Ok(5), Ok(105)], "{medium}");
        assert_eq!(happened(&asked), 2, "once for each query, though the first handler ran twice");
        runtime.crash().await;
        let runtime = open(medium, &path).await;
        let recovery = runtime.recovery();
        // Two payments and two looks. When the crash came ahead of the record that the recovery
        // before was complete, those that may not have been handled run live.
        assert!(recovery.replayed == 4 || recovery.in_probation, "{medium}: {recovery:?}");
        assert_eq!(look(&runtime, "a", vec![]).await, [Ok(5), Ok(105)]);
        assert_eq!(happened(&asked), 2);
        assert!(runtime.shutdown().await.unwrap().left.is_empty());
        let runtime = open(medium, &path).await;
        assert_eq!(runtime.recovery().replayed, 0);
        assert_eq!(look(&runtime, "a", vec![]).await, [Ok(5), Ok(105)]);
        runtime.shutdown().await.unwrap();
    }
}

/// An answer shows what the handler has asked for before, and not what it only has sent.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_shows_what_its_handler_has_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let runtime = open(MEDIA[0], &root.path().join("store")).await;
    let pay = |cents| Want::Pay("bob".to_owned(), cents);
    let what = "queries: what its handler has asked for";
    let wants = (1..20).flat_map(|cents| [pay(cents), balance("bob", what)]).collect();
    let seen = look(&runtime, "a", wants).await;
    let sums = (1..20).map(|last| Ok((1..=last).sum()));
    assert_eq!(seen, sums.collect::<Vec<_>>());
    runtime.shutdown().await.unwrap();
    // Messages of a delivery leave when it is done.
    let runtime = memory(&MemoryStore::new(), Discipline::BeforeHandling).await;
    let tells = vec![Op::Tell("b".to_owned(), vec![Op::Give(1)]), Op::Query("b".to_owned())];
    assert_eq!(node(&runtime, "a").ask(Run(tells)).await.unwrap(), 0);
    runtime.shutdown().await.unwrap();
}

/// The delivery that is under way at the other actor comes first, and so does no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_waits_for_a_delivery_under_way() {
    for medium in MEDIA {
        let root = tempfile::tempdir().unwrap();
        let runtime = open(medium, &root.path().join("store")).await;
        let (bob, end) = (teller(&runtime, "bob"), format!("queries: under way, {medium}"));
        hold(&bob, &end).await;
        let what = format!("queries: under way, asked, {medium}");
        let (runtime, begun) = (Arc::new(runtime), format!("queries: under way, begun, {medium}"));
        happen(&begun);
        // More than wait for an actor at a time: the others wait for a place.
        let looking: Vec<_> = (0..80)
            .map(|at| {
                let (runtime, wants) = (Arc::clone(&runtime), vec![until(&begun), balance("bob", &what)]);
                tokio::spawn(async move { look(&runtime, &format!("desk {at}"), wants).await })
            })
            .collect();
        while happened(&format!("{begun} is waited for")) < 80 {
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            drop(bob.tell(Pay { cents: 10 }).await.unwrap());
        }
        assert_eq!(happened(&what), 0);
        happen(&end);
        for looking in looking {
            let seen = looking.await.unwrap();
            assert!(matches!(&*seen, [Ok(cents)] if *cents >= 2), "{medium}: {seen:?}");
        }
        assert_eq!(happened(&what), 80);
        Arc::into_inner(runtime).unwrap().shutdown().await.unwrap();
    }
}

/// Each failure is a value, and the log has it: what the next life would answer changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn failures_are_values_on_record() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = open(MEDIA[0], &path).await;
    let bob = || "bob".to_owned();
    hold(&teller(&runtime, "busy"), "queries: never").await;
    assert!(teller(&runtime, "stopped").ask(Boom {}).await.is_err());
    let wants = vec![
        Want::Lost,
        Want::Unregistered(bob()),
        Want::OtherType(bob()),
        balance(&"k".repeat(300), "queries: a name"),
        Want::Panics(bob()),
        Want::Within("busy".to_owned(), "queries: too late".to_owned(), 1),
        Want::Bytes(2 << 20),
        Want::Asked(2 << 20),
        Want::Bytes(1 << 19),
        Want::Asked(1 << 19),
    ];
    let seen = look(&runtime, "a", wants).await;
    let failures: Vec<_> = seen.iter().map(|seen| seen.as_ref().err()).collect();
    let [
        Some(QueryFailure::NotAsked { reason: lost }),
        Some(QueryFailure::NotAsked { reason: unregistered }),
        Some(QueryFailure::NotAsked { reason: other }),
        Some(QueryFailure::NotAsked { reason: name }),
        Some(QueryFailure::Panicked { receiver, panic }),
        Some(QueryFailure::TimedOut { millis: 1 }),
        Some(QueryFailure::AnswerTooLarge { .. }),
        Some(QueryFailure::NotAsked { reason: large }),
        None,
        None,
    ] = &*failures
    else {
        panic!("{failures:?}")
    };
    assert!(lost.contains("\"lost\" is not registered") && large.contains("\"text\" has"), "{lost}, {large}");
    assert!(
        unregistered.contains("add `answers`") && unregistered == other && name.contains("300"),
        "{name}"
    );
    assert_eq!((&**receiver, &**panic), ("teller/bob", "told to"));
    assert_eq!(seen[8..], [Ok(1 << 19), Ok(1)]);
    runtime.crash().await;
    // Now the kind is there.
    let runtime = with_lost().open(&path).await.unwrap();
    assert_eq!(look(&runtime, "a", vec![]).await, seen);
    assert_eq!(*look(&runtime, "a", vec![Want::Lost]).await.last().unwrap(), Ok(1));
    happen("queries: never");
    runtime.shutdown().await.unwrap();
}

async fn memory(store: &MemoryStore, discipline: Discipline) -> Runtime {
    let restarts = relive::RestartPolicy::default().backoff(Duration::ZERO).tries(1);
    builder_with(discipline).restarts(restarts).open_on(Arc::new(store.clone())).await.unwrap()
}

/// An actor that stops fails the queries that wait for it, and those that come later.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_an_actor_that_stops_fails() {
    for discipline in [Discipline::BeforeHandling, Discipline::BeforeOutput] {
        let runtime = memory(&MemoryStore::new(), discipline).await;
        let name = |what: &str| format!("queries: stops, {what}, {discipline:?}");
        // It has asked, so it is not left out: it stops.
        let stops = vec![
            ask("c", vec![Op::Give(2)]),
            Op::Effect(name("begun"), 0),
            Op::Await(name("end")),
            Op::Panic(name("panics"), u64::MAX),
        ];
        drop(node(&runtime, "b").tell(Run(stops)).await.unwrap());
        programs::until_counted(&name("begun")).await;
        let queries = vec![Op::Query("b".to_owned()), Op::Query("b".to_owned())];
        let queries = vec![Op::Effect(name("asks"), 0)].into_iter().chain(queries).collect();
        let asking = tokio::spawn({
            let a = node(&runtime, "a");
            async move { a.ask(Run(queries)).timeout(LONG).await }
        });
        programs::until_counted(&name("asks")).await;
        programs::count(&name("end"));
        assert_eq!(asking.await.unwrap().unwrap(), 4_000_000);
        let unanswered = show(&runtime, "a").await.unanswered;
        let stopped = |failure: &QueryFailure| matches!(failure, QueryFailure::Stopped { receiver, .. } if receiver == "node/b");
        assert!(unanswered.len() == 2 && unanswered.iter().all(stopped), "{unanswered:?}");
        runtime.crash().await;
    }
}

/// A cycle of handlers that wait for each other ends when it closes, with the cycle as evidence,
/// whether they ask or query.
#[tokio::test(flavor = "multi_thread")]
async fn the_query_that_closes_a_cycle_fails() {
    let deadlock = |failures: &[QueryFailure]| match failures {
        [QueryFailure::Deadlock { cycle }] => cycle.clone(),
        other => panic!("{other:?}"),
    };
    let query = |of: &str| Op::Query(of.to_owned());
    for discipline in [Discipline::BeforeHandling, Discipline::BeforeOutput] {
        let mut store = MemoryStore::new();
        let runtime = memory(&store, discipline).await;
        let ran = |key: &'static str, program| {
            let node = node(&runtime, key);
            async move { node.ask(Run(program)).timeout(LONG).await.unwrap() }
        };
        // Of itself.
        assert_eq!(ran("own", vec![query("own"), Op::Give(1)]).await, 2_000_001);
        assert_eq!(deadlock(&show(&runtime, "own").await.unanswered), ["node/own", "node/own"]);
        // Of one that waits for it, over another one.
        assert_eq!(ran("a", vec![ask("b", vec![ask("c", vec![query("a")])])]).await, 2_000_000);
        let cycle = deadlock(&show(&runtime, "c").await.unanswered);
        assert_eq!(cycle, ["node/c", "node/a", "node/b", "node/c"]);
        // An ask that closes a cycle of which a query is a part.
        let name = |what: &str| format!("queries: a cycle, {what}, {discipline:?}");
        let waits = vec![Op::Effect(name("e"), 0), Op::Await(name("go")), query("f")];
        let asks = vec![Op::Effect(name("f"), 0), Op::Await(name("e asks")), ask("e", vec![Op::Give(1)])];
        let both = tokio::spawn(futures_join(ran("e", waits), ran("f", asks)));
        programs::until_counted(&name("e")).await;
        programs::until_counted(&name("f")).await;
        programs::count(&name("go"));
        programs::count(&name("e asks"));
        // The one that asks second closes the cycle. Each of the two may be that one.
        let (e, f) = both.await.unwrap();
        assert!((e, f) == (2_000_000, 1) || f == 1_000_000, "{e} {f}");
        runtime.crash().await;
        store.crash();
        store = store.reopen();
        let runtime = memory(&store, discipline).await;
        assert_eq!(deadlock(&show(&runtime, "own").await.unanswered), ["node/own", "node/own"]);
        runtime.shutdown().await.unwrap();
    }
}

async fn futures_join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    tokio::join!(a, b)
}

/// Two handlers that query each other, as often as they can: one of the two learns of the cycle,
/// and neither waits for ever.
#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_query_each_other_go_on() {
    for discipline in [Discipline::BeforeHandling, Discipline::BeforeOutput] {
        let runtime = memory(&MemoryStore::new(), discipline).await;
        let rounds = 40;
        let runs = [("a", "b"), ("b", "c"), ("c", "a")].map(|(key, of)| {
            let node = node(&runtime, key);
            let program = vec![Op::Query(of.to_owned()), ask(of, vec![Op::Query(key.to_owned())])];
            tokio::spawn(async move {
                for _ in 0..rounds {
                    node.ask(Run(program.clone())).timeout(LONG).await.unwrap();
                }
            })
        });
        for run in runs {
            run.await.unwrap();
        }
        for key in ["a", "b", "c"] {
            let node = show(&runtime, key).await;
            let deadlocks = |failure: &QueryFailure| matches!(failure, QueryFailure::Deadlock { .. });
            assert!(node.unanswered.iter().all(deadlocks), "{node:?}");
        }
        runtime.shutdown().await.unwrap();
    }
}

/// A handler with another way to go on is in no deadlock, and the query that lost is dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_lost_is_dropped() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = open(MEDIA[0], &path).await;
    hold(&teller(&runtime, "busy"), "queries: lost, end").await;
    teller(&runtime, "bob").ask(Pay { cents: 7 }).await.unwrap();
    let named = |key: &str, what: &str| (key.to_owned(), format!("queries: lost, {what}"));
    let wants = vec![
        Want::Either([named("busy", "busy"), named("bob", "bob")]),
        Want::Within("busy".to_owned(), "queries: lost, busy".to_owned(), 1),
        Want::All(vec![named("bob", "all"), named("bob", "all"), named("eve", "all")]),
        Want::Stumble("queries: lost, stumbles".to_owned()),
        Want::Either([named("bob", "first"), named("busy", "busy")]),
    ];
    let seen = look(&runtime, "a", wants).await;
    let expected = [Ok(-7), Err(QueryFailure::TimedOut { millis: 1 }), Ok(7), Ok(7), Ok(0), Ok(7)];
    assert_eq!(seen, expected);
    assert_eq!(runtime.stats().restarts, 1);
    happen("queries: lost, end");
    teller(&runtime, "busy").ask(Pay { cents: 0 }).await.unwrap();
    let counts = ["busy", "bob", "all", "first"].map(|what| happened(&format!("queries: lost, {what}")));
    assert_eq!(counts, [0, 1, 3, 1], "what lost is not answered, what was learned is not asked again");
    runtime.crash().await;
    let runtime = open(MEDIA[0], &path).await;
    assert_eq!(look(&runtime, "a", vec![]).await, expected);
    runtime.shutdown().await.unwrap();
    // The other end of a cycle, which goes on by itself.
    let runtime = memory(&MemoryStore::new(), Discipline::BeforeHandling).await;
    let race = Op::Race(Box::new(Op::Query("a".to_owned())), Box::new(Op::Sleep(1)));
    let given = node(&runtime, "a").ask(Run(vec![ask("b", vec![race])])).timeout(LONG).await.unwrap();
    assert!(given == 0 || given == 7, "the sleep gives 0 or 1, times 7: {given}");
    assert!(show(&runtime, "b").await.unanswered.is_empty());
    runtime.shutdown().await.unwrap();
}

/// A shutdown waits for a handler that queries, and its query is answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_queries_while_the_runtime_closes() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = open(MEDIA[0], &path).await;
    teller(&runtime, "bob").ask(Pay { cents: 7 }).await.unwrap();
    let (end, what) = ("queries: closes, end", "queries: closes");
    let wants = vec![until(end), balance("bob", what), balance("eve", what)];
    drop(desk(&runtime, "a").tell(Look(wants)).await.unwrap());
    is_waited_for(end).await;
    let bob = teller(&runtime, "bob");
    let closing = tokio::spawn(runtime.shutdown());
    while bob.query(super::teller::Balance {}).await.is_ok() {
        tokio::task::yield_now().await;
    }
    happen(end);
    assert!(closing.await.unwrap().unwrap().left.is_empty());
    let runtime = open(MEDIA[0], &path).await;
    assert_eq!(runtime.recovery().replayed, 0);
    assert_eq!(look(&runtime, "a", vec![]).await, [Ok(7), Ok(0)]);
    runtime.shutdown().await.unwrap();
}

/// Invariant: no-orphan. Among actors that wait for their outputs alone an answer waits for no
/// disk, and nobody outside hears of it before the disk has all that it shows.
#[tokio::test]
async fn an_answer_between_actors_does_not_wait_for_the_disk() {
    let disk = SimulatedDisk::new(1);
    let open = async || builder_with(Discipline::BeforeOutput).open_on(Arc::new(disk.open())).await.unwrap();
    let runtime = open().await;
    for _ in 0..5 {
        show(&runtime, "rest").await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    disk.plan_next(Fault::Hang, Call::Sync);
    let b = node(&runtime, "b");
    drop(b.tell(Run(vec![Op::Give(1), Op::Give(2)])).await.unwrap());
    let program = vec![ask("b", vec![Op::Give(3)]), Op::Query("b".to_owned())];
    let program =
        program.into_iter().chain([ask("c", vec![Op::Give(4)]), Op::Effect("queries: e".into(), 0)]);
    let asking = tokio::spawn({
        let (a, program) = (node(&runtime, "a"), program.collect());
        async move { a.ask(Run(program)).await }
    });
    let waiting = disk.clone();
    tokio::task::spawn_blocking(move || waiting.wait_for_hang()).await.unwrap();
    // One thread runs all tasks, so each gets its turns here.
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
    let outside = tokio::spawn(async move { b.query(HowMuch).timeout(LONG).await });
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
    let went_on = runtime.actors_in_memory();
    let (effects, answered) =
        (programs::counted("queries: e"), outside.is_finished() || asking.is_finished());
    disk.release();
    // The handler has learned the answer: it has asked the third node.
    assert_eq!((effects, answered, went_on), (0, false, 4), "rest, b, a, and c");
    assert_eq!(asking.await.unwrap().unwrap(), 3 + 3 + 4);
    assert_eq!(outside.await.unwrap().unwrap(), 3);
    assert_eq!(programs::counted("queries: e"), 1);
    runtime.crash().await;
    disk.lose_power(Unsynced::Dropped);
    let runtime = open().await;
    assert_eq!(show(&runtime, "a").await.shown, [("b".to_owned(), 3)]);
    runtime.shutdown().await.unwrap();
}

/// A panic after a query: the try after it takes the recorded answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_after_a_query_goes_on() {
    let runtime = builder().open_on(Arc::new(MemoryStore::new())).await.unwrap();
    let what = "queries: panics after";
    let wants = vec![balance("bob", what), Want::Stumble(format!("{what}, stumbles")), balance("bob", what)];
    assert_eq!(look(&runtime, "a", wants).await, [Ok(0), Ok(0)]);
    assert_eq!((happened(what), runtime.stats().restarts), (2, 1));
    runtime.shutdown().await.unwrap();
}
