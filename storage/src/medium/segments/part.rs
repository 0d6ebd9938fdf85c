//! Where the values of a stream stand: in which file, at which byte. Found by scanning once, kept as values come and go.

use std::collections::VecDeque;
use std::sync::Arc;

use super::file::Source;
use super::scan::{Expected, Found, scan};
use super::value::VALUES_AT;
use crate::StoreError;

/// The part of a stream that is in one file.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) source: Arc<Source>,
    /// The position of the first value.
    pub(super) first: u64,
    places: Vec<Place>,
    /// Where the next value would stand.
    pub(super) end: u64,
}

/// Where a value stands, a multiple of eight, or, with the lowest bit, where a gap begins in which one stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u64);

impl Place {
    pub(super) fn offset(self) -> u64 {
        self.0 & !1
    }

    pub(super) fn is_lost(self) -> bool {
        self.0 & 1 == 1
    }
}

impl Part {
    /// One without values.
    pub(super) fn new(source: Arc<Source>, first: u64) -> Self {
        Self { source, first, places: Vec::new(), end: VALUES_AT }
    }

    /// The position after the last value.
    pub(super) fn next(&self) -> u64 {
        self.first + self.places.len() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether so many bytes more fit.
    pub(super) fn fits(&self, bytes: u64) -> bool {
        self.source.room.is_none_or(|room| self.end.saturating_add(bytes) <= room)
    }

    /// Whether more than half of it is used up.
    pub(super) fn is_half_full(&self) -> bool {
        self.source.room.is_some_and(|room| self.end > room / 2)
    }

    /// Where the value of a position stands.
    pub(super) fn place(&self, position: u64) -> Option<Place> {
        let index = position.checked_sub(self.first)?;
        self.places.get(usize::try_from(index).ok()?).copied()
    }

    /// Takes a value in, at its end.
    pub(super) fn push(&mut self, bytes: u64) {
        self.places.push(Place(self.end));
        self.end += bytes;
    }

    fn push_found(&mut self, value: &Found) {
        while self.next() < value.position {
            self.places.push(Place(self.end | 1));
        }
        self.places.push(Place(value.offset));
        self.end = value.end;
    }

    /// Forgets the values from a position on.
    pub(super) fn truncate(&mut self, position: u64) {
        let keep = position.saturating_sub(self.first);
        let Some(place) = usize::try_from(keep).ok().and_then(|keep| self.places.get(keep)) else { return };
        self.end = place.offset();
        self.places.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        self.first = self.first.min(position);
    }
}

/// The parts of a stream, without a gap between them.
#[derive(Debug, Default)]
pub(super) struct Parts(pub(super) VecDeque<Part>);

impl Parts {
    /// Reads what the files of a stream hold. `first` is the position that it begins with. What can't be read at the end,
    /// with nothing whole after it, is left out; elsewhere it is remembered as lost. Files that hold nothing at the end are
    /// given back.
    pub(super) fn find(
        first: u64,
        sources: Vec<Arc<Source>>,
    ) -> Result<(Self, VecDeque<Arc<Source>>), StoreError> {
        let mut parts = Self::default();
        let mut bytes = 0_u64;
        for source in sources {
            let next = parts.next().unwrap_or(first);
            let values = scan(&source, Expected { first, next, bytes })?;
            bytes = bytes.saturating_add(source.room.unwrap_or(source.length()?));
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

    /// Takes out the parts at the end that hold nothing, the last one first. Never the first, in which the stream goes on.
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
    pub(super) fn place(&self, position: u64) -> Option<(&Part, Place)> {
        let after = self.0.partition_point(|part| part.first <= position);
        let part = self.0.get(after.checked_sub(1)?)?;
        Some((part, part.place(position)?))
    }

    /// How many parts at the front hold nothing from a position on. Never the last one, in which the stream goes on.
    pub(super) fn below(&self, position: u64) -> usize {
        let before_last = self.0.len().saturating_sub(1);
        self.0.iter().take(before_last).take_while(|part| part.next() <= position).count()
    }

    /// Forgets the values from a position on; parts stay, empty.
    pub(super) fn truncate(&mut self, position: u64) {
        for part in self.0.iter_mut().rev() {
            if part.first >= position {
                part.places.clear();
                part.end = VALUES_AT;
                // The first one keeps it, and below it is nothing.
                part.first = position;
            } else {
                part.truncate(position);
                break;
            }
        }
    }
}
