//! The messages that wait for an actor, in order. Their payloads stand back to back in one buffer, so that a message
//! costs no allocation of its own: what one thread allocates and another frees costs both of them a lock.

use std::collections::VecDeque;

use bytes::Bytes;
use relive_storage::Name;
use relive_storage::record::Sender;

use crate::envelope::{Envelope, Waiter};
use crate::limits::{INTAKE_BYTES_MAX, INTAKE_MESSAGES_MAX};

/// A message that comes to a mailbox.
pub(crate) struct Mail<'p> {
    pub(crate) sender: Sender,
    pub(crate) message: Name,
    pub(crate) payload: &'p [u8],
    pub(crate) waiter: Waiter,
}

/// The messages that wait for an actor.
#[derive(Default)]
pub(crate) struct Mailbox {
    waiting: VecDeque<Waiting>,
    payloads: Vec<u8>,
}

/// A message without its payload, which follows that of the message before.
struct Waiting {
    sender: Sender,
    message: Name,
    payload_bytes: usize,
    waiter: Waiter,
}

/// Messages that were taken out of a mailbox, in order.
#[derive(Default)]
pub(crate) struct Batch {
    waiting: VecDeque<Waiting>,
    payloads: Bytes,
}

impl Mailbox {
    pub(crate) fn push(&mut self, mail: Mail<'_>) {
        let Mail { sender, message, payload, waiter } = mail;
        self.payloads.extend_from_slice(payload);
        self.waiting.push_back(Waiting { sender, message, payload_bytes: payload.len(), waiter });
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Moves what is there to `batch`, which is empty, within the limits of one intake.
    pub(crate) fn take(&mut self, batch: &mut Batch) {
        if self.len() <= INTAKE_MESSAGES_MAX && self.payloads.len() <= INTAKE_BYTES_MAX {
            // The mailbox goes on in the buffer that the batch had.
            std::mem::swap(&mut self.waiting, &mut batch.waiting);
            batch.payloads = Bytes::copy_from_slice(&self.payloads);
            self.payloads.clear();
            return;
        }
        let mut bytes = 0;
        while batch.waiting.len() < INTAKE_MESSAGES_MAX && bytes < INTAKE_BYTES_MAX {
            let Some(waiting) = self.waiting.pop_front() else { break };
            bytes += waiting.payload_bytes;
            batch.waiting.push_back(waiting);
        }
        batch.payloads = Bytes::copy_from_slice(&self.payloads[..bytes]);
        self.payloads.drain(..bytes);
    }

    /// Takes everything, whatever the limits.
    pub(crate) fn take_all(&mut self) -> Batch {
        Batch {
            waiting: std::mem::take(&mut self.waiting),
            payloads: std::mem::take(&mut self.payloads).into(),
        }
    }

    /// Puts messages back to the front that were taken last.
    pub(crate) fn put_back(&mut self, mut batch: Batch) {
        batch.waiting.append(&mut self.waiting);
        self.waiting = batch.waiting;
        self.payloads.splice(..0, batch.payloads);
    }
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many payload bytes the next message has.
    pub(crate) fn next_bytes(&self) -> usize {
        self.waiting.front().map_or(0, |waiting| waiting.payload_bytes)
    }

    /// The next message.
    pub(crate) fn pop(&mut self) -> Option<Envelope> {
        let Waiting { sender, message, payload_bytes, waiter } = self.waiting.pop_front()?;
        Some(Envelope::new(sender, message, self.payloads.split_to(payload_bytes), waiter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(payloads: impl IntoIterator<Item = usize>) -> Mailbox {
        let mut mailbox = Mailbox::default();
        for (number, bytes) in payloads.into_iter().enumerate() {
            let payload = vec![number.to_le_bytes()[0]; bytes];
            let message = Name::from_static("credit");
            let waiter = Waiter::Nobody;
            mailbox.push(Mail { sender: Sender::Outside, message, payload: &payload, waiter });
        }
        mailbox
    }

    fn payloads(batch: &mut Batch) -> Vec<Bytes> {
        std::iter::from_fn(|| batch.pop()).map(|envelope| envelope.delivery.payload).collect()
    }

    /// Invariant: fifo.
    #[test]
    fn messages_keep_their_order_and_payloads_within_limits_and_when_put_back() {
        let mut mailbox = mailbox((0..INTAKE_MESSAGES_MAX + 10).map(|number| number % 3));
        let expected: Vec<_> =
            (0..INTAKE_MESSAGES_MAX + 10).map(|number| vec![number.to_le_bytes()[0]; number % 3]).collect();
        let mut batch = Batch::default();
        mailbox.take(&mut batch);
        assert_eq!((batch.len(), mailbox.len()), (INTAKE_MESSAGES_MAX, 10));
        let mut found: Vec<_> = (0..5).filter_map(|_| batch.pop()).map(|e| e.delivery.payload).collect();
        mailbox.put_back(batch);
        while !mailbox.is_empty() {
            let mut batch = Batch::default();
            mailbox.take(&mut batch);
            found.extend(payloads(&mut batch));
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn an_intake_ends_after_the_message_that_reaches_its_bytes() {
        let mut mailbox = mailbox([INTAKE_BYTES_MAX - 1, 3, 1]);
        let mut batch = Batch::default();
        mailbox.take(&mut batch);
        assert_eq!((batch.len(), batch.next_bytes()), (2, INTAKE_BYTES_MAX - 1));
        assert_eq!(payloads(&mut mailbox.take_all()), [vec![2; 1]]);
    }
}
