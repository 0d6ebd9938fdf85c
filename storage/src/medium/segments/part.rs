//! Where the values of a stream stand: in which file, at which byte. An opening finds it with one
//! scan, and each change updates it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::file::Source;
use super::scan::{Expected, Found, scan};
use super::value::VALUES_AT;
use crate::contract::error::StoreError;

/// The part of a stream that is in one file.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) source: Arc<Source>,
    /// The position of the first value.
    pub(super) first: u64,
    offsets: Vec<ValueOffset>,
    /// Where the next value would stand.
    pub(super) end: u64,
}

/// The offset of a value, a multiple of eight; or, with the lowest bit set, the offset of a gap in
/// which a value stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ValueOffset(u64);

impl ValueOffset {
    pub(super) fn offset(self) -> u64 {
        self.0 & !1
    }

    pub(super) fn is_lost(self) -> bool {
        self.0 & 1 == 1
    }
}

impl Part {
    /// A part without values.
    pub(super) fn new(source: Arc<Source>, first: u64) -> Self {
        Self { source, first, offsets: Vec::new(), end: VALUES_AT }
    }

    /// The position after the last value.
    pub(super) fn next(&self) -> u64 {
        self.first + self.offsets.len() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Whether `bytes` more fit.
    pub(super) fn fits(&self, bytes: u64) -> bool {
        self.source.capacity.is_none_or(|capacity| self.end.saturating_add(bytes) <= capacity)
    }

    /// Whether more than half of it is used up.
    pub(super) fn is_half_full(&self) -> bool {
        self.source.capacity.is_some_and(|capacity| self.end > capacity / 2)
    }

    /// The place of the value of a position.
    pub(super) fn offset_of(&self, position: u64) -> Option<ValueOffset> {
        let index = position.checked_sub(self.first)?;
        self.offsets.get(usize::try_from(index).ok()?).copied()
    }

    /// Adds a value at the end.
    pub(super) fn push(&mut self, bytes: u64) {
        debug_assert!(self.end.is_multiple_of(8) && bytes.is_multiple_of(8), "{bytes} at {}", self.end);
        self.offsets.push(ValueOffset(self.end));
        self.end += bytes;
    }

    fn push_found(&mut self, value: &Found) {
        while self.next() < value.position {
            self.offsets.push(ValueOffset(self.end | 1));
        }
        debug_assert!(self.next() == value.position && self.end <= value.offset, "a value in order");
        self.offsets.push(ValueOffset(value.offset));
        self.end = value.end;
    }

    /// Forgets the values from a position on, in this part.
    pub(super) fn truncate(&mut self, position: u64) {
        let keep = position.saturating_sub(self.first);
        let Some(offset) = usize::try_from(keep).ok().and_then(|keep| self.offsets.get(keep)) else { return };
        self.end = offset.offset();
        self.offsets.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        self.first = self.first.min(position);
    }
}

/// The parts of a stream, without a gap between them.
#[derive(Debug, Default)]
pub(super) struct Parts(pub(super) VecDeque<Part>);

impl Parts {
    /// Reads the files of a stream. `first` is the position that it begins with. It leaves out
    /// unreadable values at the end, with no whole value after them, and remembers those elsewhere
    /// as lost. It returns the files at the end that hold no value.
    pub(super) fn find(
        first: u64,
        sources: Vec<Arc<Source>>,
    ) -> Result<(Self, VecDeque<Arc<Source>>), StoreError> {
        let mut parts = Self::default();
        let mut bytes = 0_u64;
        for source in sources {
            let next = parts.next().unwrap_or(first);
            let values = scan(&source, Expected { first, next, bytes })?;
            bytes = bytes.saturating_add(source.capacity.unwrap_or(source.length()?));
            let mut part = Part::new(source, next);
            for value in &values {
                part.push_found(value);
            }
            parts.0.push_back(part);
        }
        let mut empty = VecDeque::new();
        for part in parts.take_empty() {
            empty.push_front(part.source);
        }
        Ok((parts, empty))
    }

    /// Takes out the parts at the end that hold no value, the last one first. It keeps the first
    /// part, in which the stream goes on.
    pub(super) fn take_empty(&mut self) -> Vec<Part> {
        let mut empty = Vec::new();
        while self.0.len() > 1 && self.0.back().is_some_and(Part::is_empty) {
            empty.extend(self.0.pop_back());
        }
        empty
    }

    /// The position that the stream begins with.
    pub(super) fn first(&self) -> Option<u64> {
        self.0.front().map(|part| part.first)
    }

    /// The position after the last value.
    pub(super) fn next(&self) -> Option<u64> {
        self.0.back().map(Part::next)
    }

    /// The part that holds a position, with where it stands there.
    pub(super) fn offset_of(&self, position: u64) -> Option<(&Part, ValueOffset)> {
        let after = self.0.partition_point(|part| part.first <= position);
        let part = self.0.get(after.checked_sub(1)?)?;
        Some((part, part.offset_of(position)?))
    }

    /// How many parts at the front hold no value from a position on. It does not count the last
    /// part, in which the stream goes on.
    pub(super) fn below(&self, position: u64) -> usize {
        let before_last = self.0.len().saturating_sub(1);
        self.0.iter().take(before_last).take_while(|part| part.next() <= position).count()
    }

    /// Forgets the values from a position on; parts stay, empty.
    pub(super) fn truncate(&mut self, position: u64) {
        for part in self.0.iter_mut().rev() {
            if part.first >= position {
                part.offsets.clear();
                part.end = VALUES_AT;
                // The first part keeps its beginning, and no value stands below it.
                part.first = position;
            } else {
                part.truncate(position);
                break;
            }
        }
    }
}
