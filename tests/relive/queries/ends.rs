//! No query waits for ever: actors that fail, handlers that query themselves, the end of the
//! runtime.

use std::time::Duration;

use relive::{
    Actor, ActorRef, Answer, Context, ErrorKind, Handle, Message, Query, QueryError, RestartPolicy, Runtime,
    RuntimeFailure, Unavailable, WhenExhausted,
};
use relive_storage::simulated_store::{Call, Fault, SimulatedDisk};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::teller::{
    Balance, Blocks, Boom, LONG, MEDIA, Pay, Teller, balance, builder, hold, is_waited_for, open, teller,
};
use crate::actors::happen;
use crate::medium;

fn asks(alice: &ActorRef<Teller>) -> tokio::task::JoinHandle<Result<i64, QueryError>> {
    let alice = alice.clone();
    tokio::spawn(async move { alice.query(Balance {}).timeout(LONG).await })
}

/// Who waits for an actor that fails hears so, and who comes later.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_to_an_actor_that_fails_gets_the_failure() {
    for medium in MEDIA {
        let root = tempfile::tempdir().unwrap();
        let policy = RestartPolicy::default().tries(1).when_exhausted(WhenExhausted::Fail);
        let opening = builder().medium(medium).restarts(policy).open(root.path().join("store"));
        let runtime = opening.await.unwrap();
        let (alice, until) = (teller(&runtime, "alice"), format!("queries: fails, {medium}"));
        hold(&alice, &until).await;
        drop(alice.tell(Boom {}).await.unwrap());
        let before = asks(&alice);
        happen(&until);
        // It may come to its answer before the panic does.
        match before.await.unwrap() {
            Ok(cents) => assert_eq!(cents, 2),
            Err(error) => assert!(matches!(error.unavailable(), Some(Unavailable::Actor(_))), "{error}"),
        }
        while runtime.failed_actors().is_empty() {
            tokio::task::yield_now().await;
        }
        for _ in 0..2 {
            let error = alice.query(Balance {}).await.unwrap_err();
            assert!(matches!(error.unavailable(), Some(Unavailable::Actor(_))), "{error}");
            assert_eq!(error.kind(), ErrorKind::Reopen);
        }
        assert_eq!(balance(&teller(&runtime, "bob")).await, 0);
        runtime.shutdown().await.unwrap();
    }
}

/// An actor that restarts answers after that, from a state without the delivery that panicked.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_never_shows_what_a_panic_has_left() {
    let root = tempfile::tempdir().unwrap();
    let policy = RestartPolicy::default().tries(3).backoff(Duration::from_millis(30));
    let runtime = builder().restarts(policy).open(root.path().join("store")).await.unwrap();
    let alice = teller(&runtime, "alice");
    alice.ask(Pay { cents: 5 }).await.unwrap();
    drop(alice.tell(Boom {}).await.unwrap());
    while runtime.stats().quarantined == 0 {
        assert_eq!(balance(&alice).await, 5);
    }
    assert_eq!((balance(&alice).await, runtime.stats().restarts), (5, 2));
    runtime.shutdown().await.unwrap();
}

static MYSELF: OnceCell<ActorRef<Narcissus>> = OnceCell::const_new();

/// Asks itself, from a handler and from an answer.
#[derive(Serialize, Deserialize)]
struct Narcissus {}

impl Actor for Narcissus {
    const KIND: &'static str = "narcissus";

    fn create(_key: &str) -> Self {
        Self {}
    }
}

#[derive(Serialize, Deserialize)]
struct Look {}

impl Message for Look {
    const NAME: &'static str = "look";
    type Reply = String;
}

impl Query for Look {
    const NAME: &'static str = "look";
    type Answer = String;
}

async fn look() -> String {
    match MYSELF.get().unwrap().query(Look {}).await {
        Err(QueryError::Unavailable(Unavailable::WaitsForItself { actor })) => actor.to_string(),
        other => format!("{other:?}"),
    }
}

impl Handle<Look> for Narcissus {
    async fn handle(&mut self, _message: Look, cx: &mut Context<'_>) -> String {
        cx.side_effect("look", look).await
    }
}

impl Answer<Look> for Narcissus {
    fn answer(&self, _query: Look) -> String {
        // Ready at once, since it is refused.
        let mut looking = Box::pin(look());
        let mut task = std::task::Context::from_waker(std::task::Waker::noop());
        match looking.as_mut().poll(&mut task) {
            std::task::Poll::Ready(seen) => seen,
            std::task::Poll::Pending => "it waits".to_owned(),
        }
    }
}

/// An actor that would wait for itself hears so: it could not answer before its handler is done.
#[tokio::test(flavor = "multi_thread")]
async fn no_actor_waits_for_its_own_answer() {
    let root = tempfile::tempdir().unwrap();
    let builder = medium::runtime().actor::<Narcissus>(|actor| actor.handles::<Look>().answers::<Look>());
    let runtime = builder.open(root.path().join("store")).await.unwrap();
    let narcissus = runtime.actor::<Narcissus>("pool").unwrap();
    MYSELF.set(narcissus.clone()).unwrap();
    assert_eq!(narcissus.ask(Look {}).timeout(LONG).await.unwrap(), "narcissus/pool");
    assert_eq!(narcissus.query(Look {}).timeout(LONG).await.unwrap(), "narcissus/pool");
    runtime.shutdown().await.unwrap();
}

/// After the end nothing answers, and those who wait get the end.
#[tokio::test(flavor = "multi_thread")]
async fn queries_end_with_the_runtime() {
    for (ends_as, in_order) in [("shutdown", true), ("crash", false)] {
        let root = tempfile::tempdir().unwrap();
        let builder = builder().shutdown_timeout(Duration::from_millis(100));
        let runtime = builder.open(root.path().join("store")).await.unwrap();
        let (alice, bob) = (teller(&runtime, "alice"), teller(&runtime, "bob"));
        hold(&alice, &format!("queries: {ends_as}, never")).await;
        balance(&bob).await;
        // More than have places.
        let asking: Vec<_> = (0..100).map(|_| asks(&alice)).collect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        if in_order {
            runtime.shutdown().await.unwrap();
        } else {
            runtime.crash().await;
        }
        for asking in asking {
            let error = asking.await.unwrap().unwrap_err();
            assert!(matches!(error, QueryError::Unavailable(Unavailable::Stopped)), "{ends_as}: {error}");
        }
        let refused = bob.query(Balance {}).await.unwrap_err();
        assert!(matches!(refused, QueryError::Unavailable(Unavailable::Stopped)), "{ends_as}: {refused}");
        assert_eq!(refused.kind(), ErrorKind::Reopen);
    }
}

/// Invariant: fail-stop. A store that has failed ends queries too, also those that need no disk.
#[tokio::test(flavor = "multi_thread")]
async fn no_query_is_answered_after_the_store_has_failed() {
    let disk = SimulatedDisk::new(1);
    let runtime = builder().open_on(std::sync::Arc::new(disk.open())).await.unwrap();
    let alice = teller(&runtime, "alice");
    alice.ask(Pay { cents: 5 }).await.unwrap();
    disk.plan_next(Fault::FailForGood, Call::Sync);
    assert!(alice.ask(Pay { cents: 1 }).await.is_err());
    let failed = alice.query(Balance {}).await.unwrap_err();
    assert!(matches!(failed.unavailable(), Some(Unavailable::Failed(RuntimeFailure::Store(_)))), "{failed}");
    runtime.crash().await;
}

/// A shutdown that finds an actor lent to a query waits for it, and leaves nothing to replay.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_beside_queries_leaves_nothing_to_replay() {
    for medium in MEDIA {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        let runtime = open(medium, &path).await;
        let alice = teller(&runtime, "alice");
        alice.ask(Pay { cents: 5 }).await.unwrap();
        let until = format!("queries: a shutdown, {medium}");
        let lent = std::thread::spawn({
            let (alice, until, tokio) = (alice.clone(), until.clone(), tokio::runtime::Handle::current());
            move || tokio.block_on(alice.query(Blocks { until }).into_future())
        });
        is_waited_for(&until).await;
        let waiting: Vec<_> = (0..100).map(|_| asks(&alice)).collect();
        let shutting_down = tokio::spawn({
            let runtime: Runtime = runtime.clone();
            async move { runtime.shutdown().await }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!shutting_down.is_finished());
        happen(&until);
        assert_eq!(shutting_down.await.unwrap().unwrap().left, [], "{medium}");
        assert_eq!(lent.join().unwrap().unwrap(), 5);
        for asked in waiting {
            match asked.await.unwrap() {
                Ok(cents) => assert_eq!(cents, 5),
                Err(error) => assert!(matches!(error.unavailable(), Some(Unavailable::Stopped)), "{error}"),
            }
        }
        let runtime = open(medium, &path).await;
        assert_eq!((runtime.stats().replayed, balance(&teller(&runtime, "alice")).await), (0, 5));
        runtime.shutdown().await.unwrap();
    }
}
