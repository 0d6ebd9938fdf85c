//! The tree of blocks: a block is some values whose number is its first position. Called on the workers' threads.

use std::collections::VecDeque;
use std::ops::Bound;

use sled::Tree;

use super::answers::backend;
use super::fenced::Fenced;
use super::part::{self, Assembly};
use super::place::Place;
use super::seek::{Values, last_before, seek};
use crate::limits::BLOCK_BYTES_MAX;
use crate::position::Lsn;
use crate::{Block, StoreError, StoredBlock};

/// Writes the values of a block.
pub(super) fn insert(log: &mut Fenced, block: &Block) -> Result<(), StoreError> {
    for (key, value) in part::split(KIND, block.header().first.get(), block.bytes()) {
        log.insert(key, value).map_err(backend("append"))?;
    }
    Ok(())
}

/// Where some readers go on: the position after the block that was read, and its last value.
#[derive(Debug, Default)]
pub(super) struct Cursors(VecDeque<(Lsn, Place)>);

impl Cursors {
    fn take(&mut self, from: Lsn) -> Option<Place> {
        let at = self.0.iter().position(|(next, _)| *next == from)?;
        self.0.remove(at).map(|(_, last)| last)
    }

    fn put(&mut self, next: Lsn, last: Place) {
        self.0.truncate(CURSORS - 1);
        self.0.push_front((next, last));
    }
}

/// The first block that begins at or after `from`.
pub(super) fn read(log: &Tree, from: Lsn, cursors: &mut Cursors) -> Result<Option<StoredBlock>, StoreError> {
    let mut values = values_from(log, from, cursors)?;
    let Some((stored, last)) = assemble(&mut values)? else {
        return Ok(None);
    };
    if let Ok(block) = &stored.block {
        cursors.put(block.header().next(), last);
    }
    Ok(Some(stored))
}

/// The blocks that follow each other from `from` on without a gap, whole and acknowledged, as many as are read at once.
/// What is there behind them, or instead of them, is left to [`read`].
pub(super) fn read_on(
    log: &Tree,
    from: Lsn,
    acknowledged: Lsn,
    cursors: &mut Cursors,
) -> Result<VecDeque<Block>, StoreError> {
    let mut blocks = VecDeque::new();
    let mut values = values_from(log, from, cursors)?;
    let (mut next, mut bytes, mut end) = (from, 0, None);
    while bytes < AHEAD_BYTES && blocks.len() < AHEAD_BLOCKS {
        let Ok(Some((StoredBlock { first, block: Ok(block) }, last))) = assemble(&mut values) else {
            break;
        };
        let after = block.header().next();
        if first != next || after > acknowledged {
            break;
        }
        bytes += block.bytes().len();
        let_go(log, &last)?;
        (next, end) = (after, Some(last));
        blocks.push_back(block);
    }
    if let Some(last) = end {
        cursors.put(next, last);
    }
    Ok(blocks)
}

/// Has sled's cache let go of what was read, as far as it is over its size. It looks at that whenever 64 pages out of a
/// 256th of all were read: without this a log that is gone through once would be in memory as a whole, as long as it has
/// fewer than 16384 leaves, whatever the size of the cache.
fn let_go(log: &Tree, last: &Place) -> Result<(), StoreError> {
    for _ in 0..READS_OF_LAST {
        log.get(last.bytes()).map_err(backend("read"))?;
    }
    Ok(())
}

/// The values from the first on that is of a block at or after `from`.
fn values_from(log: &Tree, from: Lsn, cursors: &mut Cursors) -> Result<Values, StoreError> {
    if let Some(last) = cursors.take(from) {
        let mut values = Values::from(log, Bound::Excluded(&last));
        // What is not in order comes of a tail that was replaced since.
        if values.place()?.is_none_or(|place| place.number() >= from.get()) {
            return Ok(values);
        }
    }
    seek(log, from.get())
}

/// Puts the block together that the first of these values is one of. Gives the last of them, too.
fn assemble(values: &mut Values) -> Result<Option<(StoredBlock, Place)>, StoreError> {
    let Some((mut place, mut value)) = values.next().transpose()? else {
        return Ok(None);
    };
    let first = Lsn::new(place.number());
    let damaged = |what: String, last: Place| Ok(Some((StoredBlock { first, block: Err(what) }, last)));
    let mut assembly = Assembly::new(KIND, first.get(), BLOCK_BYTES_MAX);
    while let Some(wanted) = assembly.wants() {
        if wanted.part > 0 {
            match values.next().transpose()? {
                Some(next) => (place, value) = next,
                None => return damaged(format!("value {} is missing", wanted.part), place),
            }
        }
        if place.key() != Some(wanted) {
            return damaged(format!("value {} is missing", wanted.part), place);
        }
        if let Err(what) = assembly.push(&value) {
            return damaged(what, place);
        }
    }
    match Block::decode(assembly.finish()) {
        Ok(block) if block.header().first == first => {
            Ok(Some((StoredBlock { first, block: Ok(block) }, place)))
        }
        Ok(block) => damaged(format!("it says that it begins at {}", block.header().first), place),
        Err(malformed) => damaged(malformed.to_string(), place),
    }
}

/// The last block that begins at or after `start` and at or before `limit`.
pub(super) fn last(log: &Tree, start: Lsn, limit: Lsn) -> Result<Option<Block>, StoreError> {
    let last = match limit.get().checked_add(1) {
        Some(after) => last_before(log, seek(log, after)?.place()?)?,
        None => last_before(log, None)?,
    };
    let Some(last) = last else {
        return Ok(None);
    };
    let at = Lsn::new(last.number());
    if at < start {
        return Ok(None);
    }
    let what = match read(log, at, &mut Cursors::default())? {
        Some(StoredBlock { first, block: Ok(block) }) if first == at => return Ok(Some(block)),
        Some(StoredBlock { first, block: Err(what) }) if first == at => what,
        _ => "it is gone while it is read".to_owned(),
    };
    Err(StoreError::CorruptLog { at, what })
}

/// Removes everything at or after `first`: remains of an append that nobody was told about, one commit at most.
pub(super) fn remove_from(log: &Fenced, first: Lsn) -> Result<(), StoreError> {
    while log.remove_step(first.get(), u64::MAX)? {}
    Ok(())
}

/// Removes some of what is below `start`, when there is enough for a step. Returns whether there may be more.
pub(super) fn remove_below_step(log: &Fenced, start: Lsn) -> Result<bool, StoreError> {
    log.remove_below_step(start.get())
}

const KIND: u32 = u32::from_le_bytes(*b"RLBP");
/// How much is read ahead at once, at least one block.
const AHEAD_BYTES: usize = 1 << 20;
const AHEAD_BLOCKS: usize = 1024;
/// How often the last value of a block that was read ahead is looked at again.
const READS_OF_LAST: usize = 8;
/// As many readers can go on without a search, such as actors that are replayed at the same time.
const CURSORS: usize = 32;
