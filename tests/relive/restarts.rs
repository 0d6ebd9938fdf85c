//! One actor that goes wrong: the runtime restarts it alone, or it fails visibly. The others never
//! notice.

use relive::{
    AskError, HaltReason, NoAnswer, Refused, RestartPolicy, Rsn, Runtime, Unavailable, WhenExhausted,
};
use relive_storage::MemoryStore;

use crate::actors::{
    AwaitForeign, Deposit, Flood, Panic, Transfer, Waver, account, builder, crash_and_reopen, happened,
    open_on, show,
};

/// A panic restarts the actor from its log. The actor tries the delivery again, and its effects
/// leave once.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_restarts_the_actor_alone() {
    let what = "a_panic_restarts_the_actor_alone";
    let store = MemoryStore::new();
    let runtime = open_on(store.clone()).await;
    let alice = account(&runtime, "alice");
    alice.ask(Deposit { cents: 5 }).await.unwrap();
    alice.ask(Panic { what: what.to_owned(), times: 2 }).await.unwrap();
    alice.ask(Deposit { cents: 7 }).await.unwrap();
    assert_eq!(happened(what), 3);
    assert_eq!(show(&runtime, "alice").await.history, [5, 1, 7]);
    assert_eq!(show(&runtime, "bystander").await.cents, 1, "only the run that ended released anything");
    assert_eq!(runtime.stats().restarts, 2);
    let (runtime, _store) = crash_and_reopen(runtime, &store).await;
    assert_eq!(show(&runtime, "alice").await.history, [5, 1, 7]);
    runtime.shutdown().await.unwrap();
}

/// When the actor may leave no delivery out and keeps panicking on one, it fails with a typed error
/// to all its callers, and does not loop.
#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_keeps_panicking_fails_visibly() {
    let what = "an_actor_that_keeps_panicking_fails_visibly";
    let mut store = MemoryStore::new();
    let mut runtime = open_strictly(&store).await;
    let alice = account(&runtime, "alice");
    alice.ask(Deposit { cents: 5 }).await.unwrap();
    let poison = Panic { what: what.to_owned(), times: u64::MAX };
    let error = alice.ask(poison).await.unwrap_err();
    let AskError::Unknown { reason: NoAnswer::Unavailable(Unavailable::Actor(failure)) } = &error else {
        panic!("{error}")
    };
    assert_eq!((failure.actor.as_str(), failure.tries), ("account/alice", 3));
    let reason = &failure.halt.reason;
    assert!(matches!(reason, HaltReason::Panicked { panic, .. } if panic.contains("told to panic")));
    assert_eq!(failure.halt.rsn, Rsn::new(2), "{failure}");
    assert_eq!(happened(what), 3);
    for _ in 0..2 {
        let refused = account(&runtime, "alice").tell(Deposit { cents: 1 }).await.unwrap_err();
        assert!(matches!(refused.reason, Refused::Unavailable(Unavailable::Actor(_))));
        assert_eq!(refused.message.cents, 1, "the message comes back");
        account(&runtime, "bob").ask(Deposit { cents: 1 }).await.unwrap();
        assert_eq!(runtime.failed_actors().len(), 1);
        assert!(runtime.failed().is_none(), "the runtime goes on");
        store.crash();
        runtime.crash().await;
        store = store.reopen();
        runtime = open_strictly(&store).await;
        // After a reopening it gets its tries again.
        while runtime.failed_actors().is_empty() {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(show(&runtime, "bob").await.history, [1, 1]);
    runtime.shutdown().await.unwrap();
}

async fn open_strictly(store: &MemoryStore) -> Runtime {
    let restarts = RestartPolicy::default().when_exhausted(WhenExhausted::Fail);
    builder().restarts(restarts).open_on(std::sync::Arc::new(store.clone())).await.unwrap()
}

/// An actor whose outbox is full of messages to a failed actor still logs what comes, and does not
/// keep a shutdown from its end. Its unacknowledged and unhandled messages are there after a
/// reopening.
#[tokio::test(flavor = "multi_thread")]
async fn debts_to_a_failed_actor_do_not_hold_a_shutdown() {
    let store = MemoryStore::new();
    let runtime = open_strictly(&store).await;
    account(&runtime, "bob").ask(AwaitForeign {}).await.unwrap_err();
    for _ in 0..10 {
        let flood = Flood { to: "bob".into(), messages: 1_000, hops: 1 };
        account(&runtime, "alice").tell(flood).await.unwrap().durable().await.unwrap();
    }
    let left = runtime.shutdown().await.unwrap().left;
    let left: Vec<_> = left.iter().map(|left| left.actor.as_str()).collect();
    assert_eq!(left, ["account/alice", "account/bob"]);
    let runtime = open_strictly(&store.reopen()).await;
    assert!(runtime.recovery().replayed >= 5, "{:?}", runtime.recovery());
    while runtime.failed_actors().iter().all(|failure| failure.actor.as_str() != "account/bob") {
        tokio::task::yield_now().await;
    }
    runtime.shutdown().await.unwrap();
}

/// Invariant: divergence-stops. The error names a foreign await as such, at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_await_is_reported_by_name() {
    let runtime = open_on(MemoryStore::new()).await;
    let error = account(&runtime, "alice").ask(AwaitForeign {}).await.unwrap_err();
    let AskError::Quarantined(entry) = &error else { panic!("{error}") };
    assert!(entry.reason.contains("awaited something outside the context"), "{}", entry.reason);
    assert!(error.to_string().contains("wrap it in `cx.side_effect`"), "{error}");
    assert_eq!(entry.tries, 1, "it would come out the same again");
    account(&runtime, "alice").ask(Deposit { cents: 1 }).await.unwrap();
    runtime.shutdown().await.unwrap();
}

/// Invariant: divergence-stops. A handler that does something else on replay halts its actor before
/// anything is released, and the error names actor, rsn, expected, found; the others serve.
#[tokio::test(flavor = "multi_thread")]
async fn a_divergence_halts_the_actor_and_nothing_is_released() {
    let what = "a_divergence_halts_the_actor_and_nothing_is_released";
    let store = MemoryStore::new();
    let runtime = open_on(store.clone()).await;
    let alice = account(&runtime, "alice");
    alice.ask(Deposit { cents: 5 }).await.unwrap();
    alice.ask(Waver { what: what.to_owned(), to: "bob".into() }).await.unwrap();
    // The log gets the digest of a delivery with the actor's next record.
    alice.ask(Deposit { cents: 6 }).await.unwrap();
    while show(&runtime, "bob").await.cents != 1 {}
    let (runtime, _store) = crash_and_reopen(runtime, &store).await;
    let failed = &runtime.recovery().failed;
    assert_eq!(failed.len(), 1);
    let halt = &failed[0].halt;
    let HaltReason::Divergence(divergence) = &halt.reason else { panic!("{}", failed[0]) };
    assert_eq!((halt.actor.as_str(), halt.rsn), ("account/alice", Rsn::new(2)));
    assert!(divergence.expected.contains("digest") && divergence.found.contains("digest"));
    assert_ne!(divergence.expected, divergence.found);
    assert!(matches!(
        account(&runtime, "alice").tell(Deposit { cents: 1 }).await.unwrap_err().reason,
        Refused::Unavailable(Unavailable::Actor(_))
    ));
    assert_eq!(show(&runtime, "bob").await.history, [1], "nothing of the replay was released");
    runtime.shutdown().await.unwrap();
}

/// Invariant: prefix. The symptom: an actor handled more than a hundred thousand deliveries before
/// it logged anything again. That entry said what each of them had done, and was larger than any
/// that an opening reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_backlog_leaves_a_log_that_can_be_read() {
    let what = "a_long_backlog_leaves_a_log_that_can_be_read";
    let (transfers, floods, each) = (5_000, 130, 1_000);
    let store = MemoryStore::new();
    let runtime = open_strictly(&store).await;
    account(&runtime, "bob").ask(Panic { what: what.to_owned(), times: 3 }).await.unwrap_err();
    // The outbox of alice is full of messages to a failed actor. So she takes in what carol sends,
    // and handles none of it.
    for _ in 0..transfers {
        drop(account(&runtime, "alice").tell(Transfer { to: "bob".into(), cents: 1 }).await.unwrap());
    }
    for _ in 0..floods {
        let flood = Flood { to: "alice".into(), messages: each, hops: 2 };
        account(&runtime, "carol").ask(flood).await.unwrap();
    }
    while runtime.stats().deliveries < transfers + floods * each {
        tokio::task::yield_now().await;
    }
    runtime.crash().await;
    let store = store.reopen();
    let runtime = open_strictly(&store).await;
    // Now bob goes on. Each message of the backlog sends one, and nothing comes for alice.
    while runtime.stats().deliveries < transfers + floods * each {
        tokio::task::yield_now().await;
    }
    let alice = show(&runtime, "alice").await.cents;
    runtime.crash().await;
    let runtime = open_strictly(&store.reopen()).await;
    assert_eq!(show(&runtime, "alice").await.cents, alice);
    runtime.shutdown().await.unwrap();
}
