//! The messages that wait for an actor, in order. Tells are encoded as the records that the log is to have of them, and
//! all stand back to back in one buffer: so a message costs no allocation of its own, since what one thread allocates
//! and another frees costs both of them a lock.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::Bytes;
use relive_storage::record::Sender;
use relive_storage::{Name, Run};

use crate::envelope::{Envelope, Waiter, places_of};
use crate::limits::{
    INTAKE_BYTES_MAX, INTAKE_MESSAGES_MAX, RUN_BYTES_MAX, RUN_MESSAGES_MAX, SPARE_MAILBOX_BYTES_MAX,
    SPARE_MAILBOXES_MAX,
};

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
    messages: usize,
    bytes: Vec<u8>,
}

/// A message or more, without the bytes, which follow those of what is before.
struct Waiting {
    message: Name,
    bytes: usize,
    what: What,
}

enum What {
    /// Tells from outside, encoded.
    Run { messages: u32, places: u32 },
    /// A message of which more is to be known, and its payload.
    One { sender: Sender, waiter: Waiter },
}

/// Messages that were taken out of a mailbox, in order.
#[derive(Default)]
pub(crate) struct Batch {
    waiting: VecDeque<Waiting>,
    messages: usize,
    bytes: Bytes,
}

/// What is next in a batch.
pub(crate) enum Next {
    /// Tells from outside, with the places of the mailbox that they hold.
    Run(Run, u32),
    One(Envelope),
}

impl Mailbox {
    pub(crate) fn push(&mut self, mail: Mail<'_>) {
        if self.waiting.capacity() == 0 {
            *self = Self::spare();
        }
        self.messages += 1;
        let Mail { sender, message, payload, waiter } = mail;
        if matches!((&sender, &waiter), (Sender::Outside, Waiter::Nobody)) {
            self.push_tell(message, payload);
        } else {
            self.bytes.extend_from_slice(payload);
            let what = What::One { sender, waiter };
            self.waiting.push_back(Waiting { message, bytes: payload.len(), what });
        }
    }

    fn push_tell(&mut self, message: Name, payload: &[u8]) {
        let before = self.bytes.len();
        if let Some(last) = self.waiting.back_mut()
            && let What::Run { messages, places } = &mut last.what
            && *messages < RUN_MESSAGES_MAX
            && last.bytes + payload.len() <= RUN_BYTES_MAX
            && last.message == message
        {
            Run::put_next(&mut self.bytes, payload);
            *messages += 1;
            *places += places_of(payload);
            last.bytes += self.bytes.len() - before;
        } else {
            Run::put_first(&mut self.bytes, &message, payload);
            let what = What::Run { messages: 1, places: places_of(payload) };
            self.waiting.push_back(Waiting { message, bytes: self.bytes.len() - before, what });
        }
    }

    /// How many messages there are.
    pub(crate) fn len(&self) -> usize {
        self.messages
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Moves what is there to `batch`, which is empty, within the limits of one intake: it ends after the run or message
    /// that reaches one of them.
    pub(crate) fn take(&mut self, batch: &mut Batch) {
        if self.messages <= INTAKE_MESSAGES_MAX && self.bytes.len() <= INTAKE_BYTES_MAX {
            // The mailbox goes on in the buffers that it and the batch had.
            std::mem::swap(&mut self.waiting, &mut batch.waiting);
            batch.messages = std::mem::take(&mut self.messages);
            batch.bytes = Bytes::copy_from_slice(&self.bytes);
            self.bytes.clear();
            return;
        }
        let mut bytes = 0;
        while batch.messages < INTAKE_MESSAGES_MAX && bytes < INTAKE_BYTES_MAX {
            let Some(waiting) = self.waiting.pop_front() else { break };
            bytes += waiting.bytes;
            batch.messages += waiting.messages() as usize;
            batch.waiting.push_back(waiting);
        }
        self.messages -= batch.messages;
        batch.bytes = Bytes::copy_from_slice(&self.bytes[..bytes]);
        self.bytes.drain(..bytes);
    }

    /// Takes everything, whatever the limits.
    pub(crate) fn take_all(&mut self) -> Batch {
        let Self { waiting, messages, bytes } = std::mem::take(self);
        Batch { waiting, messages, bytes: bytes.into() }
    }

    /// Puts messages back to the front that were taken last.
    pub(crate) fn put_back(&mut self, mut batch: Batch) {
        batch.waiting.append(&mut self.waiting);
        self.waiting = batch.waiting;
        self.messages += batch.messages;
        self.bytes.splice(..0, batch.bytes);
    }

    /// One that is warm, if the thread has one.
    fn spare() -> Self {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        spare.unwrap_or_else(|| Self { waiting: VecDeque::with_capacity(1), ..Self::default() })
    }

    /// Leaves its buffers to the next that gets a message on this thread: an idle actor is to take little memory, and
    /// growing them anew for each turn costs more than what is put into them.
    ///
    /// # Panics
    /// When there are messages in it.
    pub(crate) fn retire(&mut self) {
        assert!(self.is_empty(), "a mailbox is retired with {} messages in it", self.messages);
        let retired = std::mem::take(self);
        let small = retired.bytes.capacity() <= SPARE_MAILBOX_BYTES_MAX;
        SPARE.with_borrow_mut(|spare| {
            if small && retired.waiting.capacity() > 0 && spare.len() < SPARE_MAILBOXES_MAX {
                spare.push(retired);
            }
        });
    }
}

thread_local! {
    static SPARE: RefCell<Vec<Mailbox>> = const { RefCell::new(Vec::new()) };
}

impl Waiting {
    fn messages(&self) -> u32 {
        match self.what {
            What::Run { messages, .. } => messages,
            What::One { .. } => 1,
        }
    }
}

impl Batch {
    /// How many messages there are.
    pub(crate) fn len(&self) -> usize {
        self.messages
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// How many messages, and how many bytes, what is next has.
    pub(crate) fn next_size(&self) -> Option<(u32, usize)> {
        let next = self.waiting.front()?;
        Some((next.messages(), next.bytes))
    }

    /// Takes what is next.
    pub(crate) fn pop(&mut self) -> Option<Next> {
        let next = self.waiting.pop_front()?;
        self.messages -= next.messages() as usize;
        let bytes = self.bytes.split_to(next.bytes);
        Some(match next.what {
            What::Run { messages, places } => Next::Run(Run::new(next.message, messages, bytes), places),
            What::One { sender, waiter } => Next::One(Envelope::new(sender, next.message, bytes, waiter)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    /// Every fifth is asked, every eleventh of another type.
    fn mailbox(payloads: impl IntoIterator<Item = usize>) -> Mailbox {
        let mut mailbox = Mailbox::default();
        for (number, bytes) in payloads.into_iter().enumerate() {
            let payload = vec![number.to_le_bytes()[0]; bytes];
            let message = Name::from_static(if number % 11 == 10 { "debit" } else { "credit" });
            let waiter = if number % 5 == 4 { Waiter::Asker(oneshot::channel().0) } else { Waiter::Nobody };
            mailbox.push(Mail { sender: Sender::Outside, message, payload: &payload, waiter });
        }
        mailbox
    }

    fn payloads(next: Next) -> Vec<Bytes> {
        match next {
            Next::Run(run, places) => {
                assert!(places >= run.deliveries());
                run.collect()
            }
            Next::One(envelope) => vec![envelope.delivery.payload],
        }
    }

    fn all(batch: &mut Batch) -> Vec<Bytes> {
        std::iter::from_fn(|| batch.pop()).flat_map(payloads).collect()
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
        let mut found: Vec<_> = (0..5).filter_map(|_| batch.pop()).flat_map(payloads).collect();
        let left = batch.len();
        mailbox.put_back(batch);
        assert_eq!((found.len() + left, mailbox.len()), (INTAKE_MESSAGES_MAX, left + 10));
        while !mailbox.is_empty() {
            let mut batch = Batch::default();
            mailbox.take(&mut batch);
            found.extend(all(&mut batch));
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn an_intake_ends_after_the_message_that_reaches_its_bytes() {
        let mut mailbox = mailbox([INTAKE_BYTES_MAX - RUN_BYTES_MAX, RUN_BYTES_MAX, 1]);
        let mut batch = Batch::default();
        mailbox.take(&mut batch);
        assert_eq!(batch.len(), 2);
        assert_eq!(
            all(&mut batch).iter().map(Bytes::len).collect::<Vec<_>>(),
            [INTAKE_BYTES_MAX - RUN_BYTES_MAX, RUN_BYTES_MAX]
        );
        assert_eq!(all(&mut mailbox.take_all()), [vec![2; 1]]);
    }

    #[test]
    fn tells_of_one_type_are_runs_within_limits() {
        let count = RUN_MESSAGES_MAX as usize;
        let mut mailbox = Mailbox::default();
        let mut push = |payload: &[u8]| {
            let (sender, waiter) = (Sender::Outside, Waiter::Nobody);
            mailbox.push(Mail { sender, message: Name::from_static("credit"), payload, waiter });
        };
        (0..=count).for_each(|_| push(b"x"));
        push(&vec![0; RUN_BYTES_MAX]);
        push(&vec![0; RUN_BYTES_MAX]);
        let mut batch = mailbox.take_all();
        let runs = std::iter::from_fn(|| batch.pop()).map(|next| match next {
            Next::Run(run, places) => (run.deliveries(), places),
            Next::One(_) => panic!("a tell was taken for something else"),
        });
        let large = places_of(&vec![0; RUN_BYTES_MAX]);
        let expected = [(RUN_MESSAGES_MAX, RUN_MESSAGES_MAX), (1, 1), (1, large), (1, large)];
        assert_eq!(runs.collect::<Vec<_>>(), expected);
    }
}
