//! Which medium keeps the store of a directory, and opening it as what it is. Knows the media by name, and of their files only
//! how the one begins that says which store it is.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::directory::{STORE, beside, io_error};
use crate::medium::Medium;
use crate::medium::segments::SEGMENTS_CREATING;
use crate::medium_kind::MediumKind;
use crate::position::StoreId;
use crate::{
    Durability, LayeredOptions, LayeredStore, SegmentFiles, SegmentOptions, SledOptions, SledStore, Store,
    StoreError,
};

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

fn is_no_file(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::UnexpectedEof)
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
    /// How many bytes of log the store is to hold, about: smaller segments suit a smaller log.
    pub log_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            medium: None,
            durability: Durability::PowerLoss,
            call_timeout: Duration::from_secs(30),
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

    /// Says how many bytes of log the store is to hold, about.
    #[must_use]
    pub fn log_bytes(mut self, bytes: u64) -> Self {
        self.log_bytes = bytes;
        self
    }
}

/// Opens the store of a directory; creates one in a directory that is missing or empty.
///
/// # Errors
/// [`StoreError::OtherMedium`] when another medium keeps it than the one asked for; those of [`SledStore::open`],
/// [`SegmentFiles::open`] and [`LayeredStore::open`].
pub fn open_store(path: impl AsRef<Path>, options: &StoreOptions) -> Result<Arc<dyn Store>, StoreError> {
    let path = path.as_ref();
    // From here on it does not matter what the process calls its working directory.
    let path = std::path::absolute(path).map_err(io_error("find", path))?;
    let real = path.canonicalize().unwrap_or_else(|_| path.clone());
    if let Some(left) = beside(&real).filter(|left| left.exists()) {
        tracing::warn!(
            path = %path.display(), left = %left.display(),
            "a conversion of this store did not get through, and left a directory; the next conversion removes it"
        );
    }
    open_directory(path, options)
}

/// As [`open_store`], for an absolute path, whatever stands beside it.
pub(crate) fn open_directory(path: PathBuf, options: &StoreOptions) -> Result<Arc<dyn Store>, StoreError> {
    let there = MediumKind::of(&path)?;
    let asked = options.medium.or(there).unwrap_or(MediumKind::Sled);
    match there {
        Some(found) if found != asked => Err(StoreError::OtherMedium { path, found, asked }),
        _ if asked == MediumKind::SegmentFiles => {
            let segments = segment_options(options);
            let open = move || Ok(Box::new(SegmentFiles::open(path, &segments)?) as Box<dyn Medium>);
            Ok(Arc::new(LayeredStore::open(open, &layered_options(options))?))
        }
        _ => {
            let StoreOptions { durability, call_timeout, .. } = *options;
            let options = SledOptions::default().durability(durability).call_timeout(call_timeout);
            Ok(Arc::new(SledStore::open(path, &options)?))
        }
    }
}

/// Makes an empty medium for a store that is there already, in a directory that is empty.
///
/// # Errors
/// Those of [`SegmentFiles::open`]; [`StoreError::Misuse`] for a medium that can't be made so.
pub(crate) fn create_medium(
    kind: MediumKind,
    path: &Path,
    options: &StoreOptions,
    store: StoreId,
) -> Result<Box<dyn Medium>, StoreError> {
    match kind {
        MediumKind::SegmentFiles => {
            Ok(Box::new(SegmentFiles::create_as(path, &segment_options(options), store)?))
        }
        // As long as sled is a store of its own, and no medium below the layered one.
        MediumKind::Sled => Err(StoreError::Misuse {
            what: "a store was to be converted to sled, which is not there yet".to_owned(),
        }),
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
    LayeredOptions::default().call_timeout(options.call_timeout)
}

/// A log has so many segments, about.
const SEGMENTS: u64 = 16;
/// The smallest and the largest.
const SEGMENT_BYTES: (u64, u64) = (256 << 10, 16 << 20);
