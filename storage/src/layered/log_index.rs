//! Where the blocks of the log stand in its stream. Knows positions, and reads a block only to learn where it begins.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::medium::{Medium, StreamId};
use crate::position::Lsn;
use crate::{Block, StoreError, StoredBlock};

/// The stream of the log.
pub(super) const LOG: StreamId = StreamId(0);

/// Where blocks begin, of all that were read or written so far: the rest is learnt when it is wanted.
#[derive(Debug)]
pub(super) struct LogIndex {
    /// The position of the first.
    first: u64,
    /// Where they begin, ascending, one for each value.
    begins: VecDeque<Lsn>,
    /// Where the one after the last should begin.
    next: Lsn,
    /// All values of the stream are known.
    complete: bool,
}

impl LogIndex {
    /// Of a log that begins with a block at a position in its stream.
    pub(super) fn new(start: Lsn, first: u64) -> Self {
        Self { first, begins: VecDeque::new(), next: start, complete: false }
    }

    /// The first block that is known and begins at or after a position in the log, with its position in the stream.
    pub(super) fn find(&self, from: Lsn) -> Option<(Lsn, u64)> {
        let at = self.begins.partition_point(|begins| *begins < from);
        self.begins.get(at).map(|begins| (*begins, self.position(at)))
    }

    /// The first block that is not known and begins at or after a position in the log; those before it are known then.
    pub(super) fn learn_to(
        &mut self,
        medium: &dyn Medium,
        from: Lsn,
    ) -> Result<Option<StoredBlock>, StoreError> {
        while let Some(stored) = self.learn(medium)? {
            if stored.first >= from {
                return Ok(Some(stored));
            }
        }
        Ok(None)
    }

    /// Reads the next value that is not known, and remembers where its block begins. One that is damaged, or begins where
    /// it can't, takes the first place that is left to it.
    fn learn(&mut self, medium: &dyn Medium) -> Result<Option<StoredBlock>, StoreError> {
        if self.complete {
            return Ok(None);
        }
        let Some(value) = medium.read(LOG, self.end())? else {
            self.complete = true;
            return Ok(None);
        };
        let mut stored = StoredBlock { first: self.next, block: decode(value) };
        if let Ok(block) = &stored.block {
            let first = block.header().first;
            if first >= self.next {
                stored.first = first;
            } else {
                stored.block = Err(format!("a block there says that it begins at {first}"));
            }
        }
        let next = match &stored.block {
            Ok(block) => Some(block.header().next()),
            Err(_) => stored.first.checked_plus(1),
        };
        let Some(next) = next else {
            self.complete = true;
            return Ok(None);
        };
        self.begins.push_back(stored.first);
        self.next = next;
        Ok(Some(stored))
    }

    /// Learns where all blocks begin.
    pub(super) fn complete(&mut self, medium: &dyn Medium) -> Result<(), StoreError> {
        while self.learn(medium)?.is_some() {}
        Ok(())
    }

    /// Where a block that begins at `first` is to stand, and where the one before it ends. All blocks are known.
    pub(super) fn place(&self, medium: &dyn Medium, first: Lsn) -> Result<(u64, Option<Lsn>), StoreError> {
        let at = self.begins.partition_point(|begins| *begins < first);
        let Some(before) = at.checked_sub(1) else { return Ok((self.position(at), None)) };
        let end = if at == self.begins.len() {
            self.next
        } else {
            let value = medium.read(LOG, self.position(before))?;
            let block = value.and_then(Result::ok).and_then(|value| Block::decode(value).ok());
            block.map_or(first, |block| block.header().next())
        };
        Ok((self.position(at), Some(end)))
    }

    /// Forgets the blocks from a position in the stream on.
    pub(super) fn remove_from(&mut self, position: u64, next: Lsn) {
        let keep = usize::try_from(position.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.begins.truncate(keep);
        self.next = next;
        self.complete = true;
    }

    /// A block was appended.
    pub(super) fn appended(&mut self, first: Lsn, next: Lsn) {
        self.begins.push_back(first);
        self.next = next;
    }

    /// The last block that begins at or below `limit`, with its position in the stream.
    pub(super) fn last(&self, limit: Lsn) -> Option<(Lsn, u64)> {
        let at = self.begins.partition_point(|begins| *begins <= limit).checked_sub(1)?;
        self.begins.get(at).map(|begins| (*begins, self.position(at)))
    }

    /// Forgets the blocks below a position in the stream.
    pub(super) fn remove_below(&mut self, position: u64) {
        let gone = usize::try_from(position.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.begins.drain(..gone.min(self.begins.len()));
        self.first = self.first.max(position);
    }

    /// The position in the stream after the last block that is known.
    pub(super) fn end(&self) -> u64 {
        self.position(self.begins.len())
    }

    fn position(&self, at: usize) -> u64 {
        self.first + at as u64
    }
}

/// The block at a position in the stream, that is known to begin somewhere.
pub(super) fn read_at(medium: &dyn Medium, first: Lsn, position: u64) -> Result<StoredBlock, StoreError> {
    let value = medium.read(LOG, position)?;
    let gone = || Err(format!("its value {position} is gone"));
    Ok(StoredBlock { first, block: decode(value.unwrap_or_else(gone)) })
}

fn decode(value: Result<Bytes, String>) -> Result<Block, String> {
    value.and_then(|bytes| Block::decode(bytes).map_err(|malformed| malformed.to_string()))
}
