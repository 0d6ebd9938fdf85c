//! A store that fails: everybody who waits is told, nothing more is taken, and a reopening goes on from what was
//! acknowledged.

use relive::storage::MemoryStore;
use relive::storage::faulty_store::{Call, Fault, FaultyStore};
use relive::{AskError, ErrorKind, Refused};

use crate::actors::{Deposit, Show, account, builder, open_on, show};

/// Invariant: fail-stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_fails_everybody_and_stops_intake() {
    for call in [Call::Append, Call::Sync] {
        let store = MemoryStore::new();
        let faulty = FaultyStore::new(store.clone());
        let faults = faulty.faults();
        let runtime = open_on(faulty).await;
        account(&runtime, "alice").ask(Deposit { cents: 5 }).await.unwrap();
        faults.plan(Fault::FailForGood, call, faults.calls(call) + 1);
        let asks: Vec<_> = (0..20)
            .map(|key| {
                let actor = account(&runtime, &format!("actor-{key}"));
                tokio::spawn(async move { actor.ask(Deposit { cents: 1 }).await })
            })
            .collect();
        for ask in asks {
            let error = ask.await.unwrap().unwrap_err();
            let reason = error.reason().unwrap();
            assert!(matches!(reason, Refused::Failed(_)), "{error}");
            assert_eq!(error.kind(), ErrorKind::Reopen);
        }
        assert!(runtime.failed().is_some());
        let refused = account(&runtime, "alice").tell(Deposit { cents: 1 }).await.unwrap_err();
        assert!(matches!(refused.reason, Refused::Failed(_)));
        assert!(matches!(runtime.shutdown().await, Err(Refused::Failed(_))));
        store.crash();
        let runtime = open_on(store.reopen()).await;
        assert_eq!(show(&runtime, "alice").await.history, [5]);
        runtime.shutdown().await.unwrap();
    }
}

/// Invariant: prefix. At whichever call of the store it fails: what was acknowledged is there afterwards, what was
/// refused is not.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_is_there_whichever_call_fails() {
    for nth in 1..60 {
        for fault in [Fault::FailForGood, Fault::Forget] {
            let store = MemoryStore::new();
            let faulty = FaultyStore::new(store.clone());
            faulty.faults().plan(fault, Call::Any, nth);
            let (mut acknowledged, mut unknown) = (0, 0);
            if let Ok(runtime) = builder().open_on(std::sync::Arc::new(faulty)).await {
                for step in 0..12 {
                    match account(&runtime, "alice").ask(Deposit { cents: 1 }).await {
                        Ok(_) => acknowledged += 1,
                        Err(AskError::NotAccepted { .. }) => {}
                        Err(_) => unknown += 1,
                    }
                    if step % 5 == 4 {
                        let _ = account(&runtime, "alice").checkpoint().await;
                        let _ = runtime.cut_log().await;
                    }
                }
                runtime.crash().await;
            }
            store.crash();
            let runtime = open_on(store.reopen()).await;
            let found = show(&runtime, "alice").await.cents;
            assert!(
                (acknowledged..=acknowledged + unknown).contains(&found),
                "call {nth}, {fault:?}: {acknowledged} acknowledged, {unknown} unknown, {found} found"
            );
            runtime.shutdown().await.unwrap();
        }
    }
}

/// Invariant: fail-stop. A store that hangs holds nobody for ever who does not want to be held.
#[tokio::test(flavor = "multi_thread")]
async fn callers_of_a_hanging_store_can_give_up() {
    let store = FaultyStore::new(MemoryStore::new());
    let faults = store.faults();
    let runtime = open_on(store).await;
    faults.plan(Fault::Hang, Call::Sync, faults.calls(Call::Sync) + 1);
    let alice = account(&runtime, "alice");
    let error =
        alice.ask(Deposit { cents: 1 }).timeout(std::time::Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(error, AskError::Unknown { reason: Refused::Timeout }), "{error}");
    faults.release();
    assert_eq!(alice.ask(Show {}).await.unwrap().cents, 1, "it was accepted, so it was handled");
    runtime.shutdown().await.unwrap();
}
