//! The directory of a store, whatever medium it is on: what it is, that one handle has it open, what a conversion makes beside
//! it, and the few things done with files.

mod beside;
mod files;
mod holders;
mod identity;
mod lock;

pub(crate) use beside::{beside, exchange, probe_exchange};
pub(crate) use files::{io_error, is_no_file, make_directory, names, sync_directory, write_synced};
pub(crate) use identity::{Found, Identity, Layout, STORE, STORE_NEW, mixed};
pub(crate) use lock::{LOCK, Lock, remembered};
