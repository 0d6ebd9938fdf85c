//! Finds the values in one file of untrusted bytes. Reads headers, and knows no other file.
//!
//! A whole header says where the next one stands. Where there is none, the scan tries every offset
//! up to the end of the file, so that damage in the middle hides only the damaged values.

use super::file::Source;
use super::value::{HEADER_BYTES, Header, VALUES_AT, find_magic, span};
use crate::contract::error::StoreError;

/// A value with a whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) position: u64,
    pub(super) offset: u64,
    /// Where the next one would stand.
    pub(super) end: u64,
    header: Header,
}

/// What the scan knows of a stream before it reads a file of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    /// The position that the stream begins with.
    pub(super) first: u64,
    /// The position after the last value in the files before.
    pub(super) next: u64,
    /// How many bytes those files have.
    pub(super) bytes: u64,
}

/// Finds the values of a file that continue those of the files before, in order. The last one is
/// whole: a torn value at the end of a file never hides a value appended after it, wherever that
/// stands.
pub(super) fn scan(source: &Source, expected: Expected) -> Result<Vec<Found>, StoreError> {
    let mut scanner = Scanner::new(source)?;
    let mut values: Vec<Found> = Vec::new();
    let mut at = VALUES_AT;
    loop {
        let next = values.last().map_or(expected.next, |last| last.position + 1);
        match scanner.value_at(at)? {
            Some(value) if value.position == next => {
                at = value.end;
                values.push(value);
                continue;
            }
            _ => {}
        }
        let found = match scanner.search(at, expected, values.last())? {
            Some(value) => Some(value),
            None => {
                // The torn value at the end may stand over older whole values: forget it, and look
                // again.
                let Some(torn) = scanner.drop_torn(&mut values)? else { return Ok(values) };
                scanner.search(torn + 8, expected, values.last())?
            }
        };
        let Some(value) = found else { return Ok(values) };
        at = value.end;
        values.push(value);
    }
}

/// Reads a file in pieces.
struct Scanner<'s> {
    source: &'s Source,
    /// Where the part of the file that counts ends.
    end: u64,
    piece: Vec<u8>,
    at: u64,
}

impl<'s> Scanner<'s> {
    fn new(source: &'s Source) -> Result<Self, StoreError> {
        let length = source.length()?;
        // A segment may be shorter than it should be, and what is behind its capacity is none of
        // it.
        let end = source.capacity.map_or(length, |capacity| capacity.min(length));
        Ok(Self { source, end, piece: Vec::new(), at: 0 })
    }

    /// Returns `count` bytes from an offset on, fewer only at the end.
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

    /// The value with a whole header at an offset, of which all bytes are there.
    fn value_at(&mut self, at: u64) -> Result<Option<Found>, StoreError> {
        let stamp = self.source.stamp;
        let Some(header) = stamp.header(self.bytes(at, HEADER_BYTES)?) else { return Ok(None) };
        let found = Found {
            position: header.position,
            offset: at,
            end: at.saturating_add(span(header.length)),
            header,
        };
        let last = at.saturating_add((HEADER_BYTES + header.length) as u64);
        Ok((last <= self.end).then_some(found))
    }

    /// The first whole value at an offset or after it that may come after the last one.
    fn search(
        &mut self,
        from: u64,
        expected: Expected,
        last: Option<&Found>,
    ) -> Result<Option<Found>, StoreError> {
        let Expected { first, next, bytes } = expected;
        let lowest = last.map_or(next, |last| last.position + 1);
        let wanted = |value: &Found| {
            // A file has no more values than space for them, so that a damaged number can't take
            // all memory.
            let most = bytes.saturating_add(value.offset) / HEADER_BYTES as u64;
            value.position >= lowest && value.position <= first.saturating_add(most)
        };
        let mut at = from;
        while at < self.end {
            let piece = self.bytes(at, PIECE_BYTES)?;
            let (length, begins) = (piece.len() as u64, find_magic(piece));
            match begins {
                // Fewer than eight bytes may be left at the end of a file.
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

    /// Forgets the values at the end that are not whole, and says where the first of them stood.
    fn drop_torn(&mut self, values: &mut Vec<Found>) -> Result<Option<u64>, StoreError> {
        let mut torn = None;
        while let Some(last) = values.last() {
            if self.is_whole(last)? {
                break;
            }
            torn = Some(last.offset);
            values.pop();
        }
        Ok(torn)
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

/// How many bytes one read takes: a multiple of eight.
const PIECE_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::position::StoreId;
    use crate::medium::StreamId;
    use crate::medium::segments::value::{FileHead, NO_POSITION};

    const CAPACITY: u64 = 1 << 20;

    /// A segment with values at offsets, and what is to be found in it.
    fn segment(root: &std::path::Path, values: &[(u64, u64, &[u8])]) -> Source {
        let stream = StreamId(0);
        let head = FileHead { store: StoreId::new(1), stream, number: 1, generation: 5, first: NO_POSITION };
        let source =
            Source::create_segment(root.join("segment"), &head, CAPACITY, &|| false).unwrap().unwrap();
        for (at, position, value) in values {
            let mut bytes = Vec::new();
            source.stamp.put(*position, value, &mut bytes);
            source.write(*at, &bytes).unwrap();
        }
        source
    }

    fn positions(source: &Source, first: u64) -> Vec<(u64, u64)> {
        let found = scan(source, Expected { first, next: first, bytes: 0 }).unwrap();
        found.iter().map(|value| (value.position, value.offset)).collect()
    }

    /// A header says where the next value stands, and a piece of the file may end in any of them.
    #[test]
    fn values_are_found_one_after_the_other() {
        let root = tempfile::tempdir().unwrap();
        let long = vec![7; PIECE_BYTES];
        let second = VALUES_AT + span(3);
        let third = second + span(long.len());
        let source = segment(root.path(), &[(VALUES_AT, 8, b"one"), (second, 9, &long), (third, 10, b"")]);
        assert_eq!(positions(&source, 8), [(8, VALUES_AT), (9, second), (10, third)]);
        assert_eq!(positions(&source, 11), [], "those before the stream are of no use");
    }

    /// Invariant: prefix. Damage hides the damaged value alone, wherever the next one stands.
    #[test]
    fn damage_in_the_middle_hides_no_other_value() {
        let root = tempfile::tempdir().unwrap();
        let far = VALUES_AT + 3 * PIECE_BYTES as u64 + 8;
        let source = segment(root.path(), &[(VALUES_AT, 8, b"one"), (far, 10, b"three")]);
        assert_eq!(positions(&source, 8), [(8, VALUES_AT), (10, far)]);
        source.write(far + HEADER_BYTES as u64, b"T").unwrap();
        assert_eq!(positions(&source, 8), [(8, VALUES_AT)]);
    }

    /// A header whose value is not whole may be a remnant, with the real value inside of what it
    /// claims for itself.
    #[test]
    fn what_is_found_by_a_search_is_whole() {
        let root = tempfile::tempdir().unwrap();
        let outer = VALUES_AT + span(3) + 8;
        let (inner, last) = (outer + 64, outer + span(400));
        let values: [(u64, u64, &[u8]); 4] =
            [(VALUES_AT, 8, b"one"), (outer, 9, &[7; 400]), (inner, 9, b"two"), (last, 10, b"three")];
        let source = segment(root.path(), &values);
        assert_eq!(positions(&source, 8), [(8, VALUES_AT), (9, inner), (10, last)]);
    }

    /// A value at the end whose bytes are not all there was never synced: it is none.
    #[test]
    fn a_torn_value_at_the_end_is_none() {
        let root = tempfile::tempdir().unwrap();
        let second = VALUES_AT + span(3);
        let source = segment(root.path(), &[(VALUES_AT, 8, b"one"), (second, 9, b"second")]);
        source.write(second + HEADER_BYTES as u64, b"S").unwrap();
        assert_eq!(positions(&source, 8), [(8, VALUES_AT)]);
    }

    /// A position that no file of this size can hold would make the stream that long in memory.
    #[test]
    fn a_position_that_cannot_be_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        let at = VALUES_AT + 320;
        let most = at / HEADER_BYTES as u64;
        let with = |position| {
            let source = segment(root.path(), &[(at, position, b"value")]);
            let found = positions(&source, 100);
            std::fs::remove_file(source.path()).unwrap();
            found
        };
        assert_eq!(with(100 + most), [(100 + most, at)]);
        assert_eq!(with(100 + most + 1), []);
    }

    /// What stands behind the capacity of a segment is none of it, and a value that reaches past
    /// the end of a file is torn.
    #[test]
    fn nothing_is_found_behind_the_end() {
        let root = tempfile::tempdir().unwrap();
        let last = CAPACITY - span(8);
        let source = segment(root.path(), &[(last, 0, b"12345678"), (CAPACITY, 1, b"behind")]);
        assert_eq!(positions(&source, 0), [(0, last)]);
        source.truncate(CAPACITY - 1).unwrap();
        assert_eq!(positions(&source, 0), []);
    }
}
