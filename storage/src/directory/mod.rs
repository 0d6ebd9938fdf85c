//! The directory of a store, whatever medium it is on: that one handle has it open, and the few things done with files.

mod files;
mod holders;
mod lock;

use std::path::Path;

use crate::StoreError;
use crate::medium_kind::MediumKind;

pub(crate) use files::{io_error, make_directory, names, sync_directory, write_synced};
pub(crate) use lock::{LOCK, Lock, remembered};

/// Refuses a directory whose file begins as that of another medium than the one asked for.
pub(crate) fn check_medium(asked: MediumKind, directory: &Path, magic: u32) -> Result<(), StoreError> {
    match MediumKind::by_magic(magic) {
        Some(found) if found != asked => {
            Err(StoreError::OtherMedium { path: directory.to_owned(), found, asked })
        }
        _ => Ok(()),
    }
}
