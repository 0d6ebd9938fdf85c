//! A till in several versions of its code, which differ in what they make of its messages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use relive::{Actor, ActorRef, Context, Durability, Handle, Message, OpenError, Runtime};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::actors::happen;
use crate::medium;

/// The surroundings of the actors, by the name of a test: whether a setting exists.
static SETTINGS: Mutex<BTreeMap<String, bool>> = Mutex::new(BTreeMap::new());

pub(crate) fn set(test: &str, there: bool) {
    SETTINGS.lock().unwrap_or_else(PoisonError::into_inner).insert(test.to_owned(), there);
}

pub(crate) fn is_set(test: &str) -> bool {
    *SETTINGS.lock().unwrap_or_else(PoisonError::into_inner).get(test).unwrap_or(&true)
}

/// Code that can do everything.
pub(crate) const GOOD: u8 = 1;
/// Code with an assertion that old messages break.
pub(crate) const ASSERTS: u8 = 2;
/// Code that computes something else, and sends nothing.
pub(crate) const DIFFERS: u8 = 3;
/// Code that sends another amount.
pub(crate) const SENDS_MORE: u8 = 4;
/// Code that sends to another receiver.
pub(crate) const SENDS_ELSEWHERE: u8 = 5;

/// A till in one version of its code.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub(crate) struct Till<const V: u8> {
    sum: u64,
    keys: Vec<String>,
}

impl<const V: u8> Actor for Till<V> {
    const KIND: &'static str = "till";
    fn create(_key: &str) -> Self {
        Self { sum: 0, keys: Vec::new() }
    }
}

impl<const V: u8> Till<V> {
    fn add(&mut self, cents: u64) {
        assert!(V != ASSERTS, "this code takes no such message");
        self.sum += if V == DIFFERS { cents - 1 } else { cents };
    }
}

message!(pub(crate) Add { pub(crate) cents: u64 }, "add", u64);
message!(pub(crate) Pass { pub(crate) cents: u64 }, "pass", ());
message!(pub(crate) Charge { pub(crate) test: String, pub(crate) fails: u64 }, "charge", u64);
message!(pub(crate) NeedsSetting { pub(crate) test: String }, "needs-setting", u64);
message!(pub(crate) Hold { pub(crate) test: String }, "hold", ());
message!(pub(crate) Sum {}, "sum", u64);
message!(pub(crate) Keys {}, "keys", Vec<String>);

impl<const V: u8> Handle<Add> for Till<V> {
    async fn handle(&mut self, message: Add, _cx: &mut Context<'_>) -> u64 {
        self.add(message.cents);
        self.sum
    }
}

impl<const V: u8> Handle<Pass> for Till<V> {
    async fn handle(&mut self, message: Pass, cx: &mut Context<'_>) {
        self.add(message.cents);
        let to = if V == SENDS_ELSEWHERE { "elsewhere" } else { "receiver" };
        let cents = if V == SENDS_MORE { message.cents + 1 } else { message.cents };
        if V != DIFFERS {
            cx.to::<Self>(to).send(Sent(cents)).unwrap();
        }
    }
}

#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct Sent(pub(crate) u64);

impl Message for Sent {
    const NAME: &'static str = "sent";
    type Reply = ();
}

/// Whether five cents are more than a till takes.
pub(crate) static SENT_PANICS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

impl<const V: u8> Handle<Sent> for Till<V> {
    async fn handle(&mut self, message: Sent, _cx: &mut Context<'_>) {
        let panics = message.0 == 5 && !SENT_PANICS.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        assert!(!panics, "this code takes no such message");
        self.sum += message.0;
    }
}

impl<const V: u8> Handle<Charge> for Till<V> {
    /// Performs a side effect, and then panics, as often as the message says.
    async fn handle(&mut self, message: Charge, cx: &mut Context<'_>) -> u64 {
        let key = cx.idempotency_key();
        let count = cx.side_effect("charge", || async { happen(&format!("{} {key}", message.test)) }).await;
        self.keys.push(key);
        assert!(happen(&message.test) > message.fails, "told to panic");
        count
    }
}

/// How many handlers of [`Hold`] may pass the gate, by the name of a test.
static GATES: Mutex<BTreeMap<String, Arc<Semaphore>>> = Mutex::new(BTreeMap::new());

pub(crate) fn gate(test: &str) -> Arc<Semaphore> {
    let mut gates = GATES.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(gates.entry(test.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(0))))
}

impl<const V: u8> Handle<Hold> for Till<V> {
    /// Waits at a gate. The log gets the messages that come meanwhile together.
    async fn handle(&mut self, message: Hold, cx: &mut Context<'_>) {
        let gate = gate(&message.test);
        let pass = || async move { gate.acquire().await.map(SemaphorePermit::forget).is_ok() };
        assert!(cx.side_effect("hold", pass).await, "a gate is never closed");
    }
}

impl<const V: u8> Handle<NeedsSetting> for Till<V> {
    async fn handle(&mut self, message: NeedsSetting, _cx: &mut Context<'_>) -> u64 {
        assert!(is_set(&message.test), "a setting is missing");
        self.sum += 500;
        self.sum
    }
}

impl<const V: u8> Handle<Sum> for Till<V> {
    async fn handle(&mut self, _message: Sum, _cx: &mut Context<'_>) -> u64 {
        self.sum
    }
}

impl<const V: u8> Handle<Keys> for Till<V> {
    async fn handle(&mut self, _message: Keys, _cx: &mut Context<'_>) -> Vec<String> {
        self.keys.clone()
    }
}

pub(crate) async fn try_open<const V: u8>(path: &Path) -> Result<Runtime, OpenError> {
    let builder = medium::runtime().actor::<Till<V>>(|till| {
        let till = till.handles::<Add>().handles::<Pass>().handles::<Sent>().handles::<Charge>();
        till.handles::<NeedsSetting>().handles::<Hold>().handles::<Sum>().handles::<Keys>()
    });
    builder.durability(Durability::ProcessCrash).open(path).await
}

pub(crate) async fn open<const V: u8>(path: &Path) -> Runtime {
    try_open::<V>(path).await.unwrap()
}

pub(crate) fn till<const V: u8>(runtime: &Runtime, key: &str) -> ActorRef<Till<V>> {
    runtime.actor(key).unwrap()
}

pub(crate) async fn sum<const V: u8>(runtime: &Runtime, key: &str) -> u64 {
    till::<V>(runtime, key).ask(Sum {}).await.unwrap()
}
