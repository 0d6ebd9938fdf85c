//! From a store to actors, at open: read and check the whole log, restore every actor that has log after its
//! checkpoint, compare what receivers know with what senders sent. Blocking; writes nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use relive_replay::{Halt, Instance, Kind, Tape};
use relive_storage::record::Record;
use relive_storage::{
    ActorId, CheckpointHeader, CheckpointNumber, Durability, Epoch, Frame, Lsn, Rsn, Scanned, Store,
    StoreError, StoreId, scan,
};

use crate::activation::{Activated, Source, Unrestored, is_determinant, newest_whole};
use crate::core::Kinds;
use crate::envelope::Debtor;
use crate::error::{ActorFailure, OpenError};
use crate::pins::Pins;
use crate::slot::Slot;

/// How far recovery has come; given to the callback of the builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveryProgress {
    /// The log is being read and checked.
    Reading {
        /// Records read so far.
        records: u64,
        /// Bytes read so far.
        bytes: u64,
    },
    /// Actors are being restored.
    Replaying {
        /// Actors restored so far.
        actors: usize,
        /// Actors to restore.
        of: usize,
        /// Deliveries replayed so far.
        deliveries: u64,
    },
}

/// What recovery found and did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The store.
    pub store: StoreId,
    /// What it survives from now on.
    pub durability: Durability,
    /// How often it has been opened for writing, this time included.
    pub epoch: Epoch,
    /// Records read and checked.
    pub records: u64,
    /// Bytes of blocks read and checked.
    pub bytes: u64,
    /// Actors restored into memory.
    pub actors: usize,
    /// Deliveries replayed.
    pub replayed: u64,
    /// Actors that could not be restored; the others serve.
    pub failed: Vec<Arc<ActorFailure>>,
    /// The remains of a commit that was never acknowledged, if there were any; they are cut.
    pub torn_tail: Option<String>,
    /// The time from the call to the end of recovery.
    pub took: Duration,
}

/// The callback that is told how far recovery has come.
pub(crate) type Progress = dyn Fn(RecoveryProgress) + Send + Sync;

/// What recovery made of a store.
pub(crate) struct Recovered {
    pub(crate) slots: Vec<Arc<Slot>>,
    pub(crate) scanned: Scanned,
    pub(crate) last_checkpoint: CheckpointNumber,
    pub(crate) report: RecoveryReport,
}

/// Reads a store and restores its actors.
pub(crate) fn recover(store: &dyn Store, kinds: &Kinds, progress: &Progress) -> Result<Recovered, OpenError> {
    let began = Instant::now();
    let extent = store.extent()?;
    let catalog = Catalog::read(store, kinds)?;
    let mut found = Found { kinds, catalog: &catalog, actors: HashMap::new(), records: 0, refused: None };
    let scanned = found.read(store, progress)?;
    found.add_owing();
    let records = found.records;
    let recovery = Recovery { store, store_id: extent.store, scanned: &scanned, progress };
    let (slots, replayed, failed) = recovery.restore_all(found.actors)?;
    let restored = slots.iter().filter(|slot| slot.with_idle(|_, _| ()).is_some()).count();
    if let Some(torn) = &scanned.torn {
        tracing::warn!(at = %scanned.next, what = torn, "the log ends in a commit that nobody was told about: it is cut");
    }
    let report = RecoveryReport {
        store: extent.store,
        durability: extent.durability,
        epoch: scanned.epoch.next(),
        records,
        bytes: scanned.bytes,
        actors: restored,
        replayed,
        failed,
        torn_tail: scanned.torn.clone(),
        took: began.elapsed(),
    };
    Ok(Recovered { slots, scanned, last_checkpoint: catalog.last, report })
}

/// The newest checkpoints of all actors, without their bodies.
struct Catalog {
    entries: HashMap<ActorId, Rsn>,
    owing: Vec<ActorId>,
    last: CheckpointNumber,
}

impl Catalog {
    fn read(store: &dyn Store, kinds: &Kinds) -> Result<Self, OpenError> {
        let mut catalog =
            Self { entries: HashMap::new(), owing: Vec::new(), last: CheckpointNumber::default() };
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
            catalog.entries.insert(header.actor, header.rsn);
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
    catalog: &'a Catalog,
    actors: HashMap<ActorId, FoundActor>,
    records: u64,
    refused: Option<OpenError>,
}

struct FoundActor {
    kind: Arc<dyn Kind>,
    floor: Rsn,
    tape: Tape,
    older: Option<Lsn>,
    newer: Option<Lsn>,
    owes: bool,
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
            return Ok(());
        };
        let found = self.actor(&actor)?;
        let mut last = Rsn::NONE;
        for positioned in &frame.records {
            let (rsn, message) = match &positioned.record {
                Record::Delivery(delivery) => (delivery.rsn, Some(&delivery.message)),
                Record::Event(event) => (event.rsn, None),
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

    fn actor(&mut self, id: &ActorId) -> Result<&mut FoundActor, OpenError> {
        if !self.actors.contains_key(id) {
            let kind = self.kinds.get(id.kind());
            let kind =
                kind.ok_or_else(|| OpenError::UnknownKind { actor: id.clone(), kind: id.kind().to_owned() })?;
            let floor = self.catalog.entries.get(id).copied().unwrap_or_default();
            let tape = Tape::after(floor);
            let found =
                FoundActor { kind: Arc::clone(kind), floor, tape, older: None, newer: None, owes: false };
            self.actors.insert(id.clone(), found);
        }
        Ok(self.actors.get_mut(id).expect("it was just inserted"))
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

struct Recovery<'a> {
    store: &'a dyn Store,
    store_id: StoreId,
    scanned: &'a Scanned,
    progress: &'a Progress,
}

type Restored = (Vec<Arc<Slot>>, u64, Vec<Arc<ActorFailure>>);

enum Outcome {
    Restored(Box<Activated>),
    Failed(Halt),
}

impl Recovery<'_> {
    /// Restores the actors found, on as many threads as there are processors; on one when the tokio runtime has one.
    fn restore_all(&self, found: HashMap<ActorId, FoundActor>) -> Result<Restored, OpenError> {
        // What is owed goes out in this order, and the store is called in it when there is one thread: so two openings
        // of the same store do the same.
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut slots = Vec::new();
        let mut work = Vec::new();
        for (id, found) in found {
            let slot = Arc::new(Slot::new(id, Arc::clone(&found.kind)));
            *slot.pins() = Pins::recovered(found.older, found.newer);
            slots.push(Arc::clone(&slot));
            if found.owes || found.tape.remaining() > 0 {
                work.push(Mutex::new(Some((slot, found))));
            }
        }
        let next = AtomicUsize::new(0);
        let deliveries = AtomicU64::new(0);
        let done = Mutex::new(Vec::with_capacity(work.len()));
        let tokio = tokio::runtime::Handle::try_current().ok();
        let threads = threads(tokio.as_ref()).min(work.len());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let _context = tokio.as_ref().map(tokio::runtime::Handle::enter);
                    while let Some(item) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let item = item.lock().unwrap_or_else(PoisonError::into_inner).take();
                        let Some((slot, found)) = item else { continue };
                        let outcome = self.restore(&slot, found);
                        let replayed = match &outcome {
                            Ok(Outcome::Restored(activated)) => activated.replayed,
                            _ => 0,
                        };
                        let total = deliveries.fetch_add(replayed, Ordering::Relaxed) + replayed;
                        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                        done.push((slot, outcome));
                        let (actors, of) = (done.len(), work.len());
                        (self.progress)(RecoveryProgress::Replaying { actors, of, deliveries: total });
                    }
                });
            }
        });
        let failed = install(done.into_inner().unwrap_or_else(PoisonError::into_inner))?;
        Ok((slots, deliveries.into_inner(), failed))
    }

    fn restore(&self, slot: &Slot, found: FoundActor) -> Result<Outcome, OpenError> {
        let source = Source {
            store: self.store,
            store_id: self.store_id,
            kind: &slot.kind,
            id: &slot.id,
            from: Some(self.scanned.start),
            fallback_from: Some(self.scanned.start),
            to: self.scanned.next,
        };
        let span = tracing::info_span!("relive::replay", actor = %slot.id, replaying = true);
        let _entered = span.enter();
        let (checkpoint, fell_back) = newest_whole(self.store, &slot.id)?;
        let matches =
            checkpoint.as_ref().map_or(Rsn::NONE, |checkpoint| checkpoint.header.rsn) == found.floor;
        let mut outcome = if fell_back || !matches {
            source.activate(None)
        } else {
            source.replay(checkpoint.as_ref(), found.tape, None)
        };
        if let Err(Unrestored::Halted(halt @ Halt::Panicked { .. })) = &outcome {
            // It panicked here before the crash too. The deliveries ahead of it are restored, and it gets the tries
            // that its policy gives, live.
            let rsn = halt.rsn();
            tracing::warn!(error = %halt, "a recorded delivery panics; it is tried again live");
            outcome = source.activate(Some(rsn));
            if let Ok(activated) = &mut outcome {
                activated.active.tried = Some((rsn, 1));
            }
        }
        match outcome {
            Ok(activated) => Ok(Outcome::Restored(Box::new(activated))),
            Err(Unrestored::Halted(halt @ Halt::Corrupt { .. })) => Err(OpenError::Records(halt)),
            Err(Unrestored::Halted(halt)) => Ok(Outcome::Failed(halt)),
            Err(Unrestored::Store(error)) => Err(error.into()),
        }
    }
}

/// How many threads restore actors.
fn threads(tokio: Option<&tokio::runtime::Handle>) -> usize {
    match tokio.map(tokio::runtime::Handle::runtime_flavor) {
        Some(tokio::runtime::RuntimeFlavor::CurrentThread) => 1,
        _ => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// Compares the two ends of all channels between restored actors, then puts the actors into memory.
fn install(done: Vec<(Arc<Slot>, Result<Outcome, OpenError>)>) -> Result<Vec<Arc<ActorFailure>>, OpenError> {
    let mut restored = BTreeMap::new();
    let mut failed = Vec::new();
    for (slot, outcome) in done {
        match outcome? {
            Outcome::Restored(activated) => {
                slot.owe(&activated.outbox);
                restored.insert(slot.id.clone(), (slot, activated.active));
            }
            Outcome::Failed(halt) => {
                tracing::error!(actor = %slot.id, error = %halt, "the actor could not be restored");
                failed.push(slot.fail(halt, 1));
            }
        }
    }
    for (receiver, (_, active)) in &restored {
        for (sender, received) in active.instance.received_from() {
            let Some((sender_slot, sending)) = restored.get(sender) else {
                continue;
            };
            check_channel(&sending.instance, receiver, received)?;
            sender_slot.settle(receiver, received);
        }
    }
    for (slot, active) in restored.into_values() {
        slot.install(Box::new(active));
    }
    Ok(failed)
}

/// Invariant: no-orphan. No receiver knows more of a channel than its sender has sent.
fn check_channel(
    sender: &Instance,
    receiver: &ActorId,
    received: relive_storage::Ssn,
) -> Result<(), OpenError> {
    let sent = sender.sent_to(receiver);
    if received > sent {
        let (sender, receiver) = (sender.id().clone(), receiver.clone());
        return Err(OpenError::Orphan { receiver, sender, received, sent });
    }
    Ok(())
}
