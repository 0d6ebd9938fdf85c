//! The way of a message into its actor: duplicate table -> position -> log. What is taken in is on stable storage before
//! anything else is done with it.

use relive_replay::{Admission, Halt, Quarantined};
use relive_storage::record::{Delivery, Sender};
use relive_storage::{Lsn, Run};

use crate::encoder::Encoder;
use crate::envelope::{DischargeRequest, Envelope, Receipted, Waiter};
use crate::error::Refused;
use crate::mailbox::Next;
use crate::received::{Logged, Received};
use crate::turn::{Broken, Turn};

impl Turn<'_> {
    /// Takes mail in: what is not a duplicate gets its position and is appended to the log. It is not to be handled
    /// before [`Turn::settle`] was through.
    pub(crate) async fn receive(&mut self) -> Result<Received, Broken> {
        let mut received = Received { messages: self.mail.len() as u64, ..Received::default() };
        let mut encoder = Encoder::borrow();
        while let Some((messages, bytes)) = self.mail.next_size() {
            if !encoder.has_room_for(messages, bytes) {
                received.end = Some(self.append(&mut encoder, &mut received.logged).await?);
            }
            let envelope = match self.mail.pop() {
                Some(Next::One(envelope)) => envelope,
                Some(Next::Run(run, places)) => {
                    self.admit_run(&mut encoder, run, places, &mut received.logged);
                    continue;
                }
                None => break,
            };
            if let Err(halt) = self.admit(&mut encoder, envelope, &mut received.logged) {
                // They were not taken in: whoever sent them is told what becomes of the actor.
                self.slot.give_back(std::mem::take(&mut self.mail));
                return Err(halt.into());
            }
        }
        if encoder.count() > 0 {
            // Positions become stable in order, so the last speaks for all.
            received.end = Some(self.append(&mut encoder, &mut received.logged).await?);
        }
        Ok(received)
    }

    /// Waits until what was received is on stable storage, and tells those who wait for that.
    pub(crate) async fn settle(&mut self, received: Received) -> Result<(), Broken> {
        let Received { end, logged, messages } = received;
        if messages == 0 {
            return Ok(());
        }
        if let Some(end) = end {
            self.core.committer.stable(end).await.map_err(|_| Broken::Over)?;
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

    /// Tells from outside have no numbers, so none of them is known as a duplicate.
    fn admit_run(&mut self, encoder: &mut Encoder, run: Run, places: u32, logged: &mut Logged) {
        let first = self.active.instance.admit_outside(run.deliveries());
        encoder.put_run(first, &run);
        self.active.places += places;
        logged.in_frame += 1;
        logged.fresh += u64::from(run.deliveries());
        self.active.backlog.push_run(first, run);
    }

    fn admit(
        &mut self,
        encoder: &mut Encoder,
        mut envelope: Envelope,
        logged: &mut Logged,
    ) -> Result<(), Halt> {
        let places = envelope.places();
        let sender = &envelope.delivery.sender;
        let rsn = match self.active.instance.admit(sender) {
            Admission::Fresh(rsn) => rsn,
            Admission::Duplicate => {
                logged.duplicates += 1;
                self.slot.places.add_permits(places as usize);
                match (envelope.waiter, sender) {
                    (Waiter::Actor(from), Sender::Actor { ssn, .. }) => logged.senders.push((from, *ssn)),
                    (Waiter::Producer(receipt), _) => {
                        logged.receipts.push((receipt, Receipted::Duplicate));
                    }
                    _ => {}
                }
                return Ok(());
            }
            Admission::Gap { expected, found } => {
                let actor = self.slot.id.clone();
                if let Sender::Actor { id, .. } = sender {
                    let rsn = self.active.instance.received().next();
                    let what = format!("{id} sent {found} when {expected} was next");
                    return Err(Halt::Corrupt { actor, rsn, what });
                }
                self.slot.places.add_permits(places as usize);
                envelope.waiter.refuse(Refused::Gap { actor, expected, found });
                return Ok(());
            }
        };
        envelope.delivery.rsn = rsn;
        let Delivery { sender, asked, message, payload, .. } = &envelope.delivery;
        encoder.put_delivery(rsn, sender, *asked, message, payload);
        self.active.places += places;
        // An asker waits on, for what comes of it; the others wait for the log alone.
        match std::mem::replace(&mut envelope.waiter, Waiter::Nobody) {
            Waiter::Nobody => {}
            asker @ Waiter::Asker(_) => envelope.waiter = asker,
            Waiter::Producer(receipt) => logged.receipts.push((receipt, Receipted::Logged(rsn))),
            Waiter::Actor(from) => {
                if let Sender::Actor { ssn, .. } = sender {
                    logged.senders.push((from, *ssn));
                }
            }
        }
        self.active.backlog.push(envelope);
        logged.in_frame += 1;
        logged.fresh += 1;
        Ok(())
    }

    /// Appends the frame, and gives its deliveries the clock and the seeds of their block. They are stable when everything
    /// below what it returns is.
    async fn append(&mut self, encoder: &mut Encoder, logged: &mut Logged) -> Result<Lsn, Broken> {
        let frame = self.active.finish_frame(encoder);
        let placed = |block| self.slot.change_pins(|pins| pins.placed(block));
        let appended = self.core.committer.append(frame, placed).await;
        let appended = appended.map_err(|_| Broken::Over)?;
        self.active.since_checkpoint.records += u64::from(frame.records());
        self.active.since_checkpoint.bytes += frame.len() as u64;
        self.active.backlog.logged(std::mem::take(&mut logged.in_frame), appended.context);
        Ok(appended.end)
    }

    /// Appends a frame of records that are no deliveries, or few, and waits until it is stable.
    pub(crate) async fn append_and_wait(
        &mut self,
        mut encoder: Encoder,
        logged: &mut Logged,
    ) -> Result<(), Broken> {
        let end = self.append(&mut encoder, logged).await?;
        drop(encoder);
        self.core.committer.stable(end).await.map_err(|_| Broken::Over)
    }

    /// Takes a delivery out of quarantine: it is delivered anew, under a number of its own, or given up.
    pub(crate) async fn discharge(&mut self, request: DischargeRequest) -> Result<(), Broken> {
        let DischargeRequest { rsn, anew, done } = request;
        let Some(entry) = self.active.instance.quarantined().find(|entry| entry.rsn == rsn).cloned() else {
            self.slot.places.add_permits(anew.unwrap_or_default() as usize);
            let _ = done.send(Err(Refused::NotQuarantined { actor: self.slot.id.clone(), rsn }));
            return Ok(());
        };
        let (mut encoder, mut logged) = (Encoder::borrow(), Logged::default());
        if anew.is_some() {
            let Quarantined { message, payload, .. } = entry;
            let envelope = Envelope::new(Sender::Outside, message, payload, Waiter::Nobody);
            self.admit(&mut encoder, envelope, &mut logged)?;
        }
        encoder.put_discharge(rsn);
        self.append_and_wait(encoder, &mut logged).await?;
        self.core.counters.delivered(logged.fresh);
        let received = self.active.instance.received();
        if anew.is_some() {
            self.active.instance.redeliver(received, rsn);
        }
        self.active.instance.discharge(rsn);
        self.core.quarantine.remove(&self.slot.id, rsn);
        let _ = done.send(Ok(if anew.is_some() { received } else { rsn }));
        Ok(())
    }
}
