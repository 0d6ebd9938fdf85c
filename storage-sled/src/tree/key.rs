//! The keys of the tree of values. Touches no tree.
//!
//! ```text
//! key := stream:u64 position:u64 part:u16 index:u8                big-endian, so that keys sort
//! ```
//! A value is cut into parts; `index` is [`PART`] in the key of a part, and below [`FENCES`] in
//! that of a fence, which has no value and stands before the part.

use std::ops::Range;

use relive_storage::medium::StreamId;

use crate::tuning::FENCES;

/// The key of a part or a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) stream: StreamId,
    pub(crate) position: u64,
    pub(crate) part: u16,
    index: u8,
}

impl Key {
    /// The key of a part of a value.
    pub(crate) fn of_part(stream: StreamId, position: u64, part: u16) -> Self {
        Self { stream, position, part, index: PART }
    }

    /// The keys of the fences before a part.
    pub(crate) fn fences(stream: StreamId, position: u64, part: u16) -> impl Iterator<Item = Self> {
        (0..FENCES).map(move |index| Self { stream, position, part, index })
    }

    /// Decodes a key from the tree; `None` for one that this crate never writes, which only damage
    /// makes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; KEY_BYTES] = bytes.try_into().ok()?;
        let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
        Some(Self {
            stream: StreamId(number(0)?),
            position: number(8)?,
            part: u16::from_be_bytes([bytes[16], bytes[17]]),
            index: bytes[18],
        })
    }

    pub(crate) fn bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [self.index; KEY_BYTES];
        bytes[..8].copy_from_slice(&self.stream.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.position.to_be_bytes());
        bytes[16..18].copy_from_slice(&self.part.to_be_bytes());
        bytes
    }

    /// Whether it is the key of a part.
    pub(crate) fn is_part(self) -> bool {
        self.index == PART
    }
}

/// All keys of the positions of a stream.
pub(crate) fn between(stream: StreamId, positions: Range<u64>) -> Range<[u8; KEY_BYTES]> {
    let at = |position| Key { stream, position, part: 0, index: 0 }.bytes();
    at(positions.start)..at(positions.end)
}

const PART: u8 = u8::MAX;
const KEY_BYTES: usize = 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_and_sort_as_what_they_name() {
        let mut keys = Vec::new();
        for (stream, position, part) in
            [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 256, 0), (1, 0, 0), (256, 9, 300)]
        {
            keys.extend(Key::fences(StreamId(stream), position, part));
            keys.push(Key::of_part(StreamId(stream), position, part));
        }
        assert!(keys.is_sorted_by_key(|key| key.bytes()));
        for key in keys {
            assert_eq!(Key::decode(&key.bytes()), Some(key));
            assert_eq!(
                key.is_part(),
                !Key::fences(key.stream, key.position, key.part).any(|fence| fence == key)
            );
        }
        assert_eq!(Key::decode(b"short"), None);
    }
}
