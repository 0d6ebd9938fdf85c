//! Carries what actors need of the log to its end, while their handlers wait and they can't be
//! checkpointed: so the part before can be cut. Runs no code of users and makes no checkpoint.
//!
//! One reading of the log serves many actors. The longer part of it comes before any of them
//! pauses, and only what they have appended meanwhile is read in the pause.
//!
//! # Source
//! A log-structured store cleans a segment by writing what is live of it to the end of the log:
//! Rosenblum and Ousterhout, *The Design and Implementation of a Log-Structured File System*, ACM
//! TOCS 10(1), 1992.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use relive_storage::frame::FrameHead;
use relive_storage::record::{Carried, Positioned, Record, Released};
use relive_storage::scan::damaged;
use relive_storage::{
    ActorId, ActorIds, Block, CarriedFrame, Carries, FrameWriter, Lsn, Placing, Read, Rsn, Store, StoreError,
};

use crate::actor::cell::ActorCell;
use crate::actor::pause::{Evidence, Pause};
use crate::error::Ended;
use crate::limits::{PAUSES_GATHER_MAX, carried_alone_bytes};
use crate::log::committer::Commit;
use crate::shared::Core;
use crate::timer::within;

/// Carries what these actors need of the log, as far as the budget permits. `more` says that others
/// wait for the same. An actor whose handler goes on meanwhile is left as it is.
pub(crate) async fn carry(core: &Arc<Core>, cells: Vec<Arc<ActorCell>>, more: bool) -> Result<(), Ended> {
    let log_budget = &core.services.log_budget;
    let room = log_budget.carry_room();
    let mut reading = Reading::new(carried_alone_bytes(core.services.config.log_bytes), room);
    for cell in cells {
        let needed = {
            let pins = cell.pins();
            // A checkpoint that is on its way changes what it needs.
            pins.needed().filter(|_| !pins.is_pending())
        };
        if let Some(needed) = needed
            && cell.may_be_carried(needed)
        {
            reading.actors.insert(cell.id.clone(), Load::new(Arc::clone(&cell), needed));
        }
    }
    if room == 0 || reading.actors.is_empty() {
        return Ok(());
    }
    let Some(reading) = read_on(core, reading).await? else { return Ok(()) };
    let (reading, pauses) = pause(reading).await;
    if pauses.is_empty() {
        return Ok(());
    }
    // From here on none of them appends anything, so this reading sees the last of it.
    let Some(reading) = read_on(core, reading).await? else { return Ok(()) };
    let bytes = append(core, reading, &pauses).await?;
    log_budget.was_carried(bytes, more && bytes > 0);
    drop(pauses);
    if bytes > 0 {
        log_budget.loosened();
    }
    Ok(())
}

/// What is read of the log.
struct Reading {
    actors: HashMap<ActorId, Load>,
    ids: ActorIds,
    /// Everything before was read.
    to: Lsn,
    /// Of all that is to be carried.
    bytes: u64,
    alone_max: u64,
    together_max: u64,
}

/// What is to be carried of one actor.
struct Load {
    cell: Arc<ActorCell>,
    needed: Lsn,
    carries: Carries<Item>,
    items: Vec<Item>,
    bytes: u64,
}

/// A frame that is to be carried.
struct Item {
    frame: CarriedFrame,
    /// What it says, when it ended frames that were carried before.
    end: Option<End>,
}

/// The last of the frames that were carried.
struct End {
    since: Rsn,
    handled: Rsn,
    /// What deliveries did, or what was released: the next end does not repeat it.
    says_more: bool,
    released: Vec<Rsn>,
}

impl Reading {
    fn new(alone_max: u64, together_max: u64) -> Self {
        let (actors, ids) = Default::default();
        Self { actors, ids, to: Lsn::FIRST, bytes: 0, alone_max, together_max }
    }

    /// Reads the log up to `to`. Blocking.
    fn read(&mut self, store: &dyn Store, to: Lsn) -> Result<(), StoreError> {
        let first = self.actors.values().map(|load| load.needed).min();
        let mut at = first.map_or(to, |first| first.max(self.to));
        while at < to {
            let gone = |what: &str| StoreError::CorruptLog { at, what: what.to_owned() };
            let stored = store.read(at)?.ok_or_else(|| gone("it ends before what is acknowledged"))?;
            if stored.first != at {
                return Err(gone("a block is missing"));
            }
            let block = stored.block.map_err(|what| StoreError::CorruptLog { at, what })?;
            for head in block.heads() {
                let read = head.and_then(|head| self.frame(&block, &head));
                read.map_err(|malformed| damaged(&block, &malformed))?;
            }
            at = block.header().next();
        }
        self.to = to;
        Ok(())
    }

    fn frame(&mut self, block: &Block, head: &FrameHead) -> Result<(), relive_storage::Malformed> {
        let Some(load) = head.actor(block.bytes()).and_then(|actor| self.actors.get_mut(actor)) else {
            return Ok(());
        };
        if block.header().first < load.needed {
            return Ok(());
        }
        let mut records = Vec::new();
        head.read(block.bytes(), &mut self.ids, &mut records)?;
        let before = load.bytes;
        load.add(Item::new(block, head, &records), Placing::of(head.carried, &records));
        self.bytes = self.bytes + load.bytes - before;
        if load.bytes > self.alone_max {
            load.is_too_large();
            let id = load.cell.id.clone();
            self.leave(&id);
        }
        while self.bytes > self.together_max {
            // Those that hold the cut back most come first.
            let last =
                self.actors.iter().max_by(|(a, one), (b, other)| (one.needed, a).cmp(&(other.needed, b)));
            let Some(id) = last.map(|(id, _)| id.clone()) else { break };
            self.leave(&id);
        }
        Ok(())
    }

    fn leave(&mut self, id: &ActorId) {
        if let Some(load) = self.actors.remove(id) {
            self.bytes -= load.bytes;
        }
    }
}

impl Load {
    fn new(cell: Arc<ActorCell>, needed: Lsn) -> Self {
        Self { cell, needed, carries: Carries::default(), items: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, item: Item, placing: Placing) {
        match self.carries.read(placing, item) {
            Read::Aside => {}
            Read::Next(item) => {
                self.bytes += item.frame.len() as u64;
                self.items.push(item);
            }
            Read::Anew(items) => {
                self.items = items;
                self.bytes = self.items.iter().map(|item| item.frame.len() as u64).sum();
            }
        }
    }

    fn is_too_large(&self) {
        if self.cell.is_too_large(self.needed) {
            let (actor, bytes) = (&self.cell.id, self.bytes);
            tracing::warn!(%actor, bytes, "the handler of an actor waits that needs too much of the log for it to be carried: the log is kept from there on");
        }
    }
}

impl Item {
    fn new(block: &Block, head: &FrameHead, records: &[Positioned]) -> Self {
        let frame = CarriedFrame::new(head, block.bytes());
        let ends = matches!(records.first(), Some(Positioned { record: Record::Carried(_), .. }));
        let end = ends.then(|| {
            let released = records.iter().filter_map(|positioned| match &positioned.record {
                Record::Released(Released { rsn, .. }) => Some(*rsn),
                _ => None,
            });
            let released: Vec<_> = released.collect();
            let says_more = !released.is_empty() || head.since < head.handled;
            End { since: head.since, handled: head.handled, says_more, released }
        });
        Self { frame, end }
    }
}

/// Reads the log to its end. `None` when nobody is left, or the log can't be read.
async fn read_on(core: &Arc<Core>, mut reading: Reading) -> Result<Option<Reading>, Ended> {
    let committer = &core.services.committer;
    let end = core.services.end_of_log();
    committer.want(end);
    if committer.until_durable(end).await.is_err() {
        return Err(core.lifecycle.stopped().await);
    }
    let store = core.services.store.get()?;
    let read = core.services.replayers.run(move || {
        let read = reading.read(&*store, end);
        (reading, read)
    });
    match read.await {
        Ok((reading, Ok(()))) => Ok((!reading.actors.is_empty()).then_some(reading)),
        Ok((_, Err(error))) if error.is_corrupt() => {
            // The log grows, but everybody is served. A cut would lose what these need.
            tracing::error!(%error, "the log is kept for actors whose handlers wait: it can't be read");
            Ok(None)
        }
        Ok((_, Err(error))) => {
            core.lifecycle.stop(Ended::from(Arc::new(error)));
            Err(core.lifecycle.stopped().await)
        }
        Err(error) => {
            tracing::error!(%error, "the log is kept for actors whose handlers wait: it can't be read");
            Ok(None)
        }
    }
}

/// The actors that pause, each with what no frame says of it.
type Pauses = HashMap<ActorId, (Evidence, Pause)>;

/// Has the actors pause. Leaves out those that do not soon.
async fn pause(mut reading: Reading) -> (Reading, Pauses) {
    let loads: Vec<_> = std::mem::take(&mut reading.actors).into_iter().collect();
    let asked: Vec<_> = loads.iter().map(|(_, load)| load.cell.request_pause()).collect();
    let mut pauses = Pauses::new();
    let began = Instant::now();
    for ((id, load), asked) in loads.into_iter().zip(asked) {
        let Some(mut pause) = asked else { continue };
        // With no time left, those that pause already still count.
        let left = PAUSES_GATHER_MAX.saturating_sub(began.elapsed());
        let Some(Ok(evidence)) = within(left, &mut pause.evidence).await else { continue };
        // It may have come to another handler since it was looked at, and to a checkpoint.
        let same = {
            let pins = load.cell.pins();
            pins.needed() == Some(load.needed) && !pins.is_pending()
        };
        if same {
            pauses.insert(id.clone(), (evidence, pause));
            reading.actors.insert(id, load);
        }
    }
    reading.bytes = reading.actors.values().map(|load| load.bytes).sum();
    (reading, pauses)
}

/// Appends what is carried, and moves the actors' pins once it is on stable storage. Returns how
/// many bytes that is.
async fn append(core: &Arc<Core>, reading: Reading, pauses: &Pauses) -> Result<u64, Ended> {
    let committer = &core.services.committer;
    let (mut bytes, mut end, mut writer) = (0, Lsn::FIRST, FrameWriter::new());
    let mut moved = Vec::new();
    for (id, load) in reading.actors {
        let Some((evidence, _)) = pauses.get(&id) else { continue };
        let first = OnceLock::new();
        let placed = |block| {
            first.get_or_init(|| block);
        };
        put_end(&mut writer, evidence, &load.items);
        let handled = evidence.rsn.prev();
        let (since, digests) = match load.says(evidence.since, handled) {
            true => (handled, &[][..]),
            false => (evidence.since, &*evidence.digests),
        };
        let last = writer.finish(Some(&id), since, handled, digests);
        let carried = load.items.iter().filter(|item| item.end.as_ref().is_none_or(|end| end.says_more));
        for frame in carried.map(|item| item.frame.frame()).chain([last]) {
            bytes += frame.len() as u64;
            match committer.append(frame, Commit::WhenWanted, placed).await {
                Ok(appended) => end = appended.end,
                Err(_) => return Err(core.lifecycle.stopped().await),
            }
        }
        moved.extend(first.into_inner().map(|block| (load.cell, block)));
    }
    // Invariant: checkpoint-covers-log. Before that a crash may take it, and the log must have what
    // it repeats.
    committer.want(end);
    if committer.until_durable(end).await.is_err() {
        return Err(core.lifecycle.stopped().await);
    }
    for (cell, block) in moved {
        cell.change_pins(|pins| pins.carried(block));
        tracing::debug!(actor = %cell.id, %block, "what it needs of the log is carried");
    }
    Ok(bytes)
}

/// Says that the frames are all, how far the actor had come, and what its delivery has released
/// that they do not say.
fn put_end(writer: &mut FrameWriter, evidence: &Evidence, items: &[Item]) {
    let Evidence { rsn, settled, sent, .. } = evidence;
    writer.put_carried(Carried { rsn: *rsn, settled: *settled });
    let ends = items.iter().filter_map(|item| item.end.as_ref());
    let said = ends.flat_map(|end| &end.released).filter(|released| *released == rsn).count();
    for outgoing in sent.get(said..).unwrap_or_default() {
        writer.put_released(&outgoing.released(*rsn));
    }
}

impl Load {
    /// Whether a frame that ended carried ones says what these deliveries did.
    fn says(&self, since: Rsn, handled: Rsn) -> bool {
        let ends = self.items.iter().filter_map(|item| item.end.as_ref());
        ends.into_iter().any(|end| end.says_more && end.since <= since && end.handled == handled)
    }
}

#[cfg(test)]
mod tests {
    use relive_storage::simulated_store::{Call, Fault, SimulatedDisk};

    use super::*;
    use crate::config::Config;
    use crate::recovery::testing::{Hold, Note, happen};
    use crate::runtime::testing::{account, at_rest, cell, runtime_over};

    /// An account whose handler waits for the end of a side effect, on a disk.
    async fn waiting(name: &str) -> (SimulatedDisk, Arc<Core>, Arc<ActorCell>) {
        let disk = SimulatedDisk::new(1);
        let core = runtime_over(Arc::new(disk.open()), Config::default());
        drop(account(&core, "alice").tell(Hold(name.to_owned())).await.unwrap());
        let alice = cell(&core, "alice");
        while !alice.is_waiting() {
            tokio::task::yield_now().await;
        }
        (disk, core, alice)
    }

    /// Invariant: checkpoint-covers-log. As long as a crash may take the copy, the log is kept from
    /// where its original stands.
    #[tokio::test(flavor = "multi_thread")]
    async fn pins_move_when_it_is_durable() {
        let (disk, core, alice) = waiting("carrying.durable").await;
        let before = alice.pins().needed();
        disk.plan_next(Fault::Hang, Call::Sync);
        let (carrying, alone) = (Arc::clone(&core), vec![Arc::clone(&alice)]);
        let carrying = tokio::spawn(async move { carry(&carrying, alone, false).await });
        let hanging = disk.clone();
        tokio::task::spawn_blocking(move || hanging.wait_for_hang()).await.unwrap();
        let early = alice.pins().needed();
        // Before anything can fail: a runtime whose disk hangs does not end.
        disk.release();
        assert_eq!(early, before, "a crash would lose it");
        carrying.await.unwrap().unwrap();
        let end = core.services.end_of_log();
        assert!(before < alice.pins().needed() && alice.pins().needed() < Some(end));
        happen("carrying.durable");
        at_rest(&core).await;
    }

    /// What an actor appends stands before all that is carried of it, or behind.
    #[tokio::test]
    async fn nothing_comes_in_a_pause() {
        let (_disk, core, alice) = waiting("carrying.pause").await;
        let mut pause = alice.request_pause().unwrap();
        let evidence = (&mut pause.evidence).await.unwrap();
        assert_eq!((evidence.rsn, evidence.sent.len()), (Rsn::new(1), 0));
        let end = core.services.end_of_log();
        let told = account(&core, "alice").tell(Note("meanwhile".to_owned())).await.unwrap();
        happen("carrying.pause");
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(core.services.end_of_log(), end);
        drop(pause);
        told.durable().await.unwrap();
        at_rest(&core).await;
        assert!(core.services.end_of_log() > end);
        assert!(alice.request_pause().is_none(), "no handler waits any more");
    }

    /// A turn goes on when the pause that was asked for is given up.
    #[tokio::test]
    async fn a_pause_that_nobody_wants_any_more_is_none() {
        let (_disk, core, alice) = waiting("carrying.given_up").await;
        drop(alice.request_pause());
        happen("carrying.given_up");
        at_rest(&core).await;
        assert!(!alice.is_waiting());
    }
}
