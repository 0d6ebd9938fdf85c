//! The superblock: what a store remembers beside its streams, as bytes.
//!
//! ```text
//! superblock := "RLVU" version:u32 start:u64 first:u64 acknowledged:u64 epoch:u64 highest:u64 next_pack:u32
//!               count:varint pack* crc:u32
//! pack       := stream:varint values:varint bytes:varint index:varint check:u32      index is 0 while the pack is open,
//!                                                                           else the position of the index plus one
//! ```
//! Each commit and each put replaces it. The store syncs it before it removes anything that it no
//! longer counts.

use bytes::Bytes;

use super::packs::PackSummary;
use crate::id::position::{CheckpointNumber, Epoch, Lsn};
use crate::limits::POSITION_MAX;
use crate::wire::{Malformed, Reader, put_varint};

/// What the superblock says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    /// The log begins with the block that begins here.
    pub(super) start: Lsn,
    /// The position of that block in its stream.
    pub(super) first: u64,
    /// Everything below was acknowledged.
    pub(super) acknowledged: Lsn,
    /// The newest incarnation that wrote.
    pub(super) epoch: Epoch,
    /// The highest number of a checkpoint.
    pub(super) highest: CheckpointNumber,
    /// The stream of the next pack. Earlier streams that `packs` does not list are gone.
    pub(super) next_pack: u32,
    pub(super) packs: Vec<PackSummary>,
}

impl Superblock {
    /// The superblock of a new store.
    pub(super) fn new() -> Self {
        Self {
            start: Lsn::FIRST,
            first: 0,
            acknowledged: Lsn::FIRST,
            epoch: Epoch::new(0),
            highest: CheckpointNumber::new(0),
            next_pack: 1,
            packs: Vec::new(),
        }
    }

    /// Its positions and numbers. None of them ever goes back.
    pub(super) fn numbers(&self) -> [u64; 5] {
        let Self { start, first, acknowledged, epoch, highest, .. } = self;
        [start.get(), *first, acknowledged.get(), epoch.get(), highest.get()]
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // The counterpart of what the decoding refuses: a superblock that an opening refuses would
        // take the store with it.
        assert!(
            self.start <= self.acknowledged && self.next_pack > 0,
            "a superblock that contradicts itself: {self:?}"
        );
        let before = [0].into_iter().chain(self.packs.iter().map(|pack| pack.stream));
        for (before, pack) in before.zip(&self.packs) {
            assert!(
                before < pack.stream && pack.stream < self.next_pack && pack.index_is_last(),
                "a pack that an opening would refuse, of those before {}: {pack:?}",
                self.next_pack
            );
        }
        self.bytes()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + 24 * self.packs.len());
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        for number in self.numbers() {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.next_pack.to_le_bytes());
        put_varint(&mut bytes, self.packs.len() as u64);
        for pack in &self.packs {
            put_varint(&mut bytes, u64::from(pack.stream));
            put_varint(&mut bytes, u64::from(pack.values));
            put_varint(&mut bytes, pack.bytes);
            put_varint(&mut bytes, pack.index.map_or(0, |index| u64::from(index) + 1));
            bytes.extend_from_slice(&pack.check.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes untrusted bytes.
    pub(super) fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u32()? != MAGIC {
            return Err(Malformed("the superblock does not begin as one"));
        }
        if reader.u32()? != VERSION {
            return Err(Malformed("the superblock has an unknown version"));
        }
        let mut superblock = Self {
            start: Lsn::new(reader.wide_counter()?),
            first: reader.wide_counter()?,
            acknowledged: Lsn::new(reader.wide_counter()?),
            epoch: Epoch::new(reader.wide_counter()?),
            highest: CheckpointNumber::new(reader.wide_counter()?),
            next_pack: reader.u32()?,
            packs: Vec::new(),
        };
        let count = reader.length(reader.remaining())?;
        let mut total = 0_u64;
        for _ in 0..count {
            let stream = number(&mut reader)?;
            let values = number(&mut reader)?;
            let bytes = reader.counter()?;
            let index = number(&mut reader)?.checked_sub(1);
            let check = reader.u32()?;
            let follows = superblock.packs.last().is_none_or(|before: &PackSummary| before.stream < stream);
            let pack = PackSummary { stream, values, bytes, index, check };
            if stream == 0 || stream >= superblock.next_pack || !follows || !pack.index_is_last() {
                return Err(Malformed("a pack in the superblock is impossible"));
            }
            // The store counts with the sum, which must not overflow.
            total = total.saturating_add(bytes);
            if total > POSITION_MAX {
                return Err(Malformed("the packs in the superblock are larger than any disk"));
            }
            superblock.packs.push(pack);
        }
        let whole = bytes.get(..reader.position()).unwrap_or_default();
        if reader.u32()? != crc32fast::hash(whole) {
            return Err(Malformed("the checksum of the superblock does not match"));
        }
        // Stream 0 is the log, which no pack may ever get.
        let no_pack_left = superblock.next_pack == 0;
        if !reader.is_empty() || superblock.start > superblock.acknowledged || no_pack_left {
            return Err(Malformed("the superblock contradicts itself"));
        }
        Ok(superblock)
    }
}

fn number(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    u32::try_from(reader.varint()?).map_err(|_| Malformed("a number in the superblock is out of range"))
}

const MAGIC: u32 = u32::from_le_bytes(*b"RLVU");
const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Superblock {
        let open = PackSummary { stream: 9, values: 3, bytes: 70_000, index: None, check: 5 };
        let full = PackSummary { stream: 4, values: 300, bytes: 9 << 20, index: Some(299), check: 7 };
        Superblock {
            start: Lsn::new(5),
            first: 2,
            acknowledged: Lsn::new(77),
            epoch: Epoch::new(3),
            highest: CheckpointNumber::new(400),
            next_pack: 10,
            packs: vec![full, open],
        }
    }

    #[test]
    fn it_comes_back() {
        for superblock in [Superblock::new(), sample()] {
            assert_eq!(Superblock::decode(&superblock.encode().into()).unwrap(), superblock);
        }
    }

    /// A superblock with a matching checksum that no store writes is refused: its numbers would
    /// overflow, or a pack would get the stream of the log.
    #[test]
    fn what_no_store_writes_is_refused() {
        let refused = |change: &dyn Fn(&mut Superblock)| {
            let mut superblock = sample();
            change(&mut superblock);
            Superblock::decode(&superblock.bytes().into()).is_err()
        };
        assert!(!refused(&|_| {}));
        assert!(refused(&|superblock| superblock.start = Lsn::new(78)));
        assert!(refused(&|superblock| (superblock.next_pack, superblock.packs) = (0, Vec::new())));
        assert!(refused(&|superblock| superblock.next_pack = 9));
        assert!(refused(&|superblock| superblock.packs.swap(0, 1)));
        assert!(refused(&|superblock| superblock.packs[0].stream = 0));
        assert!(refused(&|superblock| superblock.packs[0].index = Some(298)));
        assert!(refused(&|superblock| {
            superblock.packs.iter_mut().for_each(|pack| pack.bytes = POSITION_MAX);
        }));
    }

    /// The numbers of a superblock are those of its bytes, so that none of them can go back unseen.
    #[test]
    fn all_numbers_are_compared() {
        assert_eq!(sample().numbers(), [5, 2, 77, 3, 400]);
    }

    /// Invariant: prefix. Damage is never taken for data.
    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let whole = sample().encode();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Superblock::decode(&damaged.into()).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(Superblock::decode(&whole[..length].to_vec().into()).is_err(), "length {length}");
        }
    }
}
