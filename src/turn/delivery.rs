//! The way of a message through its actor: log -> step -> effects. Only messages on stable storage
//! come here, or, of an actor that waits for its outputs alone, those that have their position.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use relive_replay::engine::left_out;
use relive_replay::{Discipline, Effects, Halt, HaltReason, Quarantined, step};
use relive_storage::Rsn;
use relive_storage::record::{Delivery, Quarantine, Sender};
use tokio::task::coop::consume_budget;

use crate::actor::activation::Activation;
use crate::actor::envelope::{Answer, Envelope, ReplyTo};
use crate::actor::pause::Offer;
use crate::actor::probation::Does;
use crate::handling::Handling;
use crate::limits::FREED_PLACES_MAX;
use crate::log::frame_pool::PooledFrameWriter;
use crate::turn::dispatch::{release, reply};
use crate::turn::intake::{Frames, Intake};
use crate::turn::live::{Live, Waited};
use crate::turn::outputs::Output;
use crate::turn::waiting::while_it_waits;
use crate::turn::{Turn, TurnError};

impl Turn<'_> {
    /// Handles the first `ready` deliveries of the backlog, and gives back the places that they
    /// held.
    ///
    /// # Panics
    /// When the backlog is not what the actor has taken in and not handled, or has fewer.
    pub(crate) async fn handle_backlog(&mut self, ready: usize) -> Result<(), TurnError> {
        let (ahead, backlog) = (self.ahead(), self.active.backlog.len());
        assert_eq!(ahead, backlog as u64, "{} has ahead what it has not handled", self.cell.id);
        assert!(ready <= backlog, "{ready} deliveries are ready of {backlog}");
        if let Some(probation) = &mut self.active.probation {
            Box::pin(self.core.lifecycle.unless_stopped(probation.permitted()))
                .await
                .map_err(|_| TurnError::Over)?;
        }
        let handled = self.handle_deliveries(ready).await;
        // Also after a halt: what was handled before it no longer holds a place.
        self.freed.give_back();
        handled
    }

    /// Invariant: log-before-handle. Handles what is on stable storage, or what its kind does not
    /// wait for, until the outbox is full or too much is held back.
    async fn handle_deliveries(&mut self, ready: usize) -> Result<(), TurnError> {
        for _ in 0..ready {
            // Before each: one delivery may fill the outbox.
            if self.cell.outbox_is_full() {
                break;
            }
            if self.cell.is_queried() {
                Box::pin(self.answer_queries()).await?;
            }
            self.held.release(self.core, self.cell);
            if self.held.is_full() {
                break;
            }
            // A long backlog must not keep a thread from everything else.
            consume_budget().await;
            let Some(mut envelope) = self.active.backlog.pop() else {
                break;
            };
            if self.must_be_found(&envelope.delivery) {
                Box::pin(self.until_state_is_stable()).await?;
            }
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

    /// Invariant: bounded, with a poison message. An opening sends unacknowledged messages again.
    /// When the handler of one ends the process, the next opening must find the delivery in the
    /// log. Otherwise no opening would count that end against it.
    fn must_be_found(&self, delivery: &Delivery) -> bool {
        let at_once = self.discipline == Discipline::BeforeOutput;
        at_once && self.core.actors.was_found(&self.cell.id, &delivery.sender)
    }

    async fn handle(&mut self, envelope: &mut Envelope) -> Result<(), TurnError> {
        if let Some(decision) = self.before_try(&envelope.delivery).await? {
            self.leave_out(envelope, &decision);
            return Ok(());
        }
        // What a delivery hands on from call to call is small: moving it costs as much as a short
        // handler does.
        let mut effects = Effects::default();
        if let Err(error) = self.step(envelope, &mut effects).await {
            if let TurnError::Halted(halt) = &error {
                self.survived_try(halt.rsn).await?;
            }
            return Err(error);
        }
        self.after_try(&envelope.delivery).await?;
        self.release(envelope, effects);
        Ok(())
    }

    /// Returns the decision to leave a delivery out, if there is one, once it is on stable storage.
    /// Logs a try that may end the process.
    async fn before_try(&mut self, delivery: &Delivery) -> Result<Option<Box<Quarantine>>, TurnError> {
        let rsn = delivery.rsn;
        let active = &mut *self.active;
        if let Some(decision) = active.tape.left_out(rsn) {
            return Ok(Some(Box::new(decision.clone())));
        }
        let is_ahead = active.pending_quarantine.as_ref().is_none_or(|decision| decision.rsn >= rsn);
        assert!(is_ahead, "a decision was passed over, {rsn} of {} is next", self.cell.id);
        if let Some(decision) = active.pending_quarantine.take_if(|decision| decision.rsn == rsn) {
            let mut encoder = PooledFrameWriter::borrow();
            encoder.put_quarantine(&decision);
            Box::pin(self.append_and_wait(encoder)).await?;
            return Ok(Some(Box::new(decision)));
        }
        let Some(probation) = &mut active.probation else { return Ok(None) };
        let tries = active.tape.attempts(rsn);
        let over = tries
            .checked_sub(self.core.services.config.restarts.tries)
            .filter(|_| probation.counts_attempts(rsn));
        // Of each delivery that changed the state, a query may have told.
        let may_be_known = delivery.asked
            || rsn <= active.tape.settled()
            || active.released == Some(rsn)
            || self.cell.kind.has_queries();
        // A delivery that anyone may know of is never left out. Each second opening tries it, so
        // that code that can handle it does. In the other openings the actor stops, so that the
        // other actors are served.
        if over.is_some_and(|over| !may_be_known || over % 2 == 1) {
            let message = delivery.message.to_string();
            let reason = HaltReason::ProcessEnded { message, tries, may_be_known };
            return Err(TurnError::Halted(Box::new(Halt::new(self.cell.id.clone(), rsn, reason))));
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

    /// Logs that a noted try has halted, and has not ended the process. So a later end of the
    /// process does not count against this delivery: a program may end because an actor has failed.
    async fn survived_try(&mut self, rsn: Rsn) -> Result<(), TurnError> {
        if self.active.probation.as_ref().is_some_and(|probation| probation.is_noted(rsn)) {
            let mut encoder = PooledFrameWriter::borrow();
            // Twice in one frame, which is how the log tells the end of a try from another one.
            (0..2).for_each(|_| encoder.put_attempt(rsn));
            Box::pin(self.append_and_wait(encoder)).await?;
        }
        Ok(())
    }

    async fn note_attempt(&mut self, rsn: Rsn) -> Result<(), TurnError> {
        let mut encoder = PooledFrameWriter::borrow();
        encoder.put_attempt(rsn);
        self.append_and_wait(encoder).await
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
        if let Some(answer) = left_out(&self.cell.id, delivery, decision) {
            reply(self.core, self.cell, answer);
        }
        // The decision is on stable storage, and so is what was held back: it leaves before.
        self.held.release(self.core, self.cell);
        for asker in self.askers(envelope) {
            let _ = asker.send(Ok(Answer::LeftOut(Arc::clone(&entry))));
        }
        self.free_places(envelope);
    }

    /// Runs the handler. Afterwards `effects` has those that have not left the actor.
    async fn step(&mut self, envelope: &Envelope, effects: &mut Effects) -> Result<(), TurnError> {
        let (delivery, wants_reply) = (&envelope.delivery, envelope.has_asker());
        let Self { core, cell, active, mail, pending, discipline, held, freed } = self;
        let active = &mut **active;
        let (since_checkpoint, appended) = (&mut active.since_checkpoint, &mut active.appended);
        let (backlog, places) = (&mut active.backlog, &mut active.places);
        let Activation { instance, tape, probation, unlearned, repeats, .. } = active;
        assert!(delivery.rsn <= instance.received(), "{} of {} was never taken in", delivery.rsn, cell.id);
        let covered = tape.covered();
        let (process, inbound) = instance.parts();
        let offer = Offer::new(delivery.rsn);
        let mut live =
            Live::new((core, cell, *discipline), (tape, unlearned), (&offer, wants_reply), *appended);
        let span = tracing::debug_span!("relive::delivery", actor = %cell.id, rsn = delivery.rsn.get(),
            message = %delivery.message, replaying = false);
        let stepped = {
            let mut stepping = pin!(step(process, delivery, &mut live, effects));
            // Entered at each poll, and not held over a wait: the thread runs other actors then.
            let mut poll = |task: &mut Context<'_>| {
                let _entered = span.enter();
                let _handling = Handling::enter(&***cell);
                if let Some(probation) = &*probation {
                    probation.handler(Does::Run);
                }
                let polled = stepping.as_mut().poll(task);
                if let Some(probation) = &*probation {
                    probation.handler(if polled.is_pending() { Does::Wait } else { Does::Run });
                }
                polled
            };
            if let Poll::Ready(stepped) = poll_fn(|task| Poll::Ready(poll(task))).await {
                Ok(stepped)
            } else {
                // It waits for something, perhaps long, and perhaps for a sender that waits for a
                // place.
                freed.give_back();
                let _waits = cell.begin_wait(delivery);
                let frames = Frames::Waiting(covered);
                let intake = Intake {
                    core,
                    cell,
                    inbound,
                    backlog,
                    repeats,
                    places,
                    since_checkpoint,
                    appended,
                    mail,
                    frames,
                };
                // The rare path is boxed, so that turns stay small.
                Box::pin(while_it_waits(core, poll_fn(poll), intake, (held, pending), &offer)).await
            }
        };
        let released = live.end().map_or(0, |waited| self.has_waited(delivery.rsn, waited));
        stepped??;
        self.active.released = None;
        if released > 0 {
            effects.sends.drain(..released);
        }
        Ok(())
    }

    /// Takes over what a handler that waited has logged, learned and released. Returns how many of
    /// its messages have left.
    fn has_waited(&mut self, rsn: Rsn, waited: Waited) -> usize {
        let Waited { appended, events, bytes, learned, released } = waited;
        self.active.appended = self.active.appended.max(appended);
        for (end, from, ssn) in learned {
            self.held.hold(end, Output::Learned(from, ssn));
        }
        let since_checkpoint = &mut self.active.since_checkpoint;
        since_checkpoint.records += events;
        since_checkpoint.bytes += bytes;
        // What has left can't be taken back: a delivery that halts after that is not left out.
        if !released.is_empty() {
            self.active.released = Some(rsn);
        }
        released.len()
    }

    /// The delivery is done: its effects leave the actor, in order. A reply to a caller outside is
    /// held back when what it depends on may not be on stable storage.
    fn release(&mut self, envelope: &mut Envelope, effects: Effects) {
        // An asker without a reply would wait until the actor fails.
        let is_answered = effects.reply.is_some() || !envelope.has_asker();
        assert!(is_answered, "the asker of {} of {} gets a reply", envelope.delivery.rsn, self.cell.id);
        if !effects.sends.is_empty() {
            // Kept before they leave: a receiver may acknowledge at once.
            self.cell.keep_until_acknowledged(&effects.sends);
            release(self.core, self.cell, effects.sends);
        }
        if let Some(answer) = effects.answer {
            reply(self.core, self.cell, *answer);
        }
        if let Some(reply) = effects.reply {
            let answer = match envelope.delivery.sender {
                Sender::Keyed { .. } => self.active.instance.keep_reply(&envelope.delivery, reply).into(),
                _ => Answer::Reply(reply),
            };
            for asker in self.askers(envelope) {
                match self.discipline {
                    Discipline::BeforeOutput => {
                        self.held.hold(self.active.appended, Output::Answer(asker, answer.clone()));
                    }
                    // All that it depends on is on stable storage.
                    Discipline::BeforeHandling => drop(asker.send(Ok(answer.clone()))),
                }
            }
        }
        self.free_places(envelope);
    }

    /// Takes those outside who wait for what comes of a delivery.
    fn askers(&mut self, envelope: &mut Envelope) -> impl Iterator<Item = ReplyTo> + use<> {
        let repeated = match envelope.delivery.sender {
            Sender::Keyed { .. } => self.active.repeats.take(envelope.delivery.rsn),
            _ => Vec::new(),
        };
        repeated.into_iter().chain(envelope.take_asker())
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
