//! The media that can be chosen for the store.

use clap::ValueEnum;

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Medium {
    Sled,
    SegmentFiles,
}

impl Medium {
    /// As it is given to the child process.
    pub(crate) fn as_argument(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::SegmentFiles => "segment-files",
        }
    }
}

impl From<Medium> for relive::Medium {
    fn from(medium: Medium) -> Self {
        match medium {
            Medium::Sled => Self::Sled,
            Medium::SegmentFiles => Self::SegmentFiles,
        }
    }
}
