//! Why a runtime did not become quiet.

use crate::error::Ended;

/// Why a runtime did not become quiet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuietError {
    /// Something moves on and on: actors that keep sending to each other, or a handler that begins
    /// one side effect after another.
    #[error("it is not quiet after {rounds} polls: {}", moving.join(", "))]
    Restless {
        /// How often anything was polled meanwhile.
        rounds: u64,
        /// What still moves, a sentence for each.
        moving: Vec<String>,
    },
    /// The runtime has ended, or none was opened.
    #[error(transparent)]
    Ended(#[from] Ended),
}
