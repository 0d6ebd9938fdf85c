//! The media by name, and how each begins the file that says which store it keeps.

use std::fmt;

/// What keeps the store of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MediumKind {
    /// The database sled, version 0.34, with what it leaves undone: the default.
    Sled,
    /// Plain files: the log in segments that are written through ahead and used again, so that a commit is one write and one
    /// sync.
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
    /// How its file begins.
    pub(crate) const fn magic(self) -> u32 {
        u32::from_le_bytes(match self {
            Self::Sled => *b"RLVS",
            Self::SegmentFiles => *b"RLSG",
        })
    }

    /// The one that begins its file so.
    pub(crate) fn by_magic(magic: u32) -> Option<Self> {
        [Self::Sled, Self::SegmentFiles].into_iter().find(|medium| medium.magic() == magic)
    }
}
