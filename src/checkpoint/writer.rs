//! Writes checkpoints and cuts the log, on a thread of its own: no actor waits for either, and
//! commits pass in between.

use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::thread::JoinHandle;

use relive_replay::checkpoint_body::verify;
use relive_replay::guard::guarded;
use relive_replay::payload::Expected;
use relive_storage::record::CheckpointMark;
use relive_storage::{Checkpoint, CheckpointHeader, CheckpointNumber, FrameWriter, Lsn, Store, StoreError};
use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot};

use crate::actor::cell::ActorCell;
use crate::actor::envelope::CheckpointRequest;
use crate::error::{CheckpointError, Ended};
use crate::harness::{Harness, Motion, Moving};
use crate::limits::{CHECKPOINT_GROUP_BYTES_MAX, CHECKPOINT_GROUP_MAX, CHECKPOINT_QUEUE_MAX};
use crate::log::budget::LogBudget;
use crate::log::committer::{Committer, panicked};
use crate::replayers::Replayers;
use crate::retention::checkpointed::CheckpointedActors;
use crate::retention::pins::Pins;
use crate::stats::Counters;
use crate::stop_signal::StopSignal;

/// Hands checkpoints and cuts to the thread that does them.
pub(crate) struct Checkpointer {
    jobs: mpsc::Sender<Job>,
    /// Held while a caller requests many checkpoints, so that the thread writes them together.
    gate: Arc<Mutex<()>>,
    thread: StdMutex<Option<JoinHandle<()>>>,
    stop: Arc<StopSignal>,
    harness: Harness,
}

enum Job {
    Write(Taken),
    Cut { below: Lsn, done: oneshot::Sender<Result<Lsn, Ended>>, _motion: Motion },
    Stop,
}

/// A checkpoint that was taken.
struct Taken {
    checkpoint: Checkpoint,
    /// What its state must decode to; `None` when that is checked.
    expected: Option<Expected>,
    owner: Owner,
}

/// The actor of a checkpoint, and the callers that wait until it is durable.
struct Owner {
    cell: Arc<ActorCell>,
    request: CheckpointRequest,
    /// Moves until they know.
    _motion: Motion,
}

/// What a checkpointer works with.
pub(crate) struct CheckpointerParts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) committer: Arc<Committer>,
    pub(crate) log_budget: Arc<LogBudget>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stored: Arc<CheckpointedActors>,
    pub(crate) stop: Arc<StopSignal>,
    pub(crate) harness: Harness,
    /// The highest number given so far.
    pub(crate) last: CheckpointNumber,
}

struct Worker {
    parts: CheckpointerParts,
    writer: FrameWriter,
    gate: Arc<Mutex<()>>,
}

impl Checkpointer {
    /// Starts the thread.
    pub(crate) fn start(parts: CheckpointerParts, replayers: &Replayers) -> std::io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel(CHECKPOINT_QUEUE_MAX);
        let (told, ends) = (Arc::clone(&parts.stop), Arc::clone(&parts.stop));
        let (gate, writer) = (Arc::new(Mutex::new(())), FrameWriter::new());
        let harness = parts.harness.clone();
        let worker = Worker { parts, writer, gate: Arc::clone(&gate) };
        // States are decoded there, so it has the stack of those that restore actors.
        let thread = replayers.thread("relive-checkpointer").spawn(move || {
            // The queue closes after the reason of a panic is set: a caller that finds it closed
            // finds the reason too.
            if let Err(panic) = guarded(|| worker.run(&mut queue)) {
                told.set(Ended::from(Arc::new(panicked("write a checkpoint", &panic))));
            }
        })?;
        Ok(Self { jobs, gate, thread: StdMutex::new(Some(thread)), stop: ends, harness })
    }

    /// Queues a checkpoint that the cell's pins know as taken. The thread gives it its number.
    pub(crate) async fn write(
        &self,
        cell: &Arc<ActorCell>,
        checkpoint: Checkpoint,
        expected: Expected,
        request: CheckpointRequest,
    ) {
        assert!(cell.pins().is_pending(), "a checkpoint of {} is queued after its pins are taken", cell.id);
        let number = checkpoint.header.number;
        assert_eq!(number, CheckpointNumber::default(), "only the thread that writes gives numbers");
        let expected = Some(expected);
        let motion = self.harness.begin(|| Moving::Task("a checkpoint is written"));
        let owner = Owner { cell: Arc::clone(cell), request, _motion: motion };
        let taken = Taken { checkpoint, expected, owner };
        if let Err(mpsc::error::SendError(Job::Write(taken))) = self.jobs.send(Job::Write(taken)).await {
            taken.owner.fail(self.stop.wait().await.into());
        }
    }

    /// Lets checkpoints gather until the caller drops the guard.
    pub(crate) async fn hold(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().await
    }

    /// Cuts the log below a position; no actor may need anything below it. Returns the new
    /// beginning.
    pub(crate) async fn cut(&self, below: Lsn) -> Result<Lsn, Ended> {
        let (done, outcome) = oneshot::channel();
        // The queue closes, and a job is dropped, only when the runtime ends.
        let _motion = self.harness.begin(|| Moving::Task("the log is cut"));
        if self.jobs.send(Job::Cut { below, done, _motion }).await.is_err() {
            return Err(self.stop.wait().await);
        }
        match outcome.await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.stop.wait().await),
        }
    }

    /// How many jobs wait.
    pub(crate) fn waiting(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// Ends the thread soon, once the runtime has stopped. Does not wait for it.
    pub(crate) fn abandon(&self) {
        // When the queue is full, the thread ends by itself: it looks at the stop after each job.
        let _ = self.jobs.try_send(Job::Stop);
    }

    /// Ends the thread after the queued jobs. Blocks, so call it on no thread of the async runtime.
    pub(crate) fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Taken, so that two callers do not both join it; the other one does not wait.
        let Some(thread) = thread else { return };
        let _ = self.jobs.blocking_send(Job::Stop);
        let _ = thread.join();
    }
}

impl Owner {
    /// The checkpoint failed its check. The actor goes on, and the log keeps its records.
    fn does_not_count(self, reason: String) {
        let actor = self.cell.id.clone();
        tracing::warn!(%actor, reason, "no checkpoint could be taken, the log keeps what it would have held");
        self.cell.unsaved();
        self.fail(CheckpointError::NotTaken { actor, reason });
    }

    fn fail(self, reason: CheckpointError) {
        // Before the caller hears of it: a caller that looks at the pins sees the log kept.
        self.cell.change_pins(Pins::failed);
        self.request.tell(&Err(reason));
    }
}

impl Worker {
    fn run(mut self, queue: &mut mpsc::Receiver<Job>) {
        let mut next = None;
        while let Some(job) = next.take().or_else(|| queue.blocking_recv()) {
            match job {
                Job::Write(taken) => {
                    // Only waited for, not held: a caller that gathers checkpoints must not wait
                    // for a sync.
                    drop(self.gate.blocking_lock());
                    let (group, other) = gather(taken, queue);
                    self.write(group);
                    next = other;
                }
                Job::Cut { below, done, _motion } => {
                    let outcome = self.cut(below);
                    let _ = done.send(outcome);
                }
                Job::Stop => return,
            }
            if self.parts.stop.is_set() {
                return;
            }
        }
    }

    /// Writes checkpoints together: one sync for all of them.
    fn write(&mut self, group: Vec<Taken>) {
        if let Some(reason) = self.parts.stop.reason() {
            return group.into_iter().for_each(|taken| taken.owner.fail(reason.clone().into()));
        }
        let group = group.into_iter().filter_map(readable);
        let taken = group.map(|Taken { mut checkpoint, owner, .. }| {
            self.parts.last = self.parts.last.next();
            checkpoint.header.number = self.parts.last;
            // Before the write: a loader that finds the actor absent would not look into the
            // store. An entry too many costs one look.
            self.parts.stored.add(&checkpoint.header.actor);
            (checkpoint, owner)
        });
        let (checkpoints, owners): (Vec<_>, Vec<_>) = taken.unzip();
        assert!(owners.len() <= CHECKPOINT_GROUP_MAX, "a sync serves {} checkpoints", owners.len());
        if owners.is_empty() {
            return;
        }
        match self.parts.store.put(&checkpoints) {
            Ok(()) => self.are_durable(&checkpoints, owners),
            Err(StoreError::TooLarge { .. }) if owners.len() > 1 => {
                // The store wrote nothing. One checkpoint that is too large must not fail the
                // others.
                for (checkpoint, owner) in checkpoints.into_iter().zip(owners) {
                    self.write(vec![Taken { checkpoint, expected: None, owner }]);
                }
            }
            Err(error) if is_of_the_checkpoint(&error) => {
                let reason = error.to_string();
                owners.into_iter().for_each(|owner| owner.does_not_count(reason.clone()));
            }
            Err(error) => {
                let reason = self.failed(error);
                owners.into_iter().for_each(|owner| owner.fail(reason.clone().into()));
            }
        }
    }

    fn are_durable(&mut self, checkpoints: &[Checkpoint], owners: Vec<Owner>) {
        assert_eq!(owners.len(), checkpoints.len(), "each checkpoint that was put has its owner");
        for (owner, Checkpoint { header, .. }) in owners.iter().zip(checkpoints) {
            owner.cell.change_pins(Pins::durable);
            tracing::debug!(actor = %header.actor, rsn = %header.rsn, number = %header.number, "checkpoint is durable");
        }
        self.parts.counters.checkpointed(checkpoints.len() as u64);
        self.parts.log_budget.loosened();
        // Nobody waits for the marks, and a checkpoint is found without: what fails here fails the
        // next commit too.
        if let Err(error) = self.mark(checkpoints) {
            tracing::warn!(%error, "checkpoints are durable, but the log can't say so");
        }
        // Last: a caller that hears of its checkpoint finds the pins changed.
        for (owner, checkpoint) in owners.into_iter().zip(checkpoints) {
            owner.request.tell(&Ok(checkpoint.header.rsn));
        }
    }

    /// Marks checkpoints as durable in the log, in one block.
    fn mark(&mut self, checkpoints: &[Checkpoint]) -> Result<(), Arc<StoreError>> {
        // Holds the buffer over all marks. A group is small, and no I/O comes between.
        let mut appending = self.parts.committer.begin_append();
        for Checkpoint { header, .. } in checkpoints {
            let CheckpointHeader { number, rsn, .. } = *header;
            self.writer.put_checkpoint_mark(CheckpointMark { number, rsn });
            appending.put(self.writer.finish(Some(&header.actor), rsn, rsn, &[]))?;
        }
        Ok(())
    }

    fn cut(&mut self, below: Lsn) -> Result<Lsn, Ended> {
        if let Some(reason) = self.parts.stop.reason() {
            return Err(reason);
        }
        match self.parts.store.cut(below) {
            Ok(start) => {
                // What the store says, not what was asked for: it may cut less.
                self.parts.log_budget.was_cut(start);
                tracing::debug!(%start, "log is cut");
                Ok(start)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The store has failed, and ends the runtime.
    fn failed(&self, error: StoreError) -> Ended {
        let error = Arc::new(error);
        tracing::error!(%error, "a checkpoint or a cut failed");
        // Fail-stop: what of the write is on the disk is unknown, and only an opening finds out.
        self.parts.stop.set(Ended::from(Arc::clone(&error)));
        error.into()
    }
}

/// Invariant: checkpoint-covers-log. The checkpointer writes no bytes, and cuts no log for them,
/// before it has decoded them as the actor's state.
fn readable(taken: Taken) -> Option<Taken> {
    let Taken { checkpoint, expected, owner } = taken;
    match expected.map_or(Ok(()), |expected| verify(&owner.cell.kind, &checkpoint, &expected)) {
        Ok(()) => Some(Taken { checkpoint, expected: None, owner }),
        Err(error) => {
            owner.does_not_count(format!("the state does not survive its codec: {error}"));
            None
        }
    }
}

/// Whether the checkpoint itself is at fault: too large, or it did not read back. That costs log
/// space but loses no data, since the log stays.
fn is_of_the_checkpoint(error: &StoreError) -> bool {
    matches!(error, StoreError::TooLarge { .. } | StoreError::CorruptCheckpoint { .. })
}

/// Takes further checkpoints out of the queue, as long as they fit together: not two of one actor,
/// and not too many bytes. Also returns the job that did not fit, if there was one.
fn gather(first: Taken, queue: &mut mpsc::Receiver<Job>) -> (Vec<Taken>, Option<Job>) {
    let mut bytes = first.checkpoint.body.len();
    let mut group = vec![first];
    // Checked before each: a group may exceed the bytes by one checkpoint.
    while group.len() < CHECKPOINT_GROUP_MAX && bytes < CHECKPOINT_GROUP_BYTES_MAX {
        match queue.try_recv() {
            Ok(Job::Write(taken))
                if !group.iter().any(|other| Arc::ptr_eq(&other.owner.cell, &taken.owner.cell)) =>
            {
                bytes += taken.checkpoint.body.len();
                group.push(taken);
            }
            Ok(other) => return (group, Some(other)),
            Err(_) => break,
        }
    }
    (group, None)
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
