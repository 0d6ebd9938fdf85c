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
    use std::time::Duration;

    use relive_replay::{Actor, Answer, Context, Discipline, Handle, KindBuilder, Message, Query};
    use relive_storage::{ActorId, CheckpointNumber, Store};
    use serde::{Deserialize, Serialize};
    use tokio::runtime::Handle as Tokio;

    use super::*;
    use crate::actor::cell::ActorCell;
    use crate::actor::quarantine::Quarantine;
    use crate::actor::table::Kinds;
    use crate::checkpoint::writer::{Checkpointer, CheckpointerParts};
    use crate::clock::{Clock, SystemClock};
    use crate::config::Config;
    use crate::harness::Harness;
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
    use crate::timers::due_times::DueTimes;
    use crate::timers::window::Window;

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

    /// Sets a timer that is due at once, and that deposits seven cents.
    #[derive(Serialize, Deserialize)]
    pub(crate) struct Remind;

    impl Message for Remind {
        const NAME: &'static str = "remind";
        type Reply = ();
    }

    impl Handle<Remind> for Account {
        async fn handle(&mut self, _: Remind, cx: &mut Context<'_>) {
            cx.timer("remind").after(Duration::ZERO).to_self::<Self>().send(Deposit(7)).unwrap();
        }
    }

    /// Takes deposits, and answers a query.
    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    pub(crate) struct Desk {
        pub(crate) cents: i64,
    }

    impl Actor for Desk {
        const KIND: &'static str = "desk";

        fn create(_: &str) -> Self {
            Self { cents: 0 }
        }
    }

    impl Handle<Deposit> for Desk {
        async fn handle(&mut self, Deposit(cents): Deposit, _: &mut Context<'_>) -> i64 {
            self.cents += cents;
            self.cents
        }
    }

    impl Handle<Fail> for Desk {
        async fn handle(&mut self, _: Fail, _: &mut Context<'_>) {
            self.cents = i64::MIN;
            panic!("told to");
        }
    }

    /// A desk that waits for its outputs alone.
    #[derive(Serialize, Deserialize)]
    pub(crate) struct Till {
        pub(crate) cents: i64,
    }

    impl Actor for Till {
        const KIND: &'static str = "till";

        fn create(_: &str) -> Self {
            Self { cents: 0 }
        }
    }

    impl Handle<Deposit> for Till {
        async fn handle(&mut self, Deposit(cents): Deposit, _: &mut Context<'_>) -> i64 {
            self.cents += cents;
            self.cents
        }
    }

    impl Answer<Cents> for Till {
        fn answer(&self, _: Cents) -> i64 {
            self.cents
        }
    }

    #[derive(Serialize, Deserialize)]
    pub(crate) struct Cents;

    impl Query for Cents {
        const NAME: &'static str = "cents";
        type Answer = i64;
    }

    impl Answer<Cents> for Desk {
        fn answer(&self, _: Cents) -> i64 {
            self.cents
        }
    }

    /// The budget of the log, which no test reaches by its messages.
    pub(crate) const LOG_BYTES: u64 = 1 << 40;

    /// A runtime on an empty store. To be called within tokio.
    pub(crate) fn core(store: Arc<dyn Store>) -> Arc<Core> {
        let extent = store.extent().unwrap();
        let kind = KindBuilder::<Account>::new().handles::<Deposit>().handles::<Pay>().handles::<Fail>();
        let kind = kind.handles::<Remind>().build();
        let desk = KindBuilder::<Desk>::new().handles::<Deposit>().handles::<Fail>().answers::<Cents>();
        let till = KindBuilder::<Till>::new().handles::<Deposit>().answers::<Cents>();
        let till = till.discipline(Discipline::BeforeOutput).build();
        let kinds = [kind.unwrap(), desk.build().unwrap(), till.unwrap()].map(|kind| (kind.name(), kind));
        let (counters, stop) = (Arc::new(Counters::default()), Arc::new(StopSignal::new()));
        let (steps, step_bytes, budget) = (VecDeque::new(), 1 << 20, LOG_BYTES);
        let (start, next, total, may_grow) = (extent.start, extent.acknowledged, 0, false);
        let range = RetainedRange { start, next, steps, total, step_bytes, budget, may_grow };
        let log_budget = Arc::new(LogBudget::new(range));
        let position = LogPosition { next: extent.acknowledged, epoch: extent.epoch.next() };
        let (log, counts, ends) = (Arc::clone(&log_budget), Arc::clone(&counters), Arc::clone(&stop));
        let (clock, harness): (Arc<dyn Clock>, _) = (Arc::new(SystemClock), Harness::default());
        let on = Arc::clone(&store);
        let committer =
            Committer::start(on, position, log, counts, ends, Arc::clone(&clock), harness.clone()).unwrap();
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
            harness: harness.clone(),
            last: CheckpointNumber::default(),
        };
        let services = Services {
            config: Config::default(),
            clock,
            store: StoreHandle::new(extent.store, store),
            committer,
            log_budget,
            checkpointer: Checkpointer::start(parts, &replayers).unwrap(),
            counters,
            quarantine: Quarantine::default(),
            stored,
            due_times: DueTimes::new(Window::default()),
            replayers,
            harness,
            tokio: Tokio::current(),
        };
        let pin_index = Arc::new(PinIndex::new(PassivePins::default()));
        let actors =
            ActorTable::new(Kinds::from(kinds), pin_index, Arc::clone(services.log_budget.backpressure()));
        Arc::new(Core { actors, lifecycle: Lifecycle::new(stop), services })
    }

    pub(crate) fn desk(core: &Core, key: &str) -> Arc<ActorCell> {
        core.actors.get_or_insert(&ActorId::new(Desk::KIND, key).unwrap()).unwrap()
    }

    pub(crate) fn till(core: &Core, key: &str) -> Arc<ActorCell> {
        core.actors.get_or_insert(&ActorId::new(Till::KIND, key).unwrap()).unwrap()
    }

    pub(crate) fn account(core: &Core, key: &str) -> Arc<ActorCell> {
        core.actors.get_or_insert(&ActorId::new(Account::KIND, key).unwrap()).unwrap()
    }
}
