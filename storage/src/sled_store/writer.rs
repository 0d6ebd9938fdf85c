//! What is done on the writer's thread: every change of the store, one job at a time. Jobs are short, so that a commit
//! waits for none of them long.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::blocks;
use super::catalog::{self, Entry, NO_CHECKPOINT};
use super::census;
use super::checkpoints;
use super::engine::Engine;
use super::fenced::Fenced;
use super::identity::{self, LAYOUT, is_older};
use super::mark::{Mark, MarkFile, Seal};
use super::part::Key;
use super::shape::UNSTABLE_BYTES_MAX;
use super::stable::Stable;
use crate::admission::Tail;
use crate::directory::{Found, Identity, Lock, make_directory};
use crate::poison::Poison;
use crate::position::{CheckpointNumber, Lsn, StoreId};
use crate::random::random_u128;
use crate::{ActorId, Block, CheckpointHeader, Durability, StoreError, boundary};

/// What the store says of itself, shared with its handle, which answers without waiting for a commit.
#[derive(Clone, Debug)]
pub(super) struct Status(Arc<Mutex<Mark>>);

impl Status {
    /// A copy of the current mark.
    pub(super) fn get(&self) -> Mark {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Mark> {
        // A mark is replaced as a whole, so a panic elsewhere can't leave half of one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of checkpoints that were listed.
pub(super) struct Listed {
    /// What counts now.
    pub(super) seal: Seal,
    /// Their actors' entries.
    pub(super) entries: Vec<Entry>,
    /// The checkpoints that count no more, as numbers that descend.
    pub(super) doomed: Vec<u64>,
}

/// The state of the writer's thread. Fields are dropped in order: sled and the lock last.
pub(super) struct Writer {
    store: StoreId,
    tier: Durability,
    poison: Arc<Poison>,
    status: Status,
    /// What was written.
    tail: Tail,
    mark: MarkFile,
    stable: Stable,
    /// How many bytes of checkpoints were written since all was made stable.
    unstable: usize,
    log: Fenced,
    checkpoints: Fenced,
    engine: Engine,
}

impl Writer {
    /// Opens the store of a directory, or creates one there. Takes the lock first; changes nothing before it has
    /// recognized the directory.
    pub(super) fn open(directory: &Path, tier: Durability, poison: Arc<Poison>) -> Result<Self, StoreError> {
        if LAYOUT.survey(directory)? == Found::Nothing {
            make_directory(directory)?;
        }
        let lock = Arc::new(Lock::acquire(directory)?);
        boundary!("open.locked");
        // Once more, because the one who had the lock until now may have created the store.
        let identity = match LAYOUT.survey(directory)? {
            Found::Store(identity) => identity,
            Found::Unfinished => {
                tracing::warn!(path = %directory.display(), "removing an unfinished creation, and creating anew");
                identity::clear(directory)?;
                return Self::create(directory, tier, poison, &lock);
            }
            Found::Empty | Found::Nothing => return Self::create(directory, tier, poison, &lock),
        };
        let store = identity.store;
        LAYOUT.finish(directory)?;
        if lock.store()? != Some(store) {
            lock.remember(store)?;
        }
        warn_if_not_private(directory);
        let (mut mark_file, mark) = MarkFile::open(directory, store)?;
        boundary!("open.mark");
        let mut stable = Stable::open(directory, tier)?;
        let (engine, inside) = Engine::open(directory, store, tier, lock)?;
        boundary!("open.data");
        // What was recovered may be in the page cache only; from here on things are built on it.
        stable.flush(&engine.db)?;
        upgrade(directory, identity, inside, &engine, &mut stable)?;
        if tier == Durability::PowerLoss {
            // An older mark would call damage what a cut of a weaker tier removed.
            mark_file.write_both(&mark, true)?;
        }
        boundary!("open.stable");
        Ok(Self {
            store,
            tier,
            poison,
            status: Status(Arc::new(Mutex::new(mark))),
            tail: Tail::default(),
            mark: mark_file,
            stable,
            unstable: 0,
            log: Fenced::open(engine.log.clone())?,
            checkpoints: Fenced::open(engine.checkpoints.clone())?,
            engine,
        })
    }

    fn create(
        directory: &Path,
        tier: Durability,
        poison: Arc<Poison>,
        lock: &Arc<Lock>,
    ) -> Result<Self, StoreError> {
        make_directory(directory)?;
        LAYOUT.begin(directory)?;
        boundary!("create.begun");
        let store = StoreId::new(random_u128());
        let mark_file = MarkFile::create(directory, store)?;
        boundary!("create.mark");
        let engine = Engine::create(directory, store, Arc::clone(lock))?;
        boundary!("create.data");
        // The file that makes the directory a store comes when all the rest is stable.
        LAYOUT.write(directory, store)?;
        boundary!("create.named");
        lock.remember(store)?;
        LAYOUT.finish(directory)?;
        Ok(Self {
            store,
            tier,
            poison,
            status: Status(Arc::new(Mutex::new(Mark::new()))),
            tail: Tail::default(),
            mark: mark_file,
            stable: Stable::open(directory, tier)?,
            unstable: 0,
            log: Fenced::open(engine.log.clone())?,
            checkpoints: Fenced::open(engine.checkpoints.clone())?,
            engine,
        })
    }

    /// Which store this is.
    pub(super) fn store(&self) -> StoreId {
        self.store
    }

    /// What the handle reads without asking.
    pub(super) fn status(&self) -> Status {
        self.status.clone()
    }

    /// sled, for the reader.
    pub(super) fn engine(&self) -> Engine {
        self.engine.clone()
    }

    /// Where the last stored block ends that begins before `first`.
    pub(super) fn stored_end(&self, first: Lsn) -> Result<Lsn, StoreError> {
        let start = self.status.get().start;
        let before = first.get().checked_sub(1).map(Lsn::new);
        let before = before.map_or(Ok(None), |before| blocks::last(self.log.tree(), start, before))?;
        Ok(before.map_or(start, |block| block.header().next()))
    }

    /// Writes a block that was admitted.
    pub(super) fn append(&mut self, block: &Block) -> Result<(), StoreError> {
        self.poison.check()?;
        boundary!("commit.begin");
        let header = block.header();
        if self.tail.is_fresh() {
            blocks::remove_from(&self.log, header.first)?;
        }
        blocks::insert(&mut self.log, block)?;
        boundary!("commit.written");
        self.tail.advance(header.next());
        let mut status = self.status.lock();
        status.epoch = status.epoch.max(header.epoch);
        Ok(())
    }

    /// Makes stable what was written, and acknowledges what was appended.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.poison.check()?;
        boundary!("commit.flush");
        self.make_stable()?;
        let mut mark = self.status.get();
        mark.acknowledged = self.tail.acknowledges(mark.acknowledged);
        self.mark.write_both(&mark, false)?;
        boundary!("commit.acknowledged");
        *self.status.lock() = mark;
        Ok(())
    }

    /// Decides where the log begins from now on, and makes that stable together with the catalog's seal.
    pub(super) fn begin_cut(&mut self, below: Lsn, seal: Seal) -> Result<Lsn, StoreError> {
        self.poison.check()?;
        boundary!("cut.begin");
        let mut mark = self.status.get();
        // Only a stable block may become the first, and the last stable one stays.
        let last = mark.acknowledged.get().saturating_sub(1);
        let limit = below.min(Lsn::new(last));
        let block = blocks::last(self.log.tree(), mark.start, limit)?;
        let start = block.map_or(mark.start, |block| block.header().first);
        if start > mark.start {
            mark.start = start;
            self.write_mark(mark.sealed(seal))?;
            boundary!("cut.marked");
        }
        Ok(start)
    }

    /// Removes some of what was cut. Returns whether there may be more.
    pub(super) fn cut_step(&mut self) -> Result<bool, StoreError> {
        self.poison.check()?;
        let more = blocks::remove_below_step(&self.log, self.status.get().start)?;
        boundary!("cut.step");
        Ok(more)
    }

    /// Removes some of the checkpoints above the highest that counts. Returns whether there may be more.
    pub(super) fn clear_step(&mut self, highest: CheckpointNumber) -> Result<bool, StoreError> {
        self.poison.check()?;
        checkpoints::remove_above_step(&self.checkpoints, highest)
    }

    /// Reads some entries of the catalog, for one who reads all of it.
    pub(super) fn page(&self, after: Option<&ActorId>) -> Result<Vec<Entry>, StoreError> {
        catalog::page(&self.engine.catalog, after)
    }

    /// Writes some values of a checkpoint that does not count yet.
    pub(super) fn put_step(&mut self, values: Vec<(Key, Vec<u8>)>) -> Result<(), StoreError> {
        self.poison.check()?;
        self.unstable += values.iter().map(|(_, value)| value.len()).sum::<usize>();
        checkpoints::insert(&mut self.checkpoints, values)?;
        boundary!("checkpoint.values");
        if self.unstable >= UNSTABLE_BYTES_MAX {
            self.make_stable()?;
        }
        Ok(())
    }

    /// Makes the checkpoints count whose values were written, and makes them stable by one sync. `seal` counts those
    /// before them; what checkpoints above `cleared` doomed is removed already.
    pub(super) fn put_entries(
        &mut self,
        headers: Vec<CheckpointHeader>,
        mut seal: Seal,
        cleared: CheckpointNumber,
    ) -> Result<Listed, StoreError> {
        self.poison.check()?;
        let mut mark = self.status.get();
        let (mut entries, mut doomed) = (Vec::with_capacity(headers.len()), Vec::new());
        for header in headers {
            let before = catalog::get(&self.engine.catalog, &header.actor)?;
            let entry = Entry::follow(header, before.as_ref(), mark.seal.highest);
            catalog::put(&self.engine.catalog, &entry)?;
            census::replace(&mut seal, before.as_ref(), &entry);
            // That of the entry before was not removed when the process ended too early.
            let before = before.filter(|before| before.newest.number <= cleared);
            doomed.extend([before.map_or(NO_CHECKPOINT, |before| before.doomed), entry.doomed]);
            entries.push(entry);
        }
        boundary!("checkpoint.listed");
        self.make_stable()?;
        mark.latest = seal;
        self.mark.write_both(&mark, false)?;
        boundary!("checkpoint.stable");
        *self.status.lock() = mark;
        doomed.retain(|number| *number != NO_CHECKPOINT);
        let mut doomed: Vec<_> = doomed.into_iter().map(CheckpointNumber::get).collect();
        doomed.sort_unstable_by(|a, b| b.cmp(a));
        doomed.dedup();
        Ok(Listed { seal, entries, doomed })
    }

    /// Removes some of the checkpoints that do not count any more. Returns those that may have values left.
    pub(super) fn remove_step(&mut self, mut doomed: Vec<u64>) -> Result<Vec<u64>, StoreError> {
        self.poison.check()?;
        checkpoints::remove_step(&mut self.checkpoints, &mut doomed)?;
        Ok(doomed)
    }

    /// The last job of an opening: makes all stable once more, with the catalog's seal when it is known.
    pub(super) fn close(&mut self, seal: Option<Seal>) -> Result<(), StoreError> {
        self.poison.check()?;
        boundary!("close.begin");
        self.make_stable()?;
        let mark = self.status.get();
        self.write_mark(seal.map_or(mark, |seal| mark.sealed(seal)))?;
        boundary!("close.end");
        Ok(())
    }

    fn make_stable(&mut self) -> Result<(), StoreError> {
        self.stable.flush(&self.engine.db)?;
        self.unstable = 0;
        Ok(())
    }

    fn write_mark(&mut self, mark: Mark) -> Result<(), StoreError> {
        self.mark.write_both(&mark, self.tier == Durability::PowerLoss)?;
        *self.status.lock() = mark;
        Ok(())
    }
}

/// Makes a store of an older format one of today's, before anything is written to it that only today's has. The side file
/// says so first, because an older version reads it before it lets sled change anything. Every part of it is done by
/// itself, so that an opening after a crash in between does the rest.
fn upgrade(
    directory: &Path,
    beside: Identity,
    inside: Identity,
    engine: &Engine,
    stable: &mut Stable,
) -> Result<(), StoreError> {
    if is_older(beside) {
        let (path, from, to) = (directory.display(), beside.format, identity::FORMAT);
        tracing::info!(%path, from, to, "the store gets a newer format, older versions will not open it");
        LAYOUT.write(directory, beside.store)?;
        boundary!("upgrade.beside");
    }
    if is_older(inside) {
        engine.name(beside.store)?;
        stable.flush(&engine.db)?;
        boundary!("upgrade.inside");
    }
    Ok(())
}

/// A store that others can read, or write, is opened, but not without a word.
fn warn_if_not_private(directory: &Path) {
    #[cfg(unix)]
    if let Ok(found) = fs::metadata(directory) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&found.permissions());
        if mode & 0o077 != 0 {
            let path = directory.display();
            tracing::warn!(%path, mode = format_args!("{:o}", mode & 0o777), "others may enter the store's directory");
        }
    }
}
