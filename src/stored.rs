//! Which actors have a checkpoint, and where it ends, without their names: what an opening must hold of millions of
//! passive actors, in a few bytes each.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use relive_storage::{ActorId, Rsn};

/// The last deliveries that the newest checkpoints contain, by actor.
///
/// An actor is known by 128 bits of two hashes (`SipHash`) under keys that are drawn for each opening: that two of a million
/// have the same ones has a probability of 10^-27, and nobody who does not know the keys can bring it about.
#[derive(Default)]
pub(crate) struct Floors {
    keys: [RandomState; 2],
    /// In order once all are there.
    floors: Vec<([u64; 2], Rsn)>,
}

impl Floors {
    pub(crate) fn push(&mut self, actor: &ActorId, floor: Rsn) {
        self.floors.push((self.hash(actor), floor));
    }

    /// All are there.
    pub(crate) fn complete(&mut self) {
        self.floors.sort_unstable();
        self.floors.shrink_to_fit();
    }

    /// Where the newest checkpoint of an actor ends; `None` when it has none.
    pub(crate) fn get(&self, actor: &ActorId) -> Option<Rsn> {
        let hash = self.hash(actor);
        let at = self.floors.binary_search_by_key(&hash, |(hash, _)| *hash).ok()?;
        Some(self.floors[at].1)
    }

    fn hash(&self, actor: &ActorId) -> [u64; 2] {
        let [first, second] = &self.keys;
        [first.hash_one(actor), second.hash_one(actor)]
    }
}

/// The actors that may have a checkpoint: all others certainly have none, and need not be looked up. Of each no more
/// than half of its bits is kept, since a doubt costs a look and nothing else.
#[derive(Default)]
pub(crate) struct Stored {
    key: RandomState,
    /// Those of the opening, in order.
    found: Vec<u64>,
    /// Those that were checkpointed since.
    added: Mutex<HashSet<u64>>,
}

impl From<Floors> for Stored {
    fn from(floors: Floors) -> Self {
        let Floors { keys: [key, _], floors } = floors;
        let found = floors.into_iter().map(|([first, _], _)| first).collect();
        Self { key, found, added: Mutex::default() }
    }
}

impl Stored {
    /// An actor is about to have a checkpoint.
    pub(crate) fn add(&self, actor: &ActorId) {
        let hash = self.key.hash_one(actor);
        if self.found.binary_search(&hash).is_err() {
            self.added().insert(hash);
        }
    }

    /// Whether an actor may have a checkpoint. `false` is certain.
    pub(crate) fn may_have(&self, actor: &ActorId) -> bool {
        let hash = self.key.hash_one(actor);
        self.found.binary_search(&hash).is_ok() || self.added().contains(&hash)
    }

    fn added(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.added.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(key: u32) -> ActorId {
        ActorId::new("account", &key.to_string()).unwrap()
    }

    #[test]
    fn every_actor_that_has_a_checkpoint_is_known() {
        let mut floors = Floors::default();
        for key in 0..1000 {
            floors.push(&id(key), Rsn::new(u64::from(key) + 1));
        }
        floors.complete();
        for key in 0..1000 {
            assert_eq!(floors.get(&id(key)), Some(Rsn::new(u64::from(key) + 1)));
        }
        assert_eq!(floors.get(&id(1000)), None);
        let stored = Stored::from(floors);
        stored.add(&id(1001));
        assert!((0..1000).chain([1001]).all(|key| stored.may_have(&id(key))));
        assert!(!stored.may_have(&id(1000)));
    }
}
