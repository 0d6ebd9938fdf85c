//! How a store on sled is opened. Given by whoever opens it.

use std::time::Duration;

use crate::Durability;

/// The options of [`crate::SledStore::open`].
///
/// # Examples
/// ```
/// use relive_storage::{Durability, SledOptions};
///
/// let options = SledOptions::default().durability(Durability::ProcessCrash);
/// assert_eq!(options.durability, Durability::ProcessCrash);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SledOptions {
    /// What stored data survives: `PowerLoss` (the default) or `ProcessCrash`.
    pub durability: Durability,
    /// How long one call may take, waiting for those before it included, until the store is given up as hung:
    /// 30 seconds by default. Time in which the process is stopped, or the machine sleeps, does not count.
    pub call_timeout: Duration,
    /// How long opening may take: 5 minutes by default. It reads back all that was written since the last opening.
    pub open_timeout: Duration,
}

impl SledOptions {
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
}

impl Default for SledOptions {
    fn default() -> Self {
        Self {
            durability: Durability::PowerLoss,
            call_timeout: Duration::from_secs(30),
            open_timeout: Duration::from_secs(300),
        }
    }
}
