//! Cuts a value into parts for sled, and puts it together again from untrusted ones. Knows no tree.
//!
//! ```text
//! part := "RLSP" version:u16 parts:u16 total:u32 crc:u32 content                little-endian
//! ```
//! `total` is the length of all contents together; `crc` covers the key and everything else in the
//! part.

use bytes::Bytes;
use relive_storage::medium::{StreamId, VALUE_BYTES_MAX};

use super::key::Key;
use crate::tuning::{PART_BYTES, PART_HEADER_BYTES};

/// The number of parts of a value of this length.
pub(crate) fn count(length: usize) -> u16 {
    const { assert!(VALUE_BYTES_MAX.div_ceil(CONTENT_BYTES) < u16::MAX as usize) }
    u16::try_from(length.div_ceil(CONTENT_BYTES).max(1)).expect("the limit keeps it below 65536 parts")
}

/// Cuts a value into keys and parts of about the same size.
pub(crate) fn split(stream: StreamId, position: u64, whole: &[u8]) -> impl Iterator<Item = (Key, Vec<u8>)> {
    let parts = count(whole.len());
    let length = whole.len().div_ceil(usize::from(parts));
    let total = u32::try_from(whole.len()).expect("the limit keeps it below 4 GiB");
    (0..parts).map(move |part| {
        let key = Key::of_part(stream, position, part);
        let begin = (usize::from(part) * length).min(whole.len());
        let content = &whole[begin..(begin + length).min(whole.len())];
        let mut value = Vec::with_capacity(PART_HEADER_BYTES + content.len());
        value.extend_from_slice(&MAGIC.to_le_bytes());
        value.extend_from_slice(&VERSION.to_le_bytes());
        value.extend_from_slice(&parts.to_le_bytes());
        value.extend_from_slice(&total.to_le_bytes());
        // Over the key too: sled may give back what stands elsewhere.
        let crc = checksum(&key.bytes(), &value, content);
        value.extend_from_slice(&crc.to_le_bytes());
        value.extend_from_slice(content);
        (key, value)
    })
}

/// Puts something together from its parts, in order: a value, or a block or checkpoint of an older
/// store.
#[derive(Debug)]
pub(crate) struct Assembly {
    /// How each part begins.
    kind: u32,
    /// The most bytes that the whole may have.
    limit: usize,
    /// How many parts, and how many bytes, as the first part said.
    expected: Option<(u16, u32)>,
    next: u16,
    bytes: Vec<u8>,
}

impl Assembly {
    /// Nothing yet.
    pub(crate) fn new(kind: u32, limit: usize) -> Self {
        Self { kind, limit, expected: None, next: 0, bytes: Vec::new() }
    }

    /// A value of which there is nothing yet.
    pub(crate) fn of_value() -> Self {
        Self::new(MAGIC, VALUE_BYTES_MAX)
    }

    /// The part that is needed next; `None` when it is complete.
    pub(crate) fn wants(&self) -> Option<u16> {
        let complete = self.expected.is_some_and(|(parts, _)| self.next == parts);
        (!complete).then_some(self.next)
    }

    /// Adds the wanted part, found at a key. Its checksum covers the key too.
    pub(crate) fn push(&mut self, key: &[u8], part: &[u8]) -> Result<(), String> {
        assert!(self.wants().is_some(), "no part comes to a whole that is complete");
        let nth = self.next;
        let fail = |what: &str| Err(format!("part {nth} {what}"));
        let Some((header, content)) = part.split_at_checked(PART_HEADER_BYTES) else {
            return fail("is too short");
        };
        let u32_at = |at: usize| header[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
        let u16_at = |at: usize| header[at..at + 2].try_into().map_or(0, u16::from_le_bytes);
        if u32_at(0) != self.kind {
            return fail("does not begin as it should");
        }
        if u16_at(4) != VERSION {
            return fail("has an unknown version");
        }
        if checksum(key, &header[..PART_HEADER_BYTES - 4], content) != u32_at(12) {
            return fail("does not match its checksum");
        }
        let (parts, total) = (u16_at(6), u32_at(8));
        if total as usize > self.limit || parts == 0 {
            return fail("says an impossible size");
        }
        // The first part decides, and each other one must say the same: parts of two values that
        // stood at one place may be mixed.
        if *self.expected.get_or_insert((parts, total)) != (parts, total) {
            return fail("belongs to another whole");
        }
        if self.bytes.len() + content.len() > total as usize {
            return fail("is more than there should be");
        }
        // Only behind the checksum, so that no damaged number asks for memory.
        if self.next == 0 {
            self.bytes.reserve_exact(total as usize);
        }
        self.bytes.extend_from_slice(content);
        self.next += 1;
        if self.next == parts && self.bytes.len() != total as usize {
            return fail("is the last, and bytes are missing");
        }
        Ok(())
    }

    /// Returns the whole. Call it when no part is wanted any more.
    pub(crate) fn finish(self) -> Bytes {
        assert!(self.wants().is_none(), "a whole has all its parts, and part {} is wanted", self.next);
        self.bytes.into()
    }
}

fn checksum(key: &[u8], header: &[u8], content: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key);
    crc.update(header);
    crc.update(content);
    crc.finalize()
}

const MAGIC: u32 = u32::from_le_bytes(*b"RLSP");
const CONTENT_BYTES: usize = PART_BYTES - PART_HEADER_BYTES;
const VERSION: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: StreamId = StreamId(7);

    fn assemble(parts: &[Vec<u8>]) -> Result<Bytes, String> {
        let mut assembly = Assembly::of_value();
        for (part, nth) in parts.iter().zip(0..) {
            assembly.push(&Key::of_part(STREAM, 9, nth).bytes(), part)?;
        }
        match assembly.wants() {
            None => Ok(assembly.finish()),
            Some(part) => Err(format!("part {part} is missing")),
        }
    }

    #[test]
    fn wholes_of_any_size_come_back() {
        for length in [0, 1, CONTENT_BYTES - 1, CONTENT_BYTES, CONTENT_BYTES + 1, 5 * CONTENT_BYTES + 3] {
            let whole: Vec<u8> = (0..length).map(|i| i.to_le_bytes()[0]).collect();
            let parts: Vec<_> = split(STREAM, 9, &whole).map(|(_, part)| part).collect();
            assert!(parts.iter().all(|part| part.len() <= PART_BYTES));
            assert_eq!(assemble(&parts).unwrap(), whole);
            assert!(assemble(&parts[..parts.len() - 1]).is_err());
        }
    }

    /// Invariant: prefix. Damage is never taken for data.
    #[test]
    fn damaged_and_foreign_parts_are_noticed() {
        let parts: Vec<_> = split(STREAM, 9, b"content").map(|(_, part)| part).collect();
        for bit in 0..parts[0].len() * 8 {
            let mut damaged = parts.clone();
            damaged[0][bit / 8] ^= 1 << (bit % 8);
            assert!(assemble(&damaged).is_err(), "bit {bit}");
        }
        for (stream, position) in [(STREAM, 10), (StreamId(8), 9)] {
            let elsewhere: Vec<_> = split(stream, position, b"content").map(|(_, part)| part).collect();
            assert!(assemble(&elsewhere).is_err());
        }
    }
}
