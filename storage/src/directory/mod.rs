//! The directory of a store, whatever medium it is on: that one handle has it open, and the few things done with files.

mod files;
mod holders;
mod lock;

pub(crate) use files::{io_error, make_directory, names, sync_directory, write_synced};
pub(crate) use lock::{LOCK, Lock, remembered};
