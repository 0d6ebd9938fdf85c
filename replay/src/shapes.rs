//! Which shapes of values of one type have come back whole. Knows shapes as hashes only; `track`
//! makes them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::track::Shape;

/// How many shapes of a type there is room for.
const SLOTS: usize = 256;

/// How many slots a shape may use.
const PROBES: u8 = 16;

/// The codec checks one of this many values whose shape has no slot.
const CHECKED_OF_THE_REST: u64 = 16;

/// The shapes of one type that have survived their codec; for
/// [`encode_checked`](crate::payload::encode_checked).
///
/// Threads may share it and never wait for each other.
///
/// # Limits
/// It takes about 2 KiB. When a type has more shapes than fit, the codec checks one value in 16 of
/// those without a place.
pub struct Shapes {
    /// Hashes of shapes; 0 is a free slot. A used slot is never freed, so each slot changes once
    /// and relaxed atomics are enough: a stale 0 costs one check too many.
    seen: [AtomicU64; SLOTS],
    /// The widths of integers so far, each as a bit in both.
    widths: [AtomicU64; 2],
    /// How many values came whose shape has no slot.
    without_slot: AtomicU64,
}

impl Shapes {
    /// No shapes yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            seen: [const { AtomicU64::new(0) }; SLOTS],
            widths: [const { AtomicU64::new(0) }; 2],
            without_slot: AtomicU64::new(0),
        }
    }

    /// Whether the codec must check a value of this shape.
    #[inline]
    pub(crate) fn wants(&self, shape: Shape) -> bool {
        // Widths first: they are not in the key, since each mix of widths would take a slot.
        let mut widths = self.widths.iter().zip(shape.widths);
        if widths.any(|(seen, new)| new & !seen.load(Ordering::Relaxed) != 0) {
            return true;
        }
        for slot in self.slots(shape.calls) {
            match slot.load(Ordering::Relaxed) {
                0 => return true,
                seen if seen == key(shape.calls) => return false,
                _ => {}
            }
        }
        self.without_slot.fetch_add(1, Ordering::Relaxed).is_multiple_of(CHECKED_OF_THE_REST)
    }

    /// A value of this shape came back whole.
    pub(crate) fn remember(&self, shape: Shape) {
        for (seen, new) in self.widths.iter().zip(shape.widths) {
            seen.fetch_or(new, Ordering::Relaxed);
        }
        let key = key(shape.calls);
        for slot in self.slots(shape.calls) {
            // Another thread may have taken the slot meanwhile, perhaps for this shape.
            match slot.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed) {
                Err(other) if other != key => {}
                _ => return,
            }
        }
    }

    fn slots(&self, calls: u64) -> impl Iterator<Item = &AtomicU64> {
        // One byte of the hash picks the first slot.
        const { assert!(SLOTS == 1 << u8::BITS) };
        let first = calls.to_le_bytes()[7];
        (0..PROBES).map(move |probe| &self.seen[usize::from(first.wrapping_add(probe))])
    }
}

fn key(calls: u64) -> u64 {
    // 0 means a free slot.
    calls.max(1)
}

impl Default for Shapes {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Shapes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seen = self.seen.iter().filter(|slot| slot.load(Ordering::Relaxed) != 0).count();
        f.debug_struct("Shapes").field("seen", &seen).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::finish;

    fn shape(number: u64) -> Shape {
        Shape { calls: finish(number + 1), widths: [0; 2] }
    }

    #[test]
    fn a_shape_is_wanted_until_it_is_remembered() {
        let shapes = Shapes::new();
        for number in 0..64 {
            assert!(shapes.wants(shape(number)) && shapes.wants(shape(number)));
            shapes.remember(shape(number));
            assert!(!shapes.wants(shape(number)));
        }
        assert!((0..64).all(|number| !shapes.wants(shape(number))));
        let other = Shape { widths: [1, 2], ..shape(3) };
        assert!(shapes.wants(other));
        shapes.remember(other);
        assert!(!shapes.wants(other) && !shapes.wants(shape(3)));
        assert!(shapes.wants(Shape { widths: [1, 4], ..shape(3) }));
    }

    #[test]
    fn when_full_one_in_some_is_wanted() {
        let shapes = Shapes::new();
        (0..100_000).for_each(|number| shapes.remember(shape(number)));
        let wanted = (200_000..216_000).filter(|number| shapes.wants(shape(*number))).count();
        assert_eq!(wanted, 1000);
    }

    #[test]
    fn threads_may_share_them() {
        let shapes = Shapes::new();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let shapes = &shapes;
                scope.spawn(move || {
                    for number in 0..1000 {
                        let shape = shape((number * 7 + thread) % 100);
                        if shapes.wants(shape) {
                            shapes.remember(shape);
                        }
                        assert!(!shapes.wants(shape), "what is remembered stays so");
                    }
                });
            }
        });
        // A race for a slot never makes two of one shape.
        let mut kept: Vec<u64> = shapes.seen.iter().map(|slot| slot.load(Ordering::Relaxed)).collect();
        kept.retain(|key| *key != 0);
        kept.sort_unstable();
        let before = kept.len();
        kept.dedup();
        assert_eq!((before, kept.len()), (100, 100));
    }
}
