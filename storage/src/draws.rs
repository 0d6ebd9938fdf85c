//! Choices out of a seed: the same seed gives the same choices. `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).

/// A sequence of choices.
#[derive(Clone, Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of the first `count` numbers; 0 when there are none.
    pub(crate) fn below(&mut self, count: u64) -> u64 {
        self.bits().checked_rem(count).unwrap_or_default()
    }
}
