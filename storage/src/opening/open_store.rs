//! Opens the store of a directory for a user, and first converts a store in an older format.

use std::path::Path;

use crate::contract::error::StoreError;
use crate::directory::{conversion_directory, io_error};
use crate::layered::LayeredStore;
use crate::opening::choice::open_directory;
use crate::opening::conversion;
use crate::opening::directory_medium::{Media, of_older_format};
use crate::opening::options::StoreOptions;

/// Opens the store of a directory, on one of `media`; creates one in a directory that is missing or
/// empty.
///
/// A store in an older format becomes one in today's format, which older versions can't open:
/// relive makes it anew beside the old one, as [`crate::convert_store`] does, and needs as much
/// disk space again until that is complete.
///
/// # Errors
/// [`StoreError::OtherMedium`] when another medium keeps it than the one asked for;
/// [`StoreError::Misuse`] when that is none of `media`; those of [`crate::DirectoryMedium::open`]
/// and [`LayeredStore::open`]; of a store of an older format those of [`crate::convert_store`].
///
/// # Examples
/// ```
/// use relive_storage::{SEGMENT_FILES, StoreOptions, open_store};
///
/// # let root = tempfile::tempdir()?;
/// let store = open_store(root.path().join("data"), &StoreOptions::default(), &[SEGMENT_FILES])?;
/// store.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open_store(
    path: impl AsRef<Path>,
    options: &StoreOptions,
    media: Media,
) -> Result<LayeredStore, StoreError> {
    let path = path.as_ref();
    // An absolute path, because the process may change its working directory later.
    let path = std::path::absolute(path).map_err(io_error("find", path))?;
    // A conversion exchanges the directory itself, and leaves its remains beside that, not beside a
    // link.
    let real = path.canonicalize().unwrap_or_else(|_| path.clone());
    if let Some(medium) = of_older_format(media, &real)? {
        conversion::upgrade(real, medium.kind(), options, media)?;
    } else if let Some(left) = conversion_directory(&real).filter(|left| left.exists()) {
        tracing::warn!(
            path = %path.display(), left = %left.display(),
            "a conversion of this store was cut off, and left a directory; the next conversion removes it"
        );
    }
    open_directory(path, options, media)
}
