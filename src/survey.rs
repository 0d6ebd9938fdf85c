//! Reads a store before anything is done with it: checks the whole log, sorts what it holds by actor, and finds out how
//! the last opening ended. Blocking; writes nothing and runs no handler.

use std::collections::HashMap;
use std::sync::Arc;

use relive_replay::{Halt, Kind, Tape};
use relive_storage::record::Record;
use relive_storage::{
    ActorId, CheckpointHeader, CheckpointNumber, Extent, Frame, Lsn, Rsn, Scanned, Store, StoreError,
    boundary, scan,
};

use crate::activation::is_determinant;
use crate::core::Kinds;
use crate::error::OpenError;
use crate::report::{Progress, RecoveryProgress};
use crate::stored::{Floors, Stored};

/// What a store holds.
pub(crate) struct Survey {
    pub(crate) extent: Extent,
    pub(crate) scanned: Scanned,
    pub(crate) last_checkpoint: CheckpointNumber,
    pub(crate) stored: Stored,
    pub(crate) records: u64,
    pub(crate) actors: HashMap<ActorId, FoundActor>,
    /// There are deliveries that were handled perhaps, and perhaps not.
    pub(crate) suspect: bool,
    /// The last opening did not get through what it found: its process ended before.
    pub(crate) unsettled: bool,
    /// The actor that was tried when it ended, as far as the log tells.
    pub(crate) last_tried: Option<ActorId>,
}

/// Reads a store.
pub(crate) fn survey(store: &dyn Store, kinds: &Kinds, progress: &Progress) -> Result<Survey, OpenError> {
    let extent = store.extent()?;
    let catalog = Catalog::read(store, kinds)?;
    boundary!("recovery.listed");
    let mut found = Found {
        kinds,
        catalog: &catalog,
        actors: HashMap::new(),
        records: 0,
        refused: None,
        last_opening: LastOpening::default(),
    };
    let scanned = found.read(store, progress)?;
    found.check_checkpoints()?;
    boundary!("recovery.read");
    found.add_owing();
    let Found { actors, records, last_opening, .. } = found;
    if let Some(torn) = &scanned.torn {
        tracing::warn!(at = %scanned.next, what = torn, "the log ends in a commit that nobody was told about: it is cut");
    }
    let suspect = actors.values().any(FoundActor::is_suspect);
    let left = actors.values().any(|actor| actor.left_by(&last_opening));
    let unsettled = left && !last_opening.settled;
    let Catalog { floors, last: last_checkpoint, .. } = catalog;
    let stored = Stored::from(floors);
    let last_tried = last_opening.last_tried;
    Ok(Survey { extent, scanned, last_checkpoint, stored, records, actors, suspect, unsettled, last_tried })
}

/// How far the last opening came, as its records tell.
#[derive(Default)]
struct LastOpening {
    /// Counts openings in this log.
    number: u64,
    settled: bool,
    last_tried: Option<ActorId>,
}

impl LastOpening {
    fn began(&mut self) {
        *self = Self { number: self.number + 1, ..Self::default() };
    }
}

/// The newest checkpoints of all actors, without their bodies.
struct Catalog {
    floors: Floors,
    owing: Vec<ActorId>,
    last: CheckpointNumber,
}

impl Catalog {
    fn read(store: &dyn Store, kinds: &Kinds) -> Result<Self, OpenError> {
        let mut catalog =
            Self { floors: Floors::default(), owing: Vec::new(), last: CheckpointNumber::default() };
        let mut refused = None;
        let listed = store.list(&mut |header| {
            if let Err(error) = check_registered(&header, kinds) {
                refused = Some(error);
                return Err(stop_reading());
            }
            catalog.last = catalog.last.max(header.number);
            if header.owes {
                catalog.owing.push(header.actor.clone());
            }
            catalog.floors.push(&header.actor, header.rsn);
            Ok(())
        });
        match refused {
            Some(error) => return Err(error),
            None => listed?,
        }
        catalog.floors.complete();
        Ok(catalog)
    }
}

fn check_registered(header: &CheckpointHeader, kinds: &Kinds) -> Result<(), OpenError> {
    let actor = header.actor.clone();
    match kinds.get(header.actor.kind()) {
        None => Err(OpenError::UnknownKind { kind: actor.kind().to_owned(), actor }),
        Some(kind) if kind.version() != header.state_version => {
            let (stored, registered) = (header.state_version, kind.version());
            Err(OpenError::StateVersion { actor, stored, registered })
        }
        Some(_) => Ok(()),
    }
}

/// Ends a reading whose visitor has an error of its own to report.
fn stop_reading() -> StoreError {
    StoreError::Misuse { what: "the reading was ended by its visitor".to_owned() }
}

/// What the log holds, by actor.
struct Found<'a> {
    kinds: &'a Kinds,
    catalog: &'a Catalog,
    actors: HashMap<ActorId, FoundActor>,
    records: u64,
    refused: Option<OpenError>,
    last_opening: LastOpening,
}

/// What the log holds of one actor.
pub(crate) struct FoundActor {
    pub(crate) kind: Arc<dyn Kind>,
    /// The last delivery that its newest checkpoint contains.
    pub(crate) floor: Rsn,
    pub(crate) tape: Tape,
    /// The first block with records that the checkpoint contains.
    pub(crate) older: Option<Lsn>,
    /// The first block with records after it.
    pub(crate) newer: Option<Lsn>,
    /// The last delivery in the log, before or after what the checkpoint contains.
    logged: Rsn,
    /// It must come back even when it has nothing to replay.
    pub(crate) owes: bool,
    /// The opening that logged the last of its frames, and what the openings before had logged.
    opening: u64,
    before: Rsn,
}

impl FoundActor {
    /// Deliveries that were handled perhaps, and perhaps not: the process may have ended in one of them.
    pub(crate) fn is_suspect(&self) -> bool {
        self.tape.certain() < self.tape.last()
    }

    /// Whether there are such deliveries that the last opening found and left.
    fn left_by(&self, last: &LastOpening) -> bool {
        let found = if self.opening == last.number { self.before } else { self.tape.last() };
        last.number > 0 && self.tape.certain() < found
    }
}

impl Found<'_> {
    fn read(&mut self, store: &dyn Store, progress: &Progress) -> Result<Scanned, OpenError> {
        let mut bytes = 0;
        let mut last_block = None;
        let scanned = scan(store, &mut |header, frame| {
            if last_block != Some(header.first) {
                last_block = Some(header.first);
                progress(RecoveryProgress::Reading { records: self.records, bytes });
            }
            self.records += frame.records.len() as u64;
            bytes += frame.records.iter().map(|p| payload_bytes(&p.record)).sum::<u64>();
            self.add(header.first, frame).map_err(|error| {
                self.refused = Some(error);
                stop_reading()
            })
        });
        match self.refused.take() {
            Some(error) => Err(error),
            None => Ok(scanned?),
        }
    }

    fn add(&mut self, block: Lsn, frame: Frame) -> Result<(), OpenError> {
        let Some(actor) = frame.actor.clone() else {
            self.note_opening(&frame);
            return Ok(());
        };
        // A frame that knows the delivery as handled tells of a try that is over.
        let tried = |record: &Record| matches!(record, Record::Attempt(rsn) if *rsn > frame.handled);
        if frame.records.iter().any(|positioned| tried(&positioned.record)) {
            let before = self.last_opening.last_tried.replace(actor.clone());
            // Actors are tried one after the other: who was tried before did not end the process.
            if let Some(before) = before.filter(|before| *before != actor)
                && let Some(survivor) = self.actors.get_mut(&before)
            {
                survivor.tape.survived();
            }
        }
        let opening = self.last_opening.number;
        let found = self.actor(&actor)?;
        if found.opening != opening {
            (found.opening, found.before) = (opening, found.tape.last());
        }
        let mut last = Rsn::NONE;
        for positioned in &frame.records {
            let (rsn, message) = match &positioned.record {
                Record::Delivery(delivery) => {
                    found.logged = delivery.rsn;
                    (delivery.rsn, Some(&delivery.message))
                }
                Record::Event(event) => (event.rsn, None),
                Record::Quarantine(decision) => (decision.rsn, None),
                // The delivery may be one that the checkpoint contains, but that does not know that it is discharged.
                Record::Discharge(_) => (found.floor.next(), None),
                _ => continue,
            };
            last = last.max(rsn);
            if let Some(message) = message
                && rsn > found.floor
                && !found.kind.handles(message)
            {
                return Err(OpenError::UnknownMessage { actor, rsn, message: message.to_string() });
            }
        }
        if frame.records.iter().any(|positioned| is_determinant(&positioned.record)) {
            let pin = if last > found.floor { &mut found.newer } else { &mut found.older };
            pin.get_or_insert(block);
        }
        found.tape.push(&actor, frame).map_err(OpenError::Records)
    }

    fn note_opening(&mut self, frame: &Frame) {
        for positioned in &frame.records {
            match positioned.record {
                Record::Incarnation(_) => self.last_opening.began(),
                Record::Settled(_) => {
                    self.last_opening.settled = true;
                    self.actors.values_mut().for_each(|actor| actor.tape.forgive());
                }
                _ => {}
            }
        }
    }

    fn actor(&mut self, id: &ActorId) -> Result<&mut FoundActor, OpenError> {
        if !self.actors.contains_key(id) {
            let kind = self.kinds.get(id.kind());
            let kind =
                kind.ok_or_else(|| OpenError::UnknownKind { actor: id.clone(), kind: id.kind().to_owned() })?;
            let floor = self.catalog.floors.get(id).unwrap_or_default();
            let tape = Tape::after(floor);
            let found = FoundActor {
                kind: Arc::clone(kind),
                floor,
                tape,
                older: None,
                newer: None,
                logged: Rsn::NONE,
                owes: false,
                opening: self.last_opening.number,
                before: floor,
            };
            self.actors.insert(id.clone(), found);
        }
        Ok(self.actors.get_mut(id).expect("it was just inserted"))
    }

    /// The log is cut at its beginning only, and no delivery comes into a checkpoint before it is stable: an actor that
    /// has deliveries in the log has all those there that its checkpoint contains from them on.
    fn check_checkpoints(&self) -> Result<(), OpenError> {
        for (actor, found) in &self.actors {
            if found.logged != Rsn::NONE && found.logged < found.floor {
                let (actor, rsn) = (actor.clone(), found.logged.next());
                let what = format!(
                    "its checkpoint ends at {}, its deliveries in the log at {}",
                    found.floor, found.logged
                );
                return Err(OpenError::Records(Halt::Corrupt { actor, rsn, what }));
            }
        }
        Ok(())
    }

    /// Actors without log after their checkpoint that still owe messages must come back too.
    fn add_owing(&mut self) {
        for id in &self.catalog.owing {
            if let Ok(found) = self.actor(id) {
                found.owes = true;
            }
        }
    }
}

fn payload_bytes(record: &Record) -> u64 {
    match record {
        Record::Delivery(delivery) => delivery.payload.len() as u64,
        Record::Event(event) => event.outcome.len() as u64,
        _ => 0,
    }
}
