//! The way of a message through its actor: log -> step -> effects. Only what is on stable storage comes here.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use relive_replay::{Divergence, Effects, Halt, Quarantined, step};
use relive_storage::Rsn;
use relive_storage::record::{Delivery, Quarantine};
use tokio::task::coop::consume_budget;

use crate::active::Active;
use crate::encoder::Encoder;
use crate::envelope::Envelope;
use crate::error::Refused;
use crate::handling::Handling;
use crate::limits::FREED_PLACES_MAX;
use crate::live::Live;
use crate::received::Logged;
use crate::slot::Slot;
use crate::turn::{Broken, Turn, release};

impl Turn<'_> {
    /// Handles what is logged, of which so many deliveries are stable, and gives the places back that they held.
    pub(crate) async fn handle_backlog(&mut self, stable: usize) -> Result<(), Broken> {
        if let Some(suspects) = &mut self.active.suspects {
            Box::pin(self.core.unless_stopped(suspects.permitted())).await.map_err(|_| Broken::Over)?;
        }
        let handled = self.handle_deliveries(stable).await;
        give_places_back(self.slot, &mut self.freed);
        handled
    }

    /// Invariant: log-before-handle. Handles what is stable, as long as the actor does not owe too much.
    async fn handle_deliveries(&mut self, stable: usize) -> Result<(), Broken> {
        for _ in 0..stable {
            if self.slot.owes_too_much() {
                break;
            }
            // A long backlog must not keep a thread from everything else.
            consume_budget().await;
            let Some(mut envelope) = self.active.backlog.pop() else {
                break;
            };
            if let Err(broken) = self.handle(&mut envelope).await {
                // Whoever waits for it goes on waiting, through the restart.
                self.active.backlog.put_back(envelope);
                return Err(broken);
            }
            let handled = self.active.instance.handled();
            self.active.suspects.take_if(|suspects| suspects.are_over(handled));
        }
        Ok(())
    }

    async fn handle(&mut self, envelope: &mut Envelope) -> Result<(), Broken> {
        if let Some(decision) = self.before_try(&envelope.delivery).await? {
            self.leave_out(envelope, &decision);
            return Ok(());
        }
        let wants_reply = envelope.has_asker();
        let effects = self.step(&envelope.delivery, wants_reply).await?;
        self.after_try(&envelope.delivery).await?;
        self.release(envelope, effects);
        Ok(())
    }

    /// Gives the decision to leave a delivery out, if there is one, when it is stable. Tells the log of a try that may
    /// end the process.
    async fn before_try(&mut self, delivery: &Delivery) -> Result<Option<Quarantine>, Broken> {
        let rsn = delivery.rsn;
        let active = &mut *self.active;
        if let Some(decision) = active.tape.left_out(rsn) {
            return Ok(Some(decision.clone()));
        }
        if let Some(decision) = active.condemned.take_if(|decision| decision.rsn == rsn) {
            let mut encoder = Encoder::borrow();
            encoder.put_quarantine(&decision);
            Box::pin(self.append_and_wait(encoder, &mut Logged::default())).await?;
            return Ok(Some(decision));
        }
        let Some(suspects) = &mut active.suspects else { return Ok(None) };
        let tries = active.tape.attempts(rsn);
        let over = tries.checked_sub(self.core.config.restarts.tries).filter(|_| suspects.blames(rsn));
        let may_be_known =
            delivery.asked || rsn <= active.tape.settled() || suspects.was_through(&active.instance);
        // One of which somebody may know is not left out. It is tried again and again, so that code that can handle it does;
        // and after each end of the process the actor stops for one opening, so that the others are served.
        if over.is_some_and(|over| !may_be_known || over % 2 == 1) {
            let (actor, message) = (self.slot.id.clone(), delivery.message.to_string());
            return Err(Broken::Halted(Halt::ProcessEnded { actor, rsn, message, tries, may_be_known }));
        }
        if suspects.calls_for_note(rsn) {
            Box::pin(self.note_attempt(rsn)).await?;
        }
        Ok(None)
    }

    /// Tells the log that a try that was noted is over, before anything of it is released: so that a process that ends
    /// later does not count against it, and what others have seen of it is never left out.
    async fn after_try(&mut self, delivery: &Delivery) -> Result<(), Broken> {
        let Some(suspects) = &self.active.suspects else { return Ok(()) };
        let instance = &self.active.instance;
        if suspects.are_over(delivery.rsn)
            && let Some((receiver, received)) = suspects.unsent(instance)
        {
            // What it sent in a life before can't be taken back, and this life has not sent it.
            let (actor, rsn) = (self.slot.id.clone(), delivery.rsn);
            let expected = format!("{received} messages to {receiver}, which has them");
            let found = format!("{}", instance.sent_to(receiver));
            return Err(Broken::Halted(Divergence::new(actor, rsn, expected, found).into()));
        }
        if suspects.blames(delivery.rsn) {
            Box::pin(self.note_attempt(delivery.rsn)).await?;
        }
        Ok(())
    }

    async fn note_attempt(&mut self, rsn: Rsn) -> Result<(), Broken> {
        let mut encoder = Encoder::borrow();
        encoder.put_attempt(rsn);
        self.append_and_wait(encoder, &mut Logged::default()).await
    }

    /// Goes past a delivery without handling it: nothing changes but that it is in quarantine.
    fn leave_out(&mut self, envelope: &mut Envelope, decision: &Quarantine) {
        let delivery = &envelope.delivery;
        let origin = self.active.instance.origin(delivery.rsn);
        self.active.instance.skip(delivery, decision);
        let entry = Arc::new(Quarantined::new(&self.slot.id, delivery, origin, decision));
        self.core.quarantine.add(Arc::clone(&entry));
        self.core.counters.quarantined();
        if let Some(asker) = envelope.take_asker() {
            let _ = asker.send(Err(Refused::Quarantined(entry)));
        }
        self.free_places(envelope);
    }

    async fn step(&mut self, delivery: &Delivery, wants_reply: bool) -> Result<Effects, Broken> {
        let Active { instance, tape, since_checkpoint, suspects, .. } = &mut *self.active;
        let mut live = Live { core: self.core, slot: self.slot, tape, wants_reply, events: 0, bytes: 0 };
        let span = tracing::debug_span!("relive::delivery", actor = %self.slot.id, rsn = delivery.rsn.get(),
            message = %delivery.message, replaying = false);
        let stepped = {
            let mut stepping = pin!(step(instance, delivery, &mut live));
            let mut poll = |task: &mut Context<'_>| {
                let _entered = span.enter();
                let _handling = Handling::enter(&**self.slot);
                stepping.as_mut().poll(task)
            };
            // Who waits does so in a box: it would be a good part of each turn's memory.
            if let Some(suspects) = suspects {
                let _waits = self.slot.begin_wait();
                let watched = poll_fn(|task| {
                    suspects.waits(false);
                    let step = poll(task);
                    suspects.waits(step.is_pending());
                    step
                });
                Box::pin(self.core.unless_stopped(watched)).await
            } else if let Poll::Ready(stepped) = poll_fn(|task| Poll::Ready(poll(task))).await {
                Ok(stepped)
            } else {
                // It waits for something, perhaps long, and perhaps for a sender that waits for a place.
                give_places_back(self.slot, &mut self.freed);
                let _waits = self.slot.begin_wait();
                Box::pin(self.core.unless_stopped(poll_fn(poll))).await
            }
        };
        let effects = stepped.map_err(|_| Broken::Over)?;
        since_checkpoint.records += live.events;
        since_checkpoint.bytes += live.bytes;
        Ok(effects?)
    }

    /// The delivery is done: its effects leave, in order.
    fn release(&mut self, envelope: &mut Envelope, effects: Effects) {
        if !effects.sends.is_empty() {
            self.slot.owe(&effects.sends);
            release(self.core, self.slot, effects.sends);
        }
        if let Some(reply) = effects.reply
            && let Some(asker) = envelope.take_asker()
        {
            let _ = asker.send(Ok(reply));
        }
        self.free_places(envelope);
    }

    /// A delivery that is done no longer takes a place in the mailbox.
    fn free_places(&mut self, envelope: &Envelope) {
        // After a restart it may be one that held none in this life.
        let places = envelope.places().min(self.active.places);
        self.active.places -= places;
        self.freed += places;
        if self.freed >= FREED_PLACES_MAX {
            give_places_back(self.slot, &mut self.freed);
        }
    }
}

/// Lets in whoever waits for the places. Together, because each time takes a lock.
fn give_places_back(slot: &Slot, freed: &mut u32) {
    if *freed > 0 {
        slot.places.add_permits(std::mem::take(freed) as usize);
    }
}
