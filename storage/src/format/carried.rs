//! Frames that were appended to the log once more, since the handler of their actor waits and a cut
//! is to take the part in which they first stood: how they are made, and how they are told apart
//! from the frames that they repeat. Knows one actor's frames in their order, and no tape.
//!
//! Such frames stand one after the other, and a record at their end says that they are all that the
//! actor needs of the log. So a reader puts them aside until it has seen that end, and then takes
//! them in the place of everything that it has read before of this actor. Without that end, as a
//! crash may leave them, they say nothing: what they repeat is still there.
//!
//! # Source
//! A log-structured store cleans a segment by writing what is live of it to the end of the log:
//! Rosenblum and Ousterhout, *The Design and Implementation of a Log-Structured File System*, ACM
//! TOCS 10(1), 1992.

use bytes::Bytes;

use crate::format::frame::{FRAME_CARRIED, FrameContext, FrameHead};
use crate::format::frame_writer::FrameBytes;
use crate::format::record::{Positioned, Record};
use crate::id::position::Lsn;
use crate::wire::{Malformed, put_varint};

/// A frame that is to be appended once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedFrame {
    bytes: Vec<u8>,
    records: u32,
}

impl CarriedFrame {
    /// Carries the frame with this head, which was decoded from these bytes. A frame that is
    /// carried already is carried as it first was.
    #[must_use]
    pub fn new(head: &FrameHead, bytes: &Bytes) -> Self {
        let (context, body) = head.original();
        let body = &bytes[body];
        let mut origin = vec![FRAME_CARRIED];
        put_varint(&mut origin, context.first.get());
        origin.extend_from_slice(&context.clock.as_micros().to_le_bytes());
        origin.extend_from_slice(&context.seed.to_le_bytes());
        let mut crc = crc32fast::Hasher::new();
        crc.update(&origin);
        crc.update(body);
        let length = origin.len() + body.len();
        let mut encoded = Vec::with_capacity(length + 16);
        put_varint(&mut encoded, length as u64);
        encoded.extend_from_slice(&crc.finalize().to_le_bytes());
        encoded.extend_from_slice(&origin);
        encoded.extend_from_slice(body);
        let records = u32::try_from(head.records()).expect("a frame has far fewer than 4 G records");
        Self { bytes: encoded, records }
    }

    /// Carries the encoded frame, which stood where the context says.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are no frame.
    pub fn of(bytes: &Bytes, context: FrameContext) -> Result<Self, Malformed> {
        FrameHead::decode(bytes, 0, context).map(|(head, _)| Self::new(&head, bytes))
    }

    /// How many bytes it has.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a frame has a record")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The frame, for the log.
    #[must_use]
    pub fn frame(&self) -> FrameBytes<'_> {
        FrameBytes::encoded(&self.bytes, self.records)
    }
}

/// What a frame is among those of its actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placing {
    /// It stands where it was first appended.
    Original,
    /// It first stood at this position, and is repeated here.
    Carried(Lsn),
    /// It ends frames that are carried.
    End,
    /// It marks checkpoints. The actor does not write it, so it may stand anywhere.
    Mark,
}

impl Placing {
    /// That of a frame with these records.
    #[must_use]
    pub fn of(carried: bool, records: &[Positioned]) -> Self {
        match records.first() {
            Some(first) if carried => Self::Carried(first.lsn),
            Some(Positioned { record: Record::Carried(_), .. }) => Self::End,
            Some(Positioned { record: Record::CheckpointMark(_), .. }) => Self::Mark,
            _ => Self::Original,
        }
    }
}

/// What a reader of one actor's frames does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read<T> {
    /// Nothing: the frame is put aside.
    Aside,
    /// Takes the frame, which follows those before.
    Next(T),
    /// Begins anew with these frames: they are all that the actor needs of the log up to here.
    Anew(Vec<T>),
}

/// The carried frames of one actor that a reader has put aside.
#[derive(Clone, Debug)]
pub struct Carries<T> {
    aside: Vec<T>,
    last: Lsn,
}

impl<T> Default for Carries<T> {
    fn default() -> Self {
        Self { aside: Vec::new(), last: Lsn::FIRST }
    }
}

impl<T> Carries<T> {
    /// Reads the actor's next frame.
    pub fn read(&mut self, placing: Placing, frame: T) -> Read<T> {
        match placing {
            Placing::Carried(first) => {
                // They stand in their order. So this one begins another time, and a crash has ended
                // the one before.
                if first <= self.last {
                    self.aside.clear();
                }
                self.last = first;
                self.aside.push(frame);
                Read::Aside
            }
            Placing::End if !self.aside.is_empty() => {
                let mut all = std::mem::take(&mut self.aside);
                all.push(frame);
                Read::Anew(all)
            }
            Placing::Mark => Read::Next(frame),
            Placing::End | Placing::Original => {
                // The actor went on, so those aside have no end: a crash came before it.
                self.aside = Vec::new();
                Read::Next(frame)
            }
        }
    }
}

#[cfg(test)]
#[path = "carried_tests.rs"]
mod tests;
