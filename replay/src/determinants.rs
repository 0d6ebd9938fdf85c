//! Where a handler's events come from, and who learns what a delivery did: the one difference
//! between live and replay.
//!
//! # Source
//! The term determinant: Alvisi and Marzullo, *Message Logging: Pessimistic, Optimistic, Causal,
//! and Optimal*, IEEE Transactions on Software Engineering 24(2), 1998.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use relive_storage::record::{Event, EventKind};
use relive_storage::{Rsn, Timestamp};

use crate::waits::Wait;
use crate::{Divergence, Outgoing};

/// The future of [`Determinants::log`]: the clock of the event's block.
pub type Logging<'a> = Pin<Box<dyn Future<Output = Result<Timestamp, NoOutcome>> + Send + 'a>>;

/// What the records say about a handler that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The event that it learned next in the original run: nothing may happen again.
    Event(Event),
    /// There is no record: something happens now.
    Nothing,
    /// Nothing is on record, and nothing may happen now: the original run ended here, or the log
    /// takes nothing more.
    End,
}

/// An event did not come into the log, so that the handler must not go on: the log takes
/// nothing more. Says nothing of the actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoOutcome;

/// Something that happens now: the end of a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// The index of the wait.
    pub index: u32,
    /// What it was.
    pub kind: EventKind,
    /// What came of it.
    pub outcome: Bytes,
}

/// Where events come from.
pub trait Determinants: Send {
    /// Takes the next event of the delivery at `rsn` off the records. The handler waits for
    /// `waits`.
    ///
    /// # Errors
    /// [`Divergence`] when the original run has not waited any more.
    fn recorded(&mut self, rsn: Rsn, waits: &[Wait]) -> Result<Recorded, Divergence>;

    /// The handler waits for what happens now, so all determinants before are in the log: these
    /// messages leave the actor, unless they have left before. They are all that the delivery has
    /// sent up to its last request.
    fn release(&mut self, sends: &[Outgoing]);

    /// Waits for the next thing that happens to one of these waits, other than the end of a side
    /// effect, which the step sees itself.
    fn poll_happened(&mut self, waits: &[Wait], task: &mut Context<'_>) -> Poll<Happened>;

    /// A side effect is to begin or to go on. Ready when everything that the handler has received
    /// and learned is on stable storage: the outside may learn of it then.
    ///
    /// # Errors
    /// [`NoOutcome`] when it will never be.
    fn poll_stable(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoOutcome>> {
        Poll::Ready(Ok(()))
    }

    /// Logs an event that has just happened. The future is ready when the handler may continue:
    /// when the event is on stable storage, or, under [`BeforeOutput`](crate::Discipline), when it
    /// has its position in the log.
    ///
    /// # Cancel safety
    /// When you drop the future, the event may or may not be in the log.
    fn log(&mut self, event: Event) -> Logging<'_>;

    /// Whether a caller outside waits for the reply. A replay has no caller, so it does not even
    /// encode the reply.
    fn wants_reply(&self) -> bool {
        false
    }

    /// Whether to check what users' code does: that values survive their codec, and that a handler
    /// awaits nothing foreign. Live only: a replay does not judge a handled delivery again.
    fn checks(&self) -> bool {
        false
    }

    /// Learns that the delivery at `rsn` is done, with the digest of its effects.
    ///
    /// # Errors
    /// [`Divergence`] when the original run did something else.
    fn finish(&mut self, rsn: Rsn, digest: Option<u64>) -> Result<(), Divergence>;
}
