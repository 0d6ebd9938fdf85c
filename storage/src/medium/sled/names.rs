//! The names of the files in the directory of a medium on sled. Knows no content.

/// There as long as a creation is not finished.
pub(crate) const CREATING: &str = "relive.creating";
/// What sled may overwrite while it opens; there as long as that is not through.
pub(super) const RESCUE: &str = "relive.rescue";
/// What [`RESCUE`] is written as before it is renamed.
pub(super) const RESCUE_NEW: &str = "relive.rescue.new";
/// Where earlier versions put half-written snapshots of sled's.
pub(super) const ASIDE: &str = "relive.aside";
/// sled's configuration.
pub(crate) const CONF: &str = "conf";
/// sled's data.
pub(crate) const DATA: &str = "db";
/// sled's large values, which we never make.
pub(super) const BLOBS: &str = "blobs";
/// How the names of sled's snapshots begin.
pub(super) const SNAPSHOT: &str = "snap.";
