//! Draws the version of the next worker from a seed: the same for the same seed and the same past.
//! A version may only make mistakes that the log can show by then, so that each check is a check of
//! a promise.

use crate::harness::random::Random;
use crate::workload::Version;
use crate::workload::version::{Difference, Differs, Of, Panics};

/// The past, from which a campaign draws a version.
#[derive(Clone, Copy, Debug, Default)]
pub struct Past {
    /// All messages up to this one are acknowledged: a new one has a greater number.
    pub acknowledged: u64,
    /// Actors have handled all messages up to this one, and the log tells so and what the messages
    /// did.
    pub covered: u64,
    /// Whether the worker before shut down with all actors, so that an opening has nothing to
    /// replay.
    pub shut_down: bool,
}

/// Draws a version: now and then the good one, else one with one or two mistakes.
pub fn draw(random: &mut Random, past: Past) -> Version {
    let mut version = Version::default();
    if random.below(20) < 8 {
        return version;
    }
    for _ in 0..1 + random.below(2) {
        match random.below(7) {
            0 | 1 => version.panics = panics(random, past),
            2 | 3 => version.differs = differs(random, past),
            4 => version.sets_twice = true,
            5 => version.drops = true,
            _ => version.gives_up = true,
        }
    }
    version
}

fn panics(random: &mut Random, past: Past) -> Option<Panics> {
    let of = *random.pick(&[Of::Account, Of::Account, Of::Account, Of::Audit, Of::Summary]);
    // An acknowledged message may still be on its way from its account to other actors. For those
    // it is new.
    let highest = if of == Of::Account { past.acknowledged } else { past.covered };
    let upto = old(random, highest)?;
    Some(Panics { of, upto, setting: random.one_in(2) })
}

fn differs(random: &mut Random, past: Past) -> Option<Differs> {
    if past.shut_down && random.one_in(2) {
        // No check could tell a replay of this; but after a shutdown no opening replays anything.
        return Some(Differs { what: Difference::State, upto: old(random, past.acknowledged)? });
    }
    let differences =
        [Difference::OtherAudit, Difference::Silent, Difference::MoreEffects, Difference::NoEffects];
    Some(Differs { what: *random.pick(&differences), upto: old(random, past.covered)? })
}

/// Draws a bound for old messages: often all of them, since checkpoints hold the oldest.
fn old(random: &mut Random, highest: u64) -> Option<u64> {
    match highest {
        0 => None,
        _ if random.one_in(2) => Some(highest),
        _ => Some(highest - random.below(highest.min(60))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_drawn_and_knows_what_is_new() {
        let mut random = Random::new(7);
        let past = Past { acknowledged: 90, covered: 70, shut_down: true };
        let versions: Vec<Version> = (0..400).map(|_| draw(&mut random, past)).collect();
        let kinds: [fn(&Version) -> bool; 7] = [
            Version::is_good,
            |v| v.panics.is_some_and(|panics| panics.setting),
            |v| v.panics.is_some_and(|panics| panics.of == Of::Summary && panics.upto <= 70),
            |v| v.differs.is_some_and(|differs| differs.what == Difference::State),
            |v| v.differs.is_some_and(|differs| differs.what != Difference::State && differs.upto <= 70),
            |v| v.sets_twice && v.drops,
            |v| v.gives_up,
        ];
        for kind in kinds {
            assert!(versions.iter().any(kind));
        }
        let nothing = Past::default();
        let bounded = |v: Version| v.panics.is_some() || v.differs.is_some();
        assert!(!(0..400).any(|_| bounded(draw(&mut random, nothing))), "nothing is old yet");
    }
}
