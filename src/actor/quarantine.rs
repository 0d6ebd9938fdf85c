//! The deliveries in quarantine, as the owner of the runtime sees them. They stand beside the
//! actors, which may be busy or passive. Decides nothing; the actors' own records say what is in
//! quarantine.

use std::collections::BTreeMap;
use std::sync::Arc;

use relive_replay::{Instance, Quarantined};
use relive_storage::{ActorId, Rsn};

use crate::sync::{Mutex, MutexGuard, Rank};

/// What is in quarantine now.
pub(crate) struct Quarantine(Mutex<BTreeMap<(ActorId, Rsn), Arc<Quarantined>>>);

impl Default for Quarantine {
    fn default() -> Self {
        Self(Mutex::new(Rank::Quarantine, BTreeMap::new()))
    }
}

impl Quarantine {
    /// Adds what a restored actor has in quarantine.
    pub(crate) fn add_all(&self, instance: &Instance) {
        for entry in instance.quarantined() {
            self.add(Arc::new(entry.clone()));
        }
    }

    pub(crate) fn add(&self, entry: Arc<Quarantined>) {
        self.entries().insert((entry.actor.clone(), entry.rsn), entry);
    }

    pub(crate) fn remove(&self, actor: &ActorId, rsn: Rsn) {
        self.entries().remove(&(actor.clone(), rsn));
    }

    pub(crate) fn get(&self, actor: &ActorId, rsn: Rsn) -> Option<Arc<Quarantined>> {
        self.entries().get(&(actor.clone(), rsn)).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Quarantined>> {
        self.entries().values().cloned().collect()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<(ActorId, Rsn), Arc<Quarantined>>> {
        self.0.lock()
    }
}
