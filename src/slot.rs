//! What the runtime knows of one actor, in memory or passive: its mailbox, its phase, what it owes, what it pins.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use relive_replay::{Halt, Kind, Outgoing};
use relive_storage::{ActorId, Rsn, Ssn};
use tokio::sync::{Notify, Semaphore, oneshot};

use crate::active::Active;
use crate::envelope::{CheckpointRequest, Debtor, DischargeRequest};
use crate::error::{ActorFailure, FailureCause, Refused};
use crate::limits::{MAILBOX_PLACES_MAX, OUTBOX_MESSAGES_MAX};
use crate::mailbox::{Batch, Mail, Mailbox, Next};
use crate::needs::Needs;
use crate::outbox::Outbox;
use crate::patience::{Holder, Tries};
use crate::pins::Pins;

/// One actor of the runtime.
pub(crate) struct Slot {
    pub(crate) id: ActorId,
    pub(crate) kind: Arc<dyn Kind>,
    /// The places of the bounded mailbox for messages from outside.
    pub(crate) places: Semaphore,
    /// Told of new mail and of settled messages while the actor's turn waits for either.
    news: Notify,
    inner: Mutex<Inner>,
    outbox: Mutex<Outbox>,
    pins: Mutex<Pins>,
    needs: Arc<Needs>,
    /// How many messages from the mailbox are on stable storage.
    logged: AtomicU64,
    logged_news: Notify,
    /// Odd while the handler waits for something outside.
    waits: AtomicU64,
    /// Checkpoints that were taken and do not count.
    unsaved: AtomicU64,
}

#[derive(Default)]
struct Inner {
    mail: Mailbox,
    accepted: u64,
    phase: Phase,
    checkpoint: Option<CheckpointRequest>,
    discharges: Vec<DischargeRequest>,
    last_active: u64,
    /// The turn waits for new mail.
    listens: bool,
}

/// Where an actor is in its life.
#[derive(Default)]
pub(crate) enum Phase {
    /// Not in memory.
    #[default]
    Passive,
    /// In memory, with nothing to do.
    Idle(Box<Active>),
    /// In the hands of a turn.
    Running,
    /// Stopped for good.
    Failed(Arc<ActorFailure>),
}

/// What a turn finds beside the mail.
pub(crate) struct Intake {
    pub(crate) checkpoint: Option<CheckpointRequest>,
    pub(crate) discharges: Vec<DischargeRequest>,
}

/// What follows from putting something into a slot.
#[must_use = "the actor goes on only when its turn is begun"]
pub(crate) enum Wake {
    /// A turn is to be started.
    Start(Start),
    /// A turn is under way and will see it.
    Running,
}

/// An actor that is to be run by a turn, from memory or by activation. Whoever has it is the only one; dropped without a
/// turn, it puts the actor back to where it was.
pub(crate) struct Start {
    slot: Arc<Slot>,
    active: Option<Option<Box<Active>>>,
}

impl Start {
    /// Takes the actor; the turn sees to it from now on that it rests again, or fails.
    pub(crate) fn take(mut self) -> (Arc<Slot>, Option<Box<Active>>) {
        (Arc::clone(&self.slot), self.active.take().flatten())
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        if let Some(active) = self.active.take() {
            self.slot.inner().phase = active.map_or(Phase::Passive, Phase::Idle);
        }
    }
}

impl Slot {
    pub(crate) fn new(id: ActorId, kind: Arc<dyn Kind>, needs: Arc<Needs>) -> Self {
        let older = needs.wake(&id);
        Self {
            id,
            kind,
            places: Semaphore::new(MAILBOX_PLACES_MAX),
            news: Notify::new(),
            inner: Mutex::default(),
            outbox: Mutex::default(),
            pins: Mutex::new(Pins::recovered(older, None)),
            needs,
            logged: AtomicU64::new(0),
            logged_news: Notify::new(),
            waits: AtomicU64::new(0),
            unsaved: AtomicU64::new(0),
        }
    }

    /// Puts a message into the mailbox; gives its number there.
    pub(crate) fn push(self: &Arc<Self>, mail: Mail<'_>, now: u64) -> Result<(u64, Wake), Refused> {
        let mut inner = self.inner();
        if let Phase::Failed(failure) = &inner.phase {
            return Err(Refused::Actor(Arc::clone(failure)));
        }
        inner.mail.push(mail);
        inner.accepted += 1;
        inner.last_active = now;
        let number = inner.accepted;
        Ok((number, self.wake(inner)))
    }

    /// Asks for a checkpoint; `waiter` is told when it is stable.
    pub(crate) fn request_checkpoint(
        self: &Arc<Self>,
        waiter: Option<oneshot::Sender<Result<Rsn, Refused>>>,
    ) -> Option<Wake> {
        let mut inner = self.inner();
        if let Phase::Failed(failure) = &inner.phase {
            if let Some(waiter) = waiter {
                let _ = waiter.send(Err(Refused::Actor(Arc::clone(failure))));
            }
            return None;
        }
        inner.checkpoint.get_or_insert_default().waiters.extend(waiter);
        Some(self.wake(inner))
    }

    /// Asks for a delivery to be taken out of quarantine.
    pub(crate) fn request_discharge(self: &Arc<Self>, request: DischargeRequest) -> Result<Wake, Refused> {
        let mut inner = self.inner();
        if let Phase::Failed(failure) = &inner.phase {
            return Err(Refused::Actor(Arc::clone(failure)));
        }
        inner.discharges.push(request);
        Ok(self.wake(inner))
    }

    /// Something was put into the slot: hands the actor to a turn, or tells the turn that waits for it.
    fn wake(self: &Arc<Self>, mut inner: MutexGuard<'_, Inner>) -> Wake {
        let wake = inner.wake(self);
        let listens = std::mem::take(&mut inner.listens);
        drop(inner);
        if listens {
            self.news.notify_one();
        }
        wake
    }

    /// Waits until something is put into the slot, or a message that the actor owes is settled.
    pub(crate) async fn news(&self) {
        let silent = {
            let mut inner = self.inner();
            inner.listens = !inner.has_work();
            inner.listens
        };
        if silent {
            self.news.notified().await;
        }
    }

    /// Starts a turn for what a recovered actor has still to do.
    pub(crate) fn start(self: &Arc<Self>) -> Wake {
        self.inner().wake(self)
    }

    /// Takes what is there: the mail, within the limits of one intake, goes to `mail`, which is empty.
    pub(crate) fn take_mail(&self, mail: &mut Batch) -> Intake {
        let mut inner = self.inner();
        inner.mail.take(mail);
        Intake { checkpoint: inner.checkpoint.take(), discharges: std::mem::take(&mut inner.discharges) }
    }

    /// Puts mail back that was taken and not looked at.
    pub(crate) fn give_back(&self, mail: Batch) {
        self.inner().mail.put_back(mail);
    }

    /// Ends a turn, unless something has come in the meantime: then gives the actor back.
    pub(crate) fn rest(&self, mut active: Box<Active>) -> Option<Box<Active>> {
        let mut inner = self.inner();
        if inner.has_work() {
            return Some(active);
        }
        // An idle actor is to take little memory.
        inner.mail.retire();
        active.backlog = Default::default();
        inner.phase = Phase::Idle(active);
        None
    }

    /// Stops the actor for good, and tells everybody who waits.
    pub(crate) fn fail(&self, cause: FailureCause, halt: Halt, tries: u32) -> Arc<ActorFailure> {
        let failure = Arc::new(ActorFailure { actor: self.id.clone(), cause, tries, halt });
        let (mut mail, request, discharges) = {
            let mut inner = self.inner();
            inner.phase = Phase::Failed(Arc::clone(&failure));
            (inner.mail.take_all(), inner.checkpoint.take(), std::mem::take(&mut inner.discharges))
        };
        for discharge in discharges {
            self.places.add_permits(discharge.anew.unwrap_or_default() as usize);
            let _ = discharge.done.send(Err(Refused::Actor(Arc::clone(&failure))));
        }
        while let Some(next) = mail.pop() {
            match next {
                Next::Run(_, places) => self.places.add_permits(places as usize),
                Next::One(envelope) => {
                    self.places.add_permits(envelope.places() as usize);
                    envelope.waiter.refuse(Refused::Actor(Arc::clone(&failure)));
                }
            }
        }
        if let Some(request) = request {
            request.tell(&Err(Refused::Actor(Arc::clone(&failure))));
        }
        self.logged_news.notify_waiters();
        failure
    }

    /// Puts an actor that recovery has restored into memory.
    pub(crate) fn install(&self, active: Box<Active>) {
        self.inner().phase = Phase::Idle(active);
    }

    /// Why the actor is stopped, if it is.
    pub(crate) fn failure(&self) -> Option<Arc<ActorFailure>> {
        match &self.inner().phase {
            Phase::Failed(failure) => Some(Arc::clone(failure)),
            _ => None,
        }
    }

    /// Looks at an actor that rests in memory.
    pub(crate) fn with_idle<T>(&self, look: impl FnOnce(&Active, u64) -> T) -> Option<T> {
        let inner = self.inner();
        match &inner.phase {
            Phase::Idle(active) => Some(look(active, inner.last_active)),
            _ => None,
        }
    }

    /// Takes an actor out of memory when it rests and `may` says so.
    pub(crate) fn passivate(&self, may: impl FnOnce(&Active) -> bool) -> bool {
        let mut inner = self.inner();
        let ready = match &inner.phase {
            Phase::Idle(active) => !inner.has_work() && may(active),
            _ => false,
        };
        let left = ready.then(|| std::mem::take(&mut inner.phase));
        drop(inner);
        // The state is the user's, and so is what happens when it is dropped.
        left.is_some()
    }

    /// Whether the actor's state is in memory.
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.inner().phase, Phase::Idle(_) | Phase::Running)
    }

    /// Whether nothing is lost when the runtime forgets the slot.
    pub(crate) fn is_forgettable(&self) -> bool {
        let inner = self.inner();
        matches!(inner.phase, Phase::Passive)
            && !inner.has_work()
            && self.pins().needed().is_none()
            && self.outbox().owed() == 0
    }

    /// How many messages wait in the mailbox.
    pub(crate) fn waiting(&self) -> usize {
        self.inner().mail.len()
    }

    /// Owes messages.
    pub(crate) fn owe(&self, messages: &[Outgoing]) {
        let mut outbox = self.outbox();
        for outgoing in messages {
            outbox.push(outgoing.clone());
        }
    }

    /// All messages owed.
    pub(crate) fn owed(&self) -> Vec<Outgoing> {
        self.outbox().messages()
    }

    /// Whether the actor owes as much as it may.
    pub(crate) fn owes_too_much(&self) -> bool {
        self.outbox().owed() >= OUTBOX_MESSAGES_MAX
    }

    /// Whether the actor owes anything.
    pub(crate) fn owes(&self) -> bool {
        self.outbox().owed() > 0
    }

    /// Which part of the log the actor needs.
    pub(crate) fn pins(&self) -> impl Deref<Target = Pins> + '_ {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes which part of the log the actor needs.
    pub(crate) fn change_pins(&self, change: impl FnOnce(&mut Pins)) {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        let before = pins.needed();
        change(&mut pins);
        let after = pins.needed();
        if before != after {
            self.needs.changed(&self.id, before, after);
        }
    }

    /// The handler begins to wait for something outside, until what this gives is dropped.
    pub(crate) fn begin_wait(&self) -> impl Drop + '_ {
        struct Waits<'s>(&'s AtomicU64);
        impl Drop for Waits<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.waits.fetch_add(1, Ordering::Relaxed);
        Waits(&self.waits)
    }

    /// A checkpoint of the actor does not count.
    pub(crate) fn unsaved(&self) {
        self.unsaved.fetch_add(1, Ordering::Relaxed);
    }

    /// How the actor stands to being checkpointed.
    pub(crate) fn holder(&self) -> Holder {
        let (waits, unsaved) = (self.waits.load(Ordering::Relaxed), self.unsaved.load(Ordering::Relaxed));
        Holder {
            is_stopped: self.failure().is_some(),
            is_pending: self.pins().is_pending(),
            tries: Tries { waits, unsaved },
        }
    }

    /// So many more messages of the mailbox are on stable storage.
    pub(crate) fn logged(&self, messages: u64) {
        self.logged.fetch_add(messages, Ordering::Release);
        self.logged_news.notify_waiters();
    }

    /// Waits until the actor has failed.
    pub(crate) async fn wait_failure(&self) -> Arc<ActorFailure> {
        loop {
            let news = self.logged_news.notified();
            if let Some(failure) = self.failure() {
                return failure;
            }
            news.await;
        }
    }

    /// Waits until the message with that number is on stable storage, or the actor has failed.
    pub(crate) async fn wait_logged(&self, number: u64) -> Result<(), Refused> {
        loop {
            let news = self.logged_news.notified();
            if self.logged.load(Ordering::Acquire) >= number {
                return Ok(());
            }
            if let Some(failure) = self.failure() {
                return Err(Refused::Actor(failure));
            }
            news.await;
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debtor for Slot {
    fn settle(&self, receiver: &ActorId, ssn: Ssn) {
        self.outbox().settle(receiver, ssn);
        self.news.notify_one();
    }
}

impl Inner {
    fn has_work(&self) -> bool {
        !self.mail.is_empty() || self.checkpoint.is_some() || !self.discharges.is_empty()
    }

    /// Hands the actor to a turn, when it is in none.
    fn wake(&mut self, slot: &Arc<Slot>) -> Wake {
        let start = |active| Wake::Start(Start { slot: Arc::clone(slot), active: Some(active) });
        match std::mem::replace(&mut self.phase, Phase::Running) {
            Phase::Passive => start(None),
            Phase::Idle(active) => start(Some(active)),
            Phase::Running => Wake::Running,
            failed @ Phase::Failed(_) => {
                self.phase = failed;
                Wake::Running
            }
        }
    }
}
