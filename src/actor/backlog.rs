//! The deliveries that an actor has received and not handled yet, in order. Tells stay encoded
//! until their turn.

use std::collections::VecDeque;

use relive_storage::frame::FrameContext;
use relive_storage::record::{Delivery, Sender};
use relive_storage::{Rsn, Run, Timestamp};

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

    /// The same, to be changed.
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
