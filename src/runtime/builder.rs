//! Registers actor kinds, takes the settings, and opens: store -> analysis -> committer ->
//! recovery -> actors.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relive_replay::{Actor, KindBuilder};
use relive_storage::{Durability, LayeredOptions, MediumKind, MemoryStore, Store, StoreError, StoreOptions};
use relive_storage_sled::open_store;
use tokio::runtime::Handle;

use crate::actor::cell::ActorCell;
use crate::actor::quarantine::Quarantine;
use crate::actor::table::{ActorTable, Kinds};
use crate::checkpoint::writer::{Checkpointer, CheckpointerParts};
use crate::clock::{Clock, SystemClock};
use crate::config::{CheckpointPolicy, Config, RestartPolicy};
use crate::error::OpenError;
use crate::harness::{Harness, Moving};
use crate::lifecycle::{Lifecycle, TurnGuard};
use crate::limits::kept_step_bytes;
use crate::log::budget::{LogBudget, RetainedRange};
use crate::log::committer::{Committer, LogPosition};
use crate::recovery::analysis::{Analysis, analyze};
use crate::recovery::notes::{ReplayNote, announce, failed, log_recovery_complete, note_replays};
use crate::recovery::probation::drive_probation;
use crate::recovery::replay::Recovery;
use crate::recovery::report::{Progress, RecoveryProgress, RecoveryReport};
use crate::replayers::Replayers;
use crate::retention::checkpointed::CheckpointedActors;
use crate::retention::pin_index::PinIndex;
use crate::runtime::Runtime;
use crate::runtime::maintenance::maintain;
use crate::runtime::registration::Registration;
use crate::runtime::waking::wake_in_time;
use crate::services::{Services, StoreHandle};
use crate::shared::Core;
use crate::stats::Counters;
use crate::stop_signal::StopSignal;
use crate::timers::due_times::DueTimes;
use crate::turn::dispatch::resume_all;

/// Collects actor kinds and settings, then opens a runtime. [`Runtime::builder`] makes one.
///
/// Every setting has a default; register at least the actor kinds that the store holds.
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
    registration: Registration,
    config: Config,
    clock: Option<Arc<dyn Clock>>,
    harness: Harness,
    progress: Arc<Progress>,
}

impl Runtime {
    /// Begins to collect actor kinds and settings for an opening.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl Builder {
    fn new() -> Self {
        let (registration, config, clock, harness) = Default::default();
        Self { registration, config, clock, harness, progress: Arc::new(|_| {}) }
    }

    /// Registers an actor kind with the message types that it handles. [`Builder::open`] reports a
    /// registration that breaks a rule.
    pub fn actor<A: Actor>(mut self, register: impl FnOnce(KindBuilder<A>) -> KindBuilder<A>) -> Self {
        self.registration.add(register(KindBuilder::new()).build());
        self
    }

    /// Provides a value to all handlers: an HTTP client, a configuration. A handler reaches it by
    /// its type ([`Context::dependency`](crate::Context::dependency)), also in a replay; there it
    /// gets the value of the present opening. Provide a trait object under its own type, such as
    /// `Arc<dyn Bank>`, and a test can provide another one.
    ///
    /// [`Builder::open`] fails when two values have one type, and when a kind declares that it
    /// needs a type of which there is none ([`KindBuilder::needs`]). The value lives as long as
    /// anything of the runtime, so it must not hold the runtime itself.
    ///
    /// # Examples
    /// ```
    /// # use relive::{Actor, Context, Handle, Message, Runtime};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Order;
    /// # impl Actor for Order { const KIND: &'static str = "order"; fn create(_: &str) -> Self { Order } }
    /// # struct Bank;
    /// let builder = Runtime::builder().provide(Bank).actor::<Order>(|order| order.needs::<Bank>());
    /// ```
    pub fn provide<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.registration.provide(value);
        self
    }

    /// Sets which failures the store survives. Default [`Durability::PowerLoss`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.config.durability = durability;
        self
    }

    /// Sets the medium: [`Medium::Sled`] or [`Medium::SegmentFiles`]. A store stays on the medium
    /// on which it was created. Without this setting the opening finds the medium of an existing
    /// store, and creates a new store on sled. `docs/media.md` says which to choose.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("data");
    /// use relive::{Medium, Runtime};
    ///
    /// let runtime = Runtime::builder().medium(Medium::SegmentFiles).open(&path).await?;
    /// runtime.shutdown().await?;
    /// // The opening finds the medium, and refuses another one.
    /// Runtime::builder().open(&path).await?.shutdown().await?;
    /// assert!(Runtime::builder().medium(Medium::Sled).open(&path).await.is_err());
    /// # Ok(()) }
    /// ```
    ///
    /// [`Medium::Sled`]: crate::Medium::Sled
    /// [`Medium::SegmentFiles`]: crate::Medium::SegmentFiles
    pub fn medium(mut self, medium: MediumKind) -> Self {
        self.config.medium = Some(medium);
        self
    }

    /// Sets when the runtime checkpoints actors. Default: after 10,000 records, 16 MiB or 5
    /// minutes.
    pub fn checkpoints(mut self, policy: CheckpointPolicy) -> Self {
        self.config.checkpoints = policy;
        self
    }

    /// Sets what happens to actors that panic. Default: three tries, then quarantine.
    pub fn restarts(mut self, policy: RestartPolicy) -> Self {
        self.config.restarts = policy;
        self
    }

    /// Sets the budget of the log in bytes. Default 256 MiB.
    ///
    /// At half of the budget the runtime cuts the log, at five eighths it checkpoints the actors
    /// that hold the cut back. Over the budget senders outside wait as long as checkpoints and cuts
    /// make progress. The log exceeds its budget only for an actor that can't be checkpointed; a
    /// warning names that actor.
    pub fn log_bytes(mut self, bytes: u64) -> Self {
        self.config.log_bytes = bytes;
        self
    }

    /// Sets how long an actor is idle before it leaves memory. Its next message brings it back.
    /// Default 60 s.
    pub fn passivate_after(mut self, idle: Duration) -> Self {
        self.config.passivate_after = idle;
        self
    }

    /// Sets how long a call into the store may take before the runtime stops with
    /// [`StoreError::Hung`]. Default 30 s.
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.config.store_timeout = timeout;
        self
    }

    /// Sets how many bytes of stack the threads have that restore actors. A larger `RUST_MIN_STACK`
    /// takes precedence. Default 128 MiB of address space; only used pages take memory.
    ///
    /// Live, a handler runs on the threads of the host's tokio. A replay of the same deliveries
    /// must not overflow, so set more than the largest stack among these threads.
    pub fn replay_stack_bytes(mut self, bytes: usize) -> Self {
        self.config.replay_stack_bytes = bytes;
        self
    }

    /// Sets how long [`Runtime::shutdown`] waits for each of its parts: for the handlers of
    /// accepted messages, for the checkpoints after that, and for turns to end. After the first
    /// part, handlers that keep each other busy get a quarter of it more to come to rest. Default
    /// 30 s. [`Runtime::shutdown_within`] has a deadline for the whole instead.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.config.shutdown_timeout = timeout;
        self
    }

    /// Sets how long an actor keeps the reply to a request with an idempotency key. Default 24 h.
    /// [`Ask::idempotency_key`](crate::Ask::idempotency_key) says what that is for.
    ///
    /// The time counts on the runtime's [`Clock`], from the moment at which the request was logged.
    /// An actor forgets older requests when the next one with a key comes to it. Until then they
    /// stand in its memory and in its checkpoints. A shorter retention than that of an earlier
    /// opening holds for the requests from then too. After a longer one, an actor may still know
    /// some of those that it had forgotten.
    pub fn idempotency_retention(mut self, retention: Duration) -> Self {
        self.config.idempotency_retention = retention;
        self
    }

    /// Sets the clock that handlers see. Default [`SystemClock`]. Time limits of the runtime itself
    /// stay on real time. `relive::testing` has a clock that a test moves; [`Clock`] has an
    /// example.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// A builder for a runtime of a test kit, whose clock is the default.
    #[cfg(feature = "test-support")]
    pub(crate) fn in_test(self, harness: Harness, clock: impl Clock) -> Self {
        Self { harness, clock: self.clock.or_else(|| Some(Arc::new(clock))), ..self }
    }

    /// Sets a callback for the progress of the recovery. The opening calls it for each mebibyte or
    /// 10,000 records of the log, for each hundredth of the actors, and at the end of each part. It
    /// runs on several threads and must not block. A panic in it becomes a warning.
    pub fn on_progress(mut self, progress: impl Fn(RecoveryProgress) + Send + Sync + 'static) -> Self {
        self.progress = Arc::new(progress);
        self
    }

    /// Opens the store in a directory and restores its actors. Creates the store when the directory
    /// is missing or empty. With [`Durability::Volatile`] it does not touch the directory.
    ///
    /// # Errors
    /// [`OpenError`]: no acknowledged message has changed. An opening that fails while it restores
    /// actors has left a record that it began. An actor that can't be restored is no error: see
    /// [`RecoveryReport::failed`].
    ///
    /// # Cancel safety
    /// When you drop the future, the opening continues in the background until it could return, and
    /// then ends like a crash.
    pub async fn open(mut self, path: impl AsRef<Path>) -> Result<Runtime, OpenError> {
        if self.config.durability == Durability::Volatile {
            return self.open_on(Arc::new(MemoryStore::new())).await;
        }
        let began = Instant::now();
        let kinds = self.kinds()?;
        let options = StoreOptions::default()
            .medium(self.config.medium)
            .durability(self.config.durability)
            .log_bytes(self.config.log_bytes)
            .layered(LayeredOptions::default().call_timeout(self.config.store_timeout));
        // The process may change its directory while the store is being opened.
        let path = std::path::absolute(path.as_ref()).map_err(|error| StoreError::Io {
            action: "find",
            path: path.as_ref().to_owned(),
            reason: Arc::new(error),
        })?;
        let replayers = self.replayers();
        let store =
            replayers.open(move || Ok(Arc::new(open_store(&path, &options)?) as Arc<dyn Store>)).await?;
        self.serve(kinds, store, replayers, began).await
    }

    /// Opens on a store of another backend, for example one that a test controls.
    ///
    /// # Errors
    /// As [`Builder::open`].
    ///
    /// # Cancel safety
    /// As [`Builder::open`].
    pub async fn open_on(mut self, store: Arc<dyn Store>) -> Result<Runtime, OpenError> {
        let began = Instant::now();
        let kinds = self.kinds()?;
        let replayers = self.replayers();
        self.serve(kinds, store, replayers, began).await
    }

    fn kinds(&mut self) -> Result<Kinds, OpenError> {
        if Handle::try_current().is_err() {
            return Err(OpenError::NoTokio);
        }
        std::mem::take(&mut self.registration).check()
    }

    fn replayers(&self) -> Replayers {
        // The standard library reads it like this for threads without a given size.
        let of_process = std::env::var("RUST_MIN_STACK").ok().and_then(|bytes| bytes.parse().ok());
        let bytes = self.config.replay_stack_bytes.max(of_process.unwrap_or_default());
        Replayers::new(std::thread::available_parallelism().map_or(1, usize::from), bytes)
    }

    async fn serve(
        self,
        kinds: Kinds,
        store: Arc<dyn Store>,
        replayers: Replayers,
        began: Instant,
    ) -> Result<Runtime, OpenError> {
        let Self { config, clock, harness, progress, .. } = self;
        let clock = clock.unwrap_or_else(|| Arc::new(SystemClock));
        let (analyzed, registered, to) = (Arc::clone(&store), kinds.clone(), Arc::clone(&progress));
        let mut analysis = replayers.open(move || analyze(&*analyzed, &registered, &*to)).await?;
        let epoch = analysis.scanned.epoch.next();
        let from = Arc::clone(&store);
        let core = Arc::new(start(config, clock, kinds, store, &mut analysis, replayers, harness)?);
        // Before any handler runs: should one end the process, the next opening knows that this one
        // began.
        announce(&core.services.committer, epoch).await?;
        relive_storage::boundary!("recovery.announced");
        let mut report = recover(&core, from, analysis, progress).await?;
        spawn(&core, "the maintenance", maintain(Arc::clone(&core)));
        spawn(&core, "timers are looked at", wake_in_time(Arc::clone(&core)));
        report.elapsed = began.elapsed();
        tracing::info!(store = %report.store, durability = %report.durability, epoch = %report.epoch,
            records = report.records, actors = report.actors, replayed = report.replayed, elapsed = ?report.elapsed, "serving");
        Ok(Runtime::new(core, report))
    }
}

/// Starts the threads of a runtime over an analyzed store. No actor is in it yet.
pub(super) fn start(
    config: Config,
    clock: Arc<dyn Clock>,
    kinds: Kinds,
    store: Arc<dyn Store>,
    analysis: &mut Analysis,
    replayers: Replayers,
    harness: Harness,
) -> Result<Core, OpenError> {
    let (counters, stop) = (Arc::new(Counters::default()), Arc::new(StopSignal::new()));
    let stored = Arc::new(CheckpointedActors::new(Arc::clone(&analysis.stored)));
    let pin_index = Arc::new(PinIndex::new(std::mem::take(&mut analysis.passive_pins)));
    let log_budget = Arc::new(LogBudget::new(RetainedRange {
        start: analysis.scanned.start,
        next: analysis.scanned.next,
        steps: analysis.scanned.milestones.clone().into(),
        total: analysis.scanned.bytes,
        step_bytes: kept_step_bytes(config.log_bytes),
        budget: config.log_bytes,
        may_grow: false,
    }));
    let backpressure = Arc::clone(log_budget.backpressure());
    let thread =
        |source: std::io::Error| StoreError::Backend { action: "start a thread", reason: source.to_string() };
    let committer = Committer::start(
        Arc::clone(&store),
        LogPosition { next: analysis.scanned.next, epoch: analysis.scanned.epoch.next() },
        Arc::clone(&log_budget),
        Arc::clone(&counters),
        Arc::clone(&stop),
        Arc::clone(&clock),
        harness.clone(),
    );
    let committer = Arc::new(committer.map_err(thread)?);
    let parts = CheckpointerParts {
        store: Arc::clone(&store),
        committer: Arc::clone(&committer),
        log_budget: Arc::clone(&log_budget),
        counters: Arc::clone(&counters),
        stored: Arc::clone(&stored),
        stop: Arc::clone(&stop),
        harness: harness.clone(),
        last: analysis.last_checkpoint,
    };
    let checkpointer = Checkpointer::start(parts, &replayers).map_err(thread)?;
    let services = Services {
        config,
        clock,
        store: StoreHandle::new(analysis.extent.store, store),
        committer,
        log_budget,
        checkpointer,
        counters,
        quarantine: Quarantine::default(),
        stored,
        due_times: DueTimes::new(std::mem::take(&mut analysis.due)),
        replayers,
        harness,
        tokio: Handle::current(),
    };
    Ok(Core {
        actors: ActorTable::new(kinds, pin_index, backpressure),
        lifecycle: Lifecycle::new(stop),
        services,
    })
}

/// Restores the actors and lets them go on.
async fn recover(
    core: &Arc<Core>,
    store: Arc<dyn Store>,
    analysis: Analysis,
    progress: Arc<Progress>,
) -> Result<RecoveryReport, OpenError> {
    let Analysis { extent, scanned, records, actors, passive, uncertain, unsettled, last_tried, .. } =
        analysis;
    let mut report = RecoveryReport {
        store: extent.store,
        durability: extent.durability,
        epoch: scanned.epoch.next(),
        records,
        bytes: scanned.bytes,
        actors: 0,
        replayed: 0,
        in_probation: unsettled,
        passive_checked: passive.len(),
        failed: Vec::new(),
        torn_tail: scanned.torn.clone(),
        elapsed: Duration::ZERO,
    };
    let (store_id, tried, kinds) = (extent.store, last_tried, core.actors.kinds().clone());
    let replaying = Arc::clone(core);
    let recovered = core.services.replayers.open(move || {
        let (store, last_tried, progress) = (&*store, &*tried, &*progress);
        let (scanned, kinds) = (&scanned, &kinds);
        let replayers = &replaying.services.replayers;
        let note = |notes: &[ReplayNote]| note_replays(&replaying.services, notes);
        let recovery = Recovery {
            store,
            store_id,
            scanned,
            progress,
            kinds,
            actors: &replaying.actors,
            replayers,
            note: &note,
            in_probation: unsettled,
            last_tried,
            tries: replaying.services.config.restarts.tries,
            retention: replaying.services.config.idempotency_retention,
        };
        let mut recovered = recovery.restore_all(actors)?;
        recovery.check_passive(&passive, &mut recovered)?;
        Ok(recovered)
    });
    let recovered = recovered.await?;
    assert!(recovered.worked || recovered.unhandled.is_empty(), "only restored actors have work ahead");
    core.services.counters.replayed(recovered.replayed);
    if (uncertain || recovered.worked) && recovered.unhandled.is_empty() {
        // Before anything goes on, so that the log does not depend on which task is faster.
        log_recovery_complete(&core.services.committer, report.epoch)
            .await
            .map_err(|error| failed(&error))?;
    }
    report.actors = go_on(core, &recovered.cells);
    report.replayed = recovered.replayed;
    report.failed = recovered.failed;
    if !recovered.unhandled.is_empty() {
        let last_tried = recovered.last_tried;
        let turn = TurnGuard::begin(core);
        let probation = drive_probation(turn, recovered.unhandled, last_tried, report.epoch);
        spawn(core, "an opening sees to what it found", probation);
    }
    Ok(report)
}

/// Resumes the restored actors, and sends again what was not acknowledged. Gives how many are in
/// memory.
fn go_on(core: &Arc<Core>, cells: &[Arc<ActorCell>]) -> usize {
    let mut restored = 0;
    for cell in cells {
        let next_timer = cell.with_idle(|active, _| {
            core.services.quarantine.add_all(&active.instance);
            active.instance.next_timer()
        });
        if let Some(next_timer) = next_timer {
            // Its checkpoint, which was listed, may be older than its state.
            core.services.due_times.set(&cell.id, next_timer);
            restored += 1;
        }
        core.actors.insert(Arc::clone(cell));
    }
    let unacknowledged = cells.iter().flat_map(|cell| {
        let owed = cell.owed().messages.into_iter();
        owed.map(|outgoing| ((cell.id.clone(), outgoing.to), outgoing.ssn)).collect::<Vec<_>>()
    });
    // Before any turn: a restart asks whether a message was found, and `found` counts once.
    core.actors.found(unacknowledged);
    resume_all(core, cells);
    restored
}

fn spawn(core: &Core, what: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    core.services.tokio.spawn(core.services.harness.track(move || Moving::Task(what), task));
}
