//! Encodes frames, in the layout that `frame` describes and decodes.

use crate::format::frame::FRAME_VERSION;
use crate::format::record::{
    Carried, CheckpointMark, EffectDigest, Event, EventKind, Quarantine, Released, Sender,
};
use crate::format::record_reader::{
    ASKED, ATTEMPT_ASKED, ATTEMPT_CARRIED, ATTEMPT_RELEASED, EVENT_ANSWER, EVENT_ASK_FAILED, EVENT_ELAPSED,
    EVENT_REPLY, EVENT_SIDE_EFFECT, EXTENDED, EXTENSION_KEYED, EXTENSION_TIMER, SAME_MESSAGE, SENDER_ACTOR,
    SENDER_NEXT, SENDER_OUTSIDE, SENDER_PRODUCER, TAG_ATTEMPT, TAG_CHECKPOINT_MARK, TAG_DELIVERY,
    TAG_DISCHARGE, TAG_EVENT, TAG_INCARNATION, TAG_QUARANTINE, TAG_RECOVERY_COMPLETE,
};
use crate::format::tell_run::Run;
use crate::id::actor_id::ActorId;
use crate::id::name::Name;
use crate::id::position::{Epoch, Rsn};
use crate::limits::{
    FRAME_BYTES_MAX, FRAME_RECORDS_MAX, IDEMPOTENCY_KEY_BYTES_MAX, NAME_BYTES_MAX, PAYLOAD_BYTES_MAX,
    QUARANTINE_REASON_BYTES_MAX,
};
use crate::wire::{put_bytes, put_varint};

/// Encodes the records of one frame. One writer serves many frames, so that it allocates nothing
/// once its buffers have grown.
#[derive(Debug, Default)]
pub struct FrameWriter {
    head: Vec<u8>,
    body: Vec<u8>,
    records: Vec<u8>,
    count: u32,
    first_rsn: Option<Rsn>,
    previous: Option<(Sender, Name)>,
    next_rsn: Rsn,
}

impl FrameWriter {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many records have been put since the last [`FrameWriter::finish`].
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether `records` more records, with `payload` bytes together, fit into the frame.
    #[must_use]
    pub fn has_room_for(&self, records: u32, payload: usize) -> bool {
        const RECORD_HEADER_BYTES_MAX: usize = 512;
        const HEADER_BYTES_RESERVED: usize = 1 << 15;
        self.count == 0
            || ((self.count + records) as usize <= FRAME_RECORDS_MAX
                && self.records.len() + payload + RECORD_HEADER_BYTES_MAX + HEADER_BYTES_RESERVED
                    <= FRAME_BYTES_MAX)
    }

    /// Adds a delivery. Its clock and seed are those of the block, and are not written here.
    ///
    /// # Panics
    /// When the rsns of a frame are not gapless, the payload is over its limit, or a timer's name
    /// or an idempotency key is empty or over its limit: the caller has checked all of it.
    pub fn put_delivery(&mut self, rsn: Rsn, sender: &Sender, asked: bool, message: &Name, payload: &[u8]) {
        assert!(payload.len() <= PAYLOAD_BYTES_MAX, "a payload of {} bytes came to the log", payload.len());
        self.number(rsn, 1);
        let mut tag = TAG_DELIVERY;
        if asked {
            tag |= ASKED;
        }
        // What repeats the delivery before costs a flag. A frame begins without one before, so each
        // frame is read by itself.
        let same_message = self.previous.as_ref().is_some_and(|(_, previous)| previous == message);
        if same_message {
            tag |= SAME_MESSAGE;
        }
        let follows = self.previous.as_ref().is_some_and(|(previous, _)| follows(previous, sender));
        tag |= match sender {
            Sender::Outside => SENDER_OUTSIDE,
            _ if follows => SENDER_NEXT,
            Sender::Producer { .. } => SENDER_PRODUCER,
            Sender::Actor { .. } => SENDER_ACTOR,
            Sender::Timer { .. } | Sender::Keyed { .. } => EXTENDED,
        };
        self.begin();
        self.records.push(tag);
        match sender {
            Sender::Producer { name, ssn } if !follows => {
                put_bytes(&mut self.records, name.as_bytes());
                put_varint(&mut self.records, ssn.get());
            }
            Sender::Actor { id, ssn } if !follows => {
                put_bytes(&mut self.records, id.as_str().as_bytes());
                put_varint(&mut self.records, ssn.get());
            }
            Sender::Timer { name, due } => {
                assert!(
                    (1..=NAME_BYTES_MAX).contains(&name.len()),
                    "a timer's name of {} bytes came to the log",
                    name.len()
                );
                self.records.push(EXTENSION_TIMER);
                put_bytes(&mut self.records, name.as_bytes());
                put_varint(&mut self.records, due.as_micros());
            }
            Sender::Keyed { key } => {
                assert!(
                    (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()),
                    "an idempotency key of {} bytes came to the log",
                    key.len()
                );
                self.records.push(EXTENSION_KEYED);
                put_bytes(&mut self.records, key.as_bytes());
            }
            _ => {}
        }
        if !same_message {
            put_bytes(&mut self.records, message.as_bytes());
        }
        put_bytes(&mut self.records, payload);
        self.previous = Some((sender.clone(), message.clone()));
    }

    /// Adds deliveries that were encoded ahead. The first one has this position.
    ///
    /// # Panics
    /// When there are none, or the rsns of a frame are not gapless: the caller has checked both.
    pub fn put_run(&mut self, first: Rsn, run: &Run) {
        assert!(run.deliveries() > 0, "a run of no deliveries came to the log");
        self.number(first, run.deliveries());
        self.begin_many(run.deliveries());
        // The first record of a run names its message type, so it refers to nothing before it.
        self.records.extend_from_slice(run.records());
        self.previous = Some((Sender::Outside, run.message().clone()));
    }

    /// The next deliveries have the positions from this one on.
    fn number(&mut self, first: Rsn, count: u32) {
        if self.first_rsn.is_none() {
            self.first_rsn = Some(first);
        } else {
            assert_eq!(first, self.next_rsn, "the deliveries of a frame must be gapless");
        }
        self.next_rsn = first.plus(u64::from(count));
    }

    /// Adds an event. Its clock is that of the block, and is not written here.
    ///
    /// # Panics
    /// When the outcome is over its limit: the caller has checked it.
    pub fn put_event(&mut self, event: &Event) {
        assert!(
            event.outcome.len() <= PAYLOAD_BYTES_MAX,
            "an outcome of {} bytes came to the log",
            event.outcome.len()
        );
        self.begin();
        let kind = match &event.kind {
            EventKind::SideEffect => EVENT_SIDE_EFFECT,
            EventKind::Reply { .. } => EVENT_REPLY,
            EventKind::AskFailed => EVENT_ASK_FAILED,
            EventKind::Elapsed => EVENT_ELAPSED,
            EventKind::Answer => EVENT_ANSWER,
        };
        self.records.push(TAG_EVENT | kind);
        if let EventKind::Reply { from, ssn } = &event.kind {
            put_bytes(&mut self.records, from.as_str().as_bytes());
            put_varint(&mut self.records, ssn.get());
        }
        put_varint(&mut self.records, event.rsn.get());
        put_varint(&mut self.records, u64::from(event.index));
        put_bytes(&mut self.records, event.name.as_bytes());
        put_bytes(&mut self.records, &event.outcome);
    }

    /// Adds the mark of a checkpoint.
    pub fn put_checkpoint_mark(&mut self, mark: CheckpointMark) {
        self.begin();
        self.records.push(TAG_CHECKPOINT_MARK);
        put_varint(&mut self.records, mark.number.get());
        put_varint(&mut self.records, mark.rsn.get());
    }

    /// Adds the beginning of an incarnation.
    pub fn put_incarnation(&mut self, epoch: Epoch) {
        self.put_number(TAG_INCARNATION, epoch.get());
    }

    /// Says that an incarnation has handled what it found.
    pub fn put_recovery_complete(&mut self, epoch: Epoch) {
        self.put_number(TAG_RECOVERY_COMPLETE, epoch.get());
    }

    /// Says that a delivery is about to be tried.
    pub fn put_attempt(&mut self, rsn: Rsn) {
        self.put_number(TAG_ATTEMPT, rsn.get());
    }

    /// Adds the decision to leave a delivery out.
    ///
    /// # Panics
    /// When the reason is over its limit: the caller has shortened it.
    pub fn put_quarantine(&mut self, quarantine: &Quarantine) {
        let reason = quarantine.reason.as_bytes();
        assert!(
            reason.len() <= QUARANTINE_REASON_BYTES_MAX,
            "a reason of {} bytes came to the log",
            reason.len()
        );
        self.begin();
        self.records.push(TAG_QUARANTINE);
        put_varint(&mut self.records, quarantine.rsn.get());
        put_varint(&mut self.records, u64::from(quarantine.tries));
        put_bytes(&mut self.records, reason);
    }

    /// Says that a delivery has left the quarantine.
    pub fn put_discharge(&mut self, rsn: Rsn) {
        self.put_number(TAG_DISCHARGE, rsn.get());
    }

    /// Says that the frames before were carried. It stands first in its frame, ahead of what was
    /// released.
    ///
    /// # Panics
    /// When the frame has a record.
    pub fn put_carried(&mut self, carried: Carried) {
        assert_eq!(self.count, 0, "what ends carried frames stands first");
        self.put_number(TAG_ATTEMPT | ATTEMPT_CARRIED, carried.rsn.get());
        put_varint(&mut self.records, carried.settled.get());
    }

    /// Says what a delivery has released.
    pub fn put_released(&mut self, released: &Released) {
        let asked = if released.asked { ATTEMPT_ASKED } else { 0 };
        self.put_number(TAG_ATTEMPT | ATTEMPT_RELEASED | asked, released.rsn.get());
        put_bytes(&mut self.records, released.to.as_str().as_bytes());
        put_varint(&mut self.records, released.ssn.get());
        self.records.extend_from_slice(&released.content.to_le_bytes());
    }

    fn put_number(&mut self, tag: u8, number: u64) {
        self.begin();
        self.records.push(tag);
        put_varint(&mut self.records, number);
    }

    /// Closes the frame. The next record that is put begins another. Of more digests than fit into
    /// the frame it leaves out the oldest ones, and the frame says that it does not cover those.
    ///
    /// # Panics
    /// When nothing was put, or more than [`FrameWriter::has_room_for`] allows; or the digests are
    /// not in the order of their rsns after `since`, up to `handled`.
    pub fn finish(
        &mut self,
        actor: Option<&ActorId>,
        since: Rsn,
        handled: Rsn,
        digests: &[EffectDigest],
    ) -> FrameBytes<'_> {
        assert!(self.count > 0, "a frame without a record");
        let room = FRAME_BYTES_MAX.saturating_sub(self.records.len() + HEADER_BYTES_MAX) / DIGEST_BYTES_MAX;
        // An actor with a long backlog handles all of it before its next frame. A frame over its
        // limit would be acknowledged, and no opening could read the log any more.
        let (left_out, digests) = digests.split_at(digests.len().saturating_sub(room));
        let since = left_out.last().map_or(since, |entry| entry.rsn);
        self.body.clear();
        self.body.push(FRAME_VERSION);
        put_bytes(&mut self.body, actor.map_or("", ActorId::as_str).as_bytes());
        put_varint(&mut self.body, self.first_rsn.unwrap_or(Rsn::NONE).get());
        put_varint(&mut self.body, handled.get());
        let covered = handled.since(since);
        assert!(covered.is_some(), "digests since {since} for what was handled up to {handled}");
        put_varint(&mut self.body, covered.unwrap_or_default());
        put_varint(&mut self.body, digests.len() as u64);
        let mut before = since;
        for entry in digests {
            let delta = entry.rsn.since(before).filter(|delta| *delta > 0);
            assert!(delta.is_some() && entry.rsn <= handled, "digests must stand in order, up to {handled}");
            put_varint(&mut self.body, delta.unwrap_or_default());
            self.body.extend_from_slice(&entry.digest.to_le_bytes());
            before = entry.rsn;
        }
        put_varint(&mut self.body, u64::from(self.count));

        let length = self.body.len() + self.records.len();
        // The counterpart of what a reader refuses: here the records are not acknowledged yet.
        assert!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes, which no reader takes");
        assert!(self.count as usize <= FRAME_RECORDS_MAX, "a frame of {} records", self.count);
        self.head.clear();
        put_varint(&mut self.head, length as u64);
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.body);
        crc.update(&self.records);
        self.head.extend_from_slice(&crc.finalize().to_le_bytes());

        let records = std::mem::take(&mut self.count);
        self.first_rsn = None;
        self.previous = None;
        FrameBytes { head: &self.head, body: &self.body, content: &self.records, records }
    }

    /// Begins a record.
    fn begin(&mut self) {
        self.begin_many(1);
    }

    /// Begins records: the first one after a frame was closed empties the writer.
    fn begin_many(&mut self, count: u32) {
        // Not in `finish`: the pieces of a finished frame borrow these bytes until the next record.
        if self.count == 0 {
            self.records.clear();
        }
        self.count += count;
    }
}

/// A frame in the pieces in which it was encoded, so that it is copied only once: into its block.
#[derive(Clone, Copy, Debug)]
pub struct FrameBytes<'w> {
    head: &'w [u8],
    body: &'w [u8],
    content: &'w [u8],
    records: u32,
}

impl<'w> FrameBytes<'w> {
    /// A frame that was encoded before.
    pub(crate) fn encoded(bytes: &'w [u8], records: u32) -> Self {
        Self { head: bytes, body: &[], content: &[], records }
    }
}

impl FrameBytes<'_> {
    /// How many records it carries.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.records
    }

    /// How many bytes it has.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a frame has a record")]
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len() + self.content.len()
    }

    /// Appends it to a block, or to another buffer.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.reserve(self.len());
        out.extend_from_slice(self.head);
        out.extend_from_slice(self.body);
        out.extend_from_slice(self.content);
    }
}

/// The most bytes of a frame beside its digests and its records: a version, the longest name, and
/// five numbers.
const HEADER_BYTES_MAX: usize = 512;
/// The most bytes of a digest: how far it is from the one before, and the hash.
const DIGEST_BYTES_MAX: usize = 10 + 8;

/// Whether `sender` is the sender of the message before, with the next number.
fn follows(previous: &Sender, sender: &Sender) -> bool {
    match (previous, sender) {
        (Sender::Producer { name: a, ssn: before }, Sender::Producer { name: b, ssn }) => {
            a == b && before.checked_plus(1) == Some(*ssn)
        }
        (Sender::Actor { id: a, ssn: before }, Sender::Actor { id: b, ssn }) => {
            a == b && before.checked_plus(1) == Some(*ssn)
        }
        _ => false,
    }
}
