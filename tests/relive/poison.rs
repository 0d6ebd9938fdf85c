//! Classes 11 and 12: messages on which an actor keeps failing, also by ending the process: it
//! aborts, its stack overflows, or it never ends and gets killed. By a decision in the log the
//! actor leaves such messages out. They stay where callers can see, retry and drop them. No other
//! actor is affected.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use relive::{
    Actor, AskError, Context, Durability, ErrorKind, Handle, Message, QuarantineError, Quarantined, Rsn,
    Runtime,
};
use relive_storage::MemoryStore;
use relive_storage::boundary::OnBoundary;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::actors::{ChargeTwice, Deposit, Panic, account, crash_and_reopen, happened, open_on, show};
use crate::medium;

async fn refused_into_quarantine(runtime: &Runtime, key: &str, poison: Panic) -> Arc<Quarantined> {
    let error = account(runtime, key).ask(poison).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    match error {
        AskError::Quarantined(entry) => entry,
        error => panic!("{error}"),
    }
}

/// The decision and the message survive crashes, checkpoints and cuts.
#[tokio::test(flavor = "multi_thread")]
async fn class_12_a_delivery_that_keeps_panicking_is_left_out_for_good() {
    let what = "class_12_a_delivery_that_keeps_panicking_is_left_out_for_good";
    let store = MemoryStore::new();
    let runtime = open_on(store.clone()).await;
    let alice = account(&runtime, "alice");
    alice.ask(Deposit { cents: 5 }).await.unwrap();
    let poison = Panic { what: what.to_owned(), times: u64::MAX };
    let entry = refused_into_quarantine(&runtime, "alice", poison).await;
    assert_eq!((entry.actor.as_str(), entry.rsn, entry.tries), ("account/alice", Rsn::new(2), 3));
    assert!(entry.reason.contains("told to panic"), "{}", entry.reason);
    alice.ask(Deposit { cents: 7 }).await.unwrap();
    assert_eq!(show(&runtime, "alice").await.history, [5, 7]);
    assert_eq!(runtime.stats().quarantined, 1);
    let mut runtime = runtime;
    let mut store = store;
    for round in 0..4 {
        if round % 2 == 1 {
            // In one round the decision comes back from the log, in the other from a checkpoint.
            account(&runtime, "alice").checkpoint().await.unwrap();
            account(&runtime, "alice").checkpoint().await.unwrap();
            runtime.cut_log().await.unwrap();
        }
        (runtime, store) = crash_and_reopen(runtime, &store).await;
        assert_eq!(runtime.quarantined(), [Arc::clone(&entry)], "round {round}");
        assert_eq!(show(&runtime, "alice").await.history, [5, 7]);
    }
    assert_eq!(happened(what), 3, "it is not tried again");
    assert!(runtime.failed_actors().is_empty());
    assert_eq!(show(&runtime, "bystander").await.history, [0; 0], "nothing of it was released");
    runtime.shutdown().await.unwrap();
}

/// A retry is a new delivery, and a delivery that has left the quarantine stays out of it.
#[tokio::test(flavor = "multi_thread")]
async fn class_12_what_is_in_quarantine_can_be_tried_again_or_dropped() {
    let store = MemoryStore::new();
    let mut runtime = open_on(store.clone()).await;
    let mut store = store;
    let mut entries = Vec::new();
    for name in ["retried", "dropped", "poison still"] {
        let what = format!("class_12_what_is_in_quarantine {name}");
        let times = if name == "retried" { 3 } else { u64::MAX };
        entries.push(refused_into_quarantine(&runtime, "alice", Panic { what, times }).await);
    }
    // Other actors have their own entries in the list.
    let what = "class_12_what_is_in_quarantine bob".to_owned();
    entries.push(refused_into_quarantine(&runtime, "bob", Panic { what, times: u64::MAX }).await);
    assert_eq!(runtime.quarantined(), entries);

    assert_eq!(runtime.retry_quarantined(&entries[0]).await.unwrap(), Rsn::new(4));
    runtime.drop_quarantined(&entries[1]).await.unwrap();
    let delivered = runtime.retry_quarantined(&entries[2]).await.unwrap();
    for entry in &entries[..3] {
        let again = runtime.retry_quarantined(entry).await.unwrap_err();
        assert!(
            matches!(&again, QuarantineError::NotQuarantined { rsn, .. } if *rsn == entry.rsn),
            "{again}"
        );
    }
    assert_eq!(show(&runtime, "alice").await.history, [1]);
    for round in 0..3 {
        let left: Vec<_> =
            runtime.quarantined().iter().map(|entry| (entry.actor.to_string(), entry.rsn)).collect();
        let expected = [("account/alice".to_owned(), delivered), ("account/bob".to_owned(), Rsn::new(1))];
        assert_eq!(left, expected, "round {round}");
        if round == 1 {
            account(&runtime, "alice").checkpoint().await.unwrap();
        }
        (runtime, store) = crash_and_reopen(runtime, &store).await;
        assert_eq!(show(&runtime, "alice").await.history, [1]);
    }
    assert_eq!(show(&runtime, "bystander").await.cents, 1);
    runtime.shutdown().await.unwrap();
}

/// A checkpoint older than the discharge does not bring the delivery back.
#[tokio::test(flavor = "multi_thread")]
async fn class_12_a_discharge_after_the_checkpoint_is_not_forgotten() {
    let store = MemoryStore::new();
    let runtime = open_on(store.clone()).await;
    let what = "class_12_a_discharge_after_the_checkpoint".to_owned();
    let entry = refused_into_quarantine(&runtime, "alice", Panic { what, times: u64::MAX }).await;
    account(&runtime, "alice").checkpoint().await.unwrap();
    runtime.drop_quarantined(&entry).await.unwrap();
    account(&runtime, "bob").ask(Deposit { cents: 1 }).await.unwrap();
    runtime.cut_log().await.unwrap();
    let (runtime, _store) = crash_and_reopen(runtime, &store).await;
    assert!(runtime.quarantined().is_empty());
    let gone = runtime.drop_quarantined(&entry).await.unwrap_err();
    assert!(matches!(gone, QuarantineError::NotQuarantined { .. }), "{gone}");
    runtime.shutdown().await.unwrap();
}

/// A handler that waits long for something outside does not count as the cause, however often the
/// process ends.
#[tokio::test(flavor = "multi_thread")]
async fn class_12_a_handler_that_waits_is_not_blamed() {
    let what = "stuck class_12_a_handler_that_waits";
    let mut store = MemoryStore::new();
    let mut runtime = open_on(store.clone()).await;
    // The second side effect never ends the first time.
    let alice = account(&runtime, "alice");
    let mut asks = vec![tokio::spawn(async move { alice.ask(ChargeTwice { what: what.to_owned() }).await })];
    while happened(&format!("{what}-second")) == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..8 {
        // Other actors are stuck in the same way, so that each opening has something to complete.
        let name = format!("stuck {} of {what}", asks.len());
        let actor = account(&runtime, &format!("other-{}", asks.len()));
        let message = ChargeTwice { what: name.clone() };
        asks.push(tokio::spawn(async move { actor.ask(message).await }));
        while happened(&format!("{name}-second")) == 0 {
            tokio::task::yield_now().await;
        }
        (runtime, store) = crash_and_reopen(runtime, &store).await;
    }
    account(&runtime, "alice").ask(Deposit { cents: 1 }).await.unwrap();
    assert!(runtime.quarantined().is_empty());
    for ask in asks {
        assert!(ask.await.unwrap().is_err(), "its runtime has ended");
    }
    runtime.shutdown().await.unwrap();
}

#[derive(Serialize, Deserialize, Default)]
struct Fragile {
    handled: Vec<u64>,
}

impl Actor for Fragile {
    const KIND: &'static str = "fragile";
    fn create(_key: &str) -> Self {
        Self::default()
    }
}

#[derive(Serialize, Deserialize)]
struct Carry {
    number: u64,
    how: String,
}

impl Message for Carry {
    const NAME: &'static str = "carry";
    type Reply = u64;
}

#[derive(Serialize, Deserialize)]
struct Handled {}

impl Message for Handled {
    const NAME: &'static str = "handled";
    type Reply = Vec<u64>;
}

impl Handle<Carry> for Fragile {
    async fn handle(&mut self, message: Carry, cx: &mut Context<'_>) -> u64 {
        match message.how.as_str() {
            "abort" => std::process::abort(),
            "overflow" => {
                overflow(message.number);
            }
            "loop" => {
                println!("{LOOPING}");
                loop {
                    std::thread::park();
                }
            }
            // Not the code that handled it first.
            "abort later" if std::env::var(ABORTS).is_ok() => std::process::abort(),
            "abort in a side effect" => cx.side_effect("break", || async { std::process::abort() }).await,
            _ => {}
        }
        self.handled.push(message.number);
        message.number
    }
}

impl Handle<Handled> for Fragile {
    async fn handle(&mut self, _message: Handled, _cx: &mut Context<'_>) -> Vec<u64> {
        self.handled.clone()
    }
}

/// Uses up the stack, whatever the optimizer does.
fn overflow(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 1024]);
    if depth == u64::MAX { 0 } else { overflow(depth + 1) + std::hint::black_box(room)[3] }
}

const CHILD: &str = "RELIVE_POISON_CHILD";
const ABORTS: &str = "RELIVE_POISON_ABORTS";
const EXITS: &str = "RELIVE_POISON_EXITS";
/// The line by which the parent knows that a child hangs.
const LOOPING: &str = "it never ends";
const ACTORS: u64 = 6;

/// The process that ends: sends on its first run, then only opens. Prints what the actors have
/// handled when everything is done.
#[test]
fn child() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let how = std::env::var("RELIVE_POISON_HOW").unwrap();
    let first = std::env::var("RELIVE_POISON_FIRST").is_ok();
    let settled = Arc::new(Notify::new());
    let through = Arc::clone(&settled);
    let on_boundary = OnBoundary(move |name| {
        if name == "recovery.complete" {
            through.notify_one();
        }
    });
    tracing::subscriber::set_global_default(on_boundary).unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    tokio.block_on(async {
        let builder = medium::runtime().actor::<Fragile>(|a| a.handles::<Carry>().handles::<Handled>());
        let runtime = builder.durability(Durability::ProcessCrash).open(path).await.unwrap();
        println!("opened in probation: {}", runtime.recovery().in_probation);
        if first {
            // Everything is on stable storage before any actor handles the poison, which stands in
            // the middle.
            let tells = (0..60).map(|number| {
                let actor = runtime.actor::<Fragile>(&(number % ACTORS).to_string()).unwrap();
                let how = if number == 27 { how.clone() } else { String::new() };
                async move { actor.tell(Carry { number, how }).await.map(|receipt| (receipt, actor)) }
            });
            let mut receipts = Vec::new();
            for tell in tells {
                receipts.push(tell.await.unwrap());
            }
            for (receipt, _) in receipts {
                receipt.durable().await.unwrap();
                println!("acknowledged");
            }
        }
        for actor in 0..ACTORS {
            let actor = runtime.actor::<Fragile>(&actor.to_string()).unwrap();
            match actor.ask(Handled {}).await {
                Ok(handled) => println!("handled {handled:?}"),
                Err(error) => println!("refused {error}"),
            }
        }
        for entry in runtime.quarantined() {
            println!("quarantined {} {} {}", entry.actor, entry.tries, entry.reason);
        }
        println!("done");
        if std::env::var(EXITS).is_ok() {
            // A process that ends before the log says so counts as one that did not complete what
            // it had found.
            if std::env::var(ABORTS).is_ok() {
                settled.notified().await;
            }
            std::process::exit(0);
        }
        runtime.shutdown().await.unwrap();
    });
}

fn run_child(path: &Path, how: &str, first: bool) -> (bool, String) {
    run_child_with(path, how, first, &[])
}

fn run_child_with(path: &Path, how: &str, first: bool, variables: &[&str]) -> (bool, String) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["poison::child", "--exact", "--nocapture"]).env(CHILD, path).env("RELIVE_POISON_HOW", how);
    child.envs(variables.iter().map(|variable| (variable, "1")));
    if first {
        child.env("RELIVE_POISON_FIRST", "1");
    }
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut output = String::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains(LOOPING) {
            child.kill().unwrap();
        }
        output.push_str(&line);
        output.push('\n');
    }
    (child.wait().unwrap().success(), output)
}

/// Invariant: bounded. After the tries that the policy allows the loop of ends stops. The actor
/// leaves out exactly the poison, and actors handle every other acknowledged message once.
#[test]
fn class_12_a_delivery_that_ends_the_process_is_left_out() {
    for how in ["abort", "overflow", "abort in a side effect", "loop"] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        let mut ends = 0;
        let mut acknowledged = 0;
        let last = loop {
            let (survived, output) = run_child(&path, how, ends == 0);
            acknowledged += output.matches("acknowledged").count();
            if survived {
                break output;
            }
            ends += 1;
            assert!(ends <= 6, "{how}: it goes on after {ends} ends: {output}");
        };
        println!("{how}: {ends} ends, {acknowledged} acknowledged of 60\n{last}");
        assert!(last.contains("done"), "{how}: {last}");
        let quarantined: Vec<_> = last.lines().filter(|line| line.contains("quarantined fragile")).collect();
        assert_eq!(quarantined.len(), 1, "{how}: {last}");
        assert!(quarantined[0].starts_with("quarantined fragile/3 3 the process ended 3 times"), "{last}");
        let handled: Vec<u64> = last
            .lines()
            .filter_map(|line| line.split_once("handled [")?.1.strip_suffix(']'))
            .flat_map(|numbers| numbers.split(", ").filter_map(|number| number.parse().ok()))
            .collect();
        let mut sorted = handled.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), handled.len(), "{how}: nothing is handled twice");
        assert!(!handled.contains(&27), "{how}");
        assert!(handled.len() + 1 >= acknowledged, "{how}: {acknowledged} acknowledged, {handled:?}");
        // One more opening is like that of any other store.
        let (survived, output) = run_child(&path, how, false);
        assert!(survived && output.contains("in probation: false"), "{how}: {output}");
        assert!(output.contains("quarantined fragile/3 3"), "{how}: {output}");
    }
}

/// Class 27: a delivery that was certainly handled ends the process when other code replays it. The
/// runtime finds its actor and leaves it alone, serves the others, and puts nothing into
/// quarantine. Code that can replay the delivery finds everything unchanged.
#[test]
fn class_27_a_replay_that_ends_the_process_stops_its_actor_alone() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("data");
    let (survived, first) = run_child_with(&path, "abort later", true, &[EXITS]);
    assert!(survived && first.matches("handled [").count() == 6, "{first}");
    let (survived, before) = run_child_with(&path, "abort later", false, &[EXITS]);
    assert!(survived, "{before}");
    for round in 0..2 {
        let mut ends = 0;
        let last = loop {
            let (survived, output) = run_child_with(&path, "abort later", false, &[ABORTS, EXITS]);
            if survived {
                break output;
            }
            ends += 1;
            assert!(ends <= 5, "round {round}: it goes on after {ends} ends: {output}");
        };
        println!("round {round}: {ends} ends\n{last}");
        assert!(ends >= 3, "round {round}: {last}");
        assert_eq!(last.matches("handled [").count(), 5, "{last}");
        let refused: Vec<_> = last.lines().filter(|line| line.contains("refused ")).collect();
        assert_eq!(refused.len(), 1, "{last}");
        assert!(
            refused[0].contains("fragile/3 is stopped, the replay of what it had handled failed"),
            "{last}"
        );
        assert!(refused[0].contains("had handled up to"), "{last}");
        assert!(!last.contains("quarantined"), "{last}");
    }
    let (survived, after) = run_child(&path, "abort later", false);
    assert!(survived, "{after}");
    assert_eq!(lines(&after), lines(&before));
    let (survived, after) = run_child_with(&path, "abort later", false, &[ABORTS]);
    assert!(survived, "a shutdown has left nothing to replay: {after}");
    assert_eq!(lines(&after), lines(&before));
}

/// Class 27: a process that is killed in a replay looks like one that the replay has ended. It
/// takes as many such ends as a delivery has tries, so that no kill from outside stops an
/// actor.
#[test]
fn class_27_a_few_ends_in_a_replay_stop_nobody() {
    for few in 1..=3 {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        let (survived, first) = run_child_with(&path, "abort later", true, &[EXITS]);
        assert!(survived && first.matches("handled [").count() == 6, "{first}");
        for end in 0..few {
            let (survived, output) = run_child_with(&path, "abort later", false, &[ABORTS, EXITS]);
            assert!(!survived, "{few} ends, {end}: {output}");
        }
        let (survived, after) = run_child(&path, "abort later", false);
        assert!(survived && !after.contains("refused "), "{few} ends: {after}");
        assert_eq!(after.matches("handled [").count(), 6, "{few} ends: {after}");
    }
}

/// What the actors had handled, as printed by a child.
fn lines(output: &str) -> Vec<String> {
    output.lines().filter(|line| line.contains("handled [")).map(str::to_owned).collect()
}
