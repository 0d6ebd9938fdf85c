//! Reading and writing the few primitive shapes of the stored format. Knows bytes, no meaning.
//!
//! The reader takes hostile bytes: it checks each length against the bytes that are there before it
//! uses the length.

use std::ops::Range;

use bytes::Bytes;

use crate::limits::POSITION_MAX;

/// Bytes that are not what the format says. The caller knows where they lie, and adds it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(
    /// What is wrong, as half a sentence.
    pub &'static str,
);

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Writes a length and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A cursor over untrusted bytes. Slices of it share the memory, so decoding copies no payload.
#[derive(Debug)]
pub struct Reader<'b> {
    bytes: &'b Bytes,
    at: usize,
    end: usize,
}

impl<'b> Reader<'b> {
    /// Begins at the first byte.
    pub fn new(bytes: &'b Bytes) -> Self {
        Self { bytes, at: 0, end: bytes.len() }
    }

    /// Reads a part of the bytes; positions stay those of the whole.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes end before, or say something else.
    pub fn part(bytes: &'b Bytes, part: Range<usize>) -> Result<Self, Malformed> {
        if part.start > part.end || part.end > bytes.len() {
            return Err(Malformed("a length reaches past the end"));
        }
        Ok(Self { bytes, at: part.start, end: part.end })
    }

    /// Whether the reader is at the end.
    pub fn is_empty(&self) -> bool {
        self.at == self.end
    }

    /// The position of the next byte.
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// Goes past the next `count` bytes, and says where they stand.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes end before, or say something else.
    pub fn skip(&mut self, count: usize) -> Result<Range<usize>, Malformed> {
        debug_assert!(self.at <= self.end && self.end <= self.bytes.len(), "a reader stays in its part");
        if count > self.remaining() {
            return Err(Malformed("a length reaches past the end"));
        }
        let start = self.at;
        self.at += count;
        Ok(start..self.at)
    }

    /// The next `count` bytes, as a view.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes end before, or say something else.
    pub fn take(&mut self, count: usize) -> Result<Bytes, Malformed> {
        self.skip(count).map(|range| self.bytes.slice(range))
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let end = self.at.checked_add(N).ok_or(Malformed("a length reaches past the end"))?;
        let ends = Malformed("the bytes end in the middle of a number");
        if end > self.end {
            return Err(ends);
        }
        let array = self.bytes.get(self.at..end).and_then(|slice| slice.try_into().ok());
        self.at = end;
        array.ok_or(ends)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes end before, or say something else.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take_array::<1>()?[0])
    }

    /// Four bytes, little-endian.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes end before, or say something else.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.take_array()?))
    }

    /// Eight bytes, little-endian.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes end before, or say something else.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.take_array()?))
    }

    /// Sixteen bytes, little-endian.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes end before, or say something else.
    pub fn u128(&mut self) -> Result<u128, Malformed> {
        Ok(u128::from_le_bytes(self.take_array()?))
    }

    /// A number of up to ten bytes, seven bits each, low ones first; only the shortest form is
    /// valid.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes end before, or say something else.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed("a number does not fit into 64 bits"));
            }
            value |= bits << shift;
            // Else one number would have many forms, and bytes could change and mean the same.
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(Malformed("a number is not in its shortest form"));
                }
                return Ok(value);
            }
        }
        Err(Malformed("a number does not fit into 64 bits"))
    }

    /// A number that only grows: a position, the number of a message, an epoch.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes end before, or say something else.
    pub fn counter(&mut self) -> Result<u64, Malformed> {
        self.varint().and_then(within_range)
    }

    /// The same, in eight bytes.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes end before, or say something else.
    pub fn wide_counter(&mut self) -> Result<u64, Malformed> {
        self.u64().and_then(within_range)
    }

    /// A length or count of at most `limit`.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes end before, or say something else.
    pub fn length(&mut self, limit: usize) -> Result<usize, Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed("a length is over its limit"))?;
        if length > limit { Err(Malformed("a length is over its limit")) } else { Ok(length) }
    }

    /// A length of at most `limit`, and that many bytes.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes end before, or say something else.
    pub fn bytes(&mut self, limit: usize) -> Result<Bytes, Malformed> {
        let length = self.length(limit)?;
        self.take(length)
    }

    /// A text of at most `limit` bytes; `make` gets it without a copy.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes end before, or say something else.
    pub fn text<T>(&mut self, limit: usize, make: impl FnOnce(&str) -> T) -> Result<T, Malformed> {
        let length = self.length(limit)?;
        let range = self.skip(length)?;
        let text = std::str::from_utf8(&self.bytes[range]).map_err(|_| Malformed("a text is not UTF-8"))?;
        Ok(make(text))
    }
}

fn within_range(position: u64) -> Result<u64, Malformed> {
    if position > POSITION_MAX { Err(Malformed("a position is out of range")) } else { Ok(position) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_come_back(value: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let out = out.into();
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let bytes = bytes.into();
            let mut reader = Reader::new(&bytes);
            while reader.varint().is_ok() && reader.bytes(64).is_ok() {}
        }
    }

    #[test]
    fn a_long_form_is_refused() {
        assert!(Reader::new(&Bytes::from_static(&[0x80, 0x00])).varint().is_err());
        assert!(Reader::new(&Bytes::from_static(&[0xff; 11])).varint().is_err());
    }

    #[test]
    fn a_length_is_held_against_its_limit_and_against_what_is_there() {
        let bytes = Bytes::from_static(&[3, 1, 2, 3]);
        assert_eq!(Reader::new(&bytes).bytes(3), Ok(bytes.slice(1..)));
        assert!(Reader::new(&bytes).bytes(2).is_err(), "over its limit");
        assert!(Reader::new(&bytes.slice(..3)).bytes(64).is_err(), "past the end");
        assert!(Reader::new(&Bytes::from_static(&[0xff; 9])).bytes(usize::MAX).is_err());
    }
}
