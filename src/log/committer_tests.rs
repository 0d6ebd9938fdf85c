//! What the committer promises to those who append, on a disk that hangs and fails as planned.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

use relive_storage::limits::PAYLOAD_BYTES_MAX;
use relive_storage::record::{Event, EventKind};
use relive_storage::simulated_store::{Call, Fault, SimulatedDisk};
use relive_storage::{
    ActorId, Checkpoint, CheckpointHeader, CheckpointStore, Extent, FrameWriter, Generation, Log,
    MemoryStore, Rsn, StoredBlock,
};

use super::*;
use crate::clock::SystemClock;
use crate::harness::Harness;
use crate::log::budget::RetainedRange;

/// A committer on a store, and the end of the runtime that it may bring about.
fn start(store: Arc<dyn Store>) -> (Committer, Arc<StopSignal>) {
    start_kept(store, Harness::default())
}

/// As [`start`], under a test kit.
fn start_kept(store: Arc<dyn Store>, harness: Harness) -> (Committer, Arc<StopSignal>) {
    let (start, steps, step_bytes, budget) = (Lsn::FIRST, VecDeque::new(), 1 << 20, u64::MAX);
    let (next, total, may_grow) = (Lsn::FIRST, 0, false);
    let range = RetainedRange { start, next, steps, total, step_bytes, budget, may_grow };
    let (log_budget, stop) = (Arc::new(LogBudget::new(range)), Arc::new(StopSignal::new()));
    let position = LogPosition { next: Lsn::FIRST, epoch: Epoch::new(1) };
    let counters = Arc::new(Counters::default());
    (
        Committer::start(
            store,
            position,
            log_budget,
            counters,
            Arc::clone(&stop),
            Arc::new(SystemClock),
            harness,
        )
        .unwrap(),
        stop,
    )
}

/// A committer whose disk hangs in the sync of a first frame, so that what is appended now waits.
struct Busy {
    disk: SimulatedDisk,
    store: Arc<dyn Store>,
    committer: Arc<Committer>,
}

impl Busy {
    fn start() -> Self {
        let disk = SimulatedDisk::new(1);
        let store: Arc<dyn Store> = Arc::new(disk.open());
        let (committer, _) = start(Arc::clone(&store));
        disk.plan_next(Fault::Hang, Call::Sync);
        put(&committer, 1).unwrap();
        disk.wait_for_hang();
        Self { disk, store, committer: Arc::new(committer) }
    }
}

impl Drop for Busy {
    /// Without this a test that fails would wait for the committer's thread.
    fn drop(&mut self) {
        self.disk.release();
    }
}

/// Appends a frame of so many records.
fn put(committer: &Committer, records: u64) -> Result<Appended, Arc<StoreError>> {
    let mut writer = FrameWriter::new();
    (0..records).for_each(|record| writer.put_incarnation(Epoch::new(record)));
    committer.append_now(writer.finish(None, Rsn::NONE, Rsn::NONE, &[]))
}

/// A writer with a record of the largest size.
fn large() -> FrameWriter {
    let mut writer = FrameWriter::new();
    let outcome = vec![0; PAYLOAD_BYTES_MAX].into();
    writer.put_event(&Event {
        rsn: Rsn::new(1),
        index: 0,
        kind: EventKind::SideEffect,
        name: "large".into(),
        outcome,
        clock: None,
    });
    writer
}

fn actor() -> ActorId {
    ActorId::new("account", "alice").unwrap()
}

fn poll<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// The beginning and the number of records of each block.
fn blocks(store: &dyn Store) -> Vec<(u64, u32)> {
    let (mut at, mut found) = (Lsn::FIRST, Vec::new());
    while let Some(stored) = store.read(at).unwrap() {
        let header = stored.block.unwrap().header();
        found.push((header.first.get(), header.records));
        at = header.next();
    }
    found
}

/// Waits until `committer` was told to stop, by a thread that waits for its end.
fn wait_for_stop(committer: &Committer) {
    while !committer.shared.buffer().stop {
        thread::yield_now();
    }
}

/// Invariant: log-before-handle. A frame is durable when its sync has returned, not when it is
/// written.
#[tokio::test]
async fn nothing_is_stable_before_its_sync_has_returned() {
    let busy = Busy::start();
    let Busy { disk, store, committer } = &busy;
    assert_eq!(blocks(&**store), [(0, 1)], "it is written");
    let end = committer.end();
    assert!(poll(committer.until_durable(end)).is_none());
    assert_eq!(committer.durable(), Lsn::FIRST);
    disk.release();
    committer.until_durable(end).await.unwrap();
    assert_eq!(committer.durable(), end);
}

/// What comes while the disk is at work is one block, with one sync, in the order of the appends.
#[tokio::test]
async fn what_gathers_during_a_commit_is_one_block() {
    let busy = Busy::start();
    let Busy { disk, store, committer } = &busy;
    let (second, third) = (put(committer, 2).unwrap(), put(committer, 3).unwrap());
    let firsts = [second.context.first, third.context.first, third.end].map(Lsn::get);
    assert_eq!(firsts, [1, 3, 6]);
    assert!(committer.waiting_bytes() > 0);
    disk.release();
    committer.until_durable(third.end).await.unwrap();
    assert_eq!(blocks(&**store), [(0, 1), (1, 5)]);
    assert_eq!((disk.calls(Call::Append), disk.calls(Call::Sync)), (2, 2));
    assert_eq!(committer.waiting_bytes(), 0);
}

/// The clock and the seed that an append returns are those that a reader of the log finds.
#[tokio::test]
async fn an_append_knows_the_clock_and_seed_of_its_block() {
    let busy = Busy::start();
    let Busy { disk, store, committer } = &busy;
    let (first, second) = (put(committer, 1).unwrap().context, put(committer, 1).unwrap());
    disk.release();
    committer.until_durable(second.end).await.unwrap();
    let header = store.read(first.first).unwrap().unwrap().block.unwrap().header();
    assert_eq!((first.clock, first.seed), (header.clock, header.seed));
    let second = second.context;
    assert_eq!((second.clock, second.seed), (first.clock, first.seed), "both stand in one block");
}

/// A frame is pinned where its block begins, whatever stands before it in the block.
#[tokio::test]
async fn a_frame_is_placed_at_the_beginning_of_its_block() {
    let busy = Busy::start();
    let Busy { committer, .. } = &busy;
    put(committer, 3).unwrap();
    let (placed, mut writer) = (AtomicU64::new(0), large());
    let frame = writer.finish(Some(&actor()), Rsn::NONE, Rsn::NONE, &[]);
    let appending =
        committer.append(frame, Commit::Now, |block| placed.store(block.get(), Ordering::Relaxed));
    assert_eq!(appending.await.unwrap().context.first, Lsn::new(4));
    assert_eq!(placed.into_inner(), 1);
}

/// Invariant: bounded. While the buffer is full appenders wait, and a frame that its owner gave up
/// meanwhile is in no block. Frames that no turn writes don't wait.
#[tokio::test]
async fn an_appender_waits_while_the_buffer_is_full() {
    let busy = Busy::start();
    let Busy { disk, store, committer } = &busy;
    let mut writer = large();
    let actor = actor();
    let frame = writer.finish(Some(&actor), Rsn::NONE, Rsn::NONE, &[]);
    let fit = COMMIT_BUFFER_BYTES_MAX / frame.len();
    for _ in 0..fit {
        assert!(poll(committer.append(frame, Commit::Now, |_| {})).is_some());
    }
    assert!(poll(committer.append(frame, Commit::Now, |_| {})).is_none(), "it waits, and is given up here");
    let (_, now) = (put(committer, 1).unwrap(), committer.end());
    let mut waiting = pin!(committer.append(frame, Commit::Now, |_| {}));
    assert!(poll(waiting.as_mut()).is_none());
    disk.release();
    let appended = waiting.await.unwrap();
    assert_eq!(appended.context.first, now);
    committer.until_durable(appended.end).await.unwrap();
    assert_eq!(blocks(&**store), [(0, 1), (1, u32::try_from(fit).unwrap() + 1), (now.get(), 1)]);
}

/// Invariant: fail-stop. After a sync that failed nothing is durable, nothing is written any more,
/// and the runtime has the reason.
#[tokio::test]
async fn a_failed_sync_ends_all_commits() {
    let disk = SimulatedDisk::new(1);
    let (committer, stop) = start(Arc::new(disk.open()));
    disk.plan_next(Fault::Fail, Call::Sync);
    let end = put(&committer, 1).unwrap().end;
    let error = committer.until_durable(end).await.unwrap_err();
    assert!(matches!(stop.reason(), Some(Ended::Failed(_))));
    assert_eq!(put(&committer, 1).err().map(|again| again.to_string()), Some(error.to_string()));
    committer.stop();
    assert_eq!((committer.durable(), disk.calls(Call::Append)), (Lsn::FIRST, 1));
}

/// Who waits for space learns of the end too.
#[tokio::test]
async fn an_appender_that_waits_for_space_is_told_of_a_failure() {
    let disk = SimulatedDisk::new(1);
    let (committer, _) = start(Arc::new(disk.open()));
    disk.plan_next(Fault::Hang, Call::Append);
    disk.plan_next(Fault::Fail, Call::Sync);
    let mut writer = large();
    let actor = actor();
    let frame = writer.finish(Some(&actor), Rsn::NONE, Rsn::NONE, &[]);
    put(&committer, 1).unwrap();
    disk.wait_for_hang();
    while poll(committer.append(frame, Commit::Now, |_| {})).is_some() {}
    let mut waiting = pin!(committer.append(frame, Commit::Now, |_| {}));
    assert!(poll(waiting.as_mut()).is_none());
    disk.release();
    assert!(waiting.await.is_err());
}

/// A stop commits what was appended before it, and takes nothing more.
#[tokio::test]
async fn a_stop_commits_what_the_buffer_holds() {
    let busy = Busy::start();
    let Busy { disk, store, committer } = &busy;
    let end = put(committer, 2).unwrap().end;
    let stopping = Arc::clone(committer);
    let stopping = thread::spawn(move || stopping.stop());
    wait_for_stop(committer);
    assert!(put(committer, 1).is_err());
    disk.release();
    stopping.join().unwrap();
    committer.until_durable(end).await.unwrap();
    assert_eq!(blocks(&**store), [(0, 1), (1, 2)]);
}

/// A test that waits until nothing moves doesn't wait for what no commit takes any more.
#[tokio::test]
async fn what_a_failure_leaves_in_the_buffer_moves_no_more() {
    let (disk, harness) = (SimulatedDisk::new(1), Harness::new());
    let (committer, _) = start_kept(Arc::new(disk.open()), harness.clone());
    disk.plan_next(Fault::Hang, Call::Append);
    disk.plan_next(Fault::Fail, Call::Sync);
    put(&committer, 1).unwrap();
    disk.wait_for_hang();
    put(&committer, 1).unwrap();
    assert_eq!(harness.moving(), [Moving::Commit, Moving::Commit]);
    disk.release();
    // This ends the thread; the failure has kept it from the second commit.
    committer.stop();
    assert_eq!((harness.moving(), disk.calls(Call::Append)), (vec![], 1));
}

/// One that is abandoned loses what the buffer holds, and says so.
#[tokio::test]
async fn one_that_is_abandoned_commits_nothing_more() {
    let busy = Busy::start();
    let Busy { disk, store, committer } = &busy;
    let end = put(committer, 2).unwrap().end;
    let stopping = Arc::clone(committer);
    let stopping = thread::spawn(move || stopping.abandon());
    wait_for_stop(committer);
    disk.release();
    stopping.join().unwrap();
    assert!(committer.until_durable(end).await.is_err());
    assert_eq!(blocks(&**store), [(0, 1)]);
}

/// Tasks that wait for the commits of a backend that panics would wait for ever if nobody told
/// them.
#[tokio::test]
async fn a_backend_that_panics_fails_the_commits() {
    let (committer, stop) = start(Arc::new(Panics(MemoryStore::new())));
    let end = put(&committer, 1).unwrap().end;
    let error = committer.until_durable(end).await.unwrap_err();
    assert!(error.to_string().contains("it panicked: told to"), "{error}");
    assert!(stop.is_set());
}

/// A store that panics when it is synced.
struct Panics(MemoryStore);

impl Log for Panics {
    fn extent(&self) -> Result<Extent, StoreError> {
        self.0.extent()
    }

    fn append(&self, block: &Block) -> Result<(), StoreError> {
        self.0.append(block)
    }

    fn sync(&self) -> Result<(), StoreError> {
        panic!("told to")
    }

    fn read(&self, from: Lsn) -> Result<Option<StoredBlock>, StoreError> {
        self.0.read(from)
    }

    fn cut(&self, below: Lsn) -> Result<Lsn, StoreError> {
        self.0.cut(below)
    }
}

impl CheckpointStore for Panics {
    fn put(&self, checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        self.0.put(checkpoints)
    }

    fn get(&self, actor: &ActorId, generation: Generation) -> Result<Option<Checkpoint>, StoreError> {
        self.0.get(actor, generation)
    }

    fn list(&self, visit: &mut dyn FnMut(CheckpointHeader) -> ControlFlow<()>) -> Result<(), StoreError> {
        self.0.list(visit)
    }
}
