//! Losses of power at every call of a small run in which handlers query each other. The oracle:
//! whatever a node has learned it keeps, and an answer shows nothing that a crash takes back.

use std::sync::Arc;
use std::time::Duration;

use relive::{Discipline, RestartPolicy, Runtime};
use relive_storage::simulated_store::{Call, Crash, Fault, Moment, SimulatedDisk, Unsynced};

use crate::programs::{Node, Op, Run, ask, builder_with, node};

/// The programs of a run, each for a node. The producer sends all of them in each life.
fn programs() -> Vec<(&'static str, Vec<Op>)> {
    let query = |of: &str| Op::Query(of.to_owned());
    let effect = || Op::Effect("queries: crashes".to_owned(), 1);
    let boxed = |of: &str| Box::new(query(of));
    vec![
        ("b", vec![Op::Give(1), Op::Give(1)]),
        ("a", vec![query("b"), effect(), ask("b", vec![Op::Give(1), query("c")]), query("b")]),
        ("c", vec![Op::Tell("b".to_owned(), vec![Op::Give(1)]), query("b"), query("a")]),
        ("a", vec![Op::Join(boxed("b"), boxed("c")), Op::Race(boxed("b"), boxed("c")), query("a")]),
        ("b", vec![Op::Give(1), query("a"), effect()]),
    ]
}

const NODES: [&str; 3] = ["a", "b", "c"];

async fn open(disk: &SimulatedDisk, discipline: Discipline) -> Option<Runtime> {
    let restarts = RestartPolicy::default().backoff(Duration::ZERO);
    builder_with(discipline).restarts(restarts).open_on(Arc::new(disk.open())).await.ok()
}

/// Does all, and returns the states; `None` when the power is lost.
async fn run(runtime: &Runtime) -> Option<Vec<Node>> {
    let mut producer = runtime.producer("feed").unwrap();
    let mut receipts = Vec::new();
    for (to, program) in programs() {
        receipts.push(producer.tell(&node(runtime, to), Run(program)).await.ok()?);
    }
    for receipt in receipts {
        receipt.durable().await.ok()?;
    }
    node(runtime, "b").checkpoint().await.ok()?;
    states(runtime).await
}

async fn states(runtime: &Runtime) -> Option<Vec<Node>> {
    let mut states = Vec::new();
    for key in NODES {
        states.push(node(runtime, key).ask(crate::programs::Show).await.ok()?);
    }
    Some(states)
}

/// Whether each state goes on from the one before.
fn check_goes_on(before: &[Node], after: &[Node]) {
    for (before, after) in before.iter().zip(after) {
        assert!(after.learned.starts_with(&before.learned), "{before:?}, then {after:?}");
        assert!(after.shown.starts_with(&before.shown), "{before:?}, then {after:?}");
        assert!(after.unanswered.starts_with(&before.unanswered), "{before:?}, then {after:?}");
    }
}

/// Loses power at these calls, one after the other, and then does all once more.
async fn judge(crashes: &[(u64, Crash)], discipline: Discipline, seed: u64) {
    let disk = SimulatedDisk::new(seed);
    let mut known: Option<Vec<Node>> = None;
    for (nth, crash) in crashes {
        disk.plan(Fault::Crash(*crash), Call::Any, disk.calls(Call::Any) + nth);
        if let Some(runtime) = open(&disk, discipline).await {
            if let Some(states) = run(&runtime).await {
                known.iter().for_each(|before| check_goes_on(before, &states));
                known = Some(states);
            }
            runtime.crash().await;
        }
        disk.plan_nothing();
        disk.lose_power(crash.unsynced);
    }
    let runtime = open(&disk, discipline).await.unwrap();
    let states = run(&runtime).await.unwrap();
    known.iter().for_each(|before| check_goes_on(before, &states));
    assert!(runtime.failed_actors().is_empty(), "{:?}", runtime.failed_actors());
    assert!(runtime.shutdown().await.unwrap().left.is_empty());
    let runtime = open(&disk, discipline).await.unwrap();
    assert_eq!(runtime.recovery().replayed, 0);
    let rested = self::states(&runtime).await.unwrap();
    check_goes_on(&states, &rested);
    for state in &rested {
        for (of, much) in &state.shown {
            let at = NODES.iter().position(|key| key == of).unwrap();
            let is = rested[at].learned.len() as u64;
            assert!(*much <= is, "{of} has learned {is}, and {much} of it were shown");
        }
    }
    let learned: Vec<_> = rested.iter().map(|state| state.learned.len()).collect();
    assert_eq!(learned, [7, 8, 3], "each program has run once");
    runtime.shutdown().await.unwrap();
}

/// All losses of power at each call, and some that come twice.
fn every_call(discipline: Discipline) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let calls = tokio.block_on(async {
        let disk = SimulatedDisk::new(0);
        let runtime = open(&disk, discipline).await.unwrap();
        run(&runtime).await.unwrap();
        runtime.crash().await;
        disk.calls(Call::Any)
    });
    assert!(calls > 10, "{calls} calls");
    for nth in 1..=calls {
        for moment in [Moment::Before, Moment::Torn, Moment::After] {
            let crash = (nth, Crash { moment, unsynced: Unsynced::Drawn });
            println!("{discipline:?}: {crash:?}");
            tokio.block_on(judge(&[crash], discipline, nth));
            if moment == Moment::Torn {
                tokio.block_on(judge(&[crash, crash], discipline, nth + calls));
            }
        }
    }
    println!("{calls} calls, {discipline:?}");
}

/// Invariants: no-orphan, divergence-stops.
#[test]
fn every_call_of_a_run_with_queries() {
    every_call(Discipline::BeforeHandling);
}

/// The same of actors that wait for their outputs alone.
#[test]
fn every_call_of_a_run_with_queries_before_output() {
    every_call(Discipline::BeforeOutput);
}
