//! What the thread writes together, and what becomes of a checkpoint that can't be written.

use std::ops::ControlFlow;

use relive_replay::Instance;
use relive_replay::checkpoint_body::capture;
use relive_storage::simulated_store::{Call, Fault, SimulatedDisk};
use relive_storage::{
    ActorId, Block, CheckpointStore, Epoch, Extent, Generation, Log, MemoryStore, Rsn, StoreId, StoredBlock,
};

use super::*;
use crate::backpressure::Backpressure;
use crate::clock::SystemClock;
use crate::error::Unavailable;
use crate::log::budget::RetainedRange;
use crate::log::committer::LogPosition;
use crate::recovery::testing::{id, kind};
use crate::retention::passive_pins::PassivePins;
use crate::retention::pin_index::PinIndex;

type Outcome = oneshot::Receiver<Result<Rsn, CheckpointError>>;

fn cell(key: &str) -> Arc<ActorCell> {
    let pin_index = Arc::new(PinIndex::new(PassivePins::default()));
    Arc::new(ActorCell::new(id(key), kind(), pin_index, Backpressure::none()))
}

/// A checkpoint of a new actor whose pins know it as taken, and what it must decode to.
fn captured(cell: &ActorCell) -> (Checkpoint, Expected) {
    cell.change_pins(|pins| pins.placed(Lsn::new(3)));
    cell.change_pins(Pins::taken);
    let instance = Instance::create(kind(), cell.id.clone(), StoreId::new(1));
    capture(&instance, &Default::default(), CheckpointNumber::default(), &|| ()).unwrap()
}

fn taken(cell: &Arc<ActorCell>, bytes: usize) -> Taken {
    let (mut checkpoint, _) = captured(cell);
    checkpoint.body = vec![0; bytes].into();
    let (request, motion) = (CheckpointRequest::default(), Motion::default());
    let owner = Owner { cell: Arc::clone(cell), request, _motion: motion };
    Taken { checkpoint, expected: None, owner }
}

fn parts(store: Arc<dyn Store>) -> CheckpointerParts {
    let (counters, stop) = (Arc::new(Counters::default()), Arc::new(StopSignal::new()));
    let (start, next, steps, may_grow) = (Lsn::FIRST, Lsn::FIRST, Default::default(), false);
    let budget = RetainedRange { start, next, steps, total: 0, step_bytes: 9, budget: 9, may_grow };
    let log_budget = Arc::new(LogBudget::new(budget));
    let position = LogPosition { next: Lsn::FIRST, epoch: Epoch::new(1) };
    let (on, budget, end) = (Arc::clone(&store), Arc::clone(&log_budget), Arc::clone(&stop));
    let committer = Committer::start(
        on,
        position,
        budget,
        Arc::clone(&counters),
        end,
        Arc::new(SystemClock),
        Harness::default(),
    )
    .unwrap();
    let stored = Arc::new(CheckpointedActors::new(Arc::default()));
    let (committer, last) = (Arc::new(committer), CheckpointNumber::new(7));
    let harness = Harness::default();
    CheckpointerParts { store, committer, log_budget, counters, stored, stop, harness, last }
}

/// A thread that writes, and what it works with.
struct Writing {
    checkpointer: Checkpointer,
    counters: Arc<Counters>,
    stored: Arc<CheckpointedActors>,
    stop: Arc<StopSignal>,
}

fn writing(store: Arc<dyn Store>) -> Writing {
    let parts = parts(store);
    let (counters, stored) = (Arc::clone(&parts.counters), Arc::clone(&parts.stored));
    let stop = Arc::clone(&parts.stop);
    let checkpointer = Checkpointer::start(parts, &Replayers::new(1, 8 << 20)).unwrap();
    Writing { checkpointer, counters, stored, stop }
}

impl Writing {
    /// Queues a checkpoint, and returns what its caller waits for.
    async fn write(&self, cell: &Arc<ActorCell>, (checkpoint, expected): (Checkpoint, Expected)) -> Outcome {
        let (waiter, outcome) = oneshot::channel();
        let request = CheckpointRequest { waiters: vec![waiter] };
        self.checkpointer.write(cell, checkpoint, expected, request).await;
        outcome
    }
}

/// Checkpoints of one actor are written in their order, so a group has one of each.
#[test]
fn a_group_has_one_checkpoint_of_an_actor() {
    let (alice, bob) = (cell("alice"), cell("bob"));
    let (jobs, mut queue) = mpsc::channel(8);
    for next in [&bob, &alice, &bob] {
        assert!(jobs.try_send(Job::Write(taken(next, 1))).is_ok());
    }
    let (group, other) = gather(taken(&alice, 1), &mut queue);
    let actors: Vec<_> = group.iter().map(|taken| taken.checkpoint.header.actor.clone()).collect();
    assert_eq!(actors, [id("alice"), id("bob")]);
    assert!(matches!(other, Some(Job::Write(taken)) if taken.checkpoint.header.actor == id("alice")));
    assert!(queue.try_recv().is_ok(), "the rest stays in the queue");
}

/// Jobs keep their order: a cut or the end comes after the checkpoints before it.
#[test]
fn a_group_ends_with_another_job() {
    let (jobs, mut queue) = mpsc::channel(8);
    assert!(jobs.try_send(Job::Stop).is_ok());
    assert!(jobs.try_send(Job::Write(taken(&cell("bob"), 1))).is_ok());
    let (group, other) = gather(taken(&cell("alice"), 1), &mut queue);
    assert!(group.len() == 1 && matches!(other, Some(Job::Stop)));
}

/// Invariant: bounded. By number, and by bytes: a larger one goes alone.
#[test]
fn a_group_is_bounded() {
    let (jobs, mut queue) = mpsc::channel(CHECKPOINT_GROUP_MAX + 8);
    for number in 0..CHECKPOINT_GROUP_MAX + 8 {
        assert!(jobs.try_send(Job::Write(taken(&cell(&number.to_string()), 1))).is_ok());
    }
    assert_eq!(gather(taken(&cell("alice"), 1), &mut queue).0.len(), CHECKPOINT_GROUP_MAX);
    let half = CHECKPOINT_GROUP_BYTES_MAX / 2;
    for (bytes, together) in [(CHECKPOINT_GROUP_BYTES_MAX, 1), (half, 3), (half - 9, 9)] {
        let (jobs, mut queue) = mpsc::channel(8);
        let next = [half - 9, 9].into_iter().chain([1; 6]);
        for (number, bytes) in next.enumerate() {
            assert!(jobs.try_send(Job::Write(taken(&cell(&number.to_string()), bytes))).is_ok());
        }
        assert_eq!(gather(taken(&cell("alice"), bytes), &mut queue).0.len(), together, "after {bytes} bytes");
    }
}

/// A caller that waits learns when the checkpoint is durable. By then pins and index know of it.
#[tokio::test]
async fn a_stable_checkpoint_is_in_the_store_and_frees_the_log() {
    let store = MemoryStore::new();
    let (writing, alice) = (writing(Arc::new(store.clone())), cell("alice"));
    assert!(!writing.stored.may_have(&alice.id));
    let outcome = writing.write(&alice, captured(&alice)).await;
    assert!(matches!(outcome.await, Ok(Ok(Rsn::NONE))));
    assert!(alice.pins().is_covered() && writing.stored.may_have(&alice.id));
    assert_eq!(alice.pins().needed(), Some(Lsn::new(3)), "for the checkpoint before");
    let header = store.get(&alice.id, Generation::Newest).unwrap().unwrap().header;
    assert_eq!(header.number, CheckpointNumber::new(8), "numbers go on after the last one");
    assert_eq!(writing.counters.snapshot().checkpoints, 1);
}

/// Invariant: checkpoint-covers-log. Bytes that are not the state replace no log, and hold up no
/// other checkpoint.
#[tokio::test]
async fn a_state_that_does_not_come_back_is_not_written() {
    let store = MemoryStore::new();
    let (writing, alice, bob) = (writing(Arc::new(store.clone())), cell("alice"), cell("bob"));
    let (mut checkpoint, expected) = captured(&alice);
    checkpoint.body = captured(&cell("other")).0.body.slice(1..);
    let held = writing.checkpointer.hold().await;
    let refused = writing.write(&alice, (checkpoint, expected)).await;
    let written = writing.write(&bob, captured(&bob)).await;
    drop(held);
    assert!(matches!(refused.await, Ok(Err(CheckpointError::NotTaken { actor, .. })) if actor == alice.id));
    assert!(matches!(written.await, Ok(Ok(_))));
    assert_eq!(alice.pins().uncovered(), Some(Lsn::new(3)));
    assert!(!alice.pins().is_pending(), "the next one may be taken");
    assert_eq!(alice.holder().tries.unsaved, 1);
    assert!(store.get(&alice.id, Generation::Newest).unwrap().is_none());
    assert!(writing.stop.reason().is_none(), "the actor goes on");
}

/// A store that finds the checkpoints of one actor too large.
struct Narrow {
    store: MemoryStore,
    refused: ActorId,
}

impl Log for Narrow {
    fn extent(&self) -> Result<Extent, StoreError> {
        self.store.extent()
    }

    fn append(&self, block: &Block) -> Result<(), StoreError> {
        self.store.append(block)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.store.sync()
    }

    fn read(&self, from: Lsn) -> Result<Option<StoredBlock>, StoreError> {
        self.store.read(from)
    }

    fn cut(&self, below: Lsn) -> Result<Lsn, StoreError> {
        self.store.cut(below)
    }
}

impl CheckpointStore for Narrow {
    fn put(&self, checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        if checkpoints.iter().any(|checkpoint| checkpoint.header.actor == self.refused) {
            return Err(StoreError::TooLarge { what: "it".to_owned(), found: 2, limit: 1 });
        }
        self.store.put(checkpoints)
    }

    fn get(&self, actor: &ActorId, generation: Generation) -> Result<Option<Checkpoint>, StoreError> {
        self.store.get(actor, generation)
    }

    fn list(&self, visit: &mut dyn FnMut(CheckpointHeader) -> ControlFlow<()>) -> Result<(), StoreError> {
        self.store.list(visit)
    }
}

/// Who is too large fails alone, and its actor goes on.
#[tokio::test]
async fn a_checkpoint_that_is_too_large_fails_alone() {
    let cells = ["alice", "bob", "carol"].map(cell);
    let store = Narrow { store: MemoryStore::new(), refused: id("bob") };
    let (written, writing) = (store.store.clone(), writing(Arc::new(store)));
    let held = writing.checkpointer.hold().await;
    let mut outcomes = Vec::new();
    for cell in &cells {
        outcomes.push(writing.write(cell, captured(cell)).await);
    }
    drop(held);
    for (cell, outcome) in cells.iter().zip(outcomes) {
        let (outcome, refused) = (outcome.await.unwrap(), cell.id == id("bob"));
        assert_eq!(matches!(outcome, Err(CheckpointError::NotTaken { .. })), refused, "{}", cell.id);
        assert_eq!(cell.pins().is_covered(), !refused);
        assert_eq!(cell.holder().tries.unsaved, u64::from(refused));
        assert_eq!(written.get(&cell.id, Generation::Newest).unwrap().is_none(), refused);
    }
    assert!(writing.stop.reason().is_none());
}

/// Invariant: fail-stop. A store that fails ends the runtime, and everybody who waits hears why.
#[tokio::test]
async fn a_store_that_fails_ends_the_runtime() {
    let disk = SimulatedDisk::new(1);
    disk.plan_next(Fault::FailForGood, Call::Put);
    let (writing, alice, bob) = (writing(Arc::new(disk.open())), cell("alice"), cell("bob"));
    let held = writing.checkpointer.hold().await;
    let outcomes = [writing.write(&alice, captured(&alice)).await, writing.write(&bob, captured(&bob)).await];
    drop(held);
    for outcome in outcomes {
        let outcome = outcome.await.unwrap();
        assert!(matches!(outcome, Err(CheckpointError::Unavailable(Unavailable::Failed(_)))), "{outcome:?}");
    }
    assert!(writing.stop.is_set());
    assert_eq!(alice.pins().uncovered(), Some(Lsn::new(3)), "its log is kept");
    // What comes while the thread ends may be dropped with its queue.
    assert!(!matches!(writing.write(&alice, captured(&alice)).await.await, Ok(Ok(_))));
    assert!(matches!(writing.checkpointer.cut(Lsn::FIRST).await, Err(Ended::Failed(_))));
}

/// The end comes after the jobs that were queued before it.
#[test]
fn what_is_queued_is_done_before_the_end() {
    let (writing, alice) = (writing(Arc::new(MemoryStore::new())), cell("alice"));
    let (waiter, mut outcome) = oneshot::channel();
    let (checkpoint, _) = captured(&alice);
    let (request, motion) = (CheckpointRequest { waiters: vec![waiter] }, Motion::default());
    let owner = Owner { cell: Arc::clone(&alice), request, _motion: motion };
    let job = Job::Write(Taken { checkpoint, expected: None, owner });
    assert!(writing.checkpointer.jobs.blocking_send(job).is_ok());
    writing.checkpointer.stop();
    assert!(matches!(outcome.try_recv(), Ok(Ok(_))));
    assert!(writing.checkpointer.jobs.is_closed(), "nothing is taken any more");
    writing.checkpointer.stop();
}
