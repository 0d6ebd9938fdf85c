//! The only places where the runtime reads the wall clock and draws randomness. Both go into
//! records, and handlers read them from there.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use relive_storage::Timestamp;

/// Now, by the machine's clock. A clock before 1970 reads as 1970.
pub(crate) fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// 64 unpredictable bits: the standard library seeds its hashers from the system's randomness, and
/// changes the seed at each use.
pub(crate) fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
