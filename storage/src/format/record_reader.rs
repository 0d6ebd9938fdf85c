//! Reads the records of a frame, one after the other. Knows their tags and bytes, no frame.

use crate::format::record::{
    Carried, CheckpointMark, Delivery, Event, EventKind, Quarantine, Record, Released, Sender,
};
use crate::id::actor_id::{ACTOR_ID_BYTES_MAX, ActorIds};
use crate::id::name::Name;
use crate::id::position::{CheckpointNumber, Epoch, Lsn, Rsn, Ssn};
use crate::id::timestamp::Timestamp;
use crate::limits::{
    IDEMPOTENCY_KEY_BYTES_MAX, NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, QUARANTINE_REASON_BYTES_MAX,
};
use crate::wire::{Malformed, Reader};

/// The last version without the kinds of events and the extended senders.
const FRAME_VERSION_WITHOUT_KINDS: u8 = 2;

pub(crate) const TAG_DELIVERY: u8 = 0;
pub(crate) const TAG_EVENT: u8 = 1;
pub(crate) const TAG_CHECKPOINT_MARK: u8 = 2;
pub(crate) const TAG_INCARNATION: u8 = 3;
pub(crate) const TAG_RECOVERY_COMPLETE: u8 = 4;
pub(crate) const TAG_ATTEMPT: u8 = 5;
pub(crate) const TAG_QUARANTINE: u8 = 6;
pub(crate) const TAG_DISCHARGE: u8 = 7;
const TAG_MASK: u8 = 0b0000_0111;
/// With the tag of an attempt: its actor's frames were carried, and its handler waits.
pub(crate) const ATTEMPT_CARRIED: u8 = 0b0000_1000;
/// With the tag of an attempt: what the delivery has released.
pub(crate) const ATTEMPT_RELEASED: u8 = 0b0001_0000;
/// With the two before: the handler waits for the reply.
pub(crate) const ATTEMPT_ASKED: u8 = 0b0010_0000;
const ATTEMPT_MASK: u8 = ATTEMPT_CARRIED | ATTEMPT_RELEASED | ATTEMPT_ASKED;
pub(crate) const SAME_MESSAGE: u8 = 0b0000_1000;
pub(crate) const SENDER_OUTSIDE: u8 = 0b0000_0000;
pub(crate) const SENDER_PRODUCER: u8 = 0b0001_0000;
pub(crate) const SENDER_ACTOR: u8 = 0b0010_0000;
/// The sender of the delivery before, with the next ssn.
pub(crate) const SENDER_NEXT: u8 = 0b0011_0000;
const SENDER_MASK: u8 = 0b0011_0000;
pub(crate) const ASKED: u8 = 0b0100_0000;
/// A byte follows the tag and says who sent the delivery, instead of the tag.
pub(crate) const EXTENDED: u8 = 0b1000_0000;
pub(crate) const EXTENSION_TIMER: u8 = 1;
pub(crate) const EXTENSION_KEYED: u8 = 2;
const DELIVERY_FLAGS: u8 = SAME_MESSAGE | SENDER_MASK | ASKED | EXTENDED;
pub(crate) const EVENT_SIDE_EFFECT: u8 = 0;
pub(crate) const EVENT_REPLY: u8 = 0b0000_1000;
pub(crate) const EVENT_ASK_FAILED: u8 = 0b0001_0000;
pub(crate) const EVENT_ELAPSED: u8 = 0b0001_1000;
pub(crate) const EVENT_ANSWER: u8 = 0b0010_0000;
const EVENT_MASK: u8 = 0b0011_1000;

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

/// The bits of a tag that have a meaning beside the kind of the record. A later version may give
/// the others a meaning, which this one must not pass over.
#[derive(Clone, Copy)]
pub(crate) struct Flags {
    delivery: u8,
    event: u8,
    attempt: u8,
}

impl Flags {
    /// Those of a version of frames.
    pub(crate) fn of(version: u8) -> Self {
        if version <= FRAME_VERSION_WITHOUT_KINDS {
            Self { delivery: DELIVERY_FLAGS & !EXTENDED, event: 0, attempt: 0 }
        } else {
            Self { delivery: DELIVERY_FLAGS, event: EVENT_MASK, attempt: ATTEMPT_MASK }
        }
    }

    fn known(self, kind: u8) -> u8 {
        match kind {
            TAG_DELIVERY => self.delivery,
            TAG_EVENT => self.event,
            TAG_ATTEMPT => self.attempt,
            _ => 0,
        }
    }
}

/// Goes from record to record of a frame.
pub(crate) struct RecordReader<'b> {
    pub(crate) reader: Reader<'b>,
    pub(crate) ids: &'b mut ActorIds,
    pub(crate) context: FrameContext,
    pub(crate) flags: Flags,
    pub(crate) next_rsn: Rsn,
    /// The sender of the delivery before.
    pub(crate) sender: Sender,
    /// The message type of the delivery before; `None` ahead of the first.
    pub(crate) message: Option<Name>,
}

impl RecordReader<'_> {
    /// Reads the next record, which stands at `lsn`.
    pub(crate) fn next(&mut self, lsn: Lsn) -> Result<Record, Malformed> {
        let tag = self.reader.u8()?;
        let kind = tag & TAG_MASK;
        if tag & !(TAG_MASK | self.flags.known(kind)) != 0 {
            return Err(Malformed("a record has unknown flags"));
        }
        match kind {
            TAG_DELIVERY => self.delivery(tag, lsn).map(Record::Delivery),
            TAG_EVENT => self.event(tag).map(Record::Event),
            TAG_CHECKPOINT_MARK => Ok(Record::CheckpointMark(CheckpointMark {
                number: CheckpointNumber::new(self.reader.counter()?),
                rsn: Rsn::new(self.reader.counter()?),
            })),
            TAG_INCARNATION => Ok(Record::Incarnation(Epoch::new(self.reader.counter()?))),
            TAG_RECOVERY_COMPLETE => Ok(Record::RecoveryComplete(Epoch::new(self.reader.counter()?))),
            TAG_ATTEMPT => self.attempt(tag),
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

    /// An attempt, or what is known of a delivery whose actor's frames were carried.
    fn attempt(&mut self, tag: u8) -> Result<Record, Malformed> {
        let (rsn, what) = (self.tried()?, tag & ATTEMPT_MASK);
        match what & !ATTEMPT_ASKED {
            0 if what == 0 => Ok(Record::Attempt(rsn)),
            ATTEMPT_CARRIED if what == ATTEMPT_CARRIED => {
                let settled = Rsn::new(self.reader.counter()?);
                Ok(Record::Carried(Carried { rsn, settled }))
            }
            ATTEMPT_RELEASED => {
                let to = self.reader.text(ACTOR_ID_BYTES_MAX, |text| self.ids.get(text))?;
                let to = to.map_err(|_| Malformed("a receiver has an impossible name"))?;
                let (ssn, asked) = (self.ssn()?, what & ATTEMPT_ASKED != 0);
                Ok(Record::Released(Released { rsn, to, ssn, asked, content: self.reader.u64()? }))
            }
            _ => Err(Malformed("an attempt has impossible flags")),
        }
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
        let sender = if tag & EXTENDED == 0 { self.sender(tag)? } else { self.extended_sender(tag)? };
        if tag & SAME_MESSAGE == 0 {
            self.message = Some(self.name()?);
        }
        let message = self.message.clone();
        let message = message.ok_or(Malformed("a first delivery refers to one before it"))?;
        let payload = self.reader.bytes(PAYLOAD_BYTES_MAX)?;
        self.sender = sender.clone();
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
            _ => match &self.sender {
                Sender::Producer { name, ssn } => {
                    Ok(Sender::Producer { name: name.clone(), ssn: next_ssn(*ssn)? })
                }
                Sender::Actor { id, ssn } => Ok(Sender::Actor { id: id.clone(), ssn: next_ssn(*ssn)? }),
                _ => Err(Malformed("a delivery refers to a sender before it that has no numbers")),
            },
        }
    }

    fn extended_sender(&mut self, tag: u8) -> Result<Sender, Malformed> {
        if tag & SENDER_MASK != SENDER_OUTSIDE {
            return Err(Malformed("a delivery has two senders"));
        }
        match self.reader.u8()? {
            EXTENSION_TIMER => {
                let name = self.name()?;
                Ok(Sender::Timer { name, due: Timestamp::from_micros(self.reader.varint()?) })
            }
            EXTENSION_KEYED => {
                let key: Name = self.reader.text(IDEMPOTENCY_KEY_BYTES_MAX, |text| Name::from(text))?;
                if key.is_empty() {
                    return Err(Malformed("an idempotency key is empty"));
                }
                Ok(Sender::Keyed { key })
            }
            _ => Err(Malformed("a delivery has an unknown extension")),
        }
    }

    fn ssn(&mut self) -> Result<Ssn, Malformed> {
        let ssn = Ssn::new(self.reader.counter()?);
        if ssn == Ssn::NONE { Err(Malformed("a message has the number 0")) } else { Ok(ssn) }
    }

    fn event(&mut self, tag: u8) -> Result<Event, Malformed> {
        let kind = match tag & EVENT_MASK {
            EVENT_SIDE_EFFECT => EventKind::SideEffect,
            EVENT_REPLY => {
                let from = self.reader.text(ACTOR_ID_BYTES_MAX, |text| self.ids.get(text))?;
                let from = from.map_err(|_| Malformed("a reply is of an impossible name"))?;
                EventKind::Reply { from, ssn: self.ssn()? }
            }
            EVENT_ASK_FAILED => EventKind::AskFailed,
            EVENT_ELAPSED => EventKind::Elapsed,
            EVENT_ANSWER => EventKind::Answer,
            _ => return Err(Malformed("an event has an unknown kind")),
        };
        let rsn = Rsn::new(self.reader.counter()?);
        let index =
            u32::try_from(self.reader.varint()?).map_err(|_| Malformed("an event index is out of range"))?;
        let name = self.name()?;
        let outcome = self.reader.bytes(PAYLOAD_BYTES_MAX)?;
        // Handlers of earlier versions did not see the clock of an event, so their replay must not.
        let clock = (self.flags.event != 0).then_some(self.context.clock);
        Ok(Event { rsn, index, kind, name, outcome, clock })
    }

    fn name(&mut self) -> Result<Name, Malformed> {
        let name: Name = self.reader.text(NAME_BYTES_MAX, |text| Name::from(text))?;
        if name.is_empty() { Err(Malformed("a name is empty")) } else { Ok(name) }
    }
}

fn next_ssn(ssn: Ssn) -> Result<Ssn, Malformed> {
    ssn.checked_plus(1).ok_or(Malformed("a message number is out of range"))
}
