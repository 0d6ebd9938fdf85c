//! Devices that are full, stall, fail once or can't be read for a moment: relive gives typed
//! errors, keeps everything that it acknowledges, and does not hang. Fault classes 9, 10 and 20 on
//! the simulated store.

use std::sync::Arc;

use relive::{AskError, NoAnswer, OpenError, Refused, Runtime, RuntimeFailure, Unavailable};
use relive_storage::StoreError;
use relive_storage::simulated_store::{Call, Fault, SimulatedDisk, Unsynced};

use crate::actors::{Deposit, Note, Panic, account, builder, open_on, show};

/// Deposits until a deposit fails, with checkpoints and cuts in between. Returns how many deposits
/// were acknowledged, and whether the failed one may be there.
async fn deposit_until_it_fails(runtime: &Runtime) -> (i64, i64) {
    let alice = account(runtime, "alice");
    for step in 0..1_000 {
        match alice.ask(Deposit { cents: 1 }).await {
            Ok(_) => {}
            Err(AskError::NotAccepted { .. }) => return (step, 0),
            Err(_) => return (step, 1),
        }
        if step % 5 == 4 {
            let _ = alice.checkpoint().await;
            let _ = runtime.cut_log().await;
        }
    }
    panic!("nothing failed");
}

/// Checks that everything acknowledged is there after a loss of power and a reopening.
async fn expect_after_reopening(disk: &SimulatedDisk, (acknowledged, unknown): (i64, i64)) {
    disk.lose_power(Unsynced::Drawn);
    let runtime = open_on(disk.open()).await;
    let found = show(&runtime, "alice").await.cents;
    let expected = acknowledged..=acknowledged + unknown;
    assert!(expected.contains(&found), "{disk}: {found} found, {expected:?} expected");
    assert_eq!(account(&runtime, "alice").ask(Deposit { cents: 1 }).await.unwrap(), found + 1);
    runtime.shutdown().await.unwrap();
}

/// Class 10, invariants: prefix, fail-stop. The device is full at each of many places: the runtime
/// stops with a typed error that says so, acknowledges nothing more, and goes on after a reopening
/// when there is space.
#[tokio::test(flavor = "multi_thread")]
async fn class_10_a_full_device_stops_the_runtime_and_loses_nothing() {
    for bytes in (150..3_000).step_by(50) {
        let disk = SimulatedDisk::new(bytes);
        let runtime = open_on(disk.open()).await;
        disk.set_capacity(Some(bytes));
        let told = deposit_until_it_fails(&runtime).await;
        let failed = runtime.failed().expect("the runtime goes on with a full device");
        assert!(failed.to_string().contains("no space is left"), "{failed}");
        let refused = account(&runtime, "bob").tell(Deposit { cents: 1 }).await.unwrap_err();
        assert!(
            matches!(refused.reason, Refused::Unavailable(Unavailable::Failed(RuntimeFailure::Store(_)))),
            "{refused}"
        );
        assert!(matches!(runtime.shutdown().await, Err(RuntimeFailure::Store(_))));
        disk.set_capacity(None);
        expect_after_reopening(&disk, told).await;
    }
}

/// Class 10. A store on a device that is full from the beginning does not open, and says why; with
/// space it does.
#[tokio::test(flavor = "multi_thread")]
async fn class_10_a_full_device_does_not_open() {
    let disk = SimulatedDisk::new(1);
    disk.set_capacity(Some(0));
    let refused = builder().open_on(Arc::new(disk.open())).await.unwrap_err();
    assert!(
        matches!(&refused, OpenError::Store(StoreError::Backend { reason, .. }) if reason.contains("space"))
    );
    disk.set_capacity(None);
    expect_after_reopening(&disk, (0, 0)).await;
}

/// Class 9, invariant: fail-stop. A write or sync fails once, and the device would accept the next
/// one. The runtime retries nothing, since the data of a failed sync may be gone while later syncs
/// succeed.
#[tokio::test(flavor = "multi_thread")]
async fn class_9_a_call_that_fails_once_is_not_tried_again() {
    for call in [Call::Append, Call::Sync, Call::Put, Call::Cut] {
        for nth in 1..12 {
            let disk = SimulatedDisk::new(nth);
            let runtime = open_on(disk.open()).await;
            disk.plan(Fault::Fail, call, disk.calls(call) + nth);
            let told = deposit_until_it_fails(&runtime).await;
            assert!(runtime.failed().is_some(), "{disk}");
            let writes = |disk: &SimulatedDisk| {
                [Call::Append, Call::Sync, Call::Put, Call::Cut].map(|call| disk.calls(call))
            };
            let before = writes(&disk);
            for key in ["alice", "bob"] {
                let refused = account(&runtime, key).ask(Deposit { cents: 1 }).await.unwrap_err();
                assert!(matches!(refused, AskError::NotAccepted { .. }), "{refused}");
                assert!(account(&runtime, key).checkpoint().await.is_err());
            }
            assert!(runtime.cut_log().await.is_err());
            assert!(matches!(runtime.shutdown().await, Err(RuntimeFailure::Store(_))));
            // A commit under way when a checkpoint or a cut fails ends; no other begins.
            let under_way = u64::from(matches!(call, Call::Put | Call::Cut));
            let more = writes(&disk).iter().zip(before).map(|(after, before)| after - before).max();
            assert!(more <= Some(under_way), "{disk}: {more:?} writes after the failure");
            expect_after_reopening(&disk, told).await;
        }
    }
}

/// Class 9, invariant: fail-stop. When a cut or a checkpoint fails, the runtime does not write the
/// gathered frames of the next commit either: nobody knows what the device did with the writes
/// before it.
#[tokio::test(flavor = "multi_thread")]
async fn class_9_no_commit_begins_after_a_failed_cut_or_checkpoint() {
    for call in [Call::Cut, Call::Put] {
        let disk = SimulatedDisk::new(1);
        let runtime = open_on(disk.open()).await;
        // Carol is passive then, and the runtime must load her: so the test sees when she handles
        // her message.
        assert_eq!(show(&runtime, "carol").await.cents, 0);
        account(&runtime, "carol").checkpoint().await.unwrap();
        runtime.shutdown().await.unwrap();
        let runtime = open_on(disk.open()).await;
        account(&runtime, "alice").ask(Deposit { cents: 1 }).await.unwrap();
        let loaded = disk.calls(Call::Get);
        disk.plan_next(Fault::Hang, Call::Sync);
        let under_way = account(&runtime, "bob").tell(Deposit { cents: 1 }).await.unwrap();
        stalled(&disk).await;
        let gathered = account(&runtime, "carol").tell(Deposit { cents: 1 }).await.unwrap();
        while disk.calls(Call::Get) == loaded {
            tokio::task::yield_now().await;
        }
        disk.plan_next(Fault::Fail, call);
        match call {
            Call::Cut => drop(runtime.cut_log().await.unwrap_err()),
            _ => drop(account(&runtime, "alice").checkpoint().await.unwrap_err()),
        }
        let appends = disk.calls(Call::Append);
        assert!(under_way.durable().await.is_err() && gathered.durable().await.is_err());
        disk.release();
        assert!(matches!(runtime.shutdown().await, Err(RuntimeFailure::Store(_))));
        assert_eq!(disk.calls(Call::Append), appends, "{call:?}");
        disk.lose_power(Unsynced::Drawn);
        let runtime = open_on(disk.open()).await;
        assert_eq!(show(&runtime, "alice").await.cents, 1);
        assert_eq!(show(&runtime, "carol").await.cents, 0);
        runtime.shutdown().await.unwrap();
    }
}

/// Class 9. A read that fails once during an opening is a typed error, and the next opening finds
/// everything.
#[tokio::test(flavor = "multi_thread")]
async fn class_9_an_opening_that_can_not_read_loses_nothing() {
    let disk = SimulatedDisk::new(1);
    let runtime = open_on(disk.open()).await;
    for step in 0..4 {
        account(&runtime, "alice").ask(Deposit { cents: step }).await.unwrap();
        account(&runtime, "bob").ask(Deposit { cents: step }).await.unwrap();
        if step == 1 {
            account(&runtime, "alice").checkpoint().await.unwrap();
        }
    }
    runtime.shutdown().await.unwrap();
    let mut failed = 0;
    for call in [Call::Extent, Call::List, Call::Read, Call::Get] {
        let bytes = disk.bytes();
        for nth in 1.. {
            disk.plan(Fault::Fail, call, disk.calls(call) + nth);
            let calls = disk.calls(call);
            match builder().open_on(Arc::new(disk.open())).await {
                Err(OpenError::Store(StoreError::Backend { .. })) => failed += 1,
                Ok(runtime) => {
                    assert!(disk.calls(call) < calls + nth, "{call:?} {nth} failed, and it opened");
                    runtime.crash().await;
                    break;
                }
                Err(other) => panic!("{call:?} {nth}: {other}"),
            }
            // The opening restores actors after it has logged that it began. Until then it writes
            // nothing.
            if call != Call::Get {
                assert_eq!(
                    disk.bytes(),
                    bytes,
                    "{call:?} {nth}: the opening that failed has written something"
                );
            }
        }
        disk.plan_nothing();
    }
    assert!(failed > 10, "{failed} openings failed");
    let runtime = open_on(disk.open()).await;
    for key in ["alice", "bob"] {
        assert_eq!(show(&runtime, key).await.history, [0, 1, 2, 3]);
    }
    runtime.shutdown().await.unwrap();
}

/// Class 9. A read that fails while the runtime restarts an actor or loads it stops the runtime
/// with a typed error. After a reopening everything is there.
#[tokio::test(flavor = "multi_thread")]
async fn class_9_an_actor_that_can_not_be_read_stops_the_runtime() {
    let what = "class_9_an_actor_that_can_not_be_read_stops_the_runtime";
    for call in [Call::Get, Call::Read] {
        let disk = SimulatedDisk::new(1);
        let runtime = open_on(disk.open()).await;
        account(&runtime, "alice").ask(Deposit { cents: 5 }).await.unwrap();
        disk.plan_next(Fault::Fail, call);
        let panics = Panic { what: format!("{what}-{call:?}"), times: 1 };
        let error = account(&runtime, "alice").ask(panics).await.unwrap_err();
        assert!(
            matches!(
                &error,
                AskError::Unknown {
                    reason: NoAnswer::Unavailable(Unavailable::Failed(RuntimeFailure::Store(_)))
                }
            ),
            "{error}"
        );
        assert!(runtime.failed().is_some());
        assert!(matches!(runtime.shutdown().await, Err(RuntimeFailure::Store(_))));
        disk.lose_power(Unsynced::Dropped);
        let runtime = open_on(disk.open()).await;
        // The delivery was on stable storage, so the actor handles it now.
        assert_eq!(show(&runtime, "alice").await.history, [5, 1]);
        runtime.shutdown().await.unwrap();
    }
}

/// Class 20. While a call of the store stalls, the runtime acknowledges nothing that waits for the
/// call, a shutdown waits, and the number of accepted messages stays bounded. When the store goes
/// on, so does everything.
#[tokio::test(flavor = "multi_thread")]
async fn class_20_a_stalled_device_acknowledges_nothing_and_a_shutdown_ends_after_it() {
    for call in [Call::Append, Call::Sync, Call::Put, Call::Cut] {
        let disk = SimulatedDisk::new(1);
        let runtime = open_on(disk.open()).await;
        account(&runtime, "alice").ask(Deposit { cents: 1 }).await.unwrap();
        disk.plan_next(Fault::Hang, call);
        let waits = match call {
            Call::Append | Call::Sync => {
                let alice = account(&runtime, "alice");
                tokio::spawn(async move { alice.ask(Deposit { cents: 1 }).await.is_ok() })
            }
            Call::Put => {
                let alice = account(&runtime, "alice");
                tokio::spawn(async move { alice.checkpoint().await.is_ok() })
            }
            _ => {
                let cutting = Arc::new(runtime);
                let cut = Arc::clone(&cutting);
                let waits = tokio::spawn(async move { cut.cut_log().await.is_ok() });
                stalled(&disk).await;
                assert!(!waits.is_finished(), "{call:?}");
                // Commits pass by a cut that stalls.
                assert_eq!(account(&cutting, "alice").ask(Deposit { cents: 1 }).await.unwrap(), 2);
                disk.release();
                assert!(waits.await.unwrap(), "{call:?}");
                Arc::into_inner(cutting).unwrap().shutdown().await.unwrap();
                expect_after_reopening(&disk, (2, 0)).await;
                continue;
            }
        };
        stalled(&disk).await;
        assert!(!waits.is_finished(), "{call:?}");
        if call == Call::Put {
            // Commits pass by a checkpoint that stalls.
            assert_eq!(account(&runtime, "alice").ask(Deposit { cents: 1 }).await.unwrap(), 2);
        }
        let ending = tokio::spawn(runtime.shutdown());
        tokio::task::yield_now().await;
        assert!(!ending.is_finished() && !waits.is_finished(), "{call:?}");
        disk.release();
        assert!(waits.await.unwrap(), "{call:?}: what was accepted before the shutdown was not done");
        ending.await.unwrap().unwrap();
        expect_after_reopening(&disk, (2, 0)).await;
    }
}

/// Class 9. The last commit of a shutdown contains records for which no caller waits, here the mark
/// of a checkpoint. When it fails, the shutdown says so.
#[tokio::test]
async fn class_9_a_shutdown_whose_last_commit_fails_says_so() {
    let disk = SimulatedDisk::new(1);
    let runtime = open_on(disk.open()).await;
    account(&runtime, "alice").ask(Deposit { cents: 1 }).await.unwrap();
    disk.plan_next(Fault::Hang, Call::Append);
    disk.plan_next(Fault::FailForGood, Call::Sync);
    account(&runtime, "alice").checkpoint().await.unwrap();
    stalled(&disk).await;
    let ending = tokio::spawn(runtime.shutdown());
    // Time in which the shutdown comes to where it waits for the commit.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(!ending.is_finished());
    disk.release();
    let ended = ending.await.unwrap();
    assert!(matches!(ended, Err(RuntimeFailure::Store(_))), "{ended:?}");
    expect_after_reopening(&disk, (1, 0)).await;
}

/// Class 20. The number of messages that gather while the device stalls is bounded.
#[tokio::test(flavor = "multi_thread")]
async fn class_20_senders_wait_while_the_device_stalls() {
    let disk = SimulatedDisk::new(1);
    let runtime = Arc::new(open_on(disk.open()).await);
    disk.plan_next(Fault::Hang, Call::Sync);
    let text = "x".repeat(100_000);
    let mut accepted = 0_i64;
    let no_time = std::time::Duration::ZERO;
    for _ in 0..1_000 {
        let told = account(&runtime, "alice").tell(Note { text: text.clone() }).timeout(no_time).await;
        accepted += i64::from(told.is_ok());
    }
    stalled(&disk).await;
    assert!((1..100).contains(&accepted), "{accepted} messages of 100 kB were accepted");
    assert_eq!(runtime.stats().deliveries, 0);
    disk.release();
    assert_eq!(show(&runtime, "alice").await.cents, accepted * 100_000);
    Arc::into_inner(runtime).unwrap().shutdown().await.unwrap();
}

/// Waits until a call stalls.
async fn stalled(disk: &SimulatedDisk) {
    let disk = disk.clone();
    tokio::task::spawn_blocking(move || disk.wait_for_hang()).await.unwrap();
}
