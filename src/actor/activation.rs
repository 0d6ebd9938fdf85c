//! An actor in memory, with what its turns carry from one to the next.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use relive_replay::halt::CorruptRecords;
use relive_replay::{Instance, Restored, Tape, engine};
use relive_storage::record::{Quarantine, Sender};
use relive_storage::{ActorId, FrameBytes, FrameWriter, Lsn, Rsn, Timestamp};

use crate::actor::backlog::Backlog;
use crate::actor::envelope::{CheckpointRequest, Envelope, Waiter};
use crate::actor::places::HeldPlaces;
use crate::actor::probation::Probation;
use crate::actor::repeats::Repeats;
use crate::actor::replies::Unlearned;

/// An actor in memory.
pub(crate) struct Activation {
    pub(crate) instance: Instance,
    /// Events of deliveries that were under way in a crash, and digests that no frame has yet.
    pub(crate) tape: Tape,
    /// Deliveries that are logged and not handled yet, with those who wait for replies to them.
    pub(crate) backlog: Backlog,
    /// Those who have sent requests among them again.
    pub(crate) repeats: Repeats,
    /// The places of the mailbox that they hold.
    pub(crate) places: HeldPlaces,
    /// Somebody wants a checkpoint that is not taken yet.
    pub(crate) request: Option<CheckpointRequest>,
    /// The delivery that panicked last, and how often.
    pub(crate) tried: Option<(Rsn, u32)>,
    /// The decision to leave a delivery out that is not logged yet.
    pub(crate) pending_quarantine: Option<Quarantine>,
    /// The delivery that is not done and has sent what others may have: it can't be left out.
    pub(crate) released: Option<Rsn>,
    /// Replies that have come and that no handler has learned.
    pub(crate) unlearned: Unlearned,
    /// The deliveries that the opening found and that are not handled yet.
    pub(crate) probation: Option<Probation>,
    /// What the actor has said last of when its next timer is due; `None` when it has to say it.
    pub(crate) registered: Option<Option<Timestamp>>,
    pub(crate) since_checkpoint: SinceCheckpoint,
    /// What it has appended in this life stands below. What it was loaded from is on stable
    /// storage.
    pub(crate) appended: Lsn,
}

/// The records and bytes since the actor's newest checkpoint, and its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SinceCheckpoint {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) at: Instant,
}

impl SinceCheckpoint {
    pub(crate) fn none() -> Self {
        Self { records: 0, bytes: 0, at: Instant::now() }
    }

    /// Whether a checkpoint is due by its age: the actor has received something since.
    pub(crate) fn is_due(&self, age: Duration) -> bool {
        self.records > 0 && self.at.elapsed() >= age
    }
}

impl Activation {
    /// An actor as recovery or activation found it. Deliveries of the tape that were not replayed
    /// become its backlog.
    ///
    /// # Errors
    /// [`CorruptRecords`] when they don't pass the duplicate table as they did when
    /// they were logged.
    pub(crate) fn new(restored: Restored, mut tape: Tape) -> Result<Self, CorruptRecords> {
        let mut instance = restored.instance;
        let released = (!restored.released.is_empty()).then(|| instance.handled().next());
        let mut backlog = Backlog::default();
        while let Some(delivery) = tape.next_delivery() {
            engine::admit(&mut instance, &delivery.sender, delivery.rsn)?;
            if let Sender::Keyed { .. } = delivery.sender {
                instance.parts().1.expect_request(&delivery);
            }
            backlog.push(Envelope::from(delivery));
        }
        let (handled, received) = (instance.handled(), instance.received());
        let ahead = received.since(handled);
        assert_eq!(ahead, Some(backlog.len() as u64), "what is ahead of {handled} reaches to {received}");
        // Before the tape forgets them: they count towards the next checkpoint, handled or not.
        let records = tape.deliveries().len() as u64;
        let bytes = tape.deliveries().iter().map(|delivery| delivery.payload.len() as u64).sum();
        tape.forget(instance.handled());
        Ok(Self {
            instance,
            tape,
            backlog,
            repeats: Repeats::default(),
            places: HeldPlaces::default(),
            request: None,
            tried: None,
            pending_quarantine: None,
            released,
            unlearned: Unlearned::default(),
            probation: None,
            registered: None,
            since_checkpoint: SinceCheckpoint { records, bytes, ..SinceCheckpoint::none() },
            appended: Lsn::FIRST,
        })
    }

    /// Whether queries may be shown the state, between two deliveries, once it depends on nothing
    /// that could be lost. What an opening found comes first: an earlier life may have answered it,
    /// and its caller would miss the effect.
    pub(crate) fn may_answer(&self) -> bool {
        self.probation.is_none()
    }

    /// Takes over from the halted activation: its requests, and those who wait for its deliveries.
    ///
    /// # Panics
    /// When a delivery for which somebody waits is gone.
    pub(crate) fn inherit_waiters(&mut self, halted: Self) {
        assert_eq!(self.instance.id(), halted.instance.id(), "an actor takes over from itself");
        assert_eq!(self.places.len(), 0, "what was just loaded holds no places");
        self.probation = halted.probation;
        self.unlearned = halted.unlearned;
        // What a load finds is on record; what left in this life may not be.
        self.released = self.released.max(halted.released);
        self.request = halted.request;
        self.places = halted.places;
        let (handled, repeats) = (self.instance.handled(), halted.repeats);
        let first = repeats.first();
        assert!(first.is_none_or(|first| first > handled), "{first:?} is handled at {handled}, and awaited");
        self.repeats = repeats;
        let waiting =
            halted.backlog.into_envelopes().map(|envelope| (envelope.delivery.rsn, envelope.waiter));
        let mut waiting: BTreeMap<Rsn, Waiter> = waiting.collect();
        for envelope in self.backlog.envelopes_mut() {
            if let Some(waiter) = waiting.remove(&envelope.delivery.rsn) {
                envelope.waiter = waiter;
            }
        }
        // Everything that the halted one had ahead is on stable storage, so the load has found it.
        // An asker that lost its delivery would wait for ever.
        let lost = waiting.values().filter(|waiter| !matches!(waiter, Waiter::Nobody)).count();
        assert_eq!(lost, 0, "a restart of {} keeps those who wait", self.instance.id());
    }
}

/// Ends the frame in `writer`, with the digests of the deliveries since the last frame, up to
/// `handled`.
pub(crate) fn finish_frame<'w>(
    tape: &mut Tape,
    actor: &ActorId,
    handled: Rsn,
    writer: &'w mut FrameWriter,
) -> FrameBytes<'w> {
    let since = tape.covered().min(handled);
    let digests = tape.take_pending();
    let frame = writer.finish(Some(actor), since, handled, &digests);
    tape.logged(handled);
    frame
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use relive_replay::{KindBuilder, restore};
    use relive_storage::record::{Positioned, Record};
    use relive_storage::{Lsn, Name, StoreId};
    use tokio::sync::oneshot;

    use super::*;
    use crate::actor::places::Places;
    use crate::actor::probation::ProbeMode;
    use crate::shared::testing::{Account, Deposit};

    /// An account whose log has deposits up to `last`, restored ahead of the one at `before`.
    fn activation(before: u64, last: u64) -> Activation {
        let mut tape = Tape::after(Rsn::NONE);
        let payload: Bytes = relive_replay::payload::encode(&Deposit(1)).unwrap().into();
        let deposits = (1..=last).map(|rsn| {
            let (message, payload) = (Name::from_static("deposit"), payload.clone());
            let mut envelope = Envelope::new(Sender::Outside, message, payload, Waiter::Nobody);
            envelope.delivery.rsn = Rsn::new(rsn);
            Positioned { lsn: Lsn::FIRST, record: Record::Delivery(envelope.delivery) }
        });
        tape.add((Rsn::NONE, Rsn::NONE), Some(&[]), deposits).unwrap();
        let kind = KindBuilder::<Account>::new().handles::<Deposit>().build().unwrap();
        let id = ActorId::new("account", "alice").unwrap();
        let store = StoreId::new(1);
        let restored = restore(&Arc::clone(&kind), &id, store, None, &mut tape, Some(Rsn::new(before)));
        Activation::new(restored.unwrap(), tape).unwrap()
    }

    /// What a replay did not apply is ahead, and all that was read counts for the next checkpoint.
    #[test]
    fn what_was_not_replayed_is_ahead() {
        let mut active = activation(3, 4);
        assert_eq!(active.instance.state::<Account>(), Some(&Account { cents: 2 }));
        assert_eq!((active.backlog.len(), active.since_checkpoint.records), (2, 4));
        assert_eq!(active.backlog.pop().map(|envelope| envelope.delivery.rsn), Some(Rsn::new(3)));
    }

    /// A restart keeps who waits, for which delivery, and what the actor holds.
    #[tokio::test]
    async fn a_restart_keeps_those_who_wait() {
        let places = Places::new(5);
        let (mut halted, mut again) = (activation(3, 4), activation(3, 4));
        let (asker, answer) = oneshot::channel();
        halted.backlog.envelopes_mut().last().unwrap().waiter = Waiter::Asker(asker);
        halted.places = places.hold(places.try_take(2).unwrap());
        halted.request = Some(CheckpointRequest::default());
        halted.probation = Some(Probation::new(Rsn::new(4), ProbeMode::None).0);
        again.inherit_waiters(halted);
        let asked: Vec<_> = again.backlog.envelopes_mut().map(|envelope| envelope.has_asker()).collect();
        assert_eq!((asked, again.places.len()), (vec![false, true], 2));
        assert!(again.request.is_some() && again.probation.is_some());
        drop(again);
        assert!(answer.await.is_err());
        assert_eq!(places.free(), 5);
    }

    /// An asker whose delivery is gone would wait for ever.
    #[test]
    #[should_panic = "keeps those who wait"]
    fn an_asker_without_a_delivery_panics() {
        let mut halted = activation(3, 4);
        halted.backlog.envelopes_mut().last().unwrap().waiter = Waiter::Asker(oneshot::channel().0);
        activation(3, 3).inherit_waiters(halted);
    }
}
