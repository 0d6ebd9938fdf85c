//! The only place where the runtime draws randomness. It goes into records, and handlers read it
//! from there.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::harness::Harness;

/// The seed of a block: random bits, or those of a test kit, which are the same in each run.
pub(crate) fn seed(harness: &Harness) -> u64 {
    harness.seed().unwrap_or_else(random_seed)
}

/// 64 unpredictable bits: the standard library seeds its hashers from the system's randomness, and
/// changes the seed at each use.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
