//! What the directory of a store on sled is made of, as far as that tells what a directory is. Reads names only.

use std::fs;
use std::path::Path;

use super::files::{ASIDE, BLOBS, CONF, CREATING, DATA, MARK, SNAPSHOT};
use crate::directory::{Identity, Layout, STORE_NEW, io_error, names, sync_directory};
use crate::{MediumKind, StoreError};

/// The format of the directory: its files, sled's trees, their keys and the headers of their values. What stands in
/// blocks and checkpoints has versions of its own, of which none may be newer than a reader of this format knows.
/// Version 2 has frames of version 2; all else is as in version 1.
pub(super) const FORMAT: u32 = 2;

pub(super) const LAYOUT: Layout = Layout {
    medium: MediumKind::Sled,
    format: FORMAT,
    creating: CREATING,
    needed: &[
        (MARK, "how far the log was acknowledged is not known"),
        (CONF, "sled would take the data for something else"),
        (DATA, "all that was stored is in it"),
    ],
    is_ours: |name| [MARK, STORE_NEW, ASIDE].contains(&name),
};

/// Whether something was written by an older version.
pub(super) fn is_older(identity: Identity) -> bool {
    identity.format < FORMAT
}

/// Removes what an unfinished creation left, the marker of it last; leaves everything that we never make.
pub(super) fn clear(directory: &Path) -> Result<(), StoreError> {
    for name in names(directory)? {
        let path = directory.join(&name);
        let file = [STORE_NEW, MARK, CONF, DATA].contains(&name.as_str()) || name.starts_with(SNAPSHOT);
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
