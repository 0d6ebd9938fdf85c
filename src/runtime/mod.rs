//! The runtime as its owner sees it: opening, references, producers, figures, the end; and the
//! maintenance beside the messages.
//!
//! Must not know what a turn does with a message.

pub(crate) mod builder;
pub(crate) mod carrying;
pub(crate) mod maintenance;
pub(crate) mod registration;
pub(crate) mod shared_shutdown;
pub(crate) mod shutdown;
pub(crate) mod shutdown_time;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod truncation;
pub(crate) mod waking;

use std::sync::Arc;
use std::time::{Duration, Instant};

use relive_replay::{Actor, Quarantined};
use relive_storage::{ActorId, Lsn, Name, NameError, Rsn, Timestamp, check_name};
use tokio::sync::oneshot;

use crate::actor::envelope::{DischargeRequest, places_of};
use crate::actor::places::HeldPlaces;
use crate::client::actor_ref::ActorRef;
use crate::client::producer::Producer;
use crate::client::waiting::{answer, may_wait_for};
use crate::error::{ActorFailure, Ended, QuarantineError, RuntimeFailure};
use crate::recovery::report::RecoveryReport;
use crate::runtime::shared_shutdown::{Ends, SharedShutdown};
use crate::runtime::shutdown::ShutdownReport;
use crate::runtime::shutdown_time::Deadline;
use crate::runtime::truncation::cut;
use crate::shared::Core;
use crate::stats::Stats;
use crate::turn::dispatch::request_discharge;

/// Actors that survive crashes, over one store. It runs in the caller's tokio runtime and owns
/// none. Cheap to clone: all clones are the same runtime.
///
/// When you drop the last clone, the runtime ends at once like a crash: it loses nothing
/// acknowledged, and the next opening replays. After [`Runtime::shutdown`] the next opening has
/// nothing to replay.
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
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = Runtime::builder().actor::<Counter>(|counter| counter.handles::<Add>());
/// let runtime = builder.open("counters").await?;
/// let shared = runtime.clone(); // the same runtime, for another task
/// tokio::spawn(async move { println!("{:?}", shared.stats()) });
/// runtime.shutdown().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Runtime {
    core: Arc<Core>,
    owner: Arc<Owner>,
}

/// What the clones of a runtime share. The runtime ends with the last of them.
struct Owner {
    core: Arc<Core>,
    report: RecoveryReport,
    shutdown: Arc<SharedShutdown>,
}

impl Runtime {
    pub(crate) fn new(core: Arc<Core>, report: RecoveryReport) -> Self {
        let owner = Owner { core: Arc::clone(&core), report, shutdown: SharedShutdown::new() };
        Self { core, owner: Arc::new(owner) }
    }

    #[cfg(feature = "test-support")]
    pub(crate) fn core(&self) -> Arc<Core> {
        Arc::clone(&self.core)
    }

    /// A reference to the actor of this key. The actor exists also when it has never received
    /// anything.
    ///
    /// # Errors
    /// [`ReferError`] when the key breaks a rule (at most 256 bytes), or the kind is not
    /// registered.
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
    /// # async fn example(runtime: Runtime) -> Result<(), Box<dyn std::error::Error>> {
    /// // Its first message creates it.
    /// let visits = runtime.actor::<Counter>("visits")?;
    /// println!("{} has {}", visits.id(), visits.ask(Add(0)).await?);
    /// # Ok(()) }
    /// ```
    pub fn actor<A: Actor>(&self, key: &str) -> Result<ActorRef<A>, ReferError> {
        let id = ActorId::new(A::KIND, key)?;
        let cell = self.core.actors.get_or_insert(&id).ok_or(ReferError::UnknownKind { kind: A::KIND })?;
        Ok(ActorRef::new(Arc::clone(&self.core), cell))
    }

    /// A sender outside that numbers its messages, so that it may send everything again after a
    /// crash. [`Producer`] has an example.
    ///
    /// # Errors
    /// [`NameError`] when the name breaks a rule (at most 64 bytes).
    pub fn producer(&self, name: &str) -> Result<Producer, NameError> {
        check_name("producer name", name)?;
        Ok(Producer::new(Arc::clone(&self.core), Name::from(name)))
    }

    /// What the opening found and did.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.owner.report
    }

    /// The counts since the opening.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core.services.counters.snapshot()
    }

    /// Now, by the clock that handlers see ([`Builder::clock`](crate::Builder::clock)). A program
    /// that computes times for its actors takes them from here.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.core.services.clock.now()
    }

    /// Why the runtime has stopped: its store has failed ([`RuntimeFailure::Store`]), or the tokio
    /// runtime in which you opened it is gone ([`RuntimeFailure::HostGone`]). `None` while it
    /// serves, and after a shutdown. Everything acknowledged is there after a reopening.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(runtime: relive::Runtime) {
    /// if let Some(reason) = runtime.failed() {
    ///     eprintln!("{reason}"); // what failed; drop the runtime and open the store again
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn failed(&self) -> Option<RuntimeFailure> {
        match self.core.lifecycle.stop_reason() {
            Some(Ended::Failed(failure)) => Some(failure),
            _ => None,
        }
    }

    /// The actors that have failed, with the reason of each.
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
    /// # async fn example(runtime: Runtime) -> Result<(), Box<dyn std::error::Error>> {
    /// for failure in runtime.failed_actors() {
    ///     eprintln!("{failure}"); // which actor, why, and what to do
    ///     if failure.kind() == relive::ErrorKind::Reopen {
    ///         // Its history is unchanged: a reopening with other code or settings may restore it.
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn failed_actors(&self) -> Vec<Arc<ActorFailure>> {
        self.core.actors.all().iter().filter_map(|cell| cell.failure()).collect()
    }

    /// The deliveries that actors have left out because they kept failing, by actor and position.
    /// The list covers all actors that can be restored, in memory or not. Each delivery stays in
    /// quarantine, through crashes and reopenings, until you retry or drop it.
    #[must_use]
    pub fn quarantined(&self) -> Vec<Arc<Quarantined>> {
        self.core.services.quarantine.all()
    }

    /// Takes a delivery out of quarantine and delivers its message again, like one from outside and
    /// behind everything that the actor has received by now. Returns the new delivery once both
    /// steps are on stable storage. Its side effects keep their idempotency keys.
    ///
    /// # Errors
    /// - [`QuarantineError::NotQuarantined`]: the delivery has left the quarantine before.
    /// - [`QuarantineError::Unhandled`]: no handler takes the message any more. The delivery stays
    ///   in quarantine.
    /// - [`QuarantineError::Unavailable`]: it is *unknown* whether the delivery has left the
    ///   quarantine. [`Runtime::quarantined`] says so after a reopening.
    ///
    /// # Cancel safety
    /// When you drop the future, the delivery may or may not leave the quarantine. If it does, the
    /// actor gets it.
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
    /// # async fn example(runtime: Runtime) -> Result<(), Box<dyn std::error::Error>> {
    /// for entry in runtime.quarantined() {
    ///     println!("{} left out {}: {}", entry.actor, entry.message, entry.reason);
    ///     runtime.retry_quarantined(&entry).await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn retry_quarantined(&self, entry: &Quarantined) -> Result<Rsn, QuarantineError> {
        let cell = self.core.actors.get_or_insert(&entry.actor).ok_or_else(|| not_quarantined(entry))?;
        // Before the discharge: once out of quarantine, the delivery would halt the actor.
        if !cell.kind.handles(&entry.message) {
            let (actor, message) = (entry.actor.clone(), entry.message.clone());
            return Err(QuarantineError::Unhandled { actor, message });
        }
        may_wait_for(&cell)?;
        // The message counts against the mailbox, like any other from outside.
        let taken = cell.places.take(places_of(&entry.payload));
        let taken = self.core.lifecycle.unless_stopped(taken).await??;
        self.discharge(entry, Some(cell.places.hold(taken))).await
    }

    /// Takes a delivery out of quarantine and forgets it: the actor never handles its message.
    ///
    /// # Errors
    /// As [`Runtime::retry_quarantined`], except [`QuarantineError::Unhandled`]: this call needs no
    /// handler.
    ///
    /// # Cancel safety
    /// When you drop the future, the delivery may or may not leave the quarantine.
    pub async fn drop_quarantined(&self, entry: &Quarantined) -> Result<(), QuarantineError> {
        self.discharge(entry, None).await.map(drop)
    }

    async fn discharge(&self, entry: &Quarantined, anew: Option<HeldPlaces>) -> Result<Rsn, QuarantineError> {
        let cell = self.core.actors.get_or_insert(&entry.actor).ok_or_else(|| not_quarantined(entry))?;
        may_wait_for(&cell)?;
        let (done, outcome) = oneshot::channel();
        let request = DischargeRequest { rsn: entry.rsn, anew, done };
        // After the waits, which may have taken until the end of the runtime.
        self.core.lifecycle.intake()?;
        request_discharge(&self.core, &cell, request)?;
        answer(&self.core, &cell, outcome).await
    }

    /// How many actors are in memory; all others are passive.
    #[must_use]
    pub fn actors_in_memory(&self) -> usize {
        self.core.actors.in_memory()
    }

    /// How many bytes of log the store keeps.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        self.core.services.log_budget.bytes()
    }

    /// Cuts the log below everything that any actor needs, and returns the new beginning. The
    /// runtime does this by itself when the log has reached half its budget.
    ///
    /// # Errors
    /// [`Ended`]: the runtime has failed, or is shut down. The log keeps everything that any actor
    /// needs.
    ///
    /// # Cancel safety
    /// When you drop the future, the runtime makes the cut all the same.
    pub async fn cut_log(&self) -> Result<Lsn, Ended> {
        self.core.lifecycle.unless_stopped(cut(&self.core)).await?
    }

    /// Ends the runtime so that the next opening has nothing to replay and may run other code. The
    /// shutdown takes nothing more from outside, handles accepted messages, checkpoints every actor
    /// that has log after its checkpoint, syncs, and closes the store. The report names the actors
    /// that still have something to replay.
    ///
    /// [`Builder::shutdown_timeout`](crate::Builder::shutdown_timeout) bounds each part. Actors may
    /// still be busy after that: they keep sending to each other, or a handler waits for its side
    /// effect. Then their later messages stay unacknowledged, and the next opening sends them
    /// again. The shutdown leaves a handler that does not end, and the next opening runs it again.
    /// [`Runtime::shutdown_within`] bounds the whole.
    ///
    /// All clones share one shutdown: a later caller waits for the report of the first.
    ///
    /// # Errors
    /// [`RuntimeFailure::Store`] when the store failed before or meanwhile,
    /// [`RuntimeFailure::HostGone`] when the tokio runtime is gone. Everything acknowledged is
    /// there after a reopening.
    ///
    /// # Cancel safety
    /// When you drop the future after its first poll, the shutdown goes on. Call it again on this
    /// or another clone to wait for its report. When you drop all clones, the runtime ends like a
    /// crash.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(runtime: relive::Runtime) -> Result<(), relive::RuntimeFailure> {
    /// for left in runtime.shutdown().await?.left {
    ///     eprintln!("{} has something left to replay: {}", left.actor, left.reason);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn shutdown(&self) -> impl Future<Output = Result<ShutdownReport, RuntimeFailure>> + Send + use<> {
        let owner = Arc::clone(&self.owner);
        async move { owner.shutdown.run(&owner.core, Ends::InParts).await }
    }

    /// As [`Runtime::shutdown`], with one deadline for the whole: `time` from this call on. It
    /// replaces [`Builder::shutdown_timeout`](crate::Builder::shutdown_timeout). A part that is
    /// done early leaves its time to the next.
    ///
    /// | until | |
    /// | --- | --- |
    /// | 1/2 of the time | actors handle what was accepted, and what they send each other |
    /// | 3/4 | what they send from now on waits for the next opening; handlers under way may end |
    /// | 15/16 | all actors that rest take their checkpoints |
    /// | the end | the last commit, and the end of the store |
    ///
    /// The shutdown gives up a handler that has not ended by then.
    /// [`ShutdownReport::waiting`] names the actors whose handlers waited, [`ShutdownReport::left`]
    /// all actors without a checkpoint of everything. Nothing acknowledged is lost: the log has the
    /// deliveries, and after the next opening these handlers run again, under the same idempotency
    /// keys. With no time the store is closed at once, and the next opening replays.
    ///
    /// While a shutdown is under way, the call shortens it to this deadline, and never lengthens
    /// it. Of two deadlines the earlier one counts.
    ///
    /// # Limits
    /// Two things can make the call last longer. The store ends its last calls, which takes
    /// [`Builder::store_timeout`](crate::Builder::store_timeout) at most for each. And code that
    /// runs on without ever waiting may occupy the threads of tokio: the shutdown has a thread of
    /// its own and closes the store in time, but your task needs a thread of tokio to hear of it.
    /// In a tokio runtime of one thread such a handler keeps everybody from running. Turns of
    /// actors get at least 100 ms to end.
    ///
    /// # Errors
    /// As [`Runtime::shutdown`].
    ///
    /// # Cancel safety
    /// As [`Runtime::shutdown`]; the deadline stays.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// # use relive::{Actor, Context, Durability, Handle, Message, Runtime};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Till;
    /// # impl Actor for Till { const KIND: &'static str = "till"; fn create(_: &str) -> Self { Till } }
    /// # #[derive(Serialize, Deserialize)] struct Pay;
    /// # impl Message for Pay { const NAME: &'static str = "pay"; type Reply = (); }
    /// impl Handle<Pay> for Till {
    ///     async fn handle(&mut self, _: Pay, cx: &mut Context<'_>) {
    ///         // A service that does not answer.
    ///         cx.side_effect("pay", std::future::pending::<()>).await;
    ///     }
    /// }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = Runtime::builder().actor::<Till>(|till| till.handles::<Pay>());
    /// # let runtime = builder.durability(Durability::Volatile).open("unused").await?;
    /// runtime.actor::<Till>("one")?.tell(Pay).await?.durable().await?;
    /// let report = runtime.shutdown_within(Duration::from_millis(400)).await?;
    /// for still in &report.waiting {
    ///     println!("{} waits in {} since {:?}", still.actor, still.message, still.waited);
    /// }
    /// assert_eq!(report.waiting.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn shutdown_within(
        &self,
        time: Duration,
    ) -> impl Future<Output = Result<ShutdownReport, RuntimeFailure>> + Send + use<> {
        let (owner, deadline) = (Arc::clone(&self.owner), Deadline::after(Instant::now(), time));
        async move { owner.shutdown.run(&owner.core, Ends::By(deadline)).await }
    }

    /// Ends the runtime like a crash: it gives up everything that is not on stable storage, and
    /// takes no checkpoint. Returns when the store is closed. Use it in tests of what survives; it
    /// needs the feature `test-support`.
    ///
    /// # Cancel safety
    /// When you drop the future, the runtime has ended all the same.
    #[cfg(feature = "test-support")]
    pub fn crash(&self) -> impl Future<Output = ()> + Send + use<> {
        shutdown::crash(Arc::clone(&self.core))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // First the reason, so that everybody whom the end of the threads wakes finds it.
        self.core.lifecycle.stop(Ended::Stopped);
        self.core.services.abandon();
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("report", &self.owner.report).finish_non_exhaustive()
    }
}

fn not_quarantined(entry: &Quarantined) -> QuarantineError {
    QuarantineError::NotQuarantined { actor: entry.actor.clone(), rsn: entry.rsn }
}

/// Why there is no reference to an actor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferError {
    /// The key breaks a rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The kind is not registered.
    #[error("the actor kind {kind:?} is not registered: register it with the builder")]
    UnknownKind {
        /// The kind.
        kind: &'static str,
    },
}
