//! Whether a directory is new, is a store of ours, or is something else; and the file that says which store it is.
//! Reads names and side files only, before sled sees the directory. Called when a store is opened.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::files::{ASIDE, BLOBS, CONF, CREATING, DATA, MARK, SNAPSHOT, STORE, STORE_NEW};
use crate::directory::{LOCK, check_medium, io_error, names, remembered, sync_directory, write_synced};
use crate::position::StoreId;
use crate::wire::{Malformed, Reader};
use crate::{MediumKind, StoreError};

/// The format of the directory: its files, sled's trees, their keys and the headers of their values. What stands in
/// blocks and checkpoints has versions of its own, of which none may be newer than a reader of this format knows.
/// Version 2 has frames of version 2; all else is as in version 1.
pub(super) const FORMAT: u32 = 2;

/// Which store something is of, and the format that it says it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) store: StoreId,
    pub(super) format: u32,
}

impl Identity {
    /// Whether it was written by an older version.
    pub(super) fn is_older(self) -> bool {
        self.format < FORMAT
    }
}

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
    Store(Identity),
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
        let identity = read(directory)?;
        require(directory, MARK, has(MARK), "how far the log was acknowledged is not known")?;
        require(directory, CONF, has(CONF), "sled would take the data for something else")?;
        require(directory, DATA, has(DATA), "all that was stored is in it")?;
        return Ok(Found::Store(identity));
    }
    let lost = "this directory once held a store, and which one is not known";
    if remembered(directory)?.is_some() {
        require(directory, STORE, false, lost)?;
    }
    if has(CREATING) {
        return Ok(Found::Unfinished);
    }
    if names.iter().all(|name| name == LOCK) {
        return Ok(Found::Empty);
    }
    let ours = names.iter().any(|name| [MARK, STORE_NEW, ASIDE].contains(&name.as_str()));
    require(directory, STORE, !ours, lost)?;
    let found = names.into_iter().filter(|name| name != LOCK).take(3);
    Err(not_a_store(directory, &found.collect::<Vec<_>>().join(", ")))
}

/// Removes what an unfinished creation left, the marker of it last; leaves everything that we never make.
pub(super) fn clear(directory: &Path) -> Result<(), StoreError> {
    for name in names(directory)? {
        let path = directory.join(&name);
        let file = [STORE_NEW, MARK, CONF, DATA].contains(&name.as_str()) || name.starts_with(SNAPSHOT);
        let removed = if file {
            fs::remove_file(&path)
        } else if name == BLOBS {
            fs::remove_dir_all(&path)
        } else {
            Ok(())
        };
        removed.map_err(io_error("remove", &path))?;
    }
    sync_directory(directory)?;
    finish(directory)
}

/// Marks the beginning of a creation.
pub(super) fn begin(directory: &Path) -> Result<(), StoreError> {
    write_synced(&directory.join(CREATING), b"")?;
    sync_directory(directory)
}

/// Writes the file that makes a directory a store, or one of today's format, in one step.
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

/// What is kept beside the data, and in it.
pub(super) fn encode(store: StoreId) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC.to_le_bytes());
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&store.get().to_le_bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Decodes untrusted bytes; `place` is where they were found.
pub(super) fn decode(bytes: &Bytes, place: &Path) -> Result<Identity, StoreError> {
    let damaged = |malformed: Malformed| StoreError::CorruptStore {
        what: format!("{} says no store: {malformed}", place.display()),
    };
    let mut reader = Reader::new(bytes);
    let magic = reader.u32().map_err(damaged)?;
    check_medium(MediumKind::Sled, place.parent().unwrap_or(place), magic)?;
    if magic != MAGIC {
        return Err(damaged(Malformed("it does not begin as it should")));
    }
    // Magic and version stand first in every format to come, so that a newer one can be told from damage.
    let format = reader.u32().map_err(damaged)?;
    if format > FORMAT {
        return Err(StoreError::NewerFormat { path: place.to_owned(), found: format, supported: FORMAT });
    }
    let store = reader.u128().map_err(damaged)?;
    let whole = bytes.get(..reader.position()).unwrap_or_default();
    let crc = reader.u32().map_err(damaged)?;
    if crc != crc32fast::hash(whole) || !reader.is_empty() || format == 0 {
        return Err(damaged(Malformed("its checksum does not match")));
    }
    Ok(Identity { store: StoreId::new(store), format })
}

fn read(directory: &Path) -> Result<Identity, StoreError> {
    let path = directory.join(STORE);
    let bytes = fs::read(&path).map_err(io_error("read", &path))?;
    decode(&bytes.into(), &path)
}

fn require(directory: &Path, name: &str, there: bool, consequence: &'static str) -> Result<(), StoreError> {
    if there {
        return Ok(());
    }
    let path: PathBuf = directory.join(name);
    Err(StoreError::Missing { path, consequence })
}

fn not_a_store(directory: &Path, found: &str) -> StoreError {
    StoreError::NotAStore { path: directory.to_owned(), found: found.to_owned() }
}

const MAGIC: u32 = u32::from_le_bytes(*b"RLVS");
