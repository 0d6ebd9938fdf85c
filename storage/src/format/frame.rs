//! Frames: consecutive records of one actor, length and CRC-32 before them. The unit that an actor
//! encodes and appends; knows no block.
//!
//! ```text
//! frame  := length:varint crc:u32 body              length and crc are of the body
//! body   := version:u8 actor:text header record*    actor "" = a frame of the store itself
//! header := first_rsn:varint handled:varint covered:varint digests:varint (rsn_delta:varint digest:u64)* records:varint
//! ```
//!
//! Version 1 has the same layout, but its digests were taken over encoded replies as well, see
//! [`Frame::digests_with_replies`].
//!
//! Rsns of deliveries are not stored: they count up from `first_rsn`. `handled` says how far the
//! actor had handled when it wrote the frame, `digests` what the last `covered` of those deliveries
//! did (those that did anything). The layout is written by hand, not by serde: it is on the path of
//! each message, costs a batch one header, and is decoded without copying a payload. A frame of one
//! 128-byte delivery has 39 bytes beside the payload with the names `account/alice` and `deposit`,
//! one of 16 deliveries 5.2 a delivery
//! (`cargo test -p relive-storage frame_overhead -- --nocapture`).

use std::ops::Range;

use bytes::Bytes;

use crate::format::record::{
    CheckpointMark, Delivery, EffectDigest, Event, Positioned, Quarantine, Record, Sender,
};
use crate::id::actor_id::{ACTOR_ID_BYTES_MAX, ActorId, ActorIds};
use crate::id::name::Name;
use crate::id::position::{CheckpointNumber, Epoch, Lsn, Rsn, Ssn};
use crate::id::timestamp::Timestamp;
use crate::limits::{
    FRAME_BYTES_MAX, FRAME_RECORDS_MAX, NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, QUARANTINE_REASON_BYTES_MAX,
};
use crate::wire::{Malformed, Reader};

/// The version that is written.
pub(crate) const FRAME_VERSION: u8 = 2;
/// The last version whose digests were taken over the replies as well, encoded as they were at the
/// time.
const FRAME_VERSION_WITH_REPLIES: u8 = 1;

/// The bytes of the shortest record: a tag and a number.
const RECORD_BYTES_MIN: usize = 2;

pub(crate) const TAG_DELIVERY: u8 = 0;
pub(crate) const TAG_EVENT: u8 = 1;
pub(crate) const TAG_CHECKPOINT_MARK: u8 = 2;
pub(crate) const TAG_INCARNATION: u8 = 3;
pub(crate) const TAG_RECOVERY_COMPLETE: u8 = 4;
pub(crate) const TAG_ATTEMPT: u8 = 5;
pub(crate) const TAG_QUARANTINE: u8 = 6;
pub(crate) const TAG_DISCHARGE: u8 = 7;
const TAG_MASK: u8 = 0b0000_0111;
pub(crate) const SAME_MESSAGE: u8 = 0b0000_1000;
pub(crate) const SENDER_OUTSIDE: u8 = 0b0000_0000;
pub(crate) const SENDER_PRODUCER: u8 = 0b0001_0000;
pub(crate) const SENDER_ACTOR: u8 = 0b0010_0000;
/// The sender of the delivery before, with the next ssn.
pub(crate) const SENDER_NEXT: u8 = 0b0011_0000;
const SENDER_MASK: u8 = 0b0011_0000;
pub(crate) const ASKED: u8 = 0b0100_0000;
const RESERVED: u8 = 0b1000_0000;

/// The records of one actor that were appended together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The actor that wrote these records; `None` for a frame of the store itself.
    pub actor: Option<ActorId>,
    /// The actor had handled its deliveries up to here when it wrote the frame.
    pub handled: Rsn,
    /// The digests are complete for the deliveries after this one, up to `handled`.
    pub since: Rsn,
    /// What those deliveries did; one that did nothing has no digest.
    pub digests: Vec<EffectDigest>,
    /// The digests cover the replies too, as in frames of version 1. Digests of today cover less:
    /// do not compare them with these.
    pub digests_with_replies: bool,
    /// The records in order.
    pub records: Vec<Positioned>,
}

/// What a block says about all its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameContext {
    /// The position of the frame's first record.
    pub first: Lsn,
    /// The clock reading of the block.
    pub clock: Timestamp,
    /// The seed of the block.
    pub seed: u64,
}

impl FrameContext {
    /// The seed of the record at `lsn`: a mix of the block's seed and the position, so that it
    /// costs no bytes.
    #[must_use]
    pub fn seed_at(&self, lsn: Lsn) -> u64 {
        split_mix(self.seed, lsn.get())
    }
}

/// The `index`-th number that `SplitMix64` draws from a seed. Stored seeds mean these numbers, so
/// the function never changes within a format version.
///
/// # Source
/// Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
#[must_use]
pub const fn split_mix(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Frame {
    /// Decodes the frame that `bytes` begin with; returns it and its length.
    ///
    /// # Errors
    /// [`Malformed`] for anything that [`FrameWriter`](crate::FrameWriter) would not have written.
    /// Never panics, and allocates no more than a small multiple of the bytes given.
    pub fn decode(bytes: &Bytes, context: FrameContext) -> Result<(Self, usize), Malformed> {
        let mut ids = ActorIds::default();
        let (head, length) = FrameHead::decode(bytes, 0, context)?;
        Ok((Self::read(head, bytes, &mut ids)?, length))
    }

    /// Decodes the records behind a head. Looks up ids in `ids`.
    pub(crate) fn read(head: FrameHead, bytes: &Bytes, ids: &mut ActorIds) -> Result<Self, Malformed> {
        let actor = head.actor(bytes).map(|name| ids.get(name)).transpose();
        let actor = actor.map_err(|_| IMPOSSIBLE_NAME)?;
        let mut records = Vec::new();
        head.read(bytes, ids, &mut records)?;
        let FrameHead { handled, since, digests, digests_with_replies, .. } = head;
        Ok(Self { actor, handled, since, digests, digests_with_replies, records })
    }
}

/// The part of a frame before its records, after the checksum was compared. It says where the next
/// frame begins, so that another thread can decode the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// As in [`Frame`].
    pub handled: Rsn,
    /// As in [`Frame`].
    pub since: Rsn,
    /// As in [`Frame`].
    pub digests: Vec<EffectDigest>,
    /// As in [`Frame`].
    pub digests_with_replies: bool,
    context: FrameContext,
    /// Where the actor's name stands; empty for a frame of the store itself.
    name: Range<usize>,
    first_rsn: Rsn,
    count: usize,
    /// Where the records stand.
    start: usize,
    end: usize,
}

impl FrameHead {
    /// Decodes the head of the frame that begins at `at`; returns it and the length of the frame.
    pub(crate) fn decode(
        bytes: &Bytes,
        at: usize,
        context: FrameContext,
    ) -> Result<(Self, usize), Malformed> {
        let mut reader = Reader::part(bytes, at..bytes.len())?;
        let length = reader.length(FRAME_BYTES_MAX)?;
        let crc = reader.u32()?;
        let body = reader.skip(length)?;
        if crc32fast::hash(&bytes[body.clone()]) != crc {
            return Err(Malformed("the checksum of a frame does not match"));
        }
        // The rest is read from the body alone, so that no length in it reaches into the next
        // frame.
        let end = body.end;
        let mut reader = Reader::part(bytes, body)?;
        let digests_with_replies = match reader.u8()? {
            FRAME_VERSION => false,
            FRAME_VERSION_WITH_REPLIES => true,
            _ => return Err(Malformed("a frame has an unknown version")),
        };
        let name = reader.text(ACTOR_ID_BYTES_MAX, |text| {
            if text.is_empty() { Ok(0) } else { ActorId::check(text).map(|()| text.len()) }
        })?;
        let name = name.map_err(|_| IMPOSSIBLE_NAME)?;
        let name = reader.position() - name..reader.position();
        let first_rsn = Rsn::new(reader.counter()?);
        let handled = Rsn::new(reader.counter()?);
        let since = handled.get().checked_sub(reader.varint()?);
        let since = Rsn::new(since.ok_or(Malformed("a frame covers more than was handled"))?);
        let digests = decode_digests(&mut reader, since, handled)?;
        let count = reader.length(FRAME_RECORDS_MAX)?;
        if count == 0 {
            return Err(Malformed("a frame has no record"));
        }
        let start = reader.position();
        let head = Self {
            handled,
            since,
            digests,
            digests_with_replies,
            context,
            name,
            first_rsn,
            count,
            start,
            end,
        };
        Ok((head, end - at))
    }

    /// The name of the actor that wrote these records, taken from the bytes that this head was
    /// decoded from; `None` for a frame of the store itself.
    #[must_use]
    pub fn actor<'b>(&self, bytes: &'b Bytes) -> Option<&'b str> {
        let name = bytes.get(self.name.clone()).and_then(|name| std::str::from_utf8(name).ok());
        name.filter(|name| !name.is_empty())
    }

    /// The position of its first record.
    #[must_use]
    pub fn first(&self) -> Lsn {
        self.context.first
    }

    /// How many records it has.
    #[must_use]
    pub fn records(&self) -> usize {
        self.count
    }

    /// Decodes the records from the bytes that this head was decoded from, and appends them to
    /// `decoded`. Looks up the ids of senders in `ids`.
    ///
    /// # Errors
    /// As [`Frame::decode`]. Discard `decoded` then: it may hold a part of the records.
    pub fn read(
        &self,
        bytes: &Bytes,
        ids: &mut ActorIds,
        decoded: &mut Vec<Positioned>,
    ) -> Result<(), Malformed> {
        let reader = Reader::part(bytes, self.start..self.end)?;
        let context = self.context;
        // By the bytes that are there, not by the number alone: a damaged one would take all
        // memory.
        decoded.reserve(self.count.min(reader.remaining() / RECORD_BYTES_MIN));
        let mut records = RecordReader { reader, ids, context, next_rsn: self.first_rsn, previous: None };
        for index in 0..self.count as u64 {
            let lsn = context.first.checked_plus(index).ok_or(Malformed("a position is out of range"))?;
            let record = records.next(lsn)?;
            let of_store = matches!(record, Record::Incarnation(_) | Record::RecoveryComplete(_));
            if of_store != self.name.is_empty() {
                return Err(Malformed("a record stands in a frame of the wrong owner"));
            }
            decoded.push(Positioned { lsn, record });
        }
        if !records.reader.is_empty() {
            return Err(Malformed("a frame has bytes after its last record"));
        }
        Ok(())
    }
}

fn decode_digests(reader: &mut Reader<'_>, since: Rsn, handled: Rsn) -> Result<Vec<EffectDigest>, Malformed> {
    let count = reader.length(FRAME_BYTES_MAX / 9)?;
    let mut digests = Vec::new();
    let mut rsn = since;
    for _ in 0..count {
        let delta = reader.varint()?;
        rsn = rsn.checked_plus(delta).ok_or(Malformed("a digest is out of range"))?;
        // A delivery has one digest, and only one that was handled has any.
        if delta == 0 || rsn > handled {
            return Err(Malformed("digests are out of order"));
        }
        digests.push(EffectDigest { rsn, digest: reader.u64()? });
    }
    Ok(digests)
}

struct RecordReader<'b> {
    reader: Reader<'b>,
    ids: &'b mut ActorIds,
    context: FrameContext,
    next_rsn: Rsn,
    previous: Option<(Sender, Name)>,
}

impl RecordReader<'_> {
    fn next(&mut self, lsn: Lsn) -> Result<Record, Malformed> {
        let tag = self.reader.u8()?;
        // Flags are for deliveries alone. Elsewhere a later version may give them a meaning, which
        // this one must not pass over.
        if tag & RESERVED != 0 || (tag & TAG_MASK != TAG_DELIVERY && tag & !TAG_MASK != 0) {
            return Err(Malformed("a record has unknown flags"));
        }
        match tag & TAG_MASK {
            TAG_DELIVERY => self.delivery(tag, lsn).map(Record::Delivery),
            TAG_EVENT => self.event().map(Record::Event),
            TAG_CHECKPOINT_MARK => Ok(Record::CheckpointMark(CheckpointMark {
                number: CheckpointNumber::new(self.reader.counter()?),
                rsn: Rsn::new(self.reader.counter()?),
            })),
            TAG_INCARNATION => Ok(Record::Incarnation(Epoch::new(self.reader.counter()?))),
            TAG_RECOVERY_COMPLETE => Ok(Record::RecoveryComplete(Epoch::new(self.reader.counter()?))),
            TAG_ATTEMPT => self.tried().map(Record::Attempt),
            TAG_QUARANTINE => self.quarantine().map(Record::Quarantine),
            TAG_DISCHARGE => self.tried().map(Record::Discharge),
            _ => Err(Malformed("a record has an unknown kind")),
        }
    }

    /// The number of the delivery that the record is about.
    fn tried(&mut self) -> Result<Rsn, Malformed> {
        let rsn = Rsn::new(self.reader.counter()?);
        if rsn == Rsn::NONE { Err(Malformed("a delivery has the number 0")) } else { Ok(rsn) }
    }

    fn quarantine(&mut self) -> Result<Quarantine, Malformed> {
        let rsn = self.tried()?;
        let tries = self.reader.varint()?;
        let tries = u32::try_from(tries).map_err(|_| Malformed("a number of tries is out of range"))?;
        let reason = self.reader.text(QUARANTINE_REASON_BYTES_MAX, str::to_owned)?;
        Ok(Quarantine { rsn, tries, reason })
    }

    fn delivery(&mut self, tag: u8, lsn: Lsn) -> Result<Delivery, Malformed> {
        let rsn = self.next_rsn;
        if rsn == Rsn::NONE {
            return Err(Malformed("a delivery has the number 0"));
        }
        // Not stored, but counted: the writer takes only deliveries without a gap.
        self.next_rsn = rsn.checked_plus(1).ok_or(Malformed("a delivery number is out of range"))?;
        let sender = self.sender(tag)?;
        let message = match &self.previous {
            Some((_, message)) if tag & SAME_MESSAGE != 0 => message.clone(),
            None if tag & SAME_MESSAGE != 0 => {
                return Err(Malformed("a first delivery refers to one before it"));
            }
            _ => self.name()?,
        };
        let payload = self.reader.bytes(PAYLOAD_BYTES_MAX)?;
        self.previous = Some((sender.clone(), message.clone()));
        let asked = tag & ASKED != 0;
        let seed = self.context.seed_at(lsn);
        Ok(Delivery { rsn, sender, asked, message, payload, clock: self.context.clock, seed })
    }

    fn sender(&mut self, tag: u8) -> Result<Sender, Malformed> {
        match tag & SENDER_MASK {
            SENDER_OUTSIDE => Ok(Sender::Outside),
            SENDER_PRODUCER => Ok(Sender::Producer { name: self.name()?, ssn: self.ssn()? }),
            SENDER_ACTOR => {
                let id = self.reader.text(ACTOR_ID_BYTES_MAX, |text| self.ids.get(text))?;
                let id = id.map_err(|_| Malformed("a sender has an impossible name"))?;
                Ok(Sender::Actor { id, ssn: self.ssn()? })
            }
            // A batch of one sender names it once, and its numbers count up.
            _ => match &self.previous {
                Some((Sender::Producer { name, ssn }, _)) => {
                    Ok(Sender::Producer { name: name.clone(), ssn: next_ssn(*ssn)? })
                }
                Some((Sender::Actor { id, ssn }, _)) => {
                    Ok(Sender::Actor { id: id.clone(), ssn: next_ssn(*ssn)? })
                }
                _ => Err(Malformed("a delivery refers to a sender before it that has no numbers")),
            },
        }
    }

    fn ssn(&mut self) -> Result<Ssn, Malformed> {
        let ssn = Ssn::new(self.reader.counter()?);
        if ssn == Ssn::NONE { Err(Malformed("a message has the number 0")) } else { Ok(ssn) }
    }

    fn event(&mut self) -> Result<Event, Malformed> {
        let rsn = Rsn::new(self.reader.counter()?);
        let index =
            u32::try_from(self.reader.varint()?).map_err(|_| Malformed("an event index is out of range"))?;
        let name = self.name()?;
        let outcome = self.reader.bytes(PAYLOAD_BYTES_MAX)?;
        Ok(Event { rsn, index, name, outcome })
    }

    fn name(&mut self) -> Result<Name, Malformed> {
        let name: Name = self.reader.text(NAME_BYTES_MAX, |text| Name::from(text))?;
        if name.is_empty() { Err(Malformed("a name is empty")) } else { Ok(name) }
    }
}

const IMPOSSIBLE_NAME: Malformed = Malformed("an actor has an impossible name");

fn next_ssn(ssn: Ssn) -> Result<Ssn, Malformed> {
    ssn.checked_plus(1).ok_or(Malformed("a message number is out of range"))
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
