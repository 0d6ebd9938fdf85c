//! The media that a store in a directory may be on, as a program passes them, and segment files as
//! one of them. Knows no other medium.

use std::path::Path;

use crate::contract::checkpoint_store::Store;
use crate::contract::error::StoreError;
use crate::contract::medium_kind::MediumKind;
use crate::id::position::StoreId;
use crate::medium::Medium;
use crate::medium::segments::{SegmentFiles, SegmentOptions};
use crate::opening::options::StoreOptions;

/// A kind of medium that lives in a directory: what [`crate::open_store`] and
/// [`crate::convert_store`] know of it.
///
/// The file `relive.store` says which kind of medium a directory holds ([`crate::medium_of`]), so
/// only a conversion calls these methods for a directory of another kind.
pub trait DirectoryMedium: Send + Sync {
    /// The kind.
    fn kind(&self) -> MediumKind;

    /// Opens the medium of a directory, which is an absolute path; creates one in a directory that
    /// is missing or empty.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::NotAStore`], [`StoreError::OtherMedium`],
    /// [`StoreError::NewerFormat`], [`StoreError::Missing`], [`StoreError::Mixed`],
    /// [`StoreError::CorruptStore`], [`StoreError::Misuse`], [`StoreError::Io`] and
    /// [`StoreError::Backend`].
    fn open(&self, directory: &Path, options: &StoreOptions) -> Result<Box<dyn Medium>, StoreError>;

    /// Creates an empty medium, for a store that is elsewhere already, in a directory that is
    /// empty.
    ///
    /// # Errors
    /// Those of [`DirectoryMedium::open`]; [`StoreError::Mixed`] when the directory holds another
    /// store.
    fn create(
        &self,
        directory: &Path,
        options: &StoreOptions,
        store: StoreId,
    ) -> Result<Box<dyn Medium>, StoreError>;

    /// Whether the medium makes files of this name. Files whose names begin with `relive.` belong
    /// to a store on any medium.
    fn has_file(&self, name: &str) -> bool;

    /// Whether a directory holds a store on this medium in an older format, which relive reads and
    /// no longer writes.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn has_older_format(&self, directory: &Path) -> Result<bool, StoreError> {
        let _ = directory;
        Ok(false)
    }

    /// Opens a store in such a format, for one reading from its beginning to its end.
    ///
    /// # Errors
    /// Those of [`DirectoryMedium::open`].
    fn open_older_format(&self, directory: &Path) -> Result<Box<dyn Store>, StoreError> {
        Err(StoreError::NoStore { path: directory.to_owned() })
    }
}

/// The media that a program knows. A new store is on the first unless its options say otherwise.
pub type Media = &'static [&'static dyn DirectoryMedium];

/// The medium of a kind.
///
/// # Errors
/// [`StoreError::Misuse`] when the program does not know it.
pub(crate) fn of_kind(media: Media, kind: MediumKind) -> Result<&'static dyn DirectoryMedium, StoreError> {
    let found = media.iter().copied().find(|medium| medium.kind() == kind);
    found.ok_or_else(|| StoreError::Misuse { what: format!("this program opens no store on {kind}") })
}

/// The medium on which a directory holds a store in an older format.
pub(crate) fn of_older_format(
    media: Media,
    directory: &Path,
) -> Result<Option<&'static dyn DirectoryMedium>, StoreError> {
    for medium in media {
        if medium.has_older_format(directory)? {
            return Ok(Some(*medium));
        }
    }
    Ok(None)
}

/// [`SegmentFiles`] as the medium of a directory.
pub const SEGMENT_FILES: &dyn DirectoryMedium = &OnSegmentFiles;

struct OnSegmentFiles;

impl DirectoryMedium for OnSegmentFiles {
    fn kind(&self) -> MediumKind {
        MediumKind::SegmentFiles
    }

    fn open(&self, directory: &Path, options: &StoreOptions) -> Result<Box<dyn Medium>, StoreError> {
        Ok(Box::new(SegmentFiles::open(directory, &segment_options(options))?))
    }

    fn create(
        &self,
        directory: &Path,
        options: &StoreOptions,
        store: StoreId,
    ) -> Result<Box<dyn Medium>, StoreError> {
        Ok(Box::new(SegmentFiles::create_as(directory, &segment_options(options), store)?))
    }

    fn has_file(&self, name: &str) -> bool {
        ["segment.", "stream."].iter().any(|beginning| name.starts_with(beginning))
    }
}

fn segment_options(options: &StoreOptions) -> SegmentOptions {
    // A log smaller than a few of the smallest segments gets segments of a quarter of it.
    let least = SEGMENT_BYTES.0.min(options.log_bytes / 4);
    let segment_bytes = (options.log_bytes / SEGMENTS).clamp(least, SEGMENT_BYTES.1);
    SegmentOptions::default().durability(options.durability).segment_bytes(segment_bytes)
}

/// About how many segments a log has.
const SEGMENTS: u64 = 16;
/// The smallest and the largest segment.
const SEGMENT_BYTES: (u64, u64) = (256 << 10, 16 << 20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opening::choice::medium_of;
    use crate::opening::conversion::convert_store;
    use crate::opening::open_store::open_store;

    const FILES: Media = &[SEGMENT_FILES];

    #[test]
    fn a_new_store_is_on_the_first_medium_that_the_program_knows() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        open_store(&path, &StoreOptions::default(), FILES).unwrap().close().unwrap();
        assert_eq!(medium_of(&path).unwrap(), Some(MediumKind::SegmentFiles));
    }

    #[test]
    fn a_medium_that_the_program_does_not_know_is_refused_and_nothing_is_made() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        let on_sled = StoreOptions::default().medium(Some(MediumKind::Sled));
        for (options, media) in [(on_sled, FILES), (StoreOptions::default(), &[] as Media)] {
            let refused = open_store(&path, &options, media).unwrap_err();
            assert!(matches!(refused, StoreError::Misuse { .. }), "{refused}");
            assert!(!path.exists());
        }
        open_store(&path, &StoreOptions::default(), FILES).unwrap().close().unwrap();
        let refused = convert_store(&path, MediumKind::Sled, &StoreOptions::default(), FILES).unwrap_err();
        assert!(matches!(refused, StoreError::Misuse { .. }), "{refused}");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1, "the store is alone");
    }

    /// A log smaller than a few of the smallest segments gets segments of a quarter of it.
    #[test]
    fn segments_suit_the_log() {
        let of = |log_bytes| segment_options(&StoreOptions::default().log_bytes(log_bytes));
        let bytes = |options: SegmentOptions| options.segment_bytes;
        assert_eq!(bytes(of(256 << 20)), 16 << 20);
        assert_eq!(bytes(of(64 << 20)), 4 << 20);
        assert_eq!(bytes(of(1 << 20)), 256 << 10);
        assert_eq!(bytes(of(16 << 10)), 4 << 10);
    }
}
