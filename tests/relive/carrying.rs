//! Invariant: bounded, with handlers that wait for days: what their actors need of the log is
//! carried to its end, so the part before is cut.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use relive::{
    Builder, CheckpointPolicy, Discipline, Durability, KindBuilder, Lsn, Medium, RestartPolicy, Rsn, Runtime,
};
use relive_storage::MemoryStore;
use relive_storage::simulated_store::{Call, Crash, Fault, Moment, SimulatedDisk, Unsynced};

use crate::actors::{self, Note, account};
use crate::programs::{Node, Op, Run, Show, ask, count, counted, node, show, until_counted};
use crate::shrinking::NewestDamaged;

const LOG_BYTES: u64 = 2 << 20;

fn builder() -> Builder {
    builder_with(Discipline::BeforeHandling)
}

/// With nodes that wait for this.
fn builder_with(discipline: Discipline) -> Builder {
    let restarts = RestartPolicy::default().backoff(Duration::ZERO);
    let node = |node: KindBuilder<Node>| node.handles::<Run>().handles::<Show>().discipline(discipline);
    let builder = actors::builder().actor::<Node>(node);
    builder.restarts(restarts).checkpoints(CheckpointPolicy::default().records(500)).log_bytes(LOG_BYTES)
}

async fn open(store: &MemoryStore) -> Runtime {
    builder().open_on(Arc::new(store.clone())).await.unwrap()
}

/// Crashes a runtime, and opens it anew on the synced part of its store, which `store` is then.
async fn crash(runtime: Runtime, store: &mut MemoryStore) -> Runtime {
    actors::crash(runtime, store).await;
    open(store).await
}

fn effect(name: &str, number: u64) -> Op {
    Op::Effect(name.to_owned(), number)
}

fn awaits(name: &str) -> Op {
    Op::Await(name.to_owned())
}

/// Where the log begins, once what may be cut is.
async fn begins(runtime: &Runtime) -> Lsn {
    runtime.cut_log().await.unwrap()
}

/// Another actor writes so many times the budget of the log. Returns the largest log on the way.
async fn write(runtime: &Runtime, times: u64) -> u64 {
    let (text, mut logged, mut largest) = ("x".repeat(2_000), 0, 0);
    while logged < times * LOG_BYTES {
        let busy = account(runtime, "busy");
        let mut last = None;
        for _ in 0..20 {
            last = Some(busy.tell(Note { text: text.clone() }).await.unwrap());
            logged += text.len() as u64;
        }
        last.unwrap().durable().await.unwrap();
        largest = largest.max(runtime.log_bytes());
    }
    largest
}

/// Writes until nothing is kept of what the log has now.
async fn turn_over(runtime: &Runtime) {
    let end = begins(runtime).await.get() + runtime.stats().records;
    let turned = async {
        while begins(runtime).await.get() < end {
            write(runtime, 1).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), turned).await.expect("the log is kept");
}

fn disk_bytes(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let sizes = files.map(|file| match file.metadata() {
        Ok(data) if data.is_dir() => disk_bytes(&file.path()),
        Ok(data) => data.len(),
        // It was removed meanwhile.
        Err(_) => 0,
    });
    sizes.sum()
}

/// Handlers wait while the log is written many times over: it keeps to its budget, and so does the
/// disk. After a crash they go on waiting, and learn the rest.
#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_wait_do_not_hold_the_log_on_both_media() {
    for medium in [Medium::Sled, Medium::SegmentFiles] {
        let name = |what: &str| format!("carrying.{medium}.{what}");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let open = || builder().durability(Durability::ProcessCrash).medium(medium).open(&path);
        let runtime = open().await.unwrap();
        let (begun, end) = (name("begun"), name("end"));
        let inner = vec![effect(&begun, 5), awaits(&end)];
        drop(node(&runtime, "a").tell(Run(vec![Op::Give(3), ask("b", inner), Op::Give(1)])).await.unwrap());
        until_counted(&begun).await;
        let mut largest = 0;
        for number in 10..20 {
            largest = largest.max(write(&runtime, 1).await);
            let told = node(&runtime, "a").tell(Run(vec![Op::Give(number)])).await.unwrap();
            told.durable().await.unwrap();
        }
        assert!(largest < 2 * LOG_BYTES, "{largest} bytes of log with a budget of {LOG_BYTES} on {medium}");
        runtime.crash().await;
        let disk = disk_bytes(&path);
        assert!(disk < 24 * LOG_BYTES, "{disk} bytes on disk with a budget of {LOG_BYTES} on {medium}");
        let runtime = open().await.unwrap();
        let read = runtime.recovery().bytes;
        assert!(read < 2 * LOG_BYTES, "{read} bytes read on {medium}");
        assert_eq!(counted(&begun), 1, "what is on record does not happen again");
        write(&runtime, 3).await;
        count(&end);
        assert_eq!(node(&runtime, "a").ask(Run(vec![Op::Give(9)])).await.unwrap(), 9);
        let learned: Vec<_> = [3, 5, 1].into_iter().chain(10..20).chain([9]).collect();
        assert_eq!(show(&runtime, "a").await.learned, learned, "on {medium}");
        assert_eq!(show(&runtime, "b").await.learned, [5, 0]);
        runtime.shutdown().await.unwrap();
    }
}

/// The log is carried twice and more, in one life and in several, and the states are right.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_carried_is_carried_again() {
    let mut store = MemoryStore::new();
    let mut runtime = open(&store).await;
    let (begun, end) = ("carried_again.begun", "carried_again.end");
    let program = vec![Op::Give(7), effect(begun, 2), awaits(end)];
    drop(node(&runtime, "a").tell(Run(program)).await.unwrap());
    until_counted(begun).await;
    let mut learned = vec![7, 2, 0];
    for life in 0..3 {
        for number in 0..3 {
            turn_over(&runtime).await;
            let number = life * 10 + number;
            let told = node(&runtime, "a").tell(Run(vec![Op::Give(number)])).await.unwrap();
            told.durable().await.unwrap();
            learned.push(number);
        }
        runtime = crash(runtime, &mut store).await;
    }
    count(end);
    assert_eq!(node(&runtime, "a").ask(Run(vec![])).await.unwrap(), 0);
    assert_eq!(show(&runtime, "a").await.learned, learned);
    assert_eq!(counted(begun), 1);
}

/// Invariant: no-orphan. The log of who received something is cut, and the openings after it still
/// know that the sender's delivery had begun, also in probation; what was answered stays answered.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_waiting_handler_has_sent_is_known_without_its_receivers() {
    let mut store = MemoryStore::new();
    let runtime = open(&store).await;
    let (begun, held) = ("known_without.begun", "known_without.held");
    let end = "known_without.end";
    // The message leaves with the first request.
    let sends = vec![Op::Tell("b".into(), vec![Op::Give(4)]), ask("d", vec![Op::Give(5)])];
    let asks = vec![ask("c", vec![effect(begun, 1), awaits(end)]), Op::Give(8)];
    drop(node(&runtime, "a").tell(Run([sends, asks].concat())).await.unwrap());
    until_counted(begun).await;
    // Who has answered waits then, in its next delivery.
    drop(node(&runtime, "d").tell(Run(vec![effect(held, 2), awaits(end)])).await.unwrap());
    until_counted(held).await;
    for _ in 0..2 {
        node(&runtime, "b").checkpoint().await.unwrap();
        turn_over(&runtime).await;
    }
    node(&runtime, "b").tell(Run(vec![Op::Give(9)])).await.unwrap().durable().await.unwrap();
    // Each of these ends before its recovery is complete, so the next one is in probation.
    let mut runtime = crash(runtime, &mut store).await;
    for _ in 0..3 {
        runtime = crash(runtime, &mut store).await;
        assert!(runtime.recovery().failed.is_empty(), "{:?}", runtime.recovery().failed);
    }
    turn_over(&runtime).await;
    let runtime = crash(runtime, &mut store).await;
    count(end);
    for (key, learned) in
        [("a", vec![0, 5, 1, 8]), ("b", vec![4, 9]), ("c", vec![1, 0]), ("d", vec![5, 2, 0])]
    {
        let told = node(&runtime, key).tell(Run(vec![])).await.unwrap();
        told.durable().await.unwrap();
        assert_eq!(show(&runtime, key).await.learned, learned, "{key}");
    }
    assert_eq!((counted(begun), counted(held)), (1, 1));
}

/// Invariant: checkpoint-covers-log. What was carried serves the checkpoint before the newest too.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_checkpoint_falls_back_to_what_was_carried() {
    let store = MemoryStore::new();
    let runtime = open(&store).await;
    let (begun, end) = ("carried_fallback.begun", "carried_fallback.end");
    for number in [1, 2] {
        node(&runtime, "a").ask(Run(vec![Op::Give(number)])).await.unwrap();
        node(&runtime, "a").checkpoint().await.unwrap();
    }
    node(&runtime, "a").ask(Run(vec![Op::Give(3)])).await.unwrap();
    drop(node(&runtime, "a").tell(Run(vec![effect(begun, 4), awaits(end)])).await.unwrap());
    until_counted(begun).await;
    turn_over(&runtime).await;
    turn_over(&runtime).await;
    store.crash();
    runtime.crash().await;
    let damaged = NewestDamaged(store.reopen(), AtomicBool::new(true));
    let runtime = builder().open_on(Arc::new(damaged)).await.unwrap();
    count(end);
    assert_eq!(node(&runtime, "a").ask(Run(vec![Op::Give(5)])).await.unwrap(), 5);
    assert_eq!(show(&runtime, "a").await.learned, [1, 2, 3, 4, 0, 5]);
    assert_eq!(counted(begun), 1);
}

/// A handler that waits holds up the checkpoint that is asked of its own actor, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_waits_for_its_own_handler_alone() {
    let runtime = open(&MemoryStore::new()).await;
    let (begun, end) = ("own_handler.begun", "own_handler.end");
    drop(node(&runtime, "a").tell(Run(vec![effect(begun, 1), awaits(end)])).await.unwrap());
    until_counted(begun).await;
    let waiting = node(&runtime, "a");
    let checkpoint = tokio::spawn(async move { waiting.checkpoint().await });
    for number in 1..4 {
        node(&runtime, "b").ask(Run(vec![Op::Give(number)])).await.unwrap();
        assert_eq!(node(&runtime, "b").checkpoint().await.unwrap(), Rsn::new(number));
        turn_over(&runtime).await;
    }
    assert!(!checkpoint.is_finished());
    count(end);
    assert_eq!(checkpoint.await.unwrap().unwrap(), Rsn::new(1));
}

/// What one actor needs may be too much to be carried: then the log grows, and nobody waits.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_kept() {
    let mut store = MemoryStore::new();
    let runtime = open(&store).await;
    let (begun, end) = ("too_large.begun", "too_large.end");
    let before = begins(&runtime).await;
    drop(node(&runtime, "a").tell(Run(vec![effect(begun, 1), awaits(end)])).await.unwrap());
    until_counted(begun).await;
    let long = |number| Run(vec![Op::Effect("too_large".repeat(8_000), number)]);
    for number in 0..6 {
        node(&runtime, "a").tell(long(number)).await.unwrap().durable().await.unwrap();
    }
    write(&runtime, 2).await;
    assert!(begins(&runtime).await.get() < before.get() + 20, "it needs more than an eighth of the budget");
    let runtime = crash(runtime, &mut store).await;
    count(end);
    assert_eq!(node(&runtime, "a").ask(Run(vec![])).await.unwrap(), 0);
    assert_eq!(show(&runtime, "a").await.learned, [1, 0, 0, 1, 2, 3, 4, 5]);
    turn_over(&runtime).await;
}

/// Invariants: prefix, checkpoint-covers-log. The power goes at each sync and each append around
/// what is carried: the handler goes on waiting, and what was acknowledged comes behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_call_around_what_is_carried() {
    a_crash_at_any_call(Discipline::BeforeHandling).await;
}

/// The same of actors that wait for their outputs alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_call_around_what_is_carried_before_output() {
    a_crash_at_any_call(Discipline::BeforeOutput).await;
}

async fn a_crash_at_any_call(discipline: Discipline) {
    let small = || {
        let policy = CheckpointPolicy::default().records(50);
        builder_with(discipline).log_bytes(128 << 10).checkpoints(policy)
    };
    let (mut crashed, mut carried) = (0, 0);
    for (call, at) in
        [Call::Append, Call::Sync, Call::Cut].into_iter().flat_map(|call| (1..6).map(move |at| (call, at)))
    {
        let name = |what: &str| format!("any_call.{discipline:?}.{call:?}.{at}.{what}");
        let disk = SimulatedDisk::new(at);
        let runtime = small().open_on(Arc::new(disk.open())).await.unwrap();
        let (begun, end) = (name("begun"), name("end"));
        let program =
            vec![Op::Tell("b".into(), vec![Op::Give(4)]), ask("c", vec![effect(&begun, 1), awaits(&end)])];
        drop(node(&runtime, "a").tell(Run(program)).await.unwrap());
        until_counted(&begun).await;
        // Cuts are seldom, so that each of them counts.
        let from = if call == Call::Cut { 0 } else { 8 * at };
        let crash = Crash { moment: Moment::Torn, unsynced: Unsynced::Drawn };
        disk.plan(Fault::Crash(crash), call, disk.calls(call) + from + at);
        let (mut told, text) = (0, "x".repeat(1_000));
        for _ in 0..60 {
            let given = node(&runtime, "a").tell(Run(vec![Op::Give(told)])).await;
            let Ok(given) = given else { break };
            if given.durable().await.is_err() {
                break;
            }
            told += 1;
            for _ in 0..10 {
                drop(account(&runtime, "busy").tell(Note { text: text.clone() }).await);
            }
        }
        crashed += u64::from(!disk.has_power());
        runtime.crash().await;
        disk.plan_nothing();
        disk.lose_power(Unsynced::Drawn);
        for last in [false, true] {
            let runtime = small()
                .open_on(Arc::new(disk.open()))
                .await
                .unwrap_or_else(|error| panic!("{call:?} {at}: {error}"));
            carried += u64::from(begins(&runtime).await > Lsn::FIRST);
            assert!(runtime.recovery().failed.is_empty(), "{call:?} {at}: {:?}", runtime.recovery().failed);
            if last {
                count(&end);
                assert_eq!(node(&runtime, "a").ask(Run(vec![])).await.unwrap(), 0, "{call:?} {at}");
                let learned = show(&runtime, "a").await.learned;
                let all: Vec<_> = [0, 1].into_iter().chain(0..told).collect();
                assert!(learned.starts_with(&all), "{call:?} {at}: {told} were acknowledged of {learned:?}");
                assert_eq!(show(&runtime, "b").await.learned, [4], "{call:?} {at}");
            }
            runtime.crash().await;
        }
    }
    assert!(crashed >= 8 && carried >= 8, "{crashed} crashes, {carried} openings of a log that was cut");
}
