//! Invariant: no-orphan, of actors that wait for their outputs alone. They handle what is not on
//! stable storage, and nobody outside ever sees anything that a crash takes back.

use std::collections::BTreeMap;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use proptest::prelude::*;
use relive::testing::ManualClock;
use relive::{
    Actor, ActorRef, CheckpointPolicy, Context, Discipline, Handle, KindBuilder, Message, RestartPolicy,
    Runtime, RuntimeFailure, Timestamp, Unavailable,
};
use relive_storage::simulated_store::{Call, Crash, Fault, Moment, SimulatedDisk, Unsynced};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::links::{
    On, Outside, Pass, State, Stumble, builder, eager, handled, new_run, pass, seen, show, strict,
};

async fn open(disk: &SimulatedDisk) -> Runtime {
    builder().open_on(Arc::new(disk.open())).await.unwrap()
}

/// Waits until the disk hangs, and then until every task waits for it.
async fn settle(disk: &SimulatedDisk) {
    let waiting = disk.clone();
    tokio::task::spawn_blocking(move || waiting.wait_for_hang()).await.unwrap();
    // One thread runs all tasks, so each gets its turns here.
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
}

/// Lets the runtime log everything that it logs of its own accord, so that the next sync is for a
/// message.
async fn rest(runtime: &Runtime) {
    for _ in 0..5 {
        eager(runtime, "e-rest").ask(crate::links::Show).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn is_pending(future: impl Future) -> bool {
    let mut future = pin!(future);
    poll_fn(|task| Poll::Ready(future.as_mut().poll(task).is_pending())).await
}

/// A runtime whose next sync hangs.
async fn hanging() -> (SimulatedDisk, Runtime, u64) {
    let disk = SimulatedDisk::new(1);
    let runtime = open(&disk).await;
    rest(&runtime).await;
    disk.plan_next(Fault::Hang, Call::Sync);
    (disk, runtime, new_run())
}

/// While the disk hangs, a chain of actors handles and sends on; no ask returns, no receipt
/// resolves, no side effect begins. They all follow when the disk does.
#[tokio::test]
async fn a_disk_that_hangs_holds_outputs_back_and_no_handler() {
    let (disk, runtime, run) = hanging().await;
    let asking = tokio::spawn(ask(eager(&runtime, "e1"), pass(run, 1, &["e2", "e3"])));
    let asks = Pass { on: On::Ask, ..pass(run, 2, &["e5", "e6"]) };
    let inner = tokio::spawn(ask(eager(&runtime, "e4"), asks));
    let acts = Pass { acts: true, ..pass(run, 3, &["e8"]) };
    let receipt = eager(&runtime, "e7").tell(acts).await.unwrap();
    let mut producer = runtime.producer("p").unwrap();
    let produced = producer.tell(&eager(&runtime, "e9"), pass(run, 4, &[])).await.unwrap();
    settle(&disk).await;
    let links =
        [("e1", 1), ("e2", 1), ("e3", 1), ("e4", 2), ("e5", 2), ("e6", 2), ("e7", 3), ("e8", 3), ("e9", 4)];
    let waits: Vec<_> = links.into_iter().filter(|(link, id)| handled(run, link, *id) != 1).collect();
    let replied = asking.is_finished() || inner.is_finished();
    let mut produced = pin!(produced.durable());
    let receipts = (is_pending(receipt.durable()).await, is_pending(&mut produced).await);
    let effects = seen(run).effects;
    // Before anything can fail: a runtime whose disk hangs does not end.
    disk.release();
    assert_eq!(waits, [], "these wait for the disk");
    assert!(!replied, "a reply left too early");
    assert_eq!(receipts, (true, true), "a receipt resolved too early");
    assert_eq!(effects, [], "a side effect began too early");
    assert_eq!((asking.await.unwrap(), inner.await.unwrap()), (Some(1), Some(1)));
    receipt.durable().await.unwrap();
    produced.await.unwrap();
    runtime.shutdown().await.unwrap();
    assert_eq!(seen(run).effects, [("e8".to_owned(), 3, 1)]);
}

/// An actor that sleeps, and counts how often it has.
#[derive(Serialize, Deserialize)]
struct Sleeper(u64);

impl Actor for Sleeper {
    const KIND: &'static str = "sleeper";

    fn create(_: &str) -> Self {
        Self(0)
    }
}

#[derive(Serialize, Deserialize)]
struct Sleep(Duration);

impl Message for Sleep {
    const NAME: &'static str = "sleep";
    type Reply = u64;
}

impl Handle<Sleep> for Sleeper {
    async fn handle(&mut self, Sleep(time): Sleep, cx: &mut Context<'_>) -> u64 {
        cx.sleep(time).await;
        self.0 += 1;
        self.0
    }
}

/// A request that comes again while the handler of another one waits gets its reply only when
/// everything is on stable storage that the reply depends on. Its first asker was in another life,
/// so nothing else waits for that.
#[tokio::test]
async fn a_repeated_request_waits_for_what_it_repeats() {
    let (disk, clock) = (SimulatedDisk::new(1), ManualClock::new(Timestamp::from_micros(1_000_000)));
    let open = async || {
        let kind =
            |sleeper: KindBuilder<Sleeper>| sleeper.handles::<Sleep>().discipline(Discipline::BeforeOutput);
        let runtime = builder().actor::<Sleeper>(kind).clock(clock.clone());
        runtime.open_on(Arc::new(disk.open())).await.unwrap()
    };
    let (short, long) = (Duration::from_secs(1), Duration::from_secs(1000));
    let runtime = open().await;
    let sleeper = runtime.actor::<Sleeper>("a").unwrap();
    let mut first = Box::pin(sleeper.ask(Sleep(short)).idempotency_key("k").into_future());
    assert!(is_pending(&mut first).await);
    // It comes while the handler of the first one waits.
    sleeper.tell(Sleep(long)).await.unwrap().durable().await.unwrap();
    runtime.crash().await;
    drop((first, runtime));

    let runtime = open().await;
    rest(&runtime).await;
    disk.plan_next(Fault::Hang, Call::Sync);
    clock.advance(short);
    settle(&disk).await;
    let sleeper = runtime.actor::<Sleeper>("a").unwrap();
    let mut again = Box::pin(sleeper.ask(Sleep(short)).idempotency_key("k").into_future());
    let mut early = false;
    for _ in 0..500 {
        early |= !is_pending(&mut again).await;
        tokio::task::yield_now().await;
        if early {
            break;
        }
    }
    disk.release();
    assert!(!early, "it has a reply that a crash would take back");
    assert_eq!(again.await.unwrap(), 1);
    clock.advance(long);
    runtime.shutdown().await.unwrap();
}

/// Invariant: log-before-handle. An actor of the default kind waits for its own delivery, and so
/// for its sender's.
#[tokio::test]
async fn a_strict_receiver_waits_for_its_delivery() {
    let (disk, runtime, run) = hanging().await;
    let asking = tokio::spawn(ask(eager(&runtime, "e1"), pass(run, 1, &["s1", "e2"])));
    settle(&disk).await;
    let before = ["e1", "s1", "e2"].map(|link| handled(run, link, 1));
    disk.release();
    assert_eq!(before, [1, 0, 0]);
    assert_eq!(asking.await.unwrap(), Some(1));
    runtime.shutdown().await.unwrap();
    assert_eq!((handled(run, "s1", 1), handled(run, "e2", 1)), (1, 1));
}

/// Invariant: fail-stop. When the commit fails, those who wait for held outputs get the end, and
/// never a reply.
#[tokio::test]
async fn held_outputs_of_a_failed_commit_are_the_end() {
    let disk = SimulatedDisk::new(1);
    let runtime = open(&disk).await;
    rest(&runtime).await;
    let run = new_run();
    disk.plan_next(Fault::Fail, Call::Sync);
    let receipt = eager(&runtime, "e1").tell(Pass { acts: true, ..pass(run, 1, &["e2"]) }).await.unwrap();
    let error = eager(&runtime, "e1").ask(pass(run, 2, &["e2"])).await.unwrap_err();
    assert!(matches!(error.unavailable(), Some(Unavailable::Failed(RuntimeFailure::Store(_)))), "{error}");
    assert!(receipt.durable().await.is_err());
    assert!(seen(run).effects.is_empty(), "nothing happens outside");
    runtime.crash().await;
    drop(runtime);
    let runtime = open(&disk).await;
    assert_eq!(show(&runtime, "e1").await.balance + show(&runtime, "e2").await.balance, 0);
    runtime.shutdown().await.unwrap();
}

/// Invariant: checkpoint-covers-log. No checkpoint comes to the store ahead of the log that it
/// holds.
#[tokio::test]
async fn a_checkpoint_waits_for_what_it_holds() {
    let disk = SimulatedDisk::new(1);
    let policy = CheckpointPolicy::default().records(1);
    let runtime = builder().checkpoints(policy).open_on(Arc::new(disk.open())).await.unwrap();
    rest(&runtime).await;
    let (run, puts) = (new_run(), disk.calls(Call::Put));
    disk.plan_next(Fault::Hang, Call::Sync);
    let asking = tokio::spawn(ask(eager(&runtime, "e1"), pass(run, 1, &[])));
    settle(&disk).await;
    // The checkpointer has a thread of its own.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (handled, early) = (handled(run, "e1", 1), disk.calls(Call::Put) - puts);
    disk.lose_power(Unsynced::Dropped);
    disk.release();
    assert_eq!((handled, early), (1, 0), "a checkpoint was ahead of the log");
    runtime.crash().await;
    assert_eq!(asking.await.unwrap(), None);
    let runtime = open(&disk).await;
    assert_eq!(show(&runtime, "e1").await.history, [0; 0], "nobody has seen it");
    runtime.shutdown().await.unwrap();
}

/// A panic does not take back what the actor has handled and what is not on stable storage yet: the
/// restart waits for it.
#[tokio::test]
async fn a_restart_finds_all_that_was_handled() {
    let disk = SimulatedDisk::new(1);
    let restarts = RestartPolicy::default().backoff(Duration::ZERO);
    let runtime = builder().restarts(restarts).open_on(Arc::new(disk.open())).await.unwrap();
    rest(&runtime).await;
    let (run, e1) = (new_run(), eager(&runtime, "e1"));
    disk.plan_next(Fault::Hang, Call::Sync);
    let first = tokio::spawn(ask(e1.clone(), pass(run, 1, &["e2", "s1"])));
    settle(&disk).await;
    let stumbling = tokio::spawn(async move { e1.ask(Stumble { run, id: 2 }).await });
    for _ in 0..5 {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = (handled(run, "e1", 1), handled(run, "e1", 2));
    disk.release();
    assert_eq!(before, (1, 1), "it restarts while the disk hangs, or waits for it");
    assert_eq!((first.await.unwrap(), stumbling.await.unwrap().ok()), (Some(1), Some(2)));
    assert_eq!(runtime.stats().restarts, 1);
    runtime.shutdown().await.unwrap();
    let runtime = open(&disk).await;
    assert_eq!(show(&runtime, "s1").await.history, [1]);
    assert_eq!(show(&runtime, "e1").await.sent["e2"], [1]);
    runtime.shutdown().await.unwrap();
}

/// Invariant: bounded, with a poison message. What an opening sends again is on stable storage
/// before its handler runs: a handler that ends the process is found by the next opening.
#[tokio::test]
async fn what_an_opening_sends_again_is_logged_before_it_is_handled() {
    let disk = SimulatedDisk::new(1);
    let runtime = open(&disk).await;
    rest(&runtime).await;
    let run = new_run();
    // The second sync is for the receiver's delivery.
    disk.plan(Fault::Hang, Call::Sync, disk.calls(Call::Sync) + 2);
    let asked = ask(strict(&runtime, "s1"), pass(run, 1, &["e1"]));
    assert_eq!(asked.await, Some(1));
    settle(&disk).await;
    assert_eq!(handled(run, "e1", 1), 1, "it is handled at once");
    disk.lose_power(Unsynced::Dropped);
    disk.release();
    runtime.crash().await;

    // The opening syncs twice. Then the power goes in the sync of what it sends again.
    let crash = Crash { moment: Moment::Before, unsynced: Unsynced::Dropped };
    disk.plan(Fault::Crash(crash), Call::Sync, disk.calls(Call::Sync) + 3);
    let runtime = open(&disk).await;
    while disk.has_power() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    runtime.crash().await;
    assert_eq!(handled(run, "e1", 1), 1, "it was handled before it was logged");
    let runtime = open(&disk).await;
    runtime.shutdown().await.unwrap();
    let runtime = open(&disk).await;
    assert_eq!(show(&runtime, "e1").await.history, [1]);
    runtime.shutdown().await.unwrap();
}

/// Invariant: bounded. An actor whose disk hangs holds no more back than its limit, and goes on
/// when the disk does.
#[tokio::test]
async fn held_outputs_have_a_limit() {
    let (disk, runtime, run) = hanging().await;
    let mut asks = JoinSet::new();
    for id in 0..5_000 {
        asks.spawn(ask(eager(&runtime, "e1"), pass(run, id, &[])));
    }
    settle(&disk).await;
    for _ in 0..20_000 {
        tokio::task::yield_now().await;
    }
    let before = seen(run).handled.len();
    disk.release();
    assert!((1_000..=4_096).contains(&before), "{before} were handled");
    let mut counts: Vec<_> = asks.join_all().await.into_iter().flatten().collect();
    counts.sort_unstable();
    assert!(counts.into_iter().eq(1..=5_000));
    runtime.shutdown().await.unwrap();
}

async fn ask<A>(to: ActorRef<A>, message: Pass) -> Option<u64>
where
    A: Actor + Handle<Pass>,
{
    to.ask(message).await.ok()
}

const LINKS: [&str; 6] = ["e1", "e2", "e3", "s4", "s5", "e6"];

/// What a program sends: from which link on, through which, and how.
#[derive(Clone, Debug)]
struct Sent {
    path: Vec<usize>,
    on: On,
    acts: bool,
    asked: bool,
}

fn sent() -> impl Strategy<Value = Sent> {
    let path = prop::sample::subsequence((0..LINKS.len()).collect::<Vec<_>>(), 1..=LINKS.len());
    let on = prop_oneof![Just(On::Tell), Just(On::Ask)];
    // Asks go through the links in one order, so that none of them waits for itself.
    (path, on, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(mut path, on, acts, asked, turned)| {
        if turned && on == On::Tell {
            path.reverse();
        }
        Sent { path, on, acts, asked }
    })
}

/// What callers know: of which link and message, and the count in its reply, if it was asked.
type Known = Vec<(String, u64, Option<u64>)>;

/// Sends everything, and returns what came back before the power went.
async fn feed(runtime: &Runtime, run: u64, all: &[Sent], first: u64) -> Known {
    let mut waiting = JoinSet::new();
    for (id, Sent { path, on, acts, asked }) in (first..).zip(all) {
        let links: Vec<_> = path.iter().map(|link| LINKS[*link]).collect();
        let message = Pass { on: *on, acts: *acts, ..pass(run, id, &links[1..]) };
        let (link, asked, runtime) = (links[0].to_owned(), *asked, runtime.clone());
        waiting.spawn(async move {
            let told = if link.starts_with('e') {
                send(eager(&runtime, &link), message, asked).await
            } else {
                send(strict(&runtime, &link), message, asked).await
            };
            told.map(|count| (link, id, count))
        });
        tokio::task::yield_now().await;
    }
    waiting.join_all().await.into_iter().flatten().collect()
}

async fn send<A: Actor + Handle<Pass>>(to: ActorRef<A>, message: Pass, asked: bool) -> Option<Option<u64>> {
    if asked {
        return ask(to, message).await.map(Some);
    }
    to.tell(message).await.ok()?.durable().await.ok()?;
    Some(None)
}

/// Compares the links with each other and with what the outside has seen.
fn judge(links: &BTreeMap<&str, State>, known: &Known, outside: &Outside) -> Result<(), String> {
    let at = |link: &str, count: u64| links[link].history.get(usize::try_from(count).unwrap() - 1).copied();
    for (link, id, count) in known {
        let is_there = match count {
            Some(count) => at(link, *count) == Some(*id),
            None => links[link.as_str()].history.contains(id),
        };
        if !is_there {
            return Err(format!("{link} has told of {id} ({count:?}), and has {:?}", links[link.as_str()]));
        }
    }
    for (link, id, count) in &outside.effects {
        if at(link, *count) != Some(*id) {
            return Err(format!(
                "{link} has acted for {id} as its {count}th message: {:?}",
                links[link.as_str()]
            ));
        }
    }
    for (a, one) in links {
        for (b, other) in links {
            let (sent, received) = (one.sent.get(*b), other.received.get(*a));
            if sent != received {
                return Err(format!("{a} has sent {sent:?} to {b}, which has received {received:?}"));
            }
        }
    }
    match links.values().map(|state| state.balance).sum::<i64>() {
        0 => Ok(()),
        sum => Err(format!("the balances add up to {sum}")),
    }
}

async fn run_with_crashes(
    all: &[Sent],
    crashes: &[(u64, Moment)],
    checkpoints: &[usize],
    seed: u64,
) -> Result<(), String> {
    let (disk, run) = (SimulatedDisk::new(seed), new_run());
    let mut known = Known::new();
    for (round, (crash, moment)) in (0..).zip(crashes) {
        let fault = Fault::Crash(Crash { moment: *moment, unsynced: Unsynced::Drawn });
        disk.plan(fault, Call::Sync, disk.calls(Call::Sync) + crash);
        if let Ok(runtime) = builder().open_on(Arc::new(disk.open())).await {
            let (told, ()) = tokio::join!(feed(&runtime, run, all, round * 1_000 + 1), async {
                for link in checkpoints {
                    let _ = eager(&runtime, LINKS[*link]).checkpoint().await;
                }
            });
            known.extend(told);
            runtime.crash().await;
        }
        disk.plan_nothing();
        disk.lose_power(Unsynced::Drawn);
    }
    // The first opening lets everything come that is owed.
    open(&disk).await.shutdown().await.map_err(|error| error.to_string())?;
    let runtime = open(&disk).await;
    let mut links = BTreeMap::new();
    for link in LINKS {
        links.insert(link, show(&runtime, link).await);
    }
    runtime.shutdown().await.map_err(|error| error.to_string())?;
    judge(&links, &known, &seen(run))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Invariants: no-orphan, prefix, exactly-once inside. Random chains of links of both kinds
    /// lose power at random syncs, again and again. Every reply, receipt and side effect that the
    /// outside has seen is in the states that come back; what one link has sent the next has
    /// received, once and in order.
    #[test]
    fn nothing_that_was_seen_is_taken_back(
        all in prop::collection::vec(sent(), 1..30),
        crashes in prop::collection::vec((1..25_u64, moment()), 1..5),
        checkpoints in prop::collection::vec(prop_oneof![Just(0_usize), Just(1), Just(2), Just(5)], 0..4),
        seed: u64,
    ) {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let judged = tokio.block_on(run_with_crashes(&all, &crashes, &checkpoints, seed));
        prop_assert_eq!(judged, Ok(()));
    }
}

fn moment() -> impl Strategy<Value = Moment> {
    prop_oneof![Just(Moment::Before), Just(Moment::Torn), Just(Moment::After)]
}
