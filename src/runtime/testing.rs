//! For unit tests: a runtime in memory without its maintenance, so that a test makes each step.

use std::sync::Arc;

use relive_storage::{Lsn, MemoryStore, Store};

use crate::actor::cell::ActorCell;
use crate::client::actor_ref::ActorRef;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::harness::Harness;
use crate::recovery::analysis::analyze;
use crate::recovery::testing::{Account, id, kinds};
use crate::replayers::Replayers;
use crate::runtime::builder::start;
use crate::shared::Core;

/// A runtime over an empty store.
pub(crate) fn runtime(config: Config) -> (Arc<Core>, MemoryStore) {
    runtime_on(MemoryStore::new(), config)
}

/// A runtime over a store, before it has restored anything.
pub(crate) fn runtime_on(store: MemoryStore, config: Config) -> (Arc<Core>, MemoryStore) {
    (runtime_over(Arc::new(store.clone()), config), store)
}

/// As [`runtime_on`], over any store.
pub(crate) fn runtime_over(shared: Arc<dyn Store>, config: Config) -> Arc<Core> {
    let mut analysis = analyze(&*shared, &kinds(), &|_| ()).unwrap_or_else(|error| panic!("{error}"));
    let replayers = Replayers::new(1, 8 << 20);
    let core =
        start(config, Arc::new(SystemClock), kinds(), shared, &mut analysis, replayers, Harness::default());
    Arc::new(core.unwrap_or_else(|error| panic!("{error}")))
}

/// An account, as callers hold it.
pub(crate) fn account(core: &Arc<Core>, key: &str) -> ActorRef<Account> {
    ActorRef::new(Arc::clone(core), cell(core, key))
}

/// The cell of an account.
pub(crate) fn cell(core: &Arc<Core>, key: &str) -> Arc<ActorCell> {
    core.actors.get_or_insert(&id(key)).expect("its kind is registered")
}

/// Waits until each actor rests, and each checkpoint that was taken is written.
pub(crate) async fn at_rest(core: &Arc<Core>) {
    core.lifecycle.quiet().await;
    // The checkpointer does its jobs in their order, and this one cuts nothing.
    core.services.checkpointer.cut(Lsn::FIRST).await.expect("the store is whole");
}
