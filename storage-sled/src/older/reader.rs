//! A store on sled of format 1 or 2, for one reading from its beginning to its end. Takes no block
//! and no checkpoint.

use std::ops::Bound;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use relive_storage::limits::{BLOCK_BYTES_MAX, CHECKPOINT_BYTES_MAX};
use relive_storage::medium_support::{DirectoryLayout, DirectoryState, Lock, Poison, StoreIdentity};
use relive_storage::{
    ActorId, Block, Checkpoint, CheckpointHeader, CheckpointNumber, CheckpointStore, Durability, Extent,
    Generation, Log, Lsn, MediumKind, StoreError, StoreId, StoredBlock,
};
use sled::{Db, IVec, Tree};

use super::catalog::{self, Entry, NO_CHECKPOINT};
use super::catalog_digest::CatalogDigest;
use super::high_water_mark::{self, HIGH_WATER_MARK_FILE, HighWaterMark};
use super::values;
use crate::engine::database;
use crate::failures::reading;
use crate::names::{CONF, CREATING, DATA};

/// The newest format that this reads.
const FORMAT: u32 = 2;

const LAYOUT: DirectoryLayout = DirectoryLayout {
    medium: MediumKind::Sled,
    oldest: 1,
    format: FORMAT,
    creating: CREATING,
    needed: &[
        (HIGH_WATER_MARK_FILE, "how far the log was acknowledged is not known"),
        (CONF, "sled would take the data for something else"),
        (DATA, "all that was stored is in it"),
    ],
    is_ours: |name| name == HIGH_WATER_MARK_FILE,
};

/// Whether a directory holds such a store, as far as the beginning of one of its files says.
pub(crate) fn is_older(directory: &Path) -> Result<bool, StoreError> {
    LAYOUT.names_format_in(directory)
}

/// Such a store, open. Fields are dropped in order: sled and the lock last.
pub(crate) struct OlderStore {
    store: StoreId,
    mark: HighWaterMark,
    log: Tree,
    catalog: Tree,
    checkpoints: Tree,
    /// Where each checkpoint begins in its tree; filled by the first read of a checkpoint.
    index: OnceLock<Vec<(u64, u64)>>,
    /// Where reading the log goes on: the position after the last block that was read, and its last
    /// value.
    cursor: Mutex<Option<(Lsn, IVec)>>,
    poison: Poison,
    _db: Db,
    _lock: Lock,
}

impl OlderStore {
    /// Opens it.
    ///
    /// # Errors
    /// Those of [`crate::SledMedium::open`].
    pub(crate) fn open(directory: &Path) -> Result<Self, StoreError> {
        let poison = Poison::default();
        reading(&poison, "open", || {
            let lock = Lock::acquire(directory)?;
            let DirectoryState::Store(StoreIdentity { store, .. }) = LAYOUT.recognize(directory)? else {
                let found = "no store of an older format".to_owned();
                return Err(StoreError::NotAStore { path: directory.to_owned(), found });
            };
            let mark = high_water_mark::read(directory, store)?;
            // Until the conversion has synced the new store, this one may be the only whole copy.
            let db = database::open(directory, &LAYOUT, store, Durability::PowerLoss)?;
            let tree = |name| database::tree(&db, name);
            let [log, catalog, checkpoints] =
                [tree("relive.log")?, tree("relive.catalog")?, tree("relive.checkpoints")?];
            let (index, cursor) = (OnceLock::new(), Mutex::default());
            let poison = Poison::default();
            Ok(Self { store, mark, log, catalog, checkpoints, index, cursor, poison, _db: db, _lock: lock })
        })
    }

    fn index(&self) -> Result<&[(u64, u64)], StoreError> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let index = values::index(&self.checkpoints)?;
        Ok(self.index.get_or_init(|| index))
    }

    fn read_block(&self, from: Lsn) -> Result<Option<StoredBlock>, StoreError> {
        let mut cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        // In order it goes on behind the last value. Otherwise it looks at all keys from the first
        // on, since they stand in the order of groups that nobody knows.
        let begin = match &*cursor {
            Some((next, last)) if *next == from => Bound::Excluded(last.clone()),
            _ => Bound::Unbounded,
        };
        let mut found = values::from(&self.log, begin)
            .skip_while(|found| found.as_ref().is_ok_and(|found| found.number() < from.get()));
        let Some(whole) = values::read(&mut found, BLOCK, BLOCK_BYTES_MAX)? else { return Ok(None) };
        let first = Lsn::new(whole.number);
        let block = whole.bytes.and_then(|bytes| match Block::decode(bytes) {
            Ok(block) if block.header().first == first => Ok(block),
            Ok(block) => Err(format!("it says that it begins at {}", block.header().first)),
            Err(malformed) => Err(malformed.to_string()),
        });
        *cursor = block.as_ref().ok().map(|block| (block.header().next(), whole.last));
        Ok(Some(StoredBlock { first, block }))
    }

    fn read_checkpoint(&self, entry: &Entry, number: CheckpointNumber) -> Result<Checkpoint, StoreError> {
        let actor = &entry.newest.actor;
        let corrupt = |what| StoreError::CorruptCheckpoint { actor: actor.clone(), number, what };
        let index = self.index()?;
        let at = index.partition_point(|(found, _)| *found < number.get());
        let begin = index.get(at).filter(|(found, _)| *found == number.get());
        let (_, group) = begin.ok_or_else(|| corrupt("it is not there".to_owned()))?;
        let key = values::key(*group, number.get());
        let mut found = values::from(&self.checkpoints, Bound::Included(key));
        let whole = values::read(&mut found, CHECKPOINT, CHECKPOINT_BYTES_MAX + HEADER_BYTES_MAX)?;
        let bytes = whole.map_or_else(|| Err("it is not there".to_owned()), |whole| whole.bytes);
        let bytes = bytes.map_err(&corrupt)?;
        let checkpoint = Checkpoint::decode(bytes).map_err(|malformed| corrupt(malformed.to_string()))?;
        let header = &checkpoint.header;
        if header.number != number || header.actor != *actor {
            return Err(corrupt(format!("{} of {} is in its place", header.number, header.actor)));
        }
        // The catalog describes only the newest one.
        if number == entry.newest.number && entry.newest != *header {
            return Err(corrupt("it is not the one that the catalog describes".to_owned()));
        }
        Ok(checkpoint)
    }

    fn takes_nothing<T>(&self) -> Result<T, StoreError> {
        let what = format!("the store {} of an older format is only read", self.store);
        Err(StoreError::Misuse { what })
    }
}

impl Log for OlderStore {
    fn extent(&self) -> Result<Extent, StoreError> {
        let HighWaterMark { start, acknowledged, epoch, .. } = self.mark;
        Ok(Extent { store: self.store, durability: Durability::PowerLoss, start, acknowledged, epoch })
    }

    fn append(&self, _block: &Block) -> Result<(), StoreError> {
        self.takes_nothing()
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.takes_nothing()
    }

    fn read(&self, from: Lsn) -> Result<Option<StoredBlock>, StoreError> {
        reading(&self.poison, "read", || self.read_block(from.max(self.mark.start)))
    }

    fn cut(&self, _below: Lsn) -> Result<Lsn, StoreError> {
        self.takes_nothing()
    }
}

impl CheckpointStore for OlderStore {
    fn put(&self, _checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        self.takes_nothing()
    }

    fn get(&self, actor: &ActorId, generation: Generation) -> Result<Option<Checkpoint>, StoreError> {
        reading(&self.poison, "get", || {
            let Some(entry) = catalog::get(&self.catalog, actor)? else { return Ok(None) };
            let number = match generation {
                Generation::Newest => entry.newest.number,
                Generation::Previous if entry.previous == NO_CHECKPOINT => return Ok(None),
                Generation::Previous => entry.previous,
            };
            self.read_checkpoint(&entry, number).map(Some)
        })
    }

    fn list(&self, visit: &mut dyn FnMut(CheckpointHeader) -> ControlFlow<()>) -> Result<(), StoreError> {
        let mut digest = CatalogDigest::new(&self.mark.at_last_cut);
        let mut last = None;
        loop {
            let page = reading(&self.poison, "list", || catalog::page(&self.catalog, last.as_ref()))?;
            let Some(end) = page.last() else { break };
            last = Some(end.newest.actor.clone());
            for entry in page {
                digest.add(&entry);
                if visit(entry.newest).is_break() {
                    return Ok(());
                }
            }
        }
        digest.finish(&self.mark.at_last_cut, &self.mark.latest)
    }
}

const BLOCK: u32 = u32::from_le_bytes(*b"RLBP");
const CHECKPOINT: u32 = u32::from_le_bytes(*b"RLCP");
/// More bytes than stand before the content of an encoded checkpoint.
const HEADER_BYTES_MAX: usize = 64;
