//! sled itself: makes, opens and syncs it, and backs up what it overwrites while it opens.
//!
//! Knows sled's files and the store that they belong to; must not know what stands in its trees.

pub(crate) mod database;
mod segment_backup;
pub(crate) mod sync;
