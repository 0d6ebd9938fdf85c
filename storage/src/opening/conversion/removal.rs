//! Removes a directory that a conversion has left or no longer needs, but no file that is not a
//! store's. Knows the names of files (`docs/format.md`), and nothing of their content.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::boundary;
use crate::contract::error::StoreError;
use crate::directory::{LOCK_FILE, Lock, file_names, io_error, sync_directory};
use crate::opening::directory_medium::Media;

/// Removes what an earlier conversion of the store in `directory` has left in `left`. It recognizes
/// those remains by their lock file, which a conversion makes first and removes last.
///
/// # Errors
/// [`StoreError::NotAStore`] when `left` is something else; [`StoreError::Locked`];
/// [`StoreError::Io`].
pub(super) fn remove_left(left: &Path, directory: &Path, media: Media) -> Result<(), StoreError> {
    let found = match fs::symlink_metadata(left) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(io_error("open", left))?,
    };
    let other = |found: &str| StoreError::NotAStore { path: left.to_owned(), found: found.to_owned() };
    if !found.is_dir() {
        return Err(other("no directory"));
    }
    let names = file_names(left)?;
    if !names.is_empty() && !names.iter().any(|name| name == LOCK_FILE) {
        return Err(other(&names[..names.len().min(3)].join(", ")));
    }
    // Another process may have opened it as a store, under its own name.
    let _lock = Lock::acquire(left)?;
    tracing::warn!(path = %left.display(), "removing what an earlier conversion has left");
    discard(left, directory, media)?;
    boundary!("convert.left");
    Ok(())
}

/// Removes a directory with all files of a store in it. Moves other files to the directory of the
/// store.
pub(super) fn discard(directory: &Path, store: &Path, media: Media) -> Result<(), StoreError> {
    let (ours, others): (Vec<_>, Vec<_>) =
        file_names(directory)?.into_iter().partition(|name| is_store_file(name, media));
    // Before anything is removed: they are a user's, and the directory goes.
    for name in &others {
        let (from, to) = (directory.join(name), store.join(name));
        fs::rename(&from, &to).map_err(io_error("rename", &from))?;
    }
    if !others.is_empty() {
        sync_directory(store)?;
    }
    for name in ours.iter().filter(|name| *name != LOCK_FILE) {
        let path = directory.join(name);
        let found = fs::symlink_metadata(&path).map_err(io_error("open", &path))?;
        let removed = if found.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(io_error("remove", &path))?;
    }
    // The lock file goes last: without it the next conversion would not recognize the rest.
    sync_directory(directory)?;
    boundary!("convert.emptied");
    let lock = directory.join(LOCK_FILE);
    match fs::remove_file(&lock) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(io_error("remove", &lock)(error)),
        _ => {}
    }
    fs::remove_dir(directory).map_err(io_error("remove", directory))?;
    directory.parent().map_or(Ok(()), sync_directory)
}

/// Whether a file of this name belongs to a store, on any medium.
fn is_store_file(name: &str, media: Media) -> bool {
    name.starts_with("relive.") || media.iter().any(|medium| medium.has_file(name))
}
