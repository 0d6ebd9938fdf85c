//! The deliveries that an actor has received and not handled yet, in order. Tells stay encoded
//! until their turn.

use std::collections::VecDeque;

use relive_storage::frame::FrameContext;
use relive_storage::record::{Delivery, Sender};
use relive_storage::{Name, Rsn, Run, Timestamp};

use crate::actor::envelope::Envelope;

/// The deliveries that an actor has ahead.
#[derive(Default)]
pub(crate) struct Backlog {
    entries: VecDeque<Entry>,
    deliveries: usize,
}

enum Entry {
    One(Envelope),
    Run(LoggedRun),
}

/// The rest of a run, with its positions.
struct LoggedRun {
    run: Run,
    next: Rsn,
    /// The context of the next delivery.
    context: FrameContext,
}

impl Backlog {
    /// How many deliveries there are.
    pub(crate) fn len(&self) -> usize {
        self.deliveries
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.deliveries == 0
    }

    /// Adds the delivery after the last.
    ///
    /// # Panics
    /// When it does not follow the last one.
    pub(crate) fn push(&mut self, envelope: Envelope) {
        self.assert_next(envelope.delivery.rsn);
        self.entries.push_back(Entry::One(envelope));
        self.deliveries += 1;
    }

    /// Adds the deliveries of a run after the last; the first has the position `next`.
    ///
    /// # Panics
    /// When they do not follow the last one, or there are none.
    pub(crate) fn push_run(&mut self, next: Rsn, run: Run) {
        self.assert_next(next);
        assert!(run.deliveries() > 0, "a run that is taken in holds a delivery");
        self.deliveries += run.deliveries() as usize;
        // The append to the log gives the real one: no block is known yet.
        let context = FrameContext { first: Default::default(), clock: Timestamp::default(), seed: 0 };
        self.entries.push_back(Entry::Run(LoggedRun { run, next, context }));
    }

    /// Puts the delivery back that was taken last.
    ///
    /// # Panics
    /// When another one was taken last.
    pub(crate) fn put_back(&mut self, envelope: Envelope) {
        let (back, first) = (envelope.delivery.rsn, self.entries.front().map(Entry::first));
        let is_ahead = first.is_none_or(|first| back.next() == first);
        assert!(is_ahead, "{back} is put back ahead of {first:?}");
        self.entries.push_front(Entry::One(envelope));
        self.deliveries += 1;
    }

    /// Gives the deliveries of the last `pushes` pushes the clock and the seeds of their block.
    ///
    /// # Panics
    /// When there were not as many pushes.
    pub(crate) fn logged(&mut self, pushes: usize, mut context: FrameContext) {
        assert!(pushes <= self.entries.len(), "{pushes} pushes are logged, of {}", self.entries.len());
        // From the back: the turn may have what was logged before still ahead.
        for entry in self.entries.range_mut(self.entries.len() - pushes..) {
            let deliveries = match entry {
                Entry::One(envelope) => {
                    envelope.delivery.clock = context.clock;
                    envelope.delivery.seed = context.seed_at(context.first);
                    1
                }
                Entry::Run(logged) => {
                    logged.context = context;
                    logged.run.deliveries()
                }
            };
            context.first = context.first.plus(u64::from(deliveries));
        }
    }

    /// Who sent the delivery that was put back last.
    pub(crate) fn first_sender(&self) -> Option<&Sender> {
        match self.entries.front() {
            Some(Entry::One(envelope)) => Some(&envelope.delivery.sender),
            _ => None,
        }
    }

    /// Takes the next delivery.
    pub(crate) fn pop(&mut self) -> Option<Envelope> {
        let front = self.entries.front_mut()?;
        assert!(self.deliveries > 0, "a backlog with an entry has a delivery");
        self.deliveries -= 1;
        // The last delivery of a run takes the entry with it, so no empty run stays in front.
        if let Entry::Run(logged) = front
            && logged.run.deliveries() > 1
        {
            return logged.pop();
        }
        let popped = match self.entries.pop_front()? {
            Entry::One(envelope) => Some(envelope),
            Entry::Run(mut logged) => logged.pop(),
        };
        let entries = self.entries.len();
        assert_eq!(entries == 0, self.deliveries == 0, "{} deliveries in {entries} entries", self.deliveries);
        popped
    }

    /// Whether its deliveries stay gapless with one at `rsn` after the last.
    fn assert_next(&self, rsn: Rsn) {
        let next = self.entries.back().map(Entry::next);
        assert!(next.is_none_or(|next| next == rsn), "{rsn} follows in a backlog that goes on with {next:?}");
    }

    /// The deliveries with an entry of their own, with the askers that may wait for them.
    pub(crate) fn into_envelopes(self) -> impl Iterator<Item = Envelope> {
        self.entries.into_iter().filter_map(|entry| match entry {
            Entry::One(envelope) => Some(envelope),
            Entry::Run(_) => None,
        })
    }

    /// The firings of timers among all.
    pub(crate) fn firings(&self) -> impl Iterator<Item = (Name, Timestamp)> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::One(Envelope {
                delivery: Delivery { sender: Sender::Timer { name, due }, .. }, ..
            }) => Some((name.clone(), *due)),
            _ => None,
        })
    }

    /// Those with an entry of their own, to be changed.
    pub(crate) fn envelopes_mut(&mut self) -> impl Iterator<Item = &mut Envelope> {
        self.entries.iter_mut().filter_map(|entry| match entry {
            Entry::One(envelope) => Some(envelope),
            Entry::Run(_) => None,
        })
    }
}

impl Entry {
    /// The position of its first delivery.
    fn first(&self) -> Rsn {
        match self {
            Self::One(envelope) => envelope.delivery.rsn,
            Self::Run(logged) => logged.next,
        }
    }

    /// The position after its last delivery.
    fn next(&self) -> Rsn {
        match self {
            Self::One(envelope) => envelope.delivery.rsn.next(),
            Self::Run(logged) => logged.next.plus(u64::from(logged.run.deliveries())),
        }
    }
}

impl LoggedRun {
    fn pop(&mut self) -> Option<Envelope> {
        // Decoded only now: a run that waits costs the bytes of its records and nothing else.
        let payload = self.run.next()?;
        let (rsn, FrameContext { first, clock, .. }) = (self.next, self.context);
        let seed = self.context.seed_at(first);
        self.next = rsn.next();
        self.context.first = first.next();
        let message = self.run.message().clone();
        Some(Envelope::from(Delivery {
            rsn,
            sender: Sender::Outside,
            asked: false,
            message,
            payload,
            clock,
            seed,
        }))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use relive_storage::Lsn;
    use tokio::sync::oneshot;

    use super::*;
    use crate::actor::envelope::Waiter;

    fn delivery(rsn: u64, payload: &'static [u8]) -> Envelope {
        let (message, payload) = (Name::from_static("debit"), Bytes::from_static(payload));
        let mut envelope = Envelope::new(Sender::Outside, message, payload, Waiter::Nobody);
        envelope.delivery.rsn = Rsn::new(rsn);
        envelope
    }

    fn run(payloads: &[&[u8]]) -> Run {
        let (message, mut records) = (Name::from_static("credit"), Vec::new());
        for (at, payload) in payloads.iter().enumerate() {
            if at == 0 {
                Run::put_first(&mut records, &message, payload);
            } else {
                Run::put_next(&mut records, payload);
            }
        }
        Run::new(message, u32::try_from(payloads.len()).unwrap(), records.into())
    }

    fn context(first: u64) -> FrameContext {
        FrameContext { first: Lsn::new(first), clock: Timestamp::from_micros(first * 10), seed: first * 100 }
    }

    fn all(backlog: &mut Backlog) -> Vec<Delivery> {
        std::iter::from_fn(|| backlog.pop()).map(|envelope| envelope.delivery).collect()
    }

    /// Invariant: fifo. Runs and single deliveries come out in the order of their positions, each
    /// with its own payload.
    #[test]
    fn deliveries_come_out_in_the_order_in_which_they_came() {
        let mut backlog = Backlog::default();
        backlog.push(delivery(4, b"a"));
        backlog.push_run(Rsn::new(5), run(&[b"b", b"c", b""]));
        backlog.push(delivery(8, b"d"));
        assert_eq!((backlog.len(), backlog.is_empty()), (5, false));
        let all = all(&mut backlog);
        let found: Vec<_> = all.iter().map(|d| (d.rsn.get(), &*d.message, &*d.payload)).collect();
        let expected: [(u64, &str, &[u8]); 5] = [
            (4, "debit", b"a"),
            (5, "credit", b"b"),
            (6, "credit", b"c"),
            (7, "credit", b""),
            (8, "debit", b"d"),
        ];
        assert_eq!(found, expected);
        assert_eq!((backlog.len(), backlog.is_empty()), (0, true));
        assert!(backlog.pop().is_none());
    }

    /// A replay gives a delivery the clock and the seed that its block has for its position, so
    /// live it must get the same. What was logged before keeps what it had.
    #[test]
    fn each_delivery_gets_the_clock_and_seed_of_its_position() {
        let mut backlog = Backlog::default();
        backlog.push(delivery(1, b""));
        backlog.logged(1, context(30));
        backlog.push_run(Rsn::new(2), run(&[b"", b""]));
        backlog.push(delivery(4, b""));
        backlog.logged(2, context(70));
        backlog.logged(0, context(90));
        let found: Vec<_> = all(&mut backlog).iter().map(|d| (d.clock, d.seed)).collect();
        let of = |context: FrameContext, lsn| (context.clock, context.seed_at(Lsn::new(lsn)));
        let late = context(70);
        assert_eq!(found, [of(context(30), 30), of(late, 70), of(late, 71), of(late, 72)]);
    }

    /// A delivery that halted is tried again, ahead of what is left of its run, with its asker.
    #[test]
    fn what_is_put_back_is_the_next_again() {
        let mut backlog = Backlog::default();
        backlog.push_run(Rsn::new(1), run(&[b"a", b"b"]));
        assert!(backlog.first_sender().is_none(), "nothing was put back");
        let mut taken = backlog.pop().unwrap();
        taken.waiter = Waiter::Asker(oneshot::channel().0);
        backlog.put_back(taken);
        assert_eq!((backlog.len(), backlog.first_sender()), (2, Some(&Sender::Outside)));
        let again = backlog.pop().unwrap();
        assert!(again.has_asker());
        assert_eq!((again.delivery.rsn, &*again.delivery.payload), (Rsn::new(1), &b"a"[..]));
        assert_eq!(backlog.pop().map(|envelope| envelope.delivery.rsn), Some(Rsn::new(2)));
    }

    /// Tells have nobody who waits, so those who take waiters over skip their runs.
    #[test]
    fn only_single_deliveries_have_envelopes() {
        let mut backlog = Backlog::default();
        backlog.push(delivery(1, b""));
        backlog.push_run(Rsn::new(2), run(&[b"", b""]));
        backlog.push(delivery(4, b""));
        let rsns: Vec<_> = backlog.envelopes_mut().map(|envelope| envelope.delivery.rsn.get()).collect();
        assert_eq!(rsns, [1, 4]);
        assert_eq!(backlog.into_envelopes().map(|envelope| envelope.delivery.rsn.get()).sum::<u64>(), 5);
    }

    /// A gap would give a handler a message that a replay does not show it.
    #[test]
    #[should_panic = "follows in a backlog"]
    fn a_delivery_out_of_order_panics() {
        let mut backlog = Backlog::default();
        backlog.push_run(Rsn::new(1), run(&[b"", b""]));
        backlog.push(delivery(4, b""));
    }

    /// Only the delivery that was taken last goes back.
    #[test]
    #[should_panic = "is put back ahead of"]
    fn another_delivery_that_is_put_back_panics() {
        let mut backlog = Backlog::default();
        backlog.push(delivery(5, b""));
        backlog.put_back(delivery(3, b""));
    }
}
