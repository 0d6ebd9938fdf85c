//! A store that fails: every waiting caller learns of it, the runtime accepts nothing more, and a
//! reopening goes on from what was acknowledged.

use relive::{AskError, ErrorKind, NoAnswer, Refused, RuntimeFailure, Unavailable};
use relive_storage::simulated_store::{Call, Fault, SimulatedDisk, Unsynced};

use crate::actors::{Deposit, Show, account, builder, open_on, show};

/// Invariant: fail-stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_fails_everybody_and_stops_intake() {
    for call in [Call::Append, Call::Sync] {
        let disk = SimulatedDisk::new(1);
        let runtime = open_on(disk.open()).await;
        account(&runtime, "alice").ask(Deposit { cents: 5 }).await.unwrap();
        disk.plan_next(Fault::FailForGood, call);
        let asks: Vec<_> = (0..20)
            .map(|key| {
                let actor = account(&runtime, &format!("actor-{key}"));
                tokio::spawn(async move { actor.ask(Deposit { cents: 1 }).await })
            })
            .collect();
        for ask in asks {
            let error = ask.await.unwrap().unwrap_err();
            let reason = error.unavailable().unwrap();
            assert!(matches!(reason, Unavailable::Failed(RuntimeFailure::Store(_))), "{error}");
            assert_eq!(error.kind(), ErrorKind::Reopen);
        }
        assert!(runtime.failed().is_some());
        let refused = account(&runtime, "alice").tell(Deposit { cents: 1 }).await.unwrap_err();
        assert!(matches!(
            refused.reason,
            Refused::Unavailable(Unavailable::Failed(RuntimeFailure::Store(_)))
        ));
        assert!(matches!(runtime.shutdown().await, Err(RuntimeFailure::Store(_))));
        disk.lose_power(Unsynced::Dropped);
        let runtime = open_on(disk.open()).await;
        assert_eq!(show(&runtime, "alice").await.history, [5]);
        runtime.shutdown().await.unwrap();
    }
}

/// Invariant: prefix. Whichever call of the store fails: acknowledged messages are there
/// afterwards, refused ones are not.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_is_there_whichever_call_fails() {
    for nth in 1..60 {
        for fault in [Fault::FailForGood, Fault::FORGET] {
            let disk = SimulatedDisk::new(nth);
            disk.plan(fault, Call::Any, nth);
            let (mut acknowledged, mut unknown) = (0, 0);
            if let Ok(runtime) = builder().open_on(std::sync::Arc::new(disk.open())).await {
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
            disk.plan_nothing();
            disk.lose_power(Unsynced::Drawn);
            let runtime = open_on(disk.open()).await;
            let found = show(&runtime, "alice").await.cents;
            assert!(
                (acknowledged..=acknowledged + unknown).contains(&found),
                "call {nth}, {fault:?}: {acknowledged} acknowledged, {unknown} unknown, {found} found"
            );
            runtime.shutdown().await.unwrap();
        }
    }
}

/// Invariant: fail-stop. A caller with a time limit does not wait for ever for a store that hangs.
#[tokio::test(flavor = "multi_thread")]
async fn callers_of_a_hanging_store_can_give_up() {
    let disk = SimulatedDisk::new(1);
    let runtime = open_on(disk.open()).await;
    disk.plan_next(Fault::Hang, Call::Sync);
    let alice = account(&runtime, "alice");
    let error =
        alice.ask(Deposit { cents: 1 }).timeout(std::time::Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(error, AskError::Unknown { reason: NoAnswer::Timeout }), "{error}");
    disk.release();
    assert_eq!(alice.ask(Show {}).await.unwrap().cents, 1, "it was accepted, so it was handled");
    runtime.shutdown().await.unwrap();
}
