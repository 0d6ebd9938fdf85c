//! The way of a message through its actor: mailbox -> [`receive`](crate::turn::intake) ->
//! [`handle`](crate::turn::delivery). A turn begins when a message comes to an actor that rests,
//! and ends when nothing is left to do.
//!
//! Must not know how a runtime is opened, or what callers hold.
//!
//! # Source
//! Receiver-based pessimistic message logging: Elnozahy, Alvisi, Wang and Johnson, *A Survey of
//! Rollback-Recovery Protocols in Message-Passing Systems*, ACM Computing Surveys 34(3), 2002,
//! section 4.1. Unlike optimistic logging (Strom and Yemini, *Optimistic Recovery in Distributed
//! Systems*, ACM TOCS 3(3), 1985), a handler never runs on a message that a crash may lose, so a
//! crash of one actor never rolls another one back.

pub(crate) mod acks;
pub(crate) mod delivery;
pub(crate) mod dispatch;
pub(crate) mod intake;
pub(crate) mod live;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use relive_replay::guard::guarded;
use relive_replay::{Halt, HaltReason, StepError};
use relive_storage::{CheckpointNumber, Rsn};

use crate::actor::activation::{Activation, SinceCheckpoint};
use crate::actor::cell::ActorCell;
use crate::actor::mailbox::Batch;
use crate::actor::places::HeldPlaces;
use crate::error::{CheckpointError, FailureCause, RuntimeFailure};
use crate::lifecycle::TurnGuard;
use crate::retention::pins::Pins;
use crate::shared::Core;
use crate::supervision::restart::{activate, restart};
use crate::turn::acks::PendingBatch;

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
        }
    }
}

impl Drop for Custody {
    fn drop(&mut self) {
        if !self.ended {
            // Only a tokio runtime that ends drops a task before its end, or takes no new one.
            self.turn.within().lifecycle.stop(RuntimeFailure::HostGone.into());
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
    let mut turn = Turn { core, cell, active, mail: Batch::default(), freed: HeldPlaces::default() };
    loop {
        let next = match turn.round().await {
            Ok(true) => continue,
            Ok(false) => cell.rest(turn.active),
            Err(TurnError::Over) => return,
            // The restart throws the half changed state away.
            Err(TurnError::Halted(halt)) => Box::pin(restart(core, cell, turn.active, halt)).await,
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
    Halted(Halt),
}

impl From<StepError> for TurnError {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Halted(halt) => Self::Halted(halt),
            // The log takes nothing more.
            StepError::NoOutcome => Self::Over,
        }
    }
}

pub(crate) struct Turn<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) cell: &'a Arc<ActorCell>,
    pub(crate) active: Box<Activation>,
    /// Mail from the mailbox that the intake has not looked at yet.
    pub(crate) mail: Batch,
    /// The places of the mailbox that are to be given back.
    pub(crate) freed: HeldPlaces,
}

impl Turn<'_> {
    /// Appends new mail to the log. While that is on its way to the disk, handles what was on
    /// stable storage before. Then waits until the new mail is too. Returns whether there may be
    /// more to do. Rare paths are boxed, so that turns stay small: every busy actor has one.
    async fn round(&mut self) -> Result<bool, TurnError> {
        let mut wants_checkpoint = self.wants_checkpoint();
        if wants_checkpoint && self.active.backlog.is_empty() {
            Box::pin(self.checkpoint()).await?;
            wants_checkpoint = false;
        }
        let stable = self.active.backlog.len();
        let mut received = PendingBatch::default();
        let mut news = false;
        // An actor takes a checkpoint when it has handled everything that it received, so it stops
        // taking mail in first. An actor whose outbox is full handles nothing, and takes mail in
        // all the same: that acknowledges the mail, which lets actors that send to each other go
        // on.
        if !wants_checkpoint || self.cell.outbox_is_full() {
            let intake = self.cell.take_mail(&mut self.mail);
            // Kept with the actor: the checkpoint may be many rounds, or a restart, away.
            if let Some(request) = intake.checkpoint {
                self.active.request.get_or_insert_default().waiters.extend(request.waiters);
            }
            news = !self.mail.is_empty() || !intake.discharges.is_empty();
            received = self.receive().await?;
            for discharge in intake.discharges {
                Box::pin(self.discharge(discharge)).await?;
            }
        }
        let handled = self.handle_backlog(stable).await;
        // Also before a restart, which reads the log: what this round appended must be in it.
        self.wait_durable(received).await?;
        handled?;
        // What came in is handled in the next round, when it is stable.
        if news {
            return Ok(true);
        }
        if !self.active.backlog.is_empty() {
            if self.cell.outbox_is_full() {
                // Acknowledgements and new mail both come as news.
                Box::pin(self.core.lifecycle.while_outbox_is_full(self.cell.news()))
                    .await
                    .map_err(|_| TurnError::Over)?;
            }
            return Ok(true);
        }
        Ok(self.wants_checkpoint())
    }

    fn wants_checkpoint(&self) -> bool {
        let (since, policy) = (&self.active.since_checkpoint, &self.core.services.config.checkpoints);
        self.active.request.is_some() || since.records >= policy.records || since.bytes >= policy.bytes
    }

    /// Takes a checkpoint between two deliveries and hands it to the checkpointer. Waits only when
    /// the checkpointer's queue is full.
    async fn checkpoint(&mut self) -> Result<(), TurnError> {
        assert_eq!(self.ahead(), 0, "{} takes a checkpoint between two deliveries", self.cell.id);
        let request = self.active.request.take().unwrap_or_default();
        let unacknowledged = self.cell.unacknowledged();
        let instance = &self.active.instance;
        // Encoding a large state takes longer than a commit. With few processors it would hold up
        // all who wait for a commit.
        let pause = &std::thread::yield_now;
        // The checkpointer gives the number, in the order in which it writes.
        let number = CheckpointNumber::default();
        let captured = relive_replay::checkpoint_body::capture(instance, &unacknowledged, number, pause);
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
        self.core.services.checkpointer.write(self.cell, checkpoint, expected, request).await;
        Ok(())
    }
}
