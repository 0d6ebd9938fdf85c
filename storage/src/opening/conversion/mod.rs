//! Moves a store from one medium to another, so that a crash at any moment leaves it whole on one
//! of the two. Knows the order of the steps; it reads and writes both media through the interface
//! of any store.
//!
//! It makes the store anew in a directory beside the old one, verifies and syncs it, and then
//! exchanges the names of the two directories in one step of the file system. Before that step it
//! changes nothing of the old store; after it, it needs nothing of it.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `source` | reading a store from its beginning to its end |
//! | `copying` | writing that into another; what two readings are compared by |
//! | `removal` | removing a directory that is no longer needed |

mod copying;
mod removal;
mod source;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::boundary;
use crate::contract::durability::Durability;
use crate::contract::error::StoreError;
use crate::contract::log::Extent;
use crate::contract::medium_kind::MediumKind;
use crate::directory::{
    IDENTITY_FILE, Lock, conversion_directory, exchange, io_error, make_directory, probe_exchange,
    remembered, sync_directory,
};
use crate::layered;
use crate::layered::LayeredStore;
use crate::opening::choice::medium_of;
use crate::opening::choice::open_directory;
use crate::opening::directory_medium::{Media, of_kind, of_older_format};
use crate::opening::options::StoreOptions;
use source::Source;

/// Moves the store of a directory to another of `media`. Does nothing when it is on that one
/// already.
///
/// It stays the same store: its id, its log from where it begins, both checkpoints of each actor,
/// and all numbers stay. The conversion leaves out the remains of an unacknowledged commit. The
/// store must not be open, and can't be opened by others meanwhile.
///
/// A crash at any moment leaves the store whole in its directory, on the old medium or on the new
/// one. It may leave a directory beside it too, of the same name and `.converting`, which the next
/// conversion removes. The conversion needs as much disk space as the store once more until it is
/// complete. Files in the directory that are not the store's stay in it. The new directory belongs
/// to the user who converts, and no other user can enter it.
///
/// The conversion ignores the medium and the durability in `options`: it makes everything survive
/// the loss of power.
///
/// # Errors
/// The store is on the old medium and was not changed: [`StoreError::NoStore`],
/// [`StoreError::Locked`], all damage ([`StoreError::CorruptLog`],
/// [`StoreError::LostAcknowledged`], [`StoreError::CorruptCheckpoint`],
/// [`StoreError::CorruptStore`], [`StoreError::Missing`], [`StoreError::Mixed`]: restore the
/// files), [`StoreError::NewerFormat`], [`StoreError::NotAStore`] (the name of the directory beside
/// it is taken by something else), [`StoreError::Backend`] and [`StoreError::Hung`].
/// [`StoreError::Io`] too, as when the disk is full or the file system can't exchange two
/// directories in one step. One exception: when the sync of the parent directory fails, the store
/// may be on either medium. It is whole there, and the next conversion goes on from there.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use relive_storage::{Media, MediumKind, SEGMENT_FILES, StoreOptions, convert_store, medium_of, open_store};
///
/// // A store is moved between two of them; it is there already when there is one.
/// const MEDIA: Media = &[SEGMENT_FILES];
/// # let root = tempfile::tempdir()?;
/// # let path = root.path().join("data");
/// open_store(&path, &StoreOptions::default(), MEDIA)?.close()?;
/// convert_store(&path, MediumKind::SegmentFiles, &StoreOptions::default(), MEDIA)?;
/// assert_eq!(medium_of(&path)?, Some(MediumKind::SegmentFiles));
/// # Ok(())
/// # }
/// ```
pub fn convert_store(
    path: impl AsRef<Path>,
    to: MediumKind,
    options: &StoreOptions,
    media: Media,
) -> Result<(), StoreError> {
    let path = path.as_ref();
    let path = match fs::canonicalize(path) {
        // The exchange needs the name of the directory itself, not of a link to it.
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StoreError::NoStore { path: path.to_owned() });
        }
        Err(error) => return Err(io_error("find", path)(error)),
    };
    let from = kept_by(&path)?;
    if from == Some(to) && of_older_format(media, &path)?.is_none() {
        return clear(&path, &conversion_path(&path)?, media);
    }
    convert(path, from, to, options, media)
}

/// Converts a store in an older format to today's, on `kind`, the medium that it is on. `path` is
/// the directory itself, not a link.
///
/// # Errors
/// Those of [`convert_store`].
pub(crate) fn upgrade(
    path: PathBuf,
    kind: MediumKind,
    options: &StoreOptions,
    media: Media,
) -> Result<(), StoreError> {
    tracing::info!(path = %path.display(), "the store gets a newer format, older versions will not open it");
    if let Some(asked) = options.medium.filter(|asked| *asked != kind) {
        return Err(StoreError::OtherMedium { path, found: kind, asked });
    }
    convert(path, Some(kind), kind, options, media)
}

fn convert(
    path: PathBuf,
    from: Option<MediumKind>,
    to: MediumKind,
    options: &StoreOptions,
    media: Media,
) -> Result<(), StoreError> {
    // Checked before anything changes in the directory.
    of_kind(media, to)?;
    let new = conversion_path(&path)?;
    let options = options.medium(from).durability(Durability::PowerLoss);
    Conversion { path, new, to, options, media }.run()
}

/// The directory in which the store is made anew.
fn conversion_path(path: &Path) -> Result<PathBuf, StoreError> {
    conversion_directory(path).ok_or_else(|| StoreError::Misuse {
        what: format!("{} can't be exchanged with another directory", path.display()),
    })
}

/// The medium that the store of a directory is on; `None` when that is unknown, and an opening will
/// say why.
fn kept_by(path: &Path) -> Result<Option<MediumKind>, StoreError> {
    if path.join(IDENTITY_FILE).exists() {
        return medium_of(path);
    }
    // Without that file an opening would create a store, unless the lock file remembers one.
    if path.is_dir() && remembered(path)?.is_some() {
        return Ok(None);
    }
    Err(StoreError::NoStore { path: path.to_owned() })
}

/// Removes the old directory that a complete conversion has left.
fn clear(path: &Path, left: &Path, media: Media) -> Result<(), StoreError> {
    if fs::symlink_metadata(left).is_err() {
        return Ok(());
    }
    let _lock = Lock::acquire(path)?;
    removal::remove_left(left, path, media)
}

struct Conversion {
    path: PathBuf,
    /// The directory of the new store, and of the old one after the exchange.
    new: PathBuf,
    to: MediumKind,
    options: StoreOptions,
    media: Media,
}

impl Conversion {
    fn run(&self) -> Result<(), StoreError> {
        let source = Source::open(&self.path, &self.options, self.media)?;
        // Held until the end: between the close of the old store and the exchange nobody may write
        // to it.
        let _lock = Lock::share(&self.path)?;
        // Under the lock of the store: without it another conversion may be at work in there.
        removal::remove_left(&self.new, &self.path, self.media)?;
        let made = self.make(source);
        let exchanged = made.and_then(|lock| {
            boundary!("convert.exchange");
            exchange(&self.path, &self.new)?;
            Ok(lock)
        });
        let _new_lock = match exchanged {
            Ok(lock) => lock,
            Err(error) => {
                // The names are as they were, so it is the new store that goes.
                self.remove(&self.path);
                return Err(error);
            }
        };
        boundary!("convert.exchanged");
        // The exchange is synced before the old files go: else a loss of power could bring the old
        // directory back without its files.
        self.path.parent().map_or(Ok(()), sync_directory)?;
        boundary!("convert.named");
        // Now the old store has the other name.
        self.remove(&self.path);
        boundary!("convert.end");
        tracing::info!(path = %self.path.display(), medium = %self.to, "converted the store");
        Ok(())
    }

    /// Makes the store anew, verified and synced, and gives the lock of its directory.
    fn make(&self, source: Source) -> Result<Lock, StoreError> {
        make_directory(&self.new)?;
        {
            // The lock file is the first file: the next conversion recognizes remains by it.
            let _lock = Lock::acquire(&self.new)?;
            self.check_exchange()?;
            sync_directory(&self.new)?;
        }
        boundary!("convert.begun");
        let target = self.create(source.extent()?)?;
        boundary!("convert.created");
        let copied = copying::copy(&source, &target)?;
        source.close()?;
        drop(source);
        // Both stores are closed before the verification, which opens the new one as a user would.
        target.close()?;
        boundary!("convert.closed");
        let lock = self.verify(&copied)?;
        sync_directory(&self.new)?;
        boundary!("convert.verified");
        Ok(lock)
    }

    /// Finds out before the copying whether the exchange is possible.
    fn check_exchange(&self) -> Result<(), StoreError> {
        let device =
            |path: &Path| fs::metadata(path).map(|found| found.dev()).map_err(io_error("open", path));
        if device(&self.path)? != device(&self.new)? {
            // The directory is a mount point.
            return Err(io_error("exchange", &self.path)(io::ErrorKind::CrossesDevices.into()));
        }
        probe_exchange(&self.new)
    }

    /// Creates an empty store with the same id, which begins where the old one does.
    fn create(&self, extent: Extent) -> Result<LayeredStore, StoreError> {
        let (to, path, options) = (of_kind(self.media, self.to)?, self.new.clone(), self.options);
        let make = move || {
            let medium = to.create(&path, &options, extent.store)?;
            layered::begin(&*medium, extent.start, extent.epoch)?;
            Ok(medium)
        };
        LayeredStore::open(make, &self.options.layered)
    }

    /// Opens the new store as any other, and compares everything that it gives back with what the
    /// copy read from the old one.
    fn verify(&self, copied: &copying::Seen) -> Result<Lock, StoreError> {
        let opened = open_directory(self.new.clone(), &self.options.medium(Some(self.to)), self.media);
        let opened = Source(Arc::new(opened.map_err(copying::of_target)?));
        // Held over the exchange too, since the directory is a whole store from here on.
        let lock = Lock::share(&self.new)?;
        let seen = copying::look(&opened).map_err(copying::of_target)?;
        // No damage: the old store is whole, and nobody relies on this one yet.
        if seen != *copied {
            let reason = format!("it was written as {copied:?}, and reads as {seen:?}");
            return Err(StoreError::Backend { action: "keep the converted copy", reason });
        }
        opened.close()?;
        Ok(lock)
    }

    /// Removes the directory that no longer counts. A failure does no harm: the next conversion
    /// removes it.
    fn remove(&self, store: &Path) {
        if let Err(error) = removal::discard(&self.new, store, self.media) {
            let (path, reason) = (self.new.display(), error.cause());
            tracing::warn!(%path, reason, "a conversion has left a directory; the next one removes it");
        }
    }
}
