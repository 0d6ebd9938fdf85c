//! Opens the directory of a medium on sled, or makes one: recognizes it, and syncs what sled has
//! recovered. Changes nothing before it has recognized the directory.

use std::fs;
use std::path::Path;

use relive_storage::medium_support::{DirectoryState, Lock, StoreIdentity, SuperblockFile, make_directory};
use relive_storage::{Durability, StoreError, StoreId, boundary};
use sled::Db;

use super::identity::{self, FORMAT, LAYOUT};
use crate::engine::database;
use crate::engine::sync::Syncer;
use crate::tree::streams::Streams;
use crate::tree::values::Values;

/// An open medium. Fields are dropped in order: sled and the lock last.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: StoreId,
    pub(crate) superblock: SuperblockFile,
    pub(crate) streams: Streams,
    pub(crate) syncer: Syncer,
    pub(crate) values: Values,
    pub(crate) db: Db,
    _lock: Lock,
}

/// Opens the medium of a directory, or makes one there, for a store of that id if one is given.
/// Takes the lock first.
pub(crate) fn open(
    directory: &Path,
    tier: Durability,
    wanted: Option<StoreId>,
) -> Result<Opened, StoreError> {
    let (lock, found) = LAYOUT.claim(directory)?;
    boundary!("open.locked");
    let (identity, db) = match found {
        DirectoryState::Store(found) => {
            let store = found.store;
            // A creation may have ended after the identity file, and before these.
            LAYOUT.finish_creation(directory)?;
            if lock.store()? != Some(store) {
                lock.remember(store)?;
            }
            warn_if_not_private(directory);
            (found, None)
        }
        found => {
            if found == DirectoryState::Unfinished {
                tracing::warn!(path = %directory.display(), "removing an unfinished creation, and creating anew");
                identity::clear(directory)?;
            }
            let (store, db) = create(directory, &lock, wanted)?;
            (StoreIdentity { store, format: FORMAT }, Some(db))
        }
    };
    let store = identity.store;
    let superblock = SuperblockFile::open(directory, store, tier == Durability::PowerLoss)?;
    boundary!("open.mark");
    let syncer = Syncer::open(directory, tier)?;
    // A descriptor from before sled's first write hears of a write that fails.
    let db = db.map_or_else(|| database::open(directory, &LAYOUT, store, tier), Ok)?;
    boundary!("open.data");
    // The recovered data may be only in the page cache, and the next commit builds on them.
    syncer.sync(&db)?;
    let values = Values::new(database::tree(&db, TREE)?);
    let streams = Streams::new(values.streams()?);
    // Now that its files are read. The identity file first: an older version stops at that, and
    // leaves sled alone.
    LAYOUT.raise_format(directory, identity)?;
    if database::raise_format(&db, &LAYOUT, store)? {
        boundary!("open.format.data");
        syncer.sync(&db)?;
    }
    Ok(Opened { store, superblock, streams, syncer, values, db, _lock: lock })
}

fn create(directory: &Path, lock: &Lock, wanted: Option<StoreId>) -> Result<(StoreId, Db), StoreError> {
    make_directory(directory)?;
    LAYOUT.begin_creation(directory)?;
    boundary!("create.begun");
    let store = wanted.unwrap_or_else(StoreId::random);
    SuperblockFile::create(directory, store)?;
    boundary!("create.mark");
    let db = database::create(directory, &LAYOUT, store, TREE)?;
    boundary!("create.data");
    // The identity file comes last, when all other files are synced: it makes the directory a
    // store.
    LAYOUT.write_identity(directory, store)?;
    boundary!("create.named");
    lock.remember(store)?;
    LAYOUT.finish_creation(directory)?;
    Ok((store, db))
}

/// Warns when other users can read or write the directory; the opening goes on.
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

const TREE: &str = "relive.values";
