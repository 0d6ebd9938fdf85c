//! Where the outcomes of nondeterministic events come from, and who learns what a delivery did: the
//! one difference between live and replay.
//!
//! # Source
//! The term determinant: Alvisi and Marzullo, *Message Logging: Pessimistic, Optimistic, Causal,
//! and Optimal*, IEEE Transactions on Software Engineering 24(2), 1998.

use std::pin::Pin;

use bytes::Bytes;
use relive_storage::Rsn;
use relive_storage::record::Event;

use crate::Divergence;

/// The future of [`Determinants::make_durable`].
pub type UntilDurable<'a> = Pin<Box<dyn Future<Output = Result<(), NoOutcome>> + Send + 'a>>;

/// The record of an event that a handler is about to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It happened in the original run, with this encoded outcome: it must not happen again.
    Outcome(Bytes),
    /// There is no record: the event happens now.
    Nothing,
    /// It is not on record, and nothing may happen now: the original run ended here, or the log
    /// takes nothing more.
    End,
}

/// The outcome of an event did not come to stable storage, so that the handler must not go on: the
/// log takes nothing more. Says nothing of the actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoOutcome;

/// Where outcomes come from.
pub trait Determinants: Send {
    /// Looks up the `index`-th event of the delivery at `rsn`.
    ///
    /// # Errors
    /// [`Divergence`] when another event is on record there.
    fn recorded(&mut self, rsn: Rsn, index: u32, name: &str) -> Result<Recorded, Divergence>;

    /// Logs an event that has just happened. The future is ready when the event is on stable
    /// storage; only then does the handler continue.
    ///
    /// # Cancel safety
    /// When you drop the future, the event may or may not be in the log.
    fn make_durable(&mut self, event: Event) -> UntilDurable<'_>;

    /// Whether a caller waits for the reply. A replay has no caller, so it does not even encode the
    /// reply.
    fn wants_reply(&self) -> bool {
        false
    }

    /// Whether to check that values survive their codec. Live only: a replay does not judge a
    /// handled delivery again.
    fn checks_values(&self) -> bool {
        false
    }

    /// Learns that the delivery at `rsn` is done, with its number of events and the digest of its
    /// effects.
    ///
    /// # Errors
    /// [`Divergence`] when the original run did something else.
    fn finish(&mut self, rsn: Rsn, events: u32, digest: Option<u64>) -> Result<(), Divergence>;
}
