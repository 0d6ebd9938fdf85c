//! Opens the directory of a medium on sled, or makes one: recognizes it, and makes stable what sled has recovered. Changes
//! nothing before it has recognized the directory.

use std::fs;
use std::path::Path;

use sled::Db;

use super::engine;
use super::identity::{self, LAYOUT};
use super::stable::Stable;
use super::streams::Streams;
use super::tree::Values;
use crate::directory::{Found, Lock, make_directory};
use crate::medium::superblock_file::SuperFile;
use crate::position::StoreId;
use crate::random::random_u128;
use crate::{Durability, StoreError, boundary};

/// An open medium. Fields are dropped in order: sled and the lock last.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) store: StoreId,
    pub(super) superblock: SuperFile,
    pub(super) streams: Streams,
    pub(super) stable: Stable,
    pub(super) values: Values,
    pub(super) db: Db,
    _lock: Lock,
}

/// Opens the medium of a directory, or makes one there, for a store of that id if one is given. Takes the lock first.
pub(super) fn open(
    directory: &Path,
    tier: Durability,
    wanted: Option<StoreId>,
) -> Result<Opened, StoreError> {
    if LAYOUT.survey(directory)? == Found::Nothing {
        make_directory(directory)?;
    }
    let lock = Lock::acquire(directory)?;
    boundary!("open.locked");
    // Once more, because the one who had the lock until now may have made it.
    let (store, db) = match LAYOUT.survey(directory)? {
        Found::Store(found) => {
            let store = found.store;
            LAYOUT.finish(directory)?;
            if lock.store()? != Some(store) {
                lock.remember(store)?;
            }
            warn_if_not_private(directory);
            (store, None)
        }
        found => {
            if found == Found::Unfinished {
                tracing::warn!(path = %directory.display(), "removing an unfinished creation, and creating anew");
                identity::clear(directory)?;
            }
            let (store, db) = create(directory, &lock, wanted)?;
            (store, Some(db))
        }
    };
    let superblock = SuperFile::open(directory, store, tier == Durability::PowerLoss)?;
    boundary!("open.mark");
    let stable = Stable::open(directory, tier)?;
    let db = db.map_or_else(|| engine::open(directory, &LAYOUT, store, tier), Ok)?;
    boundary!("open.data");
    // What was recovered may be in the page cache only; from here on things are built on it.
    stable.flush(&db)?;
    let values = Values::new(engine::tree(&db, TREE)?);
    let streams = Streams::new(values.streams()?);
    Ok(Opened { store, superblock, streams, stable, values, db, _lock: lock })
}

fn create(directory: &Path, lock: &Lock, wanted: Option<StoreId>) -> Result<(StoreId, Db), StoreError> {
    make_directory(directory)?;
    LAYOUT.begin(directory)?;
    boundary!("create.begun");
    let store = wanted.unwrap_or_else(|| StoreId::new(random_u128()));
    SuperFile::create(directory, store)?;
    boundary!("create.mark");
    let db = engine::create(directory, &LAYOUT, store, TREE)?;
    boundary!("create.data");
    // The file that makes the directory a store comes when all the rest is stable.
    LAYOUT.write(directory, store)?;
    boundary!("create.named");
    lock.remember(store)?;
    LAYOUT.finish(directory)?;
    Ok((store, db))
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

const TREE: &str = "relive.values";
