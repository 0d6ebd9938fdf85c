//! What a program provides to its handlers: live and in a replay, and what follows when it is
//! missing. Settings that are missing never change what was acknowledged.

use std::path::Path;
use std::sync::Arc;

use relive::{
    Actor, ActorFailure, ActorRef, Builder, Context, Durability, ErrorKind, FailureCause, HaltReason, Handle,
    OpenError, Runtime, Unavailable,
};
use serde::{Deserialize, Serialize};

use crate::actors::{happen, happened};
use crate::medium;

/// A service outside. The program that runs decides which one it is.
trait Bank: Send + Sync {
    fn charge(&self, key: &str, cents: u64) -> u64;
}

/// Charges a fee, and counts its charges under a name.
struct Charging {
    fee: u64,
    counts: &'static str,
}

impl Bank for Charging {
    fn charge(&self, key: &str, cents: u64) -> u64 {
        assert!(key.contains("till/"));
        happen(self.counts);
        cents + self.fee
    }
}

/// A setting.
struct Rate(u64);

#[derive(Serialize, Deserialize, Default)]
struct Till {
    charged: Vec<u64>,
}

impl Actor for Till {
    const KIND: &'static str = "till";

    fn create(_key: &str) -> Self {
        Self::default()
    }
}

// Counts its tries under a name.
message!(Pay { cents: u64, tries: String }, "pay", u64);
message!(Charged {}, "charged", Vec<u64>);

impl Handle<Pay> for Till {
    async fn handle(&mut self, message: Pay, cx: &mut Context<'_>) -> u64 {
        let Pay { cents, tries } = message;
        happen(&tries);
        // Both are used while side effects borrow the context.
        let (bank, rate) = (cx.dependency::<Arc<dyn Bank>>(), cx.dependency::<Rate>());
        let charge = |key: String| async move { bank.charge(&key, cents * rate.0) };
        let charged = cx.keyed_side_effect("charge", charge).await;
        self.charged.push(charged);
        charged
    }
}

impl Handle<Charged> for Till {
    async fn handle(&mut self, _message: Charged, _cx: &mut Context<'_>) -> Vec<u64> {
        self.charged.clone()
    }
}

/// A program that may provide things.
fn builder() -> Builder {
    let builder = medium::runtime().actor::<Till>(|till| till.handles::<Pay>().handles::<Charged>());
    builder.durability(Durability::ProcessCrash)
}

fn bank(fee: u64, counts: &'static str) -> Arc<dyn Bank> {
    Arc::new(Charging { fee, counts })
}

async fn open_with(path: &Path, bank: Arc<dyn Bank>) -> Runtime {
    builder().provide(bank).provide(Rate(2)).open(path).await.unwrap()
}

fn till(runtime: &Runtime, key: &str) -> ActorRef<Till> {
    runtime.actor(key).unwrap()
}

fn pay(cents: u64, tries: &str) -> Pay {
    Pay { cents, tries: tries.to_owned() }
}

async fn charged(runtime: &Runtime, key: &str) -> Vec<u64> {
    till(runtime, key).ask(Charged {}).await.unwrap()
}

/// Waits until the one actor has failed.
async fn failure(runtime: &Runtime) -> Arc<ActorFailure> {
    loop {
        if let [failure] = &runtime.failed_actors()[..] {
            return Arc::clone(failure);
        }
        tokio::task::yield_now().await;
    }
}

fn lacks_the_bank(failure: &ActorFailure) {
    let HaltReason::MissingDependency { message, dependency } = &failure.halt.reason else {
        panic!("{failure}")
    };
    assert_eq!(message, "pay");
    assert!(dependency.contains("Bank"), "{dependency}");
    assert_eq!(failure.kind(), ErrorKind::Reopen);
}

/// Invariant: one-step. A handler has what is provided, live and in a replay. A replay of a side
/// effect asks nobody, and later ones ask what this opening provides.
#[tokio::test(flavor = "multi_thread")]
async fn handlers_have_what_is_provided_live_and_in_a_replay() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = open_with(&path, bank(1, "first bank")).await;
    assert_eq!(till(&runtime, "a").ask(pay(10, "provided")).await.unwrap(), 21);
    runtime.crash().await;
    let runtime = open_with(&path, bank(5, "second bank")).await;
    assert_eq!((runtime.recovery().replayed, happened("provided")), (1, 2));
    assert_eq!(charged(&runtime, "a").await, [21]);
    assert_eq!((happened("first bank"), happened("second bank")), (1, 0));
    assert_eq!(till(&runtime, "a").ask(pay(10, "provided")).await.unwrap(), 25);
    assert_eq!((happened("first bank"), happened("second bank")), (1, 1));
    runtime.shutdown().await.unwrap();
}

/// What is missing at its use stops the actor: the delivery is tried once, is not in quarantine,
/// and is handled as soon as an opening provides what it needs. The others are served.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_lacks_something_stops_its_actor_until_it_is_provided() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = builder().provide(Rate(2)).open(&path).await.unwrap();
    let error = till(&runtime, "a").ask(pay(10, "lacking")).await.unwrap_err();
    let Some(Unavailable::Actor(failed)) = error.unavailable() else { panic!("{error}") };
    lacks_the_bank(failed);
    assert_eq!((failed.cause, failed.tries), (FailureCause::Delivery, 1));
    assert_eq!((happened("lacking"), runtime.quarantined().len()), (1, 0));
    assert_eq!(charged(&runtime, "b").await, [0; 0]);
    runtime.shutdown().await.unwrap();
    for opening in 1..=2 {
        let runtime = builder().provide(Rate(2)).open(&path).await.unwrap();
        let failed = failure(&runtime).await;
        lacks_the_bank(&failed);
        assert_eq!(failed.cause, FailureCause::Undecided);
        // The replay tries it, and then the actor does, once each.
        assert_eq!((happened("lacking"), runtime.quarantined().len()), (1 + 2 * opening, 0));
        // Waits for the record that the recovery is complete.
        runtime.shutdown().await.unwrap();
    }
    let runtime = open_with(&path, bank(1, "late bank")).await;
    assert_eq!(charged(&runtime, "a").await, [21]);
    assert_eq!((happened("late bank"), runtime.quarantined().len()), (1, 0));
    runtime.shutdown().await.unwrap();
}

/// Invariant: divergence-stops. What was handled is not handled otherwise, and not left out, when a
/// replay lacks what it had.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_lacks_something_leaves_the_history_alone() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = open_with(&path, bank(1, "lost bank")).await;
    for cents in [10, 20] {
        till(&runtime, "a").ask(pay(cents, "replayed")).await.unwrap();
    }
    runtime.crash().await;
    let runtime = builder().provide(Rate(2)).open(&path).await.unwrap();
    let failed = failure(&runtime).await;
    lacks_the_bank(&failed);
    assert_eq!((failed.cause, failed.halt.rsn.get()), (FailureCause::Replay, 1));
    assert_eq!(runtime.quarantined().len(), 0);
    assert_eq!(charged(&runtime, "b").await, [0; 0]);
    runtime.crash().await;
    let runtime = open_with(&path, bank(7, "other bank")).await;
    assert_eq!(charged(&runtime, "a").await, [21, 41]);
    assert_eq!((happened("lost bank"), happened("other bank")), (2, 0));
    runtime.shutdown().await.unwrap();
}

/// A declared need is checked before anything runs: there is no store afterwards.
#[tokio::test]
async fn an_opening_says_what_is_missing_before_anything_runs() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let needing = || medium::runtime().actor::<Till>(|till| till.handles::<Pay>().needs::<Rate>());
    let error = needing().open(&path).await.unwrap_err();
    let OpenError::MissingDependency { kind: "till", dependency } = &error else { panic!("{error}") };
    assert!(dependency.ends_with("Rate"), "{dependency}");
    assert_eq!(error.kind(), ErrorKind::Input);
    let error = needing().provide(Rate(1)).provide(Rate(2)).open(&path).await.unwrap_err();
    let OpenError::DependencyTwice { dependency } = &error else { panic!("{error}") };
    assert!(dependency.ends_with("Rate"), "{dependency}");
    assert!(!path.exists());
    needing().provide(Rate(1)).open(&path).await.unwrap().shutdown().await.unwrap();
}

/// A program that lacks a setting, notices it at once and ends, again and again: as a service does
/// that somebody has set up wrong. The ends don't count against the delivery, which is handled as
/// soon as the setting is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ends_when_it_lacks_something_leaves_the_history_alone() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = builder().provide(Rate(2)).open(&path).await.unwrap();
    till(&runtime, "a").tell(pay(10, "ends")).await.unwrap().durable().await.unwrap();
    failure(&runtime).await;
    runtime.crash().await;
    for opening in 0..12 {
        let runtime = builder().provide(Rate(2)).open(&path).await.unwrap();
        let failed = failure(&runtime).await;
        lacks_the_bank(&failed);
        assert_eq!(runtime.quarantined().len(), 0, "opening {opening}");
        runtime.crash().await;
    }
    let runtime = open_with(&path, bank(1, "last bank")).await;
    assert_eq!(charged(&runtime, "a").await, [21]);
    runtime.shutdown().await.unwrap();
}
