//! Writes checkpoints and cuts the log, on a thread of its own: no actor waits for either, and commits pass between.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use relive_storage::record::CheckpointMark;
use relive_storage::{Checkpoint, CheckpointNumber, FrameWriter, Lsn, Store, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::committer::Committer;
use crate::envelope::CheckpointRequest;
use crate::error::Refused;
use crate::limits::{CHECKPOINT_GROUP_BYTES_MAX, CHECKPOINT_GROUP_MAX, CHECKPOINT_QUEUE_MAX};
use crate::pins::Pins;
use crate::slot::Slot;
use crate::stats::Counters;
use crate::stop::Stop;
use crate::stored::Stored;

/// Hands checkpoints and cuts to the thread that does them.
pub(crate) struct Checkpointer {
    jobs: mpsc::Sender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Job {
    Write(Taken),
    Cut { below: Lsn, done: oneshot::Sender<Result<Lsn, Refused>> },
    Stop,
}

/// A checkpoint that was taken, and whoever waits until it is stable.
struct Taken {
    slot: Arc<Slot>,
    checkpoint: Checkpoint,
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
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(CHECKPOINT_QUEUE_MAX);
        let worker = Worker { store, committer, counters, stored, stop, last, writer: FrameWriter::new() };
        let thread = std::thread::Builder::new()
            .name("relive-checkpointer".to_owned())
            .spawn(move || worker.run(queue))?;
        Ok(Self { jobs, thread: Mutex::new(Some(thread)) })
    }

    /// Queues a checkpoint that was just taken; the slot's pins know that it was. Its number is given here.
    pub(crate) async fn write(&self, slot: &Arc<Slot>, checkpoint: Checkpoint, request: CheckpointRequest) {
        let taken = Taken { slot: Arc::clone(slot), checkpoint, request };
        if let Err(mpsc::error::SendError(Job::Write(taken))) = self.jobs.send(Job::Write(taken)).await {
            taken.fail(Refused::Stopped);
        }
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

impl Taken {
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
    fn write(&mut self, mut group: Vec<Taken>) {
        if let Some(reason) = self.stop.reason() {
            return group.into_iter().for_each(|taken| taken.fail(reason.clone()));
        }
        let mut checkpoints = Vec::with_capacity(group.len());
        for taken in &mut group {
            self.last = self.last.next();
            taken.checkpoint.header.number = self.last;
            self.stored.add(&taken.slot.id);
            checkpoints.push(taken.checkpoint.clone());
        }
        match self.store.put(&checkpoints) {
            Ok(()) => group.into_iter().for_each(|taken| self.stable(taken)),
            Err(StoreError::TooLarge { .. }) if group.len() > 1 => {
                // Nothing was written. The others are not to suffer from the one.
                group.into_iter().for_each(|taken| self.write(vec![taken]));
            }
            Err(error) => {
                let reason = self.failed(error);
                group.into_iter().for_each(|taken| taken.fail(reason.clone()));
            }
        }
    }

    fn stable(&mut self, taken: Taken) {
        let Taken { slot, checkpoint, request } = taken;
        let (number, rsn) = (checkpoint.header.number, checkpoint.header.rsn);
        slot.change_pins(Pins::stable);
        self.counters.checkpointed();
        self.committer.checkpointed();
        tracing::debug!(actor = %slot.id, %rsn, %number, "checkpoint is stable");
        // Nobody waits for the mark, and the checkpoint is found without: what fails here fails the next commit too.
        if let Err(error) = self.mark(&slot, CheckpointMark { number, rsn }) {
            tracing::warn!(actor = %slot.id, %error, "the checkpoint is stable, but the log can't say so");
        }
        request.tell(&Ok(rsn));
    }

    /// Says in the log that the checkpoint is stable.
    fn mark(&mut self, slot: &Slot, mark: CheckpointMark) -> Result<(), Arc<StoreError>> {
        self.writer.put_checkpoint_mark(mark);
        let frame = self.writer.finish(Some(&slot.id), mark.rsn, mark.rsn, &[]);
        self.committer.append_now(frame).map(drop)
    }

    fn cut(&mut self, below: Lsn) -> Result<Lsn, Refused> {
        if let Some(reason) = self.stop.reason() {
            return Err(reason);
        }
        match self.store.cut(below) {
            Ok(start) => {
                self.committer.was_cut(start);
                tracing::debug!(%start, "log is cut");
                Ok(start)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// A checkpoint that is too large or did not read back costs log space, no data: the log stays. Anything else
    /// ends the runtime.
    fn failed(&self, error: StoreError) -> Refused {
        let error = Arc::new(error);
        let mild = matches!(*error, StoreError::TooLarge { .. } | StoreError::CorruptCheckpoint { .. });
        tracing::error!(%error, "a checkpoint or a cut failed");
        if !mild {
            self.stop.set(Refused::Failed(Arc::clone(&error)));
        }
        Refused::Failed(error)
    }
}

/// Takes further checkpoints out of the queue, as long as they fit together: not two of one actor, and not too many
/// bytes. Gives the job that ended it, if it was one.
fn gather(first: Taken, queue: &mut mpsc::Receiver<Job>) -> (Vec<Taken>, Option<Job>) {
    let mut bytes = first.checkpoint.body.len();
    let mut group = vec![first];
    while group.len() < CHECKPOINT_GROUP_MAX && bytes < CHECKPOINT_GROUP_BYTES_MAX {
        match queue.try_recv() {
            Ok(Job::Write(taken)) if !group.iter().any(|other| Arc::ptr_eq(&other.slot, &taken.slot)) => {
                bytes += taken.checkpoint.body.len();
                group.push(taken);
            }
            Ok(other) => return (group, Some(other)),
            Err(_) => break,
        }
    }
    (group, None)
}
