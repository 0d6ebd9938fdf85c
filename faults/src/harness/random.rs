//! Choices drawn from a seed: the same seed, the same choices, on every machine. `SplitMix64`
//! (Steele, Lea and Flood, OOPSLA 2014).

use relive_storage::frame::split_mix;

/// A sequence of choices.
#[derive(Clone, Debug)]
pub struct Random {
    seed: u64,
    drawn: u64,
}

impl Random {
    /// The choices of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// The choices of a case by its number.
    #[must_use]
    pub fn nth(seed: u64, number: u64) -> Self {
        Self::new(Self::new(seed).bits() ^ number.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.drawn += 1;
        split_mix(self.seed, self.drawn)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end.max(1)
    }

    /// An index into something.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.bits().to_le_bytes()[0]
    }

    /// True once in `n` on average.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of the given items.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.index(of.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures in the documents name seeds, so a seed must always draw the same choices.
    #[test]
    fn a_seed_draws_what_it_always_drew() {
        let draws = |mut random: Random| [random.bits(), random.bits(), random.bits()];
        assert_eq!(
            draws(Random::new(0)),
            [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]
        );
        assert_eq!(
            draws(Random::nth(1, 7)),
            [0x697b_1fe3_d155_2d79, 0x740c_f3e1_effc_f2c8, 0x82cd_3370_d70a_a24f]
        );
    }
}
