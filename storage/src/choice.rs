//! Which medium keeps the store of a directory, and opening it as what it is. Knows the media by name, and of their files only
//! how the one begins that says which store it is.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::directory::{STORE, io_error, is_no_file};
use crate::medium::Medium;
use crate::medium::segments::SEGMENTS_CREATING;
use crate::medium_kind::MediumKind;
use crate::position::StoreId;
use crate::{Durability, LayeredOptions, LayeredStore, SegmentFiles, SegmentOptions, SledMedium, StoreError};

impl MediumKind {
    /// What keeps the store of a directory, or was to keep one whose creation was never finished; `None` when there is neither,
    /// or its file says nothing.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn of(directory: impl AsRef<Path>) -> Result<Option<Self>, StoreError> {
        let path = directory.as_ref().join(STORE);
        let mut magic = [0; 4];
        let read = File::open(&path).and_then(|mut file| file.read_exact(&mut magic));
        match read {
            Ok(()) => Ok(Self::by_magic(u32::from_le_bytes(magic))),
            Err(error) if is_no_file(&error) => {
                let unfinished = directory.as_ref().join(SEGMENTS_CREATING).exists();
                Ok(unfinished.then_some(Self::SegmentFiles))
            }
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }
}

/// How the store of a directory is opened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StoreOptions {
    /// On which medium; without one on that which is there, and on sled when there is none.
    pub medium: Option<MediumKind>,
    /// What stored data survives.
    pub durability: Durability,
    /// How long one call may take until the store is given up as hung.
    pub call_timeout: Duration,
    /// How long opening may take. sled reads back all that was written since the last opening.
    pub open_timeout: Duration,
    /// How many bytes of log the store is to hold, about: smaller segments suit a smaller log.
    pub log_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            medium: None,
            durability: Durability::PowerLoss,
            call_timeout: Duration::from_secs(30),
            open_timeout: Duration::from_secs(300),
            log_bytes: 256 << 20,
        }
    }
}

impl StoreOptions {
    /// Chooses the medium.
    #[must_use]
    pub fn medium(mut self, medium: Option<MediumKind>) -> Self {
        self.medium = medium;
        self
    }

    /// Chooses the tier.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Chooses how long one call may take.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Chooses how long opening may take.
    #[must_use]
    pub fn open_timeout(mut self, timeout: Duration) -> Self {
        self.open_timeout = timeout;
        self
    }

    /// Says how many bytes of log the store is to hold, about.
    #[must_use]
    pub fn log_bytes(mut self, bytes: u64) -> Self {
        self.log_bytes = bytes;
        self
    }
}

/// Opens the store of a directory, which is an absolute path, as what it is; creates one in a directory that is missing or
/// empty.
///
/// # Errors
/// [`StoreError::OtherMedium`] when another medium keeps it than the one asked for; those of [`SledMedium::open`],
/// [`SegmentFiles::open`] and [`LayeredStore::open`].
pub(crate) fn open_directory(path: PathBuf, options: &StoreOptions) -> Result<LayeredStore, StoreError> {
    let there = MediumKind::of(&path)?;
    let asked = options.medium.or(there).unwrap_or(MediumKind::Sled);
    if let Some(found) = there
        && found != asked
    {
        return Err(StoreError::OtherMedium { path, found, asked });
    }
    let (durability, segments) = (options.durability, segment_options(options));
    let open = move || -> Result<Box<dyn Medium>, StoreError> {
        match asked {
            MediumKind::Sled => Ok(Box::new(SledMedium::open(path, durability)?)),
            MediumKind::SegmentFiles => Ok(Box::new(SegmentFiles::open(path, &segments)?)),
        }
    };
    LayeredStore::open(open, &layered_options(options))
}

/// Makes an empty medium for a store that is there already, in a directory that is empty.
///
/// # Errors
/// Those of [`SledMedium::open`] and [`SegmentFiles::open`].
pub(crate) fn create_medium(
    kind: MediumKind,
    path: &Path,
    options: &StoreOptions,
    store: StoreId,
) -> Result<Box<dyn Medium>, StoreError> {
    match kind {
        MediumKind::Sled => Ok(Box::new(SledMedium::create_as(path, options.durability, store)?)),
        MediumKind::SegmentFiles => {
            Ok(Box::new(SegmentFiles::create_as(path, &segment_options(options), store)?))
        }
    }
}

fn segment_options(options: &StoreOptions) -> SegmentOptions {
    // Of a log smaller than a few of the smallest they are a quarter.
    let least = SEGMENT_BYTES.0.min(options.log_bytes / 4);
    let segment_bytes = (options.log_bytes / SEGMENTS).clamp(least, SEGMENT_BYTES.1);
    SegmentOptions::default().durability(options.durability).segment_bytes(segment_bytes)
}

/// How a store over any medium is opened.
pub(crate) fn layered_options(options: &StoreOptions) -> LayeredOptions {
    LayeredOptions::default().call_timeout(options.call_timeout).open_timeout(options.open_timeout)
}

/// A log has so many segments, about.
const SEGMENTS: u64 = 16;
/// The smallest and the largest.
const SEGMENT_BYTES: (u64, u64) = (256 << 10, 16 << 20);
