//! Which delivery the runtime blames for the end of a process, and which it must not blame: one
//! that was complete before the process ended, for whatever reason the process ended. The kill
//! campaign found these, by killing workers at each boundary.

use std::time::Duration;

use relive::{ActorId, HaltReason, Rsn, Runtime};
use relive_replay::payload::encode;
use relive_storage::record::{Record, Sender};
use relive_storage::{Block, BlockHeader, FrameWriter, Log, MemoryStore, Name, Timestamp, scan};

use crate::actors::{Transfer, account, open_on, show};

/// A store in which `alice` has sent to `bob`, who has the message, but no record of `alice` says
/// that she has handled hers.
async fn sent_and_crashed(bob_is_passive: bool) -> MemoryStore {
    let store = MemoryStore::new();
    let runtime = open_on(store.clone()).await;
    account(&runtime, "alice").ask(Transfer { to: "bob".into(), cents: 5 }).await.unwrap();
    assert_eq!(show(&runtime, "bob").await.cents, 5);
    if bob_is_passive {
        // His checkpoint holds everything that he has received, so no opening restores him.
        account(&runtime, "bob").checkpoint().await.unwrap();
    }
    crash(runtime, &store).await
}

async fn crash(runtime: Runtime, store: &MemoryStore) -> MemoryStore {
    store.crash();
    runtime.crash().await;
    store.reopen()
}

/// What an opening in probation logs if its process ends while it tries the first delivery of
/// `alice`.
fn end_in_a_try(store: &MemoryStore) {
    log_an_opening(store, |writer| writer.put_attempt(Rsn::new(1)));
}

/// Logs that an opening began, and a record of `alice`, who had handled nothing.
fn log_an_opening(store: &MemoryStore, put: impl FnOnce(&mut FrameWriter)) {
    let scanned = scan(store, &mut |_, _| Ok(())).unwrap();
    let epoch = scanned.epoch.next();
    let (mut bytes, mut writer, mut frame) = (Vec::new(), FrameWriter::new(), Vec::new());
    Block::reserve_header(&mut bytes);
    writer.put_incarnation(epoch);
    writer.finish(None, Rsn::NONE, Rsn::NONE, &[]).append_to(&mut frame);
    bytes.append(&mut frame);
    put(&mut writer);
    writer.finish(Some(&alice()), Rsn::NONE, Rsn::NONE, &[]).append_to(&mut frame);
    bytes.append(&mut frame);
    let (first, clock) = (scanned.next, Timestamp::from_micros(0));
    let header = BlockHeader { first, records: 2, durable: first, epoch, clock, seed: 1 };
    store.append(&Block::seal(header, bytes)).unwrap();
    store.sync().unwrap();
}

fn alice() -> ActorId {
    ActorId::new("account", "alice").unwrap()
}

/// The symptom: openings that were killed shortly after they began put a delivery into quarantine
/// that its actor had handled long before. Then the receiver knew more than its sender, and no
/// opening succeeded any more.
#[tokio::test(flavor = "multi_thread")]
async fn class_3_a_delivery_whose_messages_have_arrived_is_never_left_out() {
    for bob_is_passive in [false, true] {
        let mut store = sent_and_crashed(bob_is_passive).await;
        for _ in 0..5 {
            end_in_a_try(&store);
        }
        // The process may have ended because of alice: this opening serves the others without her.
        let runtime = open_on(store.clone()).await;
        let failed = runtime.failed_actors();
        assert!(matches!(failed[..], [_]), "{failed:?}");
        let halt = &failed[0].halt;
        assert!(matches!(halt.reason, HaltReason::ReplayEnded { ends: 5, .. }), "{failed:?}");
        assert_eq!(halt.actor, alice(), "{failed:?}");
        assert_eq!(show(&runtime, "bob").await.history, [5]);
        store = crash(runtime, &store).await;
        for _ in 0..3 {
            let runtime = open_on(store.clone()).await;
            assert_eq!(show(&runtime, "alice").await.history, [-5]);
            assert_eq!(show(&runtime, "bob").await.history, [5], "once, also when he was passive");
            assert!(runtime.quarantined().is_empty());
            store = crash(runtime, &store).await;
        }
    }
}

/// The symptom: the kill of a process, some time after an opening in probation had tried a
/// delivery, counted against that delivery, though its actor had handled it.
#[tokio::test(flavor = "multi_thread")]
async fn class_3_a_try_with_care_is_over_in_the_log_before_anything_is_released() {
    let store = MemoryStore::new();
    // The log has the delivery, and the process ended before the actor handled it.
    let transfer = encode(&Transfer { to: "bob".into(), cents: 5 }).unwrap();
    log_an_opening(&store, |writer| {
        writer.put_delivery(Rsn::new(1), &Sender::Outside, false, &Name::from("transfer"), &transfer);
    });
    end_in_a_try(&store);
    let runtime = open_on(store.clone()).await;
    // The test does not ask alice, so that only the frames of the try can tell.
    let arrived = async { while show(&runtime, "bob").await.cents == 0 {} };
    tokio::time::timeout(Duration::from_secs(60), arrived).await.unwrap();
    let store = crash(runtime, &store).await;
    let mut order = Vec::new();
    scan(&store, &mut |_, frame| {
        let attempt = frame.records.iter().any(|record| matches!(record.record, Record::Attempt(_)));
        let from_alice = frame.records.iter().any(|record| match &record.record {
            Record::Delivery(delivery) => {
                matches!(&delivery.sender, Sender::Actor { id, .. } if *id == alice())
            }
            _ => false,
        });
        match (attempt, from_alice) {
            (true, _) if frame.handled < Rsn::new(1) => order.push("tried"),
            (true, _) => order.push("over"),
            (_, true) => order.push("arrived"),
            _ => {}
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(order, ["tried", "tried", "over", "arrived"]);
}
