//! The default medium of relive: sled 0.34, with the syncs and checks that sled leaves out. And
//! readers of the stores of formats 1 and 2, which existed only on sled.
//!
//! Knows how values get into sled and out of it again; must not know what they mean, nor any other
//! medium. sled's `flush` hands data to the operating system and syncs nothing, sled loses damaged
//! parts silently, and it can panic. So this crate syncs by itself, checks everything that comes
//! back, and keeps a copy beside sled of what sled may lose while it opens.
//!
//! Each module knows only those above it:
//!
//! | module | what it knows |
//! | --- | --- |
//! | `names`, `tuning`, `failures` | the files of the directory; the measured sizes; what sled's errors and panics mean: damage, or a failure of the system |
//! | `tree` | how a value is cut into parts, and how these stand in sled's tree |
//! | `engine` | sled itself: opening it, syncing it, and what it overwrites while it opens |
//! | `medium` | recognizing and making a directory, and the calls of a medium |
//! | `older` | reading the stores of formats 1 and 2 |
//! | `kind` | sled among the media of a directory |
//!
//! # Examples
//! ```
//! use relive_storage::{Log, StoreOptions};
//! use relive_storage_sled::open_store;
//!
//! # let root = tempfile::tempdir()?;
//! let store = open_store(root.path().join("data"), &StoreOptions::default())?;
//! println!("{}", store.extent()?.store);
//! store.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod engine;
mod failures;
mod kind;
mod medium;
mod names;
mod older;
mod tree;
mod tuning;

pub use kind::{MEDIA, SLED, convert_store, open_store};
pub use medium::handle::SledMedium;
