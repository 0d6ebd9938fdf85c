//! The actors that the tests use, and the ways to open a runtime with them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use relive::{Actor, ActorRef, Builder, Context, Handle, Runtime};
use relive_storage::{MemoryStore, Store};
use serde::{Deserialize, Serialize};

use crate::medium;

/// Counts, by name and for all tests, of things that happen outside of all actors. No crash undoes
/// them.
static OUTSIDE: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// Counts one more, and returns the count.
pub(crate) fn happen(what: &str) -> u64 {
    let mut outside = OUTSIDE.lock().unwrap_or_else(PoisonError::into_inner);
    let count = outside.entry(what.to_owned()).or_default();
    *count += 1;
    *count
}

pub(crate) fn happened(what: &str) -> u64 {
    OUTSIDE.lock().unwrap_or_else(PoisonError::into_inner).get(what).copied().unwrap_or_default()
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
pub(crate) struct Account {
    pub(crate) cents: i64,
    /// Everything that messages ever did to it, in order.
    pub(crate) history: Vec<i64>,
    pub(crate) drawn: Vec<u64>,
}

impl Actor for Account {
    const KIND: &'static str = "account";

    fn create(_key: &str) -> Self {
        Self { cents: 0, history: Vec::new(), drawn: Vec::new() }
    }
}

message!(pub(crate) Deposit { pub(crate) cents: i64 }, "deposit", i64);
message!(pub(crate) Transfer { pub(crate) to: String, pub(crate) cents: i64 }, "transfer", ());
message!(pub(crate) Show {}, "show", Account);
// Does something outside and keeps its outcome.
message!(pub(crate) Charge { pub(crate) what: String }, "charge", u64);
// Two side effects in one delivery.
message!(pub(crate) ChargeTwice { pub(crate) what: String }, "charge-twice", u64);
message!(pub(crate) Draw {}, "draw", u64);
// Panics on its first `times` tries.
message!(pub(crate) Panic { pub(crate) what: String, pub(crate) times: u64 }, "panic", ());
message!(pub(crate) AwaitForeign {}, "await-foreign", ());
// Sends different messages on every run, which the contract forbids.
message!(pub(crate) Waver { pub(crate) what: String, pub(crate) to: String }, "waver", ());
// Sends many messages back and forth.
message!(pub(crate) Flood { pub(crate) to: String, pub(crate) messages: u64, pub(crate) hops: u64 }, "flood", ());

// Takes room in the log.
message!(pub(crate) Note { pub(crate) text: String }, "note", ());

impl Handle<Note> for Account {
    async fn handle(&mut self, message: Note, _cx: &mut Context<'_>) {
        self.cents += i64::try_from(message.text.len()).unwrap();
    }
}

impl Account {
    fn book(&mut self, cents: i64) -> i64 {
        self.cents += cents;
        self.history.push(cents);
        self.cents
    }
}

impl Handle<Deposit> for Account {
    async fn handle(&mut self, message: Deposit, _cx: &mut Context<'_>) -> i64 {
        self.book(message.cents)
    }
}

impl Handle<Transfer> for Account {
    async fn handle(&mut self, message: Transfer, cx: &mut Context<'_>) {
        self.book(-message.cents);
        cx.to::<Self>(&message.to).send(Deposit { cents: message.cents }).unwrap();
    }
}

impl Handle<Show> for Account {
    async fn handle(&mut self, _message: Show, _cx: &mut Context<'_>) -> Self {
        self.clone()
    }
}

impl Handle<Charge> for Account {
    async fn handle(&mut self, message: Charge, cx: &mut Context<'_>) -> u64 {
        let count = cx.side_effect("charge", || async { happen(&message.what) }).await;
        self.drawn.push(count);
        count
    }
}

impl Handle<ChargeTwice> for Account {
    async fn handle(&mut self, message: ChargeTwice, cx: &mut Context<'_>) -> u64 {
        let first = cx.side_effect("first", || async { happen(&format!("{}-first", message.what)) }).await;
        self.drawn.push(first);
        let second = cx
            .side_effect("second", || async {
                let count = happen(&format!("{}-second", message.what));
                if count == 1 && message.what.starts_with("stuck") {
                    std::future::pending::<()>().await;
                }
                count
            })
            .await;
        self.drawn.push(second);
        first + second
    }
}

impl Handle<Draw> for Account {
    async fn handle(&mut self, _message: Draw, cx: &mut Context<'_>) -> u64 {
        let drawn = [cx.random(), cx.random(), cx.now().as_micros()];
        self.drawn.extend(drawn);
        drawn[0]
    }
}

impl Handle<Panic> for Account {
    async fn handle(&mut self, message: Panic, cx: &mut Context<'_>) {
        self.book(1);
        cx.to::<Self>("bystander").send(Deposit { cents: 1 }).unwrap();
        assert!(happen(&message.what) > message.times, "told to panic");
    }
}

impl Handle<AwaitForeign> for Account {
    async fn handle(&mut self, _message: AwaitForeign, _cx: &mut Context<'_>) {
        tokio::task::yield_now().await;
    }
}

impl Handle<Waver> for Account {
    async fn handle(&mut self, message: Waver, cx: &mut Context<'_>) {
        let count = i64::try_from(happen(&message.what)).unwrap();
        cx.to::<Self>(&message.to).send(Deposit { cents: count }).unwrap();
    }
}

impl Handle<Flood> for Account {
    async fn handle(&mut self, message: Flood, cx: &mut Context<'_>) {
        self.book(1);
        if message.hops == 0 {
            return;
        }
        let me = cx.actor().key().to_owned();
        for _ in 0..message.messages {
            let flood = Flood { to: me.clone(), messages: 1, hops: message.hops - 1 };
            cx.to::<Self>(&message.to).send(flood).unwrap();
        }
    }
}

pub(crate) fn builder() -> Builder {
    medium::runtime().actor::<Account>(|account| {
        account
            .handles::<Deposit>()
            .handles::<Transfer>()
            .handles::<Show>()
            .handles::<Charge>()
            .handles::<ChargeTwice>()
            .handles::<Draw>()
            .handles::<Panic>()
            .handles::<AwaitForeign>()
            .handles::<Waver>()
            .handles::<Flood>()
            .handles::<Note>()
    })
}

pub(crate) async fn open_on(store: impl Store + 'static) -> Runtime {
    builder().open_on(Arc::new(store)).await.unwrap()
}

pub(crate) fn account(runtime: &Runtime, key: &str) -> ActorRef<Account> {
    runtime.actor(key).unwrap()
}

pub(crate) async fn show(runtime: &Runtime, key: &str) -> Account {
    account(runtime, key).ask(Show {}).await.unwrap()
}

/// Crashes a runtime on a memory store, and opens it anew on the synced part.
pub(crate) async fn crash_and_reopen(runtime: Runtime, store: &MemoryStore) -> (Runtime, MemoryStore) {
    let mut store = store.clone();
    crash(runtime, &mut store).await;
    (open_on(store.clone()).await, store)
}

/// Crashes a runtime. `store` is then the synced part of its store.
pub(crate) async fn crash(runtime: Runtime, store: &mut MemoryStore) {
    store.crash();
    runtime.crash().await;
    *store = store.reopen();
}
