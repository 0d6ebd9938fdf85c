//! What makes written data stable: sled's own flush hands it to the operating system, the rest happens here.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sled::Db;

use super::answers::backend;
use super::names::{BLOBS, DATA};
use crate::directory::{io_error, sync_directory};
use crate::{Durability, StoreError, boundary};

/// Syncs through a descriptor of its own. It is opened before the first write and kept, because the system reports a
/// failed write only to descriptors that were open when it failed, and only once.
#[derive(Debug)]
pub(super) struct Stable {
    tier: Durability,
    data: File,
    path: PathBuf,
    blobs: PathBuf,
    /// The blob files that are synced.
    known: Mutex<HashSet<OsString>>,
}

impl Stable {
    /// Opens the data file of a store.
    pub(super) fn open(directory: &Path, tier: Durability) -> Result<Self, StoreError> {
        let path = directory.join(DATA);
        // Some systems sync only what is open for writing.
        let data = OpenOptions::new().write(true).open(&path);
        let data = data.map_err(io_error("open", &path))?;
        Ok(Self { tier, data, path, blobs: directory.join(BLOBS), known: Mutex::default() })
    }

    /// Makes stable, as far as the tier promises, all that was written to sled before. Not to be called again after
    /// an error: the system may have dropped the pages that it failed to write.
    pub(super) fn flush(&self, db: &Db) -> Result<(), StoreError> {
        db.flush().map_err(backend("flush"))?;
        boundary!("stable.flushed");
        if self.tier == Durability::PowerLoss {
            self.data.sync_data().map_err(io_error("sync", &self.path))?;
            self.sync_blobs()?;
        }
        boundary!("stable.synced");
        Ok(())
    }

    /// The shape of what is stored keeps sled from making blob files; should it make one, it never syncs it.
    fn sync_blobs(&self) -> Result<(), StoreError> {
        let mut found = 0_u32;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in fs::read_dir(&self.blobs).map_err(io_error("list", &self.blobs))? {
            let entry = entry.map_err(io_error("list", &self.blobs))?;
            if known.contains(&entry.file_name()) {
                continue;
            }
            let path = entry.path();
            match File::open(&path) {
                Ok(file) => file.sync_all().map_err(io_error("sync", &path))?,
                // sled removes a blob that it needs no more at any time.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(io_error("open", &path)(error)),
            }
            known.insert(entry.file_name());
            found += 1;
        }
        if found > 0 {
            sync_directory(&self.blobs)?;
            if known.len() == found as usize {
                tracing::warn!(found, "sled made blob files; they are synced too, which slows commits down");
            }
        }
        Ok(())
    }
}
