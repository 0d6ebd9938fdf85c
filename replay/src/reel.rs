//! Reads the frames of one actor onto its tape, in the order of the log. Frames that were carried,
//! appended once more for a handler that waits, take the place of what was read before, once it
//! shows that they are whole.
//!
//! A cut may have left the last of the frames that were carried. They are a part that nothing
//! begins, and no damage when the whole follows.

use relive_storage::record::{EffectDigest, Positioned, Record};
use relive_storage::{Carries, Frame, Lsn, Placing, Read, Rsn};

use crate::Tape;
use crate::halt::CorruptRecords;

/// The progress of reading.
#[derive(Clone, Debug, Default)]
pub struct Reel {
    carries: Carries<Part>,
    /// What is wrong with what was read so far, unless carried frames follow.
    broken: Option<CorruptRecords>,
    /// What is wrong with carried frames: they contradict what they repeat, or their end.
    damaged: Option<CorruptRecords>,
    /// The last delivery that stands where it was first appended.
    first_stood: Rsn,
    /// What the actor had released is evidence, as what receivers have.
    takes_released: bool,
    /// Where the deliveries stand that were carried last.
    stood: Vec<(Lsn, Rsn)>,
}

/// A frame of the actor.
#[derive(Clone, Debug)]
struct Part {
    covers: (Rsn, Rsn),
    /// `None` when a replay can't compare them.
    digests: Option<Vec<EffectDigest>>,
    records: Vec<Positioned>,
}

impl Reel {
    /// A reader for an opening: the records that end carried frames are evidence of what the actor
    /// had released, as the records of receivers are that others add.
    #[must_use]
    pub fn with_evidence() -> Self {
        Self { takes_released: true, ..Self::default() }
    }

    /// Reads the actor's next frame onto its tape.
    pub fn push(&mut self, tape: &mut Tape, mut frame: Frame) {
        let digests = (!frame.digests_with_replies).then_some(&*frame.digests);
        let covers = (frame.since, frame.handled);
        self.add(tape, frame.carried.is_some(), covers, digests, &mut frame.records);
    }

    /// As [`Reel::push`], for the decoded parts of a frame, as [`Tape::add`] takes them. It takes
    /// the records. Returns whether the tape has begun anew.
    pub fn add(
        &mut self,
        tape: &mut Tape,
        carried: bool,
        covers: (Rsn, Rsn),
        digests: Option<&[EffectDigest]>,
        records: &mut Vec<Positioned>,
    ) -> bool {
        let placing = Placing::of(carried, records);
        if placing == Placing::Original {
            let last = deliveries(records).next_back().map_or(Rsn::NONE, |(_, rsn)| rsn);
            self.first_stood = self.first_stood.max(last);
        }
        if let (Placing::Original | Placing::Mark, None) = (placing, &self.broken) {
            // As a rule: nothing is aside, and the caller reuses the memory of the records.
            if placing == Placing::Original {
                self.carries = Carries::default();
            }
            self.broken = tape.add(covers, digests, records.drain(..)).err();
            return false;
        }
        let part = Part { covers, digests: digests.map(<[_]>::to_vec), records: std::mem::take(records) };
        match self.carries.read(placing, part) {
            Read::Aside => false,
            Read::Next(part) => {
                if self.broken.is_none() {
                    self.broken = part.put(tape).err();
                }
                false
            }
            Read::Anew(parts) => {
                self.begin_anew(tape, parts);
                true
            }
        }
    }

    /// The last delivery that was carried. The tape may end later: it begins after the checkpoint,
    /// which may be newer.
    #[must_use]
    pub fn carried_to(&self) -> Option<Rsn> {
        self.stood.last().map(|(_, rsn)| *rsn)
    }

    /// The last delivery that was carried and first stood before a position.
    #[must_use]
    pub fn last_before(&self, position: Lsn) -> Option<Rsn> {
        let stood = self.stood.partition_point(|(lsn, _)| *lsn < position);
        stood.checked_sub(1).map(|last| self.stood[last].1)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`CorruptRecords`] when deliveries are missing or repeated, an event or digest belongs to
    /// none, or a carried frame says something else than the frame that it repeats.
    pub fn end(self) -> Result<(), CorruptRecords> {
        self.damaged.or(self.broken).map_or(Ok(()), Err)
    }

    fn begin_anew(&mut self, tape: &mut Tape, parts: Vec<Part>) {
        let mut anew = Tape::after(tape.start());
        let mut evidence = Vec::new();
        self.stood.clear();
        for part in parts {
            self.stood.extend(deliveries(&part.records));
            evidence.extend(part.evidence().cloned());
            if let Err(corrupt) = part.put(&mut anew) {
                self.broken = Some(corrupt);
                return;
            }
        }
        // The attempts of its own records do not say which of them the process has survived. Who
        // wrote the last of these frames had survived all.
        anew.attempts.clear();
        let before = std::mem::replace(tape, anew);
        let is_whole = self.broken.take().is_none();
        let repeated = if is_whole { differs(&before, tape) } else { Ok(()) };
        // Whatever a cut has left, its last delivery was carried.
        let named = evidence.iter().filter_map(named_by).chain([self.first_stood]);
        let beyond = named.max().filter(|rsn| *rsn > tape.last());
        let reaches = beyond.map_or(Ok(()), |rsn| {
            let what = "frames that end before it were carried".to_owned();
            Err(CorruptRecords { rsn, what })
        });
        if let Err(corrupt) = repeated.and(reaches) {
            // What others have seen may be of deliveries that are not on this tape.
            self.damaged.get_or_insert(corrupt);
            return;
        }
        if is_whole {
            tape.inherit(before.seen_by_others());
        }
        for record in &evidence {
            match record {
                Record::Carried(carried) => tape.settled = tape.settled.max(carried.settled),
                Record::Released(released) if self.takes_released && released.rsn > tape.start() => {
                    tape.receptions.add_released(released);
                }
                _ => {}
            }
        }
    }
}

impl Tape {
    /// The digests of the deliveries whose effects no record shows yet.
    #[must_use]
    pub fn pending(&self) -> &[EffectDigest] {
        &self.pending
    }
}

impl Part {
    fn put(self, tape: &mut Tape) -> Result<(), CorruptRecords> {
        tape.add(self.covers, self.digests.as_deref(), self.records)
    }

    fn evidence(&self) -> impl Iterator<Item = &Record> {
        let records = self.records.iter().map(|positioned| &positioned.record);
        records.filter(|record| matches!(record, Record::Carried(_) | Record::Released(_)))
    }
}

/// The deliveries among these records, and where they first stood.
fn deliveries(records: &[Positioned]) -> impl DoubleEndedIterator<Item = (Lsn, Rsn)> {
    records.iter().filter_map(|positioned| match &positioned.record {
        Record::Delivery(delivery) => Some((positioned.lsn, delivery.rsn)),
        _ => None,
    })
}

/// The last delivery that a record says something about.
fn named_by(evidence: &Record) -> Option<Rsn> {
    match evidence {
        Record::Carried(carried) => Some(carried.rsn.max(carried.settled)),
        Record::Released(released) => Some(released.rsn),
        _ => None,
    }
}

/// Carried frames repeat all that was read before of the deliveries that the checkpoint does not
/// contain.
fn differs(before: &Tape, anew: &Tape) -> Result<(), CorruptRecords> {
    let Some(first) = before.deliveries.first() else { return Ok(()) };
    let pairs = before.deliveries.iter().zip(&anew.deliveries);
    let other = pairs.filter(|(before, anew)| before != anew).map(|(before, _)| before.rsn).next();
    let missing = before.deliveries.len() != anew.deliveries.len() || before.events != anew.events;
    match other.or(missing.then_some(first.rsn)) {
        Some(rsn) => {
            Err(CorruptRecords { rsn, what: "what was carried of it is not what it was".to_owned() })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "reel_tests.rs"]
mod tests;
