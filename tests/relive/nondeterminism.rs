//! Class 13: handlers that break the contract. The runtime reports a difference on replay with
//! actor, position, and what it expected and found, before it releases anything. The other actors
//! serve.
//!
//! A comparison of effects can't notice a difference that does not show in them (a clock reading
//! that only goes into the state). The last test says so.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use relive::{Actor, Context, HaltReason, Handle, Message, Refused, Rsn, Runtime, Unavailable};
use relive_storage::MemoryStore;
use serde::{Deserialize, Serialize};

use crate::medium;

#[derive(Serialize, Deserialize, Default)]
struct Careless {
    received: Vec<u64>,
    stamp: u64,
}

impl Actor for Careless {
    const KIND: &'static str = "careless";
    fn create(_key: &str) -> Self {
        Self::default()
    }
}

#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
enum Sin {
    /// Sends in the order of a hash map.
    MapOrder,
    /// Reads the clock of the machine.
    Clock,
    /// Counts in a variable of the process.
    Global,
    /// Sends what another thread happens to have done by now.
    Thread,
    /// Asks for its random numbers and its side effects in a different order.
    Order,
    /// Performs one side effect more than before.
    More,
    /// Keeps a clock reading, and sends nothing.
    Secret,
}

#[derive(Serialize, Deserialize)]
struct Commit {
    sin: Sin,
}

impl Message for Commit {
    const NAME: &'static str = "commit";
    type Reply = ();
}

#[derive(Serialize, Deserialize)]
struct Take(u64);

impl Message for Take {
    const NAME: &'static str = "take";
    type Reply = ();
}

#[derive(Serialize, Deserialize)]
struct Received {}

impl Message for Received {
    const NAME: &'static str = "received";
    type Reply = Vec<u64>;
}

/// Counts the runs of handlers by sin, so that every sin surely differs.
static RUNS: [AtomicU64; 7] = [const { AtomicU64::new(0) }; 7];

impl Handle<Commit> for Careless {
    async fn handle(&mut self, message: Commit, cx: &mut Context<'_>) {
        let runs = RUNS[message.sin as usize].fetch_add(1, Ordering::Relaxed);
        let send = |number: u64| cx.to::<Self>("other").send(Take(number)).unwrap();
        match message.sin {
            // With 10,000 keys two maps practically never have the same order.
            Sin::MapOrder => {
                let map: HashMap<u64, ()> = (0..10_000).map(|key| (key, ())).collect();
                map.keys().take(20).for_each(|key| send(*key));
            }
            Sin::Clock => {
                let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
                send(u64::try_from(now.as_nanos()).unwrap());
            }
            Sin::Global => send(runs),
            Sin::Thread => send(std::thread::spawn(move || runs + 1).join().unwrap()),
            Sin::Order if runs == 0 => {
                cx.side_effect("first", || async {}).await;
                cx.side_effect("second", || async {}).await;
            }
            Sin::Order => {
                cx.side_effect("second", || async {}).await;
                cx.side_effect("first", || async {}).await;
            }
            Sin::More => {
                for _ in 0..=runs.min(1) {
                    cx.side_effect("again", || async {}).await;
                }
            }
            Sin::Secret => self.stamp = runs,
        }
    }
}

impl Handle<Take> for Careless {
    async fn handle(&mut self, message: Take, _cx: &mut Context<'_>) {
        self.received.push(message.0);
    }
}

impl Handle<Received> for Careless {
    async fn handle(&mut self, _message: Received, _cx: &mut Context<'_>) -> Vec<u64> {
        self.received.clone()
    }
}

async fn open(store: &MemoryStore) -> Runtime {
    let builder = medium::runtime()
        .actor::<Careless>(|a| a.handles::<Commit>().handles::<Take>().handles::<Received>());
    builder.open_on(Arc::new(store.clone())).await.unwrap()
}

/// Lets an actor sin, crashes the runtime, and returns the runtime that replays the actor, and what
/// the receiver had before.
async fn sinned(sin: Sin) -> (Runtime, Vec<u64>) {
    let store = MemoryStore::new();
    let runtime = open(&store).await;
    let actor = runtime.actor::<Careless>("sinner").unwrap();
    actor.ask(Received {}).await.unwrap();
    actor.ask(Commit { sin }).await.unwrap();
    // The log gets what a delivery did with the actor's next record.
    actor.ask(Received {}).await.unwrap();
    let other = runtime.actor::<Careless>("other").unwrap();
    let sent = match sin {
        Sin::MapOrder => 20,
        Sin::Clock | Sin::Global | Sin::Thread => 1,
        Sin::Order | Sin::More | Sin::Secret => 0,
    };
    let received = loop {
        let received = other.ask(Received {}).await.unwrap();
        if received.len() == sent {
            break received;
        }
    };
    store.crash();
    runtime.crash().await;
    (open(&store.reopen()).await, received)
}

/// Invariant: divergence-stops.
#[tokio::test(flavor = "multi_thread")]
async fn class_13_a_replay_that_differs_is_reported_with_its_position() {
    for sin in [Sin::MapOrder, Sin::Clock, Sin::Global, Sin::Thread, Sin::Order, Sin::More] {
        let (runtime, received) = sinned(sin).await;
        let failed = runtime.failed_actors();
        assert_eq!(failed.len(), 1, "{sin:?}");
        let halt = &failed[0].halt;
        let HaltReason::Divergence(divergence) = &halt.reason else { panic!("{sin:?}: {}", failed[0]) };
        assert_eq!((halt.actor.as_str(), halt.rsn), ("careless/sinner", Rsn::new(2)), "{sin:?}");
        assert_ne!(divergence.expected, divergence.found, "{sin:?}");
        let sinner = runtime.actor::<Careless>("sinner").unwrap();
        let refused = sinner.tell(Received {}).await.unwrap_err();
        assert!(
            matches!(refused.reason, Refused::Unavailable(Unavailable::Actor(_))),
            "{sin:?}: {}",
            refused.reason
        );
        let other = runtime.actor::<Careless>("other").unwrap();
        assert_eq!(other.ask(Received {}).await.unwrap(), received, "{sin:?}: nothing more was released");
        assert!(runtime.quarantined().is_empty(), "{sin:?}: no delivery is left out for a fault of the code");
        runtime.shutdown().await.unwrap();
    }
}

/// The limit of a comparison of effects: it does not see what stays inside the state.
#[tokio::test(flavor = "multi_thread")]
async fn class_13_what_only_the_state_shows_is_not_noticed() {
    let (runtime, _) = sinned(Sin::Secret).await;
    assert!(runtime.failed_actors().is_empty());
    runtime.shutdown().await.unwrap();
}
