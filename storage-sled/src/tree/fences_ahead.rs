//! Which parts at and behind the end of a stream have fences, and which get them next. In memory;
//! knows no tree.

use crate::tuning::PARTS_AHEAD;

/// The fences at and behind the end of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FencesAhead {
    /// How many parts of each position have fences: of the next position, of the one after it, and
    /// so on. None of these is 0 before the first that has no fences.
    fenced: [u16; PARTS_AHEAD],
    /// The expected number of parts of the next values: the most that a value had, less with each
    /// value that had fewer.
    expected: u16,
}

impl FencesAhead {
    /// A value that needs no fences comes to the end.
    pub(crate) fn pass(&mut self) {
        self.take_next();
    }

    /// Returns the missing fences for the next value at the end, and for those after it: how far
    /// the position is from the end, and the part. From now on these count as added, and the end is
    /// behind the value.
    pub(crate) fn advance(&mut self, parts: u16) -> Vec<(u64, u16)> {
        assert!(parts > 0, "each value has a part");
        let fenced = self.take_next();
        let mut missing: Vec<_> = (fenced..parts).map(|part| (0, part)).collect();
        self.expected = parts.max(self.expected - self.expected.div_ceil(FORGOTTEN));
        // Enough parts ahead, not enough positions: sled splits a leaf by its keys.
        let mut ahead: usize = self.fenced.iter().map(|parts| usize::from(*parts)).sum();
        for (position, fenced) in (1..).zip(&mut self.fenced) {
            if *fenced == 0 && ahead < PARTS_AHEAD {
                *fenced = self.expected;
                missing.extend((0..self.expected).map(|part| (position, part)));
                ahead += usize::from(self.expected);
            }
        }
        let bare = self.fenced.iter().position(|parts| *parts == 0).unwrap_or(PARTS_AHEAD);
        assert!(
            self.fenced[bare..].iter().all(|parts| *parts == 0),
            "fences stand ahead without a gap: {:?}",
            self.fenced
        );
        missing
    }

    /// Returns how many parts of the next position have fences. The position after it is the next
    /// one now.
    fn take_next(&mut self) -> u16 {
        self.fenced.rotate_left(1);
        std::mem::take(&mut self.fenced[PARTS_AHEAD - 1])
    }
}

/// A value with fewer parts than expected lowers the expectation by an eighth.
const FORGOTTEN: u16 = 8;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Checks that each part has fences before it comes, and that enough parts after it have some.
    /// Returns how many fences came after a part that stands before them.
    fn late(values: &[u16]) -> usize {
        let (mut fences, mut fenced, mut late) = (FencesAhead::default(), BTreeSet::new(), 0);
        for (position, parts) in (0_u64..).zip(values) {
            for (ahead, part) in fences.advance(*parts) {
                assert!(
                    fenced.insert((position + ahead, part)),
                    "twice: part {part} of {}",
                    position + ahead
                );
                late += usize::from(ahead == 0 && position > 0);
            }
            assert!((0..*parts).all(|part| fenced.contains(&(position, part))), "{position}: {fenced:?}");
            assert!(fenced.range((position + 1, 0)..).count() >= PARTS_AHEAD, "{position}: {fenced:?}");
        }
        late
    }

    #[test]
    fn a_value_without_fences_takes_its_position_and_no_more() {
        let mut fences = FencesAhead::default();
        assert_eq!(fences.advance(1).len(), 1 + PARTS_AHEAD);
        (0..3).for_each(|_| fences.pass());
        assert_eq!(fences.advance(1).len(), 4, "those behind it move on, and it has its own");
        (0..20).for_each(|_| fences.pass());
        assert_eq!(fences.advance(1).len(), 1 + PARTS_AHEAD, "nothing is left of the others");
    }

    #[test]
    fn each_part_and_those_after_it_have_fences() {
        assert_eq!(late(&[5; 100]), 0, "what comes is expected");
        assert_eq!(late(&[1; 100]), 0);
        assert!(
            late(&[1, 1, 17, 1, 40, 3, 3, 3, 3, 3, 3, 3, 3, 9, 1]) > 0,
            "what is larger than expected is not"
        );
        let mostly: Vec<_> = (0..1000).map(|at| [9, 12, 3, 11, 12][at % 5]).collect();
        let parts: usize = mostly.iter().map(|parts| usize::from(*parts)).sum();
        assert!(late(&mostly) * 8 < parts, "{} of {parts}", late(&mostly));
    }
}
