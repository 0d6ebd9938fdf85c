//! What the directory of a medium on sled is made of, as far as that tells what a directory is. Reads names only.

use std::fs;
use std::path::Path;

use super::names::{BLOBS, CONF, CREATING, DATA, SNAPSHOT};
use crate::directory::{Layout, STORE_NEW, io_error, names, sync_directory};
use crate::medium::superblock_file::SUPER;
use crate::{MediumKind, StoreError};

/// The format of the directory: its files, sled's tree, its keys and the headers of the parts of values. Stores of the formats
/// 1 and 2 were no medium, see `old_sled`.
pub(super) const FORMAT: u32 = 3;

pub(super) const LAYOUT: Layout = Layout {
    medium: MediumKind::Sled,
    oldest: FORMAT,
    format: FORMAT,
    creating: CREATING,
    needed: &[
        (SUPER, "what was acknowledged is not known"),
        (CONF, "sled would take the data for something else"),
        (DATA, "all that was stored is in it"),
    ],
    is_ours: |name| [SUPER, STORE_NEW].contains(&name),
};

/// Removes what an unfinished creation left, the marker of it last; leaves everything that we never make.
pub(super) fn clear(directory: &Path) -> Result<(), StoreError> {
    for name in names(directory)? {
        let path = directory.join(&name);
        let file = [STORE_NEW, SUPER, CONF, DATA].contains(&name.as_str()) || name.starts_with(SNAPSHOT);
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
    LAYOUT.finish(directory)
}
