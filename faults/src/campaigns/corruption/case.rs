//! Draws from a seed and a number which store a case damages, and how.

use std::fmt;

use super::file_corruption::Corruption;
use super::fixtures::{Fixture, Level};
use crate::harness::medium::{SUPERBLOCK, SUPERBLOCK_SLOT_BYTES, class};
use crate::harness::random::Random;

/// One damaged store.
pub(super) struct Case<'s> {
    seed: u64,
    number: u64,
    pub(super) fixture: &'s Fixture,
    /// What happens to which file: one corruption, or two.
    pub(super) corruptions: Vec<(String, Corruption)>,
    /// Whether the case also writes to a store that opens, and reads it once more.
    pub(super) goes_on: bool,
}

impl<'s> Case<'s> {
    /// The case of a number. Odd numbers go through every byte of every file of the smallest store,
    /// in an order that spreads any part of it over all bytes. One in four of the even numbers
    /// damages the store of a runtime.
    pub(super) fn draw(seed: u64, number: u64, fixtures: &'s [Fixture]) -> Self {
        let mut random = Random::nth(seed, number);
        let goes_on = random.below(4) == 0;
        let case = |fixture, corruptions| Self { seed, number, fixture, corruptions, goes_on };
        if number % 2 == 1
            && let Some(tiny) = fixtures.first()
        {
            return case(tiny, vec![bit_of(tiny, seed, number / 2)]);
        }
        let level = if number.is_multiple_of(8) { Level::Runtime } else { Level::Store };
        let fitting: Vec<_> = fixtures.iter().filter(|fixture| fixture.level == level).collect();
        let fixture = *random.pick(&fitting);
        let mut corruptions = Vec::new();
        let count = if random.below(4) == 0 { 2 } else { 1 };
        for _ in 0..count {
            let name = file(&mut random, fixture);
            let corruption = Corruption::draw(&mut random, &fixture.image, &fixture.older, &name);
            corruptions.push((name, corruption));
        }
        case(fixture, corruptions)
    }

    /// The file and the corruption under which the histogram counts the case.
    pub(super) fn kind(&self) -> (String, String) {
        let mut files: Vec<_> = self.corruptions.iter().map(|(name, _)| class(name)).collect();
        files.dedup();
        match self.corruptions.as_slice() {
            [(_, corruption)] => (files.join(""), corruption.kind().to_owned()),
            _ => (files.join(" + "), "two corruptions".to_owned()),
        }
    }

    /// Whether the superblock became a valid older one, and something else is damaged. Then the
    /// oracle can ask only for what that superblock knew.
    pub(super) fn has_an_older_superblock(&self) -> bool {
        let is_older = |(name, corruption): &(String, Corruption)| {
            name == SUPERBLOCK && corruption.is_older_by(SUPERBLOCK_SLOT_BYTES)
        };
        self.corruptions.iter().any(is_older) && self.corruptions.iter().any(|(name, _)| name != SUPERBLOCK)
    }
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--seed {} --case {}: {}", self.seed, self.number, self.fixture.name)?;
        for (name, corruption) in &self.corruptions {
            write!(f, ", {name} {corruption}")?;
        }
        Ok(())
    }
}

/// A bit of each byte of each file in turn, and then another bit of each.
fn bit_of(fixture: &Fixture, seed: u64, nth: u64) -> (String, Corruption) {
    let bytes: u64 = fixture.image.0.values().map(|content| content.len() as u64).sum();
    let bit = ((nth / bytes.max(1)).wrapping_add(seed) % 8).to_le_bytes()[0];
    // A stride without a common factor with the number of bytes visits each byte once.
    let stride = ((bytes * 5 / 8) | 1..).find(|stride| gcd(*stride, bytes) == 1).unwrap_or(1);
    let at = u128::from(nth) * u128::from(stride) % u128::from(bytes.max(1));
    let mut at = usize::try_from(at).expect("it is below the size of files in memory");
    for (name, content) in &fixture.image.0 {
        if at < content.len() {
            return (name.clone(), Corruption::Flip { at, bit });
        }
        at -= content.len();
    }
    unreachable!("it is below the number of bytes")
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Draws a file, most often one that holds data, since those are the largest.
fn file(random: &mut Random, fixture: &Fixture) -> String {
    let names: Vec<_> = fixture.image.0.keys().collect();
    let data: Vec<_> = names.iter().copied().filter(|name| fixture.medium.is_data(name)).collect();
    let of = if random.below(2) == 0 { &data } else { &names };
    (*random.pick(of)).clone()
}
