//! Moves a store from one medium to another, so that a crash at any moment leaves it whole on one of the two. Knows the order
//! of the steps; what is on the media is read and written as any store is.
//!
//! The store is made anew in a directory beside its own, which is verified and stable before the two exchange their names in
//! one step of the file system. Before that step nothing of the old one is changed, after it nothing of it is needed.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `source` | reading a store from its beginning to its end |
//! | `copying` | writing that into another; what two readings are compared by |
//! | `leaving` | removing a directory that is not needed any more |

mod copying;
mod leaving;
mod source;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::choice::{create_medium, layered_options, open_directory};
use crate::directory::{
    Lock, STORE, beside, exchange, io_error, make_directory, probe_exchange, remembered, sync_directory,
};
use crate::layered;
use crate::log::Extent;
use crate::old_sled::is_old;
use crate::{Durability, LayeredStore, MediumKind, StoreError, StoreOptions, boundary};
use source::Source;

/// Moves the store of a directory to another medium. Does nothing when it is on that one already.
///
/// It stays the same store: its id, its log from where it begins, both checkpoints of each actor, and all numbers are as they
/// were. What a commit has left that nobody was told about is left out. The store must not be open, and can't be opened by
/// others meanwhile.
///
/// A crash at any moment leaves the store whole in its directory, on the old medium or on the new one. It may leave a
/// directory beside it too, of the same name and `.converting`, which the next conversion removes. It needs as much space as
/// the store once more until it is through. Files in the directory that are not the store's stay in it. The new directory
/// belongs to the user that converts, and no other can enter it.
///
/// Of `options` the medium and the durability have no meaning here: everything is made to survive the loss of power.
///
/// # Errors
/// The store is on the old medium and was not changed: [`StoreError::NoStore`], [`StoreError::Locked`], all damage
/// ([`StoreError::CorruptLog`], [`StoreError::LostAcknowledged`], [`StoreError::CorruptCheckpoint`],
/// [`StoreError::CorruptStore`], [`StoreError::Missing`], [`StoreError::Mixed`]: restore the files), [`StoreError::NewerFormat`],
/// [`StoreError::NotAStore`] (the name of the directory beside it is taken by something else), [`StoreError::Backend`] and [`StoreError::Hung`]. [`StoreError::Io`] too, as when the disk is
/// full or the file system can't exchange two directories in one step. Only one that comes while the parent directory is
/// synced says nothing of which medium it is on: it is whole on one of the two, and the next conversion goes on from there.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use relive_storage::{MediumKind, StoreOptions, convert_store, open_store};
///
/// # let root = tempfile::tempdir()?;
/// # let path = root.path().join("data");
/// open_store(&path, &StoreOptions::default())?.close()?;
/// convert_store(&path, MediumKind::SegmentFiles, &StoreOptions::default())?;
/// assert_eq!(MediumKind::of(&path)?, Some(MediumKind::SegmentFiles));
/// # Ok(())
/// # }
/// ```
pub fn convert_store(
    path: impl AsRef<Path>,
    to: MediumKind,
    options: &StoreOptions,
) -> Result<(), StoreError> {
    let path = path.as_ref();
    let path = match fs::canonicalize(path) {
        // The name that is exchanged is that of the directory itself, not of a link to it.
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StoreError::NoStore { path: path.to_owned() });
        }
        Err(error) => return Err(io_error("find", path)(error)),
    };
    let from = kept_by(&path)?;
    if from == Some(to) && !is_old(&path)? {
        return clear(&path, &name_beside(&path)?);
    }
    convert(path, from, to, options)
}

/// Makes a store of an older format one of today's, on the medium on which it is. Its path is that of the directory itself.
///
/// # Errors
/// Those of [`convert_store`].
pub(crate) fn upgrade(path: PathBuf, options: &StoreOptions) -> Result<(), StoreError> {
    tracing::info!(path = %path.display(), "the store gets a newer format, older versions will not open it");
    let kind = MediumKind::Sled;
    if let Some(asked) = options.medium.filter(|asked| *asked != kind) {
        return Err(StoreError::OtherMedium { path, found: kind, asked });
    }
    convert(path, Some(kind), kind, options)
}

fn convert(
    path: PathBuf,
    from: Option<MediumKind>,
    to: MediumKind,
    options: &StoreOptions,
) -> Result<(), StoreError> {
    let new = name_beside(&path)?;
    let options = options.medium(from).durability(Durability::PowerLoss);
    Conversion { path, new, to, options }.run()
}

/// The directory in which the store is made anew.
fn name_beside(path: &Path) -> Result<PathBuf, StoreError> {
    beside(path).ok_or_else(|| StoreError::Misuse {
        what: format!("{} can't be exchanged with another directory", path.display()),
    })
}

/// What keeps the store of a directory, `None` when that can't be said, and opening it is going to tell why.
fn kept_by(path: &Path) -> Result<Option<MediumKind>, StoreError> {
    if path.join(STORE).exists() {
        return MediumKind::of(path);
    }
    // Without that file an opening would make a store, unless the directory is known to have held one.
    if path.is_dir() && remembered(path)?.is_some() {
        return Ok(None);
    }
    Err(StoreError::NoStore { path: path.to_owned() })
}

/// Removes what a conversion that was through has left of the old medium.
fn clear(path: &Path, left: &Path) -> Result<(), StoreError> {
    if fs::symlink_metadata(left).is_err() {
        return Ok(());
    }
    let _lock = Lock::acquire(path)?;
    leaving::remove_left(left, path)
}

struct Conversion {
    path: PathBuf,
    /// Where the store is made anew, and where the old one is after the exchange.
    new: PathBuf,
    to: MediumKind,
    options: StoreOptions,
}

impl Conversion {
    fn run(&self) -> Result<(), StoreError> {
        let source = Source::open(&self.path, &self.options)?;
        // Held until all is over: between the closing of the old store and the exchange nobody may write to it.
        let _lock = Lock::share(&self.path)?;
        leaving::remove_left(&self.new, &self.path)?;
        let made = self.make(source);
        let exchanged = made.and_then(|lock| {
            boundary!("convert.exchange");
            exchange(&self.path, &self.new)?;
            Ok(lock)
        });
        let _new_lock = match exchanged {
            Ok(lock) => lock,
            Err(error) => {
                self.remove(&self.path);
                return Err(error);
            }
        };
        boundary!("convert.exchanged");
        // Else the loss of power could bring the old directory's name back when its files are gone.
        self.path.parent().map_or(Ok(()), sync_directory)?;
        boundary!("convert.named");
        self.remove(&self.path);
        boundary!("convert.end");
        tracing::info!(path = %self.path.display(), medium = %self.to, "converted the store");
        Ok(())
    }

    /// Makes the store anew, verified and stable, and gives the lock of its directory.
    fn make(&self, source: Source) -> Result<Lock, StoreError> {
        make_directory(&self.new)?;
        {
            // Its first file, by which it is recognized as what a conversion has left.
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
        target.close()?;
        boundary!("convert.closed");
        let lock = self.verify(&copied)?;
        sync_directory(&self.new)?;
        boundary!("convert.verified");
        Ok(lock)
    }

    /// Finds out ahead of all the copying whether the exchange is possible.
    fn check_exchange(&self) -> Result<(), StoreError> {
        let device =
            |path: &Path| fs::metadata(path).map(|found| found.dev()).map_err(io_error("open", path));
        if device(&self.path)? != device(&self.new)? {
            // The directory is where a file system is mounted.
            return Err(io_error("exchange", &self.path)(io::ErrorKind::CrossesDevices.into()));
        }
        probe_exchange(&self.new)
    }

    /// Makes an empty store that is the same and begins where the old one does.
    fn create(&self, extent: Extent) -> Result<LayeredStore, StoreError> {
        let (to, path, options) = (self.to, self.new.clone(), self.options);
        let make = move || {
            let medium = create_medium(to, &path, &options, extent.store)?;
            layered::begin(&*medium, extent.start, extent.epoch)?;
            Ok(medium)
        };
        LayeredStore::open(make, &layered_options(&self.options))
    }

    /// Opens the new store as any other, and compares all that it gives back with what was read from the old one.
    fn verify(&self, copied: &copying::Seen) -> Result<Lock, StoreError> {
        let opened = open_directory(self.new.clone(), &self.options.medium(Some(self.to)));
        let opened = Source(Arc::new(opened.map_err(copying::of_target)?));
        let lock = Lock::share(&self.new)?;
        let seen = copying::look(&opened).map_err(copying::of_target)?;
        if seen != *copied {
            let reason = format!("it was written as {copied:?}, and reads as {seen:?}");
            return Err(StoreError::Backend { action: "keep the converted copy", reason });
        }
        opened.close()?;
        Ok(lock)
    }

    /// Removes the directory that does not count. Nothing depends on whether that goes well.
    fn remove(&self, store: &Path) {
        if let Err(error) = leaving::discard(&self.new, store) {
            let (path, reason) = (self.new.display(), error.cause());
            tracing::warn!(%path, reason, "a conversion has left a directory; the next one removes it");
        }
    }
}
