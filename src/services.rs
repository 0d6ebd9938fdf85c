//! The services that the parts of a runtime share: the store, the log, checkpoints, counters, the
//! settings. This file holds them and decides nothing.

use std::sync::{Arc, PoisonError, RwLock};

use relive_storage::{Lsn, Store, StoreId};
use tokio::runtime::Handle;

use crate::actor::quarantine::Quarantine;
use crate::checkpoint::writer::Checkpointer;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::Ended;
use crate::harness::Harness;
use crate::log::budget::LogBudget;
use crate::log::committer::Committer;
use crate::replayers::Replayers;
use crate::retention::checkpointed::CheckpointedActors;
use crate::stats::Counters;
use crate::timers::due_times::DueTimes;

/// The services that the parts of a runtime share.
pub(crate) struct Services {
    pub(crate) config: Config,
    /// What time it is for handlers.
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: StoreHandle,
    pub(crate) committer: Arc<Committer>,
    pub(crate) log_budget: Arc<LogBudget>,
    pub(crate) checkpointer: Checkpointer,
    pub(crate) counters: Arc<Counters>,
    pub(crate) quarantine: Quarantine,
    pub(crate) stored: Arc<CheckpointedActors>,
    pub(crate) due_times: DueTimes,
    pub(crate) replayers: Replayers,
    /// What a test kit has in the runtime.
    pub(crate) harness: Harness,
    pub(crate) tokio: Handle,
}

impl Services {
    /// Gives the store up, and ends the threads: what is not on stable storage is lost. Waits for
    /// the committer thread alone.
    pub(crate) fn abandon(&self) {
        drop(self.store.release());
        self.checkpointer.abandon();
        self.committer.abandon();
    }

    /// Where the log ends.
    pub(crate) fn end_of_log(&self) -> Lsn {
        self.committer.end()
    }
}

/// The store, until the runtime shuts down. References to actors share this handle, so one that a
/// program forgets does not keep the store open.
pub(crate) struct StoreHandle {
    id: StoreId,
    store: RwLock<Option<Arc<dyn Store>>>,
}

impl StoreHandle {
    pub(crate) fn new(id: StoreId, store: Arc<dyn Store>) -> Self {
        Self { id, store: RwLock::new(Some(store)) }
    }

    pub(crate) fn id(&self) -> StoreId {
        self.id
    }

    /// The store, until `release` has given it up.
    pub(crate) fn get(&self) -> Result<Arc<dyn Store>, Ended> {
        self.store.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Ended::Stopped)
    }

    /// Gives the store up: `get` fails from now on.
    pub(crate) fn release(&self) -> Option<Arc<dyn Store>> {
        self.store.write().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use relive_storage::MemoryStore;

    use super::*;

    #[test]
    fn a_store_that_was_given_up_is_kept_by_nobody() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let handle = StoreHandle::new(store.extent().unwrap().store, Arc::clone(&store));
        assert_eq!(handle.id(), store.extent().unwrap().store);
        assert!(Arc::ptr_eq(&handle.get().unwrap(), &store));
        assert_eq!(Arc::strong_count(&store), 2);
        assert!(handle.release().is_some());
        assert!(matches!(handle.get(), Err(Ended::Stopped)));
        assert!(handle.release().is_none());
        assert_eq!(Arc::strong_count(&store), 1);
    }
}
