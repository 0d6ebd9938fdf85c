//! A store on sled of format 1 or 2, to be read once from its beginning to its end. Takes no block and no checkpoint.

use std::fs::File;
use std::io::Read;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use sled::{Db, IVec, Tree};

use super::catalog::{self, Entry, NO_CHECKPOINT};
use super::census::Census;
use super::mark::{self, MARK, Mark};
use super::values;
use crate::directory::{Found, Identity, Layout, Lock, STORE, io_error, is_no_file};
use crate::limits::{BLOCK_BYTES_MAX, CHECKPOINT_BYTES_MAX};
use crate::medium::sled::{self as medium, CONF, CREATING, DATA};
use crate::poison::Poison;
use crate::position::{CheckpointNumber, StoreId};
use crate::{
    ActorId, Block, Checkpoint, CheckpointHeader, CheckpointStore, Durability, Extent, Generation, Log, Lsn,
    MediumKind, StoreError, StoredBlock,
};

/// The newest format that is read here.
const FORMAT: u32 = 2;

const LAYOUT: Layout = Layout {
    medium: MediumKind::Sled,
    oldest: 1,
    format: FORMAT,
    creating: CREATING,
    needed: &[
        (MARK, "how far the log was acknowledged is not known"),
        (CONF, "sled would take the data for something else"),
        (DATA, "all that was stored is in it"),
    ],
    is_ours: |name| name == MARK,
};

/// Whether a directory holds such a store, as far as the beginning of one of its files says.
pub(crate) fn is_old(directory: &Path) -> Result<bool, StoreError> {
    let path = directory.join(STORE);
    let mut begin = [0; 8];
    match File::open(&path).and_then(|mut file| file.read_exact(&mut begin)) {
        Ok(()) => {}
        Err(error) if is_no_file(&error) => return Ok(false),
        Err(error) => return Err(io_error("read", &path)(error)),
    }
    let begin = u64::from_le_bytes(begin);
    let old = |format| u64::from(MediumKind::Sled.magic()) | format << 32;
    Ok((1..=FORMAT).any(|format| begin == old(u64::from(format))))
}

/// Such a store, open. Fields are dropped in order: sled and the lock last.
pub(crate) struct OldSled {
    store: StoreId,
    mark: Mark,
    log: Tree,
    catalog: Tree,
    checkpoints: Tree,
    /// Where each checkpoint begins in its tree, once one was asked for.
    index: OnceLock<Vec<(u64, u64)>>,
    /// Where reading the log goes on: the position after the last block that was read, and its last value.
    cursor: Mutex<Option<(Lsn, IVec)>>,
    poison: Poison,
    _db: Db,
    _lock: Lock,
}

impl OldSled {
    /// Opens it.
    ///
    /// # Errors
    /// As those of [`crate::SledMedium::open`].
    pub(crate) fn open(directory: &Path) -> Result<Self, StoreError> {
        let poison = Poison::default();
        medium::reading(&poison, "open", || {
            let lock = Lock::acquire(directory)?;
            let Found::Store(Identity { store, .. }) = LAYOUT.survey(directory)? else {
                let found = "no store of an older format".to_owned();
                return Err(StoreError::NotAStore { path: directory.to_owned(), found });
            };
            let mark = mark::read(directory, store)?;
            // It may be all that holds the store, until what is made of it is stable.
            let db = medium::open(directory, &LAYOUT, store, Durability::PowerLoss)?;
            let tree = |name| medium::tree(&db, name);
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

impl Log for OldSled {
    fn extent(&self) -> Result<Extent, StoreError> {
        let Mark { start, acknowledged, epoch, .. } = self.mark;
        Ok(Extent { store: self.store, durability: Durability::PowerLoss, start, acknowledged, epoch })
    }

    fn append(&self, _block: &Block) -> Result<(), StoreError> {
        self.takes_nothing()
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.takes_nothing()
    }

    fn read(&self, from: Lsn) -> Result<Option<StoredBlock>, StoreError> {
        medium::reading(&self.poison, "read", || self.read_block(from.max(self.mark.start)))
    }

    fn cut(&self, _below: Lsn) -> Result<Lsn, StoreError> {
        self.takes_nothing()
    }
}

impl CheckpointStore for OldSled {
    fn put(&self, _checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        self.takes_nothing()
    }

    fn get(&self, actor: &ActorId, generation: Generation) -> Result<Option<Checkpoint>, StoreError> {
        medium::reading(&self.poison, "get", || {
            let Some(entry) = catalog::get(&self.catalog, actor)? else { return Ok(None) };
            let number = match generation {
                Generation::Newest => entry.newest.number,
                Generation::Previous if entry.previous == NO_CHECKPOINT => return Ok(None),
                Generation::Previous => entry.previous,
            };
            self.read_checkpoint(&entry, number).map(Some)
        })
    }

    fn list(
        &self,
        visit: &mut dyn FnMut(CheckpointHeader) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut census = Census::new(&self.mark.seal);
        let mut last = None;
        loop {
            let page = medium::reading(&self.poison, "list", || catalog::page(&self.catalog, last.as_ref()))?;
            let Some(end) = page.last() else { break };
            last = Some(end.newest.actor.clone());
            for entry in page {
                census.add(&entry);
                visit(entry.newest)?;
            }
        }
        census.finish(&self.mark.seal, &self.mark.latest)
    }
}

const BLOCK: u32 = u32::from_le_bytes(*b"RLBP");
const CHECKPOINT: u32 = u32::from_le_bytes(*b"RLCP");
/// More than stands before the content of an encoded checkpoint.
const HEADER_BYTES_MAX: usize = 64;
