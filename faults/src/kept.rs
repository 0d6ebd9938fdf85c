//! What keeps a store, and what its files are called: the only place that knows the names of files of either medium.

use relive::Medium;

/// What keeps a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kept {
    /// sled.
    Sled,
    /// Plain files.
    SegmentFiles,
}

impl Kept {
    /// How the files of the log are called, as the interposer understands it: those that a commit writes and syncs.
    #[must_use]
    pub fn log(self) -> &'static str {
        match self {
            Self::Sled => "db",
            Self::SegmentFiles => "segment.*",
        }
    }

    /// Whether a file holds what was stored, as nearly all bytes of a store do.
    #[must_use]
    pub fn is_data(self, name: &str) -> bool {
        match self {
            Self::Sled => name == "db",
            Self::SegmentFiles => name.starts_with(SEGMENT) || name.starts_with(STREAM),
        }
    }

    /// Whether its commits call `sync_file_range`.
    #[must_use]
    pub fn syncs_ranges(self) -> bool {
        self == Self::Sled
    }
}

/// The file of the superblock, on either medium.
pub const SUPERBLOCK: &str = "relive.super";
/// It has three slots of this size, of which one holds what was made stable last: a lost write of one leaves the others.
pub const SUPERBLOCK_SLOT_BYTES: usize = 69632;

/// What files with a number in their name are called together; of others their name.
#[must_use]
pub fn class(name: &str) -> &str {
    match name {
        _ if name.starts_with(SNAPSHOT) => "snap.*",
        _ if name.starts_with(SEGMENT) => "segment.*",
        _ if name.starts_with(STREAM) => "stream.*",
        _ => name,
    }
}

/// Whether two names are those of one file at two times: sled has one snapshot, under a name that changes.
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    one == other || (one.starts_with(SNAPSHOT) && other.starts_with(SNAPSHOT))
}

/// How the names of sled's snapshots begin.
const SNAPSHOT: &str = "snap.";
/// How those of the segments of a log in plain files begin.
const SEGMENT: &str = "segment.";
/// How those of its other streams begin.
const STREAM: &str = "stream.";

impl From<Kept> for Medium {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Sled => Self::Sled,
            Kept::SegmentFiles => Self::SegmentFiles,
        }
    }
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sled => "sled",
            Self::SegmentFiles => "segment-files",
        })
    }
}
