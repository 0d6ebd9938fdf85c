//! Reads a store before an opening changes anything: checks the whole log, sorts its records by
//! actor, and finds out how the last opening ended. Blocking; writes nothing and runs no handler.
//!
//! # Source
//! An analysis pass ahead of the redo: Mohan, Haderle, Lindsay, Pirahesh and Schwarz, *ARIES: A
//! Transaction Recovery Method Supporting Fine-Granularity Locking and Partial Rollbacks Using
//! Write-Ahead Logging*, ACM TODS 17(1), 1992.

use std::collections::HashMap;
use std::sync::Arc;

use relive_replay::timers::PASSED_ON;
use relive_replay::{Kind, Reel, Tape};
use relive_storage::frame::FrameHead;
use relive_storage::record::{Delivery, Event, EventKind, Positioned, Record, Sender};
use relive_storage::scan::{damaged, follow, scan_blocks};
use relive_storage::{
    ActorId, ActorIds, Block, CheckpointNumber, Extent, Lsn, NameError, Rsn, Scanned, Store, StoreError,
    boundary,
};

use crate::actor::loader::is_determinant;
use crate::actor::table::Kinds;
use crate::error::OpenError;
use crate::recovery::catalog::Catalog;
use crate::recovery::covered::{Covered, check_reaches};
use crate::recovery::report::{Progress, ReadingSteps, RecoveryProgress, tell};
use crate::retention::actor_index::ActorIndex;
use crate::retention::passive_pins::PassivePins;
use crate::timers::window::Window;

/// The content of a store.
pub(crate) struct Analysis {
    pub(crate) extent: Extent,
    pub(crate) scanned: Scanned,
    pub(crate) last_checkpoint: CheckpointNumber,
    /// The actors that have a checkpoint.
    pub(crate) stored: Arc<ActorIndex>,
    pub(crate) records: u64,
    /// The actors with log after their checkpoints, or with an outbox that is not empty.
    pub(crate) actors: HashMap<ActorId, FoundActor>,
    /// Those of all whose timers are due first.
    pub(crate) due: Window,
    /// Some of the others, whose checkpoints the opening reads as a sample.
    pub(crate) passive: Vec<ActorId>,
    /// The log that others need.
    pub(crate) passive_pins: PassivePins,
    /// The log does not show of some deliveries whether an actor handled them.
    pub(crate) uncertain: bool,
    /// The previous recovery did not complete: its process ended before.
    pub(crate) unsettled: bool,
    /// What the previous process tried when it ended, as far as the log shows.
    pub(crate) last_tried: Vec<Tried>,
}

/// An actor that an opening was about to try.
pub(crate) struct Tried {
    pub(crate) actor: ActorId,
    /// The first delivery of the try.
    from: Rsn,
    /// The try was a replay of handled deliveries; otherwise the actor was to handle new ones.
    pub(crate) replay: bool,
}

/// Reads a store.
pub(crate) fn analyze(store: &dyn Store, kinds: &Kinds, progress: &Progress) -> Result<Analysis, OpenError> {
    let extent = store.extent()?;
    // Before the log: where a checkpoint ends says which records are news.
    let Catalog { listing, owing, due, mut sample, last: last_checkpoint } = Catalog::read(store, kinds)?;
    let covered = Covered::new(listing);
    boundary!("recovery.listed");
    let mut found = Found {
        kinds,
        covered,
        actors: HashMap::new(),
        records: 0,
        last_opening: LastOpening::default(),
        ids: ActorIds::default(),
        block: Lsn::FIRST,
        decoded: Vec::new(),
    };
    let scanned = found.read(store, progress)?;
    found.check_reels()?;
    found.check_checkpoints(store)?;
    boundary!("recovery.read");
    found.add_owing(&owing);
    let Found { actors, records, last_opening, covered, .. } = found;
    if let Some(torn) = &scanned.torn {
        tracing::warn!(at = %scanned.next, what = torn, "the log ends in a commit that nobody was told about: it is cut");
    }
    let uncertain = actors.values().any(FoundActor::is_uncertain);
    // An opening that found nothing had no handler to run, so it can't have ended in one.
    let left = actors.values().any(|actor| actor.left_by(&last_opening));
    let unsettled = left && !last_opening.settled;
    let (stored, passive_pins) = covered.finish();
    // As a rule the opening restores these, and so reads their checkpoints anyway.
    sample.retain(|actor| !actors.contains_key(actor));
    let last_tried = last_opening.last_tried;
    Ok(Analysis {
        extent,
        scanned,
        last_checkpoint,
        stored,
        records,
        actors,
        due,
        passive: sample,
        passive_pins,
        uncertain,
        unsettled,
        last_tried,
    })
}

/// How far the last opening came, as its records show.
#[derive(Default)]
struct LastOpening {
    /// Counts openings in this log.
    number: u64,
    settled: bool,
    /// Where it stands.
    at: Lsn,
    /// The actors of the last try together, and the block of that note.
    last_tried: Vec<Tried>,
    tried_in: Lsn,
}

impl LastOpening {
    fn began(&mut self, at: Lsn) {
        // Only what the last opening tried may have ended the last process.
        *self = Self { number: self.number + 1, at, ..Self::default() };
    }
}

/// What the log holds, by actor.
struct Found<'a> {
    kinds: &'a Kinds,
    covered: Covered,
    actors: HashMap<ActorId, FoundActor>,
    records: u64,
    last_opening: LastOpening,
    /// Names of senders and receivers so far.
    ids: ActorIds,
    /// The block that is read.
    block: Lsn,
    /// The records of one frame; reused for its memory.
    decoded: Vec<Positioned>,
}

/// The log of one actor, when it goes beyond the actor's checkpoint.
pub(crate) struct FoundActor {
    id: ActorId,
    pub(crate) kind: Arc<dyn Kind>,
    /// The last delivery that its newest checkpoint contains.
    pub(crate) floor: Rsn,
    pub(crate) tape: Tape,
    reel: Reel,
    /// The first block with records that the checkpoint contains.
    pub(crate) older: Option<Lsn>,
    /// The first block with records after it.
    pub(crate) newer: Option<Lsn>,
    /// The last delivery in the log, before or after what the checkpoint contains.
    logged: Rsn,
    /// The opening restores it even when it has nothing to replay.
    pub(crate) has_outbox: bool,
    /// The opening that logged its last frame, and its last delivery of earlier openings.
    opening: u64,
    before: Rsn,
}

impl FoundActor {
    pub(crate) fn id(&self) -> &ActorId {
        &self.id
    }

    /// Whether the log leaves it open if some deliveries were handled. The process may have ended
    /// in one of them.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.tape.certain() < self.tape.last()
    }

    /// Adds the actor's next frame, and takes its records. The last opening stands at `opened`.
    fn add(
        &mut self,
        (block, opened): (Lsn, Lsn),
        head: &FrameHead,
        records: &mut Vec<Positioned>,
    ) -> Result<(), OpenError> {
        let mut last = Rsn::NONE;
        for positioned in records.iter() {
            let (rsn, message) = match &positioned.record {
                Record::Delivery(delivery) => (delivery.rsn, Some(&delivery.message)),
                Record::Event(event) => (event.rsn, None),
                Record::Quarantine(decision) => (decision.rsn, None),
                // The checkpoint may contain the delivery and still have it in quarantine, so a
                // discharge always counts as news.
                Record::Discharge(_) => (self.floor.next(), None),
                _ => continue,
            };
            last = last.max(rsn);
            if let Some(message) = message
                && rsn > self.floor
                && !self.kind.handles(message)
                && !is_passed_on(&positioned.record)
            {
                let (actor, message) = (self.id.clone(), message.to_string());
                return Err(OpenError::UnknownMessage { actor, rsn, message });
            }
        }
        if records.iter().any(|positioned| is_determinant(&positioned.record)) {
            let pin = if last > self.floor { &mut self.newer } else { &mut self.older };
            pin.get_or_insert(block);
        }
        let digests = (!head.digests_with_replies).then_some(&*head.digests);
        let (covers, tape) = ((head.since, head.handled), &mut self.tape);
        if self.reel.add(tape, head.carried, covers, digests, records) {
            // What was carried stands behind the opening that had found it.
            self.logged = self.logged.max(self.reel.carried_to().unwrap_or_default());
            if let Some(before) = self.reel.last_before(opened) {
                self.before = self.before.max(before);
            }
        }
        Ok(())
    }

    /// Whether the last opening found deliveries of it that the newest checkpoint does not contain.
    fn left_by(&self, last: &LastOpening) -> bool {
        last.number > 0 && self.floor < self.found_by(last.number)
    }

    /// The last delivery that an opening found.
    fn found_by(&self, opening: u64) -> Rsn {
        if self.opening == opening { self.before } else { self.tape.last() }
    }
}

impl Found<'_> {
    fn read(&mut self, store: &dyn Store, progress: &Progress) -> Result<Scanned, OpenError> {
        let (mut bytes, mut steps) = (0, ReadingSteps::default());
        let scanned = scan_blocks(store, &mut |block| {
            if steps.are_due(self.records, bytes) {
                tell(progress, RecoveryProgress::Reading { records: self.records, bytes });
            }
            for head in block.heads() {
                let added = head.map_err(|malformed| damaged(block, &malformed).into());
                bytes += added.and_then(|head| self.frame(block, &head))?;
            }
            Ok(())
        });
        tell(progress, RecoveryProgress::Reading { records: self.records, bytes });
        scanned
    }

    /// Adds a frame, and returns the bytes of its payloads.
    fn frame(&mut self, block: &Block, head: &FrameHead) -> Result<u64, OpenError> {
        let first = block.header().first;
        assert!(self.block <= first, "the scan shows the blocks in order");
        self.block = first;
        let mut records = std::mem::take(&mut self.decoded);
        records.clear();
        let read = head.read(block.bytes(), &mut self.ids, &mut records);
        read.map_err(|malformed| damaged(block, &malformed))?;
        self.records += records.len() as u64;
        let bytes = records.iter().map(|positioned| payload_bytes(&positioned.record)).sum();
        match head.actor(block.bytes()) {
            Some(actor) => self.decoded = self.add(actor, first, head, records)?,
            None => {
                self.note_opening(&records);
                self.decoded = records;
            }
        }
        Ok(bytes)
    }

    /// Adds an actor's frame, and returns the vector of its records for reuse.
    fn add(
        &mut self,
        actor: &str,
        block: Lsn,
        head: &FrameHead,
        mut records: Vec<Positioned>,
    ) -> Result<Vec<Positioned>, OpenError> {
        // What is carried was read before, or its end says what it was evidence of.
        if !head.carried {
            self.note_try(actor, block, head.handled, &records)?;
            self.add_receptions(actor, &records)?;
        }
        let opening = self.last_opening.number;
        // Once an actor has news it stays among the actors, since its later records count too.
        if !self.actors.contains_key(actor)
            && let Some(number) = self.covered.find(actor)
            && self.covered.add(number, actor, block, (head.carried, head.handled), &records)?
        {
            return Ok(records);
        }
        let opened = self.last_opening.at;
        let found = self.actor(actor)?;
        if !head.carried {
            follow(&mut found.logged, actor, &records)?;
        }
        // Ahead of the records: what was there before them is what this opening found.
        if found.opening != opening {
            (found.opening, found.before) = (opening, found.tape.last());
        }
        found.add((block, opened), head, &mut records)?;
        Ok(records)
    }

    /// Adds an actor's receptions to the tapes of their senders, as far as a sender has deliveries
    /// in the log. The tape keeps them only while its own records do not show what the sender did.
    fn add_receptions(&mut self, receiver: &str, records: &[Positioned]) -> Result<(), OpenError> {
        let mut id = None;
        for positioned in records {
            let from = match &positioned.record {
                Record::Delivery(Delivery { sender: Sender::Actor { id, .. }, .. }) => id,
                Record::Event(Event { kind: EventKind::Reply { from, .. }, .. }) => from,
                _ => continue,
            };
            let Some(other) = self.actors.get_mut(from) else { continue };
            let id = match &mut id {
                Some(id) => id,
                None => id.insert(self.ids.get(receiver).map_err(|error| unreadable(self.block, &error))?),
            };
            match &positioned.record {
                Record::Delivery(delivery) => {
                    if let Sender::Actor { ssn, .. } = &delivery.sender {
                        other.tape.add_reception(id, *ssn, delivery);
                    }
                }
                Record::Event(Event { kind: EventKind::Reply { ssn, .. }, .. }) => {
                    other.tape.add_answered(id, *ssn);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes a try of the actor, when the records of its frame say so.
    fn note_try(
        &mut self,
        actor: &str,
        block: Lsn,
        handled: Rsn,
        records: &[Positioned],
    ) -> Result<(), OpenError> {
        let mut tries = records.iter().filter_map(|positioned| match positioned.record {
            Record::Attempt(rsn) => Some(rsn),
            _ => None,
        });
        let Some(rsn) = tries.next() else { return Ok(()) };
        let id = self.id(actor)?;
        let last = &mut self.last_opening;
        // When the frame says that the delivery is handled, the try has ended. When it names the
        // try twice, the try has ended otherwise.
        if rsn <= handled || tries.next() == Some(rsn) {
            last.last_tried.retain(|tried| tried.actor != id);
            return Ok(());
        }
        // One block holds the notes of actors that are tried together, and blocks follow one
        // another. So the actors of an earlier block did not end the process.
        if last.tried_in != block {
            last.tried_in = block;
            for before in last.last_tried.drain(..).filter(|before| before.actor != id) {
                if let Some(survivor) = self.actors.get_mut(&before.actor) {
                    survivor.tape.survived(before.from);
                }
            }
        }
        // The note of a replay names no handled delivery, and begins where the checkpoint ends.
        let replay = handled == Rsn::NONE
            && self.actors.get(&id).is_some_and(|found| {
                let has_replay = found.tape.certain() > found.floor || found.tape.has_receptions();
                rsn == found.floor.next() && has_replay
            });
        last.last_tried.push(Tried { actor: id, from: rsn, replay });
        Ok(())
    }

    fn note_opening(&mut self, records: &[Positioned]) {
        for positioned in records {
            match positioned.record {
                Record::Incarnation(_) => self.last_opening.began(positioned.lsn),
                Record::RecoveryComplete(_) => {
                    self.last_opening.settled = true;
                    let number = self.last_opening.number;
                    self.actors.values_mut().for_each(|actor| actor.tape.settle(actor.found_by(number)));
                }
                _ => {}
            }
        }
    }

    fn id(&mut self, actor: &str) -> Result<ActorId, OpenError> {
        self.ids.get(actor).map_err(|error| unreadable(self.block, &error))
    }

    /// The entry of an actor; creates it.
    fn actor(&mut self, actor: &str) -> Result<&mut FoundActor, OpenError> {
        if !self.actors.contains_key(actor) {
            let id = self.id(actor)?;
            let kind = self.kinds.get(id.kind());
            let kind =
                kind.ok_or_else(|| OpenError::UnknownKind { actor: id.clone(), kind: id.kind().to_owned() })?;
            let number = self.covered.find(actor);
            let floor = number.map_or(Rsn::NONE, |number| self.covered.floor(number));
            // Taken over, so that the actor's pin does not count twice: its cell will have it.
            let (older, logged) = number.map(|number| self.covered.take(number)).unwrap_or_default();
            let found = FoundActor {
                id: id.clone(),
                kind: Arc::clone(kind),
                floor,
                tape: Tape::after(floor),
                reel: Reel::with_evidence(),
                older,
                newer: None,
                logged,
                has_outbox: false,
                opening: self.last_opening.number,
                before: floor,
            };
            self.actors.insert(id, found);
        }
        Ok(self.actors.get_mut(actor).expect("it was just inserted"))
    }

    /// Checks that each actor's frames are whole.
    fn check_reels(&mut self) -> Result<(), OpenError> {
        let ends = self.actors.values_mut().map(|found| (&found.id, std::mem::take(&mut found.reel).end()));
        // The first by name, so that two openings of one store say the same.
        let broken =
            ends.filter_map(|(id, end)| end.err().map(|corrupt| (id, corrupt))).min_by_key(|(id, _)| *id);
        broken.map_or(Ok(()), |(id, corrupt)| Err(OpenError::Records(corrupt.of(id))))
    }

    /// Checks that the deliveries of each actor in the log reach as far as its checkpoint.
    fn check_checkpoints(&self, store: &dyn Store) -> Result<(), OpenError> {
        for found in self.actors.values() {
            check_reaches(|| Ok(found.id.clone()), found.logged, found.floor)?;
        }
        self.covered.check(store)
    }

    /// Actors without log after their checkpoint whose outbox is not empty must come back too.
    fn add_owing(&mut self, owing: &[ActorId]) {
        for id in owing {
            // The listing has refused kinds that are not registered, so there is no error to lose.
            if let Ok(found) = self.actor(id.as_str()) {
                found.has_outbox = true;
            }
        }
    }
}

/// A name in the log that could not be given.
fn unreadable(at: Lsn, error: &NameError) -> OpenError {
    StoreError::CorruptLog { at, what: error.to_string() }.into()
}

/// Whether it is the firing of a timer whose message goes to another actor. No handler runs on it.
fn is_passed_on(record: &Record) -> bool {
    match record {
        Record::Delivery(Delivery { sender: Sender::Timer { .. }, message, .. }) => *message == PASSED_ON,
        _ => false,
    }
}

fn payload_bytes(record: &Record) -> u64 {
    match record {
        Record::Delivery(delivery) => delivery.payload.len() as u64,
        Record::Event(event) => event.outcome.len() as u64,
        _ => 0,
    }
}

#[cfg(test)]
#[path = "analysis_tests.rs"]
mod tests;
