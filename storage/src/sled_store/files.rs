//! The names of the files in a store's directory, and the few things done with files, with errors that name them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::StoreError;

/// Says which store this is; written last, so that it stands for a finished creation.
pub(super) const STORE: &str = "relive.store";
/// What [`STORE`] is written as before it is renamed.
pub(super) const STORE_NEW: &str = "relive.store.new";
/// Says how far the log was acknowledged.
pub(super) const MARK: &str = "relive.mark";
/// Held by whoever has the store open.
pub(super) const LOCK: &str = "relive.lock";
/// There as long as a creation is not finished.
pub(super) const CREATING: &str = "relive.creating";
/// What sled may overwrite while it opens; there as long as that is not through.
pub(super) const RESCUE: &str = "relive.rescue";
/// What [`RESCUE`] is written as before it is renamed.
pub(super) const RESCUE_NEW: &str = "relive.rescue.new";
/// Where earlier versions put half-written snapshots of sled's.
pub(super) const ASIDE: &str = "relive.aside";
/// sled's configuration.
pub(super) const CONF: &str = "conf";
/// sled's data.
pub(super) const DATA: &str = "db";
/// sled's large values, which we never make.
pub(super) const BLOBS: &str = "blobs";
/// How the names of sled's snapshots begin.
pub(super) const SNAPSHOT: &str = "snap.";

/// Makes an error of the operating system one of ours.
pub(super) fn io_error<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |error| StoreError::Io { action, path: path.to_owned(), reason: Arc::new(error) }
}

/// Makes the names in a directory stable.
pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let directory = File::open(path).map_err(io_error("open", path))?;
    directory.sync_all().map_err(io_error("sync", path))
}

/// Writes a new file and makes its content stable; its name only after [`sync_directory`].
pub(super) fn write_synced(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let mut file = File::create(path).map_err(io_error("create", path))?;
    file.write_all(content).map_err(io_error("write", path))?;
    file.sync_all().map_err(io_error("sync", path))
}

/// The names in a directory, sorted.
pub(super) fn names(path: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(io_error("list", path))? {
        let entry = entry.map_err(io_error("list", path))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
