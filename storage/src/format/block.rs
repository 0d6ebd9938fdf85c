//! Blocks: one commit writes one block. It carries the frames of many actors, and says how far the
//! log was durable when it was written. Knows no backend.
//!
//! ```text
//! block := "RLVB" version:u32 first:u64 records:u32 durable:u64 epoch:u64 clock:u64 seed:u64 length:u32 crc:u32 frame*
//! ```
//! All numbers are little-endian; `length` is the length of the frames, `crc` covers everything
//! else.

use bytes::Bytes;

use crate::format::frame::{Frame, FrameContext, FrameHead};
use crate::id::actor_id::ActorIds;
use crate::id::position::{Epoch, Lsn};
use crate::id::timestamp::Timestamp;
use crate::limits::BLOCK_BYTES_MAX;
use crate::wire::{Malformed, Reader};

const MAGIC: u32 = u32::from_le_bytes(*b"RLVB");

/// The version of blocks and of all that stands in them.
pub const BLOCK_VERSION: u32 = 1;

/// The bytes of a block before its frames.
pub const BLOCK_HEADER_BYTES: usize = 4 + 4 + 8 + 4 + 8 + 8 + 8 + 8 + 4 + 4;

/// The header of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// The position of its first record.
    pub first: Lsn,
    /// How many records it carries.
    pub records: u32,
    /// The log was durable up to (not including) here when the block was written.
    pub durable: Lsn,
    /// The incarnation that wrote it.
    pub epoch: Epoch,
    /// The wall clock when it was opened.
    pub clock: Timestamp,
    /// The seed from which the seeds of its records follow.
    pub seed: u64,
}

impl BlockHeader {
    /// The position after its last record.
    #[must_use]
    pub fn next(&self) -> Lsn {
        self.first.plus(u64::from(self.records))
    }
}

/// A block for a backend: checked, encoded, immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    header: BlockHeader,
    bytes: Bytes,
}

impl Block {
    /// Room for a header that [`Block::seal`] fills in: a commit buffer begins with it.
    pub fn reserve_header(buffer: &mut Vec<u8>) {
        buffer.clear();
        buffer.resize(BLOCK_HEADER_BYTES, 0);
    }

    /// Makes a block of a buffer that began with [`Block::reserve_header`] and continued with
    /// frames.
    ///
    /// # Panics
    /// When the buffer has no frame, or is over [`BLOCK_BYTES_MAX`].
    #[must_use]
    pub fn seal(header: BlockHeader, mut buffer: Vec<u8>) -> Self {
        assert!(buffer.len() > BLOCK_HEADER_BYTES && header.records > 0, "a block without a frame");
        assert!(buffer.len() <= BLOCK_BYTES_MAX, "a block of {} bytes", buffer.len());
        assert!(header.durable <= header.first, "{} is durable before it is written", header.first);
        let length = u32::try_from(buffer.len() - BLOCK_HEADER_BYTES).expect("a block is far below 4 GiB");
        let mut head = Vec::with_capacity(BLOCK_HEADER_BYTES);
        head.extend_from_slice(&MAGIC.to_le_bytes());
        head.extend_from_slice(&BLOCK_VERSION.to_le_bytes());
        head.extend_from_slice(&header.first.get().to_le_bytes());
        head.extend_from_slice(&header.records.to_le_bytes());
        head.extend_from_slice(&header.durable.get().to_le_bytes());
        head.extend_from_slice(&header.epoch.get().to_le_bytes());
        head.extend_from_slice(&header.clock.as_micros().to_le_bytes());
        head.extend_from_slice(&header.seed.to_le_bytes());
        head.extend_from_slice(&length.to_le_bytes());
        let crc = checksum(&head, &buffer[BLOCK_HEADER_BYTES..]);
        head.extend_from_slice(&crc.to_le_bytes());
        buffer[..BLOCK_HEADER_BYTES].copy_from_slice(&head);
        Self { header, bytes: buffer.into() }
    }

    /// Makes a block of untrusted bytes, after it has checked the header and the checksum.
    /// [`Block::frames`] checks the frames.
    ///
    /// # Errors
    /// [`Malformed`] for anything that [`Block::seal`] would not have made.
    pub fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        if bytes.len() > BLOCK_BYTES_MAX {
            return Err(Malformed("a block is over its limit"));
        }
        let mut reader = Reader::new(&bytes);
        if reader.u32()? != MAGIC {
            return Err(Malformed("a block does not begin as one"));
        }
        if reader.u32()? != BLOCK_VERSION {
            return Err(Malformed("a block has an unknown version"));
        }
        let header = BlockHeader {
            first: Lsn::new(reader.wide_counter()?),
            records: reader.u32()?,
            durable: Lsn::new(reader.wide_counter()?),
            epoch: Epoch::new(reader.wide_counter()?),
            clock: Timestamp::from_micros(reader.u64()?),
            seed: reader.u64()?,
        };
        let length = reader.u32()? as usize;
        let crc = reader.u32()?;
        // The header was read, so there are as many bytes; the checksum covers no others.
        if length != bytes.len() - BLOCK_HEADER_BYTES {
            return Err(Malformed("a block has another length than it says"));
        }
        if checksum(&bytes[..BLOCK_HEADER_BYTES - 4], &bytes[BLOCK_HEADER_BYTES..]) != crc {
            return Err(Malformed("the checksum of a block does not match"));
        }
        // Behind the checksum: only a store could have written these, and none writes them.
        let in_range = header.first.checked_plus(u64::from(header.records)).is_some();
        if header.records == 0 || !in_range || header.durable > header.first {
            return Err(Malformed("a block has an impossible position"));
        }
        if length == 0 {
            return Err(Malformed("a block has no frame"));
        }
        Ok(Self { header, bytes })
    }

    /// What it says of itself.
    #[must_use]
    pub fn header(&self) -> BlockHeader {
        self.header
    }

    /// All its bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Gives its bytes up, so that a caller who holds the only copy can reuse the memory.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Decodes its frames, in order. Ends after the first that is malformed, and after the last
    /// with an error when the records do not add up.
    pub fn frames(&self) -> impl Iterator<Item = Result<Frame, Malformed>> + '_ {
        let mut ids = ActorIds::default();
        let mut heads = self.heads();
        std::iter::from_fn(move || {
            let head = heads.next()?;
            let frame = head.and_then(|head| Frame::read(head, &self.bytes, &mut ids));
            heads.done |= frame.is_err();
            Some(frame)
        })
    }

    /// Decodes what stands in its frames before the records.
    #[must_use]
    pub fn heads(&self) -> Heads<'_> {
        Heads { block: self, at: BLOCK_HEADER_BYTES, next: self.header.first, done: false }
    }
}

/// Goes from frame to frame of a block, without decoding the records.
#[derive(Debug)]
pub struct Heads<'b> {
    block: &'b Block,
    at: usize,
    next: Lsn,
    done: bool,
}

impl Iterator for Heads<'_> {
    type Item = Result<FrameHead, Malformed>;

    /// The head of the next frame. Ends as [`Block::frames`].
    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let Block { header, bytes } = self.block;
        let add_up = Malformed("the records of a block do not add up");
        assert!(self.at <= bytes.len(), "a frame ends in its block, and the one before {} does not", self.at);
        if self.at == bytes.len() {
            self.done = true;
            return (self.next != header.next()).then_some(Err(add_up));
        }
        let context = FrameContext { first: self.next, clock: header.clock, seed: header.seed };
        let head = FrameHead::decode(bytes, self.at, context).and_then(|(head, length)| {
            self.at += length;
            self.next = self.next.checked_plus(head.records() as u64).ok_or(add_up)?;
            Ok(head)
        });
        self.done = head.is_err();
        Some(head)
    }
}

fn checksum(head: &[u8], frames: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(head);
    crc.update(frames);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::frame_writer::FrameWriter;

    fn sample() -> Block {
        let mut buffer = Vec::new();
        Block::reserve_header(&mut buffer);
        let mut writer = FrameWriter::new();
        for epoch in 1..4 {
            writer.put_incarnation(Epoch::new(epoch));
            writer
                .finish(None, crate::id::position::Rsn::NONE, crate::id::position::Rsn::NONE, &[])
                .append_to(&mut buffer);
        }
        let header = BlockHeader {
            first: Lsn::new(17),
            records: 3,
            durable: Lsn::new(17),
            epoch: Epoch::new(2),
            clock: Timestamp::from_micros(5),
            seed: 99,
        };
        Block::seal(header, buffer)
    }

    #[test]
    fn blocks_come_back() {
        let block = sample();
        let decoded = Block::decode(block.bytes().clone()).unwrap();
        assert_eq!(decoded, block);
        let frames: Vec<_> = decoded.frames().map(Result::unwrap).collect();
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[2].records[0].lsn, Lsn::new(19));
    }

    /// Fuzzing found it: nonsense with valid checksums ran into an assertion about positions, and
    /// panicked.
    #[test]
    fn records_past_the_last_position_are_malformed() {
        let mut writer = FrameWriter::new();
        writer.put_incarnation(Epoch::new(1));
        writer.put_incarnation(Epoch::new(1));
        let mut buffer = Vec::new();
        Block::reserve_header(&mut buffer);
        writer
            .finish(None, crate::id::position::Rsn::NONE, crate::id::position::Rsn::NONE, &[])
            .append_to(&mut buffer);
        let header = BlockHeader { first: Lsn::new(u64::MAX - 1), records: 1, ..sample().header() };
        let block = Block::seal(header, buffer);
        assert!(block.frames().all(|frame| frame.is_err()));
        assert!(Block::decode(block.bytes().clone()).is_err());
    }

    #[test]
    fn a_block_without_a_frame_is_malformed() {
        let mut bytes = sample().bytes()[..BLOCK_HEADER_BYTES].to_vec();
        bytes[BLOCK_HEADER_BYTES - 8..BLOCK_HEADER_BYTES - 4].fill(0);
        let crc = checksum(&bytes[..BLOCK_HEADER_BYTES - 4], &[]);
        bytes[BLOCK_HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Block::decode(bytes.into()), Err(Malformed("a block has no frame")));
    }

    /// Invariant: prefix. Damage is never taken for data.
    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let whole = sample().bytes().to_vec();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Block::decode(damaged.into()).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(Block::decode(whole[..length].to_vec().into()).is_err(), "length {length}");
        }
    }
}
