//! Removes a directory that a conversion has left, or does not need any more, and nothing that is not a store's. Knows which
//! names the files of a store have on all media (`docs/format.md`), and nothing of what is in them.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::directory::{LOCK, Lock, io_error, names, sync_directory};
use crate::{StoreError, boundary};

/// Removes what an earlier conversion of the store in `directory` has left in `left`. That is recognized by its lock file,
/// which is the first that is made and the last that is removed.
///
/// # Errors
/// [`StoreError::NotAStore`] when it is something else; [`StoreError::Locked`]; [`StoreError::Io`].
pub(super) fn remove_left(left: &Path, directory: &Path) -> Result<(), StoreError> {
    let found = match fs::symlink_metadata(left) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(io_error("open", left))?,
    };
    let other = |found: &str| StoreError::NotAStore { path: left.to_owned(), found: found.to_owned() };
    if !found.is_dir() {
        return Err(other("no directory"));
    }
    let names = names(left)?;
    if !names.is_empty() && !names.iter().any(|name| name == LOCK) {
        return Err(other(&names[..names.len().min(3)].join(", ")));
    }
    // Somebody may have opened it as a store, under its own name.
    let _lock = Lock::acquire(left)?;
    tracing::warn!(path = %left.display(), "removing what an earlier conversion has left");
    discard(left, directory)?;
    boundary!("convert.left");
    Ok(())
}

/// Removes a directory with all files of a store in it. What is not a store's goes to where the store is.
pub(super) fn discard(directory: &Path, store: &Path) -> Result<(), StoreError> {
    let (ours, others): (Vec<_>, Vec<_>) = names(directory)?.into_iter().partition(|name| is_a_stores(name));
    for name in &others {
        let (from, to) = (directory.join(name), store.join(name));
        fs::rename(&from, &to).map_err(io_error("rename", &from))?;
    }
    if !others.is_empty() {
        sync_directory(store)?;
    }
    for name in ours.iter().filter(|name| *name != LOCK) {
        let path = directory.join(name);
        let found = fs::symlink_metadata(&path).map_err(io_error("open", &path))?;
        let removed = if found.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(io_error("remove", &path))?;
    }
    // Without its lock file the rest would be taken for something else.
    sync_directory(directory)?;
    boundary!("convert.emptied");
    let lock = directory.join(LOCK);
    match fs::remove_file(&lock) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(io_error("remove", &lock)(error)),
        _ => {}
    }
    fs::remove_dir(directory).map_err(io_error("remove", directory))?;
    directory.parent().map_or(Ok(()), sync_directory)
}

/// Whether a file of this name is one of a store, on whatever medium.
fn is_a_stores(name: &str) -> bool {
    ["conf", "db", "blobs"].contains(&name)
        || ["relive.", "segment.", "stream.", "snap."].iter().any(|beginning| name.starts_with(beginning))
}
