//! Deliveries that are encoded before they have a position: back to back, as the records that a frame is to have of
//! them. So what waits for its actor is what the log will hold, and goes into a frame with one copy.

use bytes::{Buf, Bytes};

use crate::Name;
use crate::frame::{SAME_MESSAGE, SENDER_OUTSIDE, TAG_DELIVERY};
use crate::wire::put_bytes;

/// Deliveries from outside, of one message type, for which nobody waits. Iterates over their payloads.
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

    /// A run of what was encoded, and nothing else.
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

    /// How many bytes their records have.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.records.len()
    }

    /// Their records.
    pub(crate) fn records(&self) -> &[u8] {
        &self.records
    }

    /// Goes past a number, which this module has written.
    fn varint(&mut self) -> usize {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.records.get_u8();
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return value;
            }
            shift += 7;
        }
    }
}

impl Iterator for Run {
    type Item = Bytes;

    /// # Panics
    /// When the run was made of anything but what was encoded here.
    fn next(&mut self) -> Option<Bytes> {
        self.count = self.count.checked_sub(1)?;
        let tag = self.records.get_u8();
        if tag & SAME_MESSAGE == 0 {
            let name = self.varint();
            self.records.advance(name);
        }
        let payload = self.varint();
        Some(self.records.split_to(payload))
    }
}
