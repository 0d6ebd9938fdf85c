//! The corruptions of one file. Each stands for something that disks, file systems or people do.

use std::fmt;
use std::ops::Range;

use super::image::Image;
use crate::harness::random::Random;

/// A corruption of a file. Its places lie within the undamaged file, so a second corruption may
/// find less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Corruption {
    /// A bit turned.
    Flip { at: usize, bit: u8 },
    /// A byte became another.
    Byte { at: usize, value: u8 },
    /// The end is gone.
    Truncate { length: usize },
    /// The file is gone.
    Delete,
    /// An older copy stands in its place.
    Older,
    /// Sectors or pages read as zeros, as if nothing had ever been written to them.
    Zero { at: usize, length: usize },
    /// Sectors or pages read as noise.
    Noise { at: usize, length: usize, seed: u64 },
    /// The disk lost a write of sectors or pages: the older bytes are still there.
    Stale { at: usize, length: usize },
    /// A write went astray: bytes of one place also stand at another.
    Astray { from: usize, at: usize, length: usize },
    /// Noise after the end.
    NoiseTail { length: usize, seed: u64 },
    /// Zeros after the end, as of a write of which only the length reached the disk.
    ZeroTail { length: usize },
    /// A part of the file once more after its end, as of a write that happened twice.
    EchoTail { from: usize, length: usize },
}

impl Corruption {
    /// Its name in a histogram.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Flip { .. } => "bit flip",
            Self::Byte { .. } => "byte",
            Self::Truncate { .. } => "truncated",
            Self::Delete => "deleted",
            Self::Older => "older copy",
            Self::Zero { .. } => "zeroed",
            Self::Noise { .. } => "noise",
            Self::Stale { .. } => "lost write",
            Self::Astray { .. } => "misdirected write",
            Self::NoiseTail { .. } | Self::ZeroTail { .. } | Self::EchoTail { .. } => "garbage tail",
        }
    }

    /// Whether it replaces more than `bytes` newer bytes by older ones.
    pub(super) fn is_older_by(&self, bytes: usize) -> bool {
        matches!(self, Self::Older) || matches!(self, Self::Stale { length, .. } if *length > bytes)
    }

    /// Draws what happens to a file.
    pub(super) fn draw(random: &mut Random, image: &Image, older: &Image, name: &str) -> Self {
        let content = image.content(name);
        if name.ends_with('/') || content.is_empty() {
            return Self::Delete;
        }
        // Most corruptions hit the used part: a file may end in zeros.
        let used = content.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
        let bytes = if random.below(8) == 0 { content.len() } else { used };
        let at = random.index(bytes);
        let has_older = older.counterpart(name).is_some();
        let length = *random.pick(&[512, 512, 4096, 4096, 1 << 16]);
        let aligned = at - at % length;
        match random.below(32) {
            0..=8 => Self::Flip { at, bit: random.byte() % 8 },
            9..=12 => Self::Byte { at, value: random.byte() },
            13..=16 => Self::Truncate { length: at },
            17 if random.below(16) == 0 => Self::Delete,
            17 | 18 if has_older && random.below(8) == 0 => Self::Older,
            17..=19 => Self::Zero { at: aligned, length },
            20..=22 => Self::Noise { at: aligned, length, seed: random.bits() },
            23..=25 if has_older => Self::Stale { at: aligned, length },
            23..=25 => Self::Zero { at: aligned, length },
            26..=28 => Self::Astray { from: random.index(bytes), at, length: 1 + random.index(length) },
            29 => Self::NoiseTail { length: 1 + random.index(3 * 4096), seed: random.bits() },
            30 => Self::ZeroTail { length: 1 + random.index(3 * 4096) },
            _ => Self::EchoTail { from: at, length: 1 + random.index(2 * 4096) },
        }
    }

    /// Damages the file.
    pub(super) fn apply(&self, image: &mut Image, older: &Image, name: &str) {
        let before = older.counterpart(name);
        if *self == Self::Delete {
            image.0.remove(name);
        } else if *self == Self::Older {
            // A snapshot has its position in its name.
            image.0.remove(name);
            image.0.extend(before.map(|name| (name.clone(), older.content(name).to_vec())));
        } else if let Some(content) = image.0.get_mut(name) {
            self.corrupt(content, before.map_or(&[], |name| older.content(name)));
        }
    }

    fn corrupt(&self, content: &mut Vec<u8>, before: &[u8]) {
        let bytes = content.len();
        let part = |at: usize, length: usize| -> Range<usize> {
            at.min(bytes)..at.saturating_add(length).min(bytes)
        };
        match *self {
            Self::Flip { at, bit } => content[part(at, 1)].iter_mut().for_each(|byte| *byte ^= 1 << bit),
            Self::Byte { at, value } => content[part(at, 1)].fill(value),
            Self::Truncate { length } => content.truncate(length),
            Self::Zero { at, length } => content[part(at, length)].fill(0),
            Self::Noise { at, length, seed } => {
                let (part, mut random) = (part(at, length), Random::nth(seed, 0));
                content[part].fill_with(|| random.byte());
            }
            Self::Stale { at, length } => {
                let part = part(at, length);
                let old = before.get(part.start.min(before.len())..part.end.min(before.len())).unwrap_or(&[]);
                // Bytes that did not exist yet read as zeros.
                content[part.clone()].fill(0);
                content[part.start..part.start + old.len()].copy_from_slice(old);
            }
            Self::Astray { from, at, length } => {
                let (from, at) = (part(from, length), part(at, length));
                let length = from.len().min(at.len());
                content.copy_within(from.start..from.start + length, at.start);
            }
            Self::NoiseTail { length, seed } => {
                let mut random = Random::nth(seed, 0);
                content.extend(std::iter::repeat_with(|| random.byte()).take(length));
            }
            Self::ZeroTail { length } => content.resize(content.len() + length, 0),
            Self::EchoTail { from, length } => content.extend_from_within(part(from, length)),
            Self::Delete | Self::Older => {}
        }
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
