//! Finds out which medium the store of a directory is on, and opens it on that one. Knows the media
//! by name, and of their files only how the identity file begins.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::contract::error::StoreError;
use crate::contract::medium_kind::MediumKind;
use crate::directory::{IDENTITY_FILE, io_error, is_no_file};
use crate::layered::LayeredStore;
use crate::medium::segments::SEGMENTS_CREATING;
use crate::opening::directory_medium::{Media, of_kind};
use crate::opening::options::StoreOptions;

/// The medium that the store of a directory is on, or that an unfinished creation was for; `None`
/// when the directory holds neither, or when its identity file does not say it. Takes no lock and
/// changes nothing.
///
/// # Errors
/// [`StoreError::Io`].
pub fn medium_of(directory: impl AsRef<Path>) -> Result<Option<MediumKind>, StoreError> {
    let path = directory.as_ref().join(IDENTITY_FILE);
    let mut magic = [0; 4];
    let read = File::open(&path).and_then(|mut file| file.read_exact(&mut magic));
    match read {
        Ok(()) => Ok(MediumKind::by_magic(u32::from_le_bytes(magic))),
        Err(error) if is_no_file(&error) => {
            let unfinished = directory.as_ref().join(SEGMENTS_CREATING).exists();
            Ok(unfinished.then_some(MediumKind::SegmentFiles))
        }
        Err(error) => Err(io_error("read", &path)(error)),
    }
}

/// Opens the store of a directory, which is an absolute path, on the medium that it is on; creates
/// one in a directory that is missing or empty.
///
/// # Errors
/// [`StoreError::OtherMedium`] when another medium keeps it than the one asked for;
/// [`StoreError::Misuse`] when that is none of `media`; those of
/// [`crate::DirectoryMedium::open`] and [`LayeredStore::open`].
pub(crate) fn open_directory(
    path: PathBuf,
    options: &StoreOptions,
    media: Media,
) -> Result<LayeredStore, StoreError> {
    // Without the lock, which each medium takes by itself: what is found here may be outdated.
    let there = medium_of(&path)?;
    let default = media.first().map(|medium| medium.kind());
    let asked = options.medium.or(there).or(default);
    let Some(asked) = asked else {
        return Err(StoreError::Misuse { what: "no medium was given to keep a store".to_owned() });
    };
    if let Some(found) = there
        && found != asked
    {
        return Err(StoreError::OtherMedium { path, found, asked });
    }
    let (has_asked, layered, options) = (options.medium.is_some(), options.layered, *options);
    let open = move |kind| of_kind(media, kind)?.open(&path, &options);
    let open = move || match open(asked) {
        // Another process made it after this one looked.
        Err(StoreError::OtherMedium { found, .. }) if !has_asked => open(found),
        opened => opened,
    };
    LayeredStore::open(open, &layered)
}
