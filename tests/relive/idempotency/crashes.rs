//! Losses of power at every call of a small run, and at random calls of random runs. The oracle is
//! arithmetic: each key counts once, and has one reply.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use relive::{Actor, ActorRef, AskError, Builder, Context, Handle, Message, Runtime};
use relive_storage::simulated_store::{Call, Crash, Fault, Moment, SimulatedDisk, Unsynced};
use serde::{Deserialize, Serialize};

/// Keeps what was booked, in order.
#[derive(Serialize, Deserialize)]
pub(crate) struct Till {
    booked: Vec<u64>,
    echoes: u64,
}

impl Actor for Till {
    const KIND: &'static str = "till";

    fn create(_: &str) -> Self {
        Self { booked: Vec::new(), echoes: 0 }
    }
}

/// Books a number. The reply is the sum so far, which no other order of the requests gives.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Book(u64);

impl Message for Book {
    const NAME: &'static str = "book";
    type Reply = u64;
}

impl Handle<Book> for Till {
    async fn handle(&mut self, Book(number): Book, _: &mut Context<'_>) -> u64 {
        self.booked.push(number);
        self.booked.iter().sum()
    }
}

/// All that was booked, and how often an echo was asked for.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Booked;

impl Message for Booked {
    const NAME: &'static str = "booked";
    type Reply = (Vec<u64>, u64);
}

impl Handle<Booked> for Till {
    async fn handle(&mut self, _: Booked, _: &mut Context<'_>) -> (Vec<u64>, u64) {
        (self.booked.clone(), self.echoes)
    }
}

/// Replies with a text of so many bytes, when it is encoded and long.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Echo(usize);

impl Message for Echo {
    const NAME: &'static str = "echo";
    type Reply = String;
}

impl Handle<Echo> for Till {
    async fn handle(&mut self, Echo(bytes): Echo, _: &mut Context<'_>) -> String {
        self.echoes += 1;
        "x".repeat(bytes.saturating_sub(5))
    }
}

pub(crate) fn builder() -> Builder {
    Runtime::builder().actor::<Till>(|till| till.handles::<Book>().handles::<Booked>().handles::<Echo>())
}

pub(crate) fn till(runtime: &Runtime) -> ActorRef<Till> {
    runtime.actor("a").unwrap()
}

pub(crate) async fn echo(runtime: &Runtime, key: &str, bytes: usize) -> Result<String, AskError<Echo>> {
    till(runtime).ask(Echo(bytes)).idempotency_key(key).await
}

pub(crate) async fn echoes(runtime: &Runtime) -> u64 {
    till(runtime).ask(Booked).await.unwrap().1
}

#[derive(Clone, Debug)]
enum Op {
    /// Asks under these keys, at the same time.
    Ask(Vec<u8>),
    Checkpoint,
    Cut,
}

/// What the callers know: the reply to each key that was ever answered.
type Replies = BTreeMap<u8, u64>;

/// The number that is booked under a key.
fn number(key: u8) -> u64 {
    1 << key
}

/// Asks under these keys at the same time. `None` when the power is lost meanwhile.
async fn ask(runtime: &Runtime, keys: &[u8], replies: &mut Replies) -> Option<()> {
    let asking: Vec<_> = keys
        .iter()
        .map(|key| {
            let (key, till) = (*key, till(runtime));
            let asked =
                async move { till.ask(Book(number(key))).idempotency_key(&format!("key {key}")).await };
            (key, tokio::spawn(asked))
        })
        .collect();
    let mut lost = false;
    for (key, asked) in asking {
        match asked.await.unwrap() {
            Ok(reply) => {
                let before = *replies.entry(key).or_insert(reply);
                assert_eq!(reply, before, "key {key} has one reply");
            }
            Err(error) => {
                assert!(error.unavailable().is_some(), "{error}");
                lost = true;
            }
        }
    }
    (!lost).then_some(())
}

/// Does the operations until the power is lost.
async fn run(runtime: &Runtime, ops: &[Op], replies: &mut Replies) -> Option<()> {
    for op in ops {
        match op {
            Op::Ask(keys) => ask(runtime, keys, replies).await?,
            Op::Checkpoint => drop(till(runtime).checkpoint().await.ok()?),
            Op::Cut => drop(runtime.cut_log().await.ok()?),
        }
    }
    Some(())
}

/// All keys that the operations ask under, each once.
fn keys(ops: &[Op]) -> Vec<u8> {
    let mut keys: Vec<u8> =
        ops.iter().flat_map(|op| if let Op::Ask(keys) = op { &keys[..] } else { &[] }).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Loses power at these calls, one after the other, and asks for all again in the end, twice.
async fn judge(ops: &[Op], crashes: &[(u64, Crash)], seed: u64) {
    let (disk, mut replies) = (SimulatedDisk::new(seed), Replies::new());
    for (nth, crash) in crashes {
        disk.plan(Fault::Crash(*crash), Call::Any, disk.calls(Call::Any) + nth);
        if let Ok(runtime) = builder().open_on(Arc::new(disk.open())).await {
            run(&runtime, ops, &mut replies).await;
            runtime.crash().await;
        }
        disk.plan_nothing();
        disk.lose_power(crash.unsynced);
    }
    let keys = keys(ops);
    for _ in 0..2 {
        let runtime = builder().open_on(Arc::new(disk.open())).await.unwrap();
        assert_eq!(runtime.recovery().failed.len(), 0);
        ask(&runtime, &keys, &mut replies).await.unwrap();
        let (booked, _) = till(&runtime).ask(Booked).await.unwrap();
        let mut sorted = booked.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, keys.iter().map(|key| number(*key)).collect::<Vec<_>>(), "each key once");
        let mut sum = 0;
        let sums: BTreeMap<u64, u64> = booked
            .iter()
            .map(|number| {
                sum += number;
                (*number, sum)
            })
            .collect();
        for (key, reply) in &replies {
            assert_eq!(sums[&number(*key)], *reply, "the reply to key {key} is that of its effect");
        }
        runtime.crash().await;
        disk.lose_power(Unsynced::Kept);
    }
}

const MOMENTS: [Moment; 3] = [Moment::Before, Moment::Torn, Moment::After];

/// Invariants: exactly-once inside, checkpoint-covers-log. The power goes at every call of a small
/// run, and again at the same call of the run that follows.
#[test]
fn every_call_of_a_small_run() {
    let ops = [
        Op::Ask(vec![1]),
        Op::Ask(vec![2, 2, 1]),
        Op::Checkpoint,
        Op::Ask(vec![1, 3]),
        Op::Checkpoint,
        Op::Cut,
        Op::Ask(vec![3, 4, 2]),
    ];
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let calls = tokio.block_on(async {
        let disk = SimulatedDisk::new(0);
        let runtime = builder().open_on(Arc::new(disk.open())).await.unwrap();
        run(&runtime, &ops, &mut Replies::new()).await.unwrap();
        runtime.crash().await;
        disk.calls(Call::Any)
    });
    assert!(calls > 10, "{calls} calls");
    let mut cases = 0;
    for nth in 1..=calls {
        for moment in MOMENTS {
            for unsynced in [Unsynced::Dropped, Unsynced::Kept, Unsynced::Drawn] {
                let crash = (nth, Crash { moment, unsynced });
                tokio.block_on(judge(&ops, &[crash], nth));
                tokio.block_on(judge(&ops, &[crash, crash], nth));
                cases += 2;
            }
        }
    }
    println!("{cases} cases at {calls} calls");
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => prop::collection::vec(0..12_u8, 1..6).prop_map(Op::Ask),
        1 => Just(Op::Checkpoint),
        1 => Just(Op::Cut),
    ]
}

fn crash() -> impl Strategy<Value = (u64, Crash)> {
    let moment = prop_oneof![Just(Moment::Before), Just(Moment::Torn), Just(Moment::After)];
    (1..60_u64, moment).prop_map(|(nth, moment)| (nth, Crash { moment, unsynced: Unsynced::Drawn }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Invariant: exactly-once inside. A random run that loses power at random calls, again and
    /// again, has each key once, and each reply is that of its one effect.
    #[test]
    fn each_key_counts_once_in_runs_with_crashes(
        ops in prop::collection::vec(op(), 1..20),
        crashes in prop::collection::vec(crash(), 0..5),
        seed: u64,
    ) {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        tokio.block_on(judge(&ops, &crashes, seed));
    }
}
