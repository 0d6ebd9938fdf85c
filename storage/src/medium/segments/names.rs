//! The names of the files in the directory of a medium of plain files. Knows no content.

/// The marker of an unfinished creation. Its name differs from the one on sled, so that a medium on
/// sled does not take such remains for its own.
pub(crate) const CREATING: &str = "relive.segments.creating";
/// The list of the segments of the log.
pub(super) const MANIFEST: &str = "relive.segments";
/// The name under which [`MANIFEST`] is written, before it is renamed.
pub(super) const MANIFEST_NEW: &str = "relive.segments.new";

/// How the name of a segment of the log begins.
pub(super) const SEGMENT: &str = "segment.";
/// How the name of the file of another stream begins.
pub(super) const STREAM: &str = "stream.";

/// The number after a prefix, when relive makes files of this name.
pub(super) fn number(name: &str, beginning: &str) -> Option<u64> {
    let number = name.strip_prefix(beginning)?.parse().ok()?;
    (name == format!("{beginning}{number}")).then_some(number)
}
