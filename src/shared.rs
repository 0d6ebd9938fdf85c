//! One runtime in its three parts: its actors, its life, and its services. It has no methods of its
//! own, so that each use names the part that it needs.

use crate::actor::table::ActorTable;
use crate::lifecycle::{Lifecycle, Lives};
use crate::services::Services;

/// One runtime, as its turns, callers and owner share it.
pub(crate) struct Core {
    pub(crate) actors: ActorTable,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) services: Services,
}

impl Lives for Core {
    fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }
}

/// A runtime without an owner and without maintenance, for tests of what runs in one.
#[cfg(test)]
pub(crate) mod testing {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use relive_replay::{Actor, Context, Handle, KindBuilder, Message};
    use relive_storage::{ActorId, CheckpointNumber, Store};
    use serde::{Deserialize, Serialize};
    use tokio::runtime::Handle as Tokio;

    use super::*;
    use crate::actor::cell::ActorCell;
    use crate::actor::quarantine::Quarantine;
    use crate::actor::table::Kinds;
    use crate::checkpoint::writer::{Checkpointer, CheckpointerParts};
    use crate::config::Config;
    use crate::log::budget::{LogBudget, RetainedRange};
    use crate::log::committer::{Committer, LogPosition};
    use crate::replayers::Replayers;
    use crate::retention::actor_index::{ActorIndex, ActorIndexBuilder};
    use crate::retention::checkpointed::CheckpointedActors;
    use crate::retention::passive_pins::PassivePins;
    use crate::retention::pin_index::PinIndex;
    use crate::services::StoreHandle;
    use crate::stats::Counters;
    use crate::stop_signal::StopSignal;

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    pub(crate) struct Account {
        pub(crate) cents: i64,
    }

    impl Actor for Account {
        const KIND: &'static str = "account";

        fn create(_: &str) -> Self {
            Self { cents: 0 }
        }
    }

    #[derive(Serialize, Deserialize)]
    pub(crate) struct Deposit(pub(crate) i64);

    impl Message for Deposit {
        const NAME: &'static str = "deposit";
        type Reply = i64;
    }

    impl Handle<Deposit> for Account {
        async fn handle(&mut self, Deposit(cents): Deposit, _: &mut Context<'_>) -> i64 {
            self.cents += cents;
            self.cents
        }
    }

    /// Sends one cent to another account.
    #[derive(Serialize, Deserialize)]
    pub(crate) struct Pay(pub(crate) String);

    impl Message for Pay {
        const NAME: &'static str = "pay";
        type Reply = ();
    }

    impl Handle<Pay> for Account {
        async fn handle(&mut self, Pay(to): Pay, cx: &mut Context<'_>) {
            self.cents -= 1;
            cx.to::<Self>(&to).send(Deposit(1)).unwrap();
        }
    }

    /// Panics, after a change of the state.
    #[derive(Serialize, Deserialize)]
    pub(crate) struct Fail;

    impl Message for Fail {
        const NAME: &'static str = "fail";
        type Reply = ();
    }

    impl Handle<Fail> for Account {
        async fn handle(&mut self, _: Fail, _: &mut Context<'_>) {
            self.cents = i64::MIN;
            panic!("told to");
        }
    }

    /// The budget of the log, which no test reaches by its messages.
    pub(crate) const LOG_BYTES: u64 = 1 << 40;

    /// A runtime on an empty store. To be called within tokio.
    pub(crate) fn core(store: Arc<dyn Store>) -> Arc<Core> {
        let extent = store.extent().unwrap();
        let kind =
            KindBuilder::<Account>::new().handles::<Deposit>().handles::<Pay>().handles::<Fail>().build();
        let kind = kind.unwrap();
        let (counters, stop) = (Arc::new(Counters::default()), Arc::new(StopSignal::new()));
        let (steps, step_bytes, budget) = (VecDeque::new(), 1 << 20, LOG_BYTES);
        let (start, next, total, may_grow) = (extent.start, extent.acknowledged, 0, false);
        let range = RetainedRange { start, next, steps, total, step_bytes, budget, may_grow };
        let log_budget = Arc::new(LogBudget::new(range));
        let position = LogPosition { next: extent.acknowledged, epoch: extent.epoch.next() };
        let (log, counts, ends) = (Arc::clone(&log_budget), Arc::clone(&counters), Arc::clone(&stop));
        let committer = Committer::start(Arc::clone(&store), position, log, counts, ends).unwrap();
        let (committer, replayers) = (Arc::new(committer), Replayers::new(1, 4 << 20));
        let (names, _) = ActorIndex::list(ActorIndexBuilder::default(), |_| ());
        let stored = Arc::new(CheckpointedActors::new(Arc::new(names)));
        let parts = CheckpointerParts {
            store: Arc::clone(&store),
            committer: Arc::clone(&committer),
            log_budget: Arc::clone(&log_budget),
            counters: Arc::clone(&counters),
            stored: Arc::clone(&stored),
            stop: Arc::clone(&stop),
            last: CheckpointNumber::default(),
        };
        let services = Services {
            config: Config::default(),
            store: StoreHandle::new(extent.store, store),
            committer,
            log_budget,
            checkpointer: Checkpointer::start(parts, &replayers).unwrap(),
            counters,
            quarantine: Quarantine::default(),
            stored,
            replayers,
            tokio: Tokio::current(),
        };
        let pin_index = Arc::new(PinIndex::new(PassivePins::default()));
        let kinds = Kinds::from([(kind.name(), kind)]);
        let actors = ActorTable::new(kinds, pin_index, Arc::clone(services.log_budget.backpressure()));
        Arc::new(Core { actors, lifecycle: Lifecycle::new(stop), services })
    }

    pub(crate) fn account(core: &Core, key: &str) -> Arc<ActorCell> {
        core.actors.get_or_insert(&ActorId::new(Account::KIND, key).unwrap()).unwrap()
    }
}
