//! The media by name, and the first bytes of the identity file of each.

use std::fmt;

/// The medium that the store of a directory is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MediumKind {
    /// The database sled, version 0.34, with the syncs and checks that sled leaves out: the
    /// default.
    Sled,
    /// Plain files: the log in segments that are filled with zeros ahead of time and used again, so
    /// that a commit is one write and one sync.
    SegmentFiles,
}

impl fmt::Display for MediumKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sled => "sled",
            Self::SegmentFiles => "segment files",
        })
    }
}

impl MediumKind {
    /// The first bytes of its identity file.
    pub(crate) const fn magic(self) -> u32 {
        u32::from_le_bytes(match self {
            Self::Sled => *b"RLVS",
            Self::SegmentFiles => *b"RLSG",
        })
    }

    /// The medium whose identity file begins with these bytes.
    pub(crate) fn by_magic(magic: u32) -> Option<Self> {
        [Self::Sled, Self::SegmentFiles].into_iter().find(|medium| medium.magic() == magic)
    }
}
