//! A subscriber sees the log lines of handlers once, not again on replay.

use std::sync::{Arc, Mutex};

use relive::{Actor, Context, Handle, HideReplays, Message};
use relive_storage::MemoryStore;
use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;

use crate::medium;

#[derive(Serialize, Deserialize)]
struct Talker;

impl Actor for Talker {
    const KIND: &'static str = "talker";
    fn create(_key: &str) -> Self {
        Self
    }
}

#[derive(Serialize, Deserialize)]
struct Say(u64);

impl Message for Say {
    const NAME: &'static str = "say";
    type Reply = ();
}

impl Handle<Say> for Talker {
    async fn handle(&mut self, message: Say, _cx: &mut Context<'_>) {
        tracing::info!(target: "talker", number = message.0, "said");
    }
}

/// Keeps the numbers of the log lines.
struct Heard(Arc<Mutex<Vec<u64>>>);

impl<S: tracing::Subscriber> Layer<S> for Heard {
    fn on_event(&self, event: &tracing::Event<'_>, _context: tracing_subscriber::layer::Context<'_, S>) {
        struct Number(Option<u64>);
        impl Visit for Number {
            fn record_u64(&mut self, field: &Field, value: u64) {
                if field.name() == "number" {
                    self.0 = Some(value);
                }
            }
            fn record_debug(&mut self, _field: &Field, _value: &dyn std::fmt::Debug) {}
        }
        if event.metadata().target() == "talker" {
            let mut number = Number(None);
            event.record(&mut number);
            self.0.lock().unwrap().extend(number.0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_prints_nothing_again() {
    let (filtered, all) = (Arc::<Mutex<Vec<u64>>>::default(), Arc::<Mutex<Vec<u64>>>::default());
    let subscriber = tracing_subscriber::registry()
        .with(Heard(Arc::clone(&filtered)).with_filter(HideReplays))
        .with(Heard(Arc::clone(&all)));
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let store = MemoryStore::new();
    let open = |store: MemoryStore| {
        medium::runtime().actor::<Talker>(|talker| talker.handles::<Say>()).open_on(Arc::new(store))
    };
    let runtime = open(store.clone()).await.unwrap();
    let talker = runtime.actor::<Talker>("t").unwrap();
    for number in 0..3 {
        talker.ask(Say(number)).await.unwrap();
    }
    runtime.crash().await;
    let runtime = open(store.reopen()).await.unwrap();
    runtime.actor::<Talker>("t").unwrap().ask(Say(3)).await.unwrap();
    runtime.shutdown().await.unwrap();
    assert_eq!(*filtered.lock().unwrap(), [0, 1, 2, 3]);
    assert_eq!(*all.lock().unwrap(), [0, 1, 2, 0, 1, 2, 3], "without the filter the replay is seen");
}
