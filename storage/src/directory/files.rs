//! The few things done with files, with errors that name them. Knows no file by its name.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

use crate::StoreError;

/// Makes an error of the operating system one of ours.
pub(crate) fn io_error<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |error| StoreError::Io { action, path: path.to_owned(), reason: Arc::new(error) }
}

/// Whether a file was not there, or shorter than what was to be read of it.
pub(crate) fn is_no_file(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::UnexpectedEof)
}

/// Makes the names in a directory stable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let directory = File::open(path).map_err(io_error("open", path))?;
    directory.sync_all().map_err(io_error("sync", path))
}

/// Writes a new file and makes its content stable; its name only after [`sync_directory`].
pub(crate) fn write_synced(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let mut file = File::create(path).map_err(io_error("create", path))?;
    file.write_all(content).map_err(io_error("write", path))?;
    file.sync_all().map_err(io_error("sync", path))
}

/// The names in a directory, sorted.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(io_error("list", path))? {
        let entry = entry.map_err(io_error("list", path))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Makes a directory that only its owner can enter, and its name stable; or shuts one that is there.
pub(crate) fn make_directory(directory: &Path) -> Result<(), StoreError> {
    let parent = directory.parent();
    if let Some(parent) = parent {
        fs::create_dir_all(parent).map_err(io_error("create", parent))?;
    }
    if !directory.is_dir() {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, PRIVATE);
        builder.create(directory).map_err(io_error("create", directory))?;
    }
    #[cfg(unix)]
    {
        let private = std::os::unix::fs::PermissionsExt::from_mode(PRIVATE);
        fs::set_permissions(directory, private).map_err(io_error("protect", directory))?;
    }
    parent.map_or(Ok(()), sync_directory)
}

#[cfg(unix)]
const PRIVATE: u32 = 0o700;
