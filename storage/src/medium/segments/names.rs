//! The names of the files in the directory of a medium of plain files. Knows no content.

/// There as long as a creation is not finished. Another name than that of a store on sled, which would take what such a
/// creation leaves for its own.
pub(crate) const CREATING: &str = "relive.segments.creating";
/// Says of which segments the log consists.
pub(super) const MANIFEST: &str = "relive.segments";
/// What [`MANIFEST`] is written as before it is renamed.
pub(super) const MANIFEST_NEW: &str = "relive.segments.new";

/// How the name of a segment of the log begins.
pub(super) const SEGMENT: &str = "segment.";
/// How the name of the file of another stream begins.
pub(super) const STREAM: &str = "stream.";

/// The number after a beginning, when the name is one that we give.
pub(super) fn number(name: &str, beginning: &str) -> Option<u64> {
    let number = name.strip_prefix(beginning)?.parse().ok()?;
    (name == format!("{beginning}{number}")).then_some(number)
}
