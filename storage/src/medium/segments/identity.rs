//! The names by which a medium of plain files recognizes its directory. Reads names only, and knows
//! no value.

use std::fs;
use std::path::Path;

use super::names::{CREATING, MANIFEST, MANIFEST_NEW, SEGMENT, number};
use crate::contract::error::StoreError;
use crate::contract::medium_kind::MediumKind;
use crate::directory::{
    DirectoryLayout, IDENTITY_FILE_NEW, SUPERBLOCK_FILE, file_names, io_error, sync_directory,
};

/// The format of the directory: its files, and everything that stands in their values.
pub(super) const FORMAT: u32 = 2;
/// The version of the heads of the files and of the manifest, which both formats share.
pub(super) const FILE_VERSION: u32 = 1;

pub(super) const LAYOUT: DirectoryLayout = DirectoryLayout {
    medium: MediumKind::SegmentFiles,
    oldest: 1,
    format: FORMAT,
    creating: CREATING,
    needed: &[
        (SUPERBLOCK_FILE, "what was acknowledged is not known"),
        (MANIFEST, "of which segments the log consists is not known"),
    ],
    is_ours: |name| [SUPERBLOCK_FILE, MANIFEST].contains(&name) || number(name, SEGMENT).is_some(),
};

/// Removes the remains of an unfinished creation, its marker last. Leaves every file that a
/// creation never makes.
pub(super) fn clear(directory: &Path) -> Result<(), StoreError> {
    for name in file_names(directory)? {
        if [IDENTITY_FILE_NEW, SUPERBLOCK_FILE, MANIFEST, MANIFEST_NEW].contains(&name.as_str()) {
            let path = directory.join(&name);
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    sync_directory(directory)?;
    LAYOUT.finish_creation(directory)
}
