//! Which store is damaged how, for a seed and a number.

use std::fmt;

use super::injury::Injury;
use super::random::Random;
use super::specimens::{Level, Specimen};
use crate::kept::{SUPERBLOCK, SUPERBLOCK_SLOT_BYTES, class};

/// One case.
pub(super) struct Case<'s> {
    seed: u64,
    number: u64,
    pub(super) specimen: &'s Specimen,
    /// What happens to which file: one injury, or two.
    pub(super) injuries: Vec<(String, Injury)>,
    /// Whether a store that opens is also written to, and read once more.
    pub(super) goes_on: bool,
}

impl<'s> Case<'s> {
    /// The case of a number. Odd numbers go through every byte of every file of the smallest store, in an order of
    /// which any part is spread over all; of the others one in four is at the level of a runtime.
    pub(super) fn draw(seed: u64, number: u64, specimens: &'s [Specimen]) -> Self {
        let mut random = Random::of(seed, number);
        let goes_on = random.below(4) == 0;
        let case = |specimen, injuries| Self { seed, number, specimen, injuries, goes_on };
        if number % 2 == 1
            && let Some(tiny) = specimens.first()
        {
            return case(tiny, vec![bit_of(tiny, seed, number / 2)]);
        }
        let level = if number.is_multiple_of(8) { Level::Runtime } else { Level::Store };
        let fitting: Vec<_> = specimens.iter().filter(|specimen| specimen.level == level).collect();
        let specimen = *random.one_of(&fitting);
        let mut injuries = Vec::new();
        let count = if random.below(4) == 0 { 2 } else { 1 };
        for _ in 0..count {
            let name = file(&mut random, specimen);
            let injury = Injury::draw(&mut random, &specimen.image, &specimen.older, &name);
            injuries.push((name, injury));
        }
        case(specimen, injuries)
    }

    /// What it is counted under: file and injury.
    pub(super) fn kind(&self) -> (String, String) {
        let mut files: Vec<_> = self.injuries.iter().map(|(name, _)| class(name)).collect();
        files.dedup();
        match self.injuries.as_slice() {
            [(_, injury)] => (files.join(""), injury.kind().to_owned()),
            _ => (files.join(" + "), "two injuries".to_owned()),
        }
    }

    /// Whether the superblock became a valid older one, and something else is damaged: then all that can be asked is what
    /// that superblock knew.
    pub(super) fn has_an_older_superblock(&self) -> bool {
        let is_older = |(name, injury): &(String, Injury)| {
            name == SUPERBLOCK && injury.is_older_by(SUPERBLOCK_SLOT_BYTES)
        };
        self.injuries.iter().any(is_older) && self.injuries.iter().any(|(name, _)| name != SUPERBLOCK)
    }
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--seed {} --case {}: {}", self.seed, self.number, self.specimen.name)?;
        for (name, injury) in &self.injuries {
            write!(f, ", {name} {injury}")?;
        }
        Ok(())
    }
}

/// A bit of each byte of each file in turn, and then another bit of each.
fn bit_of(specimen: &Specimen, seed: u64, nth: u64) -> (String, Injury) {
    let bytes: u64 = specimen.image.0.values().map(|content| content.len() as u64).sum();
    let bit = ((nth / bytes.max(1)).wrapping_add(seed) % 8).to_le_bytes()[0];
    // A stride that has no factor in common with the number of bytes comes to each of them once.
    let stride = ((bytes * 5 / 8) | 1..).find(|stride| gcd(*stride, bytes) == 1).unwrap_or(1);
    let at = u128::from(nth) * u128::from(stride) % u128::from(bytes.max(1));
    let mut at = usize::try_from(at).expect("it is below the size of files in memory");
    for (name, content) in &specimen.image.0 {
        if at < content.len() {
            return (name.clone(), Injury::Flip { at, bit });
        }
        at -= content.len();
    }
    unreachable!("it is below the number of bytes")
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A file: most often one of the data, which are the largest.
fn file(random: &mut Random, specimen: &Specimen) -> String {
    let names: Vec<_> = specimen.image.0.keys().collect();
    let data: Vec<_> = names.iter().copied().filter(|name| specimen.medium.is_data(name)).collect();
    let of = if random.below(2) == 0 { &data } else { &names };
    (*random.one_of(of)).clone()
}
