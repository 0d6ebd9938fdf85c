//! Class 28: values that do not survive encoding and decoding. Nothing depends on bytes that relive
//! has never read back: it refuses such a message, treats such a reply or outcome as poison, and
//! takes no checkpoint of such a state, whose log it keeps.

use std::collections::HashMap;

use relive::{
    Actor, ActorRef, AskError, CheckpointError, Context, Durability, Handle, MessageError, Refused, Runtime,
};
use serde::{Deserialize, Serialize};

use crate::medium;

/// A value that encodes and does not decode: the skipped field has no default.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Skips {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<u64>,
}

/// A value that decodes as another value.
type Nothing = Option<Option<u64>>;

/// Nested as deep as there are links.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct List {
    next: Option<Box<List>>,
}

impl List {
    fn of(links: usize) -> Self {
        (0..links).fold(Self { next: None }, |next, _| Self { next: Some(Box::new(next)) })
    }
}

impl Drop for List {
    /// Drops link by link, since the stack of a test is small.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut list) = next {
            next = list.next.take();
        }
    }
}

/// All these values, each harmless at first.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Values {
    skips: Skips,
    nothing: Nothing,
    list: List,
    /// Its order differs each time, but its value is the same.
    map: HashMap<String, u64>,
}

#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
enum Bad {
    None,
    Skips,
    Nothing,
    Deep,
    VeryDeep,
}

const BAD: [Bad; 4] = [Bad::Skips, Bad::Nothing, Bad::Deep, Bad::VeryDeep];

impl Values {
    fn with(bad: Bad) -> Self {
        Self {
            skips: Skips { items: if bad == Bad::Skips { vec![] } else { vec![1] } },
            nothing: if bad == Bad::Nothing { Some(None) } else { Some(Some(1)) },
            list: List::of(match bad {
                Bad::Deep => 65,
                Bad::VeryDeep => 10_000,
                _ => 3,
            }),
            map: (0..20).map(|key| (key.to_string(), key)).collect(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Keeper {
    values: Values,
    stored: u64,
}

impl Actor for Keeper {
    const KIND: &'static str = "keeper";
    fn create(_key: &str) -> Self {
        Self { values: Values::with(Bad::None), stored: 0 }
    }
}

message!(Store { values: Values }, "store", u64);
message!(Become { bad: Bad }, "become", ());
message!(Reply { bad: Bad }, "reply", Values);
message!(Outcome { bad: Bad }, "outcome", ());
message!(Forward { bad: Bad }, "forward", bool);
message!(Stored {}, "stored", u64);

impl Handle<Store> for Keeper {
    async fn handle(&mut self, _message: Store, _cx: &mut Context<'_>) -> u64 {
        self.stored += 1;
        self.stored
    }
}

impl Handle<Become> for Keeper {
    async fn handle(&mut self, message: Become, _cx: &mut Context<'_>) {
        self.values = Values::with(message.bad);
    }
}

impl Handle<Reply> for Keeper {
    async fn handle(&mut self, message: Reply, _cx: &mut Context<'_>) -> Values {
        Values::with(message.bad)
    }
}

impl Handle<Outcome> for Keeper {
    async fn handle(&mut self, message: Outcome, cx: &mut Context<'_>) {
        let values = cx.side_effect("values", || async { Values::with(message.bad) }).await;
        assert_eq!(values, Values::with(message.bad));
    }
}

impl Handle<Forward> for Keeper {
    async fn handle(&mut self, message: Forward, cx: &mut Context<'_>) -> bool {
        // Without the map, because a handler must send the same bytes each time.
        let values = Values { map: HashMap::new(), ..Values::with(message.bad) };
        cx.to::<Self>("receiver").send(Store { values }).is_ok()
    }
}

impl Handle<Stored> for Keeper {
    async fn handle(&mut self, _message: Stored, _cx: &mut Context<'_>) -> u64 {
        self.stored
    }
}

async fn open(path: &std::path::Path) -> Runtime {
    let builder = medium::runtime().actor::<Keeper>(|keeper| {
        let keeper = keeper.handles::<Store>().handles::<Become>().handles::<Reply>();
        keeper.handles::<Outcome>().handles::<Forward>().handles::<Stored>()
    });
    builder.durability(Durability::ProcessCrash).open(path).await.unwrap()
}

fn keeper(runtime: &Runtime, key: &str) -> ActorRef<Keeper> {
    runtime.actor(key).unwrap()
}

fn says_why(bad: Bad, text: &str) {
    let why = match bad {
        Bad::None => "",
        Bad::Skips => "does not decode",
        Bad::Nothing => "another value",
        Bad::Deep | Bad::VeryDeep => "nested too deeply",
    };
    assert!(text.contains(why), "{bad:?}: {text}");
}

fn quarantined_entry<M>(error: AskError<M>) -> std::sync::Arc<relive::Quarantined> {
    match error {
        AskError::Quarantined(entry) => entry,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn class_28_what_does_not_survive_its_codec_is_refused_where_it_enters() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = open(&path).await;
    let alice = keeper(&runtime, "alice");
    let mut producer = runtime.producer("p").unwrap();
    for bad in BAD {
        let message = || Store { values: Values::with(bad) };
        let error = alice.tell(message()).await.unwrap_err();
        assert!(
            matches!(error.reason, Refused::Message(MessageError::Codec { message: "store", .. })),
            "{error}"
        );
        says_why(bad, &error.to_string());
        says_why(bad, &alice.ask(message()).await.unwrap_err().to_string());
        says_why(bad, &producer.tell(&alice, message()).await.unwrap_err().to_string());
    }
    assert_eq!(alice.ask(Store { values: Values::with(Bad::None) }).await.unwrap(), 1);

    // Replies, outcomes, and messages that a handler sends.
    let mut quarantined = 0;
    for bad in BAD {
        let entries = [
            quarantined_entry(alice.ask(Reply { bad }).await.unwrap_err()),
            quarantined_entry(alice.ask(Outcome { bad }).await.unwrap_err()),
        ];
        for entry in entries {
            says_why(bad, &entry.reason);
            quarantined += 1;
        }
        match alice.ask(Forward { bad }).await {
            // A message that does not encode is an error of the send.
            Ok(sent) => assert!(!sent && matches!(bad, Bad::Deep | Bad::VeryDeep), "{bad:?}"),
            Err(error) => {
                says_why(bad, &error.to_string());
                quarantined += 1;
            }
        }
    }
    assert_eq!(alice.ask(Reply { bad: Bad::None }).await.unwrap(), Values::with(Bad::None));
    alice.ask(Outcome { bad: Bad::None }).await.unwrap();
    assert!(alice.ask(Forward { bad: Bad::None }).await.unwrap());
    assert_eq!(runtime.quarantined().len(), quarantined);
    runtime.crash().await;

    let runtime = open(&path).await;
    assert!(runtime.failed_actors().is_empty(), "{:?}", runtime.failed_actors());
    assert_eq!(runtime.quarantined().len(), quarantined);
    while keeper(&runtime, "receiver").ask(Stored {}).await.unwrap() != 1 {}
    assert_eq!(keeper(&runtime, "alice").ask(Stored {}).await.unwrap(), 1);
    runtime.shutdown().await.unwrap();
}

/// Invariant: checkpoint-covers-log. A state that would not decode costs log, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn class_28_a_state_that_does_not_survive_its_codec_costs_log() {
    for bad in BAD {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        let mut runtime = open(&path).await;
        let alice = keeper(&runtime, "alice");
        alice.ask(Store { values: Values::with(Bad::None) }).await.unwrap();
        alice.checkpoint().await.unwrap();
        alice.ask(Become { bad }).await.unwrap();
        for _ in 0..3 {
            let alice = keeper(&runtime, "alice");
            for _ in 0..2 {
                let refused = alice.checkpoint().await.unwrap_err();
                assert!(matches!(refused, CheckpointError::NotTaken { .. }), "{bad:?}: {refused}");
                says_why(bad, &refused.to_string());
            }
            runtime.cut_log().await.unwrap();
            let stored = alice.ask(Store { values: Values::with(Bad::None) }).await.unwrap();
            let left = runtime.shutdown().await.unwrap().left;
            assert_eq!((left.len(), left[0].actor.as_str()), (1, "keeper/alice"), "{bad:?}");
            says_why(bad, &left[0].reason);
            runtime = open(&path).await;
            assert!(runtime.failed_actors().is_empty());
            assert_eq!(keeper(&runtime, "alice").ask(Stored {}).await.unwrap(), stored, "{bad:?}");
        }
        // With a good state again, it has a checkpoint again.
        let alice = keeper(&runtime, "alice");
        alice.ask(Become { bad: Bad::None }).await.unwrap();
        alice.checkpoint().await.unwrap();
        assert_eq!(runtime.shutdown().await.unwrap().left, []);
        let runtime = open(&path).await;
        assert_eq!(runtime.recovery().replayed, 0);
        assert_eq!(keeper(&runtime, "alice").ask(Stored {}).await.unwrap(), 4);
        runtime.shutdown().await.unwrap();
    }
}
