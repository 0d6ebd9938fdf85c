//! The way of a message through its actor: mailbox -> duplicate table -> log -> step -> effects. A turn begins when a
//! message comes to an actor that rests, and ends when nothing is left to do.

use std::sync::Arc;
use std::time::Instant;

use std::future::poll_fn;
use std::pin::pin;

use relive_replay::{Admission, Effects, Halt, Outgoing, Quarantined, step};
use relive_storage::record::{Delivery, Quarantine, Sender};
use relive_storage::{CheckpointNumber, FrameWriter, Ssn};
use tracing::Instrument;

use crate::active::{Active, SinceCheckpoint};
use crate::committer::Commit;
use crate::core::Core;
use crate::envelope::{Debtor, DischargeRequest, Envelope, ReceiptTo, Receipted, Waiter, places_of};
use crate::error::Refused;
use crate::live::Live;
use crate::restart::bring_back;
use crate::slot::{Slot, Wake};

/// Puts a message into an actor's mailbox and sees to it that a turn takes it.
pub(crate) fn post(core: &Arc<Core>, slot: &Arc<Slot>, envelope: Envelope) -> Result<u64, Refused> {
    let (number, wake) = slot.push(envelope, core.now())?;
    begin(core, slot, wake);
    Ok(number)
}

/// Starts a turn if `wake` says so.
pub(crate) fn begin(core: &Arc<Core>, slot: &Arc<Slot>, wake: Wake) {
    let Wake::Start(active) = wake else { return };
    let guard = core.turn_begins();
    let (core, slot) = (Arc::clone(core), Arc::clone(slot));
    let tokio = core.tokio.clone();
    tokio.spawn(async move {
        let _guard = guard;
        run(&core, &slot, active).await;
    });
}

/// Puts what an actor sent into its receivers' mailboxes; it goes on owing until they have logged it.
fn release(core: &Arc<Core>, from: &Arc<Slot>, messages: Vec<Outgoing>) -> Result<(), Box<Outgoing>> {
    for outgoing in messages {
        if let Some((to, wake)) = deliver(core, from, outgoing)? {
            begin(core, &to, wake);
        }
    }
    Ok(())
}

/// Puts one message that an actor owes into its receiver's mailbox; gives the receiver and what follows from it. The
/// message is given back when the receiver's kind is not registered.
pub(crate) fn deliver(
    core: &Core,
    from: &Arc<Slot>,
    outgoing: Outgoing,
) -> Result<Option<(Arc<Slot>, Wake)>, Box<Outgoing>> {
    let Some(to) = core.slot(&outgoing.to) else { return Err(Box::new(outgoing)) };
    let Outgoing { ssn, message, payload, .. } = outgoing;
    let sender = Sender::Actor { id: from.id.clone(), ssn };
    let debtor = Arc::clone(from) as Arc<dyn Debtor>;
    let envelope = Envelope { sender, message, payload, waiter: Waiter::Actor(debtor) };
    match to.push(envelope, core.now()) {
        Ok((_, wake)) => Ok(Some((to, wake))),
        Err(reason) => {
            tracing::warn!(from = %from.id, to = %to.id, %ssn, %reason, "a message stays owed");
            Ok(None)
        }
    }
}

async fn run(core: &Arc<Core>, slot: &Arc<Slot>, active: Option<Box<Active>>) {
    let mut active = match active {
        Some(active) => active,
        None => match bring_back(core, slot, None, None).await {
            Some(active) => active,
            None => return,
        },
    };
    loop {
        let turn = Turn { core, slot, active, writer: FrameWriter::new(), frame: Vec::new() };
        let (halted, halt) = match turn.run().await {
            End::Rested | End::Over => return,
            End::Halted(active, halt) => (active, halt),
        };
        match bring_back(core, slot, Some(halted), Some(halt)).await {
            Some(restarted) => active = restarted,
            None => return,
        }
    }
}

enum End {
    /// Nothing is left to do.
    Rested,
    /// The runtime has ended.
    Over,
    /// The handler halted; what it had changed is to be thrown away.
    Halted(Box<Active>, Halt),
}

/// Why a turn can't go on.
enum Broken {
    Over,
    Halted(Halt),
}

impl From<Halt> for Broken {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::NotLogged { .. } => Self::Over,
            halt => Self::Halted(halt),
        }
    }
}

struct Turn<'a> {
    core: &'a Arc<Core>,
    slot: &'a Arc<Slot>,
    active: Box<Active>,
    writer: FrameWriter,
    frame: Vec<u8>,
}

impl Turn<'_> {
    async fn run(mut self) -> End {
        loop {
            match self.round().await {
                Ok(true) => {}
                Ok(false) => match self.slot.rest(self.active) {
                    None => return End::Rested,
                    Some(active) => self.active = active,
                },
                Err(Broken::Over) => return End::Over,
                Err(Broken::Halted(halt)) => return End::Halted(self.active, halt),
            }
        }
    }

    /// Handles what is logged, then logs what has come. Says whether there may be more to do.
    async fn round(&mut self) -> Result<bool, Broken> {
        self.handle_backlog().await?;
        if self.active.backlog.is_empty() && (self.active.request.is_some() || self.checkpoint_is_due()) {
            self.checkpoint().await?;
        }
        let intake = self.slot.take_mail();
        if let Some(request) = intake.checkpoint {
            self.active.request.get_or_insert_default().waiters.extend(request.waiters);
        }
        let news = !intake.mail.is_empty() || !intake.discharges.is_empty();
        if !intake.mail.is_empty() {
            self.log(intake.mail).await?;
        }
        for discharge in intake.discharges {
            self.discharge(discharge).await?;
        }
        if news {
            return Ok(true);
        }
        if !self.active.backlog.is_empty() {
            // It owes too much. What settles its debts, and new mail, comes as news; taking mail in meanwhile is what
            // lets actors that owe each other go on.
            self.core.while_indebted(self.slot.news.notified()).await.map_err(|_| Broken::Over)?;
            return Ok(true);
        }
        Ok(self.active.request.is_some())
    }

    /// Takes mail in: what is not a duplicate gets its position, and is on stable storage when this returns.
    async fn log(&mut self, mail: Vec<Envelope>) -> Result<(), Broken> {
        let messages = mail.len() as u64;
        let mut logged = Logged::default();
        let mut commit = None;
        let mut mail = mail.into_iter();
        while let Some(envelope) = mail.next() {
            if !self.writer.has_room_for(envelope.payload.len()) {
                commit = Some(self.append(&mut logged).await?);
            }
            if let Err(halt) = self.admit(envelope, &mut logged) {
                // They were not taken in: whoever sent them is told what becomes of the actor.
                self.slot.give_back(mail);
                return Err(halt.into());
            }
        }
        if self.writer.count() > 0 {
            commit = Some(self.append(&mut logged).await?);
        }
        if let Some(commit) = commit {
            // Positions are stable in order, so the last commit speaks for all.
            commit.stable().await.map_err(|_| Broken::Over)?;
        }
        self.core.counters.delivered(logged.fresh);
        if logged.duplicates > 0 {
            self.core.counters.duplicates(logged.duplicates);
        }
        self.slot.logged(messages);
        for (sender, ssn) in logged.senders {
            sender.settle(&self.slot.id, ssn);
        }
        for (receipt, receipted) in logged.receipts {
            let _ = receipt.send(Ok(receipted));
        }
        Ok(())
    }

    fn admit(&mut self, envelope: Envelope, logged: &mut Logged) -> Result<(), Halt> {
        let places = envelope.places();
        let Envelope { sender, message, payload, waiter } = envelope;
        let asked = matches!(waiter, Waiter::Asker(_));
        let admission = self.active.instance.admit(&sender);
        let rsn = match admission {
            Admission::Fresh(rsn) => rsn,
            Admission::Duplicate => {
                logged.duplicates += 1;
                self.slot.places.add_permits(places as usize);
                match (waiter, sender) {
                    (Waiter::Actor(from), Sender::Actor { ssn, .. }) => logged.senders.push((from, ssn)),
                    (Waiter::Producer(receipt), _) => {
                        logged.receipts.push((receipt, Receipted::Duplicate));
                    }
                    _ => {}
                }
                return Ok(());
            }
            Admission::Gap { expected, found } => {
                let actor = self.slot.id.clone();
                if let Sender::Actor { id, .. } = &sender {
                    let rsn = self.active.instance.received().next();
                    let what = format!("{id} sent {found} when {expected} was next");
                    return Err(Halt::Corrupt { actor, rsn, what });
                }
                self.slot.places.add_permits(places as usize);
                waiter.refuse(Refused::Gap { actor, expected, found });
                return Ok(());
            }
        };
        self.writer.put_delivery(rsn, &sender, asked, &message, &payload);
        self.active.places += places;
        match waiter {
            Waiter::Nobody => {}
            Waiter::Asker(reply) => drop(self.active.askers.insert(rsn, reply)),
            Waiter::Producer(receipt) => logged.receipts.push((receipt, Receipted::Logged(rsn))),
            Waiter::Actor(from) => {
                if let Sender::Actor { ssn, .. } = &sender {
                    logged.senders.push((from, *ssn));
                }
            }
        }
        // Clock and seed are those of its block, known when the frame is appended.
        let (clock, seed) = Default::default();
        self.active.backlog.push_back(Delivery { rsn, sender, asked, message, payload, clock, seed });
        logged.in_frame += 1;
        logged.fresh += 1;
        Ok(())
    }

    /// Appends the frame, and gives its deliveries the clock and the seeds of their block.
    async fn append(&mut self, logged: &mut Logged) -> Result<Commit, Broken> {
        let records = self.writer.count();
        self.active.finish_frame(&mut self.writer, &mut self.frame);
        let placed = |block| self.slot.pins().placed(block);
        let appended = self.core.committer.append(&self.frame, records, placed).await;
        let appended = appended.map_err(|_| Broken::Over)?;
        let begin = self.active.backlog.len() - std::mem::take(&mut logged.in_frame);
        let mut lsn = appended.context.first;
        for delivery in self.active.backlog.range_mut(begin..) {
            delivery.clock = appended.context.clock;
            delivery.seed = appended.context.seed_at(lsn);
            lsn = lsn.next();
        }
        self.active.since_checkpoint.records += u64::from(records);
        self.active.since_checkpoint.bytes += self.frame.len() as u64;
        Ok(appended.commit)
    }

    /// Handles what is logged, as long as the actor does not owe too much.
    async fn handle_backlog(&mut self) -> Result<(), Broken> {
        if let Some(suspects) = &mut self.active.suspects {
            self.core.unless_stopped(suspects.permitted()).await.map_err(|_| Broken::Over)?;
        }
        while !self.slot.owes_too_much() {
            let Some(delivery) = self.active.backlog.pop_front() else {
                break;
            };
            if let Some(decision) = self.before_try(&delivery).await? {
                self.leave_out(&delivery, &decision);
            } else {
                let effects = self.step(&delivery).await?;
                self.after_try(&delivery).await?;
                self.release(&delivery, effects)?;
            }
            let handled = self.active.instance.handled();
            self.active.suspects.take_if(|suspects| suspects.are_over(handled));
        }
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
            self.writer.put_quarantine(&decision);
            self.append_and_wait(&mut Logged::default()).await?;
            return Ok(Some(decision));
        }
        let Some(suspects) = &mut active.suspects else { return Ok(None) };
        let tries = active.tape.attempts(rsn);
        let exhausted = suspects.blames(rsn) && tries >= self.core.config.restarts.tries;
        if exhausted && !suspects.was_through(&active.instance) {
            let (actor, message) = (self.slot.id.clone(), delivery.message.to_string());
            return Err(Broken::Halted(Halt::ProcessEnded { actor, rsn, message, tries }));
        }
        if suspects.calls_for_note(rsn) {
            self.writer.put_attempt(rsn);
            self.append_and_wait(&mut Logged::default()).await?;
        }
        Ok(None)
    }

    /// Tells the log that a try that was noted is over, before anything of it is released: so that a process that ends
    /// later does not count against it, and what others have seen of it is never left out.
    async fn after_try(&mut self, delivery: &Delivery) -> Result<(), Broken> {
        let suspects = self.active.suspects.as_ref();
        if suspects.is_some_and(|suspects| suspects.blames(delivery.rsn)) {
            self.writer.put_attempt(delivery.rsn);
            self.append_and_wait(&mut Logged::default()).await?;
        }
        Ok(())
    }

    async fn append_and_wait(&mut self, logged: &mut Logged) -> Result<(), Broken> {
        let commit = self.append(logged).await?;
        commit.stable().await.map_err(|_| Broken::Over)
    }

    /// Goes past a delivery without handling it: nothing changes but that it is in quarantine.
    fn leave_out(&mut self, delivery: &Delivery, decision: &Quarantine) {
        self.active.instance.skip(delivery, decision);
        let entry = Arc::new(Quarantined::new(&self.slot.id, delivery, decision));
        self.core.quarantine.add(Arc::clone(&entry));
        self.core.counters.quarantined();
        if let Some(asker) = self.active.askers.remove(&delivery.rsn) {
            let _ = asker.send(Err(Refused::Quarantined(entry)));
        }
        self.give_place_back(delivery);
    }

    /// Takes a delivery out of quarantine: it is delivered anew, under a number of its own, or given up.
    async fn discharge(&mut self, request: DischargeRequest) -> Result<(), Broken> {
        let DischargeRequest { rsn, anew, done } = request;
        let Some(entry) = self.active.instance.quarantined().find(|entry| entry.rsn == rsn).cloned() else {
            self.slot.places.add_permits(anew.unwrap_or_default() as usize);
            let _ = done.send(Err(Refused::NotQuarantined { actor: self.slot.id.clone(), rsn }));
            return Ok(());
        };
        let mut logged = Logged::default();
        if anew.is_some() {
            let Quarantined { message, payload, .. } = entry;
            let (sender, waiter) = (Sender::Outside, Waiter::Nobody);
            self.admit(Envelope { sender, message, payload, waiter }, &mut logged)?;
        }
        self.writer.put_discharge(rsn);
        self.append_and_wait(&mut logged).await?;
        self.core.counters.delivered(logged.fresh);
        self.active.instance.discharge(rsn);
        self.core.quarantine.remove(&self.slot.id, rsn);
        let _ = done.send(Ok(if anew.is_some() { self.active.instance.received() } else { rsn }));
        Ok(())
    }

    async fn step(&mut self, delivery: &Delivery) -> Result<Effects, Broken> {
        let Active { instance, tape, since_checkpoint, suspects, .. } = &mut *self.active;
        let mut live = Live {
            core: self.core,
            slot: self.slot,
            tape,
            writer: &mut self.writer,
            frame: &mut self.frame,
            events: 0,
            bytes: 0,
        };
        let span = tracing::debug_span!("relive::delivery", actor = %self.slot.id, rsn = delivery.rsn.get(),
            message = %delivery.message, replaying = false);
        let stepping = step(instance, delivery, &mut live).instrument(span);
        let effects = if let Some(suspects) = suspects {
            let mut stepping = pin!(stepping);
            let watched = poll_fn(|task| {
                suspects.waits(false);
                let step = stepping.as_mut().poll(task);
                suspects.waits(step.is_pending());
                step
            });
            self.core.unless_stopped(watched).await
        } else {
            self.core.unless_stopped(stepping).await
        };
        let effects = effects.map_err(|_| Broken::Over)?;
        since_checkpoint.records += live.events;
        since_checkpoint.bytes += live.bytes;
        Ok(effects?)
    }

    /// The delivery is done: its effects leave, in order.
    fn release(&mut self, delivery: &Delivery, effects: Effects) -> Result<(), Broken> {
        if !effects.sends.is_empty() {
            self.slot.owe(&effects.sends);
            release(self.core, self.slot, effects.sends).map_err(|outgoing| Halt::Unhandled {
                actor: outgoing.to,
                rsn: delivery.rsn,
                message: outgoing.message.to_string(),
            })?;
        }
        if let Some(reply) = effects.reply
            && let Some(asker) = self.active.askers.remove(&delivery.rsn)
        {
            let _ = asker.send(Ok(reply));
        }
        self.give_place_back(delivery);
        Ok(())
    }

    /// A delivery that is done no longer takes a place in the mailbox.
    fn give_place_back(&mut self, delivery: &Delivery) {
        if !matches!(delivery.sender, Sender::Actor { .. }) {
            // After a restart it may be one that held none in this life.
            let places = places_of(&delivery.payload).min(self.active.places);
            self.active.places -= places;
            self.slot.places.add_permits(places as usize);
        }
    }

    fn checkpoint_is_due(&self) -> bool {
        let (since, policy) = (&self.active.since_checkpoint, &self.core.config.checkpoints);
        since.records >= policy.records || since.bytes >= policy.bytes
    }

    /// Takes a checkpoint between two deliveries and hands it to the checkpointer; waits only when that has too many.
    async fn checkpoint(&mut self) -> Result<(), Broken> {
        let request = self.active.request.take().unwrap_or_default();
        let owed = self.slot.owed();
        let instance = &self.active.instance;
        let captured = relive_replay::checkpoint_body::capture(instance, &owed, CheckpointNumber::default());
        let checkpoint = captured.map_err(|error| Halt::Codec {
            actor: self.slot.id.clone(),
            rsn: instance.handled(),
            what: "the state".to_owned(),
            reason: error.to_string(),
        })?;
        self.slot.pins().taken();
        self.active.since_checkpoint = SinceCheckpoint { at: Instant::now(), ..SinceCheckpoint::none() };
        self.core.checkpointer.write(self.slot, checkpoint, request).await;
        Ok(())
    }
}

/// What one intake has to tell when it is stable.
#[derive(Default)]
struct Logged {
    fresh: u64,
    duplicates: u64,
    in_frame: usize,
    senders: Vec<(Arc<dyn Debtor>, Ssn)>,
    receipts: Vec<(ReceiptTo, Receipted)>,
}
