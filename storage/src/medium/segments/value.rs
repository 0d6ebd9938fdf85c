//! The header of a value, and the head of a file of values. Knows no file, and trusts no byte that
//! it reads.

use bytes::Bytes;

use super::identity::FILE_VERSION;
use crate::id::position::StoreId;
use crate::limits::POSITION_MAX;
use crate::medium::{StreamId, VALUE_BYTES_MAX};
use crate::wire::{Malformed, Reader};

/// The bytes of the header before each value.
pub(super) const HEADER_BYTES: usize = 32;
/// The offset of the first value of a file.
pub(super) const VALUES_AT: u64 = 64;

/// One use of a file. The checksum of each header covers it, so that a reader can distinguish the
/// values of this use from those of other stores and streams, and from earlier ones in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) generation: u64,
    base: u32,
}

/// The header of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) position: u64,
    pub(super) length: usize,
    sum: u32,
}

impl Stamp {
    pub(super) fn new(store: StoreId, stream: StreamId, generation: u64) -> Self {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&store.get().to_le_bytes());
        crc.update(&stream.0.to_le_bytes());
        crc.update(&generation.to_le_bytes());
        Self { generation, base: crc.finalize() }
    }

    /// Writes a value with its header, in [`span`] bytes.
    pub(super) fn put(self, position: u64, value: &[u8], out: &mut Vec<u8>) {
        assert!(
            value.len() <= VALUE_BYTES_MAX && position <= POSITION_MAX,
            "{} bytes at {position}, which no reader takes for a value",
            value.len()
        );
        let begin = out.len();
        let mut said = Vec::with_capacity(HEADER_BYTES);
        said.extend_from_slice(&self.generation.to_le_bytes());
        said.extend_from_slice(&position.to_le_bytes());
        let length = u32::try_from(value.len()).expect("the limit is far below 4 GiB");
        said.extend_from_slice(&length.to_le_bytes());
        said.extend_from_slice(&crc32fast::hash(value).to_le_bytes());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.crc(&said).to_le_bytes());
        out.extend_from_slice(&said);
        out.extend_from_slice(value);
        out.resize(out.len() + padding(value.len()), 0);
        assert!(
            (out.len() - begin) as u64 == span(value.len()),
            "a value takes as many bytes as were counted"
        );
    }

    /// The header in these bytes, if it is whole and of this use of the file.
    pub(super) fn header(self, bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        if !bytes.starts_with(&MAGIC) {
            return None;
        }
        let bytes = Bytes::copy_from_slice(bytes);
        let mut reader = Reader::new(&bytes);
        self.decode(&mut reader, &bytes).ok().flatten()
    }

    fn decode(self, reader: &mut Reader<'_>, bytes: &Bytes) -> Result<Option<Header>, Malformed> {
        reader.u32()?;
        let crc = reader.u32()?;
        let said = bytes.get(reader.position()..).unwrap_or_default();
        if crc != self.crc(said) || reader.u64()? != self.generation {
            return Ok(None);
        }
        let position = reader.u64()?;
        let length = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
        let sum = reader.u32()?;
        let whole = position <= POSITION_MAX && length <= VALUE_BYTES_MAX;
        Ok(whole.then_some(Header { position, length, sum }))
    }

    fn crc(self, said: &[u8]) -> u32 {
        let mut crc = crc32fast::Hasher::new_with_initial(self.base);
        crc.update(said);
        crc.finalize()
    }
}

impl Header {
    /// Whether the value has this checksum.
    pub(super) fn is_of(&self, sum: u32) -> bool {
        self.sum == sum
    }
}

/// How many bytes a value of this length takes with its header: a multiple of eight.
pub(super) fn span(length: usize) -> u64 {
    (HEADER_BYTES + length + padding(length)) as u64
}

fn padding(length: usize) -> usize {
    length.next_multiple_of(8) - length
}

/// The head of a file of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHead {
    pub(super) store: StoreId,
    pub(super) stream: StreamId,
    /// The number in the name of the file.
    pub(super) number: u64,
    pub(super) generation: u64,
    /// The position that the stream begins with, or [`NO_POSITION`] in a segment, since the
    /// manifest says it of the log.
    pub(super) first: u64,
}

/// No position.
pub(super) const NO_POSITION: u64 = u64::MAX;

impl FileHead {
    /// The bytes up to [`VALUES_AT`].
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&HEAD_MAGIC.to_le_bytes());
        bytes.extend_from_slice(&FILE_VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.store.get().to_le_bytes());
        for number in [self.stream.0, self.number, self.generation, self.first] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.resize(usize::try_from(VALUES_AT).unwrap_or(usize::MAX), 0);
        bytes
    }

    /// Decodes untrusted bytes.
    pub(super) fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u32()? != HEAD_MAGIC {
            return Err(Malformed("it does not begin as it should"));
        }
        let version = reader.u32()?;
        let head = Self {
            store: StoreId::new(reader.u128()?),
            stream: StreamId(reader.u64()?),
            number: reader.u64()?,
            generation: reader.u64()?,
            first: reader.u64()?,
        };
        let whole = bytes.get(..reader.position()).unwrap_or_default();
        if reader.u32()? != crc32fast::hash(whole) || version != FILE_VERSION {
            return Err(Malformed("its checksum does not match"));
        }
        Ok(head)
    }
}

const MAGIC: [u8; 4] = *b"RLSV";
const HEAD_MAGIC: u32 = u32::from_le_bytes(*b"RLSH");

/// Where a value may begin in these bytes, which begin at a multiple of eight.
pub(super) fn find_magic(bytes: &[u8]) -> Option<usize> {
    bytes.chunks_exact(8).position(|chunk| chunk.starts_with(&MAGIC)).map(|at| at * 8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_is_of_its_place_alone(value: Vec<u8>, position in 0..POSITION_MAX, at: prop::sample::Index, bit in 0..8_u8) {
            let stamp = Stamp::new(StoreId::new(1), StreamId(2), 3);
            let mut bytes = Vec::new();
            stamp.put(position, &value, &mut bytes);
            prop_assert_eq!(bytes.len() as u64, span(value.len()));
            let header = stamp.header(&bytes).unwrap();
            prop_assert_eq!((header.position, header.length), (position, value.len()));
            prop_assert!(header.is_of(crc32fast::hash(&value)));
            for (store, stream, generation) in [(9, 2, 3), (1, 9, 3), (1, 2, 9)] {
                let other = Stamp::new(StoreId::new(store), StreamId(stream), generation);
                prop_assert_eq!(other.header(&bytes), None);
            }
            bytes[at.index(HEADER_BYTES)] ^= 1 << bit;
            prop_assert_eq!(stamp.header(&bytes), None);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            Stamp::new(StoreId::new(1), StreamId(2), 3).header(&bytes);
            find_magic(&bytes);
            prop_assert!(FileHead::decode(&bytes.into()).is_err());
        }
    }
}
