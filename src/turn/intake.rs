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
            // Positions become durable in order, so waiting for the last one is enough.
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
        // The committer counts their frames now.
        self.mail.is_logged();
        Ok(received)
    }

    /// Waits until the batch is on stable storage, and tells those who wait for that.
    pub(crate) async fn wait_durable(&mut self, received: PendingBatch) -> Result<(), TurnError> {
        let PendingBatch { end, logged, messages } = received;
        if messages == 0 {
            return Ok(());
        }
        if let Some(end) = end {
            self.core.services.committer.until_durable(end).await.map_err(|_| TurnError::Over)?;
        }
        self.core.services.counters.delivered(logged.fresh);
        if logged.duplicates > 0 {
            self.core.services.counters.duplicates(logged.duplicates);
        }
        // Duplicates count too: the sender of one waits for a message on stable storage.
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
        self.core.services.committer.until_durable(end).await.map_err(|_| TurnError::Over)
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

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Waker};

    use relive_replay::HaltReason;
    use relive_storage::simulated_store::{Call, Fault, SimulatedDisk};
    use relive_storage::{ActorId, Name, Rsn, Ssn};
    use tokio::sync::oneshot;

    use super::*;
    use crate::actor::envelope::OutboxOwner;
    use crate::limits::MAILBOX_PLACES_MAX;
    use crate::shared::testing::{Deposit, account, core};
    use crate::turn::tests::{arrives, begin, memory_core, push, send, state};

    /// A sending actor that notes what is acknowledged.
    #[derive(Default)]
    struct Noting(Mutex<Vec<u64>>);

    impl Noting {
        fn noted(&self) -> Vec<u64> {
            self.0.lock().unwrap().clone()
        }
    }

    impl OutboxOwner for Noting {
        fn acknowledge(&self, _: &ActorId, ssn: Ssn) {
            self.0.lock().unwrap().push(ssn.get());
        }
    }

    /// A message of the actor "bob".
    fn from_actor(turn: &Turn<'_>, ssn: u64, from: &Arc<Noting>) {
        let sender = Sender::Actor { id: ActorId::new("account", "bob").unwrap(), ssn: Ssn::new(ssn) };
        let owner = Arc::clone(from) as Arc<dyn OutboxOwner>;
        drop(send(turn.cell, &Deposit(1), sender, Waiter::Actor(owner)));
    }

    /// A message of a producer, and its receipt.
    fn from_producer(turn: &Turn<'_>, ssn: u64) -> oneshot::Receiver<Result<Receipted, ReceiptError>> {
        let (receipt, receipted) = oneshot::channel();
        let sender = Sender::Producer { name: Name::from_static("import"), ssn: Ssn::new(ssn) };
        drop(send(turn.cell, &Deposit(1), sender, Waiter::Producer(receipt)));
        receipted
    }

    fn take(turn: &mut Turn<'_>) {
        drop(turn.cell.take_mail(&mut turn.mail));
    }

    /// Everything that has come is one frame, in its order, and the backlog has the clock and seed
    /// that the log has.
    #[tokio::test]
    async fn all_mail_is_one_frame_with_a_position_for_each() {
        let disk = SimulatedDisk::new(1);
        let core = core(Arc::new(disk.open()));
        let cell = account(&core, "alice");
        let mut turn = begin(&core, &cell).await;
        arrives(&turn, &Deposit(1));
        arrives(&turn, &Deposit(2));
        drop(push(&cell, &Deposit(3), Waiter::Asker(oneshot::channel().0)));
        take(&mut turn);
        let received = turn.receive().await.ok().unwrap();
        assert_eq!((received.messages, received.logged.fresh, received.end), (3, 3, Some(Lsn::new(3))));
        turn.wait_durable(received).await.ok().unwrap();
        let store = core.services.store.get().unwrap();
        let block = store.read(Lsn::FIRST).unwrap().unwrap().block.unwrap();
        let frames: Vec<_> = block.frames().map(Result::unwrap).collect();
        assert_eq!(frames.len(), 1);
        for positioned in &frames[0].records {
            let relive_storage::record::Record::Delivery(logged) = &positioned.record else { panic!() };
            assert_eq!(turn.active.backlog.pop().unwrap().delivery, *logged);
        }
        assert!(turn.active.backlog.is_empty());
    }

    /// Invariant: log-before-handle. Nobody hears of a message before it is on stable storage.
    #[tokio::test]
    async fn receipts_and_acknowledgements_wait_for_the_disk() {
        let disk = SimulatedDisk::new(1);
        let core = core(Arc::new(disk.open()));
        let (cell, from) = (account(&core, "alice"), Arc::new(Noting::default()));
        let mut turn = begin(&core, &cell).await;
        disk.plan_next(Fault::Hang, Call::Sync);
        let mut receipted = from_producer(&turn, 1);
        from_actor(&turn, 1, &from);
        take(&mut turn);
        let received = turn.receive().await.ok().unwrap();
        let mut durable = pin!(turn.wait_durable(received));
        disk.wait_for_hang();
        assert!(durable.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(receipted.try_recv().is_err());
        assert_eq!(from.noted(), [0; 0]);
        assert!(pin!(cell.wait_logged(1)).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        disk.release();
        durable.await.ok().unwrap();
        assert_eq!(receipted.await.unwrap().unwrap(), Receipted::Logged(Rsn::new(1)));
        assert_eq!(from.noted(), [1]);
        cell.wait_logged(2).await.unwrap();
    }

    /// Invariant: exactly-once inside. A duplicate is acknowledged and goes no further; its places
    /// are free again.
    #[tokio::test]
    async fn a_duplicate_is_acknowledged_and_dropped() {
        let core = memory_core();
        let (cell, from) = (account(&core, "alice"), Arc::new(Noting::default()));
        let mut turn = begin(&core, &cell).await;
        let (first, again) = (from_producer(&turn, 1), from_producer(&turn, 1));
        from_actor(&turn, 1, &from);
        from_actor(&turn, 1, &from);
        take(&mut turn);
        let received = turn.receive().await.ok().unwrap();
        assert_eq!((received.logged.fresh, received.logged.duplicates), (2, 2));
        turn.wait_durable(received).await.ok().unwrap();
        assert_eq!(first.await.unwrap().unwrap(), Receipted::Logged(Rsn::new(1)));
        assert_eq!(again.await.unwrap().unwrap(), Receipted::Duplicate);
        assert_eq!(from.noted(), [1, 1]);
        assert_eq!((turn.active.backlog.len(), cell.places.free()), (2, MAILBOX_PLACES_MAX - 1));
        let counts = core.services.counters.snapshot();
        assert_eq!((counts.deliveries, counts.duplicates), (2, 2));
    }

    /// A producer that skips a number hears which one is next, and what comes after is taken in.
    #[tokio::test]
    async fn a_gap_of_a_producer_is_refused() {
        let core = memory_core();
        let cell = account(&core, "alice");
        let mut turn = begin(&core, &cell).await;
        let (skipped, first) = (from_producer(&turn, 2), from_producer(&turn, 1));
        take(&mut turn);
        let received = turn.receive().await.ok().unwrap();
        turn.wait_durable(received).await.ok().unwrap();
        let gap = skipped.await.unwrap().unwrap_err();
        let (one, two) = (Ssn::new(1), Ssn::new(2));
        assert!(matches!(gap, ReceiptError::Gap { expected, found, .. } if (expected, found) == (one, two)));
        assert_eq!(first.await.unwrap().unwrap(), Receipted::Logged(Rsn::new(1)));
        assert_eq!(cell.places.free(), MAILBOX_PLACES_MAX - 1);
    }

    /// A gap in what an actor sends is damage: the receiver halts, and what it has not looked at
    /// stays in its mailbox, for those who tell the senders.
    #[tokio::test]
    async fn a_gap_of_an_actor_halts_the_receiver() {
        let core = memory_core();
        let (cell, from) = (account(&core, "alice"), Arc::new(Noting::default()));
        let mut turn = begin(&core, &cell).await;
        from_actor(&turn, 2, &from);
        arrives(&turn, &Deposit(1));
        take(&mut turn);
        let Err(TurnError::Halted(halt)) = turn.receive().await else { panic!("it has not halted") };
        assert!(matches!(halt.reason, HaltReason::Corrupt { .. }));
        assert_eq!((halt.rsn, cell.waiting(), from.noted()), (Rsn::new(1), 1, Vec::new()));
        assert_eq!(core.services.end_of_log(), Lsn::FIRST, "nothing is logged");
    }

    /// What does not fit into one frame goes on in the next, and is handled with it.
    #[tokio::test]
    async fn mail_of_more_than_a_frame_is_several() {
        let core = memory_core();
        let cell = account(&core, "alice");
        let mut turn = begin(&core, &cell).await;
        let payload = vec![0; 700 << 10];
        for _ in 0..3 {
            let taken = cell.places.try_take(crate::actor::envelope::places_of(&payload));
            let (sender, message) = (Sender::Outside, Name::from_static("deposit"));
            let (payload, waiter) = (&payload[..], Waiter::Nobody);
            drop(cell.push(crate::actor::mailbox::Mail { sender, message, payload, waiter, taken }, 0).ok());
        }
        take(&mut turn);
        let received = turn.receive().await.ok().unwrap();
        assert_eq!((received.messages, received.logged.fresh, received.end), (2, 2, Some(Lsn::new(2))));
        assert_eq!((turn.active.backlog.len(), cell.waiting()), (2, 1), "an intake has its limit too");
        turn.wait_durable(received).await.ok().unwrap();
        let store = core.services.store.get().unwrap();
        let (mut at, mut frames) = (Lsn::FIRST, Vec::new());
        while let Some(stored) = store.read(at).unwrap() {
            let block = stored.block.unwrap();
            frames.extend(block.frames().map(|frame| frame.unwrap().records.len()));
            at = block.header().next();
        }
        assert_eq!(frames, [1, 1]);
    }

    /// A delivery that is not in quarantine can't leave it, and nothing is logged.
    #[tokio::test]
    async fn what_is_not_in_quarantine_is_not_discharged() {
        let core = memory_core();
        let cell = account(&core, "alice");
        let mut turn = begin(&core, &cell).await;
        let (done, outcome) = oneshot::channel();
        turn.discharge(DischargeRequest { rsn: Rsn::new(1), anew: None, done }).await.ok().unwrap();
        assert!(matches!(outcome.await.unwrap(), Err(QuarantineError::NotQuarantined { .. })));
        assert_eq!((core.services.end_of_log(), state(&turn)), (Lsn::FIRST, (0, 0, 0)));
    }
}
