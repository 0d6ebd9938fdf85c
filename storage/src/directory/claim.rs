//! Takes a directory for one handle. It judges the files there only under the lock: without it
//! another process may be making a store, and any part of that may be there or missing.

use std::path::Path;

use super::files::make_directory;
use super::identity::{DirectoryLayout, DirectoryState};
use super::lock::{Lock, ReadOnlyLock};
use crate::contract::error::StoreError;

impl DirectoryLayout {
    /// Takes the lock of a directory, and finds out what the directory is. Makes a missing one.
    /// Changes nothing in a directory that it refuses.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another handle has it; those of [`DirectoryLayout::recognize`].
    pub fn claim(&self, directory: &Path) -> Result<(Lock, DirectoryState), StoreError> {
        match self.recognize(directory) {
            Ok(DirectoryState::Nothing) => make_directory(directory)?,
            Ok(_) => {}
            Err(error) => match ReadOnlyLock::locked(directory)? {
                // No process has ever begun a store there.
                None => return Err(error),
                // Judged again, in peace: the files may have been in the making.
                Some(_unchanged) => {
                    self.recognize(directory)?;
                }
            },
        }
        // Only now: taking this lock makes a file, and a directory that is refused gets none.
        let lock = Lock::acquire(directory)?;
        let found = self.recognize(directory)?;
        Ok((lock, found))
    }
}
