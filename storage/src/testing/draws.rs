//! Choices out of a seed: the same seed gives the same choices. [`split_mix`] draws them.

use crate::frame::split_mix;

/// A sequence of choices.
#[derive(Clone, Debug)]
pub(crate) struct Draws {
    seed: u64,
    drawn: u64,
}

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        split_mix(self.seed, self.drawn)
    }

    /// One of the first `count` numbers; 0 when there are none.
    pub(crate) fn below(&mut self, count: u64) -> u64 {
        self.bits().checked_rem(count).unwrap_or_default()
    }
}
