//! The file that says which store a directory holds and on which medium, and what a directory is that may hold one. Knows no
//! other file of a medium; each says itself which are its own.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;

use super::files::{io_error, names, sync_directory, write_synced};
use super::lock::{LOCK, remembered};
use crate::StoreError;
use crate::medium_kind::MediumKind;
use crate::position::StoreId;
use crate::wire::{Malformed, Reader};

/// Says which store this is; written last, so that it stands for a finished creation.
pub(crate) const STORE: &str = "relive.store";
/// What [`STORE`] is written as before it is renamed.
pub(crate) const STORE_NEW: &str = "relive.store.new";

/// Which store something is of, and the format that it says it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) store: StoreId,
    pub(crate) format: u32,
}

/// What a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is none.
    Nothing,
    /// Nothing is in it.
    Empty,
    /// Remains of a creation that was never finished, in which nothing was ever stored.
    Unfinished,
    /// A store, with all the files that can't be done without.
    Store(Identity),
}

/// The files of a medium, as far as they tell what a directory is.
pub(crate) struct Layout {
    pub(crate) medium: MediumKind,
    /// The oldest format that is read.
    pub(crate) oldest: u32,
    /// The newest format that is read, and the one that is written.
    pub(crate) format: u32,
    /// There as long as a creation is not finished.
    pub(crate) creating: &'static str,
    /// What a store can't be without, and what can't be known then.
    pub(crate) needed: &'static [(&'static str, &'static str)],
    /// Whether a file of this name is left of a store whose [`STORE`] is gone.
    pub(crate) is_ours: fn(&str) -> bool,
}

impl Layout {
    /// Finds out what a directory is; changes nothing.
    pub(crate) fn survey(&self, directory: &Path) -> Result<Found, StoreError> {
        match fs::metadata(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(io_error("open", directory)(error)),
            Ok(found) if !found.is_dir() => return Err(not_a_store(directory, "a file, not a directory")),
            Ok(_) => {}
        }
        let names = names(directory)?;
        let has = |name: &str| names.iter().any(|found| found == name);
        if has(STORE) {
            let path = directory.join(STORE);
            let bytes = fs::read(&path).map_err(io_error("read", &path))?;
            let identity = self.decode(&bytes.into(), &path)?;
            if identity.format < self.oldest {
                let what = format!("{} is of the older format {}", directory.display(), identity.format);
                return Err(StoreError::Misuse { what });
            }
            for (name, consequence) in self.needed {
                require(directory, name, has(name), consequence)?;
            }
            return Ok(Found::Store(identity));
        }
        let lost = "this directory once held a store, and which one is not known";
        if remembered(directory)?.is_some() {
            require(directory, STORE, false, lost)?;
        }
        if has(self.creating) {
            return Ok(Found::Unfinished);
        }
        if names.iter().all(|name| name == LOCK) {
            return Ok(Found::Empty);
        }
        require(directory, STORE, !names.iter().any(|name| (self.is_ours)(name)), lost)?;
        let found = names.into_iter().filter(|name| name != LOCK).take(3);
        Err(not_a_store(directory, &found.collect::<Vec<_>>().join(", ")))
    }

    /// Marks the beginning of a creation.
    pub(crate) fn begin(&self, directory: &Path) -> Result<(), StoreError> {
        write_synced(&directory.join(self.creating), b"")?;
        sync_directory(directory)
    }

    /// Writes the file that makes a directory a store, or one of today's format, in one step.
    pub(crate) fn write(&self, directory: &Path, store: StoreId) -> Result<(), StoreError> {
        let new = directory.join(STORE_NEW);
        write_synced(&new, &self.encode(store))?;
        fs::rename(&new, directory.join(STORE)).map_err(io_error("rename", &new))?;
        sync_directory(directory)
    }

    /// Removes the marker of a creation, if it is there.
    pub(crate) fn finish(&self, directory: &Path) -> Result<(), StoreError> {
        let marker = directory.join(self.creating);
        match fs::remove_file(&marker) {
            Ok(()) => sync_directory(directory),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_error("remove", &marker)(error)),
        }
    }

    /// What [`STORE`] holds.
    pub(crate) fn encode(&self, store: StoreId) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&self.medium.magic().to_le_bytes());
        bytes.extend_from_slice(&self.format.to_le_bytes());
        bytes.extend_from_slice(&store.get().to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes untrusted bytes; `place` is where they were found.
    pub(crate) fn decode(&self, bytes: &Bytes, place: &Path) -> Result<Identity, StoreError> {
        let damaged = |malformed: Malformed| StoreError::CorruptStore {
            what: format!("{} says no store: {malformed}", place.display()),
        };
        let mut reader = Reader::new(bytes);
        match MediumKind::by_magic(reader.u32().map_err(damaged)?) {
            Some(found) if found == self.medium => {}
            Some(found) => {
                let (path, asked) = (place.parent().unwrap_or(place).to_owned(), self.medium);
                return Err(StoreError::OtherMedium { path, found, asked });
            }
            None => return Err(damaged(Malformed("it does not begin as it should"))),
        }
        // Magic and version stand first in every format to come, so that a newer one can be told from damage.
        let format = reader.u32().map_err(damaged)?;
        if format > self.format {
            let (path, supported) = (place.to_owned(), self.format);
            return Err(StoreError::NewerFormat { path, found: format, supported });
        }
        let store = reader.u128().map_err(damaged)?;
        let whole = bytes.get(..reader.position()).unwrap_or_default();
        let crc = reader.u32().map_err(damaged)?;
        if crc != crc32fast::hash(whole) || !reader.is_empty() || format == 0 {
            return Err(damaged(Malformed("its checksum does not match")));
        }
        Ok(Identity { store: StoreId::new(store), format })
    }
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

/// The error of files of two stores in one directory.
pub(crate) fn mixed(place: &Path, expected: StoreId, found: StoreId) -> StoreError {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    StoreError::Mixed {
        path: place.parent().unwrap_or(place).to_owned(),
        expected: expected.to_string(),
        found: format!("{found} (in {name})"),
    }
}
