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
        assert!(
            self.end.is_multiple_of(8) && bytes.is_multiple_of(8) && bytes > 0,
            "a value begins at a multiple of eight, and {bytes} bytes at {} do not",
            self.end
        );
        assert!(self.fits(bytes), "{bytes} bytes at {} do not fit into {:?}", self.end, self.source.capacity);
        self.offsets.push(ValueOffset(self.end));
        self.end += bytes;
    }

    fn push_found(&mut self, value: &Found) {
        while self.next() < value.position {
            self.offsets.push(ValueOffset(self.end | 1));
        }
        assert!(
            self.next() == value.position && self.end <= value.offset && value.offset < value.end,
            "a scan finds values in order, and {value:?} is out of it"
        );
        self.offsets.push(ValueOffset(value.offset));
        self.end = value.end;
    }

    /// Forgets the values from a position on, in this part.
    pub(super) fn truncate(&mut self, position: u64) {
        let keep = position.saturating_sub(self.first);
        let Some(offset) = usize::try_from(keep).ok().and_then(|keep| self.offsets.get(keep)) else { return };
        // Of a lost value that is where the value before it ends: nothing of it is left.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::position::StoreId;
    use crate::medium::StreamId;
    use crate::medium::segments::value::{FileHead, NO_POSITION, span};

    /// A file of a number that holds this many bytes.
    fn source(root: &std::path::Path, number: u64, bytes: u64) -> Arc<Source> {
        let stream = StreamId(0);
        let head =
            FileHead { store: StoreId::new(1), stream, number, generation: number, first: NO_POSITION };
        let path = root.join(number.to_string());
        Arc::new(Source::create_segment(path, &head, bytes, &|| false).unwrap().unwrap())
    }

    /// Values of a byte each, in segments with space for three.
    fn parts(root: &std::path::Path, first: u64, counts: &[u64]) -> Parts {
        let mut parts = Parts::default();
        for (number, count) in (1..).zip(counts) {
            let source = source(root, number, VALUES_AT + 3 * span(1));
            let mut part = Part::new(source, parts.next().unwrap_or(first));
            (0..*count).for_each(|_| part.push(span(1)));
            parts.0.push_back(part);
        }
        parts
    }

    /// Where a position is found: the number of the file, and the value in it.
    fn found(parts: &Parts, position: u64) -> Option<(u64, u64)> {
        let (part, offset) = parts.offset_of(position)?;
        Some((part.source.number, (offset.offset() - VALUES_AT) / span(1)))
    }

    /// Each position leads to its value, over the borders of files, and others lead nowhere.
    #[test]
    fn a_position_leads_to_its_file_and_place() {
        let root = tempfile::tempdir().unwrap();
        let parts = parts(root.path(), 10, &[3, 3, 1]);
        assert_eq!((parts.first(), parts.next()), (Some(10), Some(17)));
        assert_eq!([10, 12, 13, 16].map(|at| found(&parts, at).unwrap()), [(1, 0), (1, 2), (2, 0), (3, 0)]);
        assert_eq!([9, 17, u64::MAX].map(|at| found(&parts, at)), [None; 3]);
        assert_eq!(Parts::default().offset_of(0).map(|_| ()), None);
    }

    /// A part is full by its bytes, and asks for the next file when half of them are used.
    #[test]
    fn a_part_takes_what_fits() {
        let root = tempfile::tempdir().unwrap();
        let parts = parts(root.path(), 0, &[2]);
        let part = &parts.0[0];
        assert!(part.fits(span(1)) && !part.fits(span(1) + 8) && part.is_half_full());
        let mut grows = Part::new(Arc::clone(&part.source), 0);
        assert!(!grows.is_half_full());
        grows.push(span(1));
        assert_eq!((grows.next(), grows.end), (1, VALUES_AT + span(1)));
    }

    /// A removal from the end leaves each file with the end that it had at that position, and the
    /// first file with the beginning of the stream.
    #[test]
    fn a_truncation_ends_each_part_where_it_should() {
        let root = tempfile::tempdir().unwrap();
        for (position, ends) in
            [(17, [3, 3, 1]), (16, [3, 3, 0]), (14, [3, 1, 0]), (13, [3, 0, 0]), (10, [0; 3])]
        {
            let mut parts = parts(root.path(), 10, &[3, 3, 1]);
            parts.truncate(position);
            let now: Vec<_> = parts.0.iter().map(|part| (part.end - VALUES_AT) / span(1)).collect();
            assert_eq!(now, ends, "{position}");
            let empty: Vec<_> = parts.take_empty().into_iter().map(|part| part.source.number).collect();
            assert_eq!(
                empty,
                if position > 13 { vec![3] } else { vec![3, 2] }[usize::from(position > 16)..],
                "{position}"
            );
            assert_eq!((parts.first(), parts.next()), (Some(10), Some(position)));
            (1..=3).for_each(|number| std::fs::remove_file(root.path().join(format!("{number}"))).unwrap());
        }
    }

    /// A removal from the front takes whole files, and never the last, in which the stream goes on.
    #[test]
    fn only_files_wholly_below_a_position_count_as_below() {
        let root = tempfile::tempdir().unwrap();
        let parts = parts(root.path(), 10, &[3, 3, 1]);
        let below = [0, 12, 13, 15, 16, 17, 99].map(|position| parts.below(position));
        assert_eq!(below, [0, 0, 1, 1, 2, 2, 2]);
    }

    /// An opening keeps the place of a value that is damaged in the middle, and forgets those at
    /// the end; files without a value wait for the next ones, in order.
    #[test]
    fn lost_values_keep_their_place_and_empty_files_wait() {
        let root = tempfile::tempdir().unwrap();
        let sources: Vec<_> =
            (1..=4).map(|number| source(root.path(), number, VALUES_AT + 3 * span(1))).collect();
        for (source, position, at) in [(0, 10, 0), (0, 12, 2), (1, 13, 0)] {
            let source: &Arc<Source> = &sources[source];
            let mut bytes = Vec::new();
            source.stamp.put(position, b"v", &mut bytes);
            source.write(VALUES_AT + at * span(1), &bytes).unwrap();
        }
        let (parts, empty) = Parts::find(10, sources).unwrap();
        assert_eq!(parts.0.iter().map(Part::next).collect::<Vec<_>>(), [13, 14]);
        let lost = [10, 11, 12, 13].map(|position| parts.offset_of(position).unwrap().1.is_lost());
        assert_eq!(lost, [false, true, false, false]);
        assert_eq!(parts.offset_of(11).unwrap().1.offset(), VALUES_AT + span(1), "behind the value before");
        assert_eq!(empty.iter().map(|source| source.number).collect::<Vec<_>>(), [3, 4]);
    }
}
