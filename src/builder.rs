//! Registers actor kinds, sets what can be set, and opens: store -> survey -> committer -> recovery -> actors.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use relive_replay::kind::KindError;
use relive_replay::{Actor, Kind, KindBuilder};
use relive_storage::sled_store::SledOptions;
use relive_storage::{Durability, FrameWriter, Lsn, MemoryStore, Rsn, SledStore, Store, StoreError};

use crate::checkpointer::Checkpointer;
use crate::committer::{Committer, LogPosition};
use crate::config::{CheckpointPolicy, Config, RestartPolicy};
use crate::core::{Core, Kinds};
use crate::error::OpenError;
use crate::maintenance::maintain;
use crate::needs::Needs;
use crate::recovery::Recovery;
use crate::report::{Progress, RecoveryProgress, RecoveryReport};
use crate::retained::Kept;
use crate::runtime::Runtime;
use crate::settling::{get_through, tell_settled};
use crate::slot::Slot;
use crate::stats::Counters;
use crate::stop::Stop;
use crate::stored::Stored;
use crate::survey::{Survey, survey};
use crate::turn::{begin, deliver};

/// Collects what a runtime is opened with.
///
/// # Examples
/// ```no_run
/// # use relive::{Actor, Context, Handle, Message, Runtime};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Counter(u64);
/// # impl Actor for Counter { const KIND: &'static str = "counter"; fn create(_: &str) -> Self { Counter(0) } }
/// # #[derive(Serialize, Deserialize)] struct Add(u64);
/// # impl Message for Add { const NAME: &'static str = "add"; type Reply = u64; }
/// # impl Handle<Add> for Counter {
/// #     async fn handle(&mut self, m: Add, _: &mut Context<'_>) -> u64 { self.0 += m.0; self.0 }
/// # }
/// # async fn example() -> Result<(), relive::OpenError> {
/// let runtime = Runtime::builder()
///     .actor::<Counter>(|counter| counter.handles::<Add>())
///     .on_progress(|progress| eprintln!("{progress:?}"))
///     .open("counters")
///     .await?;
/// # Ok(()) }
/// ```
#[must_use = "a builder does nothing until it opens"]
pub struct Builder {
    kinds: Vec<Result<Arc<dyn Kind>, KindError>>,
    config: Config,
    progress: Arc<Progress>,
}

impl Runtime {
    /// Begins to collect what a runtime is opened with.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl Builder {
    fn new() -> Self {
        Self { kinds: Vec::new(), config: Config::default(), progress: Arc::new(|_| {}) }
    }

    /// Registers an actor kind with the message types that it handles. What breaks a rule is reported by `open`.
    pub fn actor<A: Actor>(mut self, register: impl FnOnce(KindBuilder<A>) -> KindBuilder<A>) -> Self {
        self.kinds.push(register(KindBuilder::new()).build());
        self
    }

    /// Sets what the store survives. Default [`Durability::PowerLoss`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.config.durability = durability;
        self
    }

    /// Sets when actors are checkpointed.
    pub fn checkpoints(mut self, policy: CheckpointPolicy) -> Self {
        self.config.checkpoints = policy;
        self
    }

    /// Sets what happens to actors that panic.
    pub fn restarts(mut self, policy: RestartPolicy) -> Self {
        self.config.restarts = policy;
        self
    }

    /// Sets the budget of the log in bytes. Default 256 MiB.
    pub fn log_bytes(mut self, bytes: u64) -> Self {
        self.config.log_bytes = bytes;
        self
    }

    /// Sets how long an actor is idle before it leaves memory. Default 60 s.
    pub fn passivate_after(mut self, idle: Duration) -> Self {
        self.config.passivate_after = idle;
        self
    }

    /// Sets how long a call into the store may take before the store is given up as hung. Default 30 s.
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.config.store_timeout = timeout;
        self
    }

    /// Sets a callback that is told how far recovery has come. Called from several threads; must not block.
    pub fn on_progress(mut self, progress: impl Fn(RecoveryProgress) + Send + Sync + 'static) -> Self {
        self.progress = Arc::new(progress);
        self
    }

    /// Opens the store in a directory, creating it when the directory is missing or empty, and restores its actors. With
    /// [`Durability::Volatile`] the directory is not touched.
    ///
    /// # Errors
    /// [`OpenError`]: nothing that was acknowledged has changed. An opening that fails only while actors are restored has
    /// left a record that it began.
    ///
    /// # Cancel safety
    /// Dropped, the opening goes on in the background until it could return, and is then undone as by a crash.
    pub async fn open(self, path: impl AsRef<Path>) -> Result<Runtime, OpenError> {
        if self.config.durability == Durability::Volatile {
            return self.open_on(Arc::new(MemoryStore::new())).await;
        }
        let began = Instant::now();
        let kinds = self.kinds()?;
        let path: PathBuf = path.as_ref().to_owned();
        let options =
            SledOptions::default().durability(self.config.durability).call_timeout(self.config.store_timeout);
        let store = blocking(move || Ok(SledStore::open(&path, &options)?)).await?;
        self.serve(kinds, Arc::new(store), began).await
    }

    /// Opens on a store of another backend.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub async fn open_on(self, store: Arc<dyn Store>) -> Result<Runtime, OpenError> {
        let began = Instant::now();
        let kinds = self.kinds()?;
        self.serve(kinds, store, began).await
    }

    fn kinds(&self) -> Result<Kinds, OpenError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(OpenError::NoTokio);
        }
        let mut kinds = Kinds::new();
        for kind in &self.kinds {
            let kind = kind.clone()?;
            let name = kind.name();
            if kinds.insert(name, kind).is_some() {
                return Err(OpenError::KindTwice { kind: name });
            }
        }
        Ok(kinds)
    }

    async fn serve(self, kinds: Kinds, store: Arc<dyn Store>, began: Instant) -> Result<Runtime, OpenError> {
        let (config, progress) = (self.config, self.progress);
        let (surveyed, registered, to) = (Arc::clone(&store), kinds.clone(), Arc::clone(&progress));
        let mut survey = blocking(move || survey(&*surveyed, &registered, &*to)).await?;
        let stored = Arc::new(Stored::new(Arc::clone(&survey.stored)));
        let needs = Arc::new(Needs::new(std::mem::take(&mut survey.dormant)));
        let epoch = survey.scanned.epoch.next();
        let store_id = survey.extent.store;

        let counters = Arc::new(Counters::default());
        let stop = Arc::new(Stop::new());
        let thread = |source: std::io::Error| StoreError::Backend {
            action: "start a thread",
            reason: source.to_string(),
        };
        let position = LogPosition {
            next: survey.scanned.next,
            epoch,
            kept: Kept {
                start: survey.scanned.start,
                steps: survey.scanned.milestones.clone().into(),
                total: survey.scanned.bytes,
                step_bytes: (config.log_bytes / 64).clamp(4 << 10, 1 << 20),
                budget: config.log_bytes,
                may_grow: false,
            },
        };
        let committer =
            Committer::start(Arc::clone(&store), position, Arc::clone(&counters), Arc::clone(&stop));
        let committer = Arc::new(committer.map_err(thread)?);
        let checkpointer = Checkpointer::start(
            Arc::clone(&store),
            Arc::clone(&committer),
            Arc::clone(&counters),
            Arc::clone(&stored),
            Arc::clone(&stop),
            survey.last_checkpoint,
        );
        let checkpointer = checkpointer.map_err(thread)?;
        let from = Arc::clone(&store);
        let core =
            Core::new(config, kinds, store, store_id, committer, checkpointer, counters, stored, needs, stop);
        let core = Arc::new(core);
        // Before any handler runs: should one end the process, the next opening knows that this one began.
        announce(&core, epoch).await?;
        relive_storage::boundary!("recovery.announced");
        let mut report = recover(&core, from, survey, progress).await?;
        core.tokio.spawn(maintain(Arc::clone(&core)));
        report.took = began.elapsed();
        tracing::info!(store = %report.store, durability = %report.durability, epoch = %report.epoch,
            records = report.records, actors = report.actors, replayed = report.replayed, took = ?report.took, "serving");
        Ok(Runtime::new(core, report))
    }
}

/// Restores the actors and lets them go on.
async fn recover(
    core: &Arc<Core>,
    store: Arc<dyn Store>,
    survey: Survey,
    progress: Arc<Progress>,
) -> Result<RecoveryReport, OpenError> {
    let Survey { extent, scanned, records, actors, suspect, unsettled, last_tried, .. } = survey;
    let mut report = RecoveryReport {
        store: extent.store,
        durability: extent.durability,
        epoch: scanned.epoch.next(),
        records,
        bytes: scanned.bytes,
        actors: 0,
        replayed: 0,
        with_care: unsettled,
        failed: Vec::new(),
        torn_tail: scanned.torn.clone(),
        took: Duration::ZERO,
    };
    let (store_id, tried, kinds) = (extent.store, last_tried.clone(), core.kinds.clone());
    let needs = Arc::clone(&core.needs);
    let recovered = blocking(move || {
        let (store, last_tried, progress) = (&*store, tried.as_ref(), &*progress);
        let (scanned, kinds, needs) = (&scanned, &kinds, &needs);
        let recovery =
            Recovery { store, store_id, scanned, progress, kinds, needs, with_care: unsettled, last_tried };
        recovery.restore_all(actors)
    });
    let recovered = recovered.await?;
    core.counters.replayed(recovered.replayed);
    if suspect && recovered.unhandled.is_empty() {
        // Before anything goes on, so that the log is the same whoever is faster.
        stable(core, tell_settled(core, report.epoch)).await?;
    }
    report.actors = go_on(core, &recovered.slots);
    report.replayed = recovered.replayed;
    report.failed = recovered.failed;
    if !recovered.unhandled.is_empty() {
        core.tokio.spawn(get_through(core.turn_begins(), recovered.unhandled, last_tried, report.epoch));
    }
    Ok(report)
}

/// Logs that a new incarnation begins, before it does anything.
async fn announce(core: &Core, epoch: relive_storage::Epoch) -> Result<(), OpenError> {
    let mut writer = FrameWriter::new();
    writer.put_incarnation(epoch);
    let frame = writer.finish(None, Rsn::NONE, Rsn::NONE, &[]);
    stable(core, core.committer.append_now(frame).map(|appended| appended.end)).await
}

async fn stable(core: &Core, appended: Result<Lsn, Arc<StoreError>>) -> Result<(), OpenError> {
    let logged = match appended {
        Ok(end) => core.committer.stable(end).await,
        Err(error) => Err(error),
    };
    logged.map_err(|error| OpenError::Store((*error).clone()))
}

/// Lets the restored actors go on. No turn begins before all that is owed is in the mailboxes, so that what an actor
/// sends from now on comes after it. Gives how many are in memory.
fn go_on(core: &Arc<Core>, slots: &[Arc<Slot>]) -> usize {
    let mut restored = 0;
    for slot in slots {
        if slot.with_idle(|active, _| core.quarantine.add_all(&active.instance)).is_some() {
            restored += 1;
        }
        core.slots.insert(slot.id.clone(), Arc::clone(slot));
    }
    let mut wakes = Vec::new();
    for slot in slots {
        for outgoing in slot.owed() {
            match deliver(core, slot, outgoing) {
                Ok(wake) => wakes.extend(wake),
                Err(outgoing) => {
                    let (from, to) = (&slot.id, &outgoing.to);
                    tracing::error!(%from, %to, "a message is owed to an actor whose kind is not registered");
                }
            }
        }
    }
    for slot in slots {
        if slot.with_idle(|active, _| !active.backlog.is_empty()) == Some(true) {
            wakes.push((Arc::clone(slot), slot.start()));
        }
    }
    for (slot, wake) in wakes {
        begin(core, &slot, wake);
    }
    restored
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(outcome) => outcome,
        Err(error) => Err(StoreError::Backend { action: "open the store", reason: error.to_string() }.into()),
    }
}
