//! Where the outcomes of nondeterministic events come from, and who is told what a delivery did: the one difference
//! between live and replay.

use std::pin::Pin;

use bytes::Bytes;
use relive_storage::record::Event;
use relive_storage::{ActorId, Rsn};

use crate::Halt;

/// A future that a [`Determinants`] hands out.
pub type Stable<'a> = Pin<Box<dyn Future<Output = Result<(), Halt>> + Send + 'a>>;

/// What is on record for an event that a handler is about to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It happened in the original run, with this encoded outcome: it must not happen again.
    Outcome(Bytes),
    /// It is not on record: it is to happen now.
    Nothing,
}

/// Where outcomes come from.
pub trait Determinants: Send {
    /// Looks up the `index`-th event of the delivery at `rsn`.
    ///
    /// # Errors
    /// [`Halt::Divergence`] when another event is on record there; [`Halt::EndOfTape`] when nothing may happen now.
    fn recorded(&mut self, actor: &ActorId, rsn: Rsn, index: u32, name: &str) -> Result<Recorded, Halt>;

    /// Logs an event that has just happened; ready when it is on stable storage, and only then the handler goes on.
    fn stabilize(&mut self, actor: &ActorId, event: Event) -> Stable<'_>;

    /// Whether somebody waits for the reply. A replay has nobody to give it to, so that a reply is not even encoded then.
    fn wants_reply(&self) -> bool {
        false
    }

    /// Whether values are to be checked to survive their codec. Live only: what was handled once is not judged again.
    fn checks_values(&self) -> bool {
        false
    }

    /// Is told that the delivery at `rsn` is done, with so many events and this digest of its effects.
    ///
    /// # Errors
    /// [`Halt::Divergence`] when the original run did something else.
    fn finish(&mut self, actor: &ActorId, rsn: Rsn, events: u32, digest: Option<u64>) -> Result<(), Halt>;
}
