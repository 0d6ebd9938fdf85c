//! The sentences of errors: what failed, on what, what is true now, what to do; and each thing
//! once, however a program prints the chain of sources. The tests use real errors where they can
//! provoke them.

use std::error::Error;
use std::sync::Arc;

use relive::{
    Actor, ActorId, AskError, CheckpointError, Context, Ended, Handle, Message, MessageError, NoAnswer,
    OpenError, QuarantineError, ReceiptError, Refused, Rsn, Runtime, RuntimeFailure, SendError, Ssn,
    StoreError, Unavailable,
};
use relive_storage::MemoryStore;
use serde::{Deserialize, Serialize, Serializer};

use crate::medium;

#[derive(Serialize, Deserialize, Default)]
struct Talker {
    /// Makes it too deep to be stored.
    deep: Option<Box<Talker>>,
}

impl Actor for Talker {
    const KIND: &'static str = "talker";
    fn create(_key: &str) -> Self {
        Self::default()
    }
}

#[derive(Serialize, Deserialize)]
struct Unknown {}

impl Actor for Unknown {
    const KIND: &'static str = "unknown";
    fn create(_key: &str) -> Self {
        Self {}
    }
}

message!(Send { to: String }, "send", String);
message!(Unregistered {}, "unregistered", ());
message!(Deepen {}, "deepen", ());
message!(BadReply {}, "bad-reply", Unencodable);

#[derive(Deserialize, Clone, Debug)]
struct Unencodable;

impl Serialize for Unencodable {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it has no encoding"))
    }
}

#[derive(Deserialize, Clone, Debug)]
struct BadMessage(Unencodable);

impl Serialize for BadMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl Message for BadMessage {
    const NAME: &'static str = "bad-message";
    type Reply = ();
}

impl Handle<BadMessage> for Talker {
    async fn handle(&mut self, _message: BadMessage, _cx: &mut Context<'_>) {}
}

impl Handle<Unregistered> for Talker {
    async fn handle(&mut self, _message: Unregistered, _cx: &mut Context<'_>) {}
}

impl Handle<Unregistered> for Unknown {
    async fn handle(&mut self, _message: Unregistered, _cx: &mut Context<'_>) {}
}

impl Handle<Send> for Talker {
    async fn handle(&mut self, message: Send, cx: &mut Context<'_>) -> String {
        let sent = match message.to.as_str() {
            "kind" => cx.to::<Unknown>("a").send(Unregistered {}),
            "message" => cx.to::<Self>("a").send(Unregistered {}),
            "codec" => cx.to::<Self>("a").send(BadMessage(Unencodable)),
            key => cx.to::<Self>(key).send(Deepen {}),
        };
        sent.map_err(|error| said(&error)).unwrap_err()
    }
}

impl Handle<Deepen> for Talker {
    async fn handle(&mut self, _message: Deepen, _cx: &mut Context<'_>) {
        self.deep = (0..200).fold(None, |deep, _| Some(Box::new(Self { deep })));
    }
}

impl Handle<BadReply> for Talker {
    async fn handle(&mut self, _message: BadReply, _cx: &mut Context<'_>) -> Unencodable {
        Unencodable
    }
}

/// The sentence of an error with those of its sources, as a program prints the whole chain. No
/// sentence may repeat the one before, or hold a gap.
fn said(error: &dyn Error) -> String {
    let mut whole = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        assert!(!whole.contains(&more), "{whole:?} says {more:?} twice");
        whole = format!("{whole}: {more}");
        source = error.source();
    }
    assert!(!whole.contains("  "), "{whole:?} has a gap");
    whole
}

fn expect(error: &dyn Error, parts: &[&str]) {
    let whole = said(error);
    for part in parts {
        assert!(whole.contains(part), "{whole:?} does not say {part:?}");
    }
}

async fn open() -> Runtime {
    let builder = medium::runtime().actor::<Talker>(|talker| {
        talker.handles::<Send>().handles::<Deepen>().handles::<BadReply>().handles::<BadMessage>()
    });
    builder.open_on(Arc::new(MemoryStore::new())).await.unwrap()
}

/// Also: a send to an impossible receiver is an error of the send, and the sender goes on; a state
/// that does not fit into a checkpoint costs log.
#[tokio::test(flavor = "multi_thread")]
async fn class_28_errors_say_what_is_so() {
    let runtime = open().await;
    let alice = runtime.actor::<Talker>("alice").unwrap();
    for (to, parts) in [
        ("kind", ["the actor kind \"unknown\" is not registered", "nothing was sent"]),
        ("message", ["without the message \"unregistered\"", "nothing was sent"]),
        ("codec", ["the message \"bad-message\" does not survive", "it has no encoding"]),
        ("", ["the actor key is empty", "give it 1 to 256 bytes"]),
    ] {
        let told = alice.ask(Send { to: to.to_owned() }).await.unwrap();
        assert!(parts.iter().all(|part| told.contains(part)), "{to}: {told}");
    }
    let error = alice.tell(Unregistered {}).await.unwrap_err();
    expect(
        &error,
        &["was not accepted", "no handler registered for the message \"unregistered\"", "add `handles`"],
    );
    let error = alice.tell(BadMessage(Unencodable)).await.unwrap_err();
    expect(&error, &["was not accepted", "\"bad-message\" does not survive its codec", "it has no encoding"]);
    let error = alice.ask(BadReply {}).await.unwrap_err();
    expect(
        &error,
        &["talker/alice", "in quarantine and has changed nothing", "\"bad-reply\"", "it has no encoding"],
    );
    assert_eq!(runtime.quarantined().len(), 1);

    alice.ask(Deepen {}).await.unwrap();
    let refused = alice.checkpoint().await.unwrap_err();
    expect(
        &refused,
        &["no checkpoint of talker/alice could be taken", "nested", "the log still holds everything"],
    );
    assert!(matches!(refused, CheckpointError::NotTaken { .. }));
    assert!(runtime.failed().is_none() && runtime.failed_actors().is_empty());
    assert_eq!(
        alice.ask(Send { to: "kind".to_owned() }).await.unwrap().matches("nothing was sent").count(),
        1
    );

    runtime.shutdown().await.unwrap();
    let error = alice.tell(Deepen {}).await.unwrap_err();
    expect(&error, &["the runtime is shut down", "what was acknowledged is there after reopening"]);
}

#[test]
fn class_28_no_error_says_anything_twice() {
    let actor = ActorId::new("talker", "alice").unwrap();
    let io = Arc::new(std::io::Error::other("the disk says no"));
    let store = StoreError::Io { action: "open", path: "/store".into(), reason: io };
    let unavailable = [
        Unavailable::Failed(RuntimeFailure::Store(Arc::new(store.clone()))),
        Unavailable::WaitsForItself { actor: actor.clone() },
        Unavailable::Deadlock { cycle: vec![actor.clone(), actor.clone()] },
        Unavailable::Failed(RuntimeFailure::HostGone),
        Unavailable::Stopped,
    ];
    for unavailable in unavailable {
        said(&unavailable);
        said(&ReceiptError::from(unavailable.clone()));
        said(&CheckpointError::from(unavailable.clone()));
        said(&QuarantineError::from(unavailable.clone()));
        said(&AskError::<u8>::NotAccepted { message: 1, reason: unavailable.clone().into() });
        said(&AskError::<u8>::Unknown { reason: unavailable.into() });
    }
    said(&ReceiptError::Gap { actor: actor.clone(), expected: Ssn::new(3), found: Ssn::new(5) });
    said(&QuarantineError::NotQuarantined { actor: actor.clone(), rsn: Rsn::new(3) });
    said(&QuarantineError::Unhandled { actor: actor.clone(), message: "deposit".into() });
    said(&AskError::<u8>::ReplyTooLarge { found: 9, limit: 3 });
    said(&Ended::Stopped);
    for reason in [
        Refused::OutOfRange { last: Ssn::new(9) },
        Refused::Timeout,
        Refused::KeyOfAnotherRequest { actor: actor.clone(), key: "order 17".into() },
        Refused::NoRoomForKey { actor, key: "order 17".into() },
        MessageError::TooLarge { message: "note", found: 9, limit: 3 }.into(),
    ] {
        said(&reason);
        said(&AskError::<u8>::NotAccepted { message: 1, reason });
    }
    said(&AskError::<u8>::Unknown { reason: NoAnswer::Timeout });
    let failed = RuntimeFailure::Store(Arc::new(store.clone()));
    expect(&failed, &["/store", "the disk says no"]);
    expect(&Ended::Failed(failed), &["/store", "the disk says no"]);
    expect(&OpenError::Store(store), &["open /store", "the disk says no"]);
    said(&SendError::TooMany { limit: 3 });
    let missing = OpenError::MissingDependency { kind: "talker", dependency: "Bank" };
    expect(&missing, &["\"talker\" needs", "type Bank", "add `Builder::provide`", "nothing was opened"]);
    expect(&OpenError::DependencyTwice { dependency: "Bank" }, &["two values", "type Bank", "provide one"]);
}
