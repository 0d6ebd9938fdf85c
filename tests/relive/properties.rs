//! Compares random runs with crashes at random points with the run without crashes.

use proptest::prelude::*;
use relive::{Receipted, Runtime};
use relive_storage::simulated_store::{Call, Crash, Fault, Moment, SimulatedDisk, Unsynced};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::actors::{Account, Deposit, Transfer, account, builder, show};

#[derive(Clone, Debug)]
enum Op {
    Deposit { to: u8, cents: i64 },
    Transfer { from: u8, to: u8, cents: i64 },
    Checkpoint { of: u8 },
    Cut,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let actor = 0..4_u8;
    prop_oneof![
        4 => (actor.clone(), 1..100_i64).prop_map(|(to, cents)| Op::Deposit { to, cents }),
        4 => (actor.clone(), actor.clone(), 1..100_i64)
            .prop_map(|(from, to, cents)| Op::Transfer { from, to, cents }),
        1 => actor.prop_map(|of| Op::Checkpoint { of }),
        1 => Just(Op::Cut),
        1 => Just(Op::Restart),
    ]
}

fn moment() -> impl Strategy<Value = Moment> {
    prop_oneof![Just(Moment::Before), Just(Moment::Torn), Just(Moment::After)]
}

/// The final balances of the accounts, by arithmetic alone.
fn expected(ops: &[Op]) -> BTreeMap<u8, i64> {
    let mut cents = BTreeMap::from([(0, 0), (1, 0), (2, 0), (3, 0)]);
    for op in ops {
        match op {
            Op::Deposit { to, cents: amount } => *cents.entry(*to).or_default() += amount,
            Op::Transfer { from, to, cents: amount } => {
                *cents.entry(*from).or_default() -= amount;
                *cents.entry(*to).or_default() += amount;
            }
            _ => {}
        }
    }
    cents
}

/// Sends the operations from the first one on, as a producer does after a crash. Ends when the
/// store fails.
async fn feed(runtime: &Runtime, ops: &[Op]) -> Option<Runtime> {
    let mut producer = runtime.producer("feed").unwrap();
    let mut receipts = Vec::new();
    for op in ops {
        let told = match op {
            Op::Deposit { to, cents } => {
                producer.tell(&account(runtime, &to.to_string()), Deposit { cents: *cents }).await.ok()
            }
            Op::Transfer { from, to, cents } => {
                let transfer = Transfer { to: to.to_string(), cents: *cents };
                producer.tell(&account(runtime, &from.to_string()), transfer).await.ok()
            }
            Op::Checkpoint { of } => {
                account(runtime, &of.to_string()).checkpoint().await.ok()?;
                continue;
            }
            Op::Cut => {
                runtime.cut_log().await.ok()?;
                continue;
            }
            Op::Restart => continue,
        };
        receipts.push(told?);
    }
    for receipt in receipts {
        let receipted = receipt.durable().await.ok()?;
        assert!(matches!(receipted, Receipted::Logged(_) | Receipted::Duplicate));
    }
    None
}

async fn run(ops: &[Op], crashes: &[(u64, Moment)], seed: u64) -> (BTreeMap<u8, i64>, Vec<Account>) {
    let disk = SimulatedDisk::new(seed);
    for (crash, moment) in crashes {
        let fault = Fault::Crash(Crash { moment: *moment, unsynced: Unsynced::Drawn });
        disk.plan(fault, Call::Any, disk.calls(Call::Any) + crash);
        if let Ok(runtime) = builder().open_on(Arc::new(disk.open())).await {
            feed(&runtime, ops).await;
            runtime.crash().await;
        }
        disk.plan_nothing();
        disk.lose_power(Unsynced::Drawn);
    }
    let parts = ops.split(|op| matches!(op, Op::Restart)).count();
    for _ in 0..parts.min(3) {
        let runtime = builder().open_on(Arc::new(disk.open())).await.unwrap();
        feed(&runtime, ops).await;
        runtime.shutdown().await.unwrap();
    }
    let runtime = builder().open_on(Arc::new(disk.open())).await.unwrap();
    let mut found = BTreeMap::new();
    let mut states = Vec::new();
    for key in 0..4_u8 {
        let state = show(&runtime, &key.to_string()).await;
        found.insert(key, state.cents);
        states.push(state);
    }
    runtime.crash().await;

    // Invariant: one-step. The same state comes back from the store, with or without replay.
    let runtime = builder().open_on(Arc::new(disk.open())).await.unwrap();
    for (key, state) in states.iter().enumerate() {
        assert_eq!(&show(&runtime, &key.to_string()).await, state);
    }
    runtime.crash().await;
    (found, states)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Invariants: prefix, exactly-once inside, checkpoint-covers-log. A random run that loses
    /// power at random calls of the store, again and again, ends like the run without crashes.
    #[test]
    fn a_run_with_crashes_ends_as_the_run_without(
        ops in prop::collection::vec(op(), 1..40),
        crashes in prop::collection::vec((1..80_u64, moment()), 0..5),
        seed: u64,
    ) {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (found, states) = tokio.block_on(run(&ops, &crashes, seed));
        prop_assert_eq!(found, expected(&ops));
        for state in states {
            prop_assert_eq!(state.cents, state.history.iter().sum::<i64>());
        }
    }
}
