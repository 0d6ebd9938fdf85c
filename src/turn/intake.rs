//! The way of a message into its actor: duplicate table -> position -> log. A message is on stable
//! storage before its sender hears of it and, unless its receiver waits for its outputs alone,
//! before its handler runs.

use std::pin::pin;
use std::sync::Arc;

use relive_replay::halt::CorruptRecords;
use relive_replay::{Admission, Discipline, Inbound, Quarantined, Tape};
use relive_storage::record::{Delivery, Sender};
use relive_storage::{ActorId, FrameBytes, FrameWriter, Lsn, Rsn, Run};

use crate::actor::activation::{Activation, SinceCheckpoint, finish_frame};
use crate::actor::backlog::Backlog;
use crate::actor::cell::ActorCell;
use crate::actor::envelope::{DischargeRequest, Envelope, Receipted, Waiter};
use crate::actor::mailbox::{Batch, Next};
use crate::actor::places::HeldPlaces;
use crate::actor::repeats::Repeats;
use crate::error::{QuarantineError, ReceiptError};
use crate::log::committer::Commit;
use crate::log::frame_pool::PooledFrameWriter;
use crate::shared::Core;
use crate::turn::acks::{Acks, PendingBatch, until_durable};
use crate::turn::outputs::until_stable;
use crate::turn::queries::{Shown, answering, may_show};
use crate::turn::{Turn, TurnError};

/// The half of a turn that takes messages in. It does not touch the process, so it goes on while
/// the handler waits.
pub(crate) struct Intake<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) cell: &'a Arc<ActorCell>,
    pub(crate) inbound: &'a mut Inbound,
    pub(crate) backlog: &'a mut Backlog,
    pub(crate) repeats: &'a mut Repeats,
    pub(crate) places: &'a mut HeldPlaces,
    pub(crate) since_checkpoint: &'a mut SinceCheckpoint,
    /// The end of what the actor has appended.
    pub(crate) appended: &'a mut Lsn,
    pub(crate) mail: &'a mut Batch,
    pub(crate) frames: Frames<'a>,
}

/// What the frames of an intake say of the deliveries before.
pub(crate) enum Frames<'a> {
    /// Between two deliveries: how far the actor has handled, and what these deliveries did.
    Handled(&'a mut Tape, Rsn),
    /// While a handler waits: nothing beyond what earlier frames have said, up to here.
    Waiting(Rsn),
}

impl Frames<'_> {
    fn finish<'w>(&mut self, actor: &ActorId, writer: &'w mut FrameWriter) -> FrameBytes<'w> {
        match self {
            Self::Handled(tape, handled) => finish_frame(tape, actor, *handled, writer),
            Self::Waiting(covered) => writer.finish(Some(actor), *covered, *covered, &[]),
        }
    }
}

/// When the frames of such an actor are to come to stable storage. One that waits for its outputs
/// alone says so when it has one.
pub(crate) fn commit_of(discipline: Discipline) -> Commit {
    match discipline {
        Discipline::BeforeOutput => Commit::WhenWanted,
        Discipline::BeforeHandling => Commit::Now,
    }
}

impl Turn<'_> {
    /// The half of this turn that takes messages in, between two deliveries.
    fn intake(&mut self) -> Intake<'_> {
        self.intake_beside_queries().0
    }

    /// The half that takes messages in, and what queries may be shown of the other one meanwhile.
    pub(crate) fn intake_beside_queries(&mut self) -> (Intake<'_>, Option<Shown<'_>>) {
        let Self { core, cell, active, mail, .. } = self;
        let active = &mut **active;
        let may_show = may_show(cell, active);
        let (since_checkpoint, appended) = (&mut active.since_checkpoint, &mut active.appended);
        let Activation { instance, tape, backlog, repeats, places, .. } = active;
        let handled = instance.handled();
        let (process, inbound) = instance.parts();
        let shown = may_show.then_some(Shown { core, cell, process, appended: *appended });
        let frames = Frames::Handled(tape, handled);
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
        (intake, shown)
    }

    /// As [`Intake::receive`].
    pub(crate) async fn receive(&mut self) -> Result<PendingBatch, TurnError> {
        let (mut intake, shown) = self.intake_beside_queries();
        answering(shown, pin!(intake.receive())).await
    }

    /// Waits until the batch is on stable storage, and tells those who wait for that.
    pub(crate) async fn wait_durable(&mut self, received: PendingBatch) -> Result<(), TurnError> {
        let end = received.depends_on(self.active.appended);
        let shown = Shown::of(self.core, self.cell, &mut self.active);
        answering(shown, pin!(until_durable(self.core, end))).await?;
        received.tell(self.core, self.cell);
        Ok(())
    }

    /// As [`Intake::append_and_wait`].
    pub(crate) async fn append_and_wait(&mut self, encoder: PooledFrameWriter) -> Result<(), TurnError> {
        let (mut intake, shown) = self.intake_beside_queries();
        answering(shown, pin!(intake.append_and_wait(encoder, &mut Acks::default()))).await
    }

    /// How many deliveries the actor has taken in and not handled.
    pub(crate) fn ahead(&self) -> u64 {
        let (received, handled) = (self.active.instance.received(), self.active.instance.handled());
        let ahead = received.since(handled);
        assert!(ahead.is_some(), "{} has handled {handled} and received {received}", self.cell.id);
        ahead.unwrap_or_default()
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
            let Quarantined { sender, message, payload, .. } = entry;
            let envelope = Envelope::retry(sender, message, payload);
            let admitted = self.intake().admit(&mut encoder, envelope, places, &mut logged);
            admitted.map_err(|corrupt| TurnError::Halted(Box::new(corrupt.of(&self.cell.id))))?;
        }
        // In one frame with the new delivery: after a crash either both are there or neither.
        encoder.put_discharge(rsn);
        let (mut intake, shown) = self.intake_beside_queries();
        answering(shown, pin!(intake.append_and_wait(encoder, &mut logged))).await?;
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

impl Intake<'_> {
    /// Takes mail in: gives each new message its position and appends it to the log. Unless the
    /// actor waits for its outputs alone, no handler may run on it before [`Turn::wait_durable`]
    /// has returned.
    pub(crate) async fn receive(&mut self) -> Result<PendingBatch, TurnError> {
        let mut received = PendingBatch { messages: self.mail.len() as u64, ..PendingBatch::default() };
        let mut encoder = PooledFrameWriter::borrow();
        while let Some((messages, bytes)) = self.mail.next_size() {
            if !encoder.has_room_for(messages, bytes) {
                received.end = Some(self.append(&mut encoder, &mut received.logged).await?);
            }
            let (envelope, places) = match self.mail.pop() {
                Some(Next::One(mut envelope, places)) => {
                    if let Sender::Keyed { .. } = envelope.delivery.sender
                        && !self.is_new_request(&mut envelope, &mut received.logged)
                    {
                        continue;
                    }
                    (envelope, places)
                }
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
                self.cell.give_back(std::mem::take(self.mail));
                return Err(TurnError::Halted(Box::new(corrupt.of(&self.cell.id))));
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

    /// Tells from outside have no numbers, so none of them is known as a duplicate.
    fn admit_run(
        &mut self,
        encoder: &mut PooledFrameWriter,
        run: Run,
        places: HeldPlaces,
        logged: &mut Acks,
    ) {
        let first = self.inbound.admit_outside(run.deliveries());
        encoder.put_run(first, &run);
        self.places.merge(places);
        logged.in_frame += 1;
        logged.fresh += u64::from(run.deliveries());
        self.backlog.push_run(first, run);
    }

    pub(crate) fn admit(
        &mut self,
        encoder: &mut PooledFrameWriter,
        mut envelope: Envelope,
        places: HeldPlaces,
        logged: &mut Acks,
    ) -> Result<(), CorruptRecords> {
        let sender = &envelope.delivery.sender;
        let rsn = match self.inbound.admit(sender) {
            Admission::Fresh(rsn) => rsn,
            Admission::Duplicate => {
                logged.duplicates += 1;
                // It is acknowledged again, with this batch: the first acknowledgement may be lost
                // with the life before, and the message it repeats may stand in this very frame.
                match (envelope.waiter, sender) {
                    (Waiter::Actor(from) | Waiter::AskingActor(from), Sender::Actor { ssn, .. }) => {
                        logged.senders.push((from, *ssn));
                    }
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
                    let rsn = self.inbound.received().next();
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
        if let Sender::Keyed { .. } = sender {
            self.inbound.expect_request(&envelope.delivery);
        }
        self.places.merge(places);
        // An asker waits on, for what comes of it; the others wait for the log alone.
        match std::mem::replace(&mut envelope.waiter, Waiter::Nobody) {
            Waiter::Nobody => {}
            asker @ Waiter::Asker(_) => envelope.waiter = asker,
            Waiter::Producer(receipt) => logged.receipts.push((receipt, Receipted::Logged(rsn))),
            Waiter::Actor(from) | Waiter::AskingActor(from) => {
                if let Sender::Actor { ssn, .. } = sender {
                    logged.senders.push((from, *ssn));
                }
            }
        }
        self.backlog.push(envelope);
        logged.in_frame += 1;
        logged.fresh += 1;
        Ok(())
    }

    /// Appends the frame, and gives its deliveries the clock and the seeds of their block. They are
    /// on stable storage when everything below the returned position is.
    pub(crate) async fn append(
        &mut self,
        encoder: &mut PooledFrameWriter,
        logged: &mut Acks,
    ) -> Result<Lsn, TurnError> {
        let frame = self.frames.finish(&self.cell.id, encoder);
        let placed = |block| self.cell.change_pins(|pins| pins.placed(block));
        let commit = commit_of(self.cell.kind.discipline());
        let appended = self.core.services.committer.append(frame, commit, placed).await;
        let appended = appended.map_err(|_| TurnError::Over)?;
        assert!(*self.appended < appended.end, "{} appends behind what it has appended", self.cell.id);
        *self.appended = appended.end;
        self.since_checkpoint.records += u64::from(frame.records());
        self.since_checkpoint.bytes += frame.len() as u64;
        let pushes = std::mem::take(&mut logged.in_frame);
        assert!(pushes <= frame.records() as usize, "{pushes} pushes in {} records", frame.records());
        self.backlog.logged(pushes, appended.context);
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
        until_stable(self.core, end).await
    }
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
