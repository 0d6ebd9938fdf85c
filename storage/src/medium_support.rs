//! For writers of media: what a [`Medium`] that lives in a directory needs of the store above it.
//!
//! Such a medium describes its files with a [`DirectoryLayout`], recognizes a directory and takes
//! its lock with [`DirectoryLayout::claim`], and keeps the superblock in a [`SuperblockFile`].
//! After a write has failed, it refuses all later calls with a [`Poison`]. A creation first writes
//! a marker; the file that says which store it is comes last, when all other files are synced. The
//! medium decodes stored bytes with a [`Reader`], which trusts none of them, and announces the
//! phases that a crash may separate with [`crate::boundary!`].
//!
//! [`crate::medium`] is the contract, `conformance::check_medium` (feature `test-support`) tells
//! whether a medium keeps it, and [`crate::SegmentFiles`] is an example. A program passes it to
//! [`crate::open_store`] as a [`crate::DirectoryMedium`].
//!
//! [`Medium`]: crate::medium::Medium

pub use crate::directory::{
    DirectoryLayout, DirectoryState, IDENTITY_FILE, IDENTITY_FILE_NEW, Lock, SUPERBLOCK_FILE, StoreIdentity,
    SuperblockFile, file_names, io_error, is_no_file, make_directory, mixed, sync_directory, write_synced,
};
pub use crate::threads::poison::Poison;
pub use crate::wire::Reader;
