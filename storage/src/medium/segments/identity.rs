//! What the directory of a medium of plain files is made of, as far as that tells what a directory is. Reads names only, and
//! knows no value.

use std::fs;
use std::path::Path;

use super::names::{CREATING, MANIFEST, MANIFEST_NEW, SEGMENT, number};
use crate::directory::{Layout, STORE_NEW, io_error, names, sync_directory};
use crate::medium::superblock_file::SUPER;
use crate::{MediumKind, StoreError};

/// The format of the directory and of all of its files.
pub(super) const FORMAT: u32 = 1;

pub(super) const LAYOUT: Layout = Layout {
    medium: MediumKind::SegmentFiles,
    oldest: 1,
    format: FORMAT,
    creating: CREATING,
    needed: &[
        (SUPER, "what was acknowledged is not known"),
        (MANIFEST, "of which segments the log consists is not known"),
    ],
    is_ours: |name| [SUPER, MANIFEST].contains(&name) || number(name, SEGMENT).is_some(),
};

/// Removes what an unfinished creation left, the marker of it last; leaves everything that it never makes.
pub(super) fn clear(directory: &Path) -> Result<(), StoreError> {
    for name in names(directory)? {
        if [STORE_NEW, SUPER, MANIFEST, MANIFEST_NEW].contains(&name.as_str()) {
            let path = directory.join(&name);
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    sync_directory(directory)?;
    LAYOUT.finish(directory)
}
