//! The reasons for which the calls of one family may be refused, and no others: the tests provoke
//! each variant of their errors through the public interface.

use relive::{
    AskError, CheckpointError, Ended, NoAnswer, QuarantineError, Quarantined, ReceiptError, Refused,
    RestartPolicy, Runtime, RuntimeFailure, Unavailable, WhenExhausted,
};
use relive_storage::simulated_store::{Call, Fault, SimulatedDisk};

use crate::actors::{Account, Deposit, Panic, account, builder, open_on};
use crate::medium;

fn poison(test: &str) -> Panic {
    Panic { what: format!("families-{test}"), times: u64::MAX }
}

/// Makes an actor leave a delivery out, and returns its entry in the quarantine.
async fn leave_out(runtime: &Runtime, test: &str) -> std::sync::Arc<Quarantined> {
    match account(runtime, "alice").ask(poison(test)).await.unwrap_err() {
        AskError::Quarantined(entry) => entry,
        other => panic!("{other}"),
    }
}

/// The errors of all calls once the actor or the runtime accepts none.
async fn refusals(runtime: &Runtime, entry: &Quarantined) -> [Unavailable; 6] {
    let alice = account(runtime, "alice");
    let told = alice.tell(Deposit { cents: 1 }).await.unwrap_err().reason;
    let Refused::Unavailable(told) = told else { panic!("{told}") };
    let asked = alice.ask(Deposit { cents: 1 }).await.unwrap_err();
    let AskError::NotAccepted { reason: Refused::Unavailable(asked), .. } = asked else { panic!("{asked}") };
    let sent = runtime.producer("p").unwrap().tell(&alice, Deposit { cents: 1 }).await.unwrap_err().reason;
    let Refused::Unavailable(sent) = sent else { panic!("{sent}") };
    let checkpoint = alice.checkpoint().await.unwrap_err();
    let CheckpointError::Unavailable(checkpoint) = checkpoint else { panic!("{checkpoint}") };
    let retried = runtime.retry_quarantined(entry).await.unwrap_err();
    let QuarantineError::Unavailable(retried) = retried else { panic!("{retried}") };
    let dropped = runtime.drop_quarantined(entry).await.unwrap_err();
    let QuarantineError::Unavailable(dropped) = dropped else { panic!("{dropped}") };
    [told, asked, sent, checkpoint, retried, dropped]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_is_shut_down_says_so_in_each_family() {
    let root = tempfile::tempdir().unwrap();
    let runtime = builder().open(root.path().join("store")).await.unwrap();
    let entry = leave_out(&runtime, "shut down").await;
    runtime.shutdown().await.unwrap();
    let refusals = refusals(&runtime, &entry).await;
    assert!(refusals.iter().all(|refusal| matches!(refusal, Unavailable::Stopped)), "{refusals:?}");
    assert!(matches!(runtime.cut_log().await, Err(Ended::Stopped)));
    assert!(runtime.failed().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_has_failed_says_so_in_each_family() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = builder().open(&path).await.unwrap();
    let entry = leave_out(&runtime, "actor").await;
    runtime.shutdown().await.unwrap();
    let restarts = RestartPolicy::default().when_exhausted(WhenExhausted::Fail);
    let runtime = builder().restarts(restarts).open(&path).await.unwrap();
    let alice = account(&runtime, "alice");
    let error = alice.ask(poison("actor")).await.unwrap_err();
    assert!(
        matches!(&error, AskError::Unknown { reason: NoAnswer::Unavailable(Unavailable::Actor(_)) }),
        "{error}"
    );
    let refusals = refusals(&runtime, &entry).await;
    assert!(refusals.iter().all(|refusal| matches!(refusal, Unavailable::Actor(_))), "{refusals:?}");
    assert!(runtime.cut_log().await.is_ok() && runtime.failed().is_none());
    runtime.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_has_failed_says_so_in_each_family() {
    let disk = SimulatedDisk::new(1);
    let runtime = open_on(disk.open()).await;
    let entry = leave_out(&runtime, "store").await;
    let alice = account(&runtime, "alice");
    let mut producer = runtime.producer("feed").unwrap();
    disk.plan_next(Fault::Fail, Call::Sync);
    let receipt = producer.tell(&alice, Deposit { cents: 1 }).await.unwrap().durable().await.unwrap_err();
    let ReceiptError::Unavailable(receipt) = receipt else { panic!("{receipt}") };
    assert!(matches!(receipt, Unavailable::Failed(RuntimeFailure::Store(_))), "{receipt}");
    let refusals = refusals(&runtime, &entry).await;
    let is_of_the_store = |refusal| matches!(refusal, &Unavailable::Failed(RuntimeFailure::Store(_)));
    assert!(refusals.iter().all(is_of_the_store), "{refusals:?}");
    assert!(matches!(runtime.cut_log().await, Err(Ended::Failed(RuntimeFailure::Store(_)))));
    assert!(matches!(runtime.failed(), Some(RuntimeFailure::Store(_))));
    assert!(matches!(runtime.shutdown().await, Err(RuntimeFailure::Store(_))));
}

/// A delivery stays in quarantine when its actor has no handler for it any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_nobody_handles_stays_in_quarantine() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = builder().open(&path).await.unwrap();
    leave_out(&runtime, "unhandled").await;
    runtime.shutdown().await.unwrap();
    let deposits = medium::runtime().actor::<Account>(|account| account.handles::<Deposit>());
    let runtime = deposits.open(&path).await.unwrap();
    account(&runtime, "alice").ask(Deposit { cents: 1 }).await.unwrap();
    let left = runtime.quarantined();
    let [entry] = &left[..] else { panic!("{left:?}") };
    let refused = runtime.retry_quarantined(entry).await.unwrap_err();
    assert!(
        matches!(&refused, QuarantineError::Unhandled { message, .. } if &**message == "panic"),
        "{refused}"
    );
    assert_eq!(runtime.quarantined().len(), 1);
    runtime.drop_quarantined(entry).await.unwrap();
    assert!(runtime.quarantined().is_empty());
    runtime.shutdown().await.unwrap();
}
