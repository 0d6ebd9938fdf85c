//! The tree of values: each cut into parts, which stand behind fences, so that sled writes each of
//! them about once. Knows keys and sizes; the caller says where streams begin and end.
//!
//! Two invariants keep sled from writing a leaf again with parts in it, and keep a leaf below the
//! size above which sled makes a blob of it (`tuning` has the numbers):
//! - a part gets its fences before it comes, except the part of a small value, and so do some of
//!   the parts after it (`fences_ahead` says which): sled splits a leaf while the leaf holds only
//!   fences, and a part lands in a leaf that stays as it is;
//! - a part loses its fences after it is gone, and one step removes many parts before any of their
//!   fences: else sled merges leaves that become small into others with parts in them.

use std::ops::Range;

use bytes::Bytes;
use relive_storage::medium::StreamId;
use relive_storage::{StoreError, boundary};
use sled::Tree;

use super::key::{Key, between};
use super::value::Assembly;
use crate::failures::backend;
use crate::tuning::{PART_BYTES, PARTS_PER_REMOVAL_MAX, READS_OF_LAST};

/// The values at the front of a stream that the next step removes.
pub(crate) struct Front {
    stream: StreamId,
    parts: Vec<Key>,
    /// The step removes everything below.
    pub(crate) below: u64,
}

/// The tree in which all values of all streams stand.
#[derive(Clone, Debug)]
pub(crate) struct Values(Tree);

impl Values {
    pub(crate) fn new(tree: Tree) -> Self {
        Self(tree)
    }

    /// Adds the fences of a part before the part itself.
    pub(crate) fn fence(&self, stream: StreamId, position: u64, part: u16) -> Result<(), StoreError> {
        for fence in Key::fences(stream, position, part) {
            self.0.insert(fence.bytes(), &[]).map_err(backend("append"))?;
        }
        Ok(())
    }

    /// Adds a part of a value, whose fences the caller has added.
    pub(crate) fn insert(&self, key: Key, part: Vec<u8>) -> Result<(), StoreError> {
        assert!(key.is_part(), "a value stands in its parts, and {key:?} is a fence");
        assert!(part.len() <= PART_BYTES, "sled would make a blob of a leaf with {} bytes", part.len());
        self.0.insert(key.bytes(), part).map_err(backend("append")).map(drop)
    }

    /// The value at a position that has one. The inner error says what is damaged.
    pub(crate) fn read(&self, stream: StreamId, position: u64) -> Result<Result<Bytes, String>, StoreError> {
        let mut assembly = Assembly::of_value();
        while let Some(wanted) = assembly.wants() {
            let key = Key::of_part(stream, position, wanted);
            let found = self.0.get(key.bytes()).map_err(backend("read"))?;
            let Some(part) = found else { return Ok(Err(format!("part {wanted} is missing"))) };
            if let Err(what) = assembly.push(&key.bytes(), &part) {
                return Ok(Err(what));
            }
            self.trim_cache(key)?;
        }
        Ok(Ok(assembly.finish()))
    }

    /// Makes sled's cache evict pages as far as it is over its size. sled checks the size only
    /// after 64 reads of pages in the same 256th of all pages: without this call, one pass through
    /// a stream of fewer than 16384 leaves would keep all of it in memory, whatever the size of the
    /// cache.
    fn trim_cache(&self, read: Key) -> Result<(), StoreError> {
        for _ in 0..READS_OF_LAST {
            self.0.get(read.bytes()).map_err(backend("read"))?;
        }
        Ok(())
    }

    /// The streams that have values, each with the positions of the first and the last of them.
    pub(crate) fn streams(&self) -> Result<Vec<(StreamId, Range<u64>)>, StoreError> {
        let mut found = Vec::new();
        let mut next = StreamId(0);
        // One search for each stream, not one pass: the tree may hold gigabytes.
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
                // A removal that a crash cut off has left these.
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

    /// The next step of a removal from the front of a stream, below `end`: some parts with all
    /// their fences, or nothing when fewer than `least` parts are there.
    pub(crate) fn front(
        &self,
        stream: StreamId,
        end: u64,
        least: usize,
    ) -> Result<Option<Front>, StoreError> {
        let mut front = Front { stream, parts: Vec::new(), below: end };
        let mut keys = 0_usize;
        for key in self.0.range(between(stream, 0..end)).keys() {
            let key = decode(&key.map_err(backend("remove"))?)?;
            // A step ends between two values: nothing is left below the position that it names.
            let is_next = front.parts.last().is_some_and(|last: &Key| last.position < key.position);
            if is_next && front.parts.len() >= PARTS_PER_REMOVAL_MAX {
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

    /// Makes the step.
    pub(crate) fn remove_front(&self, front: Front) -> Result<(), StoreError> {
        // The fences only after all parts: else sled merges leaves into others with parts in them.
        for part in front.parts {
            self.remove(&part.bytes())?;
        }
        for key in self.0.range(between(front.stream, 0..front.below)).keys() {
            self.remove(&key.map_err(backend("remove"))?)?;
        }
        Ok(())
    }

    /// Removes a whole stream.
    pub(crate) fn remove_all(&self, stream: StreamId) -> Result<(), StoreError> {
        while let Some(front) = self.front(stream, u64::MAX, 0)? {
            self.remove_front(front)?;
            boundary!("medium.remove.step");
        }
        Ok(())
    }

    /// Removes the values of some positions, the last one first. Their fences stay.
    pub(crate) fn remove_values(&self, stream: StreamId, positions: Range<u64>) -> Result<(), StoreError> {
        // From the end: a crash in between leaves a stream that ends earlier, not one with a gap.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::value::split;
    use crate::tuning::FENCES;

    const STREAM: StreamId = StreamId(5);

    /// Values in a tree of their own.
    fn values() -> Values {
        let db = sled::Config::new().temporary(true).open().unwrap();
        Values::new(db.open_tree("values").unwrap())
    }

    /// Appends a value in parts, each with its fences.
    fn append(values: &Values, stream: StreamId, position: u64, value: &[u8]) {
        for (key, part) in split(stream, position, value) {
            values.fence(stream, position, key.part).unwrap();
            values.insert(key, part).unwrap();
        }
    }

    fn keys(values: &Values) -> Vec<Key> {
        values.0.iter().keys().map(|key| decode(&key.unwrap()).unwrap()).collect()
    }

    fn parts(values: &Values) -> Vec<(u64, u64)> {
        let parts = keys(values).into_iter().filter(|key| key.is_part());
        parts.map(|key| (key.stream.0, key.position)).collect()
    }

    /// A value comes back whole, and one that lacks a part, or has one of another place, is damage.
    #[test]
    fn a_value_comes_back_or_is_damaged() {
        let values = values();
        let large: Vec<u8> = (0..150_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        append(&values, STREAM, 8, b"");
        append(&values, STREAM, 9, &large);
        assert_eq!(values.read(STREAM, 8).unwrap().unwrap(), &b""[..]);
        assert_eq!(values.read(STREAM, 9).unwrap().unwrap(), large);
        assert_eq!(values.read(STREAM, 10).unwrap(), Err("part 0 is missing".to_owned()));
        let part = |nth| Key::of_part(STREAM, 9, nth).bytes();
        let second = values.0.remove(part(1)).unwrap().unwrap();
        assert_eq!(values.read(STREAM, 9).unwrap(), Err("part 1 is missing".to_owned()));
        values.0.insert(part(1), values.0.get(part(2)).unwrap().unwrap()).unwrap();
        assert!(values.read(STREAM, 9).unwrap().is_err());
        values.0.insert(part(1), second).unwrap();
        assert_eq!(values.read(STREAM, 9).unwrap().unwrap(), large);
    }

    /// An opening finds where each stream begins and ends by its parts, and removes fences without
    /// any.
    #[test]
    fn streams_are_found_by_their_parts() {
        let values = values();
        append(&values, StreamId(0), 3, b"three");
        append(&values, StreamId(0), 4, b"four");
        values.fence(StreamId(0), 5, 0).unwrap();
        values.fence(StreamId(7), 0, 0).unwrap();
        append(&values, StreamId(u64::MAX), 1, b"one");
        assert_eq!(values.streams().unwrap(), [(StreamId(0), 3..5), (StreamId(u64::MAX), 1..2)]);
        assert!(keys(&values).iter().all(|key| key.stream != StreamId(7)));
    }

    /// A step of a removal takes whole values with their fences, up to its size, and no step comes
    /// when too few parts are there.
    #[test]
    fn a_removal_goes_in_steps_of_whole_values() {
        let values = values();
        let two_parts = vec![7; 100_000];
        for position in 0..200 {
            append(&values, STREAM, position, &two_parts);
        }
        assert!(values.front(STREAM, 31, 64).unwrap().is_none(), "62 parts are too few");
        let front = values.front(STREAM, 190, 64).unwrap().unwrap();
        assert_eq!((front.below, front.parts.len()), (128, PARTS_PER_REMOVAL_MAX));
        values.remove_front(front).unwrap();
        assert_eq!(keys(&values).first().map(|key| key.position), Some(128), "its fences are gone too");
        let front = values.front(STREAM, 190, 64).unwrap().unwrap();
        assert_eq!((front.below, front.parts.len()), (190, 124));
        values.remove_front(front).unwrap();
        assert!(values.front(STREAM, 190, 0).unwrap().is_none());
        assert_eq!(values.streams().unwrap(), [(STREAM, 190..200)]);
    }

    /// A removal from the end takes parts, and leaves fences for the values that come next.
    #[test]
    fn a_removal_from_the_end_leaves_the_fences() {
        let values = values();
        for position in 0..4 {
            append(&values, STREAM, position, b"value");
        }
        append(&values, StreamId(6), 2, b"another stream");
        values.remove_values(STREAM, 2..4).unwrap();
        assert_eq!(parts(&values), [(5, 0), (5, 1), (6, 2)]);
        let fences = keys(&values).into_iter().filter(|key| !key.is_part() && key.stream == STREAM);
        assert_eq!(fences.count(), 4 * usize::from(FENCES));
    }

    /// Removing a stream leaves nothing of it, and all of its neighbours.
    #[test]
    fn a_removed_stream_leaves_nothing() {
        let values = values();
        for stream in [4, 5, 6] {
            append(&values, StreamId(stream), 0, b"value");
            append(&values, StreamId(stream), u64::MAX - 1, b"value");
        }
        values.remove_all(STREAM).unwrap();
        assert_eq!(parts(&values), [(4, 0), (4, u64::MAX - 1), (6, 0), (6, u64::MAX - 1)]);
        assert!(keys(&values).iter().all(|key| key.stream != STREAM));
    }

    /// A key that this crate never writes is damage.
    #[test]
    fn a_foreign_key_is_damage() {
        let values = values();
        values.0.insert(b"foreign", b"").unwrap();
        assert!(values.streams().is_err_and(|error| error.is_corrupt()));
    }
}
