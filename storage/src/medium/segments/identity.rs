//! Whether a directory is new, is one of ours, or is something else; and the file that says which store it is. Reads names
//! and that file only, and knows no value.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;

use super::names::{CREATING, MANIFEST, MANIFEST_NEW, SEGMENT, STORE, STORE_NEW, SUPER, number};
use crate::directory::{LOCK, check_medium, io_error, names, remembered, sync_directory, write_synced};
use crate::position::StoreId;
use crate::wire::{Malformed, Reader};
use crate::{MediumKind, StoreError};

/// The format of the directory and of all of its files.
pub(super) const FORMAT: u32 = 1;

/// What a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is none.
    Nothing,
    /// Nothing is in it.
    Empty,
    /// Remains of a creation that was never finished, in which nothing was ever stored.
    Unfinished,
    /// A store, with all the files that can't be done without.
    Store(StoreId),
}

/// Finds out what a directory is; changes nothing.
pub(super) fn survey(directory: &Path) -> Result<Found, StoreError> {
    match fs::metadata(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(io_error("open", directory)(error)),
        Ok(found) if !found.is_dir() => return Err(not_a_store(directory, "a file, not a directory")),
        Ok(_) => {}
    }
    let names = names(directory)?;
    let has = |name: &str| names.iter().any(|found| found == name);
    if has(STORE) {
        let store = read(directory)?;
        require(directory, SUPER, has(SUPER), "what was acknowledged is not known")?;
        require(directory, MANIFEST, has(MANIFEST), "of which segments the log consists is not known")?;
        return Ok(Found::Store(store));
    }
    let lost = "this directory once held a store, and which one is not known";
    let is_remembered = remembered(directory)?.is_some();
    require(directory, STORE, !is_remembered, lost)?;
    if has(CREATING) {
        return Ok(Found::Unfinished);
    }
    if names.iter().all(|name| name == LOCK) {
        return Ok(Found::Empty);
    }
    let ours = names
        .iter()
        .any(|name| [SUPER, MANIFEST].contains(&name.as_str()) || number(name, SEGMENT).is_some());
    require(directory, STORE, !ours, lost)?;
    let found = names.into_iter().filter(|name| name != LOCK).take(3);
    Err(not_a_store(directory, &found.collect::<Vec<_>>().join(", ")))
}

/// Removes what an unfinished creation left, the marker of it last; leaves everything that it never makes.
pub(super) fn clear(directory: &Path) -> Result<(), StoreError> {
    for name in names(directory)? {
        if [STORE_NEW, SUPER, MANIFEST, MANIFEST_NEW].contains(&name.as_str()) {
            let path = directory.join(&name);
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    sync_directory(directory)?;
    finish(directory)
}

/// Marks the beginning of a creation.
pub(super) fn begin(directory: &Path) -> Result<(), StoreError> {
    write_synced(&directory.join(CREATING), b"")?;
    sync_directory(directory)
}

/// Writes the file that makes a directory a store, in one step.
pub(super) fn write(directory: &Path, store: StoreId) -> Result<(), StoreError> {
    let new = directory.join(STORE_NEW);
    write_synced(&new, &encode(store))?;
    fs::rename(&new, directory.join(STORE)).map_err(io_error("rename", &new))?;
    sync_directory(directory)
}

/// Removes the marker of a creation, if it is there.
pub(super) fn finish(directory: &Path) -> Result<(), StoreError> {
    let marker = directory.join(CREATING);
    match fs::remove_file(&marker) {
        Ok(()) => sync_directory(directory),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error("remove", &marker)(error)),
    }
}

/// The error of files of two stores in one directory.
pub(super) fn mixed(place: &Path, expected: StoreId, found: StoreId) -> StoreError {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    StoreError::Mixed {
        path: place.parent().unwrap_or(place).to_owned(),
        expected: expected.to_string(),
        found: format!("{found} (in {name})"),
    }
}

fn encode(store: StoreId) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC.to_le_bytes());
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&store.get().to_le_bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn read(directory: &Path) -> Result<StoreId, StoreError> {
    let path = directory.join(STORE);
    let bytes = Bytes::from(fs::read(&path).map_err(io_error("read", &path))?);
    let damaged = |malformed: Malformed| StoreError::CorruptStore {
        what: format!("{} says no store: {malformed}", path.display()),
    };
    let mut reader = Reader::new(&bytes);
    let magic = reader.u32().map_err(damaged)?;
    check_medium(MediumKind::SegmentFiles, directory, magic)?;
    if magic != MAGIC {
        return Err(damaged(Malformed("it does not begin as it should")));
    }
    // Magic and version stand first in every format to come, so that a newer one can be told from damage.
    let format = reader.u32().map_err(damaged)?;
    if format > FORMAT {
        return Err(StoreError::NewerFormat { path, found: format, supported: FORMAT });
    }
    let store = reader.u128().map_err(damaged)?;
    let whole = bytes.get(..reader.position()).unwrap_or_default();
    let crc = reader.u32().map_err(damaged)?;
    if crc != crc32fast::hash(whole) || !reader.is_empty() || format == 0 {
        return Err(damaged(Malformed("its checksum does not match")));
    }
    Ok(StoreId::new(store))
}

fn require(directory: &Path, name: &str, there: bool, consequence: &'static str) -> Result<(), StoreError> {
    if there {
        return Ok(());
    }
    Err(StoreError::Missing { path: directory.join(name), consequence })
}

fn not_a_store(directory: &Path, found: &str) -> StoreError {
    StoreError::NotAStore { path: directory.to_owned(), found: found.to_owned() }
}

const MAGIC: u32 = u32::from_le_bytes(*b"RLSG");
