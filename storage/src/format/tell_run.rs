//! Deliveries that are encoded before they have a position: back to back, as records of a frame. So
//! a mailbox holds the bytes that the log will hold, and one copy puts them into a frame.

use bytes::{Buf, Bytes};

use crate::format::record_reader::{SAME_MESSAGE, SENDER_OUTSIDE, TAG_DELIVERY};
use crate::id::name::Name;
use crate::limits::{NAME_BYTES_MAX, PAYLOAD_BYTES_MAX};
use crate::wire::{Malformed, Reader, put_bytes};

/// Deliveries from outside, of one message type. No sender waits for a reply. Iterates over their
/// payloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    message: Name,
    count: u32,
    records: Bytes,
}

impl Run {
    /// Encodes the first delivery of a run.
    pub fn put_first(records: &mut Vec<u8>, message: &Name, payload: &[u8]) {
        records.push(TAG_DELIVERY | SENDER_OUTSIDE);
        put_bytes(records, message.as_bytes());
        put_bytes(records, payload);
    }

    /// Encodes one more delivery of a run, right after the one before.
    pub fn put_next(records: &mut Vec<u8>, payload: &[u8]) {
        records.push(TAG_DELIVERY | SENDER_OUTSIDE | SAME_MESSAGE);
        put_bytes(records, payload);
    }

    /// A run of encoded deliveries, and of nothing else.
    #[must_use]
    pub fn new(message: Name, count: u32, records: Bytes) -> Self {
        Self { message, count, records }
    }

    /// The name of their message type.
    #[must_use]
    pub fn message(&self) -> &Name {
        &self.message
    }

    /// How many deliveries there are.
    #[must_use]
    pub fn deliveries(&self) -> u32 {
        self.count
    }

    /// Their records.
    pub(crate) fn records(&self) -> &[u8] {
        &self.records
    }
}

impl Iterator for Run {
    type Item = Bytes;

    /// # Panics
    /// When the bytes of the run do not come from this encoder.
    fn next(&mut self) -> Option<Bytes> {
        self.count = self.count.checked_sub(1)?;
        let mut reader = Reader::new(&self.records);
        let payload = next_payload(&mut reader).expect("a run is what was encoded here");
        let read = reader.position();
        assert!(self.count > 0 || read == self.records.len(), "a run has no bytes behind its last delivery");
        self.records.advance(read);
        Some(payload)
    }
}

fn next_payload(reader: &mut Reader<'_>) -> Result<Bytes, Malformed> {
    if reader.u8()? & SAME_MESSAGE == 0 {
        reader.bytes(NAME_BYTES_MAX)?;
    }
    reader.bytes(PAYLOAD_BYTES_MAX)
}
