//! How the store of a directory is opened.

use std::time::Duration;

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
    /// How long one call may take before the store gives it up as hung: 30 seconds by default.
    pub call_timeout: Duration,
    /// How long opening may take: 5 minutes by default. A medium may read back everything written
    /// since the last opening.
    pub open_timeout: Duration,
    /// About how many bytes of log the store will hold: 256 MiB by default. A smaller log gets
    /// smaller segments.
    pub log_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            medium: None,
            durability: Durability::PowerLoss,
            call_timeout: Duration::from_secs(30),
            open_timeout: Duration::from_secs(300),
            log_bytes: 256 << 20,
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

    /// Chooses how long one call may take.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Chooses how long opening may take.
    #[must_use]
    pub fn open_timeout(mut self, timeout: Duration) -> Self {
        self.open_timeout = timeout;
        self
    }

    /// Says about how many bytes of log the store will hold.
    #[must_use]
    pub fn log_bytes(mut self, bytes: u64) -> Self {
        self.log_bytes = bytes;
        self
    }
}

/// The options for opening a store over any medium.
pub(crate) fn layered_options(options: &StoreOptions) -> LayeredOptions {
    LayeredOptions::default().call_timeout(options.call_timeout).open_timeout(options.open_timeout)
}
