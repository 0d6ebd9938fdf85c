//! The options for opening a medium of plain files.

use crate::contract::durability::Durability;

/// The options of [`crate::SegmentFiles::open`].
///
/// # Examples
/// ```
/// use relive_storage::{Durability, SegmentOptions};
///
/// let options = SegmentOptions::default().durability(Durability::ProcessCrash);
/// assert_eq!(options.durability, Durability::ProcessCrash);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SegmentOptions {
    /// The failures that stored data survives: `PowerLoss` (the default) or `ProcessCrash`.
    pub durability: Durability,
    /// The bytes of a segment of the log: 16 MiB by default, 4 KiB at least. A removal from the
    /// front frees disk space in steps of this size. Existing segments keep their size.
    pub segment_bytes: u64,
}

impl SegmentOptions {
    /// Chooses the tier.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Chooses the bytes of a segment of the log.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self { durability: Durability::PowerLoss, segment_bytes: 16 << 20 }
    }
}
