//! The directory of a store on any medium: what it is, the lock that lets one handle open it, its
//! superblock file, the directory that a conversion makes beside it, and the few operations on
//! files.
//!
//! Knows the media by name and the files that all of them have; must not know where a medium keeps
//! its values, nor what they are.

mod beside;
mod claim;
mod files;
mod holders;
mod identity;
mod lock;
mod superblock_file;

pub(crate) use beside::{conversion_directory, exchange, probe_exchange};
pub use files::{file_names, io_error, is_no_file, make_directory, sync_directory, write_synced};
pub use identity::{DirectoryLayout, DirectoryState, IDENTITY_FILE, IDENTITY_FILE_NEW, StoreIdentity, mixed};
pub use lock::Lock;
pub(crate) use lock::{LOCK_FILE, remembered};
pub use superblock_file::{SUPERBLOCK_FILE, SuperblockFile};
