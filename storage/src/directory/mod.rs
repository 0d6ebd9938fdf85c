//! The directory of a store, whatever medium it is on: what it is, that one handle has it open, and the few things done with
//! files.

mod files;
mod holders;
mod identity;
mod lock;

pub(crate) use files::{io_error, make_directory, names, sync_directory, write_synced};
pub(crate) use identity::{Found, Identity, Layout, STORE, STORE_NEW};
pub(crate) use lock::Lock;
