//! How the store of a directory is opened.

use crate::contract::durability::Durability;
use crate::contract::medium_kind::MediumKind;
use crate::layered::LayeredOptions;

/// How the store of a directory is opened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StoreOptions {
    /// The medium. Without one, the store stays on the medium that it is on, and a new store is on
    /// the first one that the program knows.
    pub medium: Option<MediumKind>,
    /// The failures that stored data survives: [`Durability::PowerLoss`] by default.
    pub durability: Durability,
    /// About how many bytes of log the store will hold: 256 MiB by default. A smaller log gets
    /// smaller segments.
    pub log_bytes: u64,
    /// How long calls may take, and how large packs of checkpoints are.
    pub layered: LayeredOptions,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            medium: None,
            durability: Durability::PowerLoss,
            log_bytes: 256 << 20,
            layered: LayeredOptions::default(),
        }
    }
}

impl StoreOptions {
    /// Chooses the medium.
    #[must_use]
    pub fn medium(mut self, medium: Option<MediumKind>) -> Self {
        self.medium = medium;
        self
    }

    /// Chooses the tier.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Says about how many bytes of log the store will hold.
    #[must_use]
    pub fn log_bytes(mut self, bytes: u64) -> Self {
        self.log_bytes = bytes;
        self
    }

    /// Chooses how long calls may take, and how large packs of checkpoints are.
    #[must_use]
    pub fn layered(mut self, options: LayeredOptions) -> Self {
        self.layered = options;
        self
    }
}
