//! Registers actor kinds, sets what can be set, and opens: store -> survey -> committer -> recovery -> actors.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relive_replay::kind::KindError;
use relive_replay::{Actor, Kind, KindBuilder, Peers};
use relive_storage::{
    Durability, FrameWriter, Lsn, MediumKind, MemoryStore, Rsn, Store, StoreError, StoreOptions, open_store,
};

use crate::checkpointer::Checkpointer;
use crate::committer::{Committer, LogPosition};
use crate::config::{CheckpointPolicy, Config, RestartPolicy};
use crate::core::{Core, Kinds};
use crate::error::OpenError;
use crate::maintenance::maintain;
use crate::needs::Needs;
use crate::recovery::{Recovery, ReplayNote};
use crate::replayers::Replayers;
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

    /// Sets what keeps the store: [`Medium::Sled`] or [`Medium::SegmentFiles`]. A store stays on the medium on which it was
    /// created, and is opened on that when none is set; a new one is on sled then. `docs/media.md` says which to take.
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
    /// // It is found again without being told, and is no other.
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

    /// Sets how many bytes of stack the threads have on which actors are restored; `RUST_MIN_STACK` is honoured when it is
    /// more. Default 128 MiB, of which only what is used takes memory.
    ///
    /// A handler runs on the threads of the host's tokio when it is live. What it did there must not overflow when it is
    /// replayed: set more than the stack of the largest of these threads.
    pub fn replay_stack_bytes(mut self, bytes: usize) -> Self {
        self.config.replay_stack_bytes = bytes;
        self
    }

    /// Sets how long [`Runtime::shutdown`] waits for each of its parts: for what was accepted to be handled, and for the
    /// checkpoints after that. Default 30 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.config.shutdown_timeout = timeout;
        self
    }

    /// Sets a callback that is told how far recovery has come. Called from several threads; must not block. A
    /// panic in it is reported as a warning.
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
        let options = StoreOptions::default()
            .medium(self.config.medium)
            .durability(self.config.durability)
            .call_timeout(self.config.store_timeout)
            .log_bytes(self.config.log_bytes);
        // The process may change its directory while the store is being opened.
        let path = std::path::absolute(path.as_ref()).map_err(|error| StoreError::Io {
            action: "find",
            path: path.as_ref().to_owned(),
            reason: Arc::new(error),
        })?;
        let replayers = self.replayers();
        let store =
            blocking(&replayers, move || Ok(Arc::new(open_store(&path, &options)?) as Arc<dyn Store>))
                .await?;
        self.serve(kinds, store, replayers, began).await
    }

    /// Opens on a store of another backend.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub async fn open_on(self, store: Arc<dyn Store>) -> Result<Runtime, OpenError> {
        let began = Instant::now();
        let kinds = self.kinds()?;
        let replayers = self.replayers();
        self.serve(kinds, store, replayers, began).await
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
        let mut peers = Peers::default();
        kinds.values().for_each(|kind| peers.add(kind.name(), kind.messages()));
        let peers = Arc::new(peers);
        kinds.values().for_each(|kind| kind.introduce(&peers));
        Ok(kinds)
    }

    fn replayers(&self) -> Replayers {
        // As the standard library reads it, for threads that are given no size.
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
        let (config, progress) = (self.config, self.progress);
        let (surveyed, registered, to) = (Arc::clone(&store), kinds.clone(), Arc::clone(&progress));
        let mut survey = blocking(&replayers, move || survey(&*surveyed, &registered, &*to)).await?;
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
            &replayers,
        );
        let checkpointer = checkpointer.map_err(thread)?;
        let from = Arc::clone(&store);
        let core = Core::new(
            config,
            kinds,
            store,
            store_id,
            committer,
            checkpointer,
            counters,
            stored,
            needs,
            stop,
            replayers,
        );
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
    let Survey { extent, scanned, records, actors, passive, suspect, unsettled, last_tried, .. } = survey;
    let mut report = RecoveryReport {
        store: extent.store,
        durability: extent.durability,
        epoch: scanned.epoch.next(),
        records,
        bytes: scanned.bytes,
        actors: 0,
        replayed: 0,
        with_care: unsettled,
        passive_checked: passive.len(),
        failed: Vec::new(),
        torn_tail: scanned.torn.clone(),
        took: Duration::ZERO,
    };
    let (store_id, tried, kinds) = (extent.store, last_tried, core.kinds.clone());
    let (needs, replaying) = (Arc::clone(&core.needs), Arc::clone(core));
    let recovered = blocking(&core.replayers, move || {
        let (store, last_tried, progress) = (&*store, &*tried, &*progress);
        let (scanned, kinds, needs) = (&scanned, &kinds, &needs);
        let replayers = &replaying.replayers;
        let note = |notes: &[ReplayNote]| note_replays(&replaying, notes);
        let recovery = Recovery {
            store,
            store_id,
            scanned,
            progress,
            kinds,
            needs,
            replayers,
            note: &note,
            with_care: unsettled,
            last_tried,
            tries: replaying.config.restarts.tries,
        };
        let mut recovered = recovery.restore_all(actors)?;
        recovery.check_passive(&passive, &mut recovered)?;
        Ok(recovered)
    });
    let recovered = recovered.await?;
    core.counters.replayed(recovered.replayed);
    if (suspect || recovered.worked) && recovered.unhandled.is_empty() {
        // Before anything goes on, so that the log is the same whoever is faster.
        stable(core, tell_settled(core, report.epoch)).await?;
    }
    report.actors = go_on(core, &recovered.slots);
    report.replayed = recovered.replayed;
    report.failed = recovered.failed;
    if !recovered.unhandled.is_empty() {
        let last_tried = recovered.last_tried;
        core.tokio.spawn(get_through(core.turn_begins(), recovered.unhandled, last_tried, report.epoch));
    }
    Ok(report)
}

/// Tells the log that actors are about to be replayed, or that they have been: should one of them end the process, the next
/// opening knows. Blocking.
fn note_replays(core: &Core, notes: &[ReplayNote]) -> Result<(), OpenError> {
    let mut writer = FrameWriter::new();
    let noted = {
        let mut appending = core.committer.begin_append();
        let notes = notes.iter().map(|ReplayNote { actor, from, handled, .. }| {
            writer.put_attempt(*from);
            appending.put(writer.finish(Some(actor), *handled, *handled, &[]))
        });
        notes.last()
    };
    match noted {
        Some(appended) => core.tokio.block_on(stable(core, appended.map(|appended| appended.end))),
        None => Ok(()),
    }
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
    let owed = slots.iter().flat_map(|slot| {
        let last = slot.owed().into_iter().map(|outgoing| ((slot.id.clone(), outgoing.to), outgoing.ssn));
        last.collect::<Vec<_>>()
    });
    // In order within each channel, so that the last one stays.
    let _ = core.found_owed.set(owed.collect());
    for slot in slots {
        for outgoing in slot.owed() {
            wakes.extend(deliver(core, slot, outgoing));
        }
    }
    for slot in slots {
        if slot.with_idle(|active, _| !active.backlog.is_empty()) == Some(true) {
            wakes.push(slot.start());
        }
    }
    for wake in wakes {
        begin(core, wake);
    }
    restored
}

async fn blocking<T: Send + 'static>(
    replayers: &Replayers,
    call: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    match replayers.run(call).await {
        Ok(outcome) => outcome,
        Err(panic) => {
            let reason = format!("it panicked: {panic}");
            Err(StoreError::Backend { action: "open the store", reason }.into())
        }
    }
}
