//! The way of a message through its actor: log -> step -> effects. Only messages on stable storage
//! come here.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use relive_replay::{Effects, Halt, HaltReason, Quarantined, step};
use relive_storage::Rsn;
use relive_storage::record::{Delivery, Quarantine};
use tokio::task::coop::consume_budget;

use crate::actor::activation::Activation;
use crate::actor::envelope::{Answer, Envelope};
use crate::actor::probation::Does;
use crate::handling::Handling;
use crate::limits::FREED_PLACES_MAX;
use crate::log::frame_pool::PooledFrameWriter;
use crate::turn::acks::Acks;
use crate::turn::dispatch::release;
use crate::turn::live::Live;
use crate::turn::{Turn, TurnError};

impl Turn<'_> {
    /// Handles the first `durable` deliveries of the backlog, and gives back the places that they
    /// held.
    ///
    /// # Panics
    /// When the backlog is not what the actor has taken in and not handled, or has fewer.
    pub(crate) async fn handle_backlog(&mut self, durable: usize) -> Result<(), TurnError> {
        let (ahead, backlog) = (self.ahead(), self.active.backlog.len());
        assert_eq!(ahead, backlog as u64, "{} has ahead what it has not handled", self.cell.id);
        assert!(durable <= backlog, "{durable} deliveries are durable of {backlog}");
        if let Some(probation) = &mut self.active.probation {
            Box::pin(self.core.lifecycle.unless_stopped(probation.permitted()))
                .await
                .map_err(|_| TurnError::Over)?;
        }
        let handled = self.handle_deliveries(durable).await;
        // Also after a halt: what was handled before it no longer holds a place.
        self.freed.give_back();
        handled
    }

    /// Invariant: log-before-handle. Handles what is on stable storage, until the outbox is full.
    async fn handle_deliveries(&mut self, durable: usize) -> Result<(), TurnError> {
        for _ in 0..durable {
            // Before each: one delivery may fill the outbox.
            if self.cell.outbox_is_full() {
                break;
            }
            // A long backlog must not keep a thread from everything else.
            consume_budget().await;
            let Some(mut envelope) = self.active.backlog.pop() else {
                break;
            };
            if let Err(broken) = self.handle(&mut envelope).await {
                // Its asker keeps waiting, through the restart.
                self.active.backlog.put_back(envelope);
                return Err(broken);
            }
            let handled = self.active.instance.handled();
            assert_eq!(handled, envelope.delivery.rsn, "{} handles its deliveries in order", self.cell.id);
            self.active.probation.take_if(|probation| probation.is_over(handled));
        }
        Ok(())
    }

    async fn handle(&mut self, envelope: &mut Envelope) -> Result<(), TurnError> {
        if let Some(decision) = self.before_try(&envelope.delivery).await? {
            self.leave_out(envelope, &decision);
            return Ok(());
        }
        let effects = self.step(envelope).await?;
        self.after_try(&envelope.delivery).await?;
        self.release(envelope, effects);
        Ok(())
    }

    /// Returns the decision to leave a delivery out, if there is one, once it is on stable storage.
    /// Logs a try that may end the process.
    async fn before_try(&mut self, delivery: &Delivery) -> Result<Option<Quarantine>, TurnError> {
        let rsn = delivery.rsn;
        let active = &mut *self.active;
        if let Some(decision) = active.tape.left_out(rsn) {
            return Ok(Some(decision.clone()));
        }
        let is_ahead = active.pending_quarantine.as_ref().is_none_or(|decision| decision.rsn >= rsn);
        assert!(is_ahead, "a decision was passed over, {rsn} of {} is next", self.cell.id);
        if let Some(decision) = active.pending_quarantine.take_if(|decision| decision.rsn == rsn) {
            let mut encoder = PooledFrameWriter::borrow();
            encoder.put_quarantine(&decision);
            Box::pin(self.append_and_wait(encoder, &mut Acks::default())).await?;
            return Ok(Some(decision));
        }
        let Some(probation) = &mut active.probation else { return Ok(None) };
        let tries = active.tape.attempts(rsn);
        let over = tries
            .checked_sub(self.core.services.config.restarts.tries)
            .filter(|_| probation.counts_attempts(rsn));
        let may_be_known = delivery.asked || rsn <= active.tape.settled();
        // A delivery that anyone may know of is never left out. Each second opening tries it, so
        // that code that can handle it does. In the other openings the actor stops, so that the
        // other actors are served.
        if over.is_some_and(|over| !may_be_known || over % 2 == 1) {
            let message = delivery.message.to_string();
            let reason = HaltReason::ProcessEnded { message, tries, may_be_known };
            return Err(TurnError::Halted(Halt::new(self.cell.id.clone(), rsn, reason)));
        }
        if probation.must_log_attempt(rsn) {
            Box::pin(self.note_attempt(rsn)).await?;
        }
        Ok(None)
    }

    /// Logs the end of a noted try, before any effect leaves. So a later end of the process does
    /// not count against this delivery, and no decision leaves out what others have seen.
    async fn after_try(&mut self, delivery: &Delivery) -> Result<(), TurnError> {
        if self.active.probation.as_ref().is_some_and(|probation| probation.counts_attempts(delivery.rsn)) {
            Box::pin(self.note_attempt(delivery.rsn)).await?;
        }
        Ok(())
    }

    async fn note_attempt(&mut self, rsn: Rsn) -> Result<(), TurnError> {
        let mut encoder = PooledFrameWriter::borrow();
        encoder.put_attempt(rsn);
        self.append_and_wait(encoder, &mut Acks::default()).await
    }

    /// Passes a delivery without handling it. Only the quarantine changes.
    fn leave_out(&mut self, envelope: &mut Envelope, decision: &Quarantine) {
        let delivery = &envelope.delivery;
        let origin = self.active.instance.origin(delivery.rsn);
        self.active.instance.skip(delivery, decision);
        // With the origin from before the skip, which forgets it.
        let entry = Arc::new(Quarantined::new(&self.cell.id, delivery, origin, decision));
        self.core.services.quarantine.add(Arc::clone(&entry));
        self.core.services.counters.quarantined();
        if let Some(asker) = envelope.take_asker() {
            let _ = asker.send(Ok(Answer::LeftOut(entry)));
        }
        self.free_places(envelope);
    }

    async fn step(&mut self, envelope: &Envelope) -> Result<Effects, TurnError> {
        let (delivery, wants_reply) = (&envelope.delivery, envelope.has_asker());
        let Activation { instance, tape, since_checkpoint, probation, .. } = &mut *self.active;
        let (committer, cell) = (&self.core.services.committer, self.cell);
        let mut live = Live { committer, cell, tape, wants_reply, events: 0, bytes: 0 };
        let span = tracing::debug_span!("relive::delivery", actor = %self.cell.id, rsn = delivery.rsn.get(),
            message = %delivery.message, replaying = false);
        let stepped = {
            let mut stepping = pin!(step(instance, delivery, &mut live));
            // Entered at each poll, and not held over a wait: the thread runs other actors then.
            let mut poll = |task: &mut Context<'_>| {
                let _entered = span.enter();
                let _handling = Handling::enter(&**self.cell);
                stepping.as_mut().poll(task)
            };
            // The rare path that waits is boxed, so that turns stay small.
            if let Some(probation) = probation {
                let _waits = self.cell.begin_wait();
                let watched = poll_fn(|task| {
                    probation.handler(Does::Run);
                    let step = poll(task);
                    probation.handler(if step.is_pending() { Does::Wait } else { Does::Run });
                    step
                });
                Box::pin(self.core.lifecycle.unless_stopped(watched)).await
            } else if let Poll::Ready(stepped) = poll_fn(|task| Poll::Ready(poll(task))).await {
                Ok(stepped)
            } else {
                // It waits for something, perhaps long, and perhaps for a sender that waits for a
                // place.
                self.freed.give_back();
                let _waits = self.cell.begin_wait();
                Box::pin(self.core.lifecycle.unless_stopped(poll_fn(poll))).await
            }
        };
        let effects = stepped.map_err(|_| TurnError::Over)?;
        since_checkpoint.records += live.events;
        since_checkpoint.bytes += live.bytes;
        Ok(effects?)
    }

    /// The delivery is done: its effects leave the actor, in order.
    fn release(&mut self, envelope: &mut Envelope, effects: Effects) {
        // An asker without a reply would wait until the actor fails.
        let is_answered = effects.reply.is_some() || !envelope.has_asker();
        assert!(is_answered, "the asker of {} of {} gets a reply", envelope.delivery.rsn, self.cell.id);
        if !effects.sends.is_empty() {
            // Kept before they leave: a receiver may acknowledge at once.
            self.cell.keep_until_acknowledged(&effects.sends);
            release(self.core, self.cell, effects.sends);
        }
        if let Some(reply) = effects.reply
            && let Some(asker) = envelope.take_asker()
        {
            let _ = asker.send(Ok(Answer::Reply(reply)));
        }
        self.free_places(envelope);
    }

    /// A delivery that is done no longer takes a place in the mailbox.
    fn free_places(&mut self, envelope: &Envelope) {
        // After a restart it may be one that held none in this life.
        self.freed.take_from(&mut self.active.places, envelope.places());
        if self.freed.len() >= FREED_PLACES_MAX {
            self.freed.give_back();
        }
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
