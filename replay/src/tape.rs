//! The recorded determinants of one actor: its deliveries, the events that it met, the digests of what it did.
//! Filled from the frames of the log in their order; read by replay.

use std::collections::{BTreeMap, BTreeSet};

use relive_storage::record::{Delivery, EffectDigest, Event, Positioned, Quarantine, Record};
use relive_storage::{ActorId, Frame, Rsn};

use crate::determinants::{Determinants, Recorded, Stable};
use crate::{Divergence, Halt};

/// The recorded determinants of one actor after a checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    after: Rsn,
    deliveries: Vec<Delivery>,
    at: usize,
    events: BTreeMap<(Rsn, u32), Event>,
    digests: BTreeMap<Rsn, u64>,
    left_out: BTreeMap<Rsn, Quarantine>,
    discharged: BTreeSet<Rsn>,
    /// Deliveries that are retries, with those in quarantine that they are retries of.
    redelivered: BTreeMap<Rsn, Rsn>,
    attempts: BTreeMap<Rsn, u32>,
    /// Deliveries (after, up to] of which it is known what they did, in order.
    covered: Vec<(Rsn, Rsn)>,
    /// The original run had certainly done everything up to here.
    handled: Rsn,
    /// An opening that told of its end had found everything up to here.
    settled: Rsn,
    pending: Vec<EffectDigest>,
}

impl Tape {
    /// An empty tape that goes on after the delivery at `after`, the last that the checkpoint contains.
    #[must_use]
    pub fn after(after: Rsn) -> Self {
        Self { after, ..Self::default() }
    }

    /// Adds what the actor's next frame holds, leaving out what the checkpoint contains.
    ///
    /// # Errors
    /// [`Halt::Corrupt`] when deliveries are missing or repeated, or an event or digest belongs to none.
    pub fn push(&mut self, actor: &ActorId, frame: Frame) -> Result<(), Halt> {
        let Frame { handled, since, digests, digests_with_replies, records, .. } = frame;
        let digests = (!digests_with_replies).then_some(&*digests);
        self.add(actor, (since, handled), digests, records)
    }

    /// As [`Tape::push`], for a frame of which the parts were decoded: what it says of the deliveries after the first rsn, up
    /// to the second, and its records. `None` for digests that can't be compared: those of the first version of frames have
    /// the replies in them, as the code of that time spelled them.
    ///
    /// # Errors
    /// As [`Tape::push`].
    pub fn add(
        &mut self,
        actor: &ActorId,
        (since, handled): (Rsn, Rsn),
        digests: Option<&[EffectDigest]>,
        records: impl IntoIterator<Item = Positioned>,
    ) -> Result<(), Halt> {
        let corrupt = |rsn, what: String| Halt::Corrupt { actor: actor.clone(), rsn, what };
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
        let mut before = None;
        for positioned in records {
            // A retry and the discharge of what it retries stand one after the other, in one frame.
            let delivered = before.take();
            if let Some((rsn, what)) = refers_to(&positioned.record)
                && rsn > self.last()
            {
                return Err(corrupt(rsn, format!("{what}, but the last delivery is {}", self.last())));
            }
            match positioned.record {
                Record::Delivery(delivery) if delivery.rsn <= self.after => {}
                Record::Delivery(delivery) => {
                    let expected = self.last().next();
                    if delivery.rsn != expected {
                        return Err(corrupt(expected, format!("{} stands in its place", delivery.rsn)));
                    }
                    before = Some(delivery.rsn);
                    self.deliveries.push(delivery);
                }
                Record::Event(event) if event.rsn <= self.after => {}
                Record::Event(event) => {
                    let rsn = event.rsn;
                    self.handled = self.handled.max(Rsn::new(rsn.get() - 1));
                    if self.events.insert((rsn, event.index), event).is_some() {
                        return Err(corrupt(rsn, "it has the same event twice".to_owned()));
                    }
                }
                Record::CheckpointMark(mark) => self.handled = self.handled.max(mark.rsn),
                Record::Discharge(rsn) => {
                    self.discharged.insert(rsn);
                    self.redelivered.extend(delivered.map(|delivered| (delivered, rsn)));
                }
                // A frame that knows the delivery as handled tells that a try of it is over.
                Record::Attempt(rsn) if rsn <= handled => {
                    self.attempts.remove(&rsn);
                }
                record => self.decided(actor, record)?,
            }
        }
        Ok(())
    }

    /// Adds an attempt, or the decision to leave a delivery out.
    fn decided(&mut self, actor: &ActorId, record: Record) -> Result<(), Halt> {
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
        self.handled = self.handled.max(rsn);
        match self.left_out.insert(rsn, decision) {
            None => Ok(()),
            Some(_) => {
                let what = "it is left out twice".to_owned();
                Err(Halt::Corrupt { actor: actor.clone(), rsn, what })
            }
        }
    }

    fn cover(&mut self, since: Rsn, handled: Rsn, digests: &[EffectDigest]) {
        self.handled = self.handled.max(handled);
        if handled <= self.after || since == handled {
            return;
        }
        match self.covered.last_mut() {
            Some((_, to)) if *to == since => *to = handled,
            _ => self.covered.push((since, handled)),
        }
        self.digests.extend(digests.iter().filter(|d| d.rsn > self.after).map(|d| (d.rsn, d.digest)));
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

    /// Up to where the original run had certainly handled its deliveries: the process may have ended in one of those after
    /// it.
    #[must_use]
    pub fn certain(&self) -> Rsn {
        self.handled.max(self.after)
    }

    /// How often a delivery was tried with care since it was last known to be ahead. Of one that was certainly handled: how
    /// often a replay that begins with it was begun with care, and not known to have come to its end.
    #[must_use]
    pub fn attempts(&self, rsn: Rsn) -> u32 {
        self.attempts.get(&rsn).copied().unwrap_or_default()
    }

    /// Takes back the last attempt of a delivery: the process has survived it.
    pub fn survived(&mut self, rsn: Rsn) {
        if let Some(attempts) = self.attempts.get_mut(&rsn) {
            *attempts -= 1;
            if *attempts == 0 {
                self.attempts.remove(&rsn);
            }
        }
    }

    /// An opening that had found everything up to `found` was through with it: takes back all attempts, which the process
    /// has survived.
    pub fn settle(&mut self, found: Rsn) {
        self.attempts.clear();
        self.settled = self.settled.max(found);
    }

    /// Up to where an opening was through: what is there was handled, unless the actor was stopped ahead of it. It must not
    /// be left out.
    #[must_use]
    pub fn settled(&self) -> Rsn {
        self.settled
    }

    /// Takes over what is known of tries from a tape of the same actor that has seen the records of openings too.
    pub fn inherit_tries(&mut self, settled: Rsn, attempts: BTreeMap<Rsn, u32>) {
        self.settled = settled;
        self.attempts = attempts.into_iter().filter(|(rsn, _)| *rsn > self.after).collect();
    }

    /// All tries since they were last taken back, by delivery.
    #[must_use]
    pub fn all_attempts(&self) -> &BTreeMap<Rsn, u32> {
        &self.attempts
    }

    /// The decision to leave a delivery out, if there is one.
    #[must_use]
    pub fn left_out(&self, rsn: Rsn) -> Option<&Quarantine> {
        self.left_out.get(&rsn)
    }

    /// The delivery in quarantine that this one is a retry of.
    #[must_use]
    pub fn redelivered(&self, rsn: Rsn) -> Option<Rsn> {
        self.redelivered.get(&rsn).copied()
    }

    /// The deliveries that have left the quarantine.
    pub fn discharged(&self) -> impl Iterator<Item = Rsn> {
        self.discharged.iter().copied()
    }

    /// How many deliveries are still to be taken.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.deliveries.len() - self.at
    }

    /// Takes the next delivery.
    pub fn next_delivery(&mut self) -> Option<Delivery> {
        let delivery = self.deliveries.get(self.at).cloned();
        self.at += usize::from(delivery.is_some());
        delivery
    }

    /// Lends all deliveries, with how many of them were taken, so that they are replayed without a copy. Until they are given
    /// back the tape seems to have none.
    pub(crate) fn lend(&mut self) -> (Vec<Delivery>, usize) {
        (std::mem::take(&mut self.deliveries), std::mem::take(&mut self.at))
    }

    /// Takes back what was lent, of which so many are taken.
    pub(crate) fn give_back(&mut self, deliveries: Vec<Delivery>, taken: usize) {
        (self.deliveries, self.at) = (deliveries, taken);
    }

    /// Goes back to the beginning, for one more replay from the checkpoint.
    pub fn rewind(&mut self) {
        self.at = 0;
        self.pending.clear();
    }

    /// The actor has logged a frame that tells what it did up to `handled`.
    pub fn logged(&mut self, handled: Rsn) {
        match self.covered.last_mut() {
            Some((since, to)) if since == to => (*since, *to) = (handled, handled),
            _ => self.covered.push((handled, handled)),
        }
    }

    /// Drops everything up to `handled` that was replayed or handled, for an actor that goes on live.
    pub fn forget(&mut self, handled: Rsn) {
        let covered = self.covered();
        self.deliveries = Vec::new();
        self.at = 0;
        self.events = self.events.split_off(&(handled.next(), 0));
        self.digests = self.digests.split_off(&handled.next());
        self.left_out = self.left_out.split_off(&handled.next());
        self.attempts = self.attempts.split_off(&handled.next());
        self.discharged.clear();
        self.redelivered.clear();
        self.covered = vec![(covered, covered)];
        self.after = handled;
        self.handled = self.handled.min(handled);
    }

    /// What the deliveries did of which no record says so yet: to be logged with the actor's next frame.
    pub fn take_pending(&mut self) -> Vec<EffectDigest> {
        std::mem::take(&mut self.pending)
    }

    /// Up to where the records say what the deliveries did, or can't say it any more: the actor's next frame tells
    /// what those after it did.
    #[must_use]
    pub fn covered(&self) -> Rsn {
        self.covered.last().map_or(self.after, |(_, to)| *to)
    }

    /// Looks up an event.
    ///
    /// # Errors
    /// [`Halt::Divergence`] when another one is on record, or when none is although the original run had done the
    /// whole delivery.
    pub fn recorded(&self, actor: &ActorId, rsn: Rsn, index: u32, name: &str) -> Result<Recorded, Halt> {
        let found = format!("side effect {index} {name:?}");
        match self.events.get(&(rsn, index)) {
            Some(event) if *event.name == *name => Ok(Recorded::Outcome(event.outcome.clone())),
            Some(event) => {
                let expected = format!("side effect {index} {:?}", &*event.name);
                Err(diverged(actor, rsn, expected, found))
            }
            None if rsn <= self.handled => Err(diverged(actor, rsn, format!("{index} side effects"), found)),
            None => Ok(Recorded::Nothing),
        }
    }

    /// Compares what a delivery did with what is on record.
    ///
    /// # Errors
    /// [`Halt::Divergence`].
    pub fn finish(
        &mut self,
        actor: &ActorId,
        rsn: Rsn,
        events: u32,
        digest: Option<u64>,
    ) -> Result<(), Halt> {
        if let Some((_, event)) = self.events.range((rsn, events)..=(rsn, u32::MAX)).next() {
            let expected = format!("side effect {} {:?}", event.index, &*event.name);
            return Err(diverged(actor, rsn, expected, format!("{events} side effects")));
        }
        let expected = self.digests.get(&rsn).copied();
        let known = self.covered.iter().any(|(since, handled)| *since < rsn && rsn <= *handled);
        if known && expected != digest {
            return Err(diverged(actor, rsn, describe(expected), describe(digest)));
        }
        if let Some(digest) = digest
            && rsn > self.covered()
        {
            self.pending.push(EffectDigest { rsn, digest });
        }
        Ok(())
    }
}

/// Determinants from the tape alone: nothing ever happens.
#[derive(Debug)]
pub struct TapeOnly<'t>(pub &'t mut Tape);

impl Determinants for TapeOnly<'_> {
    fn recorded(&mut self, actor: &ActorId, rsn: Rsn, index: u32, name: &str) -> Result<Recorded, Halt> {
        match self.0.recorded(actor, rsn, index, name)? {
            Recorded::Nothing => Err(Halt::EndOfTape { actor: actor.clone(), rsn }),
            outcome => Ok(outcome),
        }
    }

    fn stabilize(&mut self, actor: &ActorId, event: Event) -> Stable<'_> {
        let halt = Halt::EndOfTape { actor: actor.clone(), rsn: event.rsn };
        Box::pin(std::future::ready(Err(halt)))
    }

    fn finish(&mut self, actor: &ActorId, rsn: Rsn, events: u32, digest: Option<u64>) -> Result<(), Halt> {
        self.0.finish(actor, rsn, events, digest)
    }
}

fn diverged(actor: &ActorId, rsn: Rsn, expected: String, found: String) -> Halt {
    Divergence { actor: actor.clone(), rsn, expected, found }.into()
}

fn describe(digest: Option<u64>) -> String {
    digest.map_or_else(|| "nothing".to_owned(), |digest| format!("effects with the digest {digest:016x}"))
}

/// The delivery that a record says something of, and what: it was delivered before.
fn refers_to(record: &Record) -> Option<(Rsn, &'static str)> {
    match record {
        Record::Event(event) => Some((event.rsn, "it has an event")),
        Record::CheckpointMark(mark) => Some((mark.rsn, "a checkpoint contains it")),
        Record::Attempt(rsn) => Some((*rsn, "it was tried")),
        Record::Quarantine(decision) => Some((decision.rsn, "it is left out")),
        Record::Discharge(rsn) => Some((*rsn, "it is out of quarantine")),
        _ => None,
    }
}
