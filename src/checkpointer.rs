//! Writes checkpoints and cuts the log, on a thread of its own: no actor waits for either, and commits pass between.

use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::thread::JoinHandle;

use relive_replay::checkpoint_body::verify;
use relive_replay::guard::guarded;
use relive_replay::payload::Expected;
use relive_storage::record::CheckpointMark;
use relive_storage::{Checkpoint, CheckpointHeader, CheckpointNumber, FrameWriter, Lsn, Store, StoreError};
use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot};

use crate::committer::{Committer, panicked};
use crate::envelope::CheckpointRequest;
use crate::error::Refused;
use crate::limits::{CHECKPOINT_GROUP_BYTES_MAX, CHECKPOINT_GROUP_MAX, CHECKPOINT_QUEUE_MAX};
use crate::pins::Pins;
use crate::replayers::Replayers;
use crate::slot::Slot;
use crate::stats::Counters;
use crate::stop::Stop;
use crate::stored::Stored;

/// Hands checkpoints and cuts to the thread that does them.
pub(crate) struct Checkpointer {
    jobs: mpsc::Sender<Job>,
    /// Held by whoever asks for many checkpoints, so that they are written together.
    gate: Arc<Mutex<()>>,
    thread: StdMutex<Option<JoinHandle<()>>>,
}

enum Job {
    Write(Taken),
    Cut { below: Lsn, done: oneshot::Sender<Result<Lsn, Refused>> },
    Stop,
}

/// A checkpoint that was taken.
struct Taken {
    checkpoint: Checkpoint,
    /// What its state is to be when it is read back; `None` when it was.
    expected: Option<Expected>,
    owner: Owner,
}

/// Whose a checkpoint is, and whoever waits until it is stable.
struct Owner {
    slot: Arc<Slot>,
    request: CheckpointRequest,
}

struct Worker {
    store: Arc<dyn Store>,
    committer: Arc<Committer>,
    counters: Arc<Counters>,
    stored: Arc<Stored>,
    stop: Arc<Stop>,
    last: CheckpointNumber,
    writer: FrameWriter,
    gate: Arc<Mutex<()>>,
}

impl Checkpointer {
    /// Starts the thread; `last` is the highest number given so far.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        committer: Arc<Committer>,
        counters: Arc<Counters>,
        stored: Arc<Stored>,
        stop: Arc<Stop>,
        last: CheckpointNumber,
        replayers: &Replayers,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(CHECKPOINT_QUEUE_MAX);
        let told = Arc::clone(&stop);
        let (gate, writer) = (Arc::new(Mutex::new(())), FrameWriter::new());
        let worker =
            Worker { store, committer, counters, stored, stop, last, writer, gate: Arc::clone(&gate) };
        // States are decoded there, so it has the stack of those that restore actors.
        let thread = replayers.thread("relive-checkpointer").spawn(move || {
            if let Err(panic) = guarded(|| worker.run(queue)) {
                told.set(Refused::Failed(Arc::new(panicked("write a checkpoint", &panic))));
            }
        })?;
        Ok(Self { jobs, gate, thread: StdMutex::new(Some(thread)) })
    }

    /// Queues a checkpoint that was just taken; the slot's pins know that it was. Its number is given here.
    pub(crate) async fn write(
        &self,
        slot: &Arc<Slot>,
        checkpoint: Checkpoint,
        expected: Expected,
        request: CheckpointRequest,
    ) {
        let expected = Some(expected);
        let taken = Taken { checkpoint, expected, owner: Owner { slot: Arc::clone(slot), request } };
        if let Err(mpsc::error::SendError(Job::Write(taken))) = self.jobs.send(Job::Write(taken)).await {
            taken.owner.fail(Refused::Stopped);
        }
    }

    /// Lets checkpoints gather until what it gives is dropped.
    pub(crate) async fn hold(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().await
    }

    /// Cuts the log below a position that no actor needs; gives where it begins then.
    pub(crate) async fn cut(&self, below: Lsn) -> Result<Lsn, Refused> {
        let (done, outcome) = oneshot::channel();
        self.jobs.send(Job::Cut { below, done }).await.map_err(|_| Refused::Stopped)?;
        outcome.await.unwrap_or(Err(Refused::Stopped))
    }

    /// How many jobs wait.
    pub(crate) fn waiting(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// Ends the thread soon, after everything has been stopped; does not wait for it.
    pub(crate) fn abandon(&self) {
        let _ = self.jobs.try_send(Job::Stop);
    }

    /// Ends the thread after what is queued. Blocks, so not on a thread of the async runtime.
    pub(crate) fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let _ = self.jobs.blocking_send(Job::Stop);
        let _ = thread.join();
    }
}

impl Owner {
    /// The checkpoint is not one; the actor goes on, and the log with it.
    fn does_not_count(self, reason: String) {
        let actor = self.slot.id.clone();
        tracing::warn!(%actor, reason, "no checkpoint could be taken, the log keeps what it would have held");
        self.slot.unsaved();
        self.fail(Refused::Checkpoint { actor, reason });
    }

    fn fail(self, reason: Refused) {
        self.slot.change_pins(Pins::failed);
        self.request.tell(&Err(reason));
    }
}

impl Worker {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut next = None;
        while let Some(job) = next.take().or_else(|| queue.blocking_recv()) {
            match job {
                Job::Write(taken) => {
                    drop(self.gate.blocking_lock());
                    let (group, other) = gather(taken, &mut queue);
                    self.write(group);
                    next = other;
                }
                Job::Cut { below, done } => {
                    let outcome = self.cut(below);
                    let _ = done.send(outcome);
                }
                Job::Stop => return,
            }
            if self.stop.is_set() {
                return;
            }
        }
    }

    /// Writes checkpoints together: one sync for all of them.
    fn write(&mut self, group: Vec<Taken>) {
        if let Some(reason) = self.stop.reason() {
            return group.into_iter().for_each(|taken| taken.owner.fail(reason.clone()));
        }
        let group = group.into_iter().filter_map(readable);
        let taken = group.map(|Taken { mut checkpoint, owner, .. }| {
            self.last = self.last.next();
            checkpoint.header.number = self.last;
            self.stored.add(&checkpoint.header.actor);
            (checkpoint, owner)
        });
        let (checkpoints, owners): (Vec<_>, Vec<_>) = taken.unzip();
        if owners.is_empty() {
            return;
        }
        match self.store.put(&checkpoints) {
            Ok(()) => self.stable(&checkpoints, owners),
            Err(StoreError::TooLarge { .. }) if owners.len() > 1 => {
                // Nothing was written. The others are not to suffer from the one.
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
                owners.into_iter().for_each(|owner| owner.fail(reason.clone()));
            }
        }
    }

    fn stable(&mut self, checkpoints: &[Checkpoint], owners: Vec<Owner>) {
        for (owner, Checkpoint { header, .. }) in owners.iter().zip(checkpoints) {
            owner.slot.change_pins(Pins::stable);
            tracing::debug!(actor = %header.actor, rsn = %header.rsn, number = %header.number, "checkpoint is stable");
        }
        self.counters.checkpointed(checkpoints.len() as u64);
        self.committer.retained.loosened();
        // Nobody waits for the marks, and a checkpoint is found without: what fails here fails the next commit too.
        if let Err(error) = self.mark(checkpoints) {
            tracing::warn!(%error, "checkpoints are stable, but the log can't say so");
        }
        for (owner, checkpoint) in owners.into_iter().zip(checkpoints) {
            owner.request.tell(&Ok(checkpoint.header.rsn));
        }
    }

    /// Says in the log that checkpoints are stable, in one block.
    fn mark(&mut self, checkpoints: &[Checkpoint]) -> Result<(), Arc<StoreError>> {
        let mut appending = self.committer.begin_append();
        for Checkpoint { header, .. } in checkpoints {
            let CheckpointHeader { number, rsn, .. } = *header;
            self.writer.put_checkpoint_mark(CheckpointMark { number, rsn });
            appending.put(self.writer.finish(Some(&header.actor), rsn, rsn, &[]))?;
        }
        Ok(())
    }

    fn cut(&mut self, below: Lsn) -> Result<Lsn, Refused> {
        if let Some(reason) = self.stop.reason() {
            return Err(reason);
        }
        match self.store.cut(below) {
            Ok(start) => {
                self.committer.retained.was_cut(start);
                tracing::debug!(%start, "log is cut");
                Ok(start)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The store has failed, and ends the runtime.
    fn failed(&self, error: StoreError) -> Refused {
        let error = Arc::new(error);
        tracing::error!(%error, "a checkpoint or a cut failed");
        self.stop.set(Refused::Failed(Arc::clone(&error)));
        Refused::Failed(error)
    }
}

/// Invariant: checkpoint-covers-log. Nothing is written, and no log is cut, on the strength of bytes that have not been
/// read as the state that they are to become.
fn readable(taken: Taken) -> Option<Taken> {
    let Taken { checkpoint, expected, owner } = taken;
    match expected.map_or(Ok(()), |expected| verify(&owner.slot.kind, &checkpoint, &expected)) {
        Ok(()) => Some(Taken { checkpoint, expected: None, owner }),
        Err(error) => {
            owner.does_not_count(format!("the state does not survive its codec: {error}"));
            None
        }
    }
}

/// A checkpoint that is too large or did not read back costs log space, no data: the log stays.
fn is_of_the_checkpoint(error: &StoreError) -> bool {
    matches!(error, StoreError::TooLarge { .. } | StoreError::CorruptCheckpoint { .. })
}

/// Takes further checkpoints out of the queue, as long as they fit together: not two of one actor, and not too many
/// bytes. Gives the job that ended it, if it was one.
fn gather(first: Taken, queue: &mut mpsc::Receiver<Job>) -> (Vec<Taken>, Option<Job>) {
    let mut bytes = first.checkpoint.body.len();
    let mut group = vec![first];
    while group.len() < CHECKPOINT_GROUP_MAX && bytes < CHECKPOINT_GROUP_BYTES_MAX {
        match queue.try_recv() {
            Ok(Job::Write(taken))
                if !group.iter().any(|other| Arc::ptr_eq(&other.owner.slot, &taken.owner.slot)) =>
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
