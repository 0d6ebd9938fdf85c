//! Makes and opens sled itself. Knows the store that it belongs to, and no tree.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use relive_storage::medium_support::{DirectoryLayout, file_names, io_error, sync_directory};
use relive_storage::{Durability, StoreError, StoreId};
use sled::{Db, Tree};

use super::segment_backup;
use crate::failures::backend;
use crate::names::{ASIDE, BLOBS, CONF, DATA, SNAPSHOT};
use crate::tuning::{CACHE_BYTES, FLUSH_EVERY_MS, SEGMENT_BYTES};

/// Makes sled's database in a directory that has none, with a tree and the store's id in it, and
/// syncs its files.
pub(crate) fn create(
    directory: &Path,
    layout: &DirectoryLayout,
    store: StoreId,
    tree: &str,
) -> Result<Db, StoreError> {
    let db = open_sled(directory)?;
    db.open_tree(tree).map_err(backend("make a tree"))?;
    db.insert(STORE_KEY, layout.encode(store)).map_err(backend("write the store's id"))?;
    // sled's flush hands the data to the system, and syncs nothing.
    db.flush().map_err(backend("flush"))?;
    for name in [CONF, DATA] {
        let path = directory.join(name);
        let file = File::open(&path).map_err(io_error("open", &path))?;
        file.sync_all().map_err(io_error("sync", &path))?;
    }
    sync_directory(&directory.join(BLOBS))?;
    sync_directory(directory)?;
    Ok(db)
}

/// Opens the database of a store, and checks that it belongs to that store. `tier` says whether the
/// opening must survive a loss of power.
pub(crate) fn open(
    directory: &Path,
    layout: &DirectoryLayout,
    store: StoreId,
    tier: Durability,
) -> Result<Db, StoreError> {
    // All of this before sled opens: it takes what it finds for its own, and overwrites the rest.
    remove_half_snapshots(directory)?;
    empty_aside(directory)?;
    segment_backup::restore(directory, store)?;
    if tier == Durability::PowerLoss {
        segment_backup::save(directory, store)?;
    }
    let db = open_sled(directory)?;
    // Before any write of this opening: a backup that is put back later would undo it.
    segment_backup::discard(directory)?;
    let id = db.get(STORE_KEY).map_err(backend("read the store's id"))?;
    let Some(id) = id else {
        let what = "the store's id is gone from its data".to_owned();
        return Err(StoreError::CorruptStore { what });
    };
    let found = layout.decode(&id.to_vec().into(), &directory.join(DATA))?;
    if found.store != store {
        return Err(StoreError::Mixed {
            path: directory.to_owned(),
            expected: store.to_string(),
            found: format!("{} (in its data)", found.store),
        });
    }
    Ok(db)
}

/// Writes today's format beside the store's id, when an older one stands there. Returns whether it
/// did; the caller then syncs.
pub(crate) fn raise_format(db: &Db, layout: &DirectoryLayout, store: StoreId) -> Result<bool, StoreError> {
    let today = layout.encode(store);
    let found = db.get(STORE_KEY).map_err(backend("read the store's id"))?;
    if found.is_some_and(|found| *found == *today) {
        return Ok(false);
    }
    db.insert(STORE_KEY, today).map_err(backend("write the store's format"))?;
    Ok(true)
}

/// Opens an existing tree. sled itself would create a missing one.
pub(crate) fn tree(db: &Db, name: &str) -> Result<Tree, StoreError> {
    if db.tree_names().iter().any(|found| found == name.as_bytes()) {
        return db.open_tree(name).map_err(backend("open a tree"));
    }
    Err(StoreError::CorruptStore { what: format!("{name} is gone from its data") })
}

fn open_sled(directory: &Path) -> Result<Db, StoreError> {
    let config = sled::Config::new()
        .path(directory)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(FLUSH_EVERY_MS);
    let since = Instant::now();
    loop {
        match config.open() {
            Ok(db) => return Ok(db),
            Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock") => {
                // This handle holds relive's lock. So sled's lock belongs to a dropped handle whose
                // sled still ends, which is why this tries again, or to a program that opened the
                // directory with sled alone.
                if since.elapsed() >= LINGER {
                    return Err(locked_by_sled(directory));
                }
                std::thread::sleep(LINGER / 50);
            }
            Err(error) => return Err(backend("open its data")(error)),
        }
    }
}

/// A process that dies while sled opens leaves a half-written snapshot, which sled would take for
/// its newest. Nothing needs it, because the data hold everything that a snapshot does, or the
/// segment backup restores them to that.
fn remove_half_snapshots(directory: &Path) -> Result<(), StoreError> {
    let mut removed = 0_u32;
    for name in file_names(directory)?.iter().filter(|name| is_half_snapshot(name)) {
        let path = directory.join(name);
        fs::remove_file(&path).map_err(io_error("remove", &path))?;
        tracing::warn!(path = %path.display(), "removed a half-written snapshot");
        removed += 1;
    }
    if removed > 0 { sync_directory(directory) } else { Ok(()) }
}

/// Earlier versions moved such snapshots into a directory of the store and left them there. This
/// removes them, and leaves other files there.
fn empty_aside(directory: &Path) -> Result<(), StoreError> {
    let aside = directory.join(ASIDE);
    if !aside.is_dir() {
        return Ok(());
    }
    let found = file_names(&aside)?;
    for name in &found {
        // They have their old names and a number.
        if name.rsplit_once('.').is_some_and(|(name, _)| is_half_snapshot(name)) {
            let path = aside.join(name);
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    if file_names(&aside)?.is_empty() {
        fs::remove_dir(&aside).map_err(io_error("remove", &aside))?;
    }
    Ok(())
}

fn is_half_snapshot(name: &str) -> bool {
    name.starts_with(SNAPSHOT) && name.ends_with(GENERATING)
}

const STORE_KEY: &[u8] = b"relive.store";
const GENERATING: &str = ".generating";
const LINGER: Duration = Duration::from_secs(1);

/// The error when relive's lock is free, but sled's own lock on the data is held.
fn locked_by_sled(directory: &Path) -> StoreError {
    let holder = "a program that opened its data with sled alone, or was given them by one that had it open";
    StoreError::Locked { path: directory.to_owned(), holder: holder.to_owned() }
}
