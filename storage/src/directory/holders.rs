//! Which directories this process has open, and who has the others: what the lock's file says, held against what can be
//! known. Locks nothing.
//!
//! The lock is the system's, and goes with the open file: a process that was forked off, or was given the file in another
//! way, goes on holding it when the one whose number stands in the file is gone. So the number alone says too little.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::StoreError;

/// A directory that a handle of this process has the lock of, as long as this lives.
#[derive(Debug)]
pub(super) struct Held(Identity);

/// What tells one lock file from another, whatever path it was opened by.
type Identity = (u64, u64);

static HELD: Mutex<Vec<Identity>> = Mutex::new(Vec::new());

impl Held {
    /// Remembers that the lock of this file was taken.
    pub(super) fn remember(lock: &File) -> io::Result<Self> {
        let identity = identity(lock)?;
        held().push(identity);
        Ok(Self(identity))
    }

    /// Whether a handle of this process has the lock of this file.
    pub(super) fn is(lock: &File) -> io::Result<bool> {
        Ok(held().contains(&identity(lock)?))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = held();
        if let Some(at) = held.iter().position(|identity| *identity == self.0) {
            held.swap_remove(at);
        }
    }
}

fn held() -> MutexGuard<'static, Vec<Identity>> {
    // Each change is one step, so a panic elsewhere leaves no half of one.
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn identity(file: &File) -> io::Result<Identity> {
    let found = file.metadata()?;
    Ok((found.dev(), found.ino()))
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
