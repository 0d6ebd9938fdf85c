//! The way of a message through its actor: mailbox -> [`receive`](crate::turn::intake) ->
//! [`handle`](crate::turn::delivery). A turn begins when a message comes to an actor that rests,
//! and ends when nothing is left to do.
//!
//! An actor that waits for its outputs alone ([`Discipline::BeforeOutput`]) handles at once, and
//! holds its [`outputs`] back instead.
//!
//! Must not know how a runtime is opened, or what callers hold.
//!
//! # Source
//! Receiver-based pessimistic message logging: Elnozahy, Alvisi, Wang and Johnson, *A Survey of
//! Rollback-Recovery Protocols in Message-Passing Systems*, ACM Computing Surveys 34(3), 2002,
//! section 4.1. Unlike optimistic logging (Strom and Yemini, *Optimistic Recovery in Distributed
//! Systems*, ACM TOCS 3(3), 1985), a crash of one actor never rolls another one back: by default a
//! handler never runs on a message that a crash may lose, and otherwise all actors lose it
//! together, since they have one log.

pub(crate) mod acks;
pub(crate) mod delivery;
pub(crate) mod dispatch;
pub(crate) mod firing;
pub(crate) mod inquiries;
pub(crate) mod intake;
pub(crate) mod live;
pub(crate) mod outputs;
pub(crate) mod queries;
pub(crate) mod requests;
pub(crate) mod waiting;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use relive_replay::guard::guarded;
use relive_replay::{Discipline, Halt, HaltReason, StepError};
use relive_storage::{CheckpointNumber, Rsn};

use crate::actor::activation::{Activation, SinceCheckpoint};
use crate::actor::cell::ActorCell;
use crate::actor::mailbox::Batch;
use crate::actor::places::HeldPlaces;
use crate::actor::replies::ArrivedReply;
use crate::error::{CheckpointError, FailureCause};
use crate::lifecycle::TurnGuard;
use crate::retention::pins::Pins;
use crate::shared::Core;
use crate::supervision::restart::{activate, restart};
use crate::turn::acks::PendingBatch;
use crate::turn::dispatch::acknowledge_reply;
use crate::turn::outputs::HeldOutputs;
use crate::turn::queries::{Shown, answering, may_show};

/// An actor in the hands of a turn. However the turn ends, the actor rests, or has failed, or the
/// runtime has stopped. So no caller waits for an actor that no turn runs.
struct Custody {
    turn: TurnGuard<Core>,
    cell: Arc<ActorCell>,
    ended: bool,
}

impl Custody {
    fn new(core: &Arc<Core>, cell: Arc<ActorCell>) -> Self {
        // Counted here, not in the task: a shutdown must see a turn that tokio has not polled yet.
        Self { turn: TurnGuard::begin(core), cell, ended: false }
    }

    async fn run(mut self, active: Option<Box<Activation>>) {
        let unwound = {
            let mut running = pin!(run(self.turn.within(), &self.cell, active));
            poll_fn(|task| match guarded(|| running.as_mut().poll(task)) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(())) => Poll::Ready(None),
                Err(panic) => Poll::Ready(Some(panic)),
            })
            .await
        };
        // Before `fail`, which wakes foreign tasks and may panic: the host is not gone then.
        self.ended = true;
        if let Some(panic) = unwound {
            let actor = self.cell.id.clone();
            tracing::error!(%actor, panic, "a turn panicked");
            let halt = Halt::new(actor, Rsn::NONE, HaltReason::Unwound { panic });
            self.cell.fail(FailureCause::Unwound, halt, 1);
            self.turn.within().actors.wait_graph().stopped(&self.cell.id);
        }
    }
}

impl Drop for Custody {
    fn drop(&mut self) {
        if !self.ended {
            // Only a tokio runtime that ends drops a task before its end, or takes no new one.
            self.turn.within().lifecycle.host_is_gone();
        }
    }
}

/// Runs until nothing is left to do, the actor has failed, or the runtime has stopped.
async fn run(core: &Arc<Core>, cell: &Arc<ActorCell>, active: Option<Box<Activation>>) {
    let active = match active {
        Some(active) => Some(active),
        None => Box::pin(activate(core, cell)).await,
    };
    let Some(active) = active else { return };
    let mut turn = Turn::new(core, cell, active);
    loop {
        let next = match turn.round().await {
            Ok(true) => continue,
            Ok(false) => {
                // The delivery handled last may have had its reply in the log, and it came again.
                turn.settle_replies(VecDeque::new());
                turn.register_timers();
                cell.rest(turn.active)
            }
            Err(TurnError::Over) => return,
            // The restart throws the half changed state away.
            Err(TurnError::Halted(halt)) => {
                // It reads the log: all that this life has appended must be in it.
                if Box::pin(turn.settle()).await.is_err() {
                    return;
                }
                Box::pin(restart(core, cell, turn.active, *halt)).await
            }
        };
        match next {
            Some(active) => turn.active = active,
            None => return,
        }
    }
}

/// Why a turn can't go on.
pub(crate) enum TurnError {
    Over,
    Halted(Box<Halt>),
}

impl From<StepError> for TurnError {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Halted(halt) => Self::Halted(halt),
            // The log takes nothing more.
            StepError::NoOutcome { .. } => Self::Over,
        }
    }
}

pub(crate) struct Turn<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) cell: &'a Arc<ActorCell>,
    pub(crate) active: Box<Activation>,
    /// Mail from the mailbox that the intake has not looked at yet.
    pub(crate) mail: Batch,
    /// What was taken in last. Those who wait for it have not been told.
    pub(crate) pending: Option<PendingBatch>,
    /// What its kind waits for.
    pub(crate) discipline: Discipline,
    /// What leaves when the log is on stable storage.
    pub(crate) held: HeldOutputs,
    /// The places of the mailbox that are to be given back.
    pub(crate) freed: HeldPlaces,
}

impl<'a> Turn<'a> {
    fn new(core: &'a Arc<Core>, cell: &'a Arc<ActorCell>, active: Box<Activation>) -> Self {
        let (mail, pending, held, freed) = Default::default();
        let discipline = cell.kind.discipline();
        Self { core, cell, active, mail, pending, discipline, held, freed }
    }
}

impl Turn<'_> {
    /// Appends new mail to the log. While that is on its way to the disk, handles what was on
    /// stable storage before. Then waits until the new mail is too. An actor that waits for its
    /// outputs alone handles the new mail too, and goes on. Returns whether there may be more to
    /// do. Rare paths are boxed, so that turns stay small: every busy actor has one.
    async fn round(&mut self) -> Result<bool, TurnError> {
        if self.cell.is_queried() {
            Box::pin(self.answer_queries()).await?;
        }
        self.held.release(self.core, self.cell);
        if self.held.is_full() {
            Box::pin(self.make_room()).await?;
        }
        let mut wants_checkpoint = self.wants_checkpoint();
        if wants_checkpoint && self.active.backlog.is_empty() {
            Box::pin(self.checkpoint()).await?;
            wants_checkpoint = false;
        }
        let durable = self.active.backlog.len();
        let mut news = false;
        // An actor takes a checkpoint when it has handled everything that it received, so it stops
        // taking mail in first. An actor whose outbox is full handles nothing, and takes mail in
        // all the same: that acknowledges the mail, which lets actors that send to each other go
        // on.
        if !wants_checkpoint || self.cell.outbox_is_full() {
            let intake = self.cell.take_mail(&mut self.mail, self.held.messages());
            // Kept with the actor: the checkpoint may be many rounds, or a restart, away.
            if let Some(request) = intake.checkpoint {
                self.active.request.get_or_insert_default().waiters.extend(request.waiters);
            }
            self.settle_replies(intake.replies);
            if intake.timers {
                // The task that woke the actor has forgotten when it is due.
                self.active.registered = None;
            }
            let fired = if self.may_fire() { Box::pin(self.fire()).await? } else { None };
            news = !self.mail.is_empty() || !intake.discharges.is_empty() || fired.is_some();
            let mut received = self.receive().await?;
            received.end = received.end.max(fired);
            self.pending = Some(received);
            for discharge in intake.discharges {
                Box::pin(self.discharge(discharge)).await?;
            }
        } else {
            self.settle_replies(self.cell.take_replies(None));
        }
        let ready = match self.discipline {
            Discipline::BeforeHandling => durable,
            Discipline::BeforeOutput => {
                // Ahead of the outputs that follow from it.
                self.hold_pending();
                self.active.backlog.len()
            }
        };
        let handled = self.handle_backlog(ready).await;
        match self.discipline {
            Discipline::BeforeHandling => {
                // A handler that has halted leaves a state that no query may see. Then `settle`
                // waits.
                if handled.is_ok()
                    && let Some(received) = self.pending.take()
                {
                    self.wait_durable(received).await?;
                }
            }
            Discipline::BeforeOutput => self.hold_pending(),
        }
        handled?;
        // What came in is handled in the next round, when it is durable.
        if news {
            self.want_outputs();
            return Ok(true);
        }
        let is_idle = self.active.backlog.is_empty() && !self.wants_checkpoint();
        if self.discipline == Discipline::BeforeOutput && (is_idle || !self.held.is_empty()) {
            return self.outputs_or_news().await;
        }
        self.more_to_do().await
    }

    /// Whether a turn that has no news goes on. Waits while its outbox is full.
    async fn more_to_do(&mut self) -> Result<bool, TurnError> {
        if !self.active.backlog.is_empty() {
            if self.cell.outbox_is_full() {
                // Acknowledgements and new mail both come as news.
                Box::pin(self.until_room()).await?;
            }
            return Ok(true);
        }
        Ok(self.wants_checkpoint())
    }

    /// Waits until the outbox has room, or for news. Queries that come meanwhile are answered.
    async fn until_room(&mut self) -> Result<(), TurnError> {
        // It may wait for long.
        if may_show(self.cell, &self.active) {
            self.until_state_is_stable().await?;
        }
        let room = self.core.lifecycle.while_outbox_is_full(self.cell.news());
        let shown = Shown::of(self.core, self.cell, &mut self.active);
        answering(shown, pin!(room)).await.map_err(|_| TurnError::Over)
    }

    /// Acknowledges the replies that nobody waits for any more. One that comes ahead of the ask
    /// that it answers is kept: the delivery is going to be tried again.
    pub(crate) fn settle_replies(&mut self, arrived: VecDeque<ArrivedReply>) {
        let Activation { instance, unlearned, .. } = &mut *self.active;
        if !arrived.is_empty() {
            unlearned.extend(arrived);
        }
        if !unlearned.is_empty() {
            for late in unlearned.take_late(|from| instance.sent_to(from)) {
                acknowledge_reply(self.core, self.cell, &late.from, late.ssn);
            }
        }
    }

    fn wants_checkpoint(&self) -> bool {
        let (since, policy) = (&self.active.since_checkpoint, &self.core.services.config.checkpoints);
        self.active.request.is_some() || since.records >= policy.records || since.bytes >= policy.bytes
    }

    /// Takes a checkpoint between two deliveries and hands it to the checkpointer. Waits only when
    /// the checkpointer's queue is full.
    async fn checkpoint(&mut self) -> Result<(), TurnError> {
        assert_eq!(self.ahead(), 0, "{} takes a checkpoint between two deliveries", self.cell.id);
        // Else a loss of power could leave a checkpoint of what the log does not have.
        self.until_state_is_stable().await?;
        let durable = self.core.services.committer.durable();
        assert!(
            self.active.appended <= durable,
            "the log has all that a checkpoint of {} holds",
            self.cell.id
        );
        let request = self.active.request.take().unwrap_or_default();
        let owed = self.cell.owed();
        let instance = &self.active.instance;
        // Encoding a large state takes longer than a commit. With few processors it would hold up
        // all who wait for a commit.
        let pause = &std::thread::yield_now;
        // The checkpointer gives the number, in the order in which it writes.
        let number = CheckpointNumber::default();
        let captured = relive_replay::checkpoint_body::capture(instance, &owed, number, pause);
        self.active.since_checkpoint = SinceCheckpoint { at: Instant::now(), ..SinceCheckpoint::none() };
        let (checkpoint, expected) = match captured {
            Ok(captured) => captured,
            // The actor goes on. Only the log grows, since no checkpoint covers it.
            Err(error) => {
                let (actor, reason) = (self.cell.id.clone(), format!("the state can't be encoded: {error}"));
                tracing::warn!(%actor, reason, "no checkpoint could be taken, the log keeps what it would have held");
                self.cell.unsaved();
                request.tell(&Err(CheckpointError::NotTaken { actor, reason }));
                return Ok(());
            }
        };
        // Before it is queued: the checkpointer changes the pins when it has written it.
        self.cell.change_pins(Pins::taken);
        let queued = self.core.services.checkpointer.write(self.cell, checkpoint, expected, request);
        answering(Shown::of(self.core, self.cell, &mut self.active), pin!(queued)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use relive_replay::payload::encode;
    use relive_replay::{Message, Outgoing};
    use relive_storage::record::Sender;
    use relive_storage::{ActorId, MemoryStore, Name, Ssn};
    use tokio::sync::oneshot;

    use super::*;
    use crate::actor::cell::{Start, Wake};
    use crate::actor::envelope::{Envelope, OutboxOwner, Waiter, places_of};
    use crate::actor::mailbox::Mail;
    use crate::error::{Ended, RuntimeFailure};
    use crate::limits::OUTBOX_MESSAGES_MAX;
    use crate::shared::testing::{Account, Deposit, account, core};

    /// Puts a message from outside into an actor's mailbox.
    pub(super) fn push<M: Message>(cell: &Arc<ActorCell>, message: &M, waiter: Waiter) -> Wake {
        send(cell, message, Sender::Outside, waiter)
    }

    pub(super) fn send<M: Message>(
        cell: &Arc<ActorCell>,
        message: &M,
        sender: Sender,
        waiter: Waiter,
    ) -> Wake {
        let payload = encode(message).unwrap();
        let taken = sender.is_from_outside().then(|| cell.places.try_take(places_of(&payload)).unwrap());
        let message = Name::from_static(M::NAME);
        cell.push(Mail { sender, message, payload: &payload, waiter, taken }, 0).unwrap().1
    }

    /// The turn of an actor that rests, in the hands of a test.
    pub(super) async fn begin<'a>(core: &'a Arc<Core>, cell: &'a Arc<ActorCell>) -> Turn<'a> {
        let active = match cell.start() {
            Wake::Start(start) => activated(core, cell, start).await,
            Wake::Running => panic!("another turn runs it"),
        };
        Turn::new(core, cell, active)
    }

    async fn activated(core: &Arc<Core>, cell: &Arc<ActorCell>, start: Start) -> Box<Activation> {
        match start.take().1 {
            Some(active) => active,
            None => activate(core, cell).await.unwrap(),
        }
    }

    /// Puts mail of the turn's actor into its mailbox: the turn is under way, and nothing is begun.
    pub(super) fn arrives<M: Message>(turn: &Turn<'_>, message: &M) {
        assert!(matches!(push(turn.cell, message, Waiter::Nobody), Wake::Running));
    }

    pub(super) fn memory_core() -> Arc<Core> {
        core(Arc::new(MemoryStore::new()))
    }

    /// The cents of the account, what it has handled, and what it has ahead.
    pub(super) fn state(turn: &Turn<'_>) -> (i64, u64, usize) {
        let instance = &turn.active.instance;
        let cents = instance.state::<Account>().unwrap().cents;
        (cents, instance.handled().get(), turn.active.backlog.len())
    }

    /// Fills the outbox of an actor with messages that nobody acknowledges, up to `free` places.
    pub(super) fn fill_outbox(cell: &ActorCell, free: usize) {
        let to = ActorId::new("account", "silent").unwrap();
        let messages = (1..=OUTBOX_MESSAGES_MAX - free).map(|ssn| Outgoing {
            to: to.clone(),
            ssn: Ssn::new(ssn as u64),
            message: "deposit".into(),
            payload: Bytes::new(),
            asked: false,
        });
        cell.keep_until_acknowledged(&messages.collect::<Vec<_>>());
    }

    /// Invariant: log-before-handle. A round handles what was durable before it, and ends when what
    /// it took in is durable too.
    #[tokio::test]
    async fn what_comes_in_is_handled_in_the_next_round() {
        let core = memory_core();
        let cell = account(&core, "alice");
        let mut turn = begin(&core, &cell).await;
        arrives(&turn, &Deposit(5));
        assert!(turn.round().await.is_ok_and(|more| more));
        assert_eq!(state(&turn), (0, 0, 1));
        assert_eq!(core.services.committer.durable(), core.services.end_of_log());
        assert!(turn.round().await.is_ok_and(|more| !more));
        assert_eq!(state(&turn), (5, 1, 0));
        assert!(cell.rest(turn.active).is_none());
    }

    /// An actor that takes a checkpoint takes nothing in before: else one that is always busy would
    /// never come to it.
    #[tokio::test]
    async fn no_mail_comes_in_ahead_of_a_checkpoint() {
        let core = memory_core();
        let cell = account(&core, "alice");
        let mut turn = begin(&core, &cell).await;
        arrives(&turn, &Deposit(5));
        let (waiter, outcome) = oneshot::channel();
        assert!(matches!(cell.request_checkpoint(Some(waiter)), Some(Wake::Running)));
        assert!(turn.round().await.is_ok_and(|more| more));
        arrives(&turn, &Deposit(6));
        assert!(turn.round().await.is_ok_and(|more| more));
        assert_eq!((state(&turn), cell.waiting()), ((5, 1, 0), 1));
        assert!(turn.round().await.is_ok());
        assert_eq!((state(&turn), cell.waiting()), ((5, 1, 1), 0));
        assert_eq!(outcome.await.unwrap().unwrap(), Rsn::new(1), "the mail after it is not in it");
    }

    /// An actor whose outbox is full still logs what comes, which lets its senders' outboxes empty,
    /// also ahead of a checkpoint that it can't take.
    #[tokio::test]
    async fn a_full_outbox_stops_handling_and_no_intake() {
        let core = memory_core();
        let cell = account(&core, "alice");
        let mut turn = begin(&core, &cell).await;
        arrives(&turn, &Deposit(5));
        assert!(turn.round().await.is_ok());
        fill_outbox(&cell, 0);
        turn.active.request = Some(Default::default());
        arrives(&turn, &Deposit(6));
        assert!(turn.round().await.is_ok_and(|more| more));
        assert_eq!((state(&turn), cell.waiting()), ((0, 0, 2), 0));
        cell.acknowledge(&ActorId::new("account", "silent").unwrap(), Ssn::new(1));
        assert!(turn.round().await.is_ok());
        assert_eq!(state(&turn), (11, 2, 0), "it has room again");
    }

    /// No caller waits for an actor that no turn runs: a turn that unwinds fails its actor, and
    /// tells who waits.
    #[tokio::test]
    async fn a_turn_that_unwinds_fails_its_actor() {
        let core = memory_core();
        let cell = account(&core, "alice");
        let (asker, answer) = oneshot::channel();
        let Wake::Start(start) = push(&cell, &Deposit(5), Waiter::Asker(asker)) else {
            panic!("nobody runs it")
        };
        let mut active = activated(&core, &cell, start).await;
        let stray = Envelope::new(Sender::Outside, "deposit".into(), Bytes::new(), Waiter::Nobody);
        active.backlog.push(stray);
        Custody::new(&core, Arc::clone(&cell)).run(Some(active)).await;
        assert!(matches!(&cell.failure().unwrap().cause, FailureCause::Unwound));
        assert!(answer.await.is_err(), "the turn had taken the mail, and its waiter is gone with it");
        assert!(core.lifecycle.stop_reason().is_none(), "the other actors go on");
    }

    /// A tokio that drops the turns runs no actor any more, and the runtime says so.
    #[tokio::test]
    async fn a_turn_that_is_dropped_stops_the_runtime() {
        let core = memory_core();
        let turn = Custody::new(&core, account(&core, "alice"));
        drop(turn.run(None));
        assert!(matches!(core.lifecycle.stop_reason(), Some(Ended::Failed(RuntimeFailure::HostGone))));
        core.lifecycle.quiet().await;
    }
}
