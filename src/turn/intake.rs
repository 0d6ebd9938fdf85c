//! The way of a message into its actor: duplicate table -> position -> log. A message is on stable
//! storage before its handler runs and before its sender hears of it.

use relive_replay::halt::CorruptRecords;
use relive_replay::{Admission, Quarantined};
use relive_storage::record::{Delivery, Sender};
use relive_storage::{Lsn, Run};

use crate::actor::envelope::{DischargeRequest, Envelope, Receipted, Waiter};
use crate::actor::mailbox::Next;
use crate::actor::places::HeldPlaces;
use crate::error::{QuarantineError, ReceiptError};
use crate::log::frame_pool::PooledFrameWriter;
use crate::turn::acks::{Acks, PendingBatch};
use crate::turn::{Turn, TurnError};

impl Turn<'_> {
    /// Takes mail in: gives each new message its position and appends it to the log. No handler may
    /// run on it before [`Turn::wait_durable`] has returned.
    pub(crate) async fn receive(&mut self) -> Result<PendingBatch, TurnError> {
        let mut received = PendingBatch { messages: self.mail.len() as u64, ..PendingBatch::default() };
        let mut encoder = PooledFrameWriter::borrow();
        while let Some((messages, bytes)) = self.mail.next_size() {
            if !encoder.has_room_for(messages, bytes) {
                received.end = Some(self.append(&mut encoder, &mut received.logged).await?);
            }
            let (envelope, places) = match self.mail.pop() {
                Some(Next::One(envelope, places)) => (envelope, places),
                Some(Next::Run(run, places)) => {
                    self.admit_run(&mut encoder, run, places, &mut received.logged);
                    continue;
                }
                None => break,
            };
            if let Err(corrupt) = self.admit(&mut encoder, envelope, places, &mut received.logged) {
                // The actor has not taken these in. Their senders learn what happens to the actor.
                // What stands in the frame is not logged: the actor fails, and the next opening
                // finds the log as it was.
                self.cell.give_back(std::mem::take(&mut self.mail));
                return Err(TurnError::Halted(corrupt.of(&self.cell.id)));
            }
        }
        if encoder.count() > 0 {
            // Positions become stable in order, so waiting for the last one is enough.
            received.end = Some(self.append(&mut encoder, &mut received.logged).await?);
        }
        let Acks { fresh, duplicates, in_frame, .. } = received.logged;
        assert_eq!(in_frame, 0, "what {} has taken in stands in a frame that was appended", self.cell.id);
        assert_eq!(fresh > 0, received.end.is_some(), "{fresh} new messages end at {:?}", received.end);
        assert!(
            fresh + duplicates <= received.messages,
            "of {} messages each counts once",
            received.messages
        );
        Ok(received)
    }

    /// Waits until the batch is on stable storage, and tells those who wait for that.
    pub(crate) async fn wait_durable(&mut self, received: PendingBatch) -> Result<(), TurnError> {
        let PendingBatch { end, logged, messages } = received;
        if messages == 0 {
            return Ok(());
        }
        if let Some(end) = end {
            self.core.services.committer.stable(end).await.map_err(|_| TurnError::Over)?;
        }
        self.core.services.counters.delivered(logged.fresh);
        if logged.duplicates > 0 {
            self.core.services.counters.duplicates(logged.duplicates);
        }
        // Duplicates count too: whoever sent one waits for a message that is on stable storage.
        self.cell.logged(messages);
        // Only now: a sender that hears of it drops its copy of the message.
        for (sender, ssn) in logged.senders {
            sender.acknowledge(&self.cell.id, ssn);
        }
        for (receipt, receipted) in logged.receipts {
            let _ = receipt.send(Ok(receipted));
        }
        Ok(())
    }

    /// Tells from outside have no numbers, so none of them is known as a duplicate.
    fn admit_run(
        &mut self,
        encoder: &mut PooledFrameWriter,
        run: Run,
        places: HeldPlaces,
        logged: &mut Acks,
    ) {
        let first = self.active.instance.admit_outside(run.deliveries());
        encoder.put_run(first, &run);
        self.active.places.merge(places);
        logged.in_frame += 1;
        logged.fresh += u64::from(run.deliveries());
        self.active.backlog.push_run(first, run);
    }

    /// How many deliveries the actor has taken in and not handled.
    pub(crate) fn ahead(&self) -> u64 {
        let (received, handled) = (self.active.instance.received(), self.active.instance.handled());
        let ahead = received.since(handled);
        assert!(ahead.is_some(), "{} has handled {handled} and received {received}", self.cell.id);
        ahead.unwrap_or_default()
    }

    fn admit(
        &mut self,
        encoder: &mut PooledFrameWriter,
        mut envelope: Envelope,
        places: HeldPlaces,
        logged: &mut Acks,
    ) -> Result<(), CorruptRecords> {
        let sender = &envelope.delivery.sender;
        let rsn = match self.active.instance.admit(sender) {
            Admission::Fresh(rsn) => rsn,
            Admission::Duplicate => {
                logged.duplicates += 1;
                // It is acknowledged again, with this batch: the first acknowledgement may be lost
                // with the life before, and the message it repeats may stand in this very frame.
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
                // An actor's outbox sends in order and again, so a gap there is damage. A producer
                // is a program of the user's, which may number its messages as it likes.
                if let Sender::Actor { id, .. } = sender {
                    let rsn = self.active.instance.received().next();
                    let what = format!("{id} sent {found} when {expected} was next");
                    return Err(CorruptRecords { rsn, what });
                }
                if let Waiter::Producer(receipt) = envelope.waiter {
                    let actor = self.cell.id.clone();
                    let _ = receipt.send(Err(ReceiptError::Gap { actor, expected, found }));
                }
                return Ok(());
            }
        };
        envelope.delivery.rsn = rsn;
        let Delivery { sender, asked, message, payload, .. } = &envelope.delivery;
        encoder.put_delivery(rsn, sender, *asked, message, payload);
        self.active.places.merge(places);
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

    /// Appends the frame, and gives its deliveries the clock and the seeds of their block. They are
    /// on stable storage when everything below the returned position is.
    async fn append(&mut self, encoder: &mut PooledFrameWriter, logged: &mut Acks) -> Result<Lsn, TurnError> {
        let frame = self.active.finish_frame(encoder);
        let placed = |block| self.cell.change_pins(|pins| pins.placed(block));
        let appended = self.core.services.committer.append(frame, placed).await;
        let appended = appended.map_err(|_| TurnError::Over)?;
        self.active.since_checkpoint.records += u64::from(frame.records());
        self.active.since_checkpoint.bytes += frame.len() as u64;
        let pushes = std::mem::take(&mut logged.in_frame);
        assert!(pushes <= frame.records() as usize, "{pushes} pushes in {} records", frame.records());
        self.active.backlog.logged(pushes, appended.context);
        Ok(appended.end)
    }

    /// Appends a frame with few or no deliveries, and waits until it is on stable storage.
    pub(crate) async fn append_and_wait(
        &mut self,
        mut encoder: PooledFrameWriter,
        logged: &mut Acks,
    ) -> Result<(), TurnError> {
        let end = self.append(&mut encoder, logged).await?;
        // Back to the thread before the wait, which may end on another one.
        drop(encoder);
        self.core.services.committer.stable(end).await.map_err(|_| TurnError::Over)
    }

    /// Takes a delivery out of quarantine, and delivers it again under a new number if asked to.
    pub(crate) async fn discharge(&mut self, request: DischargeRequest) -> Result<(), TurnError> {
        let DischargeRequest { rsn, anew, done } = request;
        let Some(entry) = self.active.instance.quarantined().find(|entry| entry.rsn == rsn).cloned() else {
            let _ = done.send(Err(QuarantineError::NotQuarantined { actor: self.cell.id.clone(), rsn }));
            return Ok(());
        };
        let (mut encoder, mut logged) = (PooledFrameWriter::borrow(), Acks::default());
        let is_anew = anew.is_some();
        if let Some(places) = anew {
            let Quarantined { message, payload, .. } = entry;
            let envelope = Envelope::new(Sender::Outside, message, payload, Waiter::Nobody);
            let admitted = self.admit(&mut encoder, envelope, places, &mut logged);
            admitted.map_err(|corrupt| TurnError::Halted(corrupt.of(&self.cell.id)))?;
        }
        // In one frame with the new delivery: after a crash either both are there or neither.
        encoder.put_discharge(rsn);
        self.append_and_wait(encoder, &mut logged).await?;
        assert_eq!(logged.fresh, u64::from(is_anew), "a retry is a new delivery, and alone");
        self.core.services.counters.delivered(logged.fresh);
        let received = self.active.instance.received();
        // Before the discharge: the retry takes its keys from the entry in quarantine.
        if is_anew {
            self.active.instance.redeliver(received, rsn);
        }
        let discharged = self.active.instance.discharge(rsn);
        assert!(discharged.is_some(), "{rsn} of {} leaves the quarantine once", self.cell.id);
        self.core.services.quarantine.remove(&self.cell.id, rsn);
        let _ = done.send(Ok(if is_anew { received } else { rsn }));
        Ok(())
    }
}
