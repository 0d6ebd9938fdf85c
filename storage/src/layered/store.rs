//! The handle of a store over a medium: starts its threads, hands work to them, and is the log's
//! half of the backend.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::log_index::read_at;
use super::log_writer::LogWriter;
use super::packer::Packer;
use super::read_ahead::ReadAhead;
use super::shared::Shared;
use crate::boundary;
use crate::contract::append_rules::Tail;
use crate::contract::durability::Durability;
use crate::contract::error::StoreError;
use crate::contract::log::{Extent, Log, StoredBlock};
use crate::format::block::Block;
use crate::id::position::{Lsn, StoreId};
use crate::medium::Medium;
use crate::threads::poison::Poison;
use crate::threads::worker::{ErrorRules, Worker, reads, writes};

/// A store over a medium.
///
/// Its calls run on three threads of its own: one changes the log, one changes the checkpoints, one
/// reads. When a call never returns, the store leaves its thread behind, and the caller gets
/// [`StoreError::Hung`].
///
/// # Examples
/// ```
/// use relive_storage::medium::memory::MemoryMedium;
/// use relive_storage::{LayeredOptions, LayeredStore, Log};
///
/// let store = LayeredStore::open(|| Ok(Box::new(MemoryMedium::new())), &LayeredOptions::default())?;
/// assert_eq!(store.extent()?.start.get(), 0);
/// # Ok::<(), relive_storage::StoreError>(())
/// ```
pub struct LayeredStore {
    // These stop before the rest is dropped.
    pub(super) reader: Worker<Arc<Shared>>,
    pub(super) packer: Worker<Packer>,
    writer: Worker<LogWriter>,
    pub(super) shared: Arc<Shared>,
    ahead: ReadAhead,
    tail: Mutex<Tail>,
    /// Held by a put and by a listing, which wait for each other.
    pub(super) checkpoints: Mutex<()>,
    store: StoreId,
    durability: Durability,
    closed: AtomicBool,
}

/// The options of a [`LayeredStore`]: how long its calls may take, and how large its packs are.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LayeredOptions {
    /// How long one call may take, the wait for earlier calls included, before the store gives it
    /// up as hung: 30 seconds by default. Time in which the process is stopped, or the machine
    /// sleeps, does not count.
    pub call_timeout: Duration,
    /// How long opening may take: 5 minutes by default. A medium may read back everything written
    /// since the last opening.
    pub open_timeout: Duration,
    /// The store closes a pack of checkpoints when it has this many bytes, or more in a large
    /// store: 8 MiB by default. Twice as many may be dead before the store copies anything.
    pub pack_bytes: u64,
}

impl Default for LayeredOptions {
    fn default() -> Self {
        Self {
            call_timeout: Duration::from_secs(30),
            open_timeout: Duration::from_secs(300),
            pack_bytes: 8 << 20,
        }
    }
}

impl LayeredOptions {
    /// Chooses how long one call may take.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Chooses how long opening may take.
    #[must_use]
    pub fn open_timeout(mut self, timeout: Duration) -> Self {
        self.open_timeout = timeout;
        self
    }

    /// Chooses at how many bytes the store closes a pack of checkpoints.
    #[must_use]
    pub fn pack_bytes(mut self, bytes: u64) -> Self {
        self.pack_bytes = bytes;
        self
    }
}

/// The errors of a medium carry their meaning; a panic carries only its text.
const ERROR_RULES: ErrorRules = ErrorRules {
    panicked: |action, text| StoreError::Backend { action, reason: text.to_owned() },
    in_reading: |error| error,
};

impl LayeredStore {
    /// Opens a medium, and the store on it. An empty medium becomes a new store.
    ///
    /// # Errors
    /// Those of `medium`. [`StoreError::CorruptStore`] when the superblock can't be read, or a pack
    /// of checkpoints is missing, shorter than it was, or damaged where no other value says what
    /// was there. The opening changed no record then; restore the files.
    pub fn open(
        medium: impl FnOnce() -> Result<Box<dyn Medium>, StoreError> + Send + 'static,
        options: &LayeredOptions,
    ) -> Result<Self, StoreError> {
        let poison = Arc::new(Poison::default());
        let timeouts = (options.open_timeout, options.call_timeout);
        let rules = || (Arc::clone(&poison), ERROR_RULES);
        let noted = Arc::clone(&poison);
        let pack_bytes = options.pack_bytes;
        // On its thread already: an opening may hang or panic as any other call.
        let make = move || LogWriter::open(medium()?, pack_bytes, noted);
        let writer = Worker::start("relive-writer", reads("open"), timeouts, rules(), make)?;
        let (shared, packer) = writer.call(reads("open"), LogWriter::hand_over)?;
        let packer = Worker::start("relive-packer", reads("open"), timeouts, rules(), || Ok(packer))?;
        let reading = Arc::clone(&shared);
        let reader = Worker::start("relive-reader", reads("open"), timeouts, rules(), || Ok(reading))?;
        let (store, durability) = (shared.medium.store(), shared.medium.durability());
        let acknowledged = shared.superblock().acknowledged;
        tracing::info!(tier = %durability, %store, %acknowledged, "opened the store");
        Ok(Self {
            reader,
            packer,
            writer,
            shared,
            ahead: ReadAhead::default(),
            tail: Mutex::default(),
            checkpoints: Mutex::default(),
            store,
            durability,
            closed: AtomicBool::new(false),
        })
    }

    /// Syncs everything, and closes the medium. It does not acknowledge blocks that were appended
    /// and not synced.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], or the damage itself, when an earlier call failed: then the close
    /// wrote nothing. [`StoreError::Hung`] when the medium did not end in time: its threads stay
    /// behind, and hold the lock as long as they run.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.shut()
    }

    fn shut(&mut self) -> Result<(), StoreError> {
        let finished = self.finish();
        // All threads stop even when the last job failed, so that the lock is free after this
        // unless one of them hangs.
        let stopped = [self.reader.stop(), self.packer.stop(), self.writer.stop()];
        stopped.into_iter().fold(finished, Result::and)
    }

    /// Does the last job of this opening, once.
    fn finish(&self) -> Result<(), StoreError> {
        // A swap, because a close and the drop both come here, and only the first does the job.
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.shared.poison.check()?;
        // The packer finishes before the log's writer closes, so that the last superblock counts
        // the last put.
        self.packer.call(writes("close"), |_| Ok(()))?;
        self.writer.call(writes("close"), LogWriter::close)
    }
}

impl Drop for LayeredStore {
    fn drop(&mut self) {
        if let Err(error) = self.shut() {
            tracing::warn!(store = %self.store, reason = error.cause(), "the store was not closed cleanly");
        }
    }
}

impl std::fmt::Debug for LayeredStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayeredStore")
            .field("store", &self.store)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

impl Log for LayeredStore {
    fn extent(&self) -> Result<Extent, StoreError> {
        let superblock = self.shared.superblock();
        Ok(Extent {
            store: self.store,
            durability: self.durability,
            start: superblock.start,
            acknowledged: superblock.acknowledged,
            epoch: superblock.epoch,
        })
    }

    fn append(&self, block: &Block) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        // The lock is held until the block is in the queue, so that the queue has the order in
        // which blocks were admitted.
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let acknowledged = self.shared.superblock().acknowledged;
        // Refused here, before the queue: an error of the append itself would come with the next
        // sync.
        let next = tail.admit(&block.header(), acknowledged, |first| {
            self.writer.call(reads("append"), move |writer| writer.stored_end(first))
        })?;
        // No call waits for the append: the sync after it does, and fails when the append failed.
        let block = block.clone();
        self.writer.post(writes("append"), move |writer| writer.append(&block));
        tail.advance(next);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        self.writer.call(writes("sync"), LogWriter::sync)
    }

    fn read(&self, from: Lsn) -> Result<Option<StoredBlock>, StoreError> {
        let (start, acknowledged) = {
            let superblock = self.shared.superblock();
            (superblock.start, superblock.acknowledged)
        };
        let from = from.max(start);
        let begin =
            |from: Lsn| self.reader.begin(reads("read"), move |shared| read_on(shared, from, acknowledged));
        if let Some(block) = self.ahead.take(from, begin)? {
            return Ok(Some(StoredBlock { first: from, block: Ok(block) }));
        }
        let stored = self.reader.call(reads("read"), move |shared| read_block(shared, from))?;
        // A read behind a gap or damage begins no reading in order.
        if let Some(StoredBlock { first, block: Ok(block) }) = &stored
            && *first == from
        {
            self.ahead.passed(from, block.header().next(), begin);
        }
        Ok(stored)
    }

    fn cut(&self, below: Lsn) -> Result<Lsn, StoreError> {
        self.shared.poison.check()?;
        let (start, remove) = self.writer.call(writes("cut"), move |writer| writer.cut(below))?;
        // Not on the writer's thread: a commit must not wait until the disk has removed anything.
        if let Some(below) = remove {
            self.packer.call(writes("cut"), move |packer| packer.remove_log(below))?;
        }
        boundary!("cut.end");
        Ok(start)
    }

    fn close(&self) -> Result<(), StoreError> {
        self.finish()
    }
}

/// The first block that begins at or after a position.
fn read_block(shared: &Shared, from: Lsn) -> Result<Option<StoredBlock>, StoreError> {
    // Reading a known block does not delay an append.
    let mut known = shared.index().find(from);
    while let Some((first, position)) = known {
        let stored = read_at(&*shared.medium, first, position)?;
        // A block that a cut removed meanwhile is not damaged.
        known = shared.index().find(from);
        if known == Some((first, position)) {
            return Ok(Some(stored));
        }
    }
    shared.index().learn_to(&*shared.medium, from)
}

/// The whole, acknowledged blocks that follow each other without a gap from a position on, as many
/// as one read takes. [`read_block`] judges whatever stands behind them, or in their place.
fn read_on(shared: &Shared, from: Lsn, acknowledged: Lsn) -> Result<VecDeque<Block>, StoreError> {
    let mut blocks = VecDeque::new();
    let (mut next, mut bytes) = (from, 0);
    while bytes < AHEAD_BYTES && blocks.len() < AHEAD_BLOCKS && next < acknowledged {
        let Some(StoredBlock { first, block: Ok(block) }) = read_block(shared, next)? else { break };
        let after = block.header().next();
        if first != next || after > acknowledged {
            break;
        }
        bytes += block.bytes().len();
        next = after;
        blocks.push_back(block);
    }
    Ok(blocks)
}

/// How many bytes one read ahead takes; at least one block.
const AHEAD_BYTES: usize = 1 << 20;
const AHEAD_BLOCKS: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::medium::memory::MemoryMedium;
    use crate::testing::conformance::block_of;

    #[derive(Clone, Debug)]
    enum Step {
        /// A number of blocks of a number of bytes, with a sync after them or without.
        Append(usize, usize, bool),
        /// Removes about this part of the log.
        Cut(u64),
        /// One of the readers goes on by a number of blocks.
        GoOn(usize, usize),
        /// One of the readers goes to about this part of the log.
        Go(usize, u64),
        /// A new block replaces one that was appended and not synced.
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

        /// Invariant: prefix. A block read ahead is the stored block when the caller asks for it,
        /// whatever appends, replacements and cuts came in between.
        #[test]
        fn what_is_read_ahead_is_what_is_stored(steps in steps()) {
            let medium = MemoryMedium::new();
            let open = || {
                let medium = medium.clone();
                LayeredStore::open(move || Ok(Box::new(medium)), &LayeredOptions::default()).unwrap()
            };
            let mut store = open();
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
                        // No appended block may come in between.
                        store.writer.call(writes("append"), |_| Ok(())).unwrap();
                        for _ in 0..blocks {
                            let from = at[reader].max(store.extent().unwrap().start);
                            let stored =
                                store.reader.call(reads("read"), move |shared| read_block(shared, from)).unwrap();
                            prop_assert_eq!(&store.read(at[reader]).unwrap(), &stored);
                            let Some(StoredBlock { block: Ok(block), .. }) = stored else { break };
                            at[reader] = block.header().next();
                        }
                    }
                    Step::Replace => {
                        drop(store);
                        store = open();
                        next = store.extent().unwrap().acknowledged.get();
                    }
                }
            }
        }
    }
}
