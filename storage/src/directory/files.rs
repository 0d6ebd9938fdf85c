//! The few operations on files, with errors that name the file. Knows no file by its name.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

use crate::contract::error::StoreError;

/// Converts an error of the operating system.
pub fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |error| StoreError::Io { action, path: path.to_owned(), reason: Arc::new(error) }
}

/// Whether a file was missing, or ended before the bytes that the caller reads.
pub fn is_no_file(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::UnexpectedEof)
}

/// Syncs the names in a directory.
///
/// # Errors
/// [`StoreError::Io`].
pub fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let directory = File::open(path).map_err(io_error("open", path))?;
    directory.sync_all().map_err(io_error("sync", path))
}

/// Writes a new file and syncs its content; its name only after [`sync_directory`].
///
/// # Errors
/// [`StoreError::Io`].
pub fn write_synced(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let mut file = File::create(path).map_err(io_error("create", path))?;
    file.write_all(content).map_err(io_error("write", path))?;
    file.sync_all().map_err(io_error("sync", path))
}

/// The names in a directory, sorted.
///
/// # Errors
/// [`StoreError::Io`].
pub fn file_names(path: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(io_error("list", path))? {
        let entry = entry.map_err(io_error("list", path))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Makes a directory that only its owner can enter, and syncs its name. Gives an existing one the
/// same permissions.
///
/// # Errors
/// [`StoreError::Io`].
pub fn make_directory(directory: &Path) -> Result<(), StoreError> {
    let parent = directory.parent();
    if let Some(parent) = parent {
        fs::create_dir_all(parent).map_err(io_error("create", parent))?;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, PRIVATE);
    match builder.create(directory) {
        Ok(()) => {}
        // It exists, or another process makes it at the same time. The lock in it decides who owns
        // it.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => {}
        Err(error) => return Err(io_error("create", directory)(error)),
    }
    // An existing directory may be open to others.
    #[cfg(unix)]
    {
        let private = std::os::unix::fs::PermissionsExt::from_mode(PRIVATE);
        fs::set_permissions(directory, private).map_err(io_error("protect", directory))?;
    }
    parent.map_or(Ok(()), sync_directory)
}

#[cfg(unix)]
const PRIVATE: u32 = 0o700;

#[cfg(test)]
mod tests {
    use super::*;

    /// Several processes may find no directory, and make it at the same time.
    #[test]
    fn a_directory_is_made_by_all_who_want_it() {
        let root = tempfile::tempdir().unwrap();
        for round in 0..200 {
            let directory = root.path().join(format!("{round}/store"));
            let together = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        together.wait();
                        make_directory(&directory).unwrap();
                    });
                }
            });
            assert!(directory.is_dir());
        }
        fs::write(root.path().join("file"), "").unwrap();
        assert!(make_directory(&root.path().join("file")).is_err());
    }
}
