//! The messages that wait for an actor, in order. Tells are encoded as their log records, back to
//! back in one buffer, so a message needs no allocation of its own. Memory that one thread
//! allocates and another frees costs both a lock of the allocator.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use relive_storage::record::Sender;
use relive_storage::{Name, Run};

use crate::actor::envelope::{Envelope, Waiter, places_of, places_of_bytes};
use crate::actor::places::{HeldPlaces, Places, TakenPlaces};
use crate::backpressure::{Backpressure, Unlogged};
use crate::limits::{
    ENTRY_OVERHEAD_BYTES, INTAKE_BYTES_MAX, INTAKE_MESSAGES_MAX, RUN_BYTES_MAX, RUN_MESSAGES_MAX,
    SPARE_MAILBOX_BYTES_MAX, SPARE_MAILBOXES_MAX,
};

/// A message that comes to a mailbox.
pub(crate) struct Mail<'p> {
    pub(crate) sender: Sender,
    pub(crate) message: Name,
    pub(crate) payload: &'p [u8],
    pub(crate) waiter: Waiter,
    /// The places that it takes, when it comes from outside.
    pub(crate) taken: Option<TakenPlaces<'p>>,
}

/// The messages that wait for an actor.
#[derive(Default)]
pub(crate) struct Mailbox {
    waiting: VecDeque<Waiting>,
    messages: usize,
    bytes: Vec<u8>,
    /// What the messages hold.
    places: HeldPlaces,
    /// At least what they will take up in the log, unless nobody counts it.
    unlogged: Unlogged,
}

/// One or more messages, without their bytes, which follow those of the entry before.
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

/// Messages out of a mailbox, in order.
#[derive(Default)]
pub(crate) struct Batch {
    waiting: VecDeque<Waiting>,
    messages: usize,
    bytes: Bytes,
    /// What the messages hold.
    places: HeldPlaces,
    unlogged: Unlogged,
}

/// The next entry of a batch.
pub(crate) enum Next {
    /// Tells from outside, with the places of the mailbox that they hold.
    Run(Run, HeldPlaces),
    /// Another message, with those that it holds.
    One(Envelope, HeldPlaces),
}

impl Mail<'_> {
    /// Checks what a receiver relies on: who waits fits the sender, and a message holds as many
    /// places as its bytes need. Wrong places would be lost, or held by two.
    fn assert_consistent(&self) {
        let fits = matches!(
            (&self.sender, &self.waiter),
            (Sender::Outside, Waiter::Nobody | Waiter::Asker(_))
                | (Sender::Keyed { .. }, Waiter::Asker(_))
                | (Sender::Timer { .. }, Waiter::Nobody)
                | (Sender::Producer { .. }, Waiter::Producer(_))
                | (Sender::Actor { .. }, Waiter::Actor(_) | Waiter::AskingActor(_))
        );
        assert!(fits, "the waiter for a message of {:?} is another's", self.sender);
        let needed = self.sender.is_from_outside().then(|| places_of(self.payload) as usize);
        let taken = self.taken.as_ref().map(TakenPlaces::len);
        assert_eq!(taken, needed, "the places of a message of {} bytes", self.payload.len());
    }
}

impl Mailbox {
    /// Adds a message after the last.
    ///
    /// # Panics
    /// When its places or its waiter do not fit it.
    pub(crate) fn push(&mut self, mail: Mail<'_>, places: &Places) {
        mail.assert_consistent();
        if self.waiting.capacity() == 0 {
            assert!(self.places.len() == 0 && self.bytes.is_empty(), "a mailbox without a queue is empty");
            *self = Self::spare();
        }
        self.messages += 1;
        let Mail { sender, message, payload, waiter, taken } = mail;
        if let Some(taken) = taken {
            places.add(taken, &mut self.places);
        }
        if matches!((&sender, &waiter), (Sender::Outside, Waiter::Nobody)) {
            self.push_tell(message, payload);
        } else {
            self.bytes.extend_from_slice(payload);
            let what = What::One { sender, waiter };
            self.waiting.push_back(Waiting { message, bytes: payload.len(), what });
        }
    }

    /// Counts what the messages will take up in the log, and some bytes ahead.
    pub(crate) fn count(&mut self, backpressure: &Arc<Backpressure>) {
        let (counted, needed) = (self.unlogged.bytes(), log_bytes(self.bytes.len(), self.waiting.len() + 1));
        if self.messages > 0 && needed > counted {
            self.unlogged.add(backpressure, needed - counted + backpressure.step());
        }
    }

    fn push_tell(&mut self, message: Name, payload: &[u8]) {
        let before = self.bytes.len();
        // Only the last run goes on: one further back would let this tell overtake what follows it.
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

    /// Moves messages to the empty `batch`, up to and including the run or message that reaches a
    /// limit of one intake.
    ///
    /// # Panics
    /// When `batch` is not empty.
    pub(crate) fn take(&mut self, batch: &mut Batch) {
        assert!(batch.is_empty(), "a batch is empty before it takes mail, not {} messages", batch.len());
        if self.messages <= INTAKE_MESSAGES_MAX && self.bytes.len() <= INTAKE_BYTES_MAX {
            // Swaps the queues and keeps the byte buffer, so that the mailbox allocates nothing.
            std::mem::swap(&mut self.waiting, &mut batch.waiting);
            batch.messages = std::mem::take(&mut self.messages);
            batch.bytes = Bytes::copy_from_slice(&self.bytes);
            batch.places.merge(std::mem::take(&mut self.places));
            batch.unlogged.merge(std::mem::take(&mut self.unlogged));
            self.bytes.clear();
            assert_eq!(self.places.len(), 0, "places leave a mailbox with their messages");
            return;
        }
        let mut bytes = 0;
        while batch.messages < INTAKE_MESSAGES_MAX && bytes < INTAKE_BYTES_MAX {
            let Some(waiting) = self.waiting.pop_front() else { break };
            // Also when it passes the limit: a message larger than the limit must get through.
            bytes += waiting.bytes;
            batch.messages += waiting.messages() as usize;
            batch.places.take_from(&mut self.places, waiting.places());
            batch.waiting.push_back(waiting);
        }
        assert!(batch.messages <= self.messages, "{} messages of {}", batch.messages, self.messages);
        self.messages -= batch.messages;
        // What was counted ahead goes with the last of them.
        let logged = if self.messages == 0 { u64::MAX } else { log_bytes(bytes, batch.waiting.len()) };
        batch.unlogged.merge(self.unlogged.split(logged));
        batch.bytes = Bytes::copy_from_slice(&self.bytes[..bytes]);
        self.bytes.drain(..bytes);
    }

    /// Takes everything, whatever the limits.
    pub(crate) fn take_all(&mut self) -> Batch {
        let Self { waiting, messages, bytes, places, unlogged } = std::mem::take(self);
        Batch { waiting, messages, bytes: bytes.into(), places, unlogged }
    }

    /// Puts messages back to the front that were taken last.
    pub(crate) fn put_back(&mut self, mut batch: Batch) {
        batch.waiting.append(&mut self.waiting);
        self.waiting = batch.waiting;
        self.messages += batch.messages;
        self.places.merge(batch.places);
        self.unlogged.merge(batch.unlogged);
        self.bytes.splice(..0, batch.bytes);
    }

    /// A mailbox with buffers that this thread kept, if there is one.
    fn spare() -> Self {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        spare.unwrap_or_else(|| Self { waiting: VecDeque::with_capacity(1), ..Self::default() })
    }

    /// Leaves its buffers to the next mailbox that gets a message on this thread. So an idle actor
    /// takes little memory, and no turn pays for growing new buffers.
    ///
    /// # Panics
    /// When there are messages in it.
    pub(crate) fn retire(&mut self) {
        assert!(self.is_empty(), "a mailbox is retired with {} messages in it", self.messages);
        assert_eq!(self.places.len(), 0, "messages that are gone hold places");
        assert_eq!(self.unlogged.bytes(), 0, "messages that are gone count as accepted");
        let retired = std::mem::take(self);
        // A large buffer would stay with the thread for ever, for one large message.
        let small = retired.bytes.capacity() <= SPARE_MAILBOX_BYTES_MAX;
        SPARE.with_borrow_mut(|spare| {
            if small && retired.waiting.capacity() > 0 && spare.len() < SPARE_MAILBOXES_MAX {
                spare.push(retired);
            }
        });
    }
}

/// At least what messages of so many bytes, in so many entries, take up in the log.
fn log_bytes(bytes: usize, entries: usize) -> u64 {
    (bytes + entries * ENTRY_OVERHEAD_BYTES) as u64
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

    /// How many places they hold.
    fn places(&self) -> u32 {
        match &self.what {
            What::Run { places, .. } => *places,
            What::One { sender, .. } if sender.is_from_outside() => places_of_bytes(self.bytes),
            What::One { .. } => 0,
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

    /// All that it held is in the log, or never will be: it counts no longer.
    pub(crate) fn is_logged(&mut self) {
        assert!(self.is_empty(), "{} messages are not taken in", self.messages);
        drop(std::mem::take(&mut self.unlogged));
    }

    /// How many messages and bytes the next entry has.
    pub(crate) fn next_size(&self) -> Option<(u32, usize)> {
        let next = self.waiting.front()?;
        Some((next.messages(), next.bytes))
    }

    /// Takes the next entry.
    pub(crate) fn pop(&mut self) -> Option<Next> {
        let next = self.waiting.pop_front()?;
        self.messages -= next.messages() as usize;
        let bytes = self.bytes.split_to(next.bytes);
        let places = self.places.split(next.places());
        assert_eq!(places.len(), next.places(), "each message brings the places that it was pushed with");
        if self.waiting.is_empty() {
            let (messages, bytes, places) = (self.messages, self.bytes.len(), self.places.len());
            assert_eq!((messages, bytes, places), (0, 0, 0), "messages, bytes and places end together");
        }
        Some(match next.what {
            What::Run { messages, .. } => Next::Run(Run::new(next.message, messages, bytes), places),
            What::One { sender, waiter } => {
                Next::One(Envelope::new(sender, next.message, bytes, waiter), places)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAILBOX_PLACES_MAX;
    use tokio::sync::oneshot;

    /// Every fifth is asked, every eleventh of another type.
    fn mailbox(places: &Places, payloads: impl IntoIterator<Item = usize>) -> Mailbox {
        let mut mailbox = Mailbox::default();
        for (number, bytes) in payloads.into_iter().enumerate() {
            let payload = vec![number.to_le_bytes()[0]; bytes];
            let message = Name::from_static(if number % 11 == 10 { "debit" } else { "credit" });
            let waiter = if number % 5 == 4 { Waiter::Asker(oneshot::channel().0) } else { Waiter::Nobody };
            let (sender, taken) = (Sender::Outside, places.try_take(places_of(&payload)));
            mailbox.push(Mail { sender, message, payload: &payload, waiter, taken }, places);
        }
        mailbox
    }

    fn payloads(next: Next) -> Vec<Bytes> {
        match next {
            Next::Run(run, places) => {
                assert!(places.len() >= run.deliveries());
                run.collect()
            }
            Next::One(envelope, places) => {
                assert_eq!(places.len(), envelope.places());
                vec![envelope.delivery.payload]
            }
        }
    }

    fn all(batch: &mut Batch) -> Vec<Bytes> {
        std::iter::from_fn(|| batch.pop()).flat_map(payloads).collect()
    }

    /// Invariant: fifo.
    #[test]
    fn messages_keep_their_order_and_payloads_within_limits_and_when_put_back() {
        let places = Places::new(INTAKE_MESSAGES_MAX + 10);
        let mut mailbox = mailbox(&places, (0..INTAKE_MESSAGES_MAX + 10).map(|number| number % 3));
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
        assert_eq!(places.free(), INTAKE_MESSAGES_MAX + 10, "what is gone holds no places");
    }

    #[test]
    fn an_intake_ends_after_the_message_that_reaches_its_bytes() {
        let places = Places::new(INTAKE_BYTES_MAX);
        let mut mailbox = mailbox(&places, [INTAKE_BYTES_MAX - RUN_BYTES_MAX, RUN_BYTES_MAX, 1]);
        let mut batch = Batch::default();
        mailbox.take(&mut batch);
        assert_eq!(batch.len(), 2);
        assert_eq!(
            all(&mut batch).iter().map(Bytes::len).collect::<Vec<_>>(),
            [INTAKE_BYTES_MAX - RUN_BYTES_MAX, RUN_BYTES_MAX]
        );
        assert_eq!(all(&mut mailbox.take_all()), [vec![2; 1]]);
    }

    /// A message holds places when a sender outside waits for them, and nobody else waits for it
    /// than its sender may.
    #[test]
    fn places_and_waiters_fit_the_sender() {
        let asker = || Waiter::Asker(oneshot::channel().0);
        let producer = || Waiter::Producer(oneshot::channel().0);
        let keyed = || Sender::Keyed { key: "order 17".into() };
        let timer = || Sender::Timer { name: "remind".into(), due: Default::default() };
        let payload = vec![0; 3 * crate::limits::MAILBOX_PLACE_BYTES];
        let push = |sender: Sender, waiter: Waiter, holds: bool| {
            let places = Places::new(MAILBOX_PLACES_MAX);
            let (message, needed) = (Name::from_static("credit"), places_of(&payload));
            let taken = holds.then(|| places.try_take(needed).unwrap());
            let mut mailbox = Mailbox::default();
            let mail = Mail { sender: sender.clone(), message, payload: &payload, waiter, taken };
            let fits = std::panic::AssertUnwindSafe(|| mailbox.push(mail, &places));
            std::panic::catch_unwind(fits).map_err(drop)?;
            let mut batch = mailbox.take_all();
            let Some(Next::One(envelope, held)) = batch.pop() else { panic!("it is no run") };
            assert_eq!((&envelope.delivery.sender, held.len()), (&sender, envelope.places()));
            assert_eq!(held.len(), if holds { needed } else { 0 });
            drop(held);
            assert_eq!(places.free(), MAILBOX_PLACES_MAX);
            Ok(())
        };
        assert_eq!(push(keyed(), asker(), true), Ok(()));
        assert_eq!(push(timer(), Waiter::Nobody, false), Ok(()));
        for (sender, waiter, holds) in [
            (keyed(), asker(), false),
            (timer(), Waiter::Nobody, true),
            (keyed(), Waiter::Nobody, true),
            (keyed(), producer(), true),
            (timer(), asker(), false),
            (timer(), producer(), false),
        ] {
            let what = format!("{sender:?}, {holds}");
            assert_eq!(push(sender, waiter, holds), Err(()), "{what}");
        }
    }

    #[test]
    fn tells_of_one_type_are_runs_within_limits() {
        let count = RUN_MESSAGES_MAX as usize;
        let places = Places::new(MAILBOX_PLACES_MAX);
        let mut mailbox = Mailbox::default();
        let mut push = |payload: &[u8]| {
            let (sender, waiter) = (Sender::Outside, Waiter::Nobody);
            let (message, taken) = (Name::from_static("credit"), places.try_take(places_of(payload)));
            mailbox.push(Mail { sender, message, payload, waiter, taken }, &places);
        };
        (0..=count).for_each(|_| push(b"x"));
        push(&vec![0; RUN_BYTES_MAX]);
        push(&vec![0; RUN_BYTES_MAX]);
        let mut batch = mailbox.take_all();
        let runs = std::iter::from_fn(|| batch.pop()).map(|next| match next {
            Next::Run(run, places) => (run.deliveries(), places.len()),
            Next::One(..) => panic!("a tell was taken for something else"),
        });
        let large = places_of(&vec![0; RUN_BYTES_MAX]);
        let expected = [(RUN_MESSAGES_MAX, RUN_MESSAGES_MAX), (1, 1), (1, large), (1, large)];
        assert_eq!(runs.collect::<Vec<_>>(), expected);
    }
}
