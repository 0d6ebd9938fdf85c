//! The runtime as its owner sees it: references, producers, figures, the end.

use std::sync::Arc;

use relive_replay::{Actor, Quarantined};
use relive_storage::{ActorId, Lsn, Name, NameError, Rsn, check_name};
use tokio::sync::{OnceCell, oneshot};

use crate::actor_ref::ActorRef;
use crate::core::Core;
use crate::envelope::{DischargeRequest, places_of};
use crate::error::{ActorFailure, Refused};
use crate::maintenance::cut;
use crate::producer::Producer;
use crate::report::RecoveryReport;
use crate::shutdown::{ShutdownReport, close, shut_down};
use crate::stats::Stats;
use crate::turn::begin;
use crate::waiting::{answer, may_wait_for};

/// Actors that survive crashes, over one store. Lives in the caller's tokio runtime and owns none. Cheap to clone: all
/// clones are the same runtime.
///
/// Dropping the last one ends everything at once, as a crash would: nothing acknowledged is lost, the next opening
/// replays. [`Runtime::shutdown`] ends it so that the next opening has nothing to replay.
#[derive(Clone)]
pub struct Runtime {
    core: Arc<Core>,
    owner: Arc<Owner>,
}

/// What the clones of a runtime share: with the last of them it ends.
struct Owner {
    core: Arc<Core>,
    report: RecoveryReport,
    shut_down: OnceCell<Result<ShutdownReport, Refused>>,
}

impl Runtime {
    pub(crate) fn new(core: Arc<Core>, report: RecoveryReport) -> Self {
        let owner = Owner { core: Arc::clone(&core), report, shut_down: OnceCell::new() };
        Self { core, owner: Arc::new(owner) }
    }

    /// A reference to the actor of this key, which exists whether anything was ever sent to it or not.
    ///
    /// # Errors
    /// [`ReferError`] when the key breaks a rule, or the kind is not registered.
    pub fn actor<A: Actor>(&self, key: &str) -> Result<ActorRef<A>, ReferError> {
        let id = ActorId::new(A::KIND, key)?;
        let slot = self.core.slot(&id).ok_or(ReferError::UnknownKind { kind: A::KIND })?;
        Ok(ActorRef::new(Arc::clone(&self.core), slot))
    }

    /// A sender outside that numbers its messages, so that it may send everything again after a crash.
    ///
    /// # Errors
    /// [`NameError`] when the name breaks a rule.
    pub fn producer(&self, name: &str) -> Result<Producer, NameError> {
        check_name("producer name", name)?;
        Ok(Producer::new(Arc::clone(&self.core), Name::from(name)))
    }

    /// What the opening found and did.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.owner.report
    }

    /// What was counted since the opening.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core.counters.snapshot()
    }

    /// Why the runtime takes nothing any more, when its store has failed ([`Refused::Failed`]) or the tokio in which it was
    /// opened is gone ([`Refused::HostGone`]). What was acknowledged is there after reopening.
    #[must_use]
    pub fn failed(&self) -> Option<Refused> {
        self.core.stop_reason().filter(|reason| !matches!(reason, Refused::Stopped))
    }

    /// The actors that have failed, with the reason of each.
    #[must_use]
    pub fn failed_actors(&self) -> Vec<Arc<ActorFailure>> {
        self.core.all_slots().iter().filter_map(|slot| slot.failure()).collect()
    }

    /// The deliveries that their actors were to leave out because they kept failing, by actor and position: of all
    /// actors that can be restored, in memory or not. Each stays, through crashes and reopenings, until it is tried again or
    /// dropped.
    #[must_use]
    pub fn quarantined(&self) -> Vec<Arc<Quarantined>> {
        self.core.quarantine.all()
    }

    /// Takes a delivery out of quarantine and delivers its message anew, as one from outside and after all that the
    /// actor has received by now. Gives the new delivery, when both are on stable storage. Its side effects keep
    /// their idempotency keys.
    ///
    /// # Errors
    /// [`Refused::NotQuarantined`] when it has left the quarantine before; [`Refused::Unhandled`] when no handler takes
    /// the message any more; [`Refused::Actor`], [`Refused::Failed`] and
    /// [`Refused::Stopped`] leave it *unknown* whether it has.
    ///
    /// # Cancel safety
    /// Dropped, it may or may not leave the quarantine, and is then delivered.
    pub async fn retry_quarantined(&self, entry: &Quarantined) -> Result<Rsn, Refused> {
        let slot = self.core.slot(&entry.actor).ok_or_else(|| not_quarantined(entry))?;
        if !slot.kind.handles(&entry.message) {
            let (actor, message) = (entry.actor.clone(), entry.message.clone());
            return Err(Refused::Unhandled { actor, message });
        }
        let places = places_of(&entry.payload);
        may_wait_for(&slot)?;
        let held = self.core.unless_stopped(slot.places.acquire_many(places)).await?;
        held.map_err(|_| Refused::Stopped)?.forget();
        self.discharge(entry, Some(places)).await
    }

    /// Takes a delivery out of quarantine and forgets it: its message is never handled.
    ///
    /// # Errors
    /// As [`Runtime::retry_quarantined`].
    ///
    /// # Cancel safety
    /// Dropped, it may or may not leave the quarantine.
    pub async fn drop_quarantined(&self, entry: &Quarantined) -> Result<(), Refused> {
        self.discharge(entry, None).await.map(drop)
    }

    async fn discharge(&self, entry: &Quarantined, anew: Option<u32>) -> Result<Rsn, Refused> {
        let slot = self.core.slot(&entry.actor).ok_or_else(|| not_quarantined(entry))?;
        may_wait_for(&slot)?;
        let (done, outcome) = oneshot::channel();
        let request = DischargeRequest { rsn: entry.rsn, anew, done };
        match self.core.intake().and_then(|()| slot.request_discharge(request)) {
            Ok(wake) => begin(&self.core, wake),
            Err(reason) => {
                slot.places.add_permits(anew.unwrap_or_default() as usize);
                return Err(reason);
            }
        }
        answer(&self.core, &slot, outcome).await
    }

    /// How many actors are in memory; all others are passive.
    #[must_use]
    pub fn actors_in_memory(&self) -> usize {
        self.core.slots.iter().filter(|slot| slot.is_in_memory()).count()
    }

    /// How many bytes of log are kept.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        self.core.committer.retained.bytes()
    }

    /// Cuts the log below everything that any actor needs, and gives where it begins then. The runtime does this by
    /// itself when the log has reached half its budget.
    ///
    /// # Errors
    /// [`Refused::Failed`] or [`Refused::Stopped`].
    ///
    /// # Cancel safety
    /// Dropped, the cut is made all the same.
    pub async fn cut_log(&self) -> Result<Lsn, Refused> {
        self.core.unless_stopped(cut(&self.core)).await?
    }

    /// Ends the runtime in good order: takes nothing more from outside, handles what was accepted, checkpoints every actor
    /// that has log after its checkpoint, syncs, and closes the store. The next opening has nothing to replay, so that it
    /// may run other code; the report says where that could not be reached.
    ///
    /// Each part is bounded by [`Builder::shutdown_timeout`](crate::Builder::shutdown_timeout). When actors are still busy
    /// after that (they keep sending to each other, or a handler waits for its side effect), what they send from then on
    /// stays owed and goes out after the next opening; and a handler that does not end is left, to be run again then.
    ///
    /// # Errors
    /// [`Refused::Failed`] when the store failed before or meanwhile; what was acknowledged is there after reopening.
    ///
    /// # Cancel safety
    /// Dropped, it goes on when it is called again, on this or another clone; when all are dropped, the runtime ends as by a
    /// crash.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(runtime: relive::Runtime) -> Result<(), relive::Refused> {
    /// for left in runtime.shutdown().await?.left {
    ///     eprintln!("{} has something left to replay: {}", left.actor, left.reason);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn shutdown(&self) -> impl Future<Output = Result<ShutdownReport, Refused>> + Send + use<> {
        let owner = Arc::clone(&self.owner);
        async move { owner.shut_down.get_or_init(|| shut_down(&owner.core)).await.clone() }
    }

    /// Ends the runtime as a crash would: what is not on stable storage is given up, nothing is checkpointed. Returns when
    /// the store is closed. For tests of what survives.
    ///
    /// # Cancel safety
    /// Dropped, the runtime has ended all the same.
    pub fn crash(&self) -> impl Future<Output = ()> + Send + use<> {
        let core = Arc::clone(&self.core);
        async move {
            core.stop(Refused::Stopped);
            // A crash has nobody to tell.
            let _ = close(&core, false).await;
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.core.stop(Refused::Stopped);
        drop(self.core.release_store());
        self.core.checkpointer.abandon();
        self.core.committer.stop(false);
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("report", &self.owner.report).finish_non_exhaustive()
    }
}

fn not_quarantined(entry: &Quarantined) -> Refused {
    Refused::NotQuarantined { actor: entry.actor.clone(), rsn: entry.rsn }
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
