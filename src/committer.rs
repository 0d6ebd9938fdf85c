//! Group commit: one thread writes what all actors have appended since the last commit as one block, syncs it, and
//! lets the watermark rise. Knows frames as bytes, no actor.
//!
//! While a block is on its way to the disk the next one gathers in the buffer, so one sync serves everything that
//! queued up during the one before. When that was much, the log is busy, and on a fast disk the next block is waited for as
//! long as more comes, for a millisecond or so: a commit costs much the same whatever it holds. What is alone goes at once. The order in which frames are appended is the order of the log.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use relive_replay::guard::guarded;
use relive_storage::block::BLOCK_HEADER_BYTES;
use relive_storage::frame::FrameContext;
use relive_storage::limits::BLOCK_BYTES_MAX;
use relive_storage::{Block, BlockHeader, Epoch, FrameBytes, Lsn, Store, StoreError};
use tokio::sync::Notify;

use crate::clock::{random_seed, wall_clock};
use crate::error::Refused;
use crate::limits::{
    COMMIT_BUFFER_BYTES_MAX, GATHER_BYTES_MAX, GATHER_MAX, GATHER_RECORDS_MIN, GATHER_SLICE,
};
use crate::retained::{Kept, Retained};
use crate::stats::Counters;
use crate::stop::Stop;
use crate::watermark::Watermark;

/// Appends frames and lets their owners wait until they are stable.
pub(crate) struct Committer {
    pub(crate) retained: Arc<Retained>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    buffer: Mutex<Buffer>,
    /// Wakes the committer thread.
    work: Condvar,
    /// Wakes appenders that found the buffer full.
    space: Notify,
    retained: Arc<Retained>,
    watermark: Watermark,
    counters: Arc<Counters>,
    stop: Arc<Stop>,
}

struct Buffer {
    bytes: Vec<u8>,
    first: Lsn,
    records: u32,
    context: FrameContext,
    epoch: Epoch,
    stop: bool,
    failed: Option<Arc<StoreError>>,
}

/// Where a log goes on.
pub(crate) struct LogPosition {
    /// Where the next record will stand.
    pub(crate) next: Lsn,
    /// The incarnation that goes on.
    pub(crate) epoch: Epoch,
    /// What of it is kept.
    pub(crate) kept: Kept,
}

/// What an append gave.
pub(crate) struct Appended {
    /// The position of the first record, and the clock and seed of its block.
    pub(crate) context: FrameContext,
    /// It is on stable storage when everything below is.
    pub(crate) end: Lsn,
}

/// Frames that are being appended to one block.
pub(crate) struct Appending<'c> {
    shared: &'c Shared,
    buffer: MutexGuard<'c, Buffer>,
}

impl Appending<'_> {
    /// Appends the next.
    pub(crate) fn put(&mut self, frame: FrameBytes<'_>) -> Result<Appended, Arc<StoreError>> {
        self.shared.put(&mut self.buffer, frame, &|_| {})
    }
}

/// What becomes of a panic of the backend.
pub(crate) fn panicked(action: &'static str, panic: &str) -> StoreError {
    StoreError::Backend { action, reason: format!("it panicked: {panic}") }
}

fn stopped() -> StoreError {
    StoreError::Poisoned { reason: "the committer has stopped".to_owned() }
}

impl Committer {
    /// Starts the thread. `stop` is told when a commit fails.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        position: LogPosition,
        counters: Arc<Counters>,
        stop: Arc<Stop>,
    ) -> std::io::Result<Self> {
        let LogPosition { next, epoch, kept } = position;
        let mut bytes = Vec::new();
        Block::reserve_header(&mut bytes);
        let context = FrameContext { first: next, clock: wall_clock(), seed: random_seed() };
        let buffer = Buffer { bytes, first: next, records: 0, context, epoch, stop: false, failed: None };
        let retained = Arc::new(Retained::new(kept));
        let shared = Arc::new(Shared {
            buffer: Mutex::new(buffer),
            work: Condvar::new(),
            space: Notify::new(),
            retained: Arc::clone(&retained),
            watermark: Watermark::new(next),
            counters,
            stop,
        });
        let for_thread = Arc::clone(&shared);
        // A backend may panic, and those who wait for its commits must hear of it.
        let thread = std::thread::Builder::new().name("relive-committer".to_owned()).spawn(move || {
            if let Err(panic) = guarded(|| for_thread.run(&*store)) {
                for_thread.fail(&Arc::new(panicked("commit", &panic)));
                for_thread.is_over();
            }
        })?;
        Ok(Self { retained, shared, thread: Mutex::new(Some(thread)) })
    }

    /// Appends a frame. `placed` is called under the commit lock with the beginning of its block: whoever computes where
    /// to cut sees either the frame's pin or an end of the log below it.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the frame was not appended.
    pub(crate) async fn append(
        &self,
        frame: FrameBytes<'_>,
        placed: impl Fn(Lsn),
    ) -> Result<Appended, Arc<StoreError>> {
        loop {
            if let Some(appended) = self.shared.try_append(frame, &placed)? {
                return Ok(appended);
            }
            let space = self.shared.space.notified();
            if let Some(appended) = self.shared.try_append(frame, &placed)? {
                return Ok(appended);
            }
            space.await;
        }
    }

    /// Appends past the bound of the buffer: for the few frames that are not of turns.
    pub(crate) fn append_now(&self, frame: FrameBytes<'_>) -> Result<Appended, Arc<StoreError>> {
        self.begin_append().put(frame)
    }

    /// Begins to append frames that go into one block, past the bound of the buffer. Nobody else appends meanwhile.
    pub(crate) fn begin_append(&self) -> Appending<'_> {
        Appending { shared: &self.shared, buffer: self.shared.buffer() }
    }

    /// Where the next record will stand.
    pub(crate) fn end(&self) -> Lsn {
        let buffer = self.shared.buffer();
        buffer.first.plus(u64::from(buffer.records))
    }

    /// Everything below is on stable storage.
    pub(crate) fn durable(&self) -> Lsn {
        self.shared.watermark.get()
    }

    /// Waits until everything below `end` is on stable storage.
    ///
    /// # Cancel safety
    /// Dropped, nothing changes.
    pub(crate) async fn stable(&self, end: Lsn) -> Result<(), Arc<StoreError>> {
        self.shared.watermark.reached(end).await
    }

    /// How many bytes wait for the next commit.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.shared.buffer().bytes.len() - BLOCK_HEADER_BYTES
    }

    /// Ends the thread; with `drain` after a last commit of what has been appended. Blocks.
    pub(crate) fn stop(&self, drain: bool) {
        {
            let mut buffer = self.shared.buffer();
            buffer.stop = true;
            if !drain && buffer.failed.is_none() {
                buffer.failed = Some(Arc::new(stopped()));
            }
        }
        self.shared.work.notify_all();
        self.shared.space.notify_waiters();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.stop(false);
    }
}

impl Shared {
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_append(
        &self,
        frame: FrameBytes<'_>,
        placed: &impl Fn(Lsn),
    ) -> Result<Option<Appended>, Arc<StoreError>> {
        let mut buffer = self.buffer();
        if buffer.records > 0 && buffer.bytes.len() + frame.len() > COMMIT_BUFFER_BYTES_MAX {
            return match &buffer.failed {
                Some(error) => Err(Arc::clone(error)),
                None => Ok(None),
            };
        }
        self.put(&mut buffer, frame, placed).map(Some)
    }

    fn put(
        &self,
        buffer: &mut Buffer,
        frame: FrameBytes<'_>,
        placed: &impl Fn(Lsn),
    ) -> Result<Appended, Arc<StoreError>> {
        if let Some(error) = &buffer.failed {
            return Err(Arc::clone(error));
        }
        if buffer.stop {
            return Err(Arc::new(stopped()));
        }
        assert!(buffer.bytes.len() + frame.len() <= BLOCK_BYTES_MAX, "a frame of {} bytes", frame.len());
        if buffer.records == 0 {
            buffer.context.clock = wall_clock();
            self.work.notify_one();
        }
        let first = buffer.first.plus(u64::from(buffer.records));
        placed(buffer.first);
        frame.append_to(&mut buffer.bytes);
        buffer.records += frame.records();
        let context = FrameContext { first, ..buffer.context };
        Ok(Appended { context, end: first.plus(u64::from(frame.records())) })
    }

    fn run(&self, store: &dyn Store) {
        let (mut spare, mut busy_since) = (Vec::new(), None);
        while let Some(block) = self.next_block(std::mem::take(&mut spare), busy_since) {
            busy_since = (block.header().records >= GATHER_RECORDS_MIN).then(Instant::now);
            self.space.notify_waiters();
            let began = Instant::now();
            let outcome = store.append(&block).and_then(|()| store.sync()).map_err(Arc::new);
            let header = block.header();
            match &outcome {
                Ok(()) => {
                    let bytes = block.bytes().len() as u64;
                    self.counters.committed(u64::from(header.records), bytes, began.elapsed());
                    self.retained.keep(header.first, bytes);
                    self.watermark.rise(header.next());
                }
                Err(error) => {
                    tracing::error!(%error, first = %header.first, "a commit failed; the store takes nothing more");
                    self.fail(error);
                }
            }
            // Its memory is warm, unless the store keeps the block.
            spare = block.into_bytes().try_into_mut().map_or_else(|_| Vec::new(), Vec::from);
        }
        self.is_over();
    }

    /// Tells everybody who waits that nothing more is committed.
    fn is_over(&self) {
        let error = self.buffer().failed.get_or_insert_with(|| Arc::new(stopped())).clone();
        self.watermark.end(&error);
        self.space.notify_waiters();
        self.retained.end();
    }

    /// Waits for records, and takes them out of the buffer as a block; `None` when it is over. What comes next gathers in
    /// `fresh`.
    fn next_block(&self, mut fresh: Vec<u8>, busy_since: Option<Instant>) -> Option<Block> {
        let mut buffer = self.buffer();
        loop {
            // A checkpoint or a cut that failed ends the commits too: the medium is not to be trusted any more.
            let over = buffer.failed.is_some() || self.stop.is_set();
            if over || (buffer.stop && buffer.records == 0) {
                return None;
            }
            if buffer.records > 0 {
                break;
            }
            buffer = self.work.wait(buffer).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(since) = busy_since {
            buffer = self.gather(buffer, since);
        }
        let header = BlockHeader {
            first: buffer.first,
            records: buffer.records,
            // One commit at a time: whatever came before is durable.
            durable: buffer.first,
            epoch: buffer.epoch,
            clock: buffer.context.clock,
            seed: buffer.context.seed,
        };
        Block::reserve_header(&mut fresh);
        let bytes = std::mem::replace(&mut buffer.bytes, fresh);
        buffer.first = header.next();
        buffer.records = 0;
        buffer.context.seed = random_seed();
        drop(buffer);
        Some(Block::seal(header, bytes))
    }

    /// Waits as long as more comes to a block that gathers since then.
    fn gather<'b>(&'b self, mut buffer: MutexGuard<'b, Buffer>, since: Instant) -> MutexGuard<'b, Buffer> {
        while !buffer.stop && buffer.bytes.len() < GATHER_BYTES_MAX && since.elapsed() < GATHER_MAX {
            let before = buffer.records;
            drop(buffer);
            std::thread::sleep(GATHER_SLICE);
            buffer = self.buffer();
            if buffer.records == before {
                break;
            }
        }
        buffer
    }

    fn fail(&self, error: &Arc<StoreError>) {
        self.buffer().failed.get_or_insert_with(|| Arc::clone(error));
        self.stop.set(Refused::Failed(Arc::clone(error)));
        // Who waited finds the reason set when it is told.
        self.watermark.end(error);
    }
}
