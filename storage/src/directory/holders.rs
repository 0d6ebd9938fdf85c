//! Which directories this process has open, and who holds the others: it compares what the lock
//! file says with what the system knows. Locks nothing; keeps the open file of a held lock, so that
//! another holder can share it.
//!
//! The lock is the system's, and belongs to the open file: a forked child, or another process that
//! got the file, keeps holding it after the process whose number stands in the file has ended. So
//! the number alone does not say who holds the lock.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::contract::error::StoreError;

/// Says that a handle of this process holds the lock of a directory, until it is dropped.
#[derive(Debug)]
pub(super) struct Held(Identity);

/// The identity of a lock file, the same for every path that leads to it.
type Identity = (u64, u64);

static HELD: Mutex<Vec<(Identity, Arc<File>)>> = Mutex::new(Vec::new());

impl Held {
    /// Remembers that this process holds the lock of this file.
    pub(super) fn remember(lock: &Arc<File>) -> io::Result<Self> {
        let identity = identity(&lock.metadata()?);
        held().push((identity, Arc::clone(lock)));
        Ok(Self(identity))
    }

    /// Whether a handle of this process has the lock of this file.
    pub(super) fn is(lock: &File) -> io::Result<bool> {
        Ok(Self::file(lock)?.is_some())
    }

    /// The open file that has the lock of this one, if a handle of this process has it.
    pub(super) fn file(lock: &File) -> io::Result<Option<Arc<File>>> {
        let identity = identity(&lock.metadata()?);
        let held = held();
        let found = held.iter().find(|(held, _)| *held == identity);
        Ok(found.map(|(_, file)| Arc::clone(file)))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = held();
        // One entry, not all: a shared lock has an entry for each holder.
        let found = held.iter().position(|(identity, _)| *identity == self.0);
        debug_assert!(found.is_some(), "a held lock is remembered until it is dropped");
        if let Some(at) = found {
            held.swap_remove(at);
        }
    }
}

/// Whether this path leads to this file.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(found) => Ok(identity(&found) == identity(&file.metadata()?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn held() -> MutexGuard<'static, Vec<(Identity, Arc<File>)>> {
    // Each change is one step, so a panic elsewhere leaves no half change.
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn identity(found: &fs::Metadata) -> Identity {
    (found.dev(), found.ino())
}

/// The error of a directory whose lock is held. `noted` is the process that the lock's file names,
/// `ours` whether a handle of this one holds it.
pub(super) fn locked(directory: &Path, noted: Option<u32>, ours: bool) -> StoreError {
    let holder = match noted {
        _ if ours => format!("this process ({}), under another handle", std::process::id()),
        // Another process with the same number, or one that this process has started.
        Some(id) if id == std::process::id() => format!(
            "a process that was given the lock by this one ({id}), such as a forked child, or in process {id} of another container"
        ),
        Some(id) if is_gone(id) => format!(
            "a process that was given the lock by process {id}, which is gone, such as a forked child, or in process {id} of another container"
        ),
        Some(id) => format!("process {id}"),
        None => "another process".to_owned(),
    };
    StoreError::Locked { path: directory.to_owned(), holder }
}

/// Whether no process has this number, as far as this process can see.
fn is_gone(id: u32) -> bool {
    let processes = PathBuf::from("/proc");
    processes.join("self").exists() && !processes.join(id.to_string()).exists()
}
