//! The names of the files in the directory of a medium on sled. Knows no content.

/// The marker of an unfinished creation.
pub(crate) const CREATING: &str = "relive.creating";
/// The backup of the segments that sled may overwrite while it opens. It exists until the opening
/// is complete.
pub(crate) const SEGMENT_BACKUP: &str = "relive.rescue";
/// The name under which [`SEGMENT_BACKUP`] is written, before it is renamed.
pub(crate) const SEGMENT_BACKUP_NEW: &str = "relive.rescue.new";
/// The directory in which earlier versions put half-written snapshots of sled.
pub(crate) const ASIDE: &str = "relive.aside";
/// sled's configuration.
pub(crate) const CONF: &str = "conf";
/// sled's data.
pub(crate) const DATA: &str = "db";
/// sled's large values; this crate writes none.
pub(crate) const BLOBS: &str = "blobs";
/// How the names of sled's snapshots begin.
pub(crate) const SNAPSHOT: &str = "snap.";
