//! Where the blocks of the log stand in its stream. Knows positions, and reads a block only to
//! learn where it begins.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::contract::error::StoreError;
use crate::contract::log::StoredBlock;
use crate::format::block::Block;
use crate::id::position::Lsn;
use crate::medium::{Medium, StreamId};

/// The stream of the log.
pub(super) const LOG: StreamId = StreamId(0);

/// Where the blocks begin that were read or written so far. The index learns the others when a
/// caller asks for them.
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
    /// The index of a log that begins with a block at a position in its stream.
    pub(super) fn new(start: Lsn, first: u64) -> Self {
        Self { first, begins: VecDeque::new(), next: start, complete: false }
    }

    /// The first known block that begins at or after a position in the log, with its position in
    /// the stream.
    pub(super) fn find(&self, from: Lsn) -> Option<(Lsn, u64)> {
        let at = self.begins.partition_point(|begins| *begins < from);
        self.begins.get(at).map(|begins| (*begins, self.position(at)))
    }

    /// The first unknown block that begins at or after a position in the log. It learns the blocks
    /// before it.
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

    /// Reads the next unknown value, and remembers where its block begins. A damaged block, or one
    /// whose position is impossible, gets the first position that is free.
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
            // It may begin later than it should: the reader of the log judges a gap.
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
        // No position is left, so no block can follow.
        let Some(next) = next else {
            self.complete = true;
            return Ok(None);
        };
        assert!(
            self.begins.back().is_none_or(|last| *last < stored.first) && stored.first < next,
            "blocks begin in ascending order, and {} does not",
            stored.first
        );
        self.begins.push_back(stored.first);
        self.next = next;
        Ok(Some(stored))
    }

    /// Learns where all blocks begin.
    pub(super) fn complete(&mut self, medium: &dyn Medium) -> Result<(), StoreError> {
        while self.learn(medium)?.is_some() {}
        Ok(())
    }

    /// The position in the stream for a block that begins at `first`, and the end of the block
    /// before it. Needs a complete index.
    pub(super) fn locate(&self, medium: &dyn Medium, first: Lsn) -> Result<(u64, Option<Lsn>), StoreError> {
        let at = self.begins.partition_point(|begins| *begins < first);
        let Some(before) = at.checked_sub(1) else { return Ok((self.position(at), None)) };
        assert!(self.complete, "only a complete index knows what stands before {first}");
        let end = if at == self.begins.len() {
            self.next
        } else {
            // The index knows only where blocks begin: this one may end before the next begins.
            let value = medium.read(LOG, self.position(before))?;
            let block = value.and_then(Result::ok).and_then(|value| Block::decode(value).ok());
            block.map_or(first, |block| block.header().next())
        };
        Ok((self.position(at), Some(end)))
    }

    /// Forgets the blocks from a position in the stream on.
    pub(super) fn remove_from(&mut self, position: u64, next: Lsn) {
        assert!(
            self.first <= position && position <= self.end(),
            "{position} is none of the positions {} to {}",
            self.first,
            self.end()
        );
        let keep = usize::try_from(position.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.begins.truncate(keep);
        assert!(self.begins.back().is_none_or(|last| *last < next), "what is kept lies before {next}");
        self.next = next;
        self.complete = true;
    }

    /// Adds a block that was appended.
    pub(super) fn appended(&mut self, first: Lsn, next: Lsn) {
        assert!(self.next == first && first < next, "{first} to {next} after {}", self.next);
        assert!(self.complete, "an append knows all blocks before its own");
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

    /// The position in the stream after the last known block.
    pub(super) fn end(&self) -> u64 {
        self.position(self.begins.len())
    }

    fn position(&self, at: usize) -> u64 {
        self.first + at as u64
    }
}

/// The block at a position in the stream. The index knows where it begins.
pub(super) fn read_at(medium: &dyn Medium, first: Lsn, position: u64) -> Result<StoredBlock, StoreError> {
    let value = medium.read(LOG, position)?;
    let gone = || Err(format!("its value {position} is gone"));
    Ok(StoredBlock { first, block: decode(value.unwrap_or_else(gone)) })
}

fn decode(value: Result<Bytes, String>) -> Result<Block, String> {
    value.and_then(|bytes| Block::decode(bytes).map_err(|malformed| malformed.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::memory::MemoryMedium;
    use crate::testing::conformance::block;

    /// A log of three blocks of two records each from 10 on, at the positions 5, 6 and 7 of its
    /// stream; the value at `damaged` is no block.
    fn log(damaged: Option<u64>) -> (MemoryMedium, LogIndex) {
        let medium = MemoryMedium::new();
        for (position, first) in [(5, 10), (6, 12), (7, 14)] {
            let block = block(first, 2, 0, 1);
            let bytes = if damaged == Some(position) { &b"damage"[..] } else { block.bytes() };
            medium.append(LOG, position, bytes).unwrap();
        }
        (medium, LogIndex::new(Lsn::new(10), 5))
    }

    #[test]
    fn blocks_are_learnt_up_to_where_they_are_wanted() {
        let (medium, mut index) = log(None);
        assert_eq!(index.find(Lsn::new(10)), None, "nothing is known yet");
        let stored = index.learn_to(&medium, Lsn::new(11)).unwrap().unwrap();
        assert_eq!((stored.first, index.end()), (Lsn::new(12), 7));
        assert_eq!(index.find(Lsn::new(10)), Some((Lsn::new(10), 5)));
        assert_eq!(index.find(Lsn::new(11)), Some((Lsn::new(12), 6)));
        assert_eq!(index.find(Lsn::new(13)), None);
        index.complete(&medium).unwrap();
        assert_eq!(index.last(Lsn::new(99)), Some((Lsn::new(14), 7)));
        assert_eq!(index.last(Lsn::new(13)), Some((Lsn::new(12), 6)));
        assert_eq!(index.last(Lsn::new(9)), None);
    }

    /// A block after a damaged one keeps the position that it says.
    #[test]
    fn a_damaged_block_takes_the_position_where_it_should_begin() {
        let (medium, mut index) = log(Some(6));
        let damaged = index.learn_to(&medium, Lsn::new(11)).unwrap().unwrap();
        assert!(damaged.block.is_err() && damaged.first == Lsn::new(12));
        let after = index.learn_to(&medium, Lsn::new(13)).unwrap().unwrap();
        assert!(after.block.is_ok() && after.first == Lsn::new(14));
    }

    #[test]
    fn what_is_removed_is_not_found_any_more() {
        let (medium, mut index) = log(None);
        index.complete(&medium).unwrap();
        assert_eq!(index.locate(&medium, Lsn::new(16)).unwrap(), (8, Some(Lsn::new(16))));
        assert_eq!(index.locate(&medium, Lsn::new(14)).unwrap(), (7, Some(Lsn::new(14))));
        assert_eq!(index.locate(&medium, Lsn::new(10)).unwrap(), (5, None));
        index.remove_below(6);
        assert_eq!(index.find(Lsn::new(0)), Some((Lsn::new(12), 6)));
        index.remove_from(7, Lsn::new(14));
        assert_eq!((index.last(Lsn::new(99)), index.end()), (Some((Lsn::new(12), 6)), 7));
        index.appended(Lsn::new(14), Lsn::new(17));
        assert_eq!(index.locate(&medium, Lsn::new(17)).unwrap(), (8, Some(Lsn::new(17))));
    }
}
