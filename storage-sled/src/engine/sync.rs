//! Syncs written data: sled's own flush hands them to the operating system, and this syncs them.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use relive_storage::medium_support::{io_error, sync_directory};
use relive_storage::{Durability, StoreError, boundary};
use sled::Db;

use crate::failures::backend;
use crate::names::{BLOBS, DATA};

/// Syncs through a descriptor of its own. It opens that before the first write and keeps it,
/// because the system reports a failed write only to descriptors that were open when it failed, and
/// only once.
#[derive(Debug)]
pub(crate) struct Syncer {
    tier: Durability,
    data: File,
    path: PathBuf,
    blobs: PathBuf,
    /// The blob files that are synced.
    known: Mutex<HashSet<OsString>>,
}

impl Syncer {
    /// Opens the data file of a store.
    pub(crate) fn open(directory: &Path, tier: Durability) -> Result<Self, StoreError> {
        let path = directory.join(DATA);
        // Some systems sync only a file that is open for writing.
        let data = OpenOptions::new().write(true).open(&path);
        let data = data.map_err(io_error("open", &path))?;
        Ok(Self { tier, data, path, blobs: directory.join(BLOBS), known: Mutex::default() })
    }

    /// Syncs, as far as the tier promises, everything written to sled before. Do not call it again
    /// after an error: the system may have dropped the pages that it failed to write.
    pub(crate) fn sync(&self, db: &Db) -> Result<(), StoreError> {
        db.flush().map_err(backend("flush"))?;
        boundary!("durable.flushed");
        if self.tier == Durability::PowerLoss {
            self.data.sync_data().map_err(io_error("sync", &self.path))?;
            self.sync_blobs()?;
        }
        boundary!("durable.synced");
        Ok(())
    }

    /// Syncs sled's blob files, which sled never does. The sizes in `tuning` keep sled from making
    /// any; this is for the case that it makes one all the same.
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
                // sled may remove a blob at any time.
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
