//! How a block or a checkpoint is put together of values that are not trusted. Knows no tree.
//!
//! ```text
//! value := magic:u32 version:u16 parts:u16 total:u32 crc:u32 content                little-endian
//! ```
//! `total` is the length of all contents together; `crc` is over the key (number and part, big-endian) and everything
//! else in the value.

use bytes::Bytes;

/// What identifies a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The position of the block, or the number of the checkpoint.
    pub(super) number: u64,
    /// Which of its values, from 0.
    pub(super) part: u16,
}

/// Something that is being put together of its values, in order.
#[derive(Debug)]
pub(super) struct Assembly {
    kind: u32,
    number: u64,
    /// The most bytes that it may have.
    limit: usize,
    /// How many values, and how many bytes, as the first value said.
    expected: Option<(u16, u32)>,
    next: u16,
    bytes: Vec<u8>,
}

impl Assembly {
    /// Nothing yet.
    pub(super) fn new(kind: u32, number: u64, limit: usize) -> Self {
        Self { kind, number, limit, expected: None, next: 0, bytes: Vec::new() }
    }

    /// The key of the value that is needed next; `None` when it is complete.
    pub(super) fn wants(&self) -> Option<Key> {
        let complete = self.expected.is_some_and(|(parts, _)| self.next == parts);
        (!complete).then_some(Key { number: self.number, part: self.next })
    }

    /// Adds the value that was found at the key wanted.
    pub(super) fn push(&mut self, value: &[u8]) -> Result<(), String> {
        let key = Key { number: self.number, part: self.next };
        let fail = |what: &str| Err(format!("value {} {what}", key.part));
        let Some((header, content)) = value.split_at_checked(HEADER_BYTES) else {
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
        if checksum(key, &header[..HEADER_BYTES - 4], content) != u32_at(12) {
            return fail("does not match its checksum");
        }
        let (parts, total) = (u16_at(6), u32_at(8));
        if total as usize > self.limit || parts == 0 {
            return fail("says an impossible size");
        }
        if *self.expected.get_or_insert((parts, total)) != (parts, total) {
            return fail("belongs to another whole");
        }
        if self.bytes.len() + content.len() > total as usize {
            return fail("is more than there should be");
        }
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

    /// The whole. To be called when nothing is wanted any more.
    pub(super) fn finish(self) -> Bytes {
        self.bytes.into()
    }
}

fn checksum(key: Key, header: &[u8], content: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&key.number.to_be_bytes());
    crc.update(&key.part.to_be_bytes());
    crc.update(header);
    crc.update(content);
    crc.finalize()
}

const HEADER_BYTES: usize = 16;
const VERSION: u16 = 1;
