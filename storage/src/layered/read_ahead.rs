//! Reads blocks ahead of a caller that goes through the log, so that the reading thread works while
//! the caller looks at blocks, and takes many blocks per job. Knows no medium.
//!
//! It holds only blocks that can't change: blocks that were acknowledged at the time of the read.
//! No append replaces them, and a cut removes only blocks below the start, where no caller reads.
//! Everything else, such as the end, a gap or damage, is read when the caller asks for it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::contract::error::StoreError;
use crate::format::block::Block;
use crate::id::position::Lsn;
use crate::threads::worker::Pending;

/// The blocks read ahead, for one reader at a time.
#[derive(Default)]
pub(super) struct ReadAhead(Mutex<Stream>);

#[derive(Default)]
struct Stream {
    /// The end of the last block given out: a reader that goes on there reads in order.
    next: Option<Lsn>,
    blocks: VecDeque<Block>,
    /// The read of the blocks after them, under way.
    following: Option<Pending<VecDeque<Block>>>,
}

impl ReadAhead {
    /// The block at `from`, when the last one ended there. `begin` starts the read of the blocks
    /// from a position on.
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
            // The reader reads the next blocks while the caller looks at these.
            let end = stream.blocks.back().map_or(from, |last| last.header().next());
            // None came: the end, a gap or damage is next, and the caller reads that itself.
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

    /// Notes a block that the caller read without this, and that ends at `next`. Two in a row begin
    /// a stream, which replaces the one before.
    pub(super) fn passed(&self, from: Lsn, next: Lsn, begin: impl FnOnce(Lsn) -> Pending<VecDeque<Block>>) {
        let mut stream = self.stream();
        let goes_on = stream.next == Some(from);
        *stream = Stream { next: Some(next), ..Stream::default() };
        if goes_on {
            stream.following = Some(begin(next));
        }
    }

    fn stream(&self) -> MutexGuard<'_, Stream> {
        // After a panic elsewhere a block may come twice or never. It does not begin where the
        // caller asks for one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
