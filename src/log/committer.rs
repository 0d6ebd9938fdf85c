//! Group commit: one thread writes everything that actors have appended since the last commit as
//! one block, syncs it, and raises the watermark. Knows frames as bytes, no actor.
//!
//! While the disk writes a block, the next one gathers in the buffer, so one sync serves all frames
//! that queued up during the sync before. A block of many records shows a busy log. On a fast disk
//! the committer then waits as long as more frames come, about a millisecond at most, because a
//! commit costs much the same whatever it holds. A lone frame does not wait, unless nobody waits
//! for it: the frames of actors that wait for their outputs alone gather until an output waits, for
//! a millisecond at most. Frames stand in the log in the order in which actors append them.
//!
//! # Source
//! Group commit: DeWitt, Katz, Olken, Shapiro, Stonebraker and Wood, *Implementation Techniques for
//! Main Memory Database Systems*, SIGMOD 1984.

use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use relive_replay::guard::guarded;
use relive_storage::block::BLOCK_HEADER_BYTES;
use relive_storage::frame::FrameContext;
use relive_storage::limits::BLOCK_BYTES_MAX;
use relive_storage::{Block, BlockHeader, Epoch, FrameBytes, Lsn, Store, StoreError};
use tokio::sync::Notify;

use crate::backpressure::Unlogged;
use crate::clock::Clock;
use crate::error::Ended;
use crate::harness::{Harness, Motion, Moving};
use crate::limits::{
    COMMIT_BUFFER_BYTES_MAX, GATHER_BYTES_MAX, GATHER_MAX, GATHER_RECORDS_MIN, GATHER_SLICE, UNWANTED_MAX,
};
use crate::log::budget::LogBudget;
use crate::log::seed::seed;
use crate::log::watermark::Watermark;
use crate::stats::Counters;
use crate::stop_signal::StopSignal;
use crate::sync::{Condvar, Mutex, MutexGuard, Rank};

/// Appends frames, and lets their owners wait until the frames are on stable storage.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    thread: StdMutex<Option<JoinHandle<()>>>,
}

struct Shared {
    buffer: Mutex<Buffer>,
    /// Wakes the committer thread.
    work: Condvar,
    /// Wakes appenders that found the buffer full.
    space: Notify,
    log_budget: Arc<LogBudget>,
    watermark: Watermark,
    /// Of the blocks, and so of the handlers.
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    stop: Arc<StopSignal>,
    harness: Harness,
}

struct Buffer {
    bytes: Vec<u8>,
    motion: Motion,
    /// Counts the frames until the log has them.
    unlogged: Unlogged,
    first: Lsn,
    records: u32,
    /// Somebody waits for the commit of what it holds.
    wanted: bool,
    context: FrameContext,
    epoch: Epoch,
    stop: bool,
    failed: Option<Arc<StoreError>>,
}

/// When a frame is to come to stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// With the next commit, which begins as soon as the disk is free: somebody waits for it.
    Now,
    /// When somebody wants it, or after [`UNWANTED_MAX`].
    WhenWanted,
}

/// The position at which a log goes on.
#[derive(Clone, Copy)]
pub(crate) struct LogPosition {
    /// Where the next record will stand.
    pub(crate) next: Lsn,
    /// The incarnation that appends there.
    pub(crate) epoch: Epoch,
}

/// The result of an append.
pub(crate) struct Appended {
    /// The position of the first record, and the clock and seed of its block.
    pub(crate) context: FrameContext,
    /// The frame is on stable storage when everything below this position is.
    pub(crate) end: Lsn,
}

/// An append of several frames to one block; holds the lock of the buffer.
pub(crate) struct Appending<'c> {
    shared: &'c Shared,
    buffer: MutexGuard<'c, Buffer>,
}

impl Appending<'_> {
    /// Appends the next frame.
    pub(crate) fn put(&mut self, frame: FrameBytes<'_>) -> Result<Appended, Arc<StoreError>> {
        self.shared.put(&mut self.buffer, frame, Commit::Now, &|_| {})
    }
}

/// The error for a panic of the backend.
pub(crate) fn panicked(action: &'static str, panic: &str) -> StoreError {
    StoreError::Backend { action, reason: format!("it panicked: {panic}") }
}

fn stopped() -> StoreError {
    StoreError::Poisoned { reason: "the committer has stopped".to_owned() }
}

impl Committer {
    /// Starts the thread. A failed commit sets `stop`.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        position: LogPosition,
        log_budget: Arc<LogBudget>,
        counters: Arc<Counters>,
        stop: Arc<StopSignal>,
        clock: Arc<dyn Clock>,
        harness: Harness,
    ) -> std::io::Result<Self> {
        let LogPosition { next, epoch } = position;
        let mut bytes = Vec::new();
        Block::reserve_header(&mut bytes);
        let context = FrameContext { first: next, clock: clock.now(), seed: seed(&harness) };
        let (unlogged, motion, first) = (Unlogged::default(), Motion::default(), next);
        let (records, wanted, stop_now, failed) = (0, false, false, None);
        let buffer = Buffer {
            motion,
            bytes,
            unlogged,
            first,
            records,
            wanted,
            context,
            epoch,
            stop: stop_now,
            failed,
        };
        let shared = Arc::new(Shared {
            buffer: Mutex::new(Rank::CommitBuffer, buffer),
            work: Condvar::new(),
            space: Notify::new(),
            log_budget,
            watermark: Watermark::new(next),
            clock,
            counters,
            stop,
            harness,
        });
        let for_thread = Arc::clone(&shared);
        // A backend may panic. Tasks that wait for its commits must learn of that, or they would
        // wait for ever.
        let thread = std::thread::Builder::new().name("relive-committer".to_owned()).spawn(move || {
            if let Err(panic) = guarded(|| for_thread.run(&*store)) {
                for_thread.fail(&Arc::new(panicked("commit", &panic)));
                for_thread.is_over();
            }
        })?;
        Ok(Self { shared, thread: StdMutex::new(Some(thread)) })
    }

    /// Appends a frame. Calls `placed` with the beginning of the frame's block, under the lock of
    /// the buffer: so a thread that computes where to cut sees either the frame's pin or an end of
    /// the log below the frame.
    ///
    /// # Cancel safety
    /// A future that is dropped before it is ready has not appended the frame.
    pub(crate) async fn append(
        &self,
        frame: FrameBytes<'_>,
        commit: Commit,
        placed: impl Fn(Lsn),
    ) -> Result<Appended, Arc<StoreError>> {
        loop {
            if let Some(appended) = self.shared.try_append(frame, commit, &placed)? {
                return Ok(appended);
            }
            // Made before the second try: from its making on, it hears of every commit that empties
            // the buffer.
            let space = self.shared.space.notified();
            if let Some(appended) = self.shared.try_append(frame, commit, &placed)? {
                return Ok(appended);
            }
            space.await;
        }
    }

    /// Appends a frame even when the buffer is full: for the few frames that no turn writes.
    pub(crate) fn append_now(&self, frame: FrameBytes<'_>) -> Result<Appended, Arc<StoreError>> {
        self.begin_append().put(frame)
    }

    /// Begins to append frames that go into one block, even when the buffer is full. No other
    /// thread appends meanwhile.
    pub(crate) fn begin_append(&self) -> Appending<'_> {
        Appending { shared: &self.shared, buffer: self.shared.buffer() }
    }

    /// Where the next record will stand.
    pub(crate) fn end(&self) -> Lsn {
        let buffer = self.shared.buffer();
        buffer.first.plus(u64::from(buffer.records))
    }

    /// Somebody waits until everything below `end` is on stable storage: what has gathered below
    /// waits no longer. Only who has appended [`Commit::WhenWanted`] needs to call it.
    pub(crate) fn want(&self, end: Lsn) {
        if end <= self.durable() {
            return;
        }
        let mut buffer = self.shared.buffer();
        // What stands before the buffer is on its way to the disk already.
        if buffer.first < end && buffer.records > 0 {
            self.shared.is_wanted(&mut buffer);
        }
    }

    /// The position below which everything is on stable storage.
    pub(crate) fn durable(&self) -> Lsn {
        self.shared.watermark.get()
    }

    /// Waits until everything below `end` is on stable storage.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(crate) async fn until_durable(&self, end: Lsn) -> Result<(), Arc<StoreError>> {
        self.shared.watermark.reached(end).await?;
        // Outputs leave on what is durable, and the handlers of most kinds run on it, so this is
        // looked at once more where all waits end.
        assert!(end <= self.durable(), "nobody goes on before {end} is on stable storage");
        Ok(())
    }

    /// How many bytes wait for the next commit.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.shared.buffer().bytes.len() - BLOCK_HEADER_BYTES
    }

    /// Ends the thread once it has committed what the buffer holds, and waits for its end.
    pub(crate) fn stop(&self) {
        self.shared.buffer().stop = true;
        self.end_thread();
    }

    /// Ends the thread without a further commit, and waits for its end. What the buffer holds is
    /// lost.
    pub(crate) fn abandon(&self) {
        {
            let mut buffer = self.shared.buffer();
            buffer.stop = true;
            // An earlier failure says more than the end that follows from it.
            buffer.failed.get_or_insert_with(|| Arc::new(stopped()));
        }
        self.end_thread();
    }

    /// Waits for the end of the thread, which was told to stop.
    fn end_thread(&self) {
        self.shared.work.notify_all();
        self.shared.harness.give_way();
        // Appenders that found the buffer full would wait for a commit that never comes.
        self.shared.space.notify_waiters();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A thread can't join itself: it may drop the last reference, in a waker that it wakes.
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl Shared {
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock()
    }

    fn try_append(
        &self,
        frame: FrameBytes<'_>,
        commit: Commit,
        placed: &impl Fn(Lsn),
    ) -> Result<Option<Appended>, Arc<StoreError>> {
        let mut buffer = self.buffer();
        // An empty buffer takes any frame: one that is larger than the limit would never fit.
        if buffer.records > 0 && buffer.bytes.len() + frame.len() > COMMIT_BUFFER_BYTES_MAX {
            return match &buffer.failed {
                Some(error) => Err(Arc::clone(error)),
                None => Ok(None),
            };
        }
        self.put(&mut buffer, frame, commit, placed).map(Some)
    }

    fn put(
        &self,
        buffer: &mut Buffer,
        frame: FrameBytes<'_>,
        commit: Commit,
        placed: &impl Fn(Lsn),
    ) -> Result<Appended, Arc<StoreError>> {
        if let Some(error) = &buffer.failed {
            return Err(Arc::clone(error));
        }
        if buffer.stop {
            return Err(Arc::new(stopped()));
        }
        let before = buffer.bytes.len();
        assert!(before + frame.len() <= BLOCK_BYTES_MAX, "a frame of {} bytes", frame.len());
        let is_empty = before == BLOCK_HEADER_BYTES;
        assert_eq!(
            is_empty,
            buffer.records == 0,
            "a buffer of {before} bytes has {} records",
            buffer.records
        );
        if buffer.records == 0 {
            // Now, not when the block is sealed: the appenders get the clock of their block with
            // the append.
            buffer.context.clock = self.clock.now();
            buffer.motion = self.harness.begin(|| Moving::Commit);
            // Also when nobody wants it yet: the thread looks how long that lasts.
            if commit == Commit::WhenWanted {
                self.work.notify_one();
            }
        }
        let first = buffer.first.plus(u64::from(buffer.records));
        // Under this lock, which `end` waits for: no cut sees the frame without its pin.
        placed(buffer.first);
        frame.append_to(&mut buffer.bytes);
        buffer.unlogged.add(self.log_budget.backpressure(), frame.len() as u64);
        buffer.records += frame.records();
        assert_eq!(buffer.bytes.len(), before + frame.len(), "a frame has the length that it says");
        if commit == Commit::Now || buffer.bytes.len() >= GATHER_BYTES_MAX {
            self.is_wanted(buffer);
        }
        let context = FrameContext { first, ..buffer.context };
        Ok(Appended { context, end: first.plus(u64::from(frame.records())) })
    }

    /// The commit of what the buffer holds is to begin as soon as the disk is free.
    fn is_wanted(&self, buffer: &mut Buffer) {
        if !std::mem::replace(&mut buffer.wanted, true) {
            self.work.notify_one();
        }
    }

    fn run(&self, store: &dyn Store) {
        let (mut spare, mut busy_since) = (Vec::new(), None);
        while let Some((block, unlogged, _motion)) = self.next_block(std::mem::take(&mut spare), busy_since) {
            busy_since = (block.header().records >= GATHER_RECORDS_MIN).then(Instant::now);
            // Before the disk is at work: the next block gathers while this one is written.
            self.space.notify_waiters();
            let began = Instant::now();
            let outcome = store.append(&block).and_then(|()| store.sync()).map_err(Arc::new);
            let header = block.header();
            match &outcome {
                Ok(()) => {
                    let bytes = block.bytes().len() as u64;
                    self.counters.committed(u64::from(header.records), bytes, began.elapsed());
                    // Before anyone learns of the commit: a caller that was told finds it counted.
                    self.log_budget.keep(header.next(), bytes);
                    // After the log counts them, so that no sender slips in between.
                    drop(unlogged);
                    self.watermark.rise(header.next());
                }
                Err(error) => {
                    tracing::error!(%error, first = %header.first, "a commit failed; the store takes nothing more");
                    // No second try: after a failed sync the system may have dropped the pages, and
                    // a sync that then succeeds says nothing of them.
                    self.fail(error);
                }
            }
            // Reuses the memory of the block, unless the store still holds it.
            spare = block.into_bytes().try_into_mut().map_or_else(|_| Vec::new(), Vec::from);
        }
        self.is_over();
    }

    /// Tells every waiting task that no further commit follows.
    fn is_over(&self) {
        // Under the lock of the buffer first, so that no frame comes in that nobody commits.
        let error = self.buffer().failed.get_or_insert_with(|| Arc::new(stopped())).clone();
        // What the buffer still holds does not move any more.
        let _motion = std::mem::take(&mut self.buffer().motion);
        self.watermark.end(&error);
        self.space.notify_waiters();
        self.log_budget.end();
    }

    /// Waits for records, and takes them out of the buffer as a block; `None` when no commit
    /// follows. The next frames gather in `fresh`.
    fn next_block(
        &self,
        mut fresh: Vec<u8>,
        busy_since: Option<Instant>,
    ) -> Option<(Block, Unlogged, Motion)> {
        let mut buffer = self.buffer();
        let (mut unwanted_since, mut all_wait) = (None, false);
        loop {
            // A failed checkpoint or cut ends the commits too: after a failure the runtime trusts
            // the medium no more.
            let over = buffer.failed.is_some() || self.stop.is_set();
            if over || (buffer.stop && buffer.records == 0) {
                return None;
            }
            if buffer.records > 0 {
                if self.harness.is_kept() && !all_wait && !buffer.stop {
                    drop(buffer);
                    self.harness.until_all_wait();
                    (buffer, all_wait) = (self.buffer(), true);
                    continue;
                }
                if buffer.wanted || buffer.stop || all_wait {
                    break;
                }
                let since: &mut Instant = unwanted_since.get_or_insert_with(Instant::now);
                let left = UNWANTED_MAX.saturating_sub(since.elapsed());
                if left.is_zero() {
                    break;
                }
                buffer = buffer.wait_for(&self.work, left);
                continue;
            }
            buffer = buffer.wait(&self.work);
        }
        if let Some(since) = busy_since {
            buffer = self.gather(buffer, since);
        }
        let durable = self.watermark.get();
        assert_eq!(durable, buffer.first, "a block begins where everything before is on stable storage");
        let header = BlockHeader {
            first: buffer.first,
            records: buffer.records,
            // Commits run one at a time, so everything before this block is durable.
            durable: buffer.first,
            epoch: buffer.epoch,
            clock: buffer.context.clock,
            seed: buffer.context.seed,
        };
        Block::reserve_header(&mut fresh);
        let bytes = std::mem::replace(&mut buffer.bytes, fresh);
        let (unlogged, motion) = (std::mem::take(&mut buffer.unlogged), std::mem::take(&mut buffer.motion));
        buffer.first = header.next();
        buffer.records = 0;
        buffer.wanted = false;
        buffer.context.seed = seed(&self.harness);
        // Without the lock: the checksum takes time in which actors can append.
        drop(buffer);
        Some((Block::seal(header, bytes), unlogged, motion))
    }

    /// Waits as long as more frames come to the block that has gathered since `since`.
    fn gather<'b>(&'b self, mut buffer: MutexGuard<'b, Buffer>, since: Instant) -> MutexGuard<'b, Buffer> {
        while !buffer.stop && buffer.bytes.len() < GATHER_BYTES_MAX && since.elapsed() < GATHER_MAX {
            let before = buffer.records;
            // Without the lock, so that actors can append meanwhile.
            drop(buffer);
            std::thread::sleep(GATHER_SLICE);
            buffer = self.buffer();
            assert!(buffer.records >= before, "only this thread takes records out of the buffer");
            if buffer.records == before {
                break;
            }
        }
        buffer
    }

    fn fail(&self, error: &Arc<StoreError>) {
        self.buffer().failed.get_or_insert_with(|| Arc::clone(error));
        self.stop.set(Ended::from(Arc::clone(error)));
        // Last, so that a task that this wakes finds the reason set.
        self.watermark.end(error);
    }
}

#[cfg(test)]
#[path = "committer_tests.rs"]
mod tests;
