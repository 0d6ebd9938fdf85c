//! Randomness for identities, from the keys that the standard library draws of the operating system. Not for
//! secrets, and not for anything that replay sees.

use std::hash::{BuildHasher, RandomState};

/// A number that no other store has.
pub(crate) fn random_u128() -> u128 {
    let now = std::time::SystemTime::now();
    let draw = |side: u8| {
        // Keys of one thread differ by a counter only; the hash spreads them, the clock and the process add to it.
        RandomState::new().hash_one((side, now, std::process::id()))
    };
    (u128::from(draw(0)) << 64) | u128::from(draw(1))
}
