//! The handle of a store on sled: opening, closing, and the log's half of the seam.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::ahead::Ahead;
use super::answers::JUDGES;
use super::blocks::{self, Cursors};
use super::engine::Engine;
use super::mark::Seal;
use super::options::SledOptions;
use super::seek::Ends;
use super::writer::{Status, Writer};
use crate::admission::Tail;
use crate::directory::io_error;
use crate::log::{Extent, Log, StoredBlock};
use crate::poison::Poison;
use crate::position::{CheckpointNumber, Lsn, StoreId};
use crate::worker::{Worker, reads, writes};
use crate::{Block, Durability, StoreError, boundary};

/// A store in a directory, on sled 0.34.
///
/// In the tier `PowerLoss` what [`Log::sync`] returned for survives the loss of power, in `ProcessCrash` the death of
/// the process. Damage, loss and exchange of its files are errors, at open or when the log and the checkpoints are
/// read. After a failed write or sync, and after a call that took longer than its timeout, it takes nothing more
/// until it is opened again.
///
/// Dropping it closes it as [`SledStore::close`] does, and only logs what goes wrong.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use relive_storage::{Log, SledOptions, SledStore};
///
/// let directory = tempfile::tempdir()?;
/// let store = SledStore::open(directory.path().join("data"), &SledOptions::default())?;
/// println!("{}", store.extent()?.store);
/// store.close()?;
/// # Ok(())
/// # }
/// ```
pub struct SledStore {
    pub(super) reader: Worker<Reader>,
    pub(super) writer: Worker<Writer>,
    pub(super) poison: Arc<Poison>,
    pub(super) status: Status,
    ahead: Ahead,
    /// What was appended, which may be in the writer's queue still.
    tail: Mutex<Tail>,
    /// Which checkpoints there are, once they were counted in this opening. Held by whoever changes or counts them,
    /// so that one does not see half of what the other does.
    pub(super) counted: Mutex<Counted>,
    path: PathBuf,
    store: StoreId,
    durability: Durability,
    closed: AtomicBool,
}

/// What is known of the checkpoints in this opening.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// All newest checkpoints.
    pub(super) seal: Option<Seal>,
    /// The highest number when remains of unfinished checkpoints were removed: of those that were put since, all that
    /// they doomed is removed.
    pub(super) cleared: Option<CheckpointNumber>,
}

impl SledStore {
    /// Opens the store of a directory; creates one in a directory that is missing or empty.
    ///
    /// A relative path is one of the working directory at this moment. A store of an older format becomes one of
    /// today's, which older versions do not open any more.
    ///
    /// # Errors
    /// None of its records was changed: [`StoreError::Locked`] (another process or handle has it open),
    /// [`StoreError::NotAStore`] (the directory holds something else), [`StoreError::NewerFormat`],
    /// [`StoreError::Missing`], [`StoreError::Mixed`] and [`StoreError::CorruptStore`] (restore the files; whatever sled
    /// refuses or panics over while it opens, unless a call of the system failed), [`StoreError::Misuse`] (the tier
    /// `Volatile`, which is that of [`crate::MemoryStore`]). Otherwise: [`StoreError::Io`], [`StoreError::Backend`],
    /// [`StoreError::Hung`].
    pub fn open(path: impl AsRef<Path>, options: &SledOptions) -> Result<Self, StoreError> {
        let path = path.as_ref();
        // From here on it does not matter what the process calls its working directory.
        let path = std::path::absolute(path).map_err(io_error("find", path))?;
        let SledOptions { durability, call_timeout, open_timeout } = *options;
        if durability == Durability::Volatile {
            let what =
                "a store in a directory was asked to be volatile, as only a `MemoryStore` is".to_owned();
            return Err(StoreError::Misuse { what });
        }
        let poison = Arc::new(Poison::default());
        let open = {
            let (path, poison) = (path.clone(), Arc::clone(&poison));
            move || Writer::open(&path, durability, poison)
        };
        let timeouts = (open_timeout, call_timeout);
        let writer =
            Worker::start("relive-writer", reads("open"), timeouts, (Arc::clone(&poison), JUDGES), open)?;
        let (store, status, engine) =
            writer.call(reads("open"), |writer| Ok((writer.store(), writer.status(), writer.engine())))?;
        let reader =
            Worker::start("relive-reader", reads("open"), timeouts, (Arc::clone(&poison), JUDGES), || {
                Ok(Reader { engine, cursors: Cursors::default(), ends: Ends::default() })
            })?;
        let acknowledged = status.get().acknowledged;
        tracing::info!(path = %path.display(), tier = %durability, %store, %acknowledged, "opened the store");
        Ok(Self {
            reader,
            writer,
            poison,
            status,
            ahead: Ahead::default(),
            tail: Mutex::default(),
            counted: Mutex::default(),
            path,
            store,
            durability,
            closed: AtomicBool::new(false),
        })
    }

    /// Makes everything stable, records what there is, and closes sled. Blocks that were appended and not synced are
    /// not acknowledged by it.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], or the damage that was met, when something failed before: then nothing was written.
    /// [`StoreError::Hung`] when the backend did not end in time: its threads are left behind, and hold the lock as long
    /// as they run.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.shut()
    }

    fn shut(&mut self) -> Result<(), StoreError> {
        let finished = self.finish();
        // Both are stopped in any case, so that the lock is free after this, as far as that can be had.
        let reader = self.reader.stop();
        let writer = self.writer.stop();
        finished.and(reader).and(writer)
    }

    /// Does the last job, once.
    fn finish(&self) -> Result<(), StoreError> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let seal = self.counted.lock().unwrap_or_else(PoisonError::into_inner).seal;
        self.poison.check()?;
        self.writer.call(writes("close"), move |writer| writer.close(seal))
    }
}

/// The state of the reader's thread.
pub(super) struct Reader {
    pub(super) engine: Engine,
    cursors: Cursors,
    /// Of the checkpoints.
    pub(super) ends: Ends,
}

impl Drop for SledStore {
    fn drop(&mut self) {
        if let Err(error) = self.shut() {
            let (path, reason) = (self.path.display(), error.cause());
            tracing::warn!(%path, reason, "the store was not closed cleanly");
        }
    }
}

impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledStore")
            .field("path", &self.path)
            .field("store", &self.store)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

impl Log for SledStore {
    fn extent(&self) -> Result<Extent, StoreError> {
        let mark = self.status.get();
        Ok(Extent {
            store: self.store,
            durability: self.durability,
            start: mark.start,
            acknowledged: mark.acknowledged,
            epoch: mark.epoch,
        })
    }

    fn append(&self, block: &Block) -> Result<(), StoreError> {
        self.poison.check()?;
        // Held until the block is in the queue, so that blocks stand there in the order in which they were admitted.
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let acknowledged = self.status.get().acknowledged;
        let next = tail.admit(&block.header(), acknowledged, |first| {
            self.writer.call(reads("append"), move |writer| writer.stored_end(first))
        })?;
        // The sync that follows waits for it, and tells when it failed.
        let block = block.clone();
        self.writer.post(writes("append"), move |writer| writer.append(&block));
        tail.advance(next);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.poison.check()?;
        self.writer.call(writes("sync"), Writer::sync)
    }

    fn read(&self, from: Lsn) -> Result<Option<StoredBlock>, StoreError> {
        let mark = self.status.get();
        let from = from.max(mark.start);
        let begin = |from: Lsn| {
            self.reader.begin(reads("read"), move |reader| {
                blocks::read_on(&reader.engine.log, from, mark.acknowledged, &mut reader.cursors)
            })
        };
        if let Some(block) = self.ahead.take(from, begin)? {
            return Ok(Some(StoredBlock { first: from, block: Ok(block) }));
        }
        let read = move |reader: &mut Reader| blocks::read(&reader.engine.log, from, &mut reader.cursors);
        let stored = self.reader.call(reads("read"), read)?;
        if let Some(StoredBlock { first, block: Ok(block) }) = &stored
            && *first == from
        {
            self.ahead.passed(from, block.header().next(), begin);
        }
        Ok(stored)
    }

    fn cut(&self, below: Lsn) -> Result<Lsn, StoreError> {
        self.poison.check()?;
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        // The log below is needed no more because of checkpoints: from now on they may not go missing.
        let seal = self.count(&mut counted)?;
        let start = self.writer.call(writes("cut"), move |writer| writer.begin_cut(below, seal))?;
        while self.writer.call(writes("cut"), Writer::cut_step)? {}
        boundary!("cut.end");
        Ok(start)
    }

    fn close(&self) -> Result<(), StoreError> {
        self.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::conformance::block_of;

    #[derive(Clone, Debug)]
    enum Step {
        /// So many blocks of that many bytes, with a sync after them or without.
        Append(usize, usize, bool),
        /// Removes about that part of the log.
        Cut(u64),
        /// One of the readers goes on by so many blocks.
        GoOn(usize, usize),
        /// One of the readers goes to about that part of the log.
        Go(usize, u64),
        /// What was appended and not synced is replaced.
        Replace,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let append = (1..40_usize, prop_oneof![300..2_000_usize, 60_000..200_000_usize], any::<bool>());
        let step = prop_oneof![
            3 => append.prop_map(|(blocks, bytes, sync)| Step::Append(blocks, bytes, sync)),
            1 => (0..64_u64).prop_map(Step::Cut),
            8 => (0..2_usize, 1..20_usize).prop_map(|(reader, blocks)| Step::GoOn(reader, blocks)),
            1 => (0..2_usize, 0..64_u64).prop_map(|(reader, part)| Step::Go(reader, part)),
            1 => Just(Step::Replace),
        ];
        prop::collection::vec(step, 1..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Invariant: prefix. What is read ahead is what is stored when it is asked for, whatever was appended, replaced
        /// and cut in between.
        #[test]
        fn what_is_read_ahead_is_what_is_stored(steps in steps()) {
            let root = tempfile::tempdir().unwrap();
            let options = SledOptions::default().durability(Durability::ProcessCrash);
            let mut store = SledStore::open(root.path(), &options).unwrap();
            let (mut next, mut at) = (0_u64, [Lsn::FIRST; 2]);
            for step in steps {
                match step {
                    Step::Append(blocks, bytes, sync) => {
                        for _ in 0..blocks {
                            let block = block_of(next, store.extent().unwrap().acknowledged.get(), bytes);
                            store.append(&block).unwrap();
                            next = block.header().next().get();
                        }
                        if sync {
                            store.sync().unwrap();
                        }
                    }
                    Step::Cut(part) => drop(store.cut(Lsn::new(next * part / 64)).unwrap()),
                    Step::Go(reader, part) => at[reader] = Lsn::new(next * part / 64),
                    Step::GoOn(reader, blocks) => {
                        // What was appended is not to come in between.
                        store.writer.call(writes("append"), |_| Ok(())).unwrap();
                        for _ in 0..blocks {
                            let from = at[reader].max(store.extent().unwrap().start);
                            let stored = store.reader.call(reads("read"), move |reader| {
                                blocks::read(&reader.engine.log, from, &mut Cursors::default())
                            });
                            let stored = stored.unwrap();
                            prop_assert_eq!(&store.read(at[reader]).unwrap(), &stored);
                            let Some(StoredBlock { block: Ok(block), .. }) = stored else { break };
                            at[reader] = block.header().next();
                        }
                    }
                    Step::Replace => {
                        drop(store);
                        store = SledStore::open(root.path(), &options).unwrap();
                        next = store.extent().unwrap().acknowledged.get();
                    }
                }
            }
        }
    }
}
