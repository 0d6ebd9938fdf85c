//! Which actors may have a checkpoint. All others certainly have none, and need no look into the
//! store.

use std::collections::HashSet;
use std::sync::Arc;

use relive_storage::ActorId;

use crate::retention::actor_index::{ActorIndex, Hash};
use crate::sync::{Mutex, MutexGuard, Rank};

/// The actors that may have a checkpoint.
pub(crate) struct CheckpointedActors {
    /// Those of the opening.
    found: Arc<ActorIndex>,
    /// Those that were checkpointed since.
    added: Mutex<HashSet<Hash>>,
}

impl CheckpointedActors {
    /// The actors that had one at open.
    pub(crate) fn new(found: Arc<ActorIndex>) -> Self {
        Self { found, added: Mutex::new(Rank::Checkpointed, HashSet::new()) }
    }

    /// An actor is about to have a checkpoint.
    pub(crate) fn add(&self, actor: &ActorId) {
        // Most checkpoints are of actors that the opening listed, and take no memory here.
        if self.found.find(actor.as_str()).is_none() {
            self.added().insert(self.found.hash(actor.as_str()));
        }
    }

    /// Whether an actor may have a checkpoint. `false` is certain.
    pub(crate) fn may_have(&self, actor: &ActorId) -> bool {
        let actor = actor.as_str();
        self.found.find(actor).is_some() || self.added().contains(&self.found.hash(actor))
    }

    fn added(&self) -> MutexGuard<'_, HashSet<Hash>> {
        self.added.lock()
    }
}

#[cfg(test)]
mod tests {
    use relive_storage::Rsn;

    use super::*;
    use crate::retention::actor_index::ActorIndexBuilder;

    fn id(key: u32) -> ActorId {
        ActorId::new("account", &key.to_string()).unwrap()
    }

    #[test]
    fn every_actor_that_has_a_checkpoint_is_known() {
        let mut listing = ActorIndexBuilder::default();
        (0..1000).for_each(|key| listing.push(&id(key), Rsn::new(1)));
        let stored = CheckpointedActors::new(Arc::new(ActorIndex::list(listing, |_| ()).0));
        stored.add(&id(1001));
        assert!((0..1000).chain([1001]).all(|key| stored.may_have(&id(key))));
        assert!(!stored.may_have(&id(1000)));
    }
}
