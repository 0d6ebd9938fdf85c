//! The options with which fixtures and oracles open the stores.

use std::time::Duration;

use relive_storage::{LayeredOptions, StoreOptions};

pub(super) fn store_options() -> StoreOptions {
    let layered = LayeredOptions::default().call_timeout(CALL_TIMEOUT).open_timeout(CALL_TIMEOUT);
    StoreOptions::default().log_bytes(LOG_BYTES).layered(layered)
}

/// On segment files a segment has a quarter of this, so that a small store has several segments.
pub(super) const LOG_BYTES: u64 = 256 << 10;

/// Far more than a call on a small store takes, even on a busy machine.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(15);
