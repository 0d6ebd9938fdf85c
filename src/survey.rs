//! Reads a store before anything is done with it: checks the whole log, sorts what it holds by actor, and finds out how
//! the last opening ended. Blocking; writes nothing and runs no handler.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use relive_replay::{Kind, Tape};
use relive_storage::frame::FrameHead;
use relive_storage::record::{Positioned, Record};
use relive_storage::scan::{damaged, follow, scan_blocks};
use relive_storage::{
    ActorId, ActorIds, Block, CheckpointHeader, CheckpointNumber, Extent, Lsn, Rsn, Scanned, Store,
    StoreError, boundary,
};

use crate::activation::is_determinant;
use crate::core::Kinds;
use crate::covered::{Covered, check_reaches};
use crate::dormant::Dormant;
use crate::error::OpenError;
use crate::hashes::{Hashes, Listing};
use crate::limits::PASSIVE_CHECKED_MAX;
use crate::report::{Progress, RecoveryProgress, tell};

/// What a store holds.
pub(crate) struct Survey {
    pub(crate) extent: Extent,
    pub(crate) scanned: Scanned,
    pub(crate) last_checkpoint: CheckpointNumber,
    /// The actors that have a checkpoint.
    pub(crate) stored: Arc<Hashes>,
    pub(crate) records: u64,
    /// The actors of which the log holds more than their checkpoints, or that owe something.
    pub(crate) actors: HashMap<ActorId, FoundActor>,
    /// Some of the others, whose checkpoints are to be read.
    pub(crate) passive: Vec<ActorId>,
    /// The log that others need.
    pub(crate) dormant: Dormant,
    /// There are deliveries that were handled perhaps, and perhaps not.
    pub(crate) suspect: bool,
    /// The last opening did not get through what it found: its process ended before.
    pub(crate) unsettled: bool,
    /// What was tried when it ended, as far as the log tells.
    pub(crate) last_tried: Vec<Tried>,
}

/// An actor that was about to be tried.
pub(crate) struct Tried {
    pub(crate) actor: ActorId,
    /// From where on.
    from: Rsn,
    /// What it had handled was to be replayed; else it was to handle what it had ahead.
    pub(crate) replay: bool,
}

/// Reads a store.
pub(crate) fn survey(store: &dyn Store, kinds: &Kinds, progress: &Progress) -> Result<Survey, OpenError> {
    let extent = store.extent()?;
    let Catalog { listing, owing, mut sample, last: last_checkpoint } = Catalog::read(store, kinds)?;
    let covered = Covered::new(listing);
    boundary!("recovery.listed");
    let mut found = Found {
        kinds,
        covered,
        actors: HashMap::new(),
        records: 0,
        last_opening: LastOpening::default(),
        ids: ActorIds::default(),
        decoded: Vec::new(),
    };
    let scanned = found.read(store, progress)?;
    found.check_checkpoints(store)?;
    boundary!("recovery.read");
    found.add_owing(&owing);
    let Found { actors, records, last_opening, covered, .. } = found;
    if let Some(torn) = &scanned.torn {
        tracing::warn!(at = %scanned.next, what = torn, "the log ends in a commit that nobody was told about: it is cut");
    }
    let suspect = actors.values().any(FoundActor::is_suspect);
    let left = actors.values().any(|actor| actor.left_by(&last_opening));
    let unsettled = left && !last_opening.settled;
    let (stored, dormant) = covered.finish();
    sample.retain(|actor| !actors.contains_key(actor));
    let last_tried = last_opening.last_tried;
    Ok(Survey {
        extent,
        scanned,
        last_checkpoint,
        stored,
        records,
        actors,
        passive: sample,
        dormant,
        suspect,
        unsettled,
        last_tried,
    })
}

/// How far the last opening came, as its records tell.
#[derive(Default)]
struct LastOpening {
    /// Counts openings in this log.
    number: u64,
    settled: bool,
    /// Those that were tried together last, and the block that says so.
    last_tried: Vec<Tried>,
    tried_in: Lsn,
}

impl LastOpening {
    fn began(&mut self) {
        *self = Self { number: self.number + 1, ..Self::default() };
    }
}

/// The newest checkpoints of all actors, without their bodies.
struct Catalog {
    listing: Listing,
    owing: Vec<ActorId>,
    /// The first actors of each kind.
    sample: Vec<ActorId>,
    last: CheckpointNumber,
}

impl Catalog {
    fn read(store: &dyn Store, kinds: &Kinds) -> Result<Self, OpenError> {
        let (listing, last) = Default::default();
        let mut catalog = Self { listing, owing: Vec::new(), sample: Vec::new(), last };
        let mut sampled: BTreeMap<&str, usize> = BTreeMap::new();
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
            catalog.listing.push(&header.actor, header.rsn);
            if let Some((kind, _)) = kinds.get_key_value(header.actor.kind()) {
                let sampled = sampled.entry(kind).or_default();
                if *sampled < PASSIVE_CHECKED_MAX {
                    *sampled += 1;
                    catalog.sample.push(header.actor);
                }
            }
            Ok(())
        });
        match refused {
            Some(error) => Err(error),
            None => Ok(listed.map(|()| catalog)?),
        }
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
    covered: Covered,
    actors: HashMap<ActorId, FoundActor>,
    records: u64,
    last_opening: LastOpening,
    /// Senders that were met.
    ids: ActorIds,
    /// The records of one frame; kept for its memory.
    decoded: Vec<Positioned>,
}

/// What the log holds of one actor, when that is more than its checkpoint contains.
pub(crate) struct FoundActor {
    id: ActorId,
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

    /// Adds the actor's next frame, and takes its records.
    fn add(&mut self, block: Lsn, head: &FrameHead, records: &mut Vec<Positioned>) -> Result<(), OpenError> {
        let mut last = Rsn::NONE;
        for positioned in records.iter() {
            let (rsn, message) = match &positioned.record {
                Record::Delivery(delivery) => (delivery.rsn, Some(&delivery.message)),
                Record::Event(event) => (event.rsn, None),
                Record::Quarantine(decision) => (decision.rsn, None),
                // The delivery may be one that the checkpoint contains, but that does not know that it is discharged.
                Record::Discharge(_) => (self.floor.next(), None),
                _ => continue,
            };
            last = last.max(rsn);
            if let Some(message) = message
                && rsn > self.floor
                && !self.kind.handles(message)
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
        let added = self.tape.add(&self.id, (head.since, head.handled), digests, records.drain(..));
        added.map_err(OpenError::Records)
    }

    /// Whether the last opening had something of it to replay or to try, which the newest checkpoint does not contain.
    fn left_by(&self, last: &LastOpening) -> bool {
        last.number > 0 && self.floor < self.found_by(last.number)
    }

    /// The last delivery that an opening had found.
    fn found_by(&self, opening: u64) -> Rsn {
        if self.opening == opening { self.before } else { self.tape.last() }
    }
}

impl Found<'_> {
    fn read(&mut self, store: &dyn Store, progress: &Progress) -> Result<Scanned, OpenError> {
        let mut bytes = 0;
        let mut refused = None;
        let scanned = scan_blocks(store, &mut |block| {
            tell(progress, RecoveryProgress::Reading { records: self.records, bytes });
            for head in block.heads() {
                let added = head.map_err(|malformed| damaged(block, &malformed).into());
                match added.and_then(|head| self.frame(block, &head)) {
                    Ok(payloads) => bytes += payloads,
                    Err(OpenError::Store(error)) => return Err(error),
                    Err(error) => {
                        refused = Some(error);
                        return Err(stop_reading());
                    }
                }
            }
            Ok(())
        });
        match refused {
            Some(error) => Err(error),
            None => Ok(scanned?),
        }
    }

    /// Adds a frame, and gives how many bytes its payloads have.
    fn frame(&mut self, block: &Block, head: &FrameHead) -> Result<u64, OpenError> {
        let mut records = std::mem::take(&mut self.decoded);
        records.clear();
        let read = head.read(block.bytes(), &mut self.ids, &mut records);
        read.map_err(|malformed| damaged(block, &malformed))?;
        self.records += records.len() as u64;
        let bytes = records.iter().map(|positioned| payload_bytes(&positioned.record)).sum();
        match head.actor(block.bytes()) {
            Some(actor) => self.decoded = self.add(actor, block.header().first, head, records)?,
            None => {
                self.note_opening(&records);
                self.decoded = records;
            }
        }
        Ok(bytes)
    }

    /// Adds an actor's frame, and gives the memory of its records back.
    fn add(
        &mut self,
        actor: &str,
        block: Lsn,
        head: &FrameHead,
        mut records: Vec<Positioned>,
    ) -> Result<Vec<Positioned>, OpenError> {
        self.note_try(actor, block, head.handled, &records)?;
        let opening = self.last_opening.number;
        if !self.actors.contains_key(actor)
            && let Some(number) = self.covered.find(actor)
            && self.covered.add(number, actor, block, head.handled, &records)?
        {
            return Ok(records);
        }
        let found = self.actor(actor)?;
        follow(&mut found.logged, actor, &records)?;
        if found.opening != opening {
            (found.opening, found.before) = (opening, found.tape.last());
        }
        found.add(block, head, &mut records)?;
        Ok(records)
    }

    /// Notes that the actor was tried, when the records of its frame say so.
    fn note_try(
        &mut self,
        actor: &str,
        block: Lsn,
        handled: Rsn,
        records: &[Positioned],
    ) -> Result<(), OpenError> {
        // A frame that knows the delivery as handled tells of a try that is over.
        let tried = records.iter().find_map(|positioned| match positioned.record {
            Record::Attempt(rsn) => Some(rsn),
            _ => None,
        });
        let Some(rsn) = tried else { return Ok(()) };
        let id = self.id(actor)?;
        let last = &mut self.last_opening;
        if rsn <= handled {
            last.last_tried.retain(|tried| tried.actor != id);
            return Ok(());
        }
        // Those of one block are tried together, and blocks one after the other: who was tried before did not end the
        // process.
        if last.tried_in != block {
            last.tried_in = block;
            for before in last.last_tried.drain(..).filter(|before| before.actor != id) {
                if let Some(survivor) = self.actors.get_mut(&before.actor) {
                    survivor.tape.survived(before.from);
                }
            }
        }
        // The note of a replay knows of nothing that is handled, and begins where the checkpoint ends.
        let replay = handled == Rsn::NONE
            && self
                .actors
                .get(&id)
                .is_some_and(|found| rsn == found.floor.next() && rsn <= found.tape.certain());
        last.last_tried.push(Tried { actor: id, from: rsn, replay });
        Ok(())
    }

    fn note_opening(&mut self, records: &[Positioned]) {
        for positioned in records {
            match positioned.record {
                Record::Incarnation(_) => self.last_opening.began(),
                Record::Settled(_) => {
                    self.last_opening.settled = true;
                    let number = self.last_opening.number;
                    self.actors.values_mut().for_each(|actor| actor.tape.settle(actor.found_by(number)));
                }
                _ => {}
            }
        }
    }

    fn id(&mut self, actor: &str) -> Result<ActorId, OpenError> {
        let id = self.ids.get(actor);
        id.map_err(|error| StoreError::Misuse { what: error.to_string() }.into())
    }

    /// What is kept of an actor, from now on.
    fn actor(&mut self, actor: &str) -> Result<&mut FoundActor, OpenError> {
        if !self.actors.contains_key(actor) {
            let id = self.id(actor)?;
            let kind = self.kinds.get(id.kind());
            let kind =
                kind.ok_or_else(|| OpenError::UnknownKind { actor: id.clone(), kind: id.kind().to_owned() })?;
            let number = self.covered.find(actor);
            let floor = number.map_or(Rsn::NONE, |number| self.covered.floor(number));
            let (older, logged) = number.map(|number| self.covered.take(number)).unwrap_or_default();
            let found = FoundActor {
                id: id.clone(),
                kind: Arc::clone(kind),
                floor,
                tape: Tape::after(floor),
                older,
                newer: None,
                logged,
                owes: false,
                opening: self.last_opening.number,
                before: floor,
            };
            self.actors.insert(id, found);
        }
        Ok(self.actors.get_mut(actor).expect("it was just inserted"))
    }

    /// Checks that the deliveries of each actor in the log reach as far as its checkpoint.
    fn check_checkpoints(&self, store: &dyn Store) -> Result<(), OpenError> {
        for found in self.actors.values() {
            check_reaches(|| Ok(found.id.clone()), found.logged, found.floor)?;
        }
        self.covered.check(store)
    }

    /// Actors without log after their checkpoint that still owe messages must come back too.
    fn add_owing(&mut self, owing: &[ActorId]) {
        for id in owing {
            if let Ok(found) = self.actor(id.as_str()) {
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
