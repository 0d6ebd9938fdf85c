//! Which directories this process has open, and who has the others: what the lock's file says, held against what can be
//! known. Locks nothing; keeps the open file of a lock that is held, so that another holder can share it.
//!
//! The lock is the system's, and goes with the open file: a process that was forked off, or was given the file in another
//! way, goes on holding it when the one whose number stands in the file is gone. So the number alone says too little.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::StoreError;

/// A directory that a handle of this process has the lock of, as long as this lives.
#[derive(Debug)]
pub(super) struct Held(Identity);

/// What tells one lock file from another, whatever path it was opened by.
type Identity = (u64, u64);

static HELD: Mutex<Vec<(Identity, Arc<File>)>> = Mutex::new(Vec::new());

impl Held {
    /// Remembers that the lock of this file was taken.
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
        if let Some(at) = held.iter().position(|(identity, _)| *identity == self.0) {
            held.swap_remove(at);
        }
    }
}

/// Whether this path leads to this file, and not to another or to none.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(found) => Ok(identity(&found) == identity(&file.metadata()?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn held() -> MutexGuard<'static, Vec<(Identity, Arc<File>)>> {
    // Each change is one step, so a panic elsewhere leaves no half of one.
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn identity(found: &fs::Metadata) -> Identity {
    (found.dev(), found.ino())
}

/// The error of a directory whose lock is held. `noted` is the process that the lock's file names, `ours` whether a handle
/// of this one holds it.
pub(super) fn locked(directory: &Path, noted: Option<u32>, ours: bool) -> StoreError {
    let holder = match noted {
        _ if ours => format!("this process ({}), under another handle", std::process::id()),
        // Another with the same number, or one that this process has started.
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

/// Whether there is no process of this number, as far as that can be seen.
fn is_gone(id: u32) -> bool {
    let processes = PathBuf::from("/proc");
    processes.join("self").exists() && !processes.join(id.to_string()).exists()
}
