//! What the runtime knows of one actor, in memory or passive: its mailbox, its phase, its outbox,
//! and the part of the log that it pins.

use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::ops::Deref;
use std::sync::Arc;

use relive_replay::{Halt, Kind};
use relive_storage::{ActorId, Rsn};
use tokio::sync::oneshot;

use crate::actor::activation::Activation;
use crate::actor::envelope::{CheckpointRequest, DischargeRequest};
use crate::actor::mailbox::{Batch, Mail, Mailbox, Next};
use crate::actor::outbox::Outbox;
use crate::actor::patience::{Holder, Tries};
use crate::actor::phase::{Intake, Phase, WaitingHandler};
use crate::actor::places::Places;
use crate::actor::queries::Queries;
use crate::actor::replies::Arrivals;
use crate::backpressure::Backpressure;
use crate::error::{ActorFailure, CheckpointError, FailureCause, Unavailable};
use crate::limits::MAILBOX_PLACES_MAX;
use crate::retention::pin_index::PinIndex;
use crate::retention::pins::Pins;
use crate::sync::{Mutex, MutexGuard, Notify, Rank};

/// One actor of the runtime.
pub(crate) struct ActorCell {
    pub(crate) id: ActorId,
    pub(crate) kind: Arc<dyn Kind>,
    /// The places that messages from outside hold in the bounded mailbox.
    pub(crate) places: Places,
    /// Wakes the actor's turn while it waits for new mail or an acknowledgement.
    pub(super) news: Notify,
    inner: Mutex<Inner>,
    pub(super) outbox: Mutex<Outbox>,
    pins: Mutex<Pins>,
    pin_index: Arc<PinIndex>,
    /// Counts what the mailbox has accepted and the log does not have.
    backpressure: Arc<Backpressure>,
    /// How many messages from the mailbox are on stable storage.
    pub(super) logged: AtomicU64,
    /// The number of the last message whose receipt somebody has awaited before it was there.
    pub(super) awaited: AtomicU64,
    pub(super) logged_news: Notify,
    /// Odd while the handler waits for something outside.
    pub(super) waits: AtomicU64,
    /// How many attempts at a checkpoint of the actor did not count.
    unsaved: AtomicU64,
    /// Something is in `Inner::queries` for a turn. Changes under the lock.
    pub(super) queried: AtomicBool,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) mail: Mailbox,
    accepted: u64,
    pub(super) phase: Phase,
    pub(super) checkpoint: Option<CheckpointRequest>,
    discharges: Vec<DischargeRequest>,
    pub(super) queries: Option<Box<Queries>>,
    /// A timer is due, and the turn has not looked since.
    timers: bool,
    pub(super) last_active: u64,
    /// The turn waits for news, so the next wake must notify it.
    listens: bool,
    /// The replies that have come; `None` for the many actors that ask nobody.
    pub(super) replies: Option<Box<Arrivals>>,
    /// The wait of the handler, while it waits, and who wants the turn to pause.
    pub(super) waiting: Option<Box<WaitingHandler>>,
}

/// What the caller must do after it has put something into a cell.
#[must_use = "the actor goes on only when its turn is begun"]
pub(crate) enum Wake {
    /// Start a turn.
    Start(Start),
    /// Nothing: a turn is under way and will see it, or the actor has failed.
    Running,
}

/// An actor for which the caller must start a turn, from memory or by activation. An actor has at
/// most one `Start` at a time. The caller must not drop it without a turn, because no other code
/// would run the actor. If that happens all the same, the actor rests as before, and its next
/// message or request starts a turn.
#[must_use = "nobody runs the actor when its turn is not begun"]
pub(crate) struct Start {
    cell: Arc<ActorCell>,
    active: Option<Option<Box<Activation>>>,
}

impl Start {
    pub(super) fn new(cell: &Arc<ActorCell>, active: Box<Activation>) -> Self {
        Self { cell: Arc::clone(cell), active: Some(Some(active)) }
    }

    /// Takes the actor. From now on the turn must make the actor rest again, or fail.
    pub(crate) fn take(mut self) -> (Arc<ActorCell>, Option<Box<Activation>>) {
        (Arc::clone(&self.cell), self.active.take().flatten())
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        if let Some(active) = self.active.take() {
            tracing::error!(actor = %self.cell.id, "a turn was not begun");
            debug_assert!(std::thread::panicking(), "the turn of {} was not begun", self.cell.id);
            self.cell.inner().phase = active.map_or(Phase::Passive, Phase::Idle);
        }
    }
}

impl ActorCell {
    pub(crate) fn new(
        id: ActorId,
        kind: Arc<dyn Kind>,
        pin_index: Arc<PinIndex>,
        backpressure: Arc<Backpressure>,
    ) -> Self {
        let older = pin_index.wake(&id);
        Self {
            id,
            kind,
            places: Places::new(MAILBOX_PLACES_MAX),
            news: Notify::new(),
            inner: Mutex::new(Rank::Cell, Inner::default()),
            outbox: Mutex::new(Rank::Outbox, Outbox::default()),
            pins: Mutex::new(Rank::Pins, Pins::recovered(older, None)),
            pin_index,
            backpressure,
            logged: AtomicU64::new(0),
            awaited: AtomicU64::new(0),
            logged_news: Notify::new(),
            waits: AtomicU64::new(0),
            unsaved: AtomicU64::new(0),
            queried: AtomicBool::new(false),
        }
    }

    /// Puts a message into the mailbox, and returns the message's number there.
    pub(crate) fn push(self: &Arc<Self>, mail: Mail<'_>, now: u64) -> Result<(u64, Wake), Unavailable> {
        let mut inner = self.inner();
        // Under the lock of the mailbox: `fail` refuses what it finds there, and nobody would tell
        // the sender of a message that comes later.
        if let Phase::Failed(failure) = &inner.phase {
            return Err(Unavailable::Actor(Arc::clone(failure)));
        }
        inner.mail.push(mail, &self.places);
        inner.mail.count(&self.backpressure);
        inner.accepted += 1;
        inner.last_active = now;
        let number = inner.accepted;
        Ok((number, self.wake(inner)))
    }

    /// Asks for a checkpoint. `waiter` learns when it is on stable storage.
    pub(crate) fn request_checkpoint(
        self: &Arc<Self>,
        waiter: Option<oneshot::Sender<Result<Rsn, CheckpointError>>>,
    ) -> Option<Wake> {
        let mut inner = self.inner();
        if let Phase::Failed(failure) = &inner.phase {
            if let Some(waiter) = waiter {
                let _ = waiter.send(Err(Unavailable::Actor(Arc::clone(failure)).into()));
            }
            return None;
        }
        inner.checkpoint.get_or_insert_default().waiters.extend(waiter);
        Some(self.wake(inner))
    }

    /// Asks the actor to take a delivery out of quarantine.
    pub(crate) fn request_discharge(
        self: &Arc<Self>,
        request: DischargeRequest,
    ) -> Result<Wake, Unavailable> {
        let mut inner = self.inner();
        if let Phase::Failed(failure) = &inner.phase {
            return Err(Unavailable::Actor(Arc::clone(failure)));
        }
        inner.discharges.push(request);
        Ok(self.wake(inner))
    }

    /// A timer of the actor is due: its turn looks which, between two deliveries.
    pub(crate) fn wake_for_timers(self: &Arc<Self>, now: u64) -> Wake {
        let mut inner = self.inner();
        if matches!(inner.phase, Phase::Failed(_)) {
            return Wake::Running;
        }
        inner.timers = true;
        inner.last_active = now;
        self.wake(inner)
    }

    /// Hands the actor to a turn after something was put into the cell, or wakes the turn that
    /// waits for it.
    pub(super) fn wake(self: &Arc<Self>, mut inner: MutexGuard<'_, Inner>) -> Wake {
        let wake = inner.wake(self);
        let listens = std::mem::take(&mut inner.listens);
        // The turn that is notified takes this lock first of all.
        drop(inner);
        if listens {
            self.news.notify_one();
        }
        wake
    }

    /// Waits until something is put into the cell, or a message of the actor is acknowledged.
    pub(crate) async fn news(&self) {
        let silent = {
            let mut inner = self.inner();
            inner.listens = !inner.has_work();
            inner.listens
        };
        if silent {
            // `notify_one` leaves a permit, so a wake between the unlock and this line is not lost.
            self.news.notified().await;
        }
    }

    /// Waits until mail comes, while the handler waits: a turn takes the other requests between two
    /// deliveries.
    pub(crate) async fn new_mail(&self) {
        let silent = {
            let mut inner = self.inner();
            inner.listens = inner.mail.is_empty();
            inner.listens
        };
        if silent {
            self.news.notified().await;
        }
    }

    /// Takes the mail, as [`ActorCell::take_mail`], and no request.
    pub(crate) fn take_mail_alone(&self, mail: &mut Batch) {
        let mut inner = self.inner();
        inner.assert_running();
        inner.mail.take(mail);
    }

    /// Starts a turn for the deliveries that a recovered actor still has to handle.
    pub(crate) fn start(self: &Arc<Self>) -> Wake {
        self.inner().wake(self)
    }

    /// Takes the mail, within the limits of one intake, into the empty batch `mail`, and returns
    /// the requests. The turn has taken `untold` messages before of which nobody has been told.
    pub(crate) fn take_mail(&self, mail: &mut Batch, untold: u64) -> Intake {
        let mut inner = self.inner();
        inner.assert_running();
        // A receipt resolves by this count: one too many would promise what a crash may lose.
        let (logged, waiting) = (self.logged.load(Ordering::Acquire), inner.mail.len() as u64);
        assert_eq!(logged + untold + waiting, inner.accepted, "what was taken of {} is logged", self.id);
        inner.mail.take(mail);
        let (discharges, timers) = (std::mem::take(&mut inner.discharges), std::mem::take(&mut inner.timers));
        let replies = inner.replies.as_mut().map(|replies| replies.take(None)).unwrap_or_default();
        Intake { checkpoint: inner.checkpoint.take(), discharges, timers, replies }
    }

    /// Puts mail back that a turn took and did not look at.
    pub(crate) fn give_back(&self, mail: Batch) {
        self.inner().mail.put_back(mail);
    }

    /// Ends a turn, unless something has come in the meantime: then returns the actor, and the turn
    /// goes on.
    ///
    /// # Panics
    /// When no turn runs the actor, or it has deliveries ahead.
    pub(crate) fn rest(&self, mut active: Box<Activation>) -> Option<Box<Activation>> {
        let (handled, received) = (active.instance.handled(), active.instance.received());
        assert_eq!(handled, received, "{} rests with nothing ahead", self.id);
        assert_eq!(active.places.len(), 0, "{} rests, and its senders have all places", self.id);
        // One lock covers the look and the change of phase: a message that comes now is seen here,
        // or finds the actor idle and starts a turn.
        let mut inner = self.inner();
        inner.assert_running();
        if inner.is_needed() {
            return Some(active);
        }
        // An idle actor must take little memory.
        inner.mail.retire();
        let queries = inner.retire_queries();
        active.backlog = Default::default();
        if !std::mem::take(&mut active.unlearned).is_empty() {
            // The actor that answered keeps the reply until it is acknowledged.
            tracing::error!(actor = %self.id, "a reply came to a request that was never made");
        }
        inner.phase = Phase::Idle(active);
        drop(inner);
        drop(queries);
        None
    }

    /// Stops the actor for good, and tells every waiting caller.
    pub(crate) fn fail(&self, cause: FailureCause, halt: Halt, tries: u32) -> Arc<ActorFailure> {
        let failure = Arc::new(ActorFailure { actor: self.id.clone(), cause, tries, halt });
        let (mut mail, request, discharges, queries) = {
            let mut inner = self.inner();
            // The phase changes with what it takes away, so nothing is pushed in between.
            inner.phase = Phase::Failed(Arc::clone(&failure));
            let discharges = std::mem::take(&mut inner.discharges);
            (inner.mail.take_all(), inner.checkpoint.take(), discharges, inner.queries.take())
        };
        if let Some(mut queries) = queries {
            queries.refuse(&failure);
        }
        for discharge in discharges {
            let _ = discharge.done.send(Err(Unavailable::Actor(Arc::clone(&failure)).into()));
        }
        while let Some(next) = mail.pop() {
            if let Next::One(envelope, _) = next {
                envelope.waiter.refuse(Unavailable::Actor(Arc::clone(&failure)));
            }
        }
        if let Some(request) = request {
            request.tell(&Err(Unavailable::Actor(Arc::clone(&failure)).into()));
        }
        // Last: who waits for this looks at the phase, which is set by now.
        self.logged_news.notify_waiters();
        failure
    }

    /// Puts an actor that recovery has restored into memory.
    pub(crate) fn install(&self, active: Box<Activation>) {
        let mut inner = self.inner();
        assert!(matches!(inner.phase, Phase::Passive), "{} is restored once", self.id);
        inner.phase = Phase::Idle(active);
    }

    /// Why the actor is stopped, if it is.
    pub(crate) fn failure(&self) -> Option<Arc<ActorFailure>> {
        self.inner().phase.failure()
    }

    /// Applies `look` to an actor that rests in memory.
    pub(crate) fn with_idle<T>(&self, look: impl FnOnce(&Activation, u64) -> T) -> Option<T> {
        let inner = self.inner();
        match &inner.phase {
            Phase::Idle(active) => Some(look(active, inner.last_active)),
            _ => None,
        }
    }

    /// Takes an actor out of memory when it rests and `may` says so.
    pub(crate) fn passivate(&self, may: impl FnOnce(&Activation) -> bool) -> bool {
        let mut inner = self.inner();
        let ready = match &inner.phase {
            Phase::Idle(active) => !inner.is_needed() && may(active),
            _ => false,
        };
        let left = ready.then(|| (std::mem::take(&mut inner.phase), inner.retire_queries()));
        drop(inner);
        // Drops the state without the lock: it is the user's type, and dropping it runs the user's
        // code.
        left.is_some()
    }

    /// Whether the actor's state is in memory.
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.inner().phase, Phase::Idle(_) | Phase::Running | Phase::Lent)
    }

    /// Whether a turn runs the actor.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.inner().phase, Phase::Running)
    }

    /// Whether the actor is in memory, or has failed: all that its checkpoint says may be old.
    pub(crate) fn is_active(&self) -> bool {
        !matches!(self.inner().phase, Phase::Passive)
    }

    /// Whether the runtime can forget the cell without losing anything.
    pub(crate) fn is_forgettable(&self) -> bool {
        let inner = self.inner();
        // The lock is held over all four: a message in between would be forgotten with the cell.
        matches!(inner.phase, Phase::Passive)
            && !inner.is_needed()
            && self.pins().needed().is_none()
            && !self.has_unacknowledged()
    }

    /// How many messages wait in the mailbox.
    pub(crate) fn waiting(&self) -> usize {
        self.inner().mail.len()
    }

    /// Which part of the log the actor needs.
    pub(crate) fn pins(&self) -> impl Deref<Target = Pins> + '_ {
        self.pins.lock()
    }

    /// Changes which part of the log the actor needs.
    pub(crate) fn change_pins(&self, change: impl FnOnce(&mut Pins)) {
        let mut pins = self.pins.lock();
        let before = pins.needed();
        change(&mut pins);
        let after = pins.needed();
        // Under the lock of the pins, so that the index gets two changes in their order.
        if before != after {
            self.pin_index.changed(&self.id, before, after);
        }
    }

    /// Counts an attempt at a checkpoint that does not count as one.
    pub(crate) fn unsaved(&self) {
        self.unsaved.fetch_add(1, Ordering::Relaxed);
    }

    /// The part of the actor's state that shows whether it can be checkpointed.
    pub(crate) fn holder(&self) -> Holder {
        let (waits, unsaved) = (self.waits.load(Ordering::Relaxed), self.unsaved.load(Ordering::Relaxed));
        Holder {
            is_stopped: self.failure().is_some(),
            is_pending: self.pins().is_pending(),
            tries: Tries { waits, unsaved },
        }
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }
}

impl Inner {
    pub(super) fn has_work(&self) -> bool {
        !self.mail.is_empty()
            || self.checkpoint.is_some()
            || !self.discharges.is_empty()
            || self.timers
            || self.has_replies()
    }

    pub(super) fn has_replies(&self) -> bool {
        self.replies.as_ref().is_some_and(|replies| !replies.is_empty())
    }

    /// Whether a turn or a query has anything to do here.
    fn is_needed(&self) -> bool {
        self.has_work() || self.queries.as_ref().is_some_and(|queries| queries.has_any())
    }

    /// Takes away what an actor without queries does not need, which the caller drops without the
    /// lock: it holds a waker.
    fn retire_queries(&mut self) -> Option<Box<Queries>> {
        self.queries.take_if(|queries| !queries.has_any() && !queries.is_awaited())
    }

    fn assert_running(&self) {
        assert!(matches!(self.phase, Phase::Running), "only the turn of an actor takes and rests");
    }

    pub(super) fn assert_lent(&self) {
        assert!(matches!(self.phase, Phase::Lent), "only the query that has an actor gives it back");
    }

    /// Hands the actor to a turn, unless a turn or a query has it or it has failed.
    pub(super) fn wake(&mut self, cell: &Arc<ActorCell>) -> Wake {
        match self.phase.hand_out() {
            Some(active) => Wake::Start(Start { cell: Arc::clone(cell), active: Some(active) }),
            None => Wake::Running,
        }
    }
}

#[cfg(test)]
#[path = "cell_tests.rs"]
mod tests;
