//! What all parts of one runtime share. Holds, decides nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use dashmap::DashMap;
use relive_replay::Kind;
use relive_storage::record::Sender;
use relive_storage::{ActorId, Ssn, Store, StoreError, StoreId};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::checkpointer::Checkpointer;
use crate::committer::Committer;
use crate::config::Config;
use crate::error::Refused;
use crate::limits::MAINTENANCE_INTERVAL;
use crate::needs::Needs;
use crate::quarantine::Quarantine;
use crate::replayers::Replayers;
use crate::slot::Slot;
use crate::stats::Counters;
use crate::stop::Stop;
use crate::stored::Stored;
use crate::timer::sleep;

/// The registered actor types, by name.
pub(crate) type Kinds = BTreeMap<&'static str, Arc<dyn Kind>>;

/// What all parts of one runtime share.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) kinds: Kinds,
    pub(crate) store_id: StoreId,
    pub(crate) slots: DashMap<ActorId, Arc<Slot>>,
    pub(crate) committer: Arc<Committer>,
    pub(crate) checkpointer: Checkpointer,
    pub(crate) counters: Arc<Counters>,
    pub(crate) quarantine: Quarantine,
    pub(crate) needs: Arc<Needs>,
    pub(crate) stored: Arc<Stored>,
    pub(crate) replayers: Replayers,
    /// The last message that each actor owed each receiver when the store was opened: sent in a life before.
    pub(crate) found_owed: OnceLock<BTreeMap<(ActorId, ActorId), Ssn>>,
    pub(crate) tokio: Handle,
    /// Gone once the runtime is shut down, so that forgotten references do not keep the store open.
    store: RwLock<Option<Arc<dyn Store>>>,
    closing: AtomicBool,
    keeps_sends: AtomicBool,
    stop: Arc<Stop>,
    turns: AtomicUsize,
    indebted: AtomicUsize,
    turns_over: Notify,
    tick: AtomicU64,
}

impl Core {
    #[expect(clippy::too_many_arguments, reason = "called once, from open, with what open has made")]
    pub(crate) fn new(
        config: Config,
        kinds: Kinds,
        store: Arc<dyn Store>,
        store_id: StoreId,
        committer: Arc<Committer>,
        checkpointer: Checkpointer,
        counters: Arc<Counters>,
        stored: Arc<Stored>,
        needs: Arc<Needs>,
        stop: Arc<Stop>,
        replayers: Replayers,
    ) -> Self {
        Self {
            config,
            kinds,
            store_id,
            slots: DashMap::new(),
            committer,
            checkpointer,
            counters,
            quarantine: Quarantine::default(),
            needs,
            stored,
            replayers,
            found_owed: OnceLock::new(),
            tokio: Handle::current(),
            store: RwLock::new(Some(store)),
            closing: AtomicBool::new(false),
            keeps_sends: AtomicBool::new(false),
            stop,
            turns: AtomicUsize::new(0),
            indebted: AtomicUsize::new(0),
            turns_over: Notify::new(),
            tick: AtomicU64::new(0),
        }
    }

    /// The slot of an actor, made when it is the first time; `None` when its kind is not registered.
    pub(crate) fn slot(&self, id: &ActorId) -> Option<Arc<Slot>> {
        if let Some(slot) = self.slots.get(id) {
            return Some(Arc::clone(&slot));
        }
        let kind = self.kinds.get(id.kind())?;
        let slot = self.slots.entry(id.clone());
        Some(Arc::clone(
            &slot.or_insert_with(|| {
                Arc::new(Slot::new(id.clone(), Arc::clone(kind), Arc::clone(&self.needs)))
            }),
        ))
    }

    /// Whether a message was sent in a life before, and owed when the store was opened.
    pub(crate) fn was_found(&self, receiver: &ActorId, sender: &Sender) -> bool {
        let Sender::Actor { id, ssn } = sender else { return false };
        let found = self.found_owed.get().filter(|found| !found.is_empty());
        found.is_some_and(|found| found.get(&(id.clone(), receiver.clone())).is_some_and(|last| ssn <= last))
    }

    /// All slots as they are now.
    pub(crate) fn all_slots(&self) -> Vec<Arc<Slot>> {
        self.slots.iter().map(|entry| Arc::clone(entry.value())).collect()
    }

    /// The store, until the runtime is shut down.
    pub(crate) fn store(&self) -> Result<Arc<dyn Store>, Refused> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        store.clone().ok_or(Refused::Stopped)
    }

    /// Gives the store up.
    pub(crate) fn release_store(&self) -> Option<Arc<dyn Store>> {
        self.store.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes nothing more from outside.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// What actors send stays owed from now on, and goes out after the next opening: so that actors that keep each other
    /// busy come to an end.
    pub(crate) fn keep_sends(&self) {
        self.keeps_sends.store(true, Ordering::Release);
    }

    pub(crate) fn keeps_sends(&self) -> bool {
        self.keeps_sends.load(Ordering::Acquire)
    }

    /// Whether messages from outside are taken, and why not.
    pub(crate) fn intake(&self) -> Result<(), Refused> {
        match self.stop_reason() {
            Some(reason) => Err(reason),
            None if self.closing.load(Ordering::Acquire) => Err(Refused::Stopped),
            None => Ok(()),
        }
    }

    /// Ends everything at once: what is not on stable storage is given up.
    pub(crate) fn stop(&self, reason: Refused) {
        self.close();
        self.stop.set(reason);
    }

    /// The store has failed.
    pub(crate) fn fail(&self, error: Arc<StoreError>) {
        self.stop(Refused::Failed(error));
    }

    /// Why everything has ended, if it has.
    pub(crate) fn stop_reason(&self) -> Option<Refused> {
        self.stop.reason()
    }

    /// Waits until everything has ended.
    pub(crate) async fn stopped(&self) -> Refused {
        self.stop.wait().await
    }

    /// Waits for `future`, but not past the end of everything.
    ///
    /// # Cancel safety
    /// As `future`.
    pub(crate) async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Result<T, Refused> {
        tokio::select! {
            biased;
            value = future => Ok(value),
            reason = self.stopped() => Err(reason),
        }
    }

    pub(crate) fn turn_begins(self: &Arc<Self>) -> TurnGuard {
        self.turns.fetch_add(1, Ordering::AcqRel);
        TurnGuard(Arc::clone(self))
    }

    /// Waits until no turn is under way.
    pub(crate) async fn quiet(&self) {
        loop {
            let over = self.turns_over.notified();
            if self.turns.load(Ordering::Acquire) == 0 {
                return;
            }
            over.await;
        }
    }

    /// Waits until no turn is under way but those that can't go on: they owe too much to actors that take nothing, and
    /// for a whole interval nothing was logged.
    pub(crate) async fn drained(&self) {
        let mut before = None;
        loop {
            tokio::select! {
                biased;
                () = self.quiet() => return,
                () = sleep(MAINTENANCE_INTERVAL) => {}
            }
            let (turns, indebted) =
                (self.turns.load(Ordering::Acquire), self.indebted.load(Ordering::Acquire));
            let now = (turns, indebted, self.committer.end());
            if turns == indebted && before == Some(now) {
                tracing::warn!(
                    turns,
                    "actors that owe too much to failed ones are left with what they have to do"
                );
                return;
            }
            before = Some(now);
        }
    }

    /// Waits for `news`, counted as a turn that owes too much to go on.
    pub(crate) async fn while_indebted(&self, news: impl Future<Output = ()>) -> Result<(), Refused> {
        self.indebted.fetch_add(1, Ordering::AcqRel);
        let outcome = self.unless_stopped(news).await;
        self.indebted.fetch_sub(1, Ordering::AcqRel);
        outcome
    }

    /// The time in maintenance intervals, for telling idle actors.
    pub(crate) fn now(&self) -> u64 {
        self.tick.load(Ordering::Relaxed)
    }

    pub(crate) fn tick(&self) -> u64 {
        self.tick.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Counts a turn while it lasts.
pub(crate) struct TurnGuard(Arc<Core>);

impl TurnGuard {
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0
    }
}

impl Drop for TurnGuard {
    fn drop(&mut self) {
        if self.0.turns.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.turns_over.notify_waiters();
        }
    }
}
