//! relive refuses what does not fit together, by name, before it changes anything.

use std::sync::Arc;

use relive::{
    Actor, ActorId, Context, ErrorKind, Halt, HaltReason, Handle, Message, MessageError, OpenError, Refused,
    Rsn, Ssn, Timestamp,
};
use relive_replay::payload::encode;
use relive_storage::record::Sender;
use relive_storage::{
    Block, BlockHeader, CheckpointStore, Epoch, FrameWriter, Generation, Log, Lsn, MemoryStore, Name, scan,
};
use serde::{Deserialize, Serialize};

use crate::actors::{Account, Charge, Deposit, Show, account, builder, open_on};
use crate::medium;

#[derive(Serialize, Deserialize)]
struct NewAccount;

impl Actor for NewAccount {
    const KIND: &'static str = "account";
    const VERSION: u32 = 2;
    fn create(_key: &str) -> Self {
        Self
    }
}

impl Handle<Deposit> for NewAccount {
    async fn handle(&mut self, _message: Deposit, _cx: &mut Context<'_>) -> i64 {
        0
    }
}

/// All bytes of a log.
fn content(store: &MemoryStore) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut at = Lsn::FIRST;
    while let Some(stored) = store.read(at).unwrap() {
        let block = stored.block.unwrap();
        bytes.extend_from_slice(block.bytes());
        at = block.header().next();
    }
    bytes
}

async fn used_store(checkpoint: bool) -> MemoryStore {
    let store = MemoryStore::new();
    let runtime = open_on(store.clone()).await;
    account(&runtime, "alice").ask(Deposit { cents: 5 }).await.unwrap();
    if checkpoint {
        account(&runtime, "alice").checkpoint().await.unwrap();
    }
    runtime.crash().await;
    store.reopen()
}

async fn refused(builder: relive::Builder, store: &MemoryStore) -> OpenError {
    let before = content(store);
    let error = builder.open_on(Arc::new(store.clone())).await.unwrap_err();
    assert_eq!(content(store), before, "something was changed");
    assert_eq!(error.kind(), ErrorKind::Input);
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_is_not_registered_is_named() {
    for checkpoint in [false, true] {
        let store = used_store(checkpoint).await;
        let error = refused(medium::runtime(), &store).await;
        assert!(matches!(&error, OpenError::UnknownKind { kind, .. } if kind == "account"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_nobody_handles_any_more_is_named() {
    let store = used_store(false).await;
    let error = refused(medium::runtime().actor::<Account>(|a| a.handles::<Show>()), &store).await;
    assert!(matches!(&error, OpenError::UnknownMessage { message, .. } if message == "deposit"), "{error}");
    // A message that a checkpoint covers is history that no opening replays.
    let store = used_store(true).await;
    let runtime =
        medium::runtime().actor::<Account>(|a| a.handles::<Show>()).open_on(Arc::new(store)).await.unwrap();
    let refused = account(&runtime, "alice").tell(Deposit { cents: 1 }).await.unwrap_err();
    assert!(matches!(&refused.reason, Refused::Unhandled { message, .. } if &**message == "deposit"));
    runtime.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_another_version_is_named() {
    let store = used_store(true).await;
    let error = refused(medium::runtime().actor::<NewAccount>(|a| a.handles::<Deposit>()), &store).await;
    assert!(matches!(error, OpenError::StateVersion { stored: 1, registered: 2, .. }), "{error}");
}

#[derive(Serialize, Deserialize)]
struct Twice;

impl Message for Twice {
    const NAME: &'static str = "deposit";
    type Reply = ();
}

impl Handle<Twice> for Account {
    async fn handle(&mut self, _message: Twice, _cx: &mut Context<'_>) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_contradicts_itself_is_named() {
    let twice = builder().actor::<NewAccount>(|a| a).open_on(Arc::new(MemoryStore::new())).await;
    assert!(matches!(twice, Err(OpenError::KindTwice { kind: "account" })));
    let same_name = medium::runtime().actor::<Account>(|a| a.handles::<Deposit>().handles::<Twice>());
    let error = same_name.open_on(Arc::new(MemoryStore::new())).await.unwrap_err();
    assert!(error.to_string().contains("\"deposit\""), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_payloads_over_their_limits_are_named() {
    let runtime = open_on(MemoryStore::new()).await;
    let key = runtime.actor::<Account>(&"x".repeat(257)).unwrap_err();
    assert!(key.to_string().contains("257 bytes, at most 256"), "{key}");
    assert!(runtime.actor::<Account>("").is_err());
    assert!(runtime.actor::<NewAccount>("a").is_ok(), "kinds are known by name");
    assert!(runtime.producer(&"x".repeat(65)).is_err());
    let what = "x".repeat(relive_storage::limits::PAYLOAD_BYTES_MAX);
    let error = account(&runtime, "alice").tell(Charge { what }).await.unwrap_err();
    assert!(
        matches!(error.reason, Refused::Message(MessageError::TooLarge { message: "charge", .. })),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Input);
    let largest = "x".repeat(relive_storage::limits::PAYLOAD_BYTES_MAX - 64);
    account(&runtime, "alice").ask(Charge { what: largest }).await.unwrap();
    runtime.shutdown().await.unwrap();
}

/// Invariant: no-orphan. A receiver has messages that its sender's records do not contain: a part
/// of the history is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_knows_more_than_its_sender_is_named() {
    let store = used_store(false).await;
    let next = scan(&store, &mut |_, _| Ok(())).unwrap().next;
    let [alice, carol] = ["alice", "carol"].map(|key| ActorId::new("account", key).unwrap());
    let (mut buffer, mut writer) = (Vec::new(), FrameWriter::new());
    Block::reserve_header(&mut buffer);
    let sender = Sender::Actor { id: alice.clone(), ssn: Ssn::new(1) };
    let payload = encode(&Deposit { cents: 5 }).unwrap();
    writer.put_delivery(Rsn::new(1), &sender, false, &Name::from_static("deposit"), &payload);
    writer.finish(Some(&carol), Rsn::NONE, Rsn::NONE, &[]).append_to(&mut buffer);
    // Alice has handled what she received, and her records tell that she sent nothing: it is not
    // her code that has changed.
    writer.put_attempt(Rsn::new(1));
    writer.finish(Some(&alice), Rsn::NONE, Rsn::new(1), &[]).append_to(&mut buffer);
    let (epoch, clock) = (Epoch::new(9), Timestamp::from_micros(1));
    let header = BlockHeader { first: next, records: 2, durable: next, epoch, clock, seed: 1 };
    store.append(&Block::seal(header, buffer)).unwrap();
    store.sync().unwrap();
    match builder().open_on(Arc::new(store)).await.unwrap_err() {
        OpenError::Orphan { receiver, sender, received, sent } => {
            assert_eq!((receiver, sender), (carol, alice));
            assert_eq!((received, sent), (Ssn::new(1), Ssn::NONE));
        }
        other => panic!("{other}"),
    }
}

/// The symptom: an opening went on from a checkpoint that was ahead of the deliveries in the log,
/// and the next opening found a gap. Fuzzing `replay` found it.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_is_ahead_of_the_log_is_damage() {
    let ahead = MemoryStore::new();
    let runtime = open_on(ahead.clone()).await;
    for cents in 1..4 {
        account(&runtime, "alice").ask(Deposit { cents }).await.unwrap();
    }
    account(&runtime, "alice").checkpoint().await.unwrap();
    runtime.crash().await;
    let alice = ActorId::new("account", "alice").unwrap();
    let checkpoint = ahead.reopen().get(&alice, Generation::Newest).unwrap().unwrap();
    let store = used_store(false).await;
    store.put(&[checkpoint]).unwrap();
    match builder().open_on(Arc::new(store)).await.unwrap_err() {
        OpenError::Records(Halt { actor, rsn, reason: HaltReason::Corrupt { .. }, .. }) => {
            assert_eq!((actor, rsn), (alice, Rsn::new(2)));
        }
        other => panic!("{other}"),
    }
}

/// The opening of a runtime finds a message that an actor lists, and for which no code registers a
/// handler.
#[tokio::test]
async fn a_listed_message_without_a_handler_keeps_the_runtime_from_opening() {
    use relive::{Actor, Context, Handle, Message};
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Careful;
    #[derive(Serialize, Deserialize)]
    struct Forgotten;
    impl Message for Forgotten {
        const NAME: &'static str = "forgotten";
        type Reply = ();
    }
    impl Actor for Careful {
        const KIND: &'static str = "careful";
        const MESSAGES: &'static [&'static str] = &[Forgotten::NAME];
        fn create(_key: &str) -> Self {
            Self
        }
    }
    impl Handle<Forgotten> for Careful {
        async fn handle(&mut self, _message: Forgotten, _cx: &mut Context<'_>) {}
    }
    let open = |registered: bool| {
        let builder = medium::runtime()
            .actor::<Careful>(|actor| if registered { actor.handles::<Forgotten>() } else { actor });
        builder.open_on(Arc::new(MemoryStore::new()))
    };
    let error = open(false).await.unwrap_err();
    assert!(error.to_string().contains("\"careful\" lists the message \"forgotten\""), "{error}");
    assert_eq!(error.kind(), ErrorKind::Input);
    let runtime = open(true).await.unwrap();
    runtime.actor::<Careful>("a").unwrap().ask(Forgotten).await.unwrap();
    runtime.shutdown().await.unwrap();
}
