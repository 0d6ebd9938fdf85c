//! The medium of a store, and the names of its files: the only place that knows the names of files
//! of either medium.

use relive::Medium;

/// The medium of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StoreMedium {
    /// sled.
    Sled,
    /// Plain files.
    SegmentFiles,
}

impl StoreMedium {
    /// The names of the log's files, in the language of the interposer: the files that a commit
    /// writes and syncs.
    #[must_use]
    pub fn log(self) -> &'static str {
        match self {
            Self::Sled => "db",
            Self::SegmentFiles => "segment.*",
        }
    }

    /// Whether a file holds stored data, as most bytes of a store do.
    #[must_use]
    pub fn is_data(self, name: &str) -> bool {
        match self {
            Self::Sled => name == "db",
            Self::SegmentFiles => name.starts_with(SEGMENT) || name.starts_with(STREAM),
        }
    }

    /// Whether commits on this medium call `sync_file_range`.
    #[must_use]
    pub fn syncs_ranges(self) -> bool {
        self == Self::Sled
    }
}

/// The file of the superblock, on either medium.
pub const SUPERBLOCK: &str = "relive.super";
/// The superblock has three slots of this size. One holds the state that was synced last, so a lost
/// write of one slot leaves the others.
pub const SUPERBLOCK_SLOT_BYTES: usize = 69632;

/// The common name of files that differ by a number in their names; for other files their own name.
#[must_use]
pub fn class(name: &str) -> &str {
    match name {
        _ if name.starts_with(SNAPSHOT) => "snap.*",
        _ if name.starts_with(SEGMENT) => "segment.*",
        _ if name.starts_with(STREAM) => "stream.*",
        _ => name,
    }
}

/// Whether one file had these two names at two times: sled has one snapshot, under a name that
/// changes.
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    one == other || (one.starts_with(SNAPSHOT) && other.starts_with(SNAPSHOT))
}

/// The prefix of the names of sled's snapshots.
const SNAPSHOT: &str = "snap.";
/// The prefix of the names of the log's segments in plain files.
const SEGMENT: &str = "segment.";
/// The prefix of the names of the other streams in plain files.
const STREAM: &str = "stream.";

impl From<StoreMedium> for Medium {
    fn from(medium: StoreMedium) -> Self {
        match medium {
            StoreMedium::Sled => Self::Sled,
            StoreMedium::SegmentFiles => Self::SegmentFiles,
        }
    }
}

impl std::fmt::Display for StoreMedium {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sled => "sled",
            Self::SegmentFiles => "segment-files",
        })
    }
}
