//! sled as one of the media of a directory, and the stores of a program that uses sled and segment
//! files. Knows both only as a [`DirectoryMedium`].

use std::path::Path;

use relive_storage::medium::Medium;
use relive_storage::{
    DirectoryMedium, LayeredStore, Media, MediumKind, SEGMENT_FILES, Store, StoreError, StoreId, StoreOptions,
};

use crate::medium::handle::SledMedium;
use crate::names::{BLOBS, CONF, DATA, SNAPSHOT};
use crate::older::{OlderStore, is_older};

/// sled as the medium of a directory; the formats 1 and 2 are its older ones.
pub const SLED: &dyn DirectoryMedium = &Sled;

/// The media of a program that creates stores on sled, and also opens those on segment files.
pub const MEDIA: Media = &[SLED, SEGMENT_FILES];

struct Sled;

impl DirectoryMedium for Sled {
    fn kind(&self) -> MediumKind {
        MediumKind::Sled
    }

    fn open(&self, directory: &Path, options: &StoreOptions) -> Result<Box<dyn Medium>, StoreError> {
        Ok(Box::new(SledMedium::open(directory, options.durability)?))
    }

    fn create(
        &self,
        directory: &Path,
        options: &StoreOptions,
        store: StoreId,
    ) -> Result<Box<dyn Medium>, StoreError> {
        Ok(Box::new(SledMedium::create_as(directory, options.durability, store)?))
    }

    fn has_file(&self, name: &str) -> bool {
        [CONF, DATA, BLOBS].contains(&name) || name.starts_with(SNAPSHOT)
    }

    fn has_older_format(&self, directory: &Path) -> Result<bool, StoreError> {
        is_older(directory)
    }

    fn open_older_format(&self, directory: &Path) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(OlderStore::open(directory)?))
    }
}

/// Opens the store of a directory on sled or on segment files, as [`relive_storage::open_store`]
/// does; a new one is on sled unless `options` say otherwise.
///
/// # Errors
/// Those of [`relive_storage::open_store`].
pub fn open_store(path: impl AsRef<Path>, options: &StoreOptions) -> Result<LayeredStore, StoreError> {
    relive_storage::open_store(path, options, MEDIA)
}

/// Moves the store of a directory to sled or to segment files, as
/// [`relive_storage::convert_store`] does.
///
/// # Errors
/// Those of [`relive_storage::convert_store`].
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use relive_storage::{MediumKind, StoreOptions, medium_of};
/// use relive_storage_sled::{convert_store, open_store};
///
/// # let root = tempfile::tempdir()?;
/// # let path = root.path().join("data");
/// open_store(&path, &StoreOptions::default())?.close()?;
/// convert_store(&path, MediumKind::SegmentFiles, &StoreOptions::default())?;
/// assert_eq!(medium_of(&path)?, Some(MediumKind::SegmentFiles));
/// # Ok(())
/// # }
/// ```
pub fn convert_store(
    path: impl AsRef<Path>,
    to: MediumKind,
    options: &StoreOptions,
) -> Result<(), StoreError> {
    relive_storage::convert_store(path, to, options, MEDIA)
}
