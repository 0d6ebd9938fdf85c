//! The names by which a medium on sled recognizes its directory. Reads names only.

use std::fs;
use std::path::Path;

use relive_storage::medium_support::{
    DirectoryLayout, IDENTITY_FILE_NEW, SUPERBLOCK_FILE, file_names, io_error, sync_directory,
};
use relive_storage::{MediumKind, StoreError};

use crate::names::{BLOBS, CONF, CREATING, DATA, SNAPSHOT};

/// The format of the directory: its files, sled's tree, its keys and the headers of the parts of
/// values, and everything that stands in the values.
pub(crate) const FORMAT: u32 = 4;
/// The oldest format with these files, tree, keys and headers. Stores of formats 1 and 2 had no
/// medium, see `older`.
const OLDEST_FORMAT: u32 = 3;

pub(crate) const LAYOUT: DirectoryLayout = DirectoryLayout {
    medium: MediumKind::Sled,
    oldest: OLDEST_FORMAT,
    format: FORMAT,
    creating: CREATING,
    needed: &[
        (SUPERBLOCK_FILE, "what was acknowledged is not known"),
        (CONF, "sled would take the data for something else"),
        (DATA, "all that was stored is in it"),
    ],
    is_ours: |name| [SUPERBLOCK_FILE, IDENTITY_FILE_NEW].contains(&name),
};

/// Removes the remains of an unfinished creation, its marker last. Leaves every file that a
/// creation never makes.
pub(crate) fn clear(directory: &Path) -> Result<(), StoreError> {
    for name in file_names(directory)? {
        let path = directory.join(&name);
        let file = [IDENTITY_FILE_NEW, SUPERBLOCK_FILE, CONF, DATA].contains(&name.as_str())
            || name.starts_with(SNAPSHOT);
        let removed = if file {
            fs::remove_file(&path)
        } else if name == BLOBS {
            fs::remove_dir_all(&path)
        } else {
            Ok(())
        };
        removed.map_err(io_error("remove", &path))?;
    }
    sync_directory(directory)?;
    LAYOUT.finish_creation(directory)
}
