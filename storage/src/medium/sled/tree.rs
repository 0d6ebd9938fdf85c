//! The tree of values: each cut into parts, which stand behind fences, so that sled writes each of them about once. Knows keys
//! and sizes; where streams begin and end is told by whoever calls.
//!
//! Invariants, on which rests that a leaf is not written again with its parts in it, and stays below the size above which
//! sled makes a blob of it (`shape` has the numbers):
//! - a part is given its fences before it comes, and so are some of the positions after it: a leaf is split while it holds
//!   nothing but fences, and a part lands in a leaf that stays as it is;
//! - a part loses its fences after it is gone, and many parts are removed in one step before any of their fences: else
//!   leaves that become small are merged into others with parts in them.

use std::ops::Range;

use bytes::Bytes;
use sled::Tree;

use super::answers::backend;
use super::key::{Key, between};
use super::shape::{PARTS_PER_REMOVAL, POSITIONS_AHEAD, READS_OF_LAST};
use super::value::Assembly;
use crate::medium::StreamId;
use crate::{StoreError, boundary};

/// Values at the front of a stream that are about to be removed.
pub(super) struct Front {
    stream: StreamId,
    parts: Vec<Key>,
    /// Nothing below stays.
    pub(super) below: u64,
}

/// The tree in which all values of all streams stand.
#[derive(Clone, Debug)]
pub(super) struct Values(Tree);

impl Values {
    pub(super) fn new(tree: Tree) -> Self {
        Self(tree)
    }

    /// Makes room for a value that is to come at a position, and for those after it; the positions below `fenced` have
    /// theirs. Gives up to where there is room then.
    pub(super) fn make_room(
        &self,
        stream: StreamId,
        position: u64,
        parts: u16,
        fenced: u64,
    ) -> Result<u64, StoreError> {
        let ahead = position.saturating_add(POSITIONS_AHEAD);
        let firsts = (fenced.max(position)..ahead).map(|position| (position, 0));
        for (position, part) in firsts.chain((1..parts).map(|part| (position, part))) {
            for fence in Key::fences(stream, position, part) {
                self.0.insert(fence.bytes(), &[]).map_err(backend("append"))?;
            }
        }
        Ok(ahead.max(fenced))
    }

    /// Adds a part of a value. There is room for it.
    pub(super) fn insert(&self, key: Key, part: Vec<u8>) -> Result<(), StoreError> {
        self.0.insert(key.bytes(), part).map_err(backend("append")).map(drop)
    }

    /// The value at a position that has one. The inner error says what is damaged.
    pub(super) fn read(&self, stream: StreamId, position: u64) -> Result<Result<Bytes, String>, StoreError> {
        let mut assembly = Assembly::of_value();
        while let Some(wanted) = assembly.wants() {
            let key = Key::of_part(stream, position, wanted);
            let found = self.0.get(key.bytes()).map_err(backend("read"))?;
            let Some(part) = found else { return Ok(Err(format!("part {wanted} is missing"))) };
            if let Err(what) = assembly.push(&key.bytes(), &part) {
                return Ok(Err(what));
            }
            self.let_go(key)?;
        }
        Ok(Ok(assembly.finish()))
    }

    /// Has sled's cache let go of what was read, as far as it is over its size. It looks at that whenever 64 pages out of a
    /// 256th of all were read: without this a stream that is gone through once would be in memory as a whole, as long as it
    /// has fewer than 16384 leaves, whatever the size of the cache.
    fn let_go(&self, read: Key) -> Result<(), StoreError> {
        for _ in 0..READS_OF_LAST {
            self.0.get(read.bytes()).map_err(backend("read"))?;
        }
        Ok(())
    }

    /// The streams that have values, each with the positions of the first and the last of them.
    pub(super) fn streams(&self) -> Result<Vec<(StreamId, Range<u64>)>, StoreError> {
        let mut found = Vec::new();
        let mut next = StreamId(0);
        loop {
            let first = self.next_key(between(next, 0..0).start.to_vec())?;
            let Some(Key { stream, .. }) = first else { return Ok(found) };
            let all = between(stream, 0..u64::MAX);
            let parts = |keys: sled::Iter| keys.keys().map(|key| decode(&key.map_err(backend("read"))?));
            let is_part = |key: &Result<Key, StoreError>| key.as_ref().map_or(true, |key| key.is_part());
            let first = parts(self.0.range(all.clone())).find(is_part).transpose()?;
            let last = parts(self.0.range(all)).rev().find(is_part).transpose()?;
            match first.zip(last) {
                Some((first, last)) => found.push((stream, first.position..last.position.saturating_add(1))),
                // What a removal has left that was not over.
                None => self.remove_all(stream)?,
            }
            let Some(after) = stream.0.checked_add(1) else { return Ok(found) };
            next = StreamId(after);
        }
    }

    fn next_key(&self, from: Vec<u8>) -> Result<Option<Key>, StoreError> {
        let found = self.0.range(from..).keys().next().transpose().map_err(backend("read"))?;
        found.map(|key| decode(&key)).transpose()
    }

    /// What is removed next from the front of a stream, nothing of it at or above `end`: so many parts, unless fewer than
    /// `least` are there, and all their fences.
    pub(super) fn front(
        &self,
        stream: StreamId,
        end: u64,
        least: usize,
    ) -> Result<Option<Front>, StoreError> {
        let mut front = Front { stream, parts: Vec::new(), below: end };
        let mut keys = 0_usize;
        for key in self.0.range(between(stream, 0..end)).keys() {
            let key = decode(&key.map_err(backend("remove"))?)?;
            let is_next = front.parts.last().is_some_and(|last: &Key| last.position < key.position);
            if is_next && front.parts.len() >= PARTS_PER_REMOVAL {
                front.below = key.position;
                break;
            }
            keys += 1;
            if key.is_part() {
                front.parts.push(key);
            }
        }
        Ok((keys > 0 && front.parts.len() >= least).then_some(front))
    }

    /// Removes that.
    pub(super) fn remove_front(&self, front: Front) -> Result<(), StoreError> {
        for part in front.parts {
            self.remove(&part.bytes())?;
        }
        for key in self.0.range(between(front.stream, 0..front.below)).keys() {
            self.remove(&key.map_err(backend("remove"))?)?;
        }
        Ok(())
    }

    /// Removes all that there is of a stream.
    pub(super) fn remove_all(&self, stream: StreamId) -> Result<(), StoreError> {
        while let Some(front) = self.front(stream, u64::MAX, 0)? {
            self.remove_front(front)?;
            boundary!("medium.remove.step");
        }
        Ok(())
    }

    /// Removes the values of some positions, the last one first; their fences stay.
    pub(super) fn remove_values(&self, stream: StreamId, positions: Range<u64>) -> Result<(), StoreError> {
        for key in self.0.range(between(stream, positions)).keys().rev() {
            let key = key.map_err(backend("remove"))?;
            if decode(&key)?.is_part() {
                self.remove(&key)?;
            }
        }
        Ok(())
    }

    fn remove(&self, key: &[u8]) -> Result<(), StoreError> {
        self.0.remove(key).map_err(backend("remove")).map(drop)
    }
}

fn decode(key: &[u8]) -> Result<Key, StoreError> {
    Key::decode(key).ok_or_else(|| StoreError::CorruptStore {
        what: format!("a key in sled's tree is damaged: {key:02x?}"),
    })
}
