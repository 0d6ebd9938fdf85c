//! Reads blocks ahead of somebody who goes through the log, so that the thread that reads works meanwhile and is not
//! handed one block at a time. Knows no medium.
//!
//! Only what can't change is held: blocks that were acknowledged when they were read. No append replaces them, and a
//! cut takes them away below the start only, below which nobody is given anything. Whatever else is found, such as the
//! end, a gap or damage, is read at the time it is asked for.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::position::Lsn;
use crate::worker::Pending;
use crate::{Block, StoreError};

/// What was read ahead, for one reader at a time.
#[derive(Default)]
pub(super) struct Ahead(Mutex<Stream>);

#[derive(Default)]
struct Stream {
    /// Where the last block ended that was given out: a reader that goes on there reads in order.
    next: Option<Lsn>,
    blocks: VecDeque<Block>,
    /// What follows after them, and where that begins.
    following: Option<Pending<VecDeque<Block>>>,
}

impl Ahead {
    /// The block at `from`, when `from` is where the last one ended. `begin` is to read on from a position.
    pub(super) fn take(
        &self,
        from: Lsn,
        begin: impl FnOnce(Lsn) -> Pending<VecDeque<Block>>,
    ) -> Result<Option<Block>, StoreError> {
        let mut stream = self.stream();
        if stream.next != Some(from) {
            return Ok(None);
        }
        if stream.blocks.is_empty() {
            if let Some(following) = stream.following.take() {
                stream.blocks = following.wait()?;
            }
            // The next ones are read while these are looked at.
            let end = stream.blocks.back().map_or(from, |last| last.header().next());
            if !stream.blocks.is_empty() {
                stream.following = Some(begin(end));
            }
        }
        let block = stream.blocks.pop_front();
        if let Some(block) = &block {
            stream.next = Some(block.header().next());
        }
        Ok(block)
    }

    /// A block was read that nobody had read ahead, and ends at `next`. The second that follows on another begins a
    /// stream, in the place of the one before.
    pub(super) fn passed(&self, from: Lsn, next: Lsn, begin: impl FnOnce(Lsn) -> Pending<VecDeque<Block>>) {
        let mut stream = self.stream();
        let goes_on = stream.next == Some(from);
        *stream = Stream { next: Some(next), ..Stream::default() };
        if goes_on {
            stream.following = Some(begin(next));
        }
    }

    fn stream(&self) -> MutexGuard<'_, Stream> {
        // A block that was given out twice or not at all does not begin where it is asked for.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
