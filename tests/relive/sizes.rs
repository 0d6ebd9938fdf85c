//! Class 14: messages of every size, and numbers at the end of their range. relive refuses by name
//! what it can't take, before it logs anything. What it takes is there after a crash.

use relive::{
    CheckpointError, ErrorKind, MessageError, ReceiptError, Refused, RuntimeFailure, Ssn, StoreError,
    Unavailable,
};
use relive_replay::payload::encode;
use relive_storage::conformance::checkpoint;
use relive_storage::limits::{PAYLOAD_BYTES_MAX, POSITION_MAX};
use relive_storage::{CheckpointStore, MemoryStore};

use crate::actors::{Charge, Note, account, crash_and_reopen, open_on, show};

/// A note whose encoding has exactly `bytes` bytes.
fn note(bytes: usize) -> Note {
    let overhead =
        encode(&Note { text: "x".repeat(PAYLOAD_BYTES_MAX / 2) }).unwrap().len() - PAYLOAD_BYTES_MAX / 2;
    let note = Note { text: "x".repeat(bytes - overhead) };
    assert_eq!(encode(&note).unwrap().len(), bytes);
    note
}

#[tokio::test(flavor = "multi_thread")]
async fn class_14_messages_up_to_the_limit_are_kept_and_larger_ones_refused() {
    let store = MemoryStore::new();
    let runtime = open_on(store.clone()).await;
    let alice = account(&runtime, "alice");
    let mut expected = 0;
    for bytes in [PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MAX - 1, (64 << 10) + 16, 70_000] {
        let note = note(bytes);
        expected += i64::try_from(note.text.len()).unwrap();
        alice.ask(note).await.unwrap();
    }
    alice.ask(Note { text: String::new() }).await.unwrap();
    let logged = runtime.stats().records;
    for bytes in [PAYLOAD_BYTES_MAX + 1, 2 * PAYLOAD_BYTES_MAX, 64 << 20] {
        let error = alice.tell(note(bytes)).await.unwrap_err();
        assert!(
            matches!(error.reason, Refused::Message(MessageError::TooLarge { found, limit: PAYLOAD_BYTES_MAX, .. }) if found == bytes)
        );
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(!error.message.text.is_empty(), "the message comes back");
    }
    assert_eq!(runtime.stats().records, logged, "nothing of what was refused was logged");
    let (runtime, _store) = crash_and_reopen(runtime, &store).await;
    assert_eq!(show(&runtime, "alice").await.cents, expected);
    runtime.shutdown().await.unwrap();
}

/// The limit of a key counts bytes.
#[tokio::test(flavor = "multi_thread")]
async fn class_14_keys_up_to_the_limit_are_taken() {
    let runtime = open_on(MemoryStore::new()).await;
    for key in ["x".repeat(256), "ü".repeat(128), "/".to_owned()] {
        account(&runtime, &key).ask(Charge { what: String::new() }).await.unwrap();
        assert_eq!(show(&runtime, &key).await.drawn.len(), 1);
    }
    for key in [String::new(), "x".repeat(257), "ü".repeat(129)] {
        assert!(runtime.actor::<crate::actors::Account>(&key).is_err(), "{} bytes", key.len());
    }
    runtime.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn class_14_a_producer_at_the_end_of_its_numbers_is_refused() {
    let runtime = open_on(MemoryStore::new()).await;
    let alice = account(&runtime, "alice");
    let mut producer = runtime.producer("till").unwrap();
    for last in [POSITION_MAX, POSITION_MAX + 1, u64::MAX - 1, u64::MAX] {
        producer.resume(&alice, Ssn::new(last));
        let error = producer.tell(&alice, Note { text: "n".into() }).await.unwrap_err();
        assert!(matches!(error.reason, Refused::OutOfRange { last: found } if found.get() == last));
        assert_eq!(error.kind(), ErrorKind::Input);
    }
    // One that is in range is ahead of its channel.
    producer.resume(&alice, Ssn::new(POSITION_MAX - 1));
    let receipt = producer.tell(&alice, Note { text: "n".into() }).await.unwrap();
    let refused = receipt.durable().await.unwrap_err();
    assert!(matches!(refused, ReceiptError::Gap { .. }), "{refused}");
    producer.resume(&alice, Ssn::NONE);
    producer.tell(&alice, Note { text: "n".into() }).await.unwrap().durable().await.unwrap();
    runtime.shutdown().await.unwrap();
}

/// Only damage makes numbers that no store reaches.
#[tokio::test(flavor = "multi_thread")]
async fn class_14_positions_past_the_end_are_refused_by_the_store() {
    let actor = relive::ActorId::new("account", "alice").unwrap();
    let mut beyond = checkpoint(&actor, 1, 10);
    beyond.header.rsn = relive::Rsn::new(POSITION_MAX + 1);
    let store = MemoryStore::new();
    assert!(matches!(store.put(&[beyond.clone()]), Err(StoreError::Misuse { .. })));
    let bytes = beyond.encode().unwrap();
    assert!(relive_storage::Checkpoint::decode(bytes).is_err());
    // The next checkpoint does not reach the last number in range.
    beyond.header.rsn = relive::Rsn::new(POSITION_MAX);
    beyond.header.number = relive_storage::CheckpointNumber::new(POSITION_MAX - 1);
    beyond.header.state_version = 1;
    store.put(&[beyond]).unwrap();
    let runtime = open_on(store.reopen()).await;
    account(&runtime, "bob").ask(Note { text: "n".into() }).await.unwrap();
    let refused = account(&runtime, "bob").checkpoint().await.unwrap_err();
    let CheckpointError::Unavailable(Unavailable::Failed(RuntimeFailure::Store(error))) = &refused else {
        panic!("{refused}")
    };
    assert!(matches!(**error, StoreError::Misuse { .. }), "{refused}");
    assert!(runtime.failed().is_some(), "it takes nothing that it could not bound");
}
