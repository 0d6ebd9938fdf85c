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
    pub(crate) fn push(&mut self, envelope: Envelope) {
        self.entries.push_back(Entry::One(envelope));
        self.deliveries += 1;
    }

    /// Adds the deliveries of a run after the last; the first has the position `next`.
    pub(crate) fn push_run(&mut self, next: Rsn, run: Run) {
        self.deliveries += run.deliveries() as usize;
        let context = FrameContext { first: Default::default(), clock: Timestamp::default(), seed: 0 };
        self.entries.push_back(Entry::Run(LoggedRun { run, next, context }));
    }

    /// Puts the delivery back that was taken last.
    pub(crate) fn put_back(&mut self, envelope: Envelope) {
        self.entries.push_front(Entry::One(envelope));
        self.deliveries += 1;
    }

    /// Gives the deliveries of the last `pushes` pushes the clock and the seeds of their block.
    pub(crate) fn logged(&mut self, pushes: usize, mut context: FrameContext) {
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
        self.deliveries -= 1;
        if let Entry::Run(logged) = front
            && logged.run.deliveries() > 1
        {
            return logged.pop();
        }
        match self.entries.pop_front()? {
            Entry::One(envelope) => Some(envelope),
            Entry::Run(mut logged) => logged.pop(),
        }
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

impl LoggedRun {
    fn pop(&mut self) -> Option<Envelope> {
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
