//! Randomness for identities, from the hash keys that the standard library gets from the operating
//! system. Use it for no secret, and for nothing that a replay sees.

use std::hash::{BuildHasher, RandomState};

/// A number that no other store has.
pub(super) fn random_u128() -> u128 {
    let now = std::time::SystemTime::now();
    let draw = |side: u8| {
        // The keys of one thread differ only by a counter: the hash spreads them, and the clock and
        // the process id add to them.
        RandomState::new().hash_one((side, now, std::process::id()))
    };
    (u128::from(draw(0)) << 64) | u128::from(draw(1))
}
