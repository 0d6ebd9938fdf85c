//! Requests that are sent again under an idempotency key: each key has one effect and one reply,
//! whatever ends between the first time and the next.

mod crashes;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use relive::testing::ManualClock;
use relive::{
    Ask, AskError, Builder, Durability, ErrorKind, Medium, NoAnswer, Refused, RestartPolicy, Runtime,
    Timestamp,
};
use relive_storage::MemoryStore;

use crate::actors;
use crate::programs::{self, Node, Op, Run, count, counted, node, show, until_counted};

fn builder() -> Builder {
    programs::builder().restarts(RestartPolicy::default().backoff(Duration::ZERO))
}

async fn open(store: &MemoryStore) -> Runtime {
    builder().open_on(Arc::new(store.clone())).await.unwrap()
}

/// Crashes a runtime, and opens it anew on the synced part of its store, which `store` is then.
async fn crash(runtime: Runtime, store: &mut MemoryStore) -> Runtime {
    actors::crash(runtime, store).await;
    open(store).await
}

/// Asks the node `a`.
async fn ask(runtime: &Runtime, key: &str, program: Vec<Op>) -> Result<u64, AskError<Run>> {
    node(runtime, "a").ask(Run(program)).idempotency_key(key).await
}

/// A program whose effect shows in the state, once for each time that it is handled.
fn give(number: u64) -> Vec<Op> {
    vec![Op::Give(number)]
}

async fn learned(runtime: &Runtime) -> Vec<u64> {
    show(runtime, "a").await.learned
}

async fn on(medium: Medium, path: &Path) -> Runtime {
    let builder = builder().durability(Durability::ProcessCrash).medium(medium);
    builder.open(path).await.unwrap()
}

/// Invariant: exactly-once inside. On both media, a request that comes again gets the reply of the
/// first, after it, after a crash, after a checkpoint and the end of the process.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_one_effect_and_one_reply_on_both_media() {
    for medium in [Medium::Sled, Medium::SegmentFiles] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let runtime = on(medium, &path).await;
        assert_eq!(ask(&runtime, "one", give(5)).await.unwrap(), 5);
        let before = (runtime.stats().deliveries, runtime.log_bytes());
        assert_eq!(ask(&runtime, "one", give(5)).await.unwrap(), 5);
        let after = runtime.stats();
        assert_eq!((after.deliveries, runtime.log_bytes()), before, "nothing is logged");
        assert_eq!(after.duplicates, 1);
        runtime.crash().await;

        let runtime = on(medium, &path).await;
        assert_eq!(ask(&runtime, "one", give(5)).await.unwrap(), 5);
        assert_eq!(ask(&runtime, "two", give(7)).await.unwrap(), 7);
        node(&runtime, "a").checkpoint().await.unwrap();
        runtime.crash().await;

        let runtime = on(medium, &path).await;
        assert_eq!(ask(&runtime, "one", give(5)).await.unwrap(), 5);
        assert_eq!(ask(&runtime, "three", give(9)).await.unwrap(), 9);
        assert_eq!(runtime.shutdown().await.unwrap().left, []);

        let runtime = on(medium, &path).await;
        assert_eq!(runtime.recovery().replayed, 0);
        for (key, number) in [("one", 5), ("two", 7), ("three", 9)] {
            assert_eq!(ask(&runtime, key, give(number)).await.unwrap(), number);
        }
        assert_eq!(learned(&runtime).await, [5, 7, 9], "each key once, on {medium}");
        runtime.shutdown().await.unwrap();
    }
}

/// The same on the memory backend, and for an actor that has left memory meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_passive_actor_knows_its_requests() {
    let store = MemoryStore::new();
    let idle = builder().passivate_after(Duration::ZERO).open_on(Arc::new(store.clone()));
    let runtime = idle.await.unwrap();
    assert_eq!(ask(&runtime, "one", give(5)).await.unwrap(), 5);
    while runtime.actors_in_memory() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(ask(&runtime, "one", give(5)).await.unwrap(), 5);
    assert_eq!(learned(&runtime).await, [5]);
    runtime.shutdown().await.unwrap();
}

/// The same key at another actor is another request, and an ask without a key stays one of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_one_actor() {
    let runtime = open(&MemoryStore::new()).await;
    for key in ["a", "b"] {
        assert_eq!(node(&runtime, key).ask(Run(give(5))).idempotency_key("one").await.unwrap(), 5);
    }
    assert_eq!(node(&runtime, "a").ask(Run(give(5))).await.unwrap(), 5);
    assert_eq!((learned(&runtime).await, show(&runtime, "b").await.learned), (vec![5, 5], vec![5]));
    runtime.shutdown().await.unwrap();
}

/// Invariant: exactly-once inside. Many callers with one key, while the handler waits: one effect,
/// and the same reply for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn all_who_ask_at_the_same_time_get_the_same_reply() {
    let runtime = open(&MemoryStore::new()).await;
    let program =
        || vec![Op::Effect("keys together".to_owned(), 3), Op::Await("keys go on".to_owned()), Op::Give(4)];
    let asking = |_| {
        let node = node(&runtime, "a");
        tokio::spawn(async move { node.ask(Run(program())).idempotency_key("one").await })
    };
    let early: Vec<_> = (0..32).map(asking).collect();
    until_counted("keys together").await;
    let late: Vec<_> = (0..32).map(asking).collect();
    // All but the first are known as repetitions before the handler goes on.
    while runtime.stats().duplicates < 63 {
        tokio::task::yield_now().await;
    }
    count("keys go on");
    for asked in early.into_iter().chain(late) {
        assert_eq!(asked.await.unwrap().unwrap(), 7);
    }
    assert_eq!((counted("keys together"), runtime.stats().deliveries), (1, 1));
    assert_eq!(learned(&runtime).await, [3, 0, 4]);
    runtime.shutdown().await.unwrap();
}

/// A caller that gives up and asks again is the use of a key.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_gave_up_gets_the_reply_later() {
    let runtime = open(&MemoryStore::new()).await;
    let program = || vec![Op::Await("keys are patient".to_owned()), Op::Give(4)];
    for _ in 0..3 {
        let node = node(&runtime, "a");
        let asked = node.ask(Run(program())).idempotency_key("one");
        let given_up = asked.timeout(Duration::from_millis(20)).await.unwrap_err();
        assert!(matches!(given_up, AskError::Unknown { reason: NoAnswer::Timeout }), "{given_up}");
    }
    count("keys are patient");
    assert_eq!(ask(&runtime, "one", program()).await.unwrap(), 4);
    assert_eq!(learned(&runtime).await, [0, 4]);
    runtime.shutdown().await.unwrap();
}

/// Invariant: exactly-once inside. After a crash in the middle the delivery is ahead, and nobody
/// waits for it: who asks again gets its reply, and it is handled once.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_crash_interrupts_is_waited_for() {
    let mut store = MemoryStore::new();
    let runtime = open(&store).await;
    let program = || vec![Op::Effect("keys begun".to_owned(), 3), Op::Await("keys done".to_owned())];
    let asking = {
        let node = node(&runtime, "a");
        tokio::spawn(async move { node.ask(Run(program())).idempotency_key("one").await })
    };
    until_counted("keys begun").await;
    // Behind the one that waits: logged, and not begun.
    let actor = node(&runtime, "a");
    let next = actor.ask(Run(give(9))).idempotency_key("two");
    let given_up = next.timeout(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(given_up, AskError::Unknown { reason: NoAnswer::Timeout }), "{given_up}");
    let runtime = crash(runtime, &mut store).await;
    let interrupted = asking.await.unwrap().unwrap_err();
    assert_eq!(interrupted.kind(), ErrorKind::Reopen, "{interrupted}");
    let again: Vec<_> = [("one", program()), ("two", give(9))]
        .into_iter()
        .map(|(key, program)| {
            let node = node(&runtime, "a");
            tokio::spawn(async move { node.ask(Run(program)).idempotency_key(key).await })
        })
        .collect();
    while runtime.stats().duplicates < 2 {
        tokio::task::yield_now().await;
    }
    count("keys done");
    let mut replies = Vec::new();
    for asked in again {
        replies.push(asked.await.unwrap().unwrap());
    }
    assert_eq!((replies, learned(&runtime).await), (vec![3, 9], vec![3, 0, 9]));
    runtime.shutdown().await.unwrap();
}

/// A panic restarts the actor, and all who wait go on waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_all_who_wait() {
    let runtime = open(&MemoryStore::new()).await;
    let program =
        || vec![Op::Await("keys restart".to_owned()), Op::Panic("keys panic".to_owned(), 2), Op::Give(4)];
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let node = node(&runtime, "a");
            tokio::spawn(async move { node.ask(Run(program())).idempotency_key("one").await })
        })
        .collect();
    while runtime.stats().duplicates < 7 {
        tokio::task::yield_now().await;
    }
    count("keys restart");
    for asked in asking {
        assert_eq!(asked.await.unwrap().unwrap(), 4);
    }
    assert_eq!((runtime.stats().restarts, learned(&runtime).await), (2, vec![0, 0, 4]));
    runtime.shutdown().await.unwrap();
}

/// A key stands for one message. Another one under it is a mistake of the caller's, and changes
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn another_message_under_a_key_is_refused() {
    let mut store = MemoryStore::new();
    let mut runtime = open(&store).await;
    assert_eq!(ask(&runtime, "one", give(5)).await.unwrap(), 5);
    for round in 0..3 {
        let AskError::NotAccepted { message, reason } = ask(&runtime, "one", give(6)).await.unwrap_err()
        else {
            panic!("it was accepted")
        };
        assert_eq!((message, reason.kind()), (Run(give(6)), ErrorKind::Input));
        assert!(
            matches!(&reason, Refused::KeyOfAnotherRequest { actor, key }
                if actor.to_string() == "node/a" && &**key == "one"),
            "{reason}"
        );
        let other = node(&runtime, "a").ask(programs::Show).idempotency_key("one").await.unwrap_err();
        assert!(
            matches!(&other, AskError::NotAccepted { reason: Refused::KeyOfAnotherRequest { .. }, .. }),
            "{other}"
        );
        if round == 1 {
            node(&runtime, "a").checkpoint().await.unwrap();
        }
        runtime = crash(runtime, &mut store).await;
    }
    assert_eq!(ask(&runtime, "one", give(5)).await.unwrap(), 5);
    assert_eq!(learned(&runtime).await, [5]);
    runtime.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_1_to_256_bytes() {
    let runtime = open(&MemoryStore::new()).await;
    for key in ["", &*"x".repeat(257)] {
        let refused = ask(&runtime, key, give(5)).await.unwrap_err();
        assert!(
            matches!(&refused, AskError::NotAccepted { reason: Refused::IdempotencyKey(_), .. }),
            "{refused}"
        );
        assert_eq!(refused.kind(), ErrorKind::Input);
    }
    assert_eq!(ask(&runtime, &"x".repeat(256), give(5)).await.unwrap(), 5);
    assert_eq!(learned(&runtime).await, [5]);
    runtime.shutdown().await.unwrap();
}

/// A key is kept as long as promised, and is free after that, live and after crashes. Another
/// retention at the next opening holds from then on.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_free_when_its_retention_is_over() {
    let clock = ManualClock::new(Timestamp::from_micros(1_000_000));
    let hour = Duration::from_secs(3600);
    let mut store = MemoryStore::new();
    let open = |store: &MemoryStore, retention: Option<Duration>| {
        let builder = builder().clock(clock.clone());
        let builder = match retention {
            Some(retention) => builder.idempotency_retention(retention),
            None => builder,
        };
        builder.open_on(Arc::new(store.clone()))
    };
    let reopen = async |runtime: Runtime, store: &mut MemoryStore, retention| {
        store.crash();
        runtime.crash().await;
        *store = store.reopen();
        open(store, retention).await.unwrap()
    };
    let runtime = open(&store, None).await.unwrap();
    ask(&runtime, "one", give(5)).await.unwrap();
    clock.advance(24 * hour);
    ask(&runtime, "one", give(5)).await.unwrap();
    assert_eq!(learned(&runtime).await, [5], "24 hours are not over yet");
    clock.advance(Duration::from_micros(1));
    ask(&runtime, "one", give(6)).await.unwrap();
    assert_eq!(learned(&runtime).await, [5, 6], "the key is free, also for another message");

    let runtime = reopen(runtime, &mut store, None).await;
    ask(&runtime, "one", give(6)).await.unwrap();
    assert_eq!(learned(&runtime).await, [5, 6], "the replay took the second one in");
    clock.advance(2 * hour);
    let runtime = reopen(runtime, &mut store, Some(hour)).await;
    ask(&runtime, "one", give(7)).await.unwrap();
    let runtime = reopen(runtime, &mut store, Some(100 * hour)).await;
    ask(&runtime, "one", give(7)).await.unwrap();
    assert_eq!(learned(&runtime).await, [5, 6, 7], "a log of any retention is replayed under any other");
    clock.set(Timestamp::from_micros(0));
    ask(&runtime, "one", give(7)).await.unwrap();
    assert_eq!(learned(&runtime).await, [5, 6, 7], "a clock that goes back forgets nothing");
    runtime.shutdown().await.unwrap();
}

/// Invariant: bounded. A replay has no more than the actor had: what was too old when a later
/// request came is gone, whatever the clock shows now.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_forgets_what_the_actor_forgot() {
    let (early, late) = (Timestamp::from_micros(1), Timestamp::from_micros(7_200_000_000));
    let clock = ManualClock::new(early);
    let builder = || builder().clock(clock.clone()).idempotency_retention(Duration::from_secs(3600));
    let store = MemoryStore::new();
    let runtime = builder().open_on(Arc::new(store.clone())).await.unwrap();
    ask(&runtime, "one", give(5)).await.unwrap();
    clock.set(late);
    ask(&runtime, "two", give(6)).await.unwrap();
    store.crash();
    runtime.crash().await;
    clock.set(early);
    let runtime = builder().open_on(Arc::new(store.reopen())).await.unwrap();
    ask(&runtime, "two", give(6)).await.unwrap();
    ask(&runtime, "one", give(5)).await.unwrap();
    assert_eq!(learned(&runtime).await, [5, 6, 5], "the first key was free");
    runtime.shutdown().await.unwrap();
}

/// Invariant: bounded. An actor that keeps as much as it may takes in no new request, and forgets
/// none early.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_table_refuses_and_forgets_nothing_early() {
    let clock = ManualClock::new(Timestamp::from_micros(1_000_000));
    let builder = crashes::builder().clock(clock.clone()).idempotency_retention(Duration::from_secs(60));
    let mut store = MemoryStore::new();
    let runtime = builder.open_on(Arc::new(store.clone())).await.unwrap();
    for number in 0..16 {
        let reply = crashes::echo(&runtime, &format!("key {number}"), 1 << 20).await.unwrap();
        assert!(reply.len() < 1 << 20);
    }
    let full = async |runtime: &Runtime| {
        let refused = crashes::echo(runtime, "one more", 1).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Retry);
        assert!(
            matches!(&refused, AskError::NotAccepted { reason: Refused::NoRoomForKey { .. }, .. }),
            "{refused}"
        );
        assert!(crashes::echo(runtime, "key 0", 1 << 20).await.is_ok(), "it is kept");
    };
    full(&runtime).await;
    store.crash();
    runtime.crash().await;
    store = store.reopen();
    let builder = crashes::builder().clock(clock.clone()).idempotency_retention(Duration::from_secs(60));
    let runtime = builder.open_on(Arc::new(store)).await.unwrap();
    full(&runtime).await;
    clock.advance(Duration::from_secs(61));
    crashes::echo(&runtime, "one more", 1).await.unwrap();
    runtime.shutdown().await.unwrap();
}

/// A reply over the limit is not kept. All who ask learn that it was handled, and nothing happens
/// twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_over_its_limit_is_told_to_all() {
    let mut store = MemoryStore::new();
    let open = |store: &MemoryStore| crashes::builder().open_on(Arc::new(store.clone()));
    let mut runtime = open(&store).await.unwrap();
    for round in 0..3 {
        let error = crashes::echo(&runtime, "large", (1 << 20) + 1).await.unwrap_err();
        let AskError::ReplyTooLarge { found, limit } = error else { panic!("{error}") };
        assert!(found > limit && limit == 1 << 20, "{found} of {limit}");
        if round == 1 {
            crashes::till(&runtime).checkpoint().await.unwrap();
        }
        store.crash();
        runtime.crash().await;
        store = store.reopen();
        runtime = open(&store).await.unwrap();
    }
    assert_eq!(crashes::echoes(&runtime).await, 1);
    runtime.shutdown().await.unwrap();
}

fn poison(name: &str, times: u64) -> Vec<Op> {
    vec![Op::Panic(name.to_owned(), times), Op::Give(4)]
}

/// The entry in quarantine that an ask is told of.
fn left_out(asked: Result<u64, AskError<Run>>) -> Arc<relive::Quarantined> {
    match asked {
        Err(AskError::Quarantined(entry)) => entry,
        other => panic!("{other:?}"),
    }
}

/// A request in quarantine keeps its key: who sends it again is told, and it is not tried again. A
/// retry has the key, so that its effect and its reply come once.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_from_quarantine_has_the_key() {
    let mut store = MemoryStore::new();
    let mut runtime = open(&store).await;
    let program = || poison("keys retried", 3);
    let first = left_out(ask(&runtime, "one", program()).await);
    for round in 0..3 {
        let again = left_out(ask(&runtime, "one", program()).await);
        assert_eq!((&*again, counted("keys retried")), (&*first, 3), "it is not tried again");
        if round == 1 {
            node(&runtime, "a").checkpoint().await.unwrap();
        }
        runtime = crash(runtime, &mut store).await;
    }
    runtime.retry_quarantined(&first).await.unwrap();
    assert_eq!(ask(&runtime, "one", program()).await.unwrap(), 4);
    for _ in 0..2 {
        assert_eq!(ask(&runtime, "one", program()).await.unwrap(), 4);
        assert_eq!(learned(&runtime).await, [0, 4], "the retry has the one effect");
        runtime = crash(runtime, &mut store).await;
    }
    runtime.shutdown().await.unwrap();
}

/// A request that is dropped from quarantine frees its key.
#[tokio::test(flavor = "multi_thread")]
async fn a_drop_from_quarantine_frees_the_key() {
    let mut store = MemoryStore::new();
    let runtime = open(&store).await;
    let first = left_out(ask(&runtime, "one", poison("keys dropped", 3)).await);
    runtime.drop_quarantined(&first).await.unwrap();
    let runtime = crash(runtime, &mut store).await;
    assert_eq!(ask(&runtime, "one", give(8)).await.unwrap(), 8);
    let runtime = crash(runtime, &mut store).await;
    assert_eq!(ask(&runtime, "one", give(8)).await.unwrap(), 8);
    assert_eq!(learned(&runtime).await, [8]);
    runtime.shutdown().await.unwrap();
}

/// The call is one builder, and its options go together in any order.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_with_a_timeout() {
    let runtime = open(&MemoryStore::new()).await;
    let actor = node(&runtime, "a");
    let asked: Ask<'_, Node, Run> = actor.ask(Run(give(5))).idempotency_key("one");
    assert_eq!(asked.timeout(Duration::from_secs(60)).await.unwrap(), 5);
    let asked = actor.ask(Run(give(5))).timeout(Duration::from_secs(60)).idempotency_key("one");
    assert_eq!(asked.await.unwrap(), 5);
    runtime.shutdown().await.unwrap();
}
