//! The recorded determinants of one actor: its deliveries, the events that it met, the digests of
//! its effects, and the messages that receivers have. The frames of the log fill it in their order;
//! a replay reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use relive_storage::record::{Delivery, EffectDigest, Event, Positioned, Quarantine, Record, Sender};
use relive_storage::{ActorId, Frame, Rsn, Ssn};

use crate::Divergence;
use crate::halt::CorruptRecords;
use crate::receptions::{Beyond, Check, Receptions, SeenByOthers, refers_to};
use crate::waits::{Wait, describe as describe_event};

/// The recorded determinants of one actor after a checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    after: Rsn,
    pub(crate) deliveries: Vec<Delivery>,
    at: usize,
    /// The events of each delivery, in the order in which the handler learned them.
    pub(crate) events: BTreeMap<Rsn, Vec<Event>>,
    /// The delivery whose events were read last, and how many of them.
    events_read: (Rsn, usize),
    /// The requests of other actors among the deliveries.
    asked: BTreeMap<(ActorId, Ssn), Rsn>,
    digests: BTreeMap<Rsn, u64>,
    left_out: BTreeMap<Rsn, Quarantine>,
    discharged: BTreeSet<Rsn>,
    /// Deliveries that are retries, with the deliveries in quarantine that they retry.
    redelivered: BTreeMap<Rsn, Rsn>,
    pub(crate) attempts: BTreeMap<Rsn, u32>,
    /// Ranges (after, up to] of deliveries whose effects the records show, in order.
    covered: Vec<(Rsn, Rsn)>,
    /// The original run had certainly done everything up to here.
    handled: Rsn,
    /// The original run had certainly begun the delivery here, and others have what it sent.
    begun: Rsn,
    /// An actor has on record that the delivery here was answered.
    answered: Rsn,
    /// An opening that logged the end of its recovery had found everything up to here.
    pub(crate) settled: Rsn,
    pub(crate) pending: Vec<EffectDigest>,
    /// The messages that receivers have of deliveries whose effects no record shows.
    pub(crate) receptions: Receptions,
    retention: Option<Duration>,
}

impl Tape {
    /// An empty tape that continues after the delivery at `after`, the last one in the checkpoint.
    #[must_use]
    pub fn after(after: Rsn) -> Self {
        Self { after, ..Self::default() }
    }

    /// Lets a replay forget the replies to requests with idempotency keys that are older than this.
    /// Without it a replay keeps all of them.
    pub fn set_retention(&mut self, retention: Duration) {
        self.retention = Some(retention);
    }

    pub(crate) fn retention(&self) -> Option<Duration> {
        self.retention
    }

    /// Adds the records of the actor's next frame, except those that the checkpoint contains.
    ///
    /// # Errors
    /// [`CorruptRecords`] when deliveries are missing or repeated, or an event or digest belongs to
    /// none.
    pub fn push(&mut self, frame: Frame) -> Result<(), CorruptRecords> {
        let Frame { handled, since, digests, digests_with_replies, records, .. } = frame;
        let digests = (!digests_with_replies).then_some(&*digests);
        self.add((since, handled), digests, records)
    }

    /// As [`Tape::push`], for the decoded parts of a frame: its digests, which cover the deliveries
    /// after the first rsn up to the second, and its records. `None` for digests that a replay
    /// can't compare: those of the first version of frames include the replies, as the code of that
    /// time encoded them.
    ///
    /// # Errors
    /// As [`Tape::push`].
    pub fn add(
        &mut self,
        (since, handled): (Rsn, Rsn),
        digests: Option<&[EffectDigest]>,
        records: impl IntoIterator<Item = Positioned>,
    ) -> Result<(), CorruptRecords> {
        let corrupt = |rsn, what: String| CorruptRecords { rsn, what };
        // Before the records: the frame says how far the actor was when it wrote them.
        if handled > self.last() {
            return Err(corrupt(
                handled,
                format!("it was handled, but the last delivery is {}", self.last()),
            ));
        }
        match digests {
            Some(digests) => self.cover(since, handled, digests),
            None => self.cover(handled, handled, &[]),
        }
        let (mut before, mut tried) = (None, None);
        for positioned in records {
            // A retry and the discharge that belongs to it stand one after the other, in one frame.
            let delivered = before.take();
            if let Some((rsn, what)) = refers_to(&positioned.record)
                && rsn > self.last()
            {
                return Err(corrupt(rsn, format!("{what}, but the last delivery is {}", self.last())));
            }
            match positioned.record {
                // The first block that is read may begin before the checkpoint ends.
                Record::Delivery(delivery) if delivery.rsn <= self.after => {}
                Record::Delivery(delivery) => {
                    let expected = self.last().next();
                    if delivery.rsn != expected {
                        return Err(corrupt(expected, format!("{} stands in its place", delivery.rsn)));
                    }
                    before = Some(delivery.rsn);
                    if let (true, Sender::Actor { id, ssn }) = (delivery.asked, &delivery.sender) {
                        self.asked.insert((id.clone(), *ssn), delivery.rsn);
                    }
                    self.deliveries.push(delivery);
                }
                Record::Event(event) if event.rsn <= self.after => {}
                Record::Event(event) => {
                    let rsn = event.rsn;
                    // Deliveries run one at a time, so the ones before were over. This one may not
                    // be: the process may have ended after this event.
                    self.handled = self.handled.max(rsn.prev());
                    let events = self.events.entry(rsn).or_default();
                    if events.iter().any(|before| before.index == event.index) {
                        return Err(corrupt(rsn, "it has the same event twice".to_owned()));
                    }
                    events.push(event);
                }
                Record::CheckpointMark(mark) => self.handled = self.handled.max(mark.rsn),
                // Kept whatever the checkpoint contains: it may hold the delivery in quarantine.
                Record::Discharge(rsn) => {
                    self.discharged.insert(rsn);
                    self.redelivered.extend(delivered.map(|delivered| (delivered, rsn)));
                }
                // The frame says that the delivery is handled, so a try of it has ended.
                Record::Attempt(rsn) if rsn <= handled => {
                    self.attempts.remove(&rsn);
                }
                // Twice in one frame: the try has ended, and neither the delivery is handled nor is
                // the process gone. Takes back this attempt, and the one that has ended.
                Record::Attempt(rsn) if tried.replace(rsn) == Some(rsn) => {
                    (0..2).for_each(|_| self.survived(rsn));
                }
                record => self.decided(record)?,
            }
        }
        assert!(self.certain() <= self.last(), "only deliveries on the tape are known as handled");
        Ok(())
    }

    /// Adds an attempt, or the decision to leave a delivery out.
    fn decided(&mut self, record: Record) -> Result<(), CorruptRecords> {
        let (rsn, decision) = match record {
            Record::Attempt(rsn) => (rsn, None),
            Record::Quarantine(decision) => (decision.rsn, Some(decision)),
            _ => return Ok(()),
        };
        if rsn <= self.after {
            return Ok(());
        }
        let Some(decision) = decision else {
            *self.attempts.entry(rsn).or_default() += 1;
            return Ok(());
        };
        // A delivery that was left out is done: a replay must not try it again.
        self.handled = self.handled.max(rsn);
        match self.left_out.insert(rsn, decision) {
            None => Ok(()),
            Some(_) => Err(CorruptRecords { rsn, what: "it is left out twice".to_owned() }),
        }
    }

    fn cover(&mut self, since: Rsn, handled: Rsn, digests: &[EffectDigest]) {
        self.handled = self.handled.max(handled);
        if handled <= self.after || since == handled {
            return;
        }
        // A gap stays a gap: an actor that went passive took digests along that no frame has, and
        // what has no digest there is unknown, not nothing.
        match self.covered.last_mut() {
            Some((_, to)) if *to == since => *to = handled,
            _ => self.covered.push((since, handled)),
        }
        self.digests.extend(digests.iter().filter(|d| d.rsn > self.after).map(|d| (d.rsn, d.digest)));
        self.receptions.forget(self.told());
    }

    /// Adds that a receiver has logged a message of this actor, after everything on the tape and
    /// before everything that comes later.
    pub fn add_reception(&mut self, receiver: &ActorId, ssn: Ssn, delivery: &Delivery) {
        if self.last() > self.told() {
            self.receptions.add(receiver.clone(), ssn, delivery, self.last());
        }
    }

    /// Adds that an actor has logged the reply to its request: the delivery of that was handled.
    pub fn add_answered(&mut self, asker: &ActorId, ssn: Ssn) {
        if let Some(rsn) = self.asked.get(&(asker.clone(), ssn)) {
            self.answered = self.answered.max(*rsn);
            self.handled = self.handled.max(self.answered);
        }
    }

    /// What the messages of receivers that go beyond `sent`, the table of this actor's sends at its
    /// checkpoint, show of the first delivery on the tape.
    #[must_use]
    pub fn received_beyond(&self, sent: &BTreeMap<ActorId, Ssn>) -> Beyond {
        self.receptions.beyond(sent)
    }

    /// Whether a receiver may have a message that no record of this actor shows.
    #[must_use]
    pub fn has_receptions(&self) -> bool {
        !self.receptions.is_empty()
    }

    pub(crate) fn check(&self) -> Check {
        self.receptions.check()
    }

    /// The original run had begun the delivery, and receivers have what it sent, as their records
    /// show.
    pub(crate) fn was_begun(&mut self, rsn: Rsn) {
        self.handled = self.handled.max(rsn.prev());
        self.begun = self.begun.max(rsn);
    }

    /// The original run had handled the delivery to its end, as records of others show.
    pub(crate) fn was_handled(&mut self, rsn: Rsn) {
        self.handled = self.handled.max(rsn);
    }

    /// Up to where others know of what the deliveries did. The original run may not have come to
    /// the end of the last of them.
    #[must_use]
    pub fn known(&self) -> Rsn {
        self.certain().max(self.begun)
    }

    /// Up to where the records show the effects of every delivery.
    fn told(&self) -> Rsn {
        // Only the first range: behind a gap the records say nothing of what the gap sent.
        match self.covered.first() {
            Some((since, to)) if *since <= self.after => *to,
            _ => self.after,
        }
    }

    /// The last delivery known, on the tape or in the checkpoint.
    #[must_use]
    pub fn last(&self) -> Rsn {
        self.deliveries.last().map_or(self.after, |delivery| delivery.rsn)
    }

    /// The last delivery that the checkpoint contains.
    #[must_use]
    pub fn start(&self) -> Rsn {
        self.after
    }

    /// All deliveries on the tape.
    #[must_use]
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// Up to where the original run had certainly handled its deliveries. The process may have
    /// ended in a later one.
    #[must_use]
    pub fn certain(&self) -> Rsn {
        self.handled.max(self.after)
    }

    /// How many tries of a delivery in probation have not ended, as far as the log shows. For a
    /// delivery that was certainly handled: how many replays in probation that begin with it have
    /// not ended.
    #[must_use]
    pub fn attempts(&self, rsn: Rsn) -> u32 {
        self.attempts.get(&rsn).copied().unwrap_or_default()
    }

    /// Takes back the last attempt of a delivery: the process has survived it.
    pub fn survived(&mut self, rsn: Rsn) {
        if let Some(attempts) = self.attempts.get_mut(&rsn) {
            assert!(*attempts > 0, "{rsn} has an entry only while a try of it is open");
            *attempts -= 1;
            if *attempts == 0 {
                self.attempts.remove(&rsn);
            }
        }
    }

    /// An opening that had found everything up to `found` has handled it all: takes back all
    /// attempts, since the process has survived them.
    pub fn settle(&mut self, found: Rsn) {
        self.attempts.clear();
        self.settled = self.settled.max(found);
    }

    /// Up to where an opening had completed its recovery. The actor had handled these deliveries,
    /// unless it was stopped ahead of them, so no decision may leave them out.
    #[must_use]
    pub fn settled(&self) -> Rsn {
        self.settled
    }

    /// Takes over what another tape of the same actor knows from the records of others: of
    /// openings, and of receivers.
    pub fn inherit(&mut self, seen: SeenByOthers) {
        let SeenByOthers { settled, answered, attempts, receptions } = seen;
        (self.settled, self.answered, self.receptions) = (settled, answered, receptions);
        self.handled = self.handled.max(answered);
        // Not the attempts of its own records: those do not know which tries others saw survive.
        self.attempts = attempts.into_iter().filter(|(rsn, _)| *rsn > self.after).collect();
    }

    /// What this tape knows from the records of others.
    #[must_use]
    pub fn seen_by_others(&self) -> SeenByOthers {
        let (attempts, receptions) = (self.attempts.clone(), self.receptions.clone());
        SeenByOthers { settled: self.settled, answered: self.answered, attempts, receptions }
    }

    /// The decision to leave a delivery out, if there is one.
    #[must_use]
    pub fn left_out(&self, rsn: Rsn) -> Option<&Quarantine> {
        self.left_out.get(&rsn)
    }

    /// The delivery in quarantine that this one retries.
    #[must_use]
    pub fn redelivered(&self, rsn: Rsn) -> Option<Rsn> {
        self.redelivered.get(&rsn).copied()
    }

    /// The deliveries that have left the quarantine.
    pub fn discharged(&self) -> impl Iterator<Item = Rsn> {
        self.discharged.iter().copied()
    }

    /// How many deliveries are left to take.
    #[must_use]
    pub fn remaining(&self) -> usize {
        assert!(self.at <= self.deliveries.len(), "a tape is read no further than to its end");
        self.deliveries.len() - self.at
    }

    /// Takes the next delivery.
    pub fn next_delivery(&mut self) -> Option<Delivery> {
        let delivery = self.deliveries.get(self.at).cloned();
        self.at += usize::from(delivery.is_some());
        delivery
    }

    /// Lends all deliveries, with the number of those taken, so that a replay reads them without a
    /// copy. Until [`Tape::give_back`] the tape seems to have none.
    pub(crate) fn lend(&mut self) -> (Vec<Delivery>, usize) {
        (std::mem::take(&mut self.deliveries), std::mem::take(&mut self.at))
    }

    /// Takes the lent deliveries back, with the number of those taken.
    pub(crate) fn give_back(&mut self, deliveries: Vec<Delivery>, taken: usize) {
        assert!(self.deliveries.is_empty() && self.at == 0, "a tape gets back only what it has lent");
        assert!(taken <= deliveries.len(), "{taken} deliveries were taken of {}", deliveries.len());
        (self.deliveries, self.at) = (deliveries, taken);
    }

    /// Goes back to the beginning, for one more replay from the checkpoint.
    pub fn rewind(&mut self) {
        self.at = 0;
        self.events_read = Default::default();
        // The next replay finds these digests again; kept, they would be logged twice.
        self.pending.clear();
    }

    /// The actor has logged a frame with the digests of its deliveries up to `handled`.
    ///
    /// # Panics
    /// When [`Tape::take_pending`] has not taken these digests for the frame.
    pub fn logged(&mut self, handled: Rsn) {
        assert!(self.pending.is_empty(), "a frame up to {handled} takes all digests along");
        match self.covered.last_mut() {
            Some((since, to)) if since == to => (*since, *to) = (handled, handled),
            _ => self.covered.push((handled, handled)),
        }
    }

    /// Drops everything up to `handled`, for an actor that continues live.
    ///
    /// # Panics
    /// When a delivery is left to take, or the checkpoint contains more than `handled`.
    pub fn forget(&mut self, handled: Rsn) {
        assert!(self.remaining() == 0, "{} deliveries would be forgotten untaken", self.remaining());
        assert!(self.after <= handled, "a tape after {} goes back to {handled}", self.after);
        // Read before `after` changes: it is the answer when no range is there.
        let covered = self.covered();
        self.deliveries = Vec::new();
        self.at = 0;
        self.events = self.events.split_off(&handled.next());
        self.events_read = Default::default();
        self.asked.clear();
        self.digests = self.digests.split_off(&handled.next());
        self.left_out = self.left_out.split_off(&handled.next());
        self.attempts = self.attempts.split_off(&handled.next());
        self.discharged.clear();
        self.redelivered.clear();
        self.receptions = Receptions::default();
        // An empty range: it says where the next frame must begin to cover, and nothing else.
        self.covered = vec![(covered, covered)];
        self.after = handled;
        // Live, what follows is handled for the first time as far as this tape is concerned: a
        // side effect without a record happens, and is no divergence.
        self.handled = self.handled.min(handled);
    }

    /// Takes the digests of the deliveries whose effects no record shows yet. The actor's next
    /// frame logs them.
    pub fn take_pending(&mut self) -> Vec<EffectDigest> {
        std::mem::take(&mut self.pending)
    }

    /// Up to where the records show the effects of deliveries, or never will. The actor's next
    /// frame covers the later ones.
    #[must_use]
    #[inline]
    pub fn covered(&self) -> Rsn {
        self.covered.last().map_or(self.after, |(_, to)| *to)
    }

    /// Takes the event that the handler of the delivery at `rsn` learned next, now that it waits
    /// for `waits`; `None` when there is no record.
    ///
    /// # Errors
    /// [`Divergence`] when there is none although the original run had handled the whole delivery.
    pub fn next_event(&mut self, rsn: Rsn, waits: &[Wait]) -> Result<Option<Event>, Divergence> {
        if self.events_read.0 != rsn {
            self.events_read = (rsn, 0);
        }
        let events = self.events.get(&rsn).map(Vec::as_slice).unwrap_or_default();
        if let Some(event) = events.get(self.events_read.1) {
            self.events_read.1 += 1;
            return Ok(Some(event.clone()));
        }
        // A handled delivery has all that it learned on record, since a handler goes on only when
        // that is durable.
        if rsn <= self.handled {
            let found = waits.last().map_or_else(|| "a wait".to_owned(), Wait::describe);
            return Err(Divergence { expected: NOTHING_MORE.to_owned(), found });
        }
        Ok(None)
    }

    /// Compares the effects of a delivery with the records.
    ///
    /// # Errors
    /// [`Divergence`] when they differ. Stop the actor and release nothing.
    pub fn finish(&mut self, rsn: Rsn, digest: Option<u64>) -> Result<(), Divergence> {
        let read = if self.events_read.0 == rsn { self.events_read.1 } else { 0 };
        let recorded = self.events.get(&rsn);
        if let Some(event) = recorded.and_then(|recorded| recorded.get(read)) {
            let expected = describe_event(event);
            return Err(Divergence { expected, found: NOTHING_MORE.to_owned() });
        }
        // No digest where the frames cover the delivery means that it had no effects. Elsewhere it
        // means that nobody knows.
        let expected = self.digests.get(&rsn).copied();
        let known = self.covered.iter().any(|(since, handled)| *since < rsn && rsn <= *handled);
        if known && expected != digest {
            return Err(Divergence { expected: describe(expected), found: describe(digest) });
        }
        // Also in a replay: what the crash kept from the log, the next frame logs.
        if let Some(digest) = digest
            && rsn > self.covered()
        {
            assert!(self.pending.last().is_none_or(|last| last.rsn < rsn), "{rsn} has finished before");
            self.pending.push(EffectDigest { rsn, digest });
        }
        Ok(())
    }
}

/// What a run does that ends where the other one goes on.
const NOTHING_MORE: &str = "nothing more";

fn describe(digest: Option<u64>) -> String {
    digest.map_or_else(|| "nothing".to_owned(), |digest| format!("effects with the digest {digest:016x}"))
}

#[cfg(test)]
#[path = "tape_tests.rs"]
mod tests;
