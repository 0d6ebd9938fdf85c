//! Finds the values in one file, whatever its bytes are. Reads headers, and knows of no other file than the one it reads.
//!
//! A whole header tells where the next one stands. Where there is none, every place up to the end of the file is tried, so
//! that damage in the middle hides no more than what is damaged.

use super::file::Source;
use super::value::{HEADER_BYTES, Header, VALUES_AT, find_magic, span};
use crate::StoreError;

/// A value that was found. Its header is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) position: u64,
    pub(super) offset: u64,
    /// Where the next one would stand.
    pub(super) end: u64,
    header: Header,
}

/// What is known of a stream before a file of it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    /// The position that the stream begins with.
    pub(super) first: u64,
    /// The position after the last value in the files before.
    pub(super) next: u64,
    /// How many bytes lie in those behind that value, in which others may have stood.
    pub(super) skipped: u64,
}

/// Finds the values of a file, in order. The first may have a lower position than expected when its value is whole: then
/// what was found before at that position and after it is what was left of appends that these replaced.
pub(super) fn scan(source: &Source, expected: Expected) -> Result<Vec<Found>, StoreError> {
    let mut scanner = Scanner::new(source)?;
    let mut values = Vec::new();
    let Expected { first: mut lowest, mut next, mut skipped } = expected;
    let mut at = VALUES_AT;
    loop {
        let found = match scanner.value_at(at)? {
            Some(value) if value.position == next => Some(value),
            // No more positions than there is room for may lie in between, so that no number takes all memory.
            _ => scanner.search(at, |value| {
                let between = (skipped + (value.offset - at)) / HEADER_BYTES as u64;
                value.position >= lowest && value.position <= next.saturating_add(between)
            })?,
        };
        let Some(value) = found else { return Ok(values) };
        next = value.position + 1;
        lowest = next;
        skipped = 0;
        at = value.end;
        values.push(value);
    }
}

/// Whether the value of a position stands at a place, with all of its bytes.
pub(super) fn is_whole(source: &Source, offset: u64, position: u64) -> Result<bool, StoreError> {
    let mut scanner = Scanner::new(source)?;
    match scanner.value_at(offset)? {
        Some(value) if value.position == position => scanner.is_whole(&value),
        _ => Ok(false),
    }
}

/// Reads a file in pieces.
struct Scanner<'s> {
    source: &'s Source,
    /// Where what counts of the file ends.
    end: u64,
    piece: Vec<u8>,
    at: u64,
}

impl<'s> Scanner<'s> {
    fn new(source: &'s Source) -> Result<Self, StoreError> {
        let length = source.length()?;
        let end = source.room.map_or(length, |room| room.min(length));
        Ok(Self { source, end, piece: Vec::new(), at: 0 })
    }

    /// So many bytes from a place on, fewer only at the end.
    fn bytes(&mut self, at: u64, count: usize) -> Result<&[u8], StoreError> {
        let left = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        let count = count.min(left);
        let start = at.checked_sub(self.at).and_then(|start| usize::try_from(start).ok());
        let here = start.filter(|start| start.saturating_add(count) <= self.piece.len());
        let start = match here {
            Some(start) => start,
            None => {
                self.source.read(at, PIECE_BYTES.min(left), &mut self.piece)?;
                self.at = at;
                0
            }
        };
        let end = start.saturating_add(count).min(self.piece.len());
        Ok(self.piece.get(start..end).unwrap_or_default())
    }

    /// The value with a whole header at a place, of which all bytes are there.
    fn value_at(&mut self, at: u64) -> Result<Option<Found>, StoreError> {
        let stamp = self.source.stamp;
        let Some(header) = stamp.header(self.bytes(at, HEADER_BYTES)?) else { return Ok(None) };
        let end = at.saturating_add(span(header.length));
        let found = Found { position: header.position, offset: at, end, header };
        Ok((end <= self.end).then_some(found))
    }

    /// The first whole value at a place or after it that is wanted.
    fn search(&mut self, from: u64, wanted: impl Fn(&Found) -> bool) -> Result<Option<Found>, StoreError> {
        let mut at = from;
        while at < self.end {
            let piece = self.bytes(at, PIECE_BYTES)?;
            let (length, begins) = (piece.len() as u64, find_magic(piece));
            match begins {
                // Of the last bytes of a file, fewer than eight may be left.
                None => at = at.saturating_add(length.max(8)),
                Some(begins) => {
                    at += begins as u64;
                    if let Some(value) = self.value_at(at)?
                        && wanted(&value)
                        && self.is_whole(&value)?
                    {
                        return Ok(Some(value));
                    }
                    at += 8;
                }
            }
        }
        Ok(None)
    }

    /// Whether the bytes of a value are what its header says.
    fn is_whole(&mut self, value: &Found) -> Result<bool, StoreError> {
        let mut crc = crc32fast::Hasher::new();
        let mut at = value.offset + HEADER_BYTES as u64;
        let mut left = value.header.length;
        while left > 0 {
            let piece = self.bytes(at, left.min(PIECE_BYTES))?;
            if piece.is_empty() {
                return Ok(false);
            }
            crc.update(piece);
            at += piece.len() as u64;
            left -= piece.len();
        }
        Ok(value.header.is_of(crc.finalize()))
    }
}

/// How much is read at once: a multiple of eight.
const PIECE_BYTES: usize = 256 << 10;
