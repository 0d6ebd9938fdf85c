//! The second half of the interface of a backend: the checkpoints. The calls block. The
//! checkpointer calls them from its own thread, except for reads.

use crate::contract::error::StoreError;
use crate::format::checkpoint::{Checkpoint, CheckpointHeader};
use crate::id::actor_id::ActorId;
use std::ops::ControlFlow;

/// The checkpoints of a store: the newest two of each actor.
pub trait CheckpointStore: Send + Sync {
    /// Writes checkpoints, each as the newest of its actor, syncs all of them with one sync as far
    /// as the tier promises, reads them back and compares. The newest so far becomes the previous
    /// one, and the previous one no longer counts. It writes in steps, and appends to the log pass
    /// between them.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], after which nothing changed; [`StoreError::Misuse`] when their
    /// numbers do not rise from above the highest of the store, or an actor has two among them,
    /// after which nothing changed either; [`StoreError::CorruptCheckpoint`] when it did not read
    /// back as written; the medium's.
    fn put(&self, checkpoints: &[Checkpoint]) -> Result<(), StoreError>;

    /// The newest or the previous checkpoint of an actor; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::CorruptCheckpoint`] when it is there but not whole; the medium's.
    fn get(&self, actor: &ActorId, generation: Generation) -> Result<Option<Checkpoint>, StoreError>;

    /// Shows the header of the newest checkpoint of every actor, in no particular order, and then
    /// checks that none is missing. When the visitor breaks, the listing ends without that check.
    /// Puts and cuts may wait for the end of a listing, so `visit` must not call them.
    ///
    /// # Errors
    /// [`StoreError::CorruptStore`] when entries are damaged or missing; the medium's.
    fn list(&self, visit: &mut dyn FnMut(CheckpointHeader) -> ControlFlow<()>) -> Result<(), StoreError>;
}

/// Which of the two checkpoints kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Generation {
    /// The newest.
    Newest,
    /// The one before it, the fallback.
    Previous,
}

/// A backend: both halves over the same medium.
pub trait Store: crate::contract::log::Log + CheckpointStore {}

impl<T: crate::contract::log::Log + CheckpointStore> Store for T {}
