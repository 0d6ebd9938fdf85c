//! Opening the store of a directory as a user does: one of an older format is converted first.

use std::path::Path;

use crate::choice::open_directory;
use crate::directory::{beside, io_error};
use crate::{LayeredStore, StoreError, StoreOptions, conversion, old_sled};

/// Opens the store of a directory; creates one in a directory that is missing or empty.
///
/// A store of an older format becomes one of today's, which older versions do not open any more: it is made anew beside the old
/// one, as [`crate::convert_store`] does, and takes as much space until that is through.
///
/// # Errors
/// [`StoreError::OtherMedium`] when another medium keeps it than the one asked for; those of [`crate::SledMedium::open`],
/// [`crate::SegmentFiles::open`] and [`LayeredStore::open`]; of a store of an older format those of [`crate::convert_store`].
pub fn open_store(path: impl AsRef<Path>, options: &StoreOptions) -> Result<LayeredStore, StoreError> {
    let path = path.as_ref();
    // From here on it does not matter what the process calls its working directory.
    let path = std::path::absolute(path).map_err(io_error("find", path))?;
    let real = path.canonicalize().unwrap_or_else(|_| path.clone());
    if old_sled::is_old(&real)? {
        conversion::upgrade(real, options)?;
    } else if let Some(left) = beside(&real).filter(|left| left.exists()) {
        tracing::warn!(
            path = %path.display(), left = %left.display(),
            "a conversion of this store did not get through, and left a directory; the next conversion removes it"
        );
    }
    open_directory(path, options)
}
