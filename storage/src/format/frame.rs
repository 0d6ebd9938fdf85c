//! Frames: consecutive records of one actor, length and CRC-32 before them. The unit that an actor
//! encodes and appends; knows no block.
//!
//! ```text
//! frame  := length:varint crc:u32 body              length and crc are of the body
//! body   := version:u8 actor:text header record*    actor "" = a frame of the store itself
//! header := first_rsn:varint handled:varint covered:varint digests:varint (rsn_delta:varint digest:u64)* records:varint
//! ```
//!
//! Versions 1 and 2 have the same layout. They have no event but side effects, and no
//! delivery of a timer or with an idempotency key. The digests of version 1 were taken over encoded
//! replies as well, see [`Frame::digests_with_replies`].
//!
//! A frame that is carried, appended once more for an actor whose handler waits, has the body that
//! it had first, behind the position, the clock and the seed of the block in which it stood:
//!
//! ```text
//! body   := carried:u8 first:varint clock:u64 seed:u64 body
//! ```
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

use crate::format::record::{EffectDigest, Positioned, Record, Sender};
use crate::format::record_reader::{Flags, RecordReader};
pub use crate::format::record_reader::{FrameContext, split_mix};
use crate::id::actor_id::{ACTOR_ID_BYTES_MAX, ActorId, ActorIds};
use crate::id::position::{Lsn, Rsn};
use crate::id::timestamp::Timestamp;
use crate::limits::{CARRIED_HEADER_BYTES_MAX, FRAME_BYTES_MAX, FRAME_RECORDS_MAX};
use crate::wire::{Malformed, Reader};

/// The version that is written.
pub(crate) const FRAME_VERSION: u8 = 3;
/// In the place of the version: the frame stood in the log before, and is there once more.
pub(crate) const FRAME_CARRIED: u8 = 0x80 | FRAME_VERSION;
/// The last version whose digests were taken over the replies as well, encoded as they were at the
/// time.
const FRAME_VERSION_WITH_REPLIES: u8 = 1;

/// The bytes of the shortest record: a tag and a number.
const RECORD_BYTES_MIN: usize = 2;

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
    /// The frame was appended once more: what the block said in which it first stood. Its records
    /// have the positions, the clock and the seeds that they had there.
    pub carried: Option<FrameContext>,
    /// The records in order.
    pub records: Vec<Positioned>,
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
        let carried = head.carried.then_some(head.context);
        let FrameHead { handled, since, digests, digests_with_replies, .. } = head;
        Ok(Self { actor, handled, since, digests, digests_with_replies, carried, records })
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
    /// The frame was appended once more.
    pub carried: bool,
    version: u8,
    /// That of the block in which the frame first stood.
    context: FrameContext,
    /// Where the body begins, as it was when the frame first stood in the log.
    body: usize,
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
        let length = reader.length(FRAME_BYTES_MAX + CARRIED_HEADER_BYTES_MAX)?;
        let crc = reader.u32()?;
        let body = reader.skip(length)?;
        if crc32fast::hash(&bytes[body.clone()]) != crc {
            return Err(Malformed("the checksum of a frame does not match"));
        }
        // The rest is read from the body alone, so that no length in it reaches into the next
        // frame.
        let end = body.end;
        let mut reader = Reader::part(bytes, body)?;
        let mut version = reader.u8()?;
        let carried = version == FRAME_CARRIED;
        let context = if carried { decode_origin(&mut reader, context.first)? } else { context };
        let body = reader.position() - usize::from(!carried);
        if end - body > FRAME_BYTES_MAX {
            return Err(Malformed("a frame is over its limit"));
        }
        if carried {
            version = reader.u8()?;
        }
        if !(FRAME_VERSION_WITH_REPLIES..=FRAME_VERSION).contains(&version) {
            return Err(Malformed("a frame has an unknown version"));
        }
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
        if carried && name.is_empty() {
            return Err(Malformed("a frame of the store is carried"));
        }
        let start = reader.position();
        let head = Self {
            handled,
            since,
            digests,
            digests_with_replies: version == FRAME_VERSION_WITH_REPLIES,
            carried,
            version,
            context,
            body,
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

    /// The position of its first record; of a carried frame, the one that it had first.
    #[must_use]
    pub fn first(&self) -> Lsn {
        self.context.first
    }

    /// How many records it has.
    #[must_use]
    pub fn records(&self) -> usize {
        self.count
    }

    /// What a copy of the frame must say of it, and where its body stands as it was at first.
    pub(crate) fn original(&self) -> (FrameContext, Range<usize>) {
        (self.context, self.body..self.end)
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
        let (flags, next_rsn, sender) = (Flags::of(self.version), self.first_rsn, Sender::Outside);
        let mut records = RecordReader { reader, ids, context, flags, next_rsn, sender, message: None };
        for index in 0..self.count as u64 {
            let lsn = context.first.checked_plus(index).ok_or(Malformed("a position is out of range"))?;
            let record = records.next(lsn)?;
            let of_store = matches!(record, Record::Incarnation(_) | Record::RecoveryComplete(_));
            if of_store != self.name.is_empty() {
                return Err(Malformed("a record stands in a frame of the wrong owner"));
            }
            if index > 0 && matches!(record, Record::Carried(_)) {
                return Err(Malformed("what ends carried frames does not stand first"));
            }
            decoded.push(Positioned { lsn, record });
        }
        if !records.reader.is_empty() {
            return Err(Malformed("a frame has bytes after its last record"));
        }
        Ok(())
    }
}

/// Reads where a carried frame first stood. `now` is where it stands.
fn decode_origin(reader: &mut Reader<'_>, now: Lsn) -> Result<FrameContext, Malformed> {
    let first = Lsn::new(reader.counter()?);
    let (clock, seed) = (Timestamp::from_micros(reader.u64()?), reader.u64()?);
    if first >= now {
        return Err(Malformed("a carried frame stood behind its copy"));
    }
    Ok(FrameContext { first, clock, seed })
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

const IMPOSSIBLE_NAME: Malformed = Malformed("an actor has an impossible name");

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
